//! Galleries that a link named: what they are told, and what is left of them.

use std::sync::{Arc, Mutex};

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, header},
};
use imgn_core::App;
use imgn_protocol::ImagePage;
use tokio::net::TcpListener;

use crate::gallery::{Shared, home, serve, with_token};

type Heard = Arc<Mutex<Vec<HeaderMap>>>;

/// A server of somebody else's that remembers all that it is told.
async fn stranger() -> (String, Heard) {
    let heard = Heard::default();
    let remember = async |State(heard): State<Heard>, headers: HeaderMap| {
        heard.lock().unwrap().push(headers);
        Json(ImagePage {
            images: vec![],
            next_cursor: None,
        })
    };
    let router = Router::new()
        .fallback(remember)
        .with_state(Arc::clone(&heard));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, heard)
}

#[tokio::test]
async fn the_token_of_the_environment_is_shown_to_no_other_gallery() {
    let folder = tempfile::tempdir().unwrap();
    let own = serve(&Shared::default()).await;
    let (other, heard) = stranger().await;
    let app = App::open(home(folder.path()), with_token()).await.unwrap();
    app.connect(&own, None).await.unwrap();

    let state = app.visit(&other).await.unwrap();
    let server = state.server.unwrap();
    assert_eq!(server.url.trim_end_matches('/'), other);
    assert!(!server.signed_in);
    // The next start shows it nothing either.
    app.quit().await;
    let app = App::open(home(folder.path()), with_token()).await.unwrap();
    let server = app.state().await.server.unwrap();
    assert_eq!(server.url.trim_end_matches('/'), own.trim_end_matches('/'));
    {
        let heard = heard.lock().unwrap();
        assert!(!heard.is_empty());
        assert!(
            heard
                .iter()
                .all(|headers| !headers.contains_key(header::AUTHORIZATION))
        );
    }

    // What it was set for has it, however it is come to.
    app.visit(&other).await.unwrap();
    let state = app.visit(&own).await.unwrap();
    assert!(state.server.unwrap().signed_in);
}
