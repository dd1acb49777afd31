//! The one file format: bytes first, then a JSON footer, its length and a magic number.
//!
//! ```text
//! [ data ][ footer: JSON ][ length of the JSON: u32, little endian ][ "IMGNREC1" ]
//! [ data, in any order ][ {"extents": .., "footer": ..} ][ length of the JSON ][ "IMGNREC2" ]
//! ```
//!
//! What is known only after the last byte (entity tag, checksums) stands in the same file as the bytes, so that one
//! sync and one rename publish both: an object can never be seen with another object's metadata.
//! In the first form the data is everything before the footer, so a range is a plain seek. The second is for parts that
//! did not arrive as they should: its extents say which ranges of the file are the data, in which order, and bytes that
//! they leave out mean nothing. An older store, which knows the first only, takes it for damaged and never misreads it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::ops::Range;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::extent::{Extent, Extents};
use crate::layout::TempPath;

const MAGIC_WHOLE: &[u8; 8] = b"IMGNREC1";
const MAGIC_SCATTERED: &[u8; 8] = b"IMGNREC2";
/// Length and magic number.
const TRAILER_LEN: u64 = 12;
/// A footer holds a key (1 KiB), user metadata (2 KiB in S3, more tolerated) and checksums.
const FOOTER_MAX_LEN: usize = 64 * 1024;
/// Beside it, a range for each of at most 10,000 parts, of at most 32 digits and 4 signs.
const EXTENTS_MAX_LEN: usize = 360 * 1024;
/// Read at once from the end of the file; holds nearly every footer.
const TAIL_LEN: u64 = 2048;
/// Bytes moved at once between files.
const COPY_BUFFER: u64 = 1024 * 1024;

/// The footer of the second form.
#[derive(Serialize, Deserialize)]
struct Scattered<F> {
    extents: Extents,
    footer: F,
}

/// A record being written under `ready/`; removed when dropped.
#[derive(Debug)]
pub(crate) struct RecordWriter {
    file: File,
    temp: TempPath,
    length: u64,
}

impl RecordWriter {
    /// Writes into an empty file.
    pub(crate) fn new(temp: TempPath) -> io::Result<Self> {
        let file = OpenOptions::new().write(true).open(temp.path())?;
        Ok(Self {
            file,
            temp,
            length: 0,
        })
    }

    /// The name of the file that is written into.
    pub(crate) fn name(&self) -> Option<String> {
        let name = self.temp.path().file_name()?;
        name.to_str().map(str::to_owned)
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.length += bytes.len() as u64;
        self.file.write_all(bytes)
    }

    /// Ends the data and makes it durable.
    pub(crate) fn finish<F: Serialize>(self, footer: F) -> Result<SealedRecord<F>, Error> {
        let Self {
            mut file,
            temp,
            length,
        } = self;
        file.write_all(&tail(length, &Extents::first(length), &footer)?)?;
        file.sync_data()?;
        Ok(SealedRecord {
            place: Place::Ready(temp),
            footer,
        })
    }
}

/// Makes a file a record where it is: `extents` of it are the data, the footer is put at `end`, and what was behind is cut
/// off. The file stays where it is until it is renamed, and whatever wrote it may go on below `end`.
pub(crate) fn seal<F: Serialize>(
    path: PathBuf,
    end: u64,
    extents: &Extents,
    footer: F,
) -> Result<SealedRecord<F>, Error> {
    let tail = tail(end, extents, &footer)?;
    let mut file = OpenOptions::new().write(true).open(&path)?;
    file.set_len(end)?;
    file.seek(SeekFrom::Start(end))?;
    file.write_all(&tail)?;
    file.sync_data()?;
    Ok(SealedRecord {
        place: Place::Own(path),
        footer,
    })
}

fn tail<F: Serialize>(end: u64, extents: &Extents, footer: &F) -> Result<Vec<u8>, Error> {
    let mut tail = serde_json::to_vec(footer).map_err(io::Error::from)?;
    if tail.len() > FOOTER_MAX_LEN {
        return Err(Error::InvalidRequest {
            message: "the metadata is too large".into(),
        });
    }
    let mut magic = MAGIC_WHOLE;
    if *extents != Extents::first(end) {
        let extents = extents.clone();
        tail = serde_json::to_vec(&Scattered { extents, footer }).map_err(io::Error::from)?;
        magic = MAGIC_SCATTERED;
    }
    let length = u32::try_from(tail.len()).unwrap_or(u32::MAX);
    tail.extend_from_slice(&length.to_le_bytes());
    tail.extend_from_slice(magic);
    Ok(tail)
}

