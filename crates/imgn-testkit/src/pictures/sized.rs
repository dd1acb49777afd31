//! Pictures of any size in bytes: real ones, quickly made and quickly decoded, for tests and benches of transfer.

use image::ExtendedColorType;

use super::png;

/// The chunk that holds the bytes that are no picture. Its letters say: ancillary, private, safe to copy.
const FILLING: &[u8; 4] = b"imGn";

/// What a chunk has beside its data: length, name, checksum.
const CHUNK_BYTES: usize = 12;

/// The length of the last chunk, `IEND`.
const END_BYTES: usize = CHUNK_BYTES;

/// A small PNG of exactly `size` bytes. Each seed gives other bytes that do not compress.
///
/// # Panics
/// When `size` is less than what the picture itself needs: some 3 KiB.
#[must_use]
pub fn sized_png(size: usize, seed: u64) -> Vec<u8> {
    let mut file = png(32, 24, ExtendedColorType::Rgb8);
    let end = file.split_off(file.len() - END_BYTES);
    let filling = size
        .checked_sub(file.len() + CHUNK_BYTES + END_BYTES)
        .expect("room for the picture itself");
    file.reserve_exact(size - file.len());
    let length = u32::try_from(filling).expect("a chunk has less than 4 GiB");
    file.extend_from_slice(&length.to_be_bytes());
    let start = file.len();
    file.extend_from_slice(FILLING);
    fill(&mut file, filling, seed);
    let checksum = crc32fast::hash(&file[start..]);
    file.extend_from_slice(&checksum.to_be_bytes());
    file.extend_from_slice(&end);
    file
}

fn fill(file: &mut Vec<u8>, bytes: usize, seed: u64) {
    let end = file.len() + bytes;
    // SplitMix64: every seed, zero too, gives a sequence of its own.
    let mut state = seed;
    while file.len() < end {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = state;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^= word >> 31;
        let left = (end - file.len()).min(8);
        file.extend_from_slice(&word.to_le_bytes()[..left]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_has_the_size_that_was_asked_for() {
        let one = sized_png(100_001, 1);
        assert_eq!(one.len(), 100_001);
        assert_ne!(one, sized_png(100_001, 2));
        let picture = image::load_from_memory(&one).unwrap();
        assert_eq!((picture.width(), picture.height()), (32, 24));
    }
}
