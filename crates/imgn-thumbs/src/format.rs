//! Which formats there are, and how each begins.

use std::fmt;

use crate::bytes::{be32, le32};
use crate::{PictureError, bmp, jxl, raw};

/// A picture format that is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// JPEG: baseline, extended and progressive, 8 bits a sample.
    Jpeg,
    /// PNG, and animated PNG.
    Png,
    /// GIF, still or animated.
    Gif,
    /// WebP: lossy, lossless, animated.
    WebP,
    /// AVIF: AV1 in an ISO base media file, still or animated.
    Avif,
    /// HEIC, and HEIF of other brands: HEVC in an ISO base media file.
    Heic,
    /// TIFF and BigTIFF: the first page.
    Tiff,
    /// BMP, of Windows and OS/2.
    Bmp,
    /// JPEG XL, still or animated.
    Jxl,
    /// A camera raw, of any maker, shown by the preview in it.
    Raw,
}

impl Format {
    /// All formats.
    pub const ALL: &'static [Self] = &[
        Self::Jpeg,
        Self::Png,
        Self::Gif,
        Self::WebP,
        Self::Avif,
        Self::Heic,
        Self::Tiff,
        Self::Bmp,
        Self::Jxl,
        Self::Raw,
    ];

    /// Whether browsers and the desktop's web view show it as it is; of others they are to be given a rendition.
    #[must_use]
    pub fn is_shown_by_browsers(self) -> bool {
        match self {
            Self::Jpeg | Self::Png | Self::Gif | Self::WebP | Self::Avif | Self::Bmp => true,
            Self::Heic | Self::Tiff | Self::Jxl | Self::Raw => false,
        }
    }

    /// Its media type.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
            Self::Gif => "image/gif",
            Self::WebP => "image/webp",
            Self::Avif => "image/avif",
            Self::Heic => "image/heic",
            Self::Tiff => "image/tiff",
            Self::Bmp => "image/bmp",
            Self::Jxl => "image/jxl",
            // Each maker has a type of its own; this is the one that desktops know as the parent of all.
            Self::Raw => "image/x-dcraw",
        }
    }

    /// The usual ending of its file names, without the dot.
    #[must_use]
    pub fn extension(self) -> &'static str {
        match self {
            Self::Jpeg => "jpg",
            Self::Png => "png",
            Self::Gif => "gif",
            Self::WebP => "webp",
            Self::Avif => "avif",
            Self::Heic => "heic",
            Self::Tiff => "tif",
            Self::Bmp => "bmp",
            Self::Jxl => "jxl",
            Self::Raw => "raw",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Jpeg => "JPEG",
            Self::Png => "PNG",
            Self::Gif => "GIF",
            Self::WebP => "WebP",
            Self::Avif => "AVIF",
            Self::Heic => "HEIC",
            Self::Tiff => "TIFF",
            Self::Bmp => "BMP",
            Self::Jxl => "JPEG XL",
            Self::Raw => "camera raw",
        })
    }
}

/// What is accepted, in words for people.
pub const ACCEPTED: &str = "JPEG, PNG, GIF, WebP, AVIF, HEIC, TIFF, BMP, JPEG XL and camera raw";

/// The bytes that [`sniff`] wants to see, at most.
pub const SNIFF_BYTES: usize = 512;

/// The format of a file that begins with `head`, by its magic bytes and nothing else: no file name, no announced type.
/// [`SNIFF_BYTES`] of it are enough, but for a camera raw whose first directory lies further on: by its head that is a
/// TIFF.
#[must_use]
pub fn sniff(head: &[u8]) -> Option<Format> {
    if head.starts_with(&[0xff, 0xd8, 0xff]) {
        Some(Format::Jpeg)
    } else if head.starts_with(b"\x89PNG\r\n\x1a\n") {
        Some(Format::Png)
    } else if head.starts_with(b"GIF87a") || head.starts_with(b"GIF89a") {
        Some(Format::Gif)
    } else if head.starts_with(b"RIFF") && head.get(8..12) == Some(b"WEBP") {
        Some(Format::WebP)
    } else if raw::is_raw(head) {
        Some(Format::Raw)
    } else if is_tiff(head) {
        Some(Format::Tiff)
    } else if is_bmp(head) {
        Some(Format::Bmp)
    } else if head.starts_with(&jxl::CODESTREAM) || head.starts_with(jxl::CONTAINER) {
        Some(Format::Jxl)
    } else {
        sniff_isobmff(head)
    }
}

