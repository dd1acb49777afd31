//! Uploads in parts, and what other people's clients are expected to send.

use imgn_protocol::{Checksum, ChecksumAlgorithm};

use super::*;

const PLAN: Plan = Plan {
    part_size: 5 << 20,
    part_count: 3,
    algorithm: ChecksumAlgorithm::Crc32c,
    remembers_sums: true,
};

fn sum(bytes: [u8; 4]) -> Checksum {
    Checksum::from_bytes(ChecksumAlgorithm::Crc32c, &bytes).unwrap()
}

async fn signed(catalogue: &Catalogue, upload: &Upload) -> Vec<(u32, Checksum)> {
    let signed = catalogue.signed_parts(upload.id, PLAN.algorithm);
    signed.await.unwrap()
}

#[tokio::test]
async fn of_two_that_make_parts_one_is_first_and_its_sums_are_remembered() {
    for case in cases().await {
        let catalogue = &case.catalogue;
        let upload = opened(catalogue, "a.jpg", Some(PLAN)).await;
        let note = async |name: &str| {
            let noted = catalogue.note_multipart(upload.id, name).await.unwrap();
            noted.unwrap()
        };
        assert_eq!(note("one").await.multipart.as_deref(), Some("one"));
        let upload = note("two").await;
        assert_eq!(upload.multipart.as_deref(), Some("one"));
        assert_eq!(upload.plan, Some(PLAN));
        assert!(catalogue.knows_multipart("one").await.unwrap());
        assert!(!catalogue.knows_multipart("two").await.unwrap());

        let sign = async |upload: &Upload, multipart: &str, bytes, within| {
            let signed = sum(bytes);
            let signed = catalogue.part_signed(upload, multipart, 1, &signed, within);
            signed.await.unwrap()
        };
        for bytes in [[1; 4], [2; 4], [1; 4]] {
            assert!(sign(&upload, "one", bytes, within(1000)).await);
        }
        assert_eq!(signed(catalogue, &upload).await.len(), 2);
        catalogue.forget_multipart(upload.id, "two").await.unwrap();
        assert_eq!(signed(catalogue, &upload).await.len(), 2);
        catalogue.forget_multipart(upload.id, "one").await.unwrap();
        assert!(signed(catalogue, &upload).await.is_empty());
        // Somebody was still at the one that is lost.
        assert!(sign(&upload, "one", [3; 4], within(1000)).await);
        assert!(signed(catalogue, &upload).await.is_empty());

        let upload = note("three").await;
        assert!(sign(&upload, "three", [3; 4], within(1000)).await);
        assert_eq!(signed(catalogue, &upload).await.len(), 1);
        catalogue.abort(upload.id, None).await.unwrap();
        assert!(signed(catalogue, &upload).await.is_empty());
        assert!(!catalogue.knows_multipart("three").await.unwrap());
        assert!(!sign(&upload, "three", [4; 4], within(900_000)).await);
        let garbage = catalogue.take_garbage(10).await.unwrap();
        let parts = garbage.iter().find_map(|garbage| garbage.multipart.clone());
        assert_eq!(parts.as_deref(), Some("three"));
        catalogue.close().await;
    }
}

/// The statement that forgets is under way when a part is signed: the sum is not kept beyond it.
#[tokio::test]
async fn no_sum_of_a_part_outlives_what_is_forgotten_at_that_moment() {
    for case in cases().await {
        let catalogue = &case.catalogue;
        let upload = opened(catalogue, "a.jpg", Some(PLAN)).await;
        let upload = catalogue.note_multipart(upload.id, "one").await;
        let mut upload = upload.unwrap().unwrap();
        // As if the URL needed not be written down any more.
        upload.url_expires_at = Some(i64::MAX);
        let mut forgetting = catalogue.begin().await.unwrap();
        sql("UPDATE uploads SET multipart_id = NULL WHERE id = $1")
            .bind(upload.id.to_string())
            .execute(&mut forgetting)
            .await
            .unwrap();
        let (other, signing) = (catalogue.clone(), upload.clone());
        let signing = tokio::spawn(async move {
            let sum = sum([1; 4]);
            let signed = other.part_signed(&signing, "one", 1, &sum, within(1000));
            signed.await.unwrap()
        });
        until_one_waits(catalogue).await;
        assert!(!signing.is_finished());
        forgetting.commit().await.unwrap();
        assert!(signing.await.unwrap());
        assert!(signed(catalogue, &upload).await.is_empty());
        catalogue.close().await;
    }
}

