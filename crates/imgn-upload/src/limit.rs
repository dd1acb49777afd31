//! How many requests are under way at the same time, and who may make the next one.
//!
//! There is one limit, in places. A request takes as many as it is heavy: one that carries a large part of a file eight,
//! one that carries little or nothing one. So a few parts fill the line, and many small files, most of whose time is
//! round trips, still have enough requests under way. Where somebody chose how many requests there may be, all are as heavy.
//!
//! On a slow line a large part has its places for minutes. What is small does not wait for that: it has a lane beside them,
//! so that a screenshot is there before the film that was begun earlier. Not where somebody chose the number.
//!
//! [`Controller`] is pure: from what got through in each interval it says how many places are worth having. It climbs
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

/// What a request takes at most, however much it carries.
const HEAVIEST: usize = 8;

/// What is small has so many places of its own, when the others are taken: one such file at a time, or eight requests with little
/// in them.
const LANE: usize = HEAVIEST;

/// Screenshots are smaller, and photographs of phones as a rule; every part but the last of a file is larger.
const SMALL: u64 = 4 << 20;

/// A request takes a place for each of so many bytes that it carries, or begins to.
const BYTES_A_PLACE: u64 = 128 << 10;

/// Where an adaptive limit starts: eight large parts, which S3's own tools settle on within a small factor, or 64 small
/// requests, which on a line with 40 ms of round trip are some 1500 a second.
const START: usize = 8 * HEAVIEST;

/// Room for one large part. A limit below it would let none in.
const LEAST: usize = HEAVIEST;

/// No line known to us carries more with more, memory has a bound, and a server shares its connections among many.
const MOST: usize = 16 * HEAVIEST;

/// Less gain than this is noise.
const WORTH: f64 = 1.05;

/// For how many intervals what gets through is left to find its new pace after a change, and how many are then looked
/// at together: a request that began before the change ends after it.
const SETTLE: u32 = 1;
const LOOK: u32 = 2;

/// For how many intervals a limit that did not pay to raise is left alone.
const REST: u32 = 50;

/// For how many intervals it is left alone after the other side had too many.
const CALM: u32 = 20;

/// What a request weighs beside its bytes, so that small files count as progress too.
const REQUEST_WEIGHT: u64 = 64 * 1024;

/// A large part is worth having beside others when it can have this many bytes a second of a limited rate. Fewer at a
/// time lose less when they break off.
const WORTH_A_PART: u64 = 1 << 20;

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

#[derive(Debug)]
pub(crate) struct Controller {
    capacity: usize,
    fixed: bool,
    /// Where the climb ends.
    most: usize,
    /// Where it was before it was last raised, and what got through then.
    before: Option<(usize, f64)>,
    rest: u32,
    /// What got through in the intervals that are looked at together, in which time, and how many they are.
    seen: (u64, f64, u32),
    /// Whether it never stood still yet: it doubles until then, and climbs by halves later.
    starts: bool,
    /// Requests that failed together count as one sign.
    halved: bool,
}

impl Controller {
    /// Adaptive, or always `jobs`.
    pub(crate) fn new(jobs: Option<usize>) -> Self {
        Self {
            // Never less than the heaviest request that may be waiting already: it would wait for ever.
            capacity: jobs.map_or(START, |jobs| jobs.max(1).saturating_mul(HEAVIEST)),
            fixed: jobs.is_some(),
            most: MOST,
            before: None,
            rest: 0,
            seen: (0, 0.0, 0),
            starts: true,
            halved: false,
        }
    }

    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    /// How many places a request takes that carries so many bytes.
    fn weight(&self, bytes: u64) -> usize {
        if self.fixed {
            return HEAVIEST;
        }
        let places = bytes.div_ceil(BYTES_A_PLACE);
        usize::try_from(places).map_or(HEAVIEST, |places| places.clamp(1, HEAVIEST))
    }

    /// How many large bodies there may be at a time.
    fn bodies(&self) -> usize {
        self.capacity / HEAVIEST
    }

