//! JPEG XL: the `Exif` and `xml ` boxes of its container. A bare codestream has no metadata.
//!
//! Boxes that are compressed (`brob`) cannot be changed piece by piece, and are not looked into: one that holds either
//! of the two becomes a box of zeros that readers skip. Nothing is lost for showing the picture, whose orientation and
//! colours are in the codestream.

use std::io::{self, Read, Seek};

use super::search::{Kind, Search};
use super::{LocationFinding, Patch};
use crate::source::Source;

const BOX_HEADER: u64 = 8;
/// Of a box whose size has 64 bits.
const LARGE_BOX_HEADER: u64 = 16;
/// Where the TIFF header is within an `Exif` box; and what kind of box a compressed one is.
const PREFIX: u64 = 4;

pub(super) fn search<R: Read + Seek>(
    source: &mut Source<'_, R>,
    search: &mut Search,
) -> io::Result<()> {
    source.hop();
    if source.at(0, 2)? == [0xff, 0x0a] {
        return Ok(());
    }
    let mut at = 0;
    while let Some([a, b, c, d, kind @ ..]) = source.array::<8>(at)? {
        let rest = source.length() - at;
        let (header, size) = match u32::from_be_bytes([a, b, c, d]) {
            0 => (BOX_HEADER, rest),
            1 => match source.array::<8>(at + BOX_HEADER)? {
                Some(size) => (LARGE_BOX_HEADER, u64::from_be_bytes(size)),
                None => break,
            },
            size => (BOX_HEADER, size.into()),
        };
        if size < header {
            break;
        }
        // A box that is cut off is looked at as far as it goes.
        let (start, end) = (at + header, at + size.min(rest));
        let length = usize::try_from(end.saturating_sub(start)).unwrap_or(usize::MAX);
        match &kind {
            b"Exif" if length > PREFIX as usize => {
                if let Some(offset) = source.array::<4>(start)? {
                    let skipped = PREFIX as usize + u32::from_be_bytes(offset) as usize;
                    if let Some(length) = length.checked_sub(skipped) {
                        let piece = (start + skipped as u64, length);
                        search.look(source, Kind::Exif, &[piece], true)?;
                    }
                }
            }
            b"xml " => search.look(source, Kind::Xmp, &[(start, length)], false)?,
            b"brob" if matches!(source.at(start, 4)?, b"Exif" | b"xml ") => {
                let patches = vec![
                    Patch::bytes(at + 4, b"free".to_vec()),
                    Patch::repeated(start, 0, length as u64),
                ];
                search.commit(LocationFinding::WithItsBlock, patches);
            }
            _ => {}
        }
        let Some(next) = at.checked_add(size) else {
            break;
        };
        if search.is_over() {
            break;
        }
        at = next;
    }
    Ok(())
}
