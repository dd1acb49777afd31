//! What whoever runs the server does with the built program: tokens that end, and the audit log.

use std::{
    fs,
    process::Command,
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use imgn_testkit::{
    pictures,
    process::{ServerProcess, clean_environment, eventually, program},
    proxy::{Answer, Fate, FaultProxy, Seen},
    s3::Target,
    seaweedfs::SeaweedFs,
};
use reqwest::StatusCode;
use serde_json::Value;
use uuid::Uuid;

use crate::api::{Api, sha256};

fn stdout(server: &ServerProcess, arguments: &[&str]) -> Result<String> {
    let output = server.command(arguments)?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{arguments:?}: {errors}");
    Ok(String::from_utf8(output.stdout)?)
}

#[tokio::test]
async fn tokens_have_an_end_and_scopes_and_the_list_tells_their_last_use() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let server = ServerProcess::start(directory.path(), &[])?;
    let add = ["token", "add", "camera", "--scopes", "upload", "--expires"];
    let token = stdout(&server, &[&add[..], &["90d"]].concat())?;
    let brief = stdout(&server, &["token", "add", "brief", "--expires", "1s"])?;
    let refused = server.command(&[&add[..], &["soon"]].concat())?;
    ensure!(refused.status.code() == Some(2), "{refused:?}");

    let bytes = b"no picture";
    let open = async |token: &str| {
        let api = Api::new(&server.url, Some(token.trim()))?;
        api.open(Uuid::now_v7(), "a.jpg", bytes.len(), &sha256(bytes))
            .await
    };
    ensure!(open(&token).await?.status == StatusCode::OK);
    let ended = eventually("the token ends", Duration::from_secs(20), async || {
        let answer = open(&brief).await?;
        Ok((answer.status == StatusCode::UNAUTHORIZED).then_some(answer))
    });
    let ended = ended.await?;
    let detail = ended.json["detail"].as_str().context("a detail")?;
    ensure!(detail.contains("has expired"), "{detail}");

    let listed = stdout(&server, &["token", "list"])?;
    let row = listed
        .lines()
        .find_map(|line| line.strip_prefix("camera\t"))
        .context("a row")?;
    let [role, created, scopes, expires, used] = row.split('\t').collect::<Vec<_>>()[..] else {
        anyhow::bail!("{row}");
    };
    ensure!((role, scopes) == ("uploader", "upload"), "{row}");
    let (created, expires): (jiff::Timestamp, jiff::Timestamp) =
        (created.parse()?, expires.parse()?);
    let hours = (expires - created).total(jiff::Unit::Hour)?;
    ensure!((hours - 90.0 * 24.0).abs() < 0.1, "{row}");
    used.parse::<jiff::civil::Date>()?;
    let unused = listed.lines().find(|line| line.starts_with("owner\t"));
    ensure!(
        unused.context("a row")?.ends_with("\tupload,delete\t-\t-"),
        "{listed}"
    );
    Ok(())
}

#[cfg(unix)]
#[tokio::test]
async fn the_audit_log_goes_on_in_a_new_file_when_the_old_one_was_moved_away() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("audit.jsonl");
    let moved = directory.path().join("audit.jsonl.1");
    let given = path.to_str().context("a path")?;
    let environment = [("IMGN_AUDIT_LOG", given)];
    let server = ServerProcess::start_with(directory.path(), &[], &environment)?;
    let api = Api::new(&server.url, Some(&server.token))?;
    let open = async || -> Result<String> {
        let id = Uuid::now_v7();
        let opened = api.open(id, "a.jpg", 1, &sha256(id.as_bytes())).await?;
        ensure!(opened.status == StatusCode::OK, "{opened:?}");
        Ok(id.to_string())
    };
    let first = open().await?;
    fs::rename(&path, &moved)?;
    let id = server.process().id().to_string();
    ensure!(Command::new("kill").args(["-HUP", &id]).status()?.success());
    let waiting = eventually("a new file", Duration::from_secs(20), async || {
        Ok(path.exists().then_some(()))
    });
    waiting.await?;
    let second = open().await?;
    server.add_token("bob", "uploader")?;
    stdout(&server, &["token", "revoke", "bob"])?;
    let (old, new) = (fs::read_to_string(&moved)?, fs::read_to_string(&path)?);
    ensure!(old.contains(&first) && !old.contains(&second), "{old}");
    ensure!(new.contains(&second) && !new.contains(&first), "{new}");
    for what in ["token_added", "token_revoked"] {
        ensure!(new.contains(what), "{new}");
    }
    ensure!(!old.contains(&server.token) && !new.contains(&server.token));
    Ok(())
}

/// What the doctor says of a bucket, by subject, and whether it was content.
fn doctor(
    directory: &std::path::Path,
    store: &Target,
    secret: &str,
    more: &[&str],
) -> Result<(bool, Vec<(String, String)>)> {
    let mut command = Command::new(program("imgn-server")?);
    clean_environment(&mut command);
    let output = command
        .args(["doctor", "--json", "--storage", "s3", "--s3-path-style"])
        .args(["--s3-endpoint", &store.endpoint, "--data-dir"])
        .arg(directory)
        .args(more)
        .env("AWS_ACCESS_KEY_ID", &store.access_key)
        .env("AWS_SECRET_ACCESS_KEY", secret)
        .output()?;
    let told = String::from_utf8(output.stdout)?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(
        !told.contains(secret) && !errors.contains(secret),
        "secrets"
    );
    let mut findings = Vec::new();
    for line in told.lines() {
        let finding: Value = serde_json::from_str(line)?;
        let text = |name: &str| finding[name].as_str().map(str::to_owned);
        let (subject, verdict) = text("subject").zip(text("verdict")).context("a finding")?;
        let advice = text("advice").context("advice")?;
        ensure!((verdict == "good") == advice.is_empty(), "{finding}");
        findings.push((subject, verdict));
    }
    ensure!(!findings.is_empty(), "{errors}");
    Ok((output.status.success(), findings))
}

