//! The tray beside the window: shown where there is a host for it, and what keeps the app when its window is closed.
//!
//! Invariant: where no host shows the tray, the app is its window and ends with it; where a host goes away, the window
//! comes back.

use std::time::Duration;

use imgn_desk::tray::Shown;
use tauri::{AppHandle, Manager as _};
use tauri_plugin_dialog::MessageDialogKind;
use tokio::sync::watch;

use crate::{dialogs, shell::Shell, window};

/// A panel that starts with the session may come a little later than the app.
const PATIENCE: Duration = Duration::from_secs(5);

/// Whether the tray is shown.
pub(crate) struct Tray(watch::Receiver<Shown>);

/// Shows the tray from now on, and opens the window unless the app is to start without.
pub(crate) fn start(app: &AppHandle, minimised: bool) {
    let (shown, is_shown) = watch::channel(Shown::Unknown);
    app.manage(Tray(is_shown.clone()));
    let shell = app.state::<Shell>().inner().clone();
    let minimised = minimised || shell.desk.settings().start_minimised;
    tauri::async_runtime::spawn(shell.desk.clone().show_tray(shown));
    if !minimised {
        window::open(app);
    }
    tauri::async_runtime::spawn(keep_reachable(app.clone(), is_shown));
}

/// Opens the window, minimised, whenever no host has shown the tray for some time and there is none: nobody would reach
/// the app any more.
async fn keep_reachable(app: AppHandle, mut shown: watch::Receiver<Shown>) {
    loop {
        let there = shown.wait_for(|shown| *shown == Shown::Yes);
        let is_there = matches!(tokio::time::timeout(PATIENCE, there).await, Ok(Ok(_)));
        if !is_there && !window::is_open(&app) {
            window::open_minimised(&app);
        }
        let changed = shown.wait_for(|shown| (*shown == Shown::Yes) != is_there);
        // Nobody shows the tray any more, nor tells of it.
        if changed.await.is_err() {
            return;
        }
    }
}

/// Whether the app stays when its last window is closed; says so for the first time.
pub(crate) fn stays(app: &AppHandle) -> bool {
    let shell = app.state::<Shell>().inner().clone();
    let is_shown = *app.state::<Tray>().0.borrow() == Shown::Yes;
    if !is_shown || !shell.desk.settings().keep_in_tray {
        return false;
    }
    let app = app.clone();
    tauri::async_runtime::spawn(async move {
        if let Some(words) = shell.desk.first_words_in_tray().await {
            dialogs::show(&app, words, MessageDialogKind::Info);
        }
    });
    true
}
