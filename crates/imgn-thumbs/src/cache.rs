//! A bounded directory of small files that can be had again: thumbnails on a client's disk.
//!
//! It is no store: an entry may be gone at any moment, and nothing is flushed to disk. There is no index; the
//! directory is the truth, modification times are the recency, so that several processes may share it and anybody may
//! delete from it.
//!
//! Invariants: what [`DiskCache::get`] returns is what was put, to the byte, or nothing. A failed
//! [`DiskCache::put`] leaves nothing behind. The size stays within the bound, but for what other processes added since
//! this one last looked; each looks at least every sixteenth of the bound that it writes.

use std::ffi::OsStr;
use std::fs::{self, DirEntry, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};
use thiserror::Error;

/// The first bytes of every entry: the name of the format, and its version.
const MAGIC: [u8; 8] = *b"imgn-c1\n";
/// Magic, length (8 bytes, little-endian), CRC-32 (4 bytes, little-endian).
const HEADER_BYTES: usize = 20;
/// Recency is written no finer than this: a grid scrolled back and forth shall not write to the disk.
const RECENCY_STEP: Duration = Duration::from_secs(60);
/// Temporary files older than this belong to a process that died.
const STALE_TEMPORARY: Duration = Duration::from_secs(3600);
/// Eviction goes below the bound by this share, so that it does not run at every put.
const EVICTION_SLACK: u64 = 10;
const TEMPORARY: &str = "tmp";

/// A bounded cache of small files. Clones share it.
#[derive(Debug, Clone)]
pub struct DiskCache {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    directory: PathBuf,
    max_bytes: AtomicU64,
    tally: Mutex<Tally>,
    next_temporary: AtomicU64,
}

/// What this process believes about the directory; the next look at it corrects this.
#[derive(Debug, Default)]
struct Tally {
    bytes: u64,
    written_since_look: u64,
}

/// How full a cache is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CacheUsage {
    /// Files in it.
    pub entries: u64,
    /// Their bytes on disk, with the cache's own headers.
    pub bytes: u64,
}

/// Why the cache did not keep something. Never a reason to stop: the file can be had again.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CacheError {
    /// The file system refused.
    #[error("the cache cannot use {}", path.display())]
    Io {
        /// The file or directory it was about.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// One entry would fill more than the whole cache.
    #[error("{size} bytes do not fit into a cache of {max} bytes")]
    TooLarge {
        /// The entry's size.
        size: u64,
        /// The cache's bound.
        max: u64,
    },
}

impl DiskCache {
    /// Opens the cache in `directory`, which is made if it is missing and belongs to the cache alone, and brings it
    /// within `max_bytes`.
    pub fn open(directory: impl Into<PathBuf>, max_bytes: u64) -> Result<Self, CacheError> {
        let directory = directory.into();
        let temporary = directory.join(TEMPORARY);
        fs::create_dir_all(&temporary).map_err(|source| io_error(&temporary, source))?;
        let cache = Self {
            shared: Arc::new(Shared {
                directory,
                max_bytes: AtomicU64::new(max_bytes),
                tally: Mutex::default(),
                next_temporary: AtomicU64::new(0),
            }),
        };
        cache.evict(&mut cache.tally());
        Ok(cache)
    }

