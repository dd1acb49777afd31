//! Uploads in parts: their life, what is refused, and what restarts and crashes leave. The life runs against the
//! embedded store and, where its program is given, against SeaweedFS.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use imgn_protocol::{ChecksumAlgorithm, ChecksumHasher, Sha256, SignedRequest, UploadId};
use imgn_server::Config;
use imgn_testkit::{
    pictures,
    process::ServerProcess,
    proxy::{Answer, Fate, FaultProxy, Seen},
    seaweedfs::{self, SeaweedFs},
};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::harness::{Caller, Gallery, Reply, eventually};

const PART: usize = 5 << 20;

/// Two that start at once would find the same ports free.
pub(crate) static ONE_ENGINE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// A sound picture of three parts, the last of them small. JPEG decoders read no further than its end.
fn large(seed: u8) -> Vec<u8> {
    let mut bytes = pictures::jpeg(320, 240);
    bytes.resize(2 * PART + 1000, seed);
    bytes
}

fn small_parts(config: &mut Config) {
    config.part_size = PART as u64;
}

fn sum(algorithm: &Value, bytes: &[u8]) -> String {
    let algorithm: ChecksumAlgorithm = serde_json::from_value(algorithm.clone()).unwrap();
    let mut hasher = ChecksumHasher::new(algorithm);
    hasher.update(bytes);
    hasher.finish().to_string()
}

/// An upload in parts, from its client's side.
struct Sender<'a> {
    caller: &'a Caller,
    bytes: &'a [u8],
    id: UploadId,
    algorithm: Value,
}

impl<'a> Sender<'a> {
    async fn open(caller: &'a Caller, bytes: &'a [u8], liked: Value) -> Self {
        let mut sender = Self {
            caller,
            bytes,
            id: UploadId::new(),
            algorithm: liked,
        };
        let opened = sender.reopen().await;
        assert_eq!(opened.json["state"], "open", "{opened:?}");
        assert_eq!(opened.json["mode"], "multipart");
        assert_eq!(opened.json["part_size"], PART);
        assert_eq!(opened.json["part_count"], 3);
        assert_eq!(opened.json["parts"], json!([]));
        sender.algorithm = opened.json["checksum_algorithm"].clone();
        sender
    }

    async fn reopen(&self) -> Reply {
        let body = json!({
            "file_name": "large.jpg",
            "size": self.bytes.len(),
            "sha256": Sha256::of(self.bytes),
            "checksum_algorithms": if self.algorithm.is_array() { self.algorithm.clone() } else { json!([]) },
        });
        self.caller.put(&self.path(""), &body).await
    }

    fn path(&self, call: &str) -> String {
        format!("/v1/uploads/{}{call}", self.id)
    }

