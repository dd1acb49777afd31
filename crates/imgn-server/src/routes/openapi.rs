//! The OpenAPI document, made from the code that answers.

use axum::Json;
use imgn_protocol::{ImageId, Problem, UploadId};
use utoipa::{
    OpenApi as _,
    openapi::{
        Components, OpenApi,
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

/// What stands around the operations.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "imgn",
        description = "A public picture gallery. Reading is public; writing needs a token. The bytes of pictures are \
                       sent to and read from the store, by URLs that are presigned for one request. Every error is a \
                       problem document (RFC 9457) with a `code` of a closed set.",
    ),
    // Only named in paths and in refusals, where the operations' own collection does not look.
    components(schemas(ImageId, UploadId, Problem)),
    tags(
        (name = "uploads", description = "From a file to a published picture"),
        (name = "images", description = "What is published"),
        (name = "other clients", description = "What the pages of 2018 and Uppy's S3 plugin speak"),
        (name = "health", description = "For those who run the server"),
    ),
)]
struct Frame;

pub(super) fn frame() -> OpenApi {
    let mut document = Frame::openapi();
    let token = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("A token of `imgn-server token add` or, where the gallery takes a sign-in, one (JWT) that its issuer signed"))
        .build();
    document
        .components
        .get_or_insert_with(Components::new)
        .add_security_scheme("token", SecurityScheme::Http(token));
    document
}

/// The document that is served at `/openapi.json`.
#[must_use]
pub fn document() -> OpenApi {
    super::api().into_openapi()
}

pub(super) async fn openapi_json() -> Json<OpenApi> {
    Json(document())
}