    /// What was last put under `key`, if it is still there and whole. A damaged entry is removed.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<Vec<u8>> {
        let path = self.path(key);
        // Writable, because Windows changes times through such handles only; a read-only cache is still read.
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&path)
            .or_else(|_| File::open(&path))
            .ok()?;
        let Some(content) = read_entry(&file, self.max_bytes()) else {
            self.remove(key);
            return None;
        };
        touch(&file);
        Some(content)
    }

    /// Keeps `content` under `key`, in the place of what was there, and evicts what was not used for longest.
    ///
    /// # Errors
    /// The disk is full or cannot be written, or `content` is larger than the cache: then nothing has changed.
    pub fn put(&self, key: &str, content: &[u8]) -> Result<(), CacheError> {
        let max = self.max_bytes();
        let size = (HEADER_BYTES + content.len()) as u64;
        if size > max {
            return Err(CacheError::TooLarge { size, max });
        }
        let path = self.path(key);
        let temporary = self.write_temporary(content)?;
        let replaced = fs::metadata(&path).map_or(0, |metadata| metadata.len());
        if let Err(source) = rename_into(&temporary, &path) {
            remove_quietly(&temporary);
            return Err(io_error(&path, source));
        }
        let mut tally = self.tally();
        tally.bytes = tally.bytes.saturating_sub(replaced).saturating_add(size);
        tally.written_since_look += size;
        if tally.bytes > max || tally.written_since_look > max / 16 {
            self.evict(&mut tally);
        }
        Ok(())
    }

    /// Forgets what is under `key`.
    pub fn remove(&self, key: &str) {
        let path = self.path(key);
        let size = fs::metadata(&path).map_or(0, |metadata| metadata.len());
        if fs::remove_file(&path).is_ok() {
            let mut tally = self.tally();
            tally.bytes = tally.bytes.saturating_sub(size);
        }
    }

    /// Forgets everything.
    pub fn clear(&self) {
        let mut tally = self.tally();
        for entry in self.entries() {
            remove_quietly(&entry.path);
        }
        *tally = Tally::default();
    }

    /// How full it is, as the directory says.
    #[must_use]
    pub fn usage(&self) -> CacheUsage {
        self.entries()
            .fold(CacheUsage::default(), |usage, entry| CacheUsage {
                entries: usage.entries + 1,
                bytes: usage.bytes + entry.bytes,
            })
    }

    /// Whether something is under `key`; it may turn out to be damaged when it is read.
    #[must_use]
    pub fn contains(&self, key: &str) -> bool {
        self.path(key).is_file()
    }

    /// The most bytes that it keeps.
    #[must_use]
    pub fn max_bytes(&self) -> u64 {
        self.shared.max_bytes.load(Ordering::Relaxed)
    }

    /// Keeps at most so many bytes from now on.
    pub fn set_max_bytes(&self, max_bytes: u64) {
        self.shared.max_bytes.store(max_bytes, Ordering::Relaxed);
        self.evict(&mut self.tally());
    }

    /// About how many bytes are in it: what this process believes, without a look at the directory.
    #[must_use]
    pub fn approximate_bytes(&self) -> u64 {
        self.tally().bytes
    }

    /// Keys are hashed: any text is a key, and none names a place outside the directory.
    fn path(&self, key: &str) -> PathBuf {
        let name = hex(&Sha256::digest(key.as_bytes()));
        let (shard, rest) = name.split_at(2);
        self.shared.directory.join(shard).join(rest)
    }

    fn write_temporary(&self, content: &[u8]) -> Result<PathBuf, CacheError> {
        let number = self.shared.next_temporary.fetch_add(1, Ordering::Relaxed);
        // Unlike in another process, another cache of this process, and another run with the same process id.
        let instance = Arc::as_ptr(&self.shared).addr();
        let moment = SystemTime::UNIX_EPOCH
            .elapsed()
            .map_or(0, |since| since.as_nanos());
        let path = self.shared.directory.join(TEMPORARY).join(format!(
            "{}-{instance:x}-{moment:x}-{number}",
            std::process::id()
        ));
        let written = write_entry(&path, content).or_else(|error| match error.kind() {
            // Someone removed the directory under us.
            io::ErrorKind::NotFound => {
                make_parent(&path).and_then(|()| write_entry(&path, content))
            }
            _ => Err(error),
        });
        match written {
            Ok(()) => Ok(path),
            Err(source) => {
                remove_quietly(&path);
                Err(io_error(&path, source))
            }
        }
    }

    /// Looks at the directory and removes what was not used for longest, until the bound holds.
    fn evict(&self, tally: &mut Tally) {
        let mut entries: Vec<Entry> = self.entries().collect();
        let mut bytes: u64 = entries.iter().map(|entry| entry.bytes).sum();
        let max = self.max_bytes();
        if bytes > max {
            let target = max - max / EVICTION_SLACK;
            entries.sort_unstable_by_key(|entry| entry.used);
            for entry in &entries {
                if bytes <= target {
                    break;
                }
                // Gone already is as good as removed; what cannot be removed still counts.
                if matches!(fs::remove_file(&entry.path), Err(error) if error.kind() != io::ErrorKind::NotFound)
                {
                    continue;
                }
                bytes -= entry.bytes;
            }
        }
        self.remove_stale_temporaries();
        *tally = Tally {
            bytes,
            written_since_look: 0,
        };
    }

    fn remove_stale_temporaries(&self) {
        for entry in list(&self.shared.directory.join(TEMPORARY)) {
            let age = entry
                .metadata()
                .and_then(|metadata| metadata.modified())
                .ok()
                .and_then(|modified| modified.elapsed().ok());
            if age.is_some_and(|age| age > STALE_TEMPORARY) {
                remove_quietly(&entry.path());
            }
        }
    }

    /// All entries; what vanishes meanwhile is left out.
    fn entries(&self) -> impl Iterator<Item = Entry> {
        list(&self.shared.directory)
            .filter(|shard| is_shard(&shard.file_name()))
            .flat_map(|shard| list(&shard.path()))
            .filter_map(|file| {
                let metadata = file.metadata().ok().filter(fs::Metadata::is_file)?;
                Some(Entry {
                    path: file.path(),
                    bytes: metadata.len(),
                    used: metadata.modified().ok()?,
                })
            })
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        // A tally is whole at every step, also when its holder panicked.
        self.shared
            .tally
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
struct Entry {
    path: PathBuf,
    bytes: u64,
    used: SystemTime,
}

fn write_entry(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut header = [0; HEADER_BYTES];
    header[..8].copy_from_slice(&MAGIC);
    header[8..16].copy_from_slice(&(content.len() as u64).to_le_bytes());
    header[16..].copy_from_slice(&crc32fast::hash(content).to_le_bytes());
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(&header)?;
    file.write_all(content)
}

/// The content of an entry, unless it is damaged, cut off, or larger than any entry can be.
fn read_entry(mut file: &File, max_bytes: u64) -> Option<Vec<u8>> {
    let size = file.metadata().ok()?.len();
    if size > max_bytes {
        return None;
    }
    let mut header = [0; HEADER_BYTES];
    file.read_exact(&mut header).ok()?;
    let (magic, rest) = header.split_at(MAGIC.len());
    let (length, checksum) = rest.split_at(8);
    let length = u64::from_le_bytes(length.try_into().ok()?);
    if magic != MAGIC || size.checked_sub(HEADER_BYTES as u64) != Some(length) {
        return None;
    }
    let mut content = Vec::with_capacity(usize::try_from(length).ok()?);
    file.take(length).read_to_end(&mut content).ok()?;
    let whole = content.len() as u64 == length
        && crc32fast::hash(&content).to_le_bytes().as_slice() == checksum;
    whole.then_some(content)
}

fn touch(file: &File) {
    let now = SystemTime::now();
    let is_recent = file
        .metadata()
        .and_then(|metadata| metadata.modified())
        .is_ok_and(|modified| {
            now.duration_since(modified)
                .is_ok_and(|age| age < RECENCY_STEP)
        });
    if !is_recent {
        // Only recency is lost.
        let _ = file.set_modified(now);
    }
}

fn rename_into(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make_parent(to)?;
            fs::rename(from, to)
        }
        result => result,
    }
}

fn make_parent(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)
}

/// The names in a directory; none if it cannot be read.
fn list(directory: &Path) -> impl Iterator<Item = DirEntry> + use<> {
    fs::read_dir(directory)
        .into_iter()
        .flatten()
        .filter_map(Result::ok)
}

fn is_shard(name: &OsStr) -> bool {
    name.len() == 2
        && name
            .to_str()
            .is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

fn remove_quietly(path: &Path) {
    // It may be gone, and eviction meets it again if it is not.
    let _ = fs::remove_file(path);
}

fn io_error(path: &Path, source: io::Error) -> CacheError {
    CacheError::Io {
        path: path.to_owned(),
        source,
    }
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|nibble| char::from(DIGITS[usize::from(nibble)]))
        .collect()
}
