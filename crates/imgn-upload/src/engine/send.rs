//! Requests: each has a place in the limit, is given up when it stalls or the computer slept, and tells the limit how it
//! went.

use imgn_protocol::{SignRequest, SignedRequest};
use tokio::time::{Duration, Instant, sleep};

use super::Inner;
use crate::{
    Body, Call, Entry, Failure, Progress,
    file::{Known, Range, Trouble},
    machine::{Event, Target},
    remote::Leaving,
};
use std::sync::{Arc, atomic::Ordering};

/// Chunks of bodies hold no more than this of the memory together, in bytes, unless requests are so many that each would
/// have too little. What an HTTP client collects before it writes comes on top, some hundred KiB a connection.
const MEMORY: usize = 24 << 20;

/// Chunks of one body that are in memory at the same time: read, waiting, leaving, and in the HTTP client.
const CHUNKS: usize = 4;

/// What the store has and what is said of the file afterwards.
pub(super) enum Outcome {
    Sent,
    Failed(Failure),
    Trouble(Trouble),
}

/// Clocks that are further apart are worth a word, in seconds.
const SKEW: u64 = 60;

/// A URL that came with the opening is used if its request had its place so soon after; else there is a new one.
const MOMENT: Duration = Duration::from_millis(500);

impl Inner {
    /// Makes a request that carries no file, from its place in the limit.
    pub(super) async fn ask<T>(
        &self,
        request: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let _place = Arc::clone(&self.gate).enter(0).await;
        let answer = self.unless_asleep(request).await;
        self.weigh(answer.as_ref().err());
        answer
    }

    /// A request that was under way while the computer slept is dead, whether it knows or not.
    pub(super) async fn unless_asleep<T>(
        &self,
        request: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let mut wakes = self.wakes.subscribe();
        tokio::select! {
            answer = request => answer,
            Ok(()) = wakes.changed() => Err(Failure::Slept),
        }
    }

    /// Sends the whole file.
    pub(super) async fn put(
        &self,
        entry: &Entry,
        target: &Target,
        request: &SignedRequest,
    ) -> Event {
        let signed_at = Instant::now();
        let size = target.content.fingerprint.size;
        let _place = Arc::clone(&self.gate).enter(size).await;
        let mut request = request;
        let fresh;
        if signed_at.elapsed() > MOMENT {
            let sign = SignRequest {
                part: None,
                checksum: target.content.sha256.into(),
            };
            let signing = self.remote.sign(target.session, &sign);
            match self.unless_asleep(signing).await {
                Ok(signed) => fresh = signed,
                Err(failure) => return Event::Failed(Call::Sign, failure),
            }
            request = &fresh;
        }
        let fingerprint = target.content.fingerprint;
        let known = match self.source(entry).known(fingerprint).await {
            Ok(known) => known,
            Err(trouble) => return trouble.into(),
        };
        let Some(progress) = self.progress(entry) else {
            return Event::Cancel;
        };
        progress.set(0);
        let whole = Range {
            offset: 0,
            length: fingerprint.size,
        };
        match self.send(&known, whole, request, &progress).await {
            Outcome::Sent => Event::Sent,
            Outcome::Trouble(trouble) => trouble.into(),
            Outcome::Failed(failure) => Event::Failed(Call::Put, failure),
        }
    }

    pub(super) fn progress(&self, entry: &Entry) -> Option<Progress> {
        Some(self.known().get(entry.id)?.progress.clone())
    }

    /// Sends a part of a file. The caller has a place.
    pub(super) async fn send(
        &self,
        file: &Known,
        range: Range,
        request: &SignedRequest,
        progress: &Progress,
    ) -> Outcome {
        let chunk = (MEMORY / CHUNKS / self.gate.bodies()).clamp(32 << 10, 256 << 10);
        let mut reading = match file.read(range, chunk).await {
            Ok(reading) => reading,
            Err(trouble) => return Outcome::Trouble(trouble),
        };
        let leaving = Leaving::of(progress);
        let body = Body::new(
            range.length,
            &mut reading,
            &leaving,
            Arc::clone(&self.throttle),
            self.out.clone(),
        );
        let sending = self.unless_asleep(self.remote.put(request, body));
        let sent = self.unless_stalled(sending, &leaving, range.length).await;
        self.weigh(sent.as_ref().err());
        match (reading.check(), sent) {
            (Err(trouble), _) => Outcome::Trouble(trouble),
            (Ok(()), Ok(())) => {
                self.store_failures.store(0, Ordering::Relaxed);
                leaving.keep();
                Outcome::Sent
            }
            (Ok(()), Err(failure)) => Outcome::Failed(self.with_skew(failure)),
        }
    }

    /// The limit hears of requests that failed for being too many.
    fn weigh(&self, failure: Option<&Failure>) {
        if failure.is_some_and(Failure::is_overload) {
            self.gate.overloaded();
        }
    }

    async fn unless_stalled(
        &self,
        sending: impl Future<Output = Result<(), Failure>>,
        leaving: &Leaving,
        size: u64,
    ) -> Result<(), Failure> {
        tokio::pin!(sending);
        let (mut seen, mut since) = (0, Instant::now());
        loop {
            let patience = if seen >= size {
                self.config.answer
            } else {
                self.config.stall
            };
            tokio::select! {
                sent = &mut sending => return sent,
                () = sleep((patience / 10).min(Duration::from_secs(1))) => {}
            }
            let bytes = leaving.bytes();
            if bytes != seen || leaving.is_held() {
                (seen, since) = (bytes, Instant::now());
            } else if since.elapsed() >= patience {
                return Err(Failure::Stalled { after: patience });
            }
        }
    }

    /// A refusal says so when clocks may be why: the server signs by its own, and the store judges by its own.
    fn with_skew(&self, failure: Failure) -> Failure {
        let Failure::Store {
            status: 403,
            code,
            detail,
            retry_after,
        } = failure
        else {
            return failure;
        };
        let skew = self.remote.store_skew_seconds().unwrap_or_default();
        let detail = if skew.unsigned_abs() > SKEW {
            let direction = if skew > 0 { "ahead of" } else { "behind" };
            format!(
                "{detail} (the store's clock is {} s {direction} the gallery's; whoever runs them has to set them right)",
                skew.unsigned_abs()
            )
        } else {
            detail
        };
        Failure::Store {
            status: 403,
            code,
            detail,
            retry_after,
        }
    }
}
