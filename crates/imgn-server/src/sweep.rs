//! What time and crashes leave undone: verification that a restart interrupted, objects whose client never called
//! `complete`, uploads that nobody will end, and garbage.
//!
//! Invariant: a pass only does what a request could have done, by the same calls; so it can be interrupted, repeated,
//! and run beside requests. One thing that fails does not keep the others from being done.

use std::{
    error::Error,
    time::{Duration, Instant},
};

use imgn_protocol::Timestamp;
use tracing::Instrument as _;

use crate::{
    catalogue::{Abort, Upload},
    error::{ApiError, chain},
    garbage,
    staging::{self, milliseconds},
    state::App,
    storage::{OpenMultipart, keys},
    traces,
};

/// Uploads that are taken up in one pass, of each kind. What is over waits for the next.
const BATCH: u32 = 256;

/// The pause before an upload is looked at again that the store had no answer about.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// How often the store is asked for forgotten multipart uploads within the age at which they are aborted. It may have
/// to list a lot.
const ORPHANS_PER_AGE: u32 = 24;

/// How long an upload that ended without a picture is remembered, for clients that ask again.
const REMEMBER_ENDED: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// What a pass did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Uploads whose verification was taken up, or was under way.
    pub verifying: u64,
    /// Uploads aborted for their age, and multipart uploads of the store that no upload has.
    pub aborted: u64,
    /// Objects deleted.
    pub deleted: u64,
    /// Objects of pictures that the catalogue does not know, old enough to be removed and left there. Only
    /// [`Server::sweep`](crate::Server::sweep) looks for them.
    pub unknown: u64,
    /// What could not be done, and waits for a later pass; the log says why.
    pub failures: u64,
}

/// Sweeps now and then until the server stops.
pub(crate) async fn run(app: App) {
    let mut orphans_looked_for = Instant::now();
    loop {
        let is_time =
            orphans_looked_for.elapsed() >= app.config.timing.forget_after / ORPHANS_PER_AGE;
        let everything = async {
            let mut swept = pass(&app).await;
            if is_time {
                orphans(&app, &mut swept).await;
            }
            swept
        };
        let swept = tokio::select! {
            swept = everything.instrument(traces::sweep()) => swept,
            () = app.stopping.cancelled() => return,
        };
        app.metrics.swept(swept);
        if is_time {
            orphans_looked_for = Instant::now();
        }
        if swept != Swept::default() {
            tracing::info!(
                swept.verifying,
                swept.aborted,
                swept.deleted,
                swept.failures,
                "swept"
            );
        }
        tokio::select! {
            () = tokio::time::sleep(app.config.timing.sweep_every) => {}
            () = app.stopping.cancelled() => return,
        }
    }
}

/// One pass. Verification goes on after it. What fails is logged and counted, and keeps nothing else from being done.
pub(crate) async fn pass(app: &App) -> Swept {
    let mut swept = Swept::default();
    let verifying = app.catalogue.verifying(BATCH).await;
    for id in swept.of("list what is under verification", verifying) {
        app.publisher.start(id);
        swept.verifying += 1;
    }
    let pause = milliseconds(LOOK_AGAIN);
    match app.catalogue.take_silent(pause, BATCH).await {
        Ok(silent) => {
            for upload in &silent.uploads {
                let looked = look(app, upload, silent.until).await;
                swept.verifying += u64::from(swept.done("look at an upload", looked));
            }
        }
        Err(error) => swept.failed("list what may have arrived", &error),
    }
    let abort_after = milliseconds(app.config.timing.abort_after);
    let old = app.catalogue.open_for(abort_after, BATCH).await;
    for upload in swept.of("list what is too old", old) {
        match verify_if_there(app, &upload).await {
            Ok(true) => swept.verifying += 1,
            Ok(false) => {
                let aborted = app.abort(upload.id, None).await;
                let aborted = aborted.map(|aborted| aborted == Abort::Ended);
                swept.aborted += u64::from(swept.done("abort an upload", aborted));
            }
            Err(error) => swept.failed("look at an old upload", &error),
        }
    }
    let remember = milliseconds(REMEMBER_ENDED);
    let forgotten = app.catalogue.forget_ended(remember).await;
    swept.done("forget what ended long ago", forgotten.map(|_| true));
    let forgotten = app.catalogue.forget_usage().await;
    swept.done(
        "forget what was used on days that are over",
        forgotten.map(|_| true),
    );
    collect(app, &mut swept).await;
    // Last, for it reads whole files: who has little time has done everything else by then.
    staging::end_old(app, abort_after, &mut swept).await;
    staging::pass(app, &mut swept).await;
    swept
}

/// Deletes what is garbage.
pub(crate) async fn collect(app: &App, swept: &mut Swept) {
    match garbage::collect_due(&app.catalogue, &app.storage).await {
        Ok(collected) => {
            swept.deleted += collected.deleted;
            swept.failures += collected.failed;
        }
        Err(error) => swept.failed("read what is garbage", &error),
    }
}

/// Aborts what the store lists as open though no upload here has it: a crash came between its making and the note of
/// it. One that is young may be noted yet.
pub(crate) async fn orphans(app: &App, swept: &mut Swept) {
    let newest = Timestamp::now().as_millisecond() - milliseconds(app.config.timing.forget_after);
    for prefix in [keys::ORIGINALS, keys::PROBES] {
        let open = app.storage.open_multiparts(prefix).await;
        for multipart in swept.of("list multipart uploads", open) {
            if multipart.initiated > newest {
                continue;
            }
            let aborted = abort_orphan(app, &multipart).await;
            swept.aborted += u64::from(swept.done("abort a forgotten multipart upload", aborted));
        }
    }
}

async fn abort_orphan(app: &App, multipart: &OpenMultipart) -> Result<bool, ApiError> {
    if app.catalogue.knows_multipart(&multipart.id).await? {
        return Ok(false);
    }
    let (key, id) = (&multipart.key, &multipart.id);
    app.storage.abort_multipart(key, id).await?;
    tracing::info!(key, "aborted a multipart upload that nobody knows");
    Ok(true)
}

impl Swept {
    pub(crate) fn failed(&mut self, what: &str, error: &(dyn Error + 'static)) {
        tracing::warn!(cause = chain(error), "the sweeper could not {what}");
        self.failures += 1;
    }

    /// What was found; nothing where that failed.
    pub(crate) fn of<T, E: Error + 'static>(
        &mut self,
        what: &str,
        found: Result<Vec<T>, E>,
    ) -> Vec<T> {
        found.unwrap_or_else(|error| {
            self.failed(what, &error);
            Vec::new()
        })
    }

    /// Whether it was done; not where it failed.
    pub(crate) fn done<E: Error + 'static>(&mut self, what: &str, done: Result<bool, E>) -> bool {
        done.unwrap_or_else(|error| {
            self.failed(what, &error);
            false
        })
    }
}

/// Looks whether the bytes are there of an open upload that was taken until then. When the store cannot tell, it is asked
/// again at that time.
async fn look(app: &App, upload: &Upload, until: i64) -> Result<bool, ApiError> {
    let is_there = verify_if_there(app, upload).await?;
    if !is_there {
        app.catalogue.looked_at(upload.id, until).await?;
    }
    Ok(is_there)
}

/// Takes up an open upload whose bytes are in the store.
async fn verify_if_there(app: &App, upload: &Upload) -> Result<bool, ApiError> {
    let key = keys::original(upload.image);
    if app.storage.size(&key).await?.is_none() {
        return Ok(false);
    }
    app.begin_verifying(upload.id).await?;
    app.publisher.start(upload.id);
    Ok(true)
}
