//! A body on its way through the proxy, piece by piece.
//!
//! Invariant: no more of it is held than one frame as it was received.

use anyhow::{Result, bail};
use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt as _, Empty, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Body as _, Frame, Incoming};
use tokio_util::task::AbortOnDropHandle;

use super::{Gate, pace::Pace};

/// A body as both sides of the proxy send it.
pub(super) type Outgoing = UnsyncBoxBody<Bytes, anyhow::Error>;

/// What is done to a body. Offsets are in bytes from its start.
#[derive(Default)]
pub(super) struct Passage {
    /// Where the connection breaks.
    pub(super) cut: Option<u64>,
    /// Where the body ends as if it were whole.
    pub(super) end: Option<u64>,
    /// Where it waits, and for what.
    pub(super) stall: Option<(u64, Gate)>,
    pub(super) pace: Option<Pace>,
}

pub(super) fn whole(bytes: Bytes) -> Outgoing {
    Full::new(bytes)
        .map_err(|never| match never {})
        .boxed_unsync()
}

impl Passage {
    /// The body as it goes on; `source` is the connection that it comes from, if that ends with it.
    pub(super) fn through(
        self,
        body: Incoming,
        source: Option<AbortOnDropHandle<hyper::Result<()>>>,
    ) -> Outgoing {
        if body.is_end_stream() {
            return Empty::new().map_err(|never| match never {}).boxed_unsync();
        }
        let moving = Moving {
            passage: self,
            body,
            rest: Bytes::new(),
            passed: 0,
            _source: source,
        };
        let frames = stream::try_unfold(moving, async |mut moving| {
            Ok(moving.next().await?.map(|frame| (frame, moving)))
        });
        StreamBody::new(frames).boxed_unsync()
    }
}

struct Moving {
    passage: Passage,
    body: Incoming,
    /// Received, and not yet passed on.
    rest: Bytes,
    passed: u64,
    _source: Option<AbortOnDropHandle<hyper::Result<()>>>,
}

impl Moving {
    async fn next(&mut self) -> Result<Option<Frame<Bytes>>> {
        if let Some((_, gate)) = self.passage.stall.take_if(|(at, _)| *at == self.passed) {
            gate.pass().await;
        }
        if self.passage.cut == Some(self.passed) {
            // What was passed on is written to the socket while this is pending, and would be dropped by the error.
            tokio::task::yield_now().await;
            bail!("cut after {} bytes, on purpose", self.passed);
        }
        if self.passage.end == Some(self.passed) {
            return Ok(None);
        }
        while self.rest.is_empty() {
            let Some(frame) = self.body.frame().await.transpose()? else {
                return Ok(None);
            };
            match frame.into_data() {
                Ok(data) => self.rest = data,
                Err(trailers) => return Ok(Some(trailers)),
            }
        }
        let mut length = self.rest.len();
        if let Some(pace) = &self.passage.pace {
            length = length.min(pace.piece());
        }
        let stall = self.passage.stall.as_ref().map(|(at, _)| *at);
        for mark in [self.passage.cut, self.passage.end, stall]
            .into_iter()
            .flatten()
        {
            if mark > self.passed {
                length = length.min(usize::try_from(mark - self.passed).unwrap_or(usize::MAX));
            }
        }
        let piece = self.rest.split_to(length);
        if let Some(pace) = &self.passage.pace {
            pace.pass(length).await;
        }
        self.passed += length as u64;
        Ok(Some(Frame::data(piece)))
    }
}
