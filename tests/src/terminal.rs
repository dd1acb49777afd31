//! `imgn` on a terminal: the progress bar, Ctrl-C in the middle of uploads, the prompt for a token.
//!
//! The terminal is a pseudo-terminal that `script` of Debian's `bsdutils` makes, 80 columns wide. Invariant: what is
//! typed is typed when what it answers was seen, not after a while.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use imgn_testkit::process::{Client, ServerProcess, clean_environment, eventually, program};
use tokio::{net::TcpStream, sync::watch};

use crate::photographs;

/// Longer than any of it takes on a slow machine.
const LIMIT: Duration = Duration::from_secs(60);

/// What the bar has when nothing was sent, and when something was.
const EMPTY: char = '░';
const FULL: char = '█';

/// A shell script on a terminal of its own, and all that it wrote there.
struct Terminal {
    child: Child,
    written: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    /// `$IMGN` is the program; what comes from the keyboard reaches the script and what it runs.
    fn run(script: &str, environment: &[(&str, &str)]) -> Result<Self> {
        let mut command = Command::new("script");
        clean_environment(&mut command);
        // A trap, unlike a signal that is ignored, is not handed down.
        let script = format!("stty rows 24 cols 80; trap : INT; {script}; echo code $?; stty -a");
        let mut child = command
            .args(["--quiet", "--flush", "--command", &script, "/dev/null"])
            .env("IMGN", program("imgn")?)
            .env("SHELL", "/bin/sh")
            .env("TERM", "xterm")
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("`script` of bsdutils")?;
        let mut output = child.stdout.take().context("a pipe")?;
        let written = Arc::new(Mutex::new(Vec::new()));
        let place = Arc::clone(&written);
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = output.read(&mut bytes) {
                let mut place = place.lock().unwrap_or_else(PoisonError::into_inner);
                place.extend_from_slice(&bytes[..count]);
            }
        });
        Ok(Self { child, written })
    }

    fn written(&self) -> String {
        let written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&written).into_owned()
    }

    async fn until(&self, what: &str, seen: impl Fn(&str) -> bool) -> Result<()> {
        eventually(
            what,
            LIMIT,
            async || Ok(seen(&self.written()).then_some(())),
        )
        .await
        .with_context(|| self.written())
    }

    fn press(&mut self, keys: &str) -> Result<()> {
        let keyboard = self.child.stdin.as_mut().context("a pipe")?;
        keyboard.write_all(keys.as_bytes())?;
        Ok(keyboard.flush()?)
    }

    /// Everything written, once the script has ended; whatever it was, the terminal must be as it was before.
    async fn end(self) -> Result<String> {
        let is_settings = |text: &str| text.contains("icanon") && text.contains("echoke");
        self.until("the script ends", is_settings).await?;
        let written = self.written();
        let settings = written.rsplit("code ").next().unwrap_or_default();
        for setting in ["echo", "icanon", "isig"] {
            ensure!(
                settings.split_whitespace().any(|word| word == setting),
                "the terminal is left without {setting}: {written:?}"
            );
        }
        Ok(written)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The store's side of a server: connections are taken, and nothing goes through before the line is opened.
struct Line {
    listener: TcpListener,
    address: SocketAddr,
}

impl Line {
    fn new() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener, address })
    }

    fn lead_to(self, server: &str) -> Result<watch::Sender<bool>> {
        let server = server.strip_prefix("http://").context("a plain URL")?;
        let server: SocketAddr = server.parse()?;
        let listener = tokio::net::TcpListener::from_std(self.listener)?;
        let (open, is_open) = watch::channel(false);
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let mut is_open = is_open.clone();
                tokio::spawn(async move {
                    is_open.wait_for(|&is_open| is_open).await?;
                    let mut far = TcpStream::connect(server).await?;
                    tokio::io::copy_bidirectional(&mut near, &mut far).await?;
                    anyhow::Ok(())
                });
            }
        });
        Ok(open)
    }
}

