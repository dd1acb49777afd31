//! AVIF and HEIC: pictures in an ISO base media file, coded with AV1 or HEVC.
//!
//! Both are one thing here, as they are one standard (ISO/IEC 23008-12): an own reader says what the file holds
//! ([`isobmff`](crate::isobmff), [`plan`]), a decoder gives planes of one coded picture at a time ([`av1`], [`hevc`]),
//! and rows of RGB are made of these ([`planes`], [`layer`]). A picture of tiles, as phones write them, is never held
//! whole: one row of tiles is.
//!
//! How a picture is turned and cut is said by the file's own properties (`irot`, `imir`, `clap`), in their order. Where
//! EXIF contradicts them it is wrong, by the standard: writers leave it as the camera had it.
//!
//! The picture is the primary item; other pictures of the file, depth and gain maps are not looked at. An AVIF sequence
//! is an animation, of which all frames are decoded. Of a HEIC file that holds a sequence beside its picture, the
//! picture is taken; without one it is refused, since pictures that refer to others are not decoded.
//!
//! Neither coding has checksums. Data that were replaced by others of the same length can look like a picture, to any
//! decoder; data that are missing cannot.

mod av1;
mod bits;
mod geometry;
mod hevc;
mod layer;
mod plan;
mod planes;

use std::borrow::Cow;

use crate::canvas::{Canvas, Raster, over_ground};
use crate::colour::EmbeddedProfile;
use crate::header::{Cost, Probe};
use crate::isobmff::{Malformed, Property};
use crate::limits::Deadline;
use crate::{Format, Limits, Orientation, PictureError};
use geometry::View;
use layer::LayerRows;
use plan::Plan;

/// What decoders hold whatever the picture: tables, and the structure of the file.
const FIXED_COST: u64 = 4 << 20;

/// Why a picture is refused, before it is said of which format.
#[derive(Debug)]
enum Fault {
    Damaged(String),
    Unsupported(&'static str),
    Other(PictureError),
}

impl Fault {
    fn damaged(reason: impl Into<String>) -> Self {
        Self::Damaged(reason.into())
    }

    fn of(self, format: Format) -> PictureError {
        match self {
            Self::Damaged(reason) => PictureError::corrupt(format, reason),
            Self::Unsupported(what) => PictureError::UnsupportedFormat { what },
            Self::Other(error) => error,
        }
    }
}

impl From<Malformed> for Fault {
    fn from(Malformed(reason): Malformed) -> Self {
        Self::damaged(reason)
    }
}

impl From<PictureError> for Fault {
    fn from(error: PictureError) -> Self {
        Self::Other(error)
    }
}

/// Reads the boxes, and the headers of what is coded.
pub(crate) fn probe(bytes: &[u8], format: Format) -> Result<Probe<'_>, PictureError> {
    Plan::read(bytes)
        .and_then(|plan| probe_of(&plan))
        .map_err(|fault| fault.of(format))
}

fn probe_of<'a>(plan: &Plan<'a>) -> Result<Probe<'a>, Fault> {
    let (width, height) = (plan.view.crop.width, plan.view.crop.height);
    let frames = plan.frames();
    let held = FIXED_COST.saturating_add(plan.cost()?);
    Ok(Probe {
        width,
        height,
        largest_frame: plan.largest_frame(),
        frames,
        total_pixels: plan.total_pixels(),
        scans: 1,
        exif: plan.exif.map(Cow::Borrowed),
        orientation: Some(plan.view.orientation()),
        icc: plan.icc.map(EmbeddedProfile::Whole),
        cost: Cost::by_edge(|edge| held.saturating_add(Canvas::cost(width, height, edge, false))),
    })
}

/// The size of what is shown of a picture, as stored, and how it is to be turned.
pub(crate) type Seen = ((u32, u32), Orientation);

/// Of a picture whose properties name its size.
pub(crate) fn sized_view(properties: &[Property<'_>]) -> Option<Seen> {
    let (width, height) = properties.iter().find_map(|property| match property {
        Property::Size(width, height) => Some((*width, *height)),
        _ => None,
    })?;
    view(width, height, properties)
}

/// Of a picture of this size.
pub(crate) fn view(width: u32, height: u32, properties: &[Property<'_>]) -> Option<Seen> {
    let mut view = View::whole(width, height);
    for property in properties {
        view.apply(property).ok()?;
    }
    Some(((view.crop.width, view.crop.height), view.orientation()))
}

/// Decodes everything; the canvas has the picture.
pub(crate) fn decode(
    bytes: &[u8],
    format: Format,
    limits: &Limits,
    long_edge: u32,
    deadline: &Deadline,
) -> Result<Raster, PictureError> {
    Plan::read(bytes)
        .and_then(|plan| {
            let raster = draw(&plan, long_edge, deadline)?;
            for track in &plan.tracks {
                av1::check_sequence(track, bytes, limits, deadline)?;
            }
            Ok(raster)
        })
        .map_err(|fault| fault.of(format))
}

fn draw(plan: &Plan<'_>, long_edge: u32, deadline: &Deadline) -> Result<Raster, Fault> {
    let crop = plan.view.crop;
    let mut canvas = Canvas::in_rows(crop.width, crop.height, long_edge);
    let mut colour = LayerRows::new(&plan.colour);
    let mut alpha = plan.alpha.as_ref().map(LayerRows::new);
    let (mut rgb, mut opacity) = (Vec::new(), Vec::new());
    let columns = crop.left as usize..crop.left as usize + crop.width as usize;
    for y in 0..plan.colour.height {
        colour.rgb(y, &mut rgb, deadline)?;
        if let Some(alpha) = &mut alpha {
            alpha.grey(y, &mut opacity, deadline)?;
            for (pixel, &opacity) in rgb.chunks_exact_mut(3).zip(&opacity) {
                if let &mut [red, green, blue] = pixel {
                    pixel.copy_from_slice(&over_ground([red, green, blue, opacity]));
                }
            }
        }
        if y >= crop.top {
            let row = rgb.get(columns.start * 3..columns.end * 3);
            canvas.push_row(row.unwrap_or_default());
        }
    }
    let incomplete = Fault::damaged("rows are missing").of(Format::Heic);
    Ok(canvas.finish(incomplete)?)
}
