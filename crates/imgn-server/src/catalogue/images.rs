//! What is public, and in which order it became so.

use imgn_protocol::{Exposure, FileName, ImageId, Location, Sha256, Timestamp};
use imgn_thumbs::Format;
use serde::{Serialize, de::DeserializeOwned};
use sqlx::{ColumnIndex, Decode, FromRow, Row as DatabaseRow, Type};

use super::{
    Catalogue, CatalogueError, Upload,
    database::{Sql, Target, Transaction, either, sql},
    from_column,
    garbage::discard,
    parse, sha256, timestamp, to_column,
};
use crate::{auth::Caller, auth::Role, storage::keys};

/// Pictures of a timeline that are read at a time: a text of a few hundred kilobytes.
const TIMELINE_CHUNK: i64 = 1 << 16;

/// A chunk of a timeline up to the place before which it ends. [`POSTGRES_TIMELINE`] is the same.
const SQLITE_TIMELINE: &str = "SELECT count(*), coalesce(group_concat(sequence, ' '), ''), coalesce(group_concat(created, ' '), ''), \
                 coalesce(group_concat(ratio, ' '), '') FROM (SELECT sequence, max(created_at / 1000, 0) AS created, \
                 min(max(CAST(round(2048.0 * width / max(height, 1)) AS INTEGER), 1), 65535) AS ratio FROM images \
                 WHERE sequence < ";

const POSTGRES_TIMELINE: &str = "SELECT count(*), coalesce(string_agg(sequence::text, ' ' ORDER BY sequence DESC), ''), \
     coalesce(string_agg(created::text, ' ' ORDER BY sequence DESC), ''), \
     coalesce(string_agg(ratio::text, ' ' ORDER BY sequence DESC), '') FROM (SELECT sequence, \
     greatest(created_at / 1000, 0) AS created, \
     least(greatest(round(2048.0 * width / greatest(height, 1))::bigint, 1), 65535) AS ratio FROM images \
     WHERE sequence < ";

/// What verification found out about a picture.
#[derive(Debug, Clone)]
pub(crate) struct Picture {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) content_type: &'static str,
    pub(crate) thumbhash: Vec<u8>,
    pub(crate) animated: bool,
    pub(crate) taken_at: Option<Timestamp>,
    pub(crate) camera: Option<String>,
    pub(crate) lens: Option<String>,
    pub(crate) exposure: Option<Exposure>,
    pub(crate) location: Option<Location>,
}

/// A published picture.
#[derive(Debug, Clone)]
pub(crate) struct ImageRow {
    pub(crate) id: ImageId,
    pub(crate) sequence: u64,
    pub(crate) owner: String,
    pub(crate) file_name: FileName,
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) content_type: String,
    pub(crate) size: u64,
    pub(crate) sha256: Sha256,
    pub(crate) thumbhash: Vec<u8>,
    pub(crate) animated: bool,
    pub(crate) taken_at: Option<Timestamp>,
    pub(crate) created_at: Timestamp,
    pub(crate) camera: Option<String>,
    pub(crate) lens: Option<String>,
    pub(crate) exposure: Option<Exposure>,
    pub(crate) location: Option<Location>,
}

impl ImageRow {
    /// Whether the store has a rendition for browsers, which cannot show the original. Verification makes one for each
    /// picture of such a format.
    pub(crate) fn has_stand_in(&self) -> bool {
        Format::ALL.iter().any(|format| {
            !format.is_shown_by_browsers() && format.content_type() == self.content_type
        })
    }
}

/// Which pictures, newest first.
#[derive(Debug, Clone)]
pub(crate) struct PageQuery {
    /// Only those before this place in the feed.
    pub(crate) before: Option<u64>,
    /// Only those from this place in the feed on.
    pub(crate) from: u64,
    pub(crate) search: Search,
    pub(crate) limit: u32,
}

/// What is searched for: words that are all in a picture's file name, camera, owner or dates, in any case and also as
/// parts of words. No words find every picture.
#[derive(Debug, Clone, Default)]
pub(crate) struct Search(Vec<String>);

impl Search {
    pub(crate) fn new(text: &str) -> Self {
        Self(
            text.to_lowercase()
                .split_whitespace()
                .map(str::to_owned)
                .collect(),
        )
    }

