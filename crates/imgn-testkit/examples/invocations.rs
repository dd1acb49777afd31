//! For `cargo xtask bench lambda`: the function under a Runtime API beside the same server on a socket, with one store
//! and as many pictures. Prints its figures as JSON.
//!
//! Not measured is what AWS adds: fetching the program, its own start of an environment, the gateway, EFS.
//!
//! Invariant: both answer the same requests, one after the other, and every answer is looked at.

#![allow(
    clippy::print_stdout,
    clippy::allow_attributes,
    reason = "its figures are its output"
)]

use std::{fs, path::Path, time::Instant};

use anyhow::{Context as _, Result, ensure};
use imgn_testkit::{
    lambda::{Answered, FunctionProcess, Gateway, Sent},
    pictures,
    process::ServerProcess,
    seaweedfs::SeaweedFs,
};
use serde_json::{Value, json};

/// How often each is started, and asked.
const STARTS: usize = 5;
const REQUESTS: usize = 300;

/// What is asked: a page of the gallery, and a picture's bytes in an answer.
const LIST: &str = "/v1/images?limit=50";

#[tokio::main]
async fn main() -> Result<()> {
    let store = SeaweedFs::start().await?;
    let target = store.target();
    let place = tempfile::tempdir()?;
    let data = place.path().join("function");
    let mut cold = Vec::new();
    let mut started = None;
    for round in 0..=STARTS {
        let begun = Instant::now();
        let shared = data.join("data");
        let mut function = FunctionProcess::start_on(target, &shared, &data, &[]).await?;
        function.never_freeze()?;
        list(&mut function).await?;
        // The first makes the catalogue, and is warmed up for.
        if round == 0 {
            let token = function.add_token("bench").await?;
            fill(&mut function, &token).await?;
        } else {
            cold.push(milliseconds(begun));
        }
        started = Some(function);
    }
    let mut function = started.context("a function")?;
    let thumb = thumb(&list(&mut function).await?)?;
    let mut warm = Vec::new();
    let mut warm_bytes = Vec::new();
    for _ in 0..REQUESTS {
        let begun = Instant::now();
        list(&mut function).await?;
        warm.push(milliseconds(begun));
        let begun = Instant::now();
        let answer = call(&mut function, get(&thumb)).await?;
        ensure!(answer.status == 200 && answer.was_base64);
        warm_bytes.push(milliseconds(begun));
    }
    drop(function);

    let arguments = [
        "--storage=s3",
        "--s3-path-style",
        &format!("--s3-endpoint={}", target.endpoint),
        &format!("--s3-bucket={}", target.bucket),
    ];
    let credentials = [
        ("AWS_ACCESS_KEY_ID", target.access_key.as_str()),
        ("AWS_SECRET_ACCESS_KEY", target.secret_key.as_str()),
    ];
    let served = place.path().join("socket");
    fs::create_dir_all(served.join("data"))?;
    let catalogue = Path::new("data").join("catalogue.sqlite3");
    fs::copy(data.join(&catalogue), served.join(&catalogue))?;
    // reqwest's TLS wants a provider, also where there is no TLS.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let http = reqwest::Client::builder().no_proxy().build()?;
    let mut cold_socket = Vec::new();
    let mut server = ServerProcess::start_with(&served, &arguments, &credentials)?;
    for _ in 0..STARTS {
        server.terminate()?;
        let begun = Instant::now();
        server.restart()?;
        fetch(&http, &server.url, LIST).await?;
        cold_socket.push(milliseconds(begun));
    }
    let mut warm_socket = Vec::new();
    let mut warm_bytes_socket = Vec::new();
    for _ in 0..REQUESTS {
        let begun = Instant::now();
        fetch(&http, &server.url, LIST).await?;
        warm_socket.push(milliseconds(begun));
        let begun = Instant::now();
        fetch(&http, &server.url, &thumb).await?;
        warm_bytes_socket.push(milliseconds(begun));
    }
    let figures = [
        ("function: from its start to its first answer", cold),
        ("socket: from its start to its first answer", cold_socket),
        ("function: a page of 50 pictures, warm", warm),
        ("socket: a page of 50 pictures, warm", warm_socket),
        ("function: a thumbnail, warm", warm_bytes),
        ("socket: a thumbnail, warm", warm_bytes_socket),
    ];
    let figures =
        figures.map(|(what, times)| json!({"what": what, "value": median(times), "unit": "ms"}));
    println!("{}", json!(figures));
    Ok(())
}

/// Puts 50 pictures into the gallery.
async fn fill(function: &mut FunctionProcess, token: &str) -> Result<()> {
    for width in 0..50 {
        let picture = pictures::jpeg(400 + width, 300);
        let sha256 = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(&picture));
        let path = format!("/v1/uploads/{}", uuid::Uuid::now_v7());
        let open = json!({"file_name": "a.jpg", "size": picture.len(), "sha256": sha256});
        for (method, path, kind, body) in [
            (
                "PUT",
                path.clone(),
                "application/json",
                open.to_string().into_bytes(),
            ),
            ("PUT", format!("{path}/content"), "image/jpeg", picture),
            (
                "POST",
                format!("{path}/complete"),
                "application/json",
                b"{}".to_vec(),
            ),
        ] {
            let headers = vec![
                ("content-type", kind.to_owned()),
                ("authorization", format!("Bearer {token}")),
            ];
            let answer = call(
                function,
                Sent {
                    method,
                    path,
                    headers,
                    body,
                },
            )
            .await?;
            ensure!(answer.status == 200, "{answer:?}");
        }
    }
    Ok(())
}

fn get(path: &str) -> Sent {
    Sent {
        method: "GET",
        path: path.to_owned(),
        ..Sent::default()
    }
}

async fn call(function: &mut FunctionProcess, sent: Sent) -> Result<Answered> {
    let answer = function.invoke(&Gateway::Http.event(&sent, false)).await?;
    Answered::read(&answer.map_err(|error| anyhow::anyhow!("{error}"))?)
}

async fn list(function: &mut FunctionProcess) -> Result<Value> {
    let answer = call(function, get(LIST)).await?;
    ensure!(answer.status == 200, "{answer:?}");
    Ok(answer.json())
}

fn thumb(page: &Value) -> Result<String> {
    let images = page["images"].as_array().context("images")?;
    ensure!(images.len() == 50, "{} pictures", images.len());
    let id = images[0]["id"].as_str().context("an id")?;
    Ok(format!("/v1/images/{id}/thumb/320"))
}

async fn fetch(http: &reqwest::Client, url: &str, path: &str) -> Result<()> {
    let answer = http.get(format!("{url}{path}")).send().await?;
    answer.error_for_status()?.bytes().await?;
    Ok(())
}

fn milliseconds(begun: Instant) -> f64 {
    begun.elapsed().as_secs_f64() * 1000.0
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
