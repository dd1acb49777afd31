//! Whether the server lives, and whether it can do its work.

use axum::{Json, extract::State};
use imgn_protocol::Problem;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{error::ApiError, state::App};

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
#[utoipa::path(get, path = "/healthz", tag = "health", responses((status = 200, body = Health)))]
pub(crate) async fn healthz() -> Json<Health> {
    Json(OK)
}

/// Whether the server can work: its catalogue and its store are asked.
#[utoipa::path(
    get, path = "/readyz", tag = "health",
    responses(
        (status = 200, body = Health),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn readyz(State(app): State<App>) -> Result<Json<Health>, ApiError> {
    app.catalogue.check().await?;
    app.storage.check().await?;
    Ok(Json(OK))
}
