//! The real clock is read in files named after it, so that `ls` shows every contact with time.

use super::Finding;
use super::packages::Package;
use super::source::{code, line_of};
use super::tree::Tree;

/// What clippy.toml bans is let through where this stands.
const EXCEPTION: &str = "clippy::disallowed_methods";

pub(super) fn check(tree: &Tree, _: &[Package]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.rust_files().filter(|(path, _)| is_bound(path)) {
        for (at, _) in code(text).match_indices(EXCEPTION) {
            findings.push(Finding::new(
                format!("{path}:{}", line_of(text, at)),
                "only a module named `clock` reads the clock or sleeps: call that, or take the \
                 time as an argument",
            ));
        }
    }
    findings
}

/// Tests and examples are programs of their own, with deadlines and stopwatches.
fn is_bound(path: &str) -> bool {
    !(path.ends_with("clock.rs") || path.contains("/tests/") || path.contains("/examples/"))
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::tidy::tree::Tree;

    #[test]
    fn the_clock_is_read_in_its_own_module_only() {
        let text = "\n#[expect(clippy::disallowed_methods, reason = \"r\")]\nfn now() {}";
        let tree =
            Tree::of([("a/src/clock.rs", text), ("a/src/wall_clock.rs", text), ("b.rs", text)]);
        let found = check(&tree, &[]);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].place, "b.rs:2");
        assert!(found[0].message.starts_with("only a module named `clock`"));
    }
}
