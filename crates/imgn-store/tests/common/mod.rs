//! The store as a process of its own, on a directory that outlives its restarts.

#![allow(
    dead_code,
    clippy::allow_attributes,
    reason = "each test program uses its own part of this"
)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use imgn_testkit::process::{Running, files_below, program};
use imgn_testkit::s3::{Engine, Target};
use tempfile::TempDir;

const ACCESS_KEY: &str = "test-access";
const SECRET_KEY: &str = "test-secret";
pub(crate) const BUCKET: &str = "pictures";

/// The `serve` example.
pub(crate) struct StoreProcess {
    running: Running,
    target: Target,
    root: PathBuf,
    log: PathBuf,
    _directory: TempDir,
}

impl StoreProcess {
    /// Starts on an empty directory.
    pub(crate) fn start() -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let root = directory.path().join("store");
        Self::start_on(directory, root)
    }

    /// Starts on a directory of the caller's, such as a small file system.
    pub(crate) fn start_in(root: &Path) -> Result<Self> {
        Self::start_on(tempfile::tempdir()?, root.to_owned())
    }

    fn start_on(directory: TempDir, root: PathBuf) -> Result<Self> {
        let log = directory.path().join("log");
        let (running, endpoint) = spawn("127.0.0.1:0", &root, &log)?;
        let target = Target {
            endpoint,
            bucket: BUCKET.into(),
            access_key: ACCESS_KEY.into(),
            secret_key: SECRET_KEY.into(),
            engine: Engine::ImgnStore,
        };
        Ok(Self {
            running,
            target,
            root,
            log,
            _directory: directory,
        })
    }

    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.running.kill();
    }

    /// SIGTERM, and the exit code.
    pub(crate) fn terminate(&mut self) -> Result<Option<i32>> {
        self.running.terminate(Duration::from_secs(10))
    }

    /// Starts again on the same directory and address.
    pub(crate) fn restart(&mut self) -> Result<()> {
        let address = self.target.host()?.to_owned();
        let (running, endpoint) = spawn(&address, &self.root, &self.log)?;
        assert_eq!(endpoint, self.target.endpoint);
        self.running = running;
        Ok(())
    }

    /// The most memory it ever had, in bytes.
    pub(crate) fn peak_memory(&self) -> Result<u64> {
        self.running.peak_memory()
    }

    /// The bucket's directory.
    pub(crate) fn directory(&self) -> PathBuf {
        self.root.join(BUCKET)
    }

    /// The files in a part of the bucket's directory.
    pub(crate) fn files(&self, part: &str) -> Result<Vec<PathBuf>> {
        let files = files_below(&self.directory().join(part))?;
        Ok(files.into_iter().map(|(path, _)| path).collect())
    }
}

fn spawn(address: &str, root: &Path, log: &Path) -> Result<(Running, String)> {
    let mut command = Command::new(program("serve")?);
    command
        .arg(address)
        .arg(root)
        .args([ACCESS_KEY, SECRET_KEY, BUCKET]);
    let (running, line) = Running::start(command, log)?;
    let endpoint = line
        .strip_prefix("imgn-store listening on ")
        .context("the line that says where it listens")?;
    Ok((running, endpoint.to_owned()))
}
