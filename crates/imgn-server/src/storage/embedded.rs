//! The embedded store of a data directory, and the credentials that only this server has.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use aws_sdk_s3::config::Credentials;
use imgn_store::{OpenError, Store, StoreConfig, StoreService};

use super::keys;

/// The bucket, which is the first part of every path under which the store answers.
pub(crate) const BUCKET: &str = "imgn-pictures";

/// The file with the access key and the secret key, a line each.
const CREDENTIALS_FILE: &str = "store-credentials";

/// An open embedded store.
#[derive(Debug, Clone)]
pub(crate) struct Embedded {
    store: Store,
    credentials: Credentials,
}

/// Why the embedded store does not open.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    /// The store itself.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The file with its credentials.
    #[error("cannot read or write the store's credentials in {}", path.display())]
    Credentials {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl Embedded {
    /// Opens the store under `data_dir`, which is made on the first start. What clients send has at most so many bytes.
    pub(crate) async fn open(data_dir: &Path, max_size: u64) -> Result<Self, EmbeddedError> {
        let path = data_dir.join(CREDENTIALS_FILE);
        let (access_key, secret_key) =
            read_or_make(&path).map_err(|source| EmbeddedError::Credentials { path, source })?;
        let mut config = StoreConfig::new(
            data_dir.join("store"),
            BUCKET,
            imgn_store::Credentials::new(&access_key, &secret_key),
        );
        // Some of it by URLs that say nothing of a length.
        for prefix in [keys::ORIGINALS, keys::STAGED] {
            config.max_sizes.push((prefix.to_owned(), max_size));
        }
        Ok(Self {
            store: Store::open(config).await?,
            credentials: Credentials::new(access_key, secret_key, None, None, "imgn-server"),
        })
    }

    pub(crate) fn service(&self) -> StoreService {
        self.store.service()
    }

    pub(super) fn credentials(&self) -> Credentials {
        self.credentials.clone()
    }
}

fn read_or_make(path: &Path) -> io::Result<(String, String)> {
    match fs::read_to_string(path) {
        Ok(text) => {
            let mut lines = text.lines();
            match (lines.next(), lines.next(), lines.next()) {
                (Some(access), Some(secret), None) if !access.is_empty() && !secret.is_empty() => {
                    Ok((access.to_owned(), secret.to_owned()))
                }
                _ => Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "it is damaged; delete it and a new pair is made at the next start",
                )),
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => make(path),
        Err(error) => Err(error),
    }
}

/// A new pair. The file appears whole or not at all, and nobody else may ever read it.
fn make(path: &Path) -> io::Result<(String, String)> {
    let (access_key, secret_key) = (random::<10>()?, random::<20>()?);
    let temporary = path.with_extension("new");
    if let Err(error) = fs::remove_file(&temporary)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&temporary)?;
    write!(file, "{access_key}\n{secret_key}\n")?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    Ok((access_key, secret_key))
}

/// `N` random bytes in hexadecimal.
fn random<const N: usize>() -> io::Result<String> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(hex::encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_made_once_and_are_private() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(CREDENTIALS_FILE);
        let made = read_or_make(&path).unwrap();
        assert_eq!(made.0.len(), 20);
        assert_eq!(made.1.len(), 40);
        assert_eq!(read_or_make(&path).unwrap(), made);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }

        fs::write(&path, "one line").unwrap();
        assert_eq!(
            read_or_make(&path).unwrap_err().kind(),
            io::ErrorKind::InvalidData
        );
    }
}
