//! The whole way: decode everything once, and keep the little that a gallery needs.

use std::panic::{AssertUnwindSafe, catch_unwind};

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer, pixels::U8x3};
use image::{DynamicImage, RgbImage};
use jiff::{Timestamp, tz::Offset};

use crate::canvas::Raster;
use crate::colour::{EmbeddedProfile, ToSrgb};
use crate::header::{Inspected, inspect_all};
use crate::limits::Deadline;
use crate::{
    Format, Header, Limits, Orientation, PictureError, bmp, gif, heif, jpeg, jxl, png, raw, tiff,
    webp,
};

/// JPEG quality of renditions: where the eye stops to see a difference at these sizes.
pub(crate) const QUALITY: i32 = 80;
/// The picture that a thumbhash is made of: it keeps no finer detail than this.
const THUMBHASH_EDGE: u32 = 32;

/// A picture that was decoded to its end and found sound.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Picture {
    /// What its headers say.
    pub header: Header,
    /// What its EXIF data say.
    pub metadata: Metadata,
    /// A blurred preview of about 25 bytes (<https://evanw.github.io/thumbhash/>), upright.
    pub thumbhash: Vec<u8>,
    /// The thumbnails asked for, in the order asked for.
    pub renditions: Vec<Rendition>,
}

/// What a picture says about its making. Camera clocks and makers' spellings are as they are: a hint, not a fact.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Metadata {
    /// When it was taken. Where the picture names no time zone, its local time is read as UTC.
    pub taken_at: Option<Timestamp>,
    /// The zone of the camera's clock, where the picture names one: by how much local time is ahead of UTC.
    pub utc_offset: Option<Offset>,
    /// Maker and model, such as `NIKON D850`: one line of at most 100 characters, without control characters.
    pub camera: Option<String>,
    /// The lens, likewise.
    pub lens: Option<String>,
    /// How it was exposed.
    pub exposure: Exposure,
    /// Whether there is anything about a place, readable or not.
    pub has_location: bool,
    /// Where it was taken.
    pub location: Option<Location>,
}

/// How a picture was exposed, as far as it is said.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[non_exhaustive]
pub struct Exposure {
    /// Exposure time in seconds.
    pub seconds: Option<f64>,
    /// Focal length divided by aperture.
    pub f_number: Option<f64>,
    /// Sensitivity, ISO 12232.
    pub iso: Option<u32>,
    /// Focal length in millimetres, as it is written on the lens.
    pub focal_length: Option<f64>,
}

/// A place on Earth, WGS 84.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Location {
    /// Degrees; north is positive.
    pub latitude: f64,
    /// Degrees; east is positive.
    pub longitude: f64,
}

/// A thumbnail: a JPEG in sRGB, upright, on [`GROUND`](crate::GROUND) where the picture is transparent, without metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rendition {
    /// The longest edge that was asked for, in pixels. A smaller picture is not enlarged.
    pub long_edge: u32,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// The file.
    pub jpeg: Vec<u8>,
}

/// Decodes all of the picture in `bytes` (the whole file) and makes a rendition for each of `renditions`: the longest
/// edge in pixels.
///
/// # Errors
/// What [`inspect`](crate::inspect) refuses; renditions over 1,280 pixels for which the memory does not suffice; a picture that is damaged or cut off anywhere; one that takes too long.
pub fn verify(bytes: &[u8], limits: &Limits, renditions: &[u32]) -> Result<Picture, PictureError> {
    let deadline = Deadline::start(limits);
    let Inspected { header, exif, icc } = inspect_all(bytes, limits)?;
    let long_edge = renditions.iter().copied().fold(THUMBHASH_EDGE, u32::max);
    header.check_memory(long_edge, limits)?;
    let raster = decode(header.format, bytes, limits, long_edge, &deadline)?;
    deadline.check()?;
    let mut renderer = Renderer::new(raster, &header, icc);
    let thumbhash = renderer.thumbhash()?;
    let renditions = renditions
        .iter()
        .map(|&long_edge| {
            deadline.check()?;
            renderer.rendition(long_edge)
        })
        .collect::<Result<_, _>>()?;
    Ok(Picture {
        metadata: exif.metadata(),
        thumbhash,
        renditions,
        header,
    })
}

/// Runs the decoder. Those of others are not known to panic on any bytes; should one, it is the picture that is
/// refused, not the process that ends.
pub(crate) fn decode(
    format: Format,
    bytes: &[u8],
    limits: &Limits,
    long_edge: u32,
    deadline: &Deadline,
) -> Result<Raster, PictureError> {
    catch_unwind(AssertUnwindSafe(|| match format {
        Format::Jpeg => jpeg::decode(bytes, limits, long_edge),
        Format::Png => png::decode(bytes, limits, long_edge, deadline),
        Format::Gif => gif::decode(bytes, limits, long_edge, deadline),
        Format::WebP => webp::decode(bytes, limits, long_edge, deadline),
        Format::Avif | Format::Heic => heif::decode(bytes, format, limits, long_edge, deadline),
        Format::Tiff => tiff::decode(bytes, long_edge, deadline),
        Format::Bmp => bmp::decode(bytes, long_edge, deadline),
        Format::Jxl => jxl::decode(bytes, limits, long_edge, deadline),
        Format::Raw => raw::decode(bytes, limits, long_edge),
    }))
    .unwrap_or_else(|_| Err(PictureError::corrupt(format, "the decoder failed on it")))
}

