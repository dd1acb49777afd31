//! Multipart uploads.

use http::StatusCode;
use s3s::dto::{
    AbortMultipartUploadInput, AbortMultipartUploadOutput, CompleteMultipartUploadInput,
    CompleteMultipartUploadOutput, CreateMultipartUploadInput, CreateMultipartUploadOutput, ETag,
    ListMultipartUploadsInput, ListMultipartUploadsOutput, ListPartsInput, ListPartsOutput,
    MultipartUpload, Part as PartDto, UploadPartInput, UploadPartOutput,
};
use s3s::{S3Request, S3Response, S3Result};

use super::{Endpoint, ok, page_limit, size, strong};
use crate::body::receive;
use crate::conditions::{WriteConditions, now, timestamp};
use crate::convert::{
    announced, checksum_type, checksums, coverage, stored_headers, unless_default, url_encoded,
    with_checksums,
};
use crate::digest::{Algorithm, Tagged};
use crate::error::Error;
use crate::key::{ObjectKey, PartNumber};
use crate::multipart::{Completion, Manifest, NamedPart};
use crate::{blocking, convert};

impl Endpoint {
    pub(super) async fn create_upload(
        &self,
        req: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        let input = req.input;
        let bucket = self.bucket(&input.bucket)?;
        let key = ObjectKey::new(&input.key)?;
        let algorithm = input
            .checksum_algorithm
            .as_ref()
            .map(|name| Algorithm::parse(name.as_str()))
            .transpose()?;
        let coverage = coverage(algorithm, input.checksum_type.as_ref())?;
        let headers = stored_headers!(input);
        let manifest = Manifest::new(key, headers, algorithm, coverage);
        let id = blocking(move || bucket.create_upload(&manifest)).await?;
        ok(CreateMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(id.as_str().to_owned()),
            checksum_algorithm: input.checksum_algorithm,
            checksum_type: coverage.map(checksum_type),
            ..CreateMultipartUploadOutput::default()
        })
    }

    pub(super) async fn put_part(
        &self,
        req: S3Request<UploadPartInput>,
    ) -> S3Result<S3Response<UploadPartOutput>> {
        let S3Request {
            mut input,
            trailing_headers,
            ..
        } = req;
        let bucket = self.bucket(&input.bucket)?;
        let key = ObjectKey::new(&input.key)?;
        let number = part_number(input.part_number)?;
        let body = input.body.take();
        let mut announced = announced!(input)?;
        let max_size = bucket.max_size(&key);
        // What is over is not too large, whatever is sent to it.
        let (upload, manifest) = blocking(move || bucket.upload(&key, &input.upload_id)).await?;
        announced.length = announced.length.at_most(max_size)?;
        announced.wanted = manifest.algorithm;
        let length = announced.length.most();
        let open = Box::new(move || upload.place(number, length, max_size));
        let incoming = receive(open, body, announced, Tagged::Part, trailing_headers).await?;
        let part = blocking(move || {
            let (place, summary) = incoming.finish()?;
            place.finish(now(), summary.etag, summary.checksums)
        })
        .await?;
        ok(with_checksums!(
            UploadPartOutput {
                e_tag: strong(part.etag),
                ..UploadPartOutput::default()
            },
            part.checksums
        ))
    }

    pub(super) async fn parts(
        &self,
        req: S3Request<ListPartsInput>,
    ) -> S3Result<S3Response<ListPartsOutput>> {
        let input = req.input;
        let bucket = self.bucket(&input.bucket)?;
        let key = ObjectKey::new(&input.key)?;
        let after = input.part_number_marker.unwrap_or(0);
        let (limit, entries) = page_limit(input.max_parts)?;
        let upload_id = input.upload_id.clone();
        let (manifest, (parts, more)) = blocking(move || {
            let (upload, manifest) = bucket.upload(&key, &upload_id)?;
            let page = upload.lock()?.page(after, entries);
            Ok((manifest, page))
        })
        .await?;
        let last = parts.last().map(|part| part.number.get());
        let parts = parts.into_iter().map(|part| {
            with_checksums!(
                PartDto {
                    part_number: Some(part.number.get()),
                    size: size(part.extent.length),
                    last_modified: Some(timestamp(part.modified)),
                    e_tag: strong(part.etag),
                    ..PartDto::default()
                },
                part.checksums
            )
        });
        ok(ListPartsOutput {
            parts: Some(parts.collect()),
            is_truncated: Some(more),
            next_part_number_marker: if more { last } else { None },
            part_number_marker: Some(after),
            max_parts: Some(limit),
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(input.upload_id),
            checksum_algorithm: manifest.algorithm.map(convert::algorithm_dto),
            checksum_type: manifest.coverage.map(checksum_type),
            ..ListPartsOutput::default()
        })
    }

    pub(super) async fn uploads(
        &self,
        req: S3Request<ListMultipartUploadsInput>,
    ) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
        let input = req.input;
        let bucket = self.bucket(&input.bucket)?;
        unless_default(
            input
                .delimiter
                .as_deref()
                .filter(|delimiter| !delimiter.is_empty()),
            "grouping uploads by a delimiter",
        )?;
        let encode = url_encoded(input.encoding_type.as_ref());
        let (limit, entries) = page_limit(input.max_uploads)?;
        let prefix = input.prefix.clone().unwrap_or_default();
        // With an upload id the page starts inside the key's uploads, without one behind them all.
        let marker = input.key_marker.clone().unwrap_or_default();
        let id_marker = input.upload_id_marker.clone().unwrap_or_default();
        let after = move |key: &str, id: &str| {
            key > marker.as_str() || (key == marker && !id_marker.is_empty() && *id > *id_marker)
        };
        let mut uploads = blocking(move || bucket.uploads()).await?;
        uploads.retain(|(id, manifest)| {
            let key = manifest.key.as_str();
            key.starts_with(&prefix) && after(key, id.as_str())
        });
        let more = uploads.len() > entries;
        uploads.truncate(entries);
        let last = uploads.last().filter(|_| more);
        ok(ListMultipartUploadsOutput {
            next_key_marker: last.map(|(_, manifest)| encode(manifest.key.to_string())),
            next_upload_id_marker: last.map(|(id, _)| id.as_str().to_owned()),
            is_truncated: Some(more),
            max_uploads: Some(limit),
            bucket: Some(input.bucket),
            prefix: input.prefix.map(&encode),
            key_marker: input.key_marker.map(&encode),
            upload_id_marker: input.upload_id_marker,
            encoding_type: input.encoding_type,
            uploads: Some(
                uploads
                    .into_iter()
                    .map(|(id, manifest)| MultipartUpload {
                        key: Some(encode(manifest.key.to_string())),
                        upload_id: Some(id.as_str().to_owned()),
                        initiated: Some(timestamp(manifest.initiated)),
                        checksum_algorithm: manifest.algorithm.map(convert::algorithm_dto),
                        checksum_type: manifest.coverage.map(checksum_type),
                        ..MultipartUpload::default()
                    })
                    .collect(),
            ),
            ..ListMultipartUploadsOutput::default()
        })
    }

    pub(super) async fn complete(
        &self,
        req: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let input = req.input;
        let bucket = self.bucket(&input.bucket)?;
        let key = ObjectKey::new(&input.key)?;
        let named = input.multipart_upload.and_then(|upload| upload.parts);
        let parts = named.unwrap_or_default().into_iter().map(|part| NamedPart {
            number: part.part_number.unwrap_or_default(),
            checksums: checksums!(part),
            etag: part.e_tag.map(ETag::into_value).unwrap_or_default(),
        });
        let completion = Completion {
            parts: parts.collect(),
            checksums: checksums!(input),
            size: input
                .mpu_object_size
                .and_then(|size| u64::try_from(size).ok()),
            conditions: WriteConditions {
                if_match: input.if_match,
                if_none_match: input.if_none_match,
            },
        };
        let footer = blocking(move || bucket.complete(&key, &input.upload_id, &completion)).await?;
        ok(with_checksums!(
            CompleteMultipartUploadOutput {
                location: Some(format!("/{}/{}", input.bucket, input.key)),
                bucket: Some(input.bucket),
                key: Some(input.key),
                e_tag: strong(footer.etag),
                checksum_type: footer.coverage.map(checksum_type),
                ..CompleteMultipartUploadOutput::default()
            },
            footer.checksums
        ))
    }

    pub(super) async fn abort(
        &self,
        req: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        let bucket = self.bucket(&req.input.bucket)?;
        let key = ObjectKey::new(&req.input.key)?;
        blocking(move || bucket.abort(&key, &req.input.upload_id)).await?;
        Ok(S3Response::with_status(
            AbortMultipartUploadOutput::default(),
            StatusCode::NO_CONTENT,
        ))
    }
}

fn part_number(number: i32) -> Result<PartNumber, Error> {
    PartNumber::new(number).ok_or_else(|| Error::InvalidArgument {
        message: format!("a part number is an integer from 1 to {}", PartNumber::MAX),
    })
}
