//! The timeline as it is kept: chunks of entries in ascending order, so that the order of a million pictures is read as a
//! few hundred blobs and an arrival writes one.
//!
//! Invariant: within a chunk each sequence is there once, in ascending order, and belongs to that chunk.

use std::collections::BTreeMap;

/// Sequences of one chunk: 2 to this power.
const CHUNK_BITS: u32 = 12;

/// As a number of sequences.
pub(super) const CHUNK: usize = 1 << CHUNK_BITS;

/// An entry's bytes: sequence, seconds since 1970, and ratio, little-endian.
const ENTRY_BYTES: usize = 10;

/// What the grid's layout has to know of one picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) sequence: u32,
    pub(super) created: u32,
    pub(super) ratio: u16,
}

/// The order of pictures, newest first, as columns; picture i of each belongs together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Timeline {
    /// Places in the gallery's feed: strictly descending.
    pub sequences: Vec<u32>,
    /// When each was published, in seconds since 1970.
    pub created: Vec<u32>,
    /// Width / height times 2048, from 1 to 65535.
    pub ratios: Vec<u16>,
}

impl Timeline {
    /// As the window and the web page read it: a 32-bit count, then the columns, all little-endian.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let count = self.sequences.len();
        let mut bytes = Vec::with_capacity(4 + ENTRY_BYTES * count);
        bytes.extend(u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes());
        for column in [&self.sequences, &self.created] {
            bytes.extend(column.iter().flat_map(|value| value.to_le_bytes()));
        }
        bytes.extend(self.ratios.iter().flat_map(|ratio| ratio.to_le_bytes()));
        bytes
    }

    pub(super) fn push(&mut self, entry: Entry) {
        self.sequences.push(entry.sequence);
        self.created.push(entry.created);
        self.ratios.push(entry.ratio);
    }
}

impl Entry {
    /// None for a place in the feed that a timeline has no room for: 2 to the power of 32.
    pub(super) fn new(sequence: u64, created_second: i64, width: u32, height: u32) -> Option<Self> {
        let ratio = (u64::from(width) * 4096 / u64::from(height.max(1))).div_ceil(2);
        let created = created_second.clamp(0, u32::MAX.into());
        Some(Self {
            sequence: sequence.try_into().ok()?,
            created: created.try_into().ok()?,
            ratio: u16::try_from(ratio.max(1)).unwrap_or(u16::MAX),
        })
    }

    fn read(bytes: &[u8; ENTRY_BYTES]) -> Self {
        let [a, b, c, d, e, f, g, h, i, j] = *bytes;
        Self {
            sequence: u32::from_le_bytes([a, b, c, d]),
            created: u32::from_le_bytes([e, f, g, h]),
            ratio: u16::from_le_bytes([i, j]),
        }
    }

    fn write(self, bytes: &mut Vec<u8>) {
        bytes.extend(self.sequence.to_le_bytes());
        bytes.extend(self.created.to_le_bytes());
        bytes.extend(self.ratio.to_le_bytes());
    }
}

/// Which chunk holds a sequence.
pub(super) fn chunk_of(sequence: u32) -> i64 {
    i64::from(sequence >> CHUNK_BITS)
}

/// Where in its chunk a sequence is.
pub(super) fn place_of(sequence: u32) -> u16 {
    u16::try_from(sequence & ((1 << CHUNK_BITS) - 1)).unwrap_or_default()
}

/// The entries of a chunk, oldest first. What a damaged end leaves is left out.
pub(super) fn entries(chunk: &[u8]) -> impl DoubleEndedIterator<Item = Entry> + '_ {
    chunk.as_chunks().0.iter().map(Entry::read)
}

/// A chunk with some entries more and some less, and by how many it grew.
pub(super) fn changed(chunk: &[u8], add: &[Entry], remove: &[u32]) -> (Vec<u8>, i64) {
    let count = |len: usize| i64::try_from(len).unwrap_or(i64::MAX);
    let last = entries(chunk).next_back().map(|entry| entry.sequence);
    let follow = add.is_sorted_by(|one, next| one.sequence < next.sequence)
        && add.first().map(|entry| entry.sequence) > last;
    if remove.is_empty() && follow {
        let (whole, _) = chunk.as_chunks::<ENTRY_BYTES>();
        let mut bytes = whole.as_flattened().to_vec();
        bytes.reserve_exact(add.len() * ENTRY_BYTES);
        add.iter().for_each(|entry| entry.write(&mut bytes));
        return (bytes, count(add.len()));
    }
    let mut all: BTreeMap<u32, Entry> = entries(chunk)
        .map(|entry| (entry.sequence, entry))
        .collect();
    let before = all.len();
    all.extend(add.iter().map(|entry| (entry.sequence, *entry)));
    for sequence in remove {
        all.remove(sequence);
    }
    let mut bytes = Vec::with_capacity(all.len() * ENTRY_BYTES);
    for entry in all.values() {
        entry.write(&mut bytes);
    }
    (bytes, count(all.len()) - count(before))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_rounded_and_bounded() {
        for (width, height, ratio) in [
            (1, 1, 2048),
            (4000, 3000, 2731),
            (3000, 4000, 1536),
            (1, 100_000, 1),
            (100_000, 1, u16::MAX),
            (5, 0, 10240),
        ] {
            let entry = Entry::new(1, 0, width, height).unwrap();
            assert_eq!(entry.ratio, ratio, "{width} x {height}");
        }
        assert_eq!(Entry::new(1 << 32, 0, 1, 1), None);
    }

    #[test]
    fn a_chunk_keeps_its_order_whatever_comes_and_goes() {
        let entry = |sequence| Entry::new(sequence, 7, 2, 1).unwrap();
        let (chunk, grew) = changed(&[], &[entry(3), entry(1), entry(2)], &[]);
        assert_eq!(grew, 3);
        let (chunk, grew) = changed(&chunk, &[entry(2), entry(9)], &[1, 5]);
        assert_eq!(grew, 0);
        let found: Vec<_> = entries(&chunk).map(|entry| entry.sequence).collect();
        assert_eq!(found, [2, 3, 9]);
    }

    #[test]
    fn what_follows_is_appended() {
        let entry = |sequence| Entry::new(sequence, 7, 2, 1).unwrap();
        let (one, grew) = changed(&[], &[entry(1), entry(4)], &[]);
        assert_eq!(grew, 2);
        let (both, grew) = changed(&one, &[entry(5), entry(7)], &[]);
        assert_eq!(grew, 2);
        assert_eq!(
            both,
            changed(&[], &[entry(7), entry(5), entry(4), entry(1)], &[]).0
        );
        assert_eq!(changed(&both, &[], &[]), (both.clone(), 0));
    }

    #[test]
    fn a_timeline_has_the_windows_bytes() {
        let mut timeline = Timeline::default();
        timeline.push(Entry::new(258, 1, 1, 1).unwrap());
        timeline.push(Entry::new(3, 2, 1, 2).unwrap());
        assert_eq!(
            timeline.to_bytes(),
            [
                2, 0, 0, 0, 2, 1, 0, 0, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0, 8, 0, 4
            ]
        );
    }
}
