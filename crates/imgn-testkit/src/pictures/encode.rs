//! Sound pictures, a function for each kind.

use std::borrow::Cow;
use std::io::Cursor;

use exif::experimental::Writer;
use exif::{Field, In, Rational, Tag, Value};
use image::codecs::png::PngEncoder;
use image::codecs::webp::WebPEncoder;
use image::metadata::Orientation;
use image::{DynamicImage, ExtendedColorType, ImageEncoder, RgbImage, RgbaImage};

use super::scene;

/// A baseline JPEG of the scene.
#[must_use]
pub fn jpeg(width: u32, height: u32) -> Vec<u8> {
    jpeg_of(&scene(width, height))
}

/// A JPEG whose stored pixels are turned such that EXIF orientation `orientation` (1 to 8) makes them upright: then it
/// has `width` and `height`. Its EXIF data also name a camera, `imgn Test 1`, and a time, `2023-07-01T10:34:56Z`.
#[must_use]
pub fn oriented_jpeg(width: u32, height: u32, orientation: u16) -> Vec<u8> {
    let mut picture = DynamicImage::ImageRgb8(scene(width, height));
    picture.apply_orientation(inverse(orientation));
    with_app1(&jpeg_of(&picture.into_rgb8()), &exif_block(orientation))
}

/// A progressive JPEG.
#[must_use]
pub fn progressive_jpeg(width: u32, height: u32) -> Vec<u8> {
    let picture = scene(width, height);
    let mut compressor = turbojpeg::Compressor::new().unwrap();
    compressor.set_progressive(true).unwrap();
    compressor.set_quality(85).unwrap();
    compressor
        .compress_to_vec(turbojpeg::Image {
            pixels: picture.as_raw().as_slice(),
            width: width as usize,
            pitch: width as usize * 3,
            height: height as usize,
            format: turbojpeg::PixelFormat::RGB,
        })
        .unwrap()
}

/// A JPEG in inks, as Adobe's programs write it: four components, inverted.
#[must_use]
pub fn cmyk_jpeg(width: u32, height: u32) -> Vec<u8> {
    // Without black, inverted inks are the colours themselves.
    let pixels: Vec<u8> = scene(width, height)
        .pixels()
        .flat_map(|pixel| [pixel[0], pixel[1], pixel[2], 255])
        .collect();
    let mut compressor = turbojpeg::Compressor::new().unwrap();
    compressor.set_quality(90).unwrap();
    compressor
        .compress_to_vec(turbojpeg::Image {
            pixels: pixels.as_slice(),
            width: width as usize,
            pitch: width as usize * 4,
            height: height as usize,
            format: turbojpeg::PixelFormat::CMYK,
        })
        .unwrap()
}

/// A PNG of the scene in one of PNG's ways to store colours: `L8`, `La8`, `Rgb8`, `Rgba8`, or the same with `16`.
/// With alpha, the right half is transparent.
#[must_use]
pub fn png(width: u32, height: u32, color: ExtendedColorType) -> Vec<u8> {
    let picture = DynamicImage::ImageRgba8(half_transparent(width, height));
    let opaque = DynamicImage::ImageRgb8(scene(width, height));
    let mut file = Vec::new();
    let picture = match color {
        ExtendedColorType::L8 => DynamicImage::ImageLuma8(opaque.into_luma8()),
        ExtendedColorType::La8 => DynamicImage::ImageLumaA8(picture.into_luma_alpha8()),
        ExtendedColorType::Rgb8 => opaque,
        ExtendedColorType::Rgba8 => picture,
        ExtendedColorType::L16 => DynamicImage::ImageLuma16(opaque.into_luma16()),
        ExtendedColorType::La16 => DynamicImage::ImageLumaA16(picture.into_luma_alpha16()),
        ExtendedColorType::Rgb16 => DynamicImage::ImageRgb16(opaque.into_rgb16()),
        ExtendedColorType::Rgba16 => DynamicImage::ImageRgba16(picture.into_rgba16()),
        other => panic!("PNG has no {other:?}"),
    };
    picture
        .write_with_encoder(PngEncoder::new(&mut file))
        .unwrap();
    file
}

/// A PNG whose `eXIf` chunk says that it is to be turned; stored as [`oriented_jpeg`] stores.
#[must_use]
pub fn png_with_exif(width: u32, height: u32, orientation: u16) -> Vec<u8> {
    let mut picture = DynamicImage::ImageRgb8(scene(width, height));
    picture.apply_orientation(inverse(orientation));
    let mut file = Vec::new();
    let mut encoder = PngEncoder::new(&mut file);
    encoder.set_exif_metadata(exif_block(orientation)).unwrap();
    picture.write_with_encoder(encoder).unwrap();
    file
}

