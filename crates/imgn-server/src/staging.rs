//! From an object that nobody announced to an upload: what other people's clients have sent is summed, laid where nothing
//! can change it, and goes the way of every upload from there.
//!
//! Nobody says when it has been sent. With the embedded store the server sees it arrive, and looks only when it starts, when
//! the URL has expired, and an hour after that, for what was not noted; in another store it looks, at
//! first every second and then less and less often, while a URL lives and for an hour after it. While nothing is
//! expected, nobody looks.
//!
//! Invariant: what is verified is what was summed, and nobody ever had a URL that could change it. Every step can be
//! repeated after a crash at any moment.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, Ordering::SeqCst},
    },
    time::Duration,
};

use futures_util::{StreamExt as _, stream};
use imgn_protocol::{
    ErrorCode, FileName, OpenRequest, Rejection, Sha256Hasher, Timestamp, UploadId,
};
use tokio::sync::Notify;

use crate::{
    audit::Why,
    auth::Caller,
    catalogue::{Abort, Expiry, Opened, Staged, Upload, UploadState},
    config::StorageConfig,
    error::{ApiError, chain},
    garbage,
    routes::uploads::signed_type,
    state::App,
    storage::{StorageError, keys},
    sweep::Swept,
    writes::End,
};

/// What is looked for in one pass. What is over waits for the next.
const BATCH: u32 = 256;

/// Requests to the store at a time.
const AT_A_TIME: usize = 8;

/// The first pause, and the shortest, where the store does not tell what arrives.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);

/// The longest pause between two looks while a URL lives, and after it has expired.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
const PAUSE_AFTER: Duration = Duration::from_secs(60);

/// A request that began in the last moment of its URL is given this long.
const LATE_WRITER: Duration = Duration::from_secs(60 * 60);

/// How often it is looked what other servers expect, which may have ended.
const LOOK_FOR_OTHERS: Duration = Duration::from_secs(15);

/// The pause after a pass in which something failed.
const PAUSE_AT_FAILURE: Duration = Duration::from_secs(5);

/// How often bytes are summed anew that have changed meanwhile, before that is left to a later look.
const ATTEMPTS: u32 = 3;

/// What is known of what is expected. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Staging(Arc<Inner>);

#[derive(Default)]
struct Inner {
    /// Told whenever there may be something to look for sooner than was thought.
    sooner: Notify,
    /// When it is looked next, in milliseconds since 1970, as far as that is decided. 0 is that it is not.
    next: AtomicI64,
    /// One at a time is at what was sent under an id.
    at_work: Mutex<HashMap<UploadId, Arc<tokio::sync::Mutex<()>>>>,
}

/// What became of something that was looked for.
pub(crate) enum Taken {
    /// It is not there yet, or changed while it was read.
    Not,
    /// It is this upload.
    Upload(Box<Upload>),
    /// It cannot be a picture here, and is gone.
    Refused(Rejection),
}

/// Expects an object, sent at once or in parts, from somebody who announced its name only. Answers before there is anything
/// that can be sent to; refused where too much of the caller's is expected already.
pub(crate) async fn expect(
    app: &App,
    caller: &Caller,
    file_name: FileName,
    in_parts: bool,
) -> Result<Staged, ApiError> {
    let until = app.expiry().url_expires_at;
    let staged = Staged::new(caller.owner, file_name, in_parts, until);
    // Of parts there is an object when it was asked to put them together.
    let look_at = (!in_parts).then(|| next_look(&staged, staged.created_at, look_after(app)));
    let most = app.most_under_way(caller);
    let staged = app.stage(caller, staged, look_at, most).await?;
    if let Some(look_at) = look_at {
        app.staging.look_by(look_at);
    }
    Ok(staged)
}

/// The shortest pause between two looks. `None` where the server sees what arrives.
fn look_after(app: &App) -> Option<Duration> {
    match app.config.storage {
        StorageConfig::Embedded => app.config.timing.look_after,
        StorageConfig::S3(_) => Some(app.config.timing.look_after.unwrap_or(SHORTEST_PAUSE)),
    }
}

/// Something has arrived under this key of the store.
pub(crate) async fn arrived(app: &App, key: &str) {
    let Some(keys::Sent::Staged(id)) = keys::sent(key) else {
        return;
    };
    let now = Timestamp::now().as_millisecond();
    match app.catalogue.look_for_staged(id, now).await {
        Ok(()) => app.staging.look_by(now),
        Err(error) => {
            tracing::warn!(%id, cause = chain(&error), "an arrival is left to the next look");
        }
    }
}

