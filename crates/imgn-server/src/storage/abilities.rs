//! Which checksums of parts the store checks: asked, by sending it a wrong one, not assumed.
//!
//! The questions are put to a throw-away multipart upload under a prefix of its own, which is aborted. What a crash
//! leaves there the sweeper finds.
//!
//! Invariant: an algorithm counts as checked only after the store refused a wrong checksum of it, took a right one, and
//! listed what it took.

use std::sync::Arc;

use aws_sdk_s3::{
    error::{ProvideErrorMetadata, SdkError},
    primitives::ByteStream,
};
use aws_smithy_runtime_api::http::Response;
use imgn_protocol::{Checksum, ChecksumAlgorithm, ChecksumHasher};

use super::{
    Storage, StorageError, fault, keys,
    multipart::{Multipart, part_number, summed},
};

/// What is sent to ask.
const BODY: &[u8] = b"Is a wrong checksum refused?";

/// What the store does with the checksums of parts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Abilities {
    /// The algorithms that it checks, each with whether it tells the checksum when it lists the part.
    checks: Vec<(ChecksumAlgorithm, bool)>,
}

impl Abilities {
    /// The algorithm for a client that likes these, the best first; `None` when the store checks nothing.
    pub(crate) fn choose(&self, liked: &[ChecksumAlgorithm]) -> Option<Choice> {
        liked
            .iter()
            .chain([&ChecksumAlgorithm::Sha256])
            .find_map(|liked| self.checks.iter().find(|(checked, _)| checked == liked))
            .or(self.checks.first())
            .map(|&(algorithm, is_listed)| Choice {
                algorithm,
                is_listed,
            })
    }

    /// The algorithms that the store checks.
    pub(crate) fn algorithms(&self) -> Vec<ChecksumAlgorithm> {
        self.checks
            .iter()
            .map(|&(algorithm, _)| algorithm)
            .collect()
    }
}

/// What the parts of an upload are to be summed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) algorithm: ChecksumAlgorithm,
    /// Whether the store tells the checksum when it lists a part.
    pub(crate) is_listed: bool,
}

impl Storage {
    /// What the store can do. It is asked once; when it could not answer, again at the next need.
    pub(crate) async fn abilities(&self) -> Result<Arc<Abilities>, StorageError> {
        let known = self.abilities.get_or_try_init(|| async {
            let mut checks = Vec::new();
            for algorithm in ChecksumAlgorithm::ALL {
                if let Some(is_listed) = self.ask(algorithm).await? {
                    checks.push((algorithm, is_listed));
                }
            }
            tracing::info!("the store checks of parts: {}", in_words(&checks));
            Ok(Arc::new(Abilities { checks }))
        });
        known.await.cloned()
    }

