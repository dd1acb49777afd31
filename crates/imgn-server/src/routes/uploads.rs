//! The life of an upload, as its client drives it. Every call can be repeated.
//!
//! Invariant: each call is bound to the caller's own uploads. Somebody else's id is answered like one that never was.

use std::time::Duration;

use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use imgn_protocol::{
    ChecksumAlgorithm, CompleteRequest, ErrorCode, FileName, Mode, OpenRequest, Part, Sha256,
    SignRequest, SignedRequest, UploadAnswer, UploadId,
};
use imgn_thumbs::{ACCEPTED, Format};
use serde::Deserialize;

use super::refusals;
use crate::{
    auth::{Caller, Uploader},
    catalogue::{Abort, Outcome, Upload, UploadState},
    error::ApiError,
    extract::{Id, Json, OptionalJson, Query},
    garbage, multipart,
    publish::Progress,
    state::App,
    storage::keys,
};

/// The longest announced media type, in bytes: its two names have 127 at most each (RFC 6838, section 4.2).
const LONGEST_TYPE: usize = 255;

/// How long whoever asks for an upload whose verification failed waits for the next attempt, at least. It begins within a
/// second.
const NEXT_ATTEMPT: Duration = Duration::from_secs(3);

/// The media type that is signed where none was announced that could be a picture's.
const UNKNOWN_TYPE: &str = "application/octet-stream";

/// How an upload is opened.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct OpenQuery {
    #[serde(default)]
    sign: bool,
}

/// [`OpenRequest`] with a name that was not looked at yet, so that a bad one gets its own code.
#[derive(Debug, Deserialize)]
pub(crate) struct OpenBody {
    file_name: String,
    size: u64,
    sha256: Sha256,
    #[serde(default)]
    content_type: Option<String>,
    /// Names, of which those are left out that this server does not know: a newer client may have more.
    #[serde(default)]
    checksum_algorithms: Vec<serde_json::Value>,
}

/// Opens an upload, or answers again where it stands.
///
/// The client makes the id and keeps it before it asks. Bytes that are published already are not sent again: the
/// answer is the picture that has them.
#[utoipa::path(
    put, path = "/v1/uploads/{id}", tag = "uploads", security(("token" = []), ()),
    params(
        ("id" = UploadId, Path, description = "The client's own id of this upload, a UUID"),
        ("sign" = Option<bool>, Query, description = "Whether to sign the request that sends the bytes at once"),
    ),
    request_body = OpenRequest,
    responses(
        (status = 200, body = UploadAnswer),
        refusals::OpenUpload,
    ),
)]
pub(crate) async fn open(
    State(app): State<App>,
    Uploader(caller): Uploader,
    Id(id): Id<UploadId>,
    Query(query): Query<OpenQuery>,
    Json(body): Json<OpenBody>,
) -> Result<axum::Json<UploadAnswer>, ApiError> {
    let _sending = app.activity.begin();
    let _presigning = query.sign.then(|| app.metrics.presigning());
    let liked: Vec<ChecksumAlgorithm> = body
        .checksum_algorithms
        .iter()
        .filter_map(|name| Deserialize::deserialize(name).ok())
        .collect();
    let request = accept(&app, body)?;
    // One that was opened before keeps its plan, whatever the settings are now.
    let is_large = multipart::divide(request.size, app.config.part_size)?.is_some();
    let is_anonymous = app.anonymous == Some(caller.owner);
    let known = match is_large || is_anonymous {
        true => app.catalogue.upload_of(id, caller.owner).await?,
        false => None,
    };
    app.admit(&caller, known.as_ref()).await?;
    let plan = if is_large && known.is_none() {
        multipart::plan(&app, request.size, &liked).await?
    } else {
        None
    };
    let expiry = query.sign.then(|| app.expiry());
    let outcome = app.open_upload(&caller, id, &request, plan, expiry).await?;
    let (upload, is_new) = match outcome {
        Outcome::New(upload) => (*upload, true),
        Outcome::Known(upload) => (*upload, false),
        Outcome::Over(over) => return Err(app.over(over, &caller)),
        Outcome::NotYours => return Err(unknown_upload()),
        Outcome::Conflict => {
            return Err(ApiError::new(
                ErrorCode::UploadConflict,
                "This upload id was opened for another file; take a new id for this one.",
            ));
        }
    };
    let mut answer = answer(&app, &upload).await?;
    if let (UploadAnswer::Open { .. }, Some(plan)) = (&answer, &upload.plan) {
        // Now, so that no part waits for it.
        multipart::ensure(&app, &upload, plan, signed_type(&upload), is_new).await?;
    }
    if let UploadAnswer::Open {
        mode: Mode::Single,
        signed,
        ..
    } = &mut answer
        && query.sign
    {
        *signed = Some(sign_put(&app, &upload).await?);
    }
    Ok(axum::Json(answer))
}

