//! Who wrote what, as the audit log has it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    time::Duration,
};

use imgn_protocol::UploadId;
use imgn_testkit::pictures;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

use crate::{
    clients::{Parts, picture, presigned, published, put},
    forms::{params, post_form},
    harness::{Caller, Gallery, eventually, reply},
    relay::relay,
};

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
async fn strangers_who_meet_a_limit_are_told_by_name_and_address() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("audit.jsonl");
    let gallery = Gallery::start_with(|config| {
        config.audit_log = Some(path.clone());
        config.trusted_proxies = 1;
        config.anonymous_uploads = true;
        config.allowances.anonymous.pictures_per_day = 1;
    })
    .await;
    let stranger = gallery.anonymous();
    // Each address has a line of its own, though all have one name; and one line only.
    for address in ["203.0.113.7", "203.0.113.8"] {
        for _ in 0..3 {
            let id = UploadId::new();
            let bytes = id.to_string();
            let body = json!({"file_name": "a.jpg", "size": 36, "sha256": imgn_protocol::Sha256::of(bytes.as_bytes())});
            let open = stranger
                .request(Method::PUT, &format!("/v1/uploads/{id}"))
                .header("x-forwarded-for", address)
                .json(&body);
            reply(open).await;
        }
    }
    let met: Vec<_> = lines(&path)
        .into_iter()
        .filter(|line| line["what"] == "limit_met")
        .map(|line| (line["who"].clone(), line["from"].clone()))
        .collect();
    assert_eq!(
        met,
        ["203.0.113.7", "203.0.113.8"].map(|address| (json!("anonymous"), json!(address)))
    );
}

/// What a client of imgn's own, a page and the server by itself do to uploads.
async fn announced(gallery: &Gallery) {
    let ada = &gallery.ada;
    let file = pictures::jpeg(64, 48);
    let published = ada.upload("a.jpg", &file).await;
    assert_eq!(published["state"], "published");
    // There already: when it is opened, and when both were sent at a time.
    assert_eq!(
        ada.open(UploadId::new(), "again.jpg", &file).await.json["state"],
        "published"
    );
    let twins = [UploadId::new(), UploadId::new()];
    let twin = pictures::jpeg(65, 48);
    for id in twins {
        ada.send(id, "twin.jpg", &twin).await;
    }
    let outcomes = tokio::join!(ada.outcome(twins[0]), ada.outcome(twins[1]));
    assert_eq!(outcomes.0["state"], "published");
    assert_eq!(outcomes.1["state"], "published");
    assert_eq!(
        ada.upload("no.jpg", b"no picture").await["state"],
        "rejected"
    );
    let relayed = UploadId::new();
    let through = pictures::jpeg(66, 48);
    ada.open(relayed, "relayed.jpg", &through).await;
    assert_eq!(relay(ada, relayed, through).await.status, StatusCode::OK);
    ada.outcome(relayed).await;
    // Ended by its client, which is told twice that it has.
    let ended = UploadId::new();
    ada.open(ended, "ended.jpg", b"ended").await;
    for _ in 0..2 {
        let answer = ada.delete(&format!("/v1/uploads/{ended}")).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT);
    }
    // Undone, as the desktop's clients undo.
    let undone = ada.upload("undone.jpg", &pictures::jpeg(67, 48)).await;
    let path = format!("/v1/images/{}", undone["image"]["id"].as_str().unwrap());
    assert_eq!(ada.delete(&path).await.status, StatusCode::NO_CONTENT);
    assert_eq!(ada.delete(&path).await.code(), "not_found");
    // Sent anew after that, and deleted by somebody else.
    let again = ada.upload("undone.jpg", &pictures::jpeg(67, 48)).await;
    let path = format!("/v1/images/{}", again["image"]["id"].as_str().unwrap());
    gallery.admin.delete(&path).await;
    // Left alone, and too old.
    ada.open(UploadId::new(), "left.jpg", b"left").await;
    gallery
        .sql("UPDATE uploads SET created_at = 0 WHERE file_name = 'left.jpg'")
        .await;
}

