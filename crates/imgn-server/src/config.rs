//! What the server is started with, as plain data; the program's flags and environment variables become this.

use std::{fmt, path::PathBuf, time::Duration};

use axum::http::HeaderMap;
use imgn_thumbs::Limits;
use tracing::Span;
use url::{Host, Url};

use crate::allowance::Allowances;

/// See [`Config::continue_trace`].
pub type ContinueTrace = fn(&Span, &HeaderMap);

/// What a server is started with.
#[derive(Debug, Clone)]
pub struct Config {
    /// `HOST:PORT` to listen on; port 0 lets the system choose.
    pub listen: String,
    /// What clients see: scheme, host and port, nothing else. Links and, with the embedded store, presigned URLs are
    /// made from it. Without it, the address that the server listens on.
    pub public_url: Option<Url>,
    /// Where links to pictures lead, such as a content delivery network that asks the server: scheme, host and port, nothing
    /// else. Without it, to the server itself. A request that names this host is answered with an original's bytes.
    pub pictures_url: Option<Url>,
    /// `HOST:PORT` of an address of their own, where the metrics are; without it, nowhere. A function has none.
    pub metrics_listen: Option<String>,
    /// Makes the span of a request, one of [`TRACES`](crate::TRACES), part of a trace that its headers name; done where it
    /// came through [`Self::trusted_proxies`]. `None` where nobody collects traces.
    pub continue_trace: Option<ContinueTrace>,
    /// The file of the audit log; without it, it is in the ordinary log, under the target `audit`.
    pub audit_log: Option<PathBuf>,
    /// Where everything is that the server keeps. One server at a time.
    pub data_dir: PathBuf,
    /// `sqlite://PATH` or `postgres://USER:PASSWORD@HOST/NAME`; without it, a file in the data directory.
    pub database: Option<DatabaseUrl>,
    /// Connections to PostgreSQL at a time, beside the one that hears what other servers publish.
    pub database_connections: u32,
    /// Whether the catalogue is on a file system that several computers share, such as NFS.
    pub shared_file_system: bool,
    /// Where the bytes of pictures are.
    pub storage: StorageConfig,
    /// How long a presigned URL may be used.
    pub url_ttl: Duration,
    /// The largest picture in bytes. Files that are being verified are held in memory, as many as fit in this together.
    pub max_size: u64,
    /// The size of every part but the last, in bytes, of files that are sent in parts: those larger than two such parts.
    /// From 5 MiB to 5 GiB. Uploads that are open keep the size that they were opened with.
    pub part_size: u64,
    /// What one picture may cost; one that needs more is refused. `max_decoded_bytes` is also what those that are
    /// verified at the same time share.
    pub limits: Limits,
    /// Connections that are open at a time. For one above, one that asks for nothing ends, or it waits a moment.
    pub max_connections: usize,
    /// Whether everybody may upload, without a token. Deleting a picture needs one in any case.
    pub anonymous_uploads: bool,
    /// The most uploads that one token, or all who have none together, may have under way with other people's clients;
    /// where everybody may upload, those without a token have no more with our own either.
    pub max_pending: u32,
    /// Whose sign-in is taken beside the server's own tokens.
    pub oidc: Option<OidcConfig>,
    /// How much one user, or one address, may ask for.
    pub allowances: Allowances,
    /// How many proxies in front of the server say in `X-Forwarded-For` whom they were asked by. 0 believes nobody.
    pub trusted_proxies: u8,
    /// The largest picture in bytes that the server itself takes from clients that cannot reach the store; without it,
    /// none. It holds each in memory several times, so this is at most [`Self::LARGEST_RELAY_SIZE`].
    pub relay_max_size: Option<u64>,
    /// When the server does what nobody asked it for.
    pub timing: Timing,
}

/// Where the catalogue is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Database {
    /// A file, under any name.
    File(PathBuf),
    /// `sqlite://PATH`: a URL, in which `%` begins an encoded byte and `?` the parameters that SQLite's own URLs have.
    Url(String),
    /// A database of PostgreSQL's, which several servers may share.
    Postgres {
        /// Where, and as whom.
        url: DatabaseUrl,
        /// The most connections at a time.
        connections: u32,
    },
}

/// A database's URL. It may hold a password, and prints without user, password and parameters.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl(String);

impl DatabaseUrl {
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    fn is_postgres(&self) -> bool {
        self.0.starts_with("postgres:") || self.0.starts_with("postgresql:")
    }
}

