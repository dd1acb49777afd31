//! The app among other programs: one value, cheap to clone, through which the shell takes files in and which tells the
//! shell what to do when they are in the gallery.

mod announce;

use std::{
    collections::HashMap,
    io::Cursor,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use imgn_core::{
    App, AppState, ClientCode, CommandError, DesktopSettings, Event, Folders, Intake, Taken, links,
    protocol::Token,
};
use jiff::Zoned;
use tokio::sync::{broadcast::error::RecvError, oneshot, watch};
use uuid::Uuid;

use self::announce::{Announced, Listening};
use crate::{
    BatchId, Batches, Clip, ClipboardError, DesktopPreferences, Ended, Hotkey, HotkeyError,
    Language, Origin, autostart, clipboard,
    hotkey::{self, Grab},
    live::Live,
    notify::Notifier,
    picgo::{self, PicGo},
    tray::{self, Pixels, Shown, TrayAction, TrayState},
};

/// What the shell does for the desk. Nothing here may block.
pub trait Host: Send + Sync + 'static {
    /// Puts a text on the clipboard.
    ///
    /// # Errors
    /// Why it could not, for people.
    fn copy(&self, text: String) -> Result<(), String>;

    /// Says something to a person.
    fn tell(&self, news: News);

    /// Does what somebody asked for in the tray and only a shell can do: windows, dialogs, the end.
    fn act(&self, action: TrayAction);
}

/// What a person is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// The links to so many pictures are on the clipboard now.
    LinksCopied(usize),
    /// They should be, and are not, for this reason.
    NotCopied(String),
    /// What was asked for did not work, for this reason.
    Failed(String),
}

/// Nobody takes an upload back after so many seconds without looking at the gallery.
const MOST_UNDO: u32 = 600;

/// As the window and the desktop's menu have it.
const ICON: &[u8] = include_bytes!("../../../icons/32x32.png");

/// The app among other programs. Cheap to clone; all clones are the same.
#[derive(Clone)]
pub struct Desk(Arc<Inner>);

struct Inner {
    core: App,
    host: Arc<dyn Host>,
    batches: Mutex<Batches>,
    /// Programs that wait for a batch to end.
    waiting: Mutex<HashMap<BatchId, oneshot::Sender<Ended>>>,
    live: Mutex<Live>,
    tray: watch::Sender<TrayState>,
    settings: Mutex<DesktopSettings>,
    notifier: Notifier,
    announced: Mutex<Announced>,
    listening: Listening,
    /// The key that is had.
    grab: Mutex<Option<Grab>>,
    /// The server for editors.
    picgo: Mutex<Option<PicGo>>,
}

impl Desk {
    /// Puts them together; [`Desk::run`] lets it live.
    pub async fn new(core: App, host: Arc<dyn Host>) -> Self {
        let settings = core.desktop_settings().await;
        Self(Arc::new(Inner {
            core,
            host,
            batches: Mutex::default(),
            waiting: Mutex::default(),
            live: Mutex::default(),
            tray: watch::Sender::new(TrayState {
                language: Language::of_session(),
                ..TrayState::default()
            }),
            settings: Mutex::new(settings),
            notifier: Notifier::default(),
            announced: Mutex::default(),
            listening: Listening::default(),
            grab: Mutex::default(),
            picgo: Mutex::default(),
        }))
    }

    /// What the tray tells, as it changes.
    #[must_use]
    pub fn tray(&self) -> watch::Receiver<TrayState> {
        self.0.tray.subscribe()
    }

    /// What was chosen for life beside other programs.
    #[must_use]
    pub fn settings(&self) -> DesktopSettings {
        locked(&self.0.settings).clone()
    }

    /// Does what the settings say, once at the start.
    pub async fn begin(&self) {
        let settings = self.settings();
        let hotkey = self.take_key(&settings.hotkey);
        let editors = self.serve_editors(&settings).await;
        for failed in [hotkey, editors].into_iter().filter_map(Result::err) {
            self.0.host.tell(News::Failed(failed.message));
        }
    }

