//! Small pictures for tests, made on the spot: the same bytes each time, in every format, whole or broken.
//!
//! They all show [`scene`], which looks different from each side and in each mirror. They are not photographs: what a
//! camera's noise and a maker's oddities do is for real ones to show.

mod colour;
mod encode;
mod hostile;
mod isobmff;
mod jpeg;
mod jxl;
mod sized;
mod tiff;

pub use colour::{jpeg_with_profile, png_with_profile, webp_with_profile};
pub use encode::{
    animated_gif, animated_png, animated_webp, bmp, cmyk_jpeg, described_jpeg, exif_block, gif,
    interlaced_png, jpeg, oriented_jpeg, palette_png, png, png_with_exif, progressive_jpeg,
    slow_webp, webp, webp_with_exif,
};
pub use hostile::{
    SVG, TEXT, claimed_bmp, claimed_gif, claimed_heif, claimed_jpeg, claimed_png,
    claimed_progressive_jpeg, claimed_raw, claimed_webp, garbage_half, jpeg_with_odd_header,
    jpeg_with_trailer, stray_bytes_before_end, truncated,
};
use image::RgbImage;
pub use isobmff::{HEIF_SIZE, Heif, HeifCoding, HeifPlace, HeifTurn, animated_avif, heif_turns};
pub use jpeg::{Jpeg, exif_with_preview};
pub use jxl::{JXL_SIZE, claimed_jxl, jxl, jxl_in_boxes, oriented_jxl};
pub use sized::sized_png;
pub use tiff::{
    SECRET_SECONDS, Tiff, TiffColours, TiffCompression, claimed_tiff, fujifilm_raw, raw,
};

/// The colours of the scene's corners: top left, top right, bottom left, bottom right.
pub const CORNERS: [[u8; 3]; 4] = [[220, 40, 40], [40, 200, 60], [50, 70, 220], [235, 215, 50]];

/// What EXIF calls the ways in which a picture may be stored.
pub const ORIENTATIONS: std::ops::RangeInclusive<u16> = 1..=8;

/// An upright picture: a soft gradient with a little noise, and a patch of [`CORNERS`] in each corner, a quarter of
/// each edge wide.
#[must_use]
pub fn scene(width: u32, height: u32) -> RgbImage {
    let mut random = 0x2545_f491_u32;
    RgbImage::from_fn(width, height, |x, y| {
        random ^= random << 13;
        random ^= random >> 17;
        random ^= random << 5;
        let noise = random % 9;
        let (left, right) = (x * 4 < width, x * 4 >= width * 3);
        let (top, bottom) = (y * 4 < height, y * 4 >= height * 3);
        let base = match (left || right, top || bottom) {
            (true, true) => CORNERS[usize::from(bottom) * 2 + usize::from(right)],
            _ => [
                (60 + x * 120 / width.max(1)) as u8,
                (90 + y * 90 / height.max(1)) as u8,
                110,
            ],
        };
        image::Rgb(base.map(|value| value.saturating_add(noise as u8)))
    })
}

/// How unlike two pictures are: the mean difference of their values, 0 to 255.
///
/// # Panics
/// If they are not of the same size.
#[must_use]
pub fn mean_difference(one: &RgbImage, other: &RgbImage) -> f64 {
    assert_eq!(one.dimensions(), other.dimensions(), "sizes differ");
    let sum: u64 = one
        .as_raw()
        .iter()
        .zip(other.as_raw())
        .map(|(&one, &other)| u64::from(one.abs_diff(other)))
        .sum();
    sum as f64 / one.as_raw().len().max(1) as f64
}
