//! Where decoders put their pixels: a picture shrunk while it arrives.
//!
//! A canvas averages squares of `factor` x `factor` pixels, so that a picture that comes in rows is never held whole.
//! It shrinks no further than leaves [`HEADROOM`] above the largest rendition, which is resampled from it.

use crate::PictureError;

/// What shows through transparent pixels in thumbnails: a light grey on which both black and white drawings are seen.
pub const GROUND: [u8; 3] = [0xd6, 0xd6, 0xd6];

/// How much larger than the largest rendition the canvas is at least, where the picture is: resampling from less
/// softens.
pub const HEADROOM: f64 = 1.2;

/// A picture at reduced size, as stored: not yet turned upright.
#[derive(Debug)]
pub(crate) struct Raster {
    /// RGB, 8 bits, without padding.
    pub(crate) pixels: Vec<u8>,
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// How much of width and height the picture covers: its last column and row may be squares that it only began.
    pub(crate) span: (f64, f64),
    /// The ICC profile of its numbers, where only the decoder knows.
    pub(crate) profile: Option<Vec<u8>>,
}

/// A [`Raster`] that is being filled.
#[derive(Debug)]
pub(crate) struct Canvas {
    /// Of the picture.
    width: u32,
    height: u32,
    factor: u32,
    columns: u32,
    rows: u32,
    pixels: Vec<u8>,
    /// Sums of colours: for the row of squares being filled, or for all when pixels come scattered.
    sums: Vec<u32>,
    next_row: u32,
}

impl Canvas {
    /// A canvas whose pixels come with [`Canvas::push_row`].
    pub(crate) fn in_rows(width: u32, height: u32, long_edge: u32) -> Self {
        Self::new(width, height, long_edge, false)
    }

    /// A canvas whose pixels come with [`Canvas::add`].
    pub(crate) fn scattered(width: u32, height: u32, long_edge: u32) -> Self {
        Self::new(width, height, long_edge, true)
    }

    /// The bytes that a canvas allocates.
    pub(crate) fn cost(width: u32, height: u32, long_edge: u32, is_scattered: bool) -> u64 {
        let factor = shrink_factor(width, height, long_edge);
        let columns = u64::from(width.div_ceil(factor));
        let squares = columns * u64::from(height.div_ceil(factor));
        squares * 3 + if is_scattered { squares } else { columns } * 12
    }

    fn new(width: u32, height: u32, long_edge: u32, is_scattered: bool) -> Self {
        let factor = shrink_factor(width, height, long_edge);
        let (columns, rows) = (width.div_ceil(factor), height.div_ceil(factor));
        let row_values = columns as usize * 3;
        let sums = match (is_scattered, factor) {
            (true, _) => row_values * rows as usize,
            (false, 1) => 0,
            (false, _) => row_values,
        };
        Self {
            width,
            height,
            factor,
            columns,
            rows,
            pixels: Vec::with_capacity(row_values * rows as usize),
            sums: vec![0; sums],
            next_row: 0,
        }
    }

    /// Takes the next row, as RGB. What is beyond the picture's width or height is left out.
    pub(crate) fn push_row(&mut self, rgb: &[u8]) {
        if self.next_row >= self.height {
            return;
        }
        self.next_row += 1;
        let rgb = &rgb[..rgb.len().min(self.width as usize * 3)];
        if self.factor == 1 {
            self.pixels.extend_from_slice(rgb);
            return;
        }
        let squares = rgb.chunks(self.factor as usize * 3);
        for (sum, square) in self.sums.chunks_exact_mut(3).zip(squares) {
            for pixel in square.chunks_exact(3) {
                for (sum, &value) in sum.iter_mut().zip(pixel) {
                    *sum += u32::from(value);
                }
            }
        }
        if self.next_row.is_multiple_of(self.factor) || self.next_row == self.height {
            let row = (self.next_row - 1) / self.factor;
            self.flush(row, 0);
            self.sums.fill(0);
        }
    }

    /// Takes one pixel of the picture; each is to come once. What is outside is left out.
    pub(crate) fn add(&mut self, x: u32, y: u32, rgb: [u8; 3]) {
        if x >= self.width || y >= self.height {
            return;
        }
        let square =
            (y / self.factor) as usize * self.columns as usize + (x / self.factor) as usize;
        if let Some(sum) = self.sums.get_mut(square * 3..square * 3 + 3) {
            for (sum, value) in sum.iter_mut().zip(rgb) {
                *sum += u32::from(value);
            }
        }
    }

