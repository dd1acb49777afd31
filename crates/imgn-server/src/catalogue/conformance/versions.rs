//! Catalogues of every released version: what was written then is found, and goes on, after this server opened it.
//!
//! Rows are written by the SQL of their time and found by today's functions. Invariant: a version that is not listed here does
//! not exist, for each database's last one is today's.

use imgn_protocol::{ChecksumAlgorithm, ImageId, Token};
use sqlx::{
    migrate::Migrator,
    postgres::PgPoolOptions,
    sqlite::{SqliteConnectOptions, SqlitePoolOptions},
};

use super::{
    super::{database::Sql, garbage::Garbage},
    *,
};
use crate::{
    auth::fingerprint,
    catalogue::{Opened, Presented, Sender},
};

const CREATED: i64 = 1_700_000_000_000;
const HOUR: i64 = 60 * 60 * 1000;
const ISSUER: &str = "https://issuer.example";

/// What came with which migration, of SQLite's and of PostgreSQL's.
const PARTS: (i64, i64) = (2, 1);
const FEED: (i64, i64) = (4, 1);
const EXPOSURE: (i64, i64) = (5, 1);
const STAGED: (i64, i64) = (6, 1);
const FEED_COUNTS: (i64, i64) = (8, 2);
const USAGE: (i64, i64) = (9, 4);
const SCOPES: (i64, i64) = (10, 5);
const MEMBERS: (i64, i64) = (11, 6);
const BELOW_OWNER: (i64, i64) = (12, 7);

/// A database of an earlier version.
struct Old {
    pool: Pool,
    version: i64,
}

/// Ids and keys that are the same in each.
fn upload(number: u8) -> UploadId {
    format!("01900000-0000-7000-8000-0000000000{number:02}")
        .parse()
        .unwrap()
}

fn image(number: u8) -> ImageId {
    format!("01900000-0000-7000-8000-0000000001{number:02}")
        .parse()
        .unwrap()
}

fn sum(number: u8) -> Vec<u8> {
    vec![number; 32]
}

fn token() -> Token {
    Token::new("imgn_an-old-token")
}

impl Old {
    fn has(&self, what: (i64, i64)) -> bool {
        self.version
            >= if self.pool.is_postgres() {
                what.1
            } else {
                what.0
            }
    }

    async fn run(&self, statement: Sql) {
        statement.execute(&self.pool).await.unwrap();
    }

