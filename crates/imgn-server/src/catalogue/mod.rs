//! The catalogue: who may write, what is being uploaded, what is published, in which order that happened, and which
//! keys are to be deleted. It is SQLite or PostgreSQL, and no S3: it never touches the bytes of a picture.
//!
//! Invariant: each change is one transaction that takes an upload or a picture from one whole state to the next. All
//! of them that read before they write go one after the other: with SQLite all who write take turns, with PostgreSQL by
//! one lock; reads have connections of their own and see the last commit.

mod backup;
mod checkpoint;
#[cfg(test)]
mod conformance;
mod database;
mod garbage;
mod images;
mod members;
mod multipart;
mod news;
mod orphans;
mod reach;
mod remembered;
mod staged;
mod together;
mod tokens;
mod turns;
mod unfinished;
mod uploads;
mod usage;

use std::{path::Path, str::FromStr as _, sync::Arc, time::Duration};

use imgn_protocol::{ImageId, Sha256, Timestamp};
use sqlx::{
    PgPool,
    migrate::MigrateError,
    postgres::PgPoolOptions,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};

use tokio::sync::watch;
use uuid::Uuid;

use crate::{
    config::{Database, DatabaseUrl},
    metrics,
};
use checkpoint::{Checkpoint, Commits};
use database::{Pool, Transaction, Turns, either, sql, sqlite_pool};
use reach::Reached;
use remembered::Remembered;
use together::Together;

pub(crate) use backup::OwnerRow;
pub(crate) use garbage::Garbage;
pub(crate) use images::{
    ChangeRow, Deletion, Feed, ImageRow, PageQuery, Picture, Search, Timeline,
};
pub(crate) use multipart::Plan;
pub(crate) use staged::{MostUnderWay, Opened, Room, Staged};
pub(crate) use tokens::{ANONYMOUS, Presented};
pub use tokens::{TokenError, TokenRow};
pub(crate) use turns::WhoseTurn;
pub(crate) use uploads::{Abort, Expiry, Outcome, Published, Upload, UploadState};
pub(crate) use usage::{Over, Sender, until_tomorrow};

/// How long a writer waits for another process (the `token` commands) to end its transaction.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a statement of PostgreSQL's waits for what another one holds.
const LOCK_TIMEOUT: &str = "10s";

/// How long a statement of PostgreSQL's may take: [`LOCK_TIMEOUT`], and twice that to do its work. On a gallery of ten million
/// pictures the slowest that a request asks for takes seconds; what is about a whole gallery has no such bound.
const STATEMENT_TIMEOUT: &str = "30s";

/// How long a server may hold what others wait for and say nothing, as one does whose network is gone.
const IDLE_TIMEOUT: &str = "5s";

/// What is logged where the catalogue is older, or not there yet.
const UPDATING: &str =
    "bringing the catalogue to this server's version, which may take long for a large one";

/// The lock of the server that does so: "imgv" in ASCII.
const UPDATE_LOCK: i64 = 0x696d_6776;

/// Begins what is under way, see [`database::passing`].
const BEGIN_PASSING: &str = "PRAGMA synchronous = NORMAL; BEGIN IMMEDIATE";

/// Connections for reading. SQLite reads from the page cache: more than the cores serve nobody.
const READERS: u32 = 4;

/// The catalogue. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Catalogue {
    writer: Pool,
    reader: Pool,
    /// What was read a moment ago, of SQLite with a write-ahead log.
    remembered: Remembered,
    /// Of SQLite with a write-ahead log.
    checkpoint: Option<Checkpoint>,
    /// Of SQLite with a write-ahead log.
    together: Option<Together>,
    /// This process among those that share the catalogue.
    server: Uuid,
    /// Told whenever something was added to the feed, see [`news`].
    changed: watch::Sender<()>,
}

