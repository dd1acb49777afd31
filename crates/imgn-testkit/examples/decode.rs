//! A plain decode, for benches: `cargo run --release -p imgn-testkit --example decode -- FILE...` decodes each JPEG to pixels
//! with libjpeg-turbo and prints how many seconds that took, reading included.
//!
//! Invariant: nothing else is made of them, so whoever verifies pictures and makes thumbnails cannot do less by this way.

use std::{fs, hint::black_box, time::Instant};

use anyhow::{Context as _, Result};
use turbojpeg::PixelFormat;

fn main() -> Result<()> {
    let begun = Instant::now();
    for path in std::env::args_os().skip(1) {
        let bytes = fs::read(&path).with_context(|| format!("{}", path.display()))?;
        let picture = turbojpeg::decompress(&bytes, PixelFormat::RGB)?;
        black_box(&picture.pixels);
    }
    print_seconds(begun.elapsed().as_secs_f64());
    Ok(())
}

#[expect(clippy::print_stdout, reason = "what a program prints is its answer")]
fn print_seconds(seconds: f64) {
    println!("{seconds}");
}
