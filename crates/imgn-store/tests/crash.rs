//! What a crash, a restart and a full disk leave: everything that was promised, and nothing else.

#![expect(clippy::print_stdout, reason = "says what was skipped and seen")]

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use imgn_testkit::s3::raw;
use imgn_testkit::s3::sdk::{
    Client,
    types::{CompletedMultipartUpload, CompletedPart},
};
use imgn_testkit::s3::sign::Request;
use tempfile::TempDir;

use crate::common::{BUCKET, StoreProcess};

const PART: usize = 5 * 1024 * 1024;

async fn create(client: &Client, key: &str) -> Result<String> {
    let created = client
        .create_multipart_upload()
        .bucket(BUCKET)
        .key(key)
        .send()
        .await?;
    Ok(created.upload_id().context("an upload id")?.to_owned())
}

async fn part(
    client: &Client,
    key: &str,
    id: &str,
    number: i32,
    body: Vec<u8>,
) -> Result<CompletedPart> {
    let part = client
        .upload_part()
        .bucket(BUCKET)
        .key(key)
        .upload_id(id)
        .part_number(number);
    let sent = part.body(body.into()).send().await?;
    Ok(CompletedPart::builder()
        .part_number(number)
        .set_e_tag(sent.e_tag().map(Into::into))
        .build())
}

async fn complete(client: &Client, key: &str, id: &str, parts: &[CompletedPart]) -> Result<String> {
    let parts = CompletedMultipartUpload::builder()
        .set_parts(Some(parts.to_vec()))
        .build();
    let complete = client
        .complete_multipart_upload()
        .bucket(BUCKET)
        .key(key)
        .upload_id(id);
    let done = complete.multipart_upload(parts).send().await?;
    Ok(done.e_tag().context("an entity tag")?.to_owned())
}

async fn get(client: &Client, key: &str) -> Result<Vec<u8>> {
    let got = client.get_object().bucket(BUCKET).key(key).send().await?;
    Ok(got.body.collect().await?.to_vec())
}

async fn put(client: &Client, key: &str, body: Vec<u8>) -> Result<()> {
    client
        .put_object()
        .bucket(BUCKET)
        .key(key)
        .body(body.into())
        .send()
        .await?;
    Ok(())
}

