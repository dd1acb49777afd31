//! Objects: put, get, head, copy, delete.

use std::sync::Arc;

use http::StatusCode;
use s3s::dto::{
    CopyObjectInput, CopyObjectOutput, CopyObjectResult, CopySource, DeleteObjectInput,
    DeleteObjectOutput, DeleteObjectsInput, DeleteObjectsOutput, DeletedObject, GetObjectInput,
    GetObjectOutput, HeadObjectInput, HeadObjectOutput, MetadataDirective, PutObjectInput,
    PutObjectOutput, StreamingBlob,
};
use s3s::{S3Request, S3Response, S3Result, TrailingHeaders};

use super::{Endpoint, PAGE_MAX, ok, size, strong};
use crate::body::{receive, send};
use crate::conditions::{ReadConditions, WriteConditions, now, timestamp};
use crate::convert::{announced, checksum_type, stored_headers, unless_default, with_checksums};
use crate::digest::{Announced, Coverage, Tagged};
use crate::error::Error;
use crate::key::ObjectKey;
use crate::object::{Bucket, ObjectFooter, StoredHeaders};
use crate::{blocking, convert};

/// What S3 calls the type of an object that was stored without one.
const UNKNOWN_TYPE: &str = "binary/octet-stream";

/// An object that is about to be stored, by a PUT or by a form.
pub(crate) struct NewObject {
    pub(crate) key: ObjectKey,
    pub(crate) announced: Announced,
    pub(crate) headers: StoredHeaders,
    pub(crate) conditions: WriteConditions,
}

impl NewObject {
    /// Receives its bytes and makes it the key's object.
    pub(crate) async fn store(
        self,
        bucket: Arc<Bucket>,
        body: Option<StreamingBlob>,
        trailers: Option<TrailingHeaders>,
    ) -> Result<ObjectFooter, Error> {
        let Self {
            key,
            mut announced,
            headers,
            conditions,
        } = self;
        announced.length = announced.length.at_most(bucket.max_size(&key))?;
        if conditions.any() {
            // What will be refused is not received first. It is checked again at the moment when it counts.
            let (bucket, key, conditions) = (bucket.clone(), key.clone(), conditions.clone());
            blocking(move || bucket.check(&key, &conditions)).await?;
        }
        let place = Arc::clone(&bucket);
        let open = Box::new(move || place.writer());
        let incoming = receive(open, body, announced, Tagged::Object, trailers).await?;
        blocking(move || {
            let (writer, summary) = incoming.finish()?;
            let written_as = writer.name();
            let sealed = writer.finish(ObjectFooter {
                key,
                modified: now(),
                etag: summary.etag,
                coverage: (!summary.checksums.is_empty()).then_some(Coverage::FullObject),
                checksums: summary.checksums,
                headers,
                upload_id: None,
                parts: None,
                written_as,
            })?;
            bucket.publish(sealed, &conditions)
        })
        .await
    }
}

impl Endpoint {
    pub(super) async fn put(
        &self,
        req: S3Request<PutObjectInput>,
    ) -> S3Result<S3Response<PutObjectOutput>> {
        let S3Request {
            mut input,
            trailing_headers,
            ..
        } = req;
        let bucket = self.bucket(&input.bucket)?;
        let key = ObjectKey::new(&input.key)?;
        let body = input.body.take();
        let announced = announced!(input)?;
        let headers = stored_headers!(input);
        let conditions = WriteConditions {
            if_match: input.if_match,
            if_none_match: input.if_none_match,
        };
        let object = NewObject {
            key,
            announced,
            headers,
            conditions,
        };
        let footer = object.store(bucket, body, trailing_headers).await?;
        ok(with_checksums!(
            PutObjectOutput {
                checksum_type: footer.coverage.map(checksum_type),
                e_tag: strong(footer.etag),
                ..PutObjectOutput::default()
            },
            footer.checksums
        ))
    }