    /// Whether the store checks this algorithm, and if so whether it lists what it checked.
    async fn ask(&self, algorithm: ChecksumAlgorithm) -> Result<Option<bool>, StorageError> {
        let key = keys::probe();
        let created = self
            .create_multipart(&key, "application/octet-stream", Some(algorithm))
            .await;
        let id = match created {
            Ok(id) => id,
            Err(StorageError::Unsupported { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let multipart = Multipart {
            key: &key,
            id: &id,
            algorithm,
        };
        let asked = self.ask_about(multipart).await;
        if let Err(error) = self.abort_multipart(&key, &id).await {
            tracing::warn!(%error, key, "a probe of the store is left for the sweeper");
        }
        asked
    }

    async fn ask_about(&self, multipart: Multipart<'_>) -> Result<Option<bool>, StorageError> {
        let right = sum(multipart.algorithm, BODY);
        let wrong = sum(multipart.algorithm, b"other bytes");
        if self.send_probe(multipart, &wrong).await? || !self.send_probe(multipart, &right).await? {
            return Ok(None);
        }
        let parts = self.parts(multipart).await?.unwrap_or_default();
        let [part] = parts.as_slice() else {
            return Ok(None);
        };
        let is_whole = part.number == 1 && part.size == BODY.len() as u64;
        Ok(match part.checksum {
            Some(listed) if is_whole && listed == right => Some(true),
            None if is_whole => Some(false),
            _ => None,
        })
    }

    /// Whether the store took the part.
    async fn send_probe(
        &self,
        multipart: Multipart<'_>,
        checksum: &Checksum,
    ) -> Result<bool, StorageError> {
        let request = self
            .client
            .upload_part()
            .bucket(&self.bucket)
            .key(multipart.key)
            .upload_id(multipart.id)
            .part_number(part_number(1))
            .body(ByteStream::from_static(BODY));
        match summed(request, checksum).send().await {
            Ok(_) => Ok(true),
            Err(error) if is_refusal(&error) => Ok(false),
            Err(error) => Err(fault("be asked what it checks", error)),
        }
    }
}

/// What is checked, as a list of names.
fn in_words(checks: &[(ChecksumAlgorithm, bool)]) -> String {
    let names = checks.iter().map(|(algorithm, is_listed)| {
        let name = match algorithm {
            ChecksumAlgorithm::Sha256 => "SHA-256",
            ChecksumAlgorithm::Crc64Nvme => "CRC-64/NVME",
            ChecksumAlgorithm::Crc32c => "CRC-32C",
        };
        match is_listed {
            true => name.to_owned(),
            false => format!("{name} (which it does not list)"),
        }
    });
    let names: Vec<_> = names.collect();
    match names.is_empty() {
        true => "nothing".to_owned(),
        false => names.join(", "),
    }
}

fn sum(algorithm: ChecksumAlgorithm, bytes: &[u8]) -> Checksum {
    let mut hasher = ChecksumHasher::new(algorithm);
    hasher.update(bytes);
    hasher.finish()
}

/// Whether the store understood and said no. That it does not know who asks, or lost the connection, is no answer.
pub(super) fn is_refusal<E: ProvideErrorMetadata>(error: &SdkError<E, Response>) -> bool {
    const NO_ANSWER: [&str; 7] = [
        "AuthorizationHeaderMalformed",
        "ExpiredToken",
        "InvalidAccessKeyId",
        "InvalidToken",
        "RequestTimeTooSkewed",
        "RequestTimeout",
        "TokenRefreshRequired",
    ];
    let status = error
        .raw_response()
        .map(|response| response.status().as_u16());
    matches!(status, Some(400 | 405 | 409 | 412 | 415 | 422 | 501))
        && error.code().is_none_or(|code| !NO_ANSWER.contains(&code))
}

#[cfg(test)]
mod tests {
    use ChecksumAlgorithm::{Crc32c, Crc64Nvme, Sha256};

    use super::*;

    #[test]
    fn the_client_s_liking_decides_among_what_the_store_checks() {
        let store = |checks: &[(ChecksumAlgorithm, bool)]| Abilities {
            checks: checks.to_vec(),
        };
        let all = store(&[(Sha256, true), (Crc64Nvme, false), (Crc32c, true)]);
        let chosen = |store: &Abilities, liked: &[ChecksumAlgorithm]| {
            store
                .choose(liked)
                .map(|choice| (choice.algorithm, choice.is_listed))
        };
        assert_eq!(chosen(&all, &[Crc64Nvme, Crc32c]), Some((Crc64Nvme, false)));
        assert_eq!(chosen(&all, &[]), Some((Sha256, true)));
        let old = store(&[(Sha256, true)]);
        assert_eq!(chosen(&old, &[Crc64Nvme, Crc32c]), Some((Sha256, true)));
        let odd = store(&[(Crc32c, false)]);
        assert_eq!(chosen(&odd, &[Crc64Nvme]), Some((Crc32c, false)));
        assert_eq!(chosen(&store(&[]), &[Sha256]), None);
    }
}
