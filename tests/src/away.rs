//! What an operator is told when something that the server relies on is away, is another than they think, or cannot be
//! written: at the start, while it runs, and by the program's other commands.
//!
//! Invariant: each message names what is wrong, where, and what to do; and what comes back by itself is used again.

use std::{
    fs::{self, File},
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use imgn_testkit::{
    postgres::{PASSWORD, PostgreSql},
    process::{ServerProcess, clean_environment, eventually, program},
    proxy::{Fate, FaultProxy, Gate},
    seaweedfs::SeaweedFs,
};
use reqwest::StatusCode;
use uuid::Uuid;

use crate::{
    api::{Api, Reply, http, sha256},
    several_servers::arguments,
    small_disk::SmallDisk,
};

const PATIENCE: Duration = Duration::from_secs(60);

fn detail(reply: &Reply) -> &str {
    reply.json["detail"].as_str().unwrap_or_default()
}

/// The program with these arguments and variables, in a clean environment.
fn run(
    directory: &Path,
    arguments: &[&str],
    environment: &[(&str, &str)],
) -> Result<(Output, String)> {
    let mut command = Command::new(program("imgn-server")?);
    clean_environment(&mut command);
    let output = command
        .args(arguments)
        .arg("--data-dir")
        .arg(directory)
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .output()?;
    let told = [&output.stdout[..], &output.stderr].concat();
    let told = String::from_utf8_lossy(&told).into_owned();
    Ok((output, told))
}

/// Fails, and says all of this.
fn fails(output: &(Output, String), said: &[&str]) -> Result<()> {
    let (output, told) = output;
    ensure!(!output.status.success(), "{told}");
    for said in said {
        ensure!(told.contains(said), "{said:?} is not in:\n{told}");
    }
    Ok(())
}

/// A process that is killed when it is dropped.
struct Started(Child);

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn serve(directory: &Path, listen: &str, database: &str) -> Result<Started> {
    let mut command = Command::new(program("imgn-server")?);
    clean_environment(&mut command);
    let log = File::create(directory.join("log"))?;
    let child = command
        .args(["serve", "--listen", listen, "--data-dir"])
        .arg(directory.join("data"))
        .env("IMGN_DATABASE", database)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()?;
    Ok(Started(child))
}

fn free_address() -> Result<String> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    Ok(listener.local_addr()?.to_string())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_stops_is_told_from_a_busy_one_and_used_when_it_is_back() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let mut database = PostgreSql::start().await?;
    let metrics = free_address()?;
    let server = ServerProcess::start_with(
        directory.path(),
        &["--metrics-listen", &metrics],
        &[("IMGN_DATABASE", &database.url())],
    )?;
    let api = Api::new(&server.url, Some(&server.token))?;
    ensure!(api.get("/v1/images").await?.status == StatusCode::OK);

    database.stop();
    // As many as would wait for connections one after the other.
    let asked = (0..40).map(|_| api.get("/v1/images"));
    for reply in futures_util::future::join_all(asked).await {
        let reply = reply?;
        ensure!(reply.status == StatusCode::SERVICE_UNAVAILABLE, "{reply:?}");
        ensure!(reply.code() == "unavailable", "{reply:?}");
        ensure!(reply.headers.contains_key("retry-after"), "{reply:?}");
        ensure!(detail(&reply).contains("database"), "{reply:?}");
    }
    let ready = api.get("/readyz").await?;
    ensure!(ready.status == StatusCode::SERVICE_UNAVAILABLE, "{ready:?}");
    for said in ["database does not answer", "Connection refused"] {
        ensure!(detail(&ready).contains(said), "{ready:?}");
    }
    ensure!(api.get("/healthz").await?.status == StatusCode::OK);
    let told = http()?.get(format!("http://{metrics}/metrics")).send();
    let told = told.await?.text().await?;
    let count = |what: &str| {
        let series = format!("imgn_catalogue_errors_total{{what=\"{what}\"}} ");
        told.lines()
            .find_map(|line| line.strip_prefix(&series)?.parse::<u64>().ok())
            .with_context(|| told.clone())
    };
    ensure!(count("unreachable")? >= 40, "{told}");
    ensure!(count("busy")? == 0, "{told}");

    database.start_again().await?;
    eventually("the server goes on", PATIENCE, async || {
        let ready = api.get("/readyz").await?;
        Ok((ready.status == StatusCode::OK).then_some(()))
    })
    .await?;
    ensure!(api.get("/v1/images").await?.status == StatusCode::OK);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_away_at_the_start_is_waited_for_and_named() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let mut database = PostgreSql::start().await?;
    database.stop();
    let url = database.url();
    let address = free_address()?;
    let mut server = serve(directory.path(), &address, &url)?;
    let api = Api::new(&format!("http://{address}"), None)?;
    let lives = async || {
        eventually("it lives", PATIENCE, async || {
            let asked = api.get("/healthz").await;
            Ok(asked.ok().filter(|reply| reply.status == StatusCode::OK))
        })
        .await
    };
    lives().await?;
    for path in ["/readyz", "/v1/images"] {
        let reply = api.get(path).await?;
        ensure!(reply.status == StatusCode::SERVICE_UNAVAILABLE, "{reply:?}");
        ensure!(reply.code() == "unavailable", "{reply:?}");
        ensure!(reply.headers.contains_key("retry-after"), "{reply:?}");
        ensure!(detail(&reply).contains("database"), "{reply:?}");
    }
    let log = fs::read_to_string(directory.path().join("log"))?;
    let place = url.split(['@', '/']).nth(3).context("a place")?;
    for said in [place, "Connection refused", "IMGN_DATABASE"] {
        ensure!(log.contains(said), "{said}: {log}");
    }
    ensure!(!log.contains(PASSWORD), "{log}");
    // Whoever ends it meanwhile does not wait.
    let id = server.0.id().to_string();
    ensure!(
        Command::new("kill")
            .args(["-TERM", &id])
            .status()?
            .success()
    );
    let ended = eventually("it ends", PATIENCE, async || Ok(server.0.try_wait()?)).await?;
    ensure!(ended.success(), "{ended}");

    let _server = serve(directory.path(), &address, &url)?;
    lives().await?;
    database.start_again().await?;
    eventually("it is ready", PATIENCE, async || {
        let asked = api.get("/readyz").await;
        Ok(asked.ok().filter(|reply| reply.status == StatusCode::OK))
    })
    .await?;
    ensure!(api.get("/v1/images").await?.status == StatusCode::OK);
    Ok(())
}

