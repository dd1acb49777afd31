//! Taking the location out of files of every format, and nothing else.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails"
)]

#[path = "privacy/files.rs"]
mod files;

use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::sync::LazyLock;

use files::{ORDERS, Order, SECRETS, XMP, chunks, exif, exif_segment, raw_profile, xmp_segment};
use image::ExtendedColorType::Rgb8;
use imgn_testkit::pictures::{self, Heif, HeifCoding, HeifPlace};
use imgn_thumbs::{
    Limits, LocationFinding, LocationPatches, Orientation, Picture, inspect, location_patches,
    verify,
};
use proptest::prelude::*;

fn position(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

fn look(file: &[u8]) -> LocationPatches {
    location_patches(&mut Cursor::new(file)).expect("memory is read without errors")
}

fn patched(file: &[u8], patches: &LocationPatches) -> Vec<u8> {
    let mut patched = file.to_vec();
    patches.apply(0, &mut patched);
    patched
}

/// Patches that can be applied, the same in pieces as at once, and no finding once they are.
fn check_patches(file: &[u8], patches: &LocationPatches) -> Vec<u8> {
    let mut end = 0;
    for patch in patches.patches() {
        assert!(patch.length() > 0);
        assert!(patch.offset() >= end, "patches overlap or are not sorted");
        end = patch.end();
    }
    assert!(end <= file.len() as u64, "a patch leaves the file");
    // Where there is too much, the first block may be the one that is not looked at.
    if patches.finding() != LocationFinding::TooMuch {
        let nothing = patches.finding() == LocationFinding::Nothing;
        assert_eq!(patches.is_empty(), nothing);
    }
    let whole = patched(file, patches);
    let mut in_pieces = file.to_vec();
    for (index, piece) in in_pieces.chunks_mut(7).enumerate() {
        patches.apply(index as u64 * 7, piece);
    }
    assert!(in_pieces == whole, "pieces differ from the whole");
    if patches.finding() != LocationFinding::TooMuch {
        let again = look(&whole);
        assert_eq!(again, LocationPatches::default(), "a second look");
    }
    whole
}

/// Takes the location out, and checks that nothing else is gone: decoded pixels, what we read of the picture, and,
/// where it has EXIF that other readers know, all of its fields.
fn without_location(name: &str, file: &[u8], has_exif: bool) -> Vec<u8> {
    let patches = look(file);
    assert_eq!(patches.finding(), LocationFinding::Location, "{name}");
    let clean = check_patches(file, &patches);
    let pixels = |file: &[u8]| {
        image::load_from_memory(file)
            .unwrap_or_else(|error| panic!("{name}: {error}"))
            .into_rgba8()
    };
    assert!(pixels(file) == pixels(&clean), "{name}: pixels differ");
    let picture = |file: &[u8]| {
        verify(file, &Limits::default(), &[64]).unwrap_or_else(|error| panic!("{name}: {error}"))
    };
    assert_same_but_for_place(picture(file), &picture(&clean), name);
    if has_exif {
        let (before, locations) = files::exif_fields(file);
        assert!(before.len() > 6 && locations > 3, "{name}");
        assert_eq!(files::exif_fields(&clean), (before, 0), "{name}");
        let orientation = picture(&clean).header.orientation;
        assert_eq!(orientation, Orientation::Rotate90, "{name}");
    }
    clean
}

/// All that is read of a picture stays, but for where it was taken.
fn assert_same_but_for_place(mut before: Picture, clean: &Picture, name: &str) {
    before.metadata.has_location = false;
    before.metadata.location = None;
    assert!(
        before == *clean,
        "{name}: {:?}, not {:?}",
        clean.metadata,
        before.metadata
    );
}

fn assert_gone(name: &str, clean: &[u8], order: Order) {
    for secret in order.secrets() {
        assert_eq!(position(clean, &secret), None, "{name}: {secret:?}");
    }
    for secret in SECRETS {
        assert_eq!(position(clean, secret.as_bytes()), None, "{name}: {secret}");
    }
}

/// That there is XMP as [`XMP`] is to become.
fn assert_rest_of_xmp(name: &str, clean: &[u8]) {
    let squeezed: Vec<u8> = clean.iter().copied().filter(|&byte| byte != b' ').collect();
    let rest = files::xmp_without_location();
    assert!(position(&squeezed, rest.as_bytes()).is_some(), "{name}");
}

#[test]
fn jpeg_loses_its_location_and_nothing_else() {
    for order in ORDERS {
        let thumbnail = files::jpeg(16, &[exif_segment(&exif(order, &[]))]);
        let segments = [
            exif_segment(&exif(order, &thumbnail)),
            xmp_segment(XMP.as_bytes()),
        ];
        let file = files::jpeg(60, &segments);
        let clean = without_location("jpeg", &file, true);
        assert_gone("jpeg", &clean, order);
        assert_rest_of_xmp("jpeg", &clean);
        assert!(position(&clean, b"and what else a maker notes").is_some());

        // A second picture behind the first, as multi-picture files have it, and other data before that.
        let second = files::jpeg(32, &segments);
        let both = [&file[..], b"\xff\xd8\xff\x00 and \xff\xe1", &second].concat();
        let clean = without_location("two pictures", &both, true);
        assert_gone("two pictures", &clean, order);

        let mut extended = vec![exif_segment(&exif(order, &[]))];
        extended.extend(files::extended_xmp_segments());
        let file = files::jpeg(60, &extended);
        let clean = without_location("extended XMP", &file, true);
        assert_gone("extended XMP", &clean, order);
    }
}

#[test]
fn png_loses_its_location_and_nothing_else() {
    let xmp_text =
        |flag: u8, text: &[u8]| [b"XML:com.adobe.xmp\0", &[flag, 0, 0, 0][..], text].concat();
    let raw = |text: &[u8]| [b"Raw profile type exif\0", text].concat();
    for order in ORDERS {
        let profile = raw_profile("exif", &exif_segment(&exif(order, &[])));
        let file = files::png(&[
            (b"eXIf", exif(order, &[])),
            (b"iTXt", xmp_text(0, XMP.as_bytes())),
            (b"tEXt", b"exif:GPSLatitude\x0048,12.3456N".to_vec()),
            (b"tEXt", raw(&profile)),
            (b"tEXt", b"Title\0Wien".to_vec()),
        ]);
        let clean = without_location("png", &file, true);
        assert_gone("png", &clean, order);
        assert_rest_of_xmp("png", &clean);
        let kept = chunks(&clean);
        assert_eq!(kept[3].0, b"voId");
        assert!(kept[3].1.iter().all(|&byte| byte == 0));
        assert_eq!(kept[5], (b"tEXt".to_vec(), b"Title\0Wien".to_vec()));

        let raw_compressed = [&raw(b"")[..], b"\0", &compressed(&profile)].concat();
        let file = files::png(&[
            (b"eXIf", exif(order, &[])),
            (b"zTXt", raw_compressed),
            (b"iTXt", xmp_text(1, &compressed(XMP.as_bytes()))),
        ]);
        let clean = without_location("compressed png", &file, true);
        let kept = chunks(&clean);
        let profile = inflated(&kept[2].1[raw(b"").len() + 1..]);
        let profile = hex_of(&profile);
        assert!(position(&profile, b"imgn Test 1").is_some());
        assert_gone("raw profile", &profile, order);
        let packet = inflated(&kept[3].1[xmp_text(1, b"").len()..]);
        assert_gone("compressed XMP", &packet, order);
        assert_rest_of_xmp("compressed XMP", &packet);
    }
}

fn compressed(text: &[u8]) -> Vec<u8> {
    let mut stream = Vec::new();
    flate2::read::ZlibEncoder::new(text, flate2::Compression::best())
        .read_to_end(&mut stream)
        .unwrap();
    stream
}

/// What a stream holds that ends where it should.
fn inflated(stream: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    let mut decoder = flate2::bufread::ZlibDecoder::new(stream);
    decoder.read_to_end(&mut text).unwrap();
    assert_eq!(decoder.total_in(), stream.len() as u64);
    text
}

/// The bytes of a raw profile.
fn hex_of(profile: &[u8]) -> Vec<u8> {
    let text = std::str::from_utf8(profile).unwrap();
    let digits: String = text.lines().skip(3).collect();
    (0..digits.len() / 2)
        .map(|at| u8::from_str_radix(&digits[at * 2..at * 2 + 2], 16).unwrap())
        .collect()
}

#[test]
fn webp_loses_its_location_and_nothing_else() {
    for order in ORDERS {
        let file = files::webp(&exif(order, &[]), XMP.as_bytes());
        let clean = without_location("webp", &file, true);
        assert_gone("webp", &clean, order);
        assert_rest_of_xmp("webp", &clean);
    }
}

#[test]
fn gif_loses_its_location_and_nothing_else() {
    for in_sub_blocks in [false, true] {
        let file = files::gif(XMP.as_bytes(), in_sub_blocks);
        let clean = without_location("gif", &file, false);
        assert_gone("gif", &clean, Order::Little);
        if !in_sub_blocks {
            assert_rest_of_xmp("gif", &clean);
        }
    }
}

/// Where metadata may lie in AVIF and HEIC.
const PLACES: [HeifPlace; 4] = [
    HeifPlace::File,
    HeifPlace::Items,
    HeifPlace::Pieces(1),
    HeifPlace::Pieces(50),
];

fn heif(exif: &[u8], place: HeifPlace) -> Heif<'_> {
    Heif {
        exif: Some(exif),
        xmp: Some(XMP.as_bytes()),
        place,
        ..Heif::default()
    }
}

