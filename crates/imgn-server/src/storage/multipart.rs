//! Multipart uploads in the store: create, sign a part, list, complete, abort. Engines differ in what they list and in
//! how they answer a repetition; what they agree on is what comes out here.
//!
//! Not here: which parts there should be, and what the catalogue knows of them.
//!
//! Invariant: a part is only ever signed with its exact length and its checksum, so the store can hold no other bytes.

use std::{collections::BTreeMap, time::Duration};

use aws_sdk_s3::{
    error::ProvideErrorMetadata,
    operation::upload_part::builders::UploadPartFluentBuilder,
    types::{
        ChecksumAlgorithm as StoreAlgorithm, ChecksumType, CompletedMultipartUpload, CompletedPart,
    },
};
use aws_smithy_types::timeout::TimeoutConfig;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use imgn_protocol::{CHECKSUM_HEADER, Checksum, ChecksumAlgorithm, SignedRequest};

use super::{Storage, StorageError, abilities::is_refusal, fault, is_missing, signing::Unsigned};
use crate::metrics::store_failed;

/// How long the store may take to put an object together. Some copy all of its bytes before they answer.
const COMPLETE_TIMEOUT: Duration = Duration::from_secs(10 * 60);

/// How often an abort is repeated while the store still lists the upload: S3 keeps a part that was in flight.
const ABORTS: u32 = 3;

/// One multipart upload of the store.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Multipart<'a> {
    pub(crate) key: &'a str,
    /// The store's own name for it.
    pub(crate) id: &'a str,
    /// What its parts are summed with.
    pub(crate) algorithm: ChecksumAlgorithm,
}

/// A part as the store has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredPart {
    pub(crate) number: u32,
    /// In bytes.
    pub(crate) size: u64,
    pub(crate) etag: String,
    /// Where the store tells it.
    pub(crate) checksum: Option<Checksum>,
}

/// How completing ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Completed {
    /// The object is there.
    Done,
    /// The store knows no such upload any more, or the object is there already: the object tells which.
    Unknown,
    /// The store does not put these parts together, and says why.
    Refused(String),
}

/// A multipart upload that the store lists as open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OpenMultipart {
    pub(crate) key: String,
    pub(crate) id: String,
    /// When it was created, by the store's clock; milliseconds since 1970.
    pub(crate) initiated: i64,
}

impl Storage {
    /// Creates a multipart upload; answers its id. Without an algorithm its parts need no checksums.
    pub(crate) async fn create_multipart(
        &self,
        key: &str,
        content_type: &str,
        algorithm: Option<ChecksumAlgorithm>,
    ) -> Result<String, StorageError> {
        const ACTION: &str = "create a multipart upload";
        let (store_algorithm, kind) = algorithm.map(store_algorithm).unzip();
        let created = self
            .client
            .create_multipart_upload()
            .bucket(&self.bucket)
            .key(key)
            .content_type(content_type)
            .set_checksum_algorithm(store_algorithm)
            .set_checksum_type(kind)
            .set_acl(self.acl.clone())
            .send()
            .await
            .map_err(|error| {
                if algorithm.is_some() && is_refusal(&error) {
                    StorageError::Unsupported {
                        action: ACTION,
                        source: Box::new(error),
                    }
                } else {
                    fault(ACTION, error)
                }
            })?;
        created
            .upload_id
            .filter(|id| !id.is_empty())
            .ok_or_else(|| strange(ACTION, "it gave it no id"))
    }

    /// Signs the one request that sends a part: exactly these bytes. Asks the store nothing.
    pub(crate) async fn sign_part(
        &self,
        multipart: Multipart<'_>,
        number: u32,
        size: u64,
        checksum: &Checksum,
    ) -> Result<SignedRequest, StorageError> {
        let sum = BASE64_STANDARD.encode(checksum.to_bytes());
        self.presigned(Unsigned {
            method: "PUT",
            key: multipart.key,
            operation: "UploadPart",
            query: vec![
                ("partNumber", number.to_string().into()),
                ("uploadId", multipart.id.into()),
            ],
            headers: vec![
                ("content-length", size.to_string()),
                (checksum_header(checksum.algorithm()), sum),
            ],
        })
        .await
    }

