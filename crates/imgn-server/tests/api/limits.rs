//! How much one user, or one address, may ask for, and what they are told who ask for more.

use imgn_protocol::UploadId;
use imgn_server::Allowance;
use imgn_testkit::pictures;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::{Caller, Gallery, Reply, reply};

/// Seconds that somebody is asked to wait who asked for too much.
fn wait(refused: &Reply) -> u64 {
    assert_eq!(refused.code(), "rate_limited", "{refused:?}");
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    let seconds = refused.headers["retry-after"].to_str().unwrap();
    seconds.parse().unwrap()
}

fn detail(refused: &Reply) -> &str {
    refused.json["detail"].as_str().unwrap()
}

/// Asks until it is refused, and says how often it was not.
async fn until_refused(mut ask: impl AsyncFnMut() -> Reply) -> (u32, Reply) {
    for asked in 0..1000 {
        let answer = ask().await;
        if answer.status == StatusCode::TOO_MANY_REQUESTS {
            return (asked, answer);
        }
    }
    panic!("nothing was refused");
}

/// Somebody behind a proxy, who says so.
async fn behind(caller: &Caller, address: &str, method: Method, path: &str, body: Value) -> Reply {
    let request = caller.request(method, path).json(&body);
    reply(request.header("x-forwarded-for", address)).await
}

#[tokio::test]
async fn requests_are_counted_by_user_and_by_address() {
    let gallery = Gallery::start_with(|config| {
        config.allowances.user.requests = 1;
        config.allowances.address_requests = 4;
        config.trusted_proxies = 1;
    })
    .await;
    let path = format!("/v1/uploads/{}", UploadId::new());
    let ask = async |caller: &Caller, address: &str| {
        behind(caller, address, Method::GET, &path, Value::Null).await
    };
    // A minute's at once, wherever they are.
    let mut address = 0;
    let (asked, refused) = until_refused(async || {
        address += 1;
        ask(&gallery.ada, &format!("192.0.2.{}", address % 100)).await
    })
    .await;
    assert!((60..80).contains(&asked), "{asked}");
    assert!(wait(&refused) <= 2);
    assert!(detail(&refused).contains("with your token"), "{refused:?}");
    assert_eq!(ask(&gallery.admin, "192.0.2.1").await.code(), "not_found");

    let anonymous = gallery.anonymous();
    let (asked, refused) = until_refused(async || {
        behind(
            &anonymous,
            "203.0.113.1",
            Method::GET,
            "/v1/images",
            Value::Null,
        )
        .await
    })
    .await;
    assert!((240..400).contains(&asked), "{asked}");
    assert!(wait(&refused) <= 2);
    assert!(detail(&refused).contains("your address"), "{refused:?}");
    assert_eq!(refused.headers["access-control-allow-origin"], "*");
    for (address, path, status) in [
        ("203.0.113.1", "/healthz", StatusCode::OK),
        ("203.0.113.2", "/v1/images", StatusCode::OK),
        // What it says of itself is before what the proxy says of it.
        (
            "203.0.113.2, 203.0.113.1",
            "/v1/images",
            StatusCode::TOO_MANY_REQUESTS,
        ),
    ] {
        let answer = behind(&anonymous, address, Method::GET, path, Value::Null).await;
        assert_eq!(answer.status, status, "{address} {path}");
    }
}

#[tokio::test]
async fn nobody_is_believed_whom_they_were_asked_by_unless_the_operator_says_so() {
    let gallery = Gallery::start_with(|config| config.allowances.address_requests = 1).await;
    let mut address = 0;
    let (asked, _) = until_refused(async || {
        address += 1;
        let address = format!("203.0.113.{address}");
        behind(
            &gallery.ada,
            &address,
            Method::GET,
            "/v1/images",
            Value::Null,
        )
        .await
    })
    .await;
    assert!(asked < 100, "{asked}");
}

#[tokio::test]
async fn a_day_has_so_many_uploads_of_a_user_and_what_is_begun_can_be_ended() {
    let gallery = Gallery::start_with(|config| config.allowances.user.pictures_per_day = 3).await;
    let ada = &gallery.ada;
    let bytes = pictures::jpeg(64, 48);
    assert_eq!(ada.upload("a.jpg", &bytes).await["state"], "published");
    // The gallery has it: nothing is begun.
    for _ in 0..4 {
        let again = ada.open(UploadId::new(), "b.jpg", &bytes).await;
        assert_eq!(again.json["state"], "published", "{again:?}");
    }
    let second = UploadId::new();
    for _ in 0..4 {
        assert_eq!(ada.open(second, "c.jpg", b"c").await.json["state"], "open");
    }
    let third = UploadId::new();
    ada.send(third, "d.jpg", b"d").await;
    let refused = ada.open(UploadId::new(), "e.jpg", b"e").await;
    assert!(wait(&refused) <= 24 * 60 * 60);
    assert!(detail(&refused).contains("3 uploads today"), "{refused:?}");
    // What the gallery has is nobody's upload, also now.
    let again = ada.open(UploadId::new(), "b.jpg", &bytes).await;
    assert_eq!(again.json["state"], "published", "{again:?}");
    // Also not by another client.
    let refused = ada.get("/s3/params?filename=f.jpg").await;
    wait(&refused);
    let (again, sign) = (
        ada.open(second, "c.jpg", b"c").await,
        ada.sign(second, b"c").await,
    );
    assert_eq!(
        (again.status, sign.status),
        (StatusCode::OK, StatusCode::OK)
    );
    assert_eq!(ada.outcome(third).await["state"], "rejected");
    let bob = gallery.caller("bob").await;
    assert_eq!(
        bob.open(UploadId::new(), "e.jpg", b"e").await.json["state"],
        "open"
    );
}

