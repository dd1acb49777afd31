//! AV1 pictures and sequences, decoded by `rav1d`, which is dav1d in Rust.
//!
//! The decoder is told the size that the file announces as its limit, and uses one thread: this one. What kind of
//! samples it will have to hold is read from the sequence header before.

use re_rav1d::dav1d::pixel::{MatrixCoefficients, YUVRange};
use re_rav1d::dav1d::{Decoder, Error, Picture, Settings};

use super::Fault;
use super::bits::{SampleKind, sequence_headers};
use super::planes::Planes;
use crate::isobmff::{Nclx, Property, Track};
use crate::limits::Deadline;
use crate::{Limits, PictureError};

/// Planes are allocated in squares of this many pixels.
const ALIGNMENT: u64 = 128;
/// What the decoder holds beside planes, in sixteenths of a byte a pixel: modes, filters, and motion.
const WORKING_SIXTEENTHS: u64 = 48;
/// Frames that may be held at once: those that others refer to, the one being decoded, and it with grain.
const SEQUENCE_FRAMES: u64 = 10;
/// How often the decoder may say that it can neither take nor give.
const MAX_IDLE_ROUNDS: u32 = 4;

/// What a picture's planes take, and what decoding takes beside.
pub(super) fn cost(config: &[u8], width: u32, height: u32) -> Result<(u64, u64), Fault> {
    let kind = announced(config)?;
    let pixels = padded(width, height);
    let planes = kind.bytes(pixels);
    // Where grain is put on, it is put on a copy.
    Ok((
        planes,
        planes.saturating_add(pixels.saturating_mul(WORKING_SIXTEENTHS) / 16),
    ))
}

/// What decoding a sequence takes.
pub(super) fn sequence_cost(config: &[u8], width: u32, height: u32) -> Result<u64, Fault> {
    let (planes, working) = cost(config, width, height)?;
    Ok(planes
        .saturating_mul(SEQUENCE_FRAMES)
        .saturating_add(working))
}

/// One picture.
pub(super) fn decode(
    config: &[u8],
    data: &[u8],
    colours: Option<Nclx>,
    (width, height): (u32, u32),
    deadline: &Deadline,
) -> Result<Planes, Fault> {
    let mut decoder = open(width, height)?;
    check_kind(config, data)?;
    let mut last = None;
    feed(&mut decoder, data, deadline, &mut |picture| {
        last = Some(picture);
    })?;
    let picture = last.ok_or_else(|| Fault::damaged("its data hold no picture"))?;
    planes(picture, colours)
}

/// Decodes all of a sequence, and keeps nothing.
pub(super) fn check_sequence(
    track: &Track<'_>,
    file: &[u8],
    limits: &Limits,
    deadline: &Deadline,
) -> Result<(), Fault> {
    if track.count > limits.max_frames {
        return Err(Fault::Other(PictureError::TooManyFrames {
            what: "frames",
            count: track.count.into(),
            max: limits.max_frames.into(),
        }));
    }
    let config = track.properties.iter().find_map(|property| match property {
        Property::Av1(config) => Some(*config),
        _ => None,
    });
    let config = config.ok_or_else(|| Fault::damaged("it does not say how it is coded"))?;
    let mut decoder = open(track.width, track.height)?;
    let mut count = 0_u32;
    for sample in track.samples(file)? {
        check_kind(config, sample)?;
        feed(&mut decoder, sample, deadline, &mut |_| count += 1)?;
    }
    if count < track.count {
        return Err(Fault::damaged("it has fewer frames than it announces"));
    }
    Ok(())
}

fn announced(config: &[u8]) -> Result<SampleKind, Fault> {
    SampleKind::of_config(config).ok_or_else(|| Fault::damaged("how it is coded is malformed"))
}

/// Refuses data whose samples are not those announced: what decoding costs was known from these.
fn check_kind(config: &[u8], data: &[u8]) -> Result<(), Fault> {
    let announced = announced(config)?;
    for header in sequence_headers(data) {
        if SampleKind::of_sequence_header(header) != Some(announced) {
            return Err(Fault::damaged(
                "its data are of another kind than announced",
            ));
        }
    }
    Ok(())
}

fn open(width: u32, height: u32) -> Result<Decoder, Fault> {
    let mut settings = Settings::new();
    settings.set_n_threads(1);
    settings.set_max_frame_delay(1);
    settings.set_all_layers(false);
    settings.set_strict_std_compliance(true);
    let pixels = u64::from(width) * u64::from(height);
    // Zero would be no limit, and was refused before.
    settings.set_frame_size_limit(u32::try_from(pixels).unwrap_or(u32::MAX).max(1));
    Decoder::with_settings(&settings).map_err(fault)
}

/// Gives the decoder data, and hands on what it makes of them.
fn feed(
    decoder: &mut Decoder,
    data: &[u8],
    deadline: &Deadline,
    take: &mut dyn FnMut(Picture),
) -> Result<(), Fault> {
    if data.is_empty() {
        return Err(Fault::damaged("a part of it is empty"));
    }
    let mut is_taken = match decoder.send_data(data.to_vec(), None, None, None) {
        Ok(()) => true,
        Err(error) if error.is_again() => false,
        Err(error) => return Err(fault(error)),
    };
    let mut idle = 0;
    loop {
        deadline.check()?;
        match decoder.get_picture() {
            Ok(picture) => {
                idle = 0;
                take(picture);
                continue;
            }
            Err(error) if error.is_again() => idle += 1,
            Err(error) => return Err(fault(error)),
        }
        if is_taken {
            return Ok(());
        }
        if idle > MAX_IDLE_ROUNDS {
            return Err(Fault::damaged("its data cannot be decoded"));
        }
        match decoder.send_pending_data() {
            Ok(()) => is_taken = true,
            Err(error) if error.is_again() => {}
            Err(error) => return Err(fault(error)),
        }
    }
}

fn planes(picture: Picture, colours: Option<Nclx>) -> Result<Planes, Fault> {
    // What the file says counts more than what the data say.
    let colours = colours.unwrap_or_else(|| Nclx {
        matrix: match picture.matrix_coefficients() {
            MatrixCoefficients::Identity => 0,
            MatrixCoefficients::BT709 => 1,
            MatrixCoefficients::BT470M => 4,
            MatrixCoefficients::ST240M => 7,
            MatrixCoefficients::YCgCo => 8,
            MatrixCoefficients::BT2020NonConstantLuminance
            | MatrixCoefficients::BT2020ConstantLuminance => 9,
            _ => 2,
        },
        full_range: picture.color_range() == YUVRange::Full,
    });
    Planes::of_av1(picture, colours)
}

fn padded(width: u32, height: u32) -> u64 {
    let padded = |edge: u32| u64::from(edge).div_ceil(ALIGNMENT) * ALIGNMENT;
    padded(width).saturating_mul(padded(height))
}

fn fault(error: Error) -> Fault {
    match error {
        Error::UnsupportedBitstream => Fault::damaged("its data need what no AVIF may have"),
        _ => Fault::damaged("its data cannot be decoded"),
    }
}
