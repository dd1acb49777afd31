//! What a server is started with, as flags and environment variables: for the program `imgn-server`, and for whatever
//! else starts the same server from its environment.

use std::{path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};
use imgn_thumbs::Limits;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::{
    EnvFilter, Layer,
    filter::{FilterExt as _, filter_fn},
    layer::Filter,
    registry::LookupSpan,
};
use url::Url;

mod clients;
mod sign_in;

use crate::{
    TRACES,
    config::{Config, DatabaseUrl, S3Config, StorageConfig},
};

/// Code of others that is heard from the level of a warning on only: it tells of whole requests, with what was signed.
const HEARD_FROM_WARN: [&str; 9] = [
    "aws_config",
    "aws_runtime",
    "aws_sdk_s3",
    "aws_sigv4",
    "aws_smithy_http_client",
    "aws_smithy_runtime",
    "aws_smithy_runtime_api",
    "s3s",
    "sqlx",
];

/// What is logged: what `RUST_LOG` says, and in any case nothing with a secret in it.
///
/// The second filter has the last word, for `RUST_LOG` could name a module, and the most exact name counts: below the
/// level of information, only code of this project is heard, which knows what is secret.
#[must_use]
pub fn log_filter<S>() -> impl Layer<S>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    Layer::and_then(asked_for(), filter_fn(may_be_logged))
}

/// The same for one layer among others, of which some hear what is not logged.
#[must_use]
pub fn log_filter_of_a_layer<S>() -> impl Filter<S>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    asked_for().and(filter_fn(may_be_logged))
}

fn asked_for() -> EnvFilter {
    let asked_for = std::env::var(EnvFilter::DEFAULT_ENV).ok();
    filter_of(asked_for.as_deref())
}

/// The audit log is no matter of how talkative the rest is: it is heard unless it is named itself.
fn filter_of(asked_for: Option<&str>) -> EnvFilter {
    const USUAL: &str = "warn,audit=info,imgn_server=info,imgn_store=info";
    let Some((asked_for, filter)) =
        asked_for.and_then(|text| Some((text, EnvFilter::try_new(text).ok()?)))
    else {
        return EnvFilter::new(USUAL);
    };
    let names_audit = asked_for.split(',').any(|directive| {
        let name = directive.split(['=', '[', ':']).next();
        name == Some("audit")
    });
    match names_audit {
        true => filter,
        false => EnvFilter::new(format!("{asked_for},audit=info")),
    }
}

fn may_be_logged(metadata: &Metadata<'_>) -> bool {
    metadata.target() != TRACES && *metadata.level() <= most_talkative(metadata.target())
}

fn most_talkative(target: &str) -> Level {
    let name = target.split("::").next().unwrap_or_default();
    if name.starts_with("imgn_") {
        Level::TRACE
    } else if HEARD_FROM_WARN.contains(&name) {
        Level::WARN
    } else {
        Level::INFO
    }
}

/// Where the server keeps what it keeps.
#[derive(Debug, Clone, Args)]
pub struct Place {
    /// The directory of everything that the server keeps.
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "IMGN_DATA_DIR",
        default_value = "imgn-data"
    )]
    pub data_dir: PathBuf,

    /// The catalogue, as sqlite://PATH or postgres://USER:PASSWORD@HOST/NAME; a file in the data directory if left out. A
    /// password belongs into the environment, for everybody on the computer can read a program's arguments.
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "IMGN_DATABASE",
        hide_env_values = true
    )]
    pub database: Option<DatabaseUrl>,

    /// Connections to PostgreSQL at a time, beside the one that hears what other servers publish.
    #[arg(
        long, global = true, value_name = "COUNT", env = "IMGN_DATABASE_CONNECTIONS",
        default_value_t = Config::DEFAULT_DATABASE_CONNECTIONS, value_parser = clap::value_parser!(u32).range(1..)
    )]
    pub database_connections: u32,

    /// The catalogue is on a file system that several computers share, such as NFS or EFS: SQLite then does without its
    /// write-ahead log, and is slower.
    #[arg(long, global = true, env = "IMGN_SHARED_FILE_SYSTEM")]
    pub shared_file_system: bool,

    /// A file for the audit log, a line of JSON for each write, made for its owner alone; on SIGHUP a new one is begun under
    /// the name. Left out, it is in the ordinary log, under the target audit.
    #[arg(long, global = true, value_name = "FILE", env = "IMGN_AUDIT_LOG")]
    pub audit_log: Option<PathBuf>,
}

/// How a server serves.
#[derive(Debug, Clone, Args)]
pub struct Serve {
    /// HOST:PORT to listen on; port 0 lets the system choose.
    #[arg(long, env = "IMGN_LISTEN", default_value = "127.0.0.1:8787")]
    listen: String,

