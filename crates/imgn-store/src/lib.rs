//! imgn's embedded S3 store: one bucket in one directory, spoken to as S3.
//!
//! It is what stands behind a gallery on one computer, and the engine of tests. It is no cluster, keeps no versions,
//! access lists, tags or lifecycle rules, and has one pair of credentials: whoever signs with it may do everything.
//!
//! Invariants:
//! - What was answered with success survives a crash: files are synced and renamed, and either their directory is synced
//!   too, or the next opening finds them where they were written (see `ready`).
//! - A request that is refused or breaks off changes nothing and leaves nothing behind.
//! - A damaged file costs the object that it was, and no other: it is logged, and left out of listings.
//! - No key can name a file outside of the bucket's directory.
//! - Memory does not grow with the size of a body; about 100 bytes are held for each key.
//!
//! ```text
//! service   HTTP in and out, CORS          gate     is enough signed, and for how long?
//! form      objects from browsers' forms
//! s3        the operations                 convert  their field-by-field types
//! object    publish, read, delete, list    multipart  the life of an upload
//! upload    an upload's parts: file, log   extent   where bytes lie  adopt  uploads of an older store
//! body      streams to and from files      digest   checksums        conditions  If-Match and its kin
//! index     ordered names, in memory       record   the file format  ready    files to be written into
//! reader    objects, beside whoever has the store open                layout, key  directories and names
//! ```
//!
//! # Example
//! ```no_run
//! # async fn run() -> Result<(), imgn_store::OpenError> {
//! use imgn_store::{Credentials, Store, StoreConfig};
//!
//! let credentials = Credentials::new("an access key", "a secret key");
//! let store = Store::open(StoreConfig::new("/var/lib/imgn/store", "pictures", credentials)).await?;
//! let service = store.service(); // a tower service, to be served by hyper or mounted in axum
//! # let _ = service; Ok(())
//! # }
//! ```

mod adopt;
mod body;
mod conditions;
mod convert;
mod digest;
mod error;
mod extent;
mod form;
mod gate;
mod index;
mod key;
mod layout;
mod multipart;
mod object;
mod reader;
mod ready;
mod record;
mod s3;
mod service;
mod upload;

use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use s3s::auth::SimpleAuth;
use s3s::config::{S3Config, StaticConfigProvider};
use s3s::service::S3ServiceBuilder;

use crate::error::Error;
use crate::form::Counter;
pub use crate::form::{Pace, Undecided};
use crate::layout::Layout;
use crate::object::Bucket;
pub use crate::reader::{Reader, Reading};
use crate::s3::Endpoint;
pub use crate::service::StoreService;
/// The body of an answer.
pub use s3s::Body;

/// S3's own limit on the life of a presigned URL.
pub const MAX_PRESIGNED_TTL: Duration = Duration::from_secs(7 * 24 * 3600);

/// A list of 10,000 parts with their checksums is about 3 MB of XML, the longest document there is.
const XML_MAX_BYTES: usize = 4 * 1024 * 1024;

/// What a store needs to know.
#[derive(Debug, Clone)]
pub struct StoreConfig {
    /// The directory; made if missing. The bucket is a directory in it.
    pub root: PathBuf,
    /// The name of the one bucket, by S3's rules for such names.
    pub bucket: String,
    /// Who may do everything.
    pub credentials: Credentials,
    /// A URL presigned for longer is refused. At most [`MAX_PRESIGNED_TTL`] makes sense to S3's clients.
    pub max_presigned_ttl: Duration,
    /// The most bytes of an object whose key begins so, its parts counted together. The first prefix that fits counts;
    /// where none does, S3's own limit for one request is all there is. It bounds what can be sent with a URL that was
    /// signed without a length: of parts, those that are sent again included, at most twice as much is ever on the disk.
    pub max_sizes: Vec<(String, u64)>,
}

impl StoreConfig {
    /// A configuration with S3's limits.
    pub fn new(
        root: impl Into<PathBuf>,
        bucket: impl Into<String>,
        credentials: Credentials,
    ) -> Self {
        Self {
            root: root.into(),
            bucket: bucket.into(),
            credentials,
            max_presigned_ttl: MAX_PRESIGNED_TTL,
            max_sizes: Vec::new(),
        }
    }
}

/// An access key and its secret.
#[derive(Clone)]
pub struct Credentials {
    access_key: String,
    secret_key: String,
}

