//! What every answer has, the OpenAPI document, tokens, and the web page.

use std::{
    collections::BTreeSet,
    io::{Read as _, Write as _},
    time::Duration,
};

use imgn_protocol::ErrorCode;
use imgn_server::{Catalogue, Database, Role, TokenError};
use imgn_testkit::pictures;
use reqwest::{Method, StatusCode};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::harness::{Gallery, reply};

#[tokio::test]
async fn nothing_is_answered_with_an_error_that_is_no_problem_document() {
    let gallery = Gallery::start().await;
    for (method, path, code) in [
        (Method::GET, "/nothing", "not_found"),
        (Method::GET, "/v1", "not_found"),
        (Method::GET, "/assets/nothing.js", "not_found"),
        (Method::GET, "/assets/../Cargo.toml", "not_found"),
        (Method::PATCH, "/v1/images", "method_not_allowed"),
        (Method::DELETE, "/healthz", "method_not_allowed"),
        (Method::POST, "/", "method_not_allowed"),
    ] {
        let answer = reply(gallery.ada.request(method.clone(), path)).await;
        assert_eq!(answer.code(), code, "{method} {path}");
        assert_eq!(answer.headers["x-content-type-options"], "nosniff");
        assert!(answer.headers.contains_key("x-request-id"));
        assert_eq!(
            answer.json["type"],
            format!("/problems/{code}"),
            "{method} {path}"
        );
    }
}

#[tokio::test]
async fn browsers_have_the_icon_that_they_ask_for_by_themselves() {
    let gallery = Gallery::start().await;
    let asked = gallery.anonymous().request(Method::GET, "/favicon.ico");
    let answer = asked.send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()["content-type"], "image/png");
    assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
    assert!(answer.headers().contains_key("content-security-policy"));
    assert!(answer.bytes().await.unwrap().starts_with(b"\x89PNG"));
}

