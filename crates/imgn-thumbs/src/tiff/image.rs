//! What a directory says of its picture: how its samples are stored, checked before anything is unpacked.

use super::directory::{Directory, Structure, tag};
use super::{damaged, unsupported};
use crate::PictureError;

/// What Adobe's digital negative and camera makers use for values of the sensor.
pub(crate) const COLOR_FILTER_ARRAY: u64 = 32_803;
pub(crate) const LINEAR_RAW: u64 = 34_892;
/// More samples a pixel than any picture has.
const MAX_SAMPLES: u64 = 32;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    /// Fax in one dimension: Group 3, or without ends of lines and each row beginning with a byte.
    Fax {
        is_aligned: bool,
    },
    Fax4,
    Lzw,
    Jpeg,
    Deflate,
    PackBits,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Grey, or black and white.
    Grey {
        zero_is_white: bool,
    },
    Rgb,
    Palette,
    Inks,
    /// CIE L*a*b*; whether the last two are signed numbers, or moved up by half their range.
    Lab {
        is_signed: bool,
    },
    /// Luma and chroma; how many pixels across and down share the latter.
    YCbCr {
        across: u32,
        down: u32,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Whole numbers. Signed ones are shown as if they were not, as libtiff does.
    Whole,
    Float,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Prediction {
    None,
    /// From the pixel before.
    Horizontal,
    /// The same, of the bytes of floats.
    Float,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Alpha {
    /// Colours are as they are.
    Straight,
    /// Colours were multiplied by it.
    Multiplied,
}

/// A picture that can be decoded.
#[derive(Debug)]
pub(super) struct Image<'a> {
    pub(super) width: u32,
    pub(super) height: u32,
    /// Of each sample.
    pub(super) bits: u8,
    pub(super) kind: Kind,
    /// Samples a pixel, with those that are no colour.
    pub(super) samples: u8,
    pub(super) meaning: Meaning,
    /// What the sample behind the colours is, if it is opacity.
    pub(super) alpha: Option<Alpha>,
    pub(super) is_planar: bool,
    pub(super) compression: Compression,
    pub(super) prediction: Prediction,
    /// Whether the bits of each byte are in reverse.
    pub(super) is_mirrored: bool,
    pub(super) jpeg_tables: Option<&'a [u8]>,
    /// Of a tile; or the picture's width, and the rows of a strip.
    pub(super) chunk_width: u32,
    pub(super) chunk_height: u32,
    pub(super) profile: Option<&'a [u8]>,
    offsets: super::directory::Entry,
    lengths: Option<super::directory::Entry>,
    /// The longest chunk, as far as the first ones show.
    longest_chunk: u64,
    pub(super) order: super::directory::Order,
}

/// The first directory, and the one of the picture if that is another one.
pub(super) fn main_directory(
    structure: &Structure<'_>,
) -> Result<(Option<Directory>, Directory), PictureError> {
    let is_reduced = |directory: &Directory| is_reduced(structure, directory);
    let mut chain = structure.chain();
    let first = chain
        .next()
        .ok_or_else(|| damaged("its first directory is missing"))?;
    if !is_reduced(&first) {
        return Ok((None, first));
    }
    match chain.find(|directory| !is_reduced(directory)) {
        Some(main) => Ok((Some(first), main)),
        None => Ok((None, first)),
    }
}

/// Whether a directory says of its picture that it is a smaller copy of another.
pub(crate) fn is_reduced(structure: &Structure<'_>, directory: &Directory) -> bool {
    directory
        .number(structure, tag::NEW_SUBFILE_TYPE)
        .is_some_and(|kind| kind & 1 != 0)
}

impl<'a> Image<'a> {
    pub(super) fn read(
        structure: &Structure<'a>,
        directory: &Directory,
    ) -> Result<Self, PictureError> {
        let number = |tag| directory.number(structure, tag);
        let edge = |tag| {
            number(tag)
                .and_then(|edge| u32::try_from(edge).ok())
                .ok_or_else(|| damaged("it has no width or no height"))
        };
        let (width, height) = (edge(tag::IMAGE_WIDTH)?, edge(tag::IMAGE_LENGTH)?);
        if width == 0 || height == 0 {
            return Err(damaged("it has no width or no height"));
        }
        let samples = number(tag::SAMPLES_PER_PIXEL).unwrap_or(1);
        // Checked: at most 32.
        let samples = match samples {
            1..=MAX_SAMPLES => samples as u8,
            _ => return Err(unsupported("TIFF with more than 32 samples a pixel")),
        };
        let compression = compression(structure, directory)?;
        let meaning = meaning(structure, directory, compression)?;
        let colours = meaning.samples();
        if samples < colours {
            return Err(damaged("it has fewer samples than colours"));
        }
        let bits = bits(structure, directory, samples)?;
        let is_planar = number(tag::PLANAR_CONFIGURATION) == Some(2) && samples > 1;
        let (chunk_width, chunk_height, offsets, lengths) =
            chunks(structure, directory, width, height)?;
        let mut image = Self {
            width,
            height,
            bits,
            kind: kind(structure, directory),
            samples,
            meaning,
            alpha: alpha(structure, directory, samples, colours),
            is_planar,
            compression,
            prediction: match number(tag::PREDICTOR) {
                Some(2) => Prediction::Horizontal,
                Some(3) => Prediction::Float,
                _ => Prediction::None,
            },
            is_mirrored: number(tag::FILL_ORDER) == Some(2) && compression != Compression::Jpeg,
            jpeg_tables: directory
                .entry(tag::JPEG_TABLES)
                .and_then(|entry| structure.data(entry)),
            chunk_width,
            chunk_height,
            profile: directory
                .entry(tag::ICC_PROFILE)
                .and_then(|entry| structure.data(entry)),
            offsets,
            lengths,
            longest_chunk: 0,
            order: structure.order(),
        };
        image.check()?;
        let chunks = image.chunk_count();
        if offsets.count < chunks {
            return Err(damaged("it lists fewer strips or tiles than it needs"));
        }
        // Which strip is of which plane is known by counting alone.
        let per_plane = u64::from(image.chunks_across()) * u64::from(image.chunks_down());
        if is_planar && offsets.count > per_plane * u64::from(samples) {
            return Err(damaged("it lists more strips or tiles than it needs"));
        }
        // As many as are unpacked at the same time, and more.
        for index in 0..chunks.min(1024) {
            let length = image.chunk_length(structure, index).unwrap_or(0);
            image.longest_chunk = image.longest_chunk.max(length);
        }
        Ok(image)
    }

    /// What cannot be, and what is not taken.
    fn check(&self) -> Result<(), PictureError> {
        let is_known = matches!(
            (self.meaning, self.kind, self.bits),
            (
                Meaning::Grey { .. },
                Kind::Whole,
                1 | 2 | 4 | 8 | 12 | 16 | 32
            ) | (Meaning::Rgb, Kind::Whole, 8 | 12 | 16 | 32)
                | (Meaning::Grey { .. } | Meaning::Rgb, Kind::Float, 16 | 32)
                | (Meaning::Palette, Kind::Whole, 1 | 2 | 4 | 8)
                | (Meaning::Inks | Meaning::Lab { .. }, Kind::Whole, 8 | 16)
                | (Meaning::YCbCr { .. }, Kind::Whole, 8)
        );
        if !is_known {
            return Err(unsupported("TIFF with samples of this size"));
        }
        if let Meaning::YCbCr { across, down } = self.meaning
            && (across, down) != (1, 1)
        {
            if self.is_planar || self.samples != 3 || self.chunk_width < self.width {
                return Err(unsupported("TIFF with chroma stored in this way"));
            }
            if !self.chunk_height.is_multiple_of(down) && self.chunk_height < self.height {
                return Err(damaged("its strips end within a row of chroma"));
            }
        }
        match self.compression {
            Compression::Fax { .. } | Compression::Fax4
                if (self.bits, self.samples_together()) != (1, 1)
                    || self.chunk_width > u32::from(u16::MAX) =>
            {
                Err(unsupported("TIFF with a fax of this kind"))
            }
            Compression::Jpeg
                if self.bits != 8 || !matches!(self.samples_together(), 1 | 3 | 4) =>
            {
                Err(unsupported("TIFF with a JPEG of this kind"))
            }
            _ => Ok(()),
        }?;
        match self.prediction {
            Prediction::Horizontal if !matches!(self.bits, 8 | 16 | 32) => {
                Err(unsupported("TIFF with predicted samples of this size"))
            }
            Prediction::Float if self.kind != Kind::Float => {
                Err(damaged("it predicts floats and has none"))
            }
            _ => Ok(()),
        }?;
        let row_bits =
            u64::from(self.chunk_width) * u64::from(self.samples_together()) * u64::from(self.bits);
        if self.chunks_across() > 1 && !row_bits.is_multiple_of(8) {
            return Err(unsupported("TIFF with tiles of this width"));
        }
        // What is multiplied from here on fits: 32 bits by 32 samples of up to 32 bits.
        usize::try_from(row_bits / 8)
            .ok()
            .filter(|&bytes| bytes < 1 << 31)
            .map(|_| ())
            .ok_or_else(|| damaged("its rows are too long"))
    }

    pub(super) fn has_inks(&self) -> bool {
        self.meaning == Meaning::Inks
    }

    /// Planes that are read: those of colours and opacity.
    pub(super) fn planes(&self) -> usize {
        if self.is_planar {
            usize::from(self.meaning.samples()) + usize::from(self.alpha.is_some())
        } else {
            1
        }
    }

    /// Samples that are stored together for a pixel.
    pub(super) fn samples_together(&self) -> u8 {
        if self.is_planar { 1 } else { self.samples }
    }

    /// Rows of the picture that are stored together.
    pub(super) fn rows_in_group(&self) -> u32 {
        match self.shared_chroma() {
            Some((_, down)) => down,
            None => 1,
        }
    }

    /// How many pixels share chroma in what comes out of the unpacker: JPEG undoes that by itself.
    pub(super) fn shared_chroma(&self) -> Option<(u32, u32)> {
        match self.meaning {
            Meaning::YCbCr { across, down }
                if (across, down) != (1, 1) && self.compression != Compression::Jpeg =>
            {
                Some((across, down))
            }
            _ => None,
        }
    }

    pub(super) fn chunks_across(&self) -> u32 {
        self.width.div_ceil(self.chunk_width)
    }

    fn chunks_down(&self) -> u32 {
        self.height.div_ceil(self.chunk_height)
    }

    fn chunk_count(&self) -> u64 {
        u64::from(self.chunks_across()) * u64::from(self.chunks_down()) * self.planes() as u64
    }

    /// The first chunk of a row of them.
    pub(super) fn first_chunk(&self, plane: usize, row: u32) -> u64 {
        let rows = plane as u64 * u64::from(self.chunks_down()) + u64::from(row);
        rows * u64::from(self.chunks_across())
    }

    /// The rows that a chunk of a row of them has: the last strip is shorter, tiles are not.
    pub(super) fn rows_of_chunk(&self, row: u32) -> u32 {
        let is_strip = self.chunk_width == self.width;
        let rest = self.height - row.saturating_mul(self.chunk_height).min(self.height);
        if is_strip {
            self.chunk_height.min(rest)
        } else {
            self.chunk_height
        }
    }

    /// Bytes that the unpacker gives at once for one chunk.
    pub(super) fn chunk_row_bytes(&self) -> usize {
        if let Some((across, down)) = self.shared_chroma() {
            let units = self.chunk_width.div_ceil(across) as usize;
            return units * (across as usize * down as usize + 2);
        }
        let samples = self.chunk_width as usize * usize::from(self.samples_together());
        (samples * usize::from(self.bits)).div_ceil(8)
    }

    /// Bytes that are unpacked at once, of all chunks in a row and all planes.
    pub(super) fn row_group_bytes(&self) -> u64 {
        (self.chunk_row_bytes() as u64)
            .saturating_mul(self.chunks_across().into())
            .saturating_mul(self.planes() as u64)
    }

    /// What the unpackers of a row of chunks hold together.
    pub(super) fn unpackers_cost(&self) -> u64 {
        let chunk_pixels =
            u64::from(self.chunk_width) * u64::from(self.chunk_height.min(self.height));
        let each = match self.compression {
            Compression::None | Compression::PackBits => 256,
            // Tables, and a window.
            Compression::Lzw | Compression::Deflate => 128 << 10,
            // Changes of colour within two rows. Data may claim more than a row has, two bytes for each bit.
            Compression::Fax { .. } => 1 << 20,
            Compression::Fax4 => (4 << 10) + self.longest_chunk * 32,
            // All of it: pixels, the decoder, and the file made for it.
            Compression::Jpeg => {
                chunk_pixels * u64::from(self.samples_together())
                    + (1 << 20)
                    + u64::from(self.chunk_width) * 256
                    + self.longest_chunk
                    + self.jpeg_tables.map_or(0, <[u8]>::len) as u64
            }
        };
        let mirrored = if self.is_mirrored {
            self.longest_chunk
        } else {
            0
        };
        (each + mirrored)
            .saturating_mul(self.chunks_across().into())
            .saturating_mul(self.planes() as u64)
    }

    /// The data of a chunk.
    pub(super) fn chunk(
        &self,
        structure: &Structure<'a>,
        index: u64,
    ) -> Result<&'a [u8], PictureError> {
        let offset = structure
            .number(&self.offsets, index)
            .ok_or_else(|| damaged("its list of strips or tiles is damaged"))?;
        let length = self
            .chunk_length(structure, index)
            .ok_or_else(|| damaged("its list of strips or tiles is damaged"))?;
        if length > self.longest_chunk.max(1 << 20) && index >= 1024 {
            return Err(damaged("its strips or tiles differ too much in length"));
        }
        structure
            .slice(offset, length)
            .ok_or_else(|| damaged("it is cut off"))
    }

    fn chunk_length(&self, structure: &Structure<'_>, index: u64) -> Option<u64> {
        let plain = || {
            let row = (index / u64::from(self.chunks_across())) % u64::from(self.chunks_down());
            let groups = self
                .rows_of_chunk(row as u32)
                .div_ceil(self.rows_in_group());
            self.chunk_row_bytes() as u64 * u64::from(groups)
        };
        if self.compression == Compression::None {
            // Some writers say something else.
            return Some(plain());
        }
        structure.number(self.lengths.as_ref()?, index)
    }
}

