//! `cargo xtask conformance`: the picture pipeline against Pillow and pillow-heif, on their own test pictures.
//!
//! What is compared, and which differences are excused with what reason, is in `tests/pictures/conformance.py`.

use std::process::Command;

use anyhow::Result;

use crate::{process, project::Project, setup};

/// Sets up, builds and compares; fails on a difference without a reason.
pub(crate) fn run(project: &Project) -> Result<()> {
    setup::for_conformance()?;
    let pillow = setup::pillow(project)?;
    process::run(process::cargo(&project.root).args([
        "build",
        "--locked",
        "--package",
        "imgn-thumbs",
        "--example",
        "thumbnails",
    ]))?;
    process::run(
        Command::new(&pillow.python)
            .arg("-B")
            .arg(project.root.join("tests/pictures/conformance.py"))
            .arg(project.programs().join("examples/thumbnails"))
            .args(&pillow.pictures),
    )
}
