//! Start, accept loop and shutdown.
use std::net::SocketAddr;

use imgn_protocol::Token;
use url::Url;

use crate::{Config, Role};

/// A running server.
pub struct Server {
    url: Url,
    address: SocketAddr,
}

/// Why no server was started.
#[derive(Debug, thiserror::Error)]
#[error("not written yet")]
pub struct StartError;

/// Why a token was not made.
#[derive(Debug, thiserror::Error)]
#[error("not written yet")]
pub struct TokenError;

impl Server {
    /// Starts; when this returns, it answers at [`url`](Self::url).
    pub async fn start(_config: Config) -> Result<Self, StartError> {
        Err(StartError)
    }

    /// Where clients reach it.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// What it listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Makes a token, shown once.
    pub async fn add_token(&self, _name: &str, _role: Role) -> Result<Token, TokenError> {
        Err(TokenError)
    }

    /// Ends it: no new request is taken, running ones are answered, what is being verified is taken up by the next start.
    pub async fn shutdown(self) {}
}
