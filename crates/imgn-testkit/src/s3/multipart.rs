//! The life of a multipart upload, and every refusal in it.

use anyhow::{Context as _, Result, ensure};
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};

use super::objects::{noise, sha256};
use super::raw::send;
use super::{Case, Context, case, refused, status};

/// S3's minimum for every part but the last.
pub(super) const PART: usize = 5 * 1024 * 1024;

pub(super) const CASES: &[Case] = &[
    case!(life, "parts in any order become the object"),
    case!(gaps, "parts 2, 5 and 9 only"),
    case!(repeated, "a part that is sent again replaces the first"),
    case!(replaced_tag, "the entity tag of a replaced part is refused", SeaweedFs: "it takes it for the new part"),
    case!(
        pages,
        "parts are listed sorted, in pages, with size and entity tag"
    ),
    case!(one_row, "a part sent twice is listed once", SeaweedFs: "it lists a row for each time"),
    case!(
        wrong_checksum,
        "a part with a wrong checksum is refused and the old part stays"
    ),
    case!(numbers, "part numbers are 1 to 10000"),
    case!(negative_number, "a negative part number", SeaweedFs: "it takes it"),
    case!(other_key, "an upload id is worth nothing with another key"),
    case!(unknown, "an unknown upload id", SeaweedFs: "it answers 400 for an id it cannot have made"),
    case!(abort, "after an abort nothing is left", SeaweedFs: "aborting twice succeeds"),
    case!(uploads, "open uploads are listed, in pages"),
    case!(headers, "headers given at the start are the object's"),
];

impl Context {
    pub(super) async fn create(&self, key: &str) -> Result<String> {
        let created = self
            .client
            .create_multipart_upload()
            .bucket(self.bucket())
            .key(key)
            .send()
            .await?;
        Ok(created.upload_id().context("an upload id")?.to_owned())
    }

    /// Sends a part; answers what completing needs.
    pub(super) async fn part(
        &self,
        key: &str,
        id: &str,
        number: i32,
        body: Vec<u8>,
    ) -> Result<CompletedPart> {
        let part = self
            .client
            .upload_part()
            .bucket(self.bucket())
            .key(key)
            .upload_id(id);
        let sent = part.part_number(number).body(body.into()).send().await?;
        let etag = sent.e_tag().context("an entity tag")?;
        Ok(CompletedPart::builder()
            .part_number(number)
            .e_tag(etag)
            .build())
    }

    pub(super) fn completion(
        &self,
        key: &str,
        id: &str,
        parts: &[CompletedPart],
    ) -> aws_sdk_s3::operation::complete_multipart_upload::builders::CompleteMultipartUploadFluentBuilder{
        let parts = CompletedMultipartUpload::builder()
            .set_parts(Some(parts.to_vec()))
            .build();
        let complete = self
            .client
            .complete_multipart_upload()
            .bucket(self.bucket());
        complete.key(key).upload_id(id).multipart_upload(parts)
    }

    /// Numbers and sizes of all parts, by pages of `size`.
    pub(super) async fn parts(&self, key: &str, id: &str, size: i32) -> Result<Vec<(i32, i64)>> {
        let mut found = Vec::new();
        let mut marker = None;
        loop {
            let list = self
                .client
                .list_parts()
                .bucket(self.bucket())
                .key(key)
                .upload_id(id);
            let page = list
                .max_parts(size)
                .set_part_number_marker(marker)
                .send()
                .await?;
            ensure!(page.parts().len() <= usize::try_from(size)?);
            for part in page.parts() {
                ensure!(
                    part.e_tag().is_some_and(|etag| etag.len() == 34),
                    "{part:?}"
                );
                found.push((
                    part.part_number().context("a number")?,
                    part.size().context("a size")?,
                ));
            }
            if page.is_truncated() != Some(true) {
                return Ok(found);
            }
            marker = page.next_part_number_marker().map(Into::into);
            ensure!(marker.is_some(), "a truncated page without a marker");
        }
    }
}

async fn life(c: Context) -> Result<()> {
    let key = c.key("object");
    let id = c.create(&key).await?;
    let bodies = [noise(PART, 11), noise(PART + 1, 12), noise(1000, 13)];
    let mut parts = Vec::new();
    for number in [3, 1, 2] {
        let body = bodies[number - 1].clone();
        parts.push(c.part(&key, &id, i32::try_from(number)?, body).await?);
    }
    parts.sort_by_key(CompletedPart::part_number);
    let done = c.completion(&key, &id, &parts).send().await?;
    let etag = done.e_tag().context("an entity tag")?;
    ensure!(etag.ends_with("-3\""), "{etag}");
    c.expect(&key, Some(&bodies.concat())).await?;
    let head = c
        .client
        .head_object()
        .bucket(c.bucket())
        .key(&key)
        .send()
        .await?;
    ensure!(head.e_tag() == Some(etag));
    let range = c
        .request("GET", &key)
        .unsigned("range", format!("bytes={}-{}", PART - 2, PART + 1));
    let answer = send(&c.target, range.presign(), "").await?;
    status(&answer, &[206])?;
    ensure!(answer.body == bodies.concat()[PART - 2..PART + 2]);
    Ok(())
}

