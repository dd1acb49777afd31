//! `cargo xtask bench start`: how soon there is something to see, and what the programs take at rest.
//!
//! "Painted" means painted: the pixels of the virtual screen are looked at, not an event of the page. The named peer is
//! the barest window of the same web view with the same picture; nothing that shows a web view can be faster.
//!
//! Invariant: every process started here ends with it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};

use super::{Figure, ended::Ended, figure};
use crate::{process, project::Project, setup};

/// A checkerboard of magenta and black: no placeholder, which is a blur of both, has magenta in it.
const MARKER: &[u8] = include_bytes!("marker.png");

const BARE_VIEW: &str = include_str!("bare-view.py");

/// Starts of each kind, interleaved; the median is told.
const RUNS: usize = 7;

/// How long a program is left alone before its memory is read.
const REST: Duration = Duration::from_secs(5);

/// How often the screen is looked at: about once a frame. Looking takes a processor 3 ms, of which the programs have two.
const LOOK: Duration = Duration::from_millis(16);

/// So many pixels of the marker are no accident.
const MARKED: usize = 400;

/// How long a start may take before the bench gives up.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) fn measure(project: &Project) -> Result<Vec<Figure>> {
    setup::for_bench()?;
    let mut figures = super::sizes(project)?;

    let place = tempfile::tempdir()?;
    let marker = place.path().join("marker.png");
    fs::write(&marker, MARKER)?;
    let bare = place.path().join("bare-view.py");
    fs::write(&bare, BARE_VIEW)?;
    let program = |name: &str| project.target.join("release").join(name);

    // The command line, waiting for its input, is what it takes at rest.
    let gallery = Gallery::start(&program("imgn-server"), place.path())?;
    gallery.upload(&program("imgn"), place.path(), &marker)?;
    let mut waiting = gallery.client(&program("imgn"), place.path());
    let waiting = Ended(
        waiting
            .args(["upload", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()?,
    );
    sleep(REST);
    figures.push(figure(
        "imgn, waiting: memory",
        mebibytes(tree_memory(waiting.0.id())?),
        "MiB",
    ));
    drop(waiting);
    figures.push(figure(
        "imgn-server, idle: memory",
        mebibytes(tree_memory(gallery.server.0.id())?),
        "MiB",
    ));

    let screen = Screen::start(place.path())?;
    let app = || {
        let mut command = Command::new(program("imgn-desktop"));
        command
            .arg("--home")
            .arg(place.path().join("profile"))
            .args(["--server", &gallery.url]);
        command
    };
    let bare_view = || {
        let mut command = Command::new("/usr/bin/python3");
        command.arg(&bare).arg(&marker);
        command
    };
    // Once for the caches of both, and for the memory.
    let (_, running) = screen.painted(app())?;
    sleep(REST);
    figures.push(figure(
        "imgn-desktop, idle, all its processes: memory",
        mebibytes(tree_memory(running.0.id())?),
        "MiB",
    ));
    drop(running);
    let (_, running) = screen.painted(bare_view())?;
    sleep(REST);
    figures.push(figure(
        "bare web view, idle, all its processes: memory",
        mebibytes(tree_memory(running.0.id())?),
        "MiB",
    ));
    drop(running);

    let (mut app_times, mut bare_times) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        app_times.push(screen.painted(app())?.0);
        bare_times.push(screen.painted(bare_view())?.0);
    }
    let (app, bare) = (median(app_times), median(bare_times));
    figures.push(figure(
        "imgn-desktop: process start to first thumbnail painted",
        app * 1000.0,
        "ms",
    ));
    figures.push(figure(
        "bare web view: process start to the picture painted",
        bare * 1000.0,
        "ms",
    ));
    figures.push(figure("ratio of the two", app / bare, "x"));
    Ok(figures)
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times[times.len() / 2].as_secs_f64()
}

pub(super) fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / (1024.0 * 1024.0)
}

/// A server with a token.
pub(super) struct Gallery {
    server: Ended,
    pub(super) url: String,
    pub(super) token: String,
}

impl Gallery {
    pub(super) fn start(program: &Path, place: &Path) -> Result<Self> {
        let data = place.join("gallery");
        let token = process::output(
            Command::new(program)
                .args(["token", "add", "bench", "--role", "admin", "--data-dir"])
                .arg(&data),
        )?;
        let log = fs::File::create(place.join("server.log"))?;
        let mut server = Command::new(program)
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(&data)
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .context("could not start imgn-server")?;
        let url = process::listening_url(&mut server)?;
        Ok(Self {
            server: Ended(server),
            url,
            token: token.trim().to_owned(),
        })
    }

