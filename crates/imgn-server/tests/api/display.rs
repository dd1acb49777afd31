//! What stands in for an original that browsers cannot show.

use imgn_protocol::UploadId;
use imgn_testkit::pictures::{
    self, CORNERS, HEIF_SIZE, Heif, HeifCoding, JXL_SIZE, Tiff, TiffCompression, heif_turns,
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::{Caller, Gallery, eventually};

/// A file of a format that browsers do not show, stored on its side.
struct Foreign {
    name: &'static str,
    bytes: Vec<u8>,
    content_type: &'static str,
    /// Of what stands in for it.
    size: (u32, u32),
    /// In reading order.
    corners: [[u8; 3]; 4],
}

/// By EXIF: to be turned by a quarter, with the clock.
const ON_ITS_SIDE: u16 = 6;

/// The corners of a scene that is turned so.
const TURNED: [[u8; 3]; 4] = [CORNERS[2], CORNERS[0], CORNERS[3], CORNERS[1]];

fn foreign() -> [Foreign; 4] {
    let tiff = Tiff {
        orientation: ON_ITS_SIDE,
        compression: TiffCompression::Jpeg,
        ..Tiff::default()
    };
    let heif = Heif {
        turns: heif_turns(ON_ITS_SIDE),
        ..Heif::default()
    };
    [
        Foreign {
            name: "scan.tif",
            bytes: tiff.of_scene(2800, 700),
            content_type: "image/tiff",
            size: (2560, 640),
            corners: CORNERS,
        },
        Foreign {
            name: "phone.heic",
            bytes: heif.write(HeifCoding::Hevc),
            content_type: "image/heic",
            size: (HEIF_SIZE.1, HEIF_SIZE.0),
            corners: TURNED,
        },
        Foreign {
            name: "archive.jxl",
            bytes: pictures::oriented_jxl(ON_ITS_SIDE),
            content_type: "image/jxl",
            size: (JXL_SIZE.1, JXL_SIZE.0),
            corners: TURNED,
        },
        Foreign {
            name: "camera.raf",
            bytes: raw(2800, 1400),
            content_type: "image/x-dcraw",
            size: (2560, 1280),
            corners: CORNERS,
        },
    ]
}

/// A raw as Fujifilm builds it, as far as it is read: a header that leads to a JPEG.
fn raw(width: u32, height: u32) -> Vec<u8> {
    const PREVIEW_FIELD: usize = 84;
    const PREVIEW: u32 = 148;
    let preview = pictures::oriented_jpeg(width, height, ON_ITS_SIDE);
    let length = u32::try_from(preview.len()).unwrap();
    let mut file = b"FUJIFILMCCD-RAW ".to_vec();
    file.resize(PREVIEW_FIELD, 0);
    file.extend(PREVIEW.to_be_bytes());
    file.extend(length.to_be_bytes());
    file.resize(usize::try_from(PREVIEW).unwrap(), 0);
    file.extend(preview);
    file
}

/// The bytes behind an address, which is a whole one.
async fn bytes(caller: &Caller, url: &str) -> Vec<u8> {
    let answer = caller.http.get(url).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK, "{url}");
    assert_eq!(answer.headers()["content-type"], "image/jpeg");
    answer.bytes().await.unwrap().to_vec()
}

/// The size of a picture, whose corners are checked.
fn checked(name: &str, jpeg: &[u8], corners: [[u8; 3]; 4]) -> (u32, u32) {
    let picture = image::load_from_memory(jpeg).unwrap().into_rgb8();
    let (width, height) = picture.dimensions();
    let places = [(1, 1), (7, 1), (1, 7), (7, 7)];
    for ((x, y), expected) in places.into_iter().zip(corners) {
        let found = picture.get_pixel(width * x / 8, height * y / 8).0;
        let near = found
            .iter()
            .zip(expected)
            .all(|(&found, expected)| found.abs_diff(expected) <= 40);
        assert!(near, "{name} at {x}, {y}: {found:?}, not {expected:?}");
    }
    (width, height)
}

fn path_of(image: &Value) -> String {
    format!("/v1/images/{}", image["id"].as_str().unwrap())
}

#[tokio::test]
async fn an_original_that_browsers_cannot_show_has_something_in_its_place() {
    let gallery = Gallery::start().await;
    let empty = gallery.stored_bytes();
    for Foreign {
        name,
        bytes: file,
        content_type,
        size,
        corners,
    } in foreign()
    {
        let outcome = gallery.ada.upload(name, &file).await;
        assert_eq!(outcome["state"], "published", "{name}: {outcome}");
        let image = &outcome["image"];
        assert_eq!(image["content_type"], content_type, "{name}");
        let path = path_of(image);
        let url = format!("{}{path}/thumb/2560", gallery.ada.url);
        assert_eq!(image["display_url"], url.as_str(), "{name}");
        let jpeg = bytes(&gallery.anonymous(), &url).await;
        assert_eq!(checked(name, &jpeg, corners), size, "{name}");
        assert_eq!(
            gallery.anonymous().get(&path).await.json,
            *image,
            "{name}: told alike everywhere"
        );

        assert_eq!(
            gallery.ada.delete(&path).await.status,
            StatusCode::NO_CONTENT
        );
        let answer = gallery.ada.get(&format!("{path}/thumb/2560")).await;
        assert_eq!(answer.code(), "not_found", "{name}");
        assert!(gallery.stored_bytes() <= empty, "{name}: all of it is gone");
    }
}

