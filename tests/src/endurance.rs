//! `kill -9` of the client, the server and the store in turn, while hundreds of pictures go up: in the end every file
//! is in the gallery once, byte for byte, and nothing is left over.
//!
//! Invariant: who is killed when follows from how many pictures are published, so a slow machine sees as many kills.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use imgn_testkit::{
    pictures,
    process::{Client, eventually},
    s3::Target,
};

use crate::{
    api::{Api, sha256},
    store::{self, Store},
};

const FILES: usize = 500;

/// Every so many published pictures, somebody is killed.
const KILL_EVERY: usize = 20;

/// The server's smallest part size in bytes, so that files of a dozen megabytes have parts.
const PART_BYTES: usize = 5 << 20;

/// How long the whole may take before it counts as stuck.
const PATIENCE: Duration = Duration::from_secs(600);

/// `imgn` at work. Ends with its handle.
struct Uploading(Child);

impl Uploading {
    fn start(client: &Client, arguments: &[&str]) -> Result<Self> {
        let mut command = client.command(arguments)?;
        command.stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Self(command.spawn()?))
    }

    fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }

    fn has_ended(&mut self) -> Result<bool> {
        Ok(self.0.try_wait()?.is_some())
    }
}

impl Drop for Uploading {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Writes pictures to upload, a few of them of several parts; answers each one's path by its sum.
fn write_files(folder: &Path) -> Result<BTreeMap<String, PathBuf>> {
    fs::create_dir_all(folder)?;
    let mut files = BTreeMap::new();
    for number in 0..FILES {
        let size = if number % 50 == 7 {
            2 * PART_BYTES + 700_000 + number
        } else {
            20_000 + 150 * number
        };
        let bytes = pictures::sized_png(size, number as u64);
        let path = folder.join(format!("{number:03}.png"));
        fs::write(&path, &bytes)?;
        files.insert(sha256(&bytes), path);
    }
    Ok(files)
}

/// How many pictures are in the gallery; none while the server does not answer.
async fn published(api: &Api) -> usize {
    api.images().await.map_or(0, |images| images.len())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_of_everybody_in_turn_lose_double_and_leave_nothing() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let files = write_files(&directory.path().join("pictures"))?;
    let mut store = Store::start(directory.path())?;
    let mut server = store::server(
        &directory.path().join("server"),
        &store.target,
        &store.target.endpoint,
        &["--part-size", &PART_BYTES.to_string()],
    )?;
    let api = Api::new(&server.url, Some(&server.token))?;
    let client = Client::new(
        &directory.path().join("home"),
        &server.url,
        Some(&server.token),
    );
    let folder = directory.path().join("pictures");
    let folder = folder.to_str().context("a path in UTF-8")?;

    let mut uploading = Uploading::start(&client, &["upload", "-r", folder])?;
    let mut kills = 0;
    eventually("every picture is published", PATIENCE, async || {
        let count = published(&api).await;
        if count == FILES {
            return Ok(Some(()));
        }
        if count >= (kills + 1) * KILL_EVERY {
            match kills % 3 {
                0 => {
                    uploading.kill();
                    uploading = Uploading::start(&client, &["resume"])?;
                }
                1 => {
                    server.kill();
                    server.restart()?;
                }
                _ => store.kill_and_restart()?,
            }
            kills += 1;
        }
        // Only the kills above end it early: what goes wrong with the others, it waits for.
        ensure!(
            !uploading.has_ended()? || published(&api).await == FILES,
            "the client ended with {count} of {FILES} published"
        );
        Ok(None)
    })
    .await?;
    ensure!(kills >= 12, "only {kills} kills");
    eventually("the client ends", Duration::from_secs(60), async || {
        Ok(uploading.has_ended()?.then_some(()))
    })
    .await?;

    let queue = client.run(&["--json", "queue"])?;
    ensure!(queue.stdout.is_empty(), "left over: {}", queue.stdout);
    let mut left = files;
    for image in api.images().await? {
        let sum = image["sha256"].as_str().context("a sum")?;
        let path = left
            .remove(sum)
            .with_context(|| format!("twice, or never uploaded: {image}"))?;
        let id = image["id"].as_str().context("an id")?;
        let bytes = api.bytes(&format!("/v1/images/{id}/content")).await?;
        ensure!(bytes == fs::read(&path)?, "{} differs", path.display());
    }
    ensure!(left.is_empty(), "never arrived: {left:?}");
    nothing_is_left_over(&store.target).await
}

/// The bucket has an original and two thumbnails for each picture, and no multipart upload is open.
async fn nothing_is_left_over(target: &Target) -> Result<()> {
    let store = target.client();
    let open = store
        .list_multipart_uploads()
        .bucket(&target.bucket)
        .send()
        .await?;
    ensure!(open.uploads().is_empty(), "open: {:?}", open.uploads());
    eventually(
        "only pictures are kept",
        Duration::from_secs(60),
        async || {
            let (mut count, mut next) = (0, None);
            loop {
                let page = store
                    .list_objects_v2()
                    .bucket(&target.bucket)
                    .set_continuation_token(next)
                    .send()
                    .await?;
                count += page.contents().len();
                next = page.next_continuation_token().map(ToOwned::to_owned);
                if next.is_none() {
                    break;
                }
            }
            Ok((count == 3 * FILES).then_some(()))
        },
    )
    .await
}
