//! Checksums: computed once while the bytes pass, compared with what the client announced, kept in the footer.
//!
//! Invariant: a checksum is stored only when this store computed it from the bytes on its own disk.

use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use s3s::checksum::ChecksumHasher;
use s3s::crypto::{Checksum as _, Crc32, Crc32c, Crc64Nvme, Md5, Sha1, Sha256};
use serde::{Deserialize, Serialize};

use crate::error::Error;

/// A checksum that S3 knows beside MD5.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Algorithm {
    Crc32,
    Crc32c,
    Crc64Nvme,
    Sha1,
    Sha256,
}

impl Algorithm {
    pub(crate) const ALL: [Self; 5] = [
        Self::Crc32,
        Self::Crc32c,
        Self::Crc64Nvme,
        Self::Sha1,
        Self::Sha256,
    ];

    /// The name used in S3's requests and answers.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Crc32 => "CRC32",
            Self::Crc32c => "CRC32C",
            Self::Crc64Nvme => "CRC64NVME",
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
        }
    }

    /// The name of the header or trailer that carries it.
    pub(crate) fn header(self) -> &'static str {
        match self {
            Self::Crc32 => "x-amz-checksum-crc32",
            Self::Crc32c => "x-amz-checksum-crc32c",
            Self::Crc64Nvme => "x-amz-checksum-crc64nvme",
            Self::Sha1 => "x-amz-checksum-sha1",
            Self::Sha256 => "x-amz-checksum-sha256",
        }
    }

    pub(crate) fn parse(name: &str) -> Result<Self, Error> {
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.as_str().eq_ignore_ascii_case(name))
            .ok_or_else(|| Error::InvalidRequest {
                message: format!("the checksum algorithm {name} is not known"),
            })
    }

    /// True where checksums of parts can be had over the whole object too.
    pub(crate) fn is_crc(self) -> bool {
        matches!(self, Self::Crc32 | Self::Crc32c | Self::Crc64Nvme)
    }

    fn len(self) -> usize {
        match self {
            Self::Crc32 | Self::Crc32c => 4,
            Self::Crc64Nvme => 8,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }
}

/// Whether a multipart object's checksum is over its bytes or over its parts' checksums.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum Coverage {
    FullObject,
    Composite,
}

/// Base64 checksums, one field an algorithm, as S3 spells them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Checksums {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) crc32: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) crc32c: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) crc64nvme: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) sha1: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) sha256: Option<String>,
}

impl Checksums {
    pub(crate) fn get(&self, algorithm: Algorithm) -> Option<&str> {
        match algorithm {
            Algorithm::Crc32 => self.crc32.as_deref(),
            Algorithm::Crc32c => self.crc32c.as_deref(),
            Algorithm::Crc64Nvme => self.crc64nvme.as_deref(),
            Algorithm::Sha1 => self.sha1.as_deref(),
            Algorithm::Sha256 => self.sha256.as_deref(),
        }
    }

    pub(crate) fn set(&mut self, algorithm: Algorithm, value: String) {
        let slot = match algorithm {
            Algorithm::Crc32 => &mut self.crc32,
            Algorithm::Crc32c => &mut self.crc32c,
            Algorithm::Crc64Nvme => &mut self.crc64nvme,
            Algorithm::Sha1 => &mut self.sha1,
            Algorithm::Sha256 => &mut self.sha256,
        };
        *slot = Some(value);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Algorithm, &str)> {
        Algorithm::ALL
            .into_iter()
            .filter_map(|algorithm| Some((algorithm, self.get(algorithm)?)))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }
}

/// What the client says about a body before, or in trailers after, sending it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Announced {
    /// Base64, from `Content-MD5`.
    pub(crate) md5: Option<String>,
    /// From `x-amz-checksum-*` headers or trailers.
    pub(crate) checksums: Checksums,
    /// The algorithm whose value follows as a trailer, or that the client wants computed.
    pub(crate) algorithm: Option<Algorithm>,
    /// The length of the body in bytes.
    pub(crate) length: u64,
}

impl Announced {
    /// Refuses values that cannot be checksums at all, before a byte is read.
    pub(crate) fn validate(&self) -> Result<(), Error> {
        if let Some(md5) = &self.md5
            && BASE64_STANDARD.decode(md5).map_or(0, |bytes| bytes.len()) != 16
        {
            return Err(Error::InvalidDigest);
        }
        for (algorithm, value) in self.checksums.iter() {
            if BASE64_STANDARD.decode(value).map_or(0, |bytes| bytes.len()) != algorithm.len() {
                return Err(Error::InvalidRequest {
                    message: format!("the value of {} is not valid", algorithm.header()),
                });
            }
        }
        Ok(())
    }

    /// Hashes for everything announced.
    pub(crate) fn digester(&self) -> Digester {
        Digester::new(
            self.checksums
                .iter()
                .map(|(algorithm, _)| algorithm)
                .chain(self.algorithm),
        )
    }

