//! The desktop app as a person meets it: the built program in a real window on a virtual screen, with real files
//! dragged onto it by the real pointer, and its pictures read as they are painted.
//!
//! Not here: what the web page shares with the window; that is tested in a browser.

mod screen;
mod window;

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result, ensure};
use imgn_testkit::{pictures, process::eventually};
use serde_json::json;

use self::{screen::Screen, window::Window};
use crate::{
    api::Api,
    driver::{PATIENCE, element},
    photographs, upright,
};

/// Writes a file that can be dragged.
fn file(screen: &Screen, name: &str, bytes: &[u8]) -> Result<PathBuf> {
    let path = screen.folder().join(name);
    fs::write(&path, bytes)?;
    Ok(path)
}

fn name_of(file: &std::path::Path) -> Result<&str> {
    file.file_name()
        .and_then(|name| name.to_str())
        .context("a name in UTF-8")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropped_photographs_are_painted_upright_and_kept_byte_for_byte() -> Result<()> {
    let screen = Screen::start()?;
    let mut files = photographs::some(2)?;
    for orientation in pictures::ORIENTATIONS {
        let name = format!("orientation {orientation}.jpg");
        files.push(file(
            &screen,
            &name,
            &pictures::oriented_jpeg(480, 320, orientation),
        )?);
    }
    let window = Window::open(screen, &[]).await?;

    // The first start, as a newcomer has it.
    element(&window.page, "first-start").await?;
    element(&window.page, "start-local-gallery")
        .await?
        .click()
        .await?;
    element(&window.page, "empty-gallery").await?;

    window.drop_files(&files).await?;
    eventually("a cell a file", PATIENCE, async || {
        Ok((window.all("cell").await?.len() == files.len()).then_some(()))
    })
    .await?;
    let api = Api::new(&window.server().await?, None)?;
    for file in &files {
        let name = name_of(file)?;
        let cell = window.painted(name).await?;
        if name.starts_with("orientation") {
            upright::check_file(&cell.picture).with_context(|| name.to_owned())?;
        }
        let original = api
            .bytes(&format!("/v1/images/{}/content", cell.id))
            .await?;
        ensure!(original == fs::read(file)?, "{name} is kept byte for byte");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_picture_is_refused_with_its_reason_and_the_rest_goes_up() -> Result<()> {
    let screen = Screen::start()?;
    let files = [
        file(&screen, "notes.png", b"no picture at all")?,
        file(
            &screen,
            "cut.jpg",
            &pictures::truncated(&pictures::jpeg(320, 240), 0.5),
        )?,
        file(&screen, "good.jpg", &pictures::jpeg(320, 200))?,
    ];
    let window = Window::open(screen, &["--local-gallery"]).await?;
    element(&window.page, "empty-gallery").await?;
    window.drop_files(&files).await?;

    window.painted("good.jpg").await?;
    let rows = eventually("every upload ends", PATIENCE, async || {
        let uploads = window.invoke("uploads", json!({})).await?;
        let rows = uploads["ok"].as_array().context("a list")?.clone();
        let ended = |row: &serde_json::Value| {
            ["published", "rejected"]
                .iter()
                .any(|state| row["state"] == *state)
        };
        Ok((rows.len() == files.len() && rows.iter().all(ended)).then_some(rows))
    })
    .await?;
    for (name, code) in [
        ("notes.png", "not_a_picture"),
        ("cut.jpg", "corrupt_picture"),
    ] {
        let row = rows
            .iter()
            .find(|row| row["file_name"] == name)
            .context("a row")?;
        ensure!(
            row["state"] == "rejected" && row["error"]["code"] == code,
            "{row}"
        );
        let message = row["error"]["message"].as_str().context("a message")?;
        let shown = window.row_text(name).await?;
        ensure!(shown.contains(message), "{message:?} is shown: {shown:?}");
    }
    ensure!(
        window.all("cell").await?.len() == 1,
        "only the picture is in the gallery"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_gallery_is_back_after_a_restart_without_asking() -> Result<()> {
    let screen = Screen::start()?;
    let picture = file(&screen, "kept.jpg", &pictures::jpeg(400, 300))?;
    let window = Window::open(screen, &["--local-gallery"]).await?;
    element(&window.page, "empty-gallery").await?;
    window.drop_files(&[picture]).await?;
    let before = window.painted("kept.jpg").await?;
    let screen = window.close().await?;

    let window = Window::open(screen, &[]).await?;
    let after = window.painted("kept.jpg").await?;
    ensure!(before.id == after.id, "the same picture");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_can_do_nothing_but_what_it_is_for() -> Result<()> {
    let window = Window::open(Screen::start()?, &["--local-gallery"]).await?;
    element(&window.page, "empty-gallery").await?;
    let forbidden = [
        ("plugin:clipboard-manager|read_text", json!({})),
        ("plugin:dialog|open", json!({"options": {}})),
        (
            "plugin:event|emit",
            json!({"event": "state_changed", "payload": null}),
        ),
        ("plugin:window|close", json!({"label": "main"})),
        (
            "plugin:webview|create_webview_window",
            json!({"options": {"label": "x", "url": "https://example.org"}}),
        ),
    ];
    for (command, arguments) in forbidden {
        let answer = window.invoke(command, arguments).await?;
        let refusal = answer["error"].as_str().unwrap_or_default();
        ensure!(refusal.contains("not allowed"), "{command}: {answer}");
    }

    let server = window.server().await?;
    let outcome = window
        .page
        .execute_async(
            "const [server, done] = arguments;
             const out = {};
             try { out.eval = new Function('return 1')(); } catch (error) { out.eval = error.name; }
             const image = (src) => new Promise((ok) => {
                 const it = new Image(); it.onload = () => ok('loaded'); it.onerror = () => ok('refused'); it.src = src;
             });
             const script = document.createElement('script');
             script.textContent = 'window.injected = true';
             document.head.append(script);
             out.script = window.injected === true;
             fetch(server + '/healthz').then(() => 'fetched', () => 'refused').then(async (fetched) => {
                 out.fetch = fetched;
                 out.elsewhere = await image(server + '/favicon.ico');
                 out.path = await image('thumb://localhost/../../etc/passwd');
                 done(out);
             });",
            vec![json!(server)],
        )
        .await?;
    let refused = json!({
        "eval": "EvalError", "script": false, "fetch": "refused", "elsewhere": "refused", "path": "refused",
    });
    ensure!(outcome == refused, "{outcome}");
    Ok(())
}
