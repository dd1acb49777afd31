//! Objects in the store that no row of the catalogue names: of a server that was killed between the two, or of a catalogue that
//! was restored as it had been before they came.
//!
//! It is not the sweeper's pass, which does what requests could have done: this lists the bucket, so it is done by itself,
//! seldom, and beside everything else. Not here: multipart uploads that nobody knows, see `sweep`.
//!
//! By themselves only questions to the store go, and what was sent and is not published. Pictures are counted where an operator
//! asks, and removed where they say so: those of a second gallery in the bucket, or of a catalogue whose newer state is
//! elsewhere, look from here as if nobody needed them.
//!
//! Invariant: nothing is removed that a row may still come for. A row comes before its object, or within [`Timing`]'s
//! `forget_objects_after` of it; what a catalogue does not know is removed only when it is older. And no picture is removed where
//! the catalogue had none before it was begun, or knows fewer of the bucket's than it does not know; nor one that it knew then,
//! whatever became of the catalogue since. Any number of servers may be at it.
//!
//! [`Timing`]: crate::Timing

use std::{collections::HashSet, path::PathBuf};

use futures_util::{StreamExt as _, stream};
use imgn_protocol::{ImageId, Timestamp};

use crate::{
    catalogue::{Catalogue, CatalogueError},
    error::chain,
    staging::milliseconds,
    start::StartError,
    state::App,
    storage::{Storage, StorageError, keys},
    sweep::Swept,
};

/// How often it is looked within the age at which objects are removed.
const LOOKS_PER_AGE: u32 = 30;

/// Deletions under way at a time.
const AT_A_TIME: usize = 8;

/// Where nothing that is published lies.
const PASSING: [&str; 2] = [keys::STAGED, keys::PROBES];

/// Where pictures lie.
const PICTURES: [&str; 2] = [keys::ORIGINALS, keys::THUMBNAILS];

/// What a sweep does with old objects of pictures that the catalogue does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownPictures {
    /// It counts them.
    Count,
    /// It removes them: nobody else has pictures in the bucket, and the catalogue is the newest that there is.
    Remove,
}

/// Why it was not swept.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// It could not be begun.
    #[error(transparent)]
    Start(#[from] StartError),
    /// A server runs that has the catalogue or the store for itself alone.
    #[error(
        "an imgn-server runs on the data directory {}, and sweeps by itself once a minute; to sweep by this command, stop it first",
        path.display()
    )]
    ServerRuns {
        /// Where.
        path: PathBuf,
    },
    /// There is nothing to sweep.
    #[error("there is no gallery at {database}; --data-dir and --database say where it is")]
    NoGallery {
        /// Where it was looked for.
        database: String,
    },
    /// To sweep would bring the catalogue to this version, under servers of an earlier one.
    #[error(
        "the catalogue {database} is of an earlier version: sweep by the imgn-server that it is served with, or start this version's \
         server on it first"
    )]
    Older {
        /// Which.
        database: String,
    },
    /// Every picture in the bucket would be removed.
    #[error(
        "the catalogue has no picture, so none of the bucket's is known to it, and nothing was removed: check --database and \
         --data-dir, or import the gallery first"
    )]
    NoPictures,
    /// It is not this catalogue's bucket, or not that one's alone.
    #[error(
        "the catalogue knows {known} old pictures of the bucket and does not know {unknown}, and nothing was removed: it is another \
         gallery's bucket, or the catalogue was restored from far back; check --database and --s3-bucket"
    )]
    MostlyUnknown {
        /// Those that it knows.
        known: u64,
        /// Those that it does not.
        unknown: u64,
    },
    /// The catalogue.
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    /// The store.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Objects that are old enough.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Found {
    known: u64,
    unknown: u64,
}

/// What is done about objects that nobody knows.
enum Then<'a> {
    /// Nothing: they are counted.
    Count,
    /// It is noted whose they are.
    Note(&'a mut HashSet<ImageId>),
    /// They are removed; of these only, where that is said.
    Remove(&'a mut Swept, Option<&'a HashSet<ImageId>>),
}

