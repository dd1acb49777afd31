//! Small pictures through the server itself, where its settings allow them.

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use imgn_protocol::UploadId;
use imgn_server::Config;
use imgn_testkit::pictures;
use reqwest::{Body, Method, StatusCode};
use tokio::sync::mpsc;

use crate::{
    clients::picture,
    harness::{Caller, Gallery, Reply, reply},
};

pub(crate) async fn relay(caller: &Caller, id: UploadId, bytes: impl Into<Body>) -> Reply {
    let path = format!("/v1/uploads/{id}/content");
    let request = caller.request(Method::PUT, &path).body(bytes);
    reply(request.header("content-type", "image/jpeg")).await
}

#[tokio::test]
async fn a_small_picture_goes_through_the_server_where_that_is_allowed() {
    let gallery = Gallery::start_with(|config| config.relay_max_size = Some(50_000)).await;
    let ada = &gallery.ada;
    let file = pictures::jpeg(64, 48);
    let id = UploadId::new();
    ada.open(id, "a.jpg", &file).await;
    let bob = gallery.caller("bob").await;
    assert_eq!(relay(&bob, id, file.clone()).await.code(), "not_found");
    for _ in 0..2 {
        let answer = relay(ada, id, file.clone()).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        assert_eq!(answer.json["parts"][0]["size"], file.len());
    }
    assert_eq!(ada.outcome(id).await["state"], "published");
    assert_eq!(relay(ada, id, file).await.code(), "upload_closed");

    let large = vec![7; 50_001];
    let id = UploadId::new();
    ada.open(id, "b.jpg", &large).await;
    assert_eq!(relay(ada, id, large).await.code(), "too_large");
}

#[tokio::test]
async fn a_picture_that_was_taken_for_text_is_refused_and_nothing_is_stored() {
    let gallery = Gallery::start_with(|config| config.relay_max_size = Some(50_000)).await;
    let ada = &gallery.ada;
    let file = pictures::jpeg(64, 48);
    let id = UploadId::new();
    ada.open(id, "a.jpg", &file).await;
    let empty = gallery.stored_bytes();
    let text = String::from_utf8_lossy(&file).into_owned();
    let answer = relay(ada, id, text.into_bytes()).await;
    assert_eq!(answer.code(), "checksum_mismatch");
    let told = answer.json["detail"].as_str().unwrap();
    assert!(told.contains("binary media types"), "{told}");
    assert_eq!(relay(ada, id, vec![7; 10]).await.code(), "size_mismatch");
    assert_eq!(
        relay(ada, id, vec![7; 40_000]).await.code(),
        "size_mismatch"
    );
    assert_eq!(gallery.stored_bytes(), empty);
    assert_eq!(ada.complete(id).await.code(), "not_uploaded");
    // It is still open for the right ones.
    assert_eq!(relay(ada, id, file).await.status, StatusCode::OK);
}

#[tokio::test]
async fn no_picture_goes_through_the_server_by_default() {
    let gallery = Gallery::start().await;
    let file = pictures::jpeg(64, 48);
    let id = UploadId::new();
    gallery.ada.open(id, "a.jpg", &file).await;
    assert_eq!(relay(&gallery.ada, id, file).await.code(), "not_found");
}

#[tokio::test]
async fn pictures_on_the_way_through_the_server_share_the_memory_of_the_largest() {
    let most = Config::LARGEST_RELAY_SIZE;
    let gallery = Gallery::start_with(|config| config.relay_max_size = Some(most)).await;
    let large = Bytes::from(picture(1, usize::try_from(most).unwrap()));
    let small = pictures::jpeg(64, 48);
    let [first, second] = [UploadId::new(), UploadId::new()];
    gallery.ada.open(first, "a.jpg", &large).await;
    gallery.ada.open(second, "b.jpg", &small).await;

    // Its last MiB does not come. All before it is more than lies on the way: the server reads.
    let (pieces, body) = mpsc::channel::<Bytes>(1);
    let body = stream::unfold(body, async |mut body| {
        let piece = body.recv().await?;
        Some((Ok::<_, Infallible>(piece), body))
    });
    let sender = gallery.ada.clone();
    let body = Body::wrap_stream(body);
    let taken = tokio::spawn(async move { relay(&sender, first, body).await });
    let last = large.len() - (1 << 20);
    let mut sent = 0;
    while sent < last {
        let end = last.min(sent + (1 << 16));
        pieces.send(large.slice(sent..end)).await.unwrap();
        sent = end;
    }
    let sender = gallery.ada.clone();
    let waiting = tokio::spawn(async move { relay(&sender, second, small).await });
    for _ in 0..100 {
        assert_eq!(gallery.ada.get("/v1/images").await.status, StatusCode::OK);
    }
    assert!(!waiting.is_finished(), "there is no memory for it");
    pieces.send(large.slice(last..)).await.unwrap();
    drop(pieces);
    assert_eq!(taken.await.unwrap().status, StatusCode::OK);
    assert_eq!(waiting.await.unwrap().status, StatusCode::OK);
}

/// A body of which this much comes, and then neither more nor its end.
fn stalled(sent: &[u8]) -> Body {
    let sent = stream::iter([Ok::<_, Infallible>(Bytes::copy_from_slice(sent))]);
    Body::wrap_stream(sent.chain(stream::pending()))
}

#[tokio::test]
async fn a_picture_that_does_not_get_its_turn_is_asked_to_come_again() {
    let gallery = Gallery::start_with(|config| {
        config.relay_max_size = Some(50_000);
        // For the first, longer than the second takes.
        config.timing.relay_wait = Duration::from_secs(2);
    })
    .await;
    let ada = gallery.ada.clone();
    let [first, second] = [UploadId::new(), UploadId::new()];
    let large = picture(1, 50_000);
    let small = pictures::jpeg(64, 48);
    ada.open(first, "a.jpg", &large).await;
    ada.open(second, "b.jpg", &small).await;
    let sender = ada.clone();
    let body = stalled(&large[..1000]);
    let stalls = tokio::spawn(async move { relay(&sender, first, body).await });
    let refused = loop {
        let answer = relay(&ada, second, small.clone()).await;
        if answer.status != StatusCode::OK {
            break answer;
        }
        assert!(!stalls.is_finished());
    };
    assert_eq!(refused.code(), "rate_limited");
    // Who goes away gives the turn back.
    stalls.abort();
    while relay(&ada, second, small.clone()).await.status != StatusCode::OK {}
    assert_eq!(ada.outcome(second).await["state"], "published");
}

#[tokio::test]
async fn a_sender_who_stalls_does_not_keep_the_others_waiting() {
    let gallery = Gallery::start_with(|config| {
        config.relay_max_size = Some(50_000);
        config.timing.relay_time = Duration::from_millis(500);
    })
    .await;
    let ada = &gallery.ada;
    let [first, second] = [UploadId::new(), UploadId::new()];
    let large = picture(1, 50_000);
    let small = pictures::jpeg(64, 48);
    ada.open(first, "a.jpg", &large).await;
    ada.open(second, "b.jpg", &small).await;
    let (stalls, passes) = tokio::join!(
        relay(ada, first, stalled(&large[..1000])),
        relay(ada, second, small)
    );
    assert_eq!(passes.status, StatusCode::OK, "{passes:?}");
    assert_eq!(stalls.code(), "size_mismatch");
    let told = stalls.json["detail"].as_str().unwrap();
    assert!(told.contains("\"a.jpg\" did not arrive in "), "{told}");
    assert_eq!(ada.complete(first).await.code(), "not_uploaded");
}