/// As browsers do it: all is sent, and only then is the answer read. What was refused long before must be readable still.
#[tokio::test]
async fn who_is_refused_while_sending_reads_why() {
    let gallery = Gallery::start().await;
    let address = gallery.ada.url.trim_start_matches("http://").to_owned();
    let token = gallery.ada.token.clone().unwrap();
    for (head, code) in [
        (
            "PUT /v1/uploads/0192f0c1-2345-7000-8000-000000000000",
            "too_large",
        ),
        ("PUT /nothing", "not_found"),
        ("PUT /imgn-pictures/originals/1", "AccessDenied"),
    ] {
        let (address, token) = (address.clone(), token.clone());
        let told = tokio::task::spawn_blocking(move || {
            let mut stream = std::net::TcpStream::connect(address).unwrap();
            let body = vec![b' '; 20_000_000];
            let head = format!(
                "{head} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\
                 content-type: application/json\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            stream.write_all(head.as_bytes()).unwrap();
            stream.write_all(&body).expect("all of it is heard out");
            let mut told = String::new();
            stream.read_to_string(&mut told).unwrap();
            told
        });
        let told = told.await.unwrap();
        assert!(told.contains(code), "{head}: {told}");
    }
}

#[tokio::test]
async fn a_link_to_a_picture_is_a_page_that_tells_what_it_shows() {
    let gallery = Gallery::start().await;
    let file = pictures::jpeg(90, 60);
    let name = "a \"quoted\" <b> & c.jpg";
    let image = gallery.ada.upload(name, &file).await["image"].clone();
    let id = image["id"].as_str().unwrap();
    let page = gallery
        .anonymous()
        .request(Method::GET, &format!("/i/{id}"))
        .send()
        .await
        .unwrap();
    assert!(page.headers().contains_key("content-security-policy"));
    let is_built = page.status() != StatusCode::SERVICE_UNAVAILABLE;
    let html = page.text().await.unwrap();
    for path in ["no-id", "0192f0c1-2345-7000-8000-000000000000"] {
        let page = gallery
            .anonymous()
            .request(Method::GET, &format!("/i/{path}"));
        let page = page.send().await.unwrap();
        let expected = if is_built { 404 } else { 503 };
        assert_eq!(page.status(), expected, "{path}");
        assert!(!page.text().await.unwrap().contains("og:"), "{path}");
    }
    // A server that was built without its page says so here as everywhere.
    if is_built {
        let title = "content=\"a &quot;quoted&quot; &lt;b&gt; &amp; c.jpg\"";
        assert!(html.contains(title), "{html}");
        let thumb = format!("{}/v1/images/{id}/thumb/1280", gallery.ada.url);
        assert!(html.contains(&thumb), "{html}");
        assert!(
            gallery
                .ada
                .get(&format!("/v1/images/{id}/thumb/1280"))
                .await
                .status
                .is_success()
        );
        let worker = reply(gallery.anonymous().request(Method::GET, "/sw.js")).await;
        let policy = worker.headers["content-security-policy"].to_str().unwrap();
        assert!(policy.contains("connect-src 'self'"), "{policy}");
        for path in [
            "/manifest.webmanifest",
            "/icon-192.png",
            "/icon-512.png",
            "/icon-maskable-512.png",
        ] {
            let file = gallery
                .anonymous()
                .request(Method::GET, path)
                .send()
                .await
                .unwrap();
            assert_eq!(file.status(), StatusCode::OK, "{path}");
        }
    }
}

#[tokio::test]
async fn pages_of_other_origins_may_read_and_write() {
    let gallery = Gallery::start().await;
    let preflight = gallery
        .anonymous()
        .request(
            Method::OPTIONS,
            "/v1/uploads/0192f0c1-2345-7000-8000-000000000000",
        )
        .header("origin", "https://elsewhere.example")
        .header("access-control-request-method", "PUT")
        .header(
            "access-control-request-headers",
            "authorization,content-type",
        );
    let answer = reply(preflight).await;
    assert!(answer.status.is_success());
    assert_eq!(answer.headers["access-control-allow-origin"], "*");
    let allowed = answer.headers["access-control-allow-headers"]
        .to_str()
        .unwrap();
    assert!(allowed.contains("authorization"), "{allowed}");
    assert!(
        !answer
            .headers
            .contains_key("access-control-allow-credentials")
    );

    let refused = gallery
        .anonymous()
        .request(Method::GET, "/nothing")
        .header("origin", "https://elsewhere.example");
    let answer = reply(refused).await;
    assert_eq!(answer.headers["access-control-allow-origin"], "*");
}

#[tokio::test]
async fn the_server_lives_and_is_ready() {
    let gallery = Gallery::start().await;
    for path in ["/healthz", "/readyz"] {
        let answer = gallery.anonymous().get(path).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.json["status"], "ok");
    }
}

