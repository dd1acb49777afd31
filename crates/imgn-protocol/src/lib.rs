//! The words that imgn's clients and its server share: identifiers, checksums, file names, the bodies of the HTTP API
//! (version 1) and its closed set of error codes.
//!
//! It is not a client and not a server: nothing here does input or output, knows a clock, a database or a picture
//! format's bytes.
//!
//! Invariant: a value that exists is valid. What comes off the wire is parsed into these types once, at the edge, and
//! is not checked again further in.

mod checksum;
mod error;
mod id;
mod image;
mod name;
mod secret;
mod sha256;
mod upload;

pub use checksum::{Checksum, ChecksumAlgorithm, ChecksumHasher, InvalidChecksum};
pub use error::{ErrorCode, Problem};
pub use id::{ImageId, UploadId};
pub use image::{Change, ChangePage, Exposure, Image, ImagePage, Location};
pub use jiff::Timestamp;
pub use name::{FileName, InvalidFileName, MAX_FILE_NAME_BYTES};
pub use secret::{PresignedUrl, Token};
pub use sha256::{InvalidSha256, Sha256, Sha256Hasher};
pub use upload::{
    CompleteRequest, CompletedPart, Mode, OpenRequest, Part, Rejection, SignRequest, SignedRequest,
    UploadAnswer,
};

/// The header in which a client states the SHA-256 of the bytes it sends, as Base64 of the 32 bytes (S3's format).
pub const CHECKSUM_HEADER: &str = "x-amz-checksum-sha256";

/// The thumbnails that every published picture has: the longest edge in pixels, smallest first.
pub const THUMBNAIL_SIZES: [u32; 2] = [320, 1280];

/// The rendition that stands in for an original that browsers cannot show: its longest edge in pixels, at most.
pub const DISPLAY_SIZE: u32 = 2560;
