//! The mirror's database: pages of the feed in, timeline and pictures out.
//!
//! Several programs may use one mirror at the same time. Invariant: an entry of the feed is applied once and in order:
//! each transaction looks at the position that the one before left, whoever wrote it, and skips what is behind it.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::atomic::{AtomicI64, Ordering},
};

use imgn_protocol::{Change, ChangePage, DISPLAY_SIZE, FileName, Image, ImageId, Timestamp};
use serde::de::DeserializeOwned;
use sqlx::{Row as _, Sqlite, SqliteConnection, SqlitePool, Transaction, sqlite::SqliteRow};
use url::Url;
use uuid::Uuid;

use super::columns::{self, Entry};
use crate::sqlite::reason;

/// A picture with what is known of its original; a condition follows.
macro_rules! known {
    () => {
        "SELECT images.*, coalesce(originals.asked, 0) OR state.keep_all AS kept,
                coalesce(originals.here, 0) AS original_here
         FROM images JOIN state LEFT JOIN originals ON originals.id = images.id"
    };
}

// After the macro, which it uses.
mod insert;
mod opening;
mod originals;
mod search;

use insert::insert_images;
pub(crate) use originals::Kept;
use search::{insert_words, remove_words};

/// The mirror cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MirrorError {
    #[error("the list of the gallery on this computer cannot be opened; is the disk full?")]
    Open(#[source] std::io::Error),
    #[error("the list of the gallery on this computer cannot be read or written: {}", reason(.0))]
    Sql(#[from] sqlx::Error),
    #[error("the list of the gallery on this computer holds an invalid {0}")]
    Invalid(&'static str),
}

/// What became of a page.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Applied {
    /// It is in; whether the timeline is another one now, and the originals that are not needed any more.
    Done {
        changed: bool,
        forgotten: Vec<ImageId>,
    },
    /// It does not follow what is there: go on from the mirror's position.
    Gap,
    /// It is of another feed: the mirror is empty now, go on from 0.
    Restarted,
}

/// The mirror as a whole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Status {
    pub(crate) position: u64,
    pub(crate) known: u64,
    pub(crate) total: Option<u64>,
    pub(crate) filled: bool,
    pub(crate) checked_at: Option<Timestamp>,
    pub(crate) keep_all: bool,
    pub(crate) pending: u64,
}

/// A picture as the mirror knows it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Known {
    pub(crate) image: Image,
    pub(crate) kept: bool,
    pub(crate) original_here: bool,
}

/// One gallery's mirror.
pub(crate) struct Store {
    writer: SqlitePool,
    reader: SqlitePool,
    /// Where the gallery is now, with a slash at its end: addresses of pictures follow from it.
    base: Url,
    /// What the writer's connection said last of other connections' changes.
    others: AtomicI64,
}

impl Store {
    /// Whether other programs have written since this was asked last. Reads no table.
    pub(crate) async fn is_changed_by_others(&self) -> Result<bool, MirrorError> {
        let version = sqlx::query_scalar("PRAGMA data_version")
            .fetch_one(&self.writer)
            .await?;
        Ok(self.others.swap(version, Ordering::Relaxed) != version)
    }

    pub(crate) async fn close(&self) {
        self.reader.close().await;
        self.writer.close().await;
    }

    pub(crate) async fn status(&self) -> Result<Status, MirrorError> {
        let row = sqlx::query(
            "SELECT position, known, total, filled, checked_at, keep_all,
                    (SELECT count(*) FROM deletions) AS pending FROM state",
        )
        .fetch_one(&self.reader)
        .await?;
        Ok(Status {
            position: unsigned(row.try_get("position")?),
            known: unsigned(row.try_get("known")?),
            total: row.try_get::<Option<i64>, _>("total")?.map(unsigned),
            filled: row.try_get("filled")?,
            checked_at: row
                .try_get::<Option<i64>, _>("checked_at")?
                .and_then(|moment| Timestamp::from_millisecond(moment).ok()),
            keep_all: row.try_get("keep_all")?,
            pending: unsigned(row.try_get("pending")?),
        })
    }

