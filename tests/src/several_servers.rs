//! Two servers over one PostgreSQL and one bucket of SeaweedFS: what one of them takes in is told by both, and what one of
//! them was at when it was killed is finished by the other.
//!
//! Invariant: when a server is killed follows from the requests that the proxy meets. Those who follow a server's events
//! connect again and again, as a mirror does, and note every place of the feed that they are told.

use std::{
    collections::BTreeSet,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use imgn_testkit::{
    pictures,
    postgres::PostgreSql,
    process::{ServerProcess, eventually},
    proxy::{Fate, FaultProxy, Gate, Seen},
    s3::Target,
    seaweedfs::SeaweedFs,
};
use serde_json::Value;
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::api::{Api, http, sha256};

mod cluster;

/// How long anything may take before it counts as stuck.
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) fn arguments<'a>(target: &'a Target, endpoint: &'a str) -> Vec<&'a str> {
    let bucket = &target.bucket;
    let mut arguments = vec!["--storage", "s3", "--s3-endpoint", endpoint, "--s3-bucket"];
    arguments.extend([bucket, "--s3-region", "us-east-1", "--s3-path-style"]);
    arguments
}

fn start(
    directory: &Path,
    database: &PostgreSql,
    target: &Target,
    endpoint: &str,
) -> Result<ServerProcess> {
    ServerProcess::start_with(
        directory,
        &arguments(target, endpoint),
        &[
            ("AWS_ACCESS_KEY_ID", &target.access_key),
            ("AWS_SECRET_ACCESS_KEY", &target.secret_key),
            ("IMGN_DATABASE", &database.url()),
        ],
    )
}

/// Somebody who follows a server's events and never gives up.
struct Follower {
    places: Arc<Mutex<Vec<u64>>>,
    task: JoinHandle<()>,
}

