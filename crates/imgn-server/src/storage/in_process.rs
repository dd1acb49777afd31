//! The way from the S3 client to the embedded store: a call in this process, no socket. The store sees the same
//! signed requests as from everybody else.

use std::{
    fmt,
    pin::Pin,
    sync::Mutex,
    task::{Context, Poll},
};

use aws_smithy_runtime_api::client::{
    http::{
        HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
        SharedHttpConnector, http_client_fn,
    },
    orchestrator::{HttpRequest, HttpResponse},
    result::ConnectorError,
    runtime_components::RuntimeComponents,
};
use aws_smithy_types::body::SdkBody;
use axum::body::Body;
use bytes::Bytes;
use http::{HeaderValue, Uri, header::HOST, uri::PathAndQuery};
use http_body::Frame;
use imgn_store::StoreService;
use tower::ServiceExt as _;

/// An HTTP client whose every request goes to `store`.
pub(super) fn http_client(store: StoreService) -> SharedHttpClient {
    let connector = SharedHttpConnector::new(InProcess { store });
    http_client_fn(move |_: &HttpConnectorSettings, _: &RuntimeComponents| connector.clone())
}

#[derive(Clone)]
struct InProcess {
    store: StoreService,
}

impl fmt::Debug for InProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InProcess")
    }
}

impl HttpConnector for InProcess {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let store = self.store.clone();
        HttpConnectorFuture::new(async move {
            let request = as_received(request)?;
            let Ok(response) = store.oneshot(request).await;
            let response = response.map(|body| SdkBody::from_body_1_x(SyncBody::new(body)));
            HttpResponse::try_from(response)
                .map_err(|error| ConnectorError::other(error.into(), None))
        })
    }
}

/// The request as a server would have read it off a connection: the host in its header, not in the URI.
fn as_received(request: HttpRequest) -> Result<http::Request<Body>, ConnectorError> {
    let mut request = request
        .try_into_http1x()
        .map_err(|error| ConnectorError::user(error.into()))?
        .map(Body::new);
    if let Some(authority) = request.uri().authority()
        && !request.headers().contains_key(HOST)
    {
        let host = HeaderValue::from_str(authority.as_str())
            .map_err(|error| ConnectorError::user(error.into()))?;
        request.headers_mut().insert(HOST, host);
    }
    let path = request
        .uri()
        .path_and_query()
        .cloned()
        .unwrap_or_else(|| PathAndQuery::from_static("/"));
    *request.uri_mut() = Uri::from(path);
    Ok(request)
}

/// A body that may be shared between threads, as the client asks of it, for never being used by two at a time.
struct SyncBody<B>(Mutex<Pin<Box<B>>>);

impl<B> SyncBody<B> {
    fn new(body: B) -> Self {
        Self(Mutex::new(Box::pin(body)))
    }
}

impl<B> http_body::Body for SyncBody<B>
where
    B: http_body::Body<Data = Bytes>,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let body = self.get_mut().0.get_mut();
        // Nothing panics while it holds this lock, for nothing ever takes it.
        body.unwrap_or_else(std::sync::PoisonError::into_inner)
            .as_mut()
            .poll_frame(context)
    }
}
