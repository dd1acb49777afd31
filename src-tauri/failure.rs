//! What a start that fails shows to somebody who has no terminal: who starts the app from a menu reads no standard error.
//!
//! Not here: failures of an app that runs, which its window shows. Invariant: nothing is shown where standard error is read, or
//! where there is no screen.

/// Shows why the app cannot start, until somebody has read it.
#[cfg(target_os = "linux")]
pub(crate) fn show(error: &anyhow::Error) {
    use std::io::IsTerminal as _;

    use gtk::prelude::{DialogExt as _, GtkWindowExt as _};

    if std::io::stderr().is_terminal() || gtk::init().is_err() {
        return;
    }
    let dialog = gtk::MessageDialog::new(
        None::<&gtk::Window>,
        gtk::DialogFlags::empty(),
        gtk::MessageType::Error,
        gtk::ButtonsType::Close,
        &format!("{error:#}"),
    );
    dialog.set_title("imgn");
    dialog.run();
}

/// Elsewhere standard error has to do.
#[cfg(not(target_os = "linux"))]
pub(crate) fn show(_: &anyhow::Error) {}
