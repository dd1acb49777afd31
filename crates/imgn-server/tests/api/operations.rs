//! What somebody learns who runs the server: metrics, and which request it was.

use imgn_protocol::UploadId;
use imgn_testkit::pictures;
use reqwest::{Method, StatusCode, header::HeaderValue};

use crate::harness::{Gallery, eventually};

/// The metrics as they are told.
async fn told(gallery: &Gallery) -> String {
    let address = gallery.server().metrics_address().unwrap();
    let url = format!("http://{address}/metrics");
    let answer = gallery.ada.http.get(url).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let content_type = &answer.headers()["content-type"];
    assert_eq!(content_type, "text/plain; version=0.0.4; charset=utf-8");
    answer.text().await.unwrap()
}

/// The value of a series, which is there.
fn value(text: &str, series: &str) -> f64 {
    let mut lines = text.lines();
    let line = lines.find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    let line = line.unwrap_or_else(|| panic!("no {series} in\n{text}"));
    line.parse().unwrap()
}

#[tokio::test]
async fn metrics_are_told_at_an_address_of_their_own() {
    let listen = |address: &str| Some(address.to_owned());
    let gallery = Gallery::start_with(|config| config.metrics_listen = listen("127.0.0.1:0")).await;
    let ada = &gallery.ada;
    assert_eq!(ada.get("/metrics").await.code(), "not_found");

    let bytes = pictures::jpeg(64, 48);
    ada.upload("a.jpg", &bytes).await;
    ada.upload("b.jpg", b"no picture").await;
    let open = UploadId::new();
    ada.open(open, "c.jpg", b"c").await;
    let nobody = gallery.anonymous();
    nobody.open(open, "c.jpg", b"c").await;
    let made_up = Method::from_bytes(b"MADE-UP").unwrap();
    ada.request(made_up, "/nowhere/at/all")
        .send()
        .await
        .unwrap();
    let listening = nobody.request(Method::GET, "/v1/events").send().await;

    let text = told(&gallery).await;
    for (series, expected) in [
        (
            r#"imgn_http_requests_total{route="/v1/uploads/{id}",method="PUT",status="200"}"#,
            3.0,
        ),
        (
            r#"imgn_http_requests_total{route="/v1/uploads/{id}",method="PUT",status="401"}"#,
            1.0,
        ),
        (
            r#"imgn_http_requests_total{route="none",method="other",status="404"}"#,
            1.0,
        ),
        ("imgn_presign_seconds_count", 2.0),
        ("imgn_verify_seconds_count", 2.0),
        ("imgn_publish_seconds_count", 1.0),
        (r#"imgn_publish_seconds_bucket{le="+Inf"}"#, 1.0),
        (
            "imgn_verified_bytes_total",
            (bytes.len() + b"no picture".len()) as f64,
        ),
        ("imgn_open_uploads", 1.0),
        ("imgn_verifications_waiting", 0.0),
        ("imgn_verifications_running", 0.0),
        ("imgn_event_listeners", 1.0),
    ] {
        assert_eq!(value(&text, series), expected, "{series} in\n{text}");
    }
    for errors in [
        r#"imgn_catalogue_errors_total{what="busy"}"#,
        r#"imgn_store_errors_total{what="unavailable"}"#,
    ] {
        assert!(value(&text, errors) >= 0.0);
    }
    assert!(!text.contains(&open.to_string()), "{text}");
    drop(listening);
    eventually("the sweeper tells what it did", async || {
        told(&gallery)
            .await
            .contains(r#"imgn_swept_total{what="failures"} 0"#)
    })
    .await;

    let address = gallery.server().metrics_address().unwrap();
    let elsewhere = format!("http://{address}/v1/images");
    let elsewhere = ada.http.get(elsewhere).send().await.unwrap();
    assert_eq!(elsewhere.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn there_are_no_metrics_unless_somebody_wants_them() {
    let gallery = Gallery::start().await;
    assert_eq!(gallery.server().metrics_address(), None);
}

#[tokio::test]
async fn each_answer_has_the_request_s_id() {
    let gallery = Gallery::start().await;
    let ask = async |id: &str| {
        let id = HeaderValue::from_bytes(id.as_bytes()).unwrap();
        let request = gallery.ada.request(Method::GET, "/healthz");
        let answer = request.header("x-request-id", id).send().await.unwrap();
        let id = answer.headers()["x-request-id"].clone();
        id.to_str().unwrap().to_owned()
    };
    assert_eq!(ask("proxy-1.2_A").await, "proxy-1.2_A");
    for bad in ["", "a b", "\u{fc}", &"a".repeat(65)] {
        let made = ask(bad).await;
        assert!(made.parse::<uuid::Uuid>().is_ok(), "{bad}: {made}");
    }
    let refused = gallery.anonymous().get("/nowhere").await;
    assert_eq!(refused.code(), "not_found");
    assert!(refused.headers.contains_key("x-request-id"));
}
