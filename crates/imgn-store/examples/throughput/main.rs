//! How fast the store takes bytes in, beside a plain copy with sync on the same disk in the same run:
//! `cargo build --release -p imgn-store --examples && target/release/examples/throughput DIR [ROUNDS]`.
//!
//! Every round measures every row once, one after the other, so that a disk that gets slower is slow for all. A plain
//! copy reads the source and writes and syncs a new file, once for each object; where a row sends several objects at a
//! time, its copy runs on as many threads. The store is the `serve` example in a process of its own; the client sends
//! with the kernel's own copying, so that nearly all of the work seen is the store's. Linux only, as it reads `/proc`.
//!
//! Invariant: what is timed ends when the last answer is read, and every answer is checked for success.

mod client;
mod usage;

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Context as _, Result};
use imgn_testkit::process::{Running, program};
use imgn_testkit::s3::{Engine, Target};

use crate::client::{Client, Sum};
use crate::usage::Usage;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

const PART: usize = 8 * MIB;
const PARTS_IN_FLIGHT: usize = 4;

/// Objects of one size, sent in one way.
struct Row {
    name: &'static str,
    count: usize,
    size: usize,
    /// Objects at a time.
    jobs: usize,
    sum: Sum,
    multipart: bool,
}

const ROWS: [Row; 8] = [
    row("1 x 1 GiB, one PUT, SHA-256", 1, 1024 * MIB, 1, Sum::Sha256),
    row(
        "1 x 1 GiB, one PUT, no checksum",
        1,
        1024 * MIB,
        1,
        Sum::None,
    ),
    parts("1 x 1 GiB, parts, CRC-64/NVME", Sum::Crc64Nvme),
    parts("1 x 1 GiB, parts, no checksum", Sum::None),
    row("20 x 25 MiB, one at a time", 20, 25 * MIB, 1, Sum::Sha256),
    row("20 x 25 MiB, four at a time", 20, 25 * MIB, 4, Sum::Sha256),
    row(
        "1000 x 100 KiB, one at a time",
        1000,
        100 * KIB,
        1,
        Sum::Sha256,
    ),
    row(
        "1000 x 100 KiB, eight at a time",
        1000,
        100 * KIB,
        8,
        Sum::Sha256,
    ),
];

const fn row(name: &'static str, count: usize, size: usize, jobs: usize, sum: Sum) -> Row {
    Row {
        name,
        count,
        size,
        jobs,
        sum,
        multipart: false,
    }
}

const fn parts(name: &'static str, sum: Sum) -> Row {
    Row {
        name,
        count: 1,
        size: 1024 * MIB,
        jobs: 1,
        sum,
        multipart: true,
    }
}

/// What one row gave in one round.
struct Sample {
    copy: f64,
    store: f64,
    cpu: f64,
    peak: u64,
}

#[expect(clippy::print_stdout, reason = "the table is what this program is for")]
fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let directory = PathBuf::from(
        arguments
            .next()
            .context("a directory on the disk to measure")?,
    );
    let rounds: usize = arguments.next().map_or(Ok(3), |rounds| rounds.parse())?;
    fs::create_dir_all(&directory)?;
    let work = tempfile::tempdir_in(&directory)?;
    let mut samples: Vec<Vec<Sample>> = ROWS.iter().map(|_| Vec::new()).collect();
    for round in 0..rounds {
        for (at, row) in ROWS.iter().enumerate() {
            let sample = measure(row, work.path(), at + round)?;
            println!(
                "round {round}: {}: copy {:.0} MB/s, store {:.0} MB/s",
                row.name, sample.copy, sample.store
            );
            samples[at].push(sample);
        }
    }
    println!("\n| objects | copy with sync | store | ratio | CPU s per GiB | peak memory |");
    println!("|---|---|---|---|---|---|");
    for (row, samples) in ROWS.iter().zip(&samples) {
        let copy = median(samples.iter().map(|sample| sample.copy));
        let store = median(samples.iter().map(|sample| sample.store));
        println!(
            "| {} | {copy:.0} MB/s | {store:.0} MB/s | {:.2} | {:.2} | {} MiB |",
            row.name,
            median(samples.iter().map(|sample| sample.store / sample.copy)),
            median(samples.iter().map(|sample| sample.cpu)),
            samples.iter().map(|sample| sample.peak).max().unwrap_or(0) / MIB as u64,
        );
    }
    Ok(())
}

