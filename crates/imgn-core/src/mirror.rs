//! The offline mirror: the list of the whole gallery on this computer, kept what the server has by its change feed, and
//! with it the deletions that wait for the server and the originals that are kept.
//!
//! It is no store of pictures: thumbnails are in the cache, originals in files of their own. It shows nothing; what
//! changed is told by the app's events.
//!
//! Invariants: the mirror holds a state that the gallery once had, and all that came after is still to be applied, in
//! order. What it cannot learn again (a queued deletion, an original that was asked for) is on the disk when the command
//! is answered.

mod columns;
mod events;
mod follow;
mod originals;
mod postings;
mod store;
pub(crate) mod words;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use imgn_protocol::{ErrorCode, ImageId, Sha256, Timestamp};
use imgn_upload::Failure;
use jiff::SignedDuration;
use tokio::sync::{Mutex, Notify, broadcast, watch};
use url::Url;

pub use columns::Timeline;
pub(crate) use follow::Trouble;
pub(crate) use store::{Known, MirrorError};

use crate::{
    ClientCode, CommandError, DeletionView, Event, FailedDeletion, MirrorPhase, MirrorView,
    RefusedDeletion, http::Server,
};
use originals::Originals;
use store::Store;

/// The database in a gallery's folder.
const FILE: &str = "mirror.sqlite";

/// How old what is written down of the last look may get while the server is there: a program that is killed then tells
/// that what it shows is older by so much than it is.
const CHECK_KEPT_EVERY: SignedDuration = SignedDuration::from_mins(5);

/// An address may hold what no file name can.
fn folder_of(folder: &Path, name: &str) -> PathBuf {
    let key = Sha256::of(name.as_bytes()).to_string();
    folder.join(&key[..16])
}

/// A gallery's mirror, shared by all who use it in this program.
pub(crate) struct Mirror {
    store: Store,
    originals: Originals,
    server: Arc<Server>,
    view: watch::Sender<MirrorView>,
    events: broadcast::Sender<Event>,
    /// The timeline is another one than was told last.
    pub(crate) changed: Notify,
    /// There may be news: look at the feed at once.
    kick: Notify,
    /// An original is wanted that is not here.
    wanted: Notify,
    /// When the last look was that is written down.
    check_kept: std::sync::Mutex<Option<Timestamp>>,
    /// Deletions are carried out by one at a time, so that none is told of twice.
    deleting: Mutex<()>,
}

impl Mirror {
    /// Opens the mirror of the gallery that is known as `name`.
    pub(crate) async fn open(
        folder: &Path,
        name: &str,
        server: Arc<Server>,
        events: broadcast::Sender<Event>,
    ) -> Result<Arc<Self>, CommandError> {
        let folder = folder_of(folder, name);
        tokio::fs::create_dir_all(&folder)
            .await
            .map_err(MirrorError::Open)?;
        let base: Url = server.url().clone();
        let store = Store::open(&folder.join(FILE), base).await?;
        let mirror = Self {
            originals: Originals::new(folder.join("originals")),
            store,
            server,
            view: watch::Sender::new(MirrorView::default()),
            events,
            changed: Notify::new(),
            kick: Notify::new(),
            wanted: Notify::new(),
            check_kept: std::sync::Mutex::default(),
            deleting: Mutex::default(),
        };
        mirror.look().await?;
        Ok(Arc::new(mirror))
    }

    /// Whether there is a mirror of the gallery that is known as `name`.
    pub(crate) fn exists(folder: &Path, name: &str) -> bool {
        folder_of(folder, name).join(FILE).is_file()
    }

    /// Where the mirror stands.
    pub(crate) fn view(&self) -> watch::Receiver<MirrorView> {
        self.view.subscribe()
    }

    pub(crate) async fn close(&self) {
        self.keep_check().await;
        self.store.close().await;
    }

    /// There may be news at the server.
    pub(crate) fn kick(&self) {
        self.kick.notify_one();
    }

