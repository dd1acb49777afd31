//! An object from a browser's form: `POST /BUCKET` with the policy that allows it, as S3 has it.
//!
//! The protocol crate would read a form's file into memory, so forms are read here, and never get to it. What comes out
//! is a [`NewObject`], stored like any other. There are no redirects after it, and no forms without a signature.
//!
//! Invariant: nothing of the file is received before the policy was found to be signed, alive, and kept by every field;
//! memory does not grow with the file.
//!
//! The words are of <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-post-example.html>.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::header::{CONTENT_TYPE, ETAG, LOCATION};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use http_body::Body as HttpBody;
use http_body_util::{BodyDataStream, StreamBody};
use multer::{Field, Multipart};
use s3s::dto::{StreamingBlob, Timestamp};
use s3s::post_policy::{PostPolicy, PostPolicyCondition};
use s3s::{Body, S3Error, S3ErrorCode, StdError};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use crate::Credentials;
use crate::conditions::WriteConditions;
use crate::digest::{Algorithm, Announced, Length};
use crate::error::{Error, custom};
use crate::key::ObjectKey;
use crate::object::{Bucket, ObjectFooter, StoredHeaders};
use crate::s3::NewObject;

/// S3's limit on all fields before the file together is 20 KiB; escapes of a policy take some more.
const FIELDS_MAX_BYTES: usize = 64 * 1024;

/// The most fields before the file.
const FIELDS_MAX: usize = 100;

/// What S3 stores in one request at most, in bytes.
const FILE_MAX_BYTES: u64 = 5 * 1024 * 1024 * 1024;

/// What may pass of a form's body in bytes until a boundary, a part's header or a piece of its value is whole. The parser
/// keeps all of it until then, whatever the sender has in mind.
const UNDECIDED_MAX_BYTES: usize = 64 * 1024;

/// Sees to it that reading a form moves on: that its parser, which keeps what it has not understood yet, does not keep
/// more and more. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Pace(Arc<AtomicUsize>);

/// A form's body went on and on without a boundary, a part's header or a piece of a value.
#[derive(Debug, thiserror::Error)]
#[error("more than {UNDECIDED_MAX_BYTES} bytes without a boundary or the end of a part's header")]
pub struct Undecided;

impl Pace {
    /// The same bytes, until too many have passed since the last progress.
    pub fn watch<S, E>(&self, body: S) -> impl Stream<Item = Result<Bytes, StdError>> + use<S, E>
    where
        S: Stream<Item = Result<Bytes, E>>,
        E: Into<StdError>,
    {
        let passed = Arc::clone(&self.0);
        body.map(move |chunk| {
            let chunk = chunk.map_err(Into::into)?;
            // One piece as the connection has it is always let through: its size is bounded there.
            if passed.fetch_add(chunk.len(), Ordering::Relaxed) > UNDECIDED_MAX_BYTES {
                return Err(Undecided.into());
            }
            Ok(chunk)
        })
    }

