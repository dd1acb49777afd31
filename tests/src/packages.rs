//! What people install: the packages and the repository that `cargo xtask dist` makes, judged by the tools of a Debian system
//! and started from where they were installed.
//!
//! The programs in them are those that all other tests start. Invariant: nothing is installed on the computer that runs this;
//! each test has a root directory of its own.

mod new_system;

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Arc, Mutex, PoisonError, Weak},
};

use anyhow::{Context as _, Result, ensure};
use imgn_testkit::{
    pictures,
    process::{Running, clean_environment, eventually, program},
};
use tempfile::TempDir;

use crate::{desktop::screen::Screen, driver::PATIENCE};

/// How exposed the service may be, of 100, by the reckoning of `systemd-analyze security`. The network and its addresses, which
/// a server has to have, are 10 of it.
const EXPOSURE: &str = "15";

/// Whose key signs the repository here.
const KEY: &str = "signer@example.org";

/// What `cargo xtask dist` wrote, with the key that it is signed with. Tests that run at the same time share it.
struct Packages {
    folder: TempDir,
}

impl Packages {
    fn get() -> Result<Arc<Self>> {
        static MADE: Mutex<Weak<Packages>> = Mutex::new(Weak::new());
        let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(packages) = made.upgrade() {
            return Ok(packages);
        }
        let packages = Arc::new(Self::make()?);
        *made = Arc::downgrade(&packages);
        Ok(packages)
    }

    fn make() -> Result<Self> {
        let packages = Self {
            folder: tempfile::tempdir()?,
        };
        fs::create_dir(packages.keys())?;
        fs::set_permissions(packages.keys(), fs::Permissions::from_mode(0o700))?;
        run(packages
            .gpg()
            .args(["--passphrase", "", "--quick-generate-key"])
            .args([KEY, "ed25519", "sign", "never"]))?;
        run(dist(&packages.out())?
            .args(["--sign-key", KEY])
            .env("GNUPGHOME", packages.keys()))?;
        Ok(packages)
    }

    fn out(&self) -> PathBuf {
        self.folder.path().join("out")
    }

    fn keys(&self) -> PathBuf {
        self.folder.path().join("keys")
    }

    fn gpg(&self) -> Command {
        let mut gpg = Command::new("gpg");
        gpg.arg("--batch").env("GNUPGHOME", self.keys());
        gpg
    }

    /// The one file whose name begins and ends so.
    fn file(&self, start: &str, end: &str) -> Result<PathBuf> {
        let mut found = Vec::new();
        for entry in fs::read_dir(self.out())? {
            let name = entry?.file_name();
            let name = name.to_str().context("names are text")?;
            if name.starts_with(start) && name.ends_with(end) {
                found.push(self.out().join(name));
            }
        }
        ensure!(found.len() == 1, "{start}*{end}: {found:?}");
        found.pop().context("there is one")
    }

    fn app(&self) -> Result<PathBuf> {
        self.file("imgn_", ".deb")
    }

    fn server(&self) -> Result<PathBuf> {
        self.file("imgn-server_", ".deb")
    }
}

impl Drop for Packages {
    fn drop(&mut self) {
        // What GnuPG started goes with its folder.
        let mut end = Command::new("gpgconf");
        end.args(["--kill", "all"]).env("GNUPGHOME", self.keys());
        let _ = end.status();
    }
}

/// Packs the programs that all tests start into that folder.
fn dist(out: &Path) -> Result<Command> {
    let xtask = program("xtask")?;
    let mut dist = Command::new(&xtask);
    dist.args(["dist", "--profile", "dev", "--programs"])
        .arg(xtask.parent().context("it is in a folder")?)
        .arg("--out")
        .arg(out);
    Ok(dist)
}

/// What a command printed; fails with all that it said if it does.
fn run(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("{command:?}; `cargo xtask test` installs it"))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(
        output.status.success(),
        "{command:?}: {}\n{text}{errors}",
        output.status
    );
    Ok(text)
}

