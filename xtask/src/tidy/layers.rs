//! The table of layers: each crate uses only the crates that its row allows.
//!
//! docs/ARCHITECTURE.md draws the same table and says why; this is the copy that is checked.

use super::Finding;
use super::packages::Package;
use super::tree::Tree;

/// One crate, where it belongs, and which of ours it may use.
struct Row {
    layer: &'static str,
    name: &'static str,
    uses: &'static [&'static [&'static str]],
}

const fn row(
    layer: &'static str,
    name: &'static str,
    uses: &'static [&'static [&'static str]],
) -> Row {
    Row { layer, name, uses }
}

const TYPES: &[&str] = &["dynamo-types"];
const MODEL: &[&str] =
    &["dynamo-types", "dynamo-ring", "dynamo-versioning", "dynamo-merkle", "dynamo-messages"];
const MACHINES: &[&str] =
    &["dynamo-membership", "dynamo-coordination", "dynamo-repair", "dynamo-register"];
const PROTOCOL: &[&str] = &["dynamo-protocol"];
const STORAGE: &[&str] = &["dynamo-storage"];
const TRANSPORT: &[&str] = &["dynamo-transport"];
const CLIENT: &[&str] = &["dynamo-client"];
const BENCH: &[&str] = &["dynamo-bench"];
/// Checks may use everything.
const ALL: &[&[&str]] = &[
    MODEL,
    MACHINES,
    PROTOCOL,
    STORAGE,
    TRANSPORT,
    CLIENT,
    BENCH,
    &["dynamo-node", "dynamo-cli", "dynamo-checker", "dynamo-simulator", "dynamo-chaos"],
];

const TABLE: [Row; 20] = [
    row("model", "dynamo-types", &[]),
    row("model", "dynamo-ring", &[TYPES]),
    row("model", "dynamo-versioning", &[TYPES]),
    row("model", "dynamo-merkle", &[TYPES]),
    row("model", "dynamo-messages", &[TYPES, &["dynamo-versioning", "dynamo-merkle"]]),
    row("protocol", "dynamo-membership", &[MODEL]),
    row("protocol", "dynamo-coordination", &[MODEL]),
    row("protocol", "dynamo-repair", &[MODEL]),
    row("protocol", "dynamo-register", &[MODEL]),
    row("protocol", "dynamo-protocol", &[MODEL, MACHINES]),
    row("io", "dynamo-storage", &[]),
    row("io", "dynamo-transport", &[]),
    row("app", "dynamo-client", &[MODEL, TRANSPORT]),
    row("app", "dynamo-node", &[MODEL, MACHINES, PROTOCOL, STORAGE, TRANSPORT]),
    // The one look upwards: `dynamo bench` is how people start the load generator.
    row("app", "dynamo-cli", &[MODEL, TRANSPORT, CLIENT, BENCH]),
    // What judges a history knows nobody who runs a cluster.
    row("check", "dynamo-checker", &[MODEL]),
    row("check", "dynamo-simulator", ALL),
    row("check", "dynamo-chaos", ALL),
    row("check", "dynamo-bench", ALL),
    // Experiments on placement and gossip run no cluster.
    row("check", "dynamo-experiments", &[MODEL, MACHINES]),
];

/// Layers from the bottom up: the tests of a crate may use its own layer and what is below it.
const ORDER: [&str; 5] = ["model", "protocol", "io", "app", "check"];

/// Crates of others that only one of ours may know.
const CONFINED: [(&str, &str); 5] = [
    ("rocksdb", "dynamo-storage"),
    ("quinn", "dynamo-transport"),
    ("rustls", "dynamo-transport"),
    ("rkyv", "dynamo-messages"),
    ("axum", "dynamo-node"),
];

/// Crates of others that reach neither a clock nor a file nor a socket, so pure crates may use them.
const PURE: [&str; 9] = [
    "base64",
    "blake3",
    "bytes",
    "crc32fast",
    "foca",
    "rand_core",
    "rand_xoshiro",
    "rkyv",
    "thiserror",
];

const REMEDY: &str = "move what both need into a crate below them, or change the table in \
                      xtask/src/tidy/layers.rs together with docs/ARCHITECTURE.md";

/// Whether crates of this layer are pure: no IO, no async, no clock, no randomness of the system.
pub(super) fn is_pure(layer: &str) -> bool {
    matches!(layer, "model" | "protocol")
}

pub(super) fn check(_: &Tree, packages: &[Package]) -> Vec<Finding> {
    packages.iter().flat_map(check_package).collect()
}

fn check_package(package: &Package) -> Vec<Finding> {
    let finding = |message: String| Finding::new(package.manifest(), message);
    if package.name == "xtask" {
        let ours = package.dependencies.iter().filter(|d| d.name.starts_with("dynamo-"));
        return ours
            .map(|d| finding(format!("xtask must build while {} does not: run it instead", d.name)))
            .collect();
    }
    let Some(row) = TABLE.iter().find(|row| row.name == package.name) else {
        return vec![finding(format!(
            "{} is in no layer; give it a row in xtask/src/tidy/layers.rs",
            package.name
        ))];
    };
    let mut findings = Vec::new();
    let expected = format!("crates/{}/{}", row.layer, row.name);
    if package.folder != expected {
        findings.push(finding(format!("{} belongs in {expected}; move it there", row.name)));
    }
    for dependency in &package.dependencies {
        let allowed = match TABLE.iter().find(|other| other.name == dependency.name) {
            Some(other) if dependency.only_for_tests => height(other) <= height(row),
            Some(other) => row.uses.iter().any(|group| group.contains(&other.name)),
            None if dependency.only_for_tests => true,
            None => {
                findings.extend(check_foreign(row, &dependency.name).map(&finding));
                true
            }
        };
        if !allowed {
            let purpose = if dependency.only_for_tests { " in its tests" } else { "" };
            findings.push(finding(format!(
                "{} must not use {}{purpose}: {REMEDY}",
                row.name, dependency.name
            )));
        }
    }
    findings
}

fn check_foreign(row: &Row, dependency: &str) -> Option<String> {
    if row.layer == "check" {
        return None;
    }
    if is_pure(row.layer) && !PURE.contains(&dependency) {
        return Some(format!(
            "{} is pure and must not use {dependency}: turn what it does into an effect that the \
             node carries out, or list it in xtask/src/tidy/layers.rs if it is pure as well",
            row.name
        ));
    }
    let (_, owner) = CONFINED.iter().find(|(name, _)| *name == dependency)?;
    (*owner != row.name)
        .then(|| format!("only {owner} knows {dependency}: let {} ask {owner} for it", row.name))
}

fn height(row: &Row) -> usize {
    ORDER.iter().position(|layer| *layer == row.layer).expect("ORDER names every layer of TABLE")
}

#[cfg(test)]
mod tests {
    use super::{ORDER, TABLE, check_package};
    use crate::tidy::packages::Package;

    fn messages(folder: &str, dependencies: &[&str]) -> Vec<String> {
        let findings = check_package(&Package::of(folder, dependencies));
        findings.into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn sisters_do_not_know_each_other() {
        let found = messages("crates/model/dynamo-ring", &["dynamo-types", "dynamo-merkle"]);
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("dynamo-ring must not use dynamo-merkle: move what both"));
    }

    #[test]
    fn storage_knows_no_dynamo_at_all() {
        assert_eq!(messages("crates/io/dynamo-storage", &["rocksdb", "tokio"]), [""; 0]);
        assert_eq!(messages("crates/io/dynamo-storage", &["dynamo-types"]).len(), 1);
    }

    #[test]
    fn a_pure_crate_uses_pure_crates() {
        let found = messages("crates/protocol/dynamo-repair", &["tokio", "bytes"]);
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("dynamo-repair is pure and must not use tokio"), "{found:?}");
    }

    #[test]
    fn a_confined_crate_is_known_by_its_owner_alone() {
        assert_eq!(messages("crates/io/dynamo-transport", &["quinn", "rustls"]), [""; 0]);
        let found = messages("crates/app/dynamo-node", &["quinn"]);
        assert!(found[0].starts_with("only dynamo-transport knows quinn"), "{found:?}");
        assert_eq!(messages("crates/check/dynamo-bench", &["quinn"]), [""; 0]);
    }

    #[test]
    fn tests_may_use_their_own_layer_and_those_below() {
        assert_eq!(messages("crates/model/dynamo-ring", &["~proptest", "~dynamo-merkle"]), [""; 0]);
        let found = messages("crates/model/dynamo-ring", &["~dynamo-simulator"]);
        assert!(found[0].contains("must not use dynamo-simulator in its tests"), "{found:?}");
    }

    #[test]
    fn a_crate_without_a_row_or_in_the_wrong_folder_is_found() {
        assert!(messages("crates/model/dynamo-util", &[])[0].contains("is in no layer"));
        let found = messages("crates/io/dynamo-ring", &[]);
        assert_eq!(found, ["dynamo-ring belongs in crates/model/dynamo-ring; move it there"]);
    }

    #[test]
    fn xtask_builds_while_the_project_does_not() {
        assert!(messages("xtask", &["clap", "dynamo-types"])[0].contains("while dynamo-types"));
    }

    #[test]
    fn the_table_looks_downwards_or_sideways_with_one_exception() {
        for row in &TABLE {
            for used in row.uses.iter().copied().flatten() {
                let used = TABLE.iter().find(|other| other.name == *used).unwrap();
                let downwards = super::height(used) <= super::height(row);
                let is_the_exception = (row.name, used.name) == ("dynamo-cli", "dynamo-bench");
                assert!(downwards || is_the_exception, "{} uses {}", row.name, used.name);
            }
            assert!(ORDER.contains(&row.layer));
        }
    }
}
