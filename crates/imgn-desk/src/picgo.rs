//! The local HTTP server of PicGo, so that editors that know PicGo work with imgn: `POST /upload` with
//! `{"list": ["/path", …]}`, or with nothing for the clipboard; the answer is `{"success": true, "result": ["https://…"]}`.
//!
//! Off unless somebody turns it on. Invariant: it listens on the loopback interface only and does nothing for a page of a
//! browser: a request with a foreign `Host` or with an `Origin` is refused, whatever else it has. It takes files that are
//! named, never a folder, and what it published is announced as everything is.

use std::{net::Ipv4Addr, path::PathBuf, time::Duration};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, RawQuery, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use imgn_core::{ClientCode, CommandError, LinkFormat, protocol::Token};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use crate::{Clip, Desk, Ended, read_clipboard};

/// A request is no longer, in bytes: a list of paths.
const MOST_BYTES: usize = 1024 * 1024;

/// So many files at once.
const MOST_FILES: usize = 1000;

/// An editor waits no longer; the upload goes on without it.
const PATIENCE: Duration = Duration::from_secs(120);

/// Origins that are programs of this computer and no pages.
const PROGRAMS: [&str; 1] = ["app://obsidian.md"];

#[derive(Clone)]
struct Shared {
    desk: Desk,
    key: Token,
    port: u16,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct Request {
    list: Option<Vec<PathBuf>>,
}

#[derive(Serialize)]
struct Answer {
    success: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

/// The server, for as long as this lives.
pub(crate) struct PicGo {
    serving: AbortOnDropHandle<()>,
}

impl PicGo {
    /// Ends it; its port is free then.
    pub(crate) async fn stop(self) {
        self.serving.abort();
        // It was told to end.
        let _ = self.serving.await;
    }
}

/// Starts it. With `key` a program may ask for more than PicGo's plain form.
///
/// # Errors
/// When another program has the port, which may be PicGo itself.
pub(crate) async fn serve(desk: Desk, port: u16, key: Token) -> Result<PicGo, CommandError> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await;
    let listener = listener.map_err(|error| {
        let message = format!(
            "editors cannot be served on port {port} ({error}); does PicGo run? Choose another port, or end it"
        );
        CommandError::new(ClientCode::InvalidInput, message)
    })?;
    let port = listener.local_addr().map_or(port, |address| address.port());
    let router = Router::new()
        .route("/upload", post(upload))
        .route("/heartbeat", get(heartbeat).post(heartbeat))
        .layer(DefaultBodyLimit::max(MOST_BYTES))
        .with_state(Shared { desk, key, port });
    let serving = tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::warn!(%error, "editors are not served any more");
        }
    });
    Ok(PicGo {
        serving: AbortOnDropHandle::new(serving),
    })
}

async fn heartbeat(State(shared): State<Shared>, headers: HeaderMap) -> Response {
    match refusal(&headers, None, &shared, false) {
        Some(refused) => refused,
        None => Json(Answer {
            success: true,
            result: Some(vec!["alive".to_owned()]),
            message: None,
        })
        .into_response(),
    }
}

async fn upload(
    State(shared): State<Shared>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let request = parse(&body);
    // PicGo's plain form needs no key, as no editor has one; whatever else is asked does.
    let is_plain = request.is_some() && query.is_none();
    if let Some(refused) = refusal(&headers, query.as_deref(), &shared, !is_plain) {
        return refused;
    }
    let Some(request) = request else {
        let message = "the body is not {\"list\": [\"/path/of/a/picture\"]}; send that, or nothing for the clipboard";
        return failed(StatusCode::BAD_REQUEST, message);
    };
    let list = request.list.unwrap_or_default();
    if list.len() > MOST_FILES || list.iter().any(|path| !path.is_absolute()) {
        let message = format!("a list has at most {MOST_FILES} files, by their whole paths");
        return failed(StatusCode::BAD_REQUEST, &message);
    }
    let wanted = list.len();
    if let Some(refused) = unfit(list.clone()).await {
        return failed(StatusCode::INTERNAL_SERVER_ERROR, &refused);
    }
    let clip = if list.is_empty() {
        read_clipboard().await
    } else {
        Ok(Clip::Files(list))
    };
    let taken = match clip {
        Ok(clip) => shared.desk.upload_for_program(clip).await,
        Err(error) => Err(error),
    };
    let waiting = match taken {
        Ok(waiting) => waiting,
        Err(error) => return failed(StatusCode::INTERNAL_SERVER_ERROR, &error.message),
    };
    match tokio::time::timeout(PATIENCE, waiting).await {
        Ok(Ok(ended)) => answer(&ended, wanted),
        Ok(Err(_)) => failed(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the gallery was left meanwhile",
        ),
        Err(_) => failed(
            StatusCode::GATEWAY_TIMEOUT,
            "the upload takes longer; it goes on, and its link is in imgn when it has ended",
        ),
    }
}

