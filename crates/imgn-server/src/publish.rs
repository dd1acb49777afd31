//! From bytes in the store to a picture in the gallery, or to a reason why not.
//!
//! An upload under verification is read once, summed on the way, decoded under limits, and its thumbnails are stored;
//! then one transaction makes it public. Until that transaction nothing is decided: whatever fails before it (the
//! store, the catalogue, the power) leaves the upload `verifying`, to be looked at again from the start.
//!
//! Invariant: only the bytes themselves get an upload rejected, never a fault of the store or of this server.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use imgn_protocol::{ErrorCode, FileName, Rejection, Sha256Hasher, THUMBNAIL_SIZES, UploadId};
use imgn_thumbs::{Limits, PictureError, Rendition, SNIFF_BYTES};
use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    catalogue::{Catalogue, Picture, Published, Upload, UploadState},
    config::Config,
    error::{ApiError, chain},
    garbage,
    storage::{Storage, StorageError, keys},
};

/// The pauses between attempts at an upload when the store or the catalogue fails: doubled from the first to the last.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Pictures that are read or decoded at a time. More than the cores would only hold more memory.
const MOST_WORKERS: usize = 4;

/// Memory is shared out in pieces of this many bytes.
const PIECE: u64 = 1 << 16;

/// Where a verification stands, for those who wait for it.
#[derive(Debug, Clone)]
pub(crate) enum Progress {
    /// It is being worked on, or waits for its turn.
    Running,
    /// An attempt failed; there will be another.
    Failing(ApiError),
    /// It came to its end, which the catalogue knows.
    Ended,
}

/// Verifies and publishes in the background. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Publisher(Arc<Inner>);

struct Inner {
    catalogue: Catalogue,
    storage: Storage,
    limits: Limits,
    workers: Semaphore,
    /// Files are loaded under the first budget and decoded under the second. Who holds of the second has all it needs
    /// and gives back both, so nobody waits in a circle.
    file_memory: Budget,
    decode_memory: Budget,
    running: Mutex<HashMap<UploadId, watch::Receiver<Progress>>>,
    tasks: TaskTracker,
    stopping: CancellationToken,
}

impl Publisher {
    pub(crate) fn new(
        config: &Config,
        catalogue: Catalogue,
        storage: Storage,
        stopping: CancellationToken,
    ) -> Self {
        let limits = config.picture_limits();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self(Arc::new(Inner {
            catalogue,
            storage,
            workers: Semaphore::new(cores.min(MOST_WORKERS)),
            file_memory: Budget::new(config.max_size),
            decode_memory: Budget::new(limits.max_decoded_bytes),
            limits,
            running: Mutex::default(),
            tasks: TaskTracker::new(),
            stopping,
        }))
    }

    /// Sees to it that an upload in the state `verifying` is worked on, once however often this is called.
    pub(crate) fn start(&self, id: UploadId) -> watch::Receiver<Progress> {
        let mut running = self.0.running();
        if let Some(progress) = running.get(&id) {
            return progress.clone();
        }
        let (sender, progress) = watch::channel(Progress::Running);
        running.insert(id, progress.clone());
        drop(running);

        let inner = self.0.clone();
        self.0.tasks.spawn(async move {
            tokio::select! {
                () = inner.stopping.cancelled() => {}
                () = inner.work(id, &sender) => {}
            }
            inner.running().remove(&id);
            sender.send_replace(Progress::Ended);
        });
        progress
    }

    /// Waits until nothing is worked on. What is left undone when the server stops is taken up by the next start.
    pub(crate) async fn finish(&self) {
        self.0.tasks.close();
        self.0.tasks.wait().await;
        self.0.tasks.reopen();
    }
}

impl fmt::Debug for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher").finish_non_exhaustive()
    }
}

/// What looking at the bytes came to.
enum Verdict {
    /// The object is not there (any more).
    Gone,
    Rejected(Rejection),
    Sound(Picture, Vec<Rendition>),
}

