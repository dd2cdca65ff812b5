//! Cargo.lock holds no version with a known hole, and one TLS provider only.

use super::Finding;
use super::packages::Package;
use super::tree::Tree;

const LOCK: &str = "Cargo.lock";

/// The first version without the hole that is named.
const MINIMUM: [(&str, [u32; 3], &str); 4] = [
    ("bytes", [1, 11, 1], "RUSTSEC-2026-0007"),
    ("quinn-proto", [0, 11, 15], "RUSTSEC-2026-0037 and RUSTSEC-2026-0185"),
    ("rkyv", [0, 8, 17], "RUSTSEC-2026-0233 to RUSTSEC-2026-0235"),
    ("rustls-webpki", [0, 103, 13], "RUSTSEC-2026-0049 and RUSTSEC-2026-0098 to -0104"),
];

/// What must not be there at all, and why.
const ABSENT: [(&str, &str); 2] = [
    ("aws-lc-rs", "a second TLS provider beside ring: switch off default features of whoever asks"),
    (
        "aws-lc-sys",
        "a second TLS provider beside ring: switch off default features of whoever asks",
    ),
];

pub(super) fn check(tree: &Tree, _: &[Package]) -> Vec<Finding> {
    let Some(lock) = tree.text(LOCK) else {
        return vec![Finding::new(LOCK, "is missing: run `cargo generate-lockfile`, commit it")];
    };
    let mut findings = Vec::new();
    for (name, version) in locked(lock) {
        if let Some((_, minimum, why)) = MINIMUM.iter().find(|(known, ..)| *known == name) {
            let is_safe = parsed(version).is_some_and(|version| version >= *minimum);
            let [major, minor, patch] = minimum;
            if !is_safe {
                findings.push(Finding::new(
                    LOCK,
                    format!(
                        "{name} {version} has {why}: run `cargo update -p {name}`, at least \
                         {major}.{minor}.{patch} is needed"
                    ),
                ));
            }
        }
        if let Some((_, why)) = ABSENT.iter().find(|(banned, _)| *banned == name) {
            findings.push(Finding::new(LOCK, format!("{name} is {why} (`cargo tree -i {name}`)")));
        }
    }
    findings
}

/// The names and versions in a lock file.
fn locked(lock: &str) -> impl Iterator<Item = (&str, &str)> {
    lock.split("[[package]]").filter_map(|package| {
        let value =
            |key: &str| package.lines().find_map(|line| line.strip_prefix(key)?.strip_suffix('"'));
        Some((value("name = \"")?, value("version = \"")?))
    })
}

/// The three numbers of a version. A pre-release comes before its release, so it counts as none.
fn parsed(version: &str) -> Option<[u32; 3]> {
    let release = version.split('+').next()?;
    let mut numbers = release.split('.').map(str::parse);
    let mut next = || numbers.next()?.ok();
    Some([next()?, next()?, next()?])
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::tidy::tree::Tree;

    fn messages(packages: &[(&str, &str)]) -> Vec<String> {
        let lock: String = packages
            .iter()
            .map(|(name, version)| {
                format!("[[package]]\nname = \"{name}\"\nversion = \"{version}\"\n\n")
            })
            .collect();
        let findings = check(&Tree::of([("Cargo.lock", lock.as_str())]), &[]);
        findings.into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn a_version_with_a_known_hole_is_found() {
        assert_eq!(
            messages(&[("rkyv", "0.8.16"), ("bytes", "1.11.1")]),
            [
                "rkyv 0.8.16 has RUSTSEC-2026-0233 to RUSTSEC-2026-0235: run `cargo update -p rkyv`, \
              at least 0.8.17 is needed"
            ]
        );
        assert_eq!(messages(&[("bytes", "1.11.1-rc.1")]).len(), 1);
        assert_eq!(messages(&[("rkyv", "0.9.0"), ("quinn-proto", "0.11.15+x")]), [""; 0]);
    }

    #[test]
    fn a_second_tls_provider_is_found() {
        let found = messages(&[("aws-lc-rs", "1.0.0")]);
        assert!(found[0].contains("`cargo tree -i aws-lc-rs`"), "{found:?}");
    }

    #[test]
    fn a_missing_lock_file_is_found() {
        assert_eq!(check(&Tree::of([]), &[]).len(), 1);
    }
}
