//! What is published: pages, one picture, its bytes and thumbnails, the change feed, deletion.

use std::ops::RangeInclusive;

use axum::{
    extract::{FromRequestParts, State},
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{
            CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, LOCATION,
        },
        request::Parts,
    },
    response::{IntoResponse, Response},
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use imgn_protocol::{
    Change, ChangePage, DISPLAY_SIZE, ErrorCode, FileName, Image, ImageId, ImagePage, Sha256,
    THUMBNAIL_SIZES,
};
use serde::{Deserialize, Serialize};

use crate::{
    auth::Caller,
    catalogue::{Deletion, ImageRow, PageQuery, Search},
    error::ApiError,
    extract::{Id, Query, path_parameter},
    garbage,
    state::App,
    storage::keys,
};

use super::{originals, refusals};

const DEFAULT_LIMIT: u32 = 100;
const LIMITS: RangeInclusive<u32> = 1..=500;

/// Entries of the feed on a page: a mirror that fills asks for the most, some megabytes.
const CHANGES: RangeInclusive<u32> = 1..=5000;

/// The longest text to search for, in bytes: longer than any file name.
const MAX_SEARCH: usize = 300;

/// A rendition of 2,560 pixels has a megabyte or two; nothing near this is one of ours.
const MAX_THUMBNAIL: usize = 8 * 1024 * 1024;

/// Which page of the gallery.
#[derive(Debug, Deserialize)]
pub(crate) struct ListQuery {
    limit: Option<u32>,
    cursor: Option<String>,
    q: Option<String>,
    sequences: Option<String>,
}

/// Which page of the feed.
#[derive(Debug, Deserialize)]
pub(crate) struct ChangesQuery {
    since: Option<u64>,
    limit: Option<u32>,
}

/// How the original is to be shown.
#[derive(Debug, Deserialize)]
pub(crate) struct ContentQuery {
    download: Option<String>,
}

/// The pictures, newest first.
#[utoipa::path(
    get, path = "/v1/images", tag = "images",
    params(
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 500, description = "How many; 100 if left out"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
        ("q" = Option<String>, Query, description = "Only pictures with all of these words in their file name, camera, owner or dates (2026-11-26, november)"),
        ("sequences" = Option<String>, Query, description = "Only pictures from LOW to HIGH, both counted in: LOW-HIGH"),
        ("If-None-Match" = Option<String>, Header, description = "The `ETag` of an earlier answer"),
    ),
    responses(
        (status = 200, body = ImagePage, headers(("ETag" = String, description = "For `If-None-Match`"))),
        (status = 304, description = "Nothing has changed"),
        refusals::ListImages,
    ),
)]
pub(crate) async fn list(
    State(app): State<App>,
    Query(query): Query<ListQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let search = search(query.q.as_deref())?;
    let cursor = query.cursor.as_deref().map(read_cursor).transpose()?;
    let (low, high) = match &query.sequences {
        Some(range) => read_range(range)?,
        None => (0, u64::MAX),
    };
    let after_high = high.checked_add(1);
    let query = PageQuery {
        before: cursor.into_iter().chain(after_high).min(),
        from: low,
        search,
        limit: limit(query.limit, LIMITS)?,
    };
    let (rows, more) = app.catalogue.images(&query).await?;
    let next_cursor = rows
        .last()
        .filter(|_| more)
        .map(|row| write_cursor(row.sequence));
    let images = rows.into_iter().map(|row| app.image(row)).collect();
    tagged(
        &headers,
        &ImagePage {
            images,
            next_cursor,
        },
    )
}

/// One picture.
#[utoipa::path(
    get, path = "/v1/images/{id}", tag = "images",
    params(("id" = ImageId, Path)),
    responses(
        (status = 200, body = Image),
        (status = 304, description = "Nothing has changed"),
        refusals::GetImage,
    ),
)]
pub(crate) async fn get(
    State(app): State<App>,
    Id(id): Id<ImageId>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let row = published(&app, id).await?;
    tagged(&headers, &app.image(row))
}