/// The store refused a part of the object under this key, which would be larger than the gallery takes. Nothing can become
/// of its other parts, so they go now; those of an upload that was announced were signed with their lengths, and stay.
pub(crate) async fn too_large(app: &App, key: &str) {
    let Some(keys::Sent::Original(image)) = keys::sent(key) else {
        return;
    };
    let ended = async {
        let staged = app.catalogue.staged_image(image).await?;
        let Some(staged) = staged.filter(|staged| staged.in_parts) else {
            return Ok(());
        };
        tracing::info!(id = %staged.id, "ended what was sent in parts, which is too large");
        let refused = End::Refused(ErrorCode::TooLarge, None);
        end(app, &staged, refused).await.map(drop)
    };
    if let Err::<(), ApiError>(error) = ended.await {
        tracing::warn!(
            key,
            cause = chain(&error),
            "parts that are too large are left to the sweeper"
        );
    }
}

/// Looks for what is expected until the server stops.
pub(crate) async fn run(app: App) {
    let others = async || match app.catalogue.has_others() {
        true => tokio::time::sleep(LOOK_FOR_OTHERS).await,
        false => std::future::pending().await,
    };
    let staging = app.staging.clone();
    loop {
        let sooner = staging.0.sooner.notified();
        // What is written down from here on may be found or not.
        staging.0.next.store(0, SeqCst);
        let next = tokio::select! {
            next = look_for_all(&app) => next,
            () = app.stopping.cancelled() => return,
        };
        staging.0.next.store(next.unwrap_or(i64::MAX), SeqCst);
        tokio::select! {
            () = wait(next) => {}
            () = others() => {}
            () = sooner => {}
            () = app.stopping.cancelled() => return,
        }
    }
}

/// Waits until then; where that is never, for ever.
async fn wait(until: Option<i64>) {
    let Some(until) = until else {
        return std::future::pending().await;
    };
    let left = until.saturating_sub(Timestamp::now().as_millisecond());
    tokio::time::sleep(Duration::from_millis(u64::try_from(left).unwrap_or(0))).await;
}

/// Answers when to look again.
async fn look_for_all(app: &App) -> Option<i64> {
    let mut swept = Swept::default();
    let began = Timestamp::now().as_millisecond();
    let looked_for = pass(app, &mut swept).await;
    let later = Timestamp::now().as_millisecond() + milliseconds(PAUSE_AT_FAILURE);
    match app.catalogue.next_staged_look().await {
        // What failed, or did not move for another reason, would be asked for again and again.
        Ok(Some(next)) if swept.failures > 0 || (next <= began && looked_for < BATCH) => {
            Some(next.max(later))
        }
        Ok(next) => next,
        Err(error) => {
            tracing::warn!(cause = chain(&error), "it is not known what is expected");
            Some(later)
        }
    }
}

/// Looks for all that is due, and answers how much that was: a whole [`BATCH`] where there is more.
pub(crate) async fn pass(app: &App, swept: &mut Swept) -> u32 {
    let due = app.catalogue.take_staged_due(BATCH).await;
    let due = swept.of("list what is expected", due);
    let looked_for = u32::try_from(due.len()).unwrap_or(BATCH);
    let looks = stream::iter(due).map(|staged| async move { look(app, &staged).await });
    let mut looks = std::pin::pin!(looks.buffer_unordered(AT_A_TIME));
    while let Some(looked) = looks.next().await {
        swept.verifying += u64::from(swept.done("look for what is expected", looked));
    }
    looked_for
}

/// Ends parts that nobody put together in time.
pub(crate) async fn end_old(app: &App, age: i64, swept: &mut Swept) {
    let old = app.catalogue.old_staged_parts(age, BATCH).await;
    for staged in swept.of("list old parts", old) {
        match take(app, staged.id).await {
            Ok(Taken::Upload(_)) => swept.verifying += 1,
            Ok(Taken::Refused(_)) => {}
            Ok(Taken::Not) => {
                let ended = end(app, &staged, End::GivenUp(Why::TooOld)).await;
                let ended = ended.map(|ended| ended == Abort::Ended);
                swept.aborted += u64::from(swept.done("end old parts", ended));
            }
            Err(error) => swept.failed("look at old parts", &error),
        }
    }
}

