//! Files of some hundred bytes that claim to be huge: what refusing them takes.
//!
//! Memory is counted by the program's own allocator, and so is that of the libraries in Rust. libjpeg-turbo, which is not,
//! does not start before the size was checked. Time is told (`--nocapture`) and not judged.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::allow_attributes,
    reason = "a test that cannot go on fails, and figures are for reading"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Instant;

use imgn_testkit::pictures::{self, HeifCoding};
use imgn_thumbs::{Limits, PictureError, inspect, preview, thumbnail, verify};

/// What a bomb may make a thread hold.
const MOST_BYTES: usize = 20 << 20;

thread_local! {
    static HELD: Cell<usize> = const { Cell::new(0) };
    static PEAK: Cell<usize> = const { Cell::new(0) };
}

/// The system's allocator, counting what this thread holds.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn count(taken: usize, given_back: usize) {
    // Not while a thread ends.
    let _ = HELD.try_with(|held| {
        let now = held.get().saturating_add(taken).saturating_sub(given_back);
        held.set(now);
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(now)));
    });
}

#[expect(unsafe_code, reason = "an allocator is made no other way")]
// SAFETY: every call goes to the system's allocator as it came; counting allocates nothing, since the cells are made at
// compile time and have no destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: the caller's promises are those that it asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Both are held while one is copied to the other.
        count(size, 0);
        count(0, layout.size());
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(0, layout.size());
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// The most bytes that were held at a time, beyond those at the start.
fn peak_of<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = HELD.get();
    PEAK.set(before);
    let value = work();
    (value, PEAK.get() - before)
}

fn bombs() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("PNG", pictures::claimed_png(50_000, 50_000)),
        ("PNG, largest", pictures::claimed_png(u32::MAX, u32::MAX)),
        ("JPEG", pictures::claimed_jpeg(65_500, 65_500)),
        (
            "progressive JPEG",
            pictures::claimed_progressive_jpeg(65_500, 65_500),
        ),
        (
            "progressive JPEG of 99 megapixels",
            pictures::claimed_progressive_jpeg(11_000, 9_000),
        ),
        ("GIF", pictures::claimed_gif(u16::MAX, u16::MAX)),
        ("WebP", pictures::claimed_webp(16_384, 16_384)),
        (
            "AVIF",
            pictures::claimed_heif(HeifCoding::Av1, 50_000, 50_000),
        ),
        (
            "HEIC",
            pictures::claimed_heif(HeifCoding::Hevc, 50_000, 50_000),
        ),
        ("TIFF", pictures::claimed_tiff(50_000, 50_000)),
        ("TIFF, largest", pictures::claimed_tiff(u32::MAX, u32::MAX)),
        ("BMP", pictures::claimed_bmp(50_000, 50_000)),
        ("BMP, largest", pictures::claimed_bmp(i32::MAX, i32::MIN)),
        ("JPEG XL", pictures::claimed_jxl(50_000, 50_000)),
        ("JPEG XL, largest", pictures::claimed_jxl(1 << 29, 1 << 29)),
        ("camera raw", pictures::claimed_raw(65_500, 65_500)),
    ]
}

#[test]
fn the_allocator_counts() {
    let (bytes, peak) = peak_of(|| vec![1_u8; 1 << 20].len());
    assert!((bytes..bytes + 1024).contains(&peak), "{peak}");
}

#[test]
fn bombs_are_refused_before_they_go_off() {
    let limits = Limits::default();
    for (name, file) in bombs() {
        let ways: [(&str, &dyn Fn() -> Option<PictureError>); 3] = [
            ("inspect", &|| inspect(&file, &limits).err()),
            ("verify", &|| verify(&file, &limits, &[320, 1280]).err()),
            ("thumbnail", &|| thumbnail(&file, &limits, 320).err()),
        ];
        for (way, refuse) in ways {
            let started = Instant::now();
            let (error, peak) = peak_of(refuse);
            let milliseconds = started.elapsed().as_secs_f64() * 1000.0;
            println!("{name}, {way}: {milliseconds:.3} ms, {peak} bytes: {error:?}");
            assert!(error.is_some(), "{name}, {way}");
            assert!(peak < MOST_BYTES, "{name}, {way}: {peak} bytes");
        }
        let (_, peak) = peak_of(|| preview(&file, &limits));
        assert!(peak < MOST_BYTES, "{name}, preview: {peak} bytes");
    }
}

/// It is the size that is refused, and not something that a decoder would have found.
#[test]
fn sizes_are_refused_from_the_header() {
    for (name, file) in bombs() {
        let error = inspect(&file, &Limits::default()).unwrap_err();
        let is_size = matches!(
            error,
            PictureError::TooManyPixels { .. } | PictureError::TooMuchMemory { .. }
        );
        assert!(is_size, "{name}: {error:?}");
    }
}