/// The copy and the store, in turns which comes first. Both start with clean directories and an idle disk.
fn measure(row: &Row, work: &Path, turn: usize) -> Result<Sample> {
    let source = source(work, row.size)?;
    let mut sample = Sample {
        copy: 0.0,
        store: 0.0,
        cpu: 0.0,
        peak: 0,
    };
    let store_first = turn.is_multiple_of(2);
    for store in [store_first, !store_first] {
        settle()?;
        let directory = tempfile::tempdir_in(work)?;
        if store {
            measure_store(row, &source, directory.path(), &mut sample)?;
        } else {
            let start = Instant::now();
            each(row.jobs, row.count, |at| {
                copy(&source, &directory.path().join(at.to_string()))
            })?;
            sample.copy = rate(row, start);
        }
    }
    Ok(sample)
}

fn measure_store(row: &Row, source: &Path, directory: &Path, sample: &mut Sample) -> Result<()> {
    let mut command = Command::new(program("serve")?);
    command
        .arg("127.0.0.1:0")
        .arg(directory.join("store"))
        .args(["access", "secret", "pictures"]);
    let (running, line) = Running::start(command, &directory.join("log"))?;
    let target = Target {
        endpoint: line.rsplit(' ').next().unwrap_or_default().to_owned(),
        bucket: "pictures".into(),
        access_key: "access".into(),
        secret_key: "secret".into(),
        engine: Engine::ImgnStore,
    };
    let client = Client::new(target, source, row.sum, row.multipart.then_some(PART))?;
    let before = Usage::of(running.id())?;
    let start = Instant::now();
    if row.multipart {
        let id = client.create("large")?;
        let count = row.size.div_ceil(PART);
        let tags = each(PARTS_IN_FLIGHT, count, |at| client.part("large", &id, at))?;
        client.complete("large", &id, &tags)?;
    } else {
        each(row.jobs, row.count, |at| {
            client.put(&format!("object-{at}"))
        })?;
    }
    sample.store = rate(row, start);
    let bytes = (row.count * row.size) as f64;
    let cpu = Usage::of(running.id())?.cpu_seconds - before.cpu_seconds;
    sample.cpu = cpu * (1024 * MIB) as f64 / bytes;
    sample.peak = running.peak_memory()?;
    Ok(())
}

/// A file of noise, in the page cache.
fn source(work: &Path, size: usize) -> Result<PathBuf> {
    let path = work.join(format!("source-{size}"));
    if !path.exists() {
        let mut file = File::create(&path)?;
        let noise = File::open("/dev/urandom")?;
        std::io::copy(&mut noise.take(size as u64), &mut file)?;
        file.sync_all()?;
    }
    Ok(path)
}

fn copy(source: &Path, destination: &Path) -> Result<()> {
    let mut source = File::open(source)?;
    let mut file = File::create_new(destination)?;
    let mut buffer = vec![0; MIB];
    loop {
        let read = source.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        file.write_all(&buffer[..read])?;
    }
    Ok(file.sync_all()?)
}

/// Runs `work` for 0 to `count`, `jobs` at a time, and gives the results in order.
fn each<T: Send>(
    jobs: usize,
    count: usize,
    work: impl Fn(usize) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let next = AtomicUsize::new(0);
    let mut done = std::thread::scope(|scope| {
        let worker = || {
            let mut done = Vec::new();
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                if at >= count {
                    return Ok(done);
                }
                done.push((at, work(at)?));
            }
        };
        let workers: Vec<_> = (0..jobs).map(|_| scope.spawn(worker)).collect();
        let mut all = Vec::new();
        for worker in workers {
            let done: Result<Vec<(usize, T)>> = worker
                .join()
                .unwrap_or_else(|_| Err(anyhow::anyhow!("a worker panicked")));
            all.extend(done?);
        }
        anyhow::Ok(all)
    })?;
    done.sort_by_key(|(at, _)| *at);
    Ok(done.into_iter().map(|(_, value)| value).collect())
}

/// Nothing of an earlier row is still on its way to the disk.
fn settle() -> Result<()> {
    anyhow::ensure!(Command::new("sync").status()?.success());
    Ok(())
}

/// Megabytes in a second.
fn rate(row: &Row, start: Instant) -> f64 {
    (row.count * row.size) as f64 / 1e6 / start.elapsed().as_secs_f64()
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
