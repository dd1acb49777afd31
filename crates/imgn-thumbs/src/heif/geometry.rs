//! Which part of a stored picture is shown, and turned how.

use image::metadata::Orientation;

use super::Fault;
use crate::isobmff::{CleanAperture, Property};

/// A part of a stored picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rect {
    pub(super) left: u32,
    pub(super) top: u32,
    pub(super) width: u32,
    pub(super) height: u32,
}

/// What is shown of a stored picture: a part of it, mirrored first, if at all, and then turned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct View {
    pub(super) crop: Rect,
    /// Left and right exchanged.
    is_mirrored: bool,
    /// With the clock, 0 to 3.
    quarter_turns: u8,
}

impl View {
    /// All of a picture, as it is.
    pub(super) fn whole(width: u32, height: u32) -> Self {
        Self {
            crop: Rect {
                left: 0,
                top: 0,
                width,
                height,
            },
            is_mirrored: false,
            quarter_turns: 0,
        }
    }

    /// Applies a property to what is shown so far, if it is one that turns or cuts.
    pub(super) fn apply(&mut self, property: &Property<'_>) -> Result<(), Fault> {
        match property {
            Property::Rotation(against_the_clock) => {
                self.quarter_turns = (self.quarter_turns + 4 - against_the_clock) % 4;
            }
            Property::Mirror { left_right } => {
                // To mirror what was turned is to turn what was mirrored the other way.
                self.is_mirrored = !self.is_mirrored;
                let turned_back = (4 - self.quarter_turns) % 4;
                // Top and bottom: left and right, and half a turn.
                let half = if *left_right { 0 } else { 2 };
                self.quarter_turns = (turned_back + half) % 4;
            }
            Property::CleanAperture(aperture) => self.cut(aperture)?,
            _ => {}
        }
        Ok(())
    }

    /// In the words of EXIF.
    pub(super) fn orientation(&self) -> Orientation {
        match (self.is_mirrored, self.quarter_turns) {
            (false, 0) => Orientation::NoTransforms,
            (false, 1) => Orientation::Rotate90,
            (false, 2) => Orientation::Rotate180,
            (false, _) => Orientation::Rotate270,
            (true, 0) => Orientation::FlipHorizontal,
            // These are turned first, and mirrored then.
            (true, 1) => Orientation::Rotate270FlipH,
            (true, 2) => Orientation::FlipVertical,
            (true, _) => Orientation::Rotate90FlipH,
        }
    }

    fn cut(&mut self, aperture: &CleanAperture) -> Result<(), Fault> {
        let mut shown = (self.crop.width, self.crop.height);
        if self.quarter_turns % 2 == 1 {
            shown = (shown.1, shown.0);
        }
        let (left, width) = span(shown.0, aperture.width, aperture.right)?;
        let (top, height) = span(shown.1, aperture.height, aperture.down)?;
        let mut part = Rect {
            left,
            top,
            width,
            height,
        };
        for _ in 0..self.quarter_turns {
            part = Rect {
                left: part.top,
                // Within what is shown, as `span` made it.
                top: shown.0 - part.left - part.width,
                width: part.height,
                height: part.width,
            };
            shown = (shown.1, shown.0);
        }
        if self.is_mirrored {
            part.left = shown.0 - part.left - part.width;
        }
        self.crop = Rect {
            left: self.crop.left + part.left,
            top: self.crop.top + part.top,
            ..part
        };
        Ok(())
    }
}

