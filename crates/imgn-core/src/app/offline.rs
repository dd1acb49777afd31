//! Commands about the gallery's list on this computer, and what is kept with it.

use imgn_protocol::{ErrorCode, Image, ImageId};
use imgn_upload::UploadCode;

use super::{App, Connection};
use crate::{
    CacheUsage, ClientCode, CommandError, DeletionView, OfflineView, Picture, Timeline,
    mirror::{Known, Trouble},
};

/// Pictures that are asked for at a time.
const MOST_PICTURES: usize = 500;

/// The longest text to search for, in bytes: longer than any file name.
const MAX_SEARCH: usize = 300;

/// A cache below this keeps hardly a screen of thumbnails.
const SMALLEST_CACHE: u64 = 1024 * 1024;

impl App {
    /// The order of all pictures, or of those that are searched for, newest first, as this computer knows them. Words
    /// are beginnings of words of a picture's name, camera, owner or days, and all of them must be there.
    ///
    /// # Errors
    /// When no gallery is chosen, the text is too long, or the list cannot be read.
    pub async fn timeline(&self, search: &str) -> Result<Timeline, CommandError> {
        if search.len() > MAX_SEARCH {
            let message = format!("search for at most {MAX_SEARCH} bytes");
            return Err(CommandError::new(ClientCode::InvalidInput, message));
        }
        let connection = self.connected().await?;
        connection.mirror().await?.timeline(search).await
    }

    /// The pictures at these places of a timeline, in the order asked; none where one is gone meanwhile. At most 500.
    ///
    /// # Errors
    /// When no gallery is chosen, too many are asked for, or the list cannot be read.
    pub async fn pictures(&self, sequences: &[u32]) -> Result<Vec<Option<Picture>>, CommandError> {
        if sequences.len() > MOST_PICTURES {
            let message = format!("ask for at most {MOST_PICTURES} pictures at a time");
            return Err(CommandError::new(ClientCode::InvalidInput, message));
        }
        let connection = self.connected().await?;
        let known = connection.mirror().await?.pictures(sequences).await?;
        let picture = |known: Option<Known>| known.map(Picture::from);
        Ok(known.into_iter().map(picture).collect())
    }

