//! Where bytes lie in a file: the ranges that make up an object, and the places that parts are given.
//!
//! Parts of one upload share a file, and arrive in any order and more than once. Each gets a place when it begins to
//! arrive, where it would stand if all parts had the length of the first, so that an ordinary upload ends up in order
//! and without gaps. Invariant: no two parts that are arriving or have arrived are given the same byte.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::key::PartNumber;

/// How far beyond everything placed so far a part may be put to be in order, in parts. What lies between may stay empty,
/// and a first part that is very long must not send the last one beyond the end of what a file can hold.
const AHEAD: u64 = 16;

/// A range of a file, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(u64, u64)", into = "(u64, u64)")]
pub(crate) struct Extent {
    pub(crate) offset: u64,
    pub(crate) length: u64,
}

impl Extent {
    pub(crate) fn end(self) -> u64 {
        self.offset.saturating_add(self.length)
    }
}

impl From<(u64, u64)> for Extent {
    fn from((offset, length): (u64, u64)) -> Self {
        Self { offset, length }
    }
}

impl From<Extent> for (u64, u64) {
    fn from(extent: Extent) -> Self {
        (extent.offset, extent.length)
    }
}

/// The ranges of a file that are an object, in the object's order. Neighbours are one range, and none is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Extents(Vec<Extent>);

impl Extents {
    /// The first `length` bytes of a file.
    pub(crate) fn first(length: u64) -> Self {
        Self::from_iter([Extent { offset: 0, length }])
    }

    /// Length of the object, in bytes.
    pub(crate) fn size(&self) -> u64 {
        self.0.iter().map(|extent| extent.length).sum()
    }

    /// The end of the last byte in the file.
    pub(crate) fn end(&self) -> u64 {
        self.0.iter().map(|extent| extent.end()).max().unwrap_or(0)
    }

    /// Where a range of the object lies.
    pub(crate) fn slice(&self, range: &Range<u64>) -> Self {
        let mut at = 0;
        let inside = self.0.iter().filter_map(|extent| {
            let start = range.start.max(at);
            let end = range.end.min(at + extent.length);
            let offset = extent.offset + start.saturating_sub(at);
            at += extent.length;
            (start < end).then(|| Extent {
                offset,
                length: end - start,
            })
        });
        Self::from_iter(inside)
    }
}

impl FromIterator<Extent> for Extents {
    fn from_iter<I: IntoIterator<Item = Extent>>(extents: I) -> Self {
        let mut all: Vec<Extent> = Vec::new();
        for extent in extents.into_iter().filter(|extent| extent.length > 0) {
            match all.last_mut() {
                Some(last) if last.end() == extent.offset => last.length += extent.length,
                _ => all.push(extent),
            }
        }
        Self(all)
    }
}

impl IntoIterator for Extents {
    type Item = Extent;
    type IntoIter = std::vec::IntoIter<Extent>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// What is taken of the file that an upload's parts share.
#[derive(Debug, Default)]
pub(crate) struct Places {
    /// The length of the part that came first.
    stride: Option<u64>,
    /// Lengths by offset. None is empty, none overlaps another.
    taken: BTreeMap<u64, u64>,
}

impl Places {
    /// Finds a place and takes it.
    pub(crate) fn take(&mut self, number: PartNumber, length: u64) -> Extent {
        let stride = *self.stride.get_or_insert(length);
        let index = u64::from(number.get().unsigned_abs()) - 1;
        let in_order = stride
            .checked_mul(index)
            .filter(|&offset| offset <= self.end().saturating_add(stride.saturating_mul(AHEAD)))
            .map(|offset| Extent { offset, length })
            .filter(|&extent| length <= stride && self.is_free(extent));
        let extent = in_order.unwrap_or_else(|| Extent {
            offset: self.first_gap(length),
            length,
        });
        self.insert(extent);
        extent
    }

    /// Takes a place that was given before the store was opened.
    pub(crate) fn restore(&mut self, extent: Extent) -> Result<(), Error> {
        if extent.offset.checked_add(extent.length).is_none() || !self.is_free(extent) {
            return Err(Error::Damaged {
                what: "two parts of an upload overlap".into(),
            });
        }
        self.stride.get_or_insert(extent.length);
        self.insert(extent);
        Ok(())
    }

