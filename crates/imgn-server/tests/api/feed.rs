//! What clients that show the whole gallery ask for: the timeline, ranges of it, and live changes.

use std::time::Duration;

use imgn_testkit::pictures;
use reqwest::{Method, Response, StatusCode};
use serde_json::Value;

use crate::harness::{Caller, Gallery};

async fn publish(caller: &Caller, name: &str, width: u32, height: u32) -> Value {
    let outcome = caller.upload(name, &pictures::jpeg(width, height)).await;
    assert_eq!(outcome["state"], "published", "{outcome}");
    outcome["image"].clone()
}

/// Sequences, times and ratios.
fn columns(bytes: &[u8]) -> (Vec<u32>, Vec<u32>, Vec<u16>) {
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    let count = word(0) as usize;
    assert_eq!(bytes.len(), 4 + 10 * count);
    let ratio = |n: usize| {
        let at = 4 + 8 * count + 2 * n;
        u16::from_le_bytes(bytes[at..at + 2].try_into().unwrap())
    };
    (
        (0..count).map(|n| word(4 + 4 * n)).collect(),
        (0..count).map(|n| word(4 + 4 * count + 4 * n)).collect(),
        (0..count).map(ratio).collect(),
    )
}

async fn timeline(caller: &Caller, query: &str) -> Response {
    let path = format!("/v1/timeline{query}");
    caller.request(Method::GET, &path).send().await.unwrap()
}

