//! `cargo xtask bench thumbs`: imgn against `vipsthumbnail` and `sharp`, making the same thumbnails of the same
//! photographs in the same run, on two workers each.
//!
//! The programs take turns, and the median of the rounds is told. Time, processor time and memory are those of the
//! processes from start to end; memory is that of the largest process, of which imgn and sharp have one and
//! `vipsthumbnail` two. Likeness is the structural similarity of luma to a Lanczos resampling of all pixels.
//!
//! Invariant: figures are told and never judged; a program that does not make every thumbnail fails the run.

pub(super) mod corpus;
mod peers;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;

use self::{corpus::Corpus, peers::Peers};
use super::{start::mebibytes, upload::measured};
use crate::{process, project::Project, setup};

/// Pictures that are compared with their thumbnails: every so many.
const COMPARED: usize = 5;

/// Starts of a program whose median is told.
const STARTS: usize = 15;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Contender {
    Imgn,
    Vips,
    Sharp,
}

impl Contender {
    const ALL: [Self; 3] = [Self::Imgn, Self::Vips, Self::Sharp];

    fn name(self) -> &'static str {
        match self {
            Self::Imgn => "imgn thumb",
            Self::Vips => "vipsthumbnail",
            Self::Sharp => "sharp",
        }
    }
}

/// The median of a contender's runs in one row.
#[derive(Serialize)]
struct Figures {
    program: &'static str,
    pictures_per_second: f64,
    processor_ms_per_picture: f64,
    peak_mib: f64,
    /// The mean, 1 for the same.
    likeness: f64,
}

#[derive(Serialize)]
struct Row {
    row: String,
    figures: Vec<Figures>,
}

#[derive(Serialize)]
struct Start {
    what: &'static str,
    milliseconds: f64,
}

#[derive(Serialize)]
struct Report {
    rows: Vec<Row>,
    starts: Vec<Start>,
}

struct Sample {
    seconds: f64,
    processor_seconds: f64,
    peak_mib: f64,
}

/// Builds what is measured and what measures.
pub(super) fn build(project: &Project) -> Result<()> {
    let mut command = process::cargo(&project.root);
    command.args(["build", "--release", "--locked"]);
    let packages = ["imgn-cli", "imgn-testkit", "imgn-thumbs"];
    command.args(packages.iter().flat_map(|package| ["--package", package]));
    command.args(["--bin", "imgn"]);
    let examples = ["corpus", "likeness", "preview"];
    command.args(examples.iter().flat_map(|example| ["--example", example]));
    process::run(&mut command)
}

/// Measures, prints and writes down.
pub(super) fn measure(project: &Project, is_quick: bool, rounds: usize) -> Result<()> {
    setup::for_thumbnails()?;
    let bench = Bench {
        corpus: Corpus::make(project, is_quick)?,
        peers: Peers::install(project)?,
        programs: project.target.join("release"),
        place: project.scratch().join("thumbnails"),
    };
    let rounds = if is_quick { 1 } else { rounds };
    let mut report = Report {
        rows: Vec::new(),
        starts: bench.starts()?,
    };
    for Start { what, milliseconds } in &report.starts {
        println!("{what:60} {milliseconds:8.1} ms");
    }
    println!(
        "{:28} {:14} {:>10} {:>12} {:>8} {:>9}",
        "pictures", "program", "pictures/s", "CPU ms each", "MiB", "likeness"
    );
    for (kind, pictures) in [
        ("baseline", &bench.corpus.baseline),
        ("progressive", &bench.corpus.progressive),
    ] {
        for size in [320, 640] {
            let row = Row {
                row: format!("{} {kind}, {size} px", pictures.len()),
                figures: bench.row(pictures, size, rounds)?,
            };
            for it in &row.figures {
                println!(
                    "{:28} {:14} {:10.1} {:12.1} {:8.1} {:9.4}",
                    row.row,
                    it.program,
                    it.pictures_per_second,
                    it.processor_ms_per_picture,
                    it.peak_mib,
                    it.likeness
                );
            }
            report.rows.push(row);
        }
    }
    let directory = project.target.join("bench");
    fs::create_dir_all(&directory)?;
    let file = directory.join("thumbs.json");
    fs::write(&file, serde_json::to_string_pretty(&report)?)?;
    println!("written to {}", file.display());
    Ok(())
}

