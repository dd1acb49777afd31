//! A gallery into a directory, which may have some of it.
//!
//! First the rows of one moment are written down, in one transaction that waits for no object; then what the directory does
//! not have of their objects is read from the store, summed, and kept; then the list takes the place of the one before.
//!
//! Invariant: each line of the list is written after the objects that it names are on the disk. A picture that was deleted
//! meanwhile is a tombstone in it; one whose objects the store does not have whole is left out, and told.

use std::{
    collections::HashSet,
    fs,
    iter::Peekable,
    path::{Path, PathBuf},
    time::Duration,
};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use imgn_protocol::{ImageId, Sha256};

use super::{
    AT_A_TIME, BackupError, Watcher,
    files::Directory,
    format::{End, GALLERY, Head, Line, Picture, Reader, Thumbnail, Tombstone, Writer},
    source::{Source, Unread},
};
use crate::{
    catalogue::{Catalogue, ChangeRow, Look},
    config::Config,
    storage::{StorageError, keys},
};

/// Rows that are read at a time.
const ROWS: u32 = 1000;

/// The rows of one moment, before anything is known of their objects.
const DRAFT: &str = "gallery.jsonl.draft";

/// The list that is being made, and that which an export made that did not come to its end: it knows sums.
const PART: &str = "gallery.jsonl.part";
const BROKEN_OFF: &str = "gallery.jsonl.before";

/// The pauses before an object is asked for again whose reading broke off.
const PAUSES: [Duration; 3] = [
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(25),
];

/// How an export is made.
#[derive(Debug, Clone, Default)]
pub struct ExportOptions {
    /// Where to; made if it is missing.
    pub directory: PathBuf,
    /// Whether files that are there are read and summed, and fetched again where they are damaged.
    pub verify: bool,
    /// Whether files of pictures go that are not in the gallery any more.
    pub prune: bool,
}

/// What an export came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Exported {
    /// Pictures in the backup.
    pub pictures: u64,
    /// The bytes of all their objects.
    pub bytes: u64,
    /// Pictures of which something had to be fetched.
    pub fetched: u64,
    /// Pictures that are not in it because the store does not have them whole.
    pub left_out: u64,
    /// Pictures whose files were removed.
    pub pruned: u64,
    /// Whether the gallery had gone on when the export ended.
    pub went_on: bool,
}

/// Writes the gallery of a configuration into a directory. Its servers may run.
pub async fn export(
    config: &Config,
    options: &ExportOptions,
    watcher: Watcher<'_>,
) -> Result<Exported, BackupError> {
    config.check().map_err(crate::StartError::Config)?;
    let database = config.database();
    match Catalogue::look(&database).await? {
        Look::There { .. } => {}
        Look::Older => {
            return Err(BackupError::Older {
                database: database.to_string(),
            });
        }
        Look::Missing => {
            return Err(BackupError::NoGallery {
                database: database.to_string(),
            });
        }
    }
    let directory = Directory::new(&options.directory);
    let _lock = directory.take()?;
    let catalogue = Catalogue::open_on(&database, config.shared_file_system).await?;
    let source = Source::open(config).await?;
    let export = Export {
        catalogue: &catalogue,
        source,
        directory,
        options,
        watcher,
    };
    let exported = Box::pin(export.run()).await;
    catalogue.close().await;
    exported
}

struct Export<'a> {
    catalogue: &'a Catalogue,
    source: Source,
    directory: Directory,
    options: &'a ExportOptions,
    watcher: Watcher<'a>,
}

/// What became of a line of the draft.
enum Done {
    Kept { line: Line, is_fetched: bool },
    LeftOut(ImageId),
}

/// What became of an object.
enum Object {
    Kept { thumbnail: Kept, is_fetched: bool },
    Missing,
    Damaged(String),
}

/// An object's file.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Kept {
    size: u64,
    sha256: Sha256,
}

