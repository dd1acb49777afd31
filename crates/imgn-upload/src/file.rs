//! The file of an upload: what it is, its sums, whether it is still the same, and its bytes as they are sent.
//!
//! Everything is read through the patches that take out what must not be given away, so that what is summed and what is
//! sent are the same. Reading happens off the async threads, one reader for each thing that is read, and stops soon
//! after nobody wants it any more.

use std::{
    fs::File,
    io::{self, Read, Seek as _, SeekFrom},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use imgn_protocol::{Checksum, ChecksumAlgorithm, ChecksumHasher, Sha256Hasher};
use tokio::sync::mpsc;

use crate::{Content, Fault, Patches, Redactor, UploadCode, machine::Fingerprint};

/// Why there is no sum, or no body.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The file is another one than it was.
    Changed,
    /// It has the size that it had, but something says that it was written to or replaced.
    Touched,
    /// The file cannot be read.
    Unreadable(Fault),
}

impl Trouble {
    pub(crate) fn from_io(error: &io::Error) -> Self {
        match error.kind() {
            // It was cut since it was looked at.
            io::ErrorKind::UnexpectedEof => Self::Changed,
            _ => Self::Unreadable(unreadable(error)),
        }
    }
}

/// A file, and who knows what must not be given away of it.
#[derive(Clone)]
pub(crate) struct Source {
    pub(crate) path: PathBuf,
    pub(crate) redactor: Option<Arc<dyn Redactor>>,
}

/// A file that is the one that was summed.
#[derive(Clone)]
pub(crate) struct Known {
    path: PathBuf,
    fingerprint: Fingerprint,
    patches: Arc<Patches>,
}

/// A place in a file, in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Range {
    pub(crate) offset: u64,
    pub(crate) length: u64,
}

/// How much is read at a time for a sum, in bytes.
const SUM_BYTES: usize = 512 * 1024;

/// Linux counts times of files in ticks of 1 to 10 ms.
const TICK: Duration = Duration::from_millis(10);

impl Source {
    /// Sums the whole file.
    pub(crate) async fn sum(&self) -> Result<Content, Trouble> {
        let source = self.clone();
        blocking(move |stopped| source.sum_blocking(stopped)).await
    }

    /// The file, if it is still the one that was summed.
    pub(crate) async fn known(&self, expected: Fingerprint) -> Result<Known, Trouble> {
        let source = self.clone();
        blocking(move |_| {
            let file = open_known(&source.path, expected)?;
            Ok(Known {
                patches: Arc::new(source.patches(&file)?),
                path: source.path,
                fingerprint: expected,
            })
        })
        .await
    }

    fn sum_blocking(&self, stopped: &AtomicBool) -> Result<Content, Trouble> {
        let failed = |error: io::Error| Trouble::from_io(&error);
        let (mut file, before) = open(&self.path)?;
        if before.size == 0 {
            let message = "the file is empty; choose a picture";
            return Err(Trouble::Unreadable(Fault::new(
                UploadCode::FileEmpty,
                message,
            )));
        }
        outwait_tick(before);
        let patches = self.patches(&file)?;
        file.rewind().map_err(failed)?;
        let mut hasher = Sha256Hasher::new();
        let whole = Range {
            offset: 0,
            length: before.size,
        };
        let read = read_through(&file, whole, &patches, stopped, |bytes| {
            hasher.update(bytes);
        });
        let read_bytes = read.map_err(failed)?;
        let after = fingerprint(&file).map_err(failed)?;
        if after != before || read_bytes != after.size {
            return Err(Trouble::Changed);
        }
        Ok(Content {
            sha256: hasher.finish(),
            fingerprint: after,
            location_removed: !patches.is_empty(),
            started_anew: false,
        })
    }

    fn patches(&self, file: &File) -> Result<Patches, Trouble> {
        match &self.redactor {
            Some(redactor) => redactor
                .patches(file)
                .map_err(|error| Trouble::from_io(&error)),
            None => Ok(Patches::default()),
        }
    }
}

