//! A server and a store in memory, with the rules that matter: opening is idempotent, a key is written once, only what
//! is stored is published, the same bytes are published once. Files larger than two parts are taken in parts, which are
//! listed in no order, and once more for each time that they were sent.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use futures_util::TryStreamExt as _;
use imgn_protocol::{
    Checksum, ChecksumAlgorithm, ChecksumHasher, CompleteRequest, ErrorCode, Image, ImageId, Mode,
    OpenRequest, PresignedUrl, Sha256, SignRequest, SignedRequest, Timestamp, UploadAnswer,
    UploadId,
};
use imgn_upload::{Body, Call, Failure, Remote};
use tokio::sync::Notify;

/// What stands at one moment on the server and in its store.
#[derive(Default)]
pub(crate) struct World {
    pub(crate) uploads: BTreeMap<UploadId, Upload>,
    pub(crate) published: BTreeMap<Sha256, Image>,
    /// Size of a part in bytes; 0 takes everything whole.
    pub(crate) part_size: u64,
}

#[derive(Clone)]
pub(crate) struct Upload {
    pub(crate) request: OpenRequest,
    pub(crate) stored: Option<Vec<u8>>,
    /// What was sent of each part, as often as it was sent.
    pub(crate) parts: BTreeMap<u32, Vec<Vec<u8>>>,
    pub(crate) ended: Option<UploadAnswer>,
}

/// Where the next killing happens: before or after the effect of the n-th call.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kill {
    Before(usize),
    After(usize),
    Never,
}

type Watcher = dyn Fn(Call, UploadId) + Send + Sync;

pub(crate) struct FakeRemote {
    pub(crate) world: Arc<Mutex<World>>,
    pub(crate) calls: AtomicUsize,
    pub(crate) puts: AtomicUsize,
    pub(crate) kill: Kill,
    pub(crate) killed: Notify,
    pub(crate) online: AtomicBool,
    /// Failures to answer, by call, before it is done at all.
    pub(crate) failures: Mutex<HashMap<&'static str, Vec<Failure>>>,
    /// Sees each call before it is done.
    pub(crate) watcher: Mutex<Option<Box<Watcher>>>,
    /// Moves no byte.
    pub(crate) stalls: AtomicBool,
    /// Leaves who takes an upload back without an answer.
    pub(crate) hangs_on_abort: AtomicBool,
    /// By how many seconds this computer's clock is ahead.
    pub(crate) skew: Option<i64>,
    /// How often it was asked for the newest pictures.
    pub(crate) newest_asked: AtomicUsize,
    /// Its newest pictures are others.
    pub(crate) tells_no_news: AtomicBool,
}

impl FakeRemote {
    pub(crate) fn new(world: Arc<Mutex<World>>) -> Self {
        Self {
            world,
            calls: AtomicUsize::new(0),
            puts: AtomicUsize::new(0),
            kill: Kill::Never,
            killed: Notify::new(),
            online: AtomicBool::new(true),
            failures: Mutex::default(),
            watcher: Mutex::default(),
            stalls: AtomicBool::new(false),
            hangs_on_abort: AtomicBool::new(false),
            skew: None,
            newest_asked: AtomicUsize::new(0),
            tells_no_news: AtomicBool::new(false),
        }
    }

    pub(crate) fn fail(&self, call: Call, failure: Failure) {
        let mut failures = self.failures.lock().unwrap();
        failures.entry(name(call)).or_default().push(failure);
    }

    async fn enter(&self, call: Call, id: UploadId) -> Result<usize, Failure> {
        if let Some(watcher) = &*self.watcher.lock().unwrap() {
            watcher(call, id);
        }
        let number = self.calls.fetch_add(1, Ordering::SeqCst);
        if matches!(self.kill, Kill::Before(n) if n == number) {
            self.die().await;
        }
        if !self.online.load(Ordering::SeqCst) {
            return Err(offline());
        }
        let failure = self
            .failures
            .lock()
            .unwrap()
            .get_mut(name(call))
            .and_then(|list| {
                if list.is_empty() {
                    None
                } else {
                    Some(list.remove(0))
                }
            });
        failure.map_or(Ok(number), Err)
    }

    async fn leave(&self, number: usize) {
        if matches!(self.kill, Kill::After(n) if n == number) {
            self.die().await;
        }
    }

    async fn die(&self) {
        self.killed.notify_one();
        std::future::pending::<()>().await;
    }

