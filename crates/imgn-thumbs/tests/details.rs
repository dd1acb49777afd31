//! What a picture says of itself, learned from a small part of its file.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

use std::io::{Cursor, Read, Seek, SeekFrom};

use exif::experimental::Writer;
use exif::{Field, In, Rational, Tag, Value};
use imgn_testkit::pictures::{self, Heif, HeifCoding, Tiff, TiffCompression};
use imgn_thumbs::{Details, Limits, details, verify};

const WIDTH: u32 = 900;
const HEIGHT: u32 = 600;

/// A file that counts what is read of it.
struct Counted {
    file: Cursor<Vec<u8>>,
    bytes: usize,
    reads: usize,
}

impl Counted {
    fn new(file: Vec<u8>) -> Self {
        Self {
            file: Cursor::new(file),
            bytes: 0,
            reads: 0,
        }
    }
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.bytes += count;
        self.reads += 1;
        Ok(count)
    }
}

impl Seek for Counted {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        self.file.seek(to)
    }
}

fn details_of(file: Vec<u8>) -> Details {
    details(&mut Cursor::new(file)).unwrap()
}

/// EXIF as cameras write it.
fn full_exif(fields: &[(Tag, Value)]) -> Vec<u8> {
    let fields: Vec<_> = fields
        .iter()
        .map(|(tag, value)| Field {
            tag: *tag,
            ifd_num: In::PRIMARY,
            value: value.clone(),
        })
        .collect();
    let mut writer = Writer::new();
    for field in &fields {
        writer.push_field(field);
    }
    let mut block = Cursor::new(Vec::new());
    writer.write(&mut block, true).unwrap();
    block.into_inner()
}

fn text(text: &str) -> Value {
    Value::Ascii(vec![text.into()])
}

fn fraction(num: u32, denom: u32) -> Value {
    fractions(&[(num, denom)])
}

fn fractions(parts: &[(u32, u32)]) -> Value {
    Value::Rational(
        parts
            .iter()
            .map(|&(num, denom)| Rational { num, denom })
            .collect(),
    )
}

fn with_exif(jpeg: &[u8], exif: &[u8]) -> Vec<u8> {
    let mut file = jpeg[..2].to_vec();
    file.extend([0xff, 0xe1]);
    file.extend(u16::try_from(exif.len() + 8).unwrap().to_be_bytes());
    file.extend(b"Exif\0\0");
    file.extend(exif);
    file.extend(&jpeg[2..]);
    file
}

#[test]
fn they_are_what_decoding_the_picture_tells() {
    let mut files = vec![
        ("a JPEG without EXIF", pictures::jpeg(WIDTH, HEIGHT)),
        ("progressive", pictures::progressive_jpeg(WIDTH, HEIGHT)),
        ("with a trailer", pictures::jpeg_with_trailer(WIDTH, HEIGHT)),
        (
            "with an odd header",
            pictures::jpeg_with_odd_header(WIDTH, HEIGHT),
        ),
        ("CMYK", pictures::cmyk_jpeg(WIDTH, HEIGHT)),
        ("an animated PNG", pictures::animated_png(64, 48, 3)),
        ("a GIF", pictures::gif(90, 60)),
        ("an animated GIF", pictures::animated_gif(90, 60, 3)),
        ("BMP", pictures::bmp(WIDTH, HEIGHT, false)),
        ("BMP with alpha", pictures::bmp(WIDTH, HEIGHT, true)),
        ("WebP", pictures::webp(WIDTH, HEIGHT, false)),
        ("WebP with alpha", pictures::webp(WIDTH, HEIGHT, true)),
        ("an animated WebP", pictures::animated_webp(90, 60, 3)),
        ("an AVIF sequence", pictures::animated_avif(3, false)),
        (
            "an AVIF sequence with a picture",
            pictures::animated_avif(3, true),
        ),
        ("JPEG XL", pictures::jxl()),
    ];
    for orientation in pictures::ORIENTATIONS {
        let exif = pictures::exif_block(orientation);
        let tiff = Tiff {
            orientation,
            ..Tiff::default()
        };
        files.extend([
            ("JPEG", pictures::oriented_jpeg(WIDTH, HEIGHT, orientation)),
            ("PNG", pictures::png_with_exif(WIDTH, HEIGHT, orientation)),
            ("WebP", pictures::webp_with_exif(WIDTH, HEIGHT, orientation)),
            ("TIFF", tiff.of_scene(WIDTH, HEIGHT)),
            (
                "a big TIFF",
                Tiff {
                    is_big: true,
                    is_big_endian: true,
                    compression: TiffCompression::Lzw,
                    ..tiff
                }
                .of_scene(WIDTH, HEIGHT),
            ),
            ("a raw", pictures::raw(WIDTH, HEIGHT, orientation)),
            (
                "a raw of Fujifilm's",
                pictures::fujifilm_raw(WIDTH, HEIGHT, orientation),
            ),
            ("JPEG XL turned", pictures::oriented_jxl(orientation)),
            (
                "JPEG XL in boxes",
                pictures::jxl_in_boxes(
                    &pictures::oriented_jxl(orientation),
                    &[(b"Exif", &[&[0; 4], exif.as_slice()].concat())],
                ),
            ),
        ]);
        for coding in [HeifCoding::Av1, HeifCoding::Hevc] {
            let heif = Heif {
                turns: pictures::heif_turns(orientation),
                exif: Some(&exif),
                ..Heif::default()
            };
            files.push(("HEIF", heif.write(coding)));
        }
    }
    for (what, file) in files {
        let picture = verify(&file, &Limits::default(), &[]).unwrap();
        let found = details_of(file);
        let header = &picture.header;
        assert_eq!(
            (found.format, found.width, found.height, found.orientation),
            (
                header.format,
                header.width,
                header.height,
                header.orientation
            ),
            "{what}"
        );
        assert_eq!(found.metadata, picture.metadata, "{what} {}", header.format);
    }
}

