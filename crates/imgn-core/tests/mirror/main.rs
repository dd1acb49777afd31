//! The gallery's list on this computer: filled, kept, searched, and used without a server.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that meets what it does not expect has failed"
)]

mod day;
mod fake;
mod real;

use imgn_core::{ClientCode, Event, MirrorPhase};
use imgn_protocol::{ErrorCode, ImageId};

use fake::{Gallery, eventually, heard, open, original, serve, shown};

#[tokio::test]
async fn a_fill_that_was_cut_off_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let gallery = Gallery::new();
    let url = serve(&gallery).await;
    {
        let mut gallery = gallery.lock().unwrap();
        for n in 0..12_000 {
            gallery.add(&format!("img {n}.jpg"));
        }
        gallery.pages_left = Some(2);
    }
    let app = open(folder.path(), &url, false).await;
    let cut = app.sync(false).await.unwrap_err();
    assert_eq!(cut.code, ErrorCode::Unavailable.into());
    let view = app.state().await.server.unwrap().mirror;
    assert_eq!(view.phase, MirrorPhase::Filling);
    assert_eq!(view.total, Some(12_000));
    assert_eq!(view.checked_at, None);
    app.quit().await;

    let reached = {
        let mut gallery = gallery.lock().unwrap();
        gallery.pages_left = None;
        gallery.asked.clear();
        10_000
    };
    let app = open(folder.path(), &url, false).await;
    app.sync(false).await.unwrap();
    assert_eq!(gallery.lock().unwrap().asked[0], reached);
    let images = gallery.lock().unwrap().images();
    assert_eq!(shown(&app).await, images);
    let view = app.state().await.server.unwrap().mirror;
    assert_eq!((view.phase, view.known), (MirrorPhase::Live, 12_000));
    assert!(view.checked_at.is_some());
}

#[tokio::test]
async fn a_timeline_has_columns_that_belong_together_and_words_find_pictures() {
    let folder = tempfile::tempdir().unwrap();
    let gallery = Gallery::new();
    let url = serve(&gallery).await;
    let (beach, lake) = {
        let mut gallery = gallery.lock().unwrap();
        let beach = gallery.add("Beach_one 2019-07.jpg");
        (beach, gallery.add("Übersicht lake.jpg"))
    };
    let app = open(folder.path(), &url, false).await;
    app.sync(false).await.unwrap();
    let timeline = app.timeline("").await.unwrap();
    assert_eq!(timeline.sequences, [2, 1]);
    assert_eq!(timeline.created, [1_700_000_002, 1_700_000_001]);
    assert_eq!(timeline.ratios, [2058, 2053]);

    for (search, found) in [
        ("beach", &[beach][..]),
        ("one BEA", &[beach]),
        ("ubersicht", &[lake]),
        ("übers", &[lake]),
        ("canon", &[lake]),
        ("2019-07", &[beach]),
        ("2023-11-14", &[lake, beach]),
        ("november", &[lake, beach]),
        ("october 2023-10-05", &[lake, beach]),
        ("ada jpg", &[lake, beach]),
        ("each", &[]),
        ("lake beach", &[]),
        ("%", &[]),
        ("  ", &[lake, beach]),
        ("\" OR *", &[]),
    ] {
        let sequences = app.timeline(search).await.unwrap().sequences;
        let pictures = app.pictures(&sequences).await.unwrap();
        let ids: Vec<ImageId> = pictures
            .into_iter()
            .map(|picture| picture.unwrap().image.id)
            .collect();
        assert_eq!(ids, found, "{search:?}");
    }
    let long = app.timeline(&"a".repeat(400)).await.unwrap_err();
    assert_eq!(long.code, ClientCode::InvalidInput.into());
    let many = app.pictures(&[1; 501]).await.unwrap_err();
    assert_eq!(many.code, ClientCode::InvalidInput.into());
    let asked = app.pictures(&[1, 7, 2]).await.unwrap();
    let ids: Vec<_> = asked
        .iter()
        .map(|picture| picture.as_ref().map(|picture| picture.image.id))
        .collect();
    assert_eq!(ids, [Some(beach), None, Some(lake)]);
}

