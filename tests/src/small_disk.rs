//! A disk that is full, or cannot be written, for those tests that need one.
//!
//! Invariant: it is gone with its handle.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Result, ensure};

/// A file system of a few megabytes; unmounted on drop.
pub(crate) struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Nothing where neither this user nor `sudo` may mount.
    pub(crate) fn mount(at: &Path, megabytes: u32) -> Result<Option<Self>> {
        fs::create_dir_all(at)?;
        let options = format!("size={megabytes}m,mode=1777");
        let mounted = as_root(&["mount", "-t", "tmpfs", "-o", &options, "tmpfs"], at);
        Ok(mounted.then(|| Self(at.to_owned())))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// From now on nothing can be written to it.
    pub(crate) fn make_read_only(&self) -> Result<()> {
        let done = as_root(&["mount", "-o", "remount,ro"], &self.0);
        ensure!(done, "{} stays as it was", self.0.display());
        Ok(())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        as_root(&["umount", "-l"], &self.0);
    }
}

/// Runs a command on a path as root, directly or by `sudo` without a password; answers whether it succeeded.
fn as_root(command: &[&str], path: &Path) -> bool {
    [&[][..], &["sudo", "-n"]].iter().any(|privilege| {
        let mut words = privilege.iter().chain(command);
        let mut process = Command::new(words.next().unwrap());
        process
            .args(words)
            .arg(path)
            .stderr(std::process::Stdio::null());
        process.status().is_ok_and(|status| status.success())
    })
}
