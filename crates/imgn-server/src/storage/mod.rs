//! The bytes of pictures: an S3 bucket, be it the embedded store's or another's, through one client. Nothing else here
//! names `aws-sdk-s3`.
//!
//! Invariant: a presigned URL leaves this module only as a [`PresignedUrl`], which no log can print.

mod abilities;
mod credentials;
mod embedded;
mod examine;
mod in_process;
pub(crate) mod keys;
mod listing;
mod multipart;
mod reason;
mod signing;
mod unannounced;

use std::{error::Error, path::Path, sync::Arc, time::Duration};

use aws_sdk_s3::{
    Client,
    config::{
        BehaviorVersion, IdentityCache, Region, RequestChecksumCalculation,
        ResponseChecksumValidation, SharedCredentialsProvider, SharedHttpClient,
        StalledStreamProtectionConfig, retry::RetryConfig, timeout::TimeoutConfig,
    },
    error::{ProvideErrorMetadata, SdkError},
    primitives::ByteStream,
    types::{ChecksumMode, ObjectCannedAcl},
};
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::http::Response;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use imgn_protocol::{CHECKSUM_HEADER, PresignedUrl, Sha256, SignedRequest};
use tokio::sync::OnceCell;
use url::Url;

pub(crate) use abilities::Abilities;
pub use embedded::EmbeddedError;
pub(crate) use embedded::{BUCKET, Embedded};
pub(crate) use examine::{Bucket, Enforced, Known};
pub(crate) use multipart::{Completed, Multipart, OpenMultipart, StoredPart};
pub(crate) use reason::Reason;

use self::{credentials::KeptCredentials, signing::Unsigned};
use crate::{config::S3Config, metrics::store_failed};

/// How long the store may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the store may take to answer one request, up to the first byte of what it answers.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(30);

/// The fewest bytes a second of what is stored that the store takes before it counts as silent.
const SLOWEST: u64 = 64 * 1024;

/// How long the store may be silent in the middle of an object.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// How often a request to the store is tried before its fault is told.
const ATTEMPTS: u32 = 3;

