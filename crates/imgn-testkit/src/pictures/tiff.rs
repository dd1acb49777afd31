//! TIFF, written by hand: in every way to store it that the pipeline takes, and as camera raws are built.

use std::io::Write;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use image::{DynamicImage, RgbImage};
use weezl::BitOrder;

use super::encode::{half_transparent, indexed, inverse, jpeg_of, oriented_jpeg, palette};
use super::scene;

/// How samples mean colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TiffColours {
    /// One bit, of which zero is white: the scene's brighter half.
    Bilevel,
    /// Grey, 8 bits.
    Grey,
    /// Grey, 16 bits.
    Grey16,
    /// Colours, 8 bits.
    Rgb,
    /// Colours, 16 bits.
    Rgb16,
    /// Colours, floats of 32 bits.
    RgbFloat,
    /// The right half is transparent.
    Rgba,
    /// 216 colours, 8 bits.
    Palette,
    /// Four inks.
    Inks,
    /// Luma, and chroma shared by two times two pixels.
    YCbCr,
}

/// How strips and tiles are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TiffCompression {
    /// Not.
    None,
    /// LZW.
    Lzw,
    /// LZW of differences.
    PredictedLzw,
    /// Deflate.
    Deflate,
    /// Deflate of differences.
    PredictedDeflate,
    /// PackBits.
    PackBits,
    /// JPEG: of colours only.
    Jpeg,
}

/// A way to store the scene.
#[derive(Debug, Clone, Copy)]
pub struct Tiff {
    /// Whether numbers begin with their most significant byte.
    pub is_big_endian: bool,
    /// Whether offsets have 64 bits.
    pub is_big: bool,
    /// What samples mean.
    pub colours: TiffColours,
    /// How they are compressed.
    pub compression: TiffCompression,
    /// Edges of tiles; without them there are strips of 16 rows.
    pub tile: Option<(u32, u32)>,
    /// Whether each sample has strips of its own.
    pub is_planar: bool,
    /// EXIF's orientation, 1 to 8.
    pub orientation: u16,
}

impl Default for Tiff {
    fn default() -> Self {
        Self {
            is_big_endian: false,
            is_big: false,
            colours: TiffColours::Rgb,
            compression: TiffCompression::None,
            tile: None,
            is_planar: false,
            orientation: 1,
        }
    }
}

impl Tiff {
    /// The file of a scene that is `width` by `height` once it is turned upright. It names a camera, and a time, as
    /// [`oriented_jpeg`](super::oriented_jpeg) does.
    #[must_use]
    pub fn of_scene(&self, width: u32, height: u32) -> Vec<u8> {
        self.write(width, height, &[])
    }

    /// The same with a colour profile.
    #[must_use]
    pub fn with_profile(&self, picture: &RgbImage, profile: &[u8]) -> Vec<u8> {
        self.file(picture, &[(34_675, Value::Bytes(profile.to_vec()))])
    }

    /// The file of [`Self::of_scene`], which also tells where it was taken: in GPS data, and in XMP.
    #[must_use]
    pub fn located(&self, width: u32, height: u32) -> Vec<u8> {
        let location = [(34_853, Value::Location), (700, Value::Bytes(XMP.to_vec()))];
        self.write(width, height, &location)
    }

    fn write(&self, width: u32, height: u32, further: &[(u16, Value)]) -> Vec<u8> {
        let mut picture = DynamicImage::ImageRgb8(scene(width, height));
        picture.apply_orientation(inverse(self.orientation));
        self.file(&picture.into_rgb8(), further)
    }

