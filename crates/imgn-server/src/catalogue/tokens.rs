//! Who may write.

use imgn_protocol::{Sha256, Timestamp, Token};

use super::{
    Catalogue, CatalogueError,
    database::{passing, sql},
    members, now, parse, timestamp,
};
use crate::{
    auth::{self, Caller, Grant, Role, Scopes},
    error::chain,
};

/// The longest name of a token, in characters.
const MAX_NAME: usize = 64;

/// The name under which stands what was uploaded without a token.
pub(crate) const ANONYMOUS: &str = "anonymous";

const DAY: i64 = 24 * 60 * 60 * 1000;

/// A token as `token list` shows it; its text is not kept anywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRow {
    /// Whose it is.
    pub name: String,
    /// What its owner is.
    pub role: Role,
    /// What it may be used for.
    pub scopes: Scopes,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends by itself; it may have.
    pub expires_at: Option<Timestamp>,
    /// The beginning of the last day, in UTC, on which it was used.
    pub last_used_on: Option<Timestamp>,
}

/// What a token turned out to be.
#[derive(Debug)]
pub(crate) enum Presented {
    Valid(Caller),
    Expired,
    /// It never was, or was revoked.
    Unknown,
}

pub(super) type Row = (i64, String, String, String, Option<i64>, Option<i64>);

/// A token by its hash, as a [`Row`].
pub(super) const BY_HASH: &str =
    "SELECT id, name, role, scopes, expires_at, last_used_on FROM tokens WHERE hash = $1";

/// A token that was not revoked.
#[derive(Debug, Clone)]
pub(super) struct KnownToken {
    owner: i64,
    name: String,
    role: Role,
    scopes: Scopes,
    /// Milliseconds since 1970.
    expires_at: Option<i64>,
    /// Days since 1970.
    last_used_on: Option<i64>,
}

impl TryFrom<Row> for KnownToken {
    type Error = CatalogueError;

    fn try_from(row: Row) -> Result<Self, CatalogueError> {
        let (owner, name, role, scopes, expires_at, last_used_on) = row;
        Ok(Self {
            owner,
            name,
            role: parse(&role, "role")?,
            scopes: parse(&scopes, "scopes")?,
            expires_at,
            last_used_on,
        })
    }
}

/// Why a token was not made or revoked.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The name has a token.
    #[error("there is a token named {name:?} already; revoke it first, or choose another name")]
    Exists {
        /// Which.
        name: String,
    },
    /// The name has none.
    #[error("there is no token named {name:?}")]
    Unknown {
        /// Which.
        name: String,
    },
    /// A name that could not be told apart on a terminal.
    #[error(
        "a token's name is 1 to {MAX_NAME} characters, without control characters or white space at its ends"
    )]
    Name,
    /// The name that stands for nobody.
    #[error("the name {ANONYMOUS:?} stands for those who upload without a token; choose another")]
    Anonymous,
    /// A name of those who sign in elsewhere.
    #[error(
        "names that begin with {:?} are of those who sign in; choose another",
        members::PREFIX
    )]
    Member,
    /// Somebody has that name, since before it stood for nobody.
    #[error(
        "a token is named {ANONYMOUS:?}, which stands for those who upload without one: what they upload would be its \
         owner's. Give the owner another token and end this one (`token revoke {ANONYMOUS}`); its pictures then count as \
         uploaded by nobody in particular"
    )]
    Somebody,
    /// The system has no randomness.
    #[error("the system gives no random numbers")]
    Random(#[source] getrandom::Error),
    /// The catalogue failed.
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
}

impl Catalogue {
    /// Makes a token, which is to be shown once. A name whose token was revoked or has expired gets a new one, and has what it
    /// uploaded before.
    pub async fn add_token(
        &self,
        name: &str,
        grant: impl Into<Grant>,
    ) -> Result<Token, TokenError> {
        let grant = grant.into();
        let valid = !name.is_empty()
            && name.trim() == name
            && name.chars().count() <= MAX_NAME
            && !name.chars().any(char::is_control);
        if !valid {
            return Err(TokenError::Name);
        }
        if name == ANONYMOUS {
            return Err(TokenError::Anonymous);
        }
        if name.starts_with(members::PREFIX) {
            return Err(TokenError::Member);
        }
        let token = auth::mint().map_err(TokenError::Random)?;
        let mut transaction = self.begin().await?;
        let changed = sql(
            "INSERT INTO tokens (name, role, hash, created_at, scopes, expires_at) VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT (name) DO UPDATE
             SET role = $2, hash = $3, created_at = $4, scopes = $5, expires_at = $6, last_used_on = NULL
             WHERE tokens.hash IS NULL OR tokens.expires_at <= $4",
        )
        .bind(name)
        .bind(grant.role.as_str())
        .bind(&auth::fingerprint(&token).as_bytes()[..])
        .bind(now())
        .bind(grant.scopes.to_string())
        .bind(grant.expires_at.map(Timestamp::as_millisecond))
        .execute(&mut transaction)
        .await?;
        transaction.commit().await?;
        if changed == 0 {
            return Err(TokenError::Exists {
                name: name.to_owned(),
            });
        }
        Ok(token)
    }