#[tokio::test]
async fn a_wrong_password_and_a_missing_database_are_told_at_once() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let mut database = PostgreSql::start().await?;
    let url = database.url();
    let wrong = url.replace(PASSWORD, "not-the-password");
    let missing = format!("{url}-of-nobody");
    let flags = ["--listen", "127.0.0.1:0"];
    for command in [
        &[&["serve"], &flags[..]].concat()[..],
        &["doctor"],
        &["token", "list"],
    ] {
        let asked = |url: &str| run(directory.path(), command, &[("IMGN_DATABASE", url)]);
        let refused = asked(&wrong)?;
        fails(&refused, &["password", "user and password in --database"])?;
        ensure!(!refused.1.contains("not-the-password"), "{}", refused.1);
        // Said once.
        let told = refused.1.matches("password authentication failed").count();
        ensure!(told == 1, "{}", refused.1);
        fails(&asked(&missing)?, &["no such database", "createdb"])?;
    }
    database.stop();
    for command in [&["doctor"][..], &["token", "list"]] {
        let refused = run(directory.path(), command, &[("IMGN_DATABASE", &url)])?;
        fails(&refused, &["127.0.0.1:", "Connection refused", "start it"])?;
        ensure!(!refused.1.contains(PASSWORD), "{}", refused.1);
    }
    Ok(())
}

/// As one whose network drops what is sent: a connection is refused at once, and this is not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_takes_connections_and_says_nothing_keeps_no_server_from_starting()
-> Result<()> {
    let directory = tempfile::tempdir()?;
    let store = SeaweedFs::start().await?;
    let target = store.target();
    let gate = Gate::closed();
    let hold = gate.clone();
    let proxy = FaultProxy::start(target.host()?, move |_| Fate::HoldRequest(hold.clone())).await?;
    let keys = [
        ("AWS_ACCESS_KEY_ID", &*target.access_key),
        ("AWS_SECRET_ACCESS_KEY", &*target.secret_key),
    ];
    let endpoint = proxy.url();
    let mut server =
        ServerProcess::start_with(directory.path(), &arguments(target, &endpoint), &keys)?;
    let api = Api::new(&server.url, None)?;
    ensure!(api.get("/healthz").await?.status == StatusCode::OK);
    ensure!(api.get("/v1/images").await?.status == StatusCode::OK);
    // Nobody who is to end waits for it either.
    ensure!(server.terminate()? == Some(0));
    server.restart()?;
    gate.release();
    ensure!(api.get("/readyz").await?.status == StatusCode::OK);
    Ok(())
}

