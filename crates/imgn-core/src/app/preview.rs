//! What files would be as uploads, before they are: for who is asked whether they may become public.
//!
//! Invariant: nothing is taken in here, and no file is written to.

use std::{
    fs::File,
    io::{BufReader, Cursor, Read as _},
    ops::ControlFlow,
    path::PathBuf,
};

use imgn_protocol::FileName;
use imgn_thumbs::{Limits, LocationFinding, location_patches, thumbnail};

use super::{App, blocking};
use crate::{ClientCode, CommandError, Folders, intake};

/// Pictures that are shown.
const SHOWN: usize = 24;

/// Pictures that are looked through for a location at most: a person waits for it.
const LOOKED_THROUGH: u32 = 500;

/// A file that is shown is never larger, in bytes: it is whole in memory.
const MOST_BYTES: u64 = 64 * 1024 * 1024;

/// Where a picture is.
#[derive(Debug, Clone)]
pub enum PreviewSource {
    /// In this file.
    File(PathBuf),
    /// Here: it was copied.
    Bytes(Vec<u8>),
}

/// A picture that would be uploaded.
#[derive(Debug, Clone)]
pub struct PreviewPicture {
    /// Its name in the gallery.
    pub name: FileName,
    /// In bytes, where it is known.
    pub size: Option<u64>,
    /// Whether it says where it was taken.
    pub has_location: bool,
    /// Where it is.
    pub source: PreviewSource,
}

/// What would be uploaded.
#[derive(Debug, Clone, Default)]
pub struct Preview {
    /// How many pictures.
    pub pictures: u32,
    /// Their bytes together.
    pub bytes: u64,
    /// The first of them.
    pub shown: Vec<PreviewPicture>,
    /// How many say where they were taken, of those that were looked through.
    pub with_location: u32,
    /// Whether all of them were.
    pub all_looked_through: bool,
}

impl App {
    /// What uploading these files and folders would upload.
    ///
    /// # Errors
    /// When the disk cannot be read at all.
    pub async fn preview(&self, paths: Vec<PathBuf>) -> Result<Preview, CommandError> {
        blocking(move || {
            let mut preview = Preview::default();
            intake::look_at(paths, Folders::Walked, |batch| {
                for looked in batch.into_iter().map(|it| it.upload) {
                    if looked.refused.is_none() {
                        let source = PreviewSource::File(looked.path);
                        preview.add(looked.file_name, looked.size, source);
                    }
                }
                ControlFlow::Continue(())
            });
            preview.end();
            Ok(preview)
        })
        .await
    }

    /// The same of pictures that were copied.
    ///
    /// # Errors
    /// When they cannot be looked at.
    pub async fn preview_copied(
        &self,
        pictures: Vec<(String, Vec<u8>)>,
    ) -> Result<Preview, CommandError> {
        blocking(move || {
            let mut preview = Preview::default();
            for (name, bytes) in pictures {
                let size = u64::try_from(bytes.len()).ok();
                preview.add(FileName::clean(&name), size, PreviewSource::Bytes(bytes));
            }
            preview.end();
            Ok(preview)
        })
        .await
    }

    /// A thumbnail of a picture that is not uploaded, as a JPEG.
    ///
    /// # Errors
    /// When it cannot be read, is too large to be shown, or is no picture after all.
    pub async fn preview_thumb(
        &self,
        source: PreviewSource,
        size: u32,
    ) -> Result<Vec<u8>, CommandError> {
        blocking(move || {
            let bytes = match source {
                PreviewSource::Bytes(bytes) => bytes,
                PreviewSource::File(path) => {
                    let mut bytes = Vec::new();
                    let read = File::open(&path)
                        .and_then(|file| file.take(MOST_BYTES + 1).read_to_end(&mut bytes));
                    read.map_err(|error| {
                        let message = format!("{} cannot be read ({error})", path.display());
                        CommandError::new(ClientCode::DiskFailed, message)
                    })?;
                    bytes
                }
            };
            if bytes.len() as u64 > MOST_BYTES {
                let message = "the picture is too large to be shown before it is uploaded";
                return Err(CommandError::new(ClientCode::InvalidInput, message));
            }
            let made = thumbnail(&bytes, &Limits::default(), size);
            made.map(|rendition| rendition.jpeg)
                .map_err(|error| CommandError::new(ClientCode::InvalidInput, error.to_string()))
        })
        .await
    }
}

impl Preview {
    fn add(&mut self, name: FileName, size: Option<u64>, source: PreviewSource) {
        self.pictures += 1;
        self.bytes += size.unwrap_or_default();
        let has_location = self.pictures <= LOOKED_THROUGH && has_location(&source);
        self.with_location += u32::from(has_location);
        if self.shown.len() < SHOWN {
            self.shown.push(PreviewPicture {
                name,
                size,
                has_location,
                source,
            });
        }
    }

    fn end(&mut self) {
        self.all_looked_through = self.pictures <= LOOKED_THROUGH;
    }
}

/// What cannot be read now is told when it is taken in.
fn has_location(source: &PreviewSource) -> bool {
    let found = match source {
        PreviewSource::File(path) => File::open(path)
            .ok()
            .and_then(|file| location_patches(&mut BufReader::new(file)).ok()),
        PreviewSource::Bytes(bytes) => location_patches(&mut Cursor::new(bytes)).ok(),
    };
    found.is_some_and(|found| found.finding() != LocationFinding::Nothing)
}
