//! From a file to a published picture: the life of an upload, whose it is, and what is refused.

use imgn_protocol::{ErrorCode, Sha256, UploadId};
use imgn_testkit::pictures;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::{Gallery, eventually, reply};

#[tokio::test]
async fn a_picture_is_opened_signed_sent_completed_and_read_back() {
    let gallery = Gallery::start().await;
    let (ada, photo, id) = (&gallery.ada, pictures::jpeg(640, 480), UploadId::new());
    let path = format!("/v1/uploads/{id}");

    let opened = ada.open(id, "sea.jpg", &photo).await;
    assert_eq!(opened.status, StatusCode::OK);
    assert_eq!(opened.json["state"], "open");
    assert_eq!(opened.json["mode"], "single");
    assert_eq!(opened.json["part_size"], photo.len());
    assert_eq!(opened.json["parts"], json!([]));

    let signed = ada.sign(id, &photo).await.signed();
    assert_eq!(signed.method, "PUT");
    assert_eq!(signed.headers["content-length"], photo.len().to_string());
    assert_eq!(signed.headers["if-none-match"], "*");
    assert_eq!(signed.headers["content-type"], "application/octet-stream");
    let url = url::Url::parse(signed.url.expose()).unwrap();
    let query = |name: &str| {
        url.query_pairs()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
            .unwrap_or_default()
    };
    assert_eq!(query("X-Amz-Expires"), "300");
    for header in [
        "content-length",
        "content-type",
        "if-none-match",
        "x-amz-checksum-sha256",
    ] {
        let signed_headers = query("X-Amz-SignedHeaders");
        assert!(
            signed_headers.split(';').any(|name| name == header),
            "{header}"
        );
    }

    assert_eq!(ada.complete(id).await.code(), "not_uploaded");
    assert_eq!(
        ada.send_signed(&signed, &photo).await.status(),
        StatusCode::OK
    );
    assert_eq!(
        ada.send_signed(&signed, &photo).await.status(),
        StatusCode::PRECONDITION_FAILED
    );
    let parts = ada.get(&path).await.json["parts"].clone();
    assert_eq!(parts[0]["size"], photo.len());

    let image = ada.outcome(id).await["image"].clone();
    assert_eq!(image["width"], 640);
    assert_eq!(image["height"], 480);
    assert_eq!(image["content_type"], "image/jpeg");
    assert_eq!(image["file_name"], "sea.jpg");
    assert_eq!(image["owner"], "ada");
    assert_eq!(image["sha256"], Sha256::of(&photo).to_string());

    let anonymous = gallery.anonymous();
    let redirect = anonymous
        .http
        .get(image["url"].as_str().unwrap())
        .send()
        .await
        .unwrap();
    assert_eq!(redirect.status(), StatusCode::FOUND);
    let location = redirect.headers()["location"].to_str().unwrap();
    let original = anonymous.http.get(location).send().await.unwrap();
    assert_eq!(original.headers()["content-type"], "image/jpeg");
    assert!(
        original.headers()["content-disposition"]
            .to_str()
            .unwrap()
            .starts_with("inline;")
    );
    assert_eq!(original.bytes().await.unwrap(), photo);

    // All of it again: nothing changes.
    for answer in [
        ada.open(id, "sea.jpg", &photo).await,
        ada.get(&path).await,
        ada.complete(id).await,
    ] {
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.json["image"], image);
    }
    assert_eq!(ada.sign(id, &photo).await.code(), "upload_closed");
    assert_eq!(ada.delete(&path).await.code(), "upload_closed");
}

#[tokio::test]
async fn a_small_picture_takes_three_round_trips() {
    let gallery = Gallery::start().await;
    let (ada, photo, id) = (&gallery.ada, pictures::jpeg(64, 48), UploadId::new());
    let body = json!({
        "file_name": "a.jpg", "size": photo.len(), "sha256": Sha256::of(&photo), "content_type": "image/jpeg"
    });
    let opened = ada.put(&format!("/v1/uploads/{id}?sign=true"), &body).await;
    let signed = serde_json::from_value(opened.json["signed"].clone()).unwrap();
    assert_eq!(
        ada.send_signed(&signed, &photo).await.status(),
        StatusCode::OK
    );
    assert_eq!(signed.headers["content-type"], "image/jpeg");
    let completed = reply(ada.request(Method::POST, &format!("/v1/uploads/{id}/complete"))).await;
    assert_eq!(completed.json["state"], "published", "a body is not needed");
}

