//! Traces for a collector of OpenTelemetry's, by OTLP over HTTP: of the program `imgn-server` only, which hands the library's
//! spans on (see [`imgn_server::TRACES`]).
//!
//! What the specification of OpenTelemetry has variables for is read by its own library. Invariant: nobody waits for a
//! collector. Spans go to a thread of their own by a queue that is bounded, and are dropped where it is full; the end of the
//! program waits for [`LAST_WAIT`] at most.

use std::{
    env,
    error::Error,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::{Context as _, anyhow};
use axum::http::{HeaderMap, HeaderName};
use clap::Args;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use opentelemetry::{
    Key, KeyValue,
    propagation::TextMapPropagator as _,
    trace::{TraceContextExt as _, TracerProvider as _},
};
use opentelemetry_http::{Bytes, HeaderExtractor, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::{
    Resource,
    propagation::TraceContextPropagator,
    trace::{SdkTracerProvider, Tracer},
};
use tracing::{Span, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::{Layer, filter::filter_fn, registry::LookupSpan};
use url::Url;

/// How long the end of the program waits for the last spans to be taken.
const LAST_WAIT: Duration = Duration::from_secs(2);

/// How long a collector may take for an answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Where W3C has what a request is part of.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The largest answer of a collector in bytes.
const MOST_OF_AN_ANSWER: usize = 64 * 1024;

/// Where traces go.
#[derive(Debug, Args)]
pub(super) struct Otlp {
    /// Send traces of requests, presigning, verification, publishing and sweeping to this collector of OpenTelemetry's, by
    /// OTLP over HTTP, such as http://127.0.0.1:4318. OTEL_EXPORTER_OTLP_ENDPOINT and the other variables of OpenTelemetry's
    /// (OTEL_SERVICE_NAME, OTEL_EXPORTER_OTLP_HEADERS, OTEL_TRACES_SAMPLER) say so too.
    #[arg(long, value_name = "URL")]
    otlp_endpoint: Option<Url>,
}

/// What sends traces, until it is told to end.
pub(super) struct Traces {
    provider: SdkTracerProvider,
    tracer: Tracer,
}

impl Otlp {
    /// What was asked for, if anything.
    pub(super) fn start(&self) -> anyhow::Result<Option<Traces>> {
        if self.otlp_endpoint.is_none() && !is_wanted(|name| env::var(name).ok()) {
            return Ok(None);
        }
        let mut exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Sender::new()?);
        if let Some(url) = &self.otlp_endpoint {
            let base = url.as_str().trim_end_matches('/');
            exporter = exporter.with_endpoint(format!("{base}/v1/traces"));
        }
        let exporter = exporter
            .build()
            .context("the collector of OpenTelemetry's cannot be used")?;
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource())
            .build();
        let tracer = provider.tracer("imgn-server");
        Ok(Some(Traces { provider, tracer }))
    }
}

/// Whether the environment asks for traces.
fn is_wanted(variable: impl Fn(&str) -> Option<String>) -> bool {
    let is = |name: &str, value: &str| {
        variable(name).is_some_and(|set| set.trim().eq_ignore_ascii_case(value))
    };
    let names = |name: &str| variable(name).is_some_and(|set| !set.trim().is_empty());
    let has_address =
        names("OTEL_EXPORTER_OTLP_ENDPOINT") || names("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT");
    has_address && !is("OTEL_SDK_DISABLED", "true") && !is("OTEL_TRACES_EXPORTER", "none")
}

/// Whose spans they are, by the name that the environment gives it.
fn resource() -> Resource {
    let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    let named = Resource::builder().with_attribute(version.clone()).build();
    let is_named = named
        .get_ref(&Key::from_static_str("service.name"))
        .is_some_and(|name| !name.as_str().starts_with("unknown_service"));
    if is_named {
        return named;
    }
    Resource::builder()
        .with_service_name("imgn-server")
        .with_attribute(version)
        .build()
}

impl Traces {
    /// What takes spans from the library.
    pub(super) fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        tracing_opentelemetry::layer()
            .with_tracer(self.tracer.clone())
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            .with_filter(filter_fn(|metadata| {
                metadata.is_span() && metadata.target() == imgn_server::TRACES
            }))
    }

    /// Sends what is left, as long as that does not take long.
    pub(super) fn end(&self) {
        if let Err(error) = self.provider.shutdown_with_timeout(LAST_WAIT) {
            tracing::warn!(%error, "the last traces were not sent");
        }
    }
}

/// Makes a request's span one of the trace that it says it belongs to (W3C's `traceparent`). Its `tracestate`, which would be
/// sent on as it is, is left out.
pub(super) fn join(span: &Span, headers: &HeaderMap) {
    let Some(parent) = headers.get(TRACEPARENT) else {
        return;
    };
    let parent = HeaderMap::from_iter([(TRACEPARENT, parent.clone())]);
    let context = TraceContextPropagator::new().extract(&HeaderExtractor(&parent));
    if context.span().span_context().is_valid() {
        // A span that nobody takes belongs nowhere.
        let _ = span.set_parent(context);
    }
}

/// The way to the collector. It is used on the exporter's own thread, so it has a runtime of its own and may hold that up.
struct Sender {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    runtime: tokio::runtime::Runtime,
    is_failing: Arc<AtomicBool>,
}

impl Sender {
    fn new() -> anyhow::Result<Self> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let connector = HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(provider)
            .context("TLS cannot be set up for traces")?
            .https_or_http()
            .enable_http1()
            .build();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| anyhow!(error).context("cannot start a runtime for traces"))?;
        Ok(Self {
            client: Client::builder(TokioExecutor::new()).build(connector),
            runtime,
            is_failing: Arc::default(),
        })
    }

    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let whole = async {
            let (head, body) = self
                .client
                .request(request.map(Full::new))
                .await?
                .into_parts();
            let body = Limited::new(body, MOST_OF_AN_ANSWER).collect().await?;
            Ok::<_, HttpError>(Response::from_parts(head, body.to_bytes()))
        };
        tokio::time::timeout(TIMEOUT, whole).await?
    }

    /// Says in the log when it begins to fail, and when it does not any more.
    fn note(&self, sent: &Result<Response<Bytes>, HttpError>) {
        let failure = match sent {
            Ok(answer) if answer.status().is_success() => None,
            Ok(answer) => Some(format!("it answers with {}", answer.status())),
            Err(error) => Some(chain(&**error)),
        };
        match failure {
            Some(cause) if !self.is_failing.swap(true, Relaxed) => {
                tracing::warn!(
                    cause,
                    "traces cannot be sent to their collector, and are dropped"
                );
            }
            None if self.is_failing.swap(false, Relaxed) => {
                tracing::info!("traces are sent to their collector again");
            }
            _ => {}
        }
    }
}

#[async_trait::async_trait]
impl HttpClient for Sender {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let sent = self.runtime.block_on(self.send(request));
        self.note(&sent);
        sent
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").finish_non_exhaustive()
    }
}

/// An error with its causes.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_asks_for_traces_by_an_address() {
        let wanted = |set: &[(&str, &str)]| {
            is_wanted(|name| {
                let found = set.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| (*value).to_owned())
            })
        };
        let address = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318");
        assert!(wanted(&[address]));
        assert!(wanted(&[(
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            "http://a/b"
        )]));
        assert!(!wanted(&[]));
        assert!(!wanted(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "")]));
        assert!(!wanted(&[address, ("OTEL_SDK_DISABLED", "TRUE")]));
        assert!(!wanted(&[address, ("OTEL_TRACES_EXPORTER", "none")]));
    }
}
