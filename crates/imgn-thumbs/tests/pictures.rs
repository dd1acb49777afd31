//! The pipeline on every kind of picture, sound and broken.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    clippy::allow_attributes,
    reason = "a test that cannot go on fails"
)]

use std::time::Duration;

use image::ExtendedColorType::{L8, L16, La8, La16, Rgb8, Rgb16, Rgba8, Rgba16};
use image::RgbImage;
use imgn_testkit::pictures::{self, Heif, HeifCoding, Tiff, TiffCompression};
use imgn_thumbs::{
    Format, GROUND, Limits, Orientation, PictureError, decode_cost, inspect, sniff, verify,
};
use proptest::prelude::*;

const SIZES: [u32; 2] = [320, 1280];

fn sound() -> Vec<(&'static str, Format, Vec<u8>)> {
    let png = |color| pictures::png(60, 40, color);
    let heif = |alpha, coding| {
        let heif = Heif {
            alpha,
            ..Heif::default()
        };
        heif.write(coding)
    };
    vec![
        ("jpeg", Format::Jpeg, pictures::jpeg(60, 40)),
        (
            "progressive",
            Format::Jpeg,
            pictures::progressive_jpeg(60, 40),
        ),
        ("inks", Format::Jpeg, pictures::cmyk_jpeg(60, 40)),
        ("oriented", Format::Jpeg, pictures::oriented_jpeg(60, 40, 6)),
        ("trailer", Format::Jpeg, pictures::jpeg_with_trailer(60, 40)),
        (
            "odd header",
            Format::Jpeg,
            pictures::jpeg_with_odd_header(60, 40),
        ),
        (
            "stray bytes",
            Format::Jpeg,
            pictures::stray_bytes_before_end(60, 40),
        ),
        ("grey", Format::Png, png(L8)),
        ("grey alpha", Format::Png, png(La8)),
        ("rgb", Format::Png, png(Rgb8)),
        ("rgba", Format::Png, png(Rgba8)),
        ("grey 16", Format::Png, png(L16)),
        ("grey alpha 16", Format::Png, png(La16)),
        ("rgb 16", Format::Png, png(Rgb16)),
        ("rgba 16", Format::Png, png(Rgba16)),
        ("palette", Format::Png, pictures::palette_png(60, 40)),
        ("interlaced", Format::Png, pictures::interlaced_png(60, 40)),
        ("png exif", Format::Png, pictures::png_with_exif(60, 40, 8)),
        ("apng", Format::Png, pictures::animated_png(60, 40, 3)),
        ("gif", Format::Gif, pictures::gif(60, 40)),
        (
            "animated gif",
            Format::Gif,
            pictures::animated_gif(60, 40, 3),
        ),
        ("webp", Format::WebP, pictures::webp(60, 40, false)),
        ("webp alpha", Format::WebP, pictures::webp(60, 40, true)),
        (
            "webp exif",
            Format::WebP,
            pictures::webp_with_exif(60, 40, 5),
        ),
        (
            "animated webp",
            Format::WebP,
            pictures::animated_webp(60, 40, 3),
        ),
        ("avif", Format::Avif, heif(false, HeifCoding::Av1)),
        ("avif alpha", Format::Avif, heif(true, HeifCoding::Av1)),
        (
            "animated avif",
            Format::Avif,
            pictures::animated_avif(3, true),
        ),
        ("heic", Format::Heic, heif(false, HeifCoding::Hevc)),
        ("heic alpha", Format::Heic, heif(true, HeifCoding::Hevc)),
        ("deep heic", Format::Heic, heif(false, HeifCoding::DeepHevc)),
        ("tiff", Format::Tiff, Tiff::default().of_scene(60, 40)),
        (
            "tiff rotated",
            Format::Tiff,
            Tiff {
                compression: TiffCompression::PredictedLzw,
                orientation: 6,
                ..Tiff::default()
            }
            .of_scene(60, 40),
        ),
        ("bmp", Format::Bmp, pictures::bmp(60, 40, false)),
        ("bmp alpha", Format::Bmp, pictures::bmp(60, 40, true)),
    ]
}

