//! What is uploaded to: an S3 engine for the peers, a gallery for imgn, and the lines to both.
//!
//! With SeaweedFS, the gallery keeps its pictures in the very engine that the peers write to. With the embedded store,
//! the gallery has one in its own process and the peers get one of their own, on the same disk.
//!
//! Invariant: everything ends with its handle, and all that was stored goes with the directory that it was given.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, ChildStderr, Command, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};

use super::{
    super::ended::Ended,
    peers::{Peer, Peers},
};
use crate::{process, project::Project, setup};

pub(super) const ACCESS_KEY: &str = "bench";
pub(super) const SECRET_KEY: &str = "bench-secret-key";
pub(super) const BUCKET: &str = "bench";

/// What the gallery's own requests to its store say that they are of. They take no line: a gallery is beside its store.
const GALLERY_AGENT: &str = "aws-sdk-rust/";

/// Above the largest file, which the gallery's default is not.
const MAX_SIZE: &str = "1100M";

/// SeaweedFS answers after about 4 s; a loaded machine takes longer.
const START: Duration = Duration::from_secs(90);

/// How long what was left to do behind an answer may take before the next run starts all the same.
const SETTLE: Duration = Duration::from_secs(300);

/// How long nothing has to happen, and what counts as nothing: hundredths of a second of processor time.
const QUIET: Duration = Duration::from_millis(500);
const QUIET_TICKS: u64 = 3;

/// How far the reader of the server's log may be behind.
const LOG_DELAY: Duration = Duration::from_secs(2);

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Engine {
    SeaweedFs,
    Embedded,
}

/// The way between client and engine.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Loopback,
    /// A round trip takes this long.
    Distant(Duration),
    /// Each direction carries so many bits a second.
    Narrow(u64),
}

pub(super) struct Engines {
    /// Where the peers upload to.
    pub(super) endpoint: String,
    pub(super) gallery: Gallery,
    /// Whose work is waited for between two runs.
    workers: Vec<u32>,
    _processes: Vec<Ended>,
}

pub(super) struct Gallery {
    url: String,
    token: String,
    program: PathBuf,
    completed: Arc<Mutex<BTreeMap<String, Instant>>>,
}

impl Engines {
    /// Starts all that one row needs, with what they keep in `place`.
    pub(super) fn start(
        project: &Project,
        peers: &Peers,
        engine: Engine,
        way: Way,
        place: &Path,
    ) -> Result<Self> {
        let release = project.target.join("release");
        let mut processes = Vec::new();
        let mut workers = Vec::new();
        let upstream = match engine {
            Engine::SeaweedFs => {
                let (child, address) = seaweedfs(&setup::seaweedfs(project)?, place)?;
                workers.push(child.0.id());
                processes.push(child);
                make_bucket(peers, &address, place)?;
                address
            }
            Engine::Embedded => {
                let mut store = Command::new(release.join("examples/serve"));
                store.arg("127.0.0.1:0").arg(place.join("store"));
                store.args([ACCESS_KEY, SECRET_KEY, BUCKET]);
                let (child, address) = announced(store, place, "store")?;
                workers.push(child.0.id());
                processes.push(child);
                address
            }
        };
        let line = release.join("examples/line");
        let mut behind = |address: &str, name: &str| -> Result<String> {
            Ok(match line_to(&line, address, way) {
                None => format!("http://{address}"),
                Some(line) => {
                    let (child, address) = announced(line, place, name)?;
                    processes.push(child);
                    format!("http://{address}")
                }
            })
        };
        let endpoint = behind(&upstream, "line-store")?;
        let listen = format!("127.0.0.1:{}", free_port()?);
        let url = behind(&listen, "line-gallery")?;

        let server = release.join("imgn-server");
        let data = place.join("gallery");
        let mut add = imgn(&server);
        add.args(["token", "add", "bench", "--role", "admin", "--data-dir"])
            .arg(&data);
        let token = process::output(&mut add)?.trim().to_owned();
        let mut serve = imgn(&server);
        serve
            .args(["serve", "--listen", &listen, "--public-url", &url])
            .args(["--max-size", MAX_SIZE, "--data-dir"])
            .arg(&data)
            .env("RUST_LOG", "warn,imgn_server=debug")
            .env("AWS_ACCESS_KEY_ID", ACCESS_KEY)
            .env("AWS_SECRET_ACCESS_KEY", SECRET_KEY);
        if engine == Engine::SeaweedFs {
            serve.args(["--storage", "s3", "--s3-path-style"]).args([
                "--s3-endpoint",
                &endpoint,
                "--s3-bucket",
                BUCKET,
            ]);
        }
        let mut child = serve
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("could not start imgn-server")?;
        let log = child.stderr.take().context("a pipe was asked for")?;
        let completed = Arc::default();
        note_completions(
            log,
            Arc::clone(&completed),
            File::create(place.join("server.log"))?,
        );
        let listening = process::listening_url(&mut child);
        workers.push(child.id());
        processes.push(Ended(child));
        listening.with_context(|| format!("see {}", place.join("server.log").display()))?;
        Ok(Self {
            endpoint,
            gallery: Gallery {
                url,
                token,
                program: release.join("imgn"),
                completed,
            },
            workers,
            _processes: processes,
        })
    }

