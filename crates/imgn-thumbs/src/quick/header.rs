//! The segments of a JPEG file, as far as the reduced decoder needs them.
//!
//! It is stricter than [`jpeg`](crate::jpeg): nothing is corrected and nothing skipped. Whatever is not as the standard
//! has it, or not taken by this decoder, is `None`: another decoder's business.
//!
//! Invariant: a [`Frame`] that was read has one or three components with sampling factors of 1 to 4, and a size within
//! the limits; a [`Scan`] names components and tables that are there.

use std::rc::Rc;

use super::huffman::Code;
use crate::Limits;
use crate::bytes::{array, be16};
use crate::jpeg::ProfileParts;

/// The coefficients that may be wanted of a block, in the order in which they are stored: those that say what is where
/// in a block of two by two, and one between them.
pub(super) const LOW: usize = 5;

/// The steps of the first coefficients of a component.
pub(super) type Steps = [i32; LOW];

/// What the frame header says.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) is_progressive: bool,
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) components: Vec<Component>,
    /// The largest sampling factors, across and down.
    pub(super) sampling: (u32, u32),
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Component {
    id: u8,
    /// Sampling factors, across and down.
    pub(super) sampling: (u32, u32),
    steps: usize,
}

/// The header of a scan.
#[derive(Debug)]
pub(super) struct Scan {
    pub(super) components: Vec<ScanComponent>,
    /// The first and the last coefficient.
    pub(super) band: (u8, u8),
    /// How many bits of a coefficient came before, and how many are still to come; 0 before means all of the others.
    pub(super) approximation: (u8, u8),
    /// Where the entropy-coded data begin.
    pub(super) data: usize,
    /// Units between restart markers; 0 for none.
    pub(super) restart_interval: u32,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct ScanComponent {
    /// Which of the frame's.
    pub(super) index: usize,
    dc: usize,
    ac: usize,
}

/// What comes next in a file.
#[derive(Debug)]
pub(super) enum Next {
    Scan(Scan),
    End,
}

/// A walk over the segments, and what they have defined so far.
#[derive(Debug, Default)]
pub(super) struct Headers<'a> {
    bytes: &'a [u8],
    at: usize,
    frame: Option<Rc<Frame>>,
    steps: [Option<Steps>; 4],
    dc_codes: [Option<Code>; 4],
    ac_codes: [Option<Code>; 4],
    restart_interval: u32,
    /// Behind `Exif\0\0`.
    pub(super) exif: Option<&'a [u8]>,
    pub(super) profile: ProfileParts<'a>,
}

