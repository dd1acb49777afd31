//! The gallery as a web page: the built `ui/`, embedded in the program. `/i/{id}` is the page opened on one picture, and
//! tells those who show previews of links what that is.

use std::collections::HashSet;

use axum::{
    Router,
    extract::{Path, State},
    http::{
        HeaderValue, StatusCode,
        header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG},
    },
    response::{IntoResponse, Response},
    routing::get,
};
use imgn_protocol::{Image, THUMBNAIL_SIZES};
use rust_embed::RustEmbed;
use url::Url;

use crate::{error::ApiError, state::App};

#[derive(RustEmbed)]
#[folder = "../../ui/dist"]
#[allow_missing = true]
struct Ui;

/// What browsers ask for by themselves beside whatever they show, such as a picture opened alone; they take a PNG too.
const FAVICON: &[u8] = include_bytes!("../../../../icons/32x32.png");

/// Shown by a server that was built before its web page was.
const NOT_BUILT: &str = "<!doctype html><meta charset=\"utf-8\"><title>imgn</title>\
    <h1>This server was built without its web page</h1>\
    <p>Its API works. To build the page into it, run <code>cargo xtask run</code>, or \
    <code>npm ci &amp;&amp; npm run build</code> in <code>ui/</code> and build the server again.</p>";

const A_DAY: HeaderValue = HeaderValue::from_static("public, max-age=86400");

pub(super) fn router() -> Router<App> {
    Router::new()
        .route("/", get(index))
        .route("/index.html", get(index))
        .route("/i/{id}", get(picture_page))
        .route("/assets/{*path}", get(asset))
        .route("/favicon.ico", get(favicon))
        .route("/icon.svg", get(async || of_a_day("icon.svg")))
        .route("/icon-192.png", get(async || of_a_day("icon-192.png")))
        .route("/icon-512.png", get(async || of_a_day("icon-512.png")))
        .route(
            "/icon-maskable-512.png",
            get(async || of_a_day("icon-maskable-512.png")),
        )
        .route(
            "/manifest.webmanifest",
            get(async || of_a_day("manifest.webmanifest")),
        )
        .route("/sw.js", get(service_worker))
}

async fn index(State(app): State<App>) -> Result<Response, ApiError> {
    page(&app, StatusCode::OK, None)
}

/// The page, which opens the picture itself. A picture that there is not is told as such by the page, and by the status.
async fn picture_page(
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let image = match id.parse() {
        Ok(id) => app.catalogue.image(id).await?.map(|row| app.image(row)),
        Err(_) => None,
    };
    let status = if image.is_some() {
        StatusCode::OK
    } else {
        StatusCode::NOT_FOUND
    };
    page(&app, status, image.as_ref())
}

