//! Multipart uploads: create, parts, list, complete, abort. Everything here blocks; see [`crate::blocking`].
//!
//! An upload is a directory that appears and disappears as a whole, by a rename from and to `tmp/`. Its id is worth
//! nothing with another key. Completing puts a footer behind the parts, which share one file, and publishes that file as
//! any put does: that rename is the moment at which the upload is complete, and no byte of a part is written twice. Only
//! where the file holds much that the object does not (parts that were not named, or sent again) is the object copied out
//! of it. A crash before the rename leaves the upload open as it was; a crash after it leaves a directory that
//! [`Bucket::recover_uploads`] recognises: its file of parts is gone, or was copied into an object with its id.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::conditions::{WriteConditions, now};
use crate::digest::{Algorithm, Checksums, Coverage, composite, concatenated, multipart_etag};
use crate::error::{Error, unless_damaged};
use crate::extent::Extents;
use crate::key::{ObjectKey, PartNumber, UploadId};
use crate::layout::{parent, sync_directory};
use crate::object::{Bucket, ObjectFooter, StoredHeaders};
use crate::record::{Data, SealedRecord, seal};
use crate::upload::{DATA, LockedParts, OpenUpload, Part, Parts, gone};

/// S3's minimum for every part but the last, in bytes.
const PART_MIN_SIZE: u64 = 5 * 1024 * 1024;

/// The object is copied when more than one byte in so many would be kept for nothing.
const WASTE: u64 = 8;

const MANIFEST: &str = "upload.json";

/// How the directory of an upload is laid out: 1 was a file a part, see [`crate::adopt`].
const FORMAT: u32 = 2;

/// What was said when the upload was created.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Manifest {
    #[serde(default = "first_format")]
    pub(crate) format: u32,
    pub(crate) key: ObjectKey,
    /// Seconds since 1970.
    pub(crate) initiated: u64,
    pub(crate) headers: StoredHeaders,
    pub(crate) algorithm: Option<Algorithm>,
    pub(crate) coverage: Option<Coverage>,
}

fn first_format() -> u32 {
    1
}

impl Manifest {
    /// Of an upload that begins now.
    pub(crate) fn new(
        key: ObjectKey,
        headers: StoredHeaders,
        algorithm: Option<Algorithm>,
        coverage: Option<Coverage>,
    ) -> Self {
        Self {
            format: FORMAT,
            key,
            initiated: now(),
            headers,
            algorithm,
            coverage,
        }
    }
}

/// A part as the client names it when completing.
#[derive(Debug, Clone)]
pub(crate) struct NamedPart {
    pub(crate) number: i32,
    /// Without quotes.
    pub(crate) etag: String,
    pub(crate) checksums: Checksums,
}

/// A request to complete.
#[derive(Debug, Clone, Default)]
pub(crate) struct Completion {
    pub(crate) parts: Vec<NamedPart>,
    pub(crate) conditions: WriteConditions,
    /// What the client expects of the whole object.
    pub(crate) checksums: Checksums,
    pub(crate) size: Option<u64>,
}

impl Bucket {
    pub(crate) fn create_upload(&self, manifest: &Manifest) -> Result<UploadId, Error> {
        let id = UploadId::generate();
        let temp = self.layout.fresh_tmp();
        fs::create_dir(temp.path())?;
        Parts::create(temp.path())?;
        write_manifest(&temp.path().join(MANIFEST), manifest)?;
        sync_directory(temp.path())?;
        temp.rename(&self.layout.upload(&id))?;
        sync_directory(&self.layout.uploads())?;
        Ok(id)
    }

    /// The upload, if the id is one and belongs to the key.
    pub(crate) fn upload(
        &self,
        key: &ObjectKey,
        id: &str,
    ) -> Result<(Arc<OpenUpload>, Manifest), Error> {
        let id = UploadId::parse(id).ok_or(Error::NoSuchUpload)?;
        let manifest = self.manifest(&id)?.ok_or(Error::NoSuchUpload)?;
        if manifest.key != *key || manifest.format != FORMAT {
            return Err(Error::NoSuchUpload);
        }
        let upload = self.open_uploads.get(&id, self.layout.upload(&id));
        Ok((upload, manifest))
    }

    /// All open uploads, ordered by key and then by time.
    pub(crate) fn uploads(&self) -> Result<Vec<(UploadId, Manifest)>, Error> {
        let mut uploads = Vec::new();
        for id in self.upload_ids()? {
            if let Some(manifest) = unless_damaged("an upload", self.manifest(&id)).flatten() {
                uploads.push((id, manifest));
            }
        }
        uploads.sort_by(|(a, one), (b, other)| (&one.key, a).cmp(&(&other.key, b)));
        Ok(uploads)
    }