/// An empty root directory as Debian's are, where `/lib` is in `/usr`.
fn root() -> Result<TempDir> {
    let root = tempfile::tempdir()?;
    for (name, place) in [("bin", "usr/bin"), ("lib", "usr/lib"), ("sbin", "usr/sbin")] {
        fs::create_dir_all(root.path().join(place))?;
        symlink(place, root.path().join(name))?;
    }
    Ok(root)
}

/// Both packages, unpacked.
fn unpacked(packages: &Packages) -> Result<TempDir> {
    let root = root()?;
    for package in [packages.app()?, packages.server()?] {
        let mut unpack = Command::new("dpkg-deb");
        run(unpack.arg("--extract").arg(package).arg(root.path()))?;
    }
    Ok(root)
}

#[test]
fn packages_depend_on_what_they_use_and_hold_what_they_should() -> Result<()> {
    let packages = Packages::get()?;
    for (package, name, needs, needs_not, holds) in [
        (
            packages.app()?,
            "imgn",
            "libwebkit2gtk-4.1-0",
            "systemd",
            &[
                "./usr/bin/imgn",
                "./usr/bin/imgn-desktop",
                "./usr/share/applications/org.imgn.desktop.desktop",
                "./usr/share/icons/hicolor/scalable/apps/imgn-desktop.svg",
                "./usr/share/metainfo/org.imgn.desktop.metainfo.xml",
                "./usr/share/man/man1/imgn-desktop.1.gz",
                "./usr/share/man/man1/imgn-upload.1.gz",
                "./usr/share/zsh/vendor-completions/_imgn",
                "./usr/share/fish/vendor_completions.d/imgn.fish",
                "./usr/share/doc/imgn/copyright",
                "./usr/share/doc/imgn/third-party-licenses",
            ][..],
        ),
        (
            packages.server()?,
            "imgn-server",
            "systemd",
            "libgtk",
            &[
                "./etc/imgn-server/environment",
                "./usr/bin/imgn-server",
                "./usr/lib/systemd/system/imgn-server.service",
                "./usr/lib/sysusers.d/imgn-server.conf",
                "./usr/share/man/man1/imgn-server-token.1.gz",
                "./usr/share/doc/imgn-server/changelog.gz",
            ][..],
        ),
    ] {
        let field = |field: &str| {
            let mut query = Command::new("dpkg-deb");
            run(query.arg("--field").arg(&package).arg(field))
        };
        assert_eq!(field("Package")?.trim(), name);
        assert!(field("Version")?.starts_with("0."), "{}", field("Version")?);
        let depends = field("Depends")?;
        assert!(depends.contains("libc6 (>= 2."), "{depends}");
        assert!(depends.contains(needs), "{depends}");
        assert!(!depends.contains(needs_not), "{depends}");

        let contents = run(Command::new("dpkg-deb").arg("--contents").arg(&package))?;
        for line in contents.lines() {
            // -rwxr-xr-x root/root 123 2026-11-27 04:42 ./usr/bin/imgn
            let words: Vec<&str> = line.split_whitespace().collect();
            let (mode, owner, path) = (words[0], words[1], words[5]);
            assert_eq!(owner, "root/root", "{line}");
            assert!(
                ["drwxr-xr-x", "-rwxr-xr-x", "-rw-r--r--"].contains(&mode)
                    || (mode, path) == ("-rw-------", "./etc/imgn-server/environment"),
                "{line}"
            );
        }
        for path in holds {
            let is_held = contents
                .lines()
                .any(|line| line.ends_with(&format!(" {path}")));
            assert!(is_held, "{path} is not in {contents}");
        }
    }

    let tarball = packages.file("imgn-server-", ".tar.xz")?;
    let tree = tempfile::tempdir()?;
    let mut unpack = Command::new("tar");
    run(unpack
        .args(["--extract", "--strip-components=1", "--file"])
        .arg(tarball)
        .arg("--directory")
        .arg(tree.path()))?;
    let server = tree.path().join("usr/bin/imgn-server");
    assert!(run(Command::new(server).arg("--help"))?.contains("serve"));
    let install = fs::read_to_string(tree.path().join("INSTALL.txt"))?;
    assert!(!install.contains('@'), "{install}");
    Ok(())
}

