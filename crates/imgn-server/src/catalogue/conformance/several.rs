//! Several servers over one PostgreSQL.

use std::collections::BTreeSet;

use tokio::time::timeout;

use super::{database::Sql, *};

const PATIENCE: Duration = Duration::from_secs(60);

fn place(entry: &ChangeRow) -> u64 {
    match entry {
        ChangeRow::Added(row) => row.sequence,
        ChangeRow::Deleted { sequence, .. } => *sequence,
    }
}

/// A second server's catalogue.
async fn another(case: &Case) -> Catalogue {
    Catalogue::open(&case.database).await.unwrap()
}

#[tokio::test]
async fn one_server_at_a_time_verifies_an_upload() {
    let case = case_of_postgres().await;
    let (one, two) = (&case.catalogue, another(&case).await);
    let upload = verifying(one, "a.jpg").await;
    let take = async |server: &Catalogue| server.take_up(upload.id).await.unwrap();
    assert!(matches!(take(one).await, WhoseTurn::Ours(_)));
    assert!(matches!(take(&two).await, WhoseTurn::Theirs));
    assert!(two.verifying(10).await.unwrap().is_empty());
    assert!(matches!(take(one).await, WhoseTurn::Ours(_)), "still");
    two.let_all_go().await;
    assert!(matches!(take(&two).await, WhoseTurn::Theirs));
    one.let_all_go().await;
    assert_eq!(two.verifying(10).await.unwrap(), [upload.id]);
    assert!(matches!(take(&two).await, WhoseTurn::Ours(_)));
    // It stands still for as long as that is.
    sql("UPDATE uploads SET verifier_until = clock_timestamp()")
        .execute(&one.writer)
        .await
        .unwrap();
    assert!(matches!(take(one).await, WhoseTurn::Ours(_)));
    assert!(matches!(take(&two).await, WhoseTurn::Theirs));
    // And comes to its end all the same.
    for (server, outcome) in [(&two, Published::New), (one, Published::Again)] {
        let published = server.publish(&upload, &picture()).await.unwrap();
        assert_eq!(published, outcome);
    }
    assert_eq!(one.changes(0, 10).await.unwrap().0.len(), 1);
    assert!(matches!(take(one).await, WhoseTurn::Nobodys(Some(_))));
    for server in [one, &two] {
        server.close().await;
    }
}

#[tokio::test]
async fn garbage_is_shared_out() {
    let case = case_of_postgres().await;
    let (one, two) = (&case.catalogue, another(&case).await);
    let mut transaction = one.begin().await.unwrap();
    for n in 0..100 {
        garbage::discard(&mut transaction, &n.to_string(), None, None)
            .await
            .unwrap();
    }
    transaction.commit().await.unwrap();
    let all = async |server: &Catalogue| {
        let mut taken = Vec::new();
        loop {
            let some = server.take_garbage(7).await.unwrap();
            if some.is_empty() {
                return taken;
            }
            taken.extend(some);
        }
    };
    let (first, second) = tokio::join!(all(one), all(&two));
    let keys: BTreeSet<_> = first.iter().chain(&second).map(|one| &one.key).collect();
    assert_eq!(keys.len(), 100);
    assert_eq!(first.len() + second.len(), 100, "none twice");
    for server in [one, &two] {
        server.close().await;
    }
}

#[tokio::test]
async fn a_server_hears_what_another_one_publishes_also_after_its_connection_broke() {
    let case = case_of_postgres().await;
    let (one, two) = (&case.catalogue, another(&case).await);
    let (hearing, mut news) = (two.clone(), two.changes_from_now());
    let hearing = tokio::spawn(async move { hearing.hear_of_others().await });
    let told = async |news: &mut watch::Receiver<()>| {
        timeout(PATIENCE, news.changed()).await.unwrap().unwrap();
    };
    // As soon as it listens, for what came before.
    told(&mut news).await;
    let publish = async |name: &str| {
        let upload = verifying(one, name).await;
        let published = one.publish(&upload, &picture()).await.unwrap();
        assert_eq!(published, Published::New);
    };
    publish("a.jpg").await;
    told(&mut news).await;
    let cut: Vec<bool> =
        sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'")
            .scalars(&one.reader)
            .await
            .unwrap();
    assert_eq!(cut, [true]);
    told(&mut news).await;
    publish("b.jpg").await;
    told(&mut news).await;
    hearing.abort();
    for server in [one, &two] {
        server.close().await;
    }
}

