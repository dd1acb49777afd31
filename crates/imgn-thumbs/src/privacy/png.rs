//! PNG: `eXIf` and the three kinds of text, with their checksums.
//!
//! XMP is a text by the name of `XML:com.adobe.xmp`; ImageMagick writes all kinds of metadata as hexadecimal text, by
//! names that begin with `Raw profile type`. Compressed text becomes compressed text of the same length. Where that
//! cannot be, the chunk becomes one of zeros and of a kind of its own, which readers skip.

use std::io::{self, Read, Seek};

use super::deflate::{deflate_to, inflate};
use super::search::{Kind, MAX_BLOCK, Search, push_changes};
use super::{LocationFinding, Patch, xmp};
use crate::source::Source;

const SIGNATURE: u64 = 8;
/// Length and kind; behind the data is a checksum.
const CHUNK_HEADER: u64 = 8;
const CHECKSUM: u64 = 4;
const RAW_PROFILE: &[u8] = b"Raw profile type ";
const XMP_KEYWORD: &[u8] = b"XML:com.adobe.xmp";
/// Ancillary, private, safe to copy.
const VOID: &[u8; 4] = b"voId";

pub(super) fn search<R: Read + Seek>(
    source: &mut Source<'_, R>,
    search: &mut Search,
) -> io::Result<()> {
    source.hop();
    let mut at = SIGNATURE;
    while let Some([a, b, c, d, kind @ ..]) = source.array::<8>(at)? {
        let size = u64::from(u32::from_be_bytes([a, b, c, d]));
        let end = at + CHUNK_HEADER + size + CHECKSUM;
        if end > source.length() || &kind == b"IEND" {
            break;
        }
        if matches!(&kind, b"eXIf" | b"tEXt" | b"zTXt" | b"iTXt") && search.admit() {
            match usize::try_from(size) {
                Ok(size) if size <= MAX_BLOCK => look(source, search, at, size)?,
                _ => look_through(source, search, at, size)?,
            }
        }
        if search.is_over() {
            break;
        }
        at = end;
    }
    Ok(())
}

/// What came of taking a location out of a chunk's data.
enum Taken {
    Nothing,
    InPlace(LocationFinding),
    /// It is still there, and the chunk must go.
    NotInPlace(LocationFinding),
}

/// Looks at a chunk that is held in memory.
fn look<R: Read + Seek>(
    source: &mut Source<'_, R>,
    search: &mut Search,
    at: u64,
    size: usize,
) -> io::Result<()> {
    // The checksum is of kind and data.
    let before = source.read(at + 4, 4 + size)?;
    let mut after = before.clone();
    let (kind, data) = after.split_at_mut(4);
    let taken = match (&*kind, Text::read(kind, data)) {
        (b"eXIf", _) => Taken::in_place(Kind::Exif.take_out(data, true)),
        (_, Some(text)) => text.take_out(data, search),
        (_, None) => Taken::Nothing,
    };
    let finding = match taken {
        Taken::Nothing => return Ok(()),
        Taken::InPlace(finding) => finding,
        Taken::NotInPlace(finding) => {
            kind.copy_from_slice(VOID);
            data.fill(0);
            finding
        }
    };
    let mut patches = Vec::new();
    push_changes(&mut patches, at + 4, &before, &after);
    let checksum = crc32fast::hash(&after).to_be_bytes();
    patches.push(Patch::bytes(
        at + CHUNK_HEADER + size as u64,
        checksum.to_vec(),
    ));
    search.commit(finding, patches);
    Ok(())
}

/// Looks through a chunk that is too long to be held: if there seems to be a location in it, it goes.
fn look_through<R: Read + Seek>(
    source: &mut Source<'_, R>,
    search: &mut Search,
    at: u64,
    size: u64,
) -> io::Result<()> {
    let kind = match source.array::<4>(at + 4)? {
        Some(kind) if &kind == b"eXIf" => Kind::Exif,
        _ => Kind::Xmp,
    };
    let start = at + CHUNK_HEADER;
    let length = usize::try_from(size).unwrap_or(usize::MAX);
    if !search.is_suspicious(source, kind, &[(start, length)])? {
        return Ok(());
    }
    let mut checksum = crc32fast::Hasher::new();
    checksum.update(VOID);
    let zeros = [0; 4096];
    let mut rest = length;
    while rest > 0 {
        let part = rest.min(zeros.len());
        checksum.update(&zeros[..part]);
        rest -= part;
    }
    let patches = vec![
        Patch::bytes(at + 4, VOID.to_vec()),
        Patch::repeated(start, 0, size),
        Patch::bytes(start + size, checksum.finalize().to_be_bytes().to_vec()),
    ];
    search.commit(LocationFinding::WithItsBlock, patches);
    Ok(())
}

