//! Taking the location out of TIFF, camera raws and JPEG XL.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::io::Cursor;

use imgn_testkit::pictures::{self, Tiff};
use imgn_thumbs::{Limits, LocationFinding, LocationPatches, location_patches, verify};
use proptest::prelude::*;

fn has(file: &[u8], what: &[u8]) -> bool {
    file.windows(what.len()).any(|window| window == what)
}

fn patched(file: &[u8]) -> (LocationPatches, Vec<u8>) {
    let patches = location_patches(&mut Cursor::new(file)).unwrap();
    let mut end = 0;
    for patch in patches.patches() {
        assert!(patch.length() > 0 && patch.offset() >= end);
        end = patch.end();
    }
    assert!(end <= file.len() as u64);
    let mut clean = file.to_vec();
    patches.apply(0, &mut clean);
    (patches, clean)
}

#[test]
fn structures_lose_their_location_and_nothing_else() {
    let mut files = vec![("raw", true, pictures::raw(60, 40, 6))];
    for (is_big_endian, is_big) in [(false, false), (true, false), (false, true), (true, true)] {
        let tiff = Tiff {
            is_big_endian,
            is_big,
            orientation: 6,
            ..Tiff::default()
        };
        files.push(("tiff", is_big_endian, tiff.located(60, 40)));
    }
    for (name, is_big_endian, file) in files {
        let secret = if is_big_endian {
            pictures::SECRET_SECONDS.to_be_bytes()
        } else {
            pictures::SECRET_SECONDS.to_le_bytes()
        };
        assert!(has(&file, &secret) && has(&file, b"GPSLatitude"));
        let (patches, clean) = patched(&file);
        assert_eq!(patches.finding(), LocationFinding::Location, "{name}");
        assert!(
            !has(&clean, &secret) && !has(&clean, b"GPSLatitude"),
            "{name}"
        );
        assert!(has(&clean, b"tiff:Make"), "{name}");
        let picture = |file: &[u8]| verify(file, &Limits::default(), &[64]).unwrap();
        let (mut before, after) = (picture(&file), picture(&clean));
        assert!(before.metadata.has_location, "{name}");
        before.metadata.has_location = false;
        before.metadata.location = None;
        assert!(before == after, "{name}: the rest stays");
        assert!(patched(&clean).0.is_empty(), "{name}: a second look");
    }
}

#[test]
fn a_tiff_without_a_location_is_left_alone() {
    let (patches, _) = patched(&Tiff::default().of_scene(60, 40));
    assert_eq!(patches, LocationPatches::default());
}

#[test]
fn previews_within_lose_theirs() {
    let located = pictures::raw(60, 40, 1);
    let exif = [b"Exif\0\0".as_slice(), &located].concat();
    // A JPEG whose EXIF data are a structure with a location, in a raw that has none itself.
    let jpeg = pictures::jpeg(60, 40);
    let mut preview = jpeg[..2].to_vec();
    preview.extend([0xff, 0xe1]);
    preview.extend((exif.len() as u16 + 2).to_be_bytes());
    preview.extend(exif);
    preview.extend(&jpeg[2..]);
    let mut file = pictures::fujifilm_raw(8, 8, 1);
    file.extend(preview);
    let (patches, clean) = patched(&file);
    assert_eq!(patches.finding(), LocationFinding::Location);
    assert!(!has(&clean, &pictures::SECRET_SECONDS.to_be_bytes()));
}

#[test]
fn boxes_of_jpeg_xl_lose_theirs() {
    let located = pictures::raw(16, 16, 1);
    let exif = [&[0; 4], located.as_slice()].concat();
    let xmp = b"<a exif:GPSLatitude=\"48,7.5N\" tiff:Make=\"imgn\"/>";
    let codestream = pictures::jxl();
    let file = pictures::jxl_in_boxes(&codestream, &[(b"Exif", &exif), (b"xml ", xmp)]);
    let (patches, clean) = patched(&file);
    assert_eq!(patches.finding(), LocationFinding::Location);
    assert!(!has(&clean, b"GPSLatitude") && has(&clean, b"tiff:Make"));
    assert!(!has(&clean, &pictures::SECRET_SECONDS.to_be_bytes()));
    assert!(verify(&clean, &Limits::default(), &[64]).is_ok());
    assert!(patched(&clean).0.is_empty(), "a second look");

    let file = pictures::jxl_in_boxes(&codestream, &[(b"brob", b"Exif and what was compressed")]);
    let (patches, clean) = patched(&file);
    assert_eq!(patches.finding(), LocationFinding::WithItsBlock);
    assert!(!has(&clean, b"compressed"));
    assert!(verify(&clean, &Limits::default(), &[64]).is_ok());
    assert_eq!(patched(&codestream).0, LocationPatches::default());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Whatever happens to the bytes: patches that can be applied, no panic, and no fault of decoders.
    #[test]
    fn no_bytes_make_it_panic(
        which in 0..4_usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        keep in any::<prop::sample::Index>(),
        cut in any::<bool>(),
    ) {
        let mut file = match which {
            0 => pictures::raw(16, 16, 6),
            1 => Tiff::default().located(16, 16),
            2 => Tiff { is_big: true, ..Tiff::default() }.located(16, 16),
            _ => {
                let exif = [&[0; 4], pictures::raw(16, 16, 1).as_slice()].concat();
                pictures::jxl_in_boxes(&pictures::jxl(), &[(b"Exif", &exif)])
            }
        };
        for (at, value) in &changes {
            let at = at.index(file.len());
            file[at] = *value;
        }
        if cut {
            file.truncate(keep.index(file.len()));
        }
        patched(&file);
        let verified = verify(&file, &Limits::default(), &[64]).map(|_| ());
        if let Err(imgn_thumbs::PictureError::Corrupt { reason, .. }) = &verified {
            prop_assert_ne!(reason, "the decoder failed on it");
        }
    }
}
