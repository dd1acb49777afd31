//! The reduced decoder against libjpeg-turbo at the same scale, on every way to store a picture that it takes.

mod coefficients;

use std::sync::LazyLock;

use coefficients::{Spec, write};
use image::RgbImage;
use imgn_testkit::pictures;
use proptest::prelude::*;
use turbojpeg::{Compressor, Decompressor, PixelFormat, ScalingFactor, Subsamp, YuvImage};

use super::*;

const SUBSAMPLINGS: [Subsamp; 6] = [
    Subsamp::None,
    Subsamp::Sub2x1,
    Subsamp::Sub2x2,
    Subsamp::Sub1x2,
    Subsamp::Sub4x1,
    Subsamp::Gray,
];

/// How a picture is encoded.
#[derive(Debug, Clone, Copy)]
struct Encoding {
    subsampling: Subsamp,
    quality: i32,
    is_progressive: bool,
    is_optimized: bool,
}

impl Encoding {
    fn encode(self, picture: &RgbImage) -> Vec<u8> {
        let mut compressor = Compressor::new().unwrap();
        compressor.set_quality(self.quality).unwrap();
        compressor.set_subsamp(self.subsampling).unwrap();
        compressor.set_progressive(self.is_progressive).unwrap();
        compressor.set_optimize(self.is_optimized).unwrap();
        let (width, height) = (picture.width() as usize, picture.height() as usize);
        compressor
            .compress_to_vec(turbojpeg::Image {
                pixels: picture.as_raw().as_slice(),
                width,
                pitch: width * 3,
                height,
                format: PixelFormat::RGB,
            })
            .unwrap()
    }
}

/// The planes as stored, without what fills up the units.
fn reduced(file: &[u8], scale: Scale) -> Option<Vec<Upright>> {
    let limits = Limits::default();
    let mut headers = Headers::new(file)?;
    let Next::Scan(scan) = headers.next(&limits)? else {
        return None;
    };
    let frame = headers.frame()?;
    if !is_within(&frame, scale, file.len() - scan.data, 0, &limits) {
        return None;
    }
    let planes = if frame.is_progressive {
        progressive::read(file, &mut headers, &frame, scan, &limits, scale)?
    } else {
        sequential(file, &mut headers, &frame, scan, &limits, scale)?
    };
    let upright = |plane: &Plane| plane.upright(crate::Orientation::NoTransforms);
    Some(planes.iter().map(upright).collect())
}

/// The planes as libjpeg-turbo makes them.
fn reference(file: &[u8], scale: ScalingFactor) -> Vec<(usize, usize, Vec<u8>)> {
    let mut decoder = Decompressor::new().unwrap();
    let header = decoder.read_header(file).unwrap();
    decoder.set_scaling_factor(scale).unwrap();
    let (width, height) = (scale.scale(header.width), scale.scale(header.height));
    let length = turbojpeg::yuv_pixels_len(width, 1, height, header.subsamp).unwrap();
    let mut pixels = vec![0; length];
    decoder
        .decompress_to_yuv(
            file,
            YuvImage {
                pixels: pixels.as_mut_slice(),
                width,
                align: 1,
                height,
                subsamp: header.subsamp,
            },
        )
        .unwrap();
    let (across, down) = (header.subsamp.width(), header.subsamp.height());
    let chroma = (width.div_ceil(across), height.div_ceil(down));
    // Luma too is filled up to whole samples of chroma.
    let luma = (chroma.0 * across, chroma.1 * down);
    let sizes: &[(usize, usize)] = match header.subsamp {
        Subsamp::Gray => &[luma],
        _ => &[luma, chroma, chroma],
    };
    let mut planes = Vec::new();
    let mut rest = pixels.as_slice();
    for &(width, height) in sizes {
        let (plane, behind) = rest.split_at(width * height);
        planes.push((width, height, plane.to_vec()));
        rest = behind;
    }
    planes
}

/// A sample as libjpeg rounds it.
fn rounded(sample: u16) -> u8 {
    ((sample + 128) >> 8) as u8
}

