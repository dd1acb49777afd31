//! What is to be read instead of some of a file's bytes.

use super::LocationFinding;

/// Bytes of a file that are read as others. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patch {
    offset: u64,
    replacement: Replacement,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Replacement {
    Bytes(Vec<u8>),
    /// One byte, again and again: a blank as long as a block of metadata costs no memory.
    Repeated {
        byte: u8,
        length: u64,
    },
}

/// What takes the location out of a file: patches, in order and without overlap; and what was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LocationPatches {
    patches: Vec<Patch>,
    finding: LocationFinding,
}

impl Patch {
    pub(super) fn bytes(offset: u64, bytes: Vec<u8>) -> Self {
        Self {
            offset,
            replacement: Replacement::Bytes(bytes),
        }
    }

    pub(super) fn repeated(offset: u64, byte: u8, length: u64) -> Self {
        Self {
            offset,
            replacement: Replacement::Repeated { byte, length },
        }
    }

    /// Where in the file it begins.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// How many bytes it replaces, by as many.
    #[must_use]
    pub fn length(&self) -> u64 {
        match &self.replacement {
            Replacement::Bytes(bytes) => bytes.len() as u64,
            Replacement::Repeated { length, .. } => *length,
        }
    }

    /// Where in the file it ends.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.offset.saturating_add(self.length())
    }

    /// What it holds in memory, in bytes.
    pub(super) fn held(&self) -> usize {
        let bytes = match &self.replacement {
            Replacement::Bytes(bytes) => bytes.len(),
            Replacement::Repeated { .. } => 0,
        };
        bytes + size_of::<Self>()
    }

    /// Writes its part of `buffer`, which holds the file from `offset` on and touches this patch.
    fn apply(&self, offset: u64, buffer: &mut [u8]) {
        let from = self.offset.max(offset);
        let to = self.end().min(offset.saturating_add(buffer.len() as u64));
        let within = |position: u64, start: u64| usize::try_from(position.checked_sub(start)?).ok();
        let Some(target) = within(from, offset)
            .zip(within(to, offset))
            .and_then(|(from, to)| buffer.get_mut(from..to))
        else {
            return;
        };
        match &self.replacement {
            Replacement::Repeated { byte, .. } => target.fill(*byte),
            Replacement::Bytes(bytes) => {
                if let Some(bytes) = within(from, self.offset)
                    .and_then(|from| bytes.get(from..))
                    .and_then(|rest| rest.get(..target.len()))
                {
                    target.copy_from_slice(bytes);
                }
            }
        }
    }
}

impl LocationPatches {
    /// From patches that do not overlap, in any order.
    pub(super) fn new(mut patches: Vec<Patch>, finding: LocationFinding) -> Self {
        patches.sort_by_key(Patch::offset);
        Self { patches, finding }
    }

    /// What was found: what a user is told.
    #[must_use]
    pub fn finding(&self) -> LocationFinding {
        self.finding
    }

    /// Whether the file is to be sent as it is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.patches.is_empty()
    }

    /// The patches, in the order of their offsets.
    #[must_use]
    pub fn patches(&self) -> &[Patch] {
        &self.patches
    }

    /// Makes of `buffer`, which holds the file's bytes from `offset` on, what is to be sent. Finding the patches that
    /// touch the buffer takes the logarithm of their number.
    pub fn apply(&self, offset: u64, buffer: &mut [u8]) {
        let end = offset.saturating_add(buffer.len() as u64);
        let first = self.patches.partition_point(|patch| patch.end() <= offset);
        for patch in &self.patches[first..] {
            if patch.offset >= end {
                break;
            }
            patch.apply(offset, buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_at_any_place_gets_its_part() {
        let patches = LocationPatches::new(
            vec![
                Patch::repeated(12, b' ', 3),
                Patch::bytes(3, b"abcd".to_vec()),
                Patch::bytes(7, b"e".to_vec()),
            ],
            LocationFinding::Location,
        );
        let mut whole = *b"....................";
        patches.apply(0, &mut whole);
        assert_eq!(&whole, b"...abcde....   .....");
        for from in 0..=whole.len() {
            for to in from..=whole.len() {
                let mut part = vec![b'.'; to - from];
                patches.apply(from as u64, &mut part);
                assert_eq!(part, &whole[from..to], "{from}..{to}");
            }
        }
        let mut far = *b"..";
        patches.apply(u64::MAX, &mut far);
        assert_eq!(&far, b"..");
    }
}
