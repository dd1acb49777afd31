//! The time that an invocation has: what does not end in it, what must not wait for its end, and what has to be over by then.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result, ensure};
use imgn_testkit::{
    lambda::{Gateway, object_created},
    pictures,
    process::eventually,
    proxy::{Answer, Fate, FaultProxy, Gate, Seen},
    s3::Target,
    seaweedfs::SeaweedFs,
};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::{Cloud, ONE_STORE, bytes_of, request};
use crate::driver::PATIENCE;

/// How often the server asks the store before it takes a failure for one.
const STORE_ATTEMPTS: u32 = 3;

/// A way to the store on which what is read below a place is kept until the gate is released.
async fn keeping(
    store: &SeaweedFs,
    below: &'static str,
    gate: &Gate,
) -> Result<(FaultProxy, Target)> {
    let held = gate.clone();
    let proxy = FaultProxy::start(store.target().host()?, move |request: &Seen| {
        match request.method == "GET" && request.path.contains(below) {
            true => Fate::HoldAnswer(held.clone()),
            false => Fate::Pass,
        }
    })
    .await?;
    let target = Target {
        endpoint: proxy.url(),
        ..store.target().clone()
    };
    Ok((proxy, target))
}

#[tokio::test]
async fn a_picture_that_never_ends_in_the_time_of_an_invocation_is_refused_in_the_end() -> Result<()>
{
    let directory = tempfile::tempdir()?;
    let _alone = ONE_STORE.lock().await;
    let store = SeaweedFs::start().await?;
    // What one picture may cost is more than an invocation has.
    let settings = [
        ("IMGN_MAX_FRAMES", "10000"),
        ("IMGN_MAX_TOTAL_PIXELS", "100000000000"),
        ("IMGN_MAX_DECODE_TIME", "3600"),
    ];
    let mut cloud = Cloud::start_with(directory.path(), store.target(), &settings).await?;
    // A sound one, of 40 billion pixels.
    let picture = pictures::slow_webp(2_000, 2_000, 10_000);
    let (path, key) = cloud.send(Gateway::Http, &picture).await?;
    cloud.function.set_timeout(Duration::from_secs(5));
    let mut attempts = 0;
    let rejected = eventually("it is refused", PATIENCE, async || {
        let event = object_created(&cloud.target.bucket, &key, picture.len());
        let attempt = cloud.function.invoke(&event).await?;
        attempts += 1;
        let state = cloud.json(Gateway::Http, "GET", &path, Value::Null).await?;
        ensure!(attempt.is_err(), "S3 is to ask again: {attempt:?}, {state}");
        Ok((state["state"] != "verifying").then_some(state))
    })
    .await?;
    ensure!(attempts >= 3, "{attempts}");
    ensure!(
        rejected["state"] == "rejected" && rejected["code"] == "decode_timeout",
        "{rejected}"
    );
    let told = rejected["message"].as_str().unwrap_or_default();
    ensure!(told.contains("tried 3 times"), "{told}");
    ensure!(cloud.keys("originals/").await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn an_answer_waits_for_a_verification_no_longer_than_a_gateway_does() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let _alone = ONE_STORE.lock().await;
    let store = SeaweedFs::start().await?;
    let gate = Gate::closed();
    let (_proxy, target) = keeping(&store, "/originals/", &gate).await?;
    let mut cloud = Cloud::start(directory.path(), &target).await?;
    // As long as it likes, but for the gateway, which the function knows of.
    cloud.function.set_timeout(PATIENCE * 10);
    let picture = pictures::jpeg(700, 60);
    let (path, _) = cloud.send(Gateway::Http, &picture).await?;
    let complete = format!("{path}/complete");
    let complete = request("POST", &complete, json!({"parts": []}));
    let answer = cloud.call(Gateway::Http, complete).await?;
    ensure!(
        answer.status == 202 && answer.json()["state"] == "verifying",
        "{answer:?}"
    );
    gate.release();
    eventually("the schedule takes it up", PATIENCE, async || {
        cloud.invoke(&json!({"source": "aws.events"})).await?;
        let state = cloud.json(Gateway::Http, "GET", &path, Value::Null).await?;
        Ok((state["state"] == "published").then_some(()))
    })
    .await
}

#[tokio::test]
async fn an_invocation_that_fails_ends_what_it_began_before_it_says_so() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let _alone = ONE_STORE.lock().await;
    let store = SeaweedFs::start().await?;
    let is_read = |request: &Seen, below: &str| {
        request.method == "GET" && request.path.contains(&format!("/{below}/"))
    };
    // The store fails for one of two objects, and keeps the other until it has failed for good.
    let gate = Gate::closed();
    let (held, refused) = (gate.clone(), Arc::new(watch::Sender::new(0)));
    let told = refused.clone();
    let proxy = FaultProxy::start(store.target().host()?, move |request: &Seen| {
        if is_read(request, "originals") {
            return Fate::HoldAnswer(held.clone());
        }
        if is_read(request, "staged") {
            told.send_modify(|times| *times += 1);
            return Fate::Answer(Answer::status(500));
        }
        Fate::Pass
    })
    .await?;
    let mut target = store.target().clone();
    target.endpoint = proxy.url();
    let mut cloud = Cloud::start(directory.path(), &target).await?;
    let mut other = Cloud::environment(directory.path(), &target, "other", &[]).await?;
    let form = b"--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.jpg\"\r\n\r\n\r\n--x--\r\n";
    let form = bytes_of("POST", "/upload", "multipart/form-data; boundary=x", form);
    let url = String::from_utf8(cloud.call(Gateway::Http, form).await?.body)?;
    let (_, staged) = url.split_once("/staged/").context("a key")?;
    let staged = format!("staged/{}", staged.split('?').next().unwrap_or_default());
    let picture = pictures::jpeg(800, 60);
    let (path, key) = cloud.send(Gateway::Http, &picture).await?;

    let bucket = cloud.target.bucket.clone();
    let mut event = object_created(&bucket, &key, picture.len());
    let second = object_created(&bucket, &staged, 1)["Records"][0].clone();
    event["Records"]
        .as_array_mut()
        .context("records")?
        .push(second);
    let mut times = refused.subscribe();
    let (failed, released) = tokio::join!(cloud.function.invoke(&event), async {
        let waited = times.wait_for(|&times| times >= STORE_ATTEMPTS).await;
        gate.release();
        waited.is_ok()
    });
    ensure!(released && failed?.is_err(), "it failed for one of them");
    // The environment stands still; another one sees that the first picture is published.
    std::mem::swap(&mut cloud.function, &mut other);
    let state = cloud.json(Gateway::Http, "GET", &path, Value::Null).await?;
    ensure!(state["state"] == "published", "{state}");
    Ok(())
}