/// The mean and the largest difference of what both have.
fn differences(ours: &Upright, theirs: &(usize, usize, Vec<u8>)) -> (f64, u8) {
    let (width, height, plane) = theirs;
    let (mut sum, mut count, mut largest) = (0.0, 0.0, 0);
    for y in 0..(ours.height as usize - 1).min(*height) {
        for x in 0..(ours.width as usize - 1).min(*width) {
            let ours = rounded(ours.samples[y * ours.width as usize + x]);
            let difference = ours.abs_diff(plane[y * width + x]);
            sum += f64::from(difference);
            count += 1.0;
            largest = difference.max(largest);
        }
    }
    assert!(count > 0.0, "something is compared");
    (sum / count, largest)
}

fn assert_near(file: &[u8], mean: f64, largest: u8, what: &dyn std::fmt::Debug) {
    let ours = reduced(file, Scale::Eighth).unwrap_or_else(|| panic!("{what:?} is not taken"));
    let theirs = reference(file, ScalingFactor::ONE_EIGHTH);
    assert_eq!(ours.len(), theirs.len(), "{what:?}");
    for (number, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
        let found = differences(ours, theirs);
        assert!(
            found.0 <= mean && found.1 <= largest,
            "{what:?}, plane {number}: {found:?}"
        );
    }
}

#[test]
fn an_eighth_of_a_sequential_picture_is_libjpegs() {
    for subsampling in SUBSAMPLINGS {
        for quality in [1, 10, 50, 75, 90, 95, 100] {
            for (width, height) in [(8, 8), (257, 131), (640, 427)] {
                for is_optimized in [false, true] {
                    let encoding = Encoding {
                        subsampling,
                        quality,
                        is_progressive: false,
                        is_optimized,
                    };
                    let file = encoding.encode(&pictures::scene(width, height));
                    assert_near(&file, 0.0, 0, &(encoding, width, height));
                }
            }
        }
    }
}

/// What is not read of a coefficient is less than a quarter of a level, and goes to neither side.
#[test]
fn an_eighth_of_a_progressive_picture_is_libjpegs_but_for_rounding() {
    for subsampling in SUBSAMPLINGS {
        for quality in [1, 10, 30, 50, 75, 90, 95, 100] {
            let encoding = Encoding {
                subsampling,
                quality,
                is_progressive: true,
                is_optimized: true,
            };
            let file = encoding.encode(&pictures::scene(1201, 803));
            assert_near(&file, 0.3, 1, &encoding);
            let ours = reduced(&file, Scale::Eighth).unwrap();
            for (ours, theirs) in ours.iter().zip(reference(&file, ScalingFactor::ONE_EIGHTH)) {
                let bias = bias(ours, &theirs);
                assert!(bias.abs() < 0.15, "{encoding:?}: {bias}");
            }
        }
    }
}

/// How much brighter ours is, in the mean.
fn bias(ours: &Upright, (width, height, plane): &(usize, usize, Vec<u8>)) -> f64 {
    let size = (
        (ours.width as usize - 1).min(*width),
        (ours.height as usize - 1).min(*height),
    );
    let mut sum = 0.0;
    for y in 0..size.1 {
        for x in 0..size.0 {
            sum += f64::from(rounded(ours.samples[y * ours.width as usize + x]));
            sum -= f64::from(plane[y * width + x]);
        }
    }
    sum / (size.0 * size.1) as f64
}

#[test]
fn every_odd_size_is_taken() {
    for edge in 1..=70 {
        for (width, height) in [(edge, 71 - edge), (edge, 33), (17, edge)] {
            for subsampling in SUBSAMPLINGS {
                for is_progressive in [false, true] {
                    let encoding = Encoding {
                        subsampling,
                        quality: 85,
                        is_progressive,
                        is_optimized: false,
                    };
                    let file = encoding.encode(&pictures::scene(width, height));
                    let most = u8::from(is_progressive);
                    assert_near(&file, most.into(), most, &(encoding, width, height));
                }
            }
        }
    }
}

const SAMPLINGS: [&[(usize, usize)]; 12] = [
    &[(1, 1)],
    &[(2, 2)],
    &[(1, 1), (1, 1), (1, 1)],
    &[(2, 1), (1, 1), (1, 1)],
    &[(2, 2), (1, 1), (1, 1)],
    &[(1, 2), (1, 1), (1, 1)],
    &[(4, 1), (1, 1), (1, 1)],
    &[(2, 2), (2, 1), (1, 2)],
    &[(1, 1), (2, 2), (1, 2)],
    &[(3, 1), (1, 2), (1, 1)],
    &[(4, 2), (1, 1), (1, 1)],
    &[(2, 2), (2, 2), (1, 1)],
];

