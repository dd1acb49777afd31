//! The photographs: those of Debian's packages, made as large and as noisy as a camera's.
//!
//! Invariant: they are made once, and are the same on every machine that has the same packages.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

use crate::{process, project::Project};

/// Where the packages put pictures.
const SOURCES: [&str; 2] = ["/usr/share/backgrounds", "/usr/share/wallpapers"];

/// Smaller files are drawings, or too small to be made larger.
const SMALLEST: u64 = 400 << 10;

const BASELINE: usize = 110;
const PROGRESSIVE: usize = 16;

pub(in crate::bench) struct Corpus {
    pub(in crate::bench) baseline: Vec<PathBuf>,
    pub(super) progressive: Vec<PathBuf>,
}

impl Corpus {
    /// Takes what is there, and makes what is missing. A quick one is a few of the same.
    pub(in crate::bench) fn make(project: &Project, is_quick: bool) -> Result<Self> {
        let directory = project.scratch().join("photographs");
        let mut sources = Vec::new();
        for source in SOURCES {
            find(Path::new(source), &mut sources)?;
        }
        sources.sort();
        ensure!(!sources.is_empty(), "no package has photographs");
        process::run(
            Command::new(project.target.join("release/examples/corpus"))
                .arg(&directory)
                .args([BASELINE, PROGRESSIVE].map(|count| count.to_string()))
                .args(&sources),
        )?;
        let mut all: Vec<PathBuf> = fs::read_dir(&directory)?
            .map(|entry| Ok(entry?.path()))
            .collect::<Result<_>>()?;
        all.sort();
        let of_kind = |kind: &str| {
            let kept = if is_quick { 4 } else { usize::MAX };
            let is_one = |path: &&PathBuf| {
                path.file_name()
                    .is_some_and(|name| name.to_string_lossy().starts_with(kind))
            };
            all.iter().filter(is_one).take(kept).cloned().collect()
        };
        Ok(Self {
            baseline: of_kind("baseline"),
            progressive: of_kind("progressive"),
        })
    }

    /// The largest baseline file.
    pub(super) fn largest(&self) -> Result<PathBuf> {
        let size = |path: &&PathBuf| fs::metadata(path).map_or(0, |metadata| metadata.len());
        self.baseline
            .iter()
            .max_by_key(size)
            .cloned()
            .context("a photograph")
    }
}

/// All JPEG files below a folder.
fn find(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        if kind.is_dir() {
            find(&path, found)?;
        } else if kind.is_file()
            && path
                .extension()
                .is_some_and(|it| it == "jpg" || it == "jpeg")
            && entry.metadata()?.len() >= SMALLEST
        {
            found.push(path);
        }
    }
    Ok(())
}
