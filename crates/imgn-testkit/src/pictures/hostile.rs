//! Files that are no sound picture, or claim what they do not hold, and sound ones with oddities that real files have.

use super::encode::{gif, jpeg, png_of_chunks, progressive_jpeg, stored_zlib, webp};
use super::isobmff::{HEIF_SIZE, HEVC_SIZE, Heif, HeifCoding};

/// A text; sent under the name of a picture.
pub const TEXT: &[u8] = b"This is not a picture, whatever its name says.\n";

/// An SVG with a script.
pub const SVG: &[u8] = b"<?xml version=\"1.0\"?>\n<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"9\" height=\"9\"><script>alert(1)</script></svg>\n";

/// The first `share` (0.0 to 1.0) of a file.
#[must_use]
pub fn truncated(file: &[u8], share: f64) -> Vec<u8> {
    file[..(file.len() as f64 * share) as usize].to_vec()
}

/// A file whose second half is overwritten with noise, but for its last two bytes.
#[must_use]
pub fn garbage_half(file: &[u8]) -> Vec<u8> {
    let mut broken = file.to_vec();
    let (half, end) = (file.len() / 2, file.len().saturating_sub(2));
    let mut random = 0x9e37_79b9_u32;
    for byte in &mut broken[half..end] {
        random ^= random << 13;
        random ^= random >> 17;
        random ^= random << 5;
        *byte = random as u8;
    }
    broken
}

/// A PNG of a few hundred bytes that claims any size: sound checksums, and data that end after a few rows' worth.
#[must_use]
pub fn claimed_png(width: u32, height: u32) -> Vec<u8> {
    let mut header = Vec::new();
    header.extend(width.to_be_bytes());
    header.extend(height.to_be_bytes());
    header.extend([8, 6, 0, 0, 0]);
    png_of_chunks(&[
        (b"IHDR", &header),
        (b"IDAT", &stored_zlib(&[0; 200])),
        (b"IEND", &[]),
    ])
}

/// A JPEG of less than a kilobyte that claims any size.
#[must_use]
pub fn claimed_jpeg(width: u16, height: u16) -> Vec<u8> {
    claim(jpeg(8, 8), 0xc0, width, height)
}

/// The same with progressive scans, all coefficients of which must be held.
#[must_use]
pub fn claimed_progressive_jpeg(width: u16, height: u16) -> Vec<u8> {
    claim(progressive_jpeg(8, 8), 0xc2, width, height)
}

/// Writes a size into a JPEG's frame header.
fn claim(mut file: Vec<u8>, frame_marker: u8, width: u16, height: u16) -> Vec<u8> {
    let frame = position(&file, frame_marker);
    // Marker, length, precision.
    file[frame + 5..frame + 7].copy_from_slice(&height.to_be_bytes());
    file[frame + 7..frame + 9].copy_from_slice(&width.to_be_bytes());
    file
}

/// A camera raw (Fujifilm's) whose preview claims any size.
#[must_use]
pub fn claimed_raw(width: u16, height: u16) -> Vec<u8> {
    let preview = claimed_jpeg(width, height);
    let mut file = b"FUJIFILMCCD-RAW ".to_vec();
    file.resize(84, 0);
    file.extend(92_u32.to_be_bytes());
    file.extend((preview.len() as u32).to_be_bytes());
    [file, preview].concat()
}

/// A GIF of a few hundred bytes whose canvas and only frame claim any size.
#[must_use]
pub fn claimed_gif(width: u16, height: u16) -> Vec<u8> {
    let size = [width.to_le_bytes(), height.to_le_bytes()].concat();
    let mut file = gif(8, 8);
    file[6..10].copy_from_slice(&size);
    let frame = |size: &[u8]| [b",\0\0\0\0", size].concat();
    replaced(&file, &frame(&[8, 0, 8, 0]), &frame(&size))
}

