//! How many requests are under way at the same time, and who may make the next one.
//!
//! [`Controller`] is pure: from what got through in each interval it says how many requests are worth having. It climbs
//! while more of them bring more, steps back when they do not, and halves when the other side has too many. [`Gate`]
//! lets so many in.

use std::{
    num::NonZeroU64,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Where an adaptive limit starts: what browsers and S3's own tools settle on within a small factor.
const START: usize = 8;

/// A small file costs three round trips, and on a distant line each place is idle for most of them: with 40 ms, 128
/// places are some 1000 files a second, more than two cores sum and send.
const MOST: usize = 128;

/// Less gain than this is noise.
const WORTH: f64 = 1.05;

/// For how many intervals a limit that did not pay to raise is left alone.
const REST: u32 = 50;

/// For how many intervals it is left alone after the other side had too many.
const CALM: u32 = 20;

/// What a request weighs beside its bytes, so that small files count as progress too.
const REQUEST_WEIGHT: u64 = 64 * 1024;

/// What got through in one interval.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Interval {
    /// How long it was, in seconds.
    pub(crate) seconds: f64,
    /// Bytes that left.
    pub(crate) bytes: u64,
    /// Requests that ended.
    pub(crate) requests: u64,
    /// Whether somebody had to wait for a place.
    pub(crate) saturated: bool,
}

/// A request is worth having beside others when it can have this many bytes a second of a limited rate. Fewer at a time
/// lose less when they break off.
const WORTH_A_PLACE: u64 = 1 << 20;

#[derive(Debug)]
pub(crate) struct Controller {
    capacity: usize,
    fixed: bool,
    /// Where the climb ends.
    most: usize,
    /// Where it was before it was last raised, and what got through then.
    before: Option<(usize, f64)>,
    rest: u32,
    /// Whether it never stood still yet: it doubles until then, and climbs by halves later.
    starts: bool,
    /// Requests that failed together count as one sign.
    halved: bool,
}

impl Controller {
    /// Adaptive, or always `jobs`.
    pub(crate) fn new(jobs: Option<usize>) -> Self {
        Self {
            capacity: jobs.map_or(START, |jobs| jobs.max(1)),
            fixed: jobs.is_some(),
            most: MOST,
            before: None,
            rest: 0,
            starts: true,
            halved: false,
        }
    }

    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Bytes leave at so many a second at most, all together.
    pub(crate) fn set_rate_limit(&mut self, bytes_per_second: Option<NonZeroU64>) {
        let worth = |limit: NonZeroU64| limit.get().div_ceil(WORTH_A_PLACE);
        self.most = bytes_per_second.map_or(MOST, |limit| {
            usize::try_from(worth(limit)).map_or(MOST, |worth| worth.min(MOST))
        });
        if !self.fixed {
            self.capacity = self.capacity.max(START).min(self.most);
            self.before = None;
        }
    }

    /// An interval is over.
    pub(crate) fn observe(&mut self, interval: Interval) {
        self.halved = false;
        if self.fixed || !interval.saturated || interval.seconds <= 0.0 {
            return;
        }
        if self.rest > 0 {
            self.rest -= 1;
            return;
        }
        let weight = interval.bytes + interval.requests * REQUEST_WEIGHT;
        #[expect(
            clippy::cast_precision_loss,
            reason = "rates are compared within percents"
        )]
        let rate = weight as f64 / interval.seconds;
        match self.before.take() {
            Some((capacity, earlier)) if rate < earlier * WORTH => {
                self.capacity = capacity;
                self.rest = REST;
                self.starts = false;
            }
            _ => {
                let more = if self.starts {
                    self.capacity
                } else {
                    (self.capacity / 2).max(1)
                };
                let raised = (self.capacity + more).min(self.most);
                if raised > self.capacity {
                    self.before = Some((self.capacity, rate));
                    self.capacity = raised;
                }
            }
        }
    }

    /// The other side has too many requests, or the line does.
    pub(crate) fn overloaded(&mut self) {
        if self.fixed || self.halved {
            return;
        }
        self.halved = true;
        self.capacity = (self.capacity / 2).max(1);
        self.before = None;
        self.rest = CALM;
        self.starts = false;
    }
}

/// Lets as many requests in as the controller says.
pub(crate) struct Gate {
    places: Arc<Semaphore>,
    held: Mutex<Held>,
    was_full: AtomicBool,
    requests: AtomicU64,
}

struct Held {
    controller: Controller,
    rate_limit: Option<NonZeroU64>,
    /// The capacity that the places have been brought to.
    capacity: usize,
    /// Places that are to go once they are free.
    debt: usize,
}

