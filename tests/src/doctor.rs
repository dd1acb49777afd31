//! What `imgn-server doctor` says of engines that lack something: each verdict, and what it advises.
//!
//! The engine is a small one that says yes where its fault is and no where S3 would. It trusts every signature: what is asked
//! here is what the doctor makes of the answers.

use std::{
    collections::HashMap,
    process::Command,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri, header::DATE},
    response::{IntoResponse as _, Response},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use imgn_testkit::process::{clean_environment, program};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

const PAGE: &str = "https://pictures.example.org";

/// The length of what the doctor has signed for.
const WHOLE: usize = 24;

/// The engine's one fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    NoBucket,
    /// It lets nobody in.
    Closed,
    /// Its clock is an hour behind.
    Clock,
    Checksums,
    Lengths,
    OtherBytes,
    Replaces,
    NeverExpires,
    Public,
    NoCorsRule,
    NoCors,
    NoLifecycleRule,
    NoLifecycle,
}

struct Store {
    fault: Fault,
    objects: Mutex<HashMap<String, Bytes>>,
    is_made: AtomicBool,
    has_cors_rule: AtomicBool,
    has_lifecycle_rule: AtomicBool,
}

impl Store {
    /// Starts one; answers its address.
    async fn start(fault: Fault) -> Result<String> {
        let store = Arc::new(Self {
            fault,
            objects: Mutex::default(),
            is_made: AtomicBool::new(fault != Fault::NoBucket),
            has_cors_rule: AtomicBool::new(!matches!(fault, Fault::NoCorsRule | Fault::NoCors)),
            has_lifecycle_rule: AtomicBool::new(!matches!(
                fault,
                Fault::NoLifecycleRule | Fault::NoLifecycle
            )),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let router = Router::new().fallback(answer).with_state(store);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(url)
    }

    fn bucket(&self, method: &Method, query: &HashMap<String, String>) -> Response {
        if !self.is_made.load(Relaxed) {
            if *method == Method::PUT && query.is_empty() {
                self.is_made.store(true, Relaxed);
                return StatusCode::OK.into_response();
            }
            return refused(StatusCode::NOT_FOUND, "NoSuchBucket");
        }
        let is_put = *method == Method::PUT;
        if query.contains_key("cors") {
            return match (self.fault, is_put) {
                (Fault::NoCors, _) => refused(StatusCode::NOT_IMPLEMENTED, "NotImplemented"),
                (_, true) => {
                    self.has_cors_rule.store(true, Relaxed);
                    StatusCode::OK.into_response()
                }
                (_, false) => refused(StatusCode::NOT_FOUND, "NoSuchCORSConfiguration"),
            };
        }
        if query.contains_key("lifecycle") {
            if self.fault == Fault::NoLifecycle {
                return refused(StatusCode::NOT_IMPLEMENTED, "NotImplemented");
            }
            if is_put {
                self.has_lifecycle_rule.store(true, Relaxed);
            }
            if !self.has_lifecycle_rule.load(Relaxed) {
                return refused(StatusCode::NOT_FOUND, "NoSuchLifecycleConfiguration");
            }
            return xml(
                "<LifecycleConfiguration><Rule><ID>a</ID><Status>Enabled</Status><Filter><Prefix></Prefix></Filter>\
                 <AbortIncompleteMultipartUpload><DaysAfterInitiation>7</DaysAfterInitiation></AbortIncompleteMultipartUpload>\
                 </Rule></LifecycleConfiguration>",
            );
        }
        StatusCode::OK.into_response()
    }

    fn multipart(
        &self,
        method: &Method,
        query: &HashMap<String, String>,
        headers: &HeaderMap,
        body: &Bytes,
    ) -> Response {
        if query.contains_key("uploads") {
            let is_known = headers
                .get("x-amz-checksum-algorithm")
                .is_some_and(|name| name == "SHA256");
            return match is_known {
                true => xml(
                    "<InitiateMultipartUploadResult><UploadId>one</UploadId></InitiateMultipartUploadResult>",
                ),
                false => refused(StatusCode::BAD_REQUEST, "InvalidRequest"),
            };
        }
        let sum = BASE64_STANDARD.encode(Sha256::digest(body));
        match *method {
            Method::PUT => {
                let is_right = headers
                    .get("x-amz-checksum-sha256")
                    .is_some_and(|told| told.as_bytes() == sum.as_bytes());
                if !is_right && self.fault != Fault::Checksums {
                    return refused(StatusCode::BAD_REQUEST, "BadDigest");
                }
                self.objects().insert("part".to_owned(), body.clone());
                [("etag", "\"1\"")].into_response()
            }
            Method::GET => {
                let objects = self.objects();
                let part = objects.get("part").cloned().unwrap_or_default();
                let sum = BASE64_STANDARD.encode(Sha256::digest(&part));
                xml(&format!(
                    "<ListPartsResult><IsTruncated>false</IsTruncated><Part><PartNumber>1</PartNumber>\
                     <LastModified>2026-11-27T00:00:00.000Z</LastModified><ETag>\"1\"</ETag><Size>{}</Size>\
                     <ChecksumSHA256>{sum}</ChecksumSHA256></Part></ListPartsResult>",
                    part.len()
                ))
            }
            _ => StatusCode::NO_CONTENT.into_response(),
        }
    }

    fn put(
        &self,
        key: &str,
        query: &HashMap<String, String>,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Response {
        let told = |name: &str| {
            let header = headers.get(name).and_then(|value| value.to_str().ok());
            header.or(query.get(name).map(String::as_str))
        };
        let sum = BASE64_STANDARD.encode(Sha256::digest(&body));
        let is_signed = match body.len() == WHOLE {
            true => told("x-amz-checksum-sha256") == Some(&*sum) || self.fault == Fault::OtherBytes,
            false => self.fault == Fault::Lengths,
        };
        if !is_signed {
            return refused(StatusCode::FORBIDDEN, "SignatureDoesNotMatch");
        }
        let is_new = !self.objects().contains_key(key);
        if !is_new && told("if-none-match") == Some("*") && self.fault != Fault::Replaces {
            return refused(StatusCode::PRECONDITION_FAILED, "PreconditionFailed");
        }
        self.objects().insert(key.to_owned(), body);
        StatusCode::OK.into_response()
    }

    fn get(&self, key: &str, query: &HashMap<String, String>) -> Response {
        let is_let_in = match query.get("X-Amz-Signature") {
            None => self.fault == Fault::Public,
            Some(_) => self.fault == Fault::NeverExpires || lives(query) == Some(true),
        };
        match self.objects().get(key) {
            _ if !is_let_in => refused(StatusCode::FORBIDDEN, "AccessDenied"),
            Some(object) => object.clone().into_response(),
            None => refused(StatusCode::NOT_FOUND, "NoSuchKey"),
        }
    }

    fn objects(&self) -> std::sync::MutexGuard<'_, HashMap<String, Bytes>> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a URL has not expired.
fn lives(query: &HashMap<String, String>) -> Option<bool> {
    let begun = query.get("X-Amz-Date")?;
    let begun = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", begun).ok()?;
    let begun = begun.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp();
    let seconds: i64 = query.get("X-Amz-Expires")?.parse().ok()?;
    Some(jiff::Timestamp::now().as_second() <= begun.as_second() + seconds)
}

async fn answer(
    State(store): State<Arc<Store>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let query = uri.query().unwrap_or_default();
    let mut query: HashMap<String, String> = url::form_urlencoded::parse(query.as_bytes())
        .into_owned()
        .collect();
    // Which call the client thinks that it makes.
    query.remove("x-id");
    let key = uri.path().strip_prefix("/pictures").unwrap_or_default();
    let key = key.trim_start_matches('/').to_owned();
    let mut response = if store.fault == Fault::Closed {
        refused(StatusCode::FORBIDDEN, "AccessDenied")
    } else if key.is_empty() {
        store.bucket(&method, &query)
    } else if query.contains_key("uploads") || query.contains_key("uploadId") {
        store.multipart(&method, &query, &headers, &body)
    } else {
        match method {
            Method::OPTIONS if store.has_cors_rule.load(Relaxed) => {
                [("access-control-allow-origin", PAGE)].into_response()
            }
            Method::OPTIONS => refused(StatusCode::FORBIDDEN, "AccessForbidden"),
            Method::PUT => store.put(&key, &query, &headers, body),
            Method::DELETE => {
                store.objects().remove(&key);
                StatusCode::NO_CONTENT.into_response()
            }
            _ => store.get(&key, &query),
        }
    };
    if store.fault == Fault::Clock {
        let behind = jiff::Timestamp::now() - Duration::from_secs(60 * 60);
        let behind = behind.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        if let Ok(behind) = behind.parse() {
            response.headers_mut().insert(DATE, behind);
        }
    }
    response
}

fn xml(text: &str) -> Response {
    ([("content-type", "application/xml")], text.to_owned()).into_response()
}

fn refused(status: StatusCode, code: &str) -> Response {
    let text = format!("<Error><Code>{code}</Code><Message>No.</Message></Error>");
    (status, xml(&text)).into_response()
}

/// What the doctor finds, an object for each subject, and whether it is content.
fn examine(endpoint: &str, more: &[&str]) -> Result<(bool, Vec<Value>)> {
    let directory = tempfile::tempdir()?;
    let mut command = Command::new(program("imgn-server")?);
    clean_environment(&mut command);
    let output = command
        .args(["doctor", "--json", "--storage", "s3", "--s3-path-style"])
        .args(["--s3-bucket", "pictures", "--public-url", PAGE])
        .args(["--s3-endpoint", endpoint, "--data-dir"])
        .arg(directory.path())
        .args(more)
        .env("AWS_ACCESS_KEY_ID", "somebody")
        .env("AWS_SECRET_ACCESS_KEY", "with-a-secret")
        .output()?;
    let told = String::from_utf8(output.stdout)?;
    let found = told.lines().map(serde_json::from_str);
    let found = found.collect::<Result<Vec<Value>, _>>()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(!found.is_empty(), "{errors}");
    ensure!(!told.contains("with-a-secret") && !errors.contains("with-a-secret"));
    Ok((output.status.success(), found))
}

/// Looks at an engine with that fault, of which this is to be said; all else is to be good.
async fn says(fault: Fault, more: &'static [&'static str], expected: [&str; 3]) -> Result<()> {
    let [subject, verdict, advice] = expected;
    let endpoint = Store::start(fault).await?;
    let examined = tokio::task::spawn_blocking(move || examine(&endpoint, more)).await?;
    let (is_content, found) = examined.with_context(|| format!("{fault:?}"))?;
    let about = found.iter().find(|finding| finding["subject"] == subject);
    let about = about.with_context(|| format!("{fault:?}: {found:?}"))?;
    ensure!(about["verdict"] == verdict, "{fault:?}: {found:?}");
    let advised = about["advice"].as_str().context("advice")?;
    ensure!(
        advised.contains(advice) && advised.is_empty() == advice.is_empty(),
        "{fault:?}: {about}"
    );
    for other in found.iter().filter(|finding| finding["subject"] != subject) {
        // The catalogue is the server's to make, and no cache is needed for the store's answers.
        let expected = match other["subject"].as_str() {
            Some("catalogue" | "pictures") => "warning",
            _ => "good",
        };
        ensure!(other["verdict"] == expected, "{fault:?}: {other}");
    }
    ensure!(is_content == (verdict != "bad"), "{fault:?}: {found:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_doctor_names_what_an_engine_lacks_and_says_what_to_do() -> Result<()> {
    let cases: [(Fault, &'static [&'static str], [&str; 3]); 16] = [
        (Fault::None, &[], ["bucket", "good", ""]),
        (Fault::NoBucket, &[], ["bucket", "bad", "--set-up"]),
        (Fault::NoBucket, &["--set-up"], ["bucket", "good", ""]),
        (
            Fault::Closed,
            &[],
            ["bucket", "bad", "credentials and their rights"],
        ),
        (
            Fault::Clock,
            &[],
            ["clock", "bad", "set both clocks by the network"],
        ),
        (
            Fault::Checksums,
            &[],
            ["checksums", "bad", "large uploads are refused"],
        ),
        (Fault::Lengths, &[], ["length", "bad", "can fill the store"]),
        (
            Fault::OtherBytes,
            &[],
            ["bytes", "bad", "could be changed afterwards"],
        ),
        (
            Fault::Replaces,
            &[],
            ["only new", "warning", "take a newer engine"],
        ),
        (
            Fault::NeverExpires,
            &[],
            ["expiry", "bad", "use it for ever"],
        ),
        (Fault::Public, &[], ["privacy", "bad", "make it private"]),
        (Fault::NoCorsRule, &[], ["web page", "warning", "--set-up"]),
        (Fault::NoCorsRule, &["--set-up"], ["web page", "good", ""]),
        (
            Fault::NoCors,
            &["--set-up"],
            ["web page", "warning", "in its own settings"],
        ),
        (
            Fault::NoLifecycleRule,
            &[],
            ["leftovers", "warning", "AbortIncompleteMultipartUpload"],
        ),
        (Fault::NoLifecycle, &[], ["leftovers", "good", ""]),
    ];
    let all = cases.map(|(fault, more, expected)| says(fault, more, expected));
    for said in futures_util::future::join_all(all).await {
        said?;
    }
    // What is missing is made, once it is asked for.
    let endpoint = Store::start(Fault::NoLifecycleRule).await?;
    let examined = tokio::task::spawn_blocking(move || {
        examine(&endpoint, &["--set-up"])?;
        examine(&endpoint, &[])
    });
    let (_, found) = examined.await??;
    let leftovers = found
        .iter()
        .find(|finding| finding["subject"] == "leftovers");
    ensure!(
        leftovers.context("a finding")?["verdict"] == "good",
        "{found:?}"
    );
    Ok(())
}