/// Ends what is expected without a picture; the store keeps nothing of it. `Unknown` when it is not expected any more:
/// it had ended before, or has become an upload.
pub(crate) async fn end(app: &App, staged: &Staged, how: End) -> Result<Abort, ApiError> {
    let ended = app.unstage(staged, how).await?;
    garbage::collect_key(&app.catalogue, &app.storage, &staged.key()).await;
    Ok(ended)
}

/// Whether it is there. It is looked for again after a while, or never again.
async fn look(app: &App, staged: &Staged) -> Result<bool, ApiError> {
    let now = Timestamp::now().as_millisecond();
    // Before it is looked at, so that what fails is not asked for again at once.
    let again = next_look(staged, now, look_after(app));
    app.catalogue.look_for_staged(staged.id, again).await?;
    match take(app, staged.id).await? {
        Taken::Upload(_) => Ok(true),
        Taken::Refused(_) => Ok(false),
        Taken::Not => {
            // Parts whose putting together was asked for and did not happen are old some day.
            if now > last_look(staged) && !staged.in_parts {
                end(app, staged, End::GivenUp(Why::NothingSent)).await?;
            }
            Ok(false)
        }
    }
}

/// When it is over, if nothing was sent.
fn last_look(staged: &Staged) -> i64 {
    staged.url_expires_at + milliseconds(LATE_WRITER)
}

/// When to look again, or for the first time.
fn next_look(staged: &Staged, now: i64, look_after: Option<Duration>) -> i64 {
    // Nobody sees parts that this server has put together.
    let shortest = look_after.or(staged.in_parts.then_some(SHORTEST_PAUSE));
    match shortest {
        Some(shortest) => now + milliseconds(pause(staged, now, shortest)),
        None if now <= staged.url_expires_at => staged.url_expires_at + 1,
        None if now <= last_look(staged) => last_look(staged) + 1,
        None => now + milliseconds(PAUSE_AFTER),
    }
}

/// The pause after a look: a quarter of the time that it has been expected.
fn pause(staged: &Staged, now: i64, shortest: Duration) -> Duration {
    if now > staged.url_expires_at {
        return PAUSE_AFTER;
    }
    let age = u64::try_from(now - staged.created_at).unwrap_or(0);
    Duration::from_millis(age / 4).clamp(shortest.min(LONGEST_PAUSE), LONGEST_PAUSE)
}

/// Makes an upload of what was sent under this id, if it is there. May be dropped at any moment, as when a client hangs up
/// or the server is to end: it reads a whole file, and whoever looks next begins anew.
pub(crate) async fn take(app: &App, id: UploadId) -> Result<Taken, ApiError> {
    let turn = app.staging.turn(id);
    let _mine = turn.lock.lock().await;
    take_in_turn(app, id).await
}

async fn take_in_turn(app: &App, id: UploadId) -> Result<Taken, ApiError> {
    for _ in 0..ATTEMPTS {
        let Some(staged) = app.catalogue.staged(id).await? else {
            // Somebody else was first.
            let upload = app.catalogue.upload(id).await?;
            return Ok(upload.map_or(Taken::Not, |upload| Taken::Upload(Box::new(upload))));
        };
        if let Some(taken) = attempt(app, &staged).await? {
            return Ok(taken);
        }
    }
    Ok(Taken::Not)
}

