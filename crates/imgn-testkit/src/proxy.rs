//! Lines and stores that fail on purpose, between a client and what it talks to.
//!
//! - [`FaultProxy`] speaks HTTP/1.1: it sees each request, and a hook decides its [`Fate`]: cut, stalled, slowed,
//!   truncated, delayed, repeated, answered by the proxy itself, or done by the store without the client hearing of it.
//! - [`Line`] carries bytes and knows no HTTP: it adds what distance adds, a round trip and a bandwidth.
//!
//! Both can go offline, which refuses new connections and breaks those there are, and come back on the same port. They
//! can be put behind each other. One stands in front of `imgn-server`, which has to be told the proxy's address as its
//! `--public-url` where its store is embedded, since its URLs are signed for that; one in front of an S3 engine, whose
//! endpoint it then is.
//!
//! Not a general proxy: no TLS, no upgrades, HTTP/1.1 only. Invariants: a request is forwarded with its path, query and
//! headers unchanged, `host` included, so that signatures stay valid; a body is never held as a whole, unless it is to
//! be sent twice; whatever was started ends with its handle.

mod fate;
mod forward;
mod gate;
mod line;
mod pace;
mod passage;
mod port;
mod script;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::Result;
use hyper::{Request, body::Incoming, header, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use self::port::Port;
pub use self::{
    fate::{Answer, Fate},
    gate::Gate,
    line::{Line, Shape},
    script::{Script, When},
};

/// One request as the hook sees it: by its head, before any of its body has passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Which request it is of all that the proxy has met, from 1.
    pub number: u64,
    /// Which connection it came by, from 1.
    pub connection: u64,
    /// The HTTP method.
    pub method: String,
    /// The path, without the query, which holds a signature.
    pub path: String,
    /// The query's parameters but for those that sign it (`X-Amz-...`), such as `uploadId` and `partNumber`.
    pub parameters: BTreeMap<String, String>,
    /// The length of its body in bytes, if it says one.
    pub length: Option<u64>,
    /// What it copies, as `bucket/key`, if it is such a request to an S3 store.
    pub copy_source: Option<String>,
}

impl Seen {
    fn new(number: u64, connection: u64, request: &Request<Incoming>) -> Self {
        let query = request.uri().query().unwrap_or_default();
        let parameters = url::form_urlencoded::parse(query.as_bytes())
            .filter(|(name, _)| !name.to_ascii_lowercase().starts_with("x-amz-"))
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
            .collect();
        let header = |name: &str| request.headers().get(name)?.to_str().ok();
        Self {
            number,
            connection,
            method: request.method().to_string(),
            path: request.uri().path().to_owned(),
            parameters,
            length: header(header::CONTENT_LENGTH.as_str()).and_then(|length| length.parse().ok()),
            copy_source: header("x-amz-copy-source").map(ToOwned::to_owned),
        }
    }
}

type Hook = dyn Fn(&Seen) -> Fate + Send + Sync;

/// A running proxy of HTTP/1.1; dropping it stops it.
pub struct FaultProxy {
    port: Port,
    log: Arc<Mutex<Vec<Seen>>>,
}

impl FaultProxy {
    /// Listens on a free port of loopback, forwards to `upstream` (`host:port`), and asks `hook` about each request.
    ///
    /// Where it is enough to count requests of a kind, [`Script::into_hook`] makes the hook. `upstream` need not listen
    /// yet; while it does not, connections are broken off.
    pub async fn start(
        upstream: &str,
        hook: impl Fn(&Seen) -> Fate + Send + Sync + 'static,
    ) -> Result<Self> {
        let log = Arc::<Mutex<Vec<Seen>>>::default();
        let meeting = Arc::new(Meeting {
            upstream: upstream.to_owned(),
            hook: Box::new(hook),
            log: Arc::clone(&log),
        });
        let serve = move |stream, connection| {
            let meeting = Arc::clone(&meeting);
            async move { meeting.serve(stream, connection).await }
        };
        Ok(Self {
            port: Port::open("127.0.0.1:0", serve).await?,
            log,
        })
    }

    /// Where it listens, as `http://host:port`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.port.address())
    }

    /// Each request that was met so far, in order.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        self.log
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Breaks all connections and refuses new ones, until [`Self::come_back`].
    pub async fn go_offline(&self) {
        self.port.close().await;
    }

    /// Listens again where it listened before.
    pub async fn come_back(&self) -> Result<()> {
        self.port.reopen().await
    }
}

/// What all connections of a proxy share.
struct Meeting {
    upstream: String,
    hook: Box<Hook>,
    log: Arc<Mutex<Vec<Seen>>>,
}

impl Meeting {
    async fn serve(&self, stream: TcpStream, connection: u64) {
        let service = service_fn(async |request| {
            let fate = self.meet(connection, &request);
            forward::forward(&self.upstream, fate, request).await
        });
        // A hang-up on purpose ends here as an error, which is what the client shall see.
        let _ = hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service)
            .await;
    }

    fn meet(&self, connection: u64, request: &Request<Incoming>) -> Fate {
        let seen = {
            let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
            let seen = Seen::new(log.len() as u64 + 1, connection, request);
            log.push(seen.clone());
            seen
        };
        (self.hook)(&seen)
    }
}