    /// One picture by its id: from this computer, or where it is not known here yet, from the server. None where there
    /// is none.
    ///
    /// # Errors
    /// When no gallery is chosen, or nobody can be asked.
    pub async fn picture(&self, id: ImageId) -> Result<Option<Picture>, CommandError> {
        let connection = self.connected().await?;
        if let Some(known) = connection.mirror().await?.picture(id).await? {
            return Ok(Some(known.into()));
        }
        match connection.server.image(id).await {
            Ok(image) => Ok(Some(Picture {
                sequence: image.sequence,
                image,
                kept: false,
                original_here: false,
            })),
            Err(error) if error.code == ErrorCode::NotFound.into() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Deletes pictures from the gallery, for everybody. They leave the timeline at once; where the server does not
    /// answer, they are deleted when it does.
    ///
    /// # Errors
    /// When no gallery is chosen, or it cannot be written down.
    pub async fn delete_images(&self, ids: Vec<ImageId>) -> Result<DeletionView, CommandError> {
        let connection = self.connected().await?;
        connection.mirror().await?.delete(ids).await
    }

    /// Asks for originals to be on this computer, or no longer.
    ///
    /// # Errors
    /// When no gallery is chosen, or it cannot be written down.
    pub async fn keep(&self, ids: &[ImageId], keep: bool) -> Result<(), CommandError> {
        let connection = self.connected().await?;
        let mirror = connection.mirror().await?;
        mirror.keep(ids, keep).await?;
        mirror.changed.notify_one();
        Ok(())
    }

    /// Asks for all originals to be on this computer, those to come too, or no longer for all.
    ///
    /// # Errors
    /// As [`App::keep`].
    pub async fn keep_all(&self, keep: bool) -> Result<(), CommandError> {
        let connection = self.connected().await?;
        let mirror = connection.mirror().await?;
        mirror.keep_all(keep).await?;
        mirror.changed.notify_one();
        Ok(())
    }

    /// What is on this computer of the gallery's pictures.
    ///
    /// # Errors
    /// When no gallery is chosen, or the list cannot be read.
    pub async fn offline_state(&self) -> Result<OfflineView, CommandError> {
        let connection = self.connected().await?;
        let (kept, all) = connection.mirror().await?.kept().await?;
        let cache = &self.0.thumbs;
        Ok(OfflineView {
            kept: kept.asked,
            here: kept.here,
            bytes: kept.bytes,
            all,
            cache_bytes: cache.usage().await?.bytes,
            cache_limit_bytes: cache.max_bytes(),
        })
    }

    /// Thumbnails take at most so many bytes from now on.
    ///
    /// # Errors
    /// When that is less than a screen of them, or the settings cannot be written.
    pub async fn set_cache_limit(&self, bytes: u64) -> Result<(), CommandError> {
        if bytes < SMALLEST_CACHE {
            let message = "thumbnails need at least 1 MiB";
            return Err(CommandError::new(ClientCode::InvalidInput, message));
        }
        self.change_settings(move |settings| settings.cache.max_bytes = bytes)
            .await?;
        Ok(self.0.thumbs.set_max_bytes(bytes).await?)
    }

    /// How many thumbnails there are, and their bytes.
    ///
    /// # Errors
    /// When the cache cannot be looked at.
    pub async fn cache_usage(&self) -> Result<CacheUsage, CommandError> {
        Ok(self.0.thumbs.usage().await?)
    }

    /// The most bytes that thumbnails take.
    #[must_use]
    pub fn cache_limit(&self) -> u64 {
        self.0.thumbs.max_bytes()
    }

    /// Forgets all thumbnails.
    ///
    /// # Errors
    /// When the cache cannot be looked at.
    pub async fn clear_cache(&self) -> Result<(), CommandError> {
        Ok(self.0.thumbs.clear().await?)
    }

    /// Brings the list on this computer to what the server has now, and carries out the deletions that wait. With
    /// `originals` also fetches those that are asked for. Answers how many of these could not be fetched.
    ///
    /// # Errors
    /// When no gallery is chosen, the server does not answer, or the disk is full.
    pub async fn sync(&self, originals: bool) -> Result<u64, CommandError> {
        let connection = self.connected().await?;
        let mirror = connection.mirror().await?;
        let synced = async {
            mirror.sync().await?;
            mirror.carry_out_deletions().await?;
            mirror.sync().await
        };
        synced.await.map_err(|trouble| match trouble {
            Trouble::Server(failure) => connection.server.explain(failure),
            Trouble::Mirror(error) => error.into(),
            Trouble::Command(error) => error,
        })?;
        if originals {
            return mirror.fetch_originals().await;
        }
        Ok(0)
    }

    /// What the server says of a picture, or else this computer; a window asks this computer first.
    pub(super) async fn known_image(
        &self,
        connection: &Connection,
        id: ImageId,
    ) -> Result<Image, CommandError> {
        if self.0.options.follow
            && let Some(known) = connection.mirror().await?.picture(id).await?
        {
            return Ok(known.image);
        }
        let asked = connection.server.image(id).await;
        match asked {
            Err(error) if is_away(&error) => match connection.mirror_if_any().await {
                Some(mirror) => match mirror.picture(id).await? {
                    Some(known) => Ok(known.image),
                    None => Err(error),
                },
                None => Err(error),
            },
            asked => asked,
        }
    }
}

/// Whether the server is not there, rather than saying no.
fn is_away(error: &CommandError) -> bool {
    error.code == UploadCode::Offline.into() || error.code == ClientCode::ConnectionFailed.into()
}

impl From<Known> for Picture {
    fn from(known: Known) -> Self {
        Self {
            sequence: known.image.sequence,
            image: known.image,
            kept: known.kept,
            original_here: known.original_here,
        }
    }
}