    pub(crate) fn is_everything(&self) -> bool {
        self.0.is_empty()
    }

    fn push_to(&self, query: &mut Sql, is_postgres: bool) {
        for word in &self.0 {
            if is_postgres {
                // The form that its index of trigrams is for.
                query
                    .decide_by_values()
                    .push(" AND images.search LIKE ")
                    .push_bind(format!("%{}%", literally(word)));
            } else {
                query
                    .push(" AND instr(images.search, ")
                    .push_bind(word.clone())
                    .push(") > 0");
            }
        }
    }
}

/// What a client that mirrors the gallery has to know of the feed as a whole.
#[derive(Debug, Clone)]
pub(crate) struct Feed {
    pub(crate) id: String,
    /// The place of the newest entry; 0 where there is none.
    pub(crate) last: u64,
    /// How many pictures there are.
    pub(crate) images: u64,
}

/// The columns that a grid is laid out by, newest first; picture i of each belongs together.
#[derive(Debug, Default)]
pub(crate) struct Timeline {
    pub(crate) sequences: Vec<u32>,
    /// Seconds since 1970.
    pub(crate) created: Vec<u32>,
    /// Width / height times 2048.
    pub(crate) ratios: Vec<u16>,
}

/// One entry of the change feed.
#[derive(Debug, Clone)]
pub(crate) enum ChangeRow {
    /// Boxed for being much larger than a tombstone.
    Added(Box<ImageRow>),
    Deleted {
        sequence: u64,
        id: ImageId,
    },
}

/// How deleting ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deletion {
    Deleted,
    Unknown,
    NotYours,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    sequence: i64,
    owner_name: String,
    file_name: String,
    width: i64,
    height: i64,
    content_type: String,
    size: i64,
    sha256: Vec<u8>,
    thumbhash: Vec<u8>,
    animated: bool,
    taken_at: Option<i64>,
    created_at: i64,
    camera: Option<String>,
    lens: Option<String>,
    exposure: Option<String>,
    location: Option<String>,
}

/// An entry of the feed as a row: a picture has all of its columns, a tombstone only these two.
enum Entry {
    Added(Box<Row>),
    Deleted { sequence: i64, id: String },
}

impl<'r, R: DatabaseRow> FromRow<'r, R> for Entry
where
    Row: FromRow<'r, R>,
    &'static str: ColumnIndex<R>,
    i64: Decode<'r, R::Database> + Type<R::Database>,
    Option<String>: Decode<'r, R::Database> + Type<R::Database>,
{
    fn from_row(row: &'r R) -> Result<Self, sqlx::Error> {
        Ok(match row.try_get::<Option<String>, _>("gone")? {
            Some(id) => Self::Deleted {
                sequence: row.try_get("sequence")?,
                id,
            },
            None => Self::Added(Box::new(Row::from_row(row)?)),
        })
    }
}

impl TryFrom<Row> for ImageRow {
    type Error = CatalogueError;

    fn try_from(row: Row) -> Result<Self, CatalogueError> {
        Ok(Self {
            id: parse(&row.id, "image id")?,
            sequence: from_column(row.sequence, "sequence")?,
            owner: row.owner_name,
            file_name: FileName::parse(&row.file_name)
                .map_err(|_| CatalogueError::Invalid { what: "file name" })?,
            width: from_column(row.width, "width")?,
            height: from_column(row.height, "height")?,
            content_type: row.content_type,
            size: from_column(row.size, "size")?,
            sha256: sha256(&row.sha256)?,
            thumbhash: row.thumbhash,
            animated: row.animated,
            taken_at: row.taken_at.map(timestamp).transpose()?,
            created_at: timestamp(row.created_at)?,
            camera: row.camera,
            lens: row.lens,
            exposure: row.exposure.map(|text| told(&text)).transpose()?,
            location: row.location.map(|text| told(&text)).transpose()?,
        })
    }
}

