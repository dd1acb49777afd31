//! axe-core on a page under a WebDriver: what keeps it from those who do not see it, or not well.
//!
//! Invariant: it looks once all that moves has come to rest; half faded in, nothing has its contrast yet.

use std::{env, fs, path::Path};

use anyhow::{Context as _, Result, ensure};
use fantoccini::Client;
use serde_json::Value;

use crate::driver::script;

/// Fails when axe finds anything on the page as it is; `what` says which page that is.
pub(crate) async fn check(client: &Client, what: &str) -> Result<()> {
    const RUN: &str = "
        const done = arguments[arguments.length - 1];
        const ends = (animation) => Number.isFinite(animation.effect.getComputedTiming().endTime);
        const atRest = Promise.allSettled(document.getAnimations().filter(ends).map((animation) => animation.finished));
        const told = (violation) => violation.nodes.map((node) => [violation.id, node.html, node.failureSummary]);
        atRest.then(() => axe.run()).then((result) => done(result.violations.flatMap(told)), (error) => done(String(error)));";
    if script(client, "return typeof axe", vec![]).await? != "object" {
        let source = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../ui/node_modules/axe-core/axe.min.js"
        );
        let library =
            fs::read_to_string(source).context("axe-core; `cargo xtask test` installs it")?;
        script(client, &library, vec![]).await?;
    }
    let found = client.execute_async(RUN, vec![]).await?;
    ensure!(
        found.as_array().is_some_and(Vec::is_empty),
        "{what}: {}",
        readable(&found)
    );
    Ok(())
}

/// The same in the light and in the dark theme, whichever is shown. In the folder that `IMGN_TEST_SCREENSHOTS` names there is
/// a picture of each afterwards.
pub(crate) async fn check_themes(client: &Client, what: &str) -> Result<()> {
    const SHOW: &str = "
        const {dataset} = document.documentElement;
        const before = dataset.theme ?? null;
        if (arguments[0] === null) delete dataset.theme; else dataset.theme = arguments[0];
        return before;";
    let before = script(client, SHOW, vec![Value::Null]).await?;
    for theme in ["light", "dark"] {
        script(client, SHOW, vec![theme.into()]).await?;
        let what = format!("{what}, {theme}");
        check(client, &what).await?;
        if let Some(folder) = env::var_os("IMGN_TEST_SCREENSHOTS") {
            fs::create_dir_all(&folder)?;
            let file = Path::new(&folder).join(format!("{what}.png"));
            fs::write(&file, client.screenshot().await?)
                .with_context(|| format!("writing {}", file.display()))?;
        }
    }
    script(client, SHOW, vec![before]).await.map(drop)
}

/// From now on what a page shows for a few seconds stays: looking takes longer than the time for undoing.
pub(crate) async fn stop_time(client: &Client) -> Result<()> {
    const NO_END: &str = "
        const set = window.setTimeout;
        window.setTimeout = (act, time, ...rest) => (time >= 5000 ? 0 : set(act, time, ...rest));";
    script(client, NO_END, vec![]).await.map(drop)
}

fn readable(found: &Value) -> String {
    serde_json::to_string_pretty(found).unwrap_or_default()
}
