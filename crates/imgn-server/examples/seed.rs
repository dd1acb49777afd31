//! `cargo run --release -p imgn-server --example seed -- DATA_DIR COUNT [--postgres]`: a catalogue of made-up pictures, for
//! measuring what a large gallery costs its server and those who mirror it. It is a file in the directory, or with
//! `--postgres` the database that `IMGN_DATABASE` names.
//!
//! It has rows and no bytes: thumbnails and originals of these pictures are not found. Names, cameras, days and shapes
//! differ as they do in real galleries. No server runs on it meanwhile. PostgreSQL's index for searches is left out: it
//! takes many times as long as all else, and no page without a search reads it.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use imgn_server::{Config, Role, Server};
use sqlx::{PgPool, SqlitePool, sqlite::SqliteConnectOptions};

/// Ten years of pictures, evenly; a third landscape, a third portrait, the rest of other shapes.
const FILL: &str = "
INSERT INTO images (id, sequence, owner, file_name, width, height, content_type, size, sha256, thumbhash, animated,
                    taken_at, created_at, camera, search)
WITH RECURSIVE
    counted (n) AS (SELECT ?2 + 1 UNION ALL SELECT n + 1 FROM counted WHERE n < ?2 + ?3),
    made AS (
        SELECT n, 1480000000000 + (n - ?2) * (315360000000 / ?3) AS created, abs(random()) AS luck,
            CASE n % 7
                WHEN 0 THEN 'IMG_' || printf('%05d', n % 100000) || '.jpg'
                WHEN 1 THEN 'DSC' || printf('%05d', n % 100000) || '.JPG'
                WHEN 2 THEN 'Screenshot from ' || date(n * 317, 'unixepoch') || '.png'
                WHEN 3 THEN 'holiday beach ' || n || '.heic'
                WHEN 4 THEN 'Übersicht ' || (n % 977) || ' alpine lake.jpg'
                WHEN 5 THEN 'family dinner ' || (n % 9973) || '.jpg'
                ELSE 'P' || printf('%07d', n) || '.webp'
            END AS name,
            CASE n % 6 WHEN 0 THEN 'Canon EOS R6' WHEN 1 THEN 'NIKON D750' WHEN 2 THEN 'Apple iPhone 13'
                WHEN 3 THEN 'FUJIFILM X-T4' WHEN 4 THEN 'SONY ILCE-7M3' END AS camera
        FROM counted)
SELECT printf('%08x-%04x-7%03x-8%03x-%012x', created >> 16, created & 65535, luck & 4095, (luck >> 12) & 4095, n),
    n, ?1, name,
    CASE luck % 9 WHEN 0 THEN 3000 WHEN 1 THEN 3024 WHEN 2 THEN 1920 WHEN 3 THEN 9000 ELSE 4000 + luck % 2000 END,
    CASE luck % 9 WHEN 0 THEN 4000 WHEN 1 THEN 4032 WHEN 2 THEN 1080 WHEN 3 THEN 2000 ELSE 3000 + luck % 1000 END,
    'image/jpeg', 1000000 + luck % 9000000, randomblob(32), randomblob(24), 0, created - luck % 8640000000, created,
    camera,
    lower(name || char(10) || coalesce(camera, '') || char(10) || 'seed' || char(10)
        || strftime('%Y-%m-%d', created / 1000, 'unixepoch'))
FROM made";

/// The same of PostgreSQL.
const POSTGRES_FILL: &str = "
INSERT INTO images (id, sequence, owner, file_name, width, height, content_type, size, sha256, thumbhash, animated,
                    taken_at, created_at, camera, search)
WITH counted AS (
        SELECT n, 1480000000000 + (n - $2) * (315360000000 / $3) AS created, floor(random() * 2147483647)::bigint AS luck
        FROM generate_series($2 + 1, $2 + $3) AS n),
    made AS (
        SELECT n, created, luck,
            CASE n % 7
                WHEN 0 THEN 'IMG_' || lpad((n % 100000)::text, 5, '0') || '.jpg'
                WHEN 1 THEN 'DSC' || lpad((n % 100000)::text, 5, '0') || '.JPG'
                WHEN 2 THEN 'Screenshot from ' || (to_timestamp(n * 317) AT TIME ZONE 'UTC')::date || '.png'
                WHEN 3 THEN 'holiday beach ' || n || '.heic'
                WHEN 4 THEN 'Übersicht ' || (n % 977) || ' alpine lake.jpg'
                WHEN 5 THEN 'family dinner ' || (n % 9973) || '.jpg'
                ELSE 'P' || lpad(n::text, 7, '0') || '.webp'
            END AS name,
            CASE n % 6 WHEN 0 THEN 'Canon EOS R6' WHEN 1 THEN 'NIKON D750' WHEN 2 THEN 'Apple iPhone 13'
                WHEN 3 THEN 'FUJIFILM X-T4' WHEN 4 THEN 'SONY ILCE-7M3' END AS camera
        FROM counted)
