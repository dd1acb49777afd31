//! What the window is made of beside its commands: the start, dropped files, and events on their way to the web view.
//!
//! Invariant: nothing here blocks the thread of the window.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use imgn_core::{
    App, AppState, ClientCode, CommandError, Event, ImageQuery, IntakeView, ViewError,
};
use imgn_desk::{DeepLink, Desk, Opened, tray::TrayAction};
use tauri::{AppHandle, DragDropEvent, Manager as _, Window, WindowEvent, Wry};
use tauri_plugin_dialog::{DialogExt as _, FileDialogBuilder, FilePath, MessageDialogKind};
use tauri_specta::Event as _;
use tokio::sync::{Notify, broadcast::error::RecvError, oneshot};

use crate::{
    gallery::LocalGallery,
    launch::Arguments,
    view::{
        DeletionFailed, DragPhase, Failed, FileDrag, Leaving, StateChanged, TakenIn,
        TimelineChanged, UploadsChanged, Wanted,
    },
    window,
};

/// Files that the dialog offers. What a file truly is, the server finds in its bytes.
const PICTURE_EXTENSIONS: [&str; 22] = [
    "jpg", "jpeg", "png", "gif", "webp", "avif", "heic", "heif", "tif", "tiff", "bmp", "jxl",
    "dng", "cr2", "cr3", "nef", "arw", "orf", "rw2", "pef", "srw", "raf",
];

/// The word by which a second start says that it is about the clipboard. Of a file the whole path is said.
pub(crate) const CLIPBOARD: &str = "--clipboard";

/// The app without a window, and the gallery that it can start. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Shell {
    /// What every command is about.
    pub(crate) core: App,
    /// How files come in, and what becomes of their links.
    pub(crate) desk: Desk,
    gallery: LocalGallery,
    /// The page has nothing more to say.
    pub(crate) left: Arc<Notify>,
}

/// How long the end waits for what the page still has to say: a deletion whose time for undoing is not over.
const FAREWELL: Duration = Duration::from_secs(1);

impl Shell {
    /// Puts them together; starts nothing.
    pub(crate) fn new(core: App, desk: Desk, gallery: LocalGallery) -> Self {
        Self {
            core,
            desk,
            gallery,
            left: Arc::default(),
        }
    }

    /// Starts the gallery on this computer and connects to it.
    pub(crate) async fn start_local_gallery(&self) -> Result<AppState, ViewError> {
        let (url, token) = self.gallery.start().await.map_err(|error| {
            tracing::error!(%error, "the gallery on this computer did not start");
            let message = format!("The gallery on this computer cannot be started: {error}.");
            CommandError::new(ClientCode::GalleryFailed, message)
        })?;
        Ok(self.core.connect_local(&url, token).await?)
    }

    /// Uploads what was dropped or chosen; of a folder, the pictures in it.
    pub(crate) async fn enqueue(&self, paths: Vec<PathBuf>) -> Result<IntakeView, ViewError> {
        Ok(self.desk.take_files(paths).await?.into())
    }

    /// Lets a person choose pictures, and uploads them; nothing where the dialog is closed.
    pub(crate) async fn choose_files(
        &self,
        dialog: FileDialogBuilder<Wry>,
    ) -> Result<IntakeView, ViewError> {
        let (send, chosen) = oneshot::channel();
        dialog
            .add_filter("Pictures", &PICTURE_EXTENSIONS)
            .pick_files(|files| drop(send.send(files)));
        self.take_chosen(chosen.await.ok().flatten()).await
    }

    /// The same with folders.
    pub(crate) async fn choose_folders(
        &self,
        dialog: FileDialogBuilder<Wry>,
    ) -> Result<IntakeView, ViewError> {
        let (send, chosen) = oneshot::channel();
        dialog.pick_folders(|folders| drop(send.send(folders)));
        self.take_chosen(chosen.await.ok().flatten()).await
    }

