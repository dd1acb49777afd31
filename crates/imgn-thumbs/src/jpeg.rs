//! JPEG: an own reader of headers, and libjpeg-turbo for the pixels.
//!
//! Verification and thumbnail are one decode at reduced size: libjpeg-turbo decodes all coefficients of all scans
//! whatever the size, and damage shows nowhere else. It reports damage as warnings and goes on; here such a warning is
//! the end, but for the oddities that real cameras write and that cost no pixel:
//! - bytes between the header's segments, and a few behind the picture's data: skipped;
//! - a sequential scan with the parameters of another kind of scan, JFIF versions and Adobe transforms that do not
//!   exist: corrected in a copy, because libjpeg-turbo tells its first warning only and would hide a real one behind
//!   these;
//! - anything behind the end of the picture: not looked at (multi-picture files, appended previews and videos).

use std::borrow::Cow;

use turbojpeg::{Colorspace, Decompressor, PixelFormat, ScalingFactor};

use crate::bytes::be16;
use crate::canvas::{Raster, wanted_edge};
use crate::colour::{EmbeddedProfile, Inks};
use crate::header::{Cost, Probe};
use crate::{Format, Limits, PictureError};

/// What libjpeg-turbo itself allocates at most, beside coefficients and output: rows, tables, input state; and per
/// column of the picture, in its rows of samples.
const FIXED_COST: u64 = 1 << 20;
const COST_PER_COLUMN: u64 = 256;
/// Stray bytes behind the picture's data that are let pass. More of them, or more than a 64th of the file, mean that
/// the data before them were not the picture's.
const MAX_STRAY_BYTES: usize = 1024;

/// The header of a JPEG file.
#[derive(Debug)]
struct Frame<'a> {
    shape: Shape,
    coding: Coding,
    exif: Option<&'a [u8]>,
    icc: ProfileParts<'a>,
    /// Where the first scan begins: at its marker.
    first_scan: usize,
    /// Where its entropy-coded data begin.
    data: usize,
    /// Whether libjpeg-turbo must keep all coefficients, because they come in several scans.
    in_several_scans: bool,
    /// Where the header's segments are, from marker to end, if there is something else between them.
    stray: bool,
    segments: Vec<(usize, usize)>,
    /// Bytes to be corrected: where, and what they shall be.
    corrections: Vec<(usize, u8)>,
}

/// What a frame header says of the picture's size.
#[derive(Debug)]
struct Shape {
    width: u16,
    height: u16,
    /// Sampling factors of each component, across and down.
    sampling: Vec<(u8, u8)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Coding {
    progressive: bool,
    arithmetic: bool,
}

/// Reads the header.
pub(crate) fn probe(bytes: &[u8]) -> Result<Probe<'_>, PictureError> {
    let frame = Frame::read(bytes)?;
    let (width, height) = (u32::from(frame.shape.width), u32::from(frame.shape.height));
    let scans = if frame.in_several_scans {
        count_scans(bytes, frame.first_scan)
    } else {
        1
    };
    Ok(Probe {
        width,
        height,
        largest_frame: (width, height),
        frames: 1,
        total_pixels: u64::from(width) * u64::from(height),
        scans,
        orientation: None,
        exif: frame.exif.map(Cow::Borrowed),
        cost: Cost::by_edge(|edge| frame.cost(bytes.len(), edge)),
        // Inks become colours on their way.
        icc: if frame.has_inks() {
            None
        } else {
            frame.icc.whole()
        },
    })
}

