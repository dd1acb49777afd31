//! Other people's clients: the pages of 2018, and what Uppy's S3 plugin asks of a Companion server. Each flow runs against
//! the embedded store and, where its program is given, against SeaweedFS.

use std::time::Duration;

use imgn_protocol::{ImageId, UploadId};
use imgn_testkit::{
    pictures,
    process::ServerProcess,
    seaweedfs::{self, SeaweedFs},
};
use reqwest::{Method, StatusCode, multipart::Form};
use serde_json::{Value, json};

use crate::{
    forms::posted,
    harness::{Caller, Gallery, Reply, eventually, reply},
    multipart::ONE_ENGINE,
};

pub(crate) const PART: usize = 5 << 20;

/// A sound picture with more behind its end, which decoders do not read.
pub(crate) fn picture(seed: u8, size: usize) -> Vec<u8> {
    let mut bytes = pictures::jpeg(320, 240);
    bytes.resize(size.max(bytes.len()), seed);
    let end = bytes.len() - 1;
    bytes[end] = seed;
    bytes
}

/// A form with a file, sent as the pages of 2018 do: the URL, or the refusal.
pub(crate) async fn upload_form(caller: &Caller, name: &str, file: &[u8]) -> reqwest::Response {
    let part = reqwest::multipart::Part::bytes(file.to_vec()).file_name(name.to_owned());
    let form = Form::new()
        .text("title", "not looked at")
        .part("file", part);
    let request = caller.request(Method::POST, "/upload").multipart(form);
    request.send().await.unwrap()
}

pub(crate) async fn presigned(caller: &Caller, name: &str, file: &[u8]) -> String {
    let answer = upload_form(caller, name, file).await;
    assert_eq!(answer.status(), StatusCode::OK);
    let kind = &answer.headers()["content-type"];
    assert_eq!(kind, "text/plain; charset=utf-8");
    assert_eq!(answer.headers()["cache-control"], "no-store");
    answer.text().await.unwrap()
}

pub(crate) async fn put(caller: &Caller, url: &str, file: &[u8]) -> StatusCode {
    let request = caller
        .http
        .put(url)
        .header("content-type", "image/jpeg")
        .header("content-length", file.len());
    request.body(file.to_vec()).send().await.unwrap().status()
}

/// The pictures' sizes as `/gallery` tells them, newest first.
async fn sizes(caller: &Caller) -> Vec<String> {
    let list = caller.get("/gallery").await;
    assert_eq!(list.status, StatusCode::OK);
    let entries = list.json.as_array().unwrap();
    entries
        .iter()
        .map(|entry| entry["meta"].as_str().unwrap().to_owned())
        .collect()
}

pub(crate) async fn shows(caller: &Caller, expected: &[&str]) {
    let what = format!("the gallery shows {expected:?}");
    eventually(&what, async || sizes(caller).await == expected).await;
}

pub(crate) async fn bytes_at(caller: &Caller, url: &str) -> Vec<u8> {
    let moved = caller.http.get(url).send().await.unwrap();
    assert_eq!(moved.status(), StatusCode::FOUND, "{url}");
    let to = moved.headers()["location"].to_str().unwrap();
    let answer = caller.http.get(to).send().await.unwrap();
    answer.bytes().await.unwrap().to_vec()
}

/// The whole flow of the pages, on an empty gallery.
async fn pages(ada: &Caller) {
    assert_eq!(sizes(ada).await, Vec::<String>::new());
    let file = pictures::jpeg(100, 60);
    // The form's file is another one: it is read for its name only.
    let name = "C:\\pictures\\a <b>.jpg";
    let url = presigned(ada, name, b"never kept").await;
    assert_eq!(put(ada, &url, &file).await, StatusCode::OK);
    shows(ada, &["100x60"]).await;

    let image = &ada.get("/v1/images").await.json["images"][0];
    assert_eq!(image["file_name"], "a <b>.jpg");
    assert_eq!(image["content_type"], "image/jpeg");
    let entry = &ada.get("/gallery").await.json[0];
    let source = entry["src"].as_str().unwrap();
    assert_eq!(bytes_at(ada, source).await, file);

    // The URL still lives: what it writes now changes nothing that is public.
    assert_eq!(put(ada, &url, b"something else").await, StatusCode::OK);
    assert_eq!(bytes_at(ada, source).await, file);
    assert_eq!(sizes(ada).await, ["100x60"]);

    // Newest first, and the same picture twice is one.
    let second = pictures::jpeg(64, 48);
    for file in [&second, &file, &second] {
        let url = presigned(ada, "b.jpg", b"").await;
        assert_eq!(put(ada, &url, file).await, StatusCode::OK);
        published(ada, &url).await;
    }
    assert_eq!(sizes(ada).await, ["64x48", "100x60"]);
    let id = ada.get("/v1/images").await.json["images"][0]["id"].clone();
    remove(ada, &id).await;
    remove(ada, &image["id"]).await;
}