#[tokio::test]
async fn a_server_that_began_anew_is_mirrored_anew() {
    let folder = tempfile::tempdir().unwrap();
    let gallery = Gallery::new();
    let url = serve(&gallery).await;
    for n in 0..5 {
        gallery.lock().unwrap().add(&format!("old {n}.jpg"));
    }
    let app = open(folder.path(), &url, false).await;
    app.sync(false).await.unwrap();

    // Another feed, also where it is longer than the one before.
    gallery.lock().unwrap().begin_anew("second");
    for n in 0..9 {
        gallery.lock().unwrap().add(&format!("new {n}.jpg"));
    }
    app.sync(false).await.unwrap();
    let images = gallery.lock().unwrap().images();
    assert_eq!(shown(&app).await, images);
    assert_eq!(app.timeline("old").await.unwrap().sequences, [0_u32; 0]);

    // The same feed that goes backwards, as after a backup was restored.
    gallery.lock().unwrap().begin_anew("second");
    gallery.lock().unwrap().add("restored.jpg");
    app.sync(false).await.unwrap();
    let images = gallery.lock().unwrap().images();
    assert_eq!(shown(&app).await, images);
    assert_eq!(app.timeline("restored").await.unwrap().sequences, [1]);
}

#[tokio::test]
async fn two_programs_follow_with_one_mirror_and_hear_of_everything_once() {
    let folder = tempfile::tempdir().unwrap();
    let gallery = Gallery::new();
    let url = serve(&gallery).await;
    for n in 0..6_000 {
        gallery.lock().unwrap().add(&format!("{n}.jpg"));
    }
    let (one, other) = tokio::join!(
        open(folder.path(), &url, true),
        open(folder.path(), &url, true)
    );
    let ids: Vec<ImageId> = {
        let mut gallery = gallery.lock().unwrap();
        let ids: Vec<ImageId> = gallery.images().iter().map(|image| image.id).collect();
        for id in ids.iter().step_by(10) {
            gallery.remove(*id);
        }
        gallery.add("last.jpg");
        ids
    };
    for app in [&one, &other] {
        eventually("both have everything", async || {
            app.sync(false).await.unwrap();
            let images = gallery.lock().unwrap().images();
            shown(app).await == images
        })
        .await;
        let view = app.state().await.server.unwrap().mirror;
        assert_eq!(view.known, 6_000 - 600 + 1);
        assert_eq!(app.picture(ids[1]).await.unwrap().unwrap().image.id, ids[1]);
    }
}

#[tokio::test]
async fn a_deletion_without_the_server_waits_and_one_that_is_refused_is_told_and_taken_back() {
    let folder = tempfile::tempdir().unwrap();
    let gallery = Gallery::new();
    let url = serve(&gallery).await;
    let ids: Vec<ImageId> = (0..4)
        .map(|n| gallery.lock().unwrap().add(&format!("{n}.jpg")))
        .collect();
    let app = open(folder.path(), &url, false).await;
    app.sync(false).await.unwrap();

    let done = app.delete_images(vec![ids[3]]).await.unwrap();
    assert_eq!((done.deleted, done.queued.len()), (vec![ids[3]], 0));

    gallery.lock().unwrap().away = true;
    let done = app.delete_images(vec![ids[0], ids[1]]).await.unwrap();
    assert_eq!((done.deleted.len(), done.queued), (0, vec![ids[0], ids[1]]));
    assert_eq!(app.timeline("").await.unwrap().sequences, [3]);
    assert_eq!(app.pictures(&[1]).await.unwrap(), [None]);
    assert_eq!(app.timeline("0").await.unwrap().sequences, [0_u32; 0]);
    app.quit().await;

    // Another program, another day.
    let app = open(folder.path(), &url, false).await;
    let view = app.state().await.server.unwrap().mirror;
    assert_eq!(view.pending_deletions, 0, "not opened before it is needed");
    assert_eq!(app.timeline("").await.unwrap().sequences, [3]);
    let view = app.state().await.server.unwrap().mirror;
    assert_eq!((view.pending_deletions, view.known), (2, 1));
    {
        let mut gallery = gallery.lock().unwrap();
        gallery.away = false;
        gallery.refuses = Some(ErrorCode::Forbidden);
        // Somebody else deleted it meanwhile.
        gallery.remove(ids[1]);
    }
    let mut events = app.events();
    app.sync(false).await.unwrap();
    let refused = heard(&mut events, |event| match event {
        Event::DeletionFailed(refused) => Some(refused),
        _ => None,
    })
    .await;
    assert_eq!(refused.file_name, "0.jpg");
    assert_eq!(refused.error.code, ErrorCode::Forbidden.into());
    assert_eq!(app.timeline("").await.unwrap().sequences, [3, 1]);
    let view = app.state().await.server.unwrap().mirror;
    assert_eq!((view.pending_deletions, view.known), (0, 2));

    let failed = app.delete_images(vec![ids[2]]).await.unwrap().failed;
    assert_eq!(failed[0].id, ids[2]);
    assert_eq!(app.timeline("").await.unwrap().sequences, [3, 1]);
}

