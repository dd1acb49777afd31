//! The file of an upload: what it is, its sum, and whether it is still the same.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::UNIX_EPOCH,
};

use imgn_protocol::Sha256Hasher;

use crate::{Content, Fault, UploadCode, machine::Fingerprint};

/// Why there is no sum.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The file is another one than it was.
    Changed,
    /// The file cannot be read.
    Unreadable(Fault),
}

impl Trouble {
    pub(crate) fn from_io(error: &io::Error) -> Self {
        Self::Unreadable(unreadable(error))
    }
}

/// Sums the file off the async threads. Stops soon after the future is dropped.
pub(crate) async fn sum(path: PathBuf) -> Result<Content, Trouble> {
    let stop = StopOnDrop(Arc::default());
    let stopped = Arc::clone(&stop.0);
    tokio::task::spawn_blocking(move || sum_blocking(&path, &stopped))
        .await
        .unwrap_or_else(|error| {
            let error = io::Error::other(error);
            Err(Trouble::Unreadable(unreadable(&error)))
        })
}

struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn sum_blocking(path: &Path, stopped: &AtomicBool) -> Result<Content, Trouble> {
    let failed = |error: io::Error| Trouble::Unreadable(unreadable(&error));
    let (mut file, before) = open_blocking(path)?;
    let mut hasher = Sha256Hasher::new();
    let mut read_bytes = 0_u64;
    let mut buffer = vec![0; 256 * 1024];
    loop {
        if stopped.load(Ordering::Relaxed) {
            return Err(failed(io::Error::from(io::ErrorKind::Interrupted)));
        }
        let read = match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(failed(error)),
        };
        hasher.update(&buffer[..read]);
        read_bytes += read as u64;
    }
    let after = fingerprint(&file).map_err(failed)?;
    if after != before || read_bytes != after.size {
        return Err(Trouble::Changed);
    }
    if after.size == 0 {
        let message = "the file is empty; choose a picture";
        return Err(Trouble::Unreadable(Fault::new(
            UploadCode::FileEmpty,
            message,
        )));
    }
    Ok(Content {
        sha256: hasher.finish(),
        fingerprint: after,
    })
}

/// Opens the file, if it is still the one that was summed.
pub(crate) async fn open(path: PathBuf, expected: Fingerprint) -> Result<File, Trouble> {
    let opened = tokio::task::spawn_blocking(move || open_blocking(&path)).await;
    let (file, found) = opened.unwrap_or_else(|error| {
        let error = io::Error::other(error);
        Err(Trouble::Unreadable(unreadable(&error)))
    })?;
    if found != expected {
        return Err(Trouble::Changed);
    }
    Ok(file)
}

fn open_blocking(path: &Path) -> Result<(File, Fingerprint), Trouble> {
    let failed = |error: io::Error| Trouble::Unreadable(unreadable(&error));
    // Asked before opening, for opening a named pipe would wait for its writer.
    if !std::fs::metadata(path).map_err(failed)?.is_file() {
        let message = "it is no regular file; choose a picture's file";
        return Err(Trouble::Unreadable(Fault::new(
            UploadCode::NotAFile,
            message,
        )));
    }
    let file = File::open(path).map_err(failed)?;
    let found = fingerprint(&file).map_err(failed)?;
    Ok((file, found))
}

/// What the open file is now.
pub(crate) fn fingerprint(file: &File) -> io::Result<Fingerprint> {
    let metadata = file.metadata()?;
    let modified = metadata.modified()?;
    let modified_ns = match modified.duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_nanos()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |ns| -ns),
    };
    Ok(Fingerprint {
        size: metadata.len(),
        modified_ns,
    })
}

fn unreadable(error: &io::Error) -> Fault {
    match error.kind() {
        io::ErrorKind::NotFound => Fault::new(
            UploadCode::FileMissing,
            "the file is not there any more; put it back and try again",
        ),
        io::ErrorKind::PermissionDenied => Fault::new(
            UploadCode::FileUnreadable,
            "the file may not be read by you; change its permissions and try again",
        ),
        _ => Fault::new(
            UploadCode::FileUnreadable,
            format!("the file cannot be read ({error}); check the disk and try again"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use imgn_protocol::Sha256;

    use super::*;

    #[tokio::test]
    async fn a_file_is_summed_and_known_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        let bytes = vec![7; 600_000];
        std::fs::write(&path, &bytes).unwrap();
        let content = sum(path.clone()).await.unwrap();
        assert_eq!(content.sha256, Sha256::of(&bytes));
        assert_eq!(content.fingerprint.size, 600_000);
        assert!(open(path.clone(), content.fingerprint).await.is_ok());

        std::fs::write(&path, vec![7; 600_001]).unwrap();
        let reopened = open(path, content.fingerprint).await;
        assert!(matches!(reopened, Err(Trouble::Changed)), "{reopened:?}");
    }

    #[tokio::test]
    async fn what_cannot_be_summed_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let empty = folder.path().join("empty");
        std::fs::write(&empty, b"").unwrap();
        for (path, code) in [
            (folder.path().join("none"), UploadCode::FileMissing),
            (folder.path().to_owned(), UploadCode::NotAFile),
            (empty, UploadCode::FileEmpty),
        ] {
            match sum(path).await {
                Err(Trouble::Unreadable(fault)) => assert_eq!(fault.code, code.into()),
                other => panic!("{code:?}: {other:?}"),
            }
        }
    }
}
