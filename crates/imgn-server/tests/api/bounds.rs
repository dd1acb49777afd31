//! What those may send and hold open who announce nothing: how large, and how many.

use std::{
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use imgn_protocol::UploadId;
use imgn_server::{Config, Server, StartError};
use imgn_testkit::pictures;
use reqwest::{Method, StatusCode, multipart::Form};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    sync::mpsc,
    time::timeout,
};

use crate::{
    clients::{PART, Parts, picture, presigned, put, shows, upload_form},
    harness::{Caller, Gallery, Reply, eventually, reply},
};

#[tokio::test]
async fn the_store_takes_no_more_by_a_url_than_the_gallery_takes() {
    let most = 2 * PART + 1000;
    let gallery = Gallery::start_with(|config| config.max_size = most as u64).await;
    let ada = &gallery.ada;
    let url = presigned(ada, "a.jpg", b"").await;
    let refused = ada.http.put(&url).body(vec![7; most + 1]).send().await;
    let refused = refused.unwrap();
    assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
    assert!(refused.text().await.unwrap().contains("EntityTooLarge"));

    let file = picture(1, most);
    let parts = Parts::create(ada, "a.jpg").await;
    let mut sent = Vec::new();
    for (number, piece) in (1..).zip(file.chunks(PART)) {
        sent.push(parts.send(number, piece).await);
    }
    // Those that are there can be sent again, and all of them are what the gallery takes.
    assert_eq!(parts.send(2, &file[PART..2 * PART]).await, sent[1]);
    assert_eq!(parts.complete(&sent).await.status, StatusCode::OK);
    assert_eq!(
        put(ada, &url, &pictures::jpeg(64, 48)).await,
        StatusCode::OK
    );
    shows(ada, &["64x48", "320x240"]).await;
}

#[tokio::test]
async fn parts_that_are_too_large_together_do_not_stay_until_somebody_sweeps() {
    let most = 2 * PART;
    let gallery = Gallery::start_with(|config| config.max_size = most as u64).await;
    let ada = &gallery.ada;
    let empty = gallery.stored_bytes();
    // One by itself, one beside another, and one that is larger than what it takes the place of.
    for (before, number, size) in [
        (None, 1, most + 1),
        (Some(PART), 2, PART + 1),
        (Some(9), 1, most + 1),
    ] {
        let parts = Parts::create(ada, "a.jpg").await;
        let [first, refused] = [parts.sign(1).await, parts.sign(number).await];
        if let Some(size) = before {
            assert_eq!(put(ada, &first, &vec![7; size]).await, StatusCode::OK);
        }
        let answer = ada
            .http
            .put(refused)
            .body(vec![7; size])
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
        let told = answer.text().await.unwrap();
        assert!(
            told.contains("EntityTooLarge") && told.contains(&most.to_string()),
            "{told}"
        );
        assert_eq!(gallery.stored_bytes(), empty);
        let over = parts.list().await;
        assert_eq!(over.code(), "not_found");
        assert!(
            over.json["detail"]
                .as_str()
                .unwrap()
                .contains("more was sent"),
            "{over:?}"
        );
    }
    // What is announced has a length for each part, and a mistake with one of them ends nothing.
    let file = picture(1, most);
    let id = UploadId::new();
    ada.open(id, "b.jpg", &file).await;
    let signed = ada.sign(id, &file).await.json;
    let url = signed["url"].as_str().unwrap();
    assert_eq!(
        put(ada, url, &vec![7; most + 1]).await,
        StatusCode::FORBIDDEN
    );
    ada.send(UploadId::new(), "b.jpg", &file).await;
}

#[tokio::test]
async fn what_is_sent_again_while_it_still_arrives_is_put_off_and_ends_nothing() {
    let most = 2 << 20;
    let file = picture(1, most);
    let gallery = Gallery::start_with(|config| config.max_size = most as u64).await;
    let (ada, empty) = (&gallery.ada, gallery.stored_bytes());
    let parts = Parts::create(ada, "a.jpg").await;
    // Two that have begun and do not go on, each with room for all of it.
    let mut held = Vec::new();
    for _ in 0..2 {
        let url = parts.sign(1).await;
        let (send, rest) = mpsc::channel::<Result<Vec<u8>, std::io::Error>>(2);
        let body = reqwest::Body::wrap_stream(ReceiverStream(rest));
        let request = ada.http.put(&url).header("content-length", most).body(body);
        send.send(Ok(file[..most / 2].to_vec())).await.unwrap();
        held.push((send, tokio::spawn(request.send())));
    }
    // The second is written behind the place of the first.
    eventually("both have begun", async || {
        gallery.stored_bytes() > empty + most as u64
    })
    .await;
    let url = parts.sign(1).await;
    let put_off = ada.http.put(&url).body(file.clone()).send().await.unwrap();
    assert_eq!(put_off.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(put_off.text().await.unwrap().contains("SlowDown"));
    for (send, sent) in held {
        send.send(Ok(file[most / 2..].to_vec())).await.unwrap();
        drop(send);
        assert_eq!(sent.await.unwrap().unwrap().status(), StatusCode::OK);
    }
    let sent = parts.send(1, &file).await;
    assert_eq!(parts.complete(&[sent]).await.status, StatusCode::OK);
}

/// What comes out of a channel, as a body.
struct ReceiverStream(mpsc::Receiver<Result<Vec<u8>, std::io::Error>>);

impl futures_util::Stream for ReceiverStream {
    type Item = Result<Vec<u8>, std::io::Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(context)
    }
}

