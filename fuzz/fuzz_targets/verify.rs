//! `cargo +nightly fuzz run verify --features libfuzzer fuzz/corpus`: the full decoders.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| imgn_fuzz::verify(data));
