//! TIFF, and the camera raws that are built like it: the directories of the whole file.
//!
//! It is what [`exif`](super::exif) does with a block of EXIF data, for a structure that is too large to be held: the
//! GPS directory becomes zeros, and the entry that points to it is taken out of its table, which is read and written
//! as a whole. XMP has an entry of its own. JPEG previews within the file, each with EXIF data of its own, are looked
//! for wherever they are.
//!
//! A structure that makes no sense (tables that overlap, more of them than any writer makes) is too much.

use std::io::{self, Read, Seek};
use std::ops::Range;

use super::search::{Kind, Search};
use super::{LocationFinding, Patch, jpeg};
use crate::source::Source;

/// How many directories are followed, and how many entries each may have: far more than cameras and scanners write.
const MAX_DIRECTORIES: usize = 256;
const MAX_ENTRIES: u64 = 4096;
/// Tags of GPS directories are below 32. How long the values of one may be, together.
const MAX_GPS_ENTRIES: usize = 64;
const MAX_GPS_BYTES: u64 = 64 << 10;
const GPS_VERSION: u16 = 0;

const SUB_DIRECTORIES: u16 = 0x014a;
const XMP: u16 = 0x02bc;
const EXIF_DIRECTORY: u16 = 0x8769;
const GPS_DIRECTORY: u16 = 0x8825;
const INTEROPERABILITY_DIRECTORY: u16 = 0xa005;

pub(super) fn search<R: Read + Seek>(
    source: &mut Source<'_, R>,
    search: &mut Search,
) -> io::Result<()> {
    if let Some(layout) = Layout::read(source)? {
        let structure = Directories::read(source, layout)?;
        structure.take_out(source, search)?;
    }
    source.read_on();
    jpeg::search(source, search, true)
}

/// Whether the first directory of a structure, being a GPS directory, says more than its version.
pub(super) fn tells_location(structure: &[u8]) -> bool {
    let mut reader = io::Cursor::new(structure);
    let gps = Source::new(&mut reader).and_then(|mut source| {
        Ok(match Layout::read(&mut source)? {
            Some(layout) => Gps::read(&mut source, layout, layout.first)?,
            None => Gps::Nothing,
        })
    });
    // Memory is read without errors.
    gps.is_ok_and(|gps| !matches!(gps, Gps::Nothing))
}

/// How numbers and directories are written.
#[derive(Debug, Clone, Copy)]
struct Layout {
    is_big_endian: bool,
    /// BigTIFF: offsets and counts have 64 bits.
    is_big: bool,
    first: u64,
}

impl Layout {
    fn read<R: Read + Seek>(source: &mut Source<'_, R>) -> io::Result<Option<Self>> {
        source.hop();
        let Some(head) = source.array::<16>(0)? else {
            return Ok(None);
        };
        let mut layout = Self {
            is_big_endian: head.starts_with(b"MM"),
            is_big: false,
            first: 0,
        };
        // What each maker calls it was told apart before.
        layout.is_big = layout.number(&head[2..4]) == 43;
        layout.first = if layout.is_big {
            layout.number(&head[8..16])
        } else {
            layout.number(&head[4..8])
        };
        Ok(Some(layout))
    }

    fn number(self, bytes: &[u8]) -> u64 {
        let add = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        if self.is_big_endian {
            bytes.iter().fold(0, add)
        } else {
            bytes.iter().rev().fold(0, add)
        }
    }

    fn write(self, number: u64, to: &mut [u8]) {
        let bytes = number.to_be_bytes();
        for (to, byte) in to.iter_mut().rev().zip(bytes.iter().rev()) {
            *to = *byte;
        }
        if !self.is_big_endian {
            to.reverse();
        }
    }

    fn head(self) -> usize {
        if self.is_big { 8 } else { 2 }
    }

    fn entry(self) -> usize {
        if self.is_big { 20 } else { 12 }
    }

    /// Bytes of a count of values, of an offset, and of values that need none.
    fn word(self) -> usize {
        if self.is_big { 8 } else { 4 }
    }
}

/// A directory's table: count, entries, offset of the next one.
struct Table {
    at: u64,
    bytes: Vec<u8>,
}

struct Entry {
    tag: u16,
    kind: u16,
    /// The number that it holds, or where its values are.
    value: u64,
    /// Where its values are, if outside.
    outside: Option<Range<u64>>,
}

impl Table {
    /// The table at `at`; nothing if the file has no such table.
    fn read<R: Read + Seek>(
        source: &mut Source<'_, R>,
        layout: Layout,
        at: u64,
    ) -> io::Result<Option<Self>> {
        let head = source.at(at, layout.head())?;
        if at < 8 || head.len() < layout.head() {
            return Ok(None);
        }
        let count = layout.number(head);
        // At most what 4,096 entries take.
        let length = layout.head() as u64
            + count.min(MAX_ENTRIES) * layout.entry() as u64
            + layout.word() as u64;
        let length = length.min(source.length() - at) as usize;
        Ok(if count > MAX_ENTRIES {
            None
        } else {
            Some(Self {
                at,
                bytes: source.read(at, length)?,
            })
        })
    }