#[test]
fn avif_and_heic_lose_their_location_and_nothing_else() {
    for order in ORDERS {
        let plain = exif(order, &THUMBNAIL);
        let marked = [b"Exif\0\0", plain.as_slice()].concat();
        for coding in [HeifCoding::Av1, HeifCoding::Hevc] {
            for (place, exif) in PLACES
                .into_iter()
                .flat_map(|it| [(it, &plain), (it, &marked)])
            {
                let name = format!("{coding:?} {place:?}");
                let file = heif(exif, place).write(coding);
                let patches = look(&file);
                assert_eq!(patches.finding(), LocationFinding::Location, "{name}");
                let clean = check_patches(&file, &patches);
                let picture = |file: &[u8]| verify(file, &Limits::default(), &[64]).unwrap();
                assert_same_but_for_place(picture(&file), &picture(&clean), &name);
                if let HeifPlace::Pieces(_) = place {
                    continue;
                }
                assert_gone(&name, &clean, order);
                assert_rest_of_xmp(&name, &clean);
                assert!(position(&clean, b"and what else a maker notes").is_some());
                let camera = picture(&clean).metadata.camera;
                assert_eq!(camera.as_deref(), Some("imgn Test 1"), "{name}");
            }
        }
    }
}

#[test]
fn metadata_of_a_heic_that_lie_in_its_picture_are_not_touched() {
    let exif = exif(Order::Big, &[]);
    let file = heif(&exif, HeifPlace::File).write(HeifCoding::Hevc);
    // Of the places of three items, the second is made the first's: 16 bytes each, four of them numbers.
    let places = position(&file, b"iloc").unwrap() + 4 + 8;
    let mut shared = file.clone();
    shared.copy_within(places + 8..places + 12, places + 16 + 8);
    let patches = look(&shared);
    assert_eq!(patches.finding(), LocationFinding::TooMuch);
    assert!(patches.is_empty());
}

