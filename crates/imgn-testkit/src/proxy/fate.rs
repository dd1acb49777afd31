//! What can become of a request.

use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};

use super::Gate;

/// What becomes of one request.
///
/// Where a number of bytes is given, it counts bytes of a body, not of its head; a body that is shorter passes
/// unharmed.
#[derive(Debug, Clone)]
pub enum Fate {
    /// It is forwarded and answered.
    Pass,
    /// The connection is closed; the store never hears of the request.
    HangUpBefore,
    /// The store does it, and the client never hears of it.
    HangUpAfter,
    /// The connections to both sides are closed when so many bytes of the request's body have been forwarded.
    CutRequest {
        /// Bytes that pass.
        after: u64,
    },
    /// The connection is closed when so many bytes of the response's body have gone out; its head announced all.
    CutResponse {
        /// Bytes that pass.
        after: u64,
    },
    /// The response's body ends after so many bytes, and its head says that this is all: nothing looks broken.
    TruncateResponse {
        /// Bytes that pass.
        after: u64,
    },
    /// The request stops after so many bytes of its body, and goes on when the gate is released. Nothing more is read
    /// from the client meanwhile.
    StallRequest {
        /// Bytes that pass before.
        after: u64,
        /// What lets it go on.
        gate: Gate,
    },
    /// The same with the response; its head has gone out before.
    StallResponse {
        /// Bytes that pass before.
        after: u64,
        /// What lets it go on.
        gate: Gate,
    },
    /// Nothing is forwarded until the gate is released; not even the head.
    HoldRequest(Gate),
    /// The store does it, and its answer is kept back until the gate is released.
    HoldAnswer(Gate),
    /// It is forwarded so much later: the URL that signed it may have expired.
    Delay(Duration),
    /// Its bodies pass at no more than so many bytes a second.
    Slow {
        /// Towards the store.
        up: Option<u64>,
        /// Towards the client.
        down: Option<u64>,
    },
    /// Its body is swallowed, and the proxy answers; the store never hears of it.
    Answer(Answer),
    /// The proxy answers when it has the head, and closes the connection: the client may still be sending.
    AnswerEarly(Answer),
    /// The store does it, and the proxy's answer takes the place of the store's.
    AnswerAfter(Answer),
    /// It is sent to the store twice, one after the other; the client gets the second answer.
    Repeat,
    /// It is forwarded and answered, and the answer's `Date` is the time plus so many seconds: the store's clock is
    /// wrong, or the client's.
    SkewDate {
        /// Positive: the store's clock is ahead.
        seconds: i64,
    },
}

/// An answer that the proxy gives by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    status: StatusCode,
    headers: Vec<(String, String)>,
    body: Bytes,
}

impl Answer {
    /// An answer with nothing in it. A number that is no status is taken as 500.
    #[must_use]
    pub fn status(status: u16) -> Self {
        Self {
            status: StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            headers: Vec::new(),
            body: Bytes::new(),
        }
    }

    /// An answer in S3's form of an error. With the status 200 it is what `CompleteMultipartUpload` may answer when it
    /// fails after its head has been sent.
    #[must_use]
    pub fn s3_error(status: u16, code: &str, message: &str) -> Self {
        let document = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}</Message>\
             <RequestId>proxy</RequestId></Error>"
        );
        Self::status(status)
            .header("content-type", "application/xml")
            .body(document)
    }

    /// With one more header, such as `retry-after`. A name or value that HTTP does not allow is an error of the test.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With this body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    pub(super) fn response(self) -> http::Result<Response<Bytes>> {
        let mut response = Response::builder().status(self.status);
        for (name, value) in self.headers {
            response = response.header(name, value);
        }
        response.body(self.body)
    }
}
