//! Bodies: from a request into a file, from a file into an answer, a megabyte at a time.
//!
//! Invariant: memory in use per request is bounded, whatever the length of the body; and a body that fails for any
//! reason, including a caller that goes away, leaves no file.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use s3s::dto::StreamingBlob;
use s3s::{Body, StdError, TrailingHeaders};
use tokio::task::JoinHandle;

use crate::blocking;
use crate::digest::{Algorithm, Announced, Digester, Summary, Tagged};
use crate::error::Error;
use crate::record::{Data, RecordWriter};

/// S3's limit for one request, in bytes.
const BODY_MAX: u64 = 5 * 1024 * 1024 * 1024;

/// Bytes handed to the disk at once. While one batch is hashed and written, the next is received.
const BATCH_BYTES: usize = 1024 * 1024;
/// Chunks in a batch at most: a chunk costs memory beside its bytes.
const BATCH_CHUNKS: usize = 1024;

/// So many bytes are written before the disk is told to begin, so that it works while the rest still arrives. A sync has
/// a price of its own, and what is shorter is synced once.
const SYNC_BYTES: u64 = 32 * 1024 * 1024;

/// A body of which no byte arrives for this long is given up.
const IDLE_LIMIT: Duration = Duration::from_secs(60);

/// What is read from a file at once; an answer of this length needs no stream.
const READ_BYTES: u64 = 256 * 1024;

/// Where a body goes. Blocks.
pub(crate) trait Sink: Send + 'static {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// The file that is written to.
    fn file(&self) -> &File;
}

impl Sink for RecordWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        Self::write(self, bytes)
    }

    fn file(&self) -> &File {
        Self::file(self)
    }
}

/// Makes the place for a body. Blocks; called once the whole of a short body or the beginning of a long one is there.
pub(crate) type Open<S> = Box<dyn FnOnce() -> Result<S, Error> + Send>;

/// A body that arrived whole. Its last batch is not written yet, so that a small body costs one trip to the
/// blocking threads.
pub(crate) struct Incoming<S> {
    written: Written<S>,
    last: Vec<Bytes>,
    announced: Announced,
    tagged: Tagged,
}

/// What was written of a body before its last batch.
enum Written<S> {
    Nothing(Open<S>),
    Some(S, Box<Digester>),
}

/// Receives a body.
pub(crate) async fn receive<S: Sink>(
    open: Open<S>,
    body: Option<StreamingBlob>,
    mut announced: Announced,
    tagged: Tagged,
    trailers: Option<TrailingHeaders>,
) -> Result<Incoming<S>, Error> {
    announced.validate()?;
    let length = announced.length;
    if length.most() > BODY_MAX {
        return Err(Error::EntityTooLarge {
            size: length.most(),
            maximum: BODY_MAX,
        });
    }
    let mut progress = Progress::Nothing(open);
    let mut batch = Vec::new();
    let mut batch_bytes = 0;
    let mut received = 0;
    if let Some(mut body) = body {
        while let Some(chunk) = next(&mut body).await? {
            received += chunk.len() as u64;
            if received > length.most() {
                // It says so, and what follows is not received.
                length.check(received)?;
            }
            batch_bytes += chunk.len();
            batch.push(chunk);
            if batch_bytes >= BATCH_BYTES || batch.len() >= BATCH_CHUNKS {
                let mut writing = match progress {
                    Progress::Nothing(open) => {
                        Writing::start(blocking(open).await?, Box::new(announced.digester(tagged)))
                    }
                    Progress::Some(writing) => writing,
                };
                writing.push(std::mem::take(&mut batch)).await?;
                batch_bytes = 0;
                progress = Progress::Some(writing);
            }
        }
    }
    length.check(received)?;
    if let Some(trailers) = trailers {
        add_trailers(&mut announced, &trailers)?;
    }
    let written = match progress {
        Progress::Nothing(open) => Written::Nothing(open),
        Progress::Some(writing) => {
            let (sink, digester) = writing.end().await?;
            Written::Some(sink, digester)
        }
    };
    Ok(Incoming {
        written,
        last: batch,
        announced,
        tagged,
    })
}

impl<S: Sink> Incoming<S> {
    /// Writes what is left, compares checksums, and gives back the place and what is in it, not yet synced. Blocks.
    pub(crate) fn finish(self) -> Result<(S, Summary), Error> {
        let (mut sink, mut digester) = match self.written {
            Written::Nothing(open) => (open()?, Box::new(self.announced.digester(self.tagged))),
            Written::Some(sink, digester) => (sink, digester),
        };
        for chunk in &self.last {
            digester.update(chunk);
            sink.write(chunk)?;
        }
        let summary = digester.finish();
        self.announced.check(&summary)?;
        Ok((sink, summary))
    }
}

enum Progress<S> {
    Nothing(Open<S>),
    Some(Writing<S>),
}

