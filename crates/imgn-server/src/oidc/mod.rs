//! Sign-in by OpenID Connect: bearer tokens that an issuer of the operator's choice has signed (JWT) stand beside the
//! server's own.
//!
//! Not here: how somebody signs in, which is between them and the issuer; whose uploads are whose (`catalogue`).
//!
//! Invariant: of a token nothing is believed, its header's algorithm and key included, before the issuer's published key of
//! that name, by the one algorithm that the key is for, has verified its signature.

mod client;
mod crypto;
mod keys;

use std::{sync::Arc, time::Duration};

use imgn_protocol::{ErrorCode, Token};
use jsonwebtoken::{Algorithm, Validation, decode, decode_header, errors::ErrorKind};
use serde_json::Value;

use self::keys::{Keys, NoKey};
use crate::{
    auth::Role,
    config::OidcConfig,
    error::{ApiError, chain},
};

pub use self::client::ClientError;

/// The longest token in bytes. Those of Keycloak with many roles have some 4,000; a header of a request may have more.
const MAX_TOKEN: usize = 8 * 1024;

/// The longest `sub`, as OpenID Connect has it.
const MAX_SUBJECT: usize = 255;

/// How far the issuer's clock and this one may be apart.
const LEEWAY: Duration = Duration::from_secs(60);

/// What a claim has to say to make somebody an administrator, or an uploader: names that mean nothing to the issuer's other
/// programs.
const ADMIN: &str = "imgn-admin";
const UPLOADER: &str = "imgn-uploader";

/// The only ones: signatures with a public key, of which each kind of key has one.
const ALGORITHMS: [Algorithm; 3] = [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA];

/// Who signed in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Member {
    /// The issuer's own name for them, which never changes.
    pub(crate) subject: String,
    pub(crate) role: Role,
}

/// Checks tokens of one issuer. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Oidc(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: OidcConfig,
    keys: Arc<Keys>,
    validation: Validation,
}

impl Oidc {
    pub(crate) fn new(config: &OidcConfig) -> Result<Self, ClientError> {
        crypto::install();
        let mut validation = Validation::new(Algorithm::RS256);
        validation.leeway = LEEWAY.as_secs();
        validation.validate_nbf = true;
        validation.set_issuer(&[&config.issuer]);
        validation.set_audience(&[&config.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        Ok(Self(Arc::new(Inner {
            keys: Arc::new(Keys::new(config)?),
            config: config.clone(),
            validation,
        })))
    }

    /// The issuer, as the catalogue keeps it.
    pub(crate) fn issuer(&self) -> &str {
        &self.0.config.issuer
    }

    /// Who it is that the token speaks of.
    pub(crate) async fn member(&self, token: &Token) -> Result<Member, ApiError> {
        let token = token.expose();
        if token.len() > MAX_TOKEN {
            return Err(refused(
                "The sign-in's token is longer than any that is taken here.",
            ));
        }
        // A token without a signature (`none`) has an algorithm that nobody here knows.
        let header = decode_header(token).map_err(|_| not_ours())?;
        if !ALGORITHMS.contains(&header.alg) || header.crit.is_some() {
            return Err(not_ours());
        }
        let key = match self.0.keys.find(header.kid.as_deref(), header.alg).await {
            Ok(key) => key,
            Err(NoKey::Unknown) => return Err(not_ours()),
            Err(NoKey::Unreachable(error)) => {
                tracing::warn!(cause = chain(&*error), "the issuer's keys cannot be had");
                return Err(ApiError::new(
                    ErrorCode::Unavailable,
                    "The sign-in's issuer does not answer; try again in a moment.",
                ));
            }
        };
        let mut validation = self.0.validation.clone();
        validation.algorithms = vec![header.alg];
        let claims = decode::<Value>(token, &key, &validation)
            .map_err(|error| match error.kind() {
                ErrorKind::ExpiredSignature => {
                    refused("The sign-in has expired; sign in again.")
                }
                ErrorKind::ImmatureSignature => refused(
                    "The sign-in is not valid yet: the clocks of its issuer and of this server differ by more than a minute.",
                ),
                ErrorKind::InvalidAudience => {
                    refused("The sign-in is for another service than this gallery.")
                }
                _ => not_ours(),
            })?
            .claims;
        let subject = claims.get("sub").and_then(Value::as_str);
        let subject = subject
            .filter(|subject| is_plain(subject))
            .ok_or_else(not_ours)?;
        Ok(Member {
            subject: subject.to_owned(),
            role: self.role(&claims)?,
        })
    }

    fn role(&self, claims: &Value) -> Result<Role, ApiError> {
        let Some(name) = &self.0.config.role_claim else {
            return Ok(Role::Uploader);
        };
        let told = claim(claims, name);
        let says = |role: &str| match told {
            Some(Value::String(one)) => one == role,
            Some(Value::Array(all)) => all.iter().any(|one| one == role),
            _ => false,
        };
        if says(ADMIN) {
            Ok(Role::Admin)
        } else if says(UPLOADER) {
            Ok(Role::Uploader)
        } else {
            Err(ApiError::new(
                ErrorCode::Forbidden,
                "Your account may not write to this gallery; its admin can give it the role for that.",
            ))
        }
    }
}

/// A claim by its name, or by names with dots between them of what is in one another.
fn claim<'a>(claims: &'a Value, name: &str) -> Option<&'a Value> {
    claims.get(name).or_else(|| {
        name.split('.')
            .try_fold(claims, |inner, name| inner.get(name))
    })
}

/// Names of people are shown, and logged.
fn is_plain(subject: &str) -> bool {
    (1..=MAX_SUBJECT).contains(&subject.len())
        && subject.trim() == subject
        && !subject.chars().any(char::is_control)
}

fn refused(detail: &str) -> ApiError {
    ApiError::new(ErrorCode::Unauthorized, detail)
}

/// What exactly was wrong with a forged token is nothing to its maker.
fn not_ours() -> ApiError {
    refused("The token is none of this gallery's, nor of the sign-in that it takes; sign in again.")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_claim_is_found_by_its_name_or_by_its_path() {
        let claims = json!({
            "cognito:groups": ["a"],
            "https://x.example/roles": "b",
            "realm_access": { "roles": ["c"] },
        });
        assert_eq!(claim(&claims, "cognito:groups"), Some(&json!(["a"])));
        assert_eq!(claim(&claims, "https://x.example/roles"), Some(&json!("b")));
        assert_eq!(claim(&claims, "realm_access.roles"), Some(&json!(["c"])));
        assert_eq!(claim(&claims, "realm_access.groups"), None);
    }

    #[test]
    fn a_subject_is_one_that_can_be_told_apart() {
        for good in [
            "a",
            "248289761001",
            "auth0|5f7c8ec7c33c6c004bbafe82",
            "\u{fc}",
        ] {
            assert!(is_plain(good), "{good}");
        }
        for bad in ["", " a", "a\nb", &"a".repeat(256)] {
            assert!(!is_plain(bad), "{bad}");
        }
    }
}
