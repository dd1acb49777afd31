//! A Wayland session with no X server in it: a compositor without a screen, a tray, and another program that copies.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::{PermissionsExt as _, chown},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use imgn_testkit::{
    pictures,
    process::{Running, ServerProcess, eventually, program},
};
use tempfile::TempDir;

use super::tray::{App, HOST};
use crate::{api::Api, driver::PATIENCE};

/// Who is nobody on every Unix: the compositor refuses to run for root.
const NOBODY: u32 = 65534;

/// A session. Ends with its handle.
struct Session {
    compositor: Child,
    display: String,
    /// The session bus, where there is one, and what it is reached at.
    bus: Option<(Running, String)>,
    folder: TempDir,
}

impl Session {
    async fn start() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let runtime = folder.path().join("run");
        fs::create_dir(&runtime)?;
        fs::write(folder.path().join("config"), "")?;
        let is_root = Command::new("id").arg("-u").output()?.stdout == b"0\n";
        let mut sway = if is_root {
            fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
            chown(&runtime, Some(NOBODY), Some(NOBODY))?;
            let mut command = Command::new("setpriv");
            let nobody = NOBODY.to_string();
            command.args([
                "--reuid",
                &nobody,
                "--regid",
                &nobody,
                "--clear-groups",
                "sway",
            ]);
            command
        } else {
            Command::new("sway")
        };
        fs::set_permissions(&runtime, fs::Permissions::from_mode(0o700))?;
        let log = fs::File::create(folder.path().join("sway.log"))?;
        sway.arg("-c")
            .arg(folder.path().join("config"))
            .env_remove("DISPLAY")
            .env_remove("WAYLAND_DISPLAY")
            .env("XDG_RUNTIME_DIR", &runtime)
            .env("WLR_BACKENDS", "headless")
            .env("WLR_RENDERER", "pixman")
            .env("WLR_LIBINPUT_NO_DEVICES", "1")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let mut session = Self {
            compositor: sway
                .spawn()
                .context("sway; `cargo xtask test` installs it")?,
            display: String::new(),
            bus: None,
            folder,
        };
        session.display = eventually("the compositor runs", PATIENCE, async || {
            let names = fs::read_dir(&runtime)?.flatten();
            let names = names.filter_map(|entry| entry.file_name().into_string().ok());
            Ok(names
                .into_iter()
                .find(|name| name.starts_with("wayland-") && !name.ends_with(".lock")))
        })
        .await?;
        Ok(session)
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .env_remove("DISPLAY")
            .env("WAYLAND_DISPLAY", &self.display)
            .env("XDG_RUNTIME_DIR", self.folder.path().join("run"))
            .env("XDG_SESSION_TYPE", "wayland")
            .env("HOME", self.folder.path())
            .env("NO_AT_BRIDGE", "1")
            .env_remove("GDK_BACKEND");
        if let Some((_, address)) = &self.bus {
            command.env("DBUS_SESSION_BUS_ADDRESS", address);
        }
        command
    }

    /// Starts a session bus for those that come after it.
    fn start_bus(&mut self) -> Result<()> {
        let mut daemon = self.command(Path::new("dbus-daemon"));
        daemon.args(["--session", "--nofork", "--print-address=1"]);
        self.bus = Some(Running::start(daemon, &self.folder.path().join("bus.log"))?);
        Ok(())
    }

    /// What another program gets that pastes text.
    fn pasted(&self) -> Result<String> {
        let mut command = self.command(Path::new("wl-paste"));
        let output = command.args(["--no-newline", "--type", "text"]).output()?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Another program copies this.
    fn copy(&self, offer: &str, bytes: &[u8]) -> Result<()> {
        let mut command = self.command(Path::new("wl-copy"));
        command
            .args(["--type", offer])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut child = command.spawn().context("wl-copy")?;
        let mut stdin = child.stdin.take().context("a pipe was asked for")?;
        stdin.write_all(bytes)?;
        drop(stdin);
        ensure!(child.wait()?.success(), "wl-copy could not copy");
        Ok(())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.compositor.kill();
        let _ = self.compositor.wait();
    }
}

