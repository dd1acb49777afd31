//! TIFF in the ways in which it is stored.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails"
)]

use image::{DynamicImage, RgbImage};
use imgn_testkit::pictures::{self, Tiff, TiffColours, TiffCompression};
use imgn_thumbs::{Format, GROUND, Limits, Orientation, PictureError, sniff, verify};

const ALL_COLOURS: [TiffColours; 10] = [
    TiffColours::Bilevel,
    TiffColours::Grey,
    TiffColours::Grey16,
    TiffColours::Rgb,
    TiffColours::Rgb16,
    TiffColours::RgbFloat,
    TiffColours::Rgba,
    TiffColours::Palette,
    TiffColours::Inks,
    TiffColours::YCbCr,
];
const ALL_COMPRESSIONS: [TiffCompression; 7] = [
    TiffCompression::None,
    TiffCompression::Lzw,
    TiffCompression::PredictedLzw,
    TiffCompression::Deflate,
    TiffCompression::PredictedDeflate,
    TiffCompression::PackBits,
    TiffCompression::Jpeg,
];

/// Whether writers make this combination, and [`Tiff`] does.
fn is_sensible(tiff: &Tiff) -> bool {
    use TiffColours::{Bilevel, Inks, Palette, Rgb, RgbFloat, Rgba, YCbCr};
    let predicts = matches!(
        tiff.compression,
        TiffCompression::PredictedLzw | TiffCompression::PredictedDeflate
    );
    match tiff.colours {
        Bilevel => !predicts && !tiff.is_planar && tiff.compression != TiffCompression::Jpeg,
        RgbFloat => !predicts && tiff.compression != TiffCompression::Jpeg,
        YCbCr => {
            !predicts
                && !tiff.is_planar
                && tiff.tile.is_none()
                && tiff.compression != TiffCompression::Jpeg
        }
        Rgb if tiff.compression == TiffCompression::Jpeg => false,
        Rgb | Rgba | Inks | Palette => {
            tiff.compression != TiffCompression::Jpeg && !(tiff.colours == Palette && predicts)
        }
        _ => tiff.compression != TiffCompression::Jpeg,
    }
}

fn all() -> Vec<Tiff> {
    let mut all = Vec::new();
    for colours in ALL_COLOURS {
        for compression in ALL_COMPRESSIONS {
            for (tile, is_planar, is_big_endian, is_big) in [
                (None, false, false, false),
                (None, false, true, false),
                (None, true, true, true),
                (Some((32, 16)), false, false, true),
                (Some((16, 32)), true, true, false),
            ] {
                all.push(Tiff {
                    is_big_endian,
                    is_big,
                    colours,
                    compression,
                    tile,
                    is_planar,
                    orientation: 1,
                });
            }
        }
    }
    all.retain(is_sensible);
    all
}

fn shown(name: &str, file: &[u8]) -> RgbImage {
    let picture =
        verify(file, &Limits::default(), &[320]).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(picture.header.format, Format::Tiff);
    image::load_from_memory(&picture.renditions[0].jpeg)
        .unwrap()
        .into_rgb8()
}

fn expected(colours: TiffColours, width: u32, height: u32) -> RgbImage {
    let mut scene = pictures::scene(width, height);
    let grey = || DynamicImage::ImageRgb8(pictures::scene(width, height)).into_luma8();
    match colours {
        TiffColours::Grey | TiffColours::Grey16 => DynamicImage::ImageLuma8(grey()).into_rgb8(),
        TiffColours::Bilevel => {
            let mut grey = grey();
            for pixel in grey.pixels_mut() {
                pixel.0 = [if pixel.0[0] < 128 { 0 } else { 255 }];
            }
            DynamicImage::ImageLuma8(grey).into_rgb8()
        }
        TiffColours::Rgba => {
            for (x, _, pixel) in scene.enumerate_pixels_mut() {
                if x * 2 >= width {
                    pixel.0 = GROUND;
                }
            }
            scene
        }
        _ => scene,
    }
}

#[test]
fn every_way_to_store_it_is_shown_as_it_is() {
    let (width, height) = (70, 50);
    let all = all();
    assert!(all.len() > 150, "{}", all.len());
    for tiff in all {
        let name = format!("{tiff:?}");
        let file = tiff.of_scene(width, height);
        assert_eq!(sniff(&file), Some(Format::Tiff), "{name}");
        let shown = shown(&name, &file);
        assert_eq!(shown.dimensions(), (width, height), "{name}");
        // The palette has six shades a colour; black and white meet in hard edges, which JPEG softens.
        let tolerance = match tiff.colours {
            TiffColours::Palette | TiffColours::Bilevel => 16.0,
            _ => 7.0,
        };
        let expected = expected(tiff.colours, width, height);
        let difference = pictures::mean_difference(&shown, &expected);
        assert!(difference < tolerance, "{name}: {difference}");
    }
}

#[test]
fn jpeg_within_it_is_shown_as_it_is() {
    for tile in [None, Some((32, 16))] {
        let tiff = Tiff {
            compression: TiffCompression::Jpeg,
            colours: TiffColours::YCbCr,
            tile,
            ..Tiff::default()
        };
        let shown = shown("jpeg", &tiff.of_scene(70, 50));
        let difference = pictures::mean_difference(&shown, &pictures::scene(70, 50));
        assert!(difference < 7.0, "{difference}");
    }
}

#[test]
fn the_first_page_that_is_no_reduced_copy_is_the_picture() {
    let file = Tiff::default().of_scene(70, 50);
    let picture = verify(&file, &Limits::default(), &[64]).unwrap();
    assert_eq!(picture.header.orientation, Orientation::NoTransforms);
    assert_eq!(picture.header.frames, 1);
    assert_eq!(picture.metadata.camera.as_deref(), Some("imgn Test 1"));
    assert_eq!(
        picture.metadata.taken_at.unwrap().to_string(),
        "2023-07-01T10:34:56Z"
    );
}

#[test]
fn what_is_cut_off_anywhere_is_refused() {
    for compression in ALL_COMPRESSIONS {
        let tiff = Tiff {
            compression,
            colours: if compression == TiffCompression::Jpeg {
                TiffColours::YCbCr
            } else {
                TiffColours::Rgb
            },
            ..Tiff::default()
        };
        let file = tiff.of_scene(400, 300);
        for share in [0.1, 0.5, 0.9, 0.99] {
            let error = verify(
                &pictures::truncated(&file, share),
                &Limits::default(),
                &[64],
            )
            .map(|_| ());
            assert!(
                matches!(error, Err(PictureError::Corrupt { .. })),
                "{compression:?} {share}: {error:?}"
            );
        }
    }
}

#[test]
fn planes_of_more_strips_than_their_rows_make_are_refused() {
    let tiff = Tiff {
        is_planar: true,
        ..Tiff::default()
    };
    let mut file = tiff.of_scene(70, 50);
    // Rows per strip: one long number, 16.
    let entry = b"\x16\x01\x04\0\x01\0\0\0\x10\0\0\0";
    let at = file
        .windows(entry.len())
        .position(|bytes| bytes == entry)
        .unwrap();
    file[at + 8..at + 12].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(matches!(
        verify(&file, &Limits::default(), &[64]),
        Err(PictureError::Corrupt { .. })
    ));
}