/// A catalogue that could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    /// The database cannot be opened.
    #[error("cannot open the catalogue {database}")]
    Open {
        /// Which.
        database: String,
        /// Why.
        #[source]
        source: sqlx::Error,
    },
    /// Nobody is let in, and why is known.
    #[error("{what}; {advice}")]
    Refused {
        /// Where, and why.
        what: String,
        /// What to do.
        advice: &'static str,
        /// Whether it may do so in a while.
        is_away: bool,
    },
    /// A newer server has written it; there is no way back.
    #[error(
        "the catalogue {database} was written by a newer imgn-server (migration {migration}); use that one, or a backup"
    )]
    Newer {
        /// Which.
        database: String,
        /// What that one did to it.
        migration: i64,
    },
    /// The database is damaged, or does not let itself be changed.
    #[error("cannot bring the catalogue {database} to this server's version")]
    Migrate {
        /// Which.
        database: String,
        /// Why.
        #[source]
        source: MigrateError,
    },
    /// No space on the disk.
    #[error("no space is left for the catalogue")]
    Full,
    /// Another process or too many requests hold it.
    #[error("the catalogue is busy")]
    Busy,
    /// A value is not what this server writes.
    #[error("the catalogue holds an invalid {what}")]
    Invalid {
        /// Which value.
        what: &'static str,
    },
    /// The database does not answer, or has just ended; it may come again.
    #[error("the catalogue's database does not answer")]
    Unreachable(#[source] Arc<sqlx::Error>),
    /// Anything else that SQLite says of what was written together, to one of those who asked.
    #[error("the catalogue failed")]
    Together(#[source] Arc<rusqlite::Error>),
    /// Anything else that the database says.
    #[error("the catalogue failed")]
    Database(#[source] sqlx::Error),
}

impl From<sqlx::Error> for CatalogueError {
    fn from(error: sqlx::Error) -> Self {
        let error = Self::of(error);
        metrics::catalogue_failed(&error);
        error
    }
}

impl CatalogueError {
    fn migrate(database: String, source: MigrateError) -> Self {
        match source {
            MigrateError::VersionMissing(migration) => Self::Newer {
                database,
                migration,
            },
            source => Self::Migrate { database, source },
        }
    }

    /// Why the database does not answer, where it does not.
    pub(crate) fn why_away(&self) -> Option<String> {
        match self {
            Self::Unreachable(error) => Some(reach::why(error)),
            Self::Refused { what, is_away, .. } => is_away.then(|| what.clone()),
            // A pool that has no connection for the update, which is alone in it, was refused one.
            Self::Migrate {
                source: MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _),
                ..
            } if is_unreachable(error) || matches!(error, sqlx::Error::PoolTimedOut) => {
                Some(reach::why(error))
            }
            _ => None,
        }
    }

    fn of(error: sqlx::Error) -> Self {
        if matches!(error, sqlx::Error::PoolTimedOut) {
            return Self::Busy;
        }
        if is_unreachable(&error) {
            return Self::Unreachable(Arc::new(error));
        }
        let state = error
            .as_database_error()
            .and_then(sqlx::error::DatabaseError::code);
        // PostgreSQL's have five characters: https://www.postgresql.org/docs/current/errcodes-appendix.html
        if let Some(state) = state.as_deref().filter(|state| state.len() == 5) {
            return match state {
                // Serialization, deadlock, a lock that did not come free, a statement that took too long.
                "40001" | "40P01" | "55P03" | "57014" => Self::Busy,
                "53100" => Self::Full,
                _ => Self::Database(error),
            };
        }
        drop(state);
        // SQLite's result codes; the low byte is the primary one: https://sqlite.org/rescode.html
        let code = error
            .as_database_error()
            .and_then(|error| error.code()?.parse::<u32>().ok())
            .map(|code| code & 0xff);
        match code {
            Some(5 | 6) => Self::Busy,
            Some(13) => Self::Full,
            _ => Self::Database(error),
        }
    }
}

/// Whether the connection failed and not the statement. Of PostgreSQL's states: class 08, the ends of its operator and of
/// a crash, and too many connections.
fn is_unreachable(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::PoolClosed => true,
        sqlx::Error::Database(error) => error.code().is_some_and(|state| {
            state.len() == 5
                && (state.starts_with("08")
                    || state.starts_with("57P0")
                    || state == "53300"
                    || state == "25P03")
        }),
        _ => false,
    }
}

