//! Every upload's state on disk (SQLite), so that it outlives the program.
//!
//! Several programs share one journal: each upload has at most one living owner, see the module `owner`. Every commit
//! survives the end of the program and a power cut, but for sums of parts, which would only be made again. States of
//! uploads that go on at the same time are committed together, see the module `writer`.

mod writer;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use futures_util::{StreamExt as _, TryStreamExt as _};
use imgn_protocol::{Checksum, FileName, UploadId};
use sqlx::{
    Row as _, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteRow, SqliteSynchronous},
};

use crate::{
    Batch,
    batch::Origin,
    machine::State,
    owner::{Ends, Owner, alone, is_alive},
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
    /// The act that took it in, where it is known: earlier versions did not write it down.
    pub batch: Option<Batch>,
    /// Its place in the queue: lower ones go first, equal ones by id.
    pub position: i64,
    /// Where it stands.
    pub state: State,
}

/// The journal cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// It cannot be opened.
    #[error("cannot open the journal of uploads {}; is the disk full, or the folder somebody else's?", path.display())]
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
    #[error("the journal of uploads cannot be read or written: {}", crate::sqlite::reason(.0))]
    Sql(#[from] sqlx::Error),
    /// A wish came when nobody could write it down any more.
    #[error(
        "what was asked for was not written down: the journal of uploads failed, or imgn is ending; ask again"
    )]
    Unheard,
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
        let opening = alone(owners).await.map_err(|source| JournalError::Owners {
            path: owners.to_owned(),
            source,
        })?;
        let options = SqliteConnectOptions::new()
            .filename(file)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // `DURABLY` and `PASSING` say for each transaction; what is outside of them is of no consequence.
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(Duration::from_secs(10));
        // One connection: a program's writes take turns here, and wait in SQLite only for the other program's.
        let pool = crate::sqlite::pool(1)
            // Thousands may want to write at once, and a disk may take its time for each.
            .acquire_timeout(Duration::from_secs(300))
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
        drop(opening);
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
        let mut transaction = self.pool.begin_with(writer::DURABLY).await?;
        for entry in entries {
            sqlx::query(
                "INSERT INTO uploads (id, server, path, file_name, content_type, state, ended, owner, updated_at, \
                 position, size, keep_location, batch, origin) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
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
            .bind(entry.batch.map(|batch| batch.id.to_string()))
            .bind(entry.batch.map(|batch| batch.origin.as_str()))
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

    /// Writes down where many uploads stand, all or none. Answers once it is on the disk.
    pub(crate) async fn save_all(&self, states: &[(UploadId, State)]) -> Result<(), JournalError> {
        let mut rows = Vec::with_capacity(states.len());
        for (id, state) in states {
            rows.push(writer::Row {
                id: id.to_string(),
                state: to_json(*id, state)?,
                ended: state.has_ended(),
            });
        }
        Ok(writer::commit(&self.pool, writer::DURABLY, &rows, &[]).await?)
    }

    /// Remembers the sum of a part, and whether the store has it. Written with what is written next, or soon: without it
    /// the part is summed again. What the store has is only shown by it, and never believed.
    pub(crate) fn remember_part(
        &self,
        upload: UploadId,
        session: UploadId,
        number: u32,
        checksum: Checksum,
        is_stored: bool,
    ) {
        self.writer.remember(writer::PartRow {
            upload: upload.to_string(),
            session: session.to_string(),
            number,
            checksum: checksum.to_string(),
            is_stored,
        });
    }

    /// How many parts the store had of what each session was opened for, as far as that was remembered.
    pub(crate) async fn stored_parts(&self) -> Result<BTreeMap<UploadId, u64>, JournalError> {
        let rows: Vec<(String, i64)> =
            sqlx::query_as("SELECT session, count(*) FROM parts WHERE stored GROUP BY session")
                .fetch_all(&self.pool)
                .await?;
        let counts = rows
            .into_iter()
            .filter_map(|(session, count)| Some((session.parse().ok()?, count.try_into().ok()?)));
        Ok(counts.collect())
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

    /// Writes down that an act has taken these in anew.
    pub(crate) async fn put_in(&self, ids: &[UploadId], batch: Batch) -> Result<(), JournalError> {
        let mut transaction = self.pool.begin_with(writer::PASSING).await?;
        for id in ids {
            sqlx::query("UPDATE uploads SET batch = ?, origin = ? WHERE id = ?")
                .bind(batch.id.to_string())
                .bind(batch.origin.as_str())
                .bind(id.to_string())
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    /// Writes down places in the queue, all or none.
    pub(crate) async fn place(&self, positions: &[(UploadId, i64)]) -> Result<(), JournalError> {
        let mut transaction = self.pool.begin_with(writer::DURABLY).await?;
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
        let rows = sqlx::query("SELECT * FROM uploads WHERE server = ? ORDER BY position, id")
            .bind(&self.server)
            .fetch(&self.pool);
        // Row by row: thousands of them together take far more memory than what they say.
        let entries = rows.map(|row| Ok(readable(from_row(&row?))));
        entries
            .try_filter_map(async |entry| Ok(entry))
            .try_collect()
            .await
    }

    /// Makes this program the owner of those of these uploads that no other living one owns. Answers them as they stand
    /// now.
    pub(crate) async fn claim(&self, ids: &[UploadId]) -> Result<Vec<Entry>, JournalError> {
        // It has the write lock from its first moment: of two programs that find an owner dead, one wins.
        let mut transaction = self.pool.begin_with(writer::PASSING).await?;
        let mut living: BTreeMap<Option<String>, bool> = BTreeMap::new();
        let mut claimed = Vec::new();
        for id in ids {
            let owner: Option<Option<String>> =
                sqlx::query_scalar("SELECT owner FROM uploads WHERE id = ? AND server = ?")
                    .bind(id.to_string())
                    .bind(&self.server)
                    .fetch_optional(&mut *transaction)
                    .await?;
            let Some(owner) = owner else {
                continue;
            };
            let is_of_another = match living.get(&owner) {
                Some(is_of_another) => *is_of_another,
                None => {
                    let is_of_another = self.is_of_another(owner.as_deref())?;
                    living.insert(owner, is_of_another);
                    is_of_another
                }
            };
            if is_of_another {
                continue;
            }
            let row = sqlx::query("UPDATE uploads SET owner = ? WHERE id = ? RETURNING *")
                .bind(self.owner.id())
                .bind(id.to_string())
                .fetch_one(&mut *transaction)
                .await?;
            claimed.extend(readable(from_row(&row)));
        }
        transaction.commit().await?;
        Ok(claimed)
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
            let mut rows = sqlx::query(
                "UPDATE uploads SET owner = ? WHERE server = ? AND ended = 0 AND owner IS ? RETURNING *",
            )
            .bind(self.owner.id())
            .bind(&self.server)
            .bind(&owner)
            .fetch(&self.pool);
            while let Some(row) = rows.next().await {
                claimed.extend(readable(from_row(&row?)));
            }
        }
        Ok(claimed)
    }

    /// Tells when programs end that may have owned uploads.
    pub(crate) fn ends(&self) -> Ends {
        Ends::watch(&self.owners)
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

    /// Forgets uploads that have ended and were last written at `before` at the latest, except for some: all, or `only` one;
    /// returns their files.
    pub(crate) async fn forget_ended(
        &self,
        before: SystemTime,
        except: &BTreeSet<UploadId>,
        only: Option<UploadId>,
    ) -> Result<Vec<PathBuf>, JournalError> {
        let forgotten: Vec<Vec<u8>> = sqlx::query_scalar(
            "DELETE FROM uploads WHERE server = ? AND ended = 1 AND updated_at <= ? \
             AND id NOT IN (SELECT value FROM json_each(?)) AND id = coalesce(?, id) RETURNING path",
        )
        .bind(&self.server)
        .bind(milliseconds(before))
        .bind(serde_json::json!(except).to_string())
        .bind(only.map(|id| id.to_string()))
        .fetch_all(&self.pool)
        .await?;
        Ok(forgotten.into_iter().map(path_from_bytes).collect())
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

/// An entry that can be read. One that cannot must not keep the others from going on.
fn readable(entry: Result<Entry, JournalError>) -> Option<Entry> {
    entry
        .inspect_err(|error| {
            let error: &dyn std::error::Error = error;
            tracing::error!(error, "an upload in the journal is left out");
        })
        .ok()
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
        batch: batch(row.try_get("batch")?, row.try_get("origin")?),
        position: row.try_get("position")?,
        state: serde_json::from_str(&state).map_err(|source| not_understood(source.into()))?,
    })
}

fn batch(id: Option<String>, origin: Option<String>) -> Option<Batch> {
    Some(Batch {
        id: id?.parse().ok()?,
        origin: Origin::of(&origin?),
    })
}

fn now_ms() -> i64 {
    milliseconds(SystemTime::now())
}

fn milliseconds(time: SystemTime) -> i64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    i64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(i64::MAX)
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
mod tests;