/// A PNG of 216 colours.
#[must_use]
pub fn palette_png(width: u32, height: u32) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = ::png::Encoder::new(&mut file, width, height);
    encoder.set_color(::png::ColorType::Indexed);
    encoder.set_depth(::png::BitDepth::Eight);
    encoder.set_palette(palette());
    let mut writer = encoder.write_header().unwrap();
    writer
        .write_image_data(&indexed(&scene(width, height)))
        .unwrap();
    writer.finish().unwrap();
    file
}

/// An RGB PNG interlaced by Adam7, not compressed.
#[must_use]
pub fn interlaced_png(width: u32, height: u32) -> Vec<u8> {
    // First column, step, first row, step.
    const PASSES: [(u32, usize, u32, usize); 7] = [
        (0, 8, 0, 8),
        (4, 8, 0, 8),
        (0, 4, 4, 8),
        (2, 4, 0, 4),
        (0, 2, 2, 4),
        (1, 2, 0, 2),
        (0, 1, 1, 2),
    ];
    let picture = scene(width, height);
    let mut rows = Vec::new();
    for (left, columns, top, lines) in PASSES {
        for y in (top..height).step_by(lines) {
            let row: Vec<u8> = (left..width)
                .step_by(columns)
                .flat_map(|x| picture.get_pixel(x, y).0)
                .collect();
            if !row.is_empty() {
                // The row is not filtered.
                rows.push(0);
                rows.extend(row);
            }
        }
    }
    let mut header = Vec::new();
    header.extend(width.to_be_bytes());
    header.extend(height.to_be_bytes());
    header.extend([8, 2, 0, 0, 1]);
    png_of_chunks(&[
        (b"IHDR", &header),
        (b"IDAT", &stored_zlib(&rows)),
        (b"IEND", &[]),
    ])
}

/// An animated PNG: the scene, then shades of grey.
#[must_use]
pub fn animated_png(width: u32, height: u32, frames: u32) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = ::png::Encoder::new(&mut file, width, height);
    encoder.set_color(::png::ColorType::Rgb);
    encoder.set_depth(::png::BitDepth::Eight);
    encoder.set_animated(frames, 0).unwrap();
    encoder.set_frame_delay(1, 10).unwrap();
    let mut writer = encoder.write_header().unwrap();
    writer
        .write_image_data(scene(width, height).as_raw())
        .unwrap();
    for frame in 1..frames {
        let grey = vec![(frame * 17 % 256) as u8; (width * height * 3) as usize];
        writer.write_image_data(&grey).unwrap();
    }
    writer.finish().unwrap();
    file
}

/// A GIF of one frame.
#[must_use]
pub fn gif(width: u16, height: u16) -> Vec<u8> {
    animated_gif(width, height, 1)
}

/// A GIF: the scene, then frames of one colour each.
#[must_use]
pub fn animated_gif(width: u16, height: u16, frames: u16) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = ::gif::Encoder::new(&mut file, width, height, &palette()).unwrap();
    let first = indexed(&scene(u32::from(width), u32::from(height)));
    for number in 0..frames {
        let buffer = match number {
            0 => Cow::Borrowed(first.as_slice()),
            _ => Cow::Owned(vec![(number % 216) as u8; first.len()]),
        };
        encoder
            .write_frame(&::gif::Frame {
                width,
                height,
                buffer,
                delay: 10,
                ..Default::default()
            })
            .unwrap();
    }
    drop(encoder);
    file
}

/// A BMP of 24 bits a pixel; with `alpha`, of 32, its right half transparent.
#[must_use]
pub fn bmp(width: u32, height: u32, alpha: bool) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = image::codecs::bmp::BmpEncoder::new(&mut file);
    if alpha {
        let picture = half_transparent(width, height);
        encoder
            .encode(picture.as_raw(), width, height, ExtendedColorType::Rgba8)
            .unwrap();
    } else {
        let picture = scene(width, height);
        encoder
            .encode(picture.as_raw(), width, height, ExtendedColorType::Rgb8)
            .unwrap();
    }
    file
}

/// A lossless WebP; with `alpha`, its right half is transparent.
#[must_use]
pub fn webp(width: u32, height: u32, alpha: bool) -> Vec<u8> {
    let mut file = Vec::new();
    let encoder = WebPEncoder::new_lossless(&mut file);
    if alpha {
        let picture = half_transparent(width, height);
        encoder
            .encode(picture.as_raw(), width, height, ExtendedColorType::Rgba8)
            .unwrap();
    } else {
        encoder
            .encode(
                scene(width, height).as_raw(),
                width,
                height,
                ExtendedColorType::Rgb8,
            )
            .unwrap();
    }
    file
}