    fn part(&self, number: usize) -> &'a [u8] {
        self.bytes.chunks(PART).nth(number - 1).unwrap()
    }

    fn sum(&self, number: usize) -> String {
        sum(&self.algorithm, self.part(number))
    }

    async fn sign(&self, number: usize, checksum: &str) -> Reply {
        let body = json!({"part": number, "checksum": checksum});
        self.caller.post(&self.path("/sign"), &body).await
    }

    async fn signed(&self, number: usize) -> SignedRequest {
        self.sign(number, &self.sum(number)).await.signed()
    }

    async fn send(&self, number: usize) {
        let signed = self.signed(number).await;
        let sent = self.caller.send_signed(&signed, self.part(number)).await;
        assert_eq!(sent.status(), StatusCode::OK, "part {number}");
    }

    async fn numbers_there(&self) -> Vec<u64> {
        let answer = self.caller.get(&self.path("")).await.json;
        let parts = answer["parts"].as_array().unwrap();
        for part in parts {
            let number = usize::try_from(part["number"].as_u64().unwrap()).unwrap();
            assert_eq!(part["size"], self.part(number).len());
            assert_eq!(part["checksum"], self.sum(number));
        }
        parts
            .iter()
            .map(|part| part["number"].as_u64().unwrap())
            .collect()
    }

    fn claim(&self) -> Value {
        let parts: Vec<Value> = (1..=3)
            .map(|number| json!({"number": number, "checksum": self.sum(number)}))
            .collect();
        json!({"parts": parts})
    }

    async fn complete(&self, body: &Value) -> Reply {
        self.caller.post(&self.path("/complete"), body).await
    }

    async fn published(&self, body: &Value) -> Value {
        loop {
            let reply = self.complete(body).await;
            assert!(reply.status.is_success(), "{reply:?}");
            if reply.json["state"] != "verifying" {
                assert_eq!(reply.json["state"], "published", "{reply:?}");
                return reply.json;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Everything that a client may do with an upload in parts, and every refusal on the way.
async fn life(ada: &Caller, liked: Value) {
    let bytes = large(7);
    let upload = Sender::open(ada, &bytes, liked).await;

    // What is signed.
    let first = upload.signed(1).await;
    assert_eq!(first.headers["content-length"], PART.to_string());
    let url = url::Url::parse(first.url.expose()).unwrap();
    let query = |name: &str| {
        let pair = url.query_pairs().find(|(key, _)| key == name);
        pair.map(|(_, value)| value.into_owned()).unwrap()
    };
    assert_eq!(query("X-Amz-Expires"), "300");
    let names = query("X-Amz-SignedHeaders");
    let is_signed = |prefix: &str| names.split(';').any(|name| name.starts_with(prefix));
    for name in ["content-length", "host", "x-amz-checksum-"] {
        assert!(is_signed(name), "{name} in {names}");
    }

    // What signing refuses.
    let sound = upload.sum(1);
    for (number, checksum) in [(0, &sound), (4, &sound), (1, &"0".repeat(40))] {
        let refused = upload.sign(number, checksum).await;
        assert_eq!(refused.code(), "invalid_request", "{number} {checksum}");
    }
    let other = if upload.algorithm == "sha256" {
        "0".repeat(8)
    } else {
        "0".repeat(64)
    };
    let refused = upload.sign(1, &other).await;
    assert_eq!(refused.code(), "invalid_request");
    let unnumbered = json!({"checksum": sound});
    let refused = ada.post(&upload.path("/sign"), &unnumbered).await;
    assert_eq!(refused.code(), "invalid_request");

    // What the store refuses: other bytes, more, fewer.
    let mut altered = upload.part(1).to_vec();
    altered[100] ^= 1;
    assert_eq!(
        ada.send_signed(&first, &altered).await.status(),
        StatusCode::BAD_REQUEST
    );
    assert!(upload.numbers_there().await.is_empty());
    let mut short = upload.signed(3).await;
    let fewer = &upload.part(3)[..999];
    short.headers.insert("content-length".into(), "999".into());
    assert_eq!(
        ada.send_signed(&short, fewer).await.status(),
        StatusCode::FORBIDDEN
    );

    // Parts in any order, one of them twice.
    assert_eq!(upload.complete(&json!({})).await.code(), "not_uploaded");
    for number in [3, 1, 1] {
        upload.send(number).await;
    }
    assert_eq!(upload.numbers_there().await, [1, 3]);
    let early = upload.complete(&upload.claim()).await;
    assert_eq!(early.code(), "not_uploaded");
    assert!(early.json["detail"].as_str().unwrap().contains("part 2"));
    upload.send(2).await;
    assert_eq!(
        upload.reopen().await.json["parts"]
            .as_array()
            .unwrap()
            .len(),
        3
    );

    // Claims that are wrong.
    let mut wrong = upload.claim();
    wrong["parts"][1]["checksum"] = wrong["parts"][0]["checksum"].clone();
    assert_eq!(upload.complete(&wrong).await.code(), "checksum_mismatch");
    let mut twice = upload.claim();
    twice["parts"][1] = twice["parts"][0].clone();
    assert_eq!(upload.complete(&twice).await.code(), "invalid_request");
    let lacking = json!({"parts": [upload.claim()["parts"][0]]});
    assert_eq!(upload.complete(&lacking).await.code(), "invalid_request");

    // Complete, and again.
    let published = upload.published(&upload.claim()).await;
    assert_eq!(published["image"]["sha256"], Sha256::of(&bytes).to_string());
    for again in [
        upload.complete(&upload.claim()).await,
        upload.complete(&json!({})).await,
        upload.reopen().await,
    ] {
        assert_eq!(again.json, published);
    }
    assert_eq!(upload.sign(1, &sound).await.code(), "upload_closed");
    let content = ada.http.get(published["image"]["url"].as_str().unwrap());
    let location = content.send().await.unwrap().headers()["location"].clone();
    let original = ada.http.get(location.to_str().unwrap()).send().await;
    let original = original.unwrap();
    assert_eq!(original.headers()["content-type"], "image/jpeg");
    assert!(original.bytes().await.unwrap() == bytes);
}

/// Aborted, it is gone: for the client and in the store.
async fn abort(ada: &Caller) {
    let bytes = large(8);
    let upload = Sender::open(ada, &bytes, json!([])).await;
    upload.send(1).await;
    let late = upload.signed(2).await;
    for _ in 0..2 {
        let aborted = ada.delete(&upload.path("")).await;
        assert_eq!(aborted.status, StatusCode::NO_CONTENT);
    }
    let sent = ada.send_signed(&late, upload.part(2)).await;
    assert_eq!(sent.status(), StatusCode::NOT_FOUND);
    assert_eq!(upload.sign(1, &upload.sum(1)).await.code(), "upload_closed");
    assert_eq!(
        upload.complete(&upload.claim()).await.code(),
        "upload_closed"
    );
    assert_eq!(upload.reopen().await.json, json!({"state": "aborted"}));
}

/// Parts that are sound each, of a file that is not the one announced.
async fn another_file(ada: &Caller) {
    let bytes = large(9);
    let upload = Sender::open(ada, &bytes, json!([])).await;
    let other = large(10);
    for number in 1..=3 {
        let part = other.chunks(PART).nth(number - 1).unwrap();
        let signed = upload.sign(number, &sum(&upload.algorithm, part)).await;
        let sent = ada.send_signed(&signed.signed(), part).await;
        assert_eq!(sent.status(), StatusCode::OK);
    }
    let outcome = ada.outcome(upload.id).await;
    assert_eq!(outcome["state"], "rejected", "{outcome}");
    assert_eq!(outcome["code"], "checksum_mismatch");
    assert_eq!(upload.sign(1, &upload.sum(1)).await.code(), "upload_closed");
}

#[tokio::test]
async fn an_upload_in_parts_lives_in_each_algorithm() {
    let gallery = Gallery::start_with(small_parts).await;
    for (liked, chosen) in [
        (json!([]), "sha256"),
        (json!(["crc64_nvme", "crc32c"]), "crc64_nvme"),
        (json!(["of a newer client", "crc32c"]), "crc32c"),
    ] {
        let bytes = large(1);
        let upload = Sender::open(&gallery.ada, &bytes, liked.clone()).await;
        assert_eq!(upload.algorithm, chosen);
        gallery.ada.delete(&upload.path("")).await;
    }
    life(&gallery.ada, json!(["crc64_nvme"])).await;
}

#[tokio::test]
async fn an_upload_in_parts_that_ends_otherwise_leaves_nothing() {
    let gallery = Gallery::start_with(small_parts).await;
    let empty = gallery.stored_bytes();
    abort(&gallery.ada).await;
    another_file(&gallery.ada).await;
    eventually("nothing is kept", async || gallery.stored_bytes() <= empty).await;
}

/// The store that nobody here wrote: it lists a part once for each time that it was sent, and no checksums.
#[tokio::test]
async fn the_same_holds_with_seaweedfs() {
    if std::env::var_os(seaweedfs::PROGRAM).is_none() {
        println!("SKIPPED: {} is not set", seaweedfs::PROGRAM);
        return;
    }
    let _alone = ONE_ENGINE.lock().await;
    let weed = SeaweedFs::start().await.unwrap();
    let target = weed.target();
    let directory = tempfile::tempdir().unwrap();
    let arguments = [
        "--storage",
        "s3",
        "--s3-endpoint",
        &target.endpoint,
        "--s3-bucket",
        &target.bucket,
        "--s3-region",
        "us-east-1",
        "--s3-path-style",
        "--part-size",
        "5M",
    ];
    let credentials = [
        ("AWS_ACCESS_KEY_ID", target.access_key.as_str()),
        ("AWS_SECRET_ACCESS_KEY", target.secret_key.as_str()),
    ];
    let mut server = ServerProcess::start_with(directory.path(), &arguments, &credentials).unwrap();
    let ada = Caller::at(server.url.clone(), &server.token);
    life(&ada, json!(["crc64_nvme"])).await;
    abort(&ada).await;
    another_file(&ada).await;

    // Killed in the middle: it knows again what was signed. A part signed for two checksums is not vouched for.
    let bytes = large(11);
    let upload = Sender::open(&ada, &bytes, json!(["crc32c"])).await;
    for number in 1..=3 {
        upload.send(number).await;
    }
    server.kill();
    server.restart().unwrap();
    // The connections of before are dead.
    let ada = Caller::at(server.url.clone(), &server.token);
    let upload = Sender {
        caller: &ada,
        ..upload
    };
    assert_eq!(upload.numbers_there().await, [1, 2, 3]);
    upload.sign(2, "00000000").await.signed();
    assert_eq!(upload.numbers_there().await, [1, 3]);
    upload.send(2).await;
    upload.published(&upload.claim()).await;

    let open = target
        .client()
        .list_multipart_uploads()
        .bucket(&target.bucket);
    assert_eq!(open.send().await.unwrap().uploads().len(), 0);
}

#[tokio::test]
async fn how_a_file_is_divided_is_fixed_when_it_opens() {
    let mut gallery = Gallery::start_with(small_parts).await;
    let bytes = large(2);
    let upload = Sender::open(&gallery.ada, &bytes, json!(["crc32c"])).await;
    let opened = upload.reopen().await.json;
    let id = upload.id;
    upload.send(1).await;

    gallery.stop().await;
    gallery
        .start_again(|config| config.part_size = 64 << 20)
        .await;
    let upload = Sender {
        caller: &gallery.ada,
        bytes: &bytes,
        id,
        algorithm: json!("crc32c"),
    };
    let mut now = upload.reopen().await.json;
    assert_eq!(upload.numbers_there().await, [1]);
    now["parts"] = json!([]);
    assert_eq!(now, opened);
    upload.send(2).await;
    upload.send(3).await;
    upload.published(&json!({})).await;

    let other = large(3);
    let single = gallery.ada.open(UploadId::new(), "b.jpg", &other).await;
    assert_eq!(single.json["mode"], "single", "the new setting");
}

#[tokio::test]
async fn what_no_parts_can_hold_is_refused_before_the_first_byte() {
    let gallery = Gallery::start_with(|config| config.max_size = u64::MAX).await;
    let open = async |size: u64| {
        let body = json!({"file_name": "a.jpg", "size": size, "sha256": Sha256::of(b"")});
        let path = format!("/v1/uploads/{}", UploadId::new());
        gallery.ada.put(&path, &body).await
    };
    let most = 10_000 * (5_u64 << 30);
    assert_eq!(open(most + 1).await.code(), "too_large");
    let opened = open(most).await.json;
    assert_eq!(opened["part_count"], 10_000);
    assert_eq!(opened["part_size"], 5_u64 << 30);
    let opened = open((80_000 << 20) + 1).await.json;
    assert_eq!(opened["part_size"], 9 << 20);
    assert_eq!(opened["part_count"], 8_889);
}

#[tokio::test]
async fn nobody_touches_anothers_parts_and_an_expired_url_sends_none() {
    let gallery = Gallery::start_with(|config| {
        small_parts(config);
        config.url_ttl = Duration::from_secs(1);
    })
    .await;
    let grace = gallery.caller("grace").await;
    let bytes = large(4);
    let upload = Sender::open(&gallery.ada, &bytes, json!([])).await;
    let stranger = Sender {
        caller: &grace,
        bytes: &bytes,
        id: upload.id,
        algorithm: upload.algorithm.clone(),
    };
    for refused in [
        stranger.reopen().await,
        stranger.sign(1, &upload.sum(1)).await,
        stranger.complete(&upload.claim()).await,
        grace.delete(&upload.path("")).await,
        grace.get(&upload.path("")).await,
    ] {
        assert_eq!(refused.code(), "not_found");
    }
    let signed = upload.signed(3).await;
    eventually("the URL expires", async || {
        let sent = gallery.ada.send_signed(&signed, upload.part(3)).await;
        sent.status() == StatusCode::FORBIDDEN
    })
    .await;
    upload.send(3).await;
}

#[tokio::test]
async fn a_multipart_upload_that_the_store_lost_or_completed_is_found_out() {
    let mut gallery = Gallery::start_with(small_parts).await;
    let bytes = large(5);
    let upload = Sender::open(&gallery.ada, &bytes, json!([])).await;
    let id = upload.id;
    upload.send(1).await;
    gallery.stop().await;
    let lost = gallery.directory.path().join("store/imgn-pictures/uploads");
    for entry in std::fs::read_dir(&lost).unwrap() {
        std::fs::remove_dir_all(entry.unwrap().path()).unwrap();
    }
    gallery.start_again(small_parts).await;
    let upload = Sender {
        caller: &gallery.ada,
        bytes: &bytes,
        id,
        algorithm: json!("sha256"),
    };
    assert!(upload.numbers_there().await.is_empty());
    for number in 1..=3 {
        upload.send(number).await;
    }
    upload.published(&upload.claim()).await;
}

#[tokio::test]
async fn what_a_crash_left_of_a_multipart_upload_is_aborted_for_its_age() {
    let mut gallery = Gallery::start_with(small_parts).await;
    let empty = gallery.stored_bytes();
    let bytes = large(6);
    let upload = Sender::open(&gallery.ada, &bytes, json!([])).await;
    upload.send(1).await;
    let path = upload.path("");
    gallery.stop().await;
    // As if the server had died between making it and writing down its name.
    gallery.sql("UPDATE uploads SET multipart_id = NULL").await;
    gallery.start_again(small_parts).await;
    assert_eq!(gallery.ada.get(&path).await.json["parts"], json!([]));
    assert!(gallery.stored_bytes() > empty + PART as u64);
    gallery.stop().await;

    gallery
        .start_again(|config| config.timing.forget_after = Duration::from_secs(3))
        .await;
    eventually("the abort", async || gallery.stored_bytes() <= empty).await;
    assert_eq!(gallery.ada.get(&path).await.json["state"], "open");
}

/// A store that fails in the middle of completing, as S3 may: status 200 and an error in the body, or an answer that
/// never arrives.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn completing_is_repeated_until_the_store_has_the_object() {
    let store = tempfile::tempdir().unwrap();
    if std::env::var_os(seaweedfs::PROGRAM).is_none() {
        println!("SKIPPED: {} is not set", seaweedfs::PROGRAM);
        return;
    }
    let _alone = ONE_ENGINE.lock().await;
    let weed = SeaweedFs::start().await.unwrap();
    let target = weed.target();
    let fates: Arc<Mutex<Vec<Fate>>> = Arc::default();
    let next = fates.clone();
    let proxy = FaultProxy::start(
        target.endpoint.strip_prefix("http://").unwrap(),
        move |seen: &Seen| {
            let is_complete = seen.method == "POST" && seen.parameters.contains_key("uploadId");
            let fate = is_complete.then(|| next.lock().unwrap().pop()).flatten();
            fate.unwrap_or(Fate::Pass)
        },
    )
    .await
    .unwrap();
    let endpoint = proxy.url();
    let arguments = [
        "--storage",
        "s3",
        "--s3-endpoint",
        &endpoint,
        "--s3-bucket",
        &target.bucket,
        "--s3-region",
        "us-east-1",
        "--s3-path-style",
        "--part-size",
        "5M",
    ];
    let credentials = [
        ("AWS_ACCESS_KEY_ID", target.access_key.as_str()),
        ("AWS_SECRET_ACCESS_KEY", target.secret_key.as_str()),
    ];
    let server = ServerProcess::start_with(store.path(), &arguments, &credentials).unwrap();
    let ada = Caller::at(server.url.clone(), &server.token);
    let failing = Fate::Answer(Answer::s3_error(200, "InternalError", "We failed."));
    for (seed, fate, code) in [
        (20, vec![failing; 3], Some("store_unavailable")),
        (21, vec![Fate::HangUpAfter], None),
        (
            22,
            vec![Fate::AnswerAfter(Answer::s3_error(
                404,
                "NoSuchUpload",
                "gone",
            ))],
            None,
        ),
        (
            23,
            vec![Fate::Answer(Answer::s3_error(400, "InvalidPart", "a part"))],
            Some("not_uploaded"),
        ),
        (
            24,
            vec![Fate::Answer(Answer::s3_error(
                501,
                "NotImplemented",
                "if-none-match",
            ))],
            None,
        ),
    ] {
        let bytes = large(seed);
        let upload = Sender::open(&ada, &bytes, json!([])).await;
        for number in 1..=3 {
            upload.send(number).await;
        }
        *fates.lock().unwrap() = fate;
        if let Some(code) = code {
            assert_eq!(
                upload.complete(&upload.claim()).await.code(),
                code,
                "{seed}"
            );
            assert_eq!(upload.numbers_there().await, [1, 2, 3]);
        }
        upload.published(&upload.claim()).await;
        assert!(fates.lock().unwrap().is_empty(), "{seed}");
    }
}
