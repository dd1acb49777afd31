//! WebP: its `EXIF` and `XMP ` chunks.

use std::io::{self, Read, Seek};

use super::search::{Kind, Search};
use crate::source::Source;

const RIFF_HEADER: u64 = 12;
const CHUNK_HEADER: u64 = 8;

pub(super) fn search<R: Read + Seek>(
    source: &mut Source<'_, R>,
    search: &mut Search,
) -> io::Result<()> {
    source.hop();
    let mut at = RIFF_HEADER;
    while let Some([a, b, c, d, size @ ..]) = source.array::<8>(at)? {
        let start = at + CHUNK_HEADER;
        let size = u32::from_le_bytes(size);
        let kind = match &[a, b, c, d] {
            b"EXIF" => Some(Kind::Exif),
            b"XMP " => Some(Kind::Xmp),
            _ => None,
        };
        if let Some(kind) = kind {
            let rest = source.length() - start;
            // A chunk that is cut off is looked at as far as it goes.
            let length = usize::try_from(u64::from(size).min(rest)).unwrap_or(usize::MAX);
            search.look(source, kind, &[(start, length)], true)?;
        }
        if search.is_over() {
            break;
        }
        // Chunks begin at even places.
        at = start + u64::from(size) + u64::from(size % 2);
    }
    Ok(())
}
