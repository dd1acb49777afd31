//! `thumb`: thumbnails of files on this computer. No gallery is asked and no profile opened.
//!
//! Invariant: no file that is there is written to. Lines come in the order of the files, whoever made them first.

use std::{
    collections::{BTreeMap, HashSet},
    fs::{self, File, OpenOptions},
    io::{self, Cursor, Read, Write as _},
    path::{Path, PathBuf},
    sync::{
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    thread,
};

use anyhow::{Context as _, Result};
use imgn_core::{ClientCode, Code, UploadCode, ViewError, protocol::ErrorCode};
use imgn_thumbs::{Limits, PictureError, SNIFF_BYTES, details, sniff, thumbnail};
use jiff::Timestamp;
use serde::Serialize;

use crate::output::Output;

/// Larger files are not read: no format that is taken makes a file of that size within the limit of pixels.
const MAX_FILE_BYTES: u64 = 1 << 30;

#[derive(Serialize)]
struct Line<'a> {
    path: &'a Path,
    thumb: Option<&'a Path>,
    width: Option<u32>,
    height: Option<u32>,
    details: Option<&'a Told>,
    error: Option<ViewError>,
}

/// A thumbnail that was written.
struct Written {
    path: PathBuf,
    width: u32,
    height: u32,
    details: Option<Told>,
}

/// What the picture says of itself.
#[derive(Serialize)]
struct Told {
    content_type: &'static str,
    width: u32,
    height: u32,
    taken_at: Option<Timestamp>,
    /// Minutes by which the camera's clock was ahead of UTC, where it says so.
    utc_offset_minutes: Option<i32>,
    camera: Option<String>,
    lens: Option<String>,
    exposure_seconds: Option<f64>,
    f_number: Option<f64>,
    iso: Option<u32>,
    focal_length_mm: Option<f64>,
    has_location: bool,
}

impl Told {
    fn of(bytes: &[u8]) -> Option<Self> {
        let details = details(&mut Cursor::new(bytes)).ok()?;
        let metadata = details.metadata;
        Some(Self {
            content_type: details.format.content_type(),
            width: details.width,
            height: details.height,
            taken_at: metadata.taken_at,
            utc_offset_minutes: metadata.utc_offset.map(|offset| offset.seconds() / 60),
            camera: metadata.camera,
            lens: metadata.lens,
            exposure_seconds: metadata.exposure.seconds,
            f_number: metadata.exposure.f_number,
            iso: metadata.exposure.iso,
            focal_length_mm: metadata.exposure.focal_length,
            has_location: metadata.has_location,
        })
    }
}

