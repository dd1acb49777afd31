//! From planes to a file: scaled as planes, and encoded as they are. No pixel has all its colours on the way, unless
//! they must become those of sRGB.
//!
//! Invariant: chroma covers what luma covers, whatever the sampling and the edges.

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U16;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use image::RgbImage;
use turbojpeg::{Compressor, Image, PixelFormat, Subsamp, YuvPlanesImage};

use super::means::LEVEL;
use super::plane::Upright;
use crate::PictureError;
use crate::colour::ToSrgb;
use crate::picture::{QUALITY, encode_pixels, fault};

/// How much of a plane is wanted, where its picture is 1, across and down.
type Reach = (f64, f64);

const ALL: Reach = (1.0, 1.0);

/// Makes a JPEG of `width` and `height` from one plane, or from luma and two of chroma.
pub(super) fn encode(
    planes: &[Upright],
    (width, height): (u32, u32),
    to_srgb: Option<&ToSrgb>,
) -> Result<Vec<u8>, PictureError> {
    if let Some(to_srgb) = to_srgb {
        return encode_pixels(&converted(planes, (width, height), to_srgb)?);
    }
    let mut resizer = Resizer::new();
    let mut compressor = Compressor::new().map_err(fault)?;
    compressor.set_quality(QUALITY).map_err(fault)?;
    let across = width as usize;
    match planes {
        [luma, blue, red] => {
            let half = (width.div_ceil(2), height.div_ceil(2));
            // The encoder wants luma for all of chroma: one pixel more than there are, where their number is odd.
            let even = (half.0 * 2, half.1 * 2);
            let reach = (
                f64::from(even.0) / f64::from(width),
                f64::from(even.1) / f64::from(height),
            );
            let luma = scaled(&mut resizer, luma, even, reach)?;
            let blue = scaled(&mut resizer, blue, half, reach)?;
            let red = scaled(&mut resizer, red, half, reach)?;
            compressor.compress_yuv_planes_to_vec(&YuvPlanesImage {
                y_plane: luma.as_slice(),
                u_plane: blue.as_slice(),
                v_plane: red.as_slice(),
                width: across,
                height: height as usize,
                y_stride: even.0 as usize,
                u_stride: half.0 as usize,
                v_stride: half.0 as usize,
                subsamp: Subsamp::Sub2x2,
            })
        }
        [luma] => {
            let luma = scaled(&mut resizer, luma, (width, height), ALL)?;
            compressor.set_subsamp(Subsamp::Gray).map_err(fault)?;
            compressor.compress_to_vec(Image {
                pixels: luma.as_slice(),
                width: across,
                pitch: across,
                height: height as usize,
                format: PixelFormat::GRAY,
            })
        }
        _ => return Err(strange()),
    }
    .map_err(fault)
}

/// Pixels in sRGB.
fn converted(
    planes: &[Upright],
    (width, height): (u32, u32),
    to_srgb: &ToSrgb,
) -> Result<RgbImage, PictureError> {
    let mut resizer = Resizer::new();
    let mut whole = |plane| scaled(&mut resizer, plane, (width, height), ALL);
    let mut pixels: Vec<u8> = match planes {
        [luma, blue, red] => {
            let (luma, blue, red) = (whole(luma)?, whole(blue)?, whole(red)?);
            let pixels = luma.iter().zip(&blue).zip(&red);
            pixels
                .flat_map(|((&luma, &blue), &red)| rgb(luma, blue, red))
                .collect()
        }
        [luma] => whole(luma)?.iter().flat_map(|&grey| [grey; 3]).collect(),
        _ => return Err(strange()),
    };
    to_srgb.apply(&mut pixels);
    RgbImage::from_raw(width, height, pixels).ok_or_else(strange)
}

/// As JFIF has it, in 65,536ths.
fn rgb(luma: u8, blue: u8, red: u8) -> [u8; 3] {
    let luma = i32::from(luma) << 16 | 1 << 15;
    let (blue, red) = (i32::from(blue) - 128, i32::from(red) - 128);
    [
        luma + 91_881 * red,
        luma - 22_554 * blue - 46_802 * red,
        luma + 116_130 * blue,
    ]
    // Clamped to a byte.
    .map(|value| (value >> 16).clamp(0, 255) as u8)
}

fn strange() -> PictureError {
    fault("a picture has one component or three")
}

/// A plane's picture, and `reach` times as much of it, at another size.
fn scaled(
    resizer: &mut Resizer,
    plane: &Upright,
    (width, height): (u32, u32),
    reach: Reach,
) -> Result<Vec<u8>, PictureError> {
    let end = |start: f64, span: f64, reach: f64| start + span * reach;
    let right = end(plane.start.0, plane.span.0, reach.0);
    let bottom = end(plane.start.1, plane.span.1, reach.1);
    let (columns, rows, samples) = extended(plane, right, bottom);
    let source = TypedImageRef::<U16>::new(columns, rows, &samples).map_err(fault)?;
    let mut target = TypedImage::<U16>::new(width, height);
    let (left, top) = plane.start;
    let (across, down) = (
        right.min(f64::from(columns)) - left,
        bottom.min(f64::from(rows)) - top,
    );
    let options = ResizeOptions::new()
        .crop(left, top, across, down)
        .resize_alg(ResizeAlg::Convolution(FilterType::Lanczos3));
    resizer
        .resize_typed(&source, &mut target, &options)
        .map_err(fault)?;
    let level = |sample: &U16| ((i32::from(sample.0) + LEVEL / 2) / LEVEL).min(255) as u8;
    Ok(target.pixels().iter().map(level).collect())
}

/// A plane's samples, and its last column and row as often as it takes to reach `right` and `bottom`; cut off there, a
/// picture would be stretched.
fn extended(plane: &Upright, right: f64, bottom: f64) -> (u32, u32, Vec<U16>) {
    // At most twice a plane's edges, and a bit.
    let (columns, rows) = (
        plane.width.max(right.ceil() as u32),
        plane.height.max(bottom.ceil() as u32),
    );
    let mut samples = Vec::with_capacity(columns as usize * rows as usize);
    let last = plane.height.saturating_sub(1);
    for y in 0..rows {
        let start = y.min(last) as usize * plane.width as usize;
        let row = plane.samples.get(start..).unwrap_or_default().iter();
        samples.extend(row.take(plane.width as usize).map(|&it| U16::new(it)));
        let edge = samples.last().copied().unwrap_or_default();
        samples.resize(samples.len() + (columns - plane.width) as usize, edge);
    }
    (columns, rows, samples)
}
