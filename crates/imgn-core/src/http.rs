//! The server over HTTP: one connection pool, one way to ask, one way to fail.
//!
//! Invariant: no error that leaves this module has a URL in it that was signed, or a token.

mod clock;
mod credentials;
mod failure;
mod remote;

use std::{
    net::IpAddr,
    sync::{Arc, OnceLock, PoisonError, RwLock},
    time::Duration,
};

use imgn_protocol::{ChangePage, ErrorCode, Image, ImageId, ImagePage, UploadId};
use imgn_upload::Failure;
use reqwest::{Method, RequestBuilder, Response, redirect};
use serde::de::DeserializeOwned;
use tokio::sync::{Semaphore, SemaphorePermit, watch};
use url::{Host, Url};

use crate::{ClientCode, CommandError, ImageQuery, Proxy};
use clock::Clock;
use failure::{from_transport, refused_by_server};

pub(crate) use credentials::Credentials;

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(10);

/// A connection on which nothing arrives for so long is given up.
const STALL: Duration = Duration::from_secs(20);

/// How long a call that carries no picture may take, all in all.
const CALL: Duration = Duration::from_secs(60);

/// How long completing an upload may take: some stores copy all of its bytes before they answer.
const COMPLETE: Duration = Duration::from_secs(120);

/// How long an idle connection is kept. Short, for after the computer slept it is dead and does not know.
const IDLE: Duration = Duration::from_secs(15);

/// A thumbnail is never larger; a server that sends more is not imgn's.
const THUMB_BYTES: usize = 8 * 1024 * 1024;

/// A page of the change feed is never larger: 5,000 pictures of some 800 bytes each, and a good deal more.
const PAGE_BYTES: usize = 64 * 1024 * 1024;

/// One server.
pub(crate) struct Server {
    base: Url,
    credentials: Credentials,
    clients: RwLock<Clients>,
    reachable: watch::Sender<bool>,
    /// Whoever asks a server that is away.
    finding_out: Semaphore,
    clock: Clock,
    store_clock: Clock,
}

/// Who asks the server, and who gives bytes to its store.
#[derive(Clone)]
struct Clients {
    api: reqwest::Client,
    store: reqwest::Client,
}

impl Clients {
    fn new(base: &Url, proxy: &Proxy) -> Result<Self, CommandError> {
        // A proxy of the network knows nothing of this computer's own servers.
        let proxy = if is_loopback(base) {
            &Proxy::None
        } else {
            proxy
        };
        let api = client(proxy, |builder| builder.read_timeout(STALL))?;
        // Sent exactly as signed: a redirect would be another request. Its stalls are the engine's to notice, for it
        // sees the bytes leave.
        let store = client(proxy, |builder| builder.redirect(redirect::Policy::none()))?;
        Ok(Self { api, store })
    }
}

impl Server {
    pub(crate) fn new(
        base: Url,
        credentials: Credentials,
        proxy: &Proxy,
    ) -> Result<Arc<Self>, CommandError> {
        let clients = RwLock::new(Clients::new(&base, proxy)?);
        Ok(Arc::new(Self {
            base,
            credentials,
            clients,
            reachable: watch::Sender::new(true),
            finding_out: Semaphore::new(1),
            clock: Clock::default(),
            store_clock: Clock::default(),
        }))
    }

    pub(crate) fn url(&self) -> &Url {
        &self.base
    }

    /// Goes another way from the next request on.
    pub(crate) fn set_proxy(&self, proxy: &Proxy) -> Result<(), CommandError> {
        let clients = Clients::new(&self.base, proxy)?;
        *self.clients.write().unwrap_or_else(PoisonError::into_inner) = clients;
        Ok(())
    }

    /// Asks the keyring anew when a token is needed next, where it gave none.
    pub(crate) fn ask_keyring_again(&self) {
        if let Credentials::Keyring(keyring) = &self.credentials {
            keyring.ask_again();
        }
    }

