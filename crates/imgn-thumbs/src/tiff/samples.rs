//! Rows of samples, of whatever size and meaning, as rows of colours.

use super::damaged;
use super::directory::{Directory, Order, Structure, tag};
use super::image::{Alpha, Compression, Image, Kind, Meaning, Prediction};
use crate::PictureError;
use crate::canvas::{GROUND, over_ground};
use crate::colour::{EmbeddedProfile, Inks};

/// Makes RGB of what was unpacked.
pub(super) struct Converter {
    width: usize,
    bits: u8,
    kind: Kind,
    order: Order,
    /// Samples a pixel, in a plane.
    samples: usize,
    is_planar: bool,
    alpha: Option<Alpha>,
    colours: Colours,
    shared_chroma: Option<(usize, usize)>,
    /// A row's samples, of 8 bits, all planes together.
    row: Vec<u8>,
}

enum Colours {
    Grey { zero_is_white: bool },
    Rgb,
    Palette(Vec<[u8; 3]>),
    Inks(Inks),
    YCbCr(LumaAndChroma),
    Lab { is_signed: bool },
}

impl Converter {
    pub(super) fn new(
        structure: &Structure<'_>,
        directory: &Directory,
        image: &Image<'_>,
    ) -> Result<Self, PictureError> {
        let colours = match image.meaning {
            Meaning::Grey { zero_is_white } => Colours::Grey { zero_is_white },
            Meaning::Rgb => Colours::Rgb,
            Meaning::Lab { is_signed } => Colours::Lab { is_signed },
            Meaning::Palette => Colours::Palette(palette(structure, directory, image.bits)?),
            Meaning::Inks => {
                let profile = image.profile.map(EmbeddedProfile::Whole);
                Colours::Inks(Inks::new(profile.as_ref()))
            }
            // The JPEG library has made colours of them.
            Meaning::YCbCr { .. } if image.compression == Compression::Jpeg && !image.is_planar => {
                Colours::Rgb
            }
            Meaning::YCbCr { .. } => Colours::YCbCr(LumaAndChroma::read(structure, directory)),
        };
        Ok(Self {
            width: image.width as usize,
            bits: image.bits,
            kind: image.kind,
            order: image.order,
            samples: if image.is_planar {
                image.planes()
            } else {
                image.samples.into()
            },
            is_planar: image.is_planar,
            alpha: image.alpha,
            colours,
            shared_chroma: image
                .shared_chroma()
                .map(|(across, down)| (across as usize, down as usize)),
            row: Vec::new(),
        })
    }

    /// Appends a row's colours, from a group of rows of which it is number `line`.
    pub(super) fn append(&mut self, planes: &[Vec<u8>], line: u32, rgb: &mut Vec<u8>) {
        let mut row = std::mem::take(&mut self.row);
        row.clear();
        if let (Some(shared), [plane]) = (self.shared_chroma, planes) {
            spread_chroma(plane, shared, line as usize, self.width, &mut row);
        } else if self.is_planar {
            row.resize(self.width * self.samples, 0);
            let mut values = Vec::with_capacity(self.width);
            for (index, plane) in planes.iter().enumerate().take(self.samples) {
                values.clear();
                self.append_eight_bits(plane, self.width, &mut values);
                let places = row.iter_mut().skip(index).step_by(self.samples);
                for (place, &value) in places.zip(&values) {
                    *place = value;
                }
            }
        } else if let [plane] = planes {
            self.append_eight_bits(plane, self.width * self.samples, &mut row);
        }
        self.append_colours(&row, rgb);
        self.row = row;
    }

