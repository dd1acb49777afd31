//! One part of an upload as a pure machine: sum, sign, send.
//!
//! It knows what concerns this part alone. What concerns the whole upload (the server is gone, the upload was aborted,
//! the store refuses for good) halts it, and is for [`crate::machine`] to judge.

use std::time::Duration;

use imgn_protocol::{Checksum, SignedRequest};

use crate::retry::{Call, Failure, MAX_PART_TRIES, Verdict, classify};

/// A part that is not known to be in the store.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Part {
    /// From 1.
    pub(crate) number: u32,
    /// Its sum, once it was made, or as the journal vouches for it.
    pub(crate) sum: Option<Checksum>,
    /// What the store has under its number and in its size. If the sum is the same, nothing is sent.
    pub(crate) stored: Vec<Checksum>,
    /// Faults that pass met so far; bounded by [`MAX_PART_TRIES`].
    pub(crate) tries: u32,
    /// Whether the URL is the one fresh one after a refusal.
    pub(crate) fresh: bool,
}

/// What happened to it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum PartEvent {
    /// It has a place.
    Go,
    /// It was summed.
    Summed(Checksum),
    /// A URL for it was signed.
    Signed(SignedRequest),
    /// The store took it.
    Sent,
    /// A call failed.
    Failed(Call, Failure),
}

/// What is done next.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum PartEffect {
    /// Read and sum it: [`PartEvent::Summed`].
    Sum,
    /// Have a URL signed: [`PartEvent::Signed`] or [`PartEvent::Failed`].
    Sign(Checksum),
    /// Send it: [`PartEvent::Sent`] or [`PartEvent::Failed`].
    Put(SignedRequest),
    /// It is in the store.
    Done(Checksum),
    /// Give the place to others, and come back after a pause: [`PartEvent::Go`].
    Later {
        /// How many tries have failed.
        tries: u32,
        /// Not sooner than this.
        at_least: Duration,
    },
    /// The upload cannot go on as it is.
    Halt(Call, Failure),
}

impl Part {
    pub(crate) fn new(number: u32, sum: Option<Checksum>, stored: Vec<Checksum>) -> Self {
        Self {
            number,
            sum,
            stored,
            tries: 0,
            fresh: false,
        }
    }

    /// What follows. `None` when the event has no place here.
    pub(crate) fn step(&mut self, event: PartEvent) -> Option<PartEffect> {
        match (event, self.sum) {
            (PartEvent::Go, None) => Some(PartEffect::Sum),
            (PartEvent::Go, Some(sum)) => Some(self.summed(sum)),
            (PartEvent::Summed(sum), _) => Some(self.summed(sum)),
            (PartEvent::Signed(request), Some(_)) => Some(PartEffect::Put(request)),
            (PartEvent::Sent, Some(sum)) => Some(PartEffect::Done(sum)),
            (PartEvent::Failed(call, failure), Some(sum)) => Some(self.failed(call, failure, sum)),
            (PartEvent::Signed(_) | PartEvent::Sent | PartEvent::Failed(..), None) => None,
        }
    }

    fn summed(&mut self, sum: Checksum) -> PartEffect {
        self.sum = Some(sum);
        if self.stored.contains(&sum) {
            PartEffect::Done(sum)
        } else {
            PartEffect::Sign(sum)
        }
    }

    fn failed(&mut self, call: Call, failure: Failure, sum: Checksum) -> PartEffect {
        match classify(call, &failure) {
            Verdict::Again { at_least } if self.tries < MAX_PART_TRIES => {
                self.tries += 1;
                self.fresh = false;
                PartEffect::Later {
                    tries: self.tries,
                    at_least,
                }
            }
            Verdict::FreshUrl if !self.fresh => {
                self.fresh = true;
                PartEffect::Sign(sum)
            }
            _ => PartEffect::Halt(call, failure),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use imgn_protocol::{PresignedUrl, Sha256, Timestamp};
    use proptest::prelude::*;

    use super::*;

    fn sum(text: &str) -> Checksum {
        Sha256::of(text.as_bytes()).into()
    }

    fn signed() -> SignedRequest {
        SignedRequest {
            method: "PUT".to_owned(),
            url: PresignedUrl::new("https://store.example/k".to_owned()),
            headers: BTreeMap::new(),
            expires_at: Timestamp::UNIX_EPOCH,
        }
    }

    fn refused(status: u16) -> Failure {
        Failure::Store {
            status,
            code: "AccessDenied".to_owned(),
            detail: "words".to_owned(),
            retry_after: None,
        }
    }

    #[test]
    fn what_the_store_has_is_not_sent_again_and_what_differs_is() {
        let mut same = Part::new(1, None, vec![sum("b"), sum("a")]);
        assert_eq!(same.step(PartEvent::Go), Some(PartEffect::Sum));
        let next = same.step(PartEvent::Summed(sum("a")));
        assert_eq!(next, Some(PartEffect::Done(sum("a"))));
        let mut other = Part::new(1, Some(sum("a")), vec![sum("b")]);
        assert_eq!(other.step(PartEvent::Go), Some(PartEffect::Sign(sum("a"))));
    }

    #[test]
    fn a_refused_url_is_replaced_once() {
        let mut part = Part::new(1, Some(sum("a")), vec![]);
        let refusal = || PartEvent::Failed(Call::Put, refused(403));
        assert_eq!(part.step(refusal()), Some(PartEffect::Sign(sum("a"))));
        assert_eq!(
            part.step(refusal()),
            Some(PartEffect::Halt(Call::Put, refused(403)))
        );
    }

    proptest! {
        /// Against any store that can be reached, a part comes to an end.
        #[test]
        fn every_part_ends(statuses in prop::collection::vec(200_u16..600, 1..10)) {
            let mut statuses = statuses.into_iter().cycle();
            let mut part = Part::new(1, None, vec![]);
            let mut event = PartEvent::Go;
            let mut steps = 0;
            loop {
                steps += 1;
                prop_assert!(steps < 100);
                event = match part.step(event).unwrap() {
                    PartEffect::Sum => PartEvent::Summed(sum("a")),
                    PartEffect::Sign(_) => PartEvent::Signed(signed()),
                    PartEffect::Put(_) => match statuses.next().unwrap() {
                        200..300 => PartEvent::Sent,
                        status => PartEvent::Failed(Call::Put, refused(status)),
                    },
                    PartEffect::Later { .. } => PartEvent::Go,
                    PartEffect::Done(_) | PartEffect::Halt(..) => break,
                };
            }
        }
    }
}
