//! The app on a small server of its own that speaks the API's words over real HTTP, and can be told to misbehave.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that meets what it does not expect has failed"
)]

mod control;
mod gallery;
mod profiles;
mod visit;

use std::time::Duration;

use axum::http::header;
use imgn_core::{App, Batch, ClientCode, Event, ImageQuery, Options, Origin, UploadState};
use imgn_protocol::{ErrorCode, Token};

use gallery::{
    PNG, Shared, TOKEN, ended, file, home, nobodys_address, serve, serve_at, take, until,
    with_token,
};

#[tokio::test]
async fn a_picture_goes_up_is_seen_and_goes_away() {
    let folder = tempfile::tempdir().unwrap();
    let gallery = Shared::default();
    let url = serve(&gallery).await;
    let app = App::open(home(folder.path()), with_token()).await.unwrap();
    let state = app.connect(&url, None).await.unwrap();
    assert!(state.server.as_ref().unwrap().signed_in && state.server.unwrap().reachable);

    let path = file(folder.path(), "a [b].png", PNG);
    take(&app, vec![path.clone()]).await;
    let uploads = ended(&app).await;
    assert_eq!(uploads[0].state, UploadState::Published, "{uploads:?}");
    assert_eq!(uploads[0].sent_bytes, PNG.len() as u64);
    {
        let gallery = gallery.lock().unwrap();
        let headers = &gallery.put_headers[0];
        assert_eq!(headers[header::CONTENT_LENGTH], PNG.len().to_string());
        assert_eq!(headers[header::CONTENT_TYPE], "image/png");
        assert!(!headers.contains_key(header::TRANSFER_ENCODING));
        assert!(
            !headers.contains_key(header::AUTHORIZATION),
            "the store gets no token"
        );
        assert_eq!(gallery.stored.values().next().unwrap(), PNG);
    }
    let image = uploads[0].image.clone().unwrap();

    take(&app, vec![path]).await;
    assert_eq!(ended(&app).await[1].state, UploadState::Duplicate);

    assert!(
        app.thumb(image.id, 320)
            .await
            .unwrap()
            .starts_with(b"a thumbnail")
    );
    assert!(app.has_thumb(image.id).await);
    assert_eq!(app.original(image.id).await.unwrap().1, PNG);
    let out = folder.path().join("out.png");
    app.download(image.id, out.clone(), false).await.unwrap();
    assert_eq!(std::fs::read(&out).unwrap(), PNG);
    let again = app
        .download(image.id, out.clone(), false)
        .await
        .unwrap_err();
    assert_eq!(again.code, ClientCode::DiskFailed.into());
    gallery.lock().unwrap().lies = true;
    let lied = app.download(image.id, out.clone(), true).await.unwrap_err();
    assert_eq!(lied.code, ErrorCode::ChecksumMismatch.into());
    assert_eq!(std::fs::read(&out).unwrap(), PNG, "what was there stays");
    let names: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert_eq!(names.len(), 3, "nothing is left behind: {names:?}");

    let done = app.delete_images(vec![image.id]).await.unwrap();
    assert_eq!(done.deleted, [image.id]);
    assert!(
        app.images(ImageQuery {
            limit: 10,
            ..ImageQuery::default()
        })
        .await
        .unwrap()
        .images
        .is_empty()
    );
    app.quit().await;
}

#[tokio::test]
async fn the_stores_refusals_are_told_in_its_words() {
    let folder = tempfile::tempdir().unwrap();
    let gallery = Shared::default();
    let url = serve(&gallery).await;
    let app = App::open(home(folder.path()), with_token()).await.unwrap();
    app.connect(&url, None).await.unwrap();
    gallery.lock().unwrap().store_says = vec![503, 429];
    take(&app, vec![file(folder.path(), "a.png", PNG)]).await;
    assert_eq!(ended(&app).await[0].state, UploadState::Published);

    gallery.lock().unwrap().store_says = vec![404];
    let other = [PNG, b"x"].concat();
    take(&app, vec![file(folder.path(), "b.png", &other)]).await;
    let failed = &ended(&app).await[1];
    assert_eq!(failed.state, UploadState::Failed);
    let error = failed.error.as_ref().unwrap();
    assert_eq!(error.code.as_str(), "store_refused");
    assert!(error.message.contains("the store's words"), "{error:?}");
}

