//! `@uppy/companion`, which signs requests for Uppy's S3 plugin as imgn-server does.
//!
//! In Node's production mode: as the program that it is by itself, which has request ids and a log, as imgn-server has, and
//! sessions; and inside another program, without all of these. Invariant: what is installed is below the target directory.

use std::{
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};

use super::load;
use crate::{bench::ended::Ended, process, project::Project, setup};

const SCRIPT: &str = include_str!("companion.mjs");

const START: Duration = Duration::from_secs(60);

/// How it is run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// By itself.
    Program,
    /// With nothing around it.
    Middleware,
}

pub(super) struct Companion {
    process: Ended,
    pub(super) address: SocketAddr,
}

impl Companion {
    /// Whether it has its turn. In the others' it stands still: Node uses its rest to collect its garbage, on the core
    /// that they are measured on.
    pub(super) fn has_its_turn(&self, its: bool) -> Result<()> {
        let signal = if its { "-CONT" } else { "-STOP" };
        let id = self.process.0.id().to_string();
        process::run_silently(Command::new("kill").args([signal, &id])).context("kill")
    }

    pub(super) fn start(project: &Project, kind: Kind) -> Result<Self> {
        let directory = setup::companion(project)?;
        let script = directory.join("companion.mjs");
        fs::write(&script, SCRIPT)?;
        let files = directory.join("files");
        fs::create_dir_all(&files)?;
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let process = load::on_its_core("node")
            .arg(script)
            .arg(files)
            .arg(address.port().to_string())
            .args((kind == Kind::Middleware).then_some("middleware"))
            .env("NODE_ENV", "production")
            .current_dir(&directory)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(directory.join("log"))?)
            .spawn()
            .context("could not start node")?;
        let mut process = Ended(process);
        let begun = Instant::now();
        while TcpStream::connect(address).is_err() {
            let is_alive = process.0.try_wait()?.is_none();
            ensure!(
                is_alive && begun.elapsed() < START,
                "Companion did not start; see {}",
                directory.join("log").display()
            );
            sleep(Duration::from_millis(50));
        }
        Ok(Self { process, address })
    }
}
