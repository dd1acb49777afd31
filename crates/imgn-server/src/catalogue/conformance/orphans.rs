//! Objects that nobody knows, over each database and in stores that are asked for real.

use std::collections::BTreeSet;

use aws_credential_types::Credentials;
use futures_util::{StreamExt as _, stream};
use imgn_protocol::ImageId;
use imgn_testkit::seaweedfs::{self, SeaweedFs};
use url::Url;

use super::*;
use crate::{
    catalogue::database::Sql,
    orphans::{Looker, SweepError},
    storage::{Embedded, Storage, keys},
    sweep::Swept,
};

const HOUR: i64 = 60 * 60 * 1000;

/// Pictures: more than a page has.
const PICTURES: u32 = 1050;

async fn put(storage: &Storage, keys: impl IntoIterator<Item = String>) {
    let puts = stream::iter(keys).map(|key| async move {
        storage.put_jpeg(&key, b"a".to_vec()).await.unwrap();
    });
    puts.buffer_unordered(16).collect::<()>().await;
}

async fn there(storage: &Storage) -> BTreeSet<String> {
    let (mut found, mut after) = (BTreeSet::new(), None::<String>);
    loop {
        let page = storage.page("", after.as_deref()).await.unwrap();
        found.extend(page.objects.into_iter().map(|object| object.key));
        match page.next {
            Some(next) => after = Some(next),
            None => return found,
        }
    }
}

fn looker<'a>(catalogue: &'a Catalogue, storage: &'a Storage, newest: i64) -> Looker<'a> {
    Looker {
        catalogue,
        storage,
        newest,
    }
}

/// One look at what is as old as that.
async fn look(catalogue: &Catalogue, storage: &Storage, newest: i64) -> Swept {
    let mut swept = Swept::default();
    let looked = looker(catalogue, storage, newest).sweep(&mut swept).await;
    looked.unwrap();
    swept
}

async fn remove(
    catalogue: &Catalogue,
    storage: &Storage,
    newest: i64,
) -> Result<Swept, SweepError> {
    let mut swept = Swept::default();
    let looker = looker(catalogue, storage, newest);
    let unknown = looker.unknown().await?;
    looker.remove(&unknown, &mut swept).await?;
    Ok(swept)
}

async fn only_what_nobody_knows_goes(catalogue: &Catalogue, storage: &Storage) {
    let passing: BTreeSet<_> = [
        keys::staged(1, UploadId::new()),
        keys::staged_beside_others(UploadId::new()),
        keys::probe(),
    ]
    .into();
    let pictures: BTreeSet<_> = (0..PICTURES)
        .map(|_| keys::thumbnail(ImageId::new(), 320))
        .chain([keys::original(ImageId::new())])
        .collect();
    let orphans: BTreeSet<_> = passing.union(&pictures).cloned().collect();
    put(storage, orphans.clone()).await;
    let (past, future) = (now() - HOUR, now() + HOUR);
    // As while a gallery is imported: what it is to have is there before any of its rows.
    let refused = remove(catalogue, storage, future).await;
    assert!(
        matches!(refused, Err(SweepError::NoPictures)),
        "{refused:?}"
    );
    assert_eq!(there(storage).await, orphans);

    let mut known = Vec::new();
    for name in ["a.jpg", "b.jpg"] {
        let upload = verifying(catalogue, name).await;
        let published = catalogue.publish(&upload, &picture()).await.unwrap();
        assert_eq!(published, Published::New);
        known.extend(keys::thumbnails(upload.image).chain([keys::original(upload.image)]));
    }
    let aborted = opened(catalogue, "aborted.jpg", None).await;
    catalogue.abort(aborted.id, None).await.unwrap();
    for upload in [
        aborted,
        opened(catalogue, "open.jpg", None).await,
        verifying(catalogue, "verifying.jpg").await,
    ] {
        known.push(keys::original(upload.image));
    }
    for in_parts in [false, true] {
        let name = FileName::parse("staged.jpg").unwrap();
        let staged = Staged::new(1, name, in_parts, now() + HOUR);
        let most = MostUnderWay {
            uploads: 10,
            counts_announced: false,
        };
        let room = catalogue.stage(&staged, None, most, None).await.unwrap();
        assert_eq!(room, Room::Yes);
        known.push(staged.key());
    }
    // Nothing that this server made.
    known.extend(["originals/index.html", "elsewhere/a.jpg"].map(str::to_owned));
    put(storage, known.clone()).await;
    let known: BTreeSet<_> = known.into_iter().collect();
    // What is young may be somebody's yet.
    assert_eq!(look(catalogue, storage, past).await, Swept::default());
    let removed = remove(catalogue, storage, past).await.unwrap();
    assert_eq!(removed, Swept::default());
    assert_eq!(there(storage).await.len(), known.len() + orphans.len());
    // Two at once, as of two servers.
    let (one, two) = tokio::join!(
        look(catalogue, storage, future),
        look(catalogue, storage, future)
    );
    assert_eq!((one.failures, two.failures), (0, 0));
    assert!(one.deleted + two.deleted >= passing.len() as u64);
    let left: BTreeSet<_> = known.union(&pictures).cloned().collect();
    assert_eq!(there(storage).await, left);
    assert_eq!(look(catalogue, storage, future).await, Swept::default());
    let counted = looker(catalogue, storage, future).count().await.unwrap();
    assert_eq!(counted, pictures.len() as u64);
    let (one, two) = tokio::join!(
        remove(catalogue, storage, future),
        remove(catalogue, storage, future)
    );
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_eq!((one.failures, two.failures), (0, 0));
    assert!(one.deleted + two.deleted >= pictures.len() as u64);
    assert_eq!(there(storage).await, known);
    let counted = looker(catalogue, storage, future).count().await.unwrap();
    assert_eq!(counted, 0);

    // The bucket of another gallery.
    let others: BTreeSet<_> = (0..=known.len())
        .map(|_| keys::original(ImageId::new()))
        .collect();
    put(storage, others.clone()).await;
    let refused = remove(catalogue, storage, future).await;
    let Err(SweepError::MostlyUnknown { unknown, .. }) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(unknown, others.len() as u64);
    assert_eq!(there(storage).await.len(), known.len() + others.len());
    for key in known.iter().chain(&others) {
        storage.delete(key).await.unwrap();
    }
}

