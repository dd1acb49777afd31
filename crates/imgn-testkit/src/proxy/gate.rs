//! A place where something waits until a test lets it go on.
//!
//! Not a clock: nothing here passes by itself. Invariant: once released, a gate stays open.

use std::sync::Arc;

use tokio::sync::watch;

/// A closed gate; its clones are the same gate.
#[derive(Debug, Clone)]
pub struct Gate(Arc<State>);

#[derive(Debug)]
struct State {
    open: watch::Sender<bool>,
    arrived: watch::Sender<u64>,
}

impl Gate {
    /// A closed gate that nobody has come to.
    #[must_use]
    pub fn closed() -> Self {
        Self(Arc::new(State {
            open: watch::Sender::new(false),
            arrived: watch::Sender::new(0),
        }))
    }

    /// Lets all pass, who wait now and who come later.
    pub fn release(&self) {
        self.0.open.send_replace(true);
    }

    /// Waits until at least `count` have come to it.
    pub async fn reached(&self, count: u64) {
        let mut arrived = self.0.arrived.subscribe();
        // The sender lives as long as this does.
        let _ = arrived.wait_for(|&arrived| arrived >= count).await;
    }

    pub(super) async fn pass(&self) {
        self.0.arrived.send_modify(|arrived| *arrived += 1);
        let _ = self.0.open.subscribe().wait_for(|&open| open).await;
    }
}