#[tokio::test]
async fn uploads_show_a_bar_stop_at_ctrl_c_and_go_on_later() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let line = Line::new()?;
    let public = format!("http://{}", line.address);
    let server =
        ServerProcess::start(&directory.path().join("server"), &["--public-url", &public])?;
    let open = line.lead_to(&server.url)?;
    let home = directory.path().join("home");
    let files = photographs::some(3)?;
    let files: Vec<_> = files.iter().map(|file| file.to_string_lossy()).collect();
    let environment = [
        ("IMGN_HOME", home.to_str().context("a path in UTF-8")?),
        ("IMGN_SERVER", &server.url),
        ("IMGN_TOKEN", &server.token),
        ("FILES", &files.join(" ")),
    ];

    let mut terminal = Terminal::run("$IMGN upload $FILES", &environment)?;
    let is_begun = |text: &str| text.contains("3 pictures left") && text.contains(FULL);
    terminal.until("bytes are on their way", is_begun).await?;
    terminal.press("\x03")?;
    let stopped = terminal.end().await?;
    ensure!(stopped.contains("code 1"), "{stopped:?}");
    ensure!(
        stopped.contains("stopped; 3 pictures in the queue, `imgn resume` goes on"),
        "{stopped:?}"
    );
    ensure_lines_fit(&stopped)?;

    let client = Client::new(&home, &server.url, Some(&server.token));
    let queued = client.run(&["--json", "queue"])?.objects()?;
    ensure!(queued.len() == 3, "{queued:?}");
    let terminal = Terminal::run("$IMGN resume", &environment)?;
    let is_begun = |text: &str| text.contains("3 pictures left") && text.contains(EMPTY);
    terminal.until("the bar is there again", is_begun).await?;
    open.send(true)?;
    let resumed = terminal.end().await?;
    ensure!(resumed.contains("code 0"), "{resumed:?}");
    ensure_lines_fit(&resumed)?;
    let links = lines(&resumed)
        .filter(|line| line.starts_with(&public) && line.ends_with("/content"))
        .count();
    ensure!(links == 3, "each link is alone on its line: {resumed:?}");
    ensure!(client.run(&["queue"])?.stdout.is_empty());
    let listed = client.run(&["--json", "list"])?.objects()?;
    ensure!(listed.len() == 3, "{listed:?}");
    Ok(())
}

/// What stands on the terminal after each line was written and written over.
fn lines(written: &str) -> impl Iterator<Item = &str> {
    written
        .lines()
        .filter_map(|line| line.rsplit("\r\x1b[2K").next())
        .map(|line| line.trim_end_matches('\r'))
}

/// A bar that needs two lines leaves its first halves all over the terminal.
fn ensure_lines_fit(written: &str) -> Result<()> {
    for drawn in written.split(['\r', '\n']) {
        let drawn = drawn.trim_start_matches("\x1b[2K").trim_end_matches("^C");
        if drawn.contains([EMPTY, FULL]) {
            let width = drawn.chars().count();
            ensure!(width <= 80, "{width} columns: {drawn:?}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_token_is_asked_for_without_showing_it_and_ctrl_c_gives_the_terminal_back() -> Result<()>
{
    let directory = tempfile::tempdir()?;
    let home = directory.path().join("home");
    let environment = [
        ("IMGN_HOME", home.to_str().context("a path in UTF-8")?),
        // Nothing listens there, and nobody has a keyring here.
        ("DBUS_SESSION_BUS_ADDRESS", "disabled:"),
    ];
    let login = "$IMGN login --server http://127.0.0.1:9";
    let is_asked = |text: &str| text.contains("Token for http://127.0.0.1:9");

    let mut terminal = Terminal::run(login, &environment)?;
    terminal.until("the prompt", is_asked).await?;
    terminal.press("imgn_half\x03")?;
    let stopped = terminal.end().await?;
    ensure!(
        stopped.contains("stopped before the login was done") && stopped.contains("code 1"),
        "{stopped:?}"
    );

    let mut terminal = Terminal::run(login, &environment)?;
    terminal.until("the prompt", is_asked).await?;
    terminal.press("imgn_whole\r")?;
    let answered = terminal.end().await?;
    ensure!(
        answered.contains("imgn: ") && answered.contains("code 1"),
        "{answered:?}"
    );
    for text in [stopped, answered] {
        ensure!(
            !text.contains("imgn_half") && !text.contains("imgn_whole"),
            "a token is never shown: {text:?}"
        );
    }
    Ok(())
}
