//! What the owner of a queue can do with it, and what it costs when it is long.

use std::{
    num::NonZeroU64,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use imgn_protocol::UploadId;
use imgn_upload::{Backoff, Call, Engine, Snapshot, Stage, State, WaitingFor, Work};

use super::{Bench, ended, enqueue, new, until, written};

fn is_paused(state: &State) -> bool {
    matches!(state, State::Paused { .. })
}

async fn sending(engine: &Engine) {
    until(engine, |all| {
        all.iter().any(|s| {
            matches!(
                s.entry.state,
                State::Working(Work {
                    stage: Stage::Sending { .. },
                    ..
                })
            )
        })
    })
    .await;
}

fn files(bench: &Bench, count: usize) -> Vec<PathBuf> {
    let file = |n| bench.file(&format!("{n}.png"), format!("picture {n}").as_bytes());
    (0..count).map(file).collect()
}

#[tokio::test]
async fn a_paused_upload_stays_paused_until_it_is_let_go_on() {
    let bench = Bench::new();
    let remote = Arc::new(bench.remote());
    remote.stalls.store(true, Ordering::SeqCst);
    let engine = bench.engine(Arc::clone(&remote)).await;
    let files = files(&bench, 10);
    let ids = enqueue(&engine, &files.iter().collect::<Vec<_>>()).await;
    sending(&engine).await;
    assert_eq!(engine.pause_all().await.unwrap(), 10);
    let kept = written(bench.folder.path()).await;
    assert!(kept.iter().all(is_paused), "{kept:?}");
    engine.shutdown().await;

    // The next program leaves them alone too.
    remote.stalls.store(false, Ordering::SeqCst);
    let engine = bench.engine(Arc::clone(&remote)).await;
    assert_eq!(engine.adopt().await.unwrap().len(), 10);
    assert!(engine.snapshots().iter().all(|s| is_paused(&s.entry.state)));
    assert!(engine.resume(ids[3]).await.unwrap());
    until(&engine, |all| all[3].entry.state.has_ended()).await;
    let paused = |s: &&Snapshot| is_paused(&s.entry.state);
    assert_eq!(engine.snapshots().iter().filter(paused).count(), 9);
    assert!(engine.cancel(ids[4]).await.unwrap());
    assert_eq!(engine.resume_all().await.unwrap(), 8);
    let states = ended(&engine).await;
    let is_published = |state: &&State| matches!(state, State::Published { .. });
    assert_eq!(states.iter().filter(is_published).count(), 9);
    assert_eq!(states[4], State::Cancelled);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wishes_that_race_with_the_work_are_all_heard() {
    let bench = Bench::new();
    let remote = Arc::new(bench.remote());
    let engine = Arc::new(bench.engine(Arc::clone(&remote)).await);
    let files = files(&bench, 30);
    let ids = enqueue(&engine, &files.iter().collect::<Vec<_>>()).await;
    let mut wishing = tokio::task::JoinSet::new();
    for id in ids {
        let engine = Arc::clone(&engine);
        wishing.spawn(async move {
            for _ in 0..5 {
                assert!(engine.pause(id).await.unwrap());
                let state = engine.snapshot(id).unwrap().entry.state;
                assert!(is_paused(&state) || state.has_ended(), "{state:?}");
                assert!(engine.resume(id).await.unwrap());
            }
        });
    }
    while let Some(done) = wishing.join_next().await {
        done.unwrap();
    }
    for state in ended(&engine).await {
        assert!(matches!(state, State::Published { .. }), "{state:?}");
    }
    assert_eq!(remote.puts.load(Ordering::SeqCst), 30);
}

#[tokio::test]
async fn the_queue_goes_in_the_order_that_its_owner_gives_it() {
    let bench = Bench::new();
    let remote = Arc::new(bench.remote());
    let engine = bench.engine(Arc::clone(&remote)).await;
    engine.set_jobs(Some(1));
    let files = files(&bench, 6);
    let names = |engine: &Engine| -> Vec<UploadId> {
        engine.snapshots().iter().map(|s| s.entry.id).collect()
    };
    remote.online.store(false, Ordering::SeqCst);
    let ids = enqueue(&engine, &files.iter().collect::<Vec<_>>()).await;
    assert!(engine.move_to_front(ids[5]).await.unwrap());
    // More often than there is room between two.
    for _ in 0..10 {
        assert!(engine.move_before(ids[4], Some(ids[1])).await.unwrap());
        assert!(engine.move_before(ids[3], Some(ids[1])).await.unwrap());
    }
    assert!(engine.move_before(ids[0], None).await.unwrap());
    assert!(
        !engine
            .move_before(ids[0], Some(UploadId::new()))
            .await
            .unwrap()
    );
    assert!(!engine.move_to_front(UploadId::new()).await.unwrap());
    let expected = [ids[5], ids[4], ids[3], ids[1], ids[2], ids[0]];
    assert_eq!(names(&engine), expected);
    engine.shutdown().await;

    let engine = bench.engine(Arc::new(bench.remote())).await;
    assert_eq!(names(&engine), expected);
}

#[tokio::test]
async fn ten_thousand_uploads_wait_without_a_task_each() {
    let bench = Bench::new();
    let remote = Arc::new(bench.remote());
    remote.stalls.store(true, Ordering::SeqCst);
    let engine = bench.engine(Arc::clone(&remote)).await;
    let path = bench.file("a.png", b"aaaa");
    let before = tokio::runtime::Handle::current()
        .metrics()
        .num_alive_tasks();
    let queued = engine
        .enqueue((0..10_000).map(|_| new(&path)).collect())
        .await
        .unwrap();
    assert_eq!(queued.len(), 10_000);
    sending(&engine).await;
    let tasks = tokio::runtime::Handle::current()
        .metrics()
        .num_alive_tasks();
    assert!(tasks - before < 20, "{tasks} tasks");
    assert_eq!(engine.totals().files, 10_000);
    // The last can be the next, and all be let go of at once.
    let last = queued[9_999].entry.id;
    assert!(engine.move_to_front(last).await.unwrap());
    assert_eq!(engine.snapshots()[0].entry.id, last);
    assert_eq!(engine.cancel_all().await.unwrap(), 10_000);
    for state in ended(&engine).await {
        assert_eq!(state, State::Cancelled);
    }
    assert!(remote.calls.load(Ordering::SeqCst) < 40);
}

#[tokio::test]
async fn a_file_that_is_moved_away_is_waited_for() {
    let bench = Bench::new();
    let remote = Arc::new(bench.remote());
    let engine = bench.engine(Arc::clone(&remote)).await;
    let path = bench.folder.path().join("later.png");
    let id = enqueue(&engine, &[&path]).await[0];
    let waits = |snapshots: &[Snapshot]| {
        matches!(
            snapshots[0].entry.state,
            State::Waiting {
                on: WaitingFor::File,
                ..
            }
        )
    };
    until(&engine, waits).await;
    assert!(engine.retry(id).await.unwrap());
    until(&engine, waits).await;
    assert_eq!(remote.calls.load(Ordering::SeqCst), 0);
    std::fs::write(&path, b"here").unwrap();
    assert!(matches!(ended(&engine).await[0], State::Published { .. }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_tried_again_is_not_forgotten_with_what_has_ended() {
    let bench = Bench::new();
    let remote = Arc::new(bench.remote());
    let engine = bench.engine(Arc::clone(&remote)).await;
    for round in 0..20 {
        remote.stalls.store(true, Ordering::SeqCst);
        let file = bench.file(
            &format!("{round}.png"),
            format!("picture {round}").as_bytes(),
        );
        let id = enqueue(&engine, &[&file]).await[0];
        sending(&engine).await;
        assert!(engine.cancel(id).await.unwrap());
        ended(&engine).await;
        remote.stalls.store(false, Ordering::SeqCst);
        let (is_tried, forgotten) = tokio::join!(engine.retry(id), engine.clear_ended(None));
        if is_tried.unwrap() {
            assert!(forgotten.unwrap().is_empty(), "round {round}");
            ended(&engine).await;
            assert_eq!(written(bench.folder.path()).await.len(), 1);
            // Its task may be about to end.
            while !engine.snapshots().is_empty() {
                engine.clear_ended(None).await.unwrap();
            }
        } else {
            assert_eq!(forgotten.unwrap(), [file]);
            assert!(engine.snapshots().is_empty());
        }
        assert!(written(bench.folder.path()).await.is_empty());
    }
}

#[tokio::test]
async fn a_limited_rate_is_no_stall() {
    let bench = Bench::new();
    let remote = Arc::new(bench.remote());
    let engine = bench.engine(Arc::clone(&remote)).await;
    // Far longer than a stall of these tests.
    engine.set_rate_limit(NonZeroU64::new(4_000));
    enqueue(&engine, &[&bench.file("a.png", &[7; 6_000])]).await;
    assert!(matches!(ended(&engine).await[0], State::Published { .. }));
    assert_eq!(remote.puts.load(Ordering::SeqCst), 1);
    let calls = remote.calls.load(Ordering::SeqCst);
    assert!(calls <= 5, "{calls} calls");
}

#[tokio::test]
async fn what_was_under_way_while_the_computer_slept_is_given_up_at_once() {
    let bench = Bench::new();
    let remote = Arc::new(bench.remote());
    remote.stalls.store(true, Ordering::SeqCst);
    let leap = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let clock = Arc::clone(&leap);
    let config = imgn_upload::EngineConfig {
        stall: Duration::from_secs(3600),
        answer: Duration::from_secs(3600),
        now: Box::new(move || {
            let leap = Duration::from_secs(clock.load(Ordering::SeqCst));
            std::time::SystemTime::now() + leap
        }),
        ..super::quick()
    };
    let shared: Arc<dyn imgn_upload::Remote> = Arc::clone(&remote) as Arc<_>;
    let engine = Engine::start(bench.journal().await, shared, config)
        .await
        .unwrap();
    enqueue(&engine, &[&bench.file("a.png", b"aaaa")]).await;
    sending(&engine).await;
    remote.stalls.store(false, Ordering::SeqCst);
    leap.store(60, Ordering::SeqCst);
    assert!(matches!(ended(&engine).await[0], State::Published { .. }));
}

#[tokio::test]
async fn clocks_that_differ_are_told_when_urls_are_refused() {
    let bench = Bench::new();
    let mut remote = bench.remote();
    remote.skew = Some(-4000);
    let remote = Arc::new(remote);
    for _ in 0..2 {
        remote.fail(Call::Put, super::fake::store(403, "RequestTimeTooSkewed"));
    }
    let engine = bench.engine(Arc::clone(&remote)).await;
    enqueue(&engine, &[&bench.file("a.png", b"aaaa")]).await;
    match &ended(&engine).await[0] {
        State::Failed { fault, .. } => {
            assert!(
                fault.message.contains("4000 s behind the gallery's"),
                "{fault:?}"
            );
            assert!(fault.message.contains("the store's own words"), "{fault:?}");
        }
        other => panic!("{other:?}"),
    }
}

/// One question stands for many, and none is forgotten when few are left.
#[tokio::test]
async fn many_that_wait_to_be_verified_hear_of_it_together() {
    let bench = Bench::new();
    let remote = Arc::new(bench.remote());
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    *remote.watcher.lock().unwrap() = Some(Box::new(move |call, _| {
        count.fetch_add(usize::from(call == Call::Status), Ordering::SeqCst);
    }));
    let hour = Backoff {
        first: Duration::from_secs(3600),
        longest: Duration::from_secs(3600),
    };
    let config = imgn_upload::EngineConfig {
        poll: hour,
        ..super::quick()
    };
    let shared: Arc<dyn imgn_upload::Remote> = Arc::clone(&remote) as Arc<_>;
    let engine = Engine::start(bench.journal().await, shared, config)
        .await
        .unwrap();
    let files: Vec<_> = (0..40)
        .map(|n| bench.file(&format!("{n}.png"), format!("picture {n}").as_bytes()))
        .collect();
    enqueue(&engine, &files.iter().collect::<Vec<_>>()).await;
    for state in ended(&engine).await {
        assert!(matches!(state, State::Published { .. }), "{state:?}");
    }
    assert!(remote.newest_asked.load(Ordering::SeqCst) >= 1);
    let asked = asked.load(Ordering::SeqCst);
    assert!(asked <= 16, "{asked} of 40 asked for themselves");
}

/// What was wished last is what happens, however quickly it follows; and to go on is no interruption.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_of_quick_wishes_counts_and_going_on_interrupts_nothing() {
    let bench = Bench::new();
    let remote = Arc::new(bench.remote());
    remote.stalls.store(true, Ordering::SeqCst);
    let puts = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&puts);
    *remote.watcher.lock().unwrap() = Some(Box::new(move |call, _| {
        count.fetch_add(usize::from(call == Call::Put), Ordering::SeqCst);
    }));
    let config = imgn_upload::EngineConfig {
        stall: Duration::from_secs(3600),
        answer: Duration::from_secs(3600),
        ..super::quick()
    };
    let shared: Arc<dyn imgn_upload::Remote> = Arc::clone(&remote) as Arc<_>;
    let engine = Engine::start(bench.journal().await, shared, config)
        .await
        .unwrap();
    let engine = Arc::new(engine);
    let files: Vec<_> = (0..8)
        .map(|n| bench.file(&format!("{n}.png"), format!("picture {n}").as_bytes()))
        .collect();
    enqueue(&engine, &files.iter().collect::<Vec<_>>()).await;
    // As many as there are jobs.
    while puts.load(Ordering::SeqCst) < 3 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    engine.resume_all().await.unwrap();
    engine.retry_all_failed().await.unwrap();
    for snapshot in engine.snapshots() {
        engine.resume(snapshot.entry.id).await.unwrap();
    }
    assert_eq!(puts.load(Ordering::SeqCst), 3, "nothing began anew");
    for _ in 0..10 {
        let pausing = tokio::spawn({
            let engine = Arc::clone(&engine);
            async move { engine.pause_all().await.unwrap() }
        });
        tokio::task::yield_now().await;
        pausing.await.unwrap();
        for snapshot in engine.snapshots() {
            engine.resume(snapshot.entry.id).await.unwrap();
        }
        let paused = engine.snapshots();
        assert!(paused.iter().all(|s| !is_paused(&s.entry.state)));
    }
    remote.stalls.store(false, Ordering::SeqCst);
    engine.pause_all().await.unwrap();
    engine.resume_all().await.unwrap();
    for state in ended(&engine).await {
        assert!(matches!(state, State::Published { .. }), "{state:?}");
    }
}

/// What is too old to be among the newest pictures is asked for in the end.
#[tokio::test]
async fn many_that_the_newest_pictures_do_not_tell_of_ask_for_themselves() {
    let bench = Bench::new();
    let remote = Arc::new(bench.remote());
    remote.tells_no_news.store(true, Ordering::SeqCst);
    let hour = Backoff {
        first: Duration::from_secs(3600),
        longest: Duration::from_secs(3600),
    };
    let config = imgn_upload::EngineConfig {
        poll: hour,
        ..super::quick()
    };
    let shared: Arc<dyn imgn_upload::Remote> = Arc::clone(&remote) as Arc<_>;
    let engine = Engine::start(bench.journal().await, shared, config)
        .await
        .unwrap();
    let files: Vec<_> = (0..20)
        .map(|n| bench.file(&format!("{n}.png"), format!("picture {n}").as_bytes()))
        .collect();
    enqueue(&engine, &files.iter().collect::<Vec<_>>()).await;
    for state in ended(&engine).await {
        assert!(matches!(state, State::Published { .. }), "{state:?}");
    }
}
