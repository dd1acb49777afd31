//! Pictures with a colour profile, in each format's own way.

use std::io::Cursor;

use image::codecs::png::PngEncoder;
use image::codecs::webp::WebPEncoder;
use image::{DynamicImage, ImageEncoder, RgbImage};

use super::encode::jpeg_of;

/// Bytes of a profile in one segment: fewer than fit, so that there are several.
const PART: usize = 200;

/// A JPEG whose profile comes in several segments.
#[must_use]
pub fn jpeg_with_profile(picture: &RgbImage, profile: &[u8]) -> Vec<u8> {
    let jpeg = jpeg_of(picture);
    let parts: Vec<&[u8]> = profile.chunks(PART).collect();
    let mut file = jpeg[..2].to_vec();
    for (index, part) in parts.iter().enumerate() {
        file.extend([0xff, 0xe2]);
        file.extend((part.len() as u16 + 16).to_be_bytes());
        file.extend(b"ICC_PROFILE\0");
        file.extend([index as u8 + 1, parts.len() as u8]);
        file.extend(*part);
    }
    file.extend(&jpeg[2..]);
    file
}

/// A PNG with an `iCCP` chunk.
#[must_use]
pub fn png_with_profile(picture: &DynamicImage, profile: &[u8]) -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    let mut encoder = PngEncoder::new(&mut file);
    encoder.set_icc_profile(profile.to_vec()).unwrap();
    picture.write_with_encoder(encoder).unwrap();
    file.into_inner()
}

/// A WebP with an `ICCP` chunk.
#[must_use]
pub fn webp_with_profile(picture: &RgbImage, profile: &[u8]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = WebPEncoder::new_lossless(&mut file);
    encoder.set_icc_profile(profile.to_vec()).unwrap();
    DynamicImage::ImageRgb8(picture.clone())
        .write_with_encoder(encoder)
        .unwrap();
    file
}
