//! What must not pass: URLs that are expired, altered or too long-lived, headers nobody signed; and CORS, which lets
//! other origins ask but not pass.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::raw::send;
use super::sign::Signed;
use super::{Case, Context, case, refused, status, success};

pub(super) const CASES: &[Case] = &[
    case!(expired, "an expired URL is refused"),
    case!(long_lived, "a URL for more than a week is refused"),
    case!(altered, "an altered URL is refused"),
    case!(unsigned_header, "a header that was not signed is refused"),
    case!(
        signed_header,
        "a header that was signed must be sent as signed"
    ),
    case!(
        strangers,
        "unsigned requests and wrong credentials are refused"
    ),
    case!(other_method, "a URL is good for its method only"),
    case!(body_hash, "a body that differs from its signed hash is refused", SeaweedFs: "it takes the body"),
    case!(
        large_refused,
        "a refused upload gets its answer while it still sends"
    ),
    case!(missing_bucket, "a bucket that does not exist"),
    case!(location, "where a bucket is", SeaweedFs: "its answer has another root element"),
    case!(cors, "other origins may ask"),
];

async fn expired(c: Context) -> Result<()> {
    let key = c.key("object");
    let request = c
        .request("PUT", &key)
        .expires(10)
        .aged(Duration::from_secs(11));
    status(
        &send(&c.target, request.presign(), "late").await?,
        &[400, 403],
    )?;
    c.expect(&key, None).await?;
    let request = c
        .request("PUT", &key)
        .expires(60)
        .aged(Duration::from_secs(30));
    success(&send(&c.target, request.presign(), "in time").await?)
}

async fn long_lived(c: Context) -> Result<()> {
    let key = c.key("object");
    let week = 7 * 24 * 3600;
    let request = c.request("PUT", &key).expires(week + 1);
    status(&send(&c.target, request.presign(), "x").await?, &[400, 403])?;
    c.expect(&key, None).await?;
    let request = c.request("PUT", &key).expires(week);
    success(&send(&c.target, request.presign(), "x").await?)
}

async fn altered(c: Context) -> Result<()> {
    let (key, other) = (c.key("object"), c.key("other"));
    c.put(&key, "old").await?;
    let good = c.request("PUT", &key).query("x-id", "PutObject").presign();
    let alter = |change: &dyn Fn(&str) -> String| Signed {
        path_and_query: change(&good.path_and_query),
        ..good.clone()
    };
    let last = |url: &str| {
        let (head, tail) = url.split_at(url.len() - 1);
        format!("{head}{}", if tail == "0" { "1" } else { "0" })
    };
    let altered = [
        alter(&|url| url.replace("/object?", "/other?")),
        alter(&|url| url.replace("X-Amz-Expires=300", "X-Amz-Expires=3000")),
        alter(&|url| url.replace("x-id=PutObject", "x-id=GetObject")),
        alter(&|url| format!("{url}&acl=")),
        alter(&last),
    ];
    for request in altered {
        ensure!(
            request.path_and_query != good.path_and_query,
            "nothing was altered"
        );
        status(&send(&c.target, request, "new").await?, &[403])?;
    }
    c.expect(&key, Some(b"old")).await?;
    c.expect(&other, None).await?;
    success(&send(&c.target, good, "new").await?)
}

async fn unsigned_header(c: Context) -> Result<()> {
    let key = c.key("object");
    for (name, value) in [
        ("x-amz-acl", "public-read"),
        ("x-amz-meta-a", "b"),
        ("x-amz-storage-class", "GLACIER"),
    ] {
        let request = c.request("PUT", &key).unsigned(name, value);
        status(&send(&c.target, request.presign(), "x").await?, &[400, 403]).context(name)?;
    }
    let source = format!("{}/{}", c.bucket(), c.key("secret"));
    let request = c.request("PUT", &key).unsigned("x-amz-copy-source", source);
    status(&send(&c.target, request.presign(), "").await?, &[400, 403])?;
    c.expect(&key, None).await
}

async fn signed_header(c: Context) -> Result<()> {
    let key = c.key("object");
    let good = c
        .request("PUT", &key)
        .header("content-type", "image/png")
        .presign();
    for value in [None, Some("text/html")] {
        let mut request = good.clone();
        request.headers.retain(|(name, _)| name != "content-type");
        request
            .headers
            .extend(value.map(|value| ("content-type".to_owned(), value.to_owned())));
        status(&send(&c.target, request, "x").await?, &[403])?;
    }
    c.expect(&key, None).await?;
    success(&send(&c.target, good, "x").await?)
}