impl Export<'_> {
    async fn run(&self) -> Result<Exported, BackupError> {
        let draft = self.directory.join(DRAFT);
        let last = self.write_draft(&draft).await?;
        let (rows, head) = Reader::open_draft(&draft)?;
        let mut known = Known::open(&self.directory, &head)?;
        let (part, list) = (self.directory.join(PART), self.directory.join(GALLERY));
        let mut writer = Writer::create(&part)?;
        writer.write(&Line::Imgn(head))?;
        let mut end = End::after(last);
        let (mut fetched, mut pictures) = (0, HashSet::new());
        // In order, so that what is known of one is found by walking along.
        let lines = stream::iter(rows).map(|line| {
            let thumbnails = match &line {
                Ok(Line::Image(picture)) => known.thumbnails(picture),
                _ => Vec::new(),
            };
            async move { self.complete(line?, thumbnails).await }
        });
        let mut lines = lines.buffered(AT_A_TIME);
        while let Some(done) = lines.try_next().await? {
            match done {
                Done::Kept { line, is_fetched } => {
                    fetched += u64::from(is_fetched);
                    if let (Line::Image(picture), true) = (&line, self.options.prune) {
                        pictures.insert(picture.id);
                    }
                    end.count(&line);
                    writer.write(&line)?;
                }
                Done::LeftOut(id) => {
                    end.left_out += 1;
                    // What there is of it is all that anybody has.
                    pictures.insert(id);
                }
            }
        }
        drop(lines);
        end.went_on = self.catalogue.feed().await?.last != last;
        end.sha256 = writer.sha256();
        writer.write(&Line::End(end.clone()))?;
        writer.finish()?;
        self.directory.replace(&part, &list)?;
        let pruned = match self.options.prune {
            true => self.directory.prune(&pictures)?,
            false => 0,
        };
        self.directory.tidy(&[DRAFT, BROKEN_OFF])?;
        Ok(Exported {
            pictures: end.images,
            bytes: end.bytes,
            fetched,
            left_out: end.left_out,
            pruned,
            went_on: end.went_on,
        })
    }

    /// Writes down the rows of one moment, and answers the place of the last of them in the feed.
    async fn write_draft(&self, path: &Path) -> Result<u64, BackupError> {
        let mut writer = Writer::create(path)?;
        let mut snapshot = self.catalogue.at_one_moment().await?;
        let feed = snapshot.feed().await?;
        self.watcher.progress.expect(feed.images);
        writer.write(&Line::Imgn(Head::new(feed.id)))?;
        let mut after = 0;
        loop {
            let (owners, last) = snapshot.owners(after, ROWS).await?;
            for owner in owners {
                writer.write(&Line::Owner(owner.into()))?;
            }
            match last {
                Some(last) => after = last,
                None => break,
            }
        }
        let (mut since, mut more) = (0, true);
        while more {
            let entries;
            (entries, more) = snapshot.entries(since, ROWS).await?;
            for entry in entries {
                let line = match entry {
                    ChangeRow::Added(row) => Line::Image(Box::new((*row).into())),
                    ChangeRow::Deleted { sequence, id } => {
                        Line::Deleted(Tombstone { sequence, id })
                    }
                };
                since = line.sequence();
                writer.write(&line)?;
            }
        }
        writer.finish()?;
        Ok(feed.last)
    }

    /// Sees to it that the directory has what a line names.
    async fn complete(&self, line: Line, known: Vec<Thumbnail>) -> Result<Done, BackupError> {
        let Line::Image(mut picture) = line else {
            return Ok(Done::Kept {
                line,
                is_fetched: false,
            });
        };
        let edges = picture.edges().unwrap_or_default();
        let mut objects = vec![(
            picture.key(),
            Some(Kept {
                size: picture.size,
                sha256: picture.sha256,
            }),
        )];
        objects.extend(edges.iter().map(|&edge| {
            let known = known.iter().find(|it| it.edge == edge);
            let expected = known.map(|it| Kept {
                size: it.size,
                sha256: it.sha256,
            });
            (keys::thumbnail(picture.id, edge), expected)
        }));
        let (mut kept, mut fetched) = (Vec::new(), false);
        for (key, expected) in objects {
            let what = match self.object(&key, expected).await? {
                Object::Kept {
                    thumbnail,
                    is_fetched,
                } => {
                    fetched |= is_fetched;
                    kept.push(thumbnail);
                    continue;
                }
                Object::Missing => "is not in the store".to_owned(),
                Object::Damaged(what) => what,
            };
            self.watcher.progress.one_more();
            // Its row goes before its objects.
            if self.catalogue.image(picture.id).await?.is_none() {
                let (sequence, id) = (picture.sequence, picture.id);
                return Ok(Done::Kept {
                    line: Line::Deleted(Tombstone { sequence, id }),
                    is_fetched: false,
                });
            }
            (self.watcher.trouble)(&format!(
                "{key} {what}: the picture \"{}\" is broken in the gallery itself, and left out",
                picture
                    .row()
                    .map_or_else(|_| String::new(), |row| row.file_name.as_str().to_owned())
            ));
            return Ok(Done::LeftOut(picture.id));
        }
        let thumbnails = edges.into_iter().zip(kept.into_iter().skip(1));
        picture.thumbnails = thumbnails
            .map(|(edge, Kept { size, sha256 })| Thumbnail { edge, size, sha256 })
            .collect();
        self.watcher.progress.one_more();
        Ok(Done::Kept {
            line: Line::Image(picture),
            is_fetched: fetched,
        })
    }

    /// Sees to it that the directory has an object: the one that is expected, or, where nothing is known of it, the store's.
    async fn object(&self, key: &str, expected: Option<Kept>) -> Result<Object, BackupError> {
        if let Some(expected) = expected {
            let path = || BackupError::file(self.directory.join(key));
            let is_there = match self.options.verify {
                true => {
                    let looked = self.directory.look(key).await.map_err(path())?;
                    looked
                        .is_some_and(|it| (it.size, it.sha256) == (expected.size, expected.sha256))
                }
                false => self.directory.size(key).map_err(path())? == Some(expected.size),
            };
            if is_there {
                return Ok(Object::Kept {
                    thumbnail: expected,
                    is_fetched: false,
                });
            }
        }
        let mut attempts = PAUSES.iter();
        loop {
            let error = match self.fetch(key, expected).await {
                Err(BackupError::Storage(error @ StorageError::Unavailable { .. })) => error,
                other => return other,
            };
            let Some(pause) = attempts.next() else {
                return Err(error.into());
            };
            tokio::time::sleep(*pause).await;
        }
    }

    async fn fetch(&self, key: &str, expected: Option<Kept>) -> Result<Object, BackupError> {
        let broken = |unread| match unread {
            Unread::Damaged(what) => Ok(Object::Damaged(format!("is damaged ({what})"))),
            Unread::Store(error) => Err(error.into()),
        };
        let mut found = match self.source.get(key).await {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(Object::Missing),
            Err(unread) => return broken(unread),
        };
        let size = found.size();
        if let Some(expected) = expected
            && size != expected.size
        {
            let what = format!("has {size} bytes and should have {}", expected.size);
            return Ok(Object::Damaged(what));
        }
        let path = || BackupError::file(self.directory.join(key));
        let mut file = self.directory.begin(key).await.map_err(path())?;
        loop {
            match found.chunk().await {
                Ok(Some(bytes)) => {
                    self.watcher.progress.moved(bytes.len() as u64);
                    file.write(&bytes).await.map_err(path())?;
                }
                Ok(None) => break,
                Err(unread) => return broken(unread),
            }
        }
        let (written, sha256) = file.written();
        if written != size {
            let what = format!("ended after {written} of {size} bytes");
            return Ok(Object::Damaged(what));
        }
        if expected.is_some_and(|expected| expected.sha256 != sha256) {
            return Ok(Object::Damaged("has other bytes than it should".to_owned()));
        }
        self.directory.keep(file, key).await.map_err(path())?;
        Ok(Object::Kept {
            thumbnail: Kept { size, sha256 },
            is_fetched: true,
        })
    }
}

