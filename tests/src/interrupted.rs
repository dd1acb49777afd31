//! Large uploads on lines and stores that fail: killed on the way, expired URLs, and two dozen faults of the testkit's
//! proxy, between `imgn` and a real server with a real store. Each picture must be in the gallery in the end, byte for
//! byte, and no more is sent twice than was on its way.
//!
//! Invariant: what happens when follows from the requests that the proxy meets; a clock only says that nothing more
//! happens.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use imgn_testkit::{
    pictures,
    process::{Client, ServerProcess, eventually},
    proxy::{Answer, Fate, FaultProxy, Gate, Script, Seen, When},
    s3::Target,
    seaweedfs::SeaweedFs,
};

use crate::{
    api::{Api, sha256},
    store::{self, Store},
};

/// The server's smallest part size in bytes.
const PART: usize = 5 << 20;

/// Requests at the same time, where a test counts what was on its way.
const JOBS: usize = 3;

/// How long anything may take before it counts as stuck.
const PATIENCE: Duration = Duration::from_secs(120);

/// A server whose store, for itself and for its clients, is behind `endpoint`.
fn start_server(
    directory: &Path,
    target: &Target,
    endpoint: &str,
    more: &[&str],
) -> Result<ServerProcess> {
    let part_size = PART.to_string();
    let mut arguments = vec!["--part-size", &part_size, "--max-size", "128M"];
    arguments.extend(more);
    store::server(&directory.join("server"), target, endpoint, &arguments)
}

fn write_picture(directory: &Path, name: &str, size: usize, seed: u64) -> Result<PathBuf> {
    let path = directory.join(name);
    fs::write(&path, pictures::sized_png(size, seed))?;
    Ok(path)
}

/// Whether it sends a part of a picture; the server asks the store what it can do by parts of its own.
fn is_part(seen: &Seen) -> bool {
    seen.method == "PUT"
        && seen.path.contains("/originals/")
        && seen.parameters.contains_key("partNumber")
}

/// The requests that send this part of a picture.
fn part_number(number: &str) -> When {
    When::method("PUT")
        .path("/originals/")
        .parameter_is("partNumber", number)
}

/// How often the bytes of each part were sent.
fn parts_sent(seen: &[Seen]) -> BTreeMap<(String, u32), usize> {
    let mut sent = BTreeMap::new();
    for seen in seen.iter().filter(|seen| is_part(seen)) {
        let number = seen.parameters.get("partNumber");
        let number = number.and_then(|number| number.parse().ok());
        if let (Some(number), Some(upload)) = (number, seen.parameters.get("uploadId")) {
            *sent.entry((upload.clone(), number)).or_default() += 1;
        }
    }
    sent
}

