//! What stands in the files themselves: module docs, lengths, leftovers.
//!
//! Generated files and licences are not looked at: nobody edits them.

use std::path::Path;

use super::{Complaint, TextFile};

/// The longest source file in lines. A file that reaches it has more than one job.
const MAX_LINES: usize = 700;

/// What nobody leaves behind. Each is written in two halves, so that this file does not hold it.
const LEFTOVERS: &[(&str, &str)] = &[
    (concat!("TO", "DO"), "do it, or open an issue"),
    (concat!("FIX", "ME"), "fix it, or open an issue"),
    (concat!("XX", "X"), "say what is meant"),
    (concat!("dbg", "!("), "debugging output"),
    (concat!("console", ".log("), "debugging output"),
    (concat!("debugger", ";"), "a breakpoint"),
    (concat!(".on", "ly("), "a test that hides the others"),
    (concat!("/wo", "rk/"), "a path of one machine"),
    (concat!("/ro", "ot/"), "a path of one machine"),
    (concat!("<<<<", "<<<"), "a conflict of a merge"),
];

const GENERATED: &[&str] = &[
    "Cargo.lock",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "tests/clients/package-lock.json",
    "ui/package-lock.json",
    "ui/src/ipc/bindings.ts",
];

pub(super) fn complaints(file: &TextFile) -> Vec<Complaint> {
    if GENERATED
        .iter()
        .any(|generated| file.path == Path::new(generated))
    {
        return Vec::new();
    }
    let mut complaints = Vec::new();
    if file.has_extension(&["rs"]) && !opens_with_module_docs(&file.text) {
        complaints.push(file.complaint(
            1,
            "does not open with `//!`: what it is, what it is not, its invariant",
        ));
    }
    let lines = file.text.lines().count();
    if file.has_extension(&["rs", "ts", "svelte", "css", "py"]) && lines >= MAX_LINES {
        complaints.push(file.complaint(
            lines,
            format!("{lines} lines; split it before it has {MAX_LINES}"),
        ));
    }
    if !file.text.is_empty() && !file.text.ends_with('\n') && !file.has_extension(&["svg"]) {
        complaints.push(file.complaint(lines, "does not end with a line feed"));
    }
    for (index, line) in file.text.lines().enumerate() {
        for (leftover, why) in LEFTOVERS {
            if line.contains(leftover) {
                complaints.push(file.complaint(index + 1, format!("`{leftover}`: {why}")));
            }
        }
    }
    complaints
}

fn opens_with_module_docs(source: &str) -> bool {
    source.lines().next().is_some_and(|line| {
        line.strip_prefix("//! ")
            .is_some_and(|docs| !docs.trim().is_empty())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints_about(path: &str, text: &str) -> Vec<String> {
        let file = TextFile {
            path: path.into(),
            text: text.to_owned(),
        };
        complaints(&file).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_tidy_file_gives_no_complaint() {
        assert!(complaints_about("src/lib.rs", "//! What it is.\n\nfn main() {}\n").is_empty());
    }

    #[test]
    fn each_fault_is_found_where_it_is() {
        assert!(complaints_about("a.rs", "fn main() {}\n")[0].starts_with("a.rs:1: does not open"));
        assert!(
            complaints_about("a.css", &"\n".repeat(MAX_LINES))[0]
                .starts_with("a.css:700: 700 lines")
        );
        assert!(complaints_about("a.md", "no end")[0].contains("line feed"));
        let leftover = LEFTOVERS[0].0;
        let found = complaints_about("a.ts", &format!("one\n// {leftover}\n"));
        assert_eq!(
            found,
            [format!("a.ts:2: `{leftover}`: do it, or open an issue")]
        );
    }
}