    fn file(&self, picture: &RgbImage, further: &[(u16, Value)]) -> Vec<u8> {
        let (width, height) = picture.dimensions();
        let chunks: Vec<Vec<u8>> = self
            .planes(picture)
            .iter()
            .flat_map(|plane| self.chunks(plane, width, height))
            .collect();
        let (bits, samples, meaning, format) = self.colours.layout();
        let mut writer = Writer::new(self.is_big_endian, self.is_big);
        let offsets: Vec<u32> = chunks.iter().map(|chunk| writer.data(chunk)).collect();
        let lengths = chunks.iter().map(|chunk| chunk.len() as u32).collect();
        let exif = writer.directory(&[
            (0x9003, Value::Text("2023:07:01 12:34:56")),
            (0x9011, Value::Text("+02:00")),
        ]);
        let mut entries = vec![
            (256, Value::Long(vec![width])),
            (257, Value::Long(vec![height])),
            (258, Value::Short(vec![bits; usize::from(samples)])),
            (259, Value::Short(vec![self.compression.number()])),
            (262, Value::Short(vec![meaning])),
            (271, Value::Text("imgn")),
            (272, Value::Text("imgn Test 1")),
            (274, Value::Short(vec![self.orientation])),
            (277, Value::Short(vec![samples])),
            (284, Value::Short(vec![if self.is_planar { 2 } else { 1 }])),
            (
                317,
                Value::Short(vec![if self.compression.predicts() { 2 } else { 1 }]),
            ),
            (339, Value::Short(vec![format; usize::from(samples)])),
            (0x8769, Value::Long(vec![exif])),
        ];
        match self.tile {
            Some((width, height)) => entries.extend([
                (322, Value::Long(vec![width])),
                (323, Value::Long(vec![height])),
                (324, Value::Long(offsets)),
                (325, Value::Long(lengths)),
            ]),
            None => entries.extend([
                (273, Value::Long(offsets)),
                (278, Value::Long(vec![STRIP])),
                (279, Value::Long(lengths)),
            ]),
        }
        match self.colours {
            TiffColours::Palette => {
                let palette = palette();
                let mut map = vec![0_u16; 3 * 256];
                for (index, colour) in palette.chunks_exact(3).enumerate() {
                    for channel in 0..3 {
                        map[channel * 256 + index] = u16::from(colour[channel]) * 257;
                    }
                }
                entries.push((320, Value::Short(map)));
            }
            TiffColours::Rgba => entries.push((338, Value::Short(vec![2]))),
            TiffColours::YCbCr => entries.push((530, Value::Short(vec![2, 2]))),
            _ => {}
        }
        entries.extend(further.iter().cloned());
        let first = writer.directory(&entries);
        writer.finish(first)
    }

    /// The samples of all pixels, of 8 bits or more, in the file's byte order: all together, or for each sample.
    fn planes(&self, picture: &RgbImage) -> Vec<Vec<u8>> {
        let (bits, samples, ..) = self.colours.layout();
        let together = self.samples(picture);
        if !self.is_planar {
            return vec![together];
        }
        let (bytes, samples) = (usize::from(bits / 8), usize::from(samples));
        (0..samples)
            .map(|sample| {
                together
                    .chunks_exact(bytes)
                    .skip(sample)
                    .step_by(samples)
                    .flatten()
                    .copied()
                    .collect()
            })
            .collect()
    }

    fn samples(&self, picture: &RgbImage) -> Vec<u8> {
        let wide = |value: u8| {
            let value = u16::from(value) * 257;
            if self.is_big_endian {
                value.to_be_bytes()
            } else {
                value.to_le_bytes()
            }
        };
        let grey = || {
            DynamicImage::ImageRgb8(picture.clone())
                .into_luma8()
                .into_raw()
        };
        let (width, height) = picture.dimensions();
        match self.colours {
            TiffColours::Bilevel => grey().iter().map(|&value| u8::from(value < 128)).collect(),
            TiffColours::Grey => grey(),
            TiffColours::Grey16 => grey().into_iter().flat_map(wide).collect(),
            TiffColours::Rgb | TiffColours::YCbCr => picture.as_raw().clone(),
            TiffColours::Rgb16 => picture.as_raw().iter().copied().flat_map(wide).collect(),
            TiffColours::RgbFloat => picture
                .as_raw()
                .iter()
                .flat_map(|&value| {
                    let value = f32::from(value) / 255.0;
                    if self.is_big_endian {
                        value.to_be_bytes()
                    } else {
                        value.to_le_bytes()
                    }
                })
                .collect(),
            TiffColours::Rgba => half_transparent(width, height).into_raw(),
            TiffColours::Palette => indexed(picture),
            // Without black, inks are what the colours lack.
            TiffColours::Inks => picture
                .pixels()
                .flat_map(|pixel| [255 - pixel[0], 255 - pixel[1], 255 - pixel[2], 0])
                .collect(),
        }
    }

    /// A plane cut into compressed strips or tiles.
    fn chunks(&self, plane: &[u8], width: u32, height: u32) -> Vec<Vec<u8>> {
        let pixel = plane.len() / (width * height) as usize;
        let (chunk_width, chunk_height) = self.tile.unwrap_or((width, STRIP));
        let mut chunks = Vec::new();
        for top in (0..height).step_by(chunk_height as usize) {
            for left in (0..width).step_by(chunk_width as usize) {
                // Tiles are whole, and repeat the picture's edge; the last strip is not.
                let rows = if self.tile.is_some() {
                    chunk_height
                } else {
                    chunk_height.min(height - top)
                };
                let mut samples = Vec::new();
                for y in top..top + rows {
                    for x in left..left + chunk_width {
                        let at = (y.min(height - 1) * width + x.min(width - 1)) as usize * pixel;
                        samples.extend(&plane[at..at + pixel]);
                    }
                }
                chunks.push(self.compressed(samples, chunk_width, rows));
            }
        }
        chunks
    }

