//! `cargo xtask bench desk`: the app in its tray. How long it takes from a click or a key to a link on the clipboard, and
//! what the app costs while nobody uses it.
//!
//! The floor of the way is three requests of a script with such a picture; what is above it is not transfer. Beside the app at
//! rest stands Chromium with one blank page. PicGo is made with Electron, which is Chromium with Node.js and fewer services;
//! it publishes no figures and comes from no registry, so it is not measured itself.
//!
//! Invariant: every process started here ends with it.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use super::{
    Figure,
    ended::Ended,
    figure,
    start::{Gallery, Screen, mebibytes, tree, tree_memory},
};
use crate::{process, project::Project, setup};

const DRIVER: &str = include_str!("desk.py");

/// The host of trays that the tests have.
const HOST: &str = include_str!("../../../tests/desktop/trayhost.py");

/// Clicks, presses and bare uploads of each measurement.
const ROUNDS: &str = "30";

/// How long a program is left alone before it is looked at, and how long it is looked at.
const REST: Duration = Duration::from_secs(10);
const WATCH: Duration = Duration::from_secs(60);

/// How long what is started may take to be there.
const PATIENCE: Duration = Duration::from_secs(30);

/// Milliseconds.
#[derive(Deserialize)]
struct Times {
    tray: Vec<f64>,
    key: Vec<f64>,
    bare: Vec<f64>,
}

pub(super) fn measure(project: &Project) -> Result<Vec<Figure>> {
    setup::for_desk_bench()?;
    let place = tempfile::tempdir()?;
    let place = place.path();
    let gallery = Gallery::start(&project.target.join("release/imgn-server"), place)?;
    let session = Session::start(place)?;
    let app = || {
        let mut command = session.command(&project.target.join("release/imgn-desktop"));
        command
            .arg("--home")
            .arg(place.join("profile"))
            .args(["--server", &gallery.url])
            .env("IMGN_TOKEN", &gallery.token)
            .env("LANG", "C.UTF-8");
        command
    };
    fs::create_dir_all(place.join("profile"))?;
    fs::write(
        place.join("profile/settings.toml"),
        "[desktop]\nhotkey = \"Ctrl+Alt+U\"\ntold_of_tray = true\n",
    )?;

    let mut figures = Vec::new();
    let running = spawn(app().arg("--minimised"))?;
    figures.extend(at_rest("imgn, started without its window", &running)?);
    let driver = place.join("desk.py");
    fs::write(&driver, DRIVER)?;
    let mut python = session.command(Path::new("/usr/bin/python3"));
    python
        .arg(&driver)
        .args([&gallery.url, ROUNDS])
        .env("IMGN_TOKEN", &gallery.token);
    let times: Times = serde_json::from_str(&process::output(&mut python)?)?;
    figures.extend(latency(times));
    figures.extend(at_rest("imgn, after these uploads", &running)?);
    drop(running);

    let running = spawn(&mut app())?;
    session.close_window()?;
    figures.extend(at_rest("imgn, its window opened and closed", &running)?);
    drop(running);

    let mut chromium = session.command(Path::new("/usr/bin/chromium"));
    chromium
        .args([
            "--no-sandbox",
            "--password-store=basic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
        ])
        .arg(format!(
            "--user-data-dir={}",
            place.join("chromium").display()
        ))
        .arg("about:blank");
    let running = spawn(&mut chromium)?;
    figures.extend(at_rest("Chromium with a blank page", &running)?);
    Ok(figures)
}

fn latency(times: Times) -> Vec<Figure> {
    let of = |mut times: Vec<f64>| {
        times.sort_by(f64::total_cmp);
        (times[times.len() / 2], times[times.len() * 95 / 100])
    };
    let bare = of(times.bare);
    let mut figures = vec![
        figure("three requests of a script, median", bare.0, "ms"),
        figure("the same, 95th percentile", bare.1, "ms"),
    ];
    for (name, times) in [("tray click", times.tray), ("key", times.key)] {
        let (median, high) = of(times);
        figures.extend([
            figure(
                &format!("{name} to the link on the clipboard, median"),
                median,
                "ms",
            ),
            figure("the same, 95th percentile", high, "ms"),
            figure("of the median, what is not transfer", median - bare.0, "ms"),
        ]);
    }
    figures
}

