//! A gallery as a directory that ordinary tools can look at, and back: `imgn-server export` and `import`.
//!
//! ```text
//! DIR/gallery.jsonl              the catalogue, a line of JSON each: head, owners, the feed in its order, end
//! DIR/originals/ID               every object under its key in the store
//! DIR/thumbnails/ID/320.jpg
//! DIR/unfinished/                what was being written; emptied by the next export
//! ```
//!
//! It is the same whatever catalogue and store a gallery has, so it is also the way from one kind to another. What is under
//! way, what was used and the log are no part of it.
//!
//! Invariants:
//! - `gallery.jsonl` is there when everything that it names is, and takes the place of the one before in one step; an
//!   object's file is written once.
//! - Nothing that a backup says is trusted: paths are made from identifiers, values are parsed, and objects are taken by
//!   their SHA-256.
//! - An import publishes everything at once, after the store has all of it, and only into an empty catalogue.

mod export;
mod files;
mod format;
mod import;
mod source;

use std::{
    io,
    path::PathBuf,
    sync::atomic::{AtomicU64, Ordering},
};

pub use export::{ExportOptions, Exported, export};
pub use import::{ImportOptions, Imported, import};

use crate::{
    catalogue::CatalogueError,
    error::hint,
    start::StartError,
    storage::{EmbeddedError, StorageError},
};

/// Objects that are on their way at a time.
const AT_A_TIME: usize = 8;

/// Why there is no backup, or nothing was imported.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// What a server could not be started with either.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The catalogue.
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    /// The embedded store.
    #[error(transparent)]
    Embedded(#[from] EmbeddedError),
    /// The store.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The store has to be made or reached first.
    #[error("{what}; {advice}")]
    Unready {
        /// What it lacks.
        what: String,
        /// What to do.
        advice: &'static str,
    },
    /// A file or a directory.
    #[error("{} cannot be read or written{}", path.display(), hint(source))]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// There is no gallery to export.
    #[error("there is no gallery at {database}; --data-dir and --database say where it is")]
    NoGallery {
        /// Where it was looked for.
        database: String,
    },
    /// The catalogue is of an earlier version.
    #[error(
        "the catalogue {database} is of an earlier version: export it with the imgn-server that it is served with, or start this \
         version's server on it first"
    )]
    Older {
        /// Which.
        database: String,
    },
    /// The directory is something else.
    #[error("{} is not empty and holds no backup; name a new or an empty directory", path.display())]
    NotABackup {
        /// Which.
        path: PathBuf,
    },
    /// The directory is another gallery's.
    #[error("{} holds the backup of another gallery; name another directory", path.display())]
    AnotherGallery {
        /// Which.
        path: PathBuf,
    },
    /// Somebody else is at it.
    #[error("another export into {} is running", path.display())]
    InUse {
        /// Which.
        path: PathBuf,
    },
    /// The list of the backup is not whole, or not one.
    #[error("{}, line {line}: {what}", path.display())]
    Damaged {
        /// The list.
        path: PathBuf,
        /// From 1.
        line: u64,
        /// What is wrong.
        what: String,
    },
    /// There is something already where a gallery is to be imported.
    #[error(
        "there is a gallery already, or a token, where this one is to be imported; name an empty --data-dir or --database"
    )]
    NotEmpty,
    /// A move of what has moved on.
    #[error(
        "the backup is not the last state of its gallery ({why}), so clients cannot go on where they are: end its servers, export again and \
         import that; or import without --move"
    )]
    NotStill {
        /// What tells.
        why: &'static str,
    },
    /// The backup has no sound file of something, or the store has something else in its place.
    #[error(
        "{}nothing was published; the lines above name them. Then import again: what was stored stays",
        not_stored(*damaged, *others)
    )]
    Objects {
        /// Files of the backup that are missing or damaged.
        damaged: u64,
        /// Objects of the store that are others than the backup's.
        others: u64,
    },
}

/// What keeps an import from its end, and what to do.
fn not_stored(damaged: u64, others: u64) -> String {
    let mut told = String::new();
    if damaged > 0 {
        told += &format!(
            "{damaged} files of the backup are missing or damaged: mend the backup (an export with --verify fetches them again where \
             the gallery still is). "
        );
    }
    if others > 0 {
        told += &format!(
            "{others} objects of the store are others than the backup has under the same keys, so the bucket is another gallery's, or \
             somebody else has written to it: name an empty bucket, or remove these objects where nobody needs them. "
        );
    }
    told
}

impl BackupError {
    fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }
}

/// How far it is, for whoever watches.
#[derive(Debug, Default)]
pub struct Progress {
    pictures: AtomicU64,
    done: AtomicU64,
    bytes: AtomicU64,
}

impl Progress {
    /// Pictures that are done, of how many, and bytes that were moved for them. No pictures: it is not there yet.
    #[must_use]
    pub fn now(&self) -> (u64, u64, u64) {
        let told = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (told(&self.done), told(&self.pictures), told(&self.bytes))
    }

    fn expect(&self, pictures: u64) {
        self.pictures.store(pictures, Ordering::Relaxed);
    }

    fn one_more(&self) {
        self.done.fetch_add(1, Ordering::Relaxed);
    }

    fn moved(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// What watches an export or an import. What is wrong with one picture is told when it is met, and keeps the others from
/// nothing.
#[derive(Clone, Copy)]
pub struct Watcher<'a> {
    /// Kept up to date.
    pub progress: &'a Progress,
    /// Told of each thing that is wrong, in words.
    pub trouble: &'a (dyn Fn(&str) + Sync),
}
