//! Large files: in parts, through interruptions of every kind.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use imgn_protocol::{Sha256, UploadId};
use imgn_upload::{Call, Engine, Failure, Snapshot, State, UploadCode, WaitingFor};

use super::{
    Bench, ended, enqueue,
    fake::{Kill, World, store},
    until,
};

const PART: u64 = 1000;

fn bench() -> Bench {
    let bench = Bench::new();
    bench.world.lock().unwrap().part_size = PART;
    bench
}

fn bytes(seed: u8, length: usize) -> Vec<u8> {
    let spread = |n: usize| (n.wrapping_mul(31) >> 3).to_le_bytes()[0];
    (0..length).map(|n| spread(n).wrapping_add(seed)).collect()
}

/// Drives all that is left over to its end, as the next start of the program does.
async fn bring_to_an_end(engine: &Engine, what: &str) -> Vec<State> {
    // The tasks of the dead program may still hold its lock for a moment.
    let mut tries = 0;
    while !engine.snapshots().iter().all(|s| s.entry.state.has_ended()) {
        engine.adopt().await.unwrap();
        tries += 1;
        assert!(tries < 2000, "{what}: {:?}", engine.snapshots());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    ended(engine).await
}

/// How often each part, or whole file, reached the store.
fn sent(world: &World) -> BTreeMap<(UploadId, u32), usize> {
    let parts = world.uploads.iter().flat_map(|(id, upload)| {
        let parts = upload.parts.iter();
        parts.map(|(number, sent)| ((*id, *number), sent.len()))
    });
    parts.collect()
}

#[tokio::test]
async fn a_large_file_is_sent_in_parts_each_once() {
    let bench = bench();
    let remote = Arc::new(bench.remote());
    let engine = bench.engine(Arc::clone(&remote)).await;
    let large = bytes(1, 7_321);
    enqueue(
        &engine,
        &[&bench.file("a.png", &large), &bench.file("b.png", b"small")],
    )
    .await;
    for state in ended(&engine).await {
        assert!(matches!(state, State::Published { .. }), "{state:?}");
    }
    let world = bench.world.lock().unwrap();
    assert_eq!(sent(&world).len(), 8);
    assert!(sent(&world).values().all(|times| *times == 1));
    assert!(world.published.contains_key(&Sha256::of(&large)));
    assert_eq!(engine.snapshots()[0].sent_bytes, 7_321);
}

/// What happens to the file between two runs of the program.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Meanwhile {
    Nothing,
    /// Other bytes of the same length.
    Rewritten,
    /// The same bytes in a new file.
    Replaced,
    Away,
}

/// The program is killed before or after each call took effect: that is, on either side of every write to the journal,
/// since each stands between two calls. The next run must end as the undisturbed one would.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_anywhere_it_ends_as_if_nothing_had_been() {
    let mut killed = 0;
    for meanwhile in [
        Meanwhile::Nothing,
        Meanwhile::Rewritten,
        Meanwhile::Replaced,
        Meanwhile::Away,
    ] {
        for length in [4_500, 700] {
            let calls = if length == 700 { 5 } else { 14 };
            for kill in (0..calls).flat_map(|n| [Kill::Before(n), Kill::After(n)]) {
                killed += usize::from(kill_once(length, kill, meanwhile).await);
            }
        }
    }
    assert!(killed >= 120, "only {killed} kills happened");
}

async fn kill_once(length: usize, kill: Kill, meanwhile: Meanwhile) -> bool {
    let what = format!("{length} {kill:?} {meanwhile:?}");
    let bench = bench();
    let mut remote = bench.remote();
    remote.kill = kill;
    let remote = Arc::new(remote);
    let engine = bench.engine(Arc::clone(&remote)).await;
    let (old, new) = (bytes(1, length), bytes(2, length));
    let path = bench.file("a.png", &old);
    enqueue(&engine, &[&path]).await;
    let was_killed = tokio::select! {
        () = remote.killed.notified() => true,
        _ = ended(&engine) => false,
    };
    // Not shut down: nothing is released or written any more, as after `kill -9`.
    drop(engine);
    drop(remote);

    let aside = bench.folder.path().join("aside");
    match meanwhile {
        Meanwhile::Nothing => {}
        Meanwhile::Rewritten => std::fs::write(&path, &new).unwrap(),
        Meanwhile::Replaced => {
            std::fs::write(&aside, &old).unwrap();
            std::fs::rename(&aside, &path).unwrap();
        }
        Meanwhile::Away => std::fs::rename(&path, &aside).unwrap(),
    }
    let engine = bench.engine(Arc::new(bench.remote())).await;
    if meanwhile == Meanwhile::Away {
        come_back_later(&engine, &aside, &path, &what).await;
    }
    let states = bring_to_an_end(&engine, &what).await;
    assert!(
        matches!(states[..], [State::Published { .. }]),
        "{what}: {states:?}"
    );

    let world = bench.world.lock().unwrap();
    assert!(
        world.uploads.values().all(|upload| upload.ended.is_some()),
        "{what}: something is left open"
    );
    let published: Vec<_> = world.published.keys().copied().collect();
    if meanwhile == Meanwhile::Rewritten {
        // What was complete before is the old file, and everything else the new one.
        assert_eq!(published.len(), 1, "{what}");
        assert!(
            [Sha256::of(&old), Sha256::of(&new)].contains(&published[0]),
            "{what}"
        );
    } else {
        assert_eq!(published, [Sha256::of(&old)], "{what}");
        assert!(sent(&world).values().all(|times| *times == 1), "{what}");
        assert_eq!(world.uploads.len(), 1, "{what}");
    }
    was_killed
}

