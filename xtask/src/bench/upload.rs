//! `cargo xtask bench upload`: imgn against `s5cmd`, `rclone` and `aws s3 cp`, uploading the same files to the same
//! engine in the same run.
//!
//! The programs take turns, and each round has files that no round had before; what is told is the median. A run starts
//! when the engines are idle and the disk has what was written. The time of imgn ends when the server has answered the
//! last `complete`, which its log tells, and half a round trip later on a distant line; its processor time and memory
//! are those until its end, when all is verified and published. Time, processor time and memory of the peers are those
//! of their processes.
//!
//! Invariant: figures are told and never judged; a run that failed is said to have failed, and is in no figure.

mod engines;
pub(super) mod measured;
mod peers;
pub(super) mod pictures;

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result};
use serde::Serialize;

use self::{
    engines::{Engine, Engines, Way},
    peers::{Peer, Peers},
};
use crate::project::Project;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: f64 = (1_u64 << 30) as f64;

/// How files are laid out.
type Load = (usize, u64);

const LOADS: [Load; 3] = [(1, 1024 * MIB), (20, 25 * MIB), (1000, 100 * KIB)];

/// What a narrow line carries within a reasonable time.
const SMALL_LOADS: [Load; 3] = [(1, 32 * MIB), (20, MIB), (200, 100 * KIB)];

const WAYS: [Way; 3] = [
    Way::Loopback,
    Way::Distant(Duration::from_millis(40)),
    Way::Narrow(20_000_000),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Contender {
    Imgn,
    Peer(Peer),
}

impl Contender {
    fn name(self) -> &'static str {
        match self {
            Self::Imgn => "imgn",
            Self::Peer(peer) => peer.name(),
        }
    }
}

struct Row {
    engine: Engine,
    way: Way,
    load: Load,
}

impl Row {
    fn all(is_quick: bool) -> Vec<Self> {
        let mut rows = Vec::new();
        for way in WAYS {
            let loads = match way {
                Way::Loopback | Way::Distant(_) if !is_quick => LOADS,
                _ => SMALL_LOADS,
            };
            for engine in [Engine::SeaweedFs, Engine::Embedded] {
                rows.extend(loads.map(|load| Self { engine, way, load }));
            }
        }
        rows
    }

    fn name(&self) -> String {
        let engine = match self.engine {
            Engine::SeaweedFs => "SeaweedFS",
            Engine::Embedded => "embedded store",
        };
        let way = match self.way {
            Way::Loopback => "loopback".to_owned(),
            Way::Distant(round_trip) => format!("{} ms", round_trip.as_millis()),
            Way::Narrow(bits) => format!("{} Mbit/s", bits / 1_000_000),
        };
        let (count, size) = self.load;
        let size = match size {
            size if size >= 1024 * MIB => format!("{} GiB", size / (1024 * MIB)),
            size if size >= MIB => format!("{} MiB", size / MIB),
            size => format!("{} KiB", size / KIB),
        };
        format!("{engine}, {way}, {count} x {size}")
    }

    fn bytes(&self) -> f64 {
        self.load.0 as f64 * self.load.1 as f64
    }
}

/// The median of a contender's runs in one row.
#[derive(Serialize)]
struct Figures {
    program: &'static str,
    runs: usize,
    failed: usize,
    /// For imgn, until the last `complete` was answered.
    seconds: f64,
    /// Until the program's end.
    seconds_to_end: f64,
    processor_seconds: f64,
    processor_seconds_per_gib: f64,
    peak_mib: f64,
    /// Against the best peer of the row.
    time_ratio: Option<f64>,
    processor_ratio: Option<f64>,
    memory_ratio: Option<f64>,
}

#[derive(Serialize)]
struct Measured {
    row: String,
    figures: Vec<Figures>,
}

struct Sample {
    seconds: f64,
    seconds_to_end: f64,
    processor_seconds: f64,
    peak_mib: f64,
}

