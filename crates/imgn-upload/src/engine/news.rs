//! Hears which uploads were published while many wait for that: one question about the newest pictures stands for many
//! questions about one upload each.
//!
//! Not how an upload ends: what is not among the newest, because it was rejected or others send even more, is asked about
//! by itself, only less often. Invariant: somebody asks for as long as more than [`FEW`] wait.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use imgn_protocol::{Image, Sha256};
use tokio::{
    sync::oneshot,
    time::{sleep, timeout},
};

use super::Inner;

/// So few ask each for themselves: they hear of it sooner.
pub(super) const FEW: usize = 8;

/// How often the newest pictures are asked for.
const EVERY: Duration = Duration::from_millis(500);

/// The most pictures that an answer may have, as the server has it.
const MOST: usize = 500;

/// Somewhat more are asked for than wait: others send too, and what was published before it was waited for is older.
const MORE: usize = 50;

/// After so many answers without a word for anybody, each asks for itself: what they wait for may be too old to be among
/// the newest.
const PATIENCE: u32 = 8;

/// Who waits for the picture of which bytes.
#[derive(Default)]
pub(super) struct News(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    by_sum: BTreeMap<Sha256, Vec<oneshot::Sender<Image>>>,
    is_asked_for: bool,
}

impl Waiting {
    /// Who has stopped waiting.
    fn forget_gone(&mut self) {
        self.by_sum.retain(|_, waiting| {
            waiting.retain(|sender| !sender.is_closed());
            !waiting.is_empty()
        });
    }
}

impl Inner {
    /// Waits for the picture of these bytes for so long; `None` if it was not heard of by then, or if so few wait that each
    /// asks for itself.
    pub(super) async fn news_of(self: &Arc<Self>, sum: Sha256, time: Duration) -> Option<Image> {
        let heard = self.news.subscribe(sum);
        if self.news.wants_asking() {
            self.tasks.spawn(Arc::clone(self).ask_for_news());
        }
        timeout(time, heard).await.ok()?.ok()
    }

    async fn ask_for_news(self: Arc<Self>) {
        let mut in_vain = 0;
        loop {
            tokio::select! {
                () = self.quit.cancelled() => return,
                () = sleep(EVERY) => {}
            }
            let Some(waiting) = self.news.how_many(in_vain < PATIENCE) else {
                return;
            };
            if self.known().offline.is_some() {
                continue;
            }
            let wanted = (waiting * 2 + MORE).min(MOST);
            match self.unless_asleep(self.remote.newest(wanted)).await {
                Ok(images) if self.news.tell(&images) => in_vain = 0,
                Ok(_) => in_vain += 1,
                // Whoever waits asks by itself then, and judges what it hears.
                Err(failure) => tracing::debug!(reason = failure.describe(), "no news"),
            }
        }
    }
}

impl News {
    fn subscribe(&self, sum: Sha256) -> oneshot::Receiver<Image> {
        let (sender, receiver) = oneshot::channel();
        self.waiting().by_sum.entry(sum).or_default().push(sender);
        receiver
    }

    /// Whether somebody is to begin to ask. Whoever is told so does.
    fn wants_asking(&self) -> bool {
        let mut waiting = self.waiting();
        if waiting.is_asked_for || waiting.by_sum.len() <= FEW {
            return false;
        }
        waiting.forget_gone();
        waiting.is_asked_for = waiting.by_sum.len() > FEW;
        waiting.is_asked_for
    }

    /// How many wait; `None` when they are few, or it is no use, and whoever asks need not go on: each of them asks for
    /// itself, at once.
    fn how_many(&self, is_of_use: bool) -> Option<usize> {
        let mut waiting = self.waiting();
        waiting.forget_gone();
        if waiting.by_sum.len() > FEW && is_of_use {
            return Some(waiting.by_sum.len());
        }
        *waiting = Waiting::default();
        None
    }

    /// Answers whether there was a word for anybody.
    fn tell(&self, images: &[Image]) -> bool {
        let mut waiting = self.waiting();
        let mut is_heard = false;
        for image in images {
            for sender in waiting.by_sum.remove(&image.sha256).unwrap_or_default() {
                // It may have given up meanwhile.
                is_heard |= sender.send(image.clone()).is_ok();
            }
        }
        is_heard
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // Nothing that holds it can panic halfway through a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
