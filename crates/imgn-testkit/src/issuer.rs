//! A small issuer of OpenID Connect: it publishes its keys, signs with them, and rotates them.
//!
//! It signs nobody in: a test says whom it speaks of. Nothing of the product is used to sign, so that both cannot be wrong
//! together.

use std::{
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
};

use anyhow::{Context as _, Result, ensure};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use ring::{
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
        RSA_PKCS1_SHA256, RsaKeyPair, RsaPublicKeyComponents,
    },
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// An issuer that runs until it goes.
pub struct Issuer {
    url: String,
    shared: Arc<Shared>,
    serving: JoinHandle<()>,
}

struct Shared {
    url: String,
    keys: Mutex<Keys>,
    asked: AtomicUsize,
    is_broken: AtomicBool,
}

#[derive(Default)]
struct Keys {
    made: usize,
    published: Vec<Value>,
    current: Option<(String, Key)>,
}

enum Key {
    Rsa(RsaKeyPair),
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl Issuer {
    /// Starts one with a key for `RS256`, `ES256` or `EdDSA`.
    pub async fn start(algorithm: &str) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let shared = Arc::new(Shared {
            url: url.clone(),
            keys: Mutex::default(),
            asked: AtomicUsize::new(0),
            is_broken: AtomicBool::new(false),
        });
        let answering = shared.clone();
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // Whoever asks does without an answer where the connection breaks.
                let _ = answering.answer(stream).await;
            }
        });
        let issuer = Self {
            url,
            shared,
            serving,
        };
        issuer.rotate(algorithm)?;
        Ok(issuer)
    }

    /// What it calls itself.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Signs with a new key from here on; the one before is none of its keys any more.
    pub fn rotate(&self, algorithm: &str) -> Result<()> {
        let key = Key::make(algorithm)?;
        let mut keys = self.shared.keys.lock().unwrap();
        keys.made += 1;
        let id = format!("key-{}", keys.made);
        let unknown = json!({"kty": "AKP", "alg": "ML-DSA-44", "kid": "new", "pub": "AAAA"});
        keys.published = vec![unknown, key.published(&id)];
        keys.current = Some((id, key));
        Ok(())
    }

    /// Answers nothing but errors, or as ever.
    pub fn set_broken(&self, is_broken: bool) {
        self.shared.is_broken.store(is_broken, Relaxed);
    }

    /// How often its keys were asked for.
    #[must_use]
    pub fn asked(&self) -> usize {
        self.shared.asked.load(Relaxed)
    }

    /// The header of what it signs now.
    #[must_use]
    pub fn header(&self) -> Value {
        let keys = self.shared.keys.lock().unwrap();
        let (id, key) = keys.current.as_ref().expect("a key");
        json!({"alg": key.algorithm(), "kid": id, "typ": "JWT"})
    }

    /// A token with these claims.
    #[must_use]
    pub fn sign(&self, claims: &Value) -> String {
        self.sign_as(&self.header(), claims)
    }

    /// A token with these claims and that header, whatever it says of the key.
    #[must_use]
    pub fn sign_as(&self, header: &Value, claims: &Value) -> String {
        let keys = self.shared.keys.lock().unwrap();
        let (_, key) = keys.current.as_ref().expect("a key");
        let encode = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", encode(header), encode(claims));
        let signature = key.sign(message.as_bytes());
        format!("{message}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
    }

    /// The published key as bytes: what a forger would sign with as if it were a shared secret.
    #[must_use]
    pub fn published_key(&self) -> Vec<u8> {
        let keys = self.shared.keys.lock().unwrap();
        match &keys.current.as_ref().expect("a key").1 {
            Key::Rsa(key) => key.public_key().as_ref().to_vec(),
            Key::P256(key) => key.public_key().as_ref().to_vec(),
            Key::Ed25519(key) => key.public_key().as_ref().to_vec(),
        }
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Shared {
    async fn answer(&self, mut stream: TcpStream) -> Result<()> {
        let mut head = Vec::new();
        while !head.windows(4).any(|end| end == b"\r\n\r\n") {
            let mut piece = [0; 1024];
            let read = stream.read(&mut piece).await?;
            ensure!(read > 0, "the request broke off");
            head.extend_from_slice(&piece[..read]);
        }
        let head = String::from_utf8(head)?;
        let path = head.split(' ').nth(1).context("a path")?;
        let answer = match path {
            _ if self.is_broken.load(Relaxed) => None,
            "/.well-known/openid-configuration" => Some(json!({
                "issuer": self.url,
                "jwks_uri": format!("{}/keys", self.url),
                "authorization_endpoint": format!("{}/authorize", self.url),
            })),
            "/keys" => {
                self.asked.fetch_add(1, Relaxed);
                let keys = &self.keys.lock().unwrap().published;
                Some(json!({ "keys": keys }))
            }
            _ => None,
        };
        let (status, body) = match answer {
            Some(answer) => ("200 OK", answer.to_string()),
            None => ("503 Service Unavailable", String::new()),
        };
        let length = body.len();
        let text = format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
        );
        stream.write_all(text.as_bytes()).await?;
        Ok(stream.shutdown().await?)
    }
}

impl Key {
    fn make(algorithm: &str) -> Result<Self> {
        let random = SystemRandom::new();
        Ok(match algorithm {
            "RS256" => {
                // `ring` uses such keys and makes none.
                let made = Command::new("openssl")
                    .args(["genpkey", "-algorithm", "RSA", "-outform", "DER"])
                    .args(["-pkeyopt", "rsa_keygen_bits:2048"])
                    .output()
                    .context("openssl")?;
                ensure!(made.status.success(), "openssl makes no key");
                // Of PKCS #8, or of PKCS #1 from an older one.
                let key = RsaKeyPair::from_pkcs8(&made.stdout)
                    .or_else(|_| RsaKeyPair::from_der(&made.stdout));
                Self::Rsa(key.ok().context("an RSA key")?)
            }
            "ES256" => {
                let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
                let made = EcdsaKeyPair::generate_pkcs8(algorithm, &random);
                let made = made.ok().context("a key of P-256")?;
                let key = EcdsaKeyPair::from_pkcs8(algorithm, made.as_ref(), &random);
                Self::P256(key.ok().context("a key of P-256")?)
            }
            "EdDSA" => {
                let made = Ed25519KeyPair::generate_pkcs8(&random);
                let made = made.ok().context("a key of Ed25519")?;
                let key = Ed25519KeyPair::from_pkcs8(made.as_ref());
                Self::Ed25519(key.ok().context("a key of Ed25519")?)
            }
            other => anyhow::bail!("no key is for {other}"),
        })
    }

    fn algorithm(&self) -> &'static str {
        match self {
            Self::Rsa(_) => "RS256",
            Self::P256(_) => "ES256",
            Self::Ed25519(_) => "EdDSA",
        }
    }

    fn published(&self, id: &str) -> Value {
        let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        let mut key = match self {
            Self::Rsa(key) => {
                let public: RsaPublicKeyComponents<Vec<u8>> = key.public().into();
                json!({"kty": "RSA", "n": encode(&public.n), "e": encode(&public.e)})
            }
            Self::P256(key) => {
                // An uncompressed point: 4, x, y.
                let point = key.public_key().as_ref();
                json!({"kty": "EC", "crv": "P-256", "x": encode(&point[1..33]), "y": encode(&point[33..])})
            }
            Self::Ed25519(key) => {
                json!({"kty": "OKP", "crv": "Ed25519", "x": encode(key.public_key().as_ref())})
            }
        };
        key["kid"] = id.into();
        key["use"] = "sig".into();
        key["alg"] = self.algorithm().into();
        key
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Rsa(key) => {
                let mut signature = vec![0; key.public().modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)
                    .expect("RSA signs");
                signature
            }
            Self::P256(key) => {
                let signature = key.sign(&random, message).expect("P-256 signs");
                signature.as_ref().to_vec()
            }
            Self::Ed25519(key) => key.sign(message).as_ref().to_vec(),
        }
    }
}