    /// Chooses for life beside other programs, from now on.
    ///
    /// # Errors
    /// When it cannot be done or kept; what was chosen before stays then.
    pub async fn choose(&self, chosen: DesktopPreferences) -> Result<(), CommandError> {
        let before = self.settings();
        let mut now = before.clone();
        chosen.write(&mut now);
        if now.undo_seconds > MOST_UNDO {
            let message = format!("an upload is taken back within {MOST_UNDO} seconds at most");
            return Err(CommandError::new(ClientCode::InvalidInput, message));
        }
        if now.editors && now.editors_key.is_none() {
            // From the system's random source.
            let random = || Uuid::new_v4().simple().to_string();
            now.editors_key = Some(random() + &random());
        }
        if now.autostart != before.autostart {
            autostart::set(now.autostart, self.0.core.home())?;
        }
        if now.hotkey != before.hotkey
            && let Err(error) = self.take_key(&now.hotkey)
        {
            // It was given back for this, and is free.
            let _ = self.take_key(&before.hotkey);
            return Err(error);
        }
        if (now.editors, now.editors_port) != (before.editors, before.editors_port)
            && let Err(error) = self.serve_editors(&now).await
        {
            let _ = self.serve_editors(&before).await;
            return Err(error);
        }
        let kept = now.clone();
        self.0
            .core
            .keep_desktop_settings(move |settings| {
                let told_of_tray = settings.told_of_tray;
                *settings = kept;
                settings.told_of_tray |= told_of_tray;
            })
            .await?;
        *locked(&self.0.settings) = now;
        Ok(())
    }

    /// Has this key from now on, and no other; none where it is empty.
    fn take_key(&self, hotkey: &str) -> Result<(), CommandError> {
        *locked(&self.0.grab) = None;
        if hotkey.is_empty() {
            return Ok(());
        }
        let (runtime, desk) = (tokio::runtime::Handle::current(), self.clone());
        let on_press = move || {
            let desk = desk.clone();
            runtime.spawn(async move { desk.act(TrayAction::UploadClipboard).await });
        };
        let grabbed = hotkey
            .parse::<Hotkey>()
            .and_then(|hotkey| hotkey::grab(&hotkey, Arc::new(on_press)));
        let invalid =
            |error: HotkeyError| CommandError::new(ClientCode::InvalidInput, error.to_string());
        *locked(&self.0.grab) = Some(grabbed.map_err(invalid)?);
        Ok(())
    }

    async fn serve_editors(&self, settings: &DesktopSettings) -> Result<(), CommandError> {
        let before = locked(&self.0.picgo).take();
        if let Some(before) = before {
            before.stop().await;
        }
        if !settings.editors {
            return Ok(());
        }
        let key = Token::new(settings.editors_key.as_deref().unwrap_or_default());
        let serving = picgo::serve(self.clone(), settings.editors_port, key).await?;
        *locked(&self.0.picgo) = Some(serving);
        Ok(())
    }

    /// Takes in for a program; what becomes of it is answered when all has ended.
    ///
    /// # Errors
    /// As [`App::enqueue`].
    pub(crate) async fn upload_for_program(
        &self,
        clip: Clip,
    ) -> Result<oneshot::Receiver<Ended>, CommandError> {
        let batch = locked(&self.0.batches).begin(Origin::Program);
        let (send, waiting) = oneshot::channel();
        locked(&self.0.waiting).insert(batch, send);
        let taken = self.add_clip(batch, clip).await;
        self.close(batch).await;
        taken.map(|_| waiting)
    }

    /// Shows the tray for as long as the app lives, and tells whether there is a host that does.
    pub async fn show_tray(self, shown: watch::Sender<Shown>) {
        let icon = Pixels::from_png(ICON);
        let runtime = tokio::runtime::Handle::current();
        let desk = self.clone();
        let act = move |action| {
            let desk = desk.clone();
            runtime.spawn(async move { desk.act(action).await });
        };
        #[cfg(all(unix, not(target_os = "macos")))]
        tray::show(self.tray(), icon, shown, act).await;
        #[cfg(not(all(unix, not(target_os = "macos"))))]
        drop((icon, act, shown.send_replace(Shown::No)));
    }

