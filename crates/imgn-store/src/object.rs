//! Objects: publishing, reading, copying, deleting, listing. Everything here blocks; see [`crate::blocking`].
//!
//! Invariant: a key's file is only ever replaced as a whole by a rename, under the key's lock, after the
//! conditions of the request were checked under that same lock. So a race has exactly one winner.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::conditions::{WriteConditions, now};
use crate::digest::{Checksums, Coverage, Digester};
use crate::error::{Error, unless_damaged};
use crate::index::{Entry, KeyIndex, Query};
use crate::key::{ObjectKey, UploadId};
use crate::layout::{Layout, parent, sync_directory};
use crate::ready::ReadyFiles;
use crate::record::{Record, RecordWriter, SealedRecord};
use crate::upload::Uploads;

/// Locks are striped by hash: two keys seldom share one, and when they do one waits for a rename.
const STRIPES: usize = 64;

/// An open bucket.
#[derive(Debug)]
pub(crate) struct Bucket {
    pub(crate) name: String,
    pub(crate) layout: Layout,
    index: RwLock<KeyIndex>,
    key_locks: Stripes,
    ready: ReadyFiles,
    pub(crate) open_uploads: Uploads,
    /// See [`crate::StoreConfig::max_sizes`].
    max_sizes: Vec<(String, u64)>,
    /// Locked for as long as the bucket is open.
    _lock: File,
}

/// What is known of an object beside its bytes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ObjectFooter {
    pub(crate) key: ObjectKey,
    /// Seconds since 1970.
    pub(crate) modified: u64,
    /// Without quotes.
    pub(crate) etag: String,
    #[serde(default)]
    pub(crate) checksums: Checksums,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) coverage: Option<Coverage>,
    #[serde(flatten)]
    pub(crate) headers: StoredHeaders,
    /// The multipart upload that this object was, if any: how a repeated complete is recognised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) upload_id: Option<UploadId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) parts: Option<u32>,
    /// The name of the file that it was written as, if that was one of [`ReadyFiles`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) written_as: Option<String>,
}

/// Headers that are given back as they came.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct StoredHeaders {
    pub(crate) content_type: Option<String>,
    pub(crate) content_disposition: Option<String>,
    pub(crate) content_encoding: Option<String>,
    pub(crate) content_language: Option<String>,
    pub(crate) cache_control: Option<String>,
    /// `x-amz-meta-*`, without the prefix.
    pub(crate) metadata: BTreeMap<String, String>,
}

/// A page of a listing.
#[derive(Debug)]
pub(crate) struct Listing {
    pub(crate) rows: Vec<Listed>,
    /// The key or group that the page ends with, be it shown or not.
    pub(crate) last: Option<String>,
    /// The start of the next page, when there is one.
    pub(crate) next: Option<Vec<u8>>,
}

/// A line of a listing.
#[derive(Debug)]
pub(crate) enum Listed {
    Object {
        size: u64,
        footer: Box<ObjectFooter>,
    },
    Group(String),
}

impl Bucket {
    pub(crate) fn new(
        name: String,
        layout: Layout,
        index: KeyIndex,
        lock: File,
        max_sizes: Vec<(String, u64)>,
    ) -> Self {
        Self {
            name,
            layout,
            index: RwLock::new(index),
            key_locks: Stripes::default(),
            ready: ReadyFiles::default(),
            open_uploads: Uploads::default(),
            max_sizes,
            _lock: lock,
        }
    }

    /// The most bytes that an object under this key may have.
    pub(crate) fn max_size(&self, key: &ObjectKey) -> u64 {
        let fits = |(prefix, _): &&(String, u64)| key.as_str().starts_with(prefix.as_str());
        let limit = self.max_sizes.iter().find(fits);
        limit.map_or(u64::MAX, |(_, most)| *most)
    }

    /// The object under a key, open.
    pub(crate) fn open(&self, key: &ObjectKey) -> Result<Record<ObjectFooter>, Error> {
        self.find(key)?.ok_or(Error::NoSuchKey)
    }

    pub(crate) fn find(&self, key: &ObjectKey) -> Result<Option<Record<ObjectFooter>>, Error> {
        let path = self.layout.object(key);
        let record = Record::<ObjectFooter>::open(&path)?;
        match record {
            Some(record) if record.footer.key != *key => Err(Error::Damaged {
                what: format!("{}: holds another key", path.display()),
            }),
            found => Ok(found),
        }
    }

    /// Checks conditions without taking effect: to refuse early what will be refused anyway.
    pub(crate) fn check(&self, key: &ObjectKey, conditions: &WriteConditions) -> Result<(), Error> {
        if !conditions.any() {
            return Ok(());
        }
        let current = self.find(key)?;
        conditions.check(current.as_ref().map(|record| &record.footer))
    }

    /// A place for the bytes of an object.
    pub(crate) fn writer(&self) -> Result<RecordWriter, Error> {
        Ok(RecordWriter::new(self.ready.take(&self.layout)?)?)
    }

