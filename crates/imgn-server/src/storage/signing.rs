//! Presigned requests, put together and signed here: Signature Version 4 in the query, as
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html> has it.
//!
//! The S3 client can do it too, but on the way that a request takes which it sends: rules of endpoints, interceptors, retries,
//! which costs several times what the signature does; and a library that signs any request of any service takes apart what
//! was put together for it. Here a request is written once, in the order that is signed. Where the bucket is, only the client
//! says, once; keys and sums are `aws-sigv4`'s.
//!
//! Not here: which requests there are. Invariant: what is signed is what the client would have signed; a test compares.

use std::{
    borrow::Cow,
    error::Error,
    fmt::Write as _,
    time::{Duration, SystemTime},
};

use aws_sdk_s3::{config::Credentials, presigning::PresigningConfig};
use aws_sigv4::sign::v4::{calculate_signature, generate_signing_key};
use imgn_protocol::{PresignedUrl, Sha256, SignedRequest, Timestamp};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use url::{Position, Url};

use super::{Reason, Storage, StorageError, presign};
use crate::metrics::store_failed;

/// What stands as it is in a query: RFC 3986's unreserved characters.
const VALUE: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// What stands as it is in a path.
const PATH: &AsciiSet = &VALUE.remove(b'/');

/// A request to the store that is to be signed.
pub(super) struct Unsigned<'a> {
    pub(super) method: &'static str,
    pub(super) key: &'a str,
    /// What the S3 client calls it, which it puts into the query.
    pub(super) operation: &'static str,
    pub(super) query: Vec<(&'static str, Cow<'a, str>)>,
    /// With lower-case names, and values without spaces to trim. Whoever sends the request has to send them.
    pub(super) headers: Vec<(&'static str, String)>,
}

/// What is signed with, and from when to when it is good.
pub(super) struct Moment {
    pub(super) credentials: Credentials,
    now: SystemTime,
    /// In whole seconds, as it is signed.
    life: Duration,
}

impl Moment {
    pub(super) fn expires_at(&self) -> Timestamp {
        Timestamp::try_from(self.now + self.life).unwrap_or(Timestamp::MAX)
    }
}

fn failed(source: Box<dyn Error + Send + Sync>) -> StorageError {
    store_failed(StorageError::Presign { source })
}

impl Storage {
    /// What to sign with now: for no longer than the credentials are good for.
    pub(super) async fn moment(&self) -> Result<Moment, StorageError> {
        let credentials = self.credentials.as_ref();
        let credentials = credentials.ok_or_else(|| failed(Box::new(Reason::NoCredentials)))?;
        let credentials = credentials
            .get()
            .await
            .map_err(|reason| failed(Box::new(reason)))?;
        // In whole seconds, as it is signed.
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let now = since.map_err(|error| failed(error.into()))?.as_secs();
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(now);
        let left = credentials.expiry();
        let left = left.map(|expiry| expiry.duration_since(now).unwrap_or_default());
        let life = left.map_or(self.url_ttl, |left| left.min(self.url_ttl));
        let life = Duration::from_secs(life.as_secs());
        if life.is_zero() {
            return Err(failed("the credentials end at this moment".into()));
        }
        Ok(Moment {
            credentials,
            now,
            life,
        })
    }

    /// How long what is signed at this moment is good for.
    pub(crate) async fn lifetime(&self) -> Result<Duration, StorageError> {
        Ok(self.moment().await?.life)
    }

    /// Where the bucket itself is asked, which only the client knows and never changes. It says so of a request that it has
    /// signed: with credentials of nobody's, for there may be none to be had when a server starts.
    pub(super) async fn bucket_url(&self) -> Result<&Url, StorageError> {
        const KEY: &str = "-";
        let found = self.bucket_url.get_or_try_init(async || {
            let presigning = PresigningConfig::expires_in(self.url_ttl);
            let presigning = presigning.map_err(|error| failed(error.into()))?;
            let request = self.client.get_object().bucket(&self.bucket).key(KEY);
            let nobodys = Credentials::new("nobody", "nobody", None, None, "nobody");
            let nobodys = aws_sdk_s3::Config::builder().credentials_provider(nobodys);
            let request = request.customize().config_override(nobodys);
            let request = request.presigned(presigning).await.map_err(presign)?;
            let of_a_key = request.uri().split('?').next().unwrap_or_default();
            let of_the_bucket = of_a_key.trim_end_matches(KEY).trim_end_matches('/');
            Url::parse(of_the_bucket).map_err(|error| failed(error.into()))
        });
        found.await
    }

