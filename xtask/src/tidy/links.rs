//! Links of the documents: each that stays in the repository leads to a file.
//!
//! Addresses of the network are not asked: a test run needs no network for that.

use std::path::Path;

use super::{Complaint, TextFile};

pub(super) fn complaints(file: &TextFile, root: &Path) -> Vec<Complaint> {
    if !file.has_extension(&["md"]) {
        return Vec::new();
    }
    let directory = file.path.parent().unwrap_or(Path::new(""));
    let mut complaints = Vec::new();
    for (index, line) in file.text.lines().enumerate() {
        for target in link_targets(line) {
            let path = target.split('#').next().unwrap_or_default();
            let elsewhere = path.is_empty() || path.contains("://") || path.starts_with("mailto:");
            if !elsewhere && !root.join(directory).join(path).exists() {
                complaints
                    .push(file.complaint(index + 1, format!("the link to {target} leads nowhere")));
            }
        }
    }
    complaints
}

/// The targets of `[text](target)` in a line of Markdown.
fn link_targets(line: &str) -> impl Iterator<Item = &str> {
    line.split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'))
        .map(|(target, _)| target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_within_the_repository_must_lead_somewhere() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("docs")).unwrap();
        std::fs::write(root.path().join("README.md"), "").unwrap();
        let text =
            "[a](../README.md#b) ![c](d.png) [e](https://example.org/f) [g](#h)\n".to_owned();
        let file = TextFile {
            path: "docs/a.md".into(),
            text,
        };
        let found: Vec<_> = complaints(&file, root.path())
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(found, ["docs/a.md:1: the link to d.png leads nowhere"]);
    }
}
