//! What somebody chooses for life beside other programs, as it is shown.

use imgn_core::DesktopSettings;
use serde::{Deserialize, Serialize};

/// What somebody chose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct DesktopPreferences {
    /// Whether the app stays in the tray, where there is one, when its window is closed.
    pub keep_in_tray: bool,
    /// Whether it starts without its window, where there is a tray.
    pub start_minimised: bool,
    /// Whether it starts with the session.
    pub autostart: bool,
    /// Whether a notification is shown when an upload has ended.
    pub notify: bool,
    /// For how long it offers to take the pictures back, in seconds, at most 600; 0: it does not.
    pub undo_seconds: u32,
    /// The key that uploads the clipboard in every program, as in `Ctrl+Alt+U`; none where it is empty.
    pub hotkey: String,
    /// Why it does not work, for people; left out of account where it is given.
    pub hotkey_problem: Option<String>,
    /// Whether editors that know PicGo are served, on this computer only.
    pub editors: bool,
    /// The port that they ask.
    pub editors_port: u16,
    /// What they show where they ask for more than PicGo's plain form. It is not chosen: what is given here is left out
    /// of account.
    pub editors_key: Option<String>,
    /// Why they are not served, for people; left out of account where it is given.
    pub editors_problem: Option<String>,
}

impl DesktopPreferences {
    /// As they are kept.
    pub(crate) fn write(&self, settings: &mut DesktopSettings) {
        settings.keep_in_tray = self.keep_in_tray;
        settings.start_minimised = self.start_minimised;
        settings.autostart = self.autostart;
        settings.notify = self.notify;
        settings.undo_seconds = self.undo_seconds;
        settings.hotkey.clone_from(&self.hotkey);
        settings.editors = self.editors;
        settings.editors_port = self.editors_port;
    }
}

impl From<DesktopSettings> for DesktopPreferences {
    fn from(settings: DesktopSettings) -> Self {
        Self {
            keep_in_tray: settings.keep_in_tray,
            start_minimised: settings.start_minimised,
            autostart: settings.autostart,
            notify: settings.notify,
            undo_seconds: settings.undo_seconds,
            hotkey: settings.hotkey,
            hotkey_problem: None,
            editors: settings.editors,
            editors_port: settings.editors_port,
            editors_key: settings.editors_key,
            editors_problem: None,
        }
    }
}