#[tokio::test]
async fn wrong_credentials_and_none_and_a_missing_bucket_are_named() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let store = SeaweedFs::start().await?;
    let target = store.target();
    let flags = [
        "--storage=s3",
        "--s3-path-style",
        "--s3-endpoint",
        &target.endpoint,
        "--s3-bucket",
    ];
    let doctor = |key: &str, secret: &str| {
        let arguments = [&["doctor"], &flags[..], &[&*target.bucket]].concat();
        let keys = [
            ("AWS_ACCESS_KEY_ID", key),
            ("AWS_SECRET_ACCESS_KEY", secret),
        ];
        run(directory.path(), &arguments, &keys)
    };
    let refused = doctor(&target.access_key, "not-the-secret")?;
    fails(&refused, &["403", "AWS_SECRET_ACCESS_KEY"])?;
    let refused = doctor("nobody", &target.secret_key)?;
    fails(&refused, &["403", "AWS_ACCESS_KEY_ID"])?;

    // Nothing to sign with: no variables, no profiles, and nobody who gives this computer a role.
    let arguments = [&["doctor"], &flags[..], &[&*target.bucket]].concat();
    let home = directory.path().to_str().context("a path")?;
    let nothing = [
        ("HOME", home),
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1"),
    ];
    let refused = run(directory.path(), &arguments, &nothing)?;
    fails(
        &refused,
        &[
            "there are no credentials",
            "AWS_ACCESS_KEY_ID",
            "AWS_PROFILE",
        ],
    )?;
    for said in ["imds", "Imds", "IMDS", "{", "dispatch"] {
        ensure!(!refused.1.contains(said), "{said}: {}", refused.1);
    }

    // A good one says things as people do.
    let keys = [
        ("AWS_ACCESS_KEY_ID", &*target.access_key),
        ("AWS_SECRET_ACCESS_KEY", &*target.secret_key),
    ];
    let (content, told) = run(directory.path(), &arguments, &keys)?;
    ensure!(content.status.success(), "{told}");
    ensure!(
        told.contains("the store checks of parts: SHA-256"),
        "{told}"
    );
    ensure!(
        !told.contains("Sha256") && !told.contains("true)"),
        "{told}"
    );

    let gallery = tempfile::tempdir()?;
    let backup = directory.path().join("backup");
    let backup = backup.to_str().context("a path")?;
    // Its store is made when it is served.
    drop(ServerProcess::start(gallery.path(), &[])?);
    let gallery = gallery.path().join("data");
    let exported = run(&gallery, &["export", backup], &[])?;
    ensure!(exported.0.status.success(), "{}", exported.1);
    let new = tempfile::tempdir()?;
    let arguments = [&["import", backup], &flags[..], &["nobodys"]].concat();
    let refused = run(new.path(), &arguments, &keys)?;
    fails(&refused, &["no such bucket", "imgn-server doctor --set-up"])?;
    ensure!(
        !new.path().join("catalogue.sqlite3").exists(),
        "{}",
        refused.1
    );
    Ok(())
}

#[tokio::test]
#[expect(clippy::print_stdout, reason = "says what was skipped")]
async fn a_disk_that_cannot_be_written_is_named() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let Some(disk) = SmallDisk::mount(&directory.path().join("disk"), 24)? else {
        println!("SKIPPED: nobody here may mount a small file system, neither this user nor sudo");
        return Ok(());
    };
    let gallery = disk.path().join("gallery");
    let made = run(&gallery, &["token", "add", "ada"], &[])?;
    ensure!(made.0.status.success(), "{}", made.1);
    let elsewhere = directory.path().join("elsewhere");
    let made = run(&elsewhere, &["token", "add", "ada"], &[])?;
    ensure!(made.0.status.success(), "{}", made.1);
    disk.make_read_only()?;

    let place = gallery.to_str().context("a path")?;
    let backup = disk.path().join("backup");
    let backup = backup.to_str().context("a path")?;
    let outside = directory.path().join("backup");
    let outside = outside.to_str().context("a path")?;
    let asked = [
        (run(&gallery, &["doctor"], &[])?, place),
        (run(&gallery, &["export", outside], &[])?, place),
        (run(&elsewhere, &["export", backup], &[])?, backup),
        (
            run(&gallery, &["serve", "--listen", "127.0.0.1:0"], &[])?,
            place,
        ),
    ];
    for (refused, place) in asked {
        fails(&refused, &[place, "Read-only file system", "for writing"])?;
    }
    Ok(())
}