/// The original: a redirect to a URL that is signed at this moment. Share this address, not that one. Under the host of
/// `--public-pictures-url`, its bytes.
#[utoipa::path(
    get, path = "/v1/images/{id}/content", tag = "images",
    params(
        ("id" = ImageId, Path),
        ("download" = Option<String>, Query, description = "Present: browsers save the file instead of showing it"),
    ),
    responses(
        (status = 200, description = "The original, for caches that name the host of pictures", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 302, description = "Where to read it, now", headers(("Location" = String))),
        (status = 304, description = "Nothing has changed"),
        refusals::GetContent,
    ),
)]
pub(crate) async fn content(
    State(app): State<App>,
    Id(id): Id<ImageId>,
    Query(query): Query<ContentQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let row = published(&app, id).await?;
    let kind = match query.download {
        Some(_) => "attachment",
        None => "inline",
    };
    if originals::are_asked_for(&app, &headers) {
        let disposition = disposition(kind, &row.file_name);
        return originals::answer(&app, &row, &disposition, &headers).await;
    }
    let url = app
        .storage
        .sign_get(
            &keys::original(id),
            &row.content_type,
            &disposition(kind, &row.file_name),
        )
        .await?;
    let location = HeaderValue::from_str(url.expose()).map_err(ApiError::internal)?;
    let headers = [
        (LOCATION, location),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Ok((StatusCode::FOUND, headers).into_response())
}

/// A thumbnail, a JPEG. It never changes; under the host of pictures a cache asks again after a day, whether it is deleted. The size of 2560 is there only for pictures that browsers cannot show, which
/// have a `display_url`.
#[utoipa::path(
    get, path = "/v1/images/{id}/thumb/{size}", tag = "images",
    params(
        ("id" = ImageId, Path),
        ("size" = u32, Path, description = "The longest edge in pixels: 320, 1280, or 2560 where there is a `display_url`"),
    ),
    responses(
        (status = 200, body = Vec<u8>, content_type = "image/jpeg"),
        (status = 304, description = "Nothing has changed"),
        refusals::GetThumbnail,
    ),
)]
pub(crate) async fn thumb(
    State(app): State<App>,
    Id(id): Id<ImageId>,
    ThumbSize(size): ThumbSize,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let row = published(&app, id).await?;
    if size == DISPLAY_SIZE && !row.has_stand_in() {
        return Err(ApiError::not_found(
            "Browsers show this picture as it is; nothing of the size 2560 stands in for it.",
        ));
    }
    let tag = HeaderValue::from_str(&format!("\"{id}-{size}\"")).map_err(ApiError::internal)?;
    let cache = [
        (ETAG, tag.clone()),
        (CACHE_CONTROL, originals::life(&app, &headers)),
        // Of the web page's origin: opened by itself it may do nothing.
        (
            CONTENT_SECURITY_POLICY,
            HeaderValue::from_static("default-src 'none'; sandbox"),
        ),
    ];
    if matches_tag(&headers, &tag) {
        return Ok((StatusCode::NOT_MODIFIED, cache).into_response());
    }
    let object = app
        .storage
        .get(&keys::thumbnail(id, size))
        .await?
        .ok_or_else(unknown_image)?;
    let jpeg = object.bytes(MAX_THUMBNAIL).await?;
    let kind = [(CONTENT_TYPE, HeaderValue::from_static("image/jpeg"))];
    Ok((cache, kind, jpeg).into_response())
}

