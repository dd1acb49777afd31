//! Objects of a bucket that another process may have open: for a backup of a store that is at work.
//!
//! It lists nothing, repairs nothing and writes nothing. Invariant: what is read is one whole object, however the store
//! goes on meanwhile, for a key's file is only ever replaced or removed as a whole and stays readable while it is open.
//!
//! What a power cut took back the next opening of the store finds again (see `ready`); until then it is not here.

use std::io;
use std::path::Path;

use bytes::Bytes;

use crate::error::Error;
use crate::key::ObjectKey;
use crate::layout::Layout;
use crate::object::ObjectFooter;
use crate::record::{Data, Record};

/// What is read from a file at once.
const READ_BYTES: u64 = 256 * 1024;

/// A bucket's objects, to be read. It needs no credentials: whoever may read the files may read what is in them.
#[derive(Debug)]
pub struct Reader {
    layout: Layout,
}

/// An object that is being read.
#[derive(Debug)]
pub struct Reading {
    size: u64,
    left: Option<Data>,
}

impl Reader {
    /// The bucket of a store's directory, which is there.
    ///
    /// # Errors
    /// When it is not.
    pub fn open(root: &Path, bucket: &str) -> io::Result<Self> {
        let layout = Layout::of(root.join(bucket));
        std::fs::metadata(layout.objects())?;
        Ok(Self { layout })
    }

    /// The object under a key; `None` where there is none.
    ///
    /// # Errors
    /// When its file cannot be read, or is damaged ([`io::ErrorKind::InvalidData`]).
    pub async fn get(&self, key: &str) -> io::Result<Option<Reading>> {
        let key = ObjectKey::new(key).map_err(told)?;
        let path = self.layout.object(&key);
        let open = move || match Record::<ObjectFooter>::open(&path)? {
            Some(record) if record.footer.key != key => Err(Error::Damaged {
                what: format!("{}: holds another key", path.display()),
            }),
            found => Ok(found),
        };
        let found = tokio::task::spawn_blocking(open).await;
        let found = found.map_err(io::Error::other)?.map_err(told)?;
        Ok(found.map(|record| Reading {
            size: record.size(),
            left: Some(record.data),
        }))
    }
}

impl Reading {
    /// How many bytes it has.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The next of them; `None` at the end.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn chunk(&mut self) -> io::Result<Option<Bytes>> {
        let Some(data) = self.left.take() else {
            return Ok(None);
        };
        let read = tokio::task::spawn_blocking(move || data.read(READ_BYTES)).await;
        Ok(read.map_err(io::Error::other)??.map(|(bytes, left)| {
            self.left = Some(left);
            bytes
        }))
    }
}

fn told(error: Error) -> io::Error {
    match error {
        Error::Io(error) => error,
        Error::Damaged { .. } => io::Error::new(io::ErrorKind::InvalidData, error),
        other => io::Error::other(other),
    }
}
