//! A bounded cache of small files that can be had again: thumbnails on this computer. Files are named by the SHA-256 of
//! what is in them; an index in SQLite knows which key has which, their sizes, and when each was last used.
//!
//! It is no store: an entry may be gone at any moment, and nothing is flushed to the disk. Several programs may share
//! it, and anybody may delete its files.
//!
//! Invariants: what [`Cache::get`] answers is what was put, to the byte, or nothing. A row is written before its file,
//! so that no file is uncounted; the index itself keeps the sum of the sizes, also for other programs, and whoever puts
//! the cache above its bound evicts. A failed [`Cache::put`] leaves no file.

use std::{
    collections::{HashMap, HashSet},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use imgn_protocol::Sha256;
use sqlx::{
    SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use crate::{
    ClientCode, CommandError,
    sqlite::{is_damaged, json_texts, open_patiently, pool, reason, remove_database},
};

/// The version of the index. One of another version is made anew, and the cache is empty; but for the first one, which
/// knows all but the sums.
const VERSION: i64 = 2;
const WITHOUT_SUMS: i64 = 1;

/// Marks an index that was found to be damaged, by a version that there is not.
const MARK_DAMAGED: &str = "PRAGMA user_version = -1";

const ENTRIES: &str = "
CREATE TABLE entries (
    key   TEXT PRIMARY KEY,
    sum   BLOB NOT NULL,
    size  INTEGER NOT NULL,
    used  INTEGER NOT NULL -- milliseconds since 1970
) STRICT, WITHOUT ROWID;
CREATE INDEX entries_by_use ON entries (used);
CREATE INDEX entries_by_sum ON entries (sum);";

/// Counting a hundred thousand entries takes an eighth of a second, at every start.
const SUMS: &str = "
CREATE TABLE usage (entries INTEGER NOT NULL, bytes INTEGER NOT NULL) STRICT;
INSERT INTO usage SELECT count(*), coalesce(sum(size), 0) FROM entries;
CREATE TRIGGER entry_added AFTER INSERT ON entries BEGIN
    UPDATE usage SET entries = entries + 1, bytes = bytes + new.size;
END;
CREATE TRIGGER entry_replaced AFTER UPDATE OF size ON entries BEGIN
    UPDATE usage SET bytes = bytes + new.size - old.size;
END;
CREATE TRIGGER entry_removed AFTER DELETE ON entries BEGIN
    UPDATE usage SET entries = entries - 1, bytes = bytes - old.size;
END;
PRAGMA user_version = 2;";

/// Entries whose use is remembered in memory before it is written down: a grid that is scrolled back and forth shall not
/// write to the disk each time.
const TOUCHES: usize = 256;

/// A row whose file is not there yet is another program's put that is under way; older, its file is gone.
const UNDER_WAY_MS: i64 = 10_000;

/// Eviction goes below the bound by this share, so that it does not run at every put.
const SLACK: u64 = 10;

/// Entries that are evicted by one statement.
const EVICTED: i64 = 256;

/// The folder of files that are being written, and how old one is whose writer died.
const TEMPORARY: &str = "tmp";
const STALE: Duration = Duration::from_secs(3600);

/// How long one program waits for another's transaction.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// How full the cache is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CacheUsage {
    /// Thumbnails in it.
    pub entries: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Why the cache did not keep something, or cannot be used. Never a reason to stop: the file can be had again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CacheError {
    #[error("the cache cannot use {} ({source})", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("the cache's index cannot be read or written: {}", reason(.0))]
    Index(#[from] sqlx::Error),
    #[error("{size} bytes do not fit into a cache of {max} bytes")]
    TooLarge { size: u64, max: u64 },
}

impl From<CacheError> for CommandError {
    fn from(error: CacheError) -> Self {
        let message = match &error {
            CacheError::Io { .. } => format!("{error}; is the disk full?"),
            // They say so themselves.
            CacheError::Index(_) | CacheError::TooLarge { .. } => error.to_string(),
        };
        Self::new(ClientCode::DiskFailed, message)
    }
}

/// The cache of one profile.
#[derive(Debug)]
pub(crate) struct Cache {
    folder: PathBuf,
    index: SqlitePool,
    max_bytes: AtomicU64,
    touched: Mutex<HashMap<String, i64>>,
}

impl Cache {
    /// Opens the cache with its files in `folder`, which belongs to it alone, and brings it within `max_bytes`. One that
    /// is damaged is made anew.
    pub(crate) async fn open(
        folder: PathBuf,
        index: &Path,
        max_bytes: u64,
    ) -> Result<Self, CacheError> {
        match Self::open_as_it_is(folder.clone(), index, max_bytes).await {
            Err(CacheError::Index(error)) if is_damaged(&error) => {
                tracing::warn!("the cache's index is damaged and is made anew");
                remove_database(index)
                    .await
                    .map_err(|source| CacheError::Io {
                        path: index.to_owned(),
                        source,
                    })?;
                Self::open_as_it_is(folder, index, max_bytes).await
            }
            opened => opened,
        }
    }

    /// A cache that keeps nothing, for when there is no place for one.
    pub(crate) async fn none(folder: PathBuf) -> Result<Self, CacheError> {
        let index = SqlitePoolOptions::new()
            .max_connections(1)
            .connect("sqlite::memory:")
            .await?;
        sqlx::raw_sql(ENTRIES).execute(&index).await?;
        sqlx::raw_sql(SUMS).execute(&index).await?;
        Ok(Self {
            folder,
            index,
            max_bytes: AtomicU64::new(0),
            touched: Mutex::default(),
        })
    }

    async fn open_as_it_is(
        folder: PathBuf,
        index: &Path,
        max_bytes: u64,
    ) -> Result<Self, CacheError> {
        let (pool, is_new) = open_index(index).await?;
        let files = folder.clone();
        let is_empty = blocking(&folder, move || {
            if is_new {
                // Files that no index knows would never be evicted.
                remove_all(&files)?;
            }
            let is_empty = !files.join(TEMPORARY).is_dir();
            std::fs::create_dir_all(files.join(TEMPORARY))?;
            if let Err(error) = remove_stale_temporaries(&files.join(TEMPORARY)) {
                tracing::debug!("{error}");
            }
            Ok(is_empty)
        })
        .await?;
        if is_empty {
            sqlx::query("DELETE FROM entries").execute(&pool).await?;
        }
        let cache = Self {
            folder,
            index: pool,
            max_bytes: AtomicU64::new(max_bytes),
            touched: Mutex::default(),
        };
        cache.evict().await?;
        Ok(cache)
    }

    /// What was last put under `key`, if it is still there and whole. A damaged entry is removed.
    pub(crate) async fn get(&self, key: &str) -> Option<Vec<u8>> {
        let row: Result<Option<(Vec<u8>, i64)>, _> =
            sqlx::query_as("SELECT sum, used FROM entries WHERE key = ?")
                .bind(key)
                .fetch_optional(&self.index)
                .await;
        if let Err(error) = &row {
            tracing::warn!("the cache's index cannot be read ({error})");
            self.note_damage(error).await;
        }
        let (sum, used) = row.ok()??;
        let path = self.path(&sum)?;
        let read = tokio::task::spawn_blocking(move || std::fs::read(path)).await;
        match read {
            Ok(Ok(bytes)) if Sha256::of(&bytes).as_bytes()[..] == sum[..] => {
                self.touch(key).await;
                Some(bytes)
            }
            Ok(Err(error))
                if error.kind() == io::ErrorKind::NotFound && now() - used < UNDER_WAY_MS =>
            {
                None
            }
            _ => {
                self.remove(key).await;
                None
            }
        }
    }

    /// Those of `keys` that are not there. One that is may turn out to be damaged when it is read.
    pub(crate) async fn missing(&self, keys: Vec<String>) -> Result<HashSet<String>, CacheError> {
        let rows: Vec<(String, Vec<u8>)> = sqlx::query_as(
            "SELECT key, sum FROM entries WHERE key IN (SELECT value FROM json_each(?))",
        )
        .bind(json_texts(&keys))
        .fetch_all(&self.index)
        .await?;
        let mut missing: HashSet<String> = keys.into_iter().collect();
        let files: Vec<(String, Option<PathBuf>)> = rows
            .into_iter()
            .map(|(key, sum)| (key, self.path(&sum)))
            .collect();
        let there = blocking(&self.folder, move || {
            let is_there =
                |path: &Option<PathBuf>| path.as_ref().is_some_and(|path| path.is_file());
            Ok(files
                .into_iter()
                .filter(|(_, path)| is_there(path))
                .map(|(key, _)| key)
                .collect::<Vec<_>>())
        })
        .await?;
        for key in &there {
            missing.remove(key);
        }
        Ok(missing)
    }

    /// Keeps `content` under `key`, in the place of what was there, and evicts what was not used for longest.
    pub(crate) async fn put(&self, key: &str, content: Vec<u8>) -> Result<(), CacheError> {
        let put = self.put_as_it_is(key, content).await;
        if let Err(CacheError::Index(error)) = &put {
            self.note_damage(error).await;
        }
        put
    }

    async fn put_as_it_is(&self, key: &str, content: Vec<u8>) -> Result<(), CacheError> {
        let (size, max) = (content.len() as u64, self.max_bytes());
        if size > max {
            return Err(CacheError::TooLarge { size, max });
        }
        let sum = *Sha256::of(&content).as_bytes();
        let Some(path) = self.path(&sum) else {
            return Ok(());
        };
        let before: Option<Vec<u8>> = sqlx::query_scalar("SELECT sum FROM entries WHERE key = ?")
            .bind(key)
            .fetch_optional(&self.index)
            .await?;
        sqlx::query(
            "INSERT INTO entries (key, sum, size, used) VALUES (?, ?, ?, ?)
             ON CONFLICT (key) DO UPDATE SET sum = excluded.sum, size = excluded.size, used = excluded.used",
        )
        .bind(key)
        .bind(&sum[..])
        .bind(i64::try_from(size).unwrap_or(i64::MAX))
        .bind(now())
        .execute(&self.index)
        .await?;
        // Room first, so that the bound holds on the disk too.
        self.evict().await?;
        let written = blocking(&self.folder, move || write(&path, &content)).await;
        if written.is_err() {
            self.remove(key).await;
        }
        written?;
        if let Some(before) = before.filter(|before| before[..] != sum[..]) {
            self.remove_files(vec![before]).await?;
        }
        Ok(())
    }

    /// Forgets everything.
    pub(crate) async fn clear(&self) -> Result<(), CacheError> {
        sqlx::query("DELETE FROM entries")
            .execute(&self.index)
            .await?;
        let folder = self.folder.clone();
        blocking(&self.folder, move || remove_all(&folder)).await
    }

    /// How full it is.
    pub(crate) async fn usage(&self) -> Result<CacheUsage, CacheError> {
        let (entries, bytes): (i64, i64) = sqlx::query_as("SELECT entries, bytes FROM usage")
            .fetch_one(&self.index)
            .await?;
        Ok(CacheUsage {
            entries: u64::try_from(entries).unwrap_or_default(),
            bytes: u64::try_from(bytes).unwrap_or_default(),
        })
    }

    /// The most bytes that it keeps.
    pub(crate) fn max_bytes(&self) -> u64 {
        self.max_bytes.load(Ordering::Relaxed)
    }

    /// Keeps at most so many bytes from now on.
    pub(crate) async fn set_max_bytes(&self, max_bytes: u64) -> Result<(), CacheError> {
        self.max_bytes.store(max_bytes, Ordering::Relaxed);
        self.evict().await
    }

    /// Writes down what was used.
    pub(crate) async fn close(&self) {
        self.write_touches().await;
        self.index.close().await;
    }

    /// Removes what was not used for longest, where the bound does not hold, until it does by some way.
    async fn evict(&self) -> Result<(), CacheError> {
        let (mut bytes, max) = (self.usage().await?.bytes, self.max_bytes());
        if bytes <= max {
            return Ok(());
        }
        self.write_touches().await;
        let target = max - max / SLACK;
        while bytes > target {
            let oldest: Vec<(String, Vec<u8>, i64)> =
                sqlx::query_as("SELECT key, sum, size FROM entries ORDER BY used LIMIT ?")
                    .bind(EVICTED)
                    .fetch_all(&self.index)
                    .await?;
            if oldest.is_empty() {
                break;
            }
            let (mut keys, mut sums) = (Vec::new(), Vec::new());
            for (key, sum, size) in oldest {
                if bytes <= target {
                    break;
                }
                bytes = bytes.saturating_sub(u64::try_from(size).unwrap_or_default());
                keys.push(key);
                sums.push(sum);
            }
            sqlx::query("DELETE FROM entries WHERE key IN (SELECT value FROM json_each(?))")
                .bind(json_texts(&keys))
                .execute(&self.index)
                .await?;
            self.remove_files(sums).await?;
        }
        Ok(())
    }

    /// Forgets what is under `key`.
    async fn remove(&self, key: &str) {
        let removed: Result<Option<Vec<u8>>, _> =
            sqlx::query_scalar("DELETE FROM entries WHERE key = ? RETURNING sum")
                .bind(key)
                .fetch_optional(&self.index)
                .await;
        let removed = match removed {
            Ok(Some(sum)) => self.remove_files(vec![sum]).await,
            Ok(None) => Ok(()),
            Err(error) => Err(error.into()),
        };
        if let Err(error) = removed {
            tracing::warn!("{error}");
        }
    }

    /// Removes files that no key has any more.
    async fn remove_files(&self, sums: Vec<Vec<u8>>) -> Result<(), CacheError> {
        let mut unused = Vec::new();
        for sum in sums {
            let used: i64 = sqlx::query_scalar("SELECT count(*) FROM entries WHERE sum = ?")
                .bind(&sum)
                .fetch_one(&self.index)
                .await?;
            if used == 0 {
                unused.extend(self.path(&sum));
            }
        }
        blocking(&self.folder, move || {
            for path in unused {
                match std::fs::remove_file(&path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        tracing::warn!("cannot delete {} ({error})", path.display());
                    }
                    _ => {}
                }
            }
            Ok(())
        })
        .await
    }

    /// An index whose damage shows itself only when it is used is made anew at the next start.
    async fn note_damage(&self, error: &sqlx::Error) {
        if !is_damaged(error) {
            return;
        }
        if let Err(error) = sqlx::raw_sql(MARK_DAMAGED).execute(&self.index).await {
            tracing::debug!("{error}");
        }
    }

    async fn touch(&self, key: &str) {
        let is_time = {
            let mut touched = self.touched.lock().unwrap_or_else(PoisonError::into_inner);
            touched.insert(key.to_owned(), now());
            touched.len() >= TOUCHES
        };
        if is_time {
            self.write_touches().await;
        }
    }

    async fn write_touches(&self) {
        let touched = {
            let mut touched = self.touched.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *touched)
        };
        if touched.is_empty() {
            return;
        }
        let touched = serde_json::to_string(&touched).unwrap_or_default();
        let written = sqlx::query(
            "UPDATE entries SET used = touched.value FROM json_each(?) AS touched
             WHERE entries.key = touched.key",
        )
        .bind(touched)
        .execute(&self.index)
        .await;
        if let Err(error) = written {
            // Only recency is lost.
            tracing::debug!("{error}");
        }
    }

    /// None for what is no SHA-256.
    fn path(&self, sum: &[u8]) -> Option<PathBuf> {
        let name = hex::encode(<[u8; 32]>::try_from(sum).ok()?);
        let (shard, rest) = name.split_at(2);
        Some(self.folder.join(shard).join(rest))
    }
}

/// The index, and whether it was made just now.
async fn open_index(file: &Path) -> Result<(SqlitePool, bool), CacheError> {
    match open_patiently(|| open_index_as_it_is(file)).await {
        Ok(Some(opened)) => return Ok(opened),
        Ok(None) => {}
        Err(error) if is_damaged(&error) => {
            tracing::warn!("the cache's index is damaged and is made anew");
        }
        Err(error) => return Err(error.into()),
    }
    remove_database(file)
        .await
        .map_err(|source| CacheError::Io {
            path: file.to_owned(),
            source,
        })?;
    let opened = open_index_as_it_is(file).await?;
    opened.ok_or(CacheError::Index(sqlx::Error::RowNotFound))
}

/// None for one of another version.
async fn open_index_as_it_is(file: &Path) -> Result<Option<(SqlitePool, bool)>, sqlx::Error> {
    let options = SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Off)
        .busy_timeout(BUSY_TIMEOUT);
    let pool = pool(2).connect_with(options).await?;
    let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await?;
    let version: i64 = sqlx::query_scalar("PRAGMA user_version")
        .fetch_one(&mut *transaction)
        .await?;
    if version == 0 {
        sqlx::raw_sql(ENTRIES).execute(&mut *transaction).await?;
    }
    if version == 0 || version == WITHOUT_SUMS {
        sqlx::raw_sql(SUMS).execute(&mut *transaction).await?;
    }
    transaction.commit().await?;
    if ![0, WITHOUT_SUMS, VERSION].contains(&version) {
        pool.close().await;
        return Ok(None);
    }
    Ok(Some((pool, version == 0)))
}