async fn keys(client: &Client) -> Result<Vec<String>> {
    let page = client.list_objects_v2().bucket(BUCKET).send().await?;
    Ok(page
        .contents()
        .iter()
        .filter_map(|object| object.key())
        .map(Into::into)
        .collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_keeps_objects_and_open_uploads() -> Result<()> {
    let mut store = StoreProcess::start()?;
    let client = store.target().client();
    let names = ["../x", "Upper", "a", "a/b", &"long".repeat(250)];
    for name in names {
        put(&client, name, name.as_bytes().to_vec()).await?;
    }
    let id = create(&client, "multipart").await?;
    let first = part(&client, "multipart", &id, 1, vec![1; PART]).await?;

    ensure!(store.terminate()? == Some(0), "SIGTERM ends it well");
    store.restart()?;
    ensure!(keys(&client).await? == names, "{:?}", keys(&client).await?);
    for name in names {
        ensure!(get(&client, name).await? == name.as_bytes());
    }
    let second = part(&client, "multipart", &id, 2, vec![2; 5]).await?;
    store.kill();
    store.restart()?;
    let etag = complete(&client, "multipart", &id, &[first.clone(), second.clone()]).await?;
    store.kill();
    store.restart()?;
    let again = complete(&client, "multipart", &id, &[first, second]).await?;
    ensure!(
        etag == again,
        "the same completion has the same answer after a crash"
    );
    ensure!(store.files("uploads")?.is_empty());
    Ok(())
}

/// Two parts, and the object's bytes.
async fn two_parts(
    client: &Client,
    key: &str,
    id: &str,
    fill: u8,
) -> Result<([CompletedPart; 2], Vec<u8>)> {
    let parts = [
        part(client, key, id, 1, vec![fill; PART]).await?,
        part(client, key, id, 2, vec![fill; 9]).await?,
    ];
    Ok((parts, vec![fill; PART + 9]))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_at_any_moment_of_completing_leaves_all_or_the_upload() -> Result<()> {
    const ROUNDS: u8 = 16;
    let mut store = StoreProcess::start()?;
    let client = store.target().client();
    let id = create(&client, "undisturbed").await?;
    let (parts, _) = two_parts(&client, "undisturbed", &id, 0).await?;
    let start = Instant::now();
    complete(&client, "undisturbed", &id, &parts).await?;
    let undisturbed = start.elapsed();

    let mut outcomes = [0, 0];
    for round in 0..ROUNDS {
        let key = format!("object-{round}");
        let id = create(&client, &key).await?;
        let (parts, body) = two_parts(&client, &key, &id, round).await?;
        let (racer, its_key, its_id, its_parts) =
            (client.clone(), key.clone(), id.clone(), parts.clone());
        // The kill comes from before the request is sent to well after it is answered, however quick the disk.
        let completing = tokio::spawn(async move {
            tokio::time::sleep(undisturbed).await;
            complete(&racer, &its_key, &its_id, &its_parts).await
        });
        tokio::time::sleep(undisturbed * 3 * u32::from(round) / u32::from(ROUNDS - 1)).await;
        store.kill();
        let answered = completing.await?.is_ok();
        store.restart()?;

        ensure!(
            store.files("tmp")?.is_empty(),
            "unfinished files survive a restart"
        );
        let published = keys(&client).await?.contains(&key);
        let open = client
            .list_parts()
            .bucket(BUCKET)
            .key(&key)
            .upload_id(&id)
            .send()
            .await;
        ensure!(
            published != open.is_ok(),
            "round {round}: published {published}, open {}",
            open.is_ok()
        );
        ensure!(published || !answered, "an answered completion was lost");
        if let Ok(open) = open {
            ensure!(open.parts().len() == 2, "parts were lost");
        }
        complete(&client, &key, &id, &parts).await?;
        ensure!(get(&client, &key).await? == body);
        outcomes[usize::from(published)] += 1;
    }
    println!(
        "killed before the moment of publishing: {}, after it: {}",
        outcomes[0], outcomes[1]
    );
    ensure!(
        outcomes[0] > 0 && outcomes[1] > 0,
        "the kills missed the moment: {outcomes:?}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_while_putting_leaves_the_old_object_or_the_new() -> Result<()> {
    let mut store = StoreProcess::start()?;
    let client = store.target().client();
    put(&client, "object", vec![0; 300_000]).await?;
    for round in 1..=12_u8 {
        let racer = client.clone();
        let putting =
            tokio::spawn(async move { put(&racer, "object", vec![round; 300_000]).await });
        tokio::time::sleep(Duration::from_millis(u64::from(round))).await;
        store.kill();
        let answered = putting.await?.is_ok();
        store.restart()?;
        let found = get(&client, "object").await?;
        ensure!(
            found.len() == 300_000 && found.iter().all(|&byte| byte == found[0]),
            "a mixture"
        );
        ensure!(!answered || found[0] == round, "an answered put was lost");
        ensure!(store.files("tmp")?.is_empty() && store.files("ready")?.is_empty());
    }
    Ok(())
}

/// A power cut may take back that a file was moved, and nothing else that was promised.
#[tokio::test(flavor = "multi_thread")]
async fn an_object_whose_move_was_taken_back_is_found_again() -> Result<()> {
    let mut store = StoreProcess::start()?;
    let client = store.target().client();
    for key in ["object", "replaced", "deleted"] {
        put(&client, key, key.as_bytes().to_vec()).await?;
    }
    let moved = |name: &str| -> Result<(PathBuf, PathBuf)> {
        let is_its = |file: &PathBuf| file.to_string_lossy().ends_with(name);
        let place = store.files("objects")?.into_iter().find(is_its);
        let place = place.with_context(|| format!("the file of {name}"))?;
        let first_name = written_as(&place)?;
        Ok((place, store.directory().join("ready").join(first_name)))
    };
    let (object, object_before) = moved("object")?;
    let (replaced, replaced_before) = moved("replaced")?;
    let old = std::fs::read(&replaced)?;
    put(&client, "replaced", b"newer".to_vec()).await?;
    let delete = client.delete_object().bucket(BUCKET).key("deleted");
    delete.send().await?;

    store.kill();
    std::fs::rename(&object, &object_before)?;
    // What was replaced in the durable way has its new bytes, whatever comes back beside it.
    std::fs::write(&replaced_before, old)?;
    store.restart()?;
    ensure!(keys(&client).await? == ["object", "replaced"]);
    ensure!(get(&client, "object").await? == b"object");
    ensure!(get(&client, "replaced").await? == b"newer");
    ensure!(store.files("ready")?.is_empty());
    Ok(())
}

/// Whoever may send bytes could send what looks like an object under another key, and wait for a crash.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_looks_like_an_object_is_not_taken_for_one() -> Result<()> {
    let mut store = StoreProcess::start()?;
    let client = store.target().client();
    put(&client, "object", b"bytes".to_vec()).await?;
    let genuine = store.files("objects")?.pop().context("its file")?;
    let forged = std::fs::read(&genuine)?;
    let delete = client.delete_object().bucket(BUCKET).key("object");
    delete.send().await?;

    store.kill();
    let ready = store.directory().join("ready");
    std::fs::write(ready.join("0123456789abcdef0123456789abcdef"), forged)?;
    store.restart()?;
    ensure!(keys(&client).await?.is_empty());
    ensure!(store.files("ready")?.is_empty());
    Ok(())
}

/// The name that an object's file had at first, as it says itself.
fn written_as(file: &Path) -> Result<String> {
    let bytes = std::fs::read(file)?;
    let text = String::from_utf8_lossy(&bytes);
    let (_, rest) = text
        .split_once("\"written_as\":\"")
        .context("the file does not say how it was written")?;
    let (name, _) = rest.split_once('"').context("a name without an end")?;
    Ok(name.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_does_not_grow_with_the_object() -> Result<()> {
    let store = StoreProcess::start()?;
    let client = store.target().client();
    const LARGE: usize = 96 * 1024 * 1024;
    let request = Request::new(store.target(), "PUT", "large").presign();
    let answer = raw::send(store.target(), request, vec![7; LARGE]).await?;
    ensure!(answer.status.is_success(), "{}", answer.status);
    ensure!(get(&client, "large").await?.len() == LARGE);
    let peak = store.peak_memory()?;
    ensure!(peak < 64 * 1024 * 1024, "{} MiB", peak / 1024 / 1024);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_file_costs_one_object_and_no_other() -> Result<()> {
    let mut store = StoreProcess::start()?;
    let client = store.target().client();
    // The second is too long for a file name, so opening the store reads its file.
    let long = "long/".repeat(150);
    for key in ["damaged", &long] {
        put(&client, key, vec![1; 1000]).await?;
    }
    let id = create(&client, "upload").await?;
    for part in ["objects", "uploads"] {
        let files = store.files(part)?;
        ensure!(!files.is_empty(), "{part}");
        for file in files {
            std::fs::write(file, "damaged")?;
        }
    }
    put(&client, "sound", vec![2; 1000]).await?;
    ensure!(keys(&client).await? == ["sound"]);

    store.kill();
    store.restart()?;
    ensure!(keys(&client).await? == ["sound"]);
    ensure!(get(&client, "sound").await? == vec![2; 1000]);
    ensure!(get(&client, "damaged").await.is_err());
    ensure!(complete(&client, "upload", &id, &[]).await.is_err());
    // It can be replaced.
    put(&client, "damaged", vec![3; 1000]).await?;
    ensure!(keys(&client).await? == ["damaged", "sound"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_said_and_leaves_nothing() -> Result<()> {
    let Some(disk) = SmallDisk::mount()? else {
        println!("SKIPPED: a small file system can be mounted by root only");
        return Ok(());
    };
    let store = StoreProcess::start_in(disk.0.path())?;
    let client = store.target().client();
    put(&client, "old", vec![1; 1024 * 1024]).await?;
    for key in ["old", "new"] {
        let request = Request::new(store.target(), "PUT", key).presign();
        let answer = raw::send(store.target(), request, vec![2; 12 * 1024 * 1024]).await?;
        ensure!(answer.status.as_u16() == 507, "{}", answer.status);
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        ensure!(text.contains("<Code>StorageFull</Code>"), "{text}");
    }
    ensure!(get(&client, "old").await? == vec![1; 1024 * 1024]);
    ensure!(keys(&client).await? == ["old"]);
    ensure!(
        store.files("tmp")?.is_empty(),
        "a refused body stays on a full disk"
    );

    // A part that does not fit leaves those before it, and the object takes no room beside its parts.
    let id = create(&client, "multipart").await?;
    let first = part(&client, "multipart", &id, 1, vec![3; PART]).await?;
    let second = part(&client, "multipart", &id, 2, vec![4; PART]).await;
    ensure!(second.is_err(), "more than the disk holds was taken");
    let parts = client.list_parts().bucket(BUCKET).key("multipart");
    let listed = parts.upload_id(&id).send().await?;
    ensure!(listed.parts().len() == 1);
    let second = part(&client, "multipart", &id, 2, vec![5; 1024 * 1024]).await?;
    complete(&client, "multipart", &id, &[first, second]).await?;
    let expected = [vec![3; PART], vec![5; 1024 * 1024]].concat();
    ensure!(get(&client, "multipart").await? == expected);

    // There is room again once it is deleted, and once an upload is aborted.
    let delete = client.delete_object().bucket(BUCKET).key("multipart");
    delete.send().await?;
    let id = create(&client, "multipart").await?;
    part(&client, "multipart", &id, 1, vec![3; PART]).await?;
    let abort = client
        .abort_multipart_upload()
        .bucket(BUCKET)
        .key("multipart");
    abort.upload_id(&id).send().await?;
    put(&client, "new", vec![4; 5 * 1024 * 1024]).await?;
    Ok(())
}

/// A file system of 8 MiB in memory, unmounted when dropped.
struct SmallDisk(TempDir);

impl SmallDisk {
    /// `None` where this user may not mount.
    fn mount() -> Result<Option<Self>> {
        let directory = tempfile::tempdir()?;
        let mut mount = Command::new("mount");
        mount
            .args(["-t", "tmpfs", "-o", "size=8m", "tmpfs"])
            .arg(directory.path());
        let mounted = mount.output().is_ok_and(|output| output.status.success());
        Ok(mounted.then_some(Self(directory)))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).output();
    }
}
