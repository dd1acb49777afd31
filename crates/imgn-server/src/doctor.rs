//! `imgn-server doctor`: whether what a server relies on is there, and what to do where it is not.
//!
//! The catalogue and the disk are asked in any case, also while a server runs; a bucket too, by doing there what clients
//! do. The embedded store is part of the server and asked nothing.
//!
//! Invariant: each finding that is not good says what to do; without `set_up` nothing is changed that stays.

mod front;

use std::path::Path;

use imgn_protocol::{ChecksumAlgorithm, ImageId, Sha256};
use serde::Serialize;

use crate::{
    Config, StorageConfig,
    catalogue::{Catalogue, CatalogueError, Look},
    error::{chain, hint},
    storage::{Bucket, Enforced, Known, Storage, StorageError},
};

/// A difference between clocks, in seconds, from which on it is told, and from which on stores refuse what is signed.
const CLOCK_OFF: u64 = 60;
const CLOCK_WRONG: u64 = 15 * 60;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As it should be.
    Good,
    /// The server does without, or others see less.
    Warning,
    /// Uploads fail, or what is promised of them does not hold.
    Bad,
}

/// One thing that was looked at.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// What it is about, in a word or two.
    pub subject: &'static str,
    /// How bad it is.
    pub verdict: Verdict,
    /// What was found.
    pub message: String,
    /// What to do; empty where nothing is.
    pub advice: String,
}

fn finding(
    subject: &'static str,
    verdict: Verdict,
    message: impl Into<String>,
    advice: impl Into<String>,
) -> Finding {
    Finding {
        subject,
        verdict,
        message: message.into(),
        advice: advice.into(),
    }
}

/// Looks at everything. With `set_up`, what is missing of the bucket, its CORS rule and its lifecycle rule is made.
pub async fn examine(config: &Config, set_up: bool) -> Vec<Finding> {
    let (found, newest) = catalogue(config).await;
    let mut findings = vec![found];
    match &config.storage {
        StorageConfig::Embedded => findings.push(disk(config)),
        StorageConfig::S3(s3) => {
            findings.extend(unwritable(config));
            let storage = Storage::s3(s3, config.url_ttl).await;
            bucket(config, &storage, set_up, &mut findings).await;
        }
    }
    findings.extend(address(config));
    match (&config.pictures_url, &config.storage) {
        (Some(url), _) => findings.push(front::pictures(config, url, newest).await),
        (None, StorageConfig::S3(_)) => findings.push(front::nothing()),
        (None, StorageConfig::Embedded) => {}
    }
    findings
}

/// The catalogue, and its newest picture.
async fn catalogue(config: &Config) -> (Finding, Option<(ImageId, Sha256)>) {
    const SUBJECT: &str = "catalogue";
    if let Err(error) = config.check() {
        let found = finding(SUBJECT, Verdict::Bad, chain(&error), "correct the settings");
        return (found, None);
    }
    let database = config.database();
    let found = match Catalogue::look(&database).await {
        Ok(Look::There { pictures, newest }) => {
            let noun = if pictures == 1 { "picture" } else { "pictures" };
            let message = format!("{database} answers, and has {pictures} {noun}");
            return (finding(SUBJECT, Verdict::Good, message, ""), newest);
        }
        Ok(Look::Missing) => finding(
            SUBJECT,
            Verdict::Warning,
            format!("there is none at {database} yet"),
            "the server makes it when it starts; if there should be one, check --data-dir and --database",
        ),
        Ok(Look::Older) => finding(
            SUBJECT,
            Verdict::Warning,
            format!("{database} is of an earlier version"),
            "the server brings it to this one when it starts, and there is no way back: make a backup before",
        ),
        Err(CatalogueError::Refused { what, advice, .. }) => {
            finding(SUBJECT, Verdict::Bad, what, advice)
        }
        Err(error @ CatalogueError::Newer { .. }) => finding(
            SUBJECT,
            Verdict::Bad,
            chain(&error),
            "there is no way back to this version",
        ),
        Err(error) => finding(
            SUBJECT,
            Verdict::Bad,
            chain(&error),
            "check the data directory, or the database's address, name and password",
        ),
    };
    (found, None)
}

fn disk(config: &Config) -> Finding {
    const SUBJECT: &str = "disk";
    if let Some(found) = unwritable(config) {
        return found;
    }
    let place = config.data_dir.display();
    match free_bytes(there(config)) {
        Ok(free) if free < config.max_size.saturating_mul(4) => finding(
            SUBJECT,
            Verdict::Bad,
            format!("{} MiB are free in {place}", free >> 20),
            "make room: uploads are refused when the disk is full",
        ),
        Ok(free) => finding(
            SUBJECT,
            Verdict::Good,
            format!("{} GiB are free in {place}", free >> 30),
            "",
        ),
        Err(error) => finding(
            SUBJECT,
            Verdict::Bad,
            format!("{place} cannot be looked at ({error})"),
            "check that it is there and this user's",
        ),
    }
}

