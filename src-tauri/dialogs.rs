//! What is said with the system's own dialog, where no window and no notification says it.
//!
//! Invariant: one at a time; of what comes meanwhile the last is said after it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tauri::{AppHandle, Manager as _};
use tauri_plugin_dialog::{DialogExt as _, MessageDialogKind};

/// What is shown now, and what comes after.
#[derive(Default)]
pub(crate) struct Dialogs(Mutex<Shown>);

#[derive(Default)]
struct Shown {
    /// The words of the one that is shown.
    now: Option<String>,
    next: Option<(String, MessageDialogKind)>,
}

impl Dialogs {
    fn shown(&self) -> MutexGuard<'_, Shown> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this is to be shown now.
    fn begin(&self, message: &str, kind: MessageDialogKind) -> bool {
        let mut shown = self.shown();
        match &shown.now {
            None => {
                shown.now = Some(message.to_owned());
                true
            }
            // It is read there already.
            Some(now) if now == message => false,
            Some(_) => {
                shown.next = Some((message.to_owned(), kind));
                false
            }
        }
    }

    /// The one that was shown is closed; what is to be shown now.
    fn end(&self) -> Option<(String, MessageDialogKind)> {
        let mut shown = self.shown();
        shown.now = None;
        shown.next.take()
    }
}

/// Says it, or after what is being said.
pub(crate) fn show(app: &AppHandle, message: &str, kind: MessageDialogKind) {
    if !app.state::<Dialogs>().begin(message, kind) {
        return;
    }
    let closed = app.clone();
    let dialog = app.dialog().message(message).title("imgn").kind(kind);
    dialog.show(move |_| {
        if let Some((message, kind)) = closed.state::<Dialogs>().end() {
            show(&closed, &message, kind);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_dialog_is_shown_at_a_time_and_then_the_last_of_what_came_meanwhile() {
        let dialogs = Dialogs::default();
        let begin = |message| dialogs.begin(message, MessageDialogKind::Error);
        assert!(begin("a"));
        for message in ["a", "b", "c", "a"] {
            assert!(!begin(message));
        }
        let (next, _) = dialogs.end().unwrap();
        assert_eq!(next, "c");
        assert!(begin(&next));
        assert!(dialogs.end().is_none());
        assert!(begin("a"));
    }
}
