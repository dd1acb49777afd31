//! imgn among the other programs of a desktop: what is put on the clipboard and taken from it, what the tray shows, and
//! how other programs hand pictures over.
//!
//! It knows no window: the shell renders what is data here and does what is asked for here. Invariant: what comes from
//! another program (clipboard, address, request, menu) is checked here and means nothing else than what is documented.

mod batches;
mod clipboard;
mod desk;
#[cfg(test)]
mod testing;

pub use batches::{BatchId, Batches, Ended, Failure, Origin};
pub use clipboard::{Clip, ClipboardError};
pub use desk::{Desk, Host, News, pasted_names, read_clipboard};