#[tokio::test]
async fn a_store_that_hangs_does_not_keep_an_invocation_beyond_its_time() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let _alone = ONE_STORE.lock().await;
    let store = SeaweedFs::start().await?;
    let gate = Gate::closed();
    let (_proxy, target) = keeping(&store, "/staged/", &gate).await?;
    let mut cloud = Cloud::start(directory.path(), &target).await?;
    let form = b"--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.jpg\"\r\n\r\n\r\n--x--\r\n";
    let form = bytes_of("POST", "/upload", "multipart/form-data; boundary=x", form);
    let url = String::from_utf8(cloud.call(Gateway::Http, form).await?.body)?;
    let picture = pictures::jpeg(900, 60);
    let put = cloud.http.put(&url).header("content-type", "image/jpeg");
    put.body(picture.clone()).send().await?.error_for_status()?;
    let [key] = &cloud.keys("staged/").await?[..] else {
        anyhow::bail!("one object is staged");
    };

    cloud.function.set_timeout(Duration::from_secs(5));
    let schedule = json!({"source": "aws.events"});
    let event = object_created(&cloud.target.bucket, key, picture.len());
    for asked in [&event, &schedule] {
        let ended = cloud.function.invoke(asked).await?;
        let told = ended.err().context("Lambda is to ask again")?;
        ensure!(told["errorType"] == "imgn.NotDone", "{told}");
        let told = told["errorMessage"].as_str().unwrap_or_default();
        ensure!(told.contains("one invocation"), "{told}");
    }
    gate.release();
    // Whoever asks again next.
    eventually("it is published", PATIENCE, async || {
        cloud.invoke(&schedule).await?;
        let listed = cloud
            .json(Gateway::Http, "GET", "/gallery", Value::Null)
            .await?;
        Ok((listed[0]["meta"] == "900x60").then_some(()))
    })
    .await
}
