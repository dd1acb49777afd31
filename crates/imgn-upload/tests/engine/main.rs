//! The engine on a fake server: what it does when all goes well, when something fails, and when it is killed.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that meets what it does not expect has failed"
)]

mod control;
mod fake;
mod parts;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, atomic::Ordering},
    time::Duration,
};

use fake::{FakeRemote, Kill, World, offline, store};
use imgn_protocol::{FileName, UploadAnswer, UploadId};
use imgn_upload::{
    Backoff, Batch, Call, Engine, EngineConfig, Failure, Journal, NewUpload, Origin, Remote,
    Snapshot, Stage, State, UploadCode, Work,
};

const SERVER: &str = "https://gallery.example/";

struct Bench {
    folder: tempfile::TempDir,
    world: Arc<Mutex<World>>,
}

impl Bench {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            world: Arc::default(),
        }
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    fn remote(&self) -> FakeRemote {
        FakeRemote::new(Arc::clone(&self.world))
    }

    async fn journal(&self) -> Journal {
        let file = self.folder.path().join("journal.sqlite");
        Journal::open(&file, self.folder.path(), SERVER)
            .await
            .unwrap()
    }

    async fn engine(&self, remote: Arc<FakeRemote>) -> Engine {
        let remote: Arc<dyn Remote> = remote;
        Engine::start(self.journal().await, remote, quick())
            .await
            .unwrap()
    }
}

fn quick() -> EngineConfig {
    let moment = Backoff {
        first: Duration::from_millis(2),
        longest: Duration::from_millis(10),
    };
    EngineConfig {
        jobs: Some(3),
        backoff: moment,
        look: moment,
        stall: Duration::from_millis(300),
        answer: Duration::from_millis(300),
        poll: moment,
        draw: Box::new(|| 1.0),
        ..EngineConfig::default()
    }
}

fn new(path: &Path) -> NewUpload {
    NewUpload {
        path: path.to_owned(),
        file_name: FileName::clean(&path.to_string_lossy()),
        content_type: Some("image/png".to_owned()),
        size: None,
        keep_location: true,
        batch: Some(Batch::new(Origin::Person)),
        refused: None,
    }
}

async fn enqueue(engine: &Engine, paths: &[&PathBuf]) -> Vec<UploadId> {
    let uploads = paths.iter().map(|path| new(path)).collect();
    let queued = engine.enqueue(uploads).await.unwrap();
    queued.iter().map(|snapshot| snapshot.entry.id).collect()
}

async fn until(engine: &Engine, what: impl Fn(&[Snapshot]) -> bool) -> Vec<Snapshot> {
    let waiting = async {
        loop {
            let snapshots = engine.snapshots();
            if what(&snapshots) {
                return snapshots;
            }
            engine.changes().await;
        }
    };
    match tokio::time::timeout(Duration::from_secs(20), waiting).await {
        Ok(snapshots) => snapshots,
        Err(_) => panic!("still at {:#?}", engine.snapshots()),
    }
}

async fn ended(engine: &Engine) -> Vec<State> {
    let all = |snapshots: &[Snapshot]| snapshots.iter().all(|s| s.entry.state.has_ended());
    until(engine, all)
        .await
        .into_iter()
        .map(|s| s.entry.state)
        .collect()
}

#[tokio::test]
async fn pictures_are_sent_once_and_twins_not_at_all() {
    let bench = Bench::new();
    let remote = Arc::new(bench.remote());
    let engine = bench.engine(Arc::clone(&remote)).await;
    let (a, b, twin) = (
        bench.file("a.png", b"aaaa"),
        bench.file("b.png", b"bb"),
        bench.file("c.png", b"aaaa"),
    );

    enqueue(&engine, &[&a, &b]).await;
    for state in ended(&engine).await {
        assert!(matches!(state, State::Published { .. }), "{state:?}");
    }
    enqueue(&engine, &[&twin]).await;
    let states = ended(&engine).await;
    assert!(
        matches!(states[2], State::Duplicate { .. }),
        "{:?}",
        states[2]
    );

    assert_eq!(remote.puts.load(Ordering::SeqCst), 2);
    let sent: Vec<u64> = engine.snapshots().iter().map(|s| s.sent_bytes).collect();
    assert_eq!(sent, [4, 2, 0]);
}

