//! The app used without looking at it: a key in any program, what a notification offers, and editors that ask.

use std::{fs, net::TcpListener, process::Stdio};

use anyhow::{Context as _, Result, ensure};
use imgn_testkit::{
    pictures,
    process::{Client, Running, eventually},
};
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{
    clipboard::{copy, links, pasted},
    file,
    keys::{self, until_had},
    screen::Screen,
    tray::{Desktop, host},
    window::Window,
};
use crate::{
    api::http,
    driver::{PATIENCE, element},
};

pub(crate) const NOTIFICATIONS: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/desktop/notifications.py");

/// Chooses before the app is started for the first time, as a person with an editor does.
pub(crate) fn settings(screen: &Screen, desktop: &str) -> Result<()> {
    let folder = screen.folder().join("home/.local/share/imgn");
    fs::create_dir_all(&folder)?;
    Ok(fs::write(
        folder.join("settings.toml"),
        format!("[desktop]\n{desktop}"),
    )?)
}

/// Starts what shows notifications.
pub(crate) fn notifications(screen: &Screen) -> Result<Running> {
    let mut python = screen.command("/usr/bin/python3");
    python.arg(NOTIFICATIONS).stdin(Stdio::null());
    let (server, ready) = Running::start(python, &screen.folder().join("notifications.log"))?;
    ensure!(ready == "ready", "notifications said {ready:?}");
    Ok(server)
}

