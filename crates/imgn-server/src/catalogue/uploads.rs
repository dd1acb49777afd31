//! Uploads, from their opening to their end.

use imgn_protocol::{ErrorCode, ImageId, OpenRequest, Rejection, UploadId};

use super::{
    Catalogue, CatalogueError,
    database::{Sql, Transaction, either, passing, sql},
    garbage::discard,
    images::{Picture, insert_image},
    multipart::{Plan, algorithm_named, name_of},
    now, parse, sha256,
    staged::take_out,
    to_column,
    together::Done,
    usage::{Over, Sender},
};
use crate::storage::keys;

/// Where an upload stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum UploadState {
    /// Bytes may be sent.
    Open,
    /// The bytes are there and are being looked at.
    Verifying,
    /// It is in the gallery, as this picture.
    Published(ImageId),
    /// It will not be in the gallery.
    Rejected(Rejection),
    /// Its client, or the sweeper, ended it.
    Aborted,
}

/// An upload as the catalogue has it.
#[derive(Debug, Clone)]
pub(crate) struct Upload {
    pub(crate) id: UploadId,
    pub(crate) owner: i64,
    /// What its picture will be, and what its keys derive from.
    pub(crate) image: ImageId,
    /// What was announced.
    pub(crate) announced: OpenRequest,
    pub(crate) state: UploadState,
    /// How it is sent in parts; `None` when it is sent by one PUT.
    pub(crate) plan: Option<Plan>,
    /// The store's name for it, when the store has one.
    pub(crate) multipart: Option<String>,
    /// When the last URL that can write its bytes expires, milliseconds since 1970; `None` while none was signed.
    pub(crate) url_expires_at: Option<i64>,
    /// Whether the call that answers with it ended it as the picture that has its bytes: what ends once is told once.
    pub(crate) just_ended: bool,
}

/// How opening ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Opened at this moment; and ended at once, where its bytes are in the gallery.
    New(Box<Upload>),
    /// The upload as it stands now, opened before.
    Known(Box<Upload>),
    /// The id is in use, by somebody else.
    NotYours,
    /// The id is in use, for another file or for what one of other people's clients sends.
    Conflict,
    /// It would have been a new one, for which there is no room.
    Over(Over),
}

/// How publishing ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Published {
    /// The picture is public.
    New,
    /// Another picture has the same bytes, and the upload ended as this one.
    Duplicate(ImageId),
    /// The picture was public before.
    Again,
    /// The upload had ended before, and not as this picture.
    TooLate,
}

/// How aborting ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Abort {
    /// It has ended without a picture, by this call.
    Ended,
    /// It had ended without a picture before.
    EndedBefore,
    /// It ended with a picture.
    Published,
    /// The caller has no such upload.
    Unknown,
}

/// Writes down when a URL expires that may write an open upload's bytes; answers the upload's id, when it is open.
macro_rules! record_url {
    () => {
        "UPDATE uploads SET url_expires_at = CASE WHEN url_expires_at > $2 THEN url_expires_at ELSE $2 END,
             look_at = $3, updated_at = $4
         WHERE id = $1 AND state = 'open' RETURNING id"
    };
}

#[derive(sqlx::FromRow)]
pub(super) struct Row {
    id: String,
    owner: i64,
    image_id: String,
    file_name: String,
    size: i64,
    sha256: Vec<u8>,
    content_type: Option<String>,
    state: String,
    published_image: Option<String>,
    rejection_code: Option<String>,
    rejection_message: Option<String>,
    url_expires_at: Option<i64>,
    part_size: Option<i64>,
    part_count: Option<i64>,
    checksum_algorithm: Option<String>,
    remembers_sums: Option<bool>,
    multipart_id: Option<String>,
}

impl TryFrom<Row> for Upload {
    type Error = CatalogueError;

