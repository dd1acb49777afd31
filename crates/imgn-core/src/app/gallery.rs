//! Commands about the pictures of the gallery.

use imgn_protocol::{DISPLAY_SIZE, ErrorCode, Image, ImageId, ImagePage, THUMBNAIL_SIZES};
use imgn_thumbs::{Limits, thumbnail};

use super::{
    App, Connection, LOCAL,
    download::{kept_file, unreadable},
};
use crate::{
    ClientCode, CommandError, ImageQuery,
    http::{Credentials, Server, broken, not_the_original, parse_server},
};

/// An original that is kept in memory is never larger; it is for looking at, [`App::download`] for keeping. Four times
/// what a server takes unless it is told otherwise, and with all of [`ORIGINALS`] under way still within the memory of a
/// small computer.
const ORIGINAL_BYTES: u64 = 256 * 1024 * 1024;

/// Originals that are read into memory at the same time: the one that is looked at, and the one before or after it.
pub(super) const ORIGINALS: usize = 2;

impl App {
    /// A page of the gallery, newest first.
    ///
    /// # Errors
    /// When no gallery is chosen, or the server does not answer or refuses.
    pub async fn images(&self, query: ImageQuery) -> Result<ImagePage, CommandError> {
        self.connected().await?.server.images(&query).await
    }

    /// One picture.
    ///
    /// # Errors
    /// When there is none of that id, or the server does not answer and this computer does not know it.
    pub async fn image(&self, id: ImageId) -> Result<Image, CommandError> {
        let connection = self.connected().await?;
        self.known_image(&connection, id).await
    }

    /// A thumbnail, from the cache on this computer or from the server. `size` is one of [`THUMBNAIL_SIZES`]
    /// or, of a picture with a `display_url`, [`DISPLAY_SIZE`].
    ///
    /// # Errors
    /// When there is no such thumbnail, or it is not cached and the server does not answer.
    pub async fn thumb(&self, id: ImageId, size: u32) -> Result<Vec<u8>, CommandError> {
        if !THUMBNAIL_SIZES.contains(&size) && size != DISPLAY_SIZE {
            let message =
                format!("there are no thumbnails of {size} pixels, only of 320, 1280 and 2560");
            return Err(CommandError::new(ClientCode::InvalidInput, message));
        }
        let key = thumb_key(id, size);
        if let Some(bytes) = self.0.thumbs.get(&key).await {
            return Ok(bytes);
        }
        let connection = self.connected().await?;
        // It is never closed.
        let _slot = self.0.thumb_slots.acquire().await.ok();
        // Whoever asked for the same while this one waited has cached it.
        if let Some(bytes) = self.0.thumbs.get(&key).await {
            return Ok(bytes);
        }
        let asked = match connection.server.turn() {
            Ok(_turn) => connection.server.thumb(id, size).await,
            Err(away) => Err(away),
        };
        let bytes = match asked {
            Ok(bytes) => bytes,
            // Of an original that is kept on this computer it can be made; the history has pictures of other galleries.
            Err(error) => match thumb_of_kept(&connection, id, size).await? {
                Some(bytes) => bytes,
                None if error.code == ErrorCode::NotFound.into() => {
                    self.thumb_elsewhere(id, size).await?.ok_or(error)?
                }
                None => return Err(error),
            },
        };
        // A cache that cannot be written costs time, not the picture.
        if let Err(error) = self.0.thumbs.put(&key, bytes.clone()).await {
            tracing::warn!("{error}");
        }
        Ok(bytes)
    }

    /// The thumbnail of a picture that was uploaded from here to another gallery than the one that is shown, if it was. No
    /// token is shown to that gallery: looking needs none.
    async fn thumb_elsewhere(
        &self,
        id: ImageId,
        size: u32,
    ) -> Result<Option<Vec<u8>>, CommandError> {
        let remembered = self.0.history.find(id).await?;
        let elsewhere = remembered.filter(|it| it.gallery != LOCAL);
        let Some(Ok(url)) = elsewhere.map(|it| parse_server(&it.gallery)) else {
            return Ok(None);
        };
        let proxy = self.0.settings.lock().await.network.proxy.clone();
        let server = Server::new(url, Credentials::Nobody, &proxy)?;
        Ok(Some(server.thumb(id, size).await?))
    }

    /// Whether a thumbnail for the grid is on this computer.
    pub async fn has_thumb(&self, id: ImageId) -> bool {
        let key = thumb_key(id, THUMBNAIL_SIZES[0]);
        let missing = self.0.thumbs.missing(vec![key]).await;
        missing.is_ok_and(|missing| missing.is_empty())
    }

    /// The original's media type and bytes, for looking at: of a kept one from this computer.
    ///
    /// # Errors
    /// When there is no such picture, the connection breaks, it is too large to be kept in memory, or what arrives has
    /// not the size that the gallery says.
    pub async fn original(&self, id: ImageId) -> Result<(String, Vec<u8>), CommandError> {
        let connection = self.connected().await?;
        // It is never closed.
        let _slot = self.0.original_slots.acquire().await.ok();
        let image = self.known_image(&connection, id).await?;
        if image.size > ORIGINAL_BYTES {
            let message = "the original is too large to be shown; download it instead";
            return Err(CommandError::new(ClientCode::InvalidInput, message));
        }
        if let Some(file) = kept_file(&connection, &image).await? {
            return match tokio::fs::read(&file).await {
                Ok(bytes) => Ok((image.content_type, bytes)),
                Err(error) => Err(unreadable(&file, &error)),
            };
        }
        let mut response = connection.server.content(id).await?;
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(broken)? {
            if (bytes.len() + chunk.len()) as u64 > image.size {
                return Err(not_the_original(&image));
            }
            bytes.extend_from_slice(&chunk);
        }
        if bytes.len() as u64 != image.size {
            return Err(not_the_original(&image));
        }
        Ok((image.content_type, bytes))
    }
}

/// What a thumbnail is cached under.
pub(super) fn thumb_key(id: ImageId, size: u32) -> String {
    format!("{id}-{size}")
}

/// Made of a kept original; none where there is no such.
async fn thumb_of_kept(
    connection: &Connection,
    id: ImageId,
    size: u32,
) -> Result<Option<Vec<u8>>, CommandError> {
    let Some(mirror) = connection.mirror_if_any().await else {
        return Ok(None);
    };
    let Some(known) = mirror.picture(id).await? else {
        return Ok(None);
    };
    if known.image.size > ORIGINAL_BYTES {
        return Ok(None);
    }
    let Some(file) = mirror.kept_original(&known.image).await? else {
        return Ok(None);
    };
    let made = tokio::task::spawn_blocking(move || {
        let bytes = std::fs::read(file).ok()?;
        thumbnail(&bytes, &Limits::default(), size).ok()
    });
    let made = made.await.ok().flatten();
    Ok(made.map(|rendition| rendition.jpeg))
}
