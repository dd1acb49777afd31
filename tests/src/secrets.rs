//! No secret is in anything that the server says to its operator, however talkative it is made: the log, errors and panics
//! in it, the audit log, metrics, traces.
//!
//! Invariant: what is looked for is the beginning of a secret, anywhere, so that one which was cut short or stands within
//! something else is found too.

use std::{
    collections::HashSet,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Output,
    sync::{Arc, Mutex},
};

use anyhow::{Context as _, Result, ensure};
use axum::{Router, extract::State, http::HeaderMap};
use imgn_testkit::{issuer::Issuer, pictures, process::ServerProcess};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    api::{Api, http, sha256},
    traces::Collector,
};

/// What `RUST_LOG` can say to hear the most: everything, and by their names those that tell of whole requests.
const MOST_TALKATIVE: &str = "trace,hyper::proto=trace,aws_smithy_runtime=trace,aws_sigv4::http_request=trace,\
    s3s::ops=trace,sqlx::query=trace,[request]=trace";

/// URLs that are signed in each way for a server.
const ROUNDS: usize = 500;

/// URLs that are signed for a server that logs as it does by itself, and how many each request asks for.
const MANY: usize = 100_000;
const AT_ONCE: usize = 100;

/// Uploads, and pictures, whose URLs are asked for by turns, for one that is asked for twice in a second is the same.
const AT_A_TIME: usize = 10;

/// So many bytes of a secret's beginning count as it.
const MARK: usize = 16;

/// Beginnings of secrets. Of one with signs that a log may write in another way, the longest run without them, where that is
/// long enough.
fn marks<'a>(secrets: impl IntoIterator<Item = &'a str>) -> HashSet<&'a [u8]> {
    let mark = |secret: &'a str| {
        let secret = secret.strip_prefix("imgn_").unwrap_or(secret);
        let runs = secret.split(|c: char| !c.is_ascii_alphanumeric());
        let longest = runs.max_by_key(|run| run.len())?;
        let core = if longest.len() < MARK {
            secret
        } else {
            longest
        };
        core.as_bytes().get(..MARK)
    };
    secrets.into_iter().filter_map(mark).collect()
}

/// Where a server says something.
struct Ears {
    metrics: String,
    audit: PathBuf,
    collector: Collector,
    traces: String,
}

impl Ears {
    async fn open(directory: &Path) -> Result<Self> {
        let (collector, traces) = Collector::start().await?;
        // Free a moment ago.
        let metrics = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        Ok(Self {
            metrics: metrics.to_string(),
            audit: directory.join("audit.jsonl"),
            collector,
            traces,
        })
    }

    fn arguments(&self) -> [&str; 4] {
        [
            "--metrics-listen",
            &self.metrics,
            "--otlp-endpoint",
            &self.traces,
        ]
    }

    /// Ends the server, and ensures that none of these was in anything that it said. Answers its log.
    async fn heard_none(
        &self,
        server: &mut ServerProcess,
        secrets: impl IntoIterator<Item = &str>,
    ) -> Result<String> {
        let metrics = http()?.get(format!("http://{}/metrics", self.metrics));
        let metrics = metrics.send().await?.text().await?;
        ensure!(metrics.contains("imgn_http_requests_total"), "{metrics}");
        ensure!(server.terminate()? == Some(0));
        let log = server.process().log();
        let traces = self.collector.kept();
        ensure!(!traces.is_empty(), "it sends traces: {log}");
        let audit = std::fs::read(&self.audit).unwrap_or_default();
        ensure!(
            log.contains("upload_opened") != audit.windows(13).any(|some| some == b"upload_opened"),
            "it has an audit log"
        );
        let marks = marks(secrets);
        for (place, said) in [
            ("the log", log.as_bytes()),
            ("the audit log", &audit),
            ("the metrics", metrics.as_bytes()),
            ("the traces", &traces),
        ] {
            has_none(place, said, &marks)?;
        }
        Ok(log)
    }
}

fn has_none(place: &str, said: &[u8], marks: &HashSet<&[u8]>) -> Result<()> {
    for line in said.split(|&byte| byte == b'\n') {
        let found = line.windows(MARK).any(|some| marks.contains(some));
        ensure!(!found, "{place}: {}", String::from_utf8_lossy(line));
    }
    Ok(())
}

/// What is secret of a presigned URL.
fn of_url(url: &str, secrets: &mut HashSet<String>) -> Result<()> {
    let (_, rest) = url.split_once("X-Amz-Signature=").context("a signed URL")?;
    secrets.extend(rest.split('&').next().map(str::to_owned));
    Ok(())
}

#[tokio::test]
async fn no_line_of_the_log_has_a_secret() -> Result<()> {
    for format in ["text", "json"] {
        no_secret_in(format).await?;
    }
    Ok(())
}

