//! Folders, the queue across programs, and the place where a picture was taken.

use std::{fs, path::Path, process::Stdio, time::Duration};

use anyhow::{Context as _, Result, ensure};
use imgn_testkit::{
    pictures,
    process::{Answer, Client, ServerProcess, eventually},
};
use serde_json::Value;

use super::{Setting, arguments, setting};
use crate::api::Api;

fn field<'a>(object: &'a Value, name: &str) -> &'a str {
    object[name].as_str().unwrap_or_default()
}

fn done(answer: Answer) -> Result<Answer> {
    ensure!(answer.code == Some(0), "{}", answer.stderr);
    Ok(answer)
}

#[tokio::test]
async fn of_a_folder_all_pictures_go_up_in_natural_order_and_litter_stays() -> Result<()> {
    let setting = setting()?;
    let folder = setting.directory.path().join("holiday");
    for below in ["sub", ".git", "@eaDir", "__MACOSX"] {
        fs::create_dir_all(folder.join(below))?;
    }
    let names = ["IMG_2.jpg", "IMG_10.jpg", "sub/named without an ending"];
    let litter = [
        ".hidden.jpg",
        ".git/a.jpg",
        "@eaDir/a.jpg",
        "__MACOSX/a.jpg",
    ];
    for (name, width) in names.iter().chain(&litter).zip(40..) {
        fs::write(folder.join(name), pictures::jpeg(width, 30))?;
    }
    for other in ["Thumbs.db", "notes.txt", "sub/empty.jpg"] {
        fs::write(
            folder.join(other),
            if other == "notes.txt" { "words" } else { "" },
        )?;
    }
    #[cfg(unix)]
    std::os::unix::fs::symlink(&folder, folder.join("sub/round"))?;

    let path = folder.to_str().context("a path in UTF-8")?;
    let refused = setting.client.run(&["upload", path])?;
    ensure!(
        refused.code == Some(1) && refused.stderr.contains("-r"),
        "a folder wants to be meant: {}",
        refused.stderr
    );

    // A file in it is named as well, and goes up once.
    let first = folder.join(names[0]);
    let first = first.to_str().context("a path in UTF-8")?;
    let answer = done(
        setting
            .client
            .run(&["--json", "upload", "-r", path, first])?,
    )?;
    let lines = answer.objects()?;
    let paths: Vec<_> = lines.iter().map(|line| field(line, "path")).collect();
    let expected = names.map(|name| format!("{path}/{name}"));
    ensure!(paths == expected, "{paths:?}");
    ensure!(
        lines.iter().all(|line| line["state"] == "published"),
        "{lines:?}"
    );
    ensure!(
        answer
            .stderr
            .contains("3 pictures; 2 other files and 1 link to a folder skipped"),
        "{}",
        answer.stderr
    );
    Ok(())
}

#[tokio::test]
async fn what_one_program_pauses_waits_for_another_to_resume_it() -> Result<()> {
    let mut setting = setting()?;
    let files: Vec<_> = (0..4)
        .map(|n| setting.directory.path().join(format!("{n}.jpg")))
        .collect();
    for (file, width) in files.iter().zip(40..) {
        fs::write(file, pictures::jpeg(width, 30))?;
    }
    setting.server.kill();
    done(setting.client.run(&arguments(&["upload"], &files)?)?)?;
    let queued = queue(&setting)?;
    ensure!(queued.len() == 4, "{queued:?}");
    let ids: Vec<&str> = queued.iter().map(|it| field(it, "upload_id")).collect();

    done(setting.client.run(&["pause", ids[0]])?)?;
    done(setting.client.run(&["pause", "--all"])?)?;
    let paused = queue(&setting)?;
    ensure!(
        paused.iter().all(|it| it["state"] == "paused"),
        "{paused:?}"
    );

    // While the server is away too: what is paused waits for no server.
    setting.server.restart()?;
    let resumed = done(setting.client.run(&["--json", "resume", ids[2]])?)?.objects()?;
    ensure!(
        resumed.len() == 1
            && resumed[0]["state"] == "published"
            && field(&resumed[0], "path").ends_with("2.jpg"),
        "{resumed:?}"
    );
    done(setting.client.run(&["cancel", ids[1]])?)?;
    let left = queue(&setting)?;
    let left: Vec<_> = left.iter().map(|it| field(it, "upload_id")).collect();
    ensure!(left == [ids[0], ids[3]], "{left:?}");

    let rest = done(setting.client.run(&["--json", "resume"])?)?.objects()?;
    ensure!(
        rest.len() == 2 && rest.iter().all(|it| it["state"] == "published"),
        "{rest:?}"
    );
    ensure!(queue(&setting)?.is_empty(), "nothing is left");
    let listed = setting.client.run(&["--json", "list"])?.objects()?;
    ensure!(listed.len() == 3, "not what was taken back: {listed:?}");
    Ok(())
}

