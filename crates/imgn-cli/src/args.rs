//! The command line as it is written.

use std::{num::NonZeroU64, path::PathBuf};

use clap::{ArgAction, Args, Parser, Subcommand};
use clap_complete::Shell;
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
    /// Look whether all that imgn needs is there: server, clock, keyring, clipboard, tray, disk; a line each, and what to do
    Doctor,
    /// List what was uploaded from this computer, newest first: id, time, link, name
    History {
        /// At most so many
        #[arg(long, value_name = "N")]
        limit: Option<u32>,
        /// Only pictures with all of these words in their name, folder, camera or days
        #[arg(long, value_name = "Q")]
        search: Option<String>,
    },
    /// Upload pictures; a line a file, in the order given
    Upload {
        /// Pictures, and with -r folders; `-` is standard input
        #[arg(required_unless_present = "clipboard", value_name = "PATH")]
        paths: Vec<PathBuf>,
        /// What is on the clipboard, after the paths: a picture, copied files, or a data URL
        #[arg(long)]
        clipboard: bool,
        /// Of each folder, all pictures in it and below it: not what is hidden, and what is no picture is skipped
        #[arg(short, long)]
        recursive: bool,
        #[command(flatten)]
        format: Format,
        /// Send the place where a picture was taken, which is left out otherwise
        #[arg(long)]
        keep_gps: bool,
        #[command(flatten)]
        pace: Pace,
    },
    /// Bring to its end what was queued, paused or broken off, and try again what failed
    Resume {
        /// Only these; as `queue` lists them, or as `upload --json` told them
        #[arg(value_name = "UPLOAD_ID", value_parser = upload_id)]
        ids: Vec<UploadId>,
        #[command(flatten)]
        format: Format,
        #[command(flatten)]
        pace: Pace,
    },
    /// List what is queued, paused, broken off or failed: id, state, how much is sent, file
    Queue,
    /// Hold uploads back until `resume`
    Pause(Which),
    /// Take uploads back
    Cancel(Which),
    /// List the gallery, newest first: id, dimensions, size, time, name
    ///
    /// On a terminal rounded and in the local time; otherwise with tabs between, sizes in bytes, times in UTC.
    List {
        /// At most so many
        #[arg(long, value_name = "N")]
        limit: Option<u32>,
        /// Only pictures with all of these words in their name, camera, owner or days (2026-11-26, november)
        #[arg(long, value_name = "Q")]
        search: Option<String>,
        /// From the list on this computer, which `sync` brings up to date; asks no server
        #[arg(long)]
        offline: bool,
    },
    /// Bring the gallery's list on this computer up to date, and carry out the deletions that wait
    Sync {
        /// Fetch all originals too, and keep them on this computer
        #[arg(long)]
        originals: bool,
    },
    /// The thumbnails on this computer
    Cache {
        #[command(subcommand)]
        what: CacheCommand,
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
    /// Make thumbnails of pictures on this computer: upright JPEG files, a line a picture, in the order given
    Thumb {
        /// Pictures; `-` is standard input
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// Where to, made if it is missing. What is there stays: a name that is taken gets a number
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// The longest edge in pixels, from 1 to 1280; a smaller picture is not enlarged
        #[arg(long, value_name = "PIXELS", default_value_t = 320, value_parser = clap::value_parser!(u32).range(1..=1280))]
        size: u32,
    },
    /// Delete pictures from the gallery, for everybody; without the server, when it answers again
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
    /// Print what lets a shell complete this command line: `eval "$(imgn completions bash)"`
    Completions {
        /// Which shell
        #[arg(value_name = "SHELL")]
        shell: Shell,
    },
    /// Write the manual pages: one for the program, and one for each command
    #[command(hide = true)]
    Man {
        /// Where to, made if it is missing
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum CacheCommand {
    /// How many thumbnails there are, their size, and the most that they take
    Stats,
    /// Forget all thumbnails; they are fetched again when they are wanted
    Clear,
}

#[derive(Debug, Args)]
#[group(id = "which", required = true)]
pub(crate) struct Which {
    /// As `queue` lists them, or as `upload --json` told them
    #[arg(value_name = "UPLOAD_ID", value_parser = upload_id, conflicts_with = "all")]
    pub(crate) ids: Vec<UploadId>,
    /// All that has not ended
    #[arg(long)]
    pub(crate) all: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Pace {
    /// How many requests are under way at the same time, from 1 to 64; without it, as many as are worth having
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) jobs: Option<u32>,
    /// At most so many bytes a second, all uploads together: 2M, 500k, 1.5M (k, M and G are 1024-fold)
    #[arg(long, value_name = "RATE", value_parser = rate)]
    pub(crate) limit_rate: Option<NonZeroU64>,
}

#[derive(Debug, Args)]
pub(crate) struct Format {
    /// url, markdown, html, bbcode, or a template of {url} {id} {name} {alt} {width} {height} {ext} {date:%Y-%m-%d}
    ///
    /// In a template, names are escaped for what it looks like: HTML, Markdown, BBCode or plain text. {name:markdown},
    /// {name:html}, {name:bbcode} and {name:raw} say it for one place, as do {alt:...}.
    #[arg(long, default_value = "url", value_name = "F")]
    pub(crate) format: LinkFormat,
    /// What stands for a picture where it cannot be seen, in place of its name
    #[arg(long, value_name = "TEXT")]
    pub(crate) alt: Option<String>,
}

fn image_id(text: &str) -> Result<ImageId, String> {
    text.parse()
        .map_err(|_| id_hint("a picture's id", "`imgn list` has it first on each line"))
}

fn upload_id(text: &str) -> Result<UploadId, String> {
    text.parse()
        .map_err(|_| id_hint("an upload's id", "`imgn queue` has it first on each line"))
}

fn rate(text: &str) -> Result<NonZeroU64, String> {
    let hint = || format!("a rate is bytes a second, such as 2M, 500k or 800000; `{text}` is none");
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit: f64 = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "k" | "kb" | "kib" => 1024.0,
        "m" | "mb" | "mib" => 1024.0 * 1024.0,
        "g" | "gb" | "gib" => 1024.0 * 1024.0 * 1024.0,
        _ => return Err(hint()),
    };
    // Neither a sign nor an exponent.
    if !digits.chars().all(|c| c.is_ascii_digit() || c == '.') {
        return Err(hint());
    }
    let number: f64 = digits.parse().map_err(|_| hint())?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is not negative, and what is too large is as fast as the line"
    )]
    let bytes = (number * unit) as u64;
    NonZeroU64::new(bytes)
        .ok_or_else(|| "a rate of 0 sends nothing; `imgn pause` holds uploads back".to_owned())
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
        for (arguments, is_understood) in [
            (&["imgn", "pause"][..], false),
            (&["imgn", "pause", "--all"], true),
            (&["imgn", "cancel", "--all"], true),
            (&["imgn", "resume"], true),
            (&["imgn", "upload", "-r", "--keep-gps", "a"], true),
            (&["imgn", "upload", "--clipboard"], true),
            (&["imgn", "upload"], false),
            (&["imgn", "upload", "--jobs", "65", "a"], false),
            (&["imgn", "thumb", "a", "--out", "b"], true),
            (&["imgn", "sync", "--originals"], true),
            (&["imgn", "list", "--offline", "--search", "a b"], true),
            (&["imgn", "cache", "stats"], true),
            (&["imgn", "cache"], false),
            (&["imgn", "completions", "bash"], true),
            (&["imgn", "completions", "sh"], false),
            (&["imgn", "thumb", "a"], false),
            (&["imgn", "thumb", "a", "--out", "b", "--size", "0"], false),
        ] {
            assert_eq!(
                Cli::try_parse_from(arguments).is_ok(),
                is_understood,
                "{arguments:?}"
            );
        }
    }

    #[test]
    fn rates_are_taken_as_people_write_them() {
        for (text, bytes) in [
            ("2M", 2 << 20),
            ("1.5m", 3 << 19),
            ("500k", 500 << 10),
            ("1GiB", 1 << 30),
            ("800000", 800_000),
            ("1b", 1),
        ] {
            assert_eq!(rate(text).map(NonZeroU64::get), Ok(bytes), "{text}");
        }
        for text in [
            "", "M", "-1M", "1e3", "2 M", "2M/s", "fast", "0", "0k", "1.2.3", "infinity",
        ] {
            assert!(rate(text).is_err(), "{text}");
        }
    }
}
