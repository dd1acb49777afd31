//! Deletes from the store what the catalogue's outbox names. Every deletion can be repeated; what fails stays in the
//! outbox.

use imgn_protocol::ImageId;

use crate::{
    catalogue::{Catalogue, CatalogueError, Garbage},
    error::chain,
    storage::{Storage, StorageError, keys},
};

/// Keys that are taken from the outbox at a time.
const BATCH: u32 = 64;

/// After so many failures in a row it is the store that fails, not a key.
const MOST_FAILURES: u32 = 3;

/// Deletes the objects of a picture that just became garbage, now rather than at the sweeper's next pass. A failure is
/// the sweeper's to repeat.
pub(crate) async fn collect_image(catalogue: &Catalogue, storage: &Storage, image: ImageId) {
    let keys = keys::thumbnails(image).chain([keys::original(image)]);
    for key in keys {
        collect_key(catalogue, storage, &key).await;
    }
}

/// The same for one key.
pub(crate) async fn collect_key(catalogue: &Catalogue, storage: &Storage, key: &str) {
    let collected = match catalogue.take_garbage_at(key).await {
        Ok(Some(garbage)) => collect(catalogue, storage, &garbage).await.map(|_| ()),
        Ok(None) => Ok(()),
        Err(error) => Err(error),
    };
    if let Err(error) = collected {
        tracing::warn!(
            key,
            cause = chain(&error),
            "garbage is left for the sweeper"
        );
    }
}

/// How many keys were deleted, and how many could not be.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Collected {
    pub(crate) deleted: u64,
    pub(crate) failed: u64,
}

/// Deletes everything that is due. Stops early when the store fails on one key after the other.
pub(crate) async fn collect_due(
    catalogue: &Catalogue,
    storage: &Storage,
) -> Result<Collected, CatalogueError> {
    let mut collected = Collected::default();
    let mut in_a_row = 0;
    loop {
        // What failed is not due at the moment, and neither is what another server is at.
        let batch = catalogue.take_garbage(BATCH).await?;
        if batch.is_empty() {
            return Ok(collected);
        }
        let mut batch = batch.into_iter();
        while let Some(garbage) = batch.next() {
            if collect(catalogue, storage, &garbage).await? {
                collected.deleted += 1;
                in_a_row = 0;
                continue;
            }
            collected.failed += 1;
            in_a_row += 1;
            if in_a_row == MOST_FAILURES {
                for unvisited in batch {
                    catalogue.give_garbage_back(&unvisited).await?;
                }
                return Ok(collected);
            }
        }
    }
}

/// Whether the store did it.
async fn collect(
    catalogue: &Catalogue,
    storage: &Storage,
    garbage: &Garbage,
) -> Result<bool, CatalogueError> {
    match delete(storage, garbage).await {
        Ok(()) => {
            catalogue.garbage_deleted(garbage).await?;
            Ok(true)
        }
        Err(error) => {
            tracing::warn!(
                key = garbage.key,
                cause = chain(&error),
                "garbage was not deleted"
            );
            catalogue.garbage_kept(garbage).await?;
            Ok(false)
        }
    }
}

/// Parts first: while they are open they could still become the object.
async fn delete(storage: &Storage, garbage: &Garbage) -> Result<(), StorageError> {
    if let Some(multipart) = &garbage.multipart {
        storage.abort_multipart(&garbage.key, multipart).await?;
    }
    storage.delete(&garbage.key).await
}
