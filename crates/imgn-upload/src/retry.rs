//! The one table from a failure to what is done about it.
//!
//! [`classify`] decides by what kind of failure it is, its status and its code, never by the text of a message. The
//! server and the store are told apart: the same status means different things from each.

use std::time::Duration;

use imgn_protocol::ErrorCode;

use crate::{Fault, FaultCode, UploadCode};

/// How often faults that pass are tried over the life of one upload, the first try not counted; a part that arrives
/// begins the count anew. With [`Backoff`]'s delays that is a minute or two; being offline does not count.
pub const MAX_TRIES: u32 = 8;

/// How often one part is tried again before that counts as one fault of its upload.
pub const MAX_PART_TRIES: u32 = 4;

/// How often an upload starts anew because its file changed or the server gave its session up.
pub const MAX_RENEWALS: u32 = 3;

/// A request that failed. Reasons and details are for people and hold no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// No connection came to be: name, route, refusal, TLS.
    Unreachable {
        /// What the network said.
        reason: String,
    },
    /// A connection broke before the answer was whole.
    Broken {
        /// What the network said.
        reason: String,
    },
    /// No byte moved for this long.
    Stalled {
        /// How long.
        after: Duration,
    },
    /// The computer slept meanwhile: what was under way is taken for dead.
    Slept,
    /// The server answered with an error.
    Server {
        /// HTTP status.
        status: u16,
        /// The problem document's code, where there was one that is known.
        code: Option<ErrorCode>,
        /// The problem document's detail.
        detail: String,
        /// How long the server asks to be left alone.
        retry_after: Option<Duration>,
    },
    /// The store answered with an error.
    Store {
        /// HTTP status.
        status: u16,
        /// S3's error code, such as `AccessDenied`; empty where the store gave none.
        code: String,
        /// S3's error message.
        detail: String,
        /// How long the store asks to be left alone.
        retry_after: Option<Duration>,
    },
    /// The answer was not understood.
    Garbled {
        /// What was wrong with it.
        reason: String,
    },
}

/// Which call failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// Opening the upload.
    Open,
    /// Asking for a URL.
    Sign,
    /// Sending bytes to the store.
    Put,
    /// Asking where the upload stands.
    Status,
    /// Completing it.
    Complete,
    /// Aborting it.
    Abort,
}

/// What is done about a failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Wait until the server answers again, however long that takes.
    Offline,
    /// Back off, then try again.
    Again {
        /// Not before this.
        at_least: Duration,
    },
    /// Ask for one fresh URL; the second such failure of an upload is final.
    FreshUrl,
    /// The bytes are in the store already: go on to completing.
    AlreadyThere,
    /// The server or the store has lost what was sent: open the same upload again.
    Reopen,
    /// The upload ended on the server: ask how.
    Ask,
    /// The file is not what was announced, or its id is used up: start anew with a new id, summing again.
    Renew,
    /// The server will not take this file.
    Reject(Fault),
    /// Trying again does not help.
    Fail(Fault),
}

/// The table.
#[must_use]
pub fn classify(call: Call, failure: &Failure) -> Verdict {
    match failure {
        Failure::Unreachable { .. } => Verdict::Offline,
        // What is not understood was cut off on its way, or comes from a network that wants a login first.
        Failure::Broken { .. }
        | Failure::Stalled { .. }
        | Failure::Slept
        | Failure::Garbled { .. } => Verdict::Again {
            at_least: Duration::ZERO,
        },
        Failure::Server {
            status,
            code,
            detail,
            retry_after,
        } => from_server(call, *status, *code, detail, *retry_after),
        Failure::Store {
            status,
            code,
            detail,
            retry_after,
        } => from_store(*status, code, detail, *retry_after),
    }
}

fn from_server(
    call: Call,
    status: u16,
    code: Option<ErrorCode>,
    detail: &str,
    retry_after: Option<Duration>,
) -> Verdict {
    let again = Verdict::Again {
        at_least: retry_after.unwrap_or_default(),
    };
    let fault = || {
        let code = code.map_or(
            FaultCode::Client(UploadCode::ServerRefused),
            FaultCode::Server,
        );
        Fault::new(code, format!("the server answered {status}: {detail}"))
    };
    let told = |code: ErrorCode| Fault::new(code, detail);
    match (status, code) {
        (401, _) => Verdict::Fail(told(ErrorCode::Unauthorized)),
        (403, _) => Verdict::Fail(told(code.unwrap_or(ErrorCode::Forbidden))),
        (404 | 410, _) if matches!(call, Call::Sign | Call::Complete | Call::Status) => {
            Verdict::Reopen
        }
        // Another token is another owner: what was opened before is not this one's, and begins anew under its name.
        (404, Some(ErrorCode::NotFound)) if call == Call::Open => Verdict::Renew,
        (409, Some(ErrorCode::UploadConflict)) => Verdict::Renew,
        (409, Some(ErrorCode::UploadClosed)) if call == Call::Status => Verdict::Renew,
        (409, Some(ErrorCode::UploadClosed)) => Verdict::Ask,
        (409, Some(ErrorCode::NotUploaded)) => Verdict::Reopen,
        (413, _) => Verdict::Reject(told(ErrorCode::TooLarge)),
        (400 | 422, Some(code)) if is_about_the_file(code) => Verdict::Reject(told(code)),
        (507, _) => Verdict::Fail(told(ErrorCode::StoreFull)),
        (408 | 409 | 425 | 429, _) => again,
        (500..=599, _) => again,
        (0..=499 | 600.., _) => Verdict::Fail(fault()),
    }
}

