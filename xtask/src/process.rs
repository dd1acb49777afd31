//! Running other programs and saying so.
//!
//! Invariant: a program that fails ends the command with the line that can be repeated in a terminal.

use std::{
    ffi::OsStr,
    io::{BufRead as _, BufReader, Read as _},
    path::Path,
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, Result, bail};

/// The cargo that runs this command, so that its toolchain is kept.
pub(crate) fn cargo(directory: &Path) -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(directory);
    command
}

/// Runs a command with this terminal's input and output; fails if it does.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let line = shown(command);
    println!("$ {line}");
    let status = command
        .status()
        .with_context(|| format!("could not start `{line}`"))?;
    if !status.success() {
        bail!("`{line}` failed ({status})");
    }
    Ok(())
}

/// The same without a word about it where it succeeds, for what is run many times.
pub(crate) fn run_silently(command: &mut Command) -> Result<()> {
    output(command).map(drop)
}

/// The standard output of a command as text; fails if the command does.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let line = shown(command);
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("could not start `{line}`"))?;
    if !output.status.success() {
        bail!("`{line}` failed ({})", output.status);
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{line}` did not print text"))
}

/// Waits until a started `imgn-server`, whose standard output is a pipe, says where it listens.
pub(crate) fn listening_url(server: &mut Child) -> Result<String> {
    let stdout = server
        .stdout
        .take()
        .context("the server's output is a pipe")?;
    let mut stdout = BufReader::new(stdout);
    let mut line = String::new();
    stdout.read_line(&mut line)?;
    // Keep the pipe open, so that the server can write to it.
    std::thread::spawn(move || stdout.read_to_end(&mut Vec::new()));
    let url = line.trim_end().strip_prefix("imgn-server listening on ");
    url.map(ToOwned::to_owned)
        .context("imgn-server did not start")
}

/// Whether a program can be started and succeeds with these arguments.
pub(crate) fn succeeds(program: &str, arguments: &[&str]) -> bool {
    let status = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words
        .map(OsStr::to_string_lossy)
        .collect::<Vec<_>>()
        .join(" ")
}