#[tokio::test]
async fn published_bytes_are_not_sent_again() {
    let gallery = Gallery::start().await;
    let photo = pictures::jpeg(64, 48);
    let first = gallery.ada.upload("a.jpg", &photo).await;
    let stored = gallery.stored_bytes();

    let grace = gallery.caller("grace").await;
    let id = UploadId::new();
    let second = grace.open(id, "b.jpg", &photo).await;
    assert_eq!(second.json, first);
    assert_eq!(grace.get(&format!("/v1/uploads/{id}")).await.json, first);
    assert_eq!(gallery.stored_bytes(), stored);
}

#[tokio::test]
async fn of_two_uploads_of_the_same_bytes_one_is_published() {
    let gallery = Gallery::start().await;
    let grace = gallery.caller("grace").await;
    let photo = pictures::jpeg(800, 600);
    let (one, two) = (UploadId::new(), UploadId::new());
    gallery.ada.send(one, "a.jpg", &photo).await;
    let stored_once = gallery.stored_bytes();
    grace.send(two, "b.jpg", &photo).await;

    let (a, b) = tokio::join!(gallery.ada.outcome(one), grace.outcome(two));
    assert_eq!(a["state"], "published");
    assert_eq!(a["image"], b["image"]);
    let page = gallery.anonymous().get("/v1/images").await.json;
    assert_eq!(page["images"].as_array().unwrap().len(), 1);
    eventually("the other copy goes", async || {
        // The originals are stored once; thumbnails came to them.
        let thumbnails = 2 * 200_000;
        gallery.stored_bytes() < stored_once + thumbnails
    })
    .await;
}

#[tokio::test]
async fn what_is_no_sound_picture_is_rejected_and_leaves_nothing() {
    let gallery = Gallery::start().await;
    let empty = gallery.stored_bytes();
    let text = b"no picture, whatever its name says".repeat(100);
    for (name, bytes, code) in [
        ("short.png", b"no picture".to_vec(), ErrorCode::NotAPicture),
        ("long.png", text, ErrorCode::NotAPicture),
        (
            "cut.jpg",
            pictures::truncated(&pictures::jpeg(640, 480), 0.5),
            ErrorCode::CorruptPicture,
        ),
        (
            "bomb.png",
            pictures::claimed_png(50_000, 50_000),
            ErrorCode::TooManyPixels,
        ),
        (
            "drawing.svg",
            pictures::SVG.to_vec(),
            ErrorCode::UnsupportedFormat,
        ),
    ] {
        let id = UploadId::new();
        gallery.ada.send(id, name, &bytes).await;
        let outcome = gallery.ada.outcome(id).await;
        assert_eq!(outcome["state"], "rejected", "{name}");
        assert_eq!(outcome["code"], code.as_str(), "{name}: {outcome}");
        assert!(outcome["message"].as_str().unwrap().contains(name));
        assert_eq!(gallery.ada.open(id, name, &bytes).await.json, outcome);
        assert_eq!(gallery.ada.sign(id, &bytes).await.code(), "upload_closed");
    }
    eventually("nothing is kept", async || gallery.stored_bytes() <= empty).await;
    assert_eq!(
        gallery.ada.get("/v1/changes").await.json["changes"],
        json!([])
    );
}

#[tokio::test]
async fn nobody_touches_anothers_upload() {
    let gallery = Gallery::start().await;
    let grace = gallery.caller("grace").await;
    let (photo, id) = (pictures::jpeg(64, 48), UploadId::new());
    gallery.ada.send(id, "a.jpg", &photo).await;
    let path = format!("/v1/uploads/{id}");
    for stranger in [&grace, &gallery.admin] {
        for answer in [
            stranger.open(id, "a.jpg", &photo).await,
            stranger.get(&path).await,
            stranger.sign(id, &photo).await,
            stranger.complete(id).await,
            stranger.delete(&path).await,
        ] {
            assert_eq!(answer.code(), "not_found");
        }
    }
    let anonymous = gallery.anonymous();
    let answer = anonymous.complete(id).await;
    assert_eq!(answer.code(), "unauthorized");
    assert_eq!(answer.headers["www-authenticate"], "Bearer");
    assert_eq!(gallery.ada.outcome(id).await["state"], "published");
}