    fn client(&self, program: &Path, place: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .arg("--home")
            .arg(place.join("client"))
            .args(["--server", &self.url]);
        command.env("IMGN_TOKEN", &self.token);
        command
    }

    fn upload(&self, program: &Path, place: &Path, picture: &Path) -> Result<()> {
        process::run(self.client(program, place).arg("upload").arg(picture))
    }
}

/// A virtual screen whose pixels are a file.
pub(super) struct Screen {
    _server: Ended,
    display: String,
    pixels: PathBuf,
}

impl Screen {
    pub(super) fn start(place: &Path) -> Result<Self> {
        let display = (90..200)
            .find(|number| !Path::new(&format!("/tmp/.X11-unix/X{number}")).exists())
            .map(|number| format!(":{number}"))
            .context("no free display")?;
        let server = Command::new("Xvfb")
            .args([
                &display,
                "-screen",
                "0",
                "1280x800x24",
                "-nolisten",
                "tcp",
                "-fbdir",
            ])
            .arg(place)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("could not start Xvfb")?;
        let screen = Self {
            _server: Ended(server),
            display,
            pixels: place.join("Xvfb_screen0"),
        };
        let start = Instant::now();
        while !Path::new("/tmp/.X11-unix")
            .join(format!("X{}", &screen.display[1..]))
            .exists()
        {
            ensure!(start.elapsed() < PATIENCE, "Xvfb did not start");
            sleep(Duration::from_millis(20));
        }
        Ok(screen)
    }

    /// What a program's `DISPLAY` has to be.
    pub(super) fn display(&self) -> &str {
        &self.display
    }

    /// Starts a program on this screen and waits until the marker is on it.
    fn painted(&self, mut command: Command) -> Result<(Duration, Ended)> {
        self.started(&mut command, MARKED)
    }

    /// Starts a program on this screen, and waits until something of it is painted.
    pub(super) fn shown(&self, command: &mut Command) -> Result<Ended> {
        Ok(self.started(command, MARKED)?.1)
    }

    /// How long a program takes to paint so many pixels of the marker. It ends.
    pub(super) fn filled(&self, command: &mut Command, pixels: usize) -> Result<Duration> {
        Ok(self.started(command, pixels)?.0)
    }

    fn started(&self, command: &mut Command, pixels: usize) -> Result<(Duration, Ended)> {
        let start = Instant::now();
        while self.markers()? > MARKED {
            ensure!(
                start.elapsed() < PATIENCE,
                "the last program's window stays"
            );
            sleep(Duration::from_millis(20));
        }
        let start = Instant::now();
        let child = command
            .env("DISPLAY", &self.display)
            .env_remove("WAYLAND_DISPLAY")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("{command:?}"))?;
        let mut child = Ended(child);
        loop {
            if self.markers()? > pixels {
                return Ok((start.elapsed(), child));
            }
            if let Some(status) = child.0.try_wait()? {
                bail!("{command:?} ended before it painted anything ({status})");
            }
            ensure!(start.elapsed() < PATIENCE, "{command:?} painted nothing");
            sleep(LOOK);
        }
    }

    /// Pixels of the marker's colour.
    pub(super) fn markers(&self) -> Result<usize> {
        // Four bytes a pixel, blue first; what JPEG makes of pure magenta is not quite pure.
        let pixels = fs::read(&self.pixels)?;
        let magenta = pixels
            .chunks_exact(4)
            .filter(|p| p[0] > 225 && p[1] < 40 && p[2] > 225);
        Ok(magenta.count())
    }
}

/// The memory of a process and all its descendants, each shared page counted in parts (PSS), in bytes.
pub(super) fn tree_memory(root: u32) -> Result<u64> {
    tree(root)?.into_iter().map(own_memory).sum()
}

/// A process and all its descendants.
pub(super) fn tree(root: u32) -> Result<Vec<u32>> {
    let mut found = vec![root];
    let mut next = 0;
    while let Some(&id) = found.get(next) {
        next += 1;
        for task in fs::read_dir(format!("/proc/{id}/task"))? {
            let children = fs::read_to_string(task?.path().join("children"))?;
            let children = children.split_whitespace();
            found.extend(children.filter_map(|id| id.parse::<u32>().ok()));
        }
    }
    Ok(found)
}

/// The same of the process alone.
pub(super) fn own_memory(id: u32) -> Result<u64> {
    let rollup = fs::read_to_string(format!("/proc/{id}/smaps_rollup"))?;
    let line = rollup
        .lines()
        .find_map(|line| line.strip_prefix("Pss:"))
        .context("Pss")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
}
