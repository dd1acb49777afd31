//! A server on a directory of its own, and a caller.

use std::{path::Path, sync::LazyLock, time::Duration};

use imgn_protocol::{Sha256, SignedRequest, UploadId};
use imgn_server::{Config, Role, Server};
use reqwest::{Client, Method, Response, StatusCode, redirect::Policy};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A running server with a token each for an uploader and an admin.
pub(crate) struct Gallery {
    server: Option<Server>,
    pub(crate) directory: TempDir,
    pub(crate) ada: Caller,
    pub(crate) admin: Caller,
}

/// Somebody who asks the server.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) http: Client,
    pub(crate) url: String,
    pub(crate) token: Option<String>,
}

/// A status, the headers and the body as JSON.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) json: Value,
}

impl Gallery {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub(crate) async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut config = config(directory.path());
        change(&mut config);
        let server = Server::start(config).await.unwrap();
        // So that what is asked of the store is not among what a test counts there.
        server.store_checksums().await.unwrap();
        let ada = server.add_token("ada", Role::Uploader).await.unwrap();
        let admin = server.add_token("root", Role::Admin).await.unwrap();
        Self {
            ada: Caller::new(&server, ada.expose()),
            admin: Caller::new(&server, admin.expose()),
            server: Some(server),
            directory,
        }
    }

    pub(crate) fn server(&self) -> &Server {
        self.server.as_ref().unwrap()
    }

    pub(crate) fn anonymous(&self) -> Caller {
        Caller {
            token: None,
            ..self.ada.clone()
        }
    }

    pub(crate) async fn caller(&self, name: &str) -> Caller {
        let token = self.server().add_token(name, Role::Uploader).await.unwrap();
        Caller::new(self.server(), token.expose())
    }

    /// Ends the server and leaves its directory as it is.
    pub(crate) async fn stop(&mut self) {
        self.server.take().unwrap().shutdown().await;
    }

    /// Starts a server on the same directory.
    pub(crate) async fn start_again(&mut self, change: impl FnOnce(&mut Config)) {
        let mut config = config(self.directory.path());
        change(&mut config);
        let server = Server::start(config).await.unwrap();
        server.store_checksums().await.unwrap();
        for caller in [&mut self.ada, &mut self.admin] {
            caller.url = url(&server);
        }
        self.server = Some(server);
    }

    /// The catalogue's own file, for what no client can do.
    pub(crate) async fn sql(&self, statement: &'static str) {
        let path = self.directory.path().join("catalogue.sqlite3");
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
        let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
        sqlx::query(statement).execute(&pool).await.unwrap();
        pool.close().await;
    }

    /// What such a question counts.
    pub(crate) async fn count(&self, question: &'static str) -> i64 {
        let path = self.directory.path().join("catalogue.sqlite3");
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
        let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
        let count = sqlx::query_scalar(question).fetch_one(&pool).await.unwrap();
        pool.close().await;
        count
    }

    /// What such a question finds, a text for each column.
    pub(crate) async fn rows<const N: usize>(&self, question: &'static str) -> Vec<[String; N]> {
        let path = self.directory.path().join("catalogue.sqlite3");
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
        let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
        let rows = sqlx::query(question).fetch_all(&pool).await.unwrap();
        pool.close().await;
        let text = |row: &sqlx::sqlite::SqliteRow, column| {
            let text: Option<String> = sqlx::Row::get(row, column);
            text.unwrap_or_default()
        };
        let rows = rows.iter();
        rows.map(|row| std::array::from_fn(|column| text(row, column)))
            .collect()
    }

    /// Waits until everything that is garbage, now or some day, was deleted.
    pub(crate) async fn visit_garbage(&self) {
        eventually("no garbage is left", async || {
            // Each time: a visit that is under way writes down when the next one is.
            self.sql("UPDATE garbage SET due_at = 0, url_expires_at = NULL")
                .await;
            self.count("SELECT count(*) FROM garbage").await == 0
        })
        .await;
    }

    /// Overwrites all objects that the store has.
    pub(crate) fn damage_objects(&self) {
        damage_below(&self.directory.path().join("store/imgn-pictures/objects"));
    }

    /// How many bytes of objects the store keeps.
    pub(crate) fn stored_bytes(&self) -> u64 {
        bytes_below(&self.directory.path().join("store"))
    }
}

fn damage_below(directory: &Path) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            damage_below(&path);
        } else {
            std::fs::write(path, "damaged").unwrap();
        }
    }
}

fn config(directory: &Path) -> Config {
    let mut config = Config::embedded(directory);
    config.timing.sweep_every = Duration::from_millis(100);
    config
}

fn url(server: &Server) -> String {
    server.url().as_str().trim_end_matches('/').to_owned()
}

fn bytes_below(directory: &Path) -> u64 {
    let mut bytes = 0;
    for entry in std::fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        // A file that vanishes while it is looked at is not kept.
        bytes += match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => bytes_below(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        };
    }
    bytes
}

impl Caller {
    fn new(server: &Server, token: &str) -> Self {
        Self::at(url(server), token)
    }