fn decoded(jpeg: &[u8]) -> RgbImage {
    image::load_from_memory_with_format(jpeg, image::ImageFormat::Jpeg)
        .unwrap()
        .into_rgb8()
}

#[test]
fn every_kind_of_picture_is_shown_as_it_is() {
    let scene = pictures::scene(60, 40);
    for (name, format, file) in sound() {
        assert_eq!(sniff(&file), Some(format), "{name}");
        let picture = verify(&file, &Limits::default(), &SIZES)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(
            (picture.header.width, picture.header.height),
            (60, 40),
            "{name}"
        );
        let animated = name == "apng" || name.starts_with("animated");
        assert_eq!(picture.header.animated, animated, "{name}");
        assert_eq!(
            picture.header.frames,
            if animated { 3 } else { 1 },
            "{name}"
        );
        assert!((15..=25).contains(&picture.thumbhash.len()), "{name}");
        assert_eq!(picture.renditions.len(), 2);
        for rendition in picture.renditions {
            // A small picture is not enlarged.
            assert_eq!((rendition.width, rendition.height), (60, 40), "{name}");
            let shown = decoded(&rendition.jpeg);
            let expected = match name {
                _ if name.contains("alpha") || name.starts_with("rgba") => {
                    on_ground(&scene, name.contains("grey"))
                }
                _ if name.starts_with("grey") => grey(&scene),
                _ => scene.clone(),
            };
            // The palette has six shades a colour: 51 apart.
            let tolerance = if name.contains("gif") || name == "palette" {
                16.0
            } else {
                7.0
            };
            let difference = pictures::mean_difference(&shown, &expected);
            assert!(difference < tolerance, "{name}: {difference}");
        }
    }
}

fn grey(picture: &RgbImage) -> RgbImage {
    image::DynamicImage::ImageLuma8(image::DynamicImage::ImageRgb8(picture.clone()).into_luma8())
        .into_rgb8()
}

fn on_ground(picture: &RgbImage, is_grey: bool) -> RgbImage {
    let mut expected = if is_grey {
        grey(picture)
    } else {
        picture.clone()
    };
    let half = expected.width() / 2;
    for (_, _, pixel) in expected
        .enumerate_pixels_mut()
        .filter(|(x, _, _)| *x >= half)
    {
        pixel.0 = GROUND;
    }
    expected
}

#[test]
fn all_eight_orientations_stand_upright() {
    let (width, height) = (900, 600);
    let upright = image::imageops::resize(
        &pictures::scene(width, height),
        320,
        213,
        image::imageops::FilterType::Lanczos3,
    );
    let upside_down = image::imageops::rotate180(&upright);
    assert!(
        pictures::mean_difference(&upright, &upside_down) > 20.0,
        "the scene tells its sides apart"
    );
    for orientation in pictures::ORIENTATIONS {
        for file in [
            pictures::oriented_jpeg(width, height, orientation),
            pictures::png_with_exif(width, height, orientation),
            pictures::webp_with_exif(width, height, orientation),
            Tiff {
                orientation,
                ..Tiff::default()
            }
            .of_scene(width, height),
            Tiff {
                orientation,
                is_big: true,
                is_big_endian: true,
                tile: Some((64, 64)),
                ..Tiff::default()
            }
            .of_scene(width, height),
        ] {
            let picture = verify(&file, &Limits::default(), &[320]).unwrap();
            let format = picture.header.format;
            assert_eq!(
                (picture.header.width, picture.header.height),
                (width, height),
                "{format} {orientation}"
            );
            let shown = decoded(&picture.renditions[0].jpeg);
            assert_eq!(shown.dimensions(), (320, 213), "{format} {orientation}");
            let difference = pictures::mean_difference(&shown, &upright);
            assert!(difference < 4.0, "{format} {orientation}: {difference}");
            assert_eq!(picture.metadata.camera.as_deref(), Some("imgn Test 1"));
            assert_eq!(
                picture.metadata.taken_at.unwrap().to_string(),
                "2023-07-01T10:34:56Z"
            );
        }
    }
}