/// Decodes everything, at the smallest size that serves renditions of `long_edge`.
pub(crate) fn decode(
    bytes: &[u8],
    limits: &Limits,
    long_edge: u32,
) -> Result<Raster, PictureError> {
    let frame = Frame::read(bytes)?;
    frame.check_data_suffices(bytes)?;
    let bytes = frame.corrected(bytes);
    let scale = frame.scale(long_edge);

    let mut decoder = Decompressor::new().map_err(fault)?;
    decoder.set_scan_limit(limits.max_scans).map_err(fault)?;
    let header = decoder.read_header(&bytes).map_err(corrupt)?;
    if (header.width, header.height)
        != (
            usize::from(frame.shape.width),
            usize::from(frame.shape.height),
        )
    {
        return Err(damaged("its header can be read in two ways"));
    }
    decoder.set_scaling_factor(scale).map_err(fault)?;
    let (width, height) = (scale.scale(header.width), scale.scale(header.height));
    let inks = matches!(header.colorspace, Colorspace::CMYK | Colorspace::YCCK);
    let format = if inks {
        PixelFormat::CMYK
    } else {
        PixelFormat::RGB
    };
    let mut pixels = vec![0; width * height * format.size()];
    let decoded = decoder.decompress(
        &bytes,
        turbojpeg::Image {
            pixels: pixels.as_mut_slice(),
            width,
            pitch: width * format.size(),
            height,
            format,
        },
    );
    if let Err(error) = decoded
        && !is_harmless(&error, bytes.len())
    {
        return Err(corrupt(error));
    }
    if inks {
        pixels = colours(pixels, frame.icc.whole().as_ref());
    }
    let span = |edge: usize| edge as f64 * scale.num() as f64 / scale.denom() as f64;
    Ok(Raster {
        pixels,
        // At most 65,535.
        width: width as u32,
        height: height as u32,
        span: (span(header.width), span(header.height)),
        profile: None,
    })
}

/// Decodes a baseline JPEG that is a part of another file, at full size: at least `rows` rows of `width` pixels of so
/// many components. Three components become RGB, four stay as they are.
pub(crate) fn decode_part(
    bytes: &[u8],
    width: u32,
    rows: u32,
    components: u8,
) -> Result<Vec<u8>, PictureError> {
    let frame = Frame::read(bytes)?;
    let shape = &frame.shape;
    if frame.in_several_scans || shape.sampling.len() != usize::from(components) {
        return Err(unsupported("JPEG of this kind within another format"));
    }
    if u32::from(shape.width) != width || u32::from(shape.height) < rows {
        return Err(damaged("a part is of another size than announced"));
    }
    frame.check_data_suffices(bytes)?;
    let bytes = frame.corrected(bytes);
    let format = match components {
        1 => PixelFormat::GRAY,
        3 => PixelFormat::RGB,
        _ => PixelFormat::CMYK,
    };
    let (width, height) = (usize::from(shape.width), usize::from(shape.height));
    let mut decoder = Decompressor::new().map_err(fault)?;
    let header = decoder.read_header(&bytes).map_err(corrupt)?;
    if (header.width, header.height) != (width, height) {
        return Err(damaged("its header can be read in two ways"));
    }
    let mut pixels = vec![0; width * height * format.size()];
    let target = turbojpeg::Image {
        pixels: pixels.as_mut_slice(),
        width,
        pitch: width * format.size(),
        height,
        format,
    };
    match decoder.decompress(&bytes, target) {
        Err(error) if !is_harmless(&error, bytes.len()) => Err(corrupt(error)),
        _ => Ok(pixels),
    }
}

