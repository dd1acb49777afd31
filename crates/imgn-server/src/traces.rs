//! What a trace tells of the server's work: spans of their own, beside those of the log.
//!
//! Not here: who takes them and sends them where; to this library they are spans of `tracing` under one target, and where
//! nobody wants that they are not made. Invariant: a span has routes, methods that HTTP defines, ids, numbers and nothing else:
//! no path, query, header or file's name, and nothing that opens anything. A client chooses none of it but the request's id.

use axum::http::{Method, StatusCode};
use imgn_protocol::UploadId;
use tracing::{Span, debug_span, field::Empty};

use crate::metrics;

/// The target of all spans that a trace has. No log has them.
pub const TARGET: &str = "imgn_server::traces";

/// One request. `route` is the template that it matched.
pub(crate) fn request(id: &str, method: &Method, route: Option<&str>) -> Span {
    let method = metrics::known(method);
    debug_span!(
        target: TARGET,
        "request",
        otel.name = route.map_or_else(|| method.to_owned(), |route| format!("{method} {route}")),
        otel.kind = "server",
        otel.status_code = Empty,
        request.id = id,
        http.request.method = method,
        http.route = route,
        http.response.status_code = Empty,
    )
}

/// It was answered so.
pub(crate) fn answered(request: &Span, status: StatusCode) {
    request.record("http.response.status_code", status.as_u16());
    if status.is_server_error() {
        request.record("otel.status_code", "error");
    }
}

/// A URL is signed for a request of somebody's.
pub(crate) fn presign() -> Span {
    debug_span!(target: TARGET, "presign")
}

/// The file of an upload is read, summed, decoded and published. It belongs to no request: whoever waits for it may be gone.
/// Without an id where that is all that is needed to end the upload.
pub(crate) fn verify(upload: Option<UploadId>) -> Span {
    let id = upload.map(tracing::field::display);
    debug_span!(target: TARGET, parent: None, "verify", upload.id = id)
}

/// What makes a picture public, the last step of verifying.
pub(crate) fn publish() -> Span {
    debug_span!(target: TARGET, "publish")
}

/// A pass of the sweeper.
pub(crate) fn sweep() -> Span {
    debug_span!(target: TARGET, parent: None, "sweep")
}
