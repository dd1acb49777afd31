//! Huffman codes: as a file states them, and as tables that swallow them.
//!
//! Invariant: a code that the file does not define is told as `None` or as [`AcSkips::SLOW`], never as a symbol.

use std::rc::Rc;

use super::bits::Cursor;

/// The bits that the tables look at.
const DC_LOOKUP: u32 = 10;
pub(super) const AC_LOOKUP: u32 = 12;
const SYMBOL_LOOKUP: u32 = 9;
/// The longest code.
const MAX_CODE: u32 = 16;

/// A code as a file defines it: canonical, so that the number of codes of each length and the order of the symbols say
/// it all.
#[derive(Debug, Clone)]
pub(super) struct Code(Rc<Definition>);

#[derive(Debug)]
struct Definition {
    /// By length, from 1: the first code, how many there are, and which symbol the first one means.
    lengths: [Length; MAX_CODE as usize],
    symbols: Vec<u8>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Length {
    first: u32,
    count: u32,
    symbol: usize,
}

impl Code {
    /// From a definition's 16 counts and its symbols. None where there are more codes than fit; that of ones only is not
    /// allowed.
    pub(super) fn new(counts: &[u8; 16], symbols: &[u8]) -> Option<Self> {
        let mut lengths = [Length::default(); MAX_CODE as usize];
        let (mut code, mut symbol) = (0, 0);
        for (bits, (length, &count)) in (1..).zip(lengths.iter_mut().zip(counts)) {
            let count = u32::from(count);
            *length = Length {
                first: code,
                count,
                symbol,
            };
            code += count;
            symbol += count as usize;
            if count > 0 && code >= 1 << bits {
                return None;
            }
            code <<= 1;
        }
        let definition = || Definition {
            lengths,
            symbols: symbols.to_vec(),
        };
        (symbol == symbols.len() && symbol <= 256).then(|| Self(Rc::new(definition())))
    }

    /// The symbol that the next 16 bits begin with, and the length of its code.
    pub(super) fn find(&self, next: usize) -> Option<(u32, u8)> {
        (1..=MAX_CODE)
            .zip(&self.0.lengths)
            .find_map(|(bits, length)| {
                let code = next as u32 >> (MAX_CODE - bits);
                let place = code.checked_sub(length.first)?;
                let symbol = self.0.symbols.get(length.symbol + place as usize);
                (place < length.count).then_some((bits, *symbol?))
            })
    }

    /// A table of `1 << bits` places: of what begins with that many bits the length of the code and the symbol; a length
    /// of 0 where the code is longer, or none.
    fn table(&self, bits: u32) -> Vec<(u32, u8)> {
        let mut table = vec![(0, 0); 1 << bits];
        for (length, codes) in (1..=bits).zip(&self.0.lengths) {
            let symbols = self.0.symbols.get(codes.symbol..).unwrap_or_default();
            for (code, &symbol) in (codes.first..codes.first + codes.count).zip(symbols) {
                let start = (code << (bits - length)) as usize;
                let places = table.get_mut(start..start + (1 << (bits - length)));
                places.unwrap_or_default().fill((length, symbol));
            }
        }
        table
    }

    fn symbols(&self) -> &[u8] {
        &self.0.symbols
    }
}

/// Reads differences of DC coefficients.
#[derive(Debug)]
pub(super) struct DcTable {
    /// The difference in the upper half, the bits of code and difference in the lower; 0 where they are too long.
    entries: Box<[u32; 1 << DC_LOOKUP]>,
    code: Code,
}

impl DcTable {
    /// None where the code has symbols that no such table may have.
    pub(super) fn new(code: &Code) -> Option<Self> {
        if code.symbols().iter().any(|&size| size > 15) {
            return None;
        }
        let mut entries = Box::new([0; 1 << DC_LOOKUP]);
        for (prefix, (entry, (length, size))) in
            (0_u32..).zip(entries.iter_mut().zip(code.table(DC_LOOKUP)))
        {
            let bits = length + u32::from(size);
            if length == 0 || bits > DC_LOOKUP {
                continue;
            }
            let written = (prefix >> (DC_LOOKUP - bits)) as i32 & ((1 << size) - 1);
            let is_negative = size > 0 && written < 1 << (size - 1);
            let value = if is_negative {
                written + 1 - (1 << size)
            } else {
                written
            };
            *entry = (value as u32) << 16 | bits;
        }
        Some(Self {
            entries,
            code: code.clone(),
        })
    }

