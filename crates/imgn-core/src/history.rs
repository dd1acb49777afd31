//! What was uploaded from here, for as long as nobody says that it is to be forgotten: in a database of its own, since the
//! journal forgets what has ended.
//!
//! It knows no server and shows nothing. Invariants: a picture is in it once a gallery, as its last upload was; a history
//! that cannot be written costs the history, and no upload.

use std::{path::PathBuf, sync::Arc};

use imgn_protocol::{Image, ImageId, Timestamp, UploadId};
use imgn_upload::{Snapshot, State};
use sqlx::{
    Row as _, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteRow, SqliteSynchronous},
};
use tokio::sync::OnceCell;

use crate::{
    ClientCode, CommandError,
    mirror::words,
    sqlite::{is_damaged, json_texts, open_patiently, pool, reason, remove_database},
};

/// How it is laid out. Another version is thrown away: the journal has the last days again.
const VERSION: i64 = 1;

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS uploads (
        gallery TEXT NOT NULL,  -- its address, or the name of the one on this computer
        image   TEXT NOT NULL,
        upload  TEXT NOT NULL,  -- version 7 UUIDs: they sort by time
        words   TEXT NOT NULL,  -- with a blank before each
        told    TEXT NOT NULL,  -- the picture, as in the API
        path    TEXT NOT NULL,  -- where the file was, for people
        hidden  INTEGER NOT NULL DEFAULT 0,  -- forgotten: only that it was is left, lest the journal bring it back
        PRIMARY KEY (gallery, image)
    ) STRICT;
    CREATE INDEX IF NOT EXISTS by_time ON uploads (upload);
    PRAGMA user_version = 1;";

/// What was uploaded from here. Cheap to clone; opened when it is first needed.
#[derive(Clone)]
pub(crate) struct History(Arc<Inner>);

struct Inner {
    file: PathBuf,
    pool: OnceCell<SqlitePool>,
}

/// A picture that got into a gallery from here.
pub(crate) struct Uploaded {
    pub(crate) upload: UploadId,
    pub(crate) image: Box<Image>,
    pub(crate) path: PathBuf,
}

/// The same, as it is remembered.
pub(crate) struct Remembered {
    pub(crate) gallery: String,
    pub(crate) upload: UploadId,
    pub(crate) image: Image,
    pub(crate) path: String,
}

impl Remembered {
    /// When the file was taken in.
    pub(crate) fn taken_in_at(&self) -> Timestamp {
        let time = self.upload.as_uuid().get_timestamp().map(|it| it.to_unix());
        let moment = time.and_then(|(seconds, nanoseconds)| {
            Timestamp::new(
                i64::try_from(seconds).ok()?,
                i32::try_from(nanoseconds).ok()?,
            )
            .ok()
        });
        // The client makes these ids, and all of them hold a time.
        moment.unwrap_or(self.image.created_at)
    }
}

impl Uploaded {
    /// None where the picture is not in the gallery.
    pub(crate) fn of(snapshot: &Snapshot) -> Option<Self> {
        let entry = &snapshot.entry;
        match &entry.state {
            State::Published { image, .. } | State::Duplicate { image, .. } => Some(Self {
                upload: entry.id,
                image: image.clone(),
                path: entry.path.clone(),
            }),
            _ => None,
        }
    }
}

impl History {
    pub(crate) fn new(file: PathBuf) -> Self {
        let pool = OnceCell::new();
        Self(Arc::new(Inner { file, pool }))
    }

    /// Writes down what of these is in the gallery; what is known already stays as it is.
    pub(crate) async fn remember(&self, gallery: &str, snapshots: &[Snapshot]) {
        self.add(gallery, snapshots.iter().filter_map(Uploaded::of).collect())
            .await;
    }

    /// Writes them down.
    pub(crate) async fn add(&self, gallery: &str, uploaded: Vec<Uploaded>) {
        if uploaded.is_empty() {
            return;
        }
        if let Err(error) = self.try_add(gallery, &uploaded).await {
            tracing::warn!("the history is not written: {error}");
        }
    }

    async fn try_add(&self, gallery: &str, uploaded: &[Uploaded]) -> Result<(), sqlx::Error> {
        let pool = self.pool().await?;
        let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await?;
        for Uploaded {
            upload,
            image,
            path,
        } in uploaded
        {
            let path = path.display().to_string();
            let told =
                serde_json::to_string(image).map_err(|error| sqlx::Error::Encode(error.into()))?;
            sqlx::query(
                "INSERT INTO uploads (gallery, image, upload, words, told, path) VALUES (?, ?, ?, ?, ?, ?)
                 ON CONFLICT DO UPDATE SET upload = excluded.upload, words = excluded.words, told = excluded.told,
                 path = excluded.path, hidden = 0 WHERE excluded.upload > uploads.upload",
            )
            .bind(gallery)
            .bind(image.id.to_string())
            .bind(upload.to_string())
            .bind(format!(" {} {}", words::OfImages::default().of(image), words::of_text(&path)))
            .bind(told)
            .bind(path)
            .execute(&mut *transaction)
            .await?;
        }
        transaction.commit().await
    }