    fn append_colours(&self, row: &[u8], rgb: &mut Vec<u8>) {
        let alpha = self.colours.samples();
        let opacity = |pixel: &[u8]| pixel.get(alpha).copied().unwrap_or(255);
        let pixels = row.chunks_exact(self.samples);
        match &self.colours {
            Colours::Rgb if self.alpha.is_none() && self.samples == 3 => rgb.extend(row),
            Colours::Grey { zero_is_white } => {
                let mask = if *zero_is_white { 255 } else { 0 };
                for pixel in pixels {
                    let grey = pixel.first().map_or(0, |value| value ^ mask);
                    rgb.extend(self.over_ground([grey; 3], opacity(pixel)));
                }
            }
            Colours::Rgb => {
                for pixel in pixels {
                    if let Some(colour) = pixel.first_chunk() {
                        rgb.extend(self.over_ground(*colour, opacity(pixel)));
                    }
                }
            }
            Colours::Palette(palette) => {
                for pixel in pixels {
                    let index = pixel.first().map_or(0, |&index| usize::from(index));
                    let colour = palette.get(index).copied().unwrap_or([0; 3]);
                    rgb.extend(self.over_ground(colour, opacity(pixel)));
                }
            }
            Colours::YCbCr(matrix) => {
                for pixel in pixels {
                    if let Some(values) = pixel.first_chunk() {
                        rgb.extend(self.over_ground(matrix.colour(*values), opacity(pixel)));
                    }
                }
            }
            Colours::Lab { is_signed } => {
                let sign = if *is_signed { 0x80 } else { 0 };
                for pixel in pixels {
                    if let Some(&[lightness, a, b]) = pixel.first_chunk() {
                        let colour = lab(lightness, a ^ sign, b ^ sign);
                        rgb.extend(self.over_ground(colour, opacity(pixel)));
                    }
                }
            }
            Colours::Inks(inks) if self.samples == 4 => inks.append(row, rgb),
            Colours::Inks(inks) => {
                let four: Vec<u8> = pixels
                    .filter_map(|pixel| pixel.first_chunk::<4>())
                    .flatten()
                    .copied()
                    .collect();
                inks.append(&four, rgb);
            }
        }
    }

    fn over_ground(&self, colour: [u8; 3], opacity: u8) -> [u8; 3] {
        match self.alpha {
            None => colour,
            Some(Alpha::Straight) => {
                let [red, green, blue] = colour;
                over_ground([red, green, blue, opacity])
            }
            Some(Alpha::Multiplied) => {
                let mut result = colour;
                for (value, ground) in result.iter_mut().zip(GROUND) {
                    let share = (u16::from(ground) * u16::from(255 - opacity) + 127) / 255;
                    // At most 255.
                    *value = value.saturating_add(share as u8);
                }
                result
            }
        }
    }

    /// Appends `count` samples, scaled to 8 bits; indices of a palette are not scaled.
    fn append_eight_bits(&self, plane: &[u8], count: usize, to: &mut Vec<u8>) {
        let high_byte = match self.order {
            Order::Little => usize::from(self.bits / 8).saturating_sub(1),
            Order::Big => 0,
        };
        match (self.bits, self.kind) {
            (8, _) => to.extend(plane.iter().take(count)),
            (bits @ (1 | 2 | 4), _) => {
                let scale = match self.colours {
                    Colours::Palette(_) => 1,
                    _ => 255 / ((1 << bits) - 1),
                };
                let values = plane.iter().flat_map(|&byte| {
                    (0..8 / bits).map(move |index| {
                        let shifted = byte >> (8 - bits - index * bits);
                        (shifted & ((1 << bits) - 1)) * scale
                    })
                });
                to.extend(values.take(count));
            }
            (12, _) => to.extend((0..count).map_while(|index| {
                let at = index * 12 / 8;
                let high = *plane.get(at)?;
                // The high byte of an even one is a byte; that of an odd one is half of two.
                Some(if index.is_multiple_of(2) {
                    high
                } else {
                    high << 4 | plane.get(at + 1)? >> 4
                })
            })),
            (16, Kind::Float) => {
                let values = plane.as_chunks().0.iter();
                to.extend(values.take(count).map(|&bytes| {
                    let bits = match self.order {
                        Order::Little => u16::from_le_bytes(bytes),
                        Order::Big => u16::from_be_bytes(bytes),
                    };
                    from_unit(half(bits))
                }));
            }
            (_, Kind::Float) => {
                let values = plane.as_chunks().0.iter();
                to.extend(values.take(count).map(|&bytes| {
                    from_unit(match self.order {
                        Order::Little => f32::from_le_bytes(bytes),
                        Order::Big => f32::from_be_bytes(bytes),
                    })
                }));
            }
            (bits, _) => {
                let values = plane.iter().skip(high_byte).step_by(usize::from(bits / 8));
                to.extend(values.take(count));
            }
        }
    }
}

