//! Uploads by one PUT, from their opening to their end, and what the sweeper asks for.

use imgn_protocol::{ErrorCode, Rejection};

use super::*;
use crate::storage::keys;

#[tokio::test]
async fn an_upload_is_opened_once_and_by_its_owner_alone() {
    for case in cases().await {
        let catalogue = &case.catalogue;
        catalogue.add_token("bob", Role::Uploader).await.unwrap();
        let id = UploadId::new();
        let open = async |owner, name: &str| {
            let request = request(name);
            let opened = catalogue.open_upload(id, owner, &request, None, None);
            opened.await.unwrap()
        };
        assert!(matches!(open(1, "a.jpg").await, Outcome::New(_)));
        assert!(matches!(open(1, "a.jpg").await, Outcome::Known(upload) if upload.id == id));
        assert!(matches!(open(1, "b.jpg").await, Outcome::Conflict));
        assert!(matches!(open(2, "a.jpg").await, Outcome::NotYours));
        let upload = catalogue.upload_of(id, 1).await.unwrap().unwrap();
        assert!(catalogue.upload_of(id, 2).await.unwrap().is_none());
        let found = catalogue.upload_of_image(upload.image).await.unwrap();
        assert_eq!(found.unwrap().id, id);

        // What is published already is not sent again, under whatever id.
        let published = verifying(catalogue, "c.jpg").await;
        catalogue.publish(&published, &picture()).await.unwrap();
        let (twin, request) = (UploadId::new(), request("c.jpg"));
        let opened = catalogue.open_upload(twin, 2, &request, None, None);
        assert!(matches!(opened.await.unwrap(), Outcome::New(upload)
                if upload.just_ended && upload.state == UploadState::Published(published.image)));
        let again = catalogue.open_upload(twin, 2, &request, None, None);
        assert!(matches!(again.await.unwrap(), Outcome::Known(upload) if !upload.just_ended));
        catalogue.close().await;
    }
}

#[tokio::test]
async fn an_upload_ends_once_and_leaves_its_bytes_to_be_deleted() {
    for case in cases().await {
        let catalogue = &case.catalogue;
        let rejection = Rejection {
            code: ErrorCode::NotAPicture,
            message: "It is none.".to_owned(),
        };
        let rejected = verifying(catalogue, "rejected.jpg").await;
        let reject = async |id| catalogue.reject(id, &rejection).await.unwrap();
        assert!(reject(rejected.id).await);
        assert!(!reject(rejected.id).await, "it has ended");
        assert_eq!(
            state(catalogue, rejected.id).await,
            Some(UploadState::Rejected(rejection.clone()))
        );
        let late = catalogue.publish(&rejected, &picture()).await.unwrap();
        assert_eq!(late, Published::TooLate);
        assert!(catalogue.discard_leftovers(rejected.id).await.unwrap());

        let aborted = opened(catalogue, "aborted.jpg", None).await;
        let abort = async |id, owner| catalogue.abort(id, owner).await.unwrap();
        assert_eq!(abort(aborted.id, Some(2)).await, Abort::Unknown);
        assert_eq!(abort(aborted.id, Some(1)).await, Abort::Ended);
        assert_eq!(abort(aborted.id, None).await, Abort::EndedBefore);
        assert!(!catalogue.url_signed(aborted.id, within(1)).await.unwrap());
        let begun = catalogue
            .begin_verifying(aborted.id)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(begun.state, UploadState::Aborted);
        assert!(!reject(aborted.id).await);
        assert_eq!(
            state(catalogue, aborted.id).await,
            Some(UploadState::Aborted)
        );

        let published = verifying(catalogue, "published.jpg").await;
        catalogue.publish(&published, &picture()).await.unwrap();
        assert_eq!(abort(published.id, Some(1)).await, Abort::Published);
        assert!(!catalogue.discard_leftovers(published.id).await.unwrap());

        let garbage = catalogue.take_garbage(100).await.unwrap();
        let is_garbage = |upload: &Upload| {
            let key = keys::original(upload.image);
            garbage.iter().any(|garbage| garbage.key == key)
        };
        assert!(is_garbage(&rejected) && is_garbage(&aborted));
        assert!(!is_garbage(&published));

        // What ended without a picture is forgotten, and nothing else.
        assert_eq!(catalogue.forget_ended(60_000).await.unwrap(), 0);
        assert_eq!(catalogue.forget_ended(-1).await.unwrap(), 2);
        assert_eq!(state(catalogue, rejected.id).await, None);
        assert!(state(catalogue, published.id).await.is_some());
        catalogue.close().await;
    }
}

