//! Camera raws: shown by the JPEG preview that the camera put into them.
//!
//! Nothing of the sensor's values is decoded, and so none of them is verified: a raw is sound if its structure leads to
//! a preview and that decodes to its end. Its size is the preview's, which is what is shown; most cameras write one of
//! full size.
//!
//! Read are CR2, NEF, ARW, DNG, PEF, SRW, ORF and RW2, which are TIFF structures; RAF; and CR3. The largest preview is
//! taken: of those that directories point to or, where these lead to none of use (Olympus keeps its own in a maker
//! note, Canon among its tracks), of whatever JPEG lies in the file.

use std::borrow::Cow;

use crate::bytes::{array, be32};
use crate::canvas::Raster;
use crate::exif::ExifData;
use crate::header::Probe;
use crate::tiff::directory::{Directory, Structure, exif_of, exif_of_directories, tag};
use crate::tiff::{COLOR_FILTER_ARRAY, LINEAR_RAW};
use crate::{Format, Limits, PictureError, jpeg};

pub(crate) const FUJIFILM: &[u8] = b"FUJIFILMCCD-RAW ";
/// Where in such a file are offset and length of its preview.
pub(crate) const FUJIFILM_PREVIEW: usize = 84;
/// Beginnings of TIFF structures that only raws have: Olympus's, and Panasonic's.
const OWN_MAGICS: [&[u8]; 4] = [b"IIRO", b"IIRS", b"MMOR", b"IIU\0"];
/// Panasonic's tag for a preview.
const PANASONIC_PREVIEW: u16 = 0x2e;
/// Ways to compress that only raws have: Sony's, Samsung's, Nikon's, Pentax's.
const RAW_COMPRESSIONS: [u64; 4] = [32_767, 32_770, 34_713, 65_535];
/// A preview of this edge, in pixels, is of use; for a smaller one the file is looked through.
const USEFUL_EDGE: u32 = 1000;
/// How many directories are followed, and how many previews are looked at.
const MAX_DIRECTORIES: usize = 64;
const MAX_PREVIEWS: usize = 32;
/// How many beginnings of a JPEG are tried.
const MAX_TRIES: usize = 256;

/// Whether a file that begins with `head` is a raw, as far as that reaches.
pub(crate) fn is_raw(head: &[u8]) -> bool {
    if head.starts_with(FUJIFILM) || is_cr3(head) {
        return true;
    }
    if OWN_MAGICS.iter().any(|magic| head.starts_with(magic)) {
        return true;
    }
    let Some(structure) = Structure::open(head) else {
        return false;
    };
    // Canon's own mark.
    if head.get(8..10) == Some(b"CR") && head.starts_with(b"II*\0") {
        return true;
    }
    structure
        .directory(structure.first())
        .is_some_and(|first| is_raw_directory(&structure, &first))
}

/// Whether a first directory is one that only raws have.
pub(crate) fn is_raw_directory(structure: &Structure<'_>, first: &Directory) -> bool {
    let number = |tag| first.number(structure, tag);
    let is_reduced = number(tag::NEW_SUBFILE_TYPE).is_some_and(|kind| kind & 1 != 0);
    first.entry(tag::DNG_VERSION).is_some()
        || matches!(
            number(tag::PHOTOMETRIC_INTERPRETATION),
            Some(COLOR_FILTER_ARRAY | LINEAR_RAW)
        )
        || number(tag::COMPRESSION).is_some_and(|kind| RAW_COMPRESSIONS.contains(&kind))
        || is_reduced && first.entry(tag::MAKE).is_some() && first.entry(tag::SUB_IFDS).is_some()
}

pub(crate) fn is_cr3(head: &[u8]) -> bool {
    head.get(4..12) == Some(b"ftypcrx ")
}

