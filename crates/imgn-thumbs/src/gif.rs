//! GIF: an own reader of blocks, and the `gif` crate for the pixels, frame by frame.
//!
//! The picture is the first frame on its canvas. As in web browsers, the canvas grows to hold a first frame that is
//! larger than the file says, and what later frames draw outside of it is left out. A file must reach its trailer:
//! without it nobody knows whether frames are missing.

use std::io::Cursor;
use std::num::NonZeroU64;

use ::gif::{ColorOutput, DecodeOptions, DecodingError, MemoryLimit};

use crate::bytes::le16;
use crate::canvas::{Canvas, GROUND, Raster};
use crate::header::{Cost, Probe};
use crate::limits::Deadline;
use crate::{Format, Limits, PictureError};

/// What the decoder holds whatever the picture.
const FIXED_COST: u64 = 1 << 20;

/// Reads the blocks, but for their data.
pub(crate) fn probe(bytes: &[u8]) -> Result<Probe<'_>, PictureError> {
    let blocks = Blocks::read(bytes)?;
    let (width, height) = blocks.canvas;
    let largest_frame = blocks.largest_frame;
    let held = u64::from(largest_frame.0) * u64::from(largest_frame.1);
    Ok(Probe {
        width,
        height,
        largest_frame,
        frames: blocks.frames,
        total_pixels: blocks.total_pixels,
        scans: 1,
        orientation: None,
        exif: None,
        icc: None,
        cost: Cost::by_edge(|edge| {
            FIXED_COST + held + u64::from(width) * 3 + Canvas::cost(width, height, edge, false)
        }),
    })
}

/// Decodes all frames; the canvas has the first.
pub(crate) fn decode(
    bytes: &[u8],
    limits: &Limits,
    long_edge: u32,
    deadline: &Deadline,
) -> Result<Raster, PictureError> {
    let blocks = Blocks::read(bytes)?;
    let mut options = DecodeOptions::new();
    options.set_color_output(ColorOutput::Indexed);
    options.allow_unknown_blocks(true);
    if let Some(bytes) = NonZeroU64::new(limits.max_decoded_bytes) {
        options.set_memory_limit(MemoryLimit::Bytes(bytes));
    }
    let mut decoder = options.read_info(Cursor::new(bytes)).map_err(corrupt)?;
    let mut pixels = Vec::new();
    let mut raster = None;
    for _ in 0..blocks.frames {
        deadline.check()?;
        let frame = decoder
            .next_frame_info()
            .map_err(corrupt)?
            .ok_or_else(|| damaged("a frame is missing"))?;
        let placed = Placed {
            left: usize::from(frame.left),
            top: usize::from(frame.top),
            width: usize::from(frame.width),
            transparent: frame.transparent,
        };
        let size = placed.width * usize::from(frame.height);
        pixels.resize(size, 0);
        decoder.read_into_buffer(&mut pixels).map_err(corrupt)?;
        if raster.is_none() {
            let palette = decoder.palette().map_err(corrupt)?;
            raster = Some(placed.draw(blocks.canvas, &pixels, palette, long_edge)?);
        }
    }
    raster.ok_or_else(|| damaged("it holds no picture"))
}

/// A frame on its canvas.
struct Placed {
    left: usize,
    top: usize,
    width: usize,
    transparent: Option<u8>,
}

impl Placed {
    fn draw(
        &self,
        (width, height): (u32, u32),
        pixels: &[u8],
        palette: &[u8],
        long_edge: u32,
    ) -> Result<Raster, PictureError> {
        let colors = self.colors(palette);
        let mut canvas = Canvas::in_rows(width, height, long_edge);
        let mut row = Vec::with_capacity(width as usize * 3);
        for y in 0..height as usize {
            row.clear();
            row.extend((0..width).flat_map(|_| GROUND));
            let line = y
                .checked_sub(self.top)
                .and_then(|line| pixels.chunks_exact(self.width.max(1)).nth(line))
                .unwrap_or_default();
            let places = row.chunks_exact_mut(3).skip(self.left);
            for (place, &index) in places.zip(line) {
                place.copy_from_slice(&colors[usize::from(index)]);
            }
            canvas.push_row(&row);
        }
        canvas.finish(damaged("rows are missing"))
    }

