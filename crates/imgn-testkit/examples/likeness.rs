//! How much thumbnails are like their pictures: luma SSIM against a Lanczos resampling of all pixels.
//!
//! `likeness PICTURE THUMBNAIL...` prints a number for each thumbnail, 1 for the same. Pictures are JPEG files, turned by
//! their EXIF orientation; a thumbnail may be a pixel larger or smaller than it should be.

#![allow(
    clippy::print_stdout,
    clippy::allow_attributes,
    reason = "a program for the terminal"
)]

use std::{ffi::OsStr, fs};

use anyhow::{Context as _, Result};
use fast_image_resize::{
    FilterType, ResizeAlg, ResizeOptions, Resizer,
    images::{TypedImage, TypedImageRef},
    pixels::F32,
};
use image::{DynamicImage, GrayImage, ImageDecoder as _, ImageReader};

/// Windows of this edge are compared, at every pixel.
const WINDOW: usize = 8;

fn main() -> Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    let picture = arguments.next().context("PICTURE THUMBNAIL...")?;
    let picture = luma(&picture)?;
    for thumbnail in arguments {
        let thumbnail = luma(&thumbnail)?;
        let reference = scaled(&picture, thumbnail.width(), thumbnail.height())?;
        println!("{:.6}", likeness(&thumbnail, &reference));
    }
    Ok(())
}

fn luma(path: &OsStr) -> Result<GrayImage> {
    let bytes = fs::read(path).with_context(|| format!("{}", path.display()))?;
    let mut decoder = ImageReader::new(std::io::Cursor::new(&bytes))
        .with_guessed_format()?
        .into_decoder()?;
    let orientation = decoder.orientation()?;
    let image = turbojpeg::decompress(&bytes, turbojpeg::PixelFormat::GRAY)?;
    let (width, height) = (u32::try_from(image.width)?, u32::try_from(image.height)?);
    let luma = GrayImage::from_raw(width, height, image.pixels).context("rows without padding")?;
    let mut picture = DynamicImage::ImageLuma8(luma);
    picture.apply_orientation(orientation);
    Ok(picture.into_luma8())
}

/// In numbers with fractions, so that the reference is rounded nowhere.
fn scaled(picture: &GrayImage, width: u32, height: u32) -> Result<Vec<f64>> {
    let samples: Vec<F32> = picture
        .as_raw()
        .iter()
        .map(|&value| F32::new(value.into()))
        .collect();
    let source = TypedImageRef::<F32>::new(picture.width(), picture.height(), &samples)?;
    let mut target = TypedImage::<F32>::new(width, height);
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Lanczos3));
    Resizer::new().resize_typed(&source, &mut target, &options)?;
    Ok(target.pixels().iter().map(|it| it.0.into()).collect())
}

/// The mean structural similarity (Wang and others, 2004), over square windows.
fn likeness(one: &GrayImage, other: &[f64]) -> f64 {
    const C1: f64 = 0.01 * 255.0 * 0.01 * 255.0;
    const C2: f64 = 0.03 * 255.0 * 0.03 * 255.0;
    let width = one.width() as usize;
    let height = one.height() as usize;
    let (mut sum, mut windows) = (0.0, 0.0);
    for top in 0..=height.saturating_sub(WINDOW) {
        for left in 0..=width.saturating_sub(WINDOW) {
            let (mut a, mut b, mut aa, mut bb, mut ab, mut count) = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0);
            for y in top..(top + WINDOW).min(height) {
                let row = y * width;
                let columns = row + left..row + (left + WINDOW).min(width);
                let pairs = one.as_raw()[columns.clone()].iter().zip(&other[columns]);
                for (&x, &y) in pairs {
                    let x = f64::from(x);
                    a += x;
                    b += y;
                    aa += x * x;
                    bb += y * y;
                    ab += x * y;
                    count += 1.0;
                }
            }
            let (mean_a, mean_b) = (a / count, b / count);
            let (var_a, var_b) = (aa / count - mean_a * mean_a, bb / count - mean_b * mean_b);
            let covariance = ab / count - mean_a * mean_b;
            sum += (2.0 * mean_a * mean_b + C1) * (2.0 * covariance + C2)
                / ((mean_a * mean_a + mean_b * mean_b + C1) * (var_a + var_b + C2));
            windows += 1.0;
        }
    }
    sum / windows
}
