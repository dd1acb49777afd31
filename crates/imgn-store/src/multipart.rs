//! Multipart uploads: create, parts, list, complete, abort. Everything here blocks; see [`crate::blocking`].
//!
//! An upload is a directory that appears and disappears as a whole, by a rename from and to `tmp/`. Its id is worth
//! nothing with another key. Completing writes the object as one new file and publishes it as any put does: that
//! rename is the moment at which the upload is complete. A crash before it leaves the upload open as it was; a
//! crash after it leaves a directory that [`recover`] recognises by the upload id in the object's footer.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::body::Incoming;
use crate::conditions::{WriteConditions, now};
use crate::digest::{Algorithm, Checksums, Coverage, Digester, composite, multipart_etag};
use crate::error::{Error, unless_damaged};
use crate::key::{ObjectKey, PartNumber, UploadId};
use crate::layout::{parent, sync_directory};
use crate::object::{Bucket, ObjectFooter, StoredHeaders, copy_data};
use crate::record::{Record, RecordWriter};

/// S3's minimum for every part but the last, in bytes.
const PART_MIN_SIZE: u64 = 5 * 1024 * 1024;

const MANIFEST: &str = "upload.json";

/// What was said when the upload was created.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Manifest {
    pub(crate) key: ObjectKey,
    /// Seconds since 1970.
    pub(crate) initiated: u64,
    pub(crate) headers: StoredHeaders,
    pub(crate) algorithm: Option<Algorithm>,
    pub(crate) coverage: Option<Coverage>,
}

/// What is known of a part beside its bytes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct PartFooter {
    /// Seconds since 1970.
    pub(crate) modified: u64,
    /// Without quotes.
    pub(crate) etag: String,
    #[serde(default)]
    pub(crate) checksums: Checksums,
}

