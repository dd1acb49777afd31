//! The server's own requests over HTTP to others than its store and database: to whom sign-ins are of, and, by the doctor, to
//! what stands in front.
//!
//! It follows no redirect and keeps no cookie. Invariant: an answer is bounded in bytes and in time.

use std::{error::Error, io, sync::Arc, time::Duration};

use axum::http::{Request, Response, Uri, header::ACCEPT};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::TokioExecutor,
};

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Why nothing can be asked: most likely the system has no certificates to trust.
#[derive(Debug, thiserror::Error)]
#[error("TLS cannot be set up")]
pub struct ClientError(#[source] io::Error);

#[derive(Debug)]
pub(crate) struct Client(legacy::Client<HttpsConnector<HttpConnector>, Empty<Bytes>>);

impl Client {
    pub(crate) fn new() -> Result<Self, ClientError> {
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

    /// What an address answers, of at most so many bytes.
    pub(crate) async fn get(
        &self,
        address: &str,
        accept: &str,
        most: usize,
    ) -> Result<Response<Bytes>, Box<dyn Error + Send + Sync>> {
        let uri: Uri = address.parse()?;
        let request = Request::get(uri)
            .header(ACCEPT, accept)
            .body(Empty::new())?;
        let whole = async {
            let (head, body) = self.0.request(request).await?.into_parts();
            let body = Limited::new(body, most).collect().await?;
            Ok::<_, Box<dyn Error + Send + Sync>>(Response::from_parts(head, body.to_bytes()))
        };
        tokio::time::timeout(TIMEOUT, whole).await?
    }
}
