//! Whether the server lives, and whether it can do its work.

use axum::{Json, Router, extract::State};
use imgn_protocol::ErrorCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::refusals;
use crate::{catalogue::CatalogueError, error::ApiError, state::App, storage::StorageError};

/// All is well.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Health {
    /// `ok`.
    status: &'static str,
    /// The server's version.
    version: &'static str,
}

const OK: Health = Health {
    status: "ok",
    version: env!("CARGO_PKG_VERSION"),
};

/// Whether the server lives. Asks nobody else.
#[utoipa::path(get, path = "/healthz", tag = "health", responses((status = 200, body = Health), refusals::SayAlive))]
pub(crate) async fn healthz() -> Json<Health> {
    Json(OK)
}

/// Whether the server can work: its catalogue and its store are asked.
#[utoipa::path(
    get, path = "/readyz", tag = "health",
    responses(
        (status = 200, body = Health),
        refusals::SayReady,
    ),
)]
pub(crate) async fn readyz(State(app): State<App>) -> Result<Json<Health>, ApiError> {
    app.catalogue.check().await.map_err(catalogue_away)?;
    app.storage.check().await.map_err(store_away)?;
    Ok(Json(OK))
}

/// Who asks whether a server is ready is told which part of it is not, and why.
fn catalogue_away(error: CatalogueError) -> ApiError {
    match error.why_away() {
        Some(why) => {
            ApiError::from(error).because("The catalogue's database does not answer", &why)
        }
        None => error.into(),
    }
}

fn store_away(error: StorageError) -> ApiError {
    match error.reason().map(ToString::to_string) {
        Some(why) => ApiError::from(error).because("The store does not do its work", &why),
        None => error.into(),
    }
}

/// What is answered while a start waits for its database, or brings the catalogue to its version: that the server lives, and nothing else.
pub(crate) fn waiting() -> Router {
    async fn not_yet() -> ApiError {
        ApiError::new(
            ErrorCode::Unavailable,
            "The server waits for its database, or brings it to its version, and is not ready; try again in a moment.",
        )
    }
    Router::new()
        .route("/healthz", axum::routing::get(healthz))
        .fallback(not_yet)
}
