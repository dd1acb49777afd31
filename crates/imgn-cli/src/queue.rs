//! `queue`, `resume`, `pause` and `cancel`: uploads that are known already.

use std::{collections::VecDeque, time::Duration};

use anyhow::Result;
use imgn_core::{
    App, ClientCode, Code, CommandError, UploadCode, UploadReport, UploadState, UploadView,
    ViewError, protocol::UploadId,
};
use serde::Serialize;

use crate::{
    args::{Format, Which},
    follow::{Follow, Pending, pictures},
    output::{Output, size},
};

/// So long it is waited for the server to hear that an upload is taken back.
const TOLD: Duration = Duration::from_secs(10);

#[derive(Serialize)]
struct QueuedLine {
    upload_id: String,
    path: String,
    file_name: String,
    state: UploadState,
    size: Option<u64>,
    sent_bytes: u64,
    error: Option<ViewError>,
}

pub(crate) async fn queue(app: &App, output: &Output) -> Result<bool> {
    let mut sum = Sum::default();
    for report in app.upload_reports().await {
        if report.view.state.has_ended() && report.view.state != UploadState::Failed {
            continue;
        }
        sum.add(&report.view);
        if output.json {
            output.object(&queued_line(report))?;
        } else {
            output.line(line(&report))?;
        }
    }
    output.note(sum.in_words());
    Ok(true)
}

fn queued_line(report: UploadReport) -> QueuedLine {
    let view = report.view;
    QueuedLine {
        upload_id: view.id,
        path: report.path.display().to_string(),
        file_name: view.file_name,
        state: view.state,
        size: view.size,
        sent_bytes: view.sent_bytes,
        error: view.error,
    }
}

fn line(report: &UploadReport) -> String {
    let view = &report.view;
    let percent = match view.size {
        Some(size) if size > 0 && view.sent_bytes > 0 => {
            format!("{}%", u128::from(view.sent_bytes) * 100 / u128::from(size))
        }
        _ => "-".to_owned(),
    };
    let why = view
        .error
        .as_ref()
        .map(|error| format!("  ({})", error.message))
        .unwrap_or_default();
    let state = word(view.state);
    let path = report.path.display();
    format!("{}  {state:<8}  {percent:>4}  {path}{why}", view.id)
}

fn word(state: UploadState) -> &'static str {
    match state {
        UploadState::Queued => "queued",
        UploadState::Hashing => "reading",
        UploadState::Uploading => "sending",
        UploadState::Verifying => "checked",
        UploadState::Waiting => "waiting",
        UploadState::Paused => "paused",
        UploadState::Failed => "failed",
        UploadState::Published
        | UploadState::Duplicate
        | UploadState::Rejected
        | UploadState::Cancelled => "ended",
    }
}

/// What the queue comes to.
#[derive(Default)]
struct Sum {
    left: usize,
    bytes: u64,
    paused: usize,
    failed: usize,
}

impl Sum {
    fn add(&mut self, view: &UploadView) {
        if view.state == UploadState::Failed {
            self.failed += 1;
            return;
        }
        self.left += 1;
        self.bytes += view
            .size
            .unwrap_or_default()
            .saturating_sub(view.sent_bytes);
        self.paused += usize::from(view.state == UploadState::Paused);
    }

    fn in_words(&self) -> String {
        if self.left + self.failed == 0 {
            return "nothing is queued".to_owned();
        }
        let mut words = Vec::new();
        if self.left > 0 {
            words.push(format!(
                "{} to send ({})",
                pictures(self.left),
                size(self.bytes)
            ));
        }
        if self.paused > 0 {
            words.push(format!("{} of them paused", self.paused));
        }
        if self.failed > 0 {
            words.push(format!("{} failed", pictures(self.failed)));
        }
        let way_out = if self.left > 0 {
            "`imgn resume` goes on with all of them"
        } else {
            "`imgn resume` tries again, `imgn cancel --all` forgets them"
        };
        format!("{}; {way_out}", words.join(", "))
    }
}