    /// The colour of each index; the ground for what is transparent or not in the palette.
    fn colors(&self, palette: &[u8]) -> [[u8; 3]; 256] {
        let mut colors = [GROUND; 256];
        for (color, entry) in colors.iter_mut().zip(palette.chunks_exact(3)) {
            color.copy_from_slice(entry);
        }
        if let Some(index) = self.transparent {
            colors[usize::from(index)] = GROUND;
        }
        colors
    }
}

/// What the blocks of a GIF say, without decoding them.
struct Blocks {
    canvas: (u32, u32),
    largest_frame: (u32, u32),
    frames: u32,
    total_pixels: u64,
}

impl Blocks {
    fn read(bytes: &[u8]) -> Result<Self, PictureError> {
        let cut_off = || damaged("it ends before its trailer");
        let screen = |at| le16(bytes, at).map(u32::from).ok_or_else(cut_off);
        let mut blocks = Self {
            canvas: (screen(6)?, screen(8)?),
            largest_frame: (0, 0),
            frames: 0,
            total_pixels: 0,
        };
        let mut at = 13 + palette_bytes(*bytes.get(10).ok_or_else(cut_off)?);
        loop {
            match bytes.get(at).ok_or_else(cut_off)? {
                b',' => {
                    let number =
                        |offset| le16(bytes, at + offset).map(u32::from).ok_or_else(cut_off);
                    let (left, top, width, height) =
                        (number(1)?, number(3)?, number(5)?, number(7)?);
                    blocks.add_frame(left, top, width, height);
                    let flags = *bytes.get(at + 9).ok_or_else(cut_off)?;
                    // Descriptor, palette, and the code size before the data.
                    at = skip_sub_blocks(bytes, at + 10 + palette_bytes(flags) + 1)
                        .ok_or_else(cut_off)?;
                }
                b'!' => at = skip_sub_blocks(bytes, at + 2).ok_or_else(cut_off)?,
                b';' => break,
                // Padding, which some encoders leave between blocks.
                0 => at += 1,
                _ => return Err(damaged("it has a block of an unknown kind")),
            }
        }
        if blocks.frames == 0 {
            return Err(damaged("it holds no picture"));
        }
        Ok(blocks)
    }

    fn add_frame(&mut self, left: u32, top: u32, width: u32, height: u32) {
        if self.frames == 0 {
            self.canvas = (
                self.canvas.0.max(left + width),
                self.canvas.1.max(top + height),
            );
        }
        let pixels = |(width, height): (u32, u32)| u64::from(width) * u64::from(height);
        if self.frames == 0 || pixels((width, height)) > pixels(self.largest_frame) {
            self.largest_frame = (width, height);
        }
        self.frames = self.frames.saturating_add(1);
        self.total_pixels = self.total_pixels.saturating_add(pixels((width, height)));
    }
}

/// The size of the picture, which the first frame may make larger, as far as a file's beginning tells.
pub(crate) fn canvas(head: &[u8]) -> Option<(u32, u32)> {
    let number = |at| le16(head, at).map(u32::from);
    let screen = (number(6)?, number(8)?);
    let mut at = 13 + palette_bytes(*head.get(10)?);
    loop {
        match head.get(at) {
            Some(b'!') => match skip_sub_blocks(head, at + 2) {
                Some(end) => at = end,
                None => return Some(screen),
            },
            Some(0) => at += 1,
            Some(b',') => {
                let edge =
                    |screen: u32, place, length| Some(screen.max(number(place)? + number(length)?));
                return edge(screen.0, at + 1, at + 5).zip(edge(screen.1, at + 3, at + 7));
            }
            _ => return Some(screen),
        }
    }
}

fn palette_bytes(flags: u8) -> usize {
    if flags & 0x80 == 0 {
        0
    } else {
        3 << ((flags & 7) + 1)
    }
}

/// Where the sub-blocks that begin at `at` end.
fn skip_sub_blocks(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        let length = usize::from(*bytes.get(at)?);
        at += 1 + length;
        if length == 0 {
            return Some(at);
        }
    }
}

fn corrupt(error: DecodingError) -> PictureError {
    damaged(error.to_string())
}

fn damaged(reason: impl Into<String>) -> PictureError {
    PictureError::corrupt(Format::Gif, reason)
}
