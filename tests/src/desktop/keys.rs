//! A key in every program: where the keyboard's layout changes, and in a Wayland session, where the desktop gives it.

use std::{fs, process::Stdio};

use anyhow::{Context as _, Result, ensure};
use imgn_testkit::{
    pictures,
    process::{Running, eventually},
};
use serde_json::{Value, json};
use x11rb::{
    connection::Connection as _,
    errors::ReplyError,
    protocol::{
        ErrorKind,
        xproto::{ConnectionExt as _, GrabMode, ModMask},
    },
};

use super::{
    clipboard::{copy, links},
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
    let log = screen.folder().join("portal.log");
    // Of an earlier one.
    let _ = fs::remove_file(&log);
    let (portal, ready) = Running::start(python, &log)?;
    ensure!(ready == "ready", "the portal said {ready:?}");
    Ok(portal)
}

fn lay_out(screen: &Screen, layout: &str) -> Result<()> {
    let output = screen.command("setxkbmap").arg(layout).output()?;
    ensure!(output.status.success(), "{output:?}");
    Ok(())
}

/// The keys of Xvfb's keyboard (evdev's) that are `u` and `y` in the American layout, and `y` in the German one.
pub(crate) const U: u8 = 30;
pub(crate) const Y: u8 = 29;
const GERMAN_Y: u8 = 52;

/// Waits until some program has a key together with Ctrl and Alt: before that, a press goes nowhere and nothing tells.
pub(crate) async fn until_had(screen: &Screen, key: u8) -> Result<()> {
    until(screen, key, true).await
}

/// Waits until some program has a key together with Ctrl and Alt, or until none has.
async fn until(screen: &Screen, key: u8, is_had: bool) -> Result<()> {
    let (connection, number) = x11rb::connect(Some(screen.display()?))?;
    let root = connection.setup().roots[number].root;
    let with = ModMask::CONTROL | ModMask::M1;
    eventually(
        &format!("a program has the key {key}: {is_had}"),
        PATIENCE,
        async || {
            // It is asked for and given back before anybody else is heard: who is just about to take it finds it free.
            connection.grab_server()?;
            let asked =
                connection.grab_key(false, root, with, key, GrabMode::ASYNC, GrabMode::ASYNC)?;
            let answer = asked.check();
            connection.ungrab_key(key, root, with)?;
            connection.ungrab_server()?.check()?;
            let is_taken = match answer {
                Ok(()) => false,
                Err(ReplyError::X11Error(error)) if error.error_kind == ErrorKind::Access => true,
                Err(error) => return Err(error.into()),
            };
            Ok((is_taken == is_had).then_some(()))
        },
    )
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_followed_to_where_another_layout_has_it() -> Result<()> {
    let screen = Screen::start()?;
    lay_out(&screen, "us")?;
    settings(&screen, "hotkey = \"Ctrl+Alt+Y\"\n")?;
    let _host = host(&screen)?;
    let desktop = Desktop::start(screen, &["--minimised"])?;
    let screen = &desktop.screen;
    // In German it is another key, with Russian it is one of the second layout only, and after Russian alone, which has
    // none, it is had again.
    let layouts = [
        (1, "us", Y),
        (2, "de", GERMAN_Y),
        (3, "ru,us", Y),
        (4, "ru", Y),
        (5, "us", Y),
    ];
    for (seed, layout, key) in layouts {
        lay_out(screen, layout)?;
        if layout == "ru" {
            until(screen, key, false).await?;
            continue;
        }
        until_had(screen, key).await?;
        copy(screen, "image/png", &pictures::sized_png(9000, seed))?;
        // Once: a second upload would put its link onto the clipboard when something else is there.
        screen.xdotool(&["key", "ctrl+alt+y"])?;
        links(screen, 1).await.with_context(|| layout.to_owned())?;
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
        let told = told(&portal);
        Ok((told.len() > 1).then_some(told))
    })
    .await?;
    // By the name of its desktop file: only then newer portals listen to it.
    let expected = [
        json!({"registered": "org.imgn.desktop"}),
        json!({"bound": "upload-clipboard", "trigger": "CTRL+ALT+u", "description": "Upload the clipboard"}),
    ];
    ensure!(asked == expected, "{asked:?}");

    upload_by_key(&desktop.screen, 3).await?;

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
        (
            Some("unknown"),
            "it does not know org.imgn.desktop.desktop: ",
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

/// Has the portal do what somebody does to it.
fn ask_portal(screen: &Screen, word: &str) -> Result<()> {
    let mut python = screen.command("/usr/bin/python3");
    let output = python.args([PORTAL, word]).output()?;
    ensure!(output.status.success(), "{output:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_a_wayland_session_takes_back_is_said_not_to_work() -> Result<()> {
    for (word, reason) in [
        ("unset", "the desktop did not give Ctrl+Alt+U to imgn"),
        ("close", "the desktop ended it"),
    ] {
        let screen = Screen::start()?;
        settings(&screen, "hotkey = \"Ctrl+Alt+U\"\n")?;
        let _host = host(&screen)?;
        let notifications = notifications(&screen)?;
        let portal = portal(&screen, "give")?;
        let desktop = Desktop::start_in(screen, &["--minimised"], &[WAYLAND])?;
        until_bound(&portal).await?;
        ask_portal(&desktop.screen, word)?;
        eventually(&format!("{word} is told"), PATIENCE, async || {
            let is_told = |it: &Value| it["body"].as_str().is_some_and(|it| it.contains(reason));
            Ok(told(&notifications).iter().any(is_told).then_some(()))
        })
        .await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_portal_that_begins_anew_gives_the_key_anew() -> Result<()> {
    let screen = Screen::start()?;
    settings(&screen, "hotkey = \"Ctrl+Alt+U\"\n")?;
    let _host = host(&screen)?;
    let first = portal(&screen, "give")?;
    let desktop = Desktop::start_in(screen, &["--minimised"], &[WAYLAND])?;
    until_bound(&first).await?;
    upload_by_key(&desktop.screen, 3).await?;
    drop(first);
    let second = portal(&desktop.screen, "give")?;
    until_bound(&second).await?;
    upload_by_key(&desktop.screen, 4).await
}

/// Presses the key once, and waits for the link of what was copied: a second upload would put its link onto the clipboard
/// when something else is there.
async fn upload_by_key(screen: &Screen, seed: u64) -> Result<()> {
    copy(screen, "image/png", &pictures::sized_png(9000, seed))?;
    ask_portal(screen, "press")?;
    links(screen, 1).await.map(drop)
}

/// Waits until a key was asked for.
async fn until_bound(portal: &Running) -> Result<()> {
    eventually("the desktop is asked", PATIENCE, async || {
        let is_bound = |it: &Value| it.get("bound").is_some();
        Ok(told(portal).iter().any(is_bound).then_some(()))
    })
    .await
}