/// Between the question whose bucket it is and the removal comes a listing, which of a large bucket takes a while.
async fn what_was_known_stays_whatever_becomes_of_the_catalogue(
    catalogue: &Catalogue,
    storage: &Storage,
) {
    let published = async |name: &str| {
        let upload = verifying(catalogue, name).await;
        let published = catalogue.publish(&upload, &picture()).await.unwrap();
        assert_eq!(published, Published::New);
        upload.image
    };
    let objects = |image| keys::thumbnails(image).chain([keys::original(image)]);
    let known: Vec<_> = [published("a.jpg").await, published("b.jpg").await].into();
    let [unknown, late] = [ImageId::new(), verifying(catalogue, "late.jpg").await.image];
    sql("UPDATE uploads SET image_id = 'elsewhere' WHERE image_id = $1")
        .bind(late.to_string())
        .execute(&catalogue.writer)
        .await
        .unwrap();
    let all = known.iter().chain([&unknown, &late]);
    let all: BTreeSet<_> = all.flat_map(|image| objects(*image)).collect();
    put(storage, all.clone()).await;
    let looker = looker(catalogue, storage, now() + HOUR);
    let found = looker.unknown().await.unwrap();
    assert_eq!(found, [unknown, late].into());

    // Emptied, as before an older state is restored; and of one that it did not know it has a row now.
    sql("UPDATE uploads SET image_id = $1 WHERE image_id = 'elsewhere'")
        .bind(late.to_string())
        .execute(&catalogue.writer)
        .await
        .unwrap();
    for emptied in [
        "DELETE FROM changes",
        "DELETE FROM uploads WHERE state = 'published'",
        "DELETE FROM images",
    ] {
        let emptied = Sql::built(emptied).execute(&catalogue.writer).await;
        assert!(emptied.unwrap() >= 2);
    }
    let mut swept = Swept::default();
    looker.remove(&found, &mut swept).await.unwrap();
    let gone: BTreeSet<_> = objects(unknown).collect();
    assert_eq!((swept.deleted, swept.failures), (gone.len() as u64, 0));
    assert_eq!(there(storage).await, &all - &gone);
}

async fn in_the_embedded_store(look: impl AsyncFn(&Catalogue, &Storage)) {
    for case in cases().await {
        let directory = tempfile::tempdir().unwrap();
        let embedded = Embedded::open(directory.path(), u64::MAX).await.unwrap();
        let anywhere = Url::parse("http://127.0.0.1:1/").unwrap();
        let storage = Storage::embedded(&embedded, &anywhere, Duration::from_secs(60));
        look(&case.catalogue, &storage).await;
        case.catalogue.close().await;
    }
}

#[tokio::test]
async fn what_nobody_knows_goes_and_nothing_else() {
    in_the_embedded_store(only_what_nobody_knows_goes).await;
}

#[tokio::test]
async fn a_catalogue_that_is_emptied_during_a_look_costs_no_picture() {
    in_the_embedded_store(what_was_known_stays_whatever_becomes_of_the_catalogue).await;
}

#[tokio::test]
#[expect(clippy::print_stdout, reason = "says that nothing was tested")]
async fn what_nobody_knows_goes_from_seaweedfs_too() {
    if std::env::var_os(seaweedfs::PROGRAM).is_none() {
        println!("SKIPPED: {} is not set", seaweedfs::PROGRAM);
        return;
    }
    let weed = SeaweedFs::start().await.unwrap();
    let target = weed.target();
    let credentials = Credentials::new(&target.access_key, &target.secret_key, None, None, "test");
    let storage = Storage::of_a_test(&target.endpoint, credentials, None);
    storage.create_bucket().await.unwrap();
    for case in cases().await {
        only_what_nobody_knows_goes(&case.catalogue, &storage).await;
        case.catalogue.close().await;
    }
}