    /// All parts that the store has, by number; `None` when it knows no such upload. Of a part that is listed more than
    /// once, the one sent last counts.
    pub(crate) async fn parts(
        &self,
        multipart: Multipart<'_>,
    ) -> Result<Option<Vec<StoredPart>>, StorageError> {
        self.parts_by_pages(multipart, None).await
    }

    async fn parts_by_pages(
        &self,
        multipart: Multipart<'_>,
        page_size: Option<i32>,
    ) -> Result<Option<Vec<StoredPart>>, StorageError> {
        const ACTION: &str = "list the parts of an upload";
        let mut found: BTreeMap<u32, (Option<i64>, StoredPart)> = BTreeMap::new();
        let mut marker: Option<String> = None;
        loop {
            let page = self
                .client
                .list_parts()
                .bucket(&self.bucket)
                .key(multipart.key)
                .upload_id(multipart.id)
                .set_max_parts(page_size)
                .set_part_number_marker(marker.clone())
                .send()
                .await;
            let page = match page {
                Ok(page) => page,
                Err(error) if is_missing(&error) => return Ok(None),
                Err(error) => return Err(fault(ACTION, error)),
            };
            for part in page.parts() {
                let modified = part.last_modified().and_then(|time| time.to_millis().ok());
                let Some(part) = stored_part(part, multipart.algorithm) else {
                    continue;
                };
                let newer = found
                    .get(&part.number)
                    .is_none_or(|(before, _)| modified >= *before);
                if newer {
                    found.insert(part.number, (modified, part));
                }
            }
            if page.is_truncated() != Some(true) {
                return Ok(Some(found.into_values().map(|(_, part)| part).collect()));
            }
            let next = page.next_part_number_marker().map(ToOwned::to_owned);
            if next.is_none() || next == marker {
                return Err(strange(ACTION, "its pages do not go on"));
            }
            marker = next;
        }
    }

    /// Puts all parts together, in the order given.
    pub(crate) async fn complete_multipart(
        &self,
        multipart: Multipart<'_>,
        parts: &[StoredPart],
    ) -> Result<Completed, StorageError> {
        let mut only_new = true;
        loop {
            let parts: Vec<_> = parts.iter().map(completed_part).collect();
            let parts = CompletedMultipartUpload::builder()
                .set_parts(Some(parts))
                .build();
            let patient = aws_sdk_s3::Config::builder().timeout_config(
                TimeoutConfig::builder()
                    .operation_attempt_timeout(COMPLETE_TIMEOUT)
                    .build(),
            );
            // An error inside an answer with status 200 is an error to the client as well.
            let answer = self
                .client
                .complete_multipart_upload()
                .bucket(&self.bucket)
                .key(multipart.key)
                .upload_id(multipart.id)
                .multipart_upload(parts)
                .set_if_none_match(only_new.then(|| "*".to_owned()))
                .customize()
                .config_override(patient)
                .send()
                .await;
            let Err(error) = answer else {
                return Ok(Completed::Done);
            };
            let status = error
                .raw_response()
                .map(|response| response.status().as_u16());
            return match (status, error.code()) {
                // An engine without conditions; nobody else writes this key anyway.
                (Some(501), _) | (_, Some("NotImplemented")) if only_new => {
                    only_new = false;
                    continue;
                }
                (_, Some("NoSuchBucket")) => Err(fault("complete a multipart upload", error)),
                (Some(404 | 412), _) | (_, Some("NoSuchUpload" | "PreconditionFailed")) => {
                    Ok(Completed::Unknown)
                }
                (Some(400), code) | (_, code @ Some("InvalidPart")) => {
                    let code = code.unwrap_or("400");
                    let message = error.message().unwrap_or_default();
                    Ok(Completed::Refused(format!("{code}: {message}")))
                }
                _ => Err(fault("complete a multipart upload", error)),
            };
        }
    }