/// Where an upload stands.
#[utoipa::path(
    get, path = "/v1/uploads/{id}", tag = "uploads", security(("token" = []), ()),
    params(("id" = UploadId, Path)),
    responses(
        (status = 200, body = UploadAnswer),
        refusals::GetUpload,
    ),
)]
pub(crate) async fn get(
    State(app): State<App>,
    Uploader(caller): Uploader,
    Id(id): Id<UploadId>,
) -> Result<axum::Json<UploadAnswer>, ApiError> {
    let upload = own_upload(&app, id, &caller).await?;
    Ok(axum::Json(answer(&app, &upload).await?))
}

/// Signs the one request that is about to send bytes.
#[utoipa::path(
    post, path = "/v1/uploads/{id}/sign", tag = "uploads", security(("token" = []), ()),
    params(("id" = UploadId, Path)),
    request_body = SignRequest,
    responses(
        (status = 200, body = SignedRequest),
        refusals::SignUpload,
    ),
)]
pub(crate) async fn sign(
    State(app): State<App>,
    Uploader(caller): Uploader,
    Id(id): Id<UploadId>,
    Json(body): Json<SignRequest>,
) -> Result<axum::Json<SignedRequest>, ApiError> {
    let _sending = app.activity.begin();
    let _presigning = app.metrics.presigning();
    let upload = own_upload(&app, id, &caller).await?;
    if let Some(plan) = &upload.plan {
        let content_type = signed_type(&upload);
        let signed = multipart::sign(&app, &upload, plan, content_type, body.part, &body.checksum);
        return Ok(axum::Json(signed.await?.ok_or_else(closed)?));
    }
    app.admit(&caller, Some(&upload)).await?;
    if body.part.is_some() {
        return Err(ApiError::invalid(
            "This upload is sent by one PUT (its mode is `single`); leave out `part`.",
        ));
    }
    if body.checksum != upload.announced.sha256.into() {
        return Err(ApiError::new(
            ErrorCode::ChecksumMismatch,
            "This upload is sent by one PUT, and `checksum` is not the SHA-256 that it was opened with. If the file \
             has changed, open a new upload.",
        ));
    }
    // Written down before the URL exists: what it may write is known, even if this answer is never sent.
    if !app.catalogue.url_signed(id, app.expiry()).await? {
        return Err(closed());
    }
    Ok(axum::Json(sign_put(&app, &upload).await?))
}

