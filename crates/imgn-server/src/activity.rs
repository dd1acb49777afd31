//! Whether clients are sending at the moment, so that what can wait lets them have the machine and the store.
//!
//! It counts requests that belong to sending: opening, signing, completing, and, with the embedded store, storing. It
//! knows nothing of what waits.
//!
//! Invariant: however busy the clients are, something goes on: what has waited as long as it is willing to has its turn,
//! one at a time.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, Semaphore, SemaphorePermit},
    time::{Instant, sleep_until, timeout_at},
};

/// Clients that have asked for nothing for so long have paused or are done. Those that send many pictures, one request
/// after the other, ask far more often.
const QUIET: Duration = Duration::from_millis(20);

/// Cheap to clone.
#[derive(Clone)]
pub(crate) struct Activity(Arc<Inner>);

struct Inner {
    requests: Mutex<Requests>,
    ended: Notify,
    impatient: Semaphore,
}

struct Requests {
    under_way: usize,
    last_ended: Option<Instant>,
}

/// A request that is under way until this goes.
pub(crate) struct Sending(Activity);

impl Activity {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Inner {
            requests: Mutex::new(Requests {
                under_way: 0,
                last_ended: None,
            }),
            ended: Notify::new(),
            impatient: Semaphore::new(1),
        }))
    }

    /// A request begins that belongs to sending.
    pub(crate) fn begin(&self) -> Sending {
        self.requests().under_way += 1;
        Sending(self.clone())
    }

    /// Waits until clients are quiet, but not beyond `until`. Who waited that long gets a turn, to be held while it
    /// works.
    pub(crate) async fn give_way(&self, until: Instant) -> Option<SemaphorePermit<'_>> {
        match timeout_at(until, self.quiet()).await {
            Ok(()) => None,
            Err(_) => tokio::select! {
                turn = self.0.impatient.acquire() => turn.ok(),
                () = self.quiet() => None,
            },
        }
    }

    async fn quiet(&self) {
        loop {
            let ended = self.0.ended.notified();
            let (under_way, last_ended) = {
                let requests = self.requests();
                (requests.under_way, requests.last_ended)
            };
            match last_ended.map(|last| last + QUIET) {
                _ if under_way > 0 => ended.await,
                Some(quiet) if quiet > Instant::now() => sleep_until(quiet).await,
                _ => return,
            }
        }
    }

    fn requests(&self) -> MutexGuard<'_, Requests> {
        // Each use is a few assignments, so a panic elsewhere leaves it whole.
        self.0
            .requests
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        let mut requests = self.0.requests();
        requests.under_way -= 1;
        requests.last_ended = Some(Instant::now());
        if requests.under_way == 0 {
            self.0.0.ended.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(2);

    #[tokio::test(start_paused = true)]
    async fn what_can_wait_goes_on_when_clients_are_quiet() {
        let activity = Activity::new();
        let begun = Instant::now();
        assert!(activity.give_way(begun + PATIENCE).await.is_none());
        assert_eq!(begun.elapsed(), Duration::ZERO);

        let sending = activity.begin();
        let waiting = activity.give_way(begun + PATIENCE);
        let client = async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            drop(sending);
            // The next request comes before anybody believes that there is none.
            tokio::time::sleep(QUIET / 2).await;
            drop(activity.begin());
        };
        let (turn, ()) = tokio::join!(waiting, client);
        assert!(turn.is_none());
        assert_eq!(
            begun.elapsed(),
            Duration::from_millis(100) + QUIET / 2 + QUIET
        );
    }

    #[tokio::test(start_paused = true)]
    async fn busy_clients_are_given_way_for_so_long_and_then_one_at_a_time_goes_on() {
        let activity = Activity::new();
        let begun = Instant::now();
        let sending = activity.begin();
        let first = activity.give_way(begun + PATIENCE).await;
        assert!(first.is_some());
        assert_eq!(begun.elapsed(), PATIENCE);
        let second = activity.give_way(begun + PATIENCE);
        tokio::pin!(second);
        let early = tokio::time::timeout(PATIENCE, &mut second).await;
        assert!(early.is_err());
        drop(first);
        assert!(second.await.is_some());
        drop(sending);
    }
}
