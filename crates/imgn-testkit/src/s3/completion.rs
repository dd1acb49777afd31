//! Completing a multipart upload: what S3 refuses, what it repeats, which checksums it makes.

use anyhow::{Context as _, Result, ensure};
use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumType, CompletedPart};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use futures_util::future::join_all;
use sha2::{Digest as _, Sha256};

use super::multipart::PART;
use super::objects::{noise, sha256};
use super::raw::send;
use super::{Case, Context, case, refused, success};

pub(super) const CASES: &[Case] = &[
    case!(
        completion_refused,
        "a refused completion leaves the upload as it was"
    ),
    case!(no_parts, "a completion without parts is refused", SeaweedFs: "it answers that there is no upload"),
    case!(wrong_order, "parts named twice or out of order are refused", SeaweedFs: "it takes a part that is named twice"),
    case!(
        too_small,
        "a part under 5 MiB that is not the last is refused"
    ),
    case!(complete_again, "a repeated completion gets the same answer"),
    case!(
        create_once,
        "a completion with If-None-Match: * does not replace"
    ),
    case!(create_race, "completions of one key with If-None-Match: * have one winner", SeaweedFs: "its check and its write are not one step"),
    case!(composite, "a checksum over the parts' checksums", SeaweedFs: "it lists no checksums of parts"),
    case!(full_object, "a checksum over the whole object"),
    case!(replaces, "the object is not replaced before completion"),
];

async fn completion_refused(c: Context) -> Result<()> {
    let key = c.key("object");
    let id = c.create(&key).await?;
    let one = c.part(&key, &id, 1, vec![1; PART]).await?;
    let two = c.part(&key, &id, 2, vec![2; PART]).await?;
    let wrong = CompletedPart::builder()
        .part_number(2)
        .e_tag("\"d41d8cd98f00b204e9800998ecf8427e\"")
        .build();
    let missing = CompletedPart::builder()
        .part_number(3)
        .e_tag(one.e_tag().unwrap_or_default())
        .build();
    let refusals: [(&[CompletedPart], &[&str]); 2] = [
        (&[one.clone(), wrong], &["InvalidPart"]),
        (&[one.clone(), two.clone(), missing], &["InvalidPart"]),
    ];
    for (parts, codes) in refusals {
        refused(c.completion(&key, &id, parts).send().await, codes)?;
        c.expect(&key, None).await?;
    }
    c.completion(&key, &id, &[one, two]).send().await?;
    c.expect(&key, Some(&[vec![1; PART], vec![2; PART]].concat()))
        .await
}

async fn no_parts(c: Context) -> Result<()> {
    let key = c.key("object");
    let id = c.create(&key).await?;
    let part = c.part(&key, &id, 1, b"x".to_vec()).await?;
    let none = c.completion(&key, &id, &[]).send().await;
    refused(none, &["MalformedXML", "InvalidRequest", "InvalidPart"])?;
    c.completion(&key, &id, &[part]).send().await?;
    Ok(())
}

async fn wrong_order(c: Context) -> Result<()> {
    let key = c.key("object");
    let id = c.create(&key).await?;
    let one = c.part(&key, &id, 1, vec![1; PART]).await?;
    let two = c.part(&key, &id, 2, vec![2; PART]).await?;
    let orders = [
        ("descending", [two, one.clone()]),
        ("twice", [one.clone(), one]),
    ];
    for (what, parts) in orders {
        let complete = c.completion(&key, &id, &parts);
        refused(complete.send().await, &["InvalidPartOrder"]).context(what)?;
        c.expect(&key, None).await?;
    }
    Ok(())
}

async fn too_small(c: Context) -> Result<()> {
    let key = c.key("object");
    let id = c.create(&key).await?;
    let small = c.part(&key, &id, 1, vec![1; PART - 1]).await?;
    let last = c.part(&key, &id, 2, vec![2; 10]).await?;
    refused(
        c.completion(&key, &id, &[small, last.clone()]).send().await,
        &["EntityTooSmall"],
    )?;
    let large = c.part(&key, &id, 1, vec![1; PART]).await?;
    c.completion(&key, &id, &[large, last]).send().await?;
    Ok(())
}

async fn complete_again(c: Context) -> Result<()> {
    let key = c.key("object");
    let id = c.create(&key).await?;
    let part = c.part(&key, &id, 1, b"once".to_vec()).await?;
    let first = c
        .completion(&key, &id, std::slice::from_ref(&part))
        .send()
        .await?;
    let again = c
        .completion(&key, &id, std::slice::from_ref(&part))
        .send()
        .await?;
    ensure!(first.e_tag() == again.e_tag());
    c.expect(&key, Some(b"once")).await
}

async fn create_once(c: Context) -> Result<()> {
    let key = c.key("object");
    let id = c.create(&key).await?;
    let part = c.part(&key, &id, 1, b"multipart".to_vec()).await?;
    c.put(&key, "put first").await?;
    let parts = std::slice::from_ref(&part);
    let late = c
        .completion(&key, &id, parts)
        .if_none_match("*")
        .send()
        .await;
    refused(late, &["PreconditionFailed"])?;
    c.expect(&key, Some(b"put first")).await?;
    c.client
        .delete_object()
        .bucket(c.bucket())
        .key(&key)
        .send()
        .await?;
    c.completion(&key, &id, parts)
        .if_none_match("*")
        .send()
        .await?;
    c.expect(&key, Some(b"multipart")).await
}

