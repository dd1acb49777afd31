//! The server as a function of AWS Lambda: the built program under the Runtime API, with events of every gateway, against
//! a store that nobody here wrote. Between two invocations its process stands still.

mod role;
mod time;

use std::{path::Path, sync::Arc};

use anyhow::{Context as _, Result, ensure};
use imgn_testkit::{
    lambda::{Answered, FunctionProcess, Gateway, Sent, object_created},
    pictures,
    process::eventually,
    proxy::{Fate, FaultProxy, Gate, Seen},
    s3::Target,
    seaweedfs::SeaweedFs,
};
use serde_json::{Value, json};
use tokio::sync::watch;
use uuid::Uuid;

use crate::{
    api::{http, sha256},
    driver::PATIENCE,
};

/// Two stores that start at once would find the same ports free.
static ONE_STORE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// A function, its store, and a token.
struct Cloud {
    function: FunctionProcess,
    target: Target,
    token: String,
    http: reqwest::Client,
}

impl Cloud {
    async fn start(directory: &Path, target: &Target) -> Result<Self> {
        Self::start_with(directory, target, &[]).await
    }

    async fn start_with(
        directory: &Path,
        target: &Target,
        settings: &[(&str, &str)],
    ) -> Result<Self> {
        let mut function = Self::environment(directory, target, "function", settings).await?;
        Ok(Self {
            token: function.add_token("ada").await?,
            function,
            target: target.clone(),
            http: http()?,
        })
    }

    /// One more environment of the same function.
    async fn environment(
        directory: &Path,
        target: &Target,
        name: &str,
        settings: &[(&str, &str)],
    ) -> Result<FunctionProcess> {
        let data = directory.join("data");
        FunctionProcess::start_on(target, &data, &directory.join(name), settings).await
    }

    async fn invoke(&mut self, event: &Value) -> Result<Value> {
        let answer = self.function.invoke(event).await?;
        answer.map_err(|error| anyhow::anyhow!("{event}: {error}"))
    }

    /// A request with the token, through a gateway that knows what is binary.
    async fn call(&mut self, gateway: Gateway, sent: Sent) -> Result<Answered> {
        self.call_as(gateway, sent, false).await
    }

    async fn call_as(
        &mut self,
        gateway: Gateway,
        mut sent: Sent,
        as_text: bool,
    ) -> Result<Answered> {
        sent.headers
            .push(("authorization", format!("Bearer {}", self.token)));
        let answer = self.invoke(&gateway.event(&sent, as_text)).await?;
        Answered::read(&answer)
    }

    async fn json(
        &mut self,
        gateway: Gateway,
        method: &'static str,
        path: &str,
        body: Value,
    ) -> Result<Value> {
        let answer = self.call(gateway, request(method, path, body)).await?;
        ensure!(answer.status < 300, "{method} {path}: {answer:?}");
        ensure!(!answer.was_base64, "JSON is text: {answer:?}");
        Ok(answer.json())
    }

    /// Opens an upload of these bytes; answers its path.
    async fn open(&mut self, gateway: Gateway, bytes: &[u8]) -> Result<String> {
        let path = format!("/v1/uploads/{}", Uuid::now_v7());
        let body = json!({"file_name": "a.jpg", "size": bytes.len(), "sha256": sha256(bytes)});
        let opened = self.json(gateway, "PUT", &path, body).await?;
        ensure!(opened["state"] == "open", "{opened}");
        Ok(path)
    }