/// Takes a picture out of the gallery, with its bytes and thumbnails. Its owner may, and admins.
#[utoipa::path(
    delete, path = "/v1/images/{id}", tag = "images", security(("token" = [])),
    params(("id" = ImageId, Path)),
    responses(
        (status = 204, description = "It is gone"),
        refusals::DeleteImage,
    ),
)]
pub(crate) async fn delete(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<ImageId>,
) -> Result<StatusCode, ApiError> {
    if !caller.scopes.delete {
        return Err(ApiError::new(
            ErrorCode::Forbidden,
            "This token is not for deleting pictures (its scope is `upload`).",
        ));
    }
    match app.delete_image(id, &caller).await? {
        Deletion::Deleted => {
            garbage::collect_image(&app.catalogue, &app.storage, id).await;
            Ok(StatusCode::NO_CONTENT)
        }
        Deletion::Unknown => Err(unknown_image()),
        Deletion::NotYours => Err(ApiError::new(
            ErrorCode::Forbidden,
            "Somebody else uploaded this picture; only they and admins may delete it.",
        )),
    }
}

/// Additions and deletions in order, for mirrors.
#[utoipa::path(
    get, path = "/v1/changes", tag = "images",
    params(
        ("since" = Option<u64>, Query, description = "`next_since` of the page before; 0 for all"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 5000, description = "How many; 100 if left out"),
    ),
    responses(
        (status = 200, body = ChangePage),
        refusals::ListChanges,
    ),
)]
pub(crate) async fn changes(
    State(app): State<App>,
    Query(query): Query<ChangesQuery>,
) -> Result<Response, ApiError> {
    let since = query.since.unwrap_or(0);
    let limit = limit(query.limit, CHANGES)?;
    // Read before the entries: whoever read up to `last` misses nothing that came meanwhile.
    let feed = app.catalogue.feed().await?;
    let total = (since == 0).then_some(feed.images);
    let (rows, more) = app.catalogue.changes(since, limit).await?;
    let changes: Vec<_> = rows.into_iter().map(|row| app.change(row)).collect();
    let next_since = changes.last().map_or(since, Change::sequence);
    // Not by what was asked for: a client that is further than the feed learns so by this.
    let last = changes
        .last()
        .map_or(feed.last, |change| feed.last.max(change.sequence()));
    let page = ChangePage {
        changes,
        next_since,
        more,
        feed: feed.id,
        last,
        total,
    };
    let cache = [(CACHE_CONTROL, HeaderValue::from_static("no-cache"))];
    Ok((cache, axum::Json(page)).into_response())
}

/// The size in a thumbnail's path.
pub(crate) struct ThumbSize(u32);

impl<S: Send + Sync> FromRequestParts<S> for ThumbSize {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let text = path_parameter(parts, state, "size").await?;
        THUMBNAIL_SIZES
            .into_iter()
            .chain([DISPLAY_SIZE])
            .find(|size| size.to_string() == text)
            .map(Self)
            .ok_or_else(|| {
                ApiError::not_found(
                    "Thumbnails have the sizes 320, 1280 and, of some pictures, 2560.",
                )
            })
    }
}

async fn published(app: &App, id: ImageId) -> Result<ImageRow, ApiError> {
    app.catalogue.image(id).await?.ok_or_else(unknown_image)
}

pub(super) fn unknown_image() -> ApiError {
    ApiError::not_found("There is no picture with this id; it may have been deleted.")
}

fn limit(asked: Option<u32>, range: RangeInclusive<u32>) -> Result<u32, ApiError> {
    let limit = asked.unwrap_or(DEFAULT_LIMIT);
    if range.contains(&limit) {
        Ok(limit)
    } else {
        let most = range.end();
        Err(ApiError::invalid(format!("`limit` goes from 1 to {most}.")))
    }
}

/// What `q` asks for.
pub(super) fn search(q: Option<&str>) -> Result<Search, ApiError> {
    let text = q.unwrap_or_default();
    if text.len() > MAX_SEARCH {
        return Err(ApiError::invalid(format!(
            "`q` has more than {MAX_SEARCH} bytes."
        )));
    }
    Ok(Search::new(text))
}

