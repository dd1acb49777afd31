//! Checksums: computed once while the bytes pass, compared with what the client announced, kept in the footer.
//!
//! An entity tag is the MD5 of the bytes, as clients of S3 expect, unless they announced a checksum that tells two bodies
//! apart as well: MD5 is the slowest of all and would be most of the work. Then the tag is made from that checksum and
//! ends with its name, so that nobody takes it for an MD5 (S3's own tags are no MD5 either for objects that are encrypted
//! with a customer's key). For a whole object that is SHA-256. For a part it may be CRC-64/NVME too, for it only has to
//! tell apart what one client sent under one number.
//!
//! Invariant: a checksum is stored only when this store computed it from the bytes that it wrote.

use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use crc_fast::CrcAlgorithm;
use s3s::checksum::ChecksumHasher;
use s3s::crypto::{Checksum as _, Crc32, Crc32c, Crc64Nvme, Md5, Sha1, Sha256};
use serde::{Deserialize, Serialize};

use crate::error::Error;

/// The length of an MD5, in bytes.
const TAG_BYTES: usize = 16;

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
    /// What the multipart upload wants of each of its parts, whatever else comes with them.
    pub(crate) wanted: Option<Algorithm>,
    /// How long the body is.
    pub(crate) length: Length,
}

/// How long a body is to be, in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Length {
    /// So long.
    Exactly(u64),
    /// A form does not tell how long its file is; its policy tells how long that may be.
    Within { least: u64, most: u64 },
}

impl Default for Length {
    fn default() -> Self {
        Self::Exactly(0)
    }
}

impl Length {
    /// The most bytes that may come.
    pub(crate) fn most(self) -> u64 {
        match self {
            Self::Exactly(length) => length,
            Self::Within { most, .. } => most,
        }
    }

    /// The same under one more bound, in bytes; refused where it is announced to be longer.
    pub(crate) fn at_most(self, maximum: u64) -> Result<Self, Error> {
        match self {
            Self::Exactly(size) if size > maximum => Err(Error::EntityTooLarge { size, maximum }),
            Self::Exactly(_) => Ok(self),
            Self::Within { least, most } => Ok(Self::Within {
                least,
                most: most.min(maximum),
            }),
        }
    }

    /// Refuses a body that ended, or was left, after so many bytes.
    pub(crate) fn check(self, size: u64) -> Result<(), Error> {
        match self {
            Self::Exactly(announced) if size != announced => {
                Err(Error::IncompleteBody { announced })
            }
            Self::Within { most, .. } if size > most => Err(Error::EntityTooLarge {
                size,
                maximum: most,
            }),
            Self::Within { least, .. } if size < least => Err(Error::InvalidRequest {
                message: format!("the file has {size} bytes; the policy wants at least {least}"),
            }),
            Self::Exactly(_) | Self::Within { .. } => Ok(()),
        }
    }
}

/// Whose entity tag it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tagged {
    Object,
    Part,
}

impl Tagged {
    /// The algorithms that spare the MD5.
    fn instead_of_md5(self) -> &'static [Algorithm] {
        match self {
            Self::Object => &[Algorithm::Sha256],
            Self::Part => &[Algorithm::Sha256, Algorithm::Crc64Nvme],
        }
    }
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

    /// Hashes for everything announced, and for the entity tag.
    pub(crate) fn digester(&self, tagged: Tagged) -> Digester {
        let algorithms = || {
            let announced = self.checksums.iter().map(|(algorithm, _)| algorithm);
            announced.chain(self.algorithm).chain(self.wanted)
        };
        let tag = match self.md5 {
            Some(_) => None,
            None => algorithms().find(|algorithm| tagged.instead_of_md5().contains(algorithm)),
        };
        Digester::new(algorithms(), tag)
    }

    /// Compares the announcement with what arrived.
    pub(crate) fn check(&self, summary: &Summary) -> Result<(), Error> {
        self.length.check(summary.size)?;
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
    /// Absent where the entity tag is made from another checksum.
    md5: Option<Md5>,
    tag: Option<Algorithm>,
    checksums: ChecksumHasher,
}

