//! Tokens in a real keyring: GNOME's Secret Service on a private bus, unlocked, locked, absent; no bus, and one that
//! never answers.
//!
//! Invariant: each command has a bus, a daemon and a runtime directory of its own, and nothing of the surrounding
//! session is touched. What the keyring keeps lies below the test's directory, as the client's files do.

use std::{
    cell::Cell,
    fs,
    io::Write as _,
    os::unix::{fs::DirBuilderExt as _, net::UnixListener},
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use imgn_testkit::{
    pictures,
    process::{Answer, ServerProcess, clean_environment, files_below, program},
};
use serde_json::Value;

/// A bus that starts no service by itself, so that only what a test starts is there.
pub(crate) const BUS: &str = r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:tmpdir=/tmp</listen>
  <policy context="default">
    <allow send_destination="*"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
"#;

/// Longer than the 5 s that a keyring may take, and than a slow machine needs for all the rest.
const BOUND: Duration = Duration::from_secs(20);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keyring {
    Unlocked,
    Locked,
    /// There is a bus, but no Secret Service on it.
    Absent,
    NoBus,
    /// The bus takes connections and says nothing.
    SilentBus,
}

impl Keyring {
    /// What the shell does before it becomes `imgn`.
    fn script(self) -> &'static str {
        match self {
            Self::Unlocked => {
                r#"printf test | gnome-keyring-daemon --unlock --components=secrets >/dev/null 2>&1; exec "$@""#
            }
            Self::Locked => {
                r#"gnome-keyring-daemon --start --components=secrets >/dev/null 2>&1; exec "$@""#
            }
            Self::Absent | Self::NoBus | Self::SilentBus => r#"exec "$@""#,
        }
    }

    /// The code, and a word of the message, where there is no token to be had.
    fn trouble(self) -> (&'static str, &'static str) {
        match self {
            Self::Unlocked => ("", ""),
            Self::Locked => ("keyring_locked", "locked"),
            Self::Absent | Self::NoBus => ("keyring_missing", "no keyring"),
            Self::SilentBus => ("keyring_timeout", "did not answer"),
        }
    }
}

/// Somebody with a home, and a gallery to log in to.
struct Person {
    directory: tempfile::TempDir,
    server: ServerProcess,
    sessions: Cell<u32>,
}

impl Person {
    fn new() -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let server = ServerProcess::start(&directory.path().join("server"), &[])?;
        fs::write(directory.path().join("bus.conf"), BUS)?;
        fs::create_dir(directory.path().join("home"))?;
        Ok(Self {
            directory,
            server,
            sessions: Cell::default(),
        })
    }

    fn home(&self) -> PathBuf {
        self.directory.path().join("home")
    }

    /// Runs `imgn` with `input` on its standard input, in a session with that keyring.
    fn imgn(&self, keyring: Keyring, arguments: &[&str], input: &str) -> Result<Answer> {
        self.imgn_with(keyring, arguments, input, &[])
    }

    fn imgn_with(
        &self,
        keyring: Keyring,
        arguments: &[&str],
        input: &str,
        environment: &[(&str, &str)],
    ) -> Result<Answer> {
        self.sessions.set(self.sessions.get() + 1);
        let runtime = self
            .directory
            .path()
            .join(format!("run{}", self.sessions.get()));
        fs::DirBuilder::new().mode(0o700).create(&runtime)?;
        let has_bus = !matches!(keyring, Keyring::NoBus | Keyring::SilentBus);
        let mut command = Command::new(if has_bus { "dbus-run-session" } else { "sh" });
        if has_bus {
            let bus = self.directory.path().join("bus.conf");
            command
                .arg(format!("--config-file={}", bus.display()))
                .args(["--", "sh"]);
        }
        command.args(["-c", keyring.script(), "sh"]);
        command.arg(program("imgn")?).args(arguments);
        clean_environment(&mut command);
        for surrounding in [
            "DBUS_SESSION_BUS_ADDRESS",
            "DISPLAY",
            "GNOME_KEYRING_CONTROL",
            "WAYLAND_DISPLAY",
            "XDG_CACHE_HOME",
            "XDG_CONFIG_HOME",
            "XDG_DATA_HOME",
        ] {
            command.env_remove(surrounding);
        }
        let silent = runtime.join("silent");
        let _listener = (keyring == Keyring::SilentBus)
            .then(|| {
                let address = format!("unix:path={}", silent.display());
                command.env("DBUS_SESSION_BUS_ADDRESS", address);
                UnixListener::bind(&silent)
            })
            .transpose()?;
        command
            .env("HOME", self.home())
            .env("XDG_RUNTIME_DIR", &runtime)
            .env("IMGN_HOME", self.home().join("imgn"))
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let begun = Instant::now();
        let mut child = command.spawn().with_context(|| format!("{command:?}"))?;
        let mut stdin = child.stdin.take().context("a pipe")?;
        // Who needs no input may be gone already.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        let output = child.wait_with_output()?;
        let answer = Answer {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout)?,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        };
        ensure!(begun.elapsed() < BOUND, "{keyring:?} {arguments:?} hangs");
        ensure!(
            !answer.stdout.contains(&self.server.token)
                && !answer.stderr.contains(&self.server.token),
            "a token is never shown"
        );
        Ok(answer)
    }

    fn login(&self, keyring: Keyring) -> Result<Answer> {
        let arguments = ["login", "--token-stdin", "--server", &self.server.url];
        self.imgn(keyring, &arguments, &self.server.token)
    }

    fn logged_in(&self) -> Result<()> {
        let answer = self.login(Keyring::Unlocked)?;
        ensure!(answer.code == Some(0), "{}", answer.stderr);
        Ok(())
    }

    fn status(&self, keyring: Keyring) -> Result<Value> {
        only(&self.imgn(keyring, &["--json", "status"], "")?)
    }

    /// A picture of its own each time, so that it is sent.
    fn picture(&self, width: u32) -> Result<String> {
        let path = self.directory.path().join(format!("{width}.png"));
        fs::write(&path, pictures::palette_png(width, 20))?;
        Ok(path.to_str().context("a path in UTF-8")?.to_owned())
    }

    fn ensure_token_in_no_file(&self) -> Result<()> {
        let files = files_below(&self.home())?;
        ensure!(!files.is_empty());
        let token = self.server.token.as_bytes();
        for (path, _) in files {
            let has_token = fs::read(&path)?
                .windows(token.len())
                .any(|bytes| bytes == token);
            ensure!(!has_token, "the token is in {}", path.display());
        }
        Ok(())
    }
}

