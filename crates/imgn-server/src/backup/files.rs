//! The files of a backup: made once, for their owner alone, whole or not at all; read only where they are files.
//!
//! Invariant: a path is a directory of the caller's and a key of the server's own making; nothing is followed out of it.

use std::{
    collections::HashSet,
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use imgn_protocol::{ImageId, Sha256, Sha256Hasher};
use imgn_thumbs::SNIFF_BYTES;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::BackupError;
use crate::storage::keys;

/// Where files are until they are whole.
const UNFINISHED: &str = "unfinished";

/// Where objects are.
const FOLDERS: [&str; 2] = [keys::ORIGINALS, keys::THUMBNAILS];

/// Held (flock) while an export writes.
const LOCK: &str = "lock";

/// What is held in memory whole, in bytes; of what is larger, only a piece.
const SMALL: u64 = 4 << 20;

/// What is read from a file at once.
const READ_BYTES: usize = 256 * 1024;

/// A directory that holds a backup, or is to.
#[derive(Debug, Clone)]
pub(super) struct Directory {
    path: PathBuf,
}

/// What a file was found to be.
pub(super) struct Looked {
    pub(super) size: u64,
    pub(super) sha256: Sha256,
    /// What its format is told by.
    pub(super) head: Vec<u8>,
    /// All of it, where it is small.
    pub(super) whole: Option<Vec<u8>>,
}

/// A file that is being written; it is removed unless it is kept.
pub(super) struct NewFile {
    file: tokio::fs::File,
    path: PathBuf,
    is_kept: bool,
    hasher: Sha256Hasher,
    size: u64,
}

impl Directory {
    pub(super) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
        }
    }

    /// Makes it, or finds it to be one, for this export alone; removes what an earlier one left unfinished.
    pub(super) fn take(&self) -> Result<File, BackupError> {
        make(&self.path).map_err(BackupError::file(&self.path))?;
        if !self.is_ours().map_err(BackupError::file(&self.path))? {
            return Err(BackupError::NotABackup {
                path: self.path.clone(),
            });
        }
        let path = self.path.join(LOCK);
        let lock = create(&path).map_err(BackupError::file(&path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(BackupError::InUse {
                    path: self.path.clone(),
                });
            }
            Err(TryLockError::Error(source)) => return Err(BackupError::File { path, source }),
        }
        let path = self.path.join(UNFINISHED);
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(BackupError::File {
                    path,
                    source: error,
                });
            }
            _ => {}
        }
        make(&path).map_err(BackupError::file(&path))?;
        Ok(lock)
    }

    /// Whether nothing else is in it than a backup.
    fn is_ours(&self) -> io::Result<bool> {
        let mut is_empty = true;
        for entry in fs::read_dir(&self.path)? {
            let name = entry?.file_name();
            if name == LOCK {
                return Ok(true);
            }
            is_empty &= name == "lost+found";
        }
        Ok(is_empty)
    }

    pub(super) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// How many bytes the file of a key has; `None` where there is no such file.
    pub(super) fn size(&self, key: &str) -> io::Result<Option<u64>> {
        match fs::symlink_metadata(self.join(key)) {
            Ok(found) if found.is_file() => Ok(Some(found.len())),
            Ok(_) => Err(not_a_file()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Begins a file that is to be that of a key.
    pub(super) async fn begin(&self, key: &str) -> io::Result<NewFile> {
        let path = self.path.join(UNFINISHED).join(key.replace('/', "-"));
        let file = tokio::fs::File::from_std(create(&path)?);
        Ok(NewFile {
            file,
            path,
            is_kept: false,
            hasher: Sha256Hasher::new(),
            size: 0,
        })
    }

    /// Gives a file that was written its name, for good.
    pub(super) async fn keep(&self, file: NewFile, key: &str) -> io::Result<()> {
        let path = self.join(key);
        let mut file = file;
        file.file.flush().await?;
        file.file.sync_data().await?;
        let from = file.path.clone();
        let moved = move || {
            let parent = path.parent().unwrap_or(&path);
            make(parent)?;
            fs::rename(&from, &path)?;
            sync_directory(parent)
        };
        tokio::task::spawn_blocking(moved)
            .await
            .map_err(io::Error::other)??;
        file.is_kept = true;
        Ok(())
    }

    /// Reads the file of a key; `None` where there is no such file.
    pub(super) async fn look(&self, key: &str) -> io::Result<Option<Looked>> {
        let path = self.join(key);
        let opened = tokio::task::spawn_blocking(move || open(&path)).await;
        let file = match opened.map_err(io::Error::other)? {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let is_small = file.metadata()?.len() <= SMALL;
        let mut file = tokio::fs::File::from_std(file);
        let mut hasher = Sha256Hasher::new();
        let (mut head, mut whole) = (Vec::new(), is_small.then(Vec::new));
        let (mut buffer, mut size) = (vec![0; READ_BYTES], 0_u64);
        loop {
            let read = file.read(&mut buffer).await?;
            if read == 0 {
                break;
            }
            let bytes = &buffer[..read];
            size += read as u64;
            hasher.update(bytes);
            let missing = SNIFF_BYTES.saturating_sub(head.len());
            head.extend_from_slice(&bytes[..missing.min(read)]);
            whole = whole.filter(|_| size <= SMALL);
            if let Some(whole) = &mut whole {
                whole.extend_from_slice(bytes);
            }
        }
        Ok(Some(Looked {
            size,
            sha256: hasher.finish(),
            head,
            whole,
        }))
    }

    /// Gives a list that was written the name of the one before, after the names of all objects are on the disk.
    pub(super) fn replace(&self, part: &Path, list: &Path) -> Result<(), BackupError> {
        for folder in FOLDERS {
            let path = self.join(folder);
            match sync_directory(&path) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    return Err(BackupError::File { path, source });
                }
                _ => {}
            }
        }
        fs::rename(part, list)
            .and_then(|()| sync_directory(&self.path))
            .map_err(BackupError::file(list))
    }

    /// Removes the objects of all pictures but these; answers of how many there were any.
    pub(super) fn prune(&self, pictures: &HashSet<ImageId>) -> Result<u64, BackupError> {
        let mut gone = HashSet::new();
        for folder in FOLDERS {
            let path = self.join(folder);
            let entries = match fs::read_dir(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                entries => entries.map_err(BackupError::file(&path))?,
            };
            for entry in entries {
                let name = entry.map_err(BackupError::file(&path))?.file_name();
                let id = name.to_str().and_then(|name| name.parse::<ImageId>().ok());
                gone.extend(id.filter(|id| !pictures.contains(id)));
            }
        }
        for &id in &gone {
            for key in keys::thumbnails(id).chain([keys::original(id)]) {
                remove(&self.join(&key))?;
            }
            let path = self.join(keys::THUMBNAILS).join(id.to_string());
            match fs::remove_dir(&path) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    return Err(BackupError::File { path, source });
                }
                _ => {}
            }
        }
        Ok(gone.len() as u64)
    }

    /// Removes what is left of the making of it.
    pub(super) fn tidy(&self, names: &[&str]) -> Result<(), BackupError> {
        for name in names {
            remove(&self.join(name))?;
        }
        let path = self.join(UNFINISHED);
        fs::remove_dir_all(&path).map_err(BackupError::file(path))
    }
}

