//! What Uppy's S3 plugin asks of a Companion server: a form to post a file with, or a multipart upload whose every part is
//! signed for right before it is sent.
//!
//! The names are Uppy's. An upload id is this server's own, never the store's; a key is told, and taken back only as what
//! was told. There are no temporary credentials for browsers here: they could write more than one file.
//!
//! The protocol: `packages/@uppy/aws-s3/src/s3-client/CompanionS3.ts` and, for the plugin up to its version 5,
//! `packages/@uppy/companion/src/server/controllers/s3.js`, both of <https://github.com/transloadit/uppy>.

use std::collections::BTreeMap;

use axum::{
    extract::{FromRequestParts, State},
    http::request::Parts,
    response::Response,
};
use imgn_protocol::{ChecksumAlgorithm, ErrorCode, FileName, UploadId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::fresh;
use crate::{
    audit::Why,
    auth::{Caller, Uploader},
    catalogue::{Abort, Staged, Upload, UploadState},
    error::ApiError,
    extract::{Json, Query, path_parameter},
    garbage,
    routes::{
        refusals,
        uploads::{self, picture_type},
    },
    staging::{self, Taken},
    state::App,
    storage::{Completed, Multipart, StoredPart, keys},
    writes::End,
};

/// Part numbers of S3.
const NUMBERS: std::ops::RangeInclusive<u32> = 1..=10_000;

/// The most URLs that one request may ask for.
const MOST_AT_ONCE: usize = 100;

/// What is signed where no type of picture was named.
const UNKNOWN_TYPE: &str = "application/octet-stream";

/// What a file is called. Other parameters, among them the file's metadata, are not looked at.
#[derive(Debug, Deserialize)]
pub(crate) struct Params {
    filename: String,
    #[serde(default, rename = "type")]
    content_type: Option<String>,
}

/// The same as a body.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct CreateBody {
    /// Shown in the gallery; names no place.
    filename: String,
    /// The media type, which is not trusted.
    #[serde(default, rename = "type")]
    content_type: Option<String>,
}

/// A form to post a file with.
#[derive(Serialize, ToSchema)]
pub(crate) struct FormAnswer {
    /// `POST`.
    method: &'static str,
    /// Where to.
    url: String,
    /// What to send before the file, `key` among it.
    fields: BTreeMap<&'static str, String>,
    /// How many seconds the form may be used.
    expires: u64,
}

/// A multipart upload.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Created {
    key: String,
    upload_id: UploadId,
    /// The bucket's name.
    bucket: String,
}

/// A part as the store has it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct PartRow {
    part_number: u32,
    /// In bytes.
    size: u64,
    #[serde(rename = "ETag")]
    etag: String,
}

/// A part as the client has sent it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct SentPart {
    part_number: u32,
    #[serde(rename = "ETag")]
    etag: String,
}

/// What is to be put together.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct CompleteBody {
    parts: Vec<SentPart>,
}

/// The URL for one part.
#[derive(Serialize, ToSchema)]
pub(crate) struct PartUrl {
    url: String,
    /// How many seconds it may be used.
    expires: u64,
}

/// URLs for several parts, by number.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PartUrls {
    presigned_urls: BTreeMap<u32, String>,
}

/// The picture.
#[derive(Serialize, ToSchema)]
pub(crate) struct Location {
    /// Where it can be read from, once it is published.
    location: String,
    key: String,
    bucket: String,
}

/// Nothing.
#[derive(Serialize, ToSchema)]
pub(crate) struct Nothing {}

