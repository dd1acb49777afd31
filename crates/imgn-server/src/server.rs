//! A server from its start to its end: the data directory and its lock, and the parts put together.
//!
//! Invariant: when [`Server::start`] returns, the server answers; when [`Server::shutdown`] returns, nothing of it is
//! left, and another may start on the same directory.

use std::{
    error::Error,
    fs::{self, File, TryLockError},
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use axum::http::StatusCode;
use imgn_protocol::{ChecksumAlgorithm, Token};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};
use url::Url;

use crate::{
    activity::Activity,
    allowance::Gate,
    asking::Client,
    audit::Audit,
    auth::Grant,
    catalogue::{Catalogue, CatalogueError, TokenError},
    config::{Config, Database, InvalidConfig, StorageConfig},
    error::{chain, hint},
    metrics::{self, Metrics},
    oidc::{ClientError, Oidc},
    orphans::{self, SweepError, UnknownPictures},
    publish::Publisher,
    routes::{self, feed::Listeners},
    serving::serve,
    staging::{self, Staging},
    state::{App, Inner},
    storage::{Embedded, EmbeddedError, Reason, Storage, StorageError},
    sweep::{self, Swept},
};

/// The longest answer to the question whether a server is ready, in bytes.
const MOST_OF_AN_ANSWER: usize = 64 * 1024;

/// Connections to the metrics' address at a time: a Prometheus has one.
const MAX_METRICS_CONNECTIONS: usize = 16;

/// How long [`Server::sweep`] waits for verifications to end.
const SWEEP_TIMEOUT: Duration = Duration::from_secs(10 * 60);

/// How long the catalogue is waited for when the server is to end, after the requests: for what is being written, and again
/// until it is closed.
const CATALOGUE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a start may take before clients are told that it is not ready; until then they wait.
const START_PATIENCE: Duration = Duration::from_secs(1);

/// The pause before a database that was away at the start is asked again.
const DATABASE_PAUSE: Duration = Duration::from_secs(1);

/// A running server. Dropped without [`shutdown`](Self::shutdown) it ends soon after, as by a crash: nothing is lost.
#[derive(Debug)]
pub struct Server {
    url: Url,
    address: SocketAddr,
    catalogue: Catalogue,
    audit: Audit,
    stop: DropGuard,
    tasks: Vec<JoinHandle<()>>,
    metrics_address: Option<SocketAddr>,
    publisher: Publisher,
    writes: TaskTracker,
    storage: Storage,
    lock: File,
}

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

/// Why a server is not ready.
#[derive(Debug, thiserror::Error)]
#[error("the server at {address} is not ready")]
pub struct NotReady {
    /// As it was given.
    address: String,
    /// What it said, or that it said nothing.
    #[source]
    source: Box<dyn Error + Send + Sync>,
}

impl Server {
    /// Starts a server.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        config.check()?;
        let lock = lock(&config.data_dir)?;
        let (listener, address) = listen(&config.listen).await?;
        let metrics = match &config.metrics_listen {
            Some(address) => Some(listen(address).await?),
            None => None,
        };

