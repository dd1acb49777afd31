//! What an S3 service does of what the server relies on: asked, by doing it, and set up where that is wished.
//!
//! Not here: the checksums of parts, see the module `abilities`, and how the answers are told, see `doctor`.
//!
//! Invariant: what is asked with lies under a prefix of its own and is deleted; nobody's rules are taken away, ours are
//! added to them.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use aws_sdk_s3::{
    Client,
    config::{
        ConfigBag, Intercept, RuntimeComponents,
        interceptors::{
            BeforeDeserializationInterceptorContextRef, BeforeTransmitInterceptorContextMut,
        },
    },
    error::{BoxError, ProvideErrorMetadata, SdkError},
    primitives::{ByteStream, SdkBody},
    types::{
        AbortIncompleteMultipartUpload, BucketLifecycleConfiguration, BucketLocationConstraint,
        CorsConfiguration, CorsRule, CreateBucketConfiguration, ExpirationStatus, LifecycleRule,
        LifecycleRuleFilter, TransitionDefaultMinimumObjectSize,
    },
};
use aws_smithy_runtime_api::{client::orchestrator::HttpRequest, http::Response};
use imgn_protocol::{Sha256, SignedRequest, Timestamp};

use super::{Reason, Storage, StorageError, abilities::is_refusal, fault, is_missing, keys};

/// What is sent to ask.
const BODY: &[u8] = b"Is this what was signed?";

/// As long as `BODY`, and other bytes.
const OTHER_BODY: &[u8] = b"Is that what was signed?";

/// How long a URL lives of which it is asked whether it ends.
const SHORT: Duration = Duration::from_secs(2);

/// After how many days the store gives up an upload that was not completed. The server itself does after one.
const ABORT_AFTER_DAYS: i32 = 7;

/// The name of our rule among the bucket's.
const RULE: &str = "imgn-abort-incomplete-multipart-uploads";

/// Whether the bucket is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bucket {
    There,
    Missing,
}

/// What became of a question that an engine may not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Known {
    Yes,
    No,
    /// The engine has no such thing.
    Unsupported,
}

/// What the store enforces of what is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Enforced {
    /// A body of another length than was signed is refused.
    pub(crate) length: bool,
    /// Other bytes than those whose SHA-256 was signed are.
    pub(crate) bytes: bool,
    /// What is there already is not replaced (`If-None-Match: *`).
    pub(crate) only_new: bool,
    /// A URL that has expired is refused.
    pub(crate) expiry: bool,
    /// Who has no signature reads nothing.
    pub(crate) privacy: bool,
}

impl Storage {
    /// Whether the bucket answers, and by how much the store's clock is ahead of ours, in seconds.
    pub(crate) async fn examine_bucket(&self) -> Result<(Bucket, Option<i64>), StorageError> {
        let clock = Clock::default();
        let answer = self
            .client
            .head_bucket()
            .bucket(&self.bucket)
            .customize()
            .interceptor(clock.clone())
            .send()
            .await;
        let ahead = clock.ahead();
        match answer {
            Ok(_) => Ok((Bucket::There, ahead)),
            Err(error) if is_missing(&error) => Ok((Bucket::Missing, ahead)),
            Err(error) => match fault("find the bucket", error) {
                error if matches!(error.reason(), Some(Reason::Denied { .. })) => {
                    Err(self.why_denied().await.unwrap_or(error))
                }
                error => Err(error),
            },
        }
    }

    /// Asks for something whose refusal has a body, and so says more than that of the bucket's own.
    async fn why_denied(&self) -> Option<StorageError> {
        let listed = self.client.list_objects_v2().bucket(&self.bucket);
        let refused = listed.max_keys(1).send().await.err()?;
        let error = fault("find the bucket", refused);
        let told = error.reason()?;
        matches!(told, Reason::Denied { code: Some(_), .. }).then_some(error)
    }

    /// Makes the bucket, for its owner alone.
    pub(crate) async fn create_bucket(&self) -> Result<(), StorageError> {
        // The one region that must not be named.
        let place = (self.region != "us-east-1").then(|| {
            CreateBucketConfiguration::builder()
                .location_constraint(BucketLocationConstraint::from(self.region.as_str()))
                .build()
        });
        self.client
            .create_bucket()
            .bucket(&self.bucket)
            .set_create_bucket_configuration(place)
            .send()
            .await
            .map_err(|error| fault("make the bucket", error))?;
        Ok(())
    }