    /// Bytes leave at so many a second at most, all together.
    pub(crate) fn set_rate_limit(&mut self, bytes_per_second: Option<NonZeroU64>) {
        let worth = |limit: NonZeroU64| limit.get().div_ceil(WORTH_A_PART);
        self.most = bytes_per_second.map_or(MOST, |limit| {
            let parts = usize::try_from(worth(limit)).unwrap_or(MOST);
            parts.saturating_mul(HEAVIEST).min(MOST)
        });
        if !self.fixed {
            self.change(self.capacity.max(START).min(self.most));
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
        let (total, seconds, count) = &mut self.seen;
        *total += weight;
        *seconds += interval.seconds;
        *count += 1;
        if *count < LOOK {
            return;
        }
        #[expect(
            clippy::cast_precision_loss,
            reason = "rates are compared within percents"
        )]
        let rate = *total as f64 / *seconds;
        match self.before.take() {
            Some((capacity, earlier)) if rate < earlier * WORTH => {
                self.change(capacity);
                self.rest = REST;
                self.starts = false;
            }
            _ => {
                let more = if self.starts {
                    self.capacity
                } else {
                    self.capacity / 2
                };
                let raised = (self.capacity + more).min(self.most);
                let earlier = (self.capacity, rate);
                let is_raised = raised > self.capacity;
                self.change(raised);
                self.before = is_raised.then_some(earlier);
            }
        }
    }

    /// The other side has too many requests, or the line does.
    pub(crate) fn overloaded(&mut self) {
        if self.fixed || self.halved {
            return;
        }
        self.halved = true;
        self.change((self.capacity / 2).max(LEAST));
        self.rest = CALM;
        self.starts = false;
    }

    fn change(&mut self, capacity: usize) {
        self.capacity = capacity;
        self.before = None;
        self.rest = SETTLE;
        self.seen = (0, 0.0, 0);
    }
}

