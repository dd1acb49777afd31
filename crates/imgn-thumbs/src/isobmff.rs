//! The ISO base media file format, as far as still pictures use it: boxes, the items of a `meta` box, and the samples
//! of a track. AVIF and HEIC are files of this kind.
//!
//! It says what there is and where it lies; it decodes nothing and knows no limits on pixels. What an item is made of
//! is for [`heif`](crate::heif) to say, and the search for a location reads the same structure.
//!
//! # Invariants
//! - Every count of a file is bounded by a constant of this module or by the bytes that are there; boxes are not
//!   followed deeper than the paths named here; nothing calls itself.
//! - A slice that is handed out lies within the file, and the data of one item are never longer than the file.

mod boxes;
mod items;
mod properties;
mod samples;

pub(crate) use boxes::{Boxes, BoxesFault, Reader};
pub(crate) use items::{Item, Items};
pub(crate) use properties::{CleanAperture, Nclx, Property};
pub(crate) use samples::{Track, tracks, tracks_of_movie};

/// Why a structure cannot be read, for those who know the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) &'static str);

/// The payload of the file's `meta` box, behind its version, and where in the file that begins.
///
/// # Errors
/// If a box that the picture may need is cut off. What follows the last of them is not looked at: phones append what
/// is no box.
pub(crate) fn find_meta(file: &[u8]) -> Result<Option<(usize, &[u8])>, Malformed> {
    let mut meta = None;
    for found in Boxes::new(file) {
        match found {
            Ok(found) if &found.kind == b"meta" && meta.is_none() => {
                let body = found.payload.get(4..).ok_or(CUT_OFF)?;
                meta = Some((found.start + 4, body));
            }
            Ok(_) => {}
            Err(BoxesFault { kind }) if matches!(&kind, b"meta" | b"mdat" | b"moov" | b"ftyp") => {
                return Err(CUT_OFF);
            }
            Err(_) => break,
        }
    }
    Ok(meta)
}

const CUT_OFF: Malformed = Malformed("it is cut off");
