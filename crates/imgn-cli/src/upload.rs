//! `upload`, `resume`, `queue` and `cancel`.

use std::{
    collections::VecDeque,
    io::IsTerminal as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::Result;
use imgn_core::{
    App, ClientCode, Code, CommandError, Event, Folders, IntakeView, LinkFormat, Taken, UploadCode,
    UploadReport, UploadState, ViewError, link,
    protocol::{ImageId, Sha256, UploadId},
};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use tokio::sync::broadcast;

use crate::{output::Output, signal::stop_signal};

/// A server that has not answered for so long is not waited for: the queue keeps what is left.
const OFFLINE_PATIENCE: Duration = Duration::from_secs(2);

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
    error: Option<ViewError>,
}

/// A file whose line is still to be printed, under the path as it was given.
struct Pending {
    path: PathBuf,
    /// Its upload, or why it was not taken.
    taken: Result<UploadId, CommandError>,
}

pub(crate) async fn upload(
    app: &App,
    output: &Output,
    paths: Vec<PathBuf>,
    folders: Folders,
    format: &LinkFormat,
) -> Result<bool> {
    let events = app.events();
    let mut pending = VecDeque::new();
    let mut intake = IntakeView::default();
    for group in paths.chunk_by(|a, b| !is_stdin(a) && !is_stdin(b)) {
        let before = pending.len();
        let mut take = |taken: Vec<Taken>| {
            pending.extend(taken.into_iter().map(|Taken { path, id }| Pending {
                path,
                taken: Ok(id),
            }));
        };
        let failed = match group {
            [path] if is_stdin(path) => {
                let taken = app.enqueue_stream(std::io::stdin(), "stdin").await;
                taken.map(|mut taken| {
                    for file in &mut taken {
                        file.path.clone_from(path);
                    }
                    take(taken);
                })
            }
            files => app
                .enqueue(files.to_vec(), folders, &mut take)
                .await
                .map(|found| add(&mut intake, found)),
        };
        // What was taken before is on its way, and what comes after may still be taken.
        if let Err(error) = failed {
            output.error(&error);
            let is_taken = |path: &&PathBuf| {
                !pending
                    .iter()
                    .skip(before)
                    .any(|it: &Pending| it.path == **path)
            };
            let left: Vec<_> = group.iter().filter(is_taken).cloned().collect();
            pending.extend(left.into_iter().map(|path| Pending {
                path,
                taken: Err(error.clone()),
            }));
        }
    }
    tell_skipped(output, &intake);
    let total = pending
        .iter()
        .filter_map(|file| file.path.metadata().ok())
        .map(|found| found.len())
        .sum();
    let followed = Follow::new(app, output, format, total).run(pending, events);
    Ok(followed.await? && intake.unreadable.is_empty())
}

fn add(sum: &mut IntakeView, more: IntakeView) {
    sum.pictures += more.pictures;
    sum.other_files += more.other_files;
    sum.linked_folders += more.linked_folders;
    sum.unreadable.extend(more.unreadable);
}

fn tell_skipped(output: &Output, intake: &IntakeView) {
    for folder in &intake.unreadable {
        output.error(folder);
    }
    let mut skipped = Vec::new();
    if intake.other_files > 0 {
        skipped.push(counted(intake.other_files, "other file"));
    }
    if intake.linked_folders > 0 {
        skipped.push(counted(intake.linked_folders, "link to a folder"));
    }
    if !skipped.is_empty() {
        let pictures = counted(intake.pictures, "picture");
        output.note(format!("{pictures}; {} skipped", skipped.join(" and ")));
    }
}

fn counted(count: u32, what: &str) -> String {
    match (count, what.split_once(' ')) {
        (1, _) => format!("1 {what}"),
        (_, Some(("link", rest))) => format!("{count} links {rest}"),
        _ => format!("{count} {what}s"),
    }
}

fn is_stdin(path: &Path) -> bool {
    path == Path::new("-")
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
        error: Some(error.clone().into()),
    }
}

pub(crate) async fn resume(app: &App, output: &Output, format: &LinkFormat) -> Result<bool> {
    let events = app.events();
    let mut pending = VecDeque::new();
    let mut total = 0;
    for report in app.upload_reports().await {
        let id: UploadId = report.view.id.parse()?;
        match report.view.state {
            UploadState::Failed if is_worth_another_try(report.view.error.as_ref()) => {
                app.retry(id).await?;
            }
            state if state.has_ended() => continue,
            _ => {}
        }
        total += report.path.metadata().map_or(0, |found| found.len());
        pending.push_back(Pending {
            path: report.path.clone(),
            taken: Ok(id),
        });
    }
    if pending.is_empty() {
        output.note("nothing is queued");
    }
    Follow::new(app, output, format, total)
        .run(pending, events)
        .await
}

/// The token, the server or the store may be another by now. What was wrong with the file itself, its owner knows.
fn is_worth_another_try(error: Option<&ViewError>) -> bool {
    use UploadCode::{FileEmpty, FileMissing, FileUnreadable, NotAFile};
    !error.is_some_and(|error| {
        matches!(
            error.code,
            Code::Upload(FileEmpty | FileMissing | FileUnreadable | NotAFile)
        )
    })
}

