//! Where a gallery's objects are read from, also while its server runs.
//!
//! Invariant: nothing is written here. That there is no object is no error, and what is wrong with one object is told apart
//! from what is wrong with all of them.

use std::io;

use bytes::Bytes;
use imgn_store::{Reader, Reading};

use super::BackupError;
use crate::{
    config::{Config, StorageConfig},
    storage::{BUCKET, Object, Storage, StorageError},
};

/// A store that is read.
pub(super) enum Source {
    /// The embedded store's files, which its server has open.
    Files(Reader),
    Bucket(Storage),
}

/// Why an object cannot be read.
#[derive(Debug)]
pub(super) enum Unread {
    /// It alone is not as it was.
    Damaged(String),
    Store(StorageError),
}

/// An object that is read.
pub(super) enum Found {
    File(Reading),
    Object(Object),
}

impl Source {
    pub(super) async fn open(config: &Config) -> Result<Self, BackupError> {
        Ok(match &config.storage {
            StorageConfig::Embedded => {
                let root = config.data_dir.join("store");
                let reader = Reader::open(&root, BUCKET);
                Self::Files(reader.map_err(BackupError::file(root))?)
            }
            StorageConfig::S3(s3) => Self::Bucket(Storage::s3(s3, config.url_ttl).await),
        })
    }

    pub(super) async fn get(&self, key: &str) -> Result<Option<Found>, Unread> {
        Ok(match self {
            Self::Files(reader) => reader.get(key).await.map_err(broken)?.map(Found::File),
            Self::Bucket(storage) => {
                let found = storage.get(key).await.map_err(Unread::Store)?;
                found.map(Found::Object)
            }
        })
    }
}

impl Found {
    pub(super) async fn chunk(&mut self) -> Result<Option<Bytes>, Unread> {
        match self {
            Self::File(reading) => reading.chunk().await.map_err(broken),
            Self::Object(object) => object.chunk().await.map_err(Unread::Store),
        }
    }

    /// As it is announced.
    pub(super) fn size(&self) -> u64 {
        match self {
            Self::File(reading) => reading.size(),
            Self::Object(object) => object.size,
        }
    }
}

fn broken(error: io::Error) -> Unread {
    use io::ErrorKind::{InvalidData, UnexpectedEof};

    /// A sector that cannot be read (EIO).
    const UNREADABLE: i32 = 5;

    let is_its_own = matches!(error.kind(), InvalidData | UnexpectedEof)
        || (cfg!(unix) && error.raw_os_error() == Some(UNREADABLE));
    match is_its_own {
        true => Unread::Damaged(error.to_string()),
        false => Unread::Store(StorageError::Unavailable {
            action: "read an object's file",
            source: Box::new(error),
        }),
    }
}
