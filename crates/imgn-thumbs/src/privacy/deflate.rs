//! Compressed text that becomes other text in the same number of bytes.

use std::io::Read;

use flate2::read::ZlibDecoder;
use flate2::{Compress, Compression, FlushCompress};

/// A zlib stream's header, and its last block: empty, stored.
const HEADER: [u8; 2] = [0x78, 0xda];
const LAST_BLOCK: [u8; 5] = [1, 0, 0, 0xff, 0xff];
/// Blocks of nothing: a stored one, with none to three of fixed codes before it, ten bits each.
const EMPTY_BLOCKS: [&[u8]; 4] = [
    &[0, 0, 0, 0xff, 0xff],
    &[2, 0, 0, 0, 0xff, 0xff],
    &[2, 8, 0, 0, 0, 0xff, 0xff],
    &[2, 8, 0x20, 0, 0, 0, 0, 0xff, 0xff],
];

/// What a zlib stream holds, at most `limit` bytes of it; and whether that is all, and sound.
pub(super) fn inflate(stream: &[u8], limit: usize) -> (Vec<u8>, bool) {
    let mut text = Vec::new();
    let mut decoder = ZlibDecoder::new(stream).take(limit as u64 + 1);
    let is_sound = decoder.read_to_end(&mut text).is_ok();
    let is_whole = text.len() <= limit;
    text.truncate(limit);
    (text, is_sound && is_whole)
}

/// A zlib stream of `text`, exactly `length` bytes long, if it fits.
pub(super) fn deflate_to(text: &[u8], length: usize) -> Option<Vec<u8>> {
    // The shortest stream may leave a gap that no empty blocks fill; then one a little longer does.
    (6..=9).rev().find_map(|level| {
        let body = body(text, Compression::new(level), length)?;
        let checksum = adler32(text).to_be_bytes();
        let used = HEADER.len() + body.len() + LAST_BLOCK.len() + checksum.len();
        let padding = padding(length.checked_sub(used)?)?;
        Some([&HEADER[..], &body, &padding, &LAST_BLOCK, &checksum].concat())
    })
}

/// Blocks that hold the text, ending with a byte, in less than `room`.
fn body(text: &[u8], level: Compression, room: usize) -> Option<Vec<u8>> {
    let mut deflate = Compress::new(level, false);
    let mut body = Vec::with_capacity(room);
    deflate
        .compress_vec(text, &mut body, FlushCompress::Sync)
        .ok()?;
    // A full buffer may not be all.
    (deflate.total_in() == text.len() as u64 && body.len() < body.capacity()).then_some(body)
}

/// Blocks of nothing that are `length` bytes together.
fn padding(length: usize) -> Option<Vec<u8>> {
    let [plain, one, two, three] = EMPTY_BLOCKS;
    let odd = match length % plain.len() {
        0 => Vec::new(),
        1 => one.to_vec(),
        2 => two.to_vec(),
        3 => [one, two].concat(),
        _ => three.to_vec(),
    };
    let rest = length.checked_sub(odd.len())? / plain.len();
    Some([odd, plain.repeat(rest)].concat())
}

fn adler32(text: &[u8]) -> u32 {
    let (low, high) = text.iter().fold((1_u32, 0_u32), |(low, high), &byte| {
        let low = (low + u32::from(byte)) % 65_521;
        (low, (high + low) % 65_521)
    });
    high << 16 | low
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_of_any_sufficient_length_holds_the_text() {
        let text = b"so many words, so many words, and so little that they say".repeat(9);
        let shortest = (0..1000)
            .find(|&length| deflate_to(&text, length).is_some())
            .unwrap();
        assert!(shortest < text.len() / 2);
        let mut failed = 0;
        for length in shortest..shortest + 64 {
            match deflate_to(&text, length) {
                Some(stream) => {
                    assert_eq!(stream.len(), length);
                    assert_eq!(inflate(&stream, text.len()), (text.clone(), true));
                    assert_eq!(inflate(&stream, 5), (text[..5].to_vec(), false));
                }
                None => failed += 1,
            }
        }
        assert!(failed <= 5, "{failed} lengths have no stream");
    }
}
