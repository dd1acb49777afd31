//! A driver for compilers that `cargo fuzz` does not take: `mutate MINUTES CORPUS...` changes files of the corpus at
//! random and gives them to every target. It has no feedback from the code, so it finds less in the same time.
//!
//! A finding is a panic, or a call of more than five seconds. Its bytes are written to `finding-N` in the current folder,
//! and at the end their number is the exit code.
//!
//! Invariant: the seed that is printed makes the same files again, with the same corpus.

use std::{
    env, fs,
    panic::catch_unwind,
    path::Path,
    process::ExitCode,
    time::{Duration, Instant, SystemTime},
};

const SLOW: Duration = Duration::from_secs(5);

type Target = (&'static str, fn(&[u8]));

const TARGETS: [Target; 3] = [
    ("quick", imgn_fuzz::quick),
    ("inspect", imgn_fuzz::inspect),
    ("verify", imgn_fuzz::verify),
];

fn main() -> ExitCode {
    let mut arguments = env::args().skip(1);
    let minutes = arguments.next().and_then(|text| text.parse::<f64>().ok());
    let corpus: Vec<Vec<u8>> = arguments.filter_map(|path| fs::read(path).ok()).collect();
    let (Some(minutes), false) = (minutes, corpus.is_empty()) else {
        eprintln!("usage: mutate MINUTES FILE...");
        return ExitCode::from(2);
    };
    let seed = SystemTime::UNIX_EPOCH.elapsed().map_or(1, |it| it.as_nanos() as u64) | 1;
    println!("seed {seed}, {} files", corpus.len());
    let mut random = Random(seed);
    let end = Instant::now() + Duration::from_secs_f64(minutes * 60.0);
    let (mut runs, mut findings) = (0_u64, 0_u8);
    while Instant::now() < end {
        let data = random.mutated(&corpus);
        for (name, target) in TARGETS {
            let started = Instant::now();
            let panicked = catch_unwind(|| target(&data)).is_err();
            if panicked || started.elapsed() > SLOW {
                let path = format!("finding-{findings}");
                println!("{name}: {path}, {:?}", started.elapsed());
                // What cannot be kept was at least told.
                let _ = fs::write(Path::new(&path), &data);
                findings = findings.saturating_add(1);
            }
        }
        runs += 1;
    }
    println!("{runs} files, {findings} findings");
    ExitCode::from(findings)
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
