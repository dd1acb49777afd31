//! A port that can be closed and opened again, with all connections that came by it.
//!
//! It does not know what is spoken on it. Invariant: a connection lives no longer than the port is open.

use std::{net::SocketAddr, pin::Pin, sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Mutex,
    task::{JoinHandle, JoinSet},
};
use tokio_util::sync::CancellationToken;

use crate::process::eventually;

/// How long the port may be somebody else's when it is opened again.
const REOPEN: Duration = Duration::from_secs(30);

/// The pause after a connection could not be accepted.
const PAUSE: Duration = Duration::from_millis(20);

type Serve = dyn Fn(TcpStream, u64) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync;

pub(super) struct Port {
    address: SocketAddr,
    serve: Arc<Serve>,
    open: Mutex<Option<Open>>,
}

impl Port {
    /// Listens on `listen` and has each connection served, numbered from 1.
    pub(super) async fn open<F>(
        listen: &str,
        serve: impl Fn(TcpStream, u64) -> F + Send + Sync + 'static,
    ) -> Result<Self>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind(listen)
            .await
            .with_context(|| format!("cannot listen on {listen}"))?;
        let address = listener.local_addr()?;
        let serve: Arc<Serve> = Arc::new(move |stream, number| Box::pin(serve(stream, number)));
        let open = Open::new(listener, Arc::clone(&serve));
        Ok(Self {
            address,
            serve,
            open: Mutex::new(Some(open)),
        })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// When it returns, connections are refused and those that there were are closed.
    pub(super) async fn close(&self) {
        if let Some(mut open) = self.open.lock().await.take() {
            open.stop.cancel();
            // It cannot fail: its connections are tasks of their own.
            let _ = (&mut open.accepting).await;
        }
    }

    pub(super) async fn reopen(&self) -> Result<()> {
        let mut open = self.open.lock().await;
        if open.is_none() {
            let listener = eventually("the port is free again", REOPEN, async || {
                Ok(TcpListener::bind(self.address).await.ok())
            })
            .await?;
            *open = Some(Open::new(listener, Arc::clone(&self.serve)));
        }
        Ok(())
    }
}

struct Open {
    stop: CancellationToken,
    accepting: JoinHandle<()>,
}

impl Open {
    fn new(listener: TcpListener, serve: Arc<Serve>) -> Self {
        let stop = CancellationToken::new();
        let accepting = tokio::spawn(accept(listener, serve, stop.clone()));
        Self { stop, accepting }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        // The set of connections ends with the task that holds it.
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, serve: Arc<Serve>, stop: CancellationToken) {
    let mut connections = JoinSet::new();
    let mut number = 0;
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    number += 1;
                    // What is passed on is passed on at once; without this, small answers wait for acknowledgements.
                    let _ = stream.set_nodelay(true);
                    connections.spawn(serve(stream, number));
                }
                Err(_) => tokio::time::sleep(PAUSE).await,
            },
        }
    }
    drop(listener);
    connections.shutdown().await;
}
