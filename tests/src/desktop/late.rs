//! Uploads that outlive what took them in: what becomes of them is told like that of any other.

use std::{fs, process::Stdio};

use anyhow::{Context as _, Result, ensure};
use imgn_testkit::{
    pictures,
    process::{ServerProcess, eventually, program},
};
use serde_json::{Value, json};

use super::{
    clipboard::{copy, links},
    file,
    quick::{notifications, press, told},
    screen::Screen,
    tray::{Desktop, host},
    window::Window,
};
use crate::driver::{PATIENCE, element};

/// Bytes a second at which an upload is met half-way.
const SLOW: u64 = 500_000;

/// Chooses how fast uploads are sent from now on.
async fn send_at(window: &Window, bytes_per_second: Option<u64>) -> Result<()> {
    let chosen = json!({"keep_location": false, "jobs": 1, "bytes_per_second": bytes_per_second});
    let answer = window
        .invoke("set_upload_preferences", json!({ "preferences": chosen }))
        .await?;
    ensure!(answer.get("ok").is_some(), "{answer}");
    Ok(())
}

/// The one upload, once it is on its way.
async fn on_its_way(window: &Window) -> Result<Value> {
    eventually("some of it is sent", PATIENCE, async || {
        let uploads = window.invoke("uploads", json!({})).await?;
        let mut uploads = uploads["ok"].as_array().context("a list")?.iter();
        let sent = |it: &&Value| it["sent_bytes"].as_u64() > Some(0);
        Ok(uploads.find(sent).map(|it| it["id"].clone()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_tried_again_ends_with_its_link() -> Result<()> {
    let screen = Screen::start()?;
    let picture = file(&screen, "again.png", &pictures::sized_png(3_000_000, 4))?;
    let window = Window::open(screen, &["--local-gallery"]).await?;
    element(&window.page, "empty-gallery").await?;
    send_at(&window, Some(SLOW)).await?;
    window.drop_files(&[picture]).await?;
    let id = on_its_way(&window).await?;
    window.invoke("cancel_upload", json!({ "id": id })).await?;
    send_at(&window, None).await?;
    // Of what was cancelled nothing is told; that it is wanted after all is another matter.
    copy(window.screen(), "UTF8_STRING", b"something else")?;
    eventually("it is tried again", PATIENCE, async || {
        let answer = window.invoke("retry_upload", json!({ "id": id })).await?;
        Ok(answer.get("ok").map(drop))
    })
    .await?;
    let lines = links(window.screen(), 1).await?;
    ensure!(lines[0].starts_with("![again.png]("), "{lines:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waited_while_another_gallery_was_shown_ends_with_its_link() -> Result<()> {
    let screen = Screen::start()?;
    let other = ServerProcess::start(&screen.folder().join("server"), &[])?;
    let small = file(&screen, "a.jpg", &pictures::jpeg(90, 60))?;
    let large = file(&screen, "b.png", &pictures::sized_png(3_000_000, 4))?;
    let window = Window::open(screen, &["--local-gallery"]).await?;
    element(&window.page, "empty-gallery").await?;
    send_at(&window, Some(SLOW)).await?;
    window.drop_files(&[small, large]).await?;
    on_its_way(&window).await?;
    let connect = json!({ "server": other.url, "token": null });
    let answer = window.invoke("connect", connect).await?;
    ensure!(answer.get("ok").is_some(), "{answer}");
    send_at(&window, None).await?;
    copy(window.screen(), "UTF8_STRING", b"something else")?;
    let answer = window.invoke("start_local_gallery", json!({})).await?;
    ensure!(answer.get("ok").is_some(), "{answer}");
    // With the one that had ended before: they were dropped together.
    let lines = links(window.screen(), 2).await?;
    ensure!(lines[0].starts_with("![a.jpg]("), "{lines:?}");
    ensure!(lines[1].starts_with("![b.png]("), "{lines:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_command_line_leaves_behind_ends_with_link_notification_and_undo()
-> Result<()> {
    let screen = Screen::start()?;
    let _host = host(&screen)?;
    let notifications = notifications(&screen)?;
    let desktop = Desktop::start(screen, &["--minimised"])?;
    let screen = &desktop.screen;
    eventually("it is in the tray", PATIENCE, async || desktop.tray(&[])).await?;

    let picture = file(screen, "left.png", &pictures::sized_png(3_000_000, 4))?;
    let imgn = program("imgn")?;
    let mut upload = screen.command(imgn.to_str().context("a path in UTF-8")?);
    upload
        .env("IMGN_SERVER", &desktop.server.url)
        .env("IMGN_TOKEN", &desktop.server.token)
        .args(["upload", "--limit-rate", "500K"])
        .arg(&picture)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(fs::File::create(screen.folder().join("imgn.log"))?);
    let mut upload = upload.spawn()?;
    eventually("some of it is sent", PATIENCE, async || {
        let mut queue = screen.command(imgn.to_str().context("a path in UTF-8")?);
        let queue = queue
            .env("IMGN_SERVER", &desktop.server.url)
            .env("IMGN_TOKEN", &desktop.server.token)
            .args(["--json", "queue"])
            .output()?;
        let queued = String::from_utf8_lossy(&queue.stdout).into_owned();
        Ok(queued.contains("left.png").then_some(()))
    })
    .await?;
    upload.kill()?;
    upload.wait()?;

    let lines = links(screen, 1).await?;
    ensure!(lines[0].starts_with("![left.png]("), "{lines:?}");
    let notice = eventually("there is a notification", PATIENCE, async || {
        Ok(told(&notifications).into_iter().next())
    })
    .await?;
    ensure!(notice["summary"] == "Uploaded, link copied", "{notice}");
    press(screen, &notice["id"], "undo")?;
    eventually("the picture is taken back", PATIENCE, async || {
        Ok(desktop.api.images().await?.is_empty().then_some(()))
    })
    .await
}
