//! PNG and animated PNG: an own reader of chunks, and the `png` crate for the pixels, row by row.
//!
//! Of an animated file the picture is the one that viewers without animation show. Every chunk's checksum is verified
//! up to the end chunk; what follows that is not looked at.

use std::borrow::Cow;
use std::io::Cursor;

use ::png::{ColorType, Decoder, DecodingError, InterlaceInfo, Reader, Transformations};

use crate::bytes::{array, be32};
use crate::canvas::{Canvas, Raster, over_ground};
use crate::colour::EmbeddedProfile;
use crate::exif::MAX_EXIF_BYTES;
use crate::header::{Cost, Probe};
use crate::limits::Deadline;
use crate::{Format, Limits, PictureError};

const SIGNATURE_BYTES: usize = 8;
/// What the decoder holds whatever the picture: its window and buffers.
const FIXED_COST: u64 = 1 << 20;
/// Rows between two looks at the clock.
const ROWS_PER_CHECK: u32 = 16;

/// Reads the chunks, but for their data.
pub(crate) fn probe(bytes: &[u8]) -> Result<Probe<'_>, PictureError> {
    let mut chunks = Chunks {
        bytes,
        at: SIGNATURE_BYTES,
    };
    let Some((b"IHDR", header)) = chunks.next() else {
        return Err(damaged("it does not begin with its header"));
    };
    let &[.., depth, color, _, _, interlace] = header else {
        return Err(damaged("its header is malformed"));
    };
    let (Some(width), Some(height), 13) = (be32(header, 0), be32(header, 4), header.len()) else {
        return Err(damaged("its header is malformed"));
    };
    let channels: u64 = match color {
        0 | 3 => 1,
        2 => 3,
        4 => 2,
        6 => 4,
        _ => return Err(damaged("it has an unknown kind of colours")),
    };
    let (mut frames, mut frame_pixels, mut exif, mut icc) = (1, 0_u64, None, None);
    let mut default_is_frame = false;
    let mut data_seen = false;
    for (kind, data) in chunks {
        match kind {
            b"acTL" if !data_seen => frames = be32(data, 0).unwrap_or(0).max(1),
            b"fcTL" => {
                default_is_frame |= !data_seen;
                let pixels = be32(data, 4).zip(be32(data, 8));
                let pixels =
                    pixels.map_or(0, |(width, height)| u64::from(width) * u64::from(height));
                frame_pixels = frame_pixels.saturating_add(pixels);
            }
            b"IDAT" => data_seen = true,
            b"eXIf" if exif.is_none() && data.len() <= MAX_EXIF_BYTES => exif = Some(data),
            b"iCCP" if icc.is_none() && !data_seen => icc = profile(data),
            b"IEND" => break,
            _ => {}
        }
    }
    let pixels = u64::from(width) * u64::from(height);
    let animated = frames > 1;
    let row = u64::from(width) * channels * u64::from(depth.max(8)) / 8;
    Ok(Probe {
        width,
        height,
        largest_frame: (width, height),
        frames,
        total_pixels: match (animated, default_is_frame) {
            (false, _) => pixels,
            (true, true) => frame_pixels,
            (true, false) => frame_pixels.saturating_add(pixels),
        },
        scans: 1,
        orientation: None,
        exif: exif.map(Cow::Borrowed),
        icc,
        // Rows: raw, unfiltered, the one before, and expanded to 8-bit RGBA, then to RGB.
        cost: Cost::by_edge(|edge| {
            FIXED_COST
                + row * 4
                + u64::from(width) * 8
                + Canvas::cost(width, height, edge, interlace != 0)
        }),
    })
}

/// The data of an `iCCP` chunk: a name, the one method of compression, and the profile.
fn profile(data: &[u8]) -> Option<EmbeddedProfile<'_>> {
    let name = data.iter().position(|&byte| byte == 0)?;
    match data.get(name + 1..)? {
        [0, stream @ ..] => Some(EmbeddedProfile::Deflated(stream)),
        _ => None,
    }
}

