//! Requests for clients that announce nothing: they know neither the size nor a checksum of what they will send, or their
//! protocol has no place for it.
//!
//! Invariant: what is signed here can store any bytes, also others later; so it is signed for a key that is not read
//! from but to copy it, or for parts, which nobody can change once they are put together.

use std::collections::BTreeMap;

use aws_sdk_s3::{error::ProvideErrorMetadata as _, types::MetadataDirective};
use aws_sigv4::sign::v4::{calculate_signature, generate_signing_key};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use imgn_protocol::{PresignedUrl, Timestamp};

use super::{Storage, StorageError, fault, is_missing, signing::Unsigned};

/// A form that a browser posts with the file as its last field.
pub(crate) struct SignedForm {
    /// The bucket.
    pub(crate) url: String,
    /// Signed, so as secret as a presigned URL; the type does not print.
    pub(crate) fields: BTreeMap<&'static str, String>,
}

impl Storage {
    /// Signs a PUT of anything to this key.
    pub(crate) async fn sign_any_put(&self, key: &str) -> Result<PresignedUrl, StorageError> {
        // In the query: who sends it knows of no header.
        let acl = self.acl.iter();
        let query = acl.map(|acl| ("x-amz-acl", acl.as_str().into()));
        let signed = self.presigned(Unsigned {
            method: "PUT",
            key,
            operation: "PutObject",
            query: query.collect(),
            headers: vec![],
        });
        Ok(signed.await?.url)
    }

    /// Signs a POST of a form with a file of at most so many bytes to this key.
    pub(crate) async fn sign_form(
        &self,
        key: &str,
        content_type: &str,
        most: u64,
    ) -> Result<SignedForm, StorageError> {
        let moment = self.moment().await?;
        let (credentials, expires_at) = (&moment.credentials, moment.expires_at());
        let now = Timestamp::now();
        let day = now.strftime("%Y%m%d").to_string();
        let region = &self.region;
        let mut fields = BTreeMap::from([
            ("key", key.to_owned()),
            ("content-type", content_type.to_owned()),
            ("success_action_status", "201".to_owned()),
            ("x-amz-algorithm", "AWS4-HMAC-SHA256".to_owned()),
            (
                "x-amz-credential",
                format!(
                    "{}/{day}/{region}/s3/aws4_request",
                    credentials.access_key_id()
                ),
            ),
            ("x-amz-date", now.strftime("%Y%m%dT%H%M%SZ").to_string()),
        ]);
        if let Some(acl) = &self.acl {
            fields.insert("acl", acl.as_str().to_owned());
        }
        if let Some(token) = credentials.session_token() {
            fields.insert("x-amz-security-token", token.to_owned());
        }
        let mut conditions: Vec<_> = fields
            .iter()
            .map(|(name, value)| serde_json::json!({ *name: value }))
            .collect();
        conditions.push(serde_json::json!({ "bucket": self.bucket }));
        conditions.push(serde_json::json!(["content-length-range", 1, most]));
        let policy = serde_json::json!({
            "expiration": expires_at.strftime("%Y-%m-%dT%H:%M:%S.000Z").to_string(),
            "conditions": conditions,
        });
        let policy = BASE64_STANDARD.encode(policy.to_string());
        let secret = credentials.secret_access_key();
        let signing_key = generate_signing_key(secret, now.into(), region, "s3");
        let signature = calculate_signature(signing_key, policy.as_bytes());
        fields.insert("policy", policy);
        fields.insert("x-amz-signature", signature);
        Ok(SignedForm {
            url: self.bucket_url().await?.as_str().to_owned(),
            fields,
        })
    }

    /// Signs a PUT of anything as this part.
    pub(crate) async fn sign_any_part(
        &self,
        key: &str,
        id: &str,
        number: u32,
    ) -> Result<PresignedUrl, StorageError> {
        let signed = self.presigned(Unsigned {
            method: "PUT",
            key,
            operation: "UploadPart",
            query: vec![
                ("partNumber", number.to_string().into()),
                ("uploadId", id.into()),
            ],
            headers: vec![],
        });
        Ok(signed.await?.url)
    }

