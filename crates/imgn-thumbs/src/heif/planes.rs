//! Decoded planes of luma and chroma, and rows of RGB or grey made of them.

use heifer_hevc_dec::recon::Frame;
use re_rav1d::dav1d::{Picture, PixelLayout, PlanarImageComponent, Plane};

use super::Fault;
use crate::isobmff::Nclx;

/// A coded picture, decoded.
pub(super) struct Planes {
    samples: Samples,
    pub(super) width: u32,
    pub(super) height: u32,
    /// Bits a sample, of luma and of chroma.
    depths: [u32; 2],
    chroma: Chroma,
    colours: Nclx,
}

/// How many luma samples share one chroma sample, across and down; grey has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Chroma {
    None,
    Each { halved: (bool, bool) },
}

enum Samples {
    Av1 {
        planes: Vec<Plane>,
        strides: [usize; 2],
        is_deep: bool,
    },
    Hevc(Frame),
}

/// Space that rows are made in, kept from row to row.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    luma: Vec<u16>,
    /// A row of chroma, and the one beside it.
    near: Vec<u16>,
    far: Vec<u16>,
    /// Chroma for each pixel, around zero.
    blue: Vec<f32>,
    red: Vec<f32>,
}

impl Planes {
    pub(super) fn of_av1(picture: Picture, colours: Nclx) -> Result<Self, Fault> {
        let chroma = match picture.pixel_layout() {
            PixelLayout::I400 => Chroma::None,
            PixelLayout::I420 => Chroma::Each {
                halved: (true, true),
            },
            PixelLayout::I422 => Chroma::Each {
                halved: (true, false),
            },
            PixelLayout::I444 => Chroma::Each {
                halved: (false, false),
            },
        };
        let components = match chroma {
            Chroma::None => &[PlanarImageComponent::Y][..],
            Chroma::Each { .. } => &[
                PlanarImageComponent::Y,
                PlanarImageComponent::U,
                PlanarImageComponent::V,
            ],
        };
        // 8, 10 or 12: 16 bits are of no kind that is known here.
        let depth = u32::try_from(picture.bit_depth()).unwrap_or(0);
        if !(8..=12).contains(&depth) {
            return Err(Fault::damaged(
                "its samples have a depth that does not exist",
            ));
        }
        let stride = |component| picture.stride(component) as usize;
        Ok(Self {
            width: picture.width(),
            height: picture.height(),
            depths: [depth, depth],
            chroma,
            colours,
            samples: Samples::Av1 {
                strides: [
                    stride(PlanarImageComponent::Y),
                    stride(PlanarImageComponent::U),
                ],
                planes: components
                    .iter()
                    .map(|&component| picture.plane(component))
                    .collect(),
                is_deep: depth > 8,
            },
        })
    }

    pub(super) fn of_hevc(frame: Frame, colours: Nclx) -> Result<Self, Fault> {
        let chroma = match frame.chroma_format {
            0 => Chroma::None,
            1 => Chroma::Each {
                halved: (true, true),
            },
            2 => Chroma::Each {
                halved: (true, false),
            },
            _ => Chroma::Each {
                halved: (false, false),
            },
        };
        let depths = frame.bit_depth.map(u32::from);
        if depths.iter().any(|depth| !(8..=16).contains(depth)) {
            return Err(Fault::damaged(
                "its samples have a depth that does not exist",
            ));
        }
        Ok(Self {
            width: frame.widths[0],
            height: frame.heights[0],
            depths,
            chroma,
            colours,
            samples: Samples::Hevc(frame),
        })
    }

    /// Row `y` as RGB: as many pixels as `out` has room for, at most a row.
    pub(super) fn rgb(&self, y: u32, scratch: &mut Scratch, out: &mut [u8]) {
        self.samples.row(0, y, &mut scratch.luma);
        let (black, scale) = self.luma_range();
        let pixels = out.chunks_exact_mut(3).zip(&scratch.luma);
        let Chroma::Each { halved } = self.chroma else {
            for (pixel, &luma) in pixels {
                pixel.fill(to_byte((f32::from(luma) - black) * scale));
            }
            return;
        };
        for (plane, across) in [(1, &mut scratch.blue), (2, &mut scratch.red)] {
            let (near, far) = rows_beside(y, halved.1);
            self.samples.row(plane, near, &mut scratch.near);
            if far == near || !self.samples.row(plane, far, &mut scratch.far) {
                scratch.far.clone_from(&scratch.near);
            }
            self.spread(&scratch.near, &scratch.far, halved.0, across);
        }
        let chroma = scratch.blue.iter().zip(&scratch.red);
        let convert = Matrix::of(self.colours.matrix);
        let stored_as_rgb = self.colours.matrix == 0;
        for ((pixel, &luma), (&blue, &red)) in pixels.zip(chroma) {
            let luma = (f32::from(luma) - black) * scale;
            let rgb = if stored_as_rgb {
                // Chroma is around its middle, as everywhere: here it is a colour.
                self.stored_rgb(luma, blue, red)
            } else {
                convert.rgb(luma, blue, red)
            };
            pixel.copy_from_slice(&rgb.map(to_byte));
        }
    }

    /// Row `y` of luma alone, with 8 bits.
    pub(super) fn grey(&self, y: u32, scratch: &mut Scratch, out: &mut [u8]) {
        self.samples.row(0, y, &mut scratch.luma);
        let (black, scale) = self.luma_range();
        for (value, &luma) in out.iter_mut().zip(&scratch.luma) {
            *value = to_byte((f32::from(luma) - black) * scale);
        }
    }