/// Makes small upright pictures from a decoded one.
pub(crate) struct Renderer {
    source: Raster,
    /// Edges of the picture itself, as stored.
    width: u32,
    height: u32,
    orientation: Orientation,
    to_srgb: Option<ToSrgb>,
    resizer: Resizer,
}

impl Renderer {
    /// `icc` is the profile that the file holds; a decoder may have made a better one.
    pub(crate) fn new(
        mut source: Raster,
        header: &Header,
        icc: Option<EmbeddedProfile<'_>>,
    ) -> Self {
        let icc = source.profile.take().map(EmbeddedProfile::Made).or(icc);
        let to_srgb = icc.as_ref().and_then(ToSrgb::new);
        let (mut width, mut height) = (header.width, header.height);
        if header.orientation_swaps_edges() {
            (width, height) = (height, width);
        }
        Self::of_stored(source, (width, height), header.orientation, to_srgb)
    }

    /// Of a picture of the given size as stored.
    pub(crate) fn of_stored(
        source: Raster,
        (width, height): (u32, u32),
        orientation: Orientation,
        to_srgb: Option<ToSrgb>,
    ) -> Self {
        Self {
            source,
            width,
            height,
            orientation,
            to_srgb,
            resizer: Resizer::new(),
        }
    }

    pub(crate) fn rendition(&mut self, long_edge: u32) -> Result<Rendition, PictureError> {
        let picture = self.upright(long_edge)?;
        let (width, height) = picture.dimensions();
        let jpeg = encode_pixels(&picture)?;
        Ok(Rendition {
            long_edge,
            width,
            height,
            jpeg,
        })
    }

    fn thumbhash(&mut self) -> Result<Vec<u8>, PictureError> {
        let picture = DynamicImage::ImageRgb8(self.upright(THUMBHASH_EDGE)?).into_rgba8();
        let (width, height) = picture.dimensions();
        Ok(thumbhash::rgba_to_thumb_hash(
            width as usize,
            height as usize,
            picture.as_raw(),
        ))
    }

    fn upright(&mut self, long_edge: u32) -> Result<RgbImage, PictureError> {
        let (width, height) = fit(self.width, self.height, long_edge);
        let Raster { pixels, span, .. } = &self.source;
        // One pixel type is named, so that the library's code for all others is not compiled into this crate.
        let source =
            TypedImageRef::<U8x3>::from_buffer(self.source.width, self.source.height, pixels)
                .map_err(fault)?;
        let mut scaled = vec![0; width as usize * height as usize * 3];
        let mut target =
            TypedImage::<U8x3>::from_buffer(width, height, &mut scaled).map_err(fault)?;
        let options = ResizeOptions::new()
            .crop(0.0, 0.0, span.0, span.1)
            .resize_alg(ResizeAlg::Convolution(FilterType::Lanczos3));
        self.resizer
            .resize_typed(&source, &mut target, &options)
            .map_err(fault)?;
        if let Some(to_srgb) = &self.to_srgb {
            to_srgb.apply(&mut scaled);
        }
        let picture = RgbImage::from_raw(width, height, scaled)
            .ok_or_else(|| fault("a resampled picture has the wrong size"))?;
        let mut picture = DynamicImage::ImageRgb8(picture);
        picture.apply_orientation(self.orientation);
        Ok(picture.into_rgb8())
    }
}

/// The largest size of the same shape whose longest edge is at most `long_edge`; never larger than the picture, never
/// nothing. In pixels, as they are shown; a thumbnail of `long_edge` has it.
#[must_use]
pub fn fit(width: u32, height: u32, long_edge: u32) -> (u32, u32) {
    let longest = width.max(height);
    if longest <= long_edge {
        return (width, height);
    }
    let scale = |edge: u32| {
        let scaled =
            (u64::from(edge) * u64::from(long_edge) + u64::from(longest) / 2) / u64::from(longest);
        // At most `long_edge`.
        (scaled as u32).max(1)
    };
    (scale(width), scale(height))
}

pub(crate) fn encode_pixels(picture: &RgbImage) -> Result<Vec<u8>, PictureError> {
    let (width, height) = picture.dimensions();
    let mut compressor = turbojpeg::Compressor::new().map_err(fault)?;
    compressor.set_quality(QUALITY).map_err(fault)?;
    compressor
        .set_subsamp(turbojpeg::Subsamp::Sub2x2)
        .map_err(fault)?;
    compressor
        .compress_to_vec(turbojpeg::Image {
            pixels: picture.as_raw().as_slice(),
            width: width as usize,
            pitch: width as usize * 3,
            height: height as usize,
            format: turbojpeg::PixelFormat::RGB,
        })
        .map_err(fault)
}

pub(crate) fn fault(error: impl ToString) -> PictureError {
    PictureError::Rendition {
        reason: error.to_string(),
    }
}
