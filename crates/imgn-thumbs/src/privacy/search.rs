//! What a search through a file has found so far, and how a block of metadata is looked at, whatever file it is in.

use std::io::{self, Read, Seek};

use super::{LocationFinding, LocationPatches, Patch, exif, xmp};
use crate::source::Source;

/// The largest block of metadata that is held in memory, and the most that a compressed one may become. Longer ones
/// are looked through in pieces.
pub(super) const MAX_BLOCK: usize = 4 << 20;
/// How many blocks are looked at. Files have a handful; JPEG's extended XMP counts as one.
const MAX_BLOCKS: usize = 4096;
/// How many bytes are inflated, in all blocks together.
const MAX_INFLATED: usize = 64 << 20;
/// How many bytes of memory patches may take.
const MAX_HELD: usize = 8 << 20;
/// How much of a block that is too long is looked at at once, and how far one look reaches into the next: further
/// than the longest name.
const PIECE: usize = 64 << 10;
const OVERLAP: usize = 256;
/// Equal bytes between two changes that do not make two patches of them.
const MAX_GAP: usize = 16;

/// A place in the file: offset and length.
pub(super) type Piece = (u64, usize);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// From the TIFF header on, or from `Exif\0\0`.
    Exif,
    Xmp,
}

#[derive(Debug, Default)]
pub(super) struct Search {
    patches: Vec<Patch>,
    finding: LocationFinding,
    blocks: usize,
    inflated: usize,
    held: usize,
}

impl Kind {
    /// What a block of unknown kind is, by its beginning; and where in it the metadata begin.
    pub(super) fn sniff(block: &[u8]) -> Option<(Self, usize)> {
        if block.starts_with(xmp::NAMESPACE) {
            Some((Self::Xmp, xmp::NAMESPACE.len()))
        } else if block.starts_with(b"Exif\0")
            || block.starts_with(b"II*\0")
            || block.starts_with(b"MM\0*")
        {
            Some((Self::Exif, 0))
        } else if [b"<?xpacket".as_slice(), b"<x:xmpmeta", b"<rdf:RDF"]
            .iter()
            .any(|start| block.trim_ascii_start().starts_with(start))
        {
            Some((Self::Xmp, 0))
        } else {
            None
        }
    }

    /// Takes the location out of a block.
    pub(super) fn take_out(self, block: &mut [u8], look_into_thumbnail: bool) -> LocationFinding {
        match self {
            Self::Exif => exif::take_out(block, look_into_thumbnail),
            Self::Xmp => xmp::take_out(block),
        }
    }

    /// Whether a part of a block has something that looks like a location.
    pub(super) fn is_suspicious(self, part: &[u8]) -> bool {
        match self {
            Self::Exif => exif::is_suspicious(part),
            Self::Xmp => xmp::is_suspicious(part),
        }
    }
}

impl Search {
    pub(super) fn finish(mut self) -> LocationPatches {
        self.patches.sort_by_key(Patch::offset);
        let (mut end, before) = (0, self.patches.len());
        self.patches.retain(|patch| {
            let is_apart = patch.offset() >= end;
            if is_apart {
                end = patch.end();
            }
            is_apart
        });
        // Metadata within metadata, in two ways at once: no writer makes that.
        if self.patches.len() < before {
            self.give_up();
        }
        LocationPatches::new(self.patches, self.finding)
    }

    /// Whether the search has met its bounds.
    pub(super) fn is_over(&self) -> bool {
        self.finding == LocationFinding::TooMuch
    }

    /// Looks at a block that lies in one or more places of the file.
    pub(super) fn look<R: Read + Seek>(
        &mut self,
        source: &mut Source<'_, R>,
        kind: Kind,
        pieces: &[Piece],
        look_into_thumbnail: bool,
    ) -> io::Result<()> {
        if !self.admit() {
            return Ok(());
        }
        if pieces.iter().map(|piece| piece.1).sum::<usize>() > MAX_BLOCK {
            return self.look_through(source, kind, pieces);
        }
        let mut before = Vec::new();
        for &(offset, length) in pieces {
            before.append(&mut source.read(offset, length)?);
        }
        let mut after = before.clone();
        let finding = kind.take_out(&mut after, look_into_thumbnail);
        let mut patches = Vec::new();
        let mut from = 0;
        for &(offset, length) in pieces {
            let to = from + length;
            if let (Some(before), Some(after)) = (before.get(from..to), after.get(from..to)) {
                push_changes(&mut patches, offset, before, after);
            }
            from = to;
        }
        self.commit(finding, patches);
        Ok(())
    }

