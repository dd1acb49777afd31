//! Small pictures through the server itself, for clients that reach it and not its store. Off unless the gallery's
//! settings say up to which size.
//!
//! It is on the way of pictures what everything else here avoids, and the way on which imgn's forerunner lost them: a
//! gateway that takes bodies for text replaces what is no text. So the bytes are compared with what was announced before
//! anything is stored, and what such a gateway has done to them is told by its name.
//!
//! Invariant: only the exact bytes that were announced are stored; and nobody who sends slowly, or nothing, keeps the
//! others waiting for longer than is known before.

use std::time::Duration;

use axum::{
    body::{Body, to_bytes},
    extract::State,
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use imgn_protocol::{ErrorCode, OpenRequest, Sha256, UploadAnswer, UploadId};
use tokio::time::timeout;

use super::{
    refusals,
    uploads::{answer, closed, own_upload, signed_type},
};
use crate::{
    auth::Uploader, catalogue::UploadState, error::ApiError, extract::Id, publish::Budget,
    state::App, storage::keys,
};

/// A character takes up to three bytes in place of one that is no text.
const SWELLING: u64 = 3;

/// What one picture takes at most, in its own size: its body as text, and the two attempts to undo that.
const COPIES: u64 = SWELLING + 2;

/// What the bytes of a body are given a second for: a slow line of today. Who is slower is asked to send a picture to the store.
pub(crate) const SLOWEST: u64 = 64 * 1024;

/// The memory that all pictures on the way through the server share: that of one of the largest that are allowed.
pub(crate) fn memory(relay_max_size: Option<u64>) -> Budget {
    Budget::new(relay_max_size.unwrap_or(1).saturating_mul(COPIES))
}

/// Takes the bytes of an upload, where the gallery allows it for small pictures. Others are sent to the store.
#[utoipa::path(
    put, path = "/v1/uploads/{id}/content", tag = "uploads", security(("token" = []), ()),
    params(("id" = UploadId, Path)),
    request_body(content = Vec<u8>, content_type = "application/octet-stream", description = "Exactly the bytes that were announced"),
    responses(
        (status = 200, description = "They are in the store; complete the upload now", body = UploadAnswer),
        refusals::SendContent,
    ),
)]
pub(crate) async fn content(
    State(app): State<App>,
    Uploader(caller): Uploader,
    Id(id): Id<UploadId>,
    body: Body,
) -> Result<axum::Json<UploadAnswer>, ApiError> {
    let _sending = app.activity.begin();
    let Some(most) = app.config.relay_max_size else {
        return Err(ApiError::not_found(
            "This gallery takes no pictures through its server; send the bytes to the URL that `sign` answers. (Its \
             operator can allow small ones: `--relay-max-size`.)",
        ));
    };
    let upload = own_upload(&app, id, &caller).await?;
    if upload.state != UploadState::Open {
        return Err(closed());
    }
    let announced = &upload.announced;
    if announced.size > most || upload.plan.is_some() {
        return Err(ApiError::new(
            ErrorCode::TooLarge,
            format!(
                "\"{}\" has {} bytes; through the server itself this gallery takes at most {most}. Send the bytes to the \
                 URL that `sign` answers.",
                announced.file_name.as_str(),
                announced.size
            ),
        ));
    }
    app.admit(&caller, Some(&upload)).await?;
    // Before the body is read; who is not let in yet waits with it.
    let needed = announced.size.saturating_mul(COPIES);
    let timing = &app.config.timing;
    let turn = timeout(timing.relay_wait, app.relay_memory.take(needed)).await;
    let _memory = turn.map_err(|_| {
        ApiError::new(
            ErrorCode::RateLimited,
            "Other pictures are on their way through the server. Send this one again in a moment, or to the URL that \
             `sign` answers.",
        )
    })??;
    let limit = announced.size.saturating_mul(SWELLING).saturating_add(1);
    let limit = usize::try_from(limit).map_err(ApiError::internal)?;
    let time = timing.relay_time + Duration::from_secs(announced.size / SLOWEST);
    let bytes = timeout(time, to_bytes(body, limit)).await.map_err(|_| {
        ApiError::new(
            ErrorCode::SizeMismatch,
            format!(
                "\"{}\" did not arrive in {} seconds, and others wait. Nothing was stored; send it again, or to the URL \
                 that `sign` answers, where it may take its time.",
                announced.file_name.as_str(),
                time.as_secs(),
            ),
        )
    })?;
    let bytes = bytes.map_err(|_| {
        ApiError::new(
            ErrorCode::SizeMismatch,
            format!(
                "The body broke off, or has far more than the {} bytes that were announced.",
                announced.size
            ),
        )
    })?;
    if let Some(refusal) = refusal(&bytes, announced) {
        return Err(refusal);
    }
    // Written down before the store has it.
    if !app.catalogue.url_signed(id, app.expiry()).await? {
        return Err(closed());
    }
    let key = keys::original(upload.image);
    let content_type = signed_type(&upload);
    app.storage
        .put_new(&key, content_type, &announced.sha256, bytes)
        .await?;
    let upload = own_upload(&app, id, &caller).await?;
    Ok(axum::Json(answer(&app, &upload).await?))
}

