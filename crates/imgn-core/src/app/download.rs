//! Originals as files: where somebody wants one, in a folder that somebody chose, or in a folder of imgn's own for another
//! program to take it from.
//!
//! Not here: what is kept for when there is no server ([`crate::mirror`]). Invariant: a file has its name only when every
//! byte of it is there and its SHA-256 is the gallery's.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use futures_util::{StreamExt as _, stream};
use imgn_protocol::{FileName, Image, ImageId, Sha256Hasher, UploadId};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{App, Connection, blocking};
use crate::{
    ClientCode, CommandError,
    http::{broken, not_the_original},
};

/// Originals that are fetched at the same time.
const AT_ONCE: usize = 3;

/// So many names are tried for a file before it is given up.
const NAMES: u32 = 10_000;

/// How long copies for other programs stay: they may read them long after they took them.
const COPIES_STAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What became of originals that were to be written into a folder.
#[derive(Debug, Default)]
pub struct Downloaded {
    /// Their files, in the order asked.
    pub files: Vec<PathBuf>,
    /// Those that did not come: their names, as far as they are known, and why.
    pub failed: Vec<(Option<FileName>, CommandError)>,
}

impl App {
    /// Writes originals into `folder`, under their own names or, where those are taken, with a number behind. Nothing that
    /// is there is replaced.
    pub async fn download_into(&self, ids: &[ImageId], folder: &Path) -> Downloaded {
        let ids = ids.to_vec();
        let each = ids.into_iter().map(|id| async move {
            let image = self.image(id).await.map_err(|error| (None, error))?;
            let name = image.file_name.clone();
            let file = self.download_as(id, &name, folder).await;
            file.map_err(|error| (Some(name), error))
        });
        let mut each = stream::iter(each).buffered(AT_ONCE);
        let mut downloaded = Downloaded::default();
        while let Some(one) = each.next().await {
            match one {
                Ok(file) => downloaded.files.push(file),
                Err(failed) => downloaded.failed.push(failed),
            }
        }
        downloaded
    }

    /// Copies of originals under their own names, which another program may take within a day.
    ///
    /// # Errors
    /// When one of them cannot be had or written. Then none is left.
    pub async fn copies(&self, ids: &[ImageId]) -> Result<Vec<PathBuf>, CommandError> {
        let copies = self.0.home.copies();
        let folder = copies.join(UploadId::new().to_string());
        let own = folder.clone();
        blocking(move || {
            remove_old(&copies);
            std::fs::create_dir_all(&own).map_err(|error| unwritable(&own, &error))
        })
        .await?;
        let Downloaded { files, failed } = self.download_into(ids, &folder).await;
        match failed.into_iter().next() {
            None => Ok(files),
            Some((_, error)) => {
                if let Err(error) = tokio::fs::remove_dir_all(&folder).await {
                    tracing::debug!("{}: {error}", folder.display());
                }
                Err(error)
            }
        }
    }

    async fn download_as(
        &self,
        id: ImageId,
        name: &FileName,
        folder: &Path,
    ) -> Result<PathBuf, CommandError> {
        let mut number = 1;
        loop {
            let to = folder.join(numbered(name, number));
            // Another program may take the name after it was looked at.
            let is_taken = tokio::fs::try_exists(&to).await.unwrap_or(true);
            let failed = match is_taken {
                true => None,
                false => match self.download(id, to.clone(), false).await {
                    Ok(_) => return Ok(to),
                    Err(error) => Some(error),
                },
            };
            number += 1;
            match failed {
                Some(error) if !to.exists() || number > NAMES => return Err(error),
                None if number > NAMES => return Err(exists(&to)),
                _ => {}
            }
        }
    }

    /// Writes the original to `to`: under a temporary name until every byte is there and its SHA-256 is the gallery's.
    /// What is there already is replaced only with `replace`.
    ///
    /// # Errors
    /// When there is no such picture, the connection breaks, the bytes are not the original's, or the file cannot be
    /// written. Nothing is left behind then.
    pub async fn download(
        &self,
        id: ImageId,
        to: PathBuf,
        replace: bool,
    ) -> Result<Image, CommandError> {
        let connection = self.connected().await?;
        let image = self.known_image(&connection, id).await?;
        if !replace && to.exists() {
            return Err(exists(&to));
        }
        let folder = match to.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
            _ => PathBuf::from("."),
        };
        let failed = |error: &std::io::Error| unwritable(&to, error);
        let mut builder = tempfile::Builder::new();
        builder.prefix(".imgn-");
        // As a new file has them, less what the person's mask takes away; a temporary one is else for its owner only.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let temporary = builder
            .tempfile_in(&folder)
            .map_err(|error| failed(&error))?;
        let file = temporary.reopen().map_err(|error| failed(&error))?;
        let mut file = tokio::fs::File::from_std(file);
        let mut source = match kept_file(&connection, &image).await? {
            Some(kept) => match tokio::fs::File::open(&kept).await {
                Ok(file) => Source::Kept(file),
                Err(error) => return Err(unreadable(&kept, &error)),
            },
            None => Source::Server(connection.server.content(id).await?),
        };
        let (mut hasher, mut size) = (Sha256Hasher::new(), 0);
        while let Some(chunk) = source.chunk().await? {
            size += chunk.len() as u64;
            if size > image.size {
                break;
            }
            hasher.update(&chunk);
            file.write_all(&chunk)
                .await
                .map_err(|error| failed(&error))?;
        }
        file.flush().await.map_err(|error| failed(&error))?;
        if size != image.size || hasher.finish() != image.sha256 {
            return Err(not_the_original(&image));
        }
        file.sync_all().await.map_err(|error| failed(&error))?;
        let kept = keep(temporary, &to, replace);
        kept.map_err(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => exists(&to),
            _ => failed(&error),
        })?;
        Ok(image)
    }
}

