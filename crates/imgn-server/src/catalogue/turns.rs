//! Which of several servers verifies an upload: one takes it for a while, and renews that. When it ends without a word,
//! another one may have the upload soon after. The database's clock counts.
//!
//! With SQLite nothing is written: what an earlier process left is this one's to take up at once.
//!
//! Invariant: this saves work and decides nothing. Two that verify one upload at a time, as after one of them stood still
//! for longer than it had it, make one picture of it all the same.

use std::{convert::Infallible, time::Duration};

use imgn_protocol::UploadId;

use super::{Catalogue, CatalogueError, Upload, UploadState, database::sql, uploads::Row};
use crate::error::chain;

/// How often a server renews what it has for 15 seconds.
const RENEW_EVERY: Duration = Duration::from_secs(5);

/// Whose turn at an upload it is.
#[derive(Debug)]
pub(crate) enum WhoseTurn {
    /// This server's.
    Ours(Box<Upload>),
    /// Another server's, which is at it.
    Theirs,
    /// Nobody's: it is not under verification, or not there.
    Nobodys(Option<Box<Upload>>),
}

impl Catalogue {
    /// Takes up an upload that is under verification, unless another server has.
    pub(crate) async fn take_up(&self, id: UploadId) -> Result<WhoseTurn, CatalogueError> {
        if self.has_others() {
            let taken: Option<Row> = sql(
                "UPDATE uploads SET verifier = $2, verifier_until = clock_timestamp() + interval '15 seconds'
                 WHERE id = $1 AND state = 'verifying'
                     AND (verifier = $2 OR verifier_until IS NULL OR verifier_until <= clock_timestamp())
                 RETURNING *",
            )
            .bind(id.to_string())
            .bind(self.server.to_string())
            .fetch_optional(&self.writer)
            .await?;
            if let Some(row) = taken {
                return Ok(WhoseTurn::Ours(Box::new(row.try_into()?)));
            }
        }
        Ok(match self.upload(id).await?.map(Box::new) {
            Some(upload) if upload.state == UploadState::Verifying => match self.has_others() {
                true => WhoseTurn::Theirs,
                false => WhoseTurn::Ours(upload),
            },
            upload => WhoseTurn::Nobodys(upload),
        })
    }

    /// Keeps the others from an upload that was taken up, for as long as this runs.
    pub(crate) async fn keep(&self, id: UploadId) -> Infallible {
        while self.has_others() {
            tokio::time::sleep(RENEW_EVERY).await;
            let kept = sql(
                "UPDATE uploads SET verifier_until = clock_timestamp() + interval '15 seconds'
                 WHERE id = $1 AND state = 'verifying' AND verifier = $2",
            )
            .bind(id.to_string())
            .bind(self.server.to_string())
            .execute(&self.writer);
            match kept.await {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(%id, cause = chain(&error), "another server may take this up too");
                }
            }
        }
        std::future::pending().await
    }

    /// Lets others have an upload that was taken up and did not come to its end.
    pub(crate) async fn let_go(&self, id: UploadId) {
        self.let_go_where(Some(id)).await;
    }

    /// The same for all of this server's.
    pub(crate) async fn let_all_go(&self) {
        self.let_go_where(None).await;
    }

    async fn let_go_where(&self, id: Option<UploadId>) {
        if !self.has_others() {
            return;
        }
        let let_go = sql(
            "UPDATE uploads SET verifier_until = NULL
             WHERE state IN ('open', 'verifying') AND verifier = $1 AND ($2::text IS NULL OR id = $2)",
        )
        .bind(self.server.to_string())
        .bind(id.map(|id| id.to_string()))
        .execute(&self.writer);
        if let Err(error) = let_go.await {
            tracing::debug!(cause = chain(&error), "others have to wait for a moment");
        }
    }
}