/// What a [`Digester`] saw.
#[derive(Debug)]
pub(crate) struct Summary {
    pub(crate) size: u64,
    md5: Option<[u8; 16]>,
    /// Of an object or a part that came in one piece.
    pub(crate) etag: String,
    pub(crate) checksums: Checksums,
}

impl Digester {
    /// The given algorithms, and the one that the entity tag is made from: one of them, or MD5.
    pub(crate) fn new(
        algorithms: impl IntoIterator<Item = Algorithm>,
        tag: Option<Algorithm>,
    ) -> Self {
        let mut checksums = ChecksumHasher::default();
        for algorithm in algorithms.into_iter().chain(tag) {
            match algorithm {
                Algorithm::Crc32 => checksums.crc32 = Some(Crc32::new()),
                Algorithm::Crc32c => checksums.crc32c = Some(Crc32c::new()),
                Algorithm::Crc64Nvme => checksums.crc64nvme = Some(Crc64Nvme::new()),
                Algorithm::Sha1 => checksums.sha1 = Some(Sha1::new()),
                Algorithm::Sha256 => checksums.sha256 = Some(Sha256::new()),
            }
        }
        Self {
            size: 0,
            md5: tag.is_none().then(Md5::new),
            tag,
            checksums,
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
        let checksums = Checksums {
            crc32: checksums.checksum_crc32,
            crc32c: checksums.checksum_crc32c,
            crc64nvme: checksums.checksum_crc64nvme,
            sha1: checksums.checksum_sha1,
            sha256: checksums.checksum_sha256,
        };
        let md5 = self.md5.map(Md5::finalize);
        let value = self.tag.and_then(|algorithm| {
            let digest = BASE64_STANDARD.decode(checksums.get(algorithm)?).ok()?;
            Some(tag_of(algorithm, &digest, self.size))
        });
        Summary {
            size: self.size,
            md5,
            etag: value.or(md5.map(hex::encode)).unwrap_or_default(),
            checksums,
        }
    }
}

/// As long as an MD5 and with the algorithm's name: a short checksum is filled up with the length of the bytes.
fn tag_of(algorithm: Algorithm, digest: &[u8], size: u64) -> String {
    let mut bytes = [digest, &size.to_be_bytes()].concat();
    bytes.truncate(TAG_BYTES);
    let name = algorithm.as_str().to_ascii_lowercase();
    format!("{}-{name}", hex::encode(bytes))
}

impl fmt::Debug for Digester {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Digester")
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

/// The entity tag of a multipart object: the MD5 of what its parts' tags are made from, and their number.
///
/// `None` when a tag is none of this store's.
pub(crate) fn multipart_etag<'a>(
    part_etags: impl ExactSizeIterator<Item = &'a str>,
) -> Option<String> {
    let count = part_etags.len();
    let mut md5 = Md5::new();
    for etag in part_etags {
        let digits = etag.split('-').next().unwrap_or_default();
        md5.update(&hex::decode(digits).ok()?);
    }
    Some(format!("{}-{count}", hex::encode(md5.finalize())))
}

/// The checksum over the parts' checksums, and their number. `None` when a value is not base64.
pub(crate) fn composite<'a>(
    algorithm: Algorithm,
    values: impl ExactSizeIterator<Item = &'a str>,
) -> Option<String> {
    let count = values.len();
    let mut digester = Digester::new([algorithm], Some(algorithm));
    for value in values {
        digester.update(&BASE64_STANDARD.decode(value).ok()?);
    }
    let checksums = digester.finish().checksums;
    Some(format!("{}-{count}", checksums.get(algorithm)?))
}

