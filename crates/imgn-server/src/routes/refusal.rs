//! Hears out who is refused. A connection that is closed while its client still sends is reset, and what was answered is
//! lost on the way: a browser then tells of a network error, and its user of a broken server.
//!
//! Invariant: what is read here is thrown away, and is bounded in bytes and in time.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, Bytes, HttpBody},
    extract::Request,
    http::header::EXPECT,
    middleware::Next,
    response::Response,
};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;

/// The most that is read of a refused body: browsers send parts of 5 to 50 MB. Who sends more is cut off.
const MOST: u64 = 64 * 1024 * 1024;

/// How long it may take: that much at 3 MB/s.
const LONGEST: Duration = Duration::from_secs(20);

/// A body that somebody else may read on.
struct Shared(Arc<Mutex<Body>>);

impl Shared {
    fn with<T>(&self, work: impl FnOnce(&mut Body) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl HttpBody for Shared {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.with(|body| Pin::new(body).poll_frame(context))
    }

    fn is_end_stream(&self) -> bool {
        self.with(|body| body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.with(|body| body.size_hint())
    }
}

/// Reads what a refused request still sends, and only then answers.
pub(super) async fn hear_out(request: Request, next: Next) -> Response {
    // Who asks before sending is answered in place of its body.
    if request.body().is_end_stream() || request.headers().contains_key(EXPECT) {
        return next.run(request).await;
    }
    let (head, body) = request.into_parts();
    let body = Arc::new(Mutex::new(body));
    let request = Request::from_parts(head, Body::new(Shared(Arc::clone(&body))));
    let response = next.run(request).await;
    let status = response.status();
    if (status.is_client_error() || status.is_server_error()) && !too_much(&body) {
        // Whether it came to the end or not, there is nothing more to be done for its client.
        let _ = tokio::time::timeout(LONGEST, rest(Shared(body))).await;
    }
    response
}

fn too_much(body: &Arc<Mutex<Body>>) -> bool {
    Shared(Arc::clone(body)).size_hint().lower() > MOST
}

async fn rest(mut body: Shared) {
    let mut read = 0;
    while let Some(Ok(frame)) = body.frame().await {
        read += frame.data_ref().map_or(0, |data| data.len() as u64);
        if read > MOST {
            return;
        }
    }
}