#[test]
fn the_same_programs_give_the_same_bytes() -> Result<()> {
    let packages = Packages::get()?;
    let again = tempfile::tempdir()?;
    run(&mut dist(again.path())?)?;
    let sums = |folder: &Path| fs::read_to_string(folder.join("SHA256SUMS"));
    let (before, after) = (sums(&packages.out())?, sums(again.path())?);
    assert_eq!(before.lines().count(), 3, "{before}");
    assert_eq!(before, after);
    Ok(())
}

#[test]
fn what_the_system_reads_is_valid() -> Result<()> {
    let packages = Packages::get()?;
    let root = unpacked(&packages)?;
    let place = |path: &str| root.path().join(path);

    for file in [
        "usr/share/applications/org.imgn.desktop.desktop",
        "usr/share/Thunar/sendto/org.imgn.desktop.desktop",
    ] {
        let mut validate = Command::new("desktop-file-validate");
        assert_eq!(run(validate.arg(place(file)))?, "");
    }
    let mut validate = Command::new("appstreamcli");
    run(validate
        .args(["validate-tree", "--no-net"])
        .arg(root.path()))?;

    let analyze = |words: &[&str]| {
        let mut analyze = Command::new("systemd-analyze");
        analyze.arg("--root").arg(root.path()).args(words);
        run(analyze.arg("imgn-server.service"))
    };
    // What it stands in comes from systemd's own package.
    for target in [
        "basic",
        "multi-user",
        "network-online",
        "shutdown",
        "sysinit",
    ] {
        let unit = format!("lib/systemd/system/{target}.target");
        fs::copy(Path::new("/").join(&unit), place(&unit))?;
    }
    analyze(&["verify", "--man=no"])?;
    analyze(&["security", "--offline=true", "--threshold", EXPOSURE])?;
    Ok(())
}

#[test]
fn the_manual_and_completions_are_of_the_programs() -> Result<()> {
    let packages = Packages::get()?;
    let root = unpacked(&packages)?;
    let pages = root.path().join("usr/share/man/man1");
    let mut count = 0;
    for entry in fs::read_dir(&pages)? {
        let page = entry?.path();
        let mut man = Command::new("man");
        man.args(["--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z"])
            .arg(&page)
            .env("LC_ALL", "C.UTF-8")
            .env("MANROFFSEQ", "")
            .env("MANWIDTH", "80");
        let output = man.output()?;
        let complaints = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success() && complaints.is_empty(),
            "{page:?}: {complaints}"
        );
        count += 1;
    }
    assert!(count > 20, "{count} pages");
    let mut man = Command::new("man");
    // Into a pipe, without a device of its own, it is plain text.
    man.arg("-l")
        .arg(pages.join("imgn-upload.1.gz"))
        .env("LC_ALL", "C.UTF-8")
        .env_remove("MAN_KEEP_FORMATTING");
    let text = run(&mut man)?;
    for words in ["--keep-gps", "--clipboard", "PATH"] {
        assert!(text.contains(words), "{text}");
    }

    let completed = |program: &str, words: &str| {
        let script = root
            .path()
            .join("usr/share/bash-completion/completions")
            .join(program);
        let mut bash = Command::new("bash");
        bash.args(["--norc", "-c"])
            .arg(
                "source \"$1\"; function=$(complete -p \"$2\" | sed 's/.*-F \\([^ ]*\\) .*/\\1/')\n\
                 read -ra COMP_WORDS <<<\"$2 $3\"; COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); COMPREPLY=()\n\
                 \"$function\" \"$2\" \"${COMP_WORDS[-1]}\" \"${COMP_WORDS[-2]}\"; echo \"${COMPREPLY[@]}\"",
            )
            .args(["bash".as_ref(), script.as_os_str(), program.as_ref(), words.as_ref()]);
        run(&mut bash)
    };
    assert_eq!(completed("imgn", "upl")?.trim(), "upload");
    assert_eq!(completed("imgn", "upload --keep")?.trim(), "--keep-gps");
    assert_eq!(completed("imgn-server", "token ad")?.trim(), "add");
    Ok(())
}