impl Meaning {
    /// The samples that make a colour.
    pub(super) fn samples(self) -> u8 {
        match self {
            Self::Grey { .. } | Self::Palette => 1,
            Self::Rgb | Self::YCbCr { .. } | Self::Lab { .. } => 3,
            Self::Inks => 4,
        }
    }
}

fn compression(
    structure: &Structure<'_>,
    directory: &Directory,
) -> Result<Compression, PictureError> {
    Ok(match directory.number(structure, tag::COMPRESSION) {
        None | Some(0 | 1) => Compression::None,
        Some(2) => Compression::Fax { is_aligned: true },
        // In two dimensions, or not compressed at all, is what no writer seems to make.
        Some(3) if directory.number(structure, tag::T4_OPTIONS).unwrap_or(0) & 3 == 0 => {
            Compression::Fax { is_aligned: false }
        }
        Some(4) => Compression::Fax4,
        Some(5) => Compression::Lzw,
        Some(7) => Compression::Jpeg,
        Some(8 | 32_946) => Compression::Deflate,
        Some(32_773) => Compression::PackBits,
        Some(3) => return Err(unsupported("TIFF with a fax of this kind")),
        Some(6) => return Err(unsupported("TIFF with old-style JPEG")),
        Some(_) => return Err(unsupported("TIFF compressed in this way")),
    })
}

