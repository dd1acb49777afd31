//! Commands about uploads that are known already: one by one, all together, and how they are done.

use std::num::NonZeroU64;

use imgn_protocol::UploadId;
use imgn_upload::{Engine, Totals};

use super::App;
use crate::{ClientCode, CommandError, UploadPreferences, settings::UploadSettings};

/// Requests at the same time: more help no line and no store.
const JOBS: std::ops::RangeInclusive<u32> = 1..=64;

impl App {
    /// Holds an upload back until it is resumed, also over the end of this program. Its id or the one on the server
    /// will do, here and in what follows.
    ///
    /// # Errors
    /// When there is no such upload, or another program works at it.
    pub async fn pause(&self, id: UploadId) -> Result<(), CommandError> {
        let connection = self.connected().await?;
        let engine = &connection.engine;
        known(id, engine.pause(own(engine, id)).await?)
    }

    /// Lets a paused upload go on.
    ///
    /// # Errors
    /// As [`App::pause`].
    pub async fn resume(&self, id: UploadId) -> Result<(), CommandError> {
        let connection = self.connected().await?;
        let engine = &connection.engine;
        known(id, engine.resume(own(engine, id)).await?)
    }

    /// Takes an upload back, on the server too. What is published stays: it can be deleted.
    ///
    /// # Errors
    /// As [`App::pause`].
    pub async fn cancel(&self, id: UploadId) -> Result<(), CommandError> {
        let connection = self.connected().await?;
        let engine = &connection.engine;
        known(id, engine.cancel(own(engine, id)).await?)
    }

    /// Tries again what failed, was rejected or cancelled.
    ///
    /// # Errors
    /// As [`App::pause`].
    pub async fn retry(&self, id: UploadId) -> Result<(), CommandError> {
        let connection = self.connected().await?;
        // It may be unlocked now.
        connection.server.ask_keyring_again();
        let engine = &connection.engine;
        known(id, engine.retry(own(engine, id)).await?)
    }

    /// The same with several; what is not known any more is left out.
    ///
    /// # Errors
    /// When no gallery is chosen, or the journal cannot be written.
    pub async fn retry_these(&self, ids: &[UploadId]) -> Result<(), CommandError> {
        let connection = self.connected().await?;
        connection.server.ask_keyring_again();
        for id in ids {
            connection.engine.retry(*id).await?;
        }
        Ok(())
    }

    /// Puts an upload before all others.
    ///
    /// # Errors
    /// When there is no such upload, or the journal cannot be written.
    pub async fn move_to_top(&self, id: UploadId) -> Result<(), CommandError> {
        let connection = self.connected().await?;
        let engine = &connection.engine;
        known(id, engine.move_to_front(own(engine, id)).await?)
    }

    /// Holds back all that has not ended and no other program works at. Answers how many those are; so do all that
    /// follow.
    ///
    /// # Errors
    /// When no gallery is chosen, or the journal cannot be written.
    pub async fn pause_all(&self) -> Result<usize, CommandError> {
        Ok(self.connected().await?.engine.pause_all().await?)
    }

    /// Lets all go on that is paused.
    ///
    /// # Errors
    /// As [`App::pause_all`].
    pub async fn resume_all(&self) -> Result<usize, CommandError> {
        Ok(self.connected().await?.engine.resume_all().await?)
    }

    /// Takes all back that has not ended.
    ///
    /// # Errors
    /// As [`App::pause_all`].
    pub async fn cancel_all(&self) -> Result<usize, CommandError> {
        Ok(self.connected().await?.engine.cancel_all().await?)
    }

    /// Tries all again that failed.
    ///
    /// # Errors
    /// As [`App::pause_all`].
    pub async fn retry_failed(&self) -> Result<usize, CommandError> {
        let connection = self.connected().await?;
        connection.server.ask_keyring_again();
        Ok(connection.engine.retry_all_failed().await?)
    }

    /// How much there is to do, how much of it is done, and how long the rest takes.
    pub async fn totals(&self) -> Totals {
        match self.connected().await {
            Ok(connection) => connection.engine.totals(),
            Err(_) => Totals::default(),
        }
    }

    /// What was chosen for all uploads.
    pub async fn upload_preferences(&self) -> UploadPreferences {
        let chosen = self.0.settings.lock().await.uploads;
        UploadPreferences {
            keep_location: chosen.keep_location,
            jobs: chosen.jobs,
            bytes_per_second: chosen.bytes_per_second.map(NonZeroU64::get),
        }
    }

    /// Chooses for all uploads. Numbers take effect at once, also for what is on its way; whether a location is kept
    /// is decided when a file is taken in.
    ///
    /// # Errors
    /// When a number is out of its range, or the settings cannot be written.
    pub async fn set_upload_preferences(
        &self,
        preferences: UploadPreferences,
    ) -> Result<(), CommandError> {
        let invalid = |message: &str| CommandError::new(ClientCode::InvalidInput, message);
        if preferences.jobs.is_some_and(|jobs| !JOBS.contains(&jobs)) {
            return Err(invalid("requests at the same time are from 1 to 64"));
        }
        let bytes_per_second = match preferences.bytes_per_second {
            Some(0) => {
                return Err(invalid(
                    "a speed of 0 sends nothing; pause the uploads instead",
                ));
            }
            bytes => bytes.and_then(NonZeroU64::new),
        };
        let chosen = UploadSettings {
            keep_location: preferences.keep_location,
            jobs: preferences.jobs,
            bytes_per_second,
        };
        self.change_settings(move |settings| settings.uploads = chosen)
            .await?;
        if let Ok(connection) = self.connected().await {
            connection.engine.set_jobs(self.jobs(chosen));
            connection.engine.set_rate_limit(self.rate_limit(chosen));
        }
        Ok(())
    }

    pub(super) fn jobs(&self, chosen: UploadSettings) -> Option<usize> {
        let jobs = self.0.options.jobs.or(chosen.jobs)?;
        usize::try_from(jobs.clamp(*JOBS.start(), *JOBS.end())).ok()
    }

    pub(super) fn rate_limit(&self, chosen: UploadSettings) -> Option<NonZeroU64> {
        self.0.options.bytes_per_second.or(chosen.bytes_per_second)
    }
}

fn own(engine: &Engine, id: UploadId) -> UploadId {
    engine.find(id).unwrap_or(id)
}

fn known(id: UploadId, is_known: bool) -> Result<(), CommandError> {
    if is_known {
        return Ok(());
    }
    let message = format!("there is no upload {id} here, or another running imgn works at it");
    Err(CommandError::new(ClientCode::UnknownUpload, message))
}
