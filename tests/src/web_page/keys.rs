//! The web page by its keys alone.

use super::*;

const DOWN: &str = "\u{e015}";
const END: &str = "\u{e010}";
const ENTER: &str = "\u{e007}";
const HOME: &str = "\u{e011}";

/// Waits until a script answers so.
pub(super) async fn becomes(
    client: &Client,
    what: &str,
    source: &str,
    wanted: &Value,
) -> Result<()> {
    eventually(what, PATIENCE, async || {
        Ok((script(client, source, vec![]).await? == *wanted).then_some(()))
    })
    .await
}

/// Waits until the focus is on the picture of this name in the grid.
async fn focus_on(client: &Client, name: &str) -> Result<()> {
    const FOCUSED: &str = "
        const cell = document.activeElement.closest('[data-testid=cell]');
        return cell === null ? null : cell.querySelector('img').alt;";
    becomes(
        client,
        &format!("the focus is on {name}"),
        FOCUSED,
        &json!(name),
    )
    .await
}

/// Gives the focus to a button of the header.
async fn focus_header(client: &Client) -> Result<()> {
    let source = "document.querySelector('[data-testid=upload-toggle]').focus()";
    script(client, source, vec![]).await.map(drop)
}

#[tokio::test]
async fn keys_lead_from_the_search_and_the_header_to_the_pictures_and_back() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let server = ServerProcess::start(&directory.path().join("server"), &[])?;
    let api = Api::new(&server.url, Some(&server.token))?;
    let names = ["forest", "harbour", "lake"].map(|name| format!("{name}.jpg"));
    for (n, name) in (0..).zip(&names) {
        api.upload(name, &pictures::jpeg(900 + n, 600)).await?;
    }
    let (_driver, client) = open(
        &directory.path().join("profile"),
        &format!("{}/?lang=en", server.url),
    )
    .await?;
    painted(&client, &names).await?;
    // A slide show waits at its first picture.
    axe::stop_time(&client).await?;

    // To what was found, which is not there yet when the key is pressed.
    let found = "return document.querySelector('[data-testid=found]').textContent.trim()";
    for key in [DOWN, ENTER] {
        let field = element(&client, "search").await?;
        field.send_keys(&format!("harbour{key}")).await?;
        focus_on(&client, "harbour.jpg").await?;
        becomes(&client, "how many is told", found, &json!("1 found")).await?;
        element(&client, "search").await?.send_keys(ESCAPE).await?;
        painted(&client, &names).await?;
        becomes(&client, "nothing is told", found, &json!("")).await?;
    }

    focus_header(&client).await?;
    press(&client, END).await?;
    focus_on(&client, "forest.jpg").await?;
    focus_header(&client).await?;
    press(&client, HOME).await?;
    focus_on(&client, "lake.jpg").await?;

    press(&client, "?").await?;
    element(&client, "keys").await?;
    press(&client, ESCAPE).await?;
    gone(&client, "keys").await?;
    focus_on(&client, "lake.jpg").await?;

    // Escape leads out of the show first, then of the details, then of the picture.
    press(&client, ENTER).await?;
    element(&client, "viewer").await?;
    press(&client, "i").await?;
    element(&client, "details").await?;
    press(&client, " ").await?;
    let runs =
        "return document.querySelector('[data-testid=slide-show]').getAttribute('aria-pressed')";
    becomes(&client, "the show runs", runs, &json!("true")).await?;
    press(&client, ESCAPE).await?;
    becomes(&client, "the show is stopped", runs, &json!("false")).await?;
    element(&client, "details").await?;
    press(&client, ESCAPE).await?;
    gone(&client, "details").await?;
    element(&client, "viewer").await?;
    press(&client, ESCAPE).await?;
    gone(&client, "viewer").await?;
    focus_on(&client, "lake.jpg").await?;
    client.close().await?;
    Ok(())
}