/// Says that the bytes are sent: they are verified, and the picture is published.
///
/// Answers 200 with the result, or 202 `verifying` when that takes longer; ask again then, by this call or by `GET`.
#[utoipa::path(
    post, path = "/v1/uploads/{id}/complete", tag = "uploads", security(("token" = []), ()),
    params(("id" = UploadId, Path)),
    request_body = CompleteRequest,
    responses(
        (status = 200, description = "Published or rejected", body = UploadAnswer),
        (status = 202, description = "Verifying", body = UploadAnswer),
        refusals::CompleteUpload,
    ),
)]
pub(crate) async fn complete(
    State(app): State<App>,
    Uploader(caller): Uploader,
    Id(id): Id<UploadId>,
    OptionalJson(body): OptionalJson<CompleteRequest>,
) -> Result<Response, ApiError> {
    let sending = app.activity.begin();
    let mut upload = own_upload(&app, id, &caller).await?;
    if upload.plan.is_none() && !body.parts.is_empty() {
        return Err(ApiError::invalid(
            "This upload is sent by one PUT (its mode is `single`); leave `parts` empty.",
        ));
    }
    if upload.state == UploadState::Open {
        if let Some(plan) = &upload.plan {
            multipart::complete(&app, &upload, plan, &body.parts).await?;
        } else if !is_there(&app, &upload).await? {
            return Err(not_uploaded());
        }
        upload = app.begin_verifying(id).await?.ok_or_else(unknown_upload)?;
    }
    // From here on it only waits, for what gives way to those that send.
    drop(sending);
    if upload.state == UploadState::Verifying && verified(&app, &upload).await? {
        upload = own_upload(&app, id, &caller).await?;
    }
    match upload.state {
        // Its bytes were there, and were gone when they were read.
        UploadState::Open => return Err(not_uploaded()),
        UploadState::Aborted => return Err(closed()),
        UploadState::Verifying | UploadState::Published(_) | UploadState::Rejected(_) => {}
    }
    let answer = answer(&app, &upload).await?;
    let status = match answer {
        UploadAnswer::Verifying => StatusCode::ACCEPTED,
        _ => StatusCode::OK,
    };
    Ok((status, axum::Json(answer)).into_response())
}

/// Ends an upload; the store keeps nothing of it.
#[utoipa::path(
    delete, path = "/v1/uploads/{id}", tag = "uploads", security(("token" = []), ()),
    params(("id" = UploadId, Path)),
    responses(
        (status = 204, description = "It has ended, now or before"),
        refusals::AbortUpload,
    ),
)]
pub(crate) async fn abort(
    State(app): State<App>,
    Uploader(caller): Uploader,
    Id(id): Id<UploadId>,
) -> Result<StatusCode, ApiError> {
    let upload = own_upload(&app, id, &caller).await?;
    match app.abort(id, Some(&caller)).await? {
        Abort::Ended | Abort::EndedBefore => {
            garbage::collect_image(&app.catalogue, &app.storage, upload.image).await;
            Ok(StatusCode::NO_CONTENT)
        }
        Abort::Published => Err(ApiError::new(
            ErrorCode::UploadClosed,
            "This upload is published; delete the image to take it out of the gallery.",
        )),
        Abort::Unknown => Err(unknown_upload()),
    }
}

/// Whether the bytes of an upload by one PUT are there. While others are verified, the store is not asked: it has
/// enough to do, and the verification that comes finds out. An upload whose bytes it does not find is open again.
async fn is_there(app: &App, upload: &Upload) -> Result<bool, ApiError> {
    if upload.url_expires_at.is_none() {
        return Ok(false);
    }
    let key = keys::original(upload.image);
    // What other people's clients have sent may still lie elsewhere.
    let is_believed =
        app.publisher.has_others(upload.id) && app.catalogue.staged(upload.id).await?.is_none();
    Ok(is_believed || app.storage.size(&key).await?.is_some())
}

/// Waits for the verification of an upload, for as long as a request may. Answers whether it ended; says when it cannot
/// go on at the moment.
///
/// While others are verified, and for what was so large that it came in parts, it does not wait: whoever has more to
/// send goes on with it.
pub(super) async fn verified(app: &App, upload: &Upload) -> Result<bool, ApiError> {
    let patience = if upload.plan.is_some() || app.publisher.has_others(upload.id) {
        Duration::ZERO
    } else {
        app.config.timing.complete_wait
    };
    verified_within(app, upload, patience).await
}