/// A complete, synced record that is not yet where it belongs.
#[derive(Debug)]
pub(crate) struct SealedRecord<F> {
    place: Place,
    pub(crate) footer: F,
}

#[derive(Debug)]
enum Place {
    /// Found again at the next opening, unless it was removed when dropped.
    Ready(TempPath),
    /// Stays when dropped.
    Own(PathBuf),
}

impl<F> SealedRecord<F> {
    /// Whether it is found again where it is, should a power cut take back that it was moved.
    pub(crate) fn is_found_again(&self) -> bool {
        matches!(self.place, Place::Ready(_))
    }

    /// Makes sure that it is not found again: it was refused.
    pub(crate) fn withdraw(self) -> io::Result<()> {
        match self.place {
            Place::Ready(temp) => File::create(temp.path())?.sync_data(),
            Place::Own(_) => Ok(()),
        }
    }

    /// Moves the record to its place. The caller syncs the directory, where that is needed.
    pub(crate) fn rename(self, destination: &Path) -> io::Result<F> {
        match self.place {
            Place::Ready(temp) => temp.rename(destination)?,
            Place::Own(path) => fs::rename(path, destination)?,
        }
        Ok(self.footer)
    }
}

/// A record open for reading.
#[derive(Debug)]
pub(crate) struct Record<F> {
    pub(crate) data: Data,
    pub(crate) footer: F,
}

/// The data of a record.
#[derive(Debug)]
pub(crate) struct Data {
    file: File,
    extents: Extents,
}

impl<F> Record<F> {
    /// Length of the data, in bytes.
    pub(crate) fn size(&self) -> u64 {
        self.data.extents.size()
    }
}

impl<F: DeserializeOwned> Record<F> {
    /// Opens a record; `None` when there is no such file.
    pub(crate) fn open(path: &Path) -> Result<Option<Self>, Error> {
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let damaged = |what: &str| Error::Damaged {
            what: format!("{}: {what}", path.display()),
        };
        let length = file.metadata()?.len();
        if length < TRAILER_LEN {
            return Err(damaged("too short"));
        }
        let mut tail = read_tail(&mut file, length, TAIL_LEN.min(length))?;
        let (_, trailer) = tail.split_at(tail.len() - 12);
        let (footer_length, magic) = trailer.split_at(4);
        let scattered = match magic {
            magic if magic == MAGIC_WHOLE => false,
            magic if magic == MAGIC_SCATTERED => true,
            _ => return Err(damaged("no footer")),
        };
        let footer_length = u64::from(u32::from_le_bytes(
            footer_length.try_into().unwrap_or_default(),
        ));
        let tail_length = footer_length + TRAILER_LEN;
        let longest = (FOOTER_MAX_LEN + EXTENTS_MAX_LEN) as u64;
        if footer_length > longest || tail_length > length {
            return Err(damaged("impossible footer length"));
        }
        if tail_length > TAIL_LEN {
            tail = read_tail(&mut file, length, tail_length)?;
        }
        let json = tail.len() - usize::try_from(tail_length).unwrap_or(tail.len());
        let json = &tail[json..tail.len() - 12];
        let unreadable = |error: serde_json::Error| damaged(&error.to_string());
        let (extents, footer) = if scattered {
            let Scattered { extents, footer } = serde_json::from_slice(json).map_err(unreadable)?;
            (extents, footer)
        } else {
            let footer = serde_json::from_slice(json).map_err(unreadable)?;
            (Extents::first(length - tail_length), footer)
        };
        if extents.end() > length - tail_length {
            return Err(damaged("a range beyond the end"));
        }
        Ok(Some(Self {
            data: Data { file, extents },
            footer,
        }))
    }
}

impl Data {
    /// Ranges of a file that somebody else keeps account of.
    pub(crate) fn new(file: File, extents: Extents) -> Self {
        Self { file, extents }
    }

    pub(crate) fn size(&self) -> u64 {
        self.extents.size()
    }

    /// Only this range of the data.
    pub(crate) fn slice(self, range: &Range<u64>) -> Self {
        Self {
            extents: self.extents.slice(range),
            file: self.file,
        }
    }