/// Finds the preview, and reads its header.
pub(crate) fn probe(bytes: &[u8]) -> Result<Probe<'_>, PictureError> {
    let contents = Contents::read(bytes)?;
    let mut probe = jpeg::probe(contents.preview)?;
    let own = probe.exif.take();
    // What the raw says counts; a preview that was cut out of another file may say it again.
    let orientation = ExifData::parse(contents.exif.as_deref()).stated_orientation();
    probe.orientation = orientation;
    probe.exif = contents.exif.map(Cow::Owned).or(own);
    Ok(probe)
}

/// Decodes the preview.
pub(crate) fn decode(
    bytes: &[u8],
    limits: &Limits,
    long_edge: u32,
) -> Result<Raster, PictureError> {
    jpeg::decode(Contents::read(bytes)?.preview, limits, long_edge)
}

/// What is used of a raw.
struct Contents<'a> {
    preview: &'a [u8],
    exif: Option<Vec<u8>>,
}

impl<'a> Contents<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, PictureError> {
        let (mut previews, exif) = if bytes.starts_with(FUJIFILM) {
            (fujifilm_preview(bytes).into_iter().collect(), None)
        } else if is_cr3(bytes) {
            (Vec::new(), canon_exif(bytes))
        } else {
            let structure =
                Structure::open(bytes).ok_or_else(|| damaged("its header is malformed"))?;
            let first = structure
                .directory(structure.first())
                .ok_or_else(|| damaged("its first directory is missing"))?;
            let exif = exif_of(&structure, &first);
            (listed_previews(&structure), Some(exif))
        };
        let best = |previews: &[&'a [u8]]| {
            previews
                .iter()
                .filter_map(|&preview| Some((edge(preview)?, preview)))
                .max_by_key(|&(edge, _)| edge)
        };
        let mut found = best(&previews);
        if found.is_none_or(|(edge, _)| edge < USEFUL_EDGE) {
            previews = previews_anywhere(bytes);
            found = found
                .into_iter()
                .chain(best(&previews))
                .max_by_key(|&(edge, _)| edge);
        }
        match found {
            Some((_, preview)) => Ok(Self { preview, exif }),
            None => Err(PictureError::UnsupportedFormat {
                what: "camera raw without a preview",
            }),
        }
    }
}

/// The longer edge of a JPEG that can be decoded.
fn edge(preview: &[u8]) -> Option<u32> {
    if !preview.starts_with(&[0xff, 0xd8, 0xff]) {
        return None;
    }
    let probe = jpeg::probe(preview).ok()?;
    Some(probe.width.max(probe.height))
}

fn fujifilm_preview(bytes: &[u8]) -> Option<&[u8]> {
    let offset = be32(bytes, FUJIFILM_PREVIEW)? as usize;
    let length = be32(bytes, FUJIFILM_PREVIEW + 4)? as usize;
    bytes.get(offset..offset.checked_add(length)?)
}

/// What the directories of a structure point to and may be a JPEG.
fn listed_previews<'a>(structure: &Structure<'a>) -> Vec<&'a [u8]> {
    listed_places(structure)
        .into_iter()
        .filter_map(|(offset, length)| structure.slice(offset, length))
        .collect()
}

/// Where that is: offsets and lengths, as the file claims.
pub(crate) fn listed_places(structure: &Structure<'_>) -> Vec<(u64, u64)> {
    let mut places = Vec::new();
    let mut waiting: Vec<Directory> = structure.chain().collect();
    let mut count = 0;
    while let Some(directory) = waiting.pop() {
        count += 1;
        if count > MAX_DIRECTORIES || places.len() >= MAX_PREVIEWS {
            break;
        }
        let number = |tag| directory.number(structure, tag);
        let at = |offset: u16, length: u16| number(offset).zip(number(length));
        places.extend(at(
            tag::JPEG_INTERCHANGE_FORMAT,
            tag::JPEG_INTERCHANGE_FORMAT_LENGTH,
        ));
        if directory
            .entry(tag::STRIP_OFFSETS)
            .is_some_and(|strips| strips.count == 1)
        {
            places.extend(at(tag::STRIP_OFFSETS, tag::STRIP_BYTE_COUNTS));
        }
        if let Some(entry) = directory.entry(PANASONIC_PREVIEW) {
            places.extend(structure.extent(entry));
        }
        if let Some(entry) = directory.entry(tag::SUB_IFDS) {
            let offsets = (0..entry.count.min(MAX_DIRECTORIES as u64))
                .filter_map(|index| structure.number(entry, index));
            waiting.extend(offsets.filter_map(|offset| structure.directory(offset)));
        }
    }
    places
}

