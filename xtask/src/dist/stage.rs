//! A tree of files that is about to be packed.
//!
//! Invariant: every mode is chosen here, none is the umask's; owners are the packing's business.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use super::Release;
use crate::{process, project::Project};

/// The tree, which ends with this.
pub(super) struct Stage {
    // What is packed is below it: this itself has a temporary folder's mode.
    folder: TempDir,
}

impl Stage {
    pub(super) fn new(project: &Project) -> Result<Self> {
        fs::create_dir_all(project.scratch())?;
        let stage = Self {
            folder: TempDir::new_in(project.scratch())?,
        };
        fs::create_dir(stage.root())?;
        set_mode(&stage.root(), 0o755)?;
        Ok(stage)
    }

    /// What stands for `/`.
    pub(super) fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    /// A place beside it, for what is not packed.
    pub(super) fn beside(&self, name: &str) -> Result<PathBuf> {
        let place = self.folder.path().join(name);
        fs::create_dir_all(&place)?;
        Ok(place)
    }

    /// A file at `path`, which begins at the root and without a slash.
    pub(super) fn write(&self, path: &str, bytes: impl AsRef<[u8]>, mode: u32) -> Result<()> {
        let file = self.place(path)?;
        fs::write(&file, bytes).with_context(|| file.display().to_string())?;
        set_mode(&file, mode)
    }

    /// The same, compressed as documents are; `.gz` is added to its name.
    pub(super) fn write_gz(&self, path: &str, bytes: impl AsRef<[u8]>) -> Result<()> {
        self.write(path, bytes, 0o644)?;
        let file = self.root().join(path);
        process::run_silently(Command::new("gzip").args(["-9", "-n"]).arg(file))
    }

    /// A copy of a file as data.
    pub(super) fn copy(&self, from: &Path, path: &str) -> Result<()> {
        let bytes = fs::read(from).with_context(|| from.display().to_string())?;
        self.write(path, bytes, 0o644)
    }

    /// A built program in `usr/bin`, its manual pages, and if it has them its completions.
    pub(super) fn program(&self, release: &Release, name: &str) -> Result<()> {
        let built = release.programs.join(name);
        let path = format!("usr/bin/{name}");
        let file = self.place(&path)?;
        fs::copy(&built, &file).with_context(|| built.display().to_string())?;
        // Cargo does it to release builds, but not to those of packages that are built for size.
        process::run_silently(Command::new("strip").arg("--strip-all").arg(&file))?;
        set_mode(&file, 0o755)?;
        self.manual(&built, name)?;
        if name != "imgn-desktop" {
            self.completions(&built, name)?;
        }
        Ok(())
    }

    fn manual(&self, program: &Path, name: &str) -> Result<()> {
        let pages = self.beside(&format!("{name}-manual"))?;
        // A window has no commands, so there it is a flag.
        let flag = if name == "imgn-desktop" {
            "--man"
        } else {
            "man"
        };
        process::run_silently(quiet(program).arg(flag).arg(&pages))?;
        for page in files(&pages)? {
            let text = fs::read(pages.join(&page))?;
            self.write_gz(&format!("usr/share/man/man1/{}", page.display()), text)?;
        }
        Ok(())
    }

    fn completions(&self, program: &Path, name: &str) -> Result<()> {
        for (shell, path) in [
            (
                "bash",
                format!("usr/share/bash-completion/completions/{name}"),
            ),
            ("zsh", format!("usr/share/zsh/vendor-completions/_{name}")),
            (
                "fish",
                format!("usr/share/fish/vendor_completions.d/{name}.fish"),
            ),
        ] {
            let script = process::output(quiet(program).args(["completions", shell]))?;
            self.write(&path, script, 0o644)?;
        }
        Ok(())
    }

    fn place(&self, path: &str) -> Result<PathBuf> {
        let file = self.root().join(path);
        let mut folder = self.root();
        for name in Path::new(path).parent().into_iter().flat_map(Path::iter) {
            folder.push(name);
            if !folder.is_dir() {
                fs::create_dir(&folder)?;
                set_mode(&folder, 0o755)?;
            }
        }
        Ok(file)
    }
}

/// A program that says only what it is, whatever is set in this command's environment.
fn quiet(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null()).env_clear();
    command
}

/// All files below a folder, relative to it and sorted.
pub(super) fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut left = vec![PathBuf::new()];
    while let Some(inside) = left.pop() {
        for entry in fs::read_dir(folder.join(&inside))? {
            let entry = entry?;
            let path = inside.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                left.push(path);
            } else {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

pub(super) fn set_mode(path: &Path, mode: u32) -> Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .with_context(|| path.display().to_string())
}
