//! A conformance suite for S3 engines: what imgn relies on, asked of a real endpoint over a real socket.
//!
//! Each case makes its own keys below a prefix of its own, so that a suite can run again on a bucket in use. Requests
//! that no well-behaved client makes (altered URLs, cut bodies) are signed by [`sign`] and sent byte for byte by
//! [`raw`]; all others go through aws-sdk-s3, which nobody here wrote.
//!
//! Invariant: a case that an engine is known to fail says so beside its name, with the reason, and still runs.

mod bodies;
mod completion;
mod forms;
mod listing;
mod multipart;
mod objects;
pub mod raw;
mod refusals;
pub mod sign;

use std::fmt::{self, Debug};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
/// The client library, for tests that go beyond the suite.
pub use aws_sdk_s3 as sdk;

use aws_credential_types::Credentials;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::Region;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use futures_util::future::BoxFuture;
use http::StatusCode;

/// No case takes longer, unless it hangs.
const CASE_TIME: Duration = Duration::from_secs(120);

/// Which engine is behind an endpoint, for the differences that are tolerated by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// imgn's own store: no difference is tolerated.
    ImgnStore,
    /// SeaweedFS 4.
    SeaweedFs,
}

/// An S3 endpoint under test. The bucket exists.
#[derive(Debug, Clone)]
pub struct Target {
    /// Such as `http://127.0.0.1:8333`, without a slash at the end.
    pub endpoint: String,
    /// A bucket that the suite may write to.
    pub bucket: String,
    /// Credentials that may do everything.
    pub access_key: String,
    /// The secret that belongs to the access key.
    pub secret_key: String,
    /// What is behind the endpoint.
    pub engine: Engine,
}

impl Target {
    /// A client of the endpoint that never retries, so that a case sees every answer.
    #[must_use]
    pub fn client(&self) -> Client {
        let credentials =
            Credentials::new(&self.access_key, &self.secret_key, None, None, "testkit");
        let config = aws_sdk_s3::Config::builder()
            .region(Region::new("us-east-1"))
            .endpoint_url(&self.endpoint)
            .force_path_style(true)
            .credentials_provider(credentials)
            .retry_config(RetryConfig::disabled())
            .http_client(aws_smithy_http_client::Builder::new().build_http());
        Client::from_conf(config.build())
    }

    /// `HOST:PORT` of the endpoint.
    pub fn host(&self) -> Result<&str> {
        self.endpoint
            .strip_prefix("http://")
            .context("a plain HTTP endpoint")
    }
}

/// One question to an engine.
#[derive(Clone, Copy)]
pub struct Case {
    /// Unique, in words.
    pub name: &'static str,
    run: fn(Context) -> BoxFuture<'static, Result<()>>,
    /// An engine that is known to answer otherwise, and how.
    differs: &'static [(Engine, &'static str)],
}

impl Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// A [`Case`] of an async function, with the differences that are tolerated.
macro_rules! case {
    ($function:path, $name:literal $(, $engine:ident: $difference:literal)*) => {
        $crate::s3::Case {
            name: $name,
            run: |context| Box::pin($function(context)),
            differs: &[$(($crate::s3::Engine::$engine, $difference)),*],
        }
    };
}
use case;

/// What a case works with.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    pub(crate) target: Arc<Target>,
    pub(crate) client: Client,
    /// Ends with a slash; no other case uses it.
    pub(crate) prefix: String,
}

impl Context {
    pub(crate) fn bucket(&self) -> &str {
        &self.target.bucket
    }

    pub(crate) fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    pub(crate) async fn put(&self, key: &str, body: impl Into<Vec<u8>>) -> Result<String> {
        let put = self.client.put_object().bucket(self.bucket()).key(key);
        let answer = put.body(body.into().into()).send().await?;
        Ok(answer.e_tag().context("an entity tag")?.to_owned())
    }

