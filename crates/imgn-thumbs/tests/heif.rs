//! AVIF and HEIC: turns, tiles, frames, and files that say what is not so.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use image::metadata::Orientation;
use image::{DynamicImage, RgbImage, imageops};
use imgn_testkit::pictures::{self, HEIF_SIZE, Heif, HeifCoding, HeifPlace, HeifTurn};
use imgn_thumbs::{Format, Limits, Picture, PictureError, inspect, sniff, verify};

const CODINGS: [HeifCoding; 3] = [HeifCoding::Av1, HeifCoding::Hevc, HeifCoding::DeepHevc];
/// What lossy coding, of the picture and of its thumbnail, may change on average.
const TOLERANCE: f64 = 7.0;

fn scene() -> RgbImage {
    pictures::scene(HEIF_SIZE.0, HEIF_SIZE.1)
}

fn shown(file: &[u8]) -> (Picture, RgbImage) {
    let mut picture = verify(file, &Limits::default(), &[320]).unwrap();
    let jpeg = picture.renditions.remove(0).jpeg;
    let shown = image::load_from_memory_with_format(&jpeg, image::ImageFormat::Jpeg);
    (picture, shown.unwrap().into_rgb8())
}

fn assert_shows(file: &[u8], expected: &RgbImage, what: &str) -> Picture {
    let (picture, shown) = shown(file);
    let size = (picture.header.width, picture.header.height);
    assert_eq!(size, expected.dimensions(), "{what}");
    let difference = pictures::mean_difference(&shown, expected);
    assert!(difference < TOLERANCE, "{what}: {difference}");
    picture
}

fn oriented(orientation: u16) -> RgbImage {
    let mut picture = DynamicImage::ImageRgb8(scene());
    let orientation = Orientation::from_exif(u8::try_from(orientation).unwrap());
    picture.apply_orientation(orientation.unwrap());
    picture.into_rgb8()
}

#[test]
fn all_eight_orientations_stand_upright_whatever_exif_says() {
    for coding in CODINGS {
        for orientation in pictures::ORIENTATIONS {
            let expected = oriented(orientation);
            for contradicting in [None, Some(orientation % 8 + 1)] {
                let exif = contradicting.map(pictures::exif_block);
                let file = Heif {
                    turns: pictures::heif_turns(orientation),
                    exif: exif.as_deref(),
                    ..Heif::default()
                };
                let what = format!("{coding:?} {orientation} against {contradicting:?}");
                let picture = assert_shows(&file.write(coding), &expected, &what);
                let camera = contradicting.map(|_| "imgn Test 1");
                assert_eq!(picture.metadata.camera.as_deref(), camera, "{what}");
            }
        }
    }
}

#[test]
fn exif_is_read_wherever_it_lies() {
    let plain = pictures::exif_block(1);
    let marked = [b"Exif\0\0", plain.as_slice()].concat();
    for exif in [&plain, &marked] {
        for place in [HeifPlace::File, HeifPlace::Items] {
            let file = Heif {
                exif: Some(exif),
                place,
                ..Heif::default()
            };
            let (picture, _) = shown(&file.write(HeifCoding::Av1));
            assert_eq!(picture.metadata.camera.as_deref(), Some("imgn Test 1"));
        }
    }
}

#[test]
fn tiles_make_one_picture_which_is_cut_and_turned() {
    let (width, height) = (110, 70);
    let scene = scene();
    let whole = RgbImage::from_fn(width, height, |x, y| {
        *scene.get_pixel(x % HEIF_SIZE.0, y % HEIF_SIZE.1)
    });
    let tiled = |turns: &[HeifTurn]| {
        let file = Heif {
            tiles: Some((2, 2, 110, 70)),
            turns: turns.to_vec(),
            ..Heif::default()
        };
        file.write(HeifCoding::Av1)
    };
    assert_shows(&tiled(&[]), &whole, "whole");
    let cut = imageops::crop_imm(&whole, 5, 10, 100, 50).to_image();
    let turned = imageops::rotate270(&cut);
    let turns = [HeifTurn::Cut(100, 50), HeifTurn::Rotate(1)];
    assert_shows(&tiled(&turns), &turned, "cut and turned");
}

#[test]
fn a_sequence_is_an_animation_with_or_without_a_picture_beside_it() {
    for with_picture in [true, false] {
        let file = pictures::animated_avif(5, with_picture);
        assert_eq!(sniff(&file), Some(Format::Avif));
        let picture = assert_shows(&file, &scene(), "sequence");
        assert!(picture.header.animated);
        assert_eq!(picture.header.frames, 5);
        let few_frames = Limits {
            max_frames: 4,
            ..Limits::default()
        };
        assert!(matches!(
            inspect(&file, &few_frames),
            Err(PictureError::TooManyFrames {
                count: 5,
                max: 4,
                ..
            })
        ));
        // The last frame has other bytes: not what a decoder can read, or not all that it was.
        let mut broken = file.clone();
        let last = file.len() - 700;
        broken[last..].fill(0);
        let error = verify(&broken, &Limits::default(), &[]);
        assert!(
            matches!(error, Err(PictureError::Corrupt { .. })),
            "{error:?}"
        );
    }
}

