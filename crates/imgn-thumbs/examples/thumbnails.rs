//! Makes a thumbnail of each file that a list names, one path a line, and says in JSON what came of it, one object a
//! line: `{file, format, width, height, details, error, thumb}`, where `details` is what the first pieces of the file
//! say: format, width and height. What is compared with other programs is made by this
//! (`tests/pictures/conformance.py`).
//!
//! `cargo run -p imgn-thumbs --example thumbnails -- LISTFILE OUTDIR`

#![allow(
    clippy::print_stdout,
    clippy::allow_attributes,
    reason = "what a program prints is its answer"
)]

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use imgn_thumbs::{Limits, details, verify};
use serde_json::{Value, json};

/// The long edge of a thumbnail, as the gallery has them.
const EDGE: u32 = 320;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(list), Some(directory)) = (arguments.next(), arguments.next()) else {
        return Err("usage: thumbnails LISTFILE OUTDIR".into());
    };
    fs::create_dir_all(&directory)?;
    for (number, path) in fs::read_to_string(list)?.lines().enumerate() {
        let thumb = directory.join(format!("{number}.jpg"));
        println!("{}", answer(Path::new(path), &thumb)?);
    }
    Ok(())
}

fn answer(path: &Path, thumb: &Path) -> Result<Value, Box<dyn Error>> {
    let bytes = fs::read(path)?;
    // Asked also of what is refused: it must end, and not panic.
    let found = details(&mut fs::File::open(path)?).ok();
    let found = found.map(|found| json!([found.format.to_string(), found.width, found.height]));
    Ok(match verify(&bytes, &Limits::default(), &[EDGE]) {
        Ok(picture) => {
            for rendition in &picture.renditions {
                fs::write(thumb, &rendition.jpeg)?;
            }
            json!({
                "file": path,
                "format": picture.header.format.to_string(),
                "width": picture.header.width,
                "height": picture.header.height,
                "frames": picture.header.frames,
                "details": found,
                "error": Value::Null,
                "thumb": thumb,
            })
        }
        Err(error) => json!({ "file": path, "error": error.to_string(), "thumb": Value::Null }),
    })
}
