//! A bandwidth that is shared by all who hold it.
//!
//! There is no credit for idle time: it is a wire, not a quota. Invariant: over any span, no more than the rate times
//! the span and one piece has passed.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

/// Pieces in a second at full rate: small enough that a slow line looks steady.
const PIECES: u64 = 100;

const SMALLEST_PIECE: u64 = 512;
const LARGEST_PIECE: u64 = 64 * 1024;

#[derive(Debug, Clone)]
pub(super) struct Pace {
    /// In bytes a second; `None` for as fast as it goes.
    rate: Option<u64>,
    free_from: Arc<Mutex<Instant>>,
}

impl Pace {
    /// At most `rate` bytes a second; a rate of 0 is taken as 1.
    pub(super) fn new(rate: Option<u64>) -> Self {
        Self {
            rate: rate.map(|rate| rate.max(1)),
            free_from: Arc::new(Mutex::new(Instant::now())),
        }
    }

    /// How many bytes should be asked for at once.
    pub(super) fn piece(&self) -> usize {
        let piece = self.rate.map_or(LARGEST_PIECE, |rate| rate / PIECES);
        piece.clamp(SMALLEST_PIECE, LARGEST_PIECE) as usize
    }

    /// Waits until `bytes` more have passed.
    pub(super) async fn pass(&self, bytes: usize) {
        let Some(rate) = self.rate else { return };
        let until = {
            let mut free_from = self
                .free_from
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            let start = (*free_from).max(Instant::now());
            *free_from = start + Duration::from_secs_f64(bytes as f64 / rate as f64);
            *free_from
        };
        sleep_until(until).await;
    }
}