        let (listener, (app, embedded)) =
            Box::pin(assemble_when_ready(config, listener, address)).await?;
        if let Err(error) = app.storage.check().await {
            let advice = error.reason().map(Reason::advice);
            tracing::warn!(
                cause = chain(&error),
                advice,
                "the store does not answer yet"
            );
        }
        let asked = app.clone();
        tokio::spawn(async move {
            if let Err(error) = asked.storage.abilities().await {
                tracing::warn!(
                    cause = chain(&error),
                    "the store could not be asked what it checks; it is asked again when it matters"
                );
            }
        });
        let store = embedded.map(|embedded| embedded.service());
        let router = routes::router(app.clone(), store);
        let serving = tokio::spawn(serve(
            listener,
            router,
            app.config.max_connections,
            app.stopping.clone(),
        ));
        let sweeping = tokio::spawn(sweep::run(app.clone()));
        let looking = tokio::spawn(staging::run(app.clone()));
        let tidying = tokio::spawn(orphans::run(app.clone()));
        let hearing = app.clone();
        let hearing = tokio::spawn(async move {
            tokio::select! {
                never = hearing.catalogue.hear_of_others() => match never {},
                () = hearing.stopping.cancelled() => {}
            }
        });
        tracing::info!(%address, url = %app.public_url, "serving");
        let mut tasks = vec![serving, sweeping, looking, tidying, hearing];
        let metrics_address = metrics.as_ref().map(|(_, address)| *address);
        if let Some((listener, address)) = metrics {
            let router = metrics::router(app.clone());
            let stopping = app.stopping.clone();
            let serving = serve(listener, router, MAX_METRICS_CONNECTIONS, stopping);
            tasks.push(tokio::spawn(serving));
            tracing::info!(%address, "telling metrics");
        }
        Ok(Self {
            url: app.public_url.clone(),
            address,
            catalogue: app.catalogue.clone(),
            audit: app.audit.clone(),
            stop: app.stopping.clone().drop_guard(),
            tasks,
            metrics_address,
            publisher: app.publisher.clone(),
            writes: app.writes.clone(),
            storage: app.storage.clone(),
            lock,
        })
    }

    /// Where clients reach it.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// What it listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where the metrics are.
    #[must_use]
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics_address
    }

    /// Goes on in a new file of the audit log, after the old one was moved away.
    pub fn reopen_audit_log(&self) {
        self.audit.reopen();
    }

    /// The checksums of parts that the store was found to check. Where it could not be asked yet, it is now.
    pub async fn store_checksums(&self) -> Result<Vec<ChecksumAlgorithm>, StorageError> {
        Ok(self.storage.abilities().await?.algorithms())
    }

    /// Makes a token, which is to be shown once.
    pub async fn add_token(
        &self,
        name: &str,
        grant: impl Into<Grant>,
    ) -> Result<Token, TokenError> {
        let grant = grant.into();
        let token = self.catalogue.add_token(name, grant).await?;
        self.audit.token_added(name, &grant);
        Ok(token)
    }

    /// Ends it: no new request is taken, those under way are answered, and what is being verified is left to the next
    /// start. Takes up to about 10 s, and as long again where the catalogue does not answer.
    pub async fn shutdown(self) {
        drop(self.stop);
        for task in self.tasks {
            if let Err(error) = task.await {
                tracing::error!(%error, "a part of the server had failed");
            }
        }
        end_writes(&self.writes, &self.publisher, &self.catalogue).await;
        drop(self.lock);
        tracing::info!("stopped");
    }

    /// Asks the server that listens on an address of this computer whether it is ready.
    pub async fn is_ready(listen: &str) -> Result<(), NotReady> {
        let failed = |source| NotReady {
            address: listen.to_owned(),
            source,
        };
        let asked = async {
            let address = tokio::net::lookup_host(listen).await?.next();
            let url = here(address.ok_or("it is no address")?)?;
            let (client, url) = (Client::new()?, format!("{url}readyz"));
            let answer = client.get(&url, "*/*", MOST_OF_AN_ANSWER).await?;
            match answer.status() {
                StatusCode::OK => Ok(()),
                status => Err(format!("it answers with {status}").into()),
            }
        };
        asked.await.map_err(failed)
    }

    /// The audit log of a configuration, for the commands on tokens; also while servers write to it.
    pub fn audit(config: &Config) -> Result<Audit, StartError> {
        let path = config.audit_log.as_deref();
        Audit::open(path).map_err(|source| StartError::Audit {
            path: path.map(Path::to_owned).unwrap_or_default(),
            source,
        })
    }

    /// The catalogue of a data directory, or that which several servers share, for the commands on its tokens; also while
    /// servers run on it.
    pub async fn catalogue(config: &Config) -> Result<Catalogue, StartError> {
        config.check()?;
        let database = config.database();
        if !matches!(database, Database::Postgres { .. }) {
            make_data_dir(&config.data_dir)?;
        }
        Ok(Catalogue::open_on(&database, config.shared_file_system).await?)
    }

    /// One pass of the sweeper; waits for verifications to end. Servers may run beside it where nothing of the gallery is in the
    /// data directory.
    pub async fn sweep(config: Config, unknown: UnknownPictures) -> Result<Swept, SweepError> {
        config.check().map_err(StartError::Config)?;
        let lock = match config.is_remote() {
            true => None,
            false => Some(lock(&config.data_dir).map_err(|error| match error {
                StartError::InUse { path } => SweepError::ServerRuns { path },
                error => error.into(),
            })?),
        };
        let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let (app, _) = Box::pin(assemble(config, anywhere)).await?;
        let swept = sweep_once(&app, unknown).await;
        app.stopping.cancel();
        end_writes(&app.writes, &app.publisher, &app.catalogue).await;
        drop(lock);
        swept
    }
}

