//! WebP: an own reader of chunks, and the `image-webp` crate for the pixels.
//!
//! That crate decodes a frame whole, and believes what the data say of their size: the chunk reader here refuses files
//! whose data are of another size than announced, before it allocates. Lossy WebP has neither checksums nor codes
//! that can be wrong: data that were replaced by others of the same length look like a picture, to any decoder.

use std::borrow::Cow;
use std::io::Cursor;

use image_webp::{DecodingError, WebPDecoder};

use crate::bytes::{array, le16, le24, le32};
use crate::canvas::{Canvas, Raster, over_ground};
use crate::colour::EmbeddedProfile;
use crate::header::{Cost, Probe};
use crate::limits::Deadline;
use crate::{Format, Limits, PictureError};

/// What the decoder holds whatever the picture: its tables.
const FIXED_COST: u64 = 4 << 20;
const RIFF_HEADER_BYTES: usize = 12;
const ANIMATION_FRAME_HEADER_BYTES: usize = 16;

/// How a frame is stored, which is what its decoding costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coding {
    Lossy,
    LossyWithAlpha,
    Lossless,
}

#[derive(Debug, Clone, Copy)]
struct Frame {
    width: u32,
    height: u32,
    coding: Coding,
}

impl Frame {
    /// Bytes a pixel: planes of luma and chroma, alpha on its way, and the decoded colours.
    fn cost(self) -> u64 {
        let half_bytes = match self.coding {
            // 1.5 for planes, 3 for colours.
            Coding::Lossy => 9,
            // And 4 + 1 for alpha, which is a lossless picture of its own, and 4 for colours.
            Coding::LossyWithAlpha => 21,
            // 4 for what is decoded, 4 for colours.
            Coding::Lossless => 16,
        };
        u64::from(self.width) * u64::from(self.height) * half_bytes / 2
    }
}

/// Reads the chunks, but for their data.
pub(crate) fn probe(bytes: &[u8]) -> Result<Probe<'_>, PictureError> {
    let file_size = le32(bytes, 4)
        .map_or(usize::MAX, |size| size as usize)
        .saturating_add(8);
    // Some writers forget the byte that makes the last chunk's length even.
    if file_size > bytes.len() + 1 {
        return Err(damaged("it is cut off"));
    }
    let bytes = &bytes[..file_size.min(bytes.len())];
    let mut chunks = Chunks {
        bytes,
        at: RIFF_HEADER_BYTES,
    };
    let first = chunks
        .next()
        .ok_or_else(|| damaged("it holds no picture"))??;
    let (canvas, frames, metadata) = match first {
        (b"VP8X", data) => {
            let edges = le24(data, 4)
                .zip(le24(data, 7))
                .ok_or_else(|| damaged("its header is malformed"))?;
            let (frames, metadata) = extended(chunks)?;
            ((edges.0 + 1, edges.1 + 1), frames, metadata)
        }
        (kind, data) => {
            let frame = frame(kind, data, false)?;
            let size = (frame.width, frame.height);
            (size, Frames::Still(frame), Metadata::default())
        }
    };
    let (width, height) = canvas;
    let pixels = u64::from(width) * u64::from(height);
    let (count, held) = match frames {
        Frames::Still(frame) if (frame.width, frame.height) != canvas => {
            return Err(damaged("its data are of another size than announced"));
        }
        Frames::Still(frame) => (1, frame.cost()),
        // The animation's canvas, and a copy of it, beside the frame being decoded.
        Frames::Animated { count, cost } => (count, pixels.saturating_mul(8).saturating_add(cost)),
    };
    Ok(Probe {
        width,
        height,
        largest_frame: canvas,
        frames: count,
        // Each frame is a copy of the canvas.
        total_pixels: pixels.saturating_mul(u64::from(count)),
        scans: 1,
        orientation: None,
        exif: metadata.exif.map(Cow::Borrowed),
        icc: metadata.icc.map(EmbeddedProfile::Whole),
        cost: Cost::by_edge(|edge| {
            held.saturating_add(FIXED_COST + u64::from(width) * 3)
                .saturating_add(Canvas::cost(width, height, edge, false))
        }),
    })
}

/// Decodes all frames; the canvas has the first.
pub(crate) fn decode(
    bytes: &[u8],
    limits: &Limits,
    long_edge: u32,
    deadline: &Deadline,
) -> Result<Raster, PictureError> {
    let mut decoder = WebPDecoder::new(Cursor::new(bytes)).map_err(corrupt)?;
    decoder.set_memory_limit(usize::try_from(limits.max_decoded_bytes).unwrap_or(usize::MAX));
    let (width, height) = decoder.dimensions();
    let size = decoder
        .output_buffer_size()
        .ok_or_else(|| damaged("it is too large"))?;
    let mut pixels = vec![0; size];
    if !decoder.is_animated() {
        decoder.read_image(&mut pixels).map_err(corrupt)?;
        return draw(width, height, &pixels, decoder.has_alpha(), long_edge);
    }
    decoder.read_frame(&mut pixels).map_err(corrupt)?;
    let raster = draw(width, height, &pixels, decoder.has_alpha(), long_edge)?;
    for _ in 1..decoder.num_frames() {
        deadline.check()?;
        decoder.read_frame(&mut pixels).map_err(corrupt)?;
    }
    Ok(raster)
}