async fn come_back_later(engine: &Engine, aside: &Path, path: &Path, what: &str) {
    let waits = |state: &State| {
        matches!(
            state,
            State::Waiting {
                on: WaitingFor::File,
                ..
            }
        )
    };
    let mut tries = 0;
    loop {
        engine.adopt().await.unwrap();
        let state = engine.snapshots().remove(0).entry.state;
        if state.has_ended() || waits(&state) {
            break;
        }
        tries += 1;
        assert!(tries < 2000, "{what}: {state:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    std::fs::rename(aside, path).unwrap();
}

#[tokio::test]
async fn parts_that_the_store_has_otherwise_are_sent_again() {
    let bench = bench();
    let remote = Arc::new(bench.remote());
    // The second part is refused until the upload gives up.
    for _ in 0..200 {
        remote.fail(Call::Put, store(500, "InternalError"));
    }
    let engine = bench.engine(Arc::clone(&remote)).await;
    let id = enqueue(&engine, &[&bench.file("a.png", &bytes(1, 3_500))]).await[0];
    match &ended(&engine).await[0] {
        State::Failed { fault, .. } => assert_eq!(fault.code, UploadCode::GaveUp.into()),
        other => panic!("{other:?}"),
    }
    remote.failures.lock().unwrap().clear();
    {
        let mut world = bench.world.lock().unwrap();
        let upload = world.uploads.get_mut(&id).unwrap();
        upload.parts.insert(1, vec![bytes(1, 1000)]);
        upload.parts.insert(2, vec![bytes(9, 1000)]);
        upload.parts.insert(3, vec![bytes(1, 999)]);
    }
    remote.puts.store(0, Ordering::SeqCst);
    assert!(engine.retry(id).await.unwrap());
    assert!(matches!(ended(&engine).await[0], State::Published { .. }));
    assert_eq!(remote.puts.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn each_part_gets_one_fresh_url_and_then_the_stores_own_words() {
    for (refusals, published) in [(1, true), (50, false)] {
        let bench = bench();
        let remote = Arc::new(bench.remote());
        for _ in 0..refusals {
            remote.fail(Call::Put, store(403, "AccessDenied"));
        }
        let engine = bench.engine(Arc::clone(&remote)).await;
        enqueue(&engine, &[&bench.file("a.png", &bytes(1, 3_500))]).await;
        match &ended(&engine).await[0] {
            State::Published { .. } => assert!(published),
            State::Failed { fault, .. } => {
                assert!(!published);
                assert!(fault.message.contains("the store's own words"), "{fault:?}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn faults_of_parts_pass() {
    let bench = bench();
    let remote = Arc::new(bench.remote());
    for call in [Call::Sign, Call::Put, Call::Put, Call::Put, Call::Sign] {
        let reason = "reset".to_owned();
        remote.fail(call, Failure::Broken { reason });
    }
    remote.fail(Call::Put, store(404, "NoSuchUpload"));
    let engine = bench.engine(Arc::clone(&remote)).await;
    enqueue(&engine, &[&bench.file("a.png", &bytes(1, 6_500))]).await;
    let all = |snapshots: &[Snapshot]| snapshots.iter().all(|s| s.entry.state.has_ended());
    let snapshots = until(&engine, all).await;
    assert!(matches!(snapshots[0].entry.state, State::Published { .. }));
    assert_eq!(snapshots[0].sent_bytes, 6_500);
}

#[tokio::test]
async fn how_far_an_upload_was_is_shown_before_the_store_is_asked() {
    let bench = bench();
    let remote = Arc::new(bench.remote());
    let (puts, gone) = (AtomicUsize::new(0), Arc::clone(&remote));
    *remote.watcher.lock().unwrap() = Some(Box::new(move |call, _| {
        if call == Call::Put && puts.fetch_add(1, Ordering::SeqCst) == 2 {
            gone.online.store(false, Ordering::SeqCst);
        }
    }));
    let engine = bench.engine(Arc::clone(&remote)).await;
    engine.set_jobs(Some(1));
    enqueue(&engine, &[&bench.file("a.png", &bytes(1, 4_500))]).await;
    let waits = |all: &[Snapshot]| matches!(all[0].entry.state, State::Waiting { .. });
    let waiting = until(&engine, waits).await;
    assert_eq!(waiting[0].sent_bytes, 2 * PART);
    engine.shutdown().await;

    let engine = bench.engine(Arc::clone(&remote)).await;
    assert_eq!(engine.snapshots()[0].sent_bytes, 2 * PART);
    remote.watcher.lock().unwrap().take();
    remote.online.store(true, Ordering::SeqCst);
    let ended = bring_to_an_end(&engine, "after the pause").await;
    assert!(matches!(ended[0], State::Published { .. }), "{ended:?}");
    assert_eq!(engine.snapshots()[0].sent_bytes, 4_500);
}
