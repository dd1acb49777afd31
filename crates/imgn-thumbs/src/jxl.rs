//! JPEG XL: an own reader of boxes and of the codestream's header, and the `jxl` crate for the pixels.
//!
//! The header says how to turn the picture; that is the format's rule, and what EXIF says of it is not looked at. It
//! does not say how many frames an animation has: they are counted against the limits while they are decoded.

use std::borrow::Cow;

use ::jxl::api::{
    AlphaMode, Event, JxlBasicInfo, JxlColorType, JxlDataFormat, JxlDecoder, JxlDecoderOptions,
    JxlOutputBuffer, JxlPixelFormat, ProfileLevel,
};

use crate::bytes::{array, be32};
use crate::canvas::{Canvas, Raster, over_ground};
use crate::exif::MAX_EXIF_BYTES;
use crate::header::{Cost, Orientation, Probe};
use crate::limits::Deadline;
use crate::{Format, Limits, PictureError};

/// The beginning of a codestream, and of a file that holds one in boxes.
pub(crate) const CODESTREAM: [u8; 2] = [0xff, 0x0a];
pub(crate) const CONTAINER: &[u8] = b"\0\0\0\x0cJXL \r\n\x87\n";
/// What the decoder holds whatever the picture.
const FIXED_COST: u64 = 8 << 20;
/// Frames of an animation, as far as the header tells: more than one.
const SEVERAL: u32 = 2;

/// Reads the boxes and the header.
pub(crate) fn probe(bytes: &[u8]) -> Result<Probe<'_>, PictureError> {
    let contents = Contents::read(bytes)?;
    let header = Header::read(contents.codestream)
        .ok_or_else(|| damaged("its header is malformed or cut off"))?;
    let (width, height) = (header.width, header.height);
    let pixels = u64::from(width) * u64::from(height);
    let frames = if header.is_animated { SEVERAL } else { 1 };
    Ok(Probe {
        width,
        height,
        largest_frame: (width, height),
        frames,
        total_pixels: pixels.saturating_mul(frames.into()),
        scans: 1,
        exif: contents.exif.map(Cow::Borrowed),
        icc: None,
        orientation: Some(header.orientation),
        cost: Cost::by_edge(|edge| {
            pixels
                .saturating_mul(header.cost_per_pixel())
                .saturating_add(FIXED_COST)
                .saturating_add(Canvas::cost(width, height, edge, false))
        }),
    })
}

/// Decodes all frames; the canvas has the first.
pub(crate) fn decode(
    bytes: &[u8],
    limits: &Limits,
    long_edge: u32,
    deadline: &Deadline,
) -> Result<Raster, PictureError> {
    let header = Header::read(Contents::read(bytes)?.codestream)
        .ok_or_else(|| damaged("its header is malformed or cut off"))?;
    let mut decoder = JxlDecoder::new(options(&header));
    let mut input = bytes;
    match decoder.process(&mut input, None, None).map_err(corrupt)? {
        Event::BasicInfo => {}
        _ => return Err(damaged("its header is cut off")),
    }
    let info = decoder
        .basic_info()
        .filter(|info| info.size == (header.width as usize, header.height as usize))
        .ok_or_else(|| damaged("its header can be read in two ways"))?;
    let is_grey = decoder
        .embedded_color_profile()
        .is_some_and(|profile| profile.channels() == 1);
    let format = pixel_format(info, is_grey)?;
    let color = format.color_type;
    decoder.set_pixel_format(format).map_err(corrupt)?;
    let (width, height) = (header.width as usize, header.height as usize);
    let stride = width * color.samples_per_pixel();
    let mut pixels = vec![0; stride * height];
    let mut raster = None;
    let mut frames = 0_u32;
    loop {
        deadline.check()?;
        let mut output = [JxlOutputBuffer::new(&mut pixels, height, stride)];
        match decoder
            .process(&mut input, Some(&mut output), None)
            .map_err(corrupt)?
        {
            Event::NeedMoreInput { .. } => return Err(damaged("it is cut off")),
            Event::FrameComplete { has_more_frames } => {
                frames = frames.saturating_add(1);
                if raster.is_none() {
                    let mut drawn = draw(&header, &pixels, color, long_edge, deadline)?;
                    drawn.profile = profile(&decoder);
                    raster = Some(drawn);
                }
                check_frames(&header, frames, limits)?;
                if !has_more_frames {
                    break;
                }
            }
            Event::Complete => break,
            Event::BasicInfo | Event::FrameHeader => {}
        }
    }
    raster.ok_or_else(|| damaged("it holds no picture"))
}

fn options(header: &Header) -> JxlDecoderOptions {
    let pixels = u64::from(header.width) * u64::from(header.height);
    let samples = pixels
        .saturating_mul(3 + u64::from(header.extra_channels))
        // Small pictures are filled up; and the limit itself is too much.
        .saturating_add(1 << 16);
    let mut options = JxlDecoderOptions::default();
    options.adjust_orientation = false;
    options.alpha_mode = AlphaMode::Unpremultiplied;
    options.max_profile_level = ProfileLevel::Main10;
    options.sample_limit = Some(usize::try_from(samples).unwrap_or(usize::MAX));
    options
}

