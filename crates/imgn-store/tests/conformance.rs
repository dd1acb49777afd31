//! The conformance suite of the testkit, over the store's real HTTP service and over an engine nobody here wrote.

#![expect(clippy::print_stdout, reason = "says what was skipped")]

mod common;

use anyhow::Result;
use imgn_testkit::s3;
use imgn_testkit::seaweedfs::{self, SeaweedFs};

use crate::common::StoreProcess;

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
