//! `imgn-server`, the program: flags and environment in, a [`Server`] or one command on its catalogue out.
//!
//! Standard output has what other programs read (the address, a new token, a list, the OpenAPI document) and nothing
//! else; logs and errors go to standard error.

use std::{
    io::{self, IsTerminal as _, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context as _, bail};
use clap::{Args, Parser, Subcommand, ValueEnum};
use imgn_server::{Config, Database, Limits, Role, S3Config, Server, StorageConfig};
use sqlx::sqlite::SqliteConnectOptions;
use tracing_subscriber::{EnvFilter, layer::SubscriberExt as _, util::SubscriberInitExt as _};
use url::Url;

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

/// Where the server keeps what it keeps.
#[derive(Debug, Args)]
struct Place {
    /// The directory of everything that the server keeps.
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "IMGN_DATA_DIR",
        default_value = "imgn-data"
    )]
    data_dir: PathBuf,

    /// The catalogue, as sqlite://PATH; a file in the data directory if left out.
    #[arg(long, global = true, value_name = "URL", env = "IMGN_DATABASE")]
    database: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the gallery until SIGTERM or SIGINT.
    Serve(Serve),
    /// Make, list and revoke the tokens that writing needs; also while the server runs.
    #[command(subcommand)]
    Token(TokenCommand),
    /// Do once what a running server does every minute: take up what was left undone, delete what is garbage.
    Sweep(Serve),
    /// Print the OpenAPI document.
    Openapi,
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
    },
    /// List the valid tokens: name, role, when made.
    List,
    /// End a token at once. What it uploaded stays.
    Revoke {
        /// Whose.
        name: String,
    },
}

#[derive(Debug, Args)]
struct Serve {
    /// HOST:PORT to listen on; port 0 lets the system choose.
    #[arg(long, env = "IMGN_LISTEN", default_value = "127.0.0.1:8787")]
    listen: String,

    /// What clients see: scheme, host and port. The address listened on if left out.
    #[arg(long, value_name = "URL", env = "IMGN_PUBLIC_URL")]
    public_url: Option<Url>,

    /// Where the bytes of pictures are.
    #[arg(long, env = "IMGN_STORAGE", default_value = "embedded")]
    storage: StorageKind,

    /// The S3 service's address; AWS if left out.
    #[arg(long, value_name = "URL", env = "IMGN_S3_ENDPOINT")]
    s3_endpoint: Option<Url>,

    /// The bucket, which exists already.
    #[arg(
        long,
        value_name = "NAME",
        env = "IMGN_S3_BUCKET",
        required_if_eq("storage", "s3")
    )]
    s3_bucket: Option<String>,

    /// The region that requests are signed for.
    #[arg(
        long,
        value_name = "NAME",
        env = "IMGN_S3_REGION",
        default_value = "us-east-1"
    )]
    s3_region: String,

    /// Name the bucket in the path, not in the host name.
    #[arg(long, env = "IMGN_S3_PATH_STYLE")]
    s3_path_style: bool,

    /// The canned access list that pictures and thumbnails are stored with, such as bucket-owner-full-control. Without
    /// it the bucket's own rules hold; the bucket should be private.
    #[arg(long, value_name = "ACL", env = "IMGN_S3_ACL")]
    s3_acl: Option<String>,

    /// How many seconds a presigned URL may be used.
    #[arg(
        long,
        value_name = "SECONDS",
        env = "IMGN_URL_TTL",
        default_value_t = Config::DEFAULT_URL_TTL.as_secs()
    )]
    url_ttl: u64,

    /// The largest picture: bytes, or with K, M or G for powers of 1024. Files under verification take as much memory.
    #[arg(
        long,
        value_name = "SIZE",
        env = "IMGN_MAX_SIZE",
        default_value = "48M",
        value_parser = parse_size
    )]
    max_size: u64,

    /// The size of the parts that large uploads are sent in, from 5M to 5G as S3 has it. A file of up to two parts is
    /// sent by one PUT. Uploads that are open keep theirs; where a file would have more than 10,000 parts, they are larger.
    #[arg(
        long,
        value_name = "SIZE",
        env = "IMGN_PART_SIZE",
        default_value = "8M",
        value_parser = parse_part_size
    )]
    part_size: u64,

    #[command(flatten)]
    limits: PictureLimits,
}

