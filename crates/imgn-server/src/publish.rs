//! From bytes in the store to a picture in the gallery, or to a reason why not.
//!
//! An upload under verification is read once, summed on the way, decoded under limits, and its thumbnails are stored;
//! then one transaction makes it public. Until that transaction nothing is decided: whatever fails before it (the
//! store, the catalogue, the power) leaves the upload `verifying`, to be looked at again from the start.
//!
//! Verification gives way to clients that are sending, for a while: see [`crate::activity`].
//!
//! Invariant: only the bytes themselves get an upload rejected, never a fault of the store or of this server.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use imgn_protocol::{
    DISPLAY_SIZE, ErrorCode, Exposure, FileName, Location, Rejection, Sha256Hasher,
    THUMBNAIL_SIZES, UploadId,
};
use imgn_thumbs::{ACCEPTED, Header, Limits, PictureError, SNIFF_BYTES, decode_cost};
use tokio::{
    sync::{Notify, Semaphore, SemaphorePermit, watch},
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument as _;

use crate::{
    activity::Activity,
    audit::Audit,
    catalogue::{Catalogue, Picture, Published, Upload, WhoseTurn},
    config::Config,
    error::{ApiError, chain},
    garbage, memory,
    metrics::Metrics,
    storage::{Storage, StorageError, keys},
    traces,
    writes::owner_name,
};

/// The pauses between attempts at an upload when the store or the catalogue fails: doubled from the first to the last, unless
/// somebody asks for it, who waits for no more than the first.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Pictures that are read or decoded at a time. More than the cores would only hold more memory.
const MOST_WORKERS: usize = 4;

/// How long a verification gives way to clients that are sending. A batch of small pictures is sent in less; a
/// longer one sees its first pictures in the gallery before its last are sent.
const PATIENCE: Duration = Duration::from_secs(3);

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

/// An upload that is worked on.
struct Running {
    progress: watch::Receiver<Progress>,
    /// Somebody asks for it who will not be told of an attempt that failed before.
    asked: Arc<Notify>,
}

/// Verifies and publishes in the background. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Publisher(Arc<Inner>);

struct Inner {
    catalogue: Catalogue,
    storage: Storage,
    limits: Limits,
    activity: Activity,
    metrics: Metrics,
    audit: Audit,
    workers: Semaphore,
    /// Files are loaded under the first budget and decoded under the second. Who holds of the second has all it needs
    /// and gives back both, so nobody waits in a circle.
    file_memory: Budget,
    decode_memory: Budget,
    running: Mutex<HashMap<UploadId, Running>>,
    /// Those whose bytes a decoder has, and since when.
    decoding: Mutex<HashMap<UploadId, Instant>>,
    tasks: TaskTracker,
    stopping: CancellationToken,
    /// Whether an upload's id may be told to a collector of traces: where nobody needs a token, it may be all that is needed
    /// to end the upload.
    are_ids_traced: bool,
}

impl Publisher {
    pub(crate) fn new(
        config: &Config,
        catalogue: Catalogue,
        storage: Storage,
        activity: Activity,
        metrics: Metrics,
        audit: Audit,
        stopping: CancellationToken,
    ) -> Self {
        let limits = config.limits.clone();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self(Arc::new(Inner {
            catalogue,
            storage,
            activity,
            metrics,
            audit,
            workers: Semaphore::new(cores.min(MOST_WORKERS)),
            file_memory: Budget::new(config.max_size),
            decode_memory: Budget::new(limits.max_decoded_bytes),
            limits,
            running: Mutex::default(),
            decoding: Mutex::default(),
            tasks: TaskTracker::new(),
            stopping,
            are_ids_traced: !config.anonymous_uploads,
        }))
    }

    /// Sees to it that an upload in the state `verifying` is worked on, once however often this is called. One that failed is
    /// tried again now and not after its pause.
    pub(crate) fn start(&self, id: UploadId) -> watch::Receiver<Progress> {
        let mut running = self.0.running();
        if let Some(running) = running.get(&id) {
            if matches!(*running.progress.borrow(), Progress::Failing(_)) {
                running.asked.notify_one();
            }
            return running.progress.clone();
        }
        let (sender, progress) = watch::channel(Progress::Running);
        let asked = Arc::new(Notify::new());
        let entry = Running {
            progress: progress.clone(),
            asked: asked.clone(),
        };
        running.insert(id, entry);
        drop(running);

        let turn = Turn {
            inner: self.0.clone(),
            id,
            progress: sender,
        };
        self.0.tasks.spawn(async move {
            tokio::select! {
                () = turn.inner.stopping.cancelled() => {}
                () = turn.inner.work(id, &turn.progress, &asked) => {}
            }
        });
        progress
    }

    /// Whether other uploads are worked on, or wait for their turn.
    pub(crate) fn has_others(&self, id: UploadId) -> bool {
        self.0.running().keys().any(|other| *other != id)
    }

    /// How many are worked on, or wait for their turn.
    pub(crate) fn count(&self) -> usize {
        self.0.running().len()
    }

    /// Those that a decoder has been at for so long or longer, and is.
    pub(crate) fn decoding_for(&self, at_least: Duration) -> Vec<UploadId> {
        let decoding = self.0.decoding();
        let long = decoding
            .iter()
            .filter(|(_, since)| since.elapsed() >= at_least);
        long.map(|(id, _)| *id).collect()
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

/// One upload's place among those that are worked on. It is given up however the work ends, by a panic too: else the
/// upload could never be taken up again.
struct Turn {
    inner: Arc<Inner>,
    id: UploadId,
    progress: watch::Sender<Progress>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.inner.running().remove(&self.id);
        self.progress.send_replace(Progress::Ended);
    }
}

/// A decoder's time at an upload.
struct Decoding<'a> {
    inner: &'a Inner,
    id: UploadId,
}

impl<'a> Decoding<'a> {
    fn begin(inner: &'a Inner, id: UploadId) -> Self {
        inner.decoding().insert(id, Instant::now());
        Self { inner, id }
    }
}

impl Drop for Decoding<'_> {
    fn drop(&mut self) {
        self.inner.decoding().remove(&self.id);
    }
}