/// The state that the journal has of each upload, by a connection of its own.
async fn written(folder: &Path) -> Vec<State> {
    let journal = Journal::open(&folder.join("journal.sqlite"), folder, SERVER)
        .await
        .unwrap();
    journal
        .entries()
        .await
        .unwrap()
        .into_iter()
        .map(|entry| entry.state)
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_was_in_the_journal_before_it_was_made() {
    let bench = Bench::new();
    let remote = Arc::new(bench.remote());
    let folder = bench.folder.path().to_owned();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let record = Arc::clone(&seen);
    *remote.watcher.lock().unwrap() = Some(Box::new(move |call, id| {
        let written = tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(written(&folder))
        });
        // Opening again tells the rest: which session it is, for which bytes, and whether they are sent as ours.
        match (call, &written[..]) {
            (Call::Open, [State::Queued { session }]) => assert_eq!(*session, id),
            (
                Call::Sign | Call::Put | Call::Complete | Call::Status,
                [
                    State::Working(Work {
                        stage: Stage::Sending { target, .. },
                        ..
                    }),
                ],
            ) => assert!(target.session == id && target.sent),
            other => panic!("{other:?}"),
        }
        record.lock().unwrap().push(call);
    }));
    remote.fail(Call::Put, store(403, "AccessDenied"));
    let engine = bench.engine(Arc::clone(&remote)).await;
    enqueue(&engine, &[&bench.file("a.png", b"aaaa")]).await;
    ended(&engine).await;
    assert_eq!(
        *seen.lock().unwrap(),
        [
            Call::Open,
            Call::Put,
            Call::Sign,
            Call::Put,
            Call::Complete,
            Call::Status
        ]
    );
    let text = std::fs::read(bench.folder.path().join("journal.sqlite-wal")).unwrap();
    assert!(
        !text.windows(6).any(|window| window == b"SECRET"),
        "a URL was journalled"
    );
}