impl From<String> for DatabaseUrl {
    fn from(url: String) -> Self {
        Self(url)
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.is_postgres() {
            return f.write_str(self.0.split('?').next().unwrap_or_default());
        }
        match Url::parse(&self.0) {
            Ok(url) => {
                write!(f, "postgres://{}", url.host_str().unwrap_or_default())?;
                if let Some(port) = url.port() {
                    write!(f, ":{port}")?;
                }
                f.write_str(url.path())
            }
            Err(_) => f.write_str("postgres://REDACTED"),
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Url(url) => f.write_str(url),
            Self::Postgres { url, .. } => url.fmt(f),
        }
    }
}

/// Where the bytes of pictures are.
#[derive(Debug, Clone)]
pub enum StorageConfig {
    /// In the data directory, behind an S3 endpoint on the server's own port.
    Embedded,
    /// In a bucket of an S3 service, with credentials from the environment as the AWS tools find them.
    S3(S3Config),
}

/// Which bucket of which S3 service.
#[derive(Debug, Clone)]
pub struct S3Config {
    /// The service's address, as the server and its clients reach it; without it, AWS.
    pub endpoint: Option<Url>,
    /// The bucket, which exists already.
    pub bucket: String,
    /// The region that requests are signed for.
    pub region: String,
    /// Whether the bucket is named in the path (`https://host/bucket/key`) and not in the host name.
    pub path_style: bool,
    /// The canned access list that objects are stored with, such as `bucket-owner-full-control`; without it, the
    /// bucket's own rules. It is signed into every URL that stores a picture.
    pub acl: Option<String>,
}

/// An issuer of OpenID Connect, and what it has to say of somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OidcConfig {
    /// As it calls itself, with or without a slash at its end; its discovery document is below.
    pub issuer: String,
    /// Whom its tokens have to be for.
    pub audience: String,
    /// The claim that says what somebody may do; without it, whoever signs in is an uploader.
    pub role_claim: Option<String>,
    /// How often it is asked for its keys at most.
    pub ask_every: Duration,
}

impl OidcConfig {
    /// An issuer whose every user may upload.
    #[must_use]
    pub fn new(issuer: &str, audience: &str) -> Self {
        Self {
            issuer: issuer.to_owned(),
            audience: audience.to_owned(),
            role_claim: None,
            ask_every: Duration::from_secs(60),
        }
    }
}

/// When the server does what nobody asked it for.
#[derive(Debug, Clone)]
pub struct Timing {
    /// How often the sweeper looks.
    pub sweep_every: Duration,
    /// How soon, and how often at most, it is looked for what a client sends that will not say so. `None` is as the store
    /// needs it: a second, or, where the server sees what arrives, once its URL has expired.
    pub look_after: Option<Duration>,
    /// How long after its last URL expired an upload is published whose client never called complete.
    pub adopt_after: Duration,
    /// The age at which an open upload is aborted.
    pub abort_after: Duration,
    /// The age at which a multipart upload of the store is aborted that no upload here has.
    pub forget_after: Duration,
    /// The age at which an object of the store is removed, or counted, that the catalogue does not know. Longer than an upload or
    /// its URL can live. It is not what protects the objects of an import: they are pictures', of which none is removed while the
    /// catalogue has no picture, and an import gives it all of them at once.
    pub forget_objects_after: Duration,
    /// How long after its start the server looks for the first time for objects that the catalogue does not know.
    pub first_look_for_objects: Duration,
    /// How long `complete` waits for the result before it answers `verifying`. While other pictures are verified, and
    /// for uploads in parts, it does not wait.
    pub complete_wait: Duration,
    /// How long a picture waits for its turn on the way through the server.
    pub relay_wait: Duration,
    /// How long its bytes may take from then on, and a second more for each 64 KiB of them.
    pub relay_time: Duration,
    /// How long a form of the pages of 2018 may take to arrive, and a second more for each 64 KiB of it.
    pub form_time: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            sweep_every: Duration::from_secs(60),
            look_after: None,
            adopt_after: Duration::from_secs(60),
            abort_after: Duration::from_secs(24 * 60 * 60),
            forget_after: Duration::from_secs(24 * 60 * 60),
            forget_objects_after: Duration::from_secs(30 * 24 * 60 * 60),
            first_look_for_objects: Duration::from_secs(60 * 60),
            complete_wait: Duration::from_secs(20),
            relay_wait: Duration::from_secs(20),
            relay_time: Duration::from_secs(20),
            form_time: Duration::from_secs(120),
        }
    }
}

