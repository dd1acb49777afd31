//! Which originals are asked for, and which are on this computer. Not their files.
//!
//! Invariant: a row is one that is asked for by itself, or as one of all, or is here for either reason.

use imgn_protocol::{Image, ImageId};

use super::{DURABLY, MirrorError, Sql, Store, blob, image_id, signed, unsigned};

/// Kept originals, counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) asked: u64,
    pub(crate) here: u64,
    pub(crate) bytes: u64,
}

impl Store {
    /// Asks for originals, or no longer. Answers those whose files are not needed any more.
    pub(crate) async fn keep(
        &self,
        ids: &[ImageId],
        keep: bool,
    ) -> Result<Vec<ImageId>, MirrorError> {
        let mut transaction = self.writer.begin_with(DURABLY).await?;
        for id in ids {
            let statement = if keep {
                "INSERT INTO originals (id, asked) SELECT id, 1 FROM images WHERE id = ?
                 ON CONFLICT (id) DO UPDATE SET asked = 1"
            } else {
                "UPDATE originals SET asked = 0 WHERE id = ?"
            };
            sqlx::query(statement)
                .bind(blob(*id))
                .execute(&mut *transaction)
                .await?;
        }
        let forgotten = forget_unasked(&mut transaction).await?;
        transaction.commit().await?;
        Ok(forgotten)
    }

    /// Asks for all originals, or no longer for all. Answers as [`keep`](Self::keep).
    pub(crate) async fn keep_all(&self, keep: bool) -> Result<Vec<ImageId>, MirrorError> {
        let mut transaction = self.writer.begin_with(DURABLY).await?;
        sqlx::query("UPDATE state SET keep_all = ?")
            .bind(keep)
            .execute(&mut *transaction)
            .await?;
        let forgotten = forget_unasked(&mut transaction).await?;
        transaction.commit().await?;
        Ok(forgotten)
    }

    /// Originals that are asked for and not here, newest first, before a place in the feed.
    pub(crate) async fn missing_originals(
        &self,
        before: u64,
        limit: u32,
    ) -> Result<Vec<Image>, MirrorError> {
        // Where not all are asked for, by those that are: a few among a million.
        let all = concat!(
            known!(),
            " WHERE images.sequence < ? AND coalesce(originals.here, 0) = 0
              ORDER BY images.sequence DESC LIMIT ?"
        );
        let some = concat!(
            known!(),
            " WHERE images.id IN (SELECT id FROM originals WHERE asked = 1 AND here = 0)
                AND images.sequence < ? ORDER BY images.sequence DESC LIMIT ?"
        );
        let keep_all: bool = sqlx::query_scalar("SELECT keep_all FROM state")
            .fetch_one(&self.reader)
            .await?;
        let rows = sqlx::query(if keep_all { all } else { some })
            .bind(signed(before))
            .bind(limit)
            .fetch_all(&self.reader)
            .await?;
        rows.iter().map(|row| Ok(self.known(row)?.image)).collect()
    }

    /// An original is on the disk, or is not any more.
    pub(crate) async fn set_here(
        &self,
        id: ImageId,
        size: u64,
        here: bool,
    ) -> Result<(), MirrorError> {
        sqlx::query(
            "INSERT INTO originals (id, asked, here, size) SELECT id, 0, ?2, ?3 FROM images WHERE id = ?1
             ON CONFLICT (id) DO UPDATE SET here = ?2, size = ?3",
        )
        .bind(blob(id))
        .bind(here)
        .bind(signed(size))
        .execute(&self.writer)
        .await?;
        Ok(())
    }

    /// Originals, counted.
    pub(crate) async fn kept(&self) -> Result<Kept, MirrorError> {
        let (asked, here, bytes): (i64, i64, i64) = sqlx::query_as(
            "SELECT CASE WHEN state.keep_all THEN state.known
                         ELSE (SELECT count(*) FROM originals WHERE asked = 1) END,
                    (SELECT count(*) FROM originals WHERE here = 1),
                    (SELECT coalesce(sum(size), 0) FROM originals WHERE here = 1)
             FROM state",
        )
        .fetch_one(&self.reader)
        .await?;
        Ok(Kept {
            asked: unsigned(asked),
            here: unsigned(here),
            bytes: unsigned(bytes),
        })
    }

    /// Those of these originals that nobody asks for, by themselves or as some of all.
    pub(crate) async fn unasked(&self, ids: &[ImageId]) -> Result<Vec<ImageId>, MirrorError> {
        let mut reading = self.reader.begin().await?;
        let keep_all: bool = sqlx::query_scalar("SELECT keep_all FROM state")
            .fetch_one(&mut *reading)
            .await?;
        let mut unasked = Vec::new();
        for id in ids {
            let is_asked: bool = sqlx::query_scalar(
                "SELECT EXISTS (SELECT 1 FROM originals WHERE id = ?1)
                     OR (?2 AND EXISTS (SELECT 1 FROM images WHERE id = ?1))",
            )
            .bind(blob(*id))
            .bind(keep_all)
            .fetch_one(&mut *reading)
            .await?;
            if !is_asked {
                unasked.push(*id);
            }
        }
        Ok(unasked)
    }

    /// Forgets originals of pictures that are not in the gallery, after a feed that began anew. Answers which.
    pub(crate) async fn forget_strays(&self) -> Result<Vec<ImageId>, MirrorError> {
        let rows: Vec<Vec<u8>> = sqlx::query_scalar(
            "DELETE FROM originals WHERE id NOT IN (SELECT id FROM images) RETURNING id",
        )
        .fetch_all(&self.writer)
        .await?;
        rows.iter().map(|id| image_id(id)).collect()
    }
}

async fn forget_unasked(transaction: &mut Sql<'_>) -> Result<Vec<ImageId>, MirrorError> {
    let rows: Vec<Vec<u8>> = sqlx::query_scalar(
        "DELETE FROM originals WHERE asked = 0 AND NOT (SELECT keep_all FROM state) RETURNING id",
    )
    .fetch_all(&mut **transaction)
    .await?;
    rows.iter().map(|id| image_id(id)).collect()
}
