//! A day of use: pictures come and go while the gallery is followed and looked at.

use std::{fs, path::Path};

use imgn_protocol::ImageId;

use crate::fake::{Gallery, eventually, open, serve, shown};

/// Less than what is looked at that day.
const CACHE: u64 = 200_000_000;

#[tokio::test]
async fn after_a_day_of_use_the_mirror_is_the_servers_list_and_the_cache_within_its_bound() {
    let folder = tempfile::tempdir().unwrap();
    let gallery = Gallery::new();
    let url = serve(&gallery).await;
    let app = open(folder.path(), &url, false).await;
    app.set_cache_limit(CACHE).await.unwrap();
    app.quit().await;
    let app = open(folder.path(), &url, true).await;

    let mut ids: Vec<ImageId> = Vec::new();
    for hour in 0..20_usize {
        {
            let mut gallery = gallery.lock().unwrap();
            for n in 0..500 {
                ids.push(gallery.add(&format!("hour {hour} picture {n}.jpg")));
            }
            // Others delete a few, old and new.
            for n in 0..25 {
                let id = ids.swap_remove((hour * 31 + n * 17) % ids.len());
                assert!(gallery.remove(id));
            }
            // The line is gone for a while now and then.
            gallery.away = hour % 5 == 4;
        }
        // And so does who uses it, also without the server.
        let mine: Vec<ImageId> = (0..25)
            .map(|n| ids.swap_remove((hour * 13 + n * 7) % ids.len()))
            .collect();
        let done = app.delete_images(mine).await.unwrap();
        assert_eq!(done.deleted.len() + done.queued.len(), 25);
        assert!(done.failed.is_empty());
        let newest = app.timeline("").await.unwrap().sequences;
        for picture in app.pictures(&newest[..newest.len().min(60)]).await.unwrap() {
            let id = picture.unwrap().image.id;
            // Offline they are not there yet.
            let _ = app.thumb(id, 320).await;
            let _ = app.thumb(id, 1280).await;
        }
        eventually("the cache is within its bound", async || {
            app.cache_usage().await.unwrap().bytes <= CACHE
        })
        .await;
    }
    gallery.lock().unwrap().away = false;

    app.sync(false).await.unwrap();
    eventually("nothing waits", async || {
        let view = app.state().await.server.unwrap().mirror;
        view.pending_deletions == 0
    })
    .await;
    app.sync(false).await.unwrap();
    let images = gallery.lock().unwrap().images();
    assert_eq!(images.len(), 10_000 - 1_000);
    assert_eq!(shown(&app).await, images);
    let hour = app
        .timeline("hour 7 picture")
        .await
        .unwrap()
        .sequences
        .len();
    let expected = images
        .iter()
        .filter(|image| {
            let name = image.file_name.as_str();
            name.starts_with("hour 7 ") || (name.starts_with("hour") && name.contains(" picture 7"))
        })
        .count();
    assert_eq!(hour, expected);
    // Thumbnails are still fetched ahead: what is evicted for one of them may not be gone yet.
    eventually(
        "the cache is within its bound, and so are its files",
        async || {
            let usage = app.cache_usage().await.unwrap();
            let on_disk = size_of(&folder.path().join("cache"));
            usage.bytes > CACHE / 2 && usage.bytes <= CACHE && on_disk <= CACHE
        },
    )
    .await;
    assert_eq!(app.state().await.server.unwrap().mirror.known, 9_000);
}

/// Of all files below a folder, in bytes. What goes meanwhile has none.
fn size_of(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => size_of(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        })
        .sum()
}
