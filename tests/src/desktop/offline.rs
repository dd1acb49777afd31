//! The window without its server: what was seen is there, and what was asked for is done later.

use anyhow::{Context as _, Result, ensure};
use imgn_testkit::{
    pictures,
    process::{ServerProcess, eventually, program},
};
use serde_json::json;

use super::{screen::Screen, window::Window};
use crate::{
    api::Api,
    driver::{PATIENCE, element},
};

/// Pictures that tell their shapes apart.
const PICTURES: [(&str, u32, u32); 3] = [
    ("beach.jpg", 480, 320),
    ("forest.jpg", 320, 320),
    ("river.jpg", 600, 320),
];

async fn names(window: &Window) -> Result<Vec<String>> {
    let source = "return [...document.querySelectorAll(\"[data-testid='cell'] img\")]
        .filter((image) => image.closest(\"[data-testid='cell']\").getBoundingClientRect().width > 0)
        .map((image) => image.alt).filter((name) => name !== '').sort();";
    Ok(serde_json::from_value(
        window.page.execute(source, vec![]).await?,
    )?)
}

async fn shows(window: &Window, what: &str, expected: &[&str]) -> Result<()> {
    eventually(what, PATIENCE, async || {
        Ok((names(window).await? == expected).then_some(()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_seen_is_there_without_the_server_and_deletions_are_done_later() -> Result<()> {
    let screen = Screen::start()?;
    let mut server = ServerProcess::start(&screen.folder().join("server"), &[])?;
    let api = Api::new(&server.url, Some(&server.token))?;
    let mut files = Vec::new();
    for (name, width, height) in PICTURES {
        let file = pictures::jpeg(width, height);
        let outcome = api.upload(name, &file).await?;
        let id = outcome["image"]["id"].as_str().context("an id")?.to_owned();
        files.push((name, id, file));
    }
    let (kept_name, kept, original) = &files[0];

    let window = Window::open(screen, &[]).await?;
    element(&window.page, "first-start").await?;
    let arguments = json!({"server": server.url, "token": server.token});
    let connected = window.invoke("connect", arguments).await?;
    ensure!(connected.pointer("/ok").is_some(), "{connected}");
    let mut before = Vec::new();
    for (name, ..) in &files {
        before.push(window.painted(name).await?.picture);
    }
    let asked = json!({"ids": [kept], "keep": true});
    let answer = window.invoke("keep_originals", asked).await?;
    ensure!(answer.get("error").is_none(), "{answer}");
    eventually("the original is on this computer", PATIENCE, async || {
        let state = window.invoke("offline_state", json!({})).await?;
        Ok((state["ok"]["here"] == 1).then_some(()))
    })
    .await?;

    server.terminate()?;
    element(&window.page, "offline-banner").await?;
    let screen = window.close().await?;

    // The command line shares the profile.
    let target = screen.folder().join("original.jpg");
    let mut get = screen.command(program("imgn")?.to_str().context("a path")?);
    let got = get
        .args(["get", kept, "-o"])
        .arg(&target)
        .output()
        .context("imgn")?;
    ensure!(
        got.status.success(),
        "{}",
        String::from_utf8_lossy(&got.stderr)
    );
    ensure!(std::fs::read(&target)? == *original, "byte for byte");

    // A cold start.
    let window = Window::open(screen, &[]).await?;
    element(&window.page, "offline-banner").await?;
    for ((name, ..), before) in files.iter().zip(&before) {
        let again = window.painted(name).await?.picture;
        let picture =
            |png: &[u8]| Ok::<_, image::ImageError>(image::load_from_memory(png)?.into_rgb8());
        let (before, again) = (picture(before)?, picture(&again)?);
        ensure!(before.dimensions() == again.dimensions(), "{name}");
        let difference = pictures::mean_difference(&before, &again);
        ensure!(
            difference < 1.0,
            "{name} is painted as before: {difference}"
        );
    }
    let search = element(&window.page, "search").await?;
    search.send_keys("fores").await?;
    shows(
        &window,
        "the search finds without the server",
        &["forest.jpg"],
    )
    .await?;
    // Escape.
    search.send_keys("\u{e00c}").await?;
    let all: Vec<&str> = PICTURES.iter().map(|(name, ..)| *name).collect();
    shows(&window, "all again", &all).await?;

    let gone = &files[2].1;
    let answer = window
        .invoke("delete_images", json!({"ids": [gone]}))
        .await?;
    ensure!(answer["ok"]["queued"] == json!([gone]), "{answer}");
    shows(&window, "the deleted one is gone at once", &all[..2]).await?;
    server.restart()?;
    eventually("the deletion is carried out", PATIENCE, async || {
        let images = api.images().await?;
        Ok((images.len() == 2).then_some(()))
    })
    .await?;
    super::gone(&window, "offline-banner").await?;
    ensure!(
        names(&window).await? == all[..2],
        "{kept_name} is still there"
    );
    Ok(())
}
