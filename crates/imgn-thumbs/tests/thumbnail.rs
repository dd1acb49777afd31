//! The quick ways against the thorough one: they show the same.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails"
)]

use image::imageops::{self, FilterType};
use image::{ExtendedColorType, RgbImage};
use imgn_testkit::pictures::{self, Heif, HeifCoding, Jpeg, Tiff};
use imgn_thumbs::{Limits, PictureError, Rendition, preview, thumbnail, verify};
use turbojpeg::Subsamp;

/// What thumbnails of a picture of [`SIZE`] are made from: an eighth of it, a quarter, more than that.
const EDGES: [u32; 3] = [60, 120, 300];
const SIZE: (u32, u32) = (641, 427);
/// The shape of [`SIZE`], as cameras keep it.
const PREVIEW_SIZE: (u32, u32) = (160, 107);

const SUBSAMPLINGS: [Subsamp; 6] = [
    Subsamp::None,
    Subsamp::Sub2x1,
    Subsamp::Sub1x2,
    Subsamp::Sub2x2,
    Subsamp::Sub4x1,
    Subsamp::Gray,
];

fn quick(file: &[u8], long_edge: u32) -> Rendition {
    thumbnail(file, &Limits::default(), long_edge).expect("a thumbnail")
}

fn thorough(file: &[u8], long_edge: u32) -> Rendition {
    let picture = verify(file, &Limits::default(), &[long_edge]).expect("a sound picture");
    picture.renditions.into_iter().next().expect("a rendition")
}

fn decoded(rendition: &Rendition) -> RgbImage {
    let picture = image::load_from_memory(&rendition.jpeg)
        .unwrap()
        .into_rgb8();
    assert_eq!(
        picture.dimensions(),
        (rendition.width, rendition.height),
        "it is as large as is said"
    );
    picture
}

#[test]
fn a_thumbnail_is_that_of_verification() {
    let scene = pictures::scene(SIZE.0, SIZE.1);
    for subsampling in SUBSAMPLINGS {
        for progressive in [false, true] {
            for orientation in pictures::ORIENTATIONS {
                let jpeg = Jpeg {
                    subsampling,
                    progressive,
                    orientation,
                    preview: None,
                };
                let file = jpeg.of(&scene);
                for edge in EDGES {
                    check_likeness(&scene, &file, edge, &jpeg);
                }
            }
        }
    }
}

fn check_likeness(scene: &RgbImage, file: &[u8], edge: u32, jpeg: &Jpeg) {
    let (quick, thorough) = (decoded(&quick(file, edge)), decoded(&thorough(file, edge)));
    let apart = pictures::mean_difference(&quick, &thorough);
    assert!(apart < 3.0, "{jpeg:?} at {edge}: {apart}");
    if jpeg.subsampling == Subsamp::Gray {
        return;
    }
    // Nor is it less like the picture.
    let (width, height) = quick.dimensions();
    let scene = imageops::resize(scene, width, height, FilterType::Lanczos3);
    let [quick, thorough] = [quick, thorough].map(|it| pictures::mean_difference(&it, &scene));
    assert!(
        quick < thorough + 0.5,
        "{jpeg:?} at {edge}: {quick}, {thorough}"
    );
}

#[test]
fn what_is_not_read_quickly_is_read_thoroughly() {
    let heif = Heif::default();
    for (name, file) in [
        ("png", pictures::png(500, 300, ExtendedColorType::Rgba8)),
        ("turned png", pictures::png_with_exif(500, 300, 6)),
        ("gif", pictures::gif(500, 300)),
        ("webp", pictures::webp(500, 300, true)),
        ("avif", heif.write(HeifCoding::Av1)),
        ("tiff", Tiff::default().of_scene(500, 300)),
        ("inks", pictures::cmyk_jpeg(500, 300)),
        ("odd header", pictures::jpeg_with_odd_header(500, 300)),
        ("stray bytes", pictures::stray_bytes_before_end(500, 300)),
    ] {
        let (quick, thorough) = (decoded(&quick(&file, 40)), decoded(&thorough(&file, 40)));
        let apart = pictures::mean_difference(&quick, &thorough);
        assert!(apart < 1.0, "{name}: {apart}");
    }
    // Nor are small pictures enlarged.
    let small = pictures::jpeg(60, 40);
    assert_eq!(quick(&small, 320), thorough(&small, 320));
}

