//! Makes photographs as cameras take them out of photographs that Debian packages have: of 12 to 24 megapixels, with
//! the noise of a sensor, EXIF data with orientation and a preview, and every usual sampling.
//!
//! `corpus DIR COUNT PROGRESSIVE PHOTOGRAPH...` writes `COUNT` baseline files and `PROGRESSIVE` progressive ones.
//!
//! Invariant: the same arguments make the same files. What is there is not made again.

#![allow(
    clippy::print_stdout,
    clippy::allow_attributes,
    reason = "a program for the terminal"
)]

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use anyhow::{Context as _, Result, ensure};
use fast_image_resize::{
    ResizeOptions, Resizer,
    images::{TypedImage, TypedImageRef},
    pixels::U8x3,
};
use image::{RgbImage, imageops};
use imgn_testkit::pictures::exif_with_preview;
use turbojpeg::{Compressor, PixelFormat, Subsamp};

fn main() -> Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    let mut next = || {
        arguments
            .next()
            .context("DIR COUNT PROGRESSIVE PHOTOGRAPH...")
    };
    let directory = PathBuf::from(next()?);
    let mut number = || -> Result<usize> { Ok(next()?.to_str().context("a number")?.parse()?) };
    let (count, progressive) = (number()?, number()?);
    let photographs: Vec<PathBuf> = arguments.map(PathBuf::from).collect();
    ensure!(!photographs.is_empty(), "there are no photographs");
    fs::create_dir_all(&directory)?;
    let next = AtomicUsize::new(0);
    let work = || -> Result<()> {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count + progressive {
                return Ok(());
            }
            let is_progressive = number >= count;
            let kind = if is_progressive {
                "progressive"
            } else {
                "baseline"
            };
            let path = directory.join(format!("{kind}-{number:03}.jpg"));
            if path.exists() {
                continue;
            }
            let source = &photographs[number % photographs.len()];
            let file = photograph(source, number as u64, is_progressive)
                .with_context(|| source.display().to_string())?;
            write_whole(&path, &file)?;
        }
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..2).map(|_| scope.spawn(work)).collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().unwrap_or_else(|_| Ok(())))
    })
}

/// A file that is there is whole.
fn write_whole(path: &Path, file: &[u8]) -> Result<()> {
    let unfinished = path.with_extension("part");
    fs::write(&unfinished, file)?;
    Ok(fs::rename(unfinished, path)?)
}

fn photograph(source: &Path, seed: u64, is_progressive: bool) -> Result<Vec<u8>> {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let source = image::open(source)?.into_rgb8();
    let (across, down) = [(3, 2), (4, 3), (16, 9), (2, 3)][random.below(4) as usize];
    let cropped = crop(&source, across, down, &mut random);
    let megapixels = f64::from(12 + random.below(13));
    let unit = (megapixels * 1e6 / f64::from(across * down)).sqrt();
    let (width, height) = (
        (f64::from(across) * unit) as u32,
        (f64::from(down) * unit) as u32,
    );
    let mut picture = scaled(&cropped, width, height)?;
    if random.below(2) == 1 {
        imageops::flip_horizontal_in_place(&mut picture);
    }
    let strength = 1 + random.below(3) as i32;
    for pixel in picture.pixels_mut() {
        let noise = random.noise() * strength;
        for value in &mut pixel.0 {
            // Clamped to a byte. Most of the noise is in the brightness.
            *value = (i32::from(*value) + (noise + random.noise()) / 3).clamp(0, 255) as u8;
        }
    }
    let subsampling = match random.below(10) {
        0..=5 => Subsamp::Sub2x2,
        6..=8 => Subsamp::Sub2x1,
        _ => Subsamp::None,
    };
    let quality = 90 + random.below(7) as i32;
    let orientation = [1, 1, 1, 1, 6, 6, 8, 3][random.below(8) as usize];
    let preview = encode(
        &scaled(&picture, 160, 160 * height / width)?,
        Subsamp::Sub2x2,
        75,
        false,
    )?;
    let file = encode(&picture, subsampling, quality, is_progressive)?;
    Ok(with_exif(&file, &exif_with_preview(orientation, &preview)))
}

/// A part of the shape that is asked for, nine tenths of what there is.
fn crop(source: &RgbImage, across: u32, down: u32, random: &mut Random) -> RgbImage {
    let unit = (source.width() / across).min(source.height() / down) * 9 / 10;
    let (width, height) = (across * unit.max(1), down * unit.max(1));
    let left = random.below(source.width().saturating_sub(width) + 1);
    let top = random.below(source.height().saturating_sub(height) + 1);
    imageops::crop_imm(source, left, top, width, height).to_image()
}

fn scaled(source: &RgbImage, width: u32, height: u32) -> Result<RgbImage> {
    let view =
        TypedImageRef::<U8x3>::from_buffer(source.width(), source.height(), source.as_raw())?;
    let mut pixels = vec![0; width as usize * height as usize * 3];
    let mut target = TypedImage::<U8x3>::from_buffer(width, height, &mut pixels)?;
    Resizer::new().resize_typed(&view, &mut target, &ResizeOptions::new())?;
    RgbImage::from_raw(width, height, pixels).context("pixels for all of it")
}

fn encode(
    picture: &RgbImage,
    subsampling: Subsamp,
    quality: i32,
    is_progressive: bool,
) -> Result<Vec<u8>> {
    let mut compressor = Compressor::new()?;
    compressor.set_quality(quality)?;
    compressor.set_subsamp(subsampling)?;
    compressor.set_progressive(is_progressive)?;
    let width = picture.width() as usize;
    Ok(compressor.compress_to_vec(turbojpeg::Image {
        pixels: picture.as_raw().as_slice(),
        width,
        pitch: width * 3,
        height: picture.height() as usize,
        format: PixelFormat::RGB,
    })?)
}

fn with_exif(jpeg: &[u8], exif: &[u8]) -> Vec<u8> {
    let mut file = jpeg[..2].to_vec();
    file.extend([0xff, 0xe1]);
    file.extend((exif.len() as u16 + 8).to_be_bytes());
    file.extend(b"Exif\0\0");
    file.extend(exif);
    file.extend(&jpeg[2..]);
    file
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: u32) -> u32 {
        (self.next() % u64::from(end.max(1))) as u32
    }

    /// About normal, with a deviation of 4.
    fn noise(&mut self) -> i32 {
        let bits = self.next();
        (0..4)
            .map(|byte| (bits >> (byte * 8) & 7) as i32)
            .sum::<i32>()
            - 14
    }
}
