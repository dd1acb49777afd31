//! What the client's databases have in common: how their connections are kept usable, and what people are told when one
//! fails.
//!
//! Not here: any table. Invariant: a connection that is handed out is in no transaction.

use sqlx::{Connection as _, sqlite::SqlitePoolOptions};

/// SQLITE_FULL, and what else a full disk may be told as, SQLITE_IOERR and SQLITE_CANTOPEN: <https://sqlite.org/rescode.html>.
const FULL: u32 = 13;
const PERHAPS_FULL: [u32; 2] = [10, 14];

/// Options for a pool of at most so many connections.
///
/// A full disk makes SQLite end a transaction by itself. Ending it once more fails, and from then on its connection counts
/// as in a transaction in which no other can begin: another takes its place.
#[must_use]
pub fn pool(max_connections: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(max_connections)
        // Nothing lies between, and asking takes as long as reading a row does.
        .test_before_acquire(false)
        .before_acquire(|connection, _| {
            let is_usable = !connection.is_in_transaction();
            Box::pin(async move { Ok(is_usable) })
        })
}

/// SQLite's primary result code.
#[must_use]
pub fn primary_code(error: &sqlx::Error) -> Option<u32> {
    let code: u32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(code & 0xff)
}

/// Why a database failed, for people.
#[must_use]
pub fn reason(error: &sqlx::Error) -> String {
    match primary_code(error) {
        Some(FULL) => "the disk is full".to_owned(),
        Some(code) if PERHAPS_FULL.contains(&code) => format!("{error}; is the disk full?"),
        _ => error.to_string(),
    }
}