    /// What is to be said when the app is in the tray and its window closed: once in all of the profile's life.
    pub async fn first_words_in_tray(&self) -> Option<&'static str> {
        if std::mem::replace(&mut locked(&self.0.settings).told_of_tray, true) {
            return None;
        }
        let kept = self
            .0
            .core
            .keep_desktop_settings(|it| it.told_of_tray = true);
        if let Err(error) = kept.await {
            // It is said again at the next start.
            tracing::warn!("{error}");
        }
        let words = self.0.tray.borrow().language.in_tray();
        // A notification where there are some; it is in nobody's way.
        (!self.say(words).await).then_some(words)
    }

    /// Does what somebody asked for in the tray.
    pub async fn act(&self, action: TrayAction) {
        let core = &self.0.core;
        let done = match action {
            TrayAction::UploadClipboard => self.take_clipboard().await.map(drop),
            TrayAction::Pause => core.pause_all().await.map(drop),
            TrayAction::Resume => core.resume_all().await.map(drop),
            TrayAction::CopyLink(id) => core
                .links(&[id], None, None)
                .await
                .map(|link| self.copy(link, 1)),
            TrayAction::UploadFiles
            | TrayAction::UploadFolder
            | TrayAction::OpenGallery
            | TrayAction::Settings
            | TrayAction::Quit => {
                self.0.host.act(action);
                Ok(())
            }
        };
        if let Err(error) = done {
            self.0.host.tell(News::Failed(error.message));
        }
    }

    /// Follows the app until it is gone.
    pub async fn run(self) {
        let mut events = self.0.core.events();
        let mut gallery = self.look().await;
        loop {
            match events.recv().await {
                Ok(Event::UploadsChanged(uploads)) => {
                    let ended = locked(&self.0.batches).update(&uploads);
                    locked(&self.0.live).update(&uploads);
                    self.show();
                    self.give_out(ended).await;
                }
                Ok(Event::StateChanged(state)) => {
                    let url = state.server.as_ref().map(|server| server.url.clone());
                    if gallery != url {
                        if gallery.is_some() {
                            locked(&self.0.batches).clear();
                            locked(&self.0.waiting).clear();
                        }
                        gallery = self.look().await;
                    } else {
                        self.show_state(&state);
                    }
                }
                Ok(Event::TimelineChanged | Event::DeletionFailed(_)) => {}
                // Some changes were missed: what they led to is looked at.
                Err(RecvError::Lagged(_)) => {
                    gallery = self.look().await;
                    let uploads = self.0.core.uploads().await;
                    let ended = locked(&self.0.batches).update(&uploads);
                    self.give_out(ended).await;
                }
                Err(RecvError::Closed) => return,
            }
        }
    }

    /// Makes the tray what the app is now; answers which gallery it has.
    async fn look(&self) -> Option<String> {
        let state = self.0.core.state().await;
        let uploads = self.0.core.uploads().await;
        *locked(&self.0.live) = Live::of(&uploads);
        self.show_state(&state);
        self.show();
        state.server.map(|server| server.url)
    }

    fn show_state(&self, state: &AppState) {
        let server = state.server.as_ref();
        self.change_tray(|tray| {
            tray.connected = server.is_some();
            tray.reachable = server.is_some_and(|server| server.reachable);
        });
    }

    fn show(&self) {
        let live = locked(&self.0.live);
        let (progress, recent) = (live.progress(), live.recent());
        drop(live);
        self.change_tray(|tray| {
            tray.progress = progress;
            tray.recent = recent;
        });
    }

    /// Nobody is woken where nothing changed.
    fn change_tray(&self, change: impl FnOnce(&mut TrayState)) {
        self.0.tray.send_if_modified(|tray| {
            let before = tray.clone();
            change(tray);
            *tray != before
        });
    }

    /// Takes files and folders in for a person: their links are on the clipboard when they have ended.
    ///
    /// # Errors
    /// As [`App::enqueue`].
    pub async fn take_files(&self, paths: Vec<PathBuf>) -> Result<Intake, CommandError> {
        let batch = locked(&self.0.batches).begin(Origin::Person);
        let taken = self.add_files(batch, paths).await;
        self.close(batch).await;
        taken
    }

    /// Takes in for a person what is on the clipboard.
    ///
    /// # Errors
    /// When there is nothing to upload on it or it cannot be read, and as [`App::enqueue`].
    pub async fn take_clipboard(&self) -> Result<Intake, CommandError> {
        self.take_clip(read_clipboard().await?).await
    }

    /// Takes in for a person what was copied.
    ///
    /// # Errors
    /// As [`App::enqueue`].
    pub async fn take_clip(&self, clip: Clip) -> Result<Intake, CommandError> {
        let batch = locked(&self.0.batches).begin(Origin::Person);
        let taken = self.add_clip(batch, clip).await;
        self.close(batch).await;
        taken
    }

    async fn add_clip(&self, batch: BatchId, clip: Clip) -> Result<Intake, CommandError> {
        let pictures = match clip {
            Clip::Files(paths) => return self.add_files(batch, paths).await,
            Clip::Pictures(pictures) => pictures,
        };
        let mut intake = Intake::default();
        for (picture, stem) in pictures.into_iter().zip(pasted_names(&Zoned::now())) {
            let taken = self
                .0
                .core
                .enqueue_stream(Cursor::new(picture), &stem)
                .await?;
            intake.pictures += 1;
            locked(&self.0.batches).add(batch, taken.into_iter().map(|file| file.id));
        }
        Ok(intake)
    }

    async fn add_files(&self, batch: BatchId, paths: Vec<PathBuf>) -> Result<Intake, CommandError> {
        let add = |taken: Vec<Taken>| {
            let ids = taken.into_iter().map(|file| file.id);
            locked(&self.0.batches).add(batch, ids);
        };
        self.0.core.enqueue(paths, Folders::Walked, add).await
    }

    async fn close(&self, batch: BatchId) {
        let uploads = self.0.core.uploads().await;
        let ended = locked(&self.0.batches).close(batch, &uploads);
        self.give_out(ended).await;
    }

    async fn give_out(&self, batches: Vec<Ended>) {
        for ended in batches {
            let waiting = locked(&self.0.waiting).remove(&ended.id);
            match ended.origin {
                Origin::Person => self.tell(ended).await,
                Origin::Program => {
                    // Who waited may have given up.
                    let _ = waiting.map(|waiting| waiting.send(ended));
                }
            }
        }
    }

    async fn tell(&self, ended: Ended) {
        let chosen = self.0.core.link_settings().await;
        let text = links(&ended.images, None, &chosen.format);
        let is_copied = chosen.copy && !ended.images.is_empty();
        if is_copied {
            self.copy(text.clone(), ended.images.len());
        }
        let desk = self.clone();
        // It asks for a thumbnail and speaks with another program; nobody waits for that.
        tokio::spawn(async move { desk.announce(ended, text, is_copied).await });
    }

    fn copy(&self, text: String, count: usize) {
        let host = &self.0.host;
        host.tell(match host.copy(text) {
            Ok(()) => News::LinksCopied(count),
            Err(reason) => News::NotCopied(reason),
        });
    }
}

/// What is on the clipboard. Another program hands it over, so no async thread waits for it.
///
/// # Errors
/// When there is nothing to upload on it, or it cannot be read.
pub async fn read_clipboard() -> Result<Clip, CommandError> {
    let reading = tokio::task::spawn_blocking(clipboard::read);
    match reading.await {
        Ok(read) => Ok(read?),
        Err(error) => {
            let reason = ClipboardError::Unavailable(error.to_string());
            Err(reason.into())
        }
    }
}

/// What pictures without a name are called that came at this moment: one after the other.
pub fn pasted_names(at: &Zoned) -> impl Iterator<Item = String> {
    let first = at.strftime("Pasted %Y-%m-%d %H-%M-%S").to_string();
    let more = first.clone();
    std::iter::once(first).chain((2..).map(move |number: u32| format!("{more} ({number})")))
}

/// No one panics while holding a lock here, and what is behind them is whole after each statement.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