#[derive(Debug, Deserialize)]
pub(crate) struct KeyQuery {
    key: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct BatchQuery {
    #[serde(rename = "partNumbers")]
    part_numbers: String,
}

/// The part in the path.
pub(crate) struct Number(u32);

/// A form that posts one file, which is published once it is there.
#[utoipa::path(
    get, path = "/s3/params", tag = "other clients", security(("token" = []), ()),
    params(
        ("filename" = String, Query),
        ("type" = Option<String>, Query, description = "The file's media type"),
    ),
    responses(
        (status = 200, body = FormAnswer),
        refusals::SignForm,
    ),
)]
pub(crate) async fn params(
    State(app): State<App>,
    Uploader(caller): Uploader,
    Query(query): Query<Params>,
) -> Result<Response, ApiError> {
    let _presigning = app.metrics.presigning();
    let name = FileName::clean(&query.filename);
    let content_type = stored_type(&name, query.content_type.as_deref())?;
    let staged = staging::expect(&app, &caller, name, false).await?;
    let most = app.config.max_size;
    let form = app
        .storage
        .sign_form(&staged.key(), content_type, most)
        .await?;
    Ok(fresh(&FormAnswer {
        method: "POST",
        url: form.url,
        fields: form.fields,
        expires: app.storage.lifetime().await?.as_secs(),
    }))
}

/// Begins a multipart upload.
#[utoipa::path(
    post, path = "/s3/multipart", tag = "other clients", security(("token" = []), ()),
    request_body = CreateBody,
    responses(
        (status = 200, body = Created),
        refusals::CreateParts,
    ),
)]
pub(crate) async fn create(
    State(app): State<App>,
    Uploader(caller): Uploader,
    Json(body): Json<CreateBody>,
) -> Result<Response, ApiError> {
    let _sending = app.activity.begin();
    let name = FileName::clean(&body.filename);
    let content_type = stored_type(&name, body.content_type.as_deref())?;
    // Written down before the store has it; what a crash leaves there, the sweeper finds.
    let staged = staging::expect(&app, &caller, name, true).await?;
    let key = staged.key();
    let made = match app.storage.create_multipart(&key, content_type, None).await {
        Ok(made) => made,
        Err(error) => {
            // Nobody learns of this id, so nobody could end it.
            let failed = End::GivenUp(Why::StoreFailed);
            staging::end(&app, &staged, failed).await?;
            return Err(error.into());
        }
    };
    app.catalogue.note_staged_parts(staged.id, &made).await?;
    Ok(fresh(&Created {
        key,
        upload_id: staged.id,
        bucket: app.storage.bucket().to_owned(),
    }))
}

/// The parts that the store has.
#[utoipa::path(
    get, path = "/s3/multipart/{uploadId}", tag = "other clients", security(("token" = []), ()),
    params(("uploadId" = String, Path), ("key" = String, Query)),
    responses(
        (status = 200, body = Vec<PartRow>),
        refusals::ListParts,
    ),
)]
pub(crate) async fn parts(State(app): State<App>, open: Open) -> Result<Response, ApiError> {
    let rows = open.parts(&app).await?.into_iter().map(|part| PartRow {
        part_number: part.number,
        size: part.size,
        etag: part.etag,
    });
    Ok(fresh(&rows.collect::<Vec<_>>()))
}

/// The URL for the request that is about to send a part.
#[utoipa::path(
    get, path = "/s3/multipart/{uploadId}/{partNumber}", tag = "other clients", security(("token" = []), ()),
    params(
        ("uploadId" = String, Path),
        ("partNumber" = u32, Path, minimum = 1, maximum = 10_000),
        ("key" = String, Query),
    ),
    responses(
        (status = 200, body = PartUrl),
        refusals::SignParts,
    ),
)]
pub(crate) async fn sign(
    State(app): State<App>,
    open: Open,
    Number(number): Number,
) -> Result<Response, ApiError> {
    let _sending = app.activity.begin();
    let _presigning = app.metrics.presigning();
    let [url] = <[_; 1]>::try_from(open.sign(&app, &[number]).await?)
        .map_err(|_| ApiError::internal("one part, and not one URL"))?;
    Ok(fresh(&PartUrl {
        url: url.1,
        expires: app.storage.lifetime().await?.as_secs(),
    }))
}