#[tokio::test]
async fn a_day_has_so_many_bytes_and_a_user_so_many_open_uploads() {
    let gallery = Gallery::start_with(|config| {
        config.allowances.user = Allowance {
            bytes_per_day: 10,
            open_uploads: 2,
            ..Allowance::UNLIMITED
        };
    })
    .await;
    let ada = &gallery.ada;
    let open = async |bytes: &[u8]| ada.open(UploadId::new(), "a.jpg", bytes).await;
    let refused = open(&[1; 11]).await;
    assert!(detail(&refused).contains("10 bytes today"), "{refused:?}");
    let first = UploadId::new();
    assert_eq!(
        ada.open(first, "a.jpg", &[1; 4]).await.json["state"],
        "open"
    );
    assert_eq!(open(&[2; 4]).await.json["state"], "open");
    wait(&open(&[3; 4]).await);
    let refused = open(&[3; 1]).await;
    assert_eq!(wait(&refused), 60);
    assert!(detail(&refused).contains("2 uploads open"), "{refused:?}");
    ada.delete(&format!("/v1/uploads/{first}")).await;
    assert_eq!(open(&[3; 1]).await.json["state"], "open");
}

#[tokio::test]
async fn strangers_have_less_each_by_their_address() {
    let gallery = Gallery::start_with(|config| {
        config.anonymous_uploads = true;
        config.trusted_proxies = 1;
        config.allowances.anonymous.pictures_per_day = 2;
        config.allowances.anonymous.open_uploads = 1;
    })
    .await;
    let anonymous = gallery.anonymous();
    let open = async |address: &str| {
        let id = UploadId::new();
        let body = json!({"file_name": "a.jpg", "size": 1, "sha256": imgn_protocol::Sha256::of(id.to_string().as_bytes())});
        let path = format!("/v1/uploads/{id}");
        (
            path.clone(),
            behind(&anonymous, address, Method::PUT, &path, body).await,
        )
    };
    let (first, opened) = open("203.0.113.1").await;
    assert_eq!(opened.json["state"], "open", "{opened:?}");
    let (_, refused) = open("203.0.113.1").await;
    assert!(detail(&refused).contains("1 uploads open"), "{refused:?}");
    let (_, opened) = open("2001:db8::1").await;
    assert_eq!(opened.json["state"], "open", "{opened:?}");
    let (_, refused) = open("2001:db8::2").await;
    wait(&refused);
    let known = "SELECT count(*) FROM uploads WHERE origin IS NOT NULL";
    assert_eq!(gallery.count(known).await, 2);
    anonymous.delete(&first).await;
    assert_eq!(
        gallery.count(known).await,
        1,
        "an address is kept of what is open"
    );
    let params = "/s3/params?filename=a.jpg";
    let form = behind(&anonymous, "203.0.113.1", Method::GET, params, Value::Null).await;
    assert_eq!(form.status, StatusCode::OK, "{form:?}");
    let (_, refused) = open("203.0.113.1").await;
    assert!(detail(&refused).contains("2 uploads today"), "{refused:?}");
    // Who has a token is not a stranger.
    assert_eq!(
        gallery
            .ada
            .open(UploadId::new(), "a.jpg", b"a")
            .await
            .status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn bytes_that_nobody_announced_count_when_they_are_there() {
    let gallery = Gallery::start_with(|config| {
        config.allowances.user.bytes_per_day = 10_000;
    })
    .await;
    let ada = &gallery.ada;
    let url = crate::clients::presigned(ada, "a.jpg", b"").await;
    let bytes = pictures::jpeg(64, 48);
    assert_eq!(crate::clients::put(ada, &url, &bytes).await, StatusCode::OK);
    crate::clients::shows(ada, &["64x48"]).await;
    let rest = vec![7; 10_001 - bytes.len()];
    wait(&ada.open(UploadId::new(), "b.jpg", &rest).await);
    let opened = ada.open(UploadId::new(), "b.jpg", &rest[1..]).await;
    assert_eq!(opened.json["state"], "open", "{opened:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_hangs_up_is_counted_and_known_all_the_same() {
    let gallery = Gallery::start_with(|config| {
        config.anonymous_uploads = true;
        config.allowances.anonymous.open_uploads = 1000;
    })
    .await;
    let anonymous = gallery.anonymous();
    for number in 0..60 {
        crate::audit::hang_up(&anonymous, number).await;
    }
    // Answered after all that was begun before it.
    anonymous.open(UploadId::new(), "a.jpg", b"a").await;
    let opened = "SELECT count(*) FROM uploads WHERE state = 'open'";
    let known = "SELECT count(*) FROM uploads WHERE state = 'open' AND origin IS NOT NULL";
    let counted = "SELECT coalesce(sum(pictures), 0) FROM usage";
    crate::harness::eventually("each is known and counted", async || {
        let opened = gallery.count(opened).await;
        opened == gallery.count(known).await && opened == gallery.count(counted).await
    })
    .await;
}
