//! Objects from browsers' forms: the policy is kept to the letter, and only whoever has the secret can write one.

use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;

use super::raw::{Answer, send};
use super::sign::{Signed, form};
use super::{Case, Context, case, status};

pub(super) const CASES: &[Case] = &[
    case!(stored, "a form stores its file"),
    case!(large, "a large file in a form is stored byte for byte"),
    case!(
        altered,
        "a form whose fields are not those of its policy is refused"
    ),
    case!(unsigned, "a form that was not signed here is refused"),
    case!(late, "a form is refused once its policy has expired"),
    case!(sizes, "a file outside of the policy's sizes is refused"),
    case!(cut, "a form that breaks off stores nothing"),
    case!(
        endless,
        "a form without a boundary, or with a header without an end, is not taken in",
        SeaweedFs: "it skips what comes before the first boundary, however long it is"
    ),
    case!(asked, "other origins may ask whether they may post"),
];

const BOUNDARY: &str = "----a-boundary-of-a-browser";
const ALIVE: Duration = Duration::from_secs(300);
const SIZES: std::ops::RangeInclusive<u64> = 1..=1000;

fn good(c: &Context, key: &str) -> Vec<(String, String)> {
    let more = [
        ("content-type", "image/png"),
        ("success_action_status", "201"),
    ];
    form(&c.target, key, &more, SIZES, SystemTime::now(), ALIVE)
}

fn body(fields: &[(String, String)], file: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, value) in fields {
        body.extend_from_slice(
            format!(
                "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
            )
            .as_bytes(),
        );
    }
    body.extend_from_slice(
        format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"blob\"\r\n\
             Content-Type: image/png\r\n\r\n"
        )
        .as_bytes(),
    );
    body.extend_from_slice(file);
    body.extend_from_slice(format!("\r\n--{BOUNDARY}--\r\n").as_bytes());
    body
}

fn request(c: &Context) -> Result<Signed> {
    Ok(Signed {
        method: "POST".to_owned(),
        path_and_query: format!("/{}", c.bucket()),
        headers: vec![
            ("host".to_owned(), c.target.host()?.to_owned()),
            (
                "content-type".to_owned(),
                format!("multipart/form-data; boundary={BOUNDARY}"),
            ),
            ("origin".to_owned(), "https://elsewhere.example".to_owned()),
        ],
    })
}

async fn post(c: &Context, fields: &[(String, String)], file: &[u8]) -> Result<Answer> {
    send(&c.target, request(c)?, Bytes::from(body(fields, file))).await
}

async fn stored(c: Context) -> Result<()> {
    let key = c.key("of a form & more");
    let file = b"--not the boundary\r\n\0\xff\r\n--";
    let answer = post(&c, &good(&c, &key), file).await?;
    status(&answer, &[201])?;
    ensure!(!answer.header("etag").is_empty());
    let xml = String::from_utf8_lossy(&answer.body);
    ensure!(
        xml.contains("<PostResponse") && xml.contains("of a form"),
        "{xml}"
    );
    c.expect(&key, Some(file)).await?;
    let head = c
        .client
        .head_object()
        .bucket(c.bucket())
        .key(&key)
        .send()
        .await?;
    ensure!(head.content_type() == Some("image/png"), "{head:?}");

    // The same form is good again, and replaces.
    status(&post(&c, &good(&c, &key), b"other").await?, &[201])?;
    c.expect(&key, Some(b"other")).await
}

async fn large(c: Context) -> Result<()> {
    let key = c.key("large");
    let file: Vec<u8> = (0..9_000_001_u32)
        .map(|n| (n.wrapping_mul(n) >> 7) as u8)
        .collect();
    let fields = form(
        &c.target,
        &key,
        &[],
        1..=10_000_000,
        SystemTime::now(),
        ALIVE,
    );
    status(&post(&c, &fields, &file).await?, &[204])?;
    c.expect(&key, Some(&file)).await
}

async fn altered(c: Context) -> Result<()> {
    let (key, other) = (c.key("object"), c.key("other"));
    let fields = good(&c, &key);
    let change = |name: &str, value: Option<&str>| {
        let mut changed = fields.clone();
        match value {
            Some(value) => {
                for field in changed.iter_mut().filter(|field| field.0 == name) {
                    field.1 = value.to_owned();
                }
            }
            None => changed.retain(|field| field.0 != name),
        }
        changed
    };
    let mut more = fields.clone();
    more.insert(0, ("x-amz-meta-a".to_owned(), "b".to_owned()));
    for (what, changed) in [
        ("another key", change("key", Some(&other))),
        ("another type", change("content-type", Some("text/html"))),
        ("no type", change("content-type", None)),
        ("a field without a condition", more),
        ("no policy", change("policy", None)),
        ("no date", change("x-amz-date", None)),
    ] {
        let answer = post(&c, &changed, b"x").await?;
        status(&answer, &[400, 403]).context(what)?;
    }
    c.expect(&key, None).await?;
    c.expect(&other, None).await
}

