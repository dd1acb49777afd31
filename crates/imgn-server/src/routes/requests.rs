//! Each request has an id, which is in every line that is logged about it and in its answer; it is logged, and counted.
//!
//! Not here: who asks and whether they may. Invariant: neither a query nor a header is logged, for they hold secrets; an id
//! from outside is taken only when it cannot be mistaken for anything else in a log.

use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue},
    middleware::Next,
    response::Response,
};
use tracing::Instrument as _;
use uuid::Uuid;

use crate::{origin, state::App, traces};

pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest id from outside, in bytes: proxies send 32 or 36.
const MAX_ID: usize = 64;

/// The id of a request, among its extensions.
#[derive(Debug, Clone)]
pub(crate) struct RequestId(HeaderValue);

impl RequestId {
    /// That of a proxy in front of the server when it is short and plain, else a new one.
    fn of(headers: &HeaderMap) -> Self {
        let given = headers.get(REQUEST_ID).filter(|id| is_plain(id.as_bytes()));
        Self(given.cloned().unwrap_or_else(|| {
            let id = Uuid::now_v7().to_string();
            // Letters, digits and hyphens.
            HeaderValue::from_str(&id).unwrap_or(HeaderValue::from_static("none"))
        }))
    }

    pub(crate) fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }
}

fn is_plain(id: &[u8]) -> bool {
    (1..=MAX_ID).contains(&id.len())
        && id
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

/// Goes around everything else that is done about a request.
pub(super) async fn watch(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let id = RequestId::of(request.headers());
    request.extensions_mut().insert(id.clone());
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let started = std::time::Instant::now();
    // Of the highest level, so that the id is there however little is logged.
    let span = tracing::error_span!(
        "request",
        id = id.as_str(),
        %method,
        path = request.uri().path(),
    );
    let traced = traces::request(
        id.as_str(),
        &method,
        route.as_ref().map(MatchedPath::as_str),
    );
    // A stranger neither keeps a request out of the traces nor gets one into them.
    if let Some(continue_trace) = app.config.continue_trace
        && origin::is_through_proxies(request.headers(), app.config.trusted_proxies)
    {
        continue_trace(&traced, request.headers());
    }
    let watched = async {
        let mut response = next.run(request).await;
        let status = response.status();
        tracing::debug!(
            status = status.as_u16(),
            ms = started.elapsed().as_millis(),
            "answered"
        );
        let route = route.as_ref().map(MatchedPath::as_str);
        app.metrics.answered(route, &method, status);
        response.headers_mut().insert(REQUEST_ID, id.0);
        traces::answered(&traced, status);
        response
    };
    watched.instrument(span).instrument(traced.clone()).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_from_outside_is_taken_when_it_is_short_and_plain() {
        let of = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID, HeaderValue::from_static(text));
            RequestId::of(&headers).as_str().to_owned()
        };
        for good in ["a", "0af7651916cd43dd8448eb211c80319c", "A-b_c.9"] {
            assert_eq!(of(good), good);
        }
        let long = "a".repeat(MAX_ID + 1);
        for bad in ["", "a b", "a\"b", "a=b", "a/b", long.leak()] {
            let id = of(bad);
            assert_ne!(id, bad);
            assert_eq!(id.len(), 36);
        }
        assert_eq!(RequestId::of(&HeaderMap::new()).as_str().len(), 36);
    }
}