struct Bench {
    corpus: Corpus,
    peers: Peers,
    programs: PathBuf,
    /// Where thumbnails go.
    place: PathBuf,
}

impl Bench {
    fn row(&self, pictures: &[PathBuf], size: u32, rounds: usize) -> Result<Vec<Figures>> {
        let mut samples: [Vec<Sample>; 3] = Default::default();
        for _ in 0..rounds {
            for (contender, samples) in Contender::ALL.into_iter().zip(&mut samples) {
                samples.push(self.sample(contender, pictures, size)?);
            }
        }
        let count = pictures.len() as f64;
        Contender::ALL
            .into_iter()
            .zip(&samples)
            .map(|(contender, samples)| {
                let middle = |pick: fn(&Sample) -> f64| median(samples.iter().map(pick).collect());
                Ok(Figures {
                    program: contender.name(),
                    pictures_per_second: count / middle(|it| it.seconds),
                    processor_ms_per_picture: middle(|it| it.processor_seconds) * 1000.0 / count,
                    peak_mib: middle(|it| it.peak_mib),
                    likeness: self.likeness(contender, pictures)?,
                })
            })
            .collect()
    }

    fn directory(&self, contender: Contender) -> PathBuf {
        self.place.join(contender.name().replace(' ', "-"))
    }

    fn sample(&self, contender: Contender, pictures: &[PathBuf], size: u32) -> Result<Sample> {
        let directory = self.directory(contender);
        if directory.exists() {
            fs::remove_dir_all(&directory)?;
        }
        fs::create_dir_all(&directory)?;
        let mut command = match contender {
            Contender::Imgn => self.imgn(pictures, &directory, size),
            Contender::Vips => self.peers.vips(pictures, &directory, size)?,
            Contender::Sharp => self.peers.sharp(pictures, &directory, size),
        };
        let run = measured::run(command.stdout(Stdio::null()))?;
        ensure!(run.status.success(), "{} failed", contender.name());
        let made = fs::read_dir(&directory)?.count();
        ensure!(
            made == pictures.len(),
            "{} made {made} thumbnails of {}",
            contender.name(),
            pictures.len()
        );
        Ok(Sample {
            seconds: run.wall.as_secs_f64(),
            processor_seconds: run.processor.as_secs_f64(),
            peak_mib: mebibytes(run.peak_memory),
        })
    }

    fn imgn(&self, pictures: &[PathBuf], directory: &Path, size: u32) -> Command {
        let mut command = Command::new(self.programs.join("imgn"));
        command
            .arg("thumb")
            .args(pictures)
            .arg("--out")
            .arg(directory)
            .args(["--size", &size.to_string()]);
        command
    }

    /// Of the thumbnails that the last run left.
    fn likeness(&self, contender: Contender, pictures: &[PathBuf]) -> Result<f64> {
        let directory = self.directory(contender);
        let mut found = Vec::new();
        for picture in pictures.iter().step_by(COMPARED) {
            let name = picture.file_name().context("a file's name")?;
            let text = process::output(
                Command::new(self.programs.join("examples/likeness"))
                    .arg(picture)
                    .arg(directory.join(name)),
            )?;
            found.push(text.trim().parse::<f64>()?);
        }
        Ok(found.iter().sum::<f64>() / found.len() as f64)
    }

    /// From the start of a process to a first picture, of the largest photograph.
    fn starts(&self) -> Result<Vec<Start>> {
        let picture = &self.corpus.largest()?;
        let thumbnail = || {
            self.imgn(
                std::slice::from_ref(picture),
                &self.place.join("first"),
                320,
            )
        };
        let preview = || {
            let mut command = Command::new(self.programs.join("examples/preview"));
            command.arg(picture);
            command
        };
        Ok(vec![
            Start {
                what: "process start to the first thumbnail, 24 MP",
                milliseconds: self.time(&thumbnail)?,
            },
            Start {
                what: "process start to the preview in the EXIF data",
                milliseconds: self.time(&preview)?,
            },
        ])
    }

    fn time(&self, command: &dyn Fn() -> Command) -> Result<f64> {
        let times = (0..STARTS).map(|_| {
            let run = measured::run(command().stdout(Stdio::null()))?;
            ensure!(run.status.success(), "{:?} failed", command());
            Ok(run.wall.as_secs_f64() * 1000.0)
        });
        Ok(median(times.collect::<Result<_>>()?))
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