/// Every sampling, scans of one component and of three, restart markers, and codes of every length.
#[test]
fn every_block_is_where_it_belongs() {
    for (sampling, seed) in SAMPLINGS.iter().zip(1..) {
        for (width, height) in [(1, 1), (8, 9), (65, 33), (200, 131)] {
            for is_interleaved in [true, false] {
                for restart_interval in [0, 1, 3, 50] {
                    check_blocks(&Spec {
                        width,
                        height,
                        sampling: sampling.to_vec(),
                        is_interleaved,
                        restart_interval,
                        step: (seed * 37 % 60) as u8 + 1,
                        seed,
                    });
                }
            }
        }
    }
}

/// The mean of the first half of a block's longest wave, of what its coefficient means.
const HALF_WAVE: f64 = 0.906_127;

fn check_blocks(spec: &Spec) {
    let (file, components) = write(spec);
    let eighths = reduced(&file, Scale::Eighth).unwrap_or_else(|| panic!("{spec:?} is not taken"));
    let quarters =
        reduced(&file, Scale::Quarter).unwrap_or_else(|| panic!("{spec:?} is not taken"));
    for ((component, eighth), quarter) in components.iter().zip(&eighths).zip(&quarters) {
        let step = i32::from(spec.step);
        for y in 0..eighth.height as usize - 1 {
            for x in 0..eighth.width as usize - 1 {
                let block = component.blocks[y * component.across + x].map(|value| value * step);
                let expected = (f64::from(block[0]) / 8.0 + 128.0).clamp(0.0, 255.0);
                let found = f64::from(eighth.samples[y * eighth.width as usize + x]) / 256.0;
                assert!((found - expected).abs() < 0.01, "{spec:?} at {x}, {y}");
            }
        }
        for y in 0..quarter.height as usize - 1 {
            for x in 0..quarter.width as usize - 1 {
                let block =
                    component.blocks[y / 2 * component.across + x / 2].map(|value| value * step);
                let (across, down) = (1 - (x as i32 & 1) * 2, 1 - (y as i32 & 1) * 2);
                let single = f64::from(block[1] * across + block[2] * down);
                let sum = f64::from(block[0])
                    + single * HALF_WAVE
                    + f64::from(block[4] * across * down) * HALF_WAVE * HALF_WAVE;
                let expected = (sum / 8.0 + 128.0).clamp(0.0, 255.0);
                let found = f64::from(quarter.samples[y * quarter.width as usize + x]) / 256.0;
                // 1,024ths are a little off, which shows in coefficients that no picture has.
                let size: i32 = [0, 1, 2, 4].iter().map(|&place| block[place].abs()).sum();
                let most = 0.01 + f64::from(size) / 8.0 * 4e-4;
                assert!((found - expected).abs() <= most, "{spec:?} at {x}, {y}");
            }
        }
    }
}

#[test]
fn a_quarter_is_near_libjpegs() {
    for subsampling in SUBSAMPLINGS {
        for quality in [75, 80, 90, 95, 100] {
            for is_progressive in [false, true] {
                let encoding = Encoding {
                    subsampling,
                    quality,
                    is_progressive,
                    is_optimized: is_progressive,
                };
                let file = encoding.encode(&pictures::scene(1201, 803));
                let ours = reduced(&file, Scale::Quarter)
                    .unwrap_or_else(|| panic!("{encoding:?} is not taken"));
                // Ours leaves out the higher of the odd frequencies: edges differ.
                for (ours, theirs) in ours
                    .iter()
                    .zip(reference(&file, ScalingFactor::ONE_QUARTER))
                {
                    let (mean, _) = differences(ours, &theirs);
                    let bias = bias(ours, &theirs);
                    assert!(
                        mean < 1.0 && bias.abs() < 0.15,
                        "{encoding:?}: {mean} {bias}"
                    );
                }
            }
        }
    }
}

/// What is missing of its first scans could be seen.
#[test]
fn a_quarter_of_a_coarse_progressive_picture_is_left_to_others() {
    let encoding = Encoding {
        subsampling: Subsamp::Sub2x2,
        quality: 30,
        is_progressive: true,
        is_optimized: true,
    };
    let file = encoding.encode(&pictures::scene(1201, 803));
    assert!(reduced(&file, Scale::Quarter).is_none());
    assert!(reduced(&file, Scale::Eighth).is_some());
}