    /// The next difference. Takes at most 31 bits, which must be there.
    #[inline(always)]
    pub(super) fn take(&self, cursor: &mut Cursor) -> Option<i32> {
        let entry = self.entries[cursor.peek::<DC_LOOKUP>()];
        if entry == 0 {
            let (value, behind) = self.take_long(*cursor)?;
            *cursor = behind;
            return Some(value);
        }
        cursor.skip(entry);
        Some(entry as i32 >> 16)
    }

    #[cold]
    #[inline(never)]
    fn take_long(&self, mut cursor: Cursor) -> Option<(i32, Cursor)> {
        let (length, size) = self.code.find(cursor.peek::<MAX_CODE>())?;
        cursor.skip(length);
        Some((cursor.take_signed(u32::from(size)), cursor))
    }
}

/// A symbol of an AC code, in words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AcSymbol {
    /// No coefficient of the block is left.
    EndOfBlock,
    /// Sixteen zeros.
    Zeros,
    /// `run` zeros, and a coefficient whose value takes `size` bits more.
    Value { run: usize, size: u32 },
}

impl From<u8> for AcSymbol {
    #[inline(always)]
    fn from(symbol: u8) -> Self {
        match (usize::from(symbol >> 4), u32::from(symbol & 15)) {
            (15, 0) => Self::Zeros,
            (_, 0) => Self::EndOfBlock,
            (run, size) => Self::Value { run, size },
        }
    }
}

/// Skips AC coefficients, several at a time.
#[derive(Debug)]
pub(super) struct AcSkips {
    /// In the lowest 6 bits how many bits are swallowed, above by how many coefficients that goes on; [`Self::END`] is
    /// added to these where the block ends with them. [`Self::SLOW`] where the next code is too long.
    entries: Box<[u16; 1 << AC_LOOKUP]>,
    code: Code,
}

/// As many bits as one look into the table may swallow, so that three may follow a refill: the code, and the value
/// behind it, which may lie outside of what is looked at.
const MAX_SWALLOWED: u32 = 18;
/// Looks into the table after each refill: 18 + 18 + 18 bits are no more than the 56 that there are.
pub(super) const LOOKS: u32 = 3;

impl AcSkips {
    const END: usize = 128;
    /// It swallows nothing and leads to a place where no block ends.
    const SLOW: u16 = 64 << 6;

    pub(super) fn new(code: &Code) -> Self {
        let symbols = code.table(AC_LOOKUP);
        let mut entries = Box::new([Self::SLOW; 1 << AC_LOOKUP]);
        for (prefix, entry) in entries.iter_mut().enumerate() {
            *entry = Self::entry(prefix, &symbols);
        }
        Self {
            entries,
            code: code.clone(),
        }
    }

    /// Swallows symbols as long as their whole code is seen.
    fn entry(prefix: usize, symbols: &[(u32, u8)]) -> u16 {
        let (mut bits, mut steps) = (0_u32, 0);
        while bits < AC_LOOKUP {
            let rest = (prefix << bits) & ((1 << AC_LOOKUP) - 1);
            let Some(&(length, symbol)) = symbols.get(rest) else {
                break;
            };
            if length == 0 || bits + length > AC_LOOKUP {
                break;
            }
            let (more_bits, more_steps) = match AcSymbol::from(symbol) {
                AcSymbol::EndOfBlock => (length, Self::END),
                AcSymbol::Zeros => (length, 16),
                AcSymbol::Value { run, size } => (length + size, run + 1),
            };
            if bits + more_bits > MAX_SWALLOWED || (steps + more_steps) & (Self::END - 1) > 63 {
                break;
            }
            bits += more_bits;
            steps += more_steps;
            if steps >= Self::END {
                break;
            }
        }
        if bits == 0 {
            return Self::SLOW;
        }
        // At most 18, and at most 128 + 63.
        (steps << 6) as u16 | bits as u16
    }