/// Prints a line for each upload as it ends, in order, until all have ended or there is no use in waiting.
struct Follow<'a> {
    app: &'a App,
    output: &'a Output,
    format: &'a LinkFormat,
    bar: ProgressBar,
    all_done: bool,
    queued: usize,
}

/// A file, and its upload as it stands, if there is one.
type Reported<'p> = (&'p Pending, Option<UploadReport>);

enum Ending {
    Done,
    Offline,
    Interrupted,
}

impl<'a> Follow<'a> {
    fn new(app: &'a App, output: &'a Output, format: &'a LinkFormat, total: u64) -> Self {
        // Log lines would tear it, and tell more.
        let is_shown = std::io::stderr().is_terminal() && !output.quiet && !output.verbose;
        let target = if is_shown {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(Some(total), target);
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
            queued: 0,
        }
    }

    async fn run(
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
        match ending {
            Ending::Done => {}
            Ending::Offline => self.output.note(format!(
                "the server cannot be reached; {} queued, `imgn resume` sends them when it answers again",
                pictures(self.queued)
            )),
            Ending::Interrupted => {
                self.output.error(format!(
                    "stopped; {} in the queue, `imgn resume` goes on",
                    pictures(self.queued)
                ));
                self.all_done = false;
            }
        }
        Ok(self.all_done)
    }

    async fn until_ended(
        &mut self,
        pending: &mut VecDeque<Pending>,
        events: &mut broadcast::Receiver<Event>,
    ) -> Result<Ending> {
        let mut stop = std::pin::pin!(stop_signal());
        let mut offline_since: Option<Instant> = None;
        let mut ended_bytes = 0;
        loop {
            while let Some(first) = pending.front() {
                let report = self.report(first).await;
                let ended = report.as_ref().filter(|it| it.view.state.has_ended());
                if first.taken.is_ok() && ended.is_none() {
                    break;
                }
                ended_bytes += ended.and_then(|it| it.view.size).unwrap_or_default();
                self.print(first, ended)?;
                pending.pop_front();
            }
            if pending.is_empty() {
                return Ok(Ending::Done);
            }
            let reports = self.reports(pending).await;
            self.show_progress(&reports, ended_bytes);
            let is_offline = reports
                .iter()
                .filter_map(|(_, it)| it.as_ref())
                .all(|report| {
                    report.view.state == UploadState::Waiting || report.view.state.has_ended()
                });
            let since = offline_since.get_or_insert_with(Instant::now);
            if !is_offline {
                offline_since = None;
            } else if since.elapsed() >= OFFLINE_PATIENCE {
                return Ok(Ending::Offline);
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

    fn show_progress(&self, reports: &[Reported<'_>], ended_bytes: u64) {
        let sent: u64 = reports
            .iter()
            .filter_map(|(_, report)| Some(report.as_ref()?.view.sent_bytes))
            .sum();
        self.bar.set_position(ended_bytes + sent);
        self.bar
            .set_message(format!("{} left", pictures(reports.len())));
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
            "queued" => self.queued += 1,
            "failed" | "rejected" => self.all_done = false,
            _ => {}
        }
        if state != "queued"
            && let Some(error) = &error
        {
            self.bar
                .suspend(|| self.output.error(format!("{path}: {}", error.message)));
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
                error,
            };
            self.bar.suspend(|| self.output.object(&line))?;
        } else if let Some(image) = image {
            self.bar
                .suspend(|| self.output.line(link(image, self.format)))?;
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
        | UploadState::Waiting => "queued",
        UploadState::Published => "published",
        UploadState::Duplicate => "duplicate",
        UploadState::Rejected => "rejected",
        UploadState::Failed | UploadState::Cancelled => "failed",
    }
}

fn pictures(count: usize) -> String {
    if count == 1 {
        "1 picture".to_owned()
    } else {
        format!("{count} pictures")
    }
}

#[derive(Serialize)]
struct QueuedLine {
    upload_id: String,
    path: String,
    file_name: String,
    state: UploadState,
    error: Option<ViewError>,
}

pub(crate) async fn queue(app: &App, output: &Output) -> Result<bool> {
    for report in app.upload_reports().await {
        let view = report.view;
        if view.state.has_ended() && view.state != UploadState::Failed {
            continue;
        }
        let path = report.path.display().to_string();
        if output.json {
            output.object(&QueuedLine {
                upload_id: view.id,
                path,
                file_name: view.file_name,
                state: view.state,
                error: view.error,
            })?;
        } else {
            let why = view
                .error
                .map(|error| format!("  ({})", error.message))
                .unwrap_or_default();
            let state = state_name(view.state);
            output.line(format!("{}  {state:<6}  {path}{why}", view.id))?;
        }
    }
    Ok(true)
}

pub(crate) async fn cancel(app: &App, output: &Output, ids: Vec<UploadId>) -> Result<bool> {
    let mut events = app.events();
    let mut all_done = true;
    for id in ids {
        if let Err(error) = app.cancel(id).await {
            output.error(format!("{id}: {error}"));
            all_done = false;
            continue;
        }
        // Told when the server has taken it back, or cannot be reached.
        let until_told = async {
            while let Some(report) = app.upload_report(id).await {
                if report.view.state.has_ended() {
                    break;
                }
                let _ = tokio::time::timeout(Duration::from_millis(250), events.recv()).await;
            }
        };
        let _ = tokio::time::timeout(Duration::from_secs(10), until_told).await;
    }
    Ok(all_done)
}
