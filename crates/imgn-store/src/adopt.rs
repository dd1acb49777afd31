//! Open uploads of a store of the first format, which kept each part as a record of its own: `00001.part`. Everything here
//! blocks, and happens when a store is opened.
//!
//! Invariant: until the manifest says otherwise the parts' own files are the truth; this can be done again from the start.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::digest::Checksums;
use crate::error::{Error, unless_damaged};
use crate::extent::Extent;
use crate::key::PartNumber;
use crate::record::Record;
use crate::upload::{DATA, LOG, Part, line};

/// What the first format knew of a part beside its bytes.
#[derive(Deserialize)]
struct PartFooter {
    modified: u64,
    etag: String,
    #[serde(default)]
    checksums: Checksums,
}

/// Copies all parts into one file, and makes its log. Both are durable except for their names.
pub(crate) fn adopt(directory: &Path) -> Result<(), Error> {
    let mut data = File::create(directory.join(DATA))?;
    let mut log = File::create(directory.join(LOG))?;
    let mut offset = 0;
    for (number, path) in part_files(directory)? {
        // A part that cannot be read is not there: it can be sent again.
        let record = unless_damaged("a part", Record::<PartFooter>::open(&path)).flatten();
        let Some(record) = record else { continue };
        let part = Part {
            number,
            extent: Extent {
                offset,
                length: record.size(),
            },
            modified: record.footer.modified,
            etag: record.footer.etag,
            checksums: record.footer.checksums,
        };
        record.data.for_each(|bytes| Ok(data.write_all(bytes)?))?;
        log.write_all(line(&part)?.as_bytes())?;
        offset = part.extent.end();
    }
    data.sync_data()?;
    Ok(log.sync_data()?)
}

/// Removes the files that were adopted.
pub(crate) fn tidy(directory: &Path) -> io::Result<()> {
    for (_, path) in part_files(directory)? {
        fs::remove_file(path)?;
    }
    Ok(())
}

/// In the order of their numbers.
fn part_files(directory: &Path) -> io::Result<Vec<(PartNumber, PathBuf)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let number = name.to_str().and_then(PartNumber::from_file_name);
        files.extend(number.map(|number| (number, entry.path())));
    }
    files.sort_unstable();
    Ok(files)
}
