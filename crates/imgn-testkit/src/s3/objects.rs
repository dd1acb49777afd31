//! Objects: put, get, head, copy, delete; checksums, ranges, conditions, keys.

use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, ensure};
use aws_sdk_s3::primitives::{ByteStream, DateTime};
use aws_sdk_s3::types::{Delete, MetadataDirective, ObjectIdentifier};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use futures_util::future::join_all;
use sha2::{Digest as _, Sha256};

use super::raw::send;
use super::{Case, Context, case, code, refused, status, success};

pub(super) const CASES: &[Case] = &[
    case!(life, "an object is put, read, replaced and deleted"),
    case!(headers, "headers and metadata come back"),
    case!(empty, "an empty object is an object"),
    case!(large, "a large object comes back byte for byte"),
    case!(ranges, "ranges"),
    case!(odd_ranges, "a range that makes no sense is ignored", SeaweedFs: "it refuses it"),
    case!(conditions, "conditions of a read"),
    case!(overrides, "the headers of an answer can be set in the URL"),
    case!(create_once, "If-None-Match: * creates once"),
    case!(create_race, "a race of If-None-Match: * has one winner"),
    case!(
        replace_if,
        "If-Match replaces what is there and nothing else"
    ),
    case!(batch, "objects are deleted in a batch"),
    case!(copy, "an object is copied"),
    case!(prefix_of_another, "a key beside keys below it"),
    case!(plain_keys, "keys with unusual characters"),
    case!(odd_keys, "keys that look like paths", SeaweedFs: "it cleans and refuses some paths"),
    case!(longest_key, "a key of 1024 bytes, and no longer", SeaweedFs: "it refuses long names of one piece"),
];

pub(super) fn sha256(body: &[u8]) -> String {
    BASE64_STANDARD.encode(Sha256::digest(body))
}

/// Bytes that no two keys share and no compressor likes.
pub(super) fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

async fn life(c: Context) -> Result<()> {
    let key = c.key("object");
    c.expect(&key, None).await?;
    let first = c.put(&key, "first").await?;
    c.expect(&key, Some(b"first")).await?;
    let second = c.put(&key, "second, longer").await?;
    ensure!(first != second, "two bodies have one entity tag");
    ensure!(
        first == "\"8b04d5e3775d298e78455efc5ca404d5\"",
        "{first} is not the MD5 of the body"
    );
    let head = c
        .client
        .head_object()
        .bucket(c.bucket())
        .key(&key)
        .send()
        .await?;
    ensure!(head.content_length() == Some(14) && head.e_tag() == Some(&second));
    ensure!(head.last_modified().is_some());
    for _ in 0..2 {
        c.client
            .delete_object()
            .bucket(c.bucket())
            .key(&key)
            .send()
            .await?;
    }
    c.expect(&key, None).await?;
    let head = c
        .client
        .head_object()
        .bucket(c.bucket())
        .key(&key)
        .send()
        .await;
    refused(head, &["NotFound"])
}

async fn headers(c: Context) -> Result<()> {
    let key = c.key("object");
    let put = c.client.put_object().bucket(c.bucket()).key(&key);
    put.content_type("image/png")
        .content_disposition("inline; filename=\"a b.png\"")
        .cache_control("max-age=60")
        .metadata("camera", "Example 1")
        .body(ByteStream::from_static(b"x"))
        .send()
        .await?;
    let got = c
        .client
        .get_object()
        .bucket(c.bucket())
        .key(&key)
        .send()
        .await?;
    ensure!(got.content_type() == Some("image/png"));
    ensure!(got.content_disposition() == Some("inline; filename=\"a b.png\""));
    ensure!(got.cache_control() == Some("max-age=60"));
    ensure!(
        got.content_encoding().is_none_or(str::is_empty),
        "aws-chunked was stored"
    );
    let camera = got.metadata().and_then(|metadata| metadata.get("camera"));
    ensure!(camera.map(String::as_str) == Some("Example 1"));
    Ok(())
}

async fn empty(c: Context) -> Result<()> {
    let key = c.key("empty");
    let etag = c.put(&key, "").await?;
    ensure!(etag == "\"d41d8cd98f00b204e9800998ecf8427e\"");
    c.expect(&key, Some(b"")).await
}

async fn large(c: Context) -> Result<()> {
    let key = c.key("large");
    let body = noise(24 * 1024 * 1024 + 17, 1);
    let request = c.request("PUT", &key).header("content-length", body.len());
    let request = request.header("x-amz-checksum-sha256", sha256(&body));
    success(&send(&c.target, request.presign(), body.clone()).await?)?;
    c.expect(&key, Some(&body)).await
}

