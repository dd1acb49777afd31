//! An open multipart upload: the file that its parts share, and the log that says which parts arrived. Everything here
//! blocks; see [`crate::blocking`].
//!
//! A part is written to its own place in the file and synced; then a line is added to the log and synced; then it is
//! there. So a line in the log means bytes on the disk, and a crash between the two leaves bytes that mean nothing and are
//! written over. Nothing is moved when the upload is completed: the file becomes the object.
//!
//! Invariant: an upload's parts are held in memory once, by whoever holds the [`OpenUpload`] of its id.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crc_fast::CrcAlgorithm;
use serde::{Deserialize, Serialize};

use crate::body::Sink;
use crate::digest::Checksums;
use crate::error::Error;
use crate::extent::{Extent, Places};
use crate::key::{PartNumber, UploadId};

pub(crate) const DATA: &str = "data";
pub(crate) const LOG: &str = "parts.log";

/// Uploads whose parts stay in memory when no request is under way; a page of 10,000 parts is about 3 MB.
const KEPT: usize = 32;

/// What is known of a part beside its bytes: a line of the log.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Part {
    pub(crate) number: PartNumber,
    pub(crate) extent: Extent,
    /// Seconds since 1970.
    pub(crate) modified: u64,
    /// Without quotes.
    pub(crate) etag: String,
    #[serde(default)]
    pub(crate) checksums: Checksums,
}

/// An upload that may be under way in several requests at a time.
#[derive(Debug)]
pub(crate) struct OpenUpload {
    id: UploadId,
    directory: PathBuf,
    /// Held while parts are looked up, placed or recorded, and for as long as completing takes.
    state: Mutex<State>,
    /// Held for moments only, so that a place can be given back from anywhere.
    places: Mutex<PlacesOfUpload>,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    NotLoaded,
    Open(Parts),
    /// Completed or aborted.
    Gone,
}

#[derive(Debug, Default)]
struct PlacesOfUpload {
    places: Places,
    /// The file may not be cut any more.
    completing: bool,
}

/// The parts of an upload, and its log.
#[derive(Debug)]
pub(crate) struct Parts {
    by_number: BTreeMap<PartNumber, (u64, Part)>,
    log: Arc<File>,
    /// Of the lines that were added since the log was read: which of two came later.
    sequence: u64,
}

/// A place in the file that a part is written to; given back when dropped.
#[derive(Debug)]
pub(crate) struct PartWriter {
    upload: Arc<OpenUpload>,
    number: PartNumber,
    extent: Extent,
    file: File,
    recorded: bool,
}

impl OpenUpload {
    pub(crate) fn id(&self) -> &UploadId {
        &self.id
    }

    pub(crate) fn data_path(&self) -> PathBuf {
        self.directory.join(DATA)
    }

    /// Makes a place for a part of an object that may have so many bytes. What arrives at the same time, or again, is
    /// counted only when it has; so that it cannot fill the disk, it has room for as much once more.
    pub(crate) fn place(
        self: &Arc<Self>,
        number: PartNumber,
        length: u64,
        max_size: u64,
    ) -> Result<PartWriter, Error> {
        let open = self.lock()?;
        let size = open.bytes_beside(number).saturating_add(length);
        if size > max_size {
            return Err(Error::EntityTooLarge {
                size,
                maximum: max_size,
            });
        }
        let arriving = self.places().places.bytes().saturating_add(length);
        if arriving > max_size.saturating_mul(2) {
            return Err(Error::TooMuchArrives);
        }
        let file = OpenOptions::new()
            .write(true)
            .open(self.data_path())
            .map_err(gone)?;
        let mut writer = PartWriter {
            upload: Arc::clone(self),
            number,
            extent: self.places().places.take(number, length),
            file,
            recorded: false,
        };
        writer.file.seek(SeekFrom::Start(writer.extent.offset))?;
        Ok(writer)
    }

