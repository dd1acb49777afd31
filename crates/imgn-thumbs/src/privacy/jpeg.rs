//! JPEG: the APP1 segments before each picture's data, of the first picture and of those behind it.
//!
//! Cameras put further pictures behind the first one's end: previews, gain maps, depth. Their index (MPF) is not
//! needed to find them, and not all who append a picture write one.

use std::io::{self, Read, Seek};

use super::search::{Kind, Piece, Search};
use super::xmp;
use crate::source::Source;

const EXTENDED_XMP: &[u8] = b"http://ns.adobe.com/xmp/extension/\0";
/// Behind that: the digest of the whole, its length, and the offset of this part.
const EXTENDED_XMP_HEAD: usize = 32 + 4 + 4;
/// Enough of a segment's beginning to tell what it is.
const HEAD: usize = 64;
/// How many parts extended XMP may come in: more than memory could hold are looked at one by one.
const MAX_PARTS: usize = 1024;

/// Where in a file the search is.
enum Place {
    /// Behind the pictures, or between them.
    Outside,
    /// Before a picture's data.
    Header,
    /// In them.
    Data,
}

/// Searches a file; with `look_into_thumbnail`, also the thumbnails in its EXIF data.
pub(super) fn search<R: Read + Seek>(
    source: &mut Source<'_, R>,
    search: &mut Search,
    look_into_thumbnail: bool,
) -> io::Result<()> {
    let mut place = Place::Outside;
    let mut parts: Vec<Piece> = Vec::new();
    let mut at = 0;
    while let Some(start) = source.find(0xff, at)? {
        let Some([_, marker, high, low]) = marker(source, start)? else {
            break;
        };
        at = start + 1;
        match (marker, &place) {
            // The marker that follows is a header's, or these bytes are no picture.
            (0xd8, _) if high == 0xff && matches!(low, 0xc0..=0xcf | 0xdb..) => {
                place = Place::Header;
                at = start + 2;
            }
            (_, Place::Outside) => {}
            (0xd9, _) => {
                search.look_at_parts(source, &mut parts)?;
                place = Place::Outside;
                at = start + 2;
            }
            // Filling, and what has no length.
            (0x00 | 0x01 | 0xd0..=0xd8 | 0xff, _) => {}
            (_, Place::Data) => {}
            (_, Place::Header) => {
                let length = u16::from_be_bytes([high, low]);
                let end = start + 2 + u64::from(length);
                if length < 2 || end > source.length() {
                    continue;
                }
                match marker {
                    0xda => {
                        search.look_at_parts(source, &mut parts)?;
                        place = Place::Data;
                    }
                    0xe1 => {
                        let body = (start + 4, usize::from(length) - 2);
                        app1(source, search, body, &mut parts, look_into_thumbnail)?;
                        if parts.len() == MAX_PARTS {
                            search.look_at_parts(source, &mut parts)?;
                        }
                    }
                    _ => {}
                }
                at = end;
            }
        }
        if search.is_over() {
            return Ok(());
        }
    }
    search.look_at_parts(source, &mut parts)
}

/// A marker with the two bytes behind it; zeros where the file ends.
fn marker<R: Read + Seek>(source: &mut Source<'_, R>, start: u64) -> io::Result<Option<[u8; 4]>> {
    let bytes = source.at(start, 4)?;
    let mut marker = [0; 4];
    for (to, from) in marker.iter_mut().zip(bytes) {
        *to = *from;
    }
    Ok((bytes.len() >= 2).then_some(marker))
}

fn app1<R: Read + Seek>(
    source: &mut Source<'_, R>,
    search: &mut Search,
    (start, length): Piece,
    parts: &mut Vec<Piece>,
    look_into_thumbnail: bool,
) -> io::Result<()> {
    let head = source.at(start, length.min(HEAD))?;
    let behind = |prefix: usize| (start + prefix as u64, length - prefix);
    if head.starts_with(b"Exif\0") {
        search.look(source, Kind::Exif, &[(start, length)], look_into_thumbnail)
    } else if head.starts_with(xmp::NAMESPACE) {
        search.look(source, Kind::Xmp, &[behind(xmp::NAMESPACE.len())], false)
    } else {
        let prefix = EXTENDED_XMP.len() + EXTENDED_XMP_HEAD;
        if head.starts_with(EXTENDED_XMP) && length > prefix {
            parts.push(behind(prefix));
        }
        Ok(())
    }
}

impl Search {
    /// Looks at a picture's extended XMP, of which there are no more parts.
    fn look_at_parts<R: Read + Seek>(
        &mut self,
        source: &mut Source<'_, R>,
        parts: &mut Vec<Piece>,
    ) -> io::Result<()> {
        if parts.is_empty() {
            return Ok(());
        }
        self.look(source, Kind::Xmp, &std::mem::take(parts), false)
    }
}