async fn gaps(c: Context) -> Result<()> {
    let key = c.key("object");
    let id = c.create(&key).await?;
    let mut parts = Vec::new();
    for number in [2, 5, 9] {
        parts.push(
            c.part(&key, &id, number, vec![u8::try_from(number)?; PART])
                .await?,
        );
    }
    c.completion(&key, &id, &parts).send().await?;
    c.expect(
        &key,
        Some(&[vec![2; PART], vec![5; PART], vec![9; PART]].concat()),
    )
    .await
}

async fn repeated(c: Context) -> Result<()> {
    let key = c.key("object");
    let id = c.create(&key).await?;
    c.part(&key, &id, 1, b"old".to_vec()).await?;
    let new = c.part(&key, &id, 1, b"newer".to_vec()).await?;
    c.completion(&key, &id, &[new]).send().await?;
    c.expect(&key, Some(b"newer")).await
}

async fn replaced_tag(c: Context) -> Result<()> {
    let key = c.key("object");
    let id = c.create(&key).await?;
    let old = c.part(&key, &id, 1, b"old".to_vec()).await?;
    c.part(&key, &id, 1, b"newer".to_vec()).await?;
    refused(
        c.completion(&key, &id, &[old]).send().await,
        &["InvalidPart"],
    )?;
    c.expect(&key, None).await
}

async fn pages(c: Context) -> Result<()> {
    let key = c.key("object");
    let id = c.create(&key).await?;
    for number in [7, 3, 10_000, 1, 5] {
        c.part(&key, &id, number, vec![0; usize::try_from(number)?])
            .await?;
    }
    let expected = [1, 3, 5, 7, 10_000].map(|number| (number, i64::from(number)));
    for size in [1, 2, 5, 1000] {
        let found = c.parts(&key, &id, size).await?;
        ensure!(found == expected, "pages of {size}: {found:?}");
    }
    c.client
        .abort_multipart_upload()
        .bucket(c.bucket())
        .key(&key)
        .upload_id(&id)
        .send()
        .await?;
    Ok(())
}

async fn one_row(c: Context) -> Result<()> {
    let key = c.key("object");
    let id = c.create(&key).await?;
    c.part(&key, &id, 1, b"old".to_vec()).await?;
    c.part(&key, &id, 1, b"newer".to_vec()).await?;
    let found = c.parts(&key, &id, 1000).await?;
    ensure!(found == [(1, 5)], "{found:?}");
    Ok(())
}

async fn wrong_checksum(c: Context) -> Result<()> {
    let key = c.key("object");
    let id = c.create(&key).await?;
    let part = c.part(&key, &id, 1, b"good".to_vec()).await?;
    let other = sha256(b"other");
    for (name, value) in [
        ("x-amz-checksum-sha256", other.as_str()),
        ("content-md5", "AAAAAAAAAAAAAAAAAAAAAA=="),
        ("x-amz-checksum-crc32", "AAAAAA=="),
    ] {
        for number in ["1", "2"] {
            let request = c
                .request("PUT", &key)
                .query("partNumber", number)
                .query("uploadId", &id);
            let answer = send(&c.target, request.header(name, value).presign(), "wrong").await?;
            status(&answer, &[400]).context(name)?;
        }
    }
    let found = c.parts(&key, &id, 1000).await?;
    ensure!(found == [(1, 4)], "{found:?}");
    c.completion(&key, &id, &[part]).send().await?;
    c.expect(&key, Some(b"good")).await
}

async fn numbers(c: Context) -> Result<()> {
    let key = c.key("object");
    let id = c.create(&key).await?;
    for number in ["0", "10001"] {
        let request = c
            .request("PUT", &key)
            .query("partNumber", number)
            .query("uploadId", &id);
        status(&send(&c.target, request.presign(), "x").await?, &[400]).context(number)?;
    }
    let last = c.part(&key, &id, 10_000, b"x".to_vec()).await?;
    c.completion(&key, &id, &[last]).send().await?;
    Ok(())
}

async fn negative_number(c: Context) -> Result<()> {
    let key = c.key("object");
    let id = c.create(&key).await?;
    let request = c
        .request("PUT", &key)
        .query("partNumber", "-1")
        .query("uploadId", &id);
    status(&send(&c.target, request.presign(), "x").await?, &[400])
}

async fn other_key(c: Context) -> Result<()> {
    let (key, other) = (c.key("object"), c.key("other"));
    let id = c.create(&key).await?;
    let part = c.part(&key, &id, 1, b"x".to_vec()).await?;
    let request = c
        .request("PUT", &other)
        .query("partNumber", "1")
        .query("uploadId", &id);
    status(&send(&c.target, request.presign(), "y").await?, &[404])?;
    let list = c
        .client
        .list_parts()
        .bucket(c.bucket())
        .key(&other)
        .upload_id(&id);
    refused(list.send().await, &["NoSuchUpload"])?;
    refused(
        c.completion(&other, &id, std::slice::from_ref(&part))
            .send()
            .await,
        &["NoSuchUpload"],
    )?;
    c.expect(&other, None).await?;
    c.completion(&key, &id, &[part]).send().await?;
    c.expect(&key, Some(b"x")).await
}