impl Colours {
    fn samples(&self) -> usize {
        match self {
            Self::Grey { .. } | Self::Palette(_) => 1,
            Self::Rgb | Self::YCbCr(_) | Self::Lab { .. } => 3,
            Self::Inks(_) => 4,
        }
    }
}

/// Floats are shares of white. What is beyond is cut off.
fn from_unit(value: f32) -> u8 {
    // Saturates, and what is no number becomes 0.
    (value * 255.0 + 0.5) as u8
}

/// A float of 16 bits.
fn half(bits: u16) -> f32 {
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f32::from(bits & 1023));
    let magnitude = match exponent {
        0 => fraction * (-24_f32).exp2(),
        31 if fraction == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        _ => (1024.0 + fraction) * ((exponent - 25) as f32).exp2(),
    };
    if bits >> 15 == 1 {
        -magnitude
    } else {
        magnitude
    }
}

/// Reds, then greens, then blues, of 16 bits each. Some writers used 8 of them.
fn palette(
    structure: &Structure<'_>,
    directory: &Directory,
    bits: u8,
) -> Result<Vec<[u8; 3]>, PictureError> {
    let entry = directory
        .entry(tag::COLOR_MAP)
        .ok_or_else(|| damaged("its palette is missing"))?;
    let count = 1_u64 << bits;
    let values: Option<Vec<u64>> = (0..count * 3)
        .map(|index| structure.number(entry, index))
        .collect();
    let values = values.ok_or_else(|| damaged("its palette is too short"))?;
    let shift = if values.iter().all(|&value| value < 256) {
        0
    } else {
        8
    };
    let (reds, rest) = values.split_at(count as usize);
    let (greens, blues) = rest.split_at(count as usize);
    let value = |value: u64| (value >> shift) as u8;
    Ok(reds
        .iter()
        .zip(greens)
        .zip(blues)
        .map(|((&red, &green), &blue)| [value(red), value(green), value(blue)])
        .collect())
}

/// How luma and chroma make colours.
struct LumaAndChroma {
    /// Shares of red, green and blue in luma.
    shares: [f32; 3],
    /// For each value: what stands for nothing, and what makes the range full.
    black: [f32; 3],
    scale: [f32; 3],
}

impl LumaAndChroma {
    fn read(structure: &Structure<'_>, directory: &Directory) -> Self {
        let numbers = |tag, defaults: &[f32]| -> Vec<f32> {
            let entry = directory.entry(tag);
            let read = |index| {
                let entry = entry?;
                structure
                    .fraction(entry, index)
                    .or_else(|| structure.number(entry, index).map(|number| number as f64))
            };
            (0..)
                .zip(defaults)
                .map(|(index, &default)| read(index).map_or(default, |number| number as f32))
                .collect()
        };
        let mut shares = [0.299, 0.587, 0.114];
        let read = numbers(tag::YCBCR_COEFFICIENTS, &shares);
        if read.iter().all(|share| (0.01..1.0).contains(share)) {
            for (share, read) in shares.iter_mut().zip(read) {
                *share = read;
            }
        }
        let reference = numbers(
            tag::REFERENCE_BLACK_WHITE,
            &[0.0, 255.0, 128.0, 255.0, 128.0, 255.0],
        );
        let (mut black, mut scale) = ([0.0, 128.0, 128.0], [1.0; 3]);
        for (index, pair) in reference.chunks_exact(2).enumerate().take(3) {
            let full = if index == 0 { 255.0 } else { 127.0 };
            let range = pair[1] - pair[0];
            if range >= 1.0 {
                black[index] = pair[0];
                scale[index] = full / range;
            }
        }
        Self {
            shares,
            black,
            scale,
        }
    }

    fn colour(&self, values: [u8; 3]) -> [u8; 3] {
        let mut value = [0.0_f32; 3];
        for (index, value) in value.iter_mut().enumerate() {
            *value = (f32::from(values[index]) - self.black[index]) * self.scale[index];
        }
        let [luma, blueness, redness] = value;
        let [red_share, green_share, blue_share] = self.shares;
        let red = luma + redness * (2.0 - 2.0 * red_share);
        let blue = luma + blueness * (2.0 - 2.0 * blue_share);
        let green = (luma - red_share * red - blue_share * blue) / green_share;
        // Rounded; saturates.
        [red, green, blue].map(|value| (value + 0.5) as u8)
    }
}

