//! The credentials that everything is signed with, and their end: no URL may outlive them. Those who find credentials may
//! ask another computer for them, which is not done once a request.
//!
//! Invariant: none is given out that has expired.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use aws_credential_types::provider::{
    ProvideCredentials, SharedCredentialsProvider, error::CredentialsError, future,
};
use aws_sdk_s3::config::Credentials;
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};

use super::Reason;
use crate::error::chain;

/// How long before their end credentials are asked for anew.
const BEFORE_THEIR_END: Duration = Duration::from_secs(60);

/// How long credentials are kept that do not say when they expire: as long as the client keeps such.
const WITHOUT_END: Duration = Duration::from_secs(15 * 60);

/// Credentials that are asked for now and then. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct KeptCredentials {
    provider: SharedCredentialsProvider,
    known: Arc<Mutex<Known>>,
}

/// How long whoever gives credentials may take for them.
const PATIENCE: Duration = Duration::from_secs(5);

/// After how long they are asked again when they could not, and what there is is good for a moment still.
const AGAIN: Duration = Duration::from_secs(5);

/// For how long everybody is told that they could not: those who waited meanwhile do not ask one after the other.
const FAILED: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
struct Known {
    kept: Option<Kept>,
    failed: Option<(Instant, Reason)>,
}

#[derive(Debug)]
struct Kept {
    credentials: Credentials,
    until: SystemTime,
}

impl KeptCredentials {
    pub(super) fn new(provider: SharedCredentialsProvider) -> Self {
        Self {
            provider,
            known: Arc::default(),
        }
    }

    /// The credentials of this moment. One asks for all who wait, and tells all of them.
    pub(super) async fn get(&self) -> Result<Credentials, Reason> {
        let mut known = self.known.lock().await;
        let now = SystemTime::now();
        if let Some(kept) = &known.kept
            && now < kept.until
        {
            return Ok(kept.credentials.clone());
        }
        if let Some((when, reason)) = &known.failed
            && when.elapsed() < FAILED
        {
            return Err(reason.clone());
        }
        let asked = timeout(PATIENCE, self.provider.provide_credentials()).await;
        let credentials = match asked {
            Ok(Ok(credentials)) => credentials,
            failed => {
                let (reason, cause) = match failed {
                    Ok(Err(error)) => (Reason::of_credentials(&error), chain(&error)),
                    _ => (
                        Reason::CredentialsLate,
                        format!("no answer within {} s", PATIENCE.as_secs()),
                    ),
                };
                // One that gave some before is there, and is only away.
                let reason = match reason {
                    Reason::NoCredentials if known.kept.is_some() => Reason::CredentialsLate,
                    reason => reason,
                };
                match reason {
                    // Whoever reads that needs not know where they were looked for.
                    Reason::NoCredentials => tracing::debug!(cause, "{reason}"),
                    _ => tracing::warn!(cause, "no credentials for the store: {reason}"),
                }
                let now = SystemTime::now();
                if let Some(kept) = &mut known.kept
                    && kept.credentials.expiry().is_none_or(|end| now < end)
                {
                    kept.until = now + AGAIN;
                    return Ok(kept.credentials.clone());
                }
                known.failed = Some((Instant::now(), reason.clone()));
                return Err(reason);
            }
        };
        known.failed = None;
        let until = match credentials.expiry() {
            Some(expiry) => expiry.checked_sub(BEFORE_THEIR_END).unwrap_or(now),
            None => now + WITHOUT_END,
        };
        known.kept = Some(Kept {
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

    type Says = fn() -> CredentialsError;

    /// Does not answer, or says that it has none, and counts how often.
    #[derive(Debug, Clone)]
    struct Failing {
        asked: Arc<AtomicU32>,
        error: Option<Says>,
    }

    impl ProvideCredentials for Failing {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            self.asked.fetch_add(1, Ordering::SeqCst);
            match self.error {
                Some(error) => future::ProvideCredentials::ready(Err(error())),
                None => future::ProvideCredentials::new(std::future::pending()),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_waits_for_whoever_is_away_and_all_are_told_why() {
        let cases: [(Option<Says>, Reason); 3] = [
            (None, Reason::CredentialsLate),
            (
                Some(|| CredentialsError::provider_error("no such role")),
                Reason::CredentialsRefused,
            ),
            (
                Some(CredentialsError::not_loaded_no_source),
                Reason::NoCredentials,
            ),
        ];
        for (error, expected) in cases {
            let provider = Failing {
                asked: Arc::default(),
                error,
            };
            let asked = provider.asked.clone();
            let kept = KeptCredentials::new(SharedCredentialsProvider::new(provider));
            let since = Instant::now();
            let all = futures_util::future::join_all((0..20).map(|_| kept.get())).await;
            for got in all {
                assert_eq!(got.unwrap_err(), expected);
            }
            // The clock is the test's: it stands still but while somebody sleeps.
            assert!(
                since.elapsed() <= PATIENCE + FAILED,
                "{:?}",
                since.elapsed()
            );
            assert_eq!(asked.load(Ordering::SeqCst), 1);
            tokio::time::advance(FAILED).await;
            assert_eq!(kept.get().await.unwrap_err(), expected);
            assert_eq!(asked.load(Ordering::SeqCst), 2);
        }
    }
}
