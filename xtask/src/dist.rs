//! `cargo xtask dist`: the packages that people install, and the repository that they are updated from.
//!
//! It packs what cargo builds and what is in `deploy/linux/`; it installs nothing and uploads nothing. The directory that it
//! writes is an apt repository as it is: whoever serves it, and signs it with a key of their own, gives their users updates.
//!
//! Invariant: the same programs at the same commit give packages of the same bytes: times are the commit's, owners are root,
//! and lists are sorted. Only the repository's own list says when it was made, since apt takes no older one.

mod contents;
mod debian;
mod notices;
mod repository;
mod stage;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail, ensure};
use clap::ValueEnum;

use crate::{process, project::Project, setup};

/// What each package may take to download, in bytes. The app's is what the project promises: its web view is the system's.
/// The server's is what it takes today and a fifth more.
const APP_BUDGET: u64 = 15_000_000;
const SERVER_BUDGET: u64 = 12_000_000;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Where the packages go; `dist` in the target directory if left out. What is there already stays: older packages are
    /// part of the repository.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// How the programs are built. Those of `dev` are for tests: they are large, and held to no budget.
    #[arg(long, value_name = "PROFILE", default_value = "release")]
    profile: Profile,
    /// Pack the programs of this directory, built with that profile, and build none.
    #[arg(long, value_name = "DIR")]
    programs: Option<PathBuf>,
    /// Sign the repository and the checksums with this key of your GnuPG, by its fingerprint or address.
    #[arg(long, value_name = "KEY")]
    sign_key: Option<String>,
}

/// Cargo's profile of that name.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Profile {
    Release,
    Dev,
}

/// What is packed, and as what.
struct Release {
    /// As Debian orders it: a commit without a tag `v0.1.0` is before 0.1.0, and after every commit before it.
    debian_version: String,
    /// Seconds since 1970 of the commit, or what `SOURCE_DATE_EPOCH` says; no time in the packages is later.
    epoch: u64,
    /// The same as RFC 5322 has it.
    date: String,
    /// Debian's name of what the programs run on, such as `amd64`.
    architecture: String,
    /// Who answers for the packages: `NAME <ADDRESS>`.
    maintainer: String,
    profile: Profile,
    /// Where the built programs are.
    programs: PathBuf,
}

/// A package that is made.
struct Product {
    file: PathBuf,
    /// What it may take, in bytes.
    budget: u64,
}

pub(crate) fn run(project: &Project, arguments: &Arguments) -> Result<()> {
    if arguments.programs.is_none() {
        setup::for_running(project)?;
    }
    setup::for_packaging()?;
    let programs = match &arguments.programs {
        Some(programs) => programs.clone(),
        None => build(project, arguments.profile)?,
    };
    let release = Release::of(project, arguments.profile, programs)?;
    let out = arguments
        .out
        .clone()
        .unwrap_or_else(|| project.target.join("dist"));
    fs::create_dir_all(&out).with_context(|| out.display().to_string())?;
    // Programs that are started elsewhere are given it.
    let out = fs::canonicalize(&out)?;

    let mut products = Vec::new();
    contents::app(project, &release, &out, &mut products)?;
    contents::server(project, &release, &out, &mut products)?;
    repository::write(&out, &release, &products, arguments.sign_key.as_deref())?;

    println!("\n{} is in {}", release.debian_version, out.display());
    let is_held = arguments.profile == Profile::Release;
    let mut too_large = Vec::new();
    for Product { file, budget } in &products {
        let name = name_of(file)?;
        let size = fs::metadata(file)?.len();
        let remark = if is_held { "" } else { ", of release builds" };
        println!(
            "{name}: {} (budget {}{remark})",
            megabytes(size),
            megabytes(*budget)
        );
        if is_held && size > *budget {
            too_large.push(name);
        }
    }
    if !too_large.is_empty() {
        bail!("over budget: {}", too_large.join(", "));
    }
    Ok(())
}

