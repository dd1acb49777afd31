//! The first thing there is to show of a photograph: `preview FILE` prints how large the preview in its EXIF data is.
//!
//! For `cargo xtask bench thumbs`, which times it.

#![allow(
    clippy::print_stdout,
    clippy::allow_attributes,
    reason = "a program for the terminal"
)]

use std::{fs::File, io::Read as _, process::ExitCode};

use imgn_thumbs::{Limits, PREVIEW_BYTES, preview};

fn main() -> std::io::Result<ExitCode> {
    let Some(path) = std::env::args_os().nth(1) else {
        return Ok(ExitCode::from(2));
    };
    let mut prefix = Vec::with_capacity(PREVIEW_BYTES);
    File::open(path)?
        .take(PREVIEW_BYTES as u64)
        .read_to_end(&mut prefix)?;
    Ok(match preview(&prefix, &Limits::default()) {
        Some(preview) => {
            let bytes = preview.jpeg.len();
            println!("{} x {}, {bytes} bytes", preview.width, preview.height);
            ExitCode::SUCCESS
        }
        None => ExitCode::FAILURE,
    })
}