fn draw(
    width: u32,
    height: u32,
    pixels: &[u8],
    has_alpha: bool,
    long_edge: u32,
) -> Result<Raster, PictureError> {
    let mut canvas = Canvas::in_rows(width, height, long_edge);
    if has_alpha {
        let mut rgb = Vec::with_capacity(width as usize * 3);
        for row in pixels.chunks_exact(width as usize * 4) {
            rgb.clear();
            rgb.extend(
                row.chunks_exact(4)
                    .flat_map(|pixel| over_ground([pixel[0], pixel[1], pixel[2], pixel[3]])),
            );
            canvas.push_row(&rgb);
        }
    } else {
        for row in pixels.chunks_exact(width as usize * 3) {
            canvas.push_row(row);
        }
    }
    canvas.finish(damaged("rows are missing"))
}

enum Frames {
    Still(Frame),
    Animated {
        count: u32,
        /// Of the frame that costs most.
        cost: u64,
    },
}

#[derive(Debug, Default)]
struct Metadata<'a> {
    exif: Option<&'a [u8]>,
    icc: Option<&'a [u8]>,
}

/// The chunks after an extended header: the frames, and what is said about them.
fn extended(chunks: Chunks<'_>) -> Result<(Frames, Metadata<'_>), PictureError> {
    let mut metadata = Metadata::default();
    let (mut still, mut count, mut cost) = (None, 0_u32, 0);
    let mut has_alpha = false;
    for chunk in chunks {
        match chunk? {
            (b"ALPH", _) => has_alpha = true,
            (kind @ (b"VP8 " | b"VP8L"), data) if still.is_none() => {
                still = Some(frame(kind, data, has_alpha)?);
            }
            (b"ANMF", data) => {
                let frame = animation_frame(data)?;
                count = count.saturating_add(1);
                cost = frame.cost().max(cost);
            }
            (b"EXIF", data) if metadata.exif.is_none() => metadata.exif = Some(data),
            (b"ICCP", data) if metadata.icc.is_none() => metadata.icc = Some(data),
            _ => {}
        }
    }
    let frames = match still {
        _ if count > 0 => Frames::Animated { count, cost },
        Some(frame) => Frames::Still(frame),
        None => return Err(damaged("it holds no picture")),
    };
    Ok((frames, metadata))
}

fn animation_frame(data: &[u8]) -> Result<Frame, PictureError> {
    let malformed = || damaged("a frame is malformed");
    let (width, height) = le24(data, 6).zip(le24(data, 9)).ok_or_else(malformed)?;
    let mut has_alpha = false;
    for chunk in (Chunks {
        bytes: data,
        at: ANIMATION_FRAME_HEADER_BYTES,
    }) {
        match chunk? {
            (b"ALPH", _) => has_alpha = true,
            (kind @ (b"VP8 " | b"VP8L"), data) => {
                let frame = frame(kind, data, has_alpha)?;
                if (frame.width, frame.height) != (width + 1, height + 1) {
                    return Err(damaged("a frame is of another size than announced"));
                }
                return Ok(frame);
            }
            _ => {}
        }
    }
    Err(malformed())
}

/// What the first bytes of picture data say.
fn frame(kind: &[u8; 4], data: &[u8], has_alpha: bool) -> Result<Frame, PictureError> {
    let malformed = || damaged("its picture data are malformed");
    match kind {
        b"VP8 " => {
            if data.get(3..6) != Some(&[0x9d, 0x01, 0x2a]) {
                return Err(malformed());
            }
            let edge = |at| {
                le16(data, at)
                    .map(|edge| u32::from(edge & 0x3fff))
                    .ok_or_else(malformed)
            };
            Ok(Frame {
                width: edge(6)?,
                height: edge(8)?,
                coding: if has_alpha {
                    Coding::LossyWithAlpha
                } else {
                    Coding::Lossy
                },
            })
        }
        b"VP8L" => {
            let packed = le32(data, 1)
                .filter(|_| data.first() == Some(&0x2f))
                .ok_or_else(malformed)?;
            Ok(Frame {
                width: (packed & 0x3fff) + 1,
                height: (packed >> 14 & 0x3fff) + 1,
                coding: Coding::Lossless,
            })
        }
        _ => Err(damaged("it begins with a chunk of an unknown kind")),
    }
}

/// A RIFF file's chunks: kind and data. A chunk that is not whole is an error.
struct Chunks<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Chunks<'a> {
    type Item = Result<(&'a [u8; 4], &'a [u8]), PictureError>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.bytes.get(self.at..)?;
        let kind = rest.first_chunk()?;
        let length = u32::from_le_bytes(array(rest, 4)?) as usize;
        // Chunks have an even length, but for the count in front of them.
        self.at = self.at.saturating_add(8 + length + (length & 1));
        let data = rest.get(8..).and_then(|rest| rest.get(..length));
        Some(match data {
            Some(data) => Ok((kind, data)),
            None => Err(damaged("it is cut off")),
        })
    }
}

fn corrupt(error: DecodingError) -> PictureError {
    match error {
        DecodingError::IoError(_) => damaged("its data end too early"),
        other => damaged(other.to_string()),
    }
}

fn damaged(reason: impl Into<String>) -> PictureError {
    PictureError::corrupt(Format::WebP, reason)
}