/// URLs for several parts. Each lives from now on, so ask for those that are about to be sent.
#[utoipa::path(
    get, path = "/s3/multipart/{uploadId}/batch", tag = "other clients", security(("token" = []), ()),
    params(
        ("uploadId" = String, Path),
        ("key" = String, Query),
        ("partNumbers" = String, Query, description = "At most 100, with commas between them"),
    ),
    responses(
        (status = 200, body = PartUrls),
        refusals::SignParts,
    ),
)]
pub(crate) async fn sign_batch(
    State(app): State<App>,
    open: Open,
    Query(query): Query<BatchQuery>,
) -> Result<Response, ApiError> {
    let _sending = app.activity.begin();
    let _presigning = app.metrics.presigning();
    let numbers = query
        .part_numbers
        .split(',')
        .map(|text| number(text.trim()));
    let numbers = numbers.collect::<Result<Vec<_>, _>>()?;
    if numbers.len() > MOST_AT_ONCE {
        return Err(ApiError::invalid(format!(
            "At most {MOST_AT_ONCE} parts are signed at once; their URLs would expire before they are used."
        )));
    }
    let presigned_urls = open.sign(&app, &numbers).await?.into_iter().collect();
    Ok(fresh(&PartUrls { presigned_urls }))
}

/// Puts the parts together, and waits a while for the picture to be verified.
#[utoipa::path(
    post, path = "/s3/multipart/{uploadId}/complete", tag = "other clients", security(("token" = []), ()),
    params(("uploadId" = String, Path), ("key" = String, Query)),
    request_body = CompleteBody,
    responses(
        (status = 200, body = Location),
        refusals::CompleteParts,
    ),
)]
pub(crate) async fn complete(
    State(app): State<App>,
    named: Named,
    Json(body): Json<CompleteBody>,
) -> Result<Response, ApiError> {
    let Named { caller, id, key } = &named;
    let sending = app.activity.begin();
    // An answer that was lost is asked for again when there is nothing left to put together.
    if let Some(upload) = app.catalogue.upload_of(*id, caller.owner).await?
        && app.catalogue.staged(*id).await?.is_none()
    {
        drop(sending);
        check_key(&keys::original(upload.image), key)?;
        return answer(&app, upload).await;
    }
    let open = Open::find(&app, &named).await?;
    open.complete(&app, &body.parts).await?;
    drop(sending);
    match staging::take(&app, *id).await? {
        Taken::Upload(upload) => answer(&app, *upload).await,
        Taken::Refused(rejection) => Err(ApiError::new(rejection.code, rejection.message)),
        Taken::Not => Err(unknown()),
    }
}

/// Ends a multipart upload; the store keeps nothing.
#[utoipa::path(
    delete, path = "/s3/multipart/{uploadId}", tag = "other clients", security(("token" = []), ()),
    params(("uploadId" = String, Path), ("key" = String, Query)),
    responses(
        (status = 200, body = Nothing),
        refusals::AbortParts,
    ),
)]
pub(crate) async fn abort(State(app): State<App>, named: Named) -> Result<Response, ApiError> {
    let Named { caller, id, key } = &named;
    if let Some(staged) = own(&app, &named).await? {
        check_key(&staged.key(), key)?;
        if staging::end(&app, &staged, End::Asked(caller.clone())).await? == Abort::Ended {
            return Ok(fresh(&Nothing {}));
        }
        // It has become an upload in this moment.
    }
    let upload = app.catalogue.upload_of(*id, caller.owner).await?;
    let upload = upload.ok_or_else(unknown)?;
    check_key(&keys::original(upload.image), key)?;
    match app.abort(*id, Some(caller)).await? {
        Abort::Ended | Abort::EndedBefore => {
            garbage::collect_image(&app.catalogue, &app.storage, upload.image).await;
            Ok(fresh(&Nothing {}))
        }
        Abort::Published => Err(ApiError::new(
            ErrorCode::UploadClosed,
            "This upload is published; delete the image to take it out of the gallery.",
        )),
        Abort::Unknown => Err(unknown()),
    }
}

