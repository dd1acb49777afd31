//! The app among other programs: one value, cheap to clone, through which the shell takes files in and which tells the
//! shell what to do when they are in the gallery.

mod announce;
mod asking;
mod choose;
mod late;
#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, HashSet},
    io::Cursor,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use imgn_core::{
    App, AppState, Batch, ClientCode, CommandError, DesktopSettings, Event, Folders, Gallery,
    GeneralPreferences, Intake, Origin, Taken, UploadView, links,
};
use jiff::Zoned;
use tokio::sync::{broadcast::error::RecvError, oneshot, watch};

use self::{
    announce::{Announced, Listening},
    choose::Chosen,
};
use crate::{
    Batches, Clip, ClipboardError, Copied, Ended, Language, clipboard,
    guard::Guard,
    live::Live,
    notify::Notifier,
    tray::{self, Pixels, RECENT, Recent, Shown, TrayAction, TrayState},
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
    /// What was asked for did not work, for this reason.
    Failed(String),
    /// An upload wants a token that there is none for, or that the gallery does not take: at this address.
    TokenWanted(String),
    /// What [`Desk::asked`] answers is something else now: it is to be asked, or no longer.
    Asking,
}

/// So many entries of the history are looked at at a time for the tray's links.
const LOOKED_AT: u32 = 50;

/// As the window and the desktop's menu have it.
const ICON: &[u8] = include_bytes!("../../../icons/32x32.png");

/// The app among other programs. Cheap to clone; all clones are the same.
#[derive(Clone)]
pub struct Desk(Arc<Inner>);

struct Inner {
    core: App,
    host: Arc<dyn Host>,
    batches: Mutex<Batches>,
    /// Held from a look at uploads until the batches have heard of it, and while ended ones are begun anew: a batch never
    /// hears what is no longer so.
    moment: tokio::sync::Mutex<()>,
    /// Programs that wait for a batch to end.
    waiting: Mutex<HashMap<Batch, oneshot::Sender<Ended>>>,
    live: Mutex<Live>,
    tray: watch::Sender<TrayState>,
    settings: Mutex<DesktopSettings>,
    notifier: Notifier,
    announced: Mutex<Announced>,
    listening: Listening,
    /// What does what was chosen.
    chosen: Chosen,
    /// Where the gallery is that is connected.
    gallery: Mutex<Option<String>>,
    /// What may become public when somebody says so.
    guard: Mutex<Guard>,
    /// Whose turn it is to ask.
    asking: tokio::sync::Mutex<()>,
}