    /// The next at most `most` bytes and the data behind them; nothing at the end.
    pub(crate) fn read(mut self, most: u64) -> io::Result<Option<(Bytes, Self)>> {
        let size = self.size();
        let length = size.min(most);
        if length == 0 {
            return Ok(None);
        }
        let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
        for Extent { offset, length } in self.extents.slice(&(0..length)) {
            self.file.seek(SeekFrom::Start(offset))?;
            if (&self.file).take(length).read_to_end(&mut bytes)? as u64 != length {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        let rest = self.slice(&(length..size));
        Ok(Some((bytes.into(), rest)))
    }

    /// Reads to the end, a bounded piece at a time.
    pub(crate) fn for_each(
        self,
        mut piece: impl FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut left = self;
        while let Some((bytes, rest)) = left.read(COPY_BUFFER)? {
            piece(&bytes)?;
            left = rest;
        }
        Ok(())
    }
}

fn read_tail(file: &mut File, length: u64, tail: u64) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(length - tail))?;
    let mut bytes = vec![0; usize::try_from(tail).unwrap_or_default()];
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::Layout;

    fn writer(layout: &Layout) -> RecordWriter {
        let place = layout.fresh_ready();
        File::create_new(place.path()).unwrap();
        RecordWriter::new(place).unwrap()
    }

    fn write(layout: &Layout, data: &[u8], footer: &str, to: &Path) {
        let mut writer = writer(layout);
        writer.write(data).unwrap();
        let sealed = writer.finish(footer.to_owned()).unwrap();
        sealed.rename(to).unwrap();
    }

    #[test]
    fn a_record_comes_back_whatever_the_length_of_its_parts() {
        let directory = tempfile::tempdir().unwrap();
        let layout = Layout::create(directory.path().join("bucket")).unwrap();
        let path = directory.path().join("record");
        for (data, footer) in [(0, 0), (1, 10), (5000, 3000), (10, 5000)] {
            let (data, footer) = (vec![7_u8; data], "f".repeat(footer));
            write(&layout, &data, &footer, &path);
            let record: Record<String> = Record::open(&path).unwrap().unwrap();
            assert_eq!(record.size(), data.len() as u64);
            assert_eq!(record.footer, footer);
        }
    }

    #[test]
    fn ranges_in_any_order_are_a_record_too() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("data");
        fs::write(&path, "worldXXhello and more").unwrap();
        let ranges = [(7, 5), (0, 5)].map(Extent::from);
        let extents = Extents::from_iter(ranges);
        let sealed = seal(path.clone(), 12, &extents, "footer".to_owned()).unwrap();
        let moved = directory.path().join("record");
        sealed.rename(&moved).unwrap();
        let record: Record<String> = Record::open(&moved).unwrap().unwrap();
        assert_eq!((record.size(), record.footer.as_str()), (10, "footer"));
        let mut read = Vec::new();
        let collect = |bytes: &[u8]| {
            read.extend_from_slice(bytes);
            Ok(())
        };
        record.data.for_each(collect).unwrap();
        assert_eq!(read, b"helloworld");
    }

    #[test]
    fn ranges_in_order_need_no_second_form() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("data");
        fs::write(&path, "hello").unwrap();
        seal(path.clone(), 5, &Extents::first(5), "footer").unwrap();
        assert!(fs::read(&path).unwrap().ends_with(MAGIC_WHOLE));
    }

    #[test]
    fn a_dropped_writer_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let layout = Layout::create(directory.path().join("bucket")).unwrap();
        let mut writer = writer(&layout);
        writer.write(b"half").unwrap();
        drop(writer);
        assert_eq!(fs::read_dir(layout.ready()).unwrap().count(), 0);
    }

    #[test]
    fn damage_is_an_error_and_absence_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("record");
        assert!(Record::<String>::open(&path).unwrap().is_none());
        for bytes in [
            &b""[..],
            b"short",
            b"no magic here at all",
            b"\xff\xff\xff\xffIMGNREC1",
            b"{\"extents\":[[0,1]],\"footer\":\"\"}\x1f\0\0\0IMGNREC2",
        ] {
            fs::write(&path, bytes).unwrap();
            let opened = Record::<String>::open(&path);
            assert!(matches!(opened, Err(Error::Damaged { .. })), "{bytes:?}");
        }
    }
}
