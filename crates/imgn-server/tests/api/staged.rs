//! What other people's clients send and nobody announced, where something comes in between: other bytes, a crash, an end
//! that is asked for in the middle, somebody who knows the id. What was published stays readable, and nothing else stays.

use std::time::Duration;

use imgn_protocol::UploadId;
use imgn_testkit::pictures;
use reqwest::StatusCode;
use serde_json::json;

use crate::{
    clients::{Parts, bytes_at, presigned, published, put, remove, shows},
    forms::params,
    harness::{Gallery, eventually},
};

/// The id in a presigned URL of a page.
fn id_in(url: &str) -> UploadId {
    let (_, id) = url.split('?').next().unwrap().rsplit_once('/').unwrap();
    id.parse().unwrap()
}

/// A gallery that looks for what was sent when it arrives, and not before.
async fn patient() -> Gallery {
    Gallery::start_with(|config| config.timing.look_after = Some(Duration::from_secs(3600))).await
}

#[tokio::test]
async fn a_picture_that_replaced_another_before_it_was_published_keeps_its_bytes() {
    let gallery = patient().await;
    let ada = &gallery.ada;
    let url = presigned(ada, "a.jpg", b"").await;
    // As if an attempt had opened the upload of other bytes, and come no further.
    gallery
        .sql(
            "INSERT INTO uploads (id, owner, image_id, file_name, size, sha256, state, url_expires_at, created_at, updated_at)
             SELECT id, owner, image_id, file_name, 1, zeroblob(32), 'open', unixepoch() * 1000, created_at, created_at
             FROM staged",
        )
        .await;
    let file = pictures::jpeg(64, 48);
    assert_eq!(put(ada, &url, &file).await, StatusCode::OK);
    published(ada, &url).await;
    gallery.visit_garbage().await;
    let entry = &ada.get("/gallery").await.json[0];
    assert_eq!(bytes_at(ada, entry["src"].as_str().unwrap()).await, file);
}

#[tokio::test]
async fn who_ends_parts_that_are_published_already_is_told_so_and_deletes_nothing() {
    let mut gallery = Gallery::start().await;
    let file = pictures::jpeg(64, 48);
    let parts = Parts::create(&gallery.ada, "a.jpg").await;
    let sent = parts.send(1, &file).await;
    assert_eq!(parts.complete(&[sent]).await.status, StatusCode::OK);
    let (id, key) = (parts.id.clone(), parts.key.clone());
    gallery.stop().await;
    // As if the server had ended between the opening of the upload and the note that its bytes are there.
    gallery
        .sql(
            "INSERT INTO staged
                 (id, owner, image_id, file_name, in_parts, multipart_id, url_expires_at, look_at, created_at)
             SELECT id, owner, image_id, file_name, 1, 'gone', 0, NULL, created_at FROM uploads;
             UPDATE uploads SET state = 'open', published_image = NULL, look_at = NULL;
             DELETE FROM images; DELETE FROM changes",
        )
        .await;
    gallery.start_again(|_| {}).await;
    let ada = &gallery.ada;
    assert_eq!(ada.outcome(id.parse().unwrap()).await["state"], "published");
    let parts = Parts {
        caller: ada,
        id,
        key,
    };
    assert_eq!(parts.abort().await.code(), "upload_closed");
    gallery.visit_garbage().await;
    let entry = &ada.get("/gallery").await.json[0];
    assert_eq!(bytes_at(ada, entry["src"].as_str().unwrap()).await, file);
}

/// As when the server ends in the moment between: nobody looks for it by itself for minutes, as the server sees what arrives.
#[tokio::test]
async fn what_arrived_and_was_not_noted_is_found_when_the_server_starts() {
    let mut gallery = Gallery::start().await;
    let url = presigned(&gallery.ada, "a.jpg", b"").await;
    gallery
        .sql(
            "CREATE TRIGGER broken BEFORE UPDATE OF look_at ON staged BEGIN
                 SELECT RAISE(FAIL, 'broken');
             END",
        )
        .await;
    let file = pictures::jpeg(64, 48);
    assert_eq!(put(&gallery.ada, &url, &file).await, StatusCode::OK);
    gallery.stop().await;
    gallery.sql("DROP TRIGGER broken").await;
    assert_eq!(gallery.count("SELECT count(*) FROM staged").await, 1);
    gallery.start_again(|_| {}).await;
    shows(&gallery.ada, &["64x48"]).await;
}