#[tokio::test]
async fn the_openapi_document_names_every_call_and_every_code() {
    let gallery = Gallery::start().await;
    let document = gallery.anonymous().get("/openapi.json").await.json;
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let mut calls = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            calls.push(format!("{method} {path}"));
            let secured = operation["security"] != Value::Null;
            let writes =
                method != "get" || path.starts_with("/v1/uploads") || path.starts_with("/s3/");
            assert_eq!(secured, writes, "{method} {path}");
        }
    }
    calls.sort();
    assert_eq!(
        calls,
        [
            "delete /s3/multipart/{uploadId}",
            "delete /v1/images/{id}",
            "delete /v1/uploads/{id}",
            "get /gallery",
            "get /healthz",
            "get /readyz",
            "get /s3/multipart/{uploadId}",
            "get /s3/multipart/{uploadId}/batch",
            "get /s3/multipart/{uploadId}/{partNumber}",
            "get /s3/params",
            "get /s3/sts",
            "get /v1/changes",
            "get /v1/events",
            "get /v1/images",
            "get /v1/images/{id}",
            "get /v1/images/{id}/content",
            "get /v1/images/{id}/thumb/{size}",
            "get /v1/timeline",
            "get /v1/uploads/{id}",
            "post /s3/multipart",
            "post /s3/multipart/{uploadId}/complete",
            "post /upload",
            "post /v1/uploads/{id}/complete",
            "post /v1/uploads/{id}/sign",
            "put /v1/uploads/{id}",
            "put /v1/uploads/{id}/content",
        ]
    );
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let codes = schemas["ErrorCode"]["enum"].as_array().unwrap();
    assert_eq!(codes.len(), ErrorCode::ALL.len());
    // How each refuses is told by its statuses, and no code is nobody's but that of a method which a path does not take.
    let mut told = BTreeSet::new();
    for operation in document["paths"].as_object().unwrap().values() {
        for operation in operation.as_object().unwrap().values() {
            let responses = operation["responses"].as_object().unwrap();
            assert!(!responses.contains_key("default"), "{operation}");
            for (status, response) in responses {
                let schema = &response["content"]["application/problem+json"]["schema"];
                let some = schema["allOf"][1]["properties"]["code"]["enum"].as_array();
                for code in some.into_iter().flatten() {
                    let code: ErrorCode = serde_json::from_value(code.clone()).unwrap();
                    assert_eq!(*status, code.status().to_string());
                    told.insert(code.as_str());
                }
            }
        }
    }
    let all: BTreeSet<_> = ErrorCode::ALL.iter().map(|code| code.as_str()).collect();
    let untold: Vec<_> = all.difference(&told).collect();
    assert_eq!(untold, [&"method_not_allowed"]);

    // Every reference leads somewhere.
    let text = document.to_string();
    for reference in text.split("\"#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(schemas.contains_key(name), "{name}");
    }
}

#[tokio::test]
async fn a_revoked_token_is_refused_at_once_and_its_name_can_have_another() {
    let gallery = Gallery::start().await;
    let database = format!(
        "sqlite://{}",
        gallery.directory.path().join("catalogue.sqlite3").display()
    );
    // As the `token` commands do it, beside the running server.
    let catalogue = Catalogue::open(&Database::Url(database)).await.unwrap();
    let taken = catalogue.add_token("ada", Role::Uploader).await;
    assert!(matches!(taken, Err(TokenError::Exists { .. })));
    let path = "/v1/uploads/0192f0c1-2345-7000-8000-000000000000";
    assert_eq!(gallery.ada.get(path).await.code(), "not_found");

    catalogue.revoke_token("ada").await.unwrap();
    assert_eq!(gallery.ada.get(path).await.code(), "unauthorized");
    let unknown = catalogue.revoke_token("ada").await;
    assert!(matches!(unknown, Err(TokenError::Unknown { .. })));
    let listed = catalogue.tokens().await.unwrap();
    let names: Vec<_> = listed.iter().map(|row| row.name.as_str()).collect();
    assert_eq!(names, ["root"]);

    let token = catalogue.add_token("ada", Role::Uploader).await.unwrap();
    let mut ada = gallery.ada.clone();
    ada.token = Some(token.expose().to_owned());
    assert_eq!(ada.get(path).await.code(), "not_found");
    for name in ["", " ada", "a\nb", &"x".repeat(65)] {
        let refused = catalogue.add_token(name, Role::Uploader).await;
        assert!(matches!(refused, Err(TokenError::Name)), "{name:?}");
    }
    catalogue.close().await;
}

#[tokio::test]
async fn tokens_are_not_kept() {
    let mut gallery = Gallery::start().await;
    let token = gallery.ada.token.clone().unwrap();
    gallery.stop().await;
    for entry in std::fs::read_dir(gallery.directory.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let bytes = std::fs::read(&path).unwrap();
            let found = bytes
                .windows(token.len())
                .any(|window| window == token.as_bytes());
            assert!(!found, "{}", path.display());
        }
    }
}

