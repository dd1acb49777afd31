//! The quickest honest small picture, for those who show files and do not judge them.
//!
//! It is not [`verify`](crate::verify): of a JPEG no more is decoded than the thumbnail needs, so that damage which it
//! would not show may go unnoticed.
//!
//! Invariant: a thumbnail is upright, and looks as the one that [`verify`](crate::verify) makes. A preview may be
//! coarser, and shows the same.

use image::{RgbImage, imageops};

use crate::canvas::Raster;
use crate::header::{Inspected, inspect_all};
use crate::limits::Deadline;
use crate::picture::{Renderer, decode};
use crate::{Format, Limits, PictureError, Rendition, quick};

/// How much of a file [`preview`] wants: EXIF data are in one of the first segments, and none is longer.
pub const PREVIEW_BYTES: usize = 64 << 10;

/// The largest preview that is decoded: EXIF has no room for more, and says 160 x 120.
const MAX_PREVIEW_PIXELS: u64 = 1 << 20;
/// Rows or columns that a preview may have too many or too few for the shape of its picture: 160 x 120 is rounded.
const SLACK: u32 = 2;
/// What is darker in the mean is a bar that a camera puts beside a picture of another shape.
const DARKEST: u64 = 24;

/// Makes a rendition of the picture in `bytes` (the whole file): at most `long_edge` pixels wide and high.
///
/// # Errors
/// What [`inspect`](crate::inspect) refuses; a picture that is damaged where the thumbnail is made from; one that takes
/// too long.
pub fn thumbnail(bytes: &[u8], limits: &Limits, long_edge: u32) -> Result<Rendition, PictureError> {
    let deadline = Deadline::start(limits);
    if let Some(reduced) = quick::decode(bytes, limits, long_edge) {
        deadline.check()?;
        return reduced.rendition(long_edge);
    }
    let Inspected { header, icc, .. } = inspect_all(bytes, limits)?;
    let raster = decode(header.format, bytes, limits, long_edge, &deadline)?;
    deadline.check()?;
    Renderer::new(raster, &header, icc).rendition(long_edge)
}

/// The small picture that a camera keeps within a JPEG, upright and without the bars that make it fit: something to
/// show at once. `prefix` is the file's beginning, of which [`PREVIEW_BYTES`] are nearly always enough.
///
/// None where there is none, where it is damaged, and where it is of another shape than the picture, as editors leave
/// it behind.
#[must_use]
pub fn preview(prefix: &[u8], limits: &Limits) -> Option<Rendition> {
    let head = quick::head(prefix, limits)?;
    let limits = Limits {
        max_pixels: MAX_PREVIEW_PIXELS,
        ..limits.clone()
    };
    let deadline = Deadline::start(&limits);
    let file = head.exif.preview()?;
    let Inspected { header, .. } = inspect_all(file, &limits).ok()?;
    if header.format != Format::Jpeg {
        return None;
    }
    let long_edge = header.width.max(header.height);
    let mut raster = decode(Format::Jpeg, file, &limits, long_edge, &deadline).ok()?;
    if let Some(shape) = head.size {
        raster = without_bars(raster, shape)?;
    }
    let size = (raster.width, raster.height);
    // Its own orientation, if it has any, is not its picture's.
    let mut renderer = Renderer::of_stored(raster, size, head.exif.orientation(), None);
    renderer.rendition(size.0.max(size.1)).ok()
}

/// The middle of a preview that has the shape of its picture, if the rest is dark.
fn without_bars(preview: Raster, (width, height): (u32, u32)) -> Option<Raster> {
    // Of edges below 65,536.
    let fitting = |edge: u32, to: u32, from: u32| (edge * to + from / 2) / from;
    let kept = (
        fitting(preview.height, width, height).clamp(1, preview.width),
        fitting(preview.width, height, width).clamp(1, preview.height),
    );
    if preview.width - kept.0 <= SLACK && preview.height - kept.1 <= SLACK {
        return Some(preview);
    }
    let whole = RgbImage::from_raw(preview.width, preview.height, preview.pixels)?;
    let (left, top) = ((whole.width() - kept.0) / 2, (whole.height() - kept.1) / 2);
    let (mut sum, mut count) = (0, 0);
    for (x, y, pixel) in whole.enumerate_pixels() {
        if !(left..left + kept.0).contains(&x) || !(top..top + kept.1).contains(&y) {
            sum += pixel.0.iter().map(|&value| u64::from(value)).sum::<u64>();
            count += 3;
        }
    }
    if sum > DARKEST * count {
        return None;
    }
    let picture = imageops::crop_imm(&whole, left, top, kept.0, kept.1).to_image();
    Some(Raster {
        width: kept.0,
        height: kept.1,
        span: (kept.0.into(), kept.1.into()),
        pixels: picture.into_raw(),
        profile: None,
    })
}
