//! The two documents that an issuer publishes, over HTTP: the server's only requests to anybody but its store and database.
//!
//! It follows no redirect and keeps no cookie. Invariant: an answer is bounded in bytes and in time.

use std::{error::Error, io, sync::Arc, time::Duration};

use axum::http::{Request, StatusCode, Uri, header::ACCEPT};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde::de::DeserializeOwned;

/// The largest document in bytes. Certificates come with some keys.
const MOST: usize = 256 * 1024;

/// How long an issuer may take for a document.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Why nothing can be asked of an issuer: most likely the system has no certificates to trust.
#[derive(Debug, thiserror::Error)]
#[error("TLS cannot be set up")]
pub struct ClientError(#[source] io::Error);

#[derive(Debug)]
pub(super) struct Client(legacy::Client<HttpsConnector<HttpConnector>, Empty<Bytes>>);

impl Client {
    pub(super) fn new() -> Result<Self, ClientError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let connector = HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(provider)
            .map_err(ClientError)?
            .https_or_http()
            .enable_http1()
            .build();
        let client = legacy::Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(0)
            .build(connector);
        Ok(Self(client))
    }

    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        address: &str,
    ) -> Result<T, Box<dyn Error + Send + Sync>> {
        let uri: Uri = address.parse()?;
        let request = Request::get(uri)
            .header(ACCEPT, "application/json")
            .body(Empty::new())?;
        let whole = async {
            let answer = self.0.request(request).await?;
            if answer.status() != StatusCode::OK {
                return Err(format!("{address} was answered with {}", answer.status()).into());
            }
            let body = Limited::new(answer.into_body(), MOST).collect().await?;
            Ok::<_, Box<dyn Error + Send + Sync>>(body.to_bytes())
        };
        let body = tokio::time::timeout(TIMEOUT, whole).await??;
        Ok(serde_json::from_slice(&body)?)
    }
}
