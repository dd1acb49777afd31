//! TIFF's directories: where they are, what their entries hold, and how an entry is taken out.

use std::ops::Range;

use crate::bytes::{be16, be32, le16, le32};

/// A directory is a count, entries, and the offset of the next directory.
pub(super) const DIRECTORY_HEAD: usize = 2;
pub(super) const ENTRY: usize = 12;
const NEXT: usize = 4;
const HEADER: usize = 8;
/// How many directories are followed. Cameras write four or five.
const MAX_DIRECTORIES: usize = 64;
/// How many entries they may have together.
const MAX_ENTRIES: usize = 16_384;
/// How many thumbnails and how many XMP packets are looked into.
const MAX_WITHIN: usize = 4;

const STRIP_OFFSET: u16 = 0x0111;
const ORIENTATION: u16 = 0x0112;
const STRIP_LENGTH: u16 = 0x0117;
const SUB_DIRECTORIES: u16 = 0x014a;
const THUMBNAIL_OFFSET: u16 = 0x0201;
const THUMBNAIL_LENGTH: u16 = 0x0202;
const XMP: u16 = 0x02bc;
const EXIF_DIRECTORY: u16 = 0x8769;
const GPS_DIRECTORY: u16 = 0x8825;
const INTEROPERABILITY_DIRECTORY: u16 = 0xa005;

const SHORT: u16 = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Little,
    Big,
}

impl Order {
    /// By a TIFF header.
    pub(super) fn of(tiff: &[u8]) -> Option<Self> {
        if tiff.starts_with(b"II*\0") {
            Some(Self::Little)
        } else if tiff.starts_with(b"MM\0*") {
            Some(Self::Big)
        } else {
            None
        }
    }

    pub(super) fn u16(self, bytes: &[u8], at: usize) -> Option<u16> {
        match self {
            Self::Little => le16(bytes, at),
            Self::Big => be16(bytes, at),
        }
    }

    pub(super) fn u32(self, bytes: &[u8], at: usize) -> Option<u32> {
        match self {
            Self::Little => le32(bytes, at),
            Self::Big => be32(bytes, at),
        }
    }

    /// Header, and a directory of one entry.
    pub(super) fn structure_of_orientation(self, orientation: u16) -> Vec<u8> {
        let header: &[u8] = match self {
            Self::Little => b"II*\0",
            Self::Big => b"MM\0*",
        };
        let short = |value| self.bytes_of(value);
        let mut bytes = header.to_vec();
        match self {
            Self::Little => bytes.extend((HEADER as u32).to_le_bytes()),
            Self::Big => bytes.extend((HEADER as u32).to_be_bytes()),
        }
        bytes.extend(short(1));
        bytes.extend(short(ORIENTATION));
        bytes.extend(short(SHORT));
        match self {
            Self::Little => bytes.extend(1_u32.to_le_bytes()),
            Self::Big => bytes.extend(1_u32.to_be_bytes()),
        }
        bytes.extend(short(orientation));
        bytes.extend([0; 2 + NEXT]);
        bytes
    }

    fn bytes_of(self, value: u16) -> [u8; 2] {
        match self {
            Self::Little => value.to_le_bytes(),
            Self::Big => value.to_be_bytes(),
        }
    }
}

pub(super) struct Entry {
    at: usize,
    pub(super) tag: u16,
    kind: u16,
    /// How many bytes it holds, if its type is known.
    pub(super) size: Option<usize>,
    /// Where it holds them, if not in itself: within the structure.
    pub(super) outside: Option<Range<usize>>,
}

/// The entries of the directory at `at`, as far as they lie within the structure.
pub(super) fn entries(tiff: &[u8], order: Order, at: usize) -> impl Iterator<Item = Entry> {
    let count = order.u16(tiff, at).map_or(0, usize::from);
    (0..count).map_while(move |index| {
        let at = at + DIRECTORY_HEAD + index * ENTRY;
        // All of it.
        let value = order.u32(tiff, at + 8)?;
        let kind = order.u16(tiff, at + 2)?;
        let size = size_of_type(kind).and_then(|unit| {
            usize::try_from(order.u32(tiff, at + 4)?)
                .ok()?
                .checked_mul(unit)
        });
        let outside = size.filter(|&size| size > 4).and_then(|size| {
            let start = value as usize;
            let range = start..start.checked_add(size)?;
            (range.end <= tiff.len()).then_some(range)
        });
        Some(Entry {
            at,
            tag: order.u16(tiff, at)?,
            kind,
            size,
            outside,
        })
    })
}

/// What the first directory says of the orientation: 1 (upright) to 8.
pub(super) fn orientation(tiff: &[u8], order: Order) -> u16 {
    let first = order.u32(tiff, 4).unwrap_or(0) as usize;
    entries(tiff, order, first)
        .find(|entry| entry.tag == ORIENTATION && entry.kind == SHORT)
        .and_then(|entry| order.u16(tiff, entry.at + 8))
        .filter(|orientation| (1..=8).contains(orientation))
        .unwrap_or(1)
}

/// The directories of a structure that can be reached, except GPS directories.
pub(super) struct Directories {
    /// Their tables, in the order in which they were met.
    tables: Vec<Range<usize>>,
    /// Entries that point to GPS directories: where they are, and where these are.
    pub(super) gps: Vec<(usize, usize)>,
    /// What must not be written to: header, tables, values. Sorted, without overlap.
    pub(super) kept: Vec<Range<usize>>,
    /// XMP packets.
    pub(super) packets: Vec<Range<usize>>,
    /// JPEG thumbnails.
    pub(super) thumbnails: Vec<Range<usize>>,
    /// Whether all of them, with all entries, were read.
    pub(super) is_whole: bool,
    entries: usize,
}

