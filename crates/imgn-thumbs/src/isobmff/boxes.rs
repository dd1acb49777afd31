//! Boxes one behind the other, and numbers within them.

use super::Malformed;
use crate::bytes::{array, be32};

/// A box: its kind, what it holds, and where in the bytes that hold the box that begins.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FoundBox<'a> {
    pub(crate) kind: [u8; 4],
    pub(crate) start: usize,
    pub(crate) payload: &'a [u8],
}

/// The boxes that lie one behind the other in some bytes. The first that is not whole is an error, and the last.
#[derive(Debug, Clone)]
pub(crate) struct Boxes<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// A box that is not whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BoxesFault {
    /// What it says it is; zeros if there are too few bytes even for that.
    pub(crate) kind: [u8; 4],
}

impl From<BoxesFault> for Malformed {
    fn from(_: BoxesFault) -> Self {
        Self("one of its boxes is longer than what holds it")
    }
}

impl<'a> Boxes<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The payload of the first box of a kind, if there is one before a box that is not whole.
    pub(crate) fn first(bytes: &'a [u8], kind: &[u8; 4]) -> Option<&'a [u8]> {
        Self::new(bytes)
            .map_while(Result::ok)
            .find(|found| found.kind == *kind)
            .map(|found| found.payload)
    }

    /// The payload of the box that this path of kinds leads to.
    pub(crate) fn at_path(bytes: &'a [u8], path: &[&[u8; 4]]) -> Option<&'a [u8]> {
        path.iter()
            .try_fold(bytes, |bytes, kind| Self::first(bytes, kind))
    }
}

impl<'a> Iterator for Boxes<'a> {
    type Item = Result<FoundBox<'a>, BoxesFault>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.bytes.get(self.at..).filter(|rest| !rest.is_empty())?;
        let kind = array(rest, 4).unwrap_or_default();
        let found = size(rest).and_then(|(header, size)| {
            Some(FoundBox {
                kind,
                start: self.at + header,
                payload: rest.get(header..size)?,
            })
        });
        // Behind a box that is not whole there is nothing.
        self.at = found.map_or(self.bytes.len(), |found| found.start + found.payload.len());
        Some(found.ok_or(BoxesFault { kind }))
    }
}

/// The length of a box's header, and of the whole box.
fn size(rest: &[u8]) -> Option<(usize, usize)> {
    // All of kind and short size.
    let _: [u8; 8] = array(rest, 0)?;
    match be32(rest, 0)? {
        // To the end.
        0 => Some((8, rest.len())),
        1 => Some((
            16,
            usize::try_from(u64::from_be_bytes(array(rest, 8)?)).ok()?,
        )),
        size => Some((8, size as usize)),
    }
}

/// Numbers and texts one behind the other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Version and flags, and what follows them.
    pub(crate) fn versioned(bytes: &'a [u8]) -> Result<(u8, u32, Self), Malformed> {
        let mut reader = Self::new(bytes);
        let word = reader.u32()?;
        // The upper eight of 32 bits.
        Ok(((word >> 24) as u8, word & 0x00ff_ffff, reader))
    }

    pub(crate) fn rest(self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or(Malformed("one of its boxes ends too early"))?;
        self.rest = rest;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(self.take(N)?);
        Ok(bytes)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Malformed> {
        self.array().map(u8::from_be_bytes)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn i32(&mut self) -> Result<i32, Malformed> {
        self.array().map(i32::from_be_bytes)
    }

    /// A number of 16 bits, or of 32.
    pub(crate) fn u16_or_u32(&mut self, is_long: bool) -> Result<u32, Malformed> {
        if is_long {
            self.u32()
        } else {
            self.u16().map(u32::from)
        }
    }

    /// A number of 0, 4 or 8 bytes.
    pub(crate) fn sized(&mut self, bytes: u8) -> Result<u64, Malformed> {
        match bytes {
            0 => Ok(0),
            4 => self.u32().map(u64::from),
            8 => self.array().map(u64::from_be_bytes),
            _ => Err(Malformed("it has numbers of a length that does not exist")),
        }
    }

    /// Up to the next zero, or to the end.
    pub(crate) fn text(&mut self) -> &'a [u8] {
        let length = self.rest.iter().take_while(|&&byte| byte != 0).count();
        let (text, rest) = self.rest.split_at(length);
        self.rest = rest.get(1..).unwrap_or_default();
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_have_three_ways_to_say_their_length() {
        let long = [&[0, 0, 0, 1][..], b"long", &18_u64.to_be_bytes(), b"xy"].concat();
        let bytes = [&b"\0\0\0\x09abcdz"[..], &long, b"\0\0\0\0lastrest"].concat();
        let found: Vec<_> = Boxes::new(&bytes).map(Result::unwrap).collect();
        let kinds: Vec<_> = found
            .iter()
            .map(|found| (&found.kind, found.payload))
            .collect();
        assert_eq!(
            kinds,
            [(b"abcd", &b"z"[..]), (b"long", b"xy"), (b"last", b"rest")]
        );
        assert!(
            found
                .iter()
                .all(|found| bytes[found.start..].starts_with(found.payload))
        );
    }

    #[test]
    fn a_box_that_is_not_whole_is_the_last() {
        for (bytes, kind) in [
            (&b"\0\0\0\x07abcd"[..], b"abcd"),
            (b"\0\0\0\x0aabcdx", b"abcd"),
            (b"\0\0\0\x01abcd\xff\xff\xff\xff\xff\xff\xff\xff", b"abcd"),
            (b"\0\0\0", &[0; 4]),
        ] {
            let found: Vec<_> = Boxes::new(bytes).map(|found| found.map(|_| ())).collect();
            assert_eq!(found, [Err(BoxesFault { kind: *kind })]);
        }
    }
}
