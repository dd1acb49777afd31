//! Events of the shapes that AWS documents, and answers as gateways read them.
//!
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html>,
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html>,
//! <https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html>,
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html>

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

/// What stands before a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gateway {
    /// A REST API under its own address, whose path begins with the stage.
    RestWithStage,
    /// A REST API under a domain of its own.
    RestWithoutStage,
    /// The same under a base path of that domain.
    RestWithBasePath,
    /// An HTTP API with its default stage.
    Http,
    /// An HTTP API with a stage that has a name.
    HttpWithStage,
    /// An HTTP API under a key of a domain of one's own. The key stays in the path and is told nowhere, so the function has
    /// to be told its public URL.
    HttpWithMappingKey,
    /// A function URL.
    FunctionUrl,
}

/// A request as a client sends it to a gateway.
#[derive(Debug, Clone, Default)]
pub struct Sent {
    /// `GET` and so on.
    pub method: &'static str,
    /// The server's own path, and what stands behind a `?`.
    pub path: String,
    /// Lower case.
    pub headers: Vec<(&'static str, String)>,
    /// The body's bytes.
    pub body: Vec<u8>,
}

/// An answer as a client gets it from a gateway.
#[derive(Debug)]
pub struct Answered {
    /// The status.
    pub status: u16,
    /// Lower case.
    pub headers: BTreeMap<String, String>,
    /// The body's bytes.
    pub body: Vec<u8>,
    /// Whether the function gave them in base64.
    pub was_base64: bool,
}

impl Gateway {
    /// All kinds whose events tell where clients reach the server.
    pub const ALL: [Self; 6] = [
        Self::RestWithStage,
        Self::RestWithoutStage,
        Self::RestWithBasePath,
        Self::Http,
        Self::HttpWithStage,
        Self::FunctionUrl,
    ];

    /// Where clients reach the server through it.
    #[must_use]
    pub fn url(self) -> &'static str {
        match self {
            Self::RestWithStage => "https://abc123.execute-api.eu-central-1.amazonaws.com/prod",
            Self::RestWithoutStage => "https://pictures.example",
            Self::RestWithBasePath => "https://example.org/pictures",
            Self::Http => "https://def456.execute-api.eu-central-1.amazonaws.com",
            Self::HttpWithStage => "https://def456.execute-api.eu-central-1.amazonaws.com/test",
            Self::HttpWithMappingKey => "https://pictures.example.net/holidays",
            Self::FunctionUrl => "https://ghi789.lambda-url.eu-central-1.on.aws",
        }
    }

    /// The event of a request. `as_text` is a gateway that was not told which bodies are binary: it takes them for text.
    #[must_use]
    pub fn event(self, sent: &Sent, as_text: bool) -> Value {
        let (path, query) = sent.path.split_once('?').unwrap_or((&sent.path, ""));
        // Gateways decode the path.
        let path = percent_encoding::percent_decode_str(path).decode_utf8_lossy();
        let path = path.as_ref();
        let (_, rest) = self.url().split_once("//").unwrap_or_default();
        let (domain, front) = rest.split_once('/').unwrap_or((rest, ""));
        let front = if front.is_empty() {
            String::new()
        } else {
            format!("/{front}")
        };
        let is_rest = matches!(
            self,
            Self::RestWithStage | Self::RestWithoutStage | Self::RestWithBasePath
        );
        let is_form = sent.headers.iter().any(|(name, value)| {
            *name == "content-type" && value.starts_with("multipart/form-data")
        });
        let in_base64 = |body: &[u8]| (json!(BASE64_STANDARD.encode(body)), true);
        let (body, is_base64) = match &sent.body[..] {
            [] => (Value::Null, false),
            body if as_text => (json!(String::from_utf8_lossy(body)), false),
            // `BinaryMediaTypes: ["*/*"]` has no exception; the others take some types for bytes whatever is in them.
            body if is_rest || is_form => in_base64(body),
            body => match std::str::from_utf8(body) {
                Ok(text) => (json!(text), false),
                Err(_) => in_base64(body),
            },
        };
        let mut headers: BTreeMap<&str, String> = sent
            .headers
            .iter()
            .map(|(name, value)| (*name, value.clone()))
            .collect();
        headers.insert("host", domain.to_owned());
        headers.insert("x-forwarded-proto", "https".to_owned());
        headers.insert("x-forwarded-port", "443".to_owned());
        headers.insert("x-forwarded-for", "203.0.113.7".to_owned());
        let pairs = query_pairs(query);
        match self {
            Self::RestWithStage | Self::RestWithoutStage | Self::RestWithBasePath => {
                // The stage is not in the path, a base path is.
                let in_path = match self {
                    Self::RestWithBasePath => format!("{front}{path}"),
                    _ => path.to_owned(),
                };
                let many = |pairs: &BTreeMap<String, Vec<String>>| {
                    if pairs.is_empty() {
                        Value::Null
                    } else {
                        json!(pairs)
                    }
                };
                let last: BTreeMap<_, _> = pairs
                    .iter()
                    .map(|(name, values)| (name, values.last()))
                    .collect();
                let proxy = path.trim_start_matches('/');
                json!({
                    "resource": if proxy.is_empty() { "/" } else { "/{proxy+}" },
                    "path": in_path,
                    "httpMethod": sent.method,
                    "headers": headers,
                    "multiValueHeaders": headers.iter().map(|(name, value)| (*name, vec![value])).collect::<BTreeMap<_, _>>(),
                    "queryStringParameters": if last.is_empty() { Value::Null } else { json!(last) },
                    "multiValueQueryStringParameters": many(&pairs),
                    "pathParameters": if proxy.is_empty() { Value::Null } else { json!({ "proxy": proxy }) },
                    "stageVariables": null,
                    "requestContext": {
                        "accountId": "123456789012",
                        "apiId": "abc123",
                        "domainName": domain,
                        "domainPrefix": domain.split('.').next(),
                        "extendedRequestId": "JKJaXmPLvHcESHA=",
                        "httpMethod": sent.method,
                        "identity": { "sourceIp": "203.0.113.7", "userAgent": "test" },
                        "path": format!("{front}{path}"),
                        "protocol": "HTTP/1.1",
                        "requestId": "c6af9ac6-7b61-11e6-9a41-93e8deadbeef",
                        "requestTime": "26/Nov/2026:12:00:00 +0000",
                        "requestTimeEpoch": 1_795_694_400_000_i64,
                        "resourceId": "abcdef",
                        "resourcePath": if proxy.is_empty() { "/" } else { "/{proxy+}" },
                        "stage": "prod",
                    },
                    "body": body,
                    "isBase64Encoded": is_base64,
                })
            }
            Self::Http | Self::HttpWithStage | Self::HttpWithMappingKey | Self::FunctionUrl => {
                let stage = match self {
                    Self::HttpWithStage => front.trim_start_matches('/'),
                    _ => "$default",
                };
                let raw_path = format!("{front}{path}");
                let joined: BTreeMap<_, _> = pairs
                    .iter()
                    .map(|(name, values)| (name, values.join(",")))
                    .collect();
                let mut event = json!({
                    "version": "2.0",
                    "routeKey": "$default",
                    "rawPath": raw_path,
                    "rawQueryString": query,
                    "headers": headers,
                    "requestContext": {
                        "accountId": if self == Self::FunctionUrl { "anonymous" } else { "123456789012" },
                        "apiId": domain.split('.').next(),
                        "domainName": domain,
                        "domainPrefix": domain.split('.').next(),
                        "http": {
                            "method": sent.method,
                            "path": raw_path,
                            "protocol": "HTTP/1.1",
                            "sourceIp": "203.0.113.7",
                            "userAgent": "test",
                        },
                        "requestId": "JKJaXmPLvHcESHA=",
                        "routeKey": "$default",
                        "stage": stage,
                        "time": "26/Nov/2026:12:00:00 +0000",
                        "timeEpoch": 1_795_694_400_000_i64,
                    },
                    "isBase64Encoded": is_base64,
                });
                if !joined.is_empty() {
                    event["queryStringParameters"] = json!(joined);
                }
                if !body.is_null() {
                    event["body"] = body;
                }
                event
            }
        }
    }
}