/// The checksum of the parts' bytes one after another, from each part's checksum and length in bytes. `None` when a value
/// is missing or none of the algorithm's, or the algorithm cannot do this.
pub(crate) fn concatenated<'a>(
    algorithm: Algorithm,
    parts: impl IntoIterator<Item = (Option<&'a str>, u64)>,
) -> Option<String> {
    let crc = match algorithm {
        Algorithm::Crc32 => CrcAlgorithm::Crc32IsoHdlc,
        Algorithm::Crc32c => CrcAlgorithm::Crc32Iscsi,
        Algorithm::Crc64Nvme => CrcAlgorithm::Crc64Nvme,
        Algorithm::Sha1 | Algorithm::Sha256 => return None,
    };
    let mut whole = None;
    for (value, length) in parts {
        let bytes = BASE64_STANDARD.decode(value?).ok()?;
        let mut wide = [0; 8];
        wide.get_mut(8_usize.checked_sub(algorithm.len())?..)
            .filter(|slot| slot.len() == bytes.len())?
            .copy_from_slice(&bytes);
        let part = u64::from_be_bytes(wide);
        whole = Some(whole.map_or(part, |whole| {
            crc_fast::checksum_combine(crc, whole, part, length)
        }));
    }
    let bytes = whole?.to_be_bytes();
    Some(BASE64_STANDARD.encode(&bytes[8 - algorithm.len()..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(digester: Digester, pieces: &[&[u8]]) -> Summary {
        let mut digester = digester;
        pieces.iter().for_each(|piece| digester.update(piece));
        digester.finish()
    }

    #[test]
    fn known_answers() {
        let digester = Digester::new(Algorithm::ALL, None);
        let summary = summary(digester, &[b"hello ", b"world"]);
        assert_eq!(summary.etag, "5eb63bbbe01eeed093cb22bb8f5acdc3");
        assert_eq!(summary.checksums.crc32.as_deref(), Some("DUoRhQ=="));
        assert_eq!(summary.checksums.crc32c.as_deref(), Some("yZRlqg=="));
        assert_eq!(
            summary.checksums.sha256.as_deref(),
            Some("uU0nuZNNPgilLlLX2n2r+sSE7+N6U4DukIj3rOLvzek=")
        );
    }

    #[test]
    fn a_tag_looks_like_an_md5_only_where_it_is_one() {
        let tag = |announced: &Announced, tagged| {
            summary(announced.digester(tagged), &[b"hello world"]).etag
        };
        let mut announced = Announced::default();
        let md5 = "5eb63bbbe01eeed093cb22bb8f5acdc3";
        for algorithm in [None, Some(Algorithm::Crc32), Some(Algorithm::Sha1)] {
            announced.algorithm = algorithm;
            assert_eq!(tag(&announced, Tagged::Object), md5);
            assert_eq!(tag(&announced, Tagged::Part), md5);
        }
        announced.algorithm = Some(Algorithm::Crc64Nvme);
        assert_eq!(tag(&announced, Tagged::Object), md5);
        let part = tag(&announced, Tagged::Part);
        assert!(part.ends_with("000000000000000b-crc64nvme"), "{part}");
        announced.algorithm = Some(Algorithm::Sha256);
        let sha256 = "b94d27b9934d3e08a52e52d7da7dabfa-sha256";
        assert_eq!(tag(&announced, Tagged::Object), sha256);
        announced.md5 = Some("whoever announces an MD5 wants to see it".into());
        assert_eq!(tag(&announced, Tagged::Object), md5);
        let whole = multipart_etag([md5, sha256].into_iter());
        assert!(whole.is_some_and(|whole| whole.len() == 34 && whole.ends_with("-2")));
    }

    #[test]
    fn checksums_of_parts_make_the_checksum_of_the_whole() {
        let pieces: [&[u8]; 4] = [b"hello ", b"", b"w", b"orld"];
        for algorithm in [Algorithm::Crc32, Algorithm::Crc32c, Algorithm::Crc64Nvme] {
            let digester = || Digester::new([algorithm], None);
            let whole = summary(digester(), &pieces).checksums;
            let parts = pieces.map(|piece| summary(digester(), &[piece]).checksums);
            let named = parts.iter().zip(pieces);
            let joined = concatenated(
                algorithm,
                named.map(|(part, piece)| (part.get(algorithm), piece.len() as u64)),
            );
            assert_eq!(joined.as_deref(), whole.get(algorithm), "{algorithm:?}");
        }
        assert_eq!(concatenated(Algorithm::Crc32, [(None, 1)]), None);
        assert_eq!(concatenated(Algorithm::Crc32, [(Some("AAAA"), 1)]), None);
        assert_eq!(concatenated(Algorithm::Sha256, [(Some(""), 1)]), None);
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