impl Config {
    /// 16: what a server of a few cores has under way at a time; with one more each for notices, five such servers are
    /// within PostgreSQL's default of 100.
    pub const DEFAULT_DATABASE_CONNECTIONS: u32 = 16;
    /// 48 MiB, which JPEGs of nearly all cameras stay under. The files under verification share it, their decoders
    /// share [`Limits::DEFAULT_DECODED_BYTES`], and about 60 MiB are left to everything else under 300.
    pub const DEFAULT_MAX_SIZE: u64 = 48 * 1024 * 1024;
    /// 8 MiB.
    pub const DEFAULT_PART_SIZE: u64 = 8 * 1024 * 1024;
    /// S3's bound for every part but the last: 5 MiB.
    pub const SMALLEST_PART_SIZE: u64 = 5 * 1024 * 1024;
    /// S3's bound for every part: 5 GiB.
    pub const LARGEST_PART_SIZE: u64 = 5 * 1024 * 1024 * 1024;
    /// 16 MiB: what a gateway did to a picture is found out in five times its size.
    pub const LARGEST_RELAY_SIZE: u64 = 16 * 1024 * 1024;
    /// 500: a page that sends hundreds at a time stays below, and so do the pages of an hour that were given up.
    pub const DEFAULT_MAX_PENDING: u32 = 500;
    /// 300 s.
    pub const DEFAULT_URL_TTL: Duration = Duration::from_secs(300);
    /// 512, half of the file descriptors that a process has by default: each request may need a file of the store too.
    pub const DEFAULT_MAX_CONNECTIONS: usize = 512;
    /// The longest life that S3 gives a presigned URL: 7 days.
    pub const LONGEST_URL_TTL: Duration = Duration::from_secs(7 * 24 * 60 * 60);

    /// A server with everything in `data_dir`, on a port of the loopback interface that the system chooses.
    #[must_use]
    pub fn embedded(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            listen: "127.0.0.1:0".to_owned(),
            public_url: None,
            pictures_url: None,
            metrics_listen: None,
            audit_log: None,
            continue_trace: None,
            data_dir: data_dir.into(),
            database: None,
            database_connections: Self::DEFAULT_DATABASE_CONNECTIONS,
            shared_file_system: false,
            storage: StorageConfig::Embedded,
            url_ttl: Self::DEFAULT_URL_TTL,
            max_size: Self::DEFAULT_MAX_SIZE,
            part_size: Self::DEFAULT_PART_SIZE,
            limits: Limits::default(),
            max_connections: Self::DEFAULT_MAX_CONNECTIONS,
            anonymous_uploads: false,
            max_pending: Self::DEFAULT_MAX_PENDING,
            oidc: None,
            allowances: Allowances::UNLIMITED,
            trusted_proxies: 0,
            relay_max_size: None,
            timing: Timing::default(),
        }
    }

    /// Whether catalogue and store are both elsewhere, and nothing of the gallery is in the data directory.
    pub(crate) fn is_remote(&self) -> bool {
        matches!(self.database(), Database::Postgres { .. })
            && matches!(self.storage, StorageConfig::S3(_))
    }

    /// Where the catalogue is.
    #[must_use]
    pub fn database(&self) -> Database {
        match &self.database {
            Some(url) if url.is_postgres() => Database::Postgres {
                url: url.clone(),
                connections: self.database_connections,
            },
            Some(url) => Database::Url(url.expose().to_owned()),
            None => Database::File(self.data_dir.join("catalogue.sqlite3")),
        }
    }

    /// Refuses what no server could be started with.
    pub(crate) fn check(&self) -> Result<(), InvalidConfig> {
        if let Some(url) = &self.public_url {
            check_origin("public URL", url, &self.storage)?;
        }
        if let Some(url) = &self.pictures_url {
            check_origin("public pictures URL", url, &StorageConfig::Embedded)?;
        }
        if let Database::Url(url) = self.database()
            && !url.starts_with("sqlite:")
        {
            return Err(InvalidConfig::Database);
        }
        if let StorageConfig::S3(s3) = &self.storage {
            if let Some(url) = &s3.endpoint {
                check_origin("S3 endpoint", url, &StorageConfig::Embedded)?;
            }
            if s3.bucket.is_empty() {
                return Err(InvalidConfig::Bucket);
            }
        }
        if let Some(oidc) = &self.oidc {
            check_issuer(oidc)?;
        }
        if self.url_ttl < Duration::from_secs(1) || self.url_ttl > Self::LONGEST_URL_TTL {
            return Err(InvalidConfig::UrlTtl);
        }
        if !(Self::SMALLEST_PART_SIZE..=Self::LARGEST_PART_SIZE).contains(&self.part_size) {
            return Err(InvalidConfig::PartSize);
        }
        if self
            .relay_max_size
            .is_some_and(|most| most > Self::LARGEST_RELAY_SIZE)
        {
            return Err(InvalidConfig::RelaySize);
        }
        let limits = &self.limits;
        let bounds = [
            self.max_size,
            self.max_connections as u64,
            self.database_connections.into(),
            self.max_pending.into(),
            limits.max_pixels,
            limits.max_decoded_bytes,
            limits.max_frames.into(),
            limits.max_total_pixels,
            limits.max_scans.into(),
        ];
        if bounds.contains(&0) || limits.max_duration.is_zero() {
            return Err(InvalidConfig::Zero);
        }
        Ok(())
    }
}

