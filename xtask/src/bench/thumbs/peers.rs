//! The programs that imgn is compared with, and how each is started: on two workers, at the same quality, turned
//! upright, metadata left out.
//!
//! - `vipsthumbnail` of Debian: two processes at a time, as many files each as make no difference to their start.
//! - `sharp` from npm: two pictures at a time, each on one thread.
//!
//! Invariant: what is installed is below the target directory, but for Debian's packages.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::Result;

use crate::{process, project::Project, setup};

/// From npm.
const SHARP: &str = "sharp@0.35.5";

const SCRIPT: &str = include_str!("sharp.mjs");

pub(super) struct Peers {
    directory: PathBuf,
}

impl Peers {
    /// Installs them if they are not there.
    pub(super) fn install(project: &Project) -> Result<Self> {
        let directory = project.scratch().join("sharp");
        let stamp = directory.join("installed");
        fs::create_dir_all(&directory)?;
        fs::write(directory.join("thumbnails.mjs"), SCRIPT)?;
        if !fs::read_to_string(&stamp).is_ok_and(|installed| installed == SHARP) {
            println!("Installing {SHARP} from npm into {}", directory.display());
            let arguments = ["install", "--no-save", "--no-audit", "--no-fund", SHARP];
            process::run(setup::npm(&directory).args(arguments))?;
            fs::write(&stamp, SHARP)?;
        }
        Ok(Self { directory })
    }

    pub(super) fn vips(&self, pictures: &[PathBuf], to: &Path, size: u32) -> Result<Command> {
        // `xargs` waits for both processes, and is charged with what they used.
        let list = self.directory.join("pictures");
        let mut file = fs::File::create(&list)?;
        for picture in pictures {
            writeln!(file, "{}", picture.display())?;
        }
        let mut command = Command::new("xargs");
        let each = pictures.len().div_ceil(2).min(16);
        command
            .args(["--max-procs", "2", "--max-args", &each.to_string()])
            .args(["vipsthumbnail", "--size", &size.to_string(), "--output"])
            .arg(to.join("%s.jpg[Q=80,strip]"))
            .env("VIPS_CONCURRENCY", "1")
            .stdin(Stdio::from(fs::File::open(list)?));
        Ok(command)
    }

    pub(super) fn sharp(&self, pictures: &[PathBuf], to: &Path, size: u32) -> Command {
        let mut command = Command::new("node");
        command
            .arg(self.directory.join("thumbnails.mjs"))
            .arg(size.to_string())
            .arg(to)
            .args(pictures);
        command
    }
}
