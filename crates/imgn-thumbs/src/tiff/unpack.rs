//! Undoing compression: the data of a strip or tile, as rows of bytes.

use std::borrow::Cow;
use std::convert::Infallible;

use fax::decoder::{DecodeStatus, Group4Decoder};
use fax::maps::{black, white};
use fax::{BitReader, ByteReader};
use flate2::{Decompress, FlushDecompress, Status};

use super::image::{Compression, Image, Meaning};
use super::{damaged, lzw};
use crate::{PictureError, jpeg};

/// A strip or tile that is being unpacked.
pub(super) enum Unpacker<'a> {
    Plain(Packed<'a>),
    PackBits(Packed<'a>, Run),
    Lzw(Packed<'a>, Box<lzw::Decoder>),
    Deflate(Packed<'a>, Box<Decompress>),
    Fax(FaxRows<'a>),
    Fax4(Box<Group4Decoder<Packed<'a>>>),
}

/// Bytes of which the first ones are used up.
pub(super) struct Packed<'a> {
    bytes: Cow<'a, [u8]>,
    at: usize,
}

/// What a byte of PackBits announced.
#[derive(Default)]
pub(super) struct Run {
    length: usize,
    /// The byte to repeat; without one, bytes are as they are.
    repeated: Option<u8>,
}

impl<'a> Unpacker<'a> {
    /// Begins with a chunk of which `rows` rows are wanted.
    pub(super) fn open(image: &Image<'a>, data: &'a [u8], rows: u32) -> Result<Self, PictureError> {
        let packed = Packed {
            bytes: if image.is_mirrored {
                data.iter().map(|byte| byte.reverse_bits()).collect()
            } else {
                Cow::Borrowed(data)
            },
            at: 0,
        };
        Ok(match image.compression {
            Compression::None => Self::Plain(packed),
            Compression::PackBits => Self::PackBits(packed, Run::default()),
            Compression::Lzw => Self::Lzw(packed, Box::new(lzw::Decoder::new())),
            Compression::Deflate => Self::Deflate(packed, Box::new(Decompress::new(true))),
            Compression::Fax { is_aligned } => Self::Fax(FaxRows::new(packed, image, is_aligned)),
            Compression::Fax4 => {
                // Checked: no wider than 16 bits can say.
                let width = image.chunk_width as u16;
                let Ok(decoder) = Group4Decoder::new(packed, width);
                Self::Fax4(Box::new(decoder))
            }
            Compression::Jpeg => Self::Plain(Packed {
                bytes: Cow::Owned(unpack_jpeg(image, data, rows)?),
                at: 0,
            }),
        })
    }

    /// Unpacks the next row, or group of rows, whose bytes are as many as `row` has.
    pub(super) fn fill(&mut self, row: &mut [u8]) -> Result<(), PictureError> {
        match self {
            Self::Plain(packed) => {
                row.copy_from_slice(packed.take(row.len()).ok_or_else(short)?);
                Ok(())
            }
            Self::PackBits(packed, run) => run.fill(packed, row),
            Self::Lzw(packed, decoder) => fill_lzw(packed, decoder, row),
            Self::Deflate(packed, decoder) => fill_deflate(packed, decoder, row),
            Self::Fax(rows) => rows.fill(row),
            Self::Fax4(decoder) => {
                match decoder.advance().map_err(|_| broken())? {
                    DecodeStatus::Incomplete => draw(decoder.transition(), row),
                    // Some writers leave out white rows at the end.
                    DecodeStatus::End => row.fill(0),
                }
                Ok(())
            }
        }
    }
}

impl Packed<'_> {
    fn rest(&self) -> &[u8] {
        self.bytes.get(self.at..).unwrap_or(&[])
    }

    fn take(&mut self, length: usize) -> Option<&[u8]> {
        let end = self.at.checked_add(length)?;
        let taken = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }
}

impl Iterator for Packed<'_> {
    type Item = Result<u8, Infallible>;

    /// Behind the last byte come some zeros: the fax library looks further than the last code reaches.
    fn next(&mut self) -> Option<Self::Item> {
        const ZEROS: usize = 4;
        let byte = match self.bytes.get(self.at) {
            Some(byte) => *byte,
            None if self.at < self.bytes.len() + ZEROS => 0,
            None => return None,
        };
        self.at += 1;
        Some(Ok(byte))
    }
}

/// A fax whose rows are coded one by one: of Group 3, or TIFF's own kind.
pub(super) struct FaxRows<'a> {
    bits: ByteReader<Packed<'a>>,
    width: u16,
    is_aligned: bool,
    changes: Vec<u16>,
}

impl<'a> FaxRows<'a> {
    fn new(packed: Packed<'a>, image: &Image<'_>, is_aligned: bool) -> Self {
        let Ok(bits) = ByteReader::new(packed);
        Self {
            bits,
            // Checked: no wider than 16 bits can say.
            width: image.chunk_width as u16,
            is_aligned,
            changes: Vec::new(),
        }
    }

    fn fill(&mut self, row: &mut [u8]) -> Result<(), PictureError> {
        self.skip_end_of_line();
        self.read().ok_or_else(broken)?;
        if self.is_aligned {
            self.skip(self.bits.bits_to_byte_boundary());
        }
        draw(&self.changes, row);
        Ok(())
    }

    /// Reads runs of white and black in turn, until they fill the row.
    fn read(&mut self) -> Option<()> {
        self.changes.clear();
        let (mut end, mut is_white) = (0_u16, true);
        while end < self.width {
            // Long runs have several codes, of which the last is below 64.
            loop {
                let run = if is_white {
                    white::decode(&mut self.bits)
                } else {
                    black::decode(&mut self.bits)
                }?;
                end = end.checked_add(run).filter(|&end| end <= self.width)?;
                if run < 64 {
                    break;
                }
            }
            if self.changes.len() > usize::from(self.width) * 2 {
                // Runs of nothing, again and again.
                return None;
            }
            self.changes.push(end);
            is_white = !is_white;
        }
        Some(())
    }

    /// Eleven zeros or more, and a one. No run begins with as many.
    fn skip_end_of_line(&mut self) {
        if self.bits.peek(11) == Some(0) {
            while self.bits.peek(1) == Some(0) {
                self.skip(1);
            }
            self.skip(1);
        }
    }

    fn skip(&mut self, bits: u8) {
        let Ok(()) = self.bits.consume(bits);
    }
}

impl Run {
    fn fill(&mut self, packed: &mut Packed<'_>, mut row: &mut [u8]) -> Result<(), PictureError> {
        while !row.is_empty() {
            if self.length == 0 {
                self.begin(packed)?;
                continue;
            }
            let length = self.length.min(row.len());
            let (now, later) = row.split_at_mut(length);
            match self.repeated {
                Some(byte) => now.fill(byte),
                None => now.copy_from_slice(packed.take(length).ok_or_else(short)?),
            }
            self.length -= length;
            row = later;
        }
        Ok(())
    }

    fn begin(&mut self, packed: &mut Packed<'_>) -> Result<(), PictureError> {
        let &[head] = packed.take(1).ok_or_else(short)? else {
            return Err(short());
        };
        *self = match head {
            0..=127 => Self {
                length: usize::from(head) + 1,
                repeated: None,
            },
            128 => Self::default(),
            129.. => Self {
                length: 257 - usize::from(head),
                repeated: packed.take(1).and_then(<[u8]>::first).copied(),
            },
        };
        match self.repeated {
            None if head > 128 => Err(short()),
            _ => Ok(()),
        }
    }
}

fn fill_lzw(
    packed: &mut Packed<'_>,
    decoder: &mut lzw::Decoder,
    row: &mut [u8],
) -> Result<(), PictureError> {
    let mut read = 0;
    let mut bytes = packed.rest().iter().copied().inspect(|_| read += 1);
    let filled = decoder.fill(&mut bytes, row);
    packed.at += read;
    filled.map_err(|stop| match stop {
        lzw::Stop::Short => short(),
        lzw::Stop::Broken => broken(),
    })
}

fn fill_deflate(
    packed: &mut Packed<'_>,
    decoder: &mut Decompress,
    mut row: &mut [u8],
) -> Result<(), PictureError> {
    while !row.is_empty() {
        let (read, written) = (decoder.total_in(), decoder.total_out());
        let status = decoder
            .decompress(packed.rest(), row, FlushDecompress::None)
            .map_err(|_| broken())?;
        // No more than the lengths of what was given.
        let (read, written) = (
            (decoder.total_in() - read) as usize,
            (decoder.total_out() - written) as usize,
        );
        packed.at += read;
        row = row.get_mut(written..).unwrap_or(&mut []);
        let is_stuck = status == Status::StreamEnd || (read, written) == (0, 0);
        if is_stuck && !row.is_empty() {
            return Err(short());
        }
    }
    Ok(())
}

/// Draws a row of a fax, white as 0, from where its colour changes.
fn draw(changes: &[u16], row: &mut [u8]) {
    row.fill(0);
    let end = row.len() * 8;
    for pair in changes.chunks(2) {
        let black = match *pair {
            [from, to] => usize::from(from)..usize::from(to).min(end),
            [from] => usize::from(from)..end,
            _ => continue,
        };
        for x in black {
            if let Some(byte) = row.get_mut(x / 8) {
                *byte |= 0x80 >> (x % 8);
            }
        }
    }
}

/// Decodes a JPEG that may leave its tables to the directory, and does not say what its components are.
fn unpack_jpeg(image: &Image<'_>, data: &[u8], rows: u32) -> Result<Vec<u8>, PictureError> {
    const START: [u8; 2] = [0xff, 0xd8];
    const END: [u8; 2] = [0xff, 0xd9];
    /// An `Adobe` segment, but for its last byte: whether colours were made luma and chroma.
    const ADOBE: [u8; 15] = *b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0";
    let body = data.strip_prefix(&START).ok_or_else(broken)?;
    let tables = image.jpeg_tables.unwrap_or(&[]);
    let tables = tables.strip_prefix(&START).unwrap_or(tables);
    let tables = tables.strip_suffix(&END).unwrap_or(tables);
    let is_ycbcr = matches!(image.meaning, Meaning::YCbCr { .. }) && !image.is_planar;
    let file = [&START[..], &ADOBE, &[u8::from(is_ycbcr)], tables, body].concat();
    jpeg::decode_part(&file, image.chunk_width, rows, image.samples_together()).map_err(|error| {
        match error {
            PictureError::Corrupt { reason, .. } => damaged(reason),
            other => other,
        }
    })
}

fn short() -> PictureError {
    damaged("a strip or tile ends too early")
}

fn broken() -> PictureError {
    damaged("a strip or tile is broken")
}
