//! Writes SQLite's write-ahead log back into the database while others write on.
//!
//! Left to itself, SQLite has whoever comes past a thousand pages do that, which then waits for the disk twice, and with
//! it all who wait for the writer: of the requests that open an upload or are signed, which wait for no disk otherwise, one in
//! a hundred took 30 ms for that. A connection of its own does it a moment after the last pages were written.
//!
//! Invariant: nothing is committed here. Should it fail, the writer does it, later than it would have.

use std::{sync::Arc, time::Duration};

use sqlx::{
    SqliteConnection, SqlitePool,
    sqlite::{SqliteConnectOptions, SqlitePoolOptions},
};
use tokio::sync::Notify;
use tokio_util::task::AbortOnDropHandle;

use super::CatalogueError;

/// Pages of the log after which the writer does it all the same, 128 MiB: while it writes without a pause the log cannot begin
/// anew, whatever is written back beside it. Nearly all of it is written back by then.
pub(super) const MOST_PAGES: &str = "32768";

/// How long after a commit. What is written meanwhile is written back with it.
const PAUSE: Duration = Duration::from_millis(200);

/// The connection beside the writer; it ends with the last handle. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Checkpoint {
    pool: SqlitePool,
    _task: Arc<AbortOnDropHandle<()>>,
}

/// Told of each commit.
#[derive(Debug, Clone, Default)]
pub(super) struct Commits(Arc<Notify>);

impl Commits {
    /// The writer's options with this.
    pub(super) fn of(options: SqliteConnectOptions) -> SqliteConnectOptions {
        options.pragma("wal_autocheckpoint", MOST_PAGES)
    }

    /// There was one.
    pub(super) fn tell(&self) {
        self.0.notify_one();
    }

    /// Hears of a connection's commits from now on.
    pub(super) async fn listen(
        &self,
        connection: &mut SqliteConnection,
    ) -> Result<(), sqlx::Error> {
        let commits = self.0.clone();
        let mut handle = connection.lock_handle().await?;
        handle.set_commit_hook(move || {
            commits.notify_one();
            true
        });
        Ok(())
    }
}

impl Checkpoint {
    pub(super) fn start(options: SqliteConnectOptions, commits: Commits) -> Self {
        let pool = SqlitePoolOptions::new()
            .max_connections(1)
            .connect_lazy_with(options);
        let task = tokio::spawn(run(pool.clone(), commits));
        Self {
            pool,
            _task: Arc::new(AbortOnDropHandle::new(task)),
        }
    }

    pub(super) async fn close(&self) {
        self.pool.close().await;
    }
}

async fn run(pool: SqlitePool, commits: Commits) {
    loop {
        commits.0.notified().await;
        tokio::time::sleep(PAUSE).await;
        // It waits for nobody and keeps nobody waiting.
        let done = sqlx::query("PRAGMA wal_checkpoint(PASSIVE)").execute(&pool);
        match done.await {
            Ok(_) => {}
            Err(sqlx::Error::PoolClosed) => return,
            Err(error) => tracing::warn!(
                cause = crate::error::chain(&CatalogueError::from(error)),
                "the catalogue's log was not written back; it is tried again"
            ),
        }
    }
}