    pub(super) async fn get(
        &self,
        req: S3Request<GetObjectInput>,
    ) -> S3Result<S3Response<GetObjectOutput>> {
        let input = req.input;
        let bucket = self.bucket(&input.bucket)?;
        let key = ObjectKey::new(&input.key)?;
        unless_default(input.part_number, "GET of a part")?;
        let conditions = ReadConditions {
            if_match: input.if_match,
            if_none_match: input.if_none_match,
            if_modified_since: input.if_modified_since,
            if_unmodified_since: input.if_unmodified_since,
        };
        let record = blocking(move || {
            let record = bucket.open(&key)?;
            conditions.check(&record.footer)?;
            Ok(record)
        })
        .await?;
        let length = record.size();
        let whole = 0..length;
        let range = match input.range {
            Some(range) => range
                .check(length)
                .map_err(|_| Error::InvalidRange { size: length })?,
            None => whole.clone(),
        };
        let content_range = input.range.map(|_| {
            let last = range.end.saturating_sub(1);
            format!("bytes {}-{last}/{length}", range.start)
        });
        // A checksum of the whole says nothing of a range.
        let shown = input.checksum_mode.is_some() && range == whole;
        let footer = record.footer.clone();
        let checksums = if shown {
            footer.checksums
        } else {
            Default::default()
        };
        ok(with_checksums!(
            GetObjectOutput {
                accept_ranges: Some("bytes".into()),
                content_length: size(range.end - range.start),
                content_range,
                body: Some(send(record.data, range).await?),
                content_type: Some(
                    footer
                        .headers
                        .content_type
                        .unwrap_or_else(|| UNKNOWN_TYPE.into()),
                ),
                content_disposition: footer.headers.content_disposition,
                content_encoding: footer.headers.content_encoding,
                content_language: footer.headers.content_language,
                cache_control: footer.headers.cache_control,
                metadata: convert::metadata(footer.headers.metadata),
                e_tag: strong(footer.etag),
                last_modified: Some(timestamp(footer.modified)),
                checksum_type: footer.coverage.filter(|_| shown).map(checksum_type),
                ..GetObjectOutput::default()
            },
            checksums
        ))
    }

    pub(super) async fn head(
        &self,
        req: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        let input = req.input;
        let bucket = self.bucket(&input.bucket)?;
        let key = ObjectKey::new(&input.key)?;
        unless_default(input.part_number, "HEAD of a part")?;
        let conditions = ReadConditions {
            if_match: input.if_match,
            if_none_match: input.if_none_match,
            if_modified_since: input.if_modified_since,
            if_unmodified_since: input.if_unmodified_since,
        };
        let (length, footer) = blocking(move || {
            let record = bucket.open(&key)?;
            conditions.check(&record.footer)?;
            Ok((record.size(), record.footer))
        })
        .await?;
        let shown = input.checksum_mode.is_some();
        let checksums = if shown {
            footer.checksums
        } else {
            Default::default()
        };
        let headers = footer.headers;
        ok(with_checksums!(
            HeadObjectOutput {
                accept_ranges: Some("bytes".into()),
                content_length: size(length),
                content_type: input
                    .response_content_type
                    .or(headers.content_type)
                    .or_else(|| Some(UNKNOWN_TYPE.into())),
                content_disposition: input
                    .response_content_disposition
                    .or(headers.content_disposition),
                content_encoding: input.response_content_encoding.or(headers.content_encoding),
                content_language: input.response_content_language.or(headers.content_language),
                cache_control: input.response_cache_control.or(headers.cache_control),
                metadata: convert::metadata(headers.metadata),
                e_tag: strong(footer.etag),
                last_modified: Some(timestamp(footer.modified)),
                checksum_type: footer.coverage.filter(|_| shown).map(checksum_type),
                ..HeadObjectOutput::default()
            },
            checksums
        ))
    }