#[tokio::test]
async fn an_id_is_for_one_file() {
    let gallery = Gallery::start().await;
    let (photo, id) = (pictures::jpeg(64, 48), UploadId::new());
    gallery.ada.open(id, "a.jpg", &photo).await;
    for (name, bytes) in [("b.jpg", photo.as_slice()), ("a.jpg", b"other".as_slice())] {
        let answer = gallery.ada.open(id, name, bytes).await;
        assert_eq!(answer.code(), "upload_conflict");
    }
    assert_eq!(
        gallery.ada.open(id, "a.jpg", &photo).await.json["state"],
        "open"
    );
}

#[tokio::test]
async fn an_aborted_upload_keeps_nothing_and_stays_aborted() {
    let gallery = Gallery::start().await;
    let empty = gallery.stored_bytes();
    let (photo, id) = (pictures::jpeg(640, 480), UploadId::new());
    let path = format!("/v1/uploads/{id}");
    gallery.ada.send(id, "a.jpg", &photo).await;
    assert!(gallery.stored_bytes() > empty);
    for _ in 0..2 {
        assert_eq!(
            gallery.ada.delete(&path).await.status,
            StatusCode::NO_CONTENT
        );
        assert!(gallery.stored_bytes() <= empty, "gone with the answer");
    }
    assert_eq!(
        gallery.ada.open(id, "a.jpg", &photo).await.json,
        json!({"state": "aborted"})
    );
    assert_eq!(gallery.ada.sign(id, &photo).await.code(), "upload_closed");
    assert_eq!(gallery.ada.complete(id).await.code(), "upload_closed");
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_by_code() {
    let gallery = Gallery::start_with(|config| config.max_size = 1_000_000).await;
    let sha256 = Sha256::of(b"x").to_string();
    let open = |changes: Value| {
        let mut body = json!({"file_name": "a.png", "size": 1, "sha256": sha256});
        for (key, value) in changes.as_object().unwrap() {
            body[key] = value.clone();
        }
        body
    };
    let path = format!("/v1/uploads/{}", UploadId::new());
    for (changes, code) in [
        (json!({"file_name": "../a.png"}), "invalid_file_name"),
        (
            json!({"file_name": "a\u{202e}gnp.exe"}),
            "invalid_file_name",
        ),
        (json!({"size": 0}), "invalid_request"),
        (json!({"size": -1}), "invalid_request"),
        (json!({"size": "1"}), "invalid_request"),
        (json!({"size": 1_000_001}), "too_large"),
        (json!({"sha256": sha256.to_uppercase()}), "invalid_request"),
        (json!({"content_type": "text/html"}), "unsupported_format"),
        (
            json!({"content_type": "image/svg+xml"}),
            "unsupported_format",
        ),
        (json!({"file_name": "a".repeat(2_000_000)}), "too_large"),
    ] {
        let answer = gallery.ada.put(&path, &open(changes.clone())).await;
        assert_eq!(answer.code(), code, "{changes}");
    }
    assert_eq!(gallery.ada.get(&path).await.code(), "not_found");

    let id = UploadId::new();
    let path = format!("/v1/uploads/{id}");
    for announced in ["image/jpg", "IMAGE/PNG; q=1", "application/octet-stream"] {
        let id = UploadId::new();
        let body = open(json!({"content_type": announced}));
        let answer = gallery.ada.put(&format!("/v1/uploads/{id}"), &body).await;
        assert_eq!(answer.json["state"], "open", "{announced}");
    }
    gallery.ada.put(&path, &open(json!({}))).await;
    for (body, code) in [
        (json!({"checksum": Sha256::of(b"y")}), "checksum_mismatch"),
        (json!({"checksum": sha256, "part": 1}), "invalid_request"),
        (json!({"checksum": sha256, "part": 0}), "invalid_request"),
        (
            json!({"checksum": sha256, "part": 10_001}),
            "invalid_request",
        ),
        (json!({}), "invalid_request"),
    ] {
        let answer = gallery.ada.post(&format!("{path}/sign"), &body).await;
        assert_eq!(answer.code(), code, "{body}");
    }
    let raw = |method: Method, path: &str, kind: &'static str, body: &'static str| {
        let request = gallery.ada.request(method, path);
        reply(request.header("content-type", kind).body(body))
    };
    let json_type = "application/json";
    assert_eq!(
        raw(Method::PUT, &path, json_type, "{").await.code(),
        "invalid_request"
    );
    assert_eq!(
        raw(Method::PUT, &path, "text/plain", "{}").await.code(),
        "unsupported_media_type"
    );
    let complete = format!("{path}/complete");
    let parts = json!({"parts": [{"number": 1, "checksum": sha256}]});
    assert_eq!(
        gallery.ada.post(&complete, &parts).await.code(),
        "invalid_request"
    );
}
