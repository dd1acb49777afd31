//! `doctor` and `history`.

use anyhow::Result;
use imgn_core::{App, Check, Verdict, protocol::UploadId};

use crate::output::Output;

/// What is asked for at a time.
const PAGE: u32 = 200;

/// Answers whether nothing is bad.
pub(crate) async fn doctor(app: &App, output: &Output) -> Result<bool> {
    let checks = imgn_desk::examine(app).await;
    for check in &checks {
        show(output, check)?;
    }
    Ok(checks.iter().all(|check| check.verdict != Verdict::Bad))
}

fn show(output: &Output, check: &Check) -> Result<()> {
    if output.json {
        output.object(check)?;
        return Ok(());
    }
    let (verdict, subject) = (check.verdict.as_str(), check.subject.as_str());
    output.line(format!("{verdict:<8}{subject:<11}{}", check.message))?;
    if !check.advice.is_empty() {
        output.line(format!("{:<19}-> {}", "", check.advice))?;
    }
    Ok(())
}

pub(crate) async fn history(
    app: &App,
    output: &Output,
    limit: Option<u32>,
    search: Option<String>,
) -> Result<bool> {
    let search = search.unwrap_or_default();
    let mut left = limit.unwrap_or(u32::MAX);
    let mut before: Option<UploadId> = None;
    while left > 0 {
        let page = app
            .history_with_paths(&search, before, left.min(PAGE))
            .await?;
        let Some((last, _)) = page.last() else {
            break;
        };
        before = Some(last.upload);
        for (entry, path) in &page {
            left = left.saturating_sub(1);
            let image = &entry.image;
            if output.json {
                output.object(&serde_json::json!({
                    "upload_id": entry.upload,
                    "id": image.id,
                    "file_name": image.file_name,
                    "path": path,
                    "url": image.url,
                    "gallery": entry.gallery,
                    "uploaded_at": entry.uploaded_at.to_string(),
                }))?;
                continue;
            }
            let at = entry.uploaded_at.strftime("%Y-%m-%dT%H:%M:%SZ");
            output.line(format!(
                "{}\t{at}\t{}\t{}",
                image.id, image.url, image.file_name
            ))?;
        }
    }
    Ok(true)
}
