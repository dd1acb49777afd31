//! Formats that are one piece behind the other, each with its length: JPEG, PNG, GIF, WebP, BMP.

use std::io::{self, Read, Seek};

use super::{Found, MAX_HOPS, block};
use crate::bytes::{be16, be32, le16, le24, le32};
use crate::exif::MAX_EXIF_BYTES;
use crate::source::Source;
use crate::{bmp, gif};

/// How much of a file's end is looked through for a PNG's EXIF data.
const TAIL: usize = 64 << 10;
/// How many bytes between segments are skipped at a time.
const STRAY: usize = 512;
/// How much of a GIF is looked at: all palettes, and comments of a usual length, before the first frame.
const GIF_HEAD: usize = 64 << 10;

/// Of a JPEG that begins at `start`.
pub(super) fn jpeg<R: Read + Seek>(source: &mut Source<'_, R>, start: u64) -> io::Result<Found> {
    let mut found = Found::default();
    let mut at = start + 2;
    source.at(start, TAIL)?;
    source.hop();
    for _ in 0..MAX_HOPS {
        let Some([prefix, marker, high, low]) = source.array(at)? else {
            break;
        };
        if prefix != 0xff {
            // Stray bytes between segments, which decoders skip.
            let near = source.at(at, STRAY)?;
            at += near.iter().take_while(|&&byte| byte != 0xff).count() as u64;
            continue;
        }
        let length = u64::from(u16::from_be_bytes([high, low]));
        match marker {
            // A filling byte.
            0xff => {
                at += 1;
                continue;
            }
            // Markers that stand alone.
            0x01 | 0xd0..=0xd8 => {
                at += 2;
                continue;
            }
            0xc0..=0xcf if !matches!(marker, 0xc4 | 0xc8 | 0xcc) => {
                let frame: Option<[u8; 5]> = source.array(at + 4)?;
                found.size = frame.and_then(|frame| {
                    let edge = |at| be16(&frame, at).map(u32::from);
                    edge(3).zip(edge(1))
                });
                break;
            }
            // The data, and the end.
            0xd9 | 0xda => break,
            0xe1 if found.exif.is_none() => {
                let segment = block(source, at + 4, length.saturating_sub(2))?;
                found.exif = segment.filter(|segment| segment.starts_with(b"Exif\0"));
                found.exif = found
                    .exif
                    .map(|segment| segment[6.min(segment.len())..].to_vec());
            }
            _ => {}
        }
        at += 2 + length;
    }
    Ok(found)
}

pub(super) fn png<R: Read + Seek>(source: &mut Source<'_, R>) -> io::Result<Found> {
    let header: Option<[u8; 8]> = source.array(16)?;
    let mut found = Found {
        size: header.and_then(|header| be32(&header, 0).zip(be32(&header, 4))),
        ..Found::default()
    };
    let mut at = 8;
    source.hop();
    for _ in 0..MAX_HOPS {
        let Some([a, b, c, d, kind @ ..]) = source.array::<8>(at)? else {
            return Ok(found);
        };
        let length = u64::from(u32::from_be_bytes([a, b, c, d]));
        match &kind {
            b"eXIf" => {
                found.exif = block(source, at + 8, length)?;
                return Ok(found);
            }
            b"IEND" => return Ok(found),
            b"IDAT" => break,
            _ => at = at + 12 + length,
        }
    }
    // Behind the data, which may be in thousands of chunks: found from the file's end.
    let tail_start = source.length().saturating_sub(TAIL as u64).max(at);
    source.read_on();
    let tail = source.at(tail_start, TAIL)?;
    found.exif = tail
        .windows(4)
        .enumerate()
        .filter(|(_, kind)| kind == b"eXIf")
        .find_map(|(at, _)| checked_chunk(tail, at))
        .map(<[u8]>::to_vec);
    Ok(found)
}

/// The data of the chunk whose kind is at `at`, if its checksum is right.
fn checked_chunk(bytes: &[u8], at: usize) -> Option<&[u8]> {
    let length = be32(bytes, at.checked_sub(4)?)? as usize;
    let end = (at + 4).checked_add(length)?;
    let data = bytes.get(at + 4..end)?;
    let is_right = crc32fast::hash(bytes.get(at..end)?) == be32(bytes, end)?;
    (is_right && length <= MAX_EXIF_BYTES).then_some(data)
}

pub(super) fn gif<R: Read + Seek>(source: &mut Source<'_, R>) -> io::Result<Found> {
    Ok(Found {
        size: gif::canvas(source.at(0, GIF_HEAD)?),
        ..Found::default()
    })
}

pub(super) fn bmp<R: Read + Seek>(source: &mut Source<'_, R>) -> io::Result<Found> {
    Ok(Found {
        size: bmp::edges(source.at(0, 64)?),
        ..Found::default()
    })
}

pub(super) fn webp<R: Read + Seek>(source: &mut Source<'_, R>) -> io::Result<Found> {
    /// In the first byte of an extended header: there are EXIF data, behind the picture.
    const HAS_EXIF: u8 = 8;
    let mut found = Found::default();
    let mut at = 12;
    source.hop();
    for _ in 0..MAX_HOPS {
        let Some(chunk) = source.array::<18>(at)? else {
            // The last one may be shorter.
            break;
        };
        let length = u64::from(le32(&chunk, 4).unwrap_or(0));
        match &chunk[..4] {
            b"VP8X" => {
                let edge = |at| le24(&chunk, at).map(|edge| edge + 1);
                found.size = edge(12).zip(edge(15));
                if chunk[8] & HAS_EXIF == 0 {
                    break;
                }
            }
            b"VP8 " if found.size.is_none() => {
                let edge = |at| le16(&chunk, at).map(|edge| u32::from(edge & 0x3fff));
                found.size = edge(14).zip(edge(16));
                break;
            }
            b"VP8L" if found.size.is_none() => {
                let packed = le32(&chunk, 9);
                found.size = packed.map(|edges| ((edges & 0x3fff) + 1, (edges >> 14 & 0x3fff) + 1));
                break;
            }
            b"EXIF" => {
                found.exif = block(source, at + 8, length)?;
                break;
            }
            _ => {}
        }
        at = at + 8 + length + (length & 1);
    }
    Ok(found)
}
