//! `imgn-server`, the program: flags and environment in, a [`Server`] or one command on its catalogue out.
//!
//! Standard output has what other programs read (the address, a new token, a list, the OpenAPI document) and nothing
//! else; logs and errors go to standard error.

#[cfg(feature = "otlp")]
mod otlp;
mod transfer;

use std::{
    io::{self, IsTerminal as _, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context as _, bail};
use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use imgn_protocol::Timestamp;
use imgn_server::{
    Config, Database, Grant, Role, Scopes, Server, UnknownPictures, chain,
    doctor::{Verdict, examine},
    settings::{Place, Serve, log_filter_of_a_layer},
};
use sqlx::sqlite::SqliteConnectOptions;
use tracing_subscriber::{
    Layer, Registry, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

/// How long work that cannot be interrupted may go on after everything else has ended.
const LAST_WAIT: Duration = Duration::from_secs(2);

/// The backend of a public picture gallery.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    place: Place,

    /// How logs are written to standard error; `RUST_LOG` says what is logged.
    #[arg(long, global = true, env = "IMGN_LOG_FORMAT", default_value = "text")]
    log_format: LogFormat,

    #[command(subcommand)]
    command: Command,
}

/// How the program serves.
#[derive(Debug, Args)]
struct Serving {
    #[command(flatten)]
    serve: Serve,
    #[cfg(feature = "otlp")]
    #[command(flatten)]
    otlp: otlp::Otlp,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the gallery until SIGTERM or SIGINT.
    Serve(Serving),
    /// Make, list and revoke the tokens that writing needs; also while the server runs.
    #[command(subcommand)]
    Token(TokenCommand),
    /// Do once what a running server does every minute: take up what was left undone, delete what is garbage.
    Sweep(Sweep),
    /// Look whether what the server relies on is there: catalogue, disk or bucket, clock, and what the store does of what is
    /// signed. Says what to do where something is not, and then fails. With the flags that the server has.
    Doctor(Doctor),
    /// Write the gallery into a directory: every picture as a file, and the catalogue as lines of JSON. The server may run.
    Export(transfer::Export),
    /// Make the gallery of such a directory this one's, whatever catalogue and store it had. The server may not run, and the
    /// catalogue has to be empty.
    Import(transfer::Import),
    /// Ask a server that runs on this computer whether it is ready, and fail if it is not: for a container's health check.
    Ready {
        /// HOST:PORT that it listens on.
        #[arg(long, env = "IMGN_LISTEN", default_value = "127.0.0.1:8787")]
        listen: String,
    },
    /// Print the OpenAPI document.
    Openapi,
    /// Print what lets a shell complete this command line: `eval "$(imgn-server completions bash)"`.
    Completions {
        /// Which shell.
        shell: Shell,
    },
    /// Write the manual pages: one for the program, and one for each command.
    #[command(hide = true)]
    Man {
        /// Where to, made if it is missing.
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
}

#[derive(Debug, Args)]
struct Sweep {
    #[command(flatten)]
    serve: Serve,
    /// Also remove, for good, the originals and thumbnails that the catalogue does not know and that are older than 30 days. Only
    /// where no other gallery has pictures in the bucket, and there is no newer catalogue of this one.
    #[arg(long)]
    remove_unknown: bool,
}

#[derive(Debug, Args)]
struct Doctor {
    #[command(flatten)]
    serve: Serve,
    /// Make what is missing: the bucket, its rule that lets the web page send to it, and its rule that ends uploads which were
    /// given up. Rules that are there stay.
    #[arg(long)]
    set_up: bool,
    /// Print one JSON object for each finding.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum TokenCommand {
    /// Make a token and print it, this once.
    Add {
        /// Whose it is; shown with the pictures that it uploads.
        name: String,
        /// What it allows: `uploader`, or `admin` who may also delete what others uploaded.
        #[arg(long, default_value = "uploader")]
        role: Role,
        /// What it may be used for, within its role: `upload`, `delete`, or both with a comma between them.
        #[arg(long, default_value = "upload,delete")]
        scopes: Scopes,
        /// When it ends by itself: a number with s, m, h, d or w, such as 90d. It does not if left out.
        #[arg(long, value_name = "TIME", value_parser = parse_lifetime)]
        expires: Option<Duration>,
    },
    /// List the tokens that were not revoked: name, role, when made, scopes, when it expires, the last day of its use (UTC),
    /// with `-` for what there is none of.
    List,
    /// End a token at once. What it uploaded stays.
    Revoke {
        /// Whose.
        name: String,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

fn main() -> ExitCode {
    imgn_server::give_back_what_is_large();
    let cli: Cli = imgn_args::parse();
    match with_log(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to tell if standard error is gone.
            let _ = writeln!(io::stderr(), "imgn-server: {}", chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

#[cfg(feature = "otlp")]
fn with_log(cli: Cli) -> anyhow::Result<()> {
    let traces = match &cli.command {
        Command::Serve(serving) => serving.otlp.start()?,
        _ => None,
    };
    log_to_stderr(cli.log_format, traces.as_ref().map(otlp::Traces::layer));
    let result = run(cli, traces.is_some());
    if let Some(traces) = traces {
        traces.end();
    }
    result
}

#[cfg(not(feature = "otlp"))]
fn with_log(cli: Cli) -> anyhow::Result<()> {
    log_to_stderr(cli.log_format, None::<tracing_subscriber::layer::Identity>);
    run(cli, false)
}

impl Serving {
    fn config(self, place: Place, is_traced: bool) -> Config {
        let config = self.serve.config(place);
        #[cfg(feature = "otlp")]
        if is_traced {
            return Config {
                continue_trace: Some(otlp::join),
                ..config
            };
        }
        let _ = is_traced;
        config
    }
}

fn run(cli: Cli, is_traced: bool) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    let result = runtime.block_on(async {
        match cli.command {
            Command::Serve(serving) => run_server(serving.config(cli.place, is_traced)).await,
            Command::Token(command) => run_token(command, cli.place).await,
            Command::Sweep(sweep) => run_sweep(sweep, cli.place).await,
            Command::Doctor(doctor) => run_doctor(doctor, cli.place).await,
            Command::Export(export) => Box::pin(export.run(cli.place)).await,
            Command::Import(import) => Box::pin(import.run(cli.place)).await,
            Command::Ready { listen } => Ok(Server::is_ready(&listen).await?),
            Command::Openapi => {
                let document = imgn_server::openapi().to_pretty_json()?;
                say(&document)
            }
            Command::Completions { shell } => say(completions(shell)?.trim_end()),
            Command::Man { directory } => write_manual(&directory),
        }
    });
    runtime.shutdown_timeout(LAST_WAIT);
    result
}

/// What a shell reads to complete the command line.
fn completions(shell: Shell) -> anyhow::Result<String> {
    // clap's script for bash does not find the commands of a program with a hyphen in its name. Within the script any other
    // name will do; only the lines that register it end with the program's.
    let name = if shell == Shell::Bash {
        "imgn_server"
    } else {
        "imgn-server"
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), name, &mut script);
    Ok(String::from_utf8(script)?.replace(" imgn_server\n", " imgn-server\n"))
}

/// `imgn-server.1`, and a page for each command.
fn write_manual(directory: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(directory)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), directory))
        .with_context(|| {
            format!(
                "the manual pages cannot be written into {}; name a directory that can",
                directory.display()
            )
        })
}

async fn run_server(config: Config) -> anyhow::Result<()> {
    // Before the address is printed: whoever reads it may send a signal.
    let asked_to_stop = stop_signal()?;
    let mut hangups = Hangups::expect()?;
    tokio::pin!(asked_to_stop);
    let server = tokio::select! {
        started = Server::start(config) => started?,
        () = &mut asked_to_stop => return Ok(()),
    };
    say(&format!(
        "imgn-server listening on http://{}",
        server.address()
    ))?;
    loop {
        tokio::select! {
            () = &mut asked_to_stop => break,
            () = hangups.next() => server.reopen_audit_log(),
        }
    }
    server.shutdown().await;
    Ok(())
}

#[cfg(unix)]
fn stop_signal() -> anyhow::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};

    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

#[cfg(not(unix))]
fn stop_signal() -> anyhow::Result<impl Future<Output = ()>> {
    let interrupt = tokio::signal::ctrl_c();
    Ok(async move {
        // That no signal can come is no reason to stop.
        if interrupt.await.is_err() {
            std::future::pending::<()>().await;
        }
    })
}

/// SIGHUP, which says that the audit log's file was moved away.
struct Hangups {
    #[cfg(unix)]
    signals: tokio::signal::unix::Signal,
}

impl Hangups {
    fn expect() -> anyhow::Result<Self> {
        Ok(Self {
            #[cfg(unix)]
            signals: tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup())
                .context("cannot wait for SIGHUP")?,
        })
    }

    async fn next(&mut self) {
        #[cfg(unix)]
        if self.signals.recv().await.is_some() {
            return;
        }
        std::future::pending::<()>().await;
    }
}

