//! Links to pictures that lead to a cache in front of the server, and what it is answered.

use imgn_testkit::pictures;
use reqwest::{Method, StatusCode, header};
use url::Url;

use super::harness::{Gallery, reply};

const PICTURES: &str = "https://pictures.example.org/";
const HOST: &str = "pictures.example.org";

#[tokio::test]
async fn links_lead_to_the_cache_which_is_answered_with_originals_themselves() {
    let gallery = Gallery::start_with(|config| {
        config.pictures_url = Some(Url::parse(PICTURES).unwrap());
    })
    .await;
    let file = pictures::jxl();
    let uploaded = gallery.ada.upload("Größe.jxl", &file).await;
    let image = &uploaded["image"];
    let id = image["id"].as_str().unwrap();
    let (content, display) = (
        format!("/v1/images/{id}/content"),
        format!("/v1/images/{id}/thumb/2560"),
    );
    let at = |path: &str| format!("https://{HOST}{path}");
    assert_eq!(image["url"], at(&content));
    assert_eq!(image["display_url"], at(&display));
    let listed = gallery.ada.get("/v1/images").await.json;
    assert_eq!(listed["images"][0]["url"], at(&content));

    // The page may show them, and tells others of them.
    let page = gallery.anonymous();
    let page = page
        .request(Method::GET, &format!("/i/{id}"))
        .send()
        .await
        .unwrap();
    let policy = page.headers()["content-security-policy"]
        .to_str()
        .unwrap()
        .to_owned();
    let images = policy
        .split(';')
        .find(|part| part.trim().starts_with("img-src"));
    assert!(
        images.unwrap().contains("https://pictures.example.org"),
        "{policy}"
    );

    // Everybody else is sent to the store, as ever.
    let asked = gallery.anonymous().get(&content).await;
    assert_eq!(asked.status, StatusCode::FOUND);
    let thumbnail = gallery.anonymous().get(&display).await;
    assert!(
        thumbnail.headers["cache-control"]
            .to_str()
            .unwrap()
            .contains("immutable")
    );

    let as_cache = |path: &str| {
        let asked = gallery.anonymous().request(Method::GET, path);
        asked.header(header::HOST, HOST)
    };
    let answer = as_cache(&content).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let headers = answer.headers().clone();
    for (name, value) in [
        ("content-type", "image/jxl"),
        ("x-content-type-options", "nosniff"),
        ("content-security-policy", "default-src 'none'; sandbox"),
        ("cache-control", "public, max-age=86400"),
    ] {
        assert_eq!(headers[name], value);
    }
    assert_eq!(headers["content-length"], file.len().to_string());
    let disposition = headers["content-disposition"].to_str().unwrap();
    assert!(disposition.starts_with("inline; "), "{disposition}");
    assert_eq!(answer.bytes().await.unwrap(), file);
    let download = as_cache(&format!("{content}?download"))
        .send()
        .await
        .unwrap();
    let disposition = download.headers()["content-disposition"].to_str().unwrap();
    assert!(disposition.starts_with("attachment; "), "{disposition}");
    let tag = headers["etag"].clone();
    let again = as_cache(&content)
        .header(header::IF_NONE_MATCH, tag)
        .send()
        .await;
    assert_eq!(again.unwrap().status(), StatusCode::NOT_MODIFIED);
    let thumbnail = as_cache(&display).send().await.unwrap();
    assert_eq!(
        thumbnail.headers()["cache-control"],
        "public, max-age=86400"
    );

    // Another host is nobody in particular; and what is deleted is gone for a cache that asks again.
    let other = gallery.anonymous().request(Method::GET, &content);
    let other = reply(other.header(header::HOST, "pictures.example.org.evil")).await;
    assert_eq!(other.status, StatusCode::FOUND);
    let deleted = gallery.ada.delete(&format!("/v1/images/{id}")).await;
    assert_eq!(deleted.status, StatusCode::NO_CONTENT);
    assert_eq!(
        reply(as_cache(&content)).await.status,
        StatusCode::NOT_FOUND
    );
}
