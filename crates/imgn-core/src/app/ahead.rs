//! Thumbnails are fetched before anybody asks for them, newest first, so that they are there when the server is not.
//!
//! Invariant: it is in nobody's way. It gives way to what the window asks for and to uploads, and it stops before the
//! cache would have to throw away what is newer.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt as _, stream};
use imgn_protocol::{ImageId, THUMBNAIL_SIZES};
use imgn_thumbs::DiskCache;
use imgn_upload::Engine;
use tokio::sync::Semaphore;

use super::{THUMB_SLOTS, blocking};
use crate::{CommandError, http::Server, mirror::Mirror};

/// Requests at the same time.
const AT_ONCE: usize = 3;

/// Pictures that are looked for in the cache at a time.
const BATCH: u32 = 200;

/// How long it waits before it looks again whether somebody else is busy.
const GIVE_WAY: Duration = Duration::from_millis(100);

/// How long it waits after the server did not answer, and after news before it looks what they are.
const PAUSE: Duration = Duration::from_secs(2);

pub(super) struct Ahead {
    pub(super) mirror: Arc<Mirror>,
    pub(super) server: Arc<Server>,
    pub(super) engine: Arc<Engine>,
    pub(super) cache: Arc<DiskCache>,
    pub(super) window: Arc<Semaphore>,
}

impl Ahead {
    /// Fetches whenever there is something to fetch. Never ends.
    pub(super) async fn run(self) {
        let mut view = self.mirror.view();
        // All from this place on were looked at.
        let mut looked_at = 0;
        loop {
            view.mark_unchanged();
            match self.pass(looked_at).await {
                Ok(Some(newest)) => looked_at = newest,
                Ok(None) => {}
                Err(error) => tracing::debug!("thumbnails cannot be fetched ahead now: {error}"),
            }
            tokio::time::sleep(PAUSE).await;
            // The view lives as long as the mirror.
            let _ = view.changed().await;
        }
    }

    /// From the newest down to `looked_at`, or until the cache is full. Answers the newest, where it came to the end.
    async fn pass(&self, looked_at: u64) -> Result<Option<u64>, CommandError> {
        let (mut before, mut newest) = (u64::MAX, looked_at);
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
            let cache = Arc::clone(&self.cache);
            let missing = blocking(move || {
                let is_missing = |id: &ImageId| {
                    !cache.contains(&super::gallery::thumb_key(*id, THUMBNAIL_SIZES[0]))
                };
                Ok(ids.into_iter().filter(is_missing).collect::<Vec<_>>())
            })
            .await?;
            let fetched = stream::iter(missing)
                .map(|id| self.fetch(id))
                .buffer_unordered(AT_ONCE)
                .all(async |goes_on| goes_on)
                .await;
            if !fetched {
                return Ok(None);
            }
            if is_last {
                return Ok(Some(newest));
            }
        }
    }

    /// Answers whether it is worth going on.
    async fn fetch(&self, id: ImageId) -> bool {
        while self.window.available_permits() < THUMB_SLOTS
            || self.engine.totals().bytes_per_second.is_some()
        {
            tokio::time::sleep(GIVE_WAY).await;
        }
        let limit = self.cache.max_bytes();
        if self.cache.approximate_bytes() > limit - limit / 8 {
            return false;
        }
        match self.server.thumb(id, THUMBNAIL_SIZES[0]).await {
            Ok(bytes) => {
                let cache = Arc::clone(&self.cache);
                let key = super::gallery::thumb_key(id, THUMBNAIL_SIZES[0]);
                blocking(move || {
                    cache.put(&key, &bytes).map_err(|error| {
                        CommandError::new(crate::ClientCode::DiskFailed, error.to_string())
                    })
                })
                .await
                .is_ok()
            }
            // One that there is not any more keeps none of the others.
            Err(_) => *self.server.reachable().borrow(),
        }
    }
}
