//! What the engine knows of its uploads, and whose turn it is. Plain data under one lock; nothing here waits.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use imgn_protocol::UploadId;
use tokio::sync::{Notify, oneshot};

use super::{Snapshot, Totals};
use crate::{
    Batch, Entry, Progress, State,
    machine::{Event, Stage, WaitingFor, step},
};

/// More changes than these are told in turns: whoever shows them must not stall over a queue of thousands.
const MOST_CHANGES: usize = 1000;

/// All uploads to one server.
#[derive(Default)]
pub(super) struct Known {
    /// Each in a place of its own: a tree of thousands of so large ones is half empty.
    uploads: BTreeMap<UploadId, Box<Upload>>,
    changed: BTreeSet<UploadId>,
    /// Whose turn it is, in order.
    ready: BTreeSet<Turn>,
    /// Those whose files are to be looked for.
    missing: BTreeSet<UploadId>,
    /// Whether there is one among them that was not looked for yet.
    is_newly_missing: bool,
    /// Whether somebody looks for them.
    is_looked_for: bool,
    /// What is to be looked at for progress.
    sending: BTreeSet<UploadId>,
    /// Tasks that do something, and tasks in all.
    pub(super) busy: usize,
    pub(super) tasks: usize,
    /// How heavy those are together that do something, in places of the limit.
    pub(super) load: usize,
    /// Whether somebody measures the line.
    pub(super) is_measured: bool,
    /// What the network said, while the server cannot be reached.
    pub(super) offline: Option<String>,
}

/// What is taken back goes first, then by place in the queue, then by id.
type Turn = (bool, i64, UploadId);

pub(super) struct Upload {
    pub(super) entry: Entry,
    pub(super) progress: Progress,
    /// Whether this program is its owner in the journal.
    pub(super) is_owned: bool,
    /// The progress that was last told.
    told: u64,
    /// There while somebody steps it: nobody else does.
    pub(super) driven: Option<Arc<Reins>>,
    turn: Option<Turn>,
    /// Whether it counts in the totals.
    counts: bool,
}

/// What the owner of an upload wants while a task drives it.
#[derive(Default)]
pub(super) struct Reins {
    wishes: Mutex<VecDeque<Wish>>,
    pulled: Notify,
    /// Whether a task holds them, and not another wish.
    is_of_task: bool,
    /// Wishes that are not answered yet.
    unheard: AtomicUsize,
}

/// A wish, and who wants to hear when it is written down.
pub(super) struct Wish {
    pub(super) event: Event,
    pub(super) heard: oneshot::Sender<()>,
}

impl Reins {
    fn of_task() -> Self {
        Self {
            is_of_task: true,
            ..Self::default()
        }
    }

    /// Whether the upload goes on, and nobody wants anything else of it.
    pub(super) fn is_let_run(&self) -> bool {
        self.is_of_task && self.unheard.load(Ordering::SeqCst) == 0
    }

    /// A wish is written down, and its owner told.
    pub(super) fn answer(&self, wish: Wish) {
        // Nobody may be waiting any more.
        let _ = wish.heard.send(());
        self.unheard.fetch_sub(1, Ordering::SeqCst);
    }

    pub(super) fn pull(&self, wish: Wish) {
        self.unheard.fetch_add(1, Ordering::SeqCst);
        let mut wishes = self.wishes.lock().unwrap_or_else(PoisonError::into_inner);
        wishes.push_back(wish);
        self.pulled.notify_one();
    }

    pub(super) fn take(&self) -> Option<Wish> {
        let mut wishes = self.wishes.lock().unwrap_or_else(PoisonError::into_inner);
        wishes.pop_front()
    }

    pub(super) async fn next(&self) -> Wish {
        loop {
            if let Some(wish) = self.take() {
                return wish;
            }
            self.pulled.notified().await;
        }
    }
}

