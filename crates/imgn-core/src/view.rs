//! What a face of the app (window, command line) shows: plain data, complete in itself.

use imgn_protocol::{Image, ImageId, Timestamp, UploadId};
use serde::{Deserialize, Serialize};

use crate::{Ask, Code, Intake, Language, Theme, Unreadable};

/// The app as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct AppState {
    /// The program's version.
    pub version: String,
    /// Higher in what was looked at later: answers and events overtake each other on their way to the page, and of two
    /// states the one with the higher revision is true.
    pub revision: u32,
    /// The gallery it is connected to; none at the first start.
    pub server: Option<ServerView>,
}

/// The gallery that the app is connected to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct ServerView {
    /// Its address.
    pub url: String,
    /// What it is called here; where it is empty, its address says it.
    pub name: String,
    /// Whether it is the gallery on this computer, started by the app itself.
    pub local: bool,
    /// Whether there is a token, so that pictures can be uploaded and deleted.
    pub signed_in: bool,
    /// Whether that token is held until the program ends and kept nowhere.
    pub token_for_now: bool,
    /// Why the keyring gives no token although there is one.
    pub token_trouble: Option<ViewError>,
    /// Whether it answered when it was last asked.
    pub reachable: bool,
    /// Its list on this computer.
    pub mirror: MirrorView,
}

/// A gallery that was chosen and not left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct GalleryView {
    /// Its address.
    pub url: String,
    /// What it is called here; where it is empty, its address says it.
    pub name: String,
    /// Whether it is the gallery on this computer.
    pub local: bool,
    /// Whether there is a token for it.
    pub signed_in: bool,
    /// Whether it is the one that is shown.
    pub is_current: bool,
}

/// What somebody chose for the app as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct GeneralPreferences {
    /// Light or dark.
    pub theme: Theme,
    /// In which language.
    pub language: Language,
    /// `system`, `none`, or the address of a proxy.
    pub proxy: String,
    /// When somebody is shown what is about to become public.
    pub ask: Ask,
}

/// A picture that was uploaded from here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct HistoryEntry {
    /// The upload. It is what comes before the next ones is asked for by.
    #[cfg_attr(feature = "bindings", specta(type = String))]
    pub upload: UploadId,
    /// The picture, as the gallery took it.
    pub image: Image,
    /// When it was taken in here.
    #[cfg_attr(feature = "bindings", specta(type = String))]
    pub uploaded_at: Timestamp,
    /// The gallery's address, or `local` for the one on this computer.
    pub gallery: String,
    /// Whether that gallery is the one that is shown.
    pub is_current: bool,
    /// Whether it is in the gallery no more, as far as this computer knows.
    pub is_gone: bool,
}

/// The gallery's list on this computer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct MirrorView {
    /// How it is kept.
    pub phase: MirrorPhase,
    /// Pictures in it.
    pub known: u64,
    /// Pictures that the server had when the first fill began.
    pub total: Option<u64>,
    /// When it was last known to be what the server has.
    #[cfg_attr(feature = "bindings", specta(type = Option<String>))]
    pub checked_at: Option<Timestamp>,
    /// Deletions that wait for the server.
    pub pending_deletions: u64,
}

impl Default for MirrorView {
    fn default() -> Self {
        Self {
            phase: MirrorPhase::Live,
            known: 0,
            total: None,
            checked_at: None,
            pending_deletions: 0,
        }
    }
}

/// How a gallery's list on this computer is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
#[serde(rename_all = "snake_case")]
pub enum MirrorPhase {
    /// It is being filled for the first time.
    Filling,
    /// It is what the server has, or was when it was last asked.
    Live,
    /// The server does not answer: it is as old as it says.
    Offline,
    /// It cannot be written, or read, on this computer: it is as old as it says.
    Failing,
}

/// A picture of the gallery's list on this computer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct Picture {
    /// The picture.
    pub image: Image,
    /// Its place in the gallery's feed.
    pub sequence: u64,
    /// Whether its original was asked to be on this computer.
    pub kept: bool,
    /// Whether it is.
    pub original_here: bool,
}

