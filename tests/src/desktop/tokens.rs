//! Tokens and the app: with a keyring and without one, and where a token is looked for that should be nowhere.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use fantoccini::Locator;
use imgn_testkit::{
    pictures,
    process::{ServerProcess, eventually, files_below, program},
};
use serde_json::json;

use super::{
    clipboard::links,
    file, press,
    screen::{Keyring, Screen},
    settings::{section, write_settings},
    tray::{App, host},
    window::Window,
};
use crate::{
    axe,
    driver::{PATIENCE, element},
};

/// Fails with the place of the first file that has it.
fn ensure_in_no_file(folder: &Path, token: &str) -> Result<()> {
    for (path, _) in files_below(folder)? {
        // A socket, or gone meanwhile.
        let Ok(bytes) = fs::read(&path) else {
            continue;
        };
        let mut places = bytes.windows(token.len());
        let has_token = places.any(|bytes| bytes == token.as_bytes());
        ensure!(!has_token, "the token is in {}", path.display());
    }
    Ok(())
}

/// Fails with the process whose arguments every user of the computer can see it in.
fn ensure_in_no_arguments(token: &str) -> Result<()> {
    for entry in fs::read_dir("/proc")? {
        let path = entry?.path().join("cmdline");
        let arguments = fs::read(&path).unwrap_or_default();
        let has_token = String::from_utf8_lossy(&arguments).contains(token);
        ensure!(!has_token, "the token is in {}", path.display());
    }
    Ok(())
}

/// Puts the server's token into the session's keyring, by the command line.
fn log_in(screen: &Screen, server: &ServerProcess) -> Result<()> {
    let imgn = program("imgn")?;
    let mut login = screen.command(imgn.to_str().context("a path in UTF-8")?);
    login
        .args(["login", "--token-stdin", "--server", &server.url])
        .stdin(Stdio::piped());
    let mut login = login.spawn()?;
    let stdin = login.stdin.take().context("a pipe")?;
    std::io::Write::write_all(&mut &stdin, server.token.as_bytes())?;
    drop(stdin);
    ensure!(login.wait()?.success());
    Ok(())
}

