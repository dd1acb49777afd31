//! Which gallery: chosen, known from before, and left.
//!
//! Invariant: a token is in the keyring, in memory, or nowhere; no gallery is kept that was not asked first.

use std::sync::Arc;

use imgn_protocol::Token;
use url::Url;

use super::{App, Connection, check};
use crate::{
    AppState, ClientCode, CommandError, GalleryView,
    http::{Credentials, Server, is_loopback, parse_server},
    secrets,
    settings::{Ask, GallerySettings, ServerSettings, Settings},
};

/// A name that a person gives is no longer, in characters.
const NAME: usize = 60;

/// A gallery that something is meant for: it goes to no other one, also when another one is shown meanwhile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gallery(Url);

impl Gallery {
    /// Its address.
    #[must_use]
    pub fn url(&self) -> &str {
        self.0.as_str()
    }
}

/// What becomes of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keep {
    InKeyring,
    ForNow,
}

impl App {
    /// Whether the profile's gallery is the one on this computer: its starter then calls [`App::connect_local`].
    pub async fn wants_local(&self) -> bool {
        let settings = self.0.settings.lock().await;
        settings.server.as_ref().is_some_and(|server| server.local)
    }

    /// Chooses a gallery: asks it something, and whether it takes the token, before anything is kept. The address goes
    /// into the settings, the token into the keyring; with `IMGN_TOKEN` that one is used and no keyring is touched.
    ///
    /// # Errors
    /// When the server cannot be reached or is none, when it does not take the token, or when the token cannot be kept.
    pub async fn connect(
        &self,
        server: &str,
        token: Option<Token>,
    ) -> Result<AppState, CommandError> {
        self.connect_with(server, token, Keep::InKeyring).await
    }

    /// The same, with a token that is held in memory until the program ends: for who has no keyring, or not now.
    ///
    /// # Errors
    /// As [`App::connect`], but for the keyring, which is not touched.
    pub async fn connect_for_now(
        &self,
        server: &str,
        token: Token,
    ) -> Result<AppState, CommandError> {
        self.connect_with(server, Some(token), Keep::ForNow).await
    }

    async fn connect_with(
        &self,
        server: &str,
        token: Option<Token>,
        keep: Keep,
    ) -> Result<AppState, CommandError> {
        let url = parse_server(server)?;
        let given = self
            .0
            .options
            .token
            .clone()
            .or(token.filter(|token| !token.is_empty()));
        let credentials = given
            .clone()
            .map_or(Credentials::Nobody, Credentials::Given);
        let proxy = self.0.settings.lock().await.network.proxy.clone();
        let asked = Server::new(url.clone(), credentials, &proxy)?;
        check(&asked, given.is_some()).await?;
        let signed_in = match &given {
            Some(token) if self.0.options.token.is_none() && keep == Keep::InKeyring => {
                secrets::store(&url, token).await?;
                true
            }
            Some(_) | None => false,
        };
        let chosen = ServerSettings {
            url,
            local: false,
            signed_in,
        };
        self.choose(chosen.clone()).await?;
        self.establish(asked, &chosen).await?;
        Ok(self.told_state().await)
    }

    /// Connects to the gallery on this computer, which the caller has started. The token is held in memory and kept
    /// nowhere, for the next start of the gallery has another one: no keyring is touched.
    ///
    /// # Errors
    /// When the server does not answer, or the settings cannot be written.
    pub async fn connect_local(
        &self,
        server: &str,
        token: Token,
    ) -> Result<AppState, CommandError> {
        let url = parse_server(server)?;
        let proxy = self.0.settings.lock().await.network.proxy.clone();
        let asked = Server::new(url.clone(), Credentials::Given(token), &proxy)?;
        check(&asked, true).await?;
        let chosen = ServerSettings {
            url,
            local: true,
            signed_in: false,
        };
        self.choose(chosen.clone()).await?;
        self.establish(asked, &chosen).await?;
        Ok(self.told_state().await)
    }

    /// Shows another gallery that is known, with its token from the keyring. That it cannot be reached is no error. The
    /// one on this computer is its starter's to connect to.
    ///
    /// # Errors
    /// When it is not known, or the settings cannot be written.
    pub async fn switch_gallery(&self, server: &str) -> Result<AppState, CommandError> {
        let url = parse_server(server)?;
        let settings = self.0.settings.lock().await.clone();
        let known = settings.galleries.into_iter().map(|it| it.server);
        let Some(chosen) = known.into_iter().find(|it| it.url == url) else {
            return Err(unknown(server));
        };
        self.choose(chosen.clone()).await?;
        self.reconnect(chosen).await?;
        Ok(self.told_state().await)
    }