#[tokio::test]
async fn a_wrong_token_and_a_wrong_server_are_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    let url = serve(&Shared::default()).await;
    let wrong = Options {
        token: Some(Token::new("imgn_wrong")),
        ..Options::default()
    };
    let app = App::open(home(folder.path()), wrong).await.unwrap();
    let error = app.connect(&url, None).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Unauthorized.into());
    assert!(!error.message.contains("imgn_wrong"));

    let error = app.connect("http://127.0.0.1:1", None).await.unwrap_err();
    assert_eq!(error.code.as_str(), "offline");
    assert_eq!(app.state().await.server, None);
    assert_eq!(
        app.images(ImageQuery::default()).await.unwrap_err().code,
        ClientCode::NotConnected.into()
    );
}

#[tokio::test]
async fn without_a_server_uploads_wait_and_the_next_program_sends_them() {
    let folder = tempfile::tempdir().unwrap();
    let url = nobodys_address().await;
    let options = Options {
        server: Some(url.clone()),
        ..with_token()
    };
    let app = App::open(home(folder.path()), options.clone())
        .await
        .unwrap();
    take(&app, vec![file(folder.path(), "a.png", PNG)]).await;
    let waiting = until(&app, |uploads| uploads[0].state == UploadState::Waiting).await;
    assert_eq!(waiting[0].error.as_ref().unwrap().code.as_str(), "offline");
    assert!(!app.state().await.server.unwrap().reachable);
    app.quit().await;

    let gallery = Shared::default();
    serve_at(&url, &gallery).await;
    let app = App::open(
        home(folder.path()),
        Options {
            adopt: true,
            ..options
        },
    )
    .await
    .unwrap();
    assert_eq!(ended(&app).await[0].state, UploadState::Published);
    assert_eq!(gallery.lock().unwrap().stored.len(), 1);
}

#[tokio::test]
async fn a_stream_is_kept_until_it_is_in_the_gallery() {
    let folder = tempfile::tempdir().unwrap();
    let gallery = Shared::default();
    let url = serve(&gallery).await;
    let app = App::open(home(folder.path()), with_token()).await.unwrap();
    app.connect(&url, None).await.unwrap();
    let act = Batch::new(Origin::Person);
    let shown = app.gallery().await.unwrap();
    app.enqueue_stream(&shown, PNG, "stdin", act).await.unwrap();
    let other = app.enqueue_stream(&shown, &b"no picture"[..], "stdin", act);
    assert_eq!(other.await.unwrap().len(), 1);
    let uploads = ended(&app).await;
    assert_eq!(uploads[0].file_name, "stdin.png");
    assert_eq!(uploads[0].state, UploadState::Published);
    assert_eq!(uploads[1].state, UploadState::Rejected);
    // What was refused can be tried again until it is cleared.
    spool_holds(&app, 1).await;
    app.clear_finished(None).await.unwrap();
    spool_holds(&app, 0).await;
    app.quit().await;
}

#[tokio::test]
async fn a_stream_that_was_called_off_can_be_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let url = nobodys_address().await;
    let options = Options {
        server: Some(url.clone()),
        ..with_token()
    };
    let app = App::open(home(folder.path()), options).await.unwrap();
    let act = Batch::new(Origin::Person);
    let shown = app.gallery().await.unwrap();
    app.enqueue_stream(&shown, PNG, "stdin", act).await.unwrap();
    let uploads = until(&app, |uploads| uploads[0].state == UploadState::Waiting).await;
    let id = uploads[0].id.parse().unwrap();
    app.cancel(id).await.unwrap();
    until(&app, |uploads| uploads[0].state == UploadState::Cancelled).await;

    let gallery = Shared::default();
    serve_at(&url, &gallery).await;
    app.retry(id).await.unwrap();
    let uploads = until(&app, |uploads| uploads[0].state == UploadState::Published).await;
    assert_eq!(uploads.len(), 1);
    assert_eq!(gallery.lock().unwrap().stored.values().next().unwrap(), PNG);
    app.quit().await;
    spool_holds(&app, 0).await;
}

