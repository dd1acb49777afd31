//! What was chosen in the settings' file before the start, done by the app.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use imgn_testkit::{
    pictures,
    process::{Running, eventually},
};
use serde_json::{Value, json};

use super::{
    clipboard::{copy, links},
    file,
    quick::{notifications, press, settings, told},
    screen::Screen,
    tray::{Desktop, host},
    window::Window,
};
use crate::driver::{PATIENCE, element};

/// The session, and an app in its tray that was told this.
async fn start(chosen: &str, arguments: &[&str]) -> Result<(Desktop, [Running; 2])> {
    let screen = Screen::start()?;
    settings(&screen, chosen)?;
    let helpers = [host(&screen)?, notifications(&screen)?];
    let desktop = Desktop::start(screen, arguments)?;
    eventually("it is in the tray", PATIENCE, async || desktop.tray(&[])).await?;
    Ok((desktop, helpers))
}

async fn upload(desktop: &Desktop, name: &str, width: u32) -> Result<()> {
    file(&desktop.screen, name, &pictures::jpeg(width, 40))?;
    copy(&desktop.screen, "UTF8_STRING", b"something else")?;
    ensure!(desktop.again(&[name])?.status.success());
    links(&desktop.screen, 1).await.map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_can_be_undone_for_as_long_as_was_chosen() -> Result<()> {
    let (desktop, [_host, notifications]) = start("undo_seconds = 1\n", &["--minimised"]).await?;
    upload(&desktop, "a.jpg", 60).await?;
    let notice = eventually("there is a notification", PATIENCE, async || {
        Ok(told(&notifications).into_iter().next())
    })
    .await?;
    let has_undo = |notice: &Value| {
        let actions = notice["actions"].as_array();
        actions.is_some_and(|actions| actions.contains(&json!("undo")))
    };
    ensure!(has_undo(&notice), "{notice}");
    eventually("it goes away", PATIENCE, async || {
        let closed = told(&notifications);
        let is_closed = |it: &Value| it["closed"] == notice["id"];
        Ok(closed.iter().any(is_closed).then_some(()))
    })
    .await?;
    // Who presses it all the same is late; what comes after it has its turn meanwhile.
    press(&desktop.screen, &notice["id"], "undo")?;
    upload(&desktop, "b.jpg", 61).await?;
    ensure!(desktop.api.images().await?.len() == 2);

    let (desktop, [_host, notifications]) = start("undo_seconds = 0\n", &["--minimised"]).await?;
    upload(&desktop, "a.jpg", 60).await?;
    let notice = eventually("there is a notification", PATIENCE, async || {
        Ok(told(&notifications).into_iter().next())
    })
    .await?;
    ensure!(!has_undo(&notice), "{notice}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_wants_no_notifications_gets_links_and_no_words() -> Result<()> {
    let (mut desktop, [_host, notifications]) = start("notify = false\n", &["--minimised"]).await?;
    upload(&desktop, "a.jpg", 60).await?;
    // At its end all has been said.
    desktop.click(&["Quit"]).await?;
    eventually("it has ended", PATIENCE, async || {
        Ok(desktop.app.has_ended()?.then_some(()))
    })
    .await?;
    let said = told(&notifications);
    ensure!(said.is_empty(), "{said:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_app_starts_and_ends_with_its_window_or_without_as_was_chosen() -> Result<()> {
    let (desktop, _helpers) = start("start_minimised = true\n", &[]).await?;
    ensure!(desktop.windows("^imgn$")? == 0, "it starts without");
    desktop.click(&["Settings"]).await?;
    desktop.until_windows(1).await?;

    let (mut desktop, _helpers) = start("keep_in_tray = false\n", &[]).await?;
    desktop.until_windows(1).await?;
    desktop.close_window().await?;
    eventually("it ends with its window", PATIENCE, async || {
        Ok(desktop.app.has_ended()?.then_some(()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_the_settings_say_so_the_app_starts_with_the_session() -> Result<()> {
    let window = Window::open(Screen::start()?, &["--local-gallery"]).await?;
    element(&window.page, "empty-gallery").await?;
    let chosen = window.invoke("desktop_preferences", json!({})).await?;
    let mut chosen = chosen.get("ok").context("preferences")?.clone();
    let entry = window.screen().folder().join("home/.config/autostart");
    for is_chosen in [true, false] {
        chosen["autostart"] = json!(is_chosen);
        let answer = window
            .invoke("set_desktop_preferences", json!({ "preferences": chosen }))
            .await?;
        ensure!(answer.get("ok").is_some(), "{answer}");
        let files = fs::read_dir(&entry)?.count();
        ensure!(files == usize::from(is_chosen), "{files}");
        for file in fs::read_dir(&entry)? {
            let text = fs::read_to_string(file?.path())?;
            let line = text.lines().find_map(|line| line.strip_prefix("Exec="));
            let line = line.with_context(|| format!("no Exec in {text}"))?;
            ensure!(line.contains("imgn-desktop"), "{line}");
        }
    }
    Ok(())
}
