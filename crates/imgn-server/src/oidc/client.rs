//! The two documents that an issuer publishes, over HTTP.
//!
//! Invariant: what is not a document is an error, and says which was asked for.

use std::error::Error;

use axum::http::StatusCode;
use serde::de::DeserializeOwned;

use crate::asking;

pub use asking::ClientError;

/// The largest document in bytes. Certificates come with some keys.
const MOST: usize = 256 * 1024;

#[derive(Debug)]
pub(super) struct Client(asking::Client);

impl Client {
    pub(super) fn new() -> Result<Self, ClientError> {
        asking::Client::new().map(Self)
    }

    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        address: &str,
    ) -> Result<T, Box<dyn Error + Send + Sync>> {
        let answer = self.0.get(address, "application/json", MOST).await?;
        if answer.status() != StatusCode::OK {
            return Err(format!("{address} was answered with {}", answer.status()).into());
        }
        Ok(serde_json::from_slice(answer.body())?)
    }
}
