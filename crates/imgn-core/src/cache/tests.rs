//! The cache, on a real directory.

use std::{fs, path::PathBuf, sync::Arc};

use super::*;

const MANY: u64 = 1 << 20;

async fn open(directory: &Path, max: u64) -> Cache {
    let (folder, index) = (directory.join("cache"), directory.join("cache.sqlite"));
    Cache::open(folder, &index, max).await.unwrap()
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for shard in fs::read_dir(directory.join("cache")).unwrap() {
        let shard = fs::read_dir(shard.unwrap().path()).unwrap();
        files.extend(shard.map(|file| file.unwrap().path()));
    }
    files
}

#[tokio::test]
async fn what_was_put_is_got_back_by_any_key_and_equal_contents_are_one_file() {
    let directory = tempfile::tempdir().unwrap();
    let cache = open(directory.path(), MANY).await;
    for key in ["a", "../../etc/passwd", "", "\u{1}", &"long".repeat(1000)] {
        assert_eq!(cache.get(key).await, None);
        cache.put(key, key.as_bytes().to_vec()).await.unwrap();
        cache.put(key, b"the same".to_vec()).await.unwrap();
        assert_eq!(cache.get(key).await.unwrap(), b"the same");
    }
    let usage = cache.usage().await.unwrap();
    assert_eq!((usage.entries, usage.bytes), (5, 40));
    assert_eq!(files(directory.path()).len(), 1);
    cache.put("a", b"other".to_vec()).await.unwrap();
    assert_eq!(files(directory.path()).len(), 2);
    let keys = ["a", "b"].map(str::to_owned).to_vec();
    assert_eq!(
        cache.missing(keys).await.unwrap(),
        HashSet::from(["b".to_owned()])
    );
    cache.close().await;

    let cache = open(directory.path(), MANY).await;
    assert_eq!(cache.get("a").await.unwrap(), b"other");
    cache.clear().await.unwrap();
    assert_eq!(cache.get("a").await, None);
    assert_eq!(cache.usage().await.unwrap(), CacheUsage::default());
    assert!(files(directory.path()).is_empty());
}

#[tokio::test]
async fn a_damaged_entry_is_dropped() {
    let directory = tempfile::tempdir().unwrap();
    let cache = open(directory.path(), MANY).await;
    let damages: [fn(&mut Vec<u8>); 4] = [
        |file| file.truncate(file.len() - 1),
        |file| file.push(0),
        |file| *file.last_mut().unwrap() ^= 1,
        Vec::clear,
    ];
    for damage in damages {
        cache.put("key", b"content".to_vec()).await.unwrap();
        let [path] = files(directory.path()).try_into().unwrap();
        let mut file = fs::read(&path).unwrap();
        damage(&mut file);
        fs::write(&path, file).unwrap();
        assert_eq!(cache.get("key").await, None);
        assert!(!path.exists());
        assert_eq!(cache.usage().await.unwrap().entries, 0);
    }
}

