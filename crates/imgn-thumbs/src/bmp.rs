//! BMP: an own reader of headers, and `image`'s decoder for the pixels.
//!
//! It has no metadata and no orientation. A colour profile, which version 5 may carry, is not looked at: no program is
//! known to write one that is not sRGB.

use std::borrow::Cow;
use std::io::Cursor;

use image::codecs::bmp::BmpDecoder;
use image::{ColorType, ImageDecoder, ImageError};

use crate::bytes::{le16, le32};
use crate::canvas::{Canvas, Raster, over_ground};
use crate::header::{Cost, Probe};
use crate::limits::Deadline;
use crate::{Format, PictureError};

const FILE_HEADER_BYTES: usize = 14;
/// Where the file's header says where the pixels begin.
const START_OF_PIXELS: usize = 10;
const FIXED_COST: u64 = 1 << 20;
/// What the decoder gives, at most.
const BYTES_PER_PIXEL: u64 = 4;
const ROWS_PER_CHECK: u32 = 16;

/// The sizes of Windows's first header and of OS/2's second.
const WINDOWS_HEADER: u32 = 40;
const OS2_HEADER: u32 = 64;

/// The sizes of the headers that there are.
pub(crate) const HEADER_SIZES: [u32; 7] = [12, 40, 52, 56, 64, 108, 124];

/// Reads the headers.
pub(crate) fn probe(bytes: &[u8]) -> Result<Probe<'_>, PictureError> {
    let malformed = || damaged("its header is malformed");
    let at = FILE_HEADER_BYTES;
    let size = le32(bytes, at).ok_or_else(malformed)?;
    let (width, height) = edges(bytes).ok_or_else(malformed)?;
    let (depth, compression) = if size == 12 {
        (le16(bytes, at + 10).ok_or_else(malformed)?, 0)
    } else {
        let depth = le16(bytes, at + 14).ok_or_else(malformed)?;
        (depth, le32(bytes, at + 16).ok_or_else(malformed)?)
    };
    match compression {
        // Numbers that mean something else in that header.
        3.. if size == OS2_HEADER => return Err(unsupported("BMP compressed in this way")),
        0 | 3 | 6 => {
            let row = u64::from(width) * u64::from(depth);
            let stride = row.div_ceil(32).saturating_mul(4);
            let pixels = stride.saturating_mul(height.into());
            let stated = || le32(bytes, START_OF_PIXELS);
            let start = u64::from(palette_end(bytes).or_else(stated).unwrap_or(0));
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
    let is_mended = size == OS2_HEADER || palette_end(bytes).is_some();
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
                .saturating_add(if is_mended { bytes.len() as u64 } else { 0 })
                .saturating_add(FIXED_COST + u64::from(width) * 8)
                .saturating_add(Canvas::cost(width, height, edge, false))
        }),
    })
}

/// Width and height, of a file's first 64 bytes.
pub(crate) fn edges(head: &[u8]) -> Option<(u32, u32)> {
    let at = FILE_HEADER_BYTES;
    if le32(head, at)? == 12 {
        let edge = |at| le16(head, at).map(u32::from);
        return edge(at + 4).zip(edge(at + 6));
    }
    // A negative height says that rows are stored from the top.
    let height = (le32(head, at + 8)? as i32).unsigned_abs();
    Some((le32(head, at + 4)?, height))
}

/// Decodes the picture.
pub(crate) fn decode(
    bytes: &[u8],
    long_edge: u32,
    deadline: &Deadline,
) -> Result<Raster, PictureError> {
    let mended = mended(bytes);
    let decoder = BmpDecoder::new(Cursor::new(mended.as_ref())).map_err(corrupt)?;
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

/// The file as the decoder can read it. Some writers say that pixels begin where the palette does, and OS/2's second
/// header is Windows's first with more behind it.
fn mended(bytes: &[u8]) -> Cow<'_, [u8]> {
    if let Some(start) = palette_end(bytes) {
        let mut mended = bytes.to_vec();
        write(&mut mended, START_OF_PIXELS, start);
        // The last row's filling, which some leave out too.
        mended.extend([0; 3]);
        return Cow::Owned(mended);
    }
    let size = le32(bytes, FILE_HEADER_BYTES);
    let start = le32(bytes, START_OF_PIXELS);
    let more = FILE_HEADER_BYTES + WINDOWS_HEADER as usize..FILE_HEADER_BYTES + OS2_HEADER as usize;
    let cut = start.and_then(|start| start.checked_sub(OS2_HEADER - WINDOWS_HEADER));
    match (size, cut) {
        (Some(OS2_HEADER), Some(start)) if more.end <= bytes.len() => {
            let mut mended = bytes.to_vec();
            mended.drain(more);
            write(&mut mended, FILE_HEADER_BYTES, WINDOWS_HEADER);
            write(&mut mended, START_OF_PIXELS, start);
            Cow::Owned(mended)
        }
        _ => Cow::Borrowed(bytes),
    }
}

fn write(bytes: &mut [u8], at: usize, number: u32) {
    if let Some(place) = bytes.get_mut(at..at + 4) {
        place.copy_from_slice(&number.to_le_bytes());
    }
}

/// The end of the palette of a file that says that its pixels begin where the palette does.
fn palette_end(bytes: &[u8]) -> Option<u32> {
    let header_end = le32(bytes, FILE_HEADER_BYTES)?.checked_add(FILE_HEADER_BYTES as u32)?;
    let depth = le16(bytes, FILE_HEADER_BYTES + 14)?;
    // The oldest header is too short for these fields.
    let has_palette =
        header_end >= WINDOWS_HEADER + FILE_HEADER_BYTES as u32 && matches!(depth, 1..=8);
    if !has_palette || le32(bytes, START_OF_PIXELS)? != header_end {
        return None;
    }
    let colours = match le32(bytes, FILE_HEADER_BYTES + 32)? {
        0 => 1 << depth,
        colours => colours,
    };
    header_end.checked_add(colours.checked_mul(4)?)
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
