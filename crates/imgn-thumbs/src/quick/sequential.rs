//! Baseline and extended sequential scans: the first coefficients of each block are read, the others skipped.
//!
//! Invariant: every code of the scan was there; a sample is written only into its component's plane.

use super::bits::Cursor;
use super::header::{Frame, Headers, LOW, Scan, ScanComponent, Steps};
use super::huffman::{AcSkips, AcSymbol, AcSymbols, DcTable, LOOKS};
use super::means::{eighth, quarter};
use super::plane::{Plane, Scale};
use super::scan::{Blocks, walk};

/// Reads a scan into the planes of its components; answers where the marker behind it is.
pub(super) fn read(
    file: &[u8],
    headers: &Headers<'_>,
    frame: &Frame,
    scan: &Scan,
    planes: &mut [Plane],
    scale: Scale,
) -> Option<usize> {
    let components = scan
        .components
        .iter()
        .map(|&named| Reader::new(headers, frame, named, scale))
        .collect::<Option<Vec<_>>>()?;
    match scale {
        Scale::Eighth => walk(file, frame, scan, &mut Eighths { components, planes }),
        Scale::Quarter => walk(file, frame, scan, &mut Quarters { components, planes }),
    }
}

/// What a component is read with.
struct Reader {
    plane: usize,
    last: i32,
    steps: Steps,
    dc: DcTable,
    symbols: Option<AcSymbols>,
    skips: AcSkips,
}

impl Reader {
    fn new(
        headers: &Headers<'_>,
        frame: &Frame,
        named: ScanComponent,
        scale: Scale,
    ) -> Option<Self> {
        let ac = headers.ac_code(named)?;
        Some(Self {
            plane: named.index,
            last: 0,
            steps: headers.steps(frame.components.get(named.index)?)?,
            dc: DcTable::new(headers.dc_code(named)?)?,
            symbols: (scale == Scale::Quarter).then(|| AcSymbols::new(ac)),
            skips: AcSkips::new(ac),
        })
    }

    /// The block's first coefficient.
    #[inline(always)]
    fn dc(&mut self, cursor: &mut Cursor) -> Option<i32> {
        self.last = self.last.wrapping_add(self.dc.take(cursor)?);
        // Coefficients are numbers of 16 bits, to libjpeg too.
        Some(i32::from(self.last as i16))
    }

    /// The first coefficients of a block, the others skipped.
    #[inline(always)]
    fn low(&mut self, cursor: &mut Cursor, bytes: &[u8]) -> Option<[i32; LOW]> {
        cursor.refill(bytes);
        let mut low = [self.dc(cursor)?, 0, 0, 0, 0];
        let symbols = self.symbols.as_ref()?;
        let mut k = 1;
        while k < LOW {
            // A code and a value are 31 bits.
            cursor.refill(bytes);
            match symbols.take(cursor)? {
                AcSymbol::EndOfBlock => return Some(low),
                AcSymbol::Zeros => k += 16,
                AcSymbol::Value { run, size } => {
                    let value = cursor.take_signed(size);
                    if let Some(coefficient) = low.get_mut(k + run) {
                        *coefficient = value;
                    }
                    k += run + 1;
                }
            }
        }
        cursor.refill(bytes);
        self.skips.skip_block(cursor, bytes, k, LOOKS)?;
        Some(low)
    }
}

/// A sample for each block.
struct Eighths<'a> {
    components: Vec<Reader>,
    planes: &'a mut [Plane],
}

impl Blocks for Eighths<'_> {
    #[inline(always)]
    fn read(
        &mut self,
        cursor: &mut Cursor,
        bytes: &[u8],
        component: usize,
        block: usize,
    ) -> Option<()> {
        let reader = self.components.get_mut(component)?;
        cursor.refill(bytes);
        let dc = reader.dc(cursor)?;
        // A difference is 31 bits at most: what is left suffices for one look.
        reader.skips.skip_block(cursor, bytes, 1, 1)?;
        let mean = eighth(2 * dc, reader.steps[0]);
        self.planes.get_mut(reader.plane)?.set(block, mean);
        Some(())
    }

    fn restart(&mut self) {
        for reader in &mut self.components {
            reader.last = 0;
        }
    }
}

/// Two by two samples for each block.
struct Quarters<'a> {
    components: Vec<Reader>,
    planes: &'a mut [Plane],
}

impl Blocks for Quarters<'_> {
    #[inline(always)]
    fn read(
        &mut self,
        cursor: &mut Cursor,
        bytes: &[u8],
        component: usize,
        block: usize,
    ) -> Option<()> {
        let reader = self.components.get_mut(component)?;
        let low = reader.low(cursor, bytes)?;
        let samples = quarter(low.map(|it| 2 * it), &reader.steps);
        self.planes
            .get_mut(reader.plane)?
            .set_square(block, samples);
        Some(())
    }

    fn restart(&mut self) {
        for reader in &mut self.components {
            reader.last = 0;
        }
    }
}