async fn run_doctor(doctor: Doctor, place: Place) -> anyhow::Result<()> {
    let config = doctor.serve.config(place);
    let findings = examine(&config, doctor.set_up).await;
    for finding in &findings {
        if doctor.json {
            say(&serde_json::to_string(finding)?)?;
            continue;
        }
        let verdict = match finding.verdict {
            Verdict::Good => "good",
            Verdict::Warning => "warning",
            Verdict::Bad => "bad",
        };
        say(&format!(
            "{verdict:<8}{:<11}{}",
            finding.subject, finding.message
        ))?;
        if !finding.advice.is_empty() {
            say(&format!("{:<19}-> {}", "", finding.advice))?;
        }
    }
    let bad = findings.iter().filter(|it| it.verdict == Verdict::Bad);
    let bad = bad.count();
    anyhow::ensure!(bad == 0, "{bad} of {} checks are bad", findings.len());
    Ok(())
}

async fn run_sweep(sweep: Sweep, place: Place) -> anyhow::Result<()> {
    let unknown = match sweep.remove_unknown {
        true => UnknownPictures::Remove,
        false => UnknownPictures::Count,
    };
    let swept = Server::sweep(sweep.serve.config(place), unknown).await?;
    say(&format!(
        "{} verified, {} aborted, {} objects deleted",
        swept.verifying, swept.aborted, swept.deleted
    ))?;
    if swept.unknown > 0 {
        say(&format!(
            "{} objects of pictures are unknown to the catalogue and older than 30 days. If no other gallery has pictures in the \
             bucket, and there is no newer catalogue of this one, remove them for good: imgn-server sweep --remove-unknown",
            swept.unknown
        ))?;
    }
    anyhow::ensure!(
        swept.failures == 0,
        "{} things could not be done; the log above says which and why",
        swept.failures
    );
    Ok(())
}