/// Two servers publish and delete what they can while somebody reads the feed: the reader meets every place, in order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_of_the_feed_skips_nothing_that_two_servers_write() {
    const EACH: usize = 40;
    let case = case_of_postgres().await;
    let servers = [case.catalogue.clone(), another(&case).await];
    let writers = servers.clone().map(|server| {
        tokio::spawn(async move {
            let ada = Caller {
                owner: 1,
                name: "ada".to_owned(),
                role: Role::Uploader,
                scopes: Scopes::ALL,
                origin: None,
                request: None,
            };
            for n in 0..EACH {
                // Both send the same files, and only one of them is published.
                let id = UploadId::new();
                let request = request(&format!("{n}.jpg"));
                let opened = server.open_upload(id, 1, &request, None, None);
                let upload = match opened.await.unwrap() {
                    Outcome::New(upload) => *upload,
                    Outcome::Known(_) => continue,
                    other => panic!("{other:?}"),
                };
                server.url_signed(id, within(1000)).await.unwrap();
                server.begin_verifying(id).await.unwrap();
                let published = server.publish(&upload, &picture()).await.unwrap();
                if n % 4 == 0 && published == Published::New {
                    let deleted = server.delete_image(upload.image, &ada).await.unwrap();
                    assert_eq!(deleted, Deletion::Deleted);
                }
            }
        })
    });
    let mut seen = Vec::new();
    let mut read = async || {
        let since = seen.last().copied().unwrap_or(0);
        let (entries, _) = servers[0].changes(since, 1000).await.unwrap();
        seen.extend(entries.iter().map(place));
    };
    while !writers.iter().all(tokio::task::JoinHandle::is_finished) {
        read().await;
    }
    read().await;
    for writer in writers {
        writer.await.unwrap();
    }
    let feed = servers[0].feed().await.unwrap();
    assert_eq!(seen.last(), Some(&feed.last));
    // What was added and deleted between two looks has left one place; nothing else is missing.
    let (now_there, _) = servers[1].changes(0, 1000).await.unwrap();
    for place in now_there.iter().map(place) {
        assert!(seen.contains(&place), "{place} was skipped");
    }
    let names: BTreeSet<_> = servers[0]
        .images(&PageQuery {
            limit: 1000,
            ..page("")
        })
        .await
        .unwrap()
        .0
        .into_iter()
        .map(|row| row.file_name.as_str().to_owned())
        .collect();
    assert_eq!(u64::try_from(names.len()).unwrap(), feed.images);
    for server in &servers {
        server.close().await;
    }
}

#[tokio::test]
async fn servers_that_start_at_once_find_the_same_catalogue() {
    let postgres = PostgreSql::start().await.unwrap();
    let database = Database::Postgres {
        url: DatabaseUrl::from(postgres.url()),
        connections: 2,
    };
    let (one, two) = tokio::join!(Catalogue::open(&database), Catalogue::open(&database));
    let (one, two) = (one.unwrap(), two.unwrap());
    let feeds = [one.feed().await.unwrap(), two.feed().await.unwrap()];
    assert_eq!(feeds[0].id, feeds[1].id);
    for server in [one, two] {
        server.close().await;
    }
}

#[tokio::test]
async fn a_database_that_was_away_is_used_again_and_what_is_heard_of_it() {
    let mut case = case_of_postgres().await;
    let catalogue = case.catalogue.clone();
    let (hearing, mut news) = (catalogue.clone(), catalogue.changes_from_now());
    let hearing = tokio::spawn(async move { hearing.hear_of_others().await });
    timeout(PATIENCE, news.changed()).await.unwrap().unwrap();
    let upload = verifying(&catalogue, "a.jpg").await;
    let postgres = case.postgres.as_mut().unwrap();
    postgres.stop();
    let away = catalogue.publish(&upload, &picture()).await;
    assert!(
        matches!(away, Err(CatalogueError::Unreachable(_))),
        "{away:?}"
    );
    // More than there are connections, which would wait for each other; nobody waits as long as for a busy one.
    let asked = futures_util::future::join_all((0..50).map(|_| catalogue.feed()));
    for away in timeout(BUSY_TIMEOUT / 2, asked).await.unwrap() {
        assert!(
            matches!(away, Err(CatalogueError::Unreachable(_))),
            "{away:?}"
        );
    }
    postgres.start_again().await.unwrap();
    timeout(PATIENCE, news.changed()).await.unwrap().unwrap();
    // Another server's connections.
    let other = another(&case).await;
    let published = other.publish(&upload, &picture()).await.unwrap();
    assert_eq!(published, Published::New);
    timeout(PATIENCE, news.changed()).await.unwrap().unwrap();
    assert_eq!(catalogue.feed().await.unwrap().last, 1);
    hearing.abort();
    for server in [&catalogue, &other] {
        server.close().await;
    }
}

