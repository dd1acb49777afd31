//! How far this computer's clock is from another's, by the `Date` of each answer.
//!
//! Not a clock, and nothing is corrected by it. Invariant: what an answer does not say changes nothing.

use std::sync::atomic::{AtomicI64, Ordering};

use imgn_protocol::Timestamp;
use reqwest::header::{DATE, HeaderMap};

/// What is not measured yet.
const UNKNOWN: i64 = i64::MIN;

/// The last measurement.
pub(super) struct Clock(AtomicI64);

impl Default for Clock {
    fn default() -> Self {
        Self(AtomicI64::new(UNKNOWN))
    }
}

impl Clock {
    /// Measures by an answer that has just come.
    pub(super) fn read(&self, headers: &HeaderMap) {
        self.read_at(headers, Timestamp::now());
    }

    /// By how many seconds this computer is ahead. The way of the answer and the header's whole seconds make some
    /// seconds of it, which is why small values say nothing.
    pub(super) fn skew_seconds(&self) -> Option<i64> {
        Some(self.0.load(Ordering::Relaxed)).filter(|&skew| skew != UNKNOWN)
    }

    fn read_at(&self, headers: &HeaderMap, now: Timestamp) {
        let date = headers.get(DATE).and_then(|date| date.to_str().ok());
        if let Some(then) = date.and_then(|date| jiff::fmt::rfc2822::parse(date).ok()) {
            let skew = now.as_second() - then.timestamp().as_second();
            self.0.store(skew, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_skew_is_the_last_that_was_measured() {
        let clock = Clock::default();
        let now: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
        let mut headers = HeaderMap::new();
        clock.read_at(&headers, now);
        assert_eq!(clock.skew_seconds(), None);
        for (date, skew) in [
            ("Fri, 02 Jan 2026 03:04:05 GMT", 0),
            ("Fri, 02 Jan 2026 02:04:05 GMT", 3600),
            ("yesterday", 3600),
            ("Fri, 02 Jan 2026 03:04:35 GMT", -30),
        ] {
            headers.insert(DATE, date.parse().unwrap());
            clock.read_at(&headers, now);
            assert_eq!(clock.skew_seconds(), Some(skew), "{date}");
        }
    }
}
