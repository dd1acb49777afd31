//! Hears out who is refused. A connection that is closed while its client still sends is reset, and what was answered is
//! lost on the way: a browser then tells of a network error, and its user of a broken server.
//!
//! Invariant: what is read here is thrown away, and is bounded in bytes, in time, and in how many are heard out at once;
//! no server waits for it before it ends.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, Bytes, HttpBody},
    extract::{Request, State},
    http::header::EXPECT,
    middleware::Next,
    response::Response,
};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// The most that is read of a refused body: browsers send parts of 5 to 50 MB. Who sends more is cut off.
const MOST: u64 = 64 * 1024 * 1024;

/// How long it may take: that much at 3 MB/s.
const LONGEST: Duration = Duration::from_secs(20);

/// How many are heard out at the same time; more are cut off.
const AT_ONCE: usize = 64;

/// Who may be heard out.
#[derive(Clone)]
pub(super) struct Hearing {
    places: Arc<Semaphore>,
    stopping: CancellationToken,
}

impl Hearing {
    pub(super) fn new(stopping: CancellationToken) -> Self {
        let places = Arc::new(Semaphore::new(AT_ONCE));
        Self { places, stopping }
    }
}

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
pub(super) async fn hear_out(
    State(hearing): State<Hearing>,
    request: Request,
    next: Next,
) -> Response {
    // Who asks before sending is answered in place of its body.
    if request.body().is_end_stream() || request.headers().contains_key(EXPECT) {
        return next.run(request).await;
    }
    let (head, body) = request.into_parts();
    let body = Arc::new(Mutex::new(body));
    let request = Request::from_parts(head, Body::new(Shared(Arc::clone(&body))));
    let response = next.run(request).await;
    let status = response.status();
    let body = Shared(body);
    let is_refused = status.is_client_error() || status.is_server_error();
    let is_worth_it = is_refused && !body.is_end_stream() && body.size_hint().lower() <= MOST;
    if is_worth_it && let Ok(_place) = hearing.places.try_acquire() {
        // Whether it came to the end or not, there is nothing more to be done for its client.
        tokio::select! {
            () = rest(body) => {}
            () = tokio::time::sleep(LONGEST) => {}
            () = hearing.stopping.cancelled() => {}
        }
    }
    response
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
