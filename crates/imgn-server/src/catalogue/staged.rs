//! What other people's clients are about to send, until it is there and becomes an upload.
//!
//! Invariant: a row leaves this table in the transaction that makes an upload of it under verification, or one that
//! ended; or in the one that makes garbage of whatever was sent. While it is here, an upload of its id is open, and is of
//! its picture.

use imgn_protocol::{FileName, ImageId, OpenRequest, UploadId};

use super::{
    Abort, Catalogue, CatalogueError, Expiry, Upload, UploadState,
    database::{Transaction, claiming, sql},
    from_column,
    garbage::discard,
    now, parse,
    together::{Done, each},
    uploads::{abort_found, adopt_published, find, insert, record_url, set_state},
    usage::{Over, Sender, count_bytes},
};
use crate::{allowance::Allowance, storage::keys};

/// How long a server has what it is to look for, in milliseconds, before another one looks.
const LOOKED_FOR: i64 = 10 * 1000;

/// The pause before a row that could not be read is read again, in milliseconds.
const PAUSE_AT_UNREADABLE: i64 = 60 * 60 * 1000;

/// Something that somebody may send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Staged {
    /// Also that of the upload that it becomes.
    pub(crate) id: UploadId,
    pub(crate) owner: i64,
    /// What its picture will be. Another one when other bytes are sent at once in place of the first.
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
    /// Where somebody without a token is who sends it.
    pub(crate) origin: Option<String>,
    /// Whether its key is below its owner's prefix.
    pub(crate) below_owner: bool,
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
            origin: None,
            below_owner: true,
        }
    }

    /// Where it is sent to.
    pub(crate) fn key(&self) -> String {
        if self.in_parts {
            keys::original(self.image)
        } else if self.below_owner {
            keys::staged(self.owner, self.id)
        } else {
            keys::staged_beside_others(self.id)
        }
    }
}

/// How much an owner may have under way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MostUnderWay {
    pub(crate) uploads: u32,
    /// Whether those that were announced count too, and not only what nobody knows the size of.
    pub(crate) counts_announced: bool,
}

/// Whether there is room for one more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    /// It is expected now, and counted.
    Yes,
    /// Its owner has as much under way as is allowed.
    TooMuchUnderWay,
    /// Its sender has begun as much as is allowed.
    Over(Over),
}

/// How opening the upload of what was sent ended.
#[derive(Debug)]
pub(crate) enum Opened {
    /// It is open, and the bytes belong under its picture's key.
    Open(Box<Upload>),
    /// It has gone further already, and nothing is expected any more.
    Over(Box<Upload>),
    /// Somebody had opened the id for a picture of their own: what was sent is garbage.
    Foreign,
    /// It was ended meanwhile, or is another picture by now.
    Gone,
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
    origin: Option<String>,
    below_owner: bool,
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
            origin: row.origin,
            below_owner: row.below_owner,
        })
    }
}

impl Catalogue {
    /// Writes down what may be sent, before there is a URL that can send it, and counts it where that is bounded by `quota`,
    /// if there is room. Its size is counted when it is there.
    pub(crate) async fn stage(
        &self,
        staged: &Staged,
        look_at: Option<i64>,
        most: MostUnderWay,
        quota: Option<Allowance>,
    ) -> Result<Room, CatalogueError> {
        let insert = sql(
            "INSERT INTO staged
                 (id, owner, image_id, file_name, in_parts, multipart_id, url_expires_at, look_at, created_at, origin,
                  below_owner)
             SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $12, $13
             WHERE $10 > (SELECT count(*) FROM staged WHERE owner = $2)
                 + (SELECT count(*) FROM uploads WHERE $11 AND owner = $2 AND state = 'open'
                     AND (multipart_id IS NOT NULL OR url_expires_at > $9))
             RETURNING id",
        )
        .bind(staged.id.to_string())
        .bind(staged.owner)
        .bind(staged.image.to_string())
        .bind(staged.file_name.as_str())
        .bind(staged.in_parts)
        .bind(&staged.multipart)
        .bind(staged.url_expires_at)
        .bind(look_at)
        .bind(staged.created_at)
        .bind(most.uploads)
        .bind(most.counts_announced)
        .bind(&staged.origin)
        .bind(staged.below_owner);
        let sender = Sender {
            owner: staged.owner,
            origin: staged.origin.clone(),
            most: quota,
        };
        let count = sender.count(0);
        let is_counted = count.is_some();
        let statements: Vec<_> = count.into_iter().chain([insert]).collect();
        // So that no other one is counting at this moment.
        let done = match self.writer.is_postgres() {
            true => each(self.begin_passing().await?, statements).await?,
            false => self.all_or_nothing(statements).await?,
        };
        Ok(match done {
            Done::All => Room::Yes,
            Done::NotFrom(0) if is_counted => Room::Over(self.what_is_over(&sender, 0).await?),
            Done::NotFrom(_) => Room::TooMuchUnderWay,
        })
    }

