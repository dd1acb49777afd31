//! The directory of packages as an apt repository, and the sums of what is in it.
//!
//! A flat one: the lists are beside the packages, so any web server that shows files serves it as it is. Signing is by GnuPG,
//! with a key that stays there; nothing here reads it.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, Result};

use super::{Product, Release, name_of};
use crate::process;

/// The public half of the key, for those who install from the repository.
const PUBLIC_KEY: &str = "imgn-archive-keyring.asc";

/// What belongs to a signature. None of it may stay when there is no new one: it would be of other lists.
const SIGNATURES: &[&str] = &["InRelease", "Release.gpg", "SHA256SUMS.asc", PUBLIC_KEY];

/// Writes lists, sums and, with a key, signatures.
pub(super) fn write(
    out: &Path,
    release: &Release,
    products: &[Product],
    key: Option<&str>,
) -> Result<()> {
    for name in SIGNATURES {
        let file = out.join(name);
        if file.exists() {
            fs::remove_file(&file).with_context(|| file.display().to_string())?;
        }
    }
    let in_out = |program: &str| {
        let mut command = release.command(program);
        command.current_dir(out);
        command
    };
    let names = products
        .iter()
        .map(|product| name_of(&product.file))
        .collect::<Result<Vec<_>>>()?;
    let sums = process::output(in_out("sha256sum").arg("--").args(&names))?;
    fs::write(out.join("SHA256SUMS"), sums)?;

    let packages = process::output(in_out("apt-ftparchive").args(["packages", "."]))?;
    fs::write(out.join("Packages"), packages)?;
    let mut gzip = in_out("gzip");
    process::run_silently(gzip.args(["-9", "-n", "--keep", "--force", "Packages"]))?;
    // It lists what is there, and an older one of itself is none of it.
    let list = out.join("Release");
    if list.exists() {
        fs::remove_file(&list)?;
    }
    let mut ftparchive = in_out("apt-ftparchive");
    for (field, value) in [
        ("Origin", "imgn"),
        ("Label", "imgn"),
        ("Architectures", &release.architecture),
        (
            "Description",
            "imgn, a picture gallery: the app and the server",
        ),
    ] {
        ftparchive
            .arg("-o")
            .arg(format!("APT::FTPArchive::Release::{field}={value}"));
    }
    let text = process::output(ftparchive.args(["release", "."]))?;
    fs::write(list, text)?;

    if let Some(key) = key {
        sign(out, key)?;
    }
    Ok(())
}

fn sign(out: &Path, key: &str) -> Result<()> {
    let gpg = |words: &[&str]| {
        let mut gpg = Command::new("gpg");
        gpg.current_dir(out)
            .args(["--batch", "--yes", "--armor", "--local-user", key])
            .args(words);
        gpg
    };
    for words in [
        ["--output", "InRelease", "--clear-sign", "Release"],
        ["--output", "Release.gpg", "--detach-sign", "Release"],
        ["--output", "SHA256SUMS.asc", "--detach-sign", "SHA256SUMS"],
        ["--output", PUBLIC_KEY, "--export", key],
    ] {
        process::run(&mut gpg(&words)).with_context(|| {
            format!("nothing is signed; `gpg --list-secret-keys` says whether there is a key {key}")
        })?;
    }
    Ok(())
}