fn meaning(
    structure: &Structure<'_>,
    directory: &Directory,
    compression: Compression,
) -> Result<Meaning, PictureError> {
    let number = |tag| directory.number(structure, tag);
    Ok(match number(tag::PHOTOMETRIC_INTERPRETATION) {
        // A fax is black on white; of others the first writers said nothing.
        None | Some(0) => Meaning::Grey {
            zero_is_white: true,
        },
        Some(1) => Meaning::Grey {
            zero_is_white: false,
        },
        Some(2) => Meaning::Rgb,
        Some(3) => Meaning::Palette,
        // A mask, which shows what is 1.
        Some(4) => Meaning::Grey {
            zero_is_white: false,
        },
        Some(5) => match number(tag::INK_SET) {
            None | Some(1) => Meaning::Inks,
            Some(_) => return Err(unsupported("TIFF with inks of other colours than four")),
        },
        Some(6) => {
            let entry = directory.entry(tag::YCBCR_SUB_SAMPLING);
            let factor = |index| {
                entry
                    .and_then(|entry| structure.number(entry, index))
                    .unwrap_or(2)
            };
            match (factor(0), factor(1)) {
                _ if compression == Compression::Jpeg => Meaning::YCbCr { across: 1, down: 1 },
                (across @ (1 | 2 | 4), down @ (1 | 2 | 4)) => Meaning::YCbCr {
                    across: across as u32,
                    down: down as u32,
                },
                _ => return Err(damaged("its chroma is sampled in an impossible way")),
            }
        }
        Some(8) => Meaning::Lab { is_signed: true },
        Some(9) => Meaning::Lab { is_signed: false },
        Some(10) => return Err(unsupported("TIFF in the colours of a fax")),
        Some(COLOR_FILTER_ARRAY | LINEAR_RAW) => {
            return Err(unsupported("TIFF with values of a camera's sensor"));
        }
        Some(_) => return Err(unsupported("TIFF in colours of this kind")),
    })
}

