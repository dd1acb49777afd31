//! Performs what the machines ask for: some uploads at a time, each state in the journal before its effect.
//!
//! It decides nothing: what follows from what is in [`crate::machine`], `crate::part` and [`crate::retry`]. An upload
//! that waits for its turn is a row in a set and no task; one whose turn it is gets a task (`driver`), and gives its
//! turn to the next while it only waits. Requests to the server and the store, those for parts included, share one
//! limit (`crate::limit`).
//!
//! Invariant: whoever steps an upload has it to itself, be it a task or a wish of its owner; wishes that come meanwhile
//! are handed to whoever has it, in order, and none is lost.

mod config;
mod control;
mod driver;
mod known;
mod news;
mod pump;
mod send;

use std::{
    collections::BTreeSet,
    num::NonZeroU64,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, SystemTime},
};

use imgn_protocol::UploadId;
use tokio::{
    sync::{Notify, Semaphore, watch},
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    Batch, Ends, Entry, Journal, JournalError, Progress, Remote, State, file,
    limit::Gate,
    rate::{Meter, Throttle},
};
pub use config::{EngineConfig, NewUpload, Snapshot, Totals};
use known::{Known, Upload};
use news::News;

/// Drives uploads to one server. Dropping it stops everything where it is; [`Engine::shutdown`] does so in order.
pub struct Engine(Arc<Inner>);

struct Inner {
    journal: Journal,
    remote: Arc<dyn Remote>,
    config: EngineConfig,
    /// Requests under way.
    gate: Arc<Gate>,
    throttle: Arc<Throttle>,
    /// Files summed at the same time.
    readers: Semaphore,
    /// Questions about verification under way.
    askers: Semaphore,
    known: Mutex<Known>,
    news: News,
    changed: Notify,
    /// When changes were last told.
    told: tokio::sync::Mutex<Option<Instant>>,
    /// One reordering at a time.
    ordering: tokio::sync::Mutex<()>,
    /// Held by wishes until they are written down, and alone by whoever forgets what has ended: what is tried again is not
    /// forgotten meanwhile.
    forgetting: tokio::sync::RwLock<()>,
    /// All bytes that left.
    out: Progress,
    meter: Mutex<Meter>,
    /// How often in a row the store could not be reached while the server could.
    store_failures: AtomicU32,
    /// A file went missing.
    lost: Notify,
    /// Somebody does not want to wait for the next question whether the server is back.
    nudged: Notify,
    /// Counts how often the computer woke up.
    wakes: watch::Sender<u64>,
    quit: CancellationToken,
    tasks: TaskTracker,
}

/// How long [`Engine::shutdown`] waits for tasks that are stuck in a write.
const SHUTDOWN: Duration = Duration::from_millis(1500);

/// How long it waits for the journal to be let go of, and for it to be closed.
const RELEASE: Duration = Duration::from_millis(400);

/// Changes are told at most this often, and progress is looked at this often.
const TICK: Duration = Duration::from_millis(100);

/// How often the line is measured while it is used.
const MEASURE: Duration = Duration::from_millis(100);

/// A clock that leaps by more than this was stopped, or set.
const LEAP: Duration = Duration::from_secs(10);

/// Uploads that have a task at the same time, those included that only wait for the server to verify.
const MAX_TASKS: usize = 1024;

/// Questions about verification at the same time.
const ASKERS: usize = 4;

