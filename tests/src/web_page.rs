//! The web page at the server's `/`, in a real Chromium: browsing without a token, uploading with one.

mod keys;
mod links;
mod offline;
mod scenes;
mod states;

use std::{fs, path::Path};

use anyhow::{Context as _, Result, ensure};
use fantoccini::{Client, Locator};
use imgn_testkit::{
    pictures,
    process::{ServerProcess, eventually},
};
use serde_json::{Value, json};

use crate::{
    api::{Api, sha256},
    axe,
    driver::{PATIENCE, chromium, element, script},
    photographs, upright,
};

/// Waits until the grid has a painted thumbnail of each of these names, and answers their pixels' corners by name.
async fn painted(client: &Client, names: &[String]) -> Result<Value> {
    // The thumbnail as the page has it, drawn at its own size; four corners and the size of the picture.
    const CORNERS: &str = "
        const found = {};
        for (const image of document.querySelectorAll('[data-testid=cell] img')) {
            if (!image.complete || image.naturalWidth === 0 || !arguments[0].includes(image.alt)) continue;
            const canvas = document.createElement('canvas');
            const [w, h] = [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
            const context = canvas.getContext('2d');
            context.drawImage(image, 0, 0);
            const at = (x, y) => [...context.getImageData(Math.floor(x * (w - 1)), Math.floor(y * (h - 1)), 1, 1).data].slice(0, 3);
            found[image.alt] = {width: w, height: h, corners: [at(.125, .125), at(.875, .125), at(.125, .875), at(.875, .875)]};
        }
        return found;";
    eventually("all thumbnails are painted", PATIENCE, async || {
        let found = script(client, CORNERS, vec![json!(names)]).await?;
        Ok((found.as_object().map(serde_json::Map::len) == Some(names.len())).then_some(found))
    })
    .await
}

async fn open(profile: &Path, url: &str) -> Result<(crate::driver::Driver, Client)> {
    let (driver, client) = chromium(profile).await?;
    client.goto(url).await?;
    Ok((driver, client))
}

/// Presses keys where the focus is.
async fn press(client: &Client, keys: &str) -> Result<()> {
    client.active_element().await?.send_keys(keys).await?;
    Ok(())
}

const ESCAPE: &str = "\u{e00c}";

async fn gone(client: &Client, test_id: &str) -> Result<()> {
    let selector = format!("[data-testid='{test_id}']");
    eventually(&format!("no {test_id}"), PATIENCE, async || {
        let found = client.find_all(Locator::Css(&selector)).await?;
        Ok(found.is_empty().then_some(()))
    })
    .await
}

#[tokio::test]
async fn pictures_are_uploaded_and_shown_upright() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let server = ServerProcess::start(&directory.path().join("server"), &[])?;
    let api = Api::new(&server.url, None)?;
    let (_driver, client) = open(&directory.path().join("profile"), &server.url).await?;

    // Without a token the page shows the gallery, which is empty.
    element(&client, "empty-gallery").await?;

    let mut files = photographs::some(2)?;
    for orientation in pictures::ORIENTATIONS {
        let path = directory
            .path()
            .join(format!("orientation {orientation}.jpg"));
        fs::write(&path, pictures::oriented_jpeg(480, 320, orientation))?;
        files.push(path);
    }
    let text = directory.path().join("not a picture.png");
    fs::write(&text, "plain text")?;
    let names: Vec<String> = files
        .iter()
        .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
        .collect();
    let list: Vec<&str> = [&text]
        .into_iter()
        .chain(&files)
        .filter_map(|path| path.to_str())
        .collect();
    // A hidden file input takes paths by WebDriver as it takes them from the dialog.
    let picker = client
        .wait()
        .at_most(PATIENCE)
        .for_element(Locator::Css("[data-testid='file-input']"))
        .await?;
    picker.send_keys(&list.join("\n")).await?;
    // Nothing goes up without a token; with it, the files that wait do.
    enter_token(&client, &server.token).await?;

    let found = painted(&client, &names).await?;
    for orientation in pictures::ORIENTATIONS {
        let name = format!("orientation {orientation}.jpg");
        let picture = &found[&name];
        ensure!(
            picture["width"].as_u64() > picture["height"].as_u64(),
            "{name} is upright: {picture}"
        );
        upright::check(serde_json::from_value(picture["corners"].clone())?)
            .with_context(|| name)?;
    }
    eventually("the refusal is shown", PATIENCE, async || {
        let rows = client
            .find_all(Locator::Css(
                "[data-testid='upload-row'][data-state='rejected']",
            ))
            .await?;
        let Some(row) = rows.first() else {
            return Ok(None);
        };
        let words = row.text().await?;
        ensure!(words.contains("not a picture.png"), "{words}");
        Ok(Some(()))
    })
    .await?;
    for (name, file) in names.iter().zip(&files) {
        let bytes = fs::read(file)?;
        let images = api.images().await?;
        let image = images
            .iter()
            .find(|image| image["file_name"] == name.as_str())
            .context("in the gallery")?;
        ensure!(image["sha256"] == sha256(&bytes));
        let id = image["id"].as_str().context("an id")?;
        ensure!(
            api.bytes(&format!("/v1/images/{id}/content")).await? == bytes,
            "{name}: byte for byte"
        );
    }
    client.close().await?;
    Ok(())
}

