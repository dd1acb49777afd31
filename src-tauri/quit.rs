//! The end of the program: it stops what runs, keeps everything, and takes at most three seconds.
//!
//! Invariant: however the end was asked for (last window closed with no tray, its menu, a signal), it goes the same way once.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use tauri::{AppHandle, Manager as _, RunEvent};

use crate::{
    shell::Shell,
    tray, web_view,
    window::{self, Life},
};

/// How long the end may take. What has not stopped by then is repaired by the next start, as after a crash.
const LIMIT: Duration = Duration::from_secs(3);

/// Whether the end has begun.
#[derive(Default)]
pub(crate) struct Quit {
    begun: AtomicBool,
}

impl Quit {
    /// Holds the first request to exit until everything has stopped.
    pub(crate) fn on_run_event(
        &self,
        app: &AppHandle,
        event: &RunEvent,
        shell: impl FnOnce() -> Shell,
    ) {
        let RunEvent::ExitRequested { api, code, .. } = event else {
            return;
        };
        // Without a code it is the last window that was closed.
        if code.is_none() && !self.begun.load(Ordering::Relaxed) {
            if app.state::<Life>().gone() {
                api.prevent_exit();
                let app = app.clone();
                // Not before this one is gone wholly.
                tauri::async_runtime::spawn(async move { window::open(&app) });
                return;
            }
            if tray::stays(app) {
                api.prevent_exit();
                web_view::rest();
                return;
            }
        }
        if self.begun.swap(true, Ordering::Relaxed) {
            return;
        }
        api.prevent_exit();
        let (app, shell) = (app.clone(), shell());
        tauri::async_runtime::spawn(async move {
            if tokio::time::timeout(LIMIT, shell.stop(&app)).await.is_err() {
                tracing::warn!("not everything stopped in time");
            }
            app.exit(0);
        });
    }
}

/// Lets the signals by which a session or a terminal ends its programs ask for the end.
pub(crate) fn on_signal(app: &AppHandle) {
    let app = app.clone();
    tauri::async_runtime::spawn(async move {
        match end_signal().await {
            Ok(()) => app.exit(0),
            Err(error) => tracing::warn!(%error, "signals end the program at once"),
        }
    });
}

#[cfg(unix)]
async fn end_signal() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};

    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

#[cfg(not(unix))]
async fn end_signal() -> std::io::Result<()> {
    tokio::signal::ctrl_c().await
}
