//! A staged tree as a Debian package.
//!
//! Not debhelper: there is one file to write and one program to call, and what they say is seen here.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use super::{
    Profile, Release,
    stage::{self, Stage},
};
use crate::process;

/// What a package says of itself.
pub(super) struct Control<'a> {
    /// Its name.
    pub(super) name: &'a str,
    /// Debian's section.
    pub(super) section: &'a str,
    /// Those in `usr/bin` whose libraries it depends on.
    pub(super) programs: &'a [&'a str],
    /// What it depends on besides.
    pub(super) depends: &'a [&'a str],
    /// What most want with it.
    pub(super) recommends: &'a [&'a str],
    /// What goes with it.
    pub(super) suggests: &'a [&'a str],
    /// In a few words, without an article and a full stop.
    pub(super) summary: &'a str,
    /// Lines of text; an empty one parts paragraphs.
    pub(super) description: &'a str,
    /// Scripts that dpkg runs, by their names there.
    pub(super) scripts: &'a [(&'a str, String)],
}

/// Packs a tree; answers the package's file.
pub(super) fn pack(
    stage: &Stage,
    release: &Release,
    control: &Control<'_>,
    out: &Path,
) -> Result<PathBuf> {
    let files = stage::files(&stage.root())?;
    let mut sums = Command::new("md5sum");
    sums.arg("--").args(&files).current_dir(stage.root());
    stage.write("DEBIAN/md5sums", process::output(&mut sums)?, 0o644)?;
    let mut depends = libraries(stage, release, control)?;
    depends.extend(control.depends.iter().map(|&it| it.to_owned()));
    let text = control_text(control, release, &depends, installed_size(stage, &files)?);
    stage.write("DEBIAN/control", text, 0o644)?;

    let settings: String = files
        .iter()
        .filter(|file| file.starts_with("etc"))
        .map(|file| format!("/{}\n", file.display()))
        .collect();
    if !settings.is_empty() {
        stage.write("DEBIAN/conffiles", settings, 0o644)?;
    }
    for (name, text) in control.scripts {
        stage.write(&format!("DEBIAN/{name}"), text, 0o755)?;
    }

    let Release {
        debian_version,
        architecture,
        ..
    } = release;
    let file = out.join(format!(
        "{}_{debian_version}_{architecture}.deb",
        control.name
    ));
    let mut pack = release.command("dpkg-deb");
    pack.arg("--root-owner-group").args(match release.profile {
        Profile::Release => &["-Zxz", "-z9", "-Sextreme"][..],
        Profile::Dev => &["-Zgzip", "-z1"],
    });
    process::run(pack.arg("--build").arg(stage.root()).arg(&file))?;
    Ok(file)
}

/// What compresses a tarball as [`pack`] does a package.
pub(super) fn xz(release: &Release) -> &'static str {
    match release.profile {
        Profile::Release => "xz -9 --extreme --threads=1",
        Profile::Dev => "xz -0 --threads=1",
    }
}

/// Text as a field of several lines has it.
pub(super) fn folded(text: &str) -> String {
    let lines = text.lines().map(|line| match line.trim_end() {
        "" => " .".to_owned(),
        line => format!(" {line}"),
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The packages of the libraries that the programs are linked with, in the oldest versions that serve.
fn libraries(stage: &Stage, release: &Release, control: &Control<'_>) -> Result<Vec<String>> {
    // It reads the name of a source package, and nothing else, from the folder that it is started in.
    let folder = stage.beside("shlibdeps")?;
    fs::create_dir_all(folder.join("debian"))?;
    let Control { name, .. } = control;
    fs::write(
        folder.join("debian/control"),
        format!("Source: {name}\n\nPackage: {name}\nArchitecture: any\n"),
    )?;
    let mut command = release.command("dpkg-shlibdeps");
    command.arg("-O").current_dir(folder);
    for program in control.programs {
        command
            .arg("-e")
            .arg(stage.root().join("usr/bin").join(program));
    }
    let answer = process::output(&mut command)?;
    let depends = answer
        .lines()
        .find_map(|line| line.strip_prefix("shlibs:Depends="))
        .context("dpkg-shlibdeps names no library, not even C's")?;
    Ok(depends.split(", ").map(ToOwned::to_owned).collect())
}

/// In KiB, as dpkg estimates it: each file in whole ones, and one for each folder.
fn installed_size(stage: &Stage, files: &[PathBuf]) -> Result<u64> {
    let mut size = 0;
    let mut folders = std::collections::BTreeSet::new();
    for file in files {
        size += fs::metadata(stage.root().join(file))?.len().div_ceil(1024);
        folders.extend(file.ancestors().skip(1).map(Path::to_owned));
    }
    Ok(size + folders.len() as u64)
}

fn control_text(
    control: &Control<'_>,
    release: &Release,
    depends: &[String],
    installed_size: u64,
) -> String {
    let installed_size = installed_size.to_string();
    let (depends, recommends, suggests) = (
        depends.join(", "),
        control.recommends.join(", "),
        control.suggests.join(", "),
    );
    let description = format!("{}\n{}", control.summary, folded(control.description));
    let fields: [(&str, &str); 12] = [
        ("Package", control.name),
        ("Version", &release.debian_version),
        ("Architecture", &release.architecture),
        ("Maintainer", &release.maintainer),
        ("Installed-Size", &installed_size),
        ("Depends", &depends),
        ("Recommends", &recommends),
        ("Suggests", &suggests),
        ("Section", control.section),
        ("Priority", "optional"),
        ("Source", "imgn"),
        ("Description", &description),
    ];
    fields
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| format!("{name}: {value}\n"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_folded_as_debians_files_have_it() {
        assert_eq!(folded("a\n\n b \n"), " a\n .\n  b");
    }

    #[test]
    fn a_package_without_recommendations_has_no_empty_field() {
        let release = Release {
            debian_version: "1.0.0~git1".to_owned(),
            epoch: 0,
            date: String::new(),
            architecture: "amd64".to_owned(),
            maintainer: "A <a@b>".to_owned(),
            profile: Profile::Dev,
            programs: PathBuf::new(),
        };
        let control = Control {
            name: "a",
            section: "web",
            programs: &[],
            depends: &[],
            recommends: &[],
            suggests: &["b"],
            summary: "a thing",
            description: "One.\n\nTwo.",
            scripts: &[],
        };
        let text = control_text(&control, &release, &["libc6".to_owned()], 12);
        assert_eq!(
            text,
            "Package: a\nVersion: 1.0.0~git1\nArchitecture: amd64\nMaintainer: A <a@b>\nInstalled-Size: 12\n\
             Depends: libc6\nSuggests: b\nSection: web\nPriority: optional\nSource: imgn\n\
             Description: a thing\n One.\n .\n Two.\n"
        );
    }
}