/// What the desktop was told so far.
pub(crate) fn told(notifications: &Running) -> Vec<Value> {
    let log = notifications.log();
    log.lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

pub(crate) fn press(screen: &Screen, id: &Value, action: &str) -> Result<()> {
    let mut python = screen.command("/usr/bin/python3");
    let output = python
        .args([NOTIFICATIONS, "press", &id.to_string(), action])
        .output()?;
    ensure!(output.status.success(), "{output:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_uploads_the_clipboard_and_the_notification_takes_it_back() -> Result<()> {
    let screen = Screen::start()?;
    settings(&screen, "hotkey = \"Ctrl+Alt+U\"\n")?;
    let _host = host(&screen)?;
    let notifications = notifications(&screen)?;
    let desktop = Desktop::start(screen, &["--minimised"])?;
    until_had(&desktop.screen, keys::U).await?;

    copy(
        &desktop.screen,
        "image/png",
        &pictures::sized_png(20_000, 3),
    )?;
    desktop.screen.xdotool(&["key", "ctrl+alt+u"])?;
    let lines = links(&desktop.screen, 1).await?;
    let notice = eventually("there is a notification", PATIENCE, async || {
        Ok(told(&notifications).into_iter().next())
    })
    .await?;
    ensure!(notice["summary"] == "Uploaded, link copied", "{notice}");
    ensure!(notice["app"] == "org.imgn.desktop", "{notice}");
    ensure!(
        notice["body"]
            .as_str()
            .is_some_and(|it| it.starts_with("Pasted 20")),
        "{notice}"
    );
    ensure!(
        notice["actions"]
            == json!([
                "default",
                "Open gallery",
                "undo",
                "Undo",
                "copy",
                "Copy again"
            ]),
        "{notice}"
    );
    ensure!(
        notice["picture"].as_u64() > Some(0),
        "it shows the picture: {notice}"
    );

    copy(&desktop.screen, "UTF8_STRING", b"something else")?;
    press(&desktop.screen, &notice["id"], "copy")?;
    ensure!(links(&desktop.screen, 1).await? == lines);

    press(&desktop.screen, &notice["id"], "undo")?;
    eventually("the picture is taken back", PATIENCE, async || {
        Ok(desktop.api.images().await?.is_empty().then_some(()))
    })
    .await?;
    eventually("it says so", PATIENCE, async || {
        let said = told(&notifications);
        let is_said = said
            .iter()
            .any(|it| it["body"] == "The picture is not in the gallery any more.");
        let is_gone = said.iter().any(|it| it["closed"] == notice["id"]);
        Ok((is_said && is_gone).then_some(()))
    })
    .await?;
    let tray = desktop.tray(&[])?.context("a tray")?;
    ensure!(tray.to_string().contains("No links yet"), "{tray}");

    // Held, a key is pressed once; pressed with nothing to upload, it harms nothing.
    copy(&desktop.screen, "UTF8_STRING", b"just words")?;
    desktop.screen.xdotool(&["key", "ctrl+alt+u"])?;
    eventually("it says so, too", PATIENCE, async || {
        let why = |it: &Value| {
            let body = it["body"].as_str();
            body.is_some_and(|it| it.contains("no picture and no file on the clipboard"))
        };
        Ok(told(&notifications).iter().any(why).then_some(()))
    })
    .await?;
    copy(
        &desktop.screen,
        "image/png",
        &pictures::sized_png(20_000, 4),
    )?;
    desktop.screen.xdotool(&["key", "ctrl+alt+u"])?;
    links(&desktop.screen, 1).await?;
    ensure!(desktop.api.images().await?.len() == 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_another_program_has_is_told_and_not_taken() -> Result<()> {
    let screen = Screen::start()?;
    settings(&screen, "hotkey = \"Ctrl+Alt+U\"\n")?;
    let _host = host(&screen)?;
    let desktop = Desktop::start(screen, &["--minimised"])?;
    until_had(&desktop.screen, keys::U).await?;
    let Desktop { app, screen, .. } = desktop;

    let other = screen.folder().join("other");
    let other = other.to_str().context("a path in UTF-8")?;
    let window = Window::open(screen, &["--home", other, "--local-gallery"]).await?;
    element(&window.page, "empty-gallery").await?;
    let before = window.invoke("desktop_preferences", json!({})).await?["ok"].clone();
    let choose = async |hotkey: &str| -> Result<String> {
        let mut preferences = before.clone();
        preferences["hotkey"] = json!(hotkey);
        let answer = window
            .invoke(
                "set_desktop_preferences",
                json!({"preferences": preferences}),
            )
            .await?;
        Ok(answer
            .pointer("/error/message")
            .and_then(Value::as_str)
            .unwrap_or("kept")
            .to_owned())
    };
    let taken = choose("ctrl+alt+u").await?;
    ensure!(
        taken == "another program has Ctrl+Alt+U; choose another key",
        "{taken}"
    );
    ensure!(choose("U").await?.contains("hold more with it"));
    ensure!(choose("Ctrl+Hyper").await?.contains("is no key"));
    ensure!(window.invoke("desktop_preferences", json!({})).await?["ok"] == before);
    ensure!(choose("Ctrl+Alt+Y").await? == "kept");
    copy(
        window.screen(),
        "image/png",
        &pictures::sized_png(20_000, 5),
    )?;
    window.screen().xdotool(&["key", "ctrl+alt+y"])?;
    links(window.screen(), 1).await?;
    drop(app);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn editors_that_know_picgo_get_links_and_pages_get_nothing() -> Result<()> {
    let screen = Screen::start()?;
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let key = "0123456789abcdef";
    settings(
        &screen,
        &format!("editors = true\neditors_port = {port}\neditors_key = \"{key}\"\n"),
    )?;
    let _host = host(&screen)?;
    let desktop = Desktop::start(screen, &["--minimised"])?;
    eventually("it is in the tray", PATIENCE, async || desktop.tray(&[])).await?;
    let files = [
        file(&desktop.screen, "a b.jpg", &pictures::jpeg(120, 90))?,
        file(&desktop.screen, "c.png", &pictures::sized_png(9000, 6))?,
    ];
    let address = format!("http://127.0.0.1:{port}/upload");
    let client = http()?;
    let ask = async |query: &str,
                     headers: &[(&str, &str)],
                     body: String|
           -> Result<(StatusCode, Value)> {
        let mut request = client.post(format!("{address}{query}")).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await?;
        Ok((
            response.status(),
            serde_json::from_slice(&response.bytes().await?)?,
        ))
    };
    eventually("it listens", PATIENCE, async || {
        Ok(client.get(&address).send().await.ok())
    })
    .await?;

    // As Obsidian's plugin and others call it.
    let list = json!({ "list": files }).to_string();
    let json_type = ("content-type", "application/json");
    copy(&desktop.screen, "UTF8_STRING", b"mine")?;
    let (status, answer) = ask("", &[json_type], list.clone()).await?;
    ensure!(
        status == StatusCode::OK && answer["success"] == true,
        "{status} {answer}"
    );
    let result = answer["result"].as_array().context("links")?.clone();
    ensure!(result.len() == 2, "{answer}");
    for (link, file) in result.iter().zip(&files) {
        let link = link.as_str().context("a link")?;
        let path = link.strip_prefix(desktop.server.url.as_str());
        let bytes = desktop.api.bytes(path.context("of this gallery")?).await?;
        ensure!(bytes == fs::read(file)?, "{link}");
    }
    ensure!(
        pasted(&desktop.screen)? == "mine",
        "the editor has the links, and the clipboard is the person's"
    );

    copy(&desktop.screen, "image/png", &pictures::sized_png(9000, 7))?;
    let (status, answer) = ask("", &[], String::new()).await?;
    ensure!(
        status == StatusCode::OK && answer["result"].as_array().is_some_and(|it| it.len() == 1),
        "{answer}"
    );

    // A note may show a picture twice: the editor counts the links.
    let twice = json!({"list": [files[0], files[1], files[0]]}).to_string();
    let (status, answer) = ask("", &[json_type], twice).await?;
    ensure!(
        status == StatusCode::OK && answer["result"] == json!([result[0], result[1], result[0]]),
        "{status} {answer}"
    );

    let before = desktop.api.images().await?.len();
    // What is there is not sent either: the editor would not hear of it.
    let unsent = desktop.screen.folder().join("unsent.png");
    fs::write(&unsent, pictures::sized_png(8000, 9))?;
    let missing = json!({"list": [unsent, "/nowhere.png"]}).to_string();
    let (status, answer) = ask("", &[json_type], missing).await?;
    let message = answer["message"].as_str().unwrap_or_default();
    ensure!(
        !status.is_success() && answer["success"] == false && message.contains("nowhere.png"),
        "{answer}"
    );

    let host = format!("127.0.0.1:{port}");
    let bearer = format!("Bearer {key}");
    for (query, headers, body, expected) in [
        (
            "",
            &[("origin", "https://evil.example")][..],
            list.as_str(),
            StatusCode::FORBIDDEN,
        ),
        (
            "",
            &[("origin", "null"), ("authorization", &bearer)],
            "",
            StatusCode::FORBIDDEN,
        ),
        (
            "",
            &[("host", "evil.example")],
            &list,
            StatusCode::FORBIDDEN,
        ),
        (
            "",
            &[("authorization", "Bearer wrong")],
            &list,
            StatusCode::UNAUTHORIZED,
        ),
        ("?key=wrong", &[], &list, StatusCode::UNAUTHORIZED),
        ("?picbed=github", &[], &list, StatusCode::UNAUTHORIZED),
        ("", &[], "{\"files\": []}", StatusCode::UNAUTHORIZED),
        (
            "",
            &[("authorization", &bearer)],
            "{\"files\": []}",
            StatusCode::BAD_REQUEST,
        ),
        (
            "",
            &[],
            "{\"list\": [\"relative.png\"]}",
            StatusCode::BAD_REQUEST,
        ),
    ] {
        let (status, answer) = ask(query, headers, body.to_owned()).await?;
        ensure!(
            status == expected && answer["success"] == false,
            "{query} {headers:?} {body}: {status} {answer}"
        );
    }
    ensure!(
        desktop.api.images().await?.len() == before,
        "nothing was uploaded"
    );
    let (status, answer) = ask(&format!("?key={key}"), &[("host", &host)], list.clone()).await?;
    ensure!(status == StatusCode::OK, "{answer}");
    let obsidian = [("origin", "app://obsidian.md")];
    ensure!(ask("", &obsidian, list).await?.0 == StatusCode::OK);

    // Typora calls a command with the files and reads as many links from the end of its output.
    let profile = desktop.screen.folder().join("typora");
    let typora = Client::new(&profile, &desktop.server.url, Some(&desktop.server.token));
    let answer = typora.run(&[
        "upload",
        files[0].to_str().context("UTF-8")?,
        files[1].to_str().context("UTF-8")?,
        files[0].to_str().context("UTF-8")?,
    ])?;
    let lines: Vec<_> = answer.stdout.lines().map(|line| json!(line)).collect();
    ensure!(
        answer.code == Some(0)
            && lines == [result[0].clone(), result[1].clone(), result[0].clone()],
        "{}",
        answer.stdout
    );
    Ok(())
}
