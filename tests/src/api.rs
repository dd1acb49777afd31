//! The HTTP API as a foreign client sees it: plain requests and JSON, without imgn's own client code.
//!
//! Invariant: nothing here knows how the server is built; field names come from the API's contract.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use anyhow::{Context as _, Result, ensure};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// One caller of one server.
#[derive(Clone)]
pub(crate) struct Api {
    http: reqwest::Client,
    pub(crate) url: String,
    token: Option<String>,
}

/// A status, the headers, and a body that is JSON or null.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) json: Value,
}

impl Reply {
    /// The code of a problem document; empty where it is none.
    pub(crate) fn code(&self) -> &str {
        let problem = self
            .headers
            .get("content-type")
            .is_some_and(|t| t.as_bytes().starts_with(b"application/problem+json"));
        if problem {
            self.json["code"].as_str().unwrap_or_default()
        } else {
            ""
        }
    }
}

/// SHA-256 in lower-case hexadecimal.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// A plain client: no redirects, no proxies, a bound on time.
pub(crate) fn http() -> Result<reqwest::Client> {
    Ok(builder().build()?)
}

fn builder() -> reqwest::ClientBuilder {
    // Installed once for the process; later calls find it there.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        // A server that refuses a body unread closes the connection, which the next request must not meet.
        .pool_max_idle_per_host(0)
        .timeout(Duration::from_secs(60))
}

impl Api {
    pub(crate) fn new(url: &str, token: Option<&str>) -> Result<Self> {
        Ok(Self {
            http: http()?,
            url: url.to_owned(),
            token: token.map(ToOwned::to_owned),
        })
    }

    /// A caller at another address of this computer.
    pub(crate) fn from_address(url: &str, token: Option<&str>, address: IpAddr) -> Result<Self> {
        Ok(Self {
            http: builder().local_address(address).build()?,
            url: url.to_owned(),
            token: token.map(ToOwned::to_owned),
        })
    }

    /// The same server for another caller.
    pub(crate) fn with_token(&self, token: Option<&str>) -> Self {
        Self {
            token: token.map(ToOwned::to_owned),
            ..self.clone()
        }
    }

    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<Reply> {
        let mut request = self.http.request(method, format!("{}{path}", self.url));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        reply(request.send().await?).await
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Reply> {
        self.call(Method::GET, path, None).await
    }

    /// Bytes behind a path, redirects followed by hand, so that each hop is seen.
    pub(crate) async fn bytes(&self, path: &str) -> Result<Vec<u8>> {
        let answer = self.http.get(format!("{}{path}", self.url)).send().await?;
        let answer = match answer.headers().get("location") {
            Some(location) => self.http.get(location.to_str()?).send().await?,
            None => answer,
        };
        ensure!(answer.status().is_success(), "{path}: {}", answer.status());
        Ok(answer.bytes().await?.to_vec())
    }

    /// Opens an upload of `bytes`; says what is wished about them, true or not.
    pub(crate) async fn open(
        &self,
        id: Uuid,
        name: &str,
        size: usize,
        sha256: &str,
    ) -> Result<Reply> {
        let body = json!({"file_name": name, "size": size, "sha256": sha256});
        self.call(Method::PUT, &format!("/v1/uploads/{id}"), Some(body))
            .await
    }

    /// A request to the store, signed now.
    pub(crate) async fn sign(&self, id: Uuid, checksum: &str) -> Result<Signed> {
        let body = json!({"checksum": checksum});
        let reply = self
            .call(Method::POST, &format!("/v1/uploads/{id}/sign"), Some(body))
            .await?;
        ensure!(reply.status == StatusCode::OK, "sign: {reply:?}");
        Ok(serde_json::from_value(reply.json)?)
    }

    pub(crate) async fn complete(&self, id: Uuid) -> Result<Reply> {
        self.call(
            Method::POST,
            &format!("/v1/uploads/{id}/complete"),
            Some(json!({"parts": []})),
        )
        .await
    }

    /// Sends a signed request with any body.
    pub(crate) async fn send(&self, signed: &Signed, body: Vec<u8>) -> Result<StatusCode> {
        let mut request = self
            .http
            .request(signed.method.parse()?, &signed.url)
            .body(body);
        for (name, value) in &signed.headers {
            request = request.header(name, value);
        }
        Ok(request.send().await?.status())
    }

    /// The whole way of one file; answers the last state.
    pub(crate) async fn upload(&self, name: &str, bytes: &[u8]) -> Result<Value> {
        let id = Uuid::now_v7();
        let sum = sha256(bytes);
        let opened = self.open(id, name, bytes.len(), &sum).await?;
        ensure!(opened.status.is_success(), "open: {opened:?}");
        if opened.json["state"] != "open" {
            return Ok(opened.json);
        }
        let signed = self.sign(id, &sum).await?;
        let status = self.send(&signed, bytes.to_vec()).await?;
        ensure!(status.is_success(), "put: {status}");
        self.outcome(id).await
    }

    /// Completes until the server has made up its mind.
    pub(crate) async fn outcome(&self, id: Uuid) -> Result<Value> {
        imgn_testkit::process::eventually("verification", Duration::from_secs(60), async || {
            let reply = self.complete(id).await?;
            ensure!(reply.status.is_success(), "complete: {reply:?}");
            Ok((reply.json["state"] != "verifying").then_some(reply.json))
        })
        .await
    }

    /// All pictures, by all pages.
    pub(crate) async fn images(&self) -> Result<Vec<Value>> {
        let mut images = Vec::new();
        let mut path = "/v1/images?limit=100".to_owned();
        loop {
            let page = self.get(&path).await?.json;
            images.extend(page["images"].as_array().context("images")?.iter().cloned());
            match page["next_cursor"].as_str() {
                Some(cursor) => path = format!("/v1/images?limit=100&cursor={cursor}"),
                None => return Ok(images),
            }
        }
    }
}

/// A signed request as the API answers it.
#[derive(Debug, Clone, serde::Deserialize)]
pub(crate) struct Signed {
    pub(crate) method: String,
    pub(crate) url: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) expires_at: jiff::Timestamp,
}

async fn reply(answer: reqwest::Response) -> Result<Reply> {
    let (status, headers) = (answer.status(), answer.headers().clone());
    let body = answer.bytes().await?;
    let json = serde_json::from_slice(&body).unwrap_or(Value::Null);
    Ok(Reply {
        status,
        headers,
        json,
    })
}