#[tokio::test]
async fn what_was_used_least_recently_goes_first() {
    let directory = tempfile::tempdir().unwrap();
    let cache = open(directory.path(), 10_500).await;
    let pause = || tokio::time::sleep(Duration::from_millis(3));
    for (n, key) in ["old", "used", "young"].into_iter().enumerate() {
        cache
            .put(key, vec![u8::try_from(n).unwrap(); 3000])
            .await
            .unwrap();
        pause().await;
    }
    assert!(cache.get("used").await.is_some());
    pause().await;
    cache.put("young", vec![7; 3000]).await.unwrap();
    pause().await;
    cache.put("new", vec![8; 3000]).await.unwrap();
    assert!(cache.get("old").await.is_none());
    for key in ["used", "young", "new"] {
        assert!(cache.get(key).await.is_some(), "{key}");
        pause().await;
    }
    cache.set_max_bytes(4000).await.unwrap();
    assert_eq!(cache.usage().await.unwrap().bytes, 3000);
    assert_eq!(files(directory.path()).len(), 1);
    assert!(cache.get("new").await.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_programs_on_one_cache_stay_within_its_bound() {
    const MAX: u64 = 200_000;
    let directory = tempfile::tempdir().unwrap();
    let caches = [
        Arc::new(open(directory.path(), MAX).await),
        Arc::new(open(directory.path(), MAX).await),
    ];
    let work = |number: usize| {
        let cache = Arc::clone(&caches[number]);
        tokio::spawn(async move {
            for round in 0..150_usize {
                let key = format!("{}", (round + number) % 97);
                let mut content = key.repeat(2500).into_bytes();
                content.truncate(5000 / key.len() * key.len());
                cache.put(&key, content.clone()).await.unwrap();
                if let Some(found) = cache.get(&key).await {
                    assert_eq!(found, content);
                }
            }
        })
    };
    let (one, other) = (work(0), work(1));
    one.await.unwrap();
    other.await.unwrap();
    let usage = caches[0].usage().await.unwrap();
    assert!(usage.bytes <= MAX, "{usage:?}");
    assert!(usage.entries > 10);
    let on_disk: u64 = files(directory.path())
        .iter()
        .map(|file| fs::metadata(file).unwrap().len())
        .sum();
    assert!(on_disk <= MAX, "{on_disk}");
}

#[tokio::test]
async fn a_vanished_directory_is_made_again_and_a_failed_put_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let cache = open(directory.path(), 10_000).await;
    cache.put("key", b"1".to_vec()).await.unwrap();
    fs::remove_dir_all(directory.path().join("cache")).unwrap();
    assert_eq!(cache.get("key").await, None);
    let missing = cache.missing(vec!["key".to_owned()]).await.unwrap();
    assert_eq!(missing.len(), 1);
    cache.put("key", b"2".to_vec()).await.unwrap();
    assert_eq!(cache.get("key").await.unwrap(), b"2");

    let large = cache.put("large", vec![0; 10_001]).await;
    assert!(matches!(large, Err(CacheError::TooLarge { .. })));
    // A file where the directory should be, as when nothing more can be written: a put fails, and what was is gone.
    fs::remove_dir_all(directory.path().join("cache")).unwrap();
    fs::write(directory.path().join("cache"), "").unwrap();
    let failed = cache.put("key", b"3".to_vec()).await;
    assert!(matches!(failed, Err(CacheError::Io { .. })));
    assert_eq!(cache.get("key").await, None);
    assert_eq!(cache.usage().await.unwrap().entries, 0);
}

#[tokio::test]
async fn a_damaged_index_is_made_anew_with_an_empty_cache() {
    let directory = tempfile::tempdir().unwrap();
    let cache = open(directory.path(), MANY).await;
    cache.put("key", b"1".to_vec()).await.unwrap();
    cache.close().await;
    fs::write(directory.path().join("cache.sqlite"), vec![b'x'; 8192]).unwrap();
    let cache = open(directory.path(), MANY).await;
    assert_eq!(cache.get("key").await, None);
    assert!(files(directory.path()).is_empty());
    cache.put("key", b"1".to_vec()).await.unwrap();
    assert_eq!(cache.get("key").await.unwrap(), b"1");
}

#[tokio::test]
async fn damage_that_shows_itself_late_empties_the_cache_at_the_next_start() {
    let directory = tempfile::tempdir().unwrap();
    let cache = open(directory.path(), MANY).await;
    for n in 0..2000 {
        cache
            .put(&format!("key {n}"), b"the same".to_vec())
            .await
            .unwrap();
    }
    cache.close().await;
    // The pages of the entries, and none that is read at the start.
    let index = directory.path().join("cache.sqlite");
    let mut pages = fs::read(&index).unwrap();
    let start = pages.len() / 4;
    pages[start..].fill(0xa5);
    fs::write(&index, pages).unwrap();

    let cache = open(directory.path(), MANY).await;
    for n in 0..2000 {
        cache.get(&format!("key {n}")).await;
    }
    cache.close().await;
    let cache = open(directory.path(), MANY).await;
    assert_eq!(cache.usage().await.unwrap(), CacheUsage::default());
    cache.put("key", b"1".to_vec()).await.unwrap();
    assert_eq!(cache.get("key").await.unwrap(), b"1");
}

#[tokio::test]
async fn an_index_without_sums_is_given_them() {
    let directory = tempfile::tempdir().unwrap();
    let cache = open(directory.path(), MANY).await;
    cache.put("one", vec![1; 30]).await.unwrap();
    cache.put("other", vec![2; 12]).await.unwrap();
    // As the version before made it.
    sqlx::raw_sql(
        "DROP TABLE usage; DROP TRIGGER entry_added; DROP TRIGGER entry_replaced;
         DROP TRIGGER entry_removed; PRAGMA user_version = 1;",
    )
    .execute(&cache.index)
    .await
    .unwrap();
    cache.close().await;

    let cache = open(directory.path(), MANY).await;
    assert_eq!(cache.get("one").await.unwrap(), vec![1; 30]);
    cache.put("other", vec![2; 4]).await.unwrap();
    let usage = cache.usage().await.unwrap();
    assert_eq!((usage.entries, usage.bytes), (2, 34));
}
