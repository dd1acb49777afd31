//! The app without its window: in the tray of a host that draws nothing, asked over the bus as a panel asks, and gone
//! where there is no host.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Output, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use imgn_testkit::{
    pictures,
    process::{Client, Running, ServerProcess, eventually, program},
};
use serde_json::Value;

use super::{
    clipboard::{copy, links},
    file,
    quick::notifications,
    screen::Screen,
};
use crate::{api::Api, driver::PATIENCE};

pub(super) const HOST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/desktop/trayhost.py");

/// The app, started as a session does, on a server of its own. Ends before its session does.
pub(crate) struct Desktop {
    pub(crate) app: App,
    pub(crate) api: Api,
    pub(crate) server: ServerProcess,
    pub(crate) screen: Screen,
}

/// The app's process.
pub(crate) struct App(Child);

impl App {
    /// Starts it; what it says goes to the session's log.
    pub(crate) fn spawn(screen: &Screen, command: Command) -> Result<Self> {
        Self::spawn_into(command, &screen.app_log())
    }

    /// Starts it; what it says goes to this file.
    pub(crate) fn spawn_into(mut command: Command, log: &Path) -> Result<Self> {
        let log = fs::File::options().create(true).append(true).open(log)?;
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        Ok(Self(command.spawn()?))
    }

    /// Asks it to end, as a session does.
    pub(crate) fn terminate(&self) -> Result<()> {
        let id = self.0.id().to_string();
        let told = Command::new("kill").args(["-TERM", &id]).status()?;
        ensure!(told.success(), "no process {id}");
        Ok(())
    }

    /// Ends it as a fault does.
    pub(crate) fn crash(&self) -> Result<()> {
        let id = self.0.id().to_string();
        let told = Command::new("kill").args(["-ABRT", &id]).status()?;
        ensure!(told.success(), "no process {id}");
        Ok(())
    }

    /// How many processes it has started that run.
    pub(crate) fn children(&self) -> Result<usize> {
        let mut count = 0;
        for thread in fs::read_dir(format!("/proc/{}/task", self.0.id()))? {
            // A thread may have ended meanwhile.
            let told = fs::read_to_string(thread?.path().join("children")).unwrap_or_default();
            count += told.split_ascii_whitespace().count();
        }
        Ok(count)
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&mut self) -> Result<bool> {
        Ok(self.0.try_wait()?.is_some())
    }
}

impl Drop for App {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The app as a command of this session, on this server.
pub(crate) fn command(screen: &Screen, server: &ServerProcess) -> Result<Command> {
    let program = program("imgn-desktop")?;
    let mut command = screen.command(program.to_str().context("a path in UTF-8")?);
    command
        .env("IMGN_SERVER", &server.url)
        .env("IMGN_TOKEN", &server.token)
        .env("LANG", "C.UTF-8");
    Ok(command)
}

impl Desktop {
    /// Starts a server and the app with these arguments.
    pub(crate) fn start(screen: Screen, arguments: &[&str]) -> Result<Self> {
        Self::start_in(screen, arguments, &[])
    }

