//! The pages of 2018: a form with the file goes to `/upload`, whose answer is the URL to PUT the file to, and `/gallery`
//! lists everything.
//!
//! Their faults are not kept: the key is the server's, the URL is in no log, the list is all of the gallery, and the type
//! is seen from the bytes. The form's file is read for its name and never kept.

use std::time::Duration;

use axum::{
    body::Body,
    extract::{Request, State},
    http::{
        HeaderValue,
        header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE},
    },
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use futures_util::stream;
use imgn_protocol::{ErrorCode, FileName};
use imgn_store::Pace;
use serde::Serialize;
use tokio::time::timeout;
use utoipa::ToSchema;

use super::fresh_text;
use crate::{
    auth::Uploader,
    catalogue::{CatalogueError, PageQuery, Search},
    error::{ApiError, chain},
    extract::too_slow,
    routes::{refusals, relay::SLOWEST, uploads},
    staging,
    state::App,
};

/// What a form may have beside the file, in bytes.
const BESIDE_THE_FILE: u64 = 1024 * 1024;

/// Pictures that are read from the catalogue at a time.
const PAGE: u32 = 500;

/// A picture, as the pages show it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Entry {
    /// Where a browser can show it from.
    src: String,
    /// Width and height in pixels, as `1000x600`.
    meta: String,
}

/// A form with a file.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a body that is read as a stream")]
pub(crate) struct UploadForm {
    /// Read for its name only.
    #[schema(format = Binary, content_media_type = "application/octet-stream")]
    file: String,
}

/// The URL to PUT a file to, as text. It is published once it is there.
///
/// As the gallery's pages of 2018 asked for it. The form's file is read for its name only.
#[utoipa::path(
    post, path = "/upload", tag = "other clients", security(("token" = []), ()),
    request_body(content = UploadForm, content_type = "multipart/form-data"),
    responses(
        (status = 200, description = "A presigned URL for one PUT", body = String, content_type = "text/plain"),
        refusals::PageUpload,
    ),
)]
pub(crate) async fn upload(
    State(app): State<App>,
    Uploader(caller): Uploader,
    request: Request,
) -> Result<Response, ApiError> {
    let max_size = app.config.max_size;
    // As large as it says; one that does not say may be the largest.
    let size = request.headers().get(CONTENT_LENGTH);
    let size: Option<u64> = size.and_then(|size| size.to_str().ok()?.parse().ok());
    let size = size.unwrap_or(u64::MAX).min(most(max_size));
    let time = app.config.timing.form_time + Duration::from_secs(size / SLOWEST);
    let file_name = timeout(time, file_name(request, max_size)).await;
    let file_name = file_name.map_err(|_| too_slow(time))??;
    // Not the form's body, whose length is its client's line.
    let _presigning = app.metrics.presigning();
    let staged = staging::expect(&app, &caller, file_name, false).await?;
    let url = app.storage.sign_any_put(&staged.key()).await?;
    Ok(fresh_text(url.expose().to_owned()))
}

