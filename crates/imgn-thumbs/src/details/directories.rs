//! Formats whose structure is TIFF's: directories that may lie anywhere. Camera raws are nearly all of this kind.

use std::io::{self, Read, Seek};

use super::Found;
use super::segments;
use crate::bytes::be32;
use crate::exif::ExifData;
use crate::raw;
use crate::source::Source;
use crate::tiff::directory::{Directory, MAX_DIRECTORIES, Structure, exif_of_directories, tag};
use crate::tiff::is_reduced;

/// How much is read for a directory and the values that belong to it.
const PIECE: usize = 64 << 10;
/// How much of that lies before it: some writers put a directory behind its values.
const BEFORE: u64 = 8 << 10;
/// How many previews of a raw are looked at.
const MAX_PREVIEWS: usize = 8;

/// A piece of a file, with the directory that it was read for.
struct Piece {
    bytes: Vec<u8>,
    start: usize,
    offset: u64,
}

impl Piece {
    fn read<R: Read + Seek>(
        source: &mut Source<'_, R>,
        offset: u64,
        near: &[Self],
    ) -> io::Result<Option<Self>> {
        // What was read for another may hold it; its values lie about as far away as it is long.
        let holding = near.iter().find(|piece| {
            let within = usize::try_from(offset)
                .ok()
                .and_then(|at| at.checked_sub(piece.start));
            within.is_some_and(|at| at + 4096 <= piece.bytes.len())
        });
        if let Some(piece) = holding {
            return Ok(Some(Self {
                bytes: piece.bytes.clone(),
                start: piece.start,
                offset,
            }));
        }
        if offset >= source.length() {
            return Ok(None);
        }
        let start = if offset < PIECE as u64 / 2 {
            0
        } else {
            offset.saturating_sub(BEFORE)
        };
        let bytes = source.at(start, PIECE)?.to_vec();
        Ok(usize::try_from(start).ok().map(|start| Self {
            bytes,
            start,
            offset,
        }))
    }

    fn open<'a>(&'a self, head: &Structure<'_>) -> Option<(Structure<'a>, Directory)> {
        let structure = head.at_piece(&self.bytes, self.start);
        let directory = structure.directory(self.offset)?;
        Some((structure, directory))
    }
}

/// Of a TIFF or a raw.
pub(super) fn search<R: Read + Seek>(source: &mut Source<'_, R>) -> io::Result<Found> {
    let head = source.at(0, PIECE)?.to_vec();
    if head.starts_with(raw::FUJIFILM) {
        let Some(offset) = be32(&head, raw::FUJIFILM_PREVIEW) else {
            return Ok(Found::default());
        };
        let found = segments::jpeg(source, offset.into())?;
        return Ok(of_raw(found.size, found.exif));
    }
    if raw::is_cr3(&head) {
        let (size, exif) = raw::canon_details(&head);
        return Ok(of_raw(size, exif));
    }
    let Some(structure) = Structure::open(&head) else {
        return Ok(Found::default());
    };
    let Some(first) = Piece::read(source, structure.first(), &[])? else {
        return Ok(Found::default());
    };
    let Some((here, directory)) = first.open(&structure) else {
        return Ok(Found::default());
    };
    if raw::is_raw(&head) || raw::is_raw_directory(&here, &directory) {
        let size = size_of_preview(source, &here)?;
        return Ok(of_raw(size, exif(source, &structure, &first)?));
    }
    tiff(source, &structure, first)
}

/// The first page that is no reduced copy, as everywhere; EXIF data belong to the first of all.
fn tiff<R: Read + Seek>(
    source: &mut Source<'_, R>,
    structure: &Structure<'_>,
    first: Piece,
) -> io::Result<Found> {
    let mut found = Found {
        exif: exif(source, structure, &first)?,
        ..Found::default()
    };
    let mut page = first;
    for _ in 0..MAX_DIRECTORIES {
        let Some((here, directory)) = page.open(structure) else {
            break;
        };
        let edge = |tag| u32::try_from(directory.number(&here, tag)?).ok();
        let size = edge(tag::IMAGE_WIDTH).zip(edge(tag::IMAGE_LENGTH));
        found.size = found.size.or(size);
        if !is_reduced(&here, &directory) {
            found.size = size;
            break;
        }
        let Some(next) = Piece::read(source, directory.next(), &[])? else {
            break;
        };
        page = next;
    }
    Ok(found)
}

/// What the directory of a piece says, and those for EXIF and GPS that it points to.
fn exif<R: Read + Seek>(
    source: &mut Source<'_, R>,
    structure: &Structure<'_>,
    piece: &Piece,
) -> io::Result<Option<Vec<u8>>> {
    let Some((here, main)) = piece.open(structure) else {
        return Ok(None);
    };
    let mut further = Vec::new();
    for pointer in [tag::EXIF_IFD, tag::GPS_IFD] {
        if let Some(offset) = main.number(&here, pointer) {
            let near = std::slice::from_ref(piece);
            further.extend(Piece::read(source, offset, near)?.map(|piece| (pointer, piece)));
        }
    }
    let further: Vec<_> = further
        .iter()
        .filter_map(|(pointer, piece)| Some((*pointer, piece.open(structure)?)))
        .collect();
    Ok(Some(exif_of_directories(&here, &main, &further)))
}

/// The size of the largest preview, which is the one that is shown.
fn size_of_preview<R: Read + Seek>(
    source: &mut Source<'_, R>,
    structure: &Structure<'_>,
) -> io::Result<Option<(u32, u32)>> {
    let mut places = raw::listed_places(structure);
    places.sort_by_key(|&(_, length)| std::cmp::Reverse(length));
    let edge = |size: Option<(u32, u32)>| size.map(|(width, height)| width.max(height));
    let mut largest = None;
    for (offset, _) in places.into_iter().take(MAX_PREVIEWS) {
        if source.at(offset, 3)? == [0xff, 0xd8, 0xff] {
            let size = segments::jpeg(source, offset)?.size;
            if edge(size) > edge(largest) {
                largest = size;
            }
        }
    }
    Ok(largest)
}

/// What the raw says of its orientation counts, not what its preview says.
fn of_raw(size: Option<(u32, u32)>, exif: Option<Vec<u8>>) -> Found {
    let stated = ExifData::parse(exif.as_deref()).stated_orientation();
    Found {
        size,
        orientation: stated,
        exif,
        is_raw: true,
    }
}