#[tokio::test]
async fn a_timeline_has_every_picture_in_order_and_its_tag_tells_when_it_changed() {
    let gallery = Gallery::start().await;
    let caller = gallery.anonymous();
    let empty = timeline(&caller, "").await.bytes().await.unwrap();
    assert_eq!(&empty[..], [0; 4]);

    let a = publish(&gallery.ada, "a.jpg", 100, 50).await;
    let b = publish(&gallery.ada, "beach one.jpg", 50, 100).await;
    let answer = timeline(&caller, "").await;
    assert_eq!(answer.headers()["content-type"], "application/octet-stream");
    assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
    let tag = answer.headers()["etag"].to_str().unwrap().to_owned();
    let (sequences, created, ratios) = columns(&answer.bytes().await.unwrap());
    let sequence = |image: &Value| u32::try_from(image["sequence"].as_u64().unwrap()).unwrap();
    assert_eq!(sequences, [sequence(&b), sequence(&a)]);
    assert_eq!(ratios, [1024, 4096]);
    let second: imgn_protocol::Timestamp = b["created_at"].as_str().unwrap().parse().unwrap();
    assert_eq!(i64::from(created[0]), second.as_second());

    let again = caller
        .request(Method::GET, "/v1/timeline")
        .header("if-none-match", &tag);
    assert_eq!(
        again.send().await.unwrap().status(),
        StatusCode::NOT_MODIFIED
    );
    gallery
        .ada
        .delete(&format!("/v1/images/{}", a["id"].as_str().unwrap()))
        .await;
    let after = timeline(&caller, "").await;
    assert_ne!(after.headers()["etag"], tag.as_str());
    assert_eq!(columns(&after.bytes().await.unwrap()).0, [sequence(&b)]);

    for (q, found) in [
        ("?q=ONE+bea", 1),
        ("?q=ada", 1),
        ("?q=two", 0),
        ("?q=beach+two", 0),
        ("?q=++", 1),
    ] {
        let answer = timeline(&caller, q).await;
        let found_now = columns(&answer.bytes().await.unwrap()).0.len();
        assert_eq!(found_now, found, "{q}");
    }
    let today = second.strftime("%Y-%m-%d+%B").to_string();
    let answer = timeline(&caller, &format!("?q={today}")).await;
    assert_eq!(
        columns(&answer.bytes().await.unwrap()).0.len(),
        1,
        "{today}"
    );
    let long = timeline(&caller, &format!("?q={}", "a".repeat(400))).await;
    assert_eq!(long.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_range_of_the_timeline_is_read_by_its_sequences() {
    let gallery = Gallery::start().await;
    let mut images = Vec::new();
    for n in 0..4 {
        images.push(publish(&gallery.ada, &format!("{n}.jpg"), 50 + n, 40).await);
    }
    let (low, high) = (&images[1]["sequence"], &images[2]["sequence"]);
    let page = gallery
        .anonymous()
        .get(&format!("/v1/images?sequences={low}-{high}&limit=500"))
        .await
        .json;
    assert_eq!(
        page["images"],
        Value::from(vec![images[2].clone(), images[1].clone()])
    );
    assert_eq!(page["next_cursor"], Value::Null);
    for bad in ["1", "-", "1-", "a-b", "1-2-3", "-1-5"] {
        let answer = gallery
            .ada
            .get(&format!("/v1/images?sequences={bad}"))
            .await;
        assert_eq!(answer.code(), "invalid_request", "{bad}");
    }
    let reversed = gallery.ada.get("/v1/images?sequences=9-1").await.json;
    assert_eq!(reversed["images"], Value::from(Vec::<Value>::new()));
}

/// What arrives until `enough` of it is there.
async fn listen(response: &mut Response, enough: impl Fn(&str) -> bool) -> String {
    let mut text = String::new();
    let read = async {
        while !enough(&text) {
            let chunk = response.chunk().await.unwrap().unwrap();
            text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    };
    let read = tokio::time::timeout(Duration::from_secs(10), read).await;
    read.unwrap_or_else(|_| panic!("only {text:?}"));
    text
}

#[tokio::test]
async fn listeners_hear_each_change_once_and_go_on_where_they_were() {
    let mut gallery = Gallery::start().await;
    let a = publish(&gallery.ada, "a.jpg", 50, 40).await;
    let caller = gallery.anonymous();
    let mut live = caller
        .request(Method::GET, "/v1/events")
        .send()
        .await
        .unwrap();
    assert_eq!(live.headers()["content-type"], "text/event-stream");
    let hello = listen(&mut live, |text| text.contains("\n\n")).await;
    assert!(hello.starts_with("event: feed\n"), "{hello}");
    assert!(!hello.contains("event: change"), "{hello}");

    let b = publish(&gallery.ada, "b.jpg", 51, 40).await;
    let id = a["id"].as_str().unwrap();
    gallery.ada.delete(&format!("/v1/images/{id}")).await;
    let told = listen(&mut live, |text| {
        text.contains("deleted") && text.ends_with("\n\n")
    })
    .await;
    assert_eq!(told.matches("event: change").count(), 2, "{told}");
    assert!(told.contains(&format!("id: {}\n", b["sequence"])), "{told}");

    let resumed = caller
        .request(Method::GET, "/v1/events")
        .header("last-event-id", b["sequence"].to_string());
    let mut resumed = resumed.send().await.unwrap();
    let told = listen(&mut resumed, |text| text.contains("deleted")).await;
    assert_eq!(told.matches("event: change").count(), 1, "{told}");

    let bad = caller
        .request(Method::GET, "/v1/events")
        .header("last-event-id", "x");
    assert_eq!(bad.send().await.unwrap().status(), StatusCode::BAD_REQUEST);

    // The end of the server is the end of both, at once and in order.
    gallery.stop().await;
    assert_eq!(live.chunk().await.unwrap(), None);
    assert_eq!(resumed.chunk().await.unwrap(), None);
}

#[tokio::test]
async fn listeners_are_as_many_as_half_of_the_connections() {
    let gallery = Gallery::start_with(|config| config.max_connections = 4).await;
    let caller = gallery.anonymous();
    let listen = || caller.request(Method::GET, "/v1/events").send();
    let (first, second) = (listen().await.unwrap(), listen().await.unwrap());
    assert_eq!(
        listen().await.unwrap().status(),
        StatusCode::SERVICE_UNAVAILABLE
    );
    assert!(first.status().is_success() && second.status().is_success());
}

#[tokio::test]
async fn whoever_is_further_than_the_feed_learns_so() {
    let gallery = Gallery::start().await;
    let caller = gallery.anonymous();
    publish(&gallery.ada, "a.jpg", 100, 50).await;
    let here = caller.get("/v1/changes?since=0").await.json;
    let last = here["last"].as_u64().unwrap();
    // As after a catalogue was restored that is older than what a client has seen of it.
    let ahead = caller
        .get(&format!("/v1/changes?since={}", last + 40))
        .await
        .json;
    assert_eq!(ahead["changes"], Value::Array(vec![]));
    assert_eq!(ahead["last"], last, "{ahead}");
}
