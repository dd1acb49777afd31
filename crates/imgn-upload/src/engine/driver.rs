//! The driver of one upload: steps its machine, and does what the machine asks for.

use std::{sync::Arc, time::Duration};

use imgn_protocol::{CompleteRequest, OpenRequest, SignRequest, SignedRequest, UploadId};
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

use super::Inner;
use crate::{
    Body, Call, Entry, Failure, JournalError, Progress,
    file::{self, Trouble},
    machine::{Effect, Event, State, Target, step},
};

impl Inner {
    /// Drives one upload until it ends, or until the engine stops.
    pub(super) async fn run(
        &self,
        entry: Entry,
        cancel: &CancellationToken,
    ) -> Result<(), JournalError> {
        let mut state = entry.state.clone();
        let mut event = Event::Go;
        let mut is_cancelled = false;
        let mut slot = None;
        if let State::Queued { .. } = state {
            // Before the first step: an upload that has no slot yet is queued and nothing else.
            tokio::select! {
                biased;
                () = self.quit.cancelled() => return Ok(()),
                () = cancel.cancelled() => {
                    is_cancelled = true;
                    event = Event::Cancel;
                }
                free = self.slot() => slot = free,
            }
        }
        loop {
            let (next, effects) = step(state.clone(), event);
            if next != state {
                self.journal.save(entry.id, &next).await?;
                state = next;
                self.note(entry.id, state.clone());
            }
            let mut follows = None;
            for effect in effects {
                tokio::select! {
                    biased;
                    () = self.quit.cancelled() => return Ok(()),
                    () = cancel.cancelled(), if !is_cancelled => {
                        is_cancelled = true;
                        follows = Some(Event::Cancel);
                        break;
                    }
                    happened = self.perform_in_slot(&entry, effect, &mut slot) => {
                        follows = happened.or(follows);
                    }
                }
            }
            match follows {
                Some(happened) => event = happened,
                None => return Ok(()),
            }
        }
    }

    async fn slot(&self) -> Option<OwnedSemaphorePermit> {
        // It is never closed.
        Arc::clone(&self.slots).acquire_owned().await.ok()
    }

    async fn perform_in_slot(
        &self,
        entry: &Entry,
        effect: Effect,
        slot: &mut Option<OwnedSemaphorePermit>,
    ) -> Option<Event> {
        match effect {
            Effect::Sum
            | Effect::Open(_)
            | Effect::Sign(_)
            | Effect::Put(..)
            | Effect::Complete(_) => {
                if slot.is_none() {
                    *slot = self.slot().await;
                }
            }
            Effect::Status { .. } | Effect::BackOff { .. } | Effect::AwaitServer { .. } => {
                *slot = None;
            }
            Effect::Renew | Effect::Abort(_) | Effect::Forget(_) => {}
        }
        self.perform(entry, effect).await
    }

    async fn perform(&self, entry: &Entry, effect: Effect) -> Option<Event> {
        let remote = &self.remote;
        let failed = |call| move |failure| Event::Failed(call, failure);
        Some(match effect {
            Effect::Sum => match file::sum(entry.path.clone()).await {
                Ok(content) => Event::Summed(content),
                Err(trouble) => trouble.into(),
            },
            Effect::Renew => Event::Renewed(UploadId::new()),
            Effect::Open(target) => remote
                .open(target.session, &open_request(entry, &target), true)
                .await
                .map_or_else(failed(Call::Open), Event::Answered),
            Effect::Sign(target) => {
                let checksum = target.content.sha256;
                let request = SignRequest {
                    part: None,
                    checksum: checksum.into(),
                };
                remote
                    .sign(target.session, &request)
                    .await
                    .map_or_else(failed(Call::Sign), Event::Signed)
            }
            Effect::Put(target, request) => self.put(entry, &target, &request).await,
            Effect::Complete(target) => remote
                .complete(target.session, &CompleteRequest::default())
                .await
                .map_or_else(failed(Call::Complete), Event::Answered),
            Effect::Status { session, asked } => {
                sleep(self.config.poll.delay(asked + 1, Duration::ZERO, 1.0)).await;
                remote
                    .status(session)
                    .await
                    .map_or_else(failed(Call::Status), Event::Answered)
            }
            Effect::Abort(session) => match remote.abort(session).await {
                Ok(()) => Event::Aborted,
                Err(failure) => Event::Failed(Call::Abort, failure),
            },
            Effect::Forget(session) => {
                if let Err(failure) = remote.abort(session).await {
                    tracing::debug!(%session, reason = failure.describe(), "left to the sweeper");
                }
                return None;
            }
            Effect::BackOff { tries, at_least } => {
                sleep(self.delay(tries, at_least)).await;
                Event::Go
            }
            Effect::AwaitServer { waits } => {
                self.await_server(waits).await;
                Event::Go
            }
        })
    }

