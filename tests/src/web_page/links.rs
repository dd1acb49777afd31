//! A picture's own page, `/i/{id}`, for programs that preview links and for people; and the page as an app.

use super::*;
use crate::driver::devtools;

/// The value of each `<meta property="…" content="…">` by its property.
fn properties(html: &str) -> std::collections::BTreeMap<&str, &str> {
    html.split("<meta property=\"")
        .skip(1)
        .filter_map(|tag| {
            let (property, rest) = tag.split_once('"')?;
            let (_, content) = rest.split_once("content=\"")?;
            Some((property, content.split_once('"')?.0))
        })
        .collect()
}

#[tokio::test]
async fn a_link_to_a_picture_is_previewed_and_opens_the_picture() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let server = ServerProcess::start(&directory.path().join("server"), &[])?;
    let api = Api::new(&server.url, Some(&server.token))?;
    let mut ids = Vec::new();
    for name in ["first & oldest.jpg", "second.jpg", "third.jpg"] {
        let outcome = api.upload(name, &pictures::jpeg(1500, 1000)).await?;
        ids.push(outcome["image"]["id"].as_str().context("an id")?.to_owned());
    }
    let link = format!("{}/i/{}", server.url, ids[0]);

    let html = String::from_utf8(api.bytes(&format!("/i/{}", ids[0])).await?)?;
    let told = properties(&html);
    ensure!(told.get("og:url") == Some(&link.as_str()), "{told:?}");
    ensure!(
        told.get("og:title") == Some(&"first &amp; oldest.jpg"),
        "{told:?}"
    );
    // What stands in for the picture can be had by whoever shows previews, who has no token.
    let path = told
        .get("og:image")
        .and_then(|url| url.strip_prefix(&server.url))
        .context("an address of this server")?;
    let preview = image::load_from_memory(&api.with_token(None).bytes(path).await?)?;
    ensure!(
        preview.width() >= 1200 && preview.height() >= 600,
        "large enough for a large preview"
    );
    let size = (preview.width().to_string(), preview.height().to_string());
    ensure!(told.get("og:image:width") == Some(&size.0.as_str()));
    ensure!(told.get("og:image:height") == Some(&size.1.as_str()));

    let (_driver, client) = open(&directory.path().join("profile"), &link).await?;
    let shown =
        "const image = document.querySelector('[data-testid=viewer] [data-testid=viewer-image]');
        return image && image.complete && image.naturalWidth > 0 ? image.alt : null;";
    eventually("the viewer shows it", PATIENCE, async || {
        Ok((script(&client, shown, vec![]).await? == "first & oldest.jpg").then_some(()))
    })
    .await?;
    // One that there is not is told of, and the gallery is there all the same.
    client
        .goto(&format!(
            "{}/i/0192f0c1-2345-7000-8000-000000000000",
            server.url
        ))
        .await?;
    element(&client, "cell").await?;
    eventually("it is told", PATIENCE, async || {
        let told = script(&client, "return document.body.innerText", vec![]).await?;
        let is_told = told
            .as_str()
            .is_some_and(|text| text.contains("not in the gallery"));
        Ok(is_told.then_some(()))
    })
    .await?;
    ensure!(client.current_url().await?.path() == "/");
    client.close().await?;
    Ok(())
}

#[tokio::test]
async fn the_page_can_be_installed() -> Result<()> {
    // Each icon that is announced as the browser decodes it: its address, the size it should have, and the one it has.
    const ICONS: &str = "
        return fetch('/manifest.webmanifest').then((answer) => answer.json()).then(({ icons }) => Promise.all(icons.map(async ({ src, sizes, type }) => {
            const image = new Image();
            image.src = src;
            await image.decode();
            const { headers } = await fetch(src);
            return { src, sizes, actual: `${image.naturalWidth}x${image.naturalHeight}`, type, sent: headers.get('content-type') };
        })));";
    let directory = tempfile::tempdir()?;
    let server = ServerProcess::start(&directory.path().join("server"), &[])?;
    let (_driver, client) = open(&directory.path().join("profile"), &server.url).await?;
    element(&client, "empty-gallery").await?;
    eventually("the worker is there", PATIENCE, async || {
        let controlled = script(
            &client,
            "return navigator.serviceWorker.controller !== null",
            vec![],
        );
        Ok((controlled.await? == true).then_some(()))
    })
    .await?;
    let manifest = devtools(&client, "Page.getAppManifest", json!({})).await?;
    ensure!(manifest["errors"] == json!([]), "{manifest:#}");
    ensure!(
        manifest["url"] == format!("{}/manifest.webmanifest", server.url),
        "{manifest:#}"
    );
    let found = devtools(&client, "Page.getInstallabilityErrors", json!({})).await?;
    ensure!(found["installabilityErrors"] == json!([]), "{found:#}");
    let icons = script(&client, ICONS, vec![]).await?;
    let icons = icons.as_array().context("icons")?;
    for icon in icons {
        ensure!(icon["type"] == icon["sent"], "{icon}");
        ensure!(
            icon["sizes"] == "any" || icon["sizes"] == icon["actual"],
            "{icon}"
        );
    }
    for size in ["192x192", "512x512"] {
        ensure!(icons.iter().any(|icon| icon["actual"] == size), "{size}");
    }
    client.close().await?;
    Ok(())
}