    /// What clients see: scheme, host and port. The address listened on if left out.
    #[arg(long, value_name = "URL", env = "IMGN_PUBLIC_URL")]
    public_url: Option<Url>,

    /// Where links to pictures lead: scheme, host and port of a cache (a CDN) that asks this server and passes its own Host on,
    /// which is answered with the bytes of originals. This server's own address if left out.
    #[arg(long, value_name = "URL", env = "IMGN_PUBLIC_PICTURES_URL")]
    public_pictures_url: Option<Url>,

    /// HOST:PORT of an address of their own, where a Prometheus reads the metrics (/metrics). Nobody is asked for a token
    /// there: keep it on the loopback interface or a network of your own. There are none if left out.
    #[arg(long, value_name = "ADDRESS", env = "IMGN_METRICS_LISTEN")]
    metrics_listen: Option<String>,

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

    /// Let everybody upload, without a token. Deleting a picture needs one in any case.
    #[arg(long, env = "IMGN_ANONYMOUS_UPLOADS")]
    anonymous_uploads: bool,

    /// The most uploads that one token may have under way with other people's clients, which announce no size: of those
    /// above, each has to wait for another's end, of what was given up for about an hour. Those who upload without a token
    /// share one such number among them, and for them it counts with every client.
    #[arg(
        long,
        value_name = "UPLOADS",
        env = "IMGN_MAX_PENDING",
        default_value_t = Config::DEFAULT_MAX_PENDING
    )]
    max_pending: u32,

    /// Take pictures up to this size from clients that cannot reach the store, through the server itself
    /// (`PUT /v1/uploads/{id}/content`): bytes, or with K, M or G. Each is held in memory. None are taken if left out.
    #[arg(
        long,
        value_name = "SIZE",
        env = "IMGN_RELAY_MAX_SIZE",
        value_parser = parse_size
    )]
    relay_max_size: Option<u64>,

    #[command(flatten)]
    sign_in: sign_in::SignIn,

    #[command(flatten)]
    clients: clients::ClientLimits,

    #[command(flatten)]
    limits: PictureLimits,
}

/// What one picture may cost.
#[derive(Debug, Clone, Args)]
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

impl Serve {
    /// The configuration of a server that keeps what it keeps in `place`.
    #[must_use]
    pub fn config(self, place: Place) -> Config {
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
            pictures_url: self.public_pictures_url,
            metrics_listen: self.metrics_listen,
            database: place.database,
            audit_log: place.audit_log,
            continue_trace: None,
            database_connections: place.database_connections,
            shared_file_system: place.shared_file_system,
            storage,
            url_ttl: Duration::from_secs(self.url_ttl),
            max_size: self.max_size,
            part_size: self.part_size,
            limits: self.limits.into(),
            anonymous_uploads: self.anonymous_uploads,
            max_pending: self.max_pending,
            oidc: self.sign_in.config(),
            allowances: self.clients.allowances(),
            trusted_proxies: self.clients.trust_forwarded_for,
            relay_max_size: self.relay_max_size,
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

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Everything {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        serve: Serve,
    }

    #[test]
    fn limits_on_pictures_are_settings_with_the_pipeline_s_own_as_defaults() {
        let limits = |flags: &[&str]| {
            let all = Everything::try_parse_from([&["imgn-server"], flags].concat()).unwrap();
            all.serve.config(all.place).limits
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
    fn code_of_others_tells_nothing_below_information() {
        for (target, level) in [
            ("imgn_server::routes", Level::TRACE),
            ("hyper::proto::h1", Level::INFO),
            ("rustls", Level::INFO),
            ("aws_sigv4::http_request", Level::WARN),
            ("sqlx::query", Level::WARN),
        ] {
            assert_eq!(most_talkative(target), level, "{target}");
        }
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

    #[test]
    fn the_audit_log_is_heard_unless_it_is_named_itself() {
        for (asked_for, is_heard) in [
            (None, true),
            (Some("imgn_server=debug"), true),
            (Some("error"), true),
            (Some("off"), true),
            (Some("imgn_server=debug,"), true),
            (Some("not=a=filter"), true),
            (Some("audit=off"), false),
            (Some("debug,audit=warn"), false),
            (Some("audit"), true),
        ] {
            let registry = tracing_subscriber::registry().with(filter_of(asked_for));
            let heard = tracing::subscriber::with_default(
                registry,
                || tracing::enabled!(target: "audit", Level::INFO),
            );
            assert_eq!(heard, is_heard, "{asked_for:?}");
        }
    }
}
