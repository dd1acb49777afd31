//! What the window is made of beside its commands: the start, dropped files, and events on their way to the web view.
//!
//! Invariant: nothing here blocks the thread of the window.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use imgn_core::{App, AppState, ClientCode, CommandError, Event, ImageQuery, Intake, ViewError};
use imgn_desk::{Asked, DeepLink, Desk, Opened, tray::TrayAction};
use tauri::{AppHandle, DragDropEvent, Manager as _, Window, WindowEvent, Wry};
use tauri_plugin_dialog::{FileDialogBuilder, FilePath, MessageDialogKind};
use tauri_specta::Event as _;
use tokio::sync::{
    Notify, OwnedRwLockReadGuard, RwLock, broadcast::error::RecvError, oneshot, watch,
};

use crate::{
    dialogs,
    gallery::LocalGallery,
    view::{
        DeletionFailed, DragPhase, FileDrag, Leaving, StateChanged, TimelineChanged,
        UploadsChanged, Wanted,
    },
    window::{self, Life},
};

/// Files that the dialog offers. What a file truly is, the server finds in its bytes.
const PICTURE_EXTENSIONS: [&str; 22] = [
    "jpg", "jpeg", "png", "gif", "webp", "avif", "heic", "heif", "tif", "tiff", "bmp", "jxl",
    "dng", "cr2", "cr3", "nef", "arw", "orf", "rw2", "pef", "srw", "raf",
];

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
    /// Whether the gallery of the start is connected, or was tried in vain: what comes in before waits for it.
    begun: watch::Sender<bool>,
    /// Read by whoever takes something in, written by the end of the program: what came before it is in the journal.
    intakes: Arc<RwLock<()>>,
    /// Nothing more is taken in.
    is_ending: Arc<AtomicBool>,
}

/// Held for as long as something is taken in.
type Taking = OwnedRwLockReadGuard<()>;

/// How long the end waits for what the page still has to say (a deletion whose time for undoing is not over), and for
/// files that are just being taken in. Of a folder the rest is not.
const FAREWELL: Duration = Duration::from_secs(1);

