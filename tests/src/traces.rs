//! What a collector of OpenTelemetry's is told by the built server, and that nobody waits for one.
//!
//! The messages are looked through as bytes: names and values are in them as they are, and ids as their 8 or 16 bytes.

use std::{
    net::TcpListener,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, header::CONTENT_TYPE},
    routing::post,
};
use imgn_testkit::{
    pictures,
    process::{ServerProcess, eventually, program},
};
use uuid::Uuid;

use crate::api::{Api, http, sha256};

const WAIT: Duration = Duration::from_secs(30);

/// What somebody in front says: which trace, and which of its spans.
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
/// The same, by somebody who came past the proxy.
const STRANGE: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN: &str = "00f067aa0ba902b7";

/// A collector that keeps what it is sent.
#[derive(Clone, Default)]
pub(crate) struct Collector(Arc<Mutex<(Vec<u8>, Vec<HeaderMap>)>>);

impl Collector {
    pub(crate) async fn start() -> Result<(Self, String)> {
        let collector = Self::default();
        let router = Router::new()
            .route("/v1/traces", post(take))
            .with_state(collector.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok((collector, url))
    }

    /// All that it was sent, as it was.
    pub(crate) fn kept(&self) -> Vec<u8> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.0.clone()
    }

    fn has(&self, what: &[u8]) -> bool {
        self.kept().windows(what.len()).any(|some| some == what)
    }

    /// Waits until it was sent this.
    async fn hears_of(&self, what: &[u8]) -> Result<()> {
        let name = format!("a span with {:?}", String::from_utf8_lossy(what));
        let heard = async || Ok(self.has(what).then_some(()));
        eventually(&name, WAIT, heard).await
    }
}

