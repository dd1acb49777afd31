//! `sync`, `list --offline` and `cache`: what of the gallery is on this computer.

use anyhow::Result;
use imgn_core::App;

use crate::{
    args::CacheCommand,
    gallery::show,
    output::{Output, size},
};

/// Pictures that are read from the list at a time.
const BATCH: usize = 500;

pub(crate) async fn sync(app: &App, output: &Output, originals: bool) -> Result<bool> {
    if originals {
        app.sync(false).await?;
        app.keep_all(true).await?;
    }
    let missing = app.sync(originals).await?;
    let known = app.timeline("").await?.sequences.len();
    let offline = app.offline_state().await?;
    if output.json {
        output.object(&serde_json::json!({
            "pictures": known,
            "originals": offline.here,
            "original_bytes": offline.bytes,
            "missing_originals": missing,
        }))?;
    } else {
        let here = format!("{} originals ({})", offline.here, size(offline.bytes));
        output.line(format!("{known} pictures, {here}"))?;
    }
    if missing > 0 {
        output.error(format!(
            "{missing} originals could not be fetched; try `imgn sync --originals` again, with -v for the reasons"
        ));
    }
    Ok(missing == 0)
}

pub(crate) async fn list(
    app: &App,
    output: &Output,
    limit: Option<u32>,
    search: Option<String>,
) -> Result<bool> {
    let timeline = app.timeline(&search.unwrap_or_default()).await?;
    let most = limit.map_or(usize::MAX, |limit| {
        usize::try_from(limit).unwrap_or(usize::MAX)
    });
    let wanted = timeline.sequences.len().min(most);
    for sequences in timeline.sequences[..wanted].chunks(BATCH) {
        for picture in app.pictures(sequences).await?.into_iter().flatten() {
            show(app, output, &picture.image).await?;
        }
    }
    Ok(true)
}

pub(crate) async fn cache(app: &App, output: &Output, what: &CacheCommand) -> Result<bool> {
    match what {
        CacheCommand::Stats => {
            let usage = app.cache_usage().await?;
            let limit = app.cache_limit();
            if output.json {
                output.object(&serde_json::json!({
                    "entries": usage.entries,
                    "bytes": usage.bytes,
                    "limit_bytes": limit,
                }))?;
            } else {
                let (bytes, limit) = (size(usage.bytes), size(limit));
                output.line(format!("{} thumbnails, {bytes} of {limit}", usage.entries))?;
            }
        }
        CacheCommand::Clear => app.clear_cache().await?,
    }
    Ok(true)
}