impl Desk {
    /// Puts them together; [`Desk::run`] lets it live.
    pub async fn new(core: App, host: Arc<dyn Host>) -> Self {
        let settings = core.desktop_settings().await;
        let language = core.look().await.language.into();
        Self(Arc::new(Inner {
            core,
            host,
            batches: Mutex::default(),
            moment: tokio::sync::Mutex::default(),
            waiting: Mutex::default(),
            live: Mutex::default(),
            tray: watch::Sender::new(TrayState {
                language,
                ..TrayState::default()
            }),
            settings: Mutex::new(settings),
            notifier: Notifier::default(),
            announced: Mutex::default(),
            listening: Listening::default(),
            chosen: Chosen::default(),
            gallery: Mutex::default(),
            guard: Mutex::default(),
            asking: tokio::sync::Mutex::default(),
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

    /// Chooses for the app as a whole, from now on.
    ///
    /// # Errors
    /// When it cannot be done or kept; what was chosen before stays then.
    pub async fn choose_general(&self, chosen: GeneralPreferences) -> Result<(), CommandError> {
        let language: Language = chosen.language.into();
        self.0.core.set_general_preferences(chosen).await?;
        self.change_tray(|tray| tray.language = language);
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
        let gallery = self.0.core.gallery().await?;
        if !self.may_publish(&gallery, &clip).await? {
            let message = "nobody said in imgn's window that it may be published";
            return Err(CommandError::new(ClientCode::Cancelled, message));
        }
        let batch = self.begin_batch(Origin::Program);
        let (send, waiting) = oneshot::channel();
        locked(&self.0.waiting).insert(batch, send);
        // A folder is somebody's to name who sees what is in it.
        let taken = self.add_clip(&gallery, batch, clip, Folders::Refused).await;
        self.close(batch).await;
        taken.map(|_| waiting)
    }

    /// The end of the program: what others could still ask for is not answered any more.
    pub async fn end(&self) {
        tokio::join!(self.end_announcing(), self.let_go());
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
        let words = self.words().in_tray();
        // A notification where there are some; it is in nobody's way.
        (!self.say(words).await).then_some(words)
    }

    /// Does what somebody asked for in the tray.
    pub async fn act(&self, action: TrayAction) {
        let core = &self.0.core;
        let done = match action {
            TrayAction::UploadClipboard => {
                let taken = self.take_clipboard().await;
                taken.map(|intake| self.tell_intake(&intake))
            }
            TrayAction::Pause => core.pause_all().await.map(drop),
            TrayAction::Resume => core.resume_all().await.map(drop),
            TrayAction::CopyLink(id) => core
                .links(&[id], None, None)
                .await
                .map(|link| self.copy_or_tell(link, 1)),
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
            self.0.host.tell(News::Failed(self.words().failure(&error)));
        }
    }

    /// The language that it speaks now.
    #[must_use]
    pub fn words(&self) -> Language {
        self.0.tray.borrow().language
    }

    /// Follows the app until it is gone.
    pub async fn run(self) {
        let mut events = self.0.core.events();
        self.look().await;
        loop {
            match events.recv().await {
                Ok(Event::UploadsChanged(uploads)) => {
                    locked(&self.0.live).update(&uploads);
                    self.show();
                    self.hear_of(uploads).await;
                }
                Ok(Event::StateChanged(state)) => {
                    let url = state.server.as_ref().map(|server| server.url.clone());
                    let is_same = *locked(&self.0.gallery) == url;
                    if is_same {
                        self.show_state(&state);
                    } else {
                        self.look().await;
                    }
                }
                Ok(Event::UploadsAdopted) => self.take_over().await,
                Ok(Event::TimelineChanged) => self.forget_gone().await,
                Ok(Event::DeletionFailed(_)) => {}
                // Some changes were missed: what they led to is looked at.
                Err(RecvError::Lagged(_)) => {
                    self.look().await;
                    let ended = {
                        let _moment = self.0.moment.lock().await;
                        let uploads = self.0.core.uploads().await;
                        locked(&self.0.batches).update(&uploads)
                    };
                    self.give_out(ended).await;
                }
                Err(RecvError::Closed) => return,
            }
        }
    }

    /// Makes the tray what the app is now. Of another gallery nothing is told any more, and nothing taken back.
    async fn look(&self) {
        let state = self.0.core.state().await;
        let uploads = self.0.core.uploads().await;
        let url = state.server.as_ref().map(|server| server.url.clone());
        let left = {
            let mut gallery = locked(&self.0.gallery);
            std::mem::replace(&mut *gallery, url.clone()).filter(|left| Some(left) != url.as_ref())
        };
        if left.is_some() {
            locked(&self.0.batches).clear();
            locked(&self.0.waiting).clear();
            self.withdraw_question();
            let desk = self.clone();
            // It speaks with another program.
            tokio::spawn(async move { desk.forget_announced().await });
        }
        let recent = self.recent().await;
        {
            let mut live = locked(&self.0.live);
            *live = Live::of(&uploads);
            if let Some(recent) = recent {
                live.recall(recent);
            }
        }
        self.show_state(&state);
        self.show();
        self.take_over().await;
    }

    fn begin_batch(&self, origin: Origin) -> Batch {
        let batch = Batch::new(origin);
        locked(&self.0.batches).begin(batch);
        batch
    }

    /// What was uploaded last to this gallery and is in it, also before what the journal knows; none where nobody knows.
    async fn recent(&self) -> Option<Vec<Recent>> {
        let (mut recent, mut before) = (Vec::new(), None);
        loop {
            let page = self.0.core.history("", before, LOOKED_AT).await;
            let page = page.inspect_err(|error| tracing::warn!("{error}")).ok()?;
            before = Some(page.last()?.upload);
            let is_last = page.len() < LOOKED_AT as usize;
            for entry in page {
                if entry.is_current && !entry.is_gone {
                    recent.push(Recent {
                        id: entry.image.id,
                        sequence: entry.image.sequence,
                        name: entry.image.file_name.to_string(),
                    });
                }
            }
            if is_last || recent.len() >= RECENT {
                recent.truncate(RECENT);
                return Some(recent);
            }
        }
    }

    /// The list has changed: of what is gone the tray has no link.
    async fn forget_gone(&self) {
        let recent = locked(&self.0.live).recent();
        let asked: Vec<_> = recent.iter().map(|it| (it.id, it.sequence)).collect();
        if asked.is_empty() {
            return;
        }
        // Without a list nobody knows.
        let gone = self.0.core.gone(&asked).await.unwrap_or_default();
        if !gone.is_empty() {
            locked(&self.0.live).forget(&gone);
            self.show();
        }
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
        self.take_clip(Clip::Files(paths)).await
    }

    /// Says where nobody sees it otherwise that there was nothing to upload, what could not be read, or what was left alone.
    pub fn tell_intake(&self, intake: &Intake) {
        let words = self.words();
        let told = match intake.unreadable.first() {
            Some(folder) => words.unreadable(folder),
            None if intake.is_nothing() => words.nothing_in_it().to_owned(),
            None => {
                if let Some(text) = words.left_alone(intake)
                    && self.settings().notify
                {
                    let desk = self.clone();
                    // It speaks with another program. Where nobody shows it, it is not worth a window.
                    tokio::spawn(async move { desk.say(&text).await });
                }
                return;
            }
        };
        self.0.host.tell(News::Failed(told));
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
        let gallery = self.0.core.gallery().await?;
        if !self.may_publish(&gallery, &clip).await? {
            return Ok(Intake {
                withheld: true,
                ..Intake::default()
            });
        }
        let batch = self.begin_batch(Origin::Person);
        let taken = self.add_clip(&gallery, batch, clip, Folders::Walked).await;
        self.close(batch).await;
        taken
    }

    async fn add_clip(
        &self,
        gallery: &Gallery,
        batch: Batch,
        clip: Clip,
        folders: Folders,
    ) -> Result<Intake, CommandError> {
        let pictures = match clip {
            Clip::Files(paths) => return self.add_files(gallery, batch, paths, folders).await,
            Clip::Pictures(pictures) => pictures,
        };
        let mut intake = Intake::default();
        for (picture, stem) in pictures.into_iter().zip(pasted_names(&Zoned::now())) {
            let taken = self
                .0
                .core
                .enqueue_stream(gallery, Cursor::new(picture), &stem, batch)
                .await?;
            intake.pictures += 1;
            locked(&self.0.batches).add(batch, taken.into_iter().map(|file| file.id));
        }
        Ok(intake)
    }

    async fn add_files(
        &self,
        gallery: &Gallery,
        batch: Batch,
        paths: Vec<PathBuf>,
        folders: Folders,
    ) -> Result<Intake, CommandError> {
        let add = |taken: Vec<Taken>| {
            let ids = taken.into_iter().map(|file| file.id);
            locked(&self.0.batches).add(batch, ids);
        };
        let core = &self.0.core;
        core.enqueue(gallery, paths, folders, batch, add).await
    }

    async fn close(&self, batch: Batch) {
        let ended = {
            let _moment = self.0.moment.lock().await;
            let uploads = self.0.core.uploads().await;
            locked(&self.0.batches).close(batch, &uploads)
        };
        self.give_out(ended).await;
    }

    /// Uploads changed some time ago, and may have been tried again since. What is not known any more has ended so.
    async fn hear_of(&self, mut changed: Vec<UploadView>) {
        {
            let batches = locked(&self.0.batches);
            let is_member = |it: &UploadView| it.id.parse().is_ok_and(|id| batches.has(id));
            changed.retain(is_member);
        }
        if changed.is_empty() {
            return;
        }
        let ids: Vec<_> = changed.iter().filter_map(|it| it.id.parse().ok()).collect();
        let ended = {
            let _moment = self.0.moment.lock().await;
            let now = self.0.core.uploads_of(&ids).await;
            let known: HashSet<&str> = now.iter().map(|it| it.id.as_str()).collect();
            changed.retain(|then| !known.contains(then.id.as_str()));
            let mut batches = locked(&self.0.batches);
            let mut ended = batches.update(&changed);
            ended.extend(batches.update(&now));
            ended
        };
        self.give_out(ended).await;
    }

    async fn give_out(&self, batches: Vec<Ended>) {
        let wants_token = locked(&self.0.batches).take_wants_token();
        let gallery = locked(&self.0.gallery).clone();
        // What `IMGN_TOKEN` says is not changed in a window.
        if let Some(gallery) = gallery.filter(|_| wants_token && !self.0.core.has_given_token()) {
            self.0.host.tell(News::TokenWanted(gallery));
        }
        for ended in batches {
            if let Some(waiting) = locked(&self.0.waiting).remove(&ended.batch) {
                // Who waited may have given up.
                let _ = waiting.send(ended.clone());
            }
            self.tell(ended).await;
        }
    }

    /// The clipboard is a person's: what a program took in is not put on it.
    async fn tell(&self, ended: Ended) {
        let chosen = self.0.core.link_settings().await;
        let text = links(&ended.images, None, &chosen.format);
        let is_wanted =
            chosen.copy && ended.batch.origin == Origin::Person && !ended.images.is_empty();
        let copied = if is_wanted {
            self.copy(text.clone(), ended.images.len())
        } else {
            Copied::No
        };
        let desk = self.clone();
        // It asks for a thumbnail and speaks with another program; nobody waits for that.
        tokio::spawn(async move {
            let is_said = desk.announce(ended, text, &copied).await;
            if let Copied::Failed(reason) = copied
                && !is_said
            {
                let words = desk.0.tray.borrow().language;
                let news = News::Failed(words.not_copied(&reason));
                desk.0.host.tell(news);
            }
        });
    }

    /// Because somebody asked for it.
    fn copy_or_tell(&self, text: String, count: usize) {
        if let Copied::Failed(reason) = self.copy(text, count) {
            let words = self.words();
            self.0.host.tell(News::Failed(words.not_copied(&reason)));
        }
    }

    fn copy(&self, text: String, count: usize) -> Copied {
        let host = &self.0.host;
        match host.copy(text) {
            Ok(()) => {
                host.tell(News::LinksCopied(count));
                Copied::Yes
            }
            Err(reason) => Copied::Failed(reason),
        }
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
