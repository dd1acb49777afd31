//! Two thousand pictures through two servers into a store of several volume servers, while either server and two of the volume
//! servers are killed and come back; followed by two who listen, and by two mirrors of `imgn sync`'s.
//!
//! Invariant: one server is always there, and two volume servers, which have a copy of everything. Who is killed when follows from
//! how many pictures are accepted; whoever uploads does what imgn's client does: the same id and the same bytes again, at whichever
//! server answers. At each kill some large files have one part in the store and wait for it, at either server.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use imgn_testkit::{
    pictures,
    postgres::PostgreSql,
    process::{Client, ServerProcess, answer, eventually},
    seaweedfs::Cluster,
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Follower, arguments, places};
use crate::api::{Api, sha256};

const PICTURES: usize = 2000;

/// Uploads at a time.
const WORKERS: usize = 12;

/// How long anything may take before it counts as stuck.
const PATIENCE: Duration = Duration::from_secs(300);

/// So many are accepted when somebody is killed.
const KILLS: [usize; 5] = [
    PICTURES / 8,
    PICTURES * 3 / 8,
    PICTURES * 4 / 8,
    PICTURES * 6 / 8,
    PICTURES * 7 / 8,
];

/// Files that wait for each of the kills, in parts: fewer than there are workers, and as many for one server as for the other.
const LARGE: usize = 4;

/// How many others are accepted at least from when the first of them is begun until its kill.
const BEFORE: usize = 30;

/// The size of a part in bytes, the smallest that there is.
const PART: usize = 5 << 20;

/// Which of the kills a file waits for, if it is a large one.
fn kill(number: usize) -> Option<usize> {
    KILLS
        .iter()
        .position(|accepted| (accepted - BEFORE..accepted - BEFORE + LARGE).contains(&number))
}

fn picture(number: usize) -> Vec<u8> {
    let size = match kill(number) {
        Some(_) => 2 * PART + 1000,
        None => 2000,
    };
    pictures::sized_png(size, number as u64)
}

/// What those who upload know of each other, and of what is done to the servers.
#[derive(Default)]
struct Course {
    next: AtomicUsize,
    accepted: AtomicUsize,
    killed: AtomicUsize,
    /// Files of which the store had parts when they were begun again.
    resumed: Mutex<BTreeSet<Uuid>>,
}