#[tokio::test]
async fn originals_that_are_kept_are_here_whole_and_go_when_nobody_asks_for_them() {
    let folder = tempfile::tempdir().unwrap();
    let gallery = Gallery::new();
    let url = serve(&gallery).await;
    let ids: Vec<ImageId> = (0..3)
        .map(|n| gallery.lock().unwrap().add(&format!("{n}.jpg")))
        .collect();
    let app = open(folder.path(), &url, false).await;
    app.sync(false).await.unwrap();
    app.keep(&ids[..2], true).await.unwrap();
    let state = app.offline_state().await.unwrap();
    assert_eq!((state.kept, state.here, state.all), (2, 0, false));
    assert_eq!(app.sync(true).await.unwrap(), 0);
    let state = app.offline_state().await.unwrap();
    let size = original(ids[0]).len() as u64;
    assert_eq!((state.here, state.bytes), (2, 2 * size));
    let picture = app.picture(ids[0]).await.unwrap().unwrap();
    assert!(picture.kept && picture.original_here);

    gallery.lock().unwrap().away = true;
    let app = {
        app.quit().await;
        open(folder.path(), &url, true).await
    };
    assert_eq!(app.original(ids[0]).await.unwrap().1, original(ids[0]));
    let out = folder.path().join("out.jpg");
    app.download(ids[1], out.clone(), false).await.unwrap();
    assert_eq!(std::fs::read(&out).unwrap(), original(ids[1]));
    assert!(app.original(ids[2]).await.is_err());

    // Damage on the disk is noticed, and mended when the server is back.
    let files = originals_below(folder.path());
    assert_eq!(files.len(), 2);
    for file in &files {
        std::fs::write(file, "damaged").unwrap();
    }
    assert!(app.original(ids[0]).await.is_err());
    gallery.lock().unwrap().away = false;
    assert_eq!(app.original(ids[0]).await.unwrap().1, original(ids[0]));

    app.keep_all(true).await.unwrap();
    eventually("all are here", async || {
        app.offline_state().await.unwrap().here == 3
    })
    .await;
    app.keep_all(false).await.unwrap();
    let state = app.offline_state().await.unwrap();
    assert_eq!((state.kept, state.here), (2, 2));
    gallery.lock().unwrap().remove(ids[0]);
    app.sync(false).await.unwrap();
    app.keep(&[ids[1]], false).await.unwrap();
    assert_eq!(originals_below(folder.path()).len(), 0);
}

#[tokio::test]
async fn files_of_originals_are_not_fetched_twice_and_go_when_nobody_knows_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let gallery = Gallery::new();
    let url = serve(&gallery).await;
    let id = gallery.lock().unwrap().add("a.jpg");
    let app = open(folder.path(), &url, false).await;
    app.sync(false).await.unwrap();
    app.keep(&[id], true).await.unwrap();
    assert_eq!(app.sync(true).await.unwrap(), 0);
    let file = originals_below(folder.path()).remove(0);
    app.keep(&[id], false).await.unwrap();
    assert!(!file.exists());

    // As after a crash between the disk and the list.
    std::fs::write(&file, original(id)).unwrap();
    gallery.lock().unwrap().keeps_originals = true;
    app.keep(&[id], true).await.unwrap();
    assert_eq!(app.sync(true).await.unwrap(), 0);
    assert_eq!(app.offline_state().await.unwrap().here, 1);
    app.quit().await;

    let write = |path: std::path::PathBuf, is_old: bool| {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let file = std::fs::File::create(&path).unwrap();
        if is_old {
            let day = std::time::Duration::from_secs(86_400);
            file.set_modified(std::time::SystemTime::now() - day)
                .unwrap();
        }
        path
    };
    let stray = ImageId::new().to_string();
    let folders = file.ancestors().nth(2).unwrap();
    let stray = write(folders.join(&stray[stray.len() - 2..]).join(&stray), true);
    let given_up = write(file.with_file_name(".tmp-a"), true);
    let under_way = write(file.with_file_name(".tmp-b"), false);
    let app = open(folder.path(), &url, true).await;
    eventually("what nobody knows of is gone", async || {
        !stray.exists() && !given_up.exists()
    })
    .await;
    assert!(under_way.exists() && file.exists());
    assert_eq!(app.original(id).await.unwrap().1, original(id));
}

fn originals_below(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(originals_below(&path));
        } else if path.to_string_lossy().contains("originals") {
            found.push(path);
        }
    }
    found
}

