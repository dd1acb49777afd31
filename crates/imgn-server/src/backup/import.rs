//! A gallery out of a directory, into a catalogue that is empty and whatever store it has.
//!
//! The list is read to its end first; then the store is given what it does not have, each object by its SHA-256; then
//! everything is made public in one transaction. Begun again after it broke off, it finds the objects there.
//!
//! Invariant: nothing is public before all of it can be, and what is public has the bytes that its SHA-256 says.

use std::{
    path::PathBuf,
    sync::atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use futures_util::{TryStreamExt as _, stream};
use imgn_protocol::{Sha256, Sha256Hasher};

use super::{
    AT_A_TIME, BackupError, Watcher,
    files::{Directory, Looked},
    format::{End, GALLERY, Head, Line, Picture, Reader},
};
use crate::{
    catalogue::Catalogue,
    config::{Config, StorageConfig},
    error::chain,
    server::Server,
    start,
    storage::{Embedded, Storage, StorageError, keys},
};

/// How an import is made.
#[derive(Debug, Clone, Default)]
pub struct ImportOptions {
    /// Where from.
    pub directory: PathBuf,
    /// Whether the gallery goes on here as the one that it was: clients keep what they have of it.
    pub moved: bool,
    /// Whether only the store is given what it does not have, and nothing is published.
    pub objects_only: bool,
}

/// What an import came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Imported {
    /// Pictures of the gallery.
    pub pictures: u64,
    /// The bytes of all their objects.
    pub bytes: u64,
    /// Objects that the store did not have yet.
    pub stored: u64,
    /// Pictures that the backup says it does not have.
    pub left_out: u64,
}

/// Makes a configuration's empty catalogue and store the gallery of a directory. No server may run on its data directory.
pub async fn import(
    config: &Config,
    options: &ImportOptions,
    watcher: Watcher<'_>,
) -> Result<Imported, BackupError> {
    config.check().map_err(crate::StartError::Config)?;
    let list = options.directory.join(GALLERY);
    let (head, end) = read_through(&list)?;
    if options.moved && (end.went_on || end.left_out > 0) {
        let why = match end.went_on {
            true => "it went on while it was exported",
            false => "pictures are left out of it",
        };
        return Err(BackupError::NotStill { why });
    }
    let audit = Server::audit(config)?;
    let _lock = start::lock(&config.data_dir)?;
    let storage = storage(config).await?;
    let catalogue = Catalogue::open_on(&config.database(), config.shared_file_system).await?;
    let import = Import {
        directory: Directory::new(&options.directory),
        list,
        head,
        end,
        storage,
        catalogue: &catalogue,
        options,
        watcher,
        stored: AtomicU64::new(0),
        damaged: AtomicU64::new(0),
        others: AtomicU64::new(0),
    };
    let imported = Box::pin(import.run()).await;
    catalogue.close().await;
    if let (Ok(imported), false) = (&imported, options.objects_only) {
        audit.imported(imported.pictures);
    }
    imported
}

async fn storage(config: &Config) -> Result<Storage, BackupError> {
    Ok(match &config.storage {
        StorageConfig::Embedded => {
            // What the gallery took once it keeps, whatever it takes today.
            let embedded = Embedded::open(&config.data_dir, u64::MAX).await?;
            let anywhere =
                start::own_url(([127, 0, 0, 1], 0).into()).map_err(crate::StartError::Config)?;
            Storage::embedded(&embedded, &anywhere, config.url_ttl)
        }
        StorageConfig::S3(s3) => {
            let storage = Storage::s3(s3, config.url_ttl).await;
            // Before a catalogue is made, or file after file fails for the same reason.
            storage.check().await.map_err(unready)?;
            storage
        }
    })
}

fn unready(error: StorageError) -> BackupError {
    match error.reason() {
        Some(reason) => BackupError::Unready {
            what: chain(&error),
            advice: reason.advice(),
        },
        None => error.into(),
    }
}

/// Reads a list to its end.
fn read_through(list: &std::path::Path) -> Result<(Head, End), BackupError> {
    let (mut reader, head) = Reader::open(list)?;
    while let Some(line) = reader.next()? {
        if let Line::End(end) = line {
            return Ok((head, end));
        }
    }
    Err(reader.damaged("it has no end"))
}

struct Import<'a> {
    directory: Directory,
    list: PathBuf,
    head: Head,
    end: End,
    storage: Storage,
    catalogue: &'a Catalogue,
    options: &'a ImportOptions,
    watcher: Watcher<'a>,
    stored: AtomicU64,
    /// Files that are missing or damaged.
    damaged: AtomicU64,
    /// Objects of the store that are others.
    others: AtomicU64,
}

/// An object that the store is to have.
struct Wanted<'a> {
    key: String,
    size: u64,
    sha256: Sha256,
    content_type: &'a str,
}