/// Looks now and then until the server stops.
pub(crate) async fn run(app: App) {
    let mut pause = app.config.timing.first_look_for_objects;
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

/// Removes what nobody knows of what was sent, and of questions.
pub(crate) async fn sweep(app: &App, swept: &mut Swept) {
    let removed = Looker::of(app).sweep(swept).await;
    swept.done("look for objects that nobody knows", removed.map(|()| true));
}

/// Counts the objects of pictures that nobody knows.
pub(crate) async fn count(app: &App, swept: &mut Swept) {
    match Looker::of(app).count().await {
        Ok(unknown) => swept.unknown += unknown,
        Err(error) => swept.failed("count objects that nobody knows", &error),
    }
}

/// Removes the objects of pictures that nobody knows.
pub(crate) async fn remove(app: &App, swept: &mut Swept) -> Result<(), SweepError> {
    let looker = Looker::of(app);
    let pictures = looker.unknown().await?;
    looker.remove(&pictures, swept).await
}

/// Looks through a bucket.
pub(crate) struct Looker<'a> {
    pub(crate) catalogue: &'a Catalogue,
    pub(crate) storage: &'a Storage,
    /// What was stored later is left alone, in milliseconds since 1970.
    pub(crate) newest: i64,
}

impl<'a> Looker<'a> {
    fn of(app: &'a App) -> Self {
        let age = milliseconds(app.config.timing.forget_objects_after);
        Self {
            catalogue: &app.catalogue,
            storage: &app.storage,
            newest: Timestamp::now().as_millisecond() - age,
        }
    }

    pub(crate) async fn sweep(&self, swept: &mut Swept) -> Result<(), SweepError> {
        for prefix in PASSING {
            self.walk(prefix, Then::Remove(swept, None)).await?;
        }
        Ok(())
    }

    pub(crate) async fn count(&self) -> Result<u64, SweepError> {
        let mut unknown = 0;
        for prefix in PICTURES {
            unknown += self.walk(prefix, Then::Count).await?.unknown;
        }
        Ok(unknown)
    }

    /// Which pictures nobody knows; refused where the catalogue cannot be the one to ask.
    pub(crate) async fn unknown(&self) -> Result<HashSet<ImageId>, SweepError> {
        // Once: the first picture may be published while all this goes on, and tells nothing of the others.
        if !self.catalogue.has_pictures().await? {
            return Err(SweepError::NoPictures);
        }
        let mut pictures = HashSet::new();
        let Found { known, unknown } = self
            .walk(keys::ORIGINALS, Then::Note(&mut pictures))
            .await?;
        if unknown > known {
            return Err(SweepError::MostlyUnknown { known, unknown });
        }
        self.walk(keys::THUMBNAILS, Then::Note(&mut pictures))
            .await?;
        Ok(pictures)
    }

    /// Removes of these what nobody knows still. Asked by itself, a catalogue that was emptied or restored meanwhile would know
    /// nothing of the others either.
    pub(crate) async fn remove(
        &self,
        pictures: &HashSet<ImageId>,
        swept: &mut Swept,
    ) -> Result<(), SweepError> {
        for prefix in PICTURES {
            self.walk(prefix, Then::Remove(swept, Some(pictures)))
                .await?;
        }
        Ok(())
    }

    /// Goes through what is old enough, page by page.
    async fn walk(&self, prefix: &str, mut then: Then<'_>) -> Result<Found, SweepError> {
        let (mut found, mut next) = (Found::default(), None::<String>);
        loop {
            let page = self.storage.page(prefix, next.as_deref()).await?;
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
            let orphans = objects.iter().filter(|(_, id)| unknown.contains(*id));
            let orphans: Vec<_> = orphans.copied().collect();
            found.unknown += orphans.len() as u64;
            found.known += (objects.len() - orphans.len()) as u64;
            match &mut then {
                Then::Count => {}
                Then::Note(pictures) => {
                    pictures.extend(orphans.iter().filter_map(|(_, id)| picture(id)));
                }
                Then::Remove(swept, only) => {
                    let removed = orphans.iter().filter(|(_, id)| {
                        only.is_none_or(|only| picture(id).is_some_and(|it| only.contains(&it)))
                    });
                    let removed = removed.map(|(key, _)| (*key).to_owned()).collect();
                    self.delete(removed, swept).await;
                }
            }
            match page.next {
                Some(token) => next = Some(token),
                None => return Ok(found),
            }
        }
    }

    /// What cannot be removed is found again at the next look.
    async fn delete(&self, orphans: Vec<String>, swept: &mut Swept) {
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

fn picture(id: &str) -> Option<ImageId> {
    id.parse().ok()
}
