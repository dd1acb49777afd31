//! The names of objects: an identifier and a suffix, nothing a client chose. Engines disagree about every other name.

use imgn_protocol::{ImageId, THUMBNAIL_SIZES};

/// The picture as it was uploaded.
pub(crate) fn original(image: ImageId) -> String {
    format!("originals/{image}")
}

/// The JPEG whose longest edge is `size` pixels.
pub(crate) fn thumbnail(image: ImageId, size: u32) -> String {
    format!("thumbnails/{image}/{size}.jpg")
}

/// All thumbnails that a picture has.
pub(crate) fn thumbnails(image: ImageId) -> impl Iterator<Item = String> {
    THUMBNAIL_SIZES
        .into_iter()
        .map(move |size| thumbnail(image, size))
}