/// What this decoder must not take, because it would show something else.
#[test]
fn what_is_odd_is_left_to_others() {
    let limits = Limits::default();
    let sound = pictures::jpeg(640, 480);
    assert!(decode(&sound, &limits, 32).is_some());
    assert!(
        decode(&sound, &limits, 200).is_none(),
        "more than a quarter"
    );
    assert!(
        decode(&pictures::cmyk_jpeg(640, 480), &limits, 32).is_none(),
        "inks"
    );
    assert!(decode(&pictures::jpeg_with_odd_header(640, 480), &limits, 32).is_none());
    assert!(decode(&pictures::claimed_jpeg(9_000, 9_000), &limits, 32).is_none());
    assert!(decode(b"\xff\xd8", &limits, 32).is_none());
    assert!(
        decode(
            &pictures::png(64, 64, image::ExtendedColorType::Rgb8),
            &limits,
            8
        )
        .is_none()
    );
    let few_pixels = Limits {
        max_pixels: 640 * 480 - 1,
        ..Limits::default()
    };
    assert!(decode(&sound, &few_pixels, 32).is_none(), "a limit");
    let frame = sound
        .windows(2)
        .position(|pair| pair == [0xff, 0xc0])
        .unwrap();
    for (at, value, what) in [
        (1, 0xc9, "arithmetic"),
        (1, 0xc3, "lossless"),
        (4, 12, "12 bits"),
        (11, 0x52, "five samples across"),
        (12, 4, "a table that cannot be"),
        (12, 3, "a table that is not there"),
    ] {
        let mut odd = sound.clone();
        odd[frame + at] = value;
        assert!(decode(&odd, &limits, 32).is_none(), "{what}");
    }
    let rgb = [b'R', b'G', b'B'];
    let mut odd = sound.clone();
    let scan = odd
        .windows(2)
        .position(|pair| pair == [0xff, 0xda])
        .unwrap();
    for (number, id) in rgb.into_iter().enumerate() {
        odd[frame + 10 + number * 3] = id;
        odd[scan + 5 + number * 2] = id;
    }
    assert!(decode(&odd, &limits, 32).is_none(), "RGB");
}

static FILES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let mut files = Vec::new();
    for subsampling in [Subsamp::None, Subsamp::Sub2x2, Subsamp::Gray] {
        for is_progressive in [false, true] {
            let encoding = Encoding {
                subsampling,
                quality: 60,
                is_progressive,
                is_optimized: is_progressive,
            };
            files.push(encoding.encode(&pictures::scene(150, 90)));
        }
    }
    for (sampling, seed) in SAMPLINGS.iter().zip(1..) {
        let spec = Spec {
            width: 70,
            height: 50,
            sampling: sampling.to_vec(),
            is_interleaved: seed % 2 == 0,
            restart_interval: seed as u16 % 4,
            step: 8,
            seed,
        };
        files.push(write(&spec).0);
    }
    files
});

#[test]
fn what_is_cut_off_is_not_taken() {
    for file in FILES.iter() {
        let is_progressive = file.windows(2).any(|pair| pair == [0xff, 0xc2]);
        assert!(decode(file, &Limits::default(), 8).is_some());
        // Every length near the ends, and some between.
        for length in (0..file.len()).filter(|it| it % 37 == 0 || file.len() - it < 40) {
            let taken = decode(&file[..length], &Limits::default(), 8);
            assert!(
                is_progressive && length > 300 || taken.is_none(),
                "{length} of {}",
                file.len()
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    /// Whatever happens to the bytes: a picture or none.
    #[test]
    fn no_bytes_make_it_panic(
        which in any::<prop::sample::Index>(),
        edge in prop::sample::select(vec![1_u32, 8, 13, 25, 30]),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), any::<bool>()), 1..12),
        keep in any::<prop::sample::Index>(),
        is_cut in any::<bool>(),
    ) {
        let mut file = FILES[which.index(FILES.len())].clone();
        for (at, value, is_early) in changes {
            let range = if is_early { file.len().min(700) } else { file.len() };
            file[at.index(range)] = value;
        }
        if is_cut {
            file.truncate(keep.index(file.len()));
        }
        if let Some(reduced) = decode(&file, &Limits::default(), edge) {
            let rendition = reduced.rendition(edge).unwrap();
            prop_assert!(rendition.width.max(rendition.height) <= edge);
        }
    }
}
