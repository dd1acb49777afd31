//! What becomes of the parts of an upload on disk: completing at any moment, also when parts still arrive, when it was
//! cut off, and when an older store made them.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use imgn_testkit::s3::raw;
use imgn_testkit::s3::sdk::Client;
use imgn_testkit::s3::sdk::types::{CompletedMultipartUpload, CompletedPart};
use imgn_testkit::s3::sign::Request;
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::common::{BUCKET, StoreProcess};

const PART: usize = 5 * 1024 * 1024;
const KEY: &str = "object";

/// Bytes of which no two ranges are alike.
fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let words = (0..length.div_ceil(8)).flat_map(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.take(length).collect()
}

/// An upload of [`KEY`], and what its client remembers.
struct Upload {
    client: Client,
    id: String,
}

impl Upload {
    async fn create(store: &StoreProcess) -> Result<Self> {
        let client = store.target().client();
        let create = client.create_multipart_upload().bucket(BUCKET).key(KEY);
        let created = create.send().await?;
        let id = created.upload_id().context("an upload id")?.to_owned();
        Ok(Self { client, id })
    }

    async fn part(&self, number: i32, body: Vec<u8>) -> Result<CompletedPart> {
        let part = self.client.upload_part().bucket(BUCKET).key(KEY);
        let part = part.upload_id(&self.id).part_number(number);
        let sent = part.body(body.into()).send().await?;
        let tag = sent.e_tag().context("an entity tag")?;
        Ok(CompletedPart::builder()
            .part_number(number)
            .e_tag(tag)
            .build())
    }

    async fn complete(&self, parts: &[CompletedPart]) -> Result<String> {
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts.to_vec()));
        let complete = self
            .client
            .complete_multipart_upload()
            .bucket(BUCKET)
            .key(KEY);
        let complete = complete.upload_id(&self.id).multipart_upload(parts.build());
        Ok(complete
            .send()
            .await?
            .e_tag()
            .context("an entity tag")?
            .to_owned())
    }

    async fn abort(&self) -> Result<()> {
        let abort = self.client.abort_multipart_upload().bucket(BUCKET).key(KEY);
        abort.upload_id(&self.id).send().await?;
        Ok(())
    }

    /// Numbers and sizes.
    async fn listed(&self) -> Result<Vec<(i32, i64)>> {
        let list = self.client.list_parts().bucket(BUCKET).key(KEY);
        let page = list.upload_id(&self.id).send().await?;
        let rows = page.parts().iter();
        Ok(rows
            .filter_map(|part| Some((part.part_number()?, part.size()?)))
            .collect())
    }

    async fn get(&self) -> Result<Vec<u8>> {
        let got = self
            .client
            .get_object()
            .bucket(BUCKET)
            .key(KEY)
            .send()
            .await?;
        Ok(got.body.collect().await?.to_vec())
    }

    fn directory(&self, store: &StoreProcess) -> PathBuf {
        store.directory().join("uploads").join(&self.id)
    }
}