    /// Applies what was answered to `since`. `is_end` says that nothing followed it.
    pub(crate) async fn apply(
        &self,
        since: u64,
        page: &ChangePage,
        is_end: bool,
    ) -> Result<Applied, MirrorError> {
        let mut transaction = self.writer.begin_with(PASSING).await?;
        let (feed, position): (Option<String>, i64) =
            sqlx::query_as("SELECT feed, position FROM state")
                .fetch_one(&mut *transaction)
                .await?;
        let position = unsigned(position);
        let is_another = feed.is_some_and(|feed| feed != page.feed);
        // `since` was a place of this feed before it was asked for; a feed that ends before it has begun anew.
        if is_another || page.last < since {
            empty(&mut transaction).await?;
            transaction.commit().await?;
            return Ok(Applied::Restarted);
        }
        if since > position {
            return Ok(Applied::Gap);
        }

        let (mut added, mut deleted): (Vec<&Image>, Vec<ImageId>) = Default::default();
        for change in page
            .changes
            .iter()
            .filter(|change| change.sequence() > position)
        {
            match change {
                Change::Added { image, .. } => added.push(image),
                Change::Deleted { id, .. } => {
                    added.retain(|image| image.id != *id);
                    deleted.push(*id);
                }
            }
        }
        let mut forgotten = Vec::new();
        let mut removed = Vec::new();
        for id in &deleted {
            let gone = forget(&mut transaction, *id).await?;
            removed.extend(gone.sequence);
            if gone.had_original {
                forgotten.push(*id);
            }
        }
        remove_words(&mut transaction, &removed).await?;
        let pending = pending_deletions(&mut transaction).await?;
        insert_images(&mut transaction, &added, &self.base).await?;
        insert_words(&mut transaction, &added).await?;
        let entries: Vec<Entry> = added
            .iter()
            .filter(|image| !pending.contains(&image.id))
            .filter_map(|image| entry(image))
            .collect();
        change_columns(&mut transaction, &entries, &removed).await?;

        let reached = page.next_since.max(position);
        sqlx::query(
            "UPDATE state SET feed = ?, position = ?, total = coalesce(?, total), filled = max(filled, ?),
                 checked_at = CASE WHEN ? THEN ? ELSE checked_at END",
        )
        .bind(&page.feed)
        .bind(signed(reached))
        .bind(page.total.map(signed))
        .bind(is_end)
        .bind(is_end)
        .bind(now())
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(Applied::Done {
            changed: !entries.is_empty() || !removed.is_empty(),
            forgotten,
        })
    }

    /// Remembers that the mirror is what the server has.
    pub(crate) async fn checked(&self, moment: Timestamp) -> Result<(), MirrorError> {
        sqlx::query("UPDATE state SET checked_at = ?")
            .bind(moment.as_millisecond())
            .execute(&self.writer)
            .await?;
        Ok(())
    }

    /// The pictures at these places, in the order asked. None where there is none any more.
    pub(crate) async fn pictures(
        &self,
        sequences: &[u32],
    ) -> Result<Vec<Option<Known>>, MirrorError> {
        let rows = sqlx::query(concat!(
            known!(),
            " WHERE images.sequence IN (SELECT value FROM json_each(?))
                AND images.id NOT IN (SELECT id FROM deletions)"
        ))
        .bind(json(sequences))
        .fetch_all(&self.reader)
        .await?;
        let mut found = HashMap::with_capacity(rows.len());
        for row in &rows {
            let known = self.known(row)?;
            found.insert(known.image.sequence, known);
        }
        Ok(sequences
            .iter()
            .map(|sequence| found.remove(&u64::from(*sequence)))
            .collect())
    }

    /// One picture by its id, unless its deletion is queued.
    pub(crate) async fn picture(&self, id: ImageId) -> Result<Option<Known>, MirrorError> {
        let row = sqlx::query(concat!(
            known!(),
            " WHERE images.id = ? AND images.id NOT IN (SELECT id FROM deletions)"
        ))
        .bind(blob(id))
        .fetch_optional(&self.reader)
        .await?;
        row.map(|row| self.known(&row)).transpose()
    }

