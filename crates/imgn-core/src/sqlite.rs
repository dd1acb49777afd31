//! What the client's own databases (mirror, index of the cache) have in common.

use std::{io, path::Path, time::Duration};

use imgn_upload::sqlite::primary_code;
pub(crate) use imgn_upload::sqlite::{pool, reason};

/// SQLITE_BUSY.
const BUSY: u32 = 5;

/// How often a database that another program just makes is tried, and the pauses between.
const TRIES: u32 = 40;
const PAUSE: Duration = Duration::from_millis(50);

/// Opens a database, also where another program makes it at the same moment: switching to the write-ahead log does not
/// wait for the other one by itself.
pub(crate) async fn open_patiently<T, F>(open: impl Fn() -> F) -> Result<T, sqlx::Error>
where
    F: Future<Output = Result<T, sqlx::Error>>,
{
    let mut opened = open().await;
    for _ in 0..TRIES {
        match &opened {
            Err(error) if primary_code(error) == Some(BUSY) => {}
            _ => break,
        }
        tokio::time::sleep(PAUSE).await;
        opened = open().await;
    }
    opened
}

/// Whether a database is no sound one: SQLITE_CORRUPT or SQLITE_NOTADB.
pub(crate) fn is_damaged(error: &sqlx::Error) -> bool {
    matches!(primary_code(error), Some(11 | 26))
}

/// Removes a database with its write-ahead log. That it is not there is no error.
pub(crate) async fn remove_database(file: &Path) -> io::Result<()> {
    for ending in ["", "-wal", "-shm"] {
        let mut path = file.as_os_str().to_owned();
        path.push(ending);
        match tokio::fs::remove_file(&path).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Texts as SQLite's `json_each` reads them.
pub(crate) fn json_texts(texts: &[String]) -> String {
    serde_json::to_string(texts).unwrap_or_else(|_| "[]".to_owned())
}