impl Answered {
    /// Reads what a function answered a gateway that knows no binary media types: it hands on the text.
    pub fn read_as_text(answer: &Value) -> Result<Self> {
        let text = answer["body"].as_str().unwrap_or_default();
        Ok(Self {
            body: text.as_bytes().to_vec(),
            ..Self::read(answer)?
        })
    }

    /// Reads what a function answered a gateway.
    pub fn read(answer: &Value) -> Result<Self> {
        let status = answer["statusCode"].as_u64().context("a status")?;
        let mut headers = BTreeMap::new();
        for (name, value) in answer["headers"].as_object().into_iter().flatten() {
            headers.insert(
                name.to_lowercase(),
                value.as_str().context("a header")?.to_owned(),
            );
        }
        for (name, values) in answer["multiValueHeaders"]
            .as_object()
            .into_iter()
            .flatten()
        {
            let values: Vec<_> = values
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .collect();
            headers.insert(name.to_lowercase(), values.join(", "));
        }
        let was_base64 = answer["isBase64Encoded"] == true;
        let text = answer["body"].as_str().unwrap_or_default();
        let body = if was_base64 {
            BASE64_STANDARD.decode(text)?
        } else {
            text.as_bytes().to_vec()
        };
        Ok(Self {
            status: status.try_into()?,
            headers,
            body,
            was_base64,
        })
    }

    /// The body as JSON, null where it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// The event of an object that has come into a bucket.
#[must_use]
pub fn object_created(bucket: &str, key: &str, size: usize) -> Value {
    json!({"Records": [{
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": "eu-central-1",
        "eventTime": "2026-11-26T12:00:00.000Z",
        "eventName": "ObjectCreated:Put",
        "userIdentity": { "principalId": "AWS:AIDAJDPLRKLG7UEXAMPLE" },
        "requestParameters": { "sourceIPAddress": "203.0.113.7" },
        "responseElements": { "x-amz-request-id": "C3D13FE58DE4C810", "x-amz-id-2": "FMyUVURIY8/IgAtTv8xRjskZQpcIZ9KG4V5Wp6S7S/JRWeUWerMUE5JgHvANOjpD" },
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "arrivals",
            "bucket": { "name": bucket, "ownerIdentity": { "principalId": "A3NL1KOZZKExample" }, "arn": format!("arn:aws:s3:::{bucket}") },
            "object": { "key": key.replace(' ', "+"), "size": size, "eTag": "d41d8cd98f00b204e9800998ecf8427e", "sequencer": "0055AED6DCD90281E5" },
        },
    }]})
}

fn query_pairs(query: &str) -> BTreeMap<String, Vec<String>> {
    let mut pairs: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        pairs
            .entry(name.into_owned())
            .or_default()
            .push(value.into_owned());
    }
    pairs
}
