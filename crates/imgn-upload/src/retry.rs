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
        Failure::Broken { .. } | Failure::Stalled { .. } | Failure::Slept => Verdict::Again {
            at_least: Duration::ZERO,
        },
        Failure::Garbled { reason } => Verdict::Fail(Fault::new(
            UploadCode::UnexpectedAnswer,
            format!("the answer was not understood ({reason}); is this address an imgn server?"),
        )),
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
        (403, _)
        | (
            400,
            "ExpiredToken"
            | "TokenRefreshRequired"
            | "AccessDenied"
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
        jittered.max(at_least + (at_least / 10).mul_f64(draw.clamp(0.0, 1.0)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const AGAIN: Verdict = Verdict::Again {
        at_least: Duration::ZERO,
    };

    fn server(call: Call, status: u16, code: Option<ErrorCode>) -> Verdict {
        classify(
            call,
            &Failure::Server {
                status,
                code,
                detail: "words".to_owned(),
                retry_after: None,
            },
        )
    }

    fn store(status: u16, code: &str) -> Verdict {
        classify(
            Call::Put,
            &Failure::Store {
                status,
                code: code.to_owned(),
                detail: "words".to_owned(),
                retry_after: None,
            },
        )
    }

    fn fails(verdict: &Verdict, code: impl Into<FaultCode>) -> bool {
        let code = code.into();
        matches!(verdict, Verdict::Fail(fault) if fault.code == code && fault.message.contains("words"))
    }

    fn rejects(verdict: &Verdict, code: ErrorCode) -> bool {
        matches!(verdict, Verdict::Reject(fault) if fault.code == code.into() && fault.message == "words")
    }

    #[test]
    fn every_status_of_the_store_has_its_verdict() {
        for (status, code, verdict) in [
            (400, "BadDigest", Verdict::Renew),
            (400, "XAmzContentChecksumMismatch", Verdict::Renew),
            (400, "ExpiredToken", Verdict::FreshUrl),
            (400, "AccessDenied", Verdict::FreshUrl),
            (404, "NoSuchUpload", Verdict::Reopen),
            (400, "RequestTimeout", AGAIN),
            (400, "IncompleteBody", AGAIN),
            (403, "AccessDenied", Verdict::FreshUrl),
            (403, "SignatureDoesNotMatch", Verdict::FreshUrl),
            (403, "", Verdict::FreshUrl),
            (408, "", AGAIN),
            (409, "ConditionalRequestConflict", AGAIN),
            (412, "PreconditionFailed", Verdict::AlreadyThere),
            (425, "", AGAIN),
            (429, "SlowDown", AGAIN),
            (500, "InternalError", AGAIN),
            (501, "NotImplemented", AGAIN),
            (502, "", AGAIN),
            (503, "SlowDown", AGAIN),
            (504, "", AGAIN),
        ] {
            assert_eq!(store(status, code), verdict, "{status} {code}");
        }
        for status in [301, 307, 400, 401, 404, 405, 411, 413, 415, 416] {
            assert!(
                fails(&store(status, "Any"), UploadCode::StoreRefused),
                "{status}"
            );
        }
        assert!(fails(&store(507, ""), ErrorCode::StoreFull));
        assert!(fails(&store(500, "StorageFull"), ErrorCode::StoreFull));
    }

    #[test]
    fn every_status_of_the_server_has_its_verdict() {
        use ErrorCode as E;
        for (call, status, code, verdict) in [
            (Call::Sign, 404, Some(E::NotFound), Verdict::Reopen),
            (Call::Complete, 404, Some(E::NotFound), Verdict::Reopen),
            (Call::Status, 404, Some(E::NotFound), Verdict::Reopen),
            (Call::Status, 410, None, Verdict::Reopen),
            (Call::Open, 408, None, AGAIN),
            (Call::Open, 409, None, AGAIN),
            (Call::Open, 409, Some(E::UploadConflict), Verdict::Renew),
            (Call::Sign, 409, Some(E::UploadClosed), Verdict::Ask),
            (Call::Status, 409, Some(E::UploadClosed), Verdict::Renew),
            (Call::Complete, 409, Some(E::NotUploaded), Verdict::Reopen),
            (Call::Open, 425, None, AGAIN),
            (Call::Open, 429, Some(E::RateLimited), AGAIN),
            (Call::Open, 500, Some(E::Internal), AGAIN),
            (Call::Open, 502, None, AGAIN),
            (Call::Open, 503, Some(E::Unavailable), AGAIN),
            (Call::Open, 504, None, AGAIN),
        ] {
            assert_eq!(
                server(call, status, code),
                verdict,
                "{call:?} {status} {code:?}"
            );
        }
        for (status, code, told) in [
            (
                400,
                Some(E::InvalidRequest),
                FaultCode::Server(E::InvalidRequest),
            ),
            (401, Some(E::Unauthorized), E::Unauthorized.into()),
            (401, None, E::Unauthorized.into()),
            (403, Some(E::Forbidden), E::Forbidden.into()),
            (404, Some(E::NotFound), E::NotFound.into()),
            (405, Some(E::MethodNotAllowed), E::MethodNotAllowed.into()),
            (
                415,
                Some(E::UnsupportedMediaType),
                E::UnsupportedMediaType.into(),
            ),
            (418, None, UploadCode::ServerRefused.into()),
            (302, None, UploadCode::ServerRefused.into()),
            (507, Some(E::StoreFull), E::StoreFull.into()),
        ] {
            assert!(
                fails(&server(Call::Open, status, code), told),
                "{status} {code:?}"
            );
        }
        for (status, code) in [
            (400, E::InvalidFileName),
            (413, E::TooLarge),
            (422, E::SizeMismatch),
            (422, E::ChecksumMismatch),
            (422, E::NotAPicture),
            (422, E::UnsupportedFormat),
            (422, E::CorruptPicture),
            (422, E::TooManyPixels),
            (422, E::DecodeTimeout),
        ] {
            assert!(
                rejects(&server(Call::Open, status, Some(code)), code),
                "{code}"
            );
        }
    }

    #[test]
    fn the_network_has_its_verdicts() {
        let reason = String::new();
        for (failure, verdict) in [
            (
                Failure::Unreachable {
                    reason: reason.clone(),
                },
                Verdict::Offline,
            ),
            (Failure::Broken { reason }, AGAIN),
            (
                Failure::Stalled {
                    after: Duration::from_secs(20),
                },
                AGAIN,
            ),
            (Failure::Slept, AGAIN),
        ] {
            assert_eq!(classify(Call::Put, &failure), verdict);
        }
        let garbled = Failure::Garbled {
            reason: "words".to_owned(),
        };
        assert!(fails(
            &classify(Call::Open, &garbled),
            UploadCode::UnexpectedAnswer
        ));
    }

    #[test]
    fn retry_after_is_obeyed() {
        let at_least = Duration::from_secs(7);
        for status in [429, 503] {
            let failure = Failure::Server {
                status,
                code: None,
                detail: String::new(),
                retry_after: Some(at_least),
            };
            assert_eq!(classify(Call::Open, &failure), Verdict::Again { at_least });
        }
        assert!(Backoff::default().delay(1, at_least, 0.0) >= at_least);
    }

    proptest! {
        #[test]
        fn a_delay_has_bounds(tries in 1_u32..1000, draw in 0.0..=1.0) {
            let backoff = Backoff::default();
            let delay = backoff.delay(tries, Duration::ZERO, draw);
            prop_assert!(delay >= backoff.first / 2);
            prop_assert!(delay <= backoff.longest);
            prop_assert!(backoff.delay(tries + 1, Duration::ZERO, draw) >= delay);
        }
    }
}