impl Known {
    pub(super) fn get(&self, id: UploadId) -> Option<&Upload> {
        self.uploads.get(&id).map(Box::as_ref)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Upload> {
        self.uploads.values().map(Box::as_ref)
    }

    /// Of an upload as the journal has it.
    pub(super) fn learn(&mut self, entry: Entry, is_owned: bool) {
        let (id, state) = (entry.id, entry.state.clone());
        match self.uploads.get_mut(&id) {
            Some(upload) => {
                upload.entry = entry;
                upload.is_owned = is_owned;
            }
            None => {
                let upload = Upload::new(entry, is_owned);
                self.uploads.insert(id, Box::new(upload));
            }
        }
        self.set(id, state);
    }

    /// So many parts of what each session was opened for were in the store when that was last noted: something to show
    /// until the store is asked.
    pub(super) fn recall(&mut self, stored_parts: &BTreeMap<UploadId, u64>) {
        for upload in self.uploads.values() {
            let Some(Stage::Parts { target, plan }) =
                upload.entry.state.work().map(|work| &work.stage)
            else {
                continue;
            };
            if let Some(count) = stored_parts.get(&target.session)
                && upload.driven.is_none()
            {
                let bytes = count.saturating_mul(plan.part_size);
                upload
                    .progress
                    .set(bytes.min(target.content.fingerprint.size));
            }
        }
    }

    /// An upload stands somewhere else.
    pub(super) fn set(&mut self, id: UploadId, state: State) {
        let Some(upload) = self.uploads.get_mut(&id) else {
            return;
        };
        upload.entry.state = state;
        if upload.is_sending() {
            self.sending.insert(id);
        } else {
            self.sending.remove(&id);
        }
        self.changed.insert(id);
    }

    /// Lets an upload of this program take its turn, unless it waits for nothing.
    pub(super) fn make_ready(&mut self, id: UploadId) {
        let Some(upload) = self.uploads.get(&id) else {
            return;
        };
        if !upload.is_owned || !upload.entry.state.is_active() || upload.driven.is_some() {
            return;
        }
        let waits_for_file = matches!(
            upload.entry.state,
            State::Waiting {
                on: WaitingFor::File,
                ..
            }
        );
        if self.ready.is_empty() && self.tasks == 0 {
            // Nothing was left to do: a new count begins.
            for upload in self.uploads.values_mut() {
                upload.counts = false;
            }
        }
        if waits_for_file {
            self.missing.insert(id);
            self.is_newly_missing = true;
            if let Some(upload) = self.uploads.get_mut(&id) {
                upload.counts = true;
            }
            return;
        }
        if let Some(reason) = self.offline.clone() {
            self.hold(id, reason);
        }
        if let Some(upload) = self.uploads.get_mut(&id) {
            upload.counts = true;
            let turn = upload.next_turn();
            if let Some(old) = upload.turn.replace(turn) {
                self.ready.remove(&old);
            }
            self.ready.insert(turn);
        }
    }

    /// Gives the next one to whoever drives it.
    pub(super) fn take_ready(&mut self) -> Option<(Entry, Arc<Reins>)> {
        let (.., id) = self.ready.pop_first()?;
        let upload = self.uploads.get_mut(&id)?;
        upload.turn = None;
        let reins = Arc::new(Reins::of_task());
        upload.driven = Some(Arc::clone(&reins));
        Some((upload.entry.clone(), reins))
    }

    /// Takes an upload of this program that nobody drives, to step it.
    pub(super) fn take(&mut self, id: UploadId) -> Option<Entry> {
        let upload = self.uploads.get_mut(&id)?;
        upload.driven = Some(Arc::default());
        if let Some(turn) = upload.turn.take() {
            self.ready.remove(&turn);
        }
        self.missing.remove(&id);
        Some(upload.entry.clone())
    }

    /// Whether somebody is to begin to look for files. Whoever is told so does.
    pub(super) fn wants_looking(&mut self) -> bool {
        !self.missing.is_empty() && !std::mem::replace(&mut self.is_looked_for, true)
    }

    /// Whether a file is missing that was not looked for yet.
    pub(super) fn has_newly_missing(&self) -> bool {
        self.is_newly_missing
    }

    /// The files to look for, and whether one of them is new. Whoever gets none looks no more.
    pub(super) fn take_missing(&mut self) -> (Vec<(UploadId, PathBuf)>, bool) {
        let files = self.missing.iter().filter_map(|id| {
            let upload = self.uploads.get(id)?;
            Some((*id, upload.entry.path.clone()))
        });
        let files: Vec<_> = files.collect();
        self.is_looked_for = !files.is_empty();
        (files, std::mem::take(&mut self.is_newly_missing))
    }

    /// The file of an upload is there again.
    pub(super) fn found(&mut self, id: UploadId) {
        if self.missing.remove(&id) {
            self.release(id);
            self.make_ready(id);
        }
    }

    /// Whoever drove an upload lets go of it, unless its owner wants something of it meanwhile.
    pub(super) fn let_go(&mut self, id: UploadId) -> Option<Wish> {
        let upload = self.uploads.get_mut(&id)?;
        let wish = upload.driven.as_ref().and_then(|reins| reins.take());
        if wish.is_none() {
            upload.driven = None;
        }
        wish
    }

    /// The server is gone: what waits for its turn says so.
    pub(super) fn hold_all(&mut self, reason: &str) {
        let ids: Vec<UploadId> = self.ready.iter().map(|(.., id)| *id).collect();
        for id in ids {
            self.hold(id, reason.to_owned());
        }
    }

    /// The server is there again: what waits for its turn does not wait for the server any more.
    pub(super) fn release_all(&mut self) {
        let ids: Vec<UploadId> = self.ready.iter().map(|(.., id)| *id).collect();
        for id in ids {
            self.release(id);
        }
    }

    fn release(&mut self, id: UploadId) {
        let Some(upload) = self.uploads.get(&id) else {
            return;
        };
        if let State::Waiting { work, .. } = &upload.entry.state {
            let state = work.in_turn();
            self.set(id, state);
        }
    }

    fn hold(&mut self, id: UploadId, reason: String) {
        let Some(upload) = self.uploads.get(&id) else {
            return;
        };
        let waits_already = matches!(
            upload.entry.state,
            State::Waiting {
                on: WaitingFor::Server,
                ..
            }
        );
        if !waits_already {
            let (state, _) = step(upload.entry.state.clone(), Event::Hold(reason));
            self.set(id, state);
        }
    }

    /// Another act has them done.
    pub(super) fn put_in(&mut self, ids: &[UploadId], batch: Batch) {
        for id in ids {
            if let Some(upload) = self.uploads.get_mut(id) {
                upload.entry.batch = Some(batch);
            }
        }
    }

    /// Puts uploads elsewhere in the queue.
    pub(super) fn place(&mut self, positions: &[(UploadId, i64)]) {
        for &(id, position) in positions {
            let Some(upload) = self.uploads.get_mut(&id) else {
                continue;
            };
            upload.entry.position = position;
            self.changed.insert(id);
            if let Some(old) = upload.turn.take() {
                let turn = upload.next_turn();
                upload.turn = Some(turn);
                self.ready.remove(&old);
                self.ready.insert(turn);
            }
        }
    }

    /// In the order of the queue.
    pub(super) fn in_order(&self) -> Vec<&Upload> {
        let mut uploads: Vec<&Upload> = self.iter().collect();
        uploads.sort_by_key(|upload| (upload.entry.position, upload.entry.id));
        uploads
    }

    /// What somebody steps just now, ended or not.
    pub(super) fn driven(&self) -> BTreeSet<UploadId> {
        let driven = self.iter().filter(|upload| upload.driven.is_some());
        driven.map(|upload| upload.entry.id).collect()
    }

    /// Forgets what has ended and is not to be kept.
    pub(super) fn forget(&mut self, is_kept: impl Fn(&Entry) -> bool) {
        self.uploads.retain(|_, upload| {
            upload.driven.is_some() || !upload.entry.state.has_ended() || is_kept(&upload.entry)
        });
    }

    /// What changed since it was last asked, and whether bytes are on their way.
    pub(super) fn take_changes(&mut self) -> (Vec<Snapshot>, bool) {
        let mut ids = std::mem::take(&mut self.changed);
        if let Some(&next) = ids.iter().nth(MOST_CHANGES) {
            self.changed = ids.split_off(&next);
        }
        ids.extend(self.sending.iter().filter(|id| {
            let upload = self.uploads.get(id);
            upload.is_some_and(|upload| upload.progress.bytes() != upload.told)
        }));
        let mut changes = Vec::with_capacity(ids.len());
        for id in ids {
            if let Some(upload) = self.uploads.get_mut(&id) {
                let snapshot = upload.snapshot();
                upload.told = snapshot.sent_bytes;
                changes.push(snapshot);
            }
        }
        (changes, !self.sending.is_empty())
    }

    pub(super) fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        let counted = self.uploads.values().filter(|upload| upload.counts);
        for upload in counted {
            let state = &upload.entry.state;
            if matches!(state, State::Paused { .. }) {
                continue;
            }
            let sent = upload.progress.bytes();
            let total = upload.total_bytes().unwrap_or(sent);
            totals.files += 1;
            totals.bytes += total;
            if state.has_ended() {
                // What did not work leaves no more to do than what did.
                totals.files_done += 1;
                totals.bytes_done += total;
            } else {
                totals.bytes_done += sent;
            }
        }
        totals
    }
}

impl Upload {
    fn new(entry: Entry, is_owned: bool) -> Self {
        Self {
            entry,
            progress: Progress::default(),
            is_owned,
            told: 0,
            driven: None,
            turn: None,
            counts: false,
        }
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        Snapshot {
            entry: self.entry.clone(),
            sent_bytes: self.progress.bytes(),
            total_bytes: self.total_bytes(),
        }
    }

    /// As it is sent, or as the file was when it was named.
    fn total_bytes(&self) -> Option<u64> {
        let summed = self.entry.state.content();
        summed
            .map(|content| content.fingerprint.size)
            .or(self.entry.size)
    }

    pub(super) fn is_left_to_others(&self) -> bool {
        !self.is_owned && !self.entry.state.has_ended()
    }

    fn is_sending(&self) -> bool {
        let State::Working(work) = &self.entry.state else {
            return false;
        };
        matches!(work.stage, Stage::Sending { .. } | Stage::Parts { .. })
    }

    fn next_turn(&self) -> Turn {
        (
            !self.entry.state.is_taken_back(),
            self.entry.position,
            self.entry.id,
        )
    }
}
