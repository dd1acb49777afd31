//! The accept loop: connections in, requests to the router, until the server is to stop.
//!
//! Invariant: a client cannot hold a connection for nothing. It has to send a request's head, then its body, and to read its
//! answer, each within a bounded time; and one that asks for nothing gives way when there is no place for another.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{Router, http::Request};
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::{GracefulShutdown, Watcher},
    service::TowerToHyperService,
};
use imgn_protocol::{ErrorCode, Problem};
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpStream},
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::{
    connection::ReadByClient,
    error::PROBLEM_JSON,
    origin::{Origin, Peer},
    places::{Place, Places},
};

/// How long a client may take to send a request's head, and a connection may idle between two requests.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a client may leave what it was sent unread.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// The most that is held of a connection's incoming and of its outgoing bytes, and the longest head of a request.
const BUFFER_BYTES: usize = 64 * 1024;

/// How long requests that are under way when the server is to end are waited for.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// The pause after a connection could not be accepted, most likely for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// How long a connection that is refused has to take its answer.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(1);

/// Takes connections until the server is to stop, then waits for the requests that are under way.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    max_connections: usize,
    stopping: CancellationToken,
) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(BUFFER_BYTES);
    let places = Places::new(max_connections);
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopping.cancelled() => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let client = Client {
            http: http.clone(),
            router: router.clone(),
            stream,
            peer: Peer(peer.ip()),
        };
        let origin = Origin::from(client.peer.0);
        let watcher = graceful.watcher();
        if let Some(place) = places.enter(origin) {
            tokio::spawn(client.serve(place, watcher));
        } else if let Some(turn) = places.wait(origin) {
            let stopping = stopping.clone();
            tokio::spawn(async move {
                tokio::select! {
                    place = turn => match place {
                        Some(place) => client.serve(place, watcher).await,
                        None => client.refuse().await,
                    },
                    () = stopping.cancelled() => {}
                }
            });
        } else {
            tokio::spawn(client.refuse());
        }
    }
    drop(listener);
    if tokio::time::timeout(DRAIN_TIMEOUT, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::warn!("some requests did not end in time and were cut off");
    }
}

/// A connection, and what it may have served.
struct Client {
    http: http1::Builder,
    router: Router,
    stream: TcpStream,
    peer: Peer,
}

impl Client {
    /// Serves it until it ends, or has to give way.
    async fn serve(self, place: Place, watcher: Watcher) {
        let Self {
            http,
            router,
            stream,
            peer,
        } = self;
        // Answers are written whole: waiting for more to send with them only delays them.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "no TCP_NODELAY");
        }
        let place = Arc::new(place);
        let requests = Arc::clone(&place);
        let service = tower::service_fn(move |mut request: Request<Incoming>| {
            let (busy, router) = (requests.begin(), router.clone());
            request.extensions_mut().insert(peer);
            async move {
                let response = router.oneshot(request).await?;
                Ok::<_, Infallible>(response.map(|body| busy.until_sent(body)))
            }
        });
        let stream = TokioIo::new(ReadByClient::new(stream, READ_TIMEOUT));
        let connection = http.serve_connection(stream, TowerToHyperService::new(service));
        tokio::select! {
            ended = watcher.watch(connection) => if let Err(error) = ended {
                tracing::debug!(%error, "a connection broke");
            },
            () = place.given_away() => tracing::debug!("a connection gave way to another"),
        }
    }

    /// Tells it to come again, unread.
    async fn refuse(mut self) {
        let detail = "All connections of this server are at work. Come again in a few seconds.";
        let problem = Problem::new(ErrorCode::Unavailable, detail);
        let body = serde_json::to_string(&problem).unwrap_or_default();
        let status = problem.status;
        let answer = format!(
            "HTTP/1.1 {status} Service Unavailable\r\ncontent-type: {PROBLEM_JSON}\r\ncontent-length: {}\r\n\
             retry-after: 5\r\ncache-control: no-store\r\nconnection: close\r\n\r\n{body}",
            body.len()
        );
        let told = async {
            self.stream.write_all(answer.as_bytes()).await?;
            self.stream.shutdown().await
        };
        // Whoever does not take it in time is not told.
        if !matches!(
            tokio::time::timeout(REFUSAL_TIMEOUT, told).await,
            Ok(Ok(()))
        ) {
            tracing::debug!("a connection was refused without a word");
        }
    }
}
