//! Other people's clients in a real Chromium, on pages of another origin: the flow of the pages of 2018, and Uppy's core
//! and S3 plugin as their authors publish them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail, ensure};
use fantoccini::{Client, Locator};
use imgn_testkit::{
    pictures,
    process::{Running, ServerProcess, eventually},
};
use serde_json::{Value, json};

use crate::{
    api::{Api, sha256},
    driver::{Driver, PATIENCE, chromium, script},
};

const CLIENTS: &str = include_str!("../../docs/CLIENTS.md");

/// 60 MB, in parts of 5 MiB.
const LARGE: usize = 60_000_000;
const PARTS: u64 = 12;

/// Pages and files on an origin of their own.
struct Site {
    directory: PathBuf,
    url: String,
    _server: Running,
}

impl Site {
    fn start(directory: &Path) -> Result<Self> {
        let clients = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients");
        fs::create_dir(directory)?;
        for file in ["uppy.html", "pages-2018.html", "dist/uppy.js"] {
            let from = clients.join(file);
            let name = from.file_name().context("a file")?;
            fs::copy(&from, directory.join(name))
                .with_context(|| format!("{}; `cargo xtask test` makes it", from.display()))?;
        }
        // It says on standard output where it listens.
        let mut command = Command::new("python3");
        command
            .args([
                "-u",
                "-m",
                "http.server",
                "0",
                "--bind",
                "127.0.0.1",
                "--directory",
            ])
            .arg(directory);
        let (server, line) = Running::start(command, &directory.with_extension("log"))?;
        let url = line.split(['(', ')']).nth(1).context(line.clone())?;
        Ok(Self {
            directory: directory.to_owned(),
            url: url.trim_end_matches('/').to_owned(),
            _server: server,
        })
    }

    fn page(&self, page: &str, gallery: &str) -> String {
        format!("{}/{page}?gallery={gallery}", self.url)
    }

    fn file(&self, name: &str, bytes: &[u8]) -> Result<PathBuf> {
        let path = self.directory.join(name);
        fs::write(&path, bytes)?;
        Ok(path)
    }
}

/// A gallery, a page with Uppy, and a browser that shows it.
struct Stage {
    server: ServerProcess,
    site: Site,
    client: Client,
    _driver: Driver,
}

impl Stage {
    async fn set(directory: &Path, arguments: &[&str], page: &str) -> Result<Self> {
        let server = ServerProcess::start(&directory.join("server"), arguments)?;
        let site = Site::start(&directory.join("site"))?;
        let (driver, client) = chromium(&directory.join("profile")).await?;
        client.goto(&site.page(page, &server.url)).await?;
        Ok(Self {
            server,
            site,
            client,
            _driver: driver,
        })
    }

    /// Lets the page upload under this token.
    async fn uppy_with_token(&self, token: &str) -> Result<()> {
        eventually("the page has loaded Uppy", PATIENCE, async || {
            Ok(
                (script(&self.client, "return window.ready ?? null", vec![]).await? == true)
                    .then_some(()),
            )
        })
        .await?;
        let source = "window.token = arguments[0]";
        script(&self.client, source, vec![json!(token)]).await?;
        Ok(())
    }

    /// Picks a file and begins to send it.
    async fn send(&self, file: &Path, stop: Value) -> Result<()> {
        let picker = self.client.find(Locator::Id("file")).await?;
        picker.send_keys(file.to_str().context("a path")?).await?;
        let source = "window.send(...arguments).catch((error) => { window.seen.result = {error: String(error)}; })";
        script(&self.client, source, vec![stop]).await?;
        Ok(())
    }

    async fn seen(&self, what: &str, holds: impl Fn(&Value) -> bool) -> Result<Value> {
        eventually(what, PATIENCE * 2, async || {
            let seen = script(&self.client, "return window.seen", vec![]).await?;
            ensure!(
                seen["result"]["error"].is_null() || holds(&seen),
                "{what}: {seen}"
            );
            Ok(holds(&seen).then_some(seen))
        })
        .await
    }

    /// How a file that is sent to its end ended.
    async fn uploaded(&self) -> Result<Value> {
        let seen = self
            .seen("the upload ends", |seen| !seen["result"].is_null())
            .await?;
        ensure!(seen["result"]["successful"] == 1, "{seen}");
        ensure!(seen["result"]["failed"] == 0, "{seen}");
        ensure!(is_a_server_s(&seen["result"]["key"]), "{seen}");
        Ok(seen)
    }

