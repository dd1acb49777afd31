//! Pages of a large gallery: what each of them reads does not grow with it.

use std::time::Instant;

use super::*;

/// Pictures in a page here.
const PAGE: u32 = 100;

/// Puts pictures into an empty gallery, as if each had been published, and lets PostgreSQL look at what it has.
async fn fill(catalogue: &Catalogue, count: i64) {
    const AT_A_TIME: i64 = 500_000;
    let postgres = catalogue.has_others();
    for from in (1..=count).step_by(usize::try_from(AT_A_TIME).unwrap()) {
        let to = count.min(from + AT_A_TIME - 1);
        for statement in [
            either(
                "WITH RECURSIVE n(n) AS (SELECT $1 UNION ALL SELECT n + 1 FROM n WHERE n < $2)
                 INSERT INTO images (id, sequence, owner, file_name, width, height, content_type, size, sha256, thumbhash,
                     animated, created_at, camera, search)
                 SELECT printf('01900000-0000-7000-8000-%012x', n), n, 1, 'picture ' || n || '.jpg', 4000, 3000,
                     'image/jpeg', 3000000, randomblob(32), randomblob(25), 0, 1700000000000 + 1000 * n, 'A camera',
                     'picture ' || n || '.jpg' || char(10) || 'a camera' || char(10) || '2026-11-26 november' || char(10) || 'ada'
                 FROM n",
                "INSERT INTO images (id, sequence, owner, file_name, width, height, content_type, size, sha256, thumbhash,
                     animated, created_at, camera, search)
                 SELECT '01900000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'), n, 1, 'picture ' || n || '.jpg', 4000, 3000,
                     'image/jpeg', 3000000, sha256(n::text::bytea), substr(sha256(n::text::bytea), 1, 25), false,
                     1700000000000 + 1000 * n, 'A camera',
                     'picture ' || n || E'.jpg\na camera\n2026-11-26 november\nada'
                 FROM generate_series($1::bigint, $2::bigint) AS n",
            ),
            sql(
                "INSERT INTO changes (sequence, kind, image_id)
                 SELECT sequence, 'added', id FROM images WHERE sequence BETWEEN $1 AND $2",
            ),
        ] {
            statement
                .bind(from)
                .bind(to)
                .execute(&catalogue.writer)
                .await
                .unwrap();
        }
    }
    either(
        "UPDATE feed SET images = $1",
        "UPDATE feed SET images = $1, last = $1",
    )
    .bind(count)
    .execute(&catalogue.writer)
    .await
    .unwrap();
    if postgres {
        sql("ANALYZE").execute(&catalogue.writer).await.unwrap();
    }
}

/// What clients ask for of a gallery of so many pictures; `n` says which of them, from anywhere in it.
async fn ask(catalogue: &Catalogue, what: &str, count: u64, n: u64) {
    let anywhere = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) % (count - u64::from(PAGE));
    let (wanted, found) = match what {
        "newest page" | "page" | "range" => {
            let query = PageQuery {
                before: (what == "page").then_some(anywhere + u64::from(PAGE) + 1),
                from: if what == "range" { anywhere + 1 } else { 0 },
                limit: PAGE,
                ..page("")
            };
            (
                PAGE as usize,
                catalogue.images(&query).await.unwrap().0.len(),
            )
        }
        "first changes" | "changes" => {
            let since = if what == "changes" { anywhere } else { 0 };
            assert_eq!(catalogue.feed().await.unwrap().images, count);
            let changes = catalogue.changes(since, PAGE).await.unwrap();
            (PAGE as usize, changes.0.len())
        }
        "search" => {
            // As long a number as the last one, so that few others contain it.
            let number = count - 1 - anywhere % (count / 3);
            let query = page(&format!("picture {number}.jpg"));
            (1, catalogue.images(&query).await.unwrap().0.len().min(1))
        }
        _ => {
            let id = format!("01900000-0000-7000-8000-{:012x}", anywhere + 1);
            let image = catalogue.image(id.parse().unwrap()).await.unwrap();
            (1, usize::from(image.is_some()))
        }
    };
    assert_eq!(found, wanted, "{what}");
}

const QUESTIONS: [&str; 7] = [
    "newest page",
    "page",
    "range",
    "first changes",
    "changes",
    "picture",
    "search",
];

/// PostgreSQL decides by itself how it reads, also after it has met a statement a few times; it counts what it read.
#[tokio::test]
async fn a_page_reads_its_own_rows_however_many_there_are() {
    const COUNT: i64 = 30_000;
    let case = case_of_postgres_with(1).await;
    let catalogue = &case.catalogue;
    fill(catalogue, COUNT).await;
    let read = async || -> i64 {
        // In the connection that read: it tells by the way what it has counted.
        sql("SELECT pg_stat_force_next_flush()::text IS NULL")
            .execute(&catalogue.reader)
            .await
            .unwrap();
        sql(
            "SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::bigint FROM pg_stat_user_tables
             WHERE relname IN ('images', 'changes')",
        )
        .scalar(&catalogue.reader)
        .await
        .unwrap()
    };
    for what in QUESTIONS {
        for n in 0..8 {
            let before = read().await;
            ask(catalogue, what, COUNT.unsigned_abs(), n).await;
            let rows = read().await - before;
            // A page and one more, which says that there is another; of changes, with the picture of each, and a few beside.
            let most = 3 * (i64::from(PAGE) + 1);
            assert!((1..=most).contains(&rows), "{what}: {rows} rows");
        }
    }
    catalogue.close().await;
}

/// Not a test: prints how long each takes, of a thousand and of many (`IMGN_TEST_ROWS`, ten million). With both databases
/// these fill 12 GB.
#[tokio::test]
#[ignore = "measures, and takes a quarter of an hour"]
#[expect(clippy::print_stdout, reason = "its figures are what it is for")]
async fn measure_pages() {
    const TIMES: usize = 400;
    let many = std::env::var("IMGN_TEST_ROWS").map_or(10_000_000, |rows| rows.parse().unwrap());
    for kind in 0..2 {
        for count in [1_000_i64, many] {
            let case = match kind {
                0 => case_of_postgres_with(4).await,
                _ => case_of_sqlite().await,
            };
            let catalogue = &case.catalogue;
            let start = Instant::now();
            fill(catalogue, count).await;
            println!("{}: {count} rows in {:?}", case.database, start.elapsed());
            for what in QUESTIONS {
                let mut took = Vec::with_capacity(TIMES);
                for n in 0..TIMES {
                    let start = Instant::now();
                    ask(catalogue, what, count.unsigned_abs(), n as u64).await;
                    took.push(start.elapsed());
                }
                took.sort();
                let (middle, late) = (took[TIMES / 2], took[TIMES * 99 / 100]);
                println!("  {what:14} median {middle:?}, 99th percentile {late:?}");
            }
            let start = Instant::now();
            let query = PageQuery {
                limit: PAGE,
                ..page("no-such-picture")
            };
            assert!(catalogue.images(&query).await.unwrap().0.is_empty());
            println!("  {:14} {:?}", "search in vain", start.elapsed());
            catalogue.close().await;
        }
    }
}