    /// The object's bytes; `None` when there is none.
    pub(crate) async fn get(&self, key: &str) -> Result<Option<Vec<u8>>> {
        match self
            .client
            .get_object()
            .bucket(self.bucket())
            .key(key)
            .send()
            .await
        {
            Ok(answer) => Ok(Some(answer.body.collect().await?.to_vec())),
            Err(error) if code(&error) == "NoSuchKey" => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    pub(crate) async fn expect(&self, key: &str, body: Option<&[u8]>) -> Result<()> {
        let found = self.get(key).await?;
        ensure!(
            found.as_deref() == body,
            "{key} holds {:?} bytes, not {:?}",
            found.map(|found| found.len()),
            body.map(<[u8]>::len)
        );
        Ok(())
    }

    /// A URL's request for this target, to be signed.
    pub(crate) fn request(&self, method: &str, key: &str) -> sign::Request {
        sign::Request::new(&self.target, method, key)
    }
}

/// S3's error code, or what else went wrong.
pub(crate) fn code<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> String {
    match error {
        SdkError::ServiceError(refused) => refused.err().code().unwrap_or("no code").to_owned(),
        _ => "no answer".to_owned(),
    }
}

/// Fails unless the result is an error with one of these codes.
pub(crate) fn refused<T: Debug, E, R>(
    result: Result<T, SdkError<E, R>>,
    codes: &[&str],
) -> Result<()>
where
    E: ProvideErrorMetadata,
{
    match result {
        Ok(answer) => bail!("{codes:?} was expected, not success: {answer:?}"),
        Err(error) => {
            let code = code(&error);
            ensure!(
                codes.contains(&code.as_str()),
                "{codes:?} was expected, not {code}"
            );
            Ok(())
        }
    }
}

/// Fails unless the status is one of these.
pub(crate) fn status(answer: &raw::Answer, expected: &[u16]) -> Result<()> {
    ensure!(
        expected.contains(&answer.status.as_u16()),
        "{expected:?} was expected, not {}: {}",
        answer.status,
        String::from_utf8_lossy(&answer.body)
    );
    Ok(())
}

/// Fails unless the answer is a success.
pub(crate) fn success(answer: &raw::Answer) -> Result<()> {
    status(answer, &[StatusCode::OK.as_u16()])
}

/// All cases.
#[must_use]
pub fn cases() -> Vec<Case> {
    [
        objects::CASES,
        bodies::CASES,
        refusals::CASES,
        forms::CASES,
        listing::CASES,
        multipart::CASES,
        completion::CASES,
    ]
    .concat()
}

/// How a case ended.
#[derive(Debug)]
pub enum Outcome {
    /// As S3 does.
    Passed,
    /// Otherwise, as this engine is known to: the reason, and what was seen.
    Tolerated(&'static str, anyhow::Error),
    /// Otherwise.
    Failed(anyhow::Error),
}

/// Runs all cases, one after another, and prints a line for each.
///
/// # Errors
/// Names the cases that failed.
pub async fn run(target: &Target) -> Result<()> {
    let target = Arc::new(target.clone());
    let client = target.client();
    let mut failed = Vec::new();
    for case in cases() {
        let context = Context {
            target: Arc::clone(&target),
            client: client.clone(),
            prefix: format!("{}/", uuid::Uuid::now_v7()),
        };
        let line = match outcome(&case, context).await {
            Outcome::Passed => "ok".to_owned(),
            Outcome::Tolerated(reason, seen) => format!("differs as known ({reason}): {seen:#}"),
            Outcome::Failed(error) => {
                failed.push(case.name);
                format!("FAILED: {error:#}")
            }
        };
        #[expect(
            clippy::print_stdout,
            reason = "the suite's report, shown by the test runner"
        )]
        {
            println!("{:?}: {}: {line}", target.engine, case.name);
        }
    }
    ensure!(failed.is_empty(), "{:?} failed: {failed:#?}", target.engine);
    Ok(())
}

async fn outcome(case: &Case, context: Context) -> Outcome {
    let engine = context.target.engine;
    let result = match tokio::time::timeout(CASE_TIME, (case.run)(context)).await {
        Ok(result) => result,
        Err(_) => Err(anyhow::anyhow!("no end within {CASE_TIME:?}")),
    };
    let known = case
        .differs
        .iter()
        .find(|(differing, _)| *differing == engine);
    match (result, known) {
        (Ok(()), _) => Outcome::Passed,
        (Err(error), Some((_, reason))) => Outcome::Tolerated(reason, error),
        (Err(error), None) => Outcome::Failed(error),
    }
}