    /// What was begun and stopped: the path under which Companion's protocol knows it.
    fn multipart(multipart: &Value) -> Result<(String, String)> {
        let id = multipart["uploadId"].as_str().context("an upload id")?;
        ensure!(is_a_server_s(&multipart["key"]), "{multipart}");
        let key = multipart["key"].as_str().context("a key")?;
        Ok((format!("/s3/multipart/{id}"), format!("?key={key}")))
    }
}

/// Whether a key is of those that the server makes: an id of its own, in one of its two places, of which one is by owners.
fn is_a_server_s(key: &Value) -> bool {
    let key = key.as_str().unwrap_or_default();
    let below_owner = || key.strip_prefix("staged/")?.split_once('/');
    let id = key
        .strip_prefix("originals/")
        .or(below_owner().map(|(_, id)| id));
    id.is_some_and(|id| id.len() == 36 && id.parse::<uuid::Uuid>().is_ok())
}

/// A picture, padded behind its end where decoders do not read.
fn picture(width: u32, size: usize) -> Vec<u8> {
    let mut bytes = pictures::jpeg(width, 60);
    bytes.resize(size, 0);
    bytes
}

/// The picture is in the gallery under its name, with these bytes.
async fn published(api: &Api, name: &str, bytes: &[u8]) -> Result<Value> {
    let image = eventually("the picture is in the gallery", PATIENCE, async || {
        let images = api.images().await?;
        Ok(images.into_iter().find(|image| image["file_name"] == name))
    })
    .await?;
    ensure!(image["sha256"] == sha256(bytes), "{image}");
    Ok(image)
}

#[tokio::test]
async fn a_page_of_2018_uploads_and_lists() -> Result<()> {
    let directory = tempfile::tempdir()?;
    // Such a page has no token to send.
    let stage = Stage::set(
        directory.path(),
        &["--anonymous-uploads"],
        "pages-2018.html",
    )
    .await?;
    let client = &stage.client;
    let bytes = pictures::jpeg(100, 60);
    let file = stage.site.file("a \"picture\" <b>.jpg", &bytes)?;
    let picker = client.find(Locator::Id("file")).await?;
    picker.send_keys(file.to_str().context("a path")?).await?;
    client.find(Locator::Css("button")).await?.click().await?;
    eventually("the page has sent it", PATIENCE, async || {
        let status = client.find(Locator::Id("status")).await?.text().await?;
        ensure!(status.is_empty() || status == "sent", "{status}");
        Ok((status == "sent").then_some(()))
    })
    .await?;
    const SHOWN: &str = "
        list();
        return [...document.querySelectorAll('#gallery li')].map((item) => {
            const image = item.querySelector('img');
            return [item.innerText, image.complete ? `${image.naturalWidth}x${image.naturalHeight}` : ''];
        });";
    eventually("the page shows it", PATIENCE, async || {
        let shown = script(client, SHOWN, vec![]).await?;
        Ok((shown == json!([["100x60", "100x60"]])).then_some(()))
    })
    .await?;
    let api = Api::new(&stage.server.url, None)?;
    let image = published(&api, "a \"picture\" <b>.jpg", &bytes).await?;
    ensure!(image["width"] == 100 && image["height"] == 60, "{image}");
    stage.client.clone().close().await?;
    Ok(())
}

