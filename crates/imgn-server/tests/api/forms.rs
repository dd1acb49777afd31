//! A file that Uppy sends by one form: what is signed for it, and where its picture is found.

use imgn_protocol::ImageId;
use imgn_testkit::pictures;
use reqwest::{
    Method, StatusCode,
    multipart::{Form, Part},
};
use serde_json::{Value, json};

use crate::{
    clients::{bytes_at, remove, shows},
    harness::{Caller, Gallery, reply},
};

pub(crate) async fn params(caller: &Caller, name: &str) -> Value {
    let path = format!("/s3/params?filename={name}&type=image%2Fjpeg&metadata%5Bname%5D={name}");
    let answer = caller.get(&path).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    assert_eq!(answer.headers["cache-control"], "no-store");
    answer.json
}

pub(crate) async fn post_form(caller: &Caller, form: &Value, file: &[u8]) -> reqwest::Response {
    let mut body = Form::new();
    for (name, value) in form["fields"].as_object().unwrap() {
        body = body.text(name.clone(), value.as_str().unwrap().to_owned());
    }
    let body = body.part("file", Part::bytes(file.to_vec()).file_name("x"));
    let url = form["url"].as_str().unwrap();
    caller.http.post(url).multipart(body).send().await.unwrap()
}

/// What Uppy does with a small file, on an empty gallery that takes at most `most` bytes.
pub(crate) async fn posted(ada: &Caller, most: usize) {
    let form = params(ada, "a.jpg").await;
    assert_eq!(form["method"], "POST");
    let key = form["fields"]["key"].as_str().unwrap();
    assert!(!key.contains("a.jpg"), "{key}");
    let file = pictures::jpeg(90, 60);
    let answer = post_form(ada, &form, &file).await;
    assert_eq!(answer.status(), StatusCode::CREATED);
    shows(ada, &["90x60"]).await;
    let entry = &ada.get("/gallery").await.json[0];
    assert_eq!(bytes_at(ada, entry["src"].as_str().unwrap()).await, file);

    // One that is too large does not even get into the store; nor does one for another key.
    let mut form = params(ada, "b.jpg").await;
    let answer = post_form(ada, &form, &vec![7; most + 1]).await;
    assert!(answer.status().is_client_error(), "{answer:?}");
    form["fields"]["key"] = json!(key);
    let answer = post_form(ada, &form, &file).await;
    assert!(answer.status().is_client_error(), "{answer:?}");
    let id = ada.get("/v1/images").await.json["images"][0]["id"].clone();
    remove(ada, &id).await;
}

#[tokio::test]
async fn a_picture_that_uppy_posts_is_published() {
    let gallery = Gallery::start_with(|config| config.max_size = 100_000).await;
    posted(&gallery.ada, 100_000).await;
}

/// Where a form's file is, as Uppy tells its page: where it was posted to, and the key.
fn told_by_uppy(form: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let (url, key) = (text(&form["url"]), text(&form["fields"]["key"]));
    format!("{}/{key}", url.trim_end_matches('/'))
}

#[tokio::test]
async fn the_address_that_uppy_tells_of_a_form_leads_to_the_picture() {
    let gallery = Gallery::start().await;
    let (ada, anyone) = (&gallery.ada, gallery.anonymous());
    let form = params(ada, "a.jpg").await;
    let address = told_by_uppy(&form);
    let ask = async || reply(anyone.http.get(&address)).await;
    assert_eq!(ask().await.code(), "not_found", "nothing was sent yet");
    let file = pictures::jpeg(90, 60);
    post_form(ada, &form, &file).await;
    // At once: who asks waits for the verification, also of others.
    let mut others = Vec::new();
    for width in 0..3 {
        let form = params(ada, "c.jpg").await;
        let file = pictures::jpeg(1500 + width, 1500);
        assert_eq!(
            post_form(ada, &form, &file).await.status(),
            StatusCode::CREATED
        );
        others.push(told_by_uppy(&form));
    }
    for address in others {
        let moved = anyone.http.get(address).send().await.unwrap();
        assert_eq!(moved.status(), StatusCode::FOUND);
    }
    let moved = ask().await;
    assert_eq!(moved.status, StatusCode::FOUND);
    assert_eq!(moved.headers["access-control-allow-origin"], "*");
    let images = ada.get("/v1/images").await.json["images"].clone();
    let mut images = images.as_array().unwrap().iter();
    let image = images.find(|image| image["file_name"] == "a.jpg").unwrap();
    assert_eq!(moved.headers["location"], image["url"].as_str().unwrap());
    assert_eq!(
        bytes_at(&anyone, image["url"].as_str().unwrap()).await,
        file
    );
    remove(ada, &image["id"]).await;
    assert_eq!(ask().await.code(), "not_found", "it is deleted");

    let form = params(ada, "b.jpg").await;
    post_form(ada, &form, b"plain text").await;
    let refused = reply(anyone.http.get(told_by_uppy(&form))).await;
    assert_eq!(refused.code(), "not_a_picture");
    // Nobody learns anything else of the store without a signature.
    let original = form["url"]
        .as_str()
        .unwrap()
        .trim_end_matches('/')
        .to_owned();
    let original = format!("{original}/originals/{}", ImageId::new());
    let refused = anyone.http.get(original).send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_file_that_is_announced_as_no_picture_is_refused_before_it_is_sent() {
    let gallery = Gallery::start().await;
    let ada = &gallery.ada;
    for (kind, is_taken) in [
        ("video/mp4", false),
        ("image/svg%2Bxml", false),
        ("text/plain;charset=utf-8", false),
        ("image/x-canon-cr2", true),
        ("application/octet-stream", true),
        ("", true),
    ] {
        let form = ada.get(&format!("/s3/params?filename=a&type={kind}")).await;
        let body = json!({"filename": "a", "type": kind.replace("%2B", "+")});
        let parts = ada.post("/s3/multipart", &body).await;
        let file = Part::bytes(vec![]).file_name("a");
        let file = match kind {
            "" => file,
            kind => file.mime_str(&kind.replace("%2B", "+")).unwrap(),
        };
        let page = ada.request(Method::POST, "/upload");
        let page = page
            .multipart(Form::new().part("file", file))
            .send()
            .await
            .unwrap();
        assert_eq!(page.status().is_success(), is_taken, "{kind}");
        for answer in [form, parts] {
            if is_taken {
                assert_eq!(answer.status, StatusCode::OK, "{kind}");
            } else {
                assert_eq!(answer.code(), "unsupported_format", "{kind}");
            }
        }
    }
}
