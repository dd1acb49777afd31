//! `cargo xtask bench lambda`: the function beside the same server on a socket, cold and warm.
//!
//! Invariant: both are release builds on one store; what AWS itself takes is not in the figures.

use std::process::Command;

use anyhow::Result;
use serde::Deserialize;

use super::{Figure, figure};
use crate::{process, project::Project, setup};

#[derive(Deserialize)]
struct Row {
    what: String,
    value: f64,
}

/// Builds what is measured, and what measures.
pub(super) fn build(project: &Project) -> Result<()> {
    for package in [
        &["imgn-lambda", "--package", "imgn-server", "--bins"][..],
        &["imgn-testkit", "--example", "invocations"],
    ] {
        process::run(
            process::cargo(&project.root)
                .args(["build", "--release", "--locked", "--package"])
                .args(package),
        )?;
    }
    Ok(())
}

pub(super) fn measure(project: &Project) -> Result<Vec<Figure>> {
    let release = project.target.join("release");
    let mut command = Command::new(release.join("examples/invocations"));
    command
        .env("IMGN_TEST_BIN_DIR", &release)
        .env("IMGN_TEST_WEED", setup::seaweedfs(project)?);
    let rows: Vec<Row> = serde_json::from_str(&process::output(&mut command)?)?;
    let rows = rows.iter().map(|row| figure(&row.what, row.value, "ms"));
    Ok(rows.collect())
}
