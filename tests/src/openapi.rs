//! The server is asked whatever its OpenAPI document allows, and what it does not, by a program that nobody here wrote
//! (`schemathesis`, of PyPI): no answer is a fault of the server's, and each is as it is documented.
//!
//! Not asked is `/v1/events`, which does not end. Invariant: the same questions each time, within a bounded time.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use imgn_testkit::{pictures, postgres::PostgreSql, process::ServerProcess, seaweedfs::SeaweedFs};

use crate::{api::Api, several_servers::arguments};

/// The environment variable with the path of the program.
const PROGRAM: &str = "IMGN_TEST_SCHEMATHESIS";

/// What is checked of each answer. Whether more is refused or taken than a schema can say is not: a file name that is a path,
/// or `1.0` for a whole number.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,\
    response_schema_conformance,missing_required_header,unsupported_method,allow_header_conformance,use_after_free,\
    ignored_auth";

/// How much one run asks: questions for each operation, and seconds.
struct Bounds(&'static str, &'static str);

const THOROUGH: Bounds = Bounds("30", "75");
const SHORT: Bounds = Bounds("10", "40");

const FLAGS: [&str; 3] = [
    "--relay-max-size=1M",
    "--limit-requests=0",
    "--limit-address-requests=0",
];

fn ask(server: &ServerProcess, directory: &Path, Bounds(examples, time): Bounds) -> Result<()> {
    let program = std::env::var_os(PROGRAM).map(PathBuf::from).with_context(|| {
        format!("{PROGRAM} must hold the path of `schemathesis`: `pip install schemathesis` puts it beside pip")
    })?;
    let asked = Command::new(program)
        .args(["run", &format!("{}/openapi.json", server.url)])
        .args(["--header", &format!("Authorization: Bearer {}", server.token)])
        .args(["--checks", CHECKS, "--exclude-path", "/v1/events"])
        .args(["--max-examples", examples, "--max-time", time, "--seed", "1"])
        .args(["--request-timeout", "30", "--suppress-health-check", "all"])
        .args(["--warnings", "off", "--no-color"])
        // What it remembers from one run to the next, and proxies of the surroundings.
        .current_dir(directory)
        .env("NO_PROXY", "127.0.0.1")
        .output()?;
    let told = String::from_utf8_lossy(&asked.stdout);
    let errors = String::from_utf8_lossy(&asked.stderr);
    ensure!(asked.status.success(), "{told}{errors}");
    // It was no empty run.
    ensure!(told.contains("Tested: 25"), "{told}");
    Ok(())
}

async fn holds(server: &ServerProcess, directory: &Path, bounds: Bounds) -> Result<()> {
    let api = Api::new(&server.url, Some(&server.token))?;
    for n in 0..3 {
        api.upload("a.jpg", &pictures::jpeg(60 + n, 40)).await?;
    }
    ask(server, directory, bounds)?;
    ensure!(api.get("/readyz").await?.status.is_success(), "it goes on");
    let log = server.process().log();
    ensure!(!log.contains("panicked"), "{log}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_is_as_it_is_documented() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let server = ServerProcess::start(directory.path(), &FLAGS)?;
    holds(&server, directory.path(), THOROUGH).await
}

/// What another database and another store refuse, and how, is the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_it_is_with_postgresql_and_seaweedfs() -> Result<()> {
    let (database, weed) = (PostgreSql::start().await?, SeaweedFs::start().await?);
    let (target, directory) = (weed.target(), tempfile::tempdir()?);
    let mut flags = arguments(target, &target.endpoint);
    flags.extend(FLAGS);
    let environment = [
        ("AWS_ACCESS_KEY_ID", target.access_key.as_str()),
        ("AWS_SECRET_ACCESS_KEY", target.secret_key.as_str()),
        ("IMGN_DATABASE", &database.url()),
    ];
    let server = ServerProcess::start_with(directory.path(), &flags, &environment)?;
    holds(&server, directory.path(), SHORT).await
}