#[test]
fn renditions_are_near_a_resampling_from_full_size() {
    let (width, height) = (2501, 1667);
    let scene = pictures::scene(width, height);
    let references = [(320, 213), (1280, 853)].map(|(width, height)| {
        image::imageops::resize(&scene, width, height, image::imageops::FilterType::Lanczos3)
    });
    for file in [
        pictures::jpeg(width, height),
        pictures::progressive_jpeg(width, height),
        pictures::png(width, height, Rgb8),
        pictures::interlaced_png(width, height),
        pictures::webp(width, height, false),
        Tiff::default().of_scene(width, height),
        pictures::bmp(width, height, false),
    ] {
        let picture = verify(&file, &Limits::default(), &SIZES).unwrap();
        for (rendition, reference) in picture.renditions.iter().zip(&references) {
            let shown = decoded(&rendition.jpeg);
            assert_eq!((rendition.width, rendition.height), shown.dimensions());
            let difference = pictures::mean_difference(&shown, reference);
            assert!(
                difference < 2.5,
                "{:?} {}: {difference}",
                picture.header,
                rendition.long_edge
            );
        }
    }
}

#[test]
fn what_is_not_sound_is_refused_with_its_reason() {
    let limits = Limits::default();
    let corrupt = |format| move |error: &PictureError| matches!(error, PictureError::Corrupt { format: it, .. } if *it == format);
    let check = |name: &str, file: &[u8], is_expected: &dyn Fn(&PictureError) -> bool| {
        let error = verify(file, &limits, &SIZES).map(|_| ()).expect_err(name);
        assert!(is_expected(&error), "{name}: {error:?}");
    };
    check("nothing", b"", &|error| *error == PictureError::NotAPicture);
    check("text", pictures::TEXT, &|error| {
        *error == PictureError::NotAPicture
    });
    check("svg", pictures::SVG, &|error| {
        *error == PictureError::UnsupportedFormat { what: "SVG" }
    });
    let too_large = |error: &PictureError| matches!(error, PictureError::TooManyPixels { .. });
    check(
        "huge png",
        &pictures::claimed_png(50_000, 50_000),
        &too_large,
    );
    check(
        "huge jpeg",
        &pictures::claimed_jpeg(65_500, 65_500),
        &too_large,
    );
    check(
        "empty claim",
        &pictures::claimed_jpeg(9_000, 9_000),
        &corrupt(Format::Jpeg),
    );
    check(
        "no width",
        &pictures::claimed_png(0, 5),
        &corrupt(Format::Png),
    );
    for (name, format, file) in [
        ("jpeg", Format::Jpeg, pictures::jpeg(400, 300)),
        (
            "progressive",
            Format::Jpeg,
            pictures::progressive_jpeg(400, 300),
        ),
        ("png", Format::Png, pictures::png(400, 300, Rgb8)),
        (
            "interlaced",
            Format::Png,
            pictures::interlaced_png(400, 300),
        ),
        ("apng", Format::Png, pictures::animated_png(400, 300, 3)),
        ("gif", Format::Gif, pictures::animated_gif(400, 300, 3)),
        ("webp", Format::WebP, pictures::webp(400, 300, true)),
        ("bmp", Format::Bmp, pictures::bmp(400, 300, true)),
        (
            "animated webp",
            Format::WebP,
            pictures::animated_webp(400, 300, 3),
        ),
    ] {
        for share in [0.1, 0.5, 0.9, 0.99] {
            check(
                &format!("{share} of {name}"),
                &pictures::truncated(&file, share),
                &corrupt(format),
            );
        }
        // Of plain pixels all are as good as others.
        if format != Format::Bmp {
            check(
                &format!("garbage in {name}"),
                &pictures::garbage_half(&file),
                &corrupt(format),
            );
        }
    }
}

#[test]
fn limits_are_kept() {
    let animated = pictures::animated_gif(60, 40, 9);
    let few_frames = Limits {
        max_frames: 8,
        ..Limits::default()
    };
    assert!(matches!(
        inspect(&animated, &few_frames),
        Err(PictureError::TooManyFrames {
            count: 9,
            max: 8,
            ..
        })
    ));
    let few_pixels = Limits {
        max_total_pixels: 60 * 40 * 8,
        ..Limits::default()
    };
    assert!(matches!(
        inspect(&animated, &few_pixels),
        Err(PictureError::TooManyFrames { .. })
    ));
    let no_time = Limits {
        max_duration: Duration::ZERO,
        ..Limits::default()
    };
    for (name, _, file) in sound() {
        assert!(
            matches!(
                verify(&file, &no_time, &SIZES),
                Err(PictureError::Timeout { .. })
            ),
            "{name}"
        );
        let header = inspect(&file, &Limits::default()).unwrap();
        let no_memory = Limits {
            max_decoded_bytes: decode_cost(&header, 1280) - 1,
            ..Limits::default()
        };
        assert!(
            matches!(
                inspect(&file, &no_memory),
                Err(PictureError::TooMuchMemory { .. })
            ),
            "{name}"
        );
    }
}

