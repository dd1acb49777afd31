//! What a hostile or broken client sends: each gets its own clear error, the server stays small, and nothing is left.

use std::{
    fs,
    io::Write as _,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use imgn_testkit::{pictures, process::ServerProcess};
use reqwest::{Method, StatusCode};
use serde_json::json;
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpSocket, TcpStream},
};
use uuid::Uuid;

use crate::{
    api::{Api, sha256},
    small_disk::SmallDisk,
};

/// The store's objects, whatever they are called: everything below the data directory's store that is not empty.
fn stored_bytes(server: &ServerProcess) -> Result<u64> {
    let files = server.files()?;
    let store = files
        .iter()
        .filter(|(path, _)| path.components().any(|part| part.as_os_str() == "store"));
    Ok(store.map(|(_, size)| size).sum())
}

#[tokio::test]
async fn each_broken_upload_gets_its_error_and_leaves_nothing() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let server = ServerProcess::start(directory.path(), &["--max-size", "50000000"])?;
    let api = Api::new(&server.url, Some(&server.token))?;
    let empty = stored_bytes(&server)?;

    let rejected: [(&str, Vec<u8>, &str); 7] = [
        (
            "text.png",
            b"This is no picture, whatever its name says.".to_vec(),
            "not_a_picture",
        ),
        (
            "cut.jpg",
            pictures::truncated(&pictures::jpeg(640, 480), 0.6),
            "corrupt_picture",
        ),
        (
            "garbage.jpg",
            pictures::garbage_half(&pictures::jpeg(640, 480)),
            "corrupt_picture",
        ),
        (
            "bomb.png",
            pictures::claimed_png(50_000, 50_000),
            "too_many_pixels",
        ),
        (
            "bomb.jpg",
            pictures::claimed_jpeg(65_500, 65_500),
            "too_many_pixels",
        ),
        ("drawing.svg", pictures::SVG.to_vec(), "unsupported_format"),
        (
            "page.png",
            b"<html><script>alert(1)</script></html>".to_vec(),
            "not_a_picture",
        ),
    ];
    for (name, bytes, code) in rejected {
        let outcome = api.upload(name, &bytes).await?;
        ensure!(
            outcome["state"] == "rejected" && outcome["code"] == code,
            "{name}: {outcome}"
        );
        let message = outcome["message"].as_str().unwrap_or_default();
        ensure!(
            message.len() > 10,
            "{name}: an explanation, not {message:?}"
        );
    }

    let photo = pictures::jpeg(640, 480);
    let sum = sha256(&photo);
    let id = Uuid::now_v7();
    ensure!(api.open(id, "photo.jpg", photo.len(), &sum).await?.status == StatusCode::OK);

    // Other bytes of the same length, a longer body, a shorter one: the signature holds the length and the checksum.
    let signed = api.sign(id, &sum).await?;
    let mut other = photo.clone();
    other[100] ^= 1;
    ensure!(
        api.send(&signed, other).await?.is_client_error(),
        "a wrong checksum"
    );
    let longer = [photo.as_slice(), b"!"].concat();
    let mut stretched = signed.clone();
    stretched.headers.remove("content-length");
    ensure!(
        api.send(&stretched, longer).await?.is_client_error(),
        "a longer body"
    );
    ensure!(
        api.send(&stretched, photo[..100].to_vec())
            .await?
            .is_client_error(),
        "a shorter body"
    );
    let early = api.complete(id).await?;
    ensure!(
        early.code() == "not_uploaded" && early.status == StatusCode::CONFLICT,
        "{early:?}"
    );

    // Altered, then used once, then used again.
    let mut altered = signed.clone();
    altered.url = altered.url.replace("Expires=300", "Expires=30000");
    ensure!(altered.url != signed.url, "the expiry is in the URL");
    ensure!(
        api.send(&altered, photo.clone()).await? == StatusCode::FORBIDDEN,
        "an altered URL"
    );
    ensure!(api.send(&signed, photo.clone()).await?.is_success());
    ensure!(
        api.send(&signed, photo.clone()).await? == StatusCode::PRECONDITION_FAILED,
        "a second use"
    );

    // Someone else, nobody, and someone whose token was revoked.
    let other_token = server.add_token("other", "uploader")?;
    let path = format!("/v1/uploads/{id}");
    for (caller, status, code) in [
        (
            api.with_token(Some(&other_token)),
            StatusCode::NOT_FOUND,
            "not_found",
        ),
        (
            api.with_token(None),
            StatusCode::UNAUTHORIZED,
            "unauthorized",
        ),
        (
            api.with_token(Some("imgn_forged")),
            StatusCode::UNAUTHORIZED,
            "unauthorized",
        ),
    ] {
        let body = json!({"checksum": sum});
        for reply in [
            caller.get(&path).await?,
            caller
                .call(Method::POST, &format!("{path}/sign"), Some(body))
                .await?,
            caller.complete(id).await?,
            caller.call(Method::DELETE, &path, None).await?,
        ] {
            ensure!(reply.status == status && reply.code() == code, "{reply:?}");
        }
    }
    ensure!(
        server
            .command(&["token", "revoke", "other"])?
            .status
            .success()
    );
    let revoked = api
        .with_token(Some(&other_token))
        .open(Uuid::now_v7(), "a.jpg", 10, &sum)
        .await?;
    ensure!(revoked.code() == "unauthorized", "{revoked:?}");

    // Aborted: nothing of all this is left, and the server stayed small.
    ensure!(
        api.call(Method::DELETE, &path, None)
            .await?
            .status
            .is_success()
    );
    imgn_testkit::process::eventually("an empty store", Duration::from_secs(20), async || {
        Ok((stored_bytes(&server)? <= empty).then_some(()))
    })
    .await
    .with_context(|| format!("{:#?}", server.files()))?;
    ensure!(api.images().await?.is_empty(), "nothing was published");
    let peak = server.process().peak_memory()?;
    ensure!(peak < 300 << 20, "{} MiB", peak >> 20);
    Ok(())
}

