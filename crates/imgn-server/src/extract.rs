//! What handlers take from a request, with a problem document where it is not as it should be.

use std::{error::Error, str::FromStr, time::Duration};

use axum::{
    body::Bytes,
    extract::{
        FromRequest, FromRequestParts, RawPathParams, Request,
        rejection::{JsonRejection, QueryRejection},
    },
    http::{StatusCode, header::CONTENT_TYPE, request::Parts},
};
use imgn_protocol::ErrorCode;
use serde::de::DeserializeOwned;
use tokio::time::{error::Elapsed, timeout};

use crate::error::ApiError;

/// The largest JSON body in bytes. The longest that the API has is the list of 10,000 parts.
pub(crate) const MAX_JSON_BODY: usize = 1024 * 1024;

/// How long a JSON body may take to arrive, as a whole: the largest, at 9 kB/s.
const JSON_BODY_TIMEOUT: Duration = Duration::from_secs(120);

/// A JSON body.
pub(crate) struct Json<T>(pub(crate) T);

impl<S, T> FromRequest<S> for Json<T>
where
    S: Send + Sync,
    T: DeserializeOwned,
{
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let arrived = timeout(JSON_BODY_TIMEOUT, axum::Json::from_request(request, state));
        let axum::Json(value) = arrived.await.map_err(json_too_slow)?.map_err(refuse_body)?;
        Ok(Self(value))
    }
}

/// A body was not there in the time that it had.
pub(crate) fn too_slow(time: Duration) -> ApiError {
    ApiError::invalid(format!(
        "The request's body did not arrive within {} seconds; send it again.",
        time.as_secs()
    ))
}

fn json_too_slow(_: Elapsed) -> ApiError {
    too_slow(JSON_BODY_TIMEOUT)
}

/// A JSON body that may be left out.
pub(crate) struct OptionalJson<T>(pub(crate) T);

impl<S, T> FromRequest<S> for OptionalJson<T>
where
    S: Send + Sync,
    T: DeserializeOwned + Default,
{
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let typed = request.headers().contains_key(CONTENT_TYPE);
        let (parts, body) = request.into_parts();
        let arrived = timeout(
            JSON_BODY_TIMEOUT,
            Bytes::from_request(Request::new(body), state),
        );
        let bytes = arrived.await.map_err(json_too_slow)?;
        let bytes = bytes.map_err(|error| refuse_body(error.into()))?;
        if bytes.is_empty() && !typed {
            return Ok(Self(T::default()));
        }
        let request = Request::from_parts(parts, bytes.into());
        let Json(value) = Json::from_request(request, state).await?;
        Ok(Self(value))
    }
}

fn refuse_body(rejection: JsonRejection) -> ApiError {
    match rejection {
        JsonRejection::MissingJsonContentType(_) => ApiError::new(
            ErrorCode::UnsupportedMediaType,
            "The body must be JSON, sent with `Content-Type: application/json`.",
        ),
        JsonRejection::BytesRejection(error) if error.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            ApiError::new(
                ErrorCode::TooLarge,
                format!(
                    "The request's body is larger than {MAX_JSON_BODY} bytes. The bytes of a picture are sent to the \
                     URL that `sign` answers, not here."
                ),
            )
        }
        JsonRejection::BytesRejection(_) => {
            ApiError::invalid("The request's body did not arrive whole; send it again.")
        }
        rejection => ApiError::invalid(match cause(&rejection) {
            Some(cause) => format!("The JSON of the request's body is not as it must be: {cause}."),
            None => sentence(&rejection.body_text()),
        }),
    }
}

/// The query string.
pub(crate) struct Query<T>(pub(crate) T);

impl<S, T> FromRequestParts<S> for Query<T>
where
    S: Send + Sync,
    T: DeserializeOwned,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let axum::extract::Query(value) = axum::extract::Query::from_request_parts(parts, state)
            .await
            .map_err(refuse_query)?;
        Ok(Self(value))
    }
}

fn refuse_query(rejection: QueryRejection) -> ApiError {
    ApiError::invalid(match cause(&rejection) {
        Some(cause) => format!("The query, behind the `?`, is not as it must be: {cause}."),
        None => sentence(&rejection.body_text()),
    })
}

/// What was the matter, without the framework's words around it.
fn cause(rejection: &dyn Error) -> Option<String> {
    let mut deepest = rejection.source()?;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    Some(deepest.to_string())
}

/// The identifier in the path.
pub(crate) struct Id<T>(pub(crate) T);

impl<S, T> FromRequestParts<S> for Id<T>
where
    S: Send + Sync,
    T: FromStr,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let text = path_parameter(parts, state, "id").await?;
        // UUIDs have other spellings too; one name for one thing.
        let id = (text.len() == 36).then(|| text.parse().ok()).flatten();
        id.map(Self).ok_or_else(|| {
            ApiError::invalid("The id in the path must be a UUID, written with its hyphens.")
        })
    }
}

/// A part of the path, by its name in the route.
pub(crate) async fn path_parameter<S: Send + Sync>(
    parts: &mut Parts,
    state: &S,
    name: &str,
) -> Result<String, ApiError> {
    let parameters = RawPathParams::from_request_parts(parts, state)
        .await
        .map_err(|_| ApiError::invalid("The path must be UTF-8."))?;
    let value = parameters.iter().find(|(key, _)| *key == name);
    Ok(value.map(|(_, value)| value.to_owned()).unwrap_or_default())
}

fn sentence(text: &str) -> String {
    let text = text.trim_end();
    if text.ends_with('.') {
        text.to_owned()
    } else {
        format!("{text}.")
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use axum::{body::Body, response::IntoResponse as _};
    use futures_util::stream;
    use tokio::time::{Instant, sleep};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_body_that_drips_is_not_waited_for() {
        let request = || {
            let drops = stream::unfold((), |()| async {
                sleep(Duration::from_secs(50)).await;
                Some((Ok::<_, Infallible>(" "), ()))
            });
            let request = Request::builder().header(CONTENT_TYPE, "application/json");
            request.body(Body::from_stream(drops)).unwrap()
        };
        let begun = Instant::now();
        let json = Json::<String>::from_request(request(), &()).await;
        let optional = OptionalJson::<String>::from_request(request(), &()).await;
        for error in [json.err(), optional.err()] {
            let answer = error.unwrap().into_response();
            assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
        }
        assert_eq!(begun.elapsed(), 2 * JSON_BODY_TIMEOUT);
    }
}
