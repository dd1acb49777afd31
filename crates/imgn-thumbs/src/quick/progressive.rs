//! Progressive files: their DC coefficients come first, a bit or two short, and that is nearly all that an eighth of the
//! picture needs. A quarter needs the lowest other coefficients too; they come next, in bands.
//!
//! Reading stops when no sample can be wrong by more than a little; until then, scans of other coefficients are gone
//! over, not read. What is not known of a coefficient is taken as the middle of what it may be, so that no rounding
//! goes to one side. The missing bits of other coefficients than DC cannot be had without reading everything before
//! them; where more than [`MAX_DETAIL_ERROR`] is missing of one, the file is left to others.
//!
//! Invariant: a component's DC coefficients come once, then one bit more at a time, each of the others once; any other
//! order is `None`. No scan is read behind the end of another that is cut off.

use memchr::memchr;

use super::bits::Cursor;
use super::header::{Frame, Headers, LOW, Next, Scan, Steps};
use super::huffman::{AcSymbols, DcTable};
use super::means::{eighth, quarter};
use super::plane::{Plane, Scale};
use super::scan::{Blocks, walk};
use crate::Limits;

/// What a sample may lack because of its mean, in sixteenths of a grey level.
const MAX_ERROR: i32 = 3;
/// And because of each of the other coefficients: about a level, of which half is known to be missing. Files of
/// quality 75 and better lack no more.
const MAX_DETAIL_ERROR: i32 = 18;
/// The coefficients beside DC that make a quarter. The one between them is kept only because it comes in between.
const DETAILS: [usize; 3] = [1, 2, 4];

/// The coefficients of a component, of which the lower bits may be missing.
#[derive(Debug)]
struct Coefficients {
    values: Vec<i16>,
    /// How many there are of a block.
    kept: usize,
    steps: Steps,
    /// How many bits are still missing; none while nothing was read.
    missing: [Option<u8>; LOW],
}

impl Coefficients {
    fn new(blocks: usize, scale: Scale) -> Self {
        let kept = match scale {
            Scale::Eighth => 1,
            Scale::Quarter => LOW,
        };
        Self {
            values: vec![0; blocks * kept],
            kept,
            steps: [0; LOW],
            missing: [None; LOW],
        }
    }

    fn is_enough(&self) -> bool {
        let has_details = || {
            DETAILS
                .iter()
                .all(|&k| self.lacks_at_most(k, MAX_DETAIL_ERROR))
        };
        self.lacks_at_most(0, MAX_ERROR) && (self.kept == 1 || has_details())
    }

    fn lacks_at_most(&self, k: usize, error: i32) -> bool {
        self.missing[k].is_some_and(|missing| ((1 << missing) - 1) * self.steps[k] <= error)
    }

    /// The samples of blocks, in their order.
    fn eighths(&self) -> impl Iterator<Item = u16> {
        self.values
            .iter()
            .map(|&mean| eighth(self.doubled_mean(mean), self.steps[0]))
    }

    fn quarters(&self) -> impl Iterator<Item = [[u16; 2]; 2]> {
        let (blocks, _) = self.values.as_chunks::<LOW>();
        blocks.iter().map(|values| {
            let mut doubled = [0; LOW];
            doubled[0] = self.doubled_mean(values[0]);
            for k in DETAILS {
                doubled[k] =
                    2 * i32::from(values[k]) + i32::from(values[k].signum()) * self.rest(k);
            }
            quarter(doubled, &self.steps)
        })
    }

    /// Twice a DC coefficient, in the middle of what it may be.
    fn doubled_mean(&self, value: i16) -> i32 {
        2 * i32::from(value) + self.rest(0)
    }

    /// The most that the missing bits of a coefficient can be.
    fn rest(&self, k: usize) -> i32 {
        (1 << self.missing[k].unwrap_or(0)) - 1
    }
}

