//! `cargo xtask bench queue`: what 10,000 files in the queue cost, beside a queue of ten.
//!
//! The gallery is away while they are queued, and there when they are sent. The command line's answers to `queue` and
//! `pause --all` are timed as a person would meet them, each a process of its own; memory is the most that one process
//! had, of the window that of all its processes at rest.
//!
//! Invariant: figures are told and never judged; a step that failed is an error.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread::sleep,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};

use super::{
    Figure,
    ended::Ended,
    figure,
    start::{Screen, mebibytes, tree_memory},
    upload::{measured, pictures},
};
use crate::{process, project::Project, setup};

const MIB: f64 = (1_u64 << 20) as f64;
const MANY: usize = 10_000;
const FEW: usize = 10;

/// Small, so that the disk is not what is measured.
const SIZE: u64 = 2000;

/// How long the window is left alone before its memory is read.
const REST: Duration = Duration::from_secs(10);

pub(super) fn measure(project: &Project) -> Result<Vec<Figure>> {
    setup::for_bench()?;
    let mut figures = Vec::new();
    let mut before: Vec<(String, f64)> = Vec::new();
    for count in [FEW, MANY] {
        let place = tempfile::tempdir_in(project.target.join("release"))?;
        let mut rows = Vec::new();
        for (what, value, unit) in steps(project, place.path(), count)? {
            if unit == "MiB" {
                rows.push((what.to_owned(), value));
            }
            figures.push(figure(&format!("{count} files: {what}"), value, unit));
        }
        for (what, value) in &rows {
            if let Some((_, few)) = before.iter().find(|(it, _)| it == what) {
                figures.push(figure(&format!("growth: {what}"), value - few, "MiB"));
            }
        }
        before = rows;
    }
    Ok(figures)
}

type Row = (&'static str, f64, &'static str);

fn steps(project: &Project, place: &Path, count: usize) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    let release = project.target.join("release");
    let server = release.join("imgn-server");
    let data = place.join("gallery");
    let mut add = Command::new(&server);
    add.args(["token", "add", "bench", "--data-dir"]).arg(&data);
    let token = process::output(&mut add)?.trim().to_owned();
    let port = std::net::TcpListener::bind("127.0.0.1:0")?
        .local_addr()?
        .port();
    let listen = format!("127.0.0.1:{port}");
    let folder = place.join("files");
    pictures::make(&folder, count, SIZE)?;
    let imgn = |arguments: &[&str]| {
        let mut command = Command::new(release.join("imgn"));
        command
            .arg("--home")
            .arg(place.join("home"))
            .args(["--server", &format!("http://{listen}"), "--quiet"])
            .args(arguments)
            .env("IMGN_TOKEN", &token)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    };
    let timed = |arguments: &[&str]| -> Result<measured::Run> {
        let run = measured::run(&mut imgn(arguments))?;
        ensure!(run.status.success(), "imgn {arguments:?}: {}", run.status);
        Ok(run)
    };
    let folder = folder.to_str().context("a path in UTF-8")?;
    let queued = timed(&["upload", "-r", folder])?;
    rows.push((
        "imgn upload, offline: time",
        queued.wall.as_secs_f64() * 1000.0,
        "ms",
    ));
    rows.push((
        "imgn upload, offline: memory",
        queued.peak_memory as f64 / MIB,
        "MiB",
    ));
    for (what, memory, arguments) in [
        ("imgn queue: time", "imgn queue: memory", &["queue"][..]),
        (
            "imgn pause --all: time",
            "imgn pause --all: memory",
            &["pause", "--all"],
        ),
    ] {
        let run = timed(arguments)?;
        rows.push((what, run.wall.as_secs_f64() * 1000.0, "ms"));
        rows.push((memory, run.peak_memory as f64 / MIB, "MiB"));
    }
    rows.push((
        "window with that queue, idle: memory",
        window(project, place, &listen)?,
        "MiB",
    ));

    let mut serve = Command::new(&server)
        .args(["serve", "--listen", &listen, "--data-dir"])
        .arg(&data)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(fs::File::create(place.join("server.log"))?)
        .spawn()
        .context("could not start imgn-server")?;
    let listening = process::listening_url(&mut serve);
    let _serving = Ended(serve);
    listening?;
    let sent = timed(&["resume"])?;
    rows.push(("imgn resume: time", sent.wall.as_secs_f64() * 1000.0, "ms"));
    rows.push(("imgn resume: memory", sent.peak_memory as f64 / MIB, "MiB"));
    Ok(rows)
}

/// The memory of the window on the queue, whose uploads are paused.
fn window(project: &Project, place: &Path, listen: &str) -> Result<f64> {
    let pixels: PathBuf = place.join("screen");
    fs::create_dir_all(&pixels)?;
    let screen = Screen::start(&pixels)?;
    let app = Command::new(project.target.join("release/imgn-desktop"))
        .arg("--home")
        .arg(place.join("home"))
        .args(["--server", &format!("http://{listen}")])
        .env("DISPLAY", screen.display())
        .env_remove("WAYLAND_DISPLAY")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("could not start imgn-desktop")?;
    let app = Ended(app);
    sleep(REST);
    Ok(mebibytes(tree_memory(app.0.id())?))
}