#[test]
fn a_directory_that_an_editor_left_behind_is_emptied_too() {
    for order in ORDERS {
        let mut block = exif(order, &[]);
        // A new first directory at the end, that knows the orientation only.
        let start = order.u32(block.len() as u32);
        block[4..8].copy_from_slice(&start);
        for part in [
            &order.u16(1)[..],
            &order.u16(0x0112),
            &order.u16(3),
            &order.u32(1),
        ] {
            block.extend(part);
        }
        block.extend(order.u16(6));
        block.extend([0; 6]);
        let file = files::jpeg(60, &[exif_segment(&block)]);
        let clean = without_location("left behind", &file, false);
        assert_gone("left behind", &clean, order);
        let header = inspect(&clean, &Limits::default()).unwrap();
        assert_eq!(header.orientation, Orientation::Rotate90);
    }
}

#[test]
fn without_a_location_nothing_is_found() {
    let xmp = files::xmp_without_location();
    let mut sound = vec![
        Vec::new(),
        pictures::TEXT.to_vec(),
        pictures::jpeg(60, 40),
        pictures::oriented_jpeg(60, 40, 3),
        pictures::jpeg_with_trailer(60, 40),
        pictures::jpeg_with_odd_header(60, 40),
        pictures::png(60, 40, Rgb8),
        pictures::png_with_exif(60, 40, 3),
        pictures::animated_png(60, 40, 3),
        pictures::animated_gif(60, 40, 3),
        pictures::webp_with_exif(60, 40, 3),
        pictures::animated_webp(60, 40, 3),
        files::gif(xmp.as_bytes(), false),
        files::gif(xmp.as_bytes(), true),
        Heif::default().write(HeifCoding::Av1),
        pictures::animated_avif(3, true),
    ];
    for order in ORDERS {
        let block = files::exif_with_gps_version_only(order);
        sound.push(files::jpeg(
            60,
            &[exif_segment(&block), xmp_segment(xmp.as_bytes())],
        ));
        sound.push(files::webp(&block, xmp.as_bytes()));
    }
    for file in sound {
        assert_eq!(look(&file), LocationPatches::default());
    }
}

