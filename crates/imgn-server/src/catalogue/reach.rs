//! A pool of PostgreSQL's connections that tells a database which is away from one that is busy.
//!
//! The pool itself takes a refused connection for a database that is about to start, and waits for it as for a connection
//! that others hold. So who waits here asks meanwhile, beside the pool, whether anybody is let in.
//!
//! Invariant: only what was tried says that a database is away, and one connection that is had says that it is back. Whether
//! somebody asks at the moment, and what was found a moment ago, is shared: however many wait, one of them asks at a time.

use std::{
    future::Future,
    io,
    pin::Pin,
    str::FromStr as _,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use sqlx::{
    ConnectOptions as _, Connection as _, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::sync::Mutex;

use super::{BUSY_TIMEOUT, CatalogueError, IDLE_TIMEOUT, LOCK_TIMEOUT, is_unreachable};
use crate::{
    config::{Database, DatabaseUrl},
    metrics,
};

/// How long a connection is waited for before somebody asks why there is none.
const PATIENCE: Duration = Duration::from_millis(500);

/// How long a database may take to let somebody in. With [`PATIENCE`], whoever asks for something waits for two seconds.
pub(super) const ANSWER: Duration = Duration::from_millis(1500);

/// How long it holds what was found.
const FRESH: Duration = Duration::from_millis(500);

/// Connections to one database. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Reached {
    pool: PgPool,
    seen: Arc<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// Whether it was away when it was looked at last: then nobody waits before they ask.
    is_away: AtomicBool,
    /// How many connections were had.
    had: AtomicU64,
    /// When somebody asked last, and why nobody was let in.
    last: Mutex<Option<(Instant, Option<Arc<sqlx::Error>>)>>,
}

impl From<PgPool> for Reached {
    fn from(pool: PgPool) -> Self {
        Self {
            pool,
            seen: Arc::default(),
        }
    }
}

/// How one of PostgreSQL's databases is connected to.
pub(super) fn options(url: &DatabaseUrl) -> Result<PgConnectOptions, sqlx::Error> {
    let options = PgConnectOptions::from_str(url.expose())?;
    Ok(options.application_name("imgn-server").options([
        ("lock_timeout", LOCK_TIMEOUT),
        ("idle_in_transaction_session_timeout", IDLE_TIMEOUT),
    ]))
}

/// Whether it lets somebody in, tried once and not again and again, as a pool does.
pub(super) async fn ask(options: &PgConnectOptions) -> Result<(), sqlx::Error> {
    match tokio::time::timeout(ANSWER, options.connect()).await {
        Ok(connected) => {
            // It is let in, and that is all.
            let _ = tokio::time::timeout(ANSWER, connected?.close()).await;
            Ok(())
        }
        Err(_) => Err(sqlx::Error::Io(io::Error::new(
            io::ErrorKind::TimedOut,
            format!("no answer within {} ms", ANSWER.as_millis()),
        ))),
    }
}

impl Reached {
    /// Connects to a database that is there.
    pub(super) async fn open(
        options: PgConnectOptions,
        connections: u32,
    ) -> Result<Self, sqlx::Error> {
        ask(&options).await?;
        let pool = PgPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(BUSY_TIMEOUT)
            .connect_with(options)
            .await?;
        Ok(pool.into())
    }

    pub(super) fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// What has or needs one of the pool's connections, which is waited for as long as the database is there. It lies by itself
    /// in memory: every statement of SQLite's would carry it, which needs none of it.
    pub(super) fn wait<'a, T: Send + 'a>(
        &'a self,
        connected: impl Future<Output = Result<T, sqlx::Error>> + Send + 'a,
    ) -> Pin<Box<dyn Future<Output = Result<T, CatalogueError>> + Send + 'a>> {
        Box::pin(self.waits(connected))
    }

    async fn waits<T>(
        &self,
        connected: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, CatalogueError> {
        let mut connected = std::pin::pin!(connected);
        let patience = match self.seen.is_away.load(Relaxed) {
            true => Duration::ZERO,
            false => PATIENCE,
        };
        let had = match tokio::time::timeout(patience, &mut connected).await {
            Ok(had) => had,
            Err(_) => tokio::select! {
                biased;
                had = &mut connected => had,
                error = self.is_away() => return Err(unreachable(error)),
            },
        };
        if had.is_ok() {
            self.seen.had.fetch_add(1, Relaxed);
            self.seen.is_away.store(false, Relaxed);
        }
        Ok(had?)
    }

    /// Asks whether it is there at this moment, whatever was found before.
    pub(super) async fn ask(&self) -> Result<(), CatalogueError> {
        match self.look(Duration::ZERO).await {
            Some(error) => Err(unreachable(error)),
            None => Ok(()),
        }
    }

    /// Ends when the database is found to be away.
    async fn is_away(&self) -> Arc<sqlx::Error> {
        loop {
            if let Some(error) = self.look(FRESH).await {
                return error;
            }
            tokio::time::sleep(FRESH).await;
        }
    }

    /// Why nobody is let in, if so; what was found so long ago is not asked for again.
    async fn look(&self, fresh: Duration) -> Option<Arc<sqlx::Error>> {
        let mut last = self.seen.last.lock().await;
        if let Some((when, found)) = &*last
            && when.elapsed() < fresh
        {
            return found.clone();
        }
        let had = self.seen.had.load(Relaxed);
        let asked = ask(&self.pool.connect_options()).await;
        // A database that others have just had a connection of is only slow.
        let others = self.seen.had.load(Relaxed) != had;
        let found = asked
            .err()
            .filter(|error| is_unreachable(error) && !is_full(error) && !others)
            .map(Arc::new);
        self.seen.is_away.store(found.is_some(), Relaxed);
        *last = Some((Instant::now(), found.clone()));
        found
    }
}

/// Why nobody is let into a database, in the operator's words, where these are known.
pub(super) fn refused(
    database: &Database,
    options: &PgConnectOptions,
    error: sqlx::Error,
) -> CatalogueError {
    let place = match options.get_socket() {
        Some(socket) => socket.display().to_string(),
        None => format!("{}:{}", options.get_host(), options.get_port()),
    };
    let state = error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code);
    let (what, advice) = match state.as_deref() {
        Some("28P01" | "28000") => (
            format!(
                "PostgreSQL at {place} does not let this server in: {}",
                why(&error)
            ),
            "correct user and password in --database (IMGN_DATABASE)",
        ),
        Some("3D000") => (
            format!(
                "PostgreSQL at {place} has no such database: {}",
                why(&error)
            ),
            "make it with createdb, or correct its name in --database (IMGN_DATABASE)",
        ),
        _ if is_unreachable(&error) => (
            format!("PostgreSQL at {place} does not answer: {}", why(&error)),
            "start it, or correct host and port in --database (IMGN_DATABASE)",
        ),
        _ => {
            return CatalogueError::Open {
                database: database.to_string(),
                source: error,
            };
        }
    };
    CatalogueError::Refused {
        what,
        advice,
        is_away: is_unreachable(&error),
    }
}

/// The cause alone, in its own words.
pub(super) fn why(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Io(error) => error.to_string(),
        sqlx::Error::Database(error) => error.message().to_owned(),
        error => error.to_string(),
    }
}

/// Whether it has as many connections as it may.
fn is_full(error: &sqlx::Error) -> bool {
    let code = error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code);
    code.as_deref() == Some("53300")
}

fn unreachable(error: Arc<sqlx::Error>) -> CatalogueError {
    let error = CatalogueError::Unreachable(error);
    metrics::catalogue_failed(&error);
    error
}