/// That a catalogue's own directory cannot be written, where that is so: SQLite says only that the file cannot be opened.
#[cfg(unix)]
fn read_only(file: &Path) -> Option<CatalogueError> {
    use std::io;

    use rustix::fs::{Access, access};

    let directory = match file.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let error: io::Error = access(directory, Access::WRITE_OK).err()?.into();
    (error.kind() != io::ErrorKind::NotFound).then(|| CatalogueError::Refused {
        what: format!(
            "the catalogue {} cannot be opened, for SQLite has to write beside it and {} cannot be written ({error})",
            file.display(),
            directory.display()
        ),
        advice: "mount its disk for writing, or make the directory the user's that imgn-server runs as",
        is_away: false,
    })
}

#[cfg(not(unix))]
fn read_only(_: &Path) -> Option<CatalogueError> {
    None
}

/// Waits until no other server updates the catalogue. The turn ends with the connection, the only one of this pool.
async fn wait_to_update(migrating: &PgPool) -> Result<(), sqlx::Error> {
    let is_mine: bool = sqlx::query_scalar("SELECT pg_try_advisory_lock($1)")
        .bind(UPDATE_LOCK)
        .fetch_one(migrating)
        .await?;
    if !is_mine {
        tracing::info!("another server brings the catalogue to its version, which is waited for");
        sqlx::query("SELECT pg_advisory_lock($1)")
            .bind(UPDATE_LOCK)
            .execute(migrating)
            .await?;
    }
    Ok(())
}

async fn look_into(
    pool: &Pool,
    versions: usize,
    database: &Database,
) -> Result<Look, CatalogueError> {
    let tables: i64 = either(
        "SELECT count(*) FROM sqlite_schema WHERE name = '_sqlx_migrations'",
        "SELECT count(*) FROM pg_class WHERE oid = to_regclass('_sqlx_migrations')",
    )
    .scalar(pool)
    .await?;
    if tables == 0 {
        return Ok(Look::Missing);
    }
    let there: i64 = sql("SELECT count(*) FROM _sqlx_migrations")
        .scalar(pool)
        .await?;
    let there = usize::try_from(there).unwrap_or_default();
    if there < versions {
        return Ok(Look::Older);
    }
    if there > versions {
        let newest = sql("SELECT max(version) FROM _sqlx_migrations");
        return Err(CatalogueError::Newer {
            database: database.to_string(),
            migration: newest.scalar(pool).await?,
        });
    }
    let pictures: i64 = sql("SELECT images FROM feed").scalar(pool).await?;
    let newest: Option<(String, Vec<u8>)> =
        sql("SELECT id, sha256 FROM images ORDER BY sequence DESC LIMIT 1")
            .fetch_optional(pool)
            .await?;
    let newest = newest.map(|(id, sum)| -> Result<_, CatalogueError> {
        Ok((parse(&id, "image id")?, sha256(&sum)?))
    });
    Ok(Look::There {
        pictures: u64::try_from(pictures).unwrap_or_default(),
        newest: newest.transpose()?,
    })
}

/// A catalogue as it is, looked at and not changed.
#[derive(Debug)]
pub(crate) enum Look {
    /// There is none yet.
    Missing,
    /// It is of an earlier version, which a server brings to this one when it starts.
    Older,
    /// It is of this version, and has so many pictures, of which this is the newest.
    There {
        pictures: u64,
        newest: Option<(ImageId, Sha256)>,
    },
}

impl Catalogue {
    /// Looks at the catalogue, also while servers of an earlier version are at work on it.
    pub(crate) async fn look(database: &Database) -> Result<Look, CatalogueError> {
        let failed = |source| CatalogueError::Open {
            database: database.to_string(),
            source,
        };
        let (pool, versions) = match database {
            Database::Postgres { url, .. } => {
                let options = reach::options(url).map_err(failed)?;
                let reached = Reached::open(options.clone(), 1).await;
                let reached = reached.map_err(|error| reach::refused(database, &options, error))?;
                let versions = sqlx::migrate!("./migrations/postgres").iter().count();
                (Pool::Postgres(reached), versions)
            }
            Database::File(_) | Database::Url(_) => {
                let options = match database {
                    Database::File(path) => SqliteConnectOptions::new().filename(path),
                    _ => SqliteConnectOptions::from_str(&database.to_string()).map_err(failed)?,
                };
                let file = options.get_filename().to_owned();
                if !file.exists() {
                    return Ok(Look::Missing);
                }
                let options = options.create_if_missing(false).busy_timeout(BUSY_TIMEOUT);
                let pool = sqlite_pool(1);
                let pool = pool.connect_with(options).await;
                let pool =
                    pool.map_err(|error| read_only(&file).unwrap_or_else(|| failed(error)))?;
                let pool = Pool::Sqlite(pool);
                let versions = sqlx::migrate!("./migrations").iter().count();
                let look = look_into(&pool, versions, database).await;
                pool.close().await;
                return look.map_err(|error| read_only(&file).unwrap_or(error));
            }
        };
        let look = look_into(&pool, versions, database).await;
        pool.close().await;
        look
    }

