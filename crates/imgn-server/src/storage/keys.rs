//! The names of objects: an identifier and a suffix, nothing a client chose. Engines disagree about every other name.

use imgn_protocol::{DISPLAY_SIZE, ImageId, THUMBNAIL_SIZES, UploadId};

/// What the keys of pictures as they were uploaded begin with.
pub(crate) const ORIGINALS: &str = "originals/";

/// What the keys of thumbnails begin with.
pub(crate) const THUMBNAILS: &str = "thumbnails/";

/// What the keys of objects begin with whose bytes their sender may still change.
pub(crate) const STAGED: &str = "staged/";

/// What the keys of questions to the store begin with. Nothing is ever kept under them.
pub(crate) const PROBES: &str = "probes/";

/// The picture as it was uploaded.
pub(crate) fn original(image: ImageId) -> String {
    format!("{ORIGINALS}{image}")
}

/// What was sent by somebody who announced nothing, below what is its owner's alone.
pub(crate) fn staged(owner: i64, upload: UploadId) -> String {
    format!("{STAGED}{owner}/{upload}")
}

/// The same of one whose URL was signed by an earlier server, which knew no such prefixes.
pub(crate) fn staged_beside_others(upload: UploadId) -> String {
    format!("{STAGED}{upload}")
}

/// Whose picture, or whose upload, an object is that a client has sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sent {
    Original(ImageId),
    Staged(UploadId),
}

/// What a client has sent, by its key; `None` for a key that no client may send to.
pub(crate) fn sent(key: &str) -> Option<Sent> {
    if let Some(below) = key.strip_prefix(STAGED) {
        let id = match below.split_once('/') {
            Some((owner, id)) => owner.parse::<i64>().ok().map(|_| id)?,
            None => below,
        };
        return id.parse().ok().map(Sent::Staged);
    }
    let id = key.strip_prefix(ORIGINALS)?;
    id.parse().ok().map(Sent::Original)
}

/// Whose object a key names: the id of a picture, an upload or a question. `None` for what is no key of this server's making.
pub(crate) fn id(key: &str) -> Option<&str> {
    let is_image = |id: &str| {
        id.parse::<ImageId>()
            .is_ok_and(|parsed| parsed.to_string() == id)
    };
    let id = if let Some(below) = key.strip_prefix(THUMBNAILS) {
        below.split_once('/').map(|(id, _)| id)
    } else if let Some(below) = key.strip_prefix(STAGED) {
        sent(key)?;
        below.rsplit('/').next()
    } else {
        key.strip_prefix(ORIGINALS).or(key.strip_prefix(PROBES))
    };
    // Uploads have ids of the same form.
    id.filter(|id| is_image(id))
}

/// A key to ask the store with, new each time.
pub(crate) fn probe() -> String {
    format!("{PROBES}{}", ImageId::new())
}

/// The JPEG whose longest edge is `size` pixels.
pub(crate) fn thumbnail(image: ImageId, size: u32) -> String {
    format!("{THUMBNAILS}{image}/{size}.jpg")
}

/// All thumbnails that a picture may have, and what stands in for it: whether it has that is not known of what was
/// never published.
pub(crate) fn thumbnails(image: ImageId) -> impl Iterator<Item = String> {
    THUMBNAIL_SIZES
        .into_iter()
        .chain([DISPLAY_SIZE])
        .map(move |size| thumbnail(image, size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_says_whose_it_is_and_one_that_was_not_made_here_nothing() {
        let (image, upload) = (ImageId::new(), UploadId::new());
        for key in [original(image), thumbnail(image, 320)] {
            assert_eq!(id(&key), Some(image.to_string().as_str()), "{key}");
        }
        for key in [staged(7, upload), staged_beside_others(upload)] {
            assert_eq!(id(&key), Some(upload.to_string().as_str()), "{key}");
            assert_eq!(sent(&key), Some(Sent::Staged(upload)));
        }
        for key in [
            format!("originals/{}", image.to_string().to_uppercase()),
            format!("originals/{image}/more"),
            format!("staged/ada/{upload}"),
            format!("staged/1/2/{upload}"),
            format!("elsewhere/{image}"),
            "originals/index.html".to_owned(),
            "thumbnails/".to_owned(),
        ] {
            assert_eq!(id(&key), None, "{key}");
        }
    }
}