/// A lossless WebP whose EXIF chunk says that it is to be turned; stored as [`oriented_jpeg`] stores.
#[must_use]
pub fn webp_with_exif(width: u32, height: u32, orientation: u16) -> Vec<u8> {
    let mut picture = DynamicImage::ImageRgb8(scene(width, height));
    picture.apply_orientation(inverse(orientation));
    let mut file = Vec::new();
    let mut encoder = WebPEncoder::new_lossless(&mut file);
    encoder.set_exif_metadata(exif_block(orientation)).unwrap();
    picture.write_with_encoder(encoder).unwrap();
    file
}

/// An animated WebP: `frames` times the scene, lossless.
#[must_use]
pub fn animated_webp(width: u32, height: u32, frames: u32) -> Vec<u8> {
    animation(&webp(width, height, false), (width, height), frames)
}

/// An animated WebP of one colour: a few bytes for each frame, and all of its pixels for a decoder.
#[must_use]
pub fn slow_webp(width: u32, height: u32, frames: u32) -> Vec<u8> {
    let mut still = Vec::new();
    let grey = vec![0x77; (width * height * 3) as usize];
    WebPEncoder::new_lossless(&mut still)
        .encode(&grey, width, height, ExtendedColorType::Rgb8)
        .unwrap();
    animation(&still, (width, height), frames)
}

/// A lossless WebP so many times.
fn animation(still: &[u8], (width, height): (u32, u32), frames: u32) -> Vec<u8> {
    let three = |number: u32| number.to_le_bytes()[..3].to_vec();
    // What follows the RIFF header is one chunk, picture data.
    let data = &still[12..];
    let mut body = b"WEBP".to_vec();
    let extended = [vec![0x02, 0, 0, 0], three(width - 1), three(height - 1)].concat();
    push_riff(&mut body, b"VP8X", &extended);
    push_riff(&mut body, b"ANIM", &[0; 6]);
    for _ in 0..frames {
        let frame = [
            three(0),
            three(0),
            three(width - 1),
            three(height - 1),
            three(100),
            vec![0],
            data.to_vec(),
        ];
        push_riff(&mut body, b"ANMF", &frame.concat());
    }
    let mut file = b"RIFF".to_vec();
    file.extend((body.len() as u32).to_le_bytes());
    file.extend(body);
    file
}

/// EXIF data, from the TIFF header on: orientation, maker, model, and time with zone.
#[must_use]
pub fn exif_block(orientation: u16) -> Vec<u8> {
    const MAKE: &[u8] = b"imgn\0";
    const MODEL: &[u8] = b"imgn Test 1\0";
    const TAKEN: &[u8] = b"2023:07:01 12:34:56\0";
    const ZONE: &[u8] = b"+02:00\0";
    const MAIN: usize = 8;
    // A count, four entries of 12 bytes, and where the next directory is; then one of two entries.
    const EXIF: usize = MAIN + 2 + 4 * 12 + 4;
    const VALUES: usize = EXIF + 2 + 2 * 12 + 4;
    let entry = |tag: u16, kind: u16, count: usize, value: u32| {
        let mut entry = Vec::new();
        entry.extend(tag.to_le_bytes());
        entry.extend(kind.to_le_bytes());
        entry.extend((count as u32).to_le_bytes());
        entry.extend(value.to_le_bytes());
        entry
    };
    let text = |tag, value: &[u8], at: usize| entry(tag, 2, value.len(), at as u32);
    let (make, model) = (VALUES, VALUES + MAKE.len());
    let taken = model + MODEL.len();
    let zone = taken + TAKEN.len();
    [
        b"II*\0".to_vec(),
        (MAIN as u32).to_le_bytes().to_vec(),
        4_u16.to_le_bytes().to_vec(),
        text(0x010f, MAKE, make),
        text(0x0110, MODEL, model),
        entry(0x0112, 3, 1, u32::from(orientation)),
        entry(0x8769, 4, 1, EXIF as u32),
        vec![0; 4],
        2_u16.to_le_bytes().to_vec(),
        text(0x9003, TAKEN, taken),
        text(0x9011, ZONE, zone),
        vec![0; 4],
        [MAKE, MODEL, TAKEN, ZONE].concat(),
    ]
    .concat()
}