fn queue(setting: &Setting) -> Result<Vec<Value>> {
    done(setting.client.run(&["--json", "queue"])?)?.objects()
}

#[tokio::test]
async fn where_a_picture_was_taken_is_sent_only_when_it_is_meant() -> Result<()> {
    let setting = setting()?;
    let api = Api::new(&setting.server.url, None)?;
    let file = setting.directory.path().join("berlin.jpg");
    let original = with_location(&pictures::jpeg(64, 48));
    fs::write(&file, &original)?;

    let sent = async |options: &[&str]| {
        let command = [&["--json", "upload"], options].concat();
        let answer = done(
            setting
                .client
                .run(&arguments(&command, std::slice::from_ref(&file))?)?,
        )?;
        let line = answer.objects()?.remove(0);
        ensure!(line["state"] == "published", "{line}");
        let bytes = api
            .bytes(&format!("/v1/images/{}/content", field(&line, "id")))
            .await?;
        Ok((line, bytes, answer.stderr))
    };
    let (line, bytes, said) = sent(&[]).await?;
    ensure!(line["location_removed"] == true, "{line}");
    ensure!(
        said.contains("location removed from") && said.contains("berlin.jpg"),
        "{said}"
    );
    ensure!(
        bytes.len() == original.len() && !holds_location(&bytes),
        "the place is gone, and nothing else"
    );
    let after_metadata = original.len() - pictures::jpeg(64, 48).len();
    ensure!(bytes[after_metadata + 2..] == original[after_metadata + 2..]);
    ensure!(fs::read(&file)? == original, "the file stays as it is");

    let (line, bytes, said) = sent(&["--keep-gps"]).await?;
    ensure!(
        line["location_removed"] == false && !said.contains("location"),
        "{said}"
    );
    ensure!(bytes == original, "byte for byte");
    Ok(())
}

/// The degrees of the latitude as EXIF writes them: 52/1, 30/1, 59/1.
fn degrees() -> Vec<u8> {
    [52_u32, 1, 30, 1, 59, 1]
        .iter()
        .flat_map(|number| number.to_le_bytes())
        .collect()
}

fn holds_location(file: &[u8]) -> bool {
    let holds = |what: &[u8]| file.windows(what.len()).any(|window| window == what);
    holds(&degrees()) || holds(b"52,30.98N")
}

/// The same JPEG with a latitude in EXIF and in XMP.
fn with_location(jpeg: &[u8]) -> Vec<u8> {
    let entry = |tag: u16, kind: u16, count: u32, value: [u8; 4]| {
        let mut entry = tag.to_le_bytes().to_vec();
        entry.extend(kind.to_le_bytes());
        entry.extend(count.to_le_bytes());
        entry.extend(value);
        entry
    };
    // The main directory with one entry at 8, the one of the place at 26, its value at 56.
    let exif = [
        b"Exif\0\0II*\0\x08\0\0\0\x01\0".to_vec(),
        entry(0x8825, 4, 1, 26_u32.to_le_bytes()),
        vec![0; 4],
        vec![2, 0],
        entry(1, 2, 2, *b"N\0\0\0"),
        entry(2, 5, 3, 56_u32.to_le_bytes()),
        vec![0; 4],
        degrees(),
    ]
    .concat();
    let xmp = [
        b"http://ns.adobe.com/xap/1.0/\0".as_slice(),
        br#"<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">"#,
        br#"<rdf:Description xmlns:exif="http://ns.adobe.com/exif/1.0/" exif:GPSLatitude="52,30.98N"/></rdf:RDF></x:xmpmeta>"#,
    ]
    .concat();
    let mut file = jpeg[..2].to_vec();
    for segment in [exif, xmp] {
        file.extend([0xff, 0xe1]);
        file.extend(
            u16::try_from(segment.len() + 2)
                .unwrap_or_default()
                .to_be_bytes(),
        );
        file.extend(segment);
    }
    file.extend(&jpeg[2..]);
    file
}