/// What earlier exports learned of thumbnails, which the catalogue does not sum.
struct Known(Vec<Peekable<Reader>>);

impl Known {
    fn open(directory: &Directory, head: &Head) -> Result<Self, BackupError> {
        let (list, part) = (directory.join(GALLERY), directory.join(PART));
        let before = directory.join(BROKEN_OFF);
        let length = |path: &Path| fs::metadata(path).map_or(0, |found| found.len());
        // The one that came further, where two were broken off.
        if length(&part) > length(&before) {
            fs::rename(&part, &before).map_err(BackupError::file(&part))?;
        }
        let mut known = Vec::new();
        if list.exists() {
            let (reader, found) = Reader::open(&list)?;
            if found.feed != head.feed {
                return Err(BackupError::AnotherGallery {
                    path: directory.join(""),
                });
            }
            known.push(reader.peekable());
        }
        if let Ok((reader, found)) = Reader::open_draft(&before) {
            if found.feed != head.feed {
                return Err(BackupError::AnotherGallery {
                    path: directory.join(""),
                });
            }
            known.push(reader.peekable());
        }
        Ok(Self(known))
    }

    /// What is known of a picture that is further on in the feed than the one before. What cannot be read knows nothing.
    fn thumbnails(&mut self, picture: &Picture) -> Vec<Thumbnail> {
        let mut found = Vec::new();
        for list in &mut self.0 {
            let is_before = |line: &Result<Line, BackupError>| matches!(line, Ok(line) if line.sequence() < picture.sequence);
            while list.next_if(is_before).is_some() {}
            if let Some(Ok(Line::Image(known))) = list.peek()
                && (known.id, known.sha256) == (picture.id, picture.sha256)
            {
                found.clone_from(&known.thumbnails);
            }
        }
        found
    }
}