#[tokio::test]
async fn a_visitor_views_and_the_owner_deletes() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let server = ServerProcess::start(&directory.path().join("server"), &[])?;
    let api = Api::new(&server.url, Some(&server.token))?;
    for n in 0..3 {
        api.upload(&format!("picture {n}.jpg"), &pictures::jpeg(900 + n, 600))
            .await?;
    }
    let (_driver, client) = open(&directory.path().join("profile"), &server.url).await?;
    element(&client, "cell").await?.click().await?;
    element(&client, "viewer").await?;
    eventually("the viewer shows the newest picture", PATIENCE, async || {
        let script_source = "const i = document.querySelector('[data-testid=viewer-image]'); return i && i.complete && i.naturalWidth > 0 ? i.alt : null;";
        Ok((script(&client, script_source, vec![]).await? == "picture 2.jpg").then_some(()))
    })
    .await?;
    ensure!(
        client
            .find_all(Locator::Css("[data-testid='delete-image']"))
            .await?
            .is_empty(),
        "not without a token"
    );
    axe::check(&client, "the viewer").await?;
    // Escape closes it, and the focus is back where it was.
    client.active_element().await?.send_keys("\u{e00c}").await?;
    eventually("the viewer is closed", PATIENCE, async || {
        Ok(client
            .find_all(Locator::Css("[data-testid='viewer'][open]"))
            .await?
            .is_empty()
            .then_some(()))
    })
    .await?;
    let focused = script(
        &client,
        "return document.activeElement.closest('[data-testid=cell]') !== null",
        vec![],
    )
    .await?;
    ensure!(focused == true, "the focus is back on the picture");

    element(&client, "server").await?.click().await?;
    element(&client, "sign-in").await?.click().await?;
    enter_token(&client, &server.token).await?;
    element(&client, "cell").await?.click().await?;
    element(&client, "delete-image").await?.click().await?;
    element(&client, "confirm-delete").await?.click().await?;
    eventually("it is gone", PATIENCE, async || {
        Ok((api.images().await?.len() == 2).then_some(()))
    })
    .await?;
    eventually("from the grid too", PATIENCE, async || {
        let cells = client
            .find_all(Locator::Css("[data-testid='cell']"))
            .await?;
        Ok((cells.len() == 2).then_some(()))
    })
    .await?;
    axe::check(&client, "the grid").await?;
    client.close().await?;
    Ok(())
}

