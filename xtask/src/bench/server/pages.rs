//! What a page costs in a small gallery and in a large one, from SQLite and from PostgreSQL.
//!
//! Servers of galleries of each size run at the same time and are asked in turns, so that whatever else the computer does
//! meanwhile falls on all alike. Invariant: no page of the middle is asked for twice, so that none is in a cache for that.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::{
    Server,
    http::{self, Connection},
    load::Aside,
    median,
};
use crate::{
    bench::{Figure, ended::Ended, figure},
    process,
    project::Project,
};

/// Pictures on a page, and entries of the feed.
const PAGE: u64 = 100;

/// How often each page is asked for.
const TURNS: u64 = 301;

/// What is asked for first and not counted.
const WARMING: u64 = 20;

const SIZES: [u64; 3] = [1_000, 1_000_000, 10_000_000];

struct Gallery {
    pictures: u64,
    server: Server,
    connection: Connection,
    /// Each page's times in milliseconds.
    times: [Vec<f64>; 3],
}

const PAGES: [&str; 3] = [
    "the first page",
    "a page in the middle, by its cursor",
    "100 entries of the feed, from the middle",
];

pub(super) fn measure(project: &Project, rounds: Option<usize>) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    // A quick one is of galleries a thousandth as large, and no smaller than the smallest.
    let sizes = SIZES.map(|size| match rounds {
        None => size / 1000 + 999,
        Some(_) => size,
    });
    for database in ["SQLite", "PostgreSQL"] {
        figures.extend(of(project, database, sizes)?);
    }
    Ok(figures)
}

fn of(project: &Project, database: &str, sizes: [u64; 3]) -> Result<Vec<Figure>> {
    let place = tempfile::tempdir_in(project.scratch())?;
    let postgres = match database {
        "PostgreSQL" => Some(Postgres::start(project)?),
        _ => None,
    };
    let mut galleries = Vec::new();
    for pictures in sizes {
        let data = place.path().join(pictures.to_string());
        fs::create_dir(&data)?;
        let url = postgres.as_ref().map(|postgres| {
            let name = format!("gallery{pictures}");
            postgres.create(&name)
        });
        let url = url.transpose()?;
        println!("Making {pictures} pictures in {database}");
        seed(project, &data, pictures, url.as_deref())?;
        let server = Server::start_on(project, Some(data), url.as_deref(), &[])?;
        galleries.push(Gallery {
            pictures,
            connection: Connection::open(server.address)?,
            server,
            times: Default::default(),
        });
    }
    println!("Asking for pages in {database}");
    let aside = Aside::step()?;
    for gallery in &mut galleries {
        // The server has ended the one that was silent while the next gallery was made.
        gallery.connection = Connection::open(gallery.server.address)?;
    }
    for turn in 0..WARMING + TURNS {
        for gallery in &mut galleries {
            gallery.ask(turn)?;
        }
    }
    drop(aside);

    let mut figures = Vec::new();
    for (which, page) in PAGES.into_iter().enumerate() {
        let middle = |gallery: &Gallery| median(gallery.times[which].iter().copied());
        for gallery in &galleries {
            let what = format!("{database}, {} pictures: {page}", gallery.pictures);
            figures.push(figure(&what, middle(gallery), "ms"));
        }
        if let [small, .., large] = &galleries[..] {
            let what = format!("{database}, the largest to the smallest: {page}");
            figures.push(figure(&what, middle(large) / middle(small), "x"));
        }
    }
    Ok(figures)
}

impl Gallery {
    fn ask(&mut self, turn: u64) -> Result<()> {
        // From a quarter to three quarters of the gallery, never twice the same where there are enough.
        let spread = (self.pictures / 2).max(1);
        let middle = self.pictures / 4 + turn * (spread / (WARMING + TURNS)).max(1) % spread;
        let here = self.get(&format!("/v1/images?limit=1&sequences=0-{middle}"))?;
        let cursor = here["next_cursor"].as_str().context("a cursor")?.to_owned();
        let pages = [
            (format!("/v1/images?limit={PAGE}"), "images"),
            (format!("/v1/images?limit={PAGE}&cursor={cursor}"), "images"),
            (
                format!("/v1/changes?limit={PAGE}&since={middle}"),
                "changes",
            ),
        ];
        for (which, (path, rows)) in pages.iter().enumerate() {
            let request = http::request("GET", path, self.server.address, &[], &[]);
            let begun = Instant::now();
            let answer = self.connection.ask(&request)?;
            let time = begun.elapsed();
            let told = answer.json()?;
            let count = told[rows].as_array().map(Vec::len);
            ensure!(count == Some(PAGE as usize), "{path}: {count:?} rows");
            if turn >= WARMING {
                self.times[which].push(time.as_secs_f64() * 1000.0);
            }
        }
        Ok(())
    }

    fn get(&mut self, path: &str) -> Result<Value> {
        let request = http::request("GET", path, self.server.address, &[], &[]);
        self.connection.ask(&request)?.json()
    }
}

fn seed(project: &Project, data: &Path, pictures: u64, database: Option<&str>) -> Result<()> {
    let mut command = Command::new(project.target.join("release/examples/seed"));
    command.arg(data).arg(pictures.to_string());
    if let Some(url) = database {
        command.arg("--postgres").env("IMGN_DATABASE", url);
    }
    process::run_silently(&mut command)
}

/// A PostgreSQL with a database for each gallery.
struct Postgres {
    _process: Ended,
    url: String,
}

impl Postgres {
    fn start(project: &Project) -> Result<Self> {
        let mut process = Command::new(project.target.join("release/examples/postgres"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("could not start PostgreSQL")?;
        let stdout = process.stdout.take().context("a pipe")?;
        let process = Ended(process);
        let mut url = String::new();
        BufReader::new(stdout).read_line(&mut url)?;
        ensure!(!url.is_empty(), "PostgreSQL did not start");
        Ok(Self {
            _process: process,
            url: url.trim().to_owned(),
        })
    }

    /// The URL of a new database.
    fn create(&self, name: &str) -> Result<String> {
        let mut command = Command::new("psql");
        command.args(["--quiet", "--no-psqlrc", "--command"]);
        command.arg(format!("CREATE DATABASE {name}"));
        process::run_silently(command.arg(&self.url))?;
        let (server, _) = self.url.rsplit_once('/').context("a database's URL")?;
        Ok(format!("{server}/{name}"))
    }
}
