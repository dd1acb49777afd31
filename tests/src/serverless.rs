//! The server as a function of AWS Lambda: the built program under the Runtime API, with events of every gateway, against
//! a store that nobody here wrote. Between two invocations its process stands still.

use std::{
    collections::BTreeSet,
    path::Path,
    sync::{Arc, Mutex},
};

use anyhow::{Context as _, Result, ensure};
use imgn_testkit::{
    lambda::{Answered, FunctionProcess, Gateway, Sent, object_created},
    pictures,
    process::eventually,
    proxy::{Fate, FaultProxy, Seen},
    s3::Target,
    seaweedfs::SeaweedFs,
};
use serde_json::{Value, json};
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
        let mut function = Self::environment(directory, target, "function").await?;
        let command = json!({"command": "token-add", "name": "ada"});
        let made = function.invoke(&command).await?;
        let made = made.map_err(|error| anyhow::anyhow!("{error}"))?;
        Ok(Self {
            function,
            target: target.clone(),
            token: made["token"].as_str().context("a token")?.to_owned(),
            http: http()?,
        })
    }

    /// One more environment of the same function.
    async fn environment(directory: &Path, target: &Target, name: &str) -> Result<FunctionProcess> {
        let data = directory.join("data").display().to_string();
        let environment = [
            ("AWS_ACCESS_KEY_ID", target.access_key.as_str()),
            ("AWS_SECRET_ACCESS_KEY", target.secret_key.as_str()),
            ("AWS_REGION", "us-east-1"),
            ("IMGN_DATA_DIR", data.as_str()),
            ("IMGN_SHARED_FILE_SYSTEM", "true"),
            ("IMGN_STORAGE", "s3"),
            ("IMGN_S3_ENDPOINT", target.endpoint.as_str()),
            ("IMGN_S3_BUCKET", target.bucket.as_str()),
            ("IMGN_S3_PATH_STYLE", "true"),
            ("IMGN_RELAY_MAX_SIZE", "4M"),
        ];
        FunctionProcess::start(&directory.join(name), &environment).await
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

        // The way past the gateway: only the URL comes through it.
        let picture = pictures::jpeg(width, 60);
        let path = cloud.open(gateway, &picture).await?;
        let sign = json!({"checksum": sha256(&picture)});
        let signed = cloud
            .json(gateway, "POST", &format!("{path}/sign"), sign)
            .await?;
        let mut put = cloud
            .http
            .put(signed["url"].as_str().context("a URL")?)
            .body(picture.clone());
        for (name, value) in signed["headers"].as_object().context("headers")? {
            put = put.header(name, value.as_str().context("a header")?);
        }
        put.send().await?.error_for_status()?;
        let state = cloud.json(gateway, "GET", &path, Value::Null).await?;
        let key = state["key"].as_str().context("a key")?.to_owned();
        ensure!(state["state"] == "open", "nobody has said so yet: {state}");
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
    let mut other = Cloud::environment(directory.path(), store.target(), "other").await?;
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

/// What a request to S3 needs of a role: an action, and the keys' first word; nothing for requests on the bucket.
fn permission(seen: &Seen, bucket: &str) -> Result<BTreeSet<(&'static str, String)>> {
    let path = seen.path.trim_start_matches('/');
    let key = path
        .strip_prefix(bucket)
        .context("the bucket")?
        .trim_start_matches('/');
    let has = |name: &str| seen.parameters.contains_key(name);
    let action = match (seen.method.as_str(), key.is_empty()) {
        ("HEAD", true) => "s3:ListBucket",
        ("GET", true) if has("uploads") => "s3:ListBucketMultipartUploads",
        ("POST", true) => "s3:PutObject",
        ("GET", false) if has("uploadId") => "s3:ListMultipartUploadParts",
        ("GET" | "HEAD", false) => "s3:GetObject",
        ("DELETE", false) if has("uploadId") => "s3:AbortMultipartUpload",
        ("DELETE", false) => "s3:DeleteObject",
        ("PUT" | "POST", false) => "s3:PutObject",
        _ => anyhow::bail!("no action is known for {seen:?}"),
    };
    let place = key.split('/').next().unwrap_or_default().to_owned();
    Ok([(action, place)].into())
}

/// The function's role in the template allows each request to the store that is seen here, of the function and by the URLs
/// that it signs, and each of its actions is needed.
#[tokio::test]
async fn the_role_allows_what_is_done_and_nothing_else() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let _alone = ONE_STORE.lock().await;
    let store = SeaweedFs::start().await?;
    let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
    let noted = seen.clone();
    let proxy = FaultProxy::start(store.target().host()?, move |request: &Seen| {
        noted.lock().unwrap().push(request.clone());
        Fate::Pass
    })
    .await?;
    let mut target = store.target().clone();
    target.endpoint = proxy.url();
    let mut cloud = Cloud::start(directory.path(), &target).await?;
    let gateway = Gateway::Http;

    // A picture by our own client, which is then deleted.
    let picture = pictures::jpeg(500, 60);
    let path = cloud.open(gateway, &picture).await?;
    let content = bytes_of("PUT", &format!("{path}/content"), "image/jpeg", &picture);
    ensure!(cloud.call(gateway, content).await?.status == 200);
    let complete = format!("{path}/complete");
    let published = cloud
        .json(gateway, "POST", &complete, json!({"parts": []}))
        .await?;
    ensure!(cloud.original(gateway, &published["image"]).await? == picture);
    let id = published["image"]["id"]
        .as_str()
        .context("an id")?
        .to_owned();
    let deleted = cloud
        .call(
            gateway,
            request("DELETE", &format!("/v1/images/{id}"), Value::Null),
        )
        .await?;
    ensure!(deleted.status == 204, "{deleted:?}");

    // What our own clients send in parts, which asks the store first what it checks.
    let large = json!({"file_name": "a.jpg", "size": 40_000_000, "sha256": sha256(b"never sent")});
    let path = format!("/v1/uploads/{}", Uuid::now_v7());
    let opened = cloud.json(gateway, "PUT", &path, large).await?;
    ensure!(opened["mode"] == "multipart", "{opened}");
    ensure!(
        cloud
            .call(gateway, request("DELETE", &path, Value::Null))
            .await?
            .status
            == 204
    );

    // Uppy's parts: put together, and given up.
    for is_completed in [true, false] {
        let made = cloud
            .json(
                gateway,
                "POST",
                "/s3/multipart",
                json!({"filename": "a.jpg"}),
            )
            .await?;
        let (id, key) = (
            made["uploadId"].as_str().context("id")?,
            made["key"].as_str().context("key")?,
        );
        let part = cloud
            .json(
                gateway,
                "GET",
                &format!("/s3/multipart/{id}/1?key={key}"),
                Value::Null,
            )
            .await?;
        let sent = cloud
            .http
            .put(part["url"].as_str().context("url")?)
            .body(pictures::jpeg(501, 60));
        let sent = sent.send().await?.error_for_status()?;
        let etag = sent.headers()["etag"]
            .to_str()?
            .trim_matches('"')
            .to_owned();
        if is_completed {
            let parts = json!({"parts": [{"PartNumber": 1, "ETag": etag}]});
            cloud
                .json(
                    gateway,
                    "POST",
                    &format!("/s3/multipart/{id}/complete?key={key}"),
                    parts,
                )
                .await?;
        } else {
            let path = format!("/s3/multipart/{id}?key={key}");
            ensure!(
                cloud
                    .call(gateway, request("DELETE", &path, Value::Null))
                    .await?
                    .status
                    == 200
            );
        }
    }

    // A page of 2018, and the sweeper.
    let form = b"--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.jpg\"\r\n\r\n\r\n--x--\r\n";
    let form = bytes_of("POST", "/upload", "multipart/form-data; boundary=x", form);
    let url = String::from_utf8(cloud.call(gateway, form).await?.body)?;
    cloud
        .http
        .put(&url)
        .body(pictures::jpeg(502, 60))
        .send()
        .await?
        .error_for_status()?;
    eventually("it is taken up", PATIENCE, async || {
        let swept = cloud.invoke(&json!({"source": "aws.events"})).await?;
        Ok((swept["verifying"] == 1).then_some(()))
    })
    .await?;
    let ready = cloud
        .call(gateway, request("GET", "/readyz", Value::Null))
        .await?;
    ensure!(ready.status == 200, "{ready:?}");

    let template = include_str!("../../deploy/aws/template.yaml");
    let pictures = template
        .split("- PolicyName: ")
        .find(|policy| policy.starts_with("pictures"));
    let words: Vec<&str> = pictures.context("the policy")?.split_whitespace().collect();
    let allowed: BTreeSet<&str> = words
        .iter()
        .copied()
        .filter(|word| word.starts_with("s3:"))
        .collect();
    let places: BTreeSet<&str> = words
        .iter()
        .filter_map(|word| {
            word.strip_prefix(
                "\"arn:${AWS::Partition}:s3:::${AWS::StackName}-pictures-${AWS::AccountId}/",
            )?
            .strip_suffix("/*\"")
        })
        .collect();
    let mut needed = BTreeSet::new();
    for request in seen.lock().unwrap().iter() {
        for (action, place) in permission(request, &target.bucket)? {
            ensure!(
                allowed.contains(action),
                "{action} is not allowed: {request:?}"
            );
            ensure!(
                place.is_empty() || places.contains(place.as_str()),
                "not below {place}: {request:?}"
            );
            needed.insert(action);
        }
    }
    ensure!(
        needed == allowed,
        "allowed and not needed: {:?}",
        allowed.difference(&needed)
    );
    Ok(())
}