#[tokio::test]
async fn what_the_browser_cannot_show_is_shown_by_what_the_server_made_of_it() -> Result<()> {
    // The picture in the viewer as it is painted, once it is the last step.
    const PAINTED: &str = "
        const image = document.querySelector('[data-testid=viewer-image][data-size=\"2560\"]');
        if (!image || !image.complete || image.naturalWidth === 0) return null;
        const canvas = document.createElement('canvas');
        const [w, h] = [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
        const context = canvas.getContext('2d');
        context.drawImage(image, 0, 0);
        const at = (x, y) => [...context.getImageData(Math.floor(x * w), Math.floor(y * h), 1, 1).data].slice(0, 3);
        return {width: w, height: h, corners: [at(.125, .125), at(.875, .125), at(.125, .875), at(.875, .875)]};";
    let directory = tempfile::tempdir()?;
    let server = ServerProcess::start(&directory.path().join("server"), &[])?;
    let api = Api::new(&server.url, Some(&server.token))?;
    let heic = pictures::Heif::default().write(pictures::HeifCoding::Hevc);
    let outcome = api.upload("phone.heic", &heic).await?;
    ensure!(
        outcome["image"]["content_type"] == "image/heic",
        "{outcome}"
    );
    let (_driver, client) = open(&directory.path().join("profile"), &server.url).await?;
    element(&client, "cell").await?.click().await?;
    element(&client, "show-original").await?.click().await?;
    let shown = eventually("the picture is painted", PATIENCE, async || {
        let found = script(&client, PAINTED, vec![]).await?;
        Ok((!found.is_null()).then_some(found))
    })
    .await?;
    let (width, height) = pictures::HEIF_SIZE;
    ensure!(
        shown["width"] == width && shown["height"] == height,
        "{shown}"
    );
    upright::check(serde_json::from_value(shown["corners"].clone())?)?;
    // Its link leads to the file as it was uploaded.
    let id = outcome["image"]["id"].as_str().context("an id")?;
    ensure!(api.bytes(&format!("/v1/images/{id}/content")).await? == heic);
    client.close().await?;
    Ok(())
}

#[tokio::test]
async fn what_moves_says_so() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let server = ServerProcess::start(&directory.path().join("server"), &[])?;
    let api = Api::new(&server.url, Some(&server.token))?;
    api.upload("moves.gif", &pictures::animated_gif(120, 80, 3))
        .await?;
    let (_driver, client) = open(&directory.path().join("profile"), &server.url).await?;
    let cell = element(&client, "cell").await?;
    let button = cell.find(Locator::Css("button")).await?;
    let label = button.attr("aria-label").await?.unwrap_or_default();
    ensure!(label.ends_with("animated"), "{label}");
    let badge = cell
        .find(Locator::Css("[data-testid='motion-badge']"))
        .await?;
    ensure!(badge.text().await? == "GIF");
    button.click().await?;
    let badge = element(&client, "viewer")
        .await?
        .find(Locator::Css("[data-testid='motion-badge']"))
        .await?;
    ensure!(badge.attr("aria-label").await?.as_deref() == Some("Animated"));
    axe::check(&client, "the viewer of what moves").await?;
    client.close().await?;
    Ok(())
}

#[tokio::test]
async fn a_long_picture_ends_with_more_pixels_than_its_thumbnail_has() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let server = ServerProcess::start(&directory.path().join("server"), &[])?;
    let api = Api::new(&server.url, Some(&server.token))?;
    api.upload("panorama.jpg", &pictures::jpeg(2400, 240))
        .await?;
    api.upload("lake.jpg", &pictures::jpeg(900, 600)).await?;
    let (_driver, client) = open(&directory.path().join("profile"), &server.url).await?;
    // The others have what they need.
    const SHOWN: &str = "
        const found = {};
        for (const image of document.querySelectorAll('[data-testid=cell] img.shown'))
            if (image.complete) found[image.alt] = image.naturalWidth;
        return found;";
    let wanted = json!({ "panorama.jpg": 1280, "lake.jpg": 320 });
    eventually("each has what its cell needs", PATIENCE, async || {
        Ok((script(&client, SHOWN, vec![]).await? == wanted).then_some(()))
    })
    .await?;
    client.close().await?;
    Ok(())
}

async fn enter_token(client: &Client, token: &str) -> Result<()> {
    element(client, "token-input")
        .await?
        .send_keys(token)
        .await?;
    element(client, "token-submit").await?.click().await?;
    Ok(())
}
