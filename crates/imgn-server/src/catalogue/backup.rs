//! The whole catalogue out, as of one moment, and into another one that is empty.
//!
//! Not here: how a backup is written, and the bytes of pictures. What is used, what is under way and what is to be deleted is
//! no part of it. Invariant: a catalogue takes in a whole gallery in one transaction, or nothing.

use std::collections::HashMap;

use imgn_protocol::{ImageId, Sha256, Timestamp};

use super::{
    Catalogue, CatalogueError, ChangeRow, Feed, ImageRow,
    database::{Transaction, either, sql},
    images::{self, Facts},
    parse, sha256, timestamp, to_column,
};
use crate::auth::{Role, Scopes};

/// The catalogue at one moment.
pub(crate) struct Snapshot(Transaction);

/// Whoever owns pictures, or has or had a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OwnerRow {
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) scopes: Scopes,
    /// What is kept of the token; `None` where it was revoked, or there never was one.
    pub(crate) hash: Option<Sha256>,
    pub(crate) created_at: Timestamp,
    pub(crate) expires_at: Option<Timestamp>,
    /// The last day of its use, counted from 1970.
    pub(crate) last_used_on: Option<i64>,
    /// Of somebody who signs in: the issuer, and its name for them.
    pub(crate) subject: Option<String>,
}

/// An empty catalogue that takes in a gallery. Dropped before [`Self::commit`], it is empty again.
pub(crate) struct Restore {
    transaction: Transaction,
    owners: HashMap<String, i64>,
}

type OwnerColumns = (
    i64,
    String,
    String,
    String,
    Option<Vec<u8>>,
    i64,
    Option<i64>,
    Option<i64>,
    Option<String>,
);

impl Snapshot {
    /// The feed as a whole.
    pub(crate) async fn feed(&mut self) -> Result<Feed, CatalogueError> {
        images::feed(&mut self.0).await
    }

    /// The feed after `since`, oldest first, and whether there is more.
    pub(crate) async fn entries(
        &mut self,
        since: u64,
        limit: u32,
    ) -> Result<(Vec<ChangeRow>, bool), CatalogueError> {
        images::entries(&mut self.0, since, limit).await
    }

    /// Some owners after one, and which the last of them is.
    pub(crate) async fn owners(
        &mut self,
        after: i64,
        limit: u32,
    ) -> Result<(Vec<OwnerRow>, Option<i64>), CatalogueError> {
        let rows: Vec<OwnerColumns> = sql(
            "SELECT id, name, role, scopes, hash, created_at, expires_at, last_used_on, subject
             FROM tokens WHERE id > $1 ORDER BY id LIMIT $2",
        )
        .bind(after)
        .bind(limit)
        .fetch_all(&mut self.0)
        .await?;
        let last = rows.last().map(|row| row.0);
        let rows = rows.into_iter().map(owner).collect::<Result<_, _>>()?;
        Ok((rows, last))
    }
}

fn owner(columns: OwnerColumns) -> Result<OwnerRow, CatalogueError> {
    let (_, name, role, scopes, hash, created_at, expires_at, last_used_on, subject) = columns;
    Ok(OwnerRow {
        name,
        role: parse(&role, "role")?,
        scopes: parse(&scopes, "scopes")?,
        hash: hash.as_deref().map(sha256).transpose()?,
        created_at: timestamp(created_at)?,
        expires_at: expires_at.map(timestamp).transpose()?,
        last_used_on,
        subject,
    })
}

impl Catalogue {
    /// Everything as it is now, whatever is written meanwhile.
    pub(crate) async fn at_one_moment(&self) -> Result<Snapshot, CatalogueError> {
        let mut snapshot = self.reader.snapshot().await?;
        snapshot.be_patient().await?;
        Ok(Snapshot(snapshot))
    }

    /// Whether nobody has a token, and nothing is or was ever published or under way.
    pub(crate) async fn is_empty(&self) -> Result<bool, CatalogueError> {
        let mut snapshot = self.reader.snapshot().await?;
        is_empty(&mut snapshot).await
    }

    /// Begins to take in a gallery; `None` where there is one.
    pub(crate) async fn restore(&self) -> Result<Option<Restore>, CatalogueError> {
        let mut transaction = self.begin().await?;
        transaction.be_patient().await?;
        if !is_empty(&mut transaction).await? {
            return Ok(None);
        }
        Ok(Some(Restore {
            transaction,
            owners: HashMap::new(),
        }))
    }
}

