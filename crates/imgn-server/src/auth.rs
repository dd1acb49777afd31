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
use imgn_protocol::{ErrorCode, Sha256, Timestamp, Token};

use crate::{
    catalogue::{ANONYMOUS, Presented},
    error::ApiError,
    oidc::Oidc,
    origin::Origin,
    routes::requests::RequestId,
    state::App,
};

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

/// What a token may be used for, within its role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scopes {
    /// To upload, and to end uploads.
    pub upload: bool,
    /// To delete pictures.
    pub delete: bool,
}

impl Scopes {
    /// Everything that the role allows.
    pub const ALL: Self = Self {
        upload: true,
        delete: true,
    };
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match (self.upload, self.delete) {
            (true, true) => "upload,delete",
            (true, false) => "upload",
            (false, true) => "delete",
            (false, false) => "",
        })
    }
}

impl FromStr for Scopes {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut scopes = Self {
            upload: false,
            delete: false,
        };
        for name in text.split(',') {
            match name.trim() {
                "upload" => scopes.upload = true,
                "delete" => scopes.delete = true,
                _ => {
                    return Err("scopes are `upload`, `delete`, or both with a comma between them");
                }
            }
        }
        Ok(scopes)
    }
}

/// What a new token allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    /// What its owner is.
    pub role: Role,
    /// What it may be used for.
    pub scopes: Scopes,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
}

impl From<Role> for Grant {
    /// Everything that the role allows, without an end.
    fn from(role: Role) -> Self {
        Self {
            role,
            scopes: Scopes::ALL,
            expires_at: None,
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
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) scopes: Scopes,
    /// Where the request comes from, as far as that is known.
    pub(crate) origin: Option<Origin>,
    /// The request's id.
    pub(crate) request: Option<RequestId>,
}

impl FromRequestParts<App> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let token = bearer(parts).ok_or_else(|| {
            ApiError::new(
                ErrorCode::Unauthorized,
                "This needs a token of this gallery's.",
            )
        })?;
        let mut caller = match &app.oidc {
            Some(oidc) if !token.expose().starts_with(PREFIX) => member(app, oidc, &token).await?,
            _ => owner(app, &token).await?,
        };
        caller.origin = origin(parts, app);
        caller.request = parts.extensions.get().cloned();
        app.let_write(&caller)?;
        Ok(caller)
    }
}

/// Whose token of this server's it is.
async fn owner(app: &App, token: &Token) -> Result<Caller, ApiError> {
    let why = match app.catalogue.caller(&fingerprint(token)).await? {
        Presented::Valid(caller) => return Ok(caller),
        Presented::Expired => "The token has expired; ask the gallery's admin for a new one.",
        Presented::Unknown => {
            "The token is unknown or was revoked; ask the gallery's admin for a new one."
        }
    };
    Err(ApiError::new(ErrorCode::Unauthorized, why))
}

/// Who has signed in.
async fn member(app: &App, oidc: &Oidc, token: &Token) -> Result<Caller, ApiError> {
    let member = oidc.member(token).await?;
    let (owner, name) = app.catalogue.member(oidc.issuer(), &member.subject).await?;
    Ok(Caller {
        owner,
        name,
        role: member.role,
        scopes: Scopes::ALL,
        origin: None,
        request: None,
    })
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
                    name: ANONYMOUS.to_owned(),
                    role: Role::Uploader,
                    scopes: Scopes::ALL,
                    origin: origin(parts, app),
                    request: parts.extensions.get().cloned(),
                };
                app.let_write(&caller)?;
                Ok(Self(caller))
            }
            _ => {
                let caller = Caller::from_request_parts(parts, app).await?;
                if !caller.scopes.upload {
                    return Err(ApiError::new(
                        ErrorCode::Forbidden,
                        "This token is not for uploading (its scope is `delete`).",
                    ));
                }
                Ok(Self(caller))
            }
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

    #[test]
    fn scopes_are_read_as_they_are_written() {
        for text in ["upload", "delete", "upload,delete"] {
            let scopes: Scopes = text.parse().unwrap();
            assert_eq!(scopes.to_string(), text);
        }
        assert_eq!("delete, upload".parse(), Ok(Scopes::ALL));
        for bad in ["", "read", "upload,"] {
            assert!(bad.parse::<Scopes>().is_err(), "{bad}");
        }
    }
}
