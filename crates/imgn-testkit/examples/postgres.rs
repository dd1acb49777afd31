//! A PostgreSQL as a program, for benches: `cargo run -p imgn-testkit --example postgres`.
//!
//! Prints its URL on one line when it answers, and runs until it is told to end. Invariant: the database ends with it.

use anyhow::Result;
use imgn_testkit::postgres::PostgreSql;
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let mut told = signal(SignalKind::terminate())?;
    let database = PostgreSql::start().await?;
    announce(&database);
    told.recv().await;
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the one line that callers wait for")]
fn announce(database: &PostgreSql) {
    println!("{}", database.url());
}