#[test]
fn installed_the_service_is_set_up_and_purged_the_pictures_stay() -> Result<()> {
    let packages = Packages::get()?;
    let root = root()?;
    let place = |path: &str| root.path().join(path);
    let admin = place("var/lib/dpkg");
    for folder in ["info", "triggers", "updates"] {
        fs::create_dir_all(admin.join(folder))?;
    }
    fs::write(admin.join("status"), "")?;
    fs::write(admin.join("available"), "")?;
    let dpkg = |words: &[&str]| {
        let mut dpkg = Command::new("fakeroot");
        // Its scripts run on this system and change the other.
        dpkg.args(["dpkg", "--force-depends", "--force-script-chrootless"])
            .arg("--root")
            .arg(root.path())
            .args(words)
            .env(
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            )
            .env("DEBIAN_FRONTEND", "noninteractive");
        run(&mut dpkg)
    };
    let state = |package: &str| {
        let mut query = Command::new("dpkg-query");
        query.arg("--admindir").arg(&admin);
        run(query.args(["--show", "--showformat=${db:Status-Status}", package]))
    };
    let (app, server) = (packages.app()?, packages.server()?);
    let names = [app.to_str(), server.to_str()].map(Option::unwrap_or_default);
    dpkg(&["--install", names[0], names[1]])?;
    assert_eq!(
        (state("imgn")?, state("imgn-server")?),
        ("installed".into(), "installed".into())
    );

    let users = fs::read_to_string(place("etc/passwd"))?;
    let user = users.lines().find(|line| line.starts_with("imgn-server:"));
    assert!(user.is_some_and(|user| user.contains("nologin")), "{users}");
    let wanted = place("etc/systemd/system/multi-user.target.wants/imgn-server.service");
    assert!(wanted.is_symlink());

    // As it was changed by hand, over an update and over the end.
    let settings = place("etc/imgn-server/environment");
    let changed = "IMGN_LISTEN=127.0.0.1:8080\n";
    fs::write(&settings, changed)?;
    dpkg(&["--force-confold", "--install", names[1]])?;
    assert_eq!(fs::read_to_string(&settings)?, changed);
    let picture = place("var/lib/imgn-server/objects/picture");
    fs::create_dir_all(picture.parent().context("it is in a folder")?)?;
    fs::write(&picture, "a picture")?;
    dpkg(&["--remove", "imgn-server"])?;
    assert_eq!(fs::read_to_string(&settings)?, changed);
    assert!(!place("usr/bin/imgn-server").exists());
    dpkg(&["--purge", "imgn-server"])?;
    assert!(!settings.exists() && !wanted.is_symlink());
    assert_eq!(fs::read_to_string(&picture)?, "a picture");
    Ok(())
}

