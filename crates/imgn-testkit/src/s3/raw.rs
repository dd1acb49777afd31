//! Requests sent exactly as written: no path is normalised, no header is added, nothing is retried.

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::Target;
use super::sign::Signed;

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Answer {
    /// A header as text, empty when it is missing.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }
}

/// Sends a request on a connection of its own. Content-Length is that of the body unless the request has one.
pub async fn send(target: &Target, signed: Signed, body: impl Into<Bytes>) -> Result<Answer> {
    let stream = TcpStream::connect(target.host()?).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let mut request = http::Request::builder()
        .method(signed.method.as_str())
        .uri(signed.path_and_query);
    for (name, value) in signed.headers {
        request = request.header(name, value);
    }
    let response = sender
        .send_request(request.body(Full::new(body.into()))?)
        .await?;
    let (parts, body) = response.into_parts();
    let body = body.collect().await?.to_bytes();
    connection.abort();
    Ok(Answer {
        status: parts.status,
        headers: parts.headers,
        body,
    })
}

/// Sends the head of a request and these bytes as its body, whatever length the head announces; then either cuts the
/// connection, or reads what is answered until the other side closes.
pub async fn send_bytes(
    target: &Target,
    signed: &Signed,
    body: &[u8],
    cut: bool,
) -> Result<Vec<u8>> {
    let mut stream = TcpStream::connect(target.host()?).await?;
    let mut head = format!(
        "{} {} HTTP/1.1\r\nconnection: close\r\n",
        signed.method, signed.path_and_query
    );
    for (name, value) in &signed.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body).await?;
    stream.flush().await?;
    let mut answer = Vec::new();
    if cut {
        // A reset, not an orderly end: what a lost network looks like from the far side.
        stream.set_zero_linger()?;
    } else {
        stream
            .read_to_end(&mut answer)
            .await
            .context("the answer")?;
    }
    Ok(answer)
}