/// What looking at the bytes came to.
enum Verdict {
    /// The object is not there (any more).
    Gone,
    Rejected(Rejection),
    Sound(Picture, Vec<Thumbnail>),
}

/// What is stored beside a picture.
struct Thumbnail {
    /// The size that it is asked for by.
    size: u32,
    jpeg: Vec<u8>,
}

impl Inner {
    fn running(&self) -> MutexGuard<'_, HashMap<UploadId, Running>> {
        // Each use is one operation on the map, so a panic elsewhere leaves it whole.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn decoding(&self) -> MutexGuard<'_, HashMap<UploadId, Instant>> {
        self.decoding.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn work(&self, id: UploadId, progress: &watch::Sender<Progress>, again: &Notify) {
        let mut pause = FIRST_PAUSE;
        let asked = std::time::Instant::now();
        let patience = Instant::now() + PATIENCE;
        while let Err(error) = self.attempt(id, asked, patience).await {
            tracing::warn!(%id, cause = chain(&error), "verification is put off");
            progress.send_replace(Progress::Failing(error));
            tokio::time::sleep(FIRST_PAUSE).await;
            tokio::select! {
                () = tokio::time::sleep(pause.saturating_sub(FIRST_PAUSE)) => {}
                () = again.notified() => {}
            }
            pause = LONGEST_PAUSE.min(pause * 2);
            progress.send_replace(Progress::Running);
        }
    }

