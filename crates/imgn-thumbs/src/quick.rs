//! JPEG at an eighth or a quarter of its size, without decoding it: an own reader of Huffman-coded scans.
//!
//! An eighth of a picture is the first coefficient of each block of 8 x 8. The others must be gone over, because
//! nothing tells where they end, but need no value: a table over their code swallows several at once. Of a progressive
//! file only the scans of first coefficients are read, and only as many bits of them as can be seen. How it works is
//! told in `docs/JPEG.md`.
//!
//! It is no decoder for all: what it does not take it leaves, as `None`, to [`jpeg`](crate::jpeg). It takes Huffman-coded
//! pictures of 8 bits in grey or YCbCr, in any sampling, one scan or several, sequential or progressive, whose every
//! code is there. And it is no judge: coefficients that it skips may be nonsense, which [`verify`](crate::verify) would
//! tell.
//!
//! Invariants: no bytes make it panic, and there is no `unsafe`. Nothing is allocated for a picture above the limits, or
//! whose data cannot hold its blocks. At an eighth, what it takes is libjpeg-turbo's picture at that scale before it is
//! rounded.

mod bits;
mod header;
mod huffman;
mod means;
mod plane;
mod progressive;
mod render;
mod scan;
mod sequential;
#[cfg(test)]
mod tests;

use header::{Frame, Headers, Next};
use plane::{Plane, Scale, Upright};

use crate::canvas::wanted_edge;
use crate::colour::{EmbeddedProfile, ToSrgb};
use crate::exif::ExifData;
use crate::picture::fit;
use crate::{Limits, PictureError, Rendition};

/// A picture at reduced size, upright, in planes.
pub(crate) struct Reduced {
    planes: Vec<Upright>,
    /// Of the picture itself, upright.
    size: (u32, u32),
    /// Where the file has a profile of other colours.
    to_srgb: Option<ToSrgb>,
}

/// What is found at the beginning of a JPEG before its picture.
pub(crate) struct Head {
    pub(crate) exif: ExifData,
    /// Width and height as stored, where the frame header was within what was looked at.
    pub(crate) size: Option<(u32, u32)>,
}

/// Reads as many segments of `prefix` as are whole, up to the first scan.
pub(crate) fn head(prefix: &[u8], limits: &Limits) -> Option<Head> {
    let mut headers = Headers::new(prefix)?;
    // That it ends early is no fault of a beginning.
    let _ = headers.next(limits);
    Some(Head {
        exif: ExifData::parse(headers.exif),
        size: headers.frame().map(|frame| (frame.width, frame.height)),
    })
}

/// Decodes the JPEG in `bytes` to the smallest size that serves a rendition of `long_edge`. None where that is more
/// than a quarter, where a limit is exceeded, and whatever else this decoder does not take.
pub(crate) fn decode(bytes: &[u8], limits: &Limits, long_edge: u32) -> Option<Reduced> {
    let mut headers = Headers::new(bytes)?;
    let Next::Scan(scan) = headers.next(limits)? else {
        return None;
    };
    let frame = headers.frame()?;
    let scale = scale(&frame, long_edge)?;
    let profile = headers.profile.whole();
    let colour_cost = profile.as_ref().map_or(0, EmbeddedProfile::cost);
    if !is_within(&frame, scale, bytes.len() - scan.data, colour_cost, limits) {
        return None;
    }
    let read = if frame.is_progressive {
        progressive::read
    } else {
        sequential
    };
    let planes = read(bytes, &mut headers, &frame, scan, limits, scale)?;
    let orientation = ExifData::parse(headers.exif).orientation();
    let mut size = (frame.width, frame.height);
    if crate::header::swaps_edges(orientation) {
        size = (size.1, size.0);
    }
    Some(Reduced {
        planes: planes
            .iter()
            .map(|plane| plane.upright(orientation).pointed())
            .collect(),
        size,
        to_srgb: profile.as_ref().and_then(ToSrgb::new),
    })
}

impl Reduced {
    /// A thumbnail, straight from the planes.
    pub(crate) fn rendition(&self, long_edge: u32) -> Result<Rendition, PictureError> {
        let (width, height) = fit(self.size.0, self.size.1, long_edge);
        let jpeg = render::encode(&self.planes, (width, height), self.to_srgb.as_ref())?;
        Ok(Rendition {
            long_edge,
            width,
            height,
            jpeg,
        })
    }
}

/// Reads scans until every component was in one.
fn sequential(
    bytes: &[u8],
    headers: &mut Headers<'_>,
    frame: &Frame,
    mut scan: header::Scan,
    limits: &Limits,
    scale: Scale,
) -> Option<Vec<Plane>> {
    let mut planes: Vec<Plane> = frame
        .components
        .iter()
        .map(|component| Plane::new(frame, component, scale))
        .collect();
    let mut seen = [false; 3];
    loop {
        for named in &scan.components {
            let seen = seen.get_mut(named.index)?;
            if std::mem::replace(seen, true) {
                return None;
            }
        }
        let behind = sequential::read(bytes, headers, frame, &scan, &mut planes, scale)?;
        if seen.iter().take(planes.len()).all(|&seen| seen) {
            return Some(planes);
        }
        headers.go_to(behind);
        let Next::Scan(next) = headers.next(limits)? else {
            return None;
        };
        scan = next;
    }
}

/// The smallest scale that serves, or none.
fn scale(frame: &Frame, long_edge: u32) -> Option<Scale> {
    let longest = u64::from(frame.width.max(frame.height));
    let wanted = u64::from(wanted_edge(long_edge));
    if longest >= wanted * 8 {
        Some(Scale::Eighth)
    } else if longest >= wanted * 4 {
        Some(Scale::Quarter)
    } else {
        None
    }
}

/// Whether the memory is there, and the data can hold the blocks: one takes a bit at least in the first scan, and in a
/// sequential one another for its end.
fn is_within(frame: &Frame, scale: Scale, data: usize, colour_cost: u64, limits: &Limits) -> bool {
    let samples: u64 = frame
        .components
        .iter()
        .map(|component| {
            let (width, height) = Plane::size(frame, component, scale);
            width as u64 * height as u64
        })
        .sum();
    let blocks = samples / u64::from(scale.samples() * scale.samples());
    let (least_bits, bytes) = if frame.is_progressive {
        // Coefficients beside the samples, and these four times: as stored, upright, as points, and for the scaling.
        (1, 11)
    } else {
        (2, 8)
    };
    blocks * least_bits <= data as u64 * 8
        && samples * bytes + FIXED_COST + colour_cost <= limits.max_decoded_bytes
}

/// Tables, a window over the data, and what scaling and encoding take.
const FIXED_COST: u64 = 4 << 20;
