//! What restarts, silent clients and time leave behind, and that it is put right.

use std::time::Duration;

use imgn_protocol::UploadId;
use imgn_server::{Config, Server, StartError, SweepError, Swept, UnknownPictures};
use imgn_testkit::pictures;
use reqwest::StatusCode;

use crate::{
    clients::{presigned, put},
    harness::{Gallery, eventually},
};

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
        config.url_ttl = Duration::from_secs(4);
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
        config.url_ttl = Duration::from_secs(4);
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
    let gallery = Gallery::start_with(|config| config.url_ttl = Duration::from_secs(4)).await;
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

async fn sweep(config: Config) -> Result<Swept, SweepError> {
    Server::sweep(config, UnknownPictures::Count).await
}

#[tokio::test]
async fn one_sweep_of_a_stopped_servers_directory_finishes_what_it_left() {
    let mut gallery = Gallery::start().await;
    let id = UploadId::new();
    gallery.ada.send(id, "a.jpg", &pictures::jpeg(64, 48)).await;
    let running = sweep(Config::embedded(gallery.directory.path())).await;
    assert!(running.is_err(), "a server runs on it");
    gallery.stop().await;
    gallery.sql("UPDATE uploads SET state = 'verifying'").await;

    let swept = sweep(Config::embedded(gallery.directory.path()))
        .await
        .unwrap();
    assert_eq!(swept.verifying, 1);
    gallery.start_again(|_| {}).await;
    let path = format!("/v1/uploads/{id}");
    assert_eq!(gallery.ada.get(&path).await.json["state"], "published");
}

/// A gallery as after its catalogue was restored that is older than its bucket: it has a picture, its store has another one too,
/// and what somebody sent for whom no row is left. With them go the bytes of the store with all of that, without what was sent,
/// and without the other picture either; and a path of the picture that the catalogue has.
async fn with_objects_that_nobody_knows() -> (Gallery, [u64; 3], String) {
    let mut gallery =
        Gallery::start_with(|config| config.timing.look_after = Some(Duration::from_secs(3600)))
            .await;
    let ada = &gallery.ada;
    let kept = ada.upload("a.jpg", &pictures::jpeg(64, 48)).await;
    gallery.visit_garbage().await;
    let known = gallery.stored_bytes();
    ada.upload("b.jpg", &pictures::jpeg(640, 480)).await;
    gallery.visit_garbage().await;
    let published = gallery.stored_bytes();
    let url = presigned(ada, "c.jpg", b"").await;
    let sent = put(ada, &url, &pictures::jpeg(320, 240)).await;
    assert_eq!(sent, StatusCode::OK);
    let all = gallery.stored_bytes();
    gallery.stop().await;
    gallery
        .sql(
            "PRAGMA foreign_keys = OFF; DELETE FROM changes WHERE sequence = 2; DELETE FROM images WHERE sequence = 2;
             DELETE FROM uploads WHERE file_name = 'b.jpg'; DELETE FROM staged; UPDATE feed SET images = 1",
        )
        .await;
    let path = format!("/v1/images/{}", kept["image"]["id"].as_str().unwrap());
    (gallery, [all, published, known], path)
}

#[tokio::test]
async fn one_sweep_removes_what_was_sent_and_no_row_names_and_only_counts_pictures() {
    let (mut gallery, [all, published, known], path) = with_objects_that_nobody_knows().await;
    let config = || Config::embedded(gallery.directory.path());
    let old_enough = || {
        let mut config = config();
        config.timing.forget_objects_after = Duration::ZERO;
        config
    };
    let swept = sweep(config()).await.unwrap();
    assert_eq!((swept.deleted, swept.unknown), (0, 0), "it is young");
    assert_eq!(gallery.stored_bytes(), all);
    for deleted in [1, 0] {
        let swept = sweep(old_enough()).await.unwrap();
        // The original and its thumbnails.
        assert_eq!((swept.deleted, swept.unknown), (deleted, 3));
        assert_eq!(swept.failures, 0);
        assert_eq!(gallery.stored_bytes(), published);
    }
    let swept = Server::sweep(old_enough(), UnknownPictures::Remove).await;
    let swept = swept.unwrap();
    assert_eq!((swept.deleted, swept.unknown, swept.failures), (3, 0, 0));
    assert_eq!(gallery.stored_bytes(), known);
    gallery.start_again(|_| {}).await;
    for path in [format!("{path}/content"), format!("{path}/thumb/320")] {
        let there = gallery.ada.get(&path).await.status;
        assert!(there.is_success() || there.is_redirection(), "{there}");
    }
}

#[tokio::test]
async fn no_picture_is_removed_for_a_catalogue_that_has_none() {
    let (gallery, [all, ..], _) = with_objects_that_nobody_knows().await;
    gallery
        .sql(
            "PRAGMA foreign_keys = OFF; DELETE FROM changes; DELETE FROM images; DELETE FROM uploads;
             UPDATE feed SET images = 0",
        )
        .await;
    let mut config = Config::embedded(gallery.directory.path());
    config.timing.forget_objects_after = Duration::ZERO;
    let refused = Server::sweep(config, UnknownPictures::Remove).await;
    assert!(
        matches!(refused, Err(SweepError::NoPictures)),
        "{refused:?}"
    );
    assert_eq!(gallery.stored_bytes(), all);
}

#[tokio::test]
async fn a_sweep_neither_makes_a_gallery_nor_brings_one_to_its_version() {
    let nowhere = tempfile::tempdir().unwrap();
    let place = nowhere.path().join("gallery");
    let refused = sweep(Config::embedded(&place)).await;
    assert!(
        matches!(refused, Err(SweepError::NoGallery { .. })),
        "{refused:?}"
    );
    assert!(!place.exists());

    let mut gallery = Gallery::start().await;
    gallery.stop().await;
    gallery
        .sql(
            "DELETE FROM _sqlx_migrations
             WHERE version = (SELECT max(version) FROM _sqlx_migrations)",
        )
        .await;
    let refused = sweep(Config::embedded(gallery.directory.path())).await;
    assert!(
        matches!(refused, Err(SweepError::Older { .. })),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_server_removes_by_itself_what_was_sent_and_no_row_names_and_no_picture() {
    let (mut gallery, [_, published, _], _) = with_objects_that_nobody_knows().await;
    gallery
        .start_again(|config| {
            config.timing.first_look_for_objects = Duration::from_millis(10);
            config.timing.forget_objects_after = Duration::from_millis(300);
        })
        .await;
    eventually("it is removed", async || {
        gallery.stored_bytes() <= published
    })
    .await;
    // The next look has ended too by then, at the latest.
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(gallery.stored_bytes(), published);
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
