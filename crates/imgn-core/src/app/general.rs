//! Commands about what was chosen for the app as a whole.

use super::App;
use crate::{
    ClientCode, CommandError, GeneralPreferences, Proxy,
    settings::{GuardSettings, LookSettings, NetworkSettings},
};

impl App {
    /// How the app looks and speaks.
    pub async fn look(&self) -> LookSettings {
        self.0.settings.lock().await.look
    }

    /// What was chosen for the app as a whole.
    pub async fn general_preferences(&self) -> GeneralPreferences {
        let settings = self.0.settings.lock().await;
        GeneralPreferences {
            theme: settings.look.theme,
            language: settings.look.language,
            proxy: settings.network.proxy.to_string(),
            ask: settings.guard.ask,
        }
    }

    /// Chooses for the app as a whole, from now on: the next request goes by the proxy that is named.
    ///
    /// # Errors
    /// When the proxy is none, or the settings cannot be written.
    pub async fn set_general_preferences(
        &self,
        preferences: GeneralPreferences,
    ) -> Result<(), CommandError> {
        let GeneralPreferences {
            theme,
            language,
            proxy,
            ask,
        } = preferences;
        let proxy: Proxy = proxy
            .parse()
            .map_err(|error: crate::settings::InvalidProxy| {
                CommandError::new(ClientCode::InvalidInput, error.to_string())
            })?;
        let connection = self.0.connection.read().await.clone();
        if let Some(connection) = connection {
            connection.server.set_proxy(&proxy)?;
        }
        self.change_settings(move |settings| {
            settings.look = LookSettings { theme, language };
            settings.network = NetworkSettings { proxy };
            settings.guard = GuardSettings { ask };
        })
        .await
    }
}