async fn form(caller: &Caller) -> Reply {
    let file = reqwest::multipart::Part::bytes(vec![]).file_name("a.jpg");
    let form = Form::new().part("file", file);
    reply(caller.request(Method::POST, "/upload").multipart(form)).await
}

#[tokio::test]
async fn a_token_has_so_many_unannounced_uploads_under_way_and_no_more() {
    let gallery = Gallery::start_with(|config| config.max_pending = 3).await;
    let ada = &gallery.ada;
    let url = presigned(ada, "a.jpg", b"").await;
    assert_eq!(
        ada.get("/s3/params?filename=a.jpg").await.status,
        StatusCode::OK
    );
    let parts = Parts::create(ada, "a.jpg").await;
    let over = [
        form(ada).await,
        ada.get("/s3/params?filename=a.jpg").await,
        ada.post("/s3/multipart", &json!({"filename": "a.jpg"}))
            .await,
    ];
    for refused in over {
        assert_eq!(refused.code(), "rate_limited");
        assert!(refused.headers.contains_key("retry-after"), "{refused:?}");
    }
    // What was announced does not count, and others are not concerned.
    assert_eq!(
        ada.upload("a.jpg", &pictures::jpeg(9, 9)).await["state"],
        "published"
    );
    presigned(&gallery.caller("bob").await, "a.jpg", b"").await;
    // One that has ended makes room for another.
    assert_eq!(parts.abort().await.status, StatusCode::OK);
    let parts = Parts::create(ada, "a.jpg").await;
    assert_eq!(form(ada).await.code(), "rate_limited");
    assert_eq!(
        put(ada, &url, &pictures::jpeg(64, 48)).await,
        StatusCode::OK
    );
    eventually("what was sent is expected no more", async || {
        upload_form(ada, "a.jpg", b"").await.status() == StatusCode::OK
    })
    .await;
    // What is under way can be brought to its end.
    let sent = parts.send(1, &pictures::jpeg(80, 60)).await;
    assert_eq!(parts.complete(&[sent]).await.status, StatusCode::OK);
}

#[tokio::test]
async fn those_without_a_token_share_what_they_may_have_under_way_with_any_client() {
    let gallery = Gallery::start_with(|config| {
        config.anonymous_uploads = true;
        config.max_pending = 2;
    })
    .await;
    let nobody = gallery.anonymous();
    let (small, other) = (pictures::jpeg(64, 48), pictures::jpeg(48, 64));
    // Opened without a URL, it can hold nothing.
    let [first, second] = [UploadId::new(), UploadId::new()];
    assert_eq!(
        nobody.open(first, "a.jpg", &small).await.json["state"],
        "open"
    );
    assert_eq!(
        nobody.open(second, "b.jpg", &other).await.json["state"],
        "open"
    );
    nobody.sign(first, &small).await.signed();
    Parts::create(&nobody, "c.jpg").await;
    for refused in [
        nobody.sign(second, &other).await,
        nobody
            .open(UploadId::new(), "d.jpg", &pictures::jpeg(32, 32))
            .await,
        form(&nobody).await,
    ] {
        assert_eq!(refused.code(), "rate_limited");
    }
    // Those who have a token are not concerned, and what has a URL gets another.
    presigned(&gallery.ada, "a.jpg", b"").await;
    let signed = nobody.sign(first, &small).await.signed();
    let sent = nobody.send_signed(&signed, &small).await;
    assert_eq!(sent.status(), StatusCode::OK);
    assert_eq!(nobody.outcome(first).await["state"], "published");
    nobody.sign(second, &other).await.signed();
}

