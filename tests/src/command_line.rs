//! `imgn` as people and scripts call it, against the built server.

mod offline;
mod uploading;

use std::{fs, io::Write as _, path::PathBuf, process::Stdio};

use anyhow::{Context as _, Result, ensure};
use imgn_testkit::{
    pictures,
    process::{self, Client, ServerProcess},
};
use serde_json::Value;

use crate::{
    api::{Api, sha256},
    photographs, upright,
};

struct Setting {
    directory: tempfile::TempDir,
    server: ServerProcess,
    client: Client,
}

fn setting() -> Result<Setting> {
    let directory = tempfile::tempdir()?;
    let server = ServerProcess::start(&directory.path().join("server"), &[])?;
    let client = Client::new(
        &directory.path().join("home"),
        &server.url,
        Some(&server.token),
    );
    Ok(Setting {
        directory,
        server,
        client,
    })
}

/// Photographs, and a scene in all eight orientations, written as files.
fn files(setting: &Setting) -> Result<Vec<PathBuf>> {
    let mut files = photographs::some(3)?;
    for orientation in pictures::ORIENTATIONS {
        let path = setting
            .directory
            .path()
            .join(format!("orientation {orientation}.jpg"));
        fs::write(&path, pictures::oriented_jpeg(480, 320, orientation))?;
        files.push(path);
    }
    Ok(files)
}

fn arguments<'a>(command: &[&'a str], files: &'a [PathBuf]) -> Result<Vec<&'a str>> {
    let mut arguments = command.to_vec();
    for file in files {
        arguments.push(file.to_str().context("a path in UTF-8")?);
    }
    Ok(arguments)
}

#[tokio::test]
async fn photographs_and_all_orientations_arrive_byte_for_byte() -> Result<()> {
    let setting = setting()?;
    let api = Api::new(&setting.server.url, None)?;
    let files = files(&setting)?;
    let answer = setting
        .client
        .run(&arguments(&["--json", "upload"], &files)?)?;
    ensure!(answer.code == Some(0), "{}", answer.stderr);
    let lines = answer.objects()?;
    ensure!(lines.len() == files.len(), "a line a file");
    for (line, file) in lines.iter().zip(&files) {
        let bytes = fs::read(file)?;
        ensure!(
            line["path"] == file.to_str().unwrap() && line["state"] == "published",
            "{line}"
        );
        ensure!(
            line["sha256"] == sha256(&bytes) && line["sent_bytes"] == bytes.len(),
            "{line}"
        );
        ensure!(
            line["error"].is_null() && line["upload_id"].is_string(),
            "{line}"
        );
        let id = line["id"].as_str().context("an id")?;
        ensure!(
            line["url"] == format!("{}/v1/images/{id}/content", setting.server.url),
            "{line}"
        );
        ensure!(
            api.bytes(&format!("/v1/images/{id}/content")).await? == bytes,
            "byte for byte"
        );
        let thumbnail = api.bytes(&format!("/v1/images/{id}/thumb/320")).await?;
        ensure!(thumbnail.starts_with(b"\xff\xd8"), "a JPEG");
        if file.to_string_lossy().contains("orientation") {
            ensure!(
                (line["width"].as_u64(), line["height"].as_u64()) == (Some(480), Some(320)),
                "as shown: {line}"
            );
            upright::check_file(&thumbnail)?;
        }
    }

    // Again: nothing is sent. And the list has them, newest first.
    let again = setting
        .client
        .run(&arguments(&["--json", "upload"], &files[..2])?)?
        .objects()?;
    ensure!(
        again
            .iter()
            .all(|line| line["state"] == "duplicate" && line["sent_bytes"] == 0),
        "{again:?}"
    );
    let listed = setting.client.run(&["--json", "list"])?.objects()?;
    ensure!(listed.len() == files.len());
    // Not as text: a whole second is written without a fraction.
    let times: Vec<jiff::Timestamp> = listed
        .iter()
        .map(|image| Ok(image["created_at"].as_str().context("a time")?.parse()?))
        .collect::<Result<_>>()?;
    ensure!(times.is_sorted_by(|a, b| a >= b), "newest first: {times:?}");
    let found = setting
        .client
        .run(&["--json", "list", "--search", "orientation 5"])?
        .objects()?;
    ensure!(
        found.len() == 1 && found[0]["file_name"] == "orientation 5.jpg",
        "{found:?}"
    );
    Ok(())
}