impl<'a> Frame<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, PictureError> {
        let mut found: Option<(Coding, Shape)> = None;
        let mut exif = None;
        let mut icc = ProfileParts::default();
        let mut stray = false;
        let mut segments = Vec::new();
        let mut corrections = Vec::new();
        let mut at = 2;
        loop {
            let start = at
                + bytes
                    .get(at..)
                    .and_then(|rest| rest.iter().position(|&byte| byte == 0xff))
                    .ok_or_else(|| damaged("it ends within its header"))?;
            let marker_at = start
                + bytes[start..]
                    .iter()
                    .position(|&byte| byte != 0xff)
                    .ok_or_else(|| damaged("it ends within its header"))?;
            let marker = bytes[marker_at];
            if marker == 0 {
                // Not a marker: a byte 0xff of whatever is between the segments.
                stray = true;
                at = marker_at + 1;
                continue;
            }
            stray |= start != at;
            if matches!(marker, 0x01 | 0xd0..=0xd8) {
                stray = true;
                at = marker_at + 1;
                continue;
            }
            if marker == 0xd9 {
                return Err(damaged("it holds no picture data"));
            }
            let body = marker_at + 1;
            let length = be16(bytes, body)
                .filter(|&length| length >= 2)
                .ok_or_else(|| damaged("a segment of its header has no length"))?;
            let end = body + usize::from(length);
            let payload = bytes
                .get(body + 2..end)
                .ok_or_else(|| damaged("it ends within its header"))?;
            at = end;
            segments.push((marker_at - 1, end));
            match marker {
                0xc0..=0xc2 | 0xc9 | 0xca => {
                    if found.is_some() {
                        return Err(damaged("it has two frame headers"));
                    }
                    let coding = Coding {
                        progressive: matches!(marker, 0xc2 | 0xca),
                        arithmetic: marker >= 0xc9,
                    };
                    found = Some((coding, Shape::read(payload)?));
                }
                0xc3 | 0xcb => return Err(unsupported("lossless JPEG")),
                0xc5..=0xc7 | 0xcd..=0xcf => return Err(unsupported("hierarchical JPEG")),
                0xe0 if payload.starts_with(b"JFIF\0")
                    && payload.get(5).is_some_and(|&major| major != 1) =>
                {
                    corrections.push((body + 2 + 5, 1));
                }
                0xe1 if exif.is_none() => exif = payload.strip_prefix(b"Exif\0\0"),
                0xe2 => icc.take(payload, body + 2),
                0xee if payload.starts_with(b"Adobe")
                    && payload.get(11).is_some_and(|&transform| transform > 2) =>
                {
                    let inks = found
                        .as_ref()
                        .is_some_and(|(_, shape)| shape.sampling.len() == 4);
                    corrections.push((body + 2 + 11, if inks { 2 } else { 1 }));
                }
                0xda => {
                    let (coding, shape) =
                        found.ok_or_else(|| damaged("its data come before its frame header"))?;
                    let components = usize::from(*payload.first().unwrap_or(&0));
                    let parameters = 1 + components * 2;
                    if components == 0 || payload.len() != parameters + 3 {
                        return Err(damaged("the header of its first scan is malformed"));
                    }
                    if !coding.progressive {
                        for (offset, right) in [(0, 0), (1, 63), (2, 0)] {
                            if payload[parameters + offset] != right {
                                corrections.push((body + 2 + parameters + offset, right));
                            }
                        }
                    }
                    // The library warns of a profile with missing parts, and reads nothing that looks like none.
                    if icc.whole().is_none() {
                        corrections.extend(icc.parts.iter().map(|part| (part.at, b'-')));
                    }
                    segments.pop();
                    return Ok(Self {
                        coding,
                        in_several_scans: coding.progressive || components < shape.sampling.len(),
                        shape,
                        exif,
                        icc,
                        first_scan: marker_at - 1,
                        data: end,
                        stray,
                        segments,
                        corrections,
                    });
                }
                _ => {}
            }
        }
    }

    fn has_inks(&self) -> bool {
        self.shape.sampling.len() == 4
    }

    /// Blocks of 8 x 8 samples, in all components, with those that fill up the edges.
    fn blocks(&self) -> u64 {
        let widest = self
            .shape
            .sampling
            .iter()
            .map(|&(h, _)| h)
            .max()
            .unwrap_or(1);
        let tallest = self
            .shape
            .sampling
            .iter()
            .map(|&(_, v)| v)
            .max()
            .unwrap_or(1);
        let units = u64::from(self.shape.width).div_ceil(8 * u64::from(widest))
            * u64::from(self.shape.height).div_ceil(8 * u64::from(tallest));
        self.shape
            .sampling
            .iter()
            .map(|&(h, v)| units * u64::from(h) * u64::from(v))
            .sum()
    }

    fn cost(&self, file_bytes: usize, long_edge: u32) -> u64 {
        let scale = self.scale(long_edge);
        let pixels = scale.scale(usize::from(self.shape.width)) as u64
            * scale.scale(usize::from(self.shape.height)) as u64;
        // Inks, and the colours that they become.
        let output = pixels * if self.has_inks() { 7 } else { 3 };
        let conversion = match self.icc.whole() {
            Some(profile) if self.has_inks() => profile.cost(),
            _ => 0,
        };
        // 64 coefficients of 2 bytes.
        let coefficients = if self.in_several_scans {
            self.blocks() * 128
        } else {
            0
        };
        let copy = if self.needs_correction() {
            file_bytes as u64
        } else {
            0
        };
        FIXED_COST
            + COST_PER_COLUMN * u64::from(self.shape.width)
            + output
            + coefficients
            + copy
            + conversion
    }

    /// The smallest of libjpeg-turbo's scales, eighths, that serves renditions of `long_edge`.
    fn scale(&self, long_edge: u32) -> ScalingFactor {
        let longest = u64::from(self.shape.width.max(self.shape.height)).max(1);
        let eighths = (u64::from(wanted_edge(long_edge)) * 8)
            .div_ceil(longest)
            .clamp(1, 8);
        ScalingFactor::new(eighths as usize, 8)
    }

    /// Refuses at once what cannot hold its own picture: a block takes at least a code for its first coefficient and
    /// one for its end, a bit each; in a progressive file the second may be shared.
    fn check_data_suffices(&self, bytes: &[u8]) -> Result<(), PictureError> {
        let least_bits = match self.coding {
            Coding {
                arithmetic: true, ..
            } => 0,
            Coding {
                progressive: true, ..
            } => 1,
            _ => 2,
        };
        let bits = (bytes.len() - self.data) as u64 * 8;
        if bits < self.blocks() * least_bits {
            return Err(damaged("it has far less data than its size needs"));
        }
        Ok(())
    }

    fn needs_correction(&self) -> bool {
        self.stray || !self.corrections.is_empty()
    }

    /// The file as libjpeg-turbo reads it without a warning about its header.
    fn corrected<'b>(&self, bytes: &'b [u8]) -> Cow<'b, [u8]> {
        if !self.needs_correction() {
            return Cow::Borrowed(bytes);
        }
        let mut corrected = bytes.to_vec();
        for &(at, byte) in &self.corrections {
            if let Some(place) = corrected.get_mut(at) {
                *place = byte;
            }
        }
        if self.stray {
            let mut end = 2;
            for &(from, to) in self
                .segments
                .iter()
                .chain([&(self.first_scan, bytes.len())])
            {
                // Segments are in order: what is moved goes towards the front.
                corrected.copy_within(from..to, end);
                end += to - from;
            }
            corrected.truncate(end);
        }
        Cow::Owned(corrected)
    }
}