    /// Aborts a multipart upload until the store knows nothing of it; that it knew nothing is as good.
    pub(crate) async fn abort_multipart(&self, key: &str, id: &str) -> Result<(), StorageError> {
        const ACTION: &str = "abort a multipart upload";
        for _ in 0..ABORTS {
            let aborted = self
                .client
                .abort_multipart_upload()
                .bucket(&self.bucket)
                .key(key)
                .upload_id(id)
                .send()
                .await;
            match aborted {
                Ok(_) => {}
                Err(error) if is_missing(&error) => return Ok(()),
                Err(error) => return Err(fault(ACTION, error)),
            }
            let multipart = Multipart {
                key,
                id,
                algorithm: ChecksumAlgorithm::default(),
            };
            if self.parts(multipart).await?.is_none() {
                return Ok(());
            }
        }
        Err(strange(ACTION, "it still lists its parts"))
    }

    /// All open multipart uploads whose key begins so.
    pub(crate) async fn open_multiparts(
        &self,
        prefix: &str,
    ) -> Result<Vec<OpenMultipart>, StorageError> {
        const ACTION: &str = "list the multipart uploads";
        let mut found = Vec::new();
        let mut marker = (None, None);
        loop {
            let page = self
                .client
                .list_multipart_uploads()
                .bucket(&self.bucket)
                .prefix(prefix)
                .set_key_marker(marker.0.clone())
                .set_upload_id_marker(marker.1.clone())
                .send()
                .await
                .map_err(|error| fault(ACTION, error))?;
            for upload in page.uploads() {
                let (Some(key), Some(id)) = (upload.key(), upload.upload_id()) else {
                    continue;
                };
                // Not every engine heeds the prefix.
                let (true, Some(initiated)) = (key.starts_with(prefix), upload.initiated()) else {
                    continue;
                };
                found.push(OpenMultipart {
                    key: key.to_owned(),
                    id: id.to_owned(),
                    initiated: initiated.to_millis().unwrap_or(i64::MAX),
                });
            }
            if page.is_truncated() != Some(true) {
                return Ok(found);
            }
            let owned = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(Into::into);
            let next = (
                owned(page.next_key_marker()),
                owned(page.next_upload_id_marker()),
            );
            if next.0.is_none() || next == marker {
                return Err(strange(ACTION, "its pages do not go on"));
            }
            marker = next;
        }
    }
}

pub(super) fn store_algorithm(algorithm: ChecksumAlgorithm) -> (StoreAlgorithm, ChecksumType) {
    match algorithm {
        ChecksumAlgorithm::Sha256 => (StoreAlgorithm::Sha256, ChecksumType::Composite),
        ChecksumAlgorithm::Crc64Nvme => (StoreAlgorithm::Crc64Nvme, ChecksumType::FullObject),
        ChecksumAlgorithm::Crc32c => (StoreAlgorithm::Crc32C, ChecksumType::FullObject),
    }
}

/// The request that sends a part, with the checksum of its bytes.
pub(super) fn summed(
    request: UploadPartFluentBuilder,
    checksum: &Checksum,
) -> UploadPartFluentBuilder {
    let sum = BASE64_STANDARD.encode(checksum.to_bytes());
    match checksum.algorithm() {
        ChecksumAlgorithm::Sha256 => request.checksum_sha256(sum),
        ChecksumAlgorithm::Crc64Nvme => request.checksum_crc64_nvme(sum),
        ChecksumAlgorithm::Crc32c => request.checksum_crc32_c(sum),
    }
}

fn checksum_header(algorithm: ChecksumAlgorithm) -> &'static str {
    match algorithm {
        ChecksumAlgorithm::Sha256 => CHECKSUM_HEADER,
        ChecksumAlgorithm::Crc64Nvme => "x-amz-checksum-crc64nvme",
        ChecksumAlgorithm::Crc32c => "x-amz-checksum-crc32c",
    }
}

