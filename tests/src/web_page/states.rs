//! Every state of the gallery under axe, in both themes and both languages.

use super::*;
use crate::driver::devtools;

/// axe on the page as it is, light and dark.
async fn check(client: &Client, what: &str) -> Result<()> {
    for theme in ["light", "dark"] {
        let features = json!([
            {"name": "prefers-color-scheme", "value": theme},
            // What fades would only be waited for.
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]);
        devtools(
            client,
            "Emulation.setEmulatedMedia",
            json!({"features": features}),
        )
        .await?;
        axe::check(client, &format!("{what}, {theme}")).await?;
    }
    Ok(())
}

const SHIFT_F10: &str = "\u{e008}\u{e03a}";

#[tokio::test]
async fn every_state_is_for_everybody() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let mut server = ServerProcess::start(&directory.path().join("server"), &[])?;
    let api = Api::new(&server.url, Some(&server.token))?;
    let address = |language: &str| format!("{}/?lang={language}", server.url);
    let (_driver, client) = open(&directory.path().join("profile"), &address("en")).await?;
    for language in ["de", "en"] {
        client.goto(&address(language)).await?;
        element(&client, "empty-gallery").await?;
        check(&client, &format!("empty, {language}")).await?;
    }
    element(&client, "server").await?.click().await?;
    element(&client, "sign-in").await?.click().await?;
    check(&client, "token").await?;
    enter_token(&client, &server.token).await?;

    let names: Vec<String> = (0..3).map(|n| format!("picture {n}.jpg")).collect();
    for (n, name) in (0..).zip(&names) {
        api.upload(name, &pictures::jpeg(900 + n, 600)).await?;
    }
    api.upload("moves.gif", &pictures::animated_gif(120, 80, 3))
        .await?;
    for language in ["en", "de"] {
        client.goto(&address(language)).await?;
        painted(&client, &names).await?;
        with_pictures(&client, language).await?;
    }

    let addresses = ["en", "de"].map(|language| (language, address(language)));
    server.kill();
    // It notices by itself.
    element(&client, "offline-banner").await?;
    for (language, address) in addresses {
        client.goto(&address).await?;
        painted(&client, &names).await?;
        element(&client, "offline-banner").await?;
        check(&client, &format!("offline, {language}")).await?;
        // Not searched for before.
        element(&client, "search")
            .await?
            .send_keys("giraffe")
            .await?;
        element(&client, "search-offline").await?;
        check(&client, &format!("search offline, {language}")).await?;
    }
    client.close().await?;
    Ok(())
}

/// The states that a gallery with pictures has while its server answers. It ends as it begins.
async fn with_pictures(client: &Client, language: &str) -> Result<()> {
    axe::stop_time(client).await?;
    let check = async |what: &str| check(client, &format!("{what}, {language}")).await;
    check("grid").await?;
    let open = Locator::Css("[data-testid='cell'] .open");
    let picture = client.find(open).await?;
    element(client, "captions").await?.click().await?;
    check("captions").await?;
    element(client, "captions").await?.click().await?;

    picture.send_keys(SHIFT_F10).await?;
    element(client, "menu").await?;
    check("menu").await?;
    press(client, ESCAPE).await?;

    element(client, "show-keys").await?.click().await?;
    element(client, "keys").await?;
    check("keys").await?;
    press(client, ESCAPE).await?;
    gone(client, "keys").await?;

    picture.send_keys(" ").await?;
    element(client, "selection-bar").await?;
    check("selection").await?;
    element(client, "selection-delete").await?.click().await?;
    element(client, "undo-notice").await?;
    check("undo").await?;
    element(client, "undo").await?.click().await?;

    element(client, "upload-toggle").await?.click().await?;
    check("uploads").await?;
    element(client, "upload-toggle").await?.click().await?;

    element(client, "server").await?.click().await?;
    element(client, "sign-out").await?;
    check("server").await?;
    element(client, "settings-general").await?.click().await?;
    element(client, "theme").await?;
    check("look").await?;
    press(client, ESCAPE).await?;

    client.find(open).await?.click().await?;
    element(client, "viewer").await?;
    press(client, "i").await?;
    element(client, "details").await?;
    check("viewer with details").await?;
    // Out of the details first.
    press(client, ESCAPE).await?;
    gone(client, "details").await?;
    press(client, ESCAPE).await?;
    gone(client, "viewer").await?;

    element(client, "search").await?.send_keys("zebra").await?;
    element(client, "nothing-found").await?;
    check("nothing found").await?;
    element(client, "search").await?.send_keys(ESCAPE).await?;
    element(client, "cell").await?;
    Ok(())
}
