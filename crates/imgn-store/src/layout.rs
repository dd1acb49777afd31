//! The directories of a bucket, and the two file-system habits everything else relies on.
//!
//! ```text
//! ROOT/BUCKET/
//!   lock                   held (flock) while a store has the bucket open
//!   objects/00 .. ff/      one file an object: its bytes, then its footer (see `record`)
//!   uploads/UPLOAD_ID/     an open multipart upload: upload.json; data, what arrived; parts.log, which of it are parts
//!   ready/                 empty files for objects to be written into (see `ready`)
//!   tmp/                   everything else that is unfinished; emptied at open
//! ```
//!
//! Invariant: a file or directory outside `ready/` and `tmp/` is complete and synced, for it got there by a rename; an open upload's
//! `data` is so as far as its log says.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::key::{FileName, ObjectKey, UploadId};

/// The paths of one bucket.
#[derive(Debug)]
pub(crate) struct Layout {
    bucket: PathBuf,
}

impl Layout {
    /// The paths of a bucket that is there already.
    pub(crate) fn of(bucket: PathBuf) -> Self {
        Self { bucket }
    }

    /// Makes whatever is missing. Existing files are not touched.
    pub(crate) fn create(bucket: PathBuf) -> io::Result<Self> {
        let layout = Self::of(bucket);
        for directory in [
            layout.objects(),
            layout.uploads(),
            layout.ready(),
            layout.tmp(),
        ] {
            fs::create_dir_all(directory)?;
        }
        for shard in 0..=u8::MAX {
            match fs::create_dir(layout.shard(shard)) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
        }
        sync_directory(&layout.objects())?;
        sync_directory(&layout.bucket)?;
        if let Some(root) = layout.bucket.parent() {
            sync_directory(root)?;
        }
        Ok(layout)
    }

    pub(crate) fn objects(&self) -> PathBuf {
        self.bucket.join("objects")
    }

    pub(crate) fn shard(&self, shard: u8) -> PathBuf {
        self.objects().join(format!("{shard:02x}"))
    }

    pub(crate) fn object(&self, key: &ObjectKey) -> PathBuf {
        let FileName { shard, name } = key.file_name();
        self.shard(shard).join(name)
    }

    pub(crate) fn uploads(&self) -> PathBuf {
        self.bucket.join("uploads")
    }

    pub(crate) fn upload(&self, id: &UploadId) -> PathBuf {
        self.uploads().join(id.as_str())
    }

    pub(crate) fn tmp(&self) -> PathBuf {
        self.bucket.join("tmp")
    }

    pub(crate) fn ready(&self) -> PathBuf {
        self.bucket.join("ready")
    }

    /// A path under `ready/` that nothing else uses and nobody can guess.
    pub(crate) fn fresh_ready(&self) -> TempPath {
        TempPath {
            path: self.ready().join(uuid::Uuid::new_v4().simple().to_string()),
        }
    }

    /// A path under `tmp/` that nothing else uses.
    pub(crate) fn fresh_tmp(&self) -> TempPath {
        TempPath {
            path: self.tmp().join(uuid::Uuid::now_v7().simple().to_string()),
        }
    }
}

/// A file or directory under `ready/` or `tmp/` that is removed when this is dropped, whatever the reason.
#[derive(Debug)]
pub(crate) struct TempPath {
    path: PathBuf,
}

impl TempPath {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Moves what is here to `destination`, replacing a file there. The caller syncs the directory.
    pub(crate) fn rename(self, destination: &Path) -> io::Result<()> {
        fs::rename(&self.path, destination)
        // Dropping `self` now finds nothing to remove.
    }
}

impl Drop for TempPath {
    fn drop(&mut self) {
        let removed = if self.path.is_dir() {
            fs::remove_dir_all(&self.path)
        } else {
            fs::remove_file(&self.path)
        };
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%error, "a temporary file stays until the store is opened again");
            }
            _ => {}
        }
    }
}

/// Makes the renames and removals in `directory` durable.
pub(crate) fn sync_directory(directory: &Path) -> io::Result<()> {
    #[cfg(unix)]
    File::open(directory)?.sync_all()?;
    // Elsewhere directories cannot be opened as files; the file system orders renames itself.
    #[cfg(not(unix))]
    let _ = (directory, File::open);
    Ok(())
}

/// The parent of a path that this module made.
pub(crate) fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(path)
}