#[test]
fn a_rendition_for_display_is_of_its_size_and_wants_its_own_memory() {
    let tiff = Tiff {
        orientation: 6,
        ..Tiff::default()
    };
    let file = tiff.of_scene(2400, 3200);
    let header = inspect(&file, &Limits::default()).unwrap();
    let needed = decode_cost(&header, 2560);
    assert!(needed > decode_cost(&header, 1280));

    let enough = Limits {
        max_decoded_bytes: needed,
        ..Limits::default()
    };
    let picture = verify(&file, &enough, &[320, 1280, 2560]).unwrap();
    let sizes: Vec<_> = picture
        .renditions
        .iter()
        .map(|rendition| (rendition.width, rendition.height))
        .collect();
    assert_eq!(sizes, [(240, 320), (960, 1280), (1920, 2560)]);
    let shown = decoded(&picture.renditions[2].jpeg);
    let scene = pictures::scene(2400, 3200);
    let lanczos = image::imageops::FilterType::Lanczos3;
    let expected = image::imageops::resize(&scene, 1920, 2560, lanczos);
    let difference = pictures::mean_difference(&shown, &expected);
    assert!(difference < 3.0, "{difference}");

    let less = Limits {
        max_decoded_bytes: needed - 1,
        ..Limits::default()
    };
    assert!(matches!(
        verify(&file, &less, &[2560]),
        Err(PictureError::TooMuchMemory { .. })
    ));
    assert!(verify(&file, &less, &[1280]).is_ok());
}

#[test]
fn metadata_beyond_the_limit_are_left_out_and_the_picture_is_not_refused() {
    let files = [
        pictures::oriented_jpeg(60, 40, 6),
        pictures::png_with_exif(60, 40, 6),
        pictures::webp_with_exif(60, 40, 6),
        Tiff {
            orientation: 6,
            ..Tiff::default()
        }
        .of_scene(60, 40),
    ];
    for file in files {
        let orientation = |max_metadata_bytes| {
            let limits = Limits {
                max_metadata_bytes,
                ..Limits::default()
            };
            verify(&file, &limits, &[64]).unwrap().header.orientation
        };
        assert_eq!(orientation(1 << 10), Orientation::Rotate90);
        assert_eq!(orientation(8), Orientation::NoTransforms);
    }
}

/// A BMP of 8 x 8 pixels with a palette of two colours, the left half red and the right half blue.
fn palette_bmp(header_bytes: u32, start_of_pixels: u32) -> Vec<u8> {
    let mut file = b"BM\0\0\0\0\0\0\0\0".to_vec();
    for number in [
        start_of_pixels,
        header_bytes,
        8,
        8,
        1 | 8 << 16,
        0,
        0,
        0,
        0,
        2,
        0,
    ] {
        file.extend(number.to_le_bytes());
    }
    file.resize(14 + header_bytes as usize, 0);
    file.extend([0, 0, 255, 0, 255, 0, 0, 0]);
    file.extend([0, 0, 0, 0, 1, 1, 1, 1].repeat(8));
    file
}

#[test]
fn bmp_of_os2_and_with_a_wrong_start_of_pixels_are_shown_as_they_are() {
    for (header, start) in [(40, 62), (40, 54), (64, 86)] {
        let picture = verify(&palette_bmp(header, start), &Limits::default(), &[8]).unwrap();
        let shown = decoded(&picture.renditions[0].jpeg);
        let (left, right) = (shown.get_pixel(1, 4).0, shown.get_pixel(6, 4).0);
        let what = format!("{header} {start}: {left:?} {right:?}");
        assert!(left[0] > 200 && left[2] < 60, "{what}");
        assert!(right[2] > 200 && right[0] < 60, "{what}");
    }
}

