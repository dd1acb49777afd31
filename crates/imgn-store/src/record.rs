//! The one file format: bytes first, then a JSON footer, its length and a magic number.
//!
//! ```text
//! [ data ][ footer: JSON ][ length of the JSON: u32, little endian ][ "IMGNREC1" ]
//! ```
//!
//! What is known only after the last byte (entity tag, checksums) stands in the same file as the bytes, so that one
//! sync and one rename publish both: an object can never be seen with another object's metadata.
//! Data starts at offset 0, so a range is a plain seek.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::digest::{Digester, Summary};
use crate::error::Error;
use crate::layout::{Layout, TempPath};

const MAGIC: &[u8; 8] = b"IMGNREC1";
/// Length and magic number.
const TRAILER_LEN: u64 = 12;
/// A footer holds a key (1 KiB), user metadata (2 KiB in S3, more tolerated) and checksums.
const FOOTER_MAX_LEN: u64 = 64 * 1024;
/// Read at once from the end of the file; holds nearly every footer.
const TAIL_LEN: u64 = 2048;

/// A record being written under `tmp/`; removed when dropped.
#[derive(Debug)]
pub(crate) struct RecordWriter {
    file: File,
    temp: TempPath,
    digester: Digester,
}

impl RecordWriter {
    pub(crate) fn create(layout: &Layout, digester: Digester) -> Result<Self, Error> {
        let temp = layout.fresh_tmp();
        let file = File::create_new(temp.path())?;
        Ok(Self {
            file,
            temp,
            digester,
        })
    }

    /// Appends, and hashes what it appends.
    pub(crate) fn write_all<'a>(
        &mut self,
        chunks: impl IntoIterator<Item = &'a Bytes>,
    ) -> Result<(), Error> {
        for chunk in chunks {
            self.write(chunk)?;
        }
        Ok(())
    }

    pub(crate) fn write(&mut self, chunk: &[u8]) -> Result<(), Error> {
        self.digester.update(chunk);
        Ok(self.file.write_all(chunk)?)
    }

    /// Ends the data. `footer` sees what was written and may still refuse it.
    pub(crate) fn finish<F: Serialize>(
        self,
        footer: impl FnOnce(Summary) -> Result<F, Error>,
    ) -> Result<SealedRecord<F>, Error> {
        let Self {
            mut file,
            temp,
            digester,
        } = self;
        let footer = footer(digester.finish())?;
        let mut tail = serde_json::to_vec(&footer).map_err(io::Error::from)?;
        let length = u32::try_from(tail.len()).unwrap_or(u32::MAX);
        if u64::from(length) > FOOTER_MAX_LEN {
            return Err(Error::InvalidRequest {
                message: "the metadata is too large".into(),
            });
        }
        tail.extend_from_slice(&length.to_le_bytes());
        tail.extend_from_slice(MAGIC);
        file.write_all(&tail)?;
        file.sync_data()?;
        Ok(SealedRecord { temp, footer })
    }
}

/// A complete, synced record that is not yet where it belongs.
#[derive(Debug)]
pub(crate) struct SealedRecord<F> {
    temp: TempPath,
    pub(crate) footer: F,
}

impl<F> SealedRecord<F> {
    /// Moves the record to its place. The caller syncs the directory.
    pub(crate) fn rename(self, destination: &Path) -> io::Result<F> {
        self.temp.rename(destination)?;
        Ok(self.footer)
    }
}

/// A record open for reading.
#[derive(Debug)]
pub(crate) struct Record<F> {
    pub(crate) file: File,
    /// Length of the data, in bytes.
    pub(crate) size: u64,
    pub(crate) footer: F,
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
        if magic != MAGIC {
            return Err(damaged("no footer"));
        }
        let footer_length = u64::from(u32::from_le_bytes(
            footer_length.try_into().unwrap_or_default(),
        ));
        let tail_length = footer_length + TRAILER_LEN;
        if footer_length > FOOTER_MAX_LEN || tail_length > length {
            return Err(damaged("impossible footer length"));
        }
        if tail_length > TAIL_LEN {
            tail = read_tail(&mut file, length, tail_length)?;
        }
        let end = tail.len() - 12;
        let start = tail.len() - usize::try_from(tail_length).unwrap_or(tail.len());
        let footer = serde_json::from_slice(&tail[start..end])
            .map_err(|error| damaged(&error.to_string()))?;
        Ok(Some(Self {
            file,
            size: length - tail_length,
            footer,
        }))
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

    fn write(layout: &Layout, data: &[u8], footer: &str, to: &Path) {
        let mut writer = RecordWriter::create(layout, Digester::default()).unwrap();
        writer.write(data).unwrap();
        let sealed = writer.finish(|_| Ok(footer.to_owned())).unwrap();
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
            assert_eq!(record.size, data.len() as u64);
            assert_eq!(record.footer, footer);
        }
    }

    #[test]
    fn a_dropped_writer_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let layout = Layout::create(directory.path().join("bucket")).unwrap();
        let mut writer = RecordWriter::create(&layout, Digester::default()).unwrap();
        writer.write(b"half").unwrap();
        drop(writer);
        assert_eq!(std::fs::read_dir(layout.tmp()).unwrap().count(), 0);
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
        ] {
            std::fs::write(&path, bytes).unwrap();
            let opened = Record::<String>::open(&path);
            assert!(matches!(opened, Err(Error::Damaged { .. })), "{bytes:?}");
        }
    }
}
