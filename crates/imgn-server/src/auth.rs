//! Tokens: how one is made, what is kept of it, and who a request comes from.
//!
//! Invariant: a token's text exists twice, once when it is made and once in each request; what is kept is its SHA-256.
//! It holds 256 random bits, so a plain hash is as good as a slow one.

use std::{fmt, str::FromStr};

use axum::{
    extract::FromRequestParts,
    http::{header::AUTHORIZATION, request::Parts},
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use imgn_protocol::{ErrorCode, Sha256, Token};

use crate::{error::ApiError, origin::Origin, state::App};

/// How every token begins, so that people and secret scanners know one when they see it.
const PREFIX: &str = "imgn_";

/// What a token allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// To upload, and to delete what it uploaded.
    Uploader,
    /// Also to delete what others uploaded.
    Admin,
}

impl Role {
    /// As it is written on the command line and in the catalogue.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Uploader => "uploader",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Role {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "uploader" => Ok(Self::Uploader),
            "admin" => Ok(Self::Admin),
            _ => Err("a role is `uploader` or `admin`"),
        }
    }
}

/// A new token of 256 random bits.
pub(crate) fn mint() -> Result<Token, getrandom::Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(Token::new(&format!(
        "{PREFIX}{}",
        BASE64_URL_SAFE_NO_PAD.encode(bytes)
    )))
}

/// What is kept of a token.
pub(crate) fn fingerprint(token: &Token) -> Sha256 {
    Sha256::of(token.expose().as_bytes())
}

/// The owner of the token that came with a request.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    /// The token's row; what is uploaded belongs to it.
    pub(crate) owner: i64,
    pub(crate) role: Role,
    /// Where the request comes from, as far as that is known.
    pub(crate) origin: Option<Origin>,
}

impl FromRequestParts<App> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let token = bearer(parts).ok_or_else(|| {
            ApiError::new(
                ErrorCode::Unauthorized,
                "This needs a token: send `Authorization: Bearer TOKEN`.",
            )
        })?;
        let caller = app.catalogue.caller(&fingerprint(&token)).await?;
        let mut caller = caller.ok_or_else(|| {
            ApiError::new(
                ErrorCode::Unauthorized,
                "The token is unknown or was revoked; ask the gallery's admin for a new one.",
            )
        })?;
        caller.origin = origin(parts, app);
        app.let_write(&caller)?;
        Ok(caller)
    }
}

/// Whoever may upload: the owner of the token that came with a request, or, where the gallery lets everybody upload,
/// nobody in particular. What they upload without a token is theirs only as long as nobody else knows the upload's id.
#[derive(Debug, Clone)]
pub(crate) struct Uploader(pub(crate) Caller);

impl FromRequestParts<App> for Uploader {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        match app.anonymous {
            Some(owner) if !parts.headers.contains_key(AUTHORIZATION) => {
                let caller = Caller {
                    owner,
                    role: Role::Uploader,
                    origin: origin(parts, app),
                };
                app.let_write(&caller)?;
                Ok(Self(caller))
            }
            _ => Caller::from_request_parts(parts, app).await.map(Self),
        }
    }
}

fn origin(parts: &Parts, app: &App) -> Option<Origin> {
    Origin::of(
        &parts.headers,
        &parts.extensions,
        app.config.trusted_proxies,
    )
}

fn bearer(parts: &Parts) -> Option<Token> {
    let value = parts.headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    let token = Token::new(token);
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_long_and_different() {
        let (one, two) = (mint().unwrap(), mint().unwrap());
        assert_eq!(one.expose().len(), PREFIX.len() + 43);
        assert!(one.expose().starts_with(PREFIX));
        assert_ne!(fingerprint(&one), fingerprint(&two));
    }
}