    fn try_from(row: Row) -> Result<Self, CatalogueError> {
        let invalid = |what| CatalogueError::Invalid { what };
        let plan = match (row.part_size, row.part_count, &row.checksum_algorithm) {
            (Some(size), Some(count), Some(algorithm)) => Some(Plan {
                part_size: super::from_column(size, "part size")?,
                part_count: super::from_column(count, "part count")?,
                algorithm: algorithm_named(algorithm)?,
                remembers_sums: row.remembers_sums.unwrap_or(true),
            }),
            _ => None,
        };
        let state = match row.state.as_str() {
            "open" => UploadState::Open,
            "verifying" => UploadState::Verifying,
            "published" => {
                let image = row.published_image.ok_or(invalid("published image"))?;
                UploadState::Published(parse(&image, "image id")?)
            }
            "rejected" => UploadState::Rejected(Rejection {
                code: rejection_code(row.rejection_code.as_deref())?,
                message: row.rejection_message.unwrap_or_default(),
            }),
            "aborted" => UploadState::Aborted,
            _ => return Err(invalid("upload state")),
        };
        Ok(Self {
            id: parse(&row.id, "upload id")?,
            owner: row.owner,
            image: parse(&row.image_id, "image id")?,
            announced: OpenRequest {
                file_name: imgn_protocol::FileName::parse(&row.file_name)
                    .map_err(|_| invalid("file name"))?,
                size: super::from_column(row.size, "size")?,
                sha256: sha256(&row.sha256)?,
                content_type: row.content_type,
                checksum_algorithms: vec![],
            },
            state,
            plan,
            multipart: row.multipart_id,
            url_expires_at: row.url_expires_at,
            just_ended: false,
        })
    }
}

fn rejection_code(text: Option<&str>) -> Result<ErrorCode, CatalogueError> {
    ErrorCode::ALL
        .iter()
        .copied()
        .find(|code| Some(code.as_str()) == text)
        .ok_or(CatalogueError::Invalid {
            what: "rejection code",
        })
}

impl Catalogue {
    /// Opens an upload, or says where it stands when it was opened before. Bytes that are published already end it at
    /// once. A new one is sent by `plan`, and is counted for its sender. `url_until` is when the URL expires that the caller
    /// wants to sign with it when it is sent by one PUT.
    pub(crate) async fn open_upload(
        &self,
        id: UploadId,
        sender: impl Into<Sender>,
        request: &OpenRequest,
        plan: Option<Plan>,
        url_until: Option<Expiry>,
    ) -> Result<Outcome, CatalogueError> {
        let sender = sender.into();
        let new = Upload {
            id,
            owner: sender.owner,
            image: ImageId::new(),
            announced: request.clone(),
            state: UploadState::Open,
            plan,
            multipart: None,
            url_expires_at: None,
            just_ended: false,
        };
        let url_until = url_until.filter(|_| plan.is_none());
        // Most are new, of new bytes, and not too many.
        let count = sender.count(request.size);
        let statements = count
            .into_iter()
            .chain([new_upload(&new, &sender, url_until)]);
        if self.all_or_nothing(statements.collect()).await? == Done::All {
            return Ok(Outcome::New(Box::new(new)));
        }
        let mut transaction = self.begin_passing().await?;
        let staged_by: Option<i64> = sql("SELECT owner FROM staged WHERE id = $1")
            .bind(id.to_string())
            .scalar_optional(&mut transaction)
            .await?;
        let known = find(&mut transaction, id).await?;
        let is_new = known.is_none();
        let upload = match known {
            _ if staged_by.is_some_and(|by| by != sender.owner) => return Ok(Outcome::NotYours),
            _ if staged_by.is_some() => return Ok(Outcome::Conflict),
            Some(upload) if upload.owner != sender.owner => return Ok(Outcome::NotYours),
            Some(upload) if upload.announced != *request => return Ok(Outcome::Conflict),
            Some(upload) => upload,
            None => {
                // What is published is sent no more, and counted as little.
                let is_published = published_as(&mut transaction, &new).await?.is_some();
                if let Some(count) = sender.count(request.size).filter(|_| !is_published)
                    && !count.returns_a_row(&mut transaction).await?
                {
                    drop(transaction);
                    let over = self.what_is_over(&sender, request.size).await?;
                    return Ok(Outcome::Over(over));
                }
                insert(&mut transaction, &new, sender.origin.as_ref()).await?;
                new
            }
        };
        let upload = adopt_published(&mut transaction, upload).await?;
        if let (UploadState::Open, None, Some(expiry)) = (&upload.state, upload.plan, url_until) {
            record_url(&mut transaction, id, expiry).await?;
        }
        transaction.commit().await?;
        let upload = Box::new(upload);
        Ok(match is_new {
            true => Outcome::New(upload),
            false => Outcome::Known(upload),
        })
    }