#[tokio::test]
async fn what_a_picture_says_of_its_making_is_told() {
    let gallery = Gallery::start().await;
    let file = pictures::described_jpeg(90, 60);
    let image = gallery.ada.upload("trip.jpg", &file).await["image"].clone();
    assert_eq!(image["camera"], "NIKON D850");
    assert_eq!(image["lens"], "NIKKOR Z 24-70mm f/2.8 S");
    let exposure =
        json!({ "seconds": 0.004, "f_number": 2.8, "iso": 640, "focal_length_mm": 50.0 });
    assert_eq!(image["exposure"], exposure);
    assert_eq!(
        image["location"],
        json!({ "latitude": 48.1372, "longitude": 11.5756 })
    );
    let again = gallery.anonymous().get(&path_of(&image)).await.json;
    assert_eq!(again, image, "told alike everywhere");

    let plain = gallery
        .ada
        .upload("plain.jpg", &pictures::jpeg(90, 60))
        .await;
    for field in ["camera", "lens", "exposure", "location"] {
        assert_eq!(plain["image"][field], Value::Null, "{field}");
    }
}

#[tokio::test]
async fn an_original_that_browsers_show_has_nothing_in_its_place() {
    let gallery = Gallery::start().await;
    for (name, file) in [
        ("a.jpg", pictures::jpeg(2800, 700)),
        ("b.bmp", pictures::bmp(60, 40, false)),
        ("c.gif", pictures::animated_gif(60, 40, 3)),
        ("d.avif", Heif::default().write(HeifCoding::Av1)),
    ] {
        let outcome = gallery.ada.upload(name, &file).await;
        let image = &outcome["image"];
        assert_eq!(image["animated"], name == "c.gif", "{outcome}");
        assert_eq!(image["display_url"], Value::Null, "{image}");
        let thumb = format!("{}/thumb/2560", path_of(image));
        let answer = gallery.ada.get(&thumb).await;
        assert_eq!(answer.code(), "not_found", "{name}");
        // Nor is a copy of it in a cache of use.
        let cached = gallery.ada.request(Method::GET, &thumb);
        let cached = cached.header("if-none-match", "*").send().await.unwrap();
        assert_eq!(cached.status(), StatusCode::NOT_FOUND, "{name}");
    }
}

#[tokio::test]
async fn where_memory_does_not_suffice_it_is_smaller() {
    let tiff = Tiff {
        compression: TiffCompression::Jpeg,
        ..Tiff::default()
    };
    let file = tiff.of_scene(2800, 2100);
    let header = imgn_thumbs::inspect(&file, &imgn_thumbs::Limits::default()).unwrap();
    let gallery = Gallery::start_with(|config| {
        config.limits.max_decoded_bytes = imgn_thumbs::decode_cost(&header, 2560) - 1;
    })
    .await;
    let outcome = gallery.ada.upload("a.tif", &file).await;
    assert_eq!(outcome["state"], "published", "{outcome}");
    let url = outcome["image"]["display_url"].as_str().unwrap();
    let jpeg = bytes(&gallery.ada, url).await;
    assert_eq!(checked("a.tif", &jpeg, CORNERS), (1280, 960));
}

/// As a power cut may leave it: all is stored, and the end of the upload was taken back.
#[tokio::test]
async fn it_is_deleted_with_all_else_of_a_picture_that_was_not_published() {
    let mut gallery = Gallery::start().await;
    let empty = gallery.stored_bytes();
    let (heic, id) = (Heif::default().write(HeifCoding::Hevc), UploadId::new());
    gallery.ada.send(id, "a.heic", &heic).await;
    let outcome = gallery.ada.outcome(id).await;
    assert_eq!(outcome["state"], "published", "{outcome}");
    gallery.stop().await;
    gallery
        .sql("UPDATE uploads SET state = 'open', published_image = NULL")
        .await;
    gallery.sql("DELETE FROM changes").await;
    gallery.sql("DELETE FROM images").await;

    gallery.start_again(|_| {}).await;
    assert!(gallery.stored_bytes() > empty);
    gallery.ada.delete(&format!("/v1/uploads/{id}")).await;
    eventually("deletion", async || gallery.stored_bytes() <= empty).await;
}
