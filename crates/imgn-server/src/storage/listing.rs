//! What is in the bucket, by pages, in the order of keys.

use super::{Storage, StorageError, fault, multipart::strange};

/// Some of the objects whose key begins so.
pub(crate) struct Page {
    pub(crate) objects: Vec<Listed>,
    /// After which key the next one begins; `None` for the last.
    pub(crate) next: Option<String>,
}

/// An object as the store lists it.
pub(crate) struct Listed {
    pub(crate) key: String,
    /// When it was stored, by the store's clock; milliseconds since 1970. The end of time where the store does not say.
    pub(crate) modified: i64,
}

impl Storage {
    /// The page after a key: 1000 objects at most, as S3 has it.
    pub(crate) async fn page(
        &self,
        prefix: &str,
        after: Option<&str>,
    ) -> Result<Page, StorageError> {
        const ACTION: &str = "list the objects";
        let listed = self
            .client
            .list_objects_v2()
            .bucket(&self.bucket)
            .prefix(prefix)
            .set_start_after(after.map(ToOwned::to_owned))
            .send()
            .await
            .map_err(|error| fault(ACTION, error))?;
        let last = listed.contents().last().and_then(|object| object.key());
        let next = match listed.is_truncated() {
            Some(true) if last.is_none() || last <= after => {
                return Err(strange(ACTION, "its pages do not go on"));
            }
            Some(true) => last.map(ToOwned::to_owned),
            _ => None,
        };
        let objects = listed.contents().iter().filter_map(|object| {
            // Not every engine heeds the prefix.
            let key = object.key().filter(|key| key.starts_with(prefix))?;
            let modified = object
                .last_modified()
                .and_then(|time| time.to_millis().ok());
            Some(Listed {
                key: key.to_owned(),
                modified: modified.unwrap_or(i64::MAX),
            })
        });
        Ok(Page {
            objects: objects.collect(),
            next,
        })
    }
}
