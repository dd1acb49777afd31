//! Whether a picture of the testkit's scene is upright: its corners have the colours that belong there.

use anyhow::{Context as _, Result, ensure};
use imgn_testkit::pictures::CORNERS;

/// How far a value may be off, of 255: JPEG, scaling and colour conversion change a little; another corner's colour is
/// more than 100 off in at least one value.
const TOLERANCE: u8 = 40;

/// Where to look, in parts of the edges: the middles of the corner patches, which are a quarter of each edge wide.
const PLACES: [(f64, f64); 4] = [
    (0.125, 0.125),
    (0.875, 0.125),
    (0.125, 0.875),
    (0.875, 0.875),
];

/// Checks the colours found at the corners, in reading order.
pub(crate) fn check(found: [[u8; 3]; 4]) -> Result<()> {
    for (found, expected) in found.iter().zip(CORNERS) {
        let near = found
            .iter()
            .zip(expected)
            .all(|(&found, expected)| found.abs_diff(expected) <= TOLERANCE);
        ensure!(near, "corners are {found:?}, not {expected:?}");
    }
    Ok(())
}

/// Checks a picture's file.
pub(crate) fn check_file(bytes: &[u8]) -> Result<()> {
    let picture = image::load_from_memory(bytes)
        .context("a picture that can be decoded")?
        .to_rgb8();
    let (width, height) = picture.dimensions();
    let at = |(x, y): (f64, f64)| {
        picture
            .get_pixel(
                (x * f64::from(width)) as u32,
                (y * f64::from(height)) as u32,
            )
            .0
    };
    check(PLACES.map(at))
}