async fn unknown(c: Context) -> Result<()> {
    let key = c.key("object");
    let id = c.create(&key).await?;
    let part = c.part(&key, &id, 1, b"x".to_vec()).await?;
    for unknown in [
        "nothing",
        "../../objects",
        "00000000000000000000000000000000",
    ] {
        let request = c
            .request("PUT", &key)
            .query("partNumber", "1")
            .query("uploadId", unknown);
        status(&send(&c.target, request.presign(), "y").await?, &[404])?;
        let list = c
            .client
            .list_parts()
            .bucket(c.bucket())
            .key(&key)
            .upload_id(unknown);
        refused(list.send().await, &["NoSuchUpload"])?;
        let complete = c.completion(&key, unknown, std::slice::from_ref(&part));
        refused(complete.send().await, &["NoSuchUpload"])?;
        let abort = c
            .client
            .abort_multipart_upload()
            .bucket(c.bucket())
            .key(&key);
        refused(abort.upload_id(unknown).send().await, &["NoSuchUpload"])?;
    }
    Ok(())
}

async fn abort(c: Context) -> Result<()> {
    let key = c.key("object");
    let id = c.create(&key).await?;
    let part = c.part(&key, &id, 1, b"x".to_vec()).await?;
    let abort = || {
        c.client
            .abort_multipart_upload()
            .bucket(c.bucket())
            .key(&key)
            .upload_id(&id)
    };
    abort().send().await?;
    let request = c
        .request("PUT", &key)
        .query("partNumber", "1")
        .query("uploadId", &id);
    status(&send(&c.target, request.presign(), "y").await?, &[404])?;
    let list = c
        .client
        .list_parts()
        .bucket(c.bucket())
        .key(&key)
        .upload_id(&id);
    refused(list.send().await, &["NoSuchUpload"])?;
    refused(
        c.completion(&key, &id, &[part]).send().await,
        &["NoSuchUpload"],
    )?;
    c.expect(&key, None).await?;
    refused(abort().send().await, &["NoSuchUpload"])
}

async fn uploads(c: Context) -> Result<()> {
    let mut expected = Vec::new();
    for name in ["a", "b", "b", "c"] {
        let key = c.key(name);
        let id = c.create(&key).await?;
        expected.push((key, id));
    }
    for size in [1, 3, 100] {
        let mut found = Vec::new();
        let (mut key_marker, mut id_marker) = (None, None);
        loop {
            let list = c
                .client
                .list_multipart_uploads()
                .bucket(c.bucket())
                .prefix(&c.prefix);
            let list = list
                .max_uploads(size)
                .set_key_marker(key_marker)
                .set_upload_id_marker(id_marker);
            let page = list.send().await?;
            for upload in page.uploads() {
                ensure!(upload.initiated().is_some());
                let (key, id) = (
                    upload.key().unwrap_or_default(),
                    upload.upload_id().unwrap_or_default(),
                );
                found.push((key.to_owned(), id.to_owned()));
            }
            if page.is_truncated() != Some(true) {
                break;
            }
            key_marker = page.next_key_marker().map(Into::into);
            id_marker = page.next_upload_id_marker().map(Into::into);
        }
        found.sort();
        let mut sorted = expected.clone();
        sorted.sort();
        ensure!(found == sorted, "pages of {size}: {found:?}");
    }
    for (key, id) in &expected {
        c.client
            .abort_multipart_upload()
            .bucket(c.bucket())
            .key(key)
            .upload_id(id)
            .send()
            .await?;
    }
    let list = c
        .client
        .list_multipart_uploads()
        .bucket(c.bucket())
        .prefix(&c.prefix)
        .send()
        .await?;
    ensure!(list.uploads().is_empty());
    Ok(())
}

async fn headers(c: Context) -> Result<()> {
    let key = c.key("object");
    let create = c
        .client
        .create_multipart_upload()
        .bucket(c.bucket())
        .key(&key);
    let created = create
        .content_type("image/webp")
        .metadata("a", "b")
        .send()
        .await?;
    let id = created.upload_id().context("an upload id")?;
    let part = c.part(&key, id, 1, b"x".to_vec()).await?;
    c.completion(&key, id, &[part]).send().await?;
    let head = c
        .client
        .head_object()
        .bucket(c.bucket())
        .key(&key)
        .send()
        .await?;
    ensure!(head.content_type() == Some("image/webp"));
    ensure!(
        head.metadata()
            .and_then(|metadata| metadata.get("a"))
            .map(String::as_str)
            == Some("b")
    );
    Ok(())
}