#[tokio::test]
async fn the_costliest_pictures_at_once_stay_within_memory() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let server = ServerProcess::start(directory.path(), &[])?;
    let api = Api::new(&server.url, Some(&server.token))?;
    // A progressive JPEG needs memory for all its coefficients; four of them want more than the server gives at once.
    let files: Vec<Vec<u8>> = (0..4)
        .map(|n| pictures::progressive_jpeg(6000, 4000 - n))
        .collect();
    let uploads = files.iter().map(|file| api.upload("large.jpg", file));
    for outcome in futures_util::future::try_join_all(uploads).await? {
        ensure!(outcome["state"] == "published", "{outcome}");
    }
    let peak = server.process().peak_memory()?;
    ensure!(peak < 300 << 20, "{} MiB", peak >> 20);
    Ok(())
}

#[tokio::test]
async fn pictures_that_browsers_cannot_show_stay_within_memory() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let server = ServerProcess::start(directory.path(), &[])?;
    let api = Api::new(&server.url, Some(&server.token))?;
    let tiff = pictures::Tiff {
        compression: pictures::TiffCompression::Jpeg,
        ..pictures::Tiff::default()
    };
    // The longest edge that is not yet shrunk on arrival for a rendition of 2,560 pixels. What lies behind the end of a
    // TIFF is not looked at: it makes other files of one.
    let picture = tiff.of_scene(6143, 4000);
    let files: Vec<Vec<u8>> = (0..6).map(|n| [&picture[..], &[n]].concat()).collect();
    let (alone, at_once) = files.split_at(2);
    // Nothing is left behind for those at once to come on top of.
    for file in alone {
        let outcome = api.upload("large.tif", file).await?;
        ensure!(outcome["state"] == "published", "{outcome}");
    }
    let uploads = at_once.iter().map(|file| api.upload("large.tif", file));
    for outcome in futures_util::future::try_join_all(uploads).await? {
        ensure!(
            outcome["image"]["display_url"].is_string(),
            "published: {outcome}"
        );
    }
    let peak = server.process().peak_memory()?;
    ensure!(peak < 300 << 20, "{} MiB", peak >> 20);
    Ok(())
}

