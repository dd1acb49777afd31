//! The table, row by row.

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
        (400, "InvalidRequest", Verdict::FreshUrl),
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
        (Call::Open, 404, Some(E::NotFound), Verdict::Renew),
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
        (404, None, UploadCode::ServerRefused.into()),
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
    assert!(matches!(
        classify(Call::Open, &garbled),
        Verdict::Again { .. }
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