    /// Turns the named parts into the object. May be repeated: the same request gets the same answer.
    pub(crate) fn complete(
        &self,
        key: &ObjectKey,
        id: &str,
        completion: &Completion,
    ) -> Result<ObjectFooter, Error> {
        let (upload, manifest) = match self.upload(key, id) {
            Err(Error::NoSuchUpload) => return self.completed_before(key, id, completion),
            other => other?,
        };
        let mut locked = match upload.lock() {
            Err(Error::NoSuchUpload) => return self.completed_before(key, id, completion),
            other => other?,
        };
        let parts = named_parts(&locked, &completion.parts)?;
        let size = parts.iter().map(|part| part.extent.length).sum::<u64>();
        if completion.size.is_some_and(|expected| expected != size) {
            return Err(Error::InvalidRequest {
                message: format!("the parts have {size} bytes together"),
            });
        }
        let maximum = self.max_size(key);
        if size > maximum {
            return Err(Error::EntityTooLarge { size, maximum });
        }
        self.check(key, &completion.conditions)?;
        let checksums = checksums(&manifest, &parts);
        expect(&completion.checksums, &checksums)?;
        let footer = ObjectFooter {
            key: key.clone(),
            modified: now(),
            etag: etag_of(&completion.parts)?,
            coverage: manifest.coverage.filter(|_| !checksums.is_empty()),
            checksums,
            headers: manifest.headers,
            upload_id: Some(upload.id().clone()),
            parts: u32::try_from(parts.len()).ok(),
            written_as: None,
        };
        let extents = parts.iter().map(|part| part.extent).collect();
        let published = self
            .sealed(&upload, &mut locked, extents, footer)
            .and_then(|sealed| self.publish(sealed, &completion.conditions));
        let footer = match published {
            Ok(footer) => footer,
            // Without its data the upload is complete, even if that could not be made durable.
            Err(error) if upload.data_path().exists() => {
                locked.reopen();
                return Err(error);
            }
            Err(error) => {
                locked.close();
                self.open_uploads.forget(upload.id());
                return Err(error);
            }
        };
        if let Err(error) = self.remove_upload(upload.id()) {
            // The object is published; the left-over directory is recognised at the next open.
            tracing::warn!(%error, "the rest of a completed upload stays until the store is opened again");
        }
        locked.close();
        self.open_uploads.forget(upload.id());
        Ok(footer)
    }

    /// Forgets the upload and its parts.
    pub(crate) fn abort(&self, key: &ObjectKey, id: &str) -> Result<(), Error> {
        let (upload, _) = self.upload(key, id)?;
        upload.end(|| self.remove_upload(upload.id()))?;
        self.open_uploads.forget(upload.id());
        Ok(sync_directory(&self.layout.uploads())?)
    }

    /// Removes what completed uploads left when a crash came between publishing and tidying, and adopts the open uploads
    /// of an older store.
    pub(crate) fn recover_uploads(&self) -> Result<(), Error> {
        for (id, manifest) in self.uploads()? {
            let object = unless_damaged("an object", self.find(&manifest.key)).flatten();
            let published =
                object.is_some_and(|object| object.footer.upload_id.as_ref() == Some(&id));
            let directory = self.layout.upload(&id);
            let moved = manifest.format == FORMAT && !directory.join(DATA).exists();
            if published || moved {
                self.remove_upload(&id)?;
            } else if manifest.format == 1 {
                let adopted = crate::adopt::adopt(&directory).and_then(|()| {
                    let manifest = Manifest {
                        format: FORMAT,
                        ..manifest
                    };
                    let temp = self.layout.fresh_tmp();
                    write_manifest(temp.path(), &manifest)?;
                    temp.rename(&directory.join(MANIFEST))?;
                    sync_directory(&directory)?;
                    Ok(crate::adopt::tidy(&directory)?)
                });
                unless_damaged("an upload of an older store", adopted);
            }
        }
        Ok(())
    }

    /// The object, ready to be published: the upload's own file, or a copy.
    fn sealed(
        &self,
        upload: &OpenUpload,
        locked: &mut LockedParts<'_>,
        extents: Extents,
        mut footer: ObjectFooter,
    ) -> Result<SealedRecord<ObjectFooter>, Error> {
        let end = locked.end_of_data();
        if end - extents.size() <= end / WASTE {
            return seal(upload.data_path(), end, &extents, footer);
        }
        let mut writer = self.writer()?;
        let data = Data::new(File::open(upload.data_path())?, extents);
        data.for_each(|bytes| Ok(writer.write(bytes)?))?;
        footer.written_as = writer.name();
        writer.finish(footer)
    }

