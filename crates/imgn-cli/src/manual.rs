//! What is made from the command line itself: completions for shells, and the manual pages that packages have.
//!
//! Invariant: nothing here is written by hand, so it says what the program does.

use std::path::Path;

use anyhow::{Context as _, Result};
use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::{args::Cli, output::Output};

/// Prints what a shell reads to complete the command line.
pub(crate) fn completions(output: &Output, shell: Shell) -> Result<bool> {
    // Not to standard output at once: what it writes to must not fail.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "imgn", &mut script);
    output.line(String::from_utf8(script)?.trim_end())?;
    Ok(true)
}

/// Writes the manual pages into a folder: `imgn.1`, and one for each command.
pub(crate) fn pages(directory: &Path) -> Result<bool> {
    std::fs::create_dir_all(directory)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), directory))
        .with_context(|| {
            let directory = directory.display();
            format!("the manual pages cannot be written into {directory}; name a folder that can")
        })?;
    Ok(true)
}
