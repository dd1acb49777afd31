//! One request, from its head to its fate.
//!
//! Each goes to the store by a connection of its own, so that a fault never meets a connection which another request
//! has left in a state. Invariant: an error here closes the client's connection, and nothing else does so on purpose.

use std::time::SystemTime;

use anyhow::{Context as _, Result, bail};
use aws_smithy_types::{DateTime, date_time::Format};
use bytes::Bytes;
use http::{HeaderValue, Request, Response, header, request};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_util::task::AbortOnDropHandle;

use super::{
    Fate,
    pace::Pace,
    passage::{Outgoing, Passage, whole},
};

pub(super) async fn forward(
    upstream: &str,
    fate: Fate,
    request: Request<Incoming>,
) -> Result<Response<Outgoing>> {
    let (head, body) = request.into_parts();
    let mut up = Passage::default();
    match &fate {
        Fate::HangUpBefore => bail!("hung up before forwarding, on purpose"),
        Fate::AnswerEarly(answer) => {
            let answer = answer.clone().header("connection", "close");
            return Ok(answer.response()?.map(whole));
        }
        Fate::Answer(answer) => {
            drain(body).await?;
            return Ok(answer.clone().response()?.map(whole));
        }
        Fate::HoldRequest(gate) => gate.pass().await,
        Fate::Delay(delay) => tokio::time::sleep(*delay).await,
        Fate::CutRequest { after } => up.cut = Some(*after),
        Fate::StallRequest { after, gate } => up.stall = Some((*after, gate.clone())),
        Fate::Slow { up: rate, .. } => up.pace = Some(Pace::new(*rate)),
        Fate::Pass
        | Fate::HangUpAfter
        | Fate::CutResponse { .. }
        | Fate::TruncateResponse { .. }
        | Fate::StallResponse { .. }
        | Fate::HoldAnswer(_)
        | Fate::AnswerAfter(_)
        | Fate::Repeat
        | Fate::SkewDate { .. } => {}
    }
    let (answer, source) = if matches!(fate, Fate::Repeat) {
        let body = body.collect().await?.to_bytes();
        let (first, _source) = send(upstream, head.clone(), whole(body.clone())).await?;
        drain(first.into_body()).await?;
        send(upstream, head, whole(body)).await?
    } else {
        send(upstream, head, up.through(body, None)).await?
    };
    answered(fate, answer, source).await
}

/// What the client gets to hear of the store's answer.
async fn answered(
    fate: Fate,
    mut answer: Response<Incoming>,
    source: AbortOnDropHandle<hyper::Result<()>>,
) -> Result<Response<Outgoing>> {
    let mut down = Passage::default();
    match fate {
        Fate::HangUpAfter => {
            drain(answer.into_body()).await?;
            bail!("hung up after forwarding, on purpose");
        }
        Fate::AnswerAfter(instead) => {
            drain(answer.into_body()).await?;
            return Ok(instead.response()?.map(whole));
        }
        Fate::HoldAnswer(gate) => gate.pass().await,
        Fate::CutResponse { after } => down.cut = Some(after),
        Fate::StallResponse { after, gate } => down.stall = Some((after, gate)),
        Fate::Slow { down: rate, .. } => down.pace = Some(Pace::new(rate)),
        Fate::TruncateResponse { after } => {
            down.end = Some(after);
            if content_length(&answer).is_some_and(|length| length > after) {
                answer
                    .headers_mut()
                    .insert(header::CONTENT_LENGTH, HeaderValue::from(after));
            }
        }
        Fate::SkewDate { seconds } => {
            let now = DateTime::from(SystemTime::now()).secs();
            let date = DateTime::from_secs(now + seconds).fmt(Format::HttpDate)?;
            let date = HeaderValue::from_str(&date)?;
            answer.headers_mut().insert(header::DATE, date);
        }
        Fate::Pass
        | Fate::Repeat
        | Fate::Delay(_)
        | Fate::HoldRequest(_)
        | Fate::CutRequest { .. }
        | Fate::StallRequest { .. }
        | Fate::HangUpBefore
        | Fate::Answer(_)
        | Fate::AnswerEarly(_) => {}
    }
    Ok(answer.map(|body| down.through(body, Some(source))))
}

fn content_length(answer: &Response<Incoming>) -> Option<u64> {
    let length = answer.headers().get(header::CONTENT_LENGTH)?;
    length.to_str().ok()?.parse().ok()
}

/// Answers the response and its connection, which ends with the handle.
async fn send(
    upstream: &str,
    head: request::Parts,
    body: Outgoing,
) -> Result<(Response<Incoming>, AbortOnDropHandle<hyper::Result<()>>)> {
    let stream = TcpStream::connect(upstream)
        .await
        .context("the store does not listen")?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake::<_, Outgoing>(TokioIo::new(stream)).await?;
    let connection = AbortOnDropHandle::new(tokio::spawn(connection));
    let answer = sender.send_request(Request::from_parts(head, body)).await?;
    Ok((answer, connection))
}

async fn drain(mut body: Incoming) -> Result<()> {
    while let Some(frame) = body.frame().await {
        let _: Option<Bytes> = frame?.into_data().ok();
    }
    Ok(())
}
