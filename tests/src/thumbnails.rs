//! `imgn thumb`: thumbnails without a gallery.

use std::{
    fs,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use imgn_testkit::{pictures, process};
use serde_json::Value;

use crate::upright;

/// What the program said and how it ended.
struct Answer {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Answer {
    fn objects(&self) -> Result<Vec<Value>> {
        self.stdout
            .lines()
            .map(|line| Ok(serde_json::from_str(line)?))
            .collect()
    }
}

/// In `place`, with nothing of a profile.
fn thumb(place: &Path, arguments: &[&str], input: &[u8]) -> Result<Answer> {
    let mut child = Command::new(process::program("imgn")?)
        .args(arguments)
        .current_dir(place)
        .env("IMGN_HOME", place.join("home"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    // It may refuse its arguments without reading.
    let _ = child.stdin.take().context("a pipe")?.write_all(input);
    let output = child.wait_with_output()?;
    Ok(Answer {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout)?,
        stderr: String::from_utf8(output.stderr)?,
    })
}

#[test]
fn thumbnails_are_upright_and_told_in_order() -> Result<()> {
    let place = tempfile::tempdir()?;
    let place = place.path();
    let mut names = Vec::new();
    for orientation in pictures::ORIENTATIONS {
        // One that is read at an eighth, one at a quarter, and one that is decoded.
        for (size, (width, height)) in [(3000, 2000), (1700, 1100), (500, 330)]
            .into_iter()
            .enumerate()
        {
            let name = format!("{orientation}-{size}.jpg");
            fs::write(
                place.join(&name),
                pictures::oriented_jpeg(width, height, orientation),
            )?;
            names.push(name);
        }
    }
    fs::write(place.join("a.png"), pictures::palette_png(400, 300))?;
    names.push("a.png".to_owned());
    let mut arguments = vec!["thumb", "--json", "--out", "small", "--size", "240"];
    arguments.extend(names.iter().map(String::as_str));
    let answer = thumb(place, &arguments, b"")?;
    ensure!(
        answer.code == Some(0) && answer.stderr.is_empty(),
        "{}",
        answer.stderr
    );
    let lines = answer.objects()?;
    ensure!(lines.len() == names.len(), "a line a file");
    for (line, name) in lines.iter().zip(&names) {
        ensure!(
            line["path"] == name.as_str() && line["error"].is_null(),
            "{line}"
        );
        let edges = (line["width"].as_u64(), line["height"].as_u64());
        ensure!(
            edges.0 == Some(240) && edges.1.is_some_and(|it| it < 200),
            "{line}"
        );
        let details = &line["details"];
        let is_wide = details["width"].as_u64() > details["height"].as_u64();
        ensure!(
            is_wide && details["has_location"] == false,
            "upright as well: {line}"
        );
        if line["path"] != "a.png" {
            ensure!(
                details["camera"] == "imgn Test 1" && details["utc_offset_minutes"] == 120,
                "{line}"
            );
        }
        let file = fs::read(place.join(line["thumb"].as_str().context("a path")?))?;
        ensure!(file.starts_with(b"\xff\xd8"), "a JPEG");
        upright::check_file(&file).with_context(|| name.clone())?;
    }
    ensure!(!place.join("home").exists(), "no profile is made");
    Ok(())
}

#[test]
fn nothing_that_is_there_is_replaced() -> Result<()> {
    let place = tempfile::tempdir()?;
    let place = place.path();
    let original = pictures::jpeg(700, 500);
    fs::create_dir(place.join("other"))?;
    for name in ["a.jpg", "other/a.jpg", "a.png"] {
        fs::write(place.join(name), &original)?;
    }
    let arguments = ["thumb", "a.jpg", "other/a.jpg", "a.png", "--out", "."];
    for expected in [
        ["./a-2.jpg", "./a-3.jpg", "./a-4.jpg"],
        ["./a-5.jpg", "./a-6.jpg", "./a-7.jpg"],
    ] {
        let answer = thumb(place, &arguments, b"")?;
        ensure!(answer.code == Some(0), "{}", answer.stderr);
        let mut made: Vec<&str> = answer.stdout.lines().collect();
        ensure!(made.len() == 3, "a line a file: {made:?}");
        // Workers race for what is free.
        made.sort_unstable();
        ensure!(made == expected, "{made:?}");
    }
    for name in ["a.jpg", "other/a.jpg", "a.png"] {
        ensure!(
            fs::read(place.join(name))? == original,
            "{name} is as it was"
        );
    }
    Ok(())
}

#[test]
fn what_cannot_be_made_is_said_per_file_and_the_rest_is_made() -> Result<()> {
    let place = tempfile::tempdir()?;
    let place = place.path();
    let cut = pictures::truncated(&pictures::jpeg(640, 480), 0.6);
    for (name, bytes) in [
        ("text.jpg", b"no picture".as_slice()),
        ("empty.jpg", b""),
        ("cut.jpg", &cut),
        ("huge.jpg", &pictures::claimed_jpeg(65_500, 65_500)),
        ("good.jpg", &pictures::jpeg(640, 480)),
    ] {
        fs::write(place.join(name), bytes)?;
    }
    let files = [
        "text.jpg",
        "missing.jpg",
        "empty.jpg",
        "cut.jpg",
        "huge.jpg",
        ".",
        "good.jpg",
        "-",
    ];
    let arguments = [
        &["thumb", "--json", "--out", "small", "--size", "64"],
        files.as_slice(),
    ]
    .concat();
    let answer = thumb(place, &arguments, &pictures::progressive_jpeg(640, 480))?;
    ensure!(answer.code == Some(1), "something failed");
    let lines = answer.objects()?;
    let codes: Vec<&str> = lines
        .iter()
        .map(|line| line["error"]["code"].as_str().unwrap_or_default())
        .collect();
    let expected = [
        "not_a_picture",
        "file_missing",
        "file_empty",
        "corrupt_picture",
        "too_many_pixels",
        "not_a_file",
        "",
        "",
    ];
    ensure!(codes == expected, "{codes:?}");
    for name in ["text.jpg", "missing.jpg", "cut.jpg"] {
        ensure!(answer.stderr.contains(name), "{}", answer.stderr);
    }
    let mut made: Vec<String> = fs::read_dir(place.join("small"))?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<Result<_>>()?;
    made.sort();
    ensure!(made == ["good.jpg", "stdin.jpg"], "{made:?}");
    ensure!(
        thumb(place, &["thumb", "good.jpg"], b"")?.code == Some(2),
        "usage"
    );
    Ok(())
}