/// Refused: credentials for a browser could write more than the one file that was asked for.
#[utoipa::path(
    get, path = "/s3/sts", tag = "other clients", security(("token" = []), ()),
    responses(refusals::GiveCredentials),
)]
pub(crate) async fn sts(Uploader(_): Uploader) -> ApiError {
    ApiError::new(
        ErrorCode::Forbidden,
        "This gallery gives nobody credentials for its store. Leave out `getCredentials` (in Uppy up to version 5: \
         `getTemporarySecurityCredentials`); requests are signed here, one by one.",
    )
}

/// A multipart upload as a caller names it, which need not be the caller's.
pub(crate) struct Named {
    caller: Caller,
    id: UploadId,
    key: String,
}

impl FromRequestParts<App> for Named {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let Uploader(caller) = Uploader::from_request_parts(parts, app).await?;
        let text = path_parameter(parts, app, "uploadId").await?;
        let id = (text.len() == 36).then(|| text.parse().ok()).flatten();
        let Query(KeyQuery { key }) = Query::from_request_parts(parts, app).await?;
        Ok(Self {
            caller,
            // One that is none is nobody's upload.
            id: id.ok_or_else(unknown)?,
            key,
        })
    }
}

/// A multipart upload of the caller's that has not ended.
pub(crate) struct Open {
    staged: Staged,
    key: String,
    multipart: String,
}

impl FromRequestParts<App> for Open {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let named = Named::from_request_parts(parts, app).await?;
        Self::find(app, &named).await
    }
}

impl Open {
    async fn find(app: &App, named: &Named) -> Result<Self, ApiError> {
        let mut staged = own(app, named).await?.ok_or_else(unknown)?;
        check_key(&staged.key(), &named.key)?;
        let multipart = staged.multipart.take().ok_or_else(unknown)?;
        Ok(Self {
            key: staged.key(),
            staged,
            multipart,
        })
    }

    fn in_store(&self) -> Multipart<'_> {
        Multipart {
            key: &self.key,
            id: &self.multipart,
            // Only read where the store tells checksums; it was asked for none.
            algorithm: ChecksumAlgorithm::default(),
        }
    }

    async fn parts(&self, app: &App) -> Result<Vec<StoredPart>, ApiError> {
        let parts = app.storage.parts(self.in_store()).await?;
        parts.ok_or_else(unknown)
    }

    async fn sign(&self, app: &App, numbers: &[u32]) -> Result<Vec<(u32, String)>, ApiError> {
        // No length can be signed for a part, since none is told; so more is signed only while what came is not too much,
        // where the store would take that.
        if !app.storage.bounds_sizes() {
            self.check_size(app, &self.parts(app).await?).await?;
        }
        // Written down before a URL exists: what it may write is known, even if this answer is never sent.
        if !app.catalogue.staged_url(&self.staged, app.expiry()).await? {
            return Err(unknown());
        }
        let mut urls = Vec::with_capacity(numbers.len());
        for &number in numbers {
            let url = app
                .storage
                .sign_any_part(&self.key, &self.multipart, number)
                .await?;
            urls.push((number, url.expose().to_owned()));
        }
        Ok(urls)
    }

    /// Ends the upload when these parts are together more than the gallery takes.
    async fn check_size(&self, app: &App, parts: &[StoredPart]) -> Result<(), ApiError> {
        let size = parts
            .iter()
            .fold(0_u64, |size, part| size.saturating_add(part.size));
        let most = app.config.max_size;
        if size <= most {
            return Ok(());
        }
        let refused = End::Refused(ErrorCode::TooLarge, Some(size));
        staging::end(app, &self.staged, refused).await?;
        Err(ApiError::new(
            ErrorCode::TooLarge,
            format!(
                "\"{}\" has {size} bytes; this gallery takes at most {most}.",
                self.staged.file_name.as_str(),
            ),
        ))
    }

    async fn complete(&self, app: &App, claimed: &[SentPart]) -> Result<(), ApiError> {
        let mut wanted = BTreeMap::new();
        for part in claimed {
            in_range(part.part_number)?;
            let tag = part.etag.trim().trim_matches('"');
            if wanted.insert(part.part_number, tag).is_some() {
                return Err(ApiError::invalid(format!(
                    "`parts` names part {} twice.",
                    part.part_number
                )));
            }
        }
        if wanted.is_empty() {
            return Err(ApiError::invalid("`parts` names no part."));
        }
        let Some(mut parts) = app.storage.parts(self.in_store()).await? else {
            // It was put together, and the answer was lost.
            return match app.storage.size(&self.key).await? {
                Some(_) => Ok(()),
                None => Err(unknown()),
            };
        };
        parts.retain(|part| wanted.get(&part.number) == Some(&part.etag.trim_matches('"')));
        if parts.len() != wanted.len() {
            return Err(ApiError::new(
                ErrorCode::NotUploaded,
                "The store does not have all of these parts with these entity tags; send what is missing, and complete \
                 again.",
            ));
        }
        self.check_size(app, &parts).await?;
        // From here on there may be an object, whatever becomes of this server.
        let look_at = imgn_protocol::Timestamp::now().as_millisecond()
            + staging::milliseconds(app.config.timing.adopt_after);
        app.catalogue
            .look_for_staged(self.staged.id, look_at)
            .await?;
        match app
            .storage
            .complete_multipart(self.in_store(), &parts)
            .await?
        {
            Completed::Done => Ok(()),
            Completed::Unknown => match app.storage.size(&self.key).await? {
                Some(_) => Ok(()),
                None => Err(unknown()),
            },
            Completed::Refused(reason) => Err(ApiError::new(
                ErrorCode::NotUploaded,
                format!("The store did not put the parts together ({reason}); send them again."),
            )),
        }
    }
}