    /// Asks what of a signed request is enforced. Takes three seconds, for a URL has to expire.
    pub(crate) async fn examine_signatures(&self) -> Result<Enforced, StorageError> {
        let key = keys::probe();
        let asked = self.ask_signatures(&key).await;
        // Also where it ended half-way.
        let deleted = self.delete(&key).await;
        let enforced = asked?;
        deleted?;
        Ok(enforced)
    }

    async fn ask_signatures(&self, key: &str) -> Result<Enforced, StorageError> {
        let size = BODY.len() as u64;
        let sum = Sha256::of(BODY);
        let sign = async || self.sign_put(key, size, "text/plain", &sum).await;
        // First what is to be refused: nothing may be there yet.
        let length = !self.sends(&sign().await?, &BODY[1..]).await?;
        // What a weak store took is out of the way.
        self.delete(key).await?;
        let bytes = !self.sends(&sign().await?, OTHER_BODY).await?;
        self.delete(key).await?;
        if !self.sends(&sign().await?, BODY).await? {
            return Err(StorageError::Unsupported {
                action: "take what was signed",
                source: "it refused a PUT whose length, SHA-256 and If-None-Match are signed"
                    .into(),
            });
        }
        let only_new = !self.sends(&sign().await?, BODY).await?;
        let short = Self {
            url_ttl: SHORT,
            ..self.clone()
        };
        let read = SignedRequest {
            method: "GET".to_owned(),
            url: short.sign_get(key, "text/plain", "inline").await?,
            headers: Default::default(),
            expires_at: Timestamp::now(),
        };
        let mut unsigned = read.clone();
        if let Some((plain, _)) = read.url.expose().split_once('?') {
            unsigned.url = imgn_protocol::PresignedUrl::new(plain.to_owned());
        }
        let privacy = !self.sends(&unsigned, b"").await?;
        tokio::time::sleep(SHORT + Duration::from_secs(1)).await;
        let expiry = !self.sends(&read, b"").await?;
        Ok(Enforced {
            length,
            bytes,
            only_new,
            expiry,
            privacy,
        })
    }

