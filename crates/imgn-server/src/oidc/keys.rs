//! The issuer's keys: found by its discovery document, kept, and asked for again when they change.
//!
//! Invariant: however many tokens with made-up keys come, the issuer is asked once a minute at most, by one request at a
//! time. Where it does not answer, the keys that it told last are good for a day.

use std::{
    error::Error,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse},
};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::Mutex;

use super::client::{Client, ClientError};
use crate::config::OidcConfig;

/// How old keys may become before they are asked for again, so that one that was taken back is one no more.
const FRESH: Duration = Duration::from_secs(60 * 60);

/// How old they may become where the issuer does not answer.
const GOOD: Duration = Duration::from_secs(24 * 60 * 60);

/// The most keys of an issuer. They have two or three.
const MOST: usize = 100;

/// Why there is no key for a token.
#[derive(Debug)]
pub(super) enum NoKey {
    /// The issuer has none of that name and kind.
    Unknown,
    /// It could not be asked, and there is nothing to go by.
    Unreachable(Box<dyn Error + Send + Sync>),
}

#[derive(Debug)]
pub(super) struct Keys {
    issuer: String,
    /// The pause between two questions, whatever comes meanwhile.
    ask_every: Duration,
    client: Client,
    kept: RwLock<Kept>,
    /// Held by whoever asks the issuer.
    asking: Mutex<()>,
}

#[derive(Debug, Default)]
struct Kept {
    keys: Vec<Key>,
    told: Option<Instant>,
    asked: Option<Instant>,
}

#[derive(Debug)]
struct Key {
    id: Option<String>,
    algorithm: Algorithm,
    key: DecodingKey,
}

#[derive(Debug, Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

#[derive(Debug, Deserialize)]
struct KeySet {
    /// Read one by one: one of a kind that nobody knows here hides no other.
    keys: Vec<Value>,
}

impl Keys {
    pub(super) fn new(config: &OidcConfig) -> Result<Self, ClientError> {
        Ok(Self {
            issuer: config.issuer.clone(),
            ask_every: config.ask_every,
            client: Client::new()?,
            kept: RwLock::default(),
            asking: Mutex::default(),
        })
    }

    /// The key of that name, for that algorithm. A token may leave out the name where there is one key to choose from.
    pub(super) async fn find(
        self: &Arc<Self>,
        id: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<DecodingKey, NoKey> {
        let now = Instant::now();
        let found = self.kept(id, algorithm, FRESH, now);
        if let Some(found) = found {
            return Ok(found);
        }
        // One request waits for the issuer at a time, where the others have something to go by.
        if self.asking.try_lock().is_err()
            && let Some(found) = self.kept(id, algorithm, GOOD, now)
        {
            return Ok(found);
        }
        // To its end, also where whoever sent the token is gone by then: nobody keeps the others from new keys by hanging up.
        let keys = Arc::clone(self);
        let asked = tokio::spawn(async move { keys.ask(now).await });
        let asked = asked.await.unwrap_or_else(|error| Err(error.into()));
        match (self.kept(id, algorithm, GOOD, now), asked) {
            (Some(found), _) => Ok(found),
            (None, Err(error)) => Err(NoKey::Unreachable(error)),
            (None, Ok(())) if !self.is_known(now) => {
                Err(NoKey::Unreachable("it was asked a moment ago".into()))
            }
            (None, Ok(())) => Err(NoKey::Unknown),
        }
    }

    fn kept(
        &self,
        id: Option<&str>,
        algorithm: Algorithm,
        age: Duration,
        now: Instant,
    ) -> Option<DecodingKey> {
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        let told = kept.told?;
        if now.saturating_duration_since(told) > age {
            return None;
        }
        let mut fitting = kept
            .keys
            .iter()
            .filter(|key| key.algorithm == algorithm)
            .filter(|key| id.is_none() || key.id.as_deref() == id);
        let first = fitting.next()?;
        (id.is_some() || fitting.next().is_none()).then(|| first.key.clone())
    }

    /// Whether there is something to go by.
    fn is_known(&self, now: Instant) -> bool {
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        kept.told
            .is_some_and(|told| now.saturating_duration_since(told) <= GOOD)
    }

    /// Asks the issuer, unless that was done a moment ago. Who comes while somebody does waits, and has what they got.
    async fn ask(&self, came: Instant) -> Result<(), Box<dyn Error + Send + Sync>> {
        let _asking = self.asking.lock().await;
        {
            let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
            let is_too_soon = kept
                .asked
                .is_some_and(|asked| came.saturating_duration_since(asked) < self.ask_every);
            if is_too_soon {
                return Ok(());
            }
            kept.asked = Some(Instant::now());
        }
        let keys = self.fetch().await?;
        tracing::info!(keys = keys.len(), "the sign-in's issuer told its keys");
        let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
        kept.keys = keys;
        kept.told = Some(Instant::now());
        Ok(())
    }

    async fn fetch(&self) -> Result<Vec<Key>, Box<dyn Error + Send + Sync>> {
        let base = self.issuer.trim_end_matches('/');
        let address = format!("{base}/.well-known/openid-configuration");
        let discovery: Discovery = self.client.get(&address).await?;
        if discovery.issuer != self.issuer {
            return Err(format!("it calls itself {:?}", discovery.issuer).into());
        }
        // Whoever could put in another answer on the way could sign for anybody.
        if self.issuer.starts_with("https:") && !discovery.jwks_uri.starts_with("https:") {
            return Err("its keys are not behind TLS".into());
        }
        let set: KeySet = self.client.get(&discovery.jwks_uri).await?;
        Ok(set.keys.into_iter().take(MOST).filter_map(key).collect())
    }
}

/// A key that signs with one of the three algorithms.
fn key(value: Value) -> Option<Key> {
    let jwk: Jwk = serde_json::from_value(value).ok()?;
    let is_for_signatures = matches!(
        jwk.common.public_key_use,
        None | Some(PublicKeyUse::Signature)
    );
    let (algorithm, name) = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => (Algorithm::RS256, KeyAlgorithm::RS256),
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
            (Algorithm::ES256, KeyAlgorithm::ES256)
        }
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
            (Algorithm::EdDSA, KeyAlgorithm::EdDSA)
        }
        _ => return None,
    };
    let is_for_this = jwk
        .common
        .key_algorithm
        .as_ref()
        .is_none_or(|told| *told == name);
    let key = DecodingKey::from_jwk(&jwk).ok()?;
    (is_for_signatures && is_for_this).then_some(Key {
        id: jwk.common.key_id,
        algorithm,
        key,
    })
}
