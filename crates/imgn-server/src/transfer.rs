//! The commands `export` and `import` of the program: their flags, what they say while they are at it, and what at last.
//!
//! Not here: what a backup is. Invariant: standard output has one line, when all is done; what is wrong is on standard error,
//! a line each.

use std::{
    future::Future,
    io::{self, IsTerminal as _, Write as _},
    path::PathBuf,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use clap::Args;
use imgn_server::{
    Config,
    backup::{ExportOptions, ImportOptions, Progress, Watcher, export, import},
    settings::{Place, Serve},
};

/// How often progress is told on a terminal, and where there is none.
const ON_A_TERMINAL: Duration = Duration::from_millis(500);
const IN_A_LOG: Duration = Duration::from_secs(60);

#[derive(Debug, Args)]
pub(super) struct Export {
    #[command(flatten)]
    serve: Serve,
    /// Where to. What an earlier export of the gallery left there stays, and only what is missing is fetched.
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Read the files that are there too, and fetch again what is damaged.
    #[arg(long)]
    verify: bool,
    /// Remove the files of pictures that are not in the gallery any more.
    #[arg(long)]
    prune: bool,
}

#[derive(Debug, Args)]
pub(super) struct Import {
    #[command(flatten)]
    serve: Serve,
    /// Where from: a directory of `imgn-server export`.
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// The gallery has moved: this is its last state, and clients go on here with what they have of it. Left out, it is another
    /// gallery with the same pictures, as after a restore of an older state; clients fetch their lists anew.
    #[arg(long = "move")]
    moved: bool,
    /// Only give the store what it does not have, and publish nothing: what takes long before a move, done while the old
    /// gallery still serves.
    #[arg(long, conflicts_with = "moved")]
    objects_only: bool,
}

impl Export {
    pub(super) async fn run(self, place: Place) -> anyhow::Result<()> {
        let config = self.serve.config(place);
        let options = ExportOptions {
            directory: self.directory,
            verify: self.verify,
            prune: self.prune,
        };
        let progress = Progress::default();
        let done = watch(
            "exported",
            &progress,
            export(&config, &options, watcher(&progress)),
        );
        let done = Box::pin(done).await?;
        let mut said = format!(
            "{} pictures, {}, are in {}: {} were there already",
            done.pictures,
            size(done.bytes),
            options.directory.display(),
            done.pictures.saturating_sub(done.fetched),
        );
        if options.prune {
            said += &format!(
                "; the files of {} that are deleted were removed",
                done.pruned
            );
        }
        if done.went_on {
            said += "; the gallery went on meanwhile, which the next export has";
        }
        super::say(&format!("{said}."))?;
        ensure!(
            done.left_out == 0,
            "{} pictures are broken in the gallery itself and not in the backup; the lines above name them. Delete them there, or \
             mend its store",
            done.left_out
        );
        Ok(())
    }
}

impl Import {
    pub(super) async fn run(self, place: Place) -> anyhow::Result<()> {
        let config: Config = self.serve.config(place);
        let options = ImportOptions {
            directory: self.directory,
            moved: self.moved,
            objects_only: self.objects_only,
        };
        let progress = Progress::default();
        let done = watch(
            "stored",
            &progress,
            import(&config, &options, watcher(&progress)),
        );
        let done = Box::pin(done).await.context("nothing was imported")?;
        let (pictures, bytes) = (done.pictures, size(done.bytes));
        let said = match (options.objects_only, options.moved) {
            (true, _) => format!(
                "The store has all objects of {pictures} pictures, {bytes}; nothing was published"
            ),
            (false, true) => format!(
                "{pictures} pictures, {bytes}, are published, as the gallery that they were"
            ),
            (false, false) => {
                format!("{pictures} pictures, {bytes}, are published, as another gallery")
            }
        };
        let mut said = format!("{said}; {} objects were stored now", done.stored);
        if done.left_out > 0 {
            said += &format!(
                "; {} pictures were broken when it was exported, and are not in it",
                done.left_out
            );
        }
        super::say(&format!("{said}."))
    }
}

fn watcher(progress: &Progress) -> Watcher<'_> {
    Watcher {
        progress,
        trouble: &|what| tell(what, false),
    }
}

/// Says how far it is until it is over.
async fn watch<T>(what: &str, progress: &Progress, work: impl Future<Output = T>) -> T {
    let on_a_terminal = io::stderr().is_terminal();
    let every = match on_a_terminal {
        true => ON_A_TERMINAL,
        false => IN_A_LOG,
    };
    let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + every, every);
    let mut work = std::pin::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => {
                if on_a_terminal {
                    tell("", true);
                }
                return done;
            }
            _ = ticks.tick() => {
                let (done, pictures, bytes) = progress.now();
                if pictures > 0 {
                    let line = format!("{done} of {pictures} pictures {what}, {} moved", size(bytes));
                    tell(&line, on_a_terminal);
                }
            }
        }
    }
}

/// A line on standard error; one that passes is in the place of the one before.
fn tell(line: &str, passes: bool) {
    let mut out = io::stderr().lock();
    // Nobody is left to tell if standard error is gone.
    let _ = match passes {
        true => write!(out, "\r\x1b[K{line}").and_then(|()| out.flush()),
        false => writeln!(out, "imgn-server: {line}"),
    };
}

fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let mut unit = None;
    let mut value = bytes as f64;
    for next in UNITS {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = Some(next);
    }
    match unit {
        Some(unit) => format!("{value:.1} {unit}"),
        None => format!("{bytes} bytes"),
    }
}