/// The data directory, or before its first start where it will be made.
fn there(config: &Config) -> &Path {
    let there = config.data_dir.ancestors().find(|path| path.exists());
    there.unwrap_or(Path::new("."))
}

/// That the server cannot write where it keeps what it keeps, if so. Its lock is there in any case.
fn unwritable(config: &Config) -> Option<Finding> {
    let there = there(config);
    let error = may_write(there).err()?;
    let message = format!("{} cannot be written ({error})", there.display());
    let advice = match hint(&error).strip_prefix("; ") {
        Some(advice) => format!("{advice} with --data-dir (IMGN_DATA_DIR)"),
        None => "check --data-dir (IMGN_DATA_DIR)".to_owned(),
    };
    Some(finding("disk", Verdict::Bad, message, advice))
}

#[cfg(unix)]
fn may_write(path: &Path) -> std::io::Result<()> {
    Ok(rustix::fs::access(path, rustix::fs::Access::WRITE_OK)?)
}

#[cfg(not(unix))]
fn may_write(_: &Path) -> std::io::Result<()> {
    Ok(())
}

#[cfg(unix)]
fn free_bytes(path: &Path) -> std::io::Result<u64> {
    let told = rustix::fs::statvfs(path)?;
    Ok(told.f_bavail.saturating_mul(told.f_frsize))
}

#[cfg(not(unix))]
fn free_bytes(_: &Path) -> std::io::Result<u64> {
    Err(std::io::ErrorKind::Unsupported.into())
}

/// What others are told of where the server is.
fn address(config: &Config) -> Option<Finding> {
    const SUBJECT: &str = "address";
    let Some(url) = &config.public_url else {
        return Some(finding(
            SUBJECT,
            Verdict::Warning,
            "links and the embedded store's URLs name the address that is listened on",
            "where others reach the server by another one, name it with --public-url",
        ));
    };
    let is_here = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    (url.scheme() == "http" && !is_here).then(|| {
        finding(
            SUBJECT,
            Verdict::Warning,
            format!("{url} is plain HTTP"),
            "have a proxy with a certificate in front of it: tokens and URLs can be read on the way",
        )
    })
}

async fn bucket(config: &Config, storage: &Storage, set_up: bool, findings: &mut Vec<Finding>) {
    const SUBJECT: &str = "bucket";
    let name = storage.bucket().to_owned();
    let found = storage.examine_bucket().await;
    let (there, ahead) = match found {
        Ok(found) => found,
        Err(error) => {
            findings.push(unanswered(SUBJECT, &error));
            return;
        }
    };
    if there == Bucket::Missing {
        let made = match set_up {
            true => storage.create_bucket().await.map(|()| true),
            false => Ok(false),
        };
        match made {
            Ok(true) => findings.push(finding(
                SUBJECT,
                Verdict::Good,
                format!("{name} was made"),
                "",
            )),
            Ok(false) => {
                findings.push(finding(
                    SUBJECT,
                    Verdict::Bad,
                    format!("there is no bucket {name}"),
                    "make it, or have it made with --set-up",
                ));
                return;
            }
            Err(error) => {
                findings.push(unanswered(SUBJECT, &error));
                return;
            }
        }
    } else {
        let message = format!("{name} answers");
        findings.push(finding(SUBJECT, Verdict::Good, message, ""));
    }
    findings.push(clock(ahead));
    match storage.abilities().await {
        Ok(abilities) => findings.push(checksums(&abilities.algorithms())),
        Err(error) => findings.push(unanswered("checksums", &error)),
    }
    match storage.examine_signatures().await {
        Ok(enforced) => findings.extend(signatures(enforced)),
        Err(error) => findings.push(unanswered("signatures", &error)),
    }
    findings.push(cors(config, storage, set_up).await);
    findings.push(lifecycle(storage, set_up).await);
}

fn clock(ahead: Option<i64>) -> Finding {
    const SUBJECT: &str = "clock";
    let Some(ahead) = ahead else {
        let message = "the store does not tell its time";
        return finding(
            SUBJECT,
            Verdict::Warning,
            message,
            "compare the clocks yourself",
        );
    };
    let by = ahead.unsigned_abs();
    let way = if ahead > 0 { "ahead of" } else { "behind" };
    let advice = "set both clocks by the network: URLs begin and end at the wrong time";
    match by {
        0..CLOCK_OFF => finding(
            SUBJECT,
            Verdict::Good,
            format!("the store's is this computer's, within {by} s"),
            "",
        ),
        CLOCK_OFF..CLOCK_WRONG => finding(
            SUBJECT,
            Verdict::Warning,
            format!("the store's is {by} s {way} this computer's"),
            advice,
        ),
        _ => finding(
            SUBJECT,
            Verdict::Bad,
            format!("the store's is {by} s {way} this computer's"),
            advice,
        ),
    }
}