impl Catalogue {
    /// One picture.
    pub(crate) async fn image(&self, id: ImageId) -> Result<Option<ImageRow>, CatalogueError> {
        let row: Option<Row> = sql("SELECT images.*, tokens.name AS owner_name
             FROM images JOIN tokens ON tokens.id = images.owner WHERE images.id = $1")
        .bind(id.to_string())
        .fetch_optional(&self.reader)
        .await?;
        row.map(ImageRow::try_from).transpose()
    }

    /// A page of the gallery, and whether there is another.
    pub(crate) async fn images(
        &self,
        query: &PageQuery,
    ) -> Result<(Vec<ImageRow>, bool), CatalogueError> {
        let mut statement = Sql::built(
            "SELECT images.*, tokens.name AS owner_name
             FROM images JOIN tokens ON tokens.id = images.owner WHERE images.sequence < ",
        );
        statement
            .push_bind(query.before.map_or(i64::MAX, to_column))
            .push(" AND images.sequence >= ")
            .push_bind(to_column(query.from));
        query
            .search
            .push_to(&mut statement, self.reader.is_postgres());
        statement
            .push(" ORDER BY images.sequence DESC")
            .push_limit(query.limit.saturating_add(1));
        let rows: Vec<Row> = statement.fetch_all(&self.reader).await?;
        page(rows, query.limit, ImageRow::try_from)
    }

    /// The feed as a whole.
    pub(crate) async fn feed(&self) -> Result<Feed, CatalogueError> {
        feed(&self.reader).await
    }

    /// The timeline of what is searched for. One snapshot; the rows come as a few long texts, which is several times
    /// faster than a million rows.
    pub(crate) async fn timeline(&self, search: &Search) -> Result<Timeline, CatalogueError> {
        let mut snapshot = self.reader.snapshot().await?;
        let mut timeline = Timeline::default();
        // A sequence beyond 32 bits would take a picture a second for 136 years.
        let mut before = i64::from(u32::MAX) + 1;
        loop {
            let mut statement = Sql::built(if self.reader.is_postgres() {
                POSTGRES_TIMELINE
            } else {
                SQLITE_TIMELINE
            });
            statement.push_bind(before);
            search.push_to(&mut statement, self.reader.is_postgres());
            statement
                .push(" ORDER BY sequence DESC LIMIT ")
                .push_bind(TIMELINE_CHUNK)
                .push(") AS chunk");
            let (count, sequences, created, ratios): (i64, String, String, String) =
                statement.fetch_one(&mut snapshot).await?;
            numbers(&sequences, &mut timeline.sequences)?;
            numbers(&created, &mut timeline.created)?;
            numbers(&ratios, &mut timeline.ratios)?;
            match timeline.sequences.last() {
                Some(last) if count == TIMELINE_CHUNK => before = i64::from(*last),
                _ => break,
            }
        }
        snapshot.commit().await?;
        Ok(timeline)
    }

    /// The feed after `since`, oldest first, and whether there is more.
    pub(crate) async fn changes(
        &self,
        since: u64,
        limit: u32,
    ) -> Result<(Vec<ChangeRow>, bool), CatalogueError> {
        entries(&self.reader, since, limit).await
    }

    /// Takes a picture out of the gallery: its row goes, its bytes become garbage, a tombstone stays in the feed. The
    /// uploads that ended as this picture are forgotten, so that its file can be sent again.
    pub(crate) async fn delete_image(
        &self,
        id: ImageId,
        caller: &Caller,
    ) -> Result<Deletion, CatalogueError> {
        let mut transaction = self.begin().await?;
        let owner: Option<i64> = sql("SELECT owner FROM images WHERE id = $1")
            .bind(id.to_string())
            .scalar_optional(&mut transaction)
            .await?;
        match owner {
            None => return Ok(Deletion::Unknown),
            Some(owner) if owner != caller.owner && caller.role != Role::Admin => {
                return Ok(Deletion::NotYours);
            }
            Some(_) => {}
        }
        let url_expires_at: Option<i64> =
            sql("SELECT url_expires_at FROM uploads WHERE image_id = $1")
                .bind(id.to_string())
                .scalar_optional(&mut transaction)
                .await?
                .flatten();
        discard(&mut transaction, &keys::original(id), url_expires_at, None).await?;
        for key in keys::thumbnails(id) {
            discard(&mut transaction, &key, None, None).await?;
        }
        for statement in [
            "DELETE FROM uploads WHERE published_image = $1",
            "DELETE FROM images WHERE id = $1",
            "DELETE FROM changes WHERE image_id = $1 AND kind = 'added'",
        ] {
            sql(statement)
                .bind(id.to_string())
                .execute(&mut transaction)
                .await?;
        }
        append(&mut transaction, Kind::Deleted, id).await?;
        transaction.commit().await?;
        self.tell_changed();
        Ok(Deletion::Deleted)
    }
}

/// The feed as a whole.
pub(super) async fn feed<'a>(target: impl Into<Target<'a>>) -> Result<Feed, CatalogueError> {
    let (id, last, images): (String, i64, i64) = either(
        "SELECT id, coalesce((SELECT max(sequence) FROM changes), 0), images FROM feed",
        "SELECT id, last, images FROM feed",
    )
    .fetch_one(target)
    .await?;
    Ok(Feed {
        id,
        last: from_column(last, "sequence")?,
        images: from_column(images, "count")?,
    })
}

