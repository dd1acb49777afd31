//! What of the gallery is on this computer: `sync`, `list --offline`, `cache`, and the rest without the server.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use imgn_testkit::pictures;

use super::{Setting, setting};

fn upload(setting: &Setting, name: &str, width: u32) -> Result<(String, Vec<u8>)> {
    let path = setting.directory.path().join(name);
    let bytes = pictures::jpeg(width, 80);
    fs::write(&path, &bytes)?;
    let path = path.to_str().context("a path in UTF-8")?;
    let answer = setting.client.run(&["--json", "upload", path])?;
    ensure!(answer.code == Some(0), "{}", answer.stderr);
    let id = answer.objects()?[0]["id"]
        .as_str()
        .context("an id")?
        .to_owned();
    Ok((id, bytes))
}

/// The ids that a command lists, in order.
fn listed(setting: &Setting, arguments: &[&str]) -> Result<Vec<String>> {
    let answer = setting.client.run(&[&["--json"], arguments].concat())?;
    ensure!(answer.code == Some(0), "{arguments:?}: {}", answer.stderr);
    let id = |object: &serde_json::Value| object["id"].as_str().map(str::to_owned);
    Ok(answer.objects()?.iter().filter_map(id).collect())
}

#[tokio::test]
async fn what_was_synced_is_there_without_the_server_and_what_was_deleted_goes_later() -> Result<()>
{
    let mut setting = setting()?;
    let (a, _) = upload(&setting, "a.jpg", 100)?;
    let (b, bytes) = upload(&setting, "beach.jpg", 120)?;
    let (c, _) = upload(&setting, "c.jpg", 140)?;
    ensure!(
        listed(&setting, &["list", "--offline"])?.is_empty(),
        "nothing was synced"
    );

    let synced = setting.client.run(&["--json", "sync", "--originals"])?;
    ensure!(synced.code == Some(0), "{}", synced.stderr);
    let told = &synced.objects()?[0];
    ensure!(told["pictures"] == 3 && told["originals"] == 3, "{told}");
    let online = setting.client.run(&["list"])?.stdout;
    setting.server.kill();

    ensure!(listed(&setting, &["list", "--offline"])? == [c.as_str(), &b, &a]);
    ensure!(listed(&setting, &["list", "--offline", "--limit", "1"])? == [c.as_str()]);
    ensure!(listed(&setting, &["list", "--offline", "--search", "BEA"])? == [b.as_str()]);
    let offline = setting.client.run(&["list", "--offline"])?;
    ensure!(
        offline.stdout == online,
        "the same lines: {}",
        offline.stdout
    );
    let out = setting.directory.path().join("out.jpg");
    let to = out.to_str().context("a path in UTF-8")?;
    let got = setting.client.run(&["get", &b, "-o", to])?;
    ensure!(got.code == Some(0), "{}", got.stderr);
    ensure!(fs::read(&out)? == bytes, "the original, to the byte");
    let link = setting.client.run(&["link", &a])?;
    ensure!(
        link.code == Some(0) && link.stdout.contains(&a),
        "{}",
        link.stderr
    );
    let failed = setting.client.run(&["sync"])?;
    ensure!(
        failed.code == Some(1) && failed.stderr.contains("cannot be reached"),
        "{}",
        failed.stderr
    );

    let deleted = setting.client.run(&["--json", "delete", &a])?;
    ensure!(deleted.code == Some(0), "{}", deleted.stderr);
    ensure!(
        deleted.stderr.contains("1 to delete when it does"),
        "{}",
        deleted.stderr
    );
    let told = &deleted.objects()?[0];
    ensure!(told["queued"] == true && told["deleted"] == false, "{told}");
    ensure!(listed(&setting, &["list", "--offline"])? == [c.as_str(), &b]);

    setting.server.restart()?;
    ensure!(listed(&setting, &["list"])?.len() == 3, "not deleted yet");
    let synced = setting.client.run(&["sync"])?;
    ensure!(synced.code == Some(0), "{}", synced.stderr);
    ensure!(listed(&setting, &["list"])? == [c.as_str(), &b]);
    ensure!(listed(&setting, &["list", "--offline"])? == [c.as_str(), &b]);
    Ok(())
}

#[tokio::test]
async fn the_cache_is_told_and_cleared() -> Result<()> {
    let setting = setting()?;
    let stats = || -> Result<serde_json::Value> {
        let answer = setting.client.run(&["--json", "cache", "stats"])?;
        ensure!(answer.code == Some(0), "{}", answer.stderr);
        Ok(answer.objects()?.remove(0))
    };
    let empty = stats()?;
    ensure!(
        empty["entries"] == 0 && empty["limit_bytes"] == 512 * 1024 * 1024,
        "{empty}"
    );
    let words = setting.client.run(&["cache", "stats"])?.stdout;
    ensure!(words.trim() == "0 thumbnails, 0 B of 512 MiB", "{words}");
    // What no index knows goes too.
    let stray = setting.directory.path().join("home/cache/ab/cd");
    fs::create_dir_all(stray.parent().context("a folder")?)?;
    fs::write(&stray, [0; 100])?;
    ensure!(setting.client.run(&["cache", "clear"])?.code == Some(0));
    ensure!(stats()?["entries"] == 0 && !stray.exists());
    Ok(())
}
