//! How much one picture may ask of the machine that looks at it.

use std::time::{Duration, Instant};

use crate::PictureError;

/// What a picture may cost. Everything but time is checked from the header, before a decoder starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Pixels of one frame: width times height. The default is 100 million, a medium-format camera's largest.
    pub max_pixels: u64,
    /// Bytes of memory that decoding may need beside the file itself ([`decode_cost`](crate::decode_cost)). It is the
    /// tighter limit for what must be held whole: progressive JPEG (2 bytes a coefficient) and WebP. The default is
    /// [`Limits::DEFAULT_DECODED_BYTES`].
    pub max_decoded_bytes: u64,
    /// Time from the start of a call, looked at between rows, frames and steps. The default is 20 s, more than ten
    /// times what the largest honest picture takes. libjpeg-turbo cannot be interrupted: what it can be made to do is
    /// bounded beforehand, by `max_pixels`, `max_decoded_bytes` and `max_scans`.
    pub max_duration: Duration,
    /// Frames of an animation. The default is 2,000: a minute and more of smooth motion.
    pub max_frames: u32,
    /// Pixels of all frames of an animation together, as stored. The default is 2,000 million.
    pub max_total_pixels: u64,
    /// Scans of a JPEG, each of which walks over the whole picture. The default is 100; encoders write about 10.
    pub max_scans: u32,
    /// Bytes of EXIF data, and of a colour profile, as they are stored. More of either are left out as if they were not
    /// there; the picture is not refused for them. The default is 4 MiB: profiles of printing presses have up to 3 MB.
    /// Within it, EXIF has a bound of 1 MiB, and what a compressed profile becomes has one of 4 MiB.
    pub max_metadata_bytes: u64,
}

impl Limits {
    /// 192 MiB: 55 MP of progressive JPEG with 4:2:0 chroma, 37 MP of lossy and 21 MP of lossless WebP, any baseline
    /// JPEG, PNG or TIFF within `max_pixels` that is not a strip, 20 MP of JPEG XL, 40 MP of BMP. A server that holds
    /// the largest file it takes (48 MiB) beside it, and has 60 MiB for everything else, stays under 300 MiB.
    pub const DEFAULT_DECODED_BYTES: u64 = 192 << 20;
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_pixels: 100_000_000,
            max_decoded_bytes: Self::DEFAULT_DECODED_BYTES,
            max_duration: Duration::from_secs(20),
            max_frames: 2_000,
            max_total_pixels: 2_000_000_000,
            max_scans: 100,
            max_metadata_bytes: 4 << 20,
        }
    }
}

/// The moment at which a call gives up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline {
    started: Instant,
    limit: Duration,
}

impl Deadline {
    pub(crate) fn start(limits: &Limits) -> Self {
        Self {
            started: Instant::now(),
            limit: limits.max_duration,
        }
    }

    /// Fails once the time is over. Costs some tens of nanoseconds: for rows and frames, not for pixels.
    pub(crate) fn check(&self) -> Result<(), PictureError> {
        if self.started.elapsed() > self.limit {
            return Err(PictureError::Timeout { limit: self.limit });
        }
        Ok(())
    }
}