async fn verified_within(app: &App, upload: &Upload, patience: Duration) -> Result<bool, ApiError> {
    let mut progress = app.publisher.start(upload.id);
    // Why it failed some time ago, such as a full disk, need not be so any more: what is told is the attempt that comes now.
    let has_failed = matches!(*progress.borrow_and_update(), Progress::Failing(_));
    let patience = match has_failed {
        true => patience.max(NEXT_ATTEMPT),
        false => patience,
    };
    let decided = async {
        if has_failed {
            // An error is that it has ended.
            let _ = progress.changed().await;
        }
        let decided = progress.wait_for(|progress| !matches!(progress, Progress::Running));
        decided.await.map(|progress| progress.clone())
    };
    tokio::select! {
        // What is known already is told, however short the patience.
        biased;
        progress = decided => match progress {
            Ok(Progress::Failing(error)) => Err(error),
            _ => Ok(true),
        },
        () = tokio::time::sleep(patience) => Ok(false),
        () = app.stopping.cancelled() => Ok(false),
    }
}

/// The upload, once its picture is verified or the caller has waited for that as long as a request may, whatever else is
/// verified: who does not ask again is told now or never.
pub(crate) async fn once_verified(app: &App, upload: Upload) -> Result<Upload, ApiError> {
    let patience = app.config.timing.complete_wait;
    if upload.state != UploadState::Verifying || !verified_within(app, &upload, patience).await? {
        return Ok(upload);
    }
    let again = app.catalogue.upload(upload.id).await?;
    again.ok_or_else(unknown_upload)
}

/// Refuses what cannot become a picture here, before a byte of it is sent.
fn accept(app: &App, body: OpenBody) -> Result<OpenRequest, ApiError> {
    let file_name = FileName::parse(&body.file_name)
        .map_err(|error| ApiError::new(ErrorCode::InvalidFileName, format!("{error}.")))?;
    if body.size == 0 {
        return Err(ApiError::invalid(format!(
            "\"{}\" is empty (0 bytes).",
            file_name.as_str()
        )));
    }
    let max = app.config.max_size;
    if body.size > max {
        return Err(ApiError::new(
            ErrorCode::TooLarge,
            format!(
                "\"{}\" has {} bytes; this gallery takes at most {max}.",
                file_name.as_str(),
                body.size
            ),
        ));
    }
    if let Some(announced) = &body.content_type {
        check_type(&file_name, announced)?;
    }
    Ok(OpenRequest {
        file_name,
        size: body.size,
        sha256: body.sha256,
        content_type: body.content_type,
        checksum_algorithms: vec![],
    })
}

/// Refuses what is announced as something else than a picture. Unknown bytes may be one.
pub(crate) fn check_type(file_name: &FileName, announced: &str) -> Result<(), ApiError> {
    if announced.len() > LONGEST_TYPE {
        return Err(ApiError::invalid(format!(
            "The media type of \"{}\" has {} bytes; it may have {LONGEST_TYPE}.",
            file_name.as_str(),
            announced.len()
        )));
    }
    if picture_type(announced).is_some() || essence(announced) == UNKNOWN_TYPE {
        return Ok(());
    }
    Err(ApiError::new(
        ErrorCode::UnsupportedFormat,
        format!(
            "\"{}\" was announced as {announced:?}; {ACCEPTED} pictures are accepted.",
            file_name.as_str()
        ),
    ))
}

pub(super) async fn answer(app: &App, upload: &Upload) -> Result<UploadAnswer, ApiError> {
    Ok(match &upload.state {
        UploadState::Open if upload.plan.is_some() => in_parts(app, upload).await?,
        UploadState::Open => {
            let key = keys::original(upload.image);
            let there = if upload.url_expires_at.is_some() {
                app.storage.size(&key).await?
            } else {
                None
            };
            UploadAnswer::Open {
                key,
                mode: Mode::Single,
                part_size: upload.announced.size,
                part_count: 1,
                checksum_algorithm: ChecksumAlgorithm::Sha256,
                // No other bytes could have been stored: their checksum was signed.
                parts: there
                    .map(|size| Part {
                        number: 1,
                        size,
                        checksum: upload.announced.sha256.into(),
                    })
                    .into_iter()
                    .collect(),
                signed: None,
            }
        }
        UploadState::Verifying => UploadAnswer::Verifying,
        UploadState::Published(image) => match app.catalogue.image(*image).await? {
            Some(row) => UploadAnswer::Published {
                image: Box::new(app.image(row)),
            },
            // It was deleted between two reads, and the upload with it.
            None => return Err(unknown_upload()),
        },
        UploadState::Rejected(rejection) => UploadAnswer::Rejected(rejection.clone()),
        UploadState::Aborted => UploadAnswer::Aborted,
    })
}