async fn strangers(c: Context) -> Result<()> {
    let key = c.key("object");
    c.put(&key, "private").await?;
    let mut unsigned = c.request("GET", &key).presign();
    unsigned.path_and_query = unsigned
        .path_and_query
        .split('?')
        .next()
        .unwrap_or_default()
        .to_owned();
    status(&send(&c.target, unsigned, "").await?, &[403])?;
    let secret = c
        .request("GET", &key)
        .credentials(&c.target.access_key, "a guess");
    status(&send(&c.target, secret.presign(), "").await?, &[403])?;
    let access = c
        .request("GET", &key)
        .credentials("nobody", &c.target.secret_key);
    status(&send(&c.target, access.presign(), "").await?, &[403])
}

async fn other_method(c: Context) -> Result<()> {
    let key = c.key("object");
    c.put(&key, "old").await?;
    for method in ["PUT", "DELETE"] {
        let mut request = c.request("GET", &key).presign();
        request.method = method.to_owned();
        status(&send(&c.target, request, "new").await?, &[403])?;
    }
    c.expect(&key, Some(b"old")).await
}

async fn body_hash(c: Context) -> Result<()> {
    use sha2::Digest as _;
    let key = c.key("object");
    let hash = hex::encode(sha2::Sha256::digest(b"signed"));
    let request = c.request("PUT", &key).authorize(&hash);
    status(&send(&c.target, request, "forged").await?, &[400, 403])?;
    c.expect(&key, None).await?;
    let request = c.request("PUT", &key).authorize(&hash);
    success(&send(&c.target, request, "signed").await?)
}

async fn large_refused(c: Context) -> Result<()> {
    let body = super::objects::noise(16 * 1024 * 1024, 3);
    for _ in 0..4 {
        let request = c
            .request("PUT", &c.key("object"))
            .credentials(&c.target.access_key, "wrong");
        status(
            &send(&c.target, request.presign(), body.clone()).await?,
            &[403],
        )?;
    }
    Ok(())
}

async fn missing_bucket(c: Context) -> Result<()> {
    let bucket = format!("missing-{}", &c.prefix[..13]);
    let put = c
        .client
        .put_object()
        .bucket(&bucket)
        .key("key")
        .body(b"x".to_vec().into());
    refused(put.send().await, &["NoSuchBucket"])?;
    refused(
        c.client
            .get_object()
            .bucket(&bucket)
            .key("key")
            .send()
            .await,
        &["NoSuchBucket"],
    )?;
    refused(
        c.client.list_objects_v2().bucket(&bucket).send().await,
        &["NoSuchBucket"],
    )?;
    refused(
        c.client.head_bucket().bucket(&bucket).send().await,
        &["NotFound"],
    )?;
    c.client.head_bucket().bucket(c.bucket()).send().await?;
    Ok(())
}

async fn location(c: Context) -> Result<()> {
    c.client
        .get_bucket_location()
        .bucket(c.bucket())
        .send()
        .await?;
    Ok(())
}

async fn cors(c: Context) -> Result<()> {
    let key = c.key("object");
    let origin = "https://pictures.example";
    for method in ["PUT", "GET", "HEAD"] {
        let mut preflight = c.request(method, &key).presign();
        preflight.method = "OPTIONS".into();
        preflight.headers.extend([
            ("origin".to_owned(), origin.to_owned()),
            (
                "access-control-request-method".to_owned(),
                method.to_owned(),
            ),
            (
                "access-control-request-headers".to_owned(),
                "content-type,x-amz-checksum-sha256".to_owned(),
            ),
        ]);
        let answer = send(&c.target, preflight, "").await?;
        status(&answer, &[200, 204])?;
        let allowed = answer.header("access-control-allow-origin");
        ensure!(allowed == "*" || allowed == origin, "{allowed}");
        ensure!(
            answer
                .header("access-control-allow-methods")
                .contains(method)
        );
        ensure!(
            answer
                .header("access-control-allow-headers")
                .contains("x-amz-checksum-sha256")
        );
    }
    let request = c.request("PUT", &key).unsigned("origin", origin).presign();
    let answer = send(&c.target, request, "x").await?;
    success(&answer)?;
    ensure!(!answer.header("access-control-allow-origin").is_empty());
    let exposed = answer
        .header("access-control-expose-headers")
        .to_ascii_lowercase();
    ensure!(exposed.contains("etag"), "{exposed}");
    // A refusal must be readable for the page as well.
    let request = c
        .request("GET", &c.key("missing"))
        .unsigned("origin", origin)
        .presign();
    let answer = send(&c.target, request, "").await?;
    status(&answer, &[404])?;
    ensure!(!answer.header("access-control-allow-origin").is_empty());
    Ok(())
}
