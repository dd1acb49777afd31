//! Requests through API Gateway (REST and HTTP APIs) and function URLs, to the server's router and back.
//!
//! What a gateway puts in front of the path (its stage, the base path of a custom domain) is taken off, and is part of
//! the address that clients are told. Bodies are bytes on both sides: `isBase64Encoded` is read and set.
//!
//! Invariant: no answer is larger than Lambda lets through.

use axum::body::Body;
use bytes::Bytes;
use http::{Response, StatusCode, Uri, header::CONTENT_TYPE, uri::PathAndQuery};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use imgn_protocol::{ErrorCode, Problem};
use imgn_server::Function;
use lambda_http::{
    Context, LambdaEvent, RequestExt as _,
    request::{LambdaRequest, RequestContext},
    tower::{Service as _, service_fn},
};
use serde_json::{Value, value::RawValue};
use tower::ServiceExt as _;
use url::Url;

use crate::Error;

/// What an answer's body may have in bytes: Lambda's limit is 6 MB of JSON, in which bytes take four thirds, and the rest
/// is for headers.
const MOST: usize = 4_400_000;

/// Answers a request that came as an event.
pub(crate) async fn answer(
    function: &Function,
    event: &RawValue,
    context: Context,
) -> Result<Value, Error> {
    let event: LambdaRequest = serde_json::from_str(event.get()).map_err(|error| {
        format!("a request of a kind that this function does not know: {error}")
    })?;
    let mut adapter =
        lambda_http::Adapter::from(service_fn(async |request: lambda_http::Request| {
            respond(function, request).await
        }));
    let answer = adapter.call(LambdaEvent::new(event, context)).await?;
    Ok(serde_json::to_value(answer)?)
}

async fn respond(
    function: &Function,
    request: lambda_http::Request,
) -> Result<Response<Full<Bytes>>, Error> {
    let place = Place::of(&request, function.public_url())?;
    let url = match function.public_url() {
        Some(url) => url.clone(),
        None => place.url()?,
    };
    let path = match request.uri().query() {
        Some(query) => format!("{}?{query}", place.path),
        None => place.path,
    };
    let path = PathAndQuery::try_from(path)?;
    let mut request = request.map(|body| match body {
        lambda_http::Body::Text(text) => Body::from(text),
        lambda_http::Body::Binary(bytes) => Body::from(bytes),
        _ => Body::empty(),
    });
    *request.uri_mut() = Uri::from(path);
    let Ok(response) = function.router(&url).oneshot(request).await;
    let (parts, body) = response.into_parts();
    Ok(match Limited::new(body, MOST).collect().await {
        Ok(body) => Response::from_parts(parts, Full::new(body.to_bytes())),
        Err(error) if error.is::<LengthLimitError>() => problem(
            ErrorCode::TooLarge,
            "The answer is larger than a function may give; ask for less at a time, as with `limit`.",
        )?,
        Err(error) => {
            tracing::error!(%error, "an answer broke off");
            problem(ErrorCode::Internal, "The answer broke off; try again.")?
        }
    })
}

/// Where a request was sent to.
struct Place {
    host: Option<String>,
    /// What stands in front of the server's own path, without a slash at its end.
    prefix: String,
    /// The server's own path.
    path: String,
}

impl Place {
    /// What `public_url` says stands in front is known to do so; without it, what the event tells has to do.
    fn of(request: &lambda_http::Request, public_url: Option<&Url>) -> Result<Self, Error> {
        let raw = request.raw_http_path();
        // `{proxy+}` is what the gateway's own route left open: all of the server's path but its slash.
        let open = request
            .path_parameters_ref()
            .and_then(|parameters| parameters.first("proxy"))
            .and_then(|open| raw.strip_suffix(open))
            .map(|front| front.trim_end_matches('/').len());
        let (host, whole, own) = match request.request_context_ref() {
            Some(RequestContext::ApiGatewayV1(context)) => {
                // With the stage in front, which `path` has not.
                let whole = context.path.clone().unwrap_or_else(|| raw.to_owned());
                (context.domain_name.clone(), whole, open.unwrap_or(0))
            }
            Some(RequestContext::ApiGatewayV2(context)) => {
                let stage = context.stage.as_deref().unwrap_or("$default");
                // The key by which a domain of one's own is mapped to the API stays in the path, and no field tells it.
                let known = public_url.map_or("", |url| url.path().trim_end_matches('/'));
                let stands_in_front = |front: &&str| {
                    !front.is_empty()
                        && raw
                            .strip_prefix(front)
                            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
                };
                let stage = format!("/{stage}");
                let front = [known, &stage].into_iter().find(stands_in_front);
                let own = front.map_or(open.unwrap_or(0), str::len);
                (context.domain_name.clone(), raw.to_owned(), own)
            }
            _ => return Err("a request of a kind that this function does not know".into()),
        };
        let path = match &raw[own..] {
            "" => "/".to_owned(),
            path => path.to_owned(),
        };
        let whole = whole.trim_end_matches('/');
        let prefix = whole.strip_suffix(path.trim_end_matches('/'));
        Ok(Self {
            host,
            prefix: prefix.unwrap_or_default().to_owned(),
            path,
        })
    }

    fn url(&self) -> Result<Url, Error> {
        let host = self.host.as_deref().ok_or(
            "the gateway does not tell its domain; set IMGN_PUBLIC_URL to where clients reach it",
        )?;
        Ok(Url::parse(&format!("https://{host}{}/", self.prefix))?)
    }
}

fn problem(code: ErrorCode, detail: &str) -> Result<Response<Full<Bytes>>, Error> {
    let body = serde_json::to_vec(&Problem::new(code, detail))?;
    Ok(Response::builder()
        .status(StatusCode::from_u16(code.status())?)
        .header(CONTENT_TYPE, "application/problem+json")
        .body(Full::new(body.into()))?)
}
