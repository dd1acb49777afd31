//! The gallery on this computer: the server in this process, on the loopback interface, with everything below the
//! profile's folder.
//!
//! Invariant: its token exists in this process's memory only. Each start replaces the one before, so no keyring is
//! needed and a token that was read from somewhere is worthless after the next start.

use std::{
    net::{Ipv4Addr, TcpListener},
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use imgn_core::protocol::Token;
use imgn_server::{Catalogue, Config, Role, Server, StartError, TokenError};
use tokio::sync::Mutex;

/// Whose the uploads of this app are, in the catalogue.
const OWNER: &str = "this computer";

/// The port that is tried first, so that a link to a picture works again after a restart. Not assigned to anyone.
const PORT: u16 = 8786;

/// How long the app that ran before may still have the gallery open: longer than its end may take.
const PREDECESSOR: Duration = Duration::from_secs(6);

/// Why there is no gallery on this computer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GalleryError {
    #[error("cannot make the folder {}", path.display())]
    Folder {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error(transparent)]
    Start(#[from] StartError),
}

/// The gallery on this computer, started when it is first wanted. Cheap to clone.
#[derive(Clone)]
pub(crate) struct LocalGallery {
    folder: PathBuf,
    running: Arc<Mutex<Option<Running>>>,
}

struct Running {
    server: Server,
    token: Token,
}

impl LocalGallery {
    /// A gallery in `folder`, which is made when it starts.
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            running: Arc::default(),
        }
    }

    /// Its address and the token of its owner. Starts it unless it runs.
    pub(crate) async fn start(&self) -> Result<(String, Token), GalleryError> {
        let mut running = self.running.lock().await;
        let gallery = match running.take() {
            Some(gallery) => gallery,
            None => self.open().await?,
        };
        let gallery = running.insert(gallery);
        Ok((gallery.server.url().to_string(), gallery.token.clone()))
    }

    /// Ends it, if it runs.
    pub(crate) async fn stop(&self) {
        if let Some(gallery) = self.running.lock().await.take() {
            gallery.server.shutdown().await;
        }
    }

    async fn open(&self) -> Result<Running, GalleryError> {
        tokio::fs::create_dir_all(&self.folder)
            .await
            .map_err(|source| GalleryError::Folder {
                path: self.folder.clone(),
                source,
            })?;
        let server = self.start_server().await?;
        // Not before: where another program has this gallery open, its token stays good.
        let catalogue = Catalogue::open(&self.config().database())
            .await
            .map_err(TokenError::from)?;
        let token = replace_token(&catalogue).await?;
        Ok(Running { server, token })
    }

    /// Waits for an app that is just ending and still has the gallery open.
    async fn start_server(&self) -> Result<Server, StartError> {
        let begun = Instant::now();
        loop {
            match Server::start(self.config()).await {
                Err(StartError::InUse { .. }) if begun.elapsed() < PREDECESSOR => {
                    tokio::time::sleep(PREDECESSOR / 50).await;
                }
                result => return result,
            }
        }
    }

    fn config(&self) -> Config {
        Config {
            listen: format!("{}:{}", Ipv4Addr::LOCALHOST, free_port()),
            ..Config::embedded(&self.folder)
        }
    }
}

/// The owner keeps the name, and with it what was uploaded under it.
async fn replace_token(catalogue: &Catalogue) -> Result<Token, TokenError> {
    match catalogue.revoke_token(OWNER).await {
        Ok(()) | Err(TokenError::Unknown { .. }) => catalogue.add_token(OWNER, Role::Admin).await,
        Err(error) => Err(error),
    }
}

/// [`PORT`], or 0 for any where another program has that one.
fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, PORT)).map_or(0, |_| PORT)
}