async fn take(State(collector): State<Collector>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let mut kept = collector.0.lock().unwrap_or_else(PoisonError::into_inner);
    kept.0.extend_from_slice(&body);
    kept.1.push(headers);
    StatusCode::OK
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_is_told_of_requests_and_work_and_of_no_secret() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let (collector, url) = Collector::start().await?;
    let environment = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &*url),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-key=of-the-collector"),
        ("OTEL_SERVICE_NAME", "the-gallery"),
        ("OTEL_BSP_SCHEDULE_DELAY", "100"),
        // What a log has is no trace's, and the other way round.
        ("RUST_LOG", "trace"),
    ];
    let mut server = ServerProcess::start_with(
        directory.path(),
        &["--trust-forwarded-for", "1"],
        &environment,
    )?;
    let api = Api::new(&server.url, Some(&server.token))?;
    let bytes = pictures::jpeg(64, 48);
    let id = Uuid::now_v7();
    let sum = sha256(&bytes);
    let opened = api.open(id, "a name of a file.jpg", bytes.len(), &sum);
    ensure!(opened.await?.status == StatusCode::OK);
    let signed = api.sign(id, &sum).await?;
    let signature = signed
        .url
        .split("X-Amz-Signature=")
        .nth(1)
        .context("a signature")?
        .to_owned();
    ensure!(api.send(&signed, bytes).await?.is_success());
    ensure!(api.outcome(id).await?["state"] == "published");
    let ask = async |method: &str, trace: &str, proxy: Option<&str>| {
        let mut asked = http()?
            .request(
                method.parse()?,
                format!("{}/v1/images?q=words-of-somebody", server.url),
            )
            .header("traceparent", format!("00-{trace}-{SPAN}-01"))
            .header("tracestate", "of=somebody-in-front")
            .header("x-request-id", "asked-by-a-test");
        if let Some(proxy) = proxy {
            asked = asked.header("x-forwarded-for", proxy);
        }
        anyhow::Ok(asked.send().await?.status())
    };
    ensure!(ask("GET", STRANGE, None).await? == StatusCode::OK);
    ensure!(ask("MADEUP", STRANGE, None).await? == StatusCode::METHOD_NOT_ALLOWED);
    ensure!(ask("GET", TRACE, Some("203.0.113.7")).await? == StatusCode::OK);

    for what in [
        "PUT /v1/uploads/{id}",
        "POST /v1/uploads/{id}/sign",
        "POST /v1/uploads/{id}/complete",
        "GET /v1/images",
        "other /v1/images",
        "http.response.status_code",
        "presign",
        "verify",
        "upload.id",
        "publish",
        "sweep",
        "asked-by-a-test",
        "the-gallery",
    ] {
        collector.hears_of(what.as_bytes()).await?;
    }
    collector.hears_of(id.to_string().as_bytes()).await?;
    for id in [TRACE, SPAN] {
        collector.hears_of(&hex::decode(id)?).await?;
    }
    let code = server.terminate()?;
    ensure!(code == Some(0), "{code:?}");

    for secret in [
        &*server.token,
        &signature[..16],
        "X-Amz",
        "of-the-collector",
        "a name of a file",
        "words-of-somebody",
        "Bearer",
        // What strangers may make up.
        "MADEUP",
        "somebody-in-front",
    ] {
        ensure!(!collector.has(secret.as_bytes()), "{secret}");
    }
    ensure!(!collector.has(&hex::decode(STRANGE)?), "a stranger's trace");
    let log = server.process().log();
    for other in ["of-the-collector", "otel.kind", "traces cannot be sent"] {
        ensure!(!log.contains(other), "{other}");
    }
    let kept = collector.0.lock().unwrap_or_else(PoisonError::into_inner);
    for headers in &kept.1 {
        ensure!(headers["x-key"] == "of-the-collector", "{headers:?}");
        ensure!(
            headers[CONTENT_TYPE] == "application/x-protobuf",
            "{headers:?}"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_is_not_told_what_ends_an_upload() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let (collector, url) = Collector::start().await?;
    let arguments = ["--anonymous-uploads", "--otlp-endpoint", &*url];
    let environment = [("OTEL_BSP_SCHEDULE_DELAY", "100")];
    let mut server = ServerProcess::start_with(directory.path(), &arguments, &environment)?;
    let api = Api::new(&server.url, None)?;
    let uploaded = api.upload("a.jpg", &pictures::jpeg(64, 48)).await?;
    ensure!(uploaded["state"] == "published", "{uploaded}");
    collector.hears_of(b"verify").await?;
    let code = server.terminate()?;
    ensure!(code == Some(0), "{code:?}");
    ensure!(!collector.has(b"upload.id"), "who knows it can end it");
    Ok(())
}

#[test]
fn no_other_program_has_what_sends_traces() -> Result<()> {
    // Names of functions, or where the sources were: even a program without symbols tells those.
    let has = |name: &str| -> Result<bool> {
        let program = std::fs::read(program(name)?)?;
        Ok(program.windows(13).any(|some| some == b"opentelemetry"))
    };
    ensure!(has("imgn-server")?, "it would be seen");
    for name in ["imgn", "bootstrap"] {
        ensure!(!has(name)?, "{name}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_waits_for_a_collector_and_the_log_says_once_that_there_is_none() -> Result<()> {
    // One that takes connections and never answers, and an address where nobody is.
    let silent = TcpListener::bind("127.0.0.1:0")?;
    let nobody = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    for (address, is_said) in [(silent.local_addr()?, false), (nobody, true)] {
        let directory = tempfile::tempdir()?;
        let url = format!("http://{address}");
        let arguments = ["--otlp-endpoint", &*url];
        let environment = [("OTEL_BSP_SCHEDULE_DELAY", "50")];
        let mut server = ServerProcess::start_with(directory.path(), &arguments, &environment)?;
        let api = Api::new(&server.url, Some(&server.token))?;
        let lines = |server: &ServerProcess| {
            let log = server.process().log();
            log.matches("traces cannot be sent to their collector")
                .count()
        };
        let uploaded = api.upload("a.jpg", &pictures::jpeg(64, 48)).await?;
        ensure!(uploaded["state"] == "published", "{uploaded}");
        // More than the queue holds.
        for _ in 0..3000 {
            ensure!(api.get("/healthz").await?.status == StatusCode::OK);
        }
        if is_said {
            let said = async || Ok((lines(&server) > 0).then_some(()));
            eventually("the log says so", WAIT, said).await?;
            for _ in 0..20 {
                api.get("/healthz").await?;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        // Long before a collector would be given up that was waited for.
        let code = server.terminate()?;
        ensure!(code == Some(0), "{code:?}");
        let said = lines(&server);
        ensure!(
            said == 1 || (said == 0 && !is_said),
            "{}",
            server.process().log()
        );
    }
    Ok(())
}
