//! Documents and tree agree: every crate is on the map, every path and every link leads somewhere.

use std::collections::BTreeMap;

use super::Finding;
use super::packages::Package;
use super::source::line_of;
use super::tree::Tree;

const MAP: &str = "docs/ARCHITECTURE.md";

/// Where a path that a document writes begins, if it means a place in this tree.
const TOPS: [&str; 4] = ["crates/", "docs/", "scripts/", "xtask/"];

pub(super) fn check(tree: &Tree, packages: &[Package]) -> Vec<Finding> {
    let map = tree.text(MAP).unwrap_or_default();
    let missing = packages.iter().filter(|package| !names(map, &package.name)).map(|package| {
        let message =
            format!("{} is not on the map: say what it is and what it uses", package.name);
        Finding::new(MAP, message)
    });
    let mut findings: Vec<Finding> = missing.collect();
    for (path, text) in tree.files().filter(|(path, _)| is_document(path)) {
        let paths = TOPS.iter().flat_map(|top| written_paths(text, top));
        let mut missing: BTreeMap<usize, String> =
            paths.filter(|(_, to)| !tree.holds(to)).map(|(at, to)| (at, to.to_owned())).collect();
        for (at, to) in links(text) {
            let to = resolved(path, to);
            if !tree.holds(&to) {
                missing.insert(at, to);
            }
        }
        findings.extend(missing.into_iter().map(|(at, to)| {
            let place = format!("{path}:{}", line_of(text, at));
            Finding::new(place, format!("{to} does not exist: correct the path or remove it"))
        }));
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

/// Each path below a top in a text; one with a wildcard or an ellipsis names no single place.
fn written_paths<'text>(
    text: &'text str,
    top: &'static str,
) -> impl Iterator<Item = (usize, &'text str)> {
    text.match_indices(top).filter_map(move |(at, _)| {
        if text[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || "/-_.(".contains(c)) {
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

/// The target of each Markdown link into this tree, without the heading that it names.
fn links(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.match_indices("](").filter_map(|(at, opening)| {
        let at = at + opening.len();
        let target = &text[at..at + text[at..].find(')')?];
        let target = target.split(['#', ' ']).next().unwrap_or_default();
        (!target.is_empty() && !target.contains(':')).then_some((at, target))
    })
}

/// A link's target from the top of the tree.
fn resolved(document: &str, target: &str) -> String {
    let mut parts: Vec<&str> = document.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
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
    fn a_link_is_followed_from_where_its_page_is() {
        let tree = Tree::of([
            (
                "README.md",
                "[a](docs/A.md#top) [b](https://example.org/x) [c](#here) [d](docs/D.md)",
            ),
            ("docs/A.md", "[up](../README.md)\n[beside](B.md) [gone](decisions/0001.md \"One\")"),
            ("docs/B.md", ""),
        ]);
        let found: Vec<(String, String)> =
            check(&tree, &[]).into_iter().map(|f| (f.place, f.message)).collect();
        let gone = |to: &str| format!("{to} does not exist: correct the path or remove it");
        assert_eq!(
            found,
            [
                ("README.md:1".to_owned(), gone("docs/D.md")),
                ("docs/A.md:2".to_owned(), gone("docs/decisions/0001.md")),
            ]
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
