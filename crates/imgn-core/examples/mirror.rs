//! `cargo run --release -p imgn-core --example mirror -- SERVER HOME [SEARCH...]`: fills the list of a gallery in the
//! profile HOME and measures it: rows a second, and milliseconds for the timeline of everything and of each search.
//!
//! `imgn-server`'s example `seed` makes a gallery that is worth it.

#![expect(clippy::print_stdout, reason = "it is a program that prints")]

use std::{error::Error, path::PathBuf, time::Instant};

use imgn_core::{App, Home, Options};

/// Each is measured so often; the median counts.
const TIMES: usize = 9;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let usage = "mirror SERVER HOME [SEARCH...]";
    let server = arguments.next().ok_or(usage)?;
    let home = Home::locate(Some(PathBuf::from(arguments.next().ok_or(usage)?)))?;
    let options = Options {
        server: Some(server),
        ..Options::default()
    };
    let app = App::open(home, options).await?;

    let start = Instant::now();
    app.sync(false).await?;
    let seconds = start.elapsed().as_secs_f64();
    let known = app.timeline("").await?.sequences.len();
    let rate = f64::from(u32::try_from(known)?) / seconds;
    println!("sync\t{known} pictures\t{seconds:.2} s\t{rate:.0} rows/s");

    for search in std::iter::once(String::new()).chain(arguments) {
        let mut times = Vec::new();
        let (mut found, mut bytes) = (0, 0);
        for _ in 0..TIMES {
            let start = Instant::now();
            let timeline = app.timeline(&search).await?;
            bytes = timeline.to_bytes().len();
            times.push(start.elapsed().as_secs_f64() * 1000.0);
            found = timeline.sequences.len();
        }
        times.sort_by(f64::total_cmp);
        let median = times.get(TIMES / 2).copied().unwrap_or_default();
        println!("timeline {search:?}\t{found} pictures\t{bytes} bytes\t{median:.1} ms");
    }
    app.quit().await;
    Ok(())
}