/// Why some of these would not be taken in. Then none is sent, for its editor would not hear of it.
async fn unfit(list: Vec<PathBuf>) -> Option<String> {
    let check = move || {
        let refused = list.iter().filter_map(|path| {
            let error = imgn_core::check_file(path).err()?;
            let name = path.file_name().unwrap_or(path.as_os_str());
            Some(format!("{}: {}", name.display(), error.message))
        });
        refused.collect::<Vec<_>>().join("; ")
    };
    let refused = tokio::task::spawn_blocking(check).await.ok()?;
    (!refused.is_empty()).then_some(refused)
}

/// A list of links is whole or none: an editor puts the first link where the first picture stands.
fn answer(ended: &Ended, wanted: usize) -> Response {
    if !ended.failed.is_empty() || ended.images.is_empty() || ended.images.len() < wanted {
        let told = ended.failed.iter().map(|failure| {
            let reason = failure
                .error
                .as_ref()
                .map_or("it failed", |error| &error.message);
            format!("{}: {reason}", failure.file_name)
        });
        let told: Vec<_> = told.collect();
        let message = if told.is_empty() {
            "not all pictures are in the gallery".to_owned()
        } else {
            told.join("; ")
        };
        return failed(StatusCode::INTERNAL_SERVER_ERROR, &message);
    }
    let links = ended
        .images
        .iter()
        .map(|image| imgn_core::link(image, None, &LinkFormat::Url));
    Json(Answer {
        success: true,
        result: Some(links.collect()),
        message: None,
    })
    .into_response()
}

fn parse(body: &[u8]) -> Option<Request> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Some(Request::default());
    }
    serde_json::from_slice(body).ok()
}

fn refusal(
    headers: &HeaderMap,
    query: Option<&str>,
    shared: &Shared,
    needs_key: bool,
) -> Option<Response> {
    let text = |name| {
        headers
            .get(name)
            .and_then(|value: &header::HeaderValue| value.to_str().ok())
    };
    let host = text(header::HOST).unwrap_or_default();
    let port = shared.port;
    let is_ours = [format!("127.0.0.1:{port}"), format!("localhost:{port}")]
        .iter()
        .any(|ours| host.eq_ignore_ascii_case(ours));
    let is_page = headers.get(header::ORIGIN).is_some()
        && !text(header::ORIGIN).is_some_and(|origin| PROGRAMS.contains(&origin));
    if !is_ours || is_page {
        return Some(failed(
            StatusCode::FORBIDDEN,
            "pages may not upload by this server",
        ));
    }
    let bearer = text(header::AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer "));
    let in_query = query.and_then(|query| {
        let mut pairs = url::form_urlencoded::parse(query.as_bytes());
        pairs
            .find(|(name, _)| name == "key")
            .map(|(_, value)| value.into_owned())
    });
    let given = bearer.map(str::to_owned).or(in_query);
    let is_right = given
        .as_ref()
        .is_some_and(|given| is_key(&shared.key, given));
    // One that is wrong is refused also where none is needed.
    if (needs_key || given.is_some()) && !is_right {
        return Some(failed(
            StatusCode::UNAUTHORIZED,
            "this request needs the key that imgn's settings show",
        ));
    }
    None
}

/// Whether this is the key. An empty one opens nothing.
fn is_key(key: &Token, given: &str) -> bool {
    let key = key.expose().as_bytes();
    !key.is_empty() && bool::from(given.as_bytes().ct_eq(key))
}

fn failed(status: StatusCode, message: &str) -> Response {
    let answer = Answer {
        success: false,
        result: None,
        message: Some(message.to_owned()),
    };
    (status, Json(answer)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_key_opens_nothing() {
        assert!(is_key(&Token::new("0123"), "0123"));
        for (key, given) in [("", ""), ("0123", ""), ("", "0123"), ("0123", "012")] {
            assert!(!is_key(&Token::new(key), given));
        }
    }
}
