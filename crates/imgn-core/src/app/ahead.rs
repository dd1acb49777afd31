//! Thumbnails are fetched before anybody asks for them, newest first, so that they are there when the server is not.
//!
//! Invariant: it is in nobody's way. It gives way to what the window asks for and to uploads, and it stops before the
//! cache would have to throw away what is newer.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::{StreamExt as _, stream};
use imgn_protocol::{ErrorCode, ImageId, THUMBNAIL_SIZES};
use imgn_upload::Engine;
use tokio::sync::Semaphore;

use super::{THUMB_SLOTS, gallery::thumb_key};
use crate::{CommandError, MirrorPhase, cache::Cache, http::Server, mirror::Mirror};

/// The grid's.
const SIZE: u32 = THUMBNAIL_SIZES[0];

/// Requests at the same time.
const AT_ONCE: usize = 3;

/// Pictures that are looked for in the cache at a time.
const BATCH: u32 = 200;

/// How long it waits before it looks again whether somebody else is busy.
const GIVE_WAY: Duration = Duration::from_millis(100);

/// How long it waits after the server did not answer, and after news before it looks what they are.
const PAUSE: Duration = Duration::from_secs(2);

/// Thumbnails that may fail one after the other before the server is left alone for a while.
const PATIENCE: u32 = 8;

pub(super) struct Ahead {
    pub(super) mirror: Arc<Mirror>,
    pub(super) server: Arc<Server>,
    pub(super) engine: Arc<Engine>,
    pub(super) cache: Arc<Cache>,
    pub(super) window: Arc<Semaphore>,
}

impl Ahead {
    /// Fetches whenever there is something to fetch. Never ends.
    pub(super) async fn run(self) {
        let mut view = self.mirror.view();
        // All from this place on were looked at, with so much room and so many thumbnails here afterwards.
        let mut looked_at = 0;
        let mut then = (0, 0);
        // The first screen comes first, and looking for what is missing of a large gallery takes a processor.
        tokio::time::sleep(PAUSE).await;
        loop {
            // The first fill brings the oldest first, which are wanted last.
            if view.borrow_and_update().phase == MirrorPhase::Filling {
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            match self.room().await {
                // There is more room, or somebody cleared the cache: what is older may fit now.
                Ok((limit, entries)) if limit > then.0 || entries < then.1 / 8 * 7 => looked_at = 0,
                _ => {}
            }
            match self.pass(looked_at).await {
                Ok(Some(newest)) => {
                    looked_at = newest;
                    then = self.room().await.unwrap_or(then);
                }
                Ok(None) => {}
                Err(error) => tracing::debug!("thumbnails cannot be fetched ahead now: {error}"),
            }
            tokio::time::sleep(PAUSE).await;
            // The view lives as long as the mirror.
            let _ = view.changed().await;
        }
    }

    /// The cache's bound in bytes, and how many are in it.
    async fn room(&self) -> Result<(u64, u64), CommandError> {
        let usage = self.cache.usage().await?;
        Ok((self.cache.max_bytes(), usage.entries))
    }

    /// From the newest down to `looked_at`, or until as much was fetched as fits. Answers the newest, unless the server
    /// went away or the disk is full: then all of it is to be looked at again.
    async fn pass(&self, looked_at: u64) -> Result<Option<u64>, CommandError> {
        // The newest that fit: what is there already counts as one of usual size, and what is older has to give way.
        let limit = self.cache.max_bytes();
        let budget = AtomicU64::new(limit - limit / 8);
        let usage = self.cache.usage().await?;
        let usual = usage.bytes / usage.entries.max(1);
        let (mut before, mut newest) = (u64::MAX, looked_at);
        let mut failed_in_a_row = 0;
        loop {
            let batch = self.mirror.before(before, BATCH).await?;
            let Some((last, _)) = batch.last() else {
                return Ok(Some(newest));
            };
            before = *last;
            newest = newest.max(batch.first().map_or(0, |(sequence, _)| *sequence));
            let ids: Vec<ImageId> = batch
                .iter()
                .filter(|(sequence, _)| *sequence > looked_at)
                .map(|(_, id)| *id)
                .collect();
            let is_last = ids.len() < batch.len();
            let keys = ids.iter().map(|id| thumb_key(*id, SIZE)).collect();
            let missing = self.cache.missing(keys).await?;
            let here = (ids.len().saturating_sub(missing.len())) as u64;
            let left = budget.load(Ordering::Relaxed);
            budget.store(left.saturating_sub(here * usual), Ordering::Relaxed);
            let missing = ids
                .into_iter()
                .filter(|id| missing.contains(&thumb_key(*id, SIZE)));
            let mut fetching = stream::iter(missing)
                .map(|id| self.fetch(id, &budget))
                .buffer_unordered(AT_ONCE);
            while let Some(fetched) = fetching.next().await {
                match fetched {
                    Fetched::GoOn => failed_in_a_row = 0,
                    Fetched::Failed if failed_in_a_row < PATIENCE => failed_in_a_row += 1,
                    Fetched::Full => return Ok(Some(newest)),
                    Fetched::Failed | Fetched::Away => return Ok(None),
                }
            }
            if is_last {
                return Ok(Some(newest));
            }
        }
    }

    async fn fetch(&self, id: ImageId, budget: &AtomicU64) -> Fetched {
        while self.window.available_permits() < THUMB_SLOTS
            || self.engine.totals().bytes_per_second.is_some()
        {
            tokio::time::sleep(GIVE_WAY).await;
        }
        if budget.load(Ordering::Relaxed) == 0 {
            return Fetched::Full;
        }
        let bytes = match self.server.thumb(id, SIZE).await {
            Ok(bytes) => bytes,
            // One that there is not any more keeps none of the others.
            Err(error) if error.code == ErrorCode::NotFound.into() => return Fetched::GoOn,
            Err(_) if *self.server.reachable().borrow() => return Fetched::Failed,
            Err(_) => return Fetched::Away,
        };
        let size = bytes.len() as u64;
        match self.cache.put(&thumb_key(id, SIZE), bytes).await {
            Ok(()) => {
                let left = budget.load(Ordering::Relaxed).saturating_sub(size);
                budget.store(left, Ordering::Relaxed);
                Fetched::GoOn
            }
            // The disk is full: no other one would fit either.
            Err(_) => Fetched::Away,
        }
    }
}

/// What became of one thumbnail.
enum Fetched {
    GoOn,
    /// This one did not come, though the server answers. Whoever looks at it asks for it again.
    Failed,
    /// As many are here as are to be.
    Full,
    /// No other one would come, or stay, either.
    Away,
}