fn checksums(algorithms: &[ChecksumAlgorithm]) -> Finding {
    const SUBJECT: &str = "checksums";
    if algorithms.is_empty() {
        let message = "it checks no checksum of a part";
        let advice = "large uploads are refused; take an engine, or a newer one, that does";
        return finding(SUBJECT, Verdict::Bad, message, advice);
    }
    let name = |algorithm: &ChecksumAlgorithm| match algorithm {
        ChecksumAlgorithm::Sha256 => "SHA-256",
        ChecksumAlgorithm::Crc64Nvme => "CRC-64/NVME",
        ChecksumAlgorithm::Crc32c => "CRC-32C",
    };
    let names: Vec<_> = algorithms.iter().map(name).collect();
    let message = format!("it checks of parts: {}", names.join(", "));
    finding(SUBJECT, Verdict::Good, message, "")
}

fn signatures(enforced: Enforced) -> [Finding; 5] {
    let one = |subject, holds, yes: &str, no: &str, verdict, advice: &str| match holds {
        true => finding(subject, Verdict::Good, yes, ""),
        false => finding(subject, verdict, no, advice),
    };
    let Enforced {
        length,
        bytes,
        only_new,
        expiry,
        privacy,
    } = enforced;
    [
        one(
            "length",
            length,
            "what is longer or shorter than was signed is refused",
            "it takes bodies of another length than was signed",
            Verdict::Bad,
            "whoever has a URL can fill the store; take an engine that checks what is signed",
        ),
        one(
            "bytes",
            bytes,
            "other bytes than those whose SHA-256 was signed are refused",
            "it takes other bytes than those whose SHA-256 was signed",
            Verdict::Bad,
            "what is verified could be changed afterwards; take an engine that checks what is signed",
        ),
        one(
            "only new",
            only_new,
            "what is there is not replaced (If-None-Match)",
            "it replaces what is there although If-None-Match is signed",
            Verdict::Warning,
            "only the signed checksum keeps a picture from being replaced; take a newer engine",
        ),
        one(
            "expiry",
            expiry,
            "a URL that has expired is refused",
            "it takes URLs that have expired",
            Verdict::Bad,
            "whoever saw a URL can use it for ever; check the engine's clock and version",
        ),
        one(
            "privacy",
            privacy,
            "nothing is read without a signature",
            "everybody can read the bucket",
            Verdict::Bad,
            "make it private: also what was refused or deleted can be read as long as it is there",
        ),
    ]
}

async fn cors(config: &Config, storage: &Storage, set_up: bool) -> Finding {
    const SUBJECT: &str = "web page";
    let Some(url) = &config.public_url else {
        let message = "whether pages may send to the store was not asked";
        let advice = "name the page's address with --public-url";
        return finding(SUBJECT, Verdict::Warning, message, advice);
    };
    let origin = url.origin().ascii_serialization();
    let allowed = format!("pages of {origin} may send to the store");
    let first = storage.examine_cors(&origin).await;
    let made = match first {
        Ok(Known::No) if set_up => match storage.allow_origin(&origin).await {
            // Engines that answer preflights by themselves are asked once more.
            Ok(Known::Yes) => storage.examine_cors(&origin).await,
            other => other,
        },
        other => other,
    };
    match made {
        Ok(Known::Yes) => finding(SUBJECT, Verdict::Good, allowed, ""),
        Ok(Known::No) => finding(
            SUBJECT,
            Verdict::Warning,
            format!("pages of {origin} may not send to the store (CORS)"),
            match set_up {
                true => "it takes some seconds with some engines: look again",
                false => {
                    "allow it, or have it allowed with --set-up; apps and command lines do without"
                }
            },
        ),
        Ok(Known::Unsupported) => finding(
            SUBJECT,
            Verdict::Warning,
            "the engine has no CORS rules for a bucket",
            format!(
                "allow PUT and POST from {origin} in its own settings; apps and command lines do without"
            ),
        ),
        Err(error) => unanswered(SUBJECT, &error),
    }
}

async fn lifecycle(storage: &Storage, set_up: bool) -> Finding {
    const SUBJECT: &str = "leftovers";
    let first = storage.examine_lifecycle().await;
    let made = match first {
        Ok(Known::No) if set_up => storage.abort_by_lifecycle().await,
        other => other,
    };
    match made {
        Ok(Known::Yes) => finding(
            SUBJECT,
            Verdict::Good,
            "uploads in parts that are given up end by a rule of the bucket too",
            "",
        ),
        Ok(Known::No) => finding(
            SUBJECT,
            Verdict::Warning,
            "only the server ends uploads in parts that were given up",
            "add a rule AbortIncompleteMultipartUpload, or have it added with --set-up",
        ),
        Ok(Known::Unsupported) => finding(
            SUBJECT,
            Verdict::Good,
            "the engine has no lifecycle rules; the server ends what was given up after a day",
            "",
        ),
        Err(error) => unanswered(SUBJECT, &error),
    }
}

fn unanswered(subject: &'static str, error: &StorageError) -> Finding {
    let advice = match error.reason() {
        Some(reason) => reason.advice(),
        None => "check address, region, credentials and their rights, and whether the engine runs",
    };
    finding(subject, Verdict::Bad, chain(error), advice)
}
