//! **Agreement.** A bounded time after healing all nodes know the same members and the same settings
//! of buckets, know each running node where it is, and hold each running node for up.

use super::Violation;
use crate::evidence::Evidence;

/// The check's name.
pub const NAME: &str = "members_agree";

/// Compares what all running nodes know of the cluster.
///
/// # Errors
/// The first two that differ, or the first mistake of one of them.
pub fn check(evidence: &Evidence) -> Result<u64, Violation> {
    let violation = |detail| Err(Violation { invariant: NAME, key: None, detail });
    let mut checked = 0;
    let mut first = None;
    for (host, known) in &evidence.known_of_cluster {
        checked += 1;
        if let Some(mistake) = known.mistakes.first() {
            return violation(format!("{host} {mistake}"));
        }
        let (first_host, first_known) = *first.get_or_insert((host, known));
        if known.members != first_known.members {
            return violation(format!("{first_host} and {host} know different members"));
        }
        if known.buckets != first_known.buckets {
            return violation(format!("{first_host} and {host} know different bucket settings"));
        }
    }
    Ok(checked)
}

#[cfg(test)]
mod tests {
    use super::super::examples::{Example, REPLICAS};
    use super::*;
    use crate::evidence::KnownOfCluster;

    fn evidence() -> Evidence {
        let mut evidence = Example::new().evidence(&[]);
        for host in REPLICAS {
            evidence.known_of_cluster.insert(host, KnownOfCluster::default());
        }
        evidence
    }

    #[test]
    fn nodes_that_know_the_same_are_fine() {
        assert_eq!(check(&evidence()), Ok(3));
    }

    #[test]
    fn nodes_that_know_different_things_are_found() {
        let changes: [fn(&mut KnownOfCluster); 3] = [
            |known| known.members = 1,
            |known| known.buckets = 1,
            |known| known.mistakes.push("holds n2 for down".to_owned()),
        ];
        for (number, change) in changes.into_iter().enumerate() {
            let mut evidence = evidence();
            change(evidence.known_of_cluster.get_mut(&REPLICAS[2]).expect("it is there"));
            assert!(check(&evidence).is_err(), "change {number}");
        }
    }
}