    /// The tokens that were not revoked, by name; those that have expired, too.
    pub async fn tokens(&self) -> Result<Vec<TokenRow>, TokenError> {
        type Row = (String, String, String, i64, Option<i64>, Option<i64>);
        let rows: Vec<Row> = sql(
            "SELECT name, role, scopes, created_at, expires_at, last_used_on FROM tokens
             WHERE hash IS NOT NULL ORDER BY name",
        )
        .fetch_all(&self.reader)
        .await?;
        rows.into_iter()
            .map(|(name, role, scopes, created_at, expires_at, day)| {
                Ok(TokenRow {
                    name,
                    role: parse(&role, "role")?,
                    scopes: parse(&scopes, "scopes")?,
                    created_at: timestamp(created_at)?,
                    expires_at: expires_at.map(timestamp).transpose()?,
                    last_used_on: day.map(|day| timestamp(day * DAY)).transpose()?,
                })
            })
            .collect()
    }

    /// Ends a token at once: its next request is refused. What it uploaded stays.
    pub async fn revoke_token(&self, name: &str) -> Result<(), TokenError> {
        let mut transaction = self.begin().await?;
        let changed = sql("UPDATE tokens SET hash = NULL WHERE name = $1 AND hash IS NOT NULL")
            .bind(name)
            .execute(&mut transaction)
            .await?;
        transaction.commit().await?;
        if changed == 0 {
            return Err(TokenError::Unknown {
                name: name.to_owned(),
            });
        }
        Ok(())
    }

    /// Whose token it is, found by its hash. That it was used is written down once a day.
    pub(crate) async fn caller(&self, fingerprint: &Sha256) -> Result<Presented, CatalogueError> {
        let hash = &fingerprint.as_bytes()[..];
        let read = async {
            let row: Option<Row> = sql(BY_HASH).bind(hash).fetch_optional(&self.reader).await?;
            row.map(KnownToken::try_from).transpose()
        };
        let Some(token) = self.remembered.row(*fingerprint, read).await? else {
            return Ok(Presented::Unknown);
        };
        let now = now();
        if token.expires_at.is_some_and(|end| end <= now) {
            return Ok(Presented::Expired);
        }
        let today = now.div_euclid(DAY);
        if token.last_used_on.is_none_or(|day| day < today) {
            // Whoever asks is answered all the same where this cannot be written.
            if let Err(error) = self.note_use(hash, today).await {
                let owner = token.owner;
                tracing::warn!(owner, cause = chain(&error), "a token's use was not noted");
            }
        }
        Ok(Presented::Valid(Caller {
            owner: token.owner,
            name: token.name,
            role: token.role,
            scopes: token.scopes,
            origin: None,
            request: None,
        }))
    }

    /// The name of an owner, who is there.
    pub(crate) async fn owner_name(&self, owner: i64) -> Result<String, CatalogueError> {
        sql("SELECT name FROM tokens WHERE id = $1")
            .bind(owner)
            .scalar(&self.reader)
            .await
    }

    async fn note_use(&self, hash: &[u8], day: i64) -> Result<(), CatalogueError> {
        let noted: Vec<i64> = passing!(
            "UPDATE tokens SET last_used_on = $2
             WHERE hash = $1 AND (last_used_on IS NULL OR last_used_on < $2) RETURNING id"
        )
        .bind(hash)
        .bind(day)
        .scalars(&self.writer)
        .await?;
        drop(noted);
        Ok(())
    }

    /// Who those are that write without a token, where the gallery lets them. An older server let somebody have a token
    /// of this name, who would own what everybody uploads.
    pub(crate) async fn anonymous(&self) -> Result<i64, TokenError> {
        let mut transaction = self.begin().await?;
        sql(
            "INSERT INTO tokens (name, role, hash, created_at) VALUES ($1, 'uploader', NULL, $2)
             ON CONFLICT (name) DO NOTHING",
        )
        .bind(ANONYMOUS)
        .bind(now())
        .execute(&mut transaction)
        .await?;
        let (id, is_somebody): (i64, bool) =
            sql("SELECT id, hash IS NOT NULL FROM tokens WHERE name = $1")
                .bind(ANONYMOUS)
                .fetch_one(&mut transaction)
                .await?;
        if is_somebody {
            return Err(TokenError::Somebody);
        }
        transaction.commit().await?;
        Ok(id)
    }
}
