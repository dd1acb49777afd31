//! Follows uploads to their ends: a line for each, in order, a progress bar, and what is to be said about them.
//!
//! It starts no upload and stops none. Invariant: every upload that is followed gets its line, whatever interrupts.

use std::{
    collections::VecDeque,
    io::IsTerminal as _,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::Result;
use imgn_core::{
    App, ClientCode, Code, CommandError, Event, UploadCode, UploadReport, UploadState, ViewError,
    link,
    protocol::{ImageId, Sha256, UploadId},
};
use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use tokio::sync::broadcast;

use crate::{
    args::Format,
    output::{Output, told},
    signal::stop_signal,
};

/// Where nothing has gone on for so long, nothing is waited for: the queue keeps what is left.
const PATIENCE: Duration = Duration::from_secs(2);

/// So many files are named where something is said of several.
const NAMED: usize = 3;

#[derive(Serialize)]
struct UploadLine {
    path: String,
    upload_id: Option<UploadId>,
    state: &'static str,
    id: Option<ImageId>,
    url: Option<String>,
    width: Option<u32>,
    height: Option<u32>,
    sha256: Option<Sha256>,
    sent_bytes: u64,
    location_removed: bool,
    error: Option<ViewError>,
}

/// A file whose line is still to be printed, under the path as it was given.
pub(crate) struct Pending {
    pub(crate) path: PathBuf,
    /// Its upload, or why it was not taken.
    pub(crate) taken: Result<UploadId, CommandError>,
}

/// Prints a line for each upload as it ends, in order, until all have ended or there is no use in waiting.
pub(crate) struct Follow<'a> {
    app: &'a App,
    output: &'a Output,
    format: &'a Format,
    bar: ProgressBar,
    all_done: bool,
    left: Left,
    /// Whose location was left out of what was sent.
    without_location: Vec<String>,
}

/// What is in the queue when nothing is waited for any more.
#[derive(Default)]
struct Left {
    queued: usize,
    without_file: Vec<String>,
    paused: usize,
}

/// A file, and its upload as it stands, if there is one.
type Reported<'p> = (&'p Pending, Option<UploadReport>);

enum Ending {
    Done,
    /// Nothing goes on until somebody or something else acts.
    Standstill,
    Interrupted,
}

