//! Progressive files: their DC coefficients come first, a bit or two short, and that is nearly all that an eighth of the
//! picture needs.
//!
//! Reading stops when no sample can be wrong by more than [`MAX_ERROR`]; until then, scans of other coefficients are
//! gone over, not read. What is not known of a coefficient is taken as the middle of what it may be, so that no
//! rounding goes to one side.
//!
//! Invariant: a component's coefficients come once, then one bit more at a time; any other order is `None`. No scan is
//! read behind the end of another that is cut off.

use memchr::memchr;

use super::bits::Cursor;
use super::header::{Frame, Headers, Next, Scan};
use super::huffman::DcTable;
use super::plane::{Plane, Scale};
use super::scan::{Blocks, walk};
use crate::Limits;

/// What a sample may lack, in sixteenths of a grey level. With 4, all coefficients would lie a quarter above a level and
/// be rounded down: a picture that is darker; with 3 and less they lie on both sides.
const MAX_ERROR: i32 = 3;

/// The DC coefficients of a component, of which the lower bits may be missing.
#[derive(Debug)]
struct Coefficients {
    values: Vec<i16>,
    step: i32,
    /// How many bits are still missing; none while nothing was read.
    missing: Option<u8>,
}

impl Coefficients {
    fn is_enough(&self) -> bool {
        self.missing
            .is_some_and(|missing| ((1 << missing) - 1) * self.step <= MAX_ERROR)
    }

    /// Twice the coefficient, in the middle of what it may be.
    fn doubled(&self, value: i16) -> i32 {
        2 * i32::from(value) + (1 << self.missing.unwrap_or(0)) - 1
    }

    fn samples(&self) -> impl Iterator<Item = u8> {
        self.values.iter().map(|&value| {
            let sixteenfold = self.doubled(value).wrapping_mul(self.step).wrapping_add(8);
            // Clamped to a byte.
            ((sixteenfold >> 4) + 128).clamp(0, 255) as u8
        })
    }
}

/// Reads as many scans as are needed, the first of which is `scan`.
pub(super) fn read(
    file: &[u8],
    headers: &mut Headers<'_>,
    frame: &Frame,
    mut scan: Scan,
    limits: &Limits,
) -> Option<Vec<Plane>> {
    let mut components: Vec<Coefficients> = frame
        .components
        .iter()
        .map(|component| {
            let (width, height) = Plane::size(frame, component, Scale::Eighth);
            Coefficients {
                values: vec![0; width * height],
                step: 0,
                missing: None,
            }
        })
        .collect();
    for _ in 0..limits.max_scans {
        let behind = match scan.band {
            (0, 0) => read_scan(file, headers, frame, &scan, &mut components)?,
            (0, _) => return None,
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
            coefficients.missing?;
            let mut plane = Plane::new(frame, component, Scale::Eighth);
            plane.fill(coefficients.samples());
            Some(plane)
        })
        .collect()
}

fn read_scan(
    file: &[u8],
    headers: &Headers<'_>,
    frame: &Frame,
    scan: &Scan,
    components: &mut [Coefficients],
) -> Option<usize> {
    let (before, missing) = scan.approximation;
    for named in &scan.components {
        let component = components.get_mut(named.index)?;
        let goes_on = match component.missing {
            None => {
                component.step = headers.steps(frame.components.get(named.index)?)?[0];
                before == 0 && missing <= 13
            }
            Some(missing_before) => before == missing_before && missing + 1 == before,
        };
        if !goes_on {
            return None;
        }
        component.missing = Some(missing);
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
        let place = coefficients.values.get_mut(block)?;
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
        let place = coefficients.values.get_mut(block)?;
        // One bit.
        *place |= (cursor.take(1) as i16) << self.missing;
        Some(())
    }

    fn restart(&mut self) {}
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
