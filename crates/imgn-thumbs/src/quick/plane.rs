//! The samples of one component at reduced size.
//!
//! Invariant: a plane has the samples of whole units, rows of equal length; its `span` says how much of that is
//! picture, and is not less than a sample's part.

use super::header::{Component, Frame};
use super::means::{LEVEL, sample};
use crate::Orientation;

/// How much smaller the picture is decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scale {
    /// A sample for each block of 8 x 8.
    Eighth,
    /// Two by two for each.
    Quarter,
}

impl Scale {
    /// Samples of a block, in a row.
    pub(super) fn samples(self) -> u32 {
        match self {
            Self::Eighth => 1,
            Self::Quarter => 2,
        }
    }
}

/// A component as stored.
#[derive(Debug, Clone)]
pub(super) struct Plane {
    samples: Vec<u16>,
    width: usize,
    /// How much of width and height is picture.
    span: (f64, f64),
}

/// A component, upright. The picture lies anywhere in it: what was the right edge may be the left now.
#[derive(Debug, Clone)]
pub(super) struct Upright {
    pub(super) samples: Vec<u16>,
    pub(super) width: u32,
    pub(super) height: u32,
    /// Where the picture begins.
    pub(super) start: (f64, f64),
    pub(super) span: (f64, f64),
}

impl Plane {
    /// Its size for a component, in samples.
    pub(super) fn size(frame: &Frame, component: &Component, scale: Scale) -> (usize, usize) {
        let units = frame.units();
        let edge = |units: u32, factor: u32| units as usize * (factor * scale.samples()) as usize;
        (
            edge(units.0, component.sampling.0),
            edge(units.1, component.sampling.1),
        )
    }

    pub(super) fn new(frame: &Frame, component: &Component, scale: Scale) -> Self {
        let (width, height) = Self::size(frame, component, scale);
        let span = |edge: u32, factor: u32, largest: u32| {
            f64::from(edge * factor * scale.samples()) / f64::from(largest * 8)
        };
        Self {
            samples: vec![sample(0); width * height],
            width,
            span: (
                span(frame.width, component.sampling.0, frame.sampling.0),
                span(frame.height, component.sampling.1, frame.sampling.1),
            ),
        }
    }

    /// Writes the sample of a block, at an eighth. What is outside is left out.
    #[inline(always)]
    pub(super) fn set(&mut self, block: usize, sample: u16) {
        if let Some(place) = self.samples.get_mut(block) {
            *place = sample;
        }
    }

    /// Writes the samples of a block, at a quarter: the upper two, and the lower two.
    #[inline(always)]
    pub(super) fn set_square(&mut self, block: usize, [upper, lower]: [[u16; 2]; 2]) {
        let across = self.width / 2;
        let at = block / across * self.width * 2 + block % across * 2;
        for (start, samples) in [(at, upper), (at + self.width, lower)] {
            if let Some(place) = self.samples.get_mut(start..start + 2) {
                place.copy_from_slice(&samples);
            }
        }
    }

    /// Writes all samples.
    pub(super) fn fill(&mut self, samples: impl Iterator<Item = u16>) {
        for (place, sample) in self.samples.iter_mut().zip(samples) {
            *place = sample;
        }
    }

    /// Turned upright, without what fills up the units. The last column and row are there twice: chroma at half the
    /// size of an odd number of pixels reaches over the edge.
    pub(super) fn upright(&self, orientation: Orientation) -> Upright {
        let turn = Turn::of(orientation);
        let whole = |edge: f64| (edge.ceil() as usize).max(1);
        let stored = (whole(self.span.0), whole(self.span.1));
        let (mut size, mut span) = (stored, self.span);
        if turn.swaps {
            (size, span) = ((size.1, size.0), (span.1, span.0));
        }
        let mut samples = Vec::with_capacity((size.0 + 1) * (size.1 + 1));
        for y in 0..=size.1 {
            let y = y.min(size.1 - 1);
            let (from, step) = self.path(turn, stored, y);
            let row = self.samples.get(from..).unwrap_or_default();
            let start = samples.len();
            match step {
                1 => samples.extend_from_slice(&row[..row.len().min(size.0)]),
                _ => samples.extend(self.along(from, step).take(size.0)),
            }
            // A plane has all of its samples: there is a last one.
            let last = samples.last().copied().unwrap_or(sample(0));
            samples.resize(start + size.0 + 1, last);
        }
        let start = |flipped: bool, size: usize, span: f64| {
            if flipped { size as f64 - span } else { 0.0 }
        };
        Upright {
            samples,
            // At most 65,535 by 2 by 4, and one.
            width: size.0 as u32 + 1,
            height: size.1 as u32 + 1,
            start: (
                start(turn.right_to_left, size.0, span.0),
                start(turn.bottom_to_top, size.1, span.1),
            ),
            span,
        }
    }