/// The same by other people's clients.
async fn unannounced(gallery: &Gallery, caller: &Caller) {
    let parts = Parts::create(caller, "parts.jpg").await;
    let sent = parts.send(1, &picture(1, 60_000)).await;
    for _ in 0..2 {
        let completed = parts.complete(std::slice::from_ref(&sent)).await;
        assert_eq!(completed.status, StatusCode::OK, "{completed:?}");
    }
    let twin = Parts::create(caller, "parts-again.jpg").await;
    let sent = twin.send(1, &picture(1, 60_000)).await;
    assert_eq!(twin.complete(&[sent]).await.status, StatusCode::OK);
    let no_picture = Parts::create(caller, "parts-no.jpg").await;
    let sent = no_picture.send(1, b"no picture").await;
    let refused = no_picture.complete(&[sent]).await;
    assert_eq!(refused.code(), "not_a_picture");
    let ended = Parts::create(caller, "parts-ended.jpg").await;
    assert_eq!(ended.abort().await.status, StatusCode::OK);
    assert_eq!(ended.abort().await.code(), "not_found");
    let large = Parts::create(caller, "parts-large.jpg").await;
    let url = large.sign(1).await;
    let answer = caller.http.put(&url).body(vec![7; 100_001]).send().await;
    assert_eq!(answer.unwrap().status(), StatusCode::BAD_REQUEST);
    Parts::create(caller, "parts-left.jpg").await;

    let form = params(caller, "form.jpg").await;
    let answer = post_form(caller, &form, &pictures::jpeg(90, 60)).await;
    assert_eq!(answer.status(), StatusCode::CREATED);
    for (name, bytes) in [
        ("page.jpg", &pictures::jpeg(91, 60)[..]),
        ("page-again.jpg", &pictures::jpeg(91, 60)),
        ("page-no.jpg", b"no picture"),
        ("page-empty.jpg", b""),
    ] {
        let url = presigned(caller, name, b"").await;
        assert_eq!(put(caller, &url, bytes).await, StatusCode::OK);
        if name == "page.jpg" {
            published(caller, &url).await;
        }
    }
    presigned(caller, "page-left.jpg", b"").await;
    for statement in [
        "UPDATE staged SET created_at = 0 WHERE file_name = 'parts-left.jpg'",
        "UPDATE staged SET url_expires_at = 0, look_at = 0 WHERE file_name = 'page-left.jpg'",
    ] {
        gallery.sql(statement).await;
    }
}

