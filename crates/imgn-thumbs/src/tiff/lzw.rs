//! LZW as TIFF has it: codes from the most significant bit on, that grow one code early.
//!
//! The `weezl` crate loses bytes where a caller takes a row at a time (0.1.12, met by tests of this crate); and holding
//! all of a strip is what this reader is there to avoid.

const CLEAR: u16 = 256;
const END: u16 = 257;
const FIRST_FREE: u16 = 258;
const MAX_WIDTH: u32 = 12;
const CODES: usize = 1 << MAX_WIDTH;

/// Why there are no more bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// The codes are over.
    Short,
    /// A code that cannot be.
    Broken,
}

/// The state between two rows.
pub(super) struct Decoder {
    /// For each code, the code of all bytes but the last, and the last byte.
    strings: Box<[(u16, u8); CODES]>,
    next: u16,
    width: u32,
    previous: Option<u16>,
    /// Bits that were read and not used, the last `count` of them.
    bits: u32,
    count: u32,
    /// What the last code stands for and was not yet given, from its end.
    pending: Vec<u8>,
}

impl Decoder {
    pub(super) fn new() -> Self {
        let mut strings = Box::new([(0, 0); CODES]);
        for (byte, string) in (0..=255).zip(strings.iter_mut()) {
            string.1 = byte;
        }
        Self {
            strings,
            next: FIRST_FREE,
            width: 9,
            previous: None,
            bits: 0,
            count: 0,
            pending: Vec::with_capacity(CODES),
        }
    }

    /// Fills `row`, from `packed`.
    pub(super) fn fill(
        &mut self,
        packed: &mut impl Iterator<Item = u8>,
        row: &mut [u8],
    ) -> Result<(), Stop> {
        for byte in row {
            while self.pending.is_empty() {
                let code = self.code(packed).ok_or(Stop::Short)?;
                self.take(code)?;
            }
            *byte = self.pending.pop().ok_or(Stop::Broken)?;
        }
        Ok(())
    }

    fn code(&mut self, packed: &mut impl Iterator<Item = u8>) -> Option<u16> {
        while self.count < self.width {
            self.bits = self.bits << 8 | u32::from(packed.next()?);
            self.count += 8;
        }
        self.count -= self.width;
        // At most 12 bits.
        Some((self.bits >> self.count & ((1 << self.width) - 1)) as u16)
    }

    fn take(&mut self, code: u16) -> Result<(), Stop> {
        match code {
            CLEAR => {
                self.next = FIRST_FREE;
                self.width = 9;
                self.previous = None;
                return Ok(());
            }
            END => return Err(Stop::Short),
            _ => {}
        }
        match self.previous {
            _ if code < self.next => {
                self.push(code);
                if let Some(previous) = self.previous {
                    let first = self.pending.last().copied().unwrap_or(0);
                    self.add(previous, first);
                }
            }
            // The string that is just being made: the one before, and its own first byte.
            Some(previous) if code == self.next => {
                self.pending.push(0);
                self.push(previous);
                let first = self.pending.last().copied().unwrap_or(0);
                if let Some(last) = self.pending.first_mut() {
                    *last = first;
                }
                self.add(previous, first);
            }
            _ => return Err(Stop::Broken),
        }
        self.previous = Some(code);
        Ok(())
    }

    /// Puts a code's bytes onto what is pending, its last one first.
    fn push(&mut self, mut code: u16) {
        // A string's codes only fall, so that this ends.
        while let Some(&(before, byte)) = self.strings.get(usize::from(code)) {
            self.pending.push(byte);
            if code < CLEAR {
                break;
            }
            code = before;
        }
    }

    fn add(&mut self, previous: u16, byte: u8) {
        if let Some(string) = self.strings.get_mut(usize::from(self.next)) {
            *string = (previous, byte);
            self.next += 1;
            if u32::from(self.next) == (1 << self.width) - 1 && self.width < MAX_WIDTH {
                self.width += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_may_be_made_of_itself() {
        // Clear, "a", the string that is just being made, end: nine bits each.
        let bits = [256_u64, 97, 258, 257]
            .iter()
            .fold(0_u64, |bits, code| bits << 9 | code);
        let packed = (bits << 28).to_be_bytes();
        let mut rows = [0; 3];
        let mut decoder = Decoder::new();
        let mut packed = packed.into_iter();
        for row in rows.chunks_mut(1) {
            assert_eq!(decoder.fill(&mut packed, row), Ok(()));
        }
        assert_eq!(&rows, b"aaa");
        assert_eq!(decoder.fill(&mut packed, &mut [0]), Err(Stop::Short));
    }

    #[test]
    fn a_code_that_cannot_be_is_told() {
        let packed = [0x80, 0x7f, 0xff];
        let filled = Decoder::new().fill(&mut packed.into_iter(), &mut [0]);
        assert_eq!(filled, Err(Stop::Broken));
    }
}