    /// Ends the upload, whatever state it is in: `remove` takes its directory away, and requests under way find out.
    pub(crate) fn end(&self, remove: impl FnOnce() -> Result<(), Error>) -> Result<(), Error> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*state, State::Gone) {
            return Err(Error::NoSuchUpload);
        }
        remove()?;
        self.places().completing = true;
        *state = State::Gone;
        Ok(())
    }

    /// The parts, for as long as nothing else may change them.
    pub(crate) fn lock(&self) -> Result<LockedParts<'_>, Error> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*state, State::NotLoaded) {
            let parts = Parts::load(&self.directory)?;
            let mut taken = Places::default();
            for (_, part) in parts.by_number.values() {
                taken.restore(part.extent)?;
            }
            self.places().places = taken;
            *state = State::Open(parts);
        }
        match &*state {
            State::Open(_) => Ok(LockedParts {
                upload: self,
                state,
            }),
            _ => Err(Error::NoSuchUpload),
        }
    }

    fn places(&self) -> MutexGuard<'_, PlacesOfUpload> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a synced part to the log and to the parts.
    fn record(&self, part: Part) -> Result<(), Error> {
        let line = line(&part)?;
        let (log, sequence) = {
            let mut locked = self.lock()?;
            let parts = locked.parts()?;
            parts.sequence += 1;
            // One call, so that no other line gets in between.
            (&*parts.log).write_all(line.as_bytes())?;
            (Arc::clone(&parts.log), parts.sequence)
        };
        // Outside of the lock: parts that arrive together are synced together.
        log.sync_data()?;
        let mut locked = self.lock()?;
        let parts = locked.parts()?;
        let outdated = match parts.by_number.get(&part.number) {
            Some((later, _)) if *later > sequence => Some(part.extent),
            _ => {
                let number = part.number;
                let replaced = parts.by_number.insert(number, (sequence, part));
                replaced.map(|(_, part)| part.extent)
            }
        };
        if let Some(extent) = outdated {
            self.places().places.release(extent);
        }
        Ok(())
    }
}

/// The parts of an upload that is open, under its lock.
pub(crate) struct LockedParts<'u> {
    upload: &'u OpenUpload,
    state: MutexGuard<'u, State>,
}

impl LockedParts<'_> {
    fn parts(&mut self) -> Result<&mut Parts, Error> {
        match &mut *self.state {
            State::Open(parts) => Ok(parts),
            _ => Err(Error::NoSuchUpload),
        }
    }

    pub(crate) fn get(&self, number: PartNumber) -> Option<&Part> {
        match &*self.state {
            State::Open(parts) => parts.by_number.get(&number).map(|(_, part)| part),
            _ => None,
        }
    }

    /// How many bytes the other parts have together.
    fn bytes_beside(&self, number: PartNumber) -> u64 {
        let State::Open(parts) = &*self.state else {
            return 0;
        };
        let others = parts.by_number.iter().filter(|(of, _)| **of != number);
        others.map(|(_, (_, part))| part.extent.length).sum()
    }

    /// At most `limit` parts numbered above `after`, in order, and whether there are more.
    pub(crate) fn page(&self, after: i32, limit: usize) -> (Vec<Part>, bool) {
        let State::Open(parts) = &*self.state else {
            return (Vec::new(), false);
        };
        let mut above = parts
            .by_number
            .values()
            .map(|(_, part)| part)
            .filter(|part| part.number.get() > after);
        let page: Vec<Part> = above.by_ref().take(limit).cloned().collect();
        (page, above.next().is_some())
    }

    /// Where a footer can be put: behind everything that arrived, and that arrives still. From here on no part gives space
    /// back to the disk; see [`LockedParts::reopen`].
    pub(crate) fn end_of_data(&mut self) -> u64 {
        let mut places = self.upload.places();
        places.completing = true;
        places.places.end()
    }

    /// The upload stays open after all.
    pub(crate) fn reopen(&mut self) {
        self.upload.places().completing = false;
    }

    /// The upload is no more: requests under way find out.
    pub(crate) fn close(mut self) {
        self.upload.places().completing = true;
        *self.state = State::Gone;
    }
}

