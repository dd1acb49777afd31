//! Secrets that cannot be printed: whoever logs or formats one gets its host, or nothing.

use std::fmt;

use serde::{Deserialize, Serialize};
use url::Url;

/// A URL that carries its own permission: whoever has it may do the one request it was signed for until it expires.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(value_type = String, format = Uri))]
#[serde(transparent)]
pub struct PresignedUrl(String);

impl PresignedUrl {
    /// Takes a URL that was just signed.
    #[must_use]
    pub fn new(url: String) -> Self {
        Self(url)
    }

    /// The URL itself, to be sent or answered, exactly as it was signed, and never to be logged or kept.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PresignedUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = Url::parse(&self.0).ok();
        let host = url.as_ref().and_then(Url::host_str).unwrap_or("?");
        write!(f, "PresignedUrl({host}, redacted)")
    }
}

impl fmt::Display for PresignedUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// What a client shows to be let write.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Token(String);

impl Token {
    /// Takes a token as a person or a keyring gave it; white space around it is not part of it.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.trim().to_owned())
    }

    /// The token itself, for the `Authorization` header and the keyring only.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_print_their_host_or_nothing() {
        let url = PresignedUrl::new("https://store.example/b/k?X-Amz-Signature=5ec7e7".to_owned());
        assert_eq!(
            format!("{url} {url:?}"),
            "PresignedUrl(store.example, redacted) PresignedUrl(store.example, redacted)"
        );
        assert_eq!(format!("{:?}", Token::new(" 5ec7e7\n")), "Token(redacted)");
        assert_eq!(Token::new(" 5ec7e7\n").expose(), "5ec7e7");
    }
}