    /// Counts a block; whether it may be looked at.
    pub(super) fn admit(&mut self) -> bool {
        self.blocks += 1;
        if self.blocks > MAX_BLOCKS {
            self.give_up();
        }
        !self.is_over()
    }

    /// Says that there is more than is looked at.
    pub(super) fn give_up(&mut self) {
        self.finding = LocationFinding::TooMuch;
    }

    /// How much the next block may become when inflated.
    pub(super) fn may_inflate(&self) -> usize {
        (MAX_INFLATED - self.inflated).min(MAX_BLOCK)
    }

    pub(super) fn inflated(&mut self, bytes: usize) {
        self.inflated = (self.inflated + bytes).min(MAX_INFLATED);
    }

    /// Takes what was found in one block, with all of its patches; or, if they would be too large, none of them: half
    /// a block's patches could leave it in a state that no reader understands.
    pub(super) fn commit(&mut self, finding: LocationFinding, patches: Vec<Patch>) {
        let held = patches.iter().map(Patch::held).sum::<usize>();
        if held > MAX_HELD - self.held {
            self.give_up();
            return;
        }
        self.held += held;
        self.finding = self.finding.max(finding);
        self.patches.extend(patches);
    }

    /// Whether there seems to be a location in a block that is too long to be held.
    pub(super) fn is_suspicious<R: Read + Seek>(
        &self,
        source: &mut Source<'_, R>,
        kind: Kind,
        pieces: &[Piece],
    ) -> io::Result<bool> {
        let mut seen = Vec::new();
        for &(offset, length) in pieces {
            for from in (0..length).step_by(PIECE) {
                let part = PIECE.min(length - from);
                seen.append(&mut source.read(offset + from as u64, part)?);
                if kind.is_suspicious(&seen) {
                    return Ok(true);
                }
                seen.drain(..seen.len().saturating_sub(OVERLAP));
            }
        }
        Ok(false)
    }

    /// Looks through a block that is too long to be held: if there seems to be a location in it, all of it goes but
    /// for the orientation.
    fn look_through<R: Read + Seek>(
        &mut self,
        source: &mut Source<'_, R>,
        kind: Kind,
        pieces: &[Piece],
    ) -> io::Result<()> {
        let Some(&(offset, length)) = pieces.first() else {
            return Ok(());
        };
        if !self.is_suspicious(source, kind, pieces)? {
            return Ok(());
        }
        let mut head = source.read(offset, length.min(PIECE))?;
        let filler = match kind {
            Kind::Exif => {
                exif::keep_orientation(&mut head);
                0
            }
            Kind::Xmp => {
                xmp::blank(&mut head);
                b' '
            }
        };
        let mut patches = Vec::new();
        for &(offset, length) in pieces {
            // All of the head is in the first place.
            let head = std::mem::take(&mut head);
            let kept = head.len().min(length);
            if kept > 0 {
                patches.push(Patch::bytes(offset, head));
            }
            if length > kept {
                let (offset, length) = (offset + kept as u64, (length - kept) as u64);
                patches.push(Patch::repeated(offset, filler, length));
            }
        }
        self.commit(LocationFinding::WithItsBlock, patches);
        Ok(())
    }
}

/// Adds patches of what differs between what the file has at `offset` and what it shall have; both are equally long.
pub(super) fn push_changes(patches: &mut Vec<Patch>, offset: u64, before: &[u8], after: &[u8]) {
    let mut push = |(from, to): (usize, usize)| {
        let (offset, bytes) = (offset + from as u64, &after[from..to]);
        patches.push(match bytes {
            [first, ..] if bytes.iter().all(|byte| byte == first) => {
                Patch::repeated(offset, *first, bytes.len() as u64)
            }
            _ => Patch::bytes(offset, bytes.to_vec()),
        });
    };
    let mut change: Option<(usize, usize)> = None;
    for (at, (before, after)) in before.iter().zip(after).enumerate() {
        if before == after {
            continue;
        }
        change = match change {
            Some((from, to)) if at - to <= MAX_GAP => Some((from, at + 1)),
            Some(ended) => {
                push(ended);
                Some((at, at + 1))
            }
            None => Some((at, at + 1)),
        };
    }
    if let Some(ended) = change {
        push(ended);
    }
}
