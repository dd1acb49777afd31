//! The embedded store on the server's own address, and what the server learns from what passes there: what has been sent
//! unannounced, and what turned out to be too large.
//!
//! Nothing is changed on the way: a request gets to the store as it was signed, path and all, and the store has its own
//! CORS. Invariant: whatever is seen here is found without it too, only later, as it is with another store.

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{
        HeaderValue, Method, StatusCode,
        header::{ACCESS_CONTROL_ALLOW_ORIGIN, AUTHORIZATION, CACHE_CONTROL, LOCATION},
    },
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
};
use imgn_protocol::{ErrorCode, UploadId};
use imgn_store::StoreService;

use super::{let_in, uploads};
use crate::{
    catalogue::UploadState,
    error::ApiError,
    staging::{self, Taken},
    state::App,
    storage::{BUCKET, keys},
};

/// The most of a refusal that is read, in bytes; the store's are some hundred.
const REFUSAL_MAX_BYTES: usize = 64 * 1024;

/// How the store says that an object would be larger than it may be.
const TOO_LARGE: &[u8] = b"<Code>EntityTooLarge</Code>";

/// The store, for a router that answers for nothing else at its paths.
pub(super) fn router(store: StoreService, app: App) -> Router {
    Router::new()
        .route_service(&format!("/{BUCKET}"), store.clone())
        .route_service(&format!("/{BUCKET}/"), store.clone())
        .route_service(&format!("/{BUCKET}/{{*key}}"), store)
        .layer(middleware::from_fn_with_state(app, watch))
}

async fn watch(State(app): State<App>, request: Request, next: Next) -> Response {
    match *request.method() {
        Method::PUT | Method::POST => note_sending(&app, request, next).await,
        Method::GET => match unsigned(&request) {
            // Nobody was let in by a signature.
            Some(id) => match let_in(&app, &request) {
                Ok(()) => to_picture(&app, id).await,
                Err(error) => error.into_response(),
            },
            None => next.run(request).await,
        },
        _ => next.run(request).await,
    }
}

/// What writes to the store from outside is a client that sends. What it sent unannounced is looked at now.
async fn note_sending(app: &App, request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let response = {
        let _sending = app.activity.begin();
        next.run(request).await
    };
    if response.status().is_success() {
        // A form is posted to the bucket; the answer says what it became.
        let made = response.headers().get(LOCATION);
        let made = made.and_then(|made| made.to_str().ok());
        staging::arrived(app, key(made.unwrap_or(&path))).await;
        return response;
    }
    if response.status() == StatusCode::BAD_REQUEST {
        return note_refusal(app, key(&path), response).await;
    }
    response
}

/// Parts that are together more than the gallery takes are never put together: what came of them need not stay.
async fn note_refusal(app: &App, key: &str, response: Response) -> Response {
    let (head, body) = response.into_parts();
    let body = match to_bytes(body, REFUSAL_MAX_BYTES).await {
        Ok(body) => body,
        Err(error) => return ApiError::internal(error).into_response(),
    };
    if body.windows(TOO_LARGE.len()).any(|text| text == TOO_LARGE) {
        staging::too_large(app, key).await;
    }
    Response::from_parts(head, Body::from(body))
}

/// Who asks without a signature for what was sent unannounced. Uppy tells its page this address of a file that it sent by
/// one form, without what was signed.
fn unsigned(request: &Request) -> Option<UploadId> {
    if request.uri().query().is_some() || request.headers().contains_key(AUTHORIZATION) {
        return None;
    }
    match keys::sent(key(request.uri().path())) {
        Some(keys::Sent::Staged(id)) => Some(id),
        _ => None,
    }
}

/// Where the picture is that became of it, once it is there.
async fn to_picture(app: &App, id: UploadId) -> Response {
    let mut response = match picture(app, id).await {
        Ok(url) => (StatusCode::FOUND, [(LOCATION, url)]).into_response(),
        Err(error) => error.into_response(),
    };
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    response
}

async fn picture(app: &App, id: UploadId) -> Result<HeaderValue, ApiError> {
    let nothing = || {
        ApiError::not_found(
            "No picture was published of what was sent here: it has not arrived, was refused, or is deleted.",
        )
    };
    let upload = match staging::take(app, id).await? {
        Taken::Upload(upload) => uploads::once_verified(app, *upload).await?,
        Taken::Refused(rejection) => return Err(ApiError::new(rejection.code, rejection.message)),
        Taken::Not => return Err(nothing()),
    };
    match upload.state {
        UploadState::Published(image) => {
            HeaderValue::from_str(&app.content_url(image)).map_err(ApiError::internal)
        }
        UploadState::Rejected(rejection) => Err(ApiError::new(rejection.code, rejection.message)),
        UploadState::Verifying => Err(ApiError::new(
            ErrorCode::Unavailable,
            "The picture is being verified; ask again in a moment.",
        )),
        UploadState::Open | UploadState::Aborted => Err(nothing()),
    }
}

/// The key in a path of the store.
fn key(path: &str) -> &str {
    let in_bucket = path
        .strip_prefix('/')
        .and_then(|path| path.strip_prefix(BUCKET));
    in_bucket
        .and_then(|path| path.strip_prefix('/'))
        .unwrap_or_default()
}
