//! What can go wrong inside the store, and which S3 answer each case becomes.
//!
//! Invariant: every answer has a status and a code that S3 clients know, except a full disk, for which S3 has
//! no word: that is `507 StorageFull`. An internal error's cause is logged, never sent.

use std::io;

use http::StatusCode;
use s3s::{S3Error, S3ErrorCode};

/// A refusal or a failure.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the bucket does not exist")]
    NoSuchBucket,
    #[error("the key does not exist")]
    NoSuchKey,
    #[error("the upload does not exist: it was aborted, completed, or belongs to another key")]
    NoSuchUpload,
    #[error("the key is longer than 1024 bytes")]
    KeyTooLong,
    #[error("{message}")]
    InvalidArgument { message: String },
    #[error("{message}")]
    InvalidRequest { message: String },
    #[error("a part was not found or its entity tag or checksum differs: part {number}")]
    InvalidPart { number: i32 },
    #[error("the parts are not listed in ascending order")]
    InvalidPartOrder,
    #[error("part {number} has {size} bytes; every part but the last must have at least {minimum}")]
    EntityTooSmall {
        number: i32,
        size: u64,
        minimum: u64,
    },
    #[error("the object would have {size} bytes; at most {maximum} are allowed")]
    EntityTooLarge { size: u64, maximum: u64 },
    #[error("too much of this object arrives at the same time; send it again when that has ended")]
    TooMuchArrives,
    #[error("the length of the body must be announced")]
    MissingContentLength,
    #[error("the body is not {announced} bytes long, as announced")]
    IncompleteBody { announced: u64 },
    #[error("no byte of the body arrived for {seconds} seconds")]
    RequestTimeout { seconds: u64 },
    #[error("the body does not match its {algorithm}")]
    BadDigest { algorithm: &'static str },
    #[error("the value of Content-MD5 is not an MD5")]
    InvalidDigest,
    #[error("the body does not match x-amz-content-sha256")]
    ContentSha256Mismatch,
    #[error("a condition of the request does not hold: {condition}")]
    PreconditionFailed { condition: &'static str },
    #[error("the object was not modified")]
    NotModified { etag: String, modified: u64 },
    #[error("the range lies outside of the object, which has {size} bytes")]
    InvalidRange { size: u64 },
    #[error("{what} is not implemented")]
    NotImplemented { what: &'static str },
    #[error("the disk of the store is full")]
    StorageFull,
    #[error("a file of the store is damaged: {what}")]
    Damaged { what: String },
    #[error("reading or writing the store failed")]
    Io(#[source] io::Error),
    #[error("work of the store was interrupted")]
    Interrupted,
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::StorageFull,
            _ => Self::Io(error),
        }
    }
}

/// What was read, where it can be. Damage to one file is logged, and hides no other file.
pub(crate) fn unless_damaged<T>(what: &str, read: Result<T, Error>) -> Option<T> {
    read.inspect_err(|error| {
        let cause = std::error::Error::source(error).map(ToString::to_string);
        tracing::error!(what, %error, cause, "a file of the store is left out");
    })
    .ok()
}

impl Error {
    /// True for what only the operator can repair; its cause belongs in the log.
    pub(crate) fn is_internal(&self) -> bool {
        matches!(
            self,
            Self::StorageFull | Self::Damaged { .. } | Self::Io(_) | Self::Interrupted
        )
    }

    fn code(&self) -> S3ErrorCode {
        match self {
            Self::NoSuchBucket => S3ErrorCode::NoSuchBucket,
            Self::NoSuchKey => S3ErrorCode::NoSuchKey,
            Self::NoSuchUpload => S3ErrorCode::NoSuchUpload,
            Self::KeyTooLong => S3ErrorCode::KeyTooLongError,
            Self::InvalidArgument { .. } => S3ErrorCode::InvalidArgument,
            Self::InvalidRequest { .. } => S3ErrorCode::InvalidRequest,
            Self::InvalidPart { .. } => S3ErrorCode::InvalidPart,
            Self::InvalidPartOrder => S3ErrorCode::InvalidPartOrder,
            Self::EntityTooSmall { .. } => S3ErrorCode::EntityTooSmall,
            Self::EntityTooLarge { .. } => S3ErrorCode::EntityTooLarge,
            Self::TooMuchArrives => S3ErrorCode::SlowDown,
            Self::MissingContentLength => S3ErrorCode::MissingContentLength,
            Self::IncompleteBody { .. } => S3ErrorCode::IncompleteBody,
            Self::RequestTimeout { .. } => S3ErrorCode::RequestTimeout,
            Self::BadDigest { .. } => S3ErrorCode::BadDigest,
            Self::InvalidDigest => S3ErrorCode::InvalidDigest,
            Self::ContentSha256Mismatch => custom("XAmzContentSHA256Mismatch"),
            Self::PreconditionFailed { .. } => S3ErrorCode::PreconditionFailed,
            Self::NotModified { .. } => S3ErrorCode::NotModified,
            Self::InvalidRange { .. } => S3ErrorCode::InvalidRange,
            Self::NotImplemented { .. } => S3ErrorCode::NotImplemented,
            Self::StorageFull => custom("StorageFull"),
            Self::Damaged { .. } | Self::Io(_) | Self::Interrupted => S3ErrorCode::InternalError,
        }
    }
}

impl From<Error> for S3Error {
    fn from(error: Error) -> Self {
        let message = if error.is_internal() && !matches!(error, Error::StorageFull) {
            "the store could not do this; its log says why".to_owned()
        } else {
            error.to_string()
        };
        let mut answer = Self::with_message(error.code(), message);
        match error {
            Error::StorageFull => answer.set_status_code(StatusCode::INSUFFICIENT_STORAGE),
            Error::ContentSha256Mismatch => answer.set_status_code(StatusCode::BAD_REQUEST),
            Error::NotModified { etag, modified } => {
                answer.set_headers(crate::conditions::validators(&etag, modified));
            }
            Error::InvalidRange { size } => {
                let mut headers = http::HeaderMap::new();
                if let Ok(value) = format!("bytes */{size}").parse() {
                    headers.insert(http::header::CONTENT_RANGE, value);
                }
                headers.insert(
                    http::header::CONTENT_TYPE,
                    http::HeaderValue::from_static("application/xml"),
                );
                answer.set_headers(headers);
            }
            _ => {}
        }
        answer
    }
}

/// An error code that the protocol crate has no name for.
pub(crate) fn custom(code: &'static str) -> S3ErrorCode {
    S3ErrorCode::from_bytes(code.as_bytes()).unwrap_or(S3ErrorCode::InternalError)
}
