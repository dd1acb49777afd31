//! Requests through API Gateway (REST and HTTP APIs) and function URLs, to the server's router and back.
//!
//! What a gateway puts in front of the path (its stage, the base path of a custom domain) is taken off, and is part of
//! the address that clients are told. Bodies are bytes on both sides: `isBase64Encoded` is read and set.
//!
//! Invariant: no answer is larger than Lambda lets through.

use std::collections::HashMap;

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
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde_json::{Value, json, value::RawValue};
use tower::ServiceExt as _;
use url::Url;

use crate::Error;

/// What an answer's body may have in bytes: Lambda's limit is 6 MB of JSON, in which bytes take four thirds, and the rest
/// is for headers.
const MOST: usize = 4_400_000;

const PROBLEM_JSON: &str = "application/problem+json";

/// Answers a request that came as an event.
pub(crate) async fn answer(
    function: &Function,
    event: &RawValue,
    context: Context,
) -> Result<Value, Error> {
    let mut event: LambdaRequest = serde_json::from_str(event.get()).map_err(|error| {
        format!("a request of a kind that this function does not know: {error}")
    })?;
    if !encode_again(&mut event) {
        return no_address();
    }
    let mut adapter =
        lambda_http::Adapter::from(service_fn(async |request: lambda_http::Request| {
            respond(function, request).await
        }));
    let answer = adapter.call(LambdaEvent::new(event, context)).await?;
    Ok(serde_json::to_value(answer)?)
}

/// What may not stand in a query as it is. `%` may, for what is encoded stays.
const IN_QUERY: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// What may not stand in a path as it is.
const IN_PATH: &AsciiSet = &IN_QUERY.add(b'?');

const NO_ADDRESS: &str = "The request's address is none; percent-encode what may not stand in one.";

/// Encodes the event's path and query, which gateways hand over decoded, as they have to be in a URL. `false` when that
/// makes no address of them, which the adapter would take for a fault of the program.
fn encode_again(event: &mut LambdaRequest) -> bool {
    let encode_all = |parameters: &mut HashMap<String, String>| {
        for value in parameters.values_mut() {
            *value = utf8_percent_encode(value, IN_PATH).to_string();
        }
    };
    let encode_path = |path: &mut Option<String>| {
        if let Some(path) = path {
            *path = utf8_percent_encode(path, IN_PATH).to_string();
        }
    };
    let (headers, domain, path) = match event {
        LambdaRequest::ApiGatewayV1(event) => {
            encode_path(&mut event.path);
            encode_path(&mut event.request_context.path);
            encode_all(&mut event.path_parameters);
            let domain = &event.request_context.domain_name;
            (&event.headers, domain, &event.path)
        }
        LambdaRequest::ApiGatewayV2(event) => {
            encode_path(&mut event.raw_path);
            encode_all(&mut event.path_parameters);
            if let Some(query) = &mut event.raw_query_string {
                *query = utf8_percent_encode(query, IN_QUERY).to_string();
            }
            let domain = &event.request_context.domain_name;
            (&event.headers, domain, &event.raw_path)
        }
        _ => return true,
    };
    let told = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let scheme = told("x-forwarded-proto").unwrap_or("https");
    let host = told("host").or(domain.as_deref()).unwrap_or("localhost");
    let path = path.as_deref().unwrap_or_default();
    // An empty path is the root's; another begins with a slash, or it would be a part of the host.
    (path.is_empty() || path.starts_with('/'))
        && Url::parse(&format!("{scheme}://{host}{path}"))
            .is_ok_and(|url| Uri::try_from(url.as_str()).is_ok())
}

/// The answer to a request that has no address, as all gateways read it.
fn no_address() -> Result<Value, Error> {
    let code = ErrorCode::InvalidRequest;
    let headers = json!({ "content-type": PROBLEM_JSON });
    Ok(json!({
        "statusCode": code.status(),
        "headers": headers,
        "body": serde_json::to_string(&Problem::new(code, NO_ADDRESS))?,
        "isBase64Encoded": false,
    }))
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
    let Ok(path) = PathAndQuery::try_from(path) else {
        return problem(ErrorCode::InvalidRequest, NO_ADDRESS);
    };
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
        .header(CONTENT_TYPE, PROBLEM_JSON)
        .body(Full::new(body.into()))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_not_stand_in_a_path_is_encoded_once() {
        let path = |text| utf8_percent_encode(text, IN_PATH).to_string();
        assert_eq!(
            path("/a b?c#d/\u{e4}\n\"%20+"),
            "/a%20b%3Fc%23d/%C3%A4%0A%22%20+"
        );
        assert_eq!(path("/v1/images/1"), "/v1/images/1");
        let query = utf8_percent_encode("q=a b?c", IN_QUERY).to_string();
        assert_eq!(query, "q=a%20b?c");
    }
}
