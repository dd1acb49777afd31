//! What a server is made of, and how it is put together: settings, data directory, address, catalogue, store.
//!
//! Not here: what serves. Invariant: what is refused for its settings, its directory or its address is refused before the
//! catalogue is opened, which brings it to this version and takes no earlier one from then on.

use std::{
    fs::{self, File, TryLockError},
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use url::Url;

use crate::{
    activity::Activity,
    allowance::Gate,
    audit::Audit,
    catalogue::{Catalogue, CatalogueError, TokenError},
    config::{Config, Database, InvalidConfig, StorageConfig},
    error::{chain, hint},
    metrics::Metrics,
    oidc::{ClientError, Oidc},
    publish::Publisher,
    routes::{self, feed::Listeners},
    serving::serve,
    staging::Staging,
    state::{App, Inner},
    storage::{Embedded, EmbeddedError, Storage, StorageError},
};

/// How long a start may take before clients are told that it is not ready; until then they wait.
const START_PATIENCE: Duration = Duration::from_secs(1);

/// The pause before a database that was away at the start is asked again.
const DATABASE_PAUSE: Duration = Duration::from_secs(1);

/// Why no server was started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A setting that makes no sense.
    #[error(transparent)]
    Config(#[from] InvalidConfig),
    /// The data directory cannot be made or written.
    #[error("cannot write to the data directory {}{}", path.display(), hint(source))]
    DataDir {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Another server has the data directory.
    #[error("the data directory {} is in use by another imgn-server", path.display())]
    InUse {
        /// Which.
        path: PathBuf,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// As it was given.
        address: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The audit log's file cannot be opened.
    #[error("cannot write the audit log {}{}", path.display(), hint(source))]
    Audit {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The catalogue.
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    /// A token that no server can be started with.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The sign-in's issuer cannot be asked.
    #[error("the sign-in's issuer cannot be asked")]
    SignIn(#[from] ClientError),
    /// The embedded store.
    #[error(transparent)]
    Embedded(#[from] EmbeddedError),
    /// The S3 store.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl StartError {
    /// Whether the database does not answer, and may do so in a while.
    fn is_database_away(&self) -> bool {
        match self {
            Self::Catalogue(error) | Self::Token(TokenError::Catalogue(error)) => {
                error.why_away().is_some()
            }
            _ => false,
        }
    }
}

pub(crate) async fn listen(address: &str) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |source| StartError::Listen {
        address: address.to_owned(),
        source,
    };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

/// Puts the server together once its database is there and of its version, however long that takes: the service of both may start
/// later, and one that goes away meanwhile is waited for again. Clients are told that the server lives and is not ready.
pub(crate) async fn assemble_when_ready(
    config: Config,
    listener: TcpListener,
    address: SocketAddr,
) -> Result<(TcpListener, (App, Option<Embedded>)), StartError> {
    let failed = |source| StartError::Listen {
        address: config.listen.clone(),
        source,
    };
    let listener = listener.into_std().map_err(failed)?;
    let own = listener.try_clone().and_then(TcpListener::from_std);
    let own = own.map_err(failed)?;
    let waiting = CancellationToken::new();
    let _ends = waiting.clone().drop_guard();
    let (ended, most) = (waiting.clone(), config.max_connections);
    let serving = tokio::spawn(async move {
        tokio::select! {
            () = tokio::time::sleep(START_PATIENCE) => {}
            () = ended.cancelled() => return,
        }
        serve(own, routes::health::waiting(), most, ended).await;
    });
    let assembled = assemble_again(&config, address).await;
    waiting.cancel();
    if let Err(error) = serving.await {
        tracing::error!(%error, "a part of the server had failed");
    }
    let assembled = assembled?;
    let listener = TcpListener::from_std(listener).map_err(failed)?;
    Ok((listener, assembled))
}

/// Puts the server together, again and again while its database is away.
async fn assemble_again(
    config: &Config,
    address: SocketAddr,
) -> Result<(App, Option<Embedded>), StartError> {
    let database = config.database();
    loop {
        wait_for_database(&database).await?;
        match Box::pin(assemble(config.clone(), address)).await {
            Err(error) if error.is_database_away() => {
                tracing::warn!(cause = chain(&error), "the database is away again");
                tokio::time::sleep(DATABASE_PAUSE).await;
            }
            assembled => return assembled,
        }
    }
}

/// Waits for a database that is away when the server starts, as a store that is away is waited for.
async fn wait_for_database(database: &Database) -> Result<(), StartError> {
    let mut told = None;
    while let Some(why) = is_away(database).await? {
        if told.as_ref() != Some(&why) {
            tracing::warn!(cause = why, "not ready: the database is waited for");
            told = Some(why);
        }
        tokio::time::sleep(DATABASE_PAUSE).await;
    }
    if told.is_some() {
        tracing::info!("the database answers");
    }
    Ok(())
}

/// Why a database does not answer, where it may do so in a while.
async fn is_away(database: &Database) -> Result<Option<String>, StartError> {
    match Catalogue::ask(database).await {
        Ok(()) => Ok(None),
        Err(error @ CatalogueError::Refused { is_away: true, .. }) => Ok(Some(error.to_string())),
        Err(error) => Err(error.into()),
    }
}

/// Makes the data directory where it is missing; nobody else may look into it.
pub(crate) fn make_data_dir(path: &Path) -> Result<(), StartError> {
    let mut directory = fs::DirBuilder::new();
    directory.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut directory, 0o700);
    directory
        .create(path)
        .map_err(|source| StartError::DataDir {
            path: path.to_owned(),
            source,
        })
}

/// Takes the data directory for this server alone.
pub(crate) fn lock(data_dir: &Path) -> Result<File, StartError> {
    let failed = |source| StartError::DataDir {
        path: data_dir.to_owned(),
        source,
    };
    make_data_dir(data_dir)?;
    let lock = File::create(data_dir.join("lock")).map_err(failed)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(StartError::InUse {
            path: data_dir.to_owned(),
        }),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

/// The audit log of a configuration.
pub(crate) fn audit(config: &Config) -> Result<Audit, StartError> {
    let path = config.audit_log.as_deref();
    Audit::open(path).map_err(|source| StartError::Audit {
        path: path.map(Path::to_owned).unwrap_or_default(),
        source,
    })
}

/// Puts the parts together, the catalogue last.
pub(crate) async fn assemble(
    config: Config,
    address: SocketAddr,
) -> Result<(App, Option<Embedded>), StartError> {
    let audit = audit(&config)?;
    let oidc = config.oidc.as_ref().map(Oidc::new).transpose()?;
    let public_url = match &config.public_url {
        Some(url) => url.clone(),
        None => own_url(address)?,
    };
    let (storage, embedded) = match &config.storage {
        StorageConfig::Embedded => {
            let embedded = Embedded::open(&config.data_dir, config.max_size).await?;
            let storage = Storage::embedded(&embedded, &public_url, config.url_ttl);
            (storage, Some(embedded))
        }
        StorageConfig::S3(s3) => (Storage::s3(s3, config.url_ttl).await, None),
    };
    let store_origin = storage.origin().await?;
    let catalogue = Catalogue::open_on(&config.database(), config.shared_file_system).await?;
    if embedded.is_some() {
        catalogue.look_for_all_staged().await?;
    }
    let stopping = CancellationToken::new();
    let activity = Activity::new();
    let metrics = Metrics::new();
    let publisher = Publisher::new(
        &config,
        catalogue.clone(),
        storage.clone(),
        activity.clone(),
        metrics.clone(),
        audit.clone(),
        stopping.clone(),
    );
    let anonymous = match config.anonymous_uploads {
        true => Some(catalogue.anonymous().await?),
        false => None,
    };
    let app = App::new(Inner {
        staging: Staging::default(),
        relay_memory: Arc::new(routes::relay::memory(config.relay_max_size)),
        whole_answers: false,
        anonymous,
        listeners: Arc::new(Listeners::new(config.max_connections)),
        gate: Arc::new(Gate::new(&config.allowances)),
        config,
        public_url,
        store_origin,
        catalogue,
        storage,
        publisher,
        activity,
        metrics,
        audit,
        oidc,
        writes: TaskTracker::new(),
        stopping,
    });
    Ok((app, embedded))
}

/// What a server is reached under that was told no public URL.
pub(crate) fn own_url(address: SocketAddr) -> Result<Url, InvalidConfig> {
    if address.ip().is_unspecified() {
        tracing::warn!("without --public-url, links and uploads work on this computer only");
    }
    here(address)
}

/// The address from this computer.
pub(crate) fn here(address: SocketAddr) -> Result<Url, InvalidConfig> {
    let ip = match address.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    let own = SocketAddr::new(ip, address.port());
    Url::parse(&format!("http://{own}/")).map_err(|_| InvalidConfig::Scheme {
        what: "listen address",
    })
}

#[cfg(test)]
mod tests {
    use sqlx::migrate::MigrateError;

    use super::*;

    /// Whatever a start was at when the database went away.
    #[test]
    fn a_start_waits_for_a_database_that_goes_away_and_for_no_damaged_one() {
        let gone = || sqlx::Error::Io(io::ErrorKind::ConnectionReset.into());
        let migrate = |source| CatalogueError::Migrate {
            database: "postgres".to_owned(),
            source,
        };
        for (error, is_away) in [
            (StartError::Catalogue(gone().into()), true),
            (
                StartError::Token(TokenError::Catalogue(gone().into())),
                true,
            ),
            (migrate(MigrateError::Execute(gone())).into(), true),
            (
                migrate(MigrateError::ExecuteMigration(gone(), 1)).into(),
                true,
            ),
            (migrate(MigrateError::VersionMismatch(1)).into(), false),
            (
                migrate(MigrateError::ExecuteMigration(sqlx::Error::RowNotFound, 1)).into(),
                false,
            ),
        ] {
            assert_eq!(error.is_database_away(), is_away, "{error:?}");
        }
    }
}