/// What became of deletions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct DeletionView {
    /// Gone, for everybody.
    pub deleted: Vec<ImageId>,
    /// Carried out when the server answers again.
    pub queued: Vec<ImageId>,
    /// Not deleted.
    pub failed: Vec<FailedDeletion>,
}

/// A picture that was not deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct FailedDeletion {
    /// Which.
    pub id: ImageId,
    /// Why.
    pub error: ViewError,
}

/// A deletion that was queued and that the server refused: the picture is back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct RefusedDeletion {
    /// The picture's name, or its id where it is not known any more.
    pub file_name: String,
    /// Why.
    pub error: ViewError,
}

/// What is on this computer of the gallery's pictures.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct OfflineView {
    /// Originals that are asked for.
    pub kept: u64,
    /// Originals that are here.
    pub here: u64,
    /// Bytes of those.
    pub bytes: u64,
    /// Whether all are asked for.
    pub all: bool,
    /// Bytes of thumbnails.
    pub cache_bytes: u64,
    /// The most that thumbnails take.
    pub cache_limit_bytes: u64,
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
    pub image: Option<Box<Image>>,
    /// Why it waits, was rejected or failed.
    pub error: Option<ViewError>,
    /// Its place in the queue: lower ones go first, equal ones by id.
    pub position: i64,
    /// Whether the file says where the picture was taken and what is sent does not.
    pub location_removed: bool,
    /// Whether the file changed while it waited or was sent, so that the upload started anew with what it is now.
    pub started_anew: bool,
}

/// What came of the files and folders that were named.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct IntakeView {
    /// Pictures that are on their way now.
    pub pictures: u32,
    /// Files that were named and cannot be uploaded; each has ended with its reason.
    pub refused: u32,
    /// Files in folders that are no pictures, and were left alone. Hidden ones are not counted.
    pub other_files: u32,
    /// Links to folders, which were not followed.
    pub linked_folders: u32,
    /// Folders that could not be read: what happened, and to which, for people; their names, not their paths.
    pub unreadable: Vec<String>,
    /// Whether somebody was asked, and said that nothing of it is to be published.
    pub withheld: bool,
}

impl From<Intake> for IntakeView {
    fn from(intake: Intake) -> Self {
        let told = |folder: Unreadable| {
            let name = folder.path.file_name().unwrap_or(folder.path.as_os_str());
            let name = name.display();
            format!("the folder {name} cannot be read ({})", folder.reason)
        };
        Self {
            pictures: intake.pictures,
            refused: intake.refused,
            other_files: intake.other_files,
            linked_folders: intake.linked_folders,
            unreadable: intake.unreadable.into_iter().map(told).collect(),
            withheld: intake.withheld,
        }
    }
}

/// What somebody chose for all uploads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct UploadPreferences {
    /// Whether the place where a picture was taken is sent with it.
    pub keep_location: bool,
    /// Requests under way at the same time, from 1 to 64; none: what is worth having is found out.
    pub jobs: Option<u32>,
    /// Bytes a second of all uploads together; none: as fast as the line.
    pub bytes_per_second: Option<u64>,
}

/// What somebody chose for links.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct LinkPreferences {
    /// `url`, `markdown`, `html`, `bbcode`, or the text of a template.
    pub format: String,
    /// Whether links are put on the clipboard when an upload has ended.
    pub copy: bool,
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
    /// The server cannot be reached, or the file is not there; goes on by itself.
    Waiting,
    /// Held back; goes on when told to.
    Paused,
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
            Self::Queued
            | Self::Hashing
            | Self::Uploading
            | Self::Verifying
            | Self::Waiting
            | Self::Paused => false,
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

/// Something that a face of the app wants to know.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The app's state is now this.
    StateChanged(AppState),
    /// These uploads changed; at most ten times a second.
    UploadsChanged(Vec<UploadView>),
    /// Uploads of another program are this one's now, see [`crate::App::adopted`].
    UploadsAdopted,
    /// The gallery's list on this computer is another one: at most twice a second, while it is filled every other
    /// second.
    TimelineChanged,
    /// The server refused a deletion that was queued.
    DeletionFailed(RefusedDeletion),
}
