//! Sign-in by OpenID Connect: whose tokens are taken, and whose are not.

use std::time::Duration;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use imgn_protocol::{Timestamp, UploadId};
use imgn_server::{Config, OidcConfig};
use imgn_testkit::{issuer::Issuer, pictures};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::harness::{Caller, Gallery, Reply};

const AUDIENCE: &str = "imgn";

fn by(issuer: &Issuer) -> impl FnOnce(&mut Config) + use<> {
    let url = issuer.url().to_owned();
    move |config| config.oidc = Some(OidcConfig::new(&url, AUDIENCE))
}

/// Seconds since 1970, so many from now.
fn within(seconds: i64) -> i64 {
    Timestamp::now().as_second() + seconds
}

fn claims(issuer: &Issuer, subject: &str) -> Value {
    json!({
        "iss": issuer.url(),
        "aud": AUDIENCE,
        "sub": subject,
        "exp": within(300),
        "iat": within(0),
    })
}

/// Claims with one of them changed, or left out for `null`.
fn with(claims: &Value, name: &str, value: Value) -> Value {
    let mut claims = claims.clone();
    let object = claims.as_object_mut().unwrap();
    if value.is_null() {
        object.remove(name);
    } else {
        object.insert(name.to_owned(), value);
    }
    claims
}

fn holder(gallery: &Gallery, token: String) -> Caller {
    Caller {
        token: Some(token),
        ..gallery.ada.clone()
    }
}

async fn ask(gallery: &Gallery, token: String) -> Reply {
    let path = format!("/v1/uploads/{}", UploadId::new());
    holder(gallery, token).get(&path).await
}

/// Whether a token is taken; that the upload is not there is beside the point.
async fn is_taken(gallery: &Gallery, token: String) -> bool {
    let answer = ask(gallery, token).await;
    match answer.status {
        StatusCode::NOT_FOUND => true,
        StatusCode::UNAUTHORIZED => {
            assert_eq!(answer.code(), "unauthorized");
            false
        }
        _ => panic!("{answer:?}"),
    }
}