impl Inner {
    fn running(&self) -> MutexGuard<'_, HashMap<UploadId, watch::Receiver<Progress>>> {
        // Each use is one operation on the map, so a panic elsewhere leaves it whole.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn work(&self, id: UploadId, progress: &watch::Sender<Progress>) {
        let mut pause = FIRST_PAUSE;
        while let Err(error) = self.attempt(id).await {
            tracing::warn!(%id, cause = chain(&error), "verification is put off");
            progress.send_replace(Progress::Failing(error));
            tokio::time::sleep(pause).await;
            pause = LONGEST_PAUSE.min(pause * 2);
            progress.send_replace(Progress::Running);
        }
    }

    async fn attempt(&self, id: UploadId) -> Result<(), ApiError> {
        let _worker = self.workers.acquire().await.map_err(ApiError::internal)?;
        let Some(upload) = self.catalogue.upload(id).await? else {
            return Ok(());
        };
        if upload.state != UploadState::Verifying {
            return Ok(());
        }
        match self.look(&upload).await? {
            Verdict::Gone => {
                tracing::warn!(%id, "the object vanished before it was verified");
                self.catalogue.reopen(id).await?;
                return Ok(());
            }
            Verdict::Rejected(rejection) => {
                tracing::info!(%id, code = %rejection.code, "rejected");
                self.catalogue.reject(id, &rejection).await?;
            }
            Verdict::Sound(picture, renditions) => {
                for rendition in renditions {
                    let key = keys::thumbnail(upload.image, rendition.long_edge);
                    self.storage.put_jpeg(&key, rendition.jpeg).await?;
                }
                let published = self.catalogue.publish(id, &picture).await?;
                tracing::info!(%id, image = %upload.image, ?published, "verified");
                if published == Published::New {
                    return Ok(());
                }
            }
        }
        garbage::collect_image(&self.catalogue, &self.storage, upload.image).await;
        Ok(())
    }

    /// Reads the object once, sums it on the way, and decodes it.
    async fn look(&self, upload: &Upload) -> Result<Verdict, ApiError> {
        let announced = &upload.announced;
        let reject = |code, what: &str| {
            Ok(Verdict::Rejected(rejection(
                &announced.file_name,
                code,
                what,
            )))
        };
        let key = keys::original(upload.image);
        let Some(size) = self.storage.size(&key).await? else {
            return Ok(Verdict::Gone);
        };
        if size != announced.size {
            let what = format!("{size} bytes arrived, {} were announced", announced.size);
            return reject(ErrorCode::SizeMismatch, &what);
        }

        let _file_memory = self.file_memory.take(size).await?;
        let Some(mut object) = self.storage.get(&key).await? else {
            return Ok(Verdict::Gone);
        };
        let capacity = usize::try_from(size).map_err(ApiError::internal)?;
        let mut bytes = Vec::with_capacity(capacity);
        let mut hasher = Sha256Hasher::new();
        let mut sniffed = false;
        while let Some(chunk) = object.chunk().await? {
            if bytes.len() + chunk.len() > capacity {
                return Err(changed_while_read().into());
            }
            hasher.update(&chunk);
            bytes.extend_from_slice(&chunk);
            if !sniffed && bytes.len() >= SNIFF_BYTES {
                sniffed = true;
                if let Some(error) = no_picture(&bytes, &self.limits) {
                    return reject(code(&error), &describe(&error));
                }
            }
        }
        drop(object);
        if bytes.len() != capacity {
            return Err(changed_while_read().into());
        }
        if hasher.finish() != announced.sha256 {
            return reject(
                ErrorCode::ChecksumMismatch,
                "the bytes that arrived do not have the SHA-256 that was announced",
            );
        }
        Ok(match self.decode(bytes).await? {
            Ok((picture, renditions)) => Verdict::Sound(picture, renditions),
            Err(error) => Verdict::Rejected(rejection(
                &announced.file_name,
                code(&error),
                &describe(&error),
            )),
        })
    }

    async fn decode(
        &self,
        bytes: Vec<u8>,
    ) -> Result<Result<(Picture, Vec<Rendition>), PictureError>, ApiError> {
        let header = match imgn_thumbs::inspect(&bytes, &self.limits) {
            Ok(header) => header,
            Err(error) => return Ok(Err(error)),
        };
        let _decode_memory = self
            .decode_memory
            .take(imgn_thumbs::decode_cost(&header))
            .await?;
        let limits = self.limits.clone();
        let decoded = tokio::task::spawn_blocking(move || {
            imgn_thumbs::verify(&bytes, &limits, &THUMBNAIL_SIZES)
        })
        .await;
        match decoded {
            Ok(Ok(picture)) => {
                let facts = Picture {
                    width: picture.header.width,
                    height: picture.header.height,
                    content_type: picture.header.format.content_type(),
                    thumbhash: picture.thumbhash,
                    animated: picture.header.animated,
                    taken_at: picture.metadata.taken_at,
                    camera: picture.metadata.camera,
                };
                Ok(Ok((facts, picture.renditions)))
            }
            Ok(Err(error)) => Ok(Err(error)),
            Err(join) if join.is_panic() => Ok(Err(PictureError::Corrupt {
                format: header.format,
                reason: "it makes the decoder fail".to_owned(),
            })),
            Err(join) => Err(ApiError::internal(join)),
        }
    }
}