/// All pictures, newest first.
///
/// As the gallery's pages of 2018 asked for them; others use `/v1/images`.
#[utoipa::path(
    get, path = "/gallery", tag = "other clients",
    responses(
        (status = 200, body = Vec<Entry>),
        refusals::PageGallery,
    ),
)]
pub(crate) async fn gallery(State(app): State<App>) -> Result<Response, ApiError> {
    // The first page before the status: what fails now is told.
    let first = page(&app, None).await?;
    let headers = [
        (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (CONTENT_TYPE, HeaderValue::from_static("application/json")),
    ];
    let rest = Rest {
        app,
        read: Some(first),
        is_first: true,
    };
    let body = Body::from_stream(stream::unfold(Some(rest), piece));
    Ok((headers, body).into_response())
}

/// The gallery from a page on.
struct Rest {
    app: App,
    /// The next page, where it was read already.
    read: Option<Page>,
    is_first: bool,
}

struct Page {
    entries: Vec<Entry>,
    /// Where the page after it begins; `None` for the last.
    before: Option<u64>,
}

/// The next piece of the list's text. Where the catalogue fails in the middle, the list breaks off in the middle: a
/// reader of JSON finds that out.
async fn piece(rest: Option<Rest>) -> Option<(Result<Bytes, CatalogueError>, Option<Rest>)> {
    let mut rest = rest?;
    let page = rest.read.take()?;
    let mut text = String::from(if rest.is_first { "[" } else { "" });
    for entry in &page.entries {
        if text.len() > 1 || !rest.is_first {
            text.push(',');
        }
        text.push_str(&serde_json::to_string(entry).unwrap_or_default());
    }
    let Some(before) = page.before else {
        text.push(']');
        return Some((Ok(text.into()), None));
    };
    match self::page(&rest.app, Some(before)).await {
        Ok(next) => {
            rest.read = Some(next);
            rest.is_first = false;
            Some((Ok(text.into()), Some(rest)))
        }
        Err(error) => {
            tracing::error!(cause = chain(&error), "the list of the gallery breaks off");
            Some((Err(error), None))
        }
    }
}

async fn page(app: &App, before: Option<u64>) -> Result<Page, CatalogueError> {
    let query = PageQuery {
        before,
        from: 0,
        search: Search::default(),
        limit: PAGE,
    };
    let (rows, more) = app.catalogue.images(&query).await?;
    let before = rows.last().map(|row| row.sequence).filter(|_| more);
    let entries = rows.into_iter().map(|row| {
        let image = app.image(row);
        Entry {
            src: image.display_url.unwrap_or(image.url),
            meta: format!("{}x{}", image.width, image.height),
        }
    });
    Ok(Page {
        entries: entries.collect(),
        before,
    })
}

/// The largest form, where files have at most so many bytes.
fn most(max_size: u64) -> u64 {
    max_size.saturating_add(BESIDE_THE_FILE)
}

/// The name of the first file in a form. The whole form is read, so that a client that sends it gets to see the answer,
/// and nothing of it is kept.
async fn file_name(request: Request, max_size: u64) -> Result<FileName, ApiError> {
    let content_type = request.headers().get(CONTENT_TYPE);
    let boundary = content_type
        .and_then(|value| multer::parse_boundary(value.to_str().ok()?).ok())
        .ok_or_else(|| {
            ApiError::new(
                ErrorCode::UnsupportedMediaType,
                "The body must be a form with the file, sent as `multipart/form-data`.",
            )
        })?;
    let most = most(max_size);
    let limits = multer::SizeLimit::new().whole_stream(most);
    let constraints = multer::Constraints::new().size_limit(limits);
    let pace = Pace::default();
    let body = pace.watch(request.into_body().into_data_stream());
    let mut form = multer::Multipart::with_constraints(body, boundary, constraints);
    let refuse = |error: multer::Error| match error {
        multer::Error::StreamSizeExceeded { .. } | multer::Error::FieldSizeExceeded { .. } => {
            ApiError::new(
                ErrorCode::TooLarge,
                format!(
                    "The form has more than {most} bytes; this gallery takes files of at most {max_size}."
                ),
            )
        }
        error => ApiError::invalid(format!("The form cannot be read: {error}.")),
    };
    let mut found = None;
    while let Some(mut field) = form.next_field().await.map_err(refuse)? {
        pace.moved();
        let name = field.file_name().map(as_it_was).filter(|_| found.is_none());
        let kind = field.content_type().map(ToString::to_string);
        let mut size = 0;
        while let Some(chunk) = field.chunk().await.map_err(refuse)? {
            pace.moved();
            size += chunk.len() as u64;
        }
        if let Some(name) = name {
            found = Some((name, size, kind));
        }
    }
    let (name, size, kind) = found.ok_or_else(|| ApiError::invalid("The form has no file."))?;
    // What the page is about to send is the same file.
    if let Some(kind) = kind {
        uploads::check_type(&name, &kind)?;
    }
    if size > max_size {
        return Err(ApiError::new(
            ErrorCode::TooLarge,
            format!(
                "\"{}\" has {size} bytes; this gallery takes at most {max_size}.",
                name.as_str()
            ),
        ));
    }
    Ok(name)
}

/// A file's name without what browsers escape in a form's header: these three characters, and no other
/// (<https://html.spec.whatwg.org/multipage/form-control-infrastructure.html#multipart-form-data>).
fn as_it_was(name: &str) -> FileName {
    let name = name.replace("%22", "\"").replace("%0D", "\r");
    FileName::clean(&name.replace("%0A", "\n"))
}
