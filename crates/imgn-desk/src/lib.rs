//! imgn among the other programs of a desktop: what is put on the clipboard and taken from it, what the tray shows, and
//! how other programs hand pictures over.
//!
//! It knows no window: the shell renders what is data here and does what is asked for here. Invariant: what comes from
//! another program (clipboard, address, request, menu) is checked here and means nothing else than what is documented.

mod asked;
mod autostart;
mod batches;
mod clipboard;
mod desk;
mod doctor;
mod guard;
mod hotkey;
mod instance;
mod live;
mod notify;
mod opened;
mod picgo;
mod preferences;
#[cfg(test)]
mod testing;
pub mod tray;
mod words;

/// As desktops know the app: by the name of its desktop file, `ID.desktop`, which is also its identifier in `tauri.conf.json`.
#[cfg(all(unix, not(target_os = "macos")))]
pub(crate) const APP_ID: &str = "org.imgn.desktop";

pub use asked::Asked;
pub use batches::{Batches, Copied, Ended, Failure};
pub use clipboard::{Clip, ClipboardError};
pub use desk::{Desk, Host, News, pasted_names, read_clipboard};
pub use doctor::examine;
pub use guard::{Question, QuestionFile, QuestionId};
pub use hotkey::{Hotkey, HotkeyError};
pub use instance::{Claim, Instance, claim};
pub use opened::{DeepLink, Opened};
pub use preferences::DesktopPreferences;
pub use words::Language;
