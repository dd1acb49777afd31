//! The profile: one folder with everything that the client keeps, shared by the app and the command line.

use std::{
    io,
    path::{Path, PathBuf},
};

/// The folder of a profile.
///
/// | in it | is |
/// |---|---|
/// | `settings.toml` | what people chose |
/// | `journal.sqlite` | every upload, and where it stands |
/// | `history.sqlite` | what was uploaded from here |
/// | `owners/` | one locked file per running program, so that no upload is driven twice |
/// | `spool/` | what was pasted or came by standard input, until it is in the gallery or its upload forgotten |
/// | `cache/`, `cache.sqlite` | thumbnails and which they are; may be deleted at any time |
/// | `copies/` | originals that another program was given, for a day |
/// | `galleries/` | of each gallery its list, and the originals that are kept |
///
/// Secrets are not in it: they are in the system's keyring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home(PathBuf);

/// A profile that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// The system names no folder for application data.
    #[error("the system names no folder for application data; set IMGN_HOME to a folder")]
    Unknown,
    /// The folder cannot be made.
    #[error("cannot make the folder {}", path.display())]
    Create {
        /// Which folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Home {
    /// The profile in `folder`, or in the folder that the system has for application data (`imgn` in
    /// `$XDG_DATA_HOME`). What is missing is made, readable for its owner only.
    ///
    /// # Errors
    /// When there is no such folder, or it cannot be made.
    pub fn locate(folder: Option<PathBuf>) -> Result<Self, HomeError> {
        let folder = match folder.filter(|folder| !folder.as_os_str().is_empty()) {
            Some(folder) => std::path::absolute(&folder).map_err(|source| HomeError::Create {
                path: folder,
                source,
            })?,
            None => dirs::data_dir().ok_or(HomeError::Unknown)?.join("imgn"),
        };
        let home = Self(folder);
        for path in [
            home.path(),
            &home.owners(),
            &home.spool(),
            &home.cache(),
            &home.copies(),
            &home.galleries(),
        ] {
            create_private(path).map_err(|source| HomeError::Create {
                path: path.to_owned(),
                source,
            })?;
        }
        Ok(home)
    }

    /// The folder itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Where settings are.
    #[must_use]
    pub fn settings(&self) -> PathBuf {
        self.0.join("settings.toml")
    }

    /// Where the journal of uploads is.
    #[must_use]
    pub fn journal(&self) -> PathBuf {
        self.0.join("journal.sqlite")
    }

    /// Where what was uploaded from here is remembered.
    #[must_use]
    pub fn history(&self) -> PathBuf {
        self.0.join("history.sqlite")
    }

    /// Where running programs hold their locks.
    #[must_use]
    pub fn owners(&self) -> PathBuf {
        self.0.join("owners")
    }

    /// Where bytes from standard input are kept until they are in the gallery.
    #[must_use]
    pub fn spool(&self) -> PathBuf {
        self.0.join("spool")
    }

    /// Where copies are that other programs take.
    #[must_use]
    pub fn copies(&self) -> PathBuf {
        self.0.join("copies")
    }

    /// Where each gallery's list and kept originals are.
    #[must_use]
    pub fn galleries(&self) -> PathBuf {
        self.0.join("galleries")
    }

    /// Which thumbnails are cached.
    #[must_use]
    pub fn cache_index(&self) -> PathBuf {
        self.0.join("cache.sqlite")
    }

    /// Where thumbnails are cached.
    #[must_use]
    pub fn cache(&self) -> PathBuf {
        self.0.join("cache")
    }
}

fn create_private(path: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}
