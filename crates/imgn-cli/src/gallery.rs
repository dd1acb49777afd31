//! `list`, `get`, `delete` and `link`.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
};

use anyhow::Result;
use imgn_core::{
    App, CommandError, FailedDeletion, ImageQuery, link,
    protocol::{ErrorCode, Image, ImageId, Sha256},
};
use serde::Serialize;

use crate::{
    args::Format,
    output::{Output, size, told},
};

/// What is asked for at a time.
const PAGE: u32 = 100;

#[derive(Serialize)]
struct ListedImage<'a> {
    id: ImageId,
    file_name: &'a str,
    width: u32,
    height: u32,
    content_type: &'a str,
    size: u64,
    sha256: Sha256,
    created_at: String,
    url: &'a str,
    thumb_cached: bool,
}

pub(crate) async fn list(
    app: &App,
    output: &Output,
    limit: Option<u32>,
    search: Option<String>,
) -> Result<bool> {
    let mut left = limit.unwrap_or(u32::MAX);
    let mut cursor = None;
    while left > 0 {
        let query = ImageQuery {
            search: search.clone(),
            cursor,
            limit: left.min(PAGE),
        };
        let page = app.images(query).await?;
        for image in page.images.iter().take(left as usize) {
            show(app, output, image).await?;
            left -= 1;
        }
        cursor = page.next_cursor;
        if cursor.is_none() || page.images.is_empty() {
            break;
        }
    }
    Ok(true)
}

pub(crate) async fn show(app: &App, output: &Output, image: &Image) -> Result<()> {
    if output.json {
        output.object(&ListedImage {
            id: image.id,
            file_name: image.file_name.as_str(),
            width: image.width,
            height: image.height,
            content_type: &image.content_type,
            size: image.size,
            sha256: image.sha256,
            created_at: image.created_at.to_string(),
            url: &image.url,
            thumb_cached: app.has_thumb(image.id).await,
        })?;
        return Ok(());
    }
    let dimensions = format!("{}x{}", image.width, image.height);
    let bytes = size(image.size);
    if output.is_terminal() {
        let zoned = image.created_at.to_zoned(jiff::tz::TimeZone::system());
        let time = zoned.strftime("%Y-%m-%d %H:%M");
        output.line(format!(
            "{}  {dimensions:>11}  {bytes:>8}  {time}  {}",
            image.id, image.file_name
        ))?;
    } else {
        let time = image.created_at.strftime("%Y-%m-%dT%H:%M:%SZ");
        output.line(format!(
            "{}\t{dimensions}\t{} B\t{time}\t{}",
            image.id, image.size, image.file_name
        ))?;
    }
    Ok(())
}

pub(crate) async fn get(
    app: &App,
    output: &Output,
    id: ImageId,
    to: Option<PathBuf>,
) -> Result<bool> {
    if to.as_deref() == Some(Path::new("-")) {
        return get_to_standard_output(app, id).await;
    }
    let replace = to.is_some();
    let to = match to {
        Some(to) => to,
        // A file name holds no path, whatever the server says.
        None => PathBuf::from(app.image(id).await?.file_name.as_str()),
    };
    let image = app.download(id, to.clone(), replace).await?;
    if output.json {
        output.object(&serde_json::json!({ "id": id, "path": to, "size": image.size, "sha256": image.sha256 }))?;
    } else {
        output.line(to.display())?;
    }
    Ok(true)
}

/// Nothing is written before every byte was checked, so that a pipe never gets half a picture.
async fn get_to_standard_output(app: &App, id: ImageId) -> Result<bool> {
    let image = app.image(id).await?;
    let (_, bytes) = app.original(id).await?;
    if Sha256::of(&bytes) != image.sha256 {
        let message = format!(
            "what arrived of {} is not the original; try again",
            image.file_name
        );
        return Err(CommandError::new(ErrorCode::ChecksumMismatch, message).into());
    }
    let mut out = std::io::stdout().lock();
    out.write_all(&bytes)?;
    out.flush()?;
    Ok(true)
}

pub(crate) async fn delete(app: &App, output: &Output, ids: Vec<ImageId>) -> Result<bool> {
    let done = app.delete_images(ids).await?;
    for FailedDeletion { id, error } in &done.failed {
        output.error(format!("{id}: {}", told(error.code, &error.message)));
    }
    if !done.queued.is_empty() {
        let count = done.queued.len();
        output.note(format!(
            "the server does not answer; {count} to delete when it does, by the app or `imgn sync`"
        ));
    }
    if output.json {
        let error = |id| done.failed.iter().find(|failed| failed.id == id);
        let all = [&done.deleted, &done.queued].into_iter().flatten().copied();
        for id in all.chain(done.failed.iter().map(|failed| failed.id)) {
            output.object(&serde_json::json!({
                "id": id,
                "deleted": done.deleted.contains(&id),
                "queued": done.queued.contains(&id),
                "error": error(id).map(|failed| &failed.error),
            }))?;
        }
    }
    Ok(done.failed.is_empty())
}

pub(crate) async fn print_link(
    app: &App,
    output: &Output,
    id: ImageId,
    format: &Format,
) -> Result<bool> {
    let image = app.image(id).await?;
    let text = link(&image, format.alt.as_deref(), &format.format);
    if output.json {
        output.object(&serde_json::json!({ "id": id, "link": text }))?;
    } else {
        output.line(text)?;
    }
    Ok(true)
}
