//! Camera raws: most are TIFF structures; all hold JPEG previews with EXIF data of their own.
//!
//! Of a CR3 it is the box `CMT4`, which is a TIFF structure of the GPS directory alone, and XMP in a box of its own.

use std::io::{self, Read, Seek};

use super::search::{Kind, Search};
use super::{LocationFinding, Patch, jpeg, tiff};
use crate::source::Source;

const BOX_HEADER: u64 = 8;
const UUID: u64 = 16;
/// How many boxes are looked at: a CR3 has some dozens.
const MAX_BOXES: usize = 1024;
/// A GPS directory is some hundred bytes.
const MAX_GPS_BYTES: u64 = 64 << 10;

pub(super) fn search<R: Read + Seek>(
    source: &mut Source<'_, R>,
    search: &mut Search,
) -> io::Result<()> {
    source.hop();
    match source.at(0, 12)? {
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => boxes(source, search)?,
        [b'F', b'U', b'J', b'I', ..] => {}
        _ => return tiff::search(source, search),
    }
    source.read_on();
    jpeg::search(source, search, true)
}

/// Looks at the boxes of a file, and into those that hold others.
fn boxes<R: Read + Seek>(source: &mut Source<'_, R>, search: &mut Search) -> io::Result<()> {
    let mut waiting = vec![(0, source.length())];
    let mut count = 0;
    while let Some((at, end)) = waiting.pop() {
        let Some([a, b, c, d, kind @ ..]) = source.array::<8>(at)? else {
            continue;
        };
        count += 1;
        if count > MAX_BOXES {
            search.give_up();
            break;
        }
        let (header, size) = match u32::from_be_bytes([a, b, c, d]) {
            0 => (BOX_HEADER, end - at),
            1 => match source.array::<8>(at + BOX_HEADER)? {
                Some(size) => (2 * BOX_HEADER, u64::from_be_bytes(size)),
                None => continue,
            },
            size => (BOX_HEADER, size.into()),
        };
        let next = at.saturating_add(size);
        if size < header || next > end {
            continue;
        }
        if next + BOX_HEADER <= end {
            waiting.push((next, end));
        }
        let start = at + header;
        match &kind {
            b"moov" => waiting.push((start, next)),
            b"uuid" => uuid(source, search, start, next, &mut waiting)?,
            b"CMT4" => gps(source, search, start, next)?,
            _ => {}
        }
    }
    Ok(())
}

/// A box by somebody's own name: of XMP, or of others.
fn uuid<R: Read + Seek>(
    source: &mut Source<'_, R>,
    search: &mut Search,
    start: u64,
    end: u64,
    waiting: &mut Vec<(u64, u64)>,
) -> io::Result<()> {
    /// Adobe's name for XMP in boxes, and Canon's for its own.
    const XMP: [u8; 16] = *b"\xbe\x7a\xcf\xcb\x97\xa9\x42\xe8\x9c\x71\x99\x94\x91\xe3\xaf\xac";
    const CANON: [u8; 16] = *b"\x85\xc0\xb6\x87\x82\x0f\x11\xe0\x81\x11\xf4\xce\x46\x2b\x6a\x48";
    let contents = start + UUID;
    match source.array::<16>(start)? {
        Some(XMP) if contents <= end => {
            let length = usize::try_from(end - contents).unwrap_or(usize::MAX);
            search.look(source, Kind::Xmp, &[(contents, length)], false)?;
        }
        Some(CANON) if contents <= end => waiting.push((contents, end)),
        _ => {}
    }
    Ok(())
}

/// A structure of nothing but a GPS directory: its entries become none, and its values zeros.
fn gps<R: Read + Seek>(
    source: &mut Source<'_, R>,
    search: &mut Search,
    start: u64,
    end: u64,
) -> io::Result<()> {
    let length = end - start;
    if length > MAX_GPS_BYTES {
        search.give_up();
        return Ok(());
    }
    let block = source.read(start, length as usize)?;
    if tiff::tells_location(&block) {
        // Behind the header; a directory of no entries and no next one is all zeros.
        let patch = Patch::repeated(start + 8, 0, length.saturating_sub(8));
        search.commit(LocationFinding::Location, vec![patch]);
    }
    Ok(())
}
