//! Notifications, with what can be done about them.
//!
//! One listener for all of them, which wakes when somebody presses something. Invariant: with no bus, or no server for
//! notifications, or one that hangs, nothing is said, and nothing else is lost.

#[cfg(all(unix, not(target_os = "macos")))]
mod dbus;

use std::path::Path;

#[cfg(all(unix, not(target_os = "macos")))]
pub(crate) use dbus::Notifier;

/// What a notification says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Notice<'a> {
    /// Its title.
    pub(crate) summary: &'a str,
    /// Its text; plain.
    pub(crate) body: &'a str,
    /// A picture's file.
    pub(crate) picture: Option<&'a Path>,
    /// What can be done: a name for programs, and words.
    pub(crate) actions: &'a [(&'static str, &'static str)],
}

/// A notification that is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct NoticeId(u32);

/// What becomes of a notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Heard {
    /// Somebody pressed what has this name for programs.
    Pressed(NoticeId, String),
    /// It is not shown any more.
    Closed(NoticeId),
}

/// None are shown on other systems yet.
#[cfg(not(all(unix, not(target_os = "macos"))))]
#[derive(Default)]
pub(crate) struct Notifier;

#[cfg(not(all(unix, not(target_os = "macos"))))]
#[expect(clippy::unused_async, reason = "it is elsewhere")]
impl Notifier {
    pub(crate) async fn show(&self, _notice: Notice<'_>) -> Option<NoticeId> {
        None
    }

    pub(crate) async fn close(&self, _id: NoticeId) {}

    pub(crate) async fn heard(&self) -> Option<futures_util::stream::BoxStream<'static, Heard>> {
        None
    }
}