    /// The upload that the picture will come from, or came from.
    pub(crate) async fn upload_of_image(
        &self,
        image: ImageId,
    ) -> Result<Option<Upload>, CatalogueError> {
        let row: Option<Row> = sql("SELECT * FROM uploads WHERE image_id = $1")
            .bind(image.to_string())
            .fetch_optional(&self.reader)
            .await?;
        row.map(Upload::try_from).transpose()
    }

    /// The upload, when it is the caller's.
    pub(crate) async fn upload_of(
        &self,
        id: UploadId,
        owner: i64,
    ) -> Result<Option<Upload>, CatalogueError> {
        Ok(self
            .upload(id)
            .await?
            .filter(|upload| upload.owner == owner))
    }

    /// The upload, whosever it is.
    pub(crate) async fn upload(&self, id: UploadId) -> Result<Option<Upload>, CatalogueError> {
        let read = async {
            let row: Option<Row> = sql("SELECT * FROM uploads WHERE id = $1")
                .bind(id.to_string())
                .fetch_optional(&self.reader)
                .await?;
            row.map(Upload::try_from).transpose()
        };
        self.remembered.row(id, read).await
    }

    /// Writes down that a URL is about to be signed; `false` when the upload takes no more bytes.
    pub(crate) async fn url_signed(
        &self,
        id: UploadId,
        expiry: Expiry,
    ) -> Result<bool, CatalogueError> {
        let signed = sql(record_url!())
            .bind(id.to_string())
            .bind(expiry.url_expires_at)
            .bind(expiry.look_at)
            .bind(now());
        Ok(self.all_or_nothing(vec![signed]).await? == Done::All)
    }

    /// The bytes of an open upload are there: from here on they are verified, after every crash too. Answers where the
    /// upload stands now; bytes that somebody else published meanwhile are not looked at.
    pub(crate) async fn begin_verifying(
        &self,
        id: UploadId,
    ) -> Result<Option<Upload>, CatalogueError> {
        // Most are open, and of new bytes: one statement for them.
        let begun: Vec<Row> = passing!(
            "UPDATE uploads SET state = 'verifying', look_at = NULL, updated_at = $2
             WHERE id = $1 AND state = 'open'
                 AND NOT EXISTS (SELECT 1 FROM images WHERE images.sha256 = uploads.sha256)
                 AND NOT EXISTS (SELECT 1 FROM staged WHERE staged.id = uploads.id)
             RETURNING *"
        )
        .bind(id.to_string())
        .bind(now())
        .fetch_all(&self.writer)
        .await?;
        if let Some(row) = begun.into_iter().next() {
            return Ok(Some(row.try_into()?));
        }
        let mut transaction = self.begin_passing().await?;
        let Some(upload) = find(&mut transaction, id).await? else {
            return Ok(None);
        };
        take_out(&mut transaction, id, Some(&upload)).await?;
        let mut upload = adopt_published(&mut transaction, upload).await?;
        if upload.state == UploadState::Open {
            set_state(&mut transaction, id, "verifying").await?;
            upload.state = UploadState::Verifying;
        }
        transaction.commit().await?;
        Ok(Some(upload))
    }

    /// The bytes of an upload under verification are gone: they may be sent again.
    pub(crate) async fn reopen(&self, id: UploadId) -> Result<(), CatalogueError> {
        sql(
            "UPDATE uploads SET state = 'open', multipart_id = NULL, look_at = url_expires_at, updated_at = $2
             WHERE id = $1 AND state = 'verifying'",
        )
        .bind(id.to_string())
        .bind(now())
        .execute(&self.writer)
        .await?;
        Ok(())
    }

