//! What the desk asks of the shell: the clipboard, and words in the window.
//!
//! Invariant: nothing here decides anything.

use std::sync::OnceLock;

use imgn_desk::{Host, News};
use tauri::AppHandle;
use tauri_plugin_clipboard_manager::ClipboardExt as _;
use tauri_specta::Event as _;

use crate::{shell::sent, view::LinksCopied};

/// The shell as the desk sees it. Before there is an app it does nothing.
#[derive(Default)]
pub(crate) struct TauriHost {
    app: OnceLock<AppHandle>,
}

impl TauriHost {
    /// From now on there is an app.
    pub(crate) fn begin(&self, app: AppHandle) {
        // It begins once.
        let _ = self.app.set(app);
    }
}

impl Host for TauriHost {
    fn copy(&self, text: String) -> Result<(), String> {
        let app = self.app.get().ok_or("imgn is just starting")?;
        let copied = app.clipboard().write_text(text);
        copied.map_err(|error| error.to_string())
    }

    fn tell(&self, news: News) {
        let Some(app) = self.app.get() else {
            return;
        };
        let copied = match news {
            News::LinksCopied(count) => LinksCopied {
                count: u32::try_from(count).unwrap_or(u32::MAX),
                error: None,
            },
            News::NotCopied(reason) => LinksCopied {
                count: 0,
                error: Some(reason),
            },
        };
        sent(copied.emit(app));
    }
}