fn is_about_the_file(code: ErrorCode) -> bool {
    use ErrorCode as E;
    match code {
        E::InvalidFileName
        | E::TooLarge
        | E::SizeMismatch
        | E::ChecksumMismatch
        | E::NotAPicture
        | E::UnsupportedFormat
        | E::CorruptPicture
        | E::TooManyPixels
        | E::DecodeTimeout => true,
        E::InvalidRequest
        | E::Unauthorized
        | E::Forbidden
        | E::NotFound
        | E::MethodNotAllowed
        | E::UploadConflict
        | E::UploadClosed
        | E::NotUploaded
        | E::UnsupportedMediaType
        | E::RateLimited
        | E::Internal
        | E::StoreUnavailable
        | E::Unavailable
        | E::StoreFull => false,
    }
}

fn from_store(status: u16, code: &str, detail: &str, retry_after: Option<Duration>) -> Verdict {
    let again = Verdict::Again {
        at_least: retry_after.unwrap_or_default(),
    };
    let words = || {
        let code = if code.is_empty() { "no code" } else { code };
        format!("the store refused the bytes ({status}, {code}): {detail}")
    };
    match (status, code) {
        // Some engines say 400 to an expired URL.
        (403, _)
        | (
            400,
            "ExpiredToken"
            | "TokenRefreshRequired"
            | "AccessDenied"
            | "InvalidRequest"
            | "RequestExpired"
            | "ExpiredPresignRequest"
            | "AuthorizationQueryParametersError"
            | "RequestTimeTooSkewed",
        ) => Verdict::FreshUrl,
        (412, _) => Verdict::AlreadyThere,
        (404, "NoSuchUpload") => Verdict::Reopen,
        (
            400,
            "BadDigest"
            | "InvalidDigest"
            | "XAmzContentChecksumMismatch"
            | "XAmzContentSHA256Mismatch",
        ) => Verdict::Renew,
        (400, "RequestTimeout" | "IncompleteBody") => again,
        (507, _) | (500..=599, "StorageFull" | "XMinioStorageFull") => {
            Verdict::Fail(Fault::new(ErrorCode::StoreFull, words()))
        }
        (408 | 409 | 425 | 429, _) => again,
        (500..=599, _) => again,
        (0..=499 | 600.., _) => Verdict::Fail(Fault::new(UploadCode::StoreRefused, words())),
    }
}

impl Failure {
    /// Whether fewer requests at a time may help.
    #[must_use]
    pub fn is_overload(&self) -> bool {
        match self {
            Self::Broken { .. } | Self::Stalled { .. } => true,
            Self::Server { status, .. } | Self::Store { status, .. } => {
                matches!(status, 429 | 503)
            }
            Self::Unreachable { .. } | Self::Slept | Self::Garbled { .. } => false,
        }
    }

    /// Whether the server itself says, or whoever stands before it, that it cannot work at the moment. However often
    /// that is said, it is no verdict on an upload.
    #[must_use]
    pub fn is_outage(&self) -> bool {
        matches!(
            self,
            Self::Server {
                status: 502..=504,
                ..
            }
        )
    }

    /// The failure in the words of people, for a state that waits or gave up.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Unreachable { reason } => format!("the server cannot be reached: {reason}"),
            Self::Broken { reason } => format!("the connection broke: {reason}"),
            Self::Stalled { after } => {
                format!(
                    "the connection stalled: no byte moved for {} s",
                    after.as_secs()
                )
            }
            Self::Slept => "the computer slept meanwhile".to_owned(),
            Self::Server { status, detail, .. } => {
                format!("the server answered {status}: {detail}")
            }
            Self::Store {
                status,
                code,
                detail,
                ..
            } => format!("the store answered {status} {code}: {detail}"),
            Self::Garbled { reason } => format!("the answer was not understood: {reason}"),
        }
    }
}

/// Exponential delays with jitter: half of the delay is certain, the other half is drawn, so that many clients that
/// failed together do not come back together.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    /// The delay before the first new try, at most.
    pub first: Duration,
    /// No delay is longer, but for what the other side asks.
    pub longest: Duration,
}

impl Default for Backoff {
    /// Half a second, doubled up to 30 s.
    fn default() -> Self {
        Self {
            first: Duration::from_millis(500),
            longest: Duration::from_secs(30),
        }
    }
}

impl Backoff {
    /// The delay before the try after `tries` failed ones. `draw` is in 0..=1.
    #[must_use]
    pub fn delay(&self, tries: u32, at_least: Duration, draw: f64) -> Duration {
        let doublings = tries.saturating_sub(1).min(16);
        let most = (self.first * 2_u32.pow(doublings)).min(self.longest);
        let jittered = most / 2 + (most / 2).mul_f64(draw.clamp(0.0, 1.0));
        // What the other side asks for is jittered upwards only.
        jittered.max(at_least.saturating_add((at_least / 10).mul_f64(draw.clamp(0.0, 1.0))))
    }
}

#[cfg(test)]
mod tests;