fn bits(structure: &Structure<'_>, directory: &Directory, samples: u8) -> Result<u8, PictureError> {
    let Some(entry) = directory.entry(tag::BITS_PER_SAMPLE) else {
        return Ok(1);
    };
    let first = structure
        .number(entry, 0)
        .and_then(|bits| u8::try_from(bits).ok())
        .ok_or_else(|| damaged("its samples have no size"))?;
    let is_uniform = (1..entry.count.min(samples.into()))
        .all(|index| structure.number(entry, index) == Some(first.into()));
    if is_uniform {
        Ok(first)
    } else {
        Err(unsupported("TIFF with samples of different sizes"))
    }
}

fn kind(structure: &Structure<'_>, directory: &Directory) -> Kind {
    match directory.number(structure, tag::SAMPLE_FORMAT) {
        Some(3) => Kind::Float,
        _ => Kind::Whole,
    }
}

fn alpha(
    structure: &Structure<'_>,
    directory: &Directory,
    samples: u8,
    colours: u8,
) -> Option<Alpha> {
    if samples <= colours {
        return None;
    }
    match directory.number(structure, tag::EXTRA_SAMPLES) {
        Some(1) => Some(Alpha::Multiplied),
        Some(2) => Some(Alpha::Straight),
        Some(_) => None,
        // Some writers of RGBA do not say what the fourth sample is.
        None => (samples == 4 && colours == 3).then_some(Alpha::Straight),
    }
}