/// Waits until so many files are kept: they go a moment after it is told that nobody needs them.
async fn spool_holds(app: &App, count: usize) {
    let held = || std::fs::read_dir(app.home().spool()).unwrap().count();
    let waited = tokio::time::timeout(Duration::from_secs(10), async {
        while held() != count {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    assert!(waited.await.is_ok(), "{} and not {count}", held());
}

#[tokio::test]
async fn originals_in_memory_are_bounded_in_size_and_number() {
    let folder = tempfile::tempdir().unwrap();
    let gallery = Shared::default();
    let url = serve(&gallery).await;
    let app = App::open(home(folder.path()), with_token()).await.unwrap();
    app.connect(&url, None).await.unwrap();
    take(&app, vec![file(folder.path(), "a.png", PNG)]).await;
    let id = ended(&app).await[0].image.as_ref().unwrap().id;

    let askers: Vec<_> = (0..8)
        .map(|_| {
            let app = app.clone();
            tokio::spawn(async move { app.original(id).await.unwrap().1 })
        })
        .collect();
    for asker in askers {
        assert_eq!(asker.await.unwrap(), PNG);
    }
    assert_eq!(gallery.lock().unwrap().most_asked, 2);

    let size = PNG.len() as u64;
    for (announced, code) in [
        (size - 1, ErrorCode::ChecksumMismatch.into()),
        (size + 1, ErrorCode::ChecksumMismatch.into()),
        (256 * 1024 * 1024 + 1, ClientCode::InvalidInput.into()),
    ] {
        gallery.lock().unwrap().images[0].size = announced;
        assert_eq!(app.original(id).await.unwrap_err().code, code);
    }
}

#[tokio::test]
async fn the_gallery_on_this_computer_needs_no_keyring() {
    let folder = tempfile::tempdir().unwrap();
    let url = serve(&Shared::default()).await;
    let app = App::open(home(folder.path()), Options::default())
        .await
        .unwrap();
    let state = app.connect_local(&url, Token::new(TOKEN)).await.unwrap();
    let server = state.server.unwrap();
    assert!(server.local && server.signed_in);
    assert!(app.wants_local().await);
    let settings = std::fs::read_to_string(app.home().settings()).unwrap();
    assert!(settings.contains("signed_in = false"), "{settings}");

    // Left at once, and whoever shows it is told.
    let mut events = app.events();
    assert_eq!(app.disconnect().await.unwrap().server, None);
    assert!(matches!(
        events.try_recv().unwrap(),
        Event::StateChanged(state) if state.server.is_none()
    ));
    assert!(!app.wants_local().await);
}

#[tokio::test]
async fn leaving_a_gallery_that_was_named_keeps_the_one_that_was_chosen() {
    let folder = tempfile::tempdir().unwrap();
    let (chosen, named) = (
        serve(&Shared::default()).await,
        serve(&Shared::default()).await,
    );
    let app = App::open(home(folder.path()), with_token()).await.unwrap();
    app.connect(&chosen, None).await.unwrap();
    app.quit().await;

    for (server, left) in [(named, Some(&chosen)), (chosen.clone(), None)] {
        let options = Options {
            server: Some(server),
            ..with_token()
        };
        let app = App::open(home(folder.path()), options).await.unwrap();
        assert_eq!(app.disconnect().await.unwrap().server, None);
        let next = App::open(home(folder.path()), with_token()).await.unwrap();
        let chosen = next.state().await.server.map(|server| server.url);
        assert_eq!(chosen.as_ref(), left);
    }
}
