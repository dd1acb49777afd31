//! The server is asked whatever its OpenAPI document allows, and what it does not, by a program that nobody here wrote
//! (`schemathesis`, of PyPI): no answer is a fault of the server's, and each is as it is documented.
//!
//! Not asked is `/v1/events`, which does not end. Invariant: the same questions each time, within a bounded time.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use imgn_testkit::{pictures, process::ServerProcess};

use crate::api::Api;

/// The environment variable with the path of the program.
const PROGRAM: &str = "IMGN_TEST_SCHEMATHESIS";

/// What is checked of each answer. Whether more is refused or taken than a schema can say is not: a file name that is a path,
/// or `1.0` for a whole number.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,\
    response_schema_conformance,missing_required_header,unsupported_method,allow_header_conformance,use_after_free,\
    ignored_auth";

/// Questions for each operation.
const EXAMPLES: &str = "30";

/// What one run may take, in seconds.
const TIME: &str = "75";

fn ask(server: &ServerProcess, directory: &Path) -> Result<()> {
    let program = std::env::var_os(PROGRAM).map(PathBuf::from).with_context(|| {
        format!("{PROGRAM} must hold the path of `schemathesis`: `pip install schemathesis` puts it beside pip")
    })?;
    let asked = Command::new(program)
        .args(["run", &format!("{}/openapi.json", server.url)])
        .args(["--header", &format!("Authorization: Bearer {}", server.token)])
        .args(["--checks", CHECKS, "--exclude-path", "/v1/events"])
        .args(["--max-examples", EXAMPLES, "--max-time", TIME, "--seed", "1"])
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_is_as_it_is_documented() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let flags = [
        "--relay-max-size=1M",
        "--limit-requests=0",
        "--limit-address-requests=0",
    ];
    let server = ServerProcess::start(directory.path(), &flags)?;
    let api = Api::new(&server.url, Some(&server.token))?;
    for n in 0..3 {
        api.upload("a.jpg", &pictures::jpeg(60 + n, 40)).await?;
    }
    ask(&server, directory.path())?;
    ensure!(api.get("/readyz").await?.status.is_success(), "it goes on");
    let log = server.process().log();
    ensure!(!log.contains("panicked"), "{log}");
    Ok(())
}
