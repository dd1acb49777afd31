//! The lines of `gallery.jsonl`, and how they are read and written.
//!
//! Invariant: what was read as a line is valid by itself, and what was read to its end is as whole as when it was written: in
//! order, counted and summed.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, BufWriter, Read as _, Write},
    path::{Path, PathBuf},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use imgn_protocol::{
    DISPLAY_SIZE, Exposure, FileName, ImageId, Location, Sha256, Sha256Hasher, THUMBNAIL_SIZES,
    Timestamp,
};
use imgn_thumbs::Format;
use serde::{Deserialize, Serialize};

use super::BackupError;
use crate::{
    catalogue::{ImageRow, OwnerRow},
    storage::keys,
};

/// What the list is called.
pub(super) const GALLERY: &str = "gallery.jsonl";

/// The one version there is.
const VERSION: u32 = 1;

/// The longest line, in bytes: ten times what a picture with everything has.
const MAX_LINE: u64 = 64 * 1024;

/// The longest name of an owner, and of somebody who signs in, in bytes.
const MAX_OWNER: usize = 1024;

/// No picture beyond this can be stored by one request to S3.
const MAX_SIZE: u64 = 5 * 1024 * 1024 * 1024;

/// One line.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Line {
    /// The first.
    Imgn(Head),
    Owner(Owner),
    Image(Box<Picture>),
    Deleted(Tombstone),
    /// The last.
    End(End),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    /// Of the format.
    pub(super) version: u32,
    /// Which gallery it is.
    pub(super) feed: String,
    /// Of which moment.
    pub(super) made_at: Timestamp,
}

/// Whoever owns pictures, or has a token: its hash, in hexadecimal, and never the token.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Owner {
    name: String,
    role: String,
    scopes: String,
    token_sha256: Option<Sha256>,
    created_at: Timestamp,
    expires_at: Option<Timestamp>,
    /// Days since 1970.
    last_used_on: Option<i64>,
    /// The issuer, and its name for somebody who signs in.
    subject: Option<String>,
}

/// A picture, and what the store has of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Picture {
    pub(super) sequence: u64,
    pub(super) id: ImageId,
    owner: String,
    file_name: FileName,
    width: u32,
    height: u32,
    pub(super) content_type: String,
    pub(super) size: u64,
    pub(super) sha256: Sha256,
    /// In Base64.
    thumbhash: String,
    animated: bool,
    taken_at: Option<Timestamp>,
    created_at: Timestamp,
    camera: Option<String>,
    lens: Option<String>,
    exposure: Option<Exposure>,
    location: Option<Location>,
    #[serde(default)]
    pub(super) thumbnails: Vec<Thumbnail>,
}

/// A JPEG of the server's making.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Thumbnail {
    /// The longest edge that it is asked for by, in pixels.
    pub(super) edge: u32,
    /// In bytes.
    pub(super) size: u64,
    pub(super) sha256: Sha256,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Tombstone {
    pub(super) sequence: u64,
    pub(super) id: ImageId,
}

/// What was told, to know that it is all there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct End {
    pub(super) owners: u64,
    pub(super) images: u64,
    pub(super) deleted: u64,
    /// Of all objects.
    pub(super) bytes: u64,
    /// The place in the feed after which the gallery goes on.
    pub(super) last: u64,
    /// Pictures of the gallery that are not in the backup because their objects are missing or damaged.
    pub(super) left_out: u64,
    /// Whether the gallery had gone on when the export ended.
    pub(super) went_on: bool,
    /// Of all bytes before this line.
    pub(super) sha256: Sha256,
}

impl Line {
    /// Its place in the feed; 0 for what has none.
    pub(super) fn sequence(&self) -> u64 {
        match self {
            Self::Image(picture) => picture.sequence,
            Self::Deleted(tombstone) => tombstone.sequence,
            Self::Imgn(_) | Self::Owner(_) | Self::End(_) => 0,
        }
    }
}

impl End {
    /// Of a list that has nothing yet, of a feed that goes on after that place.
    pub(super) fn after(last: u64) -> Self {
        Self {
            owners: 0,
            images: 0,
            deleted: 0,
            bytes: 0,
            last,
            left_out: 0,
            went_on: false,
            sha256: Sha256::of(b""),
        }
    }

    /// Counts a line.
    pub(super) fn count(&mut self, line: &Line) {
        match line {
            Line::Owner(_) => self.owners += 1,
            Line::Image(picture) => {
                self.images += 1;
                self.bytes = self.bytes.saturating_add(picture.bytes());
            }
            Line::Deleted(_) => self.deleted += 1,
            Line::Imgn(_) | Line::End(_) => {}
        }
    }
}

impl Head {
    pub(super) fn new(feed: String) -> Self {
        Self {
            version: VERSION,
            feed,
            made_at: Timestamp::now(),
        }
    }
}

impl From<OwnerRow> for Owner {
    fn from(row: OwnerRow) -> Self {
        Self {
            name: row.name,
            role: row.role.to_string(),
            scopes: row.scopes.to_string(),
            token_sha256: row.hash,
            created_at: row.created_at,
            expires_at: row.expires_at,
            last_used_on: row.last_used_on,
            subject: row.subject,
        }
    }
}