    fn compressed(&self, mut samples: Vec<u8>, width: u32, rows: u32) -> Vec<u8> {
        if self.compression == TiffCompression::Jpeg {
            let picture = RgbImage::from_raw(width, rows, samples).unwrap();
            return jpeg_of(&picture);
        }
        match self.colours {
            TiffColours::Bilevel => samples = bits(&samples, width as usize),
            TiffColours::YCbCr => samples = luma_and_chroma(&samples, width as usize),
            _ => {}
        }
        let row = samples.len() / rows as usize;
        if self.compression.predicts() {
            let (bits, count, ..) = self.colours.layout();
            let distance = if self.is_planar {
                1
            } else {
                usize::from(count)
            };
            for row in samples.chunks_exact_mut(row) {
                predict(row, usize::from(bits / 8), distance, self.is_big_endian);
            }
        }
        match self.compression {
            TiffCompression::None | TiffCompression::Jpeg => samples,
            TiffCompression::Lzw | TiffCompression::PredictedLzw => {
                weezl::encode::Encoder::with_tiff_size_switch(BitOrder::Msb, 8)
                    .encode(&samples)
                    .unwrap()
            }
            TiffCompression::Deflate | TiffCompression::PredictedDeflate => {
                let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
                encoder.write_all(&samples).unwrap();
                encoder.finish().unwrap()
            }
            TiffCompression::PackBits => samples.chunks(row).flat_map(pack_bits).collect(),
        }
    }
}

/// A raw as Nikon, Sony and others build it, made by hand: a first directory that names the camera, and a second one
/// within it that leads to a JPEG. Where the values of a sensor would be is nothing. It tells where it was taken, and so
/// do the EXIF data of the preview.
#[must_use]
pub fn raw(width: u32, height: u32, orientation: u16) -> Vec<u8> {
    let mut picture = DynamicImage::ImageRgb8(scene(width, height));
    picture.apply_orientation(inverse(orientation));
    let mut writer = Writer::new(true, false);
    let preview = writer.data(&jpeg_of(&picture.into_rgb8()));
    let length = writer.file.len() as u32 - preview;
    let within = writer.directory(&[
        (259, Value::Short(vec![6])),
        (513, Value::Long(vec![preview])),
        (514, Value::Long(vec![length])),
    ]);
    let first = writer.directory(&[
        (254, Value::Long(vec![1])),
        (271, Value::Text("imgn")),
        (272, Value::Text("imgn Test 1")),
        (274, Value::Short(vec![orientation])),
        (330, Value::Long(vec![within])),
        (700, Value::Bytes(XMP.to_vec())),
        (34_853, Value::Location),
    ]);
    writer.finish(first)
}

/// A raw as Fujifilm builds it, made by hand: a header that leads to a JPEG with EXIF data.
#[must_use]
pub fn fujifilm_raw(width: u32, height: u32, orientation: u16) -> Vec<u8> {
    let preview = oriented_jpeg(width, height, orientation);
    let mut file = b"FUJIFILMCCD-RAW 0201FF383501imgn Test 1".to_vec();
    file.resize(84, 0);
    file.extend(148_u32.to_be_bytes());
    file.extend((preview.len() as u32).to_be_bytes());
    file.resize(148, 0);
    file.extend(preview);
    file.extend([0x5a; 100]);
    file
}

/// What tells a location, and what does not.
const XMP: &[u8] = b"<x:xmpmeta xmlns:x=\"adobe:ns:meta/\"><r:D exif:GPSLatitude=\"48,7.5N\" tiff:Make=\"imgn\"/></x:xmpmeta>";
/// The seconds of latitude of [`Value::Location`]: a number that is nowhere else.
pub const SECRET_SECONDS: u32 = 0x5ec2_e7f1;

const STRIP: u32 = 16;

impl TiffColours {
    /// Bits a sample, samples, photometric interpretation, sample format.
    fn layout(self) -> (u16, u16, u16, u16) {
        match self {
            Self::Bilevel => (1, 1, 0, 1),
            Self::Grey => (8, 1, 1, 1),
            Self::Grey16 => (16, 1, 1, 1),
            Self::Rgb => (8, 3, 2, 1),
            Self::Rgb16 => (16, 3, 2, 1),
            Self::RgbFloat => (32, 3, 2, 3),
            Self::Rgba => (8, 4, 2, 1),
            Self::Palette => (8, 1, 3, 1),
            Self::Inks => (8, 4, 5, 1),
            Self::YCbCr => (8, 3, 6, 1),
        }
    }
}