#[tokio::test]
async fn what_is_expected_is_looked_for_when_it_is_due_and_by_one() {
    const MOST: MostUnderWay = MostUnderWay {
        uploads: 3,
        counts_announced: false,
    };
    for case in cases().await {
        let catalogue = &case.catalogue;
        let mut expected = Vec::new();
        for (name, in_parts) in [("a.jpg", false), ("b.jpg", false), ("c.jpg", true)] {
            let staged = Staged::new(1, FileName::clean(name), in_parts, now() + 1000);
            let look_at = (!in_parts).then_some(now() - 1);
            let room = catalogue.stage(&staged, look_at, MOST, None).await;
            assert_eq!(room.unwrap(), Room::Yes);
            expected.push(staged);
        }
        let one_more = Staged::new(1, FileName::clean("d.jpg"), false, now());
        let room = catalogue.stage(&one_more, None, MOST, None).await;
        assert_eq!(room.unwrap(), Room::TooMuchUnderWay);
        assert_eq!(catalogue.under_way(1).await.unwrap(), 3);
        let [first, second, parts] = expected.try_into().unwrap();
        let found = catalogue.staged(first.id).await.unwrap();
        assert_eq!(found.as_ref(), Some(&first));
        let found = catalogue.staged_image(second.image).await.unwrap();
        assert_eq!(found.as_ref(), Some(&second));

        let due = catalogue.take_staged_due(1).await.unwrap();
        assert_eq!(due.len(), 1);
        let rest = catalogue.take_staged_due(10).await.unwrap();
        assert_eq!(rest.len(), 1);
        assert_ne!(rest[0], due[0]);
        assert!(catalogue.take_staged_due(10).await.unwrap().is_empty());
        assert!(catalogue.next_staged_look().await.unwrap() > Some(now()));
        catalogue.look_for_staged(first.id, 1).await.unwrap();
        assert_eq!(catalogue.next_staged_look().await.unwrap(), Some(1));
        assert_eq!(catalogue.take_staged_due(10).await.unwrap(), [first]);

        catalogue.note_staged_parts(parts.id, "one").await.unwrap();
        assert!(catalogue.knows_multipart("one").await.unwrap());
        let late = within(60_000);
        assert!(catalogue.staged_url(&parts, late).await.unwrap());
        let written = catalogue.staged(parts.id).await.unwrap().unwrap();
        assert!(written.url_expires_at > late.url_expires_at);
        let old = catalogue.old_staged_parts(-1, 10).await.unwrap();
        assert_eq!(old, [written]);
        let none = catalogue.old_staged_parts(60_000, 10).await.unwrap();
        assert!(none.is_empty());
        catalogue.unstage(parts.id).await.unwrap();
        assert!(!catalogue.staged_url(&parts, within(900_000)).await.unwrap());
        catalogue.close().await;
    }
}

/// Two servers count at the same moment.
#[tokio::test]
async fn two_at_once_do_not_have_more_under_way_than_is_allowed() {
    const MOST: MostUnderWay = MostUnderWay {
        uploads: 4,
        counts_announced: true,
    };
    for case in cases().await {
        let catalogue = &case.catalogue;
        let all = (0..16).map(|_| {
            let other = catalogue.clone();
            tokio::spawn(async move {
                let staged = Staged::new(1, FileName::clean("a.jpg"), false, now() + 60_000);
                let room = other.stage(&staged, None, MOST, None).await;
                room.unwrap() == Room::Yes
            })
        });
        let mut admitted = 0;
        for one in all.collect::<Vec<_>>() {
            admitted += u32::from(one.await.unwrap());
        }
        assert_eq!(admitted, MOST.uploads);
        catalogue.close().await;
    }
}
