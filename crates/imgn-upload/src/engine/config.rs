//! How the engine behaves, what it is given, and what it tells.

use std::{
    num::NonZeroU64,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use imgn_protocol::{FileName, UploadId};

use crate::{Backoff, Batch, Entry, Redactor, State};

/// How the engine behaves. [`EngineConfig::default`] is for people; tests shorten it.
pub struct EngineConfig {
    /// Requests under way at the same time; `None` finds out what is worth having.
    pub jobs: Option<usize>,
    /// Bytes a second of all that is sent together; `None` is as fast as the line.
    pub rate_limit: Option<NonZeroU64>,
    /// Knows what pictures must not give away; without it nothing is taken out.
    pub redactor: Option<Arc<dyn Redactor>>,
    /// Delays between tries.
    pub backoff: Backoff,
    /// A request whose bytes do not move for so long is given up.
    pub stall: Duration,
    /// How long the store may think once it has all bytes: it sums and syncs them.
    pub answer: Duration,
    /// Delays between questions whether a picture is verified, doubled from the first to the longest.
    pub poll: Backoff,
    /// Delays between looks for a file that is not there, doubled likewise.
    pub look: Backoff,
    /// Numbers in 0..=1 that spread delays.
    pub draw: Box<dyn Fn() -> f64 + Send + Sync>,
    /// The time of day. When it leaps ahead of the time that passed, the computer slept.
    pub now: Box<dyn Fn() -> SystemTime + Send + Sync>,
}

impl Default for EngineConfig {
    /// 20 s without a byte is a stall.
    fn default() -> Self {
        Self {
            jobs: None,
            rate_limit: None,
            redactor: None,
            backoff: Backoff::default(),
            stall: Duration::from_secs(20),
            answer: Duration::from_secs(120),
            poll: Backoff {
                first: Duration::from_millis(200),
                longest: Duration::from_secs(3),
            },
            look: Backoff {
                first: Duration::from_secs(1),
                longest: Duration::from_secs(30),
            },
            draw: Box::new(fastrand::f64),
            now: Box::new(SystemTime::now),
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
    /// Its size in bytes, where it is known: to tell how much there is to do, and how many are worth beginning with.
    pub size: Option<u64>,
    /// Whether the place where the picture was taken is sent too.
    pub keep_location: bool,
    /// The act that takes it in, where there is one that somebody is told of.
    pub batch: Option<Batch>,
    /// Why it is not even tried: it is then written down as ended.
    pub refused: Option<State>,
}

/// An upload as it stands now.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// What is known of it: its place in the queue, and its state with what it waits for.
    pub entry: Entry,
    /// Bytes that are in the store or on their way.
    pub sent_bytes: u64,
    /// Bytes that there are to send, as far as is known.
    pub total_bytes: Option<u64>,
}

/// All that was to be done since there was last nothing to do, paused uploads left out.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Totals {
    /// Uploads that have ended, however they did.
    pub files_done: usize,
    /// Uploads.
    pub files: usize,
    /// Bytes that are done with or on their way.
    pub bytes_done: u64,
    /// Bytes, as far as they are known.
    pub bytes: u64,
    /// How fast bytes leave, smoothed over some seconds; `None` while nothing is sent.
    pub bytes_per_second: Option<f64>,
    /// How long the rest takes at this rate.
    pub time_left: Option<Duration>,
}

impl NewUpload {
    pub(super) fn into_entry(self, position: i64) -> Entry {
        let id = UploadId::new();
        Entry {
            id,
            path: self.path,
            file_name: self.file_name,
            content_type: self.content_type,
            size: self.size,
            keep_location: self.keep_location,
            batch: self.batch,
            position,
            state: self.refused.unwrap_or(State::Queued { session: id }),
        }
    }
}

impl Totals {
    pub(super) fn at_rate(self, bytes_per_second: Option<f64>) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "a time is shown in seconds")]
        let left = self.bytes.saturating_sub(self.bytes_done) as f64;
        let time_left = bytes_per_second
            .filter(|rate| *rate > 1.0)
            .and_then(|rate| Duration::try_from_secs_f64(left / rate).ok());
        Self {
            bytes_per_second,
            time_left,
            ..self
        }
    }
}
