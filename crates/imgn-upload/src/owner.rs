//! Which running program drives an upload.
//!
//! A program that opens the journal locks a file of its own for as long as it lives. The system lets go of the lock
//! when the program ends, however it ends, so that the uploads of a killed program are taken over at once, and those of
//! a living one never, however long it sleeps. No clock is involved.

mod ends;

use std::{
    fs::{File, TryLockError},
    io,
    path::{Path, PathBuf},
};

use uuid::Uuid;

pub use ends::Ends;

/// This program's lock.
pub(crate) struct Owner {
    id: String,
    path: PathBuf,
    _locked: File,
}

impl Owner {
    /// Makes a locked file in `folder`, which exists.
    pub(crate) fn register(folder: &Path) -> io::Result<Self> {
        let id = Uuid::now_v7().to_string();
        let path = lock_path(folder, &id);
        let file = File::create_new(&path)?;
        file.try_lock()?;
        Ok(Self {
            id,
            path,
            _locked: file,
        })
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        // A file that stays is taken for a dead owner's and removed by whoever meets it.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Whether the program that called itself `id` still runs.
pub(crate) fn is_alive(folder: &Path, id: &str) -> io::Result<bool> {
    let path = lock_path(folder, id);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    match file.try_lock() {
        Ok(()) => {
            let _ = std::fs::remove_file(&path);
            Ok(false)
        }
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// What programs hold while they prepare the journal.
const OPENING: &str = "opening";

/// The program whose lock a file of this name is.
#[cfg(target_os = "linux")]
fn of_lock(name: &str) -> Option<&str> {
    name.strip_suffix(".lock").filter(|id| *id != OPENING)
}

/// Waits until no other program prepares the journal, and keeps others waiting until the file is dropped: SQLite's own
/// locks do not keep two programs from making the same tables.
pub(crate) async fn alone(folder: &Path) -> io::Result<File> {
    let path = lock_path(folder, OPENING);
    let locked = tokio::task::spawn_blocking(move || {
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)?;
        file.lock()?;
        Ok(file)
    });
    locked
        .await
        .unwrap_or_else(|error| Err(io::Error::other(error)))
}

fn lock_path(folder: &Path, id: &str) -> PathBuf {
    folder.join(format!("{id}.lock"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_lives_as_long_as_its_lock() {
        let folder = tempfile::tempdir().unwrap();
        let owner = Owner::register(folder.path()).unwrap();
        let id = owner.id().to_owned();
        assert!(is_alive(folder.path(), &id).unwrap());
        drop(owner);
        assert!(!is_alive(folder.path(), &id).unwrap());

        // What a killed program leaves: the file without its lock.
        File::create_new(lock_path(folder.path(), "killed")).unwrap();
        assert!(!is_alive(folder.path(), "killed").unwrap());
        assert!(!lock_path(folder.path(), "killed").exists());
    }
}