    /// What a server of that version had.
    async fn fill(&self) {
        self.run(
            sql("INSERT INTO tokens (name, role, hash, created_at) VALUES ('ada', 'uploader', $1, $2)")
                .bind(&fingerprint(&token()).as_bytes()[..])
                .bind(CREATED),
        )
        .await;
        self.run(
            sql("INSERT INTO tokens (name, role, hash, created_at) VALUES ('ben', 'admin', NULL, $1)").bind(CREATED),
        )
        .await;
        // From the fourth on, the words that it is found by have its owner and the day among them.
        let words = match self.has(FEED) {
            true => "sunset.jpg\na camera\nada\n2023-11-14 november",
            false => "sunset.jpg\na camera",
        };
        let picture = either(
            "INSERT INTO images (id, sequence, owner, file_name, width, height, content_type, size, sha256, thumbhash, animated,
                 created_at, camera, search)
             VALUES ($1, 1, 1, 'Sunset.jpg', 4, 3, 'image/jpeg', 7, $2, $2, 0, $3, 'A camera', $4)",
            "INSERT INTO images (id, sequence, owner, file_name, width, height, content_type, size, sha256, thumbhash, animated,
                 created_at, camera, search)
             VALUES ($1, 1, 1, 'Sunset.jpg', 4, 3, 'image/jpeg', 7, $2, $2, false, $3, 'A camera', $4)",
        );
        let picture = picture.bind(image(1).to_string()).bind(sum(1));
        self.run(picture.bind(CREATED).bind(words)).await;
        let entry = sql("INSERT INTO changes (sequence, kind, image_id) VALUES (1, 'added', $1)");
        self.run(entry.bind(image(1).to_string())).await;
        if self.pool.is_postgres() {
            self.run(sql("UPDATE feed SET last = 1")).await;
        }
        for (number, state) in [
            "published",
            "open",
            "verifying",
            "rejected",
            "aborted",
            "open",
        ]
        .into_iter()
        .enumerate()
        {
            self.upload(u8::try_from(number).unwrap() + 1, state).await;
        }
        let garbage = sql(
            "INSERT INTO garbage (key, url_expires_at, due_at) VALUES ('originals/old', NULL, 0)",
        );
        self.run(garbage).await;
        self.fill_what_came_later().await;
    }

    async fn upload(&self, number: u8, state: &'static str) {
        let insert = sql(
            "INSERT INTO uploads (id, owner, image_id, file_name, size, sha256, state, published_image, rejection_code,
                 rejection_message, url_expires_at, created_at, updated_at)
             VALUES ($1, 1, $2, 'a.jpg', 7, $3, $4, $5, $6, $7, $8, $9, $9)",
        );
        let is_rejected = state == "rejected";
        self.run(
            insert
                .bind(upload(number).to_string())
                .bind(image(number).to_string())
                .bind(sum(number))
                .bind(state)
                .bind((state == "published").then(|| image(number).to_string()))
                .bind(is_rejected.then_some("not_a_picture"))
                .bind(is_rejected.then_some("It is none."))
                .bind(now() + HOUR)
                .bind(now()),
        )
        .await;
    }

    async fn fill_what_came_later(&self) {
        if self.has(PARTS) {
            let parts = either(
                "UPDATE uploads SET part_size = 5, part_count = 2, checksum_algorithm = 'crc32c', remembers_sums = 1,
                     multipart_id = 'of the store' WHERE id = $1",
                "UPDATE uploads SET part_size = 5, part_count = 2, checksum_algorithm = 'crc32c', remembers_sums = true,
                     multipart_id = 'of the store' WHERE id = $1",
            );
            self.run(parts.bind(upload(6).to_string())).await;
            let signed =
                sql("INSERT INTO signed_parts (upload_id, number, checksum) VALUES ($1, 2, $2)");
            self.run(signed.bind(upload(6).to_string()).bind(vec![1, 2, 3, 4]))
                .await;
        }
        if self.has(EXPOSURE) {
            self.run(sql("UPDATE images SET lens = 'A lens'")).await;
        }
        if self.has(STAGED) {
            let staged = either(
                "INSERT INTO staged (id, owner, image_id, file_name, in_parts, url_expires_at, look_at, created_at)
                 VALUES ($1, 1, $2, 'b.jpg', 0, $3, 1, $4)",
                "INSERT INTO staged (id, owner, image_id, file_name, in_parts, url_expires_at, look_at, created_at)
                 VALUES ($1, 1, $2, 'b.jpg', false, $3, 1, $4)",
            );
            let staged = staged
                .bind(upload(7).to_string())
                .bind(image(7).to_string());
            self.run(staged.bind(now() + HOUR).bind(now())).await;
        }
        if self.has(BELOW_OWNER) {
            let below = either(
                "UPDATE staged SET below_owner = 1",
                "UPDATE staged SET below_owner = true",
            );
            self.run(below).await;
        }
        if self.has(FEED_COUNTS) {
            self.run(sql("UPDATE feed SET images = 1")).await;
        }
        if self.has(USAGE) {
            let used =
                sql("INSERT INTO usage (who, day, pictures, bytes) VALUES ('user:1', $1, 3, 30)");
            self.run(used.bind(now().div_euclid(24 * HOUR))).await;
        }
        if self.has(SCOPES) {
            self.run(sql(
                "UPDATE tokens SET scopes = 'upload' WHERE name = 'ada'",
            ))
            .await;
        }
        if self.has(MEMBERS) {
            let member = sql(
                "INSERT INTO tokens (name, role, hash, created_at, subject) VALUES ('oidc:cy', 'uploader', NULL, 1, $1)",
            );
            self.run(member.bind(format!("{ISSUER} cy"))).await;
        }
    }

    /// All of it, as today's functions find it.
    async fn is_found_in(&self, catalogue: &Catalogue) {
        match catalogue.caller(&fingerprint(&token())).await.unwrap() {
            Presented::Valid(caller) => {
                assert_eq!((caller.owner, caller.name.as_str()), (1, "ada"));
                assert_eq!(caller.scopes.delete, !self.has(SCOPES));
            }
            other => panic!("{other:?}"),
        }
        let names: Vec<_> = catalogue.tokens().await.unwrap();
        assert_eq!(names.len(), 1);
        for words in ["", "sunset", "ADA november", "camera"] {
            let (rows, _) = catalogue.images(&page(words)).await.unwrap();
            assert_eq!(rows.len(), 1, "{words:?}");
            let row = &rows[0];
            assert_eq!((row.id, row.sequence, row.size), (image(1), 1, 7));
            assert_eq!((row.width, row.height, row.animated), (4, 3, false));
            assert_eq!(row.sha256.as_bytes()[..], sum(1));
            assert_eq!(row.owner, "ada");
            assert_eq!(row.lens.is_some(), self.has(EXPOSURE));
        }
        let feed = catalogue.feed().await.unwrap();
        assert_eq!((feed.last, feed.images, feed.id.len()), (1, 1, 32));
        let (entries, _) = catalogue.changes(0, 10).await.unwrap();
        assert!(matches!(&entries[..], [ChangeRow::Added(row)] if row.id == image(1)));
        let all = [
            UploadState::Published(image(1)),
            UploadState::Open,
            UploadState::Verifying,
            UploadState::Rejected(imgn_protocol::Rejection {
                code: imgn_protocol::ErrorCode::NotAPicture,
                message: "It is none.".to_owned(),
            }),
            UploadState::Aborted,
            UploadState::Open,
        ];
        for (number, expected) in (1..).zip(all) {
            assert_eq!(state(catalogue, upload(number)).await, Some(expected));
        }
        let garbage: Vec<Garbage> = catalogue.take_garbage(10).await.unwrap();
        let keys: Vec<_> = garbage.iter().map(|garbage| garbage.key.as_str()).collect();
        assert_eq!(keys, ["originals/old"]);
        if self.has(USAGE) {
            assert_eq!(catalogue.used(&Sender::from(1)).await, (3, 30));
        }
        if self.has(MEMBERS) {
            let member = catalogue.member(ISSUER, "cy").await.unwrap();
            assert_eq!(member, (3, "oidc:cy".to_owned()));
        }
    }

    /// What was under way comes to its end.
    async fn goes_on_in(&self, catalogue: &Catalogue) {
        assert_eq!(catalogue.verifying(10).await.unwrap(), [upload(3)]);
        assert!(catalogue.url_signed(upload(2), within(HOUR)).await.unwrap());
        let parts = catalogue.upload(upload(6)).await.unwrap().unwrap();
        if self.has(PARTS) {
            let plan = parts.plan.unwrap();
            assert_eq!((plan.part_size, plan.part_count), (5, 2));
            assert_eq!(parts.multipart.as_deref(), Some("of the store"));
            let sums = catalogue.signed_parts(upload(6), ChecksumAlgorithm::Crc32c);
            let sums = sums.await.unwrap();
            assert_eq!(sums.len(), 1);
            assert_eq!((sums[0].0, sums[0].1.to_bytes()), (2, vec![1, 2, 3, 4]));
        } else {
            assert_eq!(parts.plan, None);
        }
        let mut pictures = 1;
        for number in [2, 3, 6] {
            if number != 3 {
                catalogue.begin_verifying(upload(number)).await.unwrap();
            }
            let looked_at = catalogue.upload(upload(number)).await.unwrap().unwrap();
            let published = catalogue.publish(&looked_at, &picture()).await.unwrap();
            assert_eq!(published, Published::New, "{number}");
            pictures += 1;
        }
        if self.has(STAGED) {
            let due = catalogue.take_staged_due(10).await.unwrap();
            assert_eq!(due.len(), 1);
            assert_eq!((due[0].id, due[0].image), (upload(7), image(7)));
            // Where the URL leads that somebody had then.
            let key = match self.has(BELOW_OWNER) {
                true => format!("staged/1/{}", upload(7)),
                false => format!("staged/{}", upload(7)),
            };
            assert_eq!(due[0].key(), key);
            let opened = catalogue
                .open_staged(&due[0], &request("b.jpg"), within(0))
                .await;
            let Opened::Open(opened) = opened.unwrap() else {
                panic!("it is expected");
            };
            let adopted = catalogue.adopt_staged(&opened).await.unwrap().unwrap();
            let published = catalogue.publish(&adopted, &picture()).await.unwrap();
            assert_eq!(published, Published::New);
            pictures += 1;
        }
        let feed = catalogue.feed().await.unwrap();
        assert_eq!((feed.last, feed.images), (pictures, pictures));
        opened(catalogue, "new.jpg", None).await;
    }
}

