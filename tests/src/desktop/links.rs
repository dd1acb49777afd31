//! `imgn://` addresses, as a browser hands them to the desktop: by starting the program once more.

use anyhow::{Context as _, Result, ensure};
use imgn_testkit::{
    pictures,
    process::{ServerProcess, eventually, program},
};
use serde_json::json;

use super::{file, screen::Screen, window::Window};
use crate::{
    api::Api,
    axe,
    driver::{PATIENCE, element},
};

/// Starts the program once more, as a browser does.
fn open(window: &Window, address: &str) -> Result<()> {
    let program = program("imgn-desktop")?;
    let output = window
        .screen()
        .command(program.to_str().context("a path in UTF-8")?)
        .arg(address)
        .output()?;
    ensure!(output.status.success(), "{output:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_shows_a_picture_and_connects_only_when_somebody_says_so() -> Result<()> {
    let screen = Screen::start()?;
    let picture = file(&screen, "here.jpg", &pictures::jpeg(300, 200))?;
    let other = ServerProcess::start(&screen.folder().join("server"), &[])?;
    let there = Api::new(&other.url, Some(&other.token))?;
    there.upload("there.jpg", &pictures::jpeg(200, 300)).await?;
    let there = there.images().await?;
    let there = there
        .first()
        .and_then(|it| it["id"].as_str())
        .context("an id")?;

    let window = Window::open(screen, &["--local-gallery"]).await?;
    element(&window.page, "empty-gallery").await?;
    window.drop_files(&[picture]).await?;
    let here = window.painted("here.jpg").await?.id;
    let local = window.server().await?;
    // Every way to link to it.
    window.keys("ctrl+a")?;
    super::press(&window, "selection-link").await?;
    element(&window.page, "made-link").await?;
    axe::check_themes(&window.page, "links to be chosen from").await?;
    window.keys("Escape")?;
    super::press(&window, "clear-selection").await?;
    // Signed in there once, it is so when a link leads there.
    let credentials = json!({"server": other.url, "token": other.token});
    for (command, arguments) in [("connect", credentials), ("start_local_gallery", json!({}))] {
        let answer = window.invoke(command, arguments).await?;
        ensure!(answer.pointer("/ok").is_some(), "{answer}");
    }
    open(&window, &format!("imgn://image/{here}"))?;
    let shown = async |name: &str| -> Result<()> {
        eventually(&format!("{name} is looked at"), PATIENCE, async || {
            let source = window.page.source().await?;
            let viewer = window.all("copy-link").await?;
            Ok((!viewer.is_empty() && source.contains(name)).then_some(()))
        })
        .await
    };
    shown("here.jpg").await?;

    // Of another gallery: asked first, and nothing happens where somebody says no.
    let encoded: String = url::form_urlencoded::byte_serialize(other.url.as_bytes()).collect();
    let address = format!("imgn://image/{there}?server={encoded}");
    open(&window, &address)?;
    eventually(
        "it asks about the gallery by its address",
        PATIENCE,
        async || {
            let asked = element(&window.page, "confirm-address")
                .await?
                .text()
                .await?;
            Ok((asked.trim_end_matches('/') == other.url).then_some(()))
        },
    )
    .await?;
    let question = window.page.source().await?;
    ensure!(question.contains("which you have connected to before"));
    axe::check_themes(&window.page, "whether to connect").await?;
    window.focus()?;
    // A stray Enter is a no.
    window.screen().xdotool(&["key", "Return"])?;
    super::gone(&window, "confirm-connect").await?;
    ensure!(
        window.server().await? == local,
        "it is still the same gallery"
    );

    open(&window, &address)?;
    element(&window.page, "confirm-address").await?;
    // Another link changes nothing of what is being asked.
    open(&window, "imgn://connect?server=https://evil.example")?;
    super::press(&window, "confirm-connect").await?;
    eventually("it is connected", PATIENCE, async || {
        Ok((window.server().await.ok() == Some(other.url.clone())).then_some(()))
    })
    .await?;
    let state = window.invoke("app_state", json!({})).await?;
    ensure!(state["ok"]["server"]["signed_in"] == true, "{state}");
    shown("there.jpg").await?;

    // A gallery that is known is shown although its server is away.
    let away = other.url.clone();
    drop(other);
    let asks_about = async |server: &str| -> Result<()> {
        eventually(&format!("it asks about {server}"), PATIENCE, async || {
            let asked = window.all("confirm-address").await?;
            let Some(asked) = asked.first() else {
                return Ok(None);
            };
            let asked = asked.text().await?;
            Ok((asked.trim_end_matches('/') == server).then_some(()))
        })
        .await
    };
    asks_about("https://evil.example").await?;
    window.focus()?;
    window.screen().xdotool(&["key", "Return"])?;
    // The one on this computer is started, and is what it was.
    open(&window, &format!("imgn://connect?server={local}"))?;
    asks_about(local.trim_end_matches('/')).await?;
    super::press(&window, "confirm-connect").await?;
    window.painted("here.jpg").await?;
    let state = window.invoke("app_state", json!({})).await?;
    let server = &state["ok"]["server"];
    ensure!(
        server["local"] == true && server["signed_in"] == true,
        "{state}"
    );
    let program = program("imgn-desktop")?;
    let mut again = window
        .screen()
        .command(program.to_str().context("a path in UTF-8")?);
    let output = again.args(["--server", &away]).output()?;
    ensure!(output.status.success(), "{output:?}");
    asks_about(&away).await?;
    super::press(&window, "confirm-connect").await?;
    eventually("what is known of it is shown", PATIENCE, async || {
        Ok((window.server().await.ok().as_ref() == Some(&away)).then_some(()))
    })
    .await?;
    let state = window.invoke("app_state", json!({})).await?;
    ensure!(state["ok"]["server"]["reachable"] == false, "{state}");
    window.painted("there.jpg").await.map(drop)
}