/// The feed after `since`, oldest first, and whether there is more.
pub(super) async fn entries<'a>(
    target: impl Into<Target<'a>>,
    since: u64,
    limit: u32,
) -> Result<(Vec<ChangeRow>, bool), CatalogueError> {
    // One statement for the entries and their pictures, so that no addition is without its picture; and only what is
    // told, for a client that mirrors a large gallery asks for all of it. That pictures are after the same place goes
    // without saying, but PostgreSQL would read all those before it.
    let mut statement = Sql::built(
        "SELECT changes.sequence AS sequence, CASE kind WHEN 'deleted' THEN image_id END AS gone,
                images.id AS id, file_name, width, height, content_type, size, images.sha256, thumbhash, animated, taken_at,
                images.created_at, camera, lens, exposure, location, tokens.name AS owner_name
         FROM changes LEFT JOIN images ON images.sequence = changes.sequence AND images.sequence > $1
                      LEFT JOIN tokens ON tokens.id = images.owner
         WHERE changes.sequence > $1 ORDER BY changes.sequence",
    );
    statement.push_limit(limit.saturating_add(1));
    let statement = statement.bind(to_column(since));
    let rows: Vec<Entry> = statement.fetch_all(target).await?;
    page(rows, limit, |entry| match entry {
        Entry::Added(row) => Ok(ChangeRow::Added(Box::new((*row).try_into()?))),
        Entry::Deleted { sequence, id } => Ok(ChangeRow::Deleted {
            sequence: from_column(sequence, "sequence")?,
            id: parse(&id, "image id")?,
        }),
    })
}

/// Makes a picture public, within the transaction that ends its upload.
pub(super) async fn insert_image(
    connection: &mut Transaction,
    upload: &Upload,
    picture: &Picture,
) -> Result<(), CatalogueError> {
    let sequence = append(connection, Kind::Added, upload.image).await?;
    let announced = &upload.announced;
    let facts = Facts {
        id: upload.image,
        sequence,
        owner: upload.owner,
        file_name: &announced.file_name,
        width: picture.width,
        height: picture.height,
        content_type: picture.content_type,
        size: announced.size,
        sha256: &announced.sha256,
        thumbhash: &picture.thumbhash,
        animated: picture.animated,
        taken_at: picture.taken_at,
        created_at: Timestamp::now(),
        camera: picture.camera.as_deref(),
        lens: picture.lens.as_deref(),
        exposure: picture.exposure.as_ref(),
        location: picture.location.as_ref(),
    };
    facts.insert(connection).await
}

/// A row of `images` that is to be.
pub(super) struct Facts<'a> {
    pub(super) id: ImageId,
    pub(super) sequence: i64,
    pub(super) owner: i64,
    pub(super) file_name: &'a FileName,
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) content_type: &'a str,
    pub(super) size: u64,
    pub(super) sha256: &'a Sha256,
    pub(super) thumbhash: &'a [u8],
    pub(super) animated: bool,
    pub(super) taken_at: Option<Timestamp>,
    pub(super) created_at: Timestamp,
    pub(super) camera: Option<&'a str>,
    pub(super) lens: Option<&'a str>,
    pub(super) exposure: Option<&'a Exposure>,
    pub(super) location: Option<&'a Location>,
}

