//! What the server counts and measures, and how a Prometheus reads it.
//!
//! Not here: who may read it (an address of its own, see `server`), and what it means (`docs/OPERATIONS.md`). What can be
//! looked up when somebody asks (open uploads, listeners, verifications) is looked up then and kept nowhere.
//!
//! Invariant: labels are of a closed set: a route's template and never a path, a method that HTTP defines, a status. No
//! client can make a series, and no label says who somebody is.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Instant,
};

use axum::{
    Router,
    extract::State,
    http::{HeaderValue, Method, StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse as _, Response},
    routing::get,
};
use prometheus_client::{
    encoding::{EncodeLabelSet, prometheus_text},
    metrics::{
        counter::{Atomic, Counter},
        family::Family,
        gauge::{ConstGauge, Gauge},
        histogram::Histogram,
    },
    registry::{Registry, Unit},
};
use tracing::Span;

use crate::{
    allowance::Limit, catalogue::CatalogueError, error::ApiError, state::App,
    storage::StorageError, sweep::Swept, traces,
};

/// The text format's own media type: <https://prometheus.io/docs/instrumenting/exposition_formats/>.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Upper bounds in seconds. Signing asks nobody else: a few milliseconds are long.
const PRESIGN_SECONDS: [f64; 11] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0,
];

/// Upper bounds in seconds. A thumbnail's size is read in milliseconds, the largest picture may take half a minute.
const VERIFY_SECONDS: [f64; 11] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Upper bounds in seconds. A picture waits for its turn first, for minutes where many were sent.
const PUBLISH_SECONDS: [f64; 11] = [
    0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 300.0, 1800.0,
];

/// What was counted where no server is at hand: an error is made deep in the catalogue or the store. It is of the process,
/// as its memory is.
static CATALOGUE_ERRORS: [AtomicU64; 4] = [const { AtomicU64::new(0) }; 4];
static STORE_ERRORS: [AtomicU64; 3] = [const { AtomicU64::new(0) }; 3];

const CATALOGUE_KINDS: [&str; 4] = ["full", "busy", "unreachable", "other"];
const STORE_KINDS: [&str; 3] = ["full", "unavailable", "signing"];

/// The database failed in this way.
pub(crate) fn catalogue_failed(error: &CatalogueError) {
    let kind = match error {
        CatalogueError::Full => 0,
        CatalogueError::Busy => 1,
        CatalogueError::Unreachable(_) => 2,
        _ => 3,
    };
    CATALOGUE_ERRORS[kind].fetch_add(1, Relaxed);
}

/// The store failed in this way.
pub(crate) fn store_failed(error: StorageError) -> StorageError {
    let kind = match error {
        StorageError::Full => 0,
        StorageError::Unavailable { .. } => 1,
        StorageError::Presign { .. } => 2,
        // What it does not know it is asked for to find that out.
        StorageError::Unsupported { .. } => return error,
    };
    STORE_ERRORS[kind].fetch_add(1, Relaxed);
    error
}

/// A request, as it is counted.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    route: String,
    method: &'static str,
    status: u16,
}

/// Which of several things that are counted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct What {
    what: &'static str,
}

/// Counters of one server. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Metrics(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    requests: Family<Answered, Counter>,
    presign: Histogram,
    verify: Histogram,
    publish: Histogram,
    verifying: Gauge,
    verified_bytes: Counter,
    swept: Family<What, Counter>,
    limited: Family<What, Counter>,
}

/// Something that is under way until this goes.
pub(crate) struct UnderWay(Gauge);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Measures until it goes.
pub(crate) struct Timer {
    histogram: Histogram,
    begun: Instant,
    /// The same for a trace.
    _span: Span,
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.histogram.observe(self.begun.elapsed().as_secs_f64());
    }
}