impl<'a> Headers<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Option<Self> {
        bytes.starts_with(&[0xff, 0xd8]).then(|| Self {
            bytes,
            at: 2,
            ..Self::default()
        })
    }

    /// The frame header, once it was passed.
    pub(super) fn frame(&self) -> Option<Rc<Frame>> {
        self.frame.clone()
    }

    pub(super) fn steps(&self, component: &Component) -> Option<Steps> {
        self.steps[component.steps]
    }

    pub(super) fn dc_code(&self, component: ScanComponent) -> Option<&Code> {
        self.dc_codes[component.dc].as_ref()
    }

    pub(super) fn ac_code(&self, component: ScanComponent) -> Option<&Code> {
        self.ac_codes[component.ac].as_ref()
    }

    /// Goes on at the marker at `at`, behind a scan's data.
    pub(super) fn go_to(&mut self, at: usize) {
        self.at = at;
    }

    /// Reads segments up to the next scan.
    pub(super) fn next(&mut self, limits: &Limits) -> Option<Next> {
        loop {
            let (marker, payload) = self.segment()?;
            match marker {
                0xc0..=0xc2 if self.frame.is_none() => {
                    self.frame = Some(Rc::new(Frame::read(marker == 0xc2, payload, limits)?));
                }
                0xc4 => self.define_codes(payload)?,
                0xd9 => return Some(Next::End),
                0xda => return Some(Next::Scan(self.scan(payload)?)),
                0xdb => self.define_steps(payload)?,
                0xdd => {
                    let &interval: &[u8; 2] = payload.try_into().ok()?;
                    self.restart_interval = u16::from_be_bytes(interval).into();
                }
                0xe1 if self.exif.is_none() => self.exif = payload.strip_prefix(b"Exif\0\0"),
                0xe2 => self.profile.take(payload, self.at),
                // Adobe's: anything but 1 are other colours, or a number that does not exist.
                0xee if payload.starts_with(b"Adobe") && payload.get(11) != Some(&1) => {
                    return None;
                }
                0xe0..=0xef | 0xfe => {}
                _ => return None,
            }
        }
    }

    /// The marker at the place that was reached, and its segment's payload.
    fn segment(&mut self) -> Option<(u8, &'a [u8])> {
        while self.bytes.get(self.at + 1) == Some(&0xff) {
            self.at += 1;
        }
        let [0xff, marker] = array(self.bytes, self.at)? else {
            return None;
        };
        self.at += 2;
        if marker == 0xd9 {
            return Some((marker, &[]));
        }
        let end = self.at + usize::from(be16(self.bytes, self.at)?);
        let payload = self.bytes.get(self.at + 2..end)?;
        self.at = end;
        Some((marker, payload))
    }

    fn define_steps(&mut self, mut payload: &[u8]) -> Option<()> {
        while let &[kind, ref rest @ ..] = payload {
            let table = self.steps.get_mut(usize::from(kind & 15))?;
            let mut steps = [0; LOW];
            let bytes = match kind >> 4 {
                0 => 64,
                1 => 128,
                _ => return None,
            };
            let (values, rest) = rest.split_at_checked(bytes)?;
            for (step, value) in steps.iter_mut().zip(values.chunks_exact(bytes / 64)) {
                *step = value
                    .iter()
                    .fold(0, |step, &byte| step << 8 | i32::from(byte));
            }
            *table = Some(steps);
            payload = rest;
        }
        Some(())
    }

    fn define_codes(&mut self, mut payload: &[u8]) -> Option<()> {
        while let &[kind, ref rest @ ..] = payload {
            let tables = match kind >> 4 {
                0 => &mut self.dc_codes,
                1 => &mut self.ac_codes,
                _ => return None,
            };
            let table = tables.get_mut(usize::from(kind & 15))?;
            let (counts, rest) = rest.split_first_chunk()?;
            let symbols = counts.iter().map(|&count| usize::from(count)).sum();
            let (symbols, rest) = rest.split_at_checked(symbols)?;
            *table = Some(Code::new(counts, symbols)?);
            payload = rest;
        }
        Some(())
    }

    fn scan(&self, payload: &[u8]) -> Option<Scan> {
        let (&count, rest) = payload.split_first()?;
        let (names, rest) = rest.split_at_checked(usize::from(count) * 2)?;
        let &[first, last, approximation] = rest else {
            return None;
        };
        let frame = self.frame.as_ref()?;
        let mut components: Vec<ScanComponent> = Vec::with_capacity(3);
        for name in names.chunks_exact(2) {
            let index = frame.components.iter().position(|it| it.id == name[0])?;
            // In the frame's order, and so none twice.
            if components.last().is_some_and(|last| last.index >= index) || name[1] & 0xcc != 0 {
                return None;
            }
            components.push(ScanComponent {
                index,
                dc: usize::from(name[1] >> 4),
                ac: usize::from(name[1] & 15),
            });
        }
        let blocks = |it: &ScanComponent| {
            let (across, down) = frame.components[it.index].sampling;
            across * down
        };
        // The standard's limit to what may be interleaved.
        if components.is_empty()
            || components.len() > 1 && components.iter().map(blocks).sum::<u32>() > 10
        {
            return None;
        }
        Some(Scan {
            components,
            band: (first, last),
            approximation: (approximation >> 4, approximation & 15),
            data: self.at,
            restart_interval: self.restart_interval,
        })
    }
}

impl Frame {
    fn read(is_progressive: bool, payload: &[u8], limits: &Limits) -> Option<Self> {
        let (&[8, high, low, wide, narrow, count @ (1 | 3)], rest) = payload.split_first_chunk()?
        else {
            return None;
        };
        let height = u32::from(u16::from_be_bytes([high, low]));
        let width = u32::from(u16::from_be_bytes([wide, narrow]));
        if width == 0
            || height == 0
            || u64::from(width) * u64::from(height) > limits.max_pixels
            || rest.len() != usize::from(count) * 3
        {
            return None;
        }
        let mut components: Vec<Component> = Vec::with_capacity(3);
        for component in rest.chunks_exact(3) {
            let sampling = (u32::from(component[1] >> 4), u32::from(component[1] & 15));
            let is_new = components.iter().all(|it| it.id != component[0]);
            let (across, down) = sampling;
            if !(1..=4).contains(&across) || !(1..=4).contains(&down) || component[2] > 3 || !is_new
            {
                return None;
            }
            components.push(Component {
                id: component[0],
                sampling,
                steps: usize::from(component[2]),
            });
        }
        let is_rgb = components.iter().map(|it| it.id).eq(*b"RGB");
        let across = components.iter().map(|it| it.sampling.0).max()?;
        let down = components.iter().map(|it| it.sampling.1).max()?;
        (!is_rgb).then_some(Self {
            is_progressive,
            width,
            height,
            components,
            sampling: (across, down),
        })
    }

    /// Units of an interleaved scan, across and down.
    pub(super) fn units(&self) -> (u32, u32) {
        (
            self.width.div_ceil(8 * self.sampling.0),
            self.height.div_ceil(8 * self.sampling.1),
        )
    }

    /// Blocks of a component that hold something of the picture, across and down.
    pub(super) fn blocks(&self, component: &Component) -> (u32, u32) {
        let blocks = |edge: u32, factor: u32, largest: u32| (edge * factor).div_ceil(largest * 8);
        (
            blocks(self.width, component.sampling.0, self.sampling.0),
            blocks(self.height, component.sampling.1, self.sampling.1),
        )
    }
}
