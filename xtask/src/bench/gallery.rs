//! `cargo xtask bench gallery`: what a large gallery costs who looks at it.
//!
//! The list of 1,000,000 pictures is filled from a server and searched; the window shows 100,000, with all thumbnails
//! in the cache. Frame times are held against the barest recycled grid in the same web view (`bare-scroll.py`).
//!
//! Invariant: every process started here ends with it.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::{
    Figure,
    ended::Ended,
    figure,
    start::{Screen, mebibytes, own_memory, tree_memory},
};
use crate::{process, project::Project, setup};

const BARE_SCROLL: &str = include_str!("bare-scroll.py");
const WINDOW: &str = include_str!("window.py");

/// Pictures in the list that is filled and searched, and in the window.
const MANY: usize = 1_000_000;
const SHOWN: usize = 100_000;

/// What is searched for in the list: a word of a seventh of all names, two words, a day, a month, a camera, a year, single
/// letters, which find a third of all, and what every day begins with.
const SEARCHES: [&str; 9] = [
    "beach",
    "beach 12345",
    "2024-03-01",
    "november",
    "canon",
    "2024",
    "i",
    "1",
    "20",
];

/// Starts of the window whose median is told.
const STARTS: usize = 5;

/// How long the thumbnails may take to arrive.
const PATIENCE: Duration = Duration::from_secs(900);

/// Room for all thumbnails.
const SETTINGS: &str = "[cache]\nmax_bytes = 8589934592\n";

/// Builds what is measured and what measures, beside the programs.
pub(super) fn build(project: &Project) -> Result<()> {
    for (package, example) in [
        ("imgn-server", "seed"),
        ("imgn-server", "thumbnailed"),
        ("imgn-core", "mirror"),
    ] {
        process::run(process::cargo(&project.root).args([
            "build",
            "--release",
            "--locked",
            "--package",
            package,
            "--example",
            example,
        ]))?;
    }
    Ok(())
}

pub(super) fn measure(project: &Project, is_quick: bool) -> Result<Vec<Figure>> {
    setup::for_bench()?;
    let share = if is_quick { 100 } else { 1 };
    let bench = Bench {
        programs: project.target.join("release"),
        place: tempfile::tempdir_in(project.scratch())?,
    };
    let mut figures = bench.list(MANY / share)?;
    figures.extend(bench.window(SHOWN / share)?);
    Ok(figures)
}

struct Bench {
    programs: PathBuf,
    place: tempfile::TempDir,
}

impl Bench {
    fn example(&self, name: &str) -> Command {
        Command::new(self.programs.join("examples").join(name))
    }

