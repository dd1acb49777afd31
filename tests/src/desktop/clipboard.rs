//! Pictures off the clipboard and links onto it, as a person has them: another program copies, the window is pasted
//! into, and another program reads what is on the clipboard then.

use std::{
    fs,
    io::Write as _,
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context as _, Result, ensure};
use imgn_testkit::{
    pictures,
    process::{ServerProcess, eventually, program},
};
use serde_json::json;

use super::{file, screen::Screen, window::Window};
use crate::{
    api::Api,
    driver::{PATIENCE, element},
};

/// Another program copies this.
pub(crate) fn copy(screen: &Screen, offer: &str, bytes: &[u8]) -> Result<()> {
    let mut xclip = screen.command("xclip");
    xclip
        .args(["-selection", "clipboard", "-t", offer, "-i"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut child = xclip.spawn().context("xclip")?;
    let mut stdin = child.stdin.take().context("a pipe was asked for")?;
    stdin.write_all(bytes)?;
    drop(stdin);
    // Its child stays and serves what was copied.
    ensure!(child.wait()?.success(), "xclip could not copy");
    // It may say so a moment before the X server knows.
    let begun = Instant::now();
    loop {
        let mut xclip = screen.command("xclip");
        let output = xclip
            .args(["-selection", "clipboard", "-t", offer, "-o"])
            .output()?;
        if output.stdout == bytes {
            return Ok(());
        }
        ensure!(
            begun.elapsed() < PATIENCE,
            "{offer} is not on the clipboard"
        );
    }
}

/// What another program gets that pastes text.
pub(crate) fn pasted(screen: &Screen) -> Result<String> {
    let output = screen
        .command("xclip")
        .args(["-selection", "clipboard", "-o"])
        .output()?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Presses Ctrl+V in the window.
async fn paste(window: &Window) -> Result<()> {
    window.focus()?;
    window.screen().xdotool(&["key", "ctrl+v"])?;
    Ok(())
}

/// Once so many links are on the clipboard: their lines.
pub(crate) async fn links(screen: &Screen, count: usize) -> Result<Vec<String>> {
    eventually("the links are on the clipboard", PATIENCE, async || {
        let text = pasted(screen)?;
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let all = lines.len() == count && lines.iter().all(|line| line.contains("/content"));
        Ok(all.then_some(lines))
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pasted_screenshot_is_in_the_gallery_and_its_markdown_link_on_the_clipboard() -> Result<()>
{
    let window = Window::open(Screen::start()?, &["--local-gallery"]).await?;
    element(&window.page, "empty-gallery").await?;
    // Larger than one property of the X server may be: it comes in pieces.
    let screenshot = pictures::sized_png(1_000_000, 1);
    copy(window.screen(), "image/png", &screenshot)?;
    paste(&window).await?;

    let lines = links(window.screen(), 1).await?;
    let api = Api::new(&window.server().await?, None)?;
    let images = api.images().await?;
    let image = images.first().context("a picture")?;
    let (name, url) = (image["file_name"].as_str(), image["url"].as_str());
    let (name, url) = (name.context("a name")?, url.context("an address")?);
    ensure!(
        name.starts_with("Pasted 20") && name.ends_with(".png"),
        "{name}"
    );
    ensure!(lines[0] == format!("![{name}]({url})"), "{}", lines[0]);
    let id = image["id"].as_str().context("an id")?;
    let original = api.bytes(&format!("/v1/images/{id}/content")).await?;
    ensure!(original == screenshot, "every byte as it was copied");
    window.painted(name).await?;

    // In a field, too, where there is nothing in it for the field; text stays there.
    let search = element(&window.page, "search").await?;
    search.click().await?;
    copy(window.screen(), "UTF8_STRING", b"words")?;
    paste(&window).await?;
    eventually("the field has it", PATIENCE, async || {
        let value = search.prop("value").await?;
        Ok((value.as_deref() == Some("words")).then_some(()))
    })
    .await?;
    copy(window.screen(), "image/png", &pictures::sized_png(9000, 2))?;
    paste(&window).await?;
    links(window.screen(), 1).await?;
    ensure!(api.images().await?.len() == 2);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copied_files_are_linked_together_in_the_chosen_format() -> Result<()> {
    let screen = Screen::start()?;
    let first = file(&screen, "b [1].jpg", &pictures::jpeg(320, 240))?;
    let second = file(&screen, "a&b.jpg", &pictures::jpeg(240, 320))?;
    let window = Window::open(screen, &["--local-gallery"]).await?;
    element(&window.page, "empty-gallery").await?;

    // Chosen in the upload settings, while the app runs.
    window.show_panel(true).await?;
    element(&window.page, "upload-settings")
        .await?
        .click()
        .await?;
    let format = element(&window.page, "link-format").await?;
    format.select_by_value("html").await.context("select")?;
    eventually("the choice is kept", PATIENCE, async || {
        let kept = window.invoke("link_preferences", json!({})).await?;
        Ok((kept["ok"]["format"] == "html").then_some(()))
    })
    .await?;
    eventually("an example is shown", PATIENCE, async || {
        let example = element(&window.page, "link-example").await?.text().await?;
        Ok(example.starts_with("<img").then_some(()))
    })
    .await?;
    window.page.refresh().await?;
    element(&window.page, "empty-gallery").await?;

    let uri = |path: &std::path::Path| url::Url::from_file_path(path).map(String::from);
    let list = [uri(&first), uri(&second)].map(Result::unwrap_or_default);
    copy(
        window.screen(),
        "text/uri-list",
        format!("{}\r\n", list.join("\r\n")).as_bytes(),
    )?;
    paste(&window).await?;
    let lines = links(window.screen(), 2).await?;
    ensure!(
        lines[0].contains(r#"alt="b [1].jpg" width="320" height="240""#),
        "{lines:?}"
    );
    ensure!(
        lines[1].contains(r#"alt="a&amp;b.jpg" width="240" height="320""#),
        "{lines:?}"
    );

    // Nothing to upload: it says so, and what is copied stays.
    copy(window.screen(), "UTF8_STRING", b"just words")?;
    paste(&window).await?;
    eventually("it says why", PATIENCE, async || {
        let notice = window.page.source().await?;
        Ok(notice
            .contains("no picture and no file on the clipboard")
            .then_some(()))
    })
    .await?;
    ensure!(pasted(window.screen())? == "just words");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_line_uploads_the_clipboard() -> Result<()> {
    let screen = Screen::start()?;
    let server = ServerProcess::start(&screen.folder().join("server"), &[])?;
    let upload = |words: &[&str]| -> Result<std::process::Output> {
        let mut command: Command = screen.command(program("imgn")?.to_str().context("UTF-8")?);
        command
            .env("IMGN_HOME", screen.folder().join("profile"))
            .env("IMGN_SERVER", &server.url)
            .env("IMGN_TOKEN", &server.token)
            .args(["upload", "--clipboard"])
            .args(words);
        Ok(command.output()?)
    };
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();

    let none = upload(&[])?;
    let (code, errors) = (none.status.code(), text(none.stderr));
    ensure!(
        code == Some(1) && none.stdout.is_empty() && errors.contains("no picture and no file"),
        "{code:?}: {errors}"
    );

    copy(&screen, "image/png", &pictures::sized_png(5000, 1))?;
    let picture = upload(&["--format", "markdown", "--alt", "a [chart]"])?;
    let line = text(picture.stdout);
    ensure!(picture.status.success(), "{}", text(picture.stderr));
    ensure!(line.starts_with(r"![a \[chart\]](http"), "{line}");

    let other = fs::canonicalize(file(&screen, "named.jpg", &pictures::jpeg(40, 30))?)?;
    let data = [2, 3].map(|seed| {
        let picture = base64_of(&pictures::sized_png(3000, seed));
        format!("data:image/png;base64,{picture}")
    });
    copy(&screen, "UTF8_STRING", data.join("\n").as_bytes())?;
    let both = upload(&["--json", other.to_str().context("UTF-8")?])?;
    ensure!(both.status.success(), "{}", text(both.stderr));
    let lines: Vec<serde_json::Value> = text(both.stdout)
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()?;
    ensure!(lines.len() == 3, "{lines:?}");
    ensure!(lines[0]["path"] == other.to_str().context("UTF-8")?);
    ensure!(lines[1]["path"] == "clipboard" && lines[1]["state"] == "published");
    ensure!(
        lines[2]["path"] == "clipboard" && lines[2]["state"] == "published",
        "{}",
        lines[2]
    );
    Ok(())
}

fn base64_of(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