/// Places in the queue are so far apart, so that uploads can be moved between them.
const STRIDE: i64 = 16;

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
        let mut known = Known::default();
        for entry in journal.entries().await? {
            known.learn(entry, false);
        }
        known.recall(&journal.stored_parts().await?);
        known.take_changes();
        let gate = Gate::new(config.jobs);
        gate.set_rate_limit(config.rate_limit);
        let readers = std::thread::available_parallelism().map_or(2, |cores| cores.get().min(4));
        Ok(Self(Arc::new(Inner {
            journal,
            remote,
            gate,
            throttle: Arc::new(Throttle::new(config.rate_limit)),
            config,
            readers: Semaphore::new(readers),
            askers: Semaphore::new(ASKERS),
            known: Mutex::new(known),
            news: News::default(),
            changed: Notify::new(),
            told: tokio::sync::Mutex::new(None),
            ordering: tokio::sync::Mutex::new(()),
            forgetting: tokio::sync::RwLock::new(()),
            out: Progress::default(),
            meter: Mutex::default(),
            store_failures: AtomicU32::new(0),
            lost: Notify::new(),
            nudged: Notify::new(),
            wakes: watch::Sender::new(0),
            quit: CancellationToken::new(),
            tasks: TaskTracker::new(),
        })))
    }

    /// Writes new uploads down, all or none, and begins with them. Answers in the order given.
    ///
    /// # Errors
    /// When the journal cannot be written; then none was taken.
    pub async fn enqueue(&self, uploads: Vec<NewUpload>) -> Result<Vec<Snapshot>, JournalError> {
        let _ordering = self.0.ordering.lock().await;
        let first = self.0.next_position();
        let entries: Vec<_> = uploads
            .into_iter()
            .zip(0..)
            .map(|(upload, n)| upload.into_entry(first + n * STRIDE))
            .collect();
        self.0.journal.insert(&entries).await?;
        let mut snapshots = Vec::with_capacity(entries.len());
        let mut known = self.0.known();
        for entry in entries {
            let id = entry.id;
            known.learn(entry, true);
            known.make_ready(id);
            snapshots.extend(known.get(id).map(Upload::snapshot));
        }
        drop(known);
        self.0.changed.notify_one();
        self.0.dispatch();
        Ok(snapshots)
    }

    /// Tells from now on when there may be something to adopt: another program has ended.
    #[must_use]
    pub fn ends(&self) -> Ends {
        self.0.journal.ends()
    }

    /// Takes over every unfinished upload that no living program drives, and learns of those that others have brought
    /// to an end. Answers what it took over, and which act took that in.
    ///
    /// # Errors
    /// When the journal cannot be read or written.
    pub async fn adopt(&self) -> Result<Vec<(UploadId, Option<Batch>)>, JournalError> {
        let unfinished = self.0.journal.claim_unfinished().await?;
        let adopted: Vec<_> = unfinished.iter().map(|it| (it.id, it.batch)).collect();
        if !adopted.is_empty() {
            let mut known = self.0.known();
            for entry in unfinished {
                let id = entry.id;
                known.learn(entry, true);
                known.make_ready(id);
            }
            drop(known);
            self.0.changed.notify_one();
            self.0.dispatch();
        }
        if self.0.known().iter().any(Upload::is_left_to_others) {
            for entry in self.0.journal.ended_of_others().await? {
                self.0.learn_end(entry);
            }
        }
        Ok(adopted)
    }

    /// Another act than the first has these done: they are told of with it.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub async fn put_in(&self, ids: &[UploadId], batch: Batch) -> Result<(), JournalError> {
        self.0.journal.put_in(ids, batch).await?;
        self.0.known().put_in(ids, batch);
        Ok(())
    }

    /// How many requests are under way at the same time from now on; `None` finds out what is worth having.
    pub fn set_jobs(&self, jobs: Option<usize>) {
        self.0.gate.set_jobs(jobs);
        self.0.dispatch();
    }

    /// How many bytes leave in a second at most, all together, from now on; `None` is as fast as the line.
    pub fn set_rate_limit(&self, bytes_per_second: Option<NonZeroU64>) {
        self.0.throttle.set(bytes_per_second);
        self.0.gate.set_rate_limit(bytes_per_second);
        self.0.dispatch();
    }

    /// All uploads, in the order of the queue.
    #[must_use]
    pub fn snapshots(&self) -> Vec<Snapshot> {
        self.map_snapshots(Clone::clone)
    }

    /// What `map` makes of all uploads, in the order of the queue. It must be quick: nothing goes on meanwhile. Thousands
    /// of snapshots together would take memory that what is made of them may not.
    pub fn map_snapshots<T>(&self, mut map: impl FnMut(&Snapshot) -> T) -> Vec<T> {
        let known = self.0.known();
        let uploads = known.in_order().into_iter();
        uploads.map(|upload| map(&upload.snapshot())).collect()
    }

    /// What `map` makes of all entries, in the order of the queue. It must be quick: nothing goes on meanwhile.
    pub fn map_entries<T>(&self, mut map: impl FnMut(&Entry) -> T) -> Vec<T> {
        let known = self.0.known();
        let uploads = known.in_order().into_iter();
        uploads.map(|upload| map(&upload.entry)).collect()
    }

    /// One upload.
    #[must_use]
    pub fn snapshot(&self, id: UploadId) -> Option<Snapshot> {
        self.0.known().get(id).map(Upload::snapshot)
    }

    /// How much there is to do, how much of it is done, and how long the rest takes.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let rate = self.0.meter().per_second();
        self.0.known().totals().at_rate(rate)
    }

    /// The upload that is known here by `id`: by its own, or by the one that it has on the server, which is another
    /// after it had to start anew.
    #[must_use]
    pub fn find(&self, id: UploadId) -> Option<UploadId> {
        let known = self.0.known();
        if known.get(id).is_some() {
            return Some(id);
        }
        let mut entries = known.iter().map(|upload| &upload.entry);
        entries
            .find(|entry| entry.state.session() == Some(id))
            .map(|entry| entry.id)
    }

    /// Waits until uploads change and answers those that did, however often they did meanwhile; at most ten times a
    /// second. For one listener.
    pub async fn changes(&self) -> Vec<Snapshot> {
        let mut told = self.0.told.lock().await;
        if let Some(last) = *told {
            sleep_until(last + TICK).await;
        }
        loop {
            let (changes, is_sending) = self.0.known().take_changes();
            if !changes.is_empty() {
                *told = Some(Instant::now());
                return changes;
            }
            if is_sending {
                let _ = timeout(TICK, self.0.changed.notified()).await;
            } else {
                self.0.changed.notified().await;
            }
        }
    }

    /// Forgets what has ended: all of it, or `only` one upload; returns the files of it.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub async fn clear_ended(&self, only: Option<UploadId>) -> Result<Vec<PathBuf>, JournalError> {
        let _forgetting = self.0.forgetting.write().await;
        let before = SystemTime::now();
        let driven = self.0.known().driven();
        let journal = &self.0.journal;
        let forgotten = journal.forget_ended(before, &driven, only).await?;
        let is_other = |id| only.is_some_and(|only| only != id);
        self.0
            .known()
            .forget(|entry| is_other(entry.id) || driven.contains(&entry.id));
        Ok(forgotten)
    }

    /// Forgets what ended longer ago than `age`; returns the files of it.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub async fn forget_ended(&self, age: Duration) -> Result<Vec<PathBuf>, JournalError> {
        let _forgetting = self.0.forgetting.write().await;
        let before = SystemTime::now().checked_sub(age);
        let before = before.unwrap_or(SystemTime::UNIX_EPOCH);
        let driven = self.0.known().driven();
        let forgotten = self.0.journal.forget_ended(before, &driven, None).await?;
        let entries = self.0.journal.entries().await?.into_iter();
        let kept: BTreeSet<_> = entries.map(|entry| entry.id).chain(driven).collect();
        self.0.known().forget(|entry| kept.contains(&entry.id));
        Ok(forgotten)
    }

    /// Stops, within 3 s, and keeps everything for the next start, of this program or another.
    pub async fn shutdown(&self) {
        self.0.quit.cancel();
        self.0.tasks.close();
        let _ = timeout(SHUTDOWN, self.0.tasks.wait()).await;
        // A release that fails is made up for by the owner's lock, which ends with this program.
        let released = timeout(RELEASE, self.0.journal.release()).await;
        if !matches!(released, Ok(Ok(()))) {
            tracing::debug!("uploads were not released; they are free once this program has ended");
        }
        let _ = timeout(RELEASE, self.0.journal.close()).await;
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.0.quit.cancel();
    }
}