/// `LOW-HIGH`.
fn read_range(text: &str) -> Result<(u64, u64), ApiError> {
    text.split_once('-')
        .and_then(|(low, high)| Some((low.parse().ok()?, high.parse().ok()?)))
        .ok_or_else(|| {
            ApiError::invalid("`sequences` are two numbers with a hyphen between, as 1-500.")
        })
}

/// A cursor is the place in the feed of the last picture of a page: pictures that come or go meanwhile move nothing.
fn write_cursor(sequence: u64) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(sequence.to_be_bytes())
}

fn read_cursor(cursor: &str) -> Result<u64, ApiError> {
    BASE64_URL_SAFE_NO_PAD
        .decode(cursor)
        .ok()
        .and_then(|bytes| bytes.try_into().ok())
        .map(u64::from_be_bytes)
        .ok_or_else(|| {
            ApiError::invalid("`cursor` is not one of this server's; begin without one.")
        })
}

/// A JSON answer with a tag of its bytes, or only the word that it has not changed.
fn tagged(request: &HeaderMap, value: &impl Serialize) -> Result<Response, ApiError> {
    let body = serde_json::to_vec(value).map_err(ApiError::internal)?;
    let sum = Sha256::of(&body).to_string();
    let tag = HeaderValue::from_str(&format!("\"{}\"", &sum[..32])).map_err(ApiError::internal)?;
    let headers = [
        (ETAG, tag.clone()),
        (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    if matches_tag(request, &tag) {
        return Ok((StatusCode::NOT_MODIFIED, headers).into_response());
    }
    let kind = [(CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    Ok((headers, kind, body).into_response())
}

/// Whether `If-None-Match` names the tag, be it alone, in a list, or made weak by a proxy.
pub(super) fn matches_tag(request: &HeaderMap, tag: &HeaderValue) -> bool {
    let Ok(tag) = tag.to_str() else { return false };
    request
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|candidate| candidate.trim().trim_start_matches("W/"))
        .any(|candidate| candidate == tag || candidate == "*")
}

/// `Content-Disposition` with the file name, exact for those who read RFC 6266 and harmless for the others.
fn disposition(kind: &str, name: &FileName) -> String {
    let plain: String = name
        .as_str()
        .chars()
        .map(|c| match c {
            '"' | '\\' | '%' => '_',
            ' '..='~' => c,
            _ => '_',
        })
        .collect();
    let mut exact = String::new();
    for byte in name.as_str().bytes() {
        // RFC 8187's attr-char, without those that some parsers stumble over.
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            exact.push(char::from(byte));
        } else {
            exact.push_str(&format!("%{byte:02X}"));
        }
    }
    format!("{kind}; filename=\"{plain}\"; filename*=UTF-8''{exact}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disposition_cannot_be_broken_out_of() {
        let name = FileName::parse("Grüße \"x\"; y=%41.jpg").unwrap();
        assert_eq!(
            disposition("attachment", &name),
            "attachment; filename=\"Gr__e _x_; y=_41.jpg\"; \
             filename*=UTF-8''Gr%C3%BC%C3%9Fe%20%22x%22%3B%20y%3D%2541.jpg"
        );
    }

    #[test]
    fn cursors_are_read_as_they_were_written_and_nothing_else_is() {
        for sequence in [0, 1, u64::MAX] {
            assert_eq!(read_cursor(&write_cursor(sequence)).unwrap(), sequence);
        }
        for bad in ["", "1", "AAAAAAAAAA", "not a cursor", "' OR 1=1"] {
            assert!(read_cursor(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn tags_match_in_every_spelling_of_the_header() {
        let tag = HeaderValue::from_static("\"abc\"");
        for (sent, matches) in [
            ("\"abc\"", true),
            ("W/\"abc\"", true),
            ("\"x\", \"abc\"", true),
            ("*", true),
            ("\"ab\"", false),
            ("abc", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(IF_NONE_MATCH, HeaderValue::from_static(sent));
            assert_eq!(matches_tag(&headers, &tag), matches, "{sent}");
        }
    }
}
