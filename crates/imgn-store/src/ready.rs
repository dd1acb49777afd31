//! Files whose names are on disk before anything is in them, so that an object costs one sync and not two.
//!
//! A new file is lost in a power cut unless its directory was synced too, and moving it to its place needs that again.
//! Here a batch of empty files is made and their directory synced once for all. An object is written into one, synced,
//! and moved; if a power cut takes the move back, [`recover`] finds the file under its first name and moves it again.
//!
//! Invariants:
//! - A whole record in here at the next opening is an object that was answered for, or was about to be: one that is
//!   refused is emptied before the refusal is answered, and one that takes the place of another is moved in the durable
//!   way. So it is moved only to a key that has no object.
//! - No body can pass itself off as such a record: a record counts only if it bears the name of its file, which is
//!   random and told to nobody.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::error::Error;
use crate::layout::{Layout, TempPath, parent, sync_directory};
use crate::object::ObjectFooter;
use crate::record::Record;

/// Files made at once: enough that the sync of their directory does not count, few enough that the first request does
/// not wait.
const BATCH: usize = 32;

/// Empty files, to be taken one by one.
#[derive(Debug, Default)]
pub(crate) struct ReadyFiles {
    files: Mutex<Vec<TempPath>>,
    /// Whether a file left the directory since that was last synced.
    moved: AtomicBool,
}

impl ReadyFiles {
    /// An empty file that keeps its name in a power cut until it is moved.
    pub(crate) fn take(&self, layout: &Layout) -> io::Result<TempPath> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        if files.is_empty() {
            // Together in a variable first: what was made is removed again if the disk refuses one of them.
            let batch = (0..BATCH).map(|_| {
                let place = layout.fresh_ready();
                File::create_new(place.path()).map(|_| place)
            });
            let batch: Vec<_> = batch.collect::<io::Result<_>>()?;
            sync_directory(&layout.ready())?;
            *files = batch;
        }
        files
            .pop()
            .ok_or_else(|| io::Error::other("no file was made ready"))
    }

    /// Says that a file was moved to its place, and its new directory not synced.
    pub(crate) fn moved(&self) {
        self.moved.store(true, Ordering::Release);
    }

    /// Makes sure that no file that was moved comes back under its first name.
    pub(crate) fn settle(&self, layout: &Layout) -> io::Result<()> {
        if self.moved.swap(false, Ordering::AcqRel) {
            let synced = sync_directory(&layout.ready());
            if synced.is_err() {
                self.moved();
            }
            return synced;
        }
        Ok(())
    }
}

/// Ends the moves that a power cut took back, and removes what was not finished. Before anything else is read.
pub(crate) fn recover(layout: &Layout) -> Result<(), Error> {
    let mut shards = BTreeSet::new();
    for entry in fs::read_dir(layout.ready())? {
        let path = entry?.path();
        let destination = whole_record(&path)?
            .map(|footer| layout.object(&footer.key))
            .filter(|destination| !destination.exists());
        match destination {
            Some(destination) => {
                fs::rename(&path, &destination)?;
                shards.insert(parent(&destination).to_owned());
            }
            None => fs::remove_file(path)?,
        }
    }
    for shard in shards {
        sync_directory(&shard)?;
    }
    Ok(sync_directory(&layout.ready())?)
}

/// What a file says of itself, if it was written to its end as this very file.
fn whole_record(path: &Path) -> Result<Option<ObjectFooter>, Error> {
    if fs::metadata(path)?.len() == 0 {
        return Ok(None);
    }
    let footer = match Record::<ObjectFooter>::open(path) {
        Ok(record) => record.map(|record| record.footer),
        // A body that broke off.
        Err(Error::Damaged { .. }) => None,
        Err(other) => return Err(other),
    };
    let name = path.file_name().and_then(|name| name.to_str());
    Ok(footer.filter(|footer| footer.written_as.is_some() && footer.written_as.as_deref() == name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conditions::WriteConditions;
    use crate::key::ObjectKey;

    #[test]
    fn a_refused_record_does_not_come_back() {
        let directory = tempfile::tempdir().unwrap();
        let bucket =
            crate::open_bucket("bucket".into(), directory.path().join("bucket"), vec![]).unwrap();
        let mut writer = bucket.writer().unwrap();
        let name = writer.name().unwrap();
        writer.write(b"bytes").unwrap();
        let footer = ObjectFooter {
            key: ObjectKey::new("key").unwrap(),
            modified: 0,
            etag: String::new(),
            checksums: Default::default(),
            coverage: None,
            headers: Default::default(),
            upload_id: None,
            parts: None,
            written_as: Some(name.clone()),
        };
        let sealed = writer.finish(footer).unwrap();
        // What a power cut may leave of a file that was removed.
        let file = bucket.layout.ready().join(name);
        let kept = directory.path().join("kept");
        fs::hard_link(&file, &kept).unwrap();
        assert!(whole_record(&file).unwrap().is_some());

        let conditions = WriteConditions {
            if_match: Some(s3s::dto::ETagCondition::Any),
            if_none_match: None,
        };
        bucket.publish(sealed, &conditions).unwrap_err();
        assert!(!file.exists());
        assert_eq!(fs::metadata(kept).unwrap().len(), 0);
    }
}