fn is_tiff(head: &[u8]) -> bool {
    [
        b"II*\0".as_slice(),
        b"MM\0*",
        b"II+\0\x08\0\0\0",
        b"MM\0+\0\x08\0\0",
    ]
    .iter()
    .any(|start| head.starts_with(start))
}

/// "BM" alone is two letters of any text: the size of the header that follows must be one that exists.
fn is_bmp(head: &[u8]) -> bool {
    let size = head.get(14..).and_then(|rest| le32(rest, 0));
    head.starts_with(b"BM") && size.is_some_and(|size| bmp::HEADER_SIZES.contains(&size))
}

/// Whether the file's type box has this brand, as its own or among those it is compatible with.
pub(crate) fn has_brand(head: &[u8], brand: &[u8; 4]) -> bool {
    brands(head).any(|other| other == brand)
}

/// AVIF or HEIC, by the first of the file's brands that tells which. One that says only that it is a file of pictures
/// is told by how its items are coded, as far as they are named in `head`.
fn sniff_isobmff(head: &[u8]) -> Option<Format> {
    let mut is_picture = false;
    for brand in brands(head) {
        match brand {
            b"avif" | b"avis" => return Some(Format::Avif),
            b"heic" | b"heix" | b"heim" | b"heis" | b"hevc" | b"hevx" | b"hevm" | b"hevs" => {
                return Some(Format::Heic);
            }
            b"mif1" | b"mif2" | b"msf1" | b"miaf" => is_picture = true,
            _ => {}
        }
    }
    let head = head.get(..SNIFF_BYTES).unwrap_or(head);
    let names_av1 = head.windows(4).any(|name| name == b"av01");
    is_picture.then_some(if names_av1 {
        Format::Avif
    } else {
        Format::Heic
    })
}

/// The brands of an ISO base media file, its own first.
fn brands(head: &[u8]) -> impl Iterator<Item = &[u8; 4]> {
    let size = be32(head, 0).unwrap_or(0) as usize;
    let payload = match head.get(4..8) {
        Some(b"ftyp") => head.get(8..size.min(head.len()).min(SNIFF_BYTES)),
        _ => None,
    };
    let (brands, _) = payload.unwrap_or_default().as_chunks();
    // The second is a version.
    let (own, compatible) = (brands.iter().take(1), brands.iter().skip(2));
    own.chain(compatible)
}

/// Why bytes that [`sniff`] does not know are refused: a picture that is not taken is told from what is none.
pub(crate) fn refuse(head: &[u8]) -> PictureError {
    match unsupported(head) {
        Some(what) => PictureError::UnsupportedFormat { what },
        None => PictureError::NotAPicture,
    }
}

fn unsupported(head: &[u8]) -> Option<&'static str> {
    if head.starts_with(b"\0\0\0\x0cjP  \r\n\x87\n") || head.starts_with(b"\xff\x4f\xff\x51") {
        return Some("JPEG 2000");
    }
    if head.get(4..8) == Some(b"ftyp") {
        return None;
    }
    if head.starts_with(&[0, 0, 1, 0]) && matches!(head.get(4..6), Some([1..=64, 0])) {
        return Some("ICO");
    }
    if head.starts_with(b"8BPS\0\x01") {
        return Some("Photoshop");
    }
    is_svg(head).then_some("SVG")
}

/// SVG is refused by name: it is a document that may hold scripts, and people do try.
fn is_svg(head: &[u8]) -> bool {
    let text = head
        .strip_prefix(b"\xef\xbb\xbf")
        .unwrap_or(head)
        .trim_ascii_start();
    let text = &text[..text.len().min(SNIFF_BYTES)];
    let is_xml = [b"<?xml".as_slice(), b"<!--", b"<!DOCTYPE svg"]
        .iter()
        .any(|start| text.starts_with(start));
    text.starts_with(b"<svg") || is_xml && text.windows(4).any(|window| window == b"<svg")
}