    /// Some pictures before a place in the feed, newest first.
    pub(crate) async fn before(
        &self,
        sequence: u64,
        limit: u32,
    ) -> Result<Vec<(u64, ImageId)>, MirrorError> {
        let rows: Vec<(i64, Vec<u8>)> = sqlx::query_as(
            "SELECT sequence, id FROM images WHERE sequence < ? ORDER BY sequence DESC LIMIT ?",
        )
        .bind(signed(sequence))
        .bind(limit)
        .fetch_all(&self.reader)
        .await?;
        rows.into_iter()
            .map(|(sequence, id)| Ok((unsigned(sequence), image_id(&id)?)))
            .collect()
    }

    /// Takes pictures out of the timeline and remembers to delete them from the gallery.
    pub(crate) async fn queue_deletions(&self, ids: &[ImageId]) -> Result<(), MirrorError> {
        let mut transaction = self.writer.begin_with(DURABLY).await?;
        let mut removed = Vec::new();
        for id in ids {
            sqlx::query("INSERT OR IGNORE INTO deletions (id) VALUES (?)")
                .bind(blob(*id))
                .execute(&mut *transaction)
                .await?;
            removed.extend(sequence_of(&mut transaction, *id).await?);
        }
        change_columns(&mut transaction, &[], &removed).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// The deletions that wait for the server.
    pub(crate) async fn deletions(&self) -> Result<Vec<ImageId>, MirrorError> {
        let rows: Vec<Vec<u8>> = sqlx::query_scalar("SELECT id FROM deletions")
            .fetch_all(&self.reader)
            .await?;
        rows.iter().map(|id| image_id(id)).collect()
    }

    /// The server has deleted it. Answers whether there was an original of it on this computer.
    pub(crate) async fn deleted(&self, id: ImageId) -> Result<bool, MirrorError> {
        let mut transaction = self.writer.begin_with(PASSING).await?;
        let gone = forget(&mut transaction, id).await?;
        remove_words(&mut transaction, gone.sequence.as_slice()).await?;
        change_columns(&mut transaction, &[], gone.sequence.as_slice()).await?;
        transaction.commit().await?;
        Ok(gone.had_original)
    }

    /// The server has refused to delete it: it is back where it was. Answers its name, where it is known.
    pub(crate) async fn refused(&self, id: ImageId) -> Result<Option<FileName>, MirrorError> {
        let mut transaction = self.writer.begin_with(PASSING).await?;
        sqlx::query("DELETE FROM deletions WHERE id = ?")
            .bind(blob(id))
            .execute(&mut *transaction)
            .await?;
        let row = sqlx::query(concat!(known!(), " WHERE images.id = ?"))
            .bind(blob(id))
            .fetch_optional(&mut *transaction)
            .await?;
        let known = row.map(|row| self.known(&row)).transpose()?;
        let entry = known.as_ref().and_then(|known| entry(&known.image));
        change_columns(&mut transaction, entry.as_slice(), &[]).await?;
        transaction.commit().await?;
        Ok(known.map(|known| known.image.file_name))
    }

    fn known(&self, row: &SqliteRow) -> Result<Known, MirrorError> {
        let id = image_id(row.try_get("id")?)?;
        let time = |milliseconds| {
            Timestamp::from_millisecond(milliseconds).map_err(|_| MirrorError::Invalid("time"))
        };
        let small = |name| {
            u32::try_from(row.try_get::<i64, _>(name)?).map_err(|_| MirrorError::Invalid(name))
        };
        let name: String = row.try_get("file_name")?;
        let sum: [u8; 32] = row
            .try_get::<&[u8], _>("sha256")?
            .try_into()
            .map_err(|_| MirrorError::Invalid("SHA-256"))?;
        let url: Option<String> = row.try_get("url")?;
        let display_url: Option<String> = row.try_get("display_url")?;
        let image = Image {
            id,
            sequence: unsigned(row.try_get("sequence")?),
            file_name: FileName::parse(&name).map_err(|_| MirrorError::Invalid("file name"))?,
            width: small("width")?,
            height: small("height")?,
            content_type: row.try_get("content_type")?,
            size: unsigned(row.try_get("size")?),
            sha256: sum.into(),
            thumbhash: row.try_get("thumbhash")?,
            animated: row.try_get("animated")?,
            taken_at: row
                .try_get::<Option<i64>, _>("taken_at")?
                .map(time)
                .transpose()?,
            created_at: time(row.try_get("created_at")?)?,
            camera: row.try_get("camera")?,
            lens: row.try_get("lens")?,
            exposure: told(row, "exposure")?,
            location: told(row, "location")?,
            owner: row.try_get("owner")?,
            url: url.unwrap_or_else(|| content_url(&self.base, id)),
            display_url: display_url.map(|url| match url.is_empty() {
                true => display_url_of(&self.base, id),
                false => url,
            }),
        };
        Ok(Known {
            image,
            kept: row.try_get("kept")?,
            original_here: row.try_get("original_here")?,
        })
    }
}

/// A transaction whose commit is on the disk when it ends.
const DURABLY: &str = "PRAGMA synchronous = FULL; BEGIN IMMEDIATE";

/// A transaction that a power cut may take back, but not the end of the program.
const PASSING: &str = "PRAGMA synchronous = NORMAL; BEGIN IMMEDIATE";

type Sql<'a> = Transaction<'a, Sqlite>;

async fn empty(transaction: &mut SqliteConnection) -> Result<(), MirrorError> {
    sqlx::raw_sql(
        "DELETE FROM images; DELETE FROM columns; DELETE FROM words;
         UPDATE state SET feed = NULL, position = 0, known = 0, total = NULL, filled = 0",
    )
    .execute(transaction)
    .await?;
    Ok(())
}

struct Gone {
    sequence: Option<u32>,
    had_original: bool,
}

/// Takes a picture out of everything but the timeline and the index of words, where `sequence` is to be taken out.
async fn forget(transaction: &mut Sql<'_>, id: ImageId) -> Result<Gone, MirrorError> {
    let sequence = sequence_of(transaction, id).await?;
    if let Some(sequence) = sequence {
        sqlx::query("DELETE FROM images WHERE sequence = ?")
            .bind(sequence)
            .execute(&mut **transaction)
            .await?;
    }
    sqlx::query("DELETE FROM deletions WHERE id = ?")
        .bind(blob(id))
        .execute(&mut **transaction)
        .await?;
    let original = sqlx::query("DELETE FROM originals WHERE id = ? RETURNING here")
        .bind(blob(id))
        .fetch_optional(&mut **transaction)
        .await?;
    Ok(Gone {
        sequence,
        had_original: original.is_some(),
    })
}

async fn sequence_of(transaction: &mut Sql<'_>, id: ImageId) -> Result<Option<u32>, MirrorError> {
    Ok(
        sqlx::query_scalar("SELECT sequence FROM images WHERE id = ?")
            .bind(blob(id))
            .fetch_optional(&mut **transaction)
            .await?,
    )
}

async fn pending_deletions(transaction: &mut Sql<'_>) -> Result<HashSet<ImageId>, MirrorError> {
    let rows: Vec<Vec<u8>> = sqlx::query_scalar("SELECT id FROM deletions")
        .fetch_all(&mut **transaction)
        .await?;
    rows.iter().map(|id| image_id(id)).collect()
}

fn told<T: DeserializeOwned>(
    row: &SqliteRow,
    column: &'static str,
) -> Result<Option<T>, MirrorError> {
    let text: Option<&str> = row.try_get(column)?;
    let told = text.map(serde_json::from_str).transpose();
    told.map_err(|_| MirrorError::Invalid(column))
}

/// Puts entries into the timeline and takes others out.
async fn change_columns(
    transaction: &mut Sql<'_>,
    add: &[Entry],
    remove: &[u32],
) -> Result<(), MirrorError> {
    let mut chunks: BTreeMap<i64, (Vec<Entry>, Vec<u32>)> = BTreeMap::new();
    for entry in add {
        let chunk = chunks.entry(columns::chunk_of(entry.sequence)).or_default();
        chunk.0.push(*entry);
    }
    for sequence in remove {
        let chunk = chunks.entry(columns::chunk_of(*sequence)).or_default();
        chunk.1.push(*sequence);
    }
    let mut grown = 0;
    for (chunk, (add, remove)) in &chunks {
        let entries: Option<Vec<u8>> =
            sqlx::query_scalar("SELECT entries FROM columns WHERE chunk = ?")
                .bind(chunk)
                .fetch_optional(&mut **transaction)
                .await?;
        let (entries, grew) = columns::changed(&entries.unwrap_or_default(), add, remove);
        grown += grew;
        sqlx::query("INSERT OR REPLACE INTO columns (chunk, entries) VALUES (?, ?)")
            .bind(chunk)
            .bind(entries)
            .execute(&mut **transaction)
            .await?;
    }
    if grown != 0 {
        sqlx::query("UPDATE state SET known = known + ?")
            .bind(grown)
            .execute(&mut **transaction)
            .await?;
    }
    Ok(())
}

fn entry(image: &Image) -> Option<Entry> {
    let created = image.created_at.as_second();
    Entry::new(image.sequence, created, image.width, image.height)
}

fn content_url(base: &Url, id: ImageId) -> String {
    format!("{base}v1/images/{id}/content")
}

fn display_url_of(base: &Url, id: ImageId) -> String {
    format!("{base}v1/images/{id}/thumb/{DISPLAY_SIZE}")
}

/// Whether this is what [`content_url`] makes. Asked of each picture of a gallery: nothing is allocated.
fn is_content_url(base: &Url, id: ImageId, url: &str) -> bool {
    below(base, id, url) == Some("/content")
}

/// The same of [`display_url_of`].
fn is_display_url(base: &Url, id: ImageId, url: &str) -> bool {
    let size = below(base, id, url).and_then(|rest| rest.strip_prefix("/thumb/"));
    size.is_some_and(|size| size.parse() == Ok(DISPLAY_SIZE) && !size.starts_with(['+', '0']))
}

/// What follows the picture's own address.
fn below<'a>(base: &Url, id: ImageId, url: &'a str) -> Option<&'a str> {
    let rest = url
        .strip_prefix(base.as_str())?
        .strip_prefix("v1/images/")?;
    let mut buffer = Uuid::encode_buffer();
    rest.strip_prefix(&*id.as_uuid().hyphenated().encode_lower(&mut buffer))
}

