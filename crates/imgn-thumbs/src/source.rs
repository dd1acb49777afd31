//! A file of which pieces are looked at, through a window of fixed size.

use std::io::{self, BufRead, Read, Seek, SeekFrom};

/// The window's size.
const WINDOW: usize = 64 << 10;
/// How much is read at least, where a file is hopped through: a few headers' worth.
const HOP: usize = 512;

pub(crate) struct Source<'a, R> {
    file: &'a mut R,
    length: u64,
    /// Where the window begins.
    start: u64,
    window: Vec<u8>,
    /// How much is read into the window at least.
    step: usize,
}

impl<'a, R: Read + Seek> Source<'a, R> {
    pub(crate) fn new(file: &'a mut R) -> io::Result<Self> {
        let length = file.seek(SeekFrom::End(0))?;
        Ok(Self {
            file,
            length,
            start: 0,
            window: Vec::new(),
            step: WINDOW,
        })
    }

    /// Says that most of the file will be skipped.
    pub(crate) fn hop(&mut self) {
        self.step = HOP;
    }

    /// Says that from here on it is read from beginning to end.
    pub(crate) fn read_on(&mut self) {
        self.step = WINDOW;
    }

    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// `length` bytes at `offset`, at most a window's; fewer where the file ends.
    pub(crate) fn at(&mut self, offset: u64, length: usize) -> io::Result<&[u8]> {
        let length = self.available(offset, length.min(WINDOW));
        if self.within(offset, length).is_none() {
            let wanted = self.available(offset, self.step.max(length));
            // Of a window that could not be read whole, nothing may be used later.
            self.window.clear();
            let bytes = self.read(offset, wanted)?;
            self.window = bytes;
            self.start = offset;
        }
        let from = self.within(offset, length).unwrap_or(0);
        Ok(self.window.get(from..from + length).unwrap_or(&[]))
    }

    /// `N` bytes at `offset`, or nothing where the file ends before.
    pub(crate) fn array<const N: usize>(&mut self, offset: u64) -> io::Result<Option<[u8; N]>> {
        Ok(self.at(offset, N)?.first_chunk().copied())
    }

    /// The offset of the first such byte from `offset` on.
    pub(crate) fn find(&mut self, byte: u8, mut offset: u64) -> io::Result<Option<u64>> {
        while offset < self.length {
            self.at(offset, 1)?;
            let from = self.within(offset, 1).unwrap_or(0);
            let rest = self.window.get(from..).unwrap_or(&[]);
            let skipped = { rest }.skip_until(byte)?;
            if rest.get(skipped.wrapping_sub(1)) == Some(&byte) {
                return Ok(Some(offset + skipped as u64 - 1));
            }
            offset += skipped.max(1) as u64;
        }
        Ok(None)
    }

    /// `length` bytes at `offset`, which the file has.
    pub(crate) fn read(&mut self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.file.seek(SeekFrom::Start(offset))?;
        self.file.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// How many of `length` bytes at `offset` the file has.
    fn available(&self, offset: u64, length: usize) -> usize {
        usize::try_from(self.length.saturating_sub(offset)).map_or(length, |rest| rest.min(length))
    }

    /// Where in the window `length` bytes at `offset` are, if all of them are.
    fn within(&self, offset: u64, length: usize) -> Option<usize> {
        let from = usize::try_from(offset.checked_sub(self.start)?).ok()?;
        (from.checked_add(length)? <= self.window.len()).then_some(from)
    }
}
