//! What the catalogue promises, asked of it over each of its databases.

use std::time::Duration;

use imgn_protocol::{FileName, OpenRequest, Sha256, UploadId};
use imgn_testkit::postgres::{PASSWORD, PostgreSql};

use super::{database::sql, *};
use crate::{auth::Caller, auth::Role, config::DatabaseUrl};

/// A catalogue with the token of an uploader, and what it lives on.
struct Case {
    catalogue: Catalogue,
    database: Database,
    _directory: tempfile::TempDir,
    _postgres: Option<PostgreSql>,
}

async fn cases() -> [Case; 2] {
    let directory = tempfile::tempdir().unwrap();
    let postgres = PostgreSql::start().await.unwrap();
    let url = DatabaseUrl::from(postgres.url());
    let database = Database::Postgres {
        url,
        connections: 8,
    };
    let file = Database::File(directory.path().join("catalogue"));
    [
        case(file, directory, None).await,
        case(database, tempfile::tempdir().unwrap(), Some(postgres)).await,
    ]
}

async fn case(
    database: Database,
    directory: tempfile::TempDir,
    postgres: Option<PostgreSql>,
) -> Case {
    let catalogue = Catalogue::open(&database).await.unwrap();
    catalogue.add_token("ada", Role::Uploader).await.unwrap();
    Case {
        catalogue,
        database,
        _directory: directory,
        _postgres: postgres,
    }
}

fn picture() -> Picture {
    Picture {
        width: 3,
        height: 2,
        content_type: "image/jpeg",
        thumbhash: vec![0],
        animated: false,
        taken_at: None,
        camera: Some("C\0mera".to_owned()),
        lens: None,
        exposure: None,
        location: None,
    }
}

async fn verifying(catalogue: &Catalogue, name: &str) -> Upload {
    let request = OpenRequest {
        file_name: FileName::parse(name).unwrap(),
        size: 1,
        sha256: Sha256::of(name.as_bytes()),
        content_type: None,
        checksum_algorithms: vec![],
    };
    let id = UploadId::new();
    let expiry = Expiry {
        url_expires_at: now() + 1000,
        look_at: now() + 1000,
    };
    let opened = catalogue.open_upload(id, 1, &request, None, Some(expiry));
    assert!(matches!(opened.await.unwrap(), Outcome::New(_)));
    assert!(catalogue.url_signed(id, expiry).await.unwrap());
    let upload = catalogue.begin_verifying(id).await.unwrap().unwrap();
    assert_eq!(upload.state, UploadState::Verifying);
    upload
}

fn page(search: &str) -> PageQuery {
    PageQuery {
        before: None,
        from: 0,
        search: Search::new(search),
        limit: 10,
    }
}

#[tokio::test]
async fn pictures_are_published_once_found_and_deleted() {
    for case in cases().await {
        let catalogue = &case.catalogue;
        // Both under verification before either is published.
        let (first, second) = (
            verifying(catalogue, "a.jpg").await,
            verifying(catalogue, "b.jpg").await,
        );
        let twin = verifying(catalogue, "a.jpg").await;
        for (upload, outcome) in [
            (&first, Published::New),
            (&first, Published::New),
            (&second, Published::New),
            (&twin, Published::Duplicate),
        ] {
            let published = catalogue.publish(upload, &picture()).await.unwrap();
            assert_eq!(published, outcome);
        }
        assert_eq!(catalogue.count().await.unwrap(), 2);
        let (rows, more) = catalogue.images(&page("")).await.unwrap();
        let places: Vec<_> = rows.iter().map(|row| row.sequence).collect();
        assert_eq!((places, more), (vec![2, 1], false));
        let (rows, _) = catalogue.images(&page("ADA a.jpg")).await.unwrap();
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0].id, first.image);
        let timeline = catalogue.timeline(&Search::default()).await.unwrap();
        assert_eq!(timeline.sequences, [2, 1]);
        assert_eq!(timeline.ratios, [3072, 3072]);

        let ada = Caller {
            owner: 1,
            role: Role::Uploader,
        };
        let deleted = catalogue.delete_image(first.image, &ada).await.unwrap();
        assert_eq!(deleted, Deletion::Deleted);
        let (entries, _) = catalogue.changes(0, 10).await.unwrap();
        assert!(
            matches!(&entries[..], [ChangeRow::Added(row), ChangeRow::Deleted { sequence: 3, id }]
                if row.id == second.image && *id == first.image),
            "{entries:?}"
        );
        assert_eq!(catalogue.feed().await.unwrap().last, 3);
        assert!(!catalogue.garbage_due(100).await.unwrap().is_empty());
        catalogue.close().await;
    }
}

/// A slower transaction has its place in the feed, and a faster one waits for it: no reader sees the later place first.
#[tokio::test]
async fn the_feed_has_no_hole_that_is_filled_later() {
    for case in cases().await {
        let catalogue = &case.catalogue;
        let (slow, fast) = (
            verifying(catalogue, "slow.jpg").await,
            verifying(catalogue, "fast.jpg").await,
        );
        let mut transaction = catalogue.begin().await.unwrap();
        images::insert_image(&mut transaction, &slow, &picture())
            .await
            .unwrap();
        // As another server would.
        let other = catalogue.clone();
        let mut publishing =
            tokio::spawn(async move { other.publish(&fast, &picture()).await.unwrap() });
        let early = tokio::time::timeout(Duration::from_millis(300), &mut publishing).await;
        assert!(early.is_err(), "it overtook");
        assert_eq!(catalogue.feed().await.unwrap().last, 0);
        transaction.commit().await.unwrap();
        assert_eq!(publishing.await.unwrap(), Published::New);
        let (entries, _) = catalogue.changes(0, 10).await.unwrap();
        let names: Vec<_> = entries
            .iter()
            .map(|entry| match entry {
                ChangeRow::Added(row) => (row.sequence, row.file_name.as_str()),
                ChangeRow::Deleted { .. } => panic!("nothing was deleted"),
            })
            .collect();
        assert_eq!(names, [(1, "slow.jpg"), (2, "fast.jpg")]);
        catalogue.close().await;
    }
}

#[tokio::test]
async fn a_catalogue_is_opened_again_as_it_was_and_its_password_is_not_told() {
    for case in cases().await {
        case.catalogue.close().await;
        let again = Catalogue::open(&case.database).await.unwrap();
        assert_eq!(again.tokens().await.unwrap().len(), 1);
        let feeds: i64 = sql("SELECT count(*) FROM feed")
            .scalar(&again.reader)
            .await
            .unwrap();
        assert_eq!(feeds, 1);
        for told in [case.database.to_string(), format!("{:?}", case.database)] {
            assert!(!told.contains(PASSWORD), "{told}");
        }
        again.close().await;
    }
}