impl Shell {
    /// Puts them together; starts nothing.
    pub(crate) fn new(core: App, desk: Desk, gallery: LocalGallery) -> Self {
        Self {
            core,
            desk,
            gallery,
            left: Arc::default(),
            begun: watch::Sender::new(false),
            intakes: Arc::default(),
            is_ending: Arc::default(),
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

    /// Starts the gallery on this computer where this is its address: it has a token of its own, and takes no other one.
    pub(crate) async fn start_if_local(&self, server: &str) -> Option<Result<AppState, ViewError>> {
        match self.core.is_local(server).await {
            true => Some(self.start_local_gallery().await),
            false => None,
        }
    }

    /// Uploads what was dropped or chosen; of a folder, the pictures in it.
    pub(crate) async fn enqueue(&self, paths: Vec<PathBuf>) -> Result<Intake, ViewError> {
        let _taking = self.intakes.read().await;
        Ok(self.desk.take_files(paths).await?)
    }

    /// Lets something be taken in before the program ends; none where it is ending.
    fn taking(&self) -> Option<Taking> {
        let taking = Arc::clone(&self.intakes).try_read_owned().ok()?;
        (!self.is_ending.load(Ordering::SeqCst)).then_some(taking)
    }

    /// Lets a person choose pictures, and uploads them; nothing where the dialog is closed.
    pub(crate) async fn choose_files(
        &self,
        dialog: FileDialogBuilder<Wry>,
    ) -> Result<Option<Intake>, ViewError> {
        let (send, chosen) = oneshot::channel();
        dialog
            .set_title(self.desk.words().choose_pictures())
            .add_filter(self.desk.words().pictures(), &PICTURE_EXTENSIONS)
            .pick_files(|files| drop(send.send(files)));
        self.take_chosen(chosen.await.ok().flatten()).await
    }

    /// The same with folders.
    pub(crate) async fn choose_folders(
        &self,
        dialog: FileDialogBuilder<Wry>,
    ) -> Result<Option<Intake>, ViewError> {
        let (send, chosen) = oneshot::channel();
        dialog
            .set_title(self.desk.words().choose_folders())
            .pick_folders(|folders| drop(send.send(folders)));
        self.take_chosen(chosen.await.ok().flatten()).await
    }

    async fn take_chosen(
        &self,
        chosen: Option<Vec<FilePath>>,
    ) -> Result<Option<Intake>, ViewError> {
        let chosen = chosen.unwrap_or_default().into_iter();
        let paths: Vec<_> = chosen.filter_map(|file| file.into_path().ok()).collect();
        if paths.is_empty() {
            return Ok(None);
        }
        self.enqueue(paths).await.map(Some)
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
        // From here on nothing new is taken in, and what is being taken in is kept.
        self.is_ending.store(true, Ordering::SeqCst);
        let taken_in = tokio::time::timeout(FAREWELL, self.intakes.write());
        let _ = tokio::join!(taken_in, self.hear_out(app));
        self.desk.end().await;
        self.core.quit().await;
        self.gallery.stop().await;
    }

    /// Connects to the gallery that was asked for or last used.
    async fn begin(&self, local_gallery: bool) -> Result<(), ViewError> {
        if local_gallery || self.core.wants_local().await {
            self.start_local_gallery().await?;
        }
        Ok(())
    }

    /// What is uploaded of what a start asks for.
    async fn files_of(&self, asked: &Asked) -> Result<Vec<PathBuf>, ViewError> {
        let opened = asked.opened.iter().filter_map(|opened| match opened {
            Opened::File(path) => Some(path.clone()),
            Opened::Link(_) | Opened::Unknown(_) => None,
        });
        let mut files: Vec<_> = opened.collect();
        if let Some(folder) = &asked.import
            && self.is_empty().await?
        {
            files.push(folder.clone());
        }
        Ok(files)
    }

    async fn is_empty(&self) -> Result<bool, CommandError> {
        let first = ImageQuery {
            limit: 1,
            ..ImageQuery::default()
        };
        Ok(self.core.images(first).await?.images.is_empty())
    }
}

/// Begins to forward events, connects, and does what the start asks for.
pub(crate) fn start(app: &AppHandle, asked: Asked) {
    let shell = app.state::<Shell>().inner().clone();
    tauri::async_runtime::spawn(forward_events(app.clone(), shell.core.clone()));
    tauri::async_runtime::spawn(shell.desk.clone().run());
    let desk = shell.desk.clone();
    tauri::async_runtime::spawn(async move { desk.begin().await });
    let app = app.clone();
    let taking = shell.taking();
    tauri::async_runtime::spawn(async move {
        if let Err(error) = shell.begin(asked.local_gallery).await {
            tell(&app, &error);
        }
        shell.begun.send_replace(true);
        if let Some(taking) = taking {
            answer(&app, asked, taking).await;
        }
    });
}

/// The program was started again: what it was started with is done here, and with nothing it is the window. Not where
/// this one is ending.
pub(crate) fn joined(app: &AppHandle, asked: Asked) -> bool {
    let shell = app.state::<Shell>().inner().clone();
    let Some(taking) = shell.taking() else {
        return false;
    };
    if asked.is_for_window() {
        window::open(app);
    }
    let app = app.clone();
    tauri::async_runtime::spawn(async move {
        // What is being connected to is what it is for.
        let _ = shell.begun.subscribe().wait_for(|begun| *begun).await;
        let state = shell.core.state().await;
        let is_local = state.server.as_ref().is_some_and(|server| server.local);
        if asked.local_gallery && !is_local {
            if let Err(error) = shell.start_local_gallery().await {
                return tell(&app, &error);
            }
        } else if let Some(named) = &asked.server {
            ask_to_connect(&app, named, state);
        }
        answer(&app, asked, taking).await;
    });
    true
}

/// A gallery is not changed under the hands of who looks at another one.
fn ask_to_connect(app: &AppHandle, named: &str, state: AppState) {
    let plain = |url: &str| url.trim().trim_end_matches('/').to_owned();
    if state
        .server
        .is_none_or(|server| plain(&server.url) != plain(named))
    {
        let server = named.to_owned();
        window::open_on(app, Wanted::Connect { server });
    }
}

async fn answer(app: &AppHandle, asked: Asked, taking: Taking) {
    let shell = app.state::<Shell>().inner().clone();
    match shell.files_of(&asked).await {
        Ok(files) if files.is_empty() => {}
        Ok(files) => tell_taken(app, shell.desk.take_files(files).await.map_err(Into::into)),
        Err(error) => tell(app, &error),
    }
    if asked.clipboard {
        shell.desk.act(TrayAction::UploadClipboard).await;
    }
    drop(taking);
    for opened in asked.opened {
        open_address(app, opened);
    }
}

/// Shows what an address asks for; whatever follows is asked for in the window.
fn open_address(app: &AppHandle, opened: Opened) {
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
            let words = app.state::<Shell>().desk.words();
            let message = words.unknown_address(&text);
            window::open_on(app, Wanted::Failure { message });
        }
        Opened::File(_) => {}
    }
}