fn copy_directory(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn scattered_parts_are_read_as_one_object() -> Result<()> {
    let mut store = StoreProcess::start()?;
    let upload = Upload::create(&store).await?;
    // Every length another, and the last part first: they cannot lie in order.
    let bodies = [
        noise(PART + 3, 1),
        noise(PART, 2),
        noise(PART + 700_001, 3),
        noise(99, 4),
    ];
    let mut parts = Vec::new();
    for number in [4, 2, 1, 3] {
        let body = bodies[number - 1].clone();
        parts.push(upload.part(i32::try_from(number)?, body).await?);
    }
    parts.sort_by_key(CompletedPart::part_number);
    upload.complete(&parts).await?;
    let whole = bodies.concat();
    for restarted in [false, true] {
        if restarted {
            store.kill();
            store.restart()?;
        }
        ensure!(upload.get().await? == whole, "restarted: {restarted}");
        let seams = [PART + 3, 2 * PART + 3, whole.len() - 99];
        for (start, end) in seams.into_iter().flat_map(|seam| {
            [
                (seam - 1, seam),
                (seam, seam + 1),
                (seam - 10, seam + 9),
                (seam - 300_000, seam + 50),
            ]
        }) {
            let get = upload.client.get_object().bucket(BUCKET).key(KEY);
            let got = get
                .range(format!("bytes={start}-{}", end - 1))
                .send()
                .await?;
            let bytes = got.body.collect().await?.to_vec();
            ensure!(bytes == whole[start..end], "{start}..{end}");
        }
    }
    let copy = upload.client.copy_object().bucket(BUCKET).key("copy");
    copy.copy_source(format!("{BUCKET}/{KEY}")).send().await?;
    let copied = upload
        .client
        .get_object()
        .bucket(BUCKET)
        .key("copy")
        .send()
        .await?;
    ensure!(copied.body.collect().await?.to_vec() == whole);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_of_one_size_are_written_once() -> Result<()> {
    let store = StoreProcess::start()?;
    let upload = Upload::create(&store).await?;
    let mut parts = Vec::new();
    for number in [2, 1, 3] {
        parts.push(
            upload
                .part(number, noise(PART, number.unsigned_abs().into()))
                .await?,
        );
    }
    parts.sort_by_key(CompletedPart::part_number);
    let data = upload.directory(&store).join("data");
    let kept = fs::File::open(&data)?;
    upload.complete(&parts).await?;
    let objects = store.files("objects")?;
    let [object] = objects.as_slice() else {
        anyhow::bail!("{objects:?}");
    };
    let object = fs::File::open(object)?;
    ensure!(same_file(&kept, &object)?, "the parts were copied");
    ensure!(
        object.metadata()?.len() < 3 * PART as u64 + 2048,
        "bytes are kept for nothing"
    );
    Ok(())
}

#[cfg(unix)]
fn same_file(one: &fs::File, other: &fs::File) -> Result<bool> {
    use std::os::unix::fs::MetadataExt as _;
    let (one, other) = (one.metadata()?, other.metadata()?);
    Ok((one.dev(), one.ino()) == (other.dev(), other.ino()))
}

#[cfg(not(unix))]
fn same_file(one: &fs::File, other: &fs::File) -> Result<bool> {
    Ok(one.metadata()?.created()? == other.metadata()?.created()?)
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_that_are_not_named_take_no_room() -> Result<()> {
    let store = StoreProcess::start()?;
    let upload = Upload::create(&store).await?;
    let mut parts = Vec::new();
    for number in 1..=4 {
        parts.push(
            upload
                .part(number, noise(PART, number.unsigned_abs().into()))
                .await?,
        );
    }
    upload
        .complete(&[parts[1].clone(), parts[3].clone()])
        .await?;
    ensure!(upload.get().await? == [noise(PART, 2), noise(PART, 4)].concat());
    let size: u64 = store
        .files("objects")?
        .iter()
        .map(|file| Ok(fs::metadata(file)?.len()))
        .sum::<Result<_>>()?;
    ensure!(size < 2 * PART as u64 + 2048, "{size}");
    ensure!(store.files("uploads")?.is_empty() && store.files("tmp")?.is_empty());
    Ok(())
}

/// What a crash can leave at each step of taking in a part and of completing, made by hand.
#[tokio::test(flavor = "multi_thread")]
async fn every_step_can_be_the_last() -> Result<()> {
    let mut store = StoreProcess::start()?;
    let upload = Upload::create(&store).await?;
    let bodies = [noise(PART, 1), noise(PART, 2), noise(1000, 3)];
    let mut parts = Vec::new();
    for (number, body) in (1..).zip(&bodies) {
        parts.push(upload.part(number, body.clone()).await?);
    }
    let sizes = [(1, PART as i64), (2, PART as i64), (3, 1000)];
    store.kill();
    let snapshot = tempfile::tempdir()?;
    let open = snapshot.path().join("open");
    let directory = upload.directory(&store);
    copy_directory(&directory, &open)?;
    let data = fs::read(open.join("data"))?;
    let log = fs::read(open.join("parts.log"))?;
    let line = log
        .split_inclusive(|&byte| byte == b'\n')
        .next_back()
        .context("a line")?;
    let footer = b"{\"key\":\"object\"}\x10\0\0\0IMGNREC1".as_slice();

    let steps: [(&str, Vec<u8>, Vec<u8>); 6] = [
        ("nothing under way", data.clone(), log.clone()),
        (
            "a part was written, not recorded",
            [&data, &*noise(PART, 9)].concat(),
            log.clone(),
        ),
        (
            "half a line was recorded",
            data.clone(),
            [&*log, &line[..line.len() / 2]].concat(),
        ),
        (
            "a line was recorded without all its blocks",
            data.clone(),
            [&*log, &vec![0; line.len()]].concat(),
        ),
        (
            "half a footer was written",
            [&data, &footer[..9]].concat(),
            log.clone(),
        ),
        (
            "the footer was written, not renamed",
            [&data, footer].concat(),
            log.clone(),
        ),
    ];
    for (step, data, log) in steps {
        fs::remove_dir_all(&directory).ok();
        copy_directory(&open, &directory)?;
        fs::write(directory.join("data"), data)?;
        fs::write(directory.join("parts.log"), log)?;
        for file in store.files("objects")? {
            fs::remove_file(file)?;
        }
        store.restart()?;
        ensure!(
            upload.listed().await? == sizes,
            "{step}: {:?}",
            upload.listed().await?
        );
        // The next line is whole, whatever came before it.
        let again = upload.part(3, noise(500, 7)).await?;
        store.kill();
        store.restart()?;
        let tag = upload
            .complete(&[parts[0].clone(), parts[1].clone(), again.clone()])
            .await?;
        let expected = [&*bodies[0], &bodies[1], &noise(500, 7)].concat();
        ensure!(upload.get().await? == expected, "{step}");
        store.kill();

        // The last step: renamed, but the upload's directory is still there.
        fs::create_dir_all(&directory)?;
        for name in ["upload.json", "parts.log"] {
            fs::copy(open.join(name), directory.join(name))?;
        }
        store.restart()?;
        ensure!(
            upload.listed().await.is_err(),
            "{step}: a completed upload is open"
        );
        ensure!(store.files("uploads")?.is_empty(), "{step}");
        ensure!(upload.get().await? == expected, "{step}");
        let parts = [parts[0].clone(), parts[1].clone(), again];
        ensure!(upload.complete(&parts).await? == tag, "{step}");
        store.kill();
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_arrives_while_completing_harms_nothing() -> Result<()> {
    let mut store = StoreProcess::start()?;
    let upload = Upload::create(&store).await?;
    let bodies = [noise(PART, 1), noise(PART, 2)];
    let parts = [
        upload.part(1, bodies[0].clone()).await?,
        upload.part(2, bodies[1].clone()).await?,
    ];
    // Most of the first part once more, so that it has a place and is being written.
    let late = noise(PART, 99);
    let request = Request::new(store.target(), "PUT", KEY)
        .query("partNumber", "1")
        .query("uploadId", &upload.id)
        .header("content-length", PART)
        .presign();
    let mut stream = TcpStream::connect(store.target().host()?).await?;
    let mut head = format!(
        "PUT {} HTTP/1.1\r\nconnection: close\r\n",
        request.path_and_query
    );
    for (name, value) in &request.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all(format!("{head}\r\n").as_bytes()).await?;
    stream.write_all(&late[..PART - 10]).await?;
    imgn_testkit::process::eventually(
        "the part is written",
        std::time::Duration::from_secs(20),
        async || {
            let length = fs::metadata(upload.directory(&store).join("data"))?.len();
            Ok((length > 2 * PART as u64).then_some(()))
        },
    )
    .await?;

    upload.complete(&parts).await?;
    stream.write_all(&late[PART - 10..]).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    ensure!(answer.contains("NoSuchUpload"), "{answer}");
    ensure!(upload.get().await? == bodies.concat());
    store.kill();
    store.restart()?;
    ensure!(upload.get().await? == bodies.concat());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn completing_aborting_and_sending_at_once_have_one_outcome() -> Result<()> {
    let store = StoreProcess::start()?;
    for round in 0..12_u64 {
        let upload = Upload::create(&store).await?;
        let body = noise(100_000, round);
        let parts = [upload.part(1, body.clone()).await?];
        let (completed, aborted, sent, _) = tokio::join!(
            upload.complete(&parts),
            async {
                tokio::task::yield_now().await;
                upload.abort().await
            },
            upload.part(1, body.clone()),
            upload.listed(),
        );
        ensure!(
            completed.is_ok() != aborted.is_ok(),
            "round {round}: {completed:?}, {aborted:?}, {sent:?}"
        );
        if completed.is_ok() {
            ensure!(upload.get().await? == body, "round {round}");
            upload
                .client
                .delete_object()
                .bucket(BUCKET)
                .key(KEY)
                .send()
                .await?;
        } else {
            ensure!(
                upload.get().await.is_err(),
                "round {round}: an aborted upload is an object"
            );
        }
        ensure!(upload.listed().await.is_err());
        ensure!(store.files("uploads")?.is_empty() && store.files("tmp")?.is_empty());
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_part_gives_its_room_back() -> Result<()> {
    let store = StoreProcess::start()?;
    let upload = Upload::create(&store).await?;
    for _ in 0..3 {
        let request = Request::new(store.target(), "PUT", KEY)
            .query("partNumber", "2")
            .query("uploadId", &upload.id)
            .header("content-length", PART)
            .presign();
        raw::send_bytes(store.target(), &request, &noise(PART - 1, 1), true).await?;
    }
    let data = upload.directory(&store).join("data");
    imgn_testkit::process::eventually(
        "the room is given back",
        std::time::Duration::from_secs(20),
        async || Ok((fs::metadata(&data)?.len() == 0).then_some(())),
    )
    .await?;
    ensure!(upload.listed().await?.is_empty());
    Ok(())
}

/// A file as the first format had them.
fn first_record(data: &[u8], footer: &str) -> Vec<u8> {
    let length = u32::try_from(footer.len())
        .unwrap_or_default()
        .to_le_bytes();
    [data, footer.as_bytes(), &length, b"IMGNREC1"].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_of_the_first_format_is_opened() -> Result<()> {
    let mut store = StoreProcess::start()?;
    store.kill();
    let id = "0193a1b2c3d47e5f8a9b0c1d2e3f4a5b";
    let directory = store.directory().join("uploads").join(id);
    fs::create_dir(&directory)?;
    let manifest = r#"{"key":"object","initiated":1700000000,"headers":{"content_type":"image/png"},"algorithm":null,"coverage":null}"#;
    fs::write(directory.join("upload.json"), manifest)?;
    let bodies = [noise(PART + 1, 1), noise(PART, 2), noise(10, 3)];
    let tags = ["0".repeat(32), "1".repeat(32)];
    for (number, (body, tag)) in (1..).zip(bodies.iter().zip(&tags)) {
        let footer = format!(r#"{{"modified":1700000001,"etag":"{tag}","checksums":{{}}}}"#);
        let name = format!("{number:05}.part");
        fs::write(directory.join(name), first_record(body, &footer))?;
    }
    fs::write(directory.join("00007.part"), "damaged")?;
    let old = noise(3000, 5);
    let footer = r#"{"key":"old","modified":1700000000,"etag":"a-2","checksums":{},"parts":2}"#;
    let shard = format!("{:02x}", Sha256::digest(b"old")[0]);
    let object = store.directory().join("objects").join(shard).join("k-old");
    fs::write(object, first_record(&old, footer))?;
    // Cut off while it was adopted before.
    fs::write(directory.join("data"), "some of it")?;

    store.restart()?;
    let upload = Upload {
        client: store.target().client(),
        id: id.to_owned(),
    };
    let got = upload
        .client
        .get_object()
        .bucket(BUCKET)
        .key("old")
        .send()
        .await?;
    ensure!(got.body.collect().await?.to_vec() == old);
    let sizes = [(1, PART as i64 + 1), (2, PART as i64)];
    ensure!(upload.listed().await? == sizes);
    let third = upload.part(3, bodies[2].clone()).await?;
    store.kill();
    store.restart()?;
    let named = |number, tag: &String| {
        CompletedPart::builder()
            .part_number(number)
            .e_tag(tag)
            .build()
    };
    upload
        .complete(&[named(1, &tags[0]), named(2, &tags[1]), third])
        .await?;
    ensure!(upload.get().await? == bodies.concat());
    let head = upload
        .client
        .head_object()
        .bucket(BUCKET)
        .key(KEY)
        .send()
        .await?;
    ensure!(head.content_type() == Some("image/png"));
    ensure!(store.files("uploads")?.is_empty());
    Ok(())
}