async fn ranges(c: Context) -> Result<()> {
    let key = c.key("object");
    c.put(&key, "0123456789").await?;
    let cases = [
        ("bytes=0-3", "0123", "bytes 0-3/10"),
        ("bytes=4-", "456789", "bytes 4-9/10"),
        ("bytes=-3", "789", "bytes 7-9/10"),
        ("bytes=8-100", "89", "bytes 8-9/10"),
        ("bytes=0-9", "0123456789", "bytes 0-9/10"),
        ("bytes=-100", "0123456789", "bytes 0-9/10"),
    ];
    for (range, body, content_range) in cases {
        let request = c.request("GET", &key).unsigned("range", range);
        let answer = send(&c.target, request.presign(), "").await?;
        status(&answer, &[206]).context(range)?;
        ensure!(answer.body == body.as_bytes(), "{range}: {:?}", answer.body);
        ensure!(answer.header("content-range") == content_range, "{range}");
    }
    let request = c.request("GET", &key).unsigned("range", "bytes=10-");
    status(&send(&c.target, request.presign(), "").await?, &[416])
}

async fn odd_ranges(c: Context) -> Result<()> {
    let key = c.key("object");
    c.put(&key, "0123456789").await?;
    for range in ["bytes=5-2", "lines=1-2", "bytes=a-b", "bytes"] {
        let request = c.request("GET", &key).unsigned("range", range);
        let answer = send(&c.target, request.presign(), "").await?;
        status(&answer, &[200]).context(range)?;
        ensure!(answer.body == "0123456789", "{range}");
    }
    Ok(())
}

async fn conditions(c: Context) -> Result<()> {
    let key = c.key("object");
    let etag = c.put(&key, "body").await?;
    let get = || c.client.get_object().bucket(c.bucket()).key(&key);
    let now = SystemTime::now();
    let (past, future) = (
        now - Duration::from_secs(3600),
        now + Duration::from_secs(3600),
    );
    get().if_match(&etag).send().await?;
    get().if_none_match("\"other\"").send().await?;
    get().if_modified_since(DateTime::from(past)).send().await?;
    get()
        .if_unmodified_since(DateTime::from(future))
        .send()
        .await?;
    let statuses = [
        (get().if_match("\"other\"").send().await, 412),
        (get().if_none_match(&etag).send().await, 304),
        (
            get().if_unmodified_since(DateTime::from(past)).send().await,
            412,
        ),
    ];
    for (answer, expected) in statuses {
        let error = answer.err().context("a refusal")?;
        let seen = error.raw_response().map(|raw| raw.status().as_u16());
        ensure!(seen == Some(expected), "{seen:?}, not {expected}");
    }
    let request = c.request("GET", &key).unsigned("if-none-match", &etag);
    let answer = send(&c.target, request.presign(), "").await?;
    status(&answer, &[304])?;
    ensure!(
        answer.body.is_empty() && answer.header("etag") == etag,
        "{:?}",
        answer.headers
    );
    Ok(())
}

async fn overrides(c: Context) -> Result<()> {
    let key = c.key("object");
    c.put(&key, "0123456789").await?;
    for range in ["bytes=0-", "bytes=2-3"] {
        let request = c.request("GET", &key).unsigned("range", range);
        let request = request.query("response-content-type", "image/webp");
        let request = request.query(
            "response-content-disposition",
            "attachment; filename=\"x.webp\"",
        );
        let answer = send(&c.target, request.presign(), "").await?;
        ensure!(answer.header("content-type") == "image/webp", "{range}");
        ensure!(
            answer.header("content-disposition") == "attachment; filename=\"x.webp\"",
            "{range}"
        );
    }
    Ok(())
}

async fn create_once(c: Context) -> Result<()> {
    let key = c.key("object");
    let create = |body: &'static str| {
        let request = c
            .request("PUT", &key)
            .header("if-none-match", "*")
            .presign();
        let target = c.target.clone();
        async move { send(&target, request, body).await }
    };
    success(&create("first").await?)?;
    status(&create("second").await?, &[412])?;
    c.expect(&key, Some(b"first")).await?;
    c.client
        .delete_object()
        .bucket(c.bucket())
        .key(&key)
        .send()
        .await?;
    success(&create("third").await?)
}

async fn create_race(c: Context) -> Result<()> {
    for round in 0..8 {
        let key = c.key(&format!("race-{round}"));
        let racers = (0..8_u8).map(|racer| {
            let request = c
                .request("PUT", &key)
                .header("if-none-match", "*")
                .presign();
            let target = c.target.clone();
            tokio::spawn(async move { send(&target, request, vec![racer; 2000]).await })
        });
        let mut winners = Vec::new();
        for (racer, answer) in (0_u8..).zip(join_all(racers).await) {
            match answer??.status.as_u16() {
                200 => winners.push(racer),
                // Real S3 may answer a racer 409 and have it try again.
                409 | 412 => {}
                other => anyhow::bail!("{other} is no answer to a race"),
            }
        }
        ensure!(
            winners.len() == 1,
            "round {round} has the winners {winners:?}"
        );
        c.expect(&key, Some(&vec![winners[0]; 2000])).await?;
    }
    Ok(())
}

async fn replace_if(c: Context) -> Result<()> {
    let key = c.key("object");
    let put = |etag: &str| {
        c.client
            .put_object()
            .bucket(c.bucket())
            .key(&key)
            .if_match(etag)
    };
    let etag = c.put(&key, "one").await?;
    put(&etag)
        .body(ByteStream::from_static(b"two"))
        .send()
        .await?;
    let late = put(&etag)
        .body(ByteStream::from_static(b"three"))
        .send()
        .await;
    refused(late, &["PreconditionFailed"])?;
    c.expect(&key, Some(b"two")).await
}

