//! The upload engine's remote over HTTP.

use async_trait::async_trait;
use imgn_protocol::{
    CompleteRequest, Image, ImagePage, OpenRequest, SignRequest, SignedRequest, UploadAnswer,
    UploadId,
};
use imgn_upload::{Body, Failure, Remote};
use reqwest::{
    Method, Url,
    header::{CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue},
};

use super::{
    CALL, COMPLETE, Server,
    failure::{from_transport, refused_by_store},
};

#[async_trait]
impl Remote for Server {
    async fn open(
        &self,
        id: UploadId,
        request: &OpenRequest,
        sign: bool,
    ) -> Result<UploadAnswer, Failure> {
        let mut call = self
            .request(Method::PUT, &format!("v1/uploads/{id}"))
            .json(request);
        if sign {
            call = call.query(&[("sign", "true")]);
        }
        self.json(self.authorized(call).await).await
    }

    async fn sign(&self, id: UploadId, request: &SignRequest) -> Result<SignedRequest, Failure> {
        let call = self
            .request(Method::POST, &format!("v1/uploads/{id}/sign"))
            .json(request);
        self.json(self.authorized(call).await).await
    }

    async fn put(&self, request: &SignedRequest, body: Body) -> Result<(), Failure> {
        let (method, url, headers) = as_signed(request, body.length())?;
        let body = reqwest::Body::wrap_stream(body);
        let store = self.clients().store;
        let call = store.request(method, url).headers(headers).body(body);
        let response = call.send().await.map_err(from_transport)?;
        self.store_clock.read(response.headers());
        tracing::debug!(status = response.status().as_u16(), "the store answered");
        if response.status().is_success() {
            Ok(())
        } else {
            Err(refused_by_store(response).await)
        }
    }

    async fn status(&self, id: UploadId) -> Result<UploadAnswer, Failure> {
        let call = self.request(Method::GET, &format!("v1/uploads/{id}"));
        self.json(self.authorized(call).await).await
    }

    async fn complete(
        &self,
        id: UploadId,
        request: &CompleteRequest,
    ) -> Result<UploadAnswer, Failure> {
        // By the client that gives nothing up for being silent.
        let call = self
            .clients()
            .store
            .request(Method::POST, self.at(&format!("v1/uploads/{id}/complete")))
            .json(request);
        self.json_within(COMPLETE, self.authorized(call).await)
            .await
    }

    async fn abort(&self, id: UploadId) -> Result<(), Failure> {
        let call = self.request(Method::DELETE, &format!("v1/uploads/{id}"));
        let call = self.authorized(call).await.timeout(CALL);
        match self.ask(call).await {
            Ok(_) | Err(Failure::Server { status: 404, .. }) => Ok(()),
            Err(failure) => Err(failure),
        }
    }

    async fn newest(&self, limit: usize) -> Result<Vec<Image>, Failure> {
        let request = self
            .request(Method::GET, "v1/images")
            .query(&[("limit", limit)]);
        let page: ImagePage = self.json(request).await?;
        Ok(page.images)
    }

    async fn probe(&self) -> Result<(), Failure> {
        self.probe_once().await
    }

    fn clock_skew_seconds(&self) -> Option<i64> {
        self.clock.skew_seconds()
    }

    fn store_skew_seconds(&self) -> Option<i64> {
        Some(self.clock.skew_seconds()? - self.store_clock.skew_seconds()?)
    }
}

/// The request exactly as it was signed, or a failure if it cannot be sent so.
fn as_signed(request: &SignedRequest, length: u64) -> Result<(Method, Url, HeaderMap), Failure> {
    let unusable = |what: &str| Failure::Garbled {
        reason: format!("the signed request's {what} cannot be sent as it is"),
    };
    let signed = request.url.expose();
    let url = Url::parse(signed).map_err(|_| unusable("address"))?;
    // A parser may rewrite an address. Host and port stand in a header of their own, path and query must stay.
    let sent = &url[url::Position::BeforePath..];
    let after_scheme = signed.split_once("://").map_or("", |(_, after)| after);
    let is_same = after_scheme
        .find('/')
        .is_some_and(|at| &after_scheme[at..] == sent);
    if !is_same || !matches!(url.scheme(), "http" | "https") {
        return Err(unusable("address"));
    }
    let method = Method::from_bytes(request.method.as_bytes()).map_err(|_| unusable("method"))?;
    let mut headers = HeaderMap::new();
    for (name, value) in &request.headers {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| unusable("headers"))?;
        let value = HeaderValue::from_str(value).map_err(|_| unusable("headers"))?;
        headers.insert(name, value);
    }
    // A length that is not stated would be sent in chunks, which no store takes.
    let stated = headers
        .entry(CONTENT_LENGTH)
        .or_insert_with(|| HeaderValue::from(length));
    if stated.to_str().ok().and_then(|text| text.parse().ok()) != Some(length) {
        return Err(unusable("length"));
    }
    Ok((method, url, headers))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use imgn_protocol::{PresignedUrl, Timestamp};

    use super::*;

    fn signed(url: &str, headers: &[(&str, &str)]) -> SignedRequest {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        SignedRequest {
            method: "PUT".to_owned(),
            url: PresignedUrl::new(url.to_owned()),
            headers: headers.iter().map(owned).collect::<BTreeMap<_, _>>(),
            expires_at: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn a_request_is_sent_as_it_was_signed_or_not_at_all() {
        let url = "http://localhost:8787/b/k%20%27?X-Amz-Signature=5ec7e7&X-Amz-Credential=a%2Fb";
        let request = signed(
            url,
            &[("x-amz-checksum-sha256", "abc="), ("content-length", "4")],
        );
        let (method, sent, headers) = as_signed(&request, 4).unwrap();
        assert_eq!((method, sent.as_str()), (Method::PUT, url));
        assert_eq!(headers["x-amz-checksum-sha256"], "abc=");
        assert_eq!(headers[CONTENT_LENGTH], "4");
        assert_eq!(
            as_signed(&signed(url, &[]), 7).unwrap().2[CONTENT_LENGTH],
            "7"
        );

        for (request, length) in [
            (signed(url, &[("content-length", "5")]), 4),
            (signed("http://localhost/b/../k?s=5ec7e7", &[]), 4),
            (signed("ftp://localhost/b/k?s=5ec7e7", &[]), 4),
            (signed("/b/k?s=5ec7e7", &[]), 4),
            (signed(url, &[("a b", "c")]), 4),
        ] {
            let failure = as_signed(&request, length).unwrap_err();
            assert!(!format!("{failure:?}").contains("5ec7e7"), "{failure:?}");
        }
    }
}
