//! imgn's picture pipeline: what a file is, whether all of it is sound, and the small pictures made from it.
//!
//! [`sniff`] names a format by its first bytes. [`inspect`] reads headers only, and refuses what is too large before a
//! decoder has seen it. [`verify`] decodes the whole file, once, and makes from the same pass everything that a gallery
//! wants of a picture: [`Metadata`], a thumbhash and [`Rendition`]s, turned upright. [`details`] reads as little of a
//! file as tells its size and metadata. [`location_patches`] says what to send of a file so that it does not tell where
//! it was taken.
//!
//! It is synchronous, uses one thread, and does no input or output except from the file given to [`details`] and
//! [`location_patches`]: callers give it bytes, and run it where blocking is allowed.
//!
//! # How one pass serves both verification and thumbnails
//! A decoder hands its rows to a *canvas* that shrinks them on arrival, so that a picture is never held at full size
//! when its format allows reading in rows. JPEG goes further: libjpeg-turbo decodes every coefficient of every scan
//! (that is where damage shows: transforming coefficients to pixels cannot fail) but only transforms as many as the
//! largest rendition needs. The renditions are resampled from that canvas, which keeps a headroom of at least
//! [`HEADROOM`].
//!
//! # Invariants
//! - No bytes whatsoever make it panic, and there is no `unsafe` here: what is read from a file is an index or a size
//!   only after a check.
//! - Memory beside the input is bounded by [`Limits::max_decoded_bytes`], known from the header by [`decode_cost`]
//!   before anything is allocated.
//! - [`verify`] succeeds only if every frame, row and scan that the file announces was decoded.
//!
//! # Adding a format
//! A format is a variant of [`Format`], its magic bytes in [`sniff`], and a module with two functions, as `jpeg`:
//! `probe` (own parsing, bounds-checked, no decoder) and `decode` (onto a canvas). Nothing else knows formats.

mod bmp;
mod bytes;
mod canvas;
mod colour;
mod details;
mod error;
mod exif;
mod format;
mod gif;
mod header;
mod heif;
mod isobmff;
mod jpeg;
mod jxl;
mod limits;
mod picture;
mod png;
mod privacy;
mod quick;
mod raw;
mod source;
mod thumbnail;
mod tiff;
mod webp;

pub use canvas::{GROUND, HEADROOM};
pub use details::{Details, DetailsError, details};
pub use error::PictureError;
pub use format::{ACCEPTED, Format, SNIFF_BYTES, sniff};
pub use header::{Header, Orientation, decode_cost, inspect};
pub use limits::Limits;
pub use picture::{Exposure, Location, Metadata, Picture, Rendition, fit, verify};
pub use privacy::{LocationFinding, LocationPatches, Patch, PrivacyError, location_patches};
pub use thumbnail::{PREVIEW_BYTES, preview, thumbnail};
