//! The pictures in a folder and in the folders below it.
//!
//! Left alone: what is hidden (a name that begins with a dot), what systems and other programs keep beside pictures
//! for themselves, and links to folders, which may lead anywhere, also back. A link to a file is that file.
//!
//! Invariant: every file below a folder is reached at most once by its name, and the walk ends whatever links say.

use std::path::{Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

use super::natural;

/// Folders and files that are no one's pictures: thumbnails and notes of file managers, network disks, archives and
/// file systems. Compared without regard to case.
const LITTER: [&str; 9] = [
    "@eadir",
    "#recycle",
    "$recycle.bin",
    "__macosx",
    "desktop.ini",
    "ehthumbs.db",
    "lost+found",
    "system volume information",
    "thumbs.db",
];

/// What is met on the way.
pub(super) enum Met {
    /// A file, or a link to one.
    File(PathBuf),
    /// Something that is neither file nor folder.
    Other(PathBuf),
    /// A link to a folder.
    LinkedFolder(PathBuf),
    /// A folder that cannot be read, and why.
    Unreadable(PathBuf, String),
}

/// Walks through `folder`, in the order that people number files in. Reads the disk as it goes.
pub(super) fn walk(folder: &Path) -> impl Iterator<Item = Met> + use<> {
    WalkDir::new(folder)
        .sort_by(|a, b| natural::compare(a.file_name(), b.file_name()))
        .into_iter()
        // A folder that was named is meant, whatever its name.
        .filter_entry(|entry| entry.depth() == 0 || !is_left_alone(entry))
        .filter_map(|entry| match entry {
            Ok(entry) => met(entry),
            Err(error) => Some(unreadable(&error)),
        })
}

fn is_left_alone(entry: &DirEntry) -> bool {
    let name = entry.file_name().to_string_lossy();
    name.starts_with('.') || LITTER.iter().any(|known| known.eq_ignore_ascii_case(&name))
}

fn met(entry: DirEntry) -> Option<Met> {
    let kind = entry.file_type();
    if kind.is_dir() {
        return None;
    }
    if kind.is_file() {
        return Some(Met::File(entry.into_path()));
    }
    let is_below = entry.depth() > 0;
    let path = entry.into_path();
    if !kind.is_symlink() {
        return Some(Met::Other(path));
    }
    match std::fs::metadata(&path) {
        Ok(target) if target.is_file() => Some(Met::File(path)),
        // The folder that was named may be a link itself, and is walked through.
        Ok(target) if target.is_dir() => is_below.then_some(Met::LinkedFolder(path)),
        // Among others a link to nothing.
        _ => Some(Met::Other(path)),
    }
}

fn unreadable(error: &walkdir::Error) -> Met {
    let path = error.path().unwrap_or(Path::new("")).to_owned();
    let reason = error.io_error().map_or_else(
        || "it contains itself".to_owned(),
        |error| match error.kind() {
            std::io::ErrorKind::PermissionDenied => "it may not be read by you".to_owned(),
            _ => error.to_string(),
        },
    );
    Met::Unreadable(path, reason)
}
