//! The quotas: what several servers count together.

use super::*;
use crate::{
    allowance::Allowance,
    catalogue::usage::{Over, Sender},
};

const MOST: Allowance = Allowance {
    requests: 0,
    open_uploads: 30,
    pictures_per_day: 10,
    bytes_per_day: 100,
};

fn user(owner: i64) -> Sender {
    Sender {
        most: Some(MOST),
        ..owner.into()
    }
}

fn stranger() -> Sender {
    Sender {
        origin: Some("203.0.113.1".to_owned()),
        ..user(1)
    }
}

/// A new upload of so many bytes that nobody has.
fn sized(size: u64) -> OpenRequest {
    let name = UploadId::new().to_string();
    OpenRequest {
        size,
        ..request(&name)
    }
}

async fn open(catalogue: &Catalogue, sender: &Sender, size: u64) -> Outcome {
    let (id, announced) = (UploadId::new(), sized(size));
    let opened = catalogue.open_upload(id, sender.clone(), &announced, None, None);
    opened.await.unwrap()
}

fn over(outcome: &Outcome) -> Option<Over> {
    match outcome {
        Outcome::New(_) => None,
        Outcome::Over(over) => Some(*over),
        other => panic!("{other:?}"),
    }
}

async fn uploads(catalogue: &Catalogue) -> i64 {
    let all = sql("SELECT count(*) FROM uploads").scalar(&catalogue.reader);
    all.await.unwrap()
}

#[tokio::test]
async fn several_servers_let_no_more_through_than_one() {
    for case in cases().await {
        let other = Catalogue::open(&case.database).await.unwrap();
        let mut opening = tokio::task::JoinSet::new();
        for number in 0..40 {
            let catalogue = match number % 2 {
                0 => case.catalogue.clone(),
                _ => other.clone(),
            };
            opening.spawn(async move { over(&open(&catalogue, &user(1), 1).await) });
        }
        let opened = opening.join_all().await;
        let let_through = opened.iter().filter(|over| over.is_none()).count();
        assert_eq!(let_through, 10, "{opened:?}");
        assert_eq!(case.catalogue.used(&user(1)).await, (10, 10));
        assert_eq!(uploads(&case.catalogue).await, 10);
        let mut refused = opened.iter().flatten();
        assert_eq!(refused.find(|over| **over != Over::Pictures), None);
        other.close().await;
        case.catalogue.close().await;
    }
}

#[tokio::test]
async fn each_has_a_count_of_their_own() {
    for case in cases().await {
        let catalogue = &case.catalogue;
        sql("INSERT INTO tokens (name, role, created_at) VALUES ('ben', 'uploader', 0)")
            .execute(&catalogue.writer)
            .await
            .unwrap();
        let begin = async |sender: &Sender, size| over(&open(catalogue, sender, size).await);
        assert_eq!(begin(&stranger(), 90).await, None);
        assert_eq!(begin(&stranger(), 11).await, Some(Over::Bytes));
        assert_eq!(begin(&user(1), 11).await, None);
        assert_eq!(begin(&user(2), 101).await, Some(Over::Bytes));
        assert_eq!(catalogue.used(&stranger()).await, (1, 90));

        let most = Allowance {
            open_uploads: 2,
            ..MOST
        };
        let few = Sender {
            most: Some(most),
            ..user(1)
        };
        assert_eq!(begin(&few, 1).await, Some(Over::OpenUploads));
        assert_eq!(begin(&user(2), 1).await, None);
        let unlimited = Sender {
            most: Some(Allowance::UNLIMITED),
            ..user(1)
        };
        assert_eq!(begin(&unlimited, 1000).await, None);

        sql("UPDATE usage SET day = day - 2 WHERE who = 'user:1'")
            .execute(&catalogue.writer)
            .await
            .unwrap();
        assert_eq!(catalogue.forget_usage().await.unwrap(), 1);
        assert_eq!(catalogue.forget_usage().await.unwrap(), 0);
        catalogue.close().await;
    }
}

/// Whoever is over a quota goes on with what was begun, and learns of what the gallery has.
#[tokio::test]
async fn what_is_no_new_upload_is_not_counted_and_over_no_quota() {
    for case in cases().await {
        let catalogue = &case.catalogue;
        let published = verifying(catalogue, "a.jpg").await;
        let end = catalogue.publish(&published, &picture()).await.unwrap();
        assert_eq!(end, Published::New);
        let again = async |id, sender: &Sender, request: &OpenRequest| {
            let opened = catalogue.open_upload(id, sender.clone(), request, None, None);
            opened.await.unwrap()
        };
        let (known, request) = (UploadId::new(), sized(100));
        assert_eq!(over(&again(known, &user(1), &request).await), None);
        for _ in 0..2 {
            assert!(matches!(
                again(known, &user(1), &request).await,
                Outcome::Known(_)
            ));
            match again(UploadId::new(), &user(1), &published.announced).await {
                Outcome::New(upload) => assert!(upload.just_ended),
                other => panic!("{other:?}"),
            }
        }
        assert!(matches!(
            again(known, &user(1), &sized(1)).await,
            Outcome::Conflict
        ));
        assert!(matches!(
            again(known, &user(2), &request).await,
            Outcome::NotYours
        ));
        assert_eq!(catalogue.used(&user(1)).await, (1, 100));
        assert_eq!(catalogue.used(&user(2)).await, (0, 0));
        catalogue.close().await;
    }
}

#[tokio::test]
async fn what_is_not_expected_is_not_counted() {
    const UNDER_WAY: MostUnderWay = MostUnderWay {
        uploads: 1,
        counts_announced: false,
    };
    for case in cases().await {
        let catalogue = &case.catalogue;
        let most = Allowance {
            pictures_per_day: 2,
            ..MOST
        };
        let stage = async |under_way| {
            let staged = Staged::new(1, FileName::clean("a.jpg"), false, now() + 60_000);
            let room = catalogue.stage(&staged, None, under_way, Some(most)).await;
            room.unwrap()
        };
        assert_eq!(stage(UNDER_WAY).await, Room::Yes);
        assert_eq!(stage(UNDER_WAY).await, Room::TooMuchUnderWay);
        assert_eq!(catalogue.used(&user(1)).await, (1, 0));
        let more = MostUnderWay {
            uploads: 10,
            ..UNDER_WAY
        };
        assert_eq!(stage(more).await, Room::Yes);
        assert_eq!(stage(more).await, Room::Over(Over::Pictures));
        assert_eq!(catalogue.under_way(1).await.unwrap(), 2);
        catalogue.close().await;
    }
}

#[tokio::test]
async fn an_origin_is_kept_while_an_upload_is_open_and_no_longer() {
    for case in cases().await {
        let catalogue = &case.catalogue;
        let origins = async || -> i64 {
            sql("SELECT count(*) FROM uploads WHERE origin IS NOT NULL")
                .scalar(&catalogue.reader)
                .await
                .unwrap()
        };
        let begin = async || match open(catalogue, &stranger(), 1).await {
            Outcome::New(upload) => upload.id,
            other => panic!("{other:?}"),
        };
        let (ended, begun) = (begin().await, begin().await);
        assert_eq!(origins().await, 2);
        let most = Allowance {
            open_uploads: 2,
            ..MOST
        };
        let few = Sender {
            most: Some(most),
            ..stranger()
        };
        let refused = open(catalogue, &few, 1).await;
        assert_eq!(over(&refused), Some(Over::OpenUploads));
        catalogue.abort(ended, None).await.unwrap();
        catalogue.begin_verifying(begun).await.unwrap();
        assert_eq!(origins().await, 0);
        catalogue.close().await;
    }
}
