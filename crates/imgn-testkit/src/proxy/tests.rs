//! Each fate, as the client and the store see it. The store is a few lines that write down what reaches them.

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::{Result, ensure};
use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{Instant, timeout},
};

use super::{Answer, Fate, FaultProxy, Gate, Line, Script, Seen, Shape, When, port::Port};
use crate::process::eventually;

/// Far more than anything here takes; only a test that would hang for ever meets it.
const PATIENCE: Duration = Duration::from_secs(60);

const SIZE: usize = 300_000;

/// What reached the store: the request line and host, how much of the body, and whether that was all of it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Reached {
    line: String,
    bytes: usize,
    whole: bool,
}

/// A store that takes everything and answers with `SIZE` bytes.
struct Store {
    port: Port,
    reached: Arc<Mutex<Vec<Reached>>>,
}

impl Store {
    async fn start() -> Result<Self> {
        let reached = Arc::<Mutex<Vec<Reached>>>::default();
        let log = Arc::clone(&reached);
        let serve = move |stream, _| {
            let log = Arc::clone(&log);
            async move {
                let service = service_fn(|request| store(&log, request));
                let _ = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            }
        };
        let port = Port::open("127.0.0.1:0", serve).await?;
        Ok(Self { port, reached })
    }

    fn address(&self) -> String {
        self.port.address().to_string()
    }

    fn reached(&self) -> Vec<Reached> {
        self.reached.lock().unwrap().clone()
    }

    /// Waits until so many requests have reached it, each to its end or its break.
    async fn after(&self, count: usize) -> Result<Vec<Reached>> {
        eventually("the store was reached", PATIENCE, async || {
            let reached = self.reached();
            Ok((reached.len() == count).then_some(reached))
        })
        .await
    }

    async fn behind(&self, fate: Fate) -> Result<FaultProxy> {
        let script = Script::default().on(When::default(), fate);
        FaultProxy::start(&self.address(), script.into_hook()).await
    }
}

async fn store(
    log: &Mutex<Vec<Reached>>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>> {
    let (head, mut body) = request.into_parts();
    let (mut bytes, mut whole) = (0, true);
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => bytes += frame.into_data().map_or(0, |data| data.len()),
            Err(_) => {
                whole = false;
                break;
            }
        }
    }
    let host = head.headers["host"].to_str()?;
    let line = format!("{} {} {host}", head.method, head.uri);
    log.lock().unwrap().push(Reached { line, bytes, whole });
    Ok(Response::new(Full::new(vec![b'a'; SIZE].into())))
}

/// What a client got: the status, the headers, and as much of the body as came.
struct Got {
    status: StatusCode,
    headers: http::HeaderMap,
    bytes: usize,
    text: String,
    whole: bool,
}

async fn put(url: &str) -> Result<Got> {
    send(url, "PUT", vec![b'b'; SIZE]).await
}

async fn send(url: &str, method: &str, body: Vec<u8>) -> Result<Got> {
    let address = url.strip_prefix("http://").unwrap();
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let request = Request::builder()
        .method(method)
        .uri("/bucket/a%2Fkey?partNumber=3&X-Amz-Signature=secret")
        .header("host", "signed.example:1")
        .body(Full::new(Bytes::from(body)))?;
    let answer = timeout(PATIENCE, sender.send_request(request)).await??;
    let (head, mut body) = answer.into_parts();
    let (mut received, mut whole) = (Vec::new(), true);
    while let Some(frame) = timeout(PATIENCE, body.frame()).await? {
        match frame {
            Ok(frame) => received.extend(frame.into_data().unwrap_or_default()),
            Err(_) => {
                whole = false;
                break;
            }
        }
    }
    connection.abort();
    Ok(Got {
        status: head.status,
        headers: head.headers,
        bytes: received.len(),
        text: String::from_utf8(received)?,
        whole,
    })
}

#[tokio::test]
async fn a_request_that_passes_is_the_same_on_the_other_side() -> Result<()> {
    let store = Store::start().await?;
    let proxy = store.behind(Fate::Pass).await?;
    let got = put(&proxy.url()).await?;
    ensure!(got.status == StatusCode::OK && got.bytes == SIZE && got.whole);
    let line = "PUT /bucket/a%2Fkey?partNumber=3&X-Amz-Signature=secret signed.example:1";
    let expected = Reached {
        line: line.to_owned(),
        bytes: SIZE,
        whole: true,
    };
    assert_eq!(store.reached(), [expected]);
    let seen = Seen {
        number: 1,
        connection: 1,
        method: "PUT".to_owned(),
        path: "/bucket/a%2Fkey".to_owned(),
        parameters: [("partNumber".to_owned(), "3".to_owned())].into(),
        length: Some(SIZE as u64),
        copy_source: None,
    };
    assert_eq!(proxy.seen(), [seen], "without what signs the request");

    let got = send(&proxy.url(), "HEAD", Vec::new()).await?;
    ensure!(got.bytes == 0 && got.headers["content-length"] == SIZE.to_string().as_str());
    let got = send(&proxy.url(), "GET", Vec::new()).await?;
    ensure!(got.bytes == SIZE && got.whole && store.reached()[2].bytes == 0);
    Ok(())
}