/// Somebody who has things under way that URLs are signed for.
struct Asker {
    api: Api,
    /// Where URLs of many parts are asked for.
    batch: String,
    /// Files that are sent by one request each, and their SHA-256.
    uploads: Vec<(Uuid, String)>,
}

impl Asker {
    async fn new(api: Api) -> Result<Self> {
        let file = json!({"filename": "a.jpg", "type": "image/jpeg"});
        let begun = api.call(Method::POST, "/s3/multipart", Some(file)).await?;
        let [id, key] = ["uploadId", "key"].map(|name| begun.json[name].as_str());
        let (id, key) = (id.context("an id")?, key.context("a key")?);
        let mut uploads = Vec::new();
        for _ in 0..AT_A_TIME {
            let id = Uuid::now_v7();
            let sum = sha256(id.as_bytes());
            let opened = api.open(id, "a.jpg", 16, &sum).await?;
            ensure!(opened.json["state"] == "open", "{opened:?}");
            uploads.push((id, sum));
        }
        Ok(Self {
            batch: format!("/s3/multipart/{id}/batch?key={key}&partNumbers="),
            api,
            uploads,
        })
    }
}

#[tokio::test]
async fn no_line_has_one_of_a_hundred_thousand() -> Result<()> {
    let (directory, issuer) = (tempfile::tempdir()?, Issuer::start("EdDSA").await?);
    let ears = Ears::open(directory.path()).await?;
    let sign_in = ["--oidc-issuer", issuer.url(), "--oidc-audience", "imgn"];
    let arguments = [
        &["--max-pending", "100000"],
        &sign_in[..],
        &ears.arguments(),
    ];
    let mut server = ServerProcess::start(directory.path(), &arguments.concat())?;
    let jwt = |number: usize| {
        issuer.sign(&json!({
            "iss": issuer.url(), "aud": "imgn", "sub": "eve", "exp": 32_503_680_000 + number,
        }))
    };
    let mut tokens = vec![
        server.token.clone(),
        server.add_token("ada", "uploader")?,
        jwt(0),
    ];
    let owner = Api::new(&server.url, Some(&server.token))?;
    let mut askers = Vec::new();
    for token in &tokens {
        askers.push(Asker::new(owner.with_token(Some(token))).await?);
    }
    let mut images = Vec::new();
    for width in 0..AT_A_TIME {
        let picture = pictures::jpeg(60 + u32::try_from(width)?, 40);
        let published = owner.upload("a.jpg", &picture).await?;
        let id = published["image"]["id"].as_str().context("an id")?;
        images.push(format!("/v1/images/{id}/content"));
    }

    // Of parts, of one PUT each, of forms, and of pictures. What is signed twice in a second is one.
    let mut signed: [HashSet<String>; 4] = Default::default();
    let (mut round, mut first) = (0, 1);
    while signed.iter().map(HashSet::len).sum::<usize>() < MANY {
        let (place, turn) = (round % askers.len(), round / askers.len());
        let asker = &mut askers[place];
        if place == 2 {
            tokens.push(jwt(round));
            asker.api = asker.api.with_token(tokens.last().map(String::as_str));
        }
        let numbers: Vec<String> = (first..first + AT_ONCE).map(|it| it.to_string()).collect();
        first = (first + AT_ONCE - 1) % 10_000 + 1;
        let path = format!("{}{}", asker.batch, numbers.join(","));
        let parts = asker.api.get(&path).await?.json;
        let urls = parts["presignedUrls"].as_object().context("URLs")?;
        for url in urls.values() {
            of_url(url.as_str().context("a URL")?, &mut signed[0])?;
        }
        match turn % 3 {
            0 => {
                let (id, sum) = &asker.uploads[turn % AT_A_TIME];
                of_url(&asker.api.sign(*id, sum).await?.url, &mut signed[1])?;
            }
            1 => {
                let params = "/s3/params?filename=a.jpg&type=image/jpeg";
                let form = asker.api.get(params).await?.json;
                for field in ["x-amz-signature", "policy"] {
                    let secret = form["fields"][field].as_str().context("a field")?;
                    signed[2].insert(secret.to_owned());
                }
            }
            _ => {
                let shown = asker.api.get(&images[turn % AT_A_TIME]).await?;
                of_url(shown.headers["location"].to_str()?, &mut signed[3])?;
            }
        }
        round += 1;
    }
    for kind in &signed {
        ensure!(kind.len() >= AT_A_TIME, "{} of a kind", kind.len());
    }
    owner.get("/v1/images").await?;
    let secrets = signed.iter().flatten().chain(&tokens);
    let secrets = secrets.flat_map(|secret| secret.split('.'));
    ears.heard_none(&mut server, secrets).await?;
    Ok(())
}