/// The page that `docs/CLIENTS.md` gives to copy, with nothing but the address changed, and its commands for a terminal.
#[tokio::test]
async fn what_the_documentation_gives_to_copy_works() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let arguments = ["--anonymous-uploads", "--relay-max-size", "1M"];
    let stage = Stage::set(directory.path(), &arguments, "pages-2018.html").await?;
    let (client, api) = (&stage.client, Api::new(&stage.server.url, None)?);
    let url = stage.server.url.trim_end_matches('/');
    let blocks = |language: &str| -> Vec<String> {
        let blocks = CLIENTS.split("```").skip(1).step_by(2);
        let blocks = blocks.filter_map(|block| block.strip_prefix(language)?.strip_prefix('\n'));
        blocks
            .map(|block| block.replace("https://pictures.example.org", url))
            .collect()
    };
    let pages = blocks("html");
    let [page] = &pages[..] else {
        bail!("{} pages", pages.len());
    };
    stage.site.file("copied.html", page.as_bytes())?;
    client.goto(&stage.site.page("copied.html", "")).await?;
    let pick = async |name: &str, bytes: &[u8]| -> Result<()> {
        let file = stage.site.file(name, bytes)?;
        let picker = client.find(Locator::Id("file")).await?;
        Ok(picker.send_keys(file.to_str().context("a path")?).await?)
    };
    let bytes = pictures::jpeg(100, 60);
    pick("a.jpg", &bytes).await?;
    published(&api, "a.jpg", &bytes).await?;
    eventually("the page shows it", PATIENCE, async || {
        let shown = "return document.getElementById('gallery').innerText";
        Ok((script(client, shown, vec![]).await? == "100x60").then_some(()))
    })
    .await?;
    pick("b.jpg", b"no picture").await?;
    let told = eventually("the page says what is wrong", PATIENCE, async || {
        Ok(client.get_alert_text().await.ok())
    })
    .await?;
    ensure!(told.contains("b.jpg"), "{told}");
    client.accept_alert().await?;

    let commands = blocks("sh");
    ensure!(commands.len() == 2, "{commands:?}");
    for (number, commands) in (0..).zip(commands) {
        let bytes = pictures::jpeg(200 + number, 60);
        let file = stage.site.file("a.jpg", &bytes)?;
        let ran = Command::new("bash")
            .args(["-e", "-c", &commands])
            .env("TOKEN", &stage.server.token)
            .current_dir(file.parent().context("a folder")?)
            .output()?;
        ensure!(ran.status.success(), "{commands}: {ran:?}");
        eventually("it is in the gallery", PATIENCE, async || {
            let images = api.images().await?;
            let sum = sha256(&bytes);
            Ok(images
                .iter()
                .any(|image| image["sha256"] == sum)
                .then_some(()))
        })
        .await?;
    }
    stage.client.clone().close().await?;
    Ok(())
}

#[tokio::test]
async fn uppy_uploads_pauses_resumes_and_cancels() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let stage = Stage::set(directory.path(), &["--max-size", "64M"], "uppy.html").await?;
    let ada = stage.server.add_token("ada", "uploader")?;
    let bob = stage.server.add_token("bob", "uploader")?;
    let api = Api::new(&stage.server.url, Some(&ada))?;
    stage.uppy_with_token(&ada).await?;

    // Small: one request.
    let small = picture(100, 100_000);
    let file = stage.site.file("small.jpg", &small)?;
    stage.send(&file, json!({})).await?;
    let seen = stage.uploaded().await?;
    ensure!(seen["parts"] == json!([]), "{seen}");
    let image = published(&api, "small.jpg", &small).await?;
    ensure!(image["owner"] == "ada" && image["width"] == 100, "{image}");
    // The page can show what Uppy tells it, though that is where the file was sent to.
    const SHOW: &str = "
        const image = new Image();
        image.src = arguments[0];
        return image.decode().then(() => `${image.naturalWidth}x${image.naturalHeight}`);";
    let shown = script(
        &stage.client,
        SHOW,
        vec![seen["result"]["location"].clone()],
    )
    .await?;
    ensure!(shown == "100x60", "{shown} {seen}");

    // Large: in parts, all of them once.
    let all: Vec<u64> = (1..=PARTS).collect();
    let large = picture(101, LARGE);
    let file = stage.site.file("large.jpg", &large)?;
    stage.send(&file, json!({})).await?;
    let seen = stage.uploaded().await?;
    ensure!(seen["parts"] == json!(all), "{seen}");
    let image = published(&api, "large.jpg", &large).await?;
    ensure!(seen["result"]["location"] == image["url"], "{seen}");

    // Paused after some parts, which are not sent again.
    let paused = picture(102, LARGE);
    let file = stage.site.file("paused.jpg", &paused)?;
    stage
        .send(&file, json!({"after": 4, "by": "pause"}))
        .await?;
    let seen = stage
        .seen("it is paused", |seen| seen["paused"] == true)
        .await?;
    ensure!(seen["parts"] == json!([1, 2, 3, 4]), "{seen}");
    let multipart = script(&stage.client, "return window.multipart()", vec![]).await?;
    let (path, key) = Stage::multipart(&multipart)?;
    let parts = api.get(&format!("{path}{key}")).await?;
    ensure!(parts.json.as_array().map(Vec::len) == Some(4), "{parts:?}");
    // Another's id is no id; and there are no other parts than S3 has.
    let bob = api.with_token(Some(&bob));
    let stranger = bob.get(&format!("{path}{key}")).await?;
    ensure!(stranger.status == 404, "{stranger:?}");
    for number in [0, 10_001] {
        let answer = api.get(&format!("{path}/{number}{key}")).await?;
        ensure!(answer.status == 400, "{number}: {answer:?}");
    }
    script(&stage.client, "window.uppy.resumeAll()", vec![]).await?;
    let seen = stage.uploaded().await?;
    ensure!(seen["parts"] == json!(all), "{seen}");
    published(&api, "paused.jpg", &paused).await?;

    // Cancelled while it is sent: the store keeps nothing of it, and nobody knows it any more.
    eventually("the store has the two large ones", PATIENCE, async || {
        Ok(has_large(&stage.server, 2)?.then_some(()))
    })
    .await?;
    let cancelled = picture(103, LARGE);
    let file = stage.site.file("cancelled.jpg", &cancelled)?;
    stage
        .send(&file, json!({"after": 3, "by": "cancel"}))
        .await?;
    let seen = stage
        .seen("it is cancelled", |seen| !seen["cancelled"].is_null())
        .await?;
    ensure!(seen["parts"] == json!([1, 2, 3]), "{seen}");
    let (path, key) = Stage::multipart(&seen["cancelled"])?;
    eventually(
        "it is nobody's, and the store keeps nothing of it",
        PATIENCE,
        async || {
            let parts = api.get(&format!("{path}{key}")).await?;
            let is_gone = parts.status == 404 && has_large(&stage.server, 2)?;
            Ok(is_gone.then_some(()))
        },
    )
    .await?;
    let names: Vec<_> = api
        .images()
        .await?
        .iter()
        .map(|image| image["file_name"].clone())
        .collect();
    ensure!(
        names == ["paused.jpg", "large.jpg", "small.jpg"],
        "{names:?}"
    );
    stage.client.clone().close().await?;
    Ok(())
}

