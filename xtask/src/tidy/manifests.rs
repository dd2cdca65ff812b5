//! Every package inherits the lints; every dependency is used, and docs/DEPENDENCIES.md says why.

use super::Finding;
use super::packages::Package;
use super::tree::Tree;

const REASONS: &str = "docs/DEPENDENCIES.md";

pub(super) fn check(tree: &Tree, packages: &[Package]) -> Vec<Finding> {
    let mut findings: Vec<Finding> =
        packages.iter().filter_map(|package| check_lints(tree, package)).collect();
    let manifest = tree.text("Cargo.toml").unwrap_or_default();
    let reasons = tree.text(REASONS).unwrap_or_default();
    for name in workspace_dependencies(manifest) {
        let is_ours = packages.iter().any(|package| package.name == name);
        let mut used = packages.iter().flat_map(|package| &package.dependencies);
        if !is_ours && !used.any(|dependency| dependency.key == name) {
            let message = format!("no crate uses `{name}`: remove its line");
            findings.push(Finding::new("Cargo.toml", message));
        } else if !is_ours && !reasons.contains(&format!("`{name}`")) {
            let message = format!("`{name}` has no line: say what it is for and why it was chosen");
            findings.push(Finding::new(REASONS, message));
        }
    }
    findings
}

fn check_lints(tree: &Tree, package: &Package) -> Option<Finding> {
    let manifest = tree.text(&package.manifest()).unwrap_or_default();
    let inherits = section(manifest, "[lints]").any(|line| line == "workspace = true");
    let message = "the lints of the workspace are not inherited: add `[lints]` with \
                   `workspace = true`";
    (!inherits).then(|| Finding::new(package.manifest(), message))
}

/// The names under `[workspace.dependencies]`.
fn workspace_dependencies(manifest: &str) -> Vec<&str> {
    let inline = section(manifest, "[workspace.dependencies]").filter_map(|line| {
        let (name, _) = line.split_once(['=', '.'])?;
        Some(name.trim())
    });
    let tables = manifest
        .lines()
        .filter_map(|line| line.trim().strip_prefix("[workspace.dependencies.")?.strip_suffix(']'));
    inline.chain(tables).filter(|name| !name.starts_with('#')).collect()
}

/// The lines of one table of a manifest, up to the next table.
fn section<'text>(manifest: &'text str, heading: &str) -> impl Iterator<Item = &'text str> {
    let lines = manifest.lines().map(str::trim);
    let inside = lines.skip_while(move |line| *line != heading).skip(1);
    inside.take_while(|line| !line.starts_with('[')).filter(|line| !line.is_empty())
}

#[cfg(test)]
mod tests {
    use super::{check, workspace_dependencies};
    use crate::tidy::packages::Package;
    use crate::tidy::tree::Tree;

    const MANIFEST: &str = "[workspace.dependencies]\n# Ours.\na = { path = \"a\" }\n\
                            rkyv = { version = \"0.8\",\n    features = [] }\n\
                            [workspace.dependencies.quinn]\nversion = \"1\"\n[profile.dev]\nx = 1";

    #[test]
    fn dependencies_are_read_in_both_spellings() {
        let names = workspace_dependencies(MANIFEST);
        for name in ["a", "rkyv", "quinn"] {
            assert!(names.contains(&name), "{names:?}");
        }
        assert!(!names.contains(&"x"));
    }

    #[test]
    fn missing_lints_and_dependencies_without_reason_or_use_are_found() {
        let tree = Tree::of([
            (
                "Cargo.toml",
                "[workspace.dependencies]\na = \"1\"\nrkyv = \"1\"\nquinn = \"1\"\nx = \"1\"",
            ),
            ("a/Cargo.toml", "[package]\nname = \"a\"\n[lints]\nworkspace = true\n"),
            ("b/Cargo.toml", "[package]\nworkspace = true\n"),
            ("docs/DEPENDENCIES.md", "- `rkyv`: the wire"),
        ]);
        let packages = [Package::of("a", &["rkyv"]), Package::of("b", &["~quinn"])];
        let found: Vec<String> = check(&tree, &packages)
            .into_iter()
            .map(|finding| format!("{}: {}", finding.place, finding.message))
            .collect();
        assert_eq!(
            found,
            [
                "b/Cargo.toml: the lints of the workspace are not inherited: add `[lints]` with \
                 `workspace = true`",
                "docs/DEPENDENCIES.md: `quinn` has no line: say what it is for and why it was \
                 chosen",
                "Cargo.toml: no crate uses `x`: remove its line",
            ]
        );
    }
}
