//! Checksums of the bytes of one request, in the algorithms that stores check and clients compute quickly.
//!
//! Not the identity of a file: that is its [`Sha256`], whatever its parts are summed with. As text a checksum is
//! lower-case hexadecimal, most significant byte first, and its length tells the algorithm.

use std::{fmt, str::FromStr};

use crc_fast::CrcAlgorithm;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{Sha256, Sha256Hasher};

/// How the bytes of one request are summed.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ChecksumAlgorithm {
    /// SHA-256; what every client can compute and every upload starts from.
    #[default]
    Sha256,
    /// CRC-64/NVME, 64 bits; many times faster than SHA-256, and what S3 recommends for large objects.
    Crc64Nvme,
    /// CRC-32C (Castagnoli), 32 bits.
    Crc32c,
}

impl ChecksumAlgorithm {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Sha256, Self::Crc64Nvme, Self::Crc32c];
}

/// The checksum of some bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Checksum {
    /// 64 digits.
    Sha256(Sha256),
    /// 16 digits.
    Crc64Nvme(u64),
    /// 8 digits.
    Crc32c(u32),
}

/// A text is no checksum of a known length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a checksum is written in lower-case hexadecimal: 64 digits of SHA-256, 16 of CRC-64/NVME or 8 of CRC-32C"
)]
pub struct InvalidChecksum;

impl Checksum {
    /// What it was made with.
    #[must_use]
    pub fn algorithm(&self) -> ChecksumAlgorithm {
        match self {
            Self::Sha256(_) => ChecksumAlgorithm::Sha256,
            Self::Crc64Nvme(_) => ChecksumAlgorithm::Crc64Nvme,
            Self::Crc32c(_) => ChecksumAlgorithm::Crc32c,
        }
    }

    /// Its bytes, most significant first: what S3's headers carry in Base64.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Sha256(sum) => sum.as_bytes().to_vec(),
            Self::Crc64Nvme(sum) => sum.to_be_bytes().to_vec(),
            Self::Crc32c(sum) => sum.to_be_bytes().to_vec(),
        }
    }

    /// The checksum with these bytes.
    ///
    /// # Errors
    /// When there are more or fewer than the algorithm has.
    pub fn from_bytes(algorithm: ChecksumAlgorithm, bytes: &[u8]) -> Result<Self, InvalidChecksum> {
        Ok(match algorithm {
            ChecksumAlgorithm::Sha256 => Self::Sha256(Sha256::from(fixed(bytes)?)),
            ChecksumAlgorithm::Crc64Nvme => Self::Crc64Nvme(u64::from_be_bytes(fixed(bytes)?)),
            ChecksumAlgorithm::Crc32c => Self::Crc32c(u32::from_be_bytes(fixed(bytes)?)),
        })
    }
}

fn fixed<const N: usize>(bytes: &[u8]) -> Result<[u8; N], InvalidChecksum> {
    bytes.try_into().map_err(|_| InvalidChecksum)
}

impl From<Sha256> for Checksum {
    fn from(sum: Sha256) -> Self {
        Self::Sha256(sum)
    }
}

impl FromStr for Checksum {
    type Err = InvalidChecksum;

    fn from_str(text: &str) -> Result<Self, InvalidChecksum> {
        let is_digit = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if !text.bytes().all(is_digit) {
            return Err(InvalidChecksum);
        }
        let algorithm = match text.len() {
            64 => ChecksumAlgorithm::Sha256,
            16 => ChecksumAlgorithm::Crc64Nvme,
            8 => ChecksumAlgorithm::Crc32c,
            _ => return Err(InvalidChecksum),
        };
        let bytes = hex::decode(text).map_err(|_| InvalidChecksum)?;
        Self::from_bytes(algorithm, &bytes)
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.to_bytes()))
    }
}

impl fmt::Debug for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}:{self}", self.algorithm())
    }
}

impl Serialize for Checksum {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Checksum {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        std::borrow::Cow::<'de, str>::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

/// Sums bytes as they come.
pub enum ChecksumHasher {
    /// By SHA-256.
    Sha256(Sha256Hasher),
    /// By a CRC.
    Crc(ChecksumAlgorithm, crc_fast::Digest),
}

impl ChecksumHasher {
    /// A sum over nothing yet.
    #[must_use]
    pub fn new(algorithm: ChecksumAlgorithm) -> Self {
        let crc = |parameters| Self::Crc(algorithm, crc_fast::Digest::new(parameters));
        match algorithm {
            ChecksumAlgorithm::Sha256 => Self::Sha256(Sha256Hasher::new()),
            ChecksumAlgorithm::Crc64Nvme => crc(CrcAlgorithm::Crc64Nvme),
            ChecksumAlgorithm::Crc32c => crc(CrcAlgorithm::Crc32Iscsi),
        }
    }

    /// Adds the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::Crc(_, digest) => digest.update(bytes),
        }
    }

    /// The checksum of all bytes added.
    #[must_use]
    pub fn finish(self) -> Checksum {
        match self {
            Self::Sha256(hasher) => hasher.finish().into(),
            Self::Crc(ChecksumAlgorithm::Crc32c, digest) => {
                // The digest of a 32-bit CRC has no more bits.
                Checksum::Crc32c(u32::try_from(digest.finalize()).unwrap_or(u32::MAX))
            }
            Self::Crc(_, digest) => Checksum::Crc64Nvme(digest.finalize()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(algorithm: ChecksumAlgorithm, bytes: &[u8]) -> Checksum {
        let mut hasher = ChecksumHasher::new(algorithm);
        for chunk in bytes.chunks(3) {
            hasher.update(chunk);
        }
        hasher.finish()
    }

    #[test]
    fn known_sums_are_written_and_read_back() {
        // The check values of the algorithms' catalogues, over "123456789".
        for (algorithm, text) in [
            (ChecksumAlgorithm::Crc64Nvme, "ae8b14860a799888"),
            (ChecksumAlgorithm::Crc32c, "e3069283"),
            (
                ChecksumAlgorithm::Sha256,
                "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225",
            ),
        ] {
            let checksum = sum(algorithm, b"123456789");
            assert_eq!(checksum.to_string(), text);
            assert_eq!(text.parse(), Ok(checksum));
            assert_eq!(checksum.algorithm(), algorithm);
            assert_eq!(
                Checksum::from_bytes(algorithm, &checksum.to_bytes()),
                Ok(checksum)
            );
            let json = format!("\"{text}\"");
            assert_eq!(serde_json::to_string(&checksum).unwrap(), json);
            assert_eq!(serde_json::from_str::<Checksum>(&json).unwrap(), checksum);
        }
    }

    #[test]
    fn what_is_no_checksum_is_refused() {
        for bad in [
            "",
            "e306928",
            "E3069283",
            "e306928g",
            "e30692830",
            "+e306928",
        ] {
            assert_eq!(bad.parse::<Checksum>(), Err(InvalidChecksum), "{bad}");
        }
        assert!(Checksum::from_bytes(ChecksumAlgorithm::Crc32c, &[0; 8]).is_err());
    }
}
