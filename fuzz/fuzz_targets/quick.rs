//! `cargo +nightly fuzz run quick --features libfuzzer fuzz/corpus`: thumbnails and previews, where the reduced JPEG decoder is.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| imgn_fuzz::quick(data));
