//! A key in every program: where the keyboard's layout changes, and in a Wayland session, where the desktop gives it.

use std::process::Stdio;

use anyhow::{Result, ensure};
use imgn_testkit::{
    pictures,
    process::{Running, eventually},
};
use serde_json::{Value, json};

use super::{
    clipboard::{copy, links, pasted},
    quick::{notifications, settings, told},
    screen::Screen,
    tray::{Desktop, host},
};
use crate::driver::PATIENCE;

const PORTAL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/desktop/portal.py");

/// What tells programs that a session is one of Wayland.
const WAYLAND: (&str, &str) = ("XDG_SESSION_TYPE", "wayland");

fn portal(screen: &Screen, mode: &str) -> Result<Running> {
    let mut python = screen.command("/usr/bin/python3");
    python.args([PORTAL, mode]).stdin(Stdio::null());
    let (portal, ready) = Running::start(python, &screen.folder().join("portal.log"))?;
    ensure!(ready == "ready", "the portal said {ready:?}");
    Ok(portal)
}

fn lay_out(screen: &Screen, layout: &str) -> Result<()> {
    let output = screen.command("setxkbmap").arg(layout).output()?;
    ensure!(output.status.success(), "{output:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_followed_to_where_another_layout_has_it() -> Result<()> {
    let screen = Screen::start()?;
    lay_out(&screen, "us")?;
    settings(&screen, "hotkey = \"Ctrl+Alt+Y\"\n")?;
    let _host = host(&screen)?;
    let desktop = Desktop::start(screen, &["--minimised"])?;
    eventually("it is in the tray", PATIENCE, async || desktop.tray(&[])).await?;
    let screen = &desktop.screen;
    // In German it is another key, in Russian it is one of the second layout only.
    for (seed, layout) in [(1, "us"), (2, "de"), (3, "ru,us")] {
        lay_out(screen, layout)?;
        copy(screen, "image/png", &pictures::sized_png(9000, seed))?;
        eventually(
            &format!("the key works with {layout}"),
            PATIENCE,
            async || {
                screen.xdotool(&["key", "ctrl+alt+y"])?;
                Ok(pasted(screen)?.contains("/content").then_some(()))
            },
        )
        .await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_wayland_session_the_desktop_gives_the_key() -> Result<()> {
    let screen = Screen::start()?;
    settings(&screen, "hotkey = \"Ctrl+Alt+U\"\n")?;
    let _host = host(&screen)?;
    let portal = portal(&screen, "give")?;
    let mut desktop = Desktop::start_in(screen, &["--minimised"], &[WAYLAND])?;
    let asked = eventually("the desktop is asked", PATIENCE, async || {
        Ok(told(&portal).into_iter().next())
    })
    .await?;
    let expected = json!({"bound": "upload-clipboard", "trigger": "CTRL+ALT+u", "description": "Upload the clipboard"});
    ensure!(asked == expected, "{asked}");

    copy(
        &desktop.screen,
        "image/png",
        &pictures::sized_png(20_000, 3),
    )?;
    eventually("its press is told", PATIENCE, async || {
        let mut python = desktop.screen.command("/usr/bin/python3");
        let pressed = python.args([PORTAL, "press"]).output()?;
        ensure!(pressed.status.success(), "{pressed:?}");
        Ok(pasted(&desktop.screen)?.contains("/content").then_some(()))
    })
    .await?;
    links(&desktop.screen, 1).await?;

    desktop.app.terminate()?;
    eventually("it has ended", PATIENCE, async || {
        Ok(desktop.app.has_ended()?.then_some(()))
    })
    .await?;
    ensure!(
        told(&portal).iter().any(|it| it.get("closed").is_some()),
        "the desktop has it back"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_a_wayland_session_does_not_give_is_said_not_to_work() -> Result<()> {
    for (mode, reason) in [
        (
            Some("refuse"),
            "the desktop did not give Ctrl+Alt+U to imgn",
        ),
        (
            Some("keyless"),
            "the desktop did not give Ctrl+Alt+U to imgn",
        ),
        (None, "this session gives imgn no key"),
    ] {
        let screen = Screen::start()?;
        settings(&screen, "hotkey = \"Ctrl+Alt+U\"\n")?;
        let _host = host(&screen)?;
        let notifications = notifications(&screen)?;
        let _portal = mode.map(|mode| portal(&screen, mode)).transpose()?;
        let _desktop = Desktop::start_in(screen, &["--minimised"], &[WAYLAND])?;
        eventually(&format!("{mode:?} is told"), PATIENCE, async || {
            let is_told = |it: &Value| it["body"].as_str().is_some_and(|it| it.contains(reason));
            Ok(told(&notifications).iter().any(is_told).then_some(()))
        })
        .await?;
    }
    Ok(())
}