fn is_damaged(file: &[u8], limits: &Limits) -> bool {
    matches!(
        verify(file, limits, &[320]),
        Err(PictureError::Corrupt { .. })
    )
}

#[test]
fn what_is_cut_off_is_refused() {
    let mut files = vec![
        pictures::animated_avif(3, true),
        pictures::animated_avif(3, false),
    ];
    files.extend(CODINGS.map(|coding| Heif::default().write(coding)));
    for file in files {
        for share in [0.1, 0.5, 0.9, 0.99] {
            let part = pictures::truncated(&file, share);
            assert!(is_damaged(&part, &Limits::default()), "{share}");
        }
    }
}

/// Replaces the only place where a file has these bytes.
fn replaced(file: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut places = file.windows(from.len()).enumerate();
    let (at, _) = places.find(|(_, window)| *window == from).unwrap();
    let mut file = file.to_vec();
    file[at..at + to.len()].copy_from_slice(to);
    file
}

fn size_of(width: u32, height: u32) -> Vec<u8> {
    [
        b"ispe\0\0\0\0",
        &width.to_be_bytes()[..],
        &height.to_be_bytes(),
    ]
    .concat()
}

#[test]
fn a_size_is_checked_before_anything_is_decoded() {
    for (coding, width, height) in [(HeifCoding::Av1, 60, 40), (HeifCoding::Hevc, 64, 64)] {
        let file = Heif::default().write(coding);
        let claimed =
            |to: (u32, u32)| replaced(&file, &size_of(width, height), &size_of(to.0, to.1));
        let huge = claimed((60_000, 60_000));
        // HEVC's parameter sets contradict it at once.
        assert!(inspect(&huge, &Limits::default()).is_err(), "{coding:?}");
        // Neither more nor less than what is coded.
        assert!(is_damaged(
            &claimed((width + 10, height)),
            &Limits::default()
        ));
        if coding == HeifCoding::Av1 {
            assert!(is_damaged(
                &claimed((width - 1, height)),
                &Limits::default()
            ));
        }
    }
}

#[test]
fn data_of_another_kind_than_announced_are_refused() {
    let file = Heif::default().write(HeifCoding::Av1);
    // 10 bits; and grey.
    for flags in [0x4c, 0x1c] {
        let other = replaced(
            &file,
            b"av1C\x81\0\x0c\0",
            &[b"av1C\x81\0", &[flags, 0][..]].concat(),
        );
        assert!(is_damaged(&other, &Limits::default()), "{flags:x}");
    }
}

#[test]
fn what_is_not_taken_is_told_from_what_is_damaged() {
    let file = Heif::default().write(HeifCoding::Hevc);
    for kind in [b"jpeg", b"unci", b"iovl"] {
        let name = [b"\0\x01\0\0", &kind[..]].concat();
        let other = replaced(&file, b"\0\x01\0\0hvc1", &name);
        let error = verify(&other, &Limits::default(), &[]);
        assert!(
            matches!(error, Err(PictureError::UnsupportedFormat { .. })),
            "{error:?}"
        );
    }
}

#[test]
fn a_file_is_named_by_the_brand_that_tells() {
    let avif = Heif::default().write(HeifCoding::Av1);
    let heic = Heif::default().write(HeifCoding::Hevc);
    for (file, from, to, format) in [
        (
            &avif,
            &b"avif\0\0\0\0avif"[..],
            &b"mif1\0\0\0\0avif"[..],
            Some(Format::Avif),
        ),
        (
            &avif,
            b"avif\0\0\0\0avif",
            b"mif1\0\0\0\0mif1",
            Some(Format::Avif),
        ),
        (
            &heic,
            b"heic\0\0\0\0mif1heic",
            b"mif1\0\0\0\0mif1heix",
            Some(Format::Heic),
        ),
        (
            &heic,
            b"heic\0\0\0\0mif1heic",
            b"mif1\0\0\0\0mif1miaf",
            Some(Format::Heic),
        ),
        (
            &heic,
            b"heic\0\0\0\0mif1heicmiaf",
            b"isom\0\0\0\0isomiso2mp41",
            None,
        ),
    ] {
        let other = replaced(file, from, to);
        assert_eq!(sniff(&other), format);
        assert_eq!(
            verify(&other, &Limits::default(), &[]).is_ok(),
            format.is_some()
        );
    }
}
