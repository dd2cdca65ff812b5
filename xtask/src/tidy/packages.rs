//! The workspace's packages as Cargo sees them, cut down to what rules ask about.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use cargo_metadata::{DependencyKind, MetadataCommand, TargetKind};

use crate::workspace::{Workspace, cargo_program};

/// One member of the workspace.
#[derive(Debug, Clone, Default)]
pub(super) struct Package {
    /// Its name.
    pub(super) name: String,
    /// Its folder, from the top of the tree.
    pub(super) folder: String,
    /// What it uses, ours and others'.
    pub(super) dependencies: Vec<Dependency>,
    /// The files that Cargo compiles; all others are reached from these.
    pub(super) roots: Vec<Root>,
}

impl Package {
    /// Its manifest, from the top of the tree.
    pub(super) fn manifest(&self) -> String {
        format!("{}/Cargo.toml", self.folder)
    }

    /// The layer that its folder says: `crates/<layer>/<name>`; empty for those outside.
    pub(super) fn layer(&self) -> &str {
        let mut parts = self.folder.split('/');
        match (parts.next(), parts.next()) {
            (Some("crates"), Some(layer)) => layer,
            _ => "",
        }
    }
}

/// One use of a package by another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Dependency {
    /// Which.
    pub(super) name: String,
    /// What the manifest calls it: its name, unless it is renamed there.
    pub(super) key: String,
    /// Only tests and examples see it, or those who ask for it by a feature named `testing`.
    pub(super) only_for_tests: bool,
}

/// A file that Cargo compiles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Root {
    /// The file, from the top of the tree.
    pub(super) path: String,
    /// What it becomes.
    pub(super) kind: RootKind,
}

/// What a root becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RootKind {
    Library,
    Program,
    /// A test, an example or a benchmark.
    Check,
}

/// Asks Cargo for the members.
pub(super) fn read(workspace: &Workspace) -> Result<Vec<Package>> {
    let mut command = MetadataCommand::new();
    command.cargo_path(cargo_program()).manifest_path(workspace.root().join("Cargo.toml"));
    let metadata = command.no_deps().exec().context("cargo metadata failed")?;
    let root = metadata.workspace_root.clone();
    let from_top = |path: &cargo_metadata::camino::Utf8Path| match path.strip_prefix(&root) {
        Ok(path) => Ok(path.to_string()),
        Err(_) => bail!("{path} is outside {root}"),
    };
    let mut packages = Vec::new();
    for package in metadata.packages {
        let manifest = &package.manifest_path;
        let folder = from_top(manifest.parent().context("a manifest stands in a folder")?)?;
        let mut roots = Vec::new();
        for target in &package.targets {
            let kind = if target.is_kind(TargetKind::Bin) {
                RootKind::Program
            } else if target.is_test() || target.is_example() || target.is_bench() {
                RootKind::Check
            } else {
                RootKind::Library
            };
            roots.push(Root { path: from_top(&target.src_path)?, kind });
        }
        let dependencies = package.dependencies.iter().map(|dependency| Dependency {
            name: dependency.name.clone(),
            key: dependency.rename.as_ref().unwrap_or(&dependency.name).clone(),
            only_for_tests: dependency.kind == DependencyKind::Development
                || dependency.optional && is_called_by_testing(&package.features, &dependency.name),
        });
        packages.push(Package {
            name: package.name.to_string(),
            folder,
            dependencies: dependencies.collect(),
            roots,
        });
    }
    Ok(packages)
}

/// Whether the feature `testing` is what switches an optional dependency on.
fn is_called_by_testing(features: &BTreeMap<String, Vec<String>>, dependency: &str) -> bool {
    let switch = format!("dep:{dependency}");
    let mut callers = features.iter().filter(|(_, calls)| calls.contains(&switch)).peekable();
    callers.peek().is_some() && callers.all(|(name, _)| name == "testing")
}

#[cfg(test)]
impl Package {
    /// A package for a test: `folder` ends with the name; dependencies with a `~` are for tests.
    pub(super) fn of(folder: &str, dependencies: &[&str]) -> Self {
        let name = folder.rsplit('/').next().unwrap_or(folder).to_owned();
        let dependencies = dependencies.iter().map(|written| Dependency {
            name: written.trim_start_matches('~').to_owned(),
            key: written.trim_start_matches('~').to_owned(),
            only_for_tests: written.starts_with('~'),
        });
        let root = Root { path: format!("{folder}/src/lib.rs"), kind: RootKind::Library };
        Self {
            name,
            folder: folder.to_owned(),
            dependencies: dependencies.collect(),
            roots: vec![root],
        }
    }
}
