//! The HTTP interface: which path is answered by whom, and what every answer has.

pub(crate) mod feed;
pub(crate) mod health;
pub(crate) mod images;
pub(crate) mod openapi;
mod originals;
mod refusal;
pub(crate) mod refusals;
pub(crate) mod relay;
pub(crate) mod requests;
mod store;
pub(crate) mod uploads;
mod web;

use std::{any::Any, time::Duration};

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request, State},
    http::{
        HeaderValue, Method,
        header::{ETAG, LOCATION, REFERRER_POLICY, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS},
    },
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
};
use imgn_protocol::ErrorCode;
use imgn_store::StoreService;
use tower_http::{
    catch_panic::CatchPanicLayer,
    cors::{AllowHeaders, Any as AnyOrigin, CorsLayer},
    set_header::SetResponseHeaderLayer,
    timeout::RequestBodyTimeoutLayer,
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    compat::{companion, pages},
    error::ApiError,
    extract::MAX_JSON_BODY,
    origin::Origin,
    state::App,
};
use requests::REQUEST_ID;

/// How long a client may be silent in the middle of a request's body.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);

/// Everything that the server answers; with the embedded store, that too.
pub(crate) fn router(app: App, store: Option<StoreService>) -> Router {
    let (api, _) = api().split_for_parts();
    let same = app.clone();
    let watched = app.clone();
    let limited = app.clone();
    let hearing = refusal::Hearing::new(app.stopping.clone());
    let mut router = api
        .route("/openapi.json", axum::routing::get(openapi::openapi_json))
        .merge(web::router())
        .fallback(unknown_path)
        .method_not_allowed_fallback(wrong_method)
        // Together: each layer of its own is one more copy of all that is below it, for every request.
        .layer((
            SetResponseHeaderLayer::if_not_present(
                REFERRER_POLICY,
                HeaderValue::from_static("no-referrer"),
            ),
            SetResponseHeaderLayer::if_not_present(
                X_CONTENT_TYPE_OPTIONS,
                HeaderValue::from_static("nosniff"),
            ),
            cors(),
            // Within CORS: a page may read that it has to wait.
            middleware::from_fn_with_state(limited, limit),
            DefaultBodyLimit::max(MAX_JSON_BODY),
        ))
        .with_state(app);
    if let Some(store) = store {
        router = router.merge(store::router(store, same));
    }
    router.layer((
        middleware::from_fn_with_state(watched, requests::watch),
        middleware::from_fn_with_state(hearing, refusal::hear_out),
        CatchPanicLayer::custom(panicked),
        RequestBodyTimeoutLayer::new(BODY_TIMEOUT),
    ))
}

/// The API's operations, from which the router and the OpenAPI document are made.
pub(crate) fn api() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(openapi::frame())
        .routes(routes!(uploads::open, uploads::get, uploads::abort))
        .routes(routes!(uploads::sign))
        .routes(routes!(uploads::complete))
        .routes(routes!(relay::content))
        .routes(routes!(images::list))
        .routes(routes!(images::get, images::delete))
        .routes(routes!(images::content))
        .routes(routes!(images::thumb))
        .routes(routes!(images::changes))
        .routes(routes!(feed::events))
        .routes(routes!(feed::timeline))
        .routes(routes!(pages::upload))
        .routes(routes!(pages::gallery))
        .routes(routes!(companion::params))
        .routes(routes!(companion::create))
        .routes(routes!(companion::parts, companion::abort))
        .routes(routes!(companion::sign_batch))
        .routes(routes!(companion::complete))
        .routes(routes!(companion::sign))
        .routes(routes!(companion::sts))
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
}

/// Refuses an address that asks too often. Who looks whether the server lives, which asks nobody else, does so as often as
/// they like.
async fn limit(State(app): State<App>, request: Request, next: Next) -> Response {
    let is_health = request.uri().path() == "/healthz";
    if !is_health && let Err(error) = let_in(&app, &request) {
        return error.into_response();
    }
    next.run(request).await
}

fn let_in(app: &App, request: &Request) -> Result<(), ApiError> {
    let (headers, extensions) = (request.headers(), request.extensions());
    match Origin::of(headers, extensions, app.config.trusted_proxies) {
        Some(origin) => app.let_in(origin, extensions.get()),
        None => Ok(()),
    }
}

/// Any page may read the gallery, and write to it with a token of its own: there are no cookies to abuse.
fn cors() -> CorsLayer {
    CorsLayer::new()
        .allow_origin(AnyOrigin)
        .allow_methods([Method::GET, Method::PUT, Method::POST, Method::DELETE])
        // Other people's clients send headers of their own; none of them means anything here.
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers([ETAG, LOCATION, RETRY_AFTER, REQUEST_ID])
        .max_age(Duration::from_secs(24 * 60 * 60))
}

async fn unknown_path() -> ApiError {
    ApiError::not_found("There is nothing at this path; /openapi.json lists what there is.")
}

async fn wrong_method() -> ApiError {
    ApiError::new(
        ErrorCode::MethodNotAllowed,
        "This path does not take this method; the `Allow` header lists those it takes.",
    )
}

fn panicked(panic: Box<dyn Any + Send + 'static>) -> Response {
    let message = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    ApiError::internal(format!("panicked: {message}")).into_response()
}
