//! What restarts, silent clients and time leave behind, and that it is put right.

use std::time::Duration;

use imgn_protocol::UploadId;
use imgn_server::{Config, Server, StartError};
use imgn_testkit::pictures;
use reqwest::StatusCode;

use crate::harness::{Gallery, eventually};

#[tokio::test]
async fn verification_that_was_cut_off_is_taken_up_by_the_next_start() {
    let mut gallery = Gallery::start().await;
    let (photo, id) = (pictures::jpeg(640, 480), UploadId::new());
    gallery.ada.send(id, "a.jpg", &photo).await;
    gallery.stop().await;
    gallery.sql("UPDATE uploads SET state = 'verifying'").await;

    gallery.start_again(|_| {}).await;
    let path = format!("/v1/uploads/{id}");
    eventually("publishing", async || {
        gallery.ada.get(&path).await.json["state"] == "published"
    })
    .await;
}

#[tokio::test]
async fn a_picture_whose_client_never_completed_is_published() {
    let gallery = Gallery::start_with(|config| {
        config.url_ttl = Duration::from_secs(1);
        config.timing.adopt_after = Duration::from_millis(10);
    })
    .await;
    let id = UploadId::new();
    gallery.ada.send(id, "a.jpg", &pictures::jpeg(64, 48)).await;
    eventually("publishing", async || {
        let page = gallery.anonymous().get("/v1/images").await.json;
        page["images"].as_array().unwrap().len() == 1
    })
    .await;
}

#[tokio::test]
async fn one_object_that_cannot_be_read_does_not_hold_up_the_others() {
    let gallery = Gallery::start_with(|config| {
        config.url_ttl = Duration::from_secs(1);
        config.timing.adopt_after = Duration::from_millis(10);
    })
    .await;
    let (bad, good) = (UploadId::new(), UploadId::new());
    gallery
        .ada
        .send(bad, "a.jpg", &pictures::jpeg(64, 48))
        .await;
    gallery.damage_objects();
    gallery
        .ada
        .send(good, "b.jpg", &pictures::jpeg(48, 64))
        .await;
    let path = format!("/v1/uploads/{good}");
    eventually("publishing", async || {
        gallery.ada.get(&path).await.json["state"] == "published"
    })
    .await;
}

#[tokio::test]
async fn an_upload_that_is_never_sent_is_aborted_for_its_age() {
    let gallery = Gallery::start_with(|config| {
        config.timing.abort_after = Duration::from_millis(300);
    })
    .await;
    let (photo, id) = (pictures::jpeg(64, 48), UploadId::new());
    gallery.ada.open(id, "a.jpg", &photo).await;
    let path = format!("/v1/uploads/{id}");
    eventually("the abort", async || {
        gallery.ada.get(&path).await.json["state"] == "aborted"
    })
    .await;
}

#[tokio::test]
async fn bytes_that_vanished_can_be_sent_again() {
    let mut gallery = Gallery::start().await;
    let (photo, id) = (pictures::jpeg(64, 48), UploadId::new());
    gallery.ada.open(id, "a.jpg", &photo).await;
    gallery.stop().await;
    gallery.sql("UPDATE uploads SET state = 'verifying'").await;

    gallery.start_again(|_| {}).await;
    let path = format!("/v1/uploads/{id}");
    eventually("reopening", async || {
        gallery.ada.get(&path).await.json["state"] == "open"
    })
    .await;
    gallery.ada.send(id, "a.jpg", &photo).await;
    assert_eq!(gallery.ada.outcome(id).await["state"], "published");
}

#[tokio::test]
async fn what_a_late_url_writes_after_an_abort_is_deleted() {
    let gallery = Gallery::start_with(|config| config.url_ttl = Duration::from_secs(2)).await;
    let empty = gallery.stored_bytes();
    let (photo, id) = (pictures::jpeg(640, 480), UploadId::new());
    gallery.ada.open(id, "a.jpg", &photo).await;
    let signed = gallery.ada.sign(id, &photo).await.signed();
    gallery.ada.delete(&format!("/v1/uploads/{id}")).await;
    let late = gallery.ada.send_signed(&signed, &photo).await;
    assert_eq!(late.status(), StatusCode::OK);
    assert!(gallery.stored_bytes() > empty);
    eventually("deletion", async || gallery.stored_bytes() <= empty).await;
}

#[tokio::test]
async fn one_sweep_of_a_stopped_servers_directory_finishes_what_it_left() {
    let mut gallery = Gallery::start().await;
    let id = UploadId::new();
    gallery.ada.send(id, "a.jpg", &pictures::jpeg(64, 48)).await;
    let running = Server::sweep(Config::embedded(gallery.directory.path())).await;
    assert!(running.is_err(), "a server runs on it");
    gallery.stop().await;
    gallery.sql("UPDATE uploads SET state = 'verifying'").await;

    let swept = Server::sweep(Config::embedded(gallery.directory.path()))
        .await
        .unwrap();
    assert_eq!(swept.verifying, 1);
    gallery.start_again(|_| {}).await;
    let path = format!("/v1/uploads/{id}");
    assert_eq!(gallery.ada.get(&path).await.json["state"], "published");
}

/// As after a catalogue was restored that is older than its bucket.
#[tokio::test]
async fn one_sweep_removes_what_no_row_names_once_it_is_old_enough() {
    let mut gallery = Gallery::start().await;
    let ada = &gallery.ada;
    let kept = ada.upload("a.jpg", &pictures::jpeg(64, 48)).await;
    gallery.visit_garbage().await;
    let bytes = gallery.stored_bytes();
    ada.upload("b.jpg", &pictures::jpeg(640, 480)).await;
    gallery.stop().await;
    gallery
        .sql(
            "PRAGMA foreign_keys = OFF; DELETE FROM changes WHERE sequence = 2; DELETE FROM images WHERE sequence = 2;
             DELETE FROM uploads WHERE file_name = 'b.jpg'; UPDATE feed SET images = 1",
        )
        .await;
    let config = || Config::embedded(gallery.directory.path());
    let swept = Server::sweep(config()).await.unwrap();
    assert_eq!((swept.deleted, swept.failures), (0, 0), "it is young");
    let mut old_enough = config();
    old_enough.timing.forget_objects_after = Duration::ZERO;
    let swept = Server::sweep(old_enough).await.unwrap();
    assert_eq!((swept.deleted, swept.failures), (3, 0));
    assert_eq!(gallery.stored_bytes(), bytes);
    gallery.start_again(|_| {}).await;
    let path = format!("/v1/images/{}", kept["image"]["id"].as_str().unwrap());
    for path in [format!("{path}/content"), format!("{path}/thumb/320")] {
        let there = gallery.ada.get(&path).await.status;
        assert!(there.is_success() || there.is_redirection(), "{there}");
    }
}

#[tokio::test]
async fn a_directory_and_a_port_serve_one_server() {
    let gallery = Gallery::start().await;
    let same_directory = Config::embedded(gallery.directory.path());
    let error = Server::start(same_directory).await.unwrap_err();
    assert!(matches!(error, StartError::InUse { .. }), "{error}");

    let elsewhere = tempfile::tempdir().unwrap();
    let same_port = Config {
        listen: gallery.server().address().to_string(),
        ..Config::embedded(elsewhere.path())
    };
    let error = Server::start(same_port).await.unwrap_err();
    assert!(matches!(error, StartError::Listen { .. }), "{error}");

    let file = elsewhere.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = Server::start(Config::embedded(file.join("below")))
        .await
        .unwrap_err();
    assert!(matches!(error, StartError::DataDir { .. }), "{error}");
}
