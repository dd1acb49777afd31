//! Between the protocol crate's field-by-field types and this store's. The macros exist because every operation has
//! its own input type with fields of the same names.

use std::collections::BTreeMap;

use s3s::S3Error;
use s3s::dto::{ChecksumAlgorithm, ChecksumType, EncodingType, Error as BatchError, Metadata};

use crate::digest::{Algorithm, Coverage};
use crate::error::Error;

/// [`crate::digest::Checksums`] from the `checksum_*` fields of an input.
macro_rules! checksums {
    ($input:expr) => {
        $crate::digest::Checksums {
            crc32: $input.checksum_crc32,
            crc32c: $input.checksum_crc32c,
            crc64nvme: $input.checksum_crc64nvme,
            sha1: $input.checksum_sha1,
            sha256: $input.checksum_sha256,
        }
    };
}
pub(crate) use checksums;

/// The other way: [`crate::digest::Checksums`] into the `checksum_*` fields of an output.
macro_rules! with_checksums {
    ($output:expr, $checksums:expr) => {{
        let (mut output, checksums): (_, $crate::digest::Checksums) = ($output, $checksums);
        output.checksum_crc32 = checksums.crc32;
        output.checksum_crc32c = checksums.crc32c;
        output.checksum_crc64nvme = checksums.crc64nvme;
        output.checksum_sha1 = checksums.sha1;
        output.checksum_sha256 = checksums.sha256;
        output
    }};
}
pub(crate) use with_checksums;

/// [`crate::digest::Announced`] from an input with a body.
macro_rules! announced {
    ($input:expr) => {
        $crate::convert::announce(
            $input.content_length,
            $input.content_md5.take(),
            $input.checksum_algorithm.take(),
            $crate::convert::checksums!($input),
        )
    };
}
pub(crate) use announced;

/// [`crate::object::StoredHeaders`] from an input that makes an object.
macro_rules! stored_headers {
    ($input:expr) => {
        $crate::object::StoredHeaders {
            content_type: $input.content_type.clone(),
            content_disposition: $input.content_disposition.clone(),
            content_encoding: $crate::convert::content_encoding($input.content_encoding.clone()),
            content_language: $input.content_language.clone(),
            cache_control: $input.cache_control.clone(),
            metadata: $input
                .metadata
                .clone()
                .unwrap_or_default()
                .into_iter()
                .collect(),
        }
    };
}
pub(crate) use stored_headers;

pub(crate) fn announce(
    length: Option<i64>,
    md5: Option<String>,
    algorithm: Option<ChecksumAlgorithm>,
    checksums: crate::digest::Checksums,
) -> Result<crate::digest::Announced, Error> {
    let length = length.and_then(|length| u64::try_from(length).ok());
    Ok(crate::digest::Announced {
        md5,
        checksums,
        algorithm: algorithm
            .map(|name| Algorithm::parse(name.as_str()))
            .transpose()?,
        wanted: None,
        length: crate::digest::Length::Exactly(length.ok_or(Error::MissingContentLength)?),
    })
}

/// Without `aws-chunked`, which describes the request and not the object.
pub(crate) fn content_encoding(value: Option<String>) -> Option<String> {
    let value = value?;
    let kept: Vec<_> = value
        .split(',')
        .map(str::trim)
        .filter(|coding| !coding.is_empty() && *coding != "aws-chunked")
        .collect();
    (!kept.is_empty()).then(|| kept.join(", "))
}

pub(crate) fn metadata(stored: BTreeMap<String, String>) -> Option<Metadata> {
    (!stored.is_empty()).then(|| stored.into_iter().collect())
}

pub(crate) fn checksum_type(coverage: Coverage) -> ChecksumType {
    ChecksumType::from_static(match coverage {
        Coverage::FullObject => ChecksumType::FULL_OBJECT,
        Coverage::Composite => ChecksumType::COMPOSITE,
    })
}

