//! The clipboard of a Wayland session with no X server in it: a compositor without a screen, and another program that
//! copies.

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
    process::{ServerProcess, eventually, program},
};
use tempfile::TempDir;

use crate::driver::PATIENCE;

/// Who is nobody on every Unix: the compositor refuses to run for root.
const NOBODY: u32 = 65534;

/// A session. Ends with its handle.
struct Session {
    compositor: Child,
    display: String,
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
            .env("XDG_RUNTIME_DIR", self.folder.path().join("run"));
        command
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
