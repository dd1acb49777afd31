//! What a token is good for, and for how long.

use std::time::Duration;

use imgn_protocol::{Timestamp, UploadId};
use imgn_server::{Grant, Role};
use imgn_testkit::pictures;
use reqwest::StatusCode;

use crate::harness::{Caller, Gallery};

async fn with(gallery: &Gallery, name: &str, grant: Grant) -> Caller {
    let token = gallery.server().add_token(name, grant).await.unwrap();
    Caller {
        token: Some(token.expose().to_owned()),
        ..gallery.ada.clone()
    }
}

#[tokio::test]
async fn a_token_that_has_expired_is_told_so() {
    let gallery = Gallery::start().await;
    let grant = Grant {
        expires_at: Some(Timestamp::now() - Duration::from_secs(1)),
        ..Role::Admin.into()
    };
    let late = with(&gallery, "late", grant).await;
    let refused = late.open(UploadId::new(), "a.jpg", b"a").await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    assert_eq!(refused.code(), "unauthorized");
    let detail = refused.json["detail"].as_str().unwrap();
    assert!(detail.contains("expired"), "{detail}");
    assert_eq!(refused.headers["www-authenticate"], "Bearer");
}

#[tokio::test]
async fn a_token_does_what_it_is_for_and_nothing_else() {
    let gallery = Gallery::start().await;
    let grant = |scopes: &str, role: Role| Grant {
        scopes: scopes.parse().unwrap(),
        ..role.into()
    };
    let camera = with(&gallery, "camera", grant("upload", Role::Uploader)).await;
    let moderator = with(&gallery, "moderator", grant("delete", Role::Admin)).await;
    let published = camera.upload("a.jpg", &pictures::jpeg(64, 48)).await;
    let path = format!("/v1/images/{}", published["image"]["id"].as_str().unwrap());
    assert_eq!(camera.delete(&path).await.code(), "forbidden");
    let open = UploadId::new();
    camera.open(open, "b.jpg", b"b").await;
    let ended = camera.delete(&format!("/v1/uploads/{open}")).await;
    assert_eq!(ended.status, StatusCode::NO_CONTENT, "{ended:?}");

    let refused = moderator.open(UploadId::new(), "c.jpg", b"c").await;
    assert_eq!(refused.code(), "forbidden");
    let refused = moderator.get("/s3/params?filename=c.jpg").await;
    assert_eq!(refused.code(), "forbidden");
    let deleted = moderator.delete(&path).await;
    assert_eq!(deleted.status, StatusCode::NO_CONTENT, "{deleted:?}");
}
