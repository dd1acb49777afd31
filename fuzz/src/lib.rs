//! What is done with arbitrary bytes. A panic is a finding, and so is a broken promise; which driver makes up the bytes is
//! none of its business.
//!
//! Invariant: a target keeps nothing from one call to the next.

use std::io::Cursor;

use imgn_thumbs::{
    Limits, details as said, inspect as headers, location_patches, preview, sniff, thumbnail,
};

/// What a fuzzed picture may cost: small, so that there are many in a second.
fn limits() -> Limits {
    Limits {
        max_pixels: 4_000_000,
        max_decoded_bytes: 64 << 20,
        ..Limits::default()
    }
}

/// Thumbnails at each scale, and the preview.
pub fn quick(data: &[u8]) {
    for edge in [1, 16, 32, 160] {
        if let Ok(made) = thumbnail(data, &limits(), edge) {
            assert!(made.width.max(made.height) <= edge && !made.jpeg.is_empty());
        }
    }
    if let Some(made) = preview(data, &limits()) {
        assert!(made.width > 0 && made.height > 0);
    }
}

/// The full decoders: what they take, the headers had taken before.
pub fn verify(data: &[u8]) {
    if imgn_thumbs::verify(data, &limits(), &[64]).is_ok() {
        assert!(headers(data, &limits()).is_ok());
    }
}

/// Everything that reads headers and metadata.
pub fn inspect(data: &[u8]) {
    if headers(data, &limits()).is_ok() {
        assert!(sniff(data).is_some());
    }
    // Reading from memory does not fail.
    let _ = location_patches(&mut Cursor::new(data));
}

/// What is learned from pieces of a file.
pub fn details(data: &[u8]) {
    if let Ok(details) = said(&mut Cursor::new(data)) {
        assert!(details.width > 0 && details.height > 0);
    }
}