impl Follower {
    fn start(url: &str) -> Result<Self> {
        let (http, url) = (http()?, url.to_owned());
        let places = Arc::<Mutex<Vec<u64>>>::default();
        let told = Arc::clone(&places);
        let task = tokio::spawn(async move {
            loop {
                let since = told.lock().unwrap().last().copied().unwrap_or(0);
                let asked = http.get(format!("{url}/v1/events?since={since}"));
                if let Ok(mut answer) = asked.send().await {
                    let mut text = String::new();
                    while let Ok(Some(chunk)) = answer.chunk().await {
                        text.push_str(&String::from_utf8_lossy(&chunk));
                        while let Some((event, rest)) = text.split_once("\n\n") {
                            let id = event.lines().find_map(|line| line.strip_prefix("id: "));
                            let place = id.and_then(|id| id.parse::<u64>().ok());
                            told.lock().unwrap().extend(place);
                            text = rest.to_owned();
                        }
                    }
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
        Ok(Self { places, task })
    }

    /// Waits until it has been told of the feed up to there, and ensures that it was told each place once and in order.
    async fn has_all(&self, last: u64) -> Result<()> {
        eventually("a follower is told of everything", PATIENCE, async || {
            let places = self.places.lock().unwrap();
            Ok((places.last() >= Some(&last)).then_some(()))
        })
        .await?;
        let places = self.places.lock().unwrap().clone();
        ensure!(places == (1..=last).collect::<Vec<_>>(), "{places:?}");
        Ok(())
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Opens, signs and sends, and does not complete.
async fn send(api: &Api, picture: &[u8]) -> Result<Uuid> {
    let (id, sum) = (Uuid::now_v7(), sha256(picture));
    let opened = api.open(id, "picture.jpg", picture.len(), &sum).await?;
    ensure!(opened.json["state"] == "open", "{opened:?}");
    let signed = api.sign(id, &sum).await?;
    let sent = api.send(&signed, picture.to_vec()).await?;
    ensure!(sent.is_success(), "{sent}");
    Ok(id)
}

/// What a page of 2018 asks for: a URL to put a file to, of which nobody says when it is there.
async fn url_for_a_page(api: &Api, token: &str) -> Result<String> {
    const FORM: &str = "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"page.jpg\"\r\n\r\n\r\n--x--\r\n";
    let asked = http()?.post(format!("{}/upload", api.url));
    let asked = asked.bearer_auth(token).body(FORM);
    let answer = asked
        .header("content-type", "multipart/form-data; boundary=x")
        .send()
        .await?;
    ensure!(answer.status().is_success(), "{answer:?}");
    Ok(answer.text().await?)
}

/// Every place of the feed that is still told.
async fn places(api: &Api) -> Result<(Vec<u64>, u64)> {
    let feed = api.get("/v1/changes?since=0&limit=5000").await?.json;
    let changes = feed["changes"].as_array().context("changes")?;
    let places = changes.iter().filter_map(|one| one["sequence"].as_u64());
    Ok((places.collect(), feed["total"].as_u64().context("total")?))
}

/// Both tell the same gallery, in which each of these pictures is once, byte for byte.
async fn ensure_same(apis: [&Api; 2], files: &[Vec<u8>]) -> Result<()> {
    let [images, others] = [apis[0].images().await?, apis[1].images().await?];
    let ids = |images: &[Value]| -> Vec<Value> {
        images.iter().map(|image| image["id"].clone()).collect()
    };
    ensure!(ids(&images) == ids(&others), "{images:#?} {others:#?}");
    let wanted: BTreeSet<_> = files.iter().map(|bytes| sha256(bytes)).collect();
    let there = images.iter().filter_map(|image| image["sha256"].as_str());
    let there: BTreeSet<_> = there.map(ToOwned::to_owned).collect();
    ensure!(there == wanted, "{images:#?}");
    ensure!(images.len() == wanted.len(), "one is there twice");
    for image in &images {
        let id = image["id"].as_str().context("an id")?;
        let bytes = apis[0].bytes(&format!("/v1/images/{id}/content")).await?;
        ensure!(image["sha256"] == *sha256(&bytes), "{image}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_was_at_when_it_was_killed_is_finished_by_the_other() -> Result<()> {
    let (database, weed) = (PostgreSql::start().await?, SeaweedFs::start().await?);
    let target = weed.target();
    let directories = [tempfile::tempdir()?, tempfile::tempdir()?];
    // What the first one reads to verify it stops on the way as soon as that is asked for.
    let stop = Arc::<Mutex<Option<Gate>>>::default();
    let hook = Arc::clone(&stop);
    let proxy = FaultProxy::start(target.host()?, move |seen: &Seen| {
        match &*hook.lock().unwrap() {
            Some(gate) if seen.method == "GET" && seen.path.contains("/originals/") => {
                Fate::StallResponse {
                    after: 100,
                    gate: gate.clone(),
                }
            }
            _ => Fate::Pass,
        }
    })
    .await?;
    let mut first = start(directories[0].path(), &database, target, &proxy.url())?;
    let second = first.start_beside(directories[1].path(), &arguments(target, &target.endpoint))?;
    let apis = [&first, &second].map(|server| Api::new(&server.url, Some(&server.token)));
    let [one, two] = apis;
    let (one, two) = (one?, two?);
    let followers = [Follower::start(&first.url)?, Follower::start(&second.url)?];
    let mut files: Vec<_> = (0..21).map(|n| pictures::jpeg(100 + n, 80)).collect();

    // Each file by both at once: one of them publishes it, and both are told which picture it is.
    for picture in &files[..10] {
        let (by_one, by_two) =
            tokio::join!(one.upload("a.jpg", picture), two.upload("b.jpg", picture));
        let (by_one, by_two) = (by_one?, by_two?);
        ensure!(by_one["state"] == "published", "{by_one}");
        ensure!(by_one["image"]["id"] == by_two["image"]["id"], "{by_two}");
    }
    for follower in &followers {
        follower.has_all(10).await?;
    }

    // Killed while it reads some of what it has been told is there, with more of it waiting; and before it is told of the
    // rest.
    let gate = Gate::closed();
    *stop.lock().unwrap() = Some(gate.clone());
    let mut sent = Vec::new();
    for picture in &files[10..20] {
        sent.push(send(&one, picture).await?);
    }
    let mut completing = Vec::new();
    for &id in &sent[..6] {
        let one = one.clone();
        completing.push(tokio::spawn(async move { one.complete(id).await }));
    }
    let unannounced = url_for_a_page(&one, &first.token).await?;
    tokio::time::timeout(PATIENCE, gate.reached(1)).await?;
    first.kill();
    gate.release();
    *stop.lock().unwrap() = None;
    for complete in completing {
        if let Ok(answer) = complete.await? {
            ensure!(answer.status.is_success(), "{answer:?}");
        }
    }
    for &id in &sent {
        let outcome = two.outcome(id).await?;
        ensure!(outcome["state"] == "published", "{outcome}");
    }
    // Only the one that was killed had been asked for this.
    let put = http()?.put(unannounced).body(files[20].clone());
    let put = put.send().await?;
    ensure!(put.status().is_success(), "{put:?}");
    followers[1].has_all(21).await?;

    // It comes back as if nothing had been.
    first.restart()?;
    files.push(pictures::jpeg(300, 200));
    let last = one.upload("last.jpg", &files[21]).await?;
    for follower in &followers {
        follower.has_all(22).await?;
    }
    ensure_same([&one, &two], &files).await?;
    for api in [&one, &two] {
        ensure!(places(api).await? == ((1..=22).collect(), 22));
    }

    // What is deleted at one is gone at both, also in the bucket; and nothing else is there.
    let id = last["image"]["id"].as_str().context("an id")?;
    let deleted = two
        .call(reqwest::Method::DELETE, &format!("/v1/images/{id}"), None)
        .await?;
    ensure!(deleted.status.is_success(), "{deleted:?}");
    files.pop();
    for follower in &followers {
        follower.has_all(23).await?;
    }
    ensure_same([&one, &two], &files).await?;
    let store = target.client();
    eventually("the bucket holds what is published", PATIENCE, async || {
        let listed = store
            .list_objects_v2()
            .bucket(&target.bucket)
            .prefix("originals/")
            .send()
            .await?;
        Ok((listed.contents().len() == files.len()).then_some(()))
    })
    .await
}

/// Nothing of the gallery is in its data directory then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sweep_may_be_made_beside_a_server_and_beside_another_sweep() -> Result<()> {
    let (database, weed) = (PostgreSql::start().await?, SeaweedFs::start().await?);
    let (target, directory) = (weed.target(), tempfile::tempdir()?);
    let server = start(directory.path(), &database, target, &target.endpoint)?;
    let api = Api::new(&server.url, Some(&server.token))?;
    let files = [pictures::jpeg(100, 80)];
    api.upload("a.jpg", &files[0]).await?;
    let arguments = [&["sweep"], &arguments(target, &target.endpoint)[..]].concat();
    let swept = std::thread::scope(|scope| {
        let sweeps = [(); 2].map(|()| scope.spawn(|| server.command(&arguments)));
        sweeps.map(|sweep| sweep.join().map_err(|_| anyhow::anyhow!("it panicked"))?)
    });
    for output in swept {
        let output = output?;
        ensure!(output.status.success(), "{output:?}");
        let told = String::from_utf8_lossy(&output.stdout);
        ensure!(told.contains("0 objects deleted"), "{told}");
    }
    ensure_same([&api, &api], &files).await?;
    api.upload("b.jpg", &pictures::jpeg(110, 80)).await?;
    drop(server);

    let embedded = tempfile::tempdir()?;
    let mut server = ServerProcess::start(embedded.path(), &[])?;
    let refused = |server: &ServerProcess, arguments: &[&str], why: &str| -> Result<()> {
        let refused = server.command(arguments)?;
        let told = String::from_utf8_lossy(&refused.stderr);
        ensure!(!refused.status.success() && told.contains(why), "{told}");
        Ok(())
    };
    refused(&server, &["sweep"], "sweeps by itself")?;
    ensure!(server.terminate()? == Some(0));
    let unknown = ["sweep", "--remove-unknown"];
    refused(&server, &unknown, "the catalogue has no picture")?;
    let swept = server.command(&["sweep"])?;
    ensure!(swept.status.success(), "{swept:?}");
    Ok(())
}
