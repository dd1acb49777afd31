//! The gallery as a web page: the built `ui/`, embedded in the program.

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
use rust_embed::RustEmbed;

use crate::{error::ApiError, state::App};

#[derive(RustEmbed)]
#[folder = "../../ui/dist"]
#[allow_missing = true]
struct Ui;

/// Shown by a server that was built before its web page was.
const NOT_BUILT: &str = "<!doctype html><meta charset=\"utf-8\"><title>imgn</title>\
    <h1>This server was built without its web page</h1>\
    <p>Its API works. To build the page into it, run <code>cargo xtask run</code>, or \
    <code>npm ci &amp;&amp; npm run build</code> in <code>ui/</code> and build the server again.</p>";

pub(super) fn router() -> Router<App> {
    Router::new()
        .route("/", get(index))
        .route("/index.html", get(index))
        .route("/assets/{*path}", get(asset))
        .route("/icon.svg", get(icon))
}

async fn index(State(app): State<App>) -> Result<Response, ApiError> {
    let policy = policy(&app);
    let policy = HeaderValue::from_str(&policy).map_err(ApiError::internal)?;
    let headers = [
        (CONTENT_SECURITY_POLICY, policy),
        (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (
            CONTENT_TYPE,
            HeaderValue::from_static("text/html; charset=utf-8"),
        ),
    ];
    Ok(match Ui::get("index.html") {
        Some(page) => (headers, page.data).into_response(),
        None => (StatusCode::SERVICE_UNAVAILABLE, headers, NOT_BUILT).into_response(),
    })
}

/// A file whose name has a hash of its content in it.
async fn asset(Path(path): Path<String>) -> Result<Response, ApiError> {
    let forever = HeaderValue::from_static("public, max-age=31536000, immutable");
    file(&format!("assets/{path}"), forever)
}

async fn icon() -> Result<Response, ApiError> {
    file(
        "icon.svg",
        HeaderValue::from_static("public, max-age=86400"),
    )
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
    let api = app.public_url.origin().ascii_serialization();
    let elsewhere = match &app.store_origin {
        store if *store == api => api,
        store => format!("{api} {store}"),
    };
    format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; worker-src 'self'; \
         img-src 'self' blob: data: {elsewhere}; connect-src 'self' {elsewhere}; \
         manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
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
        Some("wasm") => "application/wasm",
        _ => "application/octet-stream",
    }
}
