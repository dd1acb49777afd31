//! What is chosen, checked, remembered and asked, in the real window: settings while it runs, the doctor, the history,
//! galleries, and the question before pictures become public. Each screen under axe, in both themes and languages.

use std::{
    fs,
    process::{Output, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use fantoccini::Locator;
use imgn_testkit::{
    pictures,
    process::{ServerProcess, eventually, program},
};
use serde_json::{Value, json};

use super::{
    clipboard::{copy, links},
    file, gone, keys, press,
    screen::Screen,
    tray::{Desktop, host},
    window::Window,
};
use crate::{
    api::Api,
    axe,
    driver::{PATIENCE, element, script},
};

/// Writes the settings of the session's profile.
pub(super) fn write_settings(screen: &Screen, text: &str) -> Result<()> {
    let folder = screen.folder().join("home/.local/share/imgn");
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("settings.toml"), text)?;
    Ok(())
}

fn read_settings(window: &Window) -> Result<String> {
    let file = "home/.local/share/imgn/settings.toml";
    Ok(fs::read_to_string(window.screen().folder().join(file))?)
}

/// Opens a section of the settings, by its tab.
pub(super) async fn section(window: &Window, name: &str) -> Result<()> {
    if window.all("settings").await?.is_empty() {
        press(window, "server").await?;
    }
    press(window, &format!("settings-{name}")).await
}

/// The command line in the same session.
fn imgn(window: &Window, arguments: &[&str]) -> Result<Output> {
    let program = program("imgn")?;
    let mut command = window
        .screen()
        .command(program.to_str().context("a path in UTF-8")?);
    Ok(command.args(arguments).output()?)
}

/// Waits until the page says this somewhere.
async fn says(window: &Window, text: &str) -> Result<()> {
    let page = async || script(&window.page, "return document.body.innerText", vec![]).await;
    let said = eventually(&format!("it says {text:?}"), PATIENCE, async || {
        let page = page().await?;
        let says = page.as_str().is_some_and(|page| page.contains(text));
        Ok(says.then_some(()))
    })
    .await;
    match said {
        Ok(()) => Ok(()),
        Err(error) => Err(error.context(page().await?.to_string())),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_chosen_takes_effect_while_the_app_runs_and_is_kept() -> Result<()> {
    let screen = Screen::start()?;
    write_settings(&screen, "# Mine.\n[uploads]\njobs = 3\n")?;
    let window = Window::open(screen, &["--local-gallery"]).await?;
    element(&window.page, "empty-gallery").await?;

    for name in ["gallery", "uploads", "storage", "desktop", "general"] {
        section(&window, name).await?;
        let tab = format!("settings-{name}");
        let selected = element(&window.page, &tab)
            .await?
            .attr("aria-selected")
            .await?;
        ensure!(selected.as_deref() == Some("true"), "{name} is shown");
        axe::check_themes(&window.page, &format!("settings, {name}")).await?;
    }
    // By the keys alone, too.
    let tab = element(&window.page, "settings-general").await?;
    tab.send_keys("\u{e011}").await?;
    element(&window.page, "gallery-name").await?;
    element(&window.page, "settings-gallery")
        .await?
        .send_keys("\u{e012}")
        .await
        .ok();
    section(&window, "general").await?;

    let theme = element(&window.page, "theme").await?;
    theme.select_by_value("dark").await?;
    eventually("it is dark", PATIENCE, async || {
        let shown = "return [document.documentElement.dataset.theme, getComputedStyle(document.documentElement).colorScheme]";
        let shown = script(&window.page, shown, vec![]).await?;
        Ok((shown == json!(["dark", "dark"])).then_some(()))
    })
    .await?;

    // The page comes back in the other language, where it was.
    element(&window.page, "language")
        .await?
        .select_by_value("de")
        .await?;
    says(&window, "Aussehen und Netz").await?;
    ensure!(
        !window.all("settings").await?.is_empty(),
        "where it was chosen"
    );
    for name in ["gallery", "uploads", "storage", "desktop", "general"] {
        section(&window, name).await?;
        axe::check_themes(&window.page, &format!("settings, {name}, de")).await?;
    }
    ensure!(script(&window.page, "return document.documentElement.lang", vec![]).await? == "de");

    // What is no proxy is told, and not kept.
    section(&window, "general").await?;
    element(&window.page, "proxy")
        .await?
        .select_by_value("own")
        .await?;
    let address = element(&window.page, "proxy-address").await?;
    address
        .send_keys("http://me:secret@proxy.example:1\u{e007}")
        .await?;
    says(&window, "holds no user name or password").await?;
    address.clear().await?;
    address.send_keys("proxy.example:3128\u{e007}").await?;
    eventually("the proxy is kept", PATIENCE, async || {
        Ok(read_settings(&window)?
            .contains("proxy = \"http://proxy.example:3128/\"")
            .then_some(()))
    })
    .await?;
    let kept = read_settings(&window)?;
    for line in [
        "# Mine.",
        "jobs = 3",
        "theme = \"dark\"",
        "language = \"de\"",
    ] {
        ensure!(kept.contains(line), "{line}: {kept}");
    }
    ensure!(!kept.contains("secret"), "{kept}");

    // At the next start it is as it was chosen.
    let screen = window.close().await?;
    let window = Window::open(screen, &[]).await?;
    says(&window, "Noch keine Bilder").await?;
    ensure!(
        script(
            &window.page,
            "return document.documentElement.dataset.theme",
            vec![]
        )
        .await?
            == "dark"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_that_cannot_start_shows_why() -> Result<()> {
    let screen = Screen::start()?;
    write_settings(&screen, "[look]\ntheme = 7\n")?;
    let program = program("imgn-desktop")?;
    let mut app = screen
        .command(program.to_str().context("a path in UTF-8")?)
        .stderr(Stdio::piped())
        .spawn()?;
    eventually("it is shown", PATIENCE, async || {
        Ok(screen
            .xdotool(&["search", "--onlyvisible", "--name", "^imgn$"])
            .ok())
    })
    .await?;
    ensure!(app.try_wait()?.is_none(), "it waits until it was read");
    eventually("it has ended", PATIENCE, async || {
        screen.xdotool(&["key", "Escape"])?;
        Ok(app.try_wait()?)
    })
    .await?;
    let output = app.wait_with_output()?;
    let told = String::from_utf8(output.stderr)?;
    ensure!(
        !output.status.success() && told.contains("settings.toml"),
        "{told}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_doctor_says_what_is_there_and_what_to_do() -> Result<()> {
    let screen = Screen::start()?;
    let _host = host(&screen)?;
    let window = Window::open(screen, &["--local-gallery"]).await?;
    element(&window.page, "empty-gallery").await?;
    section(&window, "doctor").await?;
    let findings = eventually("everything is looked at", PATIENCE, async || {
        let source = "return [...document.querySelectorAll(\"[data-testid='check']\")].map((it) => it.dataset.finding)";
        let found = script(&window.page, source, vec![]).await?;
        Ok((found.as_array().map(Vec::len) == Some(6)).then_some(found))
    })
    .await?;
    let expected = json!([
        "server_answers",
        "clock_right",
        "keyring_works",
        "clipboard_readable",
        "tray_shown",
        "disk_fine"
    ]);
    let is_disk = |finding: &Value| finding.as_str().is_some_and(|it| it.starts_with("disk_"));
    let (found, wanted) = (
        findings.as_array().context("a list")?,
        expected.as_array().context("a list")?,
    );
    ensure!(
        found[..5] == wanted[..5] && is_disk(&found[5]),
        "{findings}"
    );
    axe::check_themes(&window.page, "the doctor").await?;
    // It is done, and looks again only when it is asked to.
    let is_done = "return document.querySelector(\"[data-testid='examine']\").getAttribute('aria-disabled') === 'false'";
    eventually("the doctor is done", PATIENCE, async || {
        let done = script(&window.page, is_done, vec![]).await?;
        Ok((done == true).then_some(()))
    })
    .await?;
    for _ in 0..10 {
        let done = script(&window.page, is_done, vec![]).await?;
        ensure!(done == true, "it goes on looking");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }

    // The command line says the same of the same session; it has no token for this gallery.
    let told = imgn(&window, &["doctor"])?;
    let told = String::from_utf8(told.stdout)?;
    for line in [
        "warning server",
        "good    clock",
        "good    keyring",
        "good    clipboard",
        "good    tray",
    ] {
        ensure!(told.contains(line), "{line}: {told}");
    }
    ensure!(told.contains("-> to upload, log in with a token"), "{told}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_uploaded_is_in_the_history_although_the_file_is_gone() -> Result<()> {
    let screen = Screen::start()?;
    let first = file(&screen, "first & only.jpg", &pictures::jpeg(300, 200))?;
    let second = file(&screen, "second.jpg", &pictures::jpeg(200, 300))?;
    let window = Window::open(screen, &["--local-gallery"]).await?;
    element(&window.page, "empty-gallery").await?;
    window.drop_files(&[first.clone(), second]).await?;
    window.painted("first & only.jpg").await?;
    window.painted("second.jpg").await?;
    fs::remove_file(&first)?;

    window.show_panel(true).await?;
    element(&window.page, "history").await?.click().await?;
    element(&window.page, "history-dialog").await?;
    let entries = async |count: usize| {
        eventually(&format!("{count} entries"), PATIENCE, async || {
            let entries = window.all("history-entry").await?;
            Ok((entries.len() == count).then_some(entries))
        })
        .await
    };
    entries(2).await?;
    eventually("their thumbnails are painted", PATIENCE, async || {
        let source = "return [...document.querySelectorAll(\"[data-testid='history-entry'] img\")]
            .filter((image) => image.complete && image.naturalWidth > 0).length";
        Ok((script(&window.page, source, vec![]).await? == 2).then_some(()))
    })
    .await?;
    axe::check_themes(&window.page, "the history").await?;
    let search = element(&window.page, "history-search").await?;
    search.send_keys("only").await?;
    let found = entries(1).await?;
    // What may be scrolled out of sight is not laid out, and has no text to the driver.
    ensure!(found[0].html(true).await?.contains("first &amp; only.jpg"));
    element(&window.page, "history-copy").await?.click().await?;
    let lines = links(window.screen(), 1).await?;
    ensure!(
        lines[0].starts_with(r"![first \& only.jpg](http://127.0.0.1:"),
        "{lines:?}"
    );

    // The command line knows the same, and where the file was.
    let told = imgn(&window, &["--json", "history", "--search", "only"])?;
    let told: Value = serde_json::from_slice(&told.stdout)?;
    ensure!(told["path"] == json!(first), "{told}");

    // From here it is deleted from the gallery, unless somebody undoes it.
    axe::stop_time(&window.page).await?;
    press(&window, "history-delete").await?;
    element(&window.page, "undo-notice").await?;
    axe::check_themes(&window.page, "the history, with something to undo").await?;
    entries(0).await?;
    press(&window, "undo").await?;
    entries(1).await?;
    press(&window, "history-delete").await?;
    press(&window, "confirm-delete").await?;
    let api = Api::new(&window.server().await?, None)?;
    eventually("it is deleted", PATIENCE, async || {
        Ok((api.images().await?.len() == 1).then_some(()))
    })
    .await?;
    says(&window, "No longer in the gallery").await?;
    axe::check_themes(&window.page, "the history, with something gone").await?;
    press(&window, "history-forget").await?;
    entries(0).await?;
    element(&window.page, "history-nothing").await?;
    axe::check_themes(&window.page, "nothing found in the history").await?;
    press(&window, "clear-history").await?;
    axe::check_themes(&window.page, "whether to clear the history").await?;
    press(&window, "confirm-clear-history").await?;
    search.clear().await?;
    search.send_keys(" ").await?;
    element(&window.page, "history-empty").await?;
    ensure!(api.images().await?.len() == 1, "the pictures stay");

    // Among the uploads its row says so too, has no link to copy, and goes without the others.
    press(&window, "close-dialog").await?;
    eventually("its row says that it is gone", PATIENCE, async || {
        let text = window.row_text("first & only.jpg").await?;
        Ok(text.contains("No longer in the gallery").then_some(()))
    })
    .await?;
    let row = "[...document.querySelectorAll(\"[data-testid='upload-row']\")]
        .find((row) => row.textContent.includes('first & only.jpg'))";
    let has_link = format!("return {row}.textContent.includes('Copy link')");
    ensure!(script(&window.page, &has_link, vec![]).await? == false);
    axe::check_themes(&window.page, "an upload whose picture is gone").await?;
    let clear = format!("{row}.querySelector(\"[data-testid='clear-upload']\").click()");
    script(&window.page, &clear, vec![]).await?;
    eventually("the other row is left", PATIENCE, async || {
        Ok((window.all("upload-row").await?.len() == 1).then_some(()))
    })
    .await?;
    ensure!(window.row_text("second.jpg").await?.contains("Published"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_chosen_by_pressing_it() -> Result<()> {
    let window = Window::open(Screen::start()?, &["--local-gallery"]).await?;
    element(&window.page, "empty-gallery").await?;
    section(&window, "desktop").await?;
    let field = element(&window.page, "hotkey").await?;
    let pressed = async |keys: &str| -> Result<()> {
        field.click().await?;
        window.keys(keys)
    };
    let shows = async |hotkey: &str| {
        eventually(
            &format!("the field shows {hotkey:?}"),
            PATIENCE,
            async || Ok((field.prop("value").await?.as_deref() == Some(hotkey)).then_some(())),
        )
        .await
    };
    pressed("ctrl+alt+y").await?;
    shows("Ctrl+Alt+Y").await?;
    keys::until_had(window.screen(), keys::Y).await?;
    pressed("super+u").await?;
    shows("Super+U").await?;
    // What every program has for itself is refused, and the key of before stays.
    pressed("ctrl+v").await?;
    says(&window, "Ctrl+V would be taken from every program").await?;
    shows("Super+U").await?;
    // The same once more is the same, and uploads nothing; it does once the field is left.
    let once_more = pictures::sized_png(20_000, 5);
    copy(window.screen(), "image/png", &once_more)?;
    pressed("super+u").await?;
    shows("Super+U").await?;
    // What is held is shown for as long as it is.
    let screen = window.screen();
    screen.xdotool(&["keydown", "ctrl"])?;
    shows("Ctrl+…").await?;
    screen.xdotool(&["keyup", "ctrl"])?;
    shows("Super+U").await?;
    // Escape leaves the field, and not the settings.
    pressed("Escape").await?;
    shows("Super+U").await?;
    let api = Api::new(&window.server().await?, None)?;
    ensure!(window.invoke("uploads", json!({})).await?["ok"] == json!([]));
    window.keys("super+u")?;
    eventually("the key uploads", PATIENCE, async || {
        Ok((api.images().await?.len() == 1).then_some(()))
    })
    .await?;
    let uploads = window.invoke("uploads", json!({})).await?;
    let count = uploads["ok"].as_array().map(Vec::len);
    ensure!(count == Some(1), "only the second press did: {uploads}");
    press(&window, "hotkey-none").await?;
    shows("").await?;
    eventually("no key is kept", PATIENCE, async || {
        Ok(read_settings(&window)?
            .contains("hotkey = \"\"")
            .then_some(()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_becomes_public_before_somebody_says_so() -> Result<()> {
    let screen = Screen::start()?;
    write_settings(&screen, "[guard]\nask = \"always\"\n")?;
    let plain = file(&screen, "plain.jpg", &pictures::jpeg(300, 200))?;
    let located = file(&screen, "located.jpg", &pictures::described_jpeg(200, 300))?;
    let window = Window::open(screen, &["--local-gallery"]).await?;
    element(&window.page, "empty-gallery").await?;
    let api = Api::new(&window.server().await?, None)?;

    let both = [plain, located];
    window.drop_files(&both).await?;
    element(&window.page, "publish").await?;
    eventually("what it is about is painted", PATIENCE, async || {
        let source = "return [...document.querySelectorAll(\"[data-testid='asked-files'] img\")]
            .filter((image) => image.complete && image.naturalWidth > 0).length";
        Ok((script(&window.page, source, vec![]).await? == 2).then_some(()))
    })
    .await?;
    says(&window, "Publish 2 pictures?").await?;
    says(
        &window,
        "1 of them says where it was taken. That is left out",
    )
    .await?;
    axe::check_themes(&window.page, "what is about to become public").await?;
    // A stray Enter is a no.
    window.focus()?;
    window.screen().xdotool(&["key", "Return"])?;
    gone(&window, "publish").await?;
    ensure!(api.images().await?.is_empty());
    let uploads = window.invoke("uploads", json!({})).await?;
    ensure!(
        uploads["ok"] == json!([]),
        "nothing was taken in: {uploads}"
    );

    window.drop_files(&both).await?;
    press(&window, "publish").await?;
    window.painted("plain.jpg").await?;
    window.painted("located.jpg").await?;

    // It is asked again, until somebody wants it no more.
    let third = file(window.screen(), "third.jpg", &pictures::jpeg(320, 200))?;
    window.drop_files(&[third]).await?;
    press(&window, "asked-always").await?;
    press(&window, "publish").await?;
    window.painted("third.jpg").await?;
    let fourth = file(window.screen(), "fourth.jpg", &pictures::jpeg(330, 200))?;
    window.drop_files(&[fourth]).await?;
    window.painted("fourth.jpg").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_choice_each_gallery_of_others_is_asked_about_once() -> Result<()> {
    let screen = Screen::start()?;
    let other = ServerProcess::start(&screen.folder().join("server"), &[])?;
    let window = Window::open(screen, &["--local-gallery"]).await?;
    element(&window.page, "empty-gallery").await?;
    let upload = async |window: &Window, name: &str, width: u32| {
        let picture = file(window.screen(), name, &pictures::jpeg(width, 200))?;
        window.drop_files(&[picture]).await
    };
    // What only this computer can reach is not asked about.
    upload(&window, "own.jpg", 300).await?;
    window.painted("own.jpg").await?;

    // It is on this computer, too, under an address that does not say so.
    let url = other.url.replace("127.0.0.1", "0.0.0.0");
    add_gallery(&window, &url, &other.token).await?;
    window.keys("Escape")?;
    element(&window.page, "empty-gallery").await?;
    upload(&window, "first.jpg", 310).await?;
    says(&window, "Publish 1 picture?").await?;
    let theirs = Api::new(&other.url, None)?;
    ensure!(theirs.images().await?.is_empty());
    press(&window, "publish").await?;
    window.painted("first.jpg").await?;
    upload(&window, "second.jpg", 320).await?;
    window.painted("second.jpg").await?;

    // It is known from then on, also to the next start.
    let window = Window::open(window.close().await?, &[]).await?;
    window.painted("second.jpg").await?;
    upload(&window, "third.jpg", 330).await?;
    window.painted("third.jpg").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_wants_a_token_asks_for_it_and_says_when_others_could_read_it() -> Result<()> {
    let screen = Screen::start()?;
    let other = ServerProcess::start(&screen.folder().join("server"), &[])?;
    let url = other.url.replace("127.0.0.1", "0.0.0.0");
    let known = format!("[server]\nurl = \"{url}\"\nlocal = false\nsigned_in = false\n");
    write_settings(&screen, &format!("{known}[guard]\nask = \"never\"\n"))?;
    let window = Window::open(screen, &[]).await?;
    element(&window.page, "empty-gallery").await?;
    let pictures = [("a.jpg", 300), ("b.jpg", 310)]
        .map(|(name, width)| file(window.screen(), name, &pictures::jpeg(width, 200)));
    let pictures = pictures.into_iter().collect::<Result<Vec<_>>>()?;
    window.drop_files(&pictures).await?;
    // It asks by itself; who closes that is asked again where they try again.
    element(&window.page, "token-input").await?;
    window.keys("Escape")?;
    gone(&window, "token-form").await?;
    let retry =
        "const row = document.querySelector(\"[data-testid='upload-row'][data-state='failed']\");
        const button = row?.querySelector(\"[aria-label^='Retry']\");
        button?.click(); return !!button";
    let done = async || Ok((script(&window.page, retry, vec![]).await? == true).then_some(()));
    eventually("it is tried again", PATIENCE, done).await?;
    let field = element(&window.page, "token-input").await?;
    ensure!(window.all("connect-open").await?.is_empty());
    field.send_keys(&other.token).await?;
    says(&window, "This address is not encrypted").await?;
    axe::check_themes(&window.page, "asking for a token").await?;
    press(&window, "token-submit").await?;
    gone(&window, "token-form").await?;
    // Nobody has to say again what is to go on: with both links together, as they were dropped.
    window.painted("a.jpg").await?;
    window.painted("b.jpg").await?;
    links(window.screen(), 2).await?;
    Ok(())
}

/// Connects to a gallery by the settings.
async fn add_gallery(window: &Window, url: &str, token: &str) -> Result<()> {
    section(window, "gallery").await?;
    press(window, "add-gallery").await?;
    axe::check_themes(&window.page, "adding a gallery").await?;
    element(&window.page, "connect-url")
        .await?
        .send_keys(url)
        .await?;
    element(&window.page, "connect-token")
        .await?
        .send_keys(token)
        .await?;
    press(window, "connect-submit").await?;
    until_shown(window, url).await
}

async fn until_shown(window: &Window, url: &str) -> Result<()> {
    eventually(&format!("{url} is shown"), PATIENCE, async || {
        Ok((window.server().await.ok().as_deref() == Some(url)).then_some(()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_picture_of_the_tray_is_asked_about_in_a_window() -> Result<()> {
    let screen = Screen::start()?;
    write_settings(&screen, "[guard]\nask = \"always\"\n")?;
    let _host = host(&screen)?;
    let desktop = Desktop::start(screen, &["--minimised"])?;
    copy(
        &desktop.screen,
        "image/png",
        &pictures::sized_png(20_000, 3),
    )?;
    desktop.click(&["Upload clipboard image"]).await?;
    // The window opens on the question, whose first button says no.
    desktop.until_windows(1).await?;
    ensure!(desktop.api.images().await?.is_empty());
    desktop.close_window().await?;
    desktop.until_windows(0).await?;
    ensure!(
        desktop.api.images().await?.is_empty(),
        "to close it is no answer"
    );
    // It is asked until somebody answers.
    desktop.click(&["Open gallery"]).await?;
    desktop.until_windows(1).await?;
    ensure!(desktop.api.images().await?.is_empty());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn galleries_are_added_shown_named_and_forgotten() -> Result<()> {
    let screen = Screen::start()?;
    let other = ServerProcess::start(&screen.folder().join("server"), &[])?;
    let window = Window::open(screen, &["--local-gallery"]).await?;
    element(&window.page, "empty-gallery").await?;
    let local = window.server().await?;

    add_gallery(&window, &other.url, &other.token).await?;
    let name = element(&window.page, "gallery-name").await?;
    name.send_keys("Society\u{e007}").await?;
    eventually("it is called so", PATIENCE, async || {
        let name = "return document.querySelector(\"[data-testid='server']\").textContent.trim()";
        let name = script(&window.page, name, vec![]).await?;
        Ok((name == "Society").then_some(()))
    })
    .await?;
    axe::check_themes(&window.page, "two galleries").await?;
    press(&window, "show-gallery").await?;
    until_shown(&window, &local).await?;
    press(&window, "show-gallery").await?;
    until_shown(&window, &other.url).await?;
    let state = window.invoke("app_state", json!({})).await?;
    ensure!(
        state["ok"]["server"]["signed_in"] == true,
        "its token is in the keyring: {state}"
    );
    press(&window, "show-gallery").await?;
    until_shown(&window, &local).await?;
    press(&window, "forget-gallery").await?;
    eventually("it is forgotten", PATIENCE, async || {
        let rows = window
            .page
            .find_all(Locator::Css("[data-testid='known-gallery']"))
            .await?;
        Ok(rows.is_empty().then_some(()))
    })
    .await?;
    ensure!(!read_settings(&window)?.contains(&other.url));
    Ok(())
}
