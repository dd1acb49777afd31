//! Small pictures of every format that are made by code, as seeds for the fuzz targets:
//! `cargo run -p imgn-testkit --example seeds -- DIRECTORY`.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result};
use image::ExtendedColorType::{Rgb16, Rgba8};
use imgn_testkit::pictures::{self, Heif, HeifCoding, Jpeg, Tiff, TiffCompression};

fn main() -> Result<()> {
    let directory = std::env::args_os().nth(1).map(PathBuf::from);
    let directory = directory.context("usage: seeds DIRECTORY")?;
    fs::create_dir_all(&directory)?;
    for (name, file) in seeds() {
        fs::write(directory.join(name), file)?;
    }
    Ok(())
}

fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let heif = Heif::default();
    let transparent = Heif {
        alpha: true,
        ..Heif::default()
    };
    let preview = Jpeg {
        orientation: 6,
        preview: Some(pictures::scene(40, 27)),
        ..Jpeg::default()
    };
    let packed = Tiff {
        compression: TiffCompression::PredictedLzw,
        orientation: 6,
        ..Tiff::default()
    };
    vec![
        ("preview.jpg", preview.of(&pictures::scene(80, 54))),
        ("turned.jpg", pictures::oriented_jpeg(60, 40, 6)),
        ("progressive.jpg", pictures::progressive_jpeg(80, 60)),
        ("inks.jpg", pictures::cmyk_jpeg(60, 40)),
        ("odd.jpg", pictures::jpeg_with_odd_header(60, 40)),
        ("alpha.png", pictures::png(60, 40, Rgba8)),
        ("deep.png", pictures::png(30, 20, Rgb16)),
        ("turned.png", pictures::png_with_exif(60, 40, 8)),
        ("palette.png", pictures::palette_png(60, 40)),
        ("interlaced.png", pictures::interlaced_png(30, 20)),
        ("animated.png", pictures::animated_png(30, 20, 3)),
        ("animated.gif", pictures::animated_gif(60, 40, 3)),
        ("turned.webp", pictures::webp_with_exif(60, 40, 5)),
        ("animated.webp", pictures::animated_webp(60, 40, 3)),
        ("plain.avif", heif.write(HeifCoding::Av1)),
        ("alpha.avif", transparent.write(HeifCoding::Av1)),
        ("animated.avif", pictures::animated_avif(3, true)),
        ("plain.heic", heif.write(HeifCoding::Hevc)),
        ("deep.heic", heif.write(HeifCoding::DeepHevc)),
        ("plain.tif", Tiff::default().of_scene(60, 40)),
        ("packed.tif", packed.of_scene(60, 40)),
        ("plain.bmp", pictures::bmp(40, 30, false)),
        ("alpha.bmp", pictures::bmp(40, 30, true)),
        ("plain.jxl", pictures::jxl()),
        ("turned.jxl", pictures::oriented_jxl(6)),
    ]
}