/// Where an open upload in parts stands.
async fn in_parts(app: &App, upload: &Upload) -> Result<UploadAnswer, ApiError> {
    let Some(plan) = &upload.plan else {
        return Err(ApiError::internal("an upload without parts"));
    };
    let parts = match multipart::find(app, upload, plan).await? {
        multipart::Found::Parts(parts) => multipart::report(app, upload, plan, &parts).await?,
        multipart::Found::Nothing => vec![],
        // It was completed, and a crash kept that from being written down.
        multipart::Found::Object => {
            app.begin_verifying(upload.id).await?;
            app.publisher.start(upload.id);
            return Ok(UploadAnswer::Verifying);
        }
    };
    Ok(UploadAnswer::Open {
        key: keys::original(upload.image),
        mode: Mode::Multipart,
        part_size: plan.part_size,
        part_count: plan.part_count,
        checksum_algorithm: plan.algorithm,
        parts,
        signed: None,
    })
}

/// The media type that the object of an upload is stored with.
pub(crate) fn signed_type(upload: &Upload) -> &'static str {
    upload
        .announced
        .content_type
        .as_deref()
        .and_then(picture_type)
        .unwrap_or(UNKNOWN_TYPE)
}

async fn sign_put(app: &App, upload: &Upload) -> Result<SignedRequest, ApiError> {
    let announced = &upload.announced;
    let content_type = signed_type(upload);
    let key = keys::original(upload.image);
    Ok(app
        .storage
        .sign_put(&key, announced.size, content_type, &announced.sha256)
        .await?)
}

pub(super) async fn own_upload(
    app: &App,
    id: UploadId,
    caller: &Caller,
) -> Result<Upload, ApiError> {
    app.catalogue
        .upload_of(id, caller.owner)
        .await?
        .ok_or_else(unknown_upload)
}

fn unknown_upload() -> ApiError {
    ApiError::not_found("You have no upload with this id.")
}

pub(super) fn closed() -> ApiError {
    ApiError::new(
        ErrorCode::UploadClosed,
        "This upload has ended and takes no more bytes; open a new one.",
    )
}

fn not_uploaded() -> ApiError {
    ApiError::new(
        ErrorCode::NotUploaded,
        "The bytes are not in the store; sign a request, send them, and complete again.",
    )
}

/// The accepted type that was announced, if it is one.
pub(crate) fn picture_type(announced: &str) -> Option<&'static str> {
    let announced = match essence(announced).as_str() {
        // Not registered, and widely sent.
        "image/jpg" | "image/pjpeg" => "image/jpeg".to_owned(),
        // The container's name; which coding is in it is seen from the bytes.
        "image/heif" => "image/heic".to_owned(),
        "image/x-ms-bmp" | "image/x-bmp" => "image/bmp".to_owned(),
        // Each maker's raws have a type of their own.
        "image/x-adobe-dng"
        | "image/x-canon-cr2"
        | "image/x-canon-cr3"
        | "image/x-fuji-raf"
        | "image/x-nikon-nef"
        | "image/x-olympus-orf"
        | "image/x-panasonic-rw2"
        | "image/x-pentax-pef"
        | "image/x-samsung-srw"
        | "image/x-sony-arw" => "image/x-dcraw".to_owned(),
        other => other.to_owned(),
    };
    Format::ALL
        .iter()
        .map(|format| format.content_type())
        .find(|&accepted| accepted == announced)
}

/// A media type without its parameters, in lower case.
fn essence(media_type: &str) -> String {
    let essence = media_type.split(';').next().unwrap_or_default();
    essence.trim().to_ascii_lowercase()
}
