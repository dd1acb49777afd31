//! The store as a `tower` service: the gate, the S3 protocol, CORS, what keeps browsers from running what is stored,
//! and manners towards clients that are refused while they still send.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, EXPECT,
    ORIGIN, RANGE, VARY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt as _;
use s3s::service::S3Service;
use s3s::{Body, S3Error, StdError};
use tokio::sync::oneshot;
use tracing::Dispatch;
use tracing::instrument::WithSubscriber as _;

use crate::form::{self, Counter};
use crate::gate;

/// How much of a refused body is read on, so that its sender gets to see the refusal instead of a reset.
const DRAIN_BYTES: u64 = 256 * 1024 * 1024;
const DRAIN_TIME: Duration = Duration::from_secs(10);

/// What other origins may read of an answer.
const EXPOSED: &str = "accept-ranges, content-disposition, content-encoding, content-length, content-range, \
    content-type, date, etag, last-modified, location, x-amz-checksum-crc32, x-amz-checksum-crc32c, \
    x-amz-checksum-crc64nvme, x-amz-checksum-sha1, x-amz-checksum-sha256, x-amz-checksum-type, x-amz-request-id";

/// The S3 endpoint of a [`crate::Store`], on paths `/BUCKET/KEY`.
///
/// Mount it where it gets requests with their path as it was signed: no prefix may be cut off.
#[derive(Clone)]
pub struct StoreService {
    s3: S3Service,
    forms: Counter,
    max_presigned_ttl: Duration,
}

impl std::fmt::Debug for StoreService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoreService").finish_non_exhaustive()
    }
}

impl StoreService {
    pub(crate) fn new(s3: S3Service, forms: Counter, max_presigned_ttl: Duration) -> Self {
        Self {
            s3,
            forms,
            max_presigned_ttl,
        }
    }

    async fn answer<B>(self, request: Request<B>) -> Response<Body>
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<StdError>,
    {
        let mut response = self.respond(request).await;
        confine(response.headers_mut());
        response
    }

    async fn respond<B>(self, request: Request<B>) -> Response<Body>
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<StdError>,
    {
        if let Some(preflight) = preflight(&request) {
            return preflight;
        }
        let from_elsewhere = request.headers().contains_key(ORIGIN);
        let awaits_continue = request.headers().contains_key(EXPECT);
        let method = request.method().clone();

        let (mut parts, body) = request.into_parts();
        forget_invalid_range(&mut parts.headers);
        let (body, leftover) = Lent::new(body);
        let mut response = match gate::check(&parts, self.max_presigned_ttl) {
            _ if form::is_form(&parts) => {
                let taken = self.forms.take(&parts, body).await;
                taken.unwrap_or_else(render)
            }
            Ok(()) => {
                let body = Body::http_body_unsync(body);
                // The protocol crate logs whole requests, with the signatures in their URLs.
                self.s3
                    .call(Request::from_parts(parts, body))
                    .with_subscriber(Dispatch::none())
                    .await
                    .unwrap_or_else(|_| internal_error())
            }
            Err(refusal) => {
                drop(body);
                render(refusal)
            }
        };

        let failed = response.status().is_client_error() || response.status().is_server_error();
        if failed && !awaits_continue {
            drain(leftover);
        }
        if method == Method::HEAD || response.status() == StatusCode::NOT_MODIFIED {
            strip_body(&mut response, failed);
        }
        if from_elsewhere {
            let headers = response.headers_mut();
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
            headers.insert(
                ACCESS_CONTROL_EXPOSE_HEADERS,
                HeaderValue::from_static(EXPOSED),
            );
        }
        response
    }
}

impl<B> tower::Service<Request<B>> for StoreService
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<StdError>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let service = self.clone();
        Box::pin(async move { Ok(service.answer(request).await) })
    }
}

/// What clients stored may be anything, and is answered from the origin of whatever page shares the port. A browser
/// shows it as the type that is stated or not at all, and opened by itself it runs and loads nothing.
fn confine(headers: &mut HeaderMap) {
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; sandbox"),
    );
}

