//! The one window: opened when it is wanted, gone when it is closed, so that in the tray nobody pays for it.
//!
//! Invariant: what the window is to show at once waits for it; it is shown once.

use std::sync::{Mutex, PoisonError};

use tauri::{AppHandle, Manager as _, WebviewWindowBuilder};
use tauri_specta::Event as _;

use crate::{
    shell::sent,
    view::{Wanted, WantedChanged},
    web_view,
};

/// As in `tauri.conf.json` and in the capability.
const LABEL: &str = "main";

/// What the window is to show as soon as it can.
#[derive(Default)]
pub(crate) struct Waiting(Mutex<Option<Wanted>>);

impl Waiting {
    /// Takes it: the window shows it now.
    pub(crate) fn take(&self) -> Option<Wanted> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.take()
    }

    fn put(&self, wanted: Wanted) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *waiting = Some(wanted);
    }
}

/// Whether it is there, seen or not.
pub(crate) fn is_open(app: &AppHandle) -> bool {
    app.get_webview_window(LABEL).is_some()
}

/// Opens it, or brings it to the front.
pub(crate) fn open(app: &AppHandle) {
    let opened = match app.get_webview_window(LABEL) {
        Some(window) => window
            .unminimize()
            .and_then(|()| window.show())
            .and_then(|()| window.set_focus()),
        None => build(app, false),
    };
    if let Err(error) = opened {
        tracing::error!(%error, "the window cannot be opened");
    }
}

/// Opens it minimised, where there is nothing else by which the app could be reached.
pub(crate) fn open_minimised(app: &AppHandle) {
    if let Err(error) = build(app, true) {
        tracing::error!(%error, "the window cannot be opened");
    }
}

/// Opens it on something.
pub(crate) fn open_on(app: &AppHandle, wanted: Wanted) {
    app.state::<Waiting>().put(wanted);
    open(app);
    // Where it is only now being made, it asks by itself.
    sent(WantedChanged.emit(app));
}

fn build(app: &AppHandle, minimised: bool) -> tauri::Result<()> {
    let config = app.config().app.windows.iter().find(|it| it.label == LABEL);
    let config = config.cloned().unwrap_or_default();
    let window = WebviewWindowBuilder::from_config(app, &config)?.build()?;
    web_view::keep_little(&window)?;
    if minimised {
        window.minimize()?;
    }
    Ok(())
}
