//! `cargo +nightly fuzz run details --features libfuzzer fuzz/corpus`: what is learned from pieces of a file.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| imgn_fuzz::details(data));