    /// Something was understood.
    pub fn moved(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

/// Where forms are posted to.
#[derive(Clone)]
pub(crate) struct Counter {
    bucket: Arc<Bucket>,
    credentials: Credentials,
    max_lifetime: Duration,
}

/// Whether a request is a form.
pub(crate) fn is_form(request: &Parts) -> bool {
    let kind = request.headers.get(CONTENT_TYPE);
    request.method == Method::POST
        && kind
            .and_then(|kind| kind.to_str().ok())
            .is_some_and(|kind| {
                let kind = kind.trim_start().as_bytes();
                kind.len() >= 10 && kind[..10].eq_ignore_ascii_case(b"multipart/")
            })
}

impl Counter {
    pub(crate) fn new(
        bucket: Arc<Bucket>,
        credentials: Credentials,
        max_lifetime: Duration,
    ) -> Self {
        Self {
            bucket,
            credentials,
            max_lifetime,
        }
    }

    /// Takes a form, or says why not.
    pub(crate) async fn take<B>(&self, request: &Parts, body: B) -> Result<Response<Body>, S3Error>
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<StdError>,
    {
        let path = request.uri.path().trim_matches('/');
        if path != self.bucket.name {
            return Err(Error::NoSuchBucket.into());
        }
        let pace = Pace::default();
        let body = BodyDataStream::new(body).map(|chunk| chunk.map_err(Into::into));
        let mut form = Multipart::new(pace.watch(body), boundary(&request.headers)?);
        let (fields, file) = read_fields(&mut form, &pace).await?;
        let allowed = self.check(&fields)?;
        let key = ObjectKey::new(fields.required("key")?)?;
        let object = NewObject {
            key: key.clone(),
            announced: Announced {
                checksums: fields.checksums(),
                length: allowed,
                ..Announced::default()
            },
            headers: fields.stored_headers(),
            conditions: WriteConditions::default(),
        };
        let progress = pace.clone();
        let file = StreamBody::new(file.map(move |chunk| {
            progress.moved();
            chunk.map(http_body::Frame::data)
        }));
        let file = StreamingBlob::from(Body::http_body_unsync(file));
        let footer = object
            .store(Arc::clone(&self.bucket), Some(file), None)
            .await?;
        // Fields after the file are ignored. A few are read, so that the connection can go on; it ends at more.
        while let Ok(Some(_)) = form.next_field().await {}
        Ok(self.answer(&fields, &key, &footer))
    }

    /// Whether the one who signed allows what these fields say. Answers how long the file may be.
    fn check(&self, fields: &Fields) -> Result<Length, S3Error> {
        let policy_text = fields.required("policy")?;
        self.check_signature(fields, policy_text)?;
        let policy = PostPolicy::from_base64(policy_text)
            .map_err(|error| invalid_policy(format!("the policy cannot be read: {error}")))?;
        let now = SystemTime::now();
        if policy.expiration <= Timestamp::from(now) {
            return Err(denied("the policy has expired".to_owned()));
        }
        if policy.expiration > Timestamp::from(now + self.max_lifetime) {
            return Err(denied(
                "the policy lives longer than is allowed here".to_owned(),
            ));
        }
        for name in ["x-amz-algorithm", "x-amz-credential", "x-amz-date"] {
            let value = fields.required(name)?;
            let is_signed = policy.conditions.iter().any(|condition| {
                matches!(condition, PostPolicyCondition::Eq { field, value: signed } if field == name && signed == value)
            });
            if !is_signed {
                return Err(invalid_policy(format!("the policy must state {name}")));
            }
        }
        if let Some(name) = fields.names().find(|name| !is_covered(&policy, name)) {
            return Err(denied(format!(
                "the policy has no condition on the field {name:?}"
            )));
        }
        let mut length = Length::Within {
            least: 0,
            most: FILE_MAX_BYTES,
        };
        for condition in &policy.conditions {
            let actual = |field: &str| match field {
                "bucket" => self.bucket.name.as_str(),
                _ => fields.get(field).unwrap_or_default(),
            };
            let (field, holds) = match condition {
                PostPolicyCondition::Eq { field, value } => (field, actual(field) == value),
                PostPolicyCondition::StartsWith { field, prefix } => {
                    (field, actual(field).starts_with(prefix.as_str()))
                }
                PostPolicyCondition::ContentLengthRange { min, max } => {
                    length = Length::Within {
                        least: *min,
                        most: FILE_MAX_BYTES.min(*max),
                    };
                    continue;
                }
            };
            if !holds {
                return Err(denied(format!(
                    "the policy's condition on the field {field:?} does not hold"
                )));
            }
        }
        // It is the bucket of the path that counts.
        if fields
            .get("bucket")
            .is_some_and(|bucket| bucket != self.bucket.name)
        {
            return Err(denied(
                "the field \"bucket\" names another bucket".to_owned(),
            ));
        }
        if fields.get("success_action_redirect").is_some() || fields.get("redirect").is_some() {
            return Err(Error::NotImplemented {
                what: "a redirect after a form",
            }
            .into());
        }
        Ok(length)
    }

    /// Signature Version 4 of the policy's text as it was sent.
    fn check_signature(&self, fields: &Fields, policy: &str) -> Result<(), S3Error> {
        if fields.required("x-amz-algorithm")? != "AWS4-HMAC-SHA256" {
            return Err(Error::InvalidRequest {
                message: "only AWS4-HMAC-SHA256 is supported".into(),
            }
            .into());
        }
        let credential: Vec<&str> = fields.required("x-amz-credential")?.split('/').collect();
        let [access_key, day, region, "s3", "aws4_request"] = credential[..] else {
            return Err(Error::InvalidArgument {
                message: "x-amz-credential must be KEY/YYYYMMDD/REGION/s3/aws4_request".into(),
            }
            .into());
        };
        if access_key != self.credentials.access_key {
            return Err(S3Error::with_message(
                S3ErrorCode::InvalidAccessKeyId,
                "the access key is not known",
            ));
        }
        if !fields.required("x-amz-date")?.starts_with(day) || day.len() != 8 {
            return Err(Error::InvalidArgument {
                message: "x-amz-date and x-amz-credential name different days".into(),
            }
            .into());
        }
        let mut key = format!("AWS4{}", self.credentials.secret_key).into_bytes();
        for word in [day, region, "s3", "aws4_request"] {
            key = hmac(&key, word);
        }
        let expected = hex::encode(hmac(&key, policy));
        let given = fields.required("x-amz-signature")?;
        if bool::from(expected.as_bytes().ct_eq(given.as_bytes())) {
            Ok(())
        } else {
            Err(S3Error::with_message(
                S3ErrorCode::SignatureDoesNotMatch,
                "the signature is not that of this policy",
            ))
        }
    }

    fn answer(&self, fields: &Fields, key: &ObjectKey, footer: &ObjectFooter) -> Response<Body> {
        let bucket = &self.bucket.name;
        let location = format!("/{bucket}/{}", escape_path(key.as_str()));
        let etag = format!("\"{}\"", footer.etag);
        let status = match fields.get("success_action_status") {
            Some("200") => StatusCode::OK,
            Some("201") => StatusCode::CREATED,
            _ => StatusCode::NO_CONTENT,
        };
        let mut response = Response::new(Body::empty());
        *response.status_mut() = status;
        if status == StatusCode::CREATED {
            let xml = format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<PostResponse><Location>{}</Location><Bucket>{}</Bucket>\
                 <Key>{}</Key><ETag>{}</ETag></PostResponse>",
                escape_xml(&location),
                escape_xml(bucket),
                escape_xml(key.as_str()),
                escape_xml(&etag),
            );
            *response.body_mut() = Body::from(xml);
            response
                .headers_mut()
                .insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
        }
        for (name, value) in [(ETAG, etag), (LOCATION, location)] {
            if let Ok(value) = HeaderValue::from_str(&value) {
                response.headers_mut().insert(name, value);
            }
        }
        response
    }
}

/// The fields before the file, by their names in lower case.
struct Fields(BTreeMap<String, String>);

impl Fields {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    fn required(&self, name: &'static str) -> Result<&str, S3Error> {
        self.get(name).ok_or_else(|| {
            Error::InvalidArgument {
                message: format!("the form has no field {name:?} before its file"),
            }
            .into()
        })
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    fn checksums(&self) -> crate::digest::Checksums {
        let mut checksums = crate::digest::Checksums::default();
        for algorithm in Algorithm::ALL {
            if let Some(value) = self.get(algorithm.header()) {
                checksums.set(algorithm, value.to_owned());
            }
        }
        checksums
    }

    fn stored_headers(&self) -> StoredHeaders {
        let owned = |name: &str| self.get(name).map(ToOwned::to_owned);
        let metadata = self.0.iter().filter_map(|(name, value)| {
            let name = name.strip_prefix("x-amz-meta-")?;
            Some((name.to_owned(), value.clone()))
        });
        StoredHeaders {
            content_type: owned("content-type"),
            content_disposition: owned("content-disposition"),
            content_encoding: owned("content-encoding"),
            content_language: owned("content-language"),
            cache_control: owned("cache-control"),
            metadata: metadata.collect(),
        }
    }
}

/// Reads a form up to its file.
async fn read_fields(
    form: &mut Multipart<'static>,
    pace: &Pace,
) -> Result<(Fields, Field<'static>), S3Error> {
    let mut fields = BTreeMap::new();
    let mut read = 0;
    while let Some(mut field) = form.next_field().await.map_err(|error| malformed(&error))? {
        pace.moved();
        let name = field.name().unwrap_or_default().to_ascii_lowercase();
        read += name.len();
        if name == "file" {
            return Ok((Fields(fields), field));
        }
        let mut value = Vec::new();
        while let Some(chunk) = field.chunk().await.map_err(|error| malformed(&error))? {
            pace.moved();
            read += chunk.len();
            if read > FIELDS_MAX_BYTES {
                return Err(too_long());
            }
            value.extend_from_slice(&chunk);
        }
        let value = String::from_utf8(value).map_err(|_| Error::InvalidArgument {
            message: format!("the field {name:?} is not UTF-8"),
        })?;
        if fields.len() == FIELDS_MAX {
            return Err(too_long());
        }
        if fields.insert(name.clone(), value).is_some() {
            return Err(Error::InvalidArgument {
                message: format!("the form has the field {name:?} twice"),
            }
            .into());
        }
    }
    Err(Error::InvalidArgument {
        message: "the form has no field \"file\"".into(),
    }
    .into())
}

/// Fields that a policy need not speak of: what signs it, and what is ignored.
fn is_covered(policy: &PostPolicy, name: &str) -> bool {
    matches!(name, "policy" | "x-amz-signature" | "submit")
        || name.starts_with("x-ignore-")
        || policy.conditions.iter().any(|condition| match condition {
            PostPolicyCondition::Eq { field, .. }
            | PostPolicyCondition::StartsWith { field, .. } => field == name,
            PostPolicyCondition::ContentLengthRange { .. } => false,
        })
}

fn boundary(headers: &HeaderMap) -> Result<String, Error> {
    let kind = headers.get(CONTENT_TYPE);
    kind.and_then(|kind| multer::parse_boundary(kind.to_str().ok()?).ok())
        .ok_or(Error::InvalidRequest {
            message: "a form is multipart/form-data with a boundary".into(),
        })
}

fn hmac(key: &[u8], message: &str) -> Vec<u8> {
    // HMAC takes keys of every length.
    let Ok(mut hmac) = Hmac::<Sha256>::new_from_slice(key) else {
        return Vec::new();
    };
    hmac.update(message.as_bytes());
    hmac.finalize().into_bytes().to_vec()
}

fn malformed(error: &multer::Error) -> S3Error {
    if let multer::Error::StreamReadFailed(cause) = error
        && cause.is::<Undecided>()
    {
        return too_long();
    }
    refused(
        "MalformedPOSTRequest",
        format!("the form cannot be read: {error}"),
    )
}

fn too_long() -> S3Error {
    let message = "the fields before the file, or the parts' headers, are too many or too long";
    refused("MaxPostPreDataLengthExceeded", message.to_owned())
}

/// A code of S3's that `s3s` has no name for, and so no status.
fn refused(code: &'static str, message: String) -> S3Error {
    let mut error = S3Error::with_message(custom(code), message);
    error.set_status_code(StatusCode::BAD_REQUEST);
    error
}

fn invalid_policy(message: String) -> S3Error {
    S3Error::with_message(S3ErrorCode::InvalidPolicyDocument, message)
}

fn denied(message: String) -> S3Error {
    S3Error::with_message(S3ErrorCode::AccessDenied, message)
}

fn escape_path(key: &str) -> String {
    let mut escaped = String::with_capacity(key.len());
    for byte in key.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

fn escape_xml(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
