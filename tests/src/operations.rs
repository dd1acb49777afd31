//! What whoever runs the server does with the built program: tokens that end, and the audit log.

use std::{fs, process::Command, time::Duration};

use anyhow::{Context as _, Result, ensure};
use imgn_testkit::process::{ServerProcess, eventually};
use reqwest::StatusCode;
use uuid::Uuid;

use crate::api::{Api, sha256};

fn stdout(server: &ServerProcess, arguments: &[&str]) -> Result<String> {
    let output = server.command(arguments)?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{arguments:?}: {errors}");
    Ok(String::from_utf8(output.stdout)?)
}

#[tokio::test]
async fn tokens_have_an_end_and_scopes_and_the_list_tells_their_last_use() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let server = ServerProcess::start(directory.path(), &[])?;
    let add = ["token", "add", "camera", "--scopes", "upload", "--expires"];
    let token = stdout(&server, &[&add[..], &["90d"]].concat())?;
    let brief = stdout(&server, &["token", "add", "brief", "--expires", "1s"])?;
    let refused = server.command(&[&add[..], &["soon"]].concat())?;
    ensure!(refused.status.code() == Some(2), "{refused:?}");

    let bytes = b"no picture";
    let open = async |token: &str| {
        let api = Api::new(&server.url, Some(token.trim()))?;
        api.open(Uuid::now_v7(), "a.jpg", bytes.len(), &sha256(bytes))
            .await
    };
    ensure!(open(&token).await?.status == StatusCode::OK);
    let ended = eventually("the token ends", Duration::from_secs(20), async || {
        let answer = open(&brief).await?;
        Ok((answer.status == StatusCode::UNAUTHORIZED).then_some(answer))
    });
    let ended = ended.await?;
    let detail = ended.json["detail"].as_str().context("a detail")?;
    ensure!(detail.contains("has expired"), "{detail}");

    let listed = stdout(&server, &["token", "list"])?;
    let row = listed
        .lines()
        .find_map(|line| line.strip_prefix("camera\t"))
        .context("a row")?;
    let [role, created, scopes, expires, used] = row.split('\t').collect::<Vec<_>>()[..] else {
        anyhow::bail!("{row}");
    };
    ensure!((role, scopes) == ("uploader", "upload"), "{row}");
    let (created, expires): (jiff::Timestamp, jiff::Timestamp) =
        (created.parse()?, expires.parse()?);
    let hours = (expires - created).total(jiff::Unit::Hour)?;
    ensure!((hours - 90.0 * 24.0).abs() < 0.1, "{row}");
    used.parse::<jiff::civil::Date>()?;
    let unused = listed.lines().find(|line| line.starts_with("owner\t"));
    ensure!(
        unused.context("a row")?.ends_with("\tupload,delete\t-\t-"),
        "{listed}"
    );
    Ok(())
}

#[cfg(unix)]
#[tokio::test]
async fn the_audit_log_goes_on_in_a_new_file_when_the_old_one_was_moved_away() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("audit.jsonl");
    let moved = directory.path().join("audit.jsonl.1");
    let given = path.to_str().context("a path")?;
    let environment = [("IMGN_AUDIT_LOG", given)];
    let server = ServerProcess::start_with(directory.path(), &[], &environment)?;
    let api = Api::new(&server.url, Some(&server.token))?;
    let open = async || -> Result<String> {
        let id = Uuid::now_v7();
        let opened = api.open(id, "a.jpg", 1, &sha256(id.as_bytes())).await?;
        ensure!(opened.status == StatusCode::OK, "{opened:?}");
        Ok(id.to_string())
    };
    let first = open().await?;
    fs::rename(&path, &moved)?;
    let id = server.process().id().to_string();
    ensure!(Command::new("kill").args(["-HUP", &id]).status()?.success());
    let waiting = eventually("a new file", Duration::from_secs(20), async || {
        Ok(path.exists().then_some(()))
    });
    waiting.await?;
    let second = open().await?;
    server.add_token("bob", "uploader")?;
    stdout(&server, &["token", "revoke", "bob"])?;
    let (old, new) = (fs::read_to_string(&moved)?, fs::read_to_string(&path)?);
    ensure!(old.contains(&first) && !old.contains(&second), "{old}");
    ensure!(new.contains(&second) && !new.contains(&first), "{new}");
    for what in ["token_added", "token_revoked"] {
        ensure!(new.contains(what), "{new}");
    }
    ensure!(!old.contains(&server.token) && !new.contains(&server.token));
    Ok(())
}