/// As of two servers that forget at the same time: neither waits for the other's rows, and none is left.
#[tokio::test]
async fn what_another_one_holds_is_forgotten_later() {
    for case in cases().await {
        let catalogue = &case.catalogue;
        let mut ended = Vec::new();
        for name in ["a.jpg", "b.jpg"] {
            let upload = opened(catalogue, name, None).await;
            catalogue.abort(upload.id, None).await.unwrap();
            ended.push(upload.id);
        }
        if catalogue.has_others() {
            let mut other = catalogue.begin().await.unwrap();
            super::super::uploads::find(&mut other, ended[0])
                .await
                .unwrap();
            assert_eq!(catalogue.forget_ended(-1).await.unwrap(), 1);
            assert_eq!(state(catalogue, ended[1]).await, None);
            other.commit().await.unwrap();
            assert_eq!(catalogue.forget_ended(-1).await.unwrap(), 1);
        } else {
            assert_eq!(catalogue.forget_ended(-1).await.unwrap(), 2);
        }
        assert_eq!(state(catalogue, ended[0]).await, None);
        catalogue.close().await;
    }
}

#[tokio::test]
async fn the_sweeper_is_told_what_is_due_and_takes_it_once() {
    for case in cases().await {
        let catalogue = &case.catalogue;
        let silent = opened(catalogue, "silent.jpg", None).await;
        let early = opened(catalogue, "early.jpg", None).await;
        assert!(catalogue.url_signed(silent.id, within(-1)).await.unwrap());
        assert!(
            catalogue
                .url_signed(early.id, within(60_000))
                .await
                .unwrap()
        );
        let taken = catalogue.take_silent(60_000, 10).await.unwrap();
        let ids: Vec<_> = taken.uploads.iter().map(|upload| upload.id).collect();
        assert_eq!(ids, [silent.id]);
        let again = catalogue.take_silent(60_000, 10).await.unwrap();
        assert!(again.uploads.is_empty());

        // A URL that was signed meanwhile is looked for.
        assert!(catalogue.url_signed(silent.id, within(-1)).await.unwrap());
        catalogue.looked_at(silent.id, taken.until).await.unwrap();
        let taken = catalogue.take_silent(-1, 10).await.unwrap();
        assert_eq!(taken.uploads.len(), 1);
        catalogue.looked_at(silent.id, taken.until).await.unwrap();
        let again = catalogue.take_silent(-1, 10).await.unwrap();
        assert!(again.uploads.is_empty());

        let old = catalogue.open_for(-1, 10).await.unwrap();
        assert_eq!(old.len(), 2);
        assert!(catalogue.open_for(60_000, 10).await.unwrap().is_empty());

        let verifying = verifying(catalogue, "v.jpg").await;
        assert_eq!(catalogue.verifying(10).await.unwrap(), [verifying.id]);
        assert_eq!(catalogue.attempted(verifying.id).await.unwrap(), Some(1));
        assert_eq!(catalogue.attempted(verifying.id).await.unwrap(), Some(2));
        catalogue.reopen(verifying.id).await.unwrap();
        assert_eq!(
            state(catalogue, verifying.id).await,
            Some(UploadState::Open)
        );
        assert_eq!(catalogue.attempted(verifying.id).await.unwrap(), None);
        assert!(catalogue.verifying(10).await.unwrap().is_empty());
        catalogue.close().await;
    }
}

