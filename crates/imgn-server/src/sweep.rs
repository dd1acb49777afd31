//! What time and crashes leave undone: verification that a restart interrupted, objects whose client never called
//! `complete`, uploads that nobody will end, and garbage.
//!
//! Invariant: a pass only does what a request could have done, by the same calls; so it can be interrupted, repeated,
//! and run beside requests.

use std::time::Duration;

use crate::{
    catalogue::Upload,
    error::{ApiError, chain},
    garbage,
    state::App,
    storage::keys,
};

/// Uploads that are taken up in one pass, of each kind. What is over waits for the next.
const BATCH: u32 = 256;

/// How long an upload that ended without a picture is remembered, for clients that ask again.
const REMEMBER_ENDED: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// What a pass did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Uploads whose verification was taken up, or was under way.
    pub verifying: u64,
    /// Uploads aborted for their age.
    pub aborted: u64,
    /// Objects deleted.
    pub deleted: u64,
}

/// Sweeps now and then until the server stops.
pub(crate) async fn run(app: App) {
    loop {
        let swept = tokio::select! {
            swept = pass(&app) => swept,
            () = app.stopping.cancelled() => return,
        };
        match swept {
            Ok(swept) if swept == Swept::default() => {}
            Ok(swept) => tracing::info!(swept.verifying, swept.aborted, swept.deleted, "swept"),
            Err(error) => tracing::warn!(cause = chain(&error), "the sweep was cut short"),
        }
        tokio::select! {
            () = tokio::time::sleep(app.config.timing.sweep_every) => {}
            () = app.stopping.cancelled() => return,
        }
    }
}

/// One pass. Verification goes on after it.
pub(crate) async fn pass(app: &App) -> Result<Swept, ApiError> {
    let mut swept = Swept::default();
    for id in app.catalogue.verifying(BATCH).await? {
        app.publisher.start(id);
        swept.verifying += 1;
    }
    for upload in app.catalogue.to_look_at(BATCH).await? {
        if verify_if_there(app, &upload).await? {
            swept.verifying += 1;
        } else {
            app.catalogue.looked_at(upload.id).await?;
        }
    }
    let abort_after = milliseconds(app.config.timing.abort_after);
    for upload in app.catalogue.open_for(abort_after, BATCH).await? {
        if verify_if_there(app, &upload).await? {
            swept.verifying += 1;
        } else {
            app.catalogue.abort(upload.id, None).await?;
            swept.aborted += 1;
        }
    }
    app.catalogue
        .forget_ended(milliseconds(REMEMBER_ENDED))
        .await?;
    swept.deleted = garbage::collect_due(&app.catalogue, &app.storage).await?;
    Ok(swept)
}

/// Takes up an open upload whose bytes are in the store.
async fn verify_if_there(app: &App, upload: &Upload) -> Result<bool, ApiError> {
    let key = keys::original(upload.image);
    if app.storage.size(&key).await?.is_none() {
        return Ok(false);
    }
    app.catalogue.begin_verifying(upload.id).await?;
    app.publisher.start(upload.id);
    Ok(true)
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 2)
}