    /// Opens an upload of these bytes and sends them to the store; answers its path and its key.
    async fn send(&mut self, gateway: Gateway, bytes: &[u8]) -> Result<(String, String)> {
        let path = self.open(gateway, bytes).await?;
        let sign = json!({"checksum": sha256(bytes)});
        let to_sign = format!("{path}/sign");
        let signed = self.json(gateway, "POST", &to_sign, sign).await?;
        let mut put = self
            .http
            .put(signed["url"].as_str().context("a URL")?)
            .body(bytes.to_vec());
        for (name, value) in signed["headers"].as_object().context("headers")? {
            put = put.header(name, value.as_str().context("a header")?);
        }
        put.send().await?.error_for_status()?;
        let state = self.json(gateway, "GET", &path, Value::Null).await?;
        ensure!(state["state"] == "open", "nobody has said so yet: {state}");
        let key = state["key"].as_str().context("a key")?.to_owned();
        Ok((path, key))
    }

    /// What S3 tells the function when an object has come.
    async fn arrived(&mut self, key: &str, size: usize) -> Result<Value> {
        let event = object_created(&self.target.bucket, key, size);
        self.invoke(&event).await
    }

    /// The objects in the store whose keys begin so.
    async fn keys(&self, prefix: &str) -> Result<Vec<String>> {
        let client = self.target.client();
        let list = client
            .list_objects_v2()
            .bucket(&self.target.bucket)
            .prefix(prefix);
        let list = list.send().await?;
        Ok(list
            .contents()
            .iter()
            .filter_map(|object| object.key().map(ToOwned::to_owned))
            .collect())
    }

    /// The bytes of a picture, as its link leads to them.
    async fn original(&mut self, gateway: Gateway, image: &Value) -> Result<Vec<u8>> {
        let path = format!(
            "/v1/images/{}/content",
            image["id"].as_str().context("an id")?
        );
        let moved = self
            .call(gateway, request("GET", &path, Value::Null))
            .await?;
        ensure!(moved.status == 302, "{moved:?}");
        let location = moved.headers.get("location").context("a location")?;
        Ok(self
            .http
            .get(location)
            .send()
            .await?
            .error_for_status()?
            .bytes()
            .await?
            .to_vec())
    }
}

fn request(method: &'static str, path: &str, body: Value) -> Sent {
    let body = if body.is_null() {
        vec![]
    } else {
        body.to_string().into_bytes()
    };
    Sent {
        method,
        path: path.to_owned(),
        headers: vec![("content-type", "application/json".to_owned())],
        body,
    }
}

fn bytes_of(method: &'static str, path: &str, content_type: &str, body: &[u8]) -> Sent {
    Sent {
        method,
        path: path.to_owned(),
        headers: vec![("content-type", content_type.to_owned())],
        body: body.to_vec(),
    }
}

