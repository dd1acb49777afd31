//! `kill -9` of the server at each step of publishing: after a restart the picture is published once or still open,
//! never half.
//!
//! The steps are those that the world can see: the server's requests to its store, which go through a proxy that kills
//! the server right before or right after the store does what it was asked. What the catalogue writes between two
//! requests is covered by both sides of the gap.
//!
//! And SIGTERM while the store does not answer: the server ends all the same.

use std::{
    path::Path,
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use imgn_testkit::{
    pictures,
    process::{Running, ServerProcess, eventually, program},
    proxy::{Fate, FaultProxy, Gate, Seen},
};
use reqwest::Method;
use serde_json::json;
use uuid::Uuid;

use crate::{
    api::{Api, http, sha256},
    store::{self, Store},
};

const BUCKET: &str = "crash-test";

/// The embedded store as a process of its own, so that it outlives the server.
fn start_store(directory: &Path) -> Result<(Running, String)> {
    let port = std::net::TcpListener::bind("127.0.0.1:0")?
        .local_addr()?
        .port();
    let address = format!("127.0.0.1:{port}");
    let mut command = Command::new(program("serve")?);
    command
        .arg(&address)
        .arg(directory.join("bucket"))
        .args(["access", "secretsecret", BUCKET]);
    let (running, _) = Running::start(command, &directory.join("store.log"))?;
    Ok((running, address))
}

/// Kills the server at its `step`-th request to the store after arming, and counts the requests.
#[derive(Default)]
struct Killer {
    server: AtomicU32,
    step: AtomicUsize,
    seen: AtomicUsize,
    after: std::sync::atomic::AtomicBool,
    log: Mutex<Vec<Seen>>,
}

impl Killer {
    fn arm(&self, server: u32, step: usize, after: bool) {
        self.seen.store(0, Ordering::SeqCst);
        self.after.store(after, Ordering::SeqCst);
        self.step.store(step, Ordering::SeqCst);
        self.server.store(server, Ordering::SeqCst);
    }

    fn disarm(&self) {
        self.server.store(0, Ordering::SeqCst);
    }

    fn meet(&self, seen: &Seen) -> Fate {
        let server = self.server.load(Ordering::SeqCst);
        if server == 0 {
            return Fate::Pass;
        }
        self.log.lock().unwrap().push(seen.clone());
        let number = self.seen.fetch_add(1, Ordering::SeqCst) + 1;
        if number != self.step.load(Ordering::SeqCst) {
            return Fate::Pass;
        }
        self.disarm();
        let after = self.after.load(Ordering::SeqCst);
        // Before: the store never hears of the request. After: it does it, and nobody is left to hear the answer.
        let _ = Command::new("kill")
            .args(["-9", &server.to_string()])
            .status();
        if after {
            Fate::HangUpAfter
        } else {
            Fate::HangUpBefore
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_at_each_step_of_publishing_is_repaired() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let (_store, address) = start_store(directory.path())?;
    let killer = Arc::new(Killer::default());
    let hook = killer.clone();
    let proxy = FaultProxy::start(&address, move |seen| hook.meet(seen)).await?;
    let endpoint = proxy.url();
    let arguments = [
        "--storage",
        "s3",
        "--s3-endpoint",
        &endpoint,
        "--s3-bucket",
        BUCKET,
        "--s3-region",
        "us-east-1",
        "--s3-path-style",
    ];
    let mut server = ServerProcess::start_with(
        directory.path(),
        &arguments,
        &[
            ("AWS_ACCESS_KEY_ID", "access"),
            ("AWS_SECRET_ACCESS_KEY", "secretsecret"),
        ],
    )?;
    let api = Api::new(&server.url, Some(&server.token))?;

    let mut published = 0;
    let mut steps = 0;
    'all: for after in [false, true] {
        for step in 1.. {
            ensure!(step < 40, "publishing takes a handful of requests");
            let picture = pictures::jpeg(200 + published, 160);
            let (id, sum) = (Uuid::now_v7(), sha256(&picture));
            ensure!(
                api.open(id, "photo.jpg", picture.len(), &sum)
                    .await?
                    .status
                    .is_success()
            );
            let signed = api.sign(id, &sum).await?;
            ensure!(api.send(&signed, picture.clone()).await?.is_success());
            killer.arm(server.process().id(), step, after);
            let completed = api.complete(id).await;
            let killed = killer.server.load(Ordering::SeqCst) == 0;
            killer.disarm();
            if killed {
                ensure!(
                    completed.is_err(),
                    "killed at step {step}, yet it answered {completed:?}"
                );
                server.kill();
                server.restart()?;
                steps += 1;
            }
            let outcome = api
                .outcome(id)
                .await
                .with_context(|| format!("step {step}, after {after}"))?;
            ensure!(outcome["state"] == "published", "step {step}: {outcome}");
            published += 1;
            let images = api.images().await?;
            ensure!(
                images.len() == published as usize,
                "step {step}: once, not {}",
                images.len()
            );
            let image = images[0]["id"].as_str().context("an id")?;
            ensure!(api.bytes(&format!("/v1/images/{image}/content")).await? == picture);
            for size in [320, 1280] {
                ensure!(
                    api.bytes(&format!("/v1/images/{image}/thumb/{size}"))
                        .await?
                        .starts_with(b"\xff\xd8")
                );
            }
            if !killed {
                // Every request of publishing had its turn.
                if after {
                    break 'all;
                }
                break;
            }
        }
    }
    ensure!(
        steps >= 8,
        "at least head, get and two thumbnails, each before and after: {:?}",
        killer.log.lock()
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_at_random_moments_lose_and_double_nothing() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let mut server = ServerProcess::start(directory.path(), &[])?;
    let api = Api::new(&server.url, Some(&server.token))?;
    let mut uploads = Vec::new();
    for round in 0..12_u64 {
        for n in 0..4 {
            let picture = pictures::jpeg(300 + round as u32, 200 + n);
            let (id, sum) = (Uuid::now_v7(), sha256(&picture));
            ensure!(
                api.open(id, "photo.jpg", picture.len(), &sum)
                    .await?
                    .status
                    .is_success()
            );
            let signed = api.sign(id, &sum).await?;
            ensure!(api.send(&signed, picture.clone()).await?.is_success());
            uploads.push((id, sum));
            let api = api.clone();
            tokio::spawn(async move { api.complete(id).await.map(drop) });
        }
        // Spread over the time that publishing takes; where exactly it hits does not matter.
        tokio::time::sleep(Duration::from_millis(7 * round)).await;
        server.kill();
        server.restart()?;
    }
    for (id, _) in &uploads {
        let outcome = api.outcome(*id).await?;
        ensure!(outcome["state"] == "published", "{id}: {outcome}");
    }
    let mut sums: Vec<String> = Vec::new();
    for image in api.images().await? {
        let bytes = api
            .bytes(&format!(
                "/v1/images/{}/content",
                image["id"].as_str().context("id")?
            ))
            .await?;
        ensure!(
            image["sha256"] == sha256(&bytes),
            "the bytes are those of the row"
        );
        sums.push(sha256(&bytes));
    }
    sums.sort();
    let mut expected: Vec<String> = uploads.into_iter().map(|(_, sum)| sum).collect();
    expected.sort();
    ensure!(sums == expected, "each picture once");
    eventually("readiness", Duration::from_secs(10), async || {
        Ok(api.get("/readyz").await?.status.is_success().then_some(()))
    })
    .await?;
    ensure!(server.terminate()? == Some(0), "SIGTERM drains and exits 0");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_does_not_answer_does_not_keep_the_server_from_ending() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let store = Store::start(directory.path())?;
    let gate = Gate::closed();
    let hook = gate.clone();
    // No picture is read.
    let proxy = FaultProxy::start(store.target.host()?, move |seen: &Seen| {
        let is_read = seen.method == "GET"
            && seen.path.contains("/originals/")
            && !seen.parameters.contains_key("uploadId");
        match is_read {
            true => Fate::HoldRequest(hook.clone()),
            false => Fate::Pass,
        }
    })
    .await?;
    let mut server = store::server(
        &directory.path().join("server"),
        &store.target,
        &proxy.url(),
        &[],
    )?;
    let api = Api::new(&server.url, Some(&server.token))?;
    let made = json!({"filename": "a.jpg", "type": "image/jpeg"});
    let made = api.call(Method::POST, "/s3/multipart", Some(made)).await?;
    let text = |name: &str| made.json[name].as_str().map(ToOwned::to_owned);
    let (id, key) = text("uploadId").zip(text("key")).context("an upload")?;
    let path = |rest: &str| format!("/s3/multipart/{id}{rest}?key={key}");
    let part = api.get(&path("/1")).await?.json;
    let url = part["url"].as_str().context("a URL")?;
    let sent = http()?.put(url).body(pictures::jpeg(64, 48)).send().await?;
    let etag = sent.headers()["etag"].to_str()?.trim_matches('"');
    let parts = json!({"parts": [{"PartNumber": 1, "ETag": etag}]});
    let complete = path("/complete");
    // Its client hangs up when the server has begun to read.
    tokio::select! {
        answer = api.call(Method::POST, &complete, Some(parts)) => {
            anyhow::bail!("nothing was read: {answer:?}")
        }
        () = gate.reached(1) => {}
    }
    let code = server.terminate()?;
    ensure!(code == Some(0), "{code:?}");
    Ok(())
}