#[tokio::test]
async fn killed_at_any_call_it_ends_as_if_nothing_had_been() {
    let kills = (0..8).flat_map(|n| [Kill::Before(n), Kill::After(n)]);
    let mut killed = 0;
    for kill in kills {
        let bench = Bench::new();
        let mut remote = bench.remote();
        remote.kill = kill;
        let remote = Arc::new(remote);
        let engine = bench.engine(Arc::clone(&remote)).await;
        let files = [bench.file("a.png", b"aaaa"), bench.file("b.png", b"bb")];
        enqueue(&engine, &[&files[0], &files[1]]).await;
        tokio::select! {
            () = remote.killed.notified() => killed += 1,
            _ = ended(&engine) => {}
        }
        // Not shut down: nothing is released or written any more, as after `kill -9`.
        drop(engine);
        tokio::task::yield_now().await;

        let again = Arc::new(bench.remote());
        let engine = bench.engine(Arc::clone(&again)).await;
        // The tasks of the dead program may still hold its lock for a moment, or have a last word.
        let mut tries = 0;
        while !engine.snapshots().iter().all(|s| s.entry.state.has_ended()) {
            engine.adopt().await.unwrap();
            tries += 1;
            assert!(tries < 4000, "{kill:?}: {:?}", engine.snapshots());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        for state in ended(&engine).await {
            assert!(
                matches!(state, State::Published { .. }),
                "{kill:?}: {state:?}"
            );
        }
        let puts = remote.puts.load(Ordering::SeqCst) + again.puts.load(Ordering::SeqCst);
        assert_eq!(puts, 2, "{kill:?}");
        let world = bench.world.lock().unwrap();
        assert_eq!(world.published.len(), 2, "{kill:?}");
        assert_eq!(world.uploads.len(), 2, "{kill:?}");
    }
    assert!(killed >= 12, "only {killed} kills happened");
}

#[tokio::test]
async fn offline_is_a_state_that_ends_by_itself() {
    let bench = Bench::new();
    let remote = Arc::new(bench.remote());
    remote.online.store(false, Ordering::SeqCst);
    let engine = bench.engine(Arc::clone(&remote)).await;
    let files: Vec<PathBuf> = (0..20)
        .map(|n| bench.file(&format!("{n}.png"), format!("{n}").as_bytes()))
        .collect();
    enqueue(&engine, &files.iter().collect::<Vec<_>>()).await;
    until(&engine, |all| {
        all.iter()
            .all(|s| matches!(s.entry.state, State::Waiting { .. }))
    })
    .await;
    remote.online.store(true, Ordering::SeqCst);
    for state in ended(&engine).await {
        assert!(matches!(state, State::Published { .. }), "{state:?}");
    }
}

#[tokio::test]
async fn a_refused_url_is_replaced_once() {
    for (refusals, published) in [(1, true), (2, false)] {
        let bench = Bench::new();
        let remote = Arc::new(bench.remote());
        for _ in 0..refusals {
            remote.fail(Call::Put, store(403, "AccessDenied"));
        }
        let engine = bench.engine(Arc::clone(&remote)).await;
        enqueue(&engine, &[&bench.file("a.png", b"aaaa")]).await;
        match &ended(&engine).await[0] {
            State::Published { .. } => assert!(published),
            State::Failed { fault, .. } => {
                assert!(!published);
                assert_eq!(fault.code, UploadCode::StoreRefused.into());
                assert!(
                    fault.message.contains("the store's own words"),
                    "{}",
                    fault.message
                );
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn faults_that_pass_are_tried_and_those_that_stay_are_told() {
    let bench = Bench::new();
    let remote = Arc::new(bench.remote());
    for call in [Call::Open, Call::Put, Call::Complete, Call::Status] {
        remote.fail(
            call,
            Failure::Broken {
                reason: "reset".to_owned(),
            },
        );
    }
    let engine = bench.engine(Arc::clone(&remote)).await;
    enqueue(&engine, &[&bench.file("a.png", b"aaaa")]).await;
    assert!(matches!(ended(&engine).await[0], State::Published { .. }));

    for _ in 0..20 {
        remote.fail(Call::Put, store(500, "InternalError"));
    }
    let id = enqueue(&engine, &[&bench.file("b.png", b"bbbb")]).await[0];
    match &ended(&engine).await[1] {
        State::Failed { fault, .. } => assert_eq!(fault.code, UploadCode::GaveUp.into()),
        other => panic!("{other:?}"),
    }
    remote.failures.lock().unwrap().clear();
    assert!(engine.retry(id).await.unwrap());
    assert!(matches!(ended(&engine).await[1], State::Published { .. }));
}

#[tokio::test]
async fn a_stall_is_noticed_and_tried_again() {
    let bench = Bench::new();
    let remote = Arc::new(bench.remote());
    remote.stalls.store(true, Ordering::SeqCst);
    let engine = bench.engine(Arc::clone(&remote)).await;
    enqueue(&engine, &[&bench.file("a.png", b"aaaa")]).await;
    until(&engine, |all| {
        matches!(&all[0].entry.state, State::Working(Work { tries: 1.., .. }))
    })
    .await;
    remote.stalls.store(false, Ordering::SeqCst);
    assert!(matches!(ended(&engine).await[0], State::Published { .. }));
}

#[tokio::test]
async fn a_file_that_changes_before_it_is_sent_starts_anew() {
    let bench = Bench::new();
    let remote = Arc::new(bench.remote());
    let path = bench.file("a.png", b"old");
    let changing = path.clone();
    let once = std::sync::Once::new();
    *remote.watcher.lock().unwrap() = Some(Box::new(move |call, _| {
        if call == Call::Open {
            once.call_once(|| std::fs::write(&changing, b"newer").unwrap());
        }
    }));
    let engine = bench.engine(Arc::clone(&remote)).await;
    let id = enqueue(&engine, &[&path]).await[0];
    let state = ended(&engine).await.remove(0);
    assert!(matches!(state, State::Published { .. }));
    // Both ids name it.
    let session = state.session().unwrap();
    assert_ne!(session, id);
    assert_eq!(engine.find(session), Some(id));
    assert_eq!(engine.find(id), Some(id));
    assert_eq!(engine.find(UploadId::new()), None);
    let world = bench.world.lock().unwrap();
    assert_eq!(world.published.len(), 1);
    assert_eq!(world.published.values().next().unwrap().size, 5);
    // The first attempt was taken back on the server.
    assert_eq!(
        world
            .uploads
            .values()
            .filter(|upload| upload.stored.is_some())
            .count(),
        1
    );
}

#[tokio::test]
async fn cancelling_takes_back_on_the_server_and_can_be_undone() {
    let bench = Bench::new();
    let remote = Arc::new(bench.remote());
    remote.stalls.store(true, Ordering::SeqCst);
    let engine = bench.engine(Arc::clone(&remote)).await;
    let id = enqueue(&engine, &[&bench.file("a.png", b"aaaa")]).await[0];
    until(&engine, |all| {
        matches!(
            &all[0].entry.state,
            State::Working(Work {
                stage: Stage::Sending { .. },
                ..
            })
        )
    })
    .await;
    assert!(engine.cancel(id).await.unwrap());
    assert_eq!(ended(&engine).await, [State::Cancelled]);
    assert!(
        bench
            .world
            .lock()
            .unwrap()
            .uploads
            .values()
            .all(|u| u.ended.is_some())
    );

    remote.stalls.store(false, Ordering::SeqCst);
    assert!(engine.retry(id).await.unwrap());
    assert!(matches!(ended(&engine).await[0], State::Published { .. }));
    assert!(!engine.cancel(UploadId::new()).await.unwrap());
}

#[tokio::test]
async fn what_is_wanted_again_while_the_server_is_told_of_its_end_is_published_once() {
    let bench = Bench::new();
    let remote = Arc::new(bench.remote());
    remote.stalls.store(true, Ordering::SeqCst);
    remote.hangs_on_abort.store(true, Ordering::SeqCst);
    let engine = bench.engine(Arc::clone(&remote)).await;
    let id = enqueue(&engine, &[&bench.file("a.png", b"aaaa")]).await[0];
    let is_sending = |all: &[Snapshot]| {
        let work = all[0].entry.state.work();
        work.is_some_and(|work| matches!(work.stage, Stage::Sending { .. }))
    };
    let is_aborting = |all: &[Snapshot]| {
        let work = all[0].entry.state.work();
        work.is_some_and(|work| matches!(work.stage, Stage::Aborting(_)))
    };
    until(&engine, is_sending).await;
    assert!(engine.cancel(id).await.unwrap());
    until(&engine, is_aborting).await;

    remote.stalls.store(false, Ordering::SeqCst);
    remote.hangs_on_abort.store(false, Ordering::SeqCst);
    assert!(engine.retry(id).await.unwrap());
    assert!(matches!(ended(&engine).await[0], State::Published { .. }));
    let world = bench.world.lock().unwrap();
    let ends = world.uploads.values().map(|upload| upload.ended.as_ref());
    let (mut published, mut aborted) = (0, 0);
    for end in ends {
        match end {
            Some(UploadAnswer::Published { .. }) => published += 1,
            Some(UploadAnswer::Aborted) => aborted += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((published, aborted), (1, 1));
}

#[tokio::test]
async fn two_programs_never_drive_the_same_upload() {
    let bench = Bench::new();
    let first_remote = Arc::new(bench.remote());
    first_remote.stalls.store(true, Ordering::SeqCst);
    let first = bench.engine(Arc::clone(&first_remote)).await;
    let id = enqueue(&first, &[&bench.file("a.png", b"aaaa")]).await[0];

    let second = bench.engine(Arc::new(bench.remote())).await;
    assert_eq!(second.adopt().await.unwrap().len(), 0);
    assert!(!second.cancel(id).await.unwrap());
    first.shutdown().await;
    assert_eq!(second.adopt().await.unwrap().len(), 1);
    assert!(matches!(ended(&second).await[0], State::Published { .. }));
}

#[tokio::test]
async fn what_another_program_brings_to_its_end_is_learnt() {
    let bench = Bench::new();
    let remote = Arc::new(bench.remote());
    remote.stalls.store(true, Ordering::SeqCst);
    let first = bench.engine(Arc::clone(&remote)).await;
    enqueue(&first, &[&bench.file("a.png", b"aaaa")]).await;
    let second = bench.engine(Arc::new(bench.remote())).await;
    remote.stalls.store(false, Ordering::SeqCst);
    let end = ended(&first).await;

    assert!(!second.snapshots()[0].entry.state.has_ended());
    assert_eq!(second.adopt().await.unwrap().len(), 0);
    assert_eq!(ended(&second).await, end);
    assert_eq!(second.changes().await.len(), 1);
}

#[tokio::test]
async fn shutting_down_is_quick_and_keeps_everything() {
    let bench = Bench::new();
    let remote = Arc::new(bench.remote());
    remote.stalls.store(true, Ordering::SeqCst);
    let engine = bench.engine(Arc::clone(&remote)).await;
    let files: Vec<PathBuf> = (0..20)
        .map(|n| bench.file(&format!("{n}.png"), format!("{n}").as_bytes()))
        .collect();
    enqueue(&engine, &files.iter().collect::<Vec<_>>()).await;
    let begun = std::time::Instant::now();
    engine.shutdown().await;
    assert!(begun.elapsed() < Duration::from_secs(3));
    let kept = written(bench.folder.path()).await;
    assert_eq!(kept.len(), 20);
    assert!(kept.iter().all(|state| !state.has_ended()), "{kept:?}");
}

#[tokio::test]
async fn what_the_network_says_is_told_while_it_waits() {
    let bench = Bench::new();
    let remote = Arc::new(bench.remote());
    remote.online.store(false, Ordering::SeqCst);
    let engine = bench.engine(Arc::clone(&remote)).await;
    enqueue(&engine, &[&bench.file("a.png", b"aaaa")]).await;
    let waiting = until(&engine, |all| {
        matches!(all[0].entry.state, State::Waiting { .. })
    })
    .await;
    match &waiting[0].entry.state {
        State::Waiting { reason, .. } => assert_eq!(*reason, offline().describe()),
        other => panic!("{other:?}"),
    }
}
