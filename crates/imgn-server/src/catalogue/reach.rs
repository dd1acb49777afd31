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
    ConnectOptions as _, Connection as _, Executor as _, PgConnection, PgPool, Postgres,
    pool::PoolConnection,
    postgres::{PgArguments, PgConnectOptions, PgPoolOptions, PgQueryResult, PgRow},
    query::Query,
};
use tokio::{sync::Mutex, time::timeout};

use super::{
    BUSY_TIMEOUT, CatalogueError, IDLE_TIMEOUT, LOCK_TIMEOUT, STATEMENT_TIMEOUT, is_unreachable,
};
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

/// How long a statement is waited for: a little longer than [`STATEMENT_TIMEOUT`], for a database that lives ends it itself and
/// says so, and its connection is good for the next one.
pub(super) const STATEMENT: Duration = Duration::from_secs(32);

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

/// One of the pool's connections, with or without a transaction begun on it.
///
/// Each statement has its time, and so has the word that ends it. A connection that does not answer within it is closed, and the
/// pool may have another one in its place. So is one whose transaction was not begun to the end: whoever had it next would be in
/// a transaction and not know it.
#[derive(Debug)]
pub(super) struct Lent {
    /// `None` once it did not answer.
    connection: Option<PoolConnection<Postgres>>,
    transaction: Progress,
    is_patient: bool,
}

/// How far the transaction on a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// There is none.
    None,
    /// What begins it was sent.
    Begins,
    /// It is undone unless it is committed.
    Begun,
}

impl Drop for Lent {
    fn drop(&mut self) {
        if self.transaction == Progress::Begins {
            self.lose();
        }
        let Some(mut connection) = self.connection.take() else {
            return;
        };
        let is_begun = self.transaction == Progress::Begun;
        tokio::spawn(async move {
            if is_begun {
                let undone = in_time(Some(STATEMENT), connection.execute("ROLLBACK")).await;
                if undone.is_err() {
                    drop(connection.detach());
                    return;
                }
            }
            // The pool waits until all is answered, be it for ever. Where it is left alone at that, it has one less.
            let _ = timeout(STATEMENT, connection.return_to_pool()).await;
        });
    }
}

impl Lent {
    pub(super) async fn fetch_all(
        &mut self,
        query: Query<'static, Postgres, PgArguments>,
    ) -> Result<Vec<PgRow>, sqlx::Error> {
        let time = self.time();
        let done = in_time(time, query.fetch_all(self.connection()?)).await;
        self.after(done)
    }

    pub(super) async fn fetch_optional(
        &mut self,
        query: Query<'static, Postgres, PgArguments>,
    ) -> Result<Option<PgRow>, sqlx::Error> {
        let time = self.time();
        let done = in_time(time, query.fetch_optional(self.connection()?)).await;
        self.after(done)
    }

    pub(super) async fn execute(
        &mut self,
        query: Query<'static, Postgres, PgArguments>,
    ) -> Result<PgQueryResult, sqlx::Error> {
        let time = self.time();
        let done = in_time(time, query.execute(self.connection()?)).await;
        self.after(done)
    }

    /// Without an answer nobody knows what became of it, as when the connection breaks at that moment.
    pub(super) async fn commit(mut self) -> Result<(), sqlx::Error> {
        let time = self.time();
        let done = in_time(time, self.connection()?.execute("COMMIT")).await;
        self.after(done)?;
        self.transaction = Progress::None;
        Ok(())
    }

    /// Lets the statements of this transaction take as long as they need, as those about a whole gallery do.
    pub(super) async fn be_patient(&mut self) -> Result<(), sqlx::Error> {
        self.execute(sqlx::query("SET LOCAL statement_timeout = 0"))
            .await?;
        self.is_patient = true;
        Ok(())
    }

    fn time(&self) -> Option<Duration> {
        (!self.is_patient).then_some(STATEMENT)
    }

    fn connection(&mut self) -> Result<&mut PgConnection, sqlx::Error> {
        let gone = || io::Error::new(io::ErrorKind::NotConnected, "it did not answer before");
        let connection = self.connection.as_deref_mut();
        connection.ok_or_else(|| sqlx::Error::Io(gone()))
    }

    /// What fails so has lost its place in what the database says.
    fn after<T>(&mut self, done: Result<T, sqlx::Error>) -> Result<T, sqlx::Error> {
        if matches!(done, Err(sqlx::Error::Io(_))) {
            self.lose();
        }
        done
    }

    fn lose(&mut self) {
        drop(self.connection.take().map(PoolConnection::detach));
    }
}

/// What a database says, if it says so in time. It lies by itself in memory, see [`Reached::wait`].
pub(super) fn in_time<'a, T: Send + 'a>(
    time: Option<Duration>,
    done: impl Future<Output = Result<T, sqlx::Error>> + Send + 'a,
) -> Pin<Box<dyn Future<Output = Result<T, sqlx::Error>> + Send + 'a>> {
    Box::pin(async move {
        let Some(time) = time else {
            return done.await;
        };
        match timeout(time, done).await {
            Ok(done) => done,
            Err(_) => Err(sqlx::Error::Io(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("no answer to a statement within {} s", time.as_secs()),
            ))),
        }
    })
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

/// The same for an update of the catalogue. Of several servers that start at once one does it, and the others wait for it as long
/// as it takes, which may be longer than any other statement waits.
pub(super) fn options_to_update(options: &PgConnectOptions) -> PgConnectOptions {
    options.clone().options([("lock_timeout", "0")])
}

/// Whether it lets somebody in, tried once and not again and again, as a pool does.
pub(super) async fn ask(options: &PgConnectOptions) -> Result<(), sqlx::Error> {
    match timeout(ANSWER, options.connect()).await {
        Ok(connected) => {
            // It is let in, and that is all.
            let _ = timeout(ANSWER, connected?.close()).await;
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
            .connect_with(options.options([("statement_timeout", STATEMENT_TIMEOUT)]))
            .await?;
        Ok(pool.into())
    }

    pub(super) fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// One of the pool's connections.
    pub(super) async fn lend(&self) -> Result<Lent, CatalogueError> {
        self.wait(self.lent()).await
    }

    /// The same with a transaction, begun by this text.
    pub(super) async fn begin(&self, text: &'static str) -> Result<Lent, CatalogueError> {
        let begun = async {
            let mut lent = self.lent().await?;
            lent.transaction = Progress::Begins;
            in_time(Some(STATEMENT), lent.connection()?.execute(text)).await?;
            lent.transaction = Progress::Begun;
            Ok(lent)
        };
        self.wait(begun).await
    }

    async fn lent(&self) -> Result<Lent, sqlx::Error> {
        Ok(Lent {
            connection: Some(self.pool.acquire().await?),
            transaction: Progress::None,
            is_patient: false,
        })
    }

    /// What has or needs one of the pool's connections, which is waited for as long as the database is there. It lies by itself
    /// in memory: every statement of SQLite's would carry it, which needs none of it.
    fn wait<'a, T: Send + 'a>(
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
        let had = match timeout(patience, &mut connected).await {
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
    // A balancer whose database is away takes connections and ends them before a word.
    let is_away = is_unreachable(&error) || matches!(error, sqlx::Error::Protocol(_));
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
        _ if is_away => (
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
        is_away,
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