pub(crate) async fn resume(
    app: &App,
    output: &Output,
    ids: &[UploadId],
    format: &Format,
) -> Result<bool> {
    let events = app.events();
    let mut pending = VecDeque::new();
    let mut all_known = true;
    if ids.is_empty() {
        app.resume_all().await?;
        let reports = app.upload_reports().await;
        let is_taken_back = |it: &&UploadReport| it.view.state.has_ended() && !it.is_settled;
        let taken_back: Vec<_> = reports
            .iter()
            .filter(is_taken_back)
            .map(|it| it.id)
            .collect();
        until_told(app, output, &taken_back).await;
        for report in reports {
            let is_worth = is_worth_another_try(report.view.error.as_ref());
            if !report.view.state.has_ended()
                || (report.view.state == UploadState::Failed && is_worth)
            {
                pending.extend(go_on(app, &report).await?);
            }
        }
    } else {
        for &id in ids {
            let went_on = match app.upload_report(id).await {
                Some(report) => go_on(app, &report).await,
                None => app.resume(id).await.map(|()| None),
            };
            match went_on {
                Ok(upload) => pending.extend(upload),
                Err(error) => {
                    output.error(format!("{id}: {error}"));
                    all_known = false;
                }
            }
        }
    }
    if pending.is_empty() && all_known {
        output.note("nothing is queued");
    }
    let followed = Follow::new(app, output, format).run(pending, events);
    Ok(followed.await? && all_known)
}

async fn go_on(app: &App, report: &UploadReport) -> Result<Option<Pending>, CommandError> {
    let id = report.id;
    match report.view.state {
        UploadState::Failed => app.retry(id).await?,
        UploadState::Cancelled => {
            let message = "it was taken back; `imgn upload` its file again";
            return Err(CommandError::new(ClientCode::Cancelled, message));
        }
        UploadState::Published | UploadState::Duplicate | UploadState::Rejected => {}
        UploadState::Queued
        | UploadState::Hashing
        | UploadState::Uploading
        | UploadState::Verifying
        | UploadState::Waiting
        | UploadState::Paused => {
            // Another program may have it, and brings it to its end.
            let _ = app.resume(id).await;
        }
    }
    Ok(Some(Pending {
        path: report.path.clone(),
        taken: Ok(id),
    }))
}

/// The token, the server, the store or the file's permissions may be other ones by now; what is no file stays none.
fn is_worth_another_try(error: Option<&ViewError>) -> bool {
    !error.is_some_and(|error| matches!(error.code, Code::Upload(UploadCode::NotAFile)))
}

pub(crate) async fn pause(app: &App, output: &Output, which: Which) -> Result<bool> {
    if which.all {
        let paused = app.pause_all().await?;
        output.note(format!("{} paused", pictures(paused)));
        return Ok(tell_others(app, output).await);
    }
    let mut all_done = true;
    for id in which.ids {
        if let Err(error) = app.pause(id).await {
            output.error(format!("{id}: {error}"));
            all_done = false;
        }
    }
    Ok(all_done)
}

/// What another running program works at, only that one can hold back. Answers whether there is none.
async fn tell_others(app: &App, output: &Output) -> bool {
    let uploads = app.uploads().await;
    let goes_on =
        |upload: &&UploadView| !upload.state.has_ended() && upload.state != UploadState::Paused;
    let count = uploads.iter().filter(goes_on).count();
    if count > 0 {
        output.error(format!(
            "{} in the hands of another running imgn; use its own controls, or end it first",
            pictures(count)
        ));
    }
    count == 0
}

pub(crate) async fn cancel(app: &App, output: &Output, which: Which) -> Result<bool> {
    if which.all {
        let uploads = app.upload_reports().await;
        let in_state = |is_meant: fn(UploadState) -> bool| -> Vec<UploadId> {
            let meant = uploads.iter().filter(|it| is_meant(it.view.state));
            meant.map(|report| report.id).collect()
        };
        let mut ids = in_state(|state| !state.has_ended());
        let mut cancelled = app.cancel_all().await?;
        for id in in_state(|state| state == UploadState::Failed) {
            app.cancel(id).await?;
            ids.push(id);
            cancelled += 1;
        }
        until_told(app, output, &ids).await;
        output.note(format!("{} taken back", pictures(cancelled)));
        return Ok(tell_others(app, output).await);
    }
    let mut all_done = true;
    let mut cancelled = Vec::new();
    for id in which.ids {
        match app.cancel(id).await {
            Ok(()) => cancelled.push(id),
            Err(error) => {
                output.error(format!("{id}: {error}"));
                all_done = false;
            }
        }
    }
    until_told(app, output, &cancelled).await;
    Ok(all_done)
}

/// Waits until the server has taken them back, or for as long as it may take; says when it has not heard of all.
async fn until_told(app: &App, output: &Output, ids: &[UploadId]) {
    let mut events = app.events();
    let told = async {
        for &id in ids {
            while let Some(report) = app.upload_report(id).await {
                // What was not taken back is in other hands.
                if report.is_settled || !report.view.state.has_ended() {
                    break;
                }
                let _ = tokio::time::timeout(Duration::from_millis(250), events.recv()).await;
            }
        }
    };
    if tokio::time::timeout(TOLD, told).await.is_err() {
        output.error("the server has not heard of all that was taken back; `imgn resume` tells it");
    }
}