#[test]
fn a_rate_or_a_number_that_is_none_is_said_at_once() -> Result<()> {
    let setting = setting()?;
    for (arguments, said) in [
        (&["upload", "--limit-rate", "fast", "a.jpg"][..], "2M, 500k"),
        (&["upload", "--limit-rate", "0", "a.jpg"], "imgn pause"),
        (&["upload", "--jobs", "65", "a.jpg"], "64"),
        (&["pause"], "--all"),
    ] {
        let answer = setting.client.run(arguments)?;
        ensure!(
            answer.code == Some(2) && answer.stderr.contains(said),
            "{arguments:?}: {}",
            answer.stderr
        );
    }
    Ok(())
}

/// Uploads a file slowly and kills the client as soon as the server knows of it; answers the upload's id.
async fn break_off(client: &Client, api: &Api, file: &Path) -> Result<String> {
    let file = file.to_str().context("a path in UTF-8")?;
    let mut command = client.command(&["upload", "--limit-rate", "500k", file])?;
    let mut uploading = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let id = eventually("it is open", Duration::from_secs(60), async || {
        let queue = done(client.run(&["--json", "queue"])?)?.objects()?;
        let Some(upload) = queue.first() else {
            return Ok(None);
        };
        let id = field(upload, "upload_id").to_owned();
        let there = api.get(&format!("/v1/uploads/{id}")).await?.json;
        let is_open = there["state"] == "open" && there["mode"] == "multipart";
        Ok(is_open.then_some(id))
    })
    .await;
    uploading.kill()?;
    uploading.wait()?;
    id
}

#[tokio::test]
async fn what_was_broken_off_is_taken_back_or_goes_on_under_another_token() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let server = ServerProcess::start(&directory.path().join("server"), &["--part-size", "5M"])?;
    let api = Api::new(&server.url, Some(&server.token))?;
    let home = directory.path().join("home");
    let client = Client::new(&home, &server.url, Some(&server.token));
    let files = [1, 2].map(|seed| directory.path().join(format!("{seed}.png")));
    for (file, seed) in files.iter().zip(1..) {
        fs::write(file, pictures::sized_png(12 << 20, seed))?;
    }

    let id = break_off(&client, &api, &files[0]).await?;
    let elsewhere = Client::new(&home, "http://127.0.0.1:1", Some(&server.token));
    let refused = elsewhere.run(&["cancel", &id])?;
    ensure!(
        refused.code == Some(1),
        "another gallery has no such upload"
    );
    done(client.run(&["cancel", &id])?)?;
    let there = api.get(&format!("/v1/uploads/{id}")).await?.json;
    ensure!(there["state"] == "aborted", "the server has heard: {there}");

    break_off(&client, &api, &files[1]).await?;
    let other = server.add_token("other", "uploader")?;
    let client = Client::new(&home, &server.url, Some(&other));
    let lines = done(client.run(&["--json", "resume"])?)?.objects()?;
    ensure!(
        lines.len() == 1 && lines[0]["state"] == "published",
        "{lines:?}"
    );
    ensure!(api.images().await?.len() == 1, "only the second");
    Ok(())
}

#[tokio::test]
async fn programs_that_start_together_make_one_profile() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let picture = directory.path().join("a.jpg");
    fs::write(&picture, pictures::jpeg(40, 30))?;
    let picture = picture.to_str().context("a path in UTF-8")?;
    for round in 0..6 {
        let home = directory.path().join(round.to_string());
        let client = Client::new(&home, "http://127.0.0.1:1", Some("any"));
        let running: Vec<_> = (0..4)
            .map(|_| {
                let mut command = client.command(&["upload", picture])?;
                let command = command.stdout(Stdio::null()).stderr(Stdio::piped());
                Ok(command.spawn()?)
            })
            .collect::<Result<_>>()?;
        for program in running {
            let output = program.wait_with_output()?;
            let said = String::from_utf8_lossy(&output.stderr);
            ensure!(output.status.success(), "round {round}: {said}");
        }
    }
    Ok(())
}
