//! What the sweeper asks for: uploads that nobody brings to their end, and those that ended long ago.
//!
//! Invariant: a row that cannot be read never hides another.

use imgn_protocol::UploadId;

use super::{
    Catalogue, CatalogueError, Upload,
    database::{claiming, either, sql},
    now, parse,
    uploads::Row,
};

/// Ended uploads that are forgotten in one transaction.
const BATCH: u32 = 1000;

/// Open uploads that one server looks at for now.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) uploads: Vec<Upload>,
    /// When all of them are looked at again unless something else is said, milliseconds since 1970.
    pub(crate) until: i64,
}

impl Catalogue {
    /// Uploads under verification that no other server is at, the oldest first.
    pub(crate) async fn verifying(&self, limit: u32) -> Result<Vec<UploadId>, CatalogueError> {
        let rows: Vec<String> = either(
            "SELECT id FROM uploads WHERE state = 'verifying' ORDER BY updated_at LIMIT $1",
            "SELECT id FROM uploads WHERE state = 'verifying'
                 AND (verifier_until IS NULL OR verifier_until <= clock_timestamp())
             ORDER BY updated_at LIMIT $1",
        )
        .bind(limit)
        .scalars(&self.reader)
        .await?;
        Ok(valid(rows, |id| parse(&id, "upload id")))
    }

    /// Takes open uploads whose object may be there though nobody said so, to be looked at again in `pause` milliseconds.
    pub(crate) async fn take_silent(
        &self,
        pause: i64,
        limit: u32,
    ) -> Result<Taken, CatalogueError> {
        let now = now();
        let until = now + pause;
        let rows: Vec<Row> = claiming!(
            "SELECT id FROM uploads WHERE look_at <= $1 AND state = 'open' ORDER BY look_at LIMIT $2",
            "UPDATE uploads SET look_at = $3 WHERE id IN (SELECT id FROM due) RETURNING *"
        )
        .bind(now)
        .bind(limit)
        .bind(until)
        .fetch_all(&self.writer)
        .await?;
        let uploads = valid(rows, Upload::try_from);
        Ok(Taken { uploads, until })
    }

    /// Nothing was there: it is not looked at again, unless a URL was signed since it was taken, or is.
    pub(crate) async fn looked_at(&self, id: UploadId, until: i64) -> Result<(), CatalogueError> {
        let query =
            "UPDATE uploads SET look_at = NULL WHERE id = $1 AND state = 'open' AND look_at = $2";
        sql(query)
            .bind(id.to_string())
            .bind(until)
            .execute(&self.writer)
            .await?;
        Ok(())
    }

    /// Open uploads that were opened this many milliseconds ago or more, the oldest first.
    pub(crate) async fn open_for(
        &self,
        age: i64,
        limit: u32,
    ) -> Result<Vec<Upload>, CatalogueError> {
        let rows: Vec<Row> = sql(
            "SELECT * FROM uploads WHERE state = 'open' AND created_at <= $1 ORDER BY created_at LIMIT $2",
        )
        .bind(now() - age)
        .bind(limit)
        .fetch_all(&self.reader)
        .await?;
        Ok(valid(rows, Upload::try_from))
    }

    /// Forgets uploads that ended without a picture this many milliseconds ago or more.
    pub(crate) async fn forget_ended(&self, age: i64) -> Result<u64, CatalogueError> {
        let before = now() - age;
        let mut forgotten = 0;
        loop {
            let some = claiming!(
                "SELECT id FROM uploads WHERE state IN ('rejected', 'aborted') AND updated_at <= $1 LIMIT $2",
                "DELETE FROM uploads WHERE id IN (SELECT id FROM due)"
            )
            .bind(before)
            .bind(BATCH)
            .execute(&self.writer)
            .await?;
            forgotten += some;
            if some < u64::from(BATCH) {
                return Ok(forgotten);
            }
        }
    }
}

/// The rows that can be read. One that cannot must not hide the others from the sweeper.
pub(super) fn valid<R, T>(rows: Vec<R>, read: impl Fn(R) -> Result<T, CatalogueError>) -> Vec<T> {
    rows.into_iter()
        .filter_map(|row| {
            read(row)
                .inspect_err(|error| tracing::error!(%error, "an upload is left out"))
                .ok()
        })
        .collect()
}
