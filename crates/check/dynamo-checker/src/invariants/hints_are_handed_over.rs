//! **A hint that counts goes only when its target has what it held** (protocol rule 8, history 7).
//!
//! Check: whenever a fallback removed a hint that had been acknowledged, the replica that it was kept
//! for had each of its versions on its disk, or had stored it or something that replaced it before;
//! or what replaced it was collected. Where the last write wins nothing is checked: a greater timestamp replaces without
//! having seen. Nor is it after a power loss, where a bucket is `buffered`.

use dynamo_types::Durability;

use super::Violation;
use crate::evidence::Evidence;

/// The check's name.
pub const NAME: &str = "hints_are_handed_over";

/// Looks at every version of every hint that was removed.
///
/// # Errors
/// The first one that its target had not.
pub fn check(evidence: &Evidence) -> Result<u64, Violation> {
    let mut checked = 0;
    for hint in &evidence.hints_removed {
        let key = evidence.history.write(hint.write).key;
        let facts = evidence.history.key(key);
        let buffered = facts.durability == Durability::Buffered;
        if facts.last_write_wins || (buffered && !evidence.power_losses.is_empty()) {
            continue;
        }
        checked += 1;
        let writes = evidence.history.writes_to(key).map(|(id, _)| id);
        let known = writes.filter(|write| {
            let stored = evidence.stored.get(&(*write, hint.target));
            stored.is_some_and(|at| *at <= hint.at) || evidence.collected.contains(write)
        });
        if !hint.there && !evidence.ancestry.any_covers(known, hint.write) {
            let detail = format!(
                "{} removed its hint of {} for {}, which had not stored it",
                hint.by, hint.write, hint.target
            );
            return Err(Violation::at_key(NAME, key, detail));
        }
    }
    Ok(checked)
}

#[cfg(test)]
mod tests {
    use super::super::examples::{Example, REPLICAS};
    use super::*;
    use crate::evidence::RemovedHint;
    use crate::history::{HostIndex, WriteId};
    use dynamo_types::Instant;

    fn removed(evidence: &mut Evidence, write: WriteId, at: u64) {
        let (by, target) = (HostIndex(3), REPLICAS[0]);
        evidence.hints_removed.push(RemovedHint {
            at: Instant(at),
            by,
            target,
            write,
            there: false,
        });
    }

    #[test]
    fn the_target_must_have_it_before_or_what_replaced_it() {
        let mut example = Example::new();
        let a = example.acknowledged(&[]);
        let b = example.acknowledged(&[a]);
        let mut evidence = example.evidence(&[b]);
        evidence.stored.clear();
        removed(&mut evidence, a, 10);
        assert!(check(&evidence).is_err(), "it has nothing");
        evidence.stored.insert((b, REPLICAS[0]), Instant(11));
        assert!(check(&evidence).is_err(), "it came later");
        evidence.stored.insert((b, REPLICAS[0]), Instant(9));
        assert_eq!(check(&evidence), Ok(1));
        evidence.stored.clear();
        evidence.stored.insert((b, REPLICAS[1]), Instant(9));
        assert!(check(&evidence).is_err(), "another one has it");
    }

    #[test]
    fn what_was_collected_needs_no_hint() {
        let mut example = Example::new();
        let a = example.acknowledged(&[]);
        let delete = example.deleted(&[a]);
        let mut evidence = example.evidence(&[]);
        evidence.stored.clear();
        evidence.collected.insert(delete);
        removed(&mut evidence, a, 10);
        assert_eq!(check(&evidence), Ok(1));
    }
}
