//! Where a picture was taken, found in its file and taken out of what is sent, without touching the file or a pixel.
//!
//! [`location_patches`] looks through a file and answers [`LocationPatches`]: places in it, and what shall stand there
//! instead. Whoever sums or sends the file reads it through them ([`LocationPatches::apply`]). No byte is inserted or
//! left out, so that the size, and every offset that a file keeps of itself (multi-picture index, gain maps, maker
//! notes), stay true.
//!
//! # What is taken out
//! - EXIF (JPEG, also of pictures behind the first and of thumbnails within; PNG, also as ImageMagick's text; WebP;
//!   AVIF and HEIC; TIFF, also of JPEG previews within; JPEG XL):
//!   the GPS directory with its values, and the entry that points to it; also where an editor left an earlier
//!   directory behind. A GPS directory that states its version only is no location, and stays.
//! - XMP (all formats; in JPEG also the extended one): every property named `GPS...`, `...Latitude...`,
//!   `...Longitude...`, `GeoTag...`, `geo:lat` and its kind, in any name space, written as attribute or element. Blanks
//!   take its place.
//! - Texts of PNG under such a name.
//!
//! # What stays
//! Everything else: orientation, colour profile, time, camera, and names of places that a person wrote (IPTC, XMP's
//! city and country). Not looked at are compressed items of HEIC, maker notes, what phones append (videos), GoPro's telemetry and content
//! credentials. The last, where a file has them, no longer match it, as after any change; so does the digest that names
//! extended XMP, if a location was in that.
//!
//! # What is odd
//! Metadata are never a reason to fail. A location in metadata that cannot be changed piece by piece (XMP that is not
//! well formed or not UTF-8, a GPS directory that makes no sense, compressed text that does not fit in its place)
//! takes the block of metadata with it, except for EXIF's orientation: [`LocationFinding::WithItsBlock`]. So does
//! compressed metadata of JPEG XL, which is not looked into.
//!
//! # Invariants
//! - No bytes make it panic. Memory is bounded by constants of this module, whatever the file's size; work is linear
//!   in the file's size. Nothing calls itself, but for one look into a thumbnail.
//! - Patches are sorted, do not overlap, and lie within the file.
//! - No patch lies between a JPEG's start of scan and its end, or in a chunk, block or item of picture data.
//! - What was read through patches is looked through again without a finding.

mod deflate;
mod exif;
mod gif;
mod heif;
mod jpeg;
mod jxl;
mod patches;
mod png;
mod raw;
mod search;
mod tiff;
mod webp;
mod xmp;

use std::io::{self, Read, Seek};

use thiserror::Error;

pub use patches::{LocationPatches, Patch};

use crate::source::Source;
use crate::{Format, SNIFF_BYTES, sniff};
use search::Search;

/// What was found in a file; the later, the graver.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum LocationFinding {
    /// No location.
    #[default]
    Nothing,
    /// A location; the patches take it out, and nothing else.
    Location,
    /// A location; the patches take it out, and with it other entries of a block of metadata that could not be taken
    /// apart. Orientation and colour profile stay.
    WithItsBlock,
    /// More metadata than are looked at, in a file that no camera writes. The patches take out what was found.
    TooMuch,
}

/// Why a file was not looked through.
#[derive(Debug, Error)]
pub enum PrivacyError {
    /// Reading or seeking failed.
    #[error("the file could not be read")]
    Read(#[from] io::Error),
}

/// Looks for a location in a file of any format that [`sniff`] knows; in others there is none. The file's position
/// is changed.
///
/// A JPEG, GIF or TIFF is read once from beginning to end, of the others only what is not picture data.
///
/// # Errors
/// If reading fails; never because of what the file holds.
pub fn location_patches<R: Read + Seek>(file: &mut R) -> Result<LocationPatches, PrivacyError> {
    let mut source = Source::new(file)?;
    let mut search = Search::default();
    let format = sniff(source.at(0, SNIFF_BYTES)?);
    match format {
        Some(Format::Jpeg) => jpeg::search(&mut source, &mut search, true)?,
        Some(Format::Png) => png::search(&mut source, &mut search)?,
        Some(Format::Gif) => gif::search(&mut source, &mut search)?,
        Some(Format::WebP) => webp::search(&mut source, &mut search)?,
        Some(Format::Avif | Format::Heic) => heif::search(&mut source, &mut search)?,
        Some(Format::Tiff) => tiff::search(&mut source, &mut search)?,
        Some(Format::Raw) => raw::search(&mut source, &mut search)?,
        Some(Format::Jxl) => jxl::search(&mut source, &mut search)?,
        // BMP has no metadata.
        Some(Format::Bmp) | None => {}
    }
    Ok(search.finish())
}