impl Owner {
    pub(super) fn row(&self) -> Result<OwnerRow, String> {
        for text in [Some(&self.name), self.subject.as_ref()]
            .into_iter()
            .flatten()
        {
            if text.is_empty() || text.len() > MAX_OWNER || text.chars().any(char::is_control) {
                return Err("the name of an owner is none".to_owned());
            }
        }
        Ok(OwnerRow {
            name: self.name.clone(),
            role: self.role.parse()?,
            scopes: self.scopes.parse()?,
            hash: self.token_sha256,
            created_at: self.created_at,
            expires_at: self.expires_at,
            last_used_on: self.last_used_on,
            subject: self.subject.clone(),
        })
    }
}

impl From<ImageRow> for Picture {
    fn from(row: ImageRow) -> Self {
        Self {
            sequence: row.sequence,
            id: row.id,
            owner: row.owner,
            file_name: row.file_name,
            width: row.width,
            height: row.height,
            content_type: row.content_type,
            size: row.size,
            sha256: row.sha256,
            thumbhash: BASE64_STANDARD.encode(row.thumbhash),
            animated: row.animated,
            taken_at: row.taken_at,
            created_at: row.created_at,
            camera: row.camera,
            lens: row.lens,
            exposure: row.exposure,
            location: row.location,
            thumbnails: Vec::new(),
        }
    }
}

impl Picture {
    /// The row that it was, and is to be.
    pub(super) fn row(&self) -> Result<ImageRow, String> {
        let is_ours = Format::ALL
            .iter()
            .any(|format| format.content_type() == self.content_type);
        if !is_ours {
            return Err(format!("{:?} is no picture's type", self.content_type));
        }
        if self.width == 0 || self.height == 0 || self.size == 0 || self.size > MAX_SIZE {
            return Err("a picture has no size".to_owned());
        }
        Ok(ImageRow {
            id: self.id,
            sequence: self.sequence,
            owner: self.owner.clone(),
            file_name: self.file_name.clone(),
            width: self.width,
            height: self.height,
            content_type: self.content_type.clone(),
            size: self.size,
            sha256: self.sha256,
            thumbhash: BASE64_STANDARD
                .decode(&self.thumbhash)
                .map_err(|_| "a thumbhash is not Base64".to_owned())?,
            animated: self.animated,
            taken_at: self.taken_at,
            created_at: self.created_at,
            camera: self.camera.clone(),
            lens: self.lens.clone(),
            exposure: self.exposure,
            location: self.location,
        })
    }

    /// The thumbnails that the store has to have of it.
    pub(super) fn edges(&self) -> Result<Vec<u32>, String> {
        let mut edges = THUMBNAIL_SIZES.to_vec();
        if self.row()?.has_stand_in() {
            edges.push(DISPLAY_SIZE);
        }
        Ok(edges)
    }

    pub(super) fn key(&self) -> String {
        keys::original(self.id)
    }

    /// How many bytes the store has of it.
    pub(super) fn bytes(&self) -> u64 {
        let thumbnails = self.thumbnails.iter().map(|thumbnail| thumbnail.size);
        thumbnails.fold(self.size, u64::saturating_add)
    }

    /// Whether it is told whole.
    fn check(&self) -> Result<(), String> {
        let there: Vec<u32> = self.thumbnails.iter().map(|it| it.edge).collect();
        if there != self.edges()? {
            return Err(format!("{} has other thumbnails than it must", self.id));
        }
        match self
            .thumbnails
            .iter()
            .all(|it| (1..=MAX_SIZE).contains(&it.size))
        {
            true => Ok(()),
            false => Err(format!("{} has a thumbnail of no size", self.id)),
        }
    }
}

/// Writes lines, and sums them.
pub(super) struct Writer {
    path: PathBuf,
    file: BufWriter<File>,
    hasher: Sha256Hasher,
}

impl Writer {
    pub(super) fn create(path: &Path) -> Result<Self, BackupError> {
        let file = super::files::create(path).map_err(BackupError::file(path))?;
        Ok(Self {
            path: path.to_owned(),
            file: BufWriter::with_capacity(1 << 18, file),
            hasher: Sha256Hasher::new(),
        })
    }

    pub(super) fn write(&mut self, line: &Line) -> Result<(), BackupError> {
        let written = serde_json::to_vec(line)
            .map_err(io::Error::from)
            .and_then(|mut text| {
                text.push(b'\n');
                self.hasher.update(&text);
                self.file.write_all(&text)
            });
        written.map_err(BackupError::file(&self.path))
    }

    /// The sum of what was written so far.
    pub(super) fn sha256(&self) -> Sha256 {
        self.hasher.clone().finish()
    }

    /// Ends it; it is on the disk then.
    pub(super) fn finish(self) -> Result<(), BackupError> {
        let Self { path, file, .. } = self;
        let file = file.into_inner().map_err(io::IntoInnerError::into_error);
        file.and_then(|file| file.sync_all())
            .map_err(BackupError::file(path))
    }
}

