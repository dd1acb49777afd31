//! What is published: pages, conditions, the feed, deletion.

use imgn_protocol::{ImageId, UploadId};
use imgn_testkit::pictures;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::{Caller, Gallery, reply};

async fn publish(caller: &Caller, name: &str, width: u32) -> Value {
    let outcome = caller.upload(name, &pictures::jpeg(width, 40)).await;
    assert_eq!(outcome["state"], "published", "{outcome}");
    outcome["image"].clone()
}

fn names(page: &Value) -> Vec<&str> {
    let images = page["images"].as_array().unwrap();
    images
        .iter()
        .map(|image| image["file_name"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn pages_neither_skip_nor_repeat_while_pictures_come_and_go() {
    let gallery = Gallery::start().await;
    let mut images = Vec::new();
    for n in 0..5 {
        images.push(publish(&gallery.ada, &format!("{n}.jpg"), 50 + n).await);
    }
    let first = gallery.anonymous().get("/v1/images?limit=2").await.json;
    assert_eq!(names(&first), ["4.jpg", "3.jpg"]);

    publish(&gallery.ada, "new.jpg", 70).await;
    let last_seen = images[3]["id"].as_str().unwrap();
    gallery.ada.delete(&format!("/v1/images/{last_seen}")).await;

    let cursor = first["next_cursor"].as_str().unwrap();
    let second = gallery
        .anonymous()
        .get(&format!("/v1/images?limit=2&cursor={cursor}"))
        .await
        .json;
    assert_eq!(names(&second), ["2.jpg", "1.jpg"]);
    let cursor = second["next_cursor"].as_str().unwrap();
    let third = gallery
        .anonymous()
        .get(&format!("/v1/images?limit=2&cursor={cursor}"))
        .await
        .json;
    assert_eq!(names(&third), ["0.jpg"]);
    assert_eq!(third["next_cursor"], Value::Null);
}

#[tokio::test]
async fn a_search_finds_parts_of_names_in_any_case_and_takes_nothing_for_a_pattern() {
    let gallery = Gallery::start().await;
    for (n, name) in ["Übung 100%.jpg", "beach_1.jpg", "BEACH2.jpg"]
        .iter()
        .enumerate()
    {
        publish(&gallery.ada, name, 50 + u32::try_from(n).unwrap()).await;
    }
    for (q, found) in [
        ("beach", &["BEACH2.jpg", "beach_1.jpg"][..]),
        ("übung", &["Übung 100%.jpg"]),
        ("%25", &["Übung 100%.jpg"]),
        ("_", &["beach_1.jpg"]),
        ("' OR 1=1 --", &[]),
        ("", &["BEACH2.jpg", "beach_1.jpg", "Übung 100%.jpg"]),
    ] {
        let page = gallery.ada.get(&format!("/v1/images?q={q}")).await.json;
        assert_eq!(names(&page), found, "{q}");
    }
}

#[tokio::test]
async fn a_page_that_has_not_changed_is_not_sent_again() {
    let gallery = Gallery::start().await;
    publish(&gallery.ada, "a.jpg", 50).await;
    let ask = |tag: &str| {
        let request = gallery.ada.request(Method::GET, "/v1/images");
        reply(request.header("if-none-match", tag))
    };
    let tag = gallery.ada.get("/v1/images").await.headers["etag"]
        .to_str()
        .unwrap()
        .to_owned();
    let same = ask(&tag).await;
    assert_eq!(same.status, StatusCode::NOT_MODIFIED);
    assert_eq!(same.headers["etag"], tag.as_str());
    publish(&gallery.ada, "b.jpg", 51).await;
    assert_eq!(ask(&tag).await.status, StatusCode::OK);
}

#[tokio::test]
async fn the_feed_has_each_addition_until_its_deletion() {
    let gallery = Gallery::start().await;
    let a = publish(&gallery.ada, "a.jpg", 50).await;
    let b = publish(&gallery.ada, "b.jpg", 51).await;

    let page = gallery.anonymous().get("/v1/changes?limit=1").await.json;
    assert_eq!(page["changes"][0]["kind"], "added");
    assert_eq!(page["changes"][0]["image"], a);
    assert_eq!(page["more"], true);
    let since = page["next_since"].as_u64().unwrap();

    let id = a["id"].as_str().unwrap();
    gallery.ada.delete(&format!("/v1/images/{id}")).await;
    let page = gallery
        .anonymous()
        .get(&format!("/v1/changes?since={since}"))
        .await
        .json;
    assert_eq!(page["changes"][0]["image"], b);
    assert_eq!(page["changes"][1]["kind"], "deleted");
    assert_eq!(page["changes"][1]["id"], a["id"]);
    assert_eq!(page["more"], false);

    let since = page["next_since"].as_u64().unwrap();
    let page = gallery
        .anonymous()
        .get(&format!("/v1/changes?since={since}"))
        .await
        .json;
    assert_eq!(page["changes"], json!([]));
    assert_eq!(page["next_since"], since);
    assert_eq!(page["last"], since);
    assert_eq!(page["more"], false);

    let all = gallery.anonymous().get("/v1/changes").await.json;
    let kinds: Vec<_> = all["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|change| change["kind"].as_str().unwrap())
        .collect();
    assert_eq!(
        kinds,
        ["added", "deleted"],
        "the deleted one's addition is gone"
    );
}

#[tokio::test]
async fn owners_and_admins_delete_and_nothing_is_left() {
    let gallery = Gallery::start().await;
    let empty = gallery.stored_bytes();
    let grace = gallery.caller("grace").await;
    let photo = pictures::jpeg(640, 480);
    let image = gallery.ada.upload("a.jpg", &photo).await["image"].clone();
    let path = format!("/v1/images/{}", image["id"].as_str().unwrap());

    assert_eq!(grace.delete(&path).await.code(), "forbidden");
    assert_eq!(
        gallery.anonymous().delete(&path).await.code(),
        "unauthorized"
    );
    assert_eq!(
        gallery.ada.delete(&path).await.status,
        StatusCode::NO_CONTENT
    );
    for suffix in ["", "/content", "/thumb/320", "/thumb/1280", "/thumb/2560"] {
        let answer = gallery.ada.get(&format!("{path}{suffix}")).await;
        assert_eq!(answer.code(), "not_found", "{suffix}");
    }
    assert!(gallery.stored_bytes() <= empty, "gone with the answer");
    assert_eq!(gallery.ada.delete(&path).await.code(), "not_found");

    // The same file again, which an admin takes out.
    let again = gallery.ada.upload("a.jpg", &photo).await["image"].clone();
    assert_ne!(again["id"], image["id"]);
    let path = format!("/v1/images/{}", again["id"].as_str().unwrap());
    assert_eq!(
        gallery.admin.delete(&path).await.status,
        StatusCode::NO_CONTENT
    );
}

#[tokio::test]
async fn thumbnails_are_small_jpegs_that_never_change() {
    let gallery = Gallery::start().await;
    let image = gallery
        .ada
        .upload("a.jpg", &pictures::jpeg(2000, 1000))
        .await["image"]
        .clone();
    for size in [320, 1280] {
        let path = format!("/v1/images/{}/thumb/{size}", image["id"].as_str().unwrap());
        let request = gallery.anonymous().request(Method::GET, &path);
        let answer = request.send().await.unwrap();
        let headers = answer.headers().clone();
        assert_eq!(headers["content-type"], "image/jpeg");
        assert_eq!(headers["x-content-type-options"], "nosniff");
        assert_eq!(
            headers["cache-control"],
            "public, max-age=31536000, immutable"
        );
        let jpeg = answer.bytes().await.unwrap();
        let limits = imgn_thumbs::Limits::default();
        let header = imgn_thumbs::inspect(&jpeg, &limits).unwrap();
        assert_eq!((header.width, header.height), (size, size / 2));
    }
}

#[tokio::test]
async fn a_download_has_the_files_name_and_the_servers_type() {
    let gallery = Gallery::start().await;
    let image = publish(&gallery.ada, "Größe \"1\".jpg", 50).await;
    let path = format!(
        "/v1/images/{}/content?download",
        image["id"].as_str().unwrap()
    );
    let redirect = gallery.anonymous().get(&path).await;
    assert_eq!(redirect.headers["cache-control"], "no-store");
    let location = redirect.headers["location"].to_str().unwrap();
    let original = gallery.ada.http.get(location).send().await.unwrap();
    assert_eq!(original.headers()["content-type"], "image/jpeg");
    assert_eq!(
        original.headers()["content-disposition"],
        "attachment; filename=\"Gr__e _1_.jpg\"; filename*=UTF-8''Gr%C3%B6%C3%9Fe%20%221%22.jpg"
    );
}

#[tokio::test]
async fn unknown_pictures_and_senseless_pages_are_problems() {
    let gallery = Gallery::start().await;
    let id = ImageId::new();
    for (path, code) in [
        (format!("/v1/images/{id}"), "not_found"),
        (format!("/v1/images/{id}/content"), "not_found"),
        (format!("/v1/images/{id}/thumb/320"), "not_found"),
        (format!("/v1/images/{id}/thumb/321"), "not_found"),
        ("/v1/images/1".to_owned(), "invalid_request"),
        ("/v1/images?limit=0".to_owned(), "invalid_request"),
        ("/v1/images?limit=501".to_owned(), "invalid_request"),
        ("/v1/images?limit=x".to_owned(), "invalid_request"),
        ("/v1/images?cursor=x".to_owned(), "invalid_request"),
        (
            format!("/v1/images?q={}", "a".repeat(400)),
            "invalid_request",
        ),
        ("/v1/changes?since=-1".to_owned(), "invalid_request"),
        (format!("/v1/uploads/{}", UploadId::new()), "not_found"),
    ] {
        assert_eq!(gallery.ada.get(&path).await.code(), code, "{path}");
    }
}