    /// How many uploads of this owner may put bytes into the store, or have: what is expected, and what was announced
    /// and is open.
    pub(crate) async fn under_way(&self, owner: i64) -> Result<u32, CatalogueError> {
        let count: i64 = sql("SELECT (SELECT count(*) FROM staged WHERE owner = $1)
                 + (SELECT count(*) FROM uploads WHERE owner = $1 AND state = 'open'
                     AND (multipart_id IS NOT NULL OR url_expires_at > $2))")
        .bind(owner)
        .bind(now())
        .scalar(&self.reader)
        .await?;
        from_column(count, "count")
    }

    /// How many uploads of all may still be sent.
    pub(crate) async fn open_uploads(&self) -> Result<u32, CatalogueError> {
        let count: i64 = sql("SELECT (SELECT count(*) FROM staged)
                 + (SELECT count(*) FROM uploads WHERE state = 'open')")
        .scalar(&self.reader)
        .await?;
        from_column(count, "count")
    }

    /// What is expected under this id, whosever it is.
    pub(crate) async fn staged(&self, id: UploadId) -> Result<Option<Staged>, CatalogueError> {
        let read = async {
            let row: Option<Row> = sql("SELECT * FROM staged WHERE id = $1")
                .bind(id.to_string())
                .fetch_optional(&self.reader)
                .await?;
            row.map(Staged::try_from).transpose()
        };
        self.remembered.row(id, read).await
    }

    /// The same, found by the picture that it will be.
    pub(crate) async fn staged_image(
        &self,
        image: ImageId,
    ) -> Result<Option<Staged>, CatalogueError> {
        let row: Option<Row> = sql("SELECT * FROM staged WHERE image_id = $1")
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
        sql("UPDATE staged SET multipart_id = $2 WHERE id = $1")
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
        let updated = sql(
            "UPDATE staged SET url_expires_at = CASE WHEN url_expires_at > $2 THEN url_expires_at ELSE $2 END
             WHERE id = $1 RETURNING id",
        )
        .bind(staged.id.to_string())
        .bind(expiry.url_expires_at + ahead);
        Ok(self.all_or_nothing(vec![updated]).await? == Done::All)
    }

    /// Says when to look for it, in milliseconds since 1970.
    pub(crate) async fn look_for_staged(
        &self,
        id: UploadId,
        at: i64,
    ) -> Result<(), CatalogueError> {
        sql("UPDATE staged SET look_at = $2 WHERE id = $1")
            .bind(id.to_string())
            .bind(at)
            .execute(&self.writer)
            .await?;
        Ok(())
    }

    /// Says that all is to be looked for now that is looked for at all: a server that ended may have missed what arrived.
    pub(crate) async fn look_for_all_staged(&self) -> Result<(), CatalogueError> {
        sql("UPDATE staged SET look_at = $1 WHERE look_at > $1")
            .bind(now())
            .execute(&self.writer)
            .await?;
        Ok(())
    }

    /// Takes what to look for now, the longest due first. Another server looks for it when this one has not said in a
    /// while when to look again.
    pub(crate) async fn take_staged_due(&self, limit: u32) -> Result<Vec<Staged>, CatalogueError> {
        let now = now();
        let rows: Vec<Row> = claiming!(
            "SELECT id FROM staged WHERE look_at <= $1 ORDER BY look_at LIMIT $2",
            "UPDATE staged SET look_at = $3 WHERE id IN (SELECT id FROM due) RETURNING *"
        )
        .bind(now)
        .bind(limit)
        .bind(now + LOOKED_FOR)
        .fetch_all(&self.writer)
        .await?;
        let mut due = Vec::with_capacity(rows.len());
        for row in rows {
            let id = row.id.clone();
            match Staged::try_from(row) {
                Ok(staged) => due.push(staged),
                // Out of the way, or it would be due for ever.
                Err(error) => {
                    tracing::error!(id, %error, "something expected cannot be read");
                    sql("UPDATE staged SET look_at = $2 WHERE id = $1")
                        .bind(&id)
                        .bind(now + PAUSE_AT_UNREADABLE)
                        .execute(&self.writer)
                        .await?;
                }
            }
        }
        Ok(due)
    }

    /// When something is to be looked for next.
    pub(crate) async fn next_staged_look(&self) -> Result<Option<i64>, CatalogueError> {
        sql("SELECT min(look_at) FROM staged WHERE look_at IS NOT NULL")
            .scalar(&self.reader)
            .await
    }

    /// Parts that nobody asked to put together, of uploads that began this many milliseconds ago or more.
    pub(crate) async fn old_staged_parts(
        &self,
        age: i64,
        limit: u32,
    ) -> Result<Vec<Staged>, CatalogueError> {
        let rows: Vec<Row> = sql(
            "SELECT * FROM staged WHERE in_parts AND created_at <= $1 ORDER BY created_at LIMIT $2",
        )
        .bind(now() - age)
        .bind(limit)
        .fetch_all(&self.reader)
        .await?;
        Ok(super::unfinished::valid(rows, Staged::try_from))
    }

    /// Opens the upload that it becomes, now that it is known what was sent. Can be repeated, also for other bytes: these
    /// are another picture then, for the first one's keys may be visited as garbage at any time from here on.
    pub(crate) async fn open_staged(
        &self,
        staged: &Staged,
        request: &OpenRequest,
        expiry: Expiry,
    ) -> Result<Opened, CatalogueError> {
        let id = staged.id;
        let mut transaction = self.begin().await?;
        let image: Option<String> = sql("SELECT image_id FROM staged WHERE id = $1")
            .bind(id.to_string())
            .scalar_optional(&mut transaction)
            .await?;
        if image != Some(staged.image.to_string()) {
            return Ok(Opened::Gone);
        }
        let mut upload = Upload {
            id,
            owner: staged.owner,
            image: staged.image,
            announced: request.clone(),
            state: UploadState::Open,
            plan: None,
            multipart: None,
            url_expires_at: Some(expiry.url_expires_at),
            just_ended: false,
        };
        match find(&mut transaction, id).await? {
            None => insert(&mut transaction, &upload, None).await?,
            Some(known) if known.image != staged.image || known.state != UploadState::Open => {
                take_out(&mut transaction, id, Some(&known)).await?;
                transaction.commit().await?;
                return Ok(if known.image == staged.image {
                    Opened::Over(Box::new(known))
                } else {
                    Opened::Foreign
                });
            }
            Some(known) if known.announced == *request => upload = known,
            Some(known) => {
                sql("DELETE FROM uploads WHERE id = $1")
                    .bind(id.to_string())
                    .execute(&mut transaction)
                    .await?;
                if !staged.in_parts {
                    let until = known.url_expires_at.max(Some(now()));
                    let key = keys::original(known.image);
                    discard(&mut transaction, &key, until, known.multipart.as_deref()).await?;
                    upload.image = ImageId::new();
                    sql("UPDATE staged SET image_id = $2 WHERE id = $1")
                        .bind(id.to_string())
                        .bind(upload.image.to_string())
                        .execute(&mut transaction)
                        .await?;
                }
                insert(&mut transaction, &upload, None).await?;
            }
        }
        // As of a URL that has just expired: something lies under the picture's key, or will in a moment.
        record_url(&mut transaction, id, expiry).await?;
        let upload = adopt_published(&mut transaction, upload).await?;
        let is_open = upload.state == UploadState::Open;
        if !is_open {
            take_out(&mut transaction, id, Some(&upload)).await?;
        }
        transaction.commit().await?;
        let upload = Box::new(upload);
        Ok(if is_open {
            Opened::Open(upload)
        } else {
            Opened::Over(upload)
        })
    }

    /// The bytes are where the upload has them: from here on it is one like any other, and is verified. Answers it as it
    /// stands now; `None` when it was ended meanwhile, or is of other bytes.
    pub(crate) async fn adopt_staged(
        &self,
        opened: &Upload,
    ) -> Result<Option<Upload>, CatalogueError> {
        let mut transaction = self.begin().await?;
        let Some(upload) = find(&mut transaction, opened.id).await? else {
            return Ok(None);
        };
        let staged = take_out(&mut transaction, opened.id, Some(&upload)).await?;
        if upload.image != opened.image || staged.is_none_or(|staged| staged.image != opened.image)
        {
            return Ok(None);
        }
        let mut upload = adopt_published(&mut transaction, upload).await?;
        if upload.state == UploadState::Open {
            set_state(&mut transaction, opened.id, "verifying").await?;
            upload.state = UploadState::Verifying;
        }
        transaction.commit().await?;
        Ok(Some(upload))
    }

    /// Ends it without a picture: what was sent of it is garbage, and an upload that was opened for it is aborted.
    /// `Unknown` when it is not expected any more.
    pub(crate) async fn unstage(&self, id: UploadId) -> Result<Abort, CatalogueError> {
        let mut transaction = self.begin().await?;
        let upload = find(&mut transaction, id).await?;
        let gone = take_out(&mut transaction, id, upload.as_ref()).await?;
        let abort = match (gone, upload) {
            (None, _) => Abort::Unknown,
            (Some(_), None) => Abort::Ended,
            (Some(_), Some(upload)) => abort_found(&mut transaction, &upload).await?,
        };
        transaction.commit().await?;
        Ok(abort)
    }
}

/// Takes the row out, in the transaction that decides what becomes of it; `upload` is what stands under its id. What was
/// sent is garbage, unless it lies where the upload has it.
pub(super) async fn take_out(
    transaction: &mut Transaction,
    id: UploadId,
    upload: Option<&Upload>,
) -> Result<Option<Staged>, CatalogueError> {
    let row: Option<Row> = sql("DELETE FROM staged WHERE id = $1 RETURNING *")
        .bind(id.to_string())
        .fetch_optional(&mut *transaction)
        .await?;
    let Some(staged) = row.map(Staged::try_from).transpose()? else {
        return Ok(None);
    };
    if let Some(upload) = upload.filter(|upload| upload.image == staged.image) {
        count_bytes(transaction, &staged, upload.announced.size).await?;
    }
    if !staged.in_parts || upload.is_none_or(|upload| upload.image != staged.image) {
        let (until, multipart) = (Some(staged.url_expires_at), staged.multipart.as_deref());
        discard(transaction, &staged.key(), until, multipart).await?;
    }
    Ok(Some(staged))
}

#[cfg(test)]
mod tests {
    use super::*;

    use imgn_protocol::Sha256;

    use super::super::conformance::cases;
    use crate::auth::Role;

    const MOST: MostUnderWay = MostUnderWay {
        uploads: 2,
        counts_announced: false,
    };

    /// Somebody may send a file.
    async fn expecting(catalogue: &Catalogue, in_parts: bool) -> Staged {
        let staged = Staged::new(1, FileName::clean("a.jpg"), in_parts, now() + 1000);
        let most = MostUnderWay {
            uploads: 10,
            ..MOST
        };
        let room = catalogue.stage(&staged, None, most, None).await;
        assert_eq!(room.unwrap(), Room::Yes);
        staged
    }

    /// The test, with each database, at once and in parts.
    async fn each_way(test: impl AsyncFn(&Catalogue, Staged)) {
        for case in cases().await {
            for in_parts in [false, true] {
                let staged = expecting(&case.catalogue, in_parts).await;
                test(&case.catalogue, staged).await;
            }
            case.catalogue.close().await;
        }
    }

    async fn open(catalogue: &Catalogue, staged: &Staged, bytes: &[u8]) -> Opened {
        let request = OpenRequest {
            file_name: staged.file_name.clone(),
            size: bytes.len() as u64,
            sha256: Sha256::of(bytes),
            content_type: None,
            checksum_algorithms: vec![],
        };
        let (url_expires_at, look_at) = (now(), now() + 1000);
        let expiry = Expiry {
            url_expires_at,
            look_at,
        };
        let opened = catalogue.open_staged(staged, &request, expiry).await;
        opened.unwrap()
    }

    async fn opened(catalogue: &Catalogue, staged: &Staged, bytes: &[u8]) -> Upload {
        match open(catalogue, staged, bytes).await {
            Opened::Open(upload) => *upload,
            other => panic!("{other:?}"),
        }
    }

    async fn is_garbage(catalogue: &Catalogue, key: &str) -> bool {
        let count: i64 = sql("SELECT count(*) FROM garbage WHERE key = $1")
            .bind(key)
            .scalar(&catalogue.reader)
            .await
            .unwrap();
        count == 1
    }

    #[tokio::test]
    async fn what_ended_while_it_was_read_is_not_opened() {
        each_way(async |catalogue, staged| {
            let ended = catalogue.unstage(staged.id).await.unwrap();
            assert_eq!(ended, Abort::Ended);
            let late = open(catalogue, &staged, b"a").await;
            assert!(matches!(late, Opened::Gone), "{late:?}");
            assert!(catalogue.upload(staged.id).await.unwrap().is_none());
            assert!(is_garbage(catalogue, &staged.key()).await);
        })
        .await;
    }

    #[tokio::test]
    async fn what_ended_after_it_was_opened_is_not_adopted() {
        each_way(async |catalogue, staged| {
            let upload = opened(catalogue, &staged, b"a").await;
            let ended = catalogue.unstage(staged.id).await.unwrap();
            assert_eq!(ended, Abort::Ended);
            assert!(catalogue.adopt_staged(&upload).await.unwrap().is_none());
            let upload = catalogue.upload(staged.id).await.unwrap().unwrap();
            assert_eq!(upload.state, UploadState::Aborted);
            assert!(is_garbage(catalogue, &keys::original(upload.image)).await);
            assert!(is_garbage(catalogue, &staged.key()).await);
        })
        .await;
    }

    #[tokio::test]
    async fn what_is_under_verification_is_not_expected_any_more() {
        each_way(async |catalogue, staged| {
            let upload = opened(catalogue, &staged, b"a").await;
            // By the sweeper, which has seen that the bytes are there.
            catalogue.begin_verifying(upload.id).await.unwrap();
            assert_eq!(catalogue.staged(staged.id).await.unwrap(), None);
            let ended = catalogue.unstage(staged.id).await.unwrap();
            assert_eq!(ended, Abort::Unknown);
            assert!(catalogue.adopt_staged(&upload).await.unwrap().is_none());
            assert!(!is_garbage(catalogue, &keys::original(upload.image)).await);
            assert_eq!(is_garbage(catalogue, &staged.key()).await, !staged.in_parts);
        })
        .await;
    }

    #[tokio::test]
    async fn other_bytes_are_another_picture_and_an_attempt_at_the_first_comes_too_late() {
        for case in cases().await {
            let catalogue = &case.catalogue;
            let staged = expecting(catalogue, false).await;
            let first = opened(catalogue, &staged, b"a").await;
            assert_eq!(first.image, opened(catalogue, &staged, b"a").await.image);
            let second = opened(catalogue, &staged, b"b").await;
            assert_ne!(first.image, second.image);
            assert!(is_garbage(catalogue, &keys::original(first.image)).await);
            // In another environment, which still has the row as it was.
            let late = open(catalogue, &staged, b"a").await;
            assert!(matches!(late, Opened::Gone), "{late:?}");
            assert!(catalogue.adopt_staged(&first).await.unwrap().is_none());
            let adopted = catalogue.adopt_staged(&second).await.unwrap().unwrap();
            assert_eq!(adopted.state, UploadState::Verifying);
            assert_eq!(adopted.image, second.image);
            assert!(!is_garbage(catalogue, &keys::original(second.image)).await);
            catalogue.close().await;
        }
    }

    #[tokio::test]
    async fn no_more_is_expected_than_an_owner_may_have_under_way() {
        for case in cases().await {
            let catalogue = &case.catalogue;
            let first = expecting(catalogue, false).await;
            catalogue.add_token("bob", Role::Uploader).await.unwrap();
            let stage = async |owner, counts_announced| {
                let staged = Staged::new(owner, FileName::clean("b.jpg"), true, now());
                let most = MostUnderWay {
                    counts_announced,
                    ..MOST
                };
                let room = catalogue.stage(&staged, None, most, None).await;
                room.unwrap() == Room::Yes
            };
            assert!(stage(1, false).await);
            assert!(!stage(1, false).await);
            assert!(stage(2, false).await);
            assert_eq!(catalogue.under_way(1).await.unwrap(), 2);
            catalogue.unstage(first.id).await.unwrap();
            assert_eq!(catalogue.under_way(1).await.unwrap(), 1);

            // What was announced and may be sent at this moment.
            let id = UploadId::new();
            let request = OpenRequest {
                file_name: first.file_name.clone(),
                size: 1,
                sha256: Sha256::of(b"a"),
                content_type: None,
                checksum_algorithms: vec![],
            };
            let opened = catalogue.open_upload(id, 1, &request, None, None).await;
            opened.unwrap();
            assert_eq!(catalogue.under_way(1).await.unwrap(), 1, "it has no URL");
            let expiry = Expiry {
                url_expires_at: now() + 60_000,
                look_at: now() + 60_000,
            };
            assert!(catalogue.url_signed(id, expiry).await.unwrap());
            assert_eq!(catalogue.under_way(1).await.unwrap(), 2);
            assert!(!stage(1, true).await);
            assert!(stage(1, false).await);
            catalogue.close().await;
        }
    }
}
