//! Colour: the numbers of a picture, as its ICC profile means them, made those of sRGB.
//!
//! It works on renditions, which are small, and never on full pixels. Inks are the exception: they become colours while
//! a picture is drawn, because a canvas has three values a pixel.
//!
//! Invariant: a profile is never a reason to refuse a picture. One that is broken, over-large, or of another kind than
//! the picture is as good as none, and then numbers are taken as sRGB, as web browsers do.

use std::borrow::Cow;
use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use flate2::read::ZlibDecoder;
use moxcms::{
    ColorProfile, DataColorSpace, Layout, ParsingOptions, Transform8BitExecutor, TransformOptions,
};

use crate::bytes::be32;

/// Profiles beyond this size are not looked at. Those of printing presses have up to 3 MB.
pub(crate) const MAX_PROFILE_BYTES: usize = 4 << 20;
/// What a profile costs for each of its bytes, being parsed and made into tables; see the measurements in the tests.
pub(crate) const COST_PER_BYTE: u64 = 6;
/// And what tables cost whatever the profile.
pub(crate) const FIXED_COST: u64 = 8 << 20;

const HEADER_BYTES: usize = 128;
const TAG_BYTES: usize = 12;
/// How many pixels are converted at once, where a copy is needed.
const PIXELS_AT_ONCE: usize = 4096;

