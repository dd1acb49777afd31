//! What is in which package.
//!
//! Invariant: nothing is written here that another file has; texts are in `deploy/linux/`, pages come from the programs.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};

use super::{
    APP_BUDGET, Product, Release, SERVER_BUDGET,
    debian::{self, Control},
    notices,
    stage::Stage,
};
use crate::{process, project::Project};

/// The icon by its edge in pixels, as in `icons/`.
const ICONS: &[(u32, &str)] = &[
    (32, "32x32.png"),
    (128, "128x128.png"),
    (256, "128x128@2x.png"),
];

/// The window and the command line in one package: who has the one gets its links in a terminal too.
pub(super) fn app(
    project: &Project,
    release: &Release,
    out: &Path,
    products: &mut Vec<Product>,
) -> Result<()> {
    let sources = project.root.join("deploy/linux");
    let stage = Stage::new(project)?;
    stage.program(release, "imgn-desktop")?;
    stage.program(release, "imgn")?;
    for (name, path) in [
        (
            "org.imgn.desktop.desktop",
            "usr/share/applications/org.imgn.desktop.desktop",
        ),
        (
            "sendto.desktop",
            "usr/share/Thunar/sendto/org.imgn.desktop.desktop",
        ),
    ] {
        stage.copy(&sources.join(name), path)?;
    }
    // KDE starts only those that may be executed.
    let service_menu = fs::read(sources.join("servicemenu.desktop"))?;
    stage.write(
        "usr/share/kio/servicemenus/org.imgn.desktop.desktop",
        service_menu,
        0o755,
    )?;
    let metainfo = fs::read_to_string(sources.join("org.imgn.desktop.metainfo.xml"))?
        .replace("@VERSION@", &release.debian_version)
        .replace("@TIMESTAMP@", &release.epoch.to_string());
    stage.write(
        "usr/share/metainfo/org.imgn.desktop.metainfo.xml",
        metainfo,
        0o644,
    )?;
    let icons = project.root.join("icons");
    for (edge, name) in ICONS {
        let path = format!("usr/share/icons/hicolor/{edge}x{edge}/apps/imgn-desktop.png");
        stage.copy(&icons.join(name), &path)?;
    }
    stage.copy(
        &icons.join("imgn.svg"),
        "usr/share/icons/hicolor/scalable/apps/imgn-desktop.svg",
    )?;
    documents(
        project,
        release,
        &stage,
        "imgn",
        &["imgn-desktop", "imgn-cli"],
    )?;

    let control = Control {
        name: "imgn",
        section: "graphics",
        programs: &["imgn-desktop", "imgn"],
        depends: &[],
        // Where the token is kept, and how files are chosen outside of GTK's desktops.
        recommends: &["ca-certificates", "gnome-keyring | kwalletmanager"],
        suggests: &["imgn-server", "xdg-desktop-portal"],
        summary: "upload pictures to a public gallery, and see it",
        description: "Drop pictures on the window, paste them, or send them from the tray, from the file\n\
                      manager, by a key or by a command: each is in the gallery a moment later, and its\n\
                      link is on the clipboard in the format that you write in.\n\
                      \n\
                      This package has the desktop app, imgn-desktop, and the command line, imgn.",
        scripts: &[],
    };
    products.push(Product {
        file: debian::pack(&stage, release, &control, out)?,
        budget: APP_BUDGET,
    });
    Ok(())
}