/// Where a part of an edge begins, and how long it is: at least one pixel, within the edge.
fn span(edge: u32, length: (u32, u32), offset: (i32, u32)) -> Result<(u32, u32), Fault> {
    if length.1 == 0 || offset.1 == 0 {
        return Err(Fault::damaged(
            "what is to be shown of it is a fraction of nothing",
        ));
    }
    let length = f64::from(length.0) / f64::from(length.1);
    let offset = f64::from(offset.0) / f64::from(offset.1);
    let begin = (f64::from(edge) - length) / 2.0 + offset;
    let whole = f64::from(edge);
    let rounded = length.round();
    // Half a pixel may be lost to rounding, not more.
    if rounded < 1.0 || rounded > whole || begin < -0.5 || begin + length > whole + 0.5 {
        return Err(Fault::damaged("what is to be shown of it is not within it"));
    }
    let begin = begin.round().clamp(0.0, whole - rounded);
    // Both are within the edge.
    Ok((begin as u32, rounded as u32))
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{DynamicImage, GrayImage, Luma, imageops};

    fn aperture(width: u32, height: u32, right: i32, down: i32) -> Property<'static> {
        Property::CleanAperture(CleanAperture {
            width: (width, 1),
            height: (height, 1),
            right: (right, 2),
            down: (down, 2),
        })
    }

    /// Every sequence of three properties does to a picture what the properties do one by one.
    #[test]
    fn a_view_is_what_its_properties_make_of_a_picture() {
        let stored = GrayImage::from_fn(9, 7, |x, y| Luma([(y * 9 + x) as u8]));
        let properties = [
            Property::Rotation(0),
            Property::Rotation(1),
            Property::Rotation(2),
            Property::Rotation(3),
            Property::Mirror { left_right: true },
            Property::Mirror { left_right: false },
            aperture(4, 4, 1, -1),
            aperture(5, 3, 0, 0),
        ];
        for first in properties {
            for second in properties {
                for third in properties {
                    let mut view = View::whole(9, 7);
                    let mut expected = stored.clone();
                    let applied = [first, second, third].iter().try_for_each(|property| {
                        view.apply(property)?;
                        expected = one_by_one(&expected, property);
                        Ok::<_, Fault>(())
                    });
                    if applied.is_err() {
                        continue;
                    }
                    let Rect {
                        left,
                        top,
                        width,
                        height,
                    } = view.crop;
                    let cut = imageops::crop_imm(&stored, left, top, width, height).to_image();
                    let mut shown = DynamicImage::ImageLuma8(cut);
                    shown.apply_orientation(view.orientation());
                    assert_eq!(
                        shown.into_luma8(),
                        expected,
                        "{first:?} {second:?} {third:?}"
                    );
                }
            }
        }
    }

    fn one_by_one(picture: &GrayImage, property: &Property<'_>) -> GrayImage {
        match property {
            Property::Rotation(1) => imageops::rotate270(picture),
            Property::Rotation(2) => imageops::rotate180(picture),
            Property::Rotation(3) => imageops::rotate90(picture),
            Property::Mirror { left_right: true } => imageops::flip_horizontal(picture),
            Property::Mirror { left_right: false } => imageops::flip_vertical(picture),
            Property::CleanAperture(part) => {
                let (width, height) = (part.width.0, part.height.0);
                let begin = |edge: u32, length: u32, offset: i32| {
                    let middle = (f64::from(edge) - f64::from(length)) / 2.0;
                    // What half a pixel puts beyond the edge is at the edge.
                    let begin = (middle + f64::from(offset) / 2.0).round() as u32;
                    begin.min(edge - length)
                };
                imageops::crop_imm(
                    picture,
                    begin(picture.width(), width, part.right.0),
                    begin(picture.height(), height, part.down.0),
                    width,
                    height,
                )
                .to_image()
            }
            _ => picture.clone(),
        }
    }

    #[test]
    fn a_part_that_is_not_within_the_picture_is_refused() {
        for property in [
            aperture(10, 7, 0, 0),
            aperture(0, 7, 0, 0),
            aperture(9, 7, 3, 0),
            Property::CleanAperture(CleanAperture {
                width: (9, 0),
                height: (7, 1),
                right: (0, 1),
                down: (0, 1),
            }),
        ] {
            assert!(View::whole(9, 7).apply(&property).is_err(), "{property:?}");
        }
    }
}