impl Known {
    /// Sums a part of the file.
    pub(crate) async fn sum(
        &self,
        range: Range,
        algorithm: ChecksumAlgorithm,
    ) -> Result<Checksum, Trouble> {
        let known = self.clone();
        blocking(move |stopped| {
            let file = known.open_at(range.offset)?;
            let mut hasher = ChecksumHasher::new(algorithm);
            let read = read_through(&file, range, &known.patches, stopped, |bytes| {
                hasher.update(bytes);
            });
            read.map_err(|error| Trouble::from_io(&error))?;
            known.check(&file)?;
            Ok(hasher.finish())
        })
        .await
    }

    /// Begins to read a part of the file, `chunk` bytes at a time. A small one is there at once.
    pub(crate) async fn read(&self, range: Range, chunk: usize) -> Result<Reading, Trouble> {
        let known = self.clone();
        blocking(move |_| {
            let mut file = known.open_at(range.offset)?;
            let mut rest = range;
            let first = read_chunk(&mut file, &mut rest, chunk, &known.patches)
                .map_err(|error| Trouble::from_io(&error))?;
            Ok(Reading {
                known,
                file: Arc::new(file),
                first: Some(first),
                rest,
                chunk,
            })
        })
        .await
    }

    fn open_at(&self, offset: u64) -> Result<File, Trouble> {
        let mut file = open_known(&self.path, self.fingerprint)?;
        file.seek(SeekFrom::Start(offset))
            .map_err(|error| Trouble::from_io(&error))?;
        Ok(file)
    }

    fn check(&self, file: &File) -> Result<(), Trouble> {
        let now = fingerprint(file).map_err(|error| Trouble::from_io(&error))?;
        compare(now, self.fingerprint)
    }
}

/// A part of a file on its way.
pub(crate) struct Reading {
    known: Known,
    file: Arc<File>,
    first: Option<Bytes>,
    rest: Range,
    chunk: usize,
}

impl Reading {
    /// The bytes, in order. What lies before the end of a file that was cut meanwhile, and then an error.
    pub(crate) fn chunks(&mut self) -> mpsc::Receiver<io::Result<Bytes>> {
        // One chunk leaves, one waits, one is read: memory has a bound, and the line does not wait for the disk.
        let (sender, receiver) = mpsc::channel(1);
        if let Some(first) = self.first.take() {
            // There is room: nothing was sent before.
            let _ = sender.try_send(Ok(first));
        }
        if self.rest.length > 0 {
            let (file, mut rest) = (Arc::clone(&self.file), self.rest);
            let (chunk, patches) = (self.chunk, Arc::clone(&self.known.patches));
            tokio::task::spawn_blocking(move || {
                let mut file: &File = &file;
                while rest.length > 0 {
                    let read = read_chunk(&mut file, &mut rest, chunk, &patches);
                    let is_over = read.is_err();
                    // Nobody listens any more when the request was given up.
                    if sender.blocking_send(read).is_err() || is_over {
                        return;
                    }
                }
            });
        }
        receiver
    }

    /// Whether the very file that was read, whatever happened to its name, is still the one that was summed.
    pub(crate) fn check(&self) -> Result<(), Trouble> {
        self.known.check(&self.file)
    }
}

/// Which of these have a file at their path now.
pub(crate) async fn there<T: Send + 'static>(files: Vec<(T, PathBuf)>) -> Vec<T> {
    let look = || {
        let there = files.into_iter().filter(|(_, path)| path.exists());
        there.map(|(name, _)| name).collect()
    };
    // It does not panic; were it so, they are looked for again.
    tokio::task::spawn_blocking(look).await.unwrap_or_default()
}

