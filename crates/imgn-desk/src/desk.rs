//! The app among other programs: one value, cheap to clone, through which the shell takes files in and which tells the
//! shell what to do when they are in the gallery.

use std::{
    collections::HashMap,
    io::Cursor,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use imgn_core::{App, CommandError, Event, Folders, Intake, Taken, links};
use jiff::Zoned;
use tokio::sync::{broadcast::error::RecvError, oneshot};

use crate::{BatchId, Batches, Clip, ClipboardError, Ended, Origin, clipboard};

/// What the shell does for the desk. Nothing here may block.
pub trait Host: Send + Sync + 'static {
    /// Puts a text on the clipboard.
    ///
    /// # Errors
    /// Why it could not, for people.
    fn copy(&self, text: String) -> Result<(), String>;

    /// Says something to whoever looks at the window.
    fn tell(&self, news: News);
}

/// What the window says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// The links to so many pictures are on the clipboard now.
    LinksCopied(usize),
    /// They should be, and are not, for this reason.
    NotCopied(String),
}

/// The app among other programs. Cheap to clone; all clones are the same.
#[derive(Clone)]
pub struct Desk(Arc<Inner>);

struct Inner {
    core: App,
    host: Arc<dyn Host>,
    batches: Mutex<Batches>,
    /// Programs that wait for a batch to end.
    waiting: Mutex<HashMap<BatchId, oneshot::Sender<Ended>>>,
}

impl Desk {
    /// Puts them together; [`Desk::run`] lets it live.
    pub fn new(core: App, host: Arc<dyn Host>) -> Self {
        Self(Arc::new(Inner {
            core,
            host,
            batches: Mutex::default(),
            waiting: Mutex::default(),
        }))
    }

    /// Follows the app until it is gone.
    pub async fn run(self) {
        let mut events = self.0.core.events();
        let mut gallery = None;
        loop {
            match events.recv().await {
                Ok(Event::UploadsChanged(uploads)) => {
                    let ended = locked(&self.0.batches).update(&uploads);
                    self.give_out(ended).await;
                }
                Ok(Event::StateChanged(state)) => {
                    let url = state.server.map(|server| server.url);
                    if gallery.is_some() && gallery != url {
                        locked(&self.0.batches).clear();
                        locked(&self.0.waiting).clear();
                    }
                    gallery = url;
                }
                Ok(Event::TimelineChanged | Event::DeletionFailed(_)) => {}
                // Some changes were missed: what they led to is looked at.
                Err(RecvError::Lagged(_)) => {
                    let uploads = self.0.core.uploads().await;
                    let ended = locked(&self.0.batches).update(&uploads);
                    self.give_out(ended).await;
                }
                Err(RecvError::Closed) => return,
            }
        }
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
        if chosen.copy && !ended.images.is_empty() {
            self.copy(
                links(&ended.images, None, &chosen.format),
                ended.images.len(),
            );
        }
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