#[test]
fn metadata_that_make_no_sense_go_but_for_the_orientation() {
    for order in ORDERS {
        let mut block = exif(order, &[]);
        let gps = files::gps_directory(order, &block);
        block[gps..gps + 2].copy_from_slice(&order.u16(1000));
        let broken_xmp = XMP.replace("</exif:GPSLongitude>", "</exif:Longitude>");
        for (file, what) in [
            (files::jpeg(60, &[exif_segment(&block)]), "jpeg"),
            (files::png(&[(b"eXIf", block.clone())]), "png"),
            (files::webp(&block, broken_xmp.as_bytes()), "webp"),
        ] {
            let patches = look(&file);
            assert_eq!(patches.finding(), LocationFinding::WithItsBlock, "{what}");
            let clean = check_patches(&file, &patches);
            assert_gone(what, &clean, order);
            let picture = verify(&clean, &Limits::default(), &[]).unwrap();
            assert_eq!(picture.header.orientation, Orientation::Rotate90, "{what}");
        }
    }
}

#[test]
fn a_block_of_any_length_is_looked_through() {
    const LENGTH: usize = 20 << 20;
    let mut xmp = XMP.replace("Test 1", "Test 1<!--");
    xmp.truncate(xmp.find("<!--").unwrap() + 4);
    let rest = XMP.len() - xmp.len();
    xmp.push_str(&"x".repeat(LENGTH));
    xmp.push_str("-->");
    xmp.push_str(&XMP[XMP.len() - rest..]);
    let file = files::webp(&exif(Order::Big, &[]), xmp.as_bytes());
    let patches = look(&file);
    assert_eq!(patches.finding(), LocationFinding::WithItsBlock);
    let clean = check_patches(&file, &patches);
    assert_gone("long XMP", &clean, Order::Big);
    assert_eq!(files::exif_fields(&clean).0, files::exif_fields(&file).0);

    let harmless = format!("<a>{}</a>", " my GPS ".repeat(LENGTH / 8));
    let file = files::webp(b"", harmless.as_bytes());
    assert_eq!(look(&file), LocationPatches::default());
}

#[test]
fn more_metadata_than_any_file_has_are_said_to_be_too_much() {
    let segment = xmp_segment(b"<a GPSLatitude='1'/>");
    let file = files::jpeg(60, &vec![segment; 5000]);
    let patches = look(&file);
    assert_eq!(patches.finding(), LocationFinding::TooMuch);
    assert!((1000..5000).contains(&patches.patches().len()));
    check_patches(&file, &patches);
}

#[test]
fn compressed_text_that_grows_without_end_is_said_to_be_too_much() {
    let bomb = compressed(&vec![b' '; 20 << 20]);
    let named = |keyword: &[u8]| files::png(&[(b"zTXt", [keyword, b"\0\0", &bomb].concat())]);
    let patches = look(&named(b"XML:com.adobe.xmp"));
    assert_eq!(patches.finding(), LocationFinding::TooMuch);
    assert!(patches.is_empty());
    // Other text is none of ours.
    assert_eq!(look(&named(b"Comment")), LocationPatches::default());
}

/// A disk that fails.
struct Broken;

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::Error::other("the disk is gone"))
    }
}

