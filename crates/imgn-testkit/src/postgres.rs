//! A real PostgreSQL of a test's own.
//!
//! Not a dependency of the product. Invariant: its processes end, and its directory goes, with the handle.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;

use crate::process::eventually;

/// Where Debian's package `postgresql-15` and its kin have their programs, a folder for each version.
const DEBIAN: &str = "/usr/lib/postgresql";

/// The user that it runs as where the test is root's, which it refuses to be.
const USER: &str = "postgres";

/// The password of its owner. It is looked for in what must not tell it.
pub const PASSWORD: &str = "only-for-tests";

const START: Duration = Duration::from_secs(60);

/// A running PostgreSQL.
#[derive(Debug)]
pub struct PostgreSql {
    child: Child,
    port: u16,
    directory: TempDir,
}

/// See [`PostgreSql::hold`]. What was done is undone when it is dropped.
#[derive(Debug)]
pub struct Held(Child);

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl PostgreSql {
    /// Starts an empty one on a free port.
    ///
    /// # Errors
    /// Says what to install when it is not there.
    pub async fn start() -> Result<Self> {
        let directory = tempfile::tempdir()?;
        if is_root() {
            let owned = Command::new("chown")
                .arg(USER)
                .arg(directory.path())
                .status()?;
            ensure!(owned.success(), "cannot give a directory to {USER}");
        }
        let password = directory.path().join("password");
        fs::write(&password, PASSWORD)?;
        let made = command("initdb", directory.path())?
            .args(["--no-sync", "--username=imgn", "--auth=scram-sha-256"])
            .args(["--encoding=UTF8", "--locale=C.UTF-8", "--pwfile=password"])
            .arg("--pgdata=data")
            .output()?;
        let told = String::from_utf8_lossy(&made.stderr);
        ensure!(made.status.success(), "initdb failed: {told}");
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut started = Self {
            child: Self::spawn(directory.path(), port)?,
            port,
            directory,
        };
        started.wait().await?;
        Ok(started)
    }

    /// Ends it at once, as by a crash: all connections break.
    pub fn stop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(None)) {
            return;
        }
        // Its own processes end with it.
        let _ = Command::new("kill")
            .args(["-QUIT", &self.child.id().to_string()])
            .status();
        let _ = self.child.wait();
    }

    /// Starts it again on what it had, at the same port, after [`Self::stop`].
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start_again(&mut self) -> Result<()> {
        self.child = Self::spawn(self.directory.path(), self.port)?;
        self.wait().await
    }

    fn spawn(directory: &Path, port: u16) -> Result<Child> {
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(directory.join("log"))?;
        Ok(command("postgres", directory)?
            .args(["-D", "data", "-h", "127.0.0.1", "-c", "fsync=off", "-k"])
            .arg(directory)
            .arg(format!("-p{port}"))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()?)
    }

    /// A URL of its only database, with the password.
    #[must_use]
    pub fn url(&self) -> String {
        format!(
            "postgres://imgn:{PASSWORD}@127.0.0.1:{}/postgres",
            self.port
        )
    }

    /// Somebody who has done this in a transaction of theirs, and neither commits it nor undoes it for ten minutes.
    ///
    /// # Errors
    /// When it cannot be done.
    pub async fn hold(&self, statements: &str) -> Result<Held> {
        let psql = |statements: &str| -> Result<Command> {
            let mut command = Command::new(programs()?.join("psql"));
            command.args(["-XAtq", "-d", &self.url(), "-c", statements]);
            Ok(command)
        };
        let held = psql(&format!("{statements}; SELECT pg_sleep(600)"))?
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let held = Held(held);
        eventually("it is held", START, async || {
            let asked =
                psql("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'")?.output()?;
            Ok((!asked.stdout.is_empty()).then_some(()))
        })
        .await?;
        Ok(held)
    }

    async fn wait(&mut self) -> Result<()> {
        let is_ready = programs()?.join("pg_isready");
        let (child, port) = (&mut self.child, self.port.to_string());
        eventually("PostgreSQL answers", START, async || {
            let ended = child.try_wait()?;
            ensure!(ended.is_none(), "PostgreSQL ended: {ended:?}");
            let asked = Command::new(&is_ready)
                .args(["-q", "-h", "127.0.0.1", "-p", &port])
                .status()?;
            Ok(asked.success().then_some(()))
        })
        .await
    }
}

impl Drop for PostgreSql {
    fn drop(&mut self) {
        self.stop();
    }
}

/// One of its programs, in a directory, by a user that it lets run it.
fn command(program: &str, directory: &Path) -> Result<Command> {
    let program = programs()?.join(program);
    let mut command = match is_root() {
        true => {
            let mut command = Command::new("setpriv");
            command.args(["--reuid", USER, "--regid", USER, "--init-groups"]);
            command.arg(program);
            command
        }
        false => Command::new(program),
    };
    command.current_dir(directory).stdin(Stdio::null());
    Ok(command)
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;

    fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

fn programs() -> Result<PathBuf> {
    let versions = fs::read_dir(DEBIAN).into_iter().flatten().flatten();
    versions
        .map(|version| version.path().join("bin"))
        .filter(|programs| programs.join("initdb").is_file())
        .max()
        .with_context(|| format!("no PostgreSQL in {DEBIAN}: install Debian's `postgresql-15`"))
}
