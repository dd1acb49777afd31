//! Those who sign in elsewhere, as owners of what they upload.
//!
//! Not here: whether they are who they say. Invariant: one who signs in is one owner for ever, whatever names tokens have,
//! and no token is ever theirs.

use imgn_protocol::Sha256;

use super::{Catalogue, CatalogueError, database::sql, now};

/// How their names begin, which no token's may.
pub(super) const PREFIX: &str = "oidc:";

impl Catalogue {
    /// The owner that somebody is whom the issuer knows by that name, and the name that they have here.
    pub(crate) async fn member(
        &self,
        issuer: &str,
        subject: &str,
    ) -> Result<(i64, String), CatalogueError> {
        // Neither has a space at its ends, and an issuer has none.
        let key = format!("{issuer} {subject}");
        if let Some(known) = self.known_member(&key).await? {
            return Ok(known);
        }
        let plain = format!("{PREFIX}{subject}");
        // A token of an older server may have the name, or somebody whom another issuer knows by it.
        let other = format!("{plain}#{}", &Sha256::of(key.as_bytes()).to_string()[..8]);
        for name in [plain, other] {
            sql(
                "INSERT INTO tokens (name, role, hash, created_at, subject) VALUES ($1, 'uploader', NULL, $2, $3)
                 ON CONFLICT DO NOTHING",
            )
            .bind(&name)
            .bind(now())
            .bind(&key)
            .execute(&self.writer)
            .await?;
            if let Some(known) = self.known_member(&key).await? {
                return Ok(known);
            }
        }
        Err(CatalogueError::Invalid {
            what: "name of an owner",
        })
    }

    async fn known_member(&self, key: &str) -> Result<Option<(i64, String)>, CatalogueError> {
        sql("SELECT id, name FROM tokens WHERE subject = $1")
            .bind(key)
            .fetch_optional(&self.reader)
            .await
    }
}
