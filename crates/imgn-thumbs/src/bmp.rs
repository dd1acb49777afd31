//! BMP: an own reader of headers, and `image`'s decoder for the pixels.
//!
//! It has no metadata and no orientation. A colour profile, which version 5 may carry, is not looked at: no program is
//! known to write one that is not sRGB.

use std::io::Cursor;

use image::codecs::bmp::BmpDecoder;
use image::{ColorType, ImageDecoder, ImageError};

use crate::bytes::{le16, le32};
use crate::canvas::{Canvas, Raster, over_ground};
use crate::header::{Cost, Probe};
use crate::limits::Deadline;
use crate::{Format, PictureError};

const FILE_HEADER_BYTES: usize = 14;
const FIXED_COST: u64 = 1 << 20;
/// What the decoder gives, at most.
const BYTES_PER_PIXEL: u64 = 4;
const ROWS_PER_CHECK: u32 = 16;

/// The sizes of the headers that there are.
pub(crate) const HEADER_SIZES: [u32; 7] = [12, 40, 52, 56, 64, 108, 124];

/// Reads the headers.
pub(crate) fn probe(bytes: &[u8]) -> Result<Probe<'_>, PictureError> {
    let malformed = || damaged("its header is malformed");
    let at = FILE_HEADER_BYTES;
    let size = le32(bytes, at).ok_or_else(malformed)?;
    let (width, height, depth, compression) = if size == 12 {
        let edge = |at| le16(bytes, at).map(u32::from).ok_or_else(malformed);
        let depth = le16(bytes, at + 10).ok_or_else(malformed)?;
        (edge(at + 4)?, edge(at + 6)?, depth, 0)
    } else {
        let number = |at| le32(bytes, at).ok_or_else(malformed);
        let depth = le16(bytes, at + 14).ok_or_else(malformed)?;
        // A negative height says that rows are stored from the top.
        let height = (number(at + 8)? as i32).unsigned_abs();
        (number(at + 4)?, height, depth, number(at + 16)?)
    };
    match compression {
        0 | 3 | 6 => {
            let row = u64::from(width) * u64::from(depth);
            let stride = row.div_ceil(32).saturating_mul(4);
            let pixels = stride.saturating_mul(height.into());
            let start = u64::from(le32(bytes, 10).unwrap_or(0));
            // Some writers leave the last row's filling out.
            if start.saturating_add(pixels) > bytes.len() as u64 + 3 {
                return Err(damaged("it is cut off"));
            }
        }
        1 | 2 => {}
        4 | 5 => return Err(unsupported("BMP that hold a JPEG or PNG")),
        _ => return Err(unsupported("BMP compressed in this way")),
    }
    let pixels = u64::from(width) * u64::from(height);
    Ok(Probe {
        width,
        height,
        largest_frame: (width, height),
        frames: 1,
        total_pixels: pixels,
        scans: 1,
        exif: None,
        icc: None,
        orientation: None,
        cost: Cost::by_edge(|edge| {
            pixels
                .saturating_mul(BYTES_PER_PIXEL)
                .saturating_add(FIXED_COST + u64::from(width) * 8)
                .saturating_add(Canvas::cost(width, height, edge, false))
        }),
    })
}

/// Decodes the picture.
pub(crate) fn decode(
    bytes: &[u8],
    long_edge: u32,
    deadline: &Deadline,
) -> Result<Raster, PictureError> {
    let decoder = BmpDecoder::new(Cursor::new(bytes)).map_err(corrupt)?;
    let (width, height) = decoder.dimensions();
    let probe = probe(bytes)?;
    if (width, height) != (probe.width, probe.height) {
        return Err(damaged("its header can be read in two ways"));
    }
    let has_alpha = match decoder.color_type() {
        ColorType::Rgb8 => false,
        ColorType::Rgba8 => true,
        _ => return Err(unsupported("BMP in colours of this kind")),
    };
    let size = usize::try_from(decoder.total_bytes()).map_err(|_| damaged("it is too large"))?;
    let mut pixels = vec![0; size];
    decoder.read_image(&mut pixels).map_err(corrupt)?;
    deadline.check()?;
    let mut canvas = Canvas::in_rows(width, height, long_edge);
    let mut rgb = Vec::with_capacity(width as usize * 3);
    let stride = width as usize * if has_alpha { 4 } else { 3 };
    // Some writers of 32 bits mean opacity by the last of them, and some leave it at nothing.
    let is_opaque = has_alpha && pixels.chunks_exact(4).all(|pixel| pixel[3] == 0);
    for (row, drawn) in pixels.chunks_exact(stride).zip(1_u32..) {
        if has_alpha {
            rgb.clear();
            rgb.extend(row.chunks_exact(4).flat_map(|pixel| {
                let alpha = if is_opaque { 255 } else { pixel[3] };
                over_ground([pixel[0], pixel[1], pixel[2], alpha])
            }));
            canvas.push_row(&rgb);
        } else {
            canvas.push_row(row);
        }
        if drawn.is_multiple_of(ROWS_PER_CHECK) {
            deadline.check()?;
        }
    }
    canvas.finish(damaged("rows are missing"))
}

fn corrupt(error: ImageError) -> PictureError {
    match error {
        ImageError::Unsupported(_) => unsupported("BMP of this kind"),
        ImageError::IoError(_) => damaged("its data end too early"),
        other => damaged(other.to_string()),
    }
}

fn damaged(reason: impl Into<String>) -> PictureError {
    PictureError::corrupt(Format::Bmp, reason)
}

fn unsupported(what: &'static str) -> PictureError {
    PictureError::UnsupportedFormat { what }
}
