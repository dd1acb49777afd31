//! `imgn-server export` and `import`: a gallery goes from each catalogue and store to each other and stays the same gallery;
//! what is killed goes on; what is damaged is named, and nothing half is published.
//!
//! Invariant: a gallery is compared by what everybody sees of it: its pages, its feed, and every byte.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use imgn_testkit::{
    pictures,
    postgres::PostgreSql,
    process::{Client, ServerProcess, clean_environment, eventually, program},
    proxy::{Fate, FaultProxy, Gate, Seen},
    s3::Target,
    seaweedfs::SeaweedFs,
};
use reqwest::Method;
use serde_json::Value;
use tempfile::TempDir;

use crate::api::Api;

mod store;

/// How long anything may take before it counts as stuck.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where a gallery is, or is to be.
struct Place {
    directory: TempDir,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
}

impl Place {
    /// SQLite and the embedded store, all in one directory.
    fn embedded() -> Result<Self> {
        let directory = tempfile::tempdir()?;
        fs::create_dir(directory.path().join("data"))?;
        Ok(Self {
            directory,
            arguments: Vec::new(),
            environment: Vec::new(),
        })
    }

    fn with_database(mut self, database: &PostgreSql) -> Self {
        self.environment
            .push(("IMGN_DATABASE".to_owned(), database.url()));
        self
    }

    /// With a bucket of its own.
    async fn with_bucket(mut self, store: &Target, endpoint: &str, bucket: &str) -> Result<Self> {
        let made = store.client().create_bucket().bucket(bucket).send().await;
        if made.is_err() {
            store.client().head_bucket().bucket(bucket).send().await?;
        }
        for argument in ["--storage=s3", "--s3-path-style", "--s3-region=us-east-1"] {
            self.arguments.push(argument.to_owned());
        }
        self.arguments.push(format!("--s3-endpoint={endpoint}"));
        self.arguments.push(format!("--s3-bucket={bucket}"));
        for (name, value) in [
            ("AWS_ACCESS_KEY_ID", &store.access_key),
            ("AWS_SECRET_ACCESS_KEY", &store.secret_key),
        ] {
            self.environment.push((name.to_owned(), value.clone()));
        }
        Ok(self)
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn command(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = Command::new(program("imgn-server")?);
        clean_environment(&mut command);
        command
            .args(arguments)
            .arg("--data-dir")
            .arg(self.path().join("data"))
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        Ok(command)
    }

    fn run(&self, arguments: &[&str]) -> Result<Output> {
        Ok(self.command(arguments)?.output()?)
    }

    /// The line that an export or an import ends with.
    fn succeeds(&self, arguments: &[&str]) -> Result<String> {
        let output = self.run(arguments)?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.code() == Some(0), "{arguments:?}: {errors}");
        let said = String::from_utf8(output.stdout)?;
        ensure!(said.lines().count() == 1, "{said}");
        Ok(said)
    }

    /// What one that fails says.
    fn fails(&self, arguments: &[&str]) -> Result<String> {
        let output = self.run(arguments)?;
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.code() == Some(1), "{arguments:?}: {errors}");
        ensure!(output.stdout.is_empty(), "{output:?}");
        Ok(errors)
    }

    fn start(&self, listen: &str, token: &str) -> Result<ServerProcess> {
        let arguments: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        let environment: Vec<(&str, &str)> = self
            .environment
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        ServerProcess::start_on(self.path(), listen, token, &arguments, &environment)
    }

    /// Makes a token, which needs no flags of a server's.
    fn add_token(&self, name: &str, role: &str) -> Result<String> {
        let mut command = Command::new(program("imgn-server")?);
        clean_environment(&mut command);
        let output = command
            .args(["token", "add", name, "--role", role, "--data-dir"])
            .arg(self.path().join("data"))
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .output()?;
        ensure!(output.status.success(), "{output:?}");
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }
}