    pub(crate) fn at(url: String, token: &str) -> Self {
        // Installed once for the process; every later call finds it there.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self {
            http: Client::builder()
                .redirect(Policy::none())
                .no_proxy()
                .build()
                .unwrap(),
            url,
            token: Some(token.to_owned()),
        }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.url));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        reply(self.request(Method::GET, path)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Reply {
        reply(self.request(Method::DELETE, path)).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Reply {
        reply(self.request(Method::PUT, path).json(body)).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Reply {
        reply(self.request(Method::POST, path).json(body)).await
    }

    pub(crate) async fn open(&self, id: UploadId, name: &str, bytes: &[u8]) -> Reply {
        let body = json!({"file_name": name, "size": bytes.len(), "sha256": Sha256::of(bytes)});
        self.put(&format!("/v1/uploads/{id}"), &body).await
    }

    pub(crate) async fn sign(&self, id: UploadId, bytes: &[u8]) -> Reply {
        let body = json!({"checksum": Sha256::of(bytes)});
        self.post(&format!("/v1/uploads/{id}/sign"), &body).await
    }

    pub(crate) async fn complete(&self, id: UploadId) -> Reply {
        self.post(&format!("/v1/uploads/{id}/complete"), &json!({"parts": []}))
            .await
    }

    /// Opens, signs and sends, and does not complete.
    pub(crate) async fn send(&self, id: UploadId, name: &str, bytes: &[u8]) {
        assert_eq!(self.open(id, name, bytes).await.json["state"], "open");
        let signed = self.sign(id, bytes).await.signed();
        let status = self.send_signed(&signed, bytes).await.status();
        assert_eq!(status, StatusCode::OK);
    }

    pub(crate) async fn send_signed(&self, signed: &SignedRequest, bytes: &[u8]) -> Response {
        let method: Method = signed.method.parse().unwrap();
        let mut request = self.http.request(method, signed.url.expose());
        for (name, value) in &signed.headers {
            request = request.header(name, value);
        }
        request.body(bytes.to_vec()).send().await.unwrap()
    }

    /// The whole way of one file: the last answer.
    pub(crate) async fn upload(&self, name: &str, bytes: &[u8]) -> Value {
        let id = UploadId::new();
        self.send(id, name, bytes).await;
        self.outcome(id).await
    }

    /// Completes until the server has decided.
    pub(crate) async fn outcome(&self, id: UploadId) -> Value {
        loop {
            let reply = self.complete(id).await;
            assert!(reply.status.is_success(), "{reply:?}");
            if reply.json["state"] != "verifying" {
                return reply.json;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Reply {
    /// The code of a problem document.
    pub(crate) fn code(&self) -> &str {
        assert_eq!(
            self.headers["content-type"], "application/problem+json",
            "{self:?}"
        );
        assert_eq!(self.json["status"], self.status.as_u16(), "{self:?}");
        self.json["code"].as_str().unwrap()
    }

    pub(crate) fn signed(&self) -> SignedRequest {
        assert_eq!(self.status, StatusCode::OK, "{self:?}");
        serde_json::from_value(self.json.clone()).unwrap()
    }
}

pub(crate) async fn reply(request: reqwest::RequestBuilder) -> Reply {
    let (http, request) = request.build_split();
    let request = request.unwrap();
    let (method, path) = (request.method().clone(), request.url().path().to_owned());
    let response = http.execute(request).await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    let body = response.bytes().await.unwrap();
    let json = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let reply = Reply {
        status,
        headers,
        json,
    };
    ensure_documented(&method, &path, &reply);
    reply
}

/// Whatever an operation refuses with, its document names the status, and the code among that status' own.
fn ensure_documented(method: &Method, path: &str, reply: &Reply) {
    static DOCUMENT: LazyLock<Value> =
        LazyLock::new(|| serde_json::to_value(imgn_server::openapi()).unwrap());
    if !reply.status.is_client_error() && !reply.status.is_server_error() {
        return;
    }
    let paths = DOCUMENT["paths"].as_object().unwrap();
    let names = |template: &str| {
        let (names, parts) = (template.split('/'), path.split('/'));
        names.clone().count() == parts.clone().count()
            && names
                .zip(parts)
                .all(|(name, part)| name == part || name.starts_with('{'))
    };
    // Of a word and a parameter in the same place the word is meant.
    let template = paths
        .iter()
        .filter(|(template, _)| names(template))
        .min_by_key(|(template, _)| template.matches('{').count());
    let operation = template.map(|(_, item)| &item[method.as_str().to_ascii_lowercase()]);
    let Some(responses) = operation.and_then(|operation| operation["responses"].as_object()) else {
        return;
    };
    let documented = responses.get(reply.status.as_str());
    let codes = documented
        .map(|one| &one["content"]["application/problem+json"]["schema"]["allOf"][1])
        .and_then(|schema| schema["properties"]["code"]["enum"].as_array());
    let is_documented = codes.is_some_and(|codes| codes.contains(&reply.json["code"]));
    assert!(is_documented, "{method} {path}: {reply:?}");
}

/// Waits for something that the server does by itself.
pub(crate) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..200 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{what}: not within 10 s");
}
