//! Every upload's state on disk (SQLite), so that it outlives the program.
//!
//! Several programs share one journal: each upload has at most one living owner, see the module `owner`. A commit
//! survives the end of the program and a power cut: what was answered as queued is on the disk. States of uploads that
//! go on at the same time are committed together, see the module `writer`.

mod writer;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use imgn_protocol::{Checksum, FileName, UploadId};
use sqlx::{
    Row as _, SqlitePool,
    sqlite::{
        SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous,
    },
};

use crate::{
    machine::State,
    owner::{Owner, is_alive},
};
use writer::Writer;

/// An upload as it is written down.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Its id in this journal, and on the server unless it had to start anew.
    pub id: UploadId,
    /// The file.
    pub path: PathBuf,
    /// What it will be called in the gallery.
    pub file_name: FileName,
    /// What it was taken for when it was queued.
    pub content_type: Option<String>,
    /// Its size in bytes when it was queued, where that was known.
    pub size: Option<u64>,
    /// Whether the place where the picture was taken is sent too.
    pub keep_location: bool,
    /// Its place in the queue: lower ones go first, equal ones by id.
    pub position: i64,
    /// Where it stands.
    pub state: State,
}

/// The journal cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// It cannot be opened.
    #[error("cannot open the journal of uploads {}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: sqlx::Error,
    },
    /// Its tables cannot be brought up to this version.
    #[error("the journal of uploads {} is damaged, or of a newer version of imgn", path.display())]
    Migrate {
        /// The file.
        path: PathBuf,
        /// Why.
        source: sqlx::migrate::MigrateError,
    },
    /// Ownership cannot be registered or asked for.
    #[error("cannot lock a file in {}", path.display())]
    Owners {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A statement failed.
    #[error("the journal of uploads cannot be read or written; is the disk full?")]
    Sql(#[from] sqlx::Error),
    /// A row says something that this version does not understand.
    #[error("the journal's row {id} is not understood")]
    Row {
        /// Which one.
        id: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// The journal of one profile, seen for one server.
pub struct Journal {
    pool: SqlitePool,
    writer: Writer,
    owner: Owner,
    owners: PathBuf,
    server: String,
}

impl Journal {
    /// Opens or makes the journal in `file`. Uploads to other servers than `server` are neither seen nor touched.
    /// `owners` is an existing folder for locks.
    ///
    /// # Errors
    /// When the file cannot be opened or is of a newer version.
    pub async fn open(file: &Path, owners: &Path, server: &str) -> Result<Self, JournalError> {
        let options = SqliteConnectOptions::new()
            .filename(file)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // In WAL mode nothing less syncs each commit.
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(Duration::from_secs(10));
        // One connection: a program's writes take turns here, and wait in SQLite only for the other program's.
        let pool = SqlitePoolOptions::new()
            .max_connections(1)
            .connect_with(options)
            .await
            .map_err(|source| JournalError::Open {
                path: file.to_owned(),
                source,
            })?;
        sqlx::migrate!()
            .run(&pool)
            .await
            .map_err(|source| JournalError::Migrate {
                path: file.to_owned(),
                source,
            })?;
        let owner = Owner::register(owners).map_err(|source| JournalError::Owners {
            path: owners.to_owned(),
            source,
        })?;
        Ok(Self {
            writer: Writer::start(pool.clone()),
            pool,
            owner,
            owners: owners.to_owned(),
            server: server.to_owned(),
        })
    }

    /// Writes new uploads down, all or none, as owned by this program.
    pub(crate) async fn insert(&self, entries: &[Entry]) -> Result<(), JournalError> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        for entry in entries {
            sqlx::query(
                "INSERT INTO uploads (id, server, path, file_name, content_type, state, ended, owner, updated_at, \
                 position, size, keep_location) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            )
            .bind(entry.id.to_string())
            .bind(&self.server)
            .bind(path_to_bytes(&entry.path))
            .bind(entry.file_name.as_str())
            .bind(&entry.content_type)
            .bind(to_json(entry.id, &entry.state)?)
            .bind(entry.state.has_ended())
            .bind(self.owner.id())
            .bind(now_ms())
            .bind(entry.position)
            .bind(entry.size.map(|size| i64::try_from(size).unwrap_or(i64::MAX)))
            .bind(entry.keep_location)
            .execute(&mut *transaction)
            .await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    /// Writes down where an upload stands. Answers once it is on the disk.
    pub(crate) async fn save(&self, id: UploadId, state: &State) -> Result<(), JournalError> {
        self.writer
            .save(writer::Row {
                id: id.to_string(),
                state: to_json(id, state)?,
                ended: state.has_ended(),
            })
            .await
    }

    /// Writes down where many uploads stand, all or none.
    pub(crate) async fn save_all(&self, states: &[(UploadId, State)]) -> Result<(), JournalError> {
        let mut rows = Vec::with_capacity(states.len());
        for (id, state) in states {
            rows.push(writer::Row {
                id: id.to_string(),
                state: to_json(*id, state)?,
                ended: state.has_ended(),
            });
        }
        Ok(writer::commit(&self.pool, &rows, &[]).await?)
    }

    /// Remembers the sum of a part. Written with what is written next, or soon: without it the part is summed again.
    pub(crate) fn remember_part(
        &self,
        upload: UploadId,
        session: UploadId,
        number: u32,
        checksum: Checksum,
    ) {
        self.writer.remember(writer::PartRow {
            upload: upload.to_string(),
            session: session.to_string(),
            number,
            checksum: checksum.to_string(),
        });
    }

    /// The sums of the parts of what `session` was opened for, as far as they were remembered.
    pub(crate) async fn parts(
        &self,
        upload: UploadId,
        session: UploadId,
    ) -> Result<BTreeMap<u32, Checksum>, JournalError> {
        let rows: Vec<(u32, String)> =
            sqlx::query_as("SELECT number, checksum FROM parts WHERE upload = ? AND session = ?")
                .bind(upload.to_string())
                .bind(session.to_string())
                .fetch_all(&self.pool)
                .await?;
        // What is not understood is summed again.
        let parts = rows
            .into_iter()
            .filter_map(|(number, checksum)| Some((number, checksum.parse().ok()?)));
        Ok(parts.collect())
    }

    /// Writes down places in the queue, all or none.
    pub(crate) async fn place(&self, positions: &[(UploadId, i64)]) -> Result<(), JournalError> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        for (id, position) in positions {
            sqlx::query("UPDATE uploads SET position = ? WHERE id = ?")
                .bind(position)
                .bind(id.to_string())
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    /// All uploads to this server, in the order of the queue.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn entries(&self) -> Result<Vec<Entry>, JournalError> {
        sqlx::query("SELECT * FROM uploads WHERE server = ? ORDER BY position, id")
            .bind(&self.server)
            .fetch_all(&self.pool)
            .await?
            .iter()
            .map(from_row)
            .collect()
    }

    /// Makes this program the owner of an upload, unless another living one is. Whoever becomes its owner gets it as
    /// it stands now.
    pub(crate) async fn claim(&self, id: UploadId) -> Result<Option<Entry>, JournalError> {
        let owner: Option<Option<String>> =
            sqlx::query_scalar("SELECT owner FROM uploads WHERE id = ?")
                .bind(id.to_string())
                .fetch_optional(&self.pool)
                .await?;
        let Some(owner) = owner else {
            return Ok(None);
        };
        if self.is_of_another(owner.as_deref())? {
            return Ok(None);
        }
        // Only if it is still as it was seen: of two programs that found the owner dead, one wins.
        sqlx::query("UPDATE uploads SET owner = ? WHERE id = ? AND owner IS ? RETURNING *")
            .bind(self.owner.id())
            .bind(id.to_string())
            .bind(&owner)
            .fetch_optional(&self.pool)
            .await?
            .as_ref()
            .map(from_row)
            .transpose()
    }

    /// Makes this program the owner of all unfinished uploads that no other living one owns, however many there are.
    pub(crate) async fn claim_unfinished(&self) -> Result<Vec<Entry>, JournalError> {
        let owners: Vec<Option<String>> = sqlx::query_scalar(
            "SELECT DISTINCT owner FROM uploads WHERE server = ? AND ended = 0 AND owner IS NOT ?",
        )
        .bind(&self.server)
        .bind(self.owner.id())
        .fetch_all(&self.pool)
        .await?;
        let mut claimed = Vec::new();
        for owner in owners {
            if self.is_of_another(owner.as_deref())? {
                continue;
            }
            let rows = sqlx::query(
                "UPDATE uploads SET owner = ? WHERE server = ? AND ended = 0 AND owner IS ? RETURNING *",
            )
            .bind(self.owner.id())
            .bind(&self.server)
            .bind(&owner)
            .fetch_all(&self.pool)
            .await?;
            for row in &rows {
                claimed.push(from_row(row)?);
            }
        }
        Ok(claimed)
    }

    /// Whether another living program owns what `owner` does.
    fn is_of_another(&self, owner: Option<&str>) -> Result<bool, JournalError> {
        match owner {
            Some(owner) if owner != self.owner.id() => {
                is_alive(&self.owners, owner).map_err(|source| JournalError::Owners {
                    path: self.owners.clone(),
                    source,
                })
            }
            _ => Ok(false),
        }
    }

    /// The uploads that have ended in the hands of others.
    pub(crate) async fn ended_of_others(&self) -> Result<Vec<Entry>, JournalError> {
        sqlx::query("SELECT * FROM uploads WHERE server = ? AND ended = 1 AND owner IS NOT ?")
            .bind(&self.server)
            .bind(self.owner.id())
            .fetch_all(&self.pool)
            .await?
            .iter()
            .map(from_row)
            .collect()
    }

    /// Lets go of all that this program owns, for others to take at once.
    pub(crate) async fn release(&self) -> Result<(), JournalError> {
        sqlx::query("UPDATE uploads SET owner = NULL WHERE owner = ?")
            .bind(self.owner.id())
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Forgets uploads that have ended and were last written before `age` ago.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub async fn forget_ended(&self, age: Duration) -> Result<(), JournalError> {
        let age = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
        sqlx::query("DELETE FROM uploads WHERE server = ? AND ended = 1 AND updated_at <= ?")
            .bind(&self.server)
            .bind(now_ms().saturating_sub(age))
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Writes what is still to be written, and closes the file.
    pub(crate) async fn close(&self) {
        self.writer.finish().await;
        self.pool.close().await;
    }
}

fn to_json(id: UploadId, state: &State) -> Result<String, JournalError> {
    serde_json::to_string(state).map_err(|source| JournalError::Row {
        id: id.to_string(),
        source: source.into(),
    })
}

fn parse_id(id: String) -> Result<UploadId, JournalError> {
    id.parse().map_err(|source: uuid::Error| JournalError::Row {
        source: source.into(),
        id,
    })
}

fn from_row(row: &SqliteRow) -> Result<Entry, JournalError> {
    let id: String = row.try_get("id")?;
    let not_understood = |source: Box<dyn std::error::Error + Send + Sync>| JournalError::Row {
        id: id.clone(),
        source,
    };
    let name: String = row.try_get("file_name")?;
    let state: String = row.try_get("state")?;
    Ok(Entry {
        id: parse_id(id.clone())?,
        path: path_from_bytes(row.try_get("path")?),
        file_name: FileName::parse(&name).map_err(|source| not_understood(source.into()))?,
        content_type: row.try_get("content_type")?,
        size: row
            .try_get::<Option<i64>, _>("size")?
            .and_then(|size| u64::try_from(size).ok()),
        keep_location: row.try_get("keep_location")?,
        position: row.try_get("position")?,
        state: serde_json::from_str(&state).map_err(|source| not_understood(source.into()))?,
    })
}

fn now_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(unix)]
fn path_to_bytes(path: &Path) -> Vec<u8> {
    use std::os::unix::ffi::OsStrExt as _;
    path.as_os_str().as_bytes().to_vec()
}

#[cfg(unix)]
fn path_from_bytes(bytes: Vec<u8>) -> PathBuf {
    use std::os::unix::ffi::OsStringExt as _;
    std::ffi::OsString::from_vec(bytes).into()
}

#[cfg(windows)]
fn path_to_bytes(path: &Path) -> Vec<u8> {
    use std::os::windows::ffi::OsStrExt as _;
    path.as_os_str()
        .encode_wide()
        .flat_map(u16::to_le_bytes)
        .collect()
}

#[cfg(windows)]
fn path_from_bytes(bytes: Vec<u8>) -> PathBuf {
    use std::os::windows::ffi::OsStringExt as _;
    let wide: Vec<u16> = bytes
        .chunks_exact(2)
        .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
        .collect();
    std::ffi::OsString::from_wide(&wide).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(path: PathBuf) -> Entry {
        let id = UploadId::new();
        Entry {
            id,
            path,
            file_name: FileName::clean("a.png"),
            content_type: Some("image/png".to_owned()),
            size: Some(7),
            keep_location: false,
            position: -3,
            state: State::Queued { session: id },
        }
    }

    async fn open(folder: &Path, server: &str) -> Journal {
        Journal::open(&folder.join("journal.sqlite"), folder, server)
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn an_upload_is_read_back_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let journal = open(folder.path(), "a").await;
        let path = path_from_bytes(b"/pictures/\xff\xfe\n.png".to_vec());
        let entry = entry(path);
        journal.insert(std::slice::from_ref(&entry)).await.unwrap();
        assert_eq!(journal.entries().await.unwrap(), [entry]);
        // Another gallery's journal has nothing of it.
        assert_eq!(open(folder.path(), "b").await.entries().await.unwrap(), []);
    }

    /// What earlier versions wrote goes on where it stood.
    #[tokio::test]
    async fn a_journal_of_the_first_version_is_taken_over() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("journal.sqlite");
        let first = sqlx::migrate!().iter().next().unwrap().clone();
        let options = SqliteConnectOptions::new()
            .filename(&file)
            .create_if_missing(true);
        let pool = SqlitePool::connect_with(options).await.unwrap();
        sqlx::migrate::Migrator::with_migrations(vec![first])
            .run(&pool)
            .await
            .unwrap();
        let id = "0198c3f0-0000-7000-8000-000000000001";
        let sha256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
        let state = format!(
            r#"{{"state":"waiting","work":{{"stage":"sending","target":{{"session":"{id}","content":{{"sha256":"{sha256}",
            "fingerprint":{{"size":4,"modified_ns":7}}}},"sent":true}},"fresh":false,"tries":1,"waits":1,"renewals":0}},
            "reason":"refused"}}"#
        );
        sqlx::query(
            "INSERT INTO uploads (id, server, path, file_name, state, ended, updated_at) \
             VALUES (?, 'a', x'2f61', 'a.png', ?, 0, 0)",
        )
        .bind(id)
        .bind(state)
        .execute(&pool)
        .await
        .unwrap();
        pool.close().await;

        let journal = open(folder.path(), "a").await;
        let entry = journal.entries().await.unwrap().remove(0);
        assert!(entry.keep_location, "it was summed with its location");
        let content = entry.state.content().unwrap();
        assert_eq!(
            (content.fingerprint.size, content.fingerprint.inode),
            (4, 0)
        );
        assert!(entry.state.is_active());
    }

    #[tokio::test]
    async fn sums_of_parts_are_remembered_until_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let journal = open(folder.path(), "a").await;
        let entry = entry("/a.png".into());
        journal.insert(std::slice::from_ref(&entry)).await.unwrap();
        let sums = [(2, Checksum::Crc64Nvme(u64::MAX)), (1, Checksum::Crc32c(7))];
        for (number, sum) in sums {
            journal.remember_part(entry.id, entry.id, number, sum);
        }
        // They are written no later than this is.
        journal.save(entry.id, &entry.state).await.unwrap();
        let parts = journal.parts(entry.id, entry.id).await.unwrap();
        assert_eq!(parts, BTreeMap::from(sums));
        let other = journal.parts(entry.id, UploadId::new()).await.unwrap();
        assert_eq!(other, BTreeMap::new());
        journal.save(entry.id, &State::Cancelled).await.unwrap();
        let parts = journal.parts(entry.id, entry.id).await.unwrap();
        assert_eq!(parts, BTreeMap::new());
    }

    #[tokio::test]
    async fn an_upload_has_one_living_owner() {
        let folder = tempfile::tempdir().unwrap();
        let first = open(folder.path(), "a").await;
        let second = open(folder.path(), "a").await;
        let third = open(folder.path(), "a").await;
        let entry = entry("/a.png".into());
        first.insert(std::slice::from_ref(&entry)).await.unwrap();

        assert_eq!(second.claim_unfinished().await.unwrap(), []);
        assert_eq!(second.claim(entry.id).await.unwrap(), None);
        drop(first);
        let (a, b) = tokio::join!(second.claim_unfinished(), third.claim(entry.id));
        assert_eq!(a.unwrap().len() + usize::from(b.unwrap().is_some()), 1);
    }

    #[tokio::test]
    async fn each_commit_is_synced() {
        let folder = tempfile::tempdir().unwrap();
        let journal = open(folder.path(), "a").await;
        let ask = async |pragma: &'static str| {
            let row = sqlx::query(pragma).fetch_one(&journal.pool).await.unwrap();
            row.try_get_unchecked::<String, _>(0).unwrap()
        };
        assert_eq!(ask("PRAGMA journal_mode").await, "wal");
        // 2 is FULL.
        assert_eq!(ask("PRAGMA synchronous").await, "2");
    }

    #[tokio::test]
    async fn only_what_has_ended_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let journal = open(folder.path(), "a").await;
        let (open, ended) = (entry("/a.png".into()), entry("/b.png".into()));
        journal
            .insert(&[open.clone(), ended.clone()])
            .await
            .unwrap();
        journal.save(ended.id, &State::Cancelled).await.unwrap();
        journal.forget_ended(Duration::from_secs(60)).await.unwrap();
        assert_eq!(journal.entries().await.unwrap().len(), 2);
        journal.forget_ended(Duration::ZERO).await.unwrap();
        assert_eq!(journal.entries().await.unwrap(), [open]);
    }
}