#[tokio::test]
async fn who_signs_in_owns_what_they_upload_with_each_kind_of_key() {
    for algorithm in ["RS256", "ES256", "EdDSA"] {
        let issuer = Issuer::start(algorithm).await.unwrap();
        let gallery = Gallery::start_with(by(&issuer)).await;
        let eve = holder(&gallery, issuer.sign(&claims(&issuer, "eve")));
        let published = eve.upload("a.jpg", &pictures::jpeg(64, 48)).await;
        assert_eq!(published["image"]["owner"], "oidc:eve", "{algorithm}");
        let path = format!("/v1/images/{}", published["image"]["id"].as_str().unwrap());
        let other = holder(&gallery, issuer.sign(&claims(&issuer, "mallory")));
        assert_eq!(other.delete(&path).await.code(), "forbidden");
        // Another token of the same person.
        let later = with(&claims(&issuer, "eve"), "exp", json!(within(600)));
        let again = holder(&gallery, issuer.sign(&later));
        assert_eq!(again.delete(&path).await.status, StatusCode::NO_CONTENT);
        assert_eq!(issuer.asked(), 1, "its keys are kept");
        // The server's own tokens stand beside.
        let ada = gallery.ada.open(UploadId::new(), "b.jpg", b"b").await;
        assert_eq!(ada.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn what_the_issuer_did_not_say_to_this_gallery_at_this_time_is_refused() {
    let issuer = Issuer::start("ES256").await.unwrap();
    let gallery = Gallery::start_with(by(&issuer)).await;
    let good = claims(&issuer, "eve");
    for (name, value) in [
        ("iss", json!("https://elsewhere.example")),
        ("iss", Value::Null),
        ("aud", json!("another")),
        ("aud", json!(["another", "one more"])),
        ("aud", Value::Null),
        ("exp", json!(within(-70))),
        ("exp", json!("tomorrow")),
        ("exp", Value::Null),
        ("nbf", json!(within(70))),
        ("nbf", json!("yesterday")),
        ("sub", Value::Null),
        ("sub", json!("")),
        ("sub", json!("a\nb")),
        ("sub", json!(7)),
        ("sub", json!("a".repeat(256))),
        ("padding", json!("a".repeat(8 * 1024))),
    ] {
        let bad = issuer.sign(&with(&good, name, value.clone()));
        assert!(!is_taken(&gallery, bad).await, "{name}: {value}");
    }
    // A minute is no matter.
    for (name, value) in [
        ("exp", json!(within(-50))),
        ("nbf", json!(within(50))),
        ("aud", json!(["another", AUDIENCE])),
    ] {
        let fair = issuer.sign(&with(&good, name, value.clone()));
        assert!(is_taken(&gallery, fair).await, "{name}: {value}");
    }
    let late = ask(
        &gallery,
        issuer.sign(&with(&good, "exp", json!(within(-70)))),
    )
    .await;
    let detail = late.json["detail"].as_str().unwrap();
    assert!(detail.contains("has expired"), "{detail}");
}

#[tokio::test]
async fn a_forged_signature_is_refused_whatever_the_header_says_of_it() {
    let issuer = Issuer::start("ES256").await.unwrap();
    let gallery = Gallery::start_with(by(&issuer)).await;
    let good = claims(&issuer, "eve");
    let header = issuer.header();
    let signed = issuer.sign(&good);
    assert!(is_taken(&gallery, signed.clone()).await);
    let encode = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
    let (message, signature) = signed.rsplit_once('.').unwrap();
    let (head, _) = message.split_once('.').unwrap();
    let admin = encode(&with(&good, "sub", json!("root")).to_string());
    let hmac = |algorithm: ring::hmac::Algorithm, name: &str| {
        let head = encode(&with(&header, "alg", json!(name)).to_string());
        let message = format!("{head}.{admin}");
        let key = ring::hmac::Key::new(algorithm, &issuer.published_key());
        let tag = ring::hmac::sign(&key, message.as_bytes());
        format!("{message}.{}", BASE64_URL_SAFE_NO_PAD.encode(tag))
    };
    let none = |name: &str| {
        let head = encode(&with(&header, "alg", json!(name)).to_string());
        format!("{head}.{admin}.")
    };
    let mut other = BASE64_URL_SAFE_NO_PAD.decode(signature).unwrap();
    other[20] ^= 1;
    let stranger = Issuer::start("ES256").await.unwrap();
    for forged in [
        none("none"),
        none("None"),
        none("ES256"),
        hmac(ring::hmac::HMAC_SHA256, "HS256"),
        hmac(ring::hmac::HMAC_SHA384, "HS384"),
        hmac(ring::hmac::HMAC_SHA512, "HS512"),
        format!("{head}.{admin}.{signature}"),
        format!("{message}.{}", BASE64_URL_SAFE_NO_PAD.encode(other)),
        stranger.sign_as(&header, &good),
        issuer.sign_as(&with(&header, "alg", json!("RS256")), &good),
        issuer.sign_as(&with(&header, "alg", json!("ES384")), &good),
        issuer.sign_as(&with(&header, "kid", json!("another")), &good),
        issuer.sign_as(&with(&header, "crit", json!(["exp"])), &good),
        message.to_owned(),
        "a.b.c".to_owned(),
        "..".to_owned(),
    ] {
        assert!(!is_taken(&gallery, forged.clone()).await, "{forged}");
    }
    // There is one key of that kind.
    let nameless = issuer.sign_as(&with(&header, "kid", Value::Null), &good);
    assert!(is_taken(&gallery, nameless).await);
}

#[tokio::test]
async fn keys_are_rotated_and_nobody_can_make_the_server_ask_for_them_all_the_time() {
    let issuer = Issuer::start("EdDSA").await.unwrap();
    let gallery = Gallery::start_with(by(&issuer)).await;
    let old = issuer.sign(&claims(&issuer, "eve"));
    assert!(is_taken(&gallery, old).await);
    for number in 0..50 {
        let header = with(&issuer.header(), "kid", json!(format!("made-up-{number}")));
        let made_up = issuer.sign_as(&header, &claims(&issuer, "eve"));
        assert!(!is_taken(&gallery, made_up).await);
    }
    assert_eq!(issuer.asked(), 1, "once a minute");

    let issuer = Issuer::start("EdDSA").await.unwrap();
    let gallery = Gallery::start_with(|config| {
        by(&issuer)(config);
        config.oidc.as_mut().unwrap().ask_every = Duration::from_millis(1);
    })
    .await;
    let old = issuer.sign(&claims(&issuer, "eve"));
    assert!(is_taken(&gallery, old.clone()).await);
    issuer.rotate("ES256").unwrap();
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert!(is_taken(&gallery, issuer.sign(&claims(&issuer, "eve"))).await);
    assert!(!is_taken(&gallery, old).await, "its key was taken back");
    assert_eq!(issuer.asked(), 3);

    // While the issuer does not answer, its keys are as it told them.
    issuer.set_broken(true);
    assert!(is_taken(&gallery, issuer.sign(&claims(&issuer, "eve"))).await);
}

#[tokio::test]
async fn an_issuer_that_does_not_answer_is_told_apart_from_a_token_that_is_bad() {
    let issuer = Issuer::start("ES256").await.unwrap();
    let gallery = Gallery::start_with(|config| {
        by(&issuer)(config);
        config.oidc.as_mut().unwrap().ask_every = Duration::from_millis(1);
    })
    .await;
    issuer.set_broken(true);
    let token = issuer.sign(&claims(&issuer, "eve"));
    let answer = ask(&gallery, token.clone()).await;
    assert_eq!(answer.code(), "unavailable");
    assert!(answer.headers.contains_key("retry-after"));
    let ada = gallery.ada.open(UploadId::new(), "b.jpg", b"b").await;
    assert_eq!(ada.status, StatusCode::OK);
    issuer.set_broken(false);
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert!(is_taken(&gallery, token).await);
}

#[tokio::test]
async fn a_claim_says_who_may_do_what() {
    let issuer = Issuer::start("ES256").await.unwrap();
    let gallery = Gallery::start_with(|config| {
        by(&issuer)(config);
        config.oidc.as_mut().unwrap().role_claim = Some("realm_access.roles".to_owned());
    })
    .await;
    let published = gallery.ada.upload("a.jpg", &pictures::jpeg(64, 48)).await;
    let path = format!("/v1/images/{}", published["image"]["id"].as_str().unwrap());
    let of = |roles: Value| {
        let roles = with(
            &claims(&issuer, "eve"),
            "realm_access",
            json!({ "roles": roles }),
        );
        holder(&gallery, issuer.sign(&roles))
    };
    let open = UploadId::new();
    for nobody in [
        json!([]),
        json!(["admin"]),
        json!("imgn-administrator"),
        json!(7),
    ] {
        let refused = of(nobody.clone()).open(open, "b.jpg", b"b").await;
        assert_eq!(refused.code(), "forbidden", "{nobody}");
    }
    let uploader = of(json!(["offline_access", "imgn-uploader"]));
    assert_eq!(
        uploader.open(open, "b.jpg", b"b").await.status,
        StatusCode::OK
    );
    assert_eq!(uploader.delete(&path).await.code(), "forbidden");
    let admin = of(json!("imgn-admin"));
    assert_eq!(admin.delete(&path).await.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn without_an_issuer_no_signed_token_is_taken() {
    let issuer = Issuer::start("ES256").await.unwrap();
    let gallery = Gallery::start().await;
    assert!(!is_taken(&gallery, issuer.sign(&claims(&issuer, "eve"))).await);
    assert_eq!(issuer.asked(), 0);
}
