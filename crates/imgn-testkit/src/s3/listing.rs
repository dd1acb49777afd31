//! Listings: order, pages, prefixes, groups.

use anyhow::{Result, ensure};
use aws_sdk_s3::types::EncodingType;
use futures_util::future::try_join_all;

use super::{Case, Context, case};

pub(super) const CASES: &[Case] = &[
    case!(
        pages,
        "a listing is ordered, whole and without doubles, whatever the page size"
    ),
    case!(groups, "keys are grouped by a delimiter, also across pages"),
    case!(start_after, "a listing starts after a key"),
    case!(rows, "a row has size, entity tag and time"),
    case!(encoded, "keys can be listed percent-encoded"),
    case!(version_one, "the older listing gives the same keys"),
    case!(empty, "a prefix without keys"),
];

/// Keys and groups (with a `*`) of all pages.
async fn walk(c: &Context, delimiter: Option<&str>, size: i32) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let mut token = None;
    loop {
        let list = c
            .client
            .list_objects_v2()
            .bucket(c.bucket())
            .prefix(&c.prefix)
            .max_keys(size);
        let list = list
            .set_delimiter(delimiter.map(Into::into))
            .set_continuation_token(token);
        let page = list.send().await?;
        let rows = page.contents().len() + page.common_prefixes().len();
        ensure!(
            rows <= usize::try_from(size)?,
            "{rows} rows on a page of {size}"
        );
        let strip = |name: &str| name.strip_prefix(&c.prefix).unwrap_or(name).to_owned();
        let mut of_page: Vec<_> = page
            .contents()
            .iter()
            .filter_map(|object| object.key())
            .map(strip)
            .collect();
        let groups = page
            .common_prefixes()
            .iter()
            .filter_map(|group| group.prefix());
        of_page.extend(groups.map(|group| format!("{}*", strip(group))));
        of_page.sort();
        found.extend(of_page);
        token = page.next_continuation_token().map(Into::into);
        ensure!(page.is_truncated() == Some(token.is_some()));
        if token.is_none() {
            return Ok(found);
        }
    }
}

async fn fill(c: &Context, keys: &[&str]) -> Result<()> {
    let puts = keys
        .iter()
        .map(|key| async { c.put(&c.key(key), *key).await });
    try_join_all(puts).await?;
    Ok(())
}

async fn pages(c: Context) -> Result<()> {
    let keys: Vec<_> = (0..57).map(|at| format!("{:03}", at * 7 % 57)).collect();
    fill(&c, &keys.iter().map(String::as_str).collect::<Vec<_>>()).await?;
    let expected: Vec<_> = (0..57).map(|at| format!("{at:03}")).collect();
    for size in [1, 10, 19, 57, 1000] {
        let found = walk(&c, None, size).await?;
        ensure!(found == expected, "pages of {size}: {found:?}");
    }
    Ok(())
}

async fn groups(c: Context) -> Result<()> {
    fill(
        &c,
        &["a/1", "a/2", "a/3", "b", "c/x/1", "c/x/2", "c/y", "d"],
    )
    .await?;
    for size in [1, 2, 3, 100] {
        let found = walk(&c, Some("/"), size).await?;
        ensure!(
            found == ["a/*", "b", "c/*", "d"],
            "pages of {size}: {found:?}"
        );
    }
    Ok(())
}

async fn start_after(c: Context) -> Result<()> {
    fill(&c, &["a", "b", "c"]).await?;
    let list = c
        .client
        .list_objects_v2()
        .bucket(c.bucket())
        .prefix(&c.prefix);
    let page = list.start_after(c.key("a")).send().await?;
    let keys: Vec<_> = page
        .contents()
        .iter()
        .filter_map(|object| object.key())
        .collect();
    ensure!(keys == [c.key("b"), c.key("c")], "{keys:?}");
    Ok(())
}

async fn rows(c: Context) -> Result<()> {
    let etag = c.put(&c.key("object"), "twelve bytes").await?;
    let page = c
        .client
        .list_objects_v2()
        .bucket(c.bucket())
        .prefix(&c.prefix)
        .send()
        .await?;
    ensure!(page.key_count() == Some(1) && page.is_truncated() == Some(false));
    let row = &page.contents()[0];
    ensure!(row.size() == Some(12) && row.e_tag() == Some(&etag) && row.last_modified().is_some());
    Ok(())
}

async fn encoded(c: Context) -> Result<()> {
    c.put(&c.key("a b+ä"), "x").await?;
    let list = c
        .client
        .list_objects_v2()
        .bucket(c.bucket())
        .prefix(&c.prefix);
    let page = list.encoding_type(EncodingType::Url).send().await?;
    let key = page.contents()[0]
        .key()
        .unwrap_or_default()
        .replace('+', "%20");
    ensure!(key.ends_with("/a%20b%2B%C3%A4"), "{key}");
    Ok(())
}

async fn version_one(c: Context) -> Result<()> {
    fill(&c, &["a/1", "a/2", "b", "c", "d/1"]).await?;
    let mut found = Vec::new();
    let mut marker = None;
    loop {
        let list = c
            .client
            .list_objects()
            .bucket(c.bucket())
            .prefix(&c.prefix)
            .max_keys(2)
            .delimiter("/");
        let page = list.set_marker(marker).send().await?;
        found.extend(
            page.contents()
                .iter()
                .filter_map(|object| object.key())
                .map(ToOwned::to_owned),
        );
        found.extend(
            page.common_prefixes()
                .iter()
                .filter_map(|group| group.prefix())
                .map(ToOwned::to_owned),
        );
        marker = page.next_marker().map(Into::into);
        if page.is_truncated() != Some(true) {
            break;
        }
    }
    found.sort();
    let expected = ["a/", "b", "c", "d/"].map(|name| c.key(name));
    ensure!(found == expected, "{found:?}");
    Ok(())
}

async fn empty(c: Context) -> Result<()> {
    let page = c
        .client
        .list_objects_v2()
        .bucket(c.bucket())
        .prefix(&c.prefix)
        .send()
        .await?;
    ensure!(page.contents().is_empty() && page.is_truncated() != Some(true));
    Ok(())
}
