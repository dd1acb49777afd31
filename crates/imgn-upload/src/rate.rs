//! How fast bytes leave: held below a limit, and measured.

use std::{
    num::NonZeroU64,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

/// The limit on all bodies together.
pub(crate) struct Throttle {
    limit: watch::Sender<Option<NonZeroU64>>,
    /// When the line is free again.
    free: Mutex<Instant>,
}

impl Throttle {
    pub(crate) fn new(limit: Option<NonZeroU64>) -> Self {
        Self {
            limit: watch::Sender::new(limit),
            free: Mutex::new(Instant::now()),
        }
    }

    pub(crate) fn set(&self, limit: Option<NonZeroU64>) {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        *free = Instant::now();
        drop(free);
        self.limit.send_replace(limit);
    }

    /// How many bytes are let through at a time, at most: a twentieth of a second's worth, so that bodies take turns.
    /// `None` when there is no limit.
    pub(crate) fn piece(&self) -> Option<usize> {
        let limit = (*self.limit.borrow())?;
        Some(usize::try_from(limit.get() / 20).map_or(usize::MAX, |piece| piece.max(512)))
    }

    /// Waits until `bytes` may leave.
    pub(crate) async fn take(&self, bytes: usize) {
        let mut limits = self.limit.subscribe();
        loop {
            let Some(limit) = *limits.borrow_and_update() else {
                return;
            };
            let turn = {
                let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
                let turn = (*free).max(Instant::now());
                #[expect(clippy::cast_precision_loss, reason = "a rate is kept within percents")]
                let seconds = bytes as f64 / limit.get() as f64;
                *free = turn + Duration::from_secs_f64(seconds);
                turn
            };
            tokio::select! {
                () = sleep_until(turn) => return,
                // With another limit it is another wait.
                changed = limits.changed() => if changed.is_err() { return },
            }
        }
    }
}

/// Bytes a second, smoothed over about [`Meter::MEMORY`].
#[derive(Debug, Default)]
pub(crate) struct Meter {
    per_second: Option<f64>,
}

impl Meter {
    const MEMORY: Duration = Duration::from_secs(2);

    /// So many bytes in so many seconds.
    pub(crate) fn observe(&mut self, seconds: f64, bytes: u64) {
        if seconds <= 0.0 {
            return;
        }
        #[expect(
            clippy::cast_precision_loss,
            reason = "a rate is shown with three digits"
        )]
        let now = bytes as f64 / seconds;
        let weight = 1.0 - (-seconds / Self::MEMORY.as_secs_f64()).exp();
        let smooth = |before: f64| before + (now - before) * weight;
        self.per_second = Some(self.per_second.map_or(now, smooth));
    }

    pub(crate) fn stop(&mut self) {
        self.per_second = None;
    }

    pub(crate) fn per_second(&self) -> Option<f64> {
        self.per_second
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn bodies_share_the_limit_and_hear_of_a_new_one() {
        let throttle = Throttle::new(NonZeroU64::new(1000));
        let begun = Instant::now();
        // 3,000 bytes by three at once: the last leaves when 2,500 have.
        let one = async || {
            throttle.take(500).await;
            throttle.take(500).await;
        };
        tokio::join!(one(), one(), one());
        assert_eq!(begun.elapsed().as_millis(), 2500);

        throttle.take(1_000_000).await;
        let waiting = throttle.take(1);
        tokio::pin!(waiting);
        tokio::select! {
            biased;
            () = &mut waiting => panic!("went through"),
            () = tokio::task::yield_now() => throttle.set(None),
        }
        let begun = Instant::now();
        waiting.await;
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }
}