#[tokio::test]
async fn a_picture_is_published_through_every_gateway() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let _alone = ONE_STORE.lock().await;
    let store = SeaweedFs::start().await?;
    let mut cloud = Cloud::start(directory.path(), store.target()).await?;
    for (gateway, width) in Gateway::ALL.into_iter().zip(100..) {
        let health = cloud
            .call(gateway, request("GET", "/healthz", Value::Null))
            .await?;
        ensure!(
            health.status == 200 && health.json()["status"] == "ok",
            "{gateway:?}: {health:?}"
        );
        let missing = cloud
            .call(gateway, request("GET", "/v1/nothing", Value::Null))
            .await?;
        ensure!(
            missing.status == 404 && missing.json()["code"] == "not_found",
            "{missing:?}"
        );
        ensure!(
            !missing.was_base64,
            "a problem document is text: {missing:?}"
        );

        // Gateways hand over decoded paths, in which anything may stand.
        for path in [
            "/a%20b",
            "/v1/images/%3F%23%C3%A4%0A%22",
            "/v1/%E2%82%AC?q=a%20b",
        ] {
            let answer = cloud
                .call(gateway, request("GET", path, Value::Null))
                .await?;
            ensure!(
                answer.status == 404 || answer.status == 400,
                "{gateway:?}: {path}: {answer:?}"
            );
            ensure!(answer.json()["code"].is_string(), "{path}: {answer:?}");
        }
        // Of a host that is none there is no address.
        let mut nowhere = gateway.event(&request("GET", "/healthz", Value::Null), false);
        nowhere["headers"]["host"] = json!("a b");
        let refused = Answered::read(&cloud.invoke(&nowhere).await?)?;
        ensure!(
            refused.status == 400 && refused.json()["code"] == "invalid_request",
            "{gateway:?}: {refused:?}"
        );

        // The way past the gateway: only the URL comes through it.
        let picture = pictures::jpeg(width, 60);
        let (path, key) = cloud.send(gateway, &picture).await?;
        let taken = cloud.arrived(&key, picture.len()).await?;
        ensure!(taken == json!({"taken": 1}), "{taken}");
        let published = cloud.json(gateway, "GET", &path, Value::Null).await?;
        let image = &published["image"];
        ensure!(image["width"] == width, "{gateway:?}: {published}");
        let url = format!(
            "{}/v1/images/{}/content",
            gateway.url(),
            image["id"].as_str().context("an id")?
        );
        ensure!(
            image["url"] == url.as_str(),
            "{} is not {url}",
            image["url"]
        );
        ensure!(
            cloud.original(gateway, image).await? == picture,
            "byte for byte"
        );
        // Told again, as S3 may: it is what it is.
        ensure!(cloud.arrived(&key, picture.len()).await? == json!({"taken": 0}));

        // Bytes in an answer: the thumbnail is what the store has.
        let path = format!(
            "/v1/images/{}/thumb/320",
            image["id"].as_str().context("an id")?
        );
        let thumb = cloud
            .call(gateway, request("GET", &path, Value::Null))
            .await?;
        ensure!(thumb.was_base64 && thumb.status == 200, "{thumb:?}");
        let key = format!(
            "thumbnails/{}/320.jpg",
            image["id"].as_str().context("an id")?
        );
        let stored = cloud
            .target
            .client()
            .get_object()
            .bucket(&cloud.target.bucket)
            .key(key);
        let stored = stored.send().await?.body.collect().await?.to_vec();
        ensure!(
            thumb.body == stored,
            "{gateway:?}: the thumbnail byte for byte"
        );

        // Queries, with what has to be escaped in them.
        let found = cloud
            .json(
                gateway,
                "GET",
                "/v1/images?limit=1&q=a.jpg%20ada",
                Value::Null,
            )
            .await?;
        ensure!(
            found["images"][0]["id"] == image["id"],
            "{gateway:?}: {found}"
        );
    }
    Ok(())
}

/// As docs/AWS.md says of a REST API that was not told which bodies are binary: it hands on what the function gave.
#[tokio::test]
async fn a_rest_api_that_knows_no_binary_types_sends_thumbnails_as_base64() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let _alone = ONE_STORE.lock().await;
    let store = SeaweedFs::start().await?;
    let mut cloud = Cloud::start(directory.path(), store.target()).await?;
    let gateway = Gateway::RestWithStage;
    let picture = pictures::jpeg(250, 60);
    let (path, key) = cloud.send(gateway, &picture).await?;
    cloud.arrived(&key, picture.len()).await?;
    let published = cloud.json(gateway, "GET", &path, Value::Null).await?;
    let id = published["image"]["id"].as_str().context("an id")?;
    let thumb = request("GET", &format!("/v1/images/{id}/thumb/320"), Value::Null);
    let answer = cloud.invoke(&gateway.event(&thumb, true)).await?;
    let arrives = Answered::read_as_text(&answer)?;
    let told = &arrives.headers["content-type"];
    ensure!(arrives.status == 200 && told == "image/jpeg", "{arrives:?}");
    ensure!(!arrives.body.starts_with(&[0xff, 0xd8]), "it is no picture");
    let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=".contains(byte);
    ensure!(arrives.body.iter().all(is_base64), "{arrives:?}");
    // A gateway that knows makes a picture of the same answer.
    ensure!(Answered::read(&answer)?.body.starts_with(&[0xff, 0xd8]));
    Ok(())
}

