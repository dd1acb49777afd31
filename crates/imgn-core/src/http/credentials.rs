//! Where a server's token comes from.
//!
//! Invariant: a keyring that gave nothing is asked again only when a person may have done something about it.

use std::sync::{Arc, PoisonError, RwLock};

use imgn_protocol::Token;
use tokio::sync::OnceCell;
use url::Url;

use crate::{CommandError, secrets};

/// Where the token comes from.
pub(crate) enum Credentials {
    /// It was handed over.
    Given(Token),
    /// From the keyring, asked when it is first needed.
    Keyring(Keyring),
    /// There is none.
    Nobody,
}

impl Credentials {
    pub(crate) fn keyring() -> Self {
        Self::Keyring(Keyring::default())
    }

    /// Whether a token is sent, as far as the keyring has been asked.
    pub(super) fn has_token(&self) -> bool {
        match self {
            Self::Given(_) => true,
            Self::Keyring(keyring) => keyring.gave_one(),
            Self::Nobody => false,
        }
    }
}

type Asked = Arc<OnceCell<Result<Option<Token>, CommandError>>>;

/// What the keyring answered.
#[derive(Default)]
pub(crate) struct Keyring(RwLock<Asked>);

impl Keyring {
    /// The token, if the keyring gives one.
    pub(super) async fn token(&self, server: &Url) -> Option<Token> {
        let asked = self.asked();
        let known = asked.get_or_init(|| secrets::load(server)).await;
        if let Err(trouble) = known {
            tracing::warn!(code = %trouble.code, "the keyring gives no token: {trouble}");
        }
        known.as_ref().ok()?.clone()
    }

    /// Why there is no token although there could be one.
    pub(super) fn trouble(&self) -> Option<CommandError> {
        self.asked().get()?.as_ref().err().cloned()
    }

    fn gave_one(&self) -> bool {
        matches!(self.asked().get(), Some(Ok(Some(_))))
    }

    /// What it gave stays; where it gave nothing, it is asked anew.
    pub(super) fn ask_again(&self) {
        let mut asked = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if !matches!(asked.get(), None | Some(Ok(Some(_)))) {
            *asked = Asked::default();
        }
    }

    fn asked(&self) -> Asked {
        let asked = self.0.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&asked)
    }
}
