//! Writes SQLite's write-ahead log back into the database while others write on.
//!
//! Left to itself, SQLite has whoever comes past a thousand pages do that, which then waits for the disk twice, and with
//! it all who wait for the writer: of the requests that open an upload or are signed, which wait for no disk otherwise, one in
//! a hundred took 30 ms for that. A connection of its own does it a moment after the last pages were written.
//!
//! The log begins anew where all of it is written back when somebody writes, which never is while writing goes on. So when
//! it is long, what is left of it after that, which is little, is written back in a turn of its own.
//!
//! Invariant: nothing is committed here. Should it fail, the writer does it, later than it would have.

use std::{sync::Arc, time::Duration};

use sqlx::{
    SqliteConnection, SqlitePool,
    sqlite::{SqliteConnectOptions, SqlitePoolOptions},
};
use tokio::sync::Notify;
use tokio_util::task::AbortOnDropHandle;

use super::{CatalogueError, database::Turns};

/// Pages of the log after which the writer does it all the same, 512 MiB: nearly all of it is written back by then.
pub(super) const MOST_PAGES: &str = "131072";

/// Pages of the log after which it is to begin anew, 32 MiB.
const LONG: i64 = 8192;

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
    pub(super) fn start(options: SqliteConnectOptions, turns: Turns, commits: Commits) -> Self {
        let pool = SqlitePoolOptions::new()
            .max_connections(1)
            .connect_lazy_with(options);
        let task = tokio::spawn(run(pool.clone(), turns, commits));
        Self {
            pool,
            _task: Arc::new(AbortOnDropHandle::new(task)),
        }
    }

    pub(super) async fn close(&self) {
        self.pool.close().await;
    }
}

async fn run(pool: SqlitePool, turns: Turns, commits: Commits) {
    loop {
        commits.0.notified().await;
        tokio::time::sleep(PAUSE).await;
        match write_back(&pool, &turns).await {
            Ok(()) => {}
            Err(_) if pool.is_closed() => return,
            Err(error) => tracing::warn!(
                cause = crate::error::chain(&error),
                "the catalogue's log was not written back; it is tried again"
            ),
        }
    }
}

async fn write_back(pool: &SqlitePool, turns: &Turns) -> Result<(), CatalogueError> {
    if pass(pool).await? < LONG {
        return Ok(());
    }
    // What was written during the first pass, so that there is next to nothing left for the one that is waited for.
    pass(pool).await?;
    let turn = turns.next().await?;
    pass(pool).await?;
    drop(turn);
    Ok(())
}

/// Writes back what there is, waiting for nobody; answers how many pages the log has.
async fn pass(pool: &SqlitePool) -> Result<i64, CatalogueError> {
    let done = sqlx::query_as("PRAGMA wal_checkpoint(PASSIVE)").fetch_one(pool);
    let (_, pages, _): (i64, i64, i64) = done.await?;
    Ok(pages)
}
