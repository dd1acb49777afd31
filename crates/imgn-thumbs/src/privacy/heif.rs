//! AVIF and HEIC: items of EXIF and XMP, wherever in the file they lie, in as many places as they are in.
//!
//! A file may say that two items share bytes, or that metadata lie among coded data. No writer makes that, and a patch
//! there would break what is not metadata: such a file is said to be too much.

use std::io::{self, Read, Seek};
use std::ops::Range;

use super::search::{Kind, MAX_BLOCK, Piece, Search};
use crate::bytes::be32;
use crate::isobmff::{Item, Items};
use crate::source::Source;

const BOX_HEADER: u64 = 8;
const LONG_BOX_HEADER: u64 = 16;
/// A `meta` box has a version before its boxes.
const VERSION: u64 = 4;
/// How many boxes are looked at: pictures have a handful.
const MAX_BOXES: usize = 4096;
/// The name under which XMP is in a box of its own.
const XMP_UUID: [u8; 16] = [
    0xbe, 0x7a, 0xcf, 0xcb, 0x97, 0xa9, 0x42, 0xe8, 0x9c, 0x71, 0x99, 0x94, 0x91, 0xe3, 0xaf, 0xac,
];
const XMP_TYPE: &[u8] = b"application/rdf+xml";
/// An item of EXIF begins with the distance from there to the TIFF header.
const DISTANCE: usize = 4;

pub(super) fn search<R: Read + Seek>(
    source: &mut Source<'_, R>,
    search: &mut Search,
) -> io::Result<()> {
    source.hop();
    let mut at = 0;
    for _ in 0..MAX_BOXES {
        let Some((kind, body)) = next_box(source, at)? else {
            return Ok(());
        };
        at = body.end;
        match &kind {
            b"meta" => look_at_items(source, search, body)?,
            b"uuid" if source.array(body.start)? == Some(XMP_UUID) => {
                let start = body.start + XMP_UUID.len() as u64;
                search.look(source, Kind::Xmp, &[piece(start..body.end)], false)?;
            }
            _ => {}
        }
        if search.is_over() {
            return Ok(());
        }
    }
    search.give_up();
    Ok(())
}

/// The kind of the box at `at`, and where what it holds lies; nothing, if there is no whole header.
fn next_box<R: Read + Seek>(
    source: &mut Source<'_, R>,
    at: u64,
) -> io::Result<Option<([u8; 4], Range<u64>)>> {
    let Some([a, b, c, d, kind @ ..]) = source.array::<8>(at)? else {
        return Ok(None);
    };
    let (header, size) = match u32::from_be_bytes([a, b, c, d]) {
        0 => (BOX_HEADER, source.length() - at),
        1 => match source.array(at + BOX_HEADER)? {
            Some(size) => (LONG_BOX_HEADER, u64::from_be_bytes(size)),
            None => return Ok(None),
        },
        size => (BOX_HEADER, u64::from(size)),
    };
    if size < header {
        return Ok(None);
    }
    // What is cut off is looked at as far as it goes.
    let end = at.saturating_add(size).min(source.length());
    Ok(Some((kind, (at + header).min(end)..end)))
}

fn look_at_items<R: Read + Seek>(
    source: &mut Source<'_, R>,
    search: &mut Search,
    body: Range<u64>,
) -> io::Result<()> {
    let start = (body.start + VERSION).min(body.end);
    let (offset, length) = piece(start..body.end);
    if length > MAX_BLOCK {
        search.give_up();
        return Ok(());
    }
    let meta = source.read(offset, length)?;
    // What cannot be read here is no picture to anybody.
    let Ok(position) = usize::try_from(start) else {
        return Ok(());
    };
    let Ok(items) = Items::read(&meta, position) else {
        return Ok(());
    };
    let mut taken = Taken::default();
    let mut metadata = Vec::new();
    for item in items.iter() {
        let Ok(places) = items.places(item, source.length()) else {
            continue;
        };
        match kind(item) {
            Some(kind) => metadata.push((kind, places)),
            None => taken.add_all(&places),
        }
    }
    taken.sort();
    for (kind, places) in metadata {
        if !taken.claim(&places) {
            search.give_up();
        }
        if search.is_over() {
            break;
        }
        let pieces: Vec<Piece> = places
            .iter()
            .map(|&(offset, length)| piece(offset..offset + length))
            .collect();
        let pieces = match kind {
            Kind::Exif => behind_distance(source, &pieces)?,
            Kind::Xmp => pieces,
        };
        search.look(source, kind, &pieces, true)?;
    }
    Ok(())
}

