//! Published pictures as the API tells them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{FileName, ImageId, Sha256};

/// How a picture was exposed, as far as its camera says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Exposure {
    /// Exposure time in seconds.
    pub seconds: Option<f64>,
    /// Focal length divided by aperture.
    pub f_number: Option<f64>,
    /// Sensitivity, ISO 12232.
    pub iso: Option<u32>,
    /// Focal length in millimetres, as on the lens.
    pub focal_length_mm: Option<f64>,
}

/// A place on Earth, WGS 84.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Location {
    /// Degrees; north is positive.
    // In TypeScript a number: what JSON has no word for, such as infinity, is no place.
    #[cfg_attr(feature = "bindings", specta(type = i32))]
    pub latitude: f64,
    /// Degrees; east is positive.
    #[cfg_attr(feature = "bindings", specta(type = i32))]
    pub longitude: f64,
}

/// A picture in the gallery.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Image {
    /// Which picture.
    pub id: ImageId,
    /// Its place in the gallery's feed: newest first is by it. 0 where a server of an older version does not say.
    #[serde(default)]
    pub sequence: u64,
    /// The name its uploader gave it.
    pub file_name: FileName,
    /// Width in pixels as it is shown, that is after its orientation was applied.
    pub width: u32,
    /// Height in pixels as it is shown.
    pub height: u32,
    /// The media type that the server found in the bytes.
    pub content_type: String,
    /// Size of the original in bytes.
    pub size: u64,
    /// SHA-256 of the original.
    pub sha256: Sha256,
    /// A blurred preview of a few bytes (<https://evanw.github.io/thumbhash/>), in Base64.
    pub thumbhash: String,
    /// Whether it moves.
    pub animated: bool,
    /// When it was taken, where the picture says so. A picture that names no time zone is read as UTC.
    #[cfg_attr(feature = "bindings", specta(type = Option<String>))]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub taken_at: Option<Timestamp>,
    /// When it was published.
    #[cfg_attr(feature = "bindings", specta(type = String))]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub created_at: Timestamp,
    /// Maker and model of the camera, where the picture says so.
    pub camera: Option<String>,
    /// The lens, likewise.
    #[serde(default)]
    pub lens: Option<String>,
    /// How it was exposed, likewise.
    #[serde(default)]
    pub exposure: Option<Exposure>,
    /// Where it was taken, if the file that was uploaded still says so: imgn's own clients take that out unless they are
    /// told not to.
    #[serde(default)]
    pub location: Option<Location>,
    /// The name of the token that uploaded it.
    pub owner: String,
    /// Where the original is read: the address of a redirect that can be shared and does not expire.
    pub url: String,
    /// Where a JPEG of at most 2,560 pixels is read that shows it. None where browsers show the original.
    pub display_url: Option<String>,
}

/// A page of the gallery, newest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ImagePage {
    /// The pictures.
    pub images: Vec<Image>,
    /// What to give as `cursor` for the next page; null on the last.
    pub next_cursor: Option<String>,
}

/// One entry of the change feed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "kind", rename_all = "snake_case", try_from = "Entry")]
pub enum Change {
    /// A picture was published.
    Added {
        /// Position in the feed.
        sequence: u64,
        /// The picture, boxed for being much larger than a tombstone.
        image: Box<Image>,
    },
    /// A picture was deleted; this tombstone stays.
    Deleted {
        /// Position in the feed.
        sequence: u64,
        /// Which picture.
        id: ImageId,
    },
}

/// An entry as it is read: both shapes in one, so that a million of them are not held as a tree of values first, which
/// is how serde reads a tagged enum.
#[derive(Deserialize)]
struct Entry {
    kind: Kind,
    sequence: u64,
    image: Option<Box<Image>>,
    id: Option<ImageId>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Added,
    Deleted,
}

impl TryFrom<Entry> for Change {
    type Error = &'static str;

    fn try_from(entry: Entry) -> Result<Self, Self::Error> {
        let sequence = entry.sequence;
        match entry.kind {
            Kind::Added => {
                let image = entry.image.ok_or("an addition without its `image`")?;
                Ok(Self::Added { sequence, image })
            }
            Kind::Deleted => {
                let id = entry.id.ok_or("a deletion without its `id`")?;
                Ok(Self::Deleted { sequence, id })
            }
        }
    }
}

impl Change {
    /// Its position in the feed.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        match self {
            Self::Added { sequence, .. } | Self::Deleted { sequence, .. } => *sequence,
        }
    }
}

/// A page of the change feed, oldest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ChangePage {
    /// The entries.
    pub changes: Vec<Change>,
    /// What to give as `since` next time: the last position seen.
    pub next_since: u64,
    /// Whether there are more entries right now.
    pub more: bool,
    /// Which feed this is. Another one than before, or a `last` that is behind what was read before: the server began
    /// anew, and so must whoever follows it.
    #[serde(default)]
    pub feed: String,
    /// The position of the newest entry of all.
    #[serde(default)]
    pub last: u64,
    /// How many pictures there are; only on the page that begins at 0.
    #[serde(default)]
    pub total: Option<u64>,
}