/// Measures the rows whose name holds `only`, and writes each down as soon as it is there.
pub(super) fn measure(
    project: &Project,
    only: Option<&str>,
    is_quick: bool,
    rounds: usize,
) -> Result<()> {
    let peers = Peers::install(project)?;
    let scratch = project.scratch();
    fs::create_dir_all(&scratch)?;
    let mut measured = Vec::new();
    for row in Row::all(is_quick) {
        let name = row.name();
        if only.is_some_and(|only| !name.contains(only)) {
            continue;
        }
        let place = tempfile::tempdir_in(&scratch)?;
        let rounds = if is_quick { 1 } else { rounds.max(1) };
        let figures = measure_row(project, &peers, &row, rounds, place.path())
            .with_context(|| name.clone())?;
        print(&name, &figures);
        measured.push(Measured { row: name, figures });
        let directory = project.target.join("bench");
        fs::create_dir_all(&directory)?;
        fs::write(
            directory.join("upload.json"),
            serde_json::to_string_pretty(&measured)?,
        )?;
    }
    println!(
        "written to {}",
        project.target.join("bench/upload.json").display()
    );
    Ok(())
}

fn measure_row(
    project: &Project,
    peers: &Peers,
    row: &Row,
    rounds: usize,
    place: &Path,
) -> Result<Vec<Figures>> {
    let engines = Engines::start(project, peers, row.engine, row.way, place)?;
    let contenders: Vec<Contender> = std::iter::once(Contender::Imgn)
        .chain(Peer::ALL.map(Contender::Peer))
        .collect();
    let mut samples: Vec<Vec<Sample>> = contenders.iter().map(|_| Vec::new()).collect();
    let directory = place.join("files");
    for round in 0..rounds {
        let files = pictures::make(&directory, row.load.0, row.load.1)?;
        for turn in 0..contenders.len() {
            // Whoever goes first in one round goes last in the next.
            let index = (turn + round) % contenders.len();
            let prefix = format!("{}-{round}", contenders[index].name());
            let command = match contenders[index] {
                Contender::Imgn => engines
                    .gallery
                    .upload(&files, &place.join(format!("home-{round}"))),
                Contender::Peer(peer) => {
                    peers.upload(peer, &engines.endpoint, &directory, &prefix, place)?
                }
            };
            let sample = run(contenders[index], command, &engines, row, &files, place)?;
            samples[index].extend(sample);
        }
    }
    let mut figures: Vec<Figures> = contenders
        .iter()
        .zip(&samples)
        .map(|(contender, samples)| summary(contender.name(), samples, rounds, row))
        .collect();
    compare(&mut figures);
    Ok(figures)
}

fn run(
    contender: Contender,
    mut command: Command,
    engines: &Engines,
    row: &Row,
    files: &[PathBuf],
    place: &Path,
) -> Result<Option<Sample>> {
    engines.settle()?;
    engines.gallery.forget();
    let log = place.join("client.log");
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(&log)?);
    let run = measured::run(&mut command)?;
    if !run.status.success() {
        let said = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
        let last: Vec<&str> = said.lines().rev().take(3).collect();
        println!(
            "{}: {} failed ({}): {}",
            row.name(),
            contender.name(),
            run.status,
            last.join(" | ")
        );
        return Ok(None);
    }
    let mut wall = run.wall;
    if contender == Contender::Imgn {
        let answered = engines
            .gallery
            .all_completed(files.len())
            .context("the server's log does not tell that every upload was completed")?;
        // The answer is on its way when the server's log tells of it.
        let on_its_way = match row.way {
            Way::Distant(round_trip) => round_trip / 2,
            Way::Loopback | Way::Narrow(_) => Duration::ZERO,
        };
        let until = answered.saturating_duration_since(run.started) + on_its_way;
        wall = wall.min(until);
    }
    Ok(Some(Sample {
        seconds: wall.as_secs_f64(),
        seconds_to_end: run.wall.as_secs_f64(),
        processor_seconds: run.processor.as_secs_f64(),
        peak_mib: run.peak_memory as f64 / MIB as f64,
    }))
}