#[tokio::test]
async fn an_expired_url_is_refused_and_a_fresh_one_works() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let server = ServerProcess::start(directory.path(), &["--url-ttl", "1"])?;
    let api = Api::new(&server.url, Some(&server.token))?;
    let photo = pictures::jpeg(320, 240);
    let (id, sum) = (Uuid::now_v7(), sha256(&photo));
    api.open(id, "photo.jpg", photo.len(), &sum).await?;
    let signed = api.sign(id, &sum).await?;
    imgn_testkit::process::eventually("expiry", Duration::from_secs(20), async || {
        Ok((jiff::Timestamp::now() > signed.expires_at).then_some(()))
    })
    .await?;
    // The store counts in whole seconds.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    ensure!(
        api.send(&signed, photo.clone()).await? == StatusCode::FORBIDDEN,
        "an expired URL"
    );
    let fresh = api.sign(id, &sum).await?;
    ensure!(api.send(&fresh, photo).await?.is_success(), "a fresh URL");
    ensure!(api.outcome(id).await?["state"] == "published");
    Ok(())
}

#[tokio::test]
async fn requests_that_make_no_sense_are_refused_by_code() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let server = ServerProcess::start(directory.path(), &["--max-size", "1000000"])?;
    let api = Api::new(&server.url, Some(&server.token))?;
    let id = Uuid::now_v7();
    let sum = sha256(b"x");
    let path = format!("/v1/uploads/{id}");
    let open = |name: &str, size: serde_json::Value, sum: &str| json!({"file_name": name, "size": size, "sha256": sum});
    let table = [
        (
            Method::PUT,
            path.clone(),
            Some(open("../a.png", json!(1), &sum)),
            400,
            "invalid_file_name",
        ),
        (
            Method::PUT,
            path.clone(),
            Some(open("a\u{0}.png", json!(1), &sum)),
            400,
            "invalid_file_name",
        ),
        (
            Method::PUT,
            path.clone(),
            Some(open("", json!(1), &sum)),
            400,
            "invalid_file_name",
        ),
        (
            Method::PUT,
            path.clone(),
            Some(open("a.png", json!(-1), &sum)),
            400,
            "invalid_request",
        ),
        (
            Method::PUT,
            path.clone(),
            Some(open("a.png", json!(0), &sum)),
            400,
            "invalid_request",
        ),
        (
            Method::PUT,
            path.clone(),
            Some(open("a.png", json!(1), "beef")),
            400,
            "invalid_request",
        ),
        (
            Method::PUT,
            path.clone(),
            Some(open("a.png", json!(1_000_001), &sum)),
            413,
            "too_large",
        ),
        (
            Method::PUT,
            path.clone(),
            Some(json!({
                "file_name": "a.png", "size": 1, "sha256": sum,
                "content_type": format!("image/png; of={}", "x".repeat(900_000)),
            })),
            400,
            "invalid_request",
        ),
        (
            Method::PUT,
            path.clone(),
            Some(open(&"a".repeat(3_000_000), json!(1), &sum)),
            413,
            "too_large",
        ),
        (
            Method::PUT,
            "/v1/uploads/not-a-uuid".to_owned(),
            Some(open("a.png", json!(1), &sum)),
            400,
            "invalid_request",
        ),
        (Method::GET, path.clone(), None, 404, "not_found"),
        (
            Method::GET,
            "/v1/nothing".to_owned(),
            None,
            404,
            "not_found",
        ),
        (
            Method::PATCH,
            "/v1/images".to_owned(),
            None,
            405,
            "method_not_allowed",
        ),
        (
            Method::GET,
            "/v1/images?limit=0".to_owned(),
            None,
            400,
            "invalid_request",
        ),
        (
            Method::GET,
            "/v1/images?cursor=%00".to_owned(),
            None,
            400,
            "invalid_request",
        ),
        (
            Method::GET,
            format!("/v1/images/{id}"),
            None,
            404,
            "not_found",
        ),
        (
            Method::GET,
            format!("/v1/images/{id}/thumb/321"),
            None,
            404,
            "not_found",
        ),
    ];
    for (method, path, body, status, code) in table {
        let reply = api.call(method.clone(), &path, body).await?;
        ensure!(
            reply.status.as_u16() == status && reply.code() == code,
            "{method} {path}: {reply:?}"
        );
        ensure!(
            reply.json["status"] == status && reply.json["detail"].is_string(),
            "{reply:?}"
        );
    }
    // The server is well after all this.
    ensure!(api.get("/readyz").await?.status == StatusCode::OK);
    Ok(())
}