#[tokio::test]
async fn pictures_and_files_are_taken_off_the_clipboard_of_wayland() -> Result<()> {
    let session = Session::start().await?;
    let server = ServerProcess::start(&session.folder.path().join("server"), &[])?;
    let upload = || -> Result<Output> {
        let mut command = session.command(&program("imgn")?);
        command
            .env("IMGN_HOME", session.folder.path().join("profile"))
            .env("IMGN_SERVER", &server.url)
            .env("IMGN_TOKEN", &server.token);
        Ok(command
            .args(["upload", "--clipboard", "--format", "markdown"])
            .output()?)
    };
    let links = |output: Output| -> Result<Vec<String>> {
        ensure!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let text = String::from_utf8(output.stdout)?;
        Ok(text.lines().map(str::to_owned).collect())
    };
    let empty = upload()?;
    let reason = String::from_utf8_lossy(&empty.stderr).into_owned();
    ensure!(
        !empty.status.success() && reason.contains("no picture and no file"),
        "{reason}"
    );

    session.copy("image/png", &pictures::sized_png(500_000, 8))?;
    let lines = links(upload()?)?;
    ensure!(
        lines.len() == 1 && lines[0].starts_with("![Pasted 20"),
        "{lines:?}"
    );

    let file = |name: &str, width| -> Result<PathBuf> {
        let path = session.folder.path().join(name);
        fs::write(&path, pictures::jpeg(width, 50))?;
        Ok(path)
    };
    let list = [file("b.jpg", 60)?, file("a.jpg", 70)?]
        .map(|path| format!("file://{}\r\n", path.display()));
    session.copy("text/uri-list", list.concat().as_bytes())?;
    let lines = links(upload()?)?;
    ensure!(lines.len() == 2, "{lines:?}");
    ensure!(
        lines[0].starts_with("![b.jpg](") && lines[1].starts_with("![a.jpg]("),
        "{lines:?}"
    );
    Ok(())
}

/// The built app, with no window: its icon is clicked, and the link is on the clipboard of the session. Then its window opens
/// and goes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_app_uploads_the_clipboard_of_wayland_from_its_tray() -> Result<()> {
    let mut session = Session::start().await?;
    session.start_bus()?;
    let folder = session.folder.path().to_owned();
    let python = |arguments: &[&str]| {
        let mut python = session.command(Path::new("/usr/bin/python3"));
        python.arg(HOST).args(arguments).stdin(Stdio::null());
        python
    };
    let (_host, ready) = Running::start(python(&[]), &folder.join("tray-host.log"))?;
    ensure!(ready == "ready", "the tray's host said {ready:?}");
    let server = ServerProcess::start(&folder.join("server"), &[])?;
    let api = Api::new(&server.url, Some(&server.token))?;
    let mut app = session.command(&program("imgn-desktop")?);
    app.arg("--minimised")
        .env("IMGN_SERVER", &server.url)
        .env("IMGN_TOKEN", &server.token)
        .env("LANG", "C.UTF-8");
    let log = folder.join("app.log");
    let mut app = App::spawn_into(app, &log)?;
    let click = async |label: &str| {
        eventually(&format!("{label:?} is clicked"), PATIENCE, async || {
            let clicked = python(&["menu", label]).output()?;
            Ok(clicked.status.success().then_some(()))
        })
        .await
    };

    let screenshot = pictures::sized_png(500_000, 9);
    session.copy("image/png", &screenshot)?;
    click("Upload clipboard image").await?;
    let link = eventually("a link is on the clipboard", PATIENCE, async || {
        let text = session.pasted()?;
        Ok(text.starts_with("![").then_some(text))
    })
    .await
    .with_context(|| fs::read_to_string(&log).unwrap_or_default())?;
    let images = api.images().await?;
    let image = images.first().context("a picture")?;
    let url = image["url"].as_str().context("an address")?;
    let name = image["file_name"].as_str().context("a name")?;
    ensure!(link == format!("![{name}]({url})"), "{link}");
    ensure!(name.starts_with("Pasted 20"), "{name}");

    let windows = || -> Result<String> {
        let sockets = fs::read_dir(folder.join("run"))?.flatten();
        let socket = sockets
            .map(|entry| entry.path())
            .find(|path| path.extension().is_some_and(|it| it == "sock"))
            .context("the compositor's own socket")?;
        let mut swaymsg = session.command(Path::new("swaymsg"));
        let output = swaymsg
            .arg("-s")
            .arg(socket)
            .args(["-t", "get_tree"])
            .output()?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    click("Open gallery").await?;
    eventually("its window is open", PATIENCE, async || {
        Ok(windows()?.contains("\"name\": \"imgn\"").then_some(()))
    })
    .await
    .with_context(|| fs::read_to_string(&log).unwrap_or_default())?;
    ensure!(!app.has_ended()?, "the app has ended");
    click("Quit").await?;
    eventually("it has quit", PATIENCE, async || {
        Ok(app.has_ended()?.then_some(()))
    })
    .await
}
