//! Rows that request after request asks for, in memory for as long as they are what the database has.
//!
//! The token and the upload are read for each part that is signed, which is two turns between threads for a few hundred bytes
//! and takes longer than the signature. SQLite says on the spot whether anybody, this process or another one, has committed
//! anything since: <https://sqlite.org/pragma.html#pragma_data_version>. What was read before that is forgotten then. Where
//! uploads are opened that is after every few requests, and tokens are then read on the spot as well: there are few of them, so
//! that they are in memory, and each request asks for one.
//!
//! Not here: PostgreSQL, which takes as long to say so as to say all of it, and what is not there. Invariant: what is found
//! here is what the database would answer at this moment; what is not sure is read.

use std::{
    collections::HashMap,
    hash::Hash,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use imgn_protocol::{Sha256, UploadId};
use rusqlite::{Connection, OpenFlags};

use super::{
    CatalogueError, Staged, Upload,
    tokens::{BY_HASH, KnownToken, Row},
};

/// Rows of each kind, of at most some kilobytes. Where more are asked for between two commits, it begins anew.
const MOST: usize = 1024;

/// How often the database is opened anew. A catalogue that was put in the place of another under a running server is so
/// found out, as it is by the connections that read; the old one would never change again.
const OPENED_EVERY: Duration = Duration::from_secs(60);

/// What is remembered of one database. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Remembered(Option<Arc<Mutex<Rows>>>);

#[derive(Debug)]
pub(super) struct Rows {
    database: PathBuf,
    /// Asked for the version only. `None` once the catalogue is closed.
    connection: Option<Connection>,
    opened: Instant,
    /// That of which all rows are.
    version: i64,
    tokens: HashMap<Sha256, KnownToken>,
    uploads: HashMap<UploadId, Upload>,
    staged: HashMap<UploadId, Staged>,
}

/// A row that is remembered by its key.
pub(super) trait Memorable: Clone {
    type Key: Copy + Eq + Hash;

    fn among(rows: &mut Rows) -> &mut HashMap<Self::Key, Self>;

    /// Reads it on the spot, where that waits for no disk.
    fn read(_: &Connection, _: Self::Key) -> Option<Self> {
        None
    }
}

macro_rules! memorable {
    ($($row:ty, by $key:ty, in $rows:ident $(, read by $read:expr)?;)+) => {
        $(impl Memorable for $row {
            type Key = $key;

            fn among(rows: &mut Rows) -> &mut HashMap<$key, Self> {
                &mut rows.$rows
            }

            $(fn read(connection: &Connection, key: $key) -> Option<Self> {
                $read(connection, key)
            })?
        })+
    };
}

memorable! {
    KnownToken, by Sha256, in tokens, read by token;
    Upload, by UploadId, in uploads;
    Staged, by UploadId, in staged;
}

impl Remembered {
    /// For the database in this file, which has a write-ahead log. Where its version cannot be told, nothing is remembered.
    pub(super) fn open(database: &Path) -> Self {
        match connect(database).and_then(|connection| Ok((version(&connection)?, connection))) {
            Ok((version, connection)) => Self(Some(Arc::new(Mutex::new(Rows {
                database: database.to_owned(),
                connection: Some(connection),
                opened: Instant::now(),
                version,
                tokens: HashMap::new(),
                uploads: HashMap::new(),
                staged: HashMap::new(),
            })))),
            Err(error) => {
                tracing::debug!(%error, "no row of the catalogue is remembered");
                Self(None)
            }
        }
    }

    /// The row as the database has it, which is read where it is not remembered.
    pub(super) async fn row<T: Memorable>(
        &self,
        key: T::Key,
        read: impl Future<Output = Result<Option<T>, CatalogueError>>,
    ) -> Result<Option<T>, CatalogueError> {
        // Told before it is read: what is committed meanwhile makes the row one of an earlier version, and forgotten.
        let mut version = None;
        if let Some(mut rows) = self.rows()
            && rows.is_current()
        {
            if let Some(row) = T::among(&mut rows).get(&key) {
                return Ok(Some(row.clone()));
            }
            if let Some(row) = rows.connection.as_ref().and_then(|now| T::read(now, key)) {
                rows.remember(key, &row);
                return Ok(Some(row));
            }
            version = Some(rows.version);
        }
        let row = read.await?;
        if let Some(row) = &row
            && let Some(mut rows) = self.rows()
            && version == Some(rows.version)
        {
            rows.remember(key, row);
        }
        Ok(row)
    }

    /// Ends the connection.
    pub(super) fn close(&self) {
        if let Some(mut rows) = self.rows() {
            rows.connection = None;
        }
    }

    fn rows(&self) -> Option<MutexGuard<'_, Rows>> {
        // Whole after every step, so that a panic elsewhere does no harm.
        let rows = self.0.as_ref()?.lock();
        Some(rows.unwrap_or_else(PoisonError::into_inner))
    }
}

