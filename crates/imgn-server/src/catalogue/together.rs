//! Small writes of several requests in one transaction of SQLite's.
//!
//! A row takes SQLite some ten microseconds; a transaction around it, and the two switches to a thread and back, take several
//! times that. So what waits is written together: a task takes all that requests have handed in until its turn comes, and one
//! visit to a blocking thread, which has a connection of its own, carries it out. Who hands in alone does not wait for others.
//!
//! Not here: what is told as final, which has a transaction of its own ([`Catalogue::begin`]), as has all that reads before it
//! decides; and PostgreSQL, which gathers commits by itself and whose connections write side by side.
//!
//! Invariant: a write is answered after the commit that it is in. It is done whole or leaves nothing behind, and what
//! becomes of one changes nothing for those beside it, unless the database can write nothing at all.

use std::{path::Path, sync::Arc};

use rusqlite::{Connection, ErrorCode, OpenFlags};
use tokio::sync::{mpsc, oneshot};

use super::{
    BUSY_TIMEOUT, Catalogue, CatalogueError,
    checkpoint::{Commits, MOST_PAGES},
    database::{Sql, Transaction, Turns},
};

/// What may wait. Who comes then waits until there is room.
const QUEUE: usize = 1024;

/// The most in one transaction, which others who write wait for.
const MOST_AT_A_TIME: usize = 128;

/// Different statements that are handed in.
const STATEMENTS: usize = 32;

/// What became of statements that are carried out only all together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Done {
    /// Each returned a row.
    All,
    /// Nothing of it: this one, counted from 0, returned none.
    NotFrom(usize),
}

/// The queue to the one task. Cheap to clone; the task ends with the last handle.
#[derive(Debug, Clone)]
pub(super) struct Together(mpsc::Sender<Asked>);

#[derive(Debug)]
enum Asked {
    Write(Write),
    Close(oneshot::Sender<()>),
}

#[derive(Debug)]
struct Write {
    statements: Vec<Sql>,
    done: oneshot::Sender<Result<Done, CatalogueError>>,
}

impl Catalogue {
    /// Carries out statements for what is under way, one after the other, each of which has to return a row. Where one returns
    /// none, nothing is done. As with [`super::database::passing`], a power cut may take it back.
    pub(super) async fn all_or_nothing(
        &self,
        statements: Vec<Sql>,
    ) -> Result<Done, CatalogueError> {
        if let Some(together) = &self.together {
            return together.write(statements).await;
        }
        // A single one is a transaction by itself. SQLite's would wait for the disk.
        if self.writer.is_postgres() && statements.len() == 1 {
            for statement in statements {
                if !statement.returns_a_row(&self.writer).await? {
                    return Ok(Done::NotFrom(0));
                }
            }
            return Ok(Done::All);
        }
        each(self.begin_passing_beside_others().await?, statements).await
    }
}

/// The same in a transaction that was begun for it.
pub(super) async fn each(
    mut transaction: Transaction,
    statements: Vec<Sql>,
) -> Result<Done, CatalogueError> {
    for (place, statement) in statements.into_iter().enumerate() {
        if !statement.returns_a_row(&mut transaction).await? {
            return Ok(Done::NotFrom(place));
        }
    }
    transaction.commit().await?;
    Ok(Done::All)
}

impl Together {
    /// For the database in this file, which has a write-ahead log. Where it cannot be opened, everybody has a transaction of
    /// their own.
    pub(super) fn start(database: &Path, turns: Turns, commits: Commits) -> Option<Self> {
        let connection = match connect(database) {
            Ok(connection) => connection,
            Err(error) => {
                tracing::debug!(%error, "nothing is written together");
                return None;
            }
        };
        let (sender, asked) = mpsc::channel(QUEUE);
        tokio::spawn(run(connection, turns, commits, asked));
        Some(Self(sender))
    }

    async fn write(&self, statements: Vec<Sql>) -> Result<Done, CatalogueError> {
        let closed = || CatalogueError::from(sqlx::Error::PoolClosed);
        let (done, answer) = oneshot::channel();
        let write = Asked::Write(Write { statements, done });
        self.0.send(write).await.map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }

    /// Waits until everything is written that was handed in, and ends the connection.
    pub(super) async fn close(&self) {
        let (closed, answer) = oneshot::channel();
        if self.0.send(Asked::Close(closed)).await.is_ok() {
            // An error is that it is closed.
            let _ = answer.await;
        }
    }
}

