//! A driver for compilers that `cargo fuzz` does not take: `mutate MINUTES CORPUS...` changes files of the corpus at
//! random and gives them to every target. It has no feedback from the code, so it finds less in the same time.
//!
//! A finding is a panic, a call of more than five seconds, or the end of the process, which a decoder that aborts would
//! bring about: so the work is done in child processes, one at a time, and the next one begins with another seed. The
//! bytes of a finding are written to `finding-N` in the current folder, and at the end their number is the exit code.
//!
//! Invariant: whatever ends a child, the file that it was at is on the disk.

use std::{
    env, fs,
    io::Write as _,
    panic::{self, catch_unwind},
    path::{Path, PathBuf},
    process::{self, Command, ExitCode},
    sync::atomic::{AtomicU64, Ordering},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant, SystemTime},
};

/// A call that takes longer is a finding, and ends its process if it goes on for twice as long.
const SLOW: Duration = Duration::from_secs(5);
/// A child does no more, so that what a decoder leaks does not pile up.
const CHILD_MINUTES: f64 = 10.0;
/// Set in a child: the seed.
const SEED: &str = "IMGN_FUZZ_SEED";
/// The file that a child is at.
const CURRENT: &str = "current";

type Target = (&'static str, fn(&[u8]));

const TARGETS: [Target; 4] = [
    ("quick", imgn_fuzz::quick),
    ("inspect", imgn_fuzz::inspect),
    ("details", imgn_fuzz::details),
    ("verify", imgn_fuzz::verify),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let minutes = arguments.first().and_then(|text| text.parse::<f64>().ok());
    let (Some(minutes), true) = (minutes, arguments.len() > 1) else {
        eprintln!("usage: mutate MINUTES FILE...");
        return ExitCode::from(2);
    };
    let files = &arguments[1..];
    let seed = env::var(SEED).ok().and_then(|seed| seed.parse().ok());
    let findings = match seed {
        Some(seed) => work(minutes, files, seed),
        None => supervise(minutes, files),
    };
    match findings {
        Ok(findings) => ExitCode::from(findings),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

/// Starts children until the time is over.
fn supervise(minutes: f64, files: &[String]) -> std::io::Result<u8> {
    let end = Instant::now() + Duration::from_secs_f64(minutes * 60.0);
    let mut seed = SystemTime::UNIX_EPOCH.elapsed().map_or(1, |it| it.as_nanos() as u64);
    while Instant::now() < end {
        let left = end.duration_since(Instant::now()).as_secs_f64() / 60.0;
        seed = seed.wrapping_mul(0x5851_f42d_4c95_7f2d) | 1;
        let status = Command::new(env::current_exe()?)
            .arg(left.min(CHILD_MINUTES).to_string())
            .args(files)
            .env(SEED, seed.to_string())
            .status()?;
        if !status.success() {
            let path = free_name();
            println!("the process ended ({status}): {}", path.display());
            fs::copy(CURRENT, path)?;
        }
    }
    let is_free = |number: &u8| !name(*number).exists();
    Ok((0..u8::MAX).find(is_free).unwrap_or(u8::MAX))
}

fn name(number: u8) -> PathBuf {
    PathBuf::from(format!("finding-{number}"))
}

fn free_name() -> PathBuf {
    (0..u8::MAX).map(name).find(|it| !it.exists()).unwrap_or_else(|| name(u8::MAX))
}

/// Gives files to the targets. Findings that do not end the process are no failure of it.
fn work(minutes: f64, files: &[String], seed: u64) -> std::io::Result<u8> {
    let corpus: Vec<Vec<u8>> = files.iter().map(fs::read).collect::<Result<_, _>>()?;
    let panicked = quiet_panics();
    let calls = watched();
    let mut random = Random(seed | 1);
    let end = Instant::now() + Duration::from_secs_f64(minutes * 60.0);
    let mut runs = 0_u64;
    while Instant::now() < end {
        let data = random.mutated(&corpus);
        fs::write(CURRENT, &data)?;
        for (target, run) in TARGETS {
            calls.fetch_add(1, Ordering::Relaxed);
            let started = Instant::now();
            let is_panic = catch_unwind(|| run(&data)).is_err();
            if is_panic || started.elapsed() > SLOW {
                let path = free_name();
                let said = panicked.lock().map(|it| it.clone()).unwrap_or_default();
                let said = if is_panic { said.as_str() } else { "slow" };
                println!("{target}: {}, {:?}, {said}", path.display(), started.elapsed());
                fs::write(Path::new(&path), &data)?;
            }
        }
        runs += 1;
    }
    println!("seed {seed}: {runs} files");
    std::io::stdout().flush()?;
    Ok(0)
}

/// Keeps what the last panic said, instead of printing it: panics of decoders that the pipeline answers for are none of
/// a finding.
fn quiet_panics() -> Arc<Mutex<String>> {
    let last = Arc::new(Mutex::new(String::new()));
    let said = Arc::clone(&last);
    panic::set_hook(Box::new(move |panic| {
        if let Ok(mut said) = said.lock() {
            *said = panic.to_string().replace('\n', " ");
        }
    }));
    last
}

/// Counts calls, and ends the process when one does not end.
fn watched() -> Arc<AtomicU64> {
    let calls = Arc::new(AtomicU64::new(0));
    let watched = Arc::clone(&calls);
    thread::spawn(move || {
        loop {
            let before = watched.load(Ordering::Relaxed);
            thread::sleep(2 * SLOW);
            if watched.load(Ordering::Relaxed) == before {
                process::abort();
            }
        }
    });
    calls
}

struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end.max(1) as u64) as usize
    }

    /// A file of the corpus with some changes: bytes, bits, numbers at their limits, pieces of others, pieces moved or
    /// left out, an end.
    fn mutated(&mut self, corpus: &[Vec<u8>]) -> Vec<u8> {
        let mut data = corpus[self.below(corpus.len())].clone();
        for _ in 0..=self.below(8) {
            if data.is_empty() {
                break;
            }
            // Headers are small, and much depends on them.
            let range = if self.below(2) == 0 { data.len() } else { data.len().min(800) };
            let at = self.below(range);
            match self.below(8) {
                0 | 1 => data[at] = self.below(256) as u8,
                2 => data[at] ^= 1 << self.below(8),
                3 => data[at] = [0, 1, 0x7f, 0x80, 0xff][self.below(5)],
                4 => {
                    let other = &corpus[self.below(corpus.len())];
                    let from = self.below(other.len());
                    let piece = &other[from..(from + self.below(64)).min(other.len())];
                    let end = (at + piece.len()).min(data.len());
                    data.splice(at..end, piece.iter().copied());
                }
                5 => {
                    let end = (at + self.below(32)).min(data.len());
                    data.drain(at..end);
                }
                6 => {
                    let piece = data[at..(at + self.below(64)).min(data.len())].to_vec();
                    let to = self.below(data.len());
                    data.splice(to..to, piece);
                }
                _ if self.below(4) == 0 => data.truncate(at),
                _ => {}
            }
        }
        data
    }
}