/// All that everybody sees of a gallery, but for its address.
#[derive(Debug, PartialEq)]
struct Everything {
    images: Vec<Value>,
    feed: Value,
    objects: Vec<(String, Vec<u8>)>,
}

impl Everything {
    async fn of(api: &Api) -> Result<Self> {
        let mut images = api.images().await?;
        let mut feed = api.get("/v1/changes?since=0&limit=5000").await?.json;
        let mut objects = Vec::new();
        for image in &images {
            let id = image["id"].as_str().context("an id")?;
            let mut paths = vec![
                format!("/v1/images/{id}/content"),
                format!("/v1/images/{id}/thumb/320"),
                format!("/v1/images/{id}/thumb/1280"),
            ];
            if !image["display_url"].is_null() {
                paths.push(format!("/v1/images/{id}/thumb/2560"));
            }
            for path in paths {
                let bytes = api.bytes(&path).await?;
                objects.push((path, bytes));
            }
        }
        images.iter_mut().for_each(without_address);
        let changes = feed["changes"].as_array_mut().context("changes")?;
        changes
            .iter_mut()
            .filter_map(|change| change.get_mut("image"))
            .for_each(without_address);
        Ok(Self {
            images,
            feed,
            objects,
        })
    }
}

fn without_address(image: &mut Value) {
    for name in ["url", "display_url"] {
        let address = image[name].as_str().map(str::to_owned);
        if let Some(path) = address.and_then(|url| url.find("/v1/").map(|at| url[at..].to_owned()))
        {
            image[name] = path.into();
        }
    }
}

/// The lines of a backup's list but the first, which says when it was made, and the last, which sums it.
fn rows(backup: &Path) -> Result<Vec<Value>> {
    let text = fs::read_to_string(backup.join("gallery.jsonl"))?;
    let lines: Vec<&str> = text.lines().collect();
    let rows = lines.get(1..lines.len() - 1).context("a head and an end")?;
    rows.iter()
        .map(|row| Ok(serde_json::from_str(row)?))
        .collect()
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a path")
}