#[tokio::test]
async fn a_key_that_is_garbage_again_while_it_is_deleted_stays_in_the_outbox() {
    for case in cases().await {
        let catalogue = &case.catalogue;
        let discard = async |until: Option<i64>| {
            let mut transaction = catalogue.begin().await.unwrap();
            garbage::discard(&mut transaction, "key", until, None)
                .await
                .unwrap();
            transaction.commit().await.unwrap();
        };
        let take = async || catalogue.take_garbage(10).await.unwrap();
        discard(None).await;
        let first = take().await;
        assert_eq!(first.len(), 1);
        assert!(take().await.is_empty(), "it is taken");
        // Whoever made it garbage has it deleted before going on, though somebody is at it.
        let own = catalogue.take_garbage_at("key").await.unwrap().unwrap();
        catalogue.garbage_deleted(&first[0]).await.unwrap();
        catalogue.give_garbage_back(&own).await.unwrap();
        let first = take().await;
        assert_eq!(first.len(), 1);
        let other = catalogue.take_garbage_at("another").await.unwrap();
        assert!(other.is_none());

        // Somebody can write it for a while more.
        discard(Some(now() + 60_000)).await;
        catalogue.garbage_deleted(&first[0]).await.unwrap();
        let second = take().await;
        assert_eq!(second.len(), 1);
        catalogue.garbage_kept(&first[0]).await.unwrap();
        catalogue.give_garbage_back(&second[0]).await.unwrap();
        let third = catalogue.take_garbage_at("key").await.unwrap().unwrap();
        catalogue.garbage_kept(&third).await.unwrap();
        assert!(take().await.is_empty());
        discard(Some(now() - 2 * 60 * 60 * 1000)).await;
        let fourth = take().await;
        catalogue.garbage_deleted(&fourth[0]).await.unwrap();
        let left: i64 = sql("SELECT count(*) FROM garbage WHERE due_at > $1")
            .bind(now() + 1000)
            .scalar(&catalogue.reader)
            .await
            .unwrap();
        assert_eq!(left, 1, "the longest of its URLs counts");
        catalogue.close().await;
    }
}

#[tokio::test]
async fn a_token_is_found_by_its_text_until_it_is_revoked() {
    for case in cases().await {
        let catalogue = &case.catalogue;
        let token = catalogue.add_token("bob", Role::Admin).await.unwrap();
        let find = async |token| {
            let fingerprint = crate::auth::fingerprint(token);
            match catalogue.caller(&fingerprint).await.unwrap() {
                Presented::Valid(caller) => Some(caller),
                Presented::Expired | Presented::Unknown => None,
            }
        };
        let caller = find(&token).await.unwrap();
        assert_eq!((caller.owner, caller.role), (2, Role::Admin));
        let twice = catalogue.add_token("bob", Role::Uploader).await;
        assert!(matches!(twice, Err(TokenError::Exists { .. })), "{twice:?}");
        let names: Vec<_> = catalogue.tokens().await.unwrap();
        let names: Vec<_> = names.iter().map(|row| row.name.as_str()).collect();
        assert_eq!(names, ["ada", "bob"]);
        catalogue.revoke_token("bob").await.unwrap();
        assert!(find(&token).await.is_none());
        let unknown = catalogue.revoke_token("bob").await;
        assert!(matches!(unknown, Err(TokenError::Unknown { .. })));
        let token = catalogue.add_token("bob", Role::Uploader).await.unwrap();
        assert_eq!(find(&token).await.unwrap().owner, 2);
        let nobody = catalogue.anonymous().await.unwrap();
        assert_eq!(catalogue.anonymous().await.unwrap(), nobody);
        catalogue.close().await;
    }
}