#[tokio::test]
async fn hanging_up_before_and_after_differ_by_what_the_store_knows() -> Result<()> {
    let store = Store::start().await?;
    let proxy = store.behind(Fate::HangUpBefore).await?;
    assert!(put(&proxy.url()).await.is_err());
    assert_eq!(store.reached(), []);
    let proxy = store.behind(Fate::HangUpAfter).await?;
    assert!(put(&proxy.url()).await.is_err());
    assert!(store.reached()[0].whole);
    Ok(())
}

#[tokio::test]
async fn a_cut_breaks_a_body_where_it_was_told_to() -> Result<()> {
    let store = Store::start().await?;
    let proxy = store.behind(Fate::CutRequest { after: 70_001 }).await?;
    assert!(put(&proxy.url()).await.is_err());
    let reached = store.after(1).await?;
    assert_eq!((reached[0].bytes, reached[0].whole), (70_001, false));

    let proxy = store.behind(Fate::CutResponse { after: 70_001 }).await?;
    let got = put(&proxy.url()).await?;
    assert_eq!((got.bytes, got.whole), (70_001, false));

    let longer = SIZE as u64 + 1;
    let proxy = store.behind(Fate::CutRequest { after: longer }).await?;
    assert!(put(&proxy.url()).await?.whole, "a shorter body passes");
    Ok(())
}

#[tokio::test]
async fn a_truncated_response_looks_whole() -> Result<()> {
    let store = Store::start().await?;
    let proxy = store.behind(Fate::TruncateResponse { after: 7 }).await?;
    let got = put(&proxy.url()).await?;
    assert_eq!((got.bytes, got.whole), (7, true));
    assert_eq!(got.headers["content-length"], "7");
    Ok(())
}

#[tokio::test]
async fn a_stall_lasts_until_it_is_released() -> Result<()> {
    let store = Store::start().await?;
    let fates: [fn(Gate) -> Fate; 4] = [
        |gate| Fate::StallRequest { after: 1000, gate },
        |gate| Fate::StallResponse { after: 1000, gate },
        Fate::HoldRequest,
        Fate::HoldAnswer,
    ];
    for fate in fates {
        let gate = Gate::closed();
        let proxy = store.behind(fate(gate.clone())).await?;
        let before = store.reached().len();
        let url = proxy.url();
        let sending = tokio::spawn(async move { put(&url).await });
        timeout(PATIENCE, gate.reached(1)).await?;
        ensure!(!sending.is_finished(), "it waits at the gate");
        let done = match fate(gate.clone()) {
            Fate::StallRequest { .. } | Fate::HoldRequest(_) => 0,
            _ => 1,
        };
        ensure!(store.reached().len() == before + done);
        gate.release();
        let got = sending.await??;
        ensure!(got.bytes == SIZE && got.whole);
        ensure!(store.reached().last().is_some_and(|it| it.bytes == SIZE));
    }
    Ok(())
}

#[tokio::test]
async fn the_proxy_answers_without_before_and_after_the_store() -> Result<()> {
    let store = Store::start().await?;
    let busy = || Answer::status(503).header("retry-after", "7");
    let proxy = store.behind(Fate::Answer(busy())).await?;
    let got = put(&proxy.url()).await?;
    ensure!(got.status == StatusCode::SERVICE_UNAVAILABLE && got.headers["retry-after"] == "7");
    let proxy = store.behind(Fate::AnswerEarly(busy())).await?;
    // A client that sends on may see the connection break before it sees the answer, so this one has little to send.
    let got = send(&proxy.url(), "PUT", vec![0; 10]).await?;
    ensure!(got.status == StatusCode::SERVICE_UNAVAILABLE && got.headers["connection"] == "close");
    assert_eq!(store.reached(), [], "the store never heard of these");

    let failed = Answer::s3_error(200, "InternalError", "We failed.");
    let proxy = store.behind(Fate::AnswerAfter(failed)).await?;
    let got = put(&proxy.url()).await?;
    ensure!(got.status == StatusCode::OK && got.text.contains("<Code>InternalError</Code>"));
    assert_eq!(store.reached().len(), 1, "the store did this one");
    Ok(())
}

#[tokio::test]
async fn a_repeated_request_reaches_the_store_twice() -> Result<()> {
    let store = Store::start().await?;
    let proxy = store.behind(Fate::Repeat).await?;
    ensure!(put(&proxy.url()).await?.bytes == SIZE);
    let reached = store.reached();
    assert_eq!(reached.len(), 2);
    assert_eq!(reached[0], reached[1]);
    assert_eq!(proxy.seen().len(), 1);
    Ok(())
}

#[tokio::test]
async fn the_date_of_an_answer_is_shifted() -> Result<()> {
    let store = Store::start().await?;
    let an_hour = 3600;
    let proxy = store.behind(Fate::SkewDate { seconds: an_hour }).await?;
    let got = put(&proxy.url()).await?;
    let date = got.headers["date"].to_str()?;
    let format = aws_smithy_types::date_time::Format::HttpDate;
    let date = aws_smithy_types::DateTime::from_str(date, format)?;
    let now = aws_smithy_types::DateTime::from(std::time::SystemTime::now());
    let ahead = date.secs() - now.secs();
    ensure!((an_hour - 100..=an_hour).contains(&ahead), "{ahead} s");
    Ok(())
}