/// Reads as many scans as are needed, the first of which is `scan`.
pub(super) fn read(
    file: &[u8],
    headers: &mut Headers<'_>,
    frame: &Frame,
    mut scan: Scan,
    limits: &Limits,
    scale: Scale,
) -> Option<Vec<Plane>> {
    let mut components: Vec<Coefficients> = frame
        .components
        .iter()
        .map(|component| {
            let (across, down) = Plane::size(frame, component, Scale::Eighth);
            Coefficients::new(across * down, scale)
        })
        .collect();
    for _ in 0..limits.max_scans {
        let is_first = scan.approximation.0 == 0;
        let behind = match scan.band {
            (0, 0) => read_means(file, headers, frame, &scan, &mut components)?,
            (0, _) => return None,
            (first, _) if is_first && scale == Scale::Quarter && usize::from(first) < LOW => {
                read_band(file, headers, frame, &scan, &mut components)?
            }
            _ => skip(file, scan.data)?,
        };
        if components.iter().all(Coefficients::is_enough) {
            break;
        }
        headers.go_to(behind);
        match headers.next(limits)? {
            Next::Scan(next) => scan = next,
            Next::End => break,
        }
    }
    frame
        .components
        .iter()
        .zip(&components)
        .map(|(component, coefficients)| {
            coefficients.missing[0]?;
            let mut plane = Plane::new(frame, component, scale);
            if scale == Scale::Eighth {
                plane.fill(coefficients.eighths());
                return Some(plane);
            }
            // What is missing of a mean may be missing in the file; details were there in full or not at all.
            for k in DETAILS {
                coefficients.missing[k]?;
            }
            for (block, samples) in coefficients.quarters().enumerate() {
                plane.set_square(block, samples);
            }
            Some(plane)
        })
        .collect()
}

fn read_means(
    file: &[u8],
    headers: &Headers<'_>,
    frame: &Frame,
    scan: &Scan,
    components: &mut [Coefficients],
) -> Option<usize> {
    let (before, missing) = scan.approximation;
    for named in &scan.components {
        let component = components.get_mut(named.index)?;
        let goes_on = match component.missing[0] {
            None => {
                component.steps = headers.steps(frame.components.get(named.index)?)?;
                before == 0 && missing <= 13
            }
            Some(missing_before) => before == missing_before && missing + 1 == before,
        };
        if !goes_on {
            return None;
        }
        component.missing[0] = Some(missing);
    }
    let indices = scan.components.iter().map(|named| named.index).collect();
    if before == 0 {
        let tables = scan
            .components
            .iter()
            .map(|&named| DcTable::new(headers.dc_code(named)?))
            .collect::<Option<Vec<_>>>()?;
        let mut first = First {
            last: vec![0; tables.len()],
            tables,
            indices,
            components,
            missing,
        };
        walk(file, frame, scan, &mut first)
    } else {
        let mut refinement = Refinement {
            indices,
            components,
            missing,
        };
        walk(file, frame, scan, &mut refinement)
    }
}

/// Reads the first scan of a band that begins with a coefficient which is kept.
fn read_band(
    file: &[u8],
    headers: &Headers<'_>,
    frame: &Frame,
    scan: &Scan,
    components: &mut [Coefficients],
) -> Option<usize> {
    let [alone] = scan.components[..] else {
        return None;
    };
    let band = (usize::from(scan.band.0), usize::from(scan.band.1));
    let missing = scan.approximation.1;
    if band.1 > 63 || band.0 > band.1 || missing > 13 {
        return None;
    }
    let coefficients = components.get_mut(alone.index)?;
    // Of a component whose means came before: there are its steps from.
    coefficients.missing[0]?;
    for k in band.0..=band.1.min(LOW - 1) {
        if coefficients.missing[k].replace(missing).is_some() {
            return None;
        }
        if DETAILS.contains(&k) && !coefficients.lacks_at_most(k, MAX_DETAIL_ERROR) {
            return None;
        }
    }
    let mut reader = Band {
        symbols: AcSymbols::new(headers.ac_code(alone)?),
        coefficients,
        band,
        missing,
        ended: 0,
    };
    walk(file, frame, scan, &mut reader)
}

