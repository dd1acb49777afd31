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
}

impl DesktopPreferences {
    /// As they are kept.
    pub(crate) fn write(&self, settings: &mut DesktopSettings) {
        settings.keep_in_tray = self.keep_in_tray;
        settings.start_minimised = self.start_minimised;
        settings.autostart = self.autostart;
    }
}

impl From<DesktopSettings> for DesktopPreferences {
    fn from(settings: DesktopSettings) -> Self {
        Self {
            keep_in_tray: settings.keep_in_tray,
            start_minimised: settings.start_minimised,
            autostart: settings.autostart,
        }
    }
}
