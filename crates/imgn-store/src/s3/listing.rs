//! Listings of objects, new and old.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use s3s::dto::{
    CommonPrefix, ListObjectsInput, ListObjectsOutput, ListObjectsV2Input, ListObjectsV2Output,
    Object, ObjectStorageClass,
};
use s3s::{S3Request, S3Response, S3Result};

use super::{Endpoint, ok, page_limit, size, strong};
use crate::blocking;
use crate::conditions::timestamp;
use crate::convert::url_encoded;
use crate::error::Error;
use crate::index::{Query, after_group, after_key};
use crate::object::{Listed, Listing};

impl Endpoint {
    pub(super) async fn list_v2(
        &self,
        req: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let input = req.input;
        let from = match (&input.continuation_token, &input.start_after) {
            (Some(token), _) => {
                BASE64_URL_SAFE_NO_PAD
                    .decode(token)
                    .map_err(|_| Error::InvalidArgument {
                        message: "the continuation token is not one of this store".into(),
                    })?
            }
            (None, Some(start)) => after_key(start),
            (None, None) => Vec::new(),
        };
        let encode = url_encoded(input.encoding_type.as_ref());
        let (limit, entries) = page_limit(input.max_keys)?;
        let listing = self
            .list(
                &input.bucket,
                &input.prefix,
                &input.delimiter,
                from,
                entries,
            )
            .await?;
        let (contents, groups) = rows(listing.rows, &encode);
        ok(ListObjectsV2Output {
            name: Some(input.bucket),
            key_count: i32::try_from(contents.len() + groups.len()).ok(),
            contents: Some(contents),
            common_prefixes: Some(groups),
            is_truncated: Some(listing.next.is_some()),
            next_continuation_token: listing.next.map(|next| BASE64_URL_SAFE_NO_PAD.encode(next)),
            continuation_token: input.continuation_token,
            max_keys: Some(limit),
            prefix: input.prefix.map(&encode),
            delimiter: input.delimiter.map(&encode),
            start_after: input.start_after.map(&encode),
            encoding_type: input.encoding_type,
            ..ListObjectsV2Output::default()
        })
    }

    pub(super) async fn list_v1(
        &self,
        req: S3Request<ListObjectsInput>,
    ) -> S3Result<S3Response<ListObjectsOutput>> {
        let input = req.input;
        let from = match (&input.marker, &input.delimiter) {
            (Some(marker), Some(delimiter))
                if !delimiter.is_empty() && marker.ends_with(delimiter) =>
            {
                after_group(marker)
            }
            (Some(marker), _) => after_key(marker),
            (None, _) => Vec::new(),
        };
        let encode = url_encoded(input.encoding_type.as_ref());
        let (limit, entries) = page_limit(input.max_keys)?;
        let listing = self
            .list(
                &input.bucket,
                &input.prefix,
                &input.delimiter,
                from,
                entries,
            )
            .await?;
        let (contents, groups) = rows(listing.rows, &encode);
        ok(ListObjectsOutput {
            name: Some(input.bucket),
            contents: Some(contents),
            common_prefixes: Some(groups),
            is_truncated: Some(listing.next.is_some()),
            next_marker: listing.next.and(listing.last).map(&encode),
            marker: input.marker.map(&encode),
            max_keys: Some(limit),
            prefix: input.prefix.map(&encode),
            delimiter: input.delimiter.map(&encode),
            encoding_type: input.encoding_type,
            ..ListObjectsOutput::default()
        })
    }
}

impl Endpoint {
    async fn list(
        &self,
        bucket: &str,
        prefix: &Option<String>,
        delimiter: &Option<String>,
        from: Vec<u8>,
        limit: usize,
    ) -> Result<Listing, Error> {
        let bucket = self.bucket(bucket)?;
        let query = Query {
            prefix: prefix.clone().unwrap_or_default(),
            delimiter: delimiter.clone(),
            from,
            limit,
        };
        blocking(move || Ok(bucket.list(&query))).await
    }
}

fn rows(
    listed: Vec<Listed>,
    encode: &impl Fn(String) -> String,
) -> (Vec<Object>, Vec<CommonPrefix>) {
    let (mut objects, mut groups) = (Vec::new(), Vec::new());
    for row in listed {
        match row {
            Listed::Group(group) => groups.push(CommonPrefix {
                prefix: Some(encode(group)),
            }),
            Listed::Object {
                size: bytes,
                footer,
            } => objects.push(Object {
                key: Some(encode(footer.key.to_string())),
                size: size(bytes),
                e_tag: strong(footer.etag),
                last_modified: Some(timestamp(footer.modified)),
                storage_class: Some(ObjectStorageClass::from_static(
                    ObjectStorageClass::STANDARD,
                )),
                ..Object::default()
            }),
        }
    }
    (objects, groups)
}