fn only(answer: &Answer) -> Result<Value> {
    let mut objects = answer.objects()?;
    ensure!(
        objects.len() == 1,
        "one line: {} {}",
        answer.stdout,
        answer.stderr
    );
    Ok(objects.remove(0))
}

#[test]
fn a_token_is_kept_used_and_forgotten() -> Result<()> {
    let person = Person::new()?;
    person.logged_in()?;
    person.ensure_token_in_no_file()?;

    let status = person.status(Keyring::Unlocked)?;
    ensure!(
        status["signed_in"] == true && status["error"].is_null(),
        "{status}"
    );
    let picture = person.picture(30)?;
    let uploaded = person.imgn(Keyring::Unlocked, &["--json", "upload", &picture], "")?;
    ensure!(uploaded.code == Some(0), "{}", uploaded.stderr);
    ensure!(only(&uploaded)?["state"] == "published");
    person.ensure_token_in_no_file()?;

    let left = person.imgn(Keyring::Unlocked, &["logout"], "")?;
    ensure!(left.code == Some(0), "{}", left.stderr);
    let arguments = ["--json", "status", "--server", &person.server.url];
    let status = only(&person.imgn(Keyring::Unlocked, &arguments, "")?)?;
    ensure!(
        status["error"]["code"] == "unauthorized",
        "the keyring has no token any more: {status}"
    );
    // What to do about it is a person's at a terminal, and not a program's at the server.
    let other = person.picture(31)?;
    let arguments = ["upload", "--server", &person.server.url, &other];
    let refused = person.imgn(Keyring::Unlocked, &arguments, "")?;
    ensure!(
        refused.code == Some(1)
            && refused.stderr.contains("`imgn login`")
            && !refused.stderr.contains("Bearer"),
        "{}",
        refused.stderr
    );
    Ok(())
}

#[test]
fn a_keyring_that_gives_nothing_says_why_in_time() -> Result<()> {
    let person = Person::new()?;
    person.logged_in()?;
    let picture = person.picture(31)?;
    for keyring in [
        Keyring::Locked,
        Keyring::Absent,
        Keyring::NoBus,
        Keyring::SilentBus,
    ] {
        let (code, word) = keyring.trouble();
        let status = person.status(keyring)?;
        ensure!(
            status["error"]["code"] == code && status["signed_in"] == false,
            "{keyring:?}: {status}"
        );
        ensure!(status["reachable"] == true, "reading needs no token");
        let refused = person.imgn(keyring, &["--json", "upload", &picture], "")?;
        let line = only(&refused)?;
        ensure!(
            refused.code == Some(1) && line["error"]["code"] == code,
            "{keyring:?}: {line}"
        );
        ensure!(
            refused.stderr.contains(word) && refused.stderr.contains("IMGN_TOKEN"),
            "{keyring:?}: {}",
            refused.stderr
        );
        // The server takes the token; there is nowhere to keep it.
        let again = person.login(keyring)?;
        ensure!(
            again.code == Some(1) && again.stderr.contains(word),
            "{keyring:?}: {}",
            again.stderr
        );
        person.ensure_token_in_no_file()?;
    }

    // The way out that each of them names.
    let token = [("IMGN_TOKEN", person.server.token.as_str())];
    let arguments = ["--json", "upload", &picture];
    let uploaded = person.imgn_with(Keyring::Locked, &arguments, "", &token)?;
    ensure!(uploaded.code == Some(0), "{}", uploaded.stderr);
    ensure!(only(&uploaded)?["state"] == "published");
    Ok(())
}