async fn each_version(migrator: Migrator, begin: impl AsyncFn(i64) -> (Old, Database)) {
    let versions: Vec<i64> = migrator.iter().map(|migration| migration.version).collect();
    let newest = versions.iter().max().copied();
    assert!(
        newest == Some(BELOW_OWNER.0) || newest == Some(BELOW_OWNER.1),
        "a version that is not listed here"
    );
    for version in versions {
        let (old, database) = begin(version).await;
        old.fill().await;
        old.pool.close().await;
        let catalogue = Catalogue::open(&database).await.unwrap();
        old.is_found_in(&catalogue).await;
        old.goes_on_in(&catalogue).await;
        catalogue.close().await;
    }
}

#[tokio::test]
async fn what_sqlite_had_in_every_released_version_is_found_and_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    each_version(sqlx::migrate!("./migrations"), async |version| {
        let file = directory.path().join(version.to_string());
        let options = SqliteConnectOptions::new()
            .filename(&file)
            .create_if_missing(true);
        let pool = SqlitePoolOptions::new().max_connections(1);
        let pool = pool.connect_with(options.foreign_keys(true)).await.unwrap();
        let migrator = sqlx::migrate!("./migrations");
        migrator.run_to(version, &pool).await.unwrap();
        let pool = Pool::Sqlite(pool);
        (Old { pool, version }, Database::File(file))
    })
    .await;
}

