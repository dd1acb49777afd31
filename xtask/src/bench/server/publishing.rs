//! How many pictures a second one core verifies and publishes, beside a plain decode of the same files on the same core, and
//! how much memory the server takes meanwhile.
//!
//! The clock runs from when the first picture is completed, after all bytes are in the store, to when the last is public:
//! reading from the store, SHA-256, decoding, both thumbnails and the rows are in it. Invariant: every picture is published.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::{
    Server,
    http::{self, Connection},
    load::{self, Aside},
    median,
};
use crate::{
    bench::{Figure, figure, thumbs::corpus::Corpus},
    process,
    project::Project,
};

/// Of the photographs: every so many.
const EVERY: usize = 3;

/// How often it is asked whether all are public. Each costs the server well below a millisecond.
const LOOK: Duration = Duration::from_millis(50);

const PATIENCE: Duration = Duration::from_secs(300);

/// What one turn of the server took.
struct Turn {
    seconds: f64,
    peak_mib: f64,
}

pub(super) fn measure(project: &Project, rounds: Option<usize>) -> Result<Vec<Figure>> {
    let corpus = Corpus::make(project, rounds.is_none())?;
    // A quick corpus is small.
    let every = if rounds.is_none() { 1 } else { EVERY };
    let pictures: Vec<PathBuf> = corpus.baseline.into_iter().step_by(every).collect();
    let count = pictures.len() as f64;
    let aside = Aside::step()?;
    let (mut turns, mut decodes) = (Vec::new(), Vec::new());
    for _ in 0..rounds.unwrap_or(1) {
        turns.push(published(project, &pictures)?);
        decodes.push(decoded(project, &pictures)?);
    }
    drop(aside);
    let published = count / median(turns.iter().map(|turn| turn.seconds));
    let decoded = count / median(decodes.into_iter());
    let peak = turns.iter().map(|turn| turn.peak_mib).fold(0.0, f64::max);
    let what = format!("{count} photographs of 12 to 24 megapixels");
    Ok(vec![
        figure(&format!("{what}: published"), published, "/s"),
        figure(&format!("{what}: plain decode"), decoded, "/s"),
        figure("published to decoded", published / decoded, "x"),
        figure("the server's peak of memory meanwhile", peak, "MiB"),
    ])
}

fn published(project: &Project, pictures: &[PathBuf]) -> Result<Turn> {
    // Each is sent by one request.
    let server = Server::start(project, &["--part-size", "1G"])?;
    let bearer = format!("Bearer {}", server.token("bench")?);
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/json"),
    ];
    let mut connection = Connection::open(server.address)?;
    let mut ids = Vec::new();
    for (number, picture) in pictures.iter().enumerate() {
        let id = format!("01980000-0000-7000-8000-{number:012x}");
        send(&mut connection, &server, &headers, &id, picture)?;
        ids.push(id);
    }
    let begun = Instant::now();
    for id in ids {
        let path = format!("/v1/uploads/{id}/complete");
        let request = http::request("POST", &path, server.address, &headers, br#"{"parts":[]}"#);
        connection.ask(&request)?.ensure_success()?;
    }
    loop {
        let path = "/v1/changes?since=0&limit=1";
        let request = http::request("GET", path, server.address, &[], &[]);
        let told = connection.ask(&request)?.json()?;
        if told["total"].as_u64() == Some(pictures.len() as u64) {
            break;
        }
        ensure!(begun.elapsed() < PATIENCE, "not all is published: {told}");
        sleep(LOOK);
    }
    Ok(Turn {
        seconds: begun.elapsed().as_secs_f64(),
        peak_mib: peak(server.id())?,
    })
}

/// Opens an upload and sends its bytes.
fn send(
    connection: &mut Connection,
    server: &Server,
    headers: &[(&str, &str)],
    id: &str,
    picture: &Path,
) -> Result<()> {
    let bytes = fs::read(picture)?;
    let sum = process::output(Command::new("sha256sum").arg("--binary").arg(picture))?;
    let sum = sum.get(..64).context("a checksum")?;
    let size = bytes.len();
    let body = format!(
        r#"{{"file_name":"picture.jpg","size":{size},"sha256":"{sum}","content_type":"image/jpeg"}}"#
    );
    let path = format!("/v1/uploads/{id}?sign=true");
    let request = http::request("PUT", &path, server.address, headers, body.as_bytes());
    let told = connection.ask(&request)?.json()?;
    let signed = &told["signed"];
    let url = signed["url"]
        .as_str()
        .with_context(|| format!("a URL: {told}"))?;
    let at = format!("http://{}", server.address);
    let path = url.strip_prefix(&at).context("the embedded store")?;
    let signed = signed["headers"].as_object().context("headers")?;
    let signed: Vec<_> = signed
        .iter()
        // The length is told with the body.
        .filter(|(name, _)| *name != "content-length")
        .filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)))
        .collect();
    let put = http::request("PUT", path, server.address, &signed, &bytes);
    connection.ask(&put)?.ensure_success()
}

/// Seconds.
fn decoded(project: &Project, pictures: &[PathBuf]) -> Result<f64> {
    let mut command = load::on_its_core(project.target.join("release/examples/decode"));
    let told: Value = serde_json::from_str(&process::output(command.args(pictures))?)?;
    told.as_f64().context("seconds")
}

/// The most memory that a process had, in MiB.
fn peak(id: u32) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{id}/status"))?;
    let mut lines = status.lines();
    let line = lines.find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.context("VmHWM")?.trim().trim_end_matches(" kB");
    Ok(kib.parse::<f64>()? / 1024.0)
}