    fn answer(world: &World, id: UploadId, sign: bool) -> Result<UploadAnswer, Failure> {
        let upload = world.uploads.get(&id).ok_or_else(not_found)?;
        if let Some(ended) = &upload.ended {
            return Ok(ended.clone());
        }
        let size = upload.request.size;
        if world.in_parts(size) {
            let rows = upload.parts.iter().rev().flat_map(|(number, sent)| {
                sent.iter().map(|bytes| imgn_protocol::Part {
                    number: *number,
                    size: bytes.len() as u64,
                    checksum: sum(bytes),
                })
            });
            return Ok(UploadAnswer::Open {
                key: id.to_string(),
                mode: Mode::Multipart,
                part_size: world.part_size,
                part_count: u32::try_from(size.div_ceil(world.part_size)).unwrap(),
                checksum_algorithm: ChecksumAlgorithm::Crc64Nvme,
                parts: rows.collect(),
                signed: None,
            });
        }
        let part = imgn_protocol::Part {
            number: 1,
            size,
            checksum: Sha256::of(b"data").into(),
        };
        Ok(UploadAnswer::Open {
            key: id.to_string(),
            mode: Mode::Single,
            part_size: size,
            part_count: 1,
            checksum_algorithm: ChecksumAlgorithm::Sha256,
            parts: upload.stored.iter().map(|_| part.clone()).collect(),
            signed: sign.then(|| signed(id, 0, &upload.request.sha256.to_string())),
        })
    }
}

#[async_trait]
impl Remote for FakeRemote {
    async fn open(
        &self,
        id: UploadId,
        request: &OpenRequest,
        sign: bool,
    ) -> Result<UploadAnswer, Failure> {
        let number = self.enter(Call::Open, id).await?;
        let answer = {
            let mut world = self.world.lock().unwrap();
            let known = world.uploads.contains_key(&id);
            if known && world.uploads[&id].request != *request {
                return Err(refused(409, ErrorCode::UploadConflict));
            }
            let ended = world
                .published
                .get(&request.sha256)
                .cloned()
                .filter(|_| !known);
            world.uploads.entry(id).or_insert_with(|| Upload {
                request: request.clone(),
                stored: None,
                parts: BTreeMap::new(),
                ended: ended.map(|image| UploadAnswer::Published {
                    image: Box::new(image),
                }),
            });
            Self::answer(&world, id, sign)
        };
        self.leave(number).await;
        answer
    }

    async fn sign(&self, id: UploadId, request: &SignRequest) -> Result<SignedRequest, Failure> {
        let number = self.enter(Call::Sign, id).await?;
        self.leave(number).await;
        let part = request.part.unwrap_or_default();
        Ok(signed(id, part, &request.checksum.to_string()))
    }

    async fn put(&self, request: &SignedRequest, body: Body) -> Result<(), Failure> {
        let mut words = request.url.expose().rsplit('/');
        let mut word = || words.next().unwrap();
        let (checksum, part, id) = (word(), word().parse().unwrap(), word().parse().unwrap());
        let number = self.enter(Call::Put, id).await?;
        if self.stalls.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        let length = body.length();
        let bytes = body.try_collect::<Vec<_>>().await;
        let bytes = bytes
            .map_err(|error| Failure::Broken {
                reason: error.to_string(),
            })?
            .concat();
        if bytes.len() as u64 != length {
            return Err(Failure::Broken {
                reason: "short".to_owned(),
            });
        }
        {
            let mut world = self.world.lock().unwrap();
            let upload = world.uploads.get_mut(&id).unwrap();
            let found = match part {
                0 => Sha256::of(&bytes).to_string(),
                _ => sum(&bytes).to_string(),
            };
            if found != checksum {
                return Err(store(400, "BadDigest"));
            }
            if upload.ended.is_some() {
                return Err(store(404, "NoSuchUpload"));
            }
            if part > 0 {
                upload.parts.entry(part).or_default().push(bytes);
            } else if upload.stored.is_some() {
                return Err(store(412, "PreconditionFailed"));
            } else {
                upload.stored = Some(bytes);
            }
            self.puts.fetch_add(1, Ordering::SeqCst);
        }
        self.leave(number).await;
        Ok(())
    }

    async fn status(&self, id: UploadId) -> Result<UploadAnswer, Failure> {
        let number = self.enter(Call::Status, id).await?;
        let answer = Self::answer(&self.world.lock().unwrap(), id, false);
        self.leave(number).await;
        answer
    }