/// The server as a service, as a package and as a tarball of the same tree.
pub(super) fn server(
    project: &Project,
    release: &Release,
    out: &Path,
    products: &mut Vec<Product>,
) -> Result<()> {
    let sources = project.root.join("deploy/linux");
    let stage = Stage::new(project)?;
    stage.program(release, "imgn-server")?;
    for (name, path) in [
        (
            "imgn-server.service",
            "usr/lib/systemd/system/imgn-server.service",
        ),
        (
            "imgn-server.sysusers",
            "usr/lib/sysusers.d/imgn-server.conf",
        ),
    ] {
        stage.copy(&sources.join(name), path)?;
    }
    // It may get passwords. The service's own user need not read it: systemd does.
    let environment = fs::read(sources.join("imgn-server.environment"))?;
    stage.write("etc/imgn-server/environment", environment, 0o600)?;
    documents(project, release, &stage, "imgn-server", &["imgn-server"])?;

    let scripts = ["postinst", "prerm", "postrm"]
        .into_iter()
        .map(|script| {
            let file = sources.join(format!("imgn-server.{script}"));
            let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
            Ok((script, text))
        })
        .collect::<Result<Vec<_>>>()?;
    let control = Control {
        name: "imgn-server",
        section: "web",
        programs: &["imgn-server"],
        // What makes its user, and what turns the service on.
        depends: &[
            "init-system-helpers (>= 1.54~)",
            "systemd | systemd-standalone-sysusers | systemd-sysusers",
        ],
        recommends: &["ca-certificates"],
        suggests: &["postgresql"],
        summary: "public picture gallery: its server",
        description: "Takes pictures by URLs that it signs for one request each, verifies them, and shows\n\
                      them on a web page and to the imgn app. The pictures are in a directory, or in a\n\
                      bucket of an S3 service; the catalogue is in a file, or in PostgreSQL.\n\
                      \n\
                      The service listens on 127.0.0.1:8787 until /etc/imgn-server/environment says\n\
                      otherwise.",
        scripts: &scripts,
    };
    let package = debian::pack(&stage, release, &control, out)?;
    let tarball = tarball(&sources, release, &stage, out)?;
    products.extend([package, tarball].map(|file| Product {
        file,
        budget: SERVER_BUDGET,
    }));
    Ok(())
}

/// What every package says of itself: who owns it, what is in it, and what has changed.
fn documents(
    project: &Project,
    release: &Release,
    stage: &Stage,
    package: &str,
    built_from: &[&str],
) -> Result<()> {
    let place = format!("usr/share/doc/{package}");
    let license = fs::read_to_string(project.root.join("LICENSE-MIT"))?;
    let copyright = fs::read_to_string(project.root.join("deploy/linux/copyright"))?
        .replace("@MIT@", &debian::folded(license.trim_end()));
    stage.write(&format!("{place}/copyright"), copyright, 0o644)?;
    // As it is: the package compresses it better with all else.
    stage.write(
        &format!("{place}/third-party-licenses"),
        notices::text(project, built_from)?,
        0o644,
    )?;
    let changelog = fs::read(project.root.join("CHANGELOG.md"))?;
    stage.write_gz(&format!("{place}/changelog"), changelog)?;
    let Release {
        debian_version,
        maintainer,
        date,
        ..
    } = release;
    let entry = format!(
        "{package} ({debian_version}) stable; urgency=medium\n\n  * What has changed is in changelog.gz.\n\n -- {maintainer}  {date}\n"
    );
    stage.write_gz(&format!("{place}/changelog.Debian"), entry)
}

/// The tree as it is, and how it is installed.
fn tarball(
    sources: &Path,
    release: &Release,
    stage: &Stage,
    out: &Path,
) -> Result<std::path::PathBuf> {
    let architecture = std::env::consts::ARCH;
    let name = format!(
        "imgn-server-{}-linux-{architecture}",
        release.debian_version
    );
    let install = fs::read_to_string(sources.join("INSTALL.txt"))?
        .replace("@VERSION@", &release.debian_version)
        .replace("@ARCHITECTURE@", architecture);
    stage.write("INSTALL.txt", install, 0o644)?;
    let file = out.join(format!("{name}.tar.xz"));
    let mut tar = release.command("tar");
    tar.args(["--create", "--sort=name", "--format=gnu"])
        .args(["--owner=root:0", "--group=root:0", "--numeric-owner"])
        .arg(format!("--mtime=@{}", release.epoch))
        .arg(format!("--transform=s,^\\.,{name},"))
        .arg(format!("--use-compress-program={}", debian::xz(release)))
        .arg("--file")
        .arg(&file)
        .arg("--directory")
        .arg(stage.root())
        .args(["--exclude=./DEBIAN", "."]);
    process::run(&mut tar)?;
    Ok(file)
}