/// A place for one request.
pub(crate) struct Place {
    gate: Arc<Gate>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Gate {
    pub(crate) fn new(jobs: Option<usize>) -> Arc<Self> {
        let controller = Controller::new(jobs);
        let capacity = controller.capacity();
        Arc::new(Self {
            places: Arc::new(Semaphore::new(capacity)),
            held: Mutex::new(Held {
                controller,
                rate_limit: None,
                capacity,
                debt: 0,
            }),
            was_full: AtomicBool::new(false),
            requests: AtomicU64::new(0),
        })
    }

    /// Waits for a place; first come, first served.
    pub(crate) async fn enter(self: Arc<Self>) -> Place {
        let permit = match Arc::clone(&self.places).try_acquire_owned() {
            Ok(permit) => Some(permit),
            Err(_) => {
                self.was_full.store(true, Ordering::Relaxed);
                // It is never closed.
                Arc::clone(&self.places).acquire_owned().await.ok()
            }
        };
        Place { gate: self, permit }
    }

    pub(crate) fn capacity(&self) -> usize {
        self.held().capacity
    }

    /// How many uploads are worth working at: somewhat more than there are places, for while some read or wait for the
    /// journal, others use the line. Who chose a number wants to see about as many.
    pub(crate) fn width(&self) -> usize {
        let held = self.held();
        let spare = held.capacity.div_ceil(2);
        held.capacity
            + if held.controller.fixed {
                spare
            } else {
                spare.max(8)
            }
    }

    pub(crate) fn set_jobs(&self, jobs: Option<usize>) {
        let mut held = self.held();
        held.controller = Controller::new(jobs);
        let limit = held.rate_limit;
        held.controller.set_rate_limit(limit);
        self.resize(&mut held);
    }

    pub(crate) fn set_rate_limit(&self, bytes_per_second: Option<NonZeroU64>) {
        let mut held = self.held();
        held.rate_limit = bytes_per_second;
        held.controller.set_rate_limit(bytes_per_second);
        self.resize(&mut held);
    }

    /// An interval of `seconds` is over in which so many `bytes` left.
    pub(crate) fn observe(&self, seconds: f64, bytes: u64) {
        let interval = Interval {
            seconds,
            bytes,
            requests: self.requests.swap(0, Ordering::Relaxed),
            saturated: self.was_full.swap(false, Ordering::Relaxed),
        };
        let mut held = self.held();
        held.controller.observe(interval);
        self.resize(&mut held);
    }

    pub(crate) fn overloaded(&self) {
        let mut held = self.held();
        held.controller.overloaded();
        self.resize(&mut held);
    }

    fn resize(&self, held: &mut Held) {
        let (old, new) = (held.capacity, held.controller.capacity());
        held.capacity = new;
        if new > old {
            let paid = held.debt.min(new - old);
            held.debt -= paid;
            self.places.add_permits(new - old - paid);
        } else {
            let gone = self.places.forget_permits(old - new);
            held.debt += old - new - gone;
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        // Nothing that holds it can panic halfway through a change.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.gate.requests.fetch_add(1, Ordering::Relaxed);
        let mut held = self.gate.held();
        if held.debt > 0
            && let Some(permit) = self.permit.take()
        {
            held.debt -= 1;
            permit.forget();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn interval(bytes: u64) -> Interval {
        Interval {
            seconds: 0.2,
            bytes,
            requests: 0,
            saturated: true,
        }
    }

    /// A line that carries `each` bytes per request under way, but never more than `most` in all.
    fn settle(each: u64, most: u64) -> usize {
        let mut controller = Controller::new(None);
        for _ in 0..20 {
            let bytes = (controller.capacity() as u64 * each).min(most);
            controller.observe(interval(bytes));
        }
        controller.capacity()
    }

    #[test]
    fn it_climbs_while_more_requests_bring_more() {
        assert!(settle(1_000_000, u64::MAX) > MOST * 9 / 10);
        assert_eq!(settle(1_000_000, 8_000_000), START);
        let between = settle(1_000_000, 40_000_000);
        assert!((32..=64).contains(&between), "{between}");
    }

    #[test]
    fn a_limited_rate_is_worth_few_requests_unless_somebody_chose_their_number() {
        let mut controller = Controller::new(None);
        for (limit, most) in [(100, 1), (1 << 20, 1), (3 << 20, 3), (9 << 20, 9)] {
            controller.set_rate_limit(NonZeroU64::new(limit));
            assert!(controller.capacity() <= most, "{limit}");
            for _ in 0..20 {
                let bytes = controller.capacity() as u64 * 1_000_000;
                controller.observe(interval(bytes));
            }
            assert_eq!(controller.capacity(), most, "{limit}");
        }
        controller.set_rate_limit(NonZeroU64::new(1));
        controller.set_rate_limit(None);
        assert_eq!(controller.capacity(), START);
        let mut chosen = Controller::new(Some(5));
        chosen.set_rate_limit(NonZeroU64::new(1));
        assert_eq!(chosen.capacity(), 5);
    }

    #[test]
    fn signs_of_one_interval_halve_once() {
        let mut controller = Controller::new(None);
        controller.overloaded();
        controller.overloaded();
        assert_eq!(controller.capacity(), START / 2);
        for _ in 0..5 {
            controller.observe(interval(0));
            controller.overloaded();
        }
        assert_eq!(controller.capacity(), 1);
    }

    #[tokio::test]
    async fn a_gate_has_as_many_places_as_it_says() {
        let gate = Gate::new(Some(3));
        let mut places = Vec::new();
        for _ in 0..3 {
            places.push(Arc::clone(&gate).enter().await);
        }
        gate.set_jobs(Some(1));
        places.truncate(1);
        assert_eq!(gate.places.available_permits(), 0);
        places.clear();
        assert_eq!(gate.places.available_permits(), 1);
        gate.set_jobs(Some(5));
        assert_eq!(gate.places.available_permits(), 5);
    }

    proptest! {
        #[test]
        fn the_limit_has_bounds(events in prop::collection::vec((any::<bool>(), any::<u32>(), any::<bool>()), 0..300)) {
            let mut controller = Controller::new(None);
            let mut fixed = Controller::new(Some(9));
            for (overloaded, bytes, saturated) in events {
                let sample = Interval { saturated, ..interval(u64::from(bytes)) };
                for controller in [&mut controller, &mut fixed] {
                    if overloaded {
                        controller.overloaded();
                    } else {
                        controller.observe(sample);
                    }
                }
                prop_assert!((1..=MOST).contains(&controller.capacity()));
                prop_assert_eq!(fixed.capacity(), 9);
            }
        }
    }
}
