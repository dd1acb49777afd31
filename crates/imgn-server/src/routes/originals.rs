//! The bytes of originals, for a cache in front of the server that keeps them for others.
//!
//! Everybody else is sent to the store: a cache cannot follow a URL that is signed for a few minutes, and has to ask but once
//! for each picture. It tells itself by the host that it is reached under.
//!
//! Invariant: only what has a row is answered, with the server's own type and as something that runs nothing; a cache asks
//! again within a day, so that what was deleted ends there too.

use axum::{
    body::Body,
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{
            CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_SECURITY_POLICY,
            CONTENT_TYPE, ETAG, HOST,
        },
    },
    response::{IntoResponse as _, Response},
};
use futures_util::stream;
use url::Url;

use super::images::matches_tag;
use crate::{catalogue::ImageRow, error::ApiError, state::App, storage::keys};

/// Thumbnails never change; at the server's own address, deleting them is the server's matter.
const FOR_EVER: &str = "public, max-age=31536000, immutable";

/// How long a cache may keep a picture, also one that is deleted meanwhile.
const A_DAY: &str = "public, max-age=86400";

/// Whether a request came by the address of pictures. Where answers are collected before they are sent, none is.
pub(super) fn are_asked_for(app: &App, headers: &HeaderMap) -> bool {
    let url = app.config.pictures_url.as_ref();
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    !app.whole_answers && url.zip(host).is_some_and(|(url, host)| is_host(url, host))
}

/// How long a thumbnail may be kept.
pub(super) fn life(app: &App, headers: &HeaderMap) -> HeaderValue {
    HeaderValue::from_static(match are_asked_for(app, headers) {
        true => A_DAY,
        false => FOR_EVER,
    })
}

/// The original of a picture.
pub(super) async fn answer(
    app: &App,
    row: &ImageRow,
    disposition: &str,
    request: &HeaderMap,
) -> Result<Response, ApiError> {
    let header = |text: &str| HeaderValue::from_str(text).map_err(ApiError::internal);
    let tag = header(&format!("\"{}\"", row.sha256))?;
    let kept = [
        (ETAG, tag.clone()),
        (CACHE_CONTROL, HeaderValue::from_static(A_DAY)),
        (
            CONTENT_SECURITY_POLICY,
            HeaderValue::from_static("default-src 'none'; sandbox"),
        ),
        (CONTENT_TYPE, header(&row.content_type)?),
        (CONTENT_DISPOSITION, header(disposition)?),
    ];
    if matches_tag(request, &tag) {
        return Ok((StatusCode::NOT_MODIFIED, kept).into_response());
    }
    let object = app.storage.get(&keys::original(row.id)).await?;
    // Deleted since the row was read.
    let object = object.ok_or_else(super::images::unknown_image)?;
    if object.size != row.size {
        let what = format!("the original of {} has {} bytes", row.id, object.size);
        return Err(ApiError::internal(what));
    }
    // An answer that breaks off is shorter than it says, which no cache keeps.
    let bytes = stream::try_unfold(object, async |mut object| {
        let chunk = object.chunk().await?;
        Ok::<_, crate::StorageError>(chunk.map(|bytes| (bytes, object)))
    });
    let length = [(CONTENT_LENGTH, HeaderValue::from(row.size))];
    Ok((kept, length, Body::from_stream(bytes)).into_response())
}

/// Whether a `Host` names the host of a URL.
fn is_host(url: &Url, host: &str) -> bool {
    let named = url.host_str().unwrap_or_default();
    let port = url.port_or_known_default().unwrap_or_default();
    let rest = host
        .get(..named.len())
        .filter(|start| start.eq_ignore_ascii_case(named))
        .and_then(|_| host.get(named.len()..));
    match rest {
        Some("") => url.port().is_none(),
        Some(rest) => rest.strip_prefix(':') == Some(port.to_string().as_str()),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_one_with_and_without_its_default_port() {
        for (url, host, expected) in [
            ("https://p.example/", "p.example", true),
            ("https://p.example/", "P.Example:443", true),
            ("https://p.example/", "p.example:80", false),
            ("https://p.example/", "p.example.org", false),
            ("https://p.example/", "x", false),
            ("http://p.example:8080/", "p.example:8080", true),
            ("http://p.example:8080/", "p.example", false),
            ("http://[::1]:9/", "[::1]:9", true),
        ] {
            assert_eq!(
                is_host(&Url::parse(url).unwrap(), host),
                expected,
                "{url} {host}"
            );
        }
    }
}