impl Facts<'_> {
    pub(super) async fn insert(self, connection: &mut Transaction) -> Result<(), CatalogueError> {
        let search = search_text(
            self.file_name.as_str(),
            self.camera,
            self.taken_at,
            self.created_at,
        );
        sql(
            "INSERT INTO images
                 (id, sequence, owner, file_name, width, height, content_type, size, sha256, thumbhash, animated,
                  taken_at, created_at, camera, lens, exposure, location, search)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17,
                 $18 || (SELECT lower(name) FROM tokens WHERE id = $19))",
        )
        .bind(self.id.to_string())
        .bind(self.sequence)
        .bind(self.owner)
        .bind(self.file_name.as_str())
        .bind(self.width)
        .bind(self.height)
        .bind(self.content_type)
        .bind(to_column(self.size))
        .bind(&self.sha256.as_bytes()[..])
        .bind(self.thumbhash)
        .bind(self.animated)
        .bind(self.taken_at.map(Timestamp::as_millisecond))
        .bind(self.created_at.as_millisecond())
        .bind(self.camera)
        .bind(self.lens)
        .bind(self.exposure.map(json).transpose()?)
        .bind(self.location.map(json).transpose()?)
        .bind(search + "\n")
        .bind(self.owner)
        .execute(connection)
        .await?;
        Ok(())
    }
}

/// What an entry of the feed tells.
enum Kind {
    Added,
    Deleted,
}

/// Puts an entry at the end of the feed, counts it, and answers its place. With PostgreSQL the place is taken from a row that is held
/// until the commit: a sequence of its own would give places in another order than that in which they are seen.
async fn append(
    connection: &mut Transaction,
    kind: Kind,
    image: ImageId,
) -> Result<i64, CatalogueError> {
    let (kind, images) = match kind {
        Kind::Added => ("added", 1_i64),
        Kind::Deleted => ("deleted", -1),
    };
    either(
        "UPDATE feed SET images = images + $1",
        "UPDATE feed SET images = images + $1, last = last + 1",
    )
    .bind(images)
    .execute(&mut *connection)
    .await?;
    either(
        "INSERT INTO changes (kind, image_id) VALUES ($1, $2) RETURNING sequence",
        "INSERT INTO changes (sequence, kind, image_id) SELECT last, $1, $2 FROM feed RETURNING sequence",
    )
    .bind(kind)
    .bind(image.to_string())
    .scalar(connection)
    .await
}

fn json(value: &impl Serialize) -> Result<String, CatalogueError> {
    serde_json::to_string(value).map_err(|_| CatalogueError::Invalid { what: "exposure" })
}

fn told<T: DeserializeOwned>(text: &str) -> Result<T, CatalogueError> {
    serde_json::from_str(text).map_err(|_| CatalogueError::Invalid { what: "exposure" })
}

/// What a search looks through, but for the owner's name; see the migration `0004_feed.sql`.
fn search_text(
    file_name: &str,
    camera: Option<&str>,
    taken: Option<Timestamp>,
    created: Timestamp,
) -> String {
    let mut text = format!("{file_name}\n{}", camera.unwrap_or_default());
    for day in taken.into_iter().chain([created]) {
        text.push_str(&day.strftime("\n%Y-%m-%d %B").to_string());
    }
    text.to_lowercase()
}

/// A word as a pattern that nothing else matches.
fn literally(word: &str) -> String {
    let mut pattern = String::with_capacity(word.len());
    for character in word.chars() {
        if matches!(character, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern
}

fn numbers<T: std::str::FromStr>(text: &str, into: &mut Vec<T>) -> Result<(), CatalogueError> {
    for number in text.split_ascii_whitespace() {
        into.push(parse(number, "number in a timeline")?);
    }
    Ok(())
}

/// The first `limit` of what was fetched with one more than that, and whether that one was there.
fn page<R, T>(
    mut rows: Vec<R>,
    limit: u32,
    convert: impl FnMut(R) -> Result<T, CatalogueError>,
) -> Result<(Vec<T>, bool), CatalogueError> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = rows.len() > limit;
    rows.truncate(limit);
    let rows = rows.into_iter().map(convert).collect::<Result<_, _>>()?;
    Ok((rows, more))
}
