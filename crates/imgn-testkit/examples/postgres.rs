//! A PostgreSQL as a program, for benches: `cargo run -p imgn-testkit --example postgres`.
//!
//! Prints its URL on one line when it answers, and runs until its input ends or it is told to end. Invariant: the database
//! ends with it.

use anyhow::Result;
use imgn_testkit::postgres::PostgreSql;
use tokio::{
    io::{AsyncReadExt as _, stdin},
    signal::unix::{SignalKind, signal},
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let mut told = signal(SignalKind::terminate())?;
    let database = PostgreSql::start().await?;
    announce(&database);
    let (mut stdin, mut nothing) = (stdin(), Vec::new());
    tokio::select! {
        _ = stdin.read_to_end(&mut nothing) => {}
        _ = told.recv() => {}
    }
    drop(database);
    // The thread that waits for input would be waited for.
    std::process::exit(0);
}

#[expect(clippy::print_stdout, reason = "the one line that callers wait for")]
fn announce(database: &PostgreSql) {
    println!("{}", database.url());
}