    /// Makes a sealed record the object of its key, and answers when that is durable.
    pub(crate) fn publish(
        &self,
        sealed: SealedRecord<ObjectFooter>,
        conditions: &WriteConditions,
    ) -> Result<ObjectFooter, Error> {
        let key = sealed.footer.key.clone();
        let path = self.layout.object(&key);
        let is_durable;
        let footer = {
            let _held = self.key_locks.lock(key.as_str());
            if let Err(refusal) = self.check(&key, conditions) {
                sealed.withdraw()?;
                return Err(refusal);
            }
            is_durable = sealed.is_found_again() && !path.try_exists()?;
            let footer = sealed.rename(&path)?;
            self.index_mut(|index| index.insert(key));
            footer
        };
        if is_durable {
            self.ready.moved();
        } else {
            sync_directory(parent(&path))?;
        }
        Ok(footer)
    }

    /// Removes a key; not an error when it is absent.
    pub(crate) fn delete(
        &self,
        key: &ObjectKey,
        conditions: &WriteConditions,
    ) -> Result<(), Error> {
        let path = self.layout.object(key);
        {
            let _held = self.key_locks.lock(key.as_str());
            self.check(key, conditions)?;
            match fs::remove_file(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                other => other?,
            }
            self.index_mut(|index| index.remove(key));
        }
        sync_directory(parent(&path))?;
        Ok(self.ready.settle(&self.layout)?)
    }

    /// Copies an object to another key, or to itself with other headers.
    pub(crate) fn copy(
        &self,
        source: Record<ObjectFooter>,
        key: ObjectKey,
        headers: Option<StoredHeaders>,
        conditions: &WriteConditions,
    ) -> Result<ObjectFooter, Error> {
        let checksums = source.footer.checksums.iter();
        let algorithms = checksums.map(|(algorithm, _)| algorithm);
        let mut digester = Digester::new(algorithms, None);
        let mut writer = self.writer()?;
        source.data.for_each(|bytes| {
            digester.update(bytes);
            Ok(writer.write(bytes)?)
        })?;
        let summary = digester.finish();
        let written_as = writer.name();
        let sealed = writer.finish(ObjectFooter {
            key,
            modified: now(),
            etag: summary.etag,
            coverage: (!summary.checksums.is_empty()).then_some(Coverage::FullObject),
            checksums: summary.checksums,
            headers: headers.unwrap_or(source.footer.headers),
            upload_id: None,
            parts: None,
            written_as,
        })?;
        self.publish(sealed, conditions)
    }

    /// A page of the listing, with what the files say of each key. A damaged file is left out.
    pub(crate) fn list(&self, query: &Query) -> Listing {
        let page = self
            .index
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .list(query);
        let last = page.entries.last().map(|entry| match entry {
            Entry::Group(group) => group.clone(),
            Entry::Key(key) => key.to_string(),
        });
        let mut rows = Vec::with_capacity(page.entries.len());
        for entry in page.entries {
            match entry {
                Entry::Group(group) => rows.push(Listed::Group(group)),
                // Deleted since the page was made: not listed, and the next page starts where it would have.
                Entry::Key(key) => {
                    let found = unless_damaged("an object", self.find(&key)).flatten();
                    if let Some(record) = found {
                        let size = record.size();
                        let footer = Box::new(record.footer);
                        rows.push(Listed::Object { size, footer });
                    }
                }
            }
        }
        Listing {
            rows,
            last,
            next: page.next,
        }
    }

    fn index_mut(&self, change: impl FnOnce(&mut KeyIndex)) {
        change(&mut self.index.write().unwrap_or_else(PoisonError::into_inner));
    }
}

/// A fixed number of locks for any number of names.
#[derive(Debug)]
struct Stripes([Mutex<()>; STRIPES]);

impl Default for Stripes {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Mutex::new(())))
    }
}

impl Stripes {
    /// The lock guards no data, so a panic of its last holder poisons nothing.
    fn lock(&self, name: &str) -> MutexGuard<'_, ()> {
        let stripe = usize::from(Sha256::digest(name.as_bytes())[0]) % STRIPES;
        self.0[stripe]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// The keys of all objects on disk. Reads no file whose name spells its key.
pub(crate) fn scan(layout: &Layout) -> Result<KeyIndex, Error> {
    let mut index = KeyIndex::default();
    for shard in 0..=u8::MAX {
        for entry in fs::read_dir(layout.shard(shard))? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            match ObjectKey::from_file_name(name) {
                Some(key) => index.insert(key),
                None if crate::key::is_hashed(name) => {
                    let key = unless_damaged("an object", hashed_key(&entry.path()));
                    key.into_iter().for_each(|key| index.insert(key));
                }
                None => tracing::warn!(name, "a foreign file in the store is ignored"),
            }
        }
    }
    Ok(index)
}

fn hashed_key(path: &Path) -> Result<ObjectKey, Error> {
    let record = Record::<ObjectFooter>::open(path)?.ok_or(Error::NoSuchKey)?;
    Ok(record.footer.key)
}
