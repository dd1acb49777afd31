//! `cargo xtask bindings`: writes `ui/src/ipc/bindings.ts` from the desktop app's commands and events.
//!
//! The app's own test compares that file with the code; with this variable in its environment it writes the file
//! instead. So there is one way to generate it, and no program beside the test that would have to be linked.

use anyhow::Result;

use crate::{process, project::Project, setup};

/// Makes the test write what it would compare. `src-tauri/bindings.rs` reads it.
const WRITE: &str = "IMGN_WRITE_BINDINGS";

pub(crate) fn write(project: &Project) -> Result<()> {
    setup::for_running(project)?;
    if !project.ui().join("dist/index.html").is_file() {
        process::run(setup::npm(&project.ui()).args(["run", "build"]))?;
    }
    process::run(
        process::cargo(&project.root)
            .args([
                "test",
                "--quiet",
                "--locked",
                "--package",
                "imgn-desktop",
                "--lib",
                "bindings",
            ])
            .env(WRITE, "1"),
    )
}
