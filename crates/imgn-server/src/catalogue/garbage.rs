//! The outbox of keys to delete: written in the transaction that makes them garbage, emptied by the sweeper.

use super::{
    Catalogue, CatalogueError,
    database::{Transaction, claiming, sql},
    now,
};

/// After a URL has expired nobody can begin to write its key. A request that began in its last moment is given this
/// long; what it writes is deleted at the last visit. So is what a verification stores whose upload had ended.
const LATE_WRITERS: [i64; 2] = [5_000, 60 * 60 * 1000];

/// How long a server has what it took from the outbox, in milliseconds. Another one may have it then.
const TAKEN_FOR: i64 = 60 * 1000;

/// The longest pause before a deletion that failed is tried again, in milliseconds.
const LONGEST_PAUSE: i64 = 10 * 60 * 1000;

/// A key to delete.
#[derive(Debug, Clone, sqlx::FromRow)]
pub(crate) struct Garbage {
    pub(crate) key: String,
    /// The store's name of the multipart upload to this key that is to be aborted.
    #[sqlx(rename = "multipart_id")]
    pub(crate) multipart: Option<String>,
    url_expires_at: Option<i64>,
    failures: i64,
    /// Another one as soon as somebody else takes it, or puts it in the outbox again.
    revision: i64,
}

impl Catalogue {
    /// Takes keys to delete now, the longest due first. They are this server's for a minute.
    pub(crate) async fn take_garbage(&self, limit: u32) -> Result<Vec<Garbage>, CatalogueError> {
        let now = now();
        claiming!(
            "SELECT key FROM garbage WHERE due_at <= $1 ORDER BY due_at LIMIT $2",
            "UPDATE garbage SET due_at = $3, revision = revision + 1 WHERE key IN (SELECT key FROM due)
             RETURNING key, multipart_id, url_expires_at, failures, revision"
        )
        .bind(now)
        .bind(limit)
        .bind(now + TAKEN_FOR)
        .fetch_all(&self.writer)
        .await
    }

    /// Takes this key, when it is in the outbox and due, or somebody has it: whoever asks wants it gone before going on, and
    /// deleting twice does no harm.
    pub(crate) async fn take_garbage_at(
        &self,
        key: &str,
    ) -> Result<Option<Garbage>, CatalogueError> {
        sql(
            "UPDATE garbage SET due_at = $2, revision = revision + 1 WHERE key = $1 AND due_at <= $2
             RETURNING key, multipart_id, url_expires_at, failures, revision",
        )
        .bind(key)
        .bind(now() + TAKEN_FOR)
        .fetch_optional(&self.writer)
        .await
    }

    /// A key was deleted in the store: it leaves the outbox, unless somebody may still write it, or it was put there
    /// again meanwhile.
    pub(crate) async fn garbage_deleted(&self, garbage: &Garbage) -> Result<(), CatalogueError> {
        match next_visit(garbage.url_expires_at, now()) {
            Some(due_at) => {
                sql("UPDATE garbage SET due_at = $3, failures = 0 WHERE key = $1 AND revision = $2")
                    .bind(&garbage.key)
                    .bind(garbage.revision)
                    .bind(due_at)
            }
            None => sql("DELETE FROM garbage WHERE key = $1 AND revision = $2")
                .bind(&garbage.key)
                .bind(garbage.revision),
        }
        .execute(&self.writer)
        .await?;
        Ok(())
    }

    /// A key could not be deleted: it is tried again later, less and less often.
    pub(crate) async fn garbage_kept(&self, garbage: &Garbage) -> Result<(), CatalogueError> {
        let pause = (1000_i64 << garbage.failures.clamp(0, 20)).min(LONGEST_PAUSE);
        sql(
            "UPDATE garbage SET due_at = $3, failures = failures + 1 WHERE key = $1 AND revision = $2",
        )
        .bind(&garbage.key)
        .bind(garbage.revision)
        .bind(now() + pause)
        .execute(&self.writer)
        .await?;
        Ok(())
    }

    /// A key was not visited: it is due as before.
    pub(crate) async fn give_garbage_back(&self, garbage: &Garbage) -> Result<(), CatalogueError> {
        sql("UPDATE garbage SET due_at = $3 WHERE key = $1 AND revision = $2")
            .bind(&garbage.key)
            .bind(garbage.revision)
            .bind(now())
            .execute(&self.writer)
            .await?;
        Ok(())
    }
}

