//! What unit tests share.

use imgn_core::{
    UploadState, UploadView,
    protocol::{FileName, Image, ImageId, Sha256, Timestamp, UploadId},
};

/// An upload in this state, of a file that is called as it is.
pub(crate) fn view(id: UploadId, state: UploadState) -> UploadView {
    let published = matches!(state, UploadState::Published | UploadState::Duplicate);
    UploadView {
        id: id.to_string(),
        file_name: format!("{id}.png"),
        state,
        size: Some(1),
        sent_bytes: 1,
        bytes_per_second: None,
        image: published.then(|| Box::new(image(&format!("{id}.png")))),
        error: None,
        position: 0,
        location_removed: false,
        started_anew: false,
    }
}

/// A picture of this name.
pub(crate) fn image(name: &str) -> Image {
    let id = ImageId::new();
    Image {
        id,
        sequence: 1,
        file_name: FileName::clean(name),
        width: 4,
        height: 3,
        content_type: "image/png".to_owned(),
        size: 1,
        sha256: Sha256::of(name.as_bytes()),
        thumbhash: String::new(),
        animated: false,
        taken_at: None,
        created_at: Timestamp::UNIX_EPOCH,
        camera: None,
        lens: None,
        exposure: None,
        location: None,
        owner: "tester".to_owned(),
        url: format!("https://gallery.example/v1/images/{id}/content"),
        display_url: None,
    }
}
