//! Bodies that are not what was announced: checksums, lengths, cut connections.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumMode};

use super::objects::{noise, sha256};
use super::raw::{send, send_bytes};
use super::{Case, Context, case, status, success};

pub(super) const CASES: &[Case] = &[
    case!(
        wrong_checksum,
        "a body with a wrong checksum is refused and the old object stays"
    ),
    case!(
        malformed_checksum,
        "a checksum that cannot be one is refused"
    ),
    case!(kept_checksum, "a checksum is kept and given back"),
    case!(
        trailing_checksum,
        "a checksum that follows the body is checked"
    ),
    case!(
        wrong_length,
        "a body longer or shorter than signed is refused"
    ),
    case!(
        cut_connection,
        "a cut connection leaves nothing and keeps the old object"
    ),
];

async fn wrong_checksum(c: Context) -> Result<()> {
    let key = c.key("object");
    c.put(&key, "old").await?;
    let other = sha256(b"something else");
    let wrong = [
        ("x-amz-checksum-sha256", other.as_str()),
        ("x-amz-checksum-sha1", "AAAAAAAAAAAAAAAAAAAAAAAAAAA="),
        ("x-amz-checksum-crc32", "AAAAAA=="),
        ("x-amz-checksum-crc32c", "AAAAAA=="),
        ("x-amz-checksum-crc64nvme", "AAAAAAAAAAA="),
        ("content-md5", "AAAAAAAAAAAAAAAAAAAAAA=="),
    ];
    for (name, value) in wrong {
        let request = c
            .request("PUT", &key)
            .header("content-length", 3)
            .header(name, value);
        let answer = send(&c.target, request.presign(), "new").await?;
        status(&answer, &[400]).context(name)?;
        c.expect(&key, Some(b"old")).await.context(name)?;
        let absent = c.key("absent");
        let request = c.request("PUT", &absent).header(name, value);
        status(&send(&c.target, request.presign(), "new").await?, &[400]).context(name)?;
        c.expect(&absent, None).await.context(name)?;
    }
    Ok(())
}

async fn malformed_checksum(c: Context) -> Result<()> {
    for (name, value) in [("content-md5", "no"), ("x-amz-checksum-sha256", "AAAA")] {
        let request = c.request("PUT", &c.key("object")).header(name, value);
        status(&send(&c.target, request.presign(), "new").await?, &[400]).context(name)?;
    }
    c.expect(&c.key("object"), None).await
}

async fn kept_checksum(c: Context) -> Result<()> {
    let key = c.key("object");
    let value = sha256(b"body");
    let request = c
        .request("PUT", &key)
        .header("x-amz-checksum-sha256", &value);
    success(&send(&c.target, request.presign(), "body").await?)?;
    let head = c.client.head_object().bucket(c.bucket()).key(&key);
    let head = head.checksum_mode(ChecksumMode::Enabled).send().await?;
    ensure!(
        head.checksum_sha256() == Some(&value),
        "{:?}",
        head.checksum_sha256()
    );
    Ok(())
}

async fn trailing_checksum(c: Context) -> Result<()> {
    // Over plain HTTP the SDK sends the checksum as a trailer of an aws-chunked body.
    for algorithm in [
        ChecksumAlgorithm::Crc32,
        ChecksumAlgorithm::Crc64Nvme,
        ChecksumAlgorithm::Sha256,
    ] {
        let key = c.key(algorithm.as_str());
        let put = c.client.put_object().bucket(c.bucket()).key(&key);
        put.checksum_algorithm(algorithm)
            .body(ByteStream::from_static(b"chunked"))
            .send()
            .await?;
        c.expect(&key, Some(b"chunked")).await?;
    }
    let key = c.key("object");
    c.put(&key, "old").await?;
    let chunked = |value: &str| {
        let body = format!("7\r\nchunked\r\n0\r\nx-amz-checksum-sha256:{value}\r\n\r\n");
        let request = c
            .request("PUT", &key)
            .header("content-encoding", "aws-chunked");
        let request = request.header("x-amz-decoded-content-length", 7);
        let request = request.header("x-amz-trailer", "x-amz-checksum-sha256");
        let request = request.header("content-length", body.len());
        (
            request.authorize("STREAMING-UNSIGNED-PAYLOAD-TRAILER"),
            body,
        )
    };
    let (request, body) = chunked(&sha256(b"another"));
    status(&send(&c.target, request, body).await?, &[400])?;
    c.expect(&key, Some(b"old")).await?;
    let (request, body) = chunked(&sha256(b"chunked"));
    success(&send(&c.target, request, body).await?)?;
    c.expect(&key, Some(b"chunked")).await
}

async fn wrong_length(c: Context) -> Result<()> {
    let key = c.key("object");
    c.put(&key, "old").await?;
    let signed = || c.request("PUT", &key).header("content-length", 5).presign();
    for body in ["four", "sixsix"] {
        let mut request = signed();
        request.headers.retain(|(name, _)| name != "content-length");
        let answer = send(&c.target, request, body).await?;
        status(&answer, &[403]).with_context(|| format!("{body} as five bytes"))?;
        c.expect(&key, Some(b"old")).await?;
    }
    // The head keeps its word and the body is longer: what is too much is not part of the object.
    let answer = send_bytes(&c.target, &signed(), b"12345 and more", false).await?;
    let text = String::from_utf8_lossy(&answer).into_owned();
    ensure!(
        text.starts_with("HTTP/1.1 200") || text.starts_with("HTTP/1.1 400"),
        "{text}"
    );
    let found = c.get(&key).await?.context("an object")?;
    ensure!(found == b"12345" || found == b"old", "{found:?}");
    Ok(())
}

async fn cut_connection(c: Context) -> Result<()> {
    let (kept, absent) = (c.key("kept"), c.key("absent"));
    c.put(&kept, "old").await?;
    for sent in [0, 3, 3 * 1024 * 1024] {
        for key in [&kept, &absent] {
            let request = c
                .request("PUT", key)
                .header("content-length", 8 * 1024 * 1024);
            send_bytes(&c.target, &request.presign(), &noise(sent, 2), true).await?;
        }
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    c.expect(&kept, Some(b"old")).await?;
    c.expect(&absent, None).await
}