async fn listen(address: &str) -> Result<(TcpListener, SocketAddr), StartError> {
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
async fn assemble_when_ready(
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

/// Waits for what is written at the moment, by requests and by verification, and closes the catalogue. What is written is
/// one transaction each, and one that the catalogue does not end is given up as by a crash.
async fn end_writes(writes: &TaskTracker, publisher: &Publisher, catalogue: &Catalogue) {
    let written = async {
        writes.close();
        writes.wait().await;
        publisher.finish().await;
        catalogue.let_all_go().await;
    };
    if tokio::time::timeout(CATALOGUE_TIMEOUT, written)
        .await
        .is_err()
    {
        tracing::warn!("some writes did not end in time and were cut off");
    }
    // It waits for whoever still asks it something.
    if tokio::time::timeout(CATALOGUE_TIMEOUT, catalogue.close())
        .await
        .is_err()
    {
        tracing::warn!("the catalogue was left open");
    }
}

async fn sweep_once(app: &App, unknown: UnknownPictures) -> Result<Swept, SweepError> {
    let mut removed = Swept::default();
    match unknown {
        UnknownPictures::Count => orphans::count(app, &mut removed).await,
        UnknownPictures::Remove => orphans::remove(app, &mut removed).await?,
    }
    let mut swept = sweep::pass(app).await;
    swept.deleted += removed.deleted;
    swept.unknown += removed.unknown;
    swept.failures += removed.failures;
    sweep::orphans(app, &mut swept).await;
    orphans::sweep(app, &mut swept).await;
    let finished = tokio::time::timeout(SWEEP_TIMEOUT, app.publisher.finish()).await;
    if finished.is_err() {
        tracing::warn!("some verifications did not end; the next start takes them up");
    }
    sweep::collect(app, &mut swept).await;
    Ok(swept)
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

pub(crate) async fn assemble(
    config: Config,
    address: SocketAddr,
) -> Result<(App, Option<Embedded>), StartError> {
    let audit = Server::audit(&config)?;
    let oidc = config.oidc.as_ref().map(Oidc::new).transpose()?;
    let catalogue = Catalogue::open_on(&config.database(), config.shared_file_system).await?;
    let public_url = match &config.public_url {
        Some(url) => url.clone(),
        None => own_url(address)?,
    };
    let (storage, embedded) = match &config.storage {
        StorageConfig::Embedded => {
            let embedded = Embedded::open(&config.data_dir, config.max_size).await?;
            let storage = Storage::embedded(&embedded, &public_url, config.url_ttl);
            catalogue.look_for_all_staged().await?;
            (storage, Some(embedded))
        }
        StorageConfig::S3(s3) => (Storage::s3(s3, config.url_ttl).await, None),
    };
    let store_origin = storage.origin().await?;
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
fn here(address: SocketAddr) -> Result<Url, InvalidConfig> {
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
