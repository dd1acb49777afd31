//! The tray with no window of ours: files and folders that are chosen in the desktop's own dialog, and a press of the icon.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use imgn_testkit::{pictures, process::eventually};

use super::{
    clipboard::links,
    file,
    screen::Screen,
    tray::{Desktop, host},
};
use crate::driver::PATIENCE;

/// Has the tray open a dialog and chooses this in it, as who knows the path does: by typing it.
async fn choose(desktop: &Desktop, label: &str, path: &Path) -> Result<()> {
    desktop.click(&[label]).await?;
    let title = format!("^{}$", label.trim_end_matches('…'));
    let activate = [
        "search",
        "--onlyvisible",
        "--name",
        &title,
        "windowactivate",
        "--sync",
    ];
    eventually("the dialog is there", PATIENCE, async || {
        Ok(desktop.screen.xdotool(&activate).ok().map(drop))
    })
    .await?;
    let path = path.to_str().context("a path in UTF-8")?;
    // A slash opens the line for paths, which misses the key that follows it.
    let open = ["key", "slash", "ctrl+a", "ctrl+a"];
    desktop.screen.xdotool(&open)?;
    desktop.screen.xdotool(&["type", path])?;
    eventually("the dialog is closed", PATIENCE, async || {
        if desktop.windows(&title)? == 0 {
            return Ok(Some(()));
        }
        // What completes the path may still be at it, or have put a slash after a folder's name.
        desktop.screen.xdotool(&["key", "End", "Return"])?;
        Ok(None)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_chosen_from_the_tray_is_uploaded() -> Result<()> {
    let screen = Screen::start()?;
    let _host = host(&screen)?;
    let one = file(&screen, "one.jpg", &pictures::jpeg(200, 100))?;
    let folder = screen.folder().join("a folder");
    std::fs::create_dir(&folder)?;
    std::fs::write(folder.join("two.jpg"), pictures::jpeg(201, 100))?;
    let desktop = Desktop::start(screen, &["--minimised"])?;

    choose(&desktop, "Upload files…", &one).await?;
    let lines = links(&desktop.screen, 1).await?;
    ensure!(lines[0].starts_with("![one.jpg]("), "{lines:?}");
    choose(&desktop, "Upload folder…", &folder).await?;
    eventually(
        "the folder's picture is there as well",
        PATIENCE,
        async || {
            let lines = links(&desktop.screen, 1).await?;
            Ok(lines[0].starts_with("![two.jpg](").then_some(()))
        },
    )
    .await?;
    ensure!(desktop.api.images().await?.len() == 2);
    ensure!(desktop.windows("^imgn$")? == 0, "no window was needed");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_press_of_the_icon_opens_the_window() -> Result<()> {
    let screen = Screen::start()?;
    let _host = host(&screen)?;
    let desktop = Desktop::start(screen, &["--minimised"])?;
    eventually("the icon is pressed", PATIENCE, async || {
        let mut python = desktop.screen.command("/usr/bin/python3");
        let pressed = python.arg(super::tray::HOST).arg("press").output()?;
        Ok(pressed.status.success().then_some(()))
    })
    .await?;
    desktop.until_windows(1).await?;
    desktop.close_window().await?;
    desktop.until_windows(0).await
}