#[test]
fn a_gallery_is_left_although_the_keyring_is_locked() -> Result<()> {
    let person = Person::new()?;
    person.logged_in()?;
    let left = person.imgn(Keyring::Locked, &["logout"], "")?;
    ensure!(
        left.code == Some(1) && left.stderr.contains("locked"),
        "{}",
        left.stderr
    );
    ensure!(person.status(Keyring::Locked)?["server"].is_null());

    // With a token of the environment the keyring is none of its business.
    person.logged_in()?;
    let token = [("IMGN_TOKEN", person.server.token.as_str())];
    let left = person.imgn_with(Keyring::Locked, &["logout"], "", &token)?;
    ensure!(left.code == Some(0), "{}", left.stderr);
    ensure!(person.status(Keyring::Unlocked)?["server"].is_null());
    Ok(())
}

#[test]
fn the_doctor_tells_the_keyrings_apart() -> Result<()> {
    let person = Person::new()?;
    person.logged_in()?;
    for (keyring, finding) in [
        (Keyring::Unlocked, "keyring_works"),
        (Keyring::Locked, "keyring_locked"),
        (Keyring::Absent, "keyring_missing"),
        (Keyring::NoBus, "keyring_missing"),
        (Keyring::SilentBus, "keyring_hangs"),
    ] {
        let answer = person.imgn(keyring, &["--json", "doctor"], "")?;
        let checks = answer.objects()?;
        let about = |subject: &str| {
            let found = checks.iter().find(|check| check["subject"] == subject);
            found
                .cloned()
                .with_context(|| format!("{subject}: {checks:?}"))
        };
        let found = about("keyring")?;
        ensure!(found["finding"] == finding, "{keyring:?}: {found}");
        let is_good = found["verdict"] == "good";
        ensure!(is_good == (keyring == Keyring::Unlocked), "{found}");
        ensure!(
            is_good || !found["advice"].as_str().unwrap_or_default().is_empty(),
            "{found}"
        );
        ensure!(
            answer.code == Some(i32::from(!is_good)),
            "{keyring:?}: {}",
            answer.stdout
        );
        let server = about("server")?;
        let expected = if is_good {
            "server_answers"
        } else {
            "token_withheld"
        };
        ensure!(server["finding"] == expected, "{keyring:?}: {server}");
        for subject in ["clock", "clipboard", "tray", "disk"] {
            about(subject)?;
        }
    }
    let token = [("IMGN_TOKEN", person.server.token.as_str())];
    let answer = person.imgn_with(Keyring::SilentBus, &["doctor"], "", &token)?;
    ensure!(answer.code == Some(0), "{}", answer.stdout);
    ensure!(
        answer
            .stdout
            .contains("not asked: the token is in IMGN_TOKEN"),
        "{}",
        answer.stdout
    );
    Ok(())
}

#[test]
fn each_gallery_has_its_own_token() -> Result<()> {
    let person = Person::new()?;
    person.logged_in()?;
    let other = ServerProcess::start(&person.directory.path().join("other"), &[])?;
    let arguments = ["login", "--token-stdin", "--server", &other.url];
    let answer = person.imgn(Keyring::Unlocked, &arguments, &other.token)?;
    ensure!(answer.code == Some(0), "{}", answer.stderr);
    // The last one is shown; the first is known with its token.
    for server in [&other.url, &person.server.url] {
        let arguments = ["--json", "status", "--server", server];
        let status = only(&person.imgn(Keyring::Unlocked, &arguments, "")?)?;
        ensure!(
            status["signed_in"] == true && status["error"].is_null(),
            "{status}"
        );
    }
    ensure!(
        person.status(Keyring::Unlocked)?["server"]
            .as_str()
            .is_some_and(|it| it.starts_with(&other.url))
    );
    // To leave one is not to leave the other.
    let left = person.imgn(Keyring::Unlocked, &["logout"], "")?;
    ensure!(left.code == Some(0), "{}", left.stderr);
    let arguments = ["--json", "status", "--server", &person.server.url];
    let status = only(&person.imgn(Keyring::Unlocked, &arguments, "")?)?;
    ensure!(status["signed_in"] == true, "{status}");
    person.ensure_token_in_no_file()
}
