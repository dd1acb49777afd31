//! Who wrote what, as the audit log has it.

use std::{fs, path::Path};

use imgn_protocol::UploadId;
use imgn_testkit::pictures;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Gallery, reply};

fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test]
async fn each_write_is_a_line_that_says_who_from_where_and_what() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("audit.jsonl");
    let gallery = Gallery::start_with(|config| {
        config.audit_log = Some(path.clone());
        config.trusted_proxies = 1;
        config.allowances.user.pictures_per_day = 3;
    })
    .await;
    let ada = &gallery.ada;
    let id = UploadId::new();
    let bytes = pictures::jpeg(64, 48);
    let body = json!({"file_name": "a\"b.jpg", "size": bytes.len(), "sha256": imgn_protocol::Sha256::of(&bytes)});
    for _ in 0..2 {
        let open = ada
            .request(Method::PUT, &format!("/v1/uploads/{id}"))
            .header("x-forwarded-for", "203.0.113.7")
            .header("x-request-id", "first")
            .json(&body);
        assert_eq!(reply(open).await.json["state"], "open");
    }
    let signed = ada.sign(id, &bytes).await.signed();
    ada.send_signed(&signed, &bytes).await;
    let published = ada.outcome(id).await;
    let image = published["image"]["id"].as_str().unwrap();
    ada.upload("b.jpg", b"no picture").await;
    let ended = UploadId::new();
    ada.open(ended, "c.jpg", b"c").await;
    ada.delete(&format!("/v1/uploads/{ended}")).await;
    for _ in 0..3 {
        ada.open(UploadId::new(), "d.jpg", b"d").await;
    }
    gallery.admin.delete(&format!("/v1/images/{image}")).await;
    // Reading is no write.
    ada.get("/v1/images").await;

    let lines = lines(&path);
    let told: Vec<_> = lines
        .iter()
        .map(|line| (line["what"].as_str().unwrap(), line["who"].as_str()))
        .collect();
    let adas = Some("ada");
    assert_eq!(
        told,
        [
            ("token_added", None),
            ("token_added", None),
            ("upload_opened", adas),
            ("image_published", adas),
            ("upload_opened", adas),
            ("upload_rejected", adas),
            ("upload_opened", adas),
            ("upload_aborted", adas),
            ("limit_met", adas),
            ("image_deleted", Some("root")),
        ]
    );
    assert_eq!(lines[1]["token"], "root");
    assert_eq!(lines[1]["role"], "admin");
    let opened = &lines[2];
    for (name, value) in [
        ("from", json!("203.0.113.7")),
        ("request", json!("first")),
        ("upload", json!(id)),
        ("file_name", json!("a\"b.jpg")),
        ("size", json!(bytes.len())),
    ] {
        assert_eq!(opened[name], value, "{opened}");
    }
    assert!(opened["time"].as_str().unwrap().ends_with('Z'), "{opened}");
    assert_eq!(lines[3]["image"], image);
    assert_eq!(lines[5]["code"], "not_a_picture");
    assert_eq!(lines[8]["limit"], "pictures");
    assert_eq!(lines[9]["image"], image);

    let text = fs::read_to_string(&path).unwrap();
    for secret in [&gallery.ada.token, &gallery.admin.token] {
        assert!(!text.contains(secret.as_deref().unwrap()));
    }
    assert!(
        !text.contains("Signature") && !text.contains("http"),
        "{text}"
    );
    #[cfg(unix)]
    {
        let metadata = fs::metadata(&path).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions());
        assert_eq!(mode & 0o777, 0o600);
    }

    let moved = place.path().join("audit.jsonl.1");
    fs::rename(&path, &moved).unwrap();
    gallery.server().reopen_audit_log();
    gallery.caller("bob").await;
    assert_eq!(self::lines(&path).len(), 1);
    assert_eq!(self::lines(&moved).len(), lines.len());
}

#[tokio::test]
async fn a_server_whose_audit_log_cannot_be_written_does_not_start() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = imgn_server::Config::embedded(directory.path().join("data"));
    config.audit_log = Some(directory.path().join("nowhere/audit.jsonl"));
    let started = imgn_server::Server::start(config).await;
    let error = started.unwrap_err().to_string();
    assert!(error.contains("cannot write the audit log"), "{error}");
}