async fn no_secret_in(format: &str) -> Result<()> {
    let directory = tempfile::tempdir()?;
    let issuer = Issuer::start("EdDSA").await?;
    let ears = Ears::open(directory.path()).await?;
    let audit = ears.audit.display().to_string();
    let mut arguments = vec![
        "--log-format",
        format,
        "--anonymous-uploads",
        "--max-pending",
        "100000",
        "--limit-anonymous-open-uploads",
        "0",
        "--oidc-issuer",
        issuer.url(),
        "--oidc-audience",
        "imgn",
    ];
    arguments.extend(ears.arguments());
    if format == "json" {
        arguments.extend(["--audit-log", &audit]);
    }
    let environment = [("RUST_LOG", MOST_TALKATIVE)];
    let mut server = ServerProcess::start_with(directory.path(), &arguments, &environment)?;
    let mut secrets = HashSet::from([server.token.clone()]);
    let forged = format!("imgn_{}", "Zm9yZ2Vk".repeat(5));
    secrets.insert(forged.clone());
    let http = http()?;
    let at = |path: &str| format!("{}{path}", server.url);

    for (audience, status) in [
        ("imgn", StatusCode::NOT_FOUND),
        ("x", StatusCode::UNAUTHORIZED),
    ] {
        let claims =
            json!({"iss": issuer.url(), "aud": audience, "sub": "eve", "exp": 32_503_680_000_u64});
        let signed = issuer.sign(&claims);
        let path = format!("/v1/uploads/{}", Uuid::now_v7());
        let answer = http.get(at(&path)).bearer_auth(&signed).send().await?;
        ensure!(answer.status() == status, "{audience}: {answer:?}");
        let (_, signature) = signed.rsplit_once('.').context("a signature")?;
        secrets.insert(signature.to_owned());
    }

    let mut image = None;
    for round in 0..ROUNDS {
        let bytes = match round {
            0 => pictures::jpeg(64, 48),
            _ => format!("no picture {round}").into_bytes(),
        };
        let id = Uuid::now_v7();
        let sum = sha256(&bytes);
        let opened: Value = http
            .put(at(&format!("/v1/uploads/{id}?sign=true")))
            .bearer_auth(&server.token)
            .header("x-request-id", format!("round-{round}"))
            .json(&json!({"file_name": "a.jpg", "size": bytes.len(), "sha256": sum}))
            .send()
            .await?
            .error_for_status()?
            .json()
            .await?;
        let url = opened["signed"]["url"].as_str().context("a URL")?;
        of_url(url, &mut secrets)?;
        let signed: Value = http
            .post(at(&format!("/v1/uploads/{id}/sign")))
            .bearer_auth(&server.token)
            .json(&json!({"checksum": sum}))
            .send()
            .await?
            .error_for_status()?
            .json()
            .await?;
        let url = signed["url"].as_str().context("a URL")?;
        of_url(url, &mut secrets)?;
        // Used, and used wrongly: what is refused is told more of.
        let mut request = http.put(url).body(bytes.clone());
        for (name, value) in signed["headers"].as_object().context("headers")? {
            request = request.header(name, value.as_str().context("a value")?);
        }
        let sent = request.send().await?.status();
        ensure!(sent == StatusCode::OK, "{sent}");
        http.put(url).body("other bytes").send().await?;
        let form: Value = http
            .get(at("/s3/params?filename=a.jpg&type=image/jpeg"))
            .send()
            .await?
            .error_for_status()?
            .json()
            .await?;
        for field in ["x-amz-signature", "policy"] {
            secrets.extend(form["fields"][field].as_str().map(str::to_owned));
        }
        while image.is_none() {
            let completed = http
                .post(at(&format!("/v1/uploads/{id}/complete")))
                .bearer_auth(&server.token)
                .send()
                .await?
                .error_for_status()?;
            let completed: Value = completed.json().await?;
            image = completed["image"]["id"].as_str().map(str::to_owned);
        }
        let image = image.as_deref().context("the first is a picture")?;
        let shown = http
            .get(at(&format!("/v1/images/{image}/content")))
            .send()
            .await?;
        let location = shown.headers()["location"].to_str()?.to_owned();
        of_url(&location, &mut secrets)?;
        http.get(&location).send().await?.bytes().await?;
        let refused = http
            .delete(at(&format!("/v1/images/{image}?token={forged}")))
            .bearer_auth(&forged)
            .send()
            .await?;
        ensure!(refused.status() == StatusCode::UNAUTHORIZED);
    }
    // A URL that is signed twice in a second is one.
    ensure!(secrets.len() > 3 * ROUNDS, "{} secrets", secrets.len());

    let secrets = secrets
        .iter()
        .map(String::as_str)
        .chain(["X-Amz-Signature="]);
    let log = ears.heard_none(&mut server, secrets).await?;
    ensure!(
        log.contains("answered") && log.contains("round-7"),
        "it is not talkative"
    );
    if format == "json" {
        let line = log.lines().find(|line| line.contains("round-7"));
        serde_json::from_str::<Value>(line.context("a line")?)?;
    }
    Ok(())
}