/// Lower bounds on time are no measurements: what comes sooner was not held back.
#[tokio::test]
async fn what_is_slow_or_late_does_not_come_sooner() -> Result<()> {
    let store = Store::start().await?;
    let size = SIZE as u64;
    for fate in [
        Fate::Delay(Duration::from_millis(400)),
        Fate::Slow {
            up: Some(size * 2),
            down: None,
        },
        Fate::Slow {
            up: None,
            down: Some(size * 2),
        },
    ] {
        let proxy = store.behind(fate).await?;
        let start = Instant::now();
        ensure!(put(&proxy.url()).await?.bytes == SIZE);
        ensure!(start.elapsed() >= Duration::from_millis(400));
    }
    Ok(())
}

#[tokio::test]
async fn a_script_counts_each_kind_of_request_for_itself() -> Result<()> {
    let store = Store::start().await?;
    let teapot = |status| Fate::Answer(Answer::status(status));
    let script = Script::default()
        .on(When::method("PUT").path("/bucket/").nth(2), teapot(500))
        .on(When::method("PUT").first(3), teapot(503))
        .on(When::default().parameter("uploadId"), teapot(404))
        .on(When::default().connection(6), teapot(409))
        .on(
            When::method("GET").parameter_is("partNumber", "3"),
            teapot(418),
        );
    let proxy = FaultProxy::start(&store.address(), script.into_hook()).await?;
    let mut statuses = Vec::new();
    for method in ["PUT", "PUT", "PUT", "PUT", "GET", "GET"] {
        let got = send(&proxy.url(), method, Vec::new()).await?;
        statuses.push(got.status.as_u16());
    }
    assert_eq!(statuses, [503, 500, 503, 200, 418, 409]);
    Ok(())
}

#[tokio::test]
async fn offline_refuses_and_breaks_and_comes_back_on_its_port() -> Result<()> {
    let store = Store::start().await?;
    let gate = Gate::closed();
    let script = Script::default().on(When::default().first(1), Fate::HoldRequest(gate.clone()));
    let proxy = FaultProxy::start(&store.address(), script.into_hook()).await?;
    let url = proxy.url();
    let under_way = tokio::spawn(async move { put(&url).await });
    timeout(PATIENCE, gate.reached(1)).await?;
    proxy.go_offline().await;
    assert!(under_way.await?.is_err(), "what was under way breaks");
    let refused = TcpStream::connect(proxy.url().strip_prefix("http://").unwrap()).await;
    assert_eq!(
        refused.unwrap_err().kind(),
        io::ErrorKind::ConnectionRefused
    );
    proxy.come_back().await?;
    ensure!(put(&proxy.url()).await?.whole);
    Ok(())
}

#[tokio::test]
async fn a_line_carries_everything_and_takes_its_time() -> Result<()> {
    let store = Store::start().await?;
    let shape = Shape {
        round_trip: Duration::from_millis(100),
        up: Some(SIZE as u64 * 4),
        ..Shape::default()
    };
    let line = Line::start("127.0.0.1:0", &store.address(), shape).await?;
    let start = Instant::now();
    let got = put(&line.url()).await?;
    ensure!(got.bytes == SIZE && got.whole && store.reached()[0].bytes == SIZE);
    // One round trip to connect, one for the request, and a quarter of a second for its body.
    ensure!(start.elapsed() >= Duration::from_millis(450));
    line.go_offline().await;
    ensure!(put(&line.url()).await.is_err());
    line.come_back().await?;
    ensure!(put(&line.url()).await?.whole);
    Ok(())
}

#[tokio::test]
async fn who_stands_beside_the_store_does_not_wait_for_the_line() -> Result<()> {
    let store = Store::start().await?;
    let shape = Shape {
        // A byte that took the line would come after the test has given up.
        round_trip: PATIENCE * 4,
        beside: Some("signed.example".to_owned()),
        ..Shape::default()
    };
    let line = Line::start("127.0.0.1:0", &store.address(), shape).await?;
    ensure!(put(&line.url()).await?.whole);
    Ok(())
}

#[tokio::test]
async fn the_end_of_one_direction_is_carried_and_leaves_the_other() -> Result<()> {
    let echo = Port::open("127.0.0.1:0", |mut stream: TcpStream, _| async move {
        let mut all = Vec::new();
        if stream.read_to_end(&mut all).await.is_ok() {
            let _ = stream.write_all(&all).await;
        }
    })
    .await?;
    let upstream = echo.address().to_string();
    let line = Line::start("127.0.0.1:0", &upstream, Shape::default()).await?;
    let mut stream = TcpStream::connect(line.url().strip_prefix("http://").unwrap()).await?;
    stream.write_all(b"to the end").await?;
    stream.shutdown().await?;
    let mut back = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut back)).await??;
    assert_eq!(back, b"to the end");
    Ok(())
}