    fn range(&self) -> Range<u64> {
        self.at..self.at + self.bytes.len() as u64
    }

    fn count(&self, layout: Layout) -> usize {
        let counted = layout.number(self.bytes.get(..layout.head()).unwrap_or(&[]));
        let room = (self.bytes.len() - layout.head()) / layout.entry();
        usize::try_from(counted).map_or(room, |counted| counted.min(room))
    }

    fn entries(&self, layout: Layout, file_size: u64) -> impl Iterator<Item = Entry> {
        let entries = self.bytes.get(layout.head()..).unwrap_or(&[]);
        entries
            .chunks_exact(layout.entry())
            .take(self.count(layout))
            .map(move |entry| {
                let (head, value) = entry.split_at(4 + layout.word());
                let kind = layout.number(&head[2..4]) as u16;
                let count = layout.number(&head[4..]);
                let offset = layout.number(value);
                let size = size_of_kind(kind).and_then(|size| size.checked_mul(count));
                Entry {
                    tag: layout.number(&head[..2]) as u16,
                    kind,
                    value: match kind {
                        3 => layout.number(&value[..2]),
                        // Numbers begin where their place does, also where it is longer.
                        4 | 13 => layout.number(&value[..4]),
                        _ => offset,
                    },
                    outside: size
                        .filter(|&size| size > layout.word() as u64)
                        .and_then(|size| {
                            let end = offset.checked_add(size)?;
                            (end <= file_size).then_some(offset..end)
                        }),
                }
            })
    }

    fn next(&self, layout: Layout) -> u64 {
        let at = layout.head() + self.count(layout) * layout.entry();
        layout.number(self.bytes.get(at..at + layout.word()).unwrap_or(&[]))
    }

    /// Takes the entry at `index` out: those behind it move up, with the offset of the next directory.
    fn remove(&mut self, layout: Layout, index: usize) {
        let (count, size) = (self.count(layout), layout.entry());
        let at = layout.head() + index * size;
        let end = self.bytes.len();
        if index >= count || at + size > end {
            return;
        }
        self.bytes.copy_within(at + size.., at);
        self.bytes[end - size..].fill(0);
        layout.write(count as u64 - 1, &mut self.bytes[..layout.head()]);
    }
}

/// What a file's directories hold.
struct Directories {
    layout: Layout,
    tables: Vec<Table>,
    /// Whether no more of them were there than were read.
    is_whole: bool,
}

impl Directories {
    fn read<R: Read + Seek>(source: &mut Source<'_, R>, layout: Layout) -> io::Result<Self> {
        let mut found = Self {
            layout,
            tables: Vec::new(),
            is_whole: true,
        };
        let mut waiting = vec![layout.first];
        while let Some(at) = waiting.pop() {
            if at == 0 || found.tables.iter().any(|table| table.at == at) {
                continue;
            }
            let Some(table) = Table::read(source, layout, at)? else {
                continue;
            };
            if found.tables.len() == MAX_DIRECTORIES || waiting.len() > MAX_ENTRIES as usize {
                found.is_whole = false;
                break;
            }
            waiting.push(table.next(layout));
            for entry in table.entries(layout, source.length()) {
                match (entry.tag, &entry.outside) {
                    (EXIF_DIRECTORY | INTEROPERABILITY_DIRECTORY, _) | (SUB_DIRECTORIES, None) => {
                        waiting.push(entry.value);
                    }
                    (SUB_DIRECTORIES, Some(range)) => {
                        let size = size_of_kind(entry.kind).unwrap_or(4) as usize;
                        let length = (range.end - range.start).min(size as u64 * 64) as usize;
                        let offsets = source.read(range.start, length)?;
                        waiting.extend(offsets.chunks_exact(size).map(|at| layout.number(at)));
                    }
                    _ => {}
                }
            }
            found.tables.push(table);
        }
        Ok(found)
    }

