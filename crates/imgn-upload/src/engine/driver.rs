//! The task of one upload: steps its machine, and does what the machine asks for.

use std::{sync::Arc, time::Duration};

use imgn_protocol::{
    ChecksumAlgorithm, CompleteRequest, CompletedPart, OpenRequest, SignRequest, UploadAnswer,
    UploadId,
};
use tokio::time::sleep;

use super::{
    Inner,
    known::{Reins, Wish},
    news::FEW,
};
use crate::{
    Call, Entry, Failure, Fault, JournalError, State, UploadCode,
    file::{Source, Trouble},
    machine::{Effect, Event, Stage, Target, Work, step},
};

/// Where many wait to be verified, all together ask about themselves no more often than this; see `News`.
const BETWEEN_POLLS: Duration = Duration::from_millis(50);

/// But each does within this time.
const LONGEST_BETWEEN_POLLS: Duration = Duration::from_secs(30);

/// Counts a task among those that do something.
struct Busy<'a> {
    inner: &'a Arc<Inner>,
    /// How heavy it is.
    load: usize,
    is_busy: bool,
}

impl Busy<'_> {
    fn set(&mut self, is_busy: bool) {
        if std::mem::replace(&mut self.is_busy, is_busy) == is_busy {
            return;
        }
        if is_busy {
            let mut known = self.inner.known();
            known.busy += 1;
            known.load += self.load;
        } else {
            {
                let mut known = self.inner.known();
                known.busy -= 1;
                known.load -= self.load;
            }
            self.inner.dispatch();
        }
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.set(false);
        self.inner.known().tasks -= 1;
        self.inner.dispatch();
    }
}

impl Inner {
    /// Drives one upload until it ends, is paused, has to wait for the server, or the engine stops.
    pub(super) async fn drive(self: Arc<Self>, entry: Entry, reins: Arc<Reins>, load: usize) {
        let id = entry.id;
        let mut busy = Busy {
            inner: &self,
            load,
            is_busy: true,
        };
        if let Err(error) = self.run(entry, &reins, &mut busy).await {
            self.give_up(id, &error);
            self.hear_nothing_more(id);
        } else if self.quit.is_cancelled() {
            self.hear_nothing_more(id);
        }
    }

    async fn run(
        self: &Arc<Self>,
        entry: Entry,
        reins: &Reins,
        busy: &mut Busy<'_>,
    ) -> Result<(), JournalError> {
        let mut state = entry.state.clone();
        let mut written = entry.state.clone();
        let mut event = Event::Go;
        let mut wish = None;
        loop {
            let (next, effect) = step(state.clone(), event);
            if next.adds_to(&written) {
                self.journal.save(entry.id, &next).await?;
                written = next.clone();
            }
            if next != state {
                state = next;
                self.note(entry.id, state.clone());
            }
            if let Some(wish) = wish.take() {
                reins.answer(wish);
            }
            let follows = match effect {
                // The event was of no use here, or the upload was let go on.
                None if state.is_active() => Some(Event::Go),
                None => None,
                Some(effect) => tokio::select! {
                    biased;
                    () = self.quit.cancelled() => return Ok(()),
                    wished = reins.next() => {
                        let happened = wished.event.clone();
                        wish = Some(wished);
                        Some(happened)
                    }
                    happened = Box::pin(self.perform(&entry, effect, busy)) => happened,
                },
            };
            event = match follows {
                Some(happened) => happened,
                // It ended, is paused, or is parked.
                None => match self.let_go(entry.id) {
                    Some(wished) => {
                        let happened = wished.event.clone();
                        wish = Some(wished);
                        happened
                    }
                    None => return Ok(()),
                },
            };
        }
    }

    /// Nothing more is done for it, whatever is wished: who waits for an answer hears that there is none.
    fn hear_nothing_more(&self, id: UploadId) {
        let mut known = self.known();
        while known.let_go(id).is_some() {}
    }

    fn let_go(&self, id: UploadId) -> Option<Wish> {
        let mut known = self.known();
        let wish = known.let_go(id);
        if wish.is_none() {
            // What is parked is active, and has its turn again when the server or its file is back.
            known.make_ready(id);
        }
        wish
    }

