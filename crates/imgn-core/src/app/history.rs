//! Commands about what was uploaded from here.

use imgn_protocol::{ImageId, UploadId};

use super::{App, Connection, LOCAL};
use crate::{
    ClientCode, CommandError, HistoryEntry, MirrorPhase,
    history::{Remembered, Uploaded},
    links as links_to,
    mirror::Mirror,
};

/// Entries that are asked for at a time.
const MOST: u32 = 500;

/// The longest text to search for, in bytes: longer than any file name.
const MAX_SEARCH: usize = 300;

impl App {
    /// What was uploaded from here, in all galleries, the newest first: at most `limit` with all words of `search` (the
    /// beginnings of words of a picture's name, its folder here, camera or days), or those before an entry.
    ///
    /// # Errors
    /// When too much is asked for, or the history cannot be read.
    pub async fn history(
        &self,
        search: &str,
        before: Option<UploadId>,
        limit: u32,
    ) -> Result<Vec<HistoryEntry>, CommandError> {
        let invalid = |message: String| CommandError::new(ClientCode::InvalidInput, message);
        if search.len() > MAX_SEARCH {
            return Err(invalid(format!("search for at most {MAX_SEARCH} bytes")));
        }
        if limit > MOST {
            let message = format!("ask for at most {MOST} entries at a time");
            return Err(invalid(message));
        }
        let connection = self.0.connection.read().await.clone();
        let mut entries = Vec::new();
        for remembered in self.remembered(search, before, limit).await? {
            entries.push(entry(remembered, connection.as_deref()).await?);
        }
        Ok(entries)
    }

    /// The same, with where the files were.
    ///
    /// # Errors
    /// As [`App::history`].
    pub async fn history_with_paths(
        &self,
        search: &str,
        before: Option<UploadId>,
        limit: u32,
    ) -> Result<Vec<(HistoryEntry, String)>, CommandError> {
        let connection = self.0.connection.read().await.clone();
        let mut entries = Vec::new();
        for mut remembered in self.remembered(search, before, limit).await? {
            let path = std::mem::take(&mut remembered.path);
            entries.push((entry(remembered, connection.as_deref()).await?, path));
        }
        Ok(entries)
    }

    async fn remembered(
        &self,
        search: &str,
        before: Option<UploadId>,
        limit: u32,
    ) -> Result<Vec<Remembered>, CommandError> {
        self.take_down().await;
        self.0.history.page(search, before, limit).await
    }

    /// Which of these pictures, named with their places in the feed, are in the shown gallery no more as far as this
    /// computer knows.
    ///
    /// # Errors
    /// When the gallery's list on this computer cannot be read.
    pub async fn gone(&self, images: &[(ImageId, u64)]) -> Result<Vec<ImageId>, CommandError> {
        let connection = self.connected().await?;
        let mut gone = Vec::new();
        if let Some(mirror) = connection.mirror.opened.get() {
            for (id, sequence) in images {
                if mirror.picture(*id).await?.is_none() && is_missing(mirror, *sequence).await? {
                    gone.push(*id);
                }
            }
        }
        Ok(gone)
    }

    /// The link to a picture that was uploaded from here, in whichever gallery, in the chosen format.
    ///
    /// # Errors
    /// When it is not in the history, or that cannot be read.
    pub async fn history_link(&self, id: ImageId) -> Result<String, CommandError> {
        if let Ok(known) = self.links(&[id], None, None).await {
            return Ok(known);
        }
        let Some(remembered) = self.0.history.find(id).await? else {
            let message = "this picture is not in the history";
            return Err(CommandError::new(ClientCode::InvalidInput, message));
        };
        let format = self.link_settings().await.format;
        Ok(links_to(&[remembered.image], None, &format))
    }

    /// Forgets that these were uploaded, or all where none are named. The pictures stay where they are.
    ///
    /// # Errors
    /// When the history cannot be written.
    pub async fn forget_history(&self, uploads: Option<&[UploadId]>) -> Result<(), CommandError> {
        self.take_down().await;
        self.0.history.forget(uploads).await
    }

    /// Brings the history up to the journal.
    pub(super) async fn take_down(&self) {
        let Ok(connection) = self.connected().await else {
            return;
        };
        let uploaded = connection.engine.map_snapshots(Uploaded::of);
        let uploaded = uploaded.into_iter().flatten().collect();
        self.0.history.add(&connection.name, uploaded).await;
    }
}

/// Whether a picture that is not in the list is not in the gallery: what the list has not come to yet is not missing from
/// it.
async fn is_missing(mirror: &Mirror, sequence: u64) -> Result<bool, CommandError> {
    let is_whole = mirror.view().borrow().phase != MirrorPhase::Filling;
    Ok(is_whole && mirror.has_come_to(sequence).await?)
}

async fn entry(
    remembered: Remembered,
    connection: Option<&Connection>,
) -> Result<HistoryEntry, CommandError> {
    let uploaded_at = remembered.taken_in_at();
    let Remembered {
        gallery,
        upload,
        mut image,
        ..
    } = remembered;
    let shown = connection.filter(|it| it.name == gallery);
    let mut is_gone = false;
    if let Some(connection) = shown
        && let Some(mirror) = connection.mirror.opened.get()
    {
        match mirror.picture(image.id).await? {
            // Its address may be another one now.
            Some(known) => image = known.image,
            None => is_gone = is_missing(mirror, image.sequence).await?,
        }
    }
    Ok(HistoryEntry {
        upload,
        image,
        uploaded_at,
        is_current: shown.is_some(),
        is_gone,
        gallery: match connection {
            Some(connection) if connection.name == gallery && gallery != LOCAL => {
                connection.server.url().to_string()
            }
            _ => gallery,
        },
    })
}