#[tokio::test]
async fn what_a_newer_server_wrote_is_left_alone() {
    for case in cases().await {
        case.catalogue.close().await;
        let tomorrow = either(
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
             VALUES (9999, 'of tomorrow', 1, x'00', 0)",
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
             VALUES (9999, 'of tomorrow', true, '\\x00', 0)",
        );
        let pool = raw(&case.database).await;
        tomorrow.execute(&pool).await.unwrap();
        pool.close().await;
        let opened = Catalogue::open(&case.database).await.map(drop);
        let looked = Catalogue::look(&case.database).await.map(drop);
        for refused in [opened, looked] {
            let error = refused.unwrap_err().to_string();
            assert!(
                error.contains("newer imgn-server (migration 9999)"),
                "{error}"
            );
        }
    }
}

/// The database as it is, whatever its version.
async fn raw(database: &Database) -> Pool {
    match database {
        Database::File(file) => {
            let options = SqliteConnectOptions::new().filename(file);
            Pool::Sqlite(
                SqlitePoolOptions::new()
                    .connect_with(options)
                    .await
                    .unwrap(),
            )
        }
        Database::Postgres { url, .. } => Pool::Postgres(
            PgPoolOptions::new()
                .connect(url.expose())
                .await
                .unwrap()
                .into(),
        ),
        Database::Url(url) => panic!("{url} is in no case"),
    }
}

#[tokio::test]
async fn what_postgresql_had_in_every_released_version_is_found_and_goes_on() {
    let postgres = PostgreSql::start().await.unwrap();
    let whole = PgPoolOptions::new().max_connections(1);
    let whole = Pool::Postgres(whole.connect(&postgres.url()).await.unwrap().into());
    each_version(sqlx::migrate!("./migrations/postgres"), async |version| {
        // One database for all of them, which each finds empty.
        for text in ["DROP SCHEMA public CASCADE", "CREATE SCHEMA public"] {
            sql(text).execute(&whole).await.unwrap();
        }
        let pool = PgPoolOptions::new().max_connections(1);
        let pool = pool.connect(&postgres.url()).await.unwrap();
        let migrator = sqlx::migrate!("./migrations/postgres");
        migrator.run_to(version, &pool).await.unwrap();
        let pool = Pool::Postgres(pool.into());
        let database = Database::Postgres {
            url: DatabaseUrl::from(postgres.url()),
            connections: 4,
        };
        (Old { pool, version }, database)
    })
    .await;
    whole.close().await;
}
