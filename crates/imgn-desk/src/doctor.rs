//! What the doctor looks at beside the app: the clipboard, and who shows a tray.
//!
//! Invariant: nothing is read from the clipboard but what is offered, and nothing is put on it.

use std::time::Duration;

use imgn_core::{App, Check, Finding};

use crate::{ClipboardError, clipboard};

/// How long the session's bus may take: far more than one that is there needs.
const PATIENCE: Duration = Duration::from_secs(5);

/// Looks at all that imgn needs.
pub async fn examine(core: &App) -> Vec<Check> {
    let (mut checks, clipboard, tray) =
        tokio::join!(core.examine(), examine_clipboard(), examine_tray());
    // The disk comes last: it is not of the desktop.
    let disk = checks.pop();
    checks.extend([clipboard, tray]);
    checks.extend(disk);
    checks
}

async fn examine_clipboard() -> Check {
    let reading = tokio::task::spawn_blocking(clipboard::look);
    match reading.await {
        Ok(Ok(()) | Err(ClipboardError::NoPicture | ClipboardError::TooLarge)) => {
            Check::new(Finding::ClipboardReadable, None)
        }
        Ok(Err(ClipboardError::TimedOut)) => Check::new(Finding::ClipboardHangs, None),
        Ok(Err(ClipboardError::Unavailable(reason))) => {
            Check::new(Finding::ClipboardMissing, Some(reason))
        }
        Err(error) => Check::new(Finding::ClipboardMissing, Some(error.to_string())),
    }
}

async fn examine_tray() -> Check {
    let asked = tokio::time::timeout(PATIENCE, has_host()).await;
    match asked {
        Ok(Ok(true)) => Check::new(Finding::TrayShown, None),
        Ok(Ok(false)) => Check::new(Finding::TrayMissing, None),
        Ok(Err(reason)) => Check::new(Finding::NoSession, Some(reason)),
        Err(_) => {
            let reason = "its bus does not answer".to_owned();
            Check::new(Finding::NoSession, Some(reason))
        }
    }
}

/// Whether somebody shows what registers with the session's watcher; else why nobody can be asked.
#[cfg(all(unix, not(target_os = "macos")))]
async fn has_host() -> Result<bool, String> {
    const WATCHER: &str = "org.kde.StatusNotifierWatcher";
    let connection = zbus::Connection::session().await;
    let connection = connection.map_err(|error| error.to_string())?;
    let proxy = zbus::Proxy::new(&connection, WATCHER, "/StatusNotifierWatcher", WATCHER).await;
    let proxy = proxy.map_err(|error| error.to_string())?;
    // Nobody there to answer means nobody there to show it.
    let has_host = proxy.get_property("IsStatusNotifierHostRegistered").await;
    Ok(has_host.unwrap_or(false))
}

#[cfg(not(all(unix, not(target_os = "macos"))))]
async fn has_host() -> Result<bool, String> {
    Err("not yet on this system".to_owned())
}