    async fn put(&self, entry: &Entry, target: &Target, request: &SignedRequest) -> Event {
        let fingerprint = target.content.fingerprint;
        let file = match file::open(entry.path.clone(), fingerprint).await {
            Ok(file) => file,
            Err(trouble) => return trouble.into(),
        };
        // Looks at the very file that is sent, whatever happens to its name.
        let same = match file.try_clone() {
            Ok(same) => same,
            Err(error) => return Trouble::from_io(&error).into(),
        };
        let Some(progress) = self
            .known()
            .uploads
            .get(&entry.id)
            .map(|u| u.progress.clone())
        else {
            return Event::Cancel;
        };
        progress.reset();
        let body = Body::from_file(
            tokio::fs::File::from_std(file),
            fingerprint.size,
            progress.clone(),
        );
        let sending = self.remote.put(request, body);
        let sent = self
            .unless_stalled(sending, &progress, fingerprint.size)
            .await;
        match (file::fingerprint(&same), sent) {
            (Ok(now), _) if now != fingerprint => Event::Changed,
            (_, Ok(())) => Event::Sent,
            (_, Err(failure)) => Event::Failed(Call::Put, failure),
        }
    }

    async fn unless_stalled(
        &self,
        sending: impl Future<Output = Result<(), Failure>>,
        progress: &Progress,
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
            let bytes = progress.bytes();
            if bytes != seen {
                (seen, since) = (bytes, Instant::now());
            } else if since.elapsed() >= patience {
                return Err(Failure::Stalled { after: patience });
            }
        }
    }

    fn delay(&self, tries: u32, at_least: Duration) -> Duration {
        let draw = (self.config.draw)();
        self.config.backoff.delay(tries, at_least, draw)
    }

    /// Waits until the server answers. Of all that wait, one asks, the others learn from it.
    async fn await_server(&self, waits: u32) {
        let mut returns = self.returns.subscribe();
        // An upload that waits again although the server answered (its store does not) comes back ever more slowly.
        if waits > 1 {
            sleep(self.delay(waits - 1, Duration::ZERO)).await;
        }
        tokio::select! {
            _ = returns.changed() => {}
            _asking = self.probing.lock() => {
                let mut asked = 0;
                while matches!(returns.has_changed(), Ok(false)) {
                    asked += 1;
                    sleep(self.delay(asked, Duration::ZERO)).await;
                    match self.remote.probe().await {
                        Ok(()) => self.returns.send_modify(|count| *count += 1),
                        Err(failure) => tracing::debug!(reason = failure.describe(), "still offline"),
                    }
                }
            }
        }
    }
}

impl From<Trouble> for Event {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Changed => Self::Changed,
            Trouble::Unreadable(fault) => Self::Unreadable(fault),
        }
    }
}

fn open_request(entry: &Entry, target: &Target) -> OpenRequest {
    OpenRequest {
        file_name: entry.file_name.clone(),
        size: target.content.fingerprint.size,
        sha256: target.content.sha256,
        content_type: entry.content_type.clone(),
        checksum_algorithms: vec![],
    }
}