    /// Whether the token that this was started with is used, whatever else is given.
    #[must_use]
    pub fn has_given_token(&self) -> bool {
        self.0.options.token.is_some()
    }

    /// Whether this is the address of the gallery on this computer, which its starter connects to.
    pub async fn is_local(&self, server: &str) -> bool {
        let settings = self.0.settings.lock().await;
        parse_server(server).is_ok_and(|url| {
            let mut known = settings.galleries.iter().map(|it| &it.server);
            known.any(|it| it.local && it.url == url)
        })
    }

    /// All galleries that were chosen and not left.
    pub async fn galleries(&self) -> Vec<GalleryView> {
        let settings = self.0.settings.lock().await.clone();
        let connection = self.0.connection.read().await.clone();
        let current = connection.map(|it| it.server.url().clone());
        let view = |gallery: GallerySettings| GalleryView {
            is_current: current.as_ref() == Some(&gallery.server.url),
            url: gallery.server.url.to_string(),
            name: gallery.name,
            local: gallery.server.local,
            signed_in: gallery.server.signed_in || gallery.server.local,
        };
        settings.galleries.into_iter().map(view).collect()
    }

    /// Calls a gallery something else than by its address; by that where the name is empty.
    ///
    /// # Errors
    /// When it is not known, the name is too long, or the settings cannot be written.
    pub async fn name_gallery(&self, server: &str, name: &str) -> Result<(), CommandError> {
        let url = parse_server(server)?;
        let name = name.trim().to_owned();
        if name.chars().count() > NAME || name.chars().any(char::is_control) {
            let message = format!("a gallery's name is one line of at most {NAME} characters");
            return Err(CommandError::new(ClientCode::InvalidInput, message));
        }
        let is_known = |it: &GallerySettings| it.server.url == url;
        if !self.0.settings.lock().await.galleries.iter().any(is_known) {
            return Err(unknown(server));
        }
        self.change_settings(move |settings| {
            let known = settings.galleries.iter_mut();
            for gallery in known.filter(|it| it.server.url == url) {
                gallery.name.clone_from(&name);
            }
        })
        .await?;
        self.told_state().await;
        Ok(())
    }

    /// Leaves the gallery: its address leaves the settings, its token the keyring. Uploads stay in the journal for when
    /// it is chosen again. With `IMGN_TOKEN` no keyring is touched.
    ///
    /// # Errors
    /// When the settings cannot be written, or the keyring does not give the token up; the gallery is left then, and the
    /// token is still in the keyring.
    pub async fn disconnect(&self) -> Result<AppState, CommandError> {
        let settings = self.0.settings.lock().await.clone();
        let left = self.chosen_server(&settings)?;
        // The options may name another gallery than the settings, where the one that is not left stays.
        if let Some(left) = &left {
            self.forget(left.clone()).await?;
        }
        self.drop_connection().await;
        // Whoever shows the gallery leaves it, whatever the keyring does, and however long it takes.
        let state = self.told_state().await;
        if let Some(server) = left {
            self.forget_token(&server).await?;
        }
        Ok(state)
    }

    /// Leaves a gallery that is not shown.
    ///
    /// # Errors
    /// As [`App::disconnect`], and when it is the one that is shown.
    pub async fn forget_gallery(&self, server: &str) -> Result<(), CommandError> {
        let url = parse_server(server)?;
        let settings = self.0.settings.lock().await.clone();
        let known = settings.galleries.iter().find(|it| it.server.url == url);
        let Some(left) = known.map(|it| it.server.clone()) else {
            return Err(unknown(server));
        };
        let shown = self.0.connection.read().await.clone();
        if shown.is_some_and(|it| *it.server.url() == url) {
            let message = "this gallery is shown now; leave it instead";
            return Err(CommandError::new(ClientCode::InvalidInput, message));
        }
        self.forget(left.clone()).await?;
        self.forget_token(&left).await
    }

    /// The gallery that is shown.
    ///
    /// # Errors
    /// When there is none.
    pub async fn gallery(&self) -> Result<Gallery, CommandError> {
        Ok(Gallery(self.connected().await?.server.url().clone()))
    }

