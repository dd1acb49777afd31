//! From what HTTP says to a [`Failure`], and from that to words for a person.

use std::{error::Error as _, time::Duration};

use imgn_protocol::{ErrorCode, Problem, Timestamp};
use imgn_upload::{Failure, UploadCode};
use reqwest::{Response, header};
use url::Url;

use crate::{ClientCode, CommandError};

/// Errors are short; what is longer is not read.
const ERROR_BYTES: usize = 64 * 1024;

/// No answer, or not a whole one.
pub(super) fn from_transport(error: reqwest::Error) -> Failure {
    // The URL may be a signed one.
    let error = error.without_url();
    let reason = innermost(&error);
    if error.is_connect() {
        Failure::Unreachable { reason }
    } else if error.is_timeout() {
        let after = super::STALL;
        Failure::Stalled { after }
    } else if error.is_builder() || error.is_redirect() {
        Failure::Garbled { reason }
    } else {
        Failure::Broken { reason }
    }
}

/// The cause that says most: the outer ones only say that a request failed.
fn innermost(error: &reqwest::Error) -> String {
    let mut cause = error.source();
    let mut text = error.to_string();
    while let Some(inner) = cause {
        text = inner.to_string();
        cause = inner.source();
    }
    // The system's number for it says nothing to a person.
    match text.rsplit_once(" (os error ") {
        Some((words, _)) => words.to_owned(),
        None => text,
    }
}

/// The server's refusal: a problem document, or whatever stands before the server.
pub(super) async fn refused_by_server(response: Response) -> Failure {
    let status = response.status();
    let retry_after = retry_after(&response);
    let body = read_some(response).await;
    let (code, detail) = match serde_json::from_slice::<Problem>(&body) {
        Ok(problem) => (Some(problem.code), problem.detail),
        Err(_) => (None, unknown_detail(&body, status)),
    };
    Failure::Server {
        status: status.as_u16(),
        code,
        detail,
        retry_after,
    }
}

/// A problem document with a code that this version does not know still has its detail.
fn unknown_detail(body: &[u8], status: reqwest::StatusCode) -> String {
    let document: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    ["detail", "title"]
        .iter()
        .find_map(|key| document.get(key)?.as_str())
        .or_else(|| status.canonical_reason())
        .unwrap_or("no reason was given")
        .to_owned()
}

/// The store's refusal: S3's error document.
pub(super) async fn refused_by_store(response: Response) -> Failure {
    let status = response.status();
    let retry_after = retry_after(&response);
    let body = read_some(response).await;
    let text = String::from_utf8_lossy(&body);
    let detail = element(&text, "Message")
        .or_else(|| status.canonical_reason().map(str::to_owned))
        .unwrap_or_else(|| "no reason was given".to_owned());
    Failure::Store {
        status: status.as_u16(),
        code: element(&text, "Code").unwrap_or_default(),
        detail,
        retry_after,
    }
}

/// The text of the first element of that name. S3's errors are flat and have no attributes.
fn element(xml: &str, name: &str) -> Option<String> {
    let (_, from) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = from.split_once(&format!("</{name}>"))?;
    let text = text
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&apos;", "'")
        .replace("&amp;", "&");
    // It is shown to people: no more than a sentence, and nothing that moves a terminal's cursor.
    Some(text.chars().filter(|c| !c.is_control()).take(300).collect())
}

async fn read_some(mut response: Response) -> Vec<u8> {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        body.extend_from_slice(&chunk);
        if body.len() > ERROR_BYTES {
            break;
        }
    }
    body
}

/// Nobody is made to wait longer than this by another's `Retry-After`.
const LONGEST_WAIT: Duration = Duration::from_secs(600);

/// `Retry-After` in either of its forms: seconds, or a date.
fn retry_after(response: &Response) -> Option<Duration> {
    let value = response
        .headers()
        .get(header::RETRY_AFTER)?
        .to_str()
        .ok()?
        .trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds).min(LONGEST_WAIT));
    }
    let date = jiff::fmt::rfc2822::parse(value).ok()?.timestamp();
    // A date that has passed means now.
    let wait = Duration::try_from(date.duration_since(Timestamp::now())).unwrap_or_default();
    Some(wait.min(LONGEST_WAIT))
}

/// A failure in the words of a person's command.
pub(super) fn explain(failure: Failure, server: &Url) -> CommandError {
    match failure {
        Failure::Unreachable { reason } if is_no_tls(server, &reason) => CommandError::new(
            UploadCode::Offline,
            format!(
                "{server} does not answer by HTTPS; if it has none, begin its address with http://"
            ),
        ),
        Failure::Unreachable { reason } => CommandError::new(
            UploadCode::Offline,
            format!(
                "{server} cannot be reached ({reason}); check the address and the network, then try again"
            ),
        ),
        Failure::Server { status: 401, .. } => CommandError::new(
            ErrorCode::Unauthorized,
            format!("{server} does not know the token, or was given none"),
        ),
        Failure::Server {
            code: Some(code),
            detail,
            ..
        } => CommandError::new(code, detail),
        Failure::Server { .. } => CommandError::new(
            UploadCode::ServerRefused,
            format!("{}; is {server} an imgn server?", failure.describe()),
        ),
        Failure::Store { .. } => CommandError::new(UploadCode::StoreRefused, failure.describe()),
        Failure::Garbled { .. } => CommandError::new(
            UploadCode::UnexpectedAnswer,
            format!("{}; is {server} an imgn server?", failure.describe()),
        ),
        Failure::Broken { .. } | Failure::Stalled { .. } | Failure::Slept => CommandError::new(
            ClientCode::ConnectionFailed,
            format!("{}; try again", failure.describe()),
        ),
    }
}

/// Whether what answered speaks no TLS, in rustls' words: an address that was typed without `http://` is asked by HTTPS.
fn is_no_tls(server: &Url, reason: &str) -> bool {
    server.scheme() == "https" && reason.contains("InvalidContentType")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_s3_error_is_read() {
        let xml = "<?xml version=\"1.0\"?>\n<Error><Code>AccessDenied</Code>\
                   <Message>Request has &lt;expired&gt;\u{1b}[2J</Message></Error>";
        assert_eq!(element(xml, "Code").unwrap(), "AccessDenied");
        assert_eq!(element(xml, "Message").unwrap(), "Request has <expired>[2J");
        assert_eq!(element("<html>", "Code"), None);
    }
}
