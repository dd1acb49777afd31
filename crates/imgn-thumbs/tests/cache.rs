//! The disk cache, on a real directory.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    clippy::allow_attributes,
    reason = "a test that cannot go on fails"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use imgn_thumbs::{CacheError, DiskCache};

fn entries(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for shard in fs::read_dir(directory).unwrap() {
        files.extend(
            fs::read_dir(shard.unwrap().path())
                .unwrap()
                .map(|file| file.unwrap().path()),
        );
    }
    files
}

fn age(path: &Path, by: Duration) {
    fs::File::options()
        .write(true)
        .open(path)
        .unwrap()
        .set_modified(SystemTime::now() - by)
        .unwrap();
}

#[test]
fn what_was_put_is_got_back_by_any_key() {
    let directory = tempfile::tempdir().unwrap();
    let cache = DiskCache::open(directory.path(), 1 << 20).unwrap();
    for key in ["a", "../../etc/passwd", "", "\0", &"long".repeat(1000)] {
        assert_eq!(cache.get(key), None);
        cache.put(key, key.as_bytes()).unwrap();
        cache.put(key, &[key.as_bytes(), b"!"].concat()).unwrap();
        assert_eq!(cache.get(key).unwrap(), [key.as_bytes(), b"!"].concat());
    }
    assert_eq!(cache.usage().entries, 5);
    let reopened = DiskCache::open(directory.path(), 1 << 20).unwrap();
    assert_eq!(reopened.get("a").unwrap(), b"a!");
    reopened.clear();
    assert_eq!(cache.get("a"), None);
    assert_eq!(cache.usage().bytes, 0);
}

#[test]
fn a_damaged_entry_is_dropped() {
    let directory = tempfile::tempdir().unwrap();
    let cache = DiskCache::open(directory.path(), 1 << 20).unwrap();
    let damages: [fn(&mut Vec<u8>); 4] = [
        |file| file.truncate(file.len() - 1),
        |file| file.push(0),
        |file| *file.last_mut().unwrap() ^= 1,
        Vec::clear,
    ];
    for damage in damages {
        cache.put("key", b"content").unwrap();
        let [path] = entries(directory.path()).try_into().unwrap();
        let mut file = fs::read(&path).unwrap();
        damage(&mut file);
        fs::write(&path, file).unwrap();
        assert_eq!(cache.get("key"), None);
        assert!(!path.exists());
    }
}

#[test]
fn what_was_used_least_recently_goes_first() {
    let directory = tempfile::tempdir().unwrap();
    // Room for three, with what eviction leaves free.
    let cache = DiskCache::open(directory.path(), 10_500).unwrap();
    for key in ["old", "used", "young"] {
        cache.put(key, &[1; 3000]).unwrap();
    }
    for path in entries(directory.path()) {
        age(&path, Duration::from_secs(3600));
    }
    cache.put("young", &[1; 3000]).unwrap();
    assert!(cache.get("used").is_some());
    cache.put("new", &[1; 3000]).unwrap();
    assert!(cache.get("old").is_none());
    for key in ["used", "young", "new"] {
        assert!(cache.get(key).is_some(), "{key}");
    }
}

#[test]
fn two_caches_on_one_directory_stay_within_their_bound() {
    const MAX: u64 = 200_000;
    let directory = tempfile::tempdir().unwrap();
    let caches = [0, 1].map(|_| DiskCache::open(directory.path(), MAX).unwrap());
    std::thread::scope(|scope| {
        for (number, cache) in caches.iter().enumerate() {
            scope.spawn(move || {
                for round in 0..300 {
                    let key = format!("{}", (round + number) % 97);
                    cache.put(&key, &[number as u8; 5000]).unwrap();
                    if let Some(content) = cache.get(&key) {
                        assert!(
                            content.len() == 5000 && content.iter().all(|byte| *byte == content[0])
                        );
                    }
                }
            });
        }
    });
    assert!(
        caches[0].usage().bytes <= MAX + 2 * (MAX / 16 + 5020),
        "{:?}",
        caches[0].usage()
    );
    assert!(caches[0].usage().entries > 10);
}

#[test]
fn a_vanished_directory_is_made_again_and_a_failed_put_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let cache = DiskCache::open(directory.path().join("cache"), 10_000).unwrap();
    cache.put("key", b"1").unwrap();
    fs::remove_dir_all(directory.path().join("cache")).unwrap();
    assert_eq!(cache.get("key"), None);
    cache.put("key", b"2").unwrap();
    assert_eq!(cache.get("key").unwrap(), b"2");

    assert!(matches!(
        cache.put("large", &[0; 10_000]),
        Err(CacheError::TooLarge { .. })
    ));
    // A directory where the entry should be: the last step of a put fails.
    let [path] = entries(&directory.path().join("cache")).try_into().unwrap();
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(matches!(cache.put("key", b"3"), Err(CacheError::Io { .. })));
    assert_eq!(
        fs::read_dir(directory.path().join("cache/tmp"))
            .unwrap()
            .count(),
        0
    );
}
