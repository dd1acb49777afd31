//! Real photographs: those of the Debian package `lomiri-wallpapers-16.04`, which `cargo xtask test` installs.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result, ensure};

/// Where the package puts them.
const DIRECTORY: &str = "/usr/share/backgrounds";

/// `count` photographs, always the same ones.
pub(crate) fn some(count: usize) -> Result<Vec<PathBuf>> {
    let mut found: Vec<PathBuf> = fs::read_dir(DIRECTORY)
        .with_context(|| {
            format!("{DIRECTORY}; `cargo xtask test` installs lomiri-wallpapers-16.04")
        })?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    found.retain(|path| path.to_string_lossy().contains("_by_"));
    found.sort();
    ensure!(
        found.len() >= count,
        "{DIRECTORY} has only {} photographs",
        found.len()
    );
    found.truncate(count);
    Ok(found)
}