    fn clients(&self) -> Clients {
        let clients = self.clients.read();
        clients.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether there is a token, or may be one in the keyring.
    pub(crate) fn has_credentials(&self) -> bool {
        !matches!(self.credentials, Credentials::Nobody)
    }

    /// Whether what is sent goes with a token.
    pub(crate) fn has_token(&self) -> bool {
        self.credentials.has_token()
    }

    /// Leave to ask for one of many things. While the server is away one at a time finds out whether it is back, and the
    /// others do not wait for a connection that may not come about.
    pub(crate) fn turn(&self) -> Result<Option<SemaphorePermit<'_>>, CommandError> {
        if *self.reachable.borrow() {
            return Ok(None);
        }
        self.finding_out.try_acquire().map(Some).map_err(|_| {
            let reason = "it did not answer when it was last asked".to_owned();
            self.explain(Failure::Unreachable { reason })
        })
    }

    /// Whether the server answered when it was last asked.
    pub(crate) fn reachable(&self) -> watch::Receiver<bool> {
        self.reachable.subscribe()
    }

    pub(crate) async fn images(&self, query: &ImageQuery) -> Result<ImagePage, CommandError> {
        let mut request = self
            .request(Method::GET, "v1/images")
            .query(&[("limit", query.limit)]);
        if let Some(cursor) = &query.cursor {
            request = request.query(&[("cursor", cursor)]);
        }
        if let Some(search) = query
            .search
            .as_deref()
            .filter(|search| !search.trim().is_empty())
        {
            request = request.query(&[("q", search)]);
        }
        self.json(request)
            .await
            .map_err(|failure| self.explain(failure))
    }

    pub(crate) async fn image(&self, id: ImageId) -> Result<Image, CommandError> {
        let request = self.request(Method::GET, &format!("v1/images/{id}"));
        self.json(request)
            .await
            .map_err(|failure| self.explain(failure))
    }

    pub(crate) async fn delete(&self, id: ImageId) -> Result<(), Failure> {
        let request = self.request(Method::DELETE, &format!("v1/images/{id}"));
        let request = self.authorized(request).await;
        self.ask(request.timeout(CALL)).await.map(drop)
    }

    pub(crate) async fn thumb(&self, id: ImageId, size: u32) -> Result<Vec<u8>, CommandError> {
        let request = self.request(Method::GET, &format!("v1/images/{id}/thumb/{size}"));
        let read = async {
            let mut response = self.ask(request.timeout(CALL)).await?;
            let mut bytes = Vec::new();
            while let Some(chunk) = response.chunk().await.map_err(from_transport)? {
                if bytes.len() + chunk.len() > THUMB_BYTES {
                    let reason = format!("a thumbnail of more than {THUMB_BYTES} bytes");
                    return Err(Failure::Garbled { reason });
                }
                bytes.extend_from_slice(&chunk);
            }
            Ok(bytes)
        };
        read.await.map_err(|failure| self.explain(failure))
    }

    /// A page of the change feed.
    pub(crate) async fn changes(&self, since: u64, limit: u32) -> Result<ChangePage, Failure> {
        let request = self
            .request(Method::GET, "v1/changes")
            .query(&[("since", since), ("limit", limit.into())]);
        let mut response = self.ask(request.timeout(CALL)).await?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(from_transport)? {
            if body.len() + chunk.len() > PAGE_BYTES {
                let reason = format!("a page of more than {PAGE_BYTES} bytes");
                return Err(Failure::Garbled { reason });
            }
            body.extend_from_slice(&chunk);
        }
        // Thousands of pictures take a while to be read.
        let parsed = tokio::task::spawn_blocking(move || serde_json::from_slice(&body)).await;
        let garbled = |reason: String| Failure::Garbled { reason };
        parsed
            .map_err(|error| garbled(error.to_string()))?
            .map_err(|error| garbled(error.to_string()))
    }

    /// The change feed as it happens, after `since`. It has no end but that of the connection; a silence is one.
    pub(crate) async fn events(&self, since: u64) -> Result<Response, Failure> {
        let request = self
            .request(Method::GET, "v1/events")
            .query(&[("since", since)]);
        self.ask(request).await
    }