/// A store that could not do what was asked. That there is no object is no error.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// It has no space left.
    #[error("the store is full")]
    Full,
    /// It does not answer, answers with a fault of its own, or does not take our credentials.
    #[error("the store could not {action}")]
    Unavailable {
        /// What was asked.
        action: &'static str,
        /// What it said.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// It does not know how, and will not.
    #[error("the store does not know how to {action}")]
    Unsupported {
        /// What was asked.
        action: &'static str,
        /// What it said.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// A URL could not be signed.
    #[error("a request to the store could not be signed")]
    Presign {
        /// Why.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}

impl StorageError {
    /// Why, where that is known in words.
    pub(crate) fn reason(&self) -> Option<&Reason> {
        match self {
            Self::Unavailable { source, .. } | Self::Presign { source } => source.downcast_ref(),
            _ => None,
        }
    }
}

/// The store, as the server uses it. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Storage {
    client: Client,
    bucket: String,
    /// The canned access list of what is stored; the bucket's own rules where there is none.
    acl: Option<ObjectCannedAcl>,
    url_ttl: Duration,
    region: String,
    /// What forms are signed with.
    credentials: Option<KeptCredentials>,
    /// What it was found to check of parts.
    abilities: Arc<OnceCell<Arc<Abilities>>>,
    /// Whether the store itself takes no more under a key than the gallery does, also of parts together.
    bounds_sizes: bool,
    /// Where the bucket itself is asked, once that was found out.
    bucket_url: Arc<OnceCell<Url>>,
}

/// An object's bytes as they come.
pub(crate) struct Object {
    /// In bytes, as the store announces it.
    pub(crate) size: u64,
    /// The store's tag of these bytes.
    pub(crate) etag: Option<String>,
    body: ByteStream,
}

/// What the store tells of an object.
pub(crate) struct Told {
    /// In bytes.
    pub(crate) size: u64,
    /// Where it has one. Of what came in parts it may be that of their sums.
    pub(crate) sha256: Option<Sha256>,
}

impl Storage {
    /// The embedded store, whose URLs are signed for `public_url`.
    pub(crate) fn embedded(embedded: &Embedded, public_url: &Url, url_ttl: Duration) -> Self {
        const REGION: &str = "us-east-1";
        let config = config(in_process::http_client(embedded.service()))
            .region(Region::from_static(REGION))
            .credentials_provider(embedded.credentials())
            .endpoint_url(public_url.as_str().trim_end_matches('/'))
            .force_path_style(true)
            .build();
        Self {
            client: Client::from_conf(config),
            bucket: BUCKET.to_owned(),
            acl: None,
            url_ttl,
            region: REGION.to_owned(),
            credentials: Some(KeptCredentials::new(SharedCredentialsProvider::new(
                embedded.credentials(),
            ))),
            abilities: Arc::default(),
            bounds_sizes: true,
            bucket_url: Arc::default(),
        }
    }

    /// A bucket of an S3 service, with credentials as the AWS tools find them.
    pub(crate) async fn s3(settings: &S3Config, url_ttl: Duration) -> Self {
        let http_client = aws_smithy_http_client::Builder::new()
            .tls_provider(Provider::Rustls(CryptoMode::Ring))
            .build_https();
        let region = Region::new(settings.region.clone());
        let environment = aws_config::defaults(BehaviorVersion::latest())
            .http_client(http_client.clone())
            .region(region.clone())
            .load()
            .await;
        let mut config = config(http_client)
            .region(region)
            .force_path_style(settings.path_style);
        let credentials = environment.credentials_provider().map(KeptCredentials::new);
        // What the client signs with is what is known here, with its end, and kept by nobody else.
        config.set_credentials_provider(credentials.clone().map(SharedCredentialsProvider::new));
        config = config.identity_cache(IdentityCache::no_cache());
        if let Some(endpoint) = &settings.endpoint {
            config = config.endpoint_url(endpoint.as_str().trim_end_matches('/'));
        }
        Self {
            client: Client::from_conf(config.build()),
            bucket: settings.bucket.clone(),
            acl: settings.acl.as_deref().map(ObjectCannedAcl::from),
            url_ttl,
            region: settings.region.clone(),
            credentials,
            abilities: Arc::default(),
            bounds_sizes: false,
            bucket_url: Arc::default(),
        }
    }

    /// The bucket's name.
    pub(crate) fn bucket(&self) -> &str {
        &self.bucket
    }

    /// Whether it refuses by itself what would be more than the gallery takes.
    pub(crate) fn bounds_sizes(&self) -> bool {
        self.bounds_sizes
    }

    /// Signs the one request that sends a picture: exactly these bytes, to a key that has none yet.
    pub(crate) async fn sign_put(
        &self,
        key: &str,
        size: u64,
        content_type: &str,
        sha256: &Sha256,
    ) -> Result<SignedRequest, StorageError> {
        let mut headers = vec![
            ("content-length", size.to_string()),
            ("content-type", content_type.to_owned()),
            ("if-none-match", "*".to_owned()),
            (CHECKSUM_HEADER, BASE64_STANDARD.encode(sha256.as_bytes())),
        ];
        if let Some(acl) = &self.acl {
            headers.push(("x-amz-acl", acl.as_str().to_owned()));
        }
        self.presigned(Unsigned {
            method: "PUT",
            key,
            operation: "PutObject",
            query: vec![],
            headers,
        })
        .await
    }

    /// Signs a request that reads an object under a media type and a disposition of the server's choice.
    pub(crate) async fn sign_get(
        &self,
        key: &str,
        content_type: &str,
        disposition: &str,
    ) -> Result<PresignedUrl, StorageError> {
        let signed = self.presigned(Unsigned {
            method: "GET",
            key,
            operation: "GetObject",
            query: vec![
                ("response-content-type", content_type.into()),
                ("response-content-disposition", disposition.into()),
            ],
            headers: vec![],
        });
        Ok(signed.await?.url)
    }

    /// Scheme, host and port of the URLs that are signed here.
    pub(crate) async fn origin(&self) -> Result<String, StorageError> {
        Ok(self.bucket_url().await?.origin().ascii_serialization())
    }

    /// The object's size in bytes; `None` when there is none.
    pub(crate) async fn size(&self, key: &str) -> Result<Option<u64>, StorageError> {
        let answer = self
            .client
            .head_object()
            .bucket(&self.bucket)
            .key(key)
            .send()
            .await;
        match answer {
            Ok(head) => Ok(Some(
                u64::try_from(head.content_length().unwrap_or(0)).unwrap_or(0),
            )),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(fault("look at an object", error)),
        }
    }

    /// What the store tells of an object's bytes without sending them; `None` when there is none.
    pub(crate) async fn tells(&self, key: &str) -> Result<Option<Told>, StorageError> {
        let answer = self
            .client
            .head_object()
            .bucket(&self.bucket)
            .key(key)
            .checksum_mode(ChecksumMode::Enabled)
            .send()
            .await;
        let head = match answer {
            Ok(head) => head,
            Err(error) if is_missing(&error) => return Ok(None),
            Err(error) => return Err(fault("look at an object", error)),
        };
        // Of what came in parts their number may stand behind it, which is no base64.
        let sum = head.checksum_sha256().and_then(|sum| {
            let sum: [u8; 32] = BASE64_STANDARD.decode(sum).ok()?.try_into().ok()?;
            Some(sum.into())
        });
        Ok(Some(Told {
            size: u64::try_from(head.content_length().unwrap_or(0)).unwrap_or(0),
            sha256: sum,
        }))
    }

    /// The object; `None` when there is none.
    pub(crate) async fn get(&self, key: &str) -> Result<Option<Object>, StorageError> {
        let answer = self
            .client
            .get_object()
            .bucket(&self.bucket)
            .key(key)
            .send()
            .await;
        match answer {
            Ok(object) => {
                let size = object
                    .content_length
                    .and_then(|size| u64::try_from(size).ok());
                let size = size.ok_or_else(|| StorageError::Unavailable {
                    action: "tell how large an object is",
                    source: "it announced no length".into(),
                })?;
                Ok(Some(Object {
                    size,
                    etag: object.e_tag,
                    body: object.body,
                }))
            }
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(fault("read an object", error)),
        }
    }

    /// Stores exactly these bytes under a key that has none yet, or has them already.
    pub(crate) async fn put_new(
        &self,
        key: &str,
        content_type: &str,
        sha256: &Sha256,
        bytes: Bytes,
    ) -> Result<(), StorageError> {
        let size = bytes.len() as u64;
        self.put_body(key, content_type, sha256, ByteStream::from(bytes), size)
            .await
    }

    /// The same of a file's bytes, which are not held in memory.
    pub(crate) async fn put_file(
        &self,
        key: &str,
        content_type: &str,
        sha256: &Sha256,
        path: &Path,
        size: u64,
    ) -> Result<(), StorageError> {
        let body = ByteStream::from_path(path).await;
        let body = body.map_err(|source| StorageError::Unavailable {
            action: "be sent a file",
            source: Box::new(source),
        })?;
        self.put_body(key, content_type, sha256, body, size).await
    }

    async fn put_body(
        &self,
        key: &str,
        content_type: &str,
        sha256: &Sha256,
        body: ByteStream,
        size: u64,
    ) -> Result<(), StorageError> {
        // The answer comes after the last byte.
        let time = ATTEMPT_TIMEOUT + Duration::from_secs(size / SLOWEST);
        let timeouts = TimeoutConfig::builder().operation_attempt_timeout(time);
        let overrides = aws_sdk_s3::Config::builder().timeout_config(timeouts.build());
        let answer = self
            .client
            .put_object()
            .bucket(&self.bucket)
            .key(key)
            .content_type(content_type)
            .checksum_sha256(BASE64_STANDARD.encode(sha256.as_bytes()))
            .if_none_match("*")
            .set_acl(self.acl.clone())
            .body(body)
            .customize()
            .config_override(overrides)
            .send()
            .await;
        match answer {
            Ok(_) => Ok(()),
            // The key is one upload's alone, and its checksum is checked: it has these bytes.
            Err(error) if error.code() == Some("PreconditionFailed") => Ok(()),
            Err(error) => Err(fault("store an object", error)),
        }
    }

    /// Stores a thumbnail, in place of the same one from an attempt before.
    pub(crate) async fn put_jpeg(&self, key: &str, jpeg: Vec<u8>) -> Result<(), StorageError> {
        self.client
            .put_object()
            .bucket(&self.bucket)
            .key(key)
            .content_type("image/jpeg")
            .checksum_sha256(BASE64_STANDARD.encode(Sha256::of(&jpeg).as_bytes()))
            .set_acl(self.acl.clone())
            .body(ByteStream::from(jpeg))
            .send()
            .await
            .map_err(|error| fault("store an object", error))?;
        Ok(())
    }

    /// Deletes an object; that there is none is as good.
    pub(crate) async fn delete(&self, key: &str) -> Result<(), StorageError> {
        let answer = self
            .client
            .delete_object()
            .bucket(&self.bucket)
            .key(key)
            .send()
            .await;
        match answer {
            Ok(_) => Ok(()),
            Err(error) if is_missing(&error) => Ok(()),
            Err(error) => Err(fault("delete an object", error)),
        }
    }

    /// Whether the bucket answers.
    pub(crate) async fn check(&self) -> Result<(), StorageError> {
        self.client
            .head_bucket()
            .bucket(&self.bucket)
            .send()
            .await
            .map_err(|error| match is_missing(&error) {
                true => store_failed(StorageError::Unavailable {
                    action: "find the bucket",
                    source: Box::new(Reason::NoBucket),
                }),
                false => fault("find the bucket", error),
            })?;
        Ok(())
    }
}

impl Object {
    /// The next bytes; `None` at the end.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, StorageError> {
        let unavailable = |source| {
            store_failed(StorageError::Unavailable {
                action: "send an object to its end",
                source,
            })
        };
        match tokio::time::timeout(READ_TIMEOUT, self.body.next()).await {
            Ok(Some(Ok(bytes))) => Ok(Some(bytes)),
            Ok(Some(Err(error))) => Err(unavailable(Box::new(error))),
            Ok(None) => Ok(None),
            Err(elapsed) => Err(unavailable(Box::new(elapsed))),
        }
    }

    /// All bytes of a small object; more than `limit` are an error.
    pub(crate) async fn bytes(mut self, limit: usize) -> Result<Vec<u8>, StorageError> {
        let mut bytes = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            if bytes.len() + chunk.len() > limit {
                return Err(StorageError::Unavailable {
                    action: "send a small object",
                    source: format!("it has more than {limit} bytes").into(),
                });
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }
}

/// What every client here has in common.
fn config(http_client: SharedHttpClient) -> aws_sdk_s3::config::Builder {
    aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .http_client(http_client)
        // Not every engine knows the checksums that the client adds on its own; ours are stated where they matter.
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        // It takes a reader that waits for memory for a connection that stalls; `Object::chunk` looks itself.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
        .timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(CONNECT_TIMEOUT)
                .operation_attempt_timeout(ATTEMPT_TIMEOUT)
                .build(),
        )
}

fn presign<E>(error: SdkError<E, Response>) -> StorageError
where
    E: Error + Send + Sync + 'static,
{
    store_failed(StorageError::Presign {
        source: Box::new(error),
    })
}

/// A HEAD has no body to name an error in, so the status decides; unless it is said that it is the bucket that is missing: of
/// what is in a bucket of another name nothing is known.
fn is_missing<E>(error: &SdkError<E, Response>) -> bool
where
    E: ProvideErrorMetadata,
{
    let status = error
        .raw_response()
        .map(|response| response.status().as_u16());
    status == Some(404) && error.code() != Some("NoSuchBucket")
}

fn fault<E>(action: &'static str, error: SdkError<E, Response>) -> StorageError
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    let status = error
        .raw_response()
        .map(|response| response.status().as_u16());
    if status == Some(507) || error.code() == Some("XMinioStorageFull") {
        return store_failed(StorageError::Full);
    }
    store_failed(StorageError::Unavailable {
        action,
        source: match Reason::of(&error) {
            Some(reason) => Box::new(reason),
            None => Box::new(error),
        },
    })
}

#[cfg(test)]
impl Storage {
    /// A bucket of a test's.
    pub(crate) fn of_a_test(
        endpoint: &str,
        credentials: impl aws_credential_types::provider::ProvideCredentials + 'static,
        acl: Option<&str>,
    ) -> Self {
        let credentials = KeptCredentials::new(SharedCredentialsProvider::new(credentials));
        let http_client = aws_smithy_http_client::Builder::new()
            .tls_provider(Provider::Rustls(CryptoMode::Ring))
            .build_https();
        let config = config(http_client)
            .region(Region::from_static("us-east-1"))
            .credentials_provider(credentials.clone())
            .identity_cache(IdentityCache::no_cache())
            .endpoint_url(endpoint)
            .force_path_style(true)
            .build();
        Self {
            client: Client::from_conf(config),
            bucket: "pictures".to_owned(),
            acl: acl.map(ObjectCannedAcl::from),
            url_ttl: Duration::from_secs(300),
            region: "us-east-1".to_owned(),
            credentials: Some(credentials),
            abilities: Arc::default(),
            bounds_sizes: false,
            bucket_url: Arc::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use aws_credential_types::provider::{ProvideCredentials, error::CredentialsError, future};
    use aws_sdk_s3::config::Credentials;
    use axum::{http::header::RETRY_AFTER, response::IntoResponse as _};

    use super::*;
    use crate::error::ApiError;

    const NOWHERE: &str = "http://127.0.0.1:1";

    /// Nobody has credentials to give.
    #[derive(Debug)]
    struct Nobody;

    impl ProvideCredentials for Nobody {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            future::ProvideCredentials::ready(Err(CredentialsError::provider_error("away")))
        }
    }

    /// As an instance's role that is away for a moment, also when the server starts.
    #[tokio::test]
    async fn without_credentials_it_is_known_where_the_store_is_and_clients_are_told_to_come_again()
    {
        let storage = Storage::of_a_test(NOWHERE, Nobody, None);
        assert_eq!(storage.origin().await.unwrap(), NOWHERE);
        let sum = Sha256::of(b"a");
        let signed = storage.sign_put("key", 1, "image/jpeg", &sum);
        let error = signed.await.unwrap_err();
        assert!(matches!(error, StorageError::Presign { .. }), "{error:?}");
        let answer = ApiError::from(error).into_response();
        assert_eq!(answer.status(), 503);
        assert!(answer.headers().contains_key(RETRY_AFTER));
    }

    #[tokio::test]
    async fn an_access_list_is_signed_into_the_url_and_told_to_the_client() {
        for acl in [None, Some("bucket-owner-full-control")] {
            let credentials = Credentials::new("access", "secret", None, None, "test");
            let storage = Storage::of_a_test(NOWHERE, credentials, acl);
            let signed = storage
                .sign_put("key", 1, "image/jpeg", &Sha256::of(b"a"))
                .await
                .unwrap();
            let told = signed.headers.get("x-amz-acl").map(String::as_str);
            assert_eq!(told, acl);
            let url = Url::parse(signed.url.expose()).unwrap();
            let (_, names) = url
                .query_pairs()
                .find(|(name, _)| name == "X-Amz-SignedHeaders")
                .unwrap();
            let is_signed = names.split(';').any(|name| name == "x-amz-acl");
            assert_eq!(is_signed, acl.is_some(), "{names}");
        }
    }

    #[tokio::test]
    async fn what_is_not_there_is_gone_but_not_where_the_bucket_is_missing() {
        for (code, is_gone) in [("NoSuchKey", true), ("NoSuchBucket", false)] {
            let answer = move || async move {
                let body = format!("<Error><Code>{code}</Code><Message>no</Message></Error>");
                (http::StatusCode::NOT_FOUND, body)
            };
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let endpoint = format!("http://{}", listener.local_addr().unwrap());
            let serving = axum::serve(listener, axum::Router::new().fallback(answer));
            let serving = tokio::spawn(serving.into_future());
            let credentials = Credentials::new("access", "secret", None, None, "test");
            let storage = Storage::of_a_test(&endpoint, credentials, None);
            let parts = [StoredPart {
                number: 1,
                size: 1,
                etag: "a".to_owned(),
                checksum: None,
            }];
            let multipart = Multipart {
                key: "key",
                id: "id",
                algorithm: imgn_protocol::ChecksumAlgorithm::default(),
            };
            let answers = [
                storage.delete("key").await,
                storage.abort_multipart("key", "id").await,
                storage.get("key").await.map(drop),
                storage
                    .complete_multipart(multipart, &parts)
                    .await
                    .map(drop),
            ];
            for (place, answer) in answers.into_iter().enumerate() {
                assert_eq!(answer.is_ok(), is_gone, "{code} {place}: {answer:?}");
                let reason = answer.as_ref().err().and_then(StorageError::reason);
                assert_eq!(reason.is_some(), !is_gone, "{code} {place}: {answer:?}");
            }
            serving.abort();
        }
    }
}