async fn create_race(c: Context) -> Result<()> {
    let key = c.key("object");
    let mut racers = Vec::new();
    for racer in 0..4_u8 {
        let id = c.create(&key).await?;
        let part = c.part(&key, &id, 1, vec![racer; 100]).await?;
        racers.push(c.completion(&key, &id, &[part]).if_none_match("*").send());
    }
    let answers = join_all(racers).await;
    let winners: Vec<_> = (0_u8..)
        .zip(&answers)
        .filter(|(_, answer)| answer.is_ok())
        .collect();
    ensure!(winners.len() == 1, "{} winners", winners.len());
    c.expect(&key, Some(&[winners[0].0; 100])).await
}

async fn composite(c: Context) -> Result<()> {
    let key = c.key("object");
    let create = c
        .client
        .create_multipart_upload()
        .bucket(c.bucket())
        .key(&key);
    let created = create
        .checksum_algorithm(ChecksumAlgorithm::Sha256)
        .send()
        .await?;
    let id = created.upload_id().context("an upload id")?;
    let bodies = [noise(PART, 21), noise(99, 22)];
    let mut parts = Vec::new();
    for (number, body) in (1..).zip(&bodies) {
        let request = c
            .request("PUT", &key)
            .query("partNumber", &number.to_string())
            .query("uploadId", id);
        let request = request
            .header("x-amz-checksum-sha256", sha256(body))
            .presign();
        let answer = send(&c.target, request, body.clone()).await?;
        success(&answer)?;
        let part = CompletedPart::builder()
            .part_number(number)
            .e_tag(answer.header("etag"));
        parts.push(part.checksum_sha256(sha256(body)).build());
    }
    let listed = c
        .client
        .list_parts()
        .bucket(c.bucket())
        .key(&key)
        .upload_id(id)
        .send()
        .await?;
    let sums: Vec<_> = listed
        .parts()
        .iter()
        .filter_map(|part| part.checksum_sha256())
        .collect();
    ensure!(sums == [sha256(&bodies[0]), sha256(&bodies[1])], "{sums:?}");
    let mut forged = parts.clone();
    forged[1] = CompletedPart::builder()
        .part_number(2)
        .set_e_tag(parts[1].e_tag().map(Into::into))
        .checksum_sha256(sha256(b"forged"))
        .build();
    refused(
        c.completion(&key, id, &forged).send().await,
        &["InvalidPart", "BadDigest"],
    )?;
    let done = c.completion(&key, id, &parts).send().await?;
    let hashes = [Sha256::digest(&bodies[0]), Sha256::digest(&bodies[1])].concat();
    let expected = format!("{}-2", BASE64_STANDARD.encode(Sha256::digest(hashes)));
    ensure!(
        done.checksum_sha256() == Some(&expected),
        "{:?}",
        done.checksum_sha256()
    );
    Ok(())
}

async fn full_object(c: Context) -> Result<()> {
    let key = c.key("object");
    let create = c
        .client
        .create_multipart_upload()
        .bucket(c.bucket())
        .key(&key);
    let create = create.checksum_algorithm(ChecksumAlgorithm::Crc32);
    let created = create
        .checksum_type(ChecksumType::FullObject)
        .send()
        .await?;
    let id = created.upload_id().context("an upload id")?;
    let mut parts = Vec::new();
    for (number, body) in [(1, "123".repeat(PART / 3 + 1)), (2, "456789".to_owned())] {
        let part = c
            .client
            .upload_part()
            .bucket(c.bucket())
            .key(&key)
            .upload_id(id)
            .part_number(number);
        let sent = part
            .checksum_algorithm(ChecksumAlgorithm::Crc32)
            .body(body.into_bytes().into())
            .send()
            .await?;
        let part = CompletedPart::builder()
            .part_number(number)
            .set_e_tag(sent.e_tag().map(Into::into));
        parts.push(
            part.set_checksum_crc32(sent.checksum_crc32().map(Into::into))
                .build(),
        );
    }
    let wrong = c
        .completion(&key, id, &parts)
        .checksum_crc32("AAAAAA==")
        .checksum_type(ChecksumType::FullObject);
    refused(wrong.send().await, &["BadDigest", "InvalidRequest"])?;
    c.expect(&key, None).await?;
    let done = c
        .completion(&key, id, &parts)
        .checksum_type(ChecksumType::FullObject)
        .send()
        .await?;
    let sum = done.checksum_crc32().context("a checksum")?;
    // The same bytes in one piece have the same checksum.
    let whole = c.get(&key).await?.context("an object")?;
    let put = c.client.put_object().bucket(c.bucket()).key(c.key("whole"));
    let put = put
        .checksum_algorithm(ChecksumAlgorithm::Crc32)
        .body(whole.into())
        .send()
        .await?;
    ensure!(put.checksum_crc32() == Some(sum), "{sum}");
    Ok(())
}

async fn replaces(c: Context) -> Result<()> {
    let key = c.key("object");
    c.put(&key, "old").await?;
    let id = c.create(&key).await?;
    let part = c.part(&key, &id, 1, b"new".to_vec()).await?;
    c.expect(&key, Some(b"old")).await?;
    let page = c
        .client
        .list_objects_v2()
        .bucket(c.bucket())
        .prefix(&c.prefix)
        .send()
        .await?;
    ensure!(page.contents().len() == 1, "parts are listed as objects");
    c.completion(&key, &id, &[part]).send().await?;
    c.expect(&key, Some(b"new")).await
}
