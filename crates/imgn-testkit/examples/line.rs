//! A line of a given length and width as a program, for benches:
//! `cargo run -p imgn-testkit --example line -- LISTEN UPSTREAM ROUND_TRIP_MS BYTES_PER_SECOND [BESIDE]`.
//!
//! The rate is of each direction; 0 stands for as fast as it goes. A connection whose first bytes hold `BESIDE` passes
//! unchanged. Prints one line when it listens, and runs until it is ended.

use std::time::Duration;

use anyhow::{Context as _, bail};
use imgn_testkit::proxy::{Line, Shape};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (listen, upstream, round_trip, rate, beside) = match arguments.as_slice() {
        [listen, upstream, round_trip, rate] => (listen, upstream, round_trip, rate, None),
        [listen, upstream, round_trip, rate, beside] => {
            (listen, upstream, round_trip, rate, Some(beside.clone()))
        }
        _ => bail!("usage: line LISTEN UPSTREAM ROUND_TRIP_MS BYTES_PER_SECOND [BESIDE]"),
    };
    let rate = rate.parse().context("bytes per second")?;
    let rate = (rate > 0).then_some(rate);
    let shape = Shape {
        round_trip: Duration::from_millis(round_trip.parse().context("milliseconds")?),
        up: rate,
        down: rate,
        beside,
    };
    let line = Line::start(listen, upstream, shape).await?;
    announce(&line);
    std::future::pending().await
}

#[expect(clippy::print_stdout, reason = "the one line that callers wait for")]
fn announce(line: &Line) {
    println!("line listening on {}", line.url());
}
