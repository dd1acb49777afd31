//! The server without a socket and without work of its own: for surroundings that call it, such as a function of AWS Lambda.
//! They bring each request, say what has arrived in the store, and ask it to sweep now and then.
//!
//! It takes no lock on its data directory, for there may be many of it at a time. What keeps them apart is the catalogue:
//! each change is one transaction, and everything before it can be repeated.
//!
//! Invariant: between two calls nothing goes on. A surrounding may stop the process there for any time, and whatever had
//! not come to its end is given up, never judged.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use axum::Router;
use imgn_protocol::{ErrorCode, UploadId};
use url::Url;

use crate::{
    catalogue::{Catalogue, UploadState},
    config::{Config, InvalidConfig, StorageConfig},
    error::{ApiError, chain},
    garbage, publish, routes,
    staging::{self, Taken},
    start::{self, StartError},
    state::App,
    storage::keys::{self, Sent},
    sweep::{self, Swept},
};

/// The most addresses under which one is reached at a time; one more begins anew.
const MOST_ADDRESSES: usize = 8;

/// A server that is called.
#[derive(Debug)]
pub struct Function {
    app: App,
    routers: Mutex<Vec<(Url, Router)>>,
}

/// How often a picture may have all the time that there is, before it is refused.
const MOST_ATTEMPTS: u32 = 3;

/// What could not be done and has to be asked for again.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NotDone(#[source] ApiError);

impl Function {
    /// Puts one together. Its store is a bucket of an S3 service.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        if matches!(config.storage, StorageConfig::Embedded) {
            return Err(InvalidConfig::EmbeddedFunction.into());
        }
        config.check()?;
        start::make_data_dir(&config.data_dir)?;
        if config.metrics_listen.is_some() {
            tracing::warn!("a function has no address to tell metrics at");
        }
        let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 80));
        let (app, _) = Box::pin(start::assemble(config, nowhere)).await?;
        Ok(Self {
            app: app.with_whole_answers(),
            routers: Mutex::default(),
        })
    }

    /// Where clients reach it, if its configuration says so.
    #[must_use]
    pub fn public_url(&self) -> Option<&Url> {
        self.app.config.public_url.as_ref()
    }

    /// What answers requests, for clients that reach it under this address, which ends in a slash.
    pub fn router(&self, public_url: &Url) -> Router {
        let mut routers = self.routers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, router)) = routers.iter().find(|(known, _)| known == public_url) {
            return router.clone();
        }
        if routers.len() == MOST_ADDRESSES {
            routers.clear();
        }
        let router = routes::router(self.app.at(public_url.clone()), None);
        routers.push((public_url.clone(), router.clone()));
        router
    }

    /// The catalogue, for its tokens.
    #[must_use]
    pub fn catalogue(&self) -> &Catalogue {
        &self.app.catalogue
    }

    /// An object has come into the store under this key: what a client sent is verified from here on. Answers whether it
    /// was something that a client sent and nobody has looked at yet. May be dropped at any moment, and asked for again.
    pub async fn arrived(&self, key: &str) -> Result<bool, NotDone> {
        self.take(key).await.map_err(NotDone)
    }

    async fn take(&self, key: &str) -> Result<bool, ApiError> {
        let catalogue = &self.app.catalogue;
        let staged = match keys::sent(key) {
            None => return Ok(false),
            Some(Sent::Staged(id)) => catalogue.staged(id).await?,
            Some(Sent::Original(image)) => {
                if let Some(upload) = catalogue.upload_of_image(image).await?
                    && catalogue.staged(upload.id).await?.is_none()
                {
                    let upload = match upload.state {
                        UploadState::Open => self.app.begin_verifying(upload.id).await?,
                        _ => Some(upload),
                    };
                    let verifying = upload.filter(|upload| upload.state == UploadState::Verifying);
                    if let Some(upload) = &verifying {
                        self.app.publisher.start(upload.id);
                    }
                    return Ok(verifying.is_some());
                }
                catalogue.staged_image(image).await?
            }
        };
        match staged {
            Some(staged) => Ok(!matches!(
                staging::take(&self.app, staged.id).await?,
                Taken::Not
            )),
            None => Ok(false),
        }
    }

    /// One pass of the sweeper. Verification goes on after it. May be dropped at any moment; the next goes on.
    pub async fn sweep(&self) -> Swept {
        let mut swept = sweep::pass(&self.app).await;
        sweep::orphans(&self.app, &mut swept).await;
        swept
    }

    /// Waits until nothing is verified any more, for so long at most. `false` when something still is: give this one up
    /// with [`Self::give_up`] then, and start another, for a decoder's time would go on while the process stands still.
    pub async fn settled(&self, within: Duration) -> bool {
        let finished = tokio::time::timeout(within, self.app.publisher.finish());
        finished.await.is_ok()
    }

    /// Ends what is under way without a verdict; the next sweep begins it anew. A picture that a decoder has been at for
    /// `whole_time` or longer had all the time that there is: after [`MOST_ATTEMPTS`] of that kind it is refused, for it
    /// would be begun for ever.
    pub async fn give_up(&self, whole_time: Duration) {
        let slow = self.app.publisher.decoding_for(whole_time);
        self.app.stopping.cancel();
        for id in slow {
            if let Err(error) = self.attempted(id).await {
                tracing::warn!(%id, cause = chain(&error), "an attempt was not counted");
            }
        }
    }

    async fn attempted(&self, id: UploadId) -> Result<(), ApiError> {
        let catalogue = &self.app.catalogue;
        let attempts = catalogue.attempted(id).await?.unwrap_or_default();
        tracing::warn!(%id, attempts, "a picture takes longer to decode than there is time");
        if attempts < MOST_ATTEMPTS {
            return Ok(());
        }
        let Some(upload) = catalogue.upload(id).await? else {
            return Ok(());
        };
        let what = format!(
            "decoding it takes longer than this gallery's function has for one call, which was tried {attempts} times"
        );
        let name = &upload.announced.file_name;
        let rejection = publish::rejection(name, ErrorCode::DecodeTimeout, &what);
        self.app.reject(&upload, rejection).await?;
        garbage::collect_image(catalogue, &self.app.storage, upload.image).await;
        Ok(())
    }
}