/// The sRGB colour of one in CIE L*a*b* under D50, its last two values moved up by 128.
fn lab(lightness: u8, a: u8, b: u8) -> [u8; 3] {
    const WHITE: [f32; 3] = [0.9642, 1.0, 0.8249];
    /// From XYZ under D50 to linear sRGB, which is under D65, by Bradford's adaptation.
    const MATRIX: [[f32; 3]; 3] = [
        [3.1339, -1.6169, -0.4906],
        [-0.9788, 1.9161, 0.0335],
        [0.0719, -0.2290, 1.4052],
    ];
    let y = (f32::from(lightness) * (100.0 / 255.0) + 16.0) / 116.0;
    let x = y + (f32::from(a) - 128.0) / 500.0;
    let z = y - (f32::from(b) - 128.0) / 200.0;
    let linear = |value: f32| {
        if value > 6.0 / 29.0 {
            value.powi(3)
        } else {
            (value - 4.0 / 29.0) * (108.0 / 841.0)
        }
    };
    let xyz = [
        linear(x) * WHITE[0],
        linear(y) * WHITE[1],
        linear(z) * WHITE[2],
    ];
    MATRIX.map(|row| {
        let light: f32 = row
            .iter()
            .zip(xyz)
            .map(|(share, value)| share * value)
            .sum();
        from_unit(if light <= 0.003_130_8 {
            light * 12.92
        } else {
            1.055 * light.powf(1.0 / 2.4) - 0.055
        })
    })
}

/// Makes one row of three samples a pixel from units: the luma of several pixels, then the chroma of all of them.
fn spread_chroma(
    group: &[u8],
    (across, down): (usize, usize),
    line: usize,
    width: usize,
    row: &mut Vec<u8>,
) {
    let lumas = across * down;
    for unit in group.chunks_exact(lumas + 2) {
        let chroma = &unit[lumas..];
        for luma in unit.iter().skip(line * across).take(across) {
            row.extend([*luma, chroma[0], chroma[1]]);
        }
    }
    row.truncate(width * 3);
}

/// Undoes prediction in a row of a chunk.
pub(super) fn undo_prediction(image: &Image<'_>, row: &mut [u8]) {
    let samples = usize::from(image.samples_together());
    match (image.prediction, image.bits) {
        (Prediction::None, _) => {}
        (Prediction::Horizontal, 8) => add_neighbours(row, samples),
        (Prediction::Horizontal, 16) => add_numbers::<2>(row, samples, image.order),
        (Prediction::Horizontal, _) => add_numbers::<4>(row, samples, image.order),
        (Prediction::Float, bits) => {
            add_neighbours(row, samples);
            let bytes = usize::from(bits / 8);
            let count = row.len() / bytes;
            let planes = row.to_vec();
            // All first bytes, most significant, then all second ones.
            for (index, value) in row.chunks_exact_mut(bytes).enumerate() {
                for (byte, to) in value.iter_mut().enumerate() {
                    *to = planes[byte * count + index];
                }
                if image.order == Order::Little {
                    value.reverse();
                }
            }
        }
    }
}

fn add_neighbours(row: &mut [u8], distance: usize) {
    for at in distance..row.len() {
        row[at] = row[at].wrapping_add(row[at - distance]);
    }
}

fn add_numbers<const N: usize>(row: &mut [u8], distance: usize, order: Order) {
    let (values, _) = row.as_chunks_mut::<N>();
    for at in distance..values.len() {
        let mut carry = 0;
        let before = values[at - distance];
        // From the least significant byte on.
        for place in 0..N {
            let place = match order {
                Order::Little => place,
                Order::Big => N - 1 - place,
            };
            let sum = u16::from(values[at][place]) + u16::from(before[place]) + carry;
            // The low byte.
            values[at][place] = sum as u8;
            carry = sum >> 8;
        }
    }
}
