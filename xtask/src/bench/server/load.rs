//! The load that both sides get: as much as a server can answer, or a constant rate.
//!
//! Threads with a connection each, on another core than the server. Invariant: under a constant rate a request's time runs
//! from when it was due, not from when a connection came free for it; and whatever is not a success ends the run.

use std::{
    net::SocketAddr,
    process::Command,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, ensure};

use super::http::Connection;
use crate::process;

/// Clients at a time.
pub(super) const CONNECTIONS: usize = 16;

/// What comes first and is not counted.
const WARMING: Duration = Duration::from_millis(500);

/// The core of the servers that are measured, and that of all else meanwhile.
pub(super) const SERVERS_CORE: &str = "0";
const OWN_CORE: &str = "1";

/// Makes a connection's request, by a number that no other has.
pub(super) type Maker<'a> = dyn Fn(usize, u64) -> Vec<u8> + Sync + 'a;

pub(super) struct Load {
    /// Answers a second.
    pub(super) rate: f64,
    /// Sorted, in seconds.
    times: Vec<f64>,
}

impl Load {
    /// In milliseconds.
    pub(super) fn quantile(&self, share: f64) -> f64 {
        let last = self.times.len().saturating_sub(1);
        let place = (last as f64 * share).round() as usize;
        self.times.get(place).map_or(f64::NAN, |time| time * 1000.0)
    }
}

/// As many requests as are answered when each client sends the next at once.
pub(super) fn most(address: SocketAddr, make: &Maker<'_>, length: Duration) -> Result<Load> {
    let begin = Instant::now();
    run(address, make, begin + WARMING, length, |_| Instant::now())
}

/// So many requests a second, whenever answers come.
pub(super) fn steady(
    address: SocketAddr,
    make: &Maker<'_>,
    rate: f64,
    length: Duration,
) -> Result<Load> {
    let begin = Instant::now();
    run(address, make, begin + WARMING, length, |number| {
        begin + Duration::from_secs_f64(number as f64 / rate)
    })
}

fn run(
    address: SocketAddr,
    make: &Maker<'_>,
    counted_from: Instant,
    length: Duration,
    due: impl Fn(u64) -> Instant + Sync,
) -> Result<Load> {
    static NUMBERS: AtomicU64 = AtomicU64::new(0);
    let (turns, end) = (AtomicU64::new(0), counted_from + length);
    let client = |which: usize| -> Result<Vec<f64>> {
        let mut connection = Connection::open(address)?;
        let mut times = Vec::new();
        loop {
            let due = due(turns.fetch_add(1, Ordering::Relaxed));
            if due >= end {
                return Ok(times);
            }
            let wait = due.saturating_duration_since(Instant::now());
            if !wait.is_zero() {
                thread::sleep(wait);
            }
            let request = make(which, NUMBERS.fetch_add(1, Ordering::Relaxed));
            connection.ask(&request)?.ensure_success()?;
            if due >= counted_from {
                times.push(due.elapsed().as_secs_f64());
            }
        }
    };
    let mut times = Vec::new();
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CONNECTIONS)
            .map(|which| scope.spawn(move || client(which)))
            .collect();
        for client in clients {
            let ended = client.join().map_err(|_| anyhow!("a client panicked"))?;
            times.extend(ended?);
        }
        anyhow::Ok(())
    })?;
    ensure!(!times.is_empty(), "nothing was answered");
    // The last answers come a little after the end.
    let seconds = counted_from.elapsed().as_secs_f64();
    times.sort_by(f64::total_cmp);
    Ok(Load {
        rate: times.len() as f64 / seconds,
        times,
    })
}

/// This process on a core of its own, and the programs that it starts, unless they are told otherwise. It ends with the
/// handle.
pub(super) struct Aside {
    cores: usize,
}

impl Aside {
    pub(super) fn step() -> Result<Self> {
        let cores = thread::available_parallelism()?.get();
        ensure!(cores > 1, "server and load need a core each");
        move_to(OWN_CORE)?;
        Ok(Self { cores })
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        // It was allowed before.
        let _ = move_to(&format!("0-{}", self.cores - 1));
    }
}

fn move_to(cores: &str) -> Result<()> {
    let mut command = Command::new("taskset");
    command.args(["--all-tasks", "--cpu-list", "--pid", cores]);
    process::run_silently(command.arg(std::process::id().to_string())).context("taskset")
}

/// A program on the core of what is measured.
pub(super) fn on_its_core(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", SERVERS_CORE]).arg(program);
    command
}
