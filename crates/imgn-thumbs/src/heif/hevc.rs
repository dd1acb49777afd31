//! HEVC pictures, decoded by `heifer-hevc-dec`: intra-coded ones, which is what HEIC holds.
//!
//! Parameter sets are those of the file's `hvcC` box only, where they are read before anything is allocated; those
//! among the data are left out. A hash of the decoded picture, where an encoder wrote one, must be right.

use heifer_hevc_dec::decoder::{DecodeOptions, decode_picture};
use heifer_hevc_dec::nal::unescape_rbsp;
use heifer_hevc_dec::params::Sps;

use super::Fault;
use super::planes::Planes;
use crate::isobmff::{Malformed, Nclx, Reader};

/// What `hvcC` has before its arrays, and where in it the length of NAL units' lengths is.
const CONFIG_HEAD: usize = 22;
const LENGTHS_AT: usize = 21;
/// Kinds of NAL units: parameter sets are from the first to the last, the sequence's in the middle.
const PARAMETER_SETS: std::ops::RangeInclusive<u8> = 32..=34;
const SEQUENCE_PARAMETERS: u8 = 33;
const START_CODE: [u8; 3] = [0, 0, 1];
/// How many parameter sets are looked at.
const MAX_PARAMETER_SETS: usize = 64;
/// What the decoder holds beside planes, in sixteenths of a byte a pixel: modes and filters.
const WORKING_SIXTEENTHS: u64 = 40;

/// What a picture's planes take, and what decoding takes beside.
pub(super) fn cost(config: &[u8], width: u32, height: u32) -> Result<(u64, u64), Fault> {
    let announced = u64::from(width) * u64::from(height);
    let (mut planes, mut pixels) = (0_u64, 0_u64);
    for unit in Config::read(config)?.sets {
        if kind(unit) != SEQUENCE_PARAMETERS {
            continue;
        }
        let sps = Sps::parse(&unescape_rbsp(unit.get(2..).unwrap_or_default())).map_err(fault)?;
        let (width, height) = (
            sps.pic_width_in_luma_samples,
            sps.pic_height_in_luma_samples,
        );
        let coded = u64::from(width) * u64::from(height);
        let (across, down) = sps.chroma_subsampling();
        let chroma = match sps.chroma_format_idc {
            0 => 0,
            _ => coded * 2 / u64::from(across.max(1)) / u64::from(down.max(1)),
        };
        pixels = coded.max(pixels);
        // Two bytes a sample, whatever the depth.
        planes = coded.saturating_add(chroma).saturating_mul(2).max(planes);
    }
    // Blocks of up to 64 pixels at the edges are all that a coded picture may have beyond the one shown.
    let allowed = (u64::from(width) + 64) * (u64::from(height) + 64);
    if pixels > allowed.max(announced) {
        return Err(Fault::damaged(
            "its data are of another size than announced",
        ));
    }
    // Filters work on a copy.
    let working = planes.saturating_add(pixels.saturating_mul(WORKING_SIXTEENTHS) / 16);
    Ok((planes, working))
}

/// One picture.
pub(super) fn decode(
    config: &[u8],
    data: &[u8],
    colours: Option<Nclx>,
    (width, height): (u32, u32),
) -> Result<Planes, Fault> {
    let config = Config::read(config)?;
    let stream = config.stream(data)?;
    let options = DecodeOptions {
        verify_hash: true,
        max_pixels: (u64::from(width) + 64) * (u64::from(height) + 64),
        ..DecodeOptions::default()
    };
    let frame = decode_picture(&stream, options).map_err(fault)?;
    let colours = colours.unwrap_or(Nclx {
        matrix: frame.matrix_coeffs.into(),
        full_range: frame.full_range,
    });
    Planes::of_hevc(frame, colours)
}

/// An `hvcC` box.
struct Config<'a> {
    length_bytes: usize,
    sets: Vec<&'a [u8]>,
}

impl<'a> Config<'a> {
    fn read(config: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(config);
        let head: [u8; CONFIG_HEAD] = reader.array()?;
        let mut sets = Vec::new();
        let arrays = reader.u8()?;
        for _ in 0..arrays {
            // Their kind, which each says itself.
            reader.u8()?;
            let count = reader.u16()?;
            for _ in 0..count {
                let length = reader.u16()?;
                let unit = reader.take(usize::from(length))?;
                if PARAMETER_SETS.contains(&kind(unit)) && sets.len() < MAX_PARAMETER_SETS {
                    sets.push(unit);
                }
            }
        }
        Ok(Self {
            length_bytes: usize::from(head[LENGTHS_AT] & 3) + 1,
            sets,
        })
    }

    /// Parameter sets and data, as a decoder reads them.
    fn stream(&self, data: &[u8]) -> Result<Vec<u8>, Malformed> {
        let mut stream = Vec::with_capacity(data.len() + 1024);
        let mut push = |unit: &[u8]| {
            stream.extend(START_CODE);
            stream.extend(unit);
        };
        for unit in &self.sets {
            push(unit);
        }
        let mut reader = Reader::new(data);
        while !reader.rest().is_empty() {
            let length = reader
                .take(self.length_bytes)?
                .iter()
                .fold(0_usize, |length, &byte| length << 8 | usize::from(byte));
            let unit = reader.take(length)?;
            if !unit.is_empty() && !PARAMETER_SETS.contains(&kind(unit)) {
                push(unit);
            }
        }
        Ok(stream)
    }
}

/// The kind of a NAL unit.
fn kind(unit: &[u8]) -> u8 {
    unit.first().map_or(0, |byte| byte >> 1 & 0x3f)
}

fn fault(error: heifer_hevc_dec::Error) -> Fault {
    match error {
        heifer_hevc_dec::Error::Unimplemented(_) => {
            Fault::Unsupported("HEIC pictures of an unusual coding")
        }
        error => Fault::damaged(error.to_string()),
    }
}