/// Under a temporary name first: whoever reads meanwhile reads all or nothing.
fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let shard = path.parent().unwrap_or(Path::new("."));
    let temporary = shard.parent().unwrap_or(shard).join(TEMPORARY);
    std::fs::create_dir_all(&temporary)?;
    let mut temporary = tempfile::NamedTempFile::new_in(temporary)?;
    temporary.write_all(content)?;
    std::fs::create_dir_all(shard)?;
    temporary.persist(path)?;
    Ok(())
}

/// What programs left that died while they wrote.
fn remove_stale_temporaries(folder: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let age = entry.metadata().and_then(|metadata| metadata.modified());
        let age = age.ok().and_then(|modified| modified.elapsed().ok());
        if age.is_some_and(|age| age > STALE) {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn remove_all(folder: &Path) -> io::Result<()> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let path = entry?.path();
        let removed = match path.is_dir() {
            true => std::fs::remove_dir_all(&path),
            false => std::fs::remove_file(&path),
        };
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Runs what reads or writes files of `folder` away from the async threads.
async fn blocking<T: Send + 'static>(
    folder: &Path,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, CacheError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(io::Error::other(error)))
        .map_err(|source| CacheError::Io {
            path: folder.to_owned(),
            source,
        })
}

fn now() -> i64 {
    let since = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