/// Decodes all frames; the canvas has the first.
pub(crate) fn decode(
    bytes: &[u8],
    limits: &Limits,
    long_edge: u32,
    deadline: &Deadline,
) -> Result<Raster, PictureError> {
    let mut decoder = Decoder::new_with_limits(
        Cursor::new(bytes),
        ::png::Limits {
            bytes: usize::try_from(limits.max_decoded_bytes).unwrap_or(usize::MAX),
        },
    );
    decoder.set_transformations(Transformations::normalize_to_color8());
    // Compressed text and profiles are not wanted, and would be decompressed.
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    let mut reader = decoder.read_info().map_err(corrupt)?;

    let info = reader.info();
    let (width, height, interlaced) = (info.width, info.height, info.interlaced);
    let further_frames = info.animation_control().map_or(0, |animation| {
        // Without a frame control before it, the picture is not one of the animation's.
        animation.num_frames - u32::from(info.frame_control.is_some()).min(animation.num_frames)
    });
    let mut canvas = if interlaced {
        Canvas::scattered(width, height, long_edge)
    } else {
        Canvas::in_rows(width, height, long_edge)
    };
    let color = reader.output_color_type().0;
    let mut rgb = Vec::with_capacity(width as usize * 3);
    let mut passes = Passes::new(width, height);
    read_rows(&mut reader, deadline, |interlace, row| {
        rgb.clear();
        to_rgb(color, row, &mut rgb);
        match interlace {
            InterlaceInfo::Null(_) => canvas.push_row(&rgb),
            InterlaceInfo::Adam7(_) => {
                let (xs, y) = passes.next_row();
                for (x, pixel) in xs.zip(rgb.chunks_exact(3)) {
                    canvas.add(x, y, [pixel[0], pixel[1], pixel[2]]);
                }
            }
        }
    })?;
    for _ in 0..further_frames {
        reader.next_frame_info().map_err(corrupt)?;
        read_rows(&mut reader, deadline, |_, _| {})?;
    }
    reader.finish().map_err(corrupt)?;
    canvas.finish(damaged("rows are missing"))
}

fn read_rows(
    reader: &mut Reader<Cursor<&[u8]>>,
    deadline: &Deadline,
    mut take: impl FnMut(&InterlaceInfo, &[u8]),
) -> Result<(), PictureError> {
    let mut count = 0_u32;
    while let Some(row) = reader.next_interlaced_row().map_err(corrupt)? {
        take(row.interlace(), row.data());
        count = count.wrapping_add(1);
        if count.is_multiple_of(ROWS_PER_CHECK) {
            deadline.check()?;
        }
    }
    deadline.check()
}

/// Where the rows of an interlaced picture belong, in the order in which they are stored (Adam7).
struct Passes {
    width: u32,
    height: u32,
    pass: usize,
    line: u32,
}

impl Passes {
    /// First column, step between columns, first row, step between rows.
    const GRID: [(u32, u32, u32, u32); 7] = [
        (0, 8, 0, 8),
        (4, 8, 0, 8),
        (0, 4, 4, 8),
        (2, 4, 0, 4),
        (0, 2, 2, 4),
        (1, 2, 0, 2),
        (0, 1, 1, 2),
    ];

    fn new(width: u32, height: u32) -> Self {
        Self {
            width,
            height,
            pass: 0,
            line: 0,
        }
    }

    /// The columns and the row of the next stored row. Past the last one: no columns.
    fn next_row(&mut self) -> (impl Iterator<Item = u32> + use<>, u32) {
        while let Some(&(left, columns, top, rows)) = Self::GRID.get(self.pass) {
            let y = top + self.line * rows;
            if left < self.width && y < self.height {
                self.line += 1;
                return ((left..self.width).step_by(columns as usize), y);
            }
            self.pass += 1;
            self.line = 0;
        }
        ((0..0).step_by(1), self.height)
    }
}

fn to_rgb(color: ColorType, row: &[u8], rgb: &mut Vec<u8>) {
    match color {
        ColorType::Grayscale | ColorType::Indexed => {
            rgb.extend(row.iter().flat_map(|&grey| [grey; 3]));
        }
        ColorType::GrayscaleAlpha => {
            rgb.extend(
                row.chunks_exact(2)
                    .flat_map(|pixel| over_ground([pixel[0], pixel[0], pixel[0], pixel[1]])),
            );
        }
        ColorType::Rgb => rgb.extend_from_slice(row),
        ColorType::Rgba => {
            rgb.extend(
                row.chunks_exact(4)
                    .flat_map(|pixel| over_ground([pixel[0], pixel[1], pixel[2], pixel[3]])),
            );
        }
    }
}

/// A PNG's chunks: kind and data. Ends where the file does, or a chunk is not whole.
struct Chunks<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Chunks<'a> {
    type Item = (&'a [u8; 4], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let length = u32::from_be_bytes(array(self.bytes, self.at)?) as usize;
        let kind = self.bytes.get(self.at + 4..)?.first_chunk()?;
        let data = self.bytes.get(self.at + 8..)?.get(..length)?;
        // Behind the data is their checksum.
        self.at += length + 12;
        Some((kind, data))
    }
}

fn corrupt(error: DecodingError) -> PictureError {
    match error {
        DecodingError::IoError(_) => damaged("it ends before its last row"),
        other => damaged(other.to_string()),
    }
}

fn damaged(reason: impl Into<String>) -> PictureError {
    PictureError::corrupt(Format::Png, reason)
}