fn json(numbers: &[impl std::fmt::Display]) -> String {
    let numbers: Vec<String> = numbers.iter().map(ToString::to_string).collect();
    format!("[{}]", numbers.join(","))
}

fn blob(id: ImageId) -> Vec<u8> {
    id.as_uuid().as_bytes().to_vec()
}

fn image_id(bytes: &[u8]) -> Result<ImageId, MirrorError> {
    Uuid::from_slice(bytes)
        .map(ImageId::from)
        .map_err(|_| MirrorError::Invalid("id"))
}

fn now() -> i64 {
    Timestamp::now().as_millisecond()
}

/// SQLite's integers have a sign; what is counted here stays far below where it would matter.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_left_out_only_where_it_can_be_made_again() {
        let base = Url::parse("https://example.org/gallery/").unwrap();
        let (id, other) = (ImageId::new(), ImageId::new());
        let (content, display) = (content_url(&base, id), display_url_of(&base, id));
        assert!(is_content_url(&base, id, &content) && is_display_url(&base, id, &display));
        assert!(!is_content_url(&base, id, &display) && !is_display_url(&base, id, &content));
        assert!(!is_content_url(&base, other, &content));
        for wrong in [
            format!("{content}/"),
            content.replace("https", "http"),
            content.to_uppercase(),
            display.replace("2560", "02560"),
            display.replace("2560", "+2560"),
        ] {
            assert!(!is_content_url(&base, id, &wrong), "{wrong}");
            assert!(!is_display_url(&base, id, &wrong), "{wrong}");
        }
    }
}