#[tokio::test]
async fn the_doctor_asks_a_bucket_and_sets_it_up() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let store = SeaweedFs::start().await?;
    let target = store.target();
    let ask = |secret: &str, more: &[&str]| {
        let page = [
            "--public-url",
            "https://pictures.example.org",
            "--s3-bucket",
        ];
        doctor(
            directory.path(),
            target,
            secret,
            &[&page[..], more].concat(),
        )
    };
    let verdict = |findings: &[(String, String)], subject: &str| {
        let found = findings.iter().find(|finding| finding.0 == subject);
        found.map(|finding| finding.1.clone())
    };

    // One that there is not is told of, and nothing is made unasked.
    for _ in 0..2 {
        let (is_content, findings) = ask(&target.secret_key, &["another-bucket"])?;
        ensure!(!is_content, "{findings:?}");
        ensure!(
            verdict(&findings, "bucket").as_deref() == Some("bad"),
            "{findings:?}"
        );
    }
    let (is_content, findings) = ask(&target.secret_key, &["another-bucket", "--set-up"])?;
    ensure!(is_content, "{findings:?}");
    for subject in [
        "bucket",
        "clock",
        "checksums",
        "length",
        "bytes",
        "only new",
        "expiry",
        "privacy",
        "web page",
        "leftovers",
    ] {
        ensure!(
            verdict(&findings, subject).as_deref() == Some("good"),
            "{subject}: {findings:?}"
        );
    }
    // The catalogue is the server's to make, and no cache is needed for the store's answers.
    for subject in ["catalogue", "pictures"] {
        ensure!(
            verdict(&findings, subject).as_deref() == Some("warning"),
            "{subject}: {findings:?}"
        );
    }
    ensure!(
        fs::read_dir(directory.path())?.count() == 0,
        "nothing is made"
    );
    // And stays so, with nothing left of what was asked with.
    let (is_content, again) = ask(&target.secret_key, &["another-bucket"])?;
    ensure!(is_content && again == findings, "{again:?}");
    let listed = target.client().list_objects_v2().bucket("another-bucket");
    ensure!(
        listed.send().await?.contents().is_empty(),
        "nothing is left"
    );

    let (is_content, findings) = ask("not-the-secret", &[&*target.bucket])?;
    ensure!(!is_content, "{findings:?}");
    ensure!(
        verdict(&findings, "bucket").as_deref() == Some("bad"),
        "{findings:?}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_doctor_asks_what_stands_in_front_for_a_picture() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let answer = Arc::<Mutex<Option<Answer>>>::default();
    let told = Arc::clone(&answer);
    // The server is told of its cache's address, which needs the server's: a port of their own, first.
    let free = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let cache = FaultProxy::start(&free.to_string(), move |seen: &Seen| {
        match &*told.lock().unwrap() {
            Some(answer) if seen.path.ends_with("/content") => Fate::Answer(answer.clone()),
            _ => Fate::Pass,
        }
    })
    .await?;
    let url = cache.url();
    fs::create_dir(directory.path().join("data"))?;
    let flags = ["--public-pictures-url", &*url];
    let address = free.to_string();
    let server = ServerProcess::start_on(directory.path(), &address, "", &flags, &[])?;
    let token = server.add_token("owner", "admin")?;
    let verdict = || -> Result<(String, String)> {
        let output = server.command(&["doctor", "--json", "--public-pictures-url", &url])?;
        let told = String::from_utf8(output.stdout)?;
        for line in told.lines() {
            let finding: Value = serde_json::from_str(line)?;
            if finding["subject"] == "pictures" {
                let text = |name: &str| finding[name].as_str().unwrap_or_default().to_owned();
                return Ok((text("verdict"), text("message")));
            }
        }
        anyhow::bail!("{told}")
    };
    ensure!(verdict()?.0 == "warning", "there is no picture yet");
    let api = Api::new(&server.url, Some(&token))?;
    let uploaded = api.upload("a.jpg", &pictures::jpeg(90, 60)).await?;
    let link = uploaded["image"]["url"].as_str().context("a link")?;
    ensure!(link.starts_with(&url), "{link}");
    let found = verdict()?;
    ensure!(found.0 == "good", "{found:?}");
    for (wrong, expected) in [
        (Answer::status(302).header("location", "/"), "warning"),
        (Answer::status(502), "bad"),
        (
            Answer::status(200)
                .header("content-type", "image/jpeg")
                .body("smaller"),
            "bad",
        ),
    ] {
        *answer.lock().unwrap() = Some(wrong);
        let found = verdict()?;
        ensure!(found.0 == expected, "{found:?}");
    }
    Ok(())
}