/// Sends what the store does not have yet of a file in parts. Answers all of them.
async fn send_parts(
    api: &Api,
    (id, bytes): (Uuid, &[u8]),
    opened: &Value,
    kill: usize,
    course: &Course,
) -> Result<Vec<Value>> {
    let has: BTreeSet<_> = opened["parts"]
        .as_array()
        .context("parts")?
        .iter()
        .filter_map(|part| part["number"].as_u64())
        .collect();
    if !has.is_empty() {
        course.resumed.lock().unwrap().insert(id);
    }
    let mut parts = Vec::new();
    for (number, part) in (1..).zip(bytes.chunks(PART)) {
        let sum = sha256(part);
        parts.push(json!({"number": number, "checksum": sum}));
        if has.contains(&number) {
            continue;
        }
        let path = format!("/v1/uploads/{id}/sign");
        let signed = json!({"part": number, "checksum": sum});
        let signed = api.call(Method::POST, &path, Some(signed)).await?;
        ensure!(signed.status.is_success(), "{signed:?}");
        let signed = serde_json::from_value(signed.json)?;
        let sent = api.send(&signed, part.to_vec()).await?;
        ensure!(sent.is_success(), "{sent}");
        let sent = Instant::now();
        while course.killed.load(Ordering::Relaxed) <= kill {
            ensure!(sent.elapsed() < PATIENCE, "nobody is killed");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    Ok(parts)
}

/// One attempt at one of the servers. Answers the picture's id once it is published.
async fn attempt(
    api: &Api,
    (id, number): (Uuid, usize),
    bytes: &[u8],
    sum: &str,
    course: &Course,
) -> Result<Option<String>> {
    let opened = api.open(id, "picture.png", bytes.len(), sum).await?.json;
    let mut parts = Vec::new();
    if opened["state"] == "open" {
        match kill(number) {
            Some(kill) => {
                ensure!(opened["mode"] == "multipart", "{opened}");
                parts = send_parts(api, (id, bytes), &opened, kill, course).await?;
            }
            None => {
                let signed = api.sign(id, sum).await?;
                // That it is there already is as good.
                let sent = api.send(&signed, bytes.to_vec()).await?;
                ensure!(
                    sent.is_success() || sent == StatusCode::PRECONDITION_FAILED,
                    "{sent}"
                );
            }
        }
    }
    let path = format!("/v1/uploads/{id}/complete");
    let ended = api.call(Method::POST, &path, Some(json!({"parts": parts})));
    let ended = ended.await?;
    Ok(ended.json["image"]["id"].as_str().map(str::to_owned))
}

/// Uploads one to its end, however often that takes: a server or the store may be away.
async fn upload(apis: &[Api; 2], number: usize, course: &Course) -> Result<String> {
    let (id, bytes) = (Uuid::now_v7(), picture(number));
    let (sum, start) = (sha256(&bytes), Instant::now());
    for turn in number.. {
        let api = &apis[turn % apis.len()];
        match attempt(api, (id, number), &bytes, &sum, course).await {
            Ok(Some(image)) => return Ok(image),
            Ok(None) => {}
            Err(error) => ensure!(start.elapsed() < PATIENCE, "{error:?}"),
        }
        ensure!(start.elapsed() < PATIENCE, "it does not end");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    bail!("numbers end")
}

/// What a picture is told by, in the gallery and in each mirror of it.
fn told(image: &Value) -> Result<[String; 4]> {
    let text = |name: &str| {
        let text = image[name].as_str().map(str::to_owned);
        text.with_context(|| format!("{name} of {image}"))
    };
    let size = image["size"].to_string();
    Ok([text("id")?, text("sha256")?, text("created_at")?, size])
}

/// A mirror of the built command line's, which follows one of the servers.
struct Mirror(Client);

impl Mirror {
    /// Brings it up to date, as far as its server goes along: how many pictures it has then.
    async fn sync(&self) -> Result<Option<u64>> {
        let command = self.0.command(&["--json", "sync"])?;
        let synced = tokio::task::spawn_blocking(move || answer(command)).await??;
        if synced.code != Some(0) {
            return Ok(None);
        }
        let pictures = synced
            .objects()?
            .first()
            .map(|told| told["pictures"].as_u64());
        pictures.context("an answer")
    }

    /// What it tells without its server, newest first.
    fn tells(&self) -> Result<Vec<[String; 4]>> {
        let most = (PICTURES + 1).to_string();
        let listed = self
            .0
            .run(&["--json", "list", "--offline", "--limit", &most])?;
        ensure!(listed.code == Some(0), "{}", listed.stderr);
        listed.objects()?.iter().map(told).collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_doubled_while_servers_and_volume_servers_are_killed() -> Result<()> {
    let (database, mut cluster) = (PostgreSql::start().await?, Cluster::start().await?);
    let target = cluster.target().clone();
    let directories = [tempfile::tempdir()?, tempfile::tempdir()?];
    let part_size = PART.to_string();
    let store = arguments(&target, &target.endpoint);
    let store = [&store[..], &["--part-size", &part_size]].concat();
    let mut first = ServerProcess::start_with(
        directories[0].path(),
        &store,
        &[
            ("AWS_ACCESS_KEY_ID", &target.access_key),
            ("AWS_SECRET_ACCESS_KEY", &target.secret_key),
            ("IMGN_DATABASE", &database.url()),
        ],
    )?;
    let mut second = first.start_beside(directories[1].path(), &store)?;
    let apis = [
        Api::new(&first.url, Some(&first.token))?,
        Api::new(&second.url, Some(&second.token))?,
    ];
    let followers = [Follower::start(&first.url)?, Follower::start(&second.url)?];
    let homes = [tempfile::tempdir()?, tempfile::tempdir()?];
    let mirrors = [
        Mirror(Client::new(homes[0].path(), &first.url, None)),
        Mirror(Client::new(homes[1].path(), &second.url, None)),
    ];

    let course = Arc::<Course>::default();
    let mut workers = Vec::new();
    for _ in 0..WORKERS {
        let (apis, course) = (apis.clone(), Arc::clone(&course));
        workers.push(tokio::spawn(async move {
            let mut images = Vec::new();
            loop {
                let number = course.next.fetch_add(1, Ordering::Relaxed);
                if number >= PICTURES {
                    return anyhow::Ok(images);
                }
                images.push(upload(&apis, number, &course).await?);
                course.accepted.fetch_add(1, Ordering::Relaxed);
            }
        }));
    }
    let reached = async |count: usize| {
        eventually("uploads go on", PATIENCE, async || {
            Ok((course.accepted.load(Ordering::Relaxed) >= count).then_some(()))
        })
        .await
    };
    let killed = || course.killed.fetch_add(1, Ordering::Relaxed);
    // A mirror of what is there so far, which goes on from there.
    let partly = async |mirror: &Mirror| -> Result<()> {
        let has = mirror.sync().await?.context("its server is there")?;
        ensure!(has > 0 && has < PICTURES as u64, "{has}");
        Ok(())
    };
    reached(KILLS[0]).await?;
    first.kill();
    killed();
    partly(&mirrors[1]).await?;
    ensure!(mirrors[0].sync().await?.is_none(), "nobody is there");
    reached(PICTURES * 2 / 8).await?;
    first.restart()?;
    reached(KILLS[1]).await?;
    second.kill();
    killed();
    partly(&mirrors[0]).await?;
    reached(KILLS[2]).await?;
    second.restart()?;
    cluster.kill_volume_server(1);
    killed();
    reached(PICTURES * 5 / 8).await?;
    cluster.start_volume_server(1)?;
    reached(KILLS[3]).await?;
    // A server and a volume server at once, and the other server right after the first is back.
    first.kill();
    cluster.kill_volume_server(2);
    killed();
    tokio::time::sleep(Duration::from_secs(2)).await;
    cluster.start_volume_server(2)?;
    first.restart()?;
    reached(KILLS[4]).await?;
    second.kill();
    killed();
    tokio::time::sleep(Duration::from_secs(2)).await;
    second.restart()?;
    let mut images = BTreeSet::new();
    for worker in workers {
        images.extend(worker.await??);
    }
    ensure!(images.len() == PICTURES, "{} pictures", images.len());
    let resumed = course.resumed.lock().unwrap().len();
    // Two wait at each server for its end, which four kills were; an error may have led one of them to the other.
    ensure!(
        resumed >= 4,
        "{resumed} files went on with the parts that the store had"
    );

    // Each is there once, at both, byte for byte; and whoever follows was told of each once.
    let last = PICTURES as u64;
    for (api, follower) in apis.iter().zip(&followers) {
        follower.has_all(last).await?;
        ensure!(places(api).await? == ((1..=last).collect(), last));
        let listed = api.images().await?;
        let ids: BTreeSet<_> = listed
            .iter()
            .filter_map(|image| image["id"].as_str().map(str::to_owned))
            .collect();
        ensure!(listed.len() == PICTURES && ids == images);
    }
    // Each mirror, whose server was killed while it followed, is the gallery at last.
    let listed = apis[0].images().await?;
    let listed: Vec<_> = listed.iter().map(told).collect::<Result<_>>()?;
    for mirror in &mirrors {
        ensure!(mirror.sync().await? == Some(last), "it has not all");
        ensure!(mirror.tells()? == listed, "it is another gallery");
    }
    let wanted: BTreeSet<_> = (0..PICTURES)
        .map(|number| sha256(&picture(number)))
        .collect();
    let mut read = BTreeSet::new();
    for (number, id) in images.iter().enumerate() {
        let api = &apis[number % 2];
        let bytes = eventually("a picture is read", PATIENCE, async || {
            Ok(api.bytes(&format!("/v1/images/{id}/content")).await.ok())
        });
        read.insert(sha256(&bytes.await?));
    }
    ensure!(read == wanted, "every byte is there");

    // In the bucket is nothing else.
    let store = target.client();
    eventually("the bucket holds what is published", PATIENCE, async || {
        let mut keys = BTreeSet::new();
        let mut pages = store
            .list_objects_v2()
            .bucket(&target.bucket)
            .into_paginator()
            .send();
        while let Some(page) = pages.next().await {
            keys.extend(
                page?
                    .contents()
                    .iter()
                    .filter_map(|object| object.key().map(str::to_owned)),
            );
        }
        // What was written to see whether it can be.
        keys.remove("ready");
        let mut expected = BTreeSet::new();
        for id in &images {
            expected.insert(format!("originals/{id}"));
            expected.extend([320, 1280].map(|size| format!("thumbnails/{id}/{size}.jpg")));
        }
        Ok((keys == expected).then_some(()))
    })
    .await?;
    let open = store
        .list_multipart_uploads()
        .bucket(&target.bucket)
        .send()
        .await?;
    ensure!(open.uploads().is_empty(), "no upload is open");
    for server in [&mut first, &mut second] {
        ensure!(server.terminate()? == Some(0));
    }
    for server in [&first, &second] {
        let log = server.process().log();
        ensure!(!log.contains("panicked"), "{log}");
    }
    Ok(())
}