/// Where an original is read from.
enum Source {
    Kept(tokio::fs::File),
    Server(reqwest::Response),
}

impl Source {
    async fn chunk(&mut self) -> Result<Option<Vec<u8>>, CommandError> {
        match self {
            Self::Server(response) => {
                let chunk = response.chunk().await.map_err(broken)?;
                Ok(chunk.map(|chunk| chunk.to_vec()))
            }
            Self::Kept(file) => {
                let mut chunk = Vec::with_capacity(READ);
                let read = file.take(READ as u64).read_to_end(&mut chunk).await;
                read.map_err(|error| {
                    let message = format!("the kept original cannot be read ({error})");
                    CommandError::new(ClientCode::DiskFailed, message)
                })?;
                Ok(Some(chunk).filter(|chunk| !chunk.is_empty()))
            }
        }
    }
}

/// Bytes of a kept original that are read at a time.
const READ: usize = 256 * 1024;

/// The file of a kept original.
pub(super) async fn kept_file(
    connection: &Connection,
    image: &Image,
) -> Result<Option<PathBuf>, CommandError> {
    match connection.mirror_if_any().await {
        Some(mirror) => mirror.kept_original(image).await,
        None => Ok(None),
    }
}

pub(super) fn unreadable(path: &Path, error: &std::io::Error) -> CommandError {
    let message = format!("{} cannot be read ({error})", path.display());
    CommandError::new(ClientCode::DiskFailed, message)
}

fn keep(file: tempfile::NamedTempFile, to: &Path, replace: bool) -> std::io::Result<()> {
    if replace {
        file.persist(to)?;
    } else {
        file.persist_noclobber(to)?;
    }
    Ok(())
}

fn exists(path: &Path) -> CommandError {
    let message = format!(
        "{} exists; name another file with -o, which replaces what is there",
        path.display()
    );
    CommandError::new(ClientCode::DiskFailed, message)
}

fn unwritable(path: &Path, error: &std::io::Error) -> CommandError {
    let message = format!("{} cannot be written ({error})", path.display());
    CommandError::new(ClientCode::DiskFailed, message)
}

/// The name for the `number`th file of that name. None of them is hidden: a point at the front of a name that somebody else
/// chose says nothing of a picture.
fn numbered(name: &FileName, number: u32) -> String {
    let name = name.as_str();
    let name = match name.strip_prefix('.') {
        Some(rest) => format!("_{rest}"),
        None => name.to_owned(),
    };
    match (number, name.rsplit_once('.')) {
        (1, _) => name,
        (_, Some((stem, extension))) => format!("{stem} ({number}).{extension}"),
        (_, None) => format!("{name} ({number})"),
    }
}

/// Removes copies that have stayed long enough. One that cannot be removed is met again.
fn remove_old(copies: &Path) {
    for entry in std::fs::read_dir(copies).into_iter().flatten().flatten() {
        let changed = entry.metadata().and_then(|metadata| metadata.modified());
        let age = changed.ok().and_then(|changed| changed.elapsed().ok());
        if age.is_some_and(|age| age > COPIES_STAY)
            && let Err(error) = std::fs::remove_dir_all(entry.path())
        {
            tracing::debug!("{}: {error}", entry.path().display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_stands_before_the_ending_and_no_file_is_hidden() {
        for (name, number, file) in [
            ("a.jpg", 1, "a.jpg"),
            ("a.jpg", 2, "a (2).jpg"),
            ("a.b.jpg", 3, "a.b (3).jpg"),
            ("a", 2, "a (2)"),
            (".profile", 1, "_profile"),
            (".a.jpg", 2, "_a (2).jpg"),
        ] {
            assert_eq!(numbered(&FileName::clean(name), number), file);
        }
    }
}