/// The combination that S3 allows: CRC64NVME covers the whole object, SHA the parts, the other CRCs either.
pub(crate) fn coverage(
    algorithm: Option<Algorithm>,
    asked: Option<&ChecksumType>,
) -> Result<Option<Coverage>, Error> {
    let asked = match asked.map(ChecksumType::as_str) {
        None => None,
        Some(ChecksumType::FULL_OBJECT) => Some(Coverage::FullObject),
        Some(ChecksumType::COMPOSITE) => Some(Coverage::Composite),
        Some(other) => {
            return Err(Error::InvalidRequest {
                message: format!("the checksum type {other} is not known"),
            });
        }
    };
    let refused = |message: &str| Error::InvalidRequest {
        message: message.into(),
    };
    match (algorithm, asked) {
        (None, None) => Ok(None),
        (None, Some(_)) => Err(refused("a checksum type needs a checksum algorithm")),
        (Some(Algorithm::Crc64Nvme), Some(Coverage::Composite)) => {
            Err(refused("CRC64NVME covers the whole object only"))
        }
        (Some(Algorithm::Crc64Nvme), _) => Ok(Some(Coverage::FullObject)),
        (Some(algorithm), Some(Coverage::FullObject)) if !algorithm.is_crc() => {
            Err(refused("this algorithm covers the parts only"))
        }
        (Some(_), asked) => Ok(Some(asked.unwrap_or(Coverage::Composite))),
    }
}
pub(crate) fn algorithm_dto(algorithm: Algorithm) -> ChecksumAlgorithm {
    ChecksumAlgorithm::from_static(algorithm.as_str())
}

/// The base name of the checksum algorithm that `x-amz-checksum-algorithm` or a trailer announces.
/// Refuses a request that uses something this store does not have.
pub(crate) fn unless_default<T>(value: Option<T>, what: &'static str) -> Result<(), Error> {
    match value {
        Some(_) => Err(Error::NotImplemented { what }),
        None => Ok(()),
    }
}

/// How names stand in a listing: as they are, or percent-encoded because XML cannot hold every character.
pub(crate) fn url_encoded(encoding: Option<&EncodingType>) -> impl Fn(String) -> String + use<> {
    let encode = encoding.is_some_and(|encoding| encoding.as_str() == EncodingType::URL);
    move |name| {
        if encode { percent_encode(&name) } else { name }
    }
}

fn percent_encode(name: &str) -> String {
    use std::fmt::Write as _;
    let mut encoded = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                encoded.push(char::from(byte));
            }
            // Writing to a string cannot fail.
            _ => drop(write!(encoded, "%{byte:02X}")),
        }
    }
    encoded
}

/// One refusal in the answer to a batch.
pub(crate) fn batch_error(key: String, error: Error) -> BatchError {
    let error = S3Error::from(error);
    BatchError {
        code: Some(error.code().as_str().to_owned()),
        message: error.message().map(ToOwned::to_owned),
        key: Some(key),
        version_id: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_transfer_coding_is_not_stored() {
        let encoding = |value: &str| content_encoding(Some(value.into()));
        assert_eq!(encoding("aws-chunked"), None);
        assert_eq!(encoding("aws-chunked,gzip").as_deref(), Some("gzip"));
        assert_eq!(encoding("gzip").as_deref(), Some("gzip"));
    }

    #[test]
    fn checksum_coverage_follows_s3() {
        let full = ChecksumType::from_static(ChecksumType::FULL_OBJECT);
        let composite = ChecksumType::from_static(ChecksumType::COMPOSITE);
        assert_eq!(coverage(None, None).unwrap(), None);
        assert_eq!(
            coverage(Some(Algorithm::Sha256), None).unwrap(),
            Some(Coverage::Composite)
        );
        assert_eq!(
            coverage(Some(Algorithm::Crc64Nvme), None).unwrap(),
            Some(Coverage::FullObject)
        );
        assert!(coverage(Some(Algorithm::Sha256), Some(&full)).is_err());
        assert!(coverage(Some(Algorithm::Crc64Nvme), Some(&composite)).is_err());
        assert!(coverage(None, Some(&full)).is_err());
    }
}
