//! Which connections are held where more want to be than may.
//!
//! One that asks for nothing costs its client nothing, and anybody can have thousands. So where all places are taken, one
//! of those gives way: the longest idle of whoever holds the most. Where all are at work, or have only just come, one of the
//! address that has the most gives way to another address that has less than its share, as long as it has more than its own;
//! else the new one waits a moment, and is told to come again.
//!
//! Not here: sockets. Invariant: no more are held than may be, and nobody loses a connection to somebody who holds more.

use std::{
    cmp::Reverse,
    collections::HashMap,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::{
    sync::{Notify, Semaphore},
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;

use crate::origin::Origin;

/// How long one waits for a place.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a connection's first request may be on its way.
const FRESH: Duration = Duration::from_secs(1);

/// How often those who wait look whether one has become idle.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Nobody at work loses one of their last places, which are this part of all: 16 of 512, as many as a browser and a client of
/// imgn's need.
const LAST_PLACES: usize = 32;

/// How many wait at a time: each has a file descriptor.
const MOST_WAITING: usize = 64;

/// All places. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Places(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    most: usize,
    held: Mutex<Held>,
    freed: Notify,
    waiting: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct Held {
    /// Counts what happens, in place of a clock.
    moment: u64,
    connections: HashMap<u64, Connection>,
    /// How many each has; nobody has none.
    counts: HashMap<Origin, usize>,
}

#[derive(Debug)]
struct Connection {
    origin: Origin,
    /// Requests under way, from their head to the end of their answer.
    requests: u32,
    /// When it was taken, or its last request ended.
    since: u64,
    /// Until then its first request may be on its way; `None` once there was one.
    fresh_until: Option<Instant>,
    given_away: CancellationToken,
}

/// A connection's place, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    places: Places,
    id: u64,
    given_away: CancellationToken,
}

/// A request that is under way on a connection.
#[derive(Debug)]
pub(crate) struct Busy {
    places: Places,
    id: u64,
}

/// An answer's body, with which its request ends.
struct Answer {
    body: Body,
    _busy: Busy,
}

impl Places {
    pub(crate) fn new(most: usize) -> Self {
        Self(Arc::new(Inner {
            most,
            held: Mutex::default(),
            freed: Notify::new(),
            waiting: Arc::new(Semaphore::new(MOST_WAITING)),
        }))
    }

    /// A place for a connection of somebody's, be it another's that gives way.
    pub(crate) fn enter(&self, origin: Origin) -> Option<Place> {
        let mut held = self.held();
        if held.connections.len() >= self.0.most {
            let victim = held.victim(origin, self.0.most)?;
            if let Some(victim) = held.remove(victim) {
                victim.given_away.cancel();
            }
        }
        held.moment += 1;
        let (id, given_away) = (held.moment, CancellationToken::new());
        let connection = Connection {
            origin,
            requests: 0,
            since: id,
            fresh_until: Some(Instant::now() + FRESH),
            given_away: given_away.clone(),
        };
        held.connections.insert(id, connection);
        *held.counts.entry(origin).or_default() += 1;
        Some(Place {
            places: self.clone(),
            id,
            given_away,
        })
    }

    /// Waits for a place, and in vain after some time; `None` where too many do.
    pub(crate) fn wait(
        &self,
        origin: Origin,
    ) -> Option<impl Future<Output = Option<Place>> + Send + use<>> {
        let waiting = Arc::clone(&self.0.waiting).try_acquire_owned().ok()?;
        let places = self.clone();
        let until = Instant::now() + PATIENCE;
        Some(async move {
            let _waiting = waiting;
            loop {
                let freed = places.0.freed.notified();
                if let Some(place) = places.enter(origin) {
                    return Some(place);
                }
                let now = Instant::now();
                if now >= until {
                    return None;
                }
                // Some may be idle by now without anything having happened.
                let _ = timeout_at(until.min(now + LOOK_AGAIN), freed).await;
            }
        })
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        // Each use leaves it whole.
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many its owner has, since when it is as it is, and which it is.
type Candidate = (Reverse<usize>, u64, u64);

impl Held {
    /// Which connection gives way to a new one of somebody's.
    fn victim(&self, newcomer: Origin, most: usize) -> Option<u64> {
        let count = |origin| self.counts.get(&origin).copied().unwrap_or_default();
        let (own, now) = (count(newcomer), Instant::now());
        // Of those with the most, the longest.
        let (mut idle, mut at_work) = (None::<Candidate>, None::<Candidate>);
        let longest = |best: Option<Candidate>, this| best.map_or(this, |best| best.min(this));
        // All who have some, and the newcomer, as much each.
        let share = most / (self.counts.len() + usize::from(own == 0));
        let share = share.max(most / LAST_PLACES);
        for (&id, it) in &self.connections {
            let of_its_owner = count(it.origin);
            let this = (Reverse(of_its_owner), it.since, id);
            let is_idle = it.requests == 0 && it.fresh_until.is_none_or(|until| until <= now);
            if is_idle && of_its_owner >= own {
                idle = Some(longest(idle, this));
            }
            // Nor has the newcomer more than whoever gave way, after that.
            if own < share && share < of_its_owner && own + 1 < of_its_owner {
                at_work = Some(longest(at_work, this));
            }
        }
        idle.or(at_work).map(|(_, _, id)| id)
    }

    fn remove(&mut self, id: u64) -> Option<Connection> {
        let removed = self.connections.remove(&id)?;
        if let Some(count) = self.counts.get_mut(&removed.origin) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&removed.origin);
            }
        }
        Some(removed)
    }
}