    /// Where an upright row begins as stored, and how far its samples are apart.
    fn path(&self, turn: Turn, stored: (usize, usize), y: usize) -> (usize, isize) {
        let (across, down) = stored;
        let width = self.width as isize;
        let y = match (turn.bottom_to_top, turn.swaps) {
            (false, _) => y,
            (true, false) => down - 1 - y,
            (true, true) => across - 1 - y,
        };
        match (turn.swaps, turn.right_to_left) {
            (false, false) => (y * self.width, 1),
            (false, true) => (y * self.width + across - 1, -1),
            (true, false) => (y, width),
            (true, true) => ((down - 1) * self.width + y, -width),
        }
    }

    fn along(&self, from: usize, step: isize) -> impl Iterator<Item = u16> {
        std::iter::successors(Some(from), move |at| at.checked_add_signed(step))
            .map_while(|at| self.samples.get(at).copied())
    }
}

impl Upright {
    /// Makes points of averages. A sample is the mean of a square of pixels, which softens what is resampled from it;
    /// the point in the square's middle is found with its neighbours' help: `(26 b - a - c) / 24`, across and down, is
    /// right for all parabolas.
    pub(super) fn pointed(mut self) -> Self {
        let width = self.width as usize;
        let mut above: Vec<u16> = Vec::new();
        let mut rows = Vec::with_capacity(self.samples.len());
        for row in self.samples.chunks_exact(width) {
            let start = rows.len();
            rows.extend_from_slice(row);
            let inner = rows.get_mut(start + 1..).unwrap_or_default();
            for (place, three) in inner.iter_mut().zip(row.windows(3)) {
                *place = point(three[0], three[1], three[2]);
            }
        }
        for (number, place) in self.samples.chunks_exact_mut(width).enumerate() {
            let at = number * width;
            let here = rows.get(at..at + width).unwrap_or_default();
            // The first and the last row are their own neighbours.
            let below = rows.get(at + width..at + 2 * width).unwrap_or(here);
            if above.is_empty() {
                above.extend_from_slice(here);
            }
            for (((place, &a), &b), &c) in place.iter_mut().zip(&above).zip(here).zip(below) {
                *place = point(a, b, c);
            }
            above.copy_from_slice(here);
        }
        self
    }
}

#[inline(always)]
fn point(a: u16, b: u16, c: u16) -> u16 {
    let [a, b, c] = [a, b, c].map(i32::from);
    // A 24th, times 65,536; the difference is at most 2 * 65,280.
    let more = ((2 * b - a - c) * 2731 + (1 << 15)) >> 16;
    (b + more).clamp(0, 255 * LEVEL) as u16
}

/// How stored rows become upright ones.
#[derive(Debug, Clone, Copy)]
struct Turn {
    /// Whether upright rows are stored columns.
    swaps: bool,
    /// Whether upright columns begin where the last stored one is.
    right_to_left: bool,
    bottom_to_top: bool,
}

impl Turn {
    fn of(orientation: Orientation) -> Self {
        let (swaps, right_to_left, bottom_to_top) = match orientation {
            Orientation::NoTransforms => (false, false, false),
            Orientation::FlipHorizontal => (false, true, false),
            Orientation::Rotate180 => (false, true, true),
            Orientation::FlipVertical => (false, false, true),
            Orientation::Rotate90FlipH => (true, false, false),
            Orientation::Rotate90 => (true, true, false),
            Orientation::Rotate270FlipH => (true, true, true),
            Orientation::Rotate270 => (true, false, true),
        };
        Self {
            swaps,
            right_to_left,
            bottom_to_top,
        }
    }
}
