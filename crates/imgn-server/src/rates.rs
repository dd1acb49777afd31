//! How many requests a second somebody may make: a token bucket for each, in this process.
//!
//! It is the generic cell rate algorithm: of each bucket one moment is kept, that at which it would be full again. Our own,
//! for that is all there is to it. Not here: who somebody is, and what they are told.
//!
//! Invariant: memory is bounded whatever anybody sends. Where there are more at a time than there is room for, those who
//! come new share one bucket; who was known before is not kept waiting by them.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// A bucket holds what may be asked in so many seconds: a client that begins with thousands of files has them at once.
pub(crate) const BURST_SECONDS: u32 = 60;

/// Buckets that are not full, of which each takes about 64 bytes.
const MOST: usize = 50_000;

/// Full buckets are thrown away as often as this at most, for all have to be looked at.
const CLEAN_EVERY: Duration = Duration::from_secs(1);

/// Buckets of one size.
#[derive(Debug)]
pub(crate) struct Rates<K> {
    /// Between two requests, on the long run; `None` where there is no limit.
    interval: Option<Duration>,
    burst: Duration,
    buckets: Mutex<Buckets<K>>,
}

#[derive(Debug)]
struct Buckets<K> {
    most: usize,
    full_at: HashMap<K, Instant>,
    everybody_else: Option<Instant>,
    cleaned: Option<Instant>,
}

impl<K: Eq + Hash> Rates<K> {
    /// So many requests a second; 0 is no limit.
    pub(crate) fn new(per_second: u32) -> Self {
        Self::with_room(per_second, MOST)
    }

    /// One in so long.
    pub(crate) fn one_in(interval: Duration) -> Self {
        Self {
            burst: interval,
            interval: Some(interval),
            ..Self::new(0)
        }
    }

    fn with_room(per_second: u32, most: usize) -> Self {
        let interval = (per_second > 0).then(|| Duration::from_secs(1) / per_second);
        Self {
            interval,
            burst: Duration::from_secs(BURST_SECONDS.into()),
            buckets: Mutex::new(Buckets {
                most,
                full_at: HashMap::new(),
                everybody_else: None,
                cleaned: None,
            }),
        }
    }

    /// Takes one request out of somebody's bucket; where it is empty, says how long to wait.
    pub(crate) fn take(&self, who: K, now: Instant) -> Result<(), Duration> {
        let Some(interval) = self.interval else {
            return Ok(());
        };
        // Each use is a few assignments, so a panic elsewhere leaves it whole.
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let full_at = buckets.full_at(who, now);
        let next = (*full_at).max(now) + interval;
        let beyond = (next - now).saturating_sub(self.burst);
        if beyond.is_zero() {
            *full_at = next;
            Ok(())
        } else {
            Err(beyond)
        }
    }
}

impl<K: Eq + Hash> Buckets<K> {
    fn full_at(&mut self, who: K, now: Instant) -> &mut Instant {
        if self.full_at.len() >= self.most && !self.full_at.contains_key(&who) {
            let is_time = self
                .cleaned
                .is_none_or(|cleaned| now.saturating_duration_since(cleaned) >= CLEAN_EVERY);
            if is_time {
                self.cleaned = Some(now);
                self.full_at.retain(|_, full_at| *full_at > now);
            }
            if self.full_at.len() >= self.most {
                return self.everybody_else.get_or_insert(now);
            }
        }
        self.full_at.entry(who).or_insert(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// How many of these get through at that moment.
    fn taken(rates: &Rates<u32>, who: u32, asked: u32, now: Instant) -> u32 {
        let taken = (0..asked).filter(|_| rates.take(who, now).is_ok());
        u32::try_from(taken.count()).unwrap()
    }

    #[test]
    fn a_bucket_gives_what_it_holds_and_fills_again() {
        let rates = Rates::new(10);
        let now = Instant::now();
        assert_eq!(taken(&rates, 1, 1000, now), 600);
        let wait = rates.take(1, now).unwrap_err();
        assert_eq!(wait, SECOND / 10);
        assert_eq!(taken(&rates, 2, 5, now), 5, "somebody else");
        assert_eq!(taken(&rates, 1, 1000, now + 2 * SECOND), 20);
        assert_eq!(taken(&rates, 1, 1000, now + 1000 * SECOND), 600);
    }

    #[test]
    fn no_limit_is_none() {
        let rates = Rates::new(0);
        assert_eq!(taken(&rates, 1, 10_000, Instant::now()), 10_000);
    }

    #[test]
    fn those_who_come_new_share_what_there_is_no_room_for() {
        let rates = Rates::with_room(1, 2);
        let now = Instant::now();
        assert_eq!(taken(&rates, 1, 1, now), 1);
        assert_eq!(taken(&rates, 2, 60, now), 60);
        assert_eq!(taken(&rates, 3, 40, now), 40);
        assert_eq!(taken(&rates, 4, 40, now), 20);
        assert_eq!(taken(&rates, 1, 100, now), 59, "it was known before");
        // The first is full again, and gives its room to somebody new.
        let later = now + 60 * SECOND;
        assert_eq!(taken(&rates, 5, 100, later), 60);
        assert_eq!(rates.buckets.lock().unwrap().full_at.len(), 1);
    }
}
