//! Writes that are carried out together: each is answered for itself.

use super::*;

const OPENED: usize = 300;

/// Many at once, among them such as fail, are refused or were there already; whatever SQLite writes together.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_becomes_of_one_changes_nothing_for_those_beside_it() {
    for case in cases().await {
        let catalogue = &case.catalogue;
        let first = opened(catalogue, "first.jpg", None).await;
        let mut all = tokio::task::JoinSet::new();
        for number in 0..OPENED {
            let (catalogue, first) = (catalogue.clone(), first.clone());
            all.spawn(async move {
                let new = request(&format!("{number}.jpg"));
                let (id, owner, announced) = match number % 5 {
                    // Nobody is the owner 7.
                    0 => (UploadId::new(), 7, new),
                    1 => (first.id, 1, new),
                    2 => (first.id, 1, first.announced),
                    _ => (UploadId::new(), 1, new),
                };
                let opening = catalogue.open_upload(id, owner, &announced, None, None);
                let outcome = opening.await;
                match number % 5 {
                    0 => assert!(outcome.is_err(), "{outcome:?}"),
                    1 => assert!(matches!(outcome, Ok(Outcome::Conflict)), "{outcome:?}"),
                    2 => assert!(matches!(outcome, Ok(Outcome::Known(_))), "{outcome:?}"),
                    _ => {
                        assert!(matches!(outcome, Ok(Outcome::New(_))), "{outcome:?}");
                        // It is there when it is answered.
                        let found = catalogue.upload(id).await.unwrap();
                        assert_eq!(found.map(|found| found.announced), Some(announced));
                    }
                }
            });
        }
        all.join_all().await;
        let open = catalogue.open_uploads().await.unwrap();
        assert_eq!(open as usize, 1 + OPENED / 5 * 2);
        catalogue.close().await;
    }
}

/// Statements of which a later one returns nothing leave nothing of the earlier ones.
#[tokio::test]
async fn all_is_done_or_nothing() {
    for case in cases().await {
        let catalogue = &case.catalogue;
        let named =
            |name: &str| sql("UPDATE tokens SET name = $1 WHERE id = 1 RETURNING id").bind(name);
        let none = || sql("UPDATE tokens SET name = 'eve' WHERE id = 9 RETURNING id");
        let fails = || sql("UPDATE tokens SET role = 'none' WHERE id = 1 RETURNING id");
        let done = catalogue.all_or_nothing(vec![named("ben"), none()]).await;
        assert_eq!(done.unwrap(), Done::NotFrom(1));
        let done = catalogue.all_or_nothing(vec![none(), named("ben")]).await;
        assert_eq!(done.unwrap(), Done::NotFrom(0));
        let failed = catalogue.all_or_nothing(vec![named("ben"), fails()]).await;
        assert!(failed.is_err());
        assert_eq!(catalogue.owner_name(1).await.unwrap(), "ada");
        let done = catalogue
            .all_or_nothing(vec![named("ben"), named("cy")])
            .await;
        assert_eq!(done.unwrap(), Done::All);
        assert_eq!(catalogue.owner_name(1).await.unwrap(), "cy");
        catalogue.close().await;
    }
}

/// Who has hung up is not answered; what was handed in is done, also when the catalogue is closed at that moment.
#[tokio::test]
async fn what_was_handed_in_is_done_before_the_catalogue_is_closed() {
    let case = case_of_sqlite().await;
    let catalogue = &case.catalogue;
    let ids: Vec<_> = (0..40).map(|_| UploadId::new()).collect();
    for (number, id) in ids.iter().enumerate() {
        let announced = request(&format!("{number}.jpg"));
        let mut opening = Box::pin(catalogue.open_upload(*id, 1, &announced, None, None));
        let handed_in = futures_util::poll!(&mut opening);
        assert!(handed_in.is_pending());
        drop(opening);
    }
    catalogue.close().await;
    let closed = catalogue.url_signed(ids[0], within(1000)).await;
    assert!(
        matches!(closed, Err(CatalogueError::Unreachable(_))),
        "{closed:?}"
    );
    let again = Catalogue::open(&case.database).await.unwrap();
    for id in ids {
        assert_eq!(state(&again, id).await, Some(UploadState::Open));
    }
    again.close().await;
}

/// Another program, as the commands on tokens are, may hold the database for a while.
#[tokio::test]
async fn whoever_writes_waits_for_other_programs() {
    let case = case_of_sqlite().await;
    let catalogue = &case.catalogue;
    let Database::File(file) = &case.database else {
        panic!("a file");
    };
    let other = rusqlite::Connection::open(file).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let (id, announced) = (UploadId::new(), request("a.jpg"));
    let mut opening = Box::pin(catalogue.open_upload(id, 1, &announced, None, None));
    let waiting = tokio::time::timeout(Duration::from_millis(50), &mut opening).await;
    assert!(waiting.is_err());
    other.execute_batch("COMMIT").unwrap();
    assert!(matches!(opening.await, Ok(Outcome::New(_))));
    catalogue.close().await;
}

/// Whoever writes for longer than anybody waits, as on a disk that hangs.
#[tokio::test]
async fn a_turn_that_does_not_come_is_waited_for_as_long_as_another_process() {
    let case = case_of_sqlite().await;
    let catalogue = &case.catalogue;
    let upload = opened(catalogue, "a.jpg", None).await;
    let holding = catalogue.begin().await.unwrap();
    let begun = async { catalogue.begin().await.map(drop) };
    let written = async {
        let statement = sql("UPDATE tokens SET last_used_on = 1").execute(&catalogue.writer);
        statement.await.map(drop)
    };
    let together = async {
        catalogue
            .url_signed(upload.id, within(1000))
            .await
            .map(drop)
    };
    let all = tokio::time::timeout(BUSY_TIMEOUT * 2, async {
        tokio::join!(begun, written, together)
    });
    let (begun, written, together) = all.await.unwrap();
    for told in [begun, written, together] {
        assert!(matches!(told, Err(CatalogueError::Busy)), "{told:?}");
    }
    holding.commit().await.unwrap();
    assert!(catalogue.url_signed(upload.id, within(1000)).await.unwrap());
    catalogue.close().await;
}
