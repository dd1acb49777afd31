//! The gallery on this computer: the server in this process, on the loopback interface, with everything below the
//! profile's folder.
//!
//! Invariant: its token exists in this process's memory only. Each start replaces the one before, so no keyring is
//! needed and a token that was read from somewhere is worthless after the next start. Only who has the folder's lock
//! replaces it: a second start on the same profile leaves the first one's token alone.

use std::{
    io::ErrorKind,
    net::Ipv4Addr,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use imgn_core::protocol::Token;
use imgn_server::{Config, Role, Server, StartError, TokenError};
use tokio::sync::Mutex;

/// Whose the uploads of this app are, in the catalogue.
const OWNER: &str = "this computer";

/// The port that is tried first, so that a link to a picture works again after a restart. Not assigned to anyone.
const PORT: u16 = 8786;

/// Lets the system choose a port that nobody has.
const ANY_PORT: u16 = 0;

/// How long the app that ran before may still have the gallery open: longer than its end may take.
const PREDECESSOR: Duration = Duration::from_secs(6);

/// Why there is no gallery on this computer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GalleryError {
    #[error("imgn is already running on this profile; use its window, or quit it first")]
    AlreadyRunning,
    #[error("cannot make the folder {}", path.display())]
    Folder {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error(transparent)]
    Start(StartError),
}

impl From<StartError> for GalleryError {
    fn from(error: StartError) -> Self {
        match error {
            StartError::InUse { .. } => Self::AlreadyRunning,
            other => Self::Start(other),
        }
    }
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
        match replace_token(&self.config(ANY_PORT)).await {
            Ok(token) => Ok(Running { server, token }),
            Err(error) => {
                server.shutdown().await;
                Err(error)
            }
        }
    }

    /// Waits for an app that is just ending and still has the gallery open; leaves [`PORT`] to another program that
    /// has it.
    async fn start_server(&self) -> Result<Server, StartError> {
        let begun = Instant::now();
        let mut port = PORT;
        loop {
            match Server::start(self.config(port)).await {
                Err(StartError::InUse { .. }) if begun.elapsed() < PREDECESSOR => {
                    tokio::time::sleep(PREDECESSOR / 50).await;
                }
                Err(StartError::Listen { source, .. })
                    if port == PORT && source.kind() == ErrorKind::AddrInUse =>
                {
                    port = ANY_PORT;
                }
                result => return result,
            }
        }
    }

    fn config(&self, port: u16) -> Config {
        Config {
            listen: format!("{}:{port}", Ipv4Addr::LOCALHOST),
            ..Config::embedded(&self.folder)
        }
    }
}

/// The owner keeps the name, and with it what was uploaded under it.
async fn replace_token(config: &Config) -> Result<Token, GalleryError> {
    let catalogue = Server::catalogue(config).await?;
    let token = match catalogue.revoke_token(OWNER).await {
        Ok(()) | Err(TokenError::Unknown { .. }) => catalogue.add_token(OWNER, Role::Admin).await,
        Err(error) => Err(error),
    };
    catalogue.close().await;
    Ok(token?)
}

#[cfg(test)]
mod tests {
    use imgn_core::{App, Home, Options};

    use super::*;

    /// So that no other test here has the port and gives it back meanwhile.
    static ONE_GALLERY: Mutex<()> = Mutex::const_new(());

    #[tokio::test(flavor = "multi_thread")]
    async fn a_second_start_on_a_profile_says_so_and_leaves_the_first_alone() {
        let _alone = ONE_GALLERY.lock().await;
        let folder = tempfile::tempdir().unwrap();
        let first = LocalGallery::new(folder.path().join("gallery"));
        let (url, token) = first.start().await.unwrap();
        let app = App::open(
            Home::locate(Some(folder.path().join("home"))).unwrap(),
            Options::default(),
        )
        .await
        .unwrap();
        app.connect_local(&url, token.clone()).await.unwrap();

        let second = LocalGallery::new(folder.path().join("gallery"));
        let error = second.start().await.unwrap_err();
        assert!(matches!(error, GalleryError::AlreadyRunning), "{error}");
        app.check().await.unwrap();

        // Once the first has ended, the next start has a token of its own, and the old one is worth nothing.
        first.stop().await;
        let (url, next) = second.start().await.unwrap();
        assert_ne!(next.expose(), token.expose());
        app.connect_local(&url, next).await.unwrap();
        let refused = app.connect_local(&url, token).await.unwrap_err();
        assert_eq!(refused.code.as_str(), "unauthorized");
        app.quit().await;
        second.stop().await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn where_its_port_is_taken_it_has_another() {
        let _alone = ONE_GALLERY.lock().await;
        // Where it fails, another program has the port, which is as good.
        let _taken = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, PORT));
        let folder = tempfile::tempdir().unwrap();
        let gallery = LocalGallery::new(folder.path().join("gallery"));
        let (url, _) = gallery.start().await.unwrap();
        let address = url.trim_end_matches('/');
        assert!(!address.ends_with(&format!(":{PORT}")), "{url}");
        gallery.stop().await;
    }
}