/// A gallery of so many pictures, one of them deleted, with two tokens.
async fn filled(place: &Place, pictures: u32) -> Result<(ServerProcess, Api, Api)> {
    let admin = place.add_token("owner", "admin")?;
    let ada = place.add_token("Ada \u{e9}", "uploader")?;
    let server = place.start("127.0.0.1:0", &admin)?;
    let owner = Api::new(&server.url, Some(&admin))?;
    let uploader = Api::new(&server.url, Some(&ada))?;
    for n in 0..pictures {
        let api = if n % 2 == 0 { &owner } else { &uploader };
        let (name, file) = (format!("{n} \u{1f985}.jpg"), pictures::jpeg(200 + n, 150));
        let uploaded = api.upload(&name, &file).await?;
        ensure!(uploaded["state"] == "published", "{uploaded}");
        if n == 1 {
            let id = uploaded["image"]["id"].as_str().context("an id")?;
            let path = format!("/v1/images/{id}");
            ensure!(
                owner
                    .call(Method::DELETE, &path, None)
                    .await?
                    .status
                    .is_success()
            );
        }
    }
    // Some that browsers do not show, which have something that stands in for them, and one that says much of itself.
    for (name, file) in [
        ("a.jxl", pictures::jxl()),
        ("a.raf", pictures::fujifilm_raw(320, 240, 6)),
        ("told.jpg", pictures::described_jpeg(90, 60)),
    ] {
        let uploaded = owner.upload(name, &file).await?;
        ensure!(uploaded["state"] == "published", "{uploaded}");
    }
    Ok((server, owner, uploader))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gallery_is_the_same_after_each_catalogue_and_store() -> Result<()> {
    let weed = SeaweedFs::start().await?;
    let databases = [PostgreSql::start().await?, PostgreSql::start().await?];
    let store = weed.target();
    let first = Place::embedded()?;
    let (mut server, owner, _) = filled(&first, 8).await?;
    let (admin, everything) = (server.token.clone(), Everything::of(&owner).await?);
    ensure!(everything.images.len() == 10, "{:?}", everything.images);

    // While it runs, and once more after it: nothing is written again but the list.
    let backups = tempfile::tempdir()?;
    let backup = |name: &str| -> Result<PathBuf> { Ok(backups.path().join(name)) };
    let directory = backup("0")?;
    let said = first.succeeds(&["export", text(&directory)?])?;
    ensure!(said.starts_with("10 pictures, "), "{said}");
    ensure!(said.contains(": 0 were there already"), "{said}");
    let file = |id: &Value| {
        directory
            .join("originals")
            .join(id.as_str().unwrap_or_default())
    };
    let times = || -> Result<Vec<_>> {
        let ids = everything.images.iter().map(|image| &image["id"]);
        ids.map(|id| Ok(fs::metadata(file(id))?.modified()?))
            .collect()
    };
    let written = times()?;
    ensure!(server.terminate()? == Some(0));
    let said = first.succeeds(&["export", text(&directory)?, "--prune"])?;
    ensure!(
        said.contains(": 10 were there already; the files of 0"),
        "{said}"
    );
    ensure!(times()? == written, "files are written once");

    let places = [
        Place::embedded()?
            .with_database(&databases[0])
            .with_bucket(store, &store.endpoint, "gallery-one")
            .await?,
        Place::embedded()?
            .with_bucket(store, &store.endpoint, "gallery-two")
            .await?,
        Place::embedded()?.with_database(&databases[1]),
        Place::embedded()?,
    ];
    for (number, place) in places.iter().enumerate() {
        let (from, to) = (
            backup(&number.to_string())?,
            backup(&(number + 1).to_string())?,
        );
        let said = place.succeeds(&["import", text(&from)?, "--move"])?;
        ensure!(said.contains("as the gallery that they were"), "{said}");
        let server = place.start("127.0.0.1:0", &admin)?;
        let api = Api::new(&server.url, Some(&admin))?;
        ensure!(
            Everything::of(&api).await? == everything,
            "{:?}",
            place.arguments
        );
        let found = api.get("/v1/images?q=ada%20eagle").await?.json;
        ensure!(
            found["images"].as_array().is_some_and(Vec::is_empty),
            "{found}"
        );
        let found = api.get("/v1/images?q=ada%20.jpg").await?.json;
        ensure!(
            found["images"].as_array().map(Vec::len) == Some(3),
            "{found}"
        );
        place.succeeds(&["export", text(&to)?])?;
        ensure!(rows(&from)? == rows(&to)?, "{:?}", place.arguments);
        // It is a gallery that goes on: what was deleted can come again, and the tokens are who they were.
        let again = api.upload("again.jpg", &pictures::jpeg(201, 150)).await?;
        ensure!(again["image"]["sequence"] == 13, "{again}");
        let why = place.fails(&["import", text(&from)?]);
        let why = why?;
        ensure!(
            why.contains("in use") || why.contains("a gallery already"),
            "{why}"
        );
    }
    Ok(())
}

/// What a proxy keeps back: requests for originals of a method, after so many.
struct Held {
    method: &'static str,
    pass: u64,
    gate: Gate,
}

/// A proxy before a store, which keeps back what a test says until it lets it go on.
async fn proxied(store: &Target, held: &Arc<Mutex<Option<Held>>>) -> Result<FaultProxy> {
    let held = Arc::clone(held);
    FaultProxy::start(store.host()?, move |seen: &Seen| {
        match &mut *held.lock().unwrap() {
            Some(held) if seen.method == held.method && seen.path.contains("/originals/") => {
                if held.pass == 0 {
                    return Fate::HoldRequest(held.gate.clone());
                }
                held.pass -= 1;
                Fate::Pass
            }
            _ => Fate::Pass,
        }
    })
    .await
}

/// How often each original was asked for in this way, by its key.
fn counts(proxy: &FaultProxy, method: &str, from: usize) -> BTreeMap<String, u32> {
    let mut counts = BTreeMap::new();
    for seen in proxy.seen().into_iter().skip(from) {
        if seen.method == method && seen.path.contains("/originals/") {
            *counts.entry(seen.path).or_default() += 1;
        }
    }
    counts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_killed_in_the_middle_goes_on_where_it_was() -> Result<()> {
    const PICTURES: u32 = 30;
    const BEFORE: u64 = 12;
    /// Objects of so many pictures are on their way at a time.
    const AT_A_TIME: usize = 8;

    let weed = SeaweedFs::start().await?;
    let store = weed.target();
    let held = Arc::default();
    let proxy = proxied(store, &held).await?;
    let from = Place::embedded()?
        .with_bucket(store, &proxy.url(), "gallery-from")
        .await?;
    let (mut server, owner, _) = filled(&from, PICTURES).await?;
    let everything = Everything::of(&owner).await?;
    let all = everything.images.len();
    let (admin, backups) = (server.token.clone(), tempfile::tempdir()?);
    let directory = backups.path().join("backup");
    ensure!(server.terminate()? == Some(0));

    // Out of a bucket.
    let before = proxy.seen().len();
    let gate = Gate::closed();
    *held.lock().unwrap() = Some(Held {
        method: "GET",
        pass: BEFORE,
        gate: gate.clone(),
    });
    let mut child = from.command(&["export", text(&directory)?])?.spawn()?;
    tokio::time::timeout(PATIENCE, gate.reached(1)).await?;
    child.kill()?;
    child.wait()?;
    *held.lock().unwrap() = None;
    gate.release();
    ensure!(
        !directory.join("gallery.jsonl").exists(),
        "it is no backup yet"
    );
    let to = Place::embedded()?;
    let why = to.fails(&["import", text(&directory)?])?;
    ensure!(why.contains("gallery.jsonl"), "{why}");
    let said = from.succeeds(&["export", text(&directory)?])?;
    ensure!(said.starts_with(&format!("{all} pictures, ")), "{said}");
    let read = counts(&proxy, "GET", before);
    let twice = read.values().filter(|&&times| times > 1).count();
    ensure!(read.len() == all && twice <= AT_A_TIME, "{read:?}");
    ensure!(
        fs::read_dir(&directory)?.count() == 4,
        "nothing unfinished is left"
    );

    // Into another one.
    let to = Place::embedded()?
        .with_bucket(store, &proxy.url(), "gallery-to")
        .await?;
    let before = proxy.seen().len();
    let gate = Gate::closed();
    *held.lock().unwrap() = Some(Held {
        method: "PUT",
        pass: BEFORE,
        gate: gate.clone(),
    });
    let mut child = to.command(&["import", text(&directory)?])?.spawn()?;
    tokio::time::timeout(PATIENCE, gate.reached(1)).await?;
    child.kill()?;
    child.wait()?;
    *held.lock().unwrap() = None;
    gate.release();
    let server = to.start("127.0.0.1:0", &admin)?;
    let api = Api::new(&server.url, None)?;
    ensure!(api.images().await?.is_empty(), "nothing half is published");
    drop(server);
    let said = to.succeeds(&["import", text(&directory)?, "--move"])?;
    ensure!(said.starts_with(&format!("{all} pictures, ")), "{said}");
    let sent = counts(&proxy, "PUT", before);
    let twice = sent.values().filter(|&&times| times > 1).count();
    ensure!(sent.len() == all && twice <= AT_A_TIME, "{sent:?}");
    let server = to.start("127.0.0.1:0", &admin)?;
    let api = Api::new(&server.url, Some(&admin))?;
    ensure!(
        Everything::of(&api).await? == everything,
        "it is the gallery that it was"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_damaged_is_named_and_nothing_is_published() -> Result<()> {
    let from = Place::embedded()?;
    let (server, owner, _) = filled(&from, 4).await?;
    let everything = Everything::of(&owner).await?;
    let backups = tempfile::tempdir()?;
    let directory = backups.path().join("backup");
    from.succeeds(&["export", text(&directory)?])?;
    let id = |n: usize| everything.images[n]["id"].as_str().context("an id");
    let to = Place::embedded()?;

    // In the backup: other bytes, a file that is too short, one that is not there, and one that is no file.
    let original = directory.join("originals").join(id(0)?);
    let sound = fs::read(&original)?;
    let mut other = sound.clone();
    other[100] ^= 1;
    fs::write(&original, &other)?;
    let short = directory.join(format!("thumbnails/{}/320.jpg", id(1)?));
    fs::write(&short, &fs::read(&short)?[..10])?;
    fs::remove_file(directory.join("originals").join(id(2)?))?;
    let linked = directory.join("originals").join(id(3)?);
    fs::rename(&linked, directory.join("elsewhere"))?;
    std::os::unix::fs::symlink("../elsewhere", &linked)?;
    let why = to.fails(&["import", text(&directory)?])?;
    for (key, what) in [
        (
            format!("originals/{} ", id(0)?),
            "has other bytes than it should",
        ),
        (
            format!("thumbnails/{}/320.jpg ", id(1)?),
            "has 10 bytes and should have",
        ),
        (format!("originals/{} ", id(2)?), "is missing"),
        (format!("originals/{} ", id(3)?), "is no file"),
    ] {
        let told = why.lines().find(|line| line.contains(&key));
        ensure!(told.is_some_and(|line| line.contains(what)), "{key}: {why}");
    }
    ensure!(
        why.contains("4 files of the backup are missing or damaged"),
        "{why}"
    );
    let empty = to.start("127.0.0.1:0", "none")?;
    ensure!(
        Api::new(&empty.url, None)?.images().await?.is_empty(),
        "nothing is published"
    );
    drop(empty);

    // Mended from the gallery.
    fs::remove_file(&linked)?;
    from.succeeds(&["export", text(&directory)?, "--verify"])?;
    ensure!(fs::read(&original)? == sound, "it is mended");

    // The list itself.
    let list = directory.join("gallery.jsonl");
    let told = fs::read_to_string(&list)?;
    for (what, text_of_it) in [
        ("not whole", told[..told.len() / 2].to_owned()),
        (
            "not those that were written",
            told.replacen("\"width\":200", "\"width\":201", 1),
        ),
        (
            "not in order",
            told.replacen("\"sequence\":4", "\"sequence\":1", 1),
        ),
        ("", told.replacen(id(0)?, "../../../../etc/passwd", 1)),
        (
            "no picture's type",
            told.replacen("image/jpeg", "text/html", 1),
        ),
    ] {
        fs::write(&list, &text_of_it)?;
        let why = to.fails(&["import", text(&directory)?])?;
        ensure!(
            why.contains("gallery.jsonl, line ") && why.contains(what),
            "{what}: {why}"
        );
    }
    fs::write(&list, &told)?;

    // In the gallery: the picture is left out, and told each time.
    let shards = from.path().join("data/store/imgn-pictures/objects");
    let damaged = format!("originals/{}", id(0)?);
    let hit = imgn_testkit::process::files_below(&shards)?
        .into_iter()
        .find(|(path, _)| {
            fs::read(path).is_ok_and(|bytes| String::from_utf8_lossy(&bytes).contains(&damaged))
        });
    fs::write(hit.context("the object")?.0, "damaged")?;
    from.succeeds(&["export", text(&directory)?])?;
    let anew = backups.path().join("anew");
    let output = from.run(&["export", text(&anew)?])?;
    let why = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(1), "{why}");
    ensure!(
        why.contains(&damaged) && why.contains("1 pictures are broken"),
        "{why}"
    );
    let why = to.fails(&["import", text(&anew)?, "--move"])?;
    ensure!(why.contains("left out"), "{why}");
    drop(server);

    let said = to.succeeds(&["import", text(&directory)?])?;
    ensure!(said.contains("as another gallery"), "{said}");
    let server = to.start("127.0.0.1:0", "none")?;
    let there = Everything::of(&Api::new(&server.url, None)?).await?;
    ensure!(there.images == everything.images && there.objects == everything.objects);
    ensure!(
        there.feed["feed"] != everything.feed["feed"],
        "it is told apart"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mirror_goes_on_after_a_move_and_begins_anew_after_a_restore() -> Result<()> {
    let from = Place::embedded()?;
    let (mut server, owner, _) = filled(&from, 6).await?;
    let admin = server.token.clone();
    let pictures = owner.images().await?.len();
    let address = server.url.trim_start_matches("http://").to_owned();
    let proxy = FaultProxy::start(&address, |_: &Seen| Fate::Pass).await?;
    let home = tempfile::tempdir()?;
    let client = Client::new(home.path(), &proxy.url(), None);
    let sync = || -> Result<Vec<Seen>> {
        let before = proxy.seen().len();
        let answer = client.run(&["sync"])?;
        ensure!(answer.code == Some(0), "{}", answer.stderr);
        Ok(proxy.seen().split_off(before))
    };
    let listed = || -> Result<usize> {
        let answer = client.run(&["list", "--offline", "--json", "--limit", "100"])?;
        Ok(answer.objects()?.len())
    };
    let since = |seen: &[Seen]| -> Vec<u64> {
        let pages = seen.iter().filter(|one| one.path == "/v1/changes");
        pages
            .filter_map(|page| page.parameters.get("since")?.parse().ok())
            .collect()
    };
    let thumbnails = |seen: &[Seen]| {
        seen.iter()
            .filter(|one| one.path.contains("/thumb/"))
            .count()
    };
    sync()?;
    ensure!(listed()? == pictures);
    let backups = tempfile::tempdir()?;
    let backup = text(backups.path())?;
    ensure!(server.terminate()? == Some(0));
    from.succeeds(&["export", backup])?;

    // What takes long may be done before.
    let database = PostgreSql::start().await?;
    let to = Place::embedded()?.with_database(&database);
    let said = to.succeeds(&["import", backup, "--objects-only"])?;
    ensure!(said.contains("nothing was published"), "{said}");
    let said = to.succeeds(&["import", backup, "--move"])?;
    ensure!(said.contains("; 0 objects were stored now"), "{said}");
    let mut server = eventually("the address is free", PATIENCE, async || {
        Ok(to.start(&address, &admin).ok())
    })
    .await?;
    let api = Api::new(&server.url, Some(&admin))?;
    api.upload("new.jpg", &pictures::jpeg(99, 98)).await?;
    let seen = sync()?;
    ensure!(listed()? == pictures + 1);
    ensure!(since(&seen).iter().all(|&since| since > 0), "{seen:?}");
    ensure!(
        thumbnails(&seen) <= 2,
        "only what is new is fetched: {seen:?}"
    );

    // The older state of before, restored: the picture since is not in it, and nobody may think so.
    ensure!(server.terminate()? == Some(0));
    let restored = Place::embedded()?;
    restored.succeeds(&["import", backup])?;
    let server = eventually("the address is free", PATIENCE, async || {
        Ok(restored.start(&address, &admin).ok())
    })
    .await?;
    let api = Api::new(&server.url, Some(&admin))?;
    for n in 0..3 {
        api.upload("other.jpg", &pictures::jpeg(77 + n, 98)).await?;
    }
    let seen = sync()?;
    ensure!(listed()? == pictures + 3);
    ensure!(since(&seen).contains(&0), "{seen:?}");
    Ok(())
}
