//! Performs what the machines ask for: some uploads at a time, each state in the journal before its effect.
//!
//! It decides nothing: what follows from what is in [`crate::machine`] and [`crate::retry`]. Each upload that is driven
//! is a task. A task holds one of a bounded number of slots while it reads, asks or sends, and none while it waits for
//! a pause, for verification or for the server to come back.

mod driver;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use imgn_protocol::{FileName, UploadId};
use tokio::{
    sync::{Notify, Semaphore, watch},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    Backoff, Entry, Fault, Journal, JournalError, Progress, Remote, UploadCode,
    machine::{Event, Stage, State, Work, step},
};

/// How the engine behaves. [`EngineConfig::default`] is for people; tests shorten it.
pub struct EngineConfig {
    /// Uploads worked at at the same time.
    pub jobs: usize,
    /// Delays between tries.
    pub backoff: Backoff,
    /// A request whose bytes do not move for so long is given up.
    pub stall: Duration,
    /// How long the store may think once it has all bytes: it sums and syncs them.
    pub answer: Duration,
    /// Delays between questions whether a picture is verified, doubled from the first to the longest.
    pub poll: Backoff,
    /// Numbers in 0..=1 that spread delays.
    pub draw: Box<dyn Fn() -> f64 + Send + Sync>,
}

impl Default for EngineConfig {
    /// Four uploads at a time (what browsers and S3's own tools settle on within a small factor), 20 s without a byte
    /// is a stall.
    fn default() -> Self {
        Self {
            jobs: 4,
            backoff: Backoff::default(),
            stall: Duration::from_secs(20),
            answer: Duration::from_secs(120),
            poll: Backoff {
                first: Duration::from_millis(200),
                longest: Duration::from_secs(3),
            },
            draw: Box::new(fastrand::f64),
        }
    }
}

/// A file to upload.
#[derive(Debug, Clone)]
pub struct NewUpload {
    /// Where it is.
    pub path: PathBuf,
    /// What it will be called in the gallery.
    pub file_name: FileName,
    /// What it is taken for.
    pub content_type: Option<String>,
    /// Why it is not even tried: it is then written down as ended.
    pub refused: Option<State>,
}

/// An upload as it stands now.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// What is known of it.
    pub entry: Entry,
    /// Bytes that have left since sending last began.
    pub sent_bytes: u64,
}

/// Drives uploads to one server. Dropping it stops everything where it is; [`Engine::shutdown`] does so in order.
pub struct Engine(Arc<Inner>);

struct Inner {
    journal: Journal,
    remote: Arc<dyn Remote>,
    config: EngineConfig,
    slots: Arc<Semaphore>,
    known: Mutex<Known>,
    changed: Notify,
    /// Counts how often the server came back.
    returns: watch::Sender<u64>,
    /// Held by the one task that asks for the server while others wait.
    probing: tokio::sync::Mutex<()>,
    quit: CancellationToken,
    tasks: TaskTracker,
}

#[derive(Default)]
struct Known {
    uploads: BTreeMap<UploadId, Upload>,
    changed: BTreeSet<UploadId>,
}

struct Upload {
    entry: Entry,
    progress: Progress,
    /// The progress that was last told.
    told: u64,
    /// Cancels it; there while a task drives it.
    driven: Option<CancellationToken>,
}

/// How long [`Engine::shutdown`] waits for tasks that are stuck in a write.
const SHUTDOWN: Duration = Duration::from_secs(2);

/// How often progress is looked at.
const TICK: Duration = Duration::from_millis(100);