fn page(app: &App, status: StatusCode, image: Option<&Image>) -> Result<Response, ApiError> {
    let policy = policy(app);
    let policy = HeaderValue::from_str(&policy).map_err(ApiError::internal)?;
    let headers = [
        (CONTENT_SECURITY_POLICY, policy),
        (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (
            CONTENT_TYPE,
            HeaderValue::from_static("text/html; charset=utf-8"),
        ),
    ];
    let Some(page) = Ui::get("index.html") else {
        return Ok((StatusCode::SERVICE_UNAVAILABLE, headers, NOT_BUILT).into_response());
    };
    let Some(image) = image else {
        return Ok((status, headers, page.data).into_response());
    };
    let page = String::from_utf8_lossy(&page.data);
    let told = format!("{}</head>", preview_of(app, image));
    let page = page.replacen("</head>", &told, 1);
    Ok((status, headers, page).into_response())
}

/// What others show of a link to a picture (<https://ogp.me>).
fn preview_of(app: &App, image: &Image) -> String {
    let address = |path: String| {
        let url = app.public_url.join(&path);
        url.map(|url| url.to_string()).unwrap_or_default()
    };
    let size = THUMBNAIL_SIZES[THUMBNAIL_SIZES.len() - 1];
    let (width, height) = imgn_thumbs::fit(image.width, image.height, size);
    let tags = [
        ("og:site_name", "imgn".to_owned()),
        ("og:type", "website".to_owned()),
        ("og:title", image.file_name.as_str().to_owned()),
        ("og:url", address(format!("i/{}", image.id))),
        ("og:image", app.thumbnail_url(image.id, size)),
        ("og:image:type", "image/jpeg".to_owned()),
        ("og:image:width", width.to_string()),
        ("og:image:height", height.to_string()),
        ("og:image:alt", image.file_name.as_str().to_owned()),
        ("twitter:card", "summary_large_image".to_owned()),
    ];
    let tags = tags.iter().map(|(property, content)| {
        let content = escaped(content);
        format!("<meta property=\"{property}\" content=\"{content}\" />\n")
    });
    tags.collect()
}

/// As the value of an attribute in double quotes.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// A file whose name has a hash of its content in it.
async fn asset(Path(path): Path<String>) -> Result<Response, ApiError> {
    let forever = HeaderValue::from_static("public, max-age=31536000, immutable");
    file(&format!("assets/{path}"), forever)
}

fn of_a_day(path: &str) -> Result<Response, ApiError> {
    file(path, A_DAY)
}

async fn favicon() -> Response {
    let headers = [
        (CACHE_CONTROL, A_DAY),
        (CONTENT_TYPE, HeaderValue::from_static("image/png")),
        (
            CONTENT_SECURITY_POLICY,
            HeaderValue::from_static("default-src 'none'"),
        ),
    ];
    (headers, FAVICON).into_response()
}

/// What answers the page when the server does not. It may fetch what the page may, and nothing else.
async fn service_worker(State(app): State<App>) -> Result<Response, ApiError> {
    let mut response = file("sw.js", HeaderValue::from_static("no-cache"))?;
    let policy = format!("default-src 'none'; connect-src 'self' {}", elsewhere(&app));
    let policy = HeaderValue::from_str(&policy).map_err(ApiError::internal)?;
    response
        .headers_mut()
        .insert(CONTENT_SECURITY_POLICY, policy);
    Ok(response)
}

fn file(path: &str, cache: HeaderValue) -> Result<Response, ApiError> {
    let file = Ui::get(path).ok_or_else(|| ApiError::not_found("There is no such file."))?;
    let tag = format!("\"{}\"", hex::encode(&file.metadata.sha256_hash()[..16]));
    let headers = [
        (CACHE_CONTROL, cache),
        (
            ETAG,
            HeaderValue::from_str(&tag).map_err(ApiError::internal)?,
        ),
        (CONTENT_TYPE, HeaderValue::from_static(media_type(path))),
        // A picture of the page that is opened by itself runs nothing.
        (
            CONTENT_SECURITY_POLICY,
            HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'"),
        ),
    ];
    Ok((headers, file.data).into_response())
}

/// What the page may load: itself, the API, and pictures from the store.
fn policy(app: &App) -> String {
    let elsewhere = elsewhere(app);
    format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; worker-src 'self'; \
         img-src 'self' blob: data: {elsewhere}; connect-src 'self' {elsewhere}; \
         manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
}

/// Where the page reads and writes besides its own address.
fn elsewhere(app: &App) -> String {
    let origin = |url: &Url| url.origin().ascii_serialization();
    let mut origins = vec![origin(&app.public_url), app.store_origin.clone()];
    origins.extend(app.config.pictures_url.as_ref().map(origin));
    // Few, and in an order that says something.
    let mut seen = HashSet::new();
    origins.retain(|origin| seen.insert(origin.clone()));
    origins.join(" ")
}

fn media_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map(|(_, extension)| extension) {
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("webp") => "image/webp",
        Some("woff2") => "font/woff2",
        Some("json" | "map") => "application/json",
        Some("webmanifest") => "application/manifest+json",
        Some("wasm") => "application/wasm",
        _ => "application/octet-stream",
    }
}