#[test]
fn little_is_read_of_a_large_file() {
    let exif = pictures::exif_block(6);
    let noise = |bytes: usize| -> Vec<u8> {
        let mut state = 1_u32;
        let next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        std::iter::repeat_with(next).take(bytes).collect()
    };
    // PNG and WebP may have EXIF data behind the picture.
    let mut late_png = pictures::png(WIDTH, HEIGHT, image::ExtendedColorType::Rgb8);
    let end = late_png.split_off(late_png.len() - 12);
    let chunk = |kind: &[u8; 4], data: &[u8]| {
        let checked = [kind.as_slice(), data].concat();
        let checksum = crc32fast::hash(&checked).to_be_bytes();
        let length = u32::try_from(data.len()).unwrap().to_be_bytes();
        [length.as_slice(), &checked, &checksum].concat()
    };
    for part in noise(4 << 20).chunks(8192) {
        late_png.extend(chunk(b"noIs", part));
    }
    late_png.extend(chunk(b"eXIf", &exif));
    late_png.extend(end);

    let mut jpeg = pictures::oriented_jpeg(WIDTH, HEIGHT, 6);
    let scan = jpeg.len() - 2;
    jpeg.splice(scan..scan, noise(4 << 20));
    // As phones do: other pictures' gain maps and profiles before the frame.
    let mut far_frame = jpeg[..2].to_vec();
    let exif_end = 4 + usize::from(u16::from_be_bytes([jpeg[4], jpeg[5]]));
    far_frame.extend(&jpeg[2..exif_end]);
    for part in noise(400 << 10).chunks(65_000) {
        far_frame.extend([0xff, 0xe2]);
        far_frame.extend(u16::try_from(part.len() + 2).unwrap().to_be_bytes());
        far_frame.extend(part);
    }
    far_frame.extend(&jpeg[exif_end..]);

    let tiff = Tiff {
        orientation: 6,
        ..Tiff::default()
    };
    let heif = Heif {
        turns: pictures::heif_turns(6),
        exif: Some(&exif),
        ..Heif::default()
    };
    let mut heic = heif.write(HeifCoding::Hevc);
    heic.extend(4_194_312_u32.to_be_bytes());
    heic.extend(b"free");
    heic.extend(noise(4 << 20));
    for (what, file, most_bytes, most_reads) in [
        ("JPEG", jpeg, 64 << 10, 1),
        ("JPEG with a frame far away", far_frame, 70 << 10, 9),
        ("PNG with EXIF at its end", late_png, 128 << 10, 4),
        (
            "TIFF with its directory at its end",
            tiff.of_scene(2000, 1500),
            192 << 10,
            3,
        ),
        ("raw", pictures::raw(3000, 2000, 6), 256 << 10, 5),
        ("HEIC", heic, 64 << 10, 1),
    ] {
        let length = file.len();
        assert!(length > 400 << 10, "{what}: {length}");
        let mut counted = Counted::new(file);
        let found = details(&mut counted).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(
            found.metadata.camera.as_deref(),
            Some("imgn Test 1"),
            "{what}"
        );
        let told = format!("{what}: {} in {}", counted.bytes, counted.reads);
        assert!(counted.bytes <= most_bytes, "{told}");
        assert!(counted.reads <= most_reads, "{told}");
    }
}

