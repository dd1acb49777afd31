//! Through which proxy servers are reached, as one word of a settings file.
//!
//! Invariant: it holds no password; a settings file is no place for one.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use url::Url;

/// Which proxy. Servers on this computer are always asked without one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Proxy {
    /// The one of the environment (`HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY`), or of the system.
    #[default]
    System,
    /// None.
    None,
    /// This one, by `http` or `https`.
    At(Url),
}

/// Why a text names no proxy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidProxy {
    /// It is no address.
    #[error(
        "`{0}` is no proxy; write `system`, `none`, or an address such as http://proxy.example:3128"
    )]
    Address(String),
    /// It would be kept in a file that others may read.
    #[error(
        "a proxy's address in the settings holds no user name or password; set HTTPS_PROXY in the environment and choose the system's proxy"
    )]
    Secret,
}

impl FromStr for Proxy {
    type Err = InvalidProxy;

    fn from_str(text: &str) -> Result<Self, InvalidProxy> {
        let text = text.trim();
        match text {
            "" | "system" => return Ok(Self::System),
            "none" => return Ok(Self::None),
            _ => {}
        }
        let invalid = || InvalidProxy::Address(text.to_owned());
        let full = if text.contains("://") {
            text.to_owned()
        } else {
            format!("http://{text}")
        };
        let url = Url::parse(&full).map_err(|_| InvalidProxy::Address(hidden(text)))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(InvalidProxy::Secret);
        }
        let is_plain = matches!(url.path(), "" | "/") && url.query().is_none();
        if !matches!(url.scheme(), "http" | "https") || !is_plain || url.host_str().is_none() {
            return Err(invalid());
        }
        Ok(Self::At(url))
    }
}

/// What may be a password is not repeated.
fn hidden(text: &str) -> String {
    text.rsplit('@').next().unwrap_or_default().to_owned()
}

impl TryFrom<String> for Proxy {
    type Error = InvalidProxy;

    fn try_from(text: String) -> Result<Self, InvalidProxy> {
        text.parse()
    }
}

impl From<Proxy> for String {
    fn from(proxy: Proxy) -> Self {
        proxy.to_string()
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System => f.write_str("system"),
            Self::None => f.write_str("none"),
            Self::At(url) => f.write_str(url.as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_read_as_people_write_it() {
        for (text, read) in [
            ("", "system"),
            ("system", "system"),
            ("none", "none"),
            ("proxy.example:3128", "http://proxy.example:3128/"),
            ("https://proxy.example", "https://proxy.example/"),
        ] {
            assert_eq!(text.parse::<Proxy>().unwrap().to_string(), read, "{text}");
        }
        for text in ["ftp://a", "http://a/b", "http://", "a b", "socks5://a:1"] {
            assert!(text.parse::<Proxy>().is_err(), "{text}");
        }
        for text in ["http://me:secret@a:1", "me:secret@a:1", "http://me:secret@"] {
            let error = text.parse::<Proxy>().unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