#[tokio::test]
async fn a_database_whose_connections_others_hold_is_busy_and_not_away() {
    let case = case_of_postgres_with(1).await;
    let catalogue = case.catalogue.clone();
    let holding = catalogue.clone();
    // For longer than anybody waits.
    let holding = tokio::spawn(async move {
        let sleep = format!("SELECT pg_sleep({})", BUSY_TIMEOUT.as_secs() + 8);
        Sql::built(&sleep).execute(&holding.writer).await
    });
    // Nobody else has the only connection, once this one has.
    eventually("it is held", PATIENCE, async || {
        let busy = catalogue.feed().await;
        Ok(busy.is_err().then_some(busy))
    })
    .await
    .map(|busy| assert!(matches!(busy, Err(CatalogueError::Busy)), "{busy:?}"))
    .unwrap();
    holding.await.unwrap().unwrap();
    catalogue.feed().await.unwrap();
    catalogue.close().await;
}

/// Tells a process of PostgreSQL's to stand still or to go on.
fn signal(signal: &str, backend: i64) {
    let told = std::process::Command::new("kill")
        .args([signal, &backend.to_string()])
        .status();
    assert!(told.unwrap().success());
}

/// A process that stands still answers nothing and breaks no connection, as a computer whose network is gone.
#[tokio::test]
async fn a_connection_that_falls_silent_is_given_up_and_none_that_is_only_slow() {
    let case = case_of_postgres_with(5).await;
    let catalogue = case.catalogue.clone();
    let silent = |answer: Result<u64, CatalogueError>| {
        assert!(
            matches!(answer, Err(CatalogueError::Unreachable(_))),
            "{answer:?}"
        );
    };
    let mut transaction = catalogue.begin_passing_beside_others().await.unwrap();
    let of_the_transaction: i64 = sql("SELECT pg_backend_pid()::bigint")
        .scalar(&mut transaction)
        .await
        .unwrap();
    let slowly = catalogue.clone();
    let slowly =
        tokio::spawn(async move { sql("SELECT pg_sleep(3)").execute(&slowly.writer).await });
    let of_the_statement = eventually("it is at it", PATIENCE, async || {
        let found = sql(
            "SELECT pid::bigint FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(3)' AND state = 'active'",
        );
        Ok(found.scalar_optional::<i64>(&catalogue.reader).await?)
    });
    let of_the_statement = of_the_statement.await.unwrap();
    for backend in [of_the_transaction, of_the_statement] {
        signal("-STOP", backend);
    }
    let in_the_transaction = async {
        silent(sql("SELECT 1").execute(&mut transaction).await);
        // It is known by now, and nobody waits once more.
        let committed = timeout(BUSY_TIMEOUT, transaction.commit()).await.unwrap();
        silent(committed.map(|()| 0));
    };
    // The database itself ends what takes too long, but what is about a whole gallery.
    let too_slow = async {
        let slow = sql("SELECT pg_sleep(50)").execute(&catalogue.writer).await;
        assert!(matches!(slow, Err(CatalogueError::Busy)), "{slow:?}");
    };
    let whole = async {
        let mut snapshot = catalogue.reader.snapshot().await.unwrap();
        snapshot.be_patient().await.unwrap();
        let slow = sql("SELECT pg_sleep(34)").execute(&mut snapshot).await;
        slow.unwrap();
        snapshot.commit().await.unwrap();
    };
    tokio::join!(in_the_transaction, too_slow, whole);
    silent(slowly.await.unwrap());
    // All of the pool's connections can be had: those that are silent count no more.
    let mut all = Vec::new();
    for _ in 0..5 {
        all.push(catalogue.begin_passing_beside_others().await.unwrap());
    }
    for transaction in all {
        transaction.commit().await.unwrap();
    }
    for backend in [of_the_transaction, of_the_statement] {
        signal("-CONT", backend);
    }
    catalogue.close().await;
}