#[test]
fn a_camera_tells_lens_exposure_zone_and_place() {
    let exif = full_exif(&[
        (Tag::Make, text("NIKON CORPORATION")),
        (Tag::Model, text("NIKON D850")),
        (Tag::DateTimeOriginal, text("2023:07:01 12:34:56")),
        (Tag::OffsetTimeOriginal, text("+05:30")),
        (Tag::LensModel, text("NIKKOR Z 24-70mm f/2.8 S")),
        (Tag::ExposureTime, fraction(1, 250)),
        (Tag::FNumber, fraction(28, 10)),
        (Tag::PhotographicSensitivity, Value::Short(vec![640])),
        (Tag::FocalLength, fraction(50, 1)),
        (Tag::GPSLatitudeRef, text("S")),
        (
            Tag::GPSLatitude,
            fractions(&[(33, 1), (51, 1), (3156, 100)]),
        ),
        (Tag::GPSLongitudeRef, text("E")),
        (Tag::GPSLongitude, fractions(&[(151, 1), (12, 1), (0, 1)])),
    ]);
    let file = with_exif(&pictures::jpeg(WIDTH, HEIGHT), &exif);
    let metadata = details_of(file.clone()).metadata;
    assert_eq!(
        verify(&file, &Limits::default(), &[]).unwrap().metadata,
        metadata
    );
    assert_eq!(
        metadata.taken_at.unwrap().to_string(),
        "2023-07-01T07:04:56Z"
    );
    assert_eq!(metadata.utc_offset.unwrap().seconds(), 5 * 3600 + 1800);
    assert_eq!(metadata.lens.as_deref(), Some("NIKKOR Z 24-70mm f/2.8 S"));
    assert_eq!(metadata.exposure.seconds, Some(0.004));
    assert_eq!(metadata.exposure.f_number, Some(2.8));
    assert_eq!(metadata.exposure.iso, Some(640));
    assert_eq!(metadata.exposure.focal_length, Some(50.0));
    assert!(metadata.has_location);
    let place = metadata.location.unwrap();
    assert!((place.latitude + 33.858_766).abs() < 1e-5, "{place:?}");
    assert!((place.longitude - 151.2).abs() < 1e-9, "{place:?}");
}

#[test]
fn what_makes_no_sense_is_left_out_and_the_rest_stays() {
    let exif = full_exif(&[
        (Tag::Model, text("X")),
        (Tag::ExposureTime, fraction(1, 0)),
        (Tag::FNumber, fraction(0, 1)),
        (Tag::PhotographicSensitivity, Value::Short(vec![65_535])),
        (Tag::ISOSpeed, Value::Long(vec![102_400])),
        (Tag::FocalLength, text("wide")),
        (Tag::GPSLatitude, fractions(&[(91, 1)])),
        (Tag::GPSLatitudeRef, text("N")),
        (Tag::GPSLongitude, fractions(&[(0, 0)])),
        (Tag::GPSLongitudeRef, text("E")),
    ]);
    let metadata = details_of(with_exif(&pictures::jpeg(WIDTH, HEIGHT), &exif)).metadata;
    assert_eq!(metadata.camera.as_deref(), Some("X"));
    assert_eq!(metadata.exposure.seconds, None);
    assert_eq!(metadata.exposure.f_number, None);
    assert_eq!(metadata.exposure.iso, Some(102_400));
    assert_eq!(metadata.exposure.focal_length, None);
    assert!(metadata.has_location, "there is something, if unreadable");
    assert_eq!(metadata.location, None);

    // A directory that promises more than there is: what is there is read.
    let mut cut = pictures::exif_block(6);
    cut[8] = 40;
    let found = details_of(with_exif(&pictures::jpeg(WIDTH, HEIGHT), &cut));
    assert_eq!((found.width, found.height), (HEIGHT, WIDTH));
}

#[test]
fn a_file_whose_rest_is_missing_has_details() {
    let mut file = pictures::oriented_jpeg(WIDTH, HEIGHT, 6);
    file.truncate(2000);
    let found = details_of(file);
    // Stored as 600 x 900.
    assert_eq!((found.width, found.height), (WIDTH, HEIGHT));
    for file in [b"".as_slice(), b"hello", b"\xff\xd8\xff\xe0"] {
        details(&mut Cursor::new(file.to_vec())).unwrap_err();
    }
}

#[test]
fn no_bytes_make_it_panic() {
    let exif = pictures::exif_block(6);
    let heif = Heif {
        exif: Some(&exif),
        ..Heif::default()
    };
    for file in [
        pictures::oriented_jpeg(64, 48, 6),
        pictures::png_with_exif(64, 48, 6),
        pictures::webp_with_exif(64, 48, 6),
        pictures::animated_gif(64, 48, 2),
        pictures::bmp(64, 48, false),
        Tiff::default().of_scene(64, 48),
        pictures::raw(64, 48, 6),
        pictures::fujifilm_raw(64, 48, 6),
        pictures::oriented_jxl(6),
        heif.write(HeifCoding::Av1),
    ] {
        let mut state = 7_u64;
        for _ in 0..2000 {
            let mut next = |below: usize| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                (state >> 33) as usize % below
            };
            let mut changed = file.clone();
            for _ in 0..=next(4) {
                let at = next(changed.len().min(1024));
                changed[at] = [0, 0xff, 0x80, next(256) as u8][next(4)];
            }
            if next(4) == 0 {
                changed.truncate(next(changed.len()));
            }
            // Whatever it answers.
            let _ = details(&mut Cursor::new(changed));
        }
    }
}