    pub(super) async fn copy(
        &self,
        req: S3Request<CopyObjectInput>,
    ) -> S3Result<S3Response<CopyObjectOutput>> {
        let input = req.input;
        let bucket = self.bucket(&input.bucket)?;
        let key = ObjectKey::new(&input.key)?;
        let CopySource::Bucket {
            bucket: source_bucket,
            key: source,
            version_id: None,
        } = &input.copy_source
        else {
            return Err(Error::NotImplemented {
                what: "this source of a copy",
            }
            .into());
        };
        self.bucket(source_bucket)?;
        let source = ObjectKey::new(source)?;
        let replace = input
            .metadata_directive
            .as_ref()
            .is_some_and(|directive| directive.as_str() == MetadataDirective::REPLACE);
        if source == key && !replace {
            return Err(Error::InvalidRequest {
                message: "a copy of an object to itself must change its metadata".into(),
            }
            .into());
        }
        let headers = replace.then(|| stored_headers!(input));
        let conditions = ReadConditions {
            if_match: input.copy_source_if_match,
            if_none_match: input.copy_source_if_none_match,
            if_modified_since: input.copy_source_if_modified_since,
            if_unmodified_since: input.copy_source_if_unmodified_since,
        };
        let footer = blocking(move || {
            let record = bucket.open(&source)?;
            // For a copy S3 answers 412 where a GET answers 304.
            conditions
                .check(&record.footer)
                .map_err(|error| match error {
                    Error::NotModified { .. } => Error::PreconditionFailed {
                        condition: "x-amz-copy-source-if-*",
                    },
                    other => other,
                })?;
            bucket.copy(record, key, headers, &WriteConditions::default())
        })
        .await?;
        ok(CopyObjectOutput {
            copy_object_result: Some(with_checksums!(
                CopyObjectResult {
                    e_tag: strong(footer.etag),
                    last_modified: Some(timestamp(footer.modified)),
                    checksum_type: footer.coverage.map(checksum_type),
                    ..CopyObjectResult::default()
                },
                footer.checksums
            )),
            ..CopyObjectOutput::default()
        })
    }

    pub(super) async fn delete(
        &self,
        req: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        let bucket = self.bucket(&req.input.bucket)?;
        let key = ObjectKey::new(&req.input.key)?;
        let conditions = WriteConditions {
            if_match: req.input.if_match,
            if_none_match: None,
        };
        blocking(move || bucket.delete(&key, &conditions)).await?;
        Ok(S3Response::with_status(
            DeleteObjectOutput::default(),
            StatusCode::NO_CONTENT,
        ))
    }

    pub(super) async fn delete_batch(
        &self,
        req: S3Request<DeleteObjectsInput>,
    ) -> S3Result<S3Response<DeleteObjectsOutput>> {
        let bucket = self.bucket(&req.input.bucket)?;
        let delete = req.input.delete;
        if delete.objects.len() > PAGE_MAX.unsigned_abs() as usize {
            return Err(Error::InvalidRequest {
                message: format!("at most {PAGE_MAX} objects can be deleted at once"),
            }
            .into());
        }
        let outcome = blocking(move || {
            let (mut deleted, mut errors) = (Vec::new(), Vec::new());
            for object in delete.objects {
                let removed = ObjectKey::new(&object.key)
                    .and_then(|key| bucket.delete(&key, &WriteConditions::default()));
                match removed {
                    Ok(()) => deleted.push(DeletedObject {
                        key: Some(object.key),
                        ..DeletedObject::default()
                    }),
                    Err(error) => errors.push(convert::batch_error(object.key, error)),
                }
            }
            Ok((deleted, errors))
        });
        let (deleted, errors) = outcome.await?;
        ok(DeleteObjectsOutput {
            deleted: (!delete.quiet.unwrap_or(false)).then_some(deleted),
            errors: (!errors.is_empty()).then_some(errors),
            ..DeleteObjectsOutput::default()
        })
    }
}