    /// Copies an object within the bucket, if it still is the one with this entity tag. `false` when it is not, or gone.
    /// Of what its sender said about it nothing is taken along, for no signature covered that.
    pub(crate) async fn copy(
        &self,
        from: &str,
        to: &str,
        etag: &str,
        content_type: &str,
    ) -> Result<bool, StorageError> {
        let answer = self
            .client
            .copy_object()
            .copy_source(format!("{}/{from}", self.bucket))
            .copy_source_if_match(etag)
            .bucket(&self.bucket)
            .key(to)
            .metadata_directive(MetadataDirective::Replace)
            .content_type(content_type)
            .set_acl(self.acl.clone())
            .send()
            .await;
        match answer {
            Ok(_) => Ok(true),
            Err(error) if is_missing(&error) || error.code() == Some("PreconditionFailed") => {
                Ok(false)
            }
            Err(error) => Err(fault("copy an object", error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use aws_sdk_s3::config::Credentials;
    use serde_json::{Value, json};

    use super::*;

    fn storage(token: Option<&str>, acl: Option<&str>) -> Storage {
        let token = token.map(ToOwned::to_owned);
        let credentials = Credentials::new("access", "secret", token, None, "test");
        Storage::of_a_test("http://127.0.0.1:1", credentials, acl)
    }

    /// Whoever sends what is signed here adds nothing to it: the access list and a session's token are in it.
    #[tokio::test]
    async fn an_access_list_and_a_session_are_part_of_what_is_signed() {
        for (token, acl) in [
            (None, None),
            (Some("a/session+token=="), Some("bucket-owner-full-control")),
        ] {
            let storage = storage(token, acl);
            let url = storage.sign_any_put("staged/key").await.unwrap();
            let url = url::Url::parse(url.expose()).unwrap();
            let query: HashMap<_, _> = url.query_pairs().collect();
            let told = |name: &str| query.get(name).map(AsRef::as_ref);
            assert_eq!(told("x-amz-acl"), acl);
            assert_eq!(told("X-Amz-Security-Token"), token);
            assert_eq!(told("X-Amz-SignedHeaders"), Some("host"));

            let form = storage.sign_form("staged/key", "image/jpeg", 9).await;
            let form = form.unwrap();
            let policy = BASE64_STANDARD.decode(&form.fields["policy"]).unwrap();
            let policy: Value = serde_json::from_slice(&policy).unwrap();
            let conditions = policy["conditions"].as_array().unwrap();
            for (name, value) in [("acl", acl), ("x-amz-security-token", token)] {
                assert_eq!(form.fields.get(name).map(String::as_str), value);
                let is_held_to = conditions.iter().any(|one| !one[name].is_null());
                assert_eq!(is_held_to, value.is_some(), "{name}: {policy}");
                if let Some(value) = value {
                    assert!(conditions.contains(&json!({ name: value })), "{policy}");
                }
            }
        }
    }

    /// Seconds, by what is signed.
    fn lives(url: &str) -> u64 {
        let url = url::Url::parse(url).unwrap();
        let mut query = url.query_pairs();
        let (_, life) = query.find(|(name, _)| name == "X-Amz-Expires").unwrap();
        life.parse().unwrap()
    }

    /// A URL that outlives them would be refused while its holder was told that it is good.
    #[tokio::test]
    async fn nothing_that_is_signed_outlives_the_credentials() {
        let end = std::time::SystemTime::now() + std::time::Duration::from_secs(90);
        let credentials = Credentials::new("access", "secret", None, Some(end), "test");
        let storage = Storage::of_a_test("http://127.0.0.1:1", credentials, None);
        let end = Timestamp::try_from(end).unwrap();

        let sum = imgn_protocol::Sha256::of(b"a");
        let put = storage
            .sign_put("key", 1, "image/jpeg", &sum)
            .await
            .unwrap();
        assert!(put.expires_at <= end, "{} {end}", put.expires_at);
        let multipart = super::super::Multipart {
            key: "key",
            id: "id",
            algorithm: imgn_protocol::ChecksumAlgorithm::default(),
        };
        let part = storage
            .sign_part(multipart, 1, 1, &sum.into())
            .await
            .unwrap();
        assert!(part.expires_at <= end, "{} {end}", part.expires_at);
        let urls = [
            put.url,
            part.url,
            storage
                .sign_get("key", "image/jpeg", "inline")
                .await
                .unwrap(),
            storage.sign_any_put("key").await.unwrap(),
            storage.sign_any_part("key", "id", 1).await.unwrap(),
        ];
        for url in urls {
            let life = lives(url.expose());
            assert!((60..=90).contains(&life), "{life}");
        }
        assert!(storage.lifetime().await.unwrap().as_secs() <= 90);

        let form = storage.sign_form("key", "image/jpeg", 9).await.unwrap();
        let policy = BASE64_STANDARD.decode(&form.fields["policy"]).unwrap();
        let policy: Value = serde_json::from_slice(&policy).unwrap();
        let until: Timestamp = policy["expiration"].as_str().unwrap().parse().unwrap();
        assert!(until <= end, "{until} {end}");
    }
}
