//! Two thousand pictures through two servers into a store of several volume servers, while a server and a volume server are
//! killed and come back.
//!
//! Invariant: who is killed when follows from how many pictures are accepted; whoever uploads does what imgn's client does: the
//! same id and the same bytes again, at whichever server answers.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Result, bail, ensure};
use imgn_testkit::{pictures, postgres::PostgreSql, process::eventually, seaweedfs::Cluster};
use reqwest::StatusCode;
use uuid::Uuid;

use super::{Follower, arguments, places, start};
use crate::api::{Api, sha256};

const PICTURES: usize = 2000;

/// Uploads at a time.
const WORKERS: usize = 12;

/// How long anything may take before it counts as stuck.
const PATIENCE: Duration = Duration::from_secs(300);

fn picture(number: usize) -> Vec<u8> {
    pictures::sized_png(2000, number as u64)
}

/// One attempt at one of the servers. Answers the picture's id once it is published.
async fn attempt(api: &Api, id: Uuid, bytes: &[u8], sum: &str) -> Result<Option<String>> {
    let opened = api.open(id, "picture.png", bytes.len(), sum).await?;
    if opened.json["state"] == "open" {
        let signed = api.sign(id, sum).await?;
        // That it is there already is as good.
        let sent = api.send(&signed, bytes.to_vec()).await?;
        ensure!(
            sent.is_success() || sent == StatusCode::PRECONDITION_FAILED,
            "{sent}"
        );
    }
    let ended = api.complete(id).await?;
    Ok(ended.json["image"]["id"].as_str().map(str::to_owned))
}

/// Uploads one to its end, however often that takes: a server or the store may be away.
async fn upload(apis: &[Api; 2], number: usize) -> Result<String> {
    let (id, bytes) = (Uuid::now_v7(), picture(number));
    let (sum, start) = (sha256(&bytes), Instant::now());
    for turn in number.. {
        match attempt(&apis[turn % apis.len()], id, &bytes, &sum).await {
            Ok(Some(image)) => return Ok(image),
            Ok(None) => {}
            Err(error) => ensure!(start.elapsed() < PATIENCE, "{error:?}"),
        }
        ensure!(start.elapsed() < PATIENCE, "it does not end");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    bail!("numbers end")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_doubled_while_a_server_and_a_volume_server_are_killed() -> Result<()> {
    let (database, mut cluster) = (PostgreSql::start().await?, Cluster::start().await?);
    let target = cluster.target().clone();
    let directories = [tempfile::tempdir()?, tempfile::tempdir()?];
    let mut first = start(directories[0].path(), &database, &target, &target.endpoint)?;
    let second =
        first.start_beside(directories[1].path(), &arguments(&target, &target.endpoint))?;
    let apis = [
        Api::new(&first.url, Some(&first.token))?,
        Api::new(&second.url, Some(&second.token))?,
    ];
    let followers = [Follower::start(&first.url)?, Follower::start(&second.url)?];

    let (next, accepted) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut workers = Vec::new();
    for _ in 0..WORKERS {
        let (apis, next, accepted) = (apis.clone(), Arc::clone(&next), Arc::clone(&accepted));
        workers.push(tokio::spawn(async move {
            let mut images = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= PICTURES {
                    return anyhow::Ok(images);
                }
                images.push(upload(&apis, number).await?);
                accepted.fetch_add(1, Ordering::Relaxed);
            }
        }));
    }
    let reached = async |count: usize| {
        eventually("uploads go on", PATIENCE, async || {
            Ok((accepted.load(Ordering::Relaxed) >= count).then_some(()))
        })
        .await
    };
    reached(PICTURES / 6).await?;
    first.kill();
    reached(PICTURES * 2 / 6).await?;
    first.restart()?;
    reached(PICTURES * 3 / 6).await?;
    cluster.kill_volume_server(1);
    reached(PICTURES * 4 / 6).await?;
    cluster.start_volume_server(1)?;
    reached(PICTURES * 5 / 6).await?;
    // Both at once.
    first.kill();
    cluster.kill_volume_server(2);
    tokio::time::sleep(Duration::from_secs(2)).await;
    cluster.start_volume_server(2)?;
    first.restart()?;
    let mut images = BTreeSet::new();
    for worker in workers {
        images.extend(worker.await??);
    }
    ensure!(images.len() == PICTURES, "{} pictures", images.len());

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
    ensure!(first.terminate()? == Some(0));
    for server in [&first, &second] {
        let log = server.process().log();
        ensure!(!log.contains("panicked"), "{log}");
    }
    Ok(())
}
