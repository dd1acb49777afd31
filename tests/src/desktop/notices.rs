//! What is said where nobody looks at the window, and for how long it can be answered.

use std::{net::TcpListener, process::Stdio};

use anyhow::{Context as _, Result, ensure};
use imgn_testkit::{
    pictures,
    process::{Running, ServerProcess, eventually},
};
use serde_json::{Value, json};

use super::{
    clipboard::{copy, links, pasted},
    file,
    quick::{NOTIFICATIONS, notifications, press, settings, told},
    screen::Screen,
    tray::{Desktop, host},
    window::Window,
};
use crate::{
    api::http,
    driver::{PATIENCE, element},
};

/// The first notification with these words in its title or text.
async fn notice(notifications: &Running, words: &str) -> Result<Value> {
    eventually(&format!("it says {words:?}"), PATIENCE, async || {
        let has = |it: &&Value| {
            let text = |name: &str| it[name].as_str().unwrap_or_default().to_owned();
            text("summary").contains(words) || text("body").contains(words)
        };
        Ok(told(notifications).iter().find(has).cloned())
    })
    .await
}

async fn until_closed(notifications: &Running, id: &Value) -> Result<()> {
    eventually("it is taken away", PATIENCE, async || {
        let is_closed = |it: &Value| it["closed"] == *id;
        Ok(told(notifications).iter().any(is_closed).then_some(()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_for_notifications_may_come_later_and_an_upload_is_not_answered_for_ever()
-> Result<()> {
    let screen = Screen::start()?;
    let _host = host(&screen)?;
    let mut desktop = Desktop::start(screen, &["--minimised"])?;
    eventually("it is in the tray", PATIENCE, async || desktop.tray(&[])).await?;
    let upload = async |seed: u64| -> Result<()> {
        copy(
            &desktop.screen,
            "image/png",
            &pictures::sized_png(9000, seed),
        )?;
        desktop.click(&["Upload clipboard image"]).await?;
        links(&desktop.screen, 1).await.map(drop)
    };
    // Nobody shows it.
    upload(1).await?;
    let notifications = notifications(&desktop.screen)?;
    upload(2).await?;
    let first = notice(&notifications, "Uploaded, link copied").await?;

    // Taken away by somebody, it is answered no more.
    let mut python = desktop.screen.command("/usr/bin/python3");
    let dismissed = python
        .args([NOTIFICATIONS, "dismiss", &first["id"].to_string()])
        .stdin(Stdio::null())
        .output()?;
    ensure!(dismissed.status.success(), "{dismissed:?}");
    press(&desktop.screen, &first["id"], "undo")?;

    // What stands at the end of the program goes with it.
    upload(3).await?;
    let last = eventually("the next is said", PATIENCE, async || {
        let shown =
            |it: &&Value| it["summary"] == "Uploaded, link copied" && it["id"] != first["id"];
        Ok(told(&notifications).iter().find(shown).cloned())
    })
    .await?;
    ensure!(desktop.api.images().await?.len() == 3, "nothing was undone");
    desktop.app.terminate()?;
    until_closed(&notifications, &last["id"]).await?;
    eventually("it has ended", PATIENCE, async || {
        Ok(desktop.app.has_ended()?.then_some(()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn notifications_of_a_gallery_go_away_with_it() -> Result<()> {
    let screen = Screen::start()?;
    let notifications = notifications(&screen)?;
    let other = ServerProcess::start(&screen.folder().join("server"), &[])?;
    let picture = file(&screen, "here.jpg", &pictures::jpeg(300, 200))?;
    let window = Window::open(screen, &["--local-gallery"]).await?;
    element(&window.page, "empty-gallery").await?;
    window.drop_files(&[picture]).await?;
    let shown = notice(&notifications, "Uploaded, link copied").await?;
    let connected = window
        .invoke(
            "connect",
            json!({"server": other.url, "token": other.token}),
        )
        .await?;
    ensure!(connected.pointer("/ok").is_some(), "{connected}");
    until_closed(&notifications, &shown["id"]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_editor_uploads_is_announced_and_a_folder_is_refused() -> Result<()> {
    let screen = Screen::start()?;
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    settings(&screen, &format!("editors = true\neditors_port = {port}\n"))?;
    let _host = host(&screen)?;
    let notifications = notifications(&screen)?;
    let desktop = Desktop::start(screen, &["--minimised"])?;
    eventually("it is in the tray", PATIENCE, async || desktop.tray(&[])).await?;
    let folder = desktop.screen.folder().join("private");
    std::fs::create_dir(&folder)?;
    std::fs::write(folder.join("secret.jpg"), pictures::jpeg(50, 50))?;
    let picture = file(&desktop.screen, "named.jpg", &pictures::jpeg(120, 90))?;

    let client = http()?;
    let ask = async |path: &std::path::Path| -> Result<Value> {
        let request = client
            .post(format!("http://127.0.0.1:{port}/upload"))
            .body(json!({"list": [path]}).to_string());
        let response = eventually("it listens", PATIENCE, async || {
            Ok(request.try_clone().context("a body")?.send().await.ok())
        })
        .await?;
        Ok(serde_json::from_slice(&response.bytes().await?)?)
    };
    let refused = ask(&folder).await?;
    let message = refused["message"].as_str().unwrap_or_default();
    ensure!(
        refused["success"] == false && message.contains("it is a folder"),
        "{refused}"
    );
    ensure!(desktop.api.images().await?.is_empty(), "nothing of it");

    copy(&desktop.screen, "UTF8_STRING", b"mine")?;
    let answer = ask(&picture).await?;
    ensure!(answer["success"] == true, "{answer}");
    let shown = notice(&notifications, "Uploaded for another program").await?;
    ensure!(shown["body"] == "named.jpg", "{shown}");
    ensure!(pasted(&desktop.screen)? == "mine");
    press(&desktop.screen, &shown["id"], "undo")?;
    eventually("it is taken back", PATIENCE, async || {
        Ok(desktop.api.images().await?.is_empty().then_some(()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_given_in_vain_is_said_where_it_is_seen() -> Result<()> {
    let screen = Screen::start()?;
    let folder = screen.folder().join("without");
    std::fs::create_dir(&folder)?;
    std::fs::write(folder.join("notes.txt"), "words")?;
    let _host = host(&screen)?;
    let notifications = notifications(&screen)?;
    let desktop = Desktop::start(screen, &["--minimised"])?;
    eventually("it is in the tray", PATIENCE, async || desktop.tray(&[])).await?;
    ensure!(desktop.again(&["without"])?.status.success());
    notice(&notifications, "no picture in what was given").await?;
    copy(&desktop.screen, "UTF8_STRING", b"just words")?;
    desktop.click(&["Upload clipboard image"]).await?;
    notice(&notifications, "no picture and no file on the clipboard").await?;
    ensure!(desktop.windows("imgn")? == 0, "and nothing is in the way");
    Ok(())
}

/// The page is told also what happened before there was one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_fails_before_the_page_listens_is_said_in_it() -> Result<()> {
    let words = ["--local-gallery", "imgn://upload?path=/etc/passwd"];
    let window = Window::open(Screen::start()?, &words).await?;
    eventually("it says why", PATIENCE, async || {
        let source = window.page.source().await?;
        Ok(source.contains("means nothing to imgn").then_some(()))
    })
    .await
}
