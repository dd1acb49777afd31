//! What somebody began on a day, and has open: the quotas, which hold for all servers that share the catalogue.
//!
//! Invariant: an upload is counted in the transaction that opens it, by one statement that also looks whether there is room,
//! so any number of servers let no more through than one would, and what is no new upload is not counted.

use super::{
    Catalogue, CatalogueError,
    database::{Sql, Transaction, sql},
    from_column, now,
    staged::Staged,
    to_column,
};
use crate::allowance::Allowance;

const DAY: i64 = 24 * 60 * 60 * 1000;

/// Days that are kept beside this one: servers' clocks and clients that ask at midnight.
const KEPT_DAYS: i64 = 1;

/// Who begins an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sender {
    pub(crate) owner: i64,
    /// Where somebody without a token is, which is kept while the upload is open.
    pub(crate) origin: Option<String>,
    /// How much they may begin, where that is counted.
    pub(crate) most: Option<Allowance>,
}

impl From<i64> for Sender {
    /// An owner whose uploads are not counted.
    fn from(owner: i64) -> Self {
        Self {
            owner,
            origin: None,
            most: None,
        }
    }
}

/// What there is no room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Over {
    OpenUploads,
    Pictures,
    Bytes,
}

/// Counts an upload where there is room; `open` are those that its owner, or origin, has.
macro_rules! count {
    ($open:literal) => {
        sql(concat!(
            "INSERT INTO usage (who, day, pictures, bytes)
             SELECT $1, $2, 1, $3 WHERE $5 >= 1 AND $6 >= $3 AND $4 > (",
            $open,
            ") ON CONFLICT (who, day)
             DO UPDATE SET pictures = usage.pictures + 1, bytes = usage.bytes + $3
             WHERE usage.pictures < $5 AND usage.bytes + $3 <= $6
             RETURNING pictures"
        ))
    };
}

impl Sender {
    fn key(&self) -> String {
        key(self.owner, self.origin.as_ref())
    }

    /// The statement that counts an upload of so many bytes, and returns a row if there is room.
    pub(super) fn count(&self, size: u64) -> Option<Sql> {
        let most = self.most.as_ref()?;
        let statement = match self.origin {
            None => count!(
                "(SELECT count(*) FROM uploads WHERE owner = $7 AND state = 'open')
                 + (SELECT count(*) FROM staged WHERE owner = $7)"
            ),
            Some(_) => count!(
                "(SELECT count(*) FROM uploads WHERE origin = $7 AND state = 'open')
                 + (SELECT count(*) FROM staged WHERE origin = $7)"
            ),
        };
        let statement = statement
            .bind(self.key())
            .bind(today())
            .bind(to_column(size))
            .bind(bound(most.open_uploads.into()))
            .bind(bound(most.pictures_per_day.into()))
            .bind(bound(most.bytes_per_day));
        Some(match &self.origin {
            None => statement.bind(self.owner),
            Some(origin) => statement.bind(origin),
        })
    }
}

impl Catalogue {
    /// What there was no room for, of an upload of so many bytes that was not counted a moment ago.
    pub(super) async fn what_is_over(
        &self,
        sender: &Sender,
        size: u64,
    ) -> Result<Over, CatalogueError> {
        let most = sender.most.unwrap_or(Allowance::UNLIMITED);
        let day: Option<(i64, i64)> =
            sql("SELECT pictures, bytes FROM usage WHERE who = $1 AND day = $2")
                .bind(sender.key())
                .bind(today())
                .fetch_optional(&self.reader)
                .await?;
        let (pictures, bytes) = day.unwrap_or_default();
        Ok(if pictures >= bound(most.pictures_per_day.into()) {
            Over::Pictures
        } else if bytes.saturating_add(to_column(size)) > bound(most.bytes_per_day) {
            Over::Bytes
        } else {
            Over::OpenUploads
        })
    }

    /// Forgets the days that are over.
    pub(crate) async fn forget_usage(&self) -> Result<u64, CatalogueError> {
        let day = today() - KEPT_DAYS;
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
    pub(super) async fn used(&self, sender: &Sender) -> (i64, i64) {
        let day: Option<(i64, i64)> =
            sql("SELECT pictures, bytes FROM usage WHERE who = $1 AND day = $2")
                .bind(sender.key())
                .bind(today())
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
    sql("UPDATE usage SET bytes = bytes + $3 WHERE who = $1 AND day = $2")
        .bind(key(staged.owner, staged.origin.as_ref()))
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

/// Whose they are: of somebody without a token by where they are.
fn key(owner: i64, origin: Option<&String>) -> String {
    match origin {
        None => format!("user:{owner}"),
        Some(origin) => format!("address:{origin}"),
    }
}

fn today() -> i64 {
    now().div_euclid(DAY)
}

/// 0 is no bound.
fn bound(most: u64) -> i64 {
    match most {
        0 => i64::MAX,
        most => to_column(most),
    }
}