impl Metrics {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Inner {
            requests: Family::default(),
            presign: Histogram::new(PRESIGN_SECONDS),
            verify: Histogram::new(VERIFY_SECONDS),
            publish: Histogram::new(PUBLISH_SECONDS),
            verifying: Gauge::default(),
            verified_bytes: Counter::default(),
            swept: Family::default(),
            limited: Family::default(),
        }))
    }

    /// A request was answered. `route` is the template that it matched.
    pub(crate) fn answered(&self, route: Option<&str>, method: &Method, status: StatusCode) {
        let answered = Answered {
            route: route.unwrap_or("none").to_owned(),
            method: known(method),
            status: status.as_u16(),
        };
        self.0.requests.get_or_create(&answered).inc();
    }

    /// A request for a presigned URL is being answered.
    pub(crate) fn presigning(&self) -> Timer {
        timer(&self.0.presign, traces::presign())
    }

    /// A picture is being read, summed and decoded.
    pub(crate) fn looking(&self) -> Timer {
        timer(&self.0.verify, Span::none())
    }

    /// A verification has its turn.
    pub(crate) fn verifying(&self) -> UnderWay {
        self.0.verifying.inc();
        UnderWay(self.0.verifying.clone())
    }

    /// A file of so many bytes came to its end, in the gallery or not.
    pub(crate) fn verified(&self, bytes: u64) {
        self.0.verified_bytes.inc_by(bytes);
    }

    /// A picture is public, which was asked for at that moment.
    pub(crate) fn published(&self, asked: Instant) {
        self.0.publish.observe(asked.elapsed().as_secs_f64());
    }

    /// The sweeper has made a pass.
    pub(crate) fn swept(&self, swept: Swept) {
        for (what, count) in [
            ("verifying", swept.verifying),
            ("aborted", swept.aborted),
            ("deleted", swept.deleted),
            ("failures", swept.failures),
        ] {
            self.0.swept.get_or_create(&What { what }).inc_by(count);
        }
    }

    /// Somebody was told to come again later.
    pub(crate) fn limited(&self, limit: Limit) {
        let what = limit.as_str();
        self.0.limited.get_or_create(&What { what }).inc();
    }

    /// All of it in Prometheus' text format, with what is looked up now.
    async fn text(&self, app: &App) -> Result<String, ApiError> {
        let inner = &self.0;
        let mut registry = Registry::with_prefix("imgn");
        registry.register(
            "http_requests",
            "Requests that were answered, by the route's template",
            inner.requests.clone(),
        );
        for (name, help, histogram) in [
            (
                "presign",
                "From a request for a presigned URL to its answer",
                &inner.presign,
            ),
            (
                "verify",
                "Reading, summing and decoding one file, and making its thumbnails",
                &inner.verify,
            ),
            (
                "publish",
                "From when a file was there to when its picture was public, with the wait for its turn",
                &inner.publish,
            ),
        ] {
            registry.register_with_unit(name, help, Unit::Seconds, histogram.clone());
        }
        registry.register_with_unit(
            "verified",
            "Sizes of the files that were taken in and verified, whatever came of them",
            Unit::Bytes,
            inner.verified_bytes.clone(),
        );
        registry.register(
            "swept",
            "What the sweeper did: verifications taken up, uploads aborted, objects deleted, failures",
            inner.swept.clone(),
        );
        registry.register(
            "limited",
            "Requests that were refused because somebody asked for more than they may",
            inner.limited.clone(),
        );
        let running = inner.verifying.get();
        let known = i64::try_from(app.publisher.count()).unwrap_or(i64::MAX);
        for (name, help, value) in [
            (
                "verifications_running",
                "Files that are being verified",
                running,
            ),
            (
                "verifications_waiting",
                "Files that wait here for their verification's turn",
                (known - running).max(0),
            ),
            (
                "event_listeners",
                "Clients that listen at /v1/events",
                i64::try_from(app.listeners.count()).unwrap_or(i64::MAX),
            ),
        ] {
            registry.register(name, help, ConstGauge::new(value));
        }
        // What cannot be told at the moment is left out, and not told as nothing; why not is counted.
        if let Ok(open) = app.catalogue.open_uploads().await {
            registry.register(
                "open_uploads",
                "Uploads of all servers that may still be sent",
                ConstGauge::new(i64::from(open)),
            );
        }
        registry.register(
            "catalogue_errors",
            "Failures of the catalogue's database that this process met",
            family(&CATALOGUE_KINDS, &CATALOGUE_ERRORS),
        );
        registry.register(
            "store_errors",
            "Failures of the store that this process met",
            family(&STORE_KINDS, &STORE_ERRORS),
        );
        let mut text = String::new();
        prometheus_text::encode(&mut text, &registry).map_err(ApiError::internal)?;
        Ok(text)
    }
}

fn timer(histogram: &Histogram, span: Span) -> Timer {
    Timer {
        _span: span,
        histogram: histogram.clone(),
        begun: Instant::now(),
    }
}

fn family<const N: usize>(
    kinds: &[&'static str; N],
    counts: &[AtomicU64; N],
) -> Family<What, Counter> {
    let family = Family::<What, Counter>::default();
    for (&what, count) in kinds.iter().zip(counts) {
        let counter = family.get_or_create_owned(&What { what });
        counter.inc_by(Atomic::get(count));
    }
    family
}

/// A client may make up methods of its own.
pub(crate) fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::PUT => "PUT",
        Method::POST => "POST",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        Method::PATCH => "PATCH",
        _ => "other",
    }
}

/// What answers at the metrics' own address.
pub(crate) fn router(app: App) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .fallback(async || ApiError::not_found("There is nothing here but /metrics."))
        .with_state(app)
}

async fn metrics(State(app): State<App>) -> Result<Response, ApiError> {
    let text = app.metrics.text(&app).await?;
    let content_type = [(CONTENT_TYPE, HeaderValue::from_static(TEXT))];
    Ok((content_type, text).into_response())
}
