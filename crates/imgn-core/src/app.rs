//! The app: one value, cheap to clone, that every face talks to.

mod ahead;
mod control;
mod doctor;
mod download;
mod galleries;
mod gallery;
mod general;
mod history;
mod links;
mod offline;
mod preview;
mod uploading;
mod visit;

pub use download::Downloaded;
pub use galleries::Gallery;
pub use preview::{Preview, PreviewPicture, PreviewSource};

use std::{
    num::NonZeroU64,
    path::PathBuf,
    sync::{
        Arc, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use imgn_protocol::{Token, UploadId};
use imgn_upload::{Batch, Ends, Engine, EngineConfig, Journal, Remote, Snapshot};
use tokio::sync::{Mutex, OnceCell, RwLock, Semaphore, broadcast};
use tokio_util::task::AbortOnDropHandle;

use crate::{
    AppState, ClientCode, CommandError, Event, Home, ImageQuery, MirrorPhase, ServerView,
    cache::Cache,
    history::History,
    http::Server,
    location::WithoutLocation,
    mirror::Mirror,
    settings::{ServerSettings, Settings},
    uploads,
};

/// How the app is to behave.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The gallery, in place of the one in the settings (`--server`, `IMGN_SERVER`).
    pub server: Option<String>,
    /// The token, above the keyring (`IMGN_TOKEN`); with it no keyring is touched.
    pub token: Option<Token>,
    /// Whether to drive every unfinished upload of the profile, not only the own ones: the window and `imgn resume` do.
    pub adopt: bool,
    /// How many requests are under way at the same time, from 1 to 64, in place of the settings'.
    pub jobs: Option<u32>,
    /// Bytes a second of all uploads together, in place of the settings'.
    pub bytes_per_second: Option<NonZeroU64>,
    /// Whether what is taken in keeps the place where it was taken, whatever the settings say.
    pub keep_location: bool,
    /// Whether who opens the app can start the gallery on this computer. A profile that uses it is then not connected
    /// before [`App::connect_local`]; without, it is tried at the address where it last was.
    pub starts_local: bool,
    /// Whether to keep the gallery's list on this computer what the server has, and to fetch thumbnails and originals
    /// for it: the window does.
    pub follow: bool,
}

/// The app without a window. Cheap to clone; all clones are the same app.
#[derive(Clone)]
pub struct App(Arc<Inner>);

struct Inner {
    home: Home,
    options: Options,
    settings: Mutex<Settings>,
    connection: RwLock<Option<Arc<Connection>>>,
    /// Of the next state that is told, see [`AppState::revision`].
    revision: AtomicU32,
    events: broadcast::Sender<Event>,
    thumbs: Arc<Cache>,
    /// What was uploaded from here.
    history: History,
    /// Requests for thumbnails at the same time: enough for a screen to fill quickly, few enough that what is scrolled
    /// into view is not behind hundreds that were scrolled away.
    thumb_slots: Arc<Semaphore>,
    /// Originals that are read at the same time; each is whole in memory.
    original_slots: Semaphore,
}

/// A gallery that is chosen, and everything that lives as long as that.
struct Connection {
    server: Arc<Server>,
    engine: Arc<Engine>,
    /// What the journal and the history know it as.
    name: String,
    local: bool,
    signed_in: bool,
    /// Whether its token is in nobody's keyring.
    for_now: bool,
    mirror: LazyMirror,
    adopted: Arc<Adopted>,
    /// What keeps the mirror: it ends before the mirror is closed.
    following: std::sync::Mutex<Vec<AbortOnDropHandle<()>>>,
    /// Its other tasks: they end with it.
    _tasks: Vec<AbortOnDropHandle<()>>,
}

/// What was taken over from other programs, until somebody asks.
#[derive(Default)]
struct Adopted(std::sync::Mutex<Vec<(UploadId, Option<Batch>)>>);

impl Adopted {
    fn add(&self, uploads: Vec<(UploadId, Option<Batch>)>) {
        self.uploads().extend(uploads);
    }

    fn take(&self) -> Vec<(UploadId, Option<Batch>)> {
        std::mem::take(&mut *self.uploads())
    }

    fn uploads(&self) -> MutexGuard<'_, Vec<(UploadId, Option<Batch>)>> {
        // Nothing that holds it can panic halfway through a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The gallery's list on this computer, opened when it is first needed: an upload from the command line needs none.
struct LazyMirror {
    opened: OnceCell<Arc<Mirror>>,
    folder: PathBuf,
    name: String,
    events: broadcast::Sender<Event>,
}

/// Requests for thumbnails that the window may have under way.
const THUMB_SLOTS: usize = 8;

/// Ended uploads are remembered for so long.
const REMEMBERED: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// The gallery on this computer may listen at another address each time; its uploads are known by this name.
const LOCAL: &str = "local";

impl App {
    /// Opens a profile. Connects to its gallery, but asks nothing of it yet: that it cannot be reached is no error.
    ///
    /// # Errors
    /// When the settings or the journal cannot be read, or the address is none.
    pub async fn open(home: Home, options: Options) -> Result<Self, CommandError> {
        let settings_file = home.settings();
        let settings = blocking(move || Settings::load(&settings_file)).await?;
        let most = settings.cache.max_bytes;
        let thumbs = match Cache::open(home.cache(), &home.cache_index(), most).await {
            Ok(thumbs) => thumbs,
            // A full disk costs the cache and nothing else.
            Err(error) => {
                tracing::warn!("nothing is cached: {error}");
                Cache::none(home.cache()).await?
            }
        };
        let history = History::new(home.history());
        let app = Self(Arc::new(Inner {
            home,
            history,
            options,
            settings: Mutex::new(settings.clone()),
            connection: RwLock::new(None),
            revision: AtomicU32::new(1),
            events: broadcast::Sender::new(256),
            thumbs: Arc::new(thumbs),
            thumb_slots: Arc::new(Semaphore::new(THUMB_SLOTS)),
            original_slots: Semaphore::new(gallery::ORIGINALS),
        }));
        app.remove_old_copies().await;
        if let Some(chosen) = app.chosen_server(&settings)? {
            app.reconnect(chosen).await?;
        }
        Ok(app)
    }

    /// What the app tells from now on. A listener that falls behind by more than 256 events misses the oldest and asks
    /// for the whole state again.
    #[must_use]
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.0.events.subscribe()
    }

    /// The profile.
    #[must_use]
    pub fn home(&self) -> &Home {
        &self.0.home
    }

    /// The app as a whole.
    pub async fn state(&self) -> AppState {
        // Before anything is looked at: what changes from here on is told with a higher one.
        let revision = self.0.revision.fetch_add(1, Ordering::SeqCst);
        let connection = self.0.connection.read().await.clone();
        let mut server = connection.map(|connection| connection.view());
        if let Some(server) = &mut server {
            let settings = self.0.settings.lock().await;
            let mut known = settings.galleries.iter();
            let gallery = known.find(|it| it.server.url.as_str() == server.url);
            server.name = gallery.map(|it| it.name.clone()).unwrap_or_default();
        }
        AppState {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            revision,
            server,
        }
    }

    /// Asks the gallery whether it answers, and whether it takes the token where there may be one.
    ///
    /// # Errors
    /// When no gallery is chosen, it does not answer, or the keyring or the server is in the way of the token.
    pub async fn check(&self) -> Result<(), CommandError> {
        let connection = self.connected().await?;
        check(&connection.server, connection.signed_in).await
    }

    /// By how many seconds this computer's clock is ahead of the gallery's, below zero behind it, as measured when it
    /// last answered. A clock that is wrong makes times wrong, and a store may refuse what a server signed.
    pub async fn clock_skew_seconds(&self) -> Option<i64> {
        self.connected().await.ok()?.server.clock_skew_seconds()
    }

    /// Stops within 3 s and keeps everything.
    pub async fn quit(&self) {
        self.drop_connection().await;
        self.0.thumbs.close().await;
        self.0.history.close().await;
    }

    async fn change_settings(
        &self,
        change: impl FnOnce(&mut Settings) + Send + 'static,
    ) -> Result<(), CommandError> {
        let mut settings = self.0.settings.lock().await;
        let file = self.0.home.settings();
        let changed = blocking(move || {
            // Another program may have changed something else meanwhile.
            let mut settings = Settings::load(&file)?;
            change(&mut settings);
            settings.save(&file)?;
            Ok(settings)
        })
        .await?;
        *settings = changed;
        Ok(())
    }

    async fn establish(
        &self,
        server: Arc<Server>,
        chosen: &ServerSettings,
    ) -> Result<(), CommandError> {
        self.drop_connection().await;
        let inner = &self.0;
        let name = if chosen.local {
            LOCAL
        } else {
            &server.url().to_string()
        };
        let journal = Journal::open(&inner.home.journal(), &inner.home.owners(), name).await?;
        let chosen_for_uploads = inner.settings.lock().await.uploads;
        let config = EngineConfig {
            jobs: self.jobs(chosen_for_uploads),
            rate_limit: self.rate_limit(chosen_for_uploads),
            redactor: Some(Arc::new(WithoutLocation)),
            ..EngineConfig::default()
        };
        let signed_in = server.has_credentials();
        let remote: Arc<dyn Remote> = Arc::clone(&server) as Arc<dyn Remote>;
        let engine = Arc::new(Engine::start(journal, remote, config).await?);
        // Before anything of it is forgotten.
        for snapshots in some_at_a_time(&engine) {
            inner.history.remember(name, &snapshots).await;
        }
        for file in engine.forget_ended(REMEMBERED).await? {
            uploads::forget_spooled(&file, &inner.home.spool()).await;
        }
        let mirror = LazyMirror {
            opened: OnceCell::new(),
            folder: inner.home.galleries(),
            name: name.to_owned(),
            events: inner.events.clone(),
        };
        let mut followed = None;
        if inner.options.follow {
            followed = Some(Arc::clone(mirror.get(&server).await?));
        }
        let kicked = followed.clone();
        // Held until the gallery is there: what the tasks tell of the app's state is told after that.
        let mut slot = inner.connection.write().await;
        let mut tasks = vec![
            spawn(uploads::tell(
                Arc::clone(&engine),
                Arc::clone(&server),
                inner.events.clone(),
                inner.home.spool(),
                (inner.history.clone(), name.to_owned()),
                move || {
                    if let Some(mirror) = &kicked {
                        mirror.kick();
                    }
                },
            )),
            spawn(tell_reachable(self.clone(), Arc::clone(&server))),
        ];
        let following = followed.map(|mirror| self.follow(mirror, &server, &engine));
        let following = following.map(Vec::from).unwrap_or_default();
        let adopted = Arc::<Adopted>::default();
        if inner.options.adopt {
            // Before it is looked for the first time: nothing falls between.
            let ends = engine.ends();
            adopted.add(engine.adopt().await?);
            tasks.push(spawn(keep_adopting(
                ends,
                Arc::clone(&engine),
                Arc::clone(&adopted),
                inner.events.clone(),
            )));
        }
        let for_now = signed_in && !chosen.local && !chosen.signed_in;
        let connection = Connection {
            server,
            engine,
            name: name.to_owned(),
            local: chosen.local,
            signed_in,
            for_now: for_now && inner.options.token.is_none(),
            mirror,
            adopted,
            following: std::sync::Mutex::new(following),
            _tasks: tasks,
        };
        *slot = Some(Arc::new(connection));
        Ok(())
    }

    /// What keeps the gallery's list on this computer what the server has.
    fn follow(
        &self,
        mirror: Arc<Mirror>,
        server: &Arc<Server>,
        engine: &Arc<Engine>,
    ) -> [AbortOnDropHandle<()>; 5] {
        let ahead = ahead::Ahead {
            mirror: Arc::clone(&mirror),
            server: Arc::clone(server),
            engine: Arc::clone(engine),
            cache: Arc::clone(&self.0.thumbs),
            window: Arc::clone(&self.0.thumb_slots),
        };
        let (following, fetching) = (Arc::clone(&mirror), Arc::clone(&mirror));
        [
            spawn(async move { following.follow().await }),
            spawn(async move { fetching.keep_fetching_originals().await }),
            spawn(ahead.run()),
            spawn(tell_timeline(Arc::clone(&mirror), self.0.events.clone())),
            spawn(tell_mirror(self.clone(), mirror)),
        ]
    }

    async fn drop_connection(&self) {
        let old = self.0.connection.write().await.take();
        if let Some(old) = old {
            old.engine.shutdown().await;
            let following = old
                .following
                .lock()
                .map(|mut tasks| std::mem::take(&mut *tasks));
            drop(following);
            if let Some(mirror) = old.mirror.opened.get() {
                mirror.close().await;
            }
            for snapshots in some_at_a_time(&old.engine) {
                self.0.history.remember(&old.name, &snapshots).await;
                for snapshot in snapshots {
                    let state = uploads::view(&snapshot, &old.server).state;
                    if uploads::is_in_gallery(state) {
                        uploads::forget_spooled(&snapshot.entry.path, &self.0.home.spool()).await;
                    }
                }
            }
        }
    }

    async fn connected(&self) -> Result<Arc<Connection>, CommandError> {
        let connection = self.0.connection.read().await.clone();
        connection.ok_or_else(CommandError::not_connected)
    }

    async fn told_state(&self) -> AppState {
        let state = self.state().await;
        // Nobody may be listening.
        let _ = self.0.events.send(Event::StateChanged(state.clone()));
        state
    }
}

impl Connection {
    fn view(&self) -> ServerView {
        ServerView {
            url: self.server.url().to_string(),
            name: String::new(),
            local: self.local,
            signed_in: self.signed_in,
            token_for_now: self.for_now,
            token_trouble: self.server.token_trouble().map(Into::into),
            reachable: *self.server.reachable().borrow(),
            mirror: self
                .mirror
                .opened
                .get()
                .map(|mirror| mirror.view().borrow().clone())
                .unwrap_or_default(),
        }
    }

    async fn mirror(&self) -> Result<&Arc<Mirror>, CommandError> {
        self.mirror.get(&self.server).await
    }

    /// The mirror, where there is one already.
    async fn mirror_if_any(&self) -> Option<&Arc<Mirror>> {
        if !Mirror::exists(&self.mirror.folder, &self.mirror.name) {
            return None;
        }
        self.mirror()
            .await
            .inspect_err(|error| tracing::warn!("{error}"))
            .ok()
    }
}

impl LazyMirror {
    async fn get(&self, server: &Arc<Server>) -> Result<&Arc<Mirror>, CommandError> {
        let open = || {
            let (server, events) = (Arc::clone(server), self.events.clone());
            Mirror::open(&self.folder, &self.name, server, events)
        };
        self.opened.get_or_try_init(open).await
    }
}

async fn check(server: &Server, has_token: bool) -> Result<(), CommandError> {
    let one = ImageQuery {
        limit: 1,
        ..ImageQuery::default()
    };
    server.images(&one).await?;
    if has_token {
        server.check_token().await?;
    }
    Ok(())
}

/// Tells when the server goes away and comes back. Holds the app only while there is something to tell.
async fn tell_reachable(app: App, server: Arc<Server>) {
    let app_events = app.0.events.clone();
    let weak = Arc::downgrade(&app.0);
    drop(app);
    let mut reachable = server.reachable();
    while reachable.changed().await.is_ok() {
        let Some(inner) = weak.upgrade() else {
            return;
        };
        let state = App(inner).state().await;
        let _ = app_events.send(Event::StateChanged(state));
    }
}

/// How often the timeline is told to be another one at most, and while it is filled for the first time.
const TIMELINE_EVERY: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(2)];