#[tokio::test]
#[expect(clippy::print_stdout, reason = "says what was skipped")]
async fn a_full_disk_is_told_and_over_once_there_is_space() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let Some(disk) = SmallDisk::mount(&directory.path().join("data"), 24)? else {
        println!("SKIPPED: nobody here may mount a small file system, neither this user nor sudo");
        return Ok(());
    };
    let server = ServerProcess::start(directory.path(), &[])?;
    let api = Api::new(&server.url, Some(&server.token))?;
    let ballast = disk.path().join("ballast");
    fs::write(&ballast, vec![0; 20 << 20])?;
    let before = stored_bytes(&server)?;

    let noise = pictures::interlaced_png(1600, 1200);
    let (id, sum) = (Uuid::now_v7(), sha256(&noise));
    ensure!(noise.len() > 4 << 20, "larger than what is left");
    api.open(id, "noise.png", noise.len(), &sum).await?;
    let signed = api.sign(id, &sum).await?;
    ensure!(
        api.send(&signed, noise.clone()).await?.as_u16() == 507,
        "the store says that it is full"
    );
    ensure!(
        stored_bytes(&server)? <= before,
        "nothing is left behind: {:#?}",
        server.files()
    );

    fs::remove_file(&ballast)?;
    let signed = api.sign(id, &sum).await?;
    ensure!(api.send(&signed, noise).await?.is_success());
    let outcome = api.outcome(id).await?;
    ensure!(outcome["state"] == "published", "{outcome}");

    // A file that is there, and no room for its thumbnails: what is told is how it is now, each time.
    let full = || -> Result<()> {
        let mut filler = fs::File::create(&ballast)?;
        while filler.write_all(&[0; 4096]).is_ok() {}
        Ok(())
    };
    for width in [900, 901] {
        let picture = pictures::jpeg(width, 700);
        let (id, sum) = (Uuid::now_v7(), sha256(&picture));
        api.open(id, "picture.jpg", picture.len(), &sum).await?;
        let signed = api.sign(id, &sum).await?;
        ensure!(api.send(&signed, picture).await?.is_success());
        full()?;
        let refused = api.complete(id).await?;
        ensure!(refused.status == 507, "{refused:?}");
        ensure!(refused.code() == "store_full", "{refused:?}");
        ensure!(refused.headers.contains_key("retry-after"), "{refused:?}");
        // What it says is ready reads on.
        ensure!(api.get("/readyz").await?.status == StatusCode::OK);
        fs::remove_file(&ballast)?;
        let completed = api.complete(id).await?;
        ensure!(completed.status == StatusCode::OK, "{completed:?}");
        let outcome = api.outcome(id).await?;
        ensure!(outcome["state"] == "published", "{outcome}");
    }

    // No room for the catalogue either.
    full()?;
    let open = async || {
        let id = Uuid::now_v7();
        let name = format!("{id}.jpg");
        api.open(id, &name, 100, &sha256(name.as_bytes())).await
    };
    // Its log takes what there is room for in it.
    let mut opened = 0;
    let refused = loop {
        let reply = open().await?;
        if !reply.status.is_success() || opened == 5000 {
            break reply;
        }
        opened += 1;
    };
    ensure!(refused.status == 507, "{refused:?} after {opened}");
    ensure!(open().await?.status == 507, "still");
    fs::remove_file(&ballast)?;
    let reply = open().await?;
    ensure!(reply.status.is_success(), "once there is room: {reply:?}");
    drop(server);
    drop(disk);
    Ok(())
}