impl PartWriter {
    /// Makes the part durable, and one of the upload's parts.
    pub(crate) fn finish(
        mut self,
        modified: u64,
        etag: String,
        checksums: Checksums,
    ) -> Result<Part, Error> {
        self.file.sync_data()?;
        let part = Part {
            number: self.number,
            extent: self.extent,
            modified,
            etag,
            checksums,
        };
        self.upload.record(part.clone())?;
        self.recorded = true;
        Ok(part)
    }
}

impl Sink for PartWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    fn file(&self) -> &File {
        &self.file
    }
}

impl Drop for PartWriter {
    fn drop(&mut self) {
        if self.recorded {
            return;
        }
        let mut state = self.upload.places();
        state.places.release(self.extent);
        let end = state.places.end();
        if !state.completing && end < self.extent.end() {
            // What is not given back now is written over by the next part, or goes with the upload.
            let _kept = self.file.set_len(end);
        }
    }
}

impl Parts {
    /// Makes the files of a new upload in its directory. The caller syncs that; the files are synced with the first part.
    pub(crate) fn create(directory: &Path) -> io::Result<()> {
        File::create_new(directory.join(DATA))?;
        File::create_new(directory.join(LOG))?;
        Ok(())
    }

    fn load(directory: &Path) -> Result<Self, Error> {
        let length = fs::metadata(directory.join(DATA)).map_err(gone)?.len();
        let mut log = OpenOptions::new()
            .read(true)
            .append(true)
            .open(directory.join(LOG))
            .map_err(gone)?;
        let mut bytes = Vec::new();
        log.read_to_end(&mut bytes)?;
        if bytes.last().is_some_and(|&last| last != b'\n') {
            // A line that a crash cut off ends here.
            log.write_all(b"\n")?;
        }
        let mut by_number = BTreeMap::new();
        for part in bytes.split(|&byte| byte == b'\n').filter_map(parse) {
            by_number.insert(part.number, (0, part));
        }
        by_number.retain(|_, (_, part)| part.extent.length == 0 || part.extent.end() <= length);
        Ok(Self {
            by_number,
            log: Arc::new(log),
            sequence: 0,
        })
    }
}

/// A part as a line: a checksum of the line, and JSON.
pub(crate) fn line(part: &Part) -> Result<String, Error> {
    let json = serde_json::to_string(part).map_err(io::Error::from)?;
    let mut line = String::with_capacity(json.len() + 18);
    // Writing to a string cannot fail.
    let _ = writeln!(line, "{:016x} {json}", sum(json.as_bytes()));
    Ok(line)
}

/// `None` for what no crash-free write can have left: such a part was never answered.
fn parse(line: &[u8]) -> Option<Part> {
    let (sum_of_json, json) = line.split_at_checked(17)?;
    let expected = std::str::from_utf8(sum_of_json.trim_ascii_end()).ok()?;
    let same = u64::from_str_radix(expected, 16).is_ok_and(|expected| expected == sum(json));
    same.then(|| serde_json::from_slice(json).ok())?
}

fn sum(bytes: &[u8]) -> u64 {
    crc_fast::checksum(CrcAlgorithm::Crc64Nvme, bytes)
}

/// The uploads in memory, by id.
#[derive(Debug, Default)]
pub(crate) struct Uploads(Mutex<HashMap<UploadId, Arc<OpenUpload>>>);

impl Uploads {
    /// The upload in a directory. Two callers get the same.
    pub(crate) fn get(&self, id: &UploadId, directory: PathBuf) -> Arc<OpenUpload> {
        let mut uploads = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(upload) = uploads.get(id) {
            return Arc::clone(upload);
        }
        if uploads.len() >= KEPT {
            // Nobody can get hold of these while this lock is held.
            uploads.retain(|_, upload| Arc::strong_count(upload) > 1);
        }
        let upload = Arc::new(OpenUpload {
            id: id.clone(),
            directory,
            state: Mutex::default(),
            places: Mutex::default(),
        });
        uploads.insert(id.clone(), Arc::clone(&upload));
        upload
    }

    pub(crate) fn forget(&self, id: &UploadId) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(id);
    }
}

/// The upload's directory was moved away by a complete or an abort.
pub(crate) fn gone(error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::NotFound => Error::NoSuchUpload,
        _ => error.into(),
    }
}