    async fn attempt(
        &self,
        id: UploadId,
        asked: std::time::Instant,
        patience: Instant,
    ) -> Result<(), ApiError> {
        let _worker = self.workers.acquire().await.map_err(ApiError::internal)?;
        let _turn = self.activity.give_way(patience).await;
        let _running = self.metrics.verifying();
        let upload = match self.catalogue.take_up(id).await? {
            WhoseTurn::Ours(upload) => upload,
            // Whoever waits for it here asks again.
            WhoseTurn::Theirs | WhoseTurn::Nobodys(None) => return Ok(()),
            WhoseTurn::Nobodys(Some(upload)) => {
                // An attempt before this one may have stored thumbnails, and failed before it learned of the end.
                if self.catalogue.discard_leftovers(id).await? {
                    garbage::collect_image(&self.catalogue, &self.storage, upload.image).await;
                }
                return Ok(());
            }
        };
        let traced = traces::verify(self.are_ids_traced.then_some(id));
        let ended = tokio::select! {
            ended = self.verify(&upload, asked).instrument(traced) => ended,
            never = self.catalogue.keep(id) => match never {},
        };
        if !matches!(ended, Ok(true)) {
            self.catalogue.let_go(id).await;
        }
        ended.map(|_| ())
    }

    /// Answers whether the upload came to its end.
    async fn verify(&self, upload: &Upload, asked: std::time::Instant) -> Result<bool, ApiError> {
        let (id, size) = (upload.id, upload.announced.size);
        let looked = {
            let _timer = self.metrics.looking();
            self.look(upload).await?
        };
        match looked {
            Verdict::Gone => {
                tracing::warn!(%id, "the object vanished before it was verified");
                self.catalogue.reopen(id).await?;
                return Ok(false);
            }
            Verdict::Rejected(rejection) => {
                tracing::info!(%id, code = %rejection.code, "rejected");
                let (audit, catalogue) = (self.audit.clone(), self.catalogue.clone());
                let upload = upload.clone();
                self.to_the_end(async move {
                    if catalogue.reject(id, &rejection).await? {
                        let owner = owner_name(&catalogue, upload.owner).await;
                        audit.rejected(&owner, &upload, rejection.code);
                    }
                    Ok(())
                })
                .await?;
                self.metrics.verified(size);
            }
            Verdict::Sound(picture, thumbnails) => {
                for thumbnail in thumbnails {
                    let key = keys::thumbnail(upload.image, thumbnail.size);
                    self.storage.put_jpeg(&key, thumbnail.jpeg).await?;
                }
                let publishing = self.publish(upload, picture).instrument(traces::publish());
                let published = publishing.await?;
                tracing::info!(%id, image = %upload.image, ?published, "verified");
                self.metrics.verified(size);
                if published == Published::New {
                    self.metrics.published(asked);
                    return Ok(true);
                }
            }
        }
        garbage::collect_image(&self.catalogue, &self.storage, upload.image).await;
        Ok(true)
    }

    /// [`Catalogue::publish`], with its line in the audit log.
    async fn publish(&self, upload: &Upload, picture: Picture) -> Result<Published, ApiError> {
        let (audit, catalogue) = (self.audit.clone(), self.catalogue.clone());
        let upload = upload.clone();
        self.to_the_end(async move {
            let published = catalogue.publish(&upload, &picture).await?;
            let owner = owner_name(&catalogue, upload.owner).await;
            match published {
                Published::New => audit.published(&owner, &upload),
                Published::Duplicate(image) => audit.duplicate(&owner, &upload, image),
                Published::Again | Published::TooLate => {}
            }
            Ok(published)
        })
        .await
    }