fn kind(item: &Item<'_>) -> Option<Kind> {
    match &item.kind {
        b"Exif" => Some(Kind::Exif),
        b"mime" if item.content_type == XMP_TYPE && !item.is_encoded => Some(Kind::Xmp),
        _ => None,
    }
}

/// From the TIFF header on; or all that follows the distance to it, if that leads elsewhere.
fn behind_distance<R: Read + Seek>(
    source: &mut Source<'_, R>,
    pieces: &[Piece],
) -> io::Result<Vec<Piece>> {
    let distance = be32(&first_bytes(source, pieces)?, 0).unwrap_or(0) as usize;
    let from_header = skip(pieces, DISTANCE.saturating_add(distance));
    let begin = first_bytes(source, &from_header)?;
    Ok(if matches!(&begin, b"II*\0" | b"MM\0*") {
        from_header
    } else {
        skip(pieces, DISTANCE)
    })
}

/// The first bytes of what lies in these places; zeros where there are too few.
fn first_bytes<R: Read + Seek>(
    source: &mut Source<'_, R>,
    pieces: &[Piece],
) -> io::Result<[u8; DISTANCE]> {
    let mut bytes = [0; DISTANCE];
    let mut filled = 0;
    for &(offset, length) in pieces {
        let wanted = length.min(DISTANCE - filled);
        let found = source.at(offset, wanted)?;
        for (to, from) in bytes.iter_mut().skip(filled).zip(found) {
            *to = *from;
        }
        filled += wanted;
        if filled == DISTANCE {
            break;
        }
    }
    Ok(bytes)
}

/// The same places without their first bytes.
fn skip(pieces: &[Piece], mut bytes: usize) -> Vec<Piece> {
    let mut rest = Vec::with_capacity(pieces.len());
    for &(offset, length) in pieces {
        let skipped = length.min(bytes);
        bytes -= skipped;
        if length > skipped {
            rest.push((offset + skipped as u64, length - skipped));
        }
    }
    rest
}

fn piece(range: Range<u64>) -> Piece {
    // What does not fit in memory is longer than any block that is held.
    let length = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
    (range.start, length)
}

/// Places of a file that are something's already.
#[derive(Debug, Default)]
struct Taken {
    /// Sorted, once all that is no metadata is in it; may overlap until then.
    ranges: Vec<Range<u64>>,
}

impl Taken {
    fn add_all(&mut self, places: &[(u64, u64)]) {
        let ranges = places
            .iter()
            .filter(|(_, length)| *length > 0)
            .map(|&(offset, length)| offset..offset + length);
        self.ranges.extend(ranges);
    }

    /// Sorts, and makes one of what overlaps.
    fn sort(&mut self) {
        self.ranges.sort_unstable_by_key(|range| range.start);
        self.ranges.dedup_by(|next, before| {
            let overlaps = next.start <= before.end;
            if overlaps {
                before.end = before.end.max(next.end);
            }
            overlaps
        });
    }

    /// Takes places, unless some of their bytes are taken.
    fn claim(&mut self, places: &[(u64, u64)]) -> bool {
        places
            .iter()
            .filter(|(_, length)| *length > 0)
            .all(|&(offset, length)| {
                let range = offset..offset + length;
                let index = self
                    .ranges
                    .partition_point(|other| other.end <= range.start);
                let is_free = self
                    .ranges
                    .get(index)
                    .is_none_or(|other| range.end <= other.start);
                if is_free {
                    self.ranges.insert(index, range);
                }
                is_free
            })
    }
}