    /// Whether this gallery is shown still.
    ///
    /// # Errors
    /// When it is not.
    pub async fn must_be_shown(&self, gallery: &Gallery) -> Result<(), CommandError> {
        self.connected_to(gallery).await.map(drop)
    }

    /// The connection to this gallery.
    pub(super) async fn connected_to(
        &self,
        gallery: &Gallery,
    ) -> Result<Arc<Connection>, CommandError> {
        let connection = self.connected().await?;
        if *connection.server.url() == gallery.0 {
            return Ok(connection);
        }
        let message = "another gallery was chosen meanwhile, so nothing more was taken in; upload what is left where you want it";
        Err(CommandError::new(ClientCode::GalleryChanged, message))
    }

    /// Whether somebody is to be shown what is about to become public in this gallery, before it does.
    pub async fn must_ask(&self, gallery: &Gallery) -> bool {
        let settings = self.0.settings.lock().await;
        let Gallery(url) = gallery;
        let known = settings.galleries.iter().find(|it| it.server.url == *url);
        match settings.guard.ask {
            Ask::Always => true,
            Ask::Never => false,
            // What only this computer can reach is not public.
            Ask::First => !is_loopback(url) && !known.is_some_and(|it| it.confirmed),
        }
    }

    /// Somebody said that pictures may become public in the gallery of this address.
    ///
    /// # Errors
    /// When it is no address, or the settings cannot be written.
    pub async fn confirm_gallery(&self, server: &str) -> Result<(), CommandError> {
        let url = parse_server(server)?;
        self.change_settings(move |settings| {
            let known = settings.galleries.iter_mut();
            if let Some(gallery) = known.into_iter().find(|it| it.server.url == url) {
                gallery.confirmed = true;
                return;
            }
            // It was named by an option, and is known from now on.
            settings.galleries.push(GallerySettings {
                server: ServerSettings {
                    url,
                    local: false,
                    signed_in: false,
                },
                name: String::new(),
                confirmed: true,
            });
        })
        .await
    }

    /// The gallery that the options or else the settings name.
    pub(super) fn chosen_server(
        &self,
        settings: &Settings,
    ) -> Result<Option<ServerSettings>, CommandError> {
        let Some(named) = &self.0.options.server else {
            return Ok(settings.server.clone());
        };
        let url = parse_server(named)?;
        let known = settings.galleries.iter().map(|it| &it.server);
        let known = known.chain(&settings.server).find(|it| it.url == url);
        // Whether the keyring has a token for a server that is not in the settings is found out when it is needed.
        Ok(Some(known.cloned().unwrap_or(ServerSettings {
            url,
            local: false,
            signed_in: true,
        })))
    }

    pub(super) async fn reconnect(&self, chosen: ServerSettings) -> Result<(), CommandError> {
        let options = &self.0.options;
        if chosen.local && options.starts_local {
            return Ok(());
        }
        let credentials = match &options.token {
            Some(token) => Credentials::Given(token.clone()),
            None if chosen.signed_in => Credentials::keyring(),
            None => Credentials::Nobody,
        };
        let proxy = self.0.settings.lock().await.network.proxy.clone();
        let server = Server::new(chosen.url.clone(), credentials, &proxy)?;
        self.establish(server, &chosen).await
    }

    /// Chosen now, and known from now on.
    pub(super) async fn choose(&self, server: ServerSettings) -> Result<(), CommandError> {
        self.change_settings(move |settings| {
            settings.server = Some(server.clone());
            settings.know(server);
        })
        .await
    }

    async fn forget(&self, left: ServerSettings) -> Result<(), CommandError> {
        self.change_settings(move |settings| {
            let is_left = |it: &ServerSettings| it.url == left.url;
            settings.galleries.retain(|it| !is_left(&it.server));
            if settings.server.as_ref().is_some_and(is_left) {
                settings.server = None;
            }
        })
        .await
    }

    async fn forget_token(&self, left: &ServerSettings) -> Result<(), CommandError> {
        if left.signed_in && self.0.options.token.is_none() {
            secrets::forget(&left.url).await?;
        }
        Ok(())
    }
}

fn unknown(server: &str) -> CommandError {
    let message = format!("{server} is no gallery that is known here; connect to it");
    CommandError::new(ClientCode::InvalidServer, message)
}