/// What one picture may cost.
#[derive(Debug, Args)]
#[command(next_help_heading = "Limits on one picture")]
struct PictureLimits {
    /// The most pixels that one frame may have.
    #[arg(
        long,
        value_name = "PIXELS",
        env = "IMGN_MAX_PIXELS",
        default_value_t = Limits::default().max_pixels
    )]
    max_pixels: u64,

    /// The memory that decoding may need beside the file: bytes, or with K, M or G. Pictures that are verified at the
    /// same time share it. The tighter limit for what must be held whole, as progressive JPEG.
    #[arg(
        long,
        value_name = "SIZE",
        env = "IMGN_MAX_DECODE_MEMORY",
        default_value = "192M",
        value_parser = parse_size
    )]
    max_decode_memory: u64,

    /// How many seconds decoding may take.
    #[arg(
        long,
        value_name = "SECONDS",
        env = "IMGN_MAX_DECODE_TIME",
        default_value_t = Limits::default().max_duration.as_secs()
    )]
    max_decode_time: u64,

    /// The most frames of an animation.
    #[arg(
        long,
        value_name = "FRAMES",
        env = "IMGN_MAX_FRAMES",
        default_value_t = Limits::default().max_frames
    )]
    max_frames: u32,

    /// The most pixels of all frames of an animation together.
    #[arg(
        long,
        value_name = "PIXELS",
        env = "IMGN_MAX_TOTAL_PIXELS",
        default_value_t = Limits::default().max_total_pixels
    )]
    max_total_pixels: u64,

    /// The most scans of a JPEG; a progressive one has about 10.
    #[arg(
        long,
        value_name = "SCANS",
        env = "IMGN_MAX_SCANS",
        default_value_t = Limits::default().max_scans
    )]
    max_scans: u32,

    /// The most bytes of EXIF data, and of a colour profile; more of either are not looked at. Bytes, or with K, M or G.
    #[arg(
        long,
        value_name = "SIZE",
        env = "IMGN_MAX_METADATA",
        default_value = "4M",
        value_parser = parse_size
    )]
    max_metadata: u64,
}

impl From<PictureLimits> for Limits {
    fn from(limits: PictureLimits) -> Self {
        Self {
            max_pixels: limits.max_pixels,
            max_decoded_bytes: limits.max_decode_memory,
            max_duration: Duration::from_secs(limits.max_decode_time),
            max_frames: limits.max_frames,
            max_total_pixels: limits.max_total_pixels,
            max_scans: limits.max_scans,
            max_metadata_bytes: limits.max_metadata,
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum StorageKind {
    /// In the data directory.
    Embedded,
    /// In a bucket; credentials come from the environment as the AWS tools find them.
    S3,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

fn main() -> ExitCode {
    imgn_server::give_back_what_is_large();
    let cli = Cli::parse();
    log_to_stderr(cli.log_format);
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to tell if standard error is gone.
            let _ = writeln!(io::stderr(), "imgn-server: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    let result = runtime.block_on(async {
        match cli.command {
            Command::Serve(serve) => run_server(serve.config(cli.place)).await,
            Command::Token(command) => run_token(command, cli.place).await,
            Command::Sweep(serve) => run_sweep(serve.config(cli.place)).await,
            Command::Openapi => {
                let document = imgn_server::openapi().to_pretty_json()?;
                say(&document)
            }
        }
    });
    runtime.shutdown_timeout(LAST_WAIT);
    result
}

async fn run_server(config: Config) -> anyhow::Result<()> {
    // Before the address is printed: whoever reads it may send a signal.
    let asked_to_stop = stop_signal()?;
    let server = Server::start(config).await?;
    say(&format!(
        "imgn-server listening on http://{}",
        server.address()
    ))?;
    asked_to_stop.await;
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

async fn run_sweep(config: Config) -> anyhow::Result<()> {
    let swept = Server::sweep(config).await?;
    say(&format!(
        "{} verified, {} aborted, {} objects deleted",
        swept.verifying, swept.aborted, swept.deleted
    ))?;
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
    let catalogue = Server::catalogue(&config).await?;
    match command {
        TokenCommand::Add { name, role } => {
            let token = catalogue.add_token(&name, role).await?;
            say(token.expose())?;
            let place = absolute(&config.data_dir);
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
                say(&format!("{}\t{}\t{}", row.name, row.role, row.created_at))?;
            }
        }
        TokenCommand::Revoke { name } => catalogue.revoke_token(&name).await?,
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
    }
}

fn absolute(path: &Path) -> String {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    path.display().to_string()
}

impl Serve {
    fn config(self, place: Place) -> Config {
        let storage = match self.storage {
            StorageKind::Embedded => StorageConfig::Embedded,
            StorageKind::S3 => StorageConfig::S3(S3Config {
                endpoint: self.s3_endpoint,
                bucket: self.s3_bucket.unwrap_or_default(),
                region: self.s3_region,
                path_style: self.s3_path_style,
                acl: self.s3_acl,
            }),
        };
        Config {
            listen: self.listen,
            public_url: self.public_url,
            database: place.database,
            storage,
            url_ttl: Duration::from_secs(self.url_ttl),
            max_size: self.max_size,
            part_size: self.part_size,
            limits: self.limits.into(),
            ..Config::embedded(place.data_dir)
        }
    }
}

fn parse_size(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit());
    let (number, unit) = text.split_at(digits.unwrap_or(text.len()));
    let factor = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        _ => return Err("a size is a number of bytes, or one with K, M or G".to_owned()),
    };
    number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(factor))
        .ok_or_else(|| "a size is a number of bytes, or one with K, M or G".to_owned())
}