    async fn complete(
        &self,
        id: UploadId,
        request: &CompleteRequest,
    ) -> Result<UploadAnswer, Failure> {
        let number = self.enter(Call::Complete, id).await?;
        let answer = {
            let mut world = self.world.lock().unwrap();
            let mut upload = world.uploads.get(&id).cloned().ok_or_else(not_found)?;
            if upload.ended.is_none() && world.in_parts(upload.request.size) {
                upload.stored = upload.assembled(request);
                world.uploads.insert(id, upload.clone());
            }
            match (upload.ended, upload.stored) {
                (Some(ended), _) => Ok(ended),
                (None, None) => Err(refused(409, ErrorCode::NotUploaded)),
                (None, Some(bytes)) => {
                    assert_eq!(Sha256::of(&bytes), upload.request.sha256, "glued");
                    let image = image(&upload.request);
                    let twin = world.published.insert(upload.request.sha256, image.clone());
                    assert!(twin.is_none(), "published twice");
                    let ended = UploadAnswer::Published {
                        image: Box::new(image),
                    };
                    world.uploads.get_mut(&id).unwrap().ended = Some(ended);
                    // The first answer is that it takes a moment.
                    Ok(UploadAnswer::Verifying)
                }
            }
        };
        self.leave(number).await;
        answer
    }

    async fn abort(&self, id: UploadId) -> Result<(), Failure> {
        let number = self.enter(Call::Abort, id).await?;
        if self.hangs_on_abort.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        {
            let mut world = self.world.lock().unwrap();
            let upload = world.uploads.get_mut(&id).ok_or_else(not_found)?;
            if matches!(upload.ended, Some(UploadAnswer::Published { .. })) {
                return Err(refused(409, ErrorCode::UploadClosed));
            }
            upload.stored = None;
            upload.parts.clear();
            upload.ended = Some(UploadAnswer::Aborted);
        }
        self.leave(number).await;
        Ok(())
    }

    async fn newest(&self, limit: usize) -> Result<Vec<Image>, Failure> {
        self.newest_asked.fetch_add(1, Ordering::SeqCst);
        if self.tells_no_news.load(Ordering::SeqCst) {
            return Ok(vec![]);
        }
        let world = self.world.lock().unwrap();
        Ok(world.published.values().take(limit).cloned().collect())
    }

    async fn probe(&self) -> Result<(), Failure> {
        if self.online.load(Ordering::SeqCst) {
            Ok(())
        } else {
            Err(offline())
        }
    }

    fn store_skew_seconds(&self) -> Option<i64> {
        self.skew
    }
}

fn name(call: Call) -> &'static str {
    match call {
        Call::Open => "open",
        Call::Sign => "sign",
        Call::Put => "put",
        Call::Status => "status",
        Call::Complete => "complete",
        Call::Abort => "abort",
    }
}

pub(crate) fn offline() -> Failure {
    Failure::Unreachable {
        reason: "refused".to_owned(),
    }
}

pub(crate) fn store(status: u16, code: &str) -> Failure {
    Failure::Store {
        status,
        code: code.to_owned(),
        detail: "the store's own words".to_owned(),
        retry_after: None,
    }
}

pub(crate) fn refused(status: u16, code: ErrorCode) -> Failure {
    Failure::Server {
        status,
        code: Some(code),
        detail: "words".to_owned(),
        retry_after: None,
    }
}

fn not_found() -> Failure {
    refused(404, ErrorCode::NotFound)
}

fn sum(bytes: &[u8]) -> Checksum {
    let mut hasher = ChecksumHasher::new(ChecksumAlgorithm::Crc64Nvme);
    hasher.update(bytes);
    hasher.finish()
}

impl World {
    fn in_parts(&self, size: u64) -> bool {
        self.part_size > 0 && size > 2 * self.part_size
    }
}

impl Upload {
    /// The object that the parts make, if they are those that were sent, all and in order.
    fn assembled(&self, request: &CompleteRequest) -> Option<Vec<u8>> {
        let mut object = Vec::new();
        for (part, number) in request.parts.iter().zip(1..) {
            let sent = self.parts.get(&part.number)?;
            let bytes = sent.iter().find(|bytes| sum(bytes) == part.checksum)?;
            if part.number != number {
                return None;
            }
            object.extend_from_slice(bytes);
        }
        (object.len() as u64 == self.request.size).then_some(object)
    }
}

fn signed(id: UploadId, part: u32, checksum: &str) -> SignedRequest {
    SignedRequest {
        method: "PUT".to_owned(),
        url: PresignedUrl::new(format!(
            "https://store.example/SECRET/{id}/{part}/{checksum}"
        )),
        headers: BTreeMap::new(),
        expires_at: Timestamp::UNIX_EPOCH,
    }
}

fn image(request: &OpenRequest) -> Image {
    Image {
        id: ImageId::new(),
        sequence: 1,
        file_name: request.file_name.clone(),
        width: 1,
        height: 1,
        content_type: "image/png".to_owned(),
        size: request.size,
        sha256: request.sha256,
        thumbhash: String::new(),
        animated: false,
        taken_at: None,
        created_at: Timestamp::UNIX_EPOCH,
        camera: None,
        lens: None,
        exposure: None,
        location: None,
        owner: "tester".to_owned(),
        url: "https://gallery.example/v1/images/1/content".to_owned(),
        display_url: None,
    }
}