    /// The order of everything, or of what is searched for.
    pub(crate) async fn timeline(&self, search: &str) -> Result<Timeline, CommandError> {
        Ok(self.noting(self.store.timeline(search)).await?)
    }

    pub(crate) async fn pictures(
        &self,
        sequences: &[u32],
    ) -> Result<Vec<Option<Known>>, CommandError> {
        Ok(self.noting(self.store.pictures(sequences)).await?)
    }

    pub(crate) async fn picture(&self, id: ImageId) -> Result<Option<Known>, CommandError> {
        Ok(self.noting(self.store.picture(id)).await?)
    }

    /// Whether the list holds what the feed told up to this place.
    pub(crate) async fn has_come_to(&self, sequence: u64) -> Result<bool, CommandError> {
        Ok(self.store.status().await?.position >= sequence)
    }

    /// Some pictures before a place in the feed, newest first.
    pub(crate) async fn before(
        &self,
        sequence: u64,
        limit: u32,
    ) -> Result<Vec<(u64, ImageId)>, CommandError> {
        Ok(self.noting(self.store.before(sequence, limit)).await?)
    }

    /// Deletes pictures from the gallery: at once where the server answers, else when it does again.
    pub(crate) async fn delete(&self, ids: Vec<ImageId>) -> Result<DeletionView, CommandError> {
        // Written down before anything is waited for: whoever quits now has not asked in vain.
        self.store.queue_deletions(&ids).await?;
        self.told_changed().await;
        let deleting = self.deleting.lock().await;
        let mut view = DeletionView::default();
        let mut ids = ids.into_iter();
        for id in ids.by_ref() {
            match self.carry_out(id).await? {
                Carried::Deleted => view.deleted.push(id),
                Carried::Refused { error, .. } => view.failed.push(FailedDeletion {
                    id,
                    error: error.into(),
                }),
                Carried::Waits => {
                    view.queued.push(id);
                    break;
                }
            }
        }
        // What the server did not answer to once, it is not asked again and again.
        view.queued.extend(ids);
        drop(deleting);
        self.told_changed().await;
        if view.queued.is_empty() {
            self.kick();
        }
        Ok(view)
    }

    /// Carries out what was queued. Answers whether the server answered.
    pub(crate) async fn carry_out_deletions(&self) -> Result<bool, CommandError> {
        let _deleting = self.deleting.lock().await;
        let queued = self.store.deletions().await?;
        if queued.is_empty() {
            return Ok(true);
        }
        let mut answered = true;
        for id in queued {
            match self.carry_out(id).await? {
                Carried::Deleted => {}
                Carried::Refused { error, file_name } => {
                    let refused = RefusedDeletion {
                        file_name: file_name.unwrap_or_else(|| id.to_string()),
                        error: error.into(),
                    };
                    // Nobody may be listening.
                    let _ = self.events.send(Event::DeletionFailed(refused));
                }
                Carried::Waits => {
                    answered = false;
                    break;
                }
            }
        }
        self.told_changed().await;
        Ok(answered)
    }

    async fn carry_out(&self, id: ImageId) -> Result<Carried, CommandError> {
        match self.server.delete(id).await {
            // Only the gallery itself can say that there is no such picture: a gateway's 404 is none of its words.
            Ok(())
            | Err(Failure::Server {
                code: Some(ErrorCode::NotFound),
                ..
            }) => {
                if self.store.deleted(id).await? {
                    self.originals.remove(&[id]).await;
                }
                Ok(Carried::Deleted)
            }
            Err(failure) if may_pass(&failure) => Ok(Carried::Waits),
            Err(failure) => {
                let file_name = self.store.refused(id).await?;
                Ok(Carried::Refused {
                    error: self.server.explain(failure),
                    file_name: file_name.map(|name| name.to_string()),
                })
            }
        }
    }