/// Why these are not the bytes that were announced; `None` when they are.
fn refusal(bytes: &[u8], announced: &OpenRequest) -> Option<ApiError> {
    let is_announced = |bytes: &[u8]| Sha256::of(bytes) == announced.sha256;
    if is_announced(bytes) {
        return None;
    }
    let name = announced.file_name.as_str();
    let (arrived, size) = (bytes.len(), announced.size);
    let text = std::str::from_utf8(bytes).ok();
    let replaced = text.map_or(0, |text| text.matches(char::REPLACEMENT_CHARACTER).count());
    let in_latin_1 = || {
        let bytes: Option<Vec<u8>> = text?.chars().map(|c| u8::try_from(c).ok()).collect();
        bytes.filter(|bytes| is_announced(bytes))
    };
    let in_base64 = || {
        let bytes = BASE64_STANDARD.decode(text?.trim()).ok();
        bytes.filter(|bytes| is_announced(bytes))
    };
    const WHAT_TO_DO: &str = "Tell the gateway which bodies are binary: in API Gateway the API's binary media types \
        (`binaryMediaTypes`) must have the request's Content-Type, or `*/*`. Or send the bytes to the URL that `sign` \
        answers, past the gateway. Nothing was stored.";
    let what = if replaced > 0 {
        format!(
            "\"{name}\" arrived as text: {arrived} bytes where {size} were announced, and {replaced} places that are no text \
             were replaced. A gateway on the way took the picture for text. {WHAT_TO_DO}"
        )
    } else if in_latin_1().is_some() {
        format!(
            "\"{name}\" arrived as text: {arrived} bytes where {size} were announced, each byte above 127 written as a \
             character. A gateway on the way took the picture for text. {WHAT_TO_DO}"
        )
    } else if in_base64().is_some() {
        format!(
            "\"{name}\" arrived in base64: a gateway on the way encoded it and did not say so (`isBase64Encoded`). \
             {WHAT_TO_DO}"
        )
    } else if u64::try_from(arrived) != Ok(size) {
        return Some(ApiError::new(
            ErrorCode::SizeMismatch,
            format!(
                "{arrived} bytes of \"{name}\" arrived, {size} were announced. Nothing was stored; send it again."
            ),
        ));
    } else {
        format!(
            "The bytes of \"{name}\" that arrived do not have the SHA-256 that was announced. Nothing was stored; send it \
             again, or open a new upload if the file has changed."
        )
    };
    Some(ApiError::new(ErrorCode::ChecksumMismatch, what))
}

#[cfg(test)]
mod tests {
    use imgn_protocol::FileName;

    use super::*;

    #[test]
    fn what_a_gateway_did_to_a_picture_is_told_by_its_name() {
        let picture: Vec<u8> = b"\x89PNG\r\n\x1a\n"
            .iter()
            .copied()
            .chain(0..=255)
            .collect();
        let announced = OpenRequest {
            file_name: FileName::parse("a.png").unwrap(),
            size: picture.len() as u64,
            sha256: Sha256::of(&picture),
            content_type: None,
            checksum_algorithms: vec![],
        };
        let told = |bytes: &[u8]| refusal(bytes, &announced).map(|error| error.to_string());
        assert_eq!(told(&picture), None);
        let as_text = String::from_utf8_lossy(&picture).into_owned();
        let in_latin_1: String = picture.iter().copied().map(char::from).collect();
        let in_base64 = BASE64_STANDARD.encode(&picture);
        for damaged in [as_text, in_latin_1, in_base64] {
            let told = told(damaged.as_bytes()).unwrap();
            assert!(
                told.starts_with("checksum_mismatch: \"a.png\" arrived "),
                "{told}"
            );
            assert!(told.contains("binaryMediaTypes"), "{told}");
        }
        let mut other = picture.clone();
        other[9] ^= 1;
        for damaged in [&picture[1..], &other] {
            let told = told(damaged).unwrap();
            assert!(!told.contains("gateway"), "{told}");
        }
    }
}
