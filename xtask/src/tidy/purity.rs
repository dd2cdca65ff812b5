//! Pure crates are `#![no_std]`, always, and name neither `std` nor an async runtime.

use super::Finding;
use super::layers::is_pure;
use super::module_graph::reached;
use super::packages::{Package, RootKind};
use super::source::{code, code_outside_tests, line_of, word_offsets};
use super::tree::Tree;

/// What a pure crate cannot name outside its tests.
const IMPURE: [&str; 3] = ["std", "tokio", "async"];

pub(super) fn check(tree: &Tree, packages: &[Package]) -> Vec<Finding> {
    let pure = packages.iter().filter(|package| is_pure(package.layer()));
    pure.flat_map(|package| check_package(tree, package)).collect()
}

fn check_package(tree: &Tree, package: &Package) -> Vec<Finding> {
    let mut findings = Vec::new();
    for root in package.roots.iter().filter(|root| root.kind == RootKind::Library) {
        let text = tree.text(&root.path).unwrap_or_default();
        if !code(text).contains("#![no_std]") {
            findings.push(Finding::new(
                &root.path,
                format!(
                    "{} is pure: write `#![no_std]`, without a condition, below its header, and \
                     `#[cfg(test)] extern crate std;` if its tests need it",
                    package.name
                ),
            ));
        }
    }
    for (path, only_for_tests) in reached(tree, package) {
        if !only_for_tests {
            findings.extend(check_file(&path, tree.text(&path).unwrap_or_default()));
        }
    }
    findings
}

fn check_file(path: &str, text: &str) -> Vec<Finding> {
    let code = code_outside_tests(text, &code(text));
    let mut findings = Vec::new();
    for name in IMPURE {
        let remedy = match name {
            "std" => "use `core` or `alloc`; time and randomness come as arguments",
            _ => "return an effect and let the node wait for it",
        };
        for at in word_offsets(&code, name).filter(|at| is_a_use(&code, *at, name)) {
            let place = format!("{path}:{}", line_of(text, at));
            let message = format!("a pure crate cannot name `{name}`: {remedy}");
            findings.push(Finding::new(place, message));
        }
    }
    findings
}

/// `std::x`, `extern crate std` and `async` count; a field called `tokio` would not be pretty, but
/// is no use of the crate.
fn is_a_use(code: &str, at: usize, name: &str) -> bool {
    name == "async"
        || code[at + name.len()..].trim_start().starts_with("::")
        || code[..at].trim_end().ends_with("crate")
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::tidy::packages::Package;
    use crate::tidy::tree::Tree;

    fn findings(lib: &str, other: &str) -> Vec<String> {
        let tree = Tree::of([
            ("crates/model/dynamo-ring/src/lib.rs", lib),
            ("crates/model/dynamo-ring/src/other.rs", other),
        ]);
        let findings = check(&tree, &[Package::of("crates/model/dynamo-ring", &[])]);
        findings.into_iter().map(|f| format!("{}: {}", f.place, f.message)).collect()
    }

    #[test]
    fn a_pure_crate_without_no_std_is_told_what_to_write() {
        for lib in ["//! Ring.", "//! #![no_std]", "#![cfg_attr(not(test), no_std)]"] {
            let found = findings(lib, "");
            assert_eq!(found.len(), 1, "{lib}");
            assert!(found[0].contains("write `#![no_std]`, without a condition"), "{found:?}");
        }
    }

    #[test]
    fn std_is_found_with_its_line() {
        let found = findings("#![no_std]\nmod other;", "// std::fs\nuse std::fs;\n");
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("crates/model/dynamo-ring/src/other.rs:2: a pure crate"));
        let found = findings("#![no_std]\nasync fn f() {}", "");
        assert!(found[0].contains("return an effect"), "{found:?}");
    }

    #[test]
    fn tests_may_use_std() {
        let lib = "#![no_std]\n#[cfg(test)]\nextern crate std;\n#[cfg(test)]\nmod other;";
        assert_eq!(findings(lib, "use std::vec::Vec;"), [""; 0]);
    }

    #[test]
    fn other_layers_may_use_std() {
        let tree = Tree::of([("crates/io/dynamo-storage/src/lib.rs", "use std::fs;")]);
        assert_eq!(check(&tree, &[Package::of("crates/io/dynamo-storage", &[])]), []);
    }
}