/// A JPEG that tells camera, lens, exposure, and a place: 48.1372 N, 11.5756 E.
#[must_use]
pub fn described_jpeg(width: u32, height: u32) -> Vec<u8> {
    let text = |text: &str| Value::Ascii(vec![text.into()]);
    let fractions = |parts: &[(u32, u32)]| {
        let parts = parts.iter().map(|&(num, denom)| Rational { num, denom });
        Value::Rational(parts.collect())
    };
    let fields = [
        (Tag::Make, text("NIKON CORPORATION")),
        (Tag::Model, text("NIKON D850")),
        (Tag::LensModel, text("NIKKOR Z 24-70mm f/2.8 S")),
        (Tag::ExposureTime, fractions(&[(1, 250)])),
        (Tag::FNumber, fractions(&[(28, 10)])),
        (Tag::PhotographicSensitivity, Value::Short(vec![640])),
        (Tag::FocalLength, fractions(&[(50, 1)])),
        (Tag::GPSLatitudeRef, text("N")),
        (Tag::GPSLatitude, fractions(&[(481_372, 10_000)])),
        (Tag::GPSLongitudeRef, text("E")),
        (Tag::GPSLongitude, fractions(&[(115_756, 10_000)])),
    ]
    .map(|(tag, value)| Field {
        tag,
        ifd_num: In::PRIMARY,
        value,
    });
    let mut writer = Writer::new();
    for field in &fields {
        writer.push_field(field);
    }
    let mut block = Cursor::new(Vec::new());
    writer.write(&mut block, true).unwrap();
    with_app1(&jpeg(width, height), block.get_ref())
}

pub(super) fn png_of_chunks(chunks: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    for (kind, data) in chunks {
        file.extend((data.len() as u32).to_be_bytes());
        let start = file.len();
        file.extend(*kind);
        file.extend(*data);
        let checksum = crc32fast::hash(&file[start..]);
        file.extend(checksum.to_be_bytes());
    }
    file
}

/// A zlib stream of blocks that are stored as they are.
pub(super) fn stored_zlib(data: &[u8]) -> Vec<u8> {
    let mut stream = vec![0x78, 0x01];
    let mut blocks = data.chunks(0xffff).peekable();
    while let Some(block) = blocks.next() {
        let length = block.len() as u16;
        stream.push(u8::from(blocks.peek().is_none()));
        stream.extend(length.to_le_bytes());
        stream.extend((!length).to_le_bytes());
        stream.extend(block);
    }
    let (low, high) = data.iter().fold((1_u32, 0_u32), |(low, high), &byte| {
        let low = (low + u32::from(byte)) % 65_521;
        (low, (high + low) % 65_521)
    });
    stream.extend((high << 16 | low).to_be_bytes());
    stream
}

pub(super) fn jpeg_of(picture: &RgbImage) -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    image::codecs::jpeg::JpegEncoder::new_with_quality(&mut file, 90)
        .encode_image(picture)
        .unwrap();
    file.into_inner()
}

pub(super) fn with_app1(jpeg: &[u8], exif: &[u8]) -> Vec<u8> {
    let mut file = jpeg[..2].to_vec();
    file.extend([0xff, 0xe1]);
    file.extend(((exif.len() + 8) as u16).to_be_bytes());
    file.extend(b"Exif\0\0");
    file.extend(exif);
    file.extend(&jpeg[2..]);
    file
}

/// What turns an upright picture into the one that is stored under `orientation`.
pub(super) fn inverse(orientation: u16) -> Orientation {
    match orientation {
        6 => Orientation::Rotate270,
        8 => Orientation::Rotate90,
        other => Orientation::from_exif(other as u8).unwrap(),
    }
}

pub(super) fn half_transparent(width: u32, height: u32) -> RgbaImage {
    let scene = scene(width, height);
    RgbaImage::from_fn(width, height, |x, y| {
        let [red, green, blue] = scene.get_pixel(x, y).0;
        image::Rgba([red, green, blue, if x * 2 < width { 255 } else { 0 }])
    })
}

/// Six shades of each colour.
pub(super) fn palette() -> Vec<u8> {
    (0..216_u32)
        .flat_map(|index| [index / 36, index / 6 % 6, index % 6].map(|shade| (shade * 51) as u8))
        .collect()
}

pub(super) fn indexed(picture: &RgbImage) -> Vec<u8> {
    picture
        .pixels()
        .map(|pixel| {
            let [red, green, blue] = pixel.0.map(|value| ((u16::from(value) + 25) / 51) as u8);
            red * 36 + green * 6 + blue
        })
        .collect()
}

fn push_riff(body: &mut Vec<u8>, kind: &[u8; 4], data: &[u8]) {
    body.extend(kind);
    body.extend((data.len() as u32).to_le_bytes());
    body.extend(data);
    if data.len() % 2 == 1 {
        body.push(0);
    }
}