/// The story that began imgn.
#[tokio::test]
async fn a_picture_that_a_gateway_took_for_text_is_refused() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let _alone = ONE_STORE.lock().await;
    let store = SeaweedFs::start().await?;
    let mut cloud = Cloud::start(directory.path(), store.target()).await?;
    for (gateway, width) in Gateway::ALL.into_iter().zip(200..) {
        let before = cloud.keys("").await?;
        let picture = pictures::jpeg(width, 60);
        let path = cloud.open(gateway, &picture).await?;
        let content = bytes_of("PUT", &format!("{path}/content"), "image/jpeg", &picture);
        let refused = cloud.call_as(gateway, content.clone(), true).await?;
        ensure!(refused.status == 422, "{gateway:?}: {refused:?}");
        let told = refused.json()["detail"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        ensure!(told.contains("binary media types"), "{told}");
        ensure!(cloud.keys("").await? == before, "nothing was stored");

        // The same request through a gateway that knows what is binary.
        let taken = cloud.call(gateway, content).await?;
        ensure!(taken.status == 200, "{gateway:?}: {taken:?}");
        let complete = format!("{path}/complete");
        let published = cloud
            .json(gateway, "POST", &complete, json!({"parts": []}))
            .await?;
        ensure!(published["state"] == "published", "{published}");
        let original = cloud.original(gateway, &published["image"]).await?;
        ensure!(original == picture, "{gateway:?}: byte for byte");
    }
    Ok(())
}

#[tokio::test]
async fn what_other_people_s_clients_send_is_taken_up_by_events_and_by_the_schedule() -> Result<()>
{
    let directory = tempfile::tempdir()?;
    let _alone = ONE_STORE.lock().await;
    let store = SeaweedFs::start().await?;
    let mut cloud = Cloud::start(directory.path(), store.target()).await?;
    let gateway = Gateway::Http;
    let form = b"--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.jpg\"\r\n\r\n\xff\xd8\r\n--x--\r\n";
    let form = bytes_of("POST", "/upload", "multipart/form-data; boundary=x", form);
    let schedule = json!({
        "version": "0",
        "id": "53dc4d37-cffa-4f76-80c9-8b7d4a4d2eaa",
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": "123456789012",
        "time": "2026-11-26T12:00:00Z",
        "region": "eu-central-1",
        "resources": ["arn:aws:events:eu-central-1:123456789012:rule/imgn"],
        "detail": {},
    });
    for width in [300, 301] {
        let url = cloud.call(gateway, form.clone()).await?;
        ensure!(url.status == 200 && !url.was_base64, "{url:?}");
        let url = String::from_utf8(url.body)?;
        let picture = pictures::jpeg(width, 60);
        let put = cloud.http.put(&url).header("content-type", "image/jpeg");
        put.body(picture.clone()).send().await?.error_for_status()?;
        if width == 300 {
            let [key] = &cloud.keys("staged/").await?[..] else {
                anyhow::bail!("one object is staged");
            };
            let taken = cloud.arrived(key, picture.len()).await?;
            ensure!(taken == json!({"taken": 1}), "{taken}");
        } else {
            // No event came: the schedule finds it.
            eventually("the schedule takes it up", PATIENCE, async || {
                let swept = cloud.invoke(&schedule).await?;
                ensure!(swept["failures"] == 0, "{swept}");
                Ok((swept["verifying"] == 1).then_some(()))
            })
            .await?;
        }
        let listed = cloud.json(gateway, "GET", "/gallery", Value::Null).await?;
        ensure!(listed[0]["meta"] == format!("{width}x60"), "{listed}");
        ensure!(
            cloud.keys("staged/").await?.is_empty(),
            "nothing stays where it can be changed"
        );
    }
    Ok(())
}

