//! Uploads that are held back, moved, taken back, and how all are done.

use imgn_core::{
    App, Batch, ClientCode, Folders, Options, Origin, UploadPreferences, UploadState, UploadView,
    protocol::UploadId,
};

use crate::gallery::{
    PNG, Shared, ended, file, home, nobodys_address, serve, serve_at, take, until, with_token,
};

fn id(upload: &UploadView) -> UploadId {
    upload.id.parse().unwrap()
}

fn names(uploads: &[UploadView]) -> Vec<&str> {
    uploads.iter().map(|it| it.file_name.as_str()).collect()
}

/// An app whose gallery cannot be reached yet, with three uploads that wait for it.
async fn waiting(folder: &std::path::Path, url: &str) -> (App, Vec<UploadView>) {
    let options = Options {
        server: Some(url.to_owned()),
        ..with_token()
    };
    let app = App::open(home(folder), options).await.unwrap();
    let files = ["a.png", "b.png", "c.png"]
        .map(|name| file(folder, name, &[PNG, name.as_bytes()].concat()));
    take(&app, files.to_vec()).await;
    let uploads = until(&app, |uploads| {
        uploads.iter().all(|it| it.state == UploadState::Waiting)
    })
    .await;
    (app, uploads)
}

#[tokio::test]
async fn a_pause_outlives_the_program_and_ends_when_somebody_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let url = nobodys_address().await;
    let (app, uploads) = waiting(folder.path(), &url).await;
    app.pause(id(&uploads[0])).await.unwrap();
    assert_eq!(app.uploads().await[0].state, UploadState::Paused);
    app.quit().await;

    let gallery = Shared::default();
    serve_at(&url, &gallery).await;
    let options = Options {
        server: Some(url),
        adopt: true,
        ..with_token()
    };
    let app = App::open(home(folder.path()), options).await.unwrap();
    let others = |uploads: &[UploadView]| uploads[1..].iter().all(|it| it.state.has_ended());
    let uploads = until(&app, others).await;
    assert_eq!(uploads[0].state, UploadState::Paused, "not by itself");
    assert_eq!(gallery.lock().unwrap().stored.len(), 2);

    assert_eq!(app.resume_all().await.unwrap(), 1);
    let states: Vec<_> = ended(&app).await.iter().map(|it| it.state).collect();
    assert_eq!(states, [UploadState::Published; 3]);
    let unknown = app.pause(UploadId::new()).await.unwrap_err();
    assert_eq!(unknown.code, ClientCode::UnknownUpload.into());
}

#[tokio::test]
async fn the_queue_is_told_in_its_order_and_all_of_it_can_be_taken_back() {
    let folder = tempfile::tempdir().unwrap();
    let (app, uploads) = waiting(folder.path(), &nobodys_address().await).await;
    app.move_to_top(id(&uploads[2])).await.unwrap();
    let moved = app.uploads().await;
    assert_eq!(names(&moved), ["c.png", "a.png", "b.png"]);
    assert!(moved.is_sorted_by_key(|it| it.position), "{moved:?}");

    assert_eq!(app.pause_all().await.unwrap(), 3);
    assert_eq!(app.cancel_all().await.unwrap(), 3);
    let states: Vec<_> = ended(&app).await.iter().map(|it| it.state).collect();
    assert_eq!(states, [UploadState::Cancelled; 3]);
}

#[tokio::test]
async fn what_is_chosen_for_all_uploads_is_checked_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let url = serve(&Shared::default()).await;
    let app = App::open(home(folder.path()), with_token()).await.unwrap();
    app.connect(&url, None).await.unwrap();
    assert_eq!(
        app.upload_preferences().await,
        UploadPreferences {
            keep_location: false,
            jobs: None,
            bytes_per_second: None,
        }
    );
    let chosen = UploadPreferences {
        keep_location: true,
        jobs: Some(64),
        bytes_per_second: Some(2_000_000),
    };
    for wrong in [
        UploadPreferences {
            jobs: Some(0),
            ..chosen
        },
        UploadPreferences {
            jobs: Some(65),
            ..chosen
        },
        UploadPreferences {
            bytes_per_second: Some(0),
            ..chosen
        },
    ] {
        let refused = app.set_upload_preferences(wrong).await.unwrap_err();
        assert_eq!(refused.code, ClientCode::InvalidInput.into());
    }
    app.set_upload_preferences(chosen).await.unwrap();
    app.quit().await;
    let app = App::open(home(folder.path()), with_token()).await.unwrap();
    assert_eq!(app.upload_preferences().await, chosen);
}

#[tokio::test]
async fn a_folder_is_taken_in_batches_and_what_else_is_in_it_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let url = serve(&Shared::default()).await;
    let app = App::open(home(folder.path()), with_token()).await.unwrap();
    app.connect(&url, None).await.unwrap();
    let pictures = folder.path().join("pictures");
    std::fs::create_dir(&pictures).unwrap();
    for number in 0..300 {
        let bytes = [PNG, format!("{number}").as_bytes()].concat();
        file(&pictures, &format!("{number}.png"), &bytes);
    }
    file(&pictures, "notes.txt", b"words");
    let mut batches = Vec::new();
    let act = Batch::new(Origin::Person);
    let gallery = app.gallery().await.unwrap();
    let paths = vec![pictures.clone()];
    let taken = app.enqueue(&gallery, paths, Folders::Walked, act, |batch| {
        batches.push(batch);
    });
    let taken = taken.await.unwrap();
    assert_eq!((taken.pictures, taken.other_files), (300, 1));
    let paths: Vec<_> = batches.iter().flatten().map(|it| it.path.clone()).collect();
    let expected: Vec<_> = (0..300)
        .map(|number| pictures.join(format!("{number}.png")))
        .collect();
    assert_eq!(paths, expected);
    assert!(batches.len() > 1, "uploading begins before all is found");

    let uploads = ended(&app).await;
    assert_eq!(uploads.len(), 300);
    assert!(uploads.iter().all(|it| it.state == UploadState::Published));
    assert_eq!(app.totals().await.files_done, 300);
    assert!(
        app.clock_skew_seconds()
            .await
            .is_some_and(|skew| skew.abs() < 30)
    );
}
