//! Originals that are kept on this computer: files that no eviction takes, for as long as they are asked for.
//!
//! Invariant: a file has its name only once all of it is on the disk and its SHA-256 is the gallery's, and what is read
//! is checked again: what leaves here is the original, to the byte.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use imgn_protocol::{Image, ImageId, Sha256, Sha256Hasher};
use tokio::io::AsyncWriteExt as _;

use super::{Mirror, store::Kept};
use crate::{
    CommandError, MirrorPhase,
    http::{Server, broken, not_the_original},
};

/// Originals that are looked for at a time.
const BATCH: u32 = 50;

/// Files whose ids are looked up at a time.
const SWEPT_AT_A_TIME: usize = 1000;

/// How long what could not be fetched is left alone: the disk may be full, or the store out of order.
const PAUSE: Duration = Duration::from_secs(60);

/// How a file's name begins whose bytes are not all there.
const TEMPORARY: &str = ".tmp-";

/// A file of this age may be of another program that has just fetched it and not yet said so.
const YOUNG: Duration = Duration::from_secs(60 * 60);

/// The folder of kept originals.
#[derive(Debug)]
pub(super) struct Originals {
    folder: PathBuf,
}

/// Why an original is not here.
enum NotKept {
    /// It may work for another one.
    This(CommandError),
    /// Nor would any other: the disk.
    All(io::Error),
}

impl From<io::Error> for NotKept {
    fn from(error: io::Error) -> Self {
        Self::All(error)
    }
}

impl Originals {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    fn path(&self, id: ImageId) -> PathBuf {
        let name = id.to_string();
        // The last digits are random, the first are a time.
        let shard = name.get(name.len() - 2..).unwrap_or_default();
        self.folder.join(shard).join(&name)
    }

    pub(super) async fn remove(&self, ids: &[ImageId]) {
        for id in ids {
            let path = self.path(*id);
            match tokio::fs::remove_file(&path).await {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::warn!("cannot delete {} ({error})", path.display());
                }
                _ => {}
            }
        }
    }

    /// Files that are there, and have been for a while; those that somebody began and will not end are removed.
    fn old_files(&self) -> io::Result<Vec<ImageId>> {
        let mut found = Vec::new();
        for shard in entries(&self.folder)? {
            for file in entries(&shard)? {
                let age = file.metadata()?.modified()?.elapsed();
                if age.unwrap_or_default() < YOUNG {
                    continue;
                }
                let name = file.file_name().and_then(|name| name.to_str());
                let name = name.unwrap_or_default();
                if name.starts_with(TEMPORARY) {
                    std::fs::remove_file(&file)?;
                } else if let Ok(id) = name.parse() {
                    found.push(id);
                }
            }
        }
        Ok(found)
    }

    async fn fetch(&self, server: &Server, image: &Image) -> Result<(), NotKept> {
        let path = self.path(image.id);
        // Of a list that was made anew, which does not know what it had.
        let (file, size, sum) = (path.clone(), image.size, image.sha256);
        let is_here = tokio::task::spawn_blocking(move || is_whole(&file, size, sum)).await;
        if is_here.unwrap_or(false) {
            return Ok(());
        }
        let folder = path.parent().unwrap_or(&self.folder);
        tokio::fs::create_dir_all(folder).await?;
        let temporary = tempfile::Builder::new()
            .prefix(TEMPORARY)
            .tempfile_in(folder)?;
        let mut file = tokio::fs::File::from_std(temporary.reopen()?);
        let mut response = server.content(image.id).await.map_err(NotKept::This)?;
        let (mut hasher, mut size) = (Sha256Hasher::new(), 0);
        let interrupted = |error| NotKept::This(broken(error));
        while let Some(chunk) = response.chunk().await.map_err(interrupted)? {
            size += chunk.len() as u64;
            if size > image.size {
                break;
            }
            hasher.update(&chunk);
            file.write_all(&chunk).await?;
        }
        if size != image.size || hasher.finish() != image.sha256 {
            return Err(NotKept::This(not_the_original(image)));
        }
        file.flush().await?;
        file.sync_all().await?;
        temporary.persist(&path).map_err(|error| error.error)?;
        Ok(())
    }
}

impl Mirror {
    /// Asks for originals, or no longer.
    pub(crate) async fn keep(&self, ids: &[ImageId], keep: bool) -> Result<(), CommandError> {
        let forgotten = self.store.keep(ids, keep).await?;
        self.originals.remove(&forgotten).await;
        self.wanted.notify_one();
        Ok(())
    }

    /// Asks for all originals, or no longer for all.
    pub(crate) async fn keep_all(&self, keep: bool) -> Result<(), CommandError> {
        let forgotten = self.store.keep_all(keep).await?;
        self.originals.remove(&forgotten).await;
        self.wanted.notify_one();
        Ok(())
    }

