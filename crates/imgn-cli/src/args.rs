//! The command line as it is written.

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand};
use imgn_core::{
    LinkFormat,
    protocol::{ImageId, UploadId},
};

/// Pictures into a gallery, and out of it.
///
/// The token is kept in the system's keyring; the environment variable IMGN_TOKEN stands above it. Exit code 0: all
/// done; 1: something failed; 2: the command line was not understood.
#[derive(Debug, Parser)]
#[command(name = "imgn", version, propagate_version = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Args)]
pub(crate) struct Global {
    /// The gallery's address, in place of the one that `login` kept
    #[arg(long, global = true, env = "IMGN_SERVER", value_name = "URL")]
    pub(crate) server: Option<String>,
    /// Where everything that imgn keeps is, in place of the system's folder for application data
    #[arg(long, global = true, env = "IMGN_HOME", value_name = "DIR")]
    pub(crate) home: Option<PathBuf>,
    /// One JSON object a line on standard output
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Nothing on standard error but errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// What is done, on standard error; twice: every detail
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Choose a gallery and keep its token in the keyring
    Login {
        /// Read the token from standard input instead of asking for it
        #[arg(long)]
        token_stdin: bool,
    },
    /// Forget the gallery and its token
    Logout,
    /// Tell which gallery is chosen, whether it answers and takes the token
    Status,
    /// Upload pictures; a line a file, in the order given
    Upload {
        /// Pictures, and with -r folders; `-` is standard input
        #[arg(required = true, value_name = "PATH")]
        paths: Vec<PathBuf>,
        /// Of each folder, all pictures in it and below it: not what is hidden, and what is no picture is skipped
        #[arg(short, long)]
        recursive: bool,
        #[command(flatten)]
        format: Format,
        /// How many are uploaded at the same time
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=64))]
        jobs: Option<u8>,
    },
    /// Bring to its end what was queued or broken off
    Resume {
        #[command(flatten)]
        format: Format,
    },
    /// List what is queued, broken off or failed
    Queue,
    /// Take uploads back
    Cancel {
        /// As `queue` lists them, or as `upload --json` told them
        #[arg(required = true, value_name = "UPLOAD_ID", value_parser = upload_id)]
        ids: Vec<UploadId>,
    },
    /// List the gallery, newest first: id, dimensions, size, time, name
    ///
    /// On a terminal rounded and in the local time; otherwise with tabs between, sizes in bytes, times in UTC.
    List {
        /// At most so many
        #[arg(long, value_name = "N")]
        limit: Option<u32>,
        /// Only pictures whose name has this in it
        #[arg(long, value_name = "Q")]
        search: Option<String>,
    },
    /// Fetch an original and check that every byte is right
    Get {
        #[arg(value_name = "ID", value_parser = image_id)]
        id: ImageId,
        /// Where to, replacing what is there; `-` is standard output. Without it, under its own name in this folder,
        /// replacing nothing
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Delete pictures from the gallery, for everybody
    Delete {
        #[arg(required = true, value_name = "ID", value_parser = image_id)]
        ids: Vec<ImageId>,
    },
    /// Print the link to a picture
    Link {
        #[arg(value_name = "ID", value_parser = image_id)]
        id: ImageId,
        #[command(flatten)]
        format: Format,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Format {
    /// url, markdown, html, bbcode, or a template of {url} {id} {width} {height} {name} {name:markdown} {name:html}
    #[arg(long, default_value = "url", value_name = "F")]
    pub(crate) format: LinkFormat,
}

fn image_id(text: &str) -> Result<ImageId, String> {
    text.parse()
        .map_err(|_| id_hint("a picture's id", "`imgn list` has it first on each line"))
}

fn upload_id(text: &str) -> Result<UploadId, String> {
    text.parse()
        .map_err(|_| id_hint("an upload's id", "`imgn queue` has it first on each line"))
}

/// What an id looks like and where to find it: why this one is none helps nobody.
fn id_hint(what: &str, place: &str) -> String {
    format!("{what} looks like 0198c3d2-5e4f-7a6b-8c9d-0e1f2a3b4c5d; {place}")
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
