//! Many rows at a time: a statement for each would take longer on its way to SQLite than in it.

use imgn_protocol::{Image, Timestamp};
use serde::Serialize;
use sqlx::AssertSqlSafe;
use url::Url;

use super::{MirrorError, Sql, blob, is_content_url, is_display_url, signed};

/// Rows that are inserted by one statement.
const ROWS: usize = 250;

pub(super) async fn insert_images(
    transaction: &mut Sql<'_>,
    images: &[&Image],
    base: &Url,
) -> Result<(), MirrorError> {
    const ROW: &str = "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    for images in images.chunks(ROWS) {
        let statement = rows("INSERT OR REPLACE INTO images VALUES ", ROW, images.len());
        let mut query = sqlx::query(AssertSqlSafe(statement)).persistent(images.len() == ROWS);
        for image in images {
            let is_derived = is_content_url(base, image.id, &image.url);
            let display =
                image
                    .display_url
                    .as_deref()
                    .map(|url| match is_display_url(base, image.id, url) {
                        true => "",
                        false => url,
                    });
            query = query
                .bind(signed(image.sequence))
                .bind(blob(image.id))
                .bind(image.file_name.as_str())
                .bind(image.width)
                .bind(image.height)
                .bind(image.content_type.as_str())
                .bind(signed(image.size))
                .bind(&image.sha256.as_bytes()[..])
                .bind(image.thumbhash.as_str())
                .bind(image.animated)
                .bind(image.taken_at.map(Timestamp::as_millisecond))
                .bind(image.created_at.as_millisecond())
                .bind(image.camera.as_deref())
                .bind(image.lens.as_deref())
                .bind(image.exposure.as_ref().map(written).transpose()?)
                .bind(image.location.as_ref().map(written).transpose()?)
                .bind(image.owner.as_str())
                .bind((!is_derived).then_some(image.url.as_str()))
                .bind(display);
        }
        query.execute(&mut **transaction).await?;
    }
    Ok(())
}

fn written(value: &impl Serialize) -> Result<String, MirrorError> {
    serde_json::to_string(value).map_err(|_| MirrorError::Invalid("exposure"))
}

fn rows(insert: &str, row: &str, count: usize) -> String {
    let mut statement = insert.to_owned();
    for n in 0..count {
        if n > 0 {
            statement.push(',');
        }
        statement.push_str(row);
    }
    statement
}