async fn batch(c: Context) -> Result<()> {
    let mut delete = Delete::builder();
    for name in ["a", "b", "never there"] {
        delete = delete.objects(ObjectIdentifier::builder().key(c.key(name)).build()?);
    }
    c.put(&c.key("a"), "a").await?;
    c.put(&c.key("b"), "b").await?;
    c.put(&c.key("c"), "c").await?;
    let request = c
        .client
        .delete_objects()
        .bucket(c.bucket())
        .delete(delete.build()?);
    let answer = request.send().await?;
    ensure!(answer.errors().is_empty(), "{:?}", answer.errors());
    c.expect(&c.key("a"), None).await?;
    c.expect(&c.key("b"), None).await?;
    c.expect(&c.key("c"), Some(b"c")).await
}

async fn copy(c: Context) -> Result<()> {
    let (from, to) = (c.key("from"), c.key("to"));
    let put = c
        .client
        .put_object()
        .bucket(c.bucket())
        .key(&from)
        .content_type("image/gif");
    put.body(ByteStream::from_static(b"bytes")).send().await?;
    let source = format!("{}/{from}", c.bucket());
    let copy = || {
        c.client
            .copy_object()
            .bucket(c.bucket())
            .copy_source(&source)
    };
    copy().key(&to).send().await?;
    c.expect(&to, Some(b"bytes")).await?;
    let head = c
        .client
        .head_object()
        .bucket(c.bucket())
        .key(&to)
        .send()
        .await?;
    ensure!(head.content_type() == Some("image/gif"));
    copy()
        .key(&to)
        .metadata_directive(MetadataDirective::Replace)
        .content_type("image/png")
        .send()
        .await?;
    let head = c
        .client
        .head_object()
        .bucket(c.bucket())
        .key(&to)
        .send()
        .await?;
    ensure!(head.content_type() == Some("image/png"));
    let missing = c.client.copy_object().bucket(c.bucket()).key(&to);
    let missing = missing
        .copy_source(format!("{}/{}", c.bucket(), c.key("missing")))
        .send()
        .await;
    refused(missing, &["NoSuchKey"])
}

async fn prefix_of_another(c: Context) -> Result<()> {
    for key in ["a", "a/b", "a/b/c"] {
        c.put(&c.key(key), key).await?;
    }
    for key in ["a", "a/b", "a/b/c"] {
        c.expect(&c.key(key), Some(key.as_bytes())).await?;
    }
    c.client
        .delete_object()
        .bucket(c.bucket())
        .key(c.key("a/b"))
        .send()
        .await?;
    c.expect(&c.key("a"), Some(b"a")).await?;
    c.expect(&c.key("a/b/c"), Some(b"a/b/c")).await
}

async fn keys(c: &Context, keys: &[&str]) -> Result<()> {
    for key in keys {
        let key = c.key(key);
        c.put(&key, key.as_str())
            .await
            .with_context(|| key.clone())?;
    }
    for key in keys {
        let key = c.key(key);
        c.expect(&key, Some(key.as_bytes())).await?;
        c.client
            .delete_object()
            .bucket(c.bucket())
            .key(&key)
            .send()
            .await?;
        c.expect(&key, None).await?;
    }
    Ok(())
}

async fn plain_keys(c: Context) -> Result<()> {
    let zoo = [
        "with space",
        "plus+and%25",
        "ä/ö/日本",
        "UPPER",
        "upper",
        "(a)!'*",
        "a=b&c;d",
        "k-a",
        "h-a",
        "con",
        "x.",
    ];
    keys(&c, &zoo).await
}

async fn odd_keys(c: Context) -> Result<()> {
    keys(
        &c,
        &[
            "../x",
            "../../../../x",
            "a/../b",
            "./a",
            "a//b",
            "/a",
            "a\\b",
            "..",
            "?*<>|\":",
            "\u{7f}\u{1}",
        ],
    )
    .await
}

async fn longest_key(c: Context) -> Result<()> {
    let longest = c.key(&"k".repeat(1024 - c.prefix.len()));
    c.put(&longest, "longest").await?;
    c.expect(&longest, Some(b"longest")).await?;
    let listed = c
        .client
        .list_objects_v2()
        .bucket(c.bucket())
        .prefix(&c.prefix)
        .send()
        .await?;
    ensure!(
        listed
            .contents()
            .iter()
            .any(|object| object.key() == Some(&longest))
    );
    let longer = format!("{longest}k");
    let put = c.client.put_object().bucket(c.bucket()).key(&longer);
    match put.body(ByteStream::from_static(b"x")).send().await {
        Err(error) => ensure!(code(&error) == "KeyTooLongError", "{}", code(&error)),
        Ok(_) => anyhow::bail!("a key of 1025 bytes was taken"),
    }
    Ok(())
}