impl Rows {
    fn remember<T: Memorable>(&mut self, key: T::Key, row: &T) {
        let all = T::among(self);
        if all.len() >= MOST {
            all.clear();
        }
        all.insert(key, row.clone());
    }

    /// Forgets what is of an earlier version. Whether the version is known.
    fn is_current(&mut self) -> bool {
        let mut is_same = true;
        if self.connection.is_some() && self.opened.elapsed() >= OPENED_EVERY {
            // Versions of two connections have nothing to do with each other.
            is_same = false;
            self.opened = Instant::now();
            if let Ok(connection) = connect(&self.database) {
                self.connection = Some(connection);
            }
        }
        let now = self.connection.as_ref().map(version);
        let now = now.and_then(Result::ok);
        if !is_same || now != Some(self.version) {
            self.tokens.clear();
            self.uploads.clear();
            self.staged.clear();
            self.version = now.unwrap_or(self.version);
        }
        now.is_some()
    }
}

fn connect(database: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(database, flags)?;
    // Whoever asks has another way.
    connection.busy_timeout(Duration::ZERO)?;
    Ok(connection)
}

/// `None` also for what cannot be read: whoever asks hears why on another way.
fn token(connection: &Connection, hash: Sha256) -> Option<KnownToken> {
    let mut statement = connection.prepare_cached(BY_HASH).ok()?;
    let row = statement.query_row([&hash.as_bytes()[..]], |row| Row::try_from(row));
    KnownToken::try_from(row.ok()?).ok()
}

fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection
        .prepare_cached("PRAGMA data_version")?
        .query_row([], |row| row.get(0))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use imgn_protocol::{FileName, Token};

    use super::*;
    use crate::{
        auth::{Role, fingerprint},
        catalogue::{Catalogue, Presented},
        config::Database,
    };

    struct Case {
        catalogue: Catalogue,
        /// On the same file, as another process has it.
        other: Catalogue,
        reads: AtomicUsize,
        directory: tempfile::TempDir,
    }

    impl Case {
        async fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let database = Database::File(directory.path().join("catalogue"));
            Self {
                catalogue: Catalogue::open(&database).await.unwrap(),
                other: Catalogue::open(&database).await.unwrap(),
                reads: AtomicUsize::new(0),
                directory,
            }
        }

        /// The row of this id, which is there; how often it was read until now.
        async fn reads_after(&self, id: UploadId, meanwhile: impl Future<Output = ()>) -> usize {
            let read = async {
                self.reads.fetch_add(1, Ordering::Relaxed);
                meanwhile.await;
                Ok(Some(staged(id)))
            };
            let row = self.catalogue.remembered.row(id, read).await.unwrap();
            assert_eq!(row, Some(staged(id)));
            self.reads.load(Ordering::Relaxed)
        }

        async fn commit(&self, name: &str) {
            self.other.add_token(name, Role::Uploader).await.unwrap();
        }

        async fn is_valid(&self, token: &Token) -> bool {
            let presented = self.catalogue.caller(&fingerprint(token)).await.unwrap();
            matches!(presented, Presented::Valid(_))
        }
    }

    fn staged(id: UploadId) -> Staged {
        Staged {
            id,
            owner: 1,
            image: id.as_uuid().into(),
            file_name: FileName::clean("a.jpg"),
            in_parts: true,
            multipart: None,
            url_expires_at: 0,
            created_at: 0,
            origin: None,
            below_owner: true,
        }
    }

    #[tokio::test]
    async fn a_row_is_read_again_once_anybody_has_committed() {
        let case = Case::new().await;
        let id = UploadId::new();
        assert_eq!(case.reads_after(id, async {}).await, 1);
        assert_eq!(case.reads_after(id, async {}).await, 1);
        case.commit("ada").await;
        assert_eq!(case.reads_after(id, async {}).await, 2);
        assert_eq!(case.reads_after(id, async {}).await, 2);
        // By this process.
        case.catalogue.revoke_token("ada").await.unwrap();
        assert_eq!(case.reads_after(id, async {}).await, 3);
        // While it is read: that row may be of before.
        case.commit("bob").await;
        assert_eq!(case.reads_after(id, Box::pin(case.commit("eve"))).await, 4);
        assert_eq!(case.reads_after(id, async {}).await, 5);
        assert_eq!(case.reads_after(id, async {}).await, 5);
    }

    #[tokio::test]
    async fn what_is_not_there_is_asked_for_each_time_and_after_the_end_everything_is() {
        let case = Case::new().await;
        let id = UploadId::new();
        for _ in 0..2 {
            let none = case
                .catalogue
                .remembered
                .row::<Staged>(id, async { Ok(None) });
            assert_eq!(none.await.unwrap(), None);
        }
        assert_eq!(case.reads_after(id, async {}).await, 1);
        case.catalogue.remembered.close();
        assert_eq!(case.reads_after(id, async {}).await, 2);
        assert_eq!(case.reads_after(id, async {}).await, 3);
    }

    #[tokio::test]
    async fn the_database_is_opened_anew_now_and_then() {
        let case = Case::new().await;
        let id = UploadId::new();
        case.reads_after(id, async {}).await;
        let directory = case.directory.path();
        for name in ["catalogue", "catalogue-wal", "catalogue-shm"] {
            std::fs::rename(directory.join(name), directory.join(format!("old-{name}"))).unwrap();
        }
        let database = Database::File(directory.join("catalogue"));
        let other = Catalogue::open(&database).await.unwrap();
        other.add_token("ada", Role::Uploader).await.unwrap();
        assert_eq!(case.reads_after(id, async {}).await, 1);
        case.catalogue.remembered.rows().unwrap().opened -= OPENED_EVERY;
        assert_eq!(case.reads_after(id, async {}).await, 2);
        assert_eq!(case.reads_after(id, async {}).await, 2);
        other.revoke_token("ada").await.unwrap();
        assert_eq!(case.reads_after(id, async {}).await, 3);
    }

    #[tokio::test]
    async fn no_more_is_remembered_than_there_is_room_for() {
        let case = Case::new().await;
        for _ in 0..MOST + 10 {
            case.reads_after(UploadId::new(), async {}).await;
        }
        let rows = case.catalogue.remembered.rows().unwrap();
        assert!((1..=MOST).contains(&rows.staged.len()));
    }

    #[tokio::test]
    async fn a_token_that_another_process_ends_is_refused_at_once() {
        let case = Case::new().await;
        for round in 0..50 {
            let name = format!("token {round}");
            let token = case.other.add_token(&name, Role::Uploader).await.unwrap();
            for _ in 0..3 {
                assert!(case.is_valid(&token).await);
            }
            case.other.revoke_token(&name).await.unwrap();
            assert!(!case.is_valid(&token).await, "{round}");
        }
    }
}
