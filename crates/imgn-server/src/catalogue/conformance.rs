//! What the catalogue promises, asked of it over each of its databases.

use std::time::Duration;

use imgn_protocol::{FileName, OpenRequest, Sha256, UploadId};
use imgn_testkit::{
    postgres::{PASSWORD, PostgreSql},
    process::eventually,
};

use super::{
    database::{either, sql},
    together::Done,
    *,
};
use crate::{
    auth::{Caller, Grant, Role, Scopes},
    config::DatabaseUrl,
};

mod members;
mod orphans;
mod pages;
mod parts;
mod several;
mod together;
mod tokens;
mod uploads;
mod usage;
mod versions;

/// A catalogue with the token of an uploader, and what it lives on.
pub(super) struct Case {
    pub(super) catalogue: Catalogue,
    database: Database,
    _directory: tempfile::TempDir,
    postgres: Option<PostgreSql>,
}

pub(super) async fn cases() -> [Case; 2] {
    [case_of_sqlite().await, case_of_postgres().await]
}

async fn case_of_sqlite() -> Case {
    let directory = tempfile::tempdir().unwrap();
    let file = Database::File(directory.path().join("catalogue"));
    case(file, directory, None).await
}

async fn case_of_postgres() -> Case {
    case_of_postgres_with(8).await
}

async fn case_of_postgres_with(connections: u32) -> Case {
    let postgres = PostgreSql::start().await.unwrap();
    let database = Database::Postgres {
        url: DatabaseUrl::from(postgres.url()),
        connections,
    };
    case(database, tempfile::tempdir().unwrap(), Some(postgres)).await
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
        postgres,
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

fn request(name: &str) -> OpenRequest {
    OpenRequest {
        file_name: FileName::parse(name).unwrap(),
        size: 1,
        sha256: Sha256::of(name.as_bytes()),
        content_type: None,
        checksum_algorithms: vec![],
    }
}

/// So many milliseconds from now.
fn within(milliseconds: i64) -> Expiry {
    Expiry {
        url_expires_at: now() + milliseconds,
        look_at: now() + milliseconds,
    }
}

async fn opened(catalogue: &Catalogue, name: &str, plan: Option<Plan>) -> Upload {
    let id = UploadId::new();
    let request = request(name);
    let opened = catalogue.open_upload(id, 1, &request, plan, Some(within(1000)));
    match opened.await.unwrap() {
        Outcome::New(upload) => *upload,
        other => panic!("{other:?}"),
    }
}

async fn verifying(catalogue: &Catalogue, name: &str) -> Upload {
    let id = opened(catalogue, name, None).await.id;
    assert!(catalogue.url_signed(id, within(1000)).await.unwrap());
    let upload = catalogue.begin_verifying(id).await.unwrap().unwrap();
    assert_eq!(upload.state, UploadState::Verifying);
    upload
}

async fn state(catalogue: &Catalogue, id: UploadId) -> Option<UploadState> {
    let upload = catalogue.upload(id).await.unwrap();
    upload.map(|upload| upload.state)
}

/// Waits until somebody waits for what a transaction holds. With SQLite it is the one connection that can write.
async fn until_one_waits(catalogue: &Catalogue) {
    if !catalogue.has_others() {
        return;
    }
    let waiting = eventually("somebody waits", Duration::from_secs(60), async || {
        let waiting: i64 = sql("SELECT count(*) FROM pg_locks WHERE NOT granted")
            .scalar(&catalogue.reader)
            .await?;
        Ok((waiting > 0).then_some(()))
    });
    waiting.await.unwrap();
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
            (&first, Published::Again),
            (&second, Published::New),
            (&twin, Published::Duplicate(first.image)),
        ] {
            let published = catalogue.publish(upload, &picture()).await.unwrap();
            assert_eq!(published, outcome);
        }
        assert_eq!(catalogue.feed().await.unwrap().images, 2);
        let (rows, more) = catalogue.images(&page("")).await.unwrap();
        let places: Vec<_> = rows.iter().map(|row| row.sequence).collect();
        assert_eq!((places, more), (vec![2, 1], false));
        let (rows, _) = catalogue.images(&page("ADA a.jpg")).await.unwrap();
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0].id, first.image);
        // What means something in a pattern means itself.
        for (words, found) in [
            (".jp", 2),
            ("%", 0),
            ("a_jpg", 0),
            ("\\", 0),
            ("a\\.jpg", 0),
        ] {
            let (rows, _) = catalogue.images(&page(words)).await.unwrap();
            assert_eq!(rows.len(), found, "{words}");
        }
        let timeline = catalogue.timeline(&Search::default()).await.unwrap();
        assert_eq!(timeline.sequences, [2, 1]);
        assert_eq!(timeline.ratios, [3072, 3072]);

        let ada = Caller {
            owner: 1,
            name: "ada".to_owned(),
            role: Role::Uploader,
            scopes: Scopes::ALL,
            origin: None,
            request: None,
        };
        let deleted = catalogue.delete_image(first.image, &ada).await.unwrap();
        assert_eq!(deleted, Deletion::Deleted);
        let (entries, _) = catalogue.changes(0, 10).await.unwrap();
        assert!(
            matches!(&entries[..], [ChangeRow::Added(row), ChangeRow::Deleted { sequence: 3, id }]
                if row.id == second.image && *id == first.image),
            "{entries:?}"
        );
        let feed = catalogue.feed().await.unwrap();
        assert_eq!((feed.last, feed.images), (3, 1));
        let garbage = catalogue.take_garbage(100).await.unwrap();
        assert!(!garbage.is_empty());
        assert!(catalogue.image(first.image).await.unwrap().is_none());
        assert_eq!(state(catalogue, first.id).await, None);
        let again = catalogue.delete_image(first.image, &ada).await.unwrap();
        assert_eq!(again, Deletion::Unknown);
        let bob = Caller {
            owner: 2,
            ..ada.clone()
        };
        let foreign = catalogue.delete_image(second.image, &bob).await.unwrap();
        assert_eq!(foreign, Deletion::NotYours);
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
        let publishing =
            tokio::spawn(async move { other.publish(&fast, &picture()).await.unwrap() });
        until_one_waits(catalogue).await;
        assert!(!publishing.is_finished(), "it overtook");
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
        again.check().await.unwrap();
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
