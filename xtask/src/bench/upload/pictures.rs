//! Pictures of any size that cost nothing to make and that nothing can compress or recognize.
//!
//! They are real: a small JPEG with comments in its header, whose bytes are random. A gallery publishes them.
//! Invariant: no two files that this makes are alike.

use std::{
    fs::{self, File},
    io::{BufWriter, Read as _, Write as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};

/// 16 x 16 pixels.
const PICTURE: &[u8] = include_bytes!("../padding.jpg");

/// Where the header's first segment, which has to be the first, ends: behind the start marker and `JFIF`.
const PADDING_AT: usize = 20;

/// Marker and length of a comment, and the most that one can hold.
const COMMENT_HEAD: u64 = 4;
const COMMENT_MOST: u64 = 65_533;

/// Makes `count` files of exactly `size` bytes in `directory`, which is emptied before.
pub(in crate::bench) fn make(directory: &Path, count: usize, size: u64) -> Result<Vec<PathBuf>> {
    if directory.exists() {
        fs::remove_dir_all(directory)?;
    }
    fs::create_dir_all(directory)?;
    let mut random = File::open("/dev/urandom")?;
    (1..=count)
        .map(|number| {
            let path = directory.join(format!("picture-{number:04}.jpg"));
            let mut file = BufWriter::with_capacity(1 << 20, File::create(&path)?);
            write(&mut file, &mut random, size)?;
            file.into_inner()?.sync_all()?;
            Ok(path)
        })
        .collect()
}

fn write(file: &mut BufWriter<File>, random: &mut File, size: u64) -> Result<()> {
    let mut padding = size
        .checked_sub(PICTURE.len() as u64)
        .context("a picture cannot be that small")?;
    ensure!(
        padding == 0 || padding >= COMMENT_HEAD,
        "there is no room for a comment"
    );
    let (head, rest) = PICTURE.split_at(PADDING_AT);
    file.write_all(head)?;
    let mut comment = vec![0; COMMENT_MOST as usize];
    while padding > 0 {
        let mut length = COMMENT_MOST.min(padding - COMMENT_HEAD);
        // What is left has to have room for another comment's head.
        let left = padding - (COMMENT_HEAD + length);
        if left > 0 && left < COMMENT_HEAD {
            length -= COMMENT_HEAD;
        }
        let bytes = &mut comment[..length as usize];
        random.read_exact(bytes)?;
        file.write_all(&[0xff, 0xfe])?;
        file.write_all(&(length as u16 + 2).to_be_bytes())?;
        file.write_all(bytes)?;
        padding -= COMMENT_HEAD + length;
    }
    file.write_all(rest)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_of_their_size_and_differ() {
        let place = tempfile::tempdir().unwrap();
        for size in [1000, 65_533 + 4 + PICTURE.len() as u64 + 2, 300_000] {
            let files = make(&place.path().join("files"), 2, size).unwrap();
            let bytes: Vec<_> = files.iter().map(|file| fs::read(file).unwrap()).collect();
            assert!(bytes.iter().all(|bytes| bytes.len() as u64 == size));
            assert!(bytes.iter().all(|bytes| bytes.ends_with(&PICTURE[20..])));
            assert_ne!(bytes[0], bytes[1]);
        }
    }
}
