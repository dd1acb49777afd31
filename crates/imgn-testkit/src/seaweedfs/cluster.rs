//! SeaweedFS as several processes: a master, a filer with the S3 gateway, and volume servers that each keep a copy of what
//! another one has, so that any one of them may go.
//!
//! Invariant: all processes end, and their directory goes, with the handle.

use std::{
    fs::{self, File},
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;

use super::{ATTEMPTS, GATEWAY, answers, free_ports, program, target_at, write_identities};
use crate::s3::Target;

/// Two copies, on different servers of one rack.
const REPLICATION: &str = "001";

/// A running cluster of three volume servers.
#[derive(Debug)]
pub struct Cluster {
    master: Child,
    filer: Option<Child>,
    volumes: [Option<Child>; 3],
    ports: [u16; 6],
    target: Target,
    directory: TempDir,
}

impl Cluster {
    /// Starts it on free ports with an empty bucket.
    ///
    /// # Errors
    /// Says what to set when the program is not there.
    pub async fn start() -> Result<Self> {
        let mut said = String::new();
        for _ in 0..ATTEMPTS {
            let mut started = Self::spawn()?;
            let Self {
                master,
                filer,
                target,
                ..
            } = &mut started;
            let is_there = answers(target, || {
                let has_ended =
                    |child: &mut Child| Ok::<_, std::io::Error>(child.try_wait()?.is_some());
                let filer = filer.as_mut().map(has_ended).transpose()?;
                Ok(filer == Some(true) || has_ended(master)?)
            });
            if is_there.await? {
                return Ok(started);
            }
            // Its ports were free a moment ago: another one was quicker.
            said = started.last_words();
        }
        bail!("SeaweedFS ended {ATTEMPTS} times before it answered:\n{said}")
    }

    /// The ends of the logs of those whose end is the cluster's.
    fn last_words(&self) -> String {
        let mut said = String::new();
        for name in ["master", "filer"] {
            let log =
                fs::read(self.directory.path().join(format!("{name}.log"))).unwrap_or_default();
            let log = String::from_utf8_lossy(&log).into_owned();
            let lines: Vec<_> = log.lines().collect();
            let last = lines[lines.len().saturating_sub(8)..].join("\n");
            said += &format!("{name}:\n{last}\n");
        }
        said
    }

    fn spawn() -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let ports: [u16; 6] = free_ports()?;
        let [master, _, s3, ..] = ports;
        let mut command = weed(&directory, "master")?;
        command
            .args(["-peers=none", "-telemetry=false", "-volumeSizeLimitMB=64"])
            .arg(format!("-defaultReplication={REPLICATION}"))
            .arg(format!("-port={master}"))
            .arg(format!("-mdir={}", folder(&directory, "master")?.display()));
        let mut cluster = Self {
            master: command.spawn()?,
            filer: None,
            volumes: [None, None, None],
            ports,
            target: target_at(s3),
            directory,
        };
        for number in 0..cluster.volumes.len() {
            cluster.start_volume_server(number)?;
        }
        cluster.start_filer()?;
        Ok(cluster)
    }

    /// Its endpoint.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// `kill -9` of one of the volume servers, 0 to 2.
    pub fn kill_volume_server(&mut self, number: usize) {
        if let Some(mut child) = self.volumes[number].take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Starts one on what it has, where it was.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_volume_server(&mut self, number: usize) -> Result<()> {
        let name = format!("volume{number}");
        let [master, ..] = self.ports;
        let mut command = weed(&self.directory, &name)?;
        command
            .args(["-max=30", "-minFreeSpace=100MiB"])
            .arg(format!("-master=127.0.0.1:{master}"))
            .arg(format!("-port={}", self.ports[3 + number]))
            .arg(format!(
                "-dir={}",
                folder(&self.directory, &name)?.display()
            ));
        self.volumes[number] = Some(command.spawn()?);
        Ok(())
    }

    fn start_filer(&mut self) -> Result<()> {
        let [master, filer, s3, ..] = self.ports;
        let config = write_identities(self.directory.path())?;
        let mut command = weed(&self.directory, "filer")?;
        command
            .args(GATEWAY)
            .arg(format!("-defaultReplicaPlacement={REPLICATION}"))
            .arg(format!("-master=127.0.0.1:{master}"))
            .arg(format!("-port={filer}"))
            .arg(format!("-s3.port={s3}"))
            .arg(format!("-s3.config={}", config.display()))
            .arg(format!(
                "-defaultStoreDir={}",
                folder(&self.directory, "filer")?.display()
            ));
        self.filer = Some(command.spawn()?);
        Ok(())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let volumes = self.volumes.iter_mut().flatten();
        for child in volumes.chain(&mut self.filer).chain([&mut self.master]) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// One of its programs, whose name may have a number, with a log of its own.
fn weed(directory: &TempDir, name: &str) -> Result<Command> {
    let log = File::options()
        .create(true)
        .append(true)
        .open(directory.path().join(format!("{name}.log")))?;
    let mut command = Command::new(program()?);
    command
        // Without a bound each takes more than a gigabyte.
        .env("GOMEMLIMIT", "150MiB")
        .args(["-logtostderr", name.trim_end_matches(|c: char| c.is_ascii_digit())])
        .args(["-ip=127.0.0.1", "-ip.bind=127.0.0.1"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log);
    Ok(command)
}

fn folder(directory: &TempDir, name: &str) -> Result<PathBuf> {
    let path = directory.path().join(name);
    fs::create_dir_all(&path).with_context(|| path.display().to_string())?;
    Ok(path)
}