#[tokio::test]
async fn the_web_page_may_load_itself_and_pictures_and_nothing_else() {
    let gallery = Gallery::start().await;
    let anonymous = gallery.anonymous();
    let answer = anonymous.request(Method::GET, "/").send().await.unwrap();
    let headers = answer.headers();
    let policy = headers["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'; script-src 'self';"));
    assert!(!policy.contains("unsafe"));
    assert!(policy.contains(&gallery.ada.url), "the store's origin");
    assert_eq!(headers["referrer-policy"], "no-referrer");
    assert_eq!(headers["cache-control"], "no-cache");
    assert_eq!(headers["content-type"], "text/html; charset=utf-8");

    // What was built before this test was is in the program; a page that was not built says so.
    let page = answer.text().await.unwrap();
    let assets: Vec<_> = page
        .split('"')
        .filter(|text| text.starts_with("/assets/"))
        .collect();
    assert_eq!(assets.is_empty(), page.contains("without its web page"));
    for asset in assets {
        let answer = anonymous.request(Method::GET, asset).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{asset}");
        let cache = &answer.headers()["cache-control"];
        assert_eq!(cache, "public, max-age=31536000, immutable", "{asset}");
    }
}

#[tokio::test]
async fn pictures_may_do_nothing_on_the_origin_that_they_share_with_the_web_page() {
    let gallery = Gallery::start().await;
    let anonymous = gallery.anonymous();
    let published = gallery.ada.upload("a.jpg", &pictures::jpeg(64, 48)).await;
    let id = published["image"]["id"].as_str().unwrap();
    let path = format!("/v1/images/{id}/content");
    let moved = anonymous.request(Method::GET, &path).send().await.unwrap();
    let original = moved.headers()["location"].to_str().unwrap().to_owned();
    for (url, status) in [
        (original, StatusCode::OK),
        (
            format!("{}/v1/images/{id}/thumb/320", anonymous.url),
            StatusCode::OK,
        ),
        (
            format!("{}/imgn-pictures/originals/x", anonymous.url),
            StatusCode::FORBIDDEN,
        ),
    ] {
        let answer = anonymous.http.get(&url).send().await.unwrap();
        assert_eq!(answer.status(), status, "{url}");
        let headers = answer.headers();
        assert_eq!(headers["x-content-type-options"], "nosniff", "{url}");
        assert_eq!(
            headers["content-security-policy"], "default-src 'none'; sandbox",
            "{url}"
        );
    }
}

#[tokio::test]
async fn a_data_directory_may_have_any_name() {
    let directory = tempfile::tempdir().unwrap();
    let data_dir = directory.path().join("a %41 ?b=c #d");
    let gallery = Gallery::start_with(|config| config.data_dir = data_dir.clone()).await;
    assert_eq!(gallery.ada.get("/v1/images").await.status, StatusCode::OK);
    assert!(data_dir.join("catalogue.sqlite3").is_file());
    let beside: Vec<_> = std::fs::read_dir(directory.path()).unwrap().collect();
    assert_eq!(beside.len(), 1, "{beside:?}");
}

#[tokio::test]
async fn a_connection_above_the_most_waits_for_its_turn_and_not_for_one_that_asks_for_nothing() {
    let gallery = Gallery::start_with(|config| config.max_connections = 2).await;
    let anonymous = gallery.anonymous();
    let mut idle = TcpStream::connect(gallery.server().address())
        .await
        .unwrap();
    let listen = || anonymous.request(Method::GET, "/v1/events").send();
    let listening = listen().await.unwrap();
    assert_eq!(anonymous.get("/healthz").await.status, StatusCode::OK);
    // It was closed for that.
    assert_eq!(idle.read(&mut [0; 1]).await.unwrap(), 0);

    // One whose request's body does not come is at work, too.
    let mut sending = TcpStream::connect(gallery.server().address())
        .await
        .unwrap();
    let head = "POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\nContent-Type: multipart/form-data; boundary=x\r\n";
    let token = gallery.ada.token.as_deref().unwrap();
    let head = format!("{head}Authorization: Bearer {token}\r\n\r\n");
    sending.write_all(head.as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let fresh = gallery.caller("new").await;
    let waits = tokio::time::timeout(Duration::from_millis(500), fresh.get("/healthz")).await;
    assert!(waits.is_err(), "{waits:?}");
    drop(listening);
    assert_eq!(fresh.get("/healthz").await.status, StatusCode::OK);
}
