//! What must hold of a request before its signature is even looked at.
//!
//! The protocol crate checks that what was signed is what was sent. It does not ask whether enough was signed, nor for
//! how long: that is done here. Invariant: a header that changes what a request does (`x-amz-*`) is signed, or the
//! request is refused; and only Signature Version 4 is spoken.

use std::time::Duration;

use http::request::Parts;
use http::{HeaderMap, StatusCode, header};
use s3s::{S3Error, S3ErrorCode};

use crate::error::custom;

/// Headers that may be unsigned: they can only make a request fail, or say who sends it.
const HARMLESS: [&str; 2] = ["x-amz-content-sha256", "x-amz-user-agent"];

/// Refuses what may not pass.
pub(crate) fn check(request: &Parts, max_presigned_ttl: Duration) -> Result<(), S3Error> {
    let query = Query::parse(request.uri.query().unwrap_or_default());
    let authorization = request
        .headers
        .get(header::AUTHORIZATION)
        .map(|value| value.to_str().unwrap_or_default());

    if query.has("Signature") || authorization.is_some_and(|value| value.starts_with("AWS ")) {
        return Err(refuse(
            S3ErrorCode::InvalidRequest,
            StatusCode::BAD_REQUEST,
            "only AWS4-HMAC-SHA256 is supported",
        ));
    }
    match (query.has("X-Amz-Signature"), authorization) {
        (true, Some(_)) => Err(refuse(
            S3ErrorCode::InvalidArgument,
            StatusCode::BAD_REQUEST,
            "only one way to sign a request may be used",
        )),
        (true, None) => {
            check_lifetime(&query, max_presigned_ttl)?;
            check_signed(query.get("X-Amz-SignedHeaders"), &request.headers)
        }
        (false, Some(value)) => check_signed(signed_headers(value), &request.headers),
        (false, None) => Err(refuse(
            S3ErrorCode::AccessDenied,
            StatusCode::FORBIDDEN,
            "the request is not signed",
        )),
    }
}

fn check_lifetime(query: &Query<'_>, max: Duration) -> Result<(), S3Error> {
    let seconds = query
        .get("X-Amz-Expires")
        .and_then(|value| value.parse::<u64>().ok());
    match seconds {
        Some(seconds) if (1..=max.as_secs()).contains(&seconds) => Ok(()),
        _ => Err(refuse(
            custom("AuthorizationQueryParametersError"),
            StatusCode::FORBIDDEN,
            "X-Amz-Expires must be at least 1 and at most the longest life of a URL here",
        )),
    }
}

fn check_signed(signed: Option<&str>, headers: &HeaderMap) -> Result<(), S3Error> {
    // In a query the separator may be escaped.
    let signed = signed
        .unwrap_or_default()
        .replace("%3B", ";")
        .replace("%3b", ";");
    let is_signed = |name: &str| signed.split(';').any(|signed| signed == name);
    if !is_signed("host") {
        return Err(refuse(
            S3ErrorCode::AccessDenied,
            StatusCode::FORBIDDEN,
            "the host must be signed",
        ));
    }
    let unsigned = headers
        .keys()
        .map(header::HeaderName::as_str)
        .find(|name| name.starts_with("x-amz-") && !HARMLESS.contains(name) && !is_signed(name));
    match unsigned {
        Some(name) => Err(S3Error::with_message(
            S3ErrorCode::AccessDenied,
            format!("the header {name} was not signed"),
        )),
        None => Ok(()),
    }
}

/// `SignedHeaders=a;b` in an `Authorization` header.
fn signed_headers(authorization: &str) -> Option<&str> {
    authorization
        .split([',', ' '])
        .find_map(|field| field.trim().strip_prefix("SignedHeaders="))
}

fn refuse(code: S3ErrorCode, status: StatusCode, message: &'static str) -> S3Error {
    let mut error = S3Error::with_message(code, message);
    error.set_status_code(status);
    error
}

/// The query as it came, undecoded: the names and values looked for here need no escapes but `%3B`.
struct Query<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Query<'a> {
    fn parse(query: &'a str) -> Self {
        let pairs = query
            .split('&')
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        Self(pairs.collect())
    }

    /// The value of a name that stands exactly once.
    fn get(&self, name: &str) -> Option<&'a str> {
        let mut values = self.0.iter().filter(|(key, _)| *key == name);
        match (values.next(), values.next()) {
            (Some((_, value)), None) => Some(value),
            _ => None,
        }
    }

    fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(key, _)| *key == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

    fn status(uri: &str, headers: &[(&str, &str)]) -> Option<u16> {
        let mut request = http::Request::put(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let refused = check(&parts, WEEK).err()?;
        refused.status_code().map(|status| status.as_u16())
    }

    fn presigned(expires: &str, signed: &str) -> String {
        format!("/b/k?X-Amz-Signature=s&X-Amz-Expires={expires}&X-Amz-SignedHeaders={signed}")
    }

    #[test]
    fn a_url_lives_a_week_at_most() {
        assert_eq!(status(&presigned("604800", "host"), &[]), None);
        for expires in ["604801", "0", "-1", "", "1e3"] {
            assert_eq!(
                status(&presigned(expires, "host"), &[]),
                Some(403),
                "{expires}"
            );
        }
        let twice = format!("{}&X-Amz-Expires=1", presigned("9999999", "host"));
        assert_eq!(status(&twice, &[]), Some(403));
    }

    #[test]
    fn what_changes_the_request_must_be_signed() {
        let acl = [("x-amz-acl", "public-read")];
        assert_eq!(status(&presigned("60", "host"), &acl), Some(403));
        assert_eq!(status(&presigned("60", "host%3Bx-amz-acl"), &acl), None);
        assert_eq!(status(&presigned("60", "host;x-amz-acl"), &acl), None);
        assert_eq!(status(&presigned("60", "x-amz-acl"), &acl), Some(403));
        let header = "AWS4-HMAC-SHA256 Credential=c, SignedHeaders=host, Signature=s";
        let with_header = [("authorization", header), acl[0]];
        assert_eq!(status("/b/k", &with_header), Some(403));
    }

    #[test]
    fn other_ways_in_are_closed() {
        assert_eq!(status("/b/k", &[]), Some(403));
        assert_eq!(
            status("/b/k?Signature=s&Expires=99999999999", &[]),
            Some(400)
        );
        assert_eq!(
            status("/b/k", &[("authorization", "AWS key:sig")]),
            Some(400)
        );
        let both = [("authorization", "AWS4-HMAC-SHA256 x")];
        assert_eq!(status(&presigned("60", "host"), &both), Some(400));
    }
}
