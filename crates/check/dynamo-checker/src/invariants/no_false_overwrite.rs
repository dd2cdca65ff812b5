//! **Promise 2.** A put replaces exactly the versions its context covers, never one that its client
//! did not see.
//!
//! Two checks, both against true causality and both only for buckets that keep siblings:
//! - at every replica, at the end: a write whose dot is in the record's context, but which is not
//!   there, has a descendant that is in the same context or record. Else the record claims a
//!   replacement that nobody made, and would delete the write wherever it still is.
//! - a strict read whose r and the copies that a write's receipt named are together more than N, asked
//!   after that write was acknowledged, shows the write or a descendant, or some delete that
//!   covers it was tried. Copies on fallbacks and on lost disks do not count, nor does a key with a
//!   damaged row, nor a `buffered` one after a power loss.

use dynamo_types::Durability;

use super::Violation;
use crate::evidence::Evidence;
use crate::history::{KeyIndex, Outcome, Read, WriteId, WriteKind};

/// The check's name.
pub const NAME: &str = "no_false_overwrite";

/// Looks at the claims of every record and at every read.
///
/// # Errors
/// The first false claim, or the first read that misses something.
pub fn check(evidence: &Evidence) -> Result<u64, Violation> {
    let mut checked = 0;
    for ((key, host), record) in &evidence.disks {
        if evidence.history.key(*key).last_write_wins {
            continue;
        }
        // What a collected delete replaced may still be claimed; the delete itself is nowhere.
        let collected = evidence.collected.iter().copied();
        let here = record.writes().chain(record.claims_replaced.iter().copied());
        let known: Vec<WriteId> = here.chain(collected).collect();
        for claimed in &record.claims_replaced {
            checked += 1;
            let replaced = known.iter().any(|other| evidence.ancestry.descends(*other, *claimed));
            if !replaced && !evidence.minted_twice(*claimed) {
                let detail = format!(
                    "{host} claims that {claimed} was replaced, and nothing it has or claims \
                     descends from it: {known:?}"
                );
                return Err(Violation::at_key(NAME, *key, detail));
            }
        }
    }
    for key in evidence.history.key_indices() {
        checked += check_reads(evidence, key)?;
    }
    Ok(checked)
}

fn check_reads(evidence: &Evidence, key: KeyIndex) -> Result<u64, Violation> {
    let facts = evidence.history.key(key);
    let power_may_have_cost = facts.durability == Durability::Buffered;
    if facts.last_write_wins
        || facts.damaged_rows > 0
        || (power_may_have_cost && !evidence.power_losses.is_empty())
    {
        return Ok(0);
    }
    let mut checked = 0;
    let acknowledged: Vec<_> =
        evidence.history.acknowledged().filter(|(_, write, _)| write.key == key).collect();
    let deletes: Vec<WriteId> = evidence
        .history
        .writes_to(key)
        .filter(|(_, write)| write.kind != WriteKind::Value && write.outcome != Outcome::Failed)
        .map(|(id, _)| id)
        .collect();
    for read in evidence.history.reads.iter().filter(|read| read.key == key && read.strict) {
        for (id, write, receipt) in &acknowledged {
            let copies = usize::from(receipt.copies.saturating_sub(receipt.hints));
            let overlap = copies + usize::from(read.r) > facts.replicas.len();
            let before = write.ended.is_some_and(|ended| ended < read.invoked);
            // An older disk cannot know what it lacks before it has heard from the others.
            let forgotten = evidence.replicas_may_have_lost(write, *receipt)
                || evidence.rollbacks.iter().any(|(at, _)| *at >= write.invoked)
                || evidence.may_have_moved_past(write, read.r);
            if !overlap || !before || forgotten || write.kind != WriteKind::Value {
                continue;
            }
            checked += 1;
            if !shows(evidence, read, *id, &deletes) {
                let detail = format!(
                    "a read of r={} via {} at {:?} misses {id}, acknowledged before it with \
                     {receipt:?}: {:?}",
                    read.r, read.host, read.invoked, read.values
                );
                return Err(Violation::at_key(NAME, key, detail));
            }
        }
    }
    Ok(checked)
}

/// Whether a read shows a write, a descendant, or misses it because a delete may cover it.
fn shows(evidence: &Evidence, read: &Read, write: WriteId, deletes: &[WriteId]) -> bool {
    evidence.ancestry.any_covers(read.writes(), write)
        || deletes.iter().any(|delete| {
            evidence.ancestry.descends(*delete, write)
                && evidence.history.write(*delete).invoked < read.ended
        })
}

#[cfg(test)]
mod tests {
    use super::super::examples::{Example, KEY, REPLICAS};
    use super::*;

    #[test]
    fn reads_of_the_write_or_of_what_replaced_it_are_fine() {
        let mut example = Example::new();
        let a = example.acknowledged(&[]);
        example.read(&[a]);
        let b = example.acknowledged(&[a]);
        example.read(&[b]);
        assert_eq!(check(&example.evidence(&[b])), Ok(3));
    }

    #[test]
    fn a_read_that_misses_an_unseen_write_is_found() {
        let mut example = Example::new();
        let a = example.acknowledged(&[]);
        let b = example.acknowledged(&[]);
        example.read(&[b]);
        assert!(check(&example.evidence(&[a, b])).is_err());
    }

    #[test]
    fn a_read_of_too_few_replicas_may_miss() {
        let mut example = Example::new();
        let a = example.acknowledged(&[]);
        example.read(&[]);
        example.history.reads[0].r = 1;
        assert_eq!(check(&example.evidence(&[a])), Ok(0));
    }

    #[test]
    fn a_read_may_miss_what_lost_disks_left_to_hints_alone() {
        for (hints, found) in [(0, true), (1, false)] {
            let mut example = Example::new();
            let a = example.acknowledged(&[]);
            example.read(&[]);
            example.history.reads[0].r = 3;
            if let Outcome::Acknowledged(receipt) = &mut example.history.writes[a.index()].outcome {
                (receipt.copies, receipt.hints) = (2, hints);
            }
            let mut evidence = example.evidence(&[a]);
            let ended = evidence.history.writes[a.index()].ended.unwrap();
            evidence.lost_disks.push((ended, REPLICAS[0]));
            assert_eq!(check(&evidence).is_err(), found, "{hints} hints");
        }
    }

    #[test]
    fn a_delete_hides_what_it_covers_and_nothing_else() {
        for (covers, fine) in [(true, true), (false, false)] {
            let mut example = Example::new();
            let a = example.acknowledged(&[]);
            let parents = if covers { vec![a] } else { Vec::new() };
            let delete = example.deleted(&parents);
            example.read(&[]);
            assert_eq!(check(&example.evidence(&[delete])).is_ok(), fine);
        }
    }

    #[test]
    fn a_claim_that_nobody_made_is_found() {
        let mut example = Example::new();
        let a = example.acknowledged(&[]);
        let b = example.acknowledged(&[]);
        let mut evidence = example.evidence(&[b]);
        let record = evidence.disks.get_mut(&(KEY, REPLICAS[1])).unwrap();
        record.claims_replaced.push(a);
        assert!(check(&evidence).is_err());
    }

    #[test]
    fn a_claim_of_something_replaced_is_fine() {
        let mut example = Example::new();
        let a = example.acknowledged(&[]);
        let b = example.acknowledged(&[a]);
        let mut evidence = example.evidence(&[b]);
        let record = evidence.disks.get_mut(&(KEY, REPLICAS[1])).unwrap();
        record.claims_replaced.push(a);
        assert_eq!(check(&evidence), Ok(1));
    }
}