async fn is_empty(transaction: &mut Transaction) -> Result<bool, CatalogueError> {
    let rows: i64 = sql(
        "SELECT (SELECT count(*) FROM tokens WHERE hash IS NOT NULL OR subject IS NOT NULL)
             + (SELECT count(*) FROM (SELECT sequence FROM changes LIMIT 1) AS any_change)
             + (SELECT count(*) FROM (SELECT id FROM uploads LIMIT 1) AS any_upload)
             + (SELECT count(*) FROM (SELECT id FROM staged LIMIT 1) AS any_staged)",
    )
    .scalar(transaction)
    .await?;
    Ok(rows == 0)
}

impl Restore {
    /// An owner of a name that none before had. The one that stands for strangers may be here already.
    pub(crate) async fn owner(&mut self, owner: &OwnerRow) -> Result<(), CatalogueError> {
        let id: Option<i64> = sql(
            "INSERT INTO tokens (name, role, scopes, hash, created_at, expires_at, last_used_on, subject)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
             ON CONFLICT (name) DO UPDATE SET role = $2, scopes = $3, hash = $4, created_at = $5, expires_at = $6, last_used_on = $7
             WHERE tokens.hash IS NULL AND tokens.subject IS NULL RETURNING id",
        )
        .bind(&owner.name)
        .bind(owner.role.as_str())
        .bind(owner.scopes.to_string())
        .bind(owner.hash.map(|hash| hash.as_bytes().to_vec()))
        .bind(owner.created_at.as_millisecond())
        .bind(owner.expires_at.map(Timestamp::as_millisecond))
        .bind(owner.last_used_on)
        .bind(owner.subject.as_deref())
        .scalar_optional(&mut self.transaction)
        .await?;
        let is_first = id.is_some_and(|id| self.owners.insert(owner.name.clone(), id).is_none());
        match is_first {
            true => Ok(()),
            false => Err(CatalogueError::Invalid {
                what: "name of an owner",
            }),
        }
    }

    /// A picture of one of the owners before.
    pub(crate) async fn image(&mut self, row: &ImageRow) -> Result<(), CatalogueError> {
        let owner = self.owners.get(&row.owner).copied();
        let owner = owner.ok_or(CatalogueError::Invalid {
            what: "owner of a picture",
        })?;
        let facts = Facts {
            id: row.id,
            sequence: to_column(row.sequence),
            owner,
            file_name: &row.file_name,
            width: row.width,
            height: row.height,
            content_type: &row.content_type,
            size: row.size,
            sha256: &row.sha256,
            thumbhash: &row.thumbhash,
            animated: row.animated,
            taken_at: row.taken_at,
            created_at: row.created_at,
            camera: row.camera.as_deref(),
            lens: row.lens.as_deref(),
            exposure: row.exposure.as_ref(),
            location: row.location.as_ref(),
        };
        facts.insert(&mut self.transaction).await
    }

    pub(crate) async fn deleted(
        &mut self,
        sequence: u64,
        id: ImageId,
    ) -> Result<(), CatalogueError> {
        sql("INSERT INTO changes (sequence, kind, image_id) VALUES ($1, 'deleted', $2)")
            .bind(to_column(sequence))
            .bind(id.to_string())
            .execute(&mut self.transaction)
            .await?;
        Ok(())
    }

    /// Makes public what was taken in. The feed goes on after `last`, as the one that it is here or as that of the other
    /// catalogue.
    pub(crate) async fn commit(
        mut self,
        last: u64,
        feed: Option<&str>,
    ) -> Result<(), CatalogueError> {
        let transaction = &mut self.transaction;
        for statement in [
            "INSERT INTO changes (sequence, kind, image_id) SELECT sequence, 'added', id FROM images ORDER BY sequence",
            "UPDATE feed SET images = (SELECT count(*) FROM images)",
        ] {
            sql(statement).execute(&mut *transaction).await?;
        }
        // SQLite's numbers its entries by itself, after the highest that there ever was.
        either(
            "UPDATE sqlite_sequence SET seq = max(seq, $1) WHERE name = 'changes'",
            "UPDATE feed SET last = $1",
        )
        .bind(to_column(last))
        .execute(&mut *transaction)
        .await?;
        if let Some(feed) = feed {
            sql("UPDATE feed SET id = $1")
                .bind(feed)
                .execute(&mut *transaction)
                .await?;
        }
        self.transaction.commit().await
    }
}
