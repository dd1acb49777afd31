//! What a face of the app (window, command line) shows: plain data, complete in itself.

use imgn_protocol::{Image, ImageId};
use serde::{Deserialize, Serialize};

use crate::Code;

/// The app as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct AppState {
    /// The program's version.
    pub version: String,
    /// The gallery it is connected to; none at the first start.
    pub server: Option<ServerView>,
}

/// The gallery that the app is connected to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct ServerView {
    /// Its address.
    pub url: String,
    /// Whether it is the gallery on this computer, started by the app itself.
    pub local: bool,
    /// Whether there is a token, so that pictures can be uploaded and deleted.
    pub signed_in: bool,
    /// Whether it answered when it was last asked.
    pub reachable: bool,
}

/// One upload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct UploadView {
    /// Its id, the same for as long as the upload is known.
    pub id: String,
    /// What the file is called.
    pub file_name: String,
    /// Where it stands.
    pub state: UploadState,
    /// Size in bytes, once it is known.
    pub size: Option<u64>,
    /// Bytes that have left for the store.
    pub sent_bytes: u64,
    /// How fast bytes leave; only while they do.
    pub bytes_per_second: Option<f64>,
    /// The picture, when it is in the gallery.
    pub image: Option<Image>,
    /// Why it waits, was rejected or failed.
    pub error: Option<ViewError>,
}

/// What came of the files and folders that were named.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct IntakeView {
    /// Pictures that are on their way now.
    pub pictures: u32,
    /// Files in folders that are no pictures, and were left alone. Hidden ones are not counted.
    pub other_files: u32,
    /// Links to folders, which were not followed.
    pub linked_folders: u32,
    /// Folders that could not be read: what happened, and to which, for people.
    pub unreadable: Vec<String>,
}

/// Where an upload stands, as it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
#[serde(rename_all = "snake_case")]
pub enum UploadState {
    /// Waits for its turn.
    Queued,
    /// The file is read and summed.
    Hashing,
    /// Bytes are on their way.
    Uploading,
    /// The server looks at them.
    Verifying,
    /// The server cannot be reached; goes on by itself.
    Waiting,
    /// In the gallery.
    Published,
    /// Was in the gallery already.
    Duplicate,
    /// The gallery does not take it.
    Rejected,
    /// It did not work; can be tried again.
    Failed,
    /// Taken back.
    Cancelled,
}

impl UploadState {
    /// Whether nothing more happens by itself.
    #[must_use]
    pub fn has_ended(self) -> bool {
        match self {
            Self::Queued | Self::Hashing | Self::Uploading | Self::Verifying | Self::Waiting => {
                false
            }
            Self::Published | Self::Duplicate | Self::Rejected | Self::Failed | Self::Cancelled => {
                true
            }
        }
    }
}

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct ViewError {
    /// For programs: of a closed set.
    pub code: Code,
    /// For people: what happened, and what to do.
    pub message: String,
}

/// Which pictures of the gallery.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct ImageQuery {
    /// Only those whose name has this in it.
    pub search: Option<String>,
    /// The page that follows the one that answered this cursor.
    pub cursor: Option<String>,
    /// At most so many.
    pub limit: u32,
}

/// How the gallery changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct GalleryChange {
    /// New pictures, newest first.
    pub added: Vec<Image>,
    /// Pictures that are gone.
    pub removed: Vec<ImageId>,
}

/// Something that a face of the app wants to know.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The app's state is now this.
    StateChanged(AppState),
    /// These uploads changed; at most ten times a second.
    UploadsChanged(Vec<UploadView>),
    /// The gallery changed by something that this app did.
    GalleryChanged(GalleryChange),
}
