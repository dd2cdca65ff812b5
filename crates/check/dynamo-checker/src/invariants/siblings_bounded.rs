//! **Siblings are concurrent**, so there are at most as many as true concurrency made: in every
//! read and in every record at the end, no version stands beside one that replaced it. A reply of a
//! bucket where the last write wins shows one version at most, and no reply shows a write twice.
//!
//! Exempt is a write that was minted more than once, because a context covers only the version that
//! its client saw; [`one_version_per_put`](super::one_version_per_put) judges whether that was right. And
//! a key all of whose replicas have lost their disk or been set back: nobody may know any more that a version
//! was replaced.

use dynamo_types::Instant;

use super::Violation;
use crate::evidence::Evidence;
use crate::history::{KeyIndex, WriteId};

/// The check's name.
pub const NAME: &str = "siblings_bounded";

/// Looks at every read and every record.
///
/// # Errors
/// The first pair of which one replaced the other.
pub fn check(evidence: &Evidence) -> Result<u64, Violation> {
    let mut checked = 0;
    // Where only fallbacks answered, nobody knew what a replaced version in a hint was replaced by.
    for read in evidence.history.reads.iter().filter(|r| r.strict || r.after_convergence) {
        checked += 1;
        let writes: Vec<WriteId> = read.writes().collect();
        let place = format!("a read via {}", read.host);
        if !may_be_forgotten(evidence, read.key, read.ended) {
            check_antichain(evidence, read.key, &writes, &place)?;
        }
        let one_only = evidence.history.key(read.key).last_write_wins;
        let mut distinct = writes.clone();
        distinct.sort_unstable();
        distinct.dedup();
        if (one_only && writes.len() > 1) || distinct.len() < writes.len() {
            let detail = format!("{place} shows {writes:?}");
            return Err(Violation::at_key(NAME, read.key, detail));
        }
    }
    for ((key, host), record) in &evidence.disks {
        if evidence.history.key(*key).last_write_wins
            || may_be_forgotten(evidence, *key, Instant(u64::MAX))
        {
            continue;
        }
        checked += 1;
        let writes: Vec<WriteId> = record.writes().collect();
        check_antichain(evidence, *key, &writes, &format!("the record on {host}"))?;
    }
    Ok(checked)
}

/// Whether all replicas of a key have lost their disk, or were set back, by then.
fn may_be_forgotten(evidence: &Evidence, key: KeyIndex, by: Instant) -> bool {
    evidence.history.key(key).replicas.iter().all(|replica| {
        let mut losses = evidence.rollbacks.iter().chain(&evidence.lost_disks);
        losses.any(|(at, host)| host == replica && *at <= by)
    })
}

fn check_antichain(
    evidence: &Evidence,
    key: KeyIndex,
    writes: &[WriteId],
    place: &str,
) -> Result<(), Violation> {
    for earlier in writes.iter().filter(|write| !evidence.minted_twice(**write)) {
        if let Some(later) = writes.iter().find(|w| evidence.ancestry.descends(**w, *earlier)) {
            let detail = format!("{place} has {earlier} beside {later}, which replaced it");
            return Err(Violation::at_key(NAME, key, detail));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::examples::{Example, REPLICAS};
    use super::*;

    #[test]
    fn what_all_replicas_may_have_forgotten_is_not_held_against_them() {
        for (losses, broken) in [(0, true), (2, true), (3, false)] {
            let mut example = Example::new();
            let a = example.acknowledged(&[]);
            let b = example.acknowledged(&[a]);
            example.read(&[a, b]);
            let mut evidence = example.evidence(&[a, b]);
            let ended = evidence.history.reads[0].ended;
            evidence.rollbacks = REPLICAS[..losses].iter().map(|host| (ended, *host)).collect();
            assert_eq!(check(&evidence).is_err(), broken, "{losses} were set back");
        }
    }

    #[test]
    fn concurrent_siblings_are_fine() {
        let mut example = Example::new();
        let a = example.acknowledged(&[]);
        let b = example.acknowledged(&[]);
        example.read(&[a, b]);
        assert_eq!(check(&example.evidence(&[a, b])), Ok(4));
    }

    #[test]
    fn a_version_beside_what_replaced_it_is_found_in_reads_and_on_disks() {
        let mut example = Example::new();
        let a = example.acknowledged(&[]);
        let b = example.acknowledged(&[a]);
        example.read(&[a, b]);
        assert!(check(&example.evidence(&[b])).is_err());

        let mut example = Example::new();
        let a = example.acknowledged(&[]);
        let b = example.acknowledged(&[a]);
        assert!(check(&example.evidence(&[a, b])).is_err());
    }

    #[test]
    fn a_write_shown_twice_is_found() {
        let mut example = Example::new();
        let a = example.acknowledged(&[]);
        example.read(&[a, a]);
        assert!(check(&example.evidence(&[a])).is_err());
    }

    #[test]
    fn two_versions_where_the_last_write_wins_are_found() {
        let mut example = Example::new();
        let a = example.acknowledged(&[]);
        let b = example.acknowledged(&[]);
        example.history.keys[0].last_write_wins = true;
        example.read(&[a, b]);
        assert!(check(&example.evidence(&[])).is_err());
    }
}