#[tokio::test]
async fn from_where_they_are_installed_the_programs_work_together() -> Result<()> {
    let packages = Packages::get()?;
    let root = unpacked(&packages)?;
    let installed = |name: &str| root.path().join("usr/bin").join(name);
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");

    let mut token = Command::new(installed("imgn-server"));
    clean_environment(&mut token);
    let token = run(token
        .args(["token", "add", "somebody", "--data-dir"])
        .arg(&data))?;
    let mut serve = Command::new(installed("imgn-server"));
    clean_environment(&mut serve);
    serve
        .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(&data);
    let (_server, line) = Running::start(serve, &folder.path().join("server.log"))?;
    let url = line
        .strip_prefix("imgn-server listening on ")
        .context("an address")?;

    let picture = folder.path().join("picture.jpg");
    fs::write(&picture, pictures::jpeg(64, 48))?;
    let mut upload = Command::new(installed("imgn"));
    clean_environment(&mut upload);
    let link = run(upload
        .args(["--server", url, "--home"])
        .arg(folder.path().join("home"))
        .arg("upload")
        .arg(&picture)
        .env("IMGN_TOKEN", token.trim()))?;
    assert!(link.starts_with(url), "{link}");

    let screen = Screen::start()?;
    let window = installed("imgn-desktop");
    let mut app = screen.command(
        window
            .to_str()
            .context("a temporary folder's name is text")?,
    );
    clean_environment(&mut app);
    let log = fs::File::create(screen.app_log())?;
    app.args(["--server", url])
        .stdout(log.try_clone()?)
        .stderr(log);
    let mut app = Ended(app.spawn()?);
    shows_its_window(&mut app, &screen).await
}

/// Waits for an app that writes its log where the screen keeps it.
async fn shows_its_window(app: &mut Ended, screen: &Screen) -> Result<()> {
    eventually("its window is on the screen", PATIENCE, async || {
        if let Some(status) = app.0.try_wait()? {
            let said = fs::read_to_string(screen.app_log())?;
            anyhow::bail!("it ended ({status}): {said}");
        }
        let windows = screen.xdotool(&["search", "--onlyvisible", "--name", "^imgn$"]);
        Ok(windows
            .ok()
            .and_then(|windows| (!windows.is_empty()).then_some(())))
    })
    .await
}

/// A process that ends with its handle.
struct Ended(std::process::Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn apt_takes_packages_from_the_repository_by_its_key_only() -> Result<()> {
    let packages = Packages::get()?;
    let out = packages.out();
    run(Command::new("sha256sum")
        .args(["--check", "SHA256SUMS"])
        .current_dir(&out))?;
    run(packages
        .gpg()
        .args(["--verify", "SHA256SUMS.asc", "SHA256SUMS"])
        .current_dir(&out))?;

    let client = tempfile::tempdir()?;
    let apt = |repository: &Path, words: &[&str]| {
        let place = |name: &str| client.path().join(name);
        for folder in ["state/lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(place(folder))?;
        }
        fs::write(place("status"), "")?;
        let source = format!(
            "deb [signed-by={}] file:{} ./\n",
            out.join("imgn-archive-keyring.asc").display(),
            repository.display()
        );
        fs::write(place("sources.list"), source)?;
        let mut apt = Command::new("apt-get");
        apt.env("LC_ALL", "C.UTF-8");
        for (option, value) in [
            ("Dir::Etc::SourceList", place("sources.list")),
            ("Dir::Etc::SourceParts", "/dev/null".into()),
            ("Dir::State", place("state")),
            ("Dir::State::status", place("status")),
            ("Dir::Cache", place("cache")),
            ("APT::Sandbox::User", "".into()),
            ("APT::Update::Error-Mode", "any".into()),
        ] {
            apt.arg("-o").arg(format!("{option}={}", value.display()));
        }
        run(apt.args(words).current_dir(client.path()))
    };
    apt(&out, &["update"])?;
    apt(&out, &["download", "imgn-server"])?;
    let server = packages.server()?;
    let name = server.file_name().context("it has a name")?;
    let downloaded = client.path().join(name);
    assert_eq!(fs::read(downloaded)?, fs::read(&server)?);

    // Somebody else's list under the same signature.
    let forged = tempfile::tempdir()?;
    let list = fs::read_to_string(out.join("InRelease"))?;
    fs::copy(out.join("Packages"), forged.path().join("Packages"))?;
    fs::write(
        forged.path().join("InRelease"),
        list.replace("Origin: imgn", "Origin: ingm"),
    )?;
    let refused = apt(forged.path(), &["update"]).unwrap_err().to_string();
    assert!(refused.contains("BADSIG"), "{refused}");
    Ok(())
}
