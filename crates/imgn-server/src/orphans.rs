//! Objects in the store that no row of the catalogue names: of a server that was killed between the two, or of a catalogue that
//! was restored as it had been before they came.
//!
//! It is not the sweeper's pass, which does what requests could have done: this lists the whole bucket, so it is done by itself,
//! seldom, and beside everything else. Not here: multipart uploads that nobody knows, see `sweep`.
//!
//! Invariant: nothing is removed that a row may still come for. A row comes before its object, or within [`Timing`]'s
//! `forget_objects_after` of it; what a catalogue does not know is removed only when it is older. And a catalogue that knows fewer
//! pictures of a bucket than it does not know is not that bucket's: then nothing is removed at all. Any number of servers may be
//! at it.
//!
//! [`Timing`]: crate::Timing

use std::{collections::HashSet, time::Duration};

use futures_util::{StreamExt as _, stream};
use imgn_protocol::Timestamp;

use crate::{
    catalogue::Catalogue,
    error::{ApiError, chain},
    staging::milliseconds,
    state::App,
    storage::{Storage, keys},
    sweep::Swept,
};

/// How long after a server's start it looks for the first time. Whoever has restored a catalogue has seen by then what it shows.
const FIRST: Duration = Duration::from_secs(60 * 60);

/// How often it is looked within the age at which objects are removed. It lists the whole bucket.
const LOOKS_PER_AGE: u32 = 30;

/// Deletions under way at a time.
const AT_A_TIME: usize = 8;

/// Objects that are old enough.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Found {
    known: u64,
    unknown: u64,
}

/// Looks now and then until the server stops.
pub(crate) async fn run(app: App) {
    let mut pause = FIRST;
    loop {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = app.stopping.cancelled() => return,
        }
        pause = app.config.timing.forget_objects_after / LOOKS_PER_AGE;
        let mut swept = Swept::default();
        tokio::select! {
            () = sweep(&app, &mut swept) => {}
            () = app.stopping.cancelled() => return,
        }
        app.metrics.swept(swept);
        if swept != Swept::default() {
            tracing::info!(swept.deleted, swept.failures, "removed what nobody knows");
        }
    }
}

/// Removes what nobody knows.
pub(crate) async fn sweep(app: &App, swept: &mut Swept) {
    let age = milliseconds(app.config.timing.forget_objects_after);
    let newest = Timestamp::now().as_millisecond() - age;
    let bucket = Looker {
        catalogue: &app.catalogue,
        storage: &app.storage,
        newest,
    };
    if let Err(error) = bucket.sweep(swept).await {
        swept.failed("look for objects that nobody knows", &error);
    }
}

/// Looks through a bucket.
pub(crate) struct Looker<'a> {
    pub(crate) catalogue: &'a Catalogue,
    pub(crate) storage: &'a Storage,
    /// What was stored later is left alone, in milliseconds since 1970.
    pub(crate) newest: i64,
}

impl Looker<'_> {
    pub(crate) async fn sweep(&self, swept: &mut Swept) -> Result<(), ApiError> {
        let originals = self.walk(keys::ORIGINALS, None).await?;
        if originals.unknown > originals.known {
            tracing::warn!(
                originals.known,
                originals.unknown,
                "most pictures in the bucket are unknown to the catalogue, so it is that of another gallery, or was restored \
                 from a far older one: nothing is removed"
            );
            swept.failures += 1;
            return Ok(());
        }
        if originals.unknown > 0 {
            self.walk(keys::ORIGINALS, Some(swept)).await?;
        }
        for prefix in [keys::THUMBNAILS, keys::STAGED, keys::PROBES] {
            self.walk(prefix, Some(swept)).await?;
        }
        Ok(())
    }

    /// Goes through what is old enough, page by page, and removes what nobody knows where that is to be noted.
    async fn walk(&self, prefix: &str, mut removed: Option<&mut Swept>) -> Result<Found, ApiError> {
        let (mut found, mut after) = (Found::default(), None::<String>);
        loop {
            let page = self.storage.page(prefix, after.as_deref()).await?;
            let old = page
                .objects
                .iter()
                .filter(|object| object.modified <= self.newest);
            let objects: Vec<_> = old
                .filter_map(|object| Some((object.key.as_str(), keys::id(&object.key)?)))
                .collect();
            let ids: HashSet<_> = objects.iter().map(|(_, id)| *id).collect();
            let ids: Vec<_> = ids.into_iter().collect();
            let unknown: HashSet<String> = match ids.is_empty() {
                true => HashSet::new(),
                false => self.catalogue.unknown(&ids).await?.into_iter().collect(),
            };
            let orphans: Vec<_> = objects
                .iter()
                .filter(|(_, id)| unknown.contains(*id))
                .map(|(key, _)| (*key).to_owned())
                .collect();
            found.unknown += orphans.len() as u64;
            found.known += (objects.len() - orphans.len()) as u64;
            if let Some(swept) = removed.as_deref_mut() {
                self.remove(orphans, swept).await;
            }
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(found),
            }
        }
    }

    /// What cannot be removed is found again at the next look.
    async fn remove(&self, orphans: Vec<String>, swept: &mut Swept) {
        let deletions = stream::iter(orphans).map(|key| async move {
            let deleted = self.storage.delete(&key).await;
            (key, deleted)
        });
        let mut deletions = std::pin::pin!(deletions.buffer_unordered(AT_A_TIME));
        while let Some((key, deleted)) = deletions.next().await {
            match deleted {
                Ok(()) => {
                    tracing::info!(key, "removed an object that nobody knows");
                    swept.deleted += 1;
                }
                Err(error) => {
                    tracing::warn!(
                        key,
                        cause = chain(&error),
                        "an object that nobody knows was not removed"
                    );
                    swept.failures += 1;
                }
            }
        }
    }
}
