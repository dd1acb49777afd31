//! No secret is in any line of the server's log, however talkative it is made.

use std::collections::HashSet;

use anyhow::{Context as _, Result, ensure};
use imgn_testkit::{issuer::Issuer, pictures, process::ServerProcess};
use reqwest::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::api::{http, sha256};

/// What `RUST_LOG` can say to hear the most: everything, and by their names those that tell of whole requests.
const MOST_TALKATIVE: &str = "trace,hyper::proto=trace,aws_smithy_runtime=trace,aws_sigv4::http_request=trace,\
    s3s::ops=trace,sqlx::query=trace,[request]=trace";

/// URLs that are signed in each way for a server.
const ROUNDS: usize = 500;

/// URLs that are signed for a server that logs as it does by itself, and how many each request asks for.
const MANY: usize = 100_000;
const AT_ONCE: usize = 100;

/// A secret's longest run of letters and digits: what a log would still have of it, however it is encoded there.
fn core(secret: &str) -> Option<&str> {
    let runs = secret.split(|c: char| !c.is_ascii_alphanumeric());
    runs.max_by_key(|run| run.len())
        .filter(|run| run.len() >= 8)
}

/// What is secret of a presigned URL.
fn of_url(url: &str, secrets: &mut HashSet<String>) -> Result<()> {
    let url = url::Url::parse(url)?;
    for (name, value) in url.query_pairs() {
        if name == "X-Amz-Signature" {
            secrets.insert(value.into_owned());
        }
    }
    Ok(())
}

#[tokio::test]
async fn no_line_of_the_log_has_a_secret() -> Result<()> {
    for format in ["text", "json"] {
        no_secret_in(format).await?;
    }
    Ok(())
}

#[tokio::test]
async fn no_line_has_one_of_a_hundred_thousand() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let server = ServerProcess::start(directory.path(), &[])?;
    let http = http()?;
    let begun: Value = http
        .post(format!("{}/s3/multipart", server.url))
        .bearer_auth(&server.token)
        .json(&json!({"filename": "a.jpg", "type": "image/jpeg"}))
        .send()
        .await?
        .error_for_status()?
        .json()
        .await?;
    let id = begun["uploadId"].as_str().context("an id")?;
    let key = begun["key"].as_str().context("a key")?;
    let mut signatures = HashSet::new();
    let mut first = 1;
    // A URL that is signed twice in a second is one.
    while signatures.len() < MANY {
        let numbers: Vec<String> = (first..first + AT_ONCE).map(|it| it.to_string()).collect();
        first = (first + AT_ONCE - 1) % 10_000 + 1;
        let answer: Value = http
            .get(format!("{}/s3/multipart/{id}/batch", server.url))
            .query(&[("key", key), ("partNumbers", &numbers.join(","))])
            .bearer_auth(&server.token)
            .send()
            .await?
            .error_for_status()?
            .json()
            .await?;
        let urls = answer["presignedUrls"].as_object().context("URLs")?;
        for url in urls.values() {
            of_url(url.as_str().context("a URL")?, &mut signatures)?;
        }
    }
    http.get(format!("{}/v1/images", server.url))
        .header("x-request-id", "the-last")
        .send()
        .await?;
    let log = server.process().log();
    ensure!(log.contains("upload_opened"), "it logs something: {log}");
    ensure!(!log.contains(&server.token), "{log}");
    for word in log.split(|c: char| !c.is_ascii_alphanumeric()) {
        ensure!(!signatures.contains(word), "{word}");
    }
    Ok(())
}

async fn no_secret_in(format: &str) -> Result<()> {
    let directory = tempfile::tempdir()?;
    let issuer = Issuer::start("EdDSA").await?;
    let arguments = [
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
    let environment = [("RUST_LOG", MOST_TALKATIVE)];
    let server = ServerProcess::start_with(directory.path(), &arguments, &environment)?;
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

    let cores: HashSet<&str> = secrets.iter().filter_map(|secret| core(secret)).collect();
    ensure!(
        cores.len() > 2 * ROUNDS,
        "{} that can be looked for",
        cores.len()
    );
    let log = server.process().log();
    ensure!(
        log.contains("answered") && log.contains("round-7"),
        "it is not talkative"
    );
    if format == "json" {
        let line = log.lines().find(|line| line.contains("round-7"));
        serde_json::from_str::<Value>(line.context("a line")?)?;
    }
    for line in log.lines() {
        let words = line.split(|c: char| !c.is_ascii_alphanumeric());
        for word in words {
            ensure!(!cores.contains(word), "{line}");
        }
        ensure!(
            !line.contains(&server.token) && !line.contains("X-Amz-Signature"),
            "{line}"
        );
    }
    Ok(())
}