/// A lossless WebP of a few hundred bytes that claims any size up to 16,384 x 16,384.
#[must_use]
pub fn claimed_webp(width: u32, height: u32) -> Vec<u8> {
    let mut file = webp(8, 8, false);
    // Behind the RIFF header, the chunk's and one byte of signature: 14 bits of each edge, less one.
    let size = u32::from_le_bytes([file[21], file[22], file[23], file[24]]) >> 28 << 28;
    let size = size | (height - 1) << 14 | (width - 1);
    file[21..25].copy_from_slice(&size.to_le_bytes());
    file
}

/// An AVIF or HEIC that claims any size in its properties, and holds a small picture.
#[must_use]
pub fn claimed_heif(coding: HeifCoding, width: u32, height: u32) -> Vec<u8> {
    let property = |(width, height): (u32, u32)| {
        let edges = [width.to_be_bytes(), height.to_be_bytes()];
        [b"ispe\0\0\0\0", edges.as_flattened()].concat()
    };
    let file = Heif::default().write(coding);
    let stored = match coding {
        HeifCoding::Av1 => HEIF_SIZE,
        HeifCoding::Hevc | HeifCoding::DeepHevc => HEVC_SIZE,
    };
    replaced(&file, &property(stored), &property((width, height)))
}

/// All places of `old` as `new`, which is as long.
///
/// # Panics
/// If there is none.
fn replaced(file: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    let mut file = file.to_vec();
    let places: Vec<usize> = file
        .windows(old.len())
        .enumerate()
        .filter_map(|(at, bytes)| (bytes == old).then_some(at))
        .collect();
    assert!(!places.is_empty(), "nothing to replace");
    for at in places {
        file[at..at + old.len()].copy_from_slice(new);
    }
    file
}

/// A BMP of less than a hundred bytes that claims any size, and runs of one colour.
#[must_use]
pub fn claimed_bmp(width: i32, height: i32) -> Vec<u8> {
    let mut file = b"BM".to_vec();
    file.extend([0; 8]);
    file.extend(58_u32.to_le_bytes());
    file.extend(40_u32.to_le_bytes());
    file.extend(width.to_le_bytes());
    file.extend(height.to_le_bytes());
    file.extend(1_u16.to_le_bytes());
    file.extend(8_u16.to_le_bytes());
    // In runs, of one colour.
    for number in [1_u32, 0, 0, 0, 1, 0] {
        file.extend(number.to_le_bytes());
    }
    file.extend([9, 9, 9, 0]);
    file.extend([255, 0, 0, 1]);
    file
}

/// A sound JPEG with another file behind its end.
#[must_use]
pub fn jpeg_with_trailer(width: u32, height: u32) -> Vec<u8> {
    let mut file = jpeg(width, height);
    file.extend(jpeg(16, 16));
    file.extend(b"and the video that some phones append");
    file
}

/// A sound JPEG with stray bytes between the segments of its header, and scan parameters that belong to another kind.
#[must_use]
pub fn jpeg_with_odd_header(width: u32, height: u32) -> Vec<u8> {
    let mut file = jpeg(width, height);
    let scan = position(&file, 0xda);
    let length = usize::from(u16::from_be_bytes([file[scan + 2], file[scan + 3]]));
    // The last three bytes of a scan's header: first and last coefficient, and approximation.
    file[scan + 2 + length - 2] = 0;
    let frame = position(&file, 0xc0);
    file.splice(frame..frame, [0, 0, 0]);
    file
}

/// A sound JPEG with a few stray bytes before its end marker.
#[must_use]
pub fn stray_bytes_before_end(width: u32, height: u32) -> Vec<u8> {
    let mut file = jpeg(width, height);
    let end = file.len() - 2;
    file.splice(end..end, [0, 0, 0, 0]);
    file
}

/// Where a header segment's marker is, walking from segment to segment.
fn position(jpeg: &[u8], marker: u8) -> usize {
    let mut at = 2;
    while jpeg[at + 1] != marker {
        at += 2 + usize::from(u16::from_be_bytes([jpeg[at + 2], jpeg[at + 3]]));
    }
    at
}