    /// The list of `count` pictures.
    fn list(&self, count: usize) -> Result<Vec<Figure>> {
        let data = self.place.path().join("many");
        process::run(self.example("seed").arg(&data).arg(count.to_string()))?;
        let mut server = Command::new(self.programs.join("imgn-server"));
        server.args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]);
        let (_server, url) = serving(server.arg(&data), &self.place.path().join("many.log"))?;
        let home = self.place.path().join("list");
        let told = process::output(self.example("mirror").arg(url).arg(home).args(SEARCHES))?;
        fs::remove_dir_all(&data)?;
        let mut figures = Vec::new();
        for line in told.lines() {
            let columns: Vec<&str> = line.split('\t').collect();
            let (Some(what), Some(last)) = (columns.first(), columns.last()) else {
                continue;
            };
            let (value, unit) = last.split_once(' ').context("a value and its unit")?;
            let unit = if unit == "ms" { "ms" } else { "rows/s" };
            let pictures = columns.get(1).copied().unwrap_or_default();
            figures.push(figure(
                &format!("list: {what}, {pictures}"),
                value.parse()?,
                unit,
            ));
        }
        Ok(figures)
    }

    /// The window on `count` pictures.
    fn window(&self, count: usize) -> Result<Vec<Figure>> {
        let place = self.place.path();
        let (data, pictures, home) = (
            place.join("shown"),
            place.join("pictures"),
            place.join("home"),
        );
        process::run(self.example("seed").arg(&data).arg(count.to_string()))?;
        let mut server = self.example("thumbnailed");
        let (_server, url) = serving(server.arg(&data).arg(&pictures), &place.join("shown.log"))?;
        fs::create_dir_all(&home)?;
        fs::write(home.join("settings.toml"), SETTINGS)?;
        process::run(self.example("mirror").arg(&url).arg(&home))?;

        let screen = Screen::start(place)?;
        let app = self.programs.join("imgn-desktop");
        let arguments = ["--home", path(&home)?, "--server", &url];
        let mut figures = Vec::new();

        // Until all thumbnails are on this computer.
        let begun = Instant::now();
        let running = screen.shown(Command::new(&app).args(arguments))?;
        while self.cached(&home)? < count {
            ensure!(begun.elapsed() < PATIENCE, "thumbnails do not arrive");
            sleep(Duration::from_secs(2));
        }
        let full = screen.markers()?;
        drop(running);

        let mut starts = Vec::new();
        for _ in 0..STARTS {
            starts.push(screen.filled(Command::new(&app).args(arguments), full / 10 * 9)?);
        }
        starts.sort_unstable();
        let start = starts.get(STARTS / 2).context("a start")?;
        figures.push(figure(
            "window: process start to the first screen of thumbnails painted",
            start.as_secs_f64() * 1000.0,
            "ms",
        ));

        let bare = self.bare(&screen, &pictures)?;
        let (memory, told) = self.scrolled(&screen, &app, &arguments)?;
        for (speed, bare) in told["speeds"]
            .as_array()
            .context("speeds")?
            .iter()
            .zip(&bare)
        {
            for (quantile, floor) in [("p50", bare.0), ("p95", bare.1)] {
                let time = speed[quantile].as_f64().context("a frame time")?;
                let what = format!("window: {} px a frame, {quantile}", speed["px"]);
                figures.push(figure(&what, time, "ms"));
                figures.push(figure(&format!("{what}, bare grid"), floor, "ms"));
            }
        }
        figures.push(figure(
            "window: memory after scrolling through all, all its processes",
            mebibytes(memory),
            "MiB",
        ));
        for (what, key) in [
            ("window: jump until painted, median of 21", "jump"),
            ("window: the same, the slowest", "slowest"),
        ] {
            figures.push(figure(what, told[key].as_f64().context(key)?, "ms"));
        }
        Ok(figures)
    }

    fn cached(&self, home: &Path) -> Result<usize> {
        let told = process::output(
            Command::new(self.programs.join("imgn"))
                .arg("--home")
                .arg(home)
                .args(["--json", "cache", "stats"]),
        )?;
        let told: Value = serde_json::from_str(told.trim())?;
        let entries = told["entries"].as_u64().context("entries")?;
        Ok(usize::try_from(entries)?)
    }

    /// Median and 95th percentile of the bare grid's frame times, for each speed.
    fn bare(&self, screen: &Screen, pictures: &Path) -> Result<Vec<(f64, f64)>> {
        let script = self.place.path().join("bare-scroll.py");
        fs::write(&script, BARE_SCROLL)?;
        let told = process::output(
            Command::new("/usr/bin/python3")
                .arg(&script)
                .arg(pictures)
                .env("DISPLAY", screen.display()),
        )?;
        told.lines()
            .map(|line| {
                let after = |word: &str| {
                    let rest = line.split_once(word)?.1.trim_start();
                    rest.split(' ').next()?.parse().ok()
                };
                let times = after(" p50 ").zip(after(" p95 "));
                times.with_context(|| format!("frame times in {line:?}"))
            })
            .collect()
    }

    /// The window's memory when all of it was scrolled through, and what it told.
    fn scrolled(&self, screen: &Screen, app: &Path, arguments: &[&str]) -> Result<(u64, Value)> {
        let script = self.place.path().join("window.py");
        fs::write(&script, WINDOW)?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let driver = Command::new("WebKitWebDriver")
            .arg(format!("--port={port}"))
            .env("DISPLAY", screen.display())
            .env("TAURI_AUTOMATION", "true")
            .env("TAURI_WEBVIEW_AUTOMATION", "true")
            .env_remove("WAYLAND_DISPLAY")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("could not start WebKitWebDriver")?;
        let driver = Ended(driver);
        sleep(Duration::from_secs(1));
        let mut client = Command::new("/usr/bin/python3")
            .arg(&script)
            .arg(port.to_string())
            .arg(app)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (input, output) = (client.stdin.take(), client.stdout.take());
        let _client = Ended(client);
        let mut lines = BufReader::new(output.context("a pipe")?).lines();
        lines.next().context("the window said nothing")??;
        // The driver is none of the app's processes.
        let memory = tree_memory(driver.0.id())? - own_memory(driver.0.id())?;
        input.context("a pipe")?.write_all(b"go on\n")?;
        let told = lines.next().context("the window said no more")??;
        Ok((memory, serde_json::from_str(&told)?))
    }
}

fn path(path: &Path) -> Result<&str> {
    path.to_str().context("a path in UTF-8")
}

/// A server, and where it listens.
fn serving(command: &mut Command, log: &Path) -> Result<(Ended, String)> {
    let mut server = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(fs::File::create(log)?)
        .spawn()
        .with_context(|| format!("{command:?}"))?;
    let url = process::listening_url(&mut server);
    let server = Ended(server);
    Ok((server, url?))
}