async fn unsigned(c: Context) -> Result<()> {
    let key = c.key("object");
    let mut stranger = (*c.target).clone();
    stranger.secret_key = "a guess".to_owned();
    let guessed = form(&stranger, &key, &[], SIZES, SystemTime::now(), ALIVE);
    status(&post(&c, &guessed, b"x").await?, &[400, 403])?;
    stranger.secret_key.clone_from(&c.target.secret_key);
    stranger.access_key = "nobody".to_owned();
    let guessed = form(&stranger, &key, &[], SIZES, SystemTime::now(), ALIVE);
    status(&post(&c, &guessed, b"x").await?, &[400, 403])?;
    let bare = [("key".to_owned(), key.clone())];
    status(&post(&c, &bare, b"x").await?, &[400, 403])?;
    c.expect(&key, None).await
}

async fn late(c: Context) -> Result<()> {
    let key = c.key("object");
    let before = SystemTime::now() - Duration::from_secs(11);
    let expired = form(&c.target, &key, &[], SIZES, before, Duration::from_secs(10));
    status(&post(&c, &expired, b"x").await?, &[400, 403])?;
    c.expect(&key, None).await
}

async fn sizes(c: Context) -> Result<()> {
    let key = c.key("object");
    let fields = form(&c.target, &key, &[], 10..=20, SystemTime::now(), ALIVE);
    for length in [0, 9, 21, 100_000] {
        let answer = post(&c, &fields, &vec![b'x'; length]).await?;
        status(&answer, &[400, 403]).with_context(|| length.to_string())?;
        c.expect(&key, None).await?;
    }
    for length in [10, 20] {
        status(&post(&c, &fields, &vec![b'x'; length]).await?, &[204])?;
    }
    Ok(())
}

async fn cut(c: Context) -> Result<()> {
    let key = c.key("object");
    let whole = body(&good(&c, &key), b"a file that is not sent to its end");
    let mut request = request(&c)?;
    let length = ("content-length".to_owned(), whole.len().to_string());
    request.headers.push(length);
    for length in [whole.len() / 2, whole.len() - 50] {
        super::raw::send_bytes(&c.target, &request, &whole[..length], true).await?;
        c.expect(&key, None).await?;
    }
    // Sent to its end, but without the boundary.
    let answer = send(
        &c.target,
        self::request(&c)?,
        Bytes::copy_from_slice(&whole[..whole.len() - 40]),
    )
    .await?;
    status(&answer, &[400, 403])?;
    c.expect(&key, None).await
}

async fn endless(c: Context) -> Result<()> {
    const LONG: usize = 8 << 20;
    let key = c.key("object");
    let filler = vec![b'x'; LONG];
    let mut no_boundary = filler.clone();
    no_boundary.extend_from_slice(&body(&good(&c, &key), b"x"));
    let mut long_header =
        format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"").into_bytes();
    long_header.extend_from_slice(&filler);
    long_header.extend_from_slice(b"\"\r\n\r\nvalue\r\n");
    long_header.extend_from_slice(&body(&good(&c, &key), b"x"));
    for form in [no_boundary, long_header] {
        // It need not be read to its end; a connection that is closed in the middle is an answer, too.
        if let Ok(answer) = send(&c.target, request(&c)?, Bytes::from(form)).await {
            status(&answer, &[400, 403])?;
        }
        c.expect(&key, None).await?;
    }
    Ok(())
}

async fn asked(c: Context) -> Result<()> {
    // What a browser asks when the page wants to see how the sending goes on.
    let mut request = request(&c)?;
    request.method = "OPTIONS".to_owned();
    request.headers.retain(|(name, _)| name != "content-type");
    request.headers.push((
        "access-control-request-method".to_owned(),
        "POST".to_owned(),
    ));
    let answer = send(&c.target, request, "").await?;
    status(&answer, &[200, 204])?;
    let methods = answer.header("access-control-allow-methods");
    ensure!(methods.contains("POST") || methods == "*", "{methods}");
    let key = c.key("object");
    let answer = post(&c, &good(&c, &key), b"x").await?;
    ensure!(
        !answer.header("access-control-allow-origin").is_empty(),
        "{answer:?}"
    );
    Ok(())
}
