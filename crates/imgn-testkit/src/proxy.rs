//! A reverse proxy in front of a store that fails on purpose: it sees each request and may run a hook, hang up before
//! forwarding, or hang up after forwarding.
//!
//! Not a general proxy: bodies are held in memory, so it is for small pictures. Invariant: the request is forwarded
//! with its path, query and headers unchanged, `host` included, so that signatures stay valid.

use std::{net::SocketAddr, sync::Arc};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, Response, body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

/// What becomes of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is forwarded and answered.
    Pass,
    /// The connection is closed; the store never hears of it.
    HangUpBefore,
    /// The store does it, and the client never hears of it.
    HangUpAfter,
}

/// One request as the hook sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The HTTP method.
    pub method: String,
    /// The path, without the query, which holds a signature.
    pub path: String,
}

type Hook = dyn Fn(&Seen) -> Fate + Send + Sync;

/// A running proxy; dropping it stops it.
pub struct FaultProxy {
    address: SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

impl FaultProxy {
    /// Listens on a free port of loopback, forwards to `upstream` (`host:port`), and asks `hook` about each request.
    pub async fn start(
        upstream: &str,
        hook: impl Fn(&Seen) -> Fate + Send + Sync + 'static,
    ) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let upstream: Arc<str> = upstream.into();
        let hook: Arc<Hook> = Arc::new(hook);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (upstream, hook) = (upstream.clone(), hook.clone());
                tokio::spawn(async move {
                    let service =
                        service_fn(move |request| forward(upstream.clone(), hook.clone(), request));
                    // A hang-up on purpose ends here as an error, which is what the client shall see.
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Ok(Self { address, task })
    }

    /// Where it listens, as `http://host:port`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn forward(
    upstream: Arc<str>,
    hook: Arc<Hook>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>> {
    let seen = Seen {
        method: request.method().to_string(),
        path: request.uri().path().to_owned(),
    };
    let (parts, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let fate = hook(&seen);
    anyhow::ensure!(
        fate != Fate::HangUpBefore,
        "hung up before forwarding, on purpose"
    );
    let stream = TcpStream::connect(&*upstream)
        .await
        .context("the store does not listen")?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let answer = sender
        .send_request(Request::from_parts(parts, Full::new(body)))
        .await?;
    let (parts, body) = answer.into_parts();
    let body = body.collect().await?.to_bytes();
    connection.abort();
    anyhow::ensure!(
        fate != Fate::HangUpAfter,
        "hung up after forwarding, on purpose"
    );
    Ok(Response::from_parts(parts, Full::new(body)))
}