    /// How many bytes are taken together.
    pub(crate) fn bytes(&self) -> u64 {
        self.taken.values().sum()
    }

    /// Gives a place back.
    pub(crate) fn release(&mut self, extent: Extent) {
        if extent.length > 0 {
            self.taken.remove(&extent.offset);
        }
    }

    /// The end of all that is taken.
    pub(crate) fn end(&self) -> u64 {
        self.taken
            .last_key_value()
            .map_or(0, |(offset, length)| offset + length)
    }

    fn insert(&mut self, extent: Extent) {
        if extent.length > 0 {
            self.taken.insert(extent.offset, extent.length);
        }
    }

    fn is_free(&self, extent: Extent) -> bool {
        let before = self.taken.range(..extent.end()).next_back();
        extent.length == 0 || before.is_none_or(|(offset, length)| offset + length <= extent.offset)
    }

    /// Where a part that cannot be in order fits: so that parts sent again and again use no more and more of the disk.
    fn first_gap(&self, length: u64) -> u64 {
        let mut free = 0;
        for (&offset, &taken) in &self.taken {
            if offset - free >= length {
                break;
            }
            free = offset + taken;
        }
        free
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn number(number: i32) -> PartNumber {
        PartNumber::new(number).unwrap()
    }

    fn extent(offset: u64, length: u64) -> Extent {
        Extent { offset, length }
    }

    #[test]
    fn equal_parts_end_up_in_order_whatever_order_they_come_in() {
        let mut places = Places::default();
        let mut given: Vec<_> = [3, 1, 4, 2]
            .map(|part| (part, places.take(number(part), 10)))
            .into();
        given.push((5, places.take(number(5), 7)));
        given.sort_by_key(|(part, _)| *part);
        let whole: Extents = given.into_iter().map(|(_, extent)| extent).collect();
        assert_eq!(whole, Extents::first(47));
    }

    #[test]
    fn a_part_sent_again_and_again_uses_two_places() {
        let mut places = Places::default();
        let mut current = places.take(number(1), 10);
        for _ in 0..100 {
            let next = places.take(number(1), 10);
            places.release(current);
            current = next;
            assert!(places.end() <= 20);
        }
    }

    #[test]
    fn a_high_number_does_not_end_up_beyond_the_end_of_the_world() {
        let mut places = Places::default();
        places.take(number(2), 5 << 30);
        let far = places.take(number(10_000), 5 << 30);
        assert!(far.offset < 1 << 40, "{far:?}");
    }

    #[test]
    fn a_slice_is_what_a_slice_of_the_bytes_would_be() {
        let file: Vec<u8> = (0..100).collect();
        let extents =
            Extents::from_iter([extent(50, 10), extent(0, 5), extent(5, 5), extent(90, 1)]);
        let read = |extents: Extents| -> Vec<u8> {
            let pieces = extents.into_iter().map(|extent| {
                let range =
                    usize::try_from(extent.offset).unwrap()..usize::try_from(extent.end()).unwrap();
                file[range].to_vec()
            });
            pieces.collect::<Vec<_>>().concat()
        };
        let whole = read(extents.clone());
        assert_eq!((whole.len() as u64, extents.end()), (extents.size(), 91));
        for start in 0..=whole.len() {
            for end in start..=whole.len() {
                let slice = extents.slice(&(start as u64..end as u64));
                assert_eq!(read(slice), whole[start..end], "{start}..{end}");
            }
        }
    }

    proptest! {
        #[test]
        fn no_byte_is_given_twice(
            steps in proptest::collection::vec((1..40_i32, 0..50_u64, any::<bool>()), 1..200)
        ) {
            let mut places = Places::default();
            let mut held: Vec<Extent> = Vec::new();
            for (part, length, release) in steps {
                let extent = places.take(number(part), length);
                for other in &held {
                    let apart = extent.end() <= other.offset || other.end() <= extent.offset;
                    prop_assert!(apart || extent.length == 0 || other.length == 0);
                }
                prop_assert!(extent.end() <= places.end() || length == 0);
                held.push(extent);
                if release {
                    places.release(held.remove(held.len() / 2));
                }
            }
            // What is on disk can be taken again in any order.
            let mut restored = Places::default();
            for extent in held.into_iter().rev() {
                prop_assert!(restored.restore(extent).is_ok());
            }
        }
    }
}
