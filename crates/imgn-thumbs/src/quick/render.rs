//! From planes to a file: scaled as planes, and encoded as they are. No pixel has all its colours on the way.
//!
//! Invariant: chroma covers what luma covers, whatever the sampling and the edges.

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use turbojpeg::{Compressor, Image, PixelFormat, Subsamp, YuvPlanesImage};

use super::plane::Upright;
use crate::PictureError;
use crate::picture::{QUALITY, Rendition, fault};

/// Makes a JPEG of `width` and `height` from one plane, or from luma and two of chroma.
pub(super) fn encode(
    planes: &[Upright],
    long_edge: u32,
    (width, height): (u32, u32),
) -> Result<Rendition, PictureError> {
    let mut resizer = Resizer::new();
    let mut compressor = Compressor::new().map_err(fault)?;
    compressor.set_quality(QUALITY).map_err(fault)?;
    let across = width as usize;
    let jpeg = match planes {
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
            let luma = scaled(&mut resizer, luma, (width, height), (1.0, 1.0))?;
            compressor.set_subsamp(Subsamp::Gray).map_err(fault)?;
            compressor.compress_to_vec(Image {
                pixels: luma.as_slice(),
                width: across,
                pitch: across,
                height: height as usize,
                format: PixelFormat::GRAY,
            })
        }
        _ => return Err(fault("a picture has one component or three")),
    }
    .map_err(fault)?;
    Ok(Rendition {
        long_edge,
        width,
        height,
        jpeg,
    })
}

/// A plane's picture, and `reach` times as much of it, at another size.
fn scaled(
    resizer: &mut Resizer,
    plane: &Upright,
    (width, height): (u32, u32),
    reach: (f64, f64),
) -> Result<Vec<u8>, PictureError> {
    let source = TypedImageRef::<U8>::from_buffer(plane.width, plane.height, &plane.samples)
        .map_err(fault)?;
    let mut pixels = vec![0; width as usize * height as usize];
    let mut target = TypedImage::<U8>::from_buffer(width, height, &mut pixels).map_err(fault)?;
    let covered = |start: f64, span: f64, reach: f64, edge: u32| {
        let end = (start + span * reach).min(f64::from(edge));
        (start, end - start)
    };
    let (left, across) = covered(plane.start.0, plane.span.0, reach.0, plane.width);
    let (top, down) = covered(plane.start.1, plane.span.1, reach.1, plane.height);
    let options = ResizeOptions::new()
        .crop(left, top, across, down)
        .resize_alg(ResizeAlg::Convolution(FilterType::Lanczos3));
    resizer
        .resize_typed(&source, &mut target, &options)
        .map_err(fault)?;
    Ok(pixels)
}
