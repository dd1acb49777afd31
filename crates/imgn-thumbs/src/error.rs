//! Why a file is not published, in words for the person who sent it.

use std::time::Duration;

use thiserror::Error;

use crate::Format;

/// Why a file is refused. All but [`PictureError::Rendition`] are about the file, and stay true when it is tried again.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PictureError {
    /// The bytes are of no format that is known to be a picture.
    #[error("the file is not a picture")]
    NotAPicture,
    /// A picture, of a format or a variant of one that is not taken.
    #[error("{what} pictures are not accepted")]
    UnsupportedFormat {
        /// The format or variant, as people call it.
        what: &'static str,
    },
    /// A picture whose bytes are damaged or cut off.
    #[error("the {format} picture is damaged or incomplete: {reason}")]
    Corrupt {
        /// What it claims to be.
        format: Format,
        /// What is wrong with it, for those who know the format.
        reason: String,
    },
    /// More pixels in one frame than [`Limits::max_pixels`](crate::Limits::max_pixels).
    #[error("the picture has {width} x {height} pixels; at most {} million are accepted", max_pixels / 1_000_000)]
    TooManyPixels {
        /// Width of the largest frame, as stored.
        width: u32,
        /// Its height.
        height: u32,
        /// The limit.
        max_pixels: u64,
    },
    /// More frames, scans, or pixels of all frames together, than the limits allow.
    #[error("the picture has too many {what}: {count}; at most {max} are accepted")]
    TooManyFrames {
        /// What there is too much of: `frames`, `scans`, `pixels in all its frames`.
        what: &'static str,
        /// How many there are, or at least are.
        count: u64,
        /// The limit.
        max: u64,
    },
    /// Decoding needs more memory than [`Limits::max_decoded_bytes`](crate::Limits::max_decoded_bytes).
    #[error(
        "the picture needs {} MiB of memory to decode; at most {} MiB are allowed for one stored in this way",
        needed >> 20,
        max >> 20
    )]
    TooMuchMemory {
        /// The estimate, in bytes.
        needed: u64,
        /// The limit, in bytes.
        max: u64,
    },
    /// Decoding took longer than [`Limits::max_duration`](crate::Limits::max_duration).
    #[error("the picture takes more than {} s to decode", limit.as_secs_f32())]
    Timeout {
        /// The limit.
        limit: Duration,
    },
    /// The picture is sound, and a thumbnail of it could not be made: a fault on this side.
    #[error("a thumbnail could not be made: {reason}")]
    Rendition {
        /// What failed.
        reason: String,
    },
}

impl PictureError {
    pub(crate) fn corrupt(format: Format, reason: impl Into<String>) -> Self {
        Self::Corrupt {
            format,
            reason: reason.into(),
        }
    }
}
