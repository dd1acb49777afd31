//! What a file must not give away, as replacements of the same length.
//!
//! Which bytes those are is found by whoever knows picture formats, through [`Redactor`]. Here they are only applied to
//! whatever is read of the file, so that its size never changes and nothing is written to it.

use std::{fs::File, io};

/// Bytes that stand in for those of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patch {
    /// Where in the file, in bytes from its beginning.
    pub offset: u64,
    /// What is read there instead.
    pub bytes: Vec<u8>,
}

/// All replacements of one file, in order and not overlapping.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Patches(Vec<Patch>);

/// Two patches replace the same byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("two replacements overlap")]
pub struct OverlappingPatches;

impl Patches {
    /// In whatever order they come.
    ///
    /// # Errors
    /// When two of them replace the same byte.
    pub fn new(mut patches: Vec<Patch>) -> Result<Self, OverlappingPatches> {
        patches.retain(|patch| !patch.bytes.is_empty());
        patches.sort_by_key(|patch| patch.offset);
        let overlaps = patches
            .windows(2)
            .any(|pair| pair[0].end() > pair[1].offset);
        if overlaps {
            return Err(OverlappingPatches);
        }
        Ok(Self(patches))
    }

    /// Whether nothing is replaced.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Replaces in `bytes`, which were read at `offset` of the file. What lies outside of them is left out.
    pub fn apply(&self, offset: u64, bytes: &mut [u8]) {
        let end = offset.saturating_add(bytes.len() as u64);
        let first = self.0.partition_point(|patch| patch.end() <= offset);
        for patch in self.0[first..]
            .iter()
            .take_while(|patch| patch.offset < end)
        {
            let from = patch.offset.max(offset);
            let to = patch.end().min(end);
            let place = |at: u64, start: u64| usize::try_from(at - start).unwrap_or(usize::MAX);
            bytes[place(from, offset)..place(to, offset)]
                .copy_from_slice(&patch.bytes[place(from, patch.offset)..place(to, patch.offset)]);
        }
    }
}

impl Patch {
    fn end(&self) -> u64 {
        self.offset.saturating_add(self.bytes.len() as u64)
    }
}

/// Knows what a picture must not give away.
pub trait Redactor: Send + Sync + 'static {
    /// What is replaced in what is sent of `file`; nothing where there is nothing to hide. Reads the disk, and is not
    /// called on async threads.
    ///
    /// # Errors
    /// When the file cannot be read.
    fn patches(&self, file: &File) -> io::Result<Patches>;
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// However a file is cut into reads, each byte is replaced as if it had been read whole.
        #[test]
        fn patches_do_not_depend_on_how_a_file_is_read(
            size in 1_usize..200,
            cuts in prop::collection::vec(1_usize..50, 1..20),
            gaps in prop::collection::vec((0_usize..20, 1_usize..20), 0..8),
        ) {
            let mut at = 0;
            let mut patches = Vec::new();
            let mut expected = vec![0; size];
            for (gap, length) in gaps {
                at += gap;
                patches.push(Patch { offset: at as u64, bytes: vec![1; length] });
                for place in expected.iter_mut().skip(at).take(length) {
                    *place = 1;
                }
                at += length;
            }
            patches.reverse();
            let patches = Patches::new(patches).unwrap();
            let mut read = Vec::new();
            for cut in cuts.into_iter().cycle() {
                let mut bytes = vec![0; cut.min(size - read.len())];
                patches.apply(read.len() as u64, &mut bytes);
                read.append(&mut bytes);
                if read.len() == size {
                    break;
                }
            }
            prop_assert_eq!(read, expected);
        }
    }

    #[test]
    fn overlapping_patches_are_refused() {
        let patch = |offset, length| Patch {
            offset,
            bytes: vec![0; length],
        };
        assert!(Patches::new(vec![patch(4, 2), patch(0, 4)]).is_ok());
        assert!(Patches::new(vec![patch(3, 2), patch(0, 4)]).is_err());
    }
}