#[tokio::test]
async fn a_damaged_mirror_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let gallery = Gallery::new();
    let url = serve(&gallery).await;
    gallery.lock().unwrap().add("a.jpg");
    let app = open(folder.path(), &url, false).await;
    app.sync(false).await.unwrap();
    app.quit().await;
    let galleries = app.home().galleries();
    let one = std::fs::read_dir(galleries).unwrap().next().unwrap();
    let file = one.unwrap().path().join("mirror.sqlite");
    std::fs::write(&file, vec![b'x'; 8192]).unwrap();

    let app = open(folder.path(), &url, false).await;
    assert_eq!(app.timeline("").await.unwrap().sequences, [0_u32; 0]);
    app.sync(false).await.unwrap();
    assert_eq!(app.timeline("").await.unwrap().sequences, [1]);
}

#[tokio::test]
async fn damage_that_shows_itself_late_costs_no_queued_deletion() {
    let folder = tempfile::tempdir().unwrap();
    let gallery = Gallery::new();
    let url = serve(&gallery).await;
    let ids: Vec<_> = (0..3000)
        .map(|n| gallery.lock().unwrap().add(&format!("picture {n}.jpg")))
        .collect();
    let app = open(folder.path(), &url, false).await;
    app.sync(false).await.unwrap();
    gallery.lock().unwrap().away = true;
    let done = app.delete_images(vec![ids[7]]).await.unwrap();
    assert_eq!(done.queued, [ids[7]]);
    app.quit().await;

    // The pages of the pictures, and none that is read at the start.
    let galleries = app.home().galleries();
    let one = std::fs::read_dir(galleries).unwrap().next().unwrap();
    let file = one.unwrap().path().join("mirror.sqlite");
    let mut pages = std::fs::read(&file).unwrap();
    let start = pages.len() / 4;
    pages[start..].fill(0xa5);
    std::fs::write(&file, pages).unwrap();

    let app = open(folder.path(), &url, true).await;
    assert!(app.timeline("").await.is_err(), "it is damaged");
    // What the server tells cannot be written down, which is no fault of the server's.
    gallery.lock().unwrap().away = false;
    gallery.lock().unwrap().add("one more.jpg");
    eventually("it says so", async || {
        let server = app.state().await.server.unwrap();
        server.reachable && server.mirror.phase == MirrorPhase::Failing
    })
    .await;
    gallery.lock().unwrap().away = true;
    app.quit().await;

    let app = open(folder.path(), &url, false).await;
    assert_eq!(app.timeline("").await.unwrap().sequences, [0_u32; 0]);
    gallery.lock().unwrap().away = false;
    app.sync(false).await.unwrap();
    let images = gallery.lock().unwrap().images();
    assert_eq!(images.len(), 3000, "the deletion was carried out");
    assert_eq!(shown(&app).await, images);
}

#[tokio::test]
async fn thumbnails_are_fetched_ahead_newest_first_and_no_more_than_fit() {
    let folder = tempfile::tempdir().unwrap();
    let gallery = Gallery::new();
    let url = serve(&gallery).await;
    let ids: Vec<ImageId> = (0..150)
        .map(|n| gallery.lock().unwrap().add(&format!("{n}.jpg")))
        .collect();
    let app = open(folder.path(), &url, false).await;
    app.set_cache_limit(1024 * 1024).await.unwrap();
    app.quit().await;

    let app = open(folder.path(), &url, true).await;
    let most = 1024 * 1024 - 1024 * 1024 / 8;
    eventually("as many as fit", async || {
        app.cache_usage().await.unwrap().bytes > most
    })
    .await;
    let usage = app.cache_usage().await.unwrap();
    assert!(usage.bytes <= 1024 * 1024, "{usage:?}");
    assert!(app.has_thumb(ids[149]).await && app.has_thumb(ids[120]).await);
    assert!(!app.has_thumb(ids[0]).await);

    // What is there is there without the server, and what is deleted under it comes back by itself.
    let given = gallery.lock().unwrap().thumbs_given;
    std::fs::remove_dir_all(app.home().cache()).unwrap();
    assert_eq!(app.thumb(ids[149], 320).await.unwrap().len(), 20_000);
    assert_eq!(gallery.lock().unwrap().thumbs_given, given + 1);
    gallery.lock().unwrap().away = true;
    assert_eq!(app.thumb(ids[149], 320).await.unwrap().len(), 20_000);
    assert!(app.thumb(ids[0], 320).await.is_err());
}