impl TiffCompression {
    fn number(self) -> u16 {
        match self {
            Self::None => 1,
            Self::Lzw | Self::PredictedLzw => 5,
            Self::Jpeg => 7,
            Self::Deflate | Self::PredictedDeflate => 8,
            Self::PackBits => 32_773,
        }
    }

    fn predicts(self) -> bool {
        matches!(self, Self::PredictedLzw | Self::PredictedDeflate)
    }
}

/// A bilevel, uncompressed TIFF of a few hundred bytes that claims any size.
#[must_use]
pub fn claimed_tiff(width: u32, height: u32) -> Vec<u8> {
    let mut writer = Writer::new(false, false);
    let strip = writer.data(&[0; 64]);
    let first = writer.directory(&[
        (256, Value::Long(vec![width])),
        (257, Value::Long(vec![height])),
        (259, Value::Short(vec![8])),
        (262, Value::Short(vec![1])),
        (273, Value::Long(vec![strip])),
        (279, Value::Long(vec![64])),
    ]);
    writer.finish(first)
}

/// The value of an entry.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Bytes(Vec<u8>),
    Text(&'static str),
    Short(Vec<u16>),
    Long(Vec<u32>),
    /// Numerators and denominators in turn.
    Fractions(Vec<u32>),
    /// The offset of a GPS directory, which is written with it.
    Location,
}

/// A TIFF structure that is being written: data and directories come before what points to them.
pub(super) struct Writer {
    file: Vec<u8>,
    is_big_endian: bool,
    is_big: bool,
}

impl Writer {
    pub(super) fn new(is_big_endian: bool, is_big: bool) -> Self {
        let mut writer = Self {
            file: if is_big_endian { b"MM" } else { b"II" }.to_vec(),
            is_big_endian,
            is_big,
        };
        if is_big {
            writer.short(43);
            writer.short(8);
            writer.short(0);
        } else {
            writer.short(42);
        }
        // Where the first directory is comes in the end.
        writer.offset(0);
        writer
    }

    /// Appends bytes; where they are.
    pub(super) fn data(&mut self, bytes: &[u8]) -> u32 {
        let at = self.file.len() as u32;
        self.file.extend(bytes);
        if self.file.len() % 2 == 1 {
            self.file.push(0);
        }
        at
    }

    /// Appends a directory and its values; where it is.
    pub(super) fn directory(&mut self, entries: &[(u16, Value)]) -> u32 {
        let mut entries = entries.to_vec();
        for (_, value) in &mut entries {
            if matches!(value, Value::Location) {
                let latitude = [48, 1, 7, 1, SECRET_SECONDS, 1_000_000_000];
                let gps = self.directory(&[
                    (0, Value::Bytes(vec![2, 3, 0, 0])),
                    (1, Value::Text("N")),
                    (2, Value::Fractions(latitude.to_vec())),
                ]);
                *value = Value::Long(vec![gps]);
            }
        }
        entries.sort_by_key(|&(tag, _)| tag);
        let room = if self.is_big { 8 } else { 4 };
        let placed: Vec<_> = entries
            .iter()
            .map(|(tag, value)| {
                let (kind, count, bytes) = self.encoded(value);
                if bytes.len() <= room {
                    (*tag, kind, count, Ok(bytes))
                } else {
                    (*tag, kind, count, Err(self.data(&bytes)))
                }
            })
            .collect();
        let at = self.file.len() as u32;
        if self.is_big {
            self.offset(placed.len() as u32);
        } else {
            self.short(placed.len() as u16);
        }
        for (tag, kind, count, value) in placed {
            self.short(tag);
            self.short(kind);
            self.offset(count);
            match value {
                Ok(mut bytes) => {
                    bytes.resize(room, 0);
                    self.file.extend(bytes);
                }
                Err(offset) => self.offset(offset),
            }
        }
        self.offset(0);
        at
    }

    /// The file, whose first directory is at `first`.
    pub(super) fn finish(mut self, first: u32) -> Vec<u8> {
        let end = self.file.split_off(if self.is_big { 8 } else { 4 });
        self.offset(first);
        let kept = if self.is_big { 8 } else { 4 };
        self.file.extend(&end[kept..]);
        self.file
    }