#[tokio::test]
async fn empty_variables_are_none_and_yes_and_no_are_said_as_people_say_them() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let empty = [
        ("IMGN_DATABASE", ""),
        ("IMGN_PUBLIC_URL", ""),
        ("IMGN_MAX_SIZE", ""),
        ("IMGN_S3_BUCKET", ""),
        ("IMGN_AUDIT_LOG", ""),
        ("IMGN_SHARED_FILE_SYSTEM", ""),
        ("IMGN_LOG_FORMAT", ""),
    ];
    let mut served = Vec::new();
    for (said, expected) in [
        ("1", StatusCode::OK),
        ("yes", StatusCode::OK),
        ("true", StatusCode::OK),
        ("0", StatusCode::UNAUTHORIZED),
        ("no", StatusCode::UNAUTHORIZED),
        ("false", StatusCode::UNAUTHORIZED),
        ("", StatusCode::UNAUTHORIZED),
    ] {
        let place = directory.path().join(format!("with-{said}"));
        let mut environment = empty.to_vec();
        environment.push(("IMGN_ANONYMOUS_UPLOADS", said));
        let server = ServerProcess::start_with(&place, &[], &environment)?;
        let stranger = Api::new(&server.url, None)?;
        let sum = sha256(said.as_bytes());
        let opened = stranger.open(Uuid::now_v7(), "a.jpg", 1, &sum).await?;
        ensure!(opened.status == expected, "{said:?}: {opened:?}");
        served.push(server);
    }
    let refused = run(
        directory.path(),
        &["serve"],
        &[("IMGN_ANONYMOUS_UPLOADS", "perhaps")],
    )?;
    fails(&refused, &["perhaps", "--anonymous-uploads"])
}

#[test]
fn the_command_line_takes_an_empty_variable_for_none() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let mut command = Command::new(program("imgn")?);
    clean_environment(&mut command);
    let output = command
        .arg("status")
        .env("IMGN_SERVER", "")
        .env("IMGN_HOME", "")
        .env("HOME", directory.path())
        .env("XDG_DATA_HOME", directory.path())
        .env("XDG_CONFIG_HOME", directory.path())
        .env("XDG_CACHE_HOME", directory.path())
        .output()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() != Some(2), "{errors}");
    ensure!(!errors.contains("IMGN_SERVER"), "{errors}");
    Ok(())
}

/// Whoever asks whether it lives would kill it in the middle, and an operator would not know what it is at.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_say_what_they_are_at_while_the_catalogue_is_brought_to_their_version() -> Result<()>
{
    let mut database = PostgreSql::start().await?;
    let held = database.hold("CREATE TABLE tokens (held int)").await?;
    let url = database.url();
    let start = async |said: &str| -> Result<_> {
        let (directory, address) = (tempfile::tempdir()?, free_address()?);
        let server = serve(directory.path(), &address, &url)?;
        let log = directory.path().join("log");
        eventually("it says what it is at", PATIENCE, async || {
            Ok(fs::read_to_string(&log)?.contains(said).then_some(()))
        })
        .await
        .with_context(|| fs::read_to_string(&log).unwrap_or_default())?;
        let api = Api::new(&format!("http://{address}"), None)?;
        let lives = tokio::time::timeout(PATIENCE, api.get("/healthz")).await??;
        ensure!(lives.status == StatusCode::OK, "{lives:?}");
        let ready = api.get("/readyz").await?;
        ensure!(ready.status == StatusCode::SERVICE_UNAVAILABLE, "{ready:?}");
        Ok((server, api, directory))
    };
    let first = start("bringing the catalogue to this server's version").await?;
    let second = start("another server brings the catalogue to its version").await?;
    // It ends in the middle of all that, and comes back.
    database.stop();
    drop(held);
    for (_, api, _) in [&first, &second] {
        ensure!(api.get("/healthz").await?.status == StatusCode::OK);
    }
    database.start_again().await?;
    for (_, api, directory) in [&first, &second] {
        let ready = eventually("it is ready", PATIENCE, async || {
            let asked = api.get("/readyz").await;
            Ok(asked.ok().filter(|reply| reply.status == StatusCode::OK))
        });
        ready.await.with_context(|| {
            fs::read_to_string(directory.path().join("log")).unwrap_or_default()
        })?;
    }
    Ok(())
}

/// It is asked whether it is there, and is away again when the server connects to it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_goes_away_right_after_it_was_there_is_waited_for_too() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let database = PostgreSql::start().await?;
    let url = database.url();
    let place = url.split(['@', '/']).nth(3).context("a place")?.to_owned();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let through = url.replace(&place, &listener.local_addr()?.to_string());
    tokio::spawn(async move {
        for number in 0.. {
            let (mut client, _) = listener.accept().await?;
            // The first is who asks, and the second who connects.
            if (1..4).contains(&number) {
                continue;
            }
            let mut server = tokio::net::TcpStream::connect(&place).await?;
            tokio::spawn(
                async move { tokio::io::copy_bidirectional(&mut client, &mut server).await },
            );
        }
        anyhow::Ok(())
    });
    let address = free_address()?;
    let _server = serve(directory.path(), &address, &through)?;
    let api = Api::new(&format!("http://{address}"), None)?;
    eventually("it is ready", PATIENCE, async || {
        let asked = api.get("/readyz").await;
        Ok(asked.ok().filter(|reply| reply.status == StatusCode::OK))
    })
    .await?;
    Ok(())
}