/// Takes dropped files, and tells the web view what hovers over it. A window that is closed is heard out: in the tray the
/// program goes on, and what could still be undone is done with the window.
pub(crate) fn on_window_event(window: &Window, event: &WindowEvent) {
    if let WindowEvent::CloseRequested { api, .. } = event {
        api.prevent_close();
        let (window, app) = (window.clone(), window.app_handle().clone());
        if let Some(closing) = app.state::<Life>().leave() {
            // Here and now: whoever shows it again does so after this.
            let closed = window.hide();
            // Nobody chooses one in it any more.
            app.state::<Shell>().desk.suspend_key(false);
            tauri::async_runtime::spawn(async move {
                app.state::<Shell>().inner().clone().hear_out(&app).await;
                if !app.state::<Life>().go(closing) {
                    return;
                }
                if let Err(error) = closed.and_then(|()| window.destroy()) {
                    tracing::error!(%error, "the window does not close");
                    app.state::<Life>().gone();
                }
            });
        }
        return;
    }
    let WindowEvent::DragDrop(event) = event else {
        return;
    };
    let app = window.app_handle();
    let core = &app.state::<Shell>().core;
    match event {
        // They are the gallery's own, on their way out.
        DragDropEvent::Enter { paths, .. } | DragDropEvent::Drop { paths, .. }
            if paths.iter().any(|path| core.is_copy(path)) => {}
        DragDropEvent::Enter { paths, .. } => tell_drag(app, DragPhase::Enter, pictures(paths)),
        DragDropEvent::Leave => tell_drag(app, DragPhase::Leave, 0),
        DragDropEvent::Drop { paths, .. } => {
            tell_drag(app, DragPhase::Drop, pictures(paths));
            take(app, paths.clone());
        }
        _ => {}
    }
}

fn take(app: &AppHandle, paths: Vec<PathBuf>) {
    let shell = app.state::<Shell>().inner().clone();
    let app = app.clone();
    tauri::async_runtime::spawn(async move { tell_taken(&app, shell.enqueue(paths).await) });
}

/// Says what came of files that did not come in by the window's own dialogs.
pub(crate) fn tell_taken(app: &AppHandle, taken: Result<Intake, ViewError>) {
    match taken {
        Ok(intake) if window::is_open(app) => {
            let intake = intake.into();
            window::show(app, Wanted::Intake { intake });
        }
        Ok(intake) => app.state::<Shell>().desk.tell_intake(&intake),
        Err(error) => tell(app, &error),
    }
}

/// How many pictures hover, by their names: nothing here waits for a disk. None where that is not known, as of a folder.
fn pictures(paths: &[PathBuf]) -> usize {
    let is_picture = |path: &PathBuf| {
        let ending = path.extension().and_then(|ending| ending.to_str());
        let known = |ending: &str| {
            let mut endings = PICTURE_EXTENSIONS.iter();
            endings.any(|it| it.eq_ignore_ascii_case(ending))
        };
        ending.is_some_and(known)
    };
    if paths.iter().all(is_picture) {
        paths.len()
    } else {
        0
    }
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
        // Each of them has changed.
        Event::UploadsAdopted => return,
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

/// Says what went wrong where somebody may be looking: in the window, or else with a notification, or else with the
/// system's own dialog.
pub(crate) fn tell_failure(app: &AppHandle, message: String) {
    if window::is_open(app) {
        window::show(app, Wanted::Failure { message });
        return;
    }
    let app = app.clone();
    let desk = app.state::<Shell>().desk.clone();
    tauri::async_runtime::spawn(async move {
        if !desk.say(&message).await {
            dialogs::show(&app, &message, MessageDialogKind::Error);
        }
    });
}

fn tell(app: &AppHandle, error: &ViewError) {
    tracing::warn!(code = %error.code, message = error.message);
    let words = app.state::<Shell>().desk.words();
    tell_failure(app, words.failure_of(error));
}
