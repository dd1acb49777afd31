//! What a picture says of itself, learned from as little of its file as holds it.
//!
//! It is not [`inspect`](crate::inspect): nothing is checked against limits, nobody promises that the picture can be
//! decoded, and a file whose rest is missing has details as well. The first 64 KiB are read, which is nearly always
//! all; where the file says that something lies further on, pieces of at most as much from there.
//!
//! # Invariants
//! - No bytes make it panic. What is read and held is bounded by constants of this module, whatever the file's size.
//! - Sizes and orientation are those that [`inspect`](crate::inspect) tells of a sound file, but for raws of Canon's
//!   newest kind: their own preview may lie anywhere, and the size that the camera states stands for it.

mod directories;
mod items;
mod segments;

use std::io::{self, Read, Seek};

use thiserror::Error;

use crate::exif::{ExifData, MAX_EXIF_BYTES};
use crate::header::swaps_edges;
use crate::source::Source;
use crate::{Format, Metadata, Orientation, PictureError, SNIFF_BYTES, format, sniff};

/// How many pieces of structure are gone through (segments, chunks, boxes), each with one small read at most.
const MAX_HOPS: usize = 4096;

/// What a picture says of itself.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Details {
    /// The format, by content.
    pub format: Format,
    /// Width in pixels as the picture is shown: after `orientation`.
    pub width: u32,
    /// Height, likewise.
    pub height: u32,
    /// What must be done to the stored pixels so that they are upright.
    pub orientation: Orientation,
    /// What its EXIF data say.
    pub metadata: Metadata,
}

/// Why nothing can be said of a picture.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DetailsError {
    /// Reading or seeking failed.
    #[error("the file could not be read")]
    Read(#[from] io::Error),
    /// It is no picture, none of an accepted format, or its header is damaged.
    #[error(transparent)]
    Picture(#[from] PictureError),
}

/// What the structure of a file says, before its EXIF data are read.
#[derive(Debug, Default)]
struct Found {
    /// Width and height as stored.
    size: Option<(u32, u32)>,
    /// What the format itself says; then EXIF is not asked.
    orientation: Option<Orientation>,
    /// From the TIFF header on, or from JPEG's prefix before it.
    exif: Option<Vec<u8>>,
    is_raw: bool,
}

/// Reads what a picture says of itself. The file's position is changed.
///
/// # Errors
/// If reading fails; and for what is no picture, is of no accepted format, or has a header that names no size.
pub fn details<R: Read + Seek>(file: &mut R) -> Result<Details, DetailsError> {
    let mut source = Source::new(file)?;
    let head = source.at(0, SNIFF_BYTES)?;
    let format = sniff(head).ok_or_else(|| format::refuse(head))?;
    let found = match format {
        Format::Jpeg => segments::jpeg(&mut source, 0),
        Format::Png => segments::png(&mut source),
        Format::Gif => segments::gif(&mut source),
        Format::WebP => segments::webp(&mut source),
        Format::Bmp => segments::bmp(&mut source),
        Format::Avif | Format::Heic => items::heif(&mut source),
        Format::Jxl => items::jxl(&mut source),
        Format::Tiff | Format::Raw => directories::search(&mut source),
    }?;
    // A raw whose first directory lies further on begins as any TIFF.
    let format = if found.is_raw { Format::Raw } else { format };
    let exif = ExifData::parse(found.exif.as_deref());
    let orientation = found.orientation.unwrap_or_else(|| exif.orientation());
    let (width, height) = found
        .size
        .filter(|&(width, height)| width > 0 && height > 0)
        .ok_or_else(|| PictureError::corrupt(format, "it has no width or no height"))?;
    let (width, height) = if swaps_edges(orientation) {
        (height, width)
    } else {
        (width, height)
    };
    Ok(Details {
        format,
        width,
        height,
        orientation,
        metadata: exif.metadata(),
    })
}

/// `length` bytes at `offset` if they are no more than EXIF data can be, and all there.
fn block<R: Read + Seek>(
    source: &mut Source<'_, R>,
    offset: u64,
    length: u64,
) -> io::Result<Option<Vec<u8>>> {
    let end = offset.checked_add(length);
    if length > MAX_EXIF_BYTES as u64 || end.is_none_or(|end| end > source.length()) {
        return Ok(None);
    }
    // At most `MAX_EXIF_BYTES`.
    let length = length as usize;
    let near = source.at(offset, length)?;
    if near.len() == length {
        return Ok(Some(near.to_vec()));
    }
    source.read(offset, length).map(Some)
}
