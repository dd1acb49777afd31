//! Colour profiles: thumbnails are in sRGB, whatever the picture is in.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails"
)]

use image::{DynamicImage, Rgb, RgbImage};
use imgn_testkit::pictures::{self, Tiff};
use imgn_thumbs::{Limits, PictureError, inspect, thumbnail, verify};
use moxcms::ColorProfile;

/// A colour space, as its standard describes it: how values become light, and light that of sRGB.
struct Space {
    name: &'static str,
    profile: Vec<u8>,
    light: fn(f64) -> f64,
    to_srgb: [[f64; 3]; 3],
}

fn spaces() -> [Space; 2] {
    [
        Space {
            name: "Display P3",
            profile: ColorProfile::new_display_p3().encode().unwrap(),
            light: |value| {
                if value <= 0.04045 {
                    value / 12.92
                } else {
                    ((value + 0.055) / 1.055).powf(2.4)
                }
            },
            to_srgb: [
                [1.2249, -0.2247, 0.0],
                [-0.0420, 1.0419, 0.0],
                [-0.0197, -0.0786, 1.0979],
            ],
        },
        Space {
            name: "Adobe RGB",
            profile: ColorProfile::new_adobe_rgb().encode().unwrap(),
            light: |value| value.powf(563.0 / 256.0),
            to_srgb: [
                [1.3984, -0.3984, 0.0],
                [0.0, 1.0, 0.0],
                [0.0, -0.0429, 1.0429],
            ],
        },
    ]
}

impl Space {
    fn reference(&self, picture: &RgbImage) -> RgbImage {
        let mut reference = picture.clone();
        for pixel in reference.pixels_mut() {
            let light = pixel.0.map(|value| (self.light)(f64::from(value) / 255.0));
            pixel.0 = self.to_srgb.map(|row| {
                let value: f64 = row
                    .iter()
                    .zip(light)
                    .map(|(share, light)| share * light)
                    .sum();
                let value = value.clamp(0.0, 1.0);
                let encoded = if value <= 0.003_130_8 {
                    value * 12.92
                } else {
                    1.055 * value.powf(1.0 / 2.4) - 0.055
                };
                (encoded * 255.0).round() as u8
            });
        }
        reference
    }
}

fn shown(file: &[u8]) -> RgbImage {
    let picture = verify(file, &Limits::default(), &[320]).expect("a sound picture");
    image::load_from_memory(&picture.renditions[0].jpeg)
        .unwrap()
        .into_rgb8()
}

fn files(picture: &RgbImage, profile: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let mut files = vec![
        (
            "png",
            pictures::png_with_profile(&DynamicImage::ImageRgb8(picture.clone()), profile),
        ),
        ("webp", pictures::webp_with_profile(picture, profile)),
        ("tiff", Tiff::default().with_profile(picture, profile)),
    ];
    // A JPEG holds no more than 255 parts.
    if profile.len() < 20_000 {
        files.push(("jpeg", pictures::jpeg_with_profile(picture, profile)));
    }
    files
}

#[test]
fn wide_colours_become_those_of_srgb() {
    let scene = pictures::scene(300, 200);
    for space in spaces() {
        let reference = space.reference(&scene);
        let apart = pictures::mean_difference(&scene, &reference);
        assert!(apart > 4.0, "{}: the space tells itself apart", space.name);
        for (format, file) in files(&scene, &space.profile) {
            let shown = shown(&file);
            let difference = pictures::mean_difference(&shown, &reference);
            assert!(difference < 4.0, "{} {format}: {difference}", space.name);
        }
    }
}

/// Thumbnails at an eighth and at a quarter, which are made without decoding the file.
#[test]
fn wide_colours_of_a_reduced_jpeg_become_those_of_srgb() {
    let scene = pictures::scene(1200, 800);
    for space in spaces() {
        let file = pictures::jpeg_with_profile(&scene, &space.profile);
        for long_edge in [100, 200] {
            let made = thumbnail(&file, &Limits::default(), long_edge).unwrap();
            let shown = image::load_from_memory(&made.jpeg).unwrap().into_rgb8();
            let lanczos = image::imageops::FilterType::Lanczos3;
            let (width, height) = shown.dimensions();
            let small = image::imageops::resize(&scene, width, height, lanczos);
            let difference = pictures::mean_difference(&shown, &space.reference(&small));
            assert!(
                difference < 4.0,
                "{} at {long_edge}: {difference}",
                space.name
            );
        }
    }
}

#[test]
fn a_profile_that_cannot_be_used_changes_nothing() {
    let scene = pictures::scene(120, 80);
    let wide = ColorProfile::new_display_p3().encode().unwrap();
    let mut garbage = wide.clone();
    garbage[128..].reverse();
    // Tags that all claim the whole of a large profile.
    let mut overlapping = wide.clone();
    overlapping.resize(3 << 20, 0);
    for tag in 0..5 {
        overlapping[132 + tag * 12 + 8..][..4].copy_from_slice(&(3_u32 << 20).to_be_bytes());
    }
    let mut too_large = wide.clone();
    too_large.resize(5 << 20, 0);
    for (name, profile) in [
        ("sRGB", ColorProfile::new_srgb().encode().unwrap()),
        (
            "of greys",
            ColorProfile::new_gray_with_gamma(1.0).encode().unwrap(),
        ),
        ("cut off", wide[..200].to_vec()),
        ("garbage", garbage),
        ("nothing", vec![0]),
        ("overlapping", overlapping),
        ("too large", too_large),
    ] {
        for (format, file) in files(&scene, &profile) {
            let difference = pictures::mean_difference(&shown(&file), &scene);
            assert!(difference < 4.0, "{name} {format}: {difference}");
        }
    }
}

#[test]
fn parts_of_a_profile_that_are_missing_leave_it_out() {
    let scene = pictures::scene(120, 80);
    let wide = ColorProfile::new_display_p3().encode().unwrap();
    let mut file = pictures::jpeg_with_profile(&scene, &wide);
    let at = file.windows(12).position(|part| part == b"ICC_PROFILE\0");
    // It becomes the second one, of which there are two then.
    file[at.unwrap() + 12] = 2;
    assert!(pictures::mean_difference(&shown(&file), &scene) < 4.0);
}

#[test]
fn a_profile_for_greys_serves_grey_pictures() {
    let linear = ColorProfile::new_gray_with_gamma(1.0).encode().unwrap();
    let grey = DynamicImage::ImageLuma8(image::GrayImage::from_pixel(40, 40, image::Luma([64])));
    let shown = shown(&pictures::png_with_profile(&grey, &linear));
    // A quarter of the light.
    let expected = RgbImage::from_pixel(40, 40, Rgb([137; 3]));
    let difference = pictures::mean_difference(&shown, &expected);
    assert!(difference < 2.5, "{difference}");
}

#[test]
fn a_profile_counts_as_memory() {
    let scene = pictures::scene(60, 40);
    let wide = ColorProfile::new_display_p3().encode().unwrap();
    let cost = |file: &[u8]| {
        let header = inspect(file, &Limits::default()).unwrap();
        imgn_thumbs::decode_cost(&header, 320)
    };
    let (plain, file) = (
        pictures::jpeg(60, 40),
        pictures::jpeg_with_profile(&scene, &wide),
    );
    assert!(cost(&file) > cost(&plain));
    let limits = Limits {
        max_decoded_bytes: cost(&file) - 1,
        ..Limits::default()
    };
    assert!(matches!(
        inspect(&file, &limits),
        Err(PictureError::TooMuchMemory { .. })
    ));
}