    /// Compares the announcement with what arrived.
    pub(crate) fn check(&self, summary: &Summary) -> Result<(), Error> {
        if summary.size != self.length {
            return Err(Error::IncompleteBody {
                announced: self.length,
            });
        }
        if let Some(md5) = &self.md5
            && summary
                .md5
                .map(|computed| BASE64_STANDARD.encode(computed))
                .as_ref()
                != Some(md5)
        {
            return Err(Error::BadDigest {
                algorithm: "Content-MD5",
            });
        }
        for (algorithm, value) in self.checksums.iter() {
            if summary.checksums.get(algorithm) != Some(value) {
                return Err(Error::BadDigest {
                    algorithm: algorithm.header(),
                });
            }
        }
        Ok(())
    }
}

/// Hashes bytes as they pass.
#[derive(Default)]
pub(crate) struct Digester {
    size: u64,
    md5: Option<Md5>,
    checksums: ChecksumHasher,
}

/// What a [`Digester`] saw.
#[derive(Debug)]
pub(crate) struct Summary {
    pub(crate) size: u64,
    /// Absent where nobody asked for it, see [`Digester::without_md5`].
    pub(crate) md5: Option<[u8; 16]>,
    pub(crate) checksums: Checksums,
}

impl Summary {
    /// The entity tag of an object or part that came in one piece: its MD5.
    pub(crate) fn etag(&self) -> String {
        self.md5.map(hex::encode).unwrap_or_default()
    }
}

impl Digester {
    /// MD5 (for the entity tag) and the given algorithms.
    pub(crate) fn new(algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        Self {
            md5: Some(Md5::new()),
            ..Self::without_md5(algorithms)
        }
    }

    /// The given algorithms only: for bytes whose entity tag is known already.
    pub(crate) fn without_md5(algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        let mut checksums = ChecksumHasher::default();
        for algorithm in algorithms {
            match algorithm {
                Algorithm::Crc32 => checksums.crc32 = Some(Crc32::new()),
                Algorithm::Crc32c => checksums.crc32c = Some(Crc32c::new()),
                Algorithm::Crc64Nvme => checksums.crc64nvme = Some(Crc64Nvme::new()),
                Algorithm::Sha1 => checksums.sha1 = Some(Sha1::new()),
                Algorithm::Sha256 => checksums.sha256 = Some(Sha256::new()),
            }
        }
        Self {
            checksums,
            ..Self::default()
        }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.size += bytes.len() as u64;
        if let Some(md5) = &mut self.md5 {
            md5.update(bytes);
        }
        self.checksums.update(bytes);
    }

    pub(crate) fn finish(self) -> Summary {
        let checksums = self.checksums.finalize();
        Summary {
            size: self.size,
            md5: self.md5.map(Md5::finalize),
            checksums: Checksums {
                crc32: checksums.checksum_crc32,
                crc32c: checksums.checksum_crc32c,
                crc64nvme: checksums.checksum_crc64nvme,
                sha1: checksums.checksum_sha1,
                sha256: checksums.checksum_sha256,
            },
        }
    }
}

impl fmt::Debug for Digester {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Digester")
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

/// The entity tag of a multipart object: the MD5 of its parts' MD5s, and their number.
///
/// `None` when a tag is not the MD5 of a part.
pub(crate) fn multipart_etag<'a>(
    part_etags: impl ExactSizeIterator<Item = &'a str>,
) -> Option<String> {
    let count = part_etags.len();
    let mut md5 = Md5::new();
    for etag in part_etags {
        md5.update(&hex::decode(etag).ok()?);
    }
    Some(format!("{}-{count}", hex::encode(md5.finalize())))
}

/// The checksum over the parts' checksums, and their number. `None` when a value is not base64.
pub(crate) fn composite<'a>(
    algorithm: Algorithm,
    values: impl ExactSizeIterator<Item = &'a str>,
) -> Option<String> {
    let count = values.len();
    let mut digester = Digester::new([algorithm]);
    for value in values {
        digester.update(&BASE64_STANDARD.decode(value).ok()?);
    }
    let checksums = digester.finish().checksums;
    Some(format!("{}-{count}", checksums.get(algorithm)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        let mut digester = Digester::new(Algorithm::ALL);
        digester.update(b"hello ");
        digester.update(b"world");
        let summary = digester.finish();
        assert_eq!(summary.etag(), "5eb63bbbe01eeed093cb22bb8f5acdc3");
        assert_eq!(summary.checksums.crc32.as_deref(), Some("DUoRhQ=="));
        assert_eq!(summary.checksums.crc32c.as_deref(), Some("yZRlqg=="));
        assert_eq!(
            summary.checksums.sha256.as_deref(),
            Some("uU0nuZNNPgilLlLX2n2r+sSE7+N6U4DukIj3rOLvzek=")
        );
    }

    #[test]
    fn impossible_values_are_refused_before_reading() {
        let mut announced = Announced {
            md5: Some("bm90IGFuIG1kNQ==".into()),
            ..Announced::default()
        };
        assert!(matches!(announced.validate(), Err(Error::InvalidDigest)));
        announced.md5 = None;
        announced.checksums.sha256 = Some("AAAA".into());
        assert!(matches!(
            announced.validate(),
            Err(Error::InvalidRequest { .. })
        ));
    }
}