/// S3's bounds for every part but the last.
fn parse_part_size(text: &str) -> Result<u64, String> {
    parse_size(text).and_then(|size| {
        if (Config::SMALLEST_PART_SIZE..=Config::LARGEST_PART_SIZE).contains(&size) {
            Ok(size)
        } else {
            Err("the parts of an S3 upload have from 5M to 5G".to_owned())
        }
    })
}

fn say(line: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

fn log_to_stderr(format: LogFormat) {
    let mut filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new("warn,imgn_server=info,imgn_store=info"));
    // Whatever RUST_LOG says: these print whole requests, with the signatures in them.
    for silent in [
        "aws_config=warn",
        "aws_runtime=warn",
        "aws_sdk_s3=warn",
        "aws_sigv4=warn",
        "aws_smithy_http_client=warn",
        "aws_smithy_runtime=warn",
        "aws_smithy_runtime_api=warn",
        "hyper=info",
        "hyper_util=info",
        "s3s=warn",
        "sqlx=warn",
    ] {
        if let Ok(directive) = silent.parse() {
            filter = filter.add_directive(directive);
        }
    }
    let registry = tracing_subscriber::registry().with(filter);
    let layer = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    match format {
        LogFormat::Text => {
            let layer = layer.with_ansi(io::stderr().is_terminal());
            registry.with(layer).init();
        }
        LogFormat::Json => registry.with(layer.json()).init(),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_flags_are_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn limits_on_pictures_are_settings_with_the_pipeline_s_own_as_defaults() {
        let limits = |flags: &[&str]| {
            let cli = Cli::try_parse_from([&["imgn-server", "serve"], flags].concat()).unwrap();
            match cli.command {
                Command::Serve(serve) => serve.config(cli.place).limits,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(limits(&[]), Limits::default());
        let flags = [
            "--max-pixels=1",
            "--max-decode-memory=2K",
            "--max-decode-time=3",
            "--max-frames=4",
            "--max-total-pixels=5",
            "--max-scans=6",
            "--max-metadata=7K",
        ];
        let expected = Limits {
            max_pixels: 1,
            max_decoded_bytes: 2 << 10,
            max_duration: Duration::from_secs(3),
            max_frames: 4,
            max_total_pixels: 5,
            max_scans: 6,
            max_metadata_bytes: 7 << 10,
        };
        assert_eq!(limits(&flags), expected);
    }

    #[test]
    fn parts_have_the_sizes_that_s3_takes() {
        assert_eq!(parse_part_size("5M"), Ok(5 << 20));
        assert_eq!(parse_part_size("5G"), Ok(5 << 30));
        for bad in ["5242879", "5368709121", "many"] {
            assert!(parse_part_size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_are_bytes_or_powers_of_1024() {
        assert_eq!(parse_size("1"), Ok(1));
        assert_eq!(parse_size("64M"), Ok(64 << 20));
        assert_eq!(parse_size("48M"), Ok(Config::DEFAULT_MAX_SIZE));
        assert_eq!(parse_size("2 GiB"), Ok(2 << 30));
        for bad in [
            "",
            "M",
            "-1",
            "1.5M",
            "1T",
            "99999999999999999999",
            "9999999999999G",
        ] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }
}
