//! Who may depend on whom, and that each direct dependency has its line in `docs/DEPENDENCIES.md`.
//!
//! The two bans stand in `deny.toml` as well; here they are enforced in each test run without a further program.

use super::{Complaint, TextFile};
use crate::project::Dependencies;

/// Packages that only these may depend on.
const BANS: &[(&str, &[&str], &str)] = &[
    (
        "tauri",
        &[
            "imgn-desktop",
            "tauri-plugin-clipboard-manager",
            "tauri-plugin-dialog",
            "tauri-plugin-fs",
            "tauri-plugin-window-state",
            "tauri-specta",
        ],
        "the window stays in the root package",
    ),
    (
        "aws-sdk-s3",
        &["imgn-server", "imgn-testkit"],
        "only the server speaks to a store, and the conformance suite that tests stores",
    ),
];

/// Where each direct dependency has its line.
const DOCUMENT: &str = "docs/DEPENDENCIES.md";

pub(super) fn complaints(dependencies: &Dependencies, files: &[TextFile]) -> Vec<Complaint> {
    let mut complaints = forbidden(&dependencies.edges);
    let document = files.iter().find(|file| file.path.as_os_str() == DOCUMENT);
    let text = document.map_or("", |file| file.text.as_str());
    for name in &dependencies.direct {
        if !text.contains(&format!("`{name}`")) {
            complaints.push(complaint(DOCUMENT, format!("says nothing about `{name}`")));
        }
    }
    complaints
}

fn forbidden(edges: &[(String, String)]) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for &(package, allowed, why) in BANS {
        for (dependent, _) in edges.iter().filter(|(_, dependency)| dependency == package) {
            if !allowed.contains(&dependent.as_str()) {
                complaints.push(complaint(
                    "Cargo.lock",
                    format!("{dependent} depends on {package}; {why}"),
                ));
            }
        }
    }
    complaints
}

fn complaint(file: &str, what: String) -> Complaint {
    Complaint {
        file: file.into(),
        line: None,
        what,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forbidden_dependency_is_named_and_an_allowed_one_is_not() {
        let edge = |from: &str, to: &str| (from.to_owned(), to.to_owned());
        let edges = [
            edge("imgn-desktop", "tauri"),
            edge("imgn-server", "aws-sdk-s3"),
            edge("imgn-core", "aws-sdk-s3"),
            edge("imgn-core", "tokio"),
        ];
        let found: Vec<_> = forbidden(&edges).iter().map(ToString::to_string).collect();
        assert_eq!(found.len(), 1);
        assert!(
            found[0].contains("imgn-core depends on aws-sdk-s3"),
            "{found:?}"
        );
    }

    #[test]
    fn a_dependency_without_a_line_is_missed() {
        let dependencies = Dependencies {
            edges: Vec::new(),
            direct: ["serde".to_owned(), "tokio".to_owned()].into(),
        };
        let document = TextFile {
            path: DOCUMENT.into(),
            text: "- `serde`: JSON.\n".to_owned(),
        };
        let found: Vec<_> = complaints(&dependencies, &[document])
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(found, ["docs/DEPENDENCIES.md: says nothing about `tokio`"]);
    }
}
