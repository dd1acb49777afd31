//! The credentials that everything is signed with, and their end: no URL may outlive them. Those who find credentials may
//! ask another computer for them, which is not done once a request.
//!
//! Invariant: none is given out that has expired.

use std::{
    error::Error,
    sync::Arc,
    time::{Duration, SystemTime},
};

use aws_credential_types::provider::{
    ProvideCredentials, SharedCredentialsProvider, error::CredentialsError, future,
};
use aws_sdk_s3::config::Credentials;
use tokio::{sync::Mutex, time::timeout};

/// How long before their end credentials are asked for anew.
const BEFORE_THEIR_END: Duration = Duration::from_secs(60);

/// How long credentials are kept that do not say when they expire: as long as the client keeps such.
const WITHOUT_END: Duration = Duration::from_secs(15 * 60);

/// Credentials that are asked for now and then. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct KeptCredentials {
    provider: SharedCredentialsProvider,
    kept: Arc<Mutex<Option<Kept>>>,
}

/// How long whoever gives credentials may take for them.
const PATIENCE: Duration = Duration::from_secs(5);

/// After how long they are asked again when they could not.
const AGAIN: Duration = Duration::from_secs(5);

#[derive(Debug)]
struct Kept {
    credentials: Credentials,
    until: SystemTime,
}

impl KeptCredentials {
    pub(super) fn new(provider: SharedCredentialsProvider) -> Self {
        Self {
            provider,
            kept: Arc::default(),
        }
    }

    /// The credentials of this moment. One asks for all who wait.
    pub(super) async fn get(&self) -> Result<Credentials, Box<dyn Error + Send + Sync>> {
        let mut kept = self.kept.lock().await;
        let now = SystemTime::now();
        if let Some(kept) = &*kept
            && now < kept.until
        {
            return Ok(kept.credentials.clone());
        }
        let asked = timeout(PATIENCE, self.provider.provide_credentials()).await;
        let credentials = match (asked, &mut *kept) {
            (Ok(Ok(credentials)), _) => credentials,
            // They are good for a moment still, and those who wait do not ask one after the other.
            (_, Some(kept)) if kept.credentials.expiry().is_none_or(|end| now < end) => {
                kept.until = now + AGAIN;
                return Ok(kept.credentials.clone());
            }
            (Ok(Err(error)), _) => return Err(error.into()),
            (Err(elapsed), _) => return Err(elapsed.into()),
        };
        let until = match credentials.expiry() {
            Some(expiry) => expiry.checked_sub(BEFORE_THEIR_END).unwrap_or(now),
            None => now + WITHOUT_END,
        };
        *kept = Some(Kept {
            credentials: credentials.clone(),
            until,
        });
        Ok(credentials)
    }
}

impl ProvideCredentials for KeptCredentials {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async {
            self.get().await.map_err(CredentialsError::provider_error)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    /// Gives credentials that live so long, and counts how often.
    #[derive(Debug, Clone)]
    struct Counting {
        asked: Arc<AtomicU32>,
        life: Option<Duration>,
    }

    impl ProvideCredentials for Counting {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            let number = self.asked.fetch_add(1, Ordering::SeqCst);
            let end = self.life.map(|life| SystemTime::now() + life);
            let credentials = Credentials::new(number.to_string(), "secret", None, end, "test");
            future::ProvideCredentials::ready(Ok(credentials))
        }
    }

    #[tokio::test]
    async fn credentials_are_asked_for_again_when_their_end_comes_near_and_not_before() {
        for (life, expected) in [
            (None, ["0", "0", "0"]),
            (Some(Duration::from_secs(3600)), ["0", "0", "0"]),
            (Some(Duration::from_secs(10)), ["0", "1", "2"]),
        ] {
            let provider = Counting {
                asked: Arc::default(),
                life,
            };
            let kept = KeptCredentials::new(SharedCredentialsProvider::new(provider));
            for expected in expected {
                let got = kept.get().await.unwrap();
                assert_eq!(got.access_key_id(), expected, "{life:?}");
            }
        }
    }
}