impl Credentials {
    /// A pair that requests are signed with.
    pub fn new(access_key: impl Into<String>, secret_key: impl Into<String>) -> Self {
        Self {
            access_key: access_key.into(),
            secret_key: secret_key.into(),
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("access_key", &self.access_key)
            .field("secret_key", &"REDACTED")
            .finish()
    }
}

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The name breaks S3's rules: 3 to 63 of lower-case letters, digits, dots and hyphens.
    #[error("{name:?} cannot be the name of a bucket")]
    InvalidBucketName {
        /// The name as given.
        name: String,
    },
    /// Another process, or another store in this one, has the bucket open.
    #[error("the store in {} is in use by another process", path.display())]
    InUse {
        /// The bucket's directory.
        path: PathBuf,
    },
    /// The file system refused.
    #[error("cannot open the store in {}", path.display())]
    Io {
        /// The bucket's directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file that everything else depends on is not what this store wrote. A damaged object is no reason: it is logged
    /// and left out.
    #[error("the store in {} is damaged: {what}", path.display())]
    Damaged {
        /// The bucket's directory.
        path: PathBuf,
        /// Which file, and what is wrong with it.
        what: String,
    },
}

/// An open store. Cheap to clone; the directory stays locked until the last clone and service are gone.
#[derive(Debug, Clone)]
pub struct Store {
    bucket: Arc<Bucket>,
    service: StoreService,
}

impl Store {
    /// Opens a directory, repairs what a crash left behind, and reads the names of all objects.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open(config: StoreConfig) -> Result<Self, OpenError> {
        if !s3s::path::check_bucket_name(&config.bucket) {
            return Err(OpenError::InvalidBucketName {
                name: config.bucket,
            });
        }
        let path = config.root.join(&config.bucket);
        let (name, directory) = (config.bucket.clone(), path.clone());
        let max_sizes = config.max_sizes.clone();
        let bucket = tokio::task::spawn_blocking(move || open_bucket(name, directory, max_sizes))
            .await
            .map_err(|error| OpenError::Io {
                path,
                source: io::Error::other(error),
            })??;
        let bucket = Arc::new(bucket);
        let service = service(Arc::clone(&bucket), config);
        Ok(Self { bucket, service })
    }

    /// The S3 endpoint, for a server to serve or for a client in the same process to call.
    pub fn service(&self) -> StoreService {
        self.service.clone()
    }

    /// The name of the bucket.
    pub fn bucket(&self) -> &str {
        &self.bucket.name
    }
}

fn service(bucket: Arc<Bucket>, config: StoreConfig) -> StoreService {
    let mut limits = S3Config::default();
    limits.xml_max_body_size = XML_MAX_BYTES;
    let forms = Counter::new(
        Arc::clone(&bucket),
        config.credentials.clone(),
        config.max_presigned_ttl,
    );
    let Credentials {
        access_key,
        secret_key,
    } = config.credentials;
    let mut builder = S3ServiceBuilder::new(Endpoint::new(bucket));
    builder.set_auth(SimpleAuth::from_single(access_key, secret_key));
    builder.set_config(Arc::new(StaticConfigProvider::new(Arc::new(limits))));
    StoreService::new(builder.build(), forms, config.max_presigned_ttl)
}

fn open_bucket(
    name: String,
    path: PathBuf,
    max_sizes: Vec<(String, u64)>,
) -> Result<Bucket, OpenError> {
    let failed = |source| OpenError::Io {
        path: path.clone(),
        source,
    };
    fs::create_dir_all(&path).map_err(failed)?;
    let lock = lock(&path)?;
    let layout = Layout::create(path.clone()).map_err(failed)?;
    let bucket = recover(name, layout, lock, max_sizes).map_err(|error| match error {
        Error::Damaged { what } => OpenError::Damaged {
            path: path.clone(),
            what,
        },
        Error::Io(source) => failed(source),
        other => failed(io::Error::other(other)),
    })?;
    Ok(bucket)
}

/// One process at a time: the index in memory and the locks know of no other writer.
fn lock(path: &Path) -> Result<File, OpenError> {
    let failed = |source| OpenError::Io {
        path: path.to_owned(),
        source,
    };
    let lock = File::create(path.join("lock")).map_err(failed)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse {
            path: path.to_owned(),
        }),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

fn recover(
    name: String,
    layout: Layout,
    lock: File,
    max_sizes: Vec<(String, u64)>,
) -> Result<Bucket, Error> {
    for entry in fs::read_dir(layout.tmp())? {
        let path = entry?.path();
        if path.is_dir() {
            fs::remove_dir_all(path)?;
        } else {
            fs::remove_file(path)?;
        }
    }
    ready::recover(&layout)?;
    let index = object::scan(&layout)?;
    tracing::debug!(objects = index.len(), "the store is open");
    let bucket = Bucket::new(name, layout, index, lock, max_sizes);
    bucket.recover_uploads()?;
    Ok(bucket)
}

/// Runs work that blocks where it may, and logs what only the operator can repair.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let run = move || {
        let result = work();
        if let Err(error) = &result
            && error.is_internal()
        {
            let cause = std::error::Error::source(error).map(ToString::to_string);
            tracing::error!(%error, cause, "the store failed");
        }
        result
    };
    tokio::task::spawn_blocking(run)
        .await
        .unwrap_or(Err(Error::Interrupted))
}
