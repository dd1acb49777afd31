//! What the engine needs of a server and its store.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use imgn_protocol::{
    CompleteRequest, OpenRequest, SignRequest, SignedRequest, UploadAnswer, UploadId,
};
use tokio::io::AsyncReadExt as _;
use tokio_util::io::ReaderStream;

use crate::Failure;

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

    /// Whether the server answers at all.
    async fn probe(&self) -> Result<(), Failure>;
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

    pub(crate) fn reset(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    fn add(&self, bytes: usize) {
        self.0.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

/// The bytes of one request: a length that is exact, and a stream that counts what is taken from it.
pub struct Body {
    length: u64,
    chunks: Pin<Box<dyn Stream<Item = std::io::Result<Bytes>> + Send + Sync>>,
}

/// How much is read from a file at a time: few system calls, and little memory for many uploads at once.
const CHUNK_BYTES: usize = 128 * 1024;

impl Body {
    /// The first `length` bytes of `file`, which is at its beginning.
    #[must_use]
    pub fn from_file(file: tokio::fs::File, length: u64, progress: Progress) -> Self {
        let chunks =
            ReaderStream::with_capacity(file.take(length), CHUNK_BYTES).inspect(move |chunk| {
                if let Ok(chunk) = chunk {
                    progress.add(chunk.len());
                }
            });
        Self {
            length,
            chunks: Box::pin(chunks),
        }
    }

    /// Exact length in bytes. The stream may end before it, when the file was cut meanwhile; it never goes beyond.
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