    /// Originals, counted, and whether all are asked for.
    pub(crate) async fn kept(&self) -> Result<(Kept, bool), CommandError> {
        let all = self.store.status().await?.keep_all;
        Ok((self.store.kept().await?, all))
    }

    /// The file of a kept original that is whole. One that is not is fetched again.
    pub(crate) async fn kept_original(
        self: &Arc<Self>,
        image: &Image,
    ) -> Result<Option<PathBuf>, CommandError> {
        let known = self.store.picture(image.id).await?;
        if !known.is_some_and(|known| known.original_here) {
            return Ok(None);
        }
        let path = self.originals.path(image.id);
        let (file, sum, size) = (path.clone(), image.sha256, image.size);
        let whole = tokio::task::spawn_blocking(move || is_whole(&file, size, sum)).await;
        if whole.unwrap_or(false) {
            return Ok(Some(path));
        }
        tracing::warn!("the kept original {} is damaged or gone", path.display());
        self.store.set_here(image.id, 0, false).await?;
        self.changed.notify_one();
        self.wanted.notify_one();
        Ok(None)
    }

    /// Fetches what is asked for and not here, newest first. Answers how many could not be fetched.
    pub(crate) async fn fetch_originals(&self) -> Result<u64, CommandError> {
        let (mut before, mut missing) = (u64::MAX, 0);
        loop {
            let images = self.store.missing_originals(before, BATCH).await?;
            let Some(last) = images.last() else {
                return Ok(missing);
            };
            before = last.sequence;
            for image in &images {
                match self.originals.fetch(&self.server, image).await {
                    Ok(()) => {
                        self.store.set_here(image.id, image.size, true).await?;
                        self.forget_if_unasked(image.id).await?;
                        self.changed.notify_one();
                    }
                    Err(NotKept::This(error)) => {
                        missing += 1;
                        tracing::warn!(
                            "the original of {} is not kept yet: {error}",
                            image.file_name
                        );
                        if !*self.server.reachable().borrow() {
                            return Ok(missing);
                        }
                    }
                    Err(NotKept::All(error)) => {
                        let folder = self.originals.folder.display();
                        let message = format!(
                            "originals cannot be written to {folder} ({error}); is the disk full?"
                        );
                        return Err(CommandError::new(crate::ClientCode::DiskFailed, message));
                    }
                }
            }
        }
    }

    /// Fetches what is asked for whenever there is something. Never ends.
    pub(crate) async fn keep_fetching_originals(self: &Arc<Self>) {
        let mut view = self.view();
        let mut is_swept = false;
        loop {
            let phase = view.borrow_and_update().phase;
            if phase == MirrorPhase::Live && !is_swept {
                is_swept = true;
                if let Err(error) = self.sweep_originals().await {
                    tracing::warn!("{error}");
                }
            }
            let missing = self.fetch_originals().await.unwrap_or_else(|error| {
                tracing::warn!("{error}");
                1
            });
            let news = async {
                // The view lives as long as the mirror.
                let _ = view.changed().await;
                if missing > 0 {
                    tokio::time::sleep(PAUSE).await;
                }
            };
            tokio::select! {
                () = news => {}
                () = self.wanted.notified() => {}
                () = tokio::time::sleep(PAUSE), if missing > 0 => {}
            }
        }
    }

    /// Removes files that nobody asks for: a crash came between the list and the disk, or the list was made anew.
    pub(crate) async fn sweep_originals(self: &Arc<Self>) -> Result<(), CommandError> {
        let mirror = Arc::clone(self);
        let found = tokio::task::spawn_blocking(move || mirror.originals.old_files()).await;
        let found = match found {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => {
                tracing::warn!("the folder of originals cannot be looked through ({error})");
                return Ok(());
            }
            Err(_) => return Ok(()),
        };
        for some in found.chunks(SWEPT_AT_A_TIME) {
            let strays = self.store.unasked(some).await?;
            self.originals.remove(&strays).await;
        }
        Ok(())
    }

    /// Somebody may have changed their mind, or deleted the picture, while it was on its way.
    async fn forget_if_unasked(&self, id: ImageId) -> Result<(), CommandError> {
        let known = self.store.picture(id).await?;
        if !known.is_some_and(|known| known.kept) {
            let mut forgotten = self.store.keep(&[], false).await?;
            forgotten.push(id);
            self.originals.remove(&forgotten).await;
        }
        Ok(())
    }
}

fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    match std::fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn is_whole(path: &Path, size: u64, sum: Sha256) -> bool {
    let read = || -> io::Result<bool> {
        let mut file = std::fs::File::open(path)?;
        if file.metadata()?.len() != size {
            return Ok(false);
        }
        let mut hasher = Sha256Hasher::new();
        let mut buffer = vec![0; 256 * 1024];
        loop {
            match io::Read::read(&mut file, &mut buffer)? {
                0 => return Ok(hasher.finish() == sum),
                count => hasher.update(&buffer[..count]),
            }
        }
    };
    read().unwrap_or(false)
}