/// Memory, and how often any thread of a program woke up by itself or was woken.
fn at_rest(name: &str, running: &Ended) -> Result<[Figure; 3]> {
    sleep(REST);
    let id = running.0.id();
    let before = wake_ups(id)?;
    let began = Instant::now();
    sleep(WATCH);
    let woke = wake_ups(id)?.saturating_sub(before) as f64 / began.elapsed().as_secs_f64();
    Ok([
        figure(
            &format!("{name}: memory"),
            mebibytes(tree_memory(id)?),
            "MiB",
        ),
        figure(&format!("{name}: processes"), tree(id)?.len() as f64, ""),
        figure(&format!("{name}: wake-ups"), woke, "1/s"),
    ])
}

/// How often the threads of a process and of its descendants have waited: each wait ends with a wake-up.
fn wake_ups(root: u32) -> Result<u64> {
    let mut sum = 0;
    for id in tree(root)? {
        for task in fs::read_dir(format!("/proc/{id}/task"))? {
            // A thread that has ended meanwhile woke for the last time.
            let status = fs::read_to_string(task?.path().join("status")).unwrap_or_default();
            let count = status
                .lines()
                .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
            sum += count.map_or(Ok(0), |count| count.trim().parse::<u64>())?;
        }
    }
    Ok(sum)
}

fn spawn(command: &mut Command) -> Result<Ended> {
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("{command:?}"))?;
    Ok(Ended(child))
}

/// A screen, a bus, a window manager and a host of trays.
struct Session {
    /// What was started last is the first, and so ends first.
    running: Vec<Ended>,
    screen: Screen,
    address: String,
    home: PathBuf,
}

impl Session {
    fn start(place: &Path) -> Result<Self> {
        let screen = Screen::start(place)?;
        let home = place.join("home");
        fs::DirBuilder::new().mode(0o700).create(&home)?;
        let socket = place.join("bus");
        let address = format!("unix:path={}", socket.display());
        let bus = spawn(Command::new("dbus-daemon").args([
            "--session",
            "--nofork",
            &format!("--address={address}"),
        ]))?;
        let mut session = Self {
            running: vec![bus],
            screen,
            address,
            home,
        };
        until("the bus is there", || Ok(socket.exists()))?;
        let manager = spawn(&mut session.command(Path::new("openbox")))?;
        session.running.insert(0, manager);
        let host = place.join("trayhost.py");
        fs::write(&host, HOST)?;
        fs::set_permissions(&host, fs::Permissions::from_mode(0o755))?;
        let mut python = session.command(Path::new("/usr/bin/python3"));
        python
            .arg(&host)
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut child = Ended(python.spawn()?);
        let output = child.0.stdout.take().context("a pipe was asked for")?;
        session.running.insert(0, child);
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        ensure!(line.trim() == "ready", "the tray's host said {line:?}");
        Ok(session)
    }

    /// A program of this session.
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .env("DISPLAY", self.screen.display())
            .env("DBUS_SESSION_BUS_ADDRESS", &self.address)
            .env("HOME", &self.home)
            .env("XDG_RUNTIME_DIR", &self.home)
            .env("XDG_CACHE_HOME", self.home.join(".cache"))
            .env("XDG_CONFIG_HOME", self.home.join(".config"))
            .env("XDG_DATA_HOME", self.home.join(".local/share"))
            .env("NO_AT_BRIDGE", "1")
            .env("GDK_BACKEND", "x11")
            .env_remove("WAYLAND_DISPLAY");
        command
    }
}

impl Session {
    /// Closes the window of the app as a person does, once it is there and shows what it has.
    fn close_window(&self) -> Result<()> {
        let windows = || {
            let mut search = self.command(Path::new("xdotool"));
            let found = search.args(["search", "--onlyvisible", "--name", "^imgn$"]);
            // It fails where there is none.
            let found = found.output().context("xdotool")?;
            anyhow::Ok(!found.stdout.is_empty())
        };
        until("there is a window", windows)?;
        sleep(REST);
        for words in [
            &[
                "search",
                "--onlyvisible",
                "--name",
                "^imgn$",
                "windowactivate",
                "--sync",
            ][..],
            &["key", "alt+F4"],
        ] {
            process::run(self.command(Path::new("xdotool")).args(words))?;
        }
        until("the window is closed", || Ok(!windows()?))
    }
}

fn until(what: &str, is_so: impl Fn() -> Result<bool>) -> Result<()> {
    let start = Instant::now();
    while !is_so()? {
        ensure!(start.elapsed() < PATIENCE, "{what}: waited for in vain");
        sleep(Duration::from_millis(50));
    }
    Ok(())
}
