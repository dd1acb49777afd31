//! EXIF: the GPS directory of a TIFF structure becomes zeros, and what points to it goes.
//!
//! The entry that points to it is one of a directory's sorted table: those behind it move up, with the offset of the
//! next directory, and the freed bytes become zeros. Offsets in TIFF count from its header, so that moving an entry
//! changes none. What other entries hold is never written to, whatever a GPS directory claims to hold.

mod directories;

use std::io::Cursor;
use std::ops::Range;

use self::directories::{DIRECTORY_HEAD, Directories, ENTRY, Order};
use super::search::Search;
use super::{LocationFinding, jpeg, xmp};
use crate::source::Source;

/// What JPEG puts before the TIFF header. Some writers have another byte at its end.
const PREFIX: &[u8] = b"Exif\0";
const PREFIX_BYTES: usize = 6;
/// Tags of GPS directories are below 32: one with more entries is none.
const MAX_GPS_ENTRIES: usize = 64;
/// How long such a directory's table and values may be, together.
const MAX_GPS_BYTES: usize = 64 << 10;
/// How many such directories are taken out one by one, those that can be reached and those that cannot.
const MAX_GPS_DIRECTORIES: usize = 4;
const MAX_DEAD_DIRECTORIES: usize = 64;
const GPS_VERSION: u16 = 0;

/// What a pointer to a GPS directory leads to.
enum Target {
    /// Nothing that tells a location.
    Nothing,
    /// The directory's table, and the values outside it.
    Directory(Vec<Range<usize>>),
    /// Something else.
    Obscure,
}

/// Takes the location out of EXIF data.
pub(super) fn take_out(data: &mut [u8], look_into_thumbnail: bool) -> LocationFinding {
    let Some(tiff) = after_prefix(data) else {
        return LocationFinding::Nothing;
    };
    let Some(order) = Order::of(tiff) else {
        return take_out_dead(tiff, &[]);
    };
    let directories = Directories::read(tiff, order);
    let mut finding = LocationFinding::Nothing;
    let mut places = Vec::new();
    let mut pointers = Vec::new();
    for &(entry, target) in &directories.gps {
        match Target::read(tiff, order, target) {
            Target::Nothing => {}
            Target::Directory(ranges)
                if !directories.is_at(target) && pointers.len() < MAX_GPS_DIRECTORIES =>
            {
                places.extend(ranges);
                pointers.push(entry);
            }
            Target::Directory(_) | Target::Obscure => return rewritten(tiff, order),
        }
    }
    if !pointers.is_empty() {
        if directories.overlap() || !directories.is_whole {
            return rewritten(tiff, order);
        }
        finding = LocationFinding::Location;
        for place in places {
            clear(tiff, place, &directories.kept);
        }
        directories.remove(tiff, order, &pointers);
    }
    for range in &directories.packets {
        finding = finding.max(xmp::take_out(&mut tiff[range.clone()]));
    }
    for range in &directories.thumbnails {
        if look_into_thumbnail {
            finding = finding.max(take_out_of_thumbnail(&mut tiff[range.clone()]));
        }
    }
    match take_out_dead(tiff, &directories.kept) {
        LocationFinding::Nothing => finding,
        _ if !directories.is_whole => rewritten(tiff, order),
        dead => finding.max(dead),
    }
}

/// Leaves nothing of EXIF data, or of their beginning, but the orientation.
pub(super) fn keep_orientation(data: &mut [u8]) {
    if let Some(tiff) = after_prefix(data) {
        match Order::of(tiff) {
            Some(order) => {
                rewritten(tiff, order);
            }
            None => tiff.fill(0),
        }
    }
}

/// Whether a part of EXIF data has an entry that points to a GPS directory.
pub(super) fn is_suspicious(part: &[u8]) -> bool {
    next_dead(part, 0).is_some()
}

/// From the TIFF header on.
fn after_prefix(data: &mut [u8]) -> Option<&mut [u8]> {
    if data.starts_with(PREFIX) {
        data.get_mut(PREFIX_BYTES..)
    } else {
        Some(data)
    }
}

