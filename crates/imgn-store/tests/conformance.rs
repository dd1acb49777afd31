//! The conformance suite of the testkit, over the store's real HTTP service and over an engine nobody here wrote.

#![expect(clippy::print_stdout, reason = "says what was skipped")]

mod common;

use std::time::Duration;

use anyhow::{Result, ensure};
use imgn_testkit::s3;
use imgn_testkit::s3::raw;
use imgn_testkit::s3::sign::Request;
use imgn_testkit::seaweedfs::{self, SeaweedFs};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::common::StoreProcess;

/// What must be true at once is, within this time.
const SOON: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
async fn the_store_does_as_s3_does() -> Result<()> {
    let store = StoreProcess::start()?;
    s3::run(store.target()).await?;
    let left: Vec<_> = store.files("tmp")?;
    assert!(left.is_empty(), "left behind: {left:?}");
    Ok(())
}

/// Runs where `IMGN_TEST_WEED` names SeaweedFS's program, as `cargo xtask test` sees to.
#[tokio::test(flavor = "multi_thread")]
async fn the_suite_holds_for_seaweedfs() -> Result<()> {
    if std::env::var_os(seaweedfs::PROGRAM).is_none() {
        println!("SKIPPED: {} is not set", seaweedfs::PROGRAM);
        return Ok(());
    }
    let engine = SeaweedFs::start().await?;
    s3::run(engine.target()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_will_be_refused_is_not_waited_for() -> Result<()> {
    let store = StoreProcess::start()?;
    let target = store.target();
    let first = Request::new(target, "PUT", "taken").presign();
    ensure!(raw::send(target, first, "first").await?.status.is_success());

    let second = Request::new(target, "PUT", "taken")
        .header("if-none-match", "*")
        .header("content-length", 1_000_000)
        .presign();
    let mut stream = TcpStream::connect(target.host()?).await?;
    let mut head = format!("PUT {} HTTP/1.1\r\n", second.path_and_query);
    for (name, value) in &second.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes()).await?;
    let mut status = [0; 12];
    tokio::time::timeout(SOON, stream.read_exact(&mut status)).await??;
    ensure!(&status == b"HTTP/1.1 412", "{status:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_runs_nothing_that_is_stored() -> Result<()> {
    let store = StoreProcess::start()?;
    let target = store.target();
    let put = Request::new(target, "PUT", "page")
        .header("content-type", "text/html")
        .presign();
    ensure!(
        raw::send(target, put, "<script>")
            .await?
            .status
            .is_success()
    );
    for (key, status) in [("page", 200), ("nothing", 404)] {
        let get = Request::new(target, "GET", key).presign();
        let answer = raw::send(target, get, "").await?;
        ensure!(answer.status.as_u16() == status, "{}", answer.status);
        ensure!(answer.header("x-content-type-options") == "nosniff");
        let policy = answer.header("content-security-policy");
        ensure!(policy == "default-src 'none'; sandbox", "{policy}");
    }
    Ok(())
}
