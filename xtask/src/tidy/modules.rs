//! Every Rust file says what it is, and something compiles it.

use std::collections::BTreeSet;

use super::Finding;
use super::module_graph::reached;
use super::packages::Package;
use super::tree::Tree;

pub(super) fn check(tree: &Tree, packages: &[Package]) -> Vec<Finding> {
    let reached: BTreeSet<String> =
        packages.iter().flat_map(|package| reached(tree, package).into_keys()).collect();
    let mut findings = Vec::new();
    for (path, text) in tree.rust_files() {
        if !text.trim_start().starts_with("//!") {
            let message = "open the file with `//!` and a sentence on what it holds";
            findings.push(Finding::new(path, message));
        }
        if !reached.contains(path) {
            let message = "nothing compiles this file: declare it with `mod` or remove it";
            findings.push(Finding::new(path, message));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::tidy::packages::Package;
    use crate::tidy::tree::Tree;

    #[test]
    fn a_forgotten_file_and_a_file_without_a_header_are_found() {
        let tree = Tree::of([
            ("a/src/lib.rs", "//! A.\nmod told;"),
            ("a/src/told.rs", "fn f() {}"),
            ("a/src/forgotten.rs", "//! Forgotten."),
        ]);
        let found: Vec<String> = check(&tree, &[Package::of("a", &[])])
            .into_iter()
            .map(|finding| format!("{}: {}", finding.place, finding.message))
            .collect();
        assert_eq!(
            found,
            [
                "a/src/forgotten.rs: nothing compiles this file: declare it with `mod` or remove it",
                "a/src/told.rs: open the file with `//!` and a sentence on what it holds",
            ]
        );
    }
}