/// The next bytes of `rest`, which then begins after them.
fn read_chunk(
    file: &mut (impl Read + ?Sized),
    rest: &mut Range,
    chunk: usize,
    patches: &Patches,
) -> io::Result<Bytes> {
    let wanted = usize::try_from(rest.length).map_or(chunk, |length| length.min(chunk));
    let mut bytes = Vec::with_capacity(wanted);
    file.take(wanted as u64).read_to_end(&mut bytes)?;
    if bytes.len() < wanted {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    patches.apply(rest.offset, &mut bytes);
    rest.offset += wanted as u64;
    rest.length -= wanted as u64;
    Ok(bytes.into())
}

/// Hands all bytes of `range` to `take`, from where the file stands. Answers how many there were.
fn read_through(
    mut file: &File,
    range: Range,
    patches: &Patches,
    stopped: &AtomicBool,
    mut take: impl FnMut(&[u8]),
) -> io::Result<u64> {
    let size = usize::try_from(range.length).map_or(SUM_BYTES, |length| length.min(SUM_BYTES));
    let mut buffer = vec![0; size];
    let mut done = 0;
    while done < range.length {
        if stopped.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let most =
            usize::try_from(range.length - done).map_or(SUM_BYTES, |left| left.min(SUM_BYTES));
        let read = match file.read(&mut buffer[..most]) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        patches.apply(range.offset + done, &mut buffer[..read]);
        take(&buffer[..read]);
        done += read as u64;
    }
    Ok(done)
}

struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce(&AtomicBool) -> Result<T, Trouble> + Send + 'static,
) -> Result<T, Trouble> {
    let stop = StopOnDrop(Arc::default());
    let stopped = Arc::clone(&stop.0);
    tokio::task::spawn_blocking(move || work(&stopped))
        .await
        .unwrap_or_else(|error| Err(Trouble::from_io(&io::Error::other(error))))
}

fn open_known(path: &Path, expected: Fingerprint) -> Result<File, Trouble> {
    let (file, found) = open(path)?;
    compare(found, expected)?;
    Ok(file)
}

fn compare(found: Fingerprint, expected: Fingerprint) -> Result<(), Trouble> {
    if found == expected {
        Ok(())
    } else if found.size == expected.size {
        Err(Trouble::Touched)
    } else {
        Err(Trouble::Changed)
    }
}

fn open(path: &Path) -> Result<(File, Fingerprint), Trouble> {
    let failed = |error: io::Error| Trouble::from_io(&error);
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

/// Waits until another write would show: file systems write times down in ticks, and one that follows at once would
/// have the time that the file has already.
fn outwait_tick(found: Fingerprint) {
    let written = u64::try_from(found.modified_ns.max(found.changed_ns)).unwrap_or_default();
    let after = UNIX_EPOCH + Duration::from_nanos(written) + TICK;
    if let Ok(left) = after.duration_since(SystemTime::now())
        && left <= TICK
    {
        std::thread::sleep(left);
    }
}

/// What the open file is now.
fn fingerprint(file: &File) -> io::Result<Fingerprint> {
    let metadata = file.metadata()?;
    let modified = metadata.modified()?;
    let modified_ns = match modified.duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_nanos()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |ns| -ns),
    };
    let (changed_ns, inode) = identity(&metadata);
    Ok(Fingerprint {
        size: metadata.len(),
        modified_ns,
        changed_ns,
        inode,
    })
}

#[cfg(unix)]
fn identity(metadata: &std::fs::Metadata) -> (i64, u64) {
    use std::os::unix::fs::MetadataExt as _;
    let changed_ns = metadata
        .ctime()
        .saturating_mul(1_000_000_000)
        .saturating_add(metadata.ctime_nsec());
    (changed_ns, metadata.ino())
}

#[cfg(not(unix))]
fn identity(_: &std::fs::Metadata) -> (i64, u64) {
    (0, 0)
}

fn unreadable(error: &io::Error) -> Fault {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Fault::new(
            UploadCode::FileMissing,
            "the file is not there any more; put it back, and the upload goes on by itself",
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
mod tests;
