//! What other people's clients speak: each protocol a thin adapter over the life that every upload has here.
//!
//! Nothing of these protocols is known outside of this module. Invariant: every key is made by this server, and every id
//! that a client names is looked up among the caller's own.

pub(crate) mod companion;
pub(crate) mod pages;

use axum::{
    http::{
        HeaderValue,
        header::{CACHE_CONTROL, CONTENT_TYPE},
    },
    response::{IntoResponse, Response},
};
use serde::Serialize;

/// An answer with a secret in it, or about something that changes: nobody may keep it.
fn fresh(answer: &impl Serialize) -> Response {
    let cache = [(CACHE_CONTROL, HeaderValue::from_static("no-store"))];
    (cache, axum::Json(answer)).into_response()
}

/// The same as plain text.
fn fresh_text(text: String) -> Response {
    let headers = [
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (
            CONTENT_TYPE,
            HeaderValue::from_static("text/plain; charset=utf-8"),
        ),
    ];
    (headers, text).into_response()
}
