//! **Promise 4.** After faults heal, all replicas of a key come to hold the same versions, and then
//! the background work falls silent.
//!
//! Check: within a bounded time without requests, a window passes in which no object row is written
//! anywhere, no hint is kept and every copy is complete; then
//! every replica of a key holds the same dots, no row is unreadable, and no row is on a node that
//! is no replica of its key.

use super::Violation;
use crate::evidence::Evidence;

/// The check's name.
pub const NAME: &str = "replicas_converge";

/// Compares all replicas of all keys.
///
/// # Errors
/// The first difference.
pub fn check(evidence: &Evidence) -> Result<u64, Violation> {
    let mut checked = 0;
    for key in evidence.history.key_indices() {
        let facts = evidence.history.key(key);
        let dots = |host| {
            let held = evidence.held(key, host);
            let mut dots: Vec<_> = held.versions.iter().map(|version| version.dot).collect();
            dots.sort_unstable();
            (dots, held)
        };
        let Some((first, others)) = facts.replicas.split_first() else { continue };
        let (expected, first_held) = dots(*first);
        for other in others {
            checked += 1;
            let (found, held) = dots(*other);
            if found != expected {
                let detail = format!(
                    "{first} holds {:?} {expected:?} and {other} holds {:?} {found:?}",
                    first_held.writes().collect::<Vec<_>>(),
                    held.writes().collect::<Vec<_>>(),
                );
                return Err(Violation::at_key(NAME, key, detail));
            }
        }
    }
    if let Some(stray) = evidence.strays.first() {
        return Err(Violation { invariant: NAME, key: None, detail: stray.clone() });
    }
    let quiet = &evidence.quiet;
    if !quiet.reached {
        let detail = format!(
            "{} windows of silence after healing, and in the last {} object rows were written",
            quiet.rounds, quiet.writes_in_last_round
        );
        return Err(Violation { invariant: NAME, key: None, detail });
    }
    Ok(checked)
}

#[cfg(test)]
mod tests {
    use super::super::examples::{Example, KEY, REPLICAS};
    use super::*;

    #[test]
    fn equal_replicas_are_fine() {
        let mut example = Example::new();
        let a = example.acknowledged(&[]);
        assert_eq!(check(&example.evidence(&[a])), Ok(2));
    }

    #[test]
    fn a_replica_that_differs_is_found() {
        let mut example = Example::new();
        let a = example.acknowledged(&[]);
        let mut evidence = example.evidence(&[a]);
        evidence.disks.remove(&(KEY, REPLICAS[1]));
        assert!(check(&evidence).is_err());
    }

    #[test]
    fn endless_repair_is_found() {
        let mut evidence = Example::new().evidence(&[]);
        evidence.quiet.reached = false;
        assert!(check(&evidence).is_err());
    }
}
