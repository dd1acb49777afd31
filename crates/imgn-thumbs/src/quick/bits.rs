//! The bits of a scan: entropy-coded data without its stuffing, one restart interval after another.
//!
//! A [`Window`] holds the next piece of an interval, so that no copy of the file is made; a [`Cursor`] reads from it.
//! They are apart because a cursor that is a local variable lives in registers.
//!
//! Invariants: behind the end of an interval there are zeros, for ever, and [`Window::overrun`] tells who read them.
//! A cursor has 56 bits after [`Cursor::refill`]; whoever skips says beforehand why that suffices.

use memchr::memchr;

/// Bytes that are unstuffed at a time: they stay in the second level of the cache.
const CAPACITY: usize = 64 << 10;
/// What a unit of a scan takes at most: ten blocks of 64 coefficients, each of a code of 16 bits and 15 bits more; and
/// the 8 bytes of a load.
const MARGIN: usize = 10 * 64 * 31 / 8 + 8;
/// The bits that a cursor has at least after a refill.
pub(super) const REFILLED: u32 = 56;

/// A piece of a restart interval, unstuffed.
#[derive(Debug)]
pub(super) struct Window<'a> {
    file: &'a [u8],
    /// Where in the file that begins which is not yet in the window.
    next: usize,
    /// What is unstuffed.
    bytes: Vec<u8>,
    end: End,
}

/// How far an interval was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Ahead,
    /// A marker stands at [`Window::next`].
    Marker(u8),
    /// The file ends within the interval.
    Missing,
}

/// A place in a [`Window`], and the bits from there on.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Cursor {
    /// The next bits, highest first. Below `count` of them there may be more, which are right too.
    buffer: u64,
    count: u32,
    /// Of the byte behind the counted bits.
    at: usize,
}

impl<'a> Window<'a> {
    /// The interval that begins at `next`.
    pub(super) fn new(file: &'a [u8], next: usize) -> Self {
        let mut window = Self {
            file,
            next,
            bytes: Vec::with_capacity(CAPACITY),
            end: End::Ahead,
        };
        window.fill();
        window
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Sees to it that the next unit is in the window, unless the interval ends with it.
    #[inline(always)]
    pub(super) fn make_ready(&mut self, cursor: &mut Cursor) {
        if self.bytes.len().saturating_sub(cursor.at) < MARGIN && self.end == End::Ahead {
            *cursor = self.advance(*cursor);
        }
    }

    /// Cursors are handed over by value where the call stays a call, for the sake of those registers.
    #[cold]
    #[inline(never)]
    fn advance(&mut self, mut cursor: Cursor) -> Cursor {
        // The bits that are counted are in the cursor.
        self.bytes.drain(..cursor.at.min(self.bytes.len()));
        cursor.at = 0;
        self.fill();
        cursor
    }

    fn fill(&mut self) {
        while self.bytes.len() < CAPACITY && self.end == End::Ahead {
            let rest = self.file.get(self.next..).unwrap_or_default();
            let rest = &rest[..rest.len().min(CAPACITY - self.bytes.len())];
            let plain = memchr(0xff, rest).unwrap_or(rest.len());
            self.bytes.extend_from_slice(&rest[..plain]);
            self.next += plain;
            if plain == rest.len() && self.next < self.file.len() {
                continue;
            }
            match self.file.get(self.next + 1) {
                None => self.end = End::Missing,
                Some(0) => {
                    self.bytes.push(0xff);
                    self.next += 2;
                }
                // Any number of these may stand before a marker.
                Some(0xff) => self.next += 1,
                Some(&marker) => self.end = End::Marker(marker),
            }
        }
    }

    /// Whether more bits were read than there are.
    pub(super) fn overrun(&self, cursor: Cursor) -> bool {
        self.end != End::Ahead && cursor.at * 8 > self.bytes.len() * 8 + cursor.count as usize
    }

    /// Ends an interval: no byte of it may be left, and a marker must follow. Answers the marker and where it is.
    pub(super) fn finish(&mut self, mut cursor: Cursor) -> Option<(u8, usize)> {
        self.make_ready(&mut cursor);
        let End::Marker(marker) = self.end else {
            return None;
        };
        let bits_left =
            (self.bytes.len() * 8 + cursor.count as usize).checked_sub(cursor.at * 8)?;
        (bits_left < 8).then_some((marker, self.next))
    }

    /// Goes from the end of an interval to the next, over the marker with `number`, 0 to 7.
    #[inline(never)]
    pub(super) fn restart(&mut self, cursor: Cursor, number: u8) -> Option<Cursor> {
        let (marker, _) = self.finish(cursor)?;
        if marker != 0xd0 + number {
            return None;
        }
        self.next += 2;
        self.bytes.clear();
        self.end = End::Ahead;
        self.fill();
        Some(Cursor::default())
    }
}

impl Cursor {
    /// Takes in as many bytes as fit: afterwards there are at least [`REFILLED`] bits.
    #[inline(always)]
    pub(super) fn refill(&mut self, bytes: &[u8]) {
        let next = match bytes.get(self.at..).and_then(<[u8]>::first_chunk) {
            Some(&next) => u64::from_be_bytes(next),
            None => last_bytes(bytes, self.at),
        };
        self.buffer |= next >> self.count;
        self.at += (63 - self.count as usize) >> 3;
        self.count |= REFILLED;
    }