    /// Does this to its end, also when the server is asked to end meanwhile.
    async fn to_the_end<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, ApiError>> + Send + 'static,
    ) -> Result<T, ApiError> {
        let work = self.tasks.spawn(work.in_current_span());
        work.await.map_err(ApiError::internal)?
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
        let size = announced.size;
        let _file_memory = self.file_memory.take(size).await?;
        let Some(mut object) = self.storage.get(&key).await? else {
            return Ok(Verdict::Gone);
        };
        if object.size != size {
            let what = format!("{} bytes arrived, {size} were announced", object.size);
            return reject(ErrorCode::SizeMismatch, &what);
        }
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
                if let Some(error) = self.no_picture(&bytes[..SNIFF_BYTES]).await? {
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
        Ok(match self.decode(upload.id, bytes).await? {
            Ok((picture, thumbnails)) => Verdict::Sound(picture, thumbnails),
            Err(error) => Verdict::Rejected(rejection(
                &announced.file_name,
                code(&error),
                &describe(&error),
            )),
        })
    }

    /// What no reading of the rest could make a picture of.
    async fn no_picture(&self, head: &[u8]) -> Result<Option<PictureError>, ApiError> {
        let (head, limits) = (head.to_vec(), self.limits.clone());
        let looked = looking(
            PictureError::NotAPicture,
            move || match imgn_thumbs::sniff(&head) {
                Some(_) => Ok(()),
                None => imgn_thumbs::inspect(&head, &limits).map(|_| ()),
            },
        );
        Ok(looked.await?.err())
    }

    async fn decode(
        &self,
        id: UploadId,
        bytes: Vec<u8>,
    ) -> Result<Result<(Picture, Vec<Thumbnail>), PictureError>, ApiError> {
        let limits = self.limits.clone();
        // What cannot even be looked at without failing is no picture.
        let inspected = looking(PictureError::NotAPicture, move || {
            let header = imgn_thumbs::inspect(&bytes, &limits)?;
            Ok((header, bytes))
        });
        let (header, bytes) = match inspected.await? {
            Ok(inspected) => inspected,
            Err(error) => return Ok(Err(error)),
        };
        let wanted = wanted(&header, &self.limits);
        let edges: Vec<u32> = wanted.iter().map(|&(_, edge)| edge).collect();
        let longest = edges.iter().copied().max().unwrap_or_default();
        let _decode_memory = self
            .decode_memory
            .take(decode_cost(&header, longest))
            .await?;
        // Not before: what waits for the store or for its turn is not what takes long.
        let _decoding = Decoding::begin(self, id);
        let limits = self.limits.clone();
        let damaged = PictureError::Corrupt {
            format: header.format,
            reason: "it makes the decoder fail".to_owned(),
        };
        let verified = looking(damaged, move || {
            let verified = imgn_thumbs::verify(&bytes, &limits, &edges);
            // Before the budgets get their share back, so that what they count is all there is.
            drop(bytes);
            memory::give_back();
            verified
        });
        Ok(verified.await?.map(|picture| {
            let facts = Picture {
                width: picture.header.width,
                height: picture.header.height,
                content_type: picture.header.format.content_type(),
                thumbhash: picture.thumbhash,
                animated: picture.header.animated,
                taken_at: picture.metadata.taken_at,
                camera: picture.metadata.camera,
                lens: picture.metadata.lens,
                exposure: exposure(picture.metadata.exposure),
                location: picture.metadata.location.map(|place| Location {
                    latitude: place.latitude,
                    longitude: place.longitude,
                }),
            };
            let thumbnails = wanted
                .iter()
                .zip(picture.renditions)
                .map(|(&(size, _), rendition)| Thumbnail {
                    size,
                    jpeg: rendition.jpeg,
                })
                .collect();
            (facts, thumbnails)
        }))
    }
}

/// The thumbnails to make: the size that each is asked for by, and its longest edge. What stands in for an original that
/// browsers cannot show is no larger than a thumbnail where memory does not suffice for more: it is there in any case.
fn wanted(header: &Header, limits: &Limits) -> Vec<(u32, u32)> {
    let mut wanted = THUMBNAIL_SIZES.map(|size| (size, size)).to_vec();
    if !header.format.is_shown_by_browsers() {
        let [_, largest] = THUMBNAIL_SIZES;
        let fits = decode_cost(header, DISPLAY_SIZE) <= limits.max_decoded_bytes;
        wanted.push((DISPLAY_SIZE, if fits { DISPLAY_SIZE } else { largest }));
    }
    wanted
}

