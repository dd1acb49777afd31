//! What the engine needs of a server and its store.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{Stream, stream};
use imgn_protocol::{
    CompleteRequest, Image, OpenRequest, SignRequest, SignedRequest, UploadAnswer, UploadId,
};
use tokio::time::Instant;

use crate::{Failure, file::Reading, rate::Throttle};

/// A server and the store behind it. Every call can be repeated.
///
/// Implementations bound the time of every call but [`Remote::put`], which the engine watches for stalls by its
/// progress.
#[async_trait]
pub trait Remote: Send + Sync + 'static {
    /// Opens the upload, or asks again for what was answered then; with `sign` a URL comes along in single mode.
    async fn open(
        &self,
        id: UploadId,
        request: &OpenRequest,
        sign: bool,
    ) -> Result<UploadAnswer, Failure>;

    /// Has one request to the store signed.
    async fn sign(&self, id: UploadId, request: &SignRequest) -> Result<SignedRequest, Failure>;

    /// Sends the request exactly as it was signed.
    async fn put(&self, request: &SignedRequest, body: Body) -> Result<(), Failure>;

    /// Where the upload stands.
    async fn status(&self, id: UploadId) -> Result<UploadAnswer, Failure>;

    /// Says that the bytes are in the store.
    async fn complete(
        &self,
        id: UploadId,
        request: &CompleteRequest,
    ) -> Result<UploadAnswer, Failure>;

    /// Takes the upload back; one that is unknown has been taken back.
    async fn abort(&self, id: UploadId) -> Result<(), Failure>;

    /// The newest pictures of the gallery, at most `limit`.
    async fn newest(&self, limit: usize) -> Result<Vec<Image>, Failure>;

    /// Whether the server answers at all.
    async fn probe(&self) -> Result<(), Failure>;

    /// By how many seconds this computer's clock is ahead of the server's, as measured by its answers; below zero when
    /// it is behind. `None` while that is not known.
    fn clock_skew_seconds(&self) -> Option<i64> {
        None
    }

    /// By how many seconds the store's clock is ahead of the server's, likewise. The server signs by its own clock, and
    /// the store judges what was signed by its own; this computer's has no part in it.
    fn store_skew_seconds(&self) -> Option<i64> {
        None
    }
}

/// Bytes that went out, counted where they leave.
#[derive(Debug, Clone, Default)]
pub struct Progress(Arc<AtomicU64>);

impl Progress {
    /// Bytes so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn set(&self, bytes: u64) {
        self.0.store(bytes, Ordering::Relaxed);
    }

    pub(crate) fn add(&self, bytes: u64) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }

    fn take_back(&self, bytes: u64) {
        self.0.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// The bytes of one request, as they leave. What a request that failed had sent does not count for its upload.
pub(crate) struct Leaving {
    own: Arc<AtomicU64>,
    /// Whether it is held back on purpose.
    held: Arc<AtomicBool>,
    upload: Progress,
    is_kept: bool,
}

impl Leaving {
    pub(crate) fn of(upload: &Progress) -> Self {
        Self {
            own: Arc::default(),
            held: Arc::default(),
            upload: upload.clone(),
            is_kept: false,
        }
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.own.load(Ordering::Relaxed)
    }

    pub(crate) fn is_held(&self) -> bool {
        self.held.load(Ordering::Relaxed)
    }

    /// The store has them.
    pub(crate) fn keep(mut self) {
        self.is_kept = true;
    }
}

impl Drop for Leaving {
    fn drop(&mut self) {
        if !self.is_kept {
            self.upload.take_back(self.bytes());
        }
    }
}

/// The bytes of one request: a length that is exact, and a stream that counts what is taken from it.
pub struct Body {
    length: u64,
    chunks: Pin<Box<dyn Stream<Item = std::io::Result<Bytes>> + Send + Sync>>,
}

impl Body {
    /// What is read, no faster than the throttle lets it. `out` counts the bytes of all bodies.
    pub(crate) fn new(
        length: u64,
        reading: &mut Reading,
        leaving: &Leaving,
        throttle: Arc<Throttle>,
        out: Progress,
    ) -> Self {
        let outlet = Outlet {
            chunks: reading.chunks(),
            rest: Bytes::new(),
            throttle,
            own: Arc::clone(&leaving.own),
            held: Arc::clone(&leaving.held),
            upload: leaving.upload.clone(),
            out,
            begun: None,
        };
        Self {
            length,
            chunks: Box::pin(stream::unfold(outlet, async |mut outlet| {
                let piece = outlet.next().await?;
                Some((piece, outlet))
            })),
        }
    }

    /// Exact length in bytes. The stream may end in an error before it, when the file was cut meanwhile; it never goes
    /// beyond.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }
}

impl Stream for Body {
    type Item = std::io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.chunks.as_mut().poll_next(context)
    }
}

/// Where bytes leave.
struct Outlet {
    chunks: tokio::sync::mpsc::Receiver<std::io::Result<Bytes>>,
    rest: Bytes,
    throttle: Arc<Throttle>,
    own: Arc<AtomicU64>,
    held: Arc<AtomicBool>,
    upload: Progress,
    out: Progress,
    /// When the first piece left.
    begun: Option<Instant>,
}

/// The smallest pieces, in bytes. An HTTP client collects sixteen before it waits for the line, and asks for none
/// meanwhile: with these, some 3 KB/s are seen to move within the 20 s of a stall.
const SMALLEST_PIECE: usize = 4 << 10;

/// A piece is what leaves in this part of a second, so that progress is seen in steps on a slow line too.
const PIECES_A_SECOND: f64 = 16.0;

impl Outlet {
    /// How large the next piece may be at the rate of this body so far. A body that has just begun is given the benefit
    /// of the doubt for what is small anyway.
    fn most(&mut self) -> usize {
        let begun = *self.begun.get_or_insert_with(Instant::now);
        let seconds = begun.elapsed().as_secs_f64();
        let sent = self.own.load(Ordering::Relaxed);
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a size within a factor; what is too large to count is capped by the chunk"
        )]
        let piece = (sent as f64 / seconds.max(0.001) / PIECES_A_SECOND) as usize;
        piece.max(SMALLEST_PIECE)
    }

    async fn next(&mut self) -> Option<std::io::Result<Bytes>> {
        if self.rest.is_empty() {
            match self.chunks.recv().await? {
                Ok(chunk) => self.rest = chunk,
                Err(error) => return Some(Err(error)),
            }
        }
        let most = self.most().min(self.rest.len());
        let piece = match self.throttle.piece() {
            Some(limit) => {
                let most = limit.min(most);
                let piece = self.rest.split_to(most);
                self.held.store(true, Ordering::Relaxed);
                self.throttle.take(piece.len()).await;
                self.held.store(false, Ordering::Relaxed);
                piece
            }
            None => self.rest.split_to(most),
        };
        let bytes = piece.len() as u64;
        self.own.fetch_add(bytes, Ordering::Relaxed);
        self.upload.add(bytes);
        self.out.add(bytes);
        Some(Ok(piece))
    }
}