    /// A decoder had all the time that there is for an upload under verification, and did not come to its end. Answers how
    /// often that was by now; `None` when it is not under verification any more.
    pub(crate) async fn attempted(&self, id: UploadId) -> Result<Option<u32>, CatalogueError> {
        let attempts: Vec<i64> = sql(
            "UPDATE uploads SET attempts = attempts + 1 WHERE id = $1 AND state = 'verifying' RETURNING attempts",
        )
        .bind(id.to_string())
        .scalars(&self.writer)
        .await?;
        attempts
            .first()
            .map(|&attempts| super::from_column(attempts, "count"))
            .transpose()
    }

    /// Ends an upload under verification with a reason; its bytes become garbage. Does nothing to one that ended, and answers
    /// whether it did.
    pub(crate) async fn reject(
        &self,
        id: UploadId,
        rejection: &Rejection,
    ) -> Result<bool, CatalogueError> {
        let mut transaction = self.begin().await?;
        let changed = sql(
            "UPDATE uploads SET state = 'rejected', rejection_code = $2, rejection_message = $3,
                 look_at = NULL, updated_at = $4 WHERE id = $1 AND state = 'verifying'",
        )
        .bind(id.to_string())
        .bind(rejection.code.as_str())
        .bind(&rejection.message)
        .bind(now())
        .execute(&mut transaction)
        .await?;
        if changed > 0 {
            discard_bytes(&mut transaction, id).await?;
        }
        transaction.commit().await?;
        Ok(changed > 0)
    }

    /// Ends an upload under verification with its picture: row, place in the feed and end of the upload at once. The
    /// thumbnails are stored by now; where they are not the picture's in the end, they become garbage.
    pub(crate) async fn publish(
        &self,
        looked_at: &Upload,
        picture: &Picture,
    ) -> Result<Published, CatalogueError> {
        let id = looked_at.id;
        let mut transaction = self.begin().await?;
        let Some(upload) = find(&mut transaction, id).await? else {
            discard_thumbnails(&mut transaction, looked_at.image).await?;
            transaction.commit().await?;
            return Ok(Published::TooLate);
        };
        let upload = adopt_published(&mut transaction, upload).await?;
        let published = match upload.state {
            UploadState::Verifying => {
                insert_image(&mut transaction, &upload, picture).await?;
                end_published(&mut transaction, id, upload.image).await?;
                Published::New
            }
            UploadState::Published(image) if image == upload.image => Published::Again,
            UploadState::Published(image) if upload.just_ended => {
                discard_bytes(&mut transaction, id).await?;
                Published::Duplicate(image)
            }
            UploadState::Published(_) | UploadState::Rejected(_) | UploadState::Aborted => {
                discard_bytes(&mut transaction, id).await?;
                Published::TooLate
            }
            UploadState::Open => Published::TooLate,
        };
        transaction.commit().await?;
        if matches!(published, Published::New) {
            self.tell_changed();
        }
        Ok(published)
    }

    /// Makes garbage, once more, of what an attempt at an upload may have stored that ended without a picture of its
    /// own meanwhile. Answers whether it is such an upload.
    pub(crate) async fn discard_leftovers(&self, id: UploadId) -> Result<bool, CatalogueError> {
        let mut transaction = self.begin().await?;
        let Some(upload) = find(&mut transaction, id).await? else {
            return Ok(false);
        };
        let is_over = match upload.state {
            UploadState::Open | UploadState::Verifying => false,
            UploadState::Published(image) => image != upload.image,
            UploadState::Rejected(_) | UploadState::Aborted => true,
        };
        if is_over {
            discard_bytes(&mut transaction, id).await?;
            transaction.commit().await?;
        }
        Ok(is_over)
    }