async fn run_token(command: TokenCommand, place: Place) -> anyhow::Result<()> {
    let config = Config {
        database: place.database,
        database_connections: place.database_connections,
        shared_file_system: place.shared_file_system,
        audit_log: place.audit_log,
        ..Config::embedded(place.data_dir)
    };
    let file = catalogue_file(&config.database());
    let is_new = file.as_ref().is_some_and(|file| !file.exists());
    if let Some(file) = &file
        && is_new
        && !matches!(command, TokenCommand::Add { .. })
    {
        bail!(
            "there is no gallery in {} ({} is missing); --data-dir says where it is",
            absolute(&config.data_dir),
            absolute(file)
        );
    }
    let audit = Server::audit(&config)?;
    let catalogue = Server::catalogue(&config).await?;
    match command {
        TokenCommand::Add {
            name,
            role,
            scopes,
            expires,
        } => {
            let expires_at = expires
                .map(|lifetime| Timestamp::now().checked_add(lifetime))
                .transpose()
                .context("--expires is further away than times go")?;
            let grant = Grant {
                role,
                scopes,
                expires_at,
            };
            let token = catalogue.add_token(&name, grant).await?;
            audit.token_added(&name, &grant);
            say(token.expose())?;
            let place = match config.database() {
                database @ Database::Postgres { .. } => database.to_string(),
                _ => absolute(&config.data_dir),
            };
            let gallery = if is_new {
                "a new gallery"
            } else {
                "the gallery"
            };
            // The token is made and told; that nobody reads this changes nothing.
            let _ = writeln!(
                io::stderr(),
                "The {role} token \"{name}\" is for {gallery} in {place}. Keep it: it is not shown again."
            );
        }
        TokenCommand::List => {
            for row in catalogue.tokens().await? {
                let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
                let expires = or_none(row.expires_at.map(|end| end.to_string()));
                let day = |start: Timestamp| start.strftime("%Y-%m-%d").to_string();
                let used = or_none(row.last_used_on.map(day));
                say(&format!(
                    "{}\t{}\t{}\t{}\t{expires}\t{used}",
                    row.name, row.role, row.created_at, row.scopes
                ))?;
            }
        }
        TokenCommand::Revoke { name } => {
            catalogue.revoke_token(&name).await?;
            audit.token_revoked(&name);
        }
    }
    catalogue.close().await;
    Ok(())
}