    /// Whether pages of `origin` may send to the store and read its answers.
    pub(crate) async fn examine_cors(&self, origin: &str) -> Result<Known, StorageError> {
        let sum = Sha256::of(BODY);
        let mut asked = self.sign_put(&keys::probe(), 1, "image/png", &sum).await?;
        let names: Vec<_> = asked.headers.keys().cloned().collect();
        asked.method = "OPTIONS".to_owned();
        asked.headers = [
            ("origin", origin.to_owned()),
            ("access-control-request-method", "PUT".to_owned()),
            ("access-control-request-headers", names.join(",")),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        let instead = Instead::new(&asked, b"");
        let answered = instead.answered.clone();
        // Its body is no answer to what the client thinks it has asked.
        let _ = self.send_instead(instead).await;
        let answered = answered.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(answered) = &*answered else {
            return Err(StorageError::Unavailable {
                action: "answer what pages may do",
                source: "there was no answer".into(),
            });
        };
        Ok(match answered.allowed_origin.as_deref() {
            Some(allowed) if allowed == "*" || allowed == origin => Known::Yes,
            _ => Known::No,
        })
    }

    /// Lets pages of `origin` send to the store, beside those that may already.
    pub(crate) async fn allow_origin(&self, origin: &str) -> Result<Known, StorageError> {
        let there = self.client.get_bucket_cors().bucket(&self.bucket).send();
        let mut rules = match there.await {
            Ok(there) => there.cors_rules.unwrap_or_default(),
            Err(error) if is_missing(&error) => Vec::new(),
            Err(error) if is_unsupported(&error) => return Ok(Known::Unsupported),
            Err(error) => return Err(fault("tell the bucket's CORS rules", error)),
        };
        let rule = CorsRule::builder()
            .id("imgn")
            .allowed_origins(origin)
            .set_allowed_methods(Some(
                ["GET", "HEAD", "PUT", "POST"].map(str::to_owned).to_vec(),
            ))
            .allowed_headers("*")
            .expose_headers("ETag")
            .max_age_seconds(3600)
            .build()
            .map_err(built)?;
        rules.retain(|there| there.id() != Some("imgn"));
        rules.push(rule);
        let rules = CorsConfiguration::builder()
            .set_cors_rules(Some(rules))
            .build()
            .map_err(built)?;
        let put = self
            .client
            .put_bucket_cors()
            .bucket(&self.bucket)
            .cors_configuration(rules);
        match put.send().await {
            Ok(_) => Ok(Known::Yes),
            Err(error) if is_unsupported(&error) => Ok(Known::Unsupported),
            Err(error) => Err(fault("take a CORS rule", error)),
        }
    }

    /// Whether the store gives up uploads in parts by itself that are never completed.
    pub(crate) async fn examine_lifecycle(&self) -> Result<Known, StorageError> {
        let aborts = |rule: &LifecycleRule| {
            let days = rule.abort_incomplete_multipart_upload();
            let days = days.and_then(AbortIncompleteMultipartUpload::days_after_initiation);
            let everything = rule.filter().is_none_or(|filter| {
                filter.prefix().is_none_or(str::is_empty)
                    && filter.tag().is_none()
                    && filter.and().is_none()
            });
            // As rules were written before there were filters.
            #[expect(deprecated, reason = "buckets have such rules still")]
            let is_old = rule.prefix().is_some_and(|prefix| !prefix.is_empty());
            *rule.status() == ExpirationStatus::Enabled && days.is_some() && everything && !is_old
        };
        Ok(match self.lifecycle().await? {
            None => Known::Unsupported,
            Some((rules, _)) if rules.iter().any(aborts) => Known::Yes,
            Some(_) => Known::No,
        })
    }

    /// Has it do so, beside the rules that it has.
    pub(crate) async fn abort_by_lifecycle(&self) -> Result<Known, StorageError> {
        let Some((mut rules, smallest)) = self.lifecycle().await? else {
            return Ok(Known::Unsupported);
        };
        let rule = LifecycleRule::builder()
            .id(RULE)
            .status(ExpirationStatus::Enabled)
            .filter(LifecycleRuleFilter::builder().prefix("").build())
            .abort_incomplete_multipart_upload(
                AbortIncompleteMultipartUpload::builder()
                    .days_after_initiation(ABORT_AFTER_DAYS)
                    .build(),
            )
            .build()
            .map_err(built)?;
        rules.retain(|there| there.id() != Some(RULE));
        rules.push(rule);
        let rules = BucketLifecycleConfiguration::builder()
            .set_rules(Some(rules))
            .build()
            .map_err(built)?;
        let put = self
            .client
            .put_bucket_lifecycle_configuration()
            .bucket(&self.bucket)
            .lifecycle_configuration(rules)
            .set_transition_default_minimum_object_size(smallest);
        match put.send().await {
            Ok(_) => Ok(Known::Yes),
            Err(error) if is_unsupported(&error) => Ok(Known::Unsupported),
            Err(error) => Err(fault("take a lifecycle rule", error)),
        }
    }

    /// The bucket's rules, and what is told beside them; `None` where the engine knows none.
    async fn lifecycle(&self) -> Result<Option<Lifecycle>, StorageError> {
        let there = self
            .client
            .get_bucket_lifecycle_configuration()
            .bucket(&self.bucket);
        match there.send().await {
            Ok(there) => Ok(Some((
                there.rules.unwrap_or_default(),
                there.transition_default_minimum_object_size,
            ))),
            Err(error) if is_missing(&error) => Ok(Some((Vec::new(), None))),
            Err(error) if is_unsupported(&error) => Ok(None),
            Err(error) => Err(fault("tell the bucket's lifecycle rules", error)),
        }
    }

    /// Whether the store takes a request, sent as a client would, with this body.
    async fn sends(
        &self,
        request: &SignedRequest,
        body: &'static [u8],
    ) -> Result<bool, StorageError> {
        match self.send_instead(Instead::new(request, body)).await {
            Ok(()) => Ok(true),
            Err(Refused::Yes) => Ok(false),
            Err(Refused::Failed(error)) => Err(error),
        }
    }

    async fn send_instead(&self, instead: Instead) -> Result<(), Refused> {
        let asked = self
            .client
            .put_object()
            .bucket(&self.bucket)
            .key("-")
            .body(ByteStream::from_static(b""))
            .customize()
            .interceptor(instead)
            .config_override(once(&self.client))
            .send()
            .await;
        match asked {
            Ok(_) => Ok(()),
            Err(error) if is_refusal(&error) || is_forbidden(&error) => Err(Refused::Yes),
            Err(error) => Err(Refused::Failed(fault("be asked what it enforces", error))),
        }
    }
}

type Lifecycle = (
    Vec<LifecycleRule>,
    Option<TransitionDefaultMinimumObjectSize>,
);

enum Refused {
    Yes,
    Failed(StorageError),
}

/// A refusal is an answer and no reason to ask again.
fn once(_: &Client) -> aws_sdk_s3::config::Builder {
    aws_sdk_s3::Config::builder().retry_config(aws_sdk_s3::config::retry::RetryConfig::disabled())
}

/// A request that was signed for somebody else, sent in the place of the client's own.
#[derive(Debug)]
struct Instead {
    method: String,
    url: imgn_protocol::PresignedUrl,
    headers: Vec<(String, String)>,
    body: &'static [u8],
    answered: Arc<Mutex<Option<Answered>>>,
}

#[derive(Debug)]
struct Answered {
    allowed_origin: Option<String>,
}

impl Instead {
    fn new(request: &SignedRequest, body: &'static [u8]) -> Self {
        Self {
            method: request.method.clone(),
            url: request.url.clone(),
            headers: request.headers.clone().into_iter().collect(),
            body,
            answered: Arc::default(),
        }
    }
}

impl Intercept for Instead {
    fn name(&self) -> &'static str {
        "Instead"
    }

    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let mut request = HttpRequest::new(SdkBody::from(self.body));
        request.set_method(&self.method)?;
        request.set_uri(self.url.expose().to_owned())?;
        for (name, value) in &self.headers {
            if name != "content-length" {
                request
                    .headers_mut()
                    .try_insert(name.clone(), value.clone())?;
            }
        }
        let length = self.body.len().to_string();
        request.headers_mut().try_insert("content-length", length)?;
        *context.request_mut() = request;
        Ok(())
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let headers = context.response().headers();
        let allowed_origin = headers.get("access-control-allow-origin");
        let answered = Answered {
            allowed_origin: allowed_origin.map(str::to_owned),
        };
        *self.answered.lock().unwrap_or_else(PoisonError::into_inner) = Some(answered);
        Ok(())
    }
}