#[tokio::test]
async fn links_get_and_delete() -> Result<()> {
    let setting = setting()?;
    let file = setting.directory.path().join("a [b] \"c\" & <d>.png");
    fs::write(&file, pictures::palette_png(120, 80))?;
    let file = [file];
    let markdown = setting
        .client
        .run(&arguments(&["upload", "--format", "markdown"], &file)?)?;
    ensure!(markdown.code == Some(0), "{}", markdown.stderr);
    let line = markdown.stdout.trim_end();
    ensure!(
        line.starts_with("![") && line.contains("\\[b\\]") && line.ends_with("/content)"),
        "{line}"
    );
    let listed = setting.client.run(&["--json", "list"])?.objects()?;
    let id = listed[0]["id"].as_str().context("an id")?;
    let html = setting
        .client
        .run(&["link", id, "--format", "html"])?
        .stdout;
    ensure!(
        html.contains("&lt;d&gt;") && html.contains("width=\"120\""),
        "{html}"
    );

    let out = setting.directory.path().join("out.png");
    let got = setting
        .client
        .run(&["get", id, "-o", out.to_str().unwrap()])?;
    ensure!(
        got.code == Some(0) && fs::read(&out)? == fs::read(&file[0])?,
        "{}",
        got.stderr
    );

    let deleted = setting.client.run(&["delete", id])?;
    ensure!(deleted.code == Some(0), "{}", deleted.stderr);
    ensure!(
        setting.client.run(&["--json", "list"])?.stdout.is_empty(),
        "gone"
    );
    let gone = setting
        .client
        .run(&["get", id, "-o", out.to_str().unwrap()])?;
    ensure!(
        gone.code == Some(1) && gone.stderr.contains("imgn:"),
        "{}",
        gone.stderr
    );
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_uploaded_is_said_per_file_and_the_rest_goes_up() -> Result<()> {
    let setting = setting()?;
    let directory = setting.directory.path();
    let text = directory.join("text.png");
    let missing = directory.join("missing.jpg");
    let empty = directory.join("empty.jpg");
    let cut = directory.join("cut.jpg");
    let good = directory.join("good.jpg");
    fs::write(&text, "no picture")?;
    fs::write(&empty, "")?;
    fs::write(&cut, pictures::truncated(&pictures::jpeg(640, 480), 0.6))?;
    fs::write(&good, pictures::jpeg(200, 100))?;
    let files = [text, missing, empty, cut, good];
    let answer = setting
        .client
        .run(&arguments(&["--json", "upload"], &files)?)?;
    ensure!(
        answer.code == Some(1),
        "something failed: {}",
        answer.stderr
    );
    let lines = answer.objects()?;
    let states: Vec<(&str, &str)> = lines
        .iter()
        .map(|l| {
            (
                l["state"].as_str().unwrap(),
                l["error"]["code"].as_str().unwrap_or(""),
            )
        })
        .collect();
    ensure!(
        states
            == [
                ("rejected", "not_a_picture"),
                ("failed", "file_missing"),
                ("failed", "file_empty"),
                ("rejected", "corrupt_picture"),
                ("published", ""),
            ],
        "{states:?}"
    );
    // In words too, each with its file.
    let words = setting.client.run(&arguments(&["upload"], &files[..2])?)?;
    ensure!(words.code == Some(1) && words.stdout.is_empty());
    ensure!(
        words.stderr.contains("text.png") && words.stderr.contains("missing.jpg"),
        "{}",
        words.stderr
    );
    ensure!(setting.client.run(&["upload"])?.code == Some(2), "usage");
    Ok(())
}

#[tokio::test]
async fn standard_input_and_a_token_that_is_wrong() -> Result<()> {
    let setting = setting()?;
    let mut command = setting.client.command(&["--json", "upload", "-"])?;
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    child
        .stdin
        .take()
        .context("a pipe")?
        .write_all(&pictures::jpeg(64, 48))?;
    let output = child.wait_with_output()?;
    let line: Value = serde_json::from_slice(&output.stdout)
        .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
    ensure!(
        line["state"] == "published" && line["path"] == "-",
        "{line}"
    );

    let stranger = Client::new(
        &setting.directory.path().join("stranger"),
        &setting.server.url,
        Some("imgn_wrong"),
    );
    let file = setting.directory.path().join("a.png");
    fs::write(&file, pictures::palette_png(10, 10))?;
    let refused = stranger.run(&arguments(&["--json", "upload"], &[file])?)?;
    let line = &refused.objects()?[0];
    ensure!(
        refused.code == Some(1) && line["error"]["code"] == "unauthorized",
        "{line}"
    );
    ensure!(
        !format!("{}{}", refused.stdout, refused.stderr).contains("imgn_wrong"),
        "a token is never shown"
    );
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_taken_does_not_hold_up_the_rest() -> Result<()> {
    let setting = setting()?;
    let files = ["first.jpg", "last.jpg"].map(|name| setting.directory.path().join(name));
    fs::write(&files[0], pictures::jpeg(64, 48))?;
    fs::write(&files[1], pictures::jpeg(48, 64))?;
    let [first, last] = files.each_ref().map(|file| file.to_str().unwrap());
    let mut command = setting
        .client
        .command(&["--json", "upload", first, "-", last])?;
    // A folder opens, but cannot be read.
    command.stdin(fs::File::open(setting.directory.path())?);
    let answer = process::answer(command)?;
    ensure!(answer.code == Some(1), "{}", answer.stderr);
    let lines = answer.objects()?;
    let told: Vec<_> = lines
        .iter()
        .map(|line| (line["path"].as_str(), line["state"].as_str()))
        .collect();
    ensure!(
        told == [
            (Some(first), Some("published")),
            (Some("-"), Some("failed")),
            (Some(last), Some("published")),
        ],
        "{lines:?}"
    );
    ensure!(lines[1]["error"]["code"] == "disk_failed", "{}", lines[1]);
    Ok(())
}

#[tokio::test]
async fn offline_it_is_queued_and_goes_up_later() -> Result<()> {
    let mut setting = setting()?;
    let file = setting.directory.path().join("later.jpg");
    fs::write(&file, pictures::jpeg(300, 200))?;
    setting.server.kill();
    let queued = setting
        .client
        .run(&arguments(&["--json", "upload"], &[file])?)?;
    ensure!(
        queued.code == Some(0),
        "offline is no failure: {}",
        queued.stderr
    );
    ensure!(
        queued.objects()?[0]["state"] == "queued",
        "{}",
        queued.stdout
    );
    ensure!(
        queued.stderr.to_lowercase().contains("queue"),
        "and is said: {}",
        queued.stderr
    );
    setting.server.restart()?;
    let resumed = setting.client.run(&["--json", "resume"])?;
    ensure!(resumed.code == Some(0), "{}", resumed.stderr);
    let listed = setting.client.run(&["--json", "list"])?.objects()?;
    ensure!(
        listed.len() == 1 && listed[0]["file_name"] == "later.jpg",
        "{listed:?}"
    );
    Ok(())
}

#[tokio::test]
async fn words_for_people_have_units_and_say_what_an_id_is() -> Result<()> {
    let setting = setting()?;
    let file = setting.directory.path().join("a.png");
    fs::write(&file, pictures::palette_png(120, 80))?;
    let size = fs::metadata(&file)?.len();
    let uploaded = setting.client.run(&arguments(&["upload"], &[file])?)?;
    ensure!(uploaded.code == Some(0), "{}", uploaded.stderr);
    let listed = setting.client.run(&["list"])?.stdout;
    let fields: Vec<&str> = listed.trim_end().split('\t').collect();
    let [id, dimensions, bytes, time, name] = fields[..] else {
        anyhow::bail!("five fields with tabs between: {listed:?}");
    };
    ensure!(
        (dimensions, bytes, name) == ("120x80", format!("{size} B").as_str(), "a.png"),
        "{listed:?}"
    );
    // To the second: 2026-01-02T03:04:05Z.
    let moment: jiff::Timestamp = time.parse()?;
    ensure!(
        time.len() == 20 && moment.subsec_nanosecond() == 0,
        "{time}"
    );
    ensure!(setting.client.run(&["link", id])?.code == Some(0));

    for (command, place) in [
        ("link", "imgn list"),
        ("get", "imgn list"),
        ("delete", "imgn list"),
        ("cancel", "imgn queue"),
    ] {
        let answer = setting.client.run(&[command, "123"])?;
        ensure!(
            answer.code == Some(2)
                && answer.stderr.contains("id looks like ")
                && answer.stderr.contains(place),
            "{command}: {}",
            answer.stderr
        );
    }

    let told = setting.client.run(&["-v", "upload", "missing.png"])?.stderr;
    let verbose = setting.client.run(&["-vv", "status"])?.stderr;
    ensure!(verbose.contains("DEBUG"), "details: {verbose}");
    ensure!(
        !verbose.contains('\x1b') && !told.contains('\x1b'),
        "a pipe gets no colours: {verbose}"
    );
    Ok(())
}

#[test]
fn tokens_are_made_where_it_is_said_and_asking_makes_nothing() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let run = |arguments: &[&str]| {
        let mut command = std::process::Command::new(process::program("imgn-server")?);
        process::clean_environment(&mut command);
        command.args(arguments).current_dir(directory.path());
        process::answer(command)
    };
    for asked in [&["token", "list"][..], &["token", "revoke", "me"]] {
        let answer = run(asked)?;
        ensure!(
            answer.code == Some(1)
                && answer.stderr.contains("no gallery in")
                && answer.stderr.contains("--data-dir"),
            "{}",
            answer.stderr
        );
        ensure!(
            fs::read_dir(directory.path())?.next().is_none(),
            "{asked:?}"
        );
    }
    let data = directory.path().join("imgn-data");
    let url = format!(
        "sqlite://{}",
        directory.path().join("of its own.db").display()
    );
    for (place, is_new) in [
        (&[][..], true),
        (&[][..], false),
        (&["--database", &url], true),
    ] {
        let name = format!("me{is_new}{}", place.len());
        let added = run(&[&["token", "add", &name][..], place].concat())?;
        ensure!(added.code == Some(0), "{}", added.stderr);
        ensure!(added.stdout.lines().count() == 1, "the token alone");
        ensure!(
            added
                .stderr
                .contains(data.to_str().context("a path in UTF-8")?)
                && added.stderr.contains("a new gallery") == is_new
                && !added.stderr.contains(added.stdout.trim()),
            "{}",
            added.stderr
        );
        let listed = run(&[&["token", "list"][..], place].concat())?;
        ensure!(
            listed.code == Some(0) && listed.stdout.contains(&name),
            "{}",
            listed.stderr
        );
    }
    Ok(())
}
