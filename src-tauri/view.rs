//! Events as the web view hears them. Their payloads are `imgn-core`'s; only the drag over the window is the shell's own.

use imgn_core::{AppState, IntakeView, RefusedDeletion, UploadView, ViewError, protocol::ImageId};
use serde::{Deserialize, Serialize};
use specta::Type;
use tauri_specta::Event;

/// The app's state is now this.
#[derive(Debug, Clone, Serialize, Deserialize, Type, Event)]
#[tauri_specta(event_name = "state_changed")]
pub(crate) struct StateChanged(pub(crate) AppState);

/// These uploads changed.
#[derive(Debug, Clone, Serialize, Deserialize, Type, Event)]
#[tauri_specta(event_name = "uploads_changed")]
pub(crate) struct UploadsChanged(pub(crate) Vec<UploadView>);

/// The timeline is another one; whoever shows it asks for it again.
#[derive(Debug, Clone, Serialize, Deserialize, Type, Event)]
#[tauri_specta(event_name = "timeline_changed")]
pub(crate) struct TimelineChanged;

/// The server refused a deletion that was queued.
#[derive(Debug, Clone, Serialize, Deserialize, Type, Event)]
#[tauri_specta(event_name = "deletion_failed")]
pub(crate) struct DeletionFailed(pub(crate) RefusedDeletion);

/// The program ends. Whoever has something that is still to be said to it says it now, then calls `left`.
#[derive(Debug, Clone, Serialize, Deserialize, Type, Event)]
#[tauri_specta(event_name = "leaving")]
pub(crate) struct Leaving;

/// The links to so many pictures are on the clipboard.
#[derive(Debug, Clone, Serialize, Deserialize, Type, Event)]
#[tauri_specta(event_name = "links_copied")]
pub(crate) struct LinksCopied {
    /// How many.
    pub(crate) count: u32,
}

/// What the window is to show, because somebody asked for it elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Wanted {
    /// The settings.
    Settings,
    /// This picture.
    Image {
        /// Which.
        id: ImageId,
        /// In which gallery, where it was said.
        server: Option<String>,
    },
    /// The question whether to connect to a gallery.
    Connect {
        /// Its address.
        server: String,
    },
    /// A token for this gallery, which an upload wants.
    Token {
        /// Its address.
        server: String,
    },
    /// What came of files and folders that came in elsewhere than by the window's own dialogs.
    Intake {
        /// It.
        intake: IntakeView,
    },
    /// That something which was asked for elsewhere than in the window did not work.
    Failure {
        /// Why, for people.
        message: String,
    },
}

impl Wanted {
    /// Whether it waits for its turn beside others, and is not the one place where the window goes.
    pub(crate) fn is_message(&self) -> bool {
        matches!(
            self,
            Self::Token { .. } | Self::Intake { .. } | Self::Failure { .. }
        )
    }
}

/// There is something that the window is to show; it takes it.
#[derive(Debug, Clone, Serialize, Deserialize, Type, Event)]
#[tauri_specta(event_name = "wanted_changed")]
pub(crate) struct WantedChanged;

/// What `asked` answers is something else now.
#[derive(Debug, Clone, Serialize, Deserialize, Type, Event)]
#[tauri_specta(event_name = "asked_changed")]
pub(crate) struct AskedChanged;

/// Where originals were written.
#[derive(Debug, Clone, Default, Serialize, Deserialize, Type)]
pub(crate) struct DownloadView {
    /// The file of one, the folder of several. None where the dialog was closed.
    pub(crate) path: Option<String>,
    /// How many are there.
    pub(crate) saved: u32,
    /// Of several, why others are not.
    pub(crate) failed: Vec<ViewError>,
}

/// Files are dragged over the window. Their paths stay in Rust.
#[derive(Debug, Clone, Serialize, Deserialize, Type, Event)]
#[tauri_specta(event_name = "file_drag")]
pub(crate) struct FileDrag {
    /// What happens to them.
    pub(crate) phase: DragPhase,
    /// How many there are; 0 when they leave.
    pub(crate) count: u32,
}

/// What happens to dragged files. Movement within the window is not told: a drop counts anywhere in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DragPhase {
    /// They came over the window.
    Enter,
    /// They went away.
    Leave,
    /// They were dropped, and are being uploaded.
    Drop,
}