    /// Signs a request. Asks nobody anything.
    pub(super) async fn presigned(
        &self,
        request: Unsigned<'_>,
    ) -> Result<SignedRequest, StorageError> {
        let moment = self.moment().await?;
        let bucket_url = self.bucket_url().await?;
        let url = signed(bucket_url, &self.region, &moment, &request).map_err(failed)?;
        let headers = request.headers.into_iter();
        Ok(SignedRequest {
            method: request.method.to_owned(),
            url: PresignedUrl::new(url),
            headers: headers
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
            expires_at: moment.expires_at(),
        })
    }
}

fn signed(
    bucket_url: &Url,
    region: &str,
    moment: &Moment,
    request: &Unsigned<'_>,
) -> Result<String, Box<dyn Error + Send + Sync>> {
    const ALGORITHM: &str = "AWS4-HMAC-SHA256";
    let credentials = &moment.credentials;
    let time = Timestamp::try_from(moment.now)?
        .strftime("%Y%m%dT%H%M%SZ")
        .to_string();
    let day = time.get(..8).unwrap_or_default();
    let scope = format!("{day}/{region}/s3/aws4_request");
    let credential = format!("{}/{scope}", credentials.access_key_id());
    let life = moment.life.as_secs().to_string();

    // As a client sends it: without a port that goes without saying.
    let host = &bucket_url[Position::BeforeHost..Position::AfterPort];
    let mut headers = vec![("host", host)];
    headers.extend(
        request
            .headers
            .iter()
            .map(|(name, value)| (*name, value.as_str())),
    );
    headers.sort_unstable();
    let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
    let names = names.join(";");

    let mut query = vec![
        ("X-Amz-Algorithm", ALGORITHM),
        ("X-Amz-Credential", &credential),
        ("X-Amz-Date", &time),
        ("X-Amz-Expires", &life),
        ("X-Amz-SignedHeaders", &names),
        ("x-id", request.operation),
    ];
    let token = credentials.session_token();
    query.extend(token.map(|token| ("X-Amz-Security-Token", token)));
    query.extend(request.query.iter().map(|(name, value)| (*name, &**value)));
    query.sort_unstable();

    let mut text = String::with_capacity(1024);
    writeln!(text, "{}", request.method)?;
    let path = text.len();
    text.push_str(bucket_url.path().trim_end_matches('/'));
    writeln!(text, "/{}", utf8_percent_encode(request.key, PATH))?;
    let question = text.len() - 1;
    for (place, (name, value)) in query.iter().enumerate() {
        let and = if place == 0 { "" } else { "&" };
        write!(text, "{and}{name}={}", utf8_percent_encode(value, VALUE))?;
    }
    let end = text.len();
    text.push('\n');
    for (name, value) in &headers {
        writeln!(text, "{name}:{value}")?;
    }
    write!(text, "\n{names}\nUNSIGNED-PAYLOAD")?;

    let sum = Sha256::of(text.as_bytes());
    let text_to_sign = format!("{ALGORITHM}\n{time}\n{scope}\n{sum}");
    let secret = credentials.secret_access_key();
    let signing_key = generate_signing_key(secret, moment.now, region, "s3");
    let signature = calculate_signature(signing_key, text_to_sign.as_bytes());
    Ok(format!(
        "{}{}?{}&X-Amz-Signature={signature}",
        &bucket_url[..Position::BeforePath],
        &text[path..question],
        &text[question + 1..end],
    ))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use aws_sdk_s3::{
        Client,
        config::{BehaviorVersion, Region, RequestChecksumCalculation},
        types::ObjectCannedAcl,
    };
    use url::Url;

    use super::*;

    const KEY: &str = "originals/a b+c&d=é/~x";

    fn client(token: Option<&str>, endpoint: Option<&str>) -> (Client, Credentials) {
        let token = token.map(ToOwned::to_owned);
        let credentials = Credentials::new("access", "secret", token, None, "test");
        let mut config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static("eu-central-1"))
            .credentials_provider(credentials.clone())
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .force_path_style(endpoint.is_some());
        config.set_endpoint_url(endpoint.map(ToOwned::to_owned));
        (Client::from_conf(config.build()), credentials)
    }

    /// Host and path, and the query in no order.
    fn parts(url: &str) -> (String, BTreeMap<String, String>) {
        let (place, _) = url.split_once('?').unwrap();
        let url = Url::parse(url).unwrap();
        (place.to_owned(), url.query_pairs().into_owned().collect())
    }

    #[tokio::test]
    async fn what_is_signed_here_is_what_the_client_signs() {
        let now = SystemTime::now();
        let life = Duration::from_secs(300);
        for token in [None, Some("a/session+token==")] {
            for endpoint in [
                None,
                Some("http://127.0.0.1:8333"),
                Some("https://s3.example.org:9000"),
            ] {
                let (client, credentials) = client(token, endpoint);
                let presigning = PresigningConfig::builder()
                    .start_time(now)
                    .expires_in(life)
                    .build()
                    .unwrap();
                let moment = Moment {
                    credentials,
                    now,
                    life,
                };
                let bucket = match endpoint {
                    Some(endpoint) => format!("{endpoint}/pictures"),
                    None => "https://pictures.s3.eu-central-1.amazonaws.com".to_owned(),
                };
                let put = client
                    .put_object()
                    .bucket("pictures")
                    .key(KEY)
                    .content_length(7)
                    .content_type("image/jpeg")
                    .checksum_sha256("c3Vt")
                    .if_none_match("*")
                    .acl(ObjectCannedAcl::BucketOwnerFullControl)
                    .presigned(presigning.clone())
                    .await
                    .unwrap();
                let get = client
                    .get_object()
                    .bucket("pictures")
                    .key(KEY)
                    .response_content_type("image/jpeg")
                    .response_content_disposition("inline; filename*=UTF-8''a%20b.jpg")
                    .presigned(presigning.clone())
                    .await
                    .unwrap();
                let part = client
                    .upload_part()
                    .bucket("pictures")
                    .key(KEY)
                    .upload_id("an id/+=")
                    .part_number(12)
                    .content_length(7)
                    .checksum_crc64_nvme("c3Vt")
                    .presigned(presigning)
                    .await
                    .unwrap();
                for (theirs, operation, query) in [
                    (put, "PutObject", vec![]),
                    (
                        get,
                        "GetObject",
                        vec![
                            ("response-content-type", "image/jpeg"),
                            (
                                "response-content-disposition",
                                "inline; filename*=UTF-8''a%20b.jpg",
                            ),
                        ],
                    ),
                    (
                        part,
                        "UploadPart",
                        vec![("partNumber", "12"), ("uploadId", "an id/+=")],
                    ),
                ] {
                    let headers: BTreeMap<_, _> = theirs
                        .headers()
                        .filter(|(name, _)| *name != "host")
                        .collect();
                    let ours = Unsigned {
                        method: match operation {
                            "GetObject" => "GET",
                            _ => "PUT",
                        },
                        key: KEY,
                        operation,
                        query: query
                            .into_iter()
                            .map(|(name, value)| (name, value.into()))
                            .collect(),
                        headers: [
                            "content-length",
                            "content-type",
                            "if-none-match",
                            "x-amz-acl",
                            "x-amz-checksum-crc64nvme",
                            "x-amz-checksum-sha256",
                        ]
                        .into_iter()
                        .filter_map(|name| Some((name, (*headers.get(name)?).to_owned())))
                        .collect(),
                    };
                    assert_eq!(ours.headers.len(), headers.len(), "{headers:?}");
                    assert_eq!(ours.method, theirs.method());
                    let bucket_url = Url::parse(&bucket).unwrap();
                    let ours = signed(&bucket_url, "eu-central-1", &moment, &ours).unwrap();
                    assert_eq!(parts(&ours), parts(theirs.uri()), "{operation}");
                }
            }
        }
    }
}
