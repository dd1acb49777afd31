//! imgn's client without a window: commands in, events out.
//!
//! The desktop app and the command line are two faces of this crate. It knows no window, no terminal and no server
//! crate; whoever starts a gallery on this computer hands it the address.
//!
//! Invariant: every command answers with data or with a [`CommandError`] that says what to do; nothing here prints,
//! exits, or blocks the thread that asks.

mod app;
mod cache;
mod doctor;
mod error;
mod history;
mod home;
mod http;
mod intake;
mod link;
mod location;
mod mirror;
mod secrets;
mod settings;
mod sqlite;
mod uploads;
mod view;

pub use app::{App, Downloaded, Gallery, Options, Preview, PreviewPicture, PreviewSource};
pub use cache::CacheUsage;
pub use doctor::{Check, Finding, Subject, Verdict};
pub use error::{ClientCode, Code, CommandError};
pub use home::{Home, HomeError};
pub use imgn_protocol as protocol;
pub use imgn_upload::{Batch, Origin, Totals, UploadCode};
pub use intake::{Folders, Intake, Taken, Unreadable, check_file};
pub use link::{InvalidFormat, LinkFormat, Template, link, links};
pub use mirror::Timeline;
pub use settings::{
    Ask, CacheSettings, DesktopSettings, GallerySettings, GuardSettings, InvalidProxy, Language,
    LinkSettings, LookSettings, NetworkSettings, Proxy, ServerSettings, Settings, Theme,
    UploadSettings,
};
pub use uploads::UploadReport;
pub use view::{
    AppState, DeletionView, Event, FailedDeletion, GalleryView, GeneralPreferences, HistoryEntry,
    ImageQuery, IntakeView, LinkPreferences, MirrorPhase, MirrorView, OfflineView, Picture,
    RefusedDeletion, ServerView, UploadPreferences, UploadState, UploadView, ViewError,
};
