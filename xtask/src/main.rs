//! The commands of those who work on imgn: `cargo xtask run`, `test`, `bindings`, `tidy`, `conformance`, `bench` and
//! `dist`.
//!
//! Nothing of it is shipped; `dist` packs what is. Invariant: every command leaves the working tree as it found it, apart
//! from `bindings`, which writes the one file it is named after; what is built or downloaded goes below the target
//! directory or `ui/node_modules`.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "these are commands for a terminal; what they say is their output"
)]

mod bench;
mod bindings;
mod conformance;
mod dist;
mod process;
mod project;
mod run;
mod setup;
mod test;
mod tidy;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::project::Project;

/// The commands of those who work on imgn.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Sets up what is missing and starts imgn on a gallery on this computer with a few sample pictures.
    Run(run::Arguments),
    /// Sets up what is missing and checks everything: format, lints, unit, black-box, interface and desktop tests.
    Test(test::Arguments),
    /// Writes the TypeScript side of the desktop app's commands and events.
    Bindings,
    /// Checks what the compiler does not: module docs, file lengths, leftovers, forbidden dependencies.
    Tidy,
    /// Holds the picture pipeline against Pillow and pillow-heif, on their own test pictures.
    Conformance,
    /// Measures something, prints one table, and writes it as JSON below `bench/` of the target directory.
    Bench(bench::Arguments),
    /// Makes the packages that people install: the app's and the server's, with checksums, as an apt repository.
    Dist(dist::Arguments),
}

fn main() -> ExitCode {
    match command(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Without a backtrace, also where one is asked for: what failed is another program or a check.
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn command(command: Command) -> Result<()> {
    let project = Project::find()?;
    match command {
        Command::Run(arguments) => run::run(&project, &arguments),
        Command::Test(arguments) => test::run(&project, &arguments),
        Command::Bindings => bindings::write(&project),
        Command::Tidy => tidy::run(&project),
        Command::Conformance => conformance::run(&project),
        Command::Bench(arguments) => bench::run(&project, &arguments),
        Command::Dist(arguments) => dist::run(&project, &arguments),
    }
}