/// Lets this process have so many files, if the system does.
fn allow_files(count: u32) -> Result<()> {
    let own = std::process::id().to_string();
    let raised = Command::new("prlimit")
        .args(["--pid", &own, &format!("--nofile={count}:")])
        .output()?;
    ensure!(
        raised.status.success(),
        "{count} files are not allowed: {raised:?}"
    );
    Ok(())
}

/// What a stranger sends first, and nothing after it: nothing, half of a head, or a head whose body never comes.
fn beginning(number: usize, token: &str) -> String {
    let body = "Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 100\r\n";
    match number % 4 {
        0 => String::new(),
        1 => "GET /v1/images HTTP/1.1\r\nHost: x\r\n".to_owned(),
        2 => "GET /v1/events HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
        _ => format!(
            "POST /upload HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n{body}\r\n"
        ),
    }
}

/// What one was told so far: nothing when it is held, or was closed; else a status, and a code where it was not let in.
fn told(stream: &TcpStream) -> Option<String> {
    let mut text = [0; 2048];
    let length = stream
        .try_read(&mut text)
        .ok()
        .filter(|&length| length > 0)?;
    Some(String::from_utf8_lossy(&text[..length]).into_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_connections_keep_nobody_else_out() -> Result<()> {
    const CONNECTIONS: usize = 10_000;
    /// Others have a list and a whole upload within this, on a machine that has much else to do: with nothing else to do it takes
    /// a third of a second at most.
    const PATIENCE: Duration = Duration::from_secs(10);

    allow_files(15_000)?;
    let directory = tempfile::tempdir()?;
    let server = ServerProcess::start(directory.path(), &[])?;
    let address = server.url.trim_start_matches("http://").parse()?;
    let from = |last: u8| -> Result<TcpSocket> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(([127, 0, 0, last], 0).into())?;
        Ok(socket)
    };
    // Somebody else, of another address.
    let other = async |api: &Api, number: u32| -> Result<()> {
        let start = Instant::now();
        let listed = api.get("/v1/images").await?;
        ensure!(listed.status == StatusCode::OK, "{listed:?}");
        let uploaded = api
            .upload("a.jpg", &pictures::jpeg(50 + number, 40))
            .await?;
        ensure!(uploaded["state"] == "published", "{uploaded}");
        ensure!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
        Ok(())
    };
    let api = Api::from_address(&server.url, Some(&server.token), [127, 0, 0, 2].into())?;
    other(&api, 0).await?;

    let (mut held, mut refused) = (Vec::new(), 0_usize);
    for number in 0..CONNECTIONS {
        let connecting = tokio::time::timeout(PATIENCE, from(1)?.connect(address)).await;
        let mut stream = connecting??;
        let sent = stream
            .write_all(beginning(number, &server.token).as_bytes())
            .await;
        if sent.is_err() {
            refused += 1;
            continue;
        }
        held.push(stream);
        if number % 2000 == 1999 {
            other(&api, u32::try_from(number)? / 2000 + 1).await?;
        }
    }
    // All of them at once, and nobody else is kept out.
    for number in 0..3 {
        other(&api, 20 + number).await?;
    }
    let peak = server.process().peak_memory()? >> 20;
    ensure!(peak < 300, "{peak} MiB");
    let mut codes = std::collections::BTreeMap::<String, usize>::new();
    for stream in &held {
        if let Some(told) = told(stream) {
            let status = told.lines().next().unwrap_or_default().to_owned();
            // One of the listeners is let in; else it says why not, and how long to wait.
            let is_listener = status.contains("200");
            ensure!(
                is_listener || told.contains("\"code\":\"unavailable\""),
                "{told}"
            );
            *codes.entry(status).or_default() += 1;
        }
    }
    ensure!(
        codes.keys().any(|status| status.contains("503")),
        "{codes:?}, {refused} refused"
    );
    drop(held);
    other(&api, 30).await?;
    ensure!(server.process().peak_memory()? >> 20 < 300);
    let log = server.process().log();
    ensure!(
        !log.contains("panicked") && log.len() < 1 << 20,
        "{} bytes of log",
        log.len()
    );
    Ok(())
}
