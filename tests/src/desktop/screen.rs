//! A desktop session of its own: a screen, a session bus, a window manager and an unlocked keyring.
//!
//! Invariant: nothing of the user's session is seen or touched, and everything here ends with its handle.

use std::{
    fs::{self, DirBuilder},
    io::Write as _,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use imgn_testkit::process::Running;
use tempfile::TempDir;

use crate::{driver::PATIENCE, keyring::BUS};

/// Larger than the app's window, so that something beside it can be dragged from.
const SIZE: &str = "1500x900x24";

/// A desktop session.
pub(crate) struct Screen {
    folder: TempDir,
    environment: Vec<(&'static str, String)>,
    // What needs another stands before it, so that it ends first.
    keyring: Option<Background>,
    window_manager: Background,
    _bus: Running,
    _display: Running,
}

/// What a session keeps secrets in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keyring {
    Unlocked,
    Locked,
    /// It is there and never answers.
    Hanging,
    /// Nothing, and nothing that the bus could start.
    Absent,
}

impl Screen {
    /// Starts the session.
    pub(crate) fn start() -> Result<Self> {
        Self::start_with(Keyring::Unlocked)
    }

    /// Starts it with this keyring.
    pub(crate) fn start_with(keyring: Keyring) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let log = |name: &str| folder.path().join(format!("{name}.log"));
        // The keyring and the bus look here when they start, so it comes first.
        let private = |name: &str| -> Result<String> {
            let path = folder.path().join(name);
            DirBuilder::new().mode(0o700).create(&path)?;
            Ok(path
                .to_str()
                .context("a temporary folder's name is text")?
                .to_owned())
        };
        let home = private("home")?;
        let mut environment = vec![
            ("XDG_CACHE_HOME", format!("{home}/.cache")),
            ("XDG_CONFIG_HOME", format!("{home}/.config")),
            ("XDG_DATA_HOME", format!("{home}/.local/share")),
            ("XDG_RUNTIME_DIR", private("run")?),
            ("HOME", home),
            // No accessibility bus: nothing here speaks to one, and starting it takes seconds.
            ("NO_AT_BRIDGE", "1".to_owned()),
            ("GDK_BACKEND", "x11".to_owned()),
        ];

        let mut xvfb = Command::new("Xvfb");
        // Without the last it begins anew whenever its last program goes, also under one that is just coming.
        xvfb.args([
            "-displayfd",
            "1",
            "-screen",
            "0",
            SIZE,
            "-nolisten",
            "tcp",
            "-noreset",
        ]);
        let (display, number) = Running::start(xvfb, &log("display"))?;
        environment.push(("DISPLAY", format!(":{number}")));

        let mut dbus = Command::new("dbus-daemon");
        dbus.args(["--nofork", "--print-address=1"]);
        if keyring == Keyring::Unlocked {
            dbus.arg("--session");
        } else {
            // Or it starts another one by itself.
            let bus = folder.path().join("bus.conf");
            fs::write(&bus, BUS)?;
            dbus.arg(format!("--config-file={}", bus.display()));
        }
        let (bus, address) = Running::start(in_session(dbus, &environment), &log("bus"))?;
        environment.push(("DBUS_SESSION_BUS_ADDRESS", address));

        let openbox = in_session(Command::new("openbox"), &environment);
        let window_manager = Background::start(openbox, b"", &log("window-manager"))?;
        let daemon = match keyring {
            Keyring::Absent => None,
            _ => Some(start_keyring(keyring, &environment, &log("keyring"))?),
        };

        let screen = Self {
            folder,
            environment,
            keyring: daemon,
            window_manager,
            _bus: bus,
            _display: display,
        };
        if keyring == Keyring::Hanging {
            screen.stall_keyring()?;
        }
        Ok(screen)
    }

    /// Stops the keyring where it is, once the bus knows it.
    fn stall_keyring(&self) -> Result<()> {
        let begun = Instant::now();
        while !self.has_keyring()? {
            ensure!(begun.elapsed() < PATIENCE, "no keyring has come");
            sleep(Duration::from_millis(50));
        }
        let daemon = self.keyring.as_ref().context("a keyring")?;
        let id = daemon.child.id().to_string();
        let told = Command::new("kill").args(["-STOP", &id]).status()?;
        ensure!(told.success(), "no process {id}");
        Ok(())
    }

    fn has_keyring(&self) -> Result<bool> {
        let mut question = self.command("dbus-send");
        question.args([
            "--session",
            "--print-reply=literal",
            "--dest=org.freedesktop.DBus",
            "/org/freedesktop/DBus",
            "org.freedesktop.DBus.NameHasOwner",
            "string:org.freedesktop.secrets",
        ]);
        let answer = question.output().context("dbus-send")?.stdout;
        Ok(String::from_utf8_lossy(&answer).contains("true"))
    }

    /// A program of this session, ready to start.
    pub(crate) fn command(&self, program: &str) -> Command {
        in_session(Command::new(program), &self.environment)
    }

    /// The name of its X server.
    pub(crate) fn display(&self) -> Result<&str> {
        let mut names = self.environment.iter();
        let display = names.find(|(name, _)| *name == "DISPLAY");
        Ok(&display.context("it has a display")?.1)
    }

    /// Where the app's standard outputs are kept.
    pub(crate) fn app_log(&self) -> PathBuf {
        self.folder.path().join("app.log")
    }

    /// A place for a test's files and logs, which ends with the session.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Ends the keyring and starts it again, as after a fault or at the beginning of a session.
    pub(crate) fn restart_keyring(&mut self) -> Result<()> {
        let mut before = self.keyring.take().context("a keyring")?;
        before.end();
        let again = start_keyring(Keyring::Unlocked, &self.environment, &before.log)?;
        self.keyring = Some(again);
        Ok(())
    }

    /// Where the window is on the screen: left, top, width, height.
    pub(crate) fn geometry(&self) -> Result<[i32; 4]> {
        let geometry = self.xdotool(&[
            "search",
            "--sync",
            "--onlyvisible",
            "--name",
            "^imgn$",
            "getwindowgeometry",
            "--shell",
        ])?;
        let field = |name: &str| -> Result<i32> {
            let value = geometry
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            Ok(value.with_context(|| geometry.clone())?.parse()?)
        };
        Ok([field("X")?, field("Y")?, field("WIDTH")?, field("HEIGHT")?])
    }

    /// Moves and presses the pointer, or asks about windows: `xdotool` with these words.
    pub(crate) fn xdotool(&self, words: &[&str]) -> Result<String> {
        let output = self
            .command("xdotool")
            .args(words)
            .output()
            .context("xdotool")?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "xdotool {words:?}: {errors}{}",
            self.deaths()
        );
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }

    /// What of the session has ended by itself, to explain a failure.
    fn deaths(&self) -> String {
        let parts = std::iter::once(&self.window_manager).chain(&self.keyring);
        parts.map(Background::death).collect()
    }
}

