//! Who may write.

use imgn_protocol::{Sha256, Timestamp, Token};

use super::{Catalogue, CatalogueError, database::sql, now, parse, timestamp};
use crate::auth::{self, Caller, Role};

/// The longest name of a token, in characters.
const MAX_NAME: usize = 64;

/// The name under which stands what was uploaded without a token.
pub(super) const ANONYMOUS: &str = "anonymous";

/// A token as `token list` shows it; its text is not kept anywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRow {
    /// Whose it is.
    pub name: String,
    /// What it allows.
    pub role: Role,
    /// When it was made.
    pub created_at: Timestamp,
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
    /// Makes a token, which is to be shown once. A name whose token was revoked gets a new one, and has what it
    /// uploaded before.
    pub async fn add_token(&self, name: &str, role: Role) -> Result<Token, TokenError> {
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
        let token = auth::mint().map_err(TokenError::Random)?;
        let mut transaction = self.begin().await?;
        let changed = sql(
            "INSERT INTO tokens (name, role, hash, created_at) VALUES ($1, $2, $3, $4)
             ON CONFLICT (name) DO UPDATE SET role = $2, hash = $3, created_at = $4 WHERE tokens.hash IS NULL",
        )
        .bind(name)
        .bind(role.as_str())
        .bind(&auth::fingerprint(&token).as_bytes()[..])
        .bind(now())
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

    /// The tokens that are valid, by name.
    pub async fn tokens(&self) -> Result<Vec<TokenRow>, TokenError> {
        let rows: Vec<(String, String, i64)> =
            sql("SELECT name, role, created_at FROM tokens WHERE hash IS NOT NULL ORDER BY name")
                .fetch_all(&self.reader)
                .await?;
        rows.into_iter()
            .map(|(name, role, created_at)| {
                Ok(TokenRow {
                    name,
                    role: parse(&role, "role")?,
                    created_at: timestamp(created_at)?,
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

    /// Whose token it is, found by its hash.
    pub(crate) async fn caller(
        &self,
        fingerprint: &Sha256,
    ) -> Result<Option<Caller>, CatalogueError> {
        let row: Option<(i64, String)> = sql("SELECT id, role FROM tokens WHERE hash = $1")
            .bind(&fingerprint.as_bytes()[..])
            .fetch_optional(&self.reader)
            .await?;
        row.map(|(owner, role)| {
            Ok(Caller {
                owner,
                role: parse(&role, "role")?,
                origin: None,
            })
        })
        .transpose()
    }
}
