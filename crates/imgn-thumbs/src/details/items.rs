//! Formats that are boxes: AVIF and HEIC, JPEG XL.

use std::io::{self, Read, Seek};

use super::{Found, MAX_HOPS, block};
use crate::bytes::be32;
use crate::isobmff::{Items, tracks_of_movie};
use crate::source::Source;
use crate::{heif, jxl};

/// How long the structure of a file may be: that of a picture in a thousand tiles has some ten thousand bytes.
const MAX_STRUCTURE: u64 = 1 << 20;
/// How much of a JPEG XL codestream is looked at.
const CODESTREAM_HEAD: usize = 64;

/// A box of a file: its kind, and where its contents and its end are.
struct Place {
    kind: [u8; 4],
    start: u64,
    end: u64,
}

impl Place {
    fn at<R: Read + Seek>(source: &mut Source<'_, R>, at: u64) -> io::Result<Option<Self>> {
        let Some([a, b, c, d, kind @ ..]) = source.array::<8>(at)? else {
            return Ok(None);
        };
        let (head, size) = match u32::from_be_bytes([a, b, c, d]) {
            0 => (8, source.length() - at),
            1 => match source.array(at + 8)? {
                Some(size) => (16, u64::from_be_bytes(size)),
                None => return Ok(None),
            },
            size => (8, u64::from(size)),
        };
        let end = at.checked_add(size).filter(|_| size >= head);
        Ok(end.map(|end| Self {
            kind,
            start: at + head,
            end: end.min(source.length()),
        }))
    }

    fn contents<R: Read + Seek>(&self, source: &mut Source<'_, R>) -> io::Result<Option<Vec<u8>>> {
        let length = self.end.saturating_sub(self.start);
        if length > MAX_STRUCTURE {
            return Ok(None);
        }
        block(source, self.start, length)
    }
}

pub(super) fn heif<R: Read + Seek>(source: &mut Source<'_, R>) -> io::Result<Found> {
    let mut at = 0;
    let mut movie = None;
    source.hop();
    for _ in 0..MAX_HOPS {
        let Some(place) = Place::at(source, at)? else {
            break;
        };
        at = place.end;
        match &place.kind {
            b"meta" => {
                let contents = place.contents(source)?.unwrap_or_default();
                let found = of_items(source, &contents, place.start)?;
                if found.size.is_some() {
                    return Ok(found);
                }
            }
            b"moov" => movie = place.contents(source)?,
            _ => {}
        }
    }
    // A sequence and no picture beside it.
    let tracks = tracks_of_movie(movie.as_deref().unwrap_or_default()).unwrap_or_default();
    let shown = tracks.iter().find(|track| track.is_shown);
    let view = shown.and_then(|track| heif::view(track.width, track.height, &track.properties));
    Ok(Found {
        size: view.map(|view| view.0),
        orientation: view.map(|view| view.1),
        ..Found::default()
    })
}

/// Of a `meta` box, which begins at `start`.
fn of_items<R: Read + Seek>(
    source: &mut Source<'_, R>,
    meta: &[u8],
    start: u64,
) -> io::Result<Found> {
    let mut found = Found::default();
    // Its version.
    let (Some(body), Ok(start)) = (meta.get(4..), usize::try_from(start + 4)) else {
        return Ok(found);
    };
    let Ok(items) = Items::read(body, start) else {
        return Ok(found);
    };
    let primary = items.primary();
    let Some((id, item)) = primary.and_then(|id| Some((id, items.get(id)?))) else {
        return Ok(found);
    };
    let properties: Vec<_> = items
        .properties_of(item)
        .map(|(property, _)| property)
        .collect();
    if let Some((size, orientation)) = heif::sized_view(&properties) {
        found.size = Some(size);
        found.orientation = Some(orientation);
    }
    let describing = items.referring_to(id, b"cdsc");
    let exif = describing
        .filter_map(|id| items.get(id))
        .find(|item| &item.kind == b"Exif");
    let places = exif.and_then(|item| items.places(item, source.length()).ok());
    if let Some(&[(offset, length)]) = places.as_deref() {
        let data = block(source, offset, length)?;
        found.exif = data.and_then(|data| behind_offset(&data));
    }
    Ok(found)
}

/// From the TIFF header on: where that is comes first.
fn behind_offset(data: &[u8]) -> Option<Vec<u8>> {
    let offset = be32(data, 0)? as usize;
    data.get(offset.checked_add(4)?..).map(<[u8]>::to_vec)
}

pub(super) fn jxl<R: Read + Seek>(source: &mut Source<'_, R>) -> io::Result<Found> {
    let mut found = Found::default();
    if source.at(0, 2)? == jxl::CODESTREAM {
        take_header(source, 0, &mut found)?;
        return Ok(found);
    }
    let mut at = 0;
    source.hop();
    for _ in 0..MAX_HOPS {
        let Some(place) = Place::at(source, at)? else {
            break;
        };
        at = place.end;
        match &place.kind {
            b"jxlc" if found.size.is_none() => take_header(source, place.start, &mut found)?,
            // A part's number comes first.
            b"jxlp" if found.size.is_none() => take_header(source, place.start + 4, &mut found)?,
            b"Exif" if found.exif.is_none() => {
                let data = block(source, place.start, place.end - place.start)?;
                found.exif = data.and_then(|data| behind_offset(&data));
            }
            _ => {}
        }
    }
    Ok(found)
}

fn take_header<R: Read + Seek>(
    source: &mut Source<'_, R>,
    at: u64,
    found: &mut Found,
) -> io::Result<()> {
    if let Some((size, orientation)) = jxl::size_and_orientation(source.at(at, CODESTREAM_HEAD)?) {
        found.size = Some(size);
        found.orientation = Some(orientation);
    }
    Ok(())
}
