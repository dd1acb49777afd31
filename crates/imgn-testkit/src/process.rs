//! The built programs as a user starts them: child processes with arguments, output, signals and memory.
//!
//! Not for in-process servers. Invariant: a child never outlives its handle.

use std::{
    ffi::OsStr,
    fs,
    io::{BufRead as _, BufReader, Read as _},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

/// How long a program may take to say that it is ready. Generous: test machines are slow and shared.
const START: Duration = Duration::from_secs(60);

/// The path of a built program: in `IMGN_TEST_BIN_DIR`, else beside the running test's own target directory.
pub fn program(name: &str) -> Result<PathBuf> {
    let directory = match std::env::var_os("IMGN_TEST_BIN_DIR") {
        Some(directory) => PathBuf::from(directory),
        // target/debug/deps/test-hash -> target/debug
        None => {
            let test = std::env::current_exe()?;
            let directory = test
                .ancestors()
                .nth(2)
                .context("the test runs from a target directory")?;
            directory.to_owned()
        }
    };
    [directory.join(name), directory.join("examples").join(name)]
        .into_iter()
        .find(|path| path.is_file())
        .with_context(|| {
            format!(
                "{name} is not built in {}; run the tests with `cargo xtask test`",
                directory.display()
            )
        })
}

/// Waits until `done` answers with something, asking often, and fails with `what` after `limit`.
pub async fn eventually<T>(
    what: &str,
    limit: Duration,
    mut done: impl AsyncFnMut() -> Result<Option<T>>,
) -> Result<T> {
    let start = Instant::now();
    loop {
        if let Some(value) = done().await? {
            return Ok(value);
        }
        ensure!(start.elapsed() < limit, "{what}: not within {limit:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A child process that is killed when it is dropped.
pub struct Running {
    child: Child,
    log: PathBuf,
}

impl Running {
    /// Starts `command` with its standard error in `log`, and waits for the first line of its standard output.
    pub fn start(mut command: Command, log: &Path) -> Result<(Self, String)> {
        let file = fs::OpenOptions::new().create(true).append(true).open(log)?;
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(file)
            .spawn()
            .with_context(|| format!("{command:?}"))?;
        let stdout = child.stdout.take().context("a pipe was asked for")?;
        let mut running = Self {
            child,
            log: log.to_owned(),
        };
        let (send, lines) = mpsc::channel();
        std::thread::spawn(move || {
            let mut stdout = BufReader::new(stdout);
            let mut line = String::new();
            // An empty line stands for the end of the output.
            let _ = stdout.read_line(&mut line);
            let _ = send.send(line);
            // Keep the pipe open and empty, so that the child never blocks on it.
            let _ = stdout.read_to_end(&mut Vec::new());
        });
        let line = lines.recv_timeout(START).unwrap_or_default();
        if line.is_empty() {
            running.kill();
            bail!("{command:?} did not start:\n{}", running.log());
        }
        Ok((running, line.trim_end().to_owned()))
    }

    /// What it wrote to standard error so far.
    #[must_use]
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// `kill -9`, and waits for the end.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// `SIGTERM`, and the exit code; fails if it does not end within `limit`.
    pub fn terminate(&mut self, limit: Duration) -> Result<Option<i32>> {
        let id = self.child.id().to_string();
        ensure!(
            Command::new("kill")
                .args(["-TERM", &id])
                .status()?
                .success()
        );
        let start = Instant::now();
        while start.elapsed() < limit {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status.code());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        bail!(
            "the process did not end within {limit:?} of SIGTERM:\n{}",
            self.log()
        )
    }

    /// The most resident memory it ever had, in bytes.
    pub fn peak_memory(&self) -> Result<u64> {
        status_field(self.id(), "VmHWM")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A memory field of `/proc/{id}/status`, in bytes.
pub fn status_field(id: u32, field: &str) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{id}/status"))?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    let kib = line
        .and_then(|rest| rest.trim().strip_suffix(" kB"))
        .context("a field in kB")?;
    Ok(kib.trim().parse::<u64>()? * 1024)
}

/// `imgn-server` on a directory of its own, with an administrator's token.
pub struct ServerProcess {
    running: Running,
    /// Where it listens, without a slash at the end.
    pub url: String,
    /// A token with the role `admin`.
    pub token: String,
    directory: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
}

impl ServerProcess {
    /// Starts the server on `directory` with further arguments of `serve`.
    pub fn start(directory: &Path, arguments: &[&str]) -> Result<Self> {
        Self::start_with(directory, arguments, &[])
    }

    /// The same with variables of its environment, such as a store's credentials.
    pub fn start_with(
        directory: &Path,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Result<Self> {
        let data = directory.join("data");
        fs::create_dir_all(&data)?;
        let arguments: Vec<String> = arguments.iter().map(|&a| a.to_owned()).collect();
        let environment: Vec<(String, String)> = environment
            .iter()
            .map(|&(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let token = Self::add_token_in(&data, &environment, "owner", "admin")?;
        let (running, url) = Self::spawn(directory, "127.0.0.1:0", &arguments, &environment)?;
        Ok(Self {
            running,
            url,
            token,
            directory: directory.to_owned(),
            arguments,
            environment,
        })
    }

    /// Starts another one beside it, on a directory of its own and with other arguments, in the same environment: where
    /// that says which database, both have one gallery, and the same token.
    pub fn start_beside(&self, directory: &Path, arguments: &[&str]) -> Result<Self> {
        fs::create_dir_all(directory.join("data"))?;
        let arguments: Vec<String> = arguments.iter().map(|&a| a.to_owned()).collect();
        let environment = self.environment.clone();
        let (running, url) = Self::spawn(directory, "127.0.0.1:0", &arguments, &environment)?;
        Ok(Self {
            running,
            url,
            token: self.token.clone(),
            directory: directory.to_owned(),
            arguments,
            environment,
        })
    }

    /// Starts one on what is there already, where it listens on `listen`, with a token that it is known to have.
    pub fn start_on(
        directory: &Path,
        listen: &str,
        token: &str,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Result<Self> {
        let arguments: Vec<String> = arguments.iter().map(|&a| a.to_owned()).collect();
        let environment: Vec<(String, String)> = environment
            .iter()
            .map(|&(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let (running, url) = Self::spawn(directory, listen, &arguments, &environment)?;
        Ok(Self {
            running,
            url,
            token: token.to_owned(),
            directory: directory.to_owned(),
            arguments,
            environment,
        })
    }

    fn spawn(
        directory: &Path,
        listen: &str,
        arguments: &[String],
        environment: &[(String, String)],
    ) -> Result<(Running, String)> {
        let mut command = Command::new(program("imgn-server")?);
        command
            .args(["serve", "--listen", listen, "--data-dir"])
            .arg(directory.join("data"))
            .args(arguments);
        clean_environment(&mut command);
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        let (running, line) = Running::start(command, &directory.join("server.log"))?;
        let url = line
            .strip_prefix("imgn-server listening on ")
            .with_context(|| line.clone())?
            .to_owned();
        Ok((running, url))
    }

    /// Starts it again where it listened before, after [`Self::kill`] or [`Self::terminate`].
    pub fn restart(&mut self) -> Result<()> {
        let listen = self.url.strip_prefix("http://").context("a plain URL")?;
        let (running, url) =
            Self::spawn(&self.directory, listen, &self.arguments, &self.environment)?;
        self.running = running;
        ensure!(url == self.url, "{url} is not {}", self.url);
        Ok(())
    }

    /// Adds a token by the program's own command, also while the server runs.
    pub fn add_token(&self, name: &str, role: &str) -> Result<String> {
        let data = self.directory.join("data");
        Self::add_token_in(&data, &self.environment, name, role)
    }

    /// Runs another of the program's commands on the same data; answers its output.
    pub fn command(&self, arguments: &[&str]) -> Result<Output> {
        let mut command = Command::new(program("imgn-server")?);
        command
            .args(arguments)
            .arg("--data-dir")
            .arg(self.directory.join("data"));
        clean_environment(&mut command);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        Ok(command.output()?)
    }

    fn add_token_in(
        data: &Path,
        environment: &[(String, String)],
        name: &str,
        role: &str,
    ) -> Result<String> {
        let mut command = Command::new(program("imgn-server")?);
        command
            .args(["token", "add", name, "--role", role, "--data-dir"])
            .arg(data);
        clean_environment(&mut command);
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        let output = command.output()?;
        ensure!(
            output.status.success(),
            "token add: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.running.kill();
    }

    /// The process.
    #[must_use]
    pub fn process(&self) -> &Running {
        &self.running
    }

    /// `SIGTERM`; answers the exit code.
    pub fn terminate(&mut self) -> Result<Option<i32>> {
        self.running.terminate(Duration::from_secs(20))
    }

    /// All files that the server keeps, with their sizes: what is left behind shows here.
    pub fn files(&self) -> Result<Vec<(PathBuf, u64)>> {
        files_below(&self.directory.join("data"))
    }
}

/// All files below a directory with their sizes, sorted by path.
pub fn files_below(directory: &Path) -> Result<Vec<(PathBuf, u64)>> {
    let mut found = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory)? {
            let entry = entry?;
            let metadata = match entry.metadata() {
                // Temporary files of a running program come and go.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                metadata => metadata?,
            };
            if metadata.is_dir() {
                open.push(entry.path());
            } else {
                found.push((entry.path(), metadata.len()));
            }
        }
    }
    found.sort();
    Ok(found)
}

/// `imgn` with a home of its own and a token in its environment.
pub struct Client {
    home: PathBuf,
    server: String,
    token: Option<String>,
}

/// What a run of `imgn` answered.
pub struct Answer {
    /// The exit code.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Answer {
    /// Standard output as one JSON object a line.
    pub fn objects(&self) -> Result<Vec<Value>> {
        self.stdout
            .lines()
            .map(|line| serde_json::from_str(line).with_context(|| line.to_owned()))
            .collect()
    }
}

impl Client {
    /// A client of `server` that keeps everything below `home`.
    #[must_use]
    pub fn new(home: &Path, server: &str, token: Option<&str>) -> Self {
        Self {
            home: home.to_owned(),
            server: server.to_owned(),
            token: token.map(ToOwned::to_owned),
        }
    }

    /// A command that is ready to run; the caller may add to it.
    pub fn command(&self, arguments: &[impl AsRef<OsStr>]) -> Result<Command> {
        let mut command = Command::new(program("imgn")?);
        clean_environment(&mut command);
        command
            .env("IMGN_HOME", &self.home)
            .env("IMGN_SERVER", &self.server);
        if let Some(token) = &self.token {
            command.env("IMGN_TOKEN", token);
        }
        command.args(arguments).stdin(Stdio::null());
        Ok(command)
    }

    /// Runs it to its end.
    pub fn run(&self, arguments: &[impl AsRef<OsStr>]) -> Result<Answer> {
        answer(self.command(arguments)?)
    }
}

/// Runs a command to its end.
pub fn answer(mut command: Command) -> Result<Answer> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    Ok(Answer {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout)?,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// Takes what the surrounding session says to imgn out of a child's environment, proxies included.
pub fn clean_environment(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        let ours = name.starts_with("IMGN_") && !name.starts_with("IMGN_TEST_");
        if ours || name.to_ascii_lowercase().ends_with("_proxy") {
            command.env_remove(name);
        }
    }
}
