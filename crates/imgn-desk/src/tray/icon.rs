//! The tray's icon: the app's own, with a bar for how far uploads are.

/// A picture for the tray.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pixels {
    /// Its width and height in pixels.
    pub size: u32,
    /// Rows from the top, four bytes a pixel: red, green, blue, alpha, not premultiplied.
    pub rgba: Vec<u8>,
}

/// Bright on a dark panel and on a light one.
const FILLED: [u8; 4] = [0x2f, 0x9e, 0x5b, 0xff];
const EMPTY: [u8; 4] = [0xf4, 0xf4, 0xf4, 0xff];
const EDGE: [u8; 4] = [0x30, 0x30, 0x30, 0xff];

impl Pixels {
    /// The icon in a file of the program's own. Empty where it is none: a tray without a picture still has its menu.
    #[must_use]
    pub fn from_png(file: &[u8]) -> Self {
        let read = || -> Option<Self> {
            let mut decoder = png::Decoder::new(std::io::Cursor::new(file));
            decoder.set_transformations(png::Transformations::normalize_to_color8());
            let mut reader = decoder.read_info().ok()?;
            let mut rgba = vec![0; reader.output_buffer_size()?];
            let info = reader.next_frame(&mut rgba).ok()?;
            let is_icon = info.color_type == png::ColorType::Rgba && info.width == info.height;
            is_icon.then_some(Self {
                size: info.width,
                rgba,
            })
        };
        read().unwrap_or(Self {
            size: 0,
            rgba: Vec::new(),
        })
    }

    /// The same with a bar at the bottom that is filled by so many hundredths.
    #[must_use]
    pub fn with_bar(&self, percent: u64) -> Self {
        let mut pixels = self.clone();
        let (size, height) = (self.size, (self.size / 4).max(3));
        let filled = u32::try_from(u64::from(size.saturating_sub(2)) * percent.min(100) / 100);
        let filled = filled.unwrap_or(size);
        for y in size.saturating_sub(height)..size {
            for x in 0..size {
                let is_edge = x == 0 || x == size - 1 || y == size - height || y == size - 1;
                let colour = if is_edge {
                    EDGE
                } else if x <= filled {
                    FILLED
                } else {
                    EMPTY
                };
                let at = ((y * size + x) * 4) as usize;
                if let Some(pixel) = pixels.rgba.get_mut(at..at + 4) {
                    pixel.copy_from_slice(&colour);
                }
            }
        }
        pixels
    }

    /// As a StatusNotifierItem has it: alpha first, in the order of the network.
    #[must_use]
    pub fn argb(&self) -> Vec<u8> {
        let mut argb = self.rgba.clone();
        for pixel in argb.chunks_exact_mut(4) {
            pixel.rotate_right(1);
        }
        argb
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_grows_with_what_is_done() {
        let icon = Pixels {
            size: 22,
            rgba: vec![0; 22 * 22 * 4],
        };
        let filled = |percent| {
            let with_bar = icon.with_bar(percent);
            let pixels = with_bar.rgba.chunks_exact(4);
            pixels.filter(|pixel| **pixel == FILLED).count()
        };
        let steps = [0, 25, 50, 100, 1000].map(filled);
        assert!(steps.is_sorted(), "{steps:?}");
        assert_eq!((steps[0], steps[3]), (0, steps[4]));
        assert_eq!(icon.argb().len(), icon.rgba.len());
    }

    #[test]
    fn what_is_no_icon_is_an_empty_one() {
        assert_eq!(Pixels::from_png(b"no png").size, 0);
        assert!(Pixels::from_png(b"no png").with_bar(50).rgba.is_empty());
    }
}