    async fn take_chosen(&self, chosen: Option<Vec<FilePath>>) -> Result<IntakeView, ViewError> {
        let chosen = chosen.unwrap_or_default().into_iter();
        let paths: Vec<_> = chosen.filter_map(|file| file.into_path().ok()).collect();
        if paths.is_empty() {
            return Ok(IntakeView::default());
        }
        self.enqueue(paths).await
    }

    /// Lets the page say what must not be lost, before it goes.
    pub(crate) async fn hear_out(&self, app: &AppHandle) {
        if !app.webview_windows().is_empty() {
            // What a page said that was given up is none of this one's.
            let _ = tokio::time::timeout(Duration::ZERO, self.left.notified()).await;
            sent(Leaving.emit(app));
            // A page that hangs is not waited for.
            let _ = tokio::time::timeout(FAREWELL, self.left.notified()).await;
        }
    }

    /// Hears the page out, then stops uploads, then the gallery; keeps everything. The caller bounds the time.
    pub(crate) async fn stop(&self, app: &AppHandle) {
        self.hear_out(app).await;
        self.core.quit().await;
        self.gallery.stop().await;
    }

    /// Connects to the gallery that was asked for or last used, and uploads what came with the command line.
    async fn begin(&self, arguments: Arguments, files: Vec<PathBuf>) -> Result<(), ViewError> {
        if arguments.local_gallery || self.core.wants_local().await {
            self.start_local_gallery().await?;
        }
        let mut files = files;
        if let Some(folder) = arguments.import
            && self.is_empty().await?
        {
            files.push(folder);
        }
        if !files.is_empty() {
            self.enqueue(files).await?;
        }
        Ok(())
    }

    async fn is_empty(&self) -> Result<bool, CommandError> {
        let first = ImageQuery {
            limit: 1,
            ..ImageQuery::default()
        };
        Ok(self.core.images(first).await?.images.is_empty())
    }
}

/// Begins to forward events, and connects.
pub(crate) fn start(app: &AppHandle, arguments: Arguments, opened: Vec<Opened>) {
    let shell = app.state::<Shell>().inner().clone();
    tauri::async_runtime::spawn(forward_events(app.clone(), shell.core.clone()));
    tauri::async_runtime::spawn(shell.desk.clone().run());
    let desk = shell.desk.clone();
    tauri::async_runtime::spawn(async move { desk.begin().await });
    let app = app.clone();
    tauri::async_runtime::spawn(async move {
        let (files, others) = files_of(opened);
        let clipboard = arguments.clipboard;
        if let Err(error) = shell.begin(arguments, files).await {
            tell(&app, &error);
        }
        if clipboard {
            take_clipboard(&app);
        }
        open_others(&app, others);
    });
}

/// The program was started again: what it was started with is opened here, and with nothing it is the window.
pub(crate) fn joined(app: &AppHandle, words: Vec<OsString>) {
    if words.is_empty() {
        window::open(app);
        return;
    }
    // They are absolute already.
    let opened = words
        .into_iter()
        .map(|word| Opened::of(word, Path::new("/")));
    let (files, others) = files_of(opened.collect());
    if !files.is_empty() {
        take(app, files);
    }
    open_others(app, others);
}

/// Uploads what is on the clipboard.
fn take_clipboard(app: &AppHandle) {
    let desk = app.state::<Shell>().desk.clone();
    tauri::async_runtime::spawn(async move { desk.act(TrayAction::UploadClipboard).await });
}

fn files_of(opened: Vec<Opened>) -> (Vec<PathBuf>, Vec<Opened>) {
    let (mut files, mut others) = (Vec::new(), Vec::new());
    for opened in opened {
        match opened {
            Opened::File(path) => files.push(path),
            other => others.push(other),
        }
    }
    (files, others)
}