/// The answer to a browser that asks whether it may. Any origin may: what counts is the signature.
fn preflight<B>(request: &Request<B>) -> Option<Response<Body>> {
    let headers = request.headers();
    let asks = request.method() == Method::OPTIONS
        && headers.contains_key(ORIGIN)
        && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    if !asks {
        return None;
    }
    let mut response = Response::new(Body::empty());
    let answer = response.headers_mut();
    answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    answer.insert(
        ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static("GET, HEAD, PUT, POST"),
    );
    if let Some(asked) = headers.get(ACCESS_CONTROL_REQUEST_HEADERS) {
        answer.insert(ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
    }
    answer.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("3600"));
    answer.insert(
        VARY,
        HeaderValue::from_static("access-control-request-headers"),
    );
    Some(response)
}

/// A range that cannot be understood is as good as none (RFC 9110, section 14.2); the protocol crate would refuse it.
fn forget_invalid_range(headers: &mut HeaderMap) {
    let invalid = headers.get(RANGE).is_some_and(|range| {
        let range = range.to_str().unwrap_or_default();
        s3s::dto::Range::parse(range).is_err()
    });
    if invalid {
        headers.remove(RANGE);
    }
}

fn render(refusal: S3Error) -> Response<Body> {
    refusal
        .to_http_response()
        .unwrap_or_else(|_| internal_error())
}

fn internal_error() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    response
}

/// An answer that has no body may still say how long the body would have been, unless that body is an error's.
fn strip_body(response: &mut Response<Body>, failed: bool) {
    *response.body_mut() = Body::empty();
    if failed || response.status() == StatusCode::NOT_MODIFIED {
        response.headers_mut().remove(CONTENT_LENGTH);
        response.headers_mut().remove(CONTENT_TYPE);
    }
}

/// Reads on what a refused client still sends, in the background, within bounds.
fn drain<B>(mut leftover: oneshot::Receiver<Pin<Box<B>>>)
where
    B: HttpBody<Data = Bytes> + Send + 'static,
{
    let Ok(mut body) = leftover.try_recv() else {
        return;
    };
    tokio::spawn(async move {
        let reading = async {
            let mut read = 0;
            while let Some(Ok(frame)) = body.frame().await {
                read += frame.data_ref().map_or(0, |data| data.len() as u64);
                if read > DRAIN_BYTES {
                    break;
                }
            }
        };
        // Past the limit the connection is closed, which is all that is left to do.
        let _elapsed = tokio::time::timeout(DRAIN_TIME, reading).await;
    });
}

/// A body that comes back to its owner when it is dropped before its end.
struct Lent<B> {
    body: Option<Pin<Box<B>>>,
    owner: Option<oneshot::Sender<Pin<Box<B>>>>,
}

impl<B> Lent<B> {
    fn new(body: B) -> (Self, oneshot::Receiver<Pin<Box<B>>>) {
        let (owner, leftover) = oneshot::channel();
        let lent = Self {
            body: Some(Box::pin(body)),
            owner: Some(owner),
        };
        (lent, leftover)
    }
}

impl<B> HttpBody for Lent<B>
where
    B: HttpBody<Data = Bytes>,
    B::Error: Into<StdError>,
{
    type Data = Bytes;
    type Error = StdError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StdError>>> {
        let this = self.get_mut();
        let Some(body) = &mut this.body else {
            return Poll::Ready(None);
        };
        let polled = body.as_mut().poll_frame(context);
        if let Poll::Ready(None | Some(Err(_))) = polled {
            this.body = None;
        }
        polled.map(|frame| frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), HttpBody::size_hint)
    }
}

impl<B> Drop for Lent<B> {
    fn drop(&mut self) {
        if let (Some(body), Some(owner)) = (self.body.take(), self.owner.take()) {
            // Nobody waits for it any more when the request was given up.
            let _unclaimed = owner.send(body);
        }
    }
}
