//! `cargo xtask bench resume`: what `kill -9` costs an upload of 1 GiB, at 10, 50 and 90 %.
//!
//! The client talks to a gallery with the embedded store through a watcher of TCP that lives in this process. It sees
//! when the head of a request that stores a part comes by, and counts bytes. What is told: how many parts were on their
//! way at the kill, how much more than the file was sent in the end, and how soon after its start `imgn resume` sends
//! the first new byte. No peer is measured: none of those of `bench upload` resumes.
//!
//! Invariant: figures are told and never judged; a run whose picture is not published in the end is an error.

use std::{
    fs,
    io::{Read, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    path::Path,
    process::{Command, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread::{self, sleep},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};

use super::{Figure, ended::Ended, figure, upload::pictures};
use crate::{process, project::Project};

const MIB: f64 = (1_u64 << 20) as f64;
const SIZE: u64 = 1 << 30;

/// What the head of a request begins with that stores a part in the embedded store.
const PART: &[u8] = b"PUT /imgn-pictures/originals/";

/// How long anything may take before the bench gives up.
const PATIENCE: Duration = Duration::from_secs(300);

pub(super) fn measure(project: &Project) -> Result<Vec<Figure>> {
    let release = project.target.join("release");
    let scratch = project.scratch();
    fs::create_dir_all(&scratch)?;
    let mut figures = Vec::new();
    for percent in [10, 50, 90] {
        let place = tempfile::tempdir_in(&scratch)?;
        let run = run(&release, place.path(), percent)?;
        let mut row = |what: &str, value: f64, unit| {
            figures.push(figure(
                &format!("killed at {percent} %: {what}"),
                value,
                unit,
            ));
        };
        row("parts on their way", run.on_their_way as f64, "parts");
        row("sent more than once", run.again as f64 / MIB, "MiB");
        row(
            "first new byte after",
            run.first_byte.as_secs_f64() * 1000.0,
            "ms",
        );
    }
    Ok(figures)
}

struct Run {
    on_their_way: usize,
    again: u64,
    first_byte: Duration,
}

fn run(release: &Path, place: &Path, percent: u64) -> Result<Run> {
    let listen = format!(
        "127.0.0.1:{}",
        TcpListener::bind("127.0.0.1:0")?.local_addr()?.port()
    );
    let watcher = Watcher::start(&listen)?;
    let data = place.join("gallery");
    let mut add = Command::new(release.join("imgn-server"));
    add.args(["token", "add", "bench", "--data-dir"]).arg(&data);
    let token = process::output(&mut add)?;
    let mut server = Command::new(release.join("imgn-server"))
        .args(["serve", "--listen", &listen, "--public-url", &watcher.url])
        .args(["--max-size", "1100M", "--data-dir"])
        .arg(&data)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(fs::File::create(place.join("server.log"))?)
        .spawn()
        .context("could not start imgn-server")?;
    let listening = process::listening_url(&mut server);
    let _server = Ended(server);
    listening?;
    let file = pictures::make(&place.join("files"), 1, SIZE)?.remove(0);
    let client = || {
        let mut command = Command::new(release.join("imgn"));
        command
            .arg("--home")
            .arg(place.join("home"))
            .args(["--server", &watcher.url, "--json"])
            .env("IMGN_TOKEN", token.trim())
            .stdin(Stdio::null());
        command
    };

    let uploading = client()
        .arg("upload")
        .arg(&file)
        .stdout(Stdio::null())
        .spawn()?;
    let mut uploading = Ended(uploading);
    wait("so much was sent", || {
        ensure!(
            uploading.0.try_wait()?.is_none(),
            "the upload ended before it was killed"
        );
        Ok(watcher.seen.bytes.load(Ordering::SeqCst) >= SIZE * percent / 100)
    })?;
    let on_their_way = watcher.seen.under_way.load(Ordering::SeqCst);
    uploading.0.kill()?;
    uploading.0.wait()?;
    // What is still in the watcher's hands arrives.
    sleep(Duration::from_secs(1));
    watcher.forget_first();

    let started = Instant::now();
    let resumed = process::output(client().arg("resume"))?;
    ensure!(
        resumed.contains("\"published\""),
        "it was not published: {resumed}"
    );
    let first = watcher.first().context("nothing was left to send")?;
    Ok(Run {
        on_their_way,
        again: watcher
            .seen
            .bytes
            .load(Ordering::SeqCst)
            .saturating_sub(SIZE),
        first_byte: first.duration_since(started),
    })
}

fn wait(what: &str, mut is_so: impl FnMut() -> Result<bool>) -> Result<()> {
    let started = Instant::now();
    while !is_so()? {
        ensure!(started.elapsed() < PATIENCE, "waited in vain until {what}");
        sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// Passes connections on to the gallery, and sees the parts go by.
struct Watcher {
    url: String,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    /// Of all requests that store something, heads included, which are some 600 bytes each.
    bytes: AtomicU64,
    /// Requests for parts that were not answered yet.
    under_way: AtomicUsize,
    /// When the first one began.
    first: Mutex<Option<Instant>>,
}

impl Watcher {
    fn start(upstream: &str) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let url = format!("http://{}", listener.local_addr()?);
        let seen = Arc::<Seen>::default();
        let (watching, upstream) = (Arc::clone(&seen), upstream.to_owned());
        // It ends with this process; a connection ends when either side does.
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (seen, upstream) = (Arc::clone(&watching), upstream.clone());
                thread::spawn(move || pass(client, &upstream, &seen));
            }
        });
        Ok(Self { url, seen })
    }

    fn first(&self) -> Option<Instant> {
        *lock(&self.seen.first)
    }

    fn forget_first(&self) {
        *lock(&self.seen.first) = None;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn pass(mut client: TcpStream, upstream: &str, seen: &Arc<Seen>) {
    let Ok(mut server) = TcpStream::connect(upstream) else {
        return;
    };
    let (Ok(mut answers), Ok(mut to_client)) = (server.try_clone(), client.try_clone()) else {
        return;
    };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    // Set while a part is on its way on this connection.
    let sending = Arc::new(AtomicUsize::new(0));
    let (answered, watching) = (Arc::clone(&sending), Arc::clone(seen));
    let back = thread::spawn(move || {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(read @ 1..) = answers.read(&mut buffer) {
            let ended = answered.swap(0, Ordering::SeqCst);
            watching.under_way.fetch_sub(ended, Ordering::SeqCst);
            if to_client.write_all(&buffer[..read]).is_err() {
                break;
            }
        }
        let _ = to_client.shutdown(Shutdown::Both);
    });
    let mut buffer = vec![0; 256 << 10];
    while let Ok(read @ 1..) = client.read(&mut buffer) {
        // A client sends a head when the answer before it has come, so it begins what is read.
        if buffer[..read].starts_with(PART) {
            sending.store(1, Ordering::SeqCst);
            seen.under_way.fetch_add(1, Ordering::SeqCst);
            lock(&seen.first).get_or_insert_with(Instant::now);
        }
        if sending.load(Ordering::SeqCst) == 1 {
            seen.bytes.fetch_add(read as u64, Ordering::SeqCst);
        }
        if server.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    let _ = server.shutdown(Shutdown::Both);
    let _ = back.join();
    seen.under_way
        .fetch_sub(sending.swap(0, Ordering::SeqCst), Ordering::SeqCst);
}
