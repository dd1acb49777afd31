//! Camera raws, made by hand: no maker's own files are to be had for tests.

use imgn_testkit::pictures;
use imgn_thumbs::{Format, Limits, PictureError, inspect, sniff, verify};

#[test]
fn all_eight_orientations_of_a_preview_stand_upright() {
    let (width, height) = (90, 60);
    let scene = pictures::scene(width, height);
    for orientation in pictures::ORIENTATIONS {
        for (name, file) in [
            ("directories", pictures::raw(width, height, orientation)),
            (
                "fujifilm",
                pictures::fujifilm_raw(width, height, orientation),
            ),
        ] {
            assert_eq!(sniff(&file), Some(Format::Raw), "{name}");
            let picture = verify(&file, &Limits::default(), &[320]).unwrap();
            let shown = image::load_from_memory(&picture.renditions[0].jpeg)
                .unwrap()
                .into_rgb8();
            assert_eq!(shown.dimensions(), (width, height), "{name} {orientation}");
            let difference = pictures::mean_difference(&shown, &scene);
            assert!(difference < 7.0, "{name} {orientation}: {difference}");
            assert_eq!(picture.metadata.camera.as_deref(), Some("imgn Test 1"));
        }
    }
}

#[test]
fn a_preview_that_is_cut_off_is_refused() {
    let file = pictures::fujifilm_raw(400, 300, 1);
    for share in [0.2, 0.5, 0.9] {
        let cut = pictures::truncated(&file, share);
        let verified = verify(&cut, &Limits::default(), &[64]).map(|_| ());
        assert!(
            matches!(
                verified,
                Err(PictureError::Corrupt { .. } | PictureError::UnsupportedFormat { .. })
            ),
            "{share}: {verified:?}"
        );
    }
}

#[test]
fn a_raw_without_a_preview_is_refused_by_name() {
    let mut file = pictures::raw(40, 30, 1);
    // The preview's first marker.
    let start = file.windows(3).position(|part| part == [0xff, 0xd8, 0xff]);
    file[start.unwrap()] = 0;
    assert_eq!(
        inspect(&file, &Limits::default()),
        Err(PictureError::UnsupportedFormat {
            what: "camera raw without a preview"
        })
    );
}
