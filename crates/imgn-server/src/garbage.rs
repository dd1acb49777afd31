//! Deletes from the store what the catalogue's outbox names. Every deletion can be repeated; what fails stays in the
//! outbox.

use imgn_protocol::ImageId;

use crate::{
    catalogue::{Catalogue, CatalogueError, Garbage},
    error::chain,
    storage::{Storage, keys},
};

/// Keys that are taken from the outbox at a time.
const BATCH: u32 = 256;

/// Deletes the objects of a picture that just became garbage, now rather than at the sweeper's next pass. A failure is
/// the sweeper's to repeat.
pub(crate) async fn collect_image(catalogue: &Catalogue, storage: &Storage, image: ImageId) {
    let keys = keys::thumbnails(image).chain([keys::original(image)]);
    for key in keys {
        let collected = match catalogue.garbage_at(&key).await {
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
}

/// Deletes everything that is due; answers how many objects. Stops early when the store fails.
pub(crate) async fn collect_due(
    catalogue: &Catalogue,
    storage: &Storage,
) -> Result<u64, CatalogueError> {
    let mut deleted = 0;
    loop {
        let batch = catalogue.garbage_due(BATCH).await?;
        if batch.is_empty() {
            return Ok(deleted);
        }
        for garbage in batch {
            if !collect(catalogue, storage, &garbage).await? {
                return Ok(deleted);
            }
            deleted += 1;
        }
    }
}

/// Whether the store did it.
async fn collect(
    catalogue: &Catalogue,
    storage: &Storage,
    garbage: &Garbage,
) -> Result<bool, CatalogueError> {
    match storage.delete(&garbage.key).await {
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