impl Engine {
    /// An engine on `journal`. It knows all that is written there, and drives nothing yet.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn start(
        journal: Journal,
        remote: Arc<dyn Remote>,
        config: EngineConfig,
    ) -> Result<Self, JournalError> {
        let uploads = journal.entries().await?.into_iter();
        let uploads = uploads
            .map(|entry| (entry.id, Upload::new(entry)))
            .collect();
        Ok(Self(Arc::new(Inner {
            journal,
            remote,
            slots: Arc::new(Semaphore::new(config.jobs.max(1))),
            config,
            known: Mutex::new(Known {
                uploads,
                changed: BTreeSet::new(),
            }),
            changed: Notify::new(),
            returns: watch::Sender::new(0),
            probing: tokio::sync::Mutex::new(()),
            quit: CancellationToken::new(),
            tasks: TaskTracker::new(),
        })))
    }

    /// Writes new uploads down and begins with them. Answers in the order given.
    ///
    /// # Errors
    /// When the journal cannot be written; then none was taken.
    pub async fn enqueue(&self, uploads: Vec<NewUpload>) -> Result<Vec<Snapshot>, JournalError> {
        let entries: Vec<Entry> = uploads.into_iter().map(NewUpload::into_entry).collect();
        self.0.journal.insert(&entries).await?;
        let snapshots = entries.iter().cloned().map(Snapshot::unsent).collect();
        for entry in entries {
            self.0.learn(entry.clone());
            if !entry.state.has_ended() {
                self.0.drive(entry);
            }
        }
        Ok(snapshots)
    }

    /// Takes over every unfinished upload that no living program drives, and learns of those that others have brought
    /// to an end. Answers how many it took over.
    ///
    /// # Errors
    /// When the journal cannot be read or written.
    pub async fn adopt(&self) -> Result<usize, JournalError> {
        let mut adopted = 0;
        for id in self.0.journal.unfinished_of_others().await? {
            if let Some(entry) = self.0.journal.claim(id).await? {
                self.0.learn(entry.clone());
                self.0.drive(entry);
                adopted += 1;
            }
        }
        if self.0.leaves_some_to_others() {
            for entry in self.0.journal.ended_of_others().await? {
                self.0.learn_end(entry);
            }
        }
        Ok(adopted)
    }

    /// Takes an upload back: on the server too, if it was opened there. Answers whether there is such an upload, and
    /// no other program drives it.
    ///
    /// # Errors
    /// When the journal cannot be read or written.
    pub async fn cancel(&self, id: UploadId) -> Result<bool, JournalError> {
        if let Some(token) = self.0.driver_of(id) {
            token.cancel();
            return Ok(true);
        }
        self.begin(id, Event::Cancel).await
    }

    /// Tries again what failed, was rejected or cancelled. Answers whether there is such an upload, and no other
    /// program drives it.
    ///
    /// # Errors
    /// When the journal cannot be read or written.
    pub async fn retry(&self, id: UploadId) -> Result<bool, JournalError> {
        if self.0.driver_of(id).is_some() {
            return Ok(true);
        }
        self.begin(id, Event::Retry).await
    }

    /// Takes the first step of what its owner wants at once, so that whoever asks next sees it; a task does the rest.
    async fn begin(&self, id: UploadId, wish: Event) -> Result<bool, JournalError> {
        let Some(mut entry) = self.0.journal.claim(id).await? else {
            return Ok(false);
        };
        let (state, _) = step(entry.state.clone(), wish);
        if state != entry.state {
            self.0.journal.save(id, &state).await?;
            entry.state = state;
        }
        self.0.learn(entry.clone());
        if !entry.state.has_ended() {
            self.0.drive(entry);
        }
        Ok(true)
    }

    /// All uploads, in the order of queueing.
    #[must_use]
    pub fn snapshots(&self) -> Vec<Snapshot> {
        self.0
            .known()
            .uploads
            .values()
            .map(Upload::snapshot)
            .collect()
    }

    /// One upload.
    #[must_use]
    pub fn snapshot(&self, id: UploadId) -> Option<Snapshot> {
        self.0.known().uploads.get(&id).map(Upload::snapshot)
    }

    /// The upload that is known here by `id`: by its own, or by the one that it has on the server, which is another
    /// after it had to start anew.
    #[must_use]
    pub fn find(&self, id: UploadId) -> Option<UploadId> {
        let known = self.0.known();
        if known.uploads.contains_key(&id) {
            return Some(id);
        }
        let mut uploads = known.uploads.values().map(|upload| &upload.entry);
        uploads
            .find(|entry| entry.state.session() == Some(id))
            .map(|entry| entry.id)
    }

    /// Waits until uploads change and answers those that did, however often they did meanwhile. For one listener.
    pub async fn changes(&self) -> Vec<Snapshot> {
        loop {
            let (changes, is_sending) = self.0.take_changes();
            if !changes.is_empty() {
                return changes;
            }
            if is_sending {
                let _ = timeout(TICK, self.0.changed.notified()).await;
            } else {
                self.0.changed.notified().await;
            }
        }
    }

    /// Forgets what has ended.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub async fn clear_ended(&self) -> Result<(), JournalError> {
        self.0.journal.forget_ended(Duration::ZERO).await?;
        let mut known = self.0.known();
        known
            .uploads
            .retain(|_, upload| upload.driven.is_some() || !upload.entry.state.has_ended());
        Ok(())
    }

    /// Forgets what ended longer ago than `age`.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub async fn forget_ended(&self, age: Duration) -> Result<(), JournalError> {
        self.0.journal.forget_ended(age).await?;
        let kept: BTreeSet<_> = self
            .0
            .journal
            .entries()
            .await?
            .iter()
            .map(|e| e.id)
            .collect();
        let mut known = self.0.known();
        known
            .uploads
            .retain(|id, upload| upload.driven.is_some() || kept.contains(id));
        Ok(())
    }

    /// Stops, within 3 s, and keeps everything for the next start, of this program or another.
    pub async fn shutdown(&self) {
        self.0.quit.cancel();
        self.0.tasks.close();
        let _ = timeout(SHUTDOWN, self.0.tasks.wait()).await;
        // A release that fails is made up for by the owner's lock, which ends with this program.
        let released = timeout(Duration::from_millis(500), self.0.journal.release()).await;
        if !matches!(released, Ok(Ok(()))) {
            tracing::debug!("uploads were not released; they are free once this program has ended");
        }
        let _ = timeout(Duration::from_millis(500), self.0.journal.close()).await;
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.0.quit.cancel();
    }
}

