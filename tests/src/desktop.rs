//! The desktop app as a person meets it: the built program in a real window on a virtual screen, with real files
//! dragged onto it by the real pointer, and its pictures read as they are painted.
//!
//! Not here: what the web page shares with the window; that is tested in a browser.

mod choices;
mod chooser;
pub(crate) mod clipboard;
mod drag;
mod joining;
mod keys;
mod late;
mod links;
mod notices;
mod offline;
mod quick;
pub(crate) mod screen;
mod settings;
mod tokens;
mod tray;
mod wayland;
mod window;

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use imgn_testkit::{
    pictures,
    process::{Client, ServerProcess, eventually},
};
use serde_json::json;

use self::{screen::Screen, window::Window};
use crate::{
    api::Api,
    axe,
    driver::{PATIENCE, element},
    photographs, upright,
};

/// Writes a file that can be dragged.
fn file(screen: &Screen, name: &str, bytes: &[u8]) -> Result<PathBuf> {
    let path = screen.folder().join(name);
    fs::write(&path, bytes)?;
    Ok(path)
}

fn name_of(file: &Path) -> Result<&str> {
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
    axe::check_themes(&window.page, "the first start").await?;
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
        // It is made a sentence, which begins with a capital.
        let told = message.get(1..).context("a message")?;
        ensure!(shown.contains(told), "{message:?} is shown: {shown:?}");
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
async fn what_was_deleted_is_gone_although_the_program_was_ended_before_the_time_for_undoing()
-> Result<()> {
    let screen = Screen::start()?;
    let picture = pictures::jpeg(400, 300);
    let files = [
        file(&screen, "one.jpg", &picture)?,
        file(&screen, "two.jpg", &pictures::jpeg(300, 400))?,
    ];
    let window = Window::open(screen, &["--local-gallery"]).await?;
    element(&window.page, "empty-gallery").await?;
    window.drop_files(&files).await?;
    window.painted("one.jpg").await?;
    window.painted("two.jpg").await?;
    // The focus is on a button of the bar: the keys mean the pictures all the same.
    window.show_panel(true).await?;
    window.keys("ctrl+a")?;
    element(&window.page, "selection-bar").await?;
    window.keys("Delete")?;
    element(&window.page, "undo").await?;
    let screen = window.terminate().await?;

    let window = Window::open(screen, &[]).await?;
    element(&window.page, "empty-gallery").await?;
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

/// Presses a button of a panel that is at work: where the button is drawn anew meanwhile, it is pressed again.
async fn press(window: &Window, test_id: &str) -> Result<()> {
    eventually(&format!("{test_id} is pressed"), PATIENCE, async || {
        let button = element(&window.page, test_id).await?;
        Ok(button.click().await.ok())
    })
    .await
}

/// Waits until nothing of this name is there any more.
async fn gone(window: &Window, test_id: &str) -> Result<()> {
    eventually(&format!("{test_id} is gone"), PATIENCE, async || {
        Ok(window.all(test_id).await?.is_empty().then_some(()))
    })
    .await
}

/// Ten thousand files wait for a gallery that is away: the window holds a handful of rows, and what is done to all is
/// done. The most memory that the window's own process had, beside that of one with an empty queue, has a bound.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_files_in_the_queue_stay_in_hand() -> Result<()> {
    const FILES: usize = 10_000;
    let screen = Screen::start()?;
    let folder = screen.folder().join("many");
    fs::create_dir(&folder)?;
    let picture = pictures::jpeg(16, 16);
    for number in 0..FILES {
        fs::write(folder.join(format!("{number:05}.jpg")), &picture)?;
    }
    let away = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let server = format!("http://{away}");
    let home = screen.folder().join("profile");
    let home = home.to_str().context("a path in UTF-8")?;
    let opened = ["--home", home, "--server", &server];
    let window = Window::open(screen, &opened).await?;
    element(&window.page, "offline-banner").await?;
    let empty = window.peak_memory()?;
    let screen = window.close().await?;

    let client = Client::new(Path::new(home), &server, Some("imgn_of_nobody"));
    let folder = folder.to_str().context("a path in UTF-8")?;
    let queued = client.run(&["upload", "-r", folder])?;
    ensure!(queued.code == Some(0), "{}", queued.stderr);

    let window = Window::open(screen, &opened).await?;
    window.show_panel(true).await?;
    element(&window.page, "upload-row").await?;
    let rows = window.all("upload-row").await?.len();
    ensure!(rows < 100, "{rows} rows exist at once");
    let last = "const list = document.querySelector(\"[data-testid='upload-row']\").parentElement;
        let it = list; while (it && it.scrollHeight <= it.clientHeight) it = it.parentElement;
        it.scrollTop = it.scrollHeight;
        return true;";
    eventually("the last file's row is there", PATIENCE, async || {
        window.page.execute(last, vec![]).await?;
        Ok(window.row_text("09999.jpg").await.ok())
    })
    .await?;
    press(&window, "pause-all").await?;
    eventually("all are paused", PATIENCE, async || {
        let is_left = !window.all("pause-all").await?.is_empty();
        let is_there = !window.all("resume-all").await?.is_empty();
        Ok((is_there && !is_left).then_some(()))
    })
    .await?;
    let grown = window.peak_memory()?.saturating_sub(empty) >> 20;
    // Far more than it takes, and far less than if all were held several times over; `bench queue` measures it.
    ensure!(grown < 100, "the window's process grew by {grown} MiB");
    press(&window, "cancel-all").await?;
    press(&window, "confirm-cancel-all").await?;
    gone(&window, "cancel-all").await?;
    window.close().await?;
    let left = client.run(&["--json", "queue"])?;
    ensure!(left.stdout.is_empty(), "left: {}", left.stdout);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_keyring_that_came_up_again_keeps_the_token() -> Result<()> {
    let screen = Screen::start()?;
    let server = ServerProcess::start(&screen.folder().join("server"), &[])?;
    let mut window = Window::open(screen, &[]).await?;
    element(&window.page, "first-start").await?;
    let connect = async |window: &Window| -> Result<serde_json::Value> {
        let arguments = json!({"server": server.url, "token": server.token});
        window.invoke("connect", arguments).await
    };
    let first = connect(&window).await?;
    ensure!(first.pointer("/ok").is_some(), "{first}");

    window.restart_keyring()?;
    eventually("the keyring is asked anew", PATIENCE, async || {
        Ok(connect(&window).await?.pointer("/ok").map(|_| ()))
    })
    .await?;
    Ok(())
}
