//! The app on a small server of its own that speaks the API's words over real HTTP, and can be told to misbehave.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that meets what it does not expect has failed"
)]

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{self, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post, put},
};
use imgn_core::{
    App, ClientCode, Event, Folders, Home, ImageQuery, Options, UploadState, UploadView,
};
use imgn_protocol::{
    ErrorCode, Image, ImageId, ImagePage, Mode, OpenRequest, PresignedUrl, Problem, Sha256,
    SignedRequest, Timestamp, Token, UploadAnswer,
};

const TOKEN: &str = "imgn_5ec7e7";
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0";

#[derive(Default)]
struct Gallery {
    url: String,
    opened: BTreeMap<String, OpenRequest>,
    stored: BTreeMap<String, Vec<u8>>,
    put_headers: Vec<HeaderMap>,
    images: Vec<Image>,
    /// Statuses that the store answers before it takes anything.
    store_says: Vec<u16>,
    /// What `/content` gives in place of the original.
    lies: bool,
    /// Originals that are being asked for, and the most that were so at the same time.
    asked: usize,
    most_asked: usize,
}

type Shared = Arc<Mutex<Gallery>>;

fn problem(code: ErrorCode) -> Response {
    let status = StatusCode::from_u16(code.status()).unwrap();
    (status, Json(Problem::new(code, "the detail"))).into_response()
}

fn is_authorized(headers: &HeaderMap) -> bool {
    headers
        .get(header::AUTHORIZATION)
        .is_some_and(|value| value == &format!("Bearer {TOKEN}"))
}

async fn open(
    State(gallery): State<Shared>,
    extract::Path(id): extract::Path<String>,
    headers: HeaderMap,
    Json(request): Json<OpenRequest>,
) -> Response {
    if !is_authorized(&headers) {
        return problem(ErrorCode::Unauthorized);
    }
    let mut gallery = gallery.lock().unwrap();
    if let Some(image) = gallery
        .images
        .iter()
        .find(|image| image.sha256 == request.sha256)
    {
        let image = Box::new(image.clone());
        return Json(UploadAnswer::Published { image }).into_response();
    }
    let size = request.size;
    let signed = SignedRequest {
        method: "PUT".to_owned(),
        url: PresignedUrl::new(format!("{}bucket/{id}?X-Amz-Signature=5ec7e7", gallery.url)),
        headers: BTreeMap::from([
            ("content-length".to_owned(), size.to_string()),
            ("content-type".to_owned(), "image/png".to_owned()),
        ]),
        expires_at: Timestamp::now(),
    };
    gallery.opened.insert(id.clone(), request);
    Json(UploadAnswer::Open {
        key: id,
        mode: Mode::Single,
        part_size: size,
        part_count: 1,
        checksum_algorithm: imgn_protocol::ChecksumAlgorithm::default(),
        parts: vec![],
        signed: Some(signed),
    })
    .into_response()
}

async fn status(headers: HeaderMap) -> Response {
    problem(if is_authorized(&headers) {
        ErrorCode::NotFound
    } else {
        ErrorCode::Unauthorized
    })
}

async fn store(
    State(gallery): State<Shared>,
    extract::Path(id): extract::Path<String>,
    headers: HeaderMap,
    bytes: Bytes,
) -> Response {
    let mut gallery = gallery.lock().unwrap();
    if let Some(status) = gallery.store_says.pop() {
        let status = StatusCode::from_u16(status).unwrap();
        let error = "<Error><Code>Some</Code><Message>the store's words</Message></Error>";
        return (status, [(header::RETRY_AFTER, "0")], error).into_response();
    }
    gallery.put_headers.push(headers);
    gallery.stored.insert(id, bytes.to_vec());
    StatusCode::OK.into_response()
}

async fn complete(
    State(gallery): State<Shared>,
    extract::Path(id): extract::Path<String>,
) -> Response {
    let mut gallery = gallery.lock().unwrap();
    let request = gallery.opened[&id].clone();
    assert_eq!(Sha256::of(&gallery.stored[&id]), request.sha256);
    let image_id = ImageId::new();
    let image = Image {
        id: image_id,
        file_name: request.file_name,
        width: 1,
        height: 1,
        content_type: "image/png".to_owned(),
        size: request.size,
        sha256: request.sha256,
        thumbhash: String::new(),
        animated: false,
        taken_at: None,
        created_at: Timestamp::now(),
        camera: None,
        owner: "tester".to_owned(),
        url: format!("{}v1/images/{image_id}/content", gallery.url),
    };
    gallery.images.push(image.clone());
    Json(UploadAnswer::Published {
        image: Box::new(image),
    })
    .into_response()
}

async fn images(State(gallery): State<Shared>) -> Json<ImagePage> {
    let images = gallery.lock().unwrap().images.clone();
    Json(ImagePage {
        images,
        next_cursor: None,
    })
}