fn start_keyring(
    keyring: Keyring,
    environment: &[(&'static str, String)],
    log: &Path,
) -> Result<Background> {
    let mut daemon = Command::new("gnome-keyring-daemon");
    daemon.args(["--foreground", "--components=secrets"]);
    if matches!(keyring, Keyring::Unlocked | Keyring::Hanging) {
        daemon.arg("--unlock");
    }
    Background::start(in_session(daemon, environment), b"test", log)
}

fn in_session(mut command: Command, environment: &[(&'static str, String)]) -> Command {
    for name in ["WAYLAND_DISPLAY", "XAUTHORITY", "GNOME_KEYRING_CONTROL"] {
        command.env_remove(name);
    }
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    command
}

/// A process that says nothing when it is ready.
struct Background {
    child: Child,
    log: PathBuf,
}

impl Background {
    fn start(mut command: Command, input: &[u8], log: &Path) -> Result<Self> {
        let file = fs::File::create(log)?;
        command
            .stdin(Stdio::piped())
            .stdout(file.try_clone()?)
            .stderr(file);
        let mut child = command
            .spawn()
            .with_context(|| format!("{command:?}; `cargo xtask test` installs it"))?;
        let mut stdin = child.stdin.take().context("a pipe was asked for")?;
        stdin.write_all(input)?;
        Ok(Self {
            child,
            log: log.to_owned(),
        })
    }

    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Its log, if it runs no more.
    fn death(&self) -> String {
        let id = self.child.id();
        let state = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        let runs = state
            .rsplit(") ")
            .next()
            .is_some_and(|rest| !rest.starts_with(['Z', 'X']));
        if runs && !state.is_empty() {
            return String::new();
        }
        format!(
            "\n{}: {}",
            self.log.display(),
            fs::read_to_string(&self.log).unwrap_or_default()
        )
    }
}

impl Drop for Screen {
    /// Says what the app said: the test harness shows it where the test failed.
    #[expect(clippy::print_stdout, reason = "the harness collects it")]
    fn drop(&mut self) {
        if let Ok(log) = fs::read_to_string(self.app_log()) {
            println!("{log}");
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.end();
    }
}
