//! What somebody began on a day, and has open: the quotas, which hold for all servers that share the catalogue.
//!
//! Invariant: an upload is counted in one statement that also looks whether there is room, so any number of servers let no
//! more through than one would. What turns out to be no new upload is given back.

use super::{
    Catalogue, CatalogueError,
    database::{Transaction, passing, sql},
    from_column, now,
    staged::Staged,
    to_column,
};
use crate::allowance::Allowance;

const DAY: i64 = 24 * 60 * 60 * 1000;

/// Days that are kept beside this one: servers' clocks and clients that ask at midnight.
const KEPT_DAYS: i64 = 1;

/// Whose uploads they are, for the quotas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Who {
    /// The owner of a token.
    User(i64),
    /// Somebody without one, by where they are.
    Address(String),
}

impl Who {
    fn key(&self) -> String {
        match self {
            Self::User(owner) => format!("user:{owner}"),
            Self::Address(origin) => format!("address:{origin}"),
        }
    }
}

/// What was counted, and can be given back.
#[derive(Debug)]
#[must_use]
pub(crate) struct Counted {
    who: String,
    day: i64,
    bytes: i64,
}

/// What there is no room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Over {
    OpenUploads,
    Pictures,
    Bytes,
}

/// How counting ended.
#[derive(Debug)]
pub(crate) enum Count {
    Counted(Counted),
    Over(Over),
}

/// Counts an upload where there is room; `open` are those that its owner, or origin, has.
macro_rules! count {
    ($open:literal) => {
        passing!(
            "INSERT INTO usage (who, day, pictures, bytes)
             SELECT $1, $2, 1, $3 WHERE $5 >= 1 AND $6 >= $3 AND $4 > (",
            $open,
            ") ON CONFLICT (who, day)
             DO UPDATE SET pictures = usage.pictures + 1, bytes = usage.bytes + $3
             WHERE usage.pictures < $5 AND usage.bytes + $3 <= $6
             RETURNING pictures"
        )
    };
}

impl Catalogue {
    /// Counts an upload of so many bytes that is about to be opened, or says what there is no room for.
    pub(crate) async fn count_upload(
        &self,
        who: &Who,
        size: u64,
        most: &Allowance,
    ) -> Result<Count, CatalogueError> {
        let counted = Counted {
            who: who.key(),
            day: now().div_euclid(DAY),
            bytes: to_column(size),
        };
        let statement = match who {
            Who::User(_) => count!(
                "(SELECT count(*) FROM uploads WHERE owner = $7 AND state = 'open')
                 + (SELECT count(*) FROM staged WHERE owner = $7)"
            ),
            Who::Address(_) => count!(
                "(SELECT count(*) FROM uploads WHERE origin = $7 AND state = 'open')
                 + (SELECT count(*) FROM staged WHERE origin = $7)"
            ),
        };
        let statement = statement
            .bind(&counted.who)
            .bind(counted.day)
            .bind(counted.bytes)
            .bind(bound(most.open_uploads.into()))
            .bind(bound(most.pictures_per_day.into()))
            .bind(bound(most.bytes_per_day));
        let statement = match who {
            Who::User(owner) => statement.bind(*owner),
            Who::Address(origin) => statement.bind(origin),
        };
        let pictures: Vec<i64> = statement.scalars(&self.writer).await?;
        if !pictures.is_empty() {
            return Ok(Count::Counted(counted));
        }
        let day: Option<(i64, i64)> =
            sql("SELECT pictures, bytes FROM usage WHERE who = $1 AND day = $2")
                .bind(&counted.who)
                .bind(counted.day)
                .fetch_optional(&self.reader)
                .await?;
        let (pictures, bytes) = day.unwrap_or_default();
        Ok(Count::Over(
            if pictures >= bound(most.pictures_per_day.into()) {
                Over::Pictures
            } else if bytes.saturating_add(counted.bytes) > bound(most.bytes_per_day) {
                Over::Bytes
            } else {
                Over::OpenUploads
            },
        ))
    }

    /// It was no new upload.
    pub(crate) async fn uncount_upload(&self, counted: Counted) -> Result<(), CatalogueError> {
        let given_back: Vec<i64> = passing!(
            "UPDATE usage SET pictures = pictures - 1, bytes = bytes - $3
             WHERE who = $1 AND day = $2 AND pictures >= 1 AND bytes >= $3 RETURNING pictures"
        )
        .bind(counted.who)
        .bind(counted.day)
        .bind(counted.bytes)
        .scalars(&self.writer)
        .await?;
        drop(given_back);
        Ok(())
    }

    /// Writes down where an open upload without a token comes from.
    pub(crate) async fn note_origin(
        &self,
        id: imgn_protocol::UploadId,
        origin: &str,
    ) -> Result<(), CatalogueError> {
        let noted: Vec<String> = passing!(
            "UPDATE uploads SET origin = $2 WHERE id = $1 AND state = 'open' RETURNING id"
        )
        .bind(id.to_string())
        .bind(origin)
        .scalars(&self.writer)
        .await?;
        drop(noted);
        Ok(())
    }

    /// Forgets the days that are over.
    pub(crate) async fn forget_usage(&self) -> Result<u64, CatalogueError> {
        let day = now().div_euclid(DAY) - KEPT_DAYS;
        let old: i64 = sql("SELECT count(*) FROM usage WHERE day < $1")
            .bind(day)
            .scalar(&self.reader)
            .await?;
        if old == 0 {
            return Ok(0);
        }
        sql("DELETE FROM usage WHERE day < $1")
            .bind(day)
            .execute(&self.writer)
            .await
    }

    #[cfg(test)]
    pub(super) async fn used(&self, who: &Who) -> (i64, i64) {
        let day: Option<(i64, i64)> =
            sql("SELECT pictures, bytes FROM usage WHERE who = $1 AND day = $2")
                .bind(who.key())
                .bind(now().div_euclid(DAY))
                .fetch_optional(&self.reader)
                .await
                .unwrap_or_default();
        day.unwrap_or_default()
    }
}

/// The size of what nobody announced is known when it is there. It counts on the day on which it began, and only where
/// that was counted.
pub(super) async fn count_bytes(
    transaction: &mut Transaction,
    staged: &Staged,
    size: u64,
) -> Result<(), CatalogueError> {
    let who = match &staged.origin {
        Some(origin) => Who::Address(origin.clone()),
        None => Who::User(staged.owner),
    };
    sql("UPDATE usage SET bytes = bytes + $3 WHERE who = $1 AND day = $2")
        .bind(who.key())
        .bind(staged.created_at.div_euclid(DAY))
        .bind(to_column(size))
        .execute(transaction)
        .await?;
    Ok(())
}

/// How long until the next day begins, in seconds.
pub(crate) fn until_tomorrow() -> u64 {
    let rest = DAY - now().rem_euclid(DAY);
    from_column(rest.div_euclid(1000).max(1), "time").unwrap_or(1)
}

/// 0 is no bound.
fn bound(most: u64) -> i64 {
    match most {
        0 => i64::MAX,
        most => to_column(most),
    }
}