impl Directories {
    pub(super) fn read(tiff: &[u8], order: Order) -> Self {
        let mut found = Self {
            tables: Vec::new(),
            gps: Vec::new(),
            kept: Vec::new(),
            packets: Vec::new(),
            thumbnails: Vec::new(),
            is_whole: true,
            entries: 0,
        };
        found.kept.push(0..HEADER.min(tiff.len()));
        let mut waiting: Vec<u32> = order.u32(tiff, 4).into_iter().collect();
        while let Some(offset) = waiting.pop() {
            let at = offset as usize;
            let Some(count) = order.u16(tiff, at).map(usize::from) else {
                continue;
            };
            if at == 0 || found.is_at(at) {
                continue;
            }
            found.entries += count;
            if found.tables.len() == MAX_DIRECTORIES || found.entries > MAX_ENTRIES {
                found.is_whole = false;
                break;
            }
            let end = at + DIRECTORY_HEAD + count * ENTRY;
            found.tables.push(at..(end + NEXT).min(tiff.len()));
            found.read_directory(tiff, order, at, &mut waiting);
            waiting.extend(order.u32(tiff, end));
        }
        found.kept.extend(found.tables.iter().cloned());
        found.kept = merged(found.kept);
        // What is within must not be the structure itself.
        let tables = &found.tables;
        let is_apart = |range: &Range<usize>| {
            range.start >= HEADER
                && tables
                    .iter()
                    .all(|table| range.end <= table.start || table.end <= range.start)
        };
        found.packets.retain(is_apart);
        found.packets.truncate(MAX_WITHIN);
        found.thumbnails.retain(is_apart);
        found.thumbnails.truncate(MAX_WITHIN);
        found
    }

    /// Whether one of them is at `at`.
    pub(super) fn is_at(&self, at: usize) -> bool {
        self.tables.iter().any(|table| table.start == at)
    }

    /// Whether some of their tables share bytes: no writer makes that, and no entry can be taken out of them.
    pub(super) fn overlap(&self) -> bool {
        let mut tables = self.tables.clone();
        tables.sort_by_key(|table| table.start);
        tables.windows(2).any(|pair| match pair {
            [one, next] => one.end > next.start,
            _ => false,
        })
    }

    /// Takes these entries out of their tables.
    pub(super) fn remove(&self, tiff: &mut [u8], order: Order, pointers: &[usize]) {
        for table in &self.tables {
            let mut removed: Vec<usize> = pointers
                .iter()
                .copied()
                .filter(|entry| table.contains(entry))
                .collect();
            removed.sort_unstable();
            removed.dedup();
            // From the last on, so that the places of those before stay true.
            for &entry in removed.iter().rev() {
                tiff.copy_within(entry + ENTRY..table.end, entry);
                tiff[table.end - ENTRY..table.end].fill(0);
            }
            if let Some(count) = order.u16(tiff, table.start) {
                let count = usize::from(count).saturating_sub(removed.len());
                // Not above what it was.
                let count = order.bytes_of(count as u16);
                tiff[table.start..table.start + 2].copy_from_slice(&count);
            }
        }
    }

    fn read_directory(&mut self, tiff: &[u8], order: Order, at: usize, waiting: &mut Vec<u32>) {
        let (mut thumbnail, mut strip) = ((None, None), (None, None));
        for entry in entries(tiff, order, at) {
            let number = if entry.kind == SHORT {
                order.u16(tiff, entry.at + 8).map(u32::from)
            } else {
                order.u32(tiff, entry.at + 8)
            };
            match entry.tag {
                GPS_DIRECTORY => {
                    self.gps
                        .extend(number.map(|target| (entry.at, target as usize)));
                    continue;
                }
                EXIF_DIRECTORY | INTEROPERABILITY_DIRECTORY => waiting.extend(number),
                SUB_DIRECTORIES => match &entry.outside {
                    None => waiting.extend(number),
                    Some(range) => waiting.extend(
                        tiff[range.clone()]
                            .chunks_exact(4)
                            .take(MAX_DIRECTORIES)
                            .filter_map(|offset| order.u32(offset, 0)),
                    ),
                },
                THUMBNAIL_OFFSET => thumbnail.0 = number,
                THUMBNAIL_LENGTH => thumbnail.1 = number,
                STRIP_OFFSET => strip.0 = number,
                STRIP_LENGTH => strip.1 = number,
                XMP => self.packets.extend(entry.outside.clone()),
                _ => {}
            }
            self.kept.extend(entry.outside);
        }
        let within = |(offset, length): (Option<u32>, Option<u32>)| {
            let start = offset? as usize;
            let range = start..start.checked_add(length? as usize)?;
            (range.end <= tiff.len()).then_some(range)
        };
        self.kept.extend(within(strip));
        self.kept.extend(within(thumbnail));
        self.thumbnails.extend(within(thumbnail));
    }
}

/// The same bytes, sorted, without overlap.
fn merged(mut ranges: Vec<Range<usize>>) -> Vec<Range<usize>> {
    ranges.sort_unstable_by_key(|range| range.start);
    let mut merged: Vec<Range<usize>> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match merged.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}

/// Bytes of one value of each of TIFF's types.
fn size_of_type(kind: u16) -> Option<usize> {
    match kind {
        1 | 2 | 6 | 7 => Some(1),
        3 | 8 => Some(2),
        4 | 9 | 11 | 13 => Some(4),
        5 | 10 | 12 => Some(8),
        _ => None,
    }
}