/// A base address must be an origin: S3 signatures cover the path, so no path can be put before it. Where the store is
/// elsewhere, the server's own address may have one, such as the stage of an API gateway.
fn check_origin(
    what: &'static str,
    url: &Url,
    storage: &StorageConfig,
) -> Result<(), InvalidConfig> {
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(InvalidConfig::Scheme { what });
    }
    let is_free = matches!(storage, StorageConfig::S3(_)) && url.path().ends_with('/');
    if (url.path() != "/" && !is_free) || url.query().is_some() || url.fragment().is_some() {
        return Err(InvalidConfig::NotAnOrigin { what });
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(InvalidConfig::Credentials { what });
    }
    Ok(())
}

/// Whoever could answer in an issuer's place could be anybody here: it is asked over TLS, or on this computer.
fn check_issuer(oidc: &OidcConfig) -> Result<(), InvalidConfig> {
    let url = Url::parse(&oidc.issuer).map_err(|_| InvalidConfig::Issuer)?;
    let is_here = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    let is_safe = url.scheme() == "https" || (url.scheme() == "http" && is_here);
    let is_plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    match is_safe && is_plain && !oidc.audience.is_empty() {
        true => Ok(()),
        false => Err(InvalidConfig::Issuer),
    }
}

/// Why no server can be started with a [`Config`].
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum InvalidConfig {
    /// Another scheme, or no host.
    #[error("the {what} must start with http:// or https:// and a host")]
    Scheme {
        /// Which setting.
        what: &'static str,
    },
    /// More than scheme, host and port.
    #[error(
        "the {what} must be scheme, host and port only, without a path or query (signatures cover the path); \
         give the gallery a host name of its own. Where the store is an S3 service, the public URL may have a path that \
         ends in a slash"
    )]
    NotAnOrigin {
        /// Which setting.
        what: &'static str,
    },
    /// A user name or password.
    #[error("the {what} must not hold a user name or password")]
    Credentials {
        /// Which setting.
        what: &'static str,
    },
    /// A database that this server does not know.
    #[error("the database must be given as sqlite://PATH or postgres://USER:PASSWORD@HOST/NAME")]
    Database,
    /// A server without a socket has nowhere to serve its store from.
    #[error("a function keeps its pictures in a bucket (IMGN_STORAGE=s3, IMGN_S3_BUCKET)")]
    EmbeddedFunction,
    /// An issuer that cannot be asked safely, or no audience.
    #[error(
        "the sign-in needs an issuer that starts with https:// and has no query (--oidc-issuer), and an audience \
         (--oidc-audience)"
    )]
    Issuer,
    /// No bucket.
    #[error("the S3 store needs a bucket (--s3-bucket)")]
    Bucket,
    /// A life of presigned URLs that S3 does not allow.
    #[error("presigned URLs can live from 1 second to 7 days")]
    UrlTtl,
    /// A size of parts that S3 does not allow.
    #[error("the parts of an upload have from 5 MiB to 5 GiB")]
    PartSize,
    /// More through the server than it has memory for.
    #[error("through the server itself go pictures of at most 16 MiB (--relay-max-size)")]
    RelaySize,
    /// A limit that lets nothing through.
    #[error(
        "the largest size, the most connections, the most uploads under way, and what a picture may cost in pixels, memory, \
         time, frames and scans must be above 0"
    )]
    Zero,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_limits_leave_the_server_room_below_300_mib() {
        let config = Config::embedded("unused");
        assert!(config.max_size + config.limits.max_decoded_bytes <= (300 - 60) << 20);
    }

    #[test]
    fn a_limit_of_nothing_is_refused_but_for_metadata_which_are_left_out() {
        let check = |change: fn(&mut Limits)| {
            let mut config = Config::embedded("unused");
            change(&mut config.limits);
            config.check()
        };
        let nothing: [fn(&mut Limits); 6] = [
            |limits| limits.max_pixels = 0,
            |limits| limits.max_decoded_bytes = 0,
            |limits| limits.max_duration = Duration::ZERO,
            |limits| limits.max_frames = 0,
            |limits| limits.max_total_pixels = 0,
            |limits| limits.max_scans = 0,
        ];
        for change in nothing {
            assert_eq!(check(change), Err(InvalidConfig::Zero));
        }
        assert_eq!(check(|limits| limits.max_metadata_bytes = 0), Ok(()));
    }

    #[test]
    fn no_more_goes_through_the_server_than_it_has_memory_for() {
        let check = |relay_max_size| {
            Config {
                relay_max_size,
                ..Config::embedded("unused")
            }
            .check()
        };
        for good in [None, Some(1), Some(Config::LARGEST_RELAY_SIZE)] {
            assert_eq!(check(good), Ok(()), "{good:?}");
        }
        let large = Some(Config::LARGEST_RELAY_SIZE + 1);
        assert_eq!(check(large), Err(InvalidConfig::RelaySize));
    }

    #[test]
    fn an_issuer_is_asked_over_tls_or_on_this_computer() {
        let check = |issuer: &str, audience: &str| {
            Config {
                oidc: Some(OidcConfig::new(issuer, audience)),
                ..Config::embedded("unused")
            }
            .check()
        };
        for good in [
            "https://login.example/realms/a",
            "https://login.example/",
            "http://127.0.0.1:8080",
            "http://[::1]:1/a",
        ] {
            assert_eq!(check(good, "imgn"), Ok(()), "{good}");
        }
        for bad in [
            "http://login.example",
            "ftp://login.example",
            "login.example",
            "https://login.example/?a",
            "https://a@login.example/",
        ] {
            assert_eq!(check(bad, "imgn"), Err(InvalidConfig::Issuer), "{bad}");
        }
        assert_eq!(
            check("https://login.example", ""),
            Err(InvalidConfig::Issuer)
        );
    }

    #[test]
    fn parts_have_a_size_that_s3_takes() {
        let check = |part_size| {
            Config {
                part_size,
                ..Config::embedded("unused")
            }
            .check()
        };
        for good in [5 << 20, 8 << 20, 5 << 30] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in [0, (5 << 20) - 1, (5 << 30) + 1] {
            assert_eq!(check(bad), Err(InvalidConfig::PartSize), "{bad}");
        }
    }

    #[test]
    fn a_public_url_is_an_origin_and_nothing_more() {
        let check = |url: &str| {
            Config {
                public_url: Some(Url::parse(url).unwrap()),
                ..Config::embedded("unused")
            }
            .check()
        };
        assert_eq!(check("https://pictures.example"), Ok(()));
        assert_eq!(check("http://[::1]:8787/"), Ok(()));
        let what = "public URL";
        for url in [
            "https://x.example/gallery",
            "https://x.example/?a",
            "https://x.example/#a",
        ] {
            assert_eq!(
                check(url),
                Err(InvalidConfig::NotAnOrigin { what }),
                "{url}"
            );
        }
        assert_eq!(
            check("https://a:b@x.example/"),
            Err(InvalidConfig::Credentials { what })
        );
        let mut config = Config {
            storage: StorageConfig::S3(S3Config {
                endpoint: None,
                bucket: "b".to_owned(),
                region: "us-east-1".to_owned(),
                path_style: false,
                acl: None,
            }),
            ..Config::embedded("unused")
        };
        for (url, expected) in [
            ("https://x.example/prod/", Ok(())),
            (
                "https://x.example/prod",
                Err(InvalidConfig::NotAnOrigin { what }),
            ),
            (
                "https://x.example/prod/?a",
                Err(InvalidConfig::NotAnOrigin { what }),
            ),
        ] {
            config.public_url = Some(Url::parse(url).unwrap());
            assert_eq!(config.check(), expected, "{url}");
        }
        assert_eq!(
            check("ftp://x.example/"),
            Err(InvalidConfig::Scheme { what })
        );
    }
}