impl Target {
    fn read(tiff: &[u8], order: Order, at: usize) -> Self {
        let Some(count) = order.u16(tiff, at).map(usize::from) else {
            return Self::Nothing;
        };
        if count > MAX_GPS_ENTRIES {
            return Self::Obscure;
        }
        let table = at..(at + DIRECTORY_HEAD + count * ENTRY + 4).min(tiff.len());
        let mut length = table.len();
        let mut places = vec![table];
        let mut telling = directories::entries(tiff, order, at)
            .filter(|entry| entry.tag != GPS_VERSION)
            .peekable();
        if telling.peek().is_none() {
            return Self::Nothing;
        }
        let mut is_understood = false;
        for entry in telling {
            is_understood |= entry.size.is_some();
            length = length.saturating_add(entry.outside.as_ref().map_or(0, Range::len));
            places.extend(entry.outside);
        }
        if is_understood && length <= MAX_GPS_BYTES {
            Self::Directory(places)
        } else {
            Self::Obscure
        }
    }
}

/// Zeros, except where something else is kept. `kept` is sorted, and nothing in it overlaps.
fn clear(tiff: &mut [u8], place: Range<usize>, kept: &[Range<usize>]) {
    let mut from = place.start;
    let first = kept.partition_point(|other| other.end <= from);
    for other in kept[first..]
        .iter()
        .take_while(|other| other.start < place.end)
    {
        if let Some(bytes) = tiff.get_mut(from..other.start) {
            bytes.fill(0);
        }
        from = other.end;
    }
    if let Some(bytes) = tiff.get_mut(from..place.end) {
        bytes.fill(0);
    }
}

/// The same for directories that nothing points to any more, or that cannot be reached through a broken one: an entry
/// that points to a GPS directory is known by its tag, type and count. What other entries hold, such as a maker note,
/// is not looked at.
fn take_out_dead(tiff: &mut [u8], kept: &[Range<usize>]) -> LocationFinding {
    let mut finding = LocationFinding::Nothing;
    let (mut at, mut count) = (0, 0);
    while let Some((entry, order)) = next_dead(tiff, at) {
        at = entry + 1;
        let next = kept.partition_point(|other| other.end <= entry);
        if kept.get(next).is_some_and(|other| other.start <= entry) {
            continue;
        }
        let target = order.u32(tiff, entry + 8).unwrap_or(0) as usize;
        if let Target::Directory(places) = Target::read(tiff, order, target) {
            count += 1;
            if count > MAX_DEAD_DIRECTORIES {
                return rewritten(tiff, order);
            }
            for place in places {
                clear(tiff, place, kept);
            }
            clear(tiff, entry..entry + ENTRY, kept);
            finding = LocationFinding::Location;
        }
    }
    finding
}

/// The next entry that points to a GPS directory, from `at` on.
fn next_dead(tiff: &[u8], at: usize) -> Option<(usize, Order)> {
    tiff.get(at..)?
        .windows(ENTRY)
        .position(|entry| gps_pointer(entry).is_some())
        .and_then(|found| Some((at + found, gps_pointer(&tiff[at + found..])?)))
}

/// The byte order in which this is the entry: tag, type (LONG or IFD), and a count of one.
fn gps_pointer(entry: &[u8]) -> Option<Order> {
    match entry {
        [0x25, 0x88, 4 | 13, 0, 1, 0, 0, 0, ..] => Some(Order::Little),
        [0x88, 0x25, 0, 4 | 13, 0, 0, 0, 1, ..] => Some(Order::Big),
        _ => None,
    }
}

/// A JPEG within EXIF may have EXIF itself.
fn take_out_of_thumbnail(thumbnail: &mut [u8]) -> LocationFinding {
    let mut reader = Cursor::new(thumbnail.to_vec());
    let mut search = Search::default();
    let searched =
        Source::new(&mut reader).and_then(|mut file| jpeg::search(&mut file, &mut search, false));
    // Memory is read without errors.
    if searched.is_err() {
        return LocationFinding::Nothing;
    }
    let patches = search.finish();
    patches.apply(0, thumbnail);
    patches.finding()
}

/// A structure that says nothing but the orientation.
fn rewritten(tiff: &mut [u8], order: Order) -> LocationFinding {
    let orientation = directories::orientation(tiff, order);
    tiff.fill(0);
    let small = order.structure_of_orientation(orientation);
    if let Some(start) = tiff.get_mut(..small.len()) {
        start.copy_from_slice(&small);
    }
    LocationFinding::WithItsBlock
}