fn pixel_format(info: &JxlBasicInfo, is_grey: bool) -> Result<JxlPixelFormat, PictureError> {
    use ::jxl::api::ExtraChannel;
    let has = |wanted| {
        info.extra_channels
            .iter()
            .any(|channel| channel.ec_type == wanted)
    };
    if has(ExtraChannel::Black) {
        return Err(PictureError::UnsupportedFormat {
            what: "JPEG XL in inks",
        });
    }
    Ok(JxlPixelFormat {
        color_type: match (is_grey, has(ExtraChannel::Alpha)) {
            (true, false) => JxlColorType::Grayscale,
            (true, true) => JxlColorType::GrayscaleAlpha,
            (false, false) => JxlColorType::Rgb,
            (false, true) => JxlColorType::Rgba,
        },
        color_data_format: Some(JxlDataFormat::U8 { bit_depth: 8 }),
        extra_channel_format: vec![None; info.extra_channels.len()],
    })
}

/// What the decoder's numbers mean.
fn profile(decoder: &JxlDecoder) -> Option<Vec<u8>> {
    let profile = decoder.output_color_profile()?.try_as_icc()?;
    Some(profile.into_owned())
}

fn check_frames(header: &Header, frames: u32, limits: &Limits) -> Result<(), PictureError> {
    let pixels = u64::from(header.width) * u64::from(header.height) * u64::from(frames);
    for (what, count, max) in [
        ("frames", frames.into(), limits.max_frames.into()),
        ("pixels in all its frames", pixels, limits.max_total_pixels),
    ] {
        if count > max {
            return Err(PictureError::TooManyFrames { what, count, max });
        }
    }
    Ok(())
}

fn draw(
    header: &Header,
    pixels: &[u8],
    color: JxlColorType,
    long_edge: u32,
    deadline: &Deadline,
) -> Result<Raster, PictureError> {
    let mut canvas = Canvas::in_rows(header.width, header.height, long_edge);
    let samples = color.samples_per_pixel();
    let mut rgb = Vec::with_capacity(header.width as usize * 3);
    for row in pixels.chunks_exact(header.width as usize * samples) {
        rgb.clear();
        match samples {
            1 => rgb.extend(row.iter().flat_map(|&grey| [grey; 3])),
            2 => rgb.extend(
                row.chunks_exact(2)
                    .flat_map(|pixel| over_ground([pixel[0], pixel[0], pixel[0], pixel[1]])),
            ),
            3 => rgb.extend_from_slice(row),
            _ => rgb.extend(
                row.chunks_exact(4)
                    .flat_map(|pixel| over_ground([pixel[0], pixel[1], pixel[2], pixel[3]])),
            ),
        }
        canvas.push_row(&rgb);
    }
    deadline.check()?;
    canvas.finish(damaged("rows are missing"))
}

/// What the beginning of a codestream says: the size as stored, and how it is to be turned.
pub(crate) fn size_and_orientation(head: &[u8]) -> Option<((u32, u32), Orientation)> {
    let header = Header::read(head)?;
    Some(((header.width, header.height), header.orientation))
}

/// What a file holds.
struct Contents<'a> {
    /// All of the codestream, or its first part.
    codestream: &'a [u8],
    exif: Option<&'a [u8]>,
}

impl<'a> Contents<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, PictureError> {
        if bytes.starts_with(&CODESTREAM) {
            return Ok(Self {
                codestream: bytes,
                exif: None,
            });
        }
        let (mut codestream, mut exif) = (None, None);
        for part in (Boxes { bytes, at: 0 }) {
            match part {
                (b"jxlc", data) if codestream.is_none() => codestream = Some(data),
                // A part's number comes first.
                (b"jxlp", data) if codestream.is_none() => codestream = data.get(4..),
                // As does where in the box the TIFF header is.
                (b"Exif", data) if exif.is_none() && data.len() <= MAX_EXIF_BYTES => {
                    exif = be32(data, 0)
                        .and_then(|offset| data.get((offset as usize).checked_add(4)?..));
                }
                _ => {}
            }
        }
        Ok(Self {
            codestream: codestream.ok_or_else(|| damaged("it holds no picture"))?,
            exif,
        })
    }
}

/// A container's boxes: kind and data; of the last one, as much as there is.
struct Boxes<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Boxes<'a> {
    type Item = (&'a [u8; 4], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.bytes.get(self.at..)?;
        let kind = rest.get(4..)?.first_chunk()?;
        let (head, size) = match be32(rest, 0)? {
            0 => (8, rest.len()),
            1 => (
                16,
                usize::try_from(u64::from_be_bytes(array(rest, 8)?)).ok()?,
            ),
            size => (8, size as usize),
        };
        let data = rest.get(head..size.min(rest.len()))?;
        self.at = self.at.checked_add(size)?;
        Some((kind, data))
    }
}