/// Opens an upload and hangs up before there is an answer.
pub(crate) async fn hang_up(caller: &Caller, number: u32) {
    let id = UploadId::new();
    let body = json!({"file_name": format!("hung-up-{number}.jpg"), "size": 9, "sha256": imgn_protocol::Sha256::of(id.to_string().as_bytes())});
    let body = body.to_string();
    let address = caller.url.strip_prefix("http://").unwrap();
    let token = caller.token.as_deref();
    let authorization = token.map_or_else(String::new, |token| {
        format!("authorization: Bearer {token}\r\n")
    });
    let request = format!(
        "PUT /v1/uploads/{id} HTTP/1.1\r\nhost: {address}\r\n{authorization}\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut connection = tokio::net::TcpStream::connect(address).await.unwrap();
    connection.write_all(request.as_bytes()).await.unwrap();
    connection.flush().await.unwrap();
    // Some of them in the middle of what is written.
    tokio::time::sleep(Duration::from_micros(u64::from(number) * 150)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_begun_has_one_line_and_its_end_has_one() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("audit.jsonl");
    let gallery = Gallery::start_with(|config| {
        config.audit_log = Some(path.clone());
        config.relay_max_size = Some(50_000);
        config.max_size = 100_000;
        config.anonymous_uploads = true;
    })
    .await;
    announced(&gallery).await;
    unannounced(&gallery, &gallery.ada).await;
    for number in 0..40 {
        hang_up(&gallery.ada, number).await;
    }
    // What they began is given up with what was left.
    eventually("nothing is open", async || {
        gallery
            .sql("UPDATE uploads SET created_at = 0 WHERE file_name LIKE 'hung-up-%'")
            .await;
        let open = "SELECT (SELECT count(*) FROM uploads WHERE state IN ('open', 'verifying')) + (SELECT count(*) FROM staged)";
        gallery.count(open).await == 0
    })
    .await;
    let stranger = gallery.anonymous();
    presigned(&stranger, "stranger.jpg", b"").await;
    gallery
        .sql("UPDATE staged SET url_expires_at = 0, look_at = 0")
        .await;
    let [upload] = &gallery
        .rows::<1>("SELECT id FROM staged WHERE file_name = 'stranger.jpg'")
        .await[..]
    else {
        panic!("it is expected");
    };
    eventually("its end is told", async || {
        lines(&path)
            .iter()
            .any(|line| line["why"] == "nothing_sent" && line["upload"] == upload[0])
    })
    .await;

    let lines = lines(&path);
    let text = |line: &Value, name: &str| line[name].as_str().unwrap_or_default().to_owned();
    let of = |whats: &[&str]| {
        let lines = lines
            .iter()
            .filter(|line| whats.contains(&line["what"].as_str().unwrap()));
        lines.cloned().collect::<Vec<_>>()
    };
    let begun = of(&["upload_opened"]);
    let ends = of(&[
        "image_published",
        "upload_duplicate",
        "upload_rejected",
        "upload_aborted",
    ]);
    let ids = |lines: &[Value]| {
        lines
            .iter()
            .map(|line| text(line, "upload"))
            .collect::<BTreeSet<_>>()
    };
    assert_eq!(ids(&begun).len(), begun.len(), "one line each");
    assert_eq!(ids(&ends).len(), ends.len(), "one line each");
    assert_eq!(ids(&begun), ids(&ends), "each begins and ends");
    assert!(begun.iter().all(|line| line["who"] != Value::Null));

    // Who ended what, and why, by the names of the files.
    let names: BTreeMap<_, _> = begun
        .iter()
        .map(|line| (text(line, "upload"), text(line, "file_name")))
        .collect();
    let mut how: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for end in &ends {
        let name = &names[&text(end, "upload")];
        let why = ["code", "why"].map(|reason| text(end, reason)).concat();
        let told = format!("{} {} {why}", text(end, "what"), text(end, "who"));
        how.entry(name.split("-up-").next().unwrap().to_owned())
            .or_default()
            .insert(told.trim_end().to_owned());
    }
    let expected = [
        ("a.jpg", &["image_published ada"][..]),
        ("again.jpg", &["upload_duplicate ada"]),
        ("twin.jpg", &["image_published ada", "upload_duplicate ada"]),
        ("no.jpg", &["upload_rejected ada not_a_picture"]),
        ("relayed.jpg", &["image_published ada"]),
        ("ended.jpg", &["upload_aborted ada asked"]),
        ("undone.jpg", &["image_published ada"]),
        ("left.jpg", &["upload_aborted  too_old"]),
        ("parts.jpg", &["image_published ada"]),
        ("parts-again.jpg", &["upload_duplicate ada"]),
        ("parts-no.jpg", &["upload_rejected ada not_a_picture"]),
        ("parts-ended.jpg", &["upload_aborted ada asked"]),
        ("parts-large.jpg", &["upload_rejected ada too_large"]),
        ("parts-left.jpg", &["upload_aborted  too_old"]),
        ("form.jpg", &["image_published ada"]),
        ("page.jpg", &["image_published ada"]),
        ("page-again.jpg", &["upload_duplicate ada"]),
        ("page-no.jpg", &["upload_rejected ada not_a_picture"]),
        ("page-empty.jpg", &["upload_rejected ada not_a_picture"]),
        ("page-left.jpg", &["upload_aborted  nothing_sent"]),
        ("stranger.jpg", &["upload_aborted  nothing_sent"]),
        ("hung", &["upload_aborted  too_old"]),
    ];
    let expected: BTreeMap<_, BTreeSet<_>> = expected
        .into_iter()
        .map(|(name, ends)| {
            let ends = ends.iter().map(|&end| end.to_owned());
            (name.to_owned(), ends.collect())
        })
        .filter(|(name, _)| name != "hung" || how.contains_key("hung"))
        .collect();
    assert_eq!(how, expected);

    // And as the catalogue has it. What was deleted is not in it, and neither are its uploads.
    let published: BTreeSet<_> = of(&["image_published"])
        .iter()
        .map(|line| text(line, "image"))
        .collect();
    let deleted: BTreeSet<_> = of(&["image_deleted"])
        .iter()
        .map(|line| text(line, "image"))
        .collect();
    assert_eq!((deleted.len(), of(&["image_deleted"]).len()), (2, 2));
    let images = gallery.rows::<1>("SELECT id FROM images").await;
    let images: BTreeSet<_> = images.into_iter().flatten().collect();
    assert_eq!(images, &published - &deleted);
    let rows = gallery
        .rows::<4>("SELECT id, CASE WHEN published_image <> image_id THEN 'duplicate' ELSE state END, rejection_code, published_image FROM uploads")
        .await;
    for [id, state, code, image] in rows {
        let end = ends
            .iter()
            .find(|line| line["upload"] == id.as_str())
            .unwrap();
        let what = match state.as_str() {
            "published" => "image_published".to_owned(),
            state => format!("upload_{state}"),
        };
        assert_eq!(end["what"], what, "{end}");
        assert_eq!(text(end, "code"), code, "{end}");
        assert_eq!(text(end, "image"), image, "{end}");
    }
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_is_told_also_when_the_server_is_to_end() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("audit.jsonl");
    let mut gallery = Gallery::start_with(|config| config.audit_log = Some(path.clone())).await;
    let file = pictures::jpeg(64, 48);
    gallery.ada.upload("a.jpg", &file).await;
    for round in 0..20 {
        let mut urls = Vec::new();
        for _ in 0..8 {
            urls.push(presigned(&gallery.ada, "again.jpg", b"").await);
        }
        let puts = urls.iter().map(|url| put(&gallery.ada, url, &file));
        futures_util::future::join_all(puts).await;
        // Some of them in the middle of what is written.
        tokio::time::sleep(Duration::from_micros(round * 300)).await;
        gallery.stop().await;
        gallery
            .start_again(|config| config.audit_log = Some(path.clone()))
            .await;
    }
    eventually("nothing is expected", async || {
        gallery
            .sql("UPDATE staged SET look_at = 0 WHERE look_at IS NOT NULL")
            .await;
        gallery.count("SELECT count(*) FROM staged").await == 0
    })
    .await;
    gallery.stop().await;
    let lines = lines(&path);
    let count = |what: &str| lines.iter().filter(|line| line["what"] == what).count();
    assert_eq!(count("upload_opened"), 161);
    assert_eq!(count("image_published"), 1);
    assert_eq!(count("upload_duplicate"), 160);
}
