//! The embedded store alone, as an S3 endpoint for tests and for other clients:
//! `cargo run -p imgn-store --example serve -- HOST:PORT DIR ACCESS_KEY SECRET_KEY BUCKET`.
//!
//! Prints one line when it serves. SIGTERM and Ctrl-C end it after the requests under way.

use std::time::Duration;

use anyhow::{Context as _, bail};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use imgn_store::{Credentials, Store, StoreConfig};
use tokio::net::TcpListener;

/// How long requests under way may take after SIGTERM.
const DRAIN_TIME: Duration = Duration::from_secs(30);

/// How long a client may take to send a request's head, and a connection may idle between two requests.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);

/// The pause after a connection could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, directory, access_key, secret_key, bucket] = arguments.as_slice() else {
        bail!("usage: serve HOST:PORT DIR ACCESS_KEY SECRET_KEY BUCKET");
    };
    let credentials = Credentials::new(access_key, secret_key);
    let store = Store::open(StoreConfig::new(directory, bucket, credentials)).await?;
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}"))?;
    announce(&listener)?;

    let service = TowerToHyperService::new(store.service());
    let connections = GracefulShutdown::new();
    let mut stop = std::pin::pin!(stop_signal());
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stop => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Most likely for want of file descriptors, which others will give back.
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let mut http = hyper::server::conn::http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT);
        let connection = http.serve_connection(TokioIo::new(stream), service.clone());
        let connection = connections.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection broke off");
            }
        });
    }
    drop(listener);
    tokio::time::timeout(DRAIN_TIME, connections.shutdown())
        .await
        .context("requests were still under way")
}

#[expect(clippy::print_stdout, reason = "the one line that callers wait for")]
fn announce(listener: &TcpListener) -> anyhow::Result<()> {
    println!("imgn-store listening on http://{}", listener.local_addr()?);
    Ok(())
}

async fn stop_signal() {
    let interrupt = tokio::signal::ctrl_c();
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = interrupt => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    let _pressed = interrupt.await;
}