impl NewUpload {
    fn into_entry(self) -> Entry {
        let id = UploadId::new();
        Entry {
            id,
            path: self.path,
            file_name: self.file_name,
            content_type: self.content_type,
            state: self.refused.unwrap_or(State::Queued { session: id }),
        }
    }
}

impl Snapshot {
    fn unsent(entry: Entry) -> Self {
        Self {
            entry,
            sent_bytes: 0,
        }
    }
}

impl Upload {
    fn new(entry: Entry) -> Self {
        Self {
            entry,
            progress: Progress::default(),
            told: 0,
            driven: None,
        }
    }

    fn is_left_to_others(&self) -> bool {
        self.driven.is_none() && !self.entry.state.has_ended()
    }

    fn is_sending(&self) -> bool {
        matches!(
            self.entry.state,
            State::Working(Work {
                stage: Stage::Sending { .. },
                ..
            })
        )
    }

    fn snapshot(&self) -> Snapshot {
        Snapshot {
            entry: self.entry.clone(),
            sent_bytes: self.progress.bytes(),
        }
    }
}

impl Inner {
    fn known(&self) -> MutexGuard<'_, Known> {
        // Nothing that holds it can panic halfway through a change.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn learn(&self, entry: Entry) {
        let mut known = self.known();
        let id = entry.id;
        match known.uploads.get_mut(&id) {
            Some(upload) => upload.entry = entry,
            None => {
                known.uploads.insert(id, Upload::new(entry));
            }
        }
        known.changed.insert(id);
        drop(known);
        self.changed.notify_one();
    }

    /// Whether there are unfinished uploads that no task here drives.
    fn leaves_some_to_others(&self) -> bool {
        self.known().uploads.values().any(Upload::is_left_to_others)
    }

    /// Another program has brought an upload to an end, unless this one has taken it up meanwhile.
    fn learn_end(&self, entry: Entry) {
        let mut known = self.known();
        let id = entry.id;
        if let Some(upload) = known.uploads.get_mut(&id)
            && upload.is_left_to_others()
        {
            upload.entry = entry;
            known.changed.insert(id);
            drop(known);
            self.changed.notify_one();
        }
    }

    fn note(&self, id: UploadId, state: State) {
        let mut known = self.known();
        if let Some(upload) = known.uploads.get_mut(&id) {
            upload.entry.state = state;
            known.changed.insert(id);
        }
        drop(known);
        self.changed.notify_one();
    }

    fn take_changes(&self) -> (Vec<Snapshot>, bool) {
        let mut known = self.known();
        let mut ids = std::mem::take(&mut known.changed);
        let mut is_sending = false;
        for (id, upload) in known
            .uploads
            .iter()
            .filter(|(_, upload)| upload.is_sending())
        {
            is_sending = true;
            if upload.progress.bytes() != upload.told {
                ids.insert(*id);
            }
        }
        let changes = ids
            .into_iter()
            .filter_map(|id| {
                let upload = known.uploads.get_mut(&id)?;
                let snapshot = upload.snapshot();
                upload.told = snapshot.sent_bytes;
                Some(snapshot)
            })
            .collect();
        (changes, is_sending)
    }

    fn driver_of(&self, id: UploadId) -> Option<CancellationToken> {
        self.known().uploads.get(&id)?.driven.clone()
    }

    /// Gives an upload that is known a task, unless it has one.
    fn drive(self: &Arc<Self>, entry: Entry) {
        let id = entry.id;
        let cancel = CancellationToken::new();
        {
            let mut known = self.known();
            let Some(upload) = known.uploads.get_mut(&id) else {
                return;
            };
            if upload.driven.is_some() {
                return;
            }
            upload.driven = Some(cancel.clone());
            // As its owner read it: what was heard of others is older.
            upload.entry = entry.clone();
        }
        let inner = Arc::clone(self);
        self.tasks.spawn(async move {
            if let Err(error) = inner.run(entry, &cancel).await {
                inner.give_up(id, &error);
            }
            if let Some(upload) = inner.known().uploads.get_mut(&id) {
                upload.driven = None;
            }
        });
    }

    /// The journal fails: nothing more is done for this upload, for it could not be taken back. It stands in the
    /// journal as it last did, and goes on from there at the next start.
    fn give_up(&self, id: UploadId, error: &JournalError) {
        tracing::error!(%id, error = error as &dyn std::error::Error, "the journal failed");
        let session = id;
        let fault = Fault::new(
            UploadCode::JournalFailed,
            format!("{error}; free some space and start imgn again, the upload goes on then"),
        );
        let work = Work::at(Stage::Summing { session });
        self.note(id, State::Failed { fault, work });
    }
}
