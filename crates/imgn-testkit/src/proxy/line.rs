//! A line of a given length and width: bytes arrive later, and no faster than it carries.
//!
//! It models distance and bandwidth, not loss: TCP's slow start is not in it, nor is what many lines make of each
//! other. Invariant: bytes arrive complete and in order, each connection's at least half a round trip after they were
//! sent.

use std::{io, sync::Arc, time::Duration};

use anyhow::Result;
use bytes::{Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::mpsc,
    time::{Instant, sleep, sleep_until},
};

use super::{pace::Pace, port::Port};

/// Pieces that may be on the way in each direction of a connection: with the largest piece, 4 MiB, about what Linux
/// lets a window grow to.
const WINDOW: usize = 64;

/// How much of a connection's beginning is looked at: more than the head of a signed request takes.
const BEGINNING: usize = 8 * 1024;

/// What a line is like.
#[derive(Debug, Clone, Default)]
pub struct Shape {
    /// The time from a byte to its echo. Opening a connection takes one as well.
    pub round_trip: Duration,
    /// What all connections together may send towards the server, in bytes a second.
    pub up: Option<u64>,
    /// What they may send towards the client.
    pub down: Option<u64>,
    /// A connection whose first bytes hold this text is passed on as fast as it goes: a server that stands beside its
    /// store, and reaches it by the address that is signed for its clients. The name in its `user-agent` serves.
    pub beside: Option<String>,
}

/// A running line; dropping it cuts it.
pub struct Line {
    port: Port,
}

impl Line {
    /// Listens on `listen` (`127.0.0.1:0` for a free port) and connects to `upstream`, which need not listen yet.
    pub async fn start(listen: &str, upstream: &str, shape: Shape) -> Result<Self> {
        let ends = Arc::new(Ends {
            up: Pace::new(shape.up),
            down: Pace::new(shape.down),
            upstream: upstream.to_owned(),
            shape,
        });
        let serve = move |stream, _| {
            let ends = Arc::clone(&ends);
            // When one end breaks off, so does the other: that is all there is to tell.
            async move {
                let _ = ends.connect(stream).await;
            }
        };
        Ok(Self {
            port: Port::open(listen, serve).await?,
        })
    }

    /// Where it listens, as `http://host:port`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.port.address())
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

struct Ends {
    upstream: String,
    shape: Shape,
    up: Pace,
    down: Pace,
}

impl Ends {
    async fn connect(&self, mut client: TcpStream) -> io::Result<()> {
        let is_beside = match &self.shape.beside {
            Some(text) => begins_with(&client, text.as_bytes()).await?,
            None => false,
        };
        if is_beside {
            let mut server = TcpStream::connect(&self.upstream).await?;
            server.set_nodelay(true)?;
            copy_bidirectional(&mut client, &mut server).await?;
            return Ok(());
        }
        // The kernel has answered the client at once; over a distance it would have to wait to send its first byte.
        sleep(self.shape.round_trip).await;
        let server = TcpStream::connect(&self.upstream).await?;
        server.set_nodelay(true)?;
        let (client_reads, client_writes) = client.into_split();
        let (server_reads, server_writes) = server.into_split();
        let delay = self.shape.round_trip / 2;
        tokio::try_join!(
            carry(client_reads, server_writes, delay, &self.up),
            carry(server_reads, client_writes, delay, &self.down),
        )?;
        Ok(())
    }
}

async fn begins_with(client: &TcpStream, text: &[u8]) -> io::Result<bool> {
    let mut beginning = vec![0; BEGINNING];
    let length = client.peek(&mut beginning).await?;
    Ok(beginning[..length]
        .windows(text.len().max(1))
        .any(|window| window == text))
}

/// One direction, until its sender ends it.
async fn carry(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    delay: Duration,
    pace: &Pace,
) -> io::Result<()> {
    let (sent, mut on_the_way) = mpsc::channel::<(Instant, Bytes)>(WINDOW);
    let sending = async move {
        loop {
            let mut piece = BytesMut::with_capacity(pace.piece());
            if from.read_buf(&mut piece).await? == 0 {
                return Ok(());
            }
            pace.pass(piece.len()).await;
            if sent
                .send((Instant::now() + delay, piece.freeze()))
                .await
                .is_err()
            {
                return Ok(());
            }
        }
    };
    let arriving = async move {
        while let Some((due, piece)) = on_the_way.recv().await {
            sleep_until(due).await;
            to.write_all(&piece).await?;
        }
        to.shutdown().await
    };
    tokio::try_join!(sending, arriving)?;
    Ok(())
}