/// Reads the time that an answer tells.
#[derive(Debug, Clone, Default)]
struct Clock(Arc<Mutex<Option<i64>>>);

impl Clock {
    fn ahead(&self) -> Option<i64> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Intercept for Clock {
    fn name(&self) -> &'static str {
        "Clock"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let told = context.response().headers().get("date");
        let told = told.and_then(|date| {
            use aws_sdk_s3::primitives::{DateTime, DateTimeFormat};
            DateTime::from_str(date, DateTimeFormat::HttpDate).ok()
        });
        let ahead = told.map(|told| told.secs() - Timestamp::now().as_second());
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = ahead;
        Ok(())
    }
}

fn built(source: aws_sdk_s3::error::BuildError) -> StorageError {
    StorageError::Unavailable {
        action: "be told a rule",
        source: Box::new(source),
    }
}

fn is_forbidden<E>(error: &SdkError<E, Response>) -> bool {
    let status = error.raw_response().map(|it| it.status().as_u16());
    matches!(status, Some(401 | 403 | 411))
}

/// Engines say in different ways that they have no such thing.
fn is_unsupported<E: ProvideErrorMetadata>(error: &SdkError<E, Response>) -> bool {
    let status = error.raw_response().map(|it| it.status().as_u16());
    matches!(status, Some(405 | 501))
        || matches!(error.code(), Some("NotImplemented" | "MethodNotAllowed"))
}