    /// The next `BITS` bits, which must be there.
    #[inline(always)]
    pub(super) fn peek<const BITS: u32>(&self) -> usize {
        // At most 16 bits are asked for.
        (self.buffer >> (64 - BITS)) as usize
    }

    /// Goes on by `bits`, of which the upper part is not looked at: a table's entry may carry more there.
    #[inline(always)]
    pub(super) fn skip(&mut self, bits: u32) {
        let bits = bits & 63;
        debug_assert!(bits <= self.count, "no bits are skipped that are not there");
        self.buffer <<= bits;
        self.count = self.count.wrapping_sub(bits) & 63;
    }

    /// Takes `bits` bits, 0 to 16.
    #[inline(always)]
    pub(super) fn take(&mut self, bits: u32) -> u32 {
        // Two shifts, since none of 64 is allowed.
        let value = (self.buffer >> 1 >> (63 - (bits & 31))) as u32;
        self.skip(bits);
        value
    }

    /// Takes a number of `bits` bits, 0 to 15, as JPEG writes it: half of the range is negative.
    #[inline(always)]
    pub(super) fn take_signed(&mut self, bits: u32) -> i32 {
        let value = self.take(bits) as i32;
        let negative = 1 - (1 << bits);
        if value + value < 1 << bits && bits > 0 {
            value + negative
        } else {
            value
        }
    }
}

/// The bytes from `at` to the end, and zeros behind them.
#[cold]
fn last_bytes(bytes: &[u8], at: usize) -> u64 {
    let mut next = [0; 8];
    for (to, &from) in next.iter_mut().zip(bytes.get(at..).unwrap_or_default()) {
        *to = from;
    }
    u64::from_be_bytes(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bits_of(file: &[u8]) -> (Window<'_>, Cursor) {
        (Window::new(file, 0), Cursor::default())
    }

    #[test]
    fn stuffing_is_removed_and_the_marker_found() {
        let (mut window, mut cursor) = bits_of(&[0xab, 0xff, 0x00, 0xcd, 0xff, 0xff, 0xd9, 0x12]);
        let mut taken = Vec::new();
        for _ in 0..3 {
            window.make_ready(&mut cursor);
            cursor.refill(window.bytes());
            taken.push(cursor.take(8));
        }
        assert_eq!(taken, [0xab, 0xff, 0xcd]);
        assert!(!window.overrun(cursor));
        assert_eq!(window.finish(cursor), Some((0xd9, 5)));
        cursor.refill(window.bytes());
        assert_eq!(cursor.take(8), 0, "zeros behind the end");
        assert!(window.overrun(cursor));
        assert_eq!(window.finish(cursor), None);
    }

    #[test]
    fn an_interval_ends_with_its_own_marker_and_nothing_left() {
        let file = [0x80, 0xff, 0xd0, 0x40, 0xff, 0xd1];
        let (mut window, mut cursor) = bits_of(&file);
        cursor.refill(window.bytes());
        cursor.skip(3);
        assert!(window.restart(cursor, 1).is_none(), "another one");
        cursor = window.restart(cursor, 0).unwrap();
        assert!(window.restart(cursor, 1).is_none(), "a byte is left");
        cursor.refill(window.bytes());
        assert_eq!(cursor.take(2), 1);
        assert_eq!(window.finish(cursor), Some((0xd1, 4)));
    }

    #[test]
    fn a_long_interval_passes_through_the_window() {
        let mut file: Vec<u8> = (0..300_000_u32).flat_map(|n| [n as u8, 0]).collect();
        file.retain({
            let mut last = 0;
            move |&byte| {
                // Keeps the zeros behind 0xff only.
                let kept = byte != 0 || last == 0xff;
                last = byte;
                kept
            }
        });
        file.extend([0xff, 0xd9]);
        let (mut window, mut cursor) = bits_of(&file);
        for number in 0..300_000_u32 {
            if number.is_multiple_of(256) {
                continue;
            }
            window.make_ready(&mut cursor);
            cursor.refill(window.bytes());
            assert_eq!(cursor.take(8), number & 255, "{number}");
        }
        assert!(!window.overrun(cursor));
        assert_eq!(window.finish(cursor), Some((0xd9, file.len() - 2)));
    }

    #[test]
    fn numbers_are_signed_as_in_the_standard() {
        for (bits, written, value) in [
            (0, 0, 0),
            (1, 0, -1),
            (1, 1, 1),
            (3, 0, -7),
            (3, 3, -4),
            (3, 4, 4),
            (15, 0x7fff, 32_767),
        ] {
            let mut cursor = Cursor {
                buffer: if bits == 0 { 0 } else { written << (64 - bits) },
                count: REFILLED,
                at: 8,
            };
            assert_eq!(cursor.take_signed(bits), value, "{bits} {written}");
        }
    }
}