/// What a store was told that refuses everybody.
type Told = Arc<Mutex<HashSet<String>>>;

/// Refuses as S3 does: by an answer that has what was sent to it.
async fn refuse(State(told): State<Told>, headers: HeaderMap) -> (StatusCode, String) {
    let sent = |name: &str| headers.get(name)?.to_str().ok().map(str::to_owned);
    let authorization = sent("authorization").unwrap_or_default();
    let (_, signature) = authorization.split_once("Signature=").unwrap_or_default();
    told.lock().unwrap().insert(signature.to_owned());
    let session = sent("x-amz-security-token").unwrap_or_default();
    let body = format!(
        "<Error><Code>SignatureDoesNotMatch</Code><Message>The request signature we calculated does not match the signature you \
         provided.</Message><StringToSign>x-amz-security-token:{session}</StringToSign>\
         <SignatureProvided>{signature}</SignatureProvided></Error>"
    );
    (StatusCode::FORBIDDEN, body)
}

/// What went wrong is told with all its causes, and these are other people's code.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_error_has_a_secret_of_a_store_that_refuses_or_is_away() -> Result<()> {
    const SECRET_KEY: &str = "aSecretKeyThatNobodyIsToSee/0123456789+a";
    const SESSION: &str = "aSessionTokenThatNobodyIsToSee0123456789==";
    let (directory, told) = (tempfile::tempdir()?, Told::default());
    let ears = Ears::open(directory.path()).await?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let endpoint = format!("http://{address}");
    let store = Router::new().fallback(refuse).with_state(Arc::clone(&told));
    let store = tokio::spawn(async move { axum::serve(listener, store).await });
    let bucket = [
        "--storage",
        "s3",
        "--s3-endpoint",
        &endpoint,
        "--s3-bucket",
        "pictures",
        "--s3-path-style",
    ];
    let mut server = ServerProcess::start_with(
        directory.path(),
        &[&bucket[..], &ears.arguments()].concat(),
        &[
            ("RUST_LOG", MOST_TALKATIVE),
            ("AWS_ACCESS_KEY_ID", "nobody"),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
            ("AWS_SESSION_TOKEN", SESSION),
        ],
    )?;
    let api = Api::new(&server.url, Some(&server.token))?;
    let (mut signed, mut said) = (HashSet::new(), Vec::new());
    // By what it refuses, and without an answer.
    for is_away in [false, true] {
        if is_away {
            store.abort();
        }
        said.push(server.command(&[&["doctor", "--json"], &bucket[..]].concat())?);
        let (id, sum) = (Uuid::now_v7(), sha256(&[u8::from(is_away)]));
        api.open(id, "a.jpg", 1, &sum).await?;
        of_url(&api.sign(id, &sum).await?.url, &mut signed)?;
        let failed = [
            api.complete(id).await?,
            // In parts.
            api.open(Uuid::now_v7(), "a.jpg", 40 << 20, &sha256(b"b"))
                .await?,
            api.get("/readyz").await?,
        ];
        for answer in failed {
            ensure!(
                answer.status == StatusCode::SERVICE_UNAVAILABLE,
                "{answer:?}"
            );
        }
    }
    let secrets = || -> Result<Vec<String>> {
        let told = told.lock().unwrap();
        ensure!(told.len() > 3, "{told:?}");
        let fixed = [SECRET_KEY, SESSION, "X-Amz-Signature="].map(str::to_owned);
        Ok(signed.iter().chain(&*told).cloned().chain(fixed).collect())
    };
    let known = secrets()?;
    let log = ears.heard_none(&mut server, known.iter().map(String::as_str));
    let log = log.await?;
    ensure!(log.contains("request failed"), "{log}");
    // Once nobody else has the data directory: away still, and refusing again.
    let sweep = [&["sweep"], &bucket[..]].concat();
    said.push(server.command(&sweep)?);
    let listener = tokio::net::TcpListener::bind(&address).await?;
    let store = Router::new().fallback(refuse).with_state(Arc::clone(&told));
    tokio::spawn(async move { axum::serve(listener, store).await });
    let before = secrets()?.len();
    said.push(server.command(&sweep)?);
    let known = secrets()?;
    ensure!(known.len() > before, "it asked the store");
    let marks = marks(known.iter().map(String::as_str));
    ensure!(marks.len() == known.len(), "all can be looked for");
    for Output {
        status,
        stdout,
        stderr,
    } in said
    {
        ensure!(!status.success(), "the store refused it");
        for said in [stdout, stderr] {
            has_none("a command", &said, &marks)?;
        }
    }
    Ok(())
}
