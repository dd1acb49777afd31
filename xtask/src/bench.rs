//! `cargo xtask bench NAME`: figures for `docs/PERFORMANCE.md`.
//!
//! Invariant: every figure is of release builds, and comes with the command that makes it again.

mod desk;
mod ended;
mod gallery;
mod lambda;
mod queue;
mod resume;
mod server;
mod start;
mod thumbs;
mod upload;

use std::{collections::BTreeMap, fs};

use anyhow::Result;
use clap::ValueEnum;
use serde::Serialize;

use crate::{process, project::Project, setup};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// What to measure.
    name: Bench,
    /// Measures the release build that is there, without making a new one.
    #[arg(long)]
    no_build: bool,
    /// Of `upload`: the rows whose name holds this text, such as "SeaweedFS, loopback" or "1000 x". Of `server`: this part,
    /// `presign`, `pages` or `publishing`.
    #[arg(long, value_name = "ROW")]
    only: Option<String>,
    /// Of `gallery`, `server`, `upload` and `thumbs`: few or small files and one round, to see that it works; no figures.
    #[arg(long)]
    quick: bool,
    /// Of `server`, `upload` and `thumbs`: how often each program has its turn.
    #[arg(long, value_name = "N", default_value_t = 3)]
    rounds: usize,
}

#[derive(Clone, Copy, ValueEnum)]
enum Bench {
    /// How soon there is something to see, what the programs take at rest, and their sizes.
    Start,
    /// The app in its tray: from a click or a key to the link on the clipboard, and what it costs at rest.
    Desk,
    /// What a large gallery costs who looks at it: filling and searching the list, starting and scrolling the window.
    Gallery,
    /// The server as a function, beside the same on a socket: cold and warm.
    Lambda,
    /// What 10,000 files in the queue cost.
    Queue,
    /// What `kill -9` in the middle of an upload costs.
    Resume,
    /// The backend on one core: signing against Companion, pages of large galleries, publishing against a plain decode.
    Server,
    /// imgn against other programs that upload: time, processor time and memory.
    Upload,
    /// imgn against other programs that make thumbnails: pictures a second, processor time, memory, likeness.
    Thumbs,
}

/// One row of a table.
#[derive(Serialize)]
struct Figure {
    what: String,
    value: f64,
    unit: &'static str,
}

fn figure(what: &str, value: f64, unit: &'static str) -> Figure {
    Figure {
        what: what.to_owned(),
        value,
        unit,
    }
}

pub(crate) fn run(project: &Project, arguments: &Arguments) -> Result<()> {
    if !arguments.no_build {
        match arguments.name {
            Bench::Thumbs => thumbs::build(project)?,
            Bench::Server => server::build(project)?,
            Bench::Lambda => {
                setup::for_conformance()?;
                lambda::build(project)?;
            }
            Bench::Gallery => {
                build_release(project)?;
                gallery::build(project)?;
            }
            Bench::Upload => {
                build_release(project)?;
                build_helpers(project)?;
            }
            _ => build_release(project)?,
        }
    }
    match arguments.name {
        Bench::Start => report(project, "start", &start::measure(project)?),
        Bench::Desk => report(project, "desk", &desk::measure(project)?),
        Bench::Gallery => {
            let figures = gallery::measure(project, arguments.quick)?;
            report(project, "gallery", &figures)
        }
        Bench::Lambda => report(project, "lambda", &lambda::measure(project)?),
        Bench::Queue => report(project, "queue", &queue::measure(project)?),
        Bench::Resume => report(project, "resume", &resume::measure(project)?),
        Bench::Server => {
            let only = arguments.only.as_deref();
            // Quickly is none.
            let rounds = (!arguments.quick).then_some(arguments.rounds.max(1));
            let (name, figures) = server::measure(project, only, rounds)?;
            report(project, &name, &figures)
        }
        Bench::Upload => {
            let only = arguments.only.as_deref();
            upload::measure(project, only, arguments.quick, arguments.rounds)
        }
        Bench::Thumbs => thumbs::measure(project, arguments.quick, arguments.rounds),
    }
}

/// The three programs as they are shipped, stripped.
fn sizes(project: &Project) -> Result<Vec<Figure>> {
    let programs = ["imgn-desktop", "imgn-server", "imgn"];
    programs
        .iter()
        .map(|program| {
            let size = fs::metadata(project.target.join("release").join(program))?.len();
            Ok(figure(
                &format!("{program}: size of the program"),
                size as f64 / (1024.0 * 1024.0),
                "MiB",
            ))
        })
        .collect()
}

fn build_release(project: &Project) -> Result<()> {
    setup::for_running(project)?;
    process::run(setup::npm(&project.ui()).args(["run", "build"]))?;
    process::run(process::cargo(&project.root).args([
        "build",
        "--release",
        "--locked",
        "--package",
        "imgn-desktop",
        "--package",
        "imgn-server",
        "--package",
        "imgn-cli",
    ]))
}

/// The programs between and behind those that are measured.
fn build_helpers(project: &Project) -> Result<()> {
    process::run(process::cargo(&project.root).args([
        "build",
        "--release",
        "--locked",
        "--package",
        "imgn-store",
        "--package",
        "imgn-testkit",
        "--example",
        "serve",
        "--example",
        "line",
    ]))
}

fn report(project: &Project, name: &str, figures: &[Figure]) -> Result<()> {
    let width = figures
        .iter()
        .map(|figure| figure.what.len())
        .max()
        .unwrap_or_default();
    for Figure { what, value, unit } in figures {
        println!("{what:width$}  {value:>9.1} {unit}");
    }
    let directory = project.target.join("bench");
    fs::create_dir_all(&directory)?;
    let rows: BTreeMap<_, _> = figures
        .iter()
        .map(|figure| (&figure.what, figure))
        .collect();
    let file = directory.join(format!("{name}.json"));
    fs::write(&file, serde_json::to_string_pretty(&rows)?)?;
    println!("written to {}", file.display());
    Ok(())
}