SELECT lpad(to_hex(created >> 16), 8, '0') || '-' || lpad(to_hex(created & 65535), 4, '0') || '-7'
        || lpad(to_hex(luck & 4095), 3, '0') || '-8' || lpad(to_hex((luck >> 12) & 4095), 3, '0') || '-'
        || lpad(to_hex(n), 12, '0'),
    n, $1, name,
    CASE luck % 9 WHEN 0 THEN 3000 WHEN 1 THEN 3024 WHEN 2 THEN 1920 WHEN 3 THEN 9000 ELSE 4000 + luck % 2000 END,
    CASE luck % 9 WHEN 0 THEN 4000 WHEN 1 THEN 4032 WHEN 2 THEN 1080 WHEN 3 THEN 2000 ELSE 3000 + luck % 1000 END,
    'image/jpeg', 1000000 + luck % 9000000, sha256((n || ' ' || luck)::bytea),
    substring(sha256((luck || ' ' || n)::bytea) FOR 24), false, created - luck * 4, created, camera,
    lower(name) || chr(10) || lower(coalesce(camera, '')) || chr(10) || 'seed' || chr(10)
        || (to_timestamp(created / 1000) AT TIME ZONE 'UTC')::date
FROM made ORDER BY n";

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let usage = "seed DATA_DIR COUNT [--postgres]";
    let directory = PathBuf::from(arguments.next().context(usage)?);
    let count: i64 = arguments.next().context(usage)?.parse().context(usage)?;
    match arguments.next().as_deref() {
        None => fill_file(&directory, count).await,
        Some("--postgres") => {
            let url = std::env::var("IMGN_DATABASE").context("IMGN_DATABASE")?;
            fill_postgres(&directory, &url, count).await
        }
        Some(_) => anyhow::bail!(usage),
    }
}

/// Makes the catalogue with its one token.
async fn make(config: &Config) -> Result<()> {
    let catalogue = Server::catalogue(config).await?;
    catalogue.add_token("seed", Role::Uploader).await?;
    catalogue.close().await;
    Ok(())
}

async fn fill_file(directory: &Path, count: i64) -> Result<()> {
    make(&Config::embedded(directory)).await?;
    let options = SqliteConnectOptions::new().filename(directory.join("catalogue.sqlite3"));
    let pool = SqlitePool::connect_with(options).await?;
    let mut transaction = pool.begin().await?;
    let (owner, last): (i64, i64) = sqlx::query_as(
        "SELECT (SELECT id FROM tokens WHERE name = 'seed'), coalesce((SELECT max(sequence) FROM changes), 0)",
    )
    .fetch_one(&mut *transaction)
    .await?;
    sqlx::query(FILL)
        .bind(owner)
        .bind(last)
        .bind(count)
        .execute(&mut *transaction)
        .await?;
    sqlx::query(
        "INSERT INTO changes (sequence, kind, image_id)
         SELECT sequence, 'added', id FROM images WHERE sequence > ? ORDER BY sequence",
    )
    .bind(last)
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    pool.close().await;
    Ok(())
}

async fn fill_postgres(directory: &Path, url: &str, count: i64) -> Result<()> {
    let mut config = Config::embedded(directory);
    config.database = Some(url.to_owned().into());
    make(&config).await?;
    let pool = PgPool::connect(url).await?;
    let mut transaction = pool.begin().await?;
    let (owner, last): (i64, i64) =
        sqlx::query_as("SELECT (SELECT id FROM tokens WHERE name = 'seed'), last FROM feed")
            .fetch_one(&mut *transaction)
            .await?;
    sqlx::query("DROP INDEX IF EXISTS images_search")
        .execute(&mut *transaction)
        .await?;
    let filled = sqlx::query(POSTGRES_FILL)
        .bind(owner)
        .bind(last)
        .bind(count)
        .execute(&mut *transaction)
        .await?;
    ensure!(
        filled.rows_affected() == u64::try_from(count)?,
        "not all rows"
    );
    for statement in [
        "INSERT INTO changes (sequence, kind, image_id)
         SELECT sequence, 'added', id FROM images WHERE sequence > (SELECT last FROM feed) ORDER BY sequence",
        "UPDATE feed SET last = (SELECT max(sequence) FROM images), images = (SELECT count(*) FROM images)",
    ] {
        sqlx::query(statement).execute(&mut *transaction).await?;
    }
    transaction.commit().await?;
    // What a database does by itself after a while: without it, it would not know how many rows there are.
    sqlx::query("VACUUM (ANALYZE)").execute(&pool).await?;
    pool.close().await;
    Ok(())
}