/// Where in a file a profile is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum EmbeddedProfile<'a> {
    /// In one place.
    Whole(&'a [u8]),
    /// In parts, in their order.
    Parts(Vec<&'a [u8]>),
    /// In one place, as a zlib stream.
    Deflated(&'a [u8]),
    /// In no place: the decoder made it from what the picture says in other words.
    Made(Vec<u8>),
}

impl<'a> EmbeddedProfile<'a> {
    /// The profile's bytes, if it is not too large.
    fn read(&self) -> Option<Cow<'a, [u8]>> {
        let profile = match self {
            Self::Whole(bytes) => Cow::Borrowed(*bytes),
            Self::Parts(parts) => {
                let size: usize = parts.iter().map(|part| part.len()).sum();
                (size <= MAX_PROFILE_BYTES).then(|| Cow::Owned(parts.concat()))?
            }
            Self::Deflated(stream) => {
                let mut profile = Vec::new();
                // Damage to a profile is not damage to the picture.
                ZlibDecoder::new(*stream)
                    .take(MAX_PROFILE_BYTES as u64 + 1)
                    .read_to_end(&mut profile)
                    .ok()?;
                Cow::Owned(profile)
            }
            Self::Made(bytes) => Cow::Owned(bytes.clone()),
        };
        (profile.len() <= MAX_PROFILE_BYTES).then_some(profile)
    }

    /// Bytes that it takes up in its file.
    pub(crate) fn stored_bytes(&self) -> usize {
        match self {
            Self::Whole(bytes) | Self::Deflated(bytes) => bytes.len(),
            Self::Parts(parts) => parts.iter().map(|part| part.len()).sum(),
            Self::Made(_) => 0,
        }
    }

    /// Bytes that converting by it allocates, at most.
    pub(crate) fn cost(&self) -> u64 {
        let bytes = match self {
            Self::Whole(_) | Self::Parts(_) => self.stored_bytes(),
            // A stream becomes no more than 1,032 times as long.
            Self::Deflated(stream) => stream.len().saturating_mul(1032),
            Self::Made(bytes) => bytes.len(),
        };
        if bytes > MAX_PROFILE_BYTES && !matches!(self, Self::Deflated(_)) {
            return 0;
        }
        bytes.min(MAX_PROFILE_BYTES) as u64 * COST_PER_BYTE + FIXED_COST
    }

    fn parse(&self) -> Option<ColorProfile> {
        let bytes = self.read()?;
        if !tags_are_bounded(&bytes) {
            return None;
        }
        let options = ParsingOptions {
            max_profile_size: MAX_PROFILE_BYTES + 1,
            ..ParsingOptions::default()
        };
        ColorProfile::new_from_slice_with_options(&bytes, options).ok()
    }
}

/// Whether what a profile's tags hold is together no more than a profile may be. Tags may share bytes, each of which
/// would be parsed for each tag.
fn tags_are_bounded(profile: &[u8]) -> bool {
    let Some(count) = be32(profile, HEADER_BYTES) else {
        return false;
    };
    let table = profile.get(HEADER_BYTES + 4..).unwrap_or(&[]);
    let total: u64 = table
        .chunks_exact(TAG_BYTES)
        .take(count as usize)
        .map(|tag| u64::from(be32(tag, 8).unwrap_or(0)))
        .sum();
    total <= 2 * MAX_PROFILE_BYTES as u64
}

/// Makes RGB pixels sRGB.
pub(crate) enum ToSrgb {
    Colours(Arc<Transform8BitExecutor>),
    /// A profile for grey pictures; it says nothing of colours.
    Greys(Box<[[u8; 3]; 256]>),
}

impl ToSrgb {
    /// Nothing, if the profile is sRGB itself or cannot be used.
    pub(crate) fn new(profile: &EmbeddedProfile<'_>) -> Option<Self> {
        guarded(|| {
            let profile = profile.parse()?;
            match profile.color_space {
                DataColorSpace::Rgb => {
                    let transform = transform(&profile, Layout::Rgb)?;
                    changes_colours(&*transform).then_some(Self::Colours(transform))
                }
                DataColorSpace::Gray => {
                    let transform = transform(&profile, Layout::Gray)?;
                    let greys: Vec<u8> = (0..=255).collect();
                    let mut colours = vec![0; greys.len() * 3];
                    transform.transform(&greys, &mut colours).ok()?;
                    let mut table = Box::new([[0; 3]; 256]);
                    for (to, from) in table.iter_mut().zip(colours.chunks_exact(3)) {
                        to.copy_from_slice(from);
                    }
                    Some(Self::Greys(table))
                }
                _ => None,
            }
        })
    }

    /// Converts pixels in place. Should the library fail, they stay as they are.
    pub(crate) fn apply(&self, pixels: &mut [u8]) {
        match self {
            Self::Colours(transform) => {
                let mut converted = vec![0; PIXELS_AT_ONCE * 3];
                for part in pixels.chunks_mut(PIXELS_AT_ONCE * 3) {
                    let Some(converted) = converted.get_mut(..part.len()) else {
                        return;
                    };
                    if guarded(|| transform.transform(part, converted).ok()).is_some() {
                        part.copy_from_slice(converted);
                    }
                }
            }
            Self::Greys(table) => {
                let is_grey = |pixel: &[u8]| matches!(pixel, [r, g, b] if r == g && g == b);
                if !pixels.chunks_exact(3).all(is_grey) {
                    return;
                }
                for pixel in pixels.chunks_exact_mut(3) {
                    if let Some(colour) = pixel.first().map(|&grey| table[usize::from(grey)]) {
                        pixel.copy_from_slice(&colour);
                    }
                }
            }
        }
    }
}

/// Makes inks colours: four values a pixel, 0 for no ink.
pub(crate) struct Inks(Option<Arc<Transform8BitExecutor>>);

impl Inks {
    /// Through a profile for inks, if there is one that can be used; else plainly, as if inks were perfect.
    pub(crate) fn new(profile: Option<&EmbeddedProfile<'_>>) -> Self {
        Self(guarded(|| {
            let profile = profile?.parse()?;
            match profile.color_space {
                DataColorSpace::Cmyk => transform(&profile, Layout::Rgba),
                _ => None,
            }
        }))
    }

    /// Appends the colours of `inks` to `rgb`.
    pub(crate) fn append(&self, inks: &[u8], rgb: &mut Vec<u8>) {
        let start = rgb.len();
        let whole = inks.len() / 4 * 4;
        let inks = inks.get(..whole).unwrap_or(&[]);
        rgb.resize(start + whole / 4 * 3, 0);
        let colours = rgb.get_mut(start..).unwrap_or(&mut []);
        let is_done = self
            .0
            .as_ref()
            .is_some_and(|transform| guarded(|| transform.transform(inks, colours).ok()).is_some());
        if is_done {
            return;
        }
        for (colour, ink) in colours.chunks_exact_mut(3).zip(inks.chunks_exact(4)) {
            let key = 255 - u16::from(ink[3]);
            for (channel, &ink) in colour.iter_mut().zip(ink) {
                // At most 255 * 255 before the division.
                *channel = (((255 - u16::from(ink)) * key + 127) / 255) as u8;
            }
        }
    }
}

fn transform(profile: &ColorProfile, layout: Layout) -> Option<Arc<Transform8BitExecutor>> {
    profile
        .create_transform_8bit(
            layout,
            &ColorProfile::new_srgb(),
            Layout::Rgb,
            TransformOptions::default(),
        )
        .ok()
}

/// Whether a transform changes any of some colours by more than rounding.
fn changes_colours(transform: &Transform8BitExecutor) -> bool {
    const LEVELS: [u8; 6] = [0, 26, 77, 128, 190, 255];
    let colours: Vec<u8> = (0..216)
        .flat_map(|index| [index / 36, index / 6 % 6, index % 6].map(|level| LEVELS[level]))
        .collect();
    let mut converted = vec![0; colours.len()];
    transform.transform(&colours, &mut converted).is_ok()
        && colours
            .iter()
            .zip(&converted)
            .any(|(before, after)| before.abs_diff(*after) > 1)
}

/// Runs the library on data of others. It is not known to panic; should it, there is no profile.
fn guarded<T>(convert: impl FnOnce() -> Option<T>) -> Option<T> {
    catch_unwind(AssertUnwindSafe(convert)).ok().flatten()
}
