//! Uploads as they are shown: the engine's states in the words of the views, with a rate. The engine tells changes at
//! most ten times a second.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use imgn_protocol::{ErrorCode, Sha256, UploadId};
use imgn_upload::{Engine, Fault, Snapshot, Stage, State, UploadCode, WaitingFor, Work};
use tokio::sync::broadcast;

use crate::{Event, UploadState, UploadView, ViewError, history::History, http::Server};

/// An upload with what only programs ask for.
#[derive(Debug, Clone, PartialEq)]
pub struct UploadReport {
    /// Its id, the same for as long as the upload is known.
    pub id: UploadId,
    /// As it is shown.
    pub view: UploadView,
    /// The file.
    pub path: PathBuf,
    /// Its id on the server: another one than the view's after the file changed and the upload started anew.
    pub session: UploadId,
    /// SHA-256 of the file, once it was summed.
    pub sha256: Option<Sha256>,
    /// Whether nothing more happens by itself. What was cancelled is shown so at once, and settled when the server has
    /// heard of it.
    pub is_settled: bool,
}

/// The report on an upload as it stands.
pub(crate) fn report(snapshot: &Snapshot, server: &Server) -> UploadReport {
    let entry = &snapshot.entry;
    UploadReport {
        id: entry.id,
        view: view(snapshot, server),
        path: entry.path.clone(),
        session: entry.state.session().unwrap_or(entry.id),
        sha256: entry.state.content().map(|content| content.sha256),
        is_settled: entry.state.has_ended(),
    }
}

/// The view of an upload as it stands, without a rate.
pub(crate) fn view(snapshot: &Snapshot, server: &Server) -> UploadView {
    let entry = &snapshot.entry;
    let mut view = UploadView {
        id: entry.id.to_string(),
        file_name: entry.file_name.to_string(),
        state: shown(&entry.state),
        size: snapshot.total_bytes,
        sent_bytes: snapshot.sent_bytes,
        bytes_per_second: None,
        image: None,
        error: None,
        position: entry.position,
        location_removed: entry
            .state
            .content()
            .is_some_and(|content| content.location_removed),
        started_anew: entry.state.started_anew(),
    };
    match &entry.state {
        State::Published { image, content, .. } => {
            view.sent_bytes = content.fingerprint.size;
            view.image = Some(image.clone());
        }
        State::Duplicate { image, .. } => {
            view.sent_bytes = 0;
            view.image = Some(image.clone());
        }
        State::Rejected { fault, .. } => view.error = Some(fault.clone().into()),
        State::Failed { fault, .. } => view.error = Some(explain(fault, server)),
        State::Waiting { on, reason, .. } if view.state == UploadState::Waiting => {
            let fault = match on {
                WaitingFor::Server => Fault::new(
                    UploadCode::Offline,
                    format!("{reason}; the upload goes on by itself when the server answers"),
                ),
                WaitingFor::File => Fault::new(UploadCode::FileMissing, reason.clone()),
            };
            view.error = Some(fault.into());
        }
        State::Queued { .. }
        | State::Working(_)
        | State::Waiting { .. }
        | State::Paused { .. }
        | State::Cancelled => {}
    }
    view
}

fn explain(fault: &Fault, server: &Server) -> ViewError {
    if fault.code != ErrorCode::Unauthorized.into() {
        return fault.clone().into();
    }
    match server.token_trouble() {
        Some(trouble) => trouble.into(),
        // What is the matter with a token only the server knows: that it has expired, or was revoked.
        None if server.has_token() && !fault.message.is_empty() => fault.clone().into(),
        None => Fault {
            message: "the gallery takes pictures only with a token, and there is none for it here"
                .to_owned(),
            ..fault.clone()
        }
        .into(),
    }
}

fn shown(state: &State) -> UploadState {
    match state {
        State::Queued { .. } => UploadState::Queued,
        State::Working(work) => shown_work(work),
        State::Waiting { work, .. } => match work.stage {
            Stage::Aborting(_) => UploadState::Cancelled,
            _ => UploadState::Waiting,
        },
        State::Paused { .. } => UploadState::Paused,
        State::Published { .. } => UploadState::Published,
        State::Duplicate { .. } => UploadState::Duplicate,
        State::Rejected { .. } => UploadState::Rejected,
        State::Failed { .. } => UploadState::Failed,
        State::Cancelled => UploadState::Cancelled,
    }
}