    fn take_out<R: Read + Seek>(
        mut self,
        source: &mut Source<'_, R>,
        search: &mut Search,
    ) -> io::Result<()> {
        let (layout, size) = (self.layout, source.length());
        let header = 0..size.min(16);
        let mut kept: Vec<Range<u64>> = Vec::from([header]);
        let mut pointers = Vec::new();
        let mut packets = Vec::new();
        for (number, table) in self.tables.iter().enumerate() {
            kept.push(table.range());
            for (index, entry) in table.entries(layout, size).enumerate() {
                match entry.tag {
                    GPS_DIRECTORY => pointers.push((number, index, entry.value)),
                    XMP => packets.extend(entry.outside),
                    _ => kept.extend(entry.outside),
                }
            }
        }
        let tables_overlap = overlap(self.tables.iter().map(Table::range).collect());
        kept.extend(packets.iter().cloned());
        let mut cleared = Vec::new();
        let mut removed = Vec::new();
        for &(number, index, target) in &pointers {
            let is_known = self.tables.iter().any(|table| table.at == target);
            match Gps::read(source, layout, target)? {
                Gps::Nothing => {}
                Gps::Places(_) if is_known || tables_overlap => search.give_up(),
                Gps::Places(places) => {
                    cleared.extend(places);
                    removed.push((number, index));
                }
                Gps::Obscure => search.give_up(),
            }
        }
        if !self.is_whole {
            search.give_up();
        }
        let patches = self.patches(&removed, cleared, &kept);
        if !patches.is_empty() {
            search.commit(LocationFinding::Location, patches);
        }
        packets.sort_by_key(|packet| packet.start);
        packets.dedup();
        for packet in packets {
            let length = usize::try_from(packet.end - packet.start).unwrap_or(usize::MAX);
            search.look(source, Kind::Xmp, &[(packet.start, length)], false)?;
        }
        Ok(())
    }

    /// What the tables become, and zeros for what they no longer hold.
    fn patches(
        &mut self,
        removed: &[(usize, usize)],
        cleared: Vec<Range<u64>>,
        kept: &[Range<u64>],
    ) -> Vec<Patch> {
        let mut patches = Vec::new();
        let layout = self.layout;
        for (number, table) in self.tables.iter_mut().enumerate() {
            // From the last on, so that the places of those before stay true.
            let of_table = removed.iter().filter(|(of, _)| *of == number);
            let mut indices: Vec<usize> = of_table.map(|&(_, index)| index).collect();
            indices.sort_unstable();
            if indices.is_empty() {
                continue;
            }
            for &index in indices.iter().rev() {
                table.remove(layout, index);
            }
            patches.push(Patch::bytes(table.at, table.bytes.clone()));
        }
        for range in without(merged(cleared), &merged(kept.to_vec())) {
            patches.push(Patch::repeated(range.start, 0, range.end - range.start));
        }
        patches
    }
}

/// What a pointer to a GPS directory leads to.
enum Gps {
    /// Nothing that tells a location.
    Nothing,
    /// The table, and the values outside it.
    Places(Vec<Range<u64>>),
    Obscure,
}

impl Gps {
    fn read<R: Read + Seek>(
        source: &mut Source<'_, R>,
        layout: Layout,
        at: u64,
    ) -> io::Result<Self> {
        let Some(table) = Table::read(source, layout, at)? else {
            return Ok(Self::Nothing);
        };
        let entries: Vec<Entry> = table
            .entries(layout, source.length())
            .filter(|entry| entry.tag != GPS_VERSION)
            .collect();
        if entries.is_empty() {
            return Ok(Self::Nothing);
        }
        let outside = entries.iter().filter_map(|entry| entry.outside.clone());
        let places: Vec<_> = outside.chain([table.range()]).collect();
        let length: u64 = places.iter().map(|place| place.end - place.start).sum();
        let is_understood = entries
            .iter()
            .any(|entry| size_of_kind(entry.kind).is_some());
        let is_small = entries.len() <= MAX_GPS_ENTRIES && length <= MAX_GPS_BYTES;
        Ok(if is_understood && is_small {
            Self::Places(places)
        } else {
            Self::Obscure
        })
    }
}

fn overlap(mut ranges: Vec<Range<u64>>) -> bool {
    ranges.sort_by_key(|range| range.start);
    ranges.windows(2).any(|pair| match pair {
        [one, next] => one.end > next.start,
        _ => false,
    })
}

/// The same places, sorted, without overlap.
fn merged(mut ranges: Vec<Range<u64>>) -> Vec<Range<u64>> {
    ranges.sort_by_key(|range| range.start);
    let mut merged: Vec<Range<u64>> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match merged.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}

/// What of some places is not kept. Both are sorted and without overlap.
fn without(places: Vec<Range<u64>>, kept: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut rest = Vec::new();
    for place in places {
        let mut from = place.start;
        let first = kept.partition_point(|other| other.end <= from);
        for other in kept[first..]
            .iter()
            .take_while(|other| other.start < place.end)
        {
            rest.push(from..other.start.max(from));
            from = other.end;
        }
        rest.push(from..place.end.max(from));
    }
    rest.retain(|range| !range.is_empty());
    rest
}

/// Bytes of one value of each of TIFF's types.
fn size_of_kind(kind: u16) -> Option<u64> {
    match kind {
        1 | 2 | 6 | 7 => Some(1),
        3 | 8 => Some(2),
        4 | 9 | 11 | 13 => Some(4),
        5 | 10 | 12 | 16..=18 => Some(8),
        _ => None,
    }
}