fn summary(program: &'static str, samples: &[Sample], rounds: usize, row: &Row) -> Figures {
    let median = |of: fn(&Sample) -> f64| {
        let mut values: Vec<f64> = samples.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
    };
    let processor_seconds = median(|sample| sample.processor_seconds);
    Figures {
        program,
        runs: samples.len(),
        failed: rounds - samples.len(),
        seconds: median(|sample| sample.seconds),
        seconds_to_end: median(|sample| sample.seconds_to_end),
        processor_seconds,
        processor_seconds_per_gib: processor_seconds * GIB / row.bytes(),
        peak_mib: median(|sample| sample.peak_mib),
        time_ratio: None,
        processor_ratio: None,
        memory_ratio: None,
    }
}

/// Sets the ratios of all to the best of the peers, each figure for itself.
fn compare(figures: &mut [Figures]) {
    let best = |of: fn(&Figures) -> f64| {
        let peers = figures
            .iter()
            .filter(|it| it.program != Contender::Imgn.name());
        peers
            .map(of)
            .filter(|value| value.is_finite())
            .min_by(f64::total_cmp)
    };
    let time = best(|it| it.seconds);
    let processor = best(|it| it.processor_seconds);
    let memory = best(|it| it.peak_mib);
    for it in figures.iter_mut().filter(|it| it.runs > 0) {
        it.time_ratio = time.map(|best| it.seconds / best);
        it.processor_ratio = processor.map(|best| it.processor_seconds / best);
        it.memory_ratio = memory.map(|best| it.peak_mib / best);
    }
}

fn print(name: &str, figures: &[Figures]) {
    println!("\n{name}");
    println!(
        "  {:8} {:>9} {:>6} {:>9} {:>9} {:>9} {:>6} {:>9} {:>6}",
        "program", "s", "ratio", "s to end", "CPU s", "CPU s/GiB", "ratio", "peak MiB", "ratio"
    );
    let ratio = |ratio: Option<f64>| ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}"));
    for it in figures {
        if it.runs == 0 {
            println!("  {:8} failed", it.program);
            continue;
        }
        println!(
            "  {:8} {:>9.2} {:>6} {:>9.2} {:>9.2} {:>9.2} {:>6} {:>9.1} {:>6}{}",
            it.program,
            it.seconds,
            ratio(it.time_ratio),
            it.seconds_to_end,
            it.processor_seconds,
            it.processor_seconds_per_gib,
            ratio(it.processor_ratio),
            it.peak_mib,
            ratio(it.memory_ratio),
            match it.failed {
                0 => String::new(),
                failed => format!("  ({failed} failed)"),
            }
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_to_the_best_peer_and_failures_count_for_nothing() {
        let row = &Row::all(false)[0];
        assert_eq!(row.name(), "SeaweedFS, loopback, 1 x 1 GiB");
        let samples = |seconds: &[f64]| -> Vec<Sample> {
            let sample = |&seconds: &f64| Sample {
                seconds,
                seconds_to_end: seconds,
                processor_seconds: seconds / 2.0,
                peak_mib: 10.0,
            };
            seconds.iter().map(sample).collect()
        };
        let mut figures = vec![
            summary("imgn", &samples(&[3.0, 1.0, 2.0]), 3, row),
            summary("rclone", &samples(&[5.0, 4.0, 9.0]), 3, row),
            summary("aws", &samples(&[]), 3, row),
        ];
        compare(&mut figures);
        assert_eq!(figures[0].seconds, 2.0);
        assert_eq!(figures[0].time_ratio, Some(0.4));
        assert_eq!(figures[1].time_ratio, Some(1.0));
        assert_eq!(figures[0].processor_seconds_per_gib, 1.0);
        assert_eq!((figures[2].failed, figures[2].time_ratio), (3, None));
    }
}