type Chunks = (
    u32,
    u32,
    super::directory::Entry,
    Option<super::directory::Entry>,
);

/// Width, height, offsets and lengths of strips or tiles.
fn chunks(
    structure: &Structure<'_>,
    directory: &Directory,
    width: u32,
    height: u32,
) -> Result<Chunks, PictureError> {
    let number = |tag| {
        directory
            .number(structure, tag)
            .map(|number| u32::try_from(number).unwrap_or(u32::MAX))
    };
    let entry = |tag| directory.entry(tag).copied();
    let (chunk, offsets, lengths) = match entry(tag::TILE_OFFSETS) {
        Some(offsets) => (
            number(tag::TILE_WIDTH).zip(number(tag::TILE_LENGTH)),
            Some(offsets),
            entry(tag::TILE_BYTE_COUNTS),
        ),
        None => (
            // Without a number, or with the largest one: all of it is one strip.
            Some((
                width,
                number(tag::ROWS_PER_STRIP).unwrap_or(height).min(height),
            )),
            entry(tag::STRIP_OFFSETS),
            entry(tag::STRIP_BYTE_COUNTS),
        ),
    };
    match (chunk, offsets) {
        (Some((width @ 1.., height @ 1..)), Some(offsets)) => Ok((width, height, offsets, lengths)),
        _ => Err(damaged("its strips or tiles are missing")),
    }
}