/// A body on its way to the disk: each batch is written and hashed at the same time, on blocking threads.
struct Writing<S> {
    written: JoinHandle<io::Result<S>>,
    hashed: JoinHandle<Box<Digester>>,
    /// A sync that was begun early.
    syncing: Option<JoinHandle<io::Result<()>>>,
    unsynced: u64,
}

impl<S: Sink> Writing<S> {
    fn start(sink: S, digester: Box<Digester>) -> Self {
        Self {
            written: tokio::task::spawn_blocking(|| Ok(sink)),
            hashed: tokio::task::spawn_blocking(|| digester),
            syncing: None,
            unsynced: 0,
        }
    }

    /// Waits for the batch before this one.
    async fn push(&mut self, batch: Vec<Bytes>) -> Result<(), Error> {
        let mut sink = join(&mut self.written).await??;
        let mut digester = join(&mut self.hashed).await?;
        self.sync_early(&sink).await?;
        self.unsynced += batch.iter().map(|chunk| chunk.len() as u64).sum::<u64>();
        let batch = Arc::new(batch);
        let same = Arc::clone(&batch);
        self.written = tokio::task::spawn_blocking(move || {
            for chunk in batch.iter() {
                sink.write(chunk)?;
            }
            Ok(sink)
        });
        self.hashed = tokio::task::spawn_blocking(move || {
            same.iter().for_each(|chunk| digester.update(chunk));
            digester
        });
        Ok(())
    }

    async fn end(mut self) -> Result<(S, Box<Digester>), Error> {
        let sink = join(&mut self.written).await??;
        let digester = join(&mut self.hashed).await?;
        self.synced().await?;
        Ok((sink, digester))
    }

    async fn sync_early(&mut self, sink: &S) -> Result<(), Error> {
        if self.unsynced < SYNC_BYTES {
            return Ok(());
        }
        // An error is told to one sync of a file only, so each one's outcome counts.
        self.synced().await?;
        let file = sink.file().try_clone()?;
        self.syncing = Some(tokio::task::spawn_blocking(move || file.sync_data()));
        self.unsynced = 0;
        Ok(())
    }

    async fn synced(&mut self) -> Result<(), Error> {
        match self.syncing.take() {
            Some(mut syncing) => Ok(join(&mut syncing).await??),
            None => Ok(()),
        }
    }
}

async fn join<T>(task: &mut JoinHandle<T>) -> Result<T, Error> {
    task.await.map_err(|_| Error::Interrupted)
}

async fn next(body: &mut StreamingBlob) -> Result<Option<Bytes>, Error> {
    match tokio::time::timeout(IDLE_LIMIT, body.next()).await {
        Ok(chunk) => chunk.transpose().map_err(|error| refused(&error)),
        Err(_) => Err(Error::RequestTimeout {
            seconds: IDLE_LIMIT.as_secs(),
        }),
    }
}

/// Why a body broke off. The protocol crate keeps the types of its streams' errors to itself, so that a body
/// that differs from its signed hash can be told from a cut connection only by the error's name.
fn refused(error: &StdError) -> Error {
    if error.to_string().contains("Sha256Mismatch") {
        Error::ContentSha256Mismatch
    } else {
        Error::InvalidRequest {
            message: "the body ended early, or its framing or signature is wrong".into(),
        }
    }
}

/// Takes over the checksums that followed the body.
fn add_trailers(announced: &mut Announced, trailers: &TrailingHeaders) -> Result<(), Error> {
    let headers = trailers.take().unwrap_or_default();
    for algorithm in Algorithm::ALL {
        if let Some(value) = headers.get(algorithm.header()) {
            let value = value.to_str().unwrap_or_default();
            announced.checksums.set(algorithm, value.trim().to_owned());
        }
    }
    announced.validate()?;
    match announced.algorithm {
        Some(algorithm) if announced.checksums.get(algorithm).is_none() => {
            Err(Error::InvalidRequest {
                message: format!("the trailer {} is missing", algorithm.header()),
            })
        }
        _ => Ok(()),
    }
}

/// A range of a record's data as the body of an answer.
pub(crate) async fn send(data: Data, range: Range<u64>) -> Result<StreamingBlob, Error> {
    let data = data.slice(&range);
    if data.size() <= READ_BYTES {
        let read = blocking(move || Ok(data.read(READ_BYTES)?)).await?;
        let bytes = read.map(|(bytes, _)| bytes).unwrap_or_default();
        return Ok(Body::from(bytes).into());
    }
    let stream = stream::try_unfold(data, |data| async move {
        let read = tokio::task::spawn_blocking(move || data.read(READ_BYTES));
        read.await
            .unwrap_or_else(|error| Err(io::Error::other(error)))
    });
    Ok(StreamingBlob::wrap(Box::pin(stream)))
}