    /// Ends an upload without a picture; its bytes become garbage. `owner` is `None` for the sweeper.
    pub(crate) async fn abort(
        &self,
        id: UploadId,
        owner: Option<i64>,
    ) -> Result<Abort, CatalogueError> {
        let mut transaction = self.begin().await?;
        let upload = find(&mut transaction, id).await?;
        let abort = match upload {
            None => Abort::Unknown,
            Some(upload) if owner.is_some_and(|owner| owner != upload.owner) => Abort::Unknown,
            Some(upload) => {
                take_out(&mut transaction, id, Some(&upload)).await?;
                abort_found(&mut transaction, &upload).await?
            }
        };
        transaction.commit().await?;
        Ok(abort)
    }
}

/// When a URL expires, and when the sweeper should look for what was sent with it; milliseconds since 1970.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expiry {
    pub(crate) url_expires_at: i64,
    pub(crate) look_at: i64,
}

/// The upload, which nothing else changes from here on until the transaction ends: PostgreSQL holds the row against the
/// statements that need no transaction.
pub(super) async fn find(
    transaction: &mut Transaction,
    id: UploadId,
) -> Result<Option<Upload>, CatalogueError> {
    let row: Option<Row> = either(
        "SELECT * FROM uploads WHERE id = $1",
        "SELECT * FROM uploads WHERE id = $1 FOR UPDATE",
    )
    .bind(id.to_string())
    .fetch_optional(transaction)
    .await?;
    row.map(Upload::try_from).transpose()
}

/// Ends an upload that has not ended without a picture; its bytes become garbage.
pub(super) async fn abort_found(
    connection: &mut Transaction,
    upload: &Upload,
) -> Result<Abort, CatalogueError> {
    match upload.state {
        UploadState::Published(_) => Ok(Abort::Published),
        UploadState::Rejected(_) | UploadState::Aborted => Ok(Abort::EndedBefore),
        UploadState::Open | UploadState::Verifying => {
            set_state(connection, upload.id, "aborted").await?;
            discard_bytes(connection, upload.id).await?;
            Ok(Abort::Ended)
        }
    }
}

