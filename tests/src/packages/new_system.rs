//! The app on a Debian system that was made a moment ago: what its package does not ask for is not there.
//!
//! Not here: whether it works; all other tests say that. Invariant: its mounts are seen by its own processes only, and go
//! with them.

use std::{
    ffi::OsStr,
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};
use imgn_testkit::{
    pictures,
    process::{clean_environment, eventually},
};

use super::{Ended, Packages, run, shows_its_window};
use crate::{desktop::screen::Screen, driver::PATIENCE};

/// Where this system has its packages from, in the form that `mmdebstrap` takes.
fn sources() -> Result<Vec<PathBuf>> {
    let mut found = vec![PathBuf::from("/etc/apt/sources.list")];
    for entry in fs::read_dir("/etc/apt/sources.list.d")? {
        found.push(entry?.path());
    }
    found.retain(|path| {
        let is_source = |end: &OsStr| end == "list" || end == "sources";
        path.is_file() && path.extension().is_some_and(is_source)
    });
    Ok(found)
}

/// Makes a system of this one's release in `root`, into which apt installs `package` and what that depends on.
fn make(root: &Path, package: &Path) -> Result<()> {
    let release = fs::read_to_string("/etc/os-release")?;
    let name = release
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    let path = package.to_str().context("a path in UTF-8")?;
    let mut make = Command::new("mmdebstrap");
    make.args(["--variant=apt", "--quiet", "--mode=root"])
        // As this system's apt is set up, which may be behind a proxy.
        .arg("--customize-hook=copy-in /etc/apt/apt.conf.d /etc/apt")
        .arg(format!("--customize-hook=copy-in {path} /srv"))
        .arg("--customize-hook=chroot \"$1\" sh -c 'apt-get install --yes --no-install-recommends /srv/*.deb'")
        .arg(name.context("a Debian release")?)
        .arg(root)
        .args(sources()?)
        .env("DEBIAN_FRONTEND", "noninteractive");
    run(&mut make).map(drop)
}

#[tokio::test]
async fn on_a_new_system_apt_brings_all_that_the_app_needs() -> Result<()> {
    let mut mounts = Command::new("unshare");
    if run(mounts.args(["--mount", "true"])).is_err() {
        writeln!(
            io::stderr(),
            "left out: a new system is made by who may mount"
        )?;
        return Ok(());
    }
    let packages = Packages::get()?;
    let folder = tempfile::tempdir()?;
    let root = folder.path().join("root");
    make(&root, &packages.app()?)?;
    fs::write(root.join("srv/a.jpg"), pictures::jpeg(64, 48))?;

    let screen = Screen::start()?;
    let mut app = Command::new("unshare");
    clean_environment(&mut app);
    let script = "mount --rbind /dev \"$0/dev\" && mount --rbind /proc \"$0/proc\" && exec chroot \"$0\" env HOME=/srv \
                  imgn-desktop --local-gallery /srv/a.jpg";
    let log = fs::File::create(screen.app_log())?;
    app.args(["--mount", "sh", "-c", script])
        .arg(&root)
        .env("DISPLAY", screen.display()?)
        .env_remove("DBUS_SESSION_BUS_ADDRESS")
        .stdout(log.try_clone()?)
        .stderr(log);
    let mut app = Ended(app.spawn()?);
    shows_its_window(&mut app, &screen).await?;
    eventually("the picture is published", PATIENCE, async || {
        let text = fs::read_to_string(screen.app_log())?;
        Ok(text.contains("published=New").then_some(()))
    })
    .await?;
    eventually("the page runs", PATIENCE, async || {
        Ok(runs("WebKitWebProces", &root)?.then_some(()))
    })
    .await
}

/// Whether a program of this name runs in that root directory.
fn runs(name: &str, root: &Path) -> Result<bool> {
    for entry in fs::read_dir("/proc")? {
        let process = entry?.path();
        // Not a process, or gone meanwhile.
        let Ok(comm) = fs::read_to_string(process.join("comm")) else {
            continue;
        };
        let own = fs::read_link(process.join("root")).unwrap_or_default();
        if comm.trim_end() == name && own == root {
            return Ok(true);
        }
    }
    Ok(false)
}