/// Where the picture is. Waits for its verification as long as a request may; one that takes longer is published later.
async fn answer(app: &App, upload: Upload) -> Result<Response, ApiError> {
    let upload = uploads::once_verified(app, upload).await?;
    let image = match upload.state {
        UploadState::Published(image) => image,
        UploadState::Verifying => upload.image,
        UploadState::Rejected(rejection) => {
            return Err(ApiError::new(rejection.code, rejection.message));
        }
        UploadState::Open | UploadState::Aborted => return Err(unknown()),
    };
    Ok(fresh(&Location {
        location: app.content_url(image),
        key: keys::original(upload.image),
        bucket: app.storage.bucket().to_owned(),
    }))
}

/// What the caller may send in parts under this id.
async fn own(app: &App, named: &Named) -> Result<Option<Staged>, ApiError> {
    let staged = app.catalogue.staged(named.id).await?;
    Ok(staged.filter(|staged| staged.owner == named.caller.owner && staged.in_parts))
}

fn check_key(key: &str, named: &str) -> Result<(), ApiError> {
    if key == named { Ok(()) } else { Err(unknown()) }
}

fn unknown() -> ApiError {
    ApiError::not_found(
        "You have no multipart upload with this id and key. It may have ended, also because more was sent than the \
         gallery takes.",
    )
}

/// What is signed for a file that is announced so; refused where that is no picture.
fn stored_type(name: &FileName, announced: Option<&str>) -> Result<&'static str, ApiError> {
    let Some(announced) = announced.filter(|announced| !announced.is_empty()) else {
        return Ok(UNKNOWN_TYPE);
    };
    uploads::check_type(name, announced)?;
    Ok(picture_type(announced).unwrap_or(UNKNOWN_TYPE))
}

fn number(text: &str) -> Result<u32, ApiError> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = is_number.then(|| text.parse().ok()).flatten();
    in_range(number.unwrap_or_default())
}

fn in_range(number: u32) -> Result<u32, ApiError> {
    if NUMBERS.contains(&number) {
        Ok(number)
    } else {
        Err(ApiError::invalid("Parts are numbered from 1 to 10000."))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Number {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let text = path_parameter(parts, state, "partNumber").await?;
        number(&text).map(Self)
    }
}