/// Reads lines that are summed, in order and counted, to the end.
pub(super) struct Reader {
    path: PathBuf,
    file: BufReader<File>,
    hasher: Sha256Hasher,
    line: u64,
    seen: End,
    is_over: bool,
    /// Whether thumbnails are not told yet.
    is_draft: bool,
}

impl Reader {
    /// Opens a list and reads its head.
    pub(super) fn open(path: &Path) -> Result<(Self, Head), BackupError> {
        Self::open_as(path, false)
    }

    /// The same of one that is being made.
    pub(super) fn open_draft(path: &Path) -> Result<(Self, Head), BackupError> {
        Self::open_as(path, true)
    }

    fn open_as(path: &Path, is_draft: bool) -> Result<(Self, Head), BackupError> {
        let file = super::files::open(path).map_err(BackupError::file(path))?;
        let mut reader = Self {
            path: path.to_owned(),
            file: BufReader::with_capacity(1 << 18, file),
            hasher: Sha256Hasher::new(),
            line: 0,
            seen: End::after(0),
            is_over: false,
            is_draft,
        };
        match reader.parse()? {
            Some(Line::Imgn(head)) if head.version == VERSION => {
                let is_one = head.feed.len() <= 64
                    && head.feed.bytes().all(|byte| byte.is_ascii_alphanumeric());
                match is_one && !head.feed.is_empty() {
                    true => Ok((reader, head)),
                    false => Err(reader.damaged("the gallery's feed has no name")),
                }
            }
            Some(Line::Imgn(head)) => Err(reader.damaged(format!(
                "the backup is of version {}, and this imgn-server reads version {VERSION}",
                head.version
            ))),
            _ => Err(reader.damaged("this is no backup of imgn's")),
        }
    }

    pub(super) fn damaged(&self, what: impl Into<String>) -> BackupError {
        BackupError::Damaged {
            path: self.path.clone(),
            line: self.line,
            what: what.into(),
        }
    }

    /// The next line; `None` after the last.
    pub(super) fn next(&mut self) -> Result<Option<Line>, BackupError> {
        if self.is_over {
            return Ok(None);
        }
        let before = self.hasher.clone();
        let Some(line) = self.parse()? else {
            return match self.is_draft {
                true => Ok(None),
                false => Err(self.damaged("it ends here: the backup is not whole")),
            };
        };
        self.check(&line, before)
            .map_err(|what| self.damaged(what))?;
        Ok(Some(line))
    }

    fn check(&mut self, line: &Line, before: Sha256Hasher) -> Result<(), String> {
        match line {
            Line::Imgn(_) => return Err("a second head".to_owned()),
            Line::Owner(owner) => drop(owner.row()?),
            Line::Image(picture) if self.is_draft => drop(picture.row()?),
            Line::Image(picture) => picture.check()?,
            Line::Deleted(_) => {}
            Line::End(end) => return self.end(end, before.finish()),
        }
        self.seen.count(line);
        let sequence = line.sequence();
        if sequence > 0 || !matches!(line, Line::Owner(_)) {
            if sequence <= self.seen.last {
                return Err("the feed is not in order".to_owned());
            }
            self.seen.last = sequence;
        }
        Ok(())
    }

    fn end(&mut self, end: &End, sha256: Sha256) -> Result<(), String> {
        if self.seen.last > end.last || i64::try_from(end.last).is_err() {
            return Err("the feed ends before its last entry".to_owned());
        }
        let seen = End {
            last: end.last,
            left_out: end.left_out,
            went_on: end.went_on,
            sha256,
            ..self.seen.clone()
        };
        if seen != *end {
            return Err("the lines before are not those that were written".to_owned());
        }
        self.is_over = true;
        match self.parse() {
            Ok(None) => Ok(()),
            _ => Err("something follows the end".to_owned()),
        }
    }

    fn parse(&mut self) -> Result<Option<Line>, BackupError> {
        let mut text = Vec::new();
        let mut limited = (&mut self.file).take(MAX_LINE);
        let read = limited.read_until(b'\n', &mut text);
        read.map_err(BackupError::file(&self.path))?;
        if text.is_empty() {
            return Ok(None);
        }
        self.line += 1;
        if text.pop() != Some(b'\n') {
            // The last line of one whose writing was broken off is none.
            return match self.is_draft {
                true => Ok(None),
                false => Err(self.damaged("the line is not whole")),
            };
        }
        self.hasher.update(&text);
        self.hasher.update(b"\n");
        match serde_json::from_slice(&text) {
            Ok(line) => Ok(Some(line)),
            Err(error) => Err(self.damaged(error.to_string())),
        }
    }
}

impl Iterator for Reader {
    type Item = Result<Line, BackupError>;

    /// Ends after the first error.
    fn next(&mut self) -> Option<Self::Item> {
        let next = self.next().transpose();
        if matches!(next, Some(Err(_))) {
            self.is_over = true;
        }
        next
    }
}