/// Builds the programs and answers where they are.
fn build(project: &Project, profile: Profile) -> Result<PathBuf> {
    process::run(setup::npm(&project.ui()).args(["run", "build"]))?;
    let mut cargo = process::cargo(&project.root);
    cargo.args(["build", "--locked", "--bins"]);
    match profile {
        // With the features that `cargo xtask test` builds them with, so that neither compiles the other's anew.
        Profile::Dev => {
            process::run(cargo.arg("--workspace"))?;
            Ok(project.programs())
        }
        Profile::Release => {
            cargo.arg("--release");
            for package in ["imgn-desktop", "imgn-cli", "imgn-server"] {
                cargo.args(["--package", package]);
            }
            process::run(&mut cargo)?;
            Ok(project.target.join("release"))
        }
    }
}

impl Release {
    fn of(project: &Project, profile: Profile, programs: PathBuf) -> Result<Self> {
        let git = |arguments: &[&str]| {
            let mut git = Command::new("git");
            git.args(arguments).current_dir(&project.root);
            let answer = process::output(git.env("TZ", "UTC"))?;
            anyhow::Ok(answer.trim().to_owned())
        };
        let of_commit = |format: &str| {
            let format = format!("--format={format}");
            let mut log = vec!["log", "-1", "--date=format-local:%Y%m%d%H%M%S"];
            log.push(&format);
            git(&log)
        };
        let epoch = match env::var("SOURCE_DATE_EPOCH") {
            Ok(epoch) => epoch,
            Err(_) => of_commit("%ct")?,
        };
        let epoch: u64 = epoch
            .parse()
            .context("SOURCE_DATE_EPOCH is seconds since 1970")?;
        let version = &project.version;
        let tag = format!("v{version}");
        let is_tagged = git(&["tag", "--points-at", "HEAD"])?
            .lines()
            .any(|it| it == tag);
        let debian_version = if is_tagged {
            version.clone()
        } else {
            format!("{version}~git{}", of_commit("%cd.%h")?)
        };
        let mut date = Command::new("date");
        date.args(["--utc", "--rfc-email", &format!("--date=@{epoch}")])
            .env("LC_ALL", "C");
        let mut architecture = Command::new("dpkg");
        Ok(Self {
            debian_version,
            epoch,
            date: process::output(&mut date)?.trim().to_owned(),
            architecture: process::output(architecture.arg("--print-architecture"))?
                .trim()
                .to_owned(),
            maintainer: maintainer()?,
            profile,
            programs,
        })
    }

    /// A command that takes its times from the commit and speaks English.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env("SOURCE_DATE_EPOCH", self.epoch.to_string())
            // More threads cut the data into blocks, and what comes out is larger.
            .env("DPKG_DEB_THREADS_MAX", "1")
            .env("LC_ALL", "C.UTF-8")
            .env("TZ", "UTC");
        command
    }
}

/// As Debian's own tools ask for it.
fn maintainer() -> Result<String> {
    let name = env::var("DEBFULLNAME").unwrap_or_else(|_| "imgn contributors".to_owned());
    let address = env::var("DEBEMAIL").unwrap_or_else(|_| "imgn@localhost".to_owned());
    let maintainer = format!("{name} <{address}>");
    ensure!(
        !maintainer.contains('\n'),
        "DEBFULLNAME and DEBEMAIL have one line each"
    );
    Ok(maintainer)
}

fn name_of(file: &Path) -> Result<&str> {
    file.file_name()
        .and_then(|name| name.to_str())
        .with_context(|| format!("{} has no name", file.display()))
}

/// In megabytes of 10^6 bytes, as budgets are given; rounded up, so that what is over looks so.
fn megabytes(bytes: u64) -> String {
    let tenths = bytes.div_ceil(100_000);
    format!("{}.{} MB", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_over_a_budget_looks_so() {
        assert_eq!(megabytes(APP_BUDGET), "15.0 MB");
        assert_eq!(megabytes(APP_BUDGET + 1), "15.1 MB");
        assert_eq!(megabytes(123_456), "0.2 MB");
    }
}