impl Seek for Broken {
    fn seek(&mut self, _: SeekFrom) -> io::Result<u64> {
        Ok(1000)
    }
}

#[test]
fn a_file_that_cannot_be_read_is_an_error() {
    let error = location_patches(&mut Broken).unwrap_err();
    assert_eq!(error.to_string(), "the file could not be read");
}

/// One file of each kind that has a location.
static LOCATED: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let mut located = Vec::new();
    for order in ORDERS {
        let block = exif(order, &THUMBNAIL);
        let mut segments = vec![exif_segment(&block), xmp_segment(XMP.as_bytes())];
        segments.extend(files::extended_xmp_segments());
        located.push(files::jpeg(60, &segments));
        located.push(files::webp(&block, XMP.as_bytes()));
        let profile = compressed(&raw_profile("exif", &block));
        let profile = [&b"Raw profile type exif\0\0"[..], &profile].concat();
        located.push(files::png(&[(b"eXIf", block), (b"zTXt", profile)]));
    }
    located.push(files::gif(XMP.as_bytes(), false));
    located.push(files::gif(XMP.as_bytes(), true));
    for place in PLACES {
        located.push(heif(&exif(Order::Big, &THUMBNAIL), place).write(HeifCoding::Av1));
    }
    located
});

/// A thumbnail that has a location itself.
static THUMBNAIL: LazyLock<Vec<u8>> =
    LazyLock::new(|| files::jpeg(16, &[exif_segment(&exif(Order::Big, &[]))]));

/// What is behind the metadata of a JPEG.
static PICTURE: LazyLock<Vec<u8>> = LazyLock::new(|| pictures::jpeg(60, 40)[2..].to_vec());

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    /// Whatever happens to the bytes: patches that can be applied, and leave nothing to be found.
    #[test]
    fn no_bytes_lead_outside_the_file(
        which in 0..12_usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        keep in any::<prop::sample::Index>(),
        cut in any::<bool>(),
    ) {
        let mut file = LOCATED[which].clone();
        // Most of the changes go where the metadata are.
        let metadata = file.len().min(2500);
        for (at, value) in &changes {
            let range = if value % 8 == 0 { file.len() } else { metadata };
            file[at.index(range)] = *value;
        }
        if cut {
            file.truncate(keep.index(file.len()));
        }
        check_patches(&file, &look(&file));
    }

    /// Whatever a JPEG's metadata say, nothing but metadata changes.
    #[test]
    fn no_metadata_touch_the_picture(
        order in prop::sample::select(&ORDERS[..]),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
    ) {
        let mut block = exif(order, &THUMBNAIL);
        for (at, value) in &changes {
            let at = at.index(block.len());
            block[at] = *value;
        }
        let length = (block.len() as u16 + 8).to_be_bytes();
        let head = [&b"\xff\xd8\xff\xe1"[..], &length, b"Exif\0\0"].concat();
        let file = [&head[..], &block, &PICTURE].concat();
        let clean = check_patches(&file, &look(&file));
        prop_assert!(clean.starts_with(&head));
        prop_assert!(clean.ends_with(&PICTURE));
    }

    #[test]
    fn any_bytes_have_an_answer(
        magic in prop::sample::select(vec![
            &b"\xff\xd8\xff\xe1\0\x40Exif\0\0MM\0*\0\0\0\x08"[..],
            b"\xff\xd8\xff\xe1\0\x40http://ns.adobe.com/xap/1.0/\0<",
            b"\x89PNG\r\n\x1a\n\0\0\0\x40eXIf",
            b"\x89PNG\r\n\x1a\n\0\0\0\x40zTXtRaw profile type exif\0\0\x78\x9c",
            b"RIFF\0\x01\0\0WEBPEXIF\x40\0\0\0II*\0\x08\0\0\0",
            b"GIF89a\0\0\0\0\0\0\0\x21\xff\x0bXMP DataXMP<",
            b"\0\0\0\x10ftypavif\0\0\0\0\0\0\0\x40meta\0\0\0\0",
        ]),
        bytes in prop::collection::vec(any::<u8>(), 0..600),
    ) {
        let file = [magic, &bytes].concat();
        check_patches(&file, &look(&file));
    }
}
