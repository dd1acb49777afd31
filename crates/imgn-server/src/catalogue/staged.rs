//! What other people's clients are about to send, until it is there and becomes an upload.
//!
//! Invariant: a row leaves this table in the transaction that makes an upload of it under verification, or one that
//! ended; or in the one that makes garbage of whatever was sent.

use imgn_protocol::{FileName, ImageId, OpenRequest, UploadId};

use super::{
    Catalogue, CatalogueError, Expiry, Outcome, Upload, UploadState,
    garbage::discard,
    now, parse, passing,
    uploads::{adopt_published, find, set_state},
};
use crate::storage::keys;

/// Something that somebody may send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Staged {
    /// Also that of the upload that it becomes.
    pub(crate) id: UploadId,
    pub(crate) owner: i64,
    /// What its picture will be.
    pub(crate) image: ImageId,
    pub(crate) file_name: FileName,
    /// Whether it is sent in parts; else at once.
    pub(crate) in_parts: bool,
    /// The store's name of its parts.
    pub(crate) multipart: Option<String>,
    /// Milliseconds since 1970.
    pub(crate) url_expires_at: i64,
    /// Milliseconds since 1970.
    pub(crate) created_at: i64,
}

impl Staged {
    /// A new one of this moment, whose first URL expires then.
    pub(crate) fn new(
        owner: i64,
        file_name: FileName,
        in_parts: bool,
        url_expires_at: i64,
    ) -> Self {
        Self {
            id: UploadId::new(),
            owner,
            image: ImageId::new(),
            file_name,
            in_parts,
            multipart: None,
            url_expires_at,
            created_at: now(),
        }
    }

    /// Where it is sent to.
    pub(crate) fn key(&self) -> String {
        if self.in_parts {
            keys::original(self.image)
        } else {
            keys::staged(self.id)
        }
    }
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    owner: i64,
    image_id: String,
    file_name: String,
    in_parts: bool,
    multipart_id: Option<String>,
    url_expires_at: i64,
    created_at: i64,
}

impl TryFrom<Row> for Staged {
    type Error = CatalogueError;

    fn try_from(row: Row) -> Result<Self, CatalogueError> {
        Ok(Self {
            id: parse(&row.id, "upload id")?,
            owner: row.owner,
            image: parse(&row.image_id, "image id")?,
            file_name: FileName::parse(&row.file_name)
                .map_err(|_| CatalogueError::Invalid { what: "file name" })?,
            in_parts: row.in_parts,
            multipart: row.multipart_id,
            url_expires_at: row.url_expires_at,
            created_at: row.created_at,
        })
    }
}

impl Catalogue {
    /// Writes down what may be sent, before there is a URL that can send it.
    pub(crate) async fn stage(
        &self,
        staged: &Staged,
        look_at: Option<i64>,
    ) -> Result<(), CatalogueError> {
        sqlx::query(passing!(
            "INSERT INTO staged
                 (id, owner, image_id, file_name, in_parts, multipart_id, url_expires_at, look_at, created_at)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
        ))
        .bind(staged.id.to_string())
        .bind(staged.owner)
        .bind(staged.image.to_string())
        .bind(staged.file_name.as_str())
        .bind(staged.in_parts)
        .bind(&staged.multipart)
        .bind(staged.url_expires_at)
        .bind(look_at)
        .bind(staged.created_at)
        .execute(&self.writer)
        .await?;
        Ok(())
    }

    /// What is expected under this id, whosever it is.
    pub(crate) async fn staged(&self, id: UploadId) -> Result<Option<Staged>, CatalogueError> {
        let row: Option<Row> = sqlx::query_as("SELECT * FROM staged WHERE id = ?")
            .bind(id.to_string())
            .fetch_optional(&self.reader)
            .await?;
        row.map(Staged::try_from).transpose()
    }

    /// The same, found by the picture that it will be.
    pub(crate) async fn staged_image(
        &self,
        image: ImageId,
    ) -> Result<Option<Staged>, CatalogueError> {
        let row: Option<Row> = sqlx::query_as("SELECT * FROM staged WHERE image_id = ?")
            .bind(image.to_string())
            .fetch_optional(&self.reader)
            .await?;
        row.map(Staged::try_from).transpose()
    }

    /// The store has parts for it now, under this name.
    pub(crate) async fn note_staged_parts(
        &self,
        id: UploadId,
        multipart: &str,
    ) -> Result<(), CatalogueError> {
        sqlx::query("UPDATE staged SET multipart_id = ?2 WHERE id = ?1")
            .bind(id.to_string())
            .bind(multipart)
            .execute(&self.writer)
            .await?;
        Ok(())
    }

    /// Writes down that URLs are about to be signed for its parts; `false` when it takes none any more. Written for
    /// twice as long, so that the parts that follow need not write.
    pub(crate) async fn staged_url(
        &self,
        staged: &Staged,
        expiry: Expiry,
    ) -> Result<bool, CatalogueError> {
        if staged.url_expires_at >= expiry.url_expires_at {
            return Ok(true);
        }
        let ahead = expiry.url_expires_at.saturating_sub(now()).max(0);
        let updated: Vec<String> = sqlx::query_scalar(passing!(
            "UPDATE staged SET url_expires_at = max(url_expires_at, ?2) WHERE id = ?1 RETURNING id"
        ))
        .bind(staged.id.to_string())
        .bind(expiry.url_expires_at + ahead)
        .fetch_all(&self.writer)
        .await?;
        Ok(!updated.is_empty())
    }