/// What a codestream's header says.
struct Header {
    width: u32,
    height: u32,
    orientation: Orientation,
    is_animated: bool,
    /// Channels that are no colour.
    extra_channels: u32,
}

impl Header {
    fn read(codestream: &[u8]) -> Option<Self> {
        let mut bits = Bits {
            bytes: codestream.strip_prefix(&CODESTREAM)?,
            at: 0,
        };
        let (width, height) = bits.size()?;
        let mut header = Self {
            width,
            height,
            orientation: Orientation::NoTransforms,
            is_animated: false,
            extra_channels: 0,
        };
        let is_default = bits.flag()?;
        if is_default {
            return Some(header);
        }
        if bits.flag()? {
            let orientation = bits.take(3)? as u8 + 1;
            header.orientation = Orientation::from_exif(orientation)?;
            if bits.flag()? {
                // How large the picture wants to be shown.
                bits.size()?;
            }
            if bits.flag()? {
                bits.preview()?;
            }
            header.is_animated = bits.flag()?;
            if header.is_animated {
                bits.animation()?;
            }
        }
        let is_float = bits.flag()?;
        if is_float {
            bits.choice([(32, 0), (16, 0), (24, 0), (1, 6)])?;
            bits.take(4)?;
        } else {
            bits.choice([(8, 0), (10, 0), (12, 0), (1, 6)])?;
        }
        // Whether 16 bits suffice for what is computed.
        bits.flag()?;
        header.extra_channels = bits.choice([(0, 0), (1, 0), (2, 4), (1, 12)])?;
        Some(header)
    }

    /// Bytes a pixel: what the decoder holds of a picture, and the decoded colours. Of 12 MP, 3.8 were measured for a
    /// lossy picture and 5 for a lossless one. Pictures built of several hidden ones, which encoders make of text on
    /// screens, need more.
    fn cost_per_pixel(&self) -> u64 {
        8 + u64::from(self.extra_channels) * 3
    }
}

/// Bits, from the least significant one of each byte on.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn take(&mut self, count: u32) -> Option<u32> {
        let mut value = 0;
        for place in 0..count {
            let byte = self.bytes.get(self.at / 8)?;
            value |= u32::from(byte >> (self.at % 8) & 1) << place;
            self.at += 1;
        }
        Some(value)
    }

    fn flag(&mut self) -> Option<bool> {
        Some(self.take(1)? == 1)
    }

    /// One of four numbers, each with so many further bits.
    fn choice(&mut self, choices: [(u32, u32); 4]) -> Option<u32> {
        let index = self.take(2)? as usize;
        let (base, bits) = *choices.get(index)?;
        base.checked_add(self.take(bits)?)
    }

    fn size(&mut self) -> Option<(u32, u32)> {
        let is_small = self.flag()?;
        let edge = |bits: &mut Self| {
            if is_small {
                Some((bits.take(5)? + 1) * 8)
            } else {
                bits.choice([(1, 9), (1, 13), (1, 18), (1, 30)])
            }
        };
        self.edges(edge)
    }

    fn preview(&mut self) -> Option<(u32, u32)> {
        let is_coarse = self.flag()?;
        let edge = |bits: &mut Self| {
            if is_coarse {
                Some(bits.choice([(16, 0), (32, 0), (1, 5), (33, 9)])? * 8)
            } else {
                bits.choice([(1, 6), (65, 8), (321, 10), (1345, 12)])
            }
        };
        self.edges(edge)
    }

    /// Height, then what the width is of it.
    fn edges(&mut self, edge: impl Fn(&mut Self) -> Option<u32>) -> Option<(u32, u32)> {
        let height = edge(self)?;
        let share = |numerator: u64, denominator: u64| {
            u32::try_from(u64::from(height) * numerator / denominator).ok()
        };
        let width = match self.take(3)? {
            0 => edge(self),
            1 => Some(height),
            2 => share(12, 10),
            3 => share(4, 3),
            4 => share(3, 2),
            5 => share(16, 9),
            6 => share(5, 4),
            _ => share(2, 1),
        }?;
        Some((width, height))
    }

    fn animation(&mut self) -> Option<()> {
        self.choice([(100, 0), (1000, 0), (1, 10), (1, 30)])?;
        self.choice([(1, 0), (1001, 0), (1, 8), (1, 10)])?;
        self.choice([(0, 0), (0, 3), (0, 16), (0, 32)])?;
        self.flag()?;
        Some(())
    }
}

fn corrupt(error: ::jxl::error::Error) -> PictureError {
    damaged(error.to_string())
}

fn damaged(reason: impl Into<String>) -> PictureError {
    PictureError::corrupt(Format::Jxl, reason)
}