async fn tell_timeline(mirror: Arc<Mirror>, events: broadcast::Sender<Event>) {
    loop {
        mirror.changed.notified().await;
        // Nobody may be listening.
        let _ = events.send(Event::TimelineChanged);
        let is_filling = mirror.view().borrow().phase == MirrorPhase::Filling;
        let [live, filling] = TIMELINE_EVERY;
        tokio::time::sleep(if is_filling { filling } else { live }).await;
    }
}

/// Tells how the mirror is kept, and while it fills how far it is. Holds the app only while there is something to tell.
async fn tell_mirror(app: App, mirror: Arc<Mirror>) {
    let events = app.0.events.clone();
    let weak = Arc::downgrade(&app.0);
    drop(app);
    let mut view = mirror.view();
    let mut told = view.borrow_and_update().clone();
    while view.changed().await.is_ok() {
        let now = view.borrow_and_update().clone();
        let is_filling = now.phase == MirrorPhase::Filling;
        let is_news = (now.phase, now.total, now.pending_deletions)
            != (told.phase, told.total, told.pending_deletions);
        if !is_news && !is_filling {
            continue;
        }
        told = now;
        let Some(inner) = weak.upgrade() else {
            return;
        };
        let state = App(inner).state().await;
        let _ = events.send(Event::StateChanged(state));
        if is_filling {
            tokio::time::sleep(TIMELINE_EVERY[0]).await;
        }
    }
}