/// Runs a look at a file's bytes where it may take long. A panic is the file's doing: it answers `at_panic`.
async fn looking<T: Send + 'static>(
    at_panic: PictureError,
    look: impl FnOnce() -> Result<T, PictureError> + Send + 'static,
) -> Result<Result<T, PictureError>, ApiError> {
    match tokio::task::spawn_blocking(look).await {
        Ok(looked) => Ok(looked),
        Err(join) if join.is_panic() => Ok(Err(at_panic)),
        Err(join) => Err(ApiError::internal(join)),
    }
}

/// Memory to be shared out. What needs more than there is gets all of it.
pub(crate) struct Budget {
    pieces: Semaphore,
    all: u32,
}

impl Budget {
    pub(crate) fn new(bytes: u64) -> Self {
        let all = u32::try_from(bytes.div_ceil(PIECE)).unwrap_or(u32::MAX >> 3);
        let pieces = usize::try_from(all).unwrap_or(Semaphore::MAX_PERMITS);
        Self {
            pieces: Semaphore::new(pieces),
            all,
        }
    }

    pub(crate) async fn take(&self, bytes: u64) -> Result<SemaphorePermit<'_>, ApiError> {
        let pieces = u32::try_from(bytes.div_ceil(PIECE)).map_or(self.all, |n| n.min(self.all));
        self.pieces
            .acquire_many(pieces)
            .await
            .map_err(ApiError::internal)
    }
}

fn changed_while_read() -> StorageError {
    StorageError::Unavailable {
        action: "send an object of the size that it told",
        source: "the answer's body has another length".into(),
    }
}

pub(crate) fn rejection(file_name: &FileName, code: ErrorCode, what: &str) -> Rejection {
    Rejection {
        code,
        message: format!("\"{}\" was not published: {what}.", file_name.as_str()),
    }
}

fn describe(error: &PictureError) -> String {
    match error {
        PictureError::NotAPicture | PictureError::UnsupportedFormat { .. } => {
            format!("{error}; {ACCEPTED} pictures are accepted")
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

/// None where nothing is said at all.
fn exposure(said: imgn_thumbs::Exposure) -> Option<Exposure> {
    let told = Exposure {
        seconds: said.seconds,
        f_number: said.f_number,
        iso: said.iso,
        focal_length_mm: said.focal_length,
    };
    (told != Exposure::default()).then_some(told)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::Database, storage::Embedded};

    #[tokio::test]
    async fn a_file_that_makes_the_pipeline_panic_is_refused() {
        let looked = looking(PictureError::NotAPicture, || -> Result<(), _> {
            panic!("as a broken parser would")
        });
        assert_eq!(looked.await.unwrap(), Err(PictureError::NotAPicture));
    }

    #[tokio::test]
    async fn an_upload_whose_work_panicked_can_be_taken_up_again() {
        let directory = tempfile::tempdir().unwrap();
        let config = Config::embedded(directory.path());
        let database = Database::File(directory.path().join("catalogue"));
        let catalogue = Catalogue::open(&database).await.unwrap();
        let embedded = Embedded::open(directory.path(), config.max_size)
            .await
            .unwrap();
        let url = url::Url::parse("http://127.0.0.1:1/").unwrap();
        let storage = Storage::embedded(&embedded, &url, config.url_ttl);
        let publisher = Publisher::new(
            &config,
            catalogue,
            storage,
            Activity::new(),
            Metrics::new(),
            Audit::open(None).unwrap(),
            CancellationToken::new(),
        );

        let id = UploadId::new();
        let (sender, progress) = watch::channel(Progress::Running);
        let entry = Running {
            progress: progress.clone(),
            asked: Arc::default(),
        };
        publisher.0.running().insert(id, entry);
        let turn = Turn {
            inner: publisher.0.clone(),
            id,
            progress: sender,
        };
        let work = tokio::spawn(async move {
            let _turn = turn;
            panic!("in the middle of the work")
        });
        assert!(work.await.unwrap_err().is_panic());
        assert!(publisher.0.running().is_empty());
        assert!(matches!(*progress.borrow(), Progress::Ended));
    }
}