    /// Says when to look for it, in milliseconds since 1970.
    pub(crate) async fn look_for_staged(
        &self,
        id: UploadId,
        at: i64,
    ) -> Result<(), CatalogueError> {
        sqlx::query("UPDATE staged SET look_at = ?2 WHERE id = ?1")
            .bind(id.to_string())
            .bind(at)
            .execute(&self.writer)
            .await?;
        Ok(())
    }

    /// What to look for now, the longest due first.
    pub(crate) async fn staged_due(&self, limit: u32) -> Result<Vec<Staged>, CatalogueError> {
        let rows: Vec<Row> =
            sqlx::query_as("SELECT * FROM staged WHERE look_at <= ? ORDER BY look_at LIMIT ?")
                .bind(now())
                .bind(limit)
                .fetch_all(&self.reader)
                .await?;
        Ok(super::unfinished::valid(rows, Staged::try_from))
    }

    /// When something is to be looked for next.
    pub(crate) async fn next_staged_look(&self) -> Result<Option<i64>, CatalogueError> {
        Ok(
            sqlx::query_scalar("SELECT min(look_at) FROM staged WHERE look_at IS NOT NULL")
                .fetch_one(&self.reader)
                .await?,
        )
    }

    /// Parts that nobody asked to put together, of uploads that began this many milliseconds ago or more.
    pub(crate) async fn old_staged_parts(
        &self,
        age: i64,
        limit: u32,
    ) -> Result<Vec<Staged>, CatalogueError> {
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT * FROM staged WHERE in_parts AND created_at <= ? ORDER BY created_at LIMIT ?",
        )
        .bind(now() - age)
        .bind(limit)
        .fetch_all(&self.reader)
        .await?;
        Ok(super::unfinished::valid(rows, Staged::try_from))
    }

    /// Opens the upload that it becomes, now that it is known what was sent. Can be repeated.
    pub(crate) async fn open_staged(
        &self,
        staged: &Staged,
        request: &OpenRequest,
        expiry: Expiry,
    ) -> Result<Outcome, CatalogueError> {
        let (id, owner) = (staged.id, staged.owner);
        // As of a URL that has just expired: something lies under the picture's key, or will in a moment.
        self.open_as(id, owner, staged.image, request, None, Some(expiry))
            .await
    }

    /// Forgets an upload that was opened for other bytes than are there now, and of which nothing was verified yet.
    pub(crate) async fn forget_open(&self, id: UploadId) -> Result<(), CatalogueError> {
        let mut transaction = self.begin().await?;
        let gone: Option<(String, Option<i64>, Option<String>)> = sqlx::query_as(
            "DELETE FROM uploads WHERE id = ? AND state = 'open'
             RETURNING image_id, url_expires_at, multipart_id",
        )
        .bind(id.to_string())
        .fetch_optional(&mut *transaction)
        .await?;
        if let Some((image, until, multipart)) = gone {
            let key = keys::original(parse(&image, "image id")?);
            discard(&mut transaction, &key, until, multipart.as_deref()).await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    /// The bytes are where the upload has them: from here on it is one like any other, and is verified. Answers it as it
    /// stands now.
    pub(crate) async fn adopt_staged(
        &self,
        staged: &Staged,
    ) -> Result<Option<Upload>, CatalogueError> {
        let mut transaction = self.begin().await?;
        let Some(upload) = find(&mut transaction, staged.id).await? else {
            return Ok(None);
        };
        let mut upload = adopt_published(&mut transaction, upload).await?;
        if upload.state == UploadState::Open {
            set_state(&mut transaction, staged.id, "verifying").await?;
            upload.state = UploadState::Verifying;
        }
        let is_another =
            matches!(upload.state, UploadState::Published(image) if image != upload.image);
        sqlx::query("DELETE FROM staged WHERE id = ?")
            .bind(staged.id.to_string())
            .execute(&mut *transaction)
            .await?;
        if !staged.in_parts || is_another {
            let until = Some(staged.url_expires_at);
            discard(&mut transaction, &staged.key(), until, None).await?;
        }
        transaction.commit().await?;
        Ok(Some(upload))
    }

    /// Ends it without a picture: what was sent of it is garbage. `false` when it had ended before.
    pub(crate) async fn unstage(&self, staged: &Staged) -> Result<bool, CatalogueError> {
        let mut transaction = self.begin().await?;
        let gone: Option<(i64, Option<String>)> = sqlx::query_as(
            "DELETE FROM staged WHERE id = ? RETURNING url_expires_at, multipart_id",
        )
        .bind(staged.id.to_string())
        .fetch_optional(&mut *transaction)
        .await?;
        if let Some((until, multipart)) = &gone {
            let multipart = multipart.as_deref();
            discard(&mut transaction, &staged.key(), Some(*until), multipart).await?;
        }
        transaction.commit().await?;
        Ok(gone.is_some())
    }

    /// Who those are that write without a token, where the gallery lets them.
    pub(crate) async fn anonymous(&self) -> Result<i64, CatalogueError> {
        let mut transaction = self.begin().await?;
        sqlx::query(
            "INSERT INTO tokens (name, role, hash, created_at) VALUES (?1, 'uploader', NULL, ?2)
             ON CONFLICT (name) DO NOTHING",
        )
        .bind(super::tokens::ANONYMOUS)
        .bind(now())
        .execute(&mut *transaction)
        .await?;
        let id = sqlx::query_scalar("SELECT id FROM tokens WHERE name = ?")
            .bind(super::tokens::ANONYMOUS)
            .fetch_one(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(id)
    }
}
