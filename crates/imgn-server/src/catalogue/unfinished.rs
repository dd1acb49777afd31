//! What the sweeper asks for: uploads that nobody brings to their end, and those that ended long ago.
//!
//! Invariant: a row that cannot be read never hides another.

use imgn_protocol::UploadId;

use super::{Catalogue, CatalogueError, Upload, database::sql, now, parse, uploads::Row};

impl Catalogue {
    /// Uploads whose verification is to be taken up again, the oldest first.
    pub(crate) async fn verifying(&self, limit: u32) -> Result<Vec<UploadId>, CatalogueError> {
        let rows: Vec<String> =
            sql("SELECT id FROM uploads WHERE state = 'verifying' ORDER BY updated_at LIMIT $1")
                .bind(limit)
                .scalars(&self.reader)
                .await?;
        Ok(valid(rows, |id| parse(&id, "upload id")))
    }

    /// Open uploads whose object may be there though nobody said so.
    pub(crate) async fn to_look_at(&self, limit: u32) -> Result<Vec<Upload>, CatalogueError> {
        let rows: Vec<Row> = sql(
            "SELECT * FROM uploads WHERE look_at <= $1 AND state = 'open' ORDER BY look_at LIMIT $2",
        )
        .bind(now())
        .bind(limit)
        .fetch_all(&self.reader)
        .await?;
        Ok(valid(rows, Upload::try_from))
    }

    /// It could not be looked at: it is again in this many milliseconds.
    pub(crate) async fn look_later(&self, id: UploadId, pause: i64) -> Result<(), CatalogueError> {
        sql("UPDATE uploads SET look_at = $2 WHERE id = $1 AND state = 'open'")
            .bind(id.to_string())
            .bind(now() + pause)
            .execute(&self.writer)
            .await?;
        Ok(())
    }

    /// Nothing was there: it is not looked at again unless a URL is signed.
    pub(crate) async fn looked_at(&self, id: UploadId) -> Result<(), CatalogueError> {
        let query =
            "UPDATE uploads SET look_at = NULL WHERE id = $1 AND state = 'open' AND look_at <= $2";
        sql(query)
            .bind(id.to_string())
            .bind(now())
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
        sql("DELETE FROM uploads WHERE state IN ('rejected', 'aborted') AND updated_at <= $1")
            .bind(now() - age)
            .execute(&self.writer)
            .await
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
