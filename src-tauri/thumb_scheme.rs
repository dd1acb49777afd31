//! Pictures for the web view: `thumb://localhost/{image id}/{320|1280|2560|original}`, and those that somebody is asked
//! about before they are uploaded: `thumb://localhost/asked-{question}/{number}`.
//!
//! It reads and never writes, and it answers from the app's cache and server, or what the desk was given; never from a
//! path that is asked for. Invariant: what does not parse as exactly these two parts is not found, and the thread that
//! asks is not held up.

use imgn_core::{
    App, CommandError,
    protocol::{DISPLAY_SIZE, ErrorCode, ImageId, THUMBNAIL_SIZES},
};
use imgn_desk::{Desk, QuestionId};
use tauri::{
    UriSchemeResponder,
    http::{
        Method, Request, Response, StatusCode,
        header::{
            CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue,
            X_CONTENT_TYPE_OPTIONS,
        },
    },
};

/// What thumbnails are encoded as.
const THUMBNAIL_TYPE: &str = "image/jpeg";

/// What the web view is given: formats of pixels and nothing else. An SVG is a document that can hold scripts.
const PICTURE_TYPES: [&str; 6] = [
    "image/jpeg",
    "image/png",
    "image/gif",
    "image/webp",
    "image/avif",
    "image/bmp",
];

/// Should an answer ever be opened as a document, it loads nothing and runs nothing.
const NOTHING_ACTIVE: &str = "default-src 'none'; sandbox";

/// A picture never changes; when it is deleted, the grid no longer asks for it.
const FOREVER: &str = "private, max-age=31536000, immutable";

/// Which picture in which size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Thumbnail(ImageId, u32),
    Original(ImageId),
    Asked(QuestionId, usize),
}

/// Answers a request of the web view, in its own time.
pub(crate) fn answer(
    (core, desk): (App, Desk),
    request: Request<Vec<u8>>,
    responder: UriSchemeResponder,
) {
    let wanted = (request.method() == Method::GET)
        .then(|| parse(request.uri().path()))
        .flatten();
    let Some(wanted) = wanted else {
        responder.respond(failure(StatusCode::NOT_FOUND));
        return;
    };
    tauri::async_runtime::spawn(async move {
        if let Wanted::Asked(id, index) = wanted {
            let made = desk.asked_thumb(id, index).await;
            let missing = || failure(StatusCode::NOT_FOUND);
            let mut response = made.map_or_else(missing, |bytes| picture(THUMBNAIL_TYPE, bytes));
            // The next start of the app numbers its questions anew.
            response
                .headers_mut()
                .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
            responder.respond(response);
            return;
        }
        responder.respond(match read(&core, wanted).await {
            Ok((content_type, bytes)) => picture(&content_type, bytes),
            Err(error) => {
                tracing::debug!(?wanted, %error, "a picture cannot be shown");
                failure(status(&error))
            }
        });
    });
}

async fn read(core: &App, wanted: Wanted) -> Result<(String, Vec<u8>), CommandError> {
    match wanted {
        Wanted::Thumbnail(id, size) => Ok((THUMBNAIL_TYPE.to_owned(), core.thumb(id, size).await?)),
        Wanted::Original(id) => core.original(id).await,
        Wanted::Asked(..) => Err(CommandError::new(ErrorCode::NotFound, "it is the desk's")),
    }
}

fn parse(path: &str) -> Option<Wanted> {
    let (id, size) = path.strip_prefix('/')?.split_once('/')?;
    if let Some(question) = id.strip_prefix("asked-") {
        return Some(Wanted::Asked(
            QuestionId(question.parse().ok()?),
            size.parse().ok()?,
        ));
    }
    // A UUID has one spelling here, so that a picture has one address in the web view's cache.
    let parsed: ImageId = id.parse().ok()?;
    if parsed.to_string() != id {
        return None;
    }
    if size == "original" {
        return Some(Wanted::Original(parsed));
    }
    let size = THUMBNAIL_SIZES
        .into_iter()
        .chain([DISPLAY_SIZE])
        .find(|known| known.to_string() == size)?;
    Some(Wanted::Thumbnail(parsed, size))
}

fn status(error: &CommandError) -> StatusCode {
    if error.code == ErrorCode::NotFound.into() {
        StatusCode::NOT_FOUND
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    }
}

fn picture(content_type: &str, bytes: Vec<u8>) -> Response<Vec<u8>> {
    // The essence of the media type; its parameters mean nothing to a picture, and are not passed on.
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    let known = PICTURE_TYPES
        .into_iter()
        .find(|known| known.eq_ignore_ascii_case(essence));
    let Some(known) = known else {
        return failure(StatusCode::NOT_FOUND);
    };
    let mut response = Response::new(bytes);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(known));
    headers.insert(
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(NOTHING_ACTIVE),
    );
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(FOREVER));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("cross-origin"),
    );
    response
}

fn failure(status: StatusCode) -> Response<Vec<u8>> {
    let mut response = Response::new(Vec::new());
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0192a5e8-7c1d-7def-8123-456789abcdef";

    #[test]
    fn a_picture_has_one_address() {
        let id: ImageId = ID.parse().unwrap();
        assert_eq!(
            parse(&format!("/{ID}/320")),
            Some(Wanted::Thumbnail(id, 320))
        );
        assert_eq!(
            parse(&format!("/{ID}/1280")),
            Some(Wanted::Thumbnail(id, 1280))
        );
        assert_eq!(
            parse(&format!("/{ID}/2560")),
            Some(Wanted::Thumbnail(id, 2560))
        );
        assert_eq!(
            parse(&format!("/{ID}/original")),
            Some(Wanted::Original(id))
        );
        for path in [
            "",
            "/",
            "/etc/passwd",
            &format!("/{ID}"),
            &format!("/{ID}/"),
            &format!("/{ID}/0320"),
            &format!("/{ID}/640"),
            &format!("/{ID}/320/"),
            &format!("/{ID}/320/.."),
            &format!("//{ID}/320"),
            &format!("/{}/320", ID.to_uppercase()),
            &format!("/{}/320", ID.replace('-', "")),
            &format!("/%2e%2e/{ID}/320"),
        ] {
            assert_eq!(parse(path), None, "{path}");
        }
    }

    #[test]
    fn only_pictures_are_rendered() {
        for (content_type, essence) in [
            ("image/png", "image/png"),
            ("Image/JPEG", "image/jpeg"),
            ("image/webp; charset=utf-8", "image/webp"),
            (" image/gif ;x=\"a;b\"", "image/gif"),
        ] {
            let response = picture(content_type, vec![1]);
            assert_eq!(response.status(), StatusCode::OK, "{content_type:?}");
            let headers = response.headers();
            assert_eq!(headers[CONTENT_TYPE], essence);
            assert_eq!(headers[X_CONTENT_TYPE_OPTIONS], "nosniff");
            assert_eq!(
                headers[CONTENT_SECURITY_POLICY],
                "default-src 'none'; sandbox"
            );
        }
        for content_type in [
            "text/html",
            "image/svg+xml",
            "image/svg+xml; charset=utf-8",
            "IMAGE/SVG+XML",
            "image/svg",
            "image/x-icon",
            "image/png\r\nx: y",
            "image/",
            "",
        ] {
            let response = picture(content_type, vec![1]);
            assert_eq!(response.status(), StatusCode::NOT_FOUND, "{content_type:?}");
            assert!(response.body().is_empty());
        }
    }
}
