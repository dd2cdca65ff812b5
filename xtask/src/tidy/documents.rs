//! Documents and tree agree: every crate is on the map, every path on it exists.

use super::Finding;
use super::packages::Package;
use super::source::line_of;
use super::tree::Tree;

const MAP: &str = "docs/ARCHITECTURE.md";

pub(super) fn check(tree: &Tree, packages: &[Package]) -> Vec<Finding> {
    let map = tree.text(MAP).unwrap_or_default();
    let missing = packages.iter().filter(|package| !names(map, &package.name)).map(|package| {
        let message =
            format!("{} is not on the map: say what it is and what it uses", package.name);
        Finding::new(MAP, message)
    });
    let mut findings: Vec<Finding> = missing.collect();
    for (path, text) in tree.files().filter(|(path, _)| is_document(path)) {
        for (at, written) in crate_paths(text) {
            if !tree.holds(written) {
                let place = format!("{path}:{}", line_of(text, at));
                let message = format!("{written} does not exist: correct the path or remove it");
                findings.push(Finding::new(place, message));
            }
        }
    }
    findings
}

fn is_document(path: &str) -> bool {
    path.ends_with(".md") && (path.starts_with("docs/") || !path.contains('/'))
}

/// Whether a text names a crate, and not only one whose name begins alike.
fn names(text: &str, name: &str) -> bool {
    let continues = |rest: &str| rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '-');
    text.match_indices(name).any(|(at, _)| !continues(&text[at + name.len()..]))
}

/// Each `crates/…` in a text; one with a wildcard or an ellipsis names no single place.
fn crate_paths(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.match_indices("crates/").filter_map(move |(at, _)| {
        if text[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || c == '/') {
            return None;
        }
        let part = |c: char| c.is_ascii_alphanumeric() || "/-_.".contains(c);
        let length = text[at..].find(|c| !part(c)).unwrap_or(text.len() - at);
        if text[at + length..].starts_with(['*', '{', '<', '…', '[']) {
            return None;
        }
        let written = text[at..at + length].trim_end_matches(['.', '/']);
        Some((at, written))
    })
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::tidy::packages::Package;
    use crate::tidy::tree::Tree;

    #[test]
    fn a_crate_that_is_not_on_the_map_is_found() {
        let tree = Tree::of([("docs/ARCHITECTURE.md", "`dynamo-node-x` only")]);
        let found = check(&tree, &[Package::of("crates/app/dynamo-node", &[])]);
        assert_eq!(found.len(), 1);
        assert_eq!(
            found[0].message,
            "dynamo-node is not on the map: say what it is and what it uses"
        );
    }

    #[test]
    fn a_path_that_is_gone_is_found_with_its_line() {
        let tree = Tree::of([
            ("README.md", "See\n[ring](crates/model/dynamo-ring/src/gone.rs)."),
            (
                "docs/A.md",
                "crates/*/dynamo-*, `crates/model/dynamo-ring/`, crates/{a,b}, crates/model.",
            ),
            ("crates/model/dynamo-ring/src/lib.rs", ""),
            ("crates/model/dynamo-ring/README.md", "crates/nowhere is not checked here"),
        ]);
        let found = check(&tree, &[]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].place, "README.md:2");
        assert!(
            found[0].message.starts_with("crates/model/dynamo-ring/src/gone.rs does not exist")
        );
    }
}