    /// The same with something more in the environment.
    pub(crate) fn start_in(
        screen: Screen,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Result<Self> {
        let server = ServerProcess::start(&screen.folder().join("server"), &[])?;
        let mut app = command(&screen, &server)?;
        app.args(arguments).envs(environment.iter().copied());
        Ok(Self {
            app: App::spawn(&screen, app)?,
            api: Api::new(&server.url, Some(&server.token))?,
            server,
            screen,
        })
    }

    /// What the tray shows; with labels, what they lead to is clicked.
    pub(crate) fn tray(&self, labels: &[&str]) -> Result<Option<Value>> {
        let mut python = self.screen.command("/usr/bin/python3");
        let output = python.arg(HOST).arg("menu").args(labels).output()?;
        // Nothing has registered yet.
        if !output.status.success() {
            return Ok(None);
        }
        Ok(Some(serde_json::from_slice(&output.stdout)?))
    }

    /// Clicks, as soon as there is something to click.
    pub(crate) async fn click(&self, labels: &[&str]) -> Result<()> {
        eventually(&format!("{labels:?} is clicked"), PATIENCE, async || {
            Ok(self.tray(labels)?.map(drop))
        })
        .await
    }

    /// Windows of the app that are seen.
    pub(crate) fn windows(&self, name: &str) -> Result<usize> {
        let found = self
            .screen
            .command("xdotool")
            .args(["search", "--onlyvisible", "--name", name])
            .output()?;
        Ok(String::from_utf8_lossy(&found.stdout).lines().count())
    }

    /// Starts the app once more, in the folder of the session's files, while it runs.
    pub(crate) fn again(&self, arguments: &[&str]) -> Result<Output> {
        let mut command = command(&self.screen, &self.server)?;
        command.args(arguments).current_dir(self.screen.folder());
        Ok(command.output()?)
    }

    /// Closes the one window as a person does.
    pub(crate) async fn close_window(&self) -> Result<()> {
        let words = [
            "search",
            "--onlyvisible",
            "--name",
            "^imgn$",
            "windowactivate",
            "--sync",
        ];
        eventually("the window has the keys", PATIENCE, async || {
            // A window may go away while it is looked at.
            Ok(self.screen.xdotool(&words).ok().map(drop))
        })
        .await?;
        self.screen.xdotool(&["key", "alt+F4"]).map(drop)
    }

    /// Waits for so many.
    pub(crate) async fn until_windows(&self, count: usize) -> Result<()> {
        eventually(&format!("{count} windows are seen"), PATIENCE, async || {
            Ok((self.windows("^imgn$")? == count).then_some(()))
        })
        .await
    }
}

/// Starts what shows trays.
pub(crate) fn host(screen: &Screen) -> Result<Running> {
    let mut python = screen.command("/usr/bin/python3");
    python.arg(HOST).stdin(Stdio::null());
    let (host, ready) = Running::start(python, &screen.folder().join("tray-host.log"))?;
    ensure!(ready == "ready", "the tray's host said {ready:?}");
    Ok(host)
}

fn labels(menu: &Value) -> Vec<String> {
    let lines = menu.as_array().into_iter().flatten();
    let label = |line: &Value| line["label"].as_str().unwrap_or_default().to_owned();
    lines.map(label).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_picture_on_the_clipboard_is_uploaded_by_the_tray_with_no_window() -> Result<()> {
    let screen = Screen::start()?;
    let _host = host(&screen)?;
    let desktop = Desktop::start(screen, &["--minimised"])?;
    let screenshot = pictures::sized_png(1_000_000, 7);
    copy(&desktop.screen, "image/png", &screenshot)?;
    desktop.click(&["Upload clipboard image"]).await?;

    let lines = links(&desktop.screen, 1).await?;
    let images = desktop.api.images().await?;
    let image = images.first().context("a picture")?;
    let (name, url) = (image["file_name"].as_str(), image["url"].as_str());
    let (name, url) = (name.context("a name")?, url.context("an address")?);
    ensure!(lines[0] == format!("![{name}]({url})"), "{}", lines[0]);
    let id = image["id"].as_str().context("an id")?;
    let kept = desktop
        .api
        .bytes(&format!("/v1/images/{id}/content"))
        .await?;
    ensure!(kept == screenshot, "every byte as it was copied");
    ensure!(desktop.windows("imgn")? == 0, "no window was needed");

    // It is the first of the last links, and a click copies it again.
    copy(&desktop.screen, "UTF8_STRING", b"something else")?;
    let tray = desktop.tray(&[])?.context("a tray")?;
    ensure!(tray["hint"] == "Nothing is being uploaded", "{tray}");
    ensure!(
        labels(&tray["menu"])
            == [
                "Nothing is being uploaded",
                "Upload files…",
                "Upload clipboard image",
                "Upload folder…",
                "Pause uploads",
                "Recent links",
                "Open gallery",
                "Settings",
                "Quit"
            ],
        "{tray}"
    );
    desktop.click(&["Recent links", name]).await?;
    ensure!(links(&desktop.screen, 1).await? == lines);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_the_window_leaves_the_app_in_the_tray_and_says_so_once() -> Result<()> {
    let screen = Screen::start()?;
    let _host = host(&screen)?;
    let notifications = notifications(&screen)?;
    let mut desktop = Desktop::start(screen, &[])?;
    desktop.until_windows(1).await?;
    desktop.close_window().await?;
    desktop.until_windows(0).await?;
    eventually("it says so", PATIENCE, async || {
        Ok(notifications
            .log()
            .contains("stays in the tray")
            .then_some(()))
    })
    .await?;
    ensure!(!desktop.app.has_ended()?, "it is in the tray");

    desktop.click(&["Open gallery"]).await?;
    desktop.until_windows(1).await?;
    desktop.close_window().await?;
    desktop.until_windows(0).await?;

    // Uploads go on, are told, and can be held back.
    let picture = file(&desktop.screen, "late.jpg", &pictures::jpeg(200, 100))?;
    let before = desktop.tray(&[])?.context("a tray")?;
    desktop.server.kill();
    copy(
        &desktop.screen,
        "text/uri-list",
        format!("file://{}\r\n", picture.display()).as_bytes(),
    )?;
    desktop.click(&["Upload clipboard image"]).await?;
    let during = eventually("the tray tells of it", PATIENCE, async || {
        let tray = desktop.tray(&[])?.context("a tray")?;
        let hint = tray["hint"].as_str().unwrap_or_default();
        Ok((hint.starts_with("Uploading: 0 of 1") || hint.starts_with("Offline")).then_some(tray))
    })
    .await?;
    ensure!(during["icon"] != before["icon"], "the icon tells of it");
    desktop.click(&["Pause uploads"]).await?;
    eventually("it is paused", PATIENCE, async || {
        let tray = desktop.tray(&[])?.context("a tray")?;
        Ok((tray["hint"] == "1 upload paused").then_some(()))
    })
    .await?;
    desktop.server.restart()?;
    desktop.click(&["Resume uploads"]).await?;
    links(&desktop.screen, 1).await?;

    ensure!(
        notifications.log().matches("stays in the tray").count() == 1,
        "it is said once"
    );
    desktop.click(&["Quit"]).await?;
    eventually("it has ended", PATIENCE, async || {
        Ok(desktop.app.has_ended()?.then_some(()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_no_host_for_trays_the_app_has_its_window_and_ends_with_it() -> Result<()> {
    let mut desktop = Desktop::start(Screen::start()?, &["--minimised"])?;
    let socket = desktop
        .screen
        .folder()
        .join("home/.local/share/imgn/app.sock");
    eventually("it runs", PATIENCE, async || {
        Ok(socket.exists().then_some(()))
    })
    .await?;
    // It is minimised, as was asked for; a second start brings it to the front.
    let second = desktop.again(&[])?;
    ensure!(second.status.success(), "{second:?}");
    desktop.until_windows(1).await?;
    desktop.close_window().await?;
    eventually("it has ended", PATIENCE, async || {
        Ok(desktop.app.has_ended()?.then_some(()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_start_with_relative_paths_joins_the_first() -> Result<()> {
    let screen = Screen::start()?;
    let _host = host(&screen)?;
    let names = ["one.jpg", "sub/two and.jpg", "../three.jpg"];
    fs::create_dir_all(screen.folder().join("inside/sub"))?;
    for (name, width) in names.iter().zip(100..) {
        fs::write(
            screen.folder().join("inside").join(name),
            pictures::jpeg(width, 80),
        )?;
    }
    let desktop = Desktop::start(screen, &["--minimised"])?;
    eventually("it is in the tray", PATIENCE, async || desktop.tray(&[])).await?;
    let mut second = command(&desktop.screen, &desktop.server)?;
    second
        .args(names)
        .current_dir(desktop.screen.folder().join("inside"));
    let output = second.output()?;
    ensure!(
        output.status.success() && output.stdout.is_empty(),
        "{output:?}"
    );

    let lines = links(&desktop.screen, 3).await?;
    for (line, name) in lines.iter().zip(["one", "two and", "three"]) {
        ensure!(
            line.starts_with(&format!("![{name}.jpg](http")),
            "{lines:?}"
        );
    }
    ensure!(desktop.api.images().await?.len() == 3);
    ensure!(
        desktop.windows("imgn")? == 0,
        "the tray's menu tells of them"
    );
    // As a file manager gives a file, and a start of another profile joins nobody.
    let address = format!(
        "file://{}",
        desktop.screen.folder().join("four%20.jpg").display()
    );
    fs::write(
        desktop.screen.folder().join("four .jpg"),
        pictures::jpeg(90, 90),
    )?;
    ensure!(desktop.again(&[&address])?.status.success());
    let line = links(&desktop.screen, 1).await?;
    ensure!(line[0].starts_with("![four .jpg]("), "{line:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_links_are_of_what_is_in_the_gallery_also_after_a_restart() -> Result<()> {
    let screen = Screen::start()?;
    let _host = host(&screen)?;
    for (name, width) in [("kept.jpg", 100), ("deleted.jpg", 101)] {
        file(&screen, name, &pictures::jpeg(width, 80))?;
    }
    let mut desktop = Desktop::start(screen, &["--minimised"])?;
    eventually("it is in the tray", PATIENCE, async || desktop.tray(&[])).await?;
    desktop.again(&["kept.jpg", "deleted.jpg"])?;
    links(&desktop.screen, 2).await?;
    let listed = async |desktop: &Desktop, names: &[&str]| {
        eventually(
            &format!("{names:?} are in the menu"),
            PATIENCE,
            async || {
                let Some(tray) = desktop.tray(&[])? else {
                    return Ok(None);
                };
                let menu = tray["menu"].to_string();
                let all = ["kept.jpg", "deleted.jpg"];
                let is_so = all
                    .iter()
                    .all(|name| menu.contains(name) == names.contains(name));
                Ok(is_so.then_some(()))
            },
        )
        .await
    };
    listed(&desktop, &["kept.jpg", "deleted.jpg"]).await?;

    // Somebody else deletes one of them.
    let images = desktop.api.images().await?;
    let deleted = images.iter().find(|it| it["file_name"] == "deleted.jpg");
    let id = deleted.and_then(|it| it["id"].as_str()).context("an id")?;
    let client = Client::new(
        &desktop.screen.folder().join("other"),
        &desktop.server.url,
        Some(&desktop.server.token),
    );
    let deleted = client.run(&["delete", id])?;
    ensure!(deleted.code == Some(0), "{}", deleted.stderr);
    listed(&desktop, &["kept.jpg"]).await?;

    // What the journal forgets, the history has.
    desktop.app.terminate()?;
    eventually("it has ended", PATIENCE, async || {
        Ok(desktop.app.has_ended()?.then_some(()))
    })
    .await?;
    fs::remove_file(
        desktop
            .screen
            .folder()
            .join("home/.local/share/imgn/journal.sqlite"),
    )?;
    let mut app = command(&desktop.screen, &desktop.server)?;
    app.arg("--minimised");
    desktop.app = App::spawn(&desktop.screen, app)?;
    listed(&desktop, &["kept.jpg"]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_window_leaves_no_process_and_comes_back_whole() -> Result<()> {
    let screen = Screen::start()?;
    let _host = host(&screen)?;
    let _notifications = notifications(&screen)?;
    let desktop = Desktop::start(screen, &[])?;
    copy(
        &desktop.screen,
        "image/png",
        &pictures::sized_png(20_000, 3),
    )?;
    for round in 0..2 {
        desktop.until_windows(1).await?;
        ensure!(desktop.app.children()? > 0, "the web view has processes");
        desktop.close_window().await?;
        desktop.until_windows(0).await?;
        eventually("its processes are gone", PATIENCE, async || {
            Ok((desktop.app.children()? == 0).then_some(()))
        })
        .await
        .with_context(|| format!("round {round}"))?;
        desktop.click(&["Open gallery"]).await?;
    }
    desktop.until_windows(1).await?;
    // A page that is there takes what is pasted.
    eventually("the picture is in the gallery", PATIENCE, async || {
        desktop.screen.xdotool(&["key", "ctrl+v"])?;
        Ok((desktop.api.images().await?.len() == 1).then_some(()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_window_is_as_large_as_it_was_left() -> Result<()> {
    let screen = Screen::start()?;
    let _host = host(&screen)?;
    let _notifications = notifications(&screen)?;
    let mut desktop = Desktop::start(screen, &[])?;
    desktop.until_windows(1).await?;
    until_sized(&desktop, [1280, 800]).await?;
    let words = ["search", "--name", "^imgn$", "windowsize", "--sync"];
    desktop
        .screen
        .xdotool(&[&words[..], &["900", "620"]].concat())?;
    until_sized(&desktop, [900, 620]).await?;
    desktop.close_window().await?;
    desktop.until_windows(0).await?;
    desktop.click(&["Open gallery"]).await?;
    until_sized(&desktop, [900, 620])
        .await
        .context("from the tray")?;
    desktop.click(&["Quit"]).await?;
    eventually("the app has ended", PATIENCE, async || {
        Ok(desktop.app.has_ended()?.then_some(()))
    })
    .await?;
    desktop.app = App::spawn(&desktop.screen, command(&desktop.screen, &desktop.server)?)?;
    until_sized(&desktop, [900, 620])
        .await
        .context("the next start's")
}

async fn until_sized(desktop: &Desktop, size: [i32; 2]) -> Result<()> {
    let mut seen = None;
    eventually("the window has its size", PATIENCE, async || {
        // A window that comes or goes has none.
        seen = desktop.screen.geometry().ok();
        Ok(seen
            .is_some_and(|[.., width, height]| [width, height] == size)
            .then_some(()))
    })
    .await
    .with_context(|| format!("{seen:?}, not {size:?}"))
}
