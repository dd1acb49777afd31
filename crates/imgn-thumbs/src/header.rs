//! What a picture says of itself before it is decoded, and what decoding it will cost.

use std::borrow::Cow;

pub use image::metadata::Orientation;

use crate::canvas::wanted_edge;
use crate::colour::EmbeddedProfile;
use crate::exif::ExifData;
use crate::picture::fit;
use crate::{
    Format, Limits, PictureError, bmp, format, gif, heif, jpeg, jxl, png, raw, sniff, tiff, webp,
};

/// The largest thumbnail: what decoding costs for it is what a picture is accepted or refused by.
const THUMBNAIL_EDGE: u32 = 1280;
/// The largest rendition for which [`decode_cost`] holds.
const LARGEST_EDGE: u32 = 2560;
/// What scaling, turning and encoding a thumbnail allocates, beside the canvas: up to 13 MiB were measured.
const RENDERING_COST: u64 = 16 << 20;

/// What the headers of a picture say. Its existence means that the picture is within the limits it was inspected with.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Header {
    /// The format, by content.
    pub format: Format,
    /// Width in pixels as the picture is shown: after `orientation`, and of the whole canvas of an animation.
    pub width: u32,
    /// Height, likewise.
    pub height: u32,
    /// What must be done to the stored pixels so that they are upright.
    pub orientation: Orientation,
    /// Whether there is more than one frame.
    pub animated: bool,
    /// Frames that are stored; 1 for a still picture. The header of JPEG XL does not tell: 2 stands for several.
    pub frames: u32,
    /// See [`decode_cost`].
    cost: Cost,
}

impl Header {
    /// Refuses what needs more memory for a rendition of `long_edge` than it may have.
    pub(crate) fn check_memory(&self, long_edge: u32, limits: &Limits) -> Result<(), PictureError> {
        let (needed, max) = (self.cost.of(long_edge), limits.max_decoded_bytes);
        if needed > max {
            return Err(PictureError::TooMuchMemory { needed, max });
        }
        Ok(())
    }

    pub(crate) fn orientation_swaps_edges(&self) -> bool {
        swaps_edges(self.orientation)
    }
}

/// Bytes that are allocated, by the largest rendition that is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cost {
    thumbnails: u64,
    largest: u64,
}

impl Cost {
    /// `cost` is asked for renditions with this longest edge.
    pub(crate) fn by_edge(cost: impl Fn(u32) -> u64) -> Self {
        Self {
            thumbnails: cost(THUMBNAIL_EDGE),
            largest: cost(LARGEST_EDGE),
        }
    }

    fn plus(self, more: impl Fn(u32) -> u64) -> Self {
        Self {
            thumbnails: self.thumbnails.saturating_add(more(THUMBNAIL_EDGE)),
            largest: self.largest.saturating_add(more(LARGEST_EDGE)),
        }
    }

    fn of(self, long_edge: u32) -> u64 {
        if long_edge <= THUMBNAIL_EDGE {
            self.thumbnails
        } else {
            self.largest
        }
    }
}

/// What a format's own parser found, before limits and EXIF are looked at. Numbers are as the file claims.
#[derive(Debug)]
pub(crate) struct Probe<'a> {
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// The frame with the most pixels, if that may be larger than the picture itself.
    pub(crate) largest_frame: (u32, u32),
    pub(crate) frames: u32,
    /// Pixels of all frames, as the decoder will go over them.
    pub(crate) total_pixels: u64,
    /// Passes over the whole picture.
    pub(crate) scans: u32,
    /// What the format itself says of it; then EXIF is not asked.
    pub(crate) orientation: Option<Orientation>,
    pub(crate) exif: Option<Cow<'a, [u8]>>,
    /// What its numbers mean, unless that is sRGB; left out where the decoder itself converts.
    pub(crate) icc: Option<EmbeddedProfile<'a>>,
    /// Bytes that decoding onto a canvas allocates, with the canvas.
    pub(crate) cost: Cost,
}

impl Probe<'_> {
    fn leave_out_large_metadata(&mut self, max: u64) {
        self.exif.take_if(|exif| exif.len() as u64 > max);
        self.icc
            .take_if(|profile| profile.stored_bytes() as u64 > max);
    }
}

/// Reads the headers of the picture in `bytes` (the whole file), without any decoder.
///
/// # Errors
/// What is no picture or not an accepted one, what has damaged headers, and what exceeds a limit.
pub fn inspect(bytes: &[u8], limits: &Limits) -> Result<Header, PictureError> {
    inspect_all(bytes, limits).map(|inspected| inspected.header)
}

