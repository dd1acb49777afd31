//! No secret is in any line of the server's log, however talkative it is made.

use std::collections::HashSet;

use anyhow::{Context as _, Result, ensure};
use imgn_testkit::{issuer::Issuer, pictures, process::ServerProcess};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::api::{Api, http, sha256};

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

/// A secret's longest run of letters and digits: what a log would still have of it, however it is encoded there.
fn core(secret: &str) -> Option<&str> {
    let runs = secret.split(|c: char| !c.is_ascii_alphanumeric());
    runs.max_by_key(|run| run.len())
        .filter(|run| run.len() >= 8)
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
    let sign_in = ["--oidc-issuer", issuer.url(), "--oidc-audience", "imgn"];
    let arguments = [&["--max-pending", "100000"], &sign_in[..]].concat();
    let server = ServerProcess::start(directory.path(), &arguments)?;
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
    let log = server.process().log();
    ensure!(log.contains("upload_opened"), "it logs something: {log}");
    let cores: HashSet<&str> = signed
        .iter()
        .flatten()
        .chain(&tokens)
        .flat_map(|secret| secret.split('.'))
        .filter_map(core)
        .collect();
    for word in log.split(|c: char| !c.is_ascii_alphanumeric()) {
        ensure!(!cores.contains(word), "{word}");
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