impl Import<'_> {
    async fn run(&self) -> Result<Imported, BackupError> {
        self.watcher.progress.expect(self.end.images);
        if !self.options.objects_only && !self.catalogue.is_empty().await? {
            return Err(BackupError::NotEmpty);
        }
        let (reader, _) = Reader::open(&self.list)?;
        stream::iter(reader)
            .try_for_each_concurrent(AT_A_TIME, |line| async move {
                match line {
                    Line::Image(picture) => self.store(&picture).await,
                    _ => Ok(()),
                }
            })
            .await?;
        let [damaged, others] =
            [&self.damaged, &self.others].map(|count| count.load(Ordering::Relaxed));
        if damaged + others > 0 {
            return Err(BackupError::Objects { damaged, others });
        }
        if !self.options.objects_only {
            self.publish().await?;
        }
        Ok(Imported {
            pictures: self.end.images,
            bytes: self.end.bytes,
            stored: self.stored.load(Ordering::Relaxed),
            left_out: self.end.left_out,
        })
    }

    /// Gives the store what it does not have of a picture.
    async fn store(&self, picture: &Picture) -> Result<(), BackupError> {
        let original = Wanted {
            key: picture.key(),
            size: picture.size,
            sha256: picture.sha256,
            content_type: &picture.content_type,
        };
        let thumbnails = picture.thumbnails.iter().map(|thumbnail| Wanted {
            key: keys::thumbnail(picture.id, thumbnail.edge),
            size: thumbnail.size,
            sha256: thumbnail.sha256,
            content_type: "image/jpeg",
        });
        for object in std::iter::once(original).chain(thumbnails) {
            let what = match self.is_there(&object).await? {
                Some(true) => continue,
                Some(false) => {
                    self.others.fetch_add(1, Ordering::Relaxed);
                    format!(
                        "is another object in the store already, and not the one of {} bytes with the SHA-256 {}",
                        object.size, object.sha256
                    )
                }
                None => match self.object(&object).await? {
                    None => continue,
                    Some(what) => {
                        self.damaged.fetch_add(1, Ordering::Relaxed);
                        what
                    }
                },
            };
            (self.watcher.trouble)(&format!("{} {what}", object.key));
        }
        self.watcher.progress.one_more();
        Ok(())
    }

    /// Gives the store an object; answers what is wrong with its file.
    async fn object(&self, object: &Wanted<'_>) -> Result<Option<String>, BackupError> {
        let path = || BackupError::file(self.directory.join(&object.key));
        let Looked {
            size,
            sha256,
            head,
            whole,
        } = match self.directory.look(&object.key).await {
            Ok(Some(looked)) => looked,
            Ok(None) => return Ok(Some("is missing".to_owned())),
            Err(error) if error.kind() == std::io::ErrorKind::InvalidInput => {
                return Ok(Some(error.to_string()));
            }
            Err(error) => return Err(path()(error)),
        };
        if size != object.size {
            return Ok(Some(format!(
                "has {size} bytes and should have {}",
                object.size
            )));
        }
        if sha256 != object.sha256 {
            return Ok(Some("has other bytes than it should".to_owned()));
        }
        // A backup may be made by anybody, and a browser is told that this is a picture.
        if imgn_thumbs::sniff(&head).is_none() {
            return Ok(Some("is no picture".to_owned()));
        }
        let stored = match whole {
            Some(bytes) => {
                self.storage
                    .put_new(
                        &object.key,
                        object.content_type,
                        &sha256,
                        Bytes::from(bytes),
                    )
                    .await
            }
            None => {
                let path = self.directory.join(&object.key);
                self.storage
                    .put_file(&object.key, object.content_type, &sha256, &path, size)
                    .await
            }
        };
        stored?;
        self.watcher.progress.moved(size);
        self.stored.fetch_add(1, Ordering::Relaxed);
        Ok(None)
    }

    /// Whether what the store has under an object's key is that object: as the store tells of its bytes, else they are read. `None`
    /// where it has nothing.
    async fn is_there(&self, object: &Wanted<'_>) -> Result<Option<bool>, BackupError> {
        let Some(told) = self.storage.tells(&object.key).await? else {
            return Ok(None);
        };
        if told.size != object.size || told.sha256 == Some(object.sha256) {
            return Ok(Some(told.size == object.size));
        }
        let Some(mut stored) = self.storage.get(&object.key).await? else {
            return Ok(None);
        };
        let mut hasher = Sha256Hasher::new();
        while let Some(bytes) = stored.chunk().await? {
            hasher.update(&bytes);
        }
        Ok(Some(hasher.finish() == object.sha256))
    }

    /// Makes everything public at once.
    async fn publish(&self) -> Result<(), BackupError> {
        let Some(mut restore) = self.catalogue.restore().await? else {
            return Err(BackupError::NotEmpty);
        };
        let (mut reader, head) = Reader::open(&self.list)?;
        while let Some(line) = reader.next()? {
            let taken = match line {
                Line::Owner(owner) => {
                    let row = owner.row().map_err(|what| reader.damaged(what))?;
                    restore.owner(&row).await
                }
                Line::Image(picture) => {
                    let row = picture.row().map_err(|what| reader.damaged(what))?;
                    restore.image(&row).await
                }
                Line::Deleted(tombstone) => restore.deleted(tombstone.sequence, tombstone.id).await,
                Line::End(end) if end == self.end && head == self.head => Ok(()),
                Line::Imgn(_) | Line::End(_) => {
                    return Err(reader.damaged("the backup was written anew meanwhile"));
                }
            };
            taken?;
        }
        let feed = self.options.moved.then_some(head.feed.as_str());
        Ok(restore.commit(self.end.last, feed).await?)
    }
}
