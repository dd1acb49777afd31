//! Sends the parts of one upload: those that the store does not have as the file has them now, in parallel, each from a
//! place of its own in the limit.
//!
//! It asks for one place at a time, so that uploads with many parts do not keep others waiting. Memory is bounded by the
//! limit, not by the number of parts.

use std::{
    collections::{BTreeMap, VecDeque},
    pin::Pin,
    sync::Arc,
};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use imgn_protocol::{Checksum, CompletedPart, SignRequest};
use tokio::time::{Duration, sleep};

use super::{Inner, send::Outcome};
use crate::{
    Call, Entry, Failure, Progress,
    file::{Known, Range},
    limit::Place,
    machine::{Event, Plan, Target},
    part::{Part, PartEffect, PartEvent},
};

/// How a part gave its place back.
enum Ended {
    Done {
        number: u32,
        sum: Checksum,
        /// Whether the store has just taken it.
        is_new: bool,
    },
    Later(Part, Duration),
    Halt(Call, Failure),
    Stop(Event),
}

/// What the parts of one upload have in common.
struct Pump<'a> {
    inner: &'a Inner,
    entry: &'a Entry,
    target: &'a Target,
    plan: Plan,
    file: Known,
    progress: Progress,
}

impl Inner {
    /// Sends what is missing. What concerns the whole upload ends it once the parts under way have ended.
    pub(super) async fn send_parts(
        &self,
        entry: &Entry,
        target: &Target,
        plan: Plan,
        stored: &[imgn_protocol::Part],
    ) -> Event {
        let file = match self.source(entry).known(target.content.fingerprint).await {
            Ok(file) => file,
            Err(trouble) => return trouble.into(),
        };
        let Some(progress) = self.progress(entry) else {
            return Event::Cancel;
        };
        let pump = Pump {
            inner: self,
            entry,
            target,
            plan,
            file,
            progress,
        };
        pump.run(stored).await
    }
}

