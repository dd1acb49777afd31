//! Tokens in the system's keyring, one entry a server. They are never kept anywhere else.
//!
//! A keyring may be locked, absent, or wait for a person who is not there. Every call runs on a thread of its own and
//! is given up after [`PATIENCE`]; the thread is left to itself then, and does not keep the program from ending.

use std::time::Duration;

use imgn_protocol::Token;
use keyring_core::{Entry, api::CredentialStoreApi as _};
use tokio::sync::oneshot;
use url::Url;

#[cfg(target_os = "macos")]
use apple_native_keyring_store::keychain::Store;
#[cfg(target_os = "windows")]
use windows_native_keyring_store::Store;
#[cfg(all(unix, not(target_os = "macos")))]
use zbus_secret_service_keyring_store::Store;

use crate::{ClientCode, CommandError};

/// How long a keyring may take: far more than one that is unlocked needs, and not so long that a script seems to hang.
const PATIENCE: Duration = Duration::from_secs(5);

const SERVICE: &str = "imgn";

/// The token for `server`, if the keyring has one.
pub(crate) async fn load(server: &Url) -> Result<Option<Token>, CommandError> {
    let server = server.to_string();
    bounded(PATIENCE, move || match entry(&server)?.get_password() {
        Ok(token) => Ok(Some(Token::new(&token))),
        Err(keyring_core::Error::NoEntry) => Ok(None),
        Err(error) => Err(error),
    })
    .await
}

/// Keeps the token for `server`.
pub(crate) async fn store(server: &Url, token: &Token) -> Result<(), CommandError> {
    let (server, token) = (server.to_string(), token.clone());
    bounded(PATIENCE, move || {
        entry(&server)?.set_password(token.expose())
    })
    .await
}

/// Forgets the token for `server`.
pub(crate) async fn forget(server: &Url) -> Result<(), CommandError> {
    let server = server.to_string();
    bounded(PATIENCE, move || {
        match entry(&server)?.delete_credential() {
            Err(keyring_core::Error::NoEntry) => Ok(()),
            other => other,
        }
    })
    .await
}

/// Keeps something that is no secret, reads it, and takes it out again.
pub(crate) async fn probe() -> Result<(), CommandError> {
    const VALUE: &str = "not a secret";
    // Several programs may ask at the same time.
    let name = format!("a test of imgn's ({})", std::process::id());
    bounded(PATIENCE, move || {
        let entry = entry(&name)?;
        entry.set_password(VALUE)?;
        let read = entry.get_password();
        entry.delete_credential()?;
        if read? == VALUE {
            Ok(())
        } else {
            let odd = "it gives back something else than it was given".to_owned();
            Err(keyring_core::Error::BadStoreFormat(odd))
        }
    })
    .await
}

/// The place of a server's token. The keyring is looked for each time: one that came up after this program, or was
/// started again, knows nothing of a session of before.
fn entry(server: &str) -> keyring_core::Result<Entry> {
    let store = Store::new().map_err(|error| {
        tracing::debug!(%error, "no keyring");
        keyring_core::Error::NoDefaultStore
    })?;
    store.build(SERVICE, server, None)
}

async fn bounded<T: Send + 'static>(
    patience: Duration,
    call: impl FnOnce() -> keyring_core::Result<T> + Send + 'static,
) -> Result<T, CommandError> {
    let (answer, answered) = oneshot::channel();
    // Not the runtime's own threads: it would wait for a hanging one before it ends.
    std::thread::Builder::new()
        .name("keyring".to_owned())
        .spawn(move || answer.send(call()))
        .map_err(|error| {
            CommandError::new(
                ClientCode::KeyringFailed,
                format!("no thread can be started ({error})"),
            )
        })?;
    match tokio::time::timeout(patience, answered).await {
        Ok(Ok(Ok(value))) => Ok(value),
        Ok(Ok(Err(error))) => Err(explain(&error)),
        // The thread ended without an answer: the keyring's code panicked.
        Ok(Err(_)) => Err(CommandError::new(
            ClientCode::KeyringFailed,
            "the keyring failed; try again",
        )),
        Err(_) => Err(CommandError::new(
            ClientCode::KeyringTimeout,
            format!(
                "the keyring did not answer within {} s; if a window asks you to unlock it, do so and try again",
                patience.as_secs()
            ),
        )),
    }
}

fn explain(error: &keyring_core::Error) -> CommandError {
    let (code, what) = match error {
        keyring_core::Error::NoStorageAccess(_) => (
            ClientCode::KeyringLocked,
            "the keyring is locked; unlock it and try again".to_owned(),
        ),
        keyring_core::Error::NoDefaultStore | keyring_core::Error::NotSupportedByStore(_) => (
            ClientCode::KeyringMissing,
            "there is no keyring on this computer (no Secret Service answers on the session bus); start one and try again"
                .to_owned(),
        ),
        other => (
            ClientCode::KeyringFailed,
            format!("the keyring answered with an error ({other}); look at it and try again"),
        ),
    };
    CommandError::new(code, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn code_of(
        call: impl FnOnce() -> keyring_core::Result<()> + Send + 'static,
    ) -> ClientCode {
        let error = bounded(Duration::from_secs(1), call).await.unwrap_err();
        assert!(error.message.contains("try again"), "{error}");
        match error.code {
            crate::Code::Client(code) => code,
            other => panic!("{other}"),
        }
    }

    #[tokio::test]
    async fn locked_absent_hanging_and_broken_are_told_apart() {
        let locked = || Err(keyring_core::Error::NoStorageAccess("locked".into()));
        assert_eq!(code_of(locked).await, ClientCode::KeyringLocked);
        let absent = || Err(keyring_core::Error::NoDefaultStore);
        assert_eq!(code_of(absent).await, ClientCode::KeyringMissing);
        let hanging = || {
            std::thread::sleep(Duration::from_secs(60));
            Ok(())
        };
        assert_eq!(code_of(hanging).await, ClientCode::KeyringTimeout);
        let broken = || Err(keyring_core::Error::BadStoreFormat("odd".to_owned()));
        assert_eq!(code_of(broken).await, ClientCode::KeyringFailed);
        let panics = || panic!("in the keyring");
        assert_eq!(code_of(panics).await, ClientCode::KeyringFailed);
    }
}