    fn encoded(&self, value: &Value) -> (u16, u32, Vec<u8>) {
        match value {
            Value::Bytes(bytes) => (7, bytes.len() as u32, bytes.clone()),
            Value::Text(text) => {
                let bytes = [text.as_bytes(), &[0]].concat();
                (2, bytes.len() as u32, bytes)
            }
            Value::Short(values) => {
                let bytes = values.iter().flat_map(|value| {
                    if self.is_big_endian {
                        value.to_be_bytes()
                    } else {
                        value.to_le_bytes()
                    }
                });
                (3, values.len() as u32, bytes.collect())
            }
            Value::Location => (4, 0, Vec::new()),
            Value::Fractions(values) => {
                let (_, count, bytes) = self.encoded(&Value::Long(values.clone()));
                (5, count / 2, bytes)
            }
            Value::Long(values) => {
                let bytes = values.iter().flat_map(|value| {
                    if self.is_big_endian {
                        value.to_be_bytes()
                    } else {
                        value.to_le_bytes()
                    }
                });
                (4, values.len() as u32, bytes.collect())
            }
        }
    }

    fn short(&mut self, value: u16) {
        self.file.extend(if self.is_big_endian {
            value.to_be_bytes()
        } else {
            value.to_le_bytes()
        });
    }

    /// A number of 32 bits; or of 64 where offsets have as many.
    fn offset(&mut self, value: u32) {
        match (self.is_big, self.is_big_endian) {
            (false, false) => self.file.extend(value.to_le_bytes()),
            (false, true) => self.file.extend(value.to_be_bytes()),
            (true, false) => self.file.extend(u64::from(value).to_le_bytes()),
            (true, true) => self.file.extend(u64::from(value).to_be_bytes()),
        }
    }
}

fn bits(values: &[u8], width: usize) -> Vec<u8> {
    values
        .chunks(width)
        .flat_map(|row| row.chunks(8))
        .map(|eight| (0..8).fold(0, |byte, at| byte << 1 | eight.get(at).unwrap_or(&0)))
        .collect()
}

/// Units of four lumas and their chroma.
fn luma_and_chroma(rgb: &[u8], width: usize) -> Vec<u8> {
    let height = rgb.len() / 3 / width;
    let ycbcr = |x: usize, y: usize| {
        let at = (y.min(height - 1) * width + x.min(width - 1)) * 3;
        let [red, green, blue] = [0, 1, 2].map(|channel| f32::from(rgb[at + channel]));
        let luma = 0.299 * red + 0.587 * green + 0.114 * blue;
        [
            luma,
            (blue - luma) / 1.772 + 128.0,
            (red - luma) / 1.402 + 128.0,
        ]
    };
    let mut units = Vec::new();
    for y in (0..height).step_by(2) {
        for x in (0..width).step_by(2) {
            let four = [(0, 0), (1, 0), (0, 1), (1, 1)].map(|(dx, dy)| ycbcr(x + dx, y + dy));
            units.extend(four.map(|[luma, ..]| luma.round() as u8));
            for channel in [1, 2] {
                let sum: f32 = four.iter().map(|values| values[channel]).sum();
                units.push((sum / 4.0).round() as u8);
            }
        }
    }
    units
}

fn predict(row: &mut [u8], bytes: usize, distance: usize, is_big_endian: bool) {
    let step = bytes * distance;
    for at in (step..row.len()).step_by(bytes).rev() {
        if bytes == 1 {
            row[at] = row[at].wrapping_sub(row[at - step]);
        } else {
            let number = |row: &[u8], at: usize| {
                let pair = [row[at], row[at + 1]];
                if is_big_endian {
                    u16::from_be_bytes(pair)
                } else {
                    u16::from_le_bytes(pair)
                }
            };
            let difference = number(row, at).wrapping_sub(number(row, at - step));
            row[at..at + 2].copy_from_slice(&if is_big_endian {
                difference.to_be_bytes()
            } else {
                difference.to_le_bytes()
            });
        }
    }
}

/// Runs where four bytes or more are the same, and the bytes themselves elsewhere.
fn pack_bits(row: &[u8]) -> Vec<u8> {
    let mut packed = Vec::new();
    let mut plain: Vec<u8> = Vec::new();
    let flush = |plain: &mut Vec<u8>, packed: &mut Vec<u8>| {
        for part in plain.chunks(128) {
            packed.push((part.len() - 1) as u8);
            packed.extend(part);
        }
        plain.clear();
    };
    let mut at = 0;
    while at < row.len() {
        let run = row[at..]
            .iter()
            .take(128)
            .take_while(|&&byte| byte == row[at])
            .count();
        if run >= 4 {
            flush(&mut plain, &mut packed);
            packed.extend([(257 - run) as u8, row[at]]);
            at += run;
        } else {
            plain.push(row[at]);
            at += 1;
        }
    }
    flush(&mut plain, &mut packed);
    packed
}