#[tokio::test]
async fn several_environments_have_one_gallery() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let _alone = ONE_STORE.lock().await;
    let store = SeaweedFs::start().await?;
    let mut cloud = Cloud::start(directory.path(), store.target()).await?;
    let mut other = Cloud::environment(directory.path(), store.target(), "other", &[]).await?;
    for width in [400, 401] {
        let picture = pictures::jpeg(width, 60);
        let path = cloud.open(Gateway::Http, &picture).await?;
        std::mem::swap(&mut cloud.function, &mut other);
        let content = bytes_of("PUT", &format!("{path}/content"), "image/jpeg", &picture);
        ensure!(cloud.call(Gateway::Http, content).await?.status == 200);
        std::mem::swap(&mut cloud.function, &mut other);
        let complete = format!("{path}/complete");
        let published = cloud
            .json(Gateway::Http, "POST", &complete, json!({"parts": []}))
            .await?;
        ensure!(published["state"] == "published", "{published}");
        std::mem::swap(&mut cloud.function, &mut other);
        let listed = cloud
            .json(Gateway::Http, "GET", "/gallery", Value::Null)
            .await?;
        ensure!(listed[0]["meta"] == format!("{width}x60"), "{listed}");
    }

    // What has no end elsewhere has one here.
    let events = cloud
        .call(
            Gateway::Http,
            request("GET", "/v1/events?since=0", Value::Null),
        )
        .await?;
    let text = String::from_utf8(events.body)?;
    ensure!(
        text.matches("event: change").count() == 2 && text.contains("retry:"),
        "{text}"
    );

    // What is no request of anybody's is refused, and the next is answered.
    for unknown in [
        json!({}),
        json!({"command": "format"}),
        json!({"Records": [{"eventSource": "aws:sqs"}]}),
    ] {
        let refused = cloud.function.invoke(&unknown).await?;
        ensure!(refused.is_err(), "{unknown}: {refused:?}");
    }
    let listed = cloud.invoke(&json!({"command": "token-list"})).await?;
    ensure!(listed["tokens"][0]["name"] == "ada", "{listed}");
    let revoked = cloud
        .invoke(&json!({"command": "token-revoke", "name": "ada"}))
        .await?;
    ensure!(revoked["revoked"] == "ada", "{revoked}");
    let refused = cloud
        .call(
            Gateway::Http,
            request("POST", "/s3/multipart", json!({"filename": "a"})),
        )
        .await?;
    ensure!(refused.status == 401, "{refused:?}");
    let log = cloud.function.log();
    ensure!(
        !log.contains(&cloud.token) && !log.contains("X-Amz-Signature"),
        "secrets in the log"
    );
    Ok(())
}