impl<'a> Follow<'a> {
    pub(crate) fn new(app: &'a App, output: &'a Output, format: &'a Format) -> Self {
        // Log lines would tear it, and tell more.
        let is_shown = std::io::stderr().is_terminal() && !output.quiet && !output.verbose;
        let target = if is_shown {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(Some(0), target);
        if let Ok(style) = ProgressStyle::with_template(
            "{wide_bar} {bytes}/{total_bytes}  {binary_bytes_per_sec}  {msg}",
        ) {
            bar.set_style(style);
        }
        Self {
            app,
            output,
            format,
            bar,
            all_done: true,
            left: Left::default(),
            without_location: Vec::new(),
        }
    }

    pub(crate) async fn run(
        mut self,
        mut pending: VecDeque<Pending>,
        mut events: broadcast::Receiver<Event>,
    ) -> Result<bool> {
        let ending = self.until_ended(&mut pending, &mut events).await?;
        self.bar.finish_and_clear();
        // What is left is in the journal.
        let left = self.reports(&pending).await;
        if !matches!(ending, Ending::Done) {
            self.app.quit().await;
        }
        for (upload, report) in left {
            self.print(upload, report.as_ref())?;
        }
        self.tell_locations();
        match ending {
            Ending::Done => {}
            Ending::Standstill => self.tell_left(),
            Ending::Interrupted => {
                let count = self.left.queued + self.left.without_file.len() + self.left.paused;
                self.output.error(format!(
                    "stopped; {} in the queue, `imgn resume` goes on",
                    pictures(count)
                ));
                self.all_done = false;
            }
        }
        Ok(self.all_done)
    }

    fn tell_locations(&self) {
        let names = &self.without_location;
        if names.len() > NAMED {
            self.output.note(format!(
                "location removed from {}; --keep-gps sends it",
                pictures(names.len())
            ));
        } else {
            for name in names {
                self.output.note(format!("location removed from {name}"));
            }
        }
    }

    fn tell_left(&self) {
        let left = &self.left;
        let them = |count| if count == 1 { "it" } else { "them" };
        if left.queued > 0 {
            self.output.note(format!(
                "the server cannot be reached; {} queued, `imgn resume` sends {} when it answers again",
                pictures(left.queued),
                them(left.queued)
            ));
        }
        let missing = &left.without_file;
        for path in missing.iter().take(NAMED) {
            self.output
                .note(format!("{path} is not where it was when it was queued"));
        }
        if missing.len() > NAMED {
            self.output
                .note(format!("nor are {} more", pictures(missing.len() - NAMED)));
        }
        if !missing.is_empty() {
            let them = them(missing.len());
            self.output.note(format!(
                "put {them} back, then `imgn resume`, or `imgn cancel` {them}"
            ));
        }
        if left.paused > 0 {
            self.output.note(format!(
                "{} paused; `imgn resume` goes on with them",
                pictures(left.paused)
            ));
        }
    }

    async fn until_ended(
        &mut self,
        pending: &mut VecDeque<Pending>,
        events: &mut broadcast::Receiver<Event>,
    ) -> Result<Ending> {
        let mut stop = std::pin::pin!(stop_signal());
        let mut still_since: Option<Instant> = None;
        loop {
            while let Some(first) = pending.front() {
                let report = self.report(first).await;
                let ended = report.as_ref().filter(|it| it.view.state.has_ended());
                if first.taken.is_ok() && ended.is_none() {
                    break;
                }
                self.print(first, ended)?;
                pending.pop_front();
            }
            if pending.is_empty() {
                return Ok(Ending::Done);
            }
            self.show_progress().await;
            let since = still_since.get_or_insert_with(Instant::now);
            if self.goes_on(pending).await {
                still_since = None;
            } else if since.elapsed() >= PATIENCE {
                return Ok(Ending::Standstill);
            }
            tokio::select! {
                _ = events.recv() => {}
                () = tokio::time::sleep(Duration::from_millis(250)) => {}
                () = &mut stop => return Ok(Ending::Interrupted),
            }
        }
    }

    async fn report(&self, upload: &Pending) -> Option<UploadReport> {
        self.app.upload_report(*upload.taken.as_ref().ok()?).await
    }

    async fn reports<'p>(&self, pending: &'p VecDeque<Pending>) -> Vec<Reported<'p>> {
        let mut reports = Vec::with_capacity(pending.len());
        for upload in pending {
            reports.push((upload, self.report(upload).await));
        }
        reports
    }

    /// Whether one of them does without anything else having to happen.
    async fn goes_on(&self, pending: &VecDeque<Pending>) -> bool {
        for upload in pending {
            if let Some(report) = self.report(upload).await
                && !report.view.state.has_ended()
                && !matches!(
                    report.view.state,
                    UploadState::Waiting | UploadState::Paused
                )
            {
                return true;
            }
        }
        false
    }

    async fn show_progress(&self) {
        let totals = self.app.totals().await;
        self.bar.set_length(totals.bytes);
        self.bar.set_position(totals.bytes_done);
        let left = totals.files.saturating_sub(totals.files_done);
        let time = totals
            .time_left
            .filter(|time| *time >= Duration::from_secs(1))
            .map(|time| format!(", {}", HumanDuration(Duration::from_secs(time.as_secs()))))
            .unwrap_or_default();
        self.bar
            .set_message(format!("{} left{time}", pictures(left)));
    }

    /// Why a file was not taken was said when it was not; here programs get its line.
    fn print(&mut self, upload: &Pending, report: Option<&UploadReport>) -> Result<()> {
        let path = &upload.path.display().to_string();
        match (&upload.taken, report) {
            (Err(error), _) => {
                self.all_done = false;
                if self.output.json {
                    let line = refused(path, error);
                    self.bar.suspend(|| self.output.object(&line))?;
                }
                Ok(())
            }
            (Ok(_), Some(report)) => self.print_report(path, report),
            // Its program has forgotten it.
            (Ok(_), None) => Ok(()),
        }
    }

    fn print_report(&mut self, path: &str, report: &UploadReport) -> Result<()> {
        let view = &report.view;
        let state = state_name(view.state);
        let error = match view.state {
            UploadState::Cancelled => {
                let message = "was cancelled by another imgn; upload it again if you want it";
                Some(CommandError::new(ClientCode::Cancelled, message).into())
            }
            _ => view.error.clone(),
        };
        match state {
            "queued" => match (view.state, waits_for_file(view.error.as_ref())) {
                (UploadState::Paused, _) => self.left.paused += 1,
                (_, true) => self.left.without_file.push(path.to_owned()),
                (_, false) => self.left.queued += 1,
            },
            "failed" | "rejected" => self.all_done = false,
            _ => {}
        }
        if state != "queued"
            && let Some(error) = &error
        {
            self.bar.suspend(|| {
                self.output
                    .error(format!("{path}: {}", told(error.code, &error.message)));
            });
        }
        if view.started_anew && view.image.is_some() {
            let note = format!("{path}: changed meanwhile; it was sent anew, as it is now");
            self.bar.suspend(|| self.output.note(note));
        }
        if view.location_removed && view.image.is_some() {
            self.without_location.push(path.to_owned());
        }
        let image = view.image.as_ref();
        if self.output.json {
            let line = UploadLine {
                path: path.to_owned(),
                upload_id: Some(report.session),
                state,
                id: image.map(|image| image.id),
                url: image.map(|image| image.url.clone()),
                width: image.map(|image| image.width),
                height: image.map(|image| image.height),
                sha256: report.sha256,
                sent_bytes: view.sent_bytes,
                location_removed: view.location_removed,
                error,
            };
            self.bar.suspend(|| self.output.object(&line))?;
        } else if let Some(image) = image {
            self.bar.suspend(|| {
                self.output
                    .line(link(image, self.format.alt.as_deref(), &self.format.format))
            })?;
        }
        Ok(())
    }
}

/// The closed set of the command line's JSON; what has not ended is in the queue.
fn state_name(state: UploadState) -> &'static str {
    match state {
        UploadState::Queued
        | UploadState::Hashing
        | UploadState::Uploading
        | UploadState::Verifying
        | UploadState::Waiting
        | UploadState::Paused => "queued",
        UploadState::Published => "published",
        UploadState::Duplicate => "duplicate",
        UploadState::Rejected => "rejected",
        UploadState::Failed | UploadState::Cancelled => "failed",
    }
}

/// So many, in words.
pub(crate) fn pictures(count: usize) -> String {
    if count == 1 {
        "1 picture".to_owned()
    } else {
        format!("{count} pictures")
    }
}

fn waits_for_file(error: Option<&ViewError>) -> bool {
    error.is_some_and(|error| error.code == Code::Upload(UploadCode::FileMissing))
}

fn refused(path: &str, error: &CommandError) -> UploadLine {
    UploadLine {
        path: path.to_owned(),
        upload_id: None,
        state: "failed",
        id: None,
        url: None,
        width: None,
        height: None,
        sha256: None,
        sent_bytes: 0,
        location_removed: false,
        error: Some(error.clone().into()),
    }
}