impl Shape {
    /// From the payload of a frame header.
    fn read(payload: &[u8]) -> Result<Self, PictureError> {
        let malformed = || damaged("its frame header is malformed");
        let &[precision, _, _, _, _, components, ref rest @ ..] = payload else {
            return Err(malformed());
        };
        if precision != 8 {
            return Err(unsupported("JPEG with other than 8 bits a sample"));
        }
        if !matches!(components, 1 | 3 | 4) {
            return Err(unsupported("JPEG with other than 1, 3 or 4 components"));
        }
        if rest.len() != usize::from(components) * 3 {
            return Err(malformed());
        }
        let sampling: Vec<(u8, u8)> = rest
            .chunks_exact(3)
            .map(|component| (component[1] >> 4, component[1] & 15))
            .collect();
        if sampling
            .iter()
            .any(|&(h, v)| !(1..=4).contains(&h) || !(1..=4).contains(&v))
        {
            return Err(malformed());
        }
        let height = be16(payload, 1).ok_or_else(malformed)?;
        let width = be16(payload, 3).ok_or_else(malformed)?;
        Ok(Self {
            width,
            height,
            sampling,
        })
    }
}

/// A colour profile, which comes in parts: a segment is too short for most.
#[derive(Debug, Default)]
struct ProfileParts<'a> {
    parts: Vec<ProfilePart<'a>>,
}

