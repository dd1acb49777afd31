//! A server from its start to its end, and the commands that do some of what it does.
//!
//! Invariant: when [`Server::start`] returns, the server answers; when [`Server::shutdown`] returns, nothing of it is
//! left, and another may start on the same directory.

use std::{
    error::Error,
    fs::File,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use axum::http::StatusCode;
use imgn_protocol::{ChecksumAlgorithm, Token};
use tokio::task::JoinHandle;
use tokio_util::sync::DropGuard;
use url::Url;

use crate::{
    asking::Client,
    audit::Audit,
    auth::Grant,
    catalogue::{Catalogue, Look, TokenError},
    config::{Config, Database},
    error::chain,
    metrics,
    orphans::{self, SweepError, UnknownPictures},
    routes,
    serving::serve,
    staging,
    start::{self, StartError, assemble, assemble_when_ready, here, listen, lock, make_data_dir},
    state::App,
    storage::{Reason, StorageError},
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

/// A running server. Dropped without [`shutdown`](Self::shutdown) it ends soon after, as by a crash: nothing is lost.
#[derive(Debug)]
pub struct Server {
    app: App,
    address: SocketAddr,
    metrics_address: Option<SocketAddr>,
    stop: DropGuard,
    tasks: Vec<JoinHandle<()>>,
    lock: File,
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
        let hearing = tokio::spawn(hear_of_others(app.clone()));
        let asking = tokio::spawn(ask_store(app.clone()));
        tracing::info!(%address, url = %app.public_url, "serving");
        let mut tasks = vec![serving, sweeping, looking, tidying, hearing, asking];
        let metrics_address = metrics.as_ref().map(|(_, address)| *address);
        if let Some((listener, address)) = metrics {
            let router = metrics::router(app.clone());
            let stopping = app.stopping.clone();
            let serving = serve(listener, router, MAX_METRICS_CONNECTIONS, stopping);
            tasks.push(tokio::spawn(serving));
            tracing::info!(%address, "telling metrics");
        }
        Ok(Self {
            stop: app.stopping.clone().drop_guard(),
            app,
            address,
            metrics_address,
            tasks,
            lock,
        })
    }

    /// Where clients reach it.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.app.public_url
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
        self.app.audit.reopen();
    }

    /// The checksums of parts that the store was found to check. Where it could not be asked yet, it is now.
    pub async fn store_checksums(&self) -> Result<Vec<ChecksumAlgorithm>, StorageError> {
        Ok(self.app.storage.abilities().await?.algorithms())
    }

    /// Makes a token, which is to be shown once.
    pub async fn add_token(
        &self,
        name: &str,
        grant: impl Into<Grant>,
    ) -> Result<Token, TokenError> {
        let grant = grant.into();
        let token = self.app.catalogue.add_token(name, grant).await?;
        self.app.audit.token_added(name, &grant);
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
        end_writes(&self.app).await;
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
        start::audit(config)
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
        let database = config.database();
        let (look, database) = (Catalogue::look(&database).await?, database.to_string());
        match look {
            Look::There { .. } => {}
            Look::Older => return Err(SweepError::Older { database }),
            Look::Missing => return Err(SweepError::NoGallery { database }),
        }
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
        end_writes(&app).await;
        drop(lock);
        swept
    }
}

async fn hear_of_others(app: App) {
    tokio::select! {
        never = app.catalogue.hear_of_others() => match never {},
        () = app.stopping.cancelled() => {}
    }
}

/// Says what is wrong with the store. A server serves without it, and is not ready.
async fn ask_store(app: App) {
    let asked = async {
        if let Err(error) = app.storage.check().await {
            let advice = error.reason().map(Reason::advice);
            tracing::warn!(
                cause = chain(&error),
                advice,
                "the store does not answer yet"
            );
        }
        if let Err(error) = app.storage.abilities().await {
            tracing::warn!(
                cause = chain(&error),
                "the store could not be asked what it checks; it is asked again when it matters"
            );
        }
    };
    tokio::select! {
        () = asked => {}
        () = app.stopping.cancelled() => {}
    }
}

/// Waits for what is written at the moment, by requests and by verification, and closes the catalogue. What is written is
/// one transaction each, and one that the catalogue does not end is given up as by a crash.
async fn end_writes(app: &App) {
    let written = async {
        app.writes.close();
        app.writes.wait().await;
        app.publisher.finish().await;
        app.catalogue.let_all_go().await;
    };
    if tokio::time::timeout(CATALOGUE_TIMEOUT, written)
        .await
        .is_err()
    {
        tracing::warn!("some writes did not end in time and were cut off");
    }
    // It waits for whoever still asks it something.
    if tokio::time::timeout(CATALOGUE_TIMEOUT, app.catalogue.close())
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