pub(super) fn part_number(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

pub(super) fn strange(action: &'static str, what: &'static str) -> StorageError {
    store_failed(StorageError::Unavailable {
        action,
        source: what.into(),
    })
}

/// A row of the list; `None` for one that says too little.
fn stored_part(part: &aws_sdk_s3::types::Part, algorithm: ChecksumAlgorithm) -> Option<StoredPart> {
    let sum = match algorithm {
        ChecksumAlgorithm::Sha256 => part.checksum_sha256(),
        ChecksumAlgorithm::Crc64Nvme => part.checksum_crc64_nvme(),
        ChecksumAlgorithm::Crc32c => part.checksum_crc32_c(),
    };
    Some(StoredPart {
        number: u32::try_from(part.part_number()?).ok()?,
        size: u64::try_from(part.size()?).ok()?,
        etag: part.e_tag()?.to_owned(),
        checksum: sum
            .and_then(|sum| BASE64_STANDARD.decode(sum).ok())
            .and_then(|bytes| Checksum::from_bytes(algorithm, &bytes).ok()),
    })
}

fn completed_part(part: &StoredPart) -> CompletedPart {
    let sum_in = |algorithm| {
        part.checksum
            .filter(|sum| sum.algorithm() == algorithm)
            .map(|sum| BASE64_STANDARD.encode(sum.to_bytes()))
    };
    CompletedPart::builder()
        .part_number(part_number(part.number))
        .e_tag(&part.etag)
        .set_checksum_sha256(sum_in(ChecksumAlgorithm::Sha256))
        .set_checksum_crc64_nvme(sum_in(ChecksumAlgorithm::Crc64Nvme))
        .set_checksum_crc32_c(sum_in(ChecksumAlgorithm::Crc32c))
        .build()
}

#[cfg(test)]
mod tests {
    use imgn_protocol::Sha256;
    use url::Url;

    use super::*;
    use crate::storage::Embedded;

    #[tokio::test]
    async fn all_pages_are_listed_and_aborting_leaves_none() {
        let directory = tempfile::tempdir().unwrap();
        let embedded = Embedded::open(directory.path(), 1 << 20).await.unwrap();
        let url = Url::parse("http://127.0.0.1:1/").unwrap();
        let storage = Storage::embedded(&embedded, &url, Duration::from_secs(300));
        let algorithm = ChecksumAlgorithm::Sha256;
        let mut ids = Vec::new();
        for key in ["originals/a", "originals/b", "elsewhere/c"] {
            let id = storage
                .create_multipart(key, "image/jpeg", Some(algorithm))
                .await;
            ids.push(id.unwrap());
        }
        let multipart = Multipart {
            key: "originals/a",
            id: &ids[0],
            algorithm,
        };
        for number in [7, 3, 10_000, 1, 5, 3] {
            let body = vec![b'x'; usize::try_from(number).unwrap()];
            let part = storage.client.upload_part().bucket(&storage.bucket);
            let part = part.key(multipart.key).upload_id(multipart.id);
            let sum = BASE64_STANDARD.encode(Sha256::of(&body).as_bytes());
            let part = part.part_number(number).checksum_sha256(sum);
            part.body(body.into()).send().await.unwrap();
        }
        for page_size in [1, 2, 5] {
            let parts = storage.parts_by_pages(multipart, Some(page_size)).await;
            let parts = parts.unwrap().unwrap();
            let numbers: Vec<u32> = parts.iter().map(|part| part.number).collect();
            assert_eq!(numbers, [1, 3, 5, 7, 10_000]);
            for part in parts {
                let body = vec![b'x'; usize::try_from(part.number).unwrap()];
                assert_eq!(part.size, u64::from(part.number));
                assert_eq!(part.checksum, Some(Sha256::of(&body).into()));
            }
        }

        let open = storage.open_multiparts("originals/").await.unwrap();
        let keys: Vec<&str> = open.iter().map(|open| open.key.as_str()).collect();
        assert_eq!(keys, ["originals/a", "originals/b"]);
        for _ in 0..2 {
            storage
                .abort_multipart(multipart.key, multipart.id)
                .await
                .unwrap();
            assert_eq!(storage.parts(multipart).await.unwrap(), None);
        }
        let foreign = Multipart {
            key: "originals/b",
            id: &ids[2],
            algorithm,
        };
        assert_eq!(storage.parts(foreign).await.unwrap(), None);
    }
}