#[derive(Debug, Clone, Copy)]
struct ProfilePart<'a> {
    /// From 1, and of how many.
    number: u8,
    count: u8,
    data: &'a [u8],
    /// Where in the file its segment's contents begin.
    at: usize,
}

impl<'a> ProfileParts<'a> {
    const PREFIX: &'static [u8] = b"ICC_PROFILE\0";

    /// Takes the payload of an APP2 segment, if it is one.
    fn take(&mut self, payload: &'a [u8], at: usize) {
        if let Some([number, count, data @ ..]) = payload.strip_prefix(Self::PREFIX) {
            self.parts.push(ProfilePart {
                number: *number,
                count: *count,
                data,
                at,
            });
        }
    }

    /// The profile, if no part is missing, and none there twice.
    fn whole(&self) -> Option<EmbeddedProfile<'a>> {
        let count = self.parts.first()?.count;
        let mut parts = self.parts.clone();
        parts.sort_by_key(|part| part.number);
        let is_whole = parts.iter().all(|part| part.count == count)
            && parts.iter().map(|part| part.number).eq(1..=count);
        is_whole.then(|| EmbeddedProfile::Parts(parts.iter().map(|part| part.data).collect()))
    }
}

/// Scans from the one at `at` to the end of the picture, or of the file.
fn count_scans(bytes: &[u8], mut at: usize) -> u32 {
    let mut scans = 0_u32;
    while let Some(offset) = bytes
        .get(at..)
        .and_then(|rest| rest.iter().position(|&byte| byte == 0xff))
    {
        at += offset + 1;
        match bytes.get(at) {
            None | Some(0xd9) => break,
            Some(0xda) => scans = scans.saturating_add(1),
            _ => {}
        }
    }
    scans
}

/// Whether a decode that ended with this warning has all pixels: only stray bytes before a marker were skipped.
fn is_harmless(warning: &turbojpeg::Error, file_bytes: usize) -> bool {
    let turbojpeg::Error::TurboJpegError(message) = warning else {
        return false;
    };
    // "Corrupt JPEG data: %u extraneous bytes before marker 0x%02x"; 0xd9 ends the picture.
    message
        .strip_prefix("Corrupt JPEG data: ")
        .and_then(|rest| rest.strip_suffix(" extraneous bytes before marker 0xd9"))
        .and_then(|count| count.parse().ok())
        .is_some_and(|count: usize| count <= MAX_STRAY_BYTES.min(file_bytes / 64))
}

/// Turns inks into colours. Every writer follows Adobe in storing them inverted.
fn colours(mut inks: Vec<u8>, profile: Option<&EmbeddedProfile<'_>>) -> Vec<u8> {
    for ink in &mut inks {
        *ink = 255 - *ink;
    }
    let mut rgb = Vec::with_capacity(inks.len() / 4 * 3);
    Inks::new(profile).append(&inks, &mut rgb);
    rgb
}

fn corrupt(error: turbojpeg::Error) -> PictureError {
    match error {
        turbojpeg::Error::TurboJpegError(message) => damaged(message),
        other => damaged(other.to_string()),
    }
}

fn damaged(reason: impl Into<String>) -> PictureError {
    PictureError::corrupt(Format::Jpeg, reason)
}

fn unsupported(what: &'static str) -> PictureError {
    PictureError::UnsupportedFormat { what }
}

fn fault(error: turbojpeg::Error) -> PictureError {
    PictureError::Rendition {
        reason: error.to_string(),
    }
}