#[test]
fn jpeg_xl_stands_upright_by_its_own_header() {
    let exif = [&[0; 4], pictures::exif_block(3).as_slice()].concat();
    let (width, height) = pictures::JXL_SIZE;
    let scene = pictures::scene(width, height);
    for orientation in pictures::ORIENTATIONS {
        let stored = pictures::oriented_jxl(orientation);
        let boxed = pictures::jxl_in_boxes(&stored, &[(b"Exif", &exif)]);
        let mut upright = image::DynamicImage::ImageRgb8(scene.clone());
        upright.apply_orientation(Orientation::from_exif(orientation as u8).unwrap());
        for (name, file) in [("bare", stored), ("boxed", boxed)] {
            let picture = verify(&file, &Limits::default(), &[320]).unwrap();
            let shown = decoded(&picture.renditions[0].jpeg);
            assert_eq!(shown.dimensions(), (upright.width(), upright.height()));
            let difference = pictures::mean_difference(&shown, &upright.to_rgb8());
            assert!(difference < 8.0, "{name} {orientation}: {difference}");
            let is_named = picture.metadata.camera.is_some();
            assert_eq!(is_named, name == "boxed");
        }
    }
}

/// What the documentation of the limits promises of pictures that must be held whole. Only their headers are as large.
#[test]
fn the_default_limits_let_through_what_they_promise() {
    let mut jpeg = pictures::progressive_jpeg(64, 64);
    let frame = jpeg.windows(2).position(|pair| pair == [0xff, 0xc2]);
    let frame = frame.expect("a progressive frame");
    // Two by two luma samples for one of each chroma: 4:2:0.
    jpeg[frame + 11] = 0x22;
    let mut webp = pictures::webp(64, 64, false);
    assert_eq!(&webp[12..16], b"VP8L");

    let mut jpeg_of = |width: u16, height: u16| {
        jpeg[frame + 5..][..2].copy_from_slice(&height.to_be_bytes());
        jpeg[frame + 7..][..2].copy_from_slice(&width.to_be_bytes());
        inspect(&jpeg, &Limits::default())
    };
    let (fits, exceeds) = (jpeg_of(9082, 6056), jpeg_of(9900, 6600));
    assert!(fits.is_ok(), "55 MP: {fits:?}");
    assert!(
        matches!(exceeds, Err(PictureError::TooMuchMemory { .. })),
        "65 MP: {exceeds:?}"
    );

    let mut webp_of = |width: u32, height: u32| {
        let edges = (width - 1) | ((height - 1) << 14);
        webp[21..25].copy_from_slice(&edges.to_le_bytes());
        inspect(&webp, &Limits::default())
    };
    let (fits, exceeds) = (webp_of(5612, 3742), webp_of(6000, 4000));
    assert!(fits.is_ok(), "21 MP: {fits:?}");
    assert!(
        matches!(exceeds, Err(PictureError::TooMuchMemory { .. })),
        "24 MP: {exceeds:?}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Whatever happens to the bytes: an answer, no panic.
    #[test]
    fn no_bytes_make_it_panic(
        which in any::<usize>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        keep in any::<prop::sample::Index>(),
        cut in any::<bool>(),
    ) {
        let pictures = sound();
        let (_, _, file) = &pictures[which % pictures.len()];
        let mut file = file.clone();
        for (at, value) in &changes {
            // Half of the changes go where the headers are.
            let range = if value % 2 == 0 { file.len() } else { file.len().min(200) };
            file[at.index(range)] = *value;
        }
        if cut {
            file.truncate(keep.index(file.len()));
        }
        let sniffed = sniff(&file);
        let inspected = inspect(&file, &Limits::default());
        let verified = verify(&file, &Limits::default(), &[64]);
        if let Err(PictureError::Corrupt { reason, .. }) = &verified {
            // The barrier around decoders was not needed.
            prop_assert_ne!(reason, "the decoder failed on it");
        }
        prop_assert!(inspected.is_err() || sniffed.is_some());
        prop_assert!(verified.is_err() || inspected.is_ok());
    }
}