    /// The original, to be read piece by piece.
    pub(crate) async fn content(&self, id: ImageId) -> Result<Response, CommandError> {
        let request = self.request(Method::GET, &format!("v1/images/{id}/content"));
        self.ask(request)
            .await
            .map_err(|failure| self.explain(failure))
    }

    /// Whether the server takes the token: asks for an upload that nobody has.
    pub(crate) async fn check_token(&self) -> Result<(), CommandError> {
        let request = self.request(Method::GET, &format!("v1/uploads/{}", UploadId::new()));
        let request = self.authorized(request).await;
        match self.ask(request.timeout(CALL)).await {
            Ok(_) | Err(Failure::Server { status: 404, .. }) => Ok(()),
            Err(failure) => Err(self.explain(failure)),
        }
    }

    /// Why there is no token although there could be one.
    pub(crate) fn token_trouble(&self) -> Option<CommandError> {
        match &self.credentials {
            Credentials::Keyring(keyring) => keyring.trouble(),
            Credentials::Given(_) | Credentials::Nobody => None,
        }
    }

    /// What a failure means to the person who gave the command. A server that wants a token while the keyring does not
    /// give it away is the keyring's trouble.
    pub(crate) fn explain(&self, failure: Failure) -> CommandError {
        match (&failure, self.token_trouble()) {
            (Failure::Server { status: 401, .. }, Some(trouble)) => trouble,
            _ => failure::explain(failure, &self.base),
        }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.clients().api.request(method, self.at(path))
    }

    fn at(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        // The base ends in a slash, so that a gallery may live under a path.
        url.set_path(&format!("{}{path}", self.base.path()));
        url
    }

    async fn authorized(&self, request: RequestBuilder) -> RequestBuilder {
        let token = match &self.credentials {
            Credentials::Given(token) => Some(token.clone()),
            Credentials::Keyring(keyring) => keyring.token(&self.base).await,
            Credentials::Nobody => None,
        };
        match token {
            Some(token) => request.bearer_auth(token.expose()),
            None => request,
        }
    }

    async fn json<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, Failure> {
        self.json_within(CALL, request).await
    }

    async fn json_within<T: DeserializeOwned>(
        &self,
        time: Duration,
        request: RequestBuilder,
    ) -> Result<T, Failure> {
        let response = self.ask(request.timeout(time)).await?;
        let body = response.bytes().await.map_err(from_transport)?;
        serde_json::from_slice(&body).map_err(|error| Failure::Garbled {
            reason: error.to_string(),
        })
    }

    /// Sends a request to the server: an answer that is no success is a failure.
    async fn ask(&self, request: RequestBuilder) -> Result<Response, Failure> {
        let answer = request.send().await.map_err(from_transport);
        let is_reached = !matches!(answer, Err(Failure::Unreachable { .. }));
        self.reachable
            .send_if_modified(|reachable| std::mem::replace(reachable, is_reached) != is_reached);
        let response = answer?;
        self.clock.read(response.headers());
        tracing::debug!(status = response.status().as_u16(), "the server answered");
        if response.status().is_success() {
            Ok(response)
        } else {
            Err(refused_by_server(response).await)
        }
    }

    async fn probe_once(&self) -> Result<(), Failure> {
        let request = self.request(Method::GET, "healthz").timeout(CONNECT);
        match self.ask(request).await {
            // Whatever it says, it is there.
            Ok(_)
            | Err(Failure::Server {
                status: 200..=499, ..
            }) => Ok(()),
            Err(failure) => Err(failure),
        }
    }
}

