//! What the store has before an import.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use imgn_testkit::seaweedfs::SeaweedFs;
use sha2::{Digest as _, Sha256};

use super::{Place, filled, text};
use crate::api::Api;

/// Another bucket of the same name, or one that somebody else has written to: that a size agrees says nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_store_has_already_is_compared_by_its_bytes() -> Result<()> {
    let (from, weed) = (Place::embedded()?, SeaweedFs::start().await?);
    let (server, owner, _) = filled(&from, 3).await?;
    let images = owner.images().await?;
    let backups = tempfile::tempdir()?;
    let directory = backups.path().join("backup");
    from.succeeds(&["export", text(&directory)?])?;
    drop(server);

    let target = weed.target();
    let to = Place::embedded()?
        .with_bucket(target, &target.endpoint, "other")
        .await?;
    let key = |n: usize| -> Result<String> {
        Ok(format!(
            "originals/{}",
            images[n]["id"].as_str().context("an id")?
        ))
    };
    let put = async |key: &str, bytes: Vec<u8>, sum: bool| -> Result<()> {
        let put = target.client().put_object().bucket("other").key(key);
        let sum = sum.then(|| BASE64_STANDARD.encode(Sha256::digest(&bytes)));
        put.set_checksum_sha256(sum)
            .body(bytes.into())
            .send()
            .await?;
        Ok(())
    };
    // As it should be, without a checksum that the store would know; and other bytes, with one and without.
    let sound = |n: usize| -> Result<Vec<u8>> { Ok(fs::read(directory.join(key(n)?))?) };
    let other = |n: usize| -> Result<Vec<u8>> {
        let mut bytes = sound(n)?;
        bytes[100] ^= 1;
        Ok(bytes)
    };
    put(&key(0)?, sound(0)?, false).await?;
    put(&key(1)?, other(1)?, false).await?;
    put(&key(2)?, other(2)?, true).await?;
    let why = to.fails(&["import", text(&directory)?])?;
    for n in [1, 2] {
        let told = why
            .lines()
            .find(|line| line.contains(&key(n).unwrap_or_default()));
        let says = told.is_some_and(|line| line.contains("is another object in the store already"));
        ensure!(says, "{n}: {why}");
    }
    ensure!(!why.contains(&key(0)?), "{why}");
    // There is nothing wrong with the backup.
    ensure!(!why.contains("mend the backup"), "{why}");
    for said in ["2 objects of the store", "an empty bucket", "remove"] {
        ensure!(why.contains(said), "{said}: {why}");
    }
    let empty = to.start("127.0.0.1:0", "none")?;
    ensure!(
        Api::new(&empty.url, None)?.images().await?.is_empty(),
        "nothing is published"
    );
    drop(empty);

    for n in [1, 2] {
        let deleted = target.client().delete_object().bucket("other").key(key(n)?);
        deleted.send().await?;
    }
    to.succeeds(&["import", text(&directory)?])?;
    Ok(())
}