/// `None` when the bytes have changed meanwhile.
async fn attempt(app: &App, staged: &Staged) -> Result<Option<Taken>, ApiError> {
    let key = staged.key();
    let Some(mut object) = app.storage.get(&key).await? else {
        return Ok(Some(Taken::Not));
    };
    let (size, etag) = (object.size, object.etag.clone());
    let name = staged.file_name.as_str();
    let refusal = if size == 0 {
        Some((ErrorCode::NotAPicture, "it is empty (0 bytes)".to_owned()))
    } else if size > app.config.max_size {
        let max = app.config.max_size;
        Some((
            ErrorCode::TooLarge,
            format!("it has {size} bytes; this gallery takes at most {max}"),
        ))
    } else {
        None
    };
    if let Some((code, what)) = refusal {
        drop(object);
        let message = format!("\"{name}\" was not published: {what}.");
        tracing::info!(id = %staged.id, %code, "refused what was sent");
        return Ok(
            match end(app, staged, End::Refused(code, Some(size))).await? {
                Abort::Ended | Abort::EndedBefore => {
                    Some(Taken::Refused(Rejection { code, message }))
                }
                Abort::Published | Abort::Unknown => None,
            },
        );
    }
    let mut hasher = Sha256Hasher::new();
    let mut read = 0;
    while let Some(chunk) = object.chunk().await? {
        read += chunk.len() as u64;
        hasher.update(&chunk);
    }
    drop(object);
    if read != size {
        return Err(StorageError::Unavailable {
            action: "send an object of the size that it told",
            source: "the answer's body has another length".into(),
        }
        .into());
    }
    let request = OpenRequest {
        file_name: staged.file_name.clone(),
        size,
        sha256: hasher.finish(),
        content_type: None,
        checksum_algorithms: vec![],
    };
    let now = Timestamp::now().as_millisecond();
    let expiry = Expiry {
        url_expires_at: now,
        look_at: now + milliseconds(app.config.timing.adopt_after),
    };
    let upload = match app.open_staged(staged, request, expiry).await? {
        Opened::Open(opened) => {
            let etag = etag.unwrap_or_default();
            let to = keys::original(opened.image);
            let content_type = signed_type(&opened);
            if !staged.in_parts && !app.storage.copy(&key, &to, &etag, content_type).await? {
                return Ok(None);
            }
            match app.adopt_staged(opened).await? {
                Some(upload) => upload,
                None => return Ok(None),
            }
        }
        Opened::Over(upload) => *upload,
        Opened::Foreign => {
            garbage::collect_key(&app.catalogue, &app.storage, &key).await;
            return Ok(Some(Taken::Not));
        }
        Opened::Gone => return Ok(None),
    };
    if upload.state == UploadState::Verifying {
        app.publisher.start(upload.id);
    }
    garbage::collect_key(&app.catalogue, &app.storage, &key).await;
    Ok(Some(Taken::Upload(Box::new(upload))))
}

/// A place in the queue for what was sent under an id. Who leaves it last, in whatever way, takes the queue away.
struct Turn<'a> {
    staging: &'a Staging,
    id: UploadId,
    lock: Arc<tokio::sync::Mutex<()>>,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut at_work = self.staging.at_work();
        // That of the map, and this one's.
        if Arc::strong_count(&self.lock) == 2 {
            at_work.remove(&self.id);
        }
    }
}

impl Staging {
    fn turn(&self, id: UploadId) -> Turn<'_> {
        let lock = self.at_work().entry(id).or_default().clone();
        Turn {
            staging: self,
            id,
            lock,
        }
    }

    /// Something is to be looked for by then.
    fn look_by(&self, at: i64) {
        let next = self.0.next.load(SeqCst);
        if next == 0 || at < next {
            self.0.sooner.notify_one();
        }
    }

    fn at_work(&self) -> MutexGuard<'_, HashMap<UploadId, Arc<tokio::sync::Mutex<()>>>> {
        let at_work = self.0.at_work.lock();
        at_work.unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_older_what_is_expected_the_less_often_it_is_looked_for() {
        let staged = Staged::new(1, FileName::clean("a.jpg"), false, i64::MAX);
        let after = |seconds: i64| {
            pause(
                &staged,
                staged.created_at + seconds * 1000,
                Duration::from_secs(1),
            )
        };
        assert_eq!(after(0), Duration::from_secs(1));
        assert_eq!(after(8), Duration::from_secs(2));
        assert_eq!(after(300), LONGEST_PAUSE);
        let expired = Staged {
            url_expires_at: staged.created_at,
            ..staged.clone()
        };
        assert_eq!(
            pause(&expired, staged.created_at + 1, Duration::from_secs(1)),
            PAUSE_AFTER
        );
        // As of a clock that was set back.
        assert_eq!(after(-60), Duration::from_secs(1));
    }

    #[test]
    fn what_is_seen_to_arrive_is_looked_for_when_its_url_has_expired_and_when_it_is_over() {
        let in_a_while = Timestamp::now().as_millisecond() + 300_000;
        let mut staged = Staged::new(1, FileName::clean("a.jpg"), false, in_a_while);
        let first = next_look(&staged, staged.created_at, None);
        assert_eq!(first, staged.url_expires_at + 1);
        let last = next_look(&staged, first, None);
        assert_eq!(last, last_look(&staged) + 1);
        assert!(next_look(&staged, last, None) > last);
        staged.in_parts = true;
        let first = next_look(&staged, staged.created_at, None);
        assert_eq!(first, staged.created_at + 1000);
    }
}