/// Whether the store has so many large files and nothing else of that size, nor a part of one.
fn has_large(server: &ServerProcess, count: u64) -> Result<bool> {
    let is_catalogue_s = |path: &Path| path.to_string_lossy().contains(".sqlite");
    let files = server.files()?;
    let kept = files.iter().filter(|(path, _)| !is_catalogue_s(path));
    let kept: u64 = kept.map(|(_, size)| size).sum();
    let large = count * LARGE as u64;
    // Small ones and thumbnails are beside them.
    Ok((large..large + 1_000_000).contains(&kept))
}

#[tokio::test]
async fn two_tabs_with_uppy_upload_at_once() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let arguments = ["--max-size", "64M", "--anonymous-uploads"];
    let stage = Stage::set(directory.path(), &arguments, "uppy.html").await?;
    let api = Api::new(&stage.server.url, None)?;
    let first = stage.client.window().await?;
    let second = stage.client.new_window(true).await?.handle;
    let tabs = [(first, "one.jpg", 104), (second, "two.jpg", 105)];
    let page = stage.site.page("uppy.html", &stage.server.url);
    for (tab, _, _) in &tabs {
        stage.client.switch_to_window(tab.clone()).await?;
        stage.client.goto(&page).await?;
        eventually("the page has loaded Uppy", PATIENCE, async || {
            Ok(
                (script(&stage.client, "return window.ready ?? null", vec![]).await? == true)
                    .then_some(()),
            )
        })
        .await?;
    }
    // Both are in the middle of it before either goes on.
    let stop = json!({"after": 4, "by": "pause"});
    for (tab, name, width) in &tabs {
        let file = stage.site.file(name, &picture(*width, LARGE))?;
        stage.client.switch_to_window(tab.clone()).await?;
        stage.send(&file, stop.clone()).await?;
        stage
            .seen("it is paused", |seen| seen["paused"] == true)
            .await?;
    }
    for (tab, _, _) in &tabs {
        stage.client.switch_to_window(tab.clone()).await?;
        script(&stage.client, "window.uppy.resumeAll()", vec![]).await?;
    }
    let all: Vec<u64> = (1..=PARTS).collect();
    let mut keys = Vec::new();
    for (tab, name, width) in &tabs {
        stage.client.switch_to_window(tab.clone()).await?;
        let seen = stage.uploaded().await?;
        ensure!(seen["parts"] == json!(all), "{seen}");
        keys.push(seen["result"]["key"].clone());
        published(&api, name, &picture(*width, LARGE)).await?;
    }
    ensure!(keys[0] != keys[1], "{keys:?}");
    stage.client.clone().close().await?;
    Ok(())
}