    /// Waits until the engines have done what they still had to do, and the disk has what was written.
    pub(super) fn settle(&self) -> Result<()> {
        let start = Instant::now();
        process::output(&mut Command::new("sync"))?;
        let mut before = self.ticks()?;
        while start.elapsed() < SETTLE {
            sleep(QUIET);
            let now = self.ticks()?;
            if now - before <= QUIET_TICKS {
                break;
            }
            before = now;
        }
        process::output(&mut Command::new("sync"))?;
        Ok(())
    }

    /// What the engines have used of the processor, in hundredths of a second.
    fn ticks(&self) -> Result<u64> {
        let mut sum = 0;
        for id in &self.workers {
            let stat = fs::read_to_string(format!("/proc/{id}/stat"))?;
            // Behind the name, which may hold anything.
            let (_, fields) = stat.rsplit_once(')').context("a process's state")?;
            let used: Vec<u64> = fields
                .split_whitespace()
                .skip(11)
                .take(2)
                .filter_map(|field| field.parse().ok())
                .collect();
            sum += used.iter().sum::<u64>();
        }
        Ok(sum)
    }
}

impl Gallery {
    /// Uploads `files`, with all that the client keeps in `home`.
    pub(super) fn upload(&self, files: &[PathBuf], home: &Path) -> Command {
        let mut command = imgn(&self.program);
        command
            .arg("--home")
            .arg(home)
            .args(["--server", &self.url, "--quiet", "upload"])
            .args(files)
            .env("IMGN_TOKEN", &self.token);
        command
    }

    /// Forgets which uploads were completed.
    pub(super) fn forget(&self) {
        self.completed().clear();
    }

    /// When the last of `count` uploads had its `complete` answered for the first time, if all had.
    pub(super) fn all_completed(&self, count: usize) -> Option<Instant> {
        let start = Instant::now();
        // The log may be read a moment after the client has heard the answer.
        while self.completed().len() < count && start.elapsed() < LOG_DELAY {
            sleep(Duration::from_millis(10));
        }
        let completed = self.completed();
        (completed.len() == count)
            .then(|| completed.values().max().copied())
            .flatten()
    }