/// Puts a key in the outbox, within the transaction that makes it garbage.
pub(super) async fn discard(
    transaction: &mut Transaction,
    key: &str,
    url_expires_at: Option<i64>,
    multipart: Option<&str>,
) -> Result<(), CatalogueError> {
    sql(
        "INSERT INTO garbage (key, url_expires_at, due_at, multipart_id) VALUES ($1, $2, $3, $4)
         ON CONFLICT (key) DO UPDATE SET
             multipart_id = coalesce($4, garbage.multipart_id),
             url_expires_at = CASE
                 WHEN garbage.url_expires_at > $2 THEN garbage.url_expires_at
                 ELSE coalesce($2, garbage.url_expires_at) END,
             due_at = $3, revision = garbage.revision + 1",
    )
    .bind(key)
    .bind(url_expires_at)
    .bind(now())
    .bind(multipart)
    .execute(transaction)
    .await?;
    Ok(())
}

fn next_visit(url_expires_at: Option<i64>, now: i64) -> Option<i64> {
    let expires = url_expires_at?;
    LATE_WRITERS
        .into_iter()
        .map(|late| expires + late)
        .find(|&visit| visit > now)
}

#[cfg(test)]
mod tests {
    use super::*;

    use imgn_protocol::{FileName, OpenRequest, Sha256, UploadId};

    use super::super::{Abort, Expiry, Outcome, Picture, Published, conformance::cases};
    use crate::storage::keys;

    /// An abort can come between the worker's last look at the upload and its thumbnails, and the worker can fail
    /// between these and the end: the keys must have a visit to come then.
    #[tokio::test]
    async fn thumbnails_of_a_verification_in_vain_are_visited_later_too() {
        for case in cases().await {
            let catalogue = &case.catalogue;
            let id = UploadId::new();
            let request = OpenRequest {
                file_name: FileName::parse("a.jpg").unwrap(),
                size: 1,
                sha256: Sha256::of(b"a"),
                content_type: None,
                checksum_algorithms: vec![],
            };
            let expiry = Expiry {
                url_expires_at: now(),
                look_at: now(),
            };
            let opened = catalogue
                .open_upload(id, 1, &request, None, Some(expiry))
                .await;
            assert!(matches!(opened, Ok(Outcome::New(_))), "{opened:?}");
            let upload = catalogue.begin_verifying(id).await.unwrap().unwrap();
            assert_eq!(catalogue.abort(id, Some(1)).await.unwrap(), Abort::Ended);

            let thumbnails: Vec<_> = keys::thumbnails(upload.image).collect();
            let outbox = async || -> Vec<(String, i64)> {
                sql("SELECT key, due_at FROM garbage WHERE key LIKE 'thumbnails/%' ORDER BY key")
                    .fetch_all(&catalogue.reader)
                    .await
                    .unwrap()
            };
            let visit_all = async || {
                for garbage in catalogue.take_garbage(100).await.unwrap() {
                    catalogue.garbage_deleted(&garbage).await.unwrap();
                }
            };
            visit_all().await;
            let later = outbox().await;
            assert_eq!(later.len(), thumbnails.len());
            assert!(later.iter().all(|(_, due_at)| *due_at > now()), "{later:?}");

            // Whoever still was at it makes them due at once, also when nobody knows the upload any more.
            let forget = async || {
                sql("DELETE FROM garbage")
                    .execute(&catalogue.writer)
                    .await
                    .unwrap();
            };
            forget().await;
            assert!(catalogue.discard_leftovers(id).await.unwrap());
            assert_eq!(outbox().await.len(), thumbnails.len());
            let picture = Picture {
                width: 1,
                height: 1,
                content_type: "image/jpeg",
                thumbhash: vec![0],
                animated: false,
                taken_at: None,
                camera: None,
                lens: None,
                exposure: None,
                location: None,
            };
            for ended in [false, true] {
                forget().await;
                if ended {
                    sql("DELETE FROM uploads")
                        .execute(&catalogue.writer)
                        .await
                        .unwrap();
                }
                let published = catalogue.publish(&upload, &picture).await.unwrap();
                assert_eq!(published, Published::TooLate);
                assert_eq!(outbox().await.len(), thumbnails.len());
            }
            assert!(!catalogue.discard_leftovers(id).await.unwrap());
            catalogue.close().await;
        }
    }

    #[test]
    fn a_key_is_visited_until_no_request_can_write_it() {
        assert_eq!(next_visit(None, 1), None);
        assert_eq!(next_visit(Some(1_000), 0), Some(6_000));
        assert_eq!(next_visit(Some(1_000), 6_000), Some(3_601_000));
        assert_eq!(next_visit(Some(1_000), 3_601_000), None);
    }
}