    /// The finished picture.
    ///
    /// # Errors
    /// `incomplete`, if rows are missing.
    pub(crate) fn finish(mut self, incomplete: PictureError) -> Result<Raster, PictureError> {
        if self.pixels.is_empty() {
            for row in 0..self.rows {
                let start = row as usize * self.columns as usize * 3;
                if start < self.sums.len() {
                    self.flush(row, start);
                }
            }
        }
        if self.pixels.len() != self.columns as usize * 3 * self.rows as usize {
            return Err(incomplete);
        }
        let factor = f64::from(self.factor);
        Ok(Raster {
            pixels: self.pixels,
            width: self.columns,
            height: self.rows,
            span: (
                f64::from(self.width) / factor,
                f64::from(self.height) / factor,
            ),
            profile: None,
        })
    }

    /// Appends the averages of one row of squares, whose sums begin at `start`.
    fn flush(&mut self, row: u32, start: usize) {
        let height = self.factor.min(self.height - row * self.factor);
        let sums = self.sums[start..]
            .chunks_exact(3)
            .take(self.columns as usize);
        for (column, sum) in (0..self.columns).zip(sums) {
            let width = self.factor.min(self.width - column * self.factor);
            let count = u64::from(width) * u64::from(height);
            // The average of bytes is a byte.
            self.pixels.extend(
                sum.iter()
                    .map(|&sum| ((u64::from(sum) + count / 2) / count) as u8),
            );
        }
    }
}

/// By how much a picture may be shrunk on arrival. Sums of a square of up to 4,096 pixels a side fit 32 bits.
fn shrink_factor(width: u32, height: u32, long_edge: u32) -> u32 {
    let wanted = wanted_edge(long_edge);
    (width.max(height) / wanted).clamp(1, 4096)
}

/// The long edge that a canvas must keep for renditions of `long_edge`.
pub(crate) fn wanted_edge(long_edge: u32) -> u32 {
    // At most 2^32 * 1.2, saturated; at least 1.
    ((f64::from(long_edge) * HEADROOM).ceil() as u32).max(1)
}

/// A colour over [`GROUND`].
pub(crate) fn over_ground([red, green, blue, alpha]: [u8; 4]) -> [u8; 3] {
    let blend = |value: u8, ground: u8| {
        let alpha = u32::from(alpha);
        // At most 255 * 255 before the division.
        ((u32::from(value) * alpha + u32::from(ground) * (255 - alpha) + 127) / 255) as u8
    };
    [
        blend(red, GROUND[0]),
        blend(green, GROUND[1]),
        blend(blue, GROUND[2]),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(x: u32, y: u32) -> [u8; 3] {
        let value = (x * 7919 + y * 104_729) % 251;
        [value as u8, (value / 2) as u8, 255 - value as u8]
    }

    #[test]
    fn rows_and_scattered_pixels_make_the_same_picture() {
        let (width, height) = (101, 67);
        let mut in_rows = Canvas::in_rows(width, height, 20);
        let mut scattered = Canvas::scattered(width, height, 20);
        for y in 0..height {
            let row: Vec<u8> = (0..width).flat_map(|x| noise(x, y)).collect();
            in_rows.push_row(&row);
            for x in (0..width).rev() {
                scattered.add(x, y, noise(x, y));
            }
        }
        let in_rows = in_rows.finish(PictureError::NotAPicture).unwrap();
        let scattered = scattered.finish(PictureError::NotAPicture).unwrap();
        assert_eq!(in_rows.pixels, scattered.pixels);
        assert_eq!((in_rows.width, in_rows.height), (26, 17));
        assert_eq!(in_rows.span, (25.25, 16.75));
    }

    #[test]
    fn a_missing_row_is_told() {
        let mut canvas = Canvas::in_rows(2, 2, 100);
        canvas.push_row(&[0; 6]);
        assert_eq!(
            canvas.finish(PictureError::NotAPicture).unwrap_err(),
            PictureError::NotAPicture
        );
    }
}