#[test]
fn no_thumbnail_is_made_of_what_is_refused_or_cut_off() {
    let sound = pictures::jpeg(640, 480);
    let of = |file: &[u8], limits: &Limits| thumbnail(file, limits, 60).map(|_| ());
    assert!(matches!(
        of(b"text", &Limits::default()),
        Err(PictureError::NotAPicture)
    ));
    for share in [0.2, 0.5, 0.95] {
        assert!(matches!(
            of(&pictures::truncated(&sound, share), &Limits::default()),
            Err(PictureError::Corrupt { .. })
        ));
    }
    let few_pixels = Limits {
        max_pixels: 640 * 480 - 1,
        ..Limits::default()
    };
    assert!(matches!(
        of(&sound, &few_pixels),
        Err(PictureError::TooManyPixels { .. })
    ));
    let little_memory = Limits {
        max_decoded_bytes: 1 << 20,
        ..Limits::default()
    };
    assert!(matches!(
        of(&sound, &little_memory),
        Err(PictureError::TooMuchMemory { .. })
    ));
}

fn with_preview(orientation: u16, preview: RgbImage) -> Vec<u8> {
    let jpeg = Jpeg {
        orientation,
        preview: Some(preview),
        ..Jpeg::default()
    };
    jpeg.of(&pictures::scene(SIZE.0, SIZE.1))
}

fn shown(file: &[u8]) -> Option<RgbImage> {
    preview(file, &Limits::default()).map(|rendition| decoded(&rendition))
}

fn assert_shows_the_scene(shown: &RgbImage, what: &str) {
    let scene = pictures::scene(shown.width(), shown.height());
    let apart = pictures::mean_difference(shown, &scene);
    assert!(apart < 7.0, "{what}: {apart}");
}

#[test]
fn a_preview_is_upright() {
    let (width, height) = PREVIEW_SIZE;
    for orientation in pictures::ORIENTATIONS {
        let file = with_preview(orientation, pictures::scene(width, height));
        let shown = shown(&file).expect("a preview");
        assert_eq!(shown.dimensions(), PREVIEW_SIZE, "{orientation}");
        assert_shows_the_scene(&shown, &format!("orientation {orientation}"));
    }
}

#[test]
fn bars_beside_a_preview_are_cut_off() {
    let (width, height) = PREVIEW_SIZE;
    for orientation in pictures::ORIENTATIONS {
        let mut barred = RgbImage::from_pixel(width, 120, image::Rgb([3, 2, 4]));
        let top = i64::from(120 - height) / 2;
        imageops::replace(&mut barred, &pictures::scene(width, height), 0, top);
        let shown = shown(&with_preview(orientation, barred)).expect("a preview");
        assert!(shown.height().abs_diff(height) <= 1, "{orientation}");
        assert_eq!(shown.width(), width, "{orientation}");
        assert_shows_the_scene(&shown, &format!("orientation {orientation}"));
    }
}

#[test]
fn a_preview_of_another_shape_is_another_picture() {
    for (width, height) in [(160, 120), (107, 160), (120, 120), (160, 60)] {
        let file = with_preview(1, pictures::scene(width, height));
        assert_eq!(shown(&file), None, "{width} x {height}");
    }
}

#[test]
fn there_is_a_preview_as_soon_as_it_is_there() {
    let (width, height) = PREVIEW_SIZE;
    let file = with_preview(6, pictures::scene(width, height));
    // The EXIF data are the first segment; its length counts itself.
    let behind = 4 + usize::from(u16::from_be_bytes([file[4], file[5]]));
    assert_eq!(shown(&file[..behind - 1]), None);
    assert!(shown(&file[..behind]).is_some());
    for length in (0..behind).step_by(97) {
        assert_eq!(shown(&file[..length]), None, "{length}");
    }
}

#[test]
fn where_no_sound_preview_is_there_is_none() {
    let (width, height) = PREVIEW_SIZE;
    let file = with_preview(1, pictures::scene(width, height));
    let start = file
        .windows(2)
        .skip(2)
        .position(|pair| pair == [0xff, 0xd8])
        .expect("the preview")
        + 2;
    let mut damaged = file.clone();
    damaged[start + 400..start + 900].fill(0xff);
    assert_eq!(shown(&damaged), None, "damaged");
    let mut other = file;
    other[start] = 0;
    assert_eq!(shown(&other), None, "no JPEG");
    assert_eq!(shown(&pictures::oriented_jpeg(640, 427, 6)), None);
    assert_eq!(shown(&pictures::png_with_exif(640, 427, 6)), None);
    assert_eq!(shown(b""), None);
}