    fn completed_before(
        &self,
        key: &ObjectKey,
        id: &str,
        completion: &Completion,
    ) -> Result<ObjectFooter, Error> {
        let id = UploadId::parse(id).ok_or(Error::NoSuchUpload)?;
        let footer = self.find(key)?.ok_or(Error::NoSuchUpload)?.footer;
        let same = footer.upload_id == Some(id)
            && etag_of(&completion.parts).is_ok_and(|etag| etag == footer.etag);
        if !same {
            return Err(Error::NoSuchUpload);
        }
        // The first answer may have been a failure, of exactly this.
        sync_directory(parent(&self.layout.object(key)))?;
        Ok(footer)
    }

    fn manifest(&self, id: &UploadId) -> Result<Option<Manifest>, Error> {
        let path = self.layout.upload(id).join(MANIFEST);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let damaged = |what: String| Error::Damaged {
            what: format!("{}: {what}", path.display()),
        };
        let manifest: Manifest =
            serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
        match manifest.format {
            1..=FORMAT => Ok(Some(manifest)),
            newer => Err(damaged(format!("format {newer} is of a newer store"))),
        }
    }

    fn upload_ids(&self) -> Result<Vec<UploadId>, Error> {
        let mut ids = Vec::new();
        for entry in fs::read_dir(self.layout.uploads())? {
            ids.extend(entry?.file_name().to_str().and_then(UploadId::parse));
        }
        Ok(ids)
    }

    /// Moves the directory away at once, then deletes it at leisure. The caller syncs where it matters.
    fn remove_upload(&self, id: &UploadId) -> Result<(), Error> {
        let temp = self.layout.fresh_tmp();
        fs::rename(self.layout.upload(id), temp.path()).map_err(gone)
    }
}

fn write_manifest(path: &Path, manifest: &Manifest) -> Result<(), Error> {
    let mut file = File::create_new(path)?;
    file.write_all(&serde_json::to_vec(manifest).map_err(io::Error::from)?)?;
    Ok(file.sync_data()?)
}

/// The parts that the client names, each checked against what is on disk.
fn named_parts(parts: &LockedParts<'_>, named: &[NamedPart]) -> Result<Vec<Part>, Error> {
    if named.is_empty() {
        return Err(Error::InvalidRequest {
            message: "a multipart object has at least one part".into(),
        });
    }
    if !named.is_sorted_by(|one, next| one.number < next.number) {
        return Err(Error::InvalidPartOrder);
    }
    let mut found = Vec::with_capacity(named.len());
    for name in named {
        let invalid = || Error::InvalidPart {
            number: name.number,
        };
        let number = PartNumber::new(name.number).ok_or_else(invalid)?;
        let part = parts.get(number).ok_or_else(invalid)?;
        let differs = |(algorithm, value)| {
            let stored = part.checksums.get(algorithm);
            stored.is_some_and(|stored| stored != value)
        };
        if part.etag != name.etag || name.checksums.iter().any(differs) {
            return Err(invalid());
        }
        found.push(part.clone());
    }
    let small = found[..found.len() - 1]
        .iter()
        .find(|part| part.extent.length < PART_MIN_SIZE);
    match small {
        Some(part) => Err(Error::EntityTooSmall {
            number: part.number.get(),
            size: part.extent.length,
            minimum: PART_MIN_SIZE,
        }),
        None => Ok(found),
    }
}

/// The object's checksum in the upload's algorithm, made from those of its parts.
fn checksums(manifest: &Manifest, parts: &[Part]) -> Checksums {
    let mut checksums = Checksums::default();
    let Some(algorithm) = manifest.algorithm else {
        return checksums;
    };
    let value = if manifest.coverage == Some(Coverage::FullObject) {
        let values = parts.iter().map(|part| {
            let value = part.checksums.get(algorithm);
            (value, part.extent.length)
        });
        concatenated(algorithm, values)
    } else {
        let values: Option<Vec<_>> = parts
            .iter()
            .map(|part| part.checksums.get(algorithm))
            .collect();
        values.and_then(|values| composite(algorithm, values.into_iter()))
    };
    if let Some(value) = value {
        checksums.set(algorithm, value);
    }
    checksums
}

fn etag_of(parts: &[NamedPart]) -> Result<String, Error> {
    multipart_etag(parts.iter().map(|part| part.etag.as_str()))
        .ok_or(Error::InvalidPart { number: 1 })
}

/// Compares what the client expects of the whole with what was computed; a composite value may come without its
/// number of parts.
fn expect(expected: &Checksums, computed: &Checksums) -> Result<(), Error> {
    for (algorithm, value) in expected.iter() {
        let stored = computed.get(algorithm);
        let digest = stored.and_then(|stored| stored.split('-').next());
        if stored != Some(value) && digest != Some(value) {
            return Err(Error::BadDigest {
                algorithm: algorithm.header(),
            });
        }
    }
    Ok(())
}