async fn image(
    State(gallery): State<Shared>,
    extract::Path(id): extract::Path<ImageId>,
) -> Response {
    let gallery = gallery.lock().unwrap();
    match gallery.images.iter().find(|image| image.id == id) {
        Some(image) => Json(image.clone()).into_response(),
        None => problem(ErrorCode::NotFound),
    }
}

async fn delete(
    State(gallery): State<Shared>,
    extract::Path(id): extract::Path<ImageId>,
    headers: HeaderMap,
) -> Response {
    if !is_authorized(&headers) {
        return problem(ErrorCode::Unauthorized);
    }
    gallery
        .lock()
        .unwrap()
        .images
        .retain(|image| image.id != id);
    StatusCode::NO_CONTENT.into_response()
}

async fn content(State(gallery): State<Shared>) -> Vec<u8> {
    {
        let mut gallery = gallery.lock().unwrap();
        gallery.asked += 1;
        gallery.most_asked = gallery.most_asked.max(gallery.asked);
    }
    tokio::time::sleep(Duration::from_millis(20)).await;
    gallery.lock().unwrap().asked -= 1;
    if gallery.lock().unwrap().lies {
        b"lies".to_vec()
    } else {
        PNG.to_vec()
    }
}

/// Serves at a free port, and answers with its address.
async fn serve(gallery: &Shared) -> String {
    let routes = Router::new()
        .route("/v1/uploads/{id}", put(open).get(status))
        .route("/v1/uploads/{id}/complete", post(complete))
        .route("/bucket/{id}", put(store))
        .route("/v1/images", get(images))
        .route("/v1/images/{id}", get(image).delete(delete))
        .route("/v1/images/{id}/content", get(content))
        .route(
            "/v1/images/{id}/thumb/{size}",
            get(|| async { "a thumbnail" }),
        )
        .with_state(Arc::clone(gallery));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    gallery.lock().unwrap().url.clone_from(&url);
    tokio::spawn(async move { axum::serve(listener, routes).await });
    url
}

fn home(folder: &Path) -> Home {
    Home::locate(Some(folder.join("home"))).unwrap()
}

fn with_token() -> Options {
    Options {
        token: Some(Token::new(TOKEN)),
        ..Options::default()
    }
}

fn file(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

async fn take(app: &App, paths: Vec<PathBuf>) {
    let taken = app.enqueue(paths, Folders::Walked, |_| {}).await;
    taken.unwrap();
}

async fn until(app: &App, what: impl Fn(&[UploadView]) -> bool) -> Vec<UploadView> {
    for _ in 0..1000 {
        let uploads = app.uploads().await;
        if what(&uploads) {
            return uploads;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("still at {:#?}", app.uploads().await)
}

async fn ended(app: &App) -> Vec<UploadView> {
    until(app, |uploads| {
        uploads.iter().all(|upload| upload.state.has_ended())
    })
    .await
}

#[tokio::test]
async fn a_picture_goes_up_is_seen_and_goes_away() {
    let folder = tempfile::tempdir().unwrap();
    let gallery = Shared::default();
    let url = serve(&gallery).await;
    let app = App::open(home(folder.path()), with_token()).await.unwrap();
    let state = app.connect(&url, None).await.unwrap();
    assert!(state.server.as_ref().unwrap().signed_in && state.server.unwrap().reachable);

    let mut events = app.events();
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
    let mut added = None;
    while added.is_none() {
        if let Event::GalleryChanged(change) = events.recv().await.unwrap() {
            added = Some(change.added);
        }
    }
    let image = added.unwrap().remove(0);

    take(&app, vec![path]).await;
    assert_eq!(ended(&app).await[1].state, UploadState::Duplicate);

    assert_eq!(app.thumb(image.id, 320).await.unwrap(), b"a thumbnail");
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

    app.delete(image.id).await.unwrap();
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
    // A port that nobody listens on, but somebody will.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
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
    gallery.lock().unwrap().url.clone_from(&url);
    let routes = Router::new()
        .route("/v1/uploads/{id}", put(open))
        .route("/v1/uploads/{id}/complete", post(complete))
        .route("/bucket/{id}", put(store))
        .with_state(Arc::clone(&gallery));
    let listener = tokio::net::TcpListener::bind(url[7..].trim_end_matches('/'))
        .await
        .unwrap();
    tokio::spawn(async move { axum::serve(listener, routes).await });
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
    app.enqueue_stream(PNG, "stdin").await.unwrap();
    let other = app.enqueue_stream(&b"no picture"[..], "stdin");
    assert_eq!(other.await.unwrap().len(), 1);
    let uploads = ended(&app).await;
    assert_eq!(uploads[0].file_name, "stdin.png");
    assert_eq!(uploads[0].state, UploadState::Published);
    assert_eq!(uploads[1].state, UploadState::Rejected);
    app.quit().await;
    assert_eq!(std::fs::read_dir(app.home().spool()).unwrap().count(), 0);
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