/// Inserts an upload whose id nobody has or was given, and whose bytes are not in the gallery; returns no row for any other.
fn new_upload(upload: &Upload, sender: &Sender, url_until: Option<Expiry>) -> Sql {
    let query = sql("INSERT INTO uploads
             (id, owner, image_id, file_name, size, sha256, content_type, state, created_at, updated_at,
              part_size, part_count, checksum_algorithm, remembers_sums, origin, url_expires_at, look_at)
         SELECT $1, $2, $3, $4, $5, $6, $7, 'open', $8, $8, $9, $10, $11, $12, $13, $14, $15
         WHERE NOT EXISTS (SELECT 1 FROM images WHERE sha256 = $6)
             AND NOT EXISTS (SELECT 1 FROM staged WHERE id = $1)
         ON CONFLICT (id) DO NOTHING
         RETURNING id");
    bind_upload(query, upload, sender.origin.as_ref())
        .bind(url_until.map(|expiry| expiry.url_expires_at))
        .bind(url_until.map(|expiry| expiry.look_at))
}

pub(super) async fn insert(
    connection: &mut Transaction,
    upload: &Upload,
    origin: Option<&String>,
) -> Result<(), CatalogueError> {
    let query = sql(
        "INSERT INTO uploads
             (id, owner, image_id, file_name, size, sha256, content_type, state, created_at, updated_at,
              part_size, part_count, checksum_algorithm, remembers_sums, origin)
         VALUES ($1, $2, $3, $4, $5, $6, $7, 'open', $8, $8, $9, $10, $11, $12, $13)",
    );
    let query = bind_upload(query, upload, origin);
    query.execute(connection).await?;
    Ok(())
}

/// Binds `?1` to `?13` of a statement that inserts an upload.
fn bind_upload(query: Sql, upload: &Upload, origin: Option<&String>) -> Sql {
    let request = &upload.announced;
    query
        .bind(upload.id.to_string())
        .bind(upload.owner)
        .bind(upload.image.to_string())
        .bind(request.file_name.as_str())
        .bind(to_column(request.size))
        .bind(&request.sha256.as_bytes()[..])
        .bind(&request.content_type)
        .bind(now())
        .bind(upload.plan.map(|plan| to_column(plan.part_size)))
        .bind(upload.plan.map(|plan| i64::from(plan.part_count)))
        .bind(upload.plan.map(|plan| name_of(plan.algorithm)))
        .bind(upload.plan.map(|plan| plan.remembers_sums))
        .bind(origin)
}

/// Ends an upload that has not ended when its bytes are in the gallery already.
pub(super) async fn adopt_published(
    connection: &mut Transaction,
    mut upload: Upload,
) -> Result<Upload, CatalogueError> {
    if !matches!(upload.state, UploadState::Open | UploadState::Verifying) {
        return Ok(upload);
    }
    if let Some(image) = published_as(connection, &upload).await? {
        end_published(connection, upload.id, image).await?;
        discard_bytes(connection, upload.id).await?;
        upload.state = UploadState::Published(image);
        upload.just_ended = true;
    }
    Ok(upload)
}

/// The picture in the gallery that has the bytes of an upload.
async fn published_as(
    connection: &mut Transaction,
    upload: &Upload,
) -> Result<Option<ImageId>, CatalogueError> {
    let published: Option<String> = sql("SELECT id FROM images WHERE sha256 = $1")
        .bind(&upload.announced.sha256.as_bytes()[..])
        .scalar_optional(connection)
        .await?;
    published.map(|image| parse(&image, "image id")).transpose()
}

async fn end_published(
    connection: &mut Transaction,
    id: UploadId,
    image: ImageId,
) -> Result<(), CatalogueError> {
    sql(
        "UPDATE uploads SET state = 'published', published_image = $2, look_at = NULL, updated_at = $3
         WHERE id = $1",
    )
    .bind(id.to_string())
    .bind(image.to_string())
    .bind(now())
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn set_state(
    connection: &mut Transaction,
    id: UploadId,
    state: &'static str,
) -> Result<(), CatalogueError> {
    sql("UPDATE uploads SET state = $2, look_at = NULL, updated_at = $3 WHERE id = $1")
        .bind(id.to_string())
        .bind(state)
        .bind(now())
        .execute(connection)
        .await?;
    Ok(())
}

pub(super) async fn record_url(
    connection: &mut Transaction,
    id: UploadId,
    expiry: Expiry,
) -> Result<bool, CatalogueError> {
    let recorded: Option<String> = sql(record_url!())
        .bind(id.to_string())
        .bind(expiry.url_expires_at)
        .bind(expiry.look_at)
        .bind(now())
        .scalar_optional(connection)
        .await?;
    Ok(recorded.is_some())
}

/// Puts the upload's own keys in the garbage outbox. An upload that never had a URL has none, but the store may have a
/// multipart upload of it.
async fn discard_bytes(connection: &mut Transaction, id: UploadId) -> Result<(), CatalogueError> {
    let row: (String, Option<i64>, Option<String>) =
        sql("SELECT image_id, url_expires_at, multipart_id FROM uploads WHERE id = $1")
            .bind(id.to_string())
            .fetch_one(&mut *connection)
            .await?;
    let (image, url_expires_at, multipart) = row;
    if url_expires_at.is_none() && multipart.is_none() {
        return Ok(());
    }
    let image = parse(&image, "image id")?;
    let key = keys::original(image);
    discard(connection, &key, url_expires_at, multipart.as_deref()).await?;
    discard_thumbnails(connection, image).await
}

/// Puts the keys of thumbnails in the garbage outbox, to be visited now and again later: a verification that is under
/// way does not know yet that it is in vain, and may be about to store them.
async fn discard_thumbnails(
    connection: &mut Transaction,
    image: ImageId,
) -> Result<(), CatalogueError> {
    for key in keys::thumbnails(image) {
        discard(connection, &key, Some(now()), None).await?;
    }
    Ok(())
}