    fn completed(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Instant>> {
        self.completed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads the server's log as it is written, for the moment at which each `complete` was answered with success.
fn note_completions(
    log: ChildStderr,
    completed: Arc<Mutex<BTreeMap<String, Instant>>>,
    mut file: File,
) {
    std::thread::spawn(move || {
        for line in BufReader::new(log).lines() {
            let Ok(line) = line else { return };
            if let Some(path) = completion(&line) {
                let mut completed = completed.lock().unwrap_or_else(PoisonError::into_inner);
                completed
                    .entry(path.to_owned())
                    .or_insert_with(Instant::now);
            } else if !line.contains(" DEBUG ") {
                // What is left of the log if something goes wrong.
                let _ = writeln!(file, "{line}");
            }
        }
    });
}

/// The path of a request to complete an upload, if the line says that it was answered with success.
fn completion(line: &str) -> Option<&str> {
    let (span, answer) = line.split_once("}: ")?;
    let (_, path) = span.rsplit_once("path=\"")?;
    let path = path.strip_suffix('"')?;
    let is_answer = answer.contains("answered status=20");
    (is_answer && path.ends_with("/complete")).then_some(path)
}

/// One of our programs, without what the surroundings say to it.
fn imgn(program: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        let upper = name.to_string_lossy().to_ascii_uppercase();
        if upper.ends_with("_PROXY") || upper.starts_with("IMGN_") || upper.starts_with("AWS_") {
            command.env_remove(name);
        }
    }
    command
}

fn line_to(program: &Path, address: &str, way: Way) -> Option<Command> {
    let (milliseconds, bytes) = match way {
        Way::Loopback => return None,
        Way::Distant(round_trip) => (round_trip.as_millis(), 0),
        Way::Narrow(bits) => (0, bits / 8),
    };
    let mut command = Command::new(program);
    command
        .args(["127.0.0.1:0", address])
        .args([milliseconds.to_string(), bytes.to_string()])
        .arg(GALLERY_AGENT);
    Some(command)
}

/// Starts a program whose first line of output ends with its URL; answers `host:port` of that.
fn announced(mut command: Command, place: &Path, name: &str) -> Result<(Ended, String)> {
    let log = place.join(format!("{name}.log"));
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(File::create(&log)?)
        .spawn()
        .with_context(|| format!("could not start {command:?}"))?;
    let mut child = Ended(child);
    let line = first_line(&mut child.0)?;
    let address = line.trim_end().rsplit_once("http://");
    let (_, address) =
        address.with_context(|| format!("it did not start, see {}", log.display()))?;
    Ok((child, address.to_owned()))
}

fn first_line(child: &mut Child) -> Result<String> {
    let stdout = child.stdout.take().context("a pipe was asked for")?;
    let mut stdout = BufReader::new(stdout);
    let mut line = String::new();
    stdout.read_line(&mut line)?;
    // Keep the pipe open, so that the program can write to it.
    std::thread::spawn(move || stdout.read_to_end(&mut Vec::new()));
    Ok(line)
}

/// Answers `host:port` of its S3 endpoint, which may not answer yet.
fn seaweedfs(weed: &Path, place: &Path) -> Result<(Ended, String)> {
    let identities = serde_json::json!({"identities": [{
        "name": "admin",
        "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }]});
    let config = place.join("s3.json");
    fs::write(&config, identities.to_string())?;
    let data = place.join("seaweedfs");
    fs::create_dir_all(&data)?;
    let [master, volume, filer, s3] = free_ports()?;
    let child = Command::new(weed)
        // Without a bound it takes more than a gigabyte.
        .env("GOMEMLIMIT", "600MiB")
        .args(["-logtostderr", "server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"])
        .args(["-master.volumeSizeLimitMB=1024", "-volume.max=60"])
        .args(["-s3", "-iam=false", "-s3.autoCreateBucket=false"])
        .args(["-s3.concurrentUploadLimitMB=64", "-s3.port.iceberg=0"])
        .arg("-s3.port.lance=0")
        .arg(format!("-master.port={master}"))
        .arg(format!("-volume.port={volume}"))
        .arg(format!("-filer.port={filer}"))
        .arg(format!("-s3.port={s3}"))
        .arg(format!("-dir={}", data.display()))
        .arg(format!("-s3.config={}", config.display()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(place.join("seaweedfs.log"))?)
        .spawn()
        .with_context(|| format!("could not start {}", weed.display()))?;
    Ok((Ended(child), format!("127.0.0.1:{s3}")))
}

/// Makes the bucket, and waits until it takes an object: it can be made before the volumes can be written.
fn make_bucket(peers: &Peers, address: &str, place: &Path) -> Result<()> {
    let endpoint = format!("http://{address}");
    let probe = place.join("probe");
    fs::create_dir_all(&probe)?;
    fs::write(probe.join("ready"), "ready")?;
    let start = Instant::now();
    loop {
        // Whether this one worked shows in the next.
        let _ = quiet(&mut peers.make_bucket(&endpoint, place)?)?;
        let mut put = peers.upload(Peer::S5cmd, &endpoint, &probe, "ready", place)?;
        if quiet(&mut put)? {
            return Ok(());
        }
        ensure!(
            start.elapsed() < START,
            "SeaweedFS took no object in {START:?}"
        );
        sleep(Duration::from_millis(200));
    }
}

fn quiet(command: &mut Command) -> Result<bool> {
    let program = command.get_program().display().to_string();
    let status = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    Ok(status.context(program)?.success())
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Ports that were free a moment ago, whose number plus 10000 (where SeaweedFS puts its gRPC services) is free as
/// well. All are held until the last is found. Each call looks elsewhere: a port may stay bound for some seconds after
/// its program was told to end, and others look for ports as well.
fn free_ports<const N: usize>() -> Result<[u16; N]> {
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    let calls = CALLS.fetch_add(1, Ordering::Relaxed);
    let start = (std::process::id() as usize + calls * 50) % 1700;
    let mut held = Vec::new();
    let mut ports = Vec::new();
    let candidates = (20_000_u16..32_000).step_by(7);
    for port in candidates.cycle().skip(start).take(1700) {
        let pair = [port, port + 10_000].map(|port| TcpListener::bind(("127.0.0.1", port)));
        if pair.iter().all(Result::is_ok) {
            held.push(pair);
            ports.push(port);
        }
        if ports.len() == N {
            break;
        }
    }
    ports.try_into().ok().context("no free ports")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_answered_completion_counts() {
        let line = |method: &str, path: &str, rest: &str| {
            format!(
                "2026-01-01T00:00:00Z DEBUG request{{id=1 method={method} path=\"{path}\"}}: imgn_server::routes: {rest}"
            )
        };
        let path = "/v1/uploads/019/complete";
        let answered = line("POST", path, "answered status=202 ms=3");
        assert_eq!(completion(&answered), Some(path));
        assert_eq!(
            completion(&line("POST", path, "answered status=409 ms=3")),
            None
        );
        let other = line("GET", "/v1/uploads/019", "answered status=200 ms=3");
        assert_eq!(completion(&other), None);
    }
}
