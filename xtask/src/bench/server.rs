//! `cargo xtask bench server`: what the backend answers, on one core.
//!
//! - Signing requests, against `@uppy/companion` doing the same and against a page that nothing is done for.
//! - Pages of the gallery and of its feed with a thousand, a million and ten million pictures, in SQLite and PostgreSQL.
//! - Verifying and publishing pictures, against a plain decode of the same files, and the memory that it takes.
//!
//! `--only presign`, `--only pages` and `--only publishing` measure one of them, which then has a file of its own.
//!
//! Invariant: every process started here ends with it; the server runs on one core, and what asks it on another.

mod companion;
mod http;
mod load;
mod pages;
mod presign;
mod publishing;

use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail, ensure};

use super::{Figure, ended::Ended};
use crate::{process, project::Project, setup};

/// One part, with so many rounds; without a number it only shows that it works.
type Measure = fn(&Project, Option<usize>) -> Result<Vec<Figure>>;

/// Builds what is measured and what measures.
pub(super) fn build(project: &Project) -> Result<()> {
    setup::for_running(project)?;
    process::run(setup::npm(&project.ui()).args(["run", "build"]))?;
    let mut command = process::cargo(&project.root);
    command.args(["build", "--release", "--locked"]);
    command.args(["--package", "imgn-server", "--package", "imgn-testkit"]);
    command.args(["--bin", "imgn-server"]);
    let examples = ["corpus", "decode", "postgres", "seed"];
    command.args(examples.iter().flat_map(|example| ["--example", example]));
    process::run(&mut command)
}

/// Measures; a part alone has a name of its own.
pub(super) fn measure(
    project: &Project,
    only: Option<&str>,
    rounds: Option<usize>,
) -> Result<(String, Vec<Figure>)> {
    setup::for_server_bench()?;
    let parts: [(&str, Measure); 3] = [
        ("presign", presign::measure),
        ("publishing", publishing::measure),
        ("pages", pages::measure),
    ];
    let mut figures = Vec::new();
    for (part, measure) in parts {
        if only.is_none_or(|only| only == part) {
            figures.extend(measure(project, rounds)?);
        }
    }
    match only {
        Some(only) if figures.is_empty() => bail!("there is no part {only:?}"),
        Some(only) => Ok((format!("server-{only}"), figures)),
        None => Ok(("server".to_owned(), figures)),
    }
}

/// A server on its core, with a directory of its own unless it was given one.
struct Server {
    process: Ended,
    program: PathBuf,
    data: PathBuf,
    address: SocketAddr,
    /// After the process, which ends before its directory goes.
    _place: tempfile::TempDir,
}

/// One client asks for more here than anybody may.
const UNLIMITED: [&str; 5] = [
    "--limit-requests=0",
    "--limit-address-requests=0",
    "--limit-open-uploads=0",
    "--limit-daily-uploads=0",
    "--limit-daily-bytes=0",
];

impl Server {
    fn start(project: &Project, arguments: &[&str]) -> Result<Self> {
        Self::start_on(project, None, None, arguments)
    }

    /// On a directory that there is, or on a database of PostgreSQL's.
    fn start_on(
        project: &Project,
        data: Option<PathBuf>,
        database: Option<&str>,
        arguments: &[&str],
    ) -> Result<Self> {
        let program = project.target.join("release/imgn-server");
        let place = tempfile::tempdir_in(project.scratch())?;
        let data = data.unwrap_or_else(|| place.path().join("data"));
        let mut command = load::on_its_core(&program);
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(&data)
            .args(UNLIMITED)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(place.path().join("log"))?);
        if let Some(url) = database {
            command.env("IMGN_DATABASE", url);
        }
        let mut process = command.spawn().context("could not start imgn-server")?;
        let url = process::listening_url(&mut process);
        let process = Ended(process);
        let address = url?.trim_start_matches("http://").parse()?;
        Ok(Self {
            process,
            program,
            data,
            address,
            _place: place,
        })
    }

    /// A new token.
    fn token(&self, name: &str) -> Result<String> {
        let made = Command::new(&self.program)
            .args(["token", "add", name, "--role", "uploader", "--data-dir"])
            .arg(&self.data)
            .output()?;
        let told = String::from_utf8_lossy(&made.stderr);
        ensure!(made.status.success(), "no token: {told}");
        Ok(String::from_utf8(made.stdout)?.trim().to_owned())
    }

    /// The process, of which `taskset` has become the server.
    fn id(&self) -> u32 {
        self.process.0.id()
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
