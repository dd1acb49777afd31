//! Originals as files: where somebody wants one, in a folder that somebody chose, or in a folder of imgn's own for another
//! program to take it from.
//!
//! Not here: what is kept for when there is no server ([`crate::mirror`]). Invariant: a file has its name only when every
//! byte of it is there and its SHA-256 is the gallery's.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use futures_util::{StreamExt as _, stream};
use imgn_protocol::{FileName, Image, ImageId, Sha256Hasher};
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

/// How long copies for other programs stay, which may read them long after they took them; and how many bytes of them, the
/// newest.
const COPIES_STAY: Duration = Duration::from_secs(24 * 60 * 60);
const COPIES_BYTES: u64 = 1 << 30;

/// The longest name of a file in bytes, on nearly all file systems.
const NAME_BYTES: usize = 255;

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
        let mut numbers: HashMap<String, u32> = HashMap::new();
        let mut downloaded = Downloaded::default();
        let mut known = Vec::with_capacity(ids.len());
        for &id in ids {
            match self.image(id).await {
                Ok(image) => {
                    // Several of one name do not get into each other's way.
                    let number = numbers.entry(numbered(&image.file_name, 1)).or_default();
                    *number += 1;
                    known.push((image, *number));
                }
                Err(error) => downloaded.failed.push((None, error)),
            }
        }
        let folder = folder.to_owned();
        let each = known.into_iter().map(|(image, number)| {
            let folder = folder.clone();
            async move {
                let file = self.download_as(&image, number, &folder).await;
                file.map_err(|error| (Some(image.file_name), error))
            }
        });
        let mut each = stream::iter(each).buffered(AT_ONCE);
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
    /// When one of them cannot be had or written. Then none is left, nor when nobody waits for them any more.
    pub async fn copies(&self, ids: &[ImageId]) -> Result<Vec<PathBuf>, CommandError> {
        let copies = self.0.home.copies();
        let folder = blocking(move || {
            remove_old(&copies);
            tempfile::tempdir_in(&copies).map_err(|error| unwritable(&copies, &error))
        })
        .await?;
        let Downloaded { files, failed } = self.download_into(ids, folder.path()).await;
        match failed.into_iter().next() {
            None => {
                let _ = folder.keep();
                Ok(files)
            }
            Some((_, error)) => Err(error),
        }
    }

    /// Whether a file is one of those copies.
    #[must_use]
    pub fn is_copy(&self, file: &Path) -> bool {
        file.starts_with(self.0.home.copies())
    }

    /// Removes copies that have stayed long enough.
    pub(super) async fn remove_old_copies(&self) {
        let copies = self.0.home.copies();
        // There may be none of it.
        let _ = tokio::task::spawn_blocking(move || remove_old(&copies)).await;
    }

    async fn download_as(
        &self,
        image: &Image,
        first: u32,
        folder: &Path,
    ) -> Result<PathBuf, CommandError> {
        for number in first..first.saturating_add(NAMES) {
            let to = folder.join(numbered(&image.file_name, number));
            let is_taken = tokio::fs::try_exists(&to).await;
            if is_taken.map_err(|error| unwritable(&to, &error))? {
                continue;
            }
            match self.download(image.id, to.clone(), false).await {
                Ok(_) => return Ok(to),
                // Another program has taken the name meanwhile.
                Err(_) if tokio::fs::try_exists(&to).await.unwrap_or(false) => {}
                Err(error) => return Err(error),
            }
        }
        let message = format!(
            "{} has too many files that are called {}; choose another folder",
            folder.display(),
            image.file_name
        );
        Err(CommandError::new(ClientCode::DiskFailed, message))
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

/// The name for the `number`th file of that name. None of them is hidden, or leaves its folder on any system: a name was chosen
/// by somebody else.
fn numbered(name: &FileName, number: u32) -> String {
    let name = name.as_str().replace(':', "_");
    let name = match name.strip_prefix('.') {
        Some(rest) => format!("_{rest}"),
        None => name,
    };
    let (stem, extension) = match name.rsplit_once('.') {
        Some((stem, extension)) => (stem, format!(".{extension}")),
        None => (name.as_str(), String::new()),
    };
    let end = match number {
        1 => extension,
        _ => format!(" ({number}){extension}"),
    };
    let room = NAME_BYTES.saturating_sub(end.len());
    format!("{}{end}", &stem[..stem.floor_char_boundary(room)])
}

/// Removes copies that have stayed long enough, and the oldest of too many. One that cannot be removed is met again.
fn remove_old(copies: &Path) {
    let entries = std::fs::read_dir(copies).into_iter().flatten().flatten();
    let mut folders: Vec<(SystemTime, PathBuf)> = entries
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    folders.sort_unstable_by(|one, other| other.cmp(one));
    let mut bytes = 0;
    for (changed, folder) in folders {
        let files = std::fs::read_dir(&folder).into_iter().flatten().flatten();
        bytes += files
            .filter_map(|file| Some(file.metadata().ok()?.len()))
            .sum::<u64>();
        let is_old = changed.elapsed().is_ok_and(|age| age > COPIES_STAY);
        if (is_old || bytes > COPIES_BYTES)
            && let Err(error) = std::fs::remove_dir_all(&folder)
        {
            tracing::debug!("{}: {error}", folder.display());
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
            ("C:x.jpg", 1, "C_x.jpg"),
        ] {
            assert_eq!(numbered(&FileName::clean(name), number), file);
        }
        let long = FileName::clean(&format!("{}.jpg", "ä".repeat(120)));
        let longer = numbered(&long, 12_345);
        assert!(
            longer.len() <= 255 && longer.ends_with("ä (12345).jpg"),
            "{longer}"
        );
    }

    #[test]
    fn old_copies_go_and_of_too_many_the_oldest() {
        let copies = tempfile::tempdir().unwrap();
        let folder = |name: &str, bytes: u64, hours: u64| {
            let folder = copies.path().join(name);
            std::fs::create_dir(&folder).unwrap();
            let file = std::fs::File::create(folder.join("a.jpg")).unwrap();
            file.set_len(bytes).unwrap();
            let age = Duration::from_secs(hours * 3600);
            let times = std::fs::FileTimes::new().set_modified(SystemTime::now() - age);
            std::fs::File::open(&folder)
                .unwrap()
                .set_times(times)
                .unwrap();
            folder
        };
        let new = folder("new", COPIES_BYTES / 2, 1);
        let older = folder("older", COPIES_BYTES / 2, 2);
        let too_many = folder("too many", 1, 3);
        let too_old = folder("too old", 0, 25);
        remove_old(copies.path());
        assert!(new.exists() && older.exists());
        assert!(!too_many.exists() && !too_old.exists());
    }
}