    /// At most `limit` that have all words of `search`, the newest first, or those that came before an upload.
    pub(crate) async fn page(
        &self,
        search: &str,
        before: Option<UploadId>,
        limit: u32,
    ) -> Result<Vec<Remembered>, CommandError> {
        // Its words are letters and digits, so none of them is a pattern.
        let patterns: Vec<String> = words::of_text(search)
            .split_ascii_whitespace()
            .map(|word| format!("% {word}%"))
            .collect();
        let condition = " AND words LIKE ?".repeat(patterns.len());
        let statement = format!(
            "SELECT gallery, upload, told, path FROM uploads WHERE hidden = 0 AND upload < ?{condition} ORDER BY upload DESC LIMIT ?"
        );
        // Every id is before this.
        let before = before.map_or_else(|| "~".to_owned(), |id| id.to_string());
        let mut query = sqlx::query(sqlx::AssertSqlSafe(statement)).bind(before);
        for pattern in patterns {
            query = query.bind(pattern);
        }
        let pool = self.pool().await.map_err(failed)?;
        let rows = query.bind(limit).fetch_all(pool).await.map_err(failed)?;
        rows.iter()
            .map(|row| remembered(row).map_err(failed))
            .collect()
    }

    /// One picture, by the gallery that it is in.
    pub(crate) async fn find(&self, id: ImageId) -> Result<Option<Remembered>, CommandError> {
        let pool = self.pool().await.map_err(failed)?;
        let row = sqlx::query(
            "SELECT gallery, upload, told, path FROM uploads WHERE image = ? AND hidden = 0",
        )
        .bind(id.to_string())
        .fetch_optional(pool)
        .await
        .map_err(failed)?;
        row.map(|row| remembered(&row)).transpose().map_err(failed)
    }

    /// Forgets these, or all where none are named.
    pub(crate) async fn forget(&self, uploads: Option<&[UploadId]>) -> Result<(), CommandError> {
        let pool = self.pool().await.map_err(failed)?;
        let named = uploads.map(|uploads| {
            let texts: Vec<String> = uploads.iter().map(ToString::to_string).collect();
            json_texts(&texts)
        });
        sqlx::query(
            "UPDATE uploads SET hidden = 1, words = '', told = '', path = ''
             WHERE ?1 IS NULL OR upload IN (SELECT value FROM json_each(?1))",
        )
        .bind(named)
        .execute(pool)
        .await
        .map_err(failed)?;
        Ok(())
    }

    pub(crate) async fn close(&self) {
        if let Some(pool) = self.0.pool.get() {
            pool.close().await;
        }
    }

    async fn pool(&self) -> Result<&SqlitePool, sqlx::Error> {
        let open = || async {
            match open_patiently(|| self.open()).await {
                Err(error) if is_damaged(&error) => {
                    tracing::warn!("the history is damaged ({error}) and begins anew");
                    remove_database(&self.0.file).await?;
                    self.open().await
                }
                opened => opened,
            }
        };
        self.0.pool.get_or_try_init(open).await
    }

    async fn open(&self) -> Result<SqlitePool, sqlx::Error> {
        let options = SqliteConnectOptions::new()
            .filename(&self.0.file)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // What a power cut takes, the journal has again.
            .synchronous(SqliteSynchronous::Normal);
        let pool = pool(1).connect_with(options).await?;
        let version: i64 = sqlx::query_scalar("PRAGMA user_version")
            .fetch_one(&pool)
            .await?;
        if version != 0 && version != VERSION {
            sqlx::raw_sql("DROP TABLE uploads").execute(&pool).await?;
        }
        sqlx::raw_sql(SCHEMA).execute(&pool).await?;
        Ok(pool)
    }
}

fn remembered(row: &SqliteRow) -> Result<Remembered, sqlx::Error> {
    let told: String = row.try_get("told")?;
    let upload: String = row.try_get("upload")?;
    let decoded = |error: Box<dyn std::error::Error + Send + Sync>| sqlx::Error::Decode(error);
    Ok(Remembered {
        gallery: row.try_get("gallery")?,
        upload: upload.parse().map_err(|error| decoded(Box::new(error)))?,
        image: serde_json::from_str(&told).map_err(|error| decoded(error.into()))?,
        path: row.try_get("path")?,
    })
}

fn failed(error: sqlx::Error) -> CommandError {
    let message = format!("the history cannot be read or written: {}", reason(&error));
    CommandError::new(ClientCode::DiskFailed, message)
}
