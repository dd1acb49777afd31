//! The quotas: what several servers count together.

use super::*;
use crate::{
    allowance::Allowance,
    catalogue::usage::{Count, Over, Who},
};

const MOST: Allowance = Allowance {
    requests: 0,
    open_uploads: 3,
    pictures_per_day: 10,
    bytes_per_day: 100,
};

fn over(count: Count) -> Option<Over> {
    match count {
        Count::Counted(_) => None,
        Count::Over(over) => Some(over),
    }
}

#[tokio::test]
async fn several_servers_let_no_more_through_than_one() {
    for case in cases().await {
        let other = Catalogue::open(&case.database).await.unwrap();
        let mut counting = tokio::task::JoinSet::new();
        for number in 0..40 {
            let catalogue = match number % 2 {
                0 => case.catalogue.clone(),
                _ => other.clone(),
            };
            counting.spawn(async move {
                let count = catalogue.count_upload(&Who::User(1), 1, &MOST).await;
                over(count.unwrap())
            });
        }
        let counted = counting.join_all().await;
        let let_through = counted.iter().filter(|over| over.is_none()).count();
        assert_eq!(let_through, 10, "{counted:?}");
        assert_eq!(case.catalogue.used(&Who::User(1)).await, (10, 10));
        assert_eq!(
            counted
                .iter()
                .flatten()
                .find(|over| **over != Over::Pictures),
            None
        );
        other.close().await;
        case.catalogue.close().await;
    }
}

#[tokio::test]
async fn each_has_a_count_of_their_own_which_can_be_given_back() {
    for case in cases().await {
        let catalogue = &case.catalogue;
        let address = Who::Address("203.0.113.1".to_owned());
        let count = async |who: &Who, size| catalogue.count_upload(who, size, &MOST).await.unwrap();
        let Count::Counted(counted) = count(&address, 90).await else {
            panic!("there is room");
        };
        assert_eq!(over(count(&address, 11).await), Some(Over::Bytes));
        assert_eq!(over(count(&Who::User(1), 11).await), None);
        catalogue.uncount_upload(counted).await.unwrap();
        assert_eq!(catalogue.used(&address).await, (0, 0));
        assert_eq!(over(count(&address, 100).await), None);
        assert_eq!(over(count(&Who::User(2), 101).await), Some(Over::Bytes));

        for name in ["a.jpg", "b.jpg", "c.jpg"] {
            opened(catalogue, name, None).await;
        }
        assert_eq!(over(count(&Who::User(1), 1).await), Some(Over::OpenUploads));
        assert_eq!(over(count(&Who::User(2), 1).await), None);
        let unlimited = Allowance::UNLIMITED;
        let counted = catalogue.count_upload(&Who::User(1), 1, &unlimited).await;
        assert_eq!(over(counted.unwrap()), None);

        sql("UPDATE usage SET day = day - 2 WHERE who = 'user:1'")
            .execute(&catalogue.writer)
            .await
            .unwrap();
        assert_eq!(catalogue.forget_usage().await.unwrap(), 1);
        assert_eq!(catalogue.forget_usage().await.unwrap(), 0);
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
        let ended = opened(catalogue, "a.jpg", None).await.id;
        let begun = opened(catalogue, "b.jpg", None).await.id;
        for id in [ended, begun] {
            catalogue.note_origin(id, "203.0.113.1").await.unwrap();
        }
        assert_eq!(origins().await, 2);
        let address = Who::Address("203.0.113.1".to_owned());
        let most = Allowance {
            open_uploads: 2,
            ..MOST
        };
        let count = catalogue.count_upload(&address, 1, &most).await.unwrap();
        assert_eq!(over(count), Some(Over::OpenUploads));
        catalogue.abort(ended, None).await.unwrap();
        catalogue.begin_verifying(begun).await.unwrap();
        assert_eq!(origins().await, 0);
        catalogue.close().await;
    }
}