/// S3 tells of Uppy's object while the request that put it together still waits, and another environment hears of it.
#[tokio::test]
async fn what_uppy_puts_together_is_one_picture_though_two_environments_take_it_up() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let _alone = ONE_STORE.lock().await;
    let store = SeaweedFs::start().await?;
    // Held once, in the middle of what the first environment does: after the store has put it together, or while it is read.
    for (held, width) in [("POST", 350), ("GET", 351)] {
        let gate = Gate::closed();
        let reached = Arc::new(watch::Sender::new(false));
        let (kept, told) = (gate.clone(), reached.clone());
        let proxy = FaultProxy::start(store.target().host()?, move |request: &Seen| {
            let is_of_parts = request.parameters.contains_key("uploadId");
            let is_it = request.method == held
                && request.path.contains("/originals/")
                && is_of_parts == (held == "POST");
            let is_first = is_it && told.send_if_modified(|held| !std::mem::replace(held, true));
            match is_first {
                true => Fate::HoldAnswer(kept.clone()),
                false => Fate::Pass,
            }
        })
        .await?;
        let mut target = store.target().clone();
        target.endpoint = proxy.url();
        let directory = directory.path().join(held);
        let mut cloud = Cloud::start(&directory, &target).await?;
        let mut other = Cloud::environment(&directory, &target, "other", &[]).await?;
        let gateway = Gateway::Http;
        let picture = pictures::jpeg(width, 60);

        let before = cloud.keys("originals/").await?.len();
        let body = json!({"filename": "a.jpg", "type": "image/jpeg"});
        let made = cloud.json(gateway, "POST", "/s3/multipart", body).await?;
        let key = made["key"].as_str().context("a key")?.to_owned();
        let id = made["uploadId"].as_str().context("an upload id")?;
        let path = format!("/s3/multipart/{id}/1?key={key}");
        let signed = cloud.json(gateway, "GET", &path, Value::Null).await?;
        let put = cloud.http.put(signed["url"].as_str().context("a URL")?);
        let put = put.body(picture.clone()).send().await?.error_for_status()?;
        let tag = put
            .headers()
            .get("etag")
            .context("an entity tag")?
            .to_str()?;

        let path = format!("/s3/multipart/{id}/complete?key={key}");
        let body = json!({"parts": [{"PartNumber": 1, "ETag": tag}]});
        let event = object_created(&target.bucket, &key, picture.len());
        let (completed, taken) = tokio::join!(cloud.json(gateway, "POST", &path, body), async {
            let mut reached = reached.subscribe();
            reached.wait_for(|&is_held| is_held).await?;
            let taken = other.invoke(&event).await;
            gate.release();
            taken
        });
        let (completed, taken) = (completed?, taken?);
        ensure!(taken == Ok(json!({"taken": 1})), "{taken:?}");
        let images = cloud
            .json(gateway, "GET", "/v1/images", Value::Null)
            .await?;
        let images = images["images"].as_array().context("images")?;
        ensure!(images.len() == 1, "{images:?}");
        ensure!(completed["location"] == images[0]["url"], "{completed}");
        ensure!(
            cloud.original(gateway, &images[0]).await? == picture,
            "byte for byte"
        );
        let originals = cloud.keys("originals/").await?;
        ensure!(
            originals.len() == before + 1,
            "it is kept once: {originals:?}"
        );
        ensure!(originals.contains(&key), "{originals:?}");
        let events = cloud
            .call(gateway, request("GET", "/v1/events?since=0", Value::Null))
            .await?;
        let text = String::from_utf8(events.body)?;
        ensure!(text.matches("event: change").count() == 1, "{text}");
        // Told once more, to either.
        ensure!(other.invoke(&event).await? == Ok(json!({"taken": 0})));
    }
    Ok(())
}

/// A key by which a domain is mapped to an HTTP API stays in the path, and only the public URL tells it.
#[tokio::test]
async fn an_api_under_a_mapping_key_answers_where_its_public_url_says() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let _alone = ONE_STORE.lock().await;
    let store = SeaweedFs::start().await?;
    let gateway = Gateway::HttpWithMappingKey;
    let url = format!("{}/", gateway.url());
    let settings = [("IMGN_PUBLIC_URL", url.as_str())];
    let mut cloud = Cloud::start_with(directory.path(), store.target(), &settings).await?;
    let picture = pictures::jpeg(600, 60);
    let (path, key) = cloud.send(gateway, &picture).await?;
    cloud.arrived(&key, picture.len()).await?;
    let published = cloud.json(gateway, "GET", &path, Value::Null).await?;
    let image = &published["image"];
    let id = image["id"].as_str().context("an id")?;
    ensure!(
        image["url"] == format!("{url}v1/images/{id}/content"),
        "{published}"
    );
    ensure!(cloud.original(gateway, image).await? == picture);
    let page = cloud
        .call(gateway, request("GET", "/", Value::Null))
        .await?;
    ensure!(page.status == 200, "{page:?}");
    // The same function under the API's own address, without the key.
    let health = request("GET", "/healthz", Value::Null);
    ensure!(cloud.call(Gateway::Http, health).await?.status == 200);
    Ok(())
}