/// A part on disk.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) number: PartNumber,
    pub(crate) size: u64,
    pub(crate) footer: PartFooter,
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
        let mut file = File::create_new(temp.path().join(MANIFEST))?;
        file.write_all(&serde_json::to_vec(manifest).map_err(io::Error::from)?)?;
        file.sync_data()?;
        sync_directory(temp.path())?;
        temp.rename(&self.layout.upload(&id))?;
        sync_directory(&self.layout.uploads())?;
        Ok(id)
    }

    /// The upload, if the id is one and belongs to the key.
    pub(crate) fn upload(&self, key: &ObjectKey, id: &str) -> Result<(UploadId, Manifest), Error> {
        let id = UploadId::parse(id).ok_or(Error::NoSuchUpload)?;
        let manifest = self.manifest(&id)?.ok_or(Error::NoSuchUpload)?;
        if manifest.key != *key {
            return Err(Error::NoSuchUpload);
        }
        Ok((id, manifest))
    }

    /// Takes a part in; a part sent again replaces the earlier one.
    pub(crate) fn put_part(
        &self,
        id: &UploadId,
        number: PartNumber,
        incoming: Incoming,
    ) -> Result<PartFooter, Error> {
        let sealed = incoming.finish(&self.layout, |summary| {
            Ok(PartFooter {
                modified: now(),
                etag: summary.etag(),
                checksums: summary.checksums,
            })
        })?;
        let path = self.part_path(id, number);
        let _held = self.upload_locks.lock(id.as_str());
        let footer = sealed.rename(&path).map_err(gone)?;
        sync_directory(parent(&path)).map_err(gone)?;
        Ok(footer)
    }

    /// At most `limit` parts numbered above `after`, in order, and whether there are more.
    pub(crate) fn parts(
        &self,
        id: &UploadId,
        after: i32,
        limit: usize,
    ) -> Result<(Vec<Part>, bool), Error> {
        let mut numbers = Vec::new();
        for entry in fs::read_dir(self.layout.upload(id)).map_err(gone)? {
            let name = entry?.file_name();
            numbers.extend(
                name.to_str()
                    .and_then(PartNumber::from_file_name)
                    .filter(|number| number.get() > after),
            );
        }
        numbers.sort_unstable();
        let more = numbers.len() > limit;
        numbers.truncate(limit);
        let mut parts = Vec::with_capacity(numbers.len());
        for number in numbers {
            // A part that cannot be read is not there: it can be sent again.
            let Some(record) = unless_damaged("a part", self.open_part(id, number)) else {
                continue;
            };
            let record = record.ok_or(Error::NoSuchUpload)?;
            parts.push(Part {
                number,
                size: record.size,
                footer: record.footer,
            });
        }
        Ok((parts, more))
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
        let id = UploadId::parse(id).ok_or(Error::NoSuchUpload)?;
        let _held = self.upload_locks.lock(id.as_str());
        let (id, manifest) = match self.upload(key, id.as_str()) {
            Err(Error::NoSuchUpload) => return self.completed_before(key, &id, completion),
            other => other?,
        };
        let parts = self.named_parts(&id, &completion.parts)?;
        let size = parts.iter().map(|part| part.size).sum::<u64>();
        if completion.size.is_some_and(|expected| expected != size) {
            return Err(Error::InvalidRequest {
                message: format!("the parts have {size} bytes together"),
            });
        }
        self.check(key, &completion.conditions)?;

        let whole = manifest
            .algorithm
            .filter(|_| manifest.coverage == Some(Coverage::FullObject));
        let mut writer = RecordWriter::create(&self.layout, Digester::without_md5(whole))?;
        for part in &parts {
            let invalid = Error::InvalidPart {
                number: part.number.get(),
            };
            let mut record = self.open_part(&id, part.number)?.ok_or(invalid)?;
            copy_data(&mut record, &mut writer)?;
        }
        let sealed = writer.finish(|summary| {
            let mut checksums = summary.checksums;
            if let (Some(algorithm), None) = (manifest.algorithm, whole)
                && let Some(value) = composite_of(algorithm, &parts)
            {
                checksums.set(algorithm, value);
            }
            expect(&completion.checksums, &checksums)?;
            Ok(ObjectFooter {
                key: key.clone(),
                modified: now(),
                etag: etag_of(&completion.parts)?,
                coverage: manifest.coverage.filter(|_| !checksums.is_empty()),
                checksums,
                headers: manifest.headers,
                upload_id: Some(id.clone()),
                parts: u32::try_from(parts.len()).ok(),
            })
        })?;
        let footer = self.publish(sealed, &completion.conditions)?;
        if let Err(error) = self.remove_upload(&id) {
            // The object is published; the left-over directory is recognised at the next open.
            tracing::warn!(%error, "a completed upload's parts stay until the store is opened again");
        }
        Ok(footer)
    }

    /// Forgets the upload and its parts.
    pub(crate) fn abort(&self, key: &ObjectKey, id: &str) -> Result<(), Error> {
        let (id, _) = self.upload(key, id)?;
        let _held = self.upload_locks.lock(id.as_str());
        self.remove_upload(&id)
    }

    /// Removes the directories of uploads whose object was published just before a crash.
    pub(crate) fn recover_uploads(&self) -> Result<(), Error> {
        for (id, manifest) in self.uploads()? {
            let object = unless_damaged("an object", self.find(&manifest.key)).flatten();
            if object.is_some_and(|object| object.footer.upload_id.as_ref() == Some(&id)) {
                self.remove_upload(&id)?;
            }
        }
        Ok(())
    }

    fn completed_before(
        &self,
        key: &ObjectKey,
        id: &UploadId,
        completion: &Completion,
    ) -> Result<ObjectFooter, Error> {
        let footer = self.find(key)?.ok_or(Error::NoSuchUpload)?.footer;
        let same = footer.upload_id.as_ref() == Some(id)
            && etag_of(&completion.parts).is_ok_and(|etag| etag == footer.etag);
        if same {
            Ok(footer)
        } else {
            Err(Error::NoSuchUpload)
        }
    }

    /// The parts that the client names, each checked against what is on disk.
    fn named_parts(&self, id: &UploadId, named: &[NamedPart]) -> Result<Vec<Part>, Error> {
        if named.is_empty() {
            return Err(Error::InvalidRequest {
                message: "a multipart object has at least one part".into(),
            });
        }
        if !named.is_sorted_by(|one, next| one.number < next.number) {
            return Err(Error::InvalidPartOrder);
        }
        let mut parts = Vec::with_capacity(named.len());
        for name in named {
            let invalid = || Error::InvalidPart {
                number: name.number,
            };
            let number = PartNumber::new(name.number).ok_or_else(invalid)?;
            let Record { size, footer, .. } = self.open_part(id, number)?.ok_or_else(invalid)?;
            let differs = |(algorithm, value)| {
                footer
                    .checksums
                    .get(algorithm)
                    .is_some_and(|stored| stored != value)
            };
            if footer.etag != name.etag || name.checksums.iter().any(differs) {
                return Err(invalid());
            }
            parts.push(Part {
                number,
                size,
                footer,
            });
        }
        let small = parts[..parts.len() - 1]
            .iter()
            .find(|part| part.size < PART_MIN_SIZE);
        match small {
            Some(part) => Err(Error::EntityTooSmall {
                number: part.number.get(),
                size: part.size,
                minimum: PART_MIN_SIZE,
            }),
            None => Ok(parts),
        }
    }

    fn manifest(&self, id: &UploadId) -> Result<Option<Manifest>, Error> {
        let path = self.layout.upload(id).join(MANIFEST);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|error| Error::Damaged {
                what: format!("{}: {error}", path.display()),
            })
    }

    fn upload_ids(&self) -> Result<Vec<UploadId>, Error> {
        let mut ids = Vec::new();
        for entry in fs::read_dir(self.layout.uploads())? {
            ids.extend(entry?.file_name().to_str().and_then(UploadId::parse));
        }
        Ok(ids)
    }

    /// Moves the directory away at once, then deletes it at leisure.
    fn remove_upload(&self, id: &UploadId) -> Result<(), Error> {
        let temp = self.layout.fresh_tmp();
        fs::rename(self.layout.upload(id), temp.path()).map_err(gone)?;
        Ok(sync_directory(&self.layout.uploads())?)
    }

    fn part_path(&self, id: &UploadId, number: PartNumber) -> PathBuf {
        self.layout.upload(id).join(number.file_name())
    }

    fn open_part(
        &self,
        id: &UploadId,
        number: PartNumber,
    ) -> Result<Option<Record<PartFooter>>, Error> {
        Record::open(&self.part_path(id, number))
    }
}

fn etag_of(parts: &[NamedPart]) -> Result<String, Error> {
    multipart_etag(parts.iter().map(|part| part.etag.as_str()))
        .ok_or(Error::InvalidPart { number: 1 })
}

/// `None` when a part has no such checksum: then the object has none either.
fn composite_of(algorithm: Algorithm, parts: &[Part]) -> Option<String> {
    let values: Option<Vec<_>> = parts
        .iter()
        .map(|part| part.footer.checksums.get(algorithm))
        .collect();
    composite(algorithm, values?.into_iter())
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

/// The upload's directory was moved away by a complete or an abort.
fn gone(error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::NotFound => Error::NoSuchUpload,
        _ => error.into(),
    }
}
