//! An S3 store beside the server, in a process of its own, and a server that keeps its pictures there.
//!
//! Not SeaweedFS, which the testkit starts. Invariant: a store that is started again has what it had, at the same address.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Result;
use imgn_testkit::{
    process::{Running, ServerProcess, program},
    s3::{Engine, Target},
};

/// A store of imgn's own in a process of its own, which can be killed and started again at the same address.
pub(crate) struct Store {
    directory: PathBuf,
    pub(crate) target: Target,
    running: Running,
}

impl Store {
    pub(crate) fn start(directory: &Path) -> Result<Self> {
        let port = std::net::TcpListener::bind("127.0.0.1:0")?
            .local_addr()?
            .port();
        let target = Target {
            endpoint: format!("http://127.0.0.1:{port}"),
            bucket: "pictures".to_owned(),
            access_key: "access".to_owned(),
            secret_key: "secretsecret".to_owned(),
            engine: Engine::ImgnStore,
        };
        Ok(Self {
            running: Self::spawn(directory, &target)?,
            directory: directory.to_owned(),
            target,
        })
    }

    fn spawn(directory: &Path, target: &Target) -> Result<Running> {
        let mut command = Command::new(program("serve")?);
        command
            .arg(target.host()?)
            .arg(directory.join("bucket"))
            .args([&target.access_key, &target.secret_key, &target.bucket]);
        let (running, _) = Running::start(command, &directory.join("store.log"))?;
        Ok(running)
    }

    pub(crate) fn kill_and_restart(&mut self) -> Result<()> {
        self.running.kill();
        self.running = Self::spawn(&self.directory, &self.target)?;
        Ok(())
    }
}

/// A server whose store, for itself and for its clients, is behind `endpoint`.
pub(crate) fn server(
    directory: &Path,
    target: &Target,
    endpoint: &str,
    more: &[&str],
) -> Result<ServerProcess> {
    let mut arguments = vec![
        "--storage",
        "s3",
        "--s3-endpoint",
        endpoint,
        "--s3-bucket",
        &target.bucket,
        "--s3-region",
        "us-east-1",
        "--s3-path-style",
    ];
    arguments.extend(more);
    ServerProcess::start_with(
        directory,
        &arguments,
        &[
            ("AWS_ACCESS_KEY_ID", &target.access_key),
            ("AWS_SECRET_ACCESS_KEY", &target.secret_key),
        ],
    )
}