    /// Skips the rest of a block from coefficient `k` on, 1 to 63. None where the data are no such block. Of the bits of
    /// a refill, `looks` times [`MAX_SWALLOWED`] must be left.
    #[inline(always)]
    pub(super) fn skip_block(
        &self,
        cursor: &mut Cursor,
        bytes: &[u8],
        mut k: usize,
        mut looks: u32,
    ) -> Option<()> {
        loop {
            for _ in 0..looks {
                let before = *cursor;
                let entry = self.entries[cursor.peek::<AC_LOOKUP>()];
                cursor.skip(u32::from(entry));
                let steps = usize::from(entry >> 6);
                k += steps;
                if k < 64 {
                    continue;
                }
                // Either the last coefficient, or an end that is seen before it.
                if k == 64 || (Self::END..Self::END + 64).contains(&k) {
                    return Some(());
                }
                // Some of these symbols are another block's, or one is too long to be seen: one at a time.
                (k, *cursor) = self.skip_symbol(before, bytes, k - steps)?;
                if k == 64 {
                    return Some(());
                }
                break;
            }
            cursor.refill(bytes);
            looks = LOOKS;
        }
    }

    /// Skips one symbol; answers the next coefficient, 64 at the end of the block.
    #[cold]
    #[inline(never)]
    fn skip_symbol(&self, mut cursor: Cursor, bytes: &[u8], k: usize) -> Option<(usize, Cursor)> {
        cursor.refill(bytes);
        let (length, symbol) = self.code.find(cursor.peek::<MAX_CODE>())?;
        cursor.skip(length);
        let next = match AcSymbol::from(symbol) {
            AcSymbol::EndOfBlock => 64,
            AcSymbol::Zeros => k + 16,
            AcSymbol::Value { run, size } => {
                cursor.skip(size);
                k + run + 1
            }
        };
        (next <= 64).then_some((next, cursor))
    }
}

/// Reads AC symbols one by one.
#[derive(Debug)]
pub(super) struct AcSymbols {
    /// Length of the code and symbol; a length of 0 where the code is longer.
    entries: Box<[(u8, u8); 1 << SYMBOL_LOOKUP]>,
    code: Code,
}

impl AcSymbols {
    pub(super) fn new(code: &Code) -> Self {
        let mut entries = Box::new([(0, 0); 1 << SYMBOL_LOOKUP]);
        for (entry, (length, symbol)) in entries.iter_mut().zip(code.table(SYMBOL_LOOKUP)) {
            // At most 9.
            *entry = (length as u8, symbol);
        }
        Self {
            entries,
            code: code.clone(),
        }
    }

    #[inline(always)]
    pub(super) fn take(&self, cursor: &mut Cursor) -> Option<AcSymbol> {
        self.take_symbol(cursor).map(AcSymbol::from)
    }

    /// The next symbol as the file has it: progressive scans give some of them another meaning. Takes at most 16 bits,
    /// which must be there.
    #[inline(always)]
    pub(super) fn take_symbol(&self, cursor: &mut Cursor) -> Option<u8> {
        let (length, symbol) = self.entries[cursor.peek::<SYMBOL_LOOKUP>()];
        let (length, symbol) = match length {
            0 => self.find_long(cursor.peek::<MAX_CODE>())?,
            _ => (u32::from(length), symbol),
        };
        cursor.skip(length);
        Some(symbol)
    }

    #[cold]
    #[inline(never)]
    fn find_long(&self, next: usize) -> Option<(u32, u8)> {
        self.code.find(next)
    }
}
