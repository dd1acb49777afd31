//! JPEG files in the ways in which cameras and programs write them.

use image::{DynamicImage, RgbImage};
use turbojpeg::{Compressor, PixelFormat, Subsamp};

use super::encode::{exif_block, inverse, with_app1};

/// What a JPEG is to be like; pictures are given upright.
#[derive(Debug, Clone)]
pub struct Jpeg {
    /// How coarse its chroma is, or that it is grey.
    pub subsampling: Subsamp,
    /// Whether it comes in several scans.
    pub progressive: bool,
    /// How it is stored: EXIF's number, 1 to 8.
    pub orientation: u16,
    /// What a camera keeps in the EXIF data to be shown first: stored in the same way.
    pub preview: Option<RgbImage>,
}

impl Default for Jpeg {
    /// As most cameras write it.
    fn default() -> Self {
        Self {
            subsampling: Subsamp::Sub2x2,
            progressive: false,
            orientation: 1,
            preview: None,
        }
    }
}

impl Jpeg {
    /// The file.
    #[must_use]
    pub fn of(&self, picture: &RgbImage) -> Vec<u8> {
        let exif = match &self.preview {
            Some(preview) => {
                let preview = compressed(&self.stored(preview), Subsamp::Sub2x2, false);
                exif_with_preview(self.orientation, &preview)
            }
            None => exif_block(self.orientation),
        };
        let file = compressed(&self.stored(picture), self.subsampling, self.progressive);
        with_app1(&file, &exif)
    }

    fn stored(&self, picture: &RgbImage) -> RgbImage {
        let mut picture = DynamicImage::ImageRgb8(picture.clone());
        picture.apply_orientation(inverse(self.orientation));
        picture.into_rgb8()
    }
}

/// EXIF data as [`exif_block`]'s, with a second directory that says where the `preview`, a JPEG file, is.
#[must_use]
pub fn exif_with_preview(orientation: u16, preview: &[u8]) -> Vec<u8> {
    // The first directory begins at 8 and has four entries of 12 bytes; behind them is where the next one is.
    const LINK: usize = 8 + 2 + 4 * 12;
    let mut exif = exif_block(orientation);
    let directory = exif.len() as u32;
    exif[LINK..LINK + 4].copy_from_slice(&directory.to_le_bytes());
    let data = directory + 2 + 2 * 12 + 4;
    exif.extend(2_u16.to_le_bytes());
    for (tag, value) in [(0x0201_u16, data), (0x0202, preview.len() as u32)] {
        exif.extend(tag.to_le_bytes());
        exif.extend(4_u16.to_le_bytes());
        exif.extend(1_u32.to_le_bytes());
        exif.extend(value.to_le_bytes());
    }
    exif.extend([0; 4]);
    exif.extend(preview);
    exif
}

fn compressed(picture: &RgbImage, subsampling: Subsamp, is_progressive: bool) -> Vec<u8> {
    let mut compressor = Compressor::new().unwrap();
    compressor.set_quality(90).unwrap();
    compressor.set_subsamp(subsampling).unwrap();
    compressor.set_progressive(is_progressive).unwrap();
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    compressor
        .compress_to_vec(turbojpeg::Image {
            pixels: picture.as_raw().as_slice(),
            width,
            pitch: width * 3,
            height,
            format: PixelFormat::RGB,
        })
        .unwrap()
}
