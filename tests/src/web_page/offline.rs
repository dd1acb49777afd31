//! The web page with no server behind it: its service worker answers with what was seen.

use super::*;

/// Whether the worker has kept all that the page asked the gallery for.
async fn all_is_kept(client: &Client) -> Result<()> {
    const KEPT: &str = r"
        const asked = performance.getEntriesByType('resource').map(({ name }) => new URL(name));
        const wanted = asked.filter(({ pathname }) => /^\/v1\/(timeline|images)/.test(pathname) && !pathname.endsWith('/content'));
        if (navigator.serviceWorker.controller === null || wanted.length === 0) return false;
        return Promise.all(wanted.map((url) => caches.match(url))).then((answers) => answers.every((answer) => answer !== undefined));";
    eventually("all that was seen is kept", PATIENCE, async || {
        Ok((script(client, KEPT, vec![]).await? == true).then_some(()))
    })
    .await
}

/// Waits until the viewer shows the preview of this picture.
async fn preview(client: &Client, name: &str) -> Result<()> {
    const SHOWN: &str = "
        const image = document.querySelector('[data-testid=viewer-image][data-size=\"1280\"]');
        return image && image.complete && image.naturalWidth > 0 ? image.alt : null;";
    eventually("the preview is shown", PATIENCE, async || {
        Ok((script(client, SHOWN, vec![]).await? == name).then_some(()))
    })
    .await
}

async fn search(client: &Client, words: &str) -> Result<()> {
    let field = element(client, "search").await?;
    field.clear().await?;
    field.send_keys(words).await?;
    Ok(())
}

#[tokio::test]
async fn what_was_seen_is_there_without_the_server_and_goes_on_with_it() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let mut server = ServerProcess::start(&directory.path().join("server"), &[])?;
    let api = Api::new(&server.url, Some(&server.token))?;
    let names = ["forest", "harbour", "lake", "moor"].map(|name| format!("{name}.jpg"));
    for (n, name) in (0..).zip(&names) {
        api.upload(name, &pictures::jpeg(900 + n, 600)).await?;
    }
    let (_driver, client) = open(&directory.path().join("profile"), &server.url).await?;
    painted(&client, &names).await?;
    search(&client, "lake").await?;
    eventually("one is found", PATIENCE, async || {
        let cells = client
            .find_all(Locator::Css("[data-testid='cell']"))
            .await?;
        Ok((cells.len() == 1).then_some(()))
    })
    .await?;
    search(&client, "\u{e00c}").await?;
    painted(&client, &names).await?;
    let newest = format!("[data-testid='cell']:has(img[alt='{}']) .open", names[3]);
    client.find(Locator::Css(&newest)).await?.click().await?;
    preview(&client, &names[3]).await?;
    all_is_kept(&client).await?;

    server.kill();
    // As people do; the driver's own way goes by the worker.
    script(&client, "location.reload()", vec![]).await?;
    // The address is the picture's.
    preview(&client, &names[3]).await?;
    client.active_element().await?.send_keys("\u{e00c}").await?;
    painted(&client, &names).await?;
    let banner = element(&client, "offline-banner").await?.text().await?;
    ensure!(banner.contains("Offline"), "{banner}");

    // A search that was made before is answered as then; another one cannot be, and that is no failure of the gallery.
    search(&client, "lake").await?;
    painted(&client, &names[2..3]).await?;
    search(&client, "\u{e00c}").await?;
    painted(&client, &names).await?;
    search(&client, "zebra").await?;
    let told = element(&client, "search-offline").await?.text().await?;
    ensure!(told.contains("zebra"), "{told}");
    element(&client, "all-pictures").await?.click().await?;
    painted(&client, &names).await?;
    search(&client, "zebra").await?;
    element(&client, "search-offline").await?;

    // The server is back: the page goes on by itself, and is still the same page.
    script(&client, "window.stayed = true", vec![]).await?;
    server.restart()?;
    gone(&client, "offline-banner").await?;
    element(&client, "nothing-found").await?;
    search(&client, "\u{e00c}").await?;
    let new = "new.jpg".to_owned();
    api.upload(&new, &pictures::jpeg(700, 500)).await?;
    painted(&client, &[names.as_slice(), &[new]].concat()).await?;
    ensure!(script(&client, "return window.stayed", vec![]).await? == true);
    client.close().await?;
    Ok(())
}