impl Inner {
    fn known(&self) -> MutexGuard<'_, Known> {
        // Nothing that holds it can panic halfway through a change.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn meter(&self) -> MutexGuard<'_, Meter> {
        self.meter.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, id: UploadId, state: State) {
        self.known().set(id, state);
        self.changed.notify_one();
    }

    /// Another program has brought an upload to an end, unless this one has taken it up meanwhile.
    fn learn_end(&self, entry: Entry) {
        let mut known = self.known();
        if known.get(entry.id).is_some_and(Upload::is_left_to_others) {
            known.learn(entry, false);
            drop(known);
            self.changed.notify_one();
        }
    }

    /// After all that are known, also of those that other programs queue meanwhile.
    fn next_position(&self) -> i64 {
        let since = (self.config.now)()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let now = i64::try_from(since.as_micros()).unwrap_or(i64::MAX / STRIDE);
        let last = self
            .known()
            .iter()
            .map(|upload| upload.entry.position)
            .max();
        last.map_or(i64::MIN, |last| last + STRIDE)
            .max(now.saturating_mul(STRIDE))
    }

    /// Gives tasks to those whose turn it is. To be called whenever there may be more of them, or more room.
    fn dispatch(self: &Arc<Self>) {
        if self.known().wants_looking() {
            self.tasks.spawn(Arc::clone(self).look_for_files());
        } else if self.known().has_newly_missing() {
            self.lost.notify_one();
        }
        let width = self.gate.width();
        loop {
            let mut known = self.known();
            if self.quit.is_cancelled()
                || known.offline.is_some()
                || known.load >= width
                || known.tasks >= MAX_TASKS
            {
                return;
            }
            let Some((entry, reins)) = known.take_ready() else {
                return;
            };
            // Of what is of unknown size some more are begun; that is all that hangs on it.
            let load = self.gate.weight(entry.size.unwrap_or_default());
            known.busy += 1;
            known.load += load;
            known.tasks += 1;
            let is_measured = std::mem::replace(&mut known.is_measured, true);
            drop(known);
            if !is_measured {
                self.tasks.spawn(Arc::clone(self).measure());
            }
            self.tasks.spawn(Arc::clone(self).drive(entry, reins, load));
        }
    }

    /// Measures the line while there are tasks.
    async fn measure(self: Arc<Self>) {
        let (mut at, mut bytes) = (Instant::now(), self.out.bytes());
        let (mut clock, mut beat) = ((self.config.now)(), Instant::now());
        loop {
            tokio::select! {
                () = self.quit.cancelled() => return,
                () = sleep(MEASURE) => {}
            }
            let (now, out) = (Instant::now(), self.out.bytes());
            let seconds = now.duration_since(at).as_secs_f64();
            self.gate.observe(seconds, out.saturating_sub(bytes));
            self.meter().observe(seconds, out.saturating_sub(bytes));
            (at, bytes) = (now, out);
            let time = (self.config.now)();
            let passed = time.duration_since(clock).unwrap_or_default();
            if passed > now.duration_since(beat) + LEAP {
                tracing::info!("the computer slept; requests under way are given up");
                self.wakes.send_modify(|wakes| *wakes += 1);
            }
            (clock, beat) = (time, now);
            self.dispatch();
            let mut known = self.known();
            if known.tasks == 0 {
                known.is_measured = false;
                self.meter().stop();
                return;
            }
        }
    }

    /// The server cannot be reached: nobody gets a turn until it answers again.
    fn go_offline(self: &Arc<Self>, reason: &str, is_store: bool) {
        let mut known = self.known();
        known.hold_all(reason);
        if known.offline.replace(reason.to_owned()).is_none() {
            if is_store {
                self.store_failures.fetch_add(1, Ordering::Relaxed);
            }
            self.tasks.spawn(Arc::clone(self).probe());
        }
    }

    async fn probe(self: Arc<Self>) {
        // The server says nothing of its store: that is tried again ever more slowly.
        let store_failures = self.store_failures.load(Ordering::Relaxed);
        let mut asked = store_failures;
        loop {
            asked += 1;
            let ask = async {
                let _ = timeout(self.delay(asked, Duration::ZERO), self.nudged.notified()).await;
                self.remote.probe().await
            };
            let answer = tokio::select! {
                () = self.quit.cancelled() => return,
                answer = ask => answer,
            };
            match answer {
                Ok(()) => break,
                Err(failure) => tracing::debug!(reason = failure.describe(), "still offline"),
            }
        }
        {
            let mut known = self.known();
            known.offline = None;
            if store_failures == 0 {
                known.release_all();
            }
        }
        self.changed.notify_one();
        self.dispatch();
    }

    /// Looks for the files that uploads wait for, until it waits for none, all together and less and less often. It
    /// begins anew when another goes missing.
    async fn look_for_files(self: Arc<Self>) {
        let mut looks = 0;
        loop {
            let (missing, is_new) = self.known().take_missing();
            if missing.is_empty() {
                return;
            }
            looks = if is_new { 1 } else { looks + 1 };
            for id in file::there(missing).await {
                self.known().found(id);
            }
            self.changed.notify_one();
            self.dispatch();
            tokio::select! {
                () = self.quit.cancelled() => return,
                () = sleep(self.config.look.delay(looks, Duration::ZERO, 1.0)) => {}
                () = self.lost.notified() => {}
            }
        }
    }

    fn delay(&self, tries: u32, at_least: Duration) -> Duration {
        let draw = (self.config.draw)();
        self.config.backoff.delay(tries, at_least, draw)
    }
}