fn shown_work(work: &Work) -> UploadState {
    match work.stage {
        Stage::Summing { .. } | Stage::Resumming(_) | Stage::Forgetting(_) | Stage::Renewing => {
            UploadState::Hashing
        }
        Stage::Hashed(_) | Stage::Opened { .. } | Stage::Sending { .. } | Stage::Parts { .. } => {
            UploadState::Uploading
        }
        Stage::Completing(_) | Stage::Verifying { .. } => UploadState::Verifying,
        Stage::Aborting(_) => UploadState::Cancelled,
    }
}

/// Bytes a second, smoothed over about [`Rate::MEMORY`].
#[derive(Debug, Clone, Copy)]
struct Rate {
    at: Instant,
    bytes: u64,
    per_second: Option<f64>,
}

impl Rate {
    const MEMORY: Duration = Duration::from_secs(2);

    fn new(at: Instant, bytes: u64) -> Self {
        Self {
            at,
            bytes,
            per_second: None,
        }
    }

    fn update(&mut self, at: Instant, bytes: u64) -> Option<f64> {
        if bytes < self.bytes {
            // Sending began anew.
            *self = Self::new(at, bytes);
            return None;
        }
        let seconds = at.duration_since(self.at).as_secs_f64();
        if seconds > 0.0 {
            #[expect(
                clippy::cast_precision_loss,
                reason = "a rate is shown with three digits"
            )]
            let now = (bytes - self.bytes) as f64 / seconds;
            let weight = 1.0 - (-seconds / Self::MEMORY.as_secs_f64()).exp();
            let smooth = |before: f64| before + (now - before) * weight;
            self.per_second = Some(self.per_second.map_or(now, smooth));
            (self.at, self.bytes) = (at, bytes);
        }
        self.per_second
    }
}

/// Tells listeners what changes, until the engine is gone. What has no file of its own is deleted once it is in the
/// gallery. `is_published` hears when pictures are.
pub(crate) async fn tell(
    engine: Arc<Engine>,
    server: Arc<Server>,
    events: broadcast::Sender<Event>,
    spool: PathBuf,
    (history, gallery): (History, String),
    is_published: impl Fn() + Send,
) {
    let mut rates: HashMap<UploadId, Rate> = HashMap::new();
    loop {
        let changes = engine.changes().await;
        let now = Instant::now();
        let mut views = Vec::with_capacity(changes.len());
        let mut published = false;
        for snapshot in &changes {
            let id = snapshot.entry.id;
            let mut view = view(snapshot, &server);
            if view.state == UploadState::Uploading {
                let rate = rates
                    .entry(id)
                    .or_insert_with(|| Rate::new(now, view.sent_bytes));
                view.bytes_per_second = rate.update(now, view.sent_bytes);
            } else {
                rates.remove(&id);
            }
            published |= view.state == UploadState::Published;
            if is_in_gallery(view.state) {
                forget_spooled(&snapshot.entry.path, &spool).await;
            }
            views.push(view);
        }
        // Nobody may be listening.
        let _ = events.send(Event::UploadsChanged(views));
        history.remember(&gallery, &changes).await;
        if published {
            is_published();
        }
    }
}

/// Whether the gallery has the picture: it cannot be tried again, as all else that has ended can be.
pub(crate) fn is_in_gallery(state: UploadState) -> bool {
    matches!(state, UploadState::Published | UploadState::Duplicate)
}

/// Deletes what was pasted or came by standard input, whose only copy is in the spool; other files are left alone. For
/// uploads that are in the gallery or forgotten.
pub(crate) async fn forget_spooled(path: &Path, spool: &Path) {
    if path.parent() == Some(spool)
        && let Err(error) = tokio::fs::remove_file(path).await
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!("cannot delete {} ({error})", path.display());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_follows_the_line_and_begins_anew_with_it() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut rate = Rate::new(at(0), 0);
        assert_eq!(rate.update(at(0), 0), None);
        for tick in 1..=50 {
            rate.update(at(tick * 100), tick * 100_000);
        }
        let steady = rate.update(at(5100), 5_100_000).unwrap();
        assert!((steady - 1_000_000.0).abs() < 1.0, "{steady}");
        // The line stops: the rate falls, but not at once.
        let half = rate.update(at(6100), 5_100_000).unwrap();
        assert!(half > 400_000.0 && half < 800_000.0, "{half}");
        assert_eq!(rate.update(at(6200), 0), None);
    }
}