    async fn perform(
        self: &Arc<Self>,
        entry: &Entry,
        effect: Effect,
        busy: &mut Busy<'_>,
    ) -> Option<Event> {
        let remote = &self.remote;
        let failed = |call| move |failure| Event::Failed(call, failure);
        busy.set(!matches!(
            effect,
            Effect::Status { .. }
                | Effect::BackOff { .. }
                | Effect::AwaitServer { .. }
                | Effect::AwaitFile
        ));
        Some(match effect {
            Effect::Sum => {
                // It is never closed.
                let _reading = self.readers.acquire().await;
                match self.source(entry).sum().await {
                    Ok(content) => Event::Summed(content),
                    Err(trouble) => trouble.into(),
                }
            }
            Effect::Renew => Event::Renewed(UploadId::new()),
            Effect::Open(target) => {
                let request = open_request(entry, &target);
                let opening = remote.open(target.session, &request, true);
                self.ask(opening)
                    .await
                    .map_or_else(failed(Call::Open), Event::Answered)
            }
            Effect::Sign(target) => {
                let request = SignRequest {
                    part: None,
                    checksum: target.content.sha256.into(),
                };
                self.ask(remote.sign(target.session, &request))
                    .await
                    .map_or_else(failed(Call::Sign), Event::Signed)
            }
            // Boxed, because what sends is large, and thousands may wait here to be verified.
            Effect::Put(target, request) => Box::pin(self.put(entry, &target, &request)).await,
            Effect::SendParts {
                target,
                plan,
                stored,
            } => Box::pin(self.send_parts(entry, &target, plan, &stored)).await,
            Effect::Complete(target, parts) => self
                .complete(target.session, parts)
                .await
                .map_or_else(failed(Call::Complete), Event::Answered),
            Effect::Status { target, asked } => {
                let published = |image| {
                    let image = Box::new(image);
                    Some(Event::Answered(UploadAnswer::Published { image }))
                };
                let sum = target.content.sha256;
                let delay = self.poll_delay(asked);
                if let Some(image) = self.news_of(sum, delay).await {
                    return published(image);
                }
                // It is never closed. Many may wait for their turn to ask, and hear of it meanwhile.
                let _asking = tokio::select! {
                    turn = self.askers.acquire() => turn,
                    Some(image) = self.news_of(sum, LONGEST_BETWEEN_POLLS) => return published(image),
                };
                self.unless_asleep(remote.status(target.session))
                    .await
                    .map_or_else(failed(Call::Status), Event::Answered)
            }
            Effect::Abort(session) => match self.unless_asleep(remote.abort(session)).await {
                Ok(()) => Event::Aborted,
                Err(failure) => Event::Failed(Call::Abort, failure),
            },
            Effect::BackOff { tries, at_least } => {
                sleep(self.delay(tries, at_least)).await;
                Event::Go
            }
            Effect::AwaitServer { is_store } => {
                let state = self.known().get(entry.id).map(|u| u.entry.state.clone());
                if let Some(State::Waiting { reason, .. }) = state {
                    self.go_offline(&reason, is_store);
                }
                return None;
            }
            // It is looked for together with the others, see `Known::make_ready`.
            Effect::AwaitFile => return None,
        })
    }

    /// The more uploads wait to be verified, the less often each asks; but never less than often enough.
    fn poll_delay(&self, asked: u32) -> Duration {
        let waiting = {
            let known = self.known();
            known.tasks.saturating_sub(known.busy)
        };
        let delay = self.config.poll.delay(asked + 1, Duration::ZERO, 1.0);
        if waiting <= FEW {
            return delay;
        }
        let crowded = BETWEEN_POLLS * u32::try_from(waiting).unwrap_or(u32::MAX);
        delay.max(crowded.min(LONGEST_BETWEEN_POLLS))
    }

    async fn complete(
        &self,
        session: UploadId,
        parts: Vec<CompletedPart>,
    ) -> Result<UploadAnswer, Failure> {
        let request = CompleteRequest { parts };
        self.ask(self.remote.complete(session, &request)).await
    }

    pub(super) fn source(&self, entry: &Entry) -> Source {
        Source {
            path: entry.path.clone(),
            redactor: if entry.keep_location {
                None
            } else {
                self.config.redactor.clone()
            },
        }
    }

    /// The journal fails: nothing more is done for this upload, for it could not be taken back. It stands in the
    /// journal as it last did, and goes on from there at the next start.
    fn give_up(&self, id: UploadId, error: &JournalError) {
        tracing::error!(%id, error = error as &dyn std::error::Error, "the journal failed");
        let session = id;
        let fault = Fault::new(
            UploadCode::JournalFailed,
            format!("{error}; free some space and start imgn again, the upload goes on then"),
        );
        let work = Work::at(Stage::Summing { session });
        self.note(id, State::Failed { fault, work });
    }
}

impl From<Trouble> for Event {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Changed => Self::Changed,
            Trouble::Touched => Self::Touched,
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
        // Both are quick; the longer one first.
        checksum_algorithms: vec![ChecksumAlgorithm::Crc64Nvme, ChecksumAlgorithm::Crc32c],
    }
}