impl Taken {
    fn in_place(finding: LocationFinding) -> Self {
        match finding {
            LocationFinding::Nothing => Self::Nothing,
            finding => Self::InPlace(finding),
        }
    }
}

/// A chunk of text.
struct Text {
    /// Where its name ends.
    keyword: usize,
    is_compressed: bool,
    /// Where its text begins.
    start: usize,
}

impl Text {
    fn read(kind: &[u8], data: &[u8]) -> Option<Self> {
        let end = |from: usize| Some(from + data.get(from..)?.iter().position(|&byte| byte == 0)?);
        let keyword = end(0)?;
        let (is_compressed, start) = match kind {
            b"tEXt" => (false, keyword + 1),
            // Behind the name is the method, of which there is one.
            b"zTXt" => (true, keyword + 2),
            b"iTXt" => {
                let language = end(keyword + 3)?;
                let translated = end(language + 1)?;
                (data.get(keyword + 1) == Some(&1), translated + 1)
            }
            _ => return None,
        };
        (start <= data.len()).then_some(Self {
            keyword,
            is_compressed,
            start,
        })
    }

    fn take_out(&self, data: &mut [u8], search: &mut Search) -> Taken {
        let (head, text) = data.split_at_mut(self.start);
        let keyword = &head[..self.keyword];
        if xmp::is_location(keyword) {
            return Taken::NotInPlace(LocationFinding::Location);
        }
        if !self.is_compressed {
            return Taken::in_place(take_out_of_text(keyword, text));
        }
        if keyword != XMP_KEYWORD && !keyword.starts_with(RAW_PROFILE) {
            return Taken::Nothing;
        }
        let limit = search.may_inflate();
        let (mut after, is_whole) = inflate(text, limit);
        search.inflated(after.len());
        let finding = take_out_of_text(keyword, &mut after);
        if finding == LocationFinding::Nothing {
            if after.len() == limit {
                search.give_up();
            }
            return Taken::Nothing;
        }
        match deflate_to(&after, text.len()) {
            Some(stream) if is_whole => {
                text.copy_from_slice(&stream);
                Taken::InPlace(finding)
            }
            _ => Taken::NotInPlace(LocationFinding::WithItsBlock),
        }
    }
}

fn take_out_of_text(keyword: &[u8], text: &mut [u8]) -> LocationFinding {
    if keyword.starts_with(RAW_PROFILE) {
        return take_out_of_raw_profile(text);
    }
    match Kind::sniff(text) {
        Some((kind, start)) => kind.take_out(&mut text[start..], true),
        None if keyword == XMP_KEYWORD => xmp::take_out(text),
        None => LocationFinding::Nothing,
    }
}

/// A raw profile is a line with its name, one with its length, and then lines of hexadecimal digits.
fn take_out_of_raw_profile(text: &mut [u8]) -> LocationFinding {
    let Some(start) = raw_profile_start(text) else {
        return LocationFinding::Nothing;
    };
    let text = &mut text[start..];
    let digits: Vec<u8> = text.iter().copied().filter_map(hex_value).collect();
    let mut profile: Vec<u8> = digits
        .chunks_exact(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect();
    let Some((kind, start)) = Kind::sniff(&profile) else {
        return LocationFinding::Nothing;
    };
    let finding = kind.take_out(&mut profile[start..], true);
    let places = text.iter_mut().filter(|byte| hex_value(**byte).is_some());
    let digits = profile.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    for (place, value) in places.zip(digits) {
        // What stays the same keeps its case.
        if hex_value(*place) != Some(value) {
            *place = b"0123456789abcdef"[usize::from(value)];
        }
    }
    finding
}

fn raw_profile_start(text: &[u8]) -> Option<usize> {
    let line = |from: usize| {
        let rest = text.get(from..)?;
        Some(from + rest.iter().position(|&byte| byte == b'\n')? + 1)
    };
    // The first line is empty.
    line(line(line(0)?)?)
}

fn hex_value(digit: u8) -> Option<u8> {
    // At most 15.
    char::from(digit).to_digit(16).map(|value| value as u8)
}