/// Memory to be shared out. What needs more than there is gets all of it.
struct Budget {
    pieces: Semaphore,
    all: u32,
}

impl Budget {
    fn new(bytes: u64) -> Self {
        let all = u32::try_from(bytes.div_ceil(PIECE)).unwrap_or(u32::MAX >> 3);
        let pieces = usize::try_from(all).unwrap_or(Semaphore::MAX_PERMITS);
        Self {
            pieces: Semaphore::new(pieces),
            all,
        }
    }

    async fn take(&self, bytes: u64) -> Result<SemaphorePermit<'_>, ApiError> {
        let pieces = u32::try_from(bytes.div_ceil(PIECE)).map_or(self.all, |n| n.min(self.all));
        self.pieces
            .acquire_many(pieces)
            .await
            .map_err(ApiError::internal)
    }
}

/// What no reading of the rest could make a picture of.
fn no_picture(head: &[u8], limits: &Limits) -> Option<PictureError> {
    if imgn_thumbs::sniff(head).is_some() {
        return None;
    }
    imgn_thumbs::inspect(head, limits).err()
}

fn changed_while_read() -> StorageError {
    StorageError::Unavailable {
        action: "send an object of the size that it told",
        source: "the answer's body has another length".into(),
    }
}

fn rejection(file_name: &FileName, code: ErrorCode, what: &str) -> Rejection {
    Rejection {
        code,
        message: format!("\"{}\" was not published: {what}.", file_name.as_str()),
    }
}

fn describe(error: &PictureError) -> String {
    match error {
        PictureError::NotAPicture | PictureError::UnsupportedFormat { .. } => {
            format!("{error}; JPEG, PNG, GIF and WebP pictures are accepted")
        }
        _ => error.to_string(),
    }
}

fn code(error: &PictureError) -> ErrorCode {
    match error {
        PictureError::NotAPicture => ErrorCode::NotAPicture,
        PictureError::UnsupportedFormat { .. } => ErrorCode::UnsupportedFormat,
        PictureError::Corrupt { .. } => ErrorCode::CorruptPicture,
        PictureError::TooManyPixels { .. }
        | PictureError::TooManyFrames { .. }
        | PictureError::TooMuchMemory { .. } => ErrorCode::TooManyPixels,
        PictureError::Timeout { .. } => ErrorCode::DecodeTimeout,
        _ => ErrorCode::Internal,
    }
}