/// Waits until what was put to this URL has become an upload, and that has come to its end.
pub(crate) async fn published(caller: &Caller, url: &str) {
    let (_, id) = url.split('?').next().unwrap().rsplit_once('/').unwrap();
    let path = format!("/v1/uploads/{id}");
    eventually("it is published", async || {
        caller.get(&path).await.json["state"] == "published"
    })
    .await;
}

pub(crate) async fn remove(caller: &Caller, id: &Value) {
    let path = format!("/v1/images/{}", id.as_str().unwrap());
    assert_eq!(caller.delete(&path).await.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn a_picture_that_a_page_of_2018_puts_is_in_the_gallery_a_moment_later() {
    // It does not wait until it looks by itself: it sees what arrives in its own store.
    let gallery = Gallery::start_with(|config| {
        config.timing.look_after = Some(Duration::from_secs(3600));
        config.timing.sweep_every = Duration::from_secs(3600);
    })
    .await;
    pages(&gallery.ada).await;
}

#[tokio::test]
async fn what_is_no_picture_is_not_published_and_does_not_stay() {
    let gallery = Gallery::start_with(|config| config.max_size = 100_000).await;
    let ada = &gallery.ada;
    let empty = gallery.stored_bytes();
    for file in [&b"plain text"[..], b"", &pictures::jpeg(64, 48)[..300]] {
        let url = presigned(ada, "a.jpg", b"").await;
        assert_eq!(put(ada, &url, file).await, StatusCode::OK);
    }
    // Something behind them, to wait for.
    let url = presigned(ada, "b.jpg", b"").await;
    assert_eq!(
        put(ada, &url, &pictures::jpeg(64, 48)).await,
        StatusCode::OK
    );
    shows(ada, &["64x48"]).await;
    let id = ada.get("/v1/images").await.json["images"][0]["id"].clone();
    let deleted = ada
        .delete(&format!("/v1/images/{}", id.as_str().unwrap()))
        .await;
    assert_eq!(deleted.status, StatusCode::NO_CONTENT);
    eventually("nothing is left", async || gallery.stored_bytes() <= empty).await;
}

#[tokio::test]
async fn a_form_without_a_file_or_a_token_is_refused() {
    let gallery = Gallery::start_with(|config| config.max_size = 100_000).await;
    let ada = &gallery.ada;
    let refused = async |caller: &Caller, form: Form| {
        reply(caller.request(Method::POST, "/upload").multipart(form)).await
    };
    assert_eq!(
        refused(ada, Form::new().text("file", "a.jpg")).await.code(),
        "invalid_request"
    );
    assert_eq!(refused(ada, Form::new()).await.code(), "invalid_request");
    let large = reqwest::multipart::Part::bytes(vec![0; 2_000_000]).file_name("a.jpg");
    assert_eq!(
        refused(ada, Form::new().part("file", large)).await.code(),
        "too_large"
    );
    // What else is in a form is not the file's.
    let slightly = reqwest::multipart::Part::bytes(vec![0; 100_001]).file_name("a.jpg");
    assert_eq!(
        refused(ada, Form::new().part("file", slightly))
            .await
            .code(),
        "too_large"
    );
    let largest = reqwest::multipart::Part::bytes(vec![0; 100_000]).file_name("a.jpg");
    let form = Form::new()
        .text("title", "a".repeat(9000))
        .part("file", largest);
    let request = ada.request(Method::POST, "/upload").multipart(form);
    assert_eq!(request.send().await.unwrap().status(), StatusCode::OK);
    let json = ada.post("/upload", &json!({"file": "a.jpg"})).await;
    assert_eq!(json.code(), "unsupported_media_type");
    let unnamed = ada
        .post("/s3/multipart", &json!({"type": "image/png"}))
        .await;
    let told = unnamed.json["detail"].as_str().unwrap();
    assert!(
        told.starts_with("The JSON of") && told.contains("`filename`"),
        "{told}"
    );
    let anonymous = upload_form(&gallery.anonymous(), "a.jpg", b"").await;
    assert_eq!(anonymous.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_name_is_what_it_was_before_a_browser_escaped_it() {
    let gallery = Gallery::start().await;
    let ada = &gallery.ada;
    let form = "--x\r\ncontent-disposition: form-data; name=\"file\"; \
                filename=\"100% %22new%22%0D%0A%41.jpg\"\r\n\r\n\r\n--x--\r\n";
    let request = ada.request(Method::POST, "/upload").body(form);
    let request = request.header("content-type", "multipart/form-data; boundary=x");
    let url = request.send().await.unwrap().text().await.unwrap();
    assert_eq!(put(ada, &url, &pictures::jpeg(9, 9)).await, StatusCode::OK);
    shows(ada, &["9x9"]).await;
    let image = &ada.get("/v1/images").await.json["images"][0];
    assert_eq!(image["file_name"], "100% \"new\"__%41.jpg");
}

#[tokio::test]
async fn a_long_gallery_is_listed_whole() {
    let gallery = Gallery::start().await;
    gallery
        .sql(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1201)
             INSERT INTO images (id, sequence, owner, file_name, width, height, content_type, size, sha256, thumbhash,
                 animated, created_at, search)
             SELECT printf('00000000-0000-7000-8000-%012d', i), i, 1, 'a', i, 7, 'image/png', 1,
                 CAST(printf('%032d', i) AS BLOB), x'00', 0, 0, 'a' FROM n",
        )
        .await;
    let listed = sizes(&gallery.anonymous()).await;
    let expected: Vec<String> = (1..=1201).rev().map(|width| format!("{width}x7")).collect();
    assert_eq!(listed, expected);
}

#[tokio::test]
async fn where_everybody_may_upload_nobody_can_delete() {
    let gallery = Gallery::start_with(|config| config.anonymous_uploads = true).await;
    let anonymous = gallery.anonymous();
    let url = presigned(&anonymous, "a.jpg", b"").await;
    assert_eq!(
        put(&anonymous, &url, &pictures::jpeg(64, 48)).await,
        StatusCode::OK
    );
    shows(&anonymous, &["64x48"]).await;
    let image = anonymous.get("/v1/images").await.json["images"][0].clone();
    assert_eq!(image["owner"], "anonymous");
    let path = format!("/v1/images/{}", image["id"].as_str().unwrap());
    assert_eq!(anonymous.delete(&path).await.code(), "unauthorized");
    assert_eq!(gallery.ada.delete(&path).await.code(), "forbidden");
    // A token that is wrong is no reason to go on without one.
    let mut mistaken = gallery.ada.clone();
    mistaken.token = Some("imgn_wrong".to_owned());
    assert_eq!(
        upload_form(&mistaken, "a.jpg", b"").await.status(),
        StatusCode::UNAUTHORIZED
    );
    // The whole of the API, not only other people's.
    assert_eq!(
        anonymous.upload("b.jpg", &pictures::jpeg(32, 48)).await["state"],
        "published"
    );
    assert_eq!(
        gallery.admin.delete(&path).await.status,
        StatusCode::NO_CONTENT
    );
}

/// A multipart upload as Uppy has it.
pub(crate) struct Parts<'a> {
    pub(crate) caller: &'a Caller,
    pub(crate) id: String,
    pub(crate) key: String,
}

impl<'a> Parts<'a> {
    pub(crate) async fn create(caller: &'a Caller, name: &str) -> Self {
        let body = json!({"filename": name, "type": "image/jpeg", "metadata": {"name": name}});
        let created = caller.post("/s3/multipart", &body).await;
        assert_eq!(created.status, StatusCode::OK, "{created:?}");
        let text = |name: &str| created.json[name].as_str().unwrap().to_owned();
        Self {
            caller,
            id: text("uploadId"),
            key: text("key"),
        }
    }

    pub(crate) fn path(&self, rest: &str) -> String {
        format!("/s3/multipart/{}{rest}?key={}", self.id, self.key)
    }

    pub(crate) async fn sign(&self, number: u32) -> String {
        let signed = self.caller.get(&self.path(&format!("/{number}"))).await;
        assert_eq!(signed.status, StatusCode::OK, "{signed:?}");
        signed.json["url"].as_str().unwrap().to_owned()
    }

    /// Sends a part; answers its entity tag, as a browser reads it.
    pub(crate) async fn send(&self, number: u32, bytes: &[u8]) -> Value {
        let url = self.sign(number).await;
        self.send_to(&url, number, bytes).await
    }

    async fn send_to(&self, url: &str, number: u32, bytes: &[u8]) -> Value {
        let request = self.caller.http.put(url).body(bytes.to_vec());
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        let etag = answer.headers()["etag"].to_str().unwrap().trim_matches('"');
        json!({"PartNumber": number, "ETag": etag})
    }

    pub(crate) async fn list(&self) -> Reply {
        self.caller.get(&self.path("")).await
    }

    pub(crate) async fn complete(&self, parts: &[Value]) -> Reply {
        let body = json!({ "parts": parts });
        self.caller.post(&self.path("/complete"), &body).await
    }

    pub(crate) async fn abort(&self) -> Reply {
        self.caller.delete(&self.path("")).await
    }
}

/// What Uppy does with a large file, on an empty gallery.
async fn in_parts(ada: &Caller) {
    let file = picture(1, 2 * PART + 1000);
    let parts = Parts::create(ada, "a.jpg").await;
    let pieces: Vec<_> = file.chunks(PART).collect();
    let mut sent = vec![parts.send(1, pieces[0]).await];
    // As after a pause: what is there is asked for, and the rest is sent.
    let listed = parts.list().await.json;
    assert_eq!(listed[0]["PartNumber"], 1);
    assert_eq!(listed[0]["Size"], PART);
    assert_eq!(listed.as_array().unwrap().len(), 1);
    let path = format!(
        "/s3/multipart/{}/batch?key={}&partNumbers=2,3",
        parts.id, parts.key
    );
    let urls = ada.get(&path).await.json["presignedUrls"].clone();
    for number in [2_u32, 3] {
        let url = urls[number.to_string()].as_str().unwrap();
        let piece = pieces[number as usize - 1];
        sent.push(parts.send_to(url, number, piece).await);
    }
    let completed = parts.complete(&sent).await;
    assert_eq!(completed.status, StatusCode::OK, "{completed:?}");
    let location = completed.json["location"].as_str().unwrap();
    assert_eq!(completed.json["key"], parts.key);
    shows(ada, &["320x240"]).await;
    assert_eq!(bytes_at(ada, location).await, file);
    let image = &ada.get("/v1/images").await.json["images"][0];
    assert_eq!(location, image["url"]);
    assert_eq!(image["file_name"], "a.jpg");

    // The answer may have been lost: asked again, it is the same.
    assert_eq!(parts.complete(&sent).await.json, completed.json);
    assert_eq!(parts.list().await.code(), "not_found");
    assert_eq!(parts.abort().await.code(), "upload_closed");

    // The same bytes once more are the same picture, and are not kept twice.
    let again = Parts::create(ada, "b.jpg").await;
    let mut sent = Vec::new();
    for (number, piece) in (1..).zip(&pieces) {
        sent.push(again.send(number, piece).await);
    }
    let completed = again.complete(&sent).await;
    assert_eq!(completed.json["location"], image["url"]);
    assert_eq!(sizes(ada).await.len(), 1);
    remove(ada, &image["id"]).await;
}

#[tokio::test]
async fn a_picture_that_uppy_sends_in_parts_is_published_when_they_are_put_together() {
    in_parts(&Gallery::start().await.ada).await;
}

/// In the store that nobody here wrote, where the server has to look for what was sent.
#[tokio::test]
async fn other_people_s_clients_work_with_seaweedfs() {
    if std::env::var_os(seaweedfs::PROGRAM).is_none() {
        println!("SKIPPED: {} is not set", seaweedfs::PROGRAM);
        return;
    }
    let _alone = ONE_ENGINE.lock().await;
    let weed = SeaweedFs::start().await.unwrap();
    let target = weed.target();
    let directory = tempfile::tempdir().unwrap();
    let arguments = [
        "--storage=s3",
        &format!("--s3-endpoint={}", target.endpoint),
        &format!("--s3-bucket={}", target.bucket),
        "--s3-path-style",
        "--max-size=12M",
    ];
    let credentials = [
        ("AWS_ACCESS_KEY_ID", target.access_key.as_str()),
        ("AWS_SECRET_ACCESS_KEY", target.secret_key.as_str()),
    ];
    let mut server = ServerProcess::start_with(directory.path(), &arguments, &credentials).unwrap();
    let owner = Caller::at(server.url.clone(), &server.token);
    pages(&owner).await;
    posted(&owner, 12 << 20).await;
    in_parts(&owner).await;

    // This store takes any part; no more are signed when they are together more than the gallery takes.
    let large = Parts::create(&owner, "a.jpg").await;
    let mut sent = Vec::new();
    for number in 1..=3 {
        sent.push(large.send(number, &vec![7; PART]).await);
    }
    assert_eq!(gallery_get(&large, "/4").await.code(), "too_large");
    for answer in [large.list().await, large.complete(&sent).await] {
        assert_eq!(answer.code(), "not_found");
    }

    // What is put while the server is down is published by its next start.
    let url = presigned(&owner, "a.jpg", b"").await;
    server.kill();
    assert_eq!(
        put(&owner, &url, &pictures::jpeg(64, 48)).await,
        StatusCode::OK
    );
    server.restart().unwrap();
    let owner = Caller::at(server.url.clone(), &server.token);
    shows(&owner, &["64x48"]).await;
}

#[tokio::test]
async fn a_multipart_upload_is_its_caller_s_alone() {
    let gallery = Gallery::start().await;
    let bob = gallery.caller("bob").await;
    let parts = Parts::create(&gallery.ada, "a.jpg").await;
    let file = pictures::jpeg(64, 48);
    let sent = parts.send(1, &file).await;
    let strangers = |caller, id: &str, key: &str| Parts {
        caller,
        id: id.to_owned(),
        key: key.to_owned(),
    };
    let nobody = UploadId::new().to_string();
    let other_key = format!("originals/{}", ImageId::new());
    for stranger in [
        strangers(&bob, &parts.id, &parts.key),
        strangers(&gallery.admin, &parts.id, &parts.key),
        strangers(&gallery.ada, &nobody, &parts.key),
        strangers(&gallery.ada, "../../etc", &parts.key),
        strangers(&gallery.ada, &parts.id, &other_key),
        strangers(&gallery.ada, &parts.id, "a.jpg"),
    ] {
        let list = stranger.list().await;
        let sign = gallery_get(&stranger, "/1").await;
        let batch_path = format!(
            "/s3/multipart/{}/batch?key={}&partNumbers=1",
            stranger.id, stranger.key
        );
        let batch = stranger.caller.get(&batch_path).await;
        let complete = stranger.complete(std::slice::from_ref(&sent)).await;
        let abort = stranger.abort().await;
        for answer in [list, sign, batch, complete, abort] {
            assert_eq!(answer.status, StatusCode::NOT_FOUND, "{answer:?}");
        }
    }
    // It was not touched.
    assert_eq!(parts.complete(&[sent]).await.status, StatusCode::OK);
    let anonymous = gallery.anonymous();
    for path in ["/s3/params?filename=a.jpg", "/s3/sts", &parts.path("")] {
        assert_eq!(anonymous.get(path).await.code(), "unauthorized", "{path}");
    }
}

async fn gallery_get(parts: &Parts<'_>, rest: &str) -> Reply {
    parts.caller.get(&parts.path(rest)).await
}

#[tokio::test]
async fn what_uppy_may_not_ask_is_refused() {
    let gallery = Gallery::start_with(|config| config.max_size = 2 * PART as u64).await;
    let ada = &gallery.ada;
    let parts = Parts::create(ada, "a.jpg").await;
    for number in ["0", "10001", "-1", "1.5", "one", "4294967297"] {
        let answer = gallery_get(&parts, &format!("/{number}")).await;
        assert_eq!(answer.code(), "invalid_request", "{number}");
        let path = format!(
            "/s3/multipart/{}/batch?key={}&partNumbers=1,{number}",
            parts.id, parts.key
        );
        assert_eq!(ada.get(&path).await.code(), "invalid_request", "{number}");
    }
    for number in [1, 10_000] {
        parts.sign(number).await;
    }
    let no_key = ada.get(&format!("/s3/multipart/{}/1", parts.id)).await;
    assert_eq!(no_key.code(), "invalid_request");
    let no_name = ada.get("/s3/params").await;
    assert_eq!(no_name.code(), "invalid_request");
    let told = no_name.json["detail"].as_str().unwrap();
    assert!(told.contains("missing field `filename`"), "{told}");
    assert!(!told.contains("deserialize"), "{told}");
    assert_eq!(ada.get("/s3/sts").await.code(), "forbidden");

    let sent = parts.send(1, &[7; 100]).await;
    let wrong = json!({"PartNumber": 1, "ETag": "0123456789abcdef0123456789abcdef"});
    let missing = json!({"PartNumber": 2, "ETag": sent["ETag"]});
    let too_high = json!({"PartNumber": 10_001, "ETag": sent["ETag"]});
    for (claim, code) in [
        (vec![], "invalid_request"),
        (vec![wrong], "not_uploaded"),
        (vec![sent.clone(), missing], "not_uploaded"),
        (vec![sent.clone(), sent.clone()], "invalid_request"),
        (vec![too_high], "invalid_request"),
    ] {
        assert_eq!(parts.complete(&claim).await.code(), code, "{claim:?}");
    }
    // What is no picture is told so, and does not stay.
    let empty = gallery.stored_bytes();
    assert_eq!(parts.complete(&[sent]).await.code(), "not_a_picture");
    eventually("nothing is left", async || gallery.stored_bytes() < empty).await;
}

#[tokio::test]
async fn a_cancelled_or_forgotten_multipart_upload_leaves_nothing() {
    let mut gallery = Gallery::start().await;
    let empty = gallery.stored_bytes();
    let parts = Parts::create(&gallery.ada, "a.jpg").await;
    let url = parts.sign(2).await;
    parts.send(1, &[7; 1000]).await;
    assert!(gallery.stored_bytes() > empty);
    for _ in 0..2 {
        let status = parts.abort().await.status;
        assert!(
            [StatusCode::OK, StatusCode::NOT_FOUND].contains(&status),
            "{status}"
        );
    }
    assert_eq!(gallery.stored_bytes(), empty);
    assert_eq!(parts.list().await.code(), "not_found");
    let late = gallery
        .ada
        .http
        .put(&url)
        .body("late")
        .send()
        .await
        .unwrap();
    assert_eq!(late.status(), StatusCode::NOT_FOUND);

    let forgotten = Parts::create(&gallery.ada, "b.jpg").await;
    forgotten.send(1, &[7; 1000]).await;
    gallery.stop().await;
    gallery.sql("UPDATE staged SET created_at = 0").await;
    gallery.start_again(|_| {}).await;
    eventually("old parts are gone", async || {
        gallery.stored_bytes() <= empty
    })
    .await;
}

#[tokio::test]
async fn parts_that_were_put_together_before_a_crash_are_published() {
    let mut gallery = Gallery::start().await;
    let parts = Parts::create(&gallery.ada, "a.jpg").await;
    let sent = parts.send(1, &pictures::jpeg(64, 48)).await;
    assert_eq!(parts.complete(&[sent]).await.status, StatusCode::OK);
    let image = gallery.ada.get("/v1/images").await.json["images"][0]["id"].clone();
    gallery.stop().await;
    // As if the server had ended right after the store had answered.
    gallery
        .sql(
            "INSERT INTO staged
                 (id, owner, image_id, file_name, in_parts, multipart_id, url_expires_at, look_at, created_at)
             SELECT id, owner, image_id, file_name, 1, 'gone', 0, 0, created_at FROM uploads;
             DELETE FROM uploads; DELETE FROM images; DELETE FROM changes",
        )
        .await;
    gallery.start_again(|_| {}).await;
    shows(&gallery.ada, &["64x48"]).await;
    let again = gallery.ada.get("/v1/images").await.json["images"][0]["id"].clone();
    assert_eq!(again, image, "the location that was told is still good");
}