/// Each of these files is in the gallery once, byte for byte, and nothing else is.
async fn ensure_published(api: &Api, files: &[PathBuf]) -> Result<()> {
    let images = api.images().await?;
    ensure!(images.len() == files.len(), "{images:#?}");
    for file in files {
        let bytes = fs::read(file)?;
        let sum = sha256(&bytes);
        let image = images.iter().find(|image| image["sha256"] == *sum);
        let image = image.with_context(|| format!("{} is not there", file.display()))?;
        let id = image["id"].as_str().context("an id")?;
        let stored = api.bytes(&format!("/v1/images/{id}/content")).await?;
        ensure!(stored == bytes, "{} differs", file.display());
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_10_50_and_90_percent_it_sends_again_only_what_was_on_its_way() -> Result<()> {
    let weed = SeaweedFs::start().await?;
    let own = tempfile::tempdir()?;
    let store = Store::start(own.path())?;
    for target in [weed.target(), &store.target] {
        kill_thrice(target)
            .await
            .with_context(|| format!("{:?}", target.engine))?;
    }
    Ok(())
}

async fn kill_thrice(target: &Target) -> Result<()> {
    let directory = tempfile::tempdir()?;
    // The line stops when so many parts have come by, so that the client is killed with parts on their way.
    let stop_at: Arc<Mutex<Option<(usize, Gate)>>> = Arc::default();
    let stop = Arc::clone(&stop_at);
    let met = Mutex::new(0);
    let proxy = FaultProxy::start(target.host()?, move |seen: &Seen| {
        if !is_part(seen) {
            return Fate::Pass;
        }
        let mut met = met.lock().unwrap();
        *met += 1;
        match &*stop.lock().unwrap() {
            Some((count, gate)) if *met > *count => Fate::StallRequest {
                after: 1 << 20,
                gate: gate.clone(),
            },
            _ => Fate::Pass,
        }
    })
    .await?;
    let server = start_server(directory.path(), target, &proxy.url(), &[])?;
    let api = Api::new(&server.url, Some(&server.token))?;
    let parts = 24;
    let file = write_picture(directory.path(), "large.png", parts * PART, 7)?;
    let name = file.to_str().context("a path in UTF-8")?;
    let home = directory.path().join("home");
    let client = Client::new(&home, &server.url, Some(&server.token));
    let jobs = JOBS.to_string();

    let mut arguments = vec!["--json", "upload", "--jobs", &jobs, name];
    let mut on_their_way = 0;
    for percent in [10, 50, 90] {
        let gate = Gate::closed();
        let sent = parts_sent(&proxy.seen()).values().sum::<usize>();
        let stored = stored_parts(target).await?;
        let wanted = (parts * percent / 100).max(stored + 1);
        *stop_at.lock().unwrap() = Some((sent + wanted - stored, gate.clone()));
        let mut command = client.command(&arguments)?;
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut uploading = command.spawn()?;
        let there = eventually(
            "parts arrive, and more are on their way",
            PATIENCE,
            async || {
                let there = stored_parts(target).await?;
                let all = parts_sent(&proxy.seen()).values().sum::<usize>();
                Ok((there >= wanted && all > sent + wanted - stored).then_some(there))
            },
        )
        .await
        .with_context(|| format!("at {percent} %"))?;
        uploading.kill()?;
        uploading.wait()?;
        // What was on its way ends at the store too, whole or not.
        gate.release();
        at_rest(target).await?;
        let all = parts_sent(&proxy.seen()).values().sum::<usize>();
        on_their_way += (all - sent).saturating_sub(there - stored);
        arguments = vec!["--json", "resume"];
    }
    *stop_at.lock().unwrap() = None;
    let resumed = client.run(&arguments)?;
    ensure!(resumed.code == Some(0), "{}", resumed.stderr);
    let lines = resumed.objects()?;
    ensure!(
        lines.len() == 1 && lines[0]["state"] == "published",
        "{lines:?}"
    );
    ensure_published(&api, &[file]).await?;

    let sent = parts_sent(&proxy.seen());
    let uploads: std::collections::BTreeSet<_> = sent.keys().map(|(upload, _)| upload).collect();
    ensure!(
        uploads.len() == 1,
        "one multipart upload from beginning to end: {sent:?}"
    );
    let twice: usize = sent.values().map(|times| times - 1).sum();
    ensure!(sent.len() == parts, "{sent:?}");
    ensure!(
        twice <= on_their_way,
        "{twice} parts were sent again, of {on_their_way} that were on their way at three kills: {sent:?}"
    );
    Ok(())
}

/// Waits until the store takes in nothing more.
async fn at_rest(target: &Target) -> Result<()> {
    let (mut before, mut same) = (stored_parts(target).await?, 0);
    while same < 5 {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let now = stored_parts(target).await?;
        same = if now == before { same + 1 } else { 0 };
        before = now;
    }
    Ok(())
}

/// How many parts the one open multipart upload has.
async fn stored_parts(target: &Target) -> Result<usize> {
    let store = target.client();
    let open = store
        .list_multipart_uploads()
        .bucket(&target.bucket)
        .send()
        .await?;
    let Some(upload) = open.uploads().first() else {
        return Ok(0);
    };
    let listed = store
        .list_parts()
        .bucket(&target.bucket)
        .set_key(upload.key.clone())
        .set_upload_id(upload.upload_id.clone())
        .send()
        .await?;
    let numbers = listed.parts().iter().filter_map(|part| part.part_number);
    Ok(numbers.collect::<std::collections::BTreeSet<_>>().len())
}

/// The limit is on the start of a request, not on its end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn urls_that_live_for_2_s_are_enough_where_a_part_takes_10() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let store = Store::start(directory.path())?;
    let target = &store.target;
    let slow = Fate::Slow {
        up: Some(PART as u64 / 10),
        down: None,
    };
    let script = Script::default().on(When::method("PUT").path("/originals/"), slow);
    let proxy = FaultProxy::start(target.host()?, script.into_hook()).await?;
    let server = start_server(directory.path(), target, &proxy.url(), &["--url-ttl", "2"])?;
    let api = Api::new(&server.url, Some(&server.token))?;
    let file = write_picture(directory.path(), "large.png", 2 * PART + 200_000, 8)?;
    let home = directory.path().join("home");
    let client = Client::new(&home, &server.url, Some(&server.token));
    // One after the other: the last begins when the first URL has long expired.
    let answer = client.run(&["upload", "--jobs", "1", file.to_str().context("UTF-8")?])?;
    ensure!(
        answer.code == Some(0) && answer.stderr.is_empty(),
        "{}",
        answer.stderr
    );
    ensure_published(&api, &[file]).await?;
    let sent = parts_sent(&proxy.seen());
    ensure!(
        sent.len() == 3 && sent.values().all(|times| *times == 1),
        "{sent:?}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_url_that_expired_before_its_request_began_is_replaced_once() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let store = Store::start(directory.path())?;
    let target = &store.target;
    let late = || Fate::Delay(Duration::from_secs(3));
    let script = Script::default()
        .on(part_number("2").first(1), late())
        .on(When::method("PUT").path("/originals/").nth(5), late());
    let proxy = FaultProxy::start(target.host()?, script.into_hook()).await?;
    let server = start_server(directory.path(), target, &proxy.url(), &["--url-ttl", "2"])?;
    let api = Api::new(&server.url, Some(&server.token))?;
    let home = directory.path().join("home");
    let client = Client::new(&home, &server.url, Some(&server.token));
    let large = write_picture(directory.path(), "large.png", 2 * PART + 200_000, 9)?;
    // The fifth request that stores an original: three parts and a repeated one came before.
    let small = write_picture(directory.path(), "small.png", 20_000, 10)?;
    for file in [&large, &small] {
        let answer = client.run(&["upload", "--jobs", "1", file.to_str().context("UTF-8")?])?;
        ensure!(
            answer.code == Some(0) && answer.stderr.is_empty(),
            "{}",
            answer.stderr
        );
    }
    ensure_published(&api, &[large, small]).await?;
    let sent = parts_sent(&proxy.seen());
    let times: Vec<usize> = sent.values().copied().collect();
    ensure!(times == [1, 2, 1], "{sent:?}");
    Ok(())
}

/// A file that changed while its upload was interrupted, at the same size and with the same time as before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_changed_meanwhile_is_sent_anew_and_it_is_said_so() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let store = Store::start(directory.path())?;
    let target = &store.target;
    let gate = Gate::closed();
    let stall = Fate::StallRequest {
        after: 1 << 20,
        gate: gate.clone(),
    };
    let third = part_number("3").first(1);
    let proxy = FaultProxy::start(
        target.host()?,
        Script::default().on(third, stall).into_hook(),
    )
    .await?;
    let server = start_server(directory.path(), target, &proxy.url(), &[])?;
    let api = Api::new(&server.url, Some(&server.token))?;
    let home = directory.path().join("home");
    let client = Client::new(&home, &server.url, Some(&server.token));
    let file = write_picture(directory.path(), "large.png", 4 * PART, 11)?;
    let modified = fs::metadata(&file)?.modified()?;
    let mut command =
        client.command(&["upload", "--jobs", "1", file.to_str().context("UTF-8")?])?;
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut uploading = command.spawn()?;
    eventually("the third part is on its way", PATIENCE, async || {
        Ok((parts_sent(&proxy.seen()).len() == 3).then_some(()))
    })
    .await?;
    uploading.kill()?;
    uploading.wait()?;
    gate.release();

    write_picture(directory.path(), "large.png", 4 * PART, 12)?;
    fs::File::options()
        .write(true)
        .open(&file)?
        .set_modified(modified)?;
    let resumed = client.run(&["resume"])?;
    ensure!(resumed.code == Some(0), "{}", resumed.stderr);
    ensure!(
        resumed
            .stderr
            .contains("large.png: changed meanwhile; it was sent anew"),
        "{}",
        resumed.stderr
    );
    ensure_published(&api, &[file]).await?;
    let uploads: std::collections::BTreeSet<String> = parts_sent(&proxy.seen())
        .into_keys()
        .map(|(upload, _)| upload)
        .collect();
    ensure!(uploads.len() == 2, "nothing is glued: {uploads:?}");
    let store = target.client();
    let open = store
        .list_multipart_uploads()
        .bucket(&target.bucket)
        .send()
        .await?;
    ensure!(
        open.uploads().is_empty(),
        "what was begun is taken back: {:?}",
        open.uploads()
    );
    Ok(())
}

/// Which request meets which fate, and whether it is of a picture in parts.
fn faults() -> Vec<(&'static str, When, Fate)> {
    let put = || When::method("PUT").path("/originals/");
    let part = || put().parameter("partNumber");
    let open = || When::method("PUT").path("/v1/uploads/");
    let sign = || When::method("POST").path("/sign");
    let complete = || When::method("POST").path("/complete");
    let status = || When::method("GET").path("/v1/uploads/");
    let s3 = Answer::s3_error;
    let later = |status: u16| Answer::status(status).header("retry-after", "1");
    vec![
        ("opening is not heard of", open().nth(1), Fate::HangUpBefore),
        ("opening is not answered", open().nth(1), Fate::HangUpAfter),
        (
            "opening is answered in half",
            open().nth(1),
            Fate::CutResponse { after: 20 },
        ),
        ("opening arrives twice", open().nth(1), Fate::Repeat),
        (
            "a gateway is away",
            open().first(3),
            Fate::Answer(Answer::status(502)),
        ),
        ("too many requests", open().nth(1), Fate::Answer(later(429))),
        ("signing is not answered", sign().nth(1), Fate::HangUpAfter),
        (
            "signing meets a busy server",
            sign().first(2),
            Fate::Answer(later(503)),
        ),
        (
            "a part is cut off",
            part().nth(1),
            Fate::CutRequest { after: 3 << 20 },
        ),
        (
            "a part's answer is cut off",
            part().nth(2),
            Fate::HangUpAfter,
        ),
        ("a part arrives twice", part().nth(1), Fate::Repeat),
        (
            "the store slows down",
            part().first(2),
            Fate::Answer(s3(503, "SlowDown", "slower")),
        ),
        (
            "the store has a fault",
            part().first(4),
            Fate::AnswerEarly(s3(500, "InternalError", "oh")),
        ),
        (
            "the store says no",
            part().nth(1),
            Fate::Answer(s3(403, "AccessDenied", "expired")),
        ),
        (
            "the store says no in other words",
            part().nth(1),
            Fate::Answer(s3(400, "ExpiredToken", "old")),
        ),
        (
            "the store took it and says otherwise",
            part().nth(1),
            Fate::AnswerAfter(s3(500, "InternalError", "oh")),
        ),
        (
            "a picture is cut off",
            put().nth(1),
            Fate::CutRequest { after: 10_000 },
        ),
        (
            "a picture's answer is cut off",
            put().nth(1),
            Fate::HangUpAfter,
        ),
        ("a picture arrives twice", put().nth(1), Fate::Repeat),
        (
            "a picture waits",
            put().nth(1),
            Fate::Delay(Duration::from_millis(300)),
        ),
        (
            "completing is not heard of",
            complete().nth(1),
            Fate::HangUpBefore,
        ),
        (
            "completing is not answered",
            complete().nth(1),
            Fate::HangUpAfter,
        ),
        ("completing arrives twice", complete().nth(1), Fate::Repeat),
        (
            "completing meets a fault",
            complete().first(2),
            Fate::Answer(Answer::status(500)),
        ),
        (
            "nobody says how it stands",
            status().first(2),
            Fate::Answer(Answer::status(504)),
        ),
        (
            "the answer ends early",
            complete().nth(1),
            Fate::TruncateResponse { after: 12 },
        ),
    ]
}

type Hook = Arc<Mutex<Box<dyn Fn(&Seen) -> Fate + Send + Sync>>>;

/// A server and a store that are reached by proxies, which follow another script for each picture.
struct Faulty {
    api: Api,
    client: Client,
    script: Hook,
    directory: tempfile::TempDir,
    _proxies: [FaultProxy; 2],
    _server: ServerProcess,
    _store: Store,
}

impl Faulty {
    async fn start() -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let store = Store::start(directory.path())?;
        let target = &store.target;
        let script: Hook = Arc::new(Mutex::new(Box::new(|_| Fate::Pass)));
        let follow = || {
            let script = Arc::clone(&script);
            move |seen: &Seen| script.lock().unwrap()(seen)
        };
        let before_store = FaultProxy::start(target.host()?, follow()).await?;
        let server = start_server(directory.path(), target, &before_store.url(), &[])?;
        let address = server.url.strip_prefix("http://").context("a plain URL")?;
        let before_server = FaultProxy::start(address, follow()).await?;
        let api = Api::new(&server.url, Some(&server.token))?;
        let home = directory.path().join("home");
        let client = Client::new(&home, &before_server.url(), Some(&server.token));
        Ok(Self {
            api,
            client,
            script,
            directory,
            _proxies: [before_store, before_server],
            _server: server,
            _store: store,
        })
    }

    /// Uploads a picture of each kind while `fate` strikes.
    async fn upload(&self, seed: u64, when: When, fate: Fate) -> Result<()> {
        for (name, size) in [("small", 30_000), ("large", 2 * PART + 100_000)] {
            let script = Script::default().on(when.clone(), fate.clone());
            *self.script.lock().unwrap() = Box::new(script.into_hook());
            let path = self.directory.path();
            let file = write_picture(path, &format!("{name}-{seed}.png"), size, 1000 + seed)?;
            let bytes = fs::read(&file)?;
            let answer = self
                .client
                .run(&["--json", "upload", file.to_str().context("UTF-8")?])?;
            ensure!(answer.code == Some(0), "{name}: {}", answer.stderr);
            let lines = answer.objects()?;
            ensure!(
                lines.len() == 1
                    && lines[0]["state"] == "published"
                    && lines[0]["sha256"] == *sha256(&bytes),
                "{name}: {lines:?} {}",
                answer.stderr
            );
            let id = lines[0]["id"].as_str().context("an id")?;
            *self.script.lock().unwrap() = Box::new(|_| Fate::Pass);
            let stored = self.api.bytes(&format!("/v1/images/{id}/content")).await?;
            ensure!(stored == bytes, "{name} differs");
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_on_the_way_are_overcome() -> Result<()> {
    let faulty = Faulty::start().await?;
    let faults = faults();
    let count = faults.len();
    for (seed, (what, when, fate)) in (0..).zip(faults) {
        faulty.upload(seed, when, fate).await.context(what)?;
    }
    let images = faulty.api.images().await?;
    ensure!(images.len() == 2 * count, "each once: {}", images.len());
    Ok(())
}