impl NewFile {
    pub(super) async fn write(&mut self, bytes: &Bytes) -> io::Result<()> {
        self.size += bytes.len() as u64;
        self.hasher.update(bytes);
        self.file.write_all(bytes).await
    }

    /// What was written so far.
    pub(super) fn written(&self) -> (u64, Sha256) {
        (self.size, self.hasher.clone().finish())
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.is_kept
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::debug!(%error, "an unfinished file stays until the next export");
        }
    }
}

/// A new file in the place of one that is there; nobody else may read it, for pictures may have been deleted since, and
/// hashes of tokens are nobody's business.
pub(super) fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// A file to read, which is a file: no link, no directory, and nothing that never ends.
pub(super) fn open(path: &Path) -> io::Result<File> {
    if !fs::symlink_metadata(path)?.is_file() {
        return Err(not_a_file());
    }
    File::open(path)
}

/// Removes a file; that there is none is as good.
fn remove(path: &Path) -> Result<(), BackupError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
    .map_err(BackupError::file(path))
}

fn not_a_file() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "it is no file")
}

fn make(path: &Path) -> io::Result<()> {
    let mut directory = DirBuilder::new();
    directory.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut directory, 0o700);
    directory.create(path)
}

fn sync_directory(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    File::open(path)?.sync_all()?;
    // Elsewhere directories cannot be opened as files; the file system orders renames itself.
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}