impl Pump<'_> {
    async fn run(&self, stored: &[imgn_protocol::Part]) -> Event {
        let (mut todo, mut done) = self.compare(stored).await;
        let mut running = FuturesUnordered::new();
        let mut resting = FuturesUnordered::new();
        let mut halted: Option<Event> = None;
        let mut moved = false;
        let mut entering = self.place();
        loop {
            if running.is_empty() {
                if let Some(event) = halted {
                    return event;
                }
                if todo.is_empty() && resting.is_empty() {
                    break;
                }
            }
            tokio::select! {
                Some(ended) = running.next(), if !running.is_empty() => match ended {
                    Ended::Done { number, sum, is_new } => {
                        moved |= is_new;
                        done.insert(number, sum);
                    }
                    Ended::Later(part, pause) => resting.push(async move {
                        sleep(pause).await;
                        part
                    }),
                    Ended::Halt(call, failure) => {
                        halted.get_or_insert(Event::Halted { moved: false, call, failure });
                        // It leaves the queue for a place to others.
                        entering = self.place();
                    }
                    // The file is another one: whatever else went wrong does not matter any more.
                    Ended::Stop(event) => return event,
                },
                place = &mut entering, if halted.is_none() && !todo.is_empty() => {
                    entering = self.place();
                    if let Some(part) = todo.pop_front() {
                        running.push(self.bring(part, place));
                    }
                }
                Some(part) = resting.next(), if halted.is_none() && !resting.is_empty() => {
                    todo.push_front(part);
                }
            }
            if let Some(Event::Halted { moved: told, .. }) = &mut halted {
                *told = moved;
            }
        }
        let parts = done
            .into_iter()
            .map(|(number, checksum)| CompletedPart { number, checksum });
        Event::PartsSent(parts.collect())
    }

    /// What is still to do, and what the store has as the journal vouches for. What the journal cannot vouch for is
    /// summed again when it has its place.
    async fn compare(
        &self,
        stored: &[imgn_protocol::Part],
    ) -> (VecDeque<Part>, BTreeMap<u32, Checksum>) {
        let remembered = self.inner.journal.parts(self.entry.id, self.target.session);
        let mut vouched = remembered.await.unwrap_or_else(|error| {
            tracing::debug!("sums of parts cannot be read ({error}); they are made again");
            BTreeMap::new()
        });
        vouched.retain(|_, sum| sum.algorithm() == self.plan.algorithm);
        let mut in_store: BTreeMap<u32, Vec<Checksum>> = BTreeMap::new();
        for part in stored {
            if part.size == self.range(part.number).length && part.size > 0 {
                in_store.entry(part.number).or_default().push(part.checksum);
            }
        }
        let (mut todo, mut done) = (VecDeque::new(), BTreeMap::new());
        let mut bytes = 0;
        for number in 1..=self.plan.part_count {
            let sum = vouched.get(&number).copied();
            let there = in_store.remove(&number).unwrap_or_default();
            match sum.filter(|sum| there.contains(sum)) {
                Some(sum) => {
                    bytes += self.range(number).length;
                    done.insert(number, sum);
                }
                None => todo.push_back(Part::new(number, sum, there)),
            }
        }
        self.progress.set(bytes);
        (todo, done)
    }

    /// Brings one part into the store, from its place.
    async fn bring(&self, mut part: Part, _place: Place) -> Ended {
        let range = self.range(part.number);
        let mut event = PartEvent::Go;
        let mut is_new = false;
        loop {
            event = match part.step(event) {
                Some(PartEffect::Sum) => match self.file.sum(range, self.plan.algorithm).await {
                    Ok(sum) => {
                        self.remember(part.number, sum, false);
                        PartEvent::Summed(sum)
                    }
                    Err(trouble) => return Ended::Stop(trouble.into()),
                },
                Some(PartEffect::Sign(checksum)) => {
                    let request = SignRequest {
                        part: Some(part.number),
                        checksum,
                    };
                    let signing = self.inner.remote.sign(self.target.session, &request);
                    match self.inner.unless_asleep(signing).await {
                        Ok(request) => PartEvent::Signed(request),
                        Err(failure) => PartEvent::Failed(Call::Sign, failure),
                    }
                }
                Some(PartEffect::Put(request)) => {
                    let sending = self.inner.send(&self.file, range, &request, &self.progress);
                    match sending.await {
                        Outcome::Sent => {
                            is_new = true;
                            PartEvent::Sent
                        }
                        Outcome::Failed(failure) => PartEvent::Failed(Call::Put, failure),
                        Outcome::Trouble(trouble) => return Ended::Stop(trouble.into()),
                    }
                }
                Some(PartEffect::Done(sum)) => {
                    self.remember(part.number, sum, true);
                    if !is_new {
                        self.progress.add(range.length);
                    }
                    return Ended::Done {
                        number: part.number,
                        sum,
                        is_new,
                    };
                }
                Some(PartEffect::Later { tries, at_least }) => {
                    let pause = self.inner.delay(tries, at_least);
                    return Ended::Later(part, pause);
                }
                Some(PartEffect::Halt(call, failure)) => return Ended::Halt(call, failure),
                // Its own effects answer with what has its place.
                None => PartEvent::Go,
            };
        }
    }

    /// A place for a part.
    fn place(&self) -> Pin<Box<dyn Future<Output = Place> + Send>> {
        Box::pin(Arc::clone(&self.inner.gate).enter(self.plan.part_size))
    }

    fn remember(&self, number: u32, sum: Checksum, is_stored: bool) {
        let journal = &self.inner.journal;
        journal.remember_part(self.entry.id, self.target.session, number, sum, is_stored);
    }

    fn range(&self, number: u32) -> Range {
        let size = self.target.content.fingerprint.size;
        let (offset, length) = self.plan.range(number, size);
        Range { offset, length }
    }
}
