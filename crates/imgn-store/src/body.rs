//! Bodies: from a request into a temporary file, from a file into an answer, a megabyte at a time.
//!
//! Invariant: memory in use per request is bounded, whatever the length of the body; and a body that fails for any
//! reason, including a caller that goes away, leaves no file.

use std::io::{Read as _, Seek as _, SeekFrom};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use s3s::dto::StreamingBlob;
use s3s::{Body, StdError, TrailingHeaders};
use serde::Serialize;
use tokio::io::AsyncReadExt as _;
use tokio::task::JoinHandle;
use tokio_util::io::ReaderStream;

use crate::blocking;
use crate::digest::{Algorithm, Announced, Summary};
use crate::error::Error;
use crate::layout::Layout;
use crate::object::Bucket;
use crate::record::{Record, RecordWriter, SealedRecord};

/// S3's limit for one request, in bytes.
const BODY_MAX: u64 = 5 * 1024 * 1024 * 1024;

/// Bytes handed to the disk at once. While one batch is hashed and written, the next is received.
const BATCH_BYTES: usize = 1024 * 1024;
/// Chunks in a batch at most: a chunk costs memory beside its bytes.
const BATCH_CHUNKS: usize = 1024;

/// A body of which no byte arrives for this long is given up.
const IDLE_LIMIT: Duration = Duration::from_secs(60);

/// What is read from a file at once; an answer of this length needs no stream.
const READ_BYTES: usize = 256 * 1024;

/// A body that arrived whole. Its last batch is not written yet, so that a small body costs one trip to the
/// blocking threads.
#[derive(Debug)]
pub(crate) struct Incoming {
    writer: Option<RecordWriter>,
    last: Vec<Bytes>,
    announced: Announced,
}

/// Receives a body.
pub(crate) async fn receive(
    bucket: &Arc<Bucket>,
    body: Option<StreamingBlob>,
    mut announced: Announced,
    trailers: Option<TrailingHeaders>,
) -> Result<Incoming, Error> {
    announced.validate()?;
    if announced.length > BODY_MAX {
        return Err(Error::EntityTooLarge {
            size: announced.length,
            maximum: BODY_MAX,
        });
    }
    let incomplete = Error::IncompleteBody {
        announced: announced.length,
    };
    let mut writing: Option<JoinHandle<Result<RecordWriter, Error>>> = None;
    let mut batch = Vec::new();
    let mut batch_bytes = 0;
    let mut received = 0;
    if let Some(mut body) = body {
        while let Some(chunk) = next(&mut body).await? {
            received += chunk.len() as u64;
            if received > announced.length {
                return Err(incomplete);
            }
            batch_bytes += chunk.len();
            batch.push(chunk);
            if batch_bytes >= BATCH_BYTES || batch.len() >= BATCH_CHUNKS {
                let writer = join(writing.take()).await?;
                let full = std::mem::take(&mut batch);
                batch_bytes = 0;
                let bucket = Arc::clone(bucket);
                let digester = writer.is_none().then(|| announced.digester());
                writing = Some(tokio::task::spawn_blocking(move || {
                    let mut writer = match (writer, digester) {
                        (Some(writer), _) => writer,
                        (None, digester) => {
                            RecordWriter::create(&bucket.layout, digester.unwrap_or_default())?
                        }
                    };
                    writer.write_all(&full)?;
                    Ok(writer)
                }));
            }
        }
    }
    if received != announced.length {
        return Err(incomplete);
    }
    if let Some(trailers) = trailers {
        add_trailers(&mut announced, &trailers)?;
    }
    Ok(Incoming {
        writer: join(writing).await?,
        last: batch,
        announced,
    })
}

impl Incoming {
    /// Writes what is left, compares checksums and syncs. Blocks.
    pub(crate) fn finish<F: Serialize>(
        self,
        layout: &Layout,
        footer: impl FnOnce(Summary) -> Result<F, Error>,
    ) -> Result<SealedRecord<F>, Error> {
        let mut writer = match self.writer {
            Some(writer) => writer,
            None => RecordWriter::create(layout, self.announced.digester())?,
        };
        writer.write_all(&self.last)?;
        writer.finish(|summary| {
            self.announced.check(&summary)?;
            footer(summary)
        })
    }
}

async fn next(body: &mut StreamingBlob) -> Result<Option<Bytes>, Error> {
    match tokio::time::timeout(IDLE_LIMIT, body.next()).await {
        Ok(chunk) => chunk.transpose().map_err(|error| refused(&error)),
        Err(_) => Err(Error::RequestTimeout {
            seconds: IDLE_LIMIT.as_secs(),
        }),
    }
}

async fn join(
    writing: Option<JoinHandle<Result<RecordWriter, Error>>>,
) -> Result<Option<RecordWriter>, Error> {
    match writing {
        Some(writing) => writing.await.map_err(|_| Error::Interrupted)?.map(Some),
        None => Ok(None),
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

/// A part of a record's data as the body of an answer.
pub(crate) async fn send<F: Send + 'static>(
    mut record: Record<F>,
    range: Range<u64>,
) -> Result<StreamingBlob, Error> {
    let length = range.end - range.start;
    let mut file = record.file;
    if length <= READ_BYTES as u64 {
        let bytes = blocking(move || {
            file.seek(SeekFrom::Start(range.start))?;
            let mut bytes =
                Vec::with_capacity(READ_BYTES.min(usize::try_from(length).unwrap_or(0)));
            file.take(length).read_to_end(&mut bytes)?;
            Ok(bytes)
        })
        .await?;
        return Ok(Body::from(Bytes::from(bytes)).into());
    }
    record.file = blocking(move || {
        file.seek(SeekFrom::Start(range.start))?;
        Ok(file)
    })
    .await?;
    let mut file = tokio::fs::File::from_std(record.file);
    file.set_max_buf_size(READ_BYTES);
    let stream = ReaderStream::with_capacity(file.take(length), READ_BYTES);
    Ok(StreamingBlob::wrap(stream))
}
