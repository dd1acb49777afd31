//! How a failure becomes an answer: a problem document with a closed code. Which error goes where:
//!
//! - what the caller did wrong is told to the caller, in `detail`, with what to do;
//! - what failed here or in the store is told to the log, with its source; the caller gets a fixed text.
//!
//! Invariant: no answer of the API with status 400 or above is anything but a problem document.

use std::{error::Error, fmt, io, sync::Arc};

use axum::{
    http::{
        HeaderValue, StatusCode,
        header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
    },
    response::{IntoResponse, Response},
};
use imgn_protocol::{ErrorCode, Problem};

use crate::{catalogue::CatalogueError, storage::StorageError};

/// The media type of RFC 9457.
pub(crate) const PROBLEM_JSON: &str = "application/problem+json";

/// A refusal, on its way to the caller.
#[derive(Debug, Clone)]
pub(crate) struct ApiError {
    code: ErrorCode,
    detail: String,
    /// In seconds, where it is not the code's own.
    retry_after: Option<u64>,
    /// For the log only.
    source: Option<Arc<dyn Error + Send + Sync>>,
}

impl ApiError {
    pub(crate) fn new(code: ErrorCode, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
            retry_after: None,
            source: None,
        }
    }

    /// More than somebody may ask for; to be asked again in so many seconds.
    pub(crate) fn limited(detail: impl Into<String>, seconds: u64) -> Self {
        Self {
            retry_after: Some(seconds),
            ..Self::new(ErrorCode::RateLimited, detail)
        }
    }

    /// The same, with a text that says why.
    pub(crate) fn because(self, what: &str, why: &str) -> Self {
        Self {
            detail: format!("{what}: {why}."),
            ..self
        }
    }

    pub(crate) fn invalid(detail: impl Into<String>) -> Self {
        Self::new(ErrorCode::InvalidRequest, detail)
    }

    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(ErrorCode::NotFound, detail)
    }

    /// A fault of this server; `source` goes to the log.
    pub(crate) fn internal(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            source: Some(Arc::from(source.into())),
            ..Self::new(
                ErrorCode::Internal,
                "The server failed. Its log says more under the request id of this answer.",
            )
        }
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.detail)
    }
}

impl Error for ApiError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|error| error as _)
    }
}

impl From<StorageError> for ApiError {
    fn from(error: StorageError) -> Self {
        let (code, detail) = match &error {
            StorageError::Full => (
                ErrorCode::StoreFull,
                "The store has no space left; its operator has to make some.",
            ),
            StorageError::Unavailable { .. } | StorageError::Unsupported { .. } => (
                ErrorCode::StoreUnavailable,
                "The store does not answer; try again in a moment.",
            ),
            // Nobody who has credentials to give does so, which may be over in a moment.
            StorageError::Presign { .. } => (
                ErrorCode::StoreUnavailable,
                "Nothing can be signed for the store at the moment; try again.",
            ),
        };
        Self {
            source: Some(Arc::new(error)),
            ..Self::new(code, detail)
        }
    }
}

impl From<CatalogueError> for ApiError {
    fn from(error: CatalogueError) -> Self {
        let (code, detail) = match &error {
            CatalogueError::Full => (
                ErrorCode::StoreFull,
                "The server's disk is full; its operator has to make space.",
            ),
            CatalogueError::Busy => (
                ErrorCode::Unavailable,
                "The server is busy; try again in a moment.",
            ),
            CatalogueError::Unreachable(_) => (
                ErrorCode::Unavailable,
                "The server's database does not answer; try again in a moment.",
            ),
            _ => return Self::internal(error),
        };
        Self {
            source: Some(Arc::new(error)),
            ..Self::new(code, detail)
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        if self.code.status() >= 500 {
            let cause = self.source.as_deref().map(|error| chain(error));
            tracing::error!(code = %self.code, cause, "request failed");
        }
        let mut response = problem(self.code, self.detail);
        let headers = response.headers_mut();
        match self.code {
            ErrorCode::Unauthorized => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            ErrorCode::StoreUnavailable | ErrorCode::Unavailable | ErrorCode::StoreFull => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("5"));
            }
            ErrorCode::RateLimited => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("60"));
            }
            _ => {}
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        response
    }
}

/// The answer that says `code`.
pub(crate) fn problem(code: ErrorCode, detail: impl Into<String>) -> Response {
    let status = StatusCode::from_u16(code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, axum::Json(Problem::new(code, detail))).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// What to do about a file that cannot be written, to be said behind that; nothing where nothing is known.
pub(crate) fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::ReadOnlyFilesystem => {
            "; its disk is mounted read-only: mount it for writing, or name another directory"
        }
        io::ErrorKind::PermissionDenied => {
            "; make it the user's that imgn-server runs as, or name another directory"
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "; make room on its disk",
        _ => "",
    }
}

/// An error with all that caused it, on one line.
#[must_use]
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        // Many errors repeat their source's text in their own.
        if !text.ends_with(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}