#[tokio::test]
async fn an_id_that_a_page_was_given_is_opened_by_nobody_else() {
    let gallery = patient().await;
    let ada = &gallery.ada;
    let empty = gallery.stored_bytes();
    let file = pictures::jpeg(64, 48);
    let url = presigned(ada, "a.jpg", b"").await;
    let id = id_in(&url);
    assert_eq!(ada.open(id, "a.jpg", &file).await.code(), "upload_conflict");
    let bob = gallery.caller("bob").await;
    assert_eq!(bob.open(id, "a.jpg", &file).await.code(), "not_found");
    assert_eq!(put(ada, &url, &file).await, StatusCode::OK);
    shows(ada, &["64x48"]).await;
    let image = ada.get("/v1/images").await.json["images"][0].clone();
    remove(ada, &image["id"]).await;
    gallery.visit_garbage().await;
    assert!(gallery.stored_bytes() <= empty);

    // One that had been opened all the same, for the very file, as the catalogue of an older server may have it.
    let url = presigned(ada, "a.jpg", b"").await;
    let open = json!({"file_name": "a.jpg", "size": file.len(), "sha256": imgn_protocol::Sha256::of(&file)});
    gallery
        .sql("UPDATE staged SET id = '00000000-0000-7000-8000-000000000001'")
        .await;
    let path = format!("/v1/uploads/{}", id_in(&url));
    assert_eq!(ada.put(&path, &open).await.json["state"], "open");
    gallery
        .sql("UPDATE staged SET id = (SELECT id FROM uploads WHERE state = 'open')")
        .await;
    assert_eq!(put(ada, &url, &file).await, StatusCode::OK);
    eventually("it is not expected any more", async || {
        gallery.count("SELECT count(*) FROM staged").await == 0
    })
    .await;
    gallery.visit_garbage().await;
    assert!(
        gallery.stored_bytes() <= empty,
        "no original that nobody has"
    );
    assert_eq!(ada.get(&path).await.json["state"], "open", "it is ada's");
}

#[tokio::test]
async fn nothing_that_a_sender_says_of_a_picture_is_told_to_those_who_read_it() {
    let gallery = patient().await;
    let ada = &gallery.ada;
    let url = presigned(ada, "a.jpg", b"").await;
    let request = ada.http.put(&url).body(pictures::jpeg(64, 48));
    let request = request
        .header("content-type", "text/html")
        .header("content-encoding", "gzip")
        .header("content-language", "tlh")
        .header("cache-control", "max-age=31536000");
    assert_eq!(request.send().await.unwrap().status(), StatusCode::OK);
    published(ada, &url).await;
    let image = &ada.get("/v1/images").await.json["images"][0];
    let moved = ada.http.get(image["url"].as_str().unwrap()).send().await;
    let to = moved.unwrap().headers()["location"].clone();
    let answer = ada.http.get(to.to_str().unwrap()).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()["content-type"], "image/jpeg");
    for name in ["content-encoding", "content-language"] {
        assert!(!answer.headers().contains_key(name), "{answer:?}");
    }
    let cached = answer.headers().get("cache-control");
    assert!(cached.is_none_or(|value| value != "max-age=31536000"));
}

/// So that whoever looks into the bucket, or writes a policy for it, has what one user sends by a prefix of that user's.
#[tokio::test]
async fn what_a_user_sends_lies_below_a_prefix_of_theirs_and_no_url_is_good_for_anothers() {
    let gallery = patient().await;
    let (ada, bob) = (&gallery.ada, gallery.caller("bob").await);
    let prefix = |key: &str| {
        let (prefix, id) = key.rsplit_once('/').unwrap();
        assert!(id.parse::<UploadId>().is_ok(), "{key}");
        prefix.to_owned()
    };
    let of_a_page = |url: &str| {
        let path = url.split('?').next().unwrap();
        let (_, key) = path.split_once("/staged/").unwrap();
        prefix(&format!("staged/{key}"))
    };
    let urls = [
        presigned(ada, "a.jpg", b"").await,
        presigned(ada, "b.jpg", b"").await,
        presigned(&bob, "c.jpg", b"").await,
    ];
    let form = params(ada, "d.jpg").await;
    let adas = of_a_page(&urls[0]);
    assert!(adas.starts_with("staged/"), "{adas}");
    assert_eq!(of_a_page(&urls[1]), adas);
    assert_eq!(prefix(form["fields"]["key"].as_str().unwrap()), adas);
    assert_ne!(of_a_page(&urls[2]), adas);
    // Ada's signature on what is Bob's to send, and the other way round.
    let (_, signed) = urls[0].split_once('?').unwrap();
    let (bobs, signed_by_bob) = urls[2].split_once('?').unwrap();
    let file = pictures::jpeg(64, 48);
    for foreign in [
        format!("{bobs}?{signed}"),
        format!("{}?{signed_by_bob}", urls[0].split('?').next().unwrap()),
    ] {
        assert_eq!(put(ada, &foreign, &file).await, StatusCode::FORBIDDEN);
    }
    for (caller, url, file) in [
        (ada, &urls[0], file),
        (&bob, &urls[2], pictures::jpeg(48, 64)),
    ] {
        assert_eq!(put(caller, url, &file).await, StatusCode::OK);
        published(caller, url).await;
    }
}