fn client(
    proxy: &Proxy,
    shape: impl Fn(reqwest::ClientBuilder) -> reqwest::ClientBuilder,
) -> Result<reqwest::Client, CommandError> {
    static PROVIDER: OnceLock<()> = OnceLock::new();
    PROVIDER.get_or_init(|| {
        // An error says that the program has chosen another one already.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
    let chosen = match proxy {
        Proxy::At(url) => Some(reqwest::Proxy::all(url.clone()).map_err(|error| {
            let message = format!(
                "the proxy {url} cannot be used ({error}); choose another one in the settings"
            );
            CommandError::new(ClientCode::InvalidInput, message)
        })?),
        Proxy::System | Proxy::None => None,
    };
    let builder = || {
        let builder = reqwest::Client::builder()
            .user_agent(concat!("imgn/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT)
            .pool_idle_timeout(IDLE)
            // A Referer would carry where one came from: a signed URL.
            .referer(false);
        shape(match (proxy, &chosen) {
            (Proxy::None, _) => builder.no_proxy(),
            (_, Some(chosen)) => builder.proxy(chosen.clone()),
            (_, None) => builder,
        })
    };
    builder()
        .build()
        // A system without certificates still reaches servers without TLS, such as the gallery on this computer.
        .or_else(|_| builder().tls_certs_only([]).build())
        .map_err(|error| {
            let message = format!("no HTTP client can be made ({}); is the system's TLS set up?", error.without_url());
            CommandError::new(ClientCode::ConnectionFailed, message)
        })
}

/// Whether it is on this computer.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(ip)) => IpAddr::V4(ip).is_loopback(),
        Some(Host::Ipv6(ip)) => IpAddr::V6(ip).is_loopback(),
        None => false,
    }
}

/// The address of a server as a person writes it. Without a scheme it is `http` on this computer and `https`
/// elsewhere. It ends in a slash.
pub(crate) fn parse_server(text: &str) -> Result<Url, CommandError> {
    let text = text.trim();
    let invalid = |why: &str| {
        let message = format!(
            "`{text}` is no server's address ({why}); write it like https://gallery.example"
        );
        CommandError::new(ClientCode::InvalidServer, message)
    };
    let parse = |text: &str| Url::parse(text).map_err(|error| invalid(&error.to_string()));
    let mut url = if text.contains("://") {
        parse(text)?
    } else {
        let guess = parse(&format!("http://{text}"))?;
        if is_loopback(&guess) {
            guess
        } else {
            parse(&format!("https://{text}"))?
        }
    };
    if !matches!(url.scheme(), "http" | "https") {
        return Err(invalid("only http and https"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        // Not repeated in the message: it may be a password.
        return Err(CommandError::new(
            ClientCode::InvalidServer,
            "a server's address holds no user name or password; log in with a token",
        ));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(invalid("it has a query or a fragment"));
    }
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    Ok(url)
}

/// The connection broke while a picture arrived.
pub(crate) fn broken(error: reqwest::Error) -> CommandError {
    let failure = from_transport(error);
    CommandError::new(
        ClientCode::ConnectionFailed,
        format!("{}; try again", failure.describe()),
    )
}

/// What arrived is not the picture that the gallery has.
pub(crate) fn not_the_original(image: &Image) -> CommandError {
    CommandError::new(
        ErrorCode::ChecksumMismatch,
        format!(
            "what arrived of {} is not the original (its SHA-256 differs); try again",
            image.file_name
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_as_people_write_them() {
        for (text, url) in [
            ("https://gallery.example", "https://gallery.example/"),
            (" https://gallery.example/a ", "https://gallery.example/a/"),
            ("gallery.example", "https://gallery.example/"),
            ("localhost:8787", "http://localhost:8787/"),
            ("127.0.0.1:8787", "http://127.0.0.1:8787/"),
            ("[::1]:8787/", "http://[::1]:8787/"),
            ("192.168.1.2:8787", "https://192.168.1.2:8787/"),
        ] {
            assert_eq!(parse_server(text).unwrap().as_str(), url);
        }
        for text in [
            "",
            "ftp://a",
            "https://",
            "https://me:secret@a",
            "https://a?b",
            "https://a#b",
        ] {
            let error = parse_server(text).unwrap_err();
            assert_eq!(error.code, ClientCode::InvalidServer.into(), "{text}");
            assert!(!error.message.contains("secret"), "{error}");
        }
    }
}
