//! TIFF: an own reader, row by row, over the libraries that undo each compression.
//!
//! The `tiff` crate knows no palettes, no fax but Group 4, no chroma that is sampled more coarsely, and decodes a strip
//! as a whole, which may be all of the picture. Here a strip or a row of tiles is undone row by row, so that memory is
//! some rows whatever the file, except for JPEG within TIFF.
//!
//! The picture is the first page that does not say of itself that it is a reduced copy. Other pages are not looked at,
//! as is whatever lies behind the end of other files.

pub(crate) mod directory;
mod image;
mod lzw;
mod samples;
mod unpack;

use std::borrow::Cow;

use self::directory::{Structure, exif_of};
use self::image::Image;
pub(crate) use self::image::{COLOR_FILTER_ARRAY, LINEAR_RAW, is_reduced};
use self::samples::{Converter, undo_prediction};
use self::unpack::Unpacker;
use crate::canvas::{Canvas, Raster};
use crate::colour::EmbeddedProfile;
use crate::header::{Cost, Probe};
use crate::limits::Deadline;
use crate::{Format, PictureError};

/// Rows between two looks at the clock.
const ROWS_PER_CHECK: u32 = 16;
const FIXED_COST: u64 = 1 << 20;

/// Reads the directories.
pub(crate) fn probe(bytes: &[u8]) -> Result<Probe<'_>, PictureError> {
    let structure = Structure::open(bytes).ok_or_else(|| damaged("its header is malformed"))?;
    let (first, main) = image::main_directory(&structure)?;
    let image = Image::read(&structure, &main)?;
    let (width, height) = (image.width, image.height);
    // Unpacked rows, and two of colours.
    let rows = image.row_group_bytes().saturating_mul(2) + u64::from(width) * 8;
    let icc = image.profile.map(EmbeddedProfile::Whole);
    let ink_cost = match &icc {
        Some(profile) if image.has_inks() => profile.cost(),
        _ => 0,
    };
    let held = FIXED_COST
        .saturating_add(rows)
        .saturating_add(image.unpackers_cost())
        .saturating_add(ink_cost);
    Ok(Probe {
        width,
        height,
        largest_frame: (width, height),
        frames: 1,
        total_pixels: u64::from(width) * u64::from(height),
        scans: 1,
        orientation: None,
        exif: Some(Cow::Owned(exif_of(
            &structure,
            first.as_ref().unwrap_or(&main),
        ))),
        cost: Cost::by_edge(|edge| held.saturating_add(Canvas::cost(width, height, edge, false))),
        icc: if image.has_inks() { None } else { icc },
    })
}

/// Decodes the picture.
pub(crate) fn decode(
    bytes: &[u8],
    long_edge: u32,
    deadline: &Deadline,
) -> Result<Raster, PictureError> {
    let structure = Structure::open(bytes).ok_or_else(|| damaged("its header is malformed"))?;
    let (_, main) = image::main_directory(&structure)?;
    let image = Image::read(&structure, &main)?;
    let mut converter = Converter::new(&structure, &main, &image)?;
    let mut canvas = Canvas::in_rows(image.width, image.height, long_edge);
    let mut groups = Rows::new(&structure, &image);
    let mut rgb = Vec::new();
    let mut drawn = 0_u32;
    while drawn < image.height {
        let group = groups.next()?;
        for line in 0..image.rows_in_group().min(image.height - drawn) {
            rgb.clear();
            converter.append(group, line, &mut rgb);
            canvas.push_row(&rgb);
            drawn += 1;
            if drawn.is_multiple_of(ROWS_PER_CHECK) {
                deadline.check()?;
            }
        }
    }
    canvas.finish(damaged("rows are missing"))
}

/// The picture's rows, unpacked: of a row of tiles, or of one strip, at a time.
struct Rows<'a, 'b> {
    structure: &'b Structure<'a>,
    image: &'b Image<'a>,
    /// Of the row of chunks being read: for each plane, those from left to right.
    chunks: Vec<Vec<Unpacker<'a>>>,
    /// Rows of the picture that were read.
    read: u32,
    /// For each plane, what was unpacked last.
    planes: Vec<Vec<u8>>,
}

impl<'a, 'b> Rows<'a, 'b> {
    fn new(structure: &'b Structure<'a>, image: &'b Image<'a>) -> Self {
        let bytes = image.chunk_row_bytes() * image.chunks_across() as usize;
        Self {
            structure,
            image,
            chunks: Vec::new(),
            read: 0,
            planes: vec![vec![0; bytes]; image.planes()],
        }
    }

    /// The next group of rows that are stored together: one row, unless chroma is shared between rows.
    fn next(&mut self) -> Result<&[Vec<u8>], PictureError> {
        if self.read.is_multiple_of(self.image.chunk_height) {
            self.open(self.read / self.image.chunk_height)?;
        }
        let width = self.image.chunk_row_bytes();
        for (plane, chunks) in self.planes.iter_mut().zip(&mut self.chunks) {
            for (part, chunk) in plane.chunks_exact_mut(width).zip(chunks) {
                chunk.fill(part)?;
                undo_prediction(self.image, part);
            }
        }
        self.read += self.image.rows_in_group();
        Ok(&self.planes)
    }

    /// Begins a row of chunks.
    fn open(&mut self, row: u32) -> Result<(), PictureError> {
        // Those of the row before are over, before memory is taken for others.
        self.chunks.clear();
        let across = self.image.chunks_across();
        for plane in 0..self.image.planes() {
            let first = self.image.first_chunk(plane, row);
            let chunks = (0..across)
                .map(|column| {
                    let data = self
                        .image
                        .chunk(self.structure, first + u64::from(column))?;
                    let rows = self.image.rows_of_chunk(row);
                    Unpacker::open(self.image, data, rows)
                })
                .collect::<Result<_, _>>()?;
            self.chunks.push(chunks);
        }
        Ok(())
    }
}

fn damaged(reason: impl Into<String>) -> PictureError {
    PictureError::corrupt(Format::Tiff, reason)
}

fn unsupported(what: &'static str) -> PictureError {
    PictureError::UnsupportedFormat { what }
}
