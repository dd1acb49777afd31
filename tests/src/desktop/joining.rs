//! Starts of the program while it runs, begins or ends: whatever is asked for is done, once.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result, ensure};
use imgn_testkit::{
    pictures,
    process::{Client, ServerProcess, eventually},
};
use serde_json::Value;

use super::{
    clipboard::{copy, links},
    file,
    quick::notifications,
    screen::Screen,
    tray::{App, Desktop, command, host},
    window::Window,
};
use crate::{
    api::Api,
    driver::{PATIENCE, element},
};

/// What the gallery's pictures are called, once there are so many.
async fn names(api: &Api, count: usize) -> Result<Vec<String>> {
    eventually(
        &format!("{count} pictures are there"),
        PATIENCE,
        async || {
            let images = api.images().await?;
            let name = |it: &Value| it["file_name"].as_str().unwrap_or_default().to_owned();
            let mut names: Vec<_> = images.iter().map(name).collect();
            names.sort();
            Ok((names.len() == count).then_some(names))
        },
    )
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_start_asks_for_all_that_a_first_one_can() -> Result<()> {
    let screen = Screen::start()?;
    let _host = host(&screen)?;
    let desktop = Desktop::start(screen, &["--minimised"])?;
    eventually("it is in the tray", PATIENCE, async || desktop.tray(&[])).await?;
    copy(&desktop.screen, "image/png", &pictures::sized_png(9000, 1))?;
    ensure!(desktop.again(&["--clipboard"])?.status.success());
    let line = links(&desktop.screen, 1).await?;
    ensure!(line[0].starts_with("![Pasted 20"), "{line:?}");

    // With files, and a file that is called like a flag.
    file(&desktop.screen, "--clipboard", &pictures::jpeg(60, 40))?;
    file(&desktop.screen, "a.jpg", &pictures::jpeg(61, 40))?;
    copy(&desktop.screen, "image/png", &pictures::sized_png(9000, 2))?;
    let words = ["--clipboard", "a.jpg", "--", "--clipboard"];
    ensure!(desktop.again(&words)?.status.success());
    let names = names(&desktop.api, 4).await?;
    ensure!(names.contains(&"--clipboard".to_owned()), "{names:?}");
    ensure!(names.iter().filter(|it| it.starts_with("Pasted")).count() == 2);
    ensure!(names.contains(&"a.jpg".to_owned()), "{names:?}");
    ensure!(desktop.windows("imgn")? == 0, "nobody asked for the window");

    let folder = desktop.screen.folder().join("more");
    fs::create_dir(&folder)?;
    fs::write(folder.join("b.jpg"), pictures::jpeg(62, 40))?;
    // The gallery is not empty.
    ensure!(desktop.again(&["--import", "more"])?.status.success());
    ensure!(desktop.again(&["--minimised"])?.status.success());
    ensure!(desktop.windows("imgn")? == 0);
    ensure!(desktop.again(&[])?.status.success());
    desktop.until_windows(1).await?;
    ensure!(desktop.api.images().await?.len() == 4);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_start_for_another_gallery_asks_in_the_window() -> Result<()> {
    let screen = Screen::start()?;
    let other = ServerProcess::start(&screen.folder().join("server"), &[])?;
    let window = Window::open(screen, &["--local-gallery"]).await?;
    element(&window.page, "empty-gallery").await?;
    let before = window.server().await?;
    let output = command(window.screen(), &other)?.output()?;
    ensure!(output.status.success(), "{output:?}");
    eventually("it asks", PATIENCE, async || {
        let asked = element(&window.page, "confirm-address").await?;
        let asked = asked.text().await?;
        Ok((asked.trim_end_matches('/') == other.url).then_some(()))
    })
    .await?;
    ensure!(window.server().await? == before);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_are_named_while_the_app_begins_or_ends_are_uploaded() -> Result<()> {
    let screen = Screen::start()?;
    let _host = host(&screen)?;
    let begun = file(&screen, "begun.jpg", &pictures::jpeg(70, 40))?;
    let ended = file(&screen, "ended.jpg", &pictures::jpeg(71, 40))?;
    let desktop = Desktop::start(screen, &["--minimised"])?;
    let name = |path: &PathBuf| -> Result<App> {
        let mut command = command(&desktop.screen, &desktop.server)?;
        command.arg("--minimised").arg(path);
        App::spawn(&desktop.screen, command)
    };
    // It has only just been started.
    let _one = name(&begun)?;
    names(&desktop.api, 1).await?;
    eventually("it is in the tray", PATIENCE, async || desktop.tray(&[])).await?;
    // Either takes it: the one that ends, or the one that takes its place.
    desktop.app.terminate()?;
    let _other = name(&ended)?;
    let names = names(&desktop.api, 2).await?;
    ensure!(names == ["begun.jpg", "ended.jpg"], "{names:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_window_that_is_asked_for_while_it_closes_is_there() -> Result<()> {
    let screen = Screen::start()?;
    let _host = host(&screen)?;
    // Or a dialog says that the app stays in the tray.
    let _notifications = notifications(&screen)?;
    let desktop = Desktop::start(screen, &[])?;
    for _ in 0..4 {
        desktop.until_windows(1).await?;
        desktop.close_window().await?;
        // It is hidden at once, and goes a little later.
        desktop.until_windows(0).await?;
        ensure!(desktop.again(&[])?.status.success());
    }
    desktop.until_windows(1).await?;
    desktop.close_window().await?;
    desktop.until_windows(0).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_host_of_the_tray_goes_away_the_window_comes_back() -> Result<()> {
    let screen = Screen::start()?;
    let host = host(&screen)?;
    let desktop = Desktop::start(screen, &["--minimised"])?;
    eventually("it is in the tray", PATIENCE, async || desktop.tray(&[])).await?;
    let windows = || -> Result<usize> {
        // Minimised ones too.
        let found = desktop
            .screen
            .command("xdotool")
            .args(["search", "--name", "^imgn$"])
            .output()?;
        Ok(String::from_utf8_lossy(&found.stdout).lines().count())
    };
    let before = windows()?;
    drop(host);
    eventually("there is a window", PATIENCE, async || {
        Ok((windows()? > before).then_some(()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_was_under_way_when_the_app_was_quit_goes_on_at_the_next_start() -> Result<()>
{
    let screen = Screen::start()?;
    let _host = host(&screen)?;
    let profile = screen.folder().join("home/.local/share/imgn");
    fs::create_dir_all(&profile)?;
    let chosen = profile.join("settings.toml");
    // Slow enough to be met half-way, and in several parts.
    fs::write(&chosen, "[uploads]\njobs = 1\nbytes_per_second = 2000000\n")?;
    let bytes = pictures::sized_png(24_000_000, 9);
    let picture = file(&screen, "large.png", &bytes)?;
    let mut desktop = Desktop::start(screen, &["--minimised"])?;
    eventually("it is in the tray", PATIENCE, async || desktop.tray(&[])).await?;
    let picture = picture.to_str().context("a path in UTF-8")?;
    ensure!(desktop.again(&[picture])?.status.success());
    eventually("much of it is sent", PATIENCE, async || {
        let tray = desktop.tray(&[])?.context("a tray")?;
        let hint = tray["hint"].as_str().unwrap_or_default().to_owned();
        let percent = hint
            .rsplit(", ")
            .next()
            .and_then(|it| it.split(' ').next()?.parse::<u32>().ok());
        Ok(percent.filter(|percent| *percent >= 50))
    })
    .await?;
    desktop.click(&["Quit"]).await?;
    eventually("it has ended", PATIENCE, async || {
        Ok(desktop.app.has_ended()?.then_some(()))
    })
    .await?;
    ensure!(desktop.api.images().await?.is_empty());
    let client = Client::new(&profile, &desktop.server.url, Some(&desktop.server.token));
    let queued = || -> Result<Vec<Value>> { client.run(&["--json", "queue"])?.objects() };
    let before = queued()?;
    let sent = before.first().and_then(|it| it["sent_bytes"].as_u64());
    ensure!(before.len() == 1 && sent > Some(0), "{before:?}");

    fs::write(&chosen, "")?;
    let mut app = command(&desktop.screen, &desktop.server)?;
    app.arg("--minimised");
    desktop.app = App::spawn(&desktop.screen, app)?;
    let names = names(&desktop.api, 1).await?;
    ensure!(names == ["large.png"], "{names:?}");
    let images = desktop.api.images().await?;
    let id = images[0]["id"].as_str().context("an id")?;
    let kept = desktop
        .api
        .bytes(&format!("/v1/images/{id}/content"))
        .await?;
    ensure!(kept == bytes, "every byte");
    let lines = links(&desktop.screen, 1).await?;
    ensure!(lines[0].starts_with("![large.png]("), "{lines:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_folder_is_taken_with_all_pictures_in_it() -> Result<()> {
    let screen = Screen::start()?;
    let folder = screen.folder().join("holiday");
    fs::create_dir_all(folder.join("day 2"))?;
    for (name, width) in [("b 10.jpg", 100), ("b 9.jpg", 101), ("day 2/c.jpg", 102)] {
        fs::write(folder.join(name), pictures::jpeg(width, 80))?;
    }
    fs::write(folder.join("notes.txt"), "words")?;
    let nothing = screen.folder().join("nothing");
    fs::create_dir(&nothing)?;
    let window = Window::open(screen, &["--local-gallery"]).await?;
    element(&window.page, "empty-gallery").await?;
    // All that is said, for each is seen for some seconds only.
    let listen = "window.said = '';
        new MutationObserver(() => {
            for (const place of document.querySelectorAll('[role=status]')) window.said += place.textContent + '\\n';
        }).observe(document.body, { subtree: true, childList: true, characterData: true });";
    window.page.execute(listen, vec![]).await?;
    let said = async |words: &str| -> Result<()> {
        eventually(&format!("it says {words:?}"), PATIENCE, async || {
            let said = window.page.execute("return window.said;", vec![]).await?;
            let is_said = said.as_str().is_some_and(|said| said.contains(words));
            Ok(is_said.then_some(()))
        })
        .await
    };
    window.drop_files(&[folder]).await?;
    said("3 pictures, 1 other file skipped.").await?;
    let lines = links(window.screen(), 3).await?;
    for (line, name) in lines.iter().zip(["b 9.jpg", "b 10.jpg", "c.jpg"]) {
        ensure!(line.starts_with(&format!("![{name}](")), "{lines:?}");
    }
    window.drop_files(&[nothing]).await?;
    said("There are no pictures in it; nothing is uploaded.").await
}