#[tokio::test]
async fn what_cannot_be_looked_for_is_not_asked_for_again_and_again() {
    let gallery = Gallery::start_with(|config| {
        config.timing.look_after = Some(Duration::from_millis(10));
        config.timing.sweep_every = Duration::from_secs(3600);
    })
    .await;
    let ada = &gallery.ada;
    // Counts the attempts to write down when it is looked for next, and lets none succeed.
    gallery
        .sql(
            "CREATE TABLE attempts (one INTEGER);
             CREATE TRIGGER broken BEFORE UPDATE OF look_at ON staged BEGIN
                 INSERT INTO attempts VALUES (1);
                 SELECT RAISE(FAIL, 'broken');
             END",
        )
        .await;
    let attempts = async || gallery.count("SELECT count(*) FROM attempts").await;
    let url = presigned(ada, "a.jpg", b"").await;
    eventually("it is looked for", async || attempts().await > 0).await;
    for _ in 0..300 {
        assert_eq!(ada.get("/readyz").await.status, StatusCode::OK);
    }
    let attempts = attempts().await;
    assert!(
        attempts < 30,
        "{attempts} attempts in the time of 300 requests"
    );
    gallery.sql("DROP TRIGGER broken").await;
    assert_eq!(
        put(ada, &url, &pictures::jpeg(64, 48)).await,
        StatusCode::OK
    );
    shows(ada, &["64x48"]).await;
}

#[tokio::test]
async fn a_token_with_the_name_of_those_who_have_none_is_refused_at_the_start() {
    let mut gallery = Gallery::start().await;
    gallery.stop().await;
    // As an older server let its operator do.
    gallery
        .sql("UPDATE tokens SET name = 'anonymous' WHERE name = 'ada'")
        .await;
    let config = || {
        let mut config = Config::embedded(gallery.directory.path());
        config.anonymous_uploads = true;
        config
    };
    let refused = Server::start(config()).await.unwrap_err();
    assert!(matches!(refused, StartError::Token(_)), "{refused:?}");
    let told = refused.to_string();
    assert!(told.contains("token revoke anonymous"), "{told}");
    let catalogue = Server::catalogue(&config()).await.unwrap();
    catalogue.revoke_token("anonymous").await.unwrap();
    catalogue.close().await;
    Server::start(config()).await.unwrap().shutdown().await;
}

/// A connection from an address of this computer's, with the beginning of a request that does not go on.
async fn half_a_request(address: SocketAddr, last: u8, token: Option<&str>) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, last], 0).into()).unwrap();
    let mut stream = socket.connect(address).await.unwrap();
    let token = token.unwrap_or_default();
    let head = format!(
        "POST /upload HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\
         content-type: multipart/form-data; boundary=x\r\ncontent-length: 100000\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
        .write_all(
            b"--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.jpg\"\r\n\r\n",
        )
        .await
        .unwrap();
    stream
}

/// Each has half of all places, all of them at work: neither has more than the other, and both more than their share.
#[tokio::test]
async fn two_addresses_do_not_keep_a_third_one_out() {
    let gallery = Gallery::start_with(|config| config.max_connections = 16).await;
    let address = gallery.server().address();
    let mut held = Vec::new();
    for _ in 0..8 {
        for last in [2, 3] {
            held.push(half_a_request(address, last, gallery.ada.token.as_deref()).await);
        }
    }
    let nobody = gallery.anonymous();
    for _ in 0..3 {
        // As somebody else, each time on a connection of their own.
        let asked = timeout(Duration::from_secs(5), nobody.get("/healthz")).await;
        assert_eq!(asked.expect("a place").status, StatusCode::OK);
    }
    let file = pictures::jpeg(64, 48);
    assert_eq!(
        gallery.ada.upload("a.jpg", &file).await["state"],
        "published"
    );
}

#[tokio::test]
async fn a_form_that_drips_is_not_waited_for() {
    let gallery = Gallery::start_with(|config| {
        config.timing.form_time = Duration::from_secs(1);
    })
    .await;
    let address = gallery.server().address();
    let mut stream = half_a_request(address, 1, gallery.ada.token.as_deref()).await;
    let mut told = Vec::new();
    let (mut reads, mut writes) = stream.split();
    let dripping = async {
        // Never silent, and never at its end.
        while writes.write_all(b".").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        std::future::pending::<()>().await;
    };
    // Who is refused is heard out for a while before the answer.
    let answered = timeout(Duration::from_secs(60), async {
        tokio::select! {
            () = dripping => {}
            read = reads.read_buf(&mut told) => { read.unwrap(); }
        }
    });
    answered.await.expect("an answer");
    let told = String::from_utf8_lossy(&told);
    assert!(told.starts_with("HTTP/1.1 400 "), "{told}");
}