/// Lets as many requests in as the controller says.
pub(crate) struct Gate {
    places: Arc<Semaphore>,
    lane: Arc<Semaphore>,
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

/// The places of one request.
pub(crate) struct Place {
    gate: Arc<Gate>,
    permit: Option<OwnedSemaphorePermit>,
    /// Whether it is in the lane of what is small.
    is_beside: bool,
}

impl Gate {
    pub(crate) fn new(jobs: Option<usize>) -> Arc<Self> {
        let controller = Controller::new(jobs);
        let capacity = controller.capacity();
        Arc::new(Self {
            places: Arc::new(Semaphore::new(capacity)),
            lane: Arc::new(Semaphore::new(LANE)),
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

    /// Waits until there is room for a request that carries so many bytes; first come, first served, but that what is small
    /// goes by what is not.
    pub(crate) async fn enter(self: Arc<Self>, bytes: u64) -> Place {
        let weight = self.weight(bytes);
        let weight = u32::try_from(weight).unwrap_or(1);
        let (permit, is_beside) = match Arc::clone(&self.places).try_acquire_many_owned(weight) {
            Ok(permit) => (Ok(permit), false),
            Err(_) => {
                self.was_full.store(true, Ordering::Relaxed);
                let has_lane = bytes <= SMALL && !self.held().controller.fixed;
                let lane = Arc::clone(&self.lane);
                tokio::select! {
                    biased;
                    permit = Arc::clone(&self.places).acquire_many_owned(weight) => (permit, false),
                    permit = lane.acquire_many_owned(weight), if has_lane => (permit, true),
                }
            }
        };
        Place {
            gate: self,
            // They are never closed.
            permit: permit.ok(),
            is_beside,
        }
    }

    /// How many large bodies there may be at a time.
    pub(crate) fn bodies(&self) -> usize {
        self.held().controller.bodies().max(1)
    }

    /// How heavy a request is that carries so many bytes.
    pub(crate) fn weight(&self, bytes: u64) -> usize {
        self.held().controller.weight(bytes)
    }

    /// How heavy the uploads may be together that are worth working at: somewhat more than there are places, for while
    /// some read or wait for the journal, others use the line.
    pub(crate) fn width(&self) -> usize {
        let held = self.held();
        held.capacity + held.capacity.div_ceil(2)
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
        if self.is_beside {
            return;
        }
        let mut held = self.gate.held();
        let Some(permit) = self.permit.as_mut().filter(|_| held.debt > 0) else {
            return;
        };
        let paid = held.debt.min(permit.num_permits());
        if let Some(paying) = permit.split(paid) {
            held.debt -= paid;
            paying.forget();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn interval(bytes: u64) -> Interval {
        Interval {
            seconds: 0.1,
            bytes,
            requests: 0,
            saturated: true,
        }
    }

    /// A line that carries `each` bytes per place, but never more than `most` in all.
    fn settle(each: u64, most: u64) -> usize {
        let mut controller = Controller::new(None);
        for _ in 0..40 {
            let bytes = (controller.capacity() as u64 * each).min(most);
            controller.observe(interval(bytes));
        }
        controller.capacity()
    }

    #[test]
    fn it_climbs_while_more_requests_bring_more() {
        assert_eq!(settle(1_000_000, u64::MAX), MOST);
        assert_eq!(settle(1_000_000, START as u64 * 1_000_000), START);
    }

    #[test]
    fn a_limited_rate_is_worth_few_parts_unless_somebody_chose_their_number() {
        let mut controller = Controller::new(None);
        for (limit, parts) in [(100, 1), (1 << 20, 1), (3 << 20, 3), (9 << 20, 9)] {
            controller.set_rate_limit(NonZeroU64::new(limit));
            assert!(controller.bodies() <= parts, "{limit}");
            for _ in 0..20 {
                let bytes = controller.capacity() as u64 * 1_000_000;
                controller.observe(interval(bytes));
            }
            assert_eq!(controller.bodies(), parts, "{limit}");
        }
        controller.set_rate_limit(NonZeroU64::new(1));
        controller.set_rate_limit(None);
        assert_eq!(controller.capacity(), START);
        let mut chosen = Controller::new(Some(5));
        chosen.set_rate_limit(NonZeroU64::new(1));
        assert_eq!(chosen.bodies(), 5);
    }

    #[test]
    fn a_request_takes_as_many_places_as_it_is_heavy_and_all_the_same_where_their_number_was_chosen()
     {
        for (bytes, places) in [
            (0, 1),
            (100_000, 1),
            (300_000, 3),
            (1 << 20, 8),
            (u64::MAX, 8),
        ] {
            assert_eq!(Controller::new(None).weight(bytes), places, "{bytes}");
            assert_eq!(Controller::new(Some(2)).weight(bytes), HEAVIEST, "{bytes}");
        }
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
        assert_eq!(controller.capacity(), LEAST);
    }

    #[tokio::test]
    async fn a_gate_has_as_many_places_as_it_says() {
        let gate = Gate::new(Some(3));
        let mut places = Vec::new();
        for _ in 0..3 {
            places.push(Arc::clone(&gate).enter(u64::MAX).await);
        }
        gate.set_jobs(Some(1));
        places.truncate(1);
        assert_eq!(gate.places.available_permits(), 0);
        places.clear();
        assert_eq!(gate.places.available_permits(), HEAVIEST);
        gate.set_jobs(Some(5));
        assert_eq!(gate.places.available_permits(), 5 * HEAVIEST);
    }

    /// What waits for a place when the limit is lowered still gets one.
    #[tokio::test]
    async fn no_limit_is_too_low_for_who_waits_already() {
        let gate = Gate::new(None);
        let mut places = Vec::new();
        for _ in 0..START / HEAVIEST {
            places.push(Arc::clone(&gate).enter(1 << 23).await);
        }
        let waiting = Arc::clone(&gate).enter(1 << 23);
        tokio::pin!(waiting);
        let early = tokio::time::timeout(std::time::Duration::from_millis(1), &mut waiting).await;
        assert!(early.is_err());
        gate.set_jobs(Some(1));
        places.clear();
        let entered = tokio::time::timeout(std::time::Duration::from_secs(5), waiting).await;
        assert!(entered.is_ok());
    }

    #[tokio::test]
    async fn what_is_small_goes_by_large_parts_unless_the_number_of_requests_was_chosen() {
        const PATIENCE: std::time::Duration = std::time::Duration::from_millis(1);
        let gate = Gate::new(None);
        gate.set_rate_limit(NonZeroU64::new(50_000));
        let enter = |bytes| tokio::time::timeout(PATIENCE, Arc::clone(&gate).enter(bytes));
        let part = enter(8 << 20).await.unwrap();
        assert!(enter(8 << 20).await.is_err());
        let screenshot = enter(1 << 20).await.unwrap();
        assert!(enter(0).await.is_err());
        drop(screenshot);
        let all: Vec<_> = futures_util::future::join_all((0..LANE).map(|_| enter(0))).await;
        assert!(all.iter().all(Result::is_ok));
        gate.overloaded();
        drop((all, part));
        assert_eq!(gate.lane.available_permits(), LANE);
        assert_eq!(gate.places.available_permits(), gate.held().capacity);

        let chosen = Gate::new(Some(1));
        let _part = Arc::clone(&chosen).enter(8 << 20).await;
        let small = tokio::time::timeout(PATIENCE, Arc::clone(&chosen).enter(0)).await;
        assert!(small.is_err());
    }

    #[tokio::test]
    async fn heavy_requests_pay_back_places_that_are_to_go() {
        let gate = Gate::new(None);
        let mut places = Vec::new();
        for _ in 0..START / HEAVIEST {
            places.push(Arc::clone(&gate).enter(1 << 23).await);
        }
        assert_eq!(gate.places.available_permits(), 0);
        gate.overloaded();
        places.truncate(2);
        assert_eq!(gate.places.available_permits(), START / 2 - 2 * HEAVIEST);
        places.clear();
        assert_eq!(gate.places.available_permits(), START / 2);
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
                prop_assert!((LEAST..=MOST).contains(&controller.capacity()));
                prop_assert_eq!(fixed.bodies(), 9);
            }
        }
    }
}
