//! Files and pictures that were copied as text.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, PAD};
use base64::{alphabet, engine::DecodePaddingMode};
use url::Url;

use super::MOST_BYTES;

/// Pictures of one text at most.
const MOST_PICTURES: usize = 100;

/// Some programs leave the padding out.
const BASE64: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, PAD_OR_NOT);
const PAD_OR_NOT: GeneralPurposeConfig =
    PAD.with_decode_padding_mode(DecodePaddingMode::Indifferent);

/// The local files of a list of addresses (RFC 2483), or of a list that begins with a word (`copy`, `cut`).
pub(super) fn files(copied: &[u8]) -> Vec<PathBuf> {
    let Ok(text) = std::str::from_utf8(copied) else {
        return Vec::new();
    };
    let lines = text
        .lines()
        .map(str::trim)
        .map(|line| line.trim_end_matches('\0'));
    let paths = lines.filter_map(|line| {
        let url = Url::parse(line).ok().filter(|url| url.scheme() == "file")?;
        url.to_file_path().ok()
    });
    paths.collect()
}

/// The pictures of all `data:image/...` addresses in a text, whatever stands around them (lines, HTML).
pub(super) fn data_urls(copied: &[u8]) -> Vec<Vec<u8>> {
    // HTML comes in UTF-16 from some programs; its addresses are ASCII.
    let is_wide = copied.len() >= 2 && copied.iter().skip(1).step_by(2).take(64).all(|b| *b == 0);
    let narrow: Vec<u8>;
    let text = if is_wide {
        narrow = copied.iter().copied().step_by(2).collect();
        &narrow
    } else {
        copied
    };
    let text = String::from_utf8_lossy(text);
    let (mut pictures, mut bytes) = (Vec::new(), 0);
    let mut rest = text.as_ref();
    while let Some(at) = rest.find("data:image/") {
        let from = &rest[at..];
        let is_end =
            |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '<' | '>' | ')' | '\\' | '\0');
        let end = from.find(is_end).unwrap_or(from.len());
        rest = &from[end..];
        if let Some(picture) = data_url(&from[..end]) {
            bytes += picture.len();
            if bytes > MOST_BYTES || pictures.len() == MOST_PICTURES {
                break;
            }
            pictures.push(picture);
        }
    }
    pictures
}

/// The bytes of one (RFC 2397). What type it says means nothing: what it is, its bytes say.
fn data_url(url: &str) -> Option<Vec<u8>> {
    let (head, body) = url.strip_prefix("data:")?.split_once(',')?;
    let body = percent_decoded(body.as_bytes());
    let bytes = if head.to_ascii_lowercase().ends_with(";base64") {
        BASE64.decode(body).ok()?
    } else {
        body
    };
    Some(bytes).filter(|bytes| !bytes.is_empty())
}

fn percent_decoded(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        let code = (text[at] == b'%')
            .then(|| text.get(at + 1..at + 3))
            .flatten()
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(code.unwrap_or(text[at]));
        at += if code.is_some() { 3 } else { 1 };
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_picture_of_a_text_is_found() {
        let one = |bytes: &[u8]| vec![bytes.to_vec()];
        for (text, expected) in [
            ("data:image/png;base64,cG5n", one(b"png")),
            (" data:image/png;base64,cG5nIQ== ", one(b"png!")),
            ("data:image/png;base64,cG5nIQ", one(b"png!")),
            ("data:image/png;base64,cG5nIQ%3D%3D", one(b"png!")),
            ("data:image/bmp,%42M%", one(b"BM%")),
            (
                "<p><img src=\"data:image/png;base64,cG5n\"><img src='data:image/gif;base64,R0lG'>",
                vec![b"png".to_vec(), b"GIF".to_vec()],
            ),
            (
                "data:image/png;base64,cG5n\r\ndata:image/jpeg;base64,anBn",
                vec![b"png".to_vec(), b"jpg".to_vec()],
            ),
            ("data:text/plain,hello", vec![]),
            ("data:image/png;base64,", vec![]),
            ("data:image/png;base64,???", vec![]),
            ("data:image/png", vec![]),
            ("", vec![]),
        ] {
            assert_eq!(data_urls(text.as_bytes()), expected, "{text}");
            let wide: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
            assert_eq!(data_urls(&wide), expected, "{text} in UTF-16");
        }
        let many = "data:image/png;base64,cG5n ".repeat(MOST_PICTURES + 5);
        assert_eq!(data_urls(many.as_bytes()).len(), MOST_PICTURES);
    }

    #[test]
    fn only_files_of_this_computer_are_files() {
        for (text, expected) in [
            (
                "file:///a%20b.png\r\nfile:///c.png\r\n",
                &["/a b.png", "/c.png"][..],
            ),
            ("cut\nfile:///a.png\0", &["/a.png"]),
            ("# a comment\nfile://localhost/a.png", &["/a.png"]),
            ("file://elsewhere/a.png\nhttps://a.example/b\n/c.png", &[]),
        ] {
            let expected: Vec<PathBuf> = expected.iter().map(PathBuf::from).collect();
            assert_eq!(files(text.as_bytes()), expected, "{text}");
        }
        assert!(files(b"\xff\xfe").is_empty());
    }
}
