//! What the catalogue keeps of an upload in parts: how it is divided, the store's name for it, and what was signed.
//!
//! Not here: the parts themselves. Which of them there are only the store knows.
//!
//! Invariant: how an upload is divided is written when it opens and never again; its store-side name changes only from
//! none to one and back, so of two that create it one finds out that the other was first.

use imgn_protocol::{Checksum, ChecksumAlgorithm, UploadId};

use super::{
    Catalogue, CatalogueError, Expiry, Upload, UploadState,
    database::{either, sql},
    from_column, now,
    uploads::find,
};

/// How an upload is sent in parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Of every part but the last, in bytes.
    pub(crate) part_size: u64,
    /// From 1 to 10,000.
    pub(crate) part_count: u32,
    pub(crate) algorithm: ChecksumAlgorithm,
    /// Whether the catalogue keeps what was signed for each part, because the store does not tell it.
    pub(crate) remembers_sums: bool,
}

impl Plan {
    /// The exact size of a part in bytes, when there is one of this number in a file of `size` bytes.
    pub(crate) fn size_of(&self, number: u32, size: u64) -> Option<u64> {
        if !(1..=self.part_count).contains(&number) {
            return None;
        }
        let before = u64::from(number - 1) * self.part_size;
        Some(self.part_size.min(size.saturating_sub(before)))
    }
}

impl Catalogue {
    /// The store made a multipart upload. Answers the upload as it is now: it has this name, unless another came first
    /// or it has ended.
    pub(crate) async fn note_multipart(
        &self,
        id: UploadId,
        multipart: &str,
    ) -> Result<Option<Upload>, CatalogueError> {
        let mut transaction = self.begin().await?;
        sql("UPDATE uploads SET multipart_id = $2, updated_at = $3
             WHERE id = $1 AND state = 'open' AND multipart_id IS NULL")
        .bind(id.to_string())
        .bind(multipart)
        .bind(now())
        .execute(&mut transaction)
        .await?;
        let upload = find(&mut transaction, id).await?;
        transaction.commit().await?;
        Ok(upload)
    }

    /// The store knows no multipart upload of this name any more: the next URL needs a new one.
    pub(crate) async fn forget_multipart(
        &self,
        id: UploadId,
        multipart: &str,
    ) -> Result<(), CatalogueError> {
        sql("UPDATE uploads SET multipart_id = NULL, updated_at = $3
             WHERE id = $1 AND state = 'open' AND multipart_id = $2")
        .bind(id.to_string())
        .bind(multipart)
        .bind(now())
        .execute(&self.writer)
        .await?;
        Ok(())
    }

    /// Writes down that a URL is about to be signed for a part; `false` when the upload takes no more bytes. `upload` is
    /// how it was read for this request: what it says already is not written again, for every part passes here.
    /// `multipart` is what the URL is for: a checksum of one that the store has lost meanwhile is not remembered.
    pub(crate) async fn part_signed(
        &self,
        upload: &Upload,
        multipart: &str,
        number: u32,
        checksum: &Checksum,
        expiry: Expiry,
    ) -> Result<bool, CatalogueError> {
        if upload.state != UploadState::Open {
            return Ok(false);
        }
        let remembers = upload.plan.is_some_and(|plan| plan.remembers_sums);
        let is_known = upload.url_expires_at >= Some(expiry.url_expires_at);
        if is_known && !remembers {
            return Ok(true);
        }
        // Good for as long again, so that the parts that follow need not write.
        let ahead = expiry.url_expires_at.saturating_sub(now()).max(0);
        let expiry = Expiry {
            url_expires_at: expiry.url_expires_at + ahead,
            look_at: expiry.look_at + ahead,
        };
        let is_open = is_known || self.url_signed(upload.id, expiry).await?;
        if is_open && remembers {
            // Nothing of what ended meanwhile: the trigger that clears has gone by. With PostgreSQL one that is about to
            // end it is waited for, and this is asked of what it left.
            either(
                "PRAGMA synchronous = NORMAL;
                 INSERT INTO signed_parts (upload_id, number, checksum)
                 SELECT id, $2, $3 FROM uploads WHERE id = $1 AND state = 'open' AND multipart_id = $4
                 ON CONFLICT DO NOTHING",
                "INSERT INTO signed_parts (upload_id, number, checksum)
                 SELECT id, $2, $3 FROM uploads WHERE id = $1 AND state = 'open' AND multipart_id = $4 FOR SHARE
                 ON CONFLICT DO NOTHING",
            )
            .bind(upload.id.to_string())
            .bind(number)
            .bind(checksum.to_bytes())
            .bind(multipart)
            .execute(&self.writer)
            .await?;
        }
        Ok(is_open)
    }

    /// The checksums that were signed for the parts of an upload, by number; a part may have several.
    pub(crate) async fn signed_parts(
        &self,
        id: UploadId,
        algorithm: ChecksumAlgorithm,
    ) -> Result<Vec<(u32, Checksum)>, CatalogueError> {
        let rows: Vec<(i64, Vec<u8>)> =
            sql("SELECT number, checksum FROM signed_parts WHERE upload_id = $1 ORDER BY number")
                .bind(id.to_string())
                .fetch_all(&self.reader)
                .await?;
        rows.into_iter()
            .map(|(number, bytes)| {
                let checksum = Checksum::from_bytes(algorithm, &bytes)
                    .map_err(|_| CatalogueError::Invalid { what: "checksum" })?;
                Ok((from_column(number, "part number")?, checksum))
            })
            .collect()
    }

    /// Whether an upload that has not ended has this name in the store.
    pub(crate) async fn knows_multipart(&self, multipart: &str) -> Result<bool, CatalogueError> {
        sql(
            "SELECT EXISTS (SELECT 1 FROM uploads WHERE multipart_id = $1 AND state IN ('open', 'verifying'))
                 OR EXISTS (SELECT 1 FROM staged WHERE multipart_id = $1)",
        )
        .bind(multipart)
        .scalar(&self.reader)
        .await
    }
}

pub(super) fn name_of(algorithm: ChecksumAlgorithm) -> &'static str {
    match algorithm {
        ChecksumAlgorithm::Sha256 => "sha256",
        ChecksumAlgorithm::Crc64Nvme => "crc64_nvme",
        ChecksumAlgorithm::Crc32c => "crc32c",
    }
}

pub(super) fn algorithm_named(name: &str) -> Result<ChecksumAlgorithm, CatalogueError> {
    ChecksumAlgorithm::ALL
        .into_iter()
        .find(|&algorithm| name_of(algorithm) == name)
        .ok_or(CatalogueError::Invalid {
            what: "checksum algorithm",
        })
}