/// The file of a catalogue, which need not be there. None for a URL that opening it will refuse.
fn catalogue_file(database: &Database) -> Option<PathBuf> {
    match database {
        Database::File(path) => Some(path.clone()),
        Database::Url(url) => {
            let options: SqliteConnectOptions = url.parse().ok()?;
            Some(options.get_filename().to_owned())
        }
        Database::Postgres { .. } => None,
    }
}

/// A time as people write one: `90d`.
fn parse_lifetime(text: &str) -> Result<Duration, String> {
    const HOW: &str = "a time is a number with s, m, h, d or w for its unit, such as 90d";
    let (number, unit) = text.split_at(text.len() - text.chars().last().map_or(0, char::len_utf8));
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        "w" => 7 * 24 * 60 * 60,
        _ => return Err(HOW.to_owned()),
    };
    let number: u64 = number.parse().map_err(|_| HOW.to_owned())?;
    number
        .checked_mul(seconds)
        .filter(|&seconds| seconds > 0)
        .map(Duration::from_secs)
        .ok_or_else(|| HOW.to_owned())
}

fn absolute(path: &Path) -> String {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    path.display().to_string()
}

fn say(line: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

/// Logs to standard error; `traces` takes the spans that are no log's.
fn log_to_stderr(format: LogFormat, traces: Option<impl Layer<Registry> + Send + Sync>) {
    let registry = tracing_subscriber::registry().with(traces);
    let layer = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    match format {
        LogFormat::Text => {
            let layer = layer.with_ansi(io::stderr().is_terminal());
            registry
                .with(layer.with_filter(log_filter_of_a_layer()))
                .init();
        }
        LogFormat::Json => {
            let layer = layer.json();
            registry
                .with(layer.with_filter(log_filter_of_a_layer()))
                .init();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flags_are_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_lifetime_is_a_number_with_its_unit() {
        let days = Duration::from_secs(90 * 24 * 60 * 60);
        assert_eq!(parse_lifetime("90d"), Ok(days));
        assert_eq!(parse_lifetime("2w"), parse_lifetime("336h"));
        for bad in [
            "",
            "d",
            "90",
            "0d",
            "-1d",
            "1.5d",
            "90\u{e4}",
            "99999999999999999999w",
        ] {
            assert!(parse_lifetime(bad).is_err(), "{bad}");
        }
    }
}