/// Shows what addresses ask for; whatever follows is asked for in the window.
fn open_others(app: &AppHandle, others: Vec<Opened>) {
    for opened in others {
        match opened {
            Opened::Link(DeepLink::Image { id, server }) => {
                let server = server.map(String::from);
                window::open_on(app, Wanted::Image { id, server });
            }
            Opened::Link(DeepLink::Connect { server }) => {
                let server = String::from(server);
                window::open_on(app, Wanted::Connect { server });
            }
            Opened::Unknown(text) => {
                window::open(app);
                show_message(
                    app,
                    &format!("This address means nothing to imgn: {text}"),
                    MessageDialogKind::Error,
                );
            }
            Opened::File(_) => {}
        }
    }
}

/// Takes dropped files, and tells the web view what hovers over it. A window that is closed is heard out: in the tray the
/// program goes on, and what could still be undone is done with the window.
pub(crate) fn on_window_event(window: &Window, event: &WindowEvent) {
    if let WindowEvent::CloseRequested { api, .. } = event {
        api.prevent_close();
        let (window, app) = (window.clone(), window.app_handle().clone());
        tauri::async_runtime::spawn(async move {
            let closed = window.hide();
            app.state::<Shell>().inner().clone().hear_out(&app).await;
            if let Err(error) = closed.and_then(|()| window.destroy()) {
                tracing::error!(%error, "the window does not close");
            }
        });
        return;
    }
    let WindowEvent::DragDrop(event) = event else {
        return;
    };
    let app = window.app_handle();
    match event {
        DragDropEvent::Enter { paths, .. } => tell_drag(app, DragPhase::Enter, paths.len()),
        DragDropEvent::Leave => tell_drag(app, DragPhase::Leave, 0),
        DragDropEvent::Drop { paths, .. } => {
            tell_drag(app, DragPhase::Drop, paths.len());
            take(app, paths.clone());
        }
        _ => {}
    }
}

fn take(app: &AppHandle, paths: Vec<PathBuf>) {
    let shell = app.state::<Shell>().inner().clone();
    let app = app.clone();
    tauri::async_runtime::spawn(async move {
        match shell.enqueue(paths).await {
            Ok(taken) => sent(TakenIn(taken).emit(&app)),
            Err(error) => tell(&app, &error),
        }
    });
}

fn tell_drag(app: &AppHandle, phase: DragPhase, count: usize) {
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    sent(FileDrag { phase, count }.emit(app));
}

async fn forward_events(app: AppHandle, core: App) {
    let mut events = core.events();
    loop {
        match events.recv().await {
            Ok(event) => forward(&app, event),
            // The web view missed some; what it shows is made whole again.
            Err(RecvError::Lagged(_)) => {
                forward(&app, Event::StateChanged(core.state().await));
                forward(&app, Event::UploadsChanged(core.uploads().await));
                forward(&app, Event::TimelineChanged);
            }
            Err(RecvError::Closed) => return,
        }
    }
}

fn forward(app: &AppHandle, event: Event) {
    sent(match event {
        Event::StateChanged(state) => StateChanged(state).emit(app),
        Event::UploadsChanged(uploads) => UploadsChanged(uploads).emit(app),
        Event::TimelineChanged => TimelineChanged.emit(app),
        Event::DeletionFailed(refused) => DeletionFailed(refused).emit(app),
    });
}

/// An event that does not reach the window is no reason to stop.
pub(crate) fn sent(result: tauri::Result<()>) {
    if let Err(error) = result {
        tracing::warn!(%error, "an event did not reach the window");
    }
}

/// Says what went wrong where somebody may be looking.
pub(crate) fn tell_failure(app: &AppHandle, message: String) {
    if window::is_open(app) {
        sent(Failed { message }.emit(app));
    } else {
        show_message(app, &message, MessageDialogKind::Error);
    }
}

/// Says it in the system's own dialog.
pub(crate) fn show_message(app: &AppHandle, message: &str, kind: MessageDialogKind) {
    let dialog = app.dialog().message(message);
    dialog.title("imgn").kind(kind).show(|_| {});
}

/// Says what nobody is waiting for the answer of, in the system's own dialog.
fn tell(app: &AppHandle, error: &ViewError) {
    tracing::warn!(code = %error.code, message = error.message);
    show_message(app, &error.message, MessageDialogKind::Error);
}
