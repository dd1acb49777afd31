//! `cargo xtask run`: the main job, seen with one command.
//!
//! Invariant: it works on a profile and a gallery of its own below the target directory, never on the user's.

use std::{
    fs,
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, Result, bail};

use crate::{process, project::Project, setup};

/// Where the web page is served, when that port is free.
const LISTEN: &str = "127.0.0.1:8787";

/// The name of the token that uploads the samples.
const TOKEN_NAME: &str = "xtask";

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Starts the server and its web page also where there is a display.
    #[arg(long)]
    headless: bool,
}

pub(crate) fn run(project: &Project, arguments: &Arguments) -> Result<()> {
    setup::for_running(project)?;
    process::run(setup::npm(&project.ui()).args(["run", "build"]))?;
    if has_display() && !arguments.headless {
        desktop(project)
    } else {
        web_page(project)
    }
}

fn has_display() -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    set("DISPLAY") || set("WAYLAND_DISPLAY")
}

/// The desktop app on a gallery of its own.
fn desktop(project: &Project) -> Result<()> {
    build(project)?;
    let mut app = Command::new(project.programs().join("imgn-desktop"));
    app.arg("--home").arg(project.scratch().join("profile"));
    app.arg("--local-gallery");
    app.arg("--import").arg(samples(project));
    process::run(&mut app)
}

/// The server with its web page, filled by the command line.
fn web_page(project: &Project) -> Result<()> {
    build(project)?;
    let server_program = project.programs().join("imgn-server");
    let data = project.scratch().join("gallery");
    fs::create_dir_all(&data)?;

    let token_command = |arguments: &[&str]| {
        let mut command = Command::new(&server_program);
        command
            .arg("token")
            .args(arguments)
            .arg("--data-dir")
            .arg(&data);
        command
    };
    // The token of an earlier run was shown once and is kept only as its hash, so it is replaced. There is none at first.
    token_command(&["revoke", TOKEN_NAME])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()?;
    let token = process::output(&mut token_command(&["add", TOKEN_NAME, "--role", "admin"]))?;
    let token = token.trim();

    let mut serve = Command::new(&server_program);
    serve
        .args(["serve", "--listen", free_address()])
        .arg("--data-dir")
        .arg(&data);
    let mut server = Server(
        serve
            .stdout(Stdio::piped())
            .spawn()
            .context("could not start imgn-server")?,
    );
    let url = process::listening_url(&mut server.0)?;

    let mut upload = Command::new(project.programs().join("imgn"));
    upload.arg("--home").arg(project.scratch().join("client"));
    upload
        .args(["--server", &url, "upload"])
        .args(sample_files(project)?);
    process::run(upload.env("IMGN_TOKEN", token))?;

    println!("\nThe gallery is at {url}/");
    println!("To upload there, sign in with the token {token}");
    println!("Ctrl-C stops it.");
    let status = server.0.wait()?;
    if !status.success() {
        bail!("imgn-server ended ({status})");
    }
    Ok(())
}

/// The programs, with the features that `cargo xtask test` builds them with, so that neither compiles the other's anew.
fn build(project: &Project) -> Result<()> {
    process::run(process::cargo(&project.root).args(["build", "--workspace", "--bins", "--locked"]))
}

fn samples(project: &Project) -> PathBuf {
    project.root.join("xtask/samples")
}

fn sample_files(project: &Project) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(samples(project))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "jpg") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// The usual address, or any where another server has that one.
fn free_address() -> &'static str {
    if TcpListener::bind(LISTEN).is_ok() {
        LISTEN
    } else {
        "127.0.0.1:0"
    }
}

/// A server that does not outlive this command when it fails.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself, which is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