/// Locks the session's keyring, as a screen that was left alone does.
fn lock_keyring(screen: &Screen) -> Result<()> {
    let mut lock = screen.command("dbus-send");
    lock.args([
        "--session",
        "--print-reply",
        "--dest=org.freedesktop.secrets",
        "/org/freedesktop/secrets",
        "org.freedesktop.Secret.Service.Lock",
        "array:objpath:/org/freedesktop/secrets/collection/login",
    ]);
    let answer = lock.output().context("dbus-send")?;
    ensure!(answer.status.success(), "{answer:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_of_the_keyring_is_in_no_file_log_process_list_or_crash() -> Result<()> {
    let screen = Screen::start()?;
    let _host = host(&screen)?;
    let elsewhere = tempfile::tempdir()?;
    let server = ServerProcess::start(elsewhere.path(), &[])?;
    let token = server.token.as_str();
    log_in(&screen, &server)?;

    let desktop = program("imgn-desktop")?;
    let command = || -> Result<Command> {
        let mut command = screen.command(desktop.to_str().context("a path in UTF-8")?);
        command
            .env("IMGN_LOG", "trace")
            .env("RUST_BACKTRACE", "full")
            .current_dir(screen.folder());
        Ok(command)
    };
    let mut first = command()?;
    first.arg("--minimised");
    let mut app = App::spawn(&screen, first)?;
    let socket = screen.folder().join("home/.local/share/imgn/app.sock");
    eventually("it runs", PATIENCE, async || {
        Ok(socket.exists().then_some(()))
    })
    .await?;
    file(&screen, "a.jpg", &pictures::jpeg(60, 40))?;
    ensure!(command()?.arg("a.jpg").status()?.success());
    // It was used.
    links(&screen, 1).await?;
    let log = fs::read_to_string(screen.app_log())?;
    ensure!(log.contains("TRACE"), "all is logged");
    ensure_in_no_arguments(token)?;

    app.crash()?;
    eventually("it has ended", PATIENCE, async || {
        Ok(app.has_ended()?.then_some(()))
    })
    .await?;
    ensure_in_no_file(screen.folder(), token)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_no_keyring_the_window_says_so_and_keeps_the_token_for_now() -> Result<()> {
    for (keyring, word) in [
        (Keyring::Absent, "no keyring"),
        (Keyring::Locked, "locked"),
        (Keyring::Hanging, "did not answer"),
    ] {
        let screen = Screen::start_with(keyring)?;
        let elsewhere = tempfile::tempdir()?;
        let server = ServerProcess::start(elsewhere.path(), &[])?;
        let window = Window::open(screen, &[]).await?;
        element(&window.page, "first-start").await?;
        element(&window.page, "connect-to-server")
            .await?
            .click()
            .await?;
        element(&window.page, "connect-url")
            .await?
            .send_keys(&server.url)
            .await?;
        element(&window.page, "connect-token")
            .await?
            .send_keys(&server.token)
            .await?;
        element(&window.page, "connect-submit")
            .await?
            .click()
            .await?;
        let keep = element(&window.page, "keep-for-now").await?;
        let form = element(&window.page, "connect-form").await?.text().await?;
        ensure!(form.contains(word), "{keyring:?}: {form}");
        axe::check_themes(&window.page, &format!("a keyring that is {keyring:?}")).await?;
        keep.click().await?;
        element(&window.page, "empty-gallery").await?;

        let picture = file(window.screen(), "a.jpg", &pictures::jpeg(60, 40))?;
        window.drop_files(&[picture]).await?;
        links(window.screen(), 1).await?;
        ensure_in_no_arguments(&server.token)?;
        let screen = window.terminate().await?;
        ensure_in_no_file(screen.folder(), &server.token)?;

        // It was for that run only: the gallery is known, and the token is not.
        let window = Window::open(screen, &[]).await?;
        let state = eventually("the gallery is shown", PATIENCE, async || {
            let state = window.invoke("app_state", json!({})).await?;
            Ok(state.pointer("/ok/server/url").is_some().then_some(state))
        })
        .await?;
        ensure!(
            state.pointer("/ok/server/signed_in") == Some(&json!(false)),
            "{state}"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_the_keyring_lost_is_asked_for_by_what_the_app_was_started_with() -> Result<()>
{
    let screen = Screen::start()?;
    let server = ServerProcess::start(&screen.folder().join("server"), &[])?;
    let settings = format!("[server]\nurl = \"{}\"\nsigned_in = true\n", server.url);
    write_settings(&screen, &settings)?;
    let picture = file(&screen, "a.jpg", &pictures::jpeg(60, 40))?;
    // It may fail before the page listens.
    let window = Window::open(screen, &[picture.to_str().context("a path in UTF-8")?]).await?;
    element(&window.page, "token-input")
        .await?
        .send_keys(&server.token)
        .await?;
    press(&window, "token-submit").await?;
    links(window.screen(), 1).await?;
    window.painted("a.jpg").await.map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gallery_whose_token_the_keyring_withholds_can_be_looked_at_and_says_why() -> Result<()> {
    for (language, why, needed) in [
        ("en", "keyring", "Need a token"),
        ("de", "Schlüsselbund", "Braucht ein Token"),
    ] {
        let screen = Screen::start()?;
        let server = ServerProcess::start(&screen.folder().join("server"), &[])?;
        log_in(&screen, &server)?;
        lock_keyring(&screen)?;
        write_settings(
            &screen,
            &format!(
                "[server]\nurl = \"{}\"\nsigned_in = true\n[look]\nlanguage = \"{language}\"\n",
                server.url
            ),
        )?;
        let window = Window::open(screen, &[]).await?;
        element(&window.page, "empty-gallery").await?;
        let shown = async |test_id: &str, words: &[&str]| {
            eventually(&format!("{words:?} in {test_id}"), PATIENCE, async || {
                let text = element(&window.page, test_id).await?.text().await?;
                Ok(words.iter().all(|word| text.contains(word)).then_some(()))
            })
            .await
        };
        let picture = file(window.screen(), "a.jpg", &pictures::jpeg(60, 40))?;
        window.drop_files(&[picture]).await?;
        shown("upload-row", &[why]).await?;
        ensure!(window.all("token-form").await?.is_empty(), "there is one");
        axe::check_themes(
            &window.page,
            &format!("an upload without its token, {language}"),
        )
        .await?;
        section(&window, "gallery").await?;
        shown("settings", &[why, needed]).await?;
        axe::check_themes(&window.page, &format!("a withheld token, {language}")).await?;
        section(&window, "doctor").await?;
        let withheld = "[data-testid='check'][data-finding='token_withheld']";
        window
            .page
            .wait()
            .at_most(PATIENCE)
            .for_element(Locator::Css(withheld))
            .await?;
        axe::check_themes(
            &window.page,
            &format!("the doctor of a withheld token, {language}"),
        )
        .await?;
        press(&window, "close-dialog").await?;
    }
    Ok(())
}
