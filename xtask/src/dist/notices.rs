//! What other people wrote that is built into the programs, and the terms that they gave it under.
//!
//! Their licences ask that their text goes with the program. Rather too much is listed than too little: features that a
//! program leaves out, and macros, are in the list as well.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use serde::Deserialize;

use crate::project::{Project, ThirdParty};

/// How the files begin that have terms in them, in capitals.
const NAMES: &[&str] = &[
    "LICENSE",
    "LICENCE",
    "COPYING",
    "COPYRIGHT",
    "NOTICE",
    "UNLICENSE",
];

/// What of npm is in the built page; the rest of `ui/package.json` only builds it.
const NPM: &[&str] = &["@noble/hashes", "@tauri-apps/api", "svelte"];

/// The list of everything that packages of the workspace are built from, and each text once.
pub(super) fn text(project: &Project, built_from: &[&str]) -> Result<String> {
    let mut parts = project.third_parties(built_from)?;
    for name in NPM {
        parts.push(npm(&project.ui().join("node_modules").join(name))?);
    }
    let mut list = String::from(
        "The programs of this package are built from the following, each under its own terms. Texts follow; where a\n\
         part has none in its archive, its terms are those that it names.\n\n",
    );
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for part in &parts {
        let ThirdParty {
            name,
            version,
            license,
            ..
        } = part;
        writeln!(list, "{name} {version}: {license}")?;
        for text in terms(&part.folder)? {
            texts
                .entry(text)
                .or_default()
                .push(format!("{name} {version}"));
        }
    }
    for (text, owners) in texts {
        write!(
            list,
            "\n{}\n{}\n\n{text}\n",
            "-".repeat(80),
            owners.join(", ")
        )?;
    }
    Ok(list)
}

fn npm(folder: &Path) -> Result<ThirdParty> {
    #[derive(Deserialize)]
    struct Package {
        name: String,
        version: String,
        license: String,
    }

    let file = folder.join("package.json");
    let json = fs::read(&file).with_context(|| file.display().to_string())?;
    let package: Package = serde_json::from_slice(&json)?;
    Ok(ThirdParty {
        name: package.name,
        version: package.version,
        license: package.license,
        folder: folder.to_owned(),
    })
}

/// The texts of terms in a package's archive.
fn terms(folder: &Path) -> Result<Vec<String>> {
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        let name = path
            .file_name()
            .map(|name| name.to_string_lossy().to_uppercase())
            .unwrap_or_default();
        if path.is_file() && NAMES.iter().any(|it| name.starts_with(it)) {
            files.push(path);
        }
    }
    files.sort();
    let texts = files.iter().map(|file| {
        let text = fs::read(file).with_context(|| file.display().to_string())?;
        // Ends of lines and of files differ where the words do not.
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.trim().lines().map(str::trim_end).collect();
        Ok(lines.join("\n"))
    });
    texts.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_are_found_whatever_their_files_are_called() {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("LICENSE-MIT", "mit \r\nend\r\n\r\n"),
            ("copying.md", "gpl\n"),
            ("README.md", "none"),
        ] {
            fs::write(folder.path().join(name), text).unwrap();
        }
        fs::create_dir(folder.path().join("licenses")).unwrap();
        assert_eq!(terms(folder.path()).unwrap(), ["mit\nend", "gpl"]);
    }
}