fn connect(database: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(database, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.execute_batch(&format!(
        "PRAGMA foreign_keys = ON; PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = {MOST_PAGES}"
    ))?;
    Ok(connection)
}

async fn run(
    mut connection: Connection,
    turns: Turns,
    commits: Commits,
    mut asked: mpsc::Receiver<Asked>,
) {
    let mut closed = None;
    let mut batch = Vec::new();
    while asked.recv_many(&mut batch, 1).await > 0 {
        // Nothing of what waits is written where it does not come: so all are told, also those behind.
        let turn = turns.next().await.ok();
        // Whoever is about to hand something in at this moment is in it, too.
        tokio::task::yield_now().await;
        while (batch.len() < MOST_AT_A_TIME || turn.is_none())
            && let Ok(one) = asked.try_recv()
        {
            batch.push(one);
        }
        let (mut all, mut answers) = (Vec::new(), Vec::new());
        for one in batch.drain(..) {
            match one {
                Asked::Write(write) if turn.is_none() => {
                    let _ = write.done.send(Err(CatalogueError::Busy));
                }
                Asked::Write(write) => {
                    all.push(write.statements);
                    answers.push(write.done);
                }
                // What was handed in before it is written all the same.
                Asked::Close(done) => {
                    asked.close();
                    closed = Some(done);
                }
            }
        }
        if all.is_empty() {
            continue;
        }
        let written = tokio::task::spawn_blocking(move || {
            let outcomes = carry_out(&connection, &all);
            (connection, outcomes)
        });
        // It panics only where the process ends.
        let Ok((again, outcomes)) = written.await else {
            return;
        };
        connection = again;
        drop(turn);
        commits.tell();
        for (answer, outcome) in answers.into_iter().zip(outcomes) {
            // Nobody waits any more: it is done all the same.
            let _ = answer.send(outcome);
        }
    }
    drop(connection);
    if let Some(closed) = closed {
        let _ = closed.send(());
    }
}

/// Carries out all in one transaction; answers what became of each, in their order.
fn carry_out(connection: &Connection, all: &[Vec<Sql>]) -> Vec<Result<Done, CatalogueError>> {
    let written = in_one_transaction(connection, all);
    if written.is_err() && !connection.is_autocommit() {
        // Should this fail, the next one cannot begin, and says so.
        let _ = connection.execute_batch("ROLLBACK");
    }
    written.unwrap_or_else(|error| all.iter().map(|_| Err(failed(&error))).collect())
}

fn in_one_transaction(
    connection: &Connection,
    all: &[Vec<Sql>],
) -> Result<Vec<Result<Done, CatalogueError>>, Arc<rusqlite::Error>> {
    execute(connection, "BEGIN IMMEDIATE")?;
    let mut outcomes = Vec::with_capacity(all.len());
    for statements in all {
        let outcome = one(connection, statements)?;
        match outcome.map_err(Arc::new) {
            // Of some errors, as of a full disk, SQLite ends the transaction by itself.
            Err(error) if connection.is_autocommit() => return Err(error),
            outcome => outcomes.push(outcome.map_err(|error| failed(&error))),
        }
    }
    execute(connection, "COMMIT")?;
    Ok(outcomes)
}

/// What became of one, unless the transaction cannot go on after it.
fn one(
    connection: &Connection,
    statements: &[Sql],
) -> Result<rusqlite::Result<Done>, Arc<rusqlite::Error>> {
    // A single statement that fails or returns nothing leaves nothing behind.
    if statements.len() == 1 {
        return Ok(each_at_once(connection, statements));
    }
    execute(connection, "SAVEPOINT one")?;
    let done = each_at_once(connection, statements);
    if !connection.is_autocommit() {
        if !matches!(done, Ok(Done::All)) {
            execute(connection, "ROLLBACK TO one")?;
        }
        execute(connection, "RELEASE one")?;
    }
    Ok(done)
}

fn each_at_once(connection: &Connection, statements: &[Sql]) -> rusqlite::Result<Done> {
    for (place, statement) in statements.iter().enumerate() {
        if !statement.returns_a_row_at_once(connection)? {
            return Ok(Done::NotFrom(place));
        }
    }
    Ok(Done::All)
}

fn execute(connection: &Connection, text: &str) -> Result<(), Arc<rusqlite::Error>> {
    Ok(connection.prepare_cached(text)?.raw_execute().map(drop)?)
}

/// One error may be told to several.
fn failed(error: &Arc<rusqlite::Error>) -> CatalogueError {
    let error = match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => CatalogueError::Busy,
        Some(ErrorCode::DiskFull) => CatalogueError::Full,
        _ => CatalogueError::Together(error.clone()),
    };
    crate::metrics::catalogue_failed(&error);
    error
}
