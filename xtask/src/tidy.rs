//! `cargo xtask tidy`: the rules of the house that no compiler checks.
//!
//! Only what a reader would be misled by is a rule: a document that names what is gone, a layer
//! that knows what it should not, a file that nothing compiles. There are no rules of taste. Each
//! rule is one module with a `check` over the tree as plain values, and each message says how to
//! put the matter right.
//!
//! [`tree`] and [`packages`] read; [`source`] and [`module_graph`] understand just enough Rust;
//! the rules are [`layers`], [`purity`], [`modules`], [`manifests`], [`documents`],
//! [`commands`], [`citations`], [`banned`], [`exceptions`] and [`lock_file`].

mod banned;
mod citations;
mod commands;
mod documents;
mod exceptions;
mod layers;
mod lock_file;
mod manifests;
mod module_graph;
mod modules;
mod packages;
mod purity;
mod source;
mod tree;

use anyhow::{Result, bail};

use crate::console::{progress, say};
use crate::workspace::Workspace;
use packages::Package;
use tree::Tree;

type Rule = fn(&Tree, &[Package]) -> Vec<Finding>;

/// One place that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    /// A path from the top of the tree, with the line where there is one.
    place: String,
    /// What is wrong, and how to put it right.
    message: String,
}

impl Finding {
    fn new(place: impl Into<String>, message: impl Into<String>) -> Self {
        Self { place: place.into(), message: message.into() }
    }
}

/// Prints every finding; fails when there is one.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let findings = check(workspace)?;
    for finding in &findings {
        say(&format!("{}: {}", finding.place, finding.message));
    }
    if !findings.is_empty() {
        bail!("tidy found {} to put right", findings.len());
    }
    progress("tidy: nothing to put right");
    Ok(())
}

/// Holds the whole tree against all rules.
fn check(workspace: &Workspace) -> Result<Vec<Finding>> {
    let tree = Tree::read(workspace.root())?;
    let packages = packages::read(workspace)?;
    let mut findings = check_all(&tree, &packages);
    findings.sort();
    findings.dedup();
    Ok(findings)
}

fn check_all(tree: &Tree, packages: &[Package]) -> Vec<Finding> {
    let rules: [Rule; 10] = [
        layers::check,
        purity::check,
        modules::check,
        manifests::check,
        documents::check,
        citations::check,
        commands::check,
        banned::check,
        exceptions::check,
        lock_file::check,
    ];
    rules.iter().flat_map(|rule| rule(tree, packages)).collect()
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::workspace::Workspace;

    #[test]
    fn the_tree_is_tidy() {
        let findings = check(&Workspace::find().unwrap()).unwrap();
        let lines: Vec<String> = findings
            .iter()
            .map(|finding| format!("{}: {}", finding.place, finding.message))
            .collect();
        assert!(lines.is_empty(), "put these right:\n{}", lines.join("\n"));
    }
}