impl Place {
    /// Waits until it is another's.
    pub(crate) async fn given_away(&self) {
        self.given_away.cancelled().await;
    }

    /// A request begins.
    pub(crate) fn begin(&self) -> Busy {
        if let Some(connection) = self.places.held().connections.get_mut(&self.id) {
            connection.requests += 1;
            connection.fresh_until = None;
        }
        Busy {
            places: self.places.clone(),
            id: self.id,
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.held().remove(self.id);
        self.places.0.freed.notify_one();
    }
}

impl Busy {
    /// The request ends with this body.
    pub(crate) fn until_sent(self, body: Body) -> Body {
        Body::new(Answer { body, _busy: self })
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let mut held = self.places.held();
        held.moment += 1;
        let moment = held.moment;
        if let Some(connection) = held.connections.get_mut(&self.id) {
            connection.requests = connection.requests.saturating_sub(1);
            connection.since = moment;
        }
        drop(held);
        self.places.0.freed.notify_one();
    }
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn origin(last: u8) -> Origin {
        Origin::from(IpAddr::from([192, 0, 2, last]))
    }

    fn is_held(place: &Place) -> bool {
        !place.given_away.is_cancelled()
    }

    #[tokio::test(start_paused = true)]
    async fn the_longest_idle_of_whoever_holds_the_most_gives_way() {
        let places = Places::new(4);
        let enter = |last| places.enter(origin(last)).unwrap();
        let (other, first, second, third) = (enter(1), enter(2), enter(2), enter(2));
        // One that has had a request is idle since its end, and one with a request is not.
        drop(first.begin());
        let busy = second.begin();
        // What has only just come does not, though.
        assert_eq!(places.held().victim(origin(2), 4), Some(first.id));
        tokio::time::advance(FRESH).await;
        let newcomer = enter(3);
        assert!(!is_held(&third));
        assert!(
            [&other, &first, &second, &newcomer]
                .into_iter()
                .all(is_held)
        );
        // Whoever holds more than others takes from themselves.
        let more = enter(2);
        assert!(!is_held(&first) && is_held(&other) && is_held(&more));
        drop(busy);
        assert_eq!(places.held().connections.len(), 4);
    }

    #[test]
    fn of_those_at_work_one_gives_way_that_is_beyond_a_share_and_only_to_somebody_below_it() {
        let places = Places::new(4);
        let held: Vec<_> = [1, 2, 2, 2]
            .map(|last| places.enter(origin(last)).unwrap())
            .into();
        let busy: Vec<_> = held.iter().map(Place::begin).collect();
        assert!(places.enter(origin(2)).is_none());
        let third = places.enter(origin(3)).unwrap();
        assert!(!is_held(&held[1]));
        let _third = third.begin();
        // Two of four, with three others who want one.
        let fourth = places.enter(origin(4)).unwrap();
        assert!(!is_held(&held[2]));
        let _fourth = fourth.begin();
        // One each.
        for last in [1, 2, 3, 4, 5] {
            assert!(places.enter(origin(last)).is_none());
        }
        drop(busy);
        assert!(places.enter(origin(5)).is_some());
    }

    #[test]
    fn nobody_loses_the_few_that_a_client_needs() {
        let places = Places::new(2 * LAST_PLACES);
        let held: Vec<_> = (0..LAST_PLACES)
            .flat_map(|n| [n, n])
            .map(|n| places.enter(origin(u8::try_from(n).unwrap())).unwrap())
            .collect();
        let _busy: Vec<_> = held.iter().map(Place::begin).collect();
        assert!(places.enter(origin(99)).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn one_waits_for_a_place_and_not_for_ever() {
        let places = Places::new(1);
        let place = places.enter(origin(1)).unwrap();
        let busy = place.begin();
        let turns: Vec<_> = (0..MOST_WAITING)
            .map(|_| places.wait(origin(1)).unwrap())
            .collect();
        assert!(places.wait(origin(1)).is_none());
        let mut turns = turns.into_iter();
        let first = tokio::spawn(turns.next().unwrap());
        tokio::task::yield_now().await;
        drop(busy);
        drop(place);
        let taken = first.await.unwrap().unwrap();
        let _busy = taken.begin();
        assert!(turns.next().unwrap().await.is_none());
    }
}
