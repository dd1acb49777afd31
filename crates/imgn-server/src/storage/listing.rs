//! What is in the bucket, by pages, in the order of keys.

use super::{Storage, StorageError, fault, multipart::strange};

/// Some of the objects whose key begins so.
pub(crate) struct Page {
    pub(crate) objects: Vec<Listed>,
    /// What the store calls the next one; `None` for the last.
    pub(crate) next: Option<String>,
}

/// An object as the store lists it.
pub(crate) struct Listed {
    pub(crate) key: String,
    /// When it was stored, by the store's clock; milliseconds since 1970. The end of time where the store does not say.
    pub(crate) modified: i64,
}

impl Storage {
    /// The first page, or the one that the page before it named: 1000 objects at most, as S3 has it. A page may have nothing and
    /// not be the last.
    pub(crate) async fn page(
        &self,
        prefix: &str,
        token: Option<&str>,
    ) -> Result<Page, StorageError> {
        const ACTION: &str = "list the objects";
        let listed = self
            .client
            .list_objects_v2()
            .bucket(&self.bucket)
            .prefix(prefix)
            .set_continuation_token(token.map(ToOwned::to_owned))
            .send()
            .await
            .map_err(|error| fault(ACTION, error))?;
        let next = match (listed.is_truncated(), listed.next_continuation_token()) {
            (Some(true), None) => return Err(strange(ACTION, "its pages do not go on")),
            (Some(true), next) if next == token => {
                return Err(strange(ACTION, "its pages do not go on"));
            }
            (Some(true), next) => next.map(ToOwned::to_owned),
            _ => None,
        };
        let objects = listed.contents().iter().filter_map(|object| {
            // Not every engine heeds the prefix.
            let key = object.key().filter(|key| key.starts_with(prefix))?;
            let modified = object
                .last_modified()
                .and_then(|time| time.to_millis().ok());
            Some(Listed {
                key: key.to_owned(),
                modified: modified.unwrap_or(i64::MAX),
            })
        });
        Ok(Page {
            objects: objects.collect(),
            next,
        })
    }
}

#[cfg(test)]
mod tests {
    use aws_credential_types::Credentials;
    use axum::extract::Query;

    use super::*;

    #[derive(serde::Deserialize)]
    struct Asked {
        #[serde(rename = "continuation-token")]
        token: Option<String>,
    }

    /// What some engines answer that leave deleted objects out of a page only when it is full.
    #[tokio::test]
    async fn a_page_that_has_nothing_is_not_the_last_where_the_store_says_so() {
        async fn answer(Query(asked): Query<Asked>) -> String {
            let object = |key| {
                format!(
                    "<Contents><Key>{key}</Key><Size>1</Size>\
                     <LastModified>2020-01-01T00:00:00.000Z</LastModified></Contents>"
                )
            };
            let (truncated, next, objects) = match asked.token.as_deref() {
                None => (true, "1", object("a/1")),
                Some("1") => (true, "2", String::new()),
                _ => (false, "", object("a/2") + &object("b/1")),
            };
            format!(
                "<ListBucketResult><IsTruncated>{truncated}</IsTruncated>\
                 <NextContinuationToken>{next}</NextContinuationToken>{objects}</ListBucketResult>"
            )
        }
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let router = axum::Router::new().fallback(answer);
        let serving = tokio::spawn(axum::serve(listener, router).into_future());
        let credentials = Credentials::new("access", "secret", None, None, "test");
        let storage = Storage::of_a_test(&endpoint, credentials, None);
        let (mut keys, mut next) = (Vec::new(), None::<String>);
        loop {
            let page = storage.page("a/", next.as_deref()).await.unwrap();
            keys.extend(page.objects.into_iter().map(|object| object.key));
            next = page.next;
            if next.is_none() {
                break;
            }
        }
        assert_eq!(keys, ["a/1", "a/2"]);
        serving.abort();
    }
}