/// The first scan of some components: all bits but the lower ones.
struct First<'a> {
    tables: Vec<DcTable>,
    last: Vec<i32>,
    indices: Vec<usize>,
    components: &'a mut [Coefficients],
    missing: u8,
}

impl Blocks for First<'_> {
    #[inline(always)]
    fn read(
        &mut self,
        cursor: &mut Cursor,
        bytes: &[u8],
        component: usize,
        block: usize,
    ) -> Option<()> {
        cursor.refill(bytes);
        let difference = self.tables.get(component)?.take(cursor)?;
        let last = self.last.get_mut(component)?;
        *last = last.wrapping_add(difference);
        let coefficients = self.components.get_mut(*self.indices.get(component)?)?;
        let place = coefficients.values.get_mut(block * coefficients.kept)?;
        // Coefficients are numbers of 16 bits, to libjpeg too.
        *place = (*last << self.missing) as i16;
        Some(())
    }

    fn restart(&mut self) {
        self.last.fill(0);
    }
}

/// A later scan of some components: one bit of each coefficient.
struct Refinement<'a> {
    indices: Vec<usize>,
    components: &'a mut [Coefficients],
    missing: u8,
}

impl Blocks for Refinement<'_> {
    #[inline(always)]
    fn read(
        &mut self,
        cursor: &mut Cursor,
        bytes: &[u8],
        component: usize,
        block: usize,
    ) -> Option<()> {
        cursor.refill(bytes);
        let coefficients = self.components.get_mut(*self.indices.get(component)?)?;
        let place = coefficients.values.get_mut(block * coefficients.kept)?;
        // One bit.
        *place |= (cursor.take(1) as i16) << self.missing;
        Some(())
    }

    fn restart(&mut self) {}
}

/// The first scan of a band of one component: all bits but the lower ones.
struct Band<'a> {
    symbols: AcSymbols,
    coefficients: &'a mut Coefficients,
    band: (usize, usize),
    missing: u8,
    /// How many blocks are still to come that have nothing in this band.
    ended: u32,
}

impl Blocks for Band<'_> {
    #[inline(always)]
    fn read(
        &mut self,
        cursor: &mut Cursor,
        bytes: &[u8],
        _component: usize,
        block: usize,
    ) -> Option<()> {
        if self.ended > 0 {
            self.ended -= 1;
            return Some(());
        }
        let start = block * self.coefficients.kept;
        let low = self
            .coefficients
            .values
            .get_mut(start..start + self.coefficients.kept)?;
        let (mut k, last) = self.band;
        while k <= last {
            // A code and a value are 31 bits.
            cursor.refill(bytes);
            let symbol = self.symbols.take_symbol(cursor)?;
            let (run, size) = (symbol >> 4, u32::from(symbol & 15));
            match (run, size) {
                (15, 0) => k += 16,
                (bits, 0) => {
                    let bits = u32::from(bits);
                    // This block is one of them.
                    self.ended = (1 << bits) + cursor.take(bits) - 1;
                    return Some(());
                }
                _ => {
                    k += usize::from(run);
                    let value = cursor.take_signed(size);
                    if let Some(place) = low.get_mut(k) {
                        // Coefficients are numbers of 16 bits, to libjpeg too.
                        *place = (value << self.missing) as i16;
                    }
                    k += 1;
                }
            }
        }
        (k == last + 1).then_some(())
    }

    fn restart(&mut self) {
        self.ended = 0;
    }
}

/// Where the marker behind a scan is, which is not read. None where the file ends within.
fn skip(file: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at += memchr(0xff, file.get(at..)?)?;
        match file.get(at + 1)? {
            0 | 0xd0..=0xd7 => at += 2,
            0xff => at += 1,
            _ => return Some(at),
        }
    }
}