    /// What luma is black, and what makes 0 to 255 of the range.
    fn luma_range(&self) -> (f32, f32) {
        let [depth, _] = self.depths;
        let shift = (1_u32 << (depth - 8)) as f32;
        if self.colours.full_range {
            (0.0, 255.0 / ((1_u32 << depth) - 1) as f32)
        } else {
            (16.0 * shift, 255.0 / (219.0 * shift))
        }
    }

    /// What chroma is none, and what makes -127.5 to 127.5 of the range.
    fn chroma_range(&self) -> (f32, f32) {
        let [_, depth] = self.depths;
        let shift = (1_u32 << (depth - 8)) as f32;
        let middle = (1_u32 << (depth - 1)) as f32;
        if self.colours.full_range {
            (middle, 255.0 / ((1_u32 << depth) - 1) as f32)
        } else {
            (middle, 255.0 / (224.0 * shift))
        }
    }

    /// Chroma for each pixel of two rows of samples: three parts of the near one, and one of the far one, in both
    /// directions, where samples are fewer than pixels.
    fn spread(&self, near: &[u16], far: &[u16], is_halved: bool, out: &mut Vec<f32>) {
        let (middle, scale) = self.chroma_range();
        let down = near
            .iter()
            .zip(far)
            .map(|(&near, &far)| (f32::from(near) * 0.75 + f32::from(far) * 0.25 - middle) * scale);
        out.clear();
        if !is_halved {
            out.extend(down);
            return;
        }
        let down: Vec<f32> = down.collect();
        for (index, &here) in down.iter().enumerate() {
            let before = down.get(index.wrapping_sub(1)).unwrap_or(&here);
            let behind = down.get(index + 1).unwrap_or(&here);
            out.push(here * 0.75 + before * 0.25);
            out.push(here * 0.75 + behind * 0.25);
        }
    }

    /// Colours that were stored as such: green, blue, red.
    fn stored_rgb(&self, green: f32, blue: f32, red: f32) -> [f32; 3] {
        let (middle, chroma) = self.chroma_range();
        let (black, luma) = self.luma_range();
        let value = |around: f32| (around / chroma + middle - black) * luma;
        [value(red), green, value(blue)]
    }
}

impl Samples {
    /// Puts a row of a plane into `out`; whether there is one.
    fn row(&self, plane: usize, y: u32, out: &mut Vec<u16>) -> bool {
        out.clear();
        match self {
            Self::Hevc(frame) => {
                let width = frame.widths.get(plane).map_or(0, |&width| width as usize);
                let samples = frame.planes.get(plane).map_or(&[][..], Vec::as_slice);
                let row = samples.chunks_exact(width.max(1)).nth(y as usize);
                out.extend_from_slice(row.unwrap_or_default());
            }
            Self::Av1 {
                planes,
                strides: [luma, chroma],
                is_deep,
            } => {
                let stride = if plane == 0 { *luma } else { *chroma };
                let bytes = planes.get(plane).map_or(&[][..], AsRef::as_ref);
                let row = bytes.chunks_exact(stride.max(1)).nth(y as usize);
                let row = row.unwrap_or_default();
                if *is_deep {
                    let (pairs, _) = row.as_chunks();
                    out.extend(pairs.iter().map(|&pair| u16::from_ne_bytes(pair)));
                } else {
                    out.extend(row.iter().map(|&byte| u16::from(byte)));
                }
            }
        }
        !out.is_empty()
    }
}

/// The row of samples that row `y` of pixels lies in, and the one it lies nearer to of those beside.
fn rows_beside(y: u32, is_halved: bool) -> (u32, u32) {
    if !is_halved {
        return (y, y);
    }
    let near = y / 2;
    (
        near,
        if y.is_multiple_of(2) {
            near.saturating_sub(1)
        } else {
            near + 1
        },
    )
}

/// How much of chroma is in each colour.
#[derive(Debug, Clone, Copy)]
struct Matrix {
    red_of_red: f32,
    green_of_blue: f32,
    green_of_red: f32,
    blue_of_blue: f32,
    /// What is in the first chroma plane is green, and red in the second (YCgCo).
    is_green_orange: bool,
}

impl Matrix {
    /// Of a code point of H.273. What is unknown is taken as BT.601, as other decoders do.
    fn of(matrix: u16) -> Self {
        let (red, blue) = match matrix {
            1 => (0.2126, 0.0722),
            4 => (0.30, 0.11),
            7 => (0.212, 0.087),
            9 | 10 => (0.2627, 0.0593),
            _ => (0.299, 0.114),
        };
        let green: f32 = 1.0 - red - blue;
        Self {
            red_of_red: 2.0 * (1.0 - red),
            green_of_blue: 2.0 * blue * (1.0 - blue) / green,
            green_of_red: 2.0 * red * (1.0 - red) / green,
            blue_of_blue: 2.0 * (1.0 - blue),
            is_green_orange: matrix == 8,
        }
    }

    fn rgb(self, luma: f32, blue: f32, red: f32) -> [f32; 3] {
        if self.is_green_orange {
            let (green, orange) = (blue, red);
            return [luma - green + orange, luma + green, luma - green - orange];
        }
        [
            luma + self.red_of_red * red,
            luma - self.green_of_blue * blue - self.green_of_red * red,
            luma + self.blue_of_blue * blue,
        ]
    }
}

/// Rounded, and kept within a byte.
fn to_byte(value: f32) -> u8 {
    (value + 0.5) as u8
}
