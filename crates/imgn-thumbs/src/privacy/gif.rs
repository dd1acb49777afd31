//! GIF: its XMP application extension.
//!
//! XMP stands there as it is, not in sub-blocks as GIF wants: a trailer of 258 bytes behind it leads readers that skip
//! sub-blocks to its end, wherever in the XMP they come from. They do so whatever stands there, as long as no byte is
//! zero. Writers that do use sub-blocks are understood, too.

use std::io::{self, Read, Seek};

use super::search::{Kind, Piece, Search};
use crate::source::Source;

/// Signature and screen descriptor.
const HEADER: u64 = 13;
const IMAGE_DESCRIPTOR: u64 = 10;
const XMP: &[u8; 12] = b"\x0bXMP DataXMP";
/// Bytes 1, 255 down to 0, and 0.
const TRAILER: usize = 258;

pub(super) fn search<R: Read + Seek>(
    source: &mut Source<'_, R>,
    search: &mut Search,
) -> io::Result<()> {
    let Some([flags]) = source.array::<1>(HEADER - 3)? else {
        return Ok(());
    };
    let mut at = HEADER + palette_bytes(flags);
    while let Some([kind]) = source.array::<1>(at)? {
        match kind {
            // An image: descriptor, palette, code size, data.
            0x2c => {
                let Some([flags]) = source.array::<1>(at + IMAGE_DESCRIPTOR - 1)? else {
                    break;
                };
                let data = at + IMAGE_DESCRIPTOR + palette_bytes(flags) + 1;
                at = skip_sub_blocks(source, data, |_| {})?;
            }
            0x21 => {
                let is_xmp = source.at(at + 1, 13)? == [&[0xff], &XMP[..]].concat();
                let start = at + 2;
                if is_xmp {
                    at = look(source, search, start + XMP.len() as u64)?;
                } else {
                    at = skip_sub_blocks(source, start, |_| {})?;
                }
            }
            _ => break,
        }
        if search.is_over() {
            break;
        }
    }
    Ok(())
}

/// Looks at the XMP that begins at `start`; where it ends.
fn look<R: Read + Seek>(
    source: &mut Source<'_, R>,
    search: &mut Search,
    start: u64,
) -> io::Result<u64> {
    let mut blocks: Vec<Piece> = Vec::new();
    let mut too_many = false;
    let end = skip_sub_blocks(source, start, |block| {
        // As many as a block of metadata that is held may have.
        if blocks.len() < super::search::MAX_BLOCK / 16 {
            blocks.push(block);
        } else {
            too_many = true;
        }
    })?;
    let trailer = end.saturating_sub(TRAILER as u64);
    if trailer >= start && is_trailer(source.at(trailer, TRAILER)?) {
        let length = usize::try_from(trailer - start).unwrap_or(usize::MAX);
        search.look(source, Kind::Xmp, &[(start, length)], false)?;
    } else if too_many {
        search.give_up();
    } else {
        search.look(source, Kind::Xmp, &blocks, false)?;
    }
    Ok(end)
}

fn is_trailer(bytes: &[u8]) -> bool {
    matches!(bytes, [1, falling @ .., 0]
        if falling.len() == TRAILER - 2
            && falling.iter().rev().zip(0..=255).all(|(&byte, value)| byte == value))
}

/// Where the sub-blocks that begin at `at` end: behind an empty one, or at the file's end.
fn skip_sub_blocks<R: Read + Seek>(
    source: &mut Source<'_, R>,
    mut at: u64,
    mut take: impl FnMut(Piece),
) -> io::Result<u64> {
    while let Some([length]) = source.array::<1>(at)? {
        at += 1;
        if length == 0 {
            break;
        }
        let rest = source.length().saturating_sub(at);
        if let Ok(length) = usize::try_from(rest.min(u64::from(length))) {
            take((at, length));
        }
        at += u64::from(length);
    }
    Ok(at.min(source.length()))
}

fn palette_bytes(flags: u8) -> u64 {
    if flags & 0x80 == 0 {
        0
    } else {
        3 << ((flags & 7) + 1)
    }
}