    /// Does something with the database, and notes it where that is damaged.
    async fn noting<T>(
        &self,
        work: impl Future<Output = Result<T, MirrorError>>,
    ) -> Result<T, MirrorError> {
        let done = work.await;
        if let Err(error) = &done {
            self.store.note_damage(error).await;
        }
        done
    }

    /// Another view, and whoever shows the timeline is told.
    async fn told_changed(&self) {
        self.changed.notify_one();
        if let Err(error) = self.look().await {
            tracing::warn!("{error}");
        }
    }

    /// Brings the view up to what the database says; the phase stays what it is, but for a mirror that is not filled.
    async fn look(&self) -> Result<(), MirrorError> {
        let status = self.store.status().await?;
        self.view.send_modify(|view| {
            view.known = status.known;
            view.total = status.total;
            // What is written down may be older.
            view.checked_at = status.checked_at.max(view.checked_at);
            view.pending_deletions = status.pending;
            match (view.phase, status.filled) {
                (MirrorPhase::Live, false) => view.phase = MirrorPhase::Filling,
                (MirrorPhase::Filling, true) => view.phase = MirrorPhase::Live,
                _ => {}
            }
        });
        Ok(())
    }

    /// The phase from here on.
    fn enter(&self, phase: MirrorPhase) {
        self.view
            .send_if_modified(|view| std::mem::replace(&mut view.phase, phase) != phase);
    }

    /// This phase is over, if it was the one.
    fn leave(&self, phase: MirrorPhase) {
        self.view.send_if_modified(|view| {
            let is_it = view.phase == phase;
            if is_it {
                view.phase = MirrorPhase::Live;
            }
            is_it
        });
    }

    /// The server says that there is nothing new. Nobody is woken for that alone: only when it is away its age is shown.
    async fn checked(&self) {
        let now = Timestamp::now();
        self.view.send_if_modified(|view| {
            view.checked_at = Some(now);
            false
        });
        self.notice_others().await;
        let kept = *self.check_kept();
        if kept.is_none_or(|kept| now.duration_since(kept) > CHECK_KEPT_EVERY) {
            self.keep_check().await;
        }
    }

    /// `imgn sync` beside this program may have fetched originals, or somebody queued a deletion there.
    async fn notice_others(&self) {
        match self.store.is_changed_by_others().await {
            Ok(false) => {}
            Ok(true) => {
                self.changed.notify_one();
                if let Err(error) = self.look().await {
                    tracing::debug!("{error}");
                }
            }
            Err(error) => tracing::debug!("{error}"),
        }
    }

    /// Writes down when the last look was.
    async fn keep_check(&self) {
        let Some(checked) = self.view.borrow().checked_at else {
            return;
        };
        if *self.check_kept() == Some(checked) {
            return;
        }
        match self.store.checked(checked).await {
            Ok(()) => *self.check_kept() = Some(checked),
            Err(error) => tracing::warn!("the time of the last look is not kept: {error}"),
        }
    }

    fn check_kept(&self) -> std::sync::MutexGuard<'_, Option<Timestamp>> {
        let kept = self.check_kept.lock();
        kept.unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

enum Carried {
    Deleted,
    Refused {
        error: CommandError,
        file_name: Option<String>,
    },
    Waits,
}

/// Whether the server may well do it another time.
fn may_pass(failure: &Failure) -> bool {
    match failure {
        Failure::Unreachable { .. }
        | Failure::Broken { .. }
        | Failure::Stalled { .. }
        | Failure::Slept => true,
        Failure::Server { status, code, .. } => {
            // Without a token, as while the keyring is locked, nobody is refused for good; a refusal without the gallery's
            // own code is somebody else's, such as a gateway's.
            *status >= 500
                || matches!(*status, 401 | 429)
                || matches!(code, None | Some(ErrorCode::Unavailable))
        }
        Failure::Store { .. } | Failure::Garbled { .. } => false,
    }
}

impl From<MirrorError> for CommandError {
    fn from(error: MirrorError) -> Self {
        Self::new(ClientCode::DiskFailed, error.to_string())
    }
}
