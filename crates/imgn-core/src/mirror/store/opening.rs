//! Opening the mirror's database, and making it anew where it is no good.
//!
//! Invariant: what nobody else knows (queued deletions, and which originals are asked for) goes over into the one that is
//! made anew, as far as it can still be read.

use std::{path::Path, sync::atomic::AtomicI64, time::Duration};

use sqlx::{
    AssertSqlSafe, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};
use url::Url;

use super::{MirrorError, PASSING, Store};
use crate::sqlite::{is_damaged, open_patiently, pool, remove_database};

/// The version of `schema.sql`. A file of another one is made anew.
const VERSION: i64 = 3;

/// Of a file whose damage showed itself when it was used; no schema's version.
const MARK_DAMAGED: &str = "PRAGMA user_version = -1";

/// How long one program waits for another's transaction.
const BUSY_TIMEOUT: Duration = Duration::from_secs(20);

impl Store {
    /// Opens or makes the mirror in `file`. A damaged one, and one of another version, is made anew.
    pub(crate) async fn open(file: &Path, base: Url) -> Result<Self, MirrorError> {
        let opened = open_patiently(|| Self::open_as_it_is(file, base.clone())).await;
        match opened {
            Ok(Some(store)) => return Ok(store),
            Ok(None) => {
                tracing::warn!("the mirror is damaged or of another version, and is made anew");
            }
            Err(error) if is_damaged(&error) => {
                tracing::warn!(%error, "the mirror is damaged and is made anew");
            }
            Err(error) => return Err(error.into()),
        }
        let asked = Asked::read(file).await;
        remove_database(file).await.map_err(MirrorError::Open)?;
        let store = Self::open_as_it_is(file, base)
            .await?
            .ok_or(MirrorError::Invalid("version"))?;
        asked.write(&store.writer).await?;
        Ok(store)
    }

    async fn open_as_it_is(file: &Path, base: Url) -> Result<Option<Self>, sqlx::Error> {
        let options = SqliteConnectOptions::new()
            .filename(file)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // What a power cut takes back is asked for again; `durably` is for what nobody else knows.
            .synchronous(SqliteSynchronous::Normal)
            .busy_timeout(BUSY_TIMEOUT);
        let writer = pool(1)
            // What it says of others' changes is of one connection.
            .max_lifetime(None)
            .idle_timeout(None)
            .connect_with(options.clone().pragma("cache_size", "-16000"))
            .await?;
        match made(&writer).await {
            Ok(true) => {}
            // Closed before it is returned: a connection that ends later would take the files of the next one with it.
            unusable => {
                writer.close().await;
                return unusable.map(|_| None);
            }
        }
        let reader = pool(2)
            // So that a search leaves one for what is in sight.
            .connect_with(options)
            .await?;
        Ok(Some(Self {
            writer,
            reader,
            base,
            others: AtomicI64::default(),
        }))
    }

    /// A mirror whose damage shows itself only when it is used is made anew at the next start.
    pub(crate) async fn note_damage(&self, error: &MirrorError) {
        let is_damage = match error {
            MirrorError::Sql(error) => is_damaged(error),
            MirrorError::Invalid(_) => true,
            MirrorError::Open(_) => false,
        };
        if !is_damage {
            return;
        }
        tracing::warn!("{error}; it is made anew at the next start");
        if let Err(error) = sqlx::raw_sql(MARK_DAMAGED).execute(&self.writer).await {
            tracing::debug!("{error}");
        }
    }
}

/// Makes the tables of a new file. Answers whether the file is of this version.
async fn made(writer: &SqlitePool) -> Result<bool, sqlx::Error> {
    let mut transaction = writer.begin_with(PASSING).await?;
    let version: i64 = sqlx::query_scalar("PRAGMA user_version")
        .fetch_one(&mut *transaction)
        .await?;
    if version == 0 {
        sqlx::raw_sql(include_str!("../schema.sql"))
            .execute(&mut *transaction)
            .await?;
        sqlx::raw_sql(AssertSqlSafe(format!("PRAGMA user_version = {VERSION}")))
            .execute(&mut *transaction)
            .await?;
    }
    transaction.commit().await?;
    Ok(version == 0 || version == VERSION)
}

/// What a mirror holds that cannot be had again.
#[derive(Default)]
struct Asked {
    deletions: Vec<Vec<u8>>,
    /// Id, whether it is asked for by itself, whether it is here, and its size: as in the schema.
    originals: Vec<(Vec<u8>, bool, bool, i64)>,
    keep_all: bool,
}

impl Asked {
    /// As far as it can be read.
    async fn read(file: &Path) -> Self {
        let options = SqliteConnectOptions::new()
            .filename(file)
            .busy_timeout(BUSY_TIMEOUT);
        let Ok(old) = pool(1).connect_with(options).await else {
            tracing::warn!("queued deletions, and which originals to keep, cannot be read");
            return Self::default();
        };
        let deletions = sqlx::query_scalar("SELECT id FROM deletions")
            .fetch_all(&old)
            .await;
        let originals = sqlx::query_as("SELECT id, asked, here, size FROM originals")
            .fetch_all(&old)
            .await;
        let keep_all = sqlx::query_scalar("SELECT keep_all FROM state")
            .fetch_one(&old)
            .await;
        old.close().await;
        Self {
            deletions: or_none(deletions, "queued deletions"),
            originals: or_none(originals, "which originals to keep"),
            keep_all: or_none(keep_all, "whether to keep all originals"),
        }
    }

    async fn write(&self, writer: &SqlitePool) -> Result<(), MirrorError> {
        let mut transaction = writer.begin_with(super::DURABLY).await?;
        for id in &self.deletions {
            sqlx::query("INSERT OR IGNORE INTO deletions (id) VALUES (?)")
                .bind(id)
                .execute(&mut *transaction)
                .await?;
        }
        for (id, asked, here, size) in &self.originals {
            sqlx::query(
                "INSERT OR IGNORE INTO originals (id, asked, here, size) VALUES (?, ?, ?, ?)",
            )
            .bind(id)
            .bind(asked)
            .bind(here)
            .bind(size)
            .execute(&mut *transaction)
            .await?;
        }
        sqlx::query("UPDATE state SET keep_all = ?")
            .bind(self.keep_all)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(())
    }
}

fn or_none<T: Default>(read: Result<T, sqlx::Error>, what: &str) -> T {
    read.unwrap_or_else(|error| {
        tracing::warn!("lost with the old mirror: {what} ({error})");
        T::default()
    })
}