/// What [`inspect`] found, with what is needed for renditions.
pub(crate) struct Inspected<'a> {
    pub(crate) header: Header,
    pub(crate) exif: ExifData,
    pub(crate) icc: Option<EmbeddedProfile<'a>>,
}

pub(crate) fn inspect_all<'a>(
    bytes: &'a [u8],
    limits: &Limits,
) -> Result<Inspected<'a>, PictureError> {
    let format = sniff(bytes).ok_or_else(|| format::refuse(bytes))?;
    let mut probe = match format {
        Format::Jpeg => jpeg::probe(bytes),
        Format::Png => png::probe(bytes),
        Format::Gif => gif::probe(bytes),
        Format::WebP => webp::probe(bytes),
        Format::Avif | Format::Heic => heif::probe(bytes, format),
        Format::Tiff => tiff::probe(bytes),
        Format::Bmp => bmp::probe(bytes),
        Format::Jxl => jxl::probe(bytes),
        Format::Raw => raw::probe(bytes),
    }?;
    probe.leave_out_large_metadata(limits.max_metadata_bytes);
    let colour_cost = probe.icc.as_ref().map_or(0, EmbeddedProfile::cost);
    let cost = probe
        .cost
        .plus(|edge| rendering_cost(probe.width, probe.height, edge).saturating_add(colour_cost));
    check(format, &probe, limits)?;
    let exif = ExifData::parse(probe.exif.as_deref());
    let orientation = probe.orientation.unwrap_or_else(|| exif.orientation());
    let (width, height) = if swaps_edges(orientation) {
        (probe.height, probe.width)
    } else {
        (probe.width, probe.height)
    };
    let header = Header {
        format,
        width,
        height,
        orientation,
        animated: probe.frames > 1,
        frames: probe.frames,
        cost,
    };
    header.check_memory(THUMBNAIL_EDGE, limits)?;
    Ok(Inspected {
        header,
        exif,
        icc: probe.icc,
    })
}

/// The memory, in bytes, that [`verify`](crate::verify) needs at its peak beside the file's own bytes: an upper
/// estimate, for renditions of up to `long_edge` pixels, which is at most 2,560. For callers that let several pictures
/// share a budget, and for those that would rather have smaller renditions than none.
#[must_use]
pub fn decode_cost(header: &Header, long_edge: u32) -> u64 {
    header.cost.of(long_edge)
}

/// What scaling, turning and encoding a rendition allocates, beside the canvas. Scaled in width and not yet in height,
/// it has the canvas's rows, which are fewer than twice those wanted; then it is there twice: stored and turned.
fn rendering_cost(width: u32, height: u32, long_edge: u32) -> u64 {
    if long_edge <= THUMBNAIL_EDGE {
        return RENDERING_COST;
    }
    let rows = height.min(wanted_edge(long_edge).saturating_mul(2));
    let (width, height) = fit(width, height, long_edge);
    let samples = u64::from(width) * (u64::from(rows) + 2 * u64::from(height)) * 3;
    samples.max(RENDERING_COST)
}

fn check(format: Format, probe: &Probe<'_>, limits: &Limits) -> Result<(), PictureError> {
    for (width, height) in [(probe.width, probe.height), probe.largest_frame] {
        if width == 0 || height == 0 {
            return Err(PictureError::corrupt(
                format,
                "it has no width or no height",
            ));
        }
        if u64::from(width) * u64::from(height) > limits.max_pixels {
            return Err(PictureError::TooManyPixels {
                width,
                height,
                max_pixels: limits.max_pixels,
            });
        }
    }
    for (what, count, max) in [
        (
            "frames",
            u64::from(probe.frames),
            u64::from(limits.max_frames),
        ),
        ("scans", u64::from(probe.scans), u64::from(limits.max_scans)),
        (
            "pixels in all its frames",
            probe.total_pixels,
            limits.max_total_pixels,
        ),
    ] {
        if count > max {
            return Err(PictureError::TooManyFrames { what, count, max });
        }
    }
    Ok(())
}

pub(crate) fn swaps_edges(orientation: Orientation) -> bool {
    match orientation {
        Orientation::NoTransforms
        | Orientation::Rotate180
        | Orientation::FlipHorizontal
        | Orientation::FlipVertical => false,
        Orientation::Rotate90
        | Orientation::Rotate270
        | Orientation::Rotate90FlipH
        | Orientation::Rotate270FlipH => true,
    }
}
