//! What the desk asks of the shell: the clipboard, and words in the window.
//!
//! Invariant: nothing here decides anything.

use std::sync::OnceLock;

use imgn_desk::{Host, News, tray::TrayAction};
use tauri::{AppHandle, Manager as _};
use tauri_plugin_clipboard_manager::ClipboardExt as _;
use tauri_plugin_dialog::DialogExt as _;
use tauri_specta::Event as _;

use crate::{
    shell::{Shell, sent, tell_failure, tell_taken},
    view::{LinksCopied, Wanted},
    window,
};

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
        match news {
            News::Failed(message) => tell_failure(app, message),
            News::Asking => window::ask(app),
            News::TokenWanted(server) => window::show(app, Wanted::Token { server }),
            News::LinksCopied(count) => {
                let count = u32::try_from(count).unwrap_or(u32::MAX);
                sent(LinksCopied { count }.emit(app));
            }
        }
    }

    fn act(&self, action: TrayAction) {
        let Some(app) = self.app.get().cloned() else {
            return;
        };
        match action {
            TrayAction::UploadFiles | TrayAction::UploadFolder => {
                tauri::async_runtime::spawn(choose(app, action == TrayAction::UploadFolder));
            }
            TrayAction::OpenGallery => window::open(&app),
            TrayAction::Settings => window::open_on(&app, Wanted::Settings),
            TrayAction::Quit => app.exit(0),
            TrayAction::UploadClipboard
            | TrayAction::Pause
            | TrayAction::Resume
            | TrayAction::CopyLink(_) => {}
        }
    }
}

/// Lets a person choose files or folders with no window, and uploads them.
async fn choose(app: AppHandle, folders: bool) {
    let shell = app.state::<Shell>().inner().clone();
    let dialog = app.dialog().file();
    let taken = if folders {
        shell.choose_folders(dialog).await
    } else {
        shell.choose_files(dialog).await
    };
    // There is nothing to tell where the dialog was closed.
    if let Some(taken) = taken.transpose() {
        tell_taken(&app, taken);
    }
}
