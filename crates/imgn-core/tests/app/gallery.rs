//! A small server that speaks the API's words over real HTTP and can be told to misbehave, and an app on it.

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
use imgn_core::{App, Batch, Folders, Home, Options, Origin, UploadView};
use imgn_protocol::{
    ErrorCode, Image, ImageId, ImagePage, Mode, OpenRequest, PresignedUrl, Problem, Sha256,
    SignedRequest, Timestamp, Token, UploadAnswer,
};
use tokio::net::TcpListener;

pub(crate) const TOKEN: &str = "imgn_5ec7e7";
pub(crate) const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0";

#[derive(Default)]
pub(crate) struct Gallery {
    pub(crate) url: String,
    pub(crate) opened: BTreeMap<String, OpenRequest>,
    pub(crate) stored: BTreeMap<String, Vec<u8>>,
    pub(crate) put_headers: Vec<HeaderMap>,
    pub(crate) images: Vec<Image>,
    /// Statuses that the store answers before it takes anything.
    pub(crate) store_says: Vec<u16>,
    /// Whether a token must not be shown to it.
    pub(crate) refuses_tokens: bool,
    /// What `/content` gives in place of the original.
    pub(crate) lies: bool,
    /// Originals that are being asked for, and the most that were so at the same time.
    pub(crate) asked: usize,
    pub(crate) most_asked: usize,
}

pub(crate) type Shared = Arc<Mutex<Gallery>>;

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
        sequence: 1,
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
        lens: None,
        exposure: None,
        location: None,
        owner: "tester".to_owned(),
        url: format!("{}v1/images/{image_id}/content", gallery.url),
        display_url: None,
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

/// Looking needs no token, and who shows one to a gallery that it is not for is told so.
async fn thumb(
    State(gallery): State<Shared>,
    extract::Path((id, _)): extract::Path<(ImageId, u32)>,
    headers: HeaderMap,
) -> Response {
    let gallery = gallery.lock().unwrap();
    let is_known = gallery.images.iter().any(|image| image.id == id);
    match (is_known, gallery.refuses_tokens && is_authorized(&headers)) {
        (true, false) => format!("a thumbnail of {id}").into_response(),
        (false, _) => problem(ErrorCode::NotFound),
        (true, true) => problem(ErrorCode::Forbidden),
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
pub(crate) async fn serve(gallery: &Shared) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = address(&listener);
    serve_on(listener, gallery);
    url
}

/// An address that nobody listens at, but somebody will.
pub(crate) async fn nobodys_address() -> String {
    address(&TcpListener::bind("127.0.0.1:0").await.unwrap())
}

/// Serves at an address that was nobody's.
pub(crate) async fn serve_at(url: &str, gallery: &Shared) {
    let address = url[7..].trim_end_matches('/');
    serve_on(TcpListener::bind(address).await.unwrap(), gallery);
}

fn address(listener: &TcpListener) -> String {
    format!("http://{}/", listener.local_addr().unwrap())
}

fn serve_on(listener: TcpListener, gallery: &Shared) {
    gallery.lock().unwrap().url = address(&listener);
    let routes = Router::new()
        .route("/v1/uploads/{id}", put(open).get(status))
        .route("/v1/uploads/{id}/complete", post(complete))
        .route("/bucket/{id}", put(store))
        .route("/v1/images", get(images))
        .route("/v1/images/{id}", get(image).delete(delete))
        .route("/v1/images/{id}/content", get(content))
        .route("/v1/images/{id}/thumb/{size}", get(thumb))
        .with_state(Arc::clone(gallery));
    tokio::spawn(async move { axum::serve(listener, routes).await });
}

pub(crate) fn home(folder: &Path) -> Home {
    Home::locate(Some(folder.join("home"))).unwrap()
}

pub(crate) fn with_token() -> Options {
    Options {
        token: Some(Token::new(TOKEN)),
        ..Options::default()
    }
}

pub(crate) fn file(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

pub(crate) async fn take(app: &App, paths: Vec<PathBuf>) {
    let gallery = app.gallery().await.unwrap();
    let act = Batch::new(Origin::Person);
    let taken = app.enqueue(&gallery, paths, Folders::Walked, act, |_| {});
    taken.await.unwrap();
}

pub(crate) async fn until(app: &App, what: impl Fn(&[UploadView]) -> bool) -> Vec<UploadView> {
    for _ in 0..1000 {
        let uploads = app.uploads().await;
        if what(&uploads) {
            return uploads;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("still at {:#?}", app.uploads().await)
}

pub(crate) async fn ended(app: &App) -> Vec<UploadView> {
    until(app, |uploads| {
        uploads.iter().all(|upload| upload.state.has_ended())
    })
    .await
}
