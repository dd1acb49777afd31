//! Where the project is and what it consists of, as cargo and git tell it.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};
use serde::Deserialize;

use crate::process;

/// The project's places.
pub(crate) struct Project {
    /// The directory of the root `Cargo.toml`.
    pub(crate) root: PathBuf,
    /// Cargo's target directory.
    pub(crate) target: PathBuf,
    /// The version of every package of ours.
    pub(crate) version: String,
}

impl Project {
    /// Asks cargo.
    pub(crate) fn find() -> Result<Self> {
        // As `cargo run` says it now: with a target directory that clones share, the program may be another clone's build.
        let here = std::env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let metadata = metadata(&here, &["--no-deps"])?;
        let mut packages = metadata.packages.into_iter();
        let version = packages
            .find(|package| package.name == env!("CARGO_PKG_NAME"))
            .context("cargo metadata does not list xtask")?
            .version;
        Ok(Self {
            version,
            root: metadata.workspace_root,
            target: metadata.target_directory,
        })
    }

    /// The user interface's directory.
    pub(crate) fn ui(&self) -> PathBuf {
        self.root.join("ui")
    }

    /// Where cargo puts the programs of a debug build.
    pub(crate) fn programs(&self) -> PathBuf {
        self.target.join("debug")
    }

    /// Where these commands keep what they need between two runs.
    pub(crate) fn scratch(&self) -> PathBuf {
        self.target.join("xtask")
    }

    /// The files under version control, and those that are about to be, relative to the root.
    pub(crate) fn files(&self) -> Result<Vec<PathBuf>> {
        let list = process::output(
            Command::new("git")
                .args([
                    "ls-files",
                    "-z",
                    "--cached",
                    "--others",
                    "--exclude-standard",
                ])
                .current_dir(&self.root),
        )?;
        let files = list
            .split('\0')
            .filter(|path| !path.is_empty())
            .map(PathBuf::from);
        // A file that was removed and not yet committed is still listed.
        Ok(files
            .filter(|path| self.root.join(path).is_file())
            .collect())
    }

    /// Every package in the tree of dependencies, with what it depends on.
    pub(crate) fn dependencies(&self) -> Result<Dependencies> {
        let metadata = metadata(&self.root, &[])?;
        let names: BTreeMap<&str, &str> = metadata
            .packages
            .iter()
            .map(|package| (package.id.as_str(), package.name.as_str()))
            .collect();
        let resolve = metadata
            .resolve
            .context("cargo metadata resolved nothing")?;
        let name = |id: &str| {
            names
                .get(id)
                .map_or_else(|| id.to_owned(), |&name| name.to_owned())
        };
        let edges = resolve
            .nodes
            .iter()
            .flat_map(|node| {
                node.dependencies
                    .iter()
                    .map(|dependency| (name(&node.id), name(dependency)))
            })
            .collect();
        let direct = metadata
            .packages
            .iter()
            .filter(|package| metadata.workspace_members.contains(&package.id))
            .flat_map(|package| package.dependencies.iter())
            .filter(|dependency| dependency.path.is_none())
            .map(|dependency| dependency.name.clone())
            .collect();
        Ok(Dependencies { edges, direct })
    }

    /// What other people wrote that programs of these packages are built from, on this kind of system; sorted.
    pub(crate) fn third_parties(&self, built_from: &[&str]) -> Result<Vec<ThirdParty>> {
        let host = process::output(Command::new("rustc").arg("-vV").current_dir(&self.root))?;
        let host = host.lines().find_map(|line| line.strip_prefix("host: "));
        let host = host.context("rustc does not say what it runs on")?;
        let metadata = metadata(&self.root, &["--filter-platform", host])?;
        let resolve = metadata
            .resolve
            .context("cargo metadata resolved nothing")?;
        let nodes: BTreeMap<&str, &Node> = resolve
            .nodes
            .iter()
            .map(|node| (node.id.as_str(), node))
            .collect();
        let packages = metadata.packages.iter();
        let mut left: Vec<&str> = packages
            .filter(|package| built_from.contains(&package.name.as_str()))
            .map(|package| package.id.as_str())
            .collect();
        let mut used = BTreeSet::new();
        while let Some(id) = left.pop() {
            if used.insert(id) {
                let node = nodes.get(id).with_context(|| format!("{id} is missing"))?;
                let linked = node.deps.iter().filter(|dependency| {
                    // Cargo has no name for those that are neither for tests nor for build scripts.
                    dependency.dep_kinds.iter().any(|kind| kind.kind.is_none())
                });
                left.extend(linked.map(|dependency| dependency.pkg.as_str()));
            }
        }
        let mut parts: Vec<ThirdParty> = metadata
            .packages
            .iter()
            .filter(|package| used.contains(package.id.as_str()))
            .filter(|package| !metadata.workspace_members.contains(&package.id))
            .map(ThirdParty::of)
            .collect();
        parts.sort_by(|one, other| (&one.name, &one.version).cmp(&(&other.name, &other.version)));
        Ok(parts)
    }
}

/// A package that somebody else wrote.
pub(crate) struct ThirdParty {
    pub(crate) name: String,
    pub(crate) version: String,
    /// As SPDX has it.
    pub(crate) license: String,
    /// Where its archive is unpacked.
    pub(crate) folder: PathBuf,
}

impl ThirdParty {
    fn of(package: &Package) -> Self {
        let license = package.license.clone();
        let folder = package.manifest_path.parent();
        Self {
            name: package.name.clone(),
            version: package.version.clone(),
            license: license.unwrap_or_else(|| "see its text".to_owned()),
            folder: folder.map(Path::to_owned).unwrap_or_default(),
        }
    }
}

/// The tree of dependencies by name. Two versions of a package count as one.
pub(crate) struct Dependencies {
    /// Who depends on whom.
    pub(crate) edges: Vec<(String, String)>,
    /// What packages of the workspace depend on themselves, from a registry.
    pub(crate) direct: BTreeSet<String>,
}

#[derive(Deserialize)]
struct Metadata {
    workspace_root: PathBuf,
    target_directory: PathBuf,
    workspace_members: Vec<String>,
    packages: Vec<Package>,
    resolve: Option<Resolve>,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    version: String,
    license: Option<String>,
    manifest_path: PathBuf,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    path: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    dependencies: Vec<String>,
    deps: Vec<NodeDependency>,
}

#[derive(Deserialize)]
struct NodeDependency {
    pkg: String,
    dep_kinds: Vec<DependencyKind>,
}

#[derive(Deserialize)]
struct DependencyKind {
    kind: Option<String>,
}

fn metadata(directory: &Path, arguments: &[&str]) -> Result<Metadata> {
    let json = process::output(
        process::cargo(directory)
            .args(["metadata", "--format-version", "1", "--locked"])
            .args(arguments),
    )?;
    serde_json::from_str(&json).context("cargo metadata printed something unknown")
}
