//! With imgn's own server: live events, and a cold start without it.

use std::path::Path;

use imgn_core::{App, Batch, Event, Folders, Home, MirrorPhase, Options, Origin, UploadState};
use imgn_protocol::{ImageId, Token};
use imgn_server::{Config, Role, Server};
use imgn_testkit::pictures;

use crate::fake::{eventually, heard, shown};

async fn start(data: &Path, listen: &str) -> Server {
    let mut config = Config::embedded(data);
    listen.clone_into(&mut config.listen);
    Server::start(config).await.unwrap()
}

async fn open(home: &Path, url: &str, token: &Token, follow: bool) -> App {
    let options = Options {
        server: Some(url.to_owned()),
        token: Some(token.clone()),
        follow,
        ..Options::default()
    };
    let home = Home::locate(Some(home.to_owned())).unwrap();
    App::open(home, options).await.unwrap()
}

/// Uploads a picture and answers its id, when it is published.
async fn publish(app: &App, folder: &Path, name: &str, width: u32) -> ImageId {
    let path = folder.join(name);
    std::fs::write(&path, pictures::jpeg(width, 60)).unwrap();
    let mut taken = Vec::new();
    let act = Batch::new(Origin::Person);
    let gallery = app.gallery().await.unwrap();
    app.enqueue(&gallery, vec![path], Folders::Refused, act, |found| {
        taken.extend(found);
    })
    .await
    .unwrap();
    let mut id = None;
    eventually("published", async || {
        let report = app.upload_report(taken[0].id).await.unwrap();
        assert_ne!(report.view.state, UploadState::Failed, "{report:?}");
        id = report.view.image.map(|image| image.id);
        id.is_some()
    })
    .await;
    id.unwrap()
}

#[tokio::test]
async fn changes_arrive_as_they_happen_and_all_of_it_is_there_without_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("server");
    let server = start(&data, "127.0.0.1:0").await;
    let token = server.add_token("ada", Role::Uploader).await.unwrap();
    let (url, address) = (server.url().to_string(), server.address().to_string());
    let home = folder.path().join("home");
    let app = open(&home, &url, &token, true).await;
    let other = open(&folder.path().join("other"), &url, &token, true).await;

    let mut events = other.events();
    let a = publish(&app, folder.path(), "a.jpg", 90).await;
    let b = publish(&app, folder.path(), "beach b.jpg", 120).await;
    // Within a moment at who uploaded it, and by the live feed at who did not.
    for one in [&app, &other] {
        eventually("it is shown", async || {
            one.timeline("").await.unwrap().sequences.len() == 2
        })
        .await;
    }
    heard(&mut events, |event| {
        matches!(event, Event::TimelineChanged).then_some(())
    })
    .await;
    let done = other.delete_images(vec![a]).await.unwrap();
    assert_eq!(done.deleted, [a]);
    eventually("it is gone", async || shown(&app).await.len() == 1).await;
    let c = publish(&other, folder.path(), "c.jpg", 150).await;
    eventually("it is shown", async || shown(&app).await.len() == 2).await;
    assert_eq!(
        app.state().await.server.unwrap().mirror.phase,
        MirrorPhase::Live
    );

    app.keep(&[b], true).await.unwrap();
    eventually("it is kept", async || {
        app.offline_state().await.unwrap().here == 1
    })
    .await;
    let thumbs = app.thumb(b, 1280).await.unwrap();
    eventually("thumbnails are fetched ahead", async || {
        app.has_thumb(b).await && app.has_thumb(c).await
    })
    .await;
    let seen = shown(&app).await;
    app.quit().await;
    other.quit().await;
    server.shutdown().await;

    // A cold start with the cable pulled.
    let app = open(&home, &url, &token, true).await;
    assert_eq!(shown(&app).await, seen);
    assert_eq!(app.timeline("bea").await.unwrap().sequences.len(), 1);
    assert_eq!(app.thumb(b, 1280).await.unwrap(), thumbs);
    assert!(app.thumb(c, 320).await.is_ok());
    assert_eq!(app.original(b).await.unwrap().1, pictures::jpeg(120, 60));
    assert!(app.original(c).await.is_err());
    assert_eq!(app.image(c).await.unwrap().id, c);
    eventually("it says so", async || {
        let server = app.state().await.server.unwrap();
        server.mirror.phase == MirrorPhase::Offline && !server.reachable
    })
    .await;
    let view = app.state().await.server.unwrap().mirror;
    assert!(view.checked_at.is_some());
    assert_eq!(view.known, 2);
    let done = app.delete_images(vec![c]).await.unwrap();
    assert_eq!(done.queued, [c]);
    let view = app.state().await.server.unwrap().mirror;
    assert_eq!((view.known, view.pending_deletions), (1, 1));

    // The server is back: what waited is done by itself.
    let server = start(&data, &address).await;
    eventually("it is deleted", async || {
        let server = app.state().await.server.unwrap();
        server.mirror.pending_deletions == 0 && server.mirror.phase == MirrorPhase::Live
    })
    .await;
    let fresh = open(&folder.path().join("fresh"), &url, &token, false).await;
    fresh.sync(false).await.unwrap();
    assert_eq!(shown(&fresh).await, shown(&app).await);
    assert_eq!(shown(&fresh).await.len(), 1);
    app.quit().await;
    server.shutdown().await;
}