/// Whoever begins and is given up meanwhile, as a request is whose client has gone, leaves nobody in a transaction.
#[tokio::test]
async fn a_transaction_that_was_not_begun_to_the_end_is_nobodys() {
    let case = case_of_postgres_with(2).await;
    let catalogue = case.catalogue.clone();
    let holding = catalogue.begin().await.unwrap();
    let waiting = catalogue.clone();
    let waiting = tokio::spawn(async move { waiting.begin().await.map(drop) });
    eventually("it waits for the lock", PATIENCE, async || {
        let other = another(&case).await;
        let found: i64 = sql("SELECT count(*) FROM pg_locks WHERE NOT granted")
            .scalar(&other.reader)
            .await?;
        other.close().await;
        Ok((found > 0).then_some(()))
    })
    .await
    .unwrap();
    waiting.abort();
    assert!(waiting.await.unwrap_err().is_cancelled());
    holding.commit().await.unwrap();
    // What is written by itself is there for others at once.
    for name in ["bob", "eve", "mallory"] {
        catalogue.add_token(name, Role::Uploader).await.unwrap();
    }
    let statements = (0..2).map(async |_| {
        let touched = sql("UPDATE tokens SET last_used_on = last_used_on + 1 WHERE false");
        let touched = touched.execute(&catalogue.writer).await;
        touched.unwrap();
    });
    futures_util::future::join_all(statements).await;
    let other = another(&case).await;
    let open: i64 =
        sql("SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'")
            .scalar(&other.reader)
            .await
            .unwrap();
    assert_eq!(open, 0);
    for server in [&catalogue, &other] {
        server.close().await;
    }
}

/// The first one updates it, for as long as that takes; the others wait for it and do not give up.
#[tokio::test]
async fn servers_that_start_at_once_over_an_old_catalogue_wait_for_its_update() {
    let postgres = PostgreSql::start().await.unwrap();
    let database = Database::Postgres {
        url: DatabaseUrl::from(postgres.url()),
        connections: 2,
    };
    let raw = PgPoolOptions::new().max_connections(1);
    let raw = raw.connect(&postgres.url()).await.unwrap();
    let migrator = sqlx::migrate!("./migrations/postgres");
    let newest = migrator.iter().map(|one| one.version).max().unwrap();
    migrator.run_to(newest - 1, &raw).await.unwrap();
    // A server of the version before has not ended yet, so the update takes longer than any other statement may.
    let mut old = raw.begin().await.unwrap();
    sqlx::query("LOCK TABLE tokens, staged, uploads, images IN ACCESS SHARE MODE")
        .execute(&mut *old)
        .await
        .unwrap();
    let ends = async {
        tokio::time::sleep(BUSY_TIMEOUT + Duration::from_secs(4)).await;
        old.commit().await.unwrap();
    };
    let (one, two, ()) = tokio::join!(Catalogue::open(&database), Catalogue::open(&database), ends);
    for server in [one, two] {
        let server = server.unwrap();
        server.check().await.unwrap();
        server.close().await;
    }
    raw.close().await;
}

/// It breaks no connection, so nobody would ever tell.
#[tokio::test]
async fn a_server_that_hears_nothing_finds_out_that_it_is_not_told() {
    let case = case_of_postgres().await;
    let (one, two) = (&case.catalogue, another(&case).await);
    let (hearing, mut news) = (two.clone(), two.changes_from_now());
    let hearing = tokio::spawn(async move { hearing.hear_of_others().await });
    timeout(PATIENCE, news.changed()).await.unwrap().unwrap();
    let silent: i64 = sql("SELECT pid::bigint FROM pg_stat_activity WHERE query LIKE 'LISTEN%'")
        .scalar(&one.reader)
        .await
        .unwrap();
    signal("-STOP", silent);
    let upload = verifying(one, "a.jpg").await;
    let published = one.publish(&upload, &picture()).await.unwrap();
    assert_eq!(published, Published::New);
    let told = timeout(PATIENCE, news.changed()).await;
    signal("-CONT", silent);
    told.expect("it is told within a minute").unwrap();
    hearing.abort();
    for server in [one, &two] {
        server.close().await;
    }
}
