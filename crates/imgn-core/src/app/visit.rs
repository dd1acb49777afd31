//! Galleries that something else than the person named: an address of another program's.

use super::{App, check};
use crate::{
    AppState, ClientCode, CommandError, UploadCode,
    http::{Credentials, Server, parse_server},
    secrets,
    settings::ServerSettings,
};

impl App {
    /// Connects to a gallery that a link named, after somebody said so. With the token that the keyring has for it, or
    /// none: `IMGN_TOKEN` is for the gallery that it was set for, and is not shown to another one. Where it is set, no
    /// keyring is touched, and the next start is at that gallery again. Without `IMGN_TOKEN` one that is known is shown also where it
    /// cannot be reached, or the keyring does not answer. The one on this computer is its starter's to connect to.
    ///
    /// # Errors
    /// When the server cannot be reached or is none, when the keyring is there and does not answer, or the server does
    /// not take what it has, or the settings cannot be written.
    pub async fn visit(&self, server: &str) -> Result<AppState, CommandError> {
        let url = parse_server(server)?;
        let settings = self.0.settings.lock().await.clone();
        let own = self.chosen_server(&settings)?;
        let has_token = self.0.options.token.is_some();
        if has_token && own.is_some_and(|own| own.url == url) {
            return self.connect(server, None).await;
        }
        let is_known = settings.galleries.iter().any(|it| it.server.url == url);
        let found = if has_token {
            Ok(None)
        } else {
            secrets::load(&url).await
        };
        let token = match found {
            Ok(token) => token,
            // Without one, looking at pictures is all there is.
            Err(error) if error.code == ClientCode::KeyringMissing.into() => None,
            // What the keyring does not give now it may give when something is uploaded.
            Err(_) if is_known => return self.switch_gallery(server).await,
            Err(error) => return Err(error),
        };
        let signed_in = token.is_some();
        let credentials = token.map_or(Credentials::Nobody, Credentials::Given);
        let asked = Server::new(url.clone(), credentials, &settings.network.proxy)?;
        if let Err(error) = check(&asked, signed_in).await {
            if has_token || !is_known || error.code != UploadCode::Offline.into() {
                return Err(error);
            }
            // What is kept of it can be looked at.
            return self.switch_gallery(server).await;
        }
        let chosen = ServerSettings {
            url,
            local: false,
            signed_in,
        };
        if !has_token {
            self.choose(chosen.clone()).await?;
        }
        self.establish(asked, &chosen).await?;
        Ok(self.told_state().await)
    }
}
