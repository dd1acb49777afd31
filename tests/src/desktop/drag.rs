//! Pictures that are dragged out of the window into another program.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use imgn_testkit::{pictures, process::ServerProcess};
use serde_json::json;
use url::Url;

use super::{screen::Screen, window::Window};
use crate::{api::Api, driver::element};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dragged_out_a_picture_is_a_file_or_a_link_and_several_are_so_many() -> Result<()> {
    let screen = Screen::start()?;
    let server = ServerProcess::start(&screen.folder().join("server"), &[])?;
    let api = Api::new(&server.url, Some(&server.token))?;
    let mut files = Vec::new();
    // Two of one name, and one that says what no file browser should take for a folder.
    for (name, width) in [
        ("a beach.jpg", 480),
        ("a beach.jpg", 320),
        ("x%2Fy.jpg", 600),
    ] {
        let bytes = pictures::jpeg(width, 320);
        let outcome = api.upload(name, &bytes).await?;
        let id = outcome["image"]["id"].as_str().context("an id")?.to_owned();
        files.push((name, id, bytes));
    }
    let window = Window::open(screen, &[]).await?;
    element(&window.page, "first-start").await?;
    let arguments = json!({"server": server.url, "token": server.token});
    window.invoke("connect", arguments).await?;
    for (name, ..) in &files {
        window.painted(name).await?;
    }

    for (name, id, bytes) in &files[1..] {
        let list = window.drag_out(id, "text/uri-list").await?;
        let mut addresses = list.lines();
        let address: Url = addresses.next().context("an address")?.parse()?;
        ensure!(addresses.next().is_none(), "{list:?}");
        let file = address.to_file_path().ok().context("a file")?;
        ensure!(file.file_name().is_some_and(|it| it == *name), "{file:?}");
        ensure!(fs::read(&file)? == *bytes, "{file:?} is the original");
    }
    let (_, id, _) = &files[2];
    let text = window.drag_out(id, "text/plain;charset=utf-8").await?;
    ensure!(
        text == format!("{}/v1/images/{id}/content", server.url),
        "{text}"
    );

    // All three.
    window.keys("ctrl+a")?;
    let list = window.drag_out(id, "text/uri-list").await?;
    let mut dragged = Vec::new();
    for address in list.lines() {
        let file = address.parse::<Url>()?.to_file_path().ok();
        dragged.push(fs::read(file.context("a file")?)?);
    }
    let mut expected: Vec<_> = files.into_iter().map(|(.., bytes)| bytes).collect();
    dragged.sort();
    expected.sort();
    ensure!(dragged == expected, "{list:?}");
    Ok(())
}