/// What begins like a JPEG, anywhere.
fn previews_anywhere(bytes: &[u8]) -> Vec<&[u8]> {
    let mut previews = Vec::new();
    let mut at = 0;
    for _ in 0..MAX_TRIES {
        let Some(found) = bytes.get(at..).and_then(|rest| {
            rest.windows(3)
                .position(|start| start == [0xff, 0xd8, 0xff])
        }) else {
            break;
        };
        let start = at + found;
        at = start + 3;
        if let Some(preview) = bytes.get(start..)
            && edge(preview).is_some()
        {
            previews.push(preview);
            if previews.len() >= MAX_PREVIEWS {
                break;
            }
        }
    }
    previews
}

/// What a CR3's beginning says: the size that the camera states, and EXIF data.
pub(crate) fn canon_details(head: &[u8]) -> (Option<(u32, u32)>, Option<Vec<u8>>) {
    let size = || {
        let (structure, main) = canon_part(head, b"CMT1")?;
        let edge = |tag| u32::try_from(main.number(&structure, tag)?).ok();
        edge(tag::IMAGE_WIDTH).zip(edge(tag::IMAGE_LENGTH))
    };
    (size(), canon_exif(head))
}

/// A CR3 keeps what others keep in one structure in three, in boxes of their own.
fn canon_part<'a>(bytes: &'a [u8], wanted: &[u8; 4]) -> Option<(Structure<'a>, Directory)> {
    const UUID_BYTES: usize = 16;
    let movie = boxes(bytes).find(|(kind, _)| *kind == b"moov")?.1;
    let canon = boxes(movie).find(|(kind, _)| *kind == b"uuid")?.1;
    let (_, data) = boxes(canon.get(UUID_BYTES..)?).find(|(kind, _)| *kind == wanted)?;
    let structure = Structure::open(data)?;
    let directory = structure.directory(structure.first())?;
    Some((structure, directory))
}

fn canon_exif(bytes: &[u8]) -> Option<Vec<u8>> {
    let part = |wanted| canon_part(bytes, wanted);
    let (structure, main) = part(b"CMT1")?;
    let further: Vec<_> = [
        (tag::EXIF_IFD, part(b"CMT2")),
        (tag::GPS_IFD, part(b"CMT4")),
    ]
    .into_iter()
    .filter_map(|(tag, part)| Some((tag, part?)))
    .filter(|(_, (other, _))| other.order() == structure.order())
    .collect();
    Some(exif_of_directories(&structure, &main, &further))
}

/// Boxes of an ISO file: kind and contents.
pub(crate) fn boxes(bytes: &[u8]) -> impl Iterator<Item = (&[u8; 4], &[u8])> {
    let mut at = 0_usize;
    std::iter::from_fn(move || {
        let rest = bytes.get(at..)?;
        let kind = rest.get(4..)?.first_chunk()?;
        let (head, size) = match be32(rest, 0)? {
            0 => (8, rest.len()),
            1 => (
                16,
                usize::try_from(u64::from_be_bytes(array(rest, 8)?)).ok()?,
            ),
            size => (8, size as usize),
        };
        let contents = rest.get(head..size.min(rest.len()))?;
        at = at.checked_add(size)?;
        Some((kind, contents))
    })
}

fn damaged(reason: impl Into<String>) -> PictureError {
    PictureError::corrupt(Format::Raw, reason)
}