/// All uploads, in the order of the queue: thousands of snapshots together would take memory that nobody needs.
fn some_at_a_time(engine: &Engine) -> impl Iterator<Item = Vec<Snapshot>> {
    const SOME: usize = 200;
    let mut ids = engine.map_entries(|entry| entry.id).into_iter().peekable();
    std::iter::from_fn(move || {
        ids.peek()?;
        let some = ids.by_ref().take(SOME);
        Some(some.filter_map(|id| engine.snapshot(id)).collect())
    })
}

/// Takes over what other programs leave behind, as soon as they end.
async fn keep_adopting(
    mut ends: Ends,
    engine: Arc<Engine>,
    adopted: Arc<Adopted>,
    events: broadcast::Sender<Event>,
) {
    loop {
        ends.next().await;
        match engine.adopt().await {
            Ok(uploads) if uploads.is_empty() => {}
            Ok(uploads) => {
                adopted.add(uploads);
                // Nobody may be listening.
                let _ = events.send(Event::UploadsAdopted);
            }
            Err(error) => tracing::warn!("{error}"),
        }
    }
}

fn spawn(task: impl Future<Output = ()> + Send + 'static) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(task))
}

/// Runs what reads or writes the disk away from the async threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, CommandError> + Send + 'static,
) -> Result<T, CommandError> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| {
            Err(CommandError::new(
                ClientCode::DiskFailed,
                format!("a disk operation failed ({error})"),
            ))
        })
}

impl From<imgn_upload::JournalError> for CommandError {
    fn from(error: imgn_upload::JournalError) -> Self {
        use std::error::Error as _;
        let cause = match &error {
            // It says so itself.
            imgn_upload::JournalError::Sql(_) => None,
            _ => error.source(),
        };
        let cause = cause.map(|cause| format!(" ({cause})"));
        Self::new(
            imgn_upload::UploadCode::JournalFailed,
            format!("{error}{}", cause.unwrap_or_default()),
        )
    }
}
