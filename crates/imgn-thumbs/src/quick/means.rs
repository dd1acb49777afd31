//! What samples are made of: the means of blocks of 8 x 8 pixels and of their quarters, from the first coefficients.
//!
//! Samples keep fractions of a grey level: what is rounded before a picture has its final size shows in soft gradients.
//!
//! Invariant: whatever the coefficients, a sample is between black and white.

use super::header::{LOW, Steps};

/// How many steps of a sample make a grey level.
pub(super) const LEVEL: i32 = 256;

/// A sample that is `value` steps above the middle.
#[inline(always)]
pub(super) fn sample(value: i32) -> u16 {
    // Clamped to what a byte can show, and so to 16 bits.
    value.wrapping_add(128 * LEVEL).clamp(0, 255 * LEVEL) as u16
}

/// The mean of a block, of twice its first coefficient: that is eight times as much.
#[inline(always)]
pub(super) fn eighth(doubled: i32, step: i32) -> u16 {
    sample(doubled.wrapping_mul(step).wrapping_mul(LEVEL / 16))
}

/// The means of a block's four quarters, as far as the lowest frequencies make them, of twice their coefficients. Odd
/// frequencies up to the seventh would add a little more.
#[inline(always)]
pub(super) fn quarter(doubled: [i32; LOW], steps: &Steps) -> [[u16; 2]; 2] {
    // The mean of half a block is 0.9061 of what the longest wave's coefficient says; here times 1,024.
    let value = |place: usize, scale: i32| {
        doubled[place]
            .wrapping_mul(steps[place])
            .wrapping_mul(scale)
    };
    let sample = |sum: i32| sample(sum / (2 * 1024 * 8 / LEVEL));
    // Stored in a zigzag: across, down, twice down, both.
    let (mean, across, down, both) = (value(0, 1024), value(1, 928), value(2, 928), value(4, 841));
    let (left, right) = (mean.wrapping_add(across), mean.wrapping_sub(across));
    let (left_difference, right_difference) = (down.wrapping_add(both), down.wrapping_sub(both));
    [
        [
            sample(left.wrapping_add(left_difference)),
            sample(right.wrapping_add(right_difference)),
        ],
        [
            sample(left.wrapping_sub(left_difference)),
            sample(right.wrapping_sub(right_difference)),
        ],
    ]
}
