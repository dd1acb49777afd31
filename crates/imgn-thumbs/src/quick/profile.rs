//! Whether a colour profile is sRGB: then a picture's colours are what every viewer takes them for.
//!
//! It converts nothing. A profile is told by what it does, not by its name: its three primaries and its curve.
//!
//! Invariant: what cannot be read is not sRGB.

use crate::bytes::{array, be16, be32};

/// sRGB's red, green and blue, adapted to the profile's white, in 65,536ths.
const PRIMARIES: [(&[u8; 4], [i32; 3]); 3] = [
    (b"rXYZ", [28_578, 14_581, 912]),
    (b"gXYZ", [25_237, 46_981, 6_363]),
    (b"bXYZ", [9_378, 3_974, 46_799]),
];
/// Profiles of sRGB differ in the third digit.
const TOLERANCE: i32 = 200;
/// What sRGB's curve makes of the middle, in 65,535ths; and how far a curve may be off.
const MIDDLE: i32 = 14_030;
const MIDDLE_TOLERANCE: i32 = 700;

pub(super) fn is_srgb(profile: &[u8]) -> bool {
    let has_primaries = PRIMARIES.iter().all(|(name, expected)| {
        tag(profile, name).is_some_and(|tag| {
            (0..3).zip(expected).all(|(number, &expected)| {
                be32(tag, 8 + number * 4)
                    .is_some_and(|found| (found as i32).abs_diff(expected) <= TOLERANCE as u32)
            })
        })
    });
    let has_curves = [b"rTRC", b"gTRC", b"bTRC"].iter().all(|name| {
        tag(profile, name)
            .and_then(middle)
            .is_some_and(|middle| middle.abs_diff(MIDDLE) <= MIDDLE_TOLERANCE as u32)
    });
    profile.get(16..20) == Some(b"RGB ") && has_primaries && has_curves
}

/// What a curve makes of the middle, in 65,535ths.
fn middle(curve: &[u8]) -> Option<i32> {
    match &array::<4>(curve, 0)? {
        b"curv" => {
            let count = be32(curve, 8)? as usize;
            if count < 16 {
                // A power; sRGB's curve is none.
                return None;
            }
            // The middle is between two places where their number is even.
            let (low, high) = ((count - 1) / 2, count / 2);
            let value = |place: usize| be16(curve, place.checked_mul(2)?.checked_add(12)?);
            Some((i32::from(value(low)?) + i32::from(value(high)?)) / 2)
        }
        b"para" => parametric(curve),
        _ => None,
    }
}

fn parametric(curve: &[u8]) -> Option<i32> {
    let number = |at: usize| Some(f64::from(be32(curve, at)? as i32) / 65_536.0);
    // A power of a line, above a line.
    if !matches!(be16(curve, 8)?, 3 | 4) {
        return None;
    }
    let (power, slope, shift) = (number(12)?, number(16)?, number(20)?);
    // Saturates.
    Some(((slope / 2.0 + shift).powf(power) * 65_535.0) as i32)
}

fn tag<'a>(profile: &'a [u8], name: &[u8; 4]) -> Option<&'a [u8]> {
    let count = be32(profile, 128)?.min(100) as usize;
    let entry = (0..count)
        .map(|number| 132 + number * 12)
        .find(|&at| array(profile, at).as_ref() == Some(name))?;
    let start = be32(profile, entry + 4)? as usize;
    let size = be32(profile, entry + 8)? as usize;
    profile.get(start..)?.get(..size)
}
