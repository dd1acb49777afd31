//! `cargo +nightly fuzz run inspect --features libfuzzer fuzz/corpus`: sniffing, headers and metadata.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| imgn_fuzz::inspect(data));
