//! `cargo xtask tidy`: what the project holds itself to and no compiler checks.
//!
//! Invariant: it reads files under version control and cargo's metadata, and writes nothing.

mod dependencies;
mod links;
mod text;

use std::{fmt, path::PathBuf};

use anyhow::{Result, bail};

use crate::project::Project;

/// Something that is not as it should be, at a place.
#[derive(Debug, PartialEq, Eq)]
struct Complaint {
    file: PathBuf,
    /// From 1; absent where the whole file is meant.
    line: Option<usize>,
    what: String,
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, "{line}:")?;
        }
        write!(f, " {}", self.what)
    }
}

/// A file of ours that is text.
struct TextFile {
    /// Relative to the root.
    path: PathBuf,
    text: String,
}

impl TextFile {
    fn complaint(&self, line: usize, what: impl Into<String>) -> Complaint {
        Complaint {
            file: self.path.clone(),
            line: Some(line),
            what: what.into(),
        }
    }

    fn has_extension(&self, extensions: &[&str]) -> bool {
        self.path
            .extension()
            .and_then(|extension| extension.to_str())
            .is_some_and(|it| extensions.contains(&it))
    }
}

pub(crate) fn run(project: &Project) -> Result<()> {
    let files = text_files(project)?;
    let mut complaints = Vec::new();
    for file in &files {
        complaints.extend(text::complaints(file));
        complaints.extend(links::complaints(file, &project.root));
    }
    complaints.extend(dependencies::complaints(&project.dependencies()?, &files));
    for complaint in &complaints {
        println!("{complaint}");
    }
    if !complaints.is_empty() {
        bail!("{} things are not tidy", complaints.len());
    }
    println!("{} files are tidy", files.len());
    Ok(())
}

fn text_files(project: &Project) -> Result<Vec<TextFile>> {
    let mut files = Vec::new();
    for path in project.files()? {
        // What is not UTF-8 is a picture.
        if let Ok(text) = String::from_utf8(std::fs::read(project.root.join(&path))?) {
            files.push(TextFile { path, text });
        }
    }
    Ok(files)
}