    /// Whether somebody is let into a database that other programs run; one of this process's own is there.
    pub(crate) async fn ask(database: &Database) -> Result<(), CatalogueError> {
        let Database::Postgres { url, .. } = database else {
            return Ok(());
        };
        let options = reach::options(url).map_err(|source| CatalogueError::Open {
            database: database.to_string(),
            source,
        })?;
        let asked = reach::ask(&options).await;
        asked.map_err(|error| reach::refused(database, &options, error))
    }

    /// Opens the catalogue, which is made and brought to this version where needed.
    pub async fn open(database: &Database) -> Result<Self, CatalogueError> {
        Self::open_on(database, false).await
    }

    /// The same on a file system that several computers may share. A write-ahead log keeps its index in memory, which
    /// they do not share; so there is a rollback journal in its place, and readers and the writer wait for each other.
    pub async fn open_on(database: &Database, is_shared: bool) -> Result<Self, CatalogueError> {
        let journal = match is_shared {
            true => SqliteJournalMode::Delete,
            false => SqliteJournalMode::Wal,
        };
        let failed = |source| CatalogueError::Open {
            database: database.to_string(),
            source,
        };
        let options = match database {
            Database::File(path) => SqliteConnectOptions::new().filename(path),
            Database::Url(url) => SqliteConnectOptions::from_str(url).map_err(failed)?,
            Database::Postgres { url, connections } => {
                return Self::open_postgres(url, *connections, failed, database).await;
            }
        };
        let options = options
            .create_if_missing(true)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT)
            .journal_mode(journal)
            // `begin` and `begin_passing` say for each transaction; what is outside of them passes.
            .synchronous(SqliteSynchronous::Full);
        let commits = Commits::default();
        let listening = commits.clone();
        let writer = sqlite_pool(1)
            .after_connect(move |connection, _| {
                let commits = listening.clone();
                Box::pin(async move { commits.listen(connection).await })
            })
            .connect_with(Commits::of(options.clone()))
            .await
            .map_err(|error| read_only(options.get_filename()).unwrap_or_else(|| failed(error)))?;
        let migrator = sqlx::migrate!("./migrations");
        let opened = Pool::Sqlite(writer.clone());
        let looked = look_into(&opened, migrator.iter().count(), database).await?;
        if matches!(looked, Look::Older) {
            tracing::info!("{UPDATING}");
        }
        migrator
            .run(&writer)
            .await
            .map_err(|source| CatalogueError::migrate(database.to_string(), source))?;
        let reader = sqlite_pool(READERS)
            .connect_with(options.clone().read_only(true))
            .await
            .map_err(failed)?;
        let remembered = match is_shared {
            true => Remembered::default(),
            false => Remembered::open(options.get_filename()),
        };
        let turns = Turns::default();
        let together = match is_shared {
            true => None,
            false => Together::start(options.get_filename(), turns.clone(), commits.clone()),
        };
        Ok(Self {
            remembered,
            together,
            checkpoint: (!is_shared).then(|| Checkpoint::start(options, turns.clone(), commits)),
            writer: Pool::SqliteWriter(writer, turns),
            reader: Pool::Sqlite(reader),
            server: Uuid::new_v4(),
            changed: watch::Sender::new(()),
        })
    }

    async fn open_postgres(
        url: &DatabaseUrl,
        connections: u32,
        failed: impl Fn(sqlx::Error) -> CatalogueError,
        database: &Database,
    ) -> Result<Self, CatalogueError> {
        let options = reach::options(url).map_err(&failed)?;
        let reached = Reached::open(options.clone(), connections).await;
        let reached = reached.map_err(|error| reach::refused(database, &options, error))?;
        // On a connection of their own, for they may take as long as they need. It is in a pool, since what borrows one alone
        // cannot be shown to be `Send` where the app waits for all this.
        let migrating = PgPoolOptions::new().max_connections(1);
        let migrating = migrating.connect_with(reach::options_to_update(&options));
        let migrating = migrating.await;
        let migrating = migrating.map_err(|error| reach::refused(database, &options, error))?;
        let failed = |source| CatalogueError::migrate(database.to_string(), source);
        let migrator = sqlx::migrate!("./migrations/postgres");
        let pool = Pool::Postgres(reached);
        let is_to_update = async || {
            let looked = look_into(&pool, migrator.iter().count(), database).await?;
            Ok::<_, CatalogueError>(matches!(looked, Look::Missing | Look::Older))
        };
        if is_to_update().await? {
            let turn = wait_to_update(&migrating).await;
            turn.map_err(|error| failed(MigrateError::Execute(error)))?;
            if is_to_update().await? {
                tracing::info!("{UPDATING}");
            }
        }
        migrator.run(&migrating).await.map_err(failed)?;
        migrating.close().await;
        Ok(Self {
            remembered: Remembered::default(),
            checkpoint: None,
            together: None,
            writer: pool.clone(),
            reader: pool,
            server: Uuid::new_v4(),
            changed: watch::Sender::new(()),
        })
    }

    /// Whether other servers may be at work on it.
    pub(crate) fn has_others(&self) -> bool {
        self.reader.is_postgres()
    }

    /// Whether it answers.
    pub(crate) async fn check(&self) -> Result<(), CatalogueError> {
        sql("SELECT count(*) FROM tokens")
            .execute(&self.reader)
            .await?;
        Ok(())
    }

    /// Ends all connections, after which the database is one file again.
    pub async fn close(&self) {
        if let Some(together) = &self.together {
            together.close().await;
        }
        if let Some(checkpoint) = &self.checkpoint {
            checkpoint.close().await;
        }
        self.remembered.close();
        self.reader.close().await;
        self.writer.close().await;
    }

    /// A transaction that may write, and whose commit is on the disk when it ends: what is told as final. It has the
    /// write lock from its first moment, so nothing it read can have changed when it commits.
    async fn begin(&self) -> Result<Transaction, CatalogueError> {
        self.writer
            .begin("PRAGMA synchronous = FULL; BEGIN IMMEDIATE")
            .await
    }

    /// The same for what is under way, see [`database::passing`].
    async fn begin_passing(&self) -> Result<Transaction, CatalogueError> {
        self.writer.begin(BEGIN_PASSING).await
    }

    /// The same for statements that are each right whatever others commit meanwhile.
    async fn begin_passing_beside_others(&self) -> Result<Transaction, CatalogueError> {
        self.writer.begin_beside_others(BEGIN_PASSING).await
    }
}

/// This moment as the catalogue keeps times.
fn now() -> i64 {
    Timestamp::now().as_millisecond()
}

fn timestamp(milliseconds: i64) -> Result<Timestamp, CatalogueError> {
    Timestamp::from_millisecond(milliseconds).map_err(|_| CatalogueError::Invalid { what: "time" })
}

fn sha256(bytes: &[u8]) -> Result<Sha256, CatalogueError> {
    let bytes: [u8; 32] = bytes
        .try_into()
        .map_err(|_| CatalogueError::Invalid { what: "SHA-256" })?;
    Ok(bytes.into())
}

/// SQLite's integers have a sign; sizes here are far below where it would matter.
fn to_column(size: u64) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

fn from_column<T: TryFrom<i64>>(value: i64, what: &'static str) -> Result<T, CatalogueError> {
    T::try_from(value).map_err(|_| CatalogueError::Invalid { what })
}

fn parse<T: std::str::FromStr>(text: &str, what: &'static str) -> Result<T, CatalogueError> {
    text.parse().map_err(|_| CatalogueError::Invalid { what })
}
