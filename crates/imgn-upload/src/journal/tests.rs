//! What outlives a program in the journal, and who may touch it.

use super::*;

fn entry(path: PathBuf) -> Entry {
    let id = UploadId::new();
    Entry {
        id,
        path,
        file_name: FileName::clean("a.png"),
        content_type: Some("image/png".to_owned()),
        size: Some(7),
        keep_location: false,
        batch: Some(Batch::new(Origin::Program)),
        position: -3,
        state: State::Queued { session: id },
    }
}

async fn open(folder: &Path, server: &str) -> Journal {
    Journal::open(&folder.join("journal.sqlite"), folder, server)
        .await
        .unwrap()
}

#[tokio::test]
async fn an_upload_is_read_back_as_it_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(folder.path(), "a").await;
    let path = path_from_bytes(b"/pictures/\xff\xfe\n.png".to_vec());
    let entry = entry(path);
    journal.insert(std::slice::from_ref(&entry)).await.unwrap();
    assert_eq!(journal.entries().await.unwrap(), [entry]);
    // Another gallery's journal has nothing of it.
    assert_eq!(open(folder.path(), "b").await.entries().await.unwrap(), []);
}

/// What earlier versions wrote goes on where it stood.
#[tokio::test]
async fn a_journal_of_the_first_version_is_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("journal.sqlite");
    let first = sqlx::migrate!().iter().next().unwrap().clone();
    let options = SqliteConnectOptions::new()
        .filename(&file)
        .create_if_missing(true);
    let pool = SqlitePool::connect_with(options).await.unwrap();
    sqlx::migrate::Migrator::with_migrations(vec![first])
        .run(&pool)
        .await
        .unwrap();
    let id = "0198c3f0-0000-7000-8000-000000000001";
    let sha256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
    let state = format!(
        r#"{{"state":"waiting","work":{{"stage":"sending","target":{{"session":"{id}","content":{{"sha256":"{sha256}",
        "fingerprint":{{"size":4,"modified_ns":7}}}},"sent":true}},"fresh":false,"tries":1,"waits":1,"renewals":0}},
        "reason":"refused"}}"#
    );
    sqlx::query(
        "INSERT INTO uploads (id, server, path, file_name, state, ended, updated_at) \
         VALUES (?, 'a', x'2f61', 'a.png', ?, 0, 0)",
    )
    .bind(id)
    .bind(state)
    .execute(&pool)
    .await
    .unwrap();
    pool.close().await;

    let journal = open(folder.path(), "a").await;
    let entry = journal.entries().await.unwrap().remove(0);
    assert!(entry.keep_location, "it was summed with its location");
    let content = entry.state.content().unwrap();
    assert_eq!(
        (content.fingerprint.size, content.fingerprint.inode),
        (4, 0)
    );
    assert!(entry.state.is_active());
}

#[tokio::test]
async fn sums_of_parts_are_remembered_until_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(folder.path(), "a").await;
    let entry = entry("/a.png".into());
    journal.insert(std::slice::from_ref(&entry)).await.unwrap();
    let sums = [(2, Checksum::Crc64Nvme(u64::MAX)), (1, Checksum::Crc32c(7))];
    for (number, sum) in sums {
        journal.remember_part(entry.id, entry.id, number, sum, false);
    }
    // They are written no later than this is.
    journal.save(entry.id, &entry.state).await.unwrap();
    let parts = journal.parts(entry.id, entry.id).await.unwrap();
    assert_eq!(parts, BTreeMap::from(sums));
    let other = journal.parts(entry.id, UploadId::new()).await.unwrap();
    assert_eq!(other, BTreeMap::new());
    journal.save(entry.id, &State::Cancelled).await.unwrap();
    let parts = journal.parts(entry.id, entry.id).await.unwrap();
    assert_eq!(parts, BTreeMap::new());
}

#[tokio::test]
async fn an_upload_has_one_living_owner() {
    let folder = tempfile::tempdir().unwrap();
    let first = open(folder.path(), "a").await;
    let second = open(folder.path(), "a").await;
    let third = open(folder.path(), "a").await;
    let entry = entry("/a.png".into());
    first.insert(std::slice::from_ref(&entry)).await.unwrap();

    assert_eq!(second.claim_unfinished().await.unwrap(), []);
    assert_eq!(second.claim(&[entry.id]).await.unwrap(), vec![]);
    drop(first);
    let ids = [entry.id];
    let (a, b) = tokio::join!(second.claim_unfinished(), third.claim(&ids));
    assert_eq!(a.unwrap().len() + b.unwrap().len(), 1);
}

#[tokio::test]
async fn each_commit_is_synced() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(folder.path(), "a").await;
    let ask = async |pragma: &'static str| {
        let row = sqlx::query(pragma).fetch_one(&journal.pool).await.unwrap();
        row.try_get_unchecked::<String, _>(0).unwrap()
    };
    assert_eq!(ask("PRAGMA journal_mode").await, "wal");
    // 2 is FULL.
    assert_eq!(ask("PRAGMA synchronous").await, "2");
}

#[tokio::test]
async fn only_what_has_ended_is_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(folder.path(), "a").await;
    let (open, ended) = (entry("/a.png".into()), entry("/b.png".into()));
    journal
        .insert(&[open.clone(), ended.clone()])
        .await
        .unwrap();
    journal.save(ended.id, &State::Cancelled).await.unwrap();
    let none = BTreeSet::new();
    let forgotten = journal.forget_ended(SystemTime::now() - Duration::from_secs(60), &none, None);
    let forgotten = forgotten.await.unwrap();
    assert!(forgotten.is_empty());
    assert_eq!(journal.entries().await.unwrap().len(), 2);
    let busy = BTreeSet::from([ended.id]);
    let forgotten = journal
        .forget_ended(SystemTime::now(), &busy, None)
        .await
        .unwrap();
    assert!(forgotten.is_empty());
    let forgotten = journal
        .forget_ended(SystemTime::now(), &none, None)
        .await
        .unwrap();
    assert_eq!(forgotten, [ended.path]);
    assert_eq!(journal.entries().await.unwrap(), [open]);
}

#[tokio::test]
async fn a_full_disk_is_over_once_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(folder.path(), "a").await;
    let mut limit = journal.pool.acquire().await.unwrap();
    let pages: i64 = sqlx::query_scalar("PRAGMA page_count")
        .fetch_one(&mut *limit)
        .await
        .unwrap();
    let no_more = format!("PRAGMA max_page_count = {pages}");
    sqlx::raw_sql(sqlx::AssertSqlSafe(no_more))
        .execute(&mut *limit)
        .await
        .unwrap();
    drop(limit);
    let many: Vec<Entry> = (0..200)
        .map(|n| entry(format!("/{n}{}.png", "x".repeat(200)).into()))
        .collect();
    let full = journal.insert(&many).await.unwrap_err();
    assert!(full.to_string().ends_with("the disk is full"), "{full}");
    // The limit was the connection's, which has gone.
    journal.insert(&many).await.unwrap();
    assert_eq!(journal.entries().await.unwrap().len(), 200);
}