/// Makes a thumbnail in `directory` for each of `files`; answers whether all were made.
pub(crate) fn thumb(
    output: &Output,
    files: &[PathBuf],
    directory: &Path,
    edge: u32,
) -> Result<bool> {
    fs::create_dir_all(directory)
        .with_context(|| format!("{}: cannot make this folder", directory.display()))?;
    let names = names(files);
    let next = AtomicUsize::new(0);
    let is_over = AtomicBool::new(false);
    let (sender, made) = mpsc::channel();
    let with_details = output.json;
    let workers = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..workers.min(files.len()) {
            let (sender, names, next, is_over) = (sender.clone(), &names, &next, &is_over);
            scope.spawn(move || {
                // One for all files of a worker, since fresh memory costs as much as reading into it.
                let mut bytes = Vec::new();
                while !is_over.load(Ordering::Relaxed) {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some((file, name)) = files.get(number).zip(names.get(number)) else {
                        return;
                    };
                    let written = read(file, &mut bytes).and_then(|()| {
                        let mut written = make(&bytes, directory, name, edge)?;
                        written.details = with_details.then(|| Told::of(&bytes)).flatten();
                        Ok(written)
                    });
                    if sender.send((number, written)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let told = tell(output, files, &made);
        // Where nobody reads what is told, nothing more is made.
        is_over.store(told.is_err(), Ordering::Relaxed);
        told
    })
}

fn tell(
    output: &Output,
    files: &[PathBuf],
    made: &mpsc::Receiver<(usize, Result<Written, ViewError>)>,
) -> Result<bool> {
    let mut early = BTreeMap::new();
    let mut all_done = true;
    for (number, file) in files.iter().enumerate() {
        let written = loop {
            if let Some(written) = early.remove(&number) {
                break written;
            }
            let (number, written) = made.recv().context("a worker ended")?;
            early.insert(number, written);
        };
        all_done &= written.is_ok();
        tell_one(output, file, written)?;
    }
    Ok(all_done)
}

fn tell_one(output: &Output, path: &Path, written: Result<Written, ViewError>) -> io::Result<()> {
    if let Err(error) = &written {
        output.error(format!("{}: {}", path.display(), error.message));
    }
    if output.json {
        let (written, error) = match written {
            Ok(written) => (Some(written), None),
            Err(error) => (None, Some(error)),
        };
        return output.object(&Line {
            path,
            width: written.as_ref().map(|it| it.width),
            height: written.as_ref().map(|it| it.height),
            thumb: written.as_ref().map(|it| it.path.as_path()),
            details: written.as_ref().and_then(|it| it.details.as_ref()),
            error,
        });
    }
    match written {
        Ok(written) => output.line(written.path.display()),
        Err(_) => Ok(()),
    }
}

/// Reads a file, `-` for standard input, in place of what is in `bytes`. What is no picture is not read.
fn read(path: &Path, bytes: &mut Vec<u8>) -> Result<(), ViewError> {
    bytes.clear();
    if path == Path::new("-") {
        return read_picture(io::stdin().lock(), bytes);
    }
    // Asked before opening, for opening a named pipe would wait for its writer.
    let metadata = fs::metadata(path).map_err(|error| unreadable(&error))?;
    if !metadata.is_file() {
        let message = "it is no regular file; choose a picture's file";
        return Err(error(Code::Upload(UploadCode::NotAFile), message));
    }
    let file = File::open(path).map_err(|error| unreadable(&error))?;
    bytes.reserve(usize::try_from(metadata.len().min(MAX_FILE_BYTES)).unwrap_or_default());
    read_picture(file, bytes)
}

fn read_picture(mut from: impl Read, bytes: &mut Vec<u8>) -> Result<(), ViewError> {
    let mut read = |most: u64, bytes: &mut Vec<u8>| {
        let mut from = from.by_ref().take(most);
        from.read_to_end(bytes).map_err(|error| unreadable(&error))
    };
    if read(SNIFF_BYTES as u64, bytes)? == 0 {
        let message = "the file is empty; choose a picture";
        return Err(error(Code::Upload(UploadCode::FileEmpty), message));
    }
    if sniff(bytes).is_none() {
        // It says what it is instead.
        return Ok(());
    }
    let rest = MAX_FILE_BYTES - bytes.len() as u64;
    if read(rest, bytes)? as u64 == rest {
        let message = "the file is larger than any picture; choose another one";
        return Err(error(Code::Server(ErrorCode::TooLarge), message));
    }
    Ok(())
}

fn make(bytes: &[u8], directory: &Path, name: &Name, edge: u32) -> Result<Written, ViewError> {
    let rendition =
        thumbnail(bytes, &Limits::default(), edge).map_err(|refused| refusal(&refused))?;
    let path = write(directory, name, &rendition.jpeg).map_err(|failed| {
        let message =
            format!("its thumbnail cannot be written ({failed}); check the folder and the disk");
        error(Code::Client(ClientCode::DiskFailed), message)
    })?;
    Ok(Written {
        path,
        width: rendition.width,
        height: rendition.height,
        details: None,
    })
}

/// Writes a new file, under the first of its names that nothing has.
fn write(directory: &Path, name: &Name, bytes: &[u8]) -> io::Result<PathBuf> {
    let mut number = name.number;
    let (path, mut file) = loop {
        let path = directory.join(numbered(&name.stem, number));
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(file) => break (path, file),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
            Err(error) => return Err(error),
        }
    };
    if let Err(error) = file.write_all(bytes) {
        drop(file);
        // What failed is the writing; half a thumbnail more is the lesser evil.
        let _ = fs::remove_file(&path);
        return Err(error);
    }
    Ok(path)
}

/// What a thumbnail is to be called.
#[derive(Debug, PartialEq, Eq)]
struct Name {
    stem: String,
    number: u32,
}

/// Names for all, of which no two are alike, also where upper and lower case are.
fn names(files: &[PathBuf]) -> Vec<Name> {
    let mut taken = HashSet::new();
    files
        .iter()
        .map(|file| {
            let stem = match file.file_stem() {
                _ if file == Path::new("-") => "stdin".to_owned(),
                Some(stem) => stem.to_string_lossy().into_owned(),
                // Such as "..", which is a folder.
                None => "picture".to_owned(),
            };
            let mut number = 1;
            while !taken.insert(numbered(&stem, number).to_lowercase()) {
                number += 1;
            }
            Name { stem, number }
        })
        .collect()
}

fn numbered(stem: &str, number: u32) -> String {
    match number {
        1 => format!("{stem}.jpg"),
        _ => format!("{stem}-{number}.jpg"),
    }
}

fn refusal(refused: &PictureError) -> ViewError {
    let code = match refused {
        PictureError::NotAPicture => ErrorCode::NotAPicture,
        PictureError::UnsupportedFormat { .. } => ErrorCode::UnsupportedFormat,
        PictureError::Corrupt { .. } => ErrorCode::CorruptPicture,
        PictureError::TooManyPixels { .. }
        | PictureError::TooManyFrames { .. }
        | PictureError::TooMuchMemory { .. } => ErrorCode::TooManyPixels,
        PictureError::Timeout { .. } => ErrorCode::DecodeTimeout,
        _ => ErrorCode::Internal,
    };
    error(Code::Server(code), refused.to_string())
}

fn unreadable(failed: &io::Error) -> ViewError {
    match failed.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => error(
            Code::Upload(UploadCode::FileMissing),
            "there is no such file; check its name",
        ),
        io::ErrorKind::PermissionDenied => error(
            Code::Upload(UploadCode::FileUnreadable),
            "the file may not be read by you; change its permissions and try again",
        ),
        _ => error(
            Code::Upload(UploadCode::FileUnreadable),
            format!("the file cannot be read ({failed}); check the disk and try again"),
        ),
    }
}

fn error(code: Code, message: impl Into<String>) -> ViewError {
    ViewError {
        code,
        message: message.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_thumbnails_have_one_name() {
        let files = [
            "a.jpg",
            "b/a.png",
            "A.jpg",
            "a-2.gif",
            "..",
            "-",
            "stdin.png",
            "no extension",
        ];
        let names: Vec<String> = names(&files.map(PathBuf::from))
            .iter()
            .map(|name| numbered(&name.stem, name.number))
            .collect();
        assert_eq!(
            names,
            [
                "a.jpg",
                "a-2.jpg",
                "A-3.jpg",
                "a-2-2.jpg",
                "picture.jpg",
                "stdin.jpg",
                "stdin-2.jpg",
                "no extension.jpg"
            ]
        );
    }
}
